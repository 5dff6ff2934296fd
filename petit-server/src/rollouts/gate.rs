//! When a roll-out goes on, and when it halts. Pure: what is known comes in with the call.

use std::fmt;
use std::time::Duration;

use petit_engine::proto::control::UpdateState;

use crate::registry::{Rollout, Timestamp};

/// A trial of a client that is there and that has come to nothing for so long has gone wrong: it is over after two minutes
/// in which the client is connected.
pub const TRIAL_LIMIT: Duration = Duration::from_secs(15 * 60);
/// As [`TRIAL_LIMIT`], of a client that is away: after half an hour it goes back by itself, and says so when it is there
/// again.
pub const AWAY_LIMIT: Duration = Duration::from_secs(60 * 60);
/// So many that are away since they began with a version have gone wrong; of fewer the line may be broken, or the laptop
/// shut. Until one of those is back the next ring waits.
const LOST_FROM: usize = 2;
/// So many in a hundred of those of a ring that are there and need nobody's consent are to have it before the next one is
/// opened; one at least.
const PROOF_PERCENT: usize = 10;

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
    /// For how long this process knows that, by a clock that does not jump.
    pub known_for: Duration,
    /// The release has no version for it, or no other one than it had, or everybody was to have, before.
    pub had_before: bool,
    pub presence: Presence,
}

/// Whether a client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Online,
    /// It has been there since the roll-out was started or resumed, and is not any more.
    Gone,
    /// It has not.
    Unseen,
}

/// What a client's word counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Works,
    /// It works and is no news there, so it says nothing about what is new.
    Had,
    OnTrial,
    Waiting,
    PutBack,
    Failed,
    /// It has tried it for longer than that takes.
    Stuck,
    /// It has been away since it has tried it, for longer than that takes.
    Lost,
    /// It has gone wrong, and whoever has started or resumed the roll-out could see that.
    Excused,
}

impl Word {
    /// True where it has gone wrong. Who could not fetch it goes on as before, and is no reason to halt.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::PutBack | Self::Stuck | Self::Lost)
    }
}

/// What a client's word counts for; nothing where it has said nothing.
pub fn word(client: &Client, rollout: &Rollout, now: Timestamp) -> Option<Word> {
    if client.said.is_none() && client.had_before {
        return Some(Word::Had);
    }
    let (state, said) = client.said?;
    let begun = rollout.begun();
    Some(match state {
        UpdateState::Works if client.had_before => Word::Had,
        UpdateState::Works => Word::Works,
        UpdateState::Waiting => Word::Waiting,
        UpdateState::PutBack | UpdateState::Failed if said < begun => Word::Excused,
        UpdateState::PutBack => Word::PutBack,
        UpdateState::Failed => Word::Failed,
        UpdateState::OnTrial => {
            let (limit, over) = match client.presence {
                Presence::Online => (TRIAL_LIMIT, Word::Stuck),
                Presence::Gone | Presence::Unseen => (AWAY_LIMIT, Word::Lost),
            };
            // Neither counts alone: a clock may jump, and a process may have begun a moment ago.
            let is_over = now.since(said.max(begun)) >= limit && client.known_for >= limit;
            if is_over { over } else { Word::OnTrial }
        }
        UpdateState::Other => return None,
    })
}

/// What clients have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In all rings.
    all: usize,
    /// In the rings that are open.
    pub clients: usize,
    pub works: usize,
    /// They had its version before.
    pub had: usize,
    pub on_trial: usize,
    pub waiting: usize,
    /// They came back from it.
    pub put_back: usize,
    /// They could not fetch it or begin with it.
    pub failed: usize,
    /// They have tried it for longer than that takes.
    pub stuck: usize,
    /// The same, and they are away.
    pub lost: usize,
    /// Seen by whoever has resumed it.
    pub excused: usize,
    /// In the ring that was opened last.
    newest: Newest,
    /// With and without the new version: there at some time, and of them away now.
    updated: Shares,
    others: Shares,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Newest {
    clients: usize,
    works: usize,
    /// Those that are there, say something of it and wait for nobody. Who has nothing by which it could look at a release
    /// says nothing.
    could: usize,
    /// When the first has said that it works.
    proved: Option<Timestamp>,
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
        for client in clients {
            tally.all += 1;
            let word = word(&client, rollout, now);
            let shares = if word == Some(Word::Works) { &mut tally.updated } else { &mut tally.others };
            shares.count(client.presence);
            if client.ring >= rollout.open {
                continue;
            }
            tally.clients += 1;
            match word {
                Some(Word::Works) => tally.works += 1,
                Some(Word::Had) => tally.had += 1,
                Some(Word::OnTrial) => tally.on_trial += 1,
                Some(Word::Waiting) => tally.waiting += 1,
                Some(Word::PutBack) => tally.put_back += 1,
                Some(Word::Failed) => tally.failed += 1,
                Some(Word::Stuck) => tally.stuck += 1,
                Some(Word::Lost) => tally.lost += 1,
                Some(Word::Excused) => tally.excused += 1,
                None => {}
            }
            if client.ring + 1 == rollout.open {
                tally.newest.count(&client, word);
            }
        }
        tally
    }

    /// Those with whom it has gone wrong.
    pub fn bad(&self) -> usize {
        let lost = if self.lost >= LOST_FROM { self.lost } else { 0 };
        self.put_back + self.stuck + lost
    }
}

