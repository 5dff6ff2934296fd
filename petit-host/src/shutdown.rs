//! Signals as events, and how urgent a request to stop is: the first is orderly, one that is repeated is not; SIGHUP
//! means read the config again.

use crate::exit::ExitCode;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessSignal {
    /// End in an orderly way (SIGTERM, Ctrl-C).
    End {
        /// By Ctrl-C, for the exit code.
        interrupted: bool,
    },
    /// Read the config again (SIGHUP).
    Reload,
}

/// What asks a program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// A signal to this process.
    Signal {
        /// By Ctrl-C, for the exit code.
        interrupted: bool,
    },
    /// A command over the control socket.
    Command,
    /// The process that stands for this one passes on a signal of its own.
    Anchor,
}

impl StopCause {
    /// How a program ends that was stopped by this.
    pub fn exit(self) -> ExitCode {
        match self {
            Self::Signal { interrupted: true } => ExitCode::Interrupted,
            Self::Signal { interrupted: false } | Self::Command | Self::Anchor => ExitCode::Ok,
        }
    }
}

/// How a program is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// What is under way is finished first.
    Orderly,
    /// Nothing is waited for.
    AtOnce,
}

/// All requests to stop that have come so far.
///
/// One stop by a service manager arrives as several: the command that it runs, the signal that it sends to every
/// process of the service, and the anchor's word that it has got that signal too, in no certain order. A terminal's
/// Ctrl-C does the same. So neither the first signal nor the anchor's word is taken for impatience. A second signal
/// is, and so is a command behind anything else: it comes from a person who was told that it ends the program at once.
#[derive(Debug, Default)]
pub struct StopRequests {
    asked: bool,
    signalled: bool,
}

impl StopRequests {
    /// True once there was one.
    pub fn any(&self) -> bool {
        self.asked
    }

    /// Takes note of one more, and says how urgent it makes the stop.
    pub fn add(&mut self, cause: StopCause) -> Urgency {
        let asked = std::mem::replace(&mut self.asked, true);
        let insists = match cause {
            StopCause::Signal { .. } => std::mem::replace(&mut self.signalled, true),
            StopCause::Command => asked,
            StopCause::Anchor => false,
        };
        if insists { Urgency::AtOnce } else { Urgency::Orderly }
    }
}

/// What comes while a program finishes what is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One more request to stop.
    Stop(StopCause),
    /// One that another process has judged already.
    Judged(Urgency),
    /// Something that has nothing to do with it any more.
    Other,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// What was under way is finished.
    Whole,
    /// Somebody insisted on an end at once.
    CutShort,
}

