//! A hand-over where no handles are handed over (Windows): each process opens for itself what it needs, and both only tell
//! each other how far they have come. The successor reads that on its standard input and says it on its standard output, a
//! line each.
//!
//! What one process alone can hold, the predecessor lets go of when the successor is ready, and takes again when that turns
//! out to be of no use. Which step follows which is decided in [`steps`](super::steps), as everywhere.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::steps::{Predecessor, PredecessorAction, PredecessorEvent};
use super::{Fault, Trouble};
use crate::exit::ExitCode;

/// What of a child's last words is kept.
const WORDS_BYTES: u64 = 64 * 1024;
/// How long a child that has said its last may take to end, and what it has said to come through.
const REAP: Duration = Duration::from_secs(5);
/// It has no console, and none is opened for it.
const DETACHED_PROCESS: u32 = 0x0000_0008;
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// What the two tell each other. Only ever added to: they may be of different versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
enum Spoken {
    /// To the successor: what it has to know.
    Facts { facts: Value },
    /// To the successor: it may take what only one process holds.
    Yours {},
    /// Of the successor: it has all that it can have before that.
    Ready {},
    /// Of the successor: it can be asked.
    Serving {},
    /// Of the successor: it is of no use.
    Failed {
        message: String,
        hint: Option<String>,
        #[serde(default)]
        fault: Fault,
    },
    /// Whatever a later version says.
    #[serde(other)]
    Other,
}

impl Spoken {
    fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

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
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub manner: Manner,
    /// What it has to know.
    pub facts: Value,
    /// It has to serve within this.
    pub within: Duration,
}

/// A successor, as its predecessor sees it. Killed when dropped before it serves.
#[derive(Debug)]
pub struct Started {
    process: Process,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    words: Option<JoinHandle<String>>,
    state: Predecessor,
    within: Duration,
    deadline: Instant,
    trouble: Option<Trouble>,
    has_served: bool,
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
    /// Starts a successor and tells it what it has to know.
    ///
    /// # Errors
    /// When the program cannot be run at all.
    pub async fn start(start: Start) -> io::Result<Self> {
        let Start { program, arguments, manner, facts, within } = start;
        // What this process was given by a shell is not handed on to one that goes on for long.
        petit_windows::streams::keep();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        if manner == Manner::Background {
            command.stderr(Stdio::piped()).creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
        }
        let mut child = command.spawn()?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let words = child.stderr.take().map(|stderr| tokio::spawn(last_words(stderr)));
        let (state, _) = Predecessor::Serving.after(PredecessorEvent::Wanted);
        let mut started = Self {
            process: Process { child, is_ours: true },
            stdin,
            lines: BufReader::new(stdout).lines(),
            words,
            state,
            within,
            deadline: Instant::now() + within,
            trouble: None,
            has_served: false,
        };
        // One that has ended already is heard of as one that says nothing.
        started.say(&Spoken::Facts { facts }).await;
        Ok(started)
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.process.child.id()
    }

    /// What only one process holds is let go of: it is the successor's.
    pub async fn say_yours(&mut self) {
        self.say(&Spoken::Yours {}).await;
    }

    async fn say(&mut self, said: &Spoken) {
        let _ = self.stdin.write_all(said.line().as_bytes()).await;
        let _ = self.stdin.flush().await;
    }

