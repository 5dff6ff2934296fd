//! Messages, and descriptors with them, over a pair of connected sockets.
//!
//! A message is JSON behind its length in four bytes. A message that is not understood is passed over, and so is a
//! field: the two ends may be of different versions.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::FdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Fault;

use crate::control::server::SocketCopy;

/// Descriptors in one message. The kernel takes 253 (`SCM_MAX_FD`).
const FDS: usize = 64;
/// Longest message: the IDs of 100,000 clients and more.
const MESSAGE_BYTES: usize = 16 << 20;
/// Messages that were read and wait to be looked at.
const QUEUE: usize = 64;

/// What a predecessor gives.
#[derive(Debug, Default)]
pub struct Parcel {
    /// Descriptors by name: listening sockets, the control socket, the lock, a link to an anchor.
    pub handles: Vec<(String, OwnedFd)>,
    /// What else the successor has to know.
    pub facts: Value,
}

/// What the control socket's name begins with; behind it is which file leads to it, by device and inode.
const CONTROL: &str = "control:";

impl Parcel {
    /// Puts the control socket in.
    pub fn put_control(&mut self, copy: SocketCopy) {
        let file = copy.file.map(|(device, inode)| format!("{device}:{inode}"));
        self.handles.push((format!("{CONTROL}{}", file.unwrap_or_default()), copy.socket));
    }

    /// Takes the control socket out.
    pub fn take_control(&mut self) -> Option<SocketCopy> {
        let position = self.handles.iter().position(|(name, _)| name.starts_with(CONTROL))?;
        let (name, socket) = self.handles.swap_remove(position);
        let file = name.strip_prefix(CONTROL).and_then(|file| file.split_once(':'));
        let file = file.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
        Some(SocketCopy { socket, file })
    }

    /// Takes a descriptor out.
    pub fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let position = self.handles.iter().position(|(known, _)| known == name)?;
        Some(self.handles.swap_remove(position).1)
    }
}

/// A message, of either side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum LinkMessage {
    /// The predecessor gives descriptors, by these names. With `last` the parcel is complete.
    Parcel {
        /// Their names, in the order in which they come with the message.
        names: Vec<String>,
        /// See [`Parcel::facts`].
        #[serde(default)]
        facts: Value,
        /// The predecessor's process.
        pid: u32,
        /// Nothing more belongs to it.
        last: bool,
    },
    /// The predecessor has stopped writing.
    Yours {
        /// What the successor has to know of this moment.
        #[serde(default)]
        facts: Value,
    },
    /// What the predecessor still waits for, now and then while it drains.
    Waits {
        /// In the program's own words.
        what: Value,
    },
    /// The predecessor holds nothing any more; if it stays, then as the anchor.
    Drained {},
    /// The anchor was asked to end.
    Stop {
        /// At once.
        now: bool,
    },
    /// The anchor was asked to have the config read again.
    Reload {},
    /// The successor has all that can fail before it takes over.
    Ready {},
    /// The successor accepts connections.
    Serving {},
    /// The successor is of no use.
    Failed {
        message: String,
        /// What to do next.
        #[serde(default)]
        hint: Option<String>,
        #[serde(default, skip_serializing_if = "Fault::is_its_own")]
        fault: Fault,
    },
    /// Something has changed that the predecessor has to know while it drains.
    Changed {
        /// In the program's own words.
        what: Value,
    },
    /// The successor was asked to stop.
    Stopping {
        /// At once.
        now: bool,
    },
    /// The last successor ends, for the anchor to do the same.
    Ended {
        /// With this code.
        exit: u8,
    },
    /// Of a later version.
    #[serde(other)]
    Unknown,
}

/// One end. Both ends see the other's end when all copies of it are closed, which the kernel does for a process that
/// is killed.
#[derive(Debug)]
pub struct Link {
    stream: Arc<UnixStream>,
    outgoing: mpsc::UnboundedSender<Frame>,
    incoming: mpsc::Receiver<(LinkMessage, Vec<OwnedFd>)>,
    reading: JoinHandle<()>,
    writing: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reading.abort();
        self.writing.abort();
    }
}

