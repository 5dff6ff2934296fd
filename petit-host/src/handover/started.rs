//! The successor as its predecessor sees it: a child process at the other end of a link.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::link::{Link, LinkMessage, Parcel};
use super::steps::{Predecessor, PredecessorAction, PredecessorEvent};
use super::{Fault, Trouble};

/// What of a child's last words is kept.
const WORDS_BYTES: u64 = 64 * 1024;
/// How long a child that is dead may take to be reaped, and what it has said to come through.
const REAP: Duration = Duration::from_secs(5);
/// How long a child may take to end whose link has ended.
const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// How a program runs, and so its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It belongs to nobody; what goes wrong before it serves is repeated by its predecessor.
    Background,
    /// It writes where its predecessor does.
    Foreground,
}

/// What a successor is started with.
#[derive(Debug)]
pub struct Start {
    /// Its program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How it runs.
    pub manner: Manner,
    /// What it is given.
    pub parcel: Parcel,
    /// It has to serve within this.
    pub within: Duration,
}

/// What a predecessor hears of its successor.
#[derive(Clone, Debug, PartialEq)]
pub enum StartedEvent {
    /// The next step.
    PredecessorAction(PredecessorAction),
    /// The successor has changed something that its predecessor has to know.
    Changed(Value),
}

/// A successor. Killed when dropped before it serves.
#[derive(Debug)]
pub struct Started {
    process: Process,
    link: Link,
    words: Option<JoinHandle<String>>,
    state: Predecessor,
    within: Duration,
    deadline: Instant,
    trouble: Option<Trouble>,
    /// It ends at once, and so may its predecessor.
    at_once: bool,
    /// It was ready, and has served.
    has_served: bool,
    /// It has ended, with this code.
    exit: Option<u8>,
}

/// A child process, which ends with its owner until it stands on its own feet.
#[derive(Debug)]
struct Process {
    child: Child,
    is_ours: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = self.child.start_kill();
        }
    }
}

impl Started {
    /// Starts a successor and gives it its parcel.
    ///
    /// # Errors
    /// When the program cannot be run at all.
    pub fn start(start: Start) -> io::Result<Self> {
        let Start { program, arguments, manner, parcel, within } = start;
        let (link, far) = Link::pair()?;
        // Before there is a child: whatever becomes of this process, it has everything.
        link.give(parcel);
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::from(far));
        if manner == Manner::Background {
            command.stdout(Stdio::null()).stderr(Stdio::piped());
        }
        let mut child = command.spawn()?;
        // Its end of the link is in the command until here, and would keep the link alive after its death.
        drop(command);
        let words = child.stderr.take().map(|stderr| tokio::spawn(last_words(stderr)));
        let (state, _) = Predecessor::Serving.after(PredecessorEvent::Wanted);
        let deadline = Instant::now() + within;
        let process = Process { child, is_ours: true };
        Ok(Self {
            process,
            link,
            words,
            state,
            within,
            deadline,
            trouble: None,
            at_once: false,
            has_served: false,
            exit: None,
        })
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.process.child.id()
    }

    /// Where the hand-over stands.
    pub fn state(&self) -> Predecessor {
        self.state
    }

    /// True when it was asked to stop at once.
    pub fn ends_at_once(&self) -> bool {
        self.at_once
    }

    /// What it has to be told.
    pub fn say(&self, said: &LinkMessage) {
        self.link.say(said);
    }

    /// As [`next`](Self::next), of a successor that there may be; for ever when there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next_of(started: Option<&mut Self>) -> StartedEvent {
        match started {
            Some(started) => started.next().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for what it says, or does not say in time.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> StartedEvent {
        loop {
            let is_awaited = matches!(self.state, Predecessor::Preparing | Predecessor::Yielding);
            let heard = tokio::select! {
                heard = self.link.next() => heard.map(|(said, _)| said),
                () = tokio::time::sleep_until(self.deadline), if is_awaited => {
                    let message = format!("it was not ready within {:?}", self.within);
                    // What takes too long here took its time before as well, perhaps: a keychain that asks, a slow way out.
                    self.trouble = Some(Trouble { message, hint: None, fault: Fault::Surroundings });
                    None
                }
            };
            let learned = match heard {
                Some(LinkMessage::Ready {}) => PredecessorEvent::Ready,
                Some(LinkMessage::Serving {}) => PredecessorEvent::Serving,
                Some(LinkMessage::Failed { message, hint, fault }) => {
                    self.trouble = Some(Trouble { message, hint, fault });
                    PredecessorEvent::Lost
                }
                Some(LinkMessage::Stopping { now }) => {
                    self.at_once |= now;
                    PredecessorEvent::Stopping
                }
                Some(LinkMessage::Changed { what }) => return StartedEvent::Changed(what),
                Some(LinkMessage::Ended { exit }) => {
                    self.exit = Some(exit);
                    continue;
                }
                Some(_) => continue,
                None if matches!(self.state, Predecessor::Parting | Predecessor::Ended) => {
                    std::future::pending().await
                }
                None => PredecessorEvent::Lost,
            };
            let deed = self.learn(learned);
            if deed != PredecessorAction::Nothing || self.at_once {
                return StartedEvent::PredecessorAction(deed);
            }
        }
    }

    /// Nothing is under way any more. What follows is the end of the predecessor, unless its successor has died just
    /// before, and not because it was asked to stop: from here on nobody could take anything back.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn idle(&mut self) -> PredecessorAction {
        while self.state == Predecessor::Draining && self.link.has_ended() {
            // What it has said before its end comes first.
            if let StartedEvent::PredecessorAction(PredecessorAction::TakeBack) = self.next().await {
                return PredecessorAction::TakeBack;
            }
        }
        self.learn(PredecessorEvent::Idle)
    }

    fn learn(&mut self, learned: PredecessorEvent) -> PredecessorAction {
        self.has_served |= learned == PredecessorEvent::Serving;
        let (state, deed) = self.state.after(learned);
        self.state = state;
        self.process.is_ours = matches!(state, Predecessor::Preparing | Predecessor::Yielding);
        deed
    }

    /// Makes sure that it is dead, and returns why it was of no use. Only after this is anything taken back.
    pub async fn end(mut self) -> Trouble {
        let child = &mut self.process.child;
        // Before it is ended from here. One that ends has its sockets closed a moment before that can be waited for.
        let ended = match self.link.has_ended() {
            true => tokio::time::timeout(ENDS_WITHIN, child.wait()).await.ok().and_then(Result::ok),
            false => child.try_wait().ok().flatten(),
        };
        let fault = ended.map(fault_of).unwrap_or_default();
        let killed = child.start_kill();
        let status = tokio::time::timeout(REAP, child.wait()).await;
        let words = match self.words.take() {
            Some(words) => tokio::time::timeout(REAP, words).await.ok().and_then(Result::ok),
            None => None,
        };
        if let Some(trouble) = self.trouble.take() {
            return trouble;
        }
        let mut lines =
            words.as_deref().unwrap_or_default().lines().map(str::trim).filter(|it| !it.is_empty());
        if let Some(first) = lines.next() {
            let message = first.trim_start_matches("error: ").to_owned();
            return Trouble { message, hint: lines.next().map(str::to_owned), fault };
        }
        let when = if self.has_served { "while it served" } else { "before it was ready" };
        let message = match (status, killed) {
            (Ok(Ok(status)), _) => format!("it ended {when} ({status})"),
            (_, Err(error)) => format!("it does not answer, and cannot be ended: {error}"),
            _ => format!("it ended {when}"),
        };
        Trouble { message, hint: None, fault }
    }

    /// The link, when the predecessor has nothing left but that; or how its successor has ended meanwhile.
    ///
    /// # Errors
    /// The successor's exit code.
    pub fn into_link(self) -> Result<Link, u8> {
        match self.exit {
            Some(exit) => Err(exit),
            None => Ok(self.link),
        }
    }
}

