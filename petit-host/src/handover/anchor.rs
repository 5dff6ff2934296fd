//! A process in the foreground whose work has gone to its successor: it stays, because whoever has started it (a
//! terminal, a service manager, a container) takes its end for the end of the service.

use super::link::{Link, Said};
use crate::shutdown::{Asked, Signals};

/// Stays until the last successor has ended, and returns its exit code; `None` when that was killed. Signals are
/// passed on.
pub async fn stay(mut link: Link, signals: &mut Signals) -> Option<u8> {
    link.say(&Said::Drained {});
    let mut asked_before = false;
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                // On a terminal the successor has got the signal too, so only what goes beyond it counts there.
                Asked::End { .. } => {
                    link.say(&Said::Stop { now: asked_before });
                    asked_before = true;
                }
                Asked::Reload => link.say(&Said::Reload {}),
            },
            heard = link.next() => match heard {
                Some((Said::Ended { exit }, _)) => return Some(exit),
                Some(_) => {}
                None => return None,
            },
        }
    }
}
