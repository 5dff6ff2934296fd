//! When a roll-out goes on, and when it halts. Pure: what is known comes in with the call.

use std::fmt;
use std::time::Duration;

use petit_engine::proto::control::UpdateState;

use crate::registry::{Rollout, Timestamp};

/// A trial that has come to nothing for so long has gone wrong: it is over after two minutes in which a client is
/// connected.
pub const TRIAL_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Of those that have tried a release, so many in a hundred may have come back from it. Of fewer than fifty that is nobody.
const BAD_PERCENT: usize = 2;
/// So much greater a share, in percent, of clients with the new version than of the others may be away.
const AWAY_PERCENT: usize = 20;
/// Shares are compared from so many clients on.
const AWAY_FROM: usize = 10;

/// A client, as far as a roll-out looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The first ring that it is in.
    pub ring: usize,
    /// What it has said of this release, and when.
    pub said: Option<(UpdateState, Timestamp)>,
    pub presence: Presence,
}

/// Whether a client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Online,
    /// It has been there since the last ring was opened, and is not any more.
    Gone,
    /// It has not been there since then.
    Unseen,
}

/// What clients have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In the rings that are open.
    pub clients: usize,
    pub works: usize,
    pub on_trial: usize,
    pub waiting: usize,
    /// They came back from it.
    pub put_back: usize,
    /// They could not fetch it or begin with it.
    pub failed: usize,
    /// They have tried it for longer than that takes.
    pub stuck: usize,
    /// In the ring that was opened last.
    pub newest: usize,
    /// Of these, where it works.
    pub newest_works: usize,
    /// With and without the new version: there at some time, and of them away now.
    updated: Shares,
    others: Shares,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shares {
    seen: usize,
    gone: usize,
}

impl Shares {
    fn count(&mut self, presence: Presence) {
        match presence {
            Presence::Online => self.seen += 1,
            Presence::Gone => {
                self.seen += 1;
                self.gone += 1;
            }
            Presence::Unseen => {}
        }
    }
}

impl Tally {
    /// Of all clients that are registered.
    pub fn of(clients: impl IntoIterator<Item = Client>, rollout: &Rollout, now: Timestamp) -> Self {
        let mut tally = Self::default();
        for Client { ring, said, presence } in clients {
            let is_updated = matches!(said, Some((UpdateState::Works, _)));
            if is_updated {
                tally.updated.count(presence);
            } else {
                tally.others.count(presence);
            }
            if ring >= rollout.open {
                continue;
            }
            tally.clients += 1;
            let is_newest = ring + 1 == rollout.open;
            tally.newest += usize::from(is_newest);
            match said {
                Some((UpdateState::Works, _)) => {
                    tally.works += 1;
                    tally.newest_works += usize::from(is_newest);
                }
                // Seen by whoever has resumed it.
                Some((UpdateState::PutBack | UpdateState::Failed | UpdateState::OnTrial, since))
                    if rollout.resumed.is_some_and(|resumed| since < resumed) => {}
                Some((UpdateState::PutBack, _)) => tally.put_back += 1,
                Some((UpdateState::Failed, _)) => tally.failed += 1,
                Some((UpdateState::OnTrial, since)) if now.since(since) >= TRIAL_LIMIT => tally.stuck += 1,
                Some((UpdateState::OnTrial, _)) => tally.on_trial += 1,
                Some((UpdateState::Waiting, _)) => tally.waiting += 1,
                Some((UpdateState::Other, _)) | None => {}
            }
        }
        tally
    }

    /// Those with whom it has gone wrong.
    pub fn bad(&self) -> usize {
        self.put_back + self.failed + self.stuck
    }
}

/// What is to become of a roll-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Stay(Stay),
    OpenNext,
    Finish,
    Halt(Halt),
}

/// Why it does not go on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// Until then the ring is watched.
    Soaking {
        left: Duration,
    },
    OnTrial {
        clients: usize,
    },
    /// Nobody in the ring that was opened last has it yet.
    NobodyYet,
}

