//! A process in the foreground whose work has gone to its successor: it stays, because whoever has started it (a
//! terminal, a service manager, a container) takes its end for the end of the service.

use super::link::{Link, LinkMessage};
use crate::shutdown::{ProcessSignal, Signals, StopCause, StopRequests, Urgency};

/// Stays until the last successor has ended, and returns its exit code; `None` when that was killed. Signals are
/// passed on; `requests` are those that have come before, so that one more is as urgent as it is meant.
pub async fn stay(mut link: Link, signals: &mut Signals, mut requests: StopRequests) -> Option<u8> {
    link.say(&LinkMessage::Drained {});
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                // On a terminal the successor has got the signal too, so only what goes beyond it counts there.
                ProcessSignal::End { interrupted } => {
                    let urgency = requests.add(StopCause::Signal { interrupted });
                    link.say(&LinkMessage::Stop { now: urgency == Urgency::AtOnce });
                }
                ProcessSignal::Reload => link.say(&LinkMessage::Reload {}),
            },
            heard = link.next() => match heard {
                Some((LinkMessage::Ended { exit }, _)) => return Some(exit),
                Some(_) => {}
                None => {
                    tracing::error!("the process that served was killed; ending with exit code 1, to be started anew");
                    return None;
                }
            },
        }
    }
}
