//! Leaving: for good, or because another process takes this one's place. How far it has come; what is done for it stands
//! in `farewell`.
//!
//! A relay that stops closes what is idle and lets the rest finish. One whose place is taken accepts nothing more
//! either, but serves on what it has: its agents begin sessions with the other process while their old ones go on,
//! and visitors' idle connections stay until their next request. In both, WebSockets and event streams, which have
//! no end of their own, are told to go after a while. One whose place was taken can come back until it is ended, also
//! when nothing is under way any more: its successor may die at any moment.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// Why a relay leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Nobody serves here after it.
    Stop,
    /// Another process serves on the same sockets.
    Move,
}

/// How a relay leaves.
#[derive(Clone, Copy, Debug)]
pub struct Farewell {
    pub leave: Leave,
    /// WebSockets and event streams are told to go after this.
    pub goodbye: Duration,
    /// Whatever is under way after this is cut.
    pub limit: Duration,
}

/// What is under way, by what a person calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Requests, downloads and uploads among them.
    pub requests: usize,
    /// Answers that are streams of events.
    pub event_streams: usize,
    /// WebSockets.
    pub websockets: usize,
    /// Connections to raw TCP services.
    pub tcp: usize,
}

impl UnderWay {
    /// True when nothing is.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether the relay is leaving, and how far it has come.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) stage: watch::Sender<Stage>,
    /// True from when WebSockets and event streams are told to go.
    pub(super) goodbye: watch::Sender<bool>,
    /// As the stage says, for every request: an answer of HTTP/1.1 is the last one of its connection.
    pub(super) last_answers: AtomicBool,
    pub(super) websockets: Arc<AtomicUsize>,
    pub(super) event_streams: Arc<AtomicUsize>,
    pub(super) tcp: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    Leaving(Leave),
    /// Another process serves, and what was under way here has finished or was cut.
    Drained,
    Ended,
}

impl Stage {
    /// True while another process serves, and may die.
    pub(super) fn may_come_back(self) -> bool {
        matches!(self, Self::Leaving(Leave::Move) | Self::Drained)
    }
}

/// One of a kind that is counted, while it lives.
#[derive(Debug)]
pub(super) struct Tally(Arc<AtomicUsize>);

impl Tally {
    fn one(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Leaving {
    fn default() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Serving),
            goodbye: watch::Sender::new(false),
            last_answers: AtomicBool::new(false),
            websockets: Arc::default(),
            event_streams: Arc::default(),
            tcp: Arc::default(),
        }
    }
}

impl Leaving {
    pub(super) fn set(&self, stage: Stage) {
        self.last_answers.store(stage != Stage::Serving, Ordering::Relaxed);
        self.stage.send_replace(stage);
    }

    /// Why the relay leaves, if it does.
    pub(super) fn why(&self) -> Option<Leave> {
        match *self.stage.borrow() {
            Stage::Serving => None,
            Stage::Leaving(leave) => Some(leave),
            Stage::Drained => Some(Leave::Move),
            Stage::Ended => Some(Leave::Stop),
        }
    }

    /// True when the next answer on a connection of HTTP/1.1 is to be its last.
    pub(super) fn ends_connections(&self) -> bool {
        self.last_answers.load(Ordering::Relaxed)
    }

    /// Waits until a visitor's connection is to be closed when nothing is under way on it. One that `stays` waits for
    /// its next request when another process takes this one's place: a request may be on its way already.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn closes(&self, stays: impl Fn() -> bool) {
        let closes = |stage: &Stage| match stage {
            Stage::Serving => false,
            Stage::Leaving(Leave::Move) => !stays(),
            Stage::Leaving(Leave::Stop) | Stage::Drained | Stage::Ended => true,
        };
        let _ = self.stage.subscribe().wait_for(closes).await;
    }

    /// Waits until WebSockets and event streams are told to go.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) fn goodbye(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut said = self.goodbye.subscribe();
        async move {
            if said.wait_for(|said| *said).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Counts a WebSocket.
    pub(super) fn websocket(&self) -> Tally {
        Tally::one(&self.websockets)
    }

    /// Counts an answer that is a stream of events.
    pub(super) fn event_stream(&self) -> Tally {
        Tally::one(&self.event_streams)
    }

    /// Counts a connection to a raw TCP service.
    pub(super) fn tcp(&self) -> Tally {
        Tally::one(&self.tcp)
    }
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct AbortOnDrop(pub(super) tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
