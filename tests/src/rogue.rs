//! Peers of the tunnel that need not keep its rules: a device that speaks frames by hand.

use std::net::{IpAddr, SocketAddr};

use petit_engine::agent::{self, Registered};
use petit_engine::invite::Invite;
use petit_engine::limits;
use petit_engine::net::dial::DialRoute;
use petit_engine::net::tls;
use petit_engine::proto::control::{
    FromAgent, FromRelay, Hello, Message, Offer, Options, ServiceKind, Text, Vitae,
};
use petit_engine::proto::frame::{FrameKind, HEADER_BYTES, Header, Open, decode_window};
use petit_engine::secret::PrivateKey;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bed::Bed;
use crate::soon;

/// A device with a key of its own, registered for one service called `web`.
pub struct Device {
    /// Its key.
    pub key: PrivateKey,
    /// What the enrolment said.
    pub registered: Registered,
    invite: Invite,
}

/// One connection of a device.
pub struct Rogue {
    tls: TlsStream<TcpStream>,
}

impl Device {
    /// Registers one.
    pub async fn of(bed: &Bed) -> Self {
        Self::with(bed.invite().await).await
    }

    /// Registers one by an invite.
    pub async fn with(invite: Invite) -> Self {
        let key = PrivateKey::generate().unwrap();
        let registered =
            agent::enrol(&invite, &DialRoute::default(), &key, "rogue", &Text::lossy("rogue")).await.unwrap();
        Self { key, registered, invite }
    }

    /// Goes to another server from now on.
    pub fn go_to(&mut self, server: SocketAddr) {
        self.invite.server = server.to_string().parse().unwrap();
    }

    /// A connection on which nothing has been said.
    pub async fn connect(&self) -> Rogue {
        self.connect_from(IpAddr::from([127, 0, 0, 1])).await
    }

    /// The same, from another of this machine's addresses.
    pub async fn connect_from(&self, from: IpAddr) -> Rogue {
        let config = tls::client(&self.key, self.invite.pins.clone(), tls::ALPN_TUNNEL).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let server: SocketAddr = self.invite.server.to_string().parse().unwrap();
        let tcp = socket.connect(server).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::from(server.ip());
        Rogue { tls: TlsConnector::from(config).connect(name, tcp).await.unwrap() }
    }

    /// A session that offers `web`.
    pub async fn session(&self) -> Rogue {
        let mut rogue = self.connect().await;
        rogue.hello(vec![offer(1, "web", ServiceKind::Http)]).await;
        rogue
    }
}

/// An offer of a service.
pub fn offer(number: u16, name: &str, kind: ServiceKind) -> Offer {
    Offer {
        service: number,
        name: name.parse().unwrap(),
        kind,
        health: petit_engine::cause::Health::Up,
        options: Options::default(),
    }
}

/// A hello of a process of its own.
pub fn hello(instance: &str, services: Vec<Offer>) -> Hello {
    Hello {
        protocol: 1,
        features: vec![],
        software: Text::lossy("rogue"),
        device_name: Text::lossy("rogue"),
        instance: Text::lossy(instance),
        takeover: true,
        only: true,
        max_streams: 4096,
        window: 65_536,
        vitae: Vitae::new(),
        services,
    }
}

impl Rogue {
    /// Says hello and waits for the welcome.
    pub async fn hello(&mut self, services: Vec<Offer>) {
        self.say(&FromAgent::Hello(hello("rogue", services))).await;
        let welcome = self.control().await;
        assert!(matches!(welcome, Some(FromRelay::Welcome(_))), "{welcome:?}");
    }

    /// Sends a message.
    pub async fn say(&mut self, message: &FromAgent) {
        self.send(0, FrameKind::Control, &message.encode().unwrap()).await;
    }

    /// Sends a frame; what the other side no longer takes is lost.
    pub async fn send(&mut self, stream: u32, kind: FrameKind, payload: &[u8]) {
        let mut bytes = Header { stream, kind, length: payload.len() }.encode().to_vec();
        bytes.extend_from_slice(payload);
        self.raw(&bytes).await;
    }

