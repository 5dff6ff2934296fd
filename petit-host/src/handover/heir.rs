//! The predecessor as its successor sees it, until it serves.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::process::getppid;
use serde_json::Value;

use super::Trouble;
use super::link::{Link, LinkMessage, Parcel};
use super::steps::{Successor, SuccessorAction, SuccessorEvent};

/// How long the kernel may take to give a process another parent when its own has died.
const ORPHANED: Duration = Duration::from_secs(1);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why a successor does not take over.
#[derive(Debug, thiserror::Error)]
pub enum NoHeir {
    /// Standard input is no link, or nothing came over it.
    #[error("this process was not started to take another one's place")]
    NoLink(#[source] io::Error),
    /// The predecessor goes on by itself.
    #[error("the process that was to be replaced has given up on this one")]
    Abandoned,
}

/// A successor that does not serve yet.
#[derive(Debug)]
pub struct Heir {
    link: Link,
    predecessor: u32,
    state: Successor,
}

impl Heir {
    /// Takes the link that standard input is, and what comes over it.
    ///
    /// # Errors
    /// [`NoHeir`].
    pub async fn inherit() -> Result<(Self, Parcel), NoHeir> {
        Self::of(take_stdin().map_err(NoHeir::NoLink)?).await
    }

    async fn of(end: OwnedFd) -> Result<(Self, Parcel), NoHeir> {
        let mut link = Link::new(end).map_err(NoHeir::NoLink)?;
        let mut parcel = Parcel::default();
        loop {
            match link.next().await {
                Some((LinkMessage::Parcel { names, facts, pid, last }, fds)) => {
                    parcel.handles.extend(names.into_iter().zip(fds));
                    if last {
                        parcel.facts = facts;
                        return Ok((Self { link, predecessor: pid, state: Successor::Preparing }, parcel));
                    }
                }
                Some(_) => {}
                // Before it has everything it can do nothing for anybody.
                None => return Err(NoHeir::NoLink(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// All that can fail is there: waits until it is this process's turn, and returns what the predecessor said of
    /// that moment; `None` when it has died instead.
    ///
    /// # Errors
    /// [`NoHeir::Abandoned`].
    pub async fn turn(&mut self) -> Result<Option<Value>, NoHeir> {
        let mut act = self.step(SuccessorEvent::Prepared);
        let mut said = None;
        loop {
            match act {
                SuccessorAction::SayReady => {
                    self.link.say_now(&LinkMessage::Ready {});
                    tracing::info!("ready to take over");
                }
                SuccessorAction::Take => return Ok(said),
                SuccessorAction::Fail => return Err(NoHeir::Abandoned),
                SuccessorAction::SayServing | SuccessorAction::Nothing => {}
            }
            let happened = match self.link.next().await {
                Some((LinkMessage::Yours { facts }, _)) => {
                    said = Some(facts);
                    SuccessorEvent::Yours
                }
                Some(_) => continue,
                None if self.is_orphaned().await => {
                    tracing::warn!("the process that was to be replaced has died; going on without it");
                    SuccessorEvent::Orphaned
                }
                None => SuccessorEvent::Abandoned,
            };
            act = self.step(happened);
        }
    }

    /// It accepts connections: says so, and returns the link to the predecessor, which drains.
    #[must_use]
    pub fn serves(mut self) -> Link {
        if self.step(SuccessorEvent::Took) == SuccessorAction::SayServing {
            self.link.say(&LinkMessage::Serving {});
        }
        self.link
    }

    /// It is of no use: says why.
    pub async fn fail(self, Trouble { message, hint, fault }: Trouble) {
        self.link.say(&LinkMessage::Failed { message, hint, fault });
        self.link.close().await;
    }

    fn step(&mut self, happened: SuccessorEvent) -> SuccessorAction {
        let (state, act) = self.state.after(happened);
        self.state = state;
        act
    }

    /// True when the link has ended because its other end has died. A predecessor that breaks off kills its
    /// successor before it closes the link, so this is asked in doubt only.
    async fn is_orphaned(&self) -> bool {
        let changed = async {
            while parent() == Some(self.predecessor) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(ORPHANED, changed).await.is_ok()
    }
}

fn parent() -> Option<u32> {
    getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok())
}

/// Standard input, in whose place nothing is left that another program could inherit.
fn take_stdin() -> io::Result<OwnedFd> {
    let end = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn heir() -> (Link, Heir) {
        let (near, far) = Link::pair().unwrap();
        near.give(Parcel { handles: Vec::new(), facts: json!(1) });
        let (mut heir, parcel) = Heir::of(far).await.unwrap();
        // Here both ends are this process's; its parent stands for a predecessor that lives.
        assert_eq!(heir.predecessor, std::process::id());
        heir.predecessor = parent().unwrap();
        assert_eq!(parcel.facts, json!(1));
        (near, heir)
    }

    #[tokio::test]
    async fn it_takes_over_when_it_is_told_to() {
        let (mut near, mut heir) = heir().await;
        let turn = tokio::spawn(async move { (heir.turn().await, heir) });
        assert_eq!(near.next().await.unwrap().0, LinkMessage::Ready {});
        near.say(&LinkMessage::Yours { facts: json!("now") });
        let (turn, heir) = turn.await.unwrap();
        assert_eq!(turn.unwrap(), Some(json!("now")));
        let _link = heir.serves();
        assert_eq!(near.next().await.unwrap().0, LinkMessage::Serving {});
    }

    #[tokio::test]
    async fn one_whose_predecessor_lives_and_has_closed_the_link_does_nothing() {
        let (near, mut heir) = heir().await;
        near.close().await;
        assert!(matches!(heir.turn().await, Err(NoHeir::Abandoned)));
    }

    #[tokio::test]
    async fn one_whose_predecessor_has_died_goes_on_alone() {
        let (near, mut heir) = heir().await;
        near.close().await;
        heir.predecessor = std::process::id(); // which is not its own parent
        assert_eq!(heir.turn().await.unwrap(), None);
    }

    #[tokio::test]
    async fn one_that_fails_says_why() {
        use super::super::Fault;

        let (mut near, heir) = heir().await;
        let (message, fault) = ("no such file".to_owned(), Fault::Surroundings);
        heir.fail(Trouble { message: message.clone(), hint: None, fault }).await;
        let failed = LinkMessage::Failed { message, hint: None, fault };
        assert_eq!(near.next().await.unwrap().0, failed);
        assert!(near.next().await.is_none());
    }
}