    /// Waits for what it says, or does not say in time, of a successor that there may be; for ever when there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next_of(started: Option<&mut Self>) -> PredecessorAction {
        match started {
            Some(started) => started.next().await,
            None => std::future::pending().await,
        }
    }

    /// Waits for what it says, or does not say in time.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> PredecessorAction {
        loop {
            let is_awaited = matches!(self.state, Predecessor::Preparing | Predecessor::Yielding);
            if !is_awaited && self.state != Predecessor::Draining {
                return std::future::pending().await;
            }
            let line = tokio::select! {
                line = self.lines.next_line() => line.ok().flatten(),
                () = tokio::time::sleep_until(self.deadline), if is_awaited => {
                    let message = format!("it was not ready within {:?}", self.within);
                    // What takes too long here took its time before as well, perhaps.
                    self.trouble = Some(Trouble { message, hint: None, fault: Fault::Surroundings });
                    None
                }
            };
            let learned = match line.map(|line| serde_json::from_str(&line)) {
                Some(Ok(Spoken::Ready {})) => PredecessorEvent::Ready,
                Some(Ok(Spoken::Serving {})) => PredecessorEvent::Serving,
                Some(Ok(Spoken::Failed { message, hint, fault })) => {
                    self.trouble = Some(Trouble { message, hint, fault });
                    PredecessorEvent::Lost
                }
                Some(Ok(_) | Err(_)) => continue,
                None if self.has_served && self.has_ended_well().await => PredecessorEvent::Stopping,
                None => PredecessorEvent::Lost,
            };
            let deed = self.learn(learned);
            if deed != PredecessorAction::Nothing {
                return deed;
            }
        }
    }

    /// Nothing is under way any more. What follows is the end of the predecessor, unless its successor has died just before.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn idle(&mut self) -> PredecessorAction {
        while self.state == Predecessor::Draining && self.process.child.try_wait().ok().flatten().is_some() {
            // What it has said before its end comes first.
            if self.next().await == PredecessorAction::TakeBack {
                return PredecessorAction::TakeBack;
            }
        }
        self.learn(PredecessorEvent::Idle)
    }

    /// A program that was asked to stop ends so, by a command or by Ctrl-C.
    async fn has_ended_well(&mut self) -> bool {
        let ended = tokio::time::timeout(REAP, self.process.child.wait()).await;
        let well = [ExitCode::Ok, ExitCode::Interrupted].map(|code| Some(code as i32));
        matches!(ended, Ok(Ok(status)) if well.contains(&status.code()))
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
        // Before it is ended from here.
        let fault = child.try_wait().ok().flatten().map(fault_of).unwrap_or_default();
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

    /// Waits for its end, as one in the foreground whose place it has taken.
    ///
    /// # Errors
    /// That of the system.
    pub async fn wait(mut self) -> io::Result<ExitStatus> {
        self.process.child.wait().await
    }
}

/// Who is ended because somebody logs off, or closes the console, has one of these codes. That of the task manager is whatever
/// it likes.
fn fault_of(status: ExitStatus) -> Fault {
    /// `DBG_TERMINATE_PROCESS` and `STATUS_CONTROL_C_EXIT`.
    const BY_SOMEBODY: [u32; 2] = [0x4001_0004, 0xC000_013A];
    match status.code().map(i32::cast_unsigned) {
        Some(code) if BY_SOMEBODY.contains(&code) => Fault::Surroundings,
        _ => Fault::Itself,
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

/// This process was not started to take another one's place.
#[derive(Debug, thiserror::Error)]
#[error("this process was not started to take another one's place")]
pub struct NoHeir;

/// A successor that does not serve yet.
#[derive(Debug)]
pub struct Heir {
    lines: mpsc::Receiver<String>,
}

impl Heir {
    /// Waits for what it has to know.
    ///
    /// # Errors
    /// [`NoHeir`].
    pub async fn inherit() -> Result<(Self, Value), NoHeir> {
        let (said, lines) = mpsc::channel(1);
        // Nobody waits for its end: a read of standard input cannot be cut short.
        std::thread::spawn(move || {
            let lines = io::stdin().lines().map_while(Result::ok);
            lines.map(|line| said.blocking_send(line)).take_while(Result::is_ok).for_each(drop);
        });
        let mut heir = Self { lines };
        loop {
            match heir.next().await {
                Some(Spoken::Facts { facts }) => return Ok((heir, facts)),
                Some(_) => {}
                None => return Err(NoHeir),
            }
        }
    }

    /// Waits until it is this process's turn. A predecessor that has died has let go of everything, too; one that does not
    /// want this process any more kills it.
    pub async fn turn(&mut self) {
        say(&Spoken::Ready {});
        while let Some(said) = self.next().await {
            if said == (Spoken::Yours {}) {
                return;
            }
        }
    }

    async fn next(&mut self) -> Option<Spoken> {
        let line = self.lines.recv().await?;
        Some(serde_json::from_str(&line).unwrap_or(Spoken::Other))
    }

    /// It can be asked: says so.
    pub fn serves(self) {
        say(&Spoken::Serving {});
    }

    /// It is of no use: says why.
    pub fn fail(self, Trouble { message, hint, fault }: Trouble) {
        say(&Spoken::Failed { message, hint, fault });
    }
}

fn say(said: &Spoken) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(said.line().as_bytes());
    let _ = stdout.flush();
}