    /// Sends bytes; what the other side no longer takes is lost.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.tls.write_all(bytes).await;
        let _ = self.tls.flush().await;
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        read_frame(&mut self.tls).await
    }

    /// The connection itself.
    pub fn io(&mut self) -> &mut (impl AsyncRead + AsyncWrite + Unpin + use<>) {
        &mut self.tls
    }

    /// The next frame of one kind; PINGs on the way are answered. `None` at the end.
    pub async fn next_of(&mut self, kind: FrameKind) -> Option<(Header, Vec<u8>)> {
        loop {
            let (header, payload) = self.next().await?;
            if header.kind == kind {
                return Some((header, payload));
            }
            if header.kind == FrameKind::Ping {
                self.send(0, FrameKind::Pong, &payload).await;
            }
        }
    }

    /// The next message.
    pub async fn control(&mut self) -> Option<FromRelay> {
        let (_, payload) = self.next_of(FrameKind::Control).await?;
        Some(FromRelay::decode(&payload).unwrap())
    }

    /// The next stream that is opened, of a visitor.
    pub async fn visited(&mut self) -> (u32, Open) {
        let (header, payload) = self.next_of(FrameKind::Open).await.expect("a stream");
        (header.stream, Open::decode(&payload).unwrap())
    }

    /// Waits until the other side has closed.
    pub async fn until_closed(mut self) {
        while self.next().await.is_some() {}
    }
}

/// Sends on a stream all that it may, until so many bytes have gone: the most that it was ever allowed to send at once.
/// The other side must take the path for a long one: its first PING is to be answered late, and no other here.
///
/// `credit` is what the stream began with, `read` counts what its reader has taken.
pub async fn widest_window<IO>(
    io: &mut IO,
    stream: u32,
    credit: u32,
    read: &mut watch::Receiver<u64>,
    bytes: u64,
) -> u64
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    /// Looked at after so many bytes: a PING each time, and there may not be many.
    const STEP: u64 = 32 * 1024 * 1024;
    let (mut credit, mut widest, mut sent, mut looked) = (u64::from(credit), 0, 0, 0);
    let data = vec![0; limits::MAX_DATA_BYTES];
    while sent < bytes {
        widest = widest.max(credit);
        while credit > 0 {
            let piece = &data[..credit.min(data.len() as u64) as usize];
            write_frame(io, stream, FrameKind::Data, piece).await;
            credit -= piece.len() as u64;
            sent += piece.len() as u64;
        }
        // When all was read and the PONG is there, so is every grant.
        let look = sent - looked >= STEP;
        if look {
            looked = sent;
            soon("the reader", read.wait_for(|read| *read >= sent)).await.unwrap();
            write_frame(io, 0, FrameKind::Ping, &sent.to_be_bytes()).await;
        }
        loop {
            let (header, payload) = read_frame(io).await.expect("a session");
            match header.kind {
                FrameKind::Window => credit += u64::from(decode_window(&payload).unwrap()),
                FrameKind::Pong => break,
                _ => {}
            }
            if !look && credit > 0 {
                break;
            }
        }
    }
    widest
}

async fn write_frame<IO: AsyncWrite + Unpin>(io: &mut IO, stream: u32, kind: FrameKind, payload: &[u8]) {
    io.write_all(&Header { stream, kind, length: payload.len() }.encode()).await.unwrap();
    io.write_all(payload).await.unwrap();
    io.flush().await.unwrap();
}

/// The next frame; `None` at the end.
async fn read_frame<IO: AsyncRead + Unpin>(io: &mut IO) -> Option<(Header, Vec<u8>)> {
    let mut header = [0; HEADER_BYTES];
    soon("a frame", io.read_exact(&mut header)).await.ok()?;
    let header = Header::decode(header).unwrap();
    let mut payload = vec![0; header.length];
    soon("the rest of a frame", io.read_exact(&mut payload)).await.ok()?;
    Some((header, payload))
}
