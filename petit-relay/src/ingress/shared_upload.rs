//! An upload that goes on behind its answer, to a service of HTTP/2.

use std::future::poll_fn;
use std::time::Duration;

use petit_engine::limits;

use super::super::failure::Failure;
use super::super::places::{Part, Place};
use super::super::visit::VisitEnd;
use super::pool::{OnSharedConnection, SharedConnection};
use super::upload::UploadOver;

/// An upload to a service of HTTP/2 that is not over when its answer begins. hyper sends it, and lets go of it only when
/// it has come to its end, or the service wants no more of it: it asks for no more of a body, and so does not hear that
/// this is given up, before the service gives window.
pub(super) struct SharedUpload {
    over: UploadOver,
    connection: SharedConnection,
    on: OnSharedConnection,
}

impl SharedUpload {
    pub(super) fn new(over: UploadOver, connection: SharedConnection) -> Self {
        let on = connection.enter();
        Self { over, connection, on }
    }

    /// Waits until it is over, and says how that came. One whose place is somebody else's, or of whose visit nothing has
    /// moved for `idle`, is given up: it ends when the service gives window, or else with its connection, as soon as
    /// nobody else has a request on that, and after [`limits::H2_GIVEN_UP`] in any case.
    pub(super) async fn until_over(self, place: &Place, idle: Duration) -> VisitEnd {
        let Self { mut over, connection, on } = self;
        let end = tokio::select! {
            () = over.wait() => {
                return match place.fault() {
                    Some(fault) => fault.into(),
                    None => VisitEnd::of_untaken(&connection.outcome),
                };
            }
            () = poll_fn(|cx| place.poll_lost(Part::Upload, cx)) => Failure::GaveWay.into(),
            () = place.still_for(idle) => VisitEnd::Idle,
        };
        over.give_up();
        connection.retire();
        drop(on); // two that are given up do not wait for each other
        tokio::select! {
            () = over.wait() => return end,
            () = connection.unused() => {}
            () = tokio::time::sleep(limits::H2_GIVEN_UP) => {}
        }
        connection.break_off();
        end
    }
}
