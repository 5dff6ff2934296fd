//! A network that misbehaves on demand: a TCP proxy between two ends.
//!
//! A [`Chaos`] listens on a port of its own and connects each connection that it takes on to its target. What
//! happens between is said by one [`Trouble`] per direction, which can be changed while connections are open:
//! latency, bandwidth, bytes that come in slices, a line that holds or swallows what is sent, a close that
//! arrives late, a break after exactly so many bytes. [`Chaos::cut`], [`Chaos::reset`] and [`Chaos::refuse`] are
//! for the moment itself.
//!
//! Nothing here is left to chance, so a test that fails fails again. Time is tokio's: the tests of this file run
//! on a paused clock. What the kernel keeps in its socket buffers is beyond the proxy, so a slow line is modelled
//! with [`Chaos::with_queue`], which bounds those buffers to what a modem would queue. A whole path, with hosts at
//! both ends whose own buffers are bounded too, is a [`HomeLine`](crate::home_line::HomeLine).

mod flow;
mod line;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use self::flow::{Direction, Flow, Trouble};
use self::flow::{Orders, Seen};
use self::line::pump;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A proxy between two ends. Ends, with its connections, when dropped.
pub struct Chaos {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    /// Counts up; connections that were opened before end.
    ends: watch::Sender<(u64, End)>,
    seen: Arc<Seen>,
    running: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
    Lost,
}

impl Chaos {
    /// A proxy in front of a target, which does nothing yet.
    pub async fn before(target: SocketAddr) -> Self {
        Self::start(LOOPBACK, target, None).await
    }

    /// As [`Chaos::before`], with socket buffers of about so many bytes each way: the queue of a slow line.
    /// Without it the kernel takes some megabytes off a sender before it feels that the line is slow.
    pub async fn with_queue(target: SocketAddr, bytes: u32) -> Self {
        Self::start(LOOPBACK, target, Some(bytes)).await
    }

    /// As [`Chaos::with_queue`], on another of this host's addresses.
    pub async fn on(address: IpAddr, target: SocketAddr, bytes: u32) -> Self {
        Self::start(address, target, Some(bytes)).await
    }

    async fn start(address: IpAddr, target: SocketAddr, queue: Option<u32>) -> Self {
        let socket = socket(queue).unwrap();
        socket.bind((address, 0).into()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let (none, refuse) = (Trouble::default(), false);
        let (orders, _) = watch::channel(Orders { target, refuse, there: none, back: none });
        let (ends, _) = watch::channel((0, End::Closed));
        let seen = Arc::new(Seen {
            accepted: AtomicU64::new(0),
            there: AtomicU64::new(0),
            back: AtomicU64::new(0),
            open: watch::Sender::new(0),
        });
        let shared = Arc::clone(&seen);
        let running = tokio::spawn(run(listener, orders.subscribe(), ends.subscribe(), queue, shared));
        Self { address, orders, ends, seen, running }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What happens one way from now on.
    pub fn set(&self, direction: Direction, trouble: Trouble) {
        self.orders.send_modify(|orders| match direction {
            Direction::There => orders.there = trouble,
            Direction::Back => orders.back = trouble,
        });
    }

    /// What happens both ways from now on.
    pub fn set_both(&self, trouble: Trouble) {
        self.orders.send_modify(|orders| {
            orders.there = trouble;
            orders.back = trouble;
        });
    }

    /// No trouble any more. Connections that have lost bytes stay dead.
    pub fn heal(&self) {
        self.set_both(Trouble::default());
        self.refuse(false);
    }

    /// New connections go there.
    pub fn retarget(&self, target: SocketAddr) {
        self.orders.send_modify(|orders| orders.target = target);
    }

    /// New connections are reset at once, as if nobody listened.
    pub fn refuse(&self, refuse: bool) {
        self.orders.send_modify(|orders| orders.refuse = refuse);
    }

    /// Closes all connections on both sides in the middle of what they carry.
    pub fn cut(&self) {
        self.end(End::Closed);
    }

    /// Resets all connections on both sides.
    pub fn reset(&self) {
        self.end(End::Reset);
    }

    /// Nothing passes any more on the connections that are open, and nobody is told; later ones pass.
    pub fn lose(&self) {
        self.end(End::Lost);
    }

    fn end(&self, how: End) {
        self.ends.send_modify(|(count, end)| {
            *count += 1;
            *end = how;
        });
    }

    /// Connections taken on so far.
    pub fn accepted(&self) -> u64 {
        self.seen.accepted.load(Ordering::Relaxed)
    }

    /// Bytes that have come in so far, those that were then lost among them.
    pub fn carried(&self, direction: Direction) -> u64 {
        self.seen.bytes(direction).load(Ordering::Relaxed)
    }

    /// Waits until so many connections are open.
    pub async fn until_open(&self, count: usize) {
        let mut open = self.seen.open.subscribe();
        crate::soon("connections through the proxy", open.wait_for(|open| *open == count)).await.unwrap();
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.running.abort();
    }
}

struct OpenConnection(Arc<Seen>);

impl OpenConnection {
    fn new(seen: &Arc<Seen>) -> Self {
        seen.accepted.fetch_add(1, Ordering::Relaxed);
        seen.open.send_modify(|open| *open += 1);
        Self(Arc::clone(seen))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

fn socket(queue: Option<u32>) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = queue {
        socket.set_recv_buffer_size(bytes)?;
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(socket)
}

async fn run(
    listener: TcpListener,
    orders: watch::Receiver<Orders>,
    ends: watch::Receiver<(u64, End)>,
    queue: Option<u32>,
    seen: Arc<Seen>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { continue };
                let now = *orders.borrow();
                if now.refuse {
                    let _ = near.set_zero_linger();
                    continue;
                }
                let (orders, mut ends) = (orders.clone(), ends.clone());
                ends.mark_unchanged();
                let open = OpenConnection::new(&seen);
                connections.spawn(async move {
                    connect(near, now.target, queue, orders, ends, &open.0).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, to its end.
async fn connect(
    mut near: TcpStream,
    target: SocketAddr,
    queue: Option<u32>,
    orders: watch::Receiver<Orders>,
    mut ends: watch::Receiver<(u64, End)>,
    seen: &Seen,
) {
    let far = async { socket(queue)?.connect(target).await };
    let mut far = match far.await {
        Ok(far) => far,
        Err(_) => {
            let _ = near.set_zero_linger();
            return;
        }
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let mut end = {
        let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
        let both = async {
            tokio::try_join!(
                pump(near_read, far_write, Direction::There, orders.clone(), seen),
                pump(far_read, near_write, Direction::Back, orders.clone(), seen),
            )
        };
        tokio::select! {
            biased;
            _ = ends.changed() => ends.borrow().1,
            // A side that breaks takes the other with it, as a reset that a router passes on.
            carried = both => if carried.is_ok() { End::Closed } else { End::Reset },
        }
    };
    while end == End::Lost {
        if ends.changed().await.is_err() {
            return;
        }
        end = ends.borrow().1;
    }
    if end == End::Reset {
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

#[cfg(test)]
mod tests;
