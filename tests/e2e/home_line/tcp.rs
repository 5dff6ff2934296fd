//! Raw TCP: what was sent arrives, ends where it was ended, and never looks whole when it was cut.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use petit_tests::authority::Identity;
use petit_tests::bed::Bed;
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::pattern::{Check, Pattern};
use petit_tests::service::Service;
use petit_tests::soon;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::{Home, LONGER};

/// What a service's connection came to: how much was heard, and how it ended.
type Heard = (u64, io::Result<()>);

/// A service of raw TCP at the customer's, the ends of its connections, and its visitors' way to it.
struct Tcp {
    home: Home,
    heard: mpsc::UnboundedReceiver<Heard>,
    /// Bytes that have been heard, by all connections together.
    hearing: watch::Receiver<u64>,
    front: SocketAddr,
    _service: Service,
}

/// What a service says of its own.
#[derive(Clone, Copy)]
enum Says {
    /// So many bytes of the pattern, and then the end.
    Bytes(u64),
    /// Nothing, until its peer has ended.
    Nothing,
}

impl Tcp {
    /// A service that hears a pattern while it says something.
    async fn new(line: HomeLine, says: Says) -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        let (hearing, hears) = watch::channel(0);
        let hearing = Arc::new(hearing);
        let service = Service::speaking("tcp", move |mut tcp| {
            let (sender, hearing) = (sender.clone(), Arc::clone(&hearing));
            async move {
                let (mut read, mut write) = tcp.split();
                let saying = async {
                    if let Says::Bytes(length) = says
                        && Pattern::new(length).write_to(&mut write).await.is_ok()
                    {
                        let _ = write.shutdown().await;
                    }
                };
                let (heard, ()) = tokio::join!(hear(&mut read, &hearing), saying);
                // End-to-end probes say nothing.
                if heard.0 > 0 {
                    let _ = sender.send(heard);
                }
            }
        });
        let service = line.customer.run(service).await;
        let target = service.address().to_string();
        let this = Self::of(line, service, &target, "").await;
        Self { heard, hearing: hears, ..this }
    }

    /// With a service of the test's own.
    async fn of(line: HomeLine, service: Service, target: &str, more: &str) -> Self {
        let home = Home::of(line, Bed::start().await, target, "tcp", more).await;
        let front = home.client.url("web").await.strip_prefix("tcp://").unwrap().parse().unwrap();
        let (heard, hearing) = (mpsc::unbounded_channel().1, watch::channel(0).1);
        Self { home, heard, hearing, front, _service: service }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.front).await.unwrap()
    }

    async fn heard(&mut self) -> Heard {
        soon("the end at the service", self.heard.recv()).await.unwrap()
    }
}

/// Reads a pattern to its end.
async fn hear(read: &mut (impl AsyncRead + Unpin), hearing: &watch::Sender<u64>) -> Heard {
    let (mut check, mut buffer) = (Check::default(), vec![0; 16 * 1024]);
    loop {
        match read.read(&mut buffer).await {
            Ok(0) => return (check.count(), Ok(())),
            Ok(count) => check.take(&buffer[..count]),
            Err(error) => return (check.count(), Err(error)),
        }
        hearing.send_replace(check.count());
    }
}

/// Both ways at once, each until its end; the way that ends first does not end the other.
#[test]
fn connections_fill_a_line_both_ways_and_end_each_way_for_itself() {
    on_home_line(Path::DSL, async |line| {
        let path = line.path;
        let (up, down) = (path.downloaded_in(LONGER) / 4, path.uploaded_in(LONGER / 2) / 4);
        let mut tcp = Tcp::new(line, Says::Bytes(up)).await;
        let start = Instant::now();
        let visits = (0..4).map(|_| async {
            let mut connection = tcp.connect().await;
            let (mut read, mut write) = connection.split();
            let sending = async {
                Pattern::new(down).write_to(&mut write).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let (heard, ()) = tokio::join!(Check::default().read_from(&mut read), sending);
            assert!(matches!(heard, (count, Ok(())) if count == up), "{heard:?} of {up} bytes");
        });
        soon("the connections", join_all(visits)).await;
        assert!(start.elapsed() > LONGER * 9 / 10, "the line was full: {:?}", start.elapsed());
        for _ in 0..4 {
            let heard = tcp.heard().await;
            assert!(matches!(heard, (count, Ok(())) if count == down), "{heard:?} of {down} bytes");
        }
        tcp.home.session_was_kept();
    });
}

/// A database that is behind TLS, and busy for a while: a query of any length reaches it whole.
#[test]
fn a_service_behind_tls_that_pauses_gets_all_that_was_said() {
    on_home_line(Path::CABLE, async |line| {
        let identity = Identity::self_signed(&["localhost"]);
        let acceptor = TlsAcceptor::from(identity.server(&[]));
        let service = Service::speaking("tls", move |tcp| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let Ok(length) = tls.read_u64().await else { return };
                tokio::time::sleep(Duration::from_secs(5)).await;
                let mut query = vec![0; length as usize];
                if tls.read_exact(&mut query).await.is_ok() {
                    Check::default().take(&query);
                    let _ = tls.write_u64(length).await;
                    let _ = tls.flush().await;
                }
            }
        });
        let service = line.customer.run(service).await;
        let target = format!("localhost:{}", service.address().port());
        let pin = format!("tls_fingerprint = \"{}\"", identity.fingerprint());
        let tcp = Tcp::of(line, service, &target, &pin).await;
        // One of them ends while the service's connection is full, wherever that is.
        let lengths = (0..34).map(|number| 200_000 + 30_001 * number);
        join_all(lengths.map(|length| {
            let tcp = &tcp;
            async move {
                // It does not end its side: the service has to answer all the same.
                let mut connection = tcp.connect().await;
                connection.write_u64(length).await.unwrap();
                Pattern::new(length).write_to(&mut connection).await.unwrap();
                assert_eq!(soon("the answer", connection.read_u64()).await.unwrap(), length);
            }
        }))
        .await;
        tcp.home.session_was_kept();
    });
}

