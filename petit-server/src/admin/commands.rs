//! Commands on their way to the main loop.

use std::time::Duration;

use petit_host::handover::Trouble;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::server::Reloaded;

/// What the main loop is asked to do.
#[derive(Debug)]
pub enum Command {
    /// End in an orderly way; asked for again, at once.
    Stop,
    /// Read the config again, and say what came of it.
    Reload(oneshot::Sender<Result<Reloaded, String>>),
    /// Have another process take this one's place, and say what came of it.
    Restart {
        /// It has to serve within this.
        within: Duration,
        /// Its process, or why it was of no use.
        answer: oneshot::Sender<Result<u32, Trouble>>,
    },
}

/// Commands that may wait, but for those to stop.
const WAITING: usize = 4;
/// The second one says that it is to be at once, and there is nothing beyond that.
const STOPS: usize = 2;

/// Gives commands to the main loop.
#[derive(Debug)]
pub struct Commands {
    others: mpsc::Sender<Command>,
    /// Apart, so that a stop is heard however many others wait.
    stops: mpsc::Sender<()>,
}

/// What the main loop takes them from.
#[derive(Debug)]
pub struct Inbox {
    others: mpsc::Receiver<Command>,
    stops: mpsc::Receiver<()>,
}

/// A way for commands.
pub fn commands() -> (Commands, Inbox) {
    let ((others, other_commands), (stops, stop_commands)) = (mpsc::channel(WAITING), mpsc::channel(STOPS));
    (Commands { others, stops }, Inbox { others: other_commands, stops: stop_commands })
}

/// Why the main loop does not get a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unheard {
    /// Too many others wait.
    Busy,
    /// It has ended.
    Ended,
}

impl Commands {
    pub(super) fn give(&self, command: Command) -> Result<(), Unheard> {
        let given = match command {
            // Where there is no room, as many are waiting as say all that there is to be said.
            Command::Stop => return self.stops.try_send(()).or(Ok(())),
            other => self.others.try_send(other),
        };
        given.map_err(|error| match error {
            TrySendError::Full(_) => Unheard::Busy,
            TrySendError::Closed(_) => Unheard::Ended,
        })
    }
}

impl Inbox {
    /// The next command, stops before all others; never, when nobody gives any.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Command {
        tokio::select! {
            biased;
            Some(()) = self.stops.recv() => Command::Stop,
            Some(command) = self.others.recv() => command,
            else => std::future::pending().await,
        }
    }

    /// The next command, if one waits.
    pub fn take(&mut self) -> Option<Command> {
        self.stops.try_recv().map(|()| Command::Stop).or_else(|_| self.others.try_recv()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_is_heard_however_many_commands_wait() {
        let (commands, mut inbox) = commands();
        let reload = || Command::Reload(oneshot::channel().0);
        while commands.give(reload()).is_ok() {}
        assert_eq!(commands.give(reload()), Err(Unheard::Busy));
        for _ in 0..3 {
            commands.give(Command::Stop).unwrap();
        }
        // One that waits with whoever insists.
        for _ in 0..STOPS {
            assert!(matches!(inbox.next().await, Command::Stop));
        }
        assert!(matches!(inbox.take(), Some(Command::Reload(_))));
        drop(inbox);
        assert_eq!(commands.give(reload()), Err(Unheard::Ended));
    }
}
