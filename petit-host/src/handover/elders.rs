//! The processes before this one that have not ended: those that still drain, and an anchor.
//!
//! Each is at the other end of a link. A successor is given copies of them all, and from then on they are its own.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::Poll;

use serde_json::Value;

use super::link::{Link, LinkMessage};
use crate::shutdown::Urgency;

/// What an elder tells.
#[derive(Clone, Debug, PartialEq)]
pub enum ElderEvent {
    /// What is still waited for has changed, or one has ended: see [`Elders::waits`].
    Waits,
    /// The anchor was asked to end.
    Stop {
        /// At once.
        now: bool,
    },
    /// The anchor was asked to have the config read again.
    Reload,
}

impl ElderEvent {
    /// How urgent a stop is that is passed on; `None` for anything else.
    pub fn stop_request(&self) -> Option<Urgency> {
        match self {
            Self::Stop { now: true } => Some(Urgency::AtOnce),
            Self::Stop { now: false } => Some(Urgency::Orderly),
            Self::Waits | Self::Reload => None,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Elders {
    elders: Vec<Elder>,
    /// What has been given to a successor that may yet be taken back.
    given: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Elder {
    link: Link,
    /// What it still waits for.
    waits: Value,
}

impl Elders {
    /// One more.
    pub fn add(&mut self, link: Link) {
        self.elders.push(Elder { link, waits: Value::Null });
    }

    /// Copies of all links, for a successor.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        self.elders.iter().map(|elder| elder.link.copy()).collect()
    }

    /// They are a successor's now: this process neither hears them nor speaks to them.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn hand_on(&mut self) -> io::Result<()> {
        self.given = self.copies()?;
        self.elders.clear();
        Ok(())
    }

    /// They are this process's again.
    pub fn take_back(&mut self) {
        for end in self.given.drain(..) {
            match Link::new(end) {
                Ok(link) => self.elders.push(Elder { link, waits: Value::Null }),
                Err(error) => tracing::warn!(%error, "a process that drains is not heard any more"),
            }
        }
    }

    /// Tells all of them.
    pub fn say(&self, said: &LinkMessage) {
        for elder in &self.elders {
            elder.link.say(said);
        }
    }

    /// Tells all of them that nobody takes the place of this process any more.
    pub fn say_stopping(&self, urgency: Urgency) {
        self.say(&LinkMessage::Stopping { now: urgency == Urgency::AtOnce });
    }

    /// What those that drain still wait for.
    pub fn waits(&self) -> Vec<Value> {
        self.elders.iter().map(|elder| elder.waits.clone()).filter(|waits| !waits.is_null()).collect()
    }

    /// Waits for what one of them tells; for ever when there is none.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> ElderEvent {
        loop {
            let (number, said) = poll_fn(|cx| {
                for (number, elder) in self.elders.iter_mut().enumerate() {
                    if let Poll::Ready(said) = elder.link.poll_next(cx) {
                        return Poll::Ready((number, said));
                    }
                }
                Poll::Pending
            })
            .await;
            let Some(elder) = self.elders.get_mut(number) else { continue };
            match said {
                Some(LinkMessage::Waits { what }) => elder.waits = what,
                Some(LinkMessage::Drained {}) => elder.waits = Value::Null,
                Some(LinkMessage::Stop { now }) => return ElderEvent::Stop { now },
                Some(LinkMessage::Reload {}) => return ElderEvent::Reload,
                Some(_) => continue,
                None => drop(self.elders.swap_remove(number)),
            }
            return ElderEvent::Waits;
        }
    }

    /// Tells all of them the exit code of this process, which ends now.
    pub async fn close(self, exit: u8) {
        for Elder { link, .. } in self.elders {
            link.say(&LinkMessage::Ended { exit });
            link.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn they_are_handed_on_and_taken_back() {
        let (mut anchor, end) = Link::pair().unwrap();
        let mut first = Elders::default();
        first.add(Link::new(end).unwrap());
        anchor.say(&LinkMessage::Waits { what: json!(3) });
        assert_eq!(first.next().await, ElderEvent::Waits);
        assert_eq!(first.waits(), [json!(3)]);

        let mut second = Elders::default();
        for end in first.copies().unwrap() {
            second.add(Link::new(end).unwrap());
        }
        first.hand_on().unwrap();
        anchor.say(&LinkMessage::Stop { now: false });
        assert_eq!(second.next().await, ElderEvent::Stop { now: false });
        drop(second);
        first.take_back();
        anchor.say(&LinkMessage::Reload {});
        assert_eq!(first.next().await, ElderEvent::Reload);
        first.close(3).await;
        assert_eq!(anchor.next().await.unwrap().0, LinkMessage::Ended { exit: 3 });
        assert!(anchor.next().await.is_none());
    }
}
