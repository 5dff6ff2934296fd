//! Exit codes, the same for both programs.

/// Why a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It did what it was asked.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// It was not understood.
    Usage = 2,
    /// It needs the running program, which is not running.
    NotRunning = 3,
    /// It needs a registration, and there is none.
    NotRegistered = 4,
    /// The server refused.
    Refused = 5,
    /// It did what it was asked; some of it counts only after a restart.
    RestartDue = 6,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

impl ExitCode {
    /// The code that a process of ours has ended with; [`ExitCode::Failed`] for any that is none of these.
    pub fn of(code: u8) -> Self {
        let all = [
            Self::Ok,
            Self::Failed,
            Self::Usage,
            Self::NotRunning,
            Self::NotRegistered,
            Self::Refused,
            Self::RestartDue,
            Self::Interrupted,
        ];
        all.into_iter().find(|known| *known as u8 == code).unwrap_or(Self::Failed)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
