//! The steps of a hand-over, as each process sees them. Pure: no sockets, no clock.
//!
//! Two things must hold whichever of the two is killed, and whenever: never do both write what only one may write,
//! and one of them serves in the end. The tests try every order in which messages and deaths can come.

/// Where the process stands that is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Predecessor {
    /// It serves, and nothing else is going on.
    Serving,
    /// It serves; its successor is getting ready.
    Preparing,
    /// It serves, but has stopped writing: that is the successor's now.
    Yielding,
    /// Its successor serves; it finishes what is under way, and still has copies of all that it gave.
    Draining,
    /// As [`Predecessor::Draining`], without its copies: it cannot come back.
    Parting,
    /// It is at its end.
    Ended,
}

/// What a predecessor learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PredecessorEvent {
    /// Somebody wants it replaced.
    Wanted,
    /// The successor has all that can fail before it takes over.
    Ready,
    /// The successor accepts connections.
    Serving,
    /// The successor has failed, has died, or has taken too long.
    Lost,
    /// The successor was asked to stop, and leaves in an orderly way.
    Stopping,
    /// Nothing is under way any more, or the time for it is over.
    Idle,
}

/// What a predecessor does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PredecessorAction {
    /// Start a successor and give it copies of everything.
    Start,
    /// Stop writing, then say so.
    Yield,
    /// Accept nothing more, ask peers to move, finish what is under way.
    Leave,
    /// Make sure that the successor is dead; go on as before.
    Discard,
    /// Make sure that the successor is dead; write again, accept again.
    TakeBack,
    /// Close the copies of what was given.
    LetGo,
    /// End the process.
    End,
    /// Nothing.
    Nothing,
}

impl Predecessor {
    /// The state after what was learned, and what is to be done.
    #[must_use]
    pub fn after(self, learned: PredecessorEvent) -> (Self, PredecessorAction) {
        match (self, learned) {
            (Self::Serving, PredecessorEvent::Wanted) => (Self::Preparing, PredecessorAction::Start),
            (Self::Preparing, PredecessorEvent::Ready) => (Self::Yielding, PredecessorAction::Yield),
            (Self::Preparing, PredecessorEvent::Lost | PredecessorEvent::Stopping) => {
                (Self::Serving, PredecessorAction::Discard)
            }
            (Self::Yielding, PredecessorEvent::Serving) => (Self::Draining, PredecessorAction::Leave),
            (Self::Yielding, PredecessorEvent::Lost | PredecessorEvent::Stopping) => {
                (Self::Serving, PredecessorAction::TakeBack)
            }
            (Self::Draining, PredecessorEvent::Lost) => (Self::Serving, PredecessorAction::TakeBack),
            (Self::Draining, PredecessorEvent::Stopping) => (Self::Parting, PredecessorAction::LetGo),
            (Self::Draining | Self::Parting, PredecessorEvent::Idle) => (Self::Ended, PredecessorAction::End),
            (state, _) => (state, PredecessorAction::Nothing), // late or repeated
        }
    }

    /// True while it may write what only one process may write.
    pub fn writes(self) -> bool {
        matches!(self, Self::Serving | Self::Preparing)
    }
}

/// Where the process stands that takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Successor {
    /// It gets everything ready that can fail.
    Preparing,
    /// The same; its predecessor has died meanwhile.
    PreparingAlone,
    /// It waits for its predecessor to stop writing.
    Ready,
    /// It opens what only one process may write.
    Taking,
    /// It accepts connections.
    Serving,
    /// It is of no use.
    Failed,
}

/// What happens to a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuccessorEvent {
    /// All is there.
    Prepared,
    /// The predecessor has stopped writing.
    Yours,
    /// It accepts connections.
    Took,
    /// The predecessor is dead.
    Orphaned,
    /// The predecessor lives, and has broken off.
    Abandoned,
    /// Something does not work.
    Failed,
}

/// What a successor does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SuccessorAction {
    /// Say that it is ready.
    SayReady,
    /// Open what only one process may write, and accept connections.
    Take,
    /// Say that it serves.
    SayServing,
    /// Say why, and end.
    Fail,
    /// Nothing.
    Nothing,
}

