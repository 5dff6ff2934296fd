//! What is to become of the bytes of a connection, and what has become of them.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;

/// What one direction does to the bytes that go through it. [`Trouble::default`] does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// From the moment a byte comes in until it goes out.
    pub latency: Duration,
    /// Bytes that get through in a second; the rest waits at its sender.
    pub bytes_per_second: Option<u64>,
    /// Bytes that wait in front of a line with a bandwidth, as in a modem. The rest waits at its sender: a full
    /// queue takes nothing more, where a real one drops what comes.
    pub queue: usize,
    /// The most bytes that go out in one piece.
    pub slice: Option<usize>,
    /// How much later than the last byte the end of sending arrives.
    pub late_end: Duration,
    /// After so many bytes of a connection, not one more, it is reset on both sides.
    pub reset_after: Option<u64>,
    /// What becomes of bytes at all.
    pub flow: Flow,
}

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They arrive.
    #[default]
    Passes,
    /// They stay with their sender until the flow passes again; none is lost.
    Held,
    /// They vanish, and so do all later ones of the same connection: a black hole does not give back.
    Lost,
}

impl Trouble {
    /// Latency alone.
    pub fn latency(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    /// A bandwidth alone.
    pub fn bytes_per_second(rate: u64) -> Self {
        Self { bytes_per_second: Some(rate), ..Self::default() }
    }

    /// A flow alone.
    pub fn flow(flow: Flow) -> Self {
        Self { flow, ..Self::default() }
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who has connected to the target.
    There,
    /// From the target to who has connected.
    Back,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    pub(super) target: SocketAddr,
    pub(super) refuse: bool,
    pub(super) there: Trouble,
    pub(super) back: Trouble,
}

impl Orders {
    pub(super) fn of(&self, direction: Direction) -> Trouble {
        match direction {
            Direction::There => self.there,
            Direction::Back => self.back,
        }
    }
}

/// What went through so far.
pub(super) struct Seen {
    pub(super) accepted: AtomicU64,
    pub(super) there: AtomicU64,
    pub(super) back: AtomicU64,
    pub(super) open: watch::Sender<usize>,
}

impl Seen {
    pub(super) fn bytes(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::There => &self.there,
            Direction::Back => &self.back,
        }
    }
}
