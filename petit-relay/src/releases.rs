//! What there is to hand out to devices, as its owner has it: the relay knows no files.

use std::io;
use std::sync::Arc;

use petit_engine::BoxFuture;
use petit_engine::name::DeviceId;
use petit_engine::proto::control::{Fetch, FetchRefusal, UpdateReport};
use tokio::sync::watch;

/// What a vendor hands out to its clients' devices.
pub trait Releases: Send + Sync + 'static {
    /// A file of the release that there is for a device now; `None` when there is no release for it.
    ///
    /// # Errors
    /// What the device is told.
    fn open(
        &self,
        device: DeviceId,
        wanted: Fetch,
    ) -> BoxFuture<'_, Result<Option<Arc<dyn ReleaseFile>>, FetchRefusal>>;

    /// The number of the release that a device should hear of now.
    fn offered(&self, device: &DeviceId) -> Option<u64>;

    /// Changes whenever [`offered`](Self::offered) may say something else.
    fn changes(&self) -> watch::Receiver<u64>;

    /// A device says what has become of a release there. It may say so as often as it likes.
    fn reported(&self, device: DeviceId, report: UpdateReport);
}

/// A file of a release. It stays as it is while it is open, also when there is another release.
pub trait ReleaseFile: Send + Sync {
    fn length(&self) -> u64;

    /// What is there from a place on, some [`petit_engine::limits::DOWNLOAD_PIECE_BYTES`] of it; nothing at the end.
    fn read(&self, at: u64) -> BoxFuture<'_, io::Result<Vec<u8>>>;
}
