//! Which settings the session that stands goes by: an agent is given new ones while it has a session, or dials one, and
//! says what that was dialled with.

use petit_engine::agent::DialledWith;

use crate::config::Config;
use crate::config::shown::TakenBy;
use crate::registration::Registration;
use crate::{dial_route, enrol};

/// Changes that are remembered while one session lasts; of more, those in between are forgotten.
const MOST: usize = 16;

/// What an agent was given for its sessions.
#[derive(Debug, Default)]
pub(super) struct Given(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    dial_with: DialledWith,
    /// The settings that this comes from.
    config: Config,
}

impl Given {
    /// The agent dials with this from now on. `session`: what its session was dialled with.
    pub(super) fn push(&mut self, dial_with: DialledWith, config: Config, session: Option<&DialledWith>) {
        self.0.push(Entry { dial_with, config });
        // A session that is being dialled may come of any later one.
        let oldest = session.map(|session| {
            let of = |taken_by| self.position(taken_by, session).unwrap_or_default();
            of(TakenBy::Route).min(of(TakenBy::Vitae))
        });
        self.0.drain(..oldest.unwrap_or_default());
        while self.0.len() > MOST {
            self.0.remove(1);
        }
    }

    /// The settings that a session goes by in what `taken_by` takes over.
    pub(super) fn of_session(&self, taken_by: TakenBy, session: &DialledWith) -> Option<&Config> {
        let position = self.position(taken_by, session)?;
        self.0.get(position).map(|entry| &entry.config)
    }

    /// The newest, where several have come to the same.
    fn position(&self, taken_by: TakenBy, session: &DialledWith) -> Option<usize> {
        self.0.iter().rposition(|Entry { dial_with, .. }| match taken_by {
            TakenBy::Route => dial_with.route == session.route,
            TakenBy::Vitae => dial_with.vitae == session.vitae,
            TakenBy::Log | TakenBy::Services | TakenBy::Name | TakenBy::Registration | TakenBy::Updates => {
                false
            }
        })
    }
}

/// What the agent of a registration dials with.
pub(super) fn dial_with(config: &Config, registration: &Registration) -> DialledWith {
    DialledWith { route: dial_route::choose(config, &registration.server), vitae: enrol::vitae(config) }
}

#[cfg(test)]
mod tests {
    use petit_engine::net::dial::DialRoute;
    use petit_engine::proto::control::Text;

    use super::*;

    fn dialled(require_pq: bool, region: &str) -> DialledWith {
        let route = DialRoute { require_pq, ..DialRoute::default() };
        let vitae = std::iter::once((Text::lossy("region"), Text::lossy(region))).collect();
        DialledWith { route, vitae }
    }

    fn config(name: &str) -> Config {
        Config { host: Some(name.to_owned()), ..Config::default() }
    }

    #[test]
    fn a_session_goes_by_what_it_was_dialled_with_however_often_that_was_changed_since() {
        let (first, second) = (dialled(false, "eu"), dialled(true, "us"));
        let mut given = Given::default();
        given.push(first.clone(), config("first"), None);
        for number in 0..3 * MOST {
            given.push(second.clone(), config(&number.to_string()), Some(&first));
        }
        assert!(given.0.len() <= MOST);
        let of = |taken_by, session| given.of_session(taken_by, session).and_then(|found| found.host.clone());
        for taken_by in [TakenBy::Route, TakenBy::Vitae] {
            assert_eq!(of(taken_by, &first).as_deref(), Some("first"));
            let last = (3 * MOST - 1).to_string();
            assert_eq!(of(taken_by, &second), Some(last), "as it was given last");
        }
        assert_eq!(of(TakenBy::Log, &first), None);
        // Of one that was dialled between two commands.
        let mixed = DialledWith { route: dialled(true, "").route, vitae: dialled(false, "eu").vitae };
        assert_eq!(of(TakenBy::Vitae, &mixed).as_deref(), Some("first"));
        assert_ne!(of(TakenBy::Route, &mixed).as_deref(), Some("first"));
    }

    #[test]
    fn what_came_before_the_session_that_stands_is_forgotten() {
        let mut given = Given::default();
        given.push(dialled(false, "a"), config("a"), None);
        given.push(dialled(false, "b"), config("b"), Some(&dialled(false, "a")));
        given.push(dialled(false, "c"), config("c"), Some(&dialled(false, "b")));
        assert_eq!(given.0.len(), 2);
    }
}
