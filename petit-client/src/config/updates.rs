//! What the customer allows of updates: `[updates]`.

use petit_host::toml_file::{Key, Table, ValueKind};
use petit_host::update::{Consent, Hours};
use serde::{Deserialize, Serialize};

/// The name of the table.
pub(super) const NAME: &str = "updates";

pub(super) const UPDATES: Table =
    Table(&[Key { name: "mode", kind: ValueKind::Value }, Key { name: "hours", kind: ValueKind::Value }]);

/// Who installs another version, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateSettings {
    pub mode: UpdateMode,
    /// By the computer's own time; at any time when not set. A person who types `upgrade` does not wait for them.
    pub hours: Option<Hours>,
}

/// Who installs another version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpdateMode {
    /// A person, with `upgrade`.
    #[default]
    Ask,
    /// The running client.
    Automatic,
    /// Nobody; a person who types `upgrade` can.
    Never,
}

impl UpdateSettings {
    /// What the running client may do without anybody.
    pub fn consent(self) -> Consent {
        match self.mode {
            UpdateMode::Ask => Consent::Asked { approved: None },
            UpdateMode::Automatic => Consent::Given { hours: self.hours },
            UpdateMode::Never => Consent::Never,
        }
    }
}

/// As written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdatesForm {
    #[serde(default)]
    mode: UpdateMode,
    hours: Option<Hours>,
}

impl From<UpdatesForm> for UpdateSettings {
    fn from(UpdatesForm { mode, hours }: UpdatesForm) -> Self {
        Self { mode, hours }
    }
}