async fn last_words(from: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    let mut kept = from.take(WORDS_BYTES);
    let _ = kept.read_to_end(&mut bytes).await;
    // The rest is taken, so that it never has to wait for a reader.
    let _ = tokio::io::copy(&mut kept.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A program ends itself by an exit code or a crash; somebody else ends it by one of these signals.
fn fault_of(status: ExitStatus) -> Fault {
    use std::os::unix::process::ExitStatusExt;

    let by_somebody = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP].map(Signal::as_raw);
    match status.signal() {
        Some(signal) if by_somebody.contains(&signal) => Fault::Surroundings,
        _ => Fault::Itself,
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::tests::until_ended;
    use super::*;

    /// A successor that has served, has said this at last, and has ended.
    async fn served(last: &str) -> Started {
        served_and("", last).await
    }

    /// The same, and then does something more.
    async fn served_and(then: &str, last: &str) -> Started {
        let said = |text: &str| format!("\\000\\000\\000\\{:03o}{text}", text.len());
        let all = [r#"{"say":"ready"}"#, r#"{"say":"serving"}"#].map(said).concat();
        let last = if last.is_empty() { String::new() } else { said(last) };
        // The link is its standard input.
        let script = format!("printf '{all}{last}' >&0; {then}");
        let mut started = Started::start(Start {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            manner: Manner::Foreground,
            parcel: Parcel::default(),
            within: Duration::from_secs(60),
        })
        .unwrap();
        assert_eq!(started.next().await, StartedEvent::PredecessorAction(PredecessorAction::Yield));
        assert_eq!(started.next().await, StartedEvent::PredecessorAction(PredecessorAction::Leave));
        until_ended(&started.link).await;
        started
    }

    #[tokio::test]
    async fn a_predecessor_at_its_end_takes_everything_back_when_its_successor_has_just_died() {
        let mut started = served("").await;
        assert_eq!(started.idle().await, PredecessorAction::TakeBack);
        assert_eq!(started.state(), Predecessor::Serving);
    }

    #[tokio::test]
    async fn one_that_somebody_has_killed_is_not_to_blame_though_its_link_ends_first() {
        let count = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let mut started = served_and(&format!("exec 0<&-; {count}; kill -9 $$"), "").await;
        assert_eq!(started.idle().await, PredecessorAction::TakeBack);
        assert_eq!(started.end().await.fault, Fault::Surroundings);
        let mut started = served_and(&format!("exec 0<&-; {count}; exit 3"), "").await;
        assert_eq!(started.idle().await, PredecessorAction::TakeBack);
        assert_eq!(started.end().await.fault, Fault::Itself);
    }

    #[tokio::test]
    async fn a_successor_that_was_asked_to_stop_is_not_followed_by_its_predecessor() {
        let mut started = served(r#"{"say":"stopping","now":false}"#).await;
        assert_eq!(started.idle().await, PredecessorAction::End);
        assert_eq!(started.state(), Predecessor::Ended);
    }
}
