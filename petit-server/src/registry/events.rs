//! What happened, for the operator, and that no client can make the operator forget what others have done. Never a secret.

use petit_engine::name::DeviceId;

use super::error::StoreError;
use super::rows::{Event, Rows};
use super::rules::Registry;

/// Events that are kept; the oldest go first.
const EVENTS_KEPT: u32 = 100_000;
/// Of these, such as one device can cause as often as it likes: enough to see what it has done of late, and few
/// enough that it cannot push those of others out. Twice as many as a device has services.
pub(crate) const EVENTS_OF_DEVICE: u32 = 128;

/// Whose room in the log of events one takes.
#[derive(Clone, Copy)]
pub(super) enum EventScope<'a> {
    /// Everybody's: what the operator does, and what an invite allows once.
    Common,
    /// A device's own, for what it can cause again and again.
    Of(&'a DeviceId),
}

impl<R: Rows> Registry<'_, R> {
    pub(super) async fn event(
        &mut self,
        scope: EventScope<'_>,
        what: &'static str,
        subject: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let device = match scope {
            EventScope::Common => None,
            EventScope::Of(device) => Some(device),
        };
        self.rows.insert_event(&Event { at: self.now, what, subject, detail, device }).await?;
        if device.is_some() {
            self.rows.trim_events(device, EVENTS_OF_DEVICE).await?;
        }
        self.rows.trim_events(None, EVENTS_KEPT).await
    }
}