impl Successor {
    /// The state after what happened, and what is to be done.
    #[must_use]
    pub fn after(self, happened: SuccessorEvent) -> (Self, SuccessorAction) {
        match (self, happened) {
            (Self::Preparing, SuccessorEvent::Prepared) => (Self::Ready, SuccessorAction::SayReady),
            (Self::Preparing, SuccessorEvent::Orphaned) => (Self::PreparingAlone, SuccessorAction::Nothing),
            (Self::PreparingAlone, SuccessorEvent::Prepared) => (Self::Taking, SuccessorAction::Take),
            (Self::Ready, SuccessorEvent::Yours | SuccessorEvent::Orphaned) => {
                (Self::Taking, SuccessorAction::Take)
            }
            (Self::Taking, SuccessorEvent::Took) => (Self::Serving, SuccessorAction::SayServing),
            // Whoever serves goes on; whoever does not yet, and is not wanted any more, is in the way.
            (Self::Serving, _) => (self, SuccessorAction::Nothing),
            (Self::Failed, _) => (self, SuccessorAction::Nothing),
            (_, SuccessorEvent::Failed | SuccessorEvent::Abandoned) => (Self::Failed, SuccessorAction::Fail),
            (state, _) => (state, SuccessorAction::Nothing),
        }
    }

    /// True while it may write what only one process may write.
    pub fn writes(self) -> bool {
        matches!(self, Self::Taking | Self::Serving)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use super::*;

    /// Both processes and what is on its way between them. `None`: it is dead.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct World {
        old: Option<Predecessor>,
        new: Option<Successor>,
        to_old: VecDeque<PredecessorEvent>,
        to_new: VecDeque<SuccessorEvent>,
        /// Deaths that may still happen.
        deaths: u8,
        /// Steps of the successor that have not been finished.
        working: bool,
        /// The successor has ended by itself.
        failed: bool,
    }

    impl World {
        fn beginning(deaths: u8) -> Self {
            Self {
                old: Some(Predecessor::Preparing),
                new: Some(Successor::Preparing),
                to_old: VecDeque::new(),
                to_new: VecDeque::new(),
                deaths,
                working: true,
                failed: false,
            }
        }

        fn old_learns(mut self, learned: PredecessorEvent) -> Self {
            let (state, deed) = self.old.unwrap().after(learned);
            self.old = Some(state);
            match deed {
                PredecessorAction::Yield => self.to_new.push_back(SuccessorEvent::Yours),
                // The successor is dead before anything is taken back.
                PredecessorAction::Discard | PredecessorAction::TakeBack => {
                    self.new = None;
                    self.to_old.clear();
                }
                PredecessorAction::End => {
                    self.old = None;
                    self.to_old.clear();
                    if self.new.is_some() {
                        self.to_new.push_back(SuccessorEvent::Orphaned);
                    }
                }
                PredecessorAction::Start
                | PredecessorAction::Leave
                | PredecessorAction::LetGo
                | PredecessorAction::Nothing => {}
            }
            self
        }

        fn new_sees(mut self, happened: SuccessorEvent) -> Self {
            let (state, act) = self.new.unwrap().after(happened);
            self.new = Some(state);
            let said = match act {
                SuccessorAction::SayReady => Some(PredecessorEvent::Ready),
                SuccessorAction::SayServing => Some(PredecessorEvent::Serving),
                SuccessorAction::Take => {
                    self.working = true;
                    None
                }
                SuccessorAction::Fail => {
                    (self.new, self.failed) = (None, true);
                    Some(PredecessorEvent::Lost)
                }
                SuccessorAction::Nothing => None,
            };
            if self.old.is_some() {
                self.to_old.extend(said);
            }
            self
        }

        /// Every world that can be next.
        fn next(&self) -> Vec<Self> {
            let mut next = Vec::new();
            if self.old.is_some() {
                let mut world = self.clone();
                if let Some(learned) = world.to_old.pop_front() {
                    next.push(world.old_learns(learned));
                }
                // Time passes: it is late, or nothing is under way any more.
                if matches!(self.old, Some(Predecessor::Preparing | Predecessor::Yielding)) {
                    next.push(self.clone().old_learns(PredecessorEvent::Lost));
                }
                // It ends only after a look whether its successor lives.
                if self.old == Some(Predecessor::Draining) && self.new.is_some() {
                    next.push(self.clone().old_learns(PredecessorEvent::Idle));
                }
            }
            if let Some(state) = self.new {
                let mut world = self.clone();
                if let Some(happened) = world.to_new.pop_front() {
                    next.push(world.new_sees(happened));
                }
                if self.working {
                    let done = if state == Successor::Taking {
                        SuccessorEvent::Took
                    } else {
                        SuccessorEvent::Prepared
                    };
                    for happened in [done, SuccessorEvent::Failed] {
                        let world = Self { working: false, ..self.clone() };
                        next.push(world.new_sees(happened));
                    }
                }
            }
            if self.deaths > 0 {
                let deaths = self.deaths - 1;
                if self.old.is_some() && self.new.is_some() {
                    let mut world = Self { old: None, deaths, ..self.clone() };
                    world.to_old.clear();
                    world.to_new.push_back(SuccessorEvent::Orphaned);
                    next.push(world);
                    let mut world = Self { new: None, deaths, ..self.clone() };
                    world.to_new.clear();
                    world.to_old.push_back(PredecessorEvent::Lost);
                    next.push(world);
                }
            }
            next
        }

