//! Signals as events: the first request to end is polite, the second is not; SIGHUP means read the config again.

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// End in an orderly way (SIGTERM, Ctrl-C).
    End {
        /// By Ctrl-C, for the exit code.
        interrupted: bool,
    },
    /// Read the config again (SIGHUP).
    Reload,
}

/// The signals of this process.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    term: tokio::signal::unix::Signal,
    #[cfg(unix)]
    int: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes the signals over; from here on they no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                term: signal(SignalKind::terminate())?,
                int: signal(SignalKind::interrupt())?,
                hup: signal(SignalKind::hangup())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// The next signal.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Asked {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = self.term.recv() => Asked::End { interrupted: false },
                _ = self.int.recv() => Asked::End { interrupted: true },
                _ = self.hup.recv() => Asked::Reload,
            }
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            Asked::End { interrupted: true }
        }
    }
}
