//! The control socket on Unix: only its owner can open it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

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
        let listener = with_short_path(path, |short| UnixListener::bind(short))?;
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
    use std::os::unix::fs::MetadataExt;
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

/// Connects to the socket at `path`.
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    with_short_path(path, |short| {
        std::os::unix::net::UnixStream::connect(short).and_then(|stream| {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        })
    })
}

/// A socket's path may have about a hundred bytes. A longer one is reached through a descriptor of its folder.
fn with_short_path<T>(path: &Path, use_it: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    const SHORT: usize = 100;
    if path.as_os_str().len() <= SHORT || !cfg!(target_os = "linux") {
        return use_it(path);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return use_it(path) };
    let dir = fs::File::open(dir)?;
    let number = dir.as_raw_fd();
    use_it(&Path::new("/proc/self/fd").join(number.to_string()).join(name))
}
