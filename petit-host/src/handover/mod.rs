//! Replacing a running program by a new process that takes its sockets over.
//!
//! The running process, the predecessor, starts its successor itself, with one end of a pair of connected sockets
//! as its standard input: the link. Over it the successor gets copies of all descriptors that matter (the
//! kernel calls that SCM_RIGHTS), both tell each other how far they have come, and each notices when the other has
//! gone. In which order that happens is written down in [`steps`].
//!
//! Windows hands no descriptors over in safe code: there [`Started`] and [`Heir`] tell each other how far they have come, and
//! no more.
//!
//! What the descriptors are, and what yielding and taking over means, only the programs know. A service manager
//! that hands sockets in fills the same parcel.

#[cfg(unix)]
mod anchor;
#[cfg(unix)]
mod elders;
#[cfg(unix)]
mod heir;
#[cfg(unix)]
mod link;
#[cfg(windows)]
mod spoken;
#[cfg(unix)]
mod started;
pub mod steps;

use serde::{Deserialize, Serialize};

#[cfg(unix)]
pub use self::anchor::stay;
#[cfg(unix)]
pub use self::elders::{ElderEvent, Elders};
#[cfg(unix)]
pub use self::heir::{Heir, NoHeir};
#[cfg(unix)]
pub use self::link::{Link, LinkMessage, Parcel};
#[cfg(windows)]
pub use self::spoken::{Heir, Manner, NoHeir, Start, Started};
#[cfg(unix)]
pub use self::started::{Manner, Start, Started, StartedEvent};

/// Why a successor does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    pub fault: Fault,
}

impl Trouble {
    /// With nobody else to blame.
    pub fn new(message: String, hint: Option<String>) -> Self {
        Self { message, hint, fault: Fault::Itself }
    }
}

/// Whose fault it is that a successor does not serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Its own, as far as can be told.
    #[default]
    Itself,
    /// What it found here, or whoever ended it. Also for whatever a later version calls it.
    #[serde(other)]
    Surroundings,
}

impl Fault {
    #[cfg(unix)]
    fn is_its_own(&self) -> bool {
        *self == Self::Itself
    }
}
