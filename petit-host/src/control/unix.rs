//! The door on Unix: a socket that only its owner can open.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::with_short_path;

/// A connection.
pub(super) type Stream = UnixStream;

/// Takes connections.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = with_short_path(path, |short| UnixListener::bind(short))?;
        // The folder is private already; this holds when it was made by hand.
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
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

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
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

/// Connects to the door at `path`.
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    with_short_path(path, |short| {
        std::os::unix::net::UnixStream::connect(short).and_then(|stream| {
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        })
    })
}
