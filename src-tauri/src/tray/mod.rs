//! Drawing the tray. What it shows is decided in `petit_app::tray`; here it is compared with what was drawn
//! last, so that a desktop hears of changes only, and at most five times a second.

mod backend;
mod icons;
#[cfg(target_os = "linux")]
mod ksni;
#[cfg(not(target_os = "linux"))]
pub(crate) mod native;

use std::sync::Arc;

use petit_app::Shown;
use tokio::sync::{mpsc, watch};

pub(crate) use self::backend::Click;

/// Runs the tray; tells whether the desktop has a place for it.
#[cfg(target_os = "linux")]
pub(crate) async fn run(
    shown: watch::Receiver<Arc<Shown>>,
    clicks: mpsc::Sender<Click>,
    hosts: mpsc::Sender<bool>,
) {
    ksni::run(shown, clicks, hosts).await;
}

/// The tray belongs to the main thread here; see `native`.
#[cfg(not(target_os = "linux"))]
pub(crate) async fn run(
    shown: watch::Receiver<Arc<Shown>>,
    clicks: mpsc::Sender<Click>,
    hosts: mpsc::Sender<bool>,
) {
    drop(hosts);
    native::run(shown, clicks).await;
}
