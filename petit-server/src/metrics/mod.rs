//! Figures for whoever watches over the server with Prometheus: what has come to an end since the start, and what is.
//!
//! No label has more values than Petit itself has words for; of single clients and services nothing is said.

mod collector;
mod serve;

pub use self::serve::serve;
