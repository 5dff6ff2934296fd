//! Which transitions people must know of: that they are needed, that nothing has worked for a minute, that it works
//! again after that. Nothing else. Pure: times come in with the call.

use std::time::{Duration, Instant};

use petit_client::status::Light;

use super::contract::{Page, Prefs, StateKind, Tone, View};
use super::texts::Texts;

/// How long something may not work before that is news.
pub const DOWN_AFTER: Duration = Duration::from_secs(60);

/// What a notification is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The user has to act.
    Needed,
    /// It has not worked for a minute.
    Down,
    /// It works again.
    Back,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about; a later one of another kind takes its place.
    pub about: About,
    /// Its first line.
    pub title: String,
    /// The rest.
    pub body: String,
    /// The label of its button.
    pub button: String,
    /// What the button shows.
    pub page: Page,
}

/// Watches views for what is news.
#[derive(Debug, Default)]
pub struct Watcher {
    /// The state that the user was told they are needed for.
    needed: Option<StateKind>,
    down_since: Option<Instant>,
    told_down: bool,
}

impl Watcher {
    /// Takes note of a view; returns what is news.
    pub fn see(&mut self, view: &View, texts: &Texts, prefs: &Prefs, now: Instant) -> Option<Note> {
        let kind = view.state.kind;
        let needs_user = matches!(kind, StateKind::Stopped | StateKind::Locked | StateKind::Broken)
            && view.headline.tone == Tone::Bad;
        // Trying again in vain is no end of it.
        if !needs_user && !matches!(kind, StateKind::Connecting | StateKind::Locked) {
            self.needed = None;
        }
        let note = |about, title: &str, body: String, page| Note {
            about,
            title: texts.get(title),
            body,
            button: texts.get("note.open"),
            page,
        };
        if needs_user {
            self.down_since.get_or_insert(now);
            let news = self.needed.replace(kind) != Some(kind);
            let title = match kind {
                StateKind::Locked => "note.locked.title",
                StateKind::Broken => "note.broken.title",
                _ => "note.stopped.title",
            };
            return (news && prefs.notify_down)
                .then(|| note(About::Needed, title, view.headline.detail.clone(), Page::Overview));
        }
        match kind {
            // Somebody wants it so.
            StateKind::Off | StateKind::Paused | StateKind::Unregistered => {
                self.down_since = None;
                self.told_down = false;
                None
            }
            StateKind::Online if view.services.iter().all(|service| service.light != Light::Red) => {
                let since = self.down_since.take();
                let told = std::mem::take(&mut self.told_down);
                let minutes = since.map(|since| now.duration_since(since).as_secs().div_ceil(60));
                let body = match minutes.filter(|_| told && prefs.notify_back)? {
                    0 | 1 => texts.get("note.back.minute"),
                    minutes => texts.fill("note.back.body", &[("n", &minutes.to_string())]),
                };
                Some(note(About::Back, "note.back.title", body, Page::Overview))
            }
            _ => {
                let since = *self.down_since.get_or_insert(now);
                if self.told_down || now.duration_since(since) < DOWN_AFTER {
                    return None;
                }
                self.told_down = true;
                prefs.notify_down.then(|| {
                    note(About::Down, "note.down.title", view.headline.detail.clone(), Page::Overview)
                })
            }
        }
    }

