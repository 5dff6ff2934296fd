//! The clients' port: noise, keys that are none, handshakes that never end, guesses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use petit_engine::agent::{self, EnrolError};
use petit_engine::invite::Invite;
use petit_engine::limits;
use petit_engine::net::dial::DialRoute;
use petit_engine::net::tls::{self, ALPN_ENROL, ALPN_TUNNEL};
use petit_engine::proto::control::{EnrolRefusal, Text};
use petit_engine::secret::{InviteSecret, PrivateKey};
use petit_tests::bed::Bed;
use petit_tests::figures::{figure, rounds};
use petit_tests::rogue::Device;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;
use rcgen::PublicKeyData as _;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The first message of a TLS 1.2 client, of the kind that scanners send.
fn old_client_hello() -> Vec<u8> {
    let body = [
        &[3, 3][..],         // TLS 1.2
        &[7; 32],            // random
        &[0],                // no session
        &[0, 2, 0xc0, 0x2f], // ECDHE-RSA-AES128-GCM-SHA256
        &[1, 0],             // no compression
        &[0, 0],             // no extensions
    ]
    .concat();
    let handshake = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
}

/// A1 and A76: what is no visitor and no client is closed soon, on every port, many at once, and is not in the way.
#[tokio::test]
async fn noise_on_every_port_is_closed_and_disturbs_nobody() {
    let bed = Bed::start().await;
    let service = Service::http("still here").await;
    let db = Service::tcp_echo("db>").await;
    let client = bed.client_with(&[("web", service.address(), "http"), ("db", db.address(), "tcp")]).await;
    client.until_green("web").await;
    client.until_green("db").await;
    let noise: Arc<Vec<Vec<u8>>> = Arc::new(vec![
        petit_engine::secret::random_bytes::<65_536>().unwrap().to_vec().repeat(16),
        old_client_hello(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nmore".to_vec(),
        // The original's own: JSON that ends with 0x03.
        b"null\x03".to_vec(),
        br#"{"type":"register","data":{"id":"x"}}"#.iter().copied().chain([3]).collect(),
        b"\x16\x03\x01\x00\x00".to_vec(),
        b"\x80\x2e\x01\x00\x02".to_vec(), // SSL 2
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff".to_vec(),
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(),
    ]);
    let each = rounds(10, 100);
    let start = Instant::now();
    let mut strangers = tokio::task::JoinSet::new();
    for number in 0..each * noise.len() {
        for port in [bed.server.tls, bed.http()] {
            let noise = Arc::clone(&noise);
            strangers.spawn(async move {
                let mut tcp = TcpStream::connect(port).await.unwrap();
                let _ = tcp.write_all(&noise[number % noise.len()]).await;
                let _ = tcp.shutdown().await;
                let mut answer = Vec::new();
                let _ = soon("the end of noise", tcp.read_to_end(&mut answer)).await;
            });
        }
    }
    let mut served = 0;
    while !strangers.is_empty() {
        assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), "still here");
        served += 1;
        while strangers.try_join_next().is_some() {}
    }
    figure(format!(
        "noise: {} connections closed within {} ms, {served} requests served meanwhile",
        2 * each * noise.len(),
        start.elapsed().as_millis()
    ));
    client.until_online().await;
}

/// Whatever is shown as a client's key, with whatever signs for it.
#[derive(Debug)]
struct Shows(Option<Arc<CertifiedKey>>, bool);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn only_raw_public_keys(&self) -> bool {
        self.1
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

/// Trusts any server: it is the server that is tried here.
#[derive(Debug)]
struct AnyServer;

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Connects with a key and says what became of it: the first bytes that the server says, or its error.
async fn shows(
    server: SocketAddr,
    key: Option<Arc<CertifiedKey>>,
    raw: bool,
    alpn: &[u8],
) -> Result<usize, String> {
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer))
        .with_client_cert_resolver(Arc::new(Shows(key, raw)));
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(server).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|e| e.to_string())?;
    soon("an answer", tls.read(&mut [0; 64])).await.map_err(|error| error.to_string())
}

