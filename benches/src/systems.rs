//! What is measured side by side: every system makes the same origin reachable, in its usual way.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::Front;
use crate::petit::{DialVia, Petit};
use crate::place::Place;
use crate::process::{Processes, free_port, output};

/// A system that can be measured.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    /// For readers of the table.
    pub(crate) what: &'static str,
    start: fn(&Place) -> Result<Running>,
}

/// A system that runs.
pub(crate) struct Running {
    /// Where visitors come in.
    pub(crate) front: Front,
    /// What its CPU and memory are counted of; empty for the direct connection.
    pub(crate) processes: Processes,
}

/// All of them, in the order of the table.
pub(crate) const CANDIDATES: [Candidate; 7] = [
    Candidate { name: "petit", what: "Petit: TLS 1.3, routed by host", start: petit },
    Candidate { name: "petit-beside", what: "another build or config of Petit", start: petit_beside },
    Candidate { name: "rathole-tls", what: "rathole 0.5.0 with TLS: a port per service", start: rathole_tls },
    Candidate { name: "rathole-tcp", what: "rathole 0.5.0 without TLS", start: rathole_tcp },
    Candidate { name: "ssh-R", what: "OpenSSH, reverse forwarding", start: ssh },
    Candidate { name: "haproxy", what: "no tunnel: a reverse proxy, TLS to the origin", start: haproxy },
    Candidate { name: "direct", what: "nothing between visitor and origin", start: direct },
];

impl Candidate {
    /// Starts it and waits until a request has gone all the way.
    pub(crate) fn start(&self, place: &Place) -> Result<Running> {
        let running = (self.start)(place)?;
        running.front.until_answers()?;
        Ok(running)
    }

    /// False when this run has not got what it needs.
    pub(crate) fn is_there(&self, place: &Place) -> bool {
        self.name != "petit-beside" || place.beside.is_some()
    }
}

fn petit(place: &Place) -> Result<Running> {
    let dir = place.dir("petit")?;
    let petit = Petit::new(&place.programs, &dir, &place.server_config)?
        .start(place.origin.plain, &DialVia::Straight)?;
    Ok(Running { front: petit.front, processes: petit.processes })
}

fn petit_beside(place: &Place) -> Result<Running> {
    let (programs, config) = place.beside.as_ref().context("no other build was named with --beside")?;
    let dir = place.dir("petit-beside")?;
    let petit = Petit::new(programs, &dir, config)?.start(place.origin.plain, &DialVia::Straight)?;
    Ok(Running { front: petit.front, processes: petit.processes })
}

fn direct(place: &Place) -> Result<Running> {
    Ok(Running { front: Front::new(place.origin.plain, "localhost"), processes: Processes::default() })
}

fn haproxy(place: &Place) -> Result<Running> {
    let dir = place.dir("haproxy")?;
    let front = loopback(free_port()?);
    let origin = place.origin.tls;
    let config = format!(
        "global
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend visitors
  bind {front}
  default_backend origin
backend origin
  server origin {origin} ssl verify none sni str(localhost)
"
    );
    let path = dir.join("haproxy.cfg");
    write(&path, &config)?;
    let mut processes = Processes::default();
    processes.start(Command::new("haproxy").arg("-db").arg("-f").arg(&path), &dir.join("log"))?;
    Ok(Running { front: Front::new(front, "localhost"), processes })
}

fn rathole_tls(place: &Place) -> Result<Running> {
    rathole(place, true)
}

fn rathole_tcp(place: &Place) -> Result<Running> {
    rathole(place, false)
}

fn rathole(place: &Place, tls: bool) -> Result<Running> {
    let program = place.peers.join("rathole");
    if !program.is_file() {
        bail!("{} is not there", program.display());
    }
    let name = if tls { "rathole-tls" } else { "rathole-tcp" };
    let dir = place.dir(name)?;
    let (tunnel, front) = (loopback(free_port()?), loopback(free_port()?));
    let (transport, work, origin) =
        (if tls { "tls" } else { "tcp" }, place.work.display(), place.origin.plain);
    let (server_tls, client_tls) = if tls {
        (
            format!("[server.transport.tls]\npkcs12 = \"{work}/origin.pfx\"\npkcs12_password = \"x\"\n"),
            format!("[client.transport.tls]\ntrusted_root = \"{work}/ca.crt\"\nhostname = \"localhost\"\n"),
        )
    } else {
        (String::new(), String::new())
    };
    write(
        &dir.join("server.toml"),
        &format!(
            "[server]\nbind_addr = \"{tunnel}\"\ndefault_token = \"bench\"\n\
             [server.transport]\ntype = \"{transport}\"\n{server_tls}\
             [server.services.web]\nbind_addr = \"{front}\"\n"
        ),
    )?;
    write(
        &dir.join("client.toml"),
        &format!(
            "[client]\nremote_addr = \"{tunnel}\"\ndefault_token = \"bench\"\n\
             [client.transport]\ntype = \"{transport}\"\n{client_tls}\
             [client.services.web]\nlocal_addr = \"{origin}\"\n"
        ),
    )?;
    let mut processes = Processes::default();
    for side in ["server", "client"] {
        let mut command = Command::new(&program);
        command.arg(format!("--{side}")).arg(dir.join(format!("{side}.toml"))).env("RUST_LOG", "error");
        processes.start(&mut command, &dir.join(format!("{side}.log")))?;
        // Its client gives a server that does not listen yet a second more.
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(Running { front: Front::new(front, "localhost"), processes })
}

fn ssh(place: &Place) -> Result<Running> {
    let dir = place.dir("ssh")?;
    let (tunnel, front) = (free_port()?, free_port()?);
    let shown = dir.display();
    for key in ["host", "user"] {
        let mut keygen = Command::new("ssh-keygen");
        output(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.join(key)))?;
    }
    let keys = dir.join("authorized");
    fs::copy(dir.join("user.pub"), &keys).context("cannot write the key")?;
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).context("cannot write the key")?;
    write(
        &dir.join("sshd_config"),
        &format!(
            "Port {tunnel}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
             PermitRootLogin yes\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n\
             AllowTcpForwarding yes\nMaxSessions 1000\n"
        ),
    )?;
    // Where sshd locks itself up; Debian makes it when the service starts.
    let _ = fs::create_dir_all("/run/sshd");
    let mut processes = Processes::default();
    let mut sshd = Command::new("/usr/sbin/sshd");
    processes.start(sshd.args(["-D", "-e", "-f"]).arg(dir.join("sshd_config")), &dir.join("sshd.log"))?;
    crate::process::until("sshd", || std::net::TcpStream::connect(loopback(tunnel)).is_ok())?;
    let user = output(Command::new("id").arg("-un").env_clear().env("PATH", "/usr/bin:/bin"))?;
    let mut ssh = Command::new("ssh");
    ssh.args(["-N", "-F", "none", "-p", &tunnel.to_string(), "-i"]).arg(dir.join("user"));
    ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    ssh.args(["-R", &format!("127.0.0.1:{front}:{}", place.origin.plain)]);
    processes.start(ssh.arg(format!("{}@127.0.0.1", user.trim())), &dir.join("ssh.log"))?;
    Ok(Running { front: Front::new(loopback(front), "localhost"), processes })
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