    /// When the same view will be news.
    pub fn due(&self) -> Option<Instant> {
        self.down_since.filter(|_| !self.told_down && self.needed.is_none()).map(|since| since + DOWN_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use petit_client::status::{Connection, KeyTrouble};
    use petit_engine::cause::Cause;

    use super::*;
    use crate::facts::Facts;
    use crate::prefs::{DesiredState, Remembered};
    use crate::testing::{at, facts, registration};
    use crate::view;

    fn seen(desired: DesiredState, connection: Connection) -> View {
        let (texts, status, known) = (Texts::of("en"), at(connection), registration());
        view::view(Facts {
            now: UNIX_EPOCH,
            desired,
            registration: Some(&known),
            since: None,
            ..facts(&texts, Some(&status))
        })
    }

    struct Test {
        watcher: Watcher,
        prefs: Prefs,
        start: Instant,
    }

    impl Test {
        fn new() -> Self {
            let prefs = Remembered::default().prefs(false);
            Self { watcher: Watcher::default(), prefs, start: Instant::now() }
        }

        fn see(&mut self, seconds: u64, connection: Connection) -> Option<About> {
            let view = seen(DesiredState::On, connection);
            let now = self.start + Duration::from_secs(seconds);
            self.watcher.see(&view, &Texts::of("en"), &self.prefs, now).map(|note| note.about)
        }
    }

    const WAITING: Connection = Connection::Waiting { cause: Cause::Lost, retry_in_ms: 1 };
    const ONLINE: Connection = Connection::Online { since: 1 };

    #[test]
    fn an_outage_is_told_once_after_a_minute_and_so_is_its_end() {
        let mut test = Test::new();
        assert_eq!(test.see(0, ONLINE), None);
        assert_eq!(test.see(1, WAITING), None);
        assert_eq!(test.watcher.due(), Some(test.start + Duration::from_secs(61)));
        assert_eq!(test.see(60, Connection::Connecting), None);
        assert_eq!(test.see(61, WAITING), Some(About::Down));
        assert_eq!(test.see(200, WAITING), None);
        assert_eq!(test.see(300, ONLINE), Some(About::Back));
        assert_eq!(test.see(301, ONLINE), None);
    }

    #[test]
    fn the_length_of_an_outage_is_said_as_people_say_it() {
        for (until, said) in [(60, "interrupted for a minute."), (61, "interrupted for 2 minutes.")] {
            let mut test = Test::new();
            test.see(0, WAITING);
            test.see(60, WAITING);
            let (view, now) = (seen(DesiredState::On, ONLINE), test.start + Duration::from_secs(until));
            let note = test.watcher.see(&view, &Texts::of("en"), &test.prefs, now).unwrap();
            assert!(note.body.ends_with(said), "{}", note.body);
        }
    }

    #[test]
    fn a_short_outage_is_nobodys_business() {
        let mut test = Test::new();
        assert_eq!(test.see(0, WAITING), None);
        assert_eq!(test.see(59, ONLINE), None);
        assert_eq!(test.see(60, WAITING), None);
        assert_eq!(test.see(119, WAITING), None, "each outage counts for itself");
    }

    #[test]
    fn being_needed_is_told_at_once_and_once() {
        let mut test = Test::new();
        let stopped = || Connection::Stopped { cause: Cause::Unknown };
        assert_eq!(test.see(0, stopped()), Some(About::Needed));
        assert_eq!(test.see(1, stopped()), None);
        assert_eq!(
            test.see(2, Connection::NoKey { trouble: KeyTrouble::Asked }),
            None,
            "it is only being asked"
        );
        assert_eq!(test.see(3, Connection::NoKey { trouble: KeyTrouble::Locked }), Some(About::Needed));
        test.prefs.notify_down = false;
        assert_eq!(test.see(4, ONLINE), None);
        assert_eq!(test.see(5, stopped()), None, "who does not want to know is not told");
    }

    #[test]
    fn trying_again_in_vain_is_not_told_again() {
        let mut test = Test::new();
        let stopped = || Connection::Stopped { cause: Cause::Unknown };
        assert_eq!(test.see(0, stopped()), Some(About::Needed));
        assert_eq!(test.see(1, Connection::Connecting), None);
        assert_eq!(test.see(2, stopped()), None);
        assert_eq!(test.see(3, ONLINE), None);
        assert_eq!(test.see(4, stopped()), Some(About::Needed), "it had worked in between");
    }

    #[test]
    fn what_was_switched_off_is_not_down() {
        let mut test = Test::new();
        assert_eq!(test.see(0, WAITING), None);
        let view = seen(DesiredState::Off, Connection::Off);
        let now = test.start + Duration::from_secs(50);
        assert_eq!(test.watcher.see(&view, &Texts::of("en"), &test.prefs, now), None);
        assert_eq!(test.watcher.due(), None);
        assert_eq!(test.see(100, WAITING), None);
    }
}
