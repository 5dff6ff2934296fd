//! What a device is called: it says so as often as it likes, and it is written down once a minute.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use petit_engine::proto::control::Text;
use tokio::sync::Notify;

/// The name that a session's device has said last and that has not been written down yet. Nobody waits for that.
#[derive(Debug, Default)]
pub(super) struct Naming {
    last: Mutex<Option<Text<64>>>,
    said: Notify,
}

impl Naming {
    /// Takes note of a name. What was said before and has not been written down yet is forgotten. `None`: the name is
    /// what is written down already.
    pub(super) fn say(&self, name: Option<Text<64>>) {
        let is_news = name.is_some();
        *self.last() = name;
        if is_news {
            self.said.notify_one();
        }
    }

    /// Waits until there is a name and it is time by `next` to write it down, and takes it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn due(&self, next: impl Fn() -> Instant) -> Text<64> {
        loop {
            if self.last().is_none() {
                self.said.notified().await;
            }
            tokio::time::sleep_until(next().into()).await;
            if let Some(name) = self.last().take() {
                return name;
            }
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<Text<64>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use petit_engine::limits;
    use petit_engine::name::DeviceId;

    use super::*;
    use crate::logins::Logins;

    #[tokio::test(start_paused = true)]
    async fn of_many_names_the_last_is_written_down_and_one_a_minute() {
        let (naming, logins, device) = (Naming::default(), Logins::default(), DeviceId::random().unwrap());
        let begin = tokio::time::Instant::now();
        let now = || tokio::time::Instant::now().into_std();
        let written = RefCell::new(Vec::new());
        let write = async {
            loop {
                let name = naming.due(|| logins.next_rename(&device, now())).await;
                logins.renamed(&device, now());
                written.borrow_mut().push((begin.elapsed(), name.as_str().to_owned()));
            }
        };
        let talk = async {
            for number in 0..300 {
                naming.say(Some(Text::lossy(&format!("name {number}"))));
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
        };
        tokio::select! {
            () = write => {}
            () = talk => {}
        }
        let written = written.into_inner();
        let names: Vec<&str> = written.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["name 0", "name 85", "name 171", "name 257"]);
        let apart = written.windows(2).map(|pair| pair[1].0 - pair[0].0);
        assert!(apart.into_iter().all(|apart| apart >= limits::RENAME_EVERY), "{written:?}");
    }
}
