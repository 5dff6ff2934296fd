//! What the page is shown and what it may ask: the Rust half of `ui/app/contract.d.ts`, one type per interface, of
//! the same name and the same fields. A test compares both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How something stands, for its shape and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// All is well.
    Good,
    /// Being worked at.
    Busy,
    /// Works, but not all of it.
    Warn,
    /// Does not work.
    Bad,
    /// Switched off, or not known.
    Off,
}

/// What is the matter, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Words {
    /// What is the matter.
    pub what: String,
    /// What to do; empty when there is nothing to do but wait.
    pub todo: String,
}

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
}

/// A page of the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
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

/// Where everything stands, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// The state.
    pub state: State,
    /// The state in words.
    pub headline: Headline,
    /// Where this computer is registered.
    pub registered: Option<Registered>,
    /// The services.
    pub services: Vec<Service>,
    /// How much goes through.
    pub traffic: Traffic,
    /// A mistake in the config file.
    pub config_problem: Option<Problem>,
    /// Things to know that are no state.
    pub notices: Vec<Notice>,
    /// What may be wished for now.
    pub can: Can,
}

/// The state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// Which.
    pub kind: StateKind,
    /// Since when; seconds since 1970.
    pub since: Option<u64>,
    /// Until when it is paused, or when it tries again.
    pub until: Option<u64>,
}

/// The kinds of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateKind {
    /// Not registered anywhere.
    Unregistered,
    /// Switched off.
    Off,
    /// Switched off for a while.
    Paused,
    /// On the way.
    Connecting,
    /// Connected.
    Online,
    /// Waiting for the next attempt.
    Waiting,
    /// A person has to act.
    Stopped,
    /// The key cannot be had.
    Locked,
    /// The client cannot run at all.
    Broken,
}

impl StateKind {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Unregistered,
        Self::Off,
        Self::Paused,
        Self::Connecting,
        Self::Online,
        Self::Waiting,
        Self::Stopped,
        Self::Locked,
        Self::Broken,
    ];
}

/// The state in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Headline {
    /// How it stands.
    pub tone: Tone,
    /// In a word or two.
    pub title: String,
    /// What is exposed to whom, or why it does not work.
    pub detail: String,
    /// What to do; empty when nothing.
    pub advice: String,
}

/// Where this computer is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// The server.
    pub server: String,
    /// The server's name for this computer.
    pub device: String,
    /// Six words of this computer's key.
    pub key_words: String,
    /// Where the key is.
    pub key_store: crate::config::KeyStore,
    /// The shortest round trip of the session.
    pub round_trip_us: Option<u64>,
}

/// What a service speaks.
pub use petit_engine::proto::control::ServiceKind;

/// A service as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is.
    pub target: String,
    /// Its public address.
    pub url: Option<String>,
    /// Its readable names.
    pub aliases: Vec<String>,
    /// Green, red or neither.
    pub light: crate::status::Light,
    /// The light in words.
    pub words: Words,
    /// The way to it, in the order in which a visitor goes.
    pub hops: Vec<Hop>,
    /// When something last went all the way.
    pub proved_at: Option<u64>,
    /// Visits so far.
    pub visits: u64,
    /// Visits going on.
    pub active: u64,
    /// Bytes to the service.
    pub to_service_bytes: u64,
    /// Bytes from the service.
    pub from_service_bytes: u64,
}

/// A part of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Which.
    pub id: HopId,
    /// Its name.
    pub label: String,
    /// How it stands.
    pub tone: Tone,
    /// How long the last trial took on it.
    pub took_us: Option<u64>,
}

/// The parts of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HopId {
    /// The server's public side.
    Front,
    /// The connection.
    Tunnel,
    /// This computer.
    Client,
    /// The service.
    Service,
}

/// How much goes through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Visits going on.
    pub active: u64,
    /// The last two minutes, oldest first.
    pub samples: Vec<Sample>,
}

/// Two seconds of traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Visits that began.
    pub visits: u64,
    /// Bytes to the services.
    pub to_service_bytes: u64,
    /// Bytes from the services.
    pub from_service_bytes: u64,
}

/// A mistake in the config file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// The form's field that it belongs to.
    pub field: Option<String>,
}

/// Something to know that is no state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Which, for the page's own memory.
    pub id: String,
    /// How bad.
    pub tone: Tone,
    /// In words.
    pub text: String,
    /// A wish that helps.
    pub action: Option<NoticeAction>,
}

/// A wish that helps with a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeAction {
    /// The wish's name.
    pub wish: String,
    /// What its button says.
    pub label: String,
}

/// What may be wished for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the names are those of the wishes")]
pub struct Can {
    pub start: bool,
    pub stop: bool,
    pub pause: bool,
    pub resume: bool,
    pub register: bool,
    pub forget: bool,
    pub unlock: bool,
}

/// What an invite says, before anything is done with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invite {
    /// The server.
    pub server: String,
    /// Six words of the server's key.
    pub server_words: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it ends.
    pub not_after: u64,
    /// It has ended, by this computer's clock.
    pub expired: bool,
    /// Where this computer is registered already.
    pub replaces: Option<String>,
}

/// A program on this computer that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listening {
    /// Where.
    pub target: String,
    /// Its name; empty when not known.
    pub program: String,
    /// What it answered to a harmless look.
    pub found: String,
    /// What it speaks.
    pub kind: ServiceKind,
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
    /// Its name.
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
#[expect(missing_docs, reason = "the names say it")]
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
    /// When.
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
    pub result: crate::doctor::CheckResult,
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
    /// Its name.
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
#[expect(missing_docs, reason = "the names say it")]
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
}

/// What a refused wish is answered with.
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
#[path = "contract_tests.rs"]
mod tests;
