//! Who listens on this computer, and what answers there.
//!
//! Targets are looked at as gently as can be: a connection, a short silence in which a server that speaks first may
//! do so, then one `GET /`. Databases that would log or count that as an attack are known by their ports and left
//! alone.

mod names;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use petit_engine::cause::ServiceCause;
use petit_engine::name::ServerAddr;
use petit_engine::proto::control::ServiceKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Connecting to something on this computer or its network.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a server that speaks first is listened to.
const GREETING: Duration = Duration::from_millis(100);
/// How long an answer may take when somebody waits for one target.
const ANSWER: Duration = Duration::from_secs(5);
/// How long an answer may take when many are looked at.
const GLANCE: Duration = Duration::from_millis(800);
/// Targets that are looked at; more would not fit on the page.
const MOST: usize = 40;
/// Most of a page that is read for its title; what stands before it is seldom more.
const PAGE: usize = 32 * 1024;
/// Ports of databases, which take a request for an attack or a fault.
const DATABASES: [u16; 8] = [1433, 1521, 3306, 5432, 5672, 6379, 11_211, 27_017];
/// Ports of the system, whose servers speak no HTTP that is meant for people.
const SYSTEM: [u16; 8] = [22, 25, 53, 111, 139, 445, 631, 3389];

/// What a target answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetAnswer {
    /// HTTP.
    Http {
        /// The status.
        status: u16,
        /// From the connection to the first line.
        took: Duration,
    },
    /// It accepts connections; nothing was asked.
    Open {
        /// How long the connection took.
        took: Duration,
    },
    /// It speaks, but not HTTP.
    Other {
        /// How long the connection took.
        took: Duration,
    },
    /// It accepted a request and said nothing in time.
    Silent {
        /// How long it was waited for.
        took: Duration,
    },
}

/// Something that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub target: ServerAddr,
    /// What its page is called.
    pub title: Option<String>,
    /// What the desktop's menu calls the program.
    pub application: Option<String>,
    /// The name of its process; empty when it is not known.
    pub process: String,
    /// What it answered; `None` when it was not asked.
    pub answer: Option<TargetAnswer>,
}

impl Found {
    /// True for what people share: what speaks HTTP, and databases.
    pub fn is_usual(&self) -> bool {
        matches!(self.answer, Some(TargetAnswer::Http { .. })) || DATABASES.contains(&self.target.port())
    }
}

/// A program that has a socket open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Process {
    /// Its name; empty when it is not known.
    name: String,
    /// The file that it runs, where that may be known.
    file: Option<String>,
}

/// How much of an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Its status.
    Status,
    /// The title of the page.
    Title,
}

impl Until {
    fn is_reached(self, answer: &[u8]) -> bool {
        match self {
            Self::Status => answer.len() >= 64 || answer.contains(&b'\n'),
            Self::Title => answer.len() >= PAGE || names::has_title(answer),
        }
    }
}

/// Who listens on this computer, what speaks HTTP first.
pub async fn scan() -> Vec<Found> {
    // Reading all of /proc and the menu takes a while.
    let read = tokio::task::spawn_blocking(|| (system::listening(), names::in_menu()));
    let (sockets, menu) = read.await.unwrap_or_default();
    let mut looks = tokio::task::JoinSet::new();
    for (port, process) in sockets.into_iter().take(MOST) {
        let file = process.file.as_ref().unwrap_or(&process.name);
        let application = menu.get(file).cloned();
        looks.spawn(async move {
            let target = ServerAddr::new("localhost", port).ok()?;
            let is_asked = !DATABASES.contains(&port) && !SYSTEM.contains(&port);
            let asked = if is_asked { ask(&target, GLANCE, Until::Title).await.ok() } else { None };
            let (answer, page) = asked.unzip();
            let title = page.and_then(|page| names::title(&page));
            Some(Found { target, title, application, process: process.name, answer })
        });
    }
    let mut found: Vec<Found> = looks.join_all().await.into_iter().flatten().collect();
    let rank = |found: &Found| {
        let speaks = matches!(found.answer, Some(TargetAnswer::Http { .. }));
        (!speaks, !found.is_usual(), found.target.port())
    };
    found.sort_by_key(rank);
    found
}

/// Tries one target.
///
/// # Errors
/// Why it was not reached.
pub async fn try_target(target: &ServerAddr, kind: ServiceKind) -> Result<TargetAnswer, ServiceCause> {
    if kind == ServiceKind::Tcp {
        let begin = Instant::now();
        connect(target).await?;
        return Ok(TargetAnswer::Open { took: begin.elapsed() });
    }
    Ok(ask(target, ANSWER, Until::Status).await?.0)
}

