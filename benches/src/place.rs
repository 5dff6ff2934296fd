//! Where things are: the programs, the peers, a folder for this run, and the one origin behind every system.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{Processes, free_port, output, until};

/// Bytes of the large file.
pub(crate) const BIG: u64 = 256 * 1024 * 1024;
/// More than what any system carries while it is watched.
const HUGE: u64 = 64 << 30;

/// Everything that the systems are built from.
pub(crate) struct Place {
    /// Petit's programs.
    pub(crate) programs: PathBuf,
    /// More lines for `[server]`.
    pub(crate) server_config: String,
    /// Another build of Petit, or another config, to measure beside.
    pub(crate) beside: Option<(PathBuf, String)>,
    /// What `cargo install` has installed.
    pub(crate) peers: PathBuf,
    /// This run's own; gone with it.
    pub(crate) work: PathBuf,
    /// In memory, so that no disk takes part.
    pub(crate) memory: PathBuf,
    pub(crate) origin: Origin,
}

/// An nginx that serves a tiny answer and a large file, and takes uploads.
pub(crate) struct Origin {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    _nginx: Processes,
}

impl Place {
    pub(crate) fn new(
        programs: PathBuf,
        server_config: String,
        beside: Option<(PathBuf, String)>,
        peers: PathBuf,
        work: PathBuf,
    ) -> Result<Self> {
        let _ = fs::remove_dir_all(&work); // what a killed run has left
        make(&work)?;
        let memory = match Path::new("/dev/shm") {
            shm if shm.is_dir() => shm.join("petit-bench"),
            _ => work.join("memory"),
        };
        let _ = fs::remove_dir_all(&memory);
        make(&memory)?;
        certificates(&work)?;
        let origin = Origin::start(&work, &memory)?;
        Ok(Self { programs, server_config, beside, peers, work, memory, origin })
    }

    /// A new folder.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.work.join(name);
        let _ = fs::remove_dir_all(&dir);
        make(&dir)?;
        Ok(dir)
    }

    /// A new folder in memory: what is written there waits for no disk.
    pub(crate) fn dir_in_memory(&self, name: &str) -> Result<PathBuf> {
        let dir = self.memory.join(name);
        let _ = fs::remove_dir_all(&dir);
        make(&dir)?;
        Ok(dir)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.memory);
    }
}

impl Origin {
    fn start(work: &Path, memory: &Path) -> Result<Self> {
        let dir = work.join("origin");
        make(&dir)?;
        write_big(&memory.join("big"))?;
        // A file of nothing, which takes no memory: for a transfer that no test sees the end of.
        let huge = fs::File::create(memory.join("huge")).context("cannot make a file")?;
        huge.set_len(HUGE).context("cannot make a file")?;
        let (plain, tls) = (free_port()?, free_port()?);
        let tiny = "0123456789abcdef".repeat(8);
        let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
        let (dir_text, memory_text, work_text) = (dir.display(), memory.display(), work.display());
        let config = format!(
            r#"{user}
worker_processes 1;
pid {dir_text}/pid;
error_log {dir_text}/errors;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_max_body_size 0;
  sendfile on;
  tcp_nodelay on;
  client_body_temp_path {memory_text}/body;
  proxy_temp_path {dir_text}/t1; fastcgi_temp_path {dir_text}/t2; uwsgi_temp_path {dir_text}/t3; scgi_temp_path {dir_text}/t4;
  server {{
    listen 127.0.0.1:{plain} backlog=4096;
    listen 127.0.0.1:{tls} ssl backlog=4096;
    ssl_certificate {work_text}/origin.crt;
    ssl_certificate_key {work_text}/origin.key;
    location = /tiny {{ default_type text/plain; return 200 "{tiny}"; }}
    location = /big {{ alias {memory_text}/big; }}
    location = /huge {{ alias {memory_text}/huge; }}
    location /put/ {{ alias {memory_text}/put/; dav_methods PUT; create_full_put_path on; }}
  }}
}}
"#
        );
        let path = dir.join("nginx.conf");
        fs::write(&path, config).context("cannot write the origin's config")?;
        let mut nginx = Processes::default();
        nginx.start(
            Command::new("nginx").arg("-c").arg(&path).args(["-g", "daemon off;"]),
            &dir.join("log"),
        )?;
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (plain, tls) = (address(plain), address(tls));
        until("nginx", || TcpStream::connect(plain).is_ok() && TcpStream::connect(tls).is_ok())?;
        Ok(Self { plain, tls, _nginx: nginx })
    }
}

/// Bytes that no compression shortens; the same in every run.
fn write_big(path: &Path) -> Result<()> {
    let mut bytes = Vec::with_capacity(BIG as usize);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while (bytes.len() as u64) < BIG {
        // xorshift64: any cheap sequence without a pattern will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// A small authority, a certificate of it for `localhost`, and the same as a bundle for rathole.
fn certificates(work: &Path) -> Result<()> {
    let openssl = |arguments: &str| {
        output(Command::new("openssl").args(arguments.split_whitespace()).current_dir(work)).map(|_| ())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!("req -x509 {key} -days 30 -keyout ca.key -out ca.crt -subj /CN=bench"))?;
    openssl(&format!("req {key} -keyout origin.key -out origin.csr -subj /CN=localhost"))?;
    fs::write(work.join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").context("cannot write")?;
    let signed = "-CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out origin.crt";
    openssl(&format!("x509 -req -in origin.csr {signed}"))?;
    let bundle = "-certfile ca.crt -out origin.pfx -passout pass:x";
    openssl(&format!("pkcs12 -export -in origin.crt -inkey origin.key {bundle}"))
}

fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}
