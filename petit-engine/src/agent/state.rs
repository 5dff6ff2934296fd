//! Where an agent stands, and how it gets from one state to the next. Pure: times come in with the call.

#![warn(clippy::wildcard_enum_match_arm, reason = "what follows from each case is decided here, one by one")]

use std::time::Instant;

use crate::cause::Cause;

/// Where the agent stands: `Idle → Connecting → Online`; a failure leads to `Waiting`, or to `Stopped` when only
/// a person can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentState {
    /// Switched off.
    Idle,
    /// On the way to a session.
    Connecting,
    /// The relay has welcomed a session.
    Online { since: Instant },
    /// The next attempt is at `until`.
    Waiting {
        until: Instant,
        /// Why the last one failed, or the last session ended.
        cause: Cause,
    },
    /// Only a person can help; whether one has is looked at every [`crate::limits::RETRY_REFUSED`].
    Stopped { cause: Cause },
}

/// What happens to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// Somebody wants it online.
    SwitchedOn,
    /// Somebody wants it offline.
    SwitchedOff,
    /// The relay has welcomed the session that was being opened.
    Welcomed,
    /// An attempt has failed or a session has ended; the next attempt is at `until`.
    Lost {
        /// When to try again.
        until: Instant,
        cause: Cause,
    },
    /// The relay does not want this device, and will not change its mind.
    Refused { cause: Cause },
    /// Time has passed.
    Tick,
    /// It is time to look whether somebody has put things right.
    RetryDue,
    /// Waiting has become pointless: the network changed, the computer woke, or somebody pressed a button.
    ReconnectNow,
}

impl AgentState {
    /// The state after `event`.
    #[must_use]
    pub fn after(self, event: AgentEvent, now: Instant) -> Self {
        match (self, event) {
            (_, AgentEvent::SwitchedOff) => Self::Idle,
            (Self::Idle | Self::Stopped { .. }, AgentEvent::SwitchedOn) => Self::Connecting,
            (Self::Connecting, AgentEvent::Welcomed) => Self::Online { since: now },
            (Self::Connecting | Self::Online { .. }, AgentEvent::Lost { until, cause }) => {
                Self::Waiting { until, cause }
            }
            (Self::Connecting | Self::Online { .. }, AgentEvent::Refused { cause }) => {
                Self::Stopped { cause }
            }
            (Self::Waiting { until, .. }, AgentEvent::Tick) if until <= now => Self::Connecting,
            (Self::Waiting { .. }, AgentEvent::ReconnectNow | AgentEvent::SwitchedOn) => Self::Connecting,
            (Self::Stopped { .. }, AgentEvent::RetryDue) => Self::Connecting,
            (state, _) => state, // late or repeated: an answer no longer asked for changes nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_usual_way_goes_online_and_comes_back_after_a_loss() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let online = AgentState::Idle.after(AgentEvent::SwitchedOn, now).after(AgentEvent::Welcomed, now);
        assert_eq!(online, AgentState::Online { since: now });
        let waiting = online.after(AgentEvent::Lost { until: later, cause: Cause::Lost }, now);
        assert_eq!(waiting.after(AgentEvent::Tick, now), waiting, "not before its time");
        assert_eq!(waiting.after(AgentEvent::Tick, later), AgentState::Connecting);
        assert_eq!(waiting.after(AgentEvent::ReconnectNow, now), AgentState::Connecting);
    }

    #[test]
    fn a_refusal_waits_for_a_person() {
        let now = Instant::now();
        let stopped = AgentState::Connecting.after(AgentEvent::Refused { cause: Cause::Unknown }, now);
        for event in [AgentEvent::Tick, AgentEvent::ReconnectNow, AgentEvent::Welcomed] {
            assert_eq!(stopped.after(event, now + Duration::from_secs(3600)), stopped);
        }
        assert_eq!(stopped.after(AgentEvent::SwitchedOn, now), AgentState::Connecting);
        assert_eq!(stopped.after(AgentEvent::RetryDue, now), AgentState::Connecting, "now and then it looks");
    }

    #[test]
    fn late_answer_after_switch_off_changes_nothing() {
        let now = Instant::now();
        let lost = AgentEvent::Lost { until: now, cause: Cause::Lost };
        for event in [
            AgentEvent::Welcomed,
            lost,
            AgentEvent::Refused { cause: Cause::Unknown },
            AgentEvent::Tick,
            AgentEvent::RetryDue,
            AgentEvent::ReconnectNow,
        ] {
            assert_eq!(AgentState::Idle.after(event, now), AgentState::Idle);
        }
    }

    #[test]
    fn switching_off_works_from_anywhere() {
        let now = Instant::now();
        for state in [
            AgentState::Idle,
            AgentState::Connecting,
            AgentState::Online { since: now },
            AgentState::Waiting { until: now, cause: Cause::Lost },
            AgentState::Stopped { cause: Cause::Unknown },
        ] {
            assert_eq!(state.after(AgentEvent::SwitchedOff, now), AgentState::Idle);
        }
    }
}
