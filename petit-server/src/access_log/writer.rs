//! Writes the lines of the access log in a thread of its own, so that no visitor waits for a disk. When the disk takes
//! them more slowly than they come, or not at all, lines are lost, and a line says how many.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Lines that may wait for the disk: some seconds of a busy server's, and a few megabytes at most (a path is cut after
/// a kilobyte).
const WAITING: usize = 4096;

/// What hands lines to the thread that writes them. That goes on until it has written all, also when this is dropped;
/// [`Writer::finish`] waits for it.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None`: it has finished.
    lines: Mutex<Option<SyncSender<String>>>,
    lost: Arc<AtomicU64>,
    /// Ends when the thread does.
    ended: Mutex<Receiver<()>>,
}

impl Writer {
    /// Starts the thread. It calls `prepare` before each line, and `tell_lost` makes the line that stands for so many lost
    /// ones.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start<W: Write + Send + 'static>(
        mut out: W,
        mut prepare: impl FnMut(&mut W) + Send + 'static,
        tell_lost: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let (end, ended) = sync_channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            let _end: SyncSender<()> = end;
            write_all(&receiver, &counted, tell_lost, |line| {
                prepare(&mut out);
                out.write_all(line)
            });
        })?;
        Ok(Self { lines: Mutex::new(Some(sender)), lost, ended: Mutex::new(ended) })
    }

    /// Has a line written; or counts it as lost, when too many wait already. Never waits.
    pub(super) fn write(&self, line: String) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = lines.as_ref().is_some_and(|lines| lines.try_send(line).is_ok());
        if !is_taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes no more lines, and waits until those that wait are written, for so long at most: a disk that stands still
    /// keeps nobody from ending. Blocks.
    pub(super) fn finish(&self, limit: Duration) {
        *self.lines.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Nothing is ever sent on it.
        let _ = self.ended.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(limit);
    }
}

/// Writes what comes until nothing more can. What is lost is told with the next line that gets through, or at the end.
fn write_all(
    lines: &Receiver<String>,
    lost: &AtomicU64,
    tell_lost: impl Fn(u64) -> String,
    mut out: impl FnMut(&[u8]) -> io::Result<()>,
) {
    // In one piece, so that no line is divided between two files.
    let mut write = |mut line: String| {
        line.push('\n');
        out(line.as_bytes())
    };
    let write_lost = |write: &mut dyn FnMut(String) -> io::Result<()>| {
        let missing = lost.swap(0, Ordering::Relaxed);
        if missing > 0 && write(tell_lost(missing)).is_err() {
            lost.fetch_add(missing, Ordering::Relaxed);
        }
    };
    while let Ok(line) = lines.recv() {
        match write(line) {
            Ok(()) => write_lost(&mut write),
            Err(_) => {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    write_lost(&mut write);
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;

    /// A disk that takes nothing until it is told to, or refuses.
    #[derive(Clone, Default)]
    struct Disk(Arc<(Mutex<State>, Condvar)>);

    #[derive(Default)]
    struct State {
        does: Does,
        asked: usize,
        bytes: Vec<u8>,
    }

    #[derive(Clone, Copy, Default, PartialEq)]
    enum Does {
        #[default]
        Wait,
        Take,
        Refuse,
    }

    impl Disk {
        fn set(&self, does: Does) {
            self.0.0.lock().unwrap().does = does;
            self.0.1.notify_all();
        }

        /// Waits until it has been asked to write so often.
        fn until_asked(&self, times: usize) {
            let state = self.0.0.lock().unwrap();
            drop(self.0.1.wait_while(state, |state| state.asked < times).unwrap());
        }

        fn lines(&self) -> Vec<String> {
            let state = self.0.0.lock().unwrap();
            String::from_utf8_lossy(&state.bytes).lines().map(str::to_owned).collect()
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.0.lock().unwrap();
            state.asked += 1;
            self.0.1.notify_all();
            let mut state = self.0.1.wait_while(state, |state| state.does == Does::Wait).unwrap();
            if state.does == Does::Refuse {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start(disk: &Disk) -> Writer {
        Writer::start(disk.clone(), |_| {}, |lost| format!("lost {lost}")).unwrap()
    }

    #[test]
    fn nobody_waits_for_a_disk_that_stands_still_and_what_is_lost_is_told() {
        let disk = Disk::default();
        let writer = start(&disk);
        writer.write("first".to_owned());
        disk.until_asked(1); // so the queue is empty, and the disk stands still
        for number in 0..WAITING + 10 {
            writer.write(number.to_string());
        }
        disk.set(Does::Take);
        writer.finish(Duration::from_secs(60));
        let lines = disk.lines();
        assert_eq!(lines.first().map(String::as_str), Some("first"));
        assert_eq!(lines.get(1).map(String::as_str), Some("lost 10"));
        assert_eq!(lines.len(), 2 + WAITING);
        assert_eq!(lines.last(), Some(&(WAITING - 1).to_string()));
    }

    #[test]
    fn lines_that_a_full_disk_refused_are_told_once_it_has_room() {
        let disk = Disk::default();
        disk.set(Does::Refuse);
        let writer = start(&disk);
        writer.write("one".to_owned());
        writer.write("two".to_owned());
        disk.until_asked(2);
        disk.set(Does::Take);
        writer.write("three".to_owned());
        writer.finish(Duration::from_secs(60));
        assert_eq!(disk.lines(), ["three", "lost 2"]);
    }

    #[test]
    fn a_disk_that_stands_still_keeps_nobody_from_ending() {
        let disk = Disk::default();
        let writer = start(&disk);
        writer.write("first".to_owned());
        writer.finish(Duration::from_millis(10));
        writer.write("too late".to_owned());
        disk.set(Does::Take);
        writer.finish(Duration::from_secs(60));
        // The thread may have ended before it was too late for the second line.
        assert_eq!(disk.lines().first().map(String::as_str), Some("first"));
        assert!(disk.lines().iter().all(|line| line != "too late"));
    }
}
