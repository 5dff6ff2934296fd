//! A customer and a vendor, each on a host of its own, and between them a path like a customer's.
//!
//! Loopback hides what happens on a slow line: its kernel lets a sender have megabytes under way, so that nobody
//! ever waits for it. Here each end is in a network namespace with the buffers of a real path ([`BUFFER_BYTES`])
//! and Ethernet's packets, and what is between them is a [`Chaos`] with a bandwidth up and another one down, a
//! round trip, and a queue as in a modem.
//!
//! The proxy relays bytes, not packets. So its queue is one that never drops: it models a sender whose congestion
//! control keeps the modem's queue just full, which is what a line looks like from above TCP while it loses
//! nothing. What is in the queue delays everything behind it, PINGs too; what does not fit waits in the sender's own
//! buffer, and then in the sender. Loss, and what TCP does about it, is not modelled: to the layers above it is a
//! line that stands still for a moment ([`Flow::Held`](crate::chaos::Flow::Held)).
//!
//! A test runs at the vendor's, where the server is and the visitors are; what belongs to the customer is started
//! with [`Host::run`]. A namespace has no name and ends with the last thread, process and socket in it, so a test
//! that is killed leaves nothing behind. Programs that are started from a host's thread are on that host.

use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use petit_engine::invite::Invite;
use petit_engine::name::ServerAddr;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::bed::{Bed, BedClient, service_config};
use crate::chaos::{Chaos, Direction, Trouble};

/// The most that a socket of either host buffers each way. On a path the kernel gives a connection two or three
/// times what is on its way, a hundred or two of kilobytes; on loopback 4 MiB.
pub const BUFFER_BYTES: usize = 256 * 1024;
/// Buffers of the modem's own sockets; the kernel doubles it. Little beside a queue.
const MODEM_BUFFER_BYTES: u32 = 16 * 1024;
/// How long a host's tasks may take to end.
const PARTING: Duration = Duration::from_secs(2);

/// A path between a customer and the vendor. Bytes are bytes in a second, as TCP's payload has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// From the customer to the vendor: what visitors download.
    pub up: u64,
    /// From the vendor to the customer: what visitors upload.
    pub down: u64,
    /// There and back while the line is empty.
    pub round_trip: Duration,
    /// What the modem queues, each way.
    pub queue: usize,
}

impl Path {
    /// An old telephone line: 3 Mbit/s up, and a queue of 160 ms in front of it.
    pub const DSL: Self = Self::new(400, 2_000, 47, 64);
    /// A television cable, 20 Mbit/s up.
    pub const CABLE: Self = Self::new(2_500, 12_500, 25, 256);
    /// A mobile phone with a queue of half a second.
    pub const MOBILE: Self = Self::new(1_000, 2_000, 110, 512);
    /// Far away by satellite.
    pub const SATELLITE: Self = Self::new(600, 3_000, 400, 128);
    /// By satellite with 400 Mbit/s: 20 MB are on their way.
    pub const WIDE_SATELLITE: Self = Self::new(50_000, 50_000, 400, 1024);
    /// Across a continent, on a line that is wider than a test's programs are fast.
    pub const CONTINENT: Self = Self::new(400_000, 400_000, 80, 1024);
    /// Fibre to the house, 400 Mbit/s each way.
    pub const FIBRE: Self = Self::new(50_000, 50_000, 3, 1024);

    /// Kilobytes in a second up and down, milliseconds there and back, KiB of queue.
    const fn new(up: u64, down: u64, round_trip_ms: u64, queue_kib: usize) -> Self {
        let round_trip = Duration::from_millis(round_trip_ms);
        Self { up: up * 1000, down: down * 1000, round_trip, queue: queue_kib * 1024 }
    }

    /// How many bytes visitors download in so long when the line is full.
    pub fn downloaded_in(&self, time: Duration) -> u64 {
        self.up * time.as_millis() as u64 / 1000
    }

    /// How many bytes visitors upload in so long when the line is full.
    pub fn uploaded_in(&self, time: Duration) -> u64 {
        self.down * time.as_millis() as u64 / 1000
    }

    fn set(&self, modem: &Chaos) {
        modem.set(Direction::There, self.trouble(Direction::There));
        modem.set(Direction::Back, self.trouble(Direction::Back));
    }

    fn trouble(&self, direction: Direction) -> Trouble {
        let bytes_per_second = Some(match direction {
            Direction::There => self.up,
            Direction::Back => self.down,
        });
        Trouble { latency: self.round_trip / 2, bytes_per_second, queue: self.queue, ..Trouble::default() }
    }
}

/// Runs a test at the vendor's end of a path.
///
/// # Panics
/// When the test does, and where no network namespaces can be made.
pub fn on_home_line<F: Future<Output = ()>>(path: Path, test: impl FnOnce(HomeLine) -> F + Send) {
    crate::show_logs();
    std::thread::scope(|scope| {
        let vendor = std::thread::Builder::new().name("vendor".to_owned());
        let vendor = vendor.spawn_scoped(scope, || {
            let runtime = enter_namespace();
            let line = runtime.block_on(HomeLine::new(path));
            runtime.block_on(async { test(line).await });
            runtime.shutdown_timeout(PARTING);
        });
        if let Err(panic) = vendor.unwrap().join() {
            resume_unwind(panic);
        }
    });
}