impl Link {
    /// A pair of connected sockets: this process's end, and the other's.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (near, far) = StdStream::pair()?;
        Ok((Self::new(near.into())?, far.into()))
    }

    /// An end that this process was given.
    ///
    /// # Errors
    /// When it is no socket.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        let stream = StdStream::from(end);
        stream.set_nonblocking(true)?;
        let stream = Arc::new(UnixStream::from_std(stream)?);
        let (outgoing, to_write) = mpsc::unbounded_channel();
        let (read, incoming) = mpsc::channel(QUEUE);
        let reading = tokio::spawn(read_all(Arc::clone(&stream), read));
        let writing = tokio::spawn(write_all(Arc::clone(&stream), to_write));
        Ok(Self { stream, outgoing, incoming, reading, writing })
    }

    /// A copy of this end, to be given away.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.stream.as_fd().try_clone_to_owned()
    }

    /// Sends a message; what the other side does not take is lost, which it tells by its end.
    pub fn say(&self, said: &LinkMessage) {
        self.queue(Frame::of(said, Vec::new()));
    }

    /// Gives a parcel. When this returns, it is on its way: the other side gets it even if this process dies, unless
    /// it is so large that the kernel has no room for it.
    pub fn give(&self, parcel: Parcel) {
        let Parcel { handles, facts } = parcel;
        let mut handles = VecDeque::from(handles);
        let mut has_room = true;
        loop {
            let some = handles.len().min(FDS);
            let (names, fds) = handles.drain(..some).unzip();
            let last = handles.is_empty();
            let facts = if last { facts.clone() } else { Value::Null };
            let said = LinkMessage::Parcel { names, facts, pid: std::process::id(), last };
            let mut frame = Frame::of(&said, fds);
            has_room = has_room && self.send_now(&mut frame);
            self.queue(frame);
            if last {
                return;
            }
        }
    }

    /// As [`Link::say`], while nothing is queued; when this returns, it is on its way, as with [`Link::give`].
    pub fn say_now(&self, said: &LinkMessage) {
        let mut frame = Frame::of(said, Vec::new());
        self.send_now(&mut frame);
        self.queue(frame);
    }

    /// Hands the kernel what it has room for; true when that was all.
    fn send_now(&self, frame: &mut Frame) -> bool {
        while !frame.bytes.is_empty() {
            if frame.send(self.stream.as_fd(), SendFlags::DONTWAIT).is_err() {
                return false;
            }
        }
        true
    }

    fn queue(&self, frame: Frame) {
        if !frame.bytes.is_empty() {
            let _ = self.outgoing.send(frame);
        }
    }

    /// The next message; `None` when the other side has gone.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<(LinkMessage, Vec<OwnedFd>)> {
        self.incoming.recv().await
    }

    /// True when the other side has gone, at this very moment: also while something that it has said before waits to be
    /// read.
    pub fn has_ended(&self) -> bool {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Darwin finds an end only where it is asked for (XNU's `poll_nocopy`); elsewhere that makes no difference.
        let mut asked = [PollFd::new(&*self.stream, PollFlags::HUP)];
        let answered = poll(&mut asked, Some(&AT_ONCE));
        answered.is_ok() && asked.iter().any(|asked| asked.revents().contains(PollFlags::HUP))
    }

    /// As [`Link::next`], for several at once.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<LinkMessage>> {
        self.incoming.poll_recv(cx).map(|heard| heard.map(|(said, _)| said))
    }

    /// Waits until all that was said has gone out, then closes this end.
    ///
    /// # Cancel safety
    /// Cancelling closes it at once.
    pub async fn close(mut self) {
        let (closed, _) = mpsc::unbounded_channel();
        drop(std::mem::replace(&mut self.outgoing, closed));
        let _ = (&mut self.writing).await;
    }
}

