//! What a relay does when it leaves, or comes back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use petit_engine::limits;
use petit_engine::proto::control::FromRelay;

use super::leaving::{AbortOnDrop, Farewell, Leave, Stage, UnderWay};
use super::session::Session;
use super::{Relay, RelayShared};

impl RelayShared {
    /// Runs a task that ends at the latest when the relay has ended.
    pub(super) fn until_ended(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut stage = self.leaving.stage.subscribe();
        self.long_running.spawn(async move {
            tokio::select! {
                () = task => {}
                _ = stage.wait_for(|stage| *stage == Stage::Ended) => {}
            }
        });
    }

    /// Runs `serve` for as long as the relay serves, and anew when it has come back. Ends when the relay has left.
    pub(super) fn while_serving<F>(&self, mut serve: impl FnMut() -> F + Send + 'static) -> AbortOnDrop
    where
        F: Future<Output = ()> + Send,
    {
        let mut stage = self.leaving.stage.subscribe();
        let task = self.long_running.spawn(async move {
            loop {
                let now = stage.wait_for(|stage| !stage.may_come_back()).await;
                if !now.is_ok_and(|stage| *stage == Stage::Serving) {
                    return;
                }
                tokio::select! {
                    () = serve() => return,
                    _ = stage.wait_for(|stage| *stage != Stage::Serving) => {}
                }
            }
        });
        AbortOnDrop(task.abort_handle())
    }

    /// Asks a session to go: to the process that takes this one's place, or just away.
    pub(super) fn ask_to_go(&self, session: &Session, leave: Leave) {
        session.pool.close();
        if leave == Leave::Move && session.moves {
            session.send(&FromRelay::Move {});
        } else {
            session.mux.go_away(Duration::ZERO);
        }
    }
}

/// How often it is looked whether anything is still under way: each look is one at every session.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Relay {
    /// Leaves: takes no new connection from this call on; the future tells agents and visitors, lets what is under
    /// way finish, then cuts the rest. One that stops closes its listening sockets at once, and has ended afterwards;
    /// one whose place is taken keeps them, and waits to be ended by [`Relay::end`].
    ///
    /// # Cancel safety
    /// Cancelling leaves the relay as far as it has come; [`Relay::stay`] brings one back whose place was taken.
    pub fn leave(&self, farewell: Farewell) -> impl Future<Output = ()> + Send + use<> {
        self.shared.leaving.set(Stage::Leaving(farewell.leave));
        if farewell.leave == Leave::Stop {
            // Whoever connects to a socket that nobody accepts from would wait in the kernel's queue.
            self.let_go();
        }
        let relay = self.clone();
        async move { relay.finish(farewell).await }
    }

    async fn finish(&self, farewell: Farewell) {
        let shared = &self.shared;
        let idle = async {
            self.ask_all_to_go(farewell.leave).await;
            self.moved(farewell.leave).await;
            self.idle(farewell.leave).await;
        };
        let goodbye = async {
            tokio::time::sleep(farewell.goodbye).await;
            shared.leaving.goodbye.send_replace(true);
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(farewell.limit, async {
            tokio::select! {
                () = idle => {}
                () = goodbye => {}
            }
        })
        .await;
        match farewell.leave {
            Leave::Stop => self.end(),
            Leave::Move => self.cut(Stage::Drained),
        }
        let closed = async {
            shared.tasks.wait().await;
            if farewell.leave == Leave::Stop {
                shared.long_running.wait().await;
            }
        };
        shared.tasks.close();
        shared.long_running.close();
        // Closing is quick; tasks that outlive it are aborted with the runtime.
        let _ = tokio::time::timeout(limits::CLOSING, closed).await;
        shared.session_log.log_sums();
        shared.refusal_log.log_sums();
    }

    /// Cuts what is under way, and goes on to `stage`.
    fn cut(&self, stage: Stage) {
        for session in self.shared.registry.sessions() {
            session.mux.cut();
        }
        self.shared.leaving.set(stage);
    }

    /// Ends everything at once, and closes the listening sockets. It cannot come back after that.
    pub fn end(&self) {
        self.cut(Stage::Ended);
        self.let_go();
    }

    /// Waits, after [`Relay::end`], until what was under way has ended and was told to the observer: for a moment, as closing
    /// is quick.
    pub async fn ended(&self) {
        let tasks = &self.shared.tasks;
        tasks.close();
        let _ = tokio::time::timeout(limits::CLOSING, tasks.wait()).await;
    }

    /// Comes back after [`Relay::leave`], cancelled or not: accepts again, and tries its fronts anew. Sessions that
    /// were sent away stay away. One that stops, or was ended, does not come back; one that has only let go of its
    /// sockets has nothing left to accept from, and must not be asked to.
    pub fn stay(&self) {
        let leaving = &self.shared.leaving;
        if leaving.stage.borrow().may_come_back() {
            leaving.goodbye.send_replace(false);
            self.shared.front_probes.begin_anew();
            leaving.set(Stage::Serving);
        }
    }

    /// What is under way.
    pub fn under_way(&self) -> UnderWay {
        let leaving = &self.shared.leaving;
        let event_streams = leaving.event_streams.load(Ordering::Relaxed);
        UnderWay {
            requests: self.counts().requests.saturating_sub(event_streams),
            event_streams,
            websockets: leaving.websockets.load(Ordering::Relaxed),
            tcp: leaving.tcp.load(Ordering::Relaxed),
        }
    }

    /// At a pace at which the other process can welcome them: nobody is served sooner when all come at once. Agents that
    /// are away for a moment come last, when visitors' idle connections to them are closed.
    async fn ask_all_to_go(&self, leave: Leave) {
        let mut sessions = self.shared.registry.sessions();
        sessions.sort_by_key(|session| !session.moves);
        let step = match leave {
            Leave::Stop => sessions.len().max(1),
            Leave::Move => limits::MOVES_PER_SECOND.div_ceil(limits::MOVE_STEPS_PER_SECOND) as usize,
        };
        for (number, sessions) in sessions.chunks(step).enumerate() {
            let closes_first = leave == Leave::Move && sessions.iter().any(|session| !session.moves);
            if number > 0 || closes_first {
                tokio::time::sleep(Duration::from_secs(1) / limits::MOVE_STEPS_PER_SECOND).await;
            }
            for session in sessions {
                self.shared.ask_to_go(session, leave);
            }
        }
    }

    /// Waits until those that were asked to move have: an agent whose session ended before would be without one.
    async fn moved(&self, leave: Leave) {
        let sessions = self.shared.registry.sessions();
        let moved = async {
            for session in sessions.iter().filter(|session| leave == Leave::Move && session.moves) {
                session.moved().await;
            }
        };
        let _ = tokio::time::timeout(limits::MOVED_WITHIN, moved).await;
    }

    /// Waits until nothing is under way, and, where idle visitors are not sent away, until they have gone: then all
    /// connections that are left are sessions.
    async fn idle(&self, leave: Leave) {
        for session in self.shared.registry.sessions() {
            session.mux.idle().await;
        }
        let is_idle = || {
            let sessions = self.shared.registry.sessions();
            let (connections, _) = self.shared.connections.counts();
            connections <= sessions.len() && sessions.iter().all(|session| session.mux.stats().streams == 0)
        };
        while leave == Leave::Move && !is_idle() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
