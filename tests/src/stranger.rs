//! Strangers who have read the documents and nothing else: people with empty home folders at the shell of a computer
//! whose names and ports are those of the documents, so that what is written there can be typed as it stands.
//!
//! The computer has a network of its own, which nothing leaves, and a name server that knows one domain and leads all
//! names under it to the computer itself.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

use crate::authority::Authority;
use crate::process::{Said, Terminal, programs};
use crate::program;

/// An address of the public internet, where Petit tries its public addresses without being told more.
pub const PUBLIC: Ipv4Addr = Ipv4Addr::new(93, 184, 215, 14);
/// An address behind a router.
pub const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A computer on which strangers work.
pub struct Computer {
    /// Whom all programs on it trust, as they do the authorities of the world.
    pub authority: Authority,
    dir: TempDir,
    names: JoinHandle<()>,
}

/// Somebody at its shell.
pub struct Person {
    home: TempDir,
    authorities: PathBuf,
}

/// Runs a test on a computer with an address to which all names under a domain lead.
///
/// # Panics
/// When the test does, and where no namespaces can be made.
pub fn on_a_computer_of<F: Future<Output = ()>>(
    domain: &'static str,
    address: Ipv4Addr,
    test: impl FnOnce(Computer) -> F + Send,
) {
    crate::show_logs();
    programs(); // to be built outside
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let dir = tempfile::tempdir().unwrap();
            leave_the_world(dir.path(), address);
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let computer = Computer::new(domain, address, dir).await;
                test(computer).await;
            });
        });
        if let Err(panic) = inside.join() {
            resume_unwind(panic);
        }
    });
}

/// Puts this thread, and what it starts from now on, into a network of its own, with a name server of its own.
fn leave_the_world(dir: &Path, address: Ipv4Addr) {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .unwrap_or_else(|error| panic!("no namespaces can be made ({error}); these tests run as root"));
    let resolver = dir.join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.1\n").unwrap();
    let run = |line: &str| {
        let status = std::process::Command::new("sh").args(["-ec", line]).status().unwrap();
        assert!(status.success(), "{line}");
    };
    run("mount --make-rprivate /");
    run(&format!("mount --bind '{}' \"$(readlink -f /etc/resolv.conf)\"", resolver.display()));
    run(&format!("ip link set lo up; ip addr add {address}/32 dev lo"));
}

impl Computer {
    async fn new(domain: &'static str, address: Ipv4Addr, dir: TempDir) -> Self {
        let authority = Authority::new();
        std::fs::write(dir.path().join("authorities.pem"), authority.pem()).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:53").await.unwrap();
        let names = tokio::spawn(answer(socket, domain, address));
        Self { authority, dir, names }
    }

    /// Somebody who has not been here before.
    pub fn stranger(&self) -> Person {
        let authorities = self.dir.path().join("authorities.pem");
        Person { home: tempfile::tempdir().unwrap(), authorities }
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        self.names.abort();
    }
}

impl Person {
    /// A path as people write it, with `~` for their home folder.
    pub fn path(&self, written: &str) -> PathBuf {
        self.home.path().join(written.strip_prefix("~/").expect("a path in the home folder"))
    }

    fn sits_at(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", programs().display());
        command.env_clear().env("PATH", path).env("HOME", self.home.path()).env("LANG", "C.UTF-8");
        // What the system's own folder of authorities is to programs that nobody has told of another.
        command.env("SSL_CERT_FILE", &self.authorities).env("CURL_CA_BUNDLE", &self.authorities);
        command.current_dir(self.home.path());
    }

    /// Types a line, without a terminal.
    pub async fn types(&self, line: &str) -> Said {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        self.sits_at(&mut command);
        program::run(command).await
    }

    /// Types a line at a terminal, where questions are asked.
    pub fn sits_down_and_types(&self, line: &str) -> Terminal {
        Terminal::open(line, |script| self.sits_at(script))
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // What was started in the background belongs to nobody.
        for name in ["petit-client", "petit-server"] {
            let mut command = std::process::Command::new(programs().join(name));
            command.arg("stop").arg("--config").arg(self.home.path().join(".petit/config.toml"));
            let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// A name server (RFC 1035): names under the domain have one address, and all others are unknown.
async fn answer(socket: UdpSocket, domain: &'static str, address: Ipv4Addr) {
    const HEAD: usize = 12;
    const A: u16 = 1;
    const NO_ERROR: u8 = 0;
    const NO_NAME: u8 = 3;
    let mut bytes = [0; 512];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut bytes).await else { continue };
        let Some(question) = Question::read(&bytes[HEAD..length]) else { continue };
        let is_ours = question.name == domain || question.name.ends_with(&format!(".{domain}"));
        let has_address = is_ours && question.kind == A;
        let mut answer = bytes[..2].to_vec();
        answer.extend([0x84, if is_ours { NO_ERROR } else { NO_NAME }]); // an answer, from who knows
        answer.extend([0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
        answer.extend(&bytes[HEAD..HEAD + question.length]);
        if has_address {
            // The name of the question, an address, of the internet, good for 1 s, four bytes.
            answer.extend([0xc0, HEAD as u8, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            answer.extend(address.octets());
        }
        let _ = socket.send_to(&answer, peer).await;
    }
}

struct Question {
    name: String,
    kind: u16,
    length: usize,
}

impl Question {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (mut labels, mut at) = (Vec::new(), 0);
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
        Some(Self { name: labels.join("."), kind, length: at + 4 })
    }
}

/// Whether something takes connections at an address of this computer.
pub async fn is_open(address: IpAddr, port: u16) -> bool {
    tokio::net::TcpStream::connect((address, port)).await.is_ok()
}
