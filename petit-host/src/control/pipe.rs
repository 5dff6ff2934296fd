//! The control socket on Windows: a named pipe.
//!
//! Pipes live in one name space for all users of the computer, so a fixed name could be taken by somebody else
//! beforehand, who would then be told what was meant for us. Therefore each run makes a name that nobody can guess
//! and writes it into the file that is the socket on Unix, in the profile's folder, which others cannot read. Names of
//! pipes can be listed, so what keeps others out is the pipe's access list: only its owner and the system can open it,
//! and administrators that of a service.
//! Connections from other computers are refused.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use petit_windows::pipe::{self, PrivatePipe};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer};

/// What the system says when every instance of a pipe is taken for a moment (ERROR_PIPE_BUSY).
const PIPE_BUSY: i32 = 231;
/// What all our pipes are called before the part that nobody can guess.
const PREFIX: &str = r"\\.\pipe\petit-";

/// A connection, from either side.
#[derive(Debug)]
pub(super) enum Stream {
    Server(NamedPipeServer),
    Client(NamedPipeClient),
}

/// Takes connections.
#[derive(Debug)]
pub(super) struct ControlSocket {
    pipe: PrivatePipe,
    /// Waits for the next connection; there is always one, so that the name stays ours.
    next: NamedPipeServer,
    path: PathBuf,
    is_ours: bool,
}

impl ControlSocket {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let name = format!("{PREFIX}{}", unguessable());
        let is_of_service = crate::service::is_in_state_folder(path);
        let pipe = if is_of_service { PrivatePipe::of_service(name) } else { PrivatePipe::new(name) }?;
        let next = pipe.first()?;
        let socket = Self { pipe, next, path: path.to_owned(), is_ours: true };
        socket.write_name()?;
        Ok(socket)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// True while those who look for the socket find one: this one, or, in the moment before another process serves, that
    /// process's. The name of a process that has ended stands in the file where this one's could not be written.
    pub(super) fn is_there(&self) -> bool {
        match fs::read_to_string(&self.path) {
            Ok(name) => name == self.pipe.name() || (name.starts_with(PREFIX) && pipe::exists(&name)),
            // Who has it open for a moment, so that it cannot be read, keeps it from being written, too.
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData),
        }
    }

    /// Whether those who look for the socket are to find this one. Once it is ours again another process's name may be in
    /// the file; before that it stays there, because that process is about to serve.
    pub(super) fn set_ours(&mut self, is_ours: bool) {
        let was_ours = std::mem::replace(&mut self.is_ours, is_ours);
        if is_ours
            && !was_ours
            && let Err(error) = self.write_name()
        {
            tracing::warn!(%error, "the control socket cannot be found");
        }
    }

    fn write_name(&self) -> io::Result<()> {
        crate::files::write_private(&self.path, self.pipe.name().as_bytes()).map_err(io::Error::other)
    }

    /// True while it is this one that is found.
    fn is_found(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|name| name == self.pipe.name())
    }

    /// The next connection.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn accept(&mut self) -> io::Result<Option<Stream>> {
        self.next.connect().await?;
        let next = self.pipe.next()?;
        Ok(Some(Stream::Server(std::mem::replace(&mut self.next, next))))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if self.is_found() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// 128 bits by a keyed hash whose keys come from the system's random source.
fn unguessable() -> String {
    let part = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", part(), part())
}

/// Connects to the socket at `path`.
pub(super) async fn connect(path: &Path) -> io::Result<Stream> {
    let name = fs::read_to_string(path)?;
    if !name.starts_with(PREFIX) {
        return Err(io::ErrorKind::NotFound.into());
    }
    loop {
        match ClientOptions::new().open(&name) {
            Ok(pipe) => return Ok(Stream::Client(pipe)),
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) => {
                // Until the next instance is there, which is a moment.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

macro_rules! either {
    ($self:ident, $pipe:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Server(pipe) => {
                let $pipe = std::pin::Pin::new(pipe);
                $call
            }
            Stream::Client(pipe) => {
                let $pipe = std::pin::Pin::new(pipe);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        either!(self, pipe => pipe.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        either!(self, pipe => pipe.poll_write(cx, bytes))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        either!(self, pipe => pipe.poll_flush(cx))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        either!(self, pipe => pipe.poll_shutdown(cx))
    }
}
