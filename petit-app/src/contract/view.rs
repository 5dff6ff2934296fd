//! What is drawn: the view and its parts.

pub use petit_engine::words::KeyWords;
use serde::{Deserialize, Serialize};

use super::tone::{Tone, Words};

/// Where everything stands, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// The state.
    pub state: State,
    /// The state in words.
    pub headline: Headline,
    /// What stands beside the headline, the primary action first.
    pub actions: Vec<Action>,
    /// Where this computer is registered.
    pub registered: Option<Registered>,
    /// The services that the vendor reaches.
    pub services: Vec<Service>,
    /// Services of the config that the vendor does not reach: they were not chosen for it.
    pub withheld: Vec<Kept>,
    /// A free name for a new service: the invite's, as long as no service has it.
    pub suggested: String,
    /// What the vendor calls the service that it has invited, as long as none of that name is set up.
    pub invited: Option<String>,
    /// How much goes through.
    pub traffic: Traffic,
    /// A mistake in the config file.
    pub config_problem: Option<Problem>,
    /// Things to know that are no state.
    pub notices: Vec<Notice>,
    /// What may be asked for now.
    pub can: Can,
}

/// The state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct State {
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
    /// In a word or two. It says nothing that changes every second.
    pub title: String,
    /// What there is to know before the state, while all is well: who reaches what. Empty otherwise.
    pub fact: String,
    /// What is exposed to whom, or why it does not work.
    pub detail: String,
    /// What to do; empty when nothing.
    pub advice: String,
}

/// An action that is offered beside the headline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// The action, or the page that it leads to.
    #[serde(rename = "wish")]
    pub name: ActionName,
    /// What its button says.
    pub label: String,
    /// It is what helps in this state. There is at most one, and it is the first.
    pub primary: bool,
}

/// The actions that are offered beside the headline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionName {
    /// Goes online, or tries again.
    Start,
    /// Ends a pause.
    Resume,
    /// Asks the keychain again.
    Unlock,
    /// Goes offline.
    Stop,
    /// Leads to where an invite is pasted.
    Register,
    /// Leads to the services.
    Services,
    /// Leads to the settings.
    Settings,
    /// Leads to the diagnostics.
    Diagnostics,
}

/// A service of the config as it was before this vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub name: String,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is.
    pub target: String,
    /// The server of the invite reached it before.
    pub chosen: bool,
}

/// Something that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// What it is here.
    pub value: String,
}

/// Where this computer is registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Registered {
    /// The server.
    pub server: String,
    /// What the vendor calls itself.
    pub vendor: Option<String>,
    /// What the vendor sees as the name of this computer.
    pub name: String,
    /// The server's name for this computer.
    pub device: String,
    /// Since when; seconds since 1970.
    pub since: Option<u64>,
    /// What the vendor learns of this computer.
    pub told: Vec<Fact>,
    /// Six words of the server's key.
    pub server_words: KeyWords,
    /// Six words of this computer's key.
    pub key_words: KeyWords,
    /// Where the key is.
    pub key_store: petit_client::config::KeyStore,
    /// The shortest round trip of the session.
    pub round_trip_us: Option<u64>,
}

/// What a service speaks.
pub use petit_engine::proto::control::ServiceKind;

/// A service as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    pub name: String,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is.
    pub target: String,
    /// Its public address.
    pub url: Option<String>,
    /// Its readable addresses.
    pub aliases: Vec<String>,
    /// Who can come in, in words, as the vendor's server says; `None` as long as it says nothing.
    pub admits: Option<String>,
    /// Green, red or neither.
    pub light: petit_client::status::Light,
    /// The light in words.
    pub words: Words,
    /// The way to it, in the order in which a visitor goes.
    pub hops: Vec<Hop>,
    /// When something last went all the way.
    pub proved_at: Option<u64>,
    /// The whole way can be tried now.
    pub can_check: bool,
    /// Connections to the service so far.
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
    pub id: HopId,
    pub label: String,
    /// How it stands.
    pub tone: Tone,
    /// The same in words: what was seen of it, or why nothing was.
    pub said: String,
    /// How long the last probe took on it.
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
    /// An action that helps.
    pub action: Option<NoticeAction>,
}

/// An action that helps with a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoticeAction {
    /// The action's name.
    #[serde(rename = "wish")]
    pub name: String,
    /// What its button says.
    pub label: String,
}

/// What may be asked for now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Can {
    pub start: bool,
    pub stop: bool,
    pub pause: bool,
    pub resume: bool,
    pub register: bool,
    pub forget: bool,
    pub unlock: bool,
}
