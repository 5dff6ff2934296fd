//! What is no HTTP is refused by hyper itself, without a word. Here its bare answer gets the fields and the body of any
//! other error of Petit's own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::RelayShared;
use super::super::failure::Failure;
use super::super::refusal_log::Refusal;
use super::activity::Activity;
use super::visitor::canonical;

/// A visitor's connection on which hyper's own refusals become Petit's.
pub(super) struct Explained<IO> {
    io: IO,
    activity: Arc<Activity>,
    shared: Arc<RelayShared>,
    peer: IpAddr,
    /// So many answers were written in full. What is written before there is another one is hyper's own.
    written: u64,
    /// What is written in the place of such an answer.
    ours: Bytes,
}

impl<IO: AsyncWrite + Unpin> Explained<IO> {
    pub(super) fn new(io: IO, activity: Arc<Activity>, shared: Arc<RelayShared>, peer: SocketAddr) -> Self {
        Self { io, activity, shared, peer: canonical(peer).ip(), written: 0, ours: Bytes::new() }
    }

    /// Takes what hyper writes by itself, to write something else instead. True when that is what `data` is.
    fn takes(&mut self, data: &[u8]) -> bool {
        if self.activity.answers_given() != Some(self.written) {
            return false;
        }
        let Some(failure) = refusal(data) else { return false };
        let id = self.shared.next_request_id();
        self.shared.refusal_log.log(&Refusal { visitor: Some(self.peer), ..Refusal::of(failure, id) });
        let Some(ours) = failure.in_place_of(data, id, self.shared.config.legacy_errors) else {
            return false;
        };
        // Of what the visitor still sends nothing is read, and the answer is to arrive all the same.
        self.activity.begins(true, false);
        self.ours = ours;
        true
    }

    fn poll_ours(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.ours.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, &self.ours))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.ours.advance(written.min(self.ours.len())),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What hyper refuses a head for, by the answer that it writes.
fn refusal(data: &[u8]) -> Option<Failure> {
    let status = data.strip_prefix(b"HTTP/1.1 ")?;
    match status.get(..4)? {
        b"400 " => Some(Failure::BadRequest),
        b"414 " => Some(Failure::TargetTooLong),
        b"431 " => Some(Failure::HeadTooLarge),
        _ => None,
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Explained<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Explained<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.takes(data) {
            return Poll::Ready(Ok(data.len()));
        }
        ready!(self.poll_ours(cx))?;
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = pieces
            && self.takes(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        ready!(self.poll_ours(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ours(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if let Some(answers) = self.activity.answers_given() {
            self.written = answers;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ours(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
