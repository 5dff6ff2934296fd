//! Why a change was not made: nothing has changed then.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, PolicyName, RegisteredId, VisitorKeyName};
use petit_engine::secret::{InviteId, NoRandom};
use petit_relay::policy::InvalidAddress;

use super::policy::PolicyTarget;
use super::timestamp::Timestamp;

/// What a database, or the system, said.
pub type StoreErrorSource = Box<dyn Error + Send + Sync>;

/// Why the store did not do what it was asked. Nothing has changed then.
///
/// Says nothing of the place where the registry is; whoever shows it adds that with [`StoreError::at`].
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<StoreErrorSource>,
}

/// What has gone wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// What is found there is not a registry, or is damaged.
    NotARegistry,
    /// There is none.
    Missing,
    /// It is there, but cannot be opened.
    CannotOpen,
    /// A later version of Petit has written it.
    TooNew {
        /// Its form.
        found: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// Somebody has removed it, or put another one in its place, while it was open.
    Replaced,
    /// More changes wait than can be made in time.
    Busy,
    /// Reading or writing failed: the disk is full, read-only, or gone.
    Failed,
    /// Another process keeps it now.
    Elsewhere,
    /// It was closed, because the server ends.
    Closed,
    /// A row does not hold what it should.
    Row {
        /// What it should hold.
        what: &'static str,
    },
    /// What was asked for is not there, or is in the way.
    Conflict(Conflict),
}

impl StoreErrorKind {
    fn write(&self, f: &mut fmt::Formatter<'_>, at: Option<&Path>) -> fmt::Result {
        let (found, named, where_) = match at.map(Path::display) {
            Some(path) => (path.to_string(), format!("the registry {path}"), format!(" at {path}")),
            None => ("the file".to_owned(), "the registry".to_owned(), String::new()),
        };
        match self {
            Self::NotARegistry => write!(f, "{found} is not a Petit registry, or is damaged"),
            Self::Missing => write!(f, "there is no registry{where_}"),
            Self::CannotOpen => {
                write!(f, "{named} cannot be opened; check its owner, its rights and the disk")
            }
            Self::TooNew { found: form, known } => {
                write!(
                    f,
                    "{found} was written by a later version of Petit (form {form}, this one knows {known})"
                )
            }
            Self::Replaced => write!(
                f,
                "{named} was removed or replaced while the server runs, and nothing was changed; save what the server still has of it with: petit-server backup FOLDER"
            ),
            Self::Busy => {
                f.write_str("the registry has more changes to make than it can; try again in a moment")
            }
            Self::Failed => f.write_str("the registry cannot be read or written"),
            Self::Elsewhere => f.write_str("another process keeps the registry now"),
            Self::Closed => f.write_str("the server ends, and has closed the registry"),
            Self::Row { what } => write!(f, "the registry holds an invalid {what}"),
            Self::Conflict(conflict) => fmt::Display::fmt(conflict, f),
        }
    }
}

impl StoreError {
    /// One that has come about by something else. `source` of a full disk is an [`io::Error`] of
    /// [`io::ErrorKind::StorageFull`], whatever the database calls it.
    pub fn new(kind: StoreErrorKind, source: impl Into<StoreErrorSource>) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// What has gone wrong.
    pub fn kind(&self) -> &StoreErrorKind {
        &self.kind
    }

    /// With the place that it is about, for whoever shows it.
    pub fn at(self, place: &Path) -> StoreErrorAt {
        StoreErrorAt { place: place.to_owned(), error: self }
    }

