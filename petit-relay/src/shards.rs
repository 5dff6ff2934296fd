//! All processors for the relay: a thread with a runtime of its own for each, and whoever belongs together in one.
//!
//! A session lives in one shard, and visitors are served in the shard of the session that their host names, so that
//! a request touches one thread. Where that is not known in time, or a connection asks for another host later, the
//! request crosses to the other thread, which costs a little more and is otherwise the same.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use petit_engine::limits;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::admission::Precedence;
use super::handshake_queue::{HandshakePermit, HandshakeQueue};

/// The shards of a relay. The first one is the runtime that the relay was started in.
#[derive(Debug)]
pub(super) struct Shards {
    handles: Vec<Handle>,
    next: AtomicUsize,
    /// The handshakes of each.
    handshakes: Vec<HandshakeQueue>,
    /// Their threads end when this does.
    _running: Vec<oneshot::Sender<()>>,
}

impl Shards {
    /// Starts a thread for each shard beyond the first. `count` 0: one shard per processor.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (mut handles, mut running) = (vec![Handle::current()], Vec::new());
        for number in 1..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let (end, ended) = oneshot::channel::<()>();
            running.push(end);
            std::thread::Builder::new().name(format!("shard {number}")).spawn(move || {
                let _ = runtime.block_on(ended);
                runtime.shutdown_background();
            })?;
        }
        let handshakes = handles.iter().map(|_| HandshakeQueue::new(limits::HANDSHAKES_IN_TURN)).collect();
        Ok(Self { handles, next: AtomicUsize::new(0), handshakes, _running: running })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.handles.len()
    }

    /// Where the next session is to live: each shard in its turn.
    pub(super) fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()
    }

    /// Waits for the turn of a handshake in a shard.
    ///
    /// # Cancel safety
    /// That of [`HandshakeQueue::permit`].
    pub(super) async fn handshake_permit(
        &self,
        shard: usize,
        precedence: Precedence,
    ) -> Option<HandshakePermit> {
        Some(self.handshakes.get(shard)?.permit(precedence).await)
    }

    /// Serves a connection that the first shard has accepted: here, if that is its shard, or in a task of its
    /// shard's.
    pub(super) async fn run<F>(
        &self,
        tasks: &TaskTracker,
        shard: usize,
        tcp: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        let Some(handle) = self.handles.get(shard).filter(|_| shard > 0) else {
            // On the heap, as a task of another shard's would be: what it takes to serve a connection is not there while
            // the connection says nothing.
            return Box::pin(serve(tcp)).await;
        };
        // Its events are to come to the thread that waits for them.
        let Ok(tcp) = tcp.into_std() else { return };
        let task = async move {
            if let Ok(tcp) = TcpStream::from_std(tcp) {
                serve(tcp).await;
            }
        };
        tasks.spawn_on(task, handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_served_where_they_are_sent() {
        let shards = Shards::start(3).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tasks = TaskTracker::new();
        for shard in 0..shards.count() {
            let (near, far) =
                tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
            let (told, place) = oneshot::channel();
            tokio::io::AsyncWriteExt::write_all(&mut near.unwrap(), b"x").await.unwrap();
            let serve = move |tcp: TcpStream| async move {
                let mut byte = [0];
                let peeked = tcp.peek(&mut byte).await;
                let _ = told.send((peeked.unwrap(), std::thread::current().name().map(str::to_owned)));
            };
            shards.run(&tasks, shard, far.unwrap().0, serve).await;
            let (peeked, thread) = place.await.unwrap();
            assert_eq!(peeked, 1);
            let expected = (shard > 0).then(|| format!("shard {shard}"));
            assert!(expected.is_none_or(|expected| thread == Some(expected)), "{shard}");
        }
        let counts: Vec<usize> = (0..4).map(|_| shards.next()).collect();
        assert_eq!(counts, [0, 1, 2, 0]);
    }
}
