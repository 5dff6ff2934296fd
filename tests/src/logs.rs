//! What a program has written to its log.

use std::path::Path;

use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::soon;

/// Waits until a log says something. Its folder is there already.
pub async fn until_logged(log: &Path, text: &str) {
    let (sender, mut changes) = mpsc::channel(1);
    // Reading it is an event, too.
    let is_change =
        |event: notify::Result<Event>| event.is_err() || event.is_ok_and(|it| it.kind.is_modify());
    let tell = move |event| {
        if is_change(event) {
            let _ = sender.try_send(()); // one that waits already says the same
        }
    };
    // Before the first look, so that none is missed.
    let mut watcher = notify::recommended_watcher(tell).unwrap();
    watcher.watch(log.parent().unwrap(), RecursiveMode::NonRecursive).unwrap();
    let is_said = || std::fs::read_to_string(log).is_ok_and(|said| said.contains(text));
    soon(text, async {
        while !is_said() {
            changes.recv().await.unwrap();
        }
    })
    .await;
}