/// A message as bytes. The descriptors go with the first of them.
#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Frame {
    fn of(said: &LinkMessage, fds: Vec<OwnedFd>) -> Self {
        // Of what these messages hold, nothing can fail to be written.
        let text = serde_json::to_vec(said).unwrap_or_default();
        let length = u32::try_from(text.len()).unwrap_or_default();
        Self { bytes: [length.to_be_bytes().as_slice(), &text].concat(), fds }
    }

    /// Sends as much as the other side takes.
    fn send(&mut self, stream: BorrowedFd<'_>, flags: SendFlags) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let borrowed: Vec<BorrowedFd<'_>> = self.fds.iter().map(AsFd::as_fd).collect();
        if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(io::Error::other("more descriptors than fit into a message"));
        }
        let sent = rustix::net::sendmsg(stream, &[IoSlice::new(&self.bytes)], &mut control, flags)?;
        self.bytes.drain(..sent);
        self.fds.clear();
        Ok(())
    }
}

async fn write_all(stream: Arc<UnixStream>, mut queue: mpsc::UnboundedReceiver<Frame>) {
    while let Some(mut frame) = queue.recv().await {
        while !frame.bytes.is_empty() {
            let send = || frame.send(stream.as_fd(), SendFlags::empty());
            if let Err(error) = stream.async_io(Interest::WRITABLE, send).await {
                return tracing::debug!(%error, "the other process does not listen any more");
            }
        }
    }
}

