//! Which downloads there may be at the same time, who gives way where there are as many as there may be, and how fast all
//! of them together may go.
//!
//! Each may end when a newcomer needs its place, because its device goes on from where it was. The one that ends is the
//! slowest for what its network has: neither many that take a drop now and then nor many of one network keep others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use petit_engine::limits;
use petit_engine::name::DeviceId;
use petit_engine::secret::PublicKey;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::networks::prefixes;

/// Where all go at a pace, each has so many pieces in [`limits::DOWNLOAD_TURN`].
const PIECES_IN_A_TURN: usize = 3;
/// So much time that nobody has used is made up for.
const MAKES_UP: Duration = Duration::from_millis(50);

/// Downloads that are under way.
#[derive(Debug)]
pub(crate) struct Downloads {
    most: usize,
    /// `None`: as fast as the lines take them.
    pace: Option<Pace>,
    open: Mutex<Open>,
    bytes: AtomicU64,
    busy: AtomicU64,
}

/// Counters of downloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DownloadCounts {
    /// Under way now.
    pub now: usize,
    /// Bytes of artifacts that were sent.
    pub bytes: u64,
    /// Those that were told to come back later, because there were as many as there may be.
    pub busy: u64,
    /// Those that have given way to another one, and go on when they come again.
    pub gave_way: u64,
}

#[derive(Debug, Default)]
struct Open {
    /// No more than [`limits::DOWNLOADS`], so they are counted by walking over them.
    all: HashMap<u64, Arc<Held>>,
    begun: u64,
    gave_way: u64,
}

/// Whose a download is, and how it goes.
#[derive(Debug)]
struct Held {
    whose: Newcomer,
    progress: Mutex<Progress>,
    /// It waits for its first piece still, which is nothing that it could be too slow for.
    is_owed: AtomicBool,
    ended: Notify,
}

/// A download's place, while it lives.
#[derive(Debug)]
pub(crate) struct DownloadPlace<'a> {
    downloads: &'a Downloads,
    number: u64,
    held: Arc<Held>,
}

/// Who wants a place.
#[derive(Clone, Debug)]
pub(crate) struct Newcomer {
    pub(crate) device: DeviceId,
    pub(crate) key: PublicKey,
    /// None of an address that speaks for many.
    pub(crate) network: Option<IpAddr>,
}

impl Downloads {
    /// For a relay that takes so many connections: downloads leave nine tenths of them to others. `rate`: bytes in a
    /// second, of all together.
    pub(crate) fn new(connections: usize, rate: Option<u64>) -> Self {
        let pace = rate.map(Pace::new);
        let within_pace = pace.as_ref().map_or(usize::MAX, Pace::most);
        let most = limits::DOWNLOADS.min(connections / 10).min(within_pace).max(1);
        Self { most, pace, open: Mutex::default(), bytes: AtomicU64::new(0), busy: AtomicU64::new(0) }
    }

    pub(crate) fn counts(&self) -> DownloadCounts {
        let open = self.open();
        DownloadCounts {
            now: open.all.len(),
            gave_way: open.gave_way,
            bytes: self.bytes.load(Ordering::Relaxed),
            busy: self.busy.load(Ordering::Relaxed),
        }
    }

    /// A place for one more, which another one may have to give up; `None` when there are as many as there may be, and
    /// each has had it for less than [`limits::DOWNLOAD_TURN`], or has waited for its first piece since.
    pub(crate) fn enter(&self, newcomer: &Newcomer, now: Instant) -> Option<DownloadPlace<'_>> {
        let mut open = self.open();
        if !open.make_room(newcomer, self.most, now) {
            self.busy.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let (whose, progress) = (newcomer.clone(), Mutex::new(Progress::begin(now)));
        let is_owed = AtomicBool::new(self.pace.is_some());
        let held = Arc::new(Held { whose, progress, is_owed, ended: Notify::new() });
        open.begun += 1;
        let number = open.begun;
        open.all.insert(number, Arc::clone(&held));
        drop(open);
        Some(DownloadPlace { downloads: self, number, held })
    }

    /// Ends the downloads of a device whose key is not `known` any more.
    pub(crate) fn look_at(&self, device: DeviceId, known: impl Fn(&PublicKey) -> bool) {
        self.end_where(|held| held.whose.device == device && !known(&held.whose.key));
    }

    /// As [`look_at`](Self::look_at), of all devices.
    pub(crate) fn look_at_all(&self, known: impl Fn(&Newcomer) -> bool) {
        self.end_where(|held| !known(&held.whose));
    }

    fn end_where(&self, is_over: impl Fn(&Held) -> bool) {
        self.open().all.values().filter(|held| is_over(held)).for_each(|held| held.ended.notify_one());
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// False when there is no room for a newcomer, and nobody gives way.
    fn make_room(&mut self, newcomer: &Newcomer, most: usize, now: Instant) -> bool {
        // From the narrowest to the widest, so that who gives way in one makes room in all that are wider.
        for (group, most) in groups(newcomer, most) {
            if self.all.values().filter(|held| group.has(held)).count() < most {
                continue;
            }
            let Some(slowest) = self.slowest(group, now) else { return false };
            if let Some(gone) = self.all.remove(&slowest) {
                gone.ended.notify_one();
                self.gave_way += 1;
            }
            return true;
        }
        true
    }

    /// Of a group, the one that gets least for what its network has; none that has just begun.
    fn slowest(&self, group: Group, now: Instant) -> Option<u64> {
        let mut of_network: HashMap<IpAddr, usize> = HashMap::new();
        for network in self.all.values().filter_map(|held| held.whose.network) {
            *of_network.entry(network).or_default() += 1;
        }
        let rate = |held: &Held| {
            let beside =
                held.whose.network.and_then(|network| of_network.get(&network)).copied().unwrap_or(1);
            held.progress().rate(now) / beside.max(1) as f64
        };
        let has_had_its_turn = |held: &Held| {
            !held.is_owed.load(Ordering::Relaxed) && held.progress().age(now) >= limits::DOWNLOAD_TURN
        };
        let may = self.all.iter().filter(|(_, held)| group.has(held) && has_had_its_turn(held));
        may.map(|(number, held)| (*number, rate(held)))
            .min_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(number, _)| number)
    }
}