        fn writers(&self) -> usize {
            usize::from(self.old.is_some_and(Predecessor::writes))
                + usize::from(self.new.is_some_and(Successor::writes))
        }

        fn serves(&self) -> bool {
            self.old == Some(Predecessor::Serving) || self.new == Some(Successor::Serving)
        }
    }

    /// Every world that can come of one.
    fn all(beginning: World) -> HashSet<World> {
        let mut seen = HashSet::from([beginning.clone()]);
        let mut open = vec![beginning];
        while let Some(world) = open.pop() {
            for next in world.next() {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    }

    #[test]
    fn in_every_order_of_messages_and_one_death_one_writes_at_most_and_one_serves_in_the_end() {
        let worlds = all(World::beginning(1));
        assert!(worlds.len() > 30, "all orders are tried: {}", worlds.len());
        for world in &worlds {
            assert!(world.writers() <= 1, "{world:?}");
            let is_the_end = world.next().iter().all(|next| next.old == world.old && next.new == world.new);
            // A successor that fails alone, after its predecessor's death, is two mishaps.
            let two_mishaps = world.old.is_none() && world.failed && world.deaths == 0;
            assert!(!is_the_end || world.serves() || two_mishaps, "nobody serves: {world:?}");
        }
        let ends = |old, new| worlds.iter().any(|world| world.old == old && world.new == new);
        assert!(ends(None, Some(Successor::Serving)), "the usual end");
        assert!(ends(Some(Predecessor::Serving), None), "nothing has changed");
    }

    #[test]
    fn the_usual_way() {
        let mut old = Predecessor::Serving;
        for (learned, deed) in [
            (PredecessorEvent::Wanted, PredecessorAction::Start),
            (PredecessorEvent::Ready, PredecessorAction::Yield),
            (PredecessorEvent::Ready, PredecessorAction::Nothing),
            (PredecessorEvent::Serving, PredecessorAction::Leave),
            (PredecessorEvent::Serving, PredecessorAction::Nothing),
            (PredecessorEvent::Idle, PredecessorAction::End),
            (PredecessorEvent::Lost, PredecessorAction::Nothing),
        ] {
            let (next, done) = old.after(learned);
            assert_eq!(done, deed, "{old:?} {learned:?}");
            old = next;
        }
        let mut new = Successor::Preparing;
        for (happened, act) in [
            (SuccessorEvent::Yours, SuccessorAction::Nothing),
            (SuccessorEvent::Prepared, SuccessorAction::SayReady),
            (SuccessorEvent::Yours, SuccessorAction::Take),
            (SuccessorEvent::Took, SuccessorAction::SayServing),
            (SuccessorEvent::Orphaned, SuccessorAction::Nothing),
        ] {
            let (next, done) = new.after(happened);
            assert_eq!(done, act, "{new:?} {happened:?}");
            new = next;
        }
    }

    #[test]
    fn a_successor_that_stops_does_not_leave_a_queue_that_nobody_serves() {
        let (state, deed) = Predecessor::Draining.after(PredecessorEvent::Stopping);
        assert_eq!((state, deed), (Predecessor::Parting, PredecessorAction::LetGo));
        assert_eq!(
            state.after(PredecessorEvent::Lost),
            (Predecessor::Parting, PredecessorAction::Nothing),
            "it cannot come back"
        );
        assert_eq!(state.after(PredecessorEvent::Idle), (Predecessor::Ended, PredecessorAction::End));
    }

    #[test]
    fn a_successor_that_is_not_wanted_any_more_ends_unless_it_serves() {
        for state in [Successor::Preparing, Successor::Ready, Successor::Taking] {
            assert_eq!(
                state.after(SuccessorEvent::Abandoned),
                (Successor::Failed, SuccessorAction::Fail),
                "{state:?}"
            );
        }
        assert_eq!(
            Successor::Serving.after(SuccessorEvent::Abandoned),
            (Successor::Serving, SuccessorAction::Nothing)
        );
    }
}