/// Why it is halted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Too many have come back from it, or did not get it to run.
    Bad { bad: usize, tried: usize },
    /// More of those that have it are away than of the others.
    Away { gone: usize, updated: usize, others_gone: usize, others: usize },
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad { bad, tried } => write!(f, "it did not work for {bad} of {tried} clients"),
            Self::Away { gone, updated, others_gone, others } => write!(
                f,
                "{gone} of {updated} clients that have it are away, and {others_gone} of {others} of the others"
            ),
        }
    }
}

/// What is to become of a roll-out that is running.
pub fn judge(rollout: &Rollout, tally: &Tally, now: Timestamp) -> Verdict {
    let bad = tally.bad();
    let tried = tally.works + bad;
    if bad * 100 > tried * BAD_PERCENT {
        return Verdict::Halt(Halt::Bad { bad, tried });
    }
    let Tally { updated, others, .. } = *tally;
    let are_enough = updated.seen >= AWAY_FROM && others.seen >= AWAY_FROM;
    // As whole numbers: gone / seen > others' gone / seen + 20 %.
    let (left, right) = (updated.gone * 100 * others.seen, others.gone * 100 * updated.seen);
    if are_enough && left > right + AWAY_PERCENT * updated.seen * others.seen {
        let (gone, updated) = (updated.gone, updated.seen);
        return Verdict::Halt(Halt::Away { gone, updated, others_gone: others.gone, others: others.seen });
    }
    let soaked = now.since(rollout.opened);
    if soaked < rollout.soak {
        return Verdict::Stay(Stay::Soaking { left: rollout.soak.saturating_sub(soaked) });
    }
    if tally.on_trial > 0 {
        return Verdict::Stay(Stay::OnTrial { clients: tally.on_trial });
    }
    let has_proof = if tally.newest > 0 { tally.newest_works > 0 } else { tally.works > 0 };
    if !has_proof {
        return Verdict::Stay(Stay::NobodyYet);
    }
    if rollout.open < rollout.rings.len() { Verdict::OpenNext } else { Verdict::Finish }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{ReleaseToRollOut, RolloutState};

    const SOAK: Duration = Duration::from_secs(900);
    const START: Timestamp = Timestamp(1_800_000_000);

    fn rollout(open: usize) -> Rollout {
        Rollout {
            release: ReleaseToRollOut { release: "r".to_owned(), counter: 7 },
            rings: "5%,25%,100%".parse().unwrap(),
            open,
            soak: SOAK,
            state: RolloutState::Running,
            started: START,
            resumed: None,
            opened: START,
        }
    }

    fn said(count: usize, ring: usize, state: UpdateState) -> Vec<Client> {
        vec![Client { ring, said: Some((state, START)), presence: Presence::Online }; count]
    }

    fn silent(count: usize, ring: usize, presence: Presence) -> Vec<Client> {
        vec![Client { ring, said: None, presence }; count]
    }

    fn verdict(open: usize, after: Duration, clients: &[Vec<Client>]) -> Verdict {
        let (rollout, now) = (rollout(open), START + after);
        judge(&rollout, &Tally::of(clients.concat(), &rollout, now), now)
    }

    #[test]
    fn one_bad_client_halts_a_small_ring_and_more_than_two_in_a_hundred_a_large_one() {
        let works = |count| said(count, 0, UpdateState::Works);
        for state in [UpdateState::PutBack, UpdateState::Failed] {
            let bad = |count| said(count, 0, state);
            let halted = |bad, tried| Verdict::Halt(Halt::Bad { bad, tried });
            assert_eq!(verdict(1, Duration::ZERO, &[bad(1)]), halted(1, 1));
            assert_eq!(verdict(1, Duration::ZERO, &[works(48), bad(1)]), halted(1, 49));
            assert_eq!(verdict(1, SOAK, &[works(49), bad(1)]), Verdict::OpenNext);
            assert_eq!(verdict(1, SOAK, &[works(147), bad(3)]), Verdict::OpenNext);
            assert_eq!(verdict(1, SOAK, &[works(145), bad(3)]), halted(3, 148));
        }
        // Those of a ring that is not open had it from somebody else, or by hand.
        assert_eq!(verdict(1, SOAK, &[works(1), said(1, 1, UpdateState::PutBack)]), Verdict::OpenNext);
    }

    #[test]
    fn what_had_gone_wrong_before_it_was_resumed_does_not_halt_it_again() {
        let clients = [said(1, 0, UpdateState::Works), said(5, 0, UpdateState::PutBack)].concat();
        let judged = |resumed| {
            let rollout = Rollout { resumed: Some(resumed), ..rollout(1) };
            judge(&rollout, &Tally::of(clients.clone(), &rollout, START + SOAK), START + SOAK)
        };
        assert_eq!(judged(START), Verdict::Halt(Halt::Bad { bad: 5, tried: 6 }), "said after that");
        assert_eq!(judged(START + Duration::from_secs(1)), Verdict::OpenNext);
    }

    #[test]
    fn a_trial_without_an_end_is_waited_for_and_counts_as_bad_after_a_while() {
        let clients = [said(3, 0, UpdateState::Works), said(1, 0, UpdateState::OnTrial)];
        let moment = Duration::from_secs(1);
        let long = Rollout { soak: moment, ..rollout(1) };
        let judged = |after| {
            let now = START + after;
            judge(&long, &Tally::of(clients.concat(), &long, now), now)
        };
        assert_eq!(judged(TRIAL_LIMIT - moment), Verdict::Stay(Stay::OnTrial { clients: 1 }));
        assert_eq!(judged(TRIAL_LIMIT), Verdict::Halt(Halt::Bad { bad: 1, tried: 4 }));
    }

    #[test]
    fn the_next_ring_is_opened_after_the_time_and_when_somebody_in_this_one_has_it() {
        let works = |ring| said(1, ring, UpdateState::Works);
        let second = Duration::from_secs(1);
        assert_eq!(verdict(1, SOAK - second, &[works(0)]), Verdict::Stay(Stay::Soaking { left: second }));
        assert_eq!(verdict(1, SOAK, &[works(0)]), Verdict::OpenNext);
        let waiting = said(5, 1, UpdateState::Waiting);
        assert_eq!(verdict(2, SOAK, &[works(0), waiting.clone()]), Verdict::Stay(Stay::NobodyYet));
        assert_eq!(verdict(2, SOAK, &[works(0), waiting, works(1)]), Verdict::OpenNext);
        // A ring without anybody in it is no reason to stay, but nobody at all is.
        assert_eq!(verdict(2, SOAK, &[works(0)]), Verdict::OpenNext);
        assert_eq!(verdict(2, SOAK, &[silent(9, 2, Presence::Online)]), Verdict::Stay(Stay::NobodyYet));
        assert_eq!(verdict(3, SOAK, &[works(0), works(2)]), Verdict::Finish);
    }

    #[test]
    fn it_halts_when_those_that_have_it_are_away_more_than_the_others() {
        let away = |count| {
            vec![Client { ring: 0, said: Some((UpdateState::Works, START)), presence: Presence::Gone }; count]
        };
        let works = |count| said(count, 0, UpdateState::Works);
        let (there, gone) =
            (|count| silent(count, 2, Presence::Online), |count| silent(count, 2, Presence::Gone));
        let halted =
            |gone, others_gone| Verdict::Halt(Halt::Away { gone, updated: 10, others_gone, others: 10 });
        assert_eq!(verdict(1, SOAK, &[works(7), away(3), there(10)]), halted(3, 0));
        assert_eq!(verdict(1, SOAK, &[works(8), away(2), there(10)]), Verdict::OpenNext);
        // In the evening all laptops are shut.
        assert_eq!(verdict(1, SOAK, &[works(3), away(7), there(4), gone(6)]), Verdict::OpenNext);
        assert_eq!(verdict(1, SOAK, &[works(2), away(8), there(5), gone(5)]), halted(8, 5));
        // Few say nothing, and those that were never there do not either.
        assert_eq!(verdict(1, SOAK, &[works(1), away(8), there(10)]), Verdict::OpenNext);
        assert_eq!(
            verdict(1, SOAK, &[works(1), away(9), there(9), silent(90, 2, Presence::Unseen)]),
            Verdict::OpenNext
        );
    }
}
