//! What the page is shown and what it may ask: the Rust half of `ui/app/contract.d.ts`, one type per interface, of
//! the same name and the same fields. A test compares both.

mod tone;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::tone::{Tone, Words};
pub use self::view::{
    Action, ActionName, Can, Fact, Headline, Hop, HopId, Kept, KeyWords, Notice, NoticeAction, Problem,
    Registered, Sample, Service, ServiceKind, State, StateKind, Traffic, View,
};

/// Answer of `boot`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Boot {
    /// `en` or `de`.
    pub lang: String,
    /// The catalogue of that language.
    pub texts: BTreeMap<String, String>,
    /// About the program.
    pub about: About,
    /// The app's own preferences.
    pub prefs: Prefs,
    /// Where everything stands.
    pub view: View,
    /// Where to begin.
    pub open: Opening,
    /// The colour of a vendor's own build, as `#rrggbb`.
    pub colour: Option<String>,
}

/// A page of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    #[default]
    Overview,
    Setup,
    Services,
    Settings,
    Logs,
    Diagnostics,
    About,
}

/// Where the window begins, and what a link has brought.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// The page.
    pub page: Page,
    /// Text of an invite, to be filled in.
    pub invite: Option<String>,
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The invite is a secret.
        write!(f, "Opening({:?}, invite: {})", self.page, self.invite.is_some())
    }
}

/// About the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// The program's version.
    pub version: String,
    /// The protocol's.
    pub protocol: u16,
    /// The config file.
    pub config_path: String,
    /// The log file.
    pub log_path: String,
    /// The folder with everything.
    pub data_path: String,
    /// The licence.
    pub licence: String,
}

/// What an invite says, before anything is done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invite {
    /// The server.
    pub server: String,
    /// What the vendor calls itself.
    pub vendor: Option<String>,
    /// Six words of the server's key.
    pub server_words: KeyWords,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it ends.
    pub not_after: u64,
    /// It has ended, by this computer's clock.
    pub expired: bool,
    /// With whom this computer is registered already; `None` when it is with this very invite.
    pub replaces: Option<String>,
    /// What will be reachable, and for whom.
    pub exposes: String,
    /// Services that are set up already. The vendor reaches none of them that is not chosen.
    pub kept: Vec<Kept>,
    /// What the vendor learns of this computer.
    pub told: Vec<Fact>,
}

/// A program on this computer that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listening {
    pub target: String,
    /// Its name: what its page is called, else its entry in the desktop's menu, else its process; empty when not known.
    pub program: String,
    /// Its process, where the name says something else.
    pub process: String,
    /// What it answered to a harmless look.
    pub found: String,
    /// What it speaks.
    pub kind: ServiceKind,
    /// It is of the kind that people share: it speaks HTTP, or is a database.
    pub usual: bool,
}

/// What a target was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// How it stands.
    pub tone: Tone,
    /// In words.
    pub words: Words,
}

/// The config file, as text and as a form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The text.
    pub text: String,
    /// The form over it; `None` when the text cannot be read as a config at all.
    pub form: Option<Form>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// The settings that have a field of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Form {
    /// How much is logged.
    pub log_level: petit_host::logs::Level,
    /// What this computer is called towards the vendor.
    pub name: String,
    /// The services.
    pub services: Vec<FormService>,
}

/// A service in the form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormService {
    pub name: String,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is.
    pub target: String,
}

/// What applying a text would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diff {
    /// Line by line.
    pub lines: Vec<DiffLine>,
    /// What is wrong with the text.
    pub problems: Vec<Problem>,
}

/// A line of a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiffLine {
    /// What became of it.
    pub kind: DiffKind,
    /// The line.
    pub text: String,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffKind {
    Same,
    Added,
    Removed,
}

/// What became of applied settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// They are in force.
    pub done: bool,
    /// The former ones are in force again.
    pub rolled_back: bool,
    /// In words.
    pub words: Words,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// A number that only grows.
    pub id: u64,
    pub at: String,
    /// How grave.
    pub level: String,
    /// The rest of it.
    pub text: String,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What was found.
    pub result: petit_client::doctor::CheckResult,
    /// In words.
    pub detail: String,
    /// What to do.
    pub advice: String,
}

/// The redacted bundle for the vendor's support.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bundle {
    /// The name of the file that it will be.
    pub name: String,
    /// What is in it.
    pub files: Vec<BundleFile>,
}

/// A file of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleFile {
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// What is in it.
    pub text: String,
}

/// What belongs to this app alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefs {
    /// Start when its user logs in.
    pub start_on_login: bool,
    /// Tell when it stops working.
    pub notify_down: bool,
    /// Tell when it works again.
    pub notify_back: bool,
    /// How it looks.
    pub theme: Theme,
    /// Which language: `system`, `en` or `de`.
    pub lang: String,
}

/// How the window looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

/// How long a pause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PauseFor {
    /// A quarter of an hour.
    #[serde(rename = "15min")]
    QuarterHour,
    /// An hour.
    #[serde(rename = "1h")]
    Hour,
    /// Until six in the morning.
    #[serde(rename = "tomorrow")]
    Tomorrow,
}

/// What `register` came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegisteredService {
    /// The service that the invite was for.
    pub service: String,
    /// Its public address.
    pub url: String,
    /// What there is to know of the registration that this one took the place of.
    pub former: Option<Words>,
}

/// What a refused command is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Stable, for tests and for the page's own choices.
    pub code: String,
    /// In words.
    pub words: Words,
    /// The field that it belongs to.
    pub field: Option<String>,
}

impl Refused {
    /// A refusal.
    pub fn new(code: &str, words: Words) -> Self {
        Self { code: code.to_owned(), words, field: None }
    }

    /// The same, for a field of a form.
    #[must_use]
    pub fn field(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }
}

#[cfg(test)]
mod tests;