/// Downloads that are counted together.
#[derive(Clone, Copy, Debug)]
enum Group {
    Device(DeviceId),
    Network(IpAddr),
    Prefix(ipnet::Ipv6Net),
    All,
}

impl Group {
    fn has(self, held: &Held) -> bool {
        match self {
            Self::Device(device) => held.whose.device == device,
            Self::Network(network) => held.whose.network == Some(network),
            Self::Prefix(prefix) => match held.whose.network {
                Some(IpAddr::V6(network)) => prefix.contains(&network),
                _ => false,
            },
            Self::All => true,
        }
    }
}

/// What a newcomer counts for, and how many each may have, from the narrowest to the widest.
fn groups(newcomer: &Newcomer, all: usize) -> impl Iterator<Item = (Group, usize)> {
    let of_address = limits::DOWNLOADS_PER_ADDRESS;
    let prefixes = newcomer.network.and_then(prefixes);
    let prefixes = prefixes.into_iter().flat_map(move |[in_56, in_48]| {
        // Never all that there are.
        let most = |addresses: usize| (of_address * addresses).min(all / 2).max(of_address.min(all));
        [(in_56, most(limits::ADDRESSES_IN_56)), (in_48, most(limits::ADDRESSES_IN_48))]
    });
    std::iter::once((Group::Device(newcomer.device), limits::DOWNLOADS_PER_DEVICE))
        .chain(newcomer.network.map(|network| (Group::Network(network), of_address)))
        .chain(prefixes.map(|(prefix, most)| (Group::Prefix(prefix), most)))
        .chain([(Group::All, all)])
}

impl Held {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DownloadPlace<'_> {
    /// Waits until so much may be sent.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is taken from the others then.
    pub(crate) async fn may_send(&self, bytes: usize) {
        if let Some(pace) = &self.downloads.pace {
            pace.take(bytes).await;
            self.held.is_owed.store(false, Ordering::Relaxed);
        }
    }

    /// So much has been sent.
    pub(crate) fn sent(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.held.progress().passed(bytes, Instant::now());
        self.downloads.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Waits until the download is to end at once: another one has its place, or its device is not registered any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ended(&self) {
        self.held.ended.notified().await;
    }
}

impl Drop for DownloadPlace<'_> {
    fn drop(&mut self) {
        self.downloads.open().all.remove(&self.number);
    }
}

/// How much of a download has passed lately: in the turn that is under way, and in the one before.
#[derive(Debug)]
struct Progress {
    begun: Instant,
    turn: Turn,
    before: Option<Turn>,
}

#[derive(Clone, Copy, Debug)]
struct Turn {
    since: Instant,
    bytes: u64,
}

impl Progress {
    fn begin(now: Instant) -> Self {
        Self { begun: now, turn: Turn { since: now, bytes: 0 }, before: None }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    fn passed(&mut self, bytes: u64, now: Instant) {
        if now.saturating_duration_since(self.turn.since) >= limits::DOWNLOAD_TURN {
            self.before = Some(std::mem::replace(&mut self.turn, Turn { since: now, bytes: 0 }));
        }
        self.turn.bytes = self.turn.bytes.saturating_add(bytes);
    }

    /// Bytes in a second.
    fn rate(&self, now: Instant) -> f64 {
        let since = self.before.map_or(self.turn.since, |before| before.since);
        let bytes = self.before.map_or(0, |before| before.bytes).saturating_add(self.turn.bytes);
        let time = now.saturating_duration_since(since).max(Duration::from_millis(1));
        bytes as f64 / time.as_secs_f64()
    }
}

/// How fast all downloads together go: a piece after the other, in the order in which they were asked for.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u64,
    /// When the next piece may go. Held by the one that waits for that moment, and the others wait for the lock, which is
    /// fair; so one that is given up in the wait has taken nothing.
    next: tokio::sync::Mutex<Option<Instant>>,
}

impl Pace {
    fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), next: tokio::sync::Mutex::default() }
    }

    /// So many may share it that each has had a few pieces when it may have to give way.
    fn most(&self) -> usize {
        let bytes = self.bytes_per_second.saturating_mul(limits::DOWNLOAD_TURN.as_secs());
        usize::try_from(bytes).unwrap_or(usize::MAX) / (limits::DOWNLOAD_PIECE_BYTES * PIECES_IN_A_TURN)
    }

    /// Waits until so much may be sent.
    async fn take(&self, bytes: usize) {
        let mut next = self.next.lock().await;
        if let Some(next) = *next {
            tokio::time::sleep_until(next).await;
        }
        let now = Instant::now();
        // Timers are late by a moment, which would be lost with each piece.
        let begin = next.map_or(now, |next| next.max(now.checked_sub(MAKES_UP).unwrap_or(now)));
        *next = Some(begin + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64));
    }
}

#[cfg(test)]
mod tests;
