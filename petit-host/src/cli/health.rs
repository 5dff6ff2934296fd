//! Health checks: what a container engine, or whoever else watches over a program, asks it by a command. It is asked over
//! its control socket; the exit code is the answer, and says nothing but yes (0) and no (1).

use std::time::Duration;

use super::Failure;
use crate::exit::ExitCode;

/// So long an answer is waited for. Less than those who run health checks give them, so that it is us who say why.
pub const HEALTH_LIMIT: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCheck {
    /// Does it answer? Who does not is to be started anew.
    Live,
    /// Does it do what it is there for? Who does not is to be left alone for now.
    Ready,
}

impl HealthCheck {
    /// What two options ask that exclude each other.
    pub fn of(is_live_asked: bool, is_ready_asked: bool) -> Option<Self> {
        match (is_live_asked, is_ready_asked) {
            (true, _) => Some(Self::Live),
            (false, true) => Some(Self::Ready),
            (false, false) => None,
        }
    }
}

/// The answer to a health check; `late` is what is said when there is none within [`HEALTH_LIMIT`].
///
/// # Errors
/// Exits with 1 whatever was wrong: some of those who ask know no other code.
///
/// # Cancel safety
/// Cancel safe where the question is.
pub async fn health<T>(
    question: impl Future<Output = Result<T, Failure>>,
    late: impl FnOnce() -> Failure,
) -> Result<T, Failure> {
    let answer = tokio::time::timeout(HEALTH_LIMIT, question).await.unwrap_or_else(|_| Err(late()));
    answer.map_err(|failure| Failure { exit: ExitCode::Failed, ..failure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whatever_is_wrong_is_a_plain_no() {
        let late = || Failure::new(ExitCode::NotRunning, "late");
        let not_running = async { Err::<(), _>(Failure::new(ExitCode::NotRunning, "it is not running")) };
        let said = health(not_running, late).await.unwrap_err();
        assert_eq!((said.exit, said.message.as_str()), (ExitCode::Failed, "it is not running"));
        let said = health(std::future::pending::<Result<(), Failure>>(), late).await.unwrap_err();
        assert_eq!((said.exit, said.message.as_str()), (ExitCode::Failed, "late"));
        assert_eq!(health(async { Ok(1) }, late).await.unwrap(), 1);
    }
}
