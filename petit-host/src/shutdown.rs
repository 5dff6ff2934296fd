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
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
    #[cfg(windows)]
    close: tokio::signal::windows::CtrlClose,
    #[cfg(windows)]
    logoff: tokio::signal::windows::CtrlLogoff,
    #[cfg(windows)]
    shutdown: tokio::signal::windows::CtrlShutdown,
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
        #[cfg(windows)]
        {
            use tokio::signal::windows::{ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
            Ok(Self {
                interrupt: ctrl_c()?,
                close: ctrl_close()?,
                logoff: ctrl_logoff()?,
                shutdown: ctrl_shutdown()?,
            })
        }
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
        #[cfg(windows)]
        {
            tokio::select! {
                _ = self.interrupt.recv() => Asked::End { interrupted: true },
                _ = self.close.recv() => Asked::End { interrupted: false },
                _ = self.logoff.recv() => Asked::End { interrupted: false },
                _ = self.shutdown.recv() => Asked::End { interrupted: false },
            }
        }
    }
}