/// Finishes what is under way because of `cause`, unless somebody insists on an end at once. `next` waits for what
/// comes meanwhile; it is cancelled when `finishing` ends, and whenever it is asked again.
///
/// # Cancel safety
/// Cancelling cancels `finishing`.
pub async fn finish(
    cause: StopCause,
    finishing: impl Future<Output = ()>,
    mut next: impl AsyncFnMut() -> Asked,
) -> Finished {
    let mut requests = StopRequests::default();
    requests.add(cause);
    let mut finishing = std::pin::pin!(finishing);
    loop {
        let asked = tokio::select! {
            () = &mut finishing => return Finished::Whole,
            asked = next() => asked,
        };
        let urgency = match asked {
            Asked::Stop(cause) => requests.add(cause),
            Asked::Judged(urgency) => urgency,
            Asked::Other => continue,
        };
        match urgency {
            Urgency::Orderly => tracing::info!("asked again to stop; still finishing what is under way"),
            Urgency::AtOnce => {
                tracing::info!("stopping at once");
                return Finished::CutShort;
            }
        }
    }
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
    ctrl_break: tokio::signal::windows::CtrlBreak,
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
            use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};
            Ok(Self {
                interrupt: ctrl_c()?,
                ctrl_break: ctrl_break()?,
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
    pub async fn next(&mut self) -> ProcessSignal {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = self.term.recv() => ProcessSignal::End { interrupted: false },
                _ = self.int.recv() => ProcessSignal::End { interrupted: true },
                _ = self.hup.recv() => ProcessSignal::Reload,
            }
        }
        #[cfg(windows)]
        {
            // Services are told when anybody logs off.
            let is_of_user = petit_windows::service::name().is_none();
            tokio::select! {
                () = petit_windows::service::stop_requested() => ProcessSignal::End { interrupted: false },
                _ = self.interrupt.recv() => ProcessSignal::End { interrupted: true },
                // The one signal that a program can send to a group of others: what schedulers and service wrappers end
                // them with.
                _ = self.ctrl_break.recv() => ProcessSignal::End { interrupted: true },
                _ = self.close.recv() => ProcessSignal::End { interrupted: false },
                _ = self.logoff.recv(), if is_of_user => ProcessSignal::End { interrupted: false },
                _ = self.shutdown.recv() => ProcessSignal::End { interrupted: false },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNAL: StopCause = StopCause::Signal { interrupted: false };
    const INTERRUPT: StopCause = StopCause::Signal { interrupted: true };

    /// How finishing something that never ends goes, when this comes meanwhile, and what of it was not heard.
    async fn finished(mut comes: Vec<Asked>) -> (Finished, usize) {
        comes.reverse();
        let finished =
            finish(StopCause::Command, std::future::pending(), async || comes.pop().unwrap()).await;
        (finished, comes.len())
    }

    #[tokio::test]
    async fn what_is_under_way_is_finished_until_somebody_insists() {
        let signal = Asked::Stop(StopCause::Signal { interrupted: false });
        let (anchor, judged) = (Asked::Stop(StopCause::Anchor), Asked::Judged);
        for (comes, unheard) in [
            (vec![signal, signal, Asked::Other], 1),
            (vec![Asked::Other, anchor, judged(Urgency::Orderly), judged(Urgency::AtOnce)], 0),
            (vec![Asked::Stop(StopCause::Command), signal], 1),
        ] {
            assert_eq!(finished(comes).await, (Finished::CutShort, unheard));
        }
        let nothing = finish(StopCause::Command, async {}, async || std::future::pending().await).await;
        assert_eq!(nothing, Finished::Whole);
    }

    fn urgency(causes: &[StopCause]) -> Vec<Urgency> {
        let mut requests = StopRequests::default();
        causes.iter().map(|cause| requests.add(*cause)).collect()
    }

    #[test]
    fn one_stop_of_a_service_manager_is_orderly_in_whatever_order_it_arrives() {
        let all = [StopCause::Command, SIGNAL, StopCause::Anchor];
        for [a, b, c] in [[0, 1, 2], [0, 2, 1]] {
            assert_eq!(urgency(&[all[a], all[b], all[c]]), [Urgency::Orderly; 3]);
        }
        for pair in [[SIGNAL, StopCause::Anchor], [StopCause::Anchor, INTERRUPT]] {
            assert_eq!(urgency(&pair), [Urgency::Orderly; 2], "{pair:?}");
        }
    }

    #[test]
    fn a_second_signal_and_a_further_command_mean_at_once() {
        for insistent in [
            &[SIGNAL, SIGNAL][..],
            &[SIGNAL, INTERRUPT],
            &[StopCause::Command, StopCause::Command],
            &[SIGNAL, StopCause::Command],
            &[StopCause::Command, SIGNAL, SIGNAL],
            &[StopCause::Anchor, SIGNAL, StopCause::Anchor, SIGNAL],
            &[StopCause::Anchor, StopCause::Command],
        ] {
            let (last, before) = insistent.split_last().unwrap();
            assert!(urgency(before).iter().all(|urgency| *urgency == Urgency::Orderly), "{insistent:?}");
            assert_eq!(urgency(insistent).last(), Some(&Urgency::AtOnce), "{insistent:?} {last:?}");
        }
    }

    #[test]
    fn only_ctrl_c_is_an_interruption() {
        assert_eq!(INTERRUPT.exit(), ExitCode::Interrupted);
        for other in [SIGNAL, StopCause::Command, StopCause::Anchor] {
            assert_eq!(other.exit(), ExitCode::Ok);
        }
    }
}
