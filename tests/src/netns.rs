//! Networks of a test's own: a namespace behind a virtual cable that can be unplugged, and addresses of this machine
//! without number. Needs root and ip(8).

use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A host of its own, with a cable to this one.
pub struct Netns {
    name: String,
    /// This end of the cable.
    near: String,
    number: u8,
}

impl Netns {
    /// Makes one. Its first address is [`Netns::address`] with 0; this end has [`Netns::gateway`].
    pub async fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two test processes at the same time do not get in each other's way.
        let name = format!("petit-{}-{number}", std::process::id());
        let near = format!("pt{}a{number}", std::process::id() % 100_000);
        let this = Self { name, near, number };
        ip(&["netns", "add", &this.name]).await;
        ip(&["link", "add", &this.near, "type", "veth", "peer", "name", "eth0", "netns", &this.name]).await;
        ip(&["addr", "add", &format!("{}/24", this.gateway()), "dev", &this.near]).await;
        ip(&["link", "set", &this.near, "up"]).await;
        this.inside(&["link", "set", "lo", "up"]).await;
        this.inside(&["link", "set", "eth0", "up"]).await;
        this.add_address(0).await;
        this
    }

    /// Its n-th address.
    pub fn address(&self, n: u8) -> IpAddr {
        IpAddr::from([10, network(), self.number, 10 + n])
    }

    /// This end's address, as seen from inside.
    pub fn gateway(&self) -> IpAddr {
        IpAddr::from([10, network(), self.number, 1])
    }

    /// Words that run a command inside.
    pub fn prefix(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Gives it an address.
    pub async fn add_address(&self, n: u8) {
        self.inside(&["addr", "add", &format!("{}/24", self.address(n)), "dev", "eth0"]).await;
    }

    /// Takes an address from it.
    pub async fn remove_address(&self, n: u8) {
        self.inside(&["addr", "del", &format!("{}/24", self.address(n)), "dev", "eth0"]).await;
    }

    /// Pulls the cable: nothing passes any more, and nobody is told.
    pub async fn unplug(&self) {
        ip(&["link", "set", &self.near, "down"]).await;
    }

    /// Puts it back.
    pub async fn plug(&self) {
        ip(&["link", "set", &self.near, "up"]).await;
    }

    /// Starts the bed's HTTP service inside; `binary` is the program. Returns where it listens there.
    pub async fn service(&self, binary: &str) -> (Child, SocketAddr) {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, binary]).kill_on_drop(true).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = crate::soon("the service to listen", lines.next_line()).await.unwrap().unwrap();
        (child, line.parse().unwrap())
    }

    async fn inside(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.name][..], arguments].concat()).await;
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The cable goes with it.
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Sixteen IPv4 /24s of which this machine has every address, so that a test's strangers come from many. They reach
/// what listens on the loopback interface.
pub struct Addresses {
    first: u32,
}

impl Addresses {
    /// Makes them: a part of what is for addresses behind a carrier's NAT (RFC 6598), so that nobody else has them.
    pub async fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        // Two test processes at the same time most likely do not get in each other's way.
        let number =
            std::process::id().wrapping_mul(16) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed) % 16);
        let this = Self { first: u32::from_be_bytes([100, 64, 0, 0]) + (number % 1024) * 4096 };
        ip(&["route", "add", "local", &this.range(), "dev", "lo"]).await;
        this
    }

    /// An address of one of the /24s.
    pub fn of(&self, in_24: u8, address: u8) -> IpAddr {
        let [a, b, c, _] = (self.first + u32::from(in_24 % 16) * 256).to_be_bytes();
        IpAddr::from([a, b, c, address])
    }

    fn range(&self) -> String {
        format!("{}/20", self.of(0, 0))
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        let range = self.range();
        let _ =
            std::process::Command::new("ip").args(["route", "del", "local", &range, "dev", "lo"]).status();
    }
}

/// A part of the addresses that most likely no other test process of this machine has.
fn network() -> u8 {
    100 + (std::process::id() % 150) as u8
}

async fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().await.expect("ip(8) is installed");
    assert!(
        output.status.success(),
        "ip {}: {} (these tests run as root)",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