fn certified(shown: Vec<u8>, key: &rcgen::KeyPair) -> Arc<CertifiedKey> {
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let signing = tls::provider().key_provider.load_private_key(der).unwrap();
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(shown)], signing))
}

/// A8: no key, keys of other kinds, keys that are none; nothing comes of them in either protocol.
#[tokio::test]
async fn keys_that_are_not_ours_to_take_end_in_an_alert_and_leave_no_trace() {
    let bed = Bed::start().await;
    let server = bed.server.tls;
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let spki = ed25519.subject_public_key_info();
    let certificate =
        rcgen::CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&ed25519).unwrap();
    let mut other = spki.clone();
    *other.last_mut().unwrap() ^= 1;
    let cases = [
        ("no key", None, true),
        ("a certificate", Some(certified(certificate.der().to_vec(), &ed25519)), false),
        ("RSA", Some(certified(rsa.subject_public_key_info(), &rsa)), true),
        ("P-384", Some(certified(p384.subject_public_key_info(), &p384)), true),
        ("a key without its last byte", Some(certified(spki[..spki.len() - 1].to_vec(), &ed25519)), true),
        ("16 KiB of zeros", Some(certified(vec![0; 16 * 1024], &ed25519)), true),
        ("nothing where a key should be", Some(certified(Vec::new(), &ed25519)), true),
        ("somebody else's key", Some(certified(other, &ed25519)), true),
    ];
    for (what, key, raw) in cases {
        for alpn in [ALPN_TUNNEL, ALPN_ENROL] {
            let outcome = shows(server, key.clone(), raw, alpn).await;
            assert!(outcome.is_err(), "{what}: {outcome:?}");
        }
    }
    assert_eq!(bed.server.directory.counts(), (0, 0));
    // One of ours is denied as a session and heard as an enrolment.
    let own = certified(spki, &ed25519);
    assert!(
        shows(server, Some(Arc::clone(&own)), true, ALPN_TUNNEL).await.unwrap_err().contains("AccessDenied")
    );
    let heard =
        tokio::time::timeout(Duration::from_millis(300), shows(server, Some(own), true, ALPN_ENROL)).await;
    assert!(heard.is_err(), "it waits for the request");
}

/// A6: nothing of a connection lives on in the next one.
#[tokio::test]
async fn there_is_no_resumption_so_a_revoked_key_has_nothing_to_come_back_with() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    let config = tls::client(&device.key, bed.server.pins().to_vec(), ALPN_TUNNEL).unwrap();
    for _ in 0..3 {
        let tcp = TcpStream::connect(bed.server.tls).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await.unwrap();
        let kind = tls.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Full));
        assert_eq!(tls.get_ref().1.tls13_tickets_received(), 0);
    }
}

/// A31: connections that never finish their handshake, more than may be under way, do not keep a client out.
#[tokio::test]
async fn handshakes_that_never_end_are_cut_and_keep_no_client_out() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    let hello = client_hello(&bed, &device);
    let count = rounds(600, 6000);
    let mut held = tokio::task::JoinSet::new();
    for number in 0..count {
        let (server, hello) = (bed.server.tls, hello.clone());
        held.spawn(async move {
            let mut tcp = TcpStream::connect(server).await.unwrap();
            // A third says nothing, a third a part, a third all of it and then nothing.
            let sent = [0, hello.len() - 1, hello.len()][number % 3];
            let _ = tcp.write_all(&hello[..sent]).await;
            let start = Instant::now();
            let mut answer = Vec::new();
            let _ = soon("the server to close", tcp.read_to_end(&mut answer)).await;
            start.elapsed()
        });
    }
    let start = Instant::now();
    let _session = device.session().await;
    figure(format!(
        "handshakes: a client got in within {} ms beside {count} that never finish",
        start.elapsed().as_millis()
    ));
    let mut longest = Duration::ZERO;
    while let Some(took) = held.join_next().await {
        longest = longest.max(took.unwrap());
    }
    figure(format!("handshakes: the last that never finished was cut after {:.1} s", longest.as_secs_f64()));
}