impl Newest {
    fn count(&mut self, client: &Client, word: Option<Word>) {
        if word == Some(Word::Had) {
            return;
        }
        self.clients += 1;
        let could = !matches!(word, None | Some(Word::Waiting | Word::Excused));
        self.could += usize::from(client.presence == Presence::Online && could);
        if let (Some(Word::Works), Some((_, said))) = (word, client.said) {
            self.works += 1;
            self.proved = Some(self.proved.map_or(said, |proved| proved.min(said)));
        }
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
    /// So many more of the ring that was opened last are to have it.
    TooFew {
        more: usize,
    },
    /// No client is registered, so nothing is known of it.
    Nobody,
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
                "{gone} of {updated} clients that have it are away, and {others_gone} of {others} of the others; \
                 it may be the evening where they are"
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
    let goes_on = if rollout.open < rollout.rings.len() { Verdict::OpenNext } else { Verdict::Finish };
    let Newest { clients, works, could, proved } = tally.newest;
    if tally.all == 0 {
        return Verdict::Stay(Stay::Nobody);
    }
    // There is nobody to wait for.
    if clients == 0 {
        return goes_on;
    }
    let needed = (could * PROOF_PERCENT).div_ceil(100).max(1);
    if works < needed {
        return Verdict::Stay(Stay::TooFew { more: needed - works });
    }
    // From when somebody had it: a ring may have waited for its hours.
    let soaked = now.since(proved.map_or(rollout.opened, |proved| proved.max(rollout.opened)));
    if soaked < rollout.soak {
        return Verdict::Stay(Stay::Soaking { left: rollout.soak.saturating_sub(soaked) });
    }
    // One that is lost is waited for where it would halt the roll-out if another one were lost as well.
    let is_much = |bad: usize| bad * 100 > (tally.works + bad) * BAD_PERCENT;
    let lost = if is_much(tally.put_back + tally.stuck + tally.lost) { tally.lost } else { 0 };
    match tally.on_trial + lost {
        0 => goes_on,
        clients => Verdict::Stay(Stay::OnTrial { clients }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{ReleaseToRollOut, RolloutState, TargetVersions};

    const SOAK: Duration = Duration::from_secs(900);
    const START: Timestamp = Timestamp(1_800_000_000);

    fn rollout(open: usize) -> Rollout {
        Rollout {
            release: ReleaseToRollOut { release: "r".to_owned(), counter: 7 },
            versions: TargetVersions::new(),
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
        let said = Some((state, START));
        let presence = Presence::Online;
        vec![Client { ring, said, known_for: Duration::MAX, had_before: false, presence }; count]
    }

    fn silent(count: usize, ring: usize, presence: Presence) -> Vec<Client> {
        vec![Client { presence, said: None, ..said(1, ring, UpdateState::Works)[0] }; count]
    }

    fn verdict(open: usize, after: Duration, clients: &[Vec<Client>]) -> Verdict {
        let (rollout, now) = (rollout(open), START + after);
        judge(&rollout, &Tally::of(clients.concat(), &rollout, now), now)
    }

    #[test]
    fn one_bad_client_halts_a_small_ring_and_more_than_two_in_a_hundred_a_large_one() {
        let works = |count| said(count, 0, UpdateState::Works);
        let bad = |count| said(count, 0, UpdateState::PutBack);
        let halted = |bad, tried| Verdict::Halt(Halt::Bad { bad, tried });
        assert_eq!(verdict(1, Duration::ZERO, &[bad(1)]), halted(1, 1));
        assert_eq!(verdict(1, Duration::ZERO, &[works(48), bad(1)]), halted(1, 49));
        assert_eq!(verdict(1, SOAK, &[works(49), bad(1)]), Verdict::OpenNext);
        assert_eq!(verdict(1, SOAK, &[works(147), bad(3)]), Verdict::OpenNext);
        assert_eq!(verdict(1, SOAK, &[works(145), bad(3)]), halted(3, 148));
        // Those of a ring that is not open had it from somebody else, or by hand.
        assert_eq!(verdict(1, SOAK, &[works(1), said(1, 1, UpdateState::PutBack)]), Verdict::OpenNext);
        // Whose line broke goes on with the version before, and is waited for.
        let failed = said(9, 0, UpdateState::Failed);
        assert_eq!(verdict(1, SOAK, std::slice::from_ref(&failed)), Verdict::Stay(Stay::TooFew { more: 1 }));
        assert_eq!(verdict(1, SOAK, &[failed, works(1)]), Verdict::OpenNext);
    }

    #[test]
    fn what_had_gone_wrong_before_it_was_started_or_resumed_does_not_halt_it() {
        let clients = [said(1, 0, UpdateState::Works), said(5, 0, UpdateState::PutBack)].concat();
        let later = START + Duration::from_secs(1);
        let judged = |rollout: Rollout| {
            let now = later + SOAK;
            let tally = Tally::of(clients.clone(), &rollout, now);
            (judge(&rollout, &tally, now), tally.excused)
        };
        let halted = (Verdict::Halt(Halt::Bad { bad: 5, tried: 6 }), 0);
        assert_eq!(judged(rollout(1)), halted);
        assert_eq!(judged(Rollout { resumed: Some(START), ..rollout(1) }), halted, "said after that");
        assert_eq!(judged(Rollout { resumed: Some(later), ..rollout(1) }), (Verdict::OpenNext, 5));
        assert_eq!(judged(Rollout { started: later, ..rollout(1) }), (Verdict::OpenNext, 5));
    }

    #[test]
    fn a_trial_without_an_end_is_waited_for_and_counts_as_bad_after_a_while() {
        let moment = Duration::from_secs(1);
        let long = Rollout { soak: moment, ..rollout(1) };
        let all = |trials: &[Presence], rollout: &Rollout, after| {
            let now = START + after;
            let trial =
                |presence: &Presence| Client { presence: *presence, ..said(1, 0, UpdateState::OnTrial)[0] };
            let clients = [said(3, 0, UpdateState::Works), trials.iter().map(trial).collect()].concat();
            judge(rollout, &Tally::of(clients, rollout, now), now)
        };
        let judged = |presence, rollout: &Rollout, after| all(&[presence], rollout, after);
        let bad = Verdict::Halt(Halt::Bad { bad: 1, tried: 4 });
        let waiting = |clients| Verdict::Stay(Stay::OnTrial { clients });
        let waited_for = waiting(1);
        assert_eq!(judged(Presence::Online, &long, TRIAL_LIMIT - moment), waited_for);
        assert_eq!(judged(Presence::Online, &long, TRIAL_LIMIT), bad);
        for presence in [Presence::Gone, Presence::Unseen] {
            let two = [presence, Presence::Gone];
            assert_eq!(all(&two, &long, AWAY_LIMIT - moment), waiting(2));
            assert_eq!(all(&two, &long, AWAY_LIMIT), Verdict::Halt(Halt::Bad { bad: 2, tried: 5 }));
            // Of a single one that is away the line may be broken: no ring is opened before it is back.
            assert_eq!(judged(presence, &long, AWAY_LIMIT * 100), waited_for);
        }
        // Of many those that are lost are too few to halt it, and hold it up no longer either.
        let lost =
            |count| vec![Client { presence: Presence::Gone, ..said(1, 0, UpdateState::OnTrial)[0] }; count];
        let of_many = |count| {
            let now = START + AWAY_LIMIT;
            let clients = [said(500, 0, UpdateState::Works), lost(count)].concat();
            judge(&long, &Tally::of(clients, &long, now), now)
        };
        assert_eq!(of_many(3), Verdict::OpenNext);
        assert_eq!(of_many(11), Verdict::Halt(Halt::Bad { bad: 11, tried: 511 }));
        // A clock that has jumped makes no trial longer.
        let jumped = Client { known_for: TRIAL_LIMIT - moment, ..said(1, 0, UpdateState::OnTrial)[0] };
        let clients = [said(3, 0, UpdateState::Works), vec![jumped]].concat();
        let now = START + TRIAL_LIMIT * 100;
        assert_eq!(judge(&long, &Tally::of(clients, &long, now), now), waited_for);
        // Whoever resumes it gives them the same time again.
        let resumed = Rollout { resumed: Some(START + TRIAL_LIMIT), ..long };
        assert_eq!(judged(Presence::Online, &resumed, TRIAL_LIMIT * 2 - moment), waited_for);
        assert_eq!(judged(Presence::Online, &resumed, TRIAL_LIMIT * 2), bad);
    }

    #[test]
    fn the_next_ring_is_opened_when_enough_of_this_one_have_had_it_for_long_enough() {
        let works = |count, ring| said(count, ring, UpdateState::Works);
        let too_few = |more| Verdict::Stay(Stay::TooFew { more });
        let second = Duration::from_secs(1);
        assert_eq!(verdict(1, SOAK - second, &[works(1, 0)]), Verdict::Stay(Stay::Soaking { left: second }));
        assert_eq!(verdict(1, SOAK, &[works(1, 0)]), Verdict::OpenNext);
        // The time begins when somebody has it.
        let late = vec![Client { said: Some((UpdateState::Works, START + SOAK)), ..works(1, 0)[0] }];
        assert_eq!(
            verdict(1, SOAK * 2 - second, std::slice::from_ref(&late)),
            Verdict::Stay(Stay::Soaking { left: second })
        );
        assert_eq!(verdict(1, SOAK * 2, &[late]), Verdict::OpenNext);
        // Those of the rings before prove nothing about this one.
        let waiting = said(500, 1, UpdateState::Waiting);
        assert_eq!(verdict(2, SOAK, &[works(5, 0), waiting.clone()]), too_few(1));
        assert_eq!(verdict(2, SOAK, &[works(5, 0), waiting, works(1, 1)]), Verdict::OpenNext);
        // One in ten of those that could, and of them those that are there.
        let (could, away) = (said(90, 1, UpdateState::Failed), silent(900, 1, Presence::Unseen));
        assert_eq!(verdict(2, SOAK, &[could.clone(), away.clone(), works(8, 1)]), too_few(2));
        assert_eq!(verdict(2, SOAK, &[could, away, works(10, 1)]), Verdict::OpenNext);
        // Who cannot look at releases says nothing, and keeps nobody waiting.
        let silent = silent(90, 1, Presence::Online);
        assert_eq!(verdict(2, SOAK, std::slice::from_ref(&silent)), too_few(1));
        assert_eq!(verdict(2, SOAK, &[silent, works(1, 1)]), Verdict::OpenNext);
        // A ring without anybody in it is passed over at once.
        assert_eq!(verdict(1, Duration::ZERO, &[works(1, 1)]), Verdict::OpenNext);
        assert_eq!(verdict(3, Duration::ZERO, &[works(1, 0)]), Verdict::Finish);
        // But before there are clients it goes nowhere.
        assert_eq!(verdict(1, SOAK, &[]), Verdict::Stay(Stay::Nobody));
        assert_eq!(verdict(3, SOAK, &[]), Verdict::Stay(Stay::Nobody));
        assert_eq!(verdict(3, SOAK, &[works(1, 0), works(1, 2)]), Verdict::Finish);
    }

    #[test]
    fn those_to_whom_a_release_brings_nothing_new_prove_and_hide_nothing() {
        let had =
            |count, ring| vec![Client { had_before: true, ..said(1, ring, UpdateState::Works)[0] }; count];
        let works = |count, ring| said(count, ring, UpdateState::Works);
        let bad = |count| said(count, 0, UpdateState::PutBack);
        let silent = silent(1, 0, Presence::Online);
        let too_few = |more| Verdict::Stay(Stay::TooFew { more });
        assert_eq!(verdict(1, SOAK, &[had(95, 0), silent.clone()]), too_few(1));
        assert_eq!(verdict(1, SOAK, &[had(95, 0), silent, works(1, 0)]), Verdict::OpenNext);
        let halted = Verdict::Halt(Halt::Bad { bad: 2, tried: 5 });
        assert_eq!(verdict(1, SOAK, &[had(95, 0), works(3, 0), bad(2)]), halted);
        // Nor do those who have asked for something that the release does not have.
        let without = vec![Client { said: None, ..had(1, 0)[0] }; 5];
        assert_eq!(verdict(1, SOAK, &[without, works(1, 1)]), Verdict::OpenNext);
        // Where they are all of a ring there is nobody to wait for.
        assert_eq!(verdict(1, Duration::ZERO, &[had(5, 0), works(1, 1)]), Verdict::OpenNext);
        // When they are away they are as all others are.
        let away = |clients: Vec<Client>| -> Vec<Client> {
            clients.into_iter().map(|client| Client { presence: Presence::Gone, ..client }).collect()
        };
        assert_eq!(verdict(1, SOAK, &[works(10, 0), away(had(10, 0))]), Verdict::OpenNext);
        assert_eq!(verdict(1, SOAK, &[away(had(10, 0)), had(10, 0), works(1, 0)]), Verdict::OpenNext);
    }

    #[test]
    fn it_halts_when_those_that_have_it_are_away_more_than_the_others() {
        let away =
            |count| vec![Client { presence: Presence::Gone, ..said(1, 0, UpdateState::Works)[0] }; count];
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