/// A file that is sent by raw TCP ends where the connection does, so a cut must not look like an end.
#[test]
fn an_upload_that_its_visitor_breaks_off_is_a_break_for_the_service() {
    on_home_line(Path::MOBILE, async |line| {
        let mut tcp = Tcp::new(line, Says::Nothing).await;
        for length in [1, 100_000, 3_000_000] {
            let mut connection = tcp.connect().await;
            tcp.hearing.mark_unchanged();
            Pattern::new(length).write_to(&mut connection).await.unwrap();
            soon("the service to hear something", tcp.hearing.changed()).await.unwrap();
            connection.set_zero_linger().unwrap();
            drop(connection);
            let (count, end) = tcp.heard().await;
            assert!(end.is_err() && count <= length, "{count} of {length} bytes, then {end:?}");
        }
        tcp.home.session_was_kept();
    });
}

#[test]
fn an_upload_whose_session_is_lost_is_a_break_for_the_service_and_for_the_visitor() {
    on_home_line(Path::MOBILE, async |line| {
        let mut tcp = Tcp::new(line, Says::Nothing).await;
        let mut connection = tcp.connect().await;
        Pattern::new(1_000_000).write_to(&mut connection).await.unwrap();
        tcp.home.modem.reset();
        let (count, end) = tcp.heard().await;
        assert!(end.is_err() && count <= 1_000_000, "{count} bytes, then {end:?}");
        assert!(soon("the end", connection.read(&mut [0; 1])).await.is_err());
    });
}

#[test]
fn a_download_that_its_service_breaks_off_is_a_break_for_the_visitor() {
    on_home_line(Path::DSL, async |line| {
        let service = Service::speaking("breaks off", |mut tcp| async move {
            if tcp.read_u8().await.is_ok() {
                Pattern::new(500_000).write_to(&mut tcp).await.unwrap();
                tcp.set_zero_linger().unwrap();
            }
        });
        let service = line.customer.run(service).await;
        let target = service.address().to_string();
        let tcp = Tcp::of(line, service, &target, "").await;
        let mut connection = tcp.connect().await;
        connection.write_u8(b'?').await.unwrap();
        let heard = soon("the end", Check::default().read_from(&mut connection)).await;
        assert!(heard.1.is_err(), "{heard:?}");
        tcp.home.session_was_kept();
    });
}

/// A service that has said all and closes, though its visitor has read little of it: all of it arrives.
#[test]
fn what_a_service_said_before_it_closed_arrives_however_slow_the_line_and_the_visitor() {
    on_home_line(Path::DSL, async |line| {
        const LENGTH: u64 = 2_000_000;
        let service = Service::speaking("closes", |mut tcp| async move {
            if tcp.read_u8().await.is_ok() {
                Pattern::new(LENGTH).write_to(&mut tcp).await.unwrap();
            }
        });
        let service = line.customer.run(service).await;
        let target = service.address().to_string();
        let tcp = Tcp::of(line, service, &target, "").await;
        let mut connection = tcp.connect().await;
        connection.write_u8(b'?').await.unwrap();
        // Longer than the line takes; everything has to wait somewhere.
        tokio::time::sleep(Duration::from_secs(8)).await;
        let heard = soon("the end", Check::default().read_from(&mut connection)).await;
        assert!(matches!(heard, (LENGTH, Ok(()))), "{heard:?}");
        tcp.home.session_was_kept();
    });
}
