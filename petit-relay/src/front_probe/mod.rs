//! Do visitors get in? Every public front is tried from here, as a visitor would come, about once a minute.
//!
//! A front is what the endpoint makes of a name: scheme, port and domain. Under the domain a fresh random label is
//! asked for each time, so that the wildcard of the DNS and of the certificate is what is tried; domains of
//! customers' own are tried by their names, one after the other at a bounded pace. Beside them the listening sockets
//! of this process are tried: where the server cannot reach its own public address, that is as far as is known.
//!
//! One task owns the attempts; what they found stands in [`FrontProbes`], is told to agents by `tell`, and joined
//! there with the services' own probes.

mod address;
mod attempt;
mod domains;
mod judge;
mod once;
mod operator;
mod own_machine;
mod probes;
mod rounds;
mod settings;
mod tell;
mod token;
mod told;
mod track;
mod view;

pub(super) use self::attempt::reachable;
pub(super) use self::own_machine::source_towards;
pub(super) use self::probes::FrontProbes;
pub use self::settings::{FrontProbing, FrontSettings, Resolver, Unresolved};
pub(super) use self::token::{ANSWER_FIELD, TOKEN_FIELD};
pub(super) use self::told::FrontsTold;
pub use self::view::{FrontKind, FrontView};
