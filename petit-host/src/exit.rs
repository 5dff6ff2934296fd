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
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
