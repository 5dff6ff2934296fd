//! All that is known, from which follows what is shown and offered.

use std::time::SystemTime;

use petit_client::config::Config;
use petit_client::registration::Registration;
use petit_client::status::Status;

use super::contract::{Problem, ServiceKind, Traffic, Words};
use super::prefs::DesiredState;
use super::texts::Texts;

/// Who holds the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// Nobody; or it is not known yet.
    #[default]
    Nobody,
    /// This process.
    Ours,
    /// Another process on this computer.
    Another {
        /// Its number, when it has said so.
        pid: Option<u32>,
    },
}

/// Why there can be no client before a person has done something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which, for what helps.
    pub kind: TroubleKind,
    /// In words.
    pub words: Words,
}

/// The kinds of trouble that need different help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The config file has to be corrected.
    Config,
    /// A file or folder cannot be used: rights, or the disk.
    Folder,
    /// What is written down of the registration cannot be read.
    Damaged,
}

/// All that is known.
#[derive(Clone, Debug)]
pub(crate) struct Facts<'a> {
    /// The language.
    pub(crate) texts: &'a Texts,
    /// The moment.
    pub(crate) now: SystemTime,
    /// What the user wants of this process.
    pub(crate) desired: DesiredState,
    /// Who holds the connection.
    pub(crate) owner: Owner,
    /// Where the client stands.
    pub(crate) status: Option<&'a Status>,
    /// What is written down of the registration.
    pub(crate) registration: Option<&'a Registration>,
    /// The services of the config file, for when the client shows none.
    pub(crate) configured: &'a [(String, ServiceKind, String)],
    /// The settings in force, as far as they are known here.
    pub(crate) config: &'a Config,
    /// Why there can be no client.
    pub(crate) trouble: Option<&'a Trouble>,
    /// A mistake in the config file.
    pub(crate) config_problem: Option<&'a Problem>,
    /// How much goes through.
    pub(crate) traffic: Traffic,
    /// Since when the state is what it is; seconds since 1970.
    pub(crate) since: Option<u64>,
    /// This desktop has no tray.
    pub(crate) no_tray: bool,
    /// The process runs as root.
    pub(crate) is_root: bool,
}
