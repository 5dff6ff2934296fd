//! What an agent asks of its relay, and what becomes of it: end-to-end probes, and giving names back.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::command::AskError;
use crate::name::ServiceName;
use crate::proto::control::ProbeResult;

/// Something asked of the relay that has not been answered.
pub(super) struct Question {
    pub(super) what: QuestionKind,
    pub(super) deadline: Instant,
}

pub(super) enum QuestionKind {
    Probe { probe: u32, number: u16, answer: Option<oneshot::Sender<Result<ProbeResult, AskError>>> },
    Remove { name: ServiceName, answer: oneshot::Sender<Result<(), AskError>> },
    Unregister { answer: oneshot::Sender<Result<(), AskError>> },
}

impl QuestionKind {
    pub(super) fn fail(self, error: AskError) {
        // Who asked may have stopped waiting.
        match self {
            Self::Probe { answer, .. } => drop(answer.map(|answer| answer.send(Err(error)))),
            Self::Remove { answer, .. } | Self::Unregister { answer } => drop(answer.send(Err(error))),
        }
    }
}
