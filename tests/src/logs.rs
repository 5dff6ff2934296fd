//! What a program has written to its log.

use std::path::Path;

use notify::{Event, RecursiveMode, Watcher};
use petit_host::logs::Memory;
use tokio::sync::mpsc;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

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

/// What this thread logs, up to a level, while the guards live.
pub fn logged(level: LevelFilter) -> (Memory, impl Sized) {
    let log = || tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
    // While there is one subscriber alone, another test's thread, which has none, decides for all whether a line is
    // wanted that it comes to first (tracing-core, `Rebuilder::JustOne`).
    let second = log().with_writer(std::io::sink).finish().set_default();
    let memory = Memory::default();
    let written = memory.clone();
    let first = log().with_writer(move || written.clone()).finish().set_default();
    (memory, (first, second))
}