    /// A row does not hold what it should.
    pub(crate) fn row(what: &'static str) -> Self {
        StoreErrorKind::Row { what }.into()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.write(f, None)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<StoreErrorKind> for StoreError {
    fn from(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<Conflict> for StoreError {
    fn from(conflict: Conflict) -> Self {
        StoreErrorKind::Conflict(conflict).into()
    }
}

impl From<NoRandom> for StoreError {
    fn from(error: NoRandom) -> Self {
        Self::new(StoreErrorKind::Failed, error)
    }
}

/// A [`StoreError`] that says where the registry is.
#[derive(Debug)]
pub struct StoreErrorAt {
    place: PathBuf,
    error: StoreError,
}

impl StoreErrorAt {
    /// What has gone wrong.
    pub fn kind(&self) -> &StoreErrorKind {
        self.error.kind()
    }
}

impl fmt::Display for StoreErrorAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.kind.write(f, Some(&self.place))
    }
}

impl Error for StoreErrorAt {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// True when an error of this program's came about because a disk has no room, or its user may have no more of it.
pub fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let is_full = |error: &(dyn Error + 'static)| {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    };
    std::iter::successors(Some(error), |error| (**error).source()).any(is_full)
}

/// When and why a roll-out was halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaltBefore {
    pub reason: String,
    pub since: Timestamp,
    /// Nobody has asked for it.
    pub by_itself: bool,
}

fn halt(is: &str, when: &str, HaltBefore { reason, since, by_itself }: &HaltBefore) -> String {
    let by = if *by_itself { " by itself" } else { "" };
    format!("{is}{by} {when} {since}: {reason}")
}

/// Why a change cannot be made; for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// No such service.
    #[error("no service is registered as {0}")]
    NoService(RegisteredId),
    /// No such device.
    #[error("no client is registered as {0}")]
    NoDevice(DeviceId),
    /// No such alias, or not of this service.
    #[error("{id} has no alias {alias}")]
    NoAlias {
        /// Whose it should be.
        id: RegisteredId,
        alias: Alias,
    },
    /// It belongs to another service.
    #[error("{alias} belongs to {id} already")]
    AliasTaken {
        alias: Alias,
        /// Whose it is.
        id: RegisteredId,
    },
    /// An invite that has not been used yet was promised it.
    #[error(
        "{alias} is promised to invite {invite}, which has not been used yet; take that back with: petit-server invite --withdraw {invite}"
    )]
    AliasPromised {
        alias: Alias,
        /// To which invite.
        invite: InviteId,
    },
    /// It belonged to another client not long ago; whoever still uses it would reach the wrong one.
    #[error(
        "{alias} was taken from client {device} not long ago and is kept for it for another {days_left} days; to give it away all the same, add --force"
    )]
    AliasTombstoned {
        alias: Alias,
        /// Whose it was.
        device: DeviceId,
        /// For how long it is kept.
        days_left: u64,
    },
    /// Its client could not be told of another one.
    #[error(
        "{id} has {count} aliases with {bytes} bytes together, and one more would be too many: its client can be told of {most} bytes; take one that is not needed away with: petit-server removealias {id} ALIAS"
    )]
    TooManyAliases {
        id: RegisteredId,
        /// How many it has.
        count: usize,
        /// What they take in a message.
        bytes: usize,
        /// What they may take.
        most: usize,
    },
    /// More would be found by no one.
    #[error("a client or an invite has {most} tags at most, and would have {count}", most = limits::MAX_TAGS)]
    TooManyTags {
        /// How many it would have.
        count: usize,
    },
    /// No such invite that could still be used.
    #[error("there is no such invite that could still be used")]
    NoInvite,
    /// No such policy in the registry.
    #[error("there is no policy {0}; see them with: petit-server policy list")]
    NoPolicy(PolicyName),
    /// The config file has it, and what stands there is changed there.
    #[error("the policy {0} stands in the config file; change it there, or take it out of it first")]
    PolicyInFile(PolicyName),
    /// It stands in the config file twice.
    #[error("two policies are called {0}; each has a name of its own")]
    PolicyTwice(PolicyName),
    /// It stands in the config file and in the registry.
    #[error(
        "a policy {0} stands in the registry, too; to let this one take the place of that one: petit-server policy move {0}; or call this one something else"
    )]
    PolicyInBoth(PolicyName),
    /// It would be a policy for no service.
    #[error("the policy {0} names no services; say which with --services, such as --services default")]
    PolicyOfNothing(PolicyName),
    /// It names more than can be looked through for a request.
    #[error("the policy {policy} names too much: {most} services, {most} networks and {most} keys at most")]
    PolicyTooLong {
        policy: PolicyName,
        /// Entries that a list may have.
        most: usize,
    },
    /// Each change of one makes all of them anew.
    #[error(
        "there are {most} policies, and there may be no more, those of the config file among them; let one be for more services, or take one away with: petit-server policy remove NAME",
        most = limits::MAX_POLICIES
    )]
    TooManyPolicies,
    /// As of policies.
    #[error(
        "there are {most} keys, those that were revoked among them, and there may be no more; the name of one that was revoked can be used again",
        most = limits::MAX_VISITOR_KEYS
    )]
    TooManyKeys,
    /// What a policy names as an address is none, or not as it is meant.
    #[error("the policy {policy}: {problem}")]
    PolicyAddress { policy: PolicyName, problem: Box<InvalidAddress> },
    /// A burst is how far a rate may be exceeded for a moment.
    #[error("the policy {0} has a burst and no rate; give it a rate, or take the burst away")]
    BurstWithoutRate(PolicyName),
    /// Two policies name the same service.
    #[error("both the policy {one} and the policy {other} name {target}; take it out of one of them")]
    PoliciesOverlap {
        one: PolicyName,
        other: PolicyName,
        /// What the second one calls it.
        target: PolicyTarget,
    },
    /// Its services would have two policies.
    #[error(
        "client {client} has tags of both the policy {one} and the policy {other}, and its services can be held to one of them; take a tag from it with: petit-server clients untag {client} TAG, or out of a policy"
    )]
    TagsDisagree { client: Box<DeviceId>, one: PolicyName, other: PolicyName },
    /// No such key, where one is to be named.
    #[error("there is no key {0}; make it with: petit-server key create {0}")]
    NoKey(VisitorKeyName),
    /// No such key, where one is to be ended.
    #[error("there is no key {0}; see them with: petit-server key list")]
    UnknownKey(VisitorKeyName),
    /// It lets nobody in.
    #[error(
        "the key {0} was revoked, and lets nobody in; name another one, or make it anew with: petit-server key create {0}"
    )]
    RevokedKey(VisitorKeyName),
    /// It was ended before.
    #[error("the key {0} is revoked already")]
    RevokedAlready(VisitorKeyName),
    /// That release is being rolled out already, or was.
    #[error(
        "this release is being rolled out already, or has reached everybody; see how far with: petit-server rollout status"
    )]
    RolloutThere,
    /// The roll-out of that release is the one that was started last.
    #[error(
        "the roll-out of this release {}; to go on with it: petit-server rollout resume; to begin again with the first ring: petit-server rollout start --again",
        halt("is halted", "since", .0)
    )]
    RolloutHalted(HaltBefore),
    /// An earlier roll-out of that release, before that of another one.
    #[error(
        "an earlier roll-out of this release {}; to announce it all the same: petit-server rollout start --again",
        halt("was halted", "at", .0)
    )]
    RolloutHaltedBefore(HaltBefore),
    #[error(
        "an earlier roll-out of this release was rolled back; to announce it all the same: petit-server rollout start --again"
    )]
    RolloutRolledBack,
    #[error("there is no roll-out; begin one with: petit-server rollout start")]
    NoRollout,
    /// It would hand out what is not there.
    #[error(
        "the roll-out that was started last is of another release than the one that is there; begin one of this with: petit-server rollout start"
    )]
    RolloutOfAnother,
    /// It stands where that cannot be done to it.
    #[error("the roll-out cannot do that: {0}")]
    RolloutStands(&'static str),
    /// There is one of this name.
    #[error("there is a key {0} already; to give it another secret: petit-server key create {0} --rotate")]
    KeyExists(VisitorKeyName),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_place_only_where_it_is_shown() {
        let place = Path::new("/srv/petit/registry.db");
        for kind in [
            StoreErrorKind::NotARegistry,
            StoreErrorKind::Missing,
            StoreErrorKind::CannotOpen,
            StoreErrorKind::TooNew { found: 9, known: 2 },
            StoreErrorKind::Replaced,
        ] {
            let error = StoreError::from(kind.clone());
            assert!(!error.to_string().contains("registry.db"), "{error}");
            let shown = error.at(place);
            assert!(shown.to_string().contains("/srv/petit/registry.db"), "{shown}");
            assert_eq!(shown.kind(), &kind);
        }
    }

    #[test]
    fn a_full_disk_is_found_behind_whatever_it_made_fail() {
        let full = || io::Error::new(io::ErrorKind::StorageFull, "database or disk is full");
        let failed = StoreError::new(StoreErrorKind::Failed, full());
        assert_eq!(failed.source().unwrap().to_string(), "database or disk is full");
        assert!(is_disk_full(&failed) && is_disk_full(&failed.at(Path::new("registry.db"))));
        let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        assert!(!is_disk_full(&StoreError::new(StoreErrorKind::Failed, read_only)));
        assert!(!is_disk_full(&StoreError::from(StoreErrorKind::Busy)));
    }
}