/// A path with its customer's end. The vendor's end is where it was made.
pub struct HomeLine {
    /// The path as it was asked for.
    pub path: Path,
    /// The customer's computer.
    pub customer: Host,
    modem: Host,
}

/// A computer: a thread in a network of its own.
pub struct Host {
    runtime: Handle,
    /// The end of the thread's work; taken when the host ends.
    end: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl HomeLine {
    /// The vendor's address on the path.
    pub const VENDOR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 214, 0, 1));
    /// The customer's first address; [`HomeLine::add_customer_address`] gives it more.
    pub const CUSTOMER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 214, 0, 2));

    async fn new(path: Path) -> Self {
        let customer = Host::start("customer", enter_namespace);
        // The modem is beside the vendor, with a thread of its own: a server that is busy is no slower line.
        let modem = Host::start("modem", || Builder::new_current_thread().enable_all().build().unwrap());
        let vendor = gettid();
        let cable = format!(
            "link add eth0 type veth peer name eth0 netns {vendor}\n\
             addr add {}/24 dev eth0\nlink set eth0 up\n",
            Self::CUSTOMER
        );
        customer.run(async move { ip(&cable) }).await;
        ip(&format!("addr add {}/24 dev eth0\nlink set eth0 up\n", Self::VENDOR));
        Self { path, customer, modem }
    }

    /// The path to a server at the vendor's. It listens on [`HomeLine::VENDOR`].
    pub async fn to(&self, server: SocketAddr) -> Chaos {
        let path = self.path;
        self.modem
            .run(async move {
                let modem = Chaos::on(Self::VENDOR, server, MODEM_BUFFER_BYTES).await;
                path.set(&modem);
                modem
            })
            .await
    }

    /// Makes a path what it was, after a test has troubled it.
    pub fn heal(&self, modem: &Chaos) {
        self.path.set(modem);
        modem.refuse(false);
    }

    /// A client at the customer's that reaches the bed's server over a path of its own, with a config of the test's
    /// own. Its first service is called `web`.
    pub async fn client_with(&self, bed: &Bed, config: String) -> (Chaos, BedClient) {
        let modem = self.to(bed.server.tls).await;
        let server = ServerAddr::new(&Self::VENDOR.to_string(), modem.address().port()).unwrap();
        let invite = Invite { server, ..bed.invite().await };
        let client = self.customer.run(async move { BedClient::with_config(&invite, &config).await }).await;
        client.until_online().await;
        (modem, client)
    }

    /// As [`HomeLine::client_with`], with one service of a kind, and more settings of it.
    pub async fn client(
        &self,
        bed: &Bed,
        target: impl std::fmt::Display,
        kind: &str,
        more: &str,
    ) -> (Chaos, BedClient) {
        self.client_with(bed, service_config(target, kind, more)).await
    }

    /// Gives the customer's computer its n-th further address, as another network does.
    pub async fn add_customer_address(&self, n: u8) {
        let command = format!("addr add 10.214.0.{}/24 dev eth0\n", 10 + n);
        self.customer.run(async move { ip(&command) }).await;
    }
}

impl Host {
    /// Starts a thread that `enter`s its network and serves its runtime there.
    fn start(name: &str, enter: fn() -> Runtime) -> Self {
        let (ready, runtime) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let runtime = enter();
            ready.send(runtime.handle().clone()).unwrap();
            let _ = runtime.block_on(ended);
            runtime.shutdown_timeout(PARTING);
        });
        let thread = thread.unwrap();
        match runtime.recv() {
            Ok(runtime) => Self { runtime, end: Some((end, thread)) },
            Err(_) => resume_unwind(thread.join().unwrap_err()),
        }
    }

    /// Does something on this host: its sockets, and the programs that it starts, are there.
    ///
    /// # Panics
    /// When it does.
    pub async fn run<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.runtime.spawn(future).await {
            Ok(output) => output,
            Err(error) => resume_unwind(error.into_panic()),
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.end.take() {
            let _ = end.send(());
            // A panic has been told where it was.
            let _ = thread.join();
        }
    }
}

/// Puts this thread, and what it starts from now on, into a network namespace of its own with the buffers of a real
/// path; returns a runtime for it.
fn enter_namespace() -> Runtime {
    unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
        panic!(
            "a network namespace cannot be made ({error}). Run these tests as root, or where the system lets \
             users have namespaces of their own: unshare --user --map-root-user cargo test …"
        )
    });
    for name in ["tcp_wmem", "tcp_rmem"] {
        let path = format!("/proc/sys/net/ipv4/{name}");
        let usual = if name == "tcp_wmem" { 16 * 1024 } else { 128 * 1024 };
        // /proc/sys/net is that of the thread that opens it.
        std::fs::write(&path, format!("4096 {usual} {BUFFER_BYTES}")).unwrap_or_else(|error| {
            panic!("{path}: {error}");
        });
    }
    // Loopback's packets of 64 KiB would not fit into small buffers.
    ip("link set lo mtu 1500\nlink set lo up\n");
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Runs commands of ip(8) in this thread's network.
fn ip(commands: &str) {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip(8) is installed (package iproute2)");
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip -batch: {said} in {commands:?}");
}

#[cfg(test)]
mod tests;
