//! What is remembered of each device that logs in: how often it does, how often one computer takes its identity
//! from another, and when it was given another name.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use petit_engine::limits;
use petit_engine::name::DeviceId;
use petit_engine::proto::rate::Rate;

use super::remembered::Remembered;

/// The histories of all devices that have logged in lately.
#[derive(Default)]
pub(super) struct Logins {
    histories: Mutex<Remembered<DeviceId, LoginHistory>>,
}

struct LoginHistory {
    logins: Rate,
    /// When a live session of another process was replaced, and from where.
    takeovers: VecDeque<(Instant, IpAddr)>,
    renamed: Option<Instant>,
    breach: Option<RecordedBreach>,
    last: Instant,
}

/// A rule of the protocol that a client has broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedBreach {
    pub at: SystemTime,
    /// Which, in the words of the log.
    pub rule: String,
}

impl LoginHistory {
    fn new(now: Instant) -> Self {
        let logins = Rate::new(limits::LOGINS_PER_SECOND, limits::LOGINS_AT_ONCE);
        Self { logins, takeovers: VecDeque::new(), renamed: None, breach: None, last: now }
    }

    /// Takes note of a takeover. True when there have been so many, from more than one address, that two
    /// computers must be fighting over one key.
    fn record_takeover(&mut self, from: IpAddr, now: Instant) -> bool {
        self.takeovers.push_back((now, from));
        while self.takeovers.front().is_some_and(|(at, _)| now.duration_since(*at) > limits::TAKEOVERS_WITHIN)
        {
            self.takeovers.pop_front();
        }
        let elsewhere = self.takeovers.iter().any(|(_, address)| *address != from);
        self.takeovers.len() > limits::TAKEOVERS && elsewhere
    }
}

/// One key fought over by two computers.
#[derive(Debug)]
pub(super) struct ClonedKey;

impl Logins {
    fn histories(&self) -> MutexGuard<'_, Remembered<DeviceId, LoginHistory>> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a device's history. Whoever has been quiet for a while is forgotten, so that the table does
    /// not outgrow the sessions.
    fn with<T>(&self, device: &DeviceId, now: Instant, work: impl FnOnce(&mut LoginHistory) -> T) -> T {
        let kept = |history: &LoginHistory, _| {
            let since = |at: Instant| now.saturating_duration_since(at);
            since(history.last) <= limits::TAKEOVERS_WITHIN
                || history.renamed.is_some_and(|at| since(at) <= limits::RENAME_EVERY)
        };
        let mut histories = self.histories();
        work(histories.entry(*device, kept, || LoginHistory::new(now)))
    }

    /// Takes note of a log-in. False when a device has logged in too often of late.
    pub(super) fn count_login(&self, device: &DeviceId) -> bool {
        let now = Instant::now();
        self.with(device, now, |history| {
            history.last = now;
            history.logins.allow(now)
        })
    }

    /// Takes note of a session from `from` that is about to take the place of another process with the same key.
    ///
    /// # Errors
    /// [`ClonedKey`] when this has happened too often: then nothing is to be taken over.
    pub(super) fn record_takeover(&self, device: &DeviceId, from: IpAddr) -> Result<(), ClonedKey> {
        let now = Instant::now();
        match self.with(device, now, |history| history.record_takeover(from, now)) {
            true => Err(ClonedKey),
            false => Ok(()),
        }
    }

    /// Takes note that a device has broken a rule of the protocol.
    pub(super) fn broke(&self, device: &DeviceId, rule: String) {
        let breach = RecordedBreach { at: SystemTime::now(), rule };
        self.with(device, Instant::now(), |history| history.breach = Some(breach));
    }

    /// What a device has broken last, as far as that is remembered: it is forgotten before whoever has logged in
    /// lately.
    pub(super) fn breach(&self, device: &DeviceId) -> Option<RecordedBreach> {
        self.histories().get_mut(device)?.breach.clone()
    }

    /// When a device may be called something else again.
    pub(super) fn next_rename(&self, device: &DeviceId, now: Instant) -> Instant {
        self.with(device, now, |history| history.renamed.map_or(now, |at| at + limits::RENAME_EVERY))
    }

    /// Takes note that a device was called something else.
    pub(super) fn renamed(&self, device: &DeviceId, now: Instant) {
        self.with(device, now, |history| history.renamed = Some(now));
    }
}
