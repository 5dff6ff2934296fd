//! The control socket on Unix: only its owner can open it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

/// A connection.
pub(super) type Stream = UnixStream;

/// A control socket for another process.
#[derive(Debug)]
pub struct SocketCopy {
    /// The socket.
    pub socket: OwnedFd,
    /// The file that leads to it, by device and inode; `None`: none that is known.
    pub file: Option<(u64, u64)>,
}

/// Takes connections.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file that is, by device and inode.
    file: Option<(u64, u64)>,
    /// The file goes with the socket.
    is_ours: bool,
}

impl ControlSocket {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let short = ShortPath::of(path)?;
        let listener = UnixListener::bind(&short.path)?;
        // The folder is private already; this holds when it was made by hand.
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Self { listener, file: identity(path), path: path.to_owned(), is_ours: true })
    }

    /// The socket that another process has opened at `path`. Which file that was only that process knows: by now
    /// another one may be at its place, which leads to another socket. Until it is served here, its file goes with that
    /// process: one that does not come to serve leaves it.
    pub(super) fn inherit(path: &Path, copy: SocketCopy) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(copy.socket);
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        Ok(Self { listener, file: copy.file, path: path.to_owned(), is_ours: false })
    }

    /// A copy for another process.
    pub(super) fn copy(&self) -> io::Result<SocketCopy> {
        Ok(SocketCopy { socket: self.listener.as_fd().try_clone_to_owned()?, file: self.file })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// True while those who look for the socket find it.
    pub(super) fn is_there(&self) -> bool {
        self.file.is_some() && self.file == identity(&self.path)
    }

    /// Whether the socket's file goes with it: not when another process has the same socket.
    pub(super) fn set_ours(&mut self, is_ours: bool) {
        self.is_ours = is_ours;
    }

    /// The next connection; `None` when it was somebody else's and was closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn accept(&mut self) -> io::Result<Option<Stream>> {
        let (stream, _) = self.listener.accept().await?;
        Ok(is_ours(&stream).then_some(stream))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if self.is_ours && self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// The same user, or root.
fn is_ours(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    let peer = stream.peer_cred().map(|peer| peer.uid());
    let ours = peer.as_ref().is_ok_and(|uid| *uid == us || *uid == 0);
    if !ours {
        tracing::warn!(?peer, "another user tried to open the control socket");
    }
    ours
}

/// How long it is waited while as many connections as may wait are waiting to be taken.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// Connects to the socket at `path`.
///
/// Whoever owns the folder may have put a link there, so it counts who answers: the socket's maker has to be the owner of
/// the folder.
///
/// # Cancel safety
/// Cancel safe.
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    let short = ShortPath::of(path)?;
    let stream = loop {
        match UnixStream::connect(&short.path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(FULL_PAUSE).await,
            connected => break connected?,
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let owner = fs::metadata(folder)?.uid();
    let us = rustix::process::geteuid().as_raw();
    let peer = stream.peer_cred()?.uid();
    // Root may ask for anybody's, and for no other than he thinks.
    if peer == owner || (peer == us && us != 0) {
        Ok(stream)
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// A socket's path may have about a hundred bytes. A longer one is reached through a descriptor of its folder.
struct ShortPath {
    path: PathBuf,
    /// Open for as long as the path is used.
    _folder: Option<fs::File>,
}

impl ShortPath {
    fn of(path: &Path) -> io::Result<Self> {
        const SHORT: usize = 100;
        let (Some(folder), Some(name), true) =
            (path.parent(), path.file_name(), path.as_os_str().len() > SHORT && cfg!(target_os = "linux"))
        else {
            return Ok(Self { path: path.to_owned(), _folder: None });
        };
        let folder = fs::File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }
}
