//! An upload that goes on behind its answer, to a service of HTTP/2.

use std::future::poll_fn;
use std::time::Duration;

use super::super::places::{Part, Place};
use super::pool::{OnSharedConnection, SharedConnection};
use super::upload::UploadOver;

/// An upload to a service of HTTP/2 that is not over when its answer begins. hyper sends it, and lets go of it only when
/// it has come to its end, or the service wants no more of it.
pub(super) struct SharedUpload {
    over: UploadOver,
    connection: SharedConnection,
    _on: OnSharedConnection,
}

impl SharedUpload {
    pub(super) fn new(over: UploadOver, connection: SharedConnection) -> Self {
        let on = connection.enter();
        Self { over, connection, _on: on }
    }

    /// Waits until it is over, its place is somebody else's, or none of it has moved for `idle`: a service that takes
    /// nothing is not waited for, and nobody's request is sent behind such an upload.
    pub(super) async fn until_over(self, place: &Place, idle: Duration) {
        let Self { over: UploadOver(mut over), connection, _on } = self;
        let stalled = async {
            let mut seen = place.bytes();
            loop {
                tokio::time::sleep(idle).await;
                let now = place.bytes();
                if now == seen {
                    return;
                }
                seen = now;
            }
        };
        tokio::select! {
            _ = &mut over => return,
            () = poll_fn(|cx| place.poll_lost(Part::Upload, cx)) => {}
            () = stalled => {}
        }
        connection.retire();
    }
}