async fn read_all(stream: Arc<UnixStream>, heard: mpsc::Sender<(LinkMessage, Vec<OwnedFd>)>) {
    let mut reader = Reader { stream, piece: vec![0; 64 * 1024], bytes: Vec::new(), fds: VecDeque::new() };
    loop {
        match reader.next().await {
            Ok(Some(message)) => {
                if heard.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            // It has died with something unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
            Err(error) => return tracing::warn!(%error, "the other process was not understood"),
        }
    }
}

struct Reader {
    stream: Arc<UnixStream>,
    /// For one read.
    piece: Vec<u8>,
    bytes: Vec<u8>,
    /// Descriptors whose message has not been read to its end.
    fds: VecDeque<OwnedFd>,
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<(LinkMessage, Vec<OwnedFd>)>> {
        loop {
            if let Some(said) = self.message()? {
                let names = match &said {
                    LinkMessage::Parcel { names, .. } => names.len(),
                    _ => 0,
                };
                if names > self.fds.len() {
                    return Err(io::Error::other("a descriptor is missing"));
                }
                return Ok(Some((said, self.fds.drain(..names).collect())));
            }
            if self.read().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The first message in what was read, when it is whole.
    fn message(&mut self) -> io::Result<Option<LinkMessage>> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES {
            return Err(io::Error::other("a message is too long"));
        }
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let said = serde_json::from_slice(text)?;
        self.bytes.drain(..4 + length);
        Ok(Some(said))
    }

    async fn read(&mut self) -> io::Result<usize> {
        let (stream, fds, piece) = (&self.stream, &mut self.fds, &mut self.piece);
        let read = stream.async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut pieces = [IoSliceMut::new(piece)];
            let read = rustix::net::recvmsg(&**stream, &mut pieces, &mut control, RECEIVE)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
            Ok(read.bytes)
        });
        let read = read.await?;
        for fd in &self.fds {
            // Where the kernel does not do it by itself, so that no other program inherits them.
            rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
        }
        self.bytes.extend_from_slice(self.piece.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(not(target_vendor = "apple"))]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
const RECEIVE: RecvFlags = RecvFlags::empty();

#[cfg(test)]
pub(super) mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    /// Waits until the other side has gone. Nothing of what it has said is taken.
    pub(in crate::handover) async fn until_ended(link: &Link) {
        let ended = async {
            while !link.has_ended() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap();
    }

    fn both() -> (Link, Link) {
        let (near, far) = Link::pair().unwrap();
        (near, Link::new(far).unwrap())
    }

    #[tokio::test]
    async fn messages_and_descriptors_arrive_in_their_order() {
        let (near, mut far) = both();
        // More than fit into one message.
        let listeners: Vec<TcpListener> =
            (0..150).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|it| it.local_addr().unwrap().port()).collect();
        let handles = listeners.into_iter().zip(&ports).map(|(it, port)| (port.to_string(), it.into()));
        near.give(Parcel { handles: handles.collect(), facts: json!({ "who": "we" }) });
        let long = json!("x".repeat(3 << 20));
        near.say(&LinkMessage::Yours { facts: long.clone() });
        near.say(&LinkMessage::Drained {});
        let mut given = Vec::new();
        let facts = loop {
            match far.next().await.unwrap() {
                (LinkMessage::Parcel { names, facts, last, .. }, fds) => {
                    given.extend(names.into_iter().zip(fds));
                    if last {
                        break facts;
                    }
                }
                (other, _) => panic!("{other:?}"),
            }
        };
        assert_eq!(facts, json!({ "who": "we" }));
        assert_eq!(far.next().await.unwrap().0, LinkMessage::Yours { facts: long });
        assert_eq!(far.next().await.unwrap().0, LinkMessage::Drained {});
        assert_eq!(given.len(), ports.len());
        for ((name, fd), port) in given.into_iter().zip(&ports) {
            assert_eq!(name, port.to_string());
            let flags = rustix::io::fcntl_getfd(&fd).unwrap();
            assert!(flags.contains(FdFlags::CLOEXEC), "no other program gets it");
            let listener = TcpListener::from(fd);
            TcpStream::connect(("127.0.0.1", *port)).unwrap();
            listener.accept().unwrap();
        }
    }

    #[tokio::test]
    async fn a_parcel_arrives_though_its_sender_has_died() {
        let (near, far) = Link::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        near.give(Parcel { handles: vec![("one".to_owned(), listener.into())], facts: json!(7) });
        drop(near); // at once, as the kernel does it for a process that is killed
        let mut far = Link::new(far).unwrap();
        let (said, fds) = far.next().await.unwrap();
        let (names, pid) = (vec!["one".to_owned()], std::process::id());
        assert_eq!(said, LinkMessage::Parcel { names, facts: json!(7), pid, last: true });
        assert_eq!(fds.len(), 1);
        assert!(far.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_said_now_arrives_though_its_speaker_has_died() {
        let (near, mut far) = both();
        near.say_now(&LinkMessage::Ready {});
        drop(near);
        assert_eq!(far.next().await.map(|(said, _)| said), Some(LinkMessage::Ready {}));
    }

    #[tokio::test]
    async fn an_end_is_noticed_after_all_that_was_said_before() {
        let (near, mut far) = both();
        near.say(&LinkMessage::Stopping { now: false });
        let copy = near.copy().unwrap();
        near.close().await;
        assert!(!far.has_ended(), "somebody has a copy of the other end");
        drop(copy);
        until_ended(&far).await;
        assert_eq!(far.next().await.unwrap().0, LinkMessage::Stopping { now: false });
        assert!(far.next().await.is_none());
        far.say(&LinkMessage::Ready {}); // to nobody
    }

    #[tokio::test]
    async fn what_a_later_version_says_is_passed_over() {
        let (near, far) = StdStream::pair().unwrap();
        let mut link = Link::new(far.into()).unwrap();
        for text in [
            r#"{"say":"something_new","fields":[1,2]}"#,
            r#"{"say":"failed","message":"m","more":{"x":1}}"#,
            "no message",
        ] {
            let length = u32::try_from(text.len()).unwrap();
            io::Write::write_all(&mut &near, &length.to_be_bytes()).unwrap();
            io::Write::write_all(&mut &near, text.as_bytes()).unwrap();
        }
        assert_eq!(link.next().await.unwrap().0, LinkMessage::Unknown);
        assert_eq!(
            link.next().await.unwrap().0,
            LinkMessage::Failed { message: "m".to_owned(), hint: None, fault: Fault::Itself }
        );
        assert!(link.next().await.is_none(), "what is no message at all ends the link");
    }
}