/// The whole first message of a client's handshake.
fn client_hello(bed: &Bed, device: &Device) -> Vec<u8> {
    let config = tls::client(&device.key, bed.server.pins().to_vec(), ALPN_TUNNEL).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut connection = rustls::ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// Sends the rest a byte at a time, a few in a second, until the server ends the connection; says how long that took since
/// `start`.
async fn cut_while_it_trickles(mut tcp: TcpStream, rest: &[u8], start: Instant) -> Duration {
    let (mut from, mut to) = tcp.split();
    let mut answer = tokio::io::sink();
    let trickle = async {
        for byte in rest {
            // How slow the peer is: what is tested, and no wait for anything.
            tokio::time::sleep(Duration::from_millis(200)).await;
            if to.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = soon("the server to close", tokio::io::copy(&mut from, &mut answer)) => start.elapsed(),
        () = trickle => unreachable!("it never ends"),
    }
}

/// A handshake has a time for its first message and as much again for the rest, and no more because something moves.
#[tokio::test]
async fn a_handshake_that_goes_on_slowly_has_its_time_and_no_more() {
    let bed = Bed::start().await;
    let hello = client_hello(&bed, &Device::of(&bed).await);
    let last = hello.len() - 1;
    let begun = async |said: &[u8]| {
        let mut tcp = TcpStream::connect(bed.server.tls).await.unwrap();
        tcp.write_all(said).await.unwrap();
        (tcp, Instant::now())
    };
    let its_first_message = async {
        let (tcp, start) = begun(&hello[..1]).await;
        cut_while_it_trickles(tcp, &hello[1..], start).await
    };
    let the_rest = async {
        let (mut tcp, start) = begun(&hello[..last]).await;
        // The peer is slow, and just in time.
        tokio::time::sleep(limits::HANDSHAKE * 4 / 5).await;
        tcp.write_all(&hello[last..]).await.unwrap();
        // The head of a record that would take an hour, and some of it.
        let record = [&[0x17, 3, 3, 0x40, 0][..], &[0; 200]].concat();
        cut_while_it_trickles(tcp, &record, start).await
    };
    let (first, rest) = tokio::join!(its_first_message, the_rest);
    figure(format!("slow handshakes were cut after {first:?} and {rest:?}"));
    for (took, time) in [(first, limits::HANDSHAKE), (rest, limits::HANDSHAKE * 9 / 5)] {
        assert!((time.mul_f64(0.95)..time + limits::REFUSED).contains(&took), "{took:?} of {time:?}");
    }
}

/// A9: who guesses invites has to wait, and every wrong answer looks the same (A4).
#[tokio::test]
async fn guessing_invites_is_slow_and_teaches_nothing() {
    let bed = Bed::start().await;
    let invite = bed.invite().await;
    let refusal = |invite: Invite| async move {
        let key = PrivateKey::generate().unwrap();
        let result = agent::enrol(&invite, &DialRoute::default(), &key, "guess", &Text::lossy("guess")).await;
        match result {
            Err(EnrolError::Refused { refusal, .. }) => refusal,
            other => panic!("{other:?}"),
        }
    };
    let mut guesses = Vec::new();
    for number in 0..8 {
        let mut guess = invite.clone();
        if number % 2 == 0 {
            guess.secret = InviteSecret::random().unwrap(); // its ID, another secret
        } else {
            guess.id.0 = petit_engine::secret::random_bytes().unwrap();
        }
        guesses.push(refusal(guess).await);
    }
    assert_eq!(guesses[..5], [EnrolRefusal::Invalid; 5]);
    assert_eq!(guesses[5..], [EnrolRefusal::Busy; 3], "and now it has to wait");
    assert_eq!(refusal(invite).await, EnrolRefusal::Busy, "whatever it guesses");
}
