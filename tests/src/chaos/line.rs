//! One direction of a connection: what is on the line, and when it arrives.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::flow::{Direction, Flow, Orders, Seen, Trouble};

/// The most bytes of one read, and so of one piece on the line.
const PIECE_BYTES: usize = 64 * 1024;
/// Bytes on a line without a bandwidth; the sender waits beyond. Enough for 1.6 GB/s over 40 ms.
const LINE_BYTES: usize = 64 * 1024 * 1024;

/// What is on the line.
enum Piece {
    Bytes(Bytes),
    End,
    Break,
}

/// How many bytes are on the line.
#[derive(Default)]
struct Load {
    bytes: AtomicUsize,
    landed: Notify,
}

impl Load {
    fn add(&self, count: usize) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
    }

    fn land(&self, count: usize) {
        self.bytes.fetch_sub(count, Ordering::Relaxed);
        self.landed.notify_one();
    }

    /// True when a line is as full as it can be: its flight and its queue. It is fuller than its flight only when
    /// the receiver takes less than arrives.
    fn is_full(&self, trouble: &Trouble) -> bool {
        let most = match trouble.bytes_per_second {
            Some(rate) => {
                let flight = rate as f64 * trouble.latency.as_secs_f64();
                flight as usize + trouble.queue + piece_bytes(trouble)
            }
            None => LINE_BYTES,
        };
        self.bytes.load(Ordering::Relaxed) >= most
    }
}

/// Carries one direction, until its source has ended and the sink has been told.
pub(super) async fn pump<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    read: R,
    write: W,
    direction: Direction,
    orders: watch::Receiver<Orders>,
    seen: &Seen,
) -> io::Result<()> {
    let (line, pieces) = mpsc::unbounded_channel();
    let load = Load::default();
    let out = deliver(write, pieces, direction, orders.clone(), &load);
    tokio::try_join!(take_in(read, line, direction, orders, seen, &load), out).map(|_| ())
}

/// Puts what the source sends on the line, with the time at which it arrives.
async fn take_in<R: AsyncRead + Unpin>(
    mut read: R,
    line: mpsc::UnboundedSender<(Instant, Piece)>,
    direction: Direction,
    mut orders: watch::Receiver<Orders>,
    seen: &Seen,
    load: &Load,
) -> io::Result<()> {
    let mut clock = Clock::new(Instant::now());
    let (mut taken, mut lost) = (0_u64, false);
    loop {
        let trouble = orders.borrow_and_update().of(direction);
        if trouble.flow == Flow::Held {
            if orders.changed().await.is_err() {
                return Ok(());
            }
            continue;
        }
        if load.is_full(&trouble) {
            tokio::select! {
                () = load.landed.notified() => {}
                Ok(()) = orders.changed() => {}
            }
            continue;
        }
        until(clock.has_room(&trouble)).await;
        let left = trouble.reset_after.map_or(u64::MAX, |limit| limit.saturating_sub(taken));
        if left == 0 {
            let _ = line.send((clock.arrival(Instant::now(), 0, &trouble), Piece::Break));
            return Ok(());
        }
        let most = piece_bytes(&trouble).min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut buffer = BytesMut::with_capacity(most);
        let mut limited = (&mut read).take(most as u64);
        let count = tokio::select! {
            biased;
            // New orders apply to what has not been read yet.
            Ok(()) = orders.changed() => continue,
            count = limited.read_buf(&mut buffer) => count?,
        };
        let arrival = clock.arrival(Instant::now(), count, &trouble);
        taken += count as u64;
        seen.bytes(direction).fetch_add(count as u64, Ordering::Relaxed);
        lost |= trouble.flow == Flow::Lost;
        if lost && count > 0 {
            continue;
        }
        if lost {
            // The end of sending is lost too: nothing more comes of this direction.
            return std::future::pending().await;
        }
        let (arrival, piece) = match count {
            0 => (arrival + trouble.late_end, Piece::End),
            _ => (arrival, Piece::Bytes(buffer.freeze())),
        };
        load.add(count);
        // The other half has failed when it takes no more, and says why itself.
        if line.send((arrival, piece)).is_err() || count == 0 {
            return Ok(());
        }
    }
}

/// A slow line is fed in small pieces, a hundred a second, so that it flows evenly.
fn piece_bytes(trouble: &Trouble) -> usize {
    match trouble.bytes_per_second {
        Some(rate) => usize::try_from(rate / 100).unwrap_or(PIECE_BYTES).clamp(1, PIECE_BYTES),
        None => PIECE_BYTES,
    }
}

/// Takes what has arrived off the line.
async fn deliver<W: AsyncWrite + Unpin>(
    mut write: W,
    mut line: mpsc::UnboundedReceiver<(Instant, Piece)>,
    direction: Direction,
    orders: watch::Receiver<Orders>,
    load: &Load,
) -> io::Result<()> {
    while let Some((arrival, piece)) = line.recv().await {
        until(arrival).await;
        match piece {
            Piece::End => return write.shutdown().await,
            Piece::Break => return Err(io::ErrorKind::ConnectionReset.into()),
            Piece::Bytes(mut bytes) => {
                let count = bytes.len();
                let slice = orders.borrow().of(direction).slice.unwrap_or(usize::MAX).max(1);
                while !bytes.is_empty() {
                    write.write_all(&bytes.split_to(slice.min(bytes.len()))).await?;
                    // Each slice gets its chance to be read alone.
                    tokio::task::yield_now().await;
                }
                load.land(count);
            }
        }
    }
    Ok(())
}

/// Waits for a moment that may have passed. tokio's timers go by the millisecond and would wait for the next one
/// even then, which limits the line to a piece in each.
async fn until(moment: Instant) {
    if moment > Instant::now() {
        tokio::time::sleep_until(moment).await;
    }
}

/// When the line is free again, and when what is put on it arrives.
struct Clock {
    free: Instant,
    last: Instant,
}

impl Clock {
    fn new(now: Instant) -> Self {
        Self { free: now, last: now }
    }

    /// When the queue in front of the line takes more.
    fn has_room(&self, trouble: &Trouble) -> Instant {
        self.free.checked_sub(line_time(trouble.queue, trouble)).unwrap_or(self.free)
    }

    /// When `bytes` that are put on the line now arrive. Never before what was put on it earlier.
    fn arrival(&mut self, now: Instant, bytes: usize, trouble: &Trouble) -> Instant {
        self.free = self.free.max(now) + line_time(bytes, trouble);
        self.last = self.last.max(self.free + trouble.latency);
        self.last
    }
}

/// How long a line is busy with some bytes.
fn line_time(bytes: usize, trouble: &Trouble) -> Duration {
    match trouble.bytes_per_second {
        Some(rate) => Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64),
        None => Duration::ZERO,
    }
}
