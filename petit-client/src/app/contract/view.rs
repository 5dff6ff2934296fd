//! What is drawn: the view and its parts.

pub use petit_engine::words::KeyWords;
use serde::{Deserialize, Serialize};

use super::{Tone, Words};

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
    /// Six words of the server's key.
    pub server_words: KeyWords,
    /// Six words of this computer's key.
    pub key_words: KeyWords,
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