async fn connect(target: &ServerAddr) -> Result<TcpStream, ServiceCause> {
    let address = (target.host(), target.port());
    match tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => Ok(tcp),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Err(ServiceCause::Refused),
        Ok(Err(_)) => {
            let known = tokio::net::lookup_host(address).await.is_ok_and(|mut all| all.next().is_some());
            Err(if known { ServiceCause::Unreachable } else { ServiceCause::NameNotFound })
        }
        Err(_) => Err(ServiceCause::Unreachable),
    }
}

/// Asks for the page at the front; with what was found comes what was read of it.
async fn ask(
    target: &ServerAddr,
    limit: Duration,
    until: Until,
) -> Result<(TargetAnswer, Vec<u8>), ServiceCause> {
    let begin = Instant::now();
    let mut tcp = connect(target).await?;
    let connected = begin.elapsed();
    let mut start = Vec::new();
    // A server that speaks first is none of HTTP; it is not answered.
    let greeting = tokio::time::timeout(GREETING, tcp.read_buf(&mut start)).await;
    if greeting.is_ok() {
        return Ok((TargetAnswer::Other { took: connected }, start));
    }
    let begin = Instant::now();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {target}\r\nUser-Agent: petit\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    let mut first = None;
    let read = async {
        tcp.write_all(request.as_bytes()).await?;
        while !until.is_reached(&start) {
            if tcp.read_buf(&mut start).await? == 0 {
                break;
            }
            if first.is_none() && Until::Status.is_reached(&start) {
                first = Some(begin.elapsed());
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let is_late = tokio::time::timeout(limit, read).await.is_err();
    let answer = match status(&start) {
        Some(status) => {
            TargetAnswer::Http { status, took: connected + first.unwrap_or_else(|| begin.elapsed()) }
        }
        None if is_late => TargetAnswer::Silent { took: limit },
        None => TargetAnswer::Other { took: connected },
    };
    Ok((answer, start))
}

/// The status in the first bytes of an answer, when it is one of HTTP.
fn status(start: &[u8]) -> Option<u16> {
    let line = start.strip_prefix(b"HTTP/1.")?;
    let code = line.split(|byte| *byte == b' ').nth(1)?;
    let code = std::str::from_utf8(code.get(..3)?).ok()?.parse().ok()?;
    (100..600).contains(&code).then_some(code)
}

/// Listening sockets of a table of `/proc/net/tcp` or `tcp6`: port and inode, of addresses that `localhost` reaches.
#[cfg(any(target_os = "linux", test))]
fn sockets(table: &str) -> Vec<(u16, u64)> {
    const LISTEN: &str = "0A";
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.rsplit_once(':')?;
        let any = address.bytes().all(|byte| byte == b'0');
        let loopback = address == "0100007F" || address == "00000000000000000000000001000000";
        let port = u16::from_str_radix(port, 16).ok()?;
        let inode = fields.get(9)?.parse().ok()?;
        (fields.get(3) == Some(&LISTEN) && (any || loopback)).then_some((port, inode))
    };
    table.lines().skip(1).filter_map(socket).collect()
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;

    use super::{BTreeMap, Process, sockets};

    /// Ports on which others listen, with the programs as far as this user may know them.
    pub(super) fn listening() -> BTreeMap<u16, Process> {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let sockets: Vec<(u16, u64)> = tables.iter().flat_map(|table| sockets(table)).collect();
        let mut holders = BTreeMap::new();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            for link in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
                let target = fs::read_link(link.path()).unwrap_or_default();
                let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
                if let Some(inode) = inode.and_then(|inode| inode.parse::<u64>().ok()) {
                    holders.insert(inode, pid);
                }
            }
        }
        let mut found: BTreeMap<u16, Process> = BTreeMap::new();
        for (port, inode) in sockets {
            let pid = holders.get(&inode).copied();
            if pid == Some(std::process::id()) {
                continue;
            }
            let process = pid.map(process).unwrap_or_default();
            let known = found.entry(port).or_default();
            if known.name.is_empty() {
                *known = process;
            }
        }
        found
    }

    /// A process, by the name that its owner would call it.
    fn process(pid: u32) -> Process {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        let name = if name == "docker-proxy" { "Docker".to_owned() } else { name };
        // The kernel cuts names after 15 characters; the file has its whole.
        let file = fs::read_link(format!("/proc/{pid}/exe")).ok();
        let file = file.and_then(|file| Some(file.file_name()?.to_str()?.to_owned()));
        Process { name, file }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::time::Duration;

    use super::{BTreeMap, Process};

    /// Where programs that people share usually listen. The system's own tables are out of reach of safe code here.
    const USUAL: [u16; 14] =
        [80, 3000, 4000, 4200, 5000, 5173, 7000, 8000, 8008, 8080, 8081, 8443, 8888, 9000];

    /// The usual ports that are open.
    pub(super) fn listening() -> BTreeMap<u16, Process> {
        let open = |port: &u16| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
            TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_ok()
        };
        USUAL.into_iter().filter(open).map(|port| (port, Process::default())).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0\n\
            1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n\
            2: 0200A8C0:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n\
            3: 0100007F:0BB8 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 4714 1 0 100 0 0 10 0\n\
            noise\n";
        assert_eq!(sockets(table), [(3000, 4711), (8080, 4712)]);
        let six = "head\n0: 00000000000000000000000001000000:0050 0:0 0A 0:0 0:0 0 0 0 7 x\n";
        assert_eq!(sockets(six), [(80, 7)]);
    }

    #[test]
    fn only_http_is_taken_for_http() {
        assert_eq!(status(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        for other in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/1.1 x",
            b"HTTP/1.1 20",
            b"HTTP/2 200",
            b"SSH-2.0-x",
            b"HTTP/1.1 999 x",
        ] {
            assert_eq!(status(other), None);
        }
    }

    async fn server(answer: &'static [u8], first: bool) -> ServerAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                if !first {
                    let _ = tcp.read(&mut [0; 1024]).await;
                }
                let _ = tcp.write_all(answer).await;
            }
        });
        ServerAddr::new("127.0.0.1", port).unwrap()
    }

    #[tokio::test]
    async fn targets_are_told_apart() {
        let http = server(b"HTTP/1.1 404 Not Found\r\n\r\n", false).await;
        assert!(matches!(
            try_target(&http, ServiceKind::Http).await,
            Ok(TargetAnswer::Http { status: 404, .. })
        ));
        assert!(matches!(try_target(&http, ServiceKind::Tcp).await, Ok(TargetAnswer::Open { .. })));
        let ssh = server(b"SSH-2.0-x\r\n", true).await;
        assert!(matches!(try_target(&ssh, ServiceKind::Http).await, Ok(TargetAnswer::Other { .. })));
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let closed = ServerAddr::new("127.0.0.1", closed.port()).unwrap();
        assert_eq!(try_target(&closed, ServiceKind::Http).await, Err(ServiceCause::Refused));
    }

    #[test]
    fn ports_of_the_system_are_not_what_people_share() {
        let found = |port, answer| Found {
            target: ServerAddr::new("localhost", port).unwrap(),
            title: None,
            application: None,
            process: String::new(),
            answer,
        };
        let took = Duration::ZERO;
        assert!(found(631, Some(TargetAnswer::Http { status: 404, took })).is_usual());
        assert!(found(5432, None).is_usual());
        for answer in [None, Some(TargetAnswer::Other { took }), Some(TargetAnswer::Silent { took })] {
            assert!(!found(22, answer).is_usual() && !found(40_000, answer).is_usual());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn another_program_that_listens_is_found_by_name() {
        // Ours are left out, so a child has to listen: python is in every Debian that builds this.
        let code = "import http.server,sys;s=http.server.HTTPServer(('127.0.0.1',0),http.server.SimpleHTTPRequestHandler);print(s.server_port,flush=True);s.serve_forever()";
        let page = "<!doctype html><title>The accounts</title>";
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.html"), page).unwrap();
        let mut child = std::process::Command::new("python3")
            .args(["-c", code])
            .current_dir(dir.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        let port: u16 = line.trim().parse().unwrap();
        let found = scan().await;
        let _ = child.kill();
        let _ = child.wait();
        let ours = found.iter().find(|found| found.target.port() == port).unwrap();
        assert!(ours.process.starts_with("python3"), "{ours:?}");
        assert_eq!(ours.title.as_deref(), Some("The accounts"));
        assert!(ours.is_usual());
        assert!(matches!(ours.answer, Some(TargetAnswer::Http { status: 200, .. })), "{ours:?}");
    }
}
