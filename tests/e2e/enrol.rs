//! From an invite to a device, and every way in which it must fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use petit_client::config::{Config, KeyStore};
use petit_client::enrol::{self, Existing, RegisterError, Request};
use petit_client::folder::Folder;
use petit_client::registration::Registration;
use petit_engine::agent::{self, EnrolError};
use petit_engine::invite::{InvalidInvite, Invite};
use petit_engine::net::dial::{self, DialError, DialRoute};
use petit_engine::net::tls;
use petit_engine::proto::control::{EnrolRefusal, Text};
use petit_engine::secret::{Fingerprint, InviteId, InviteSecret, PrivateKey};
use petit_server::registry::Actor;
use petit_tests::bed::{Bed, BedClient};
use petit_tests::service::Service;
use petit_tests::visitor::host;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Registers with no service of the config to share.
async fn register(folder: &Folder, config: &Config, invite: &Invite) -> Result<Registration, RegisterError> {
    let request =
        Request { invite, key_store: KeyStore::File, share: BTreeSet::new(), existing: Existing::Keep };
    enrol::register(folder, config, &request).await.map(|enrolled| enrolled.registration)
}

async fn enrol(invite: &Invite) -> Result<agent::Registered, EnrolError> {
    agent::enrol(
        invite,
        &DialRoute::default(),
        &PrivateKey::generate().unwrap(),
        "test",
        &Text::lossy("test"),
    )
    .await
}

fn refusal(result: Result<agent::Registered, EnrolError>) -> EnrolRefusal {
    match result.unwrap_err() {
        EnrolError::Refused { refusal, .. } => refusal,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_invite_leads_to_an_answered_request() {
    let bed = Bed::start().await;
    let service = Service::http("the service").await;
    let client = bed.client(&service).await;
    let answer = bed.visitor().get(&host(&client.id()), "/").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "the service"));
    assert_eq!(service.requests(), 1, "the end-to-end probe sent the service no request");
}

#[tokio::test]
async fn a_used_invite_is_of_no_use_to_another_key_and_of_full_use_to_the_same() {
    let bed = Bed::start().await;
    let invite = bed.invite().await;
    let key = PrivateKey::generate().unwrap();
    let first = agent::enrol(&invite, &DialRoute::default(), &key, "a", &Text::lossy("test")).await.unwrap();
    let again = agent::enrol(&invite, &DialRoute::default(), &key, "a", &Text::lossy("test")).await.unwrap();
    assert_eq!(first, again, "an answer that was lost is given again");
    assert_eq!(refusal(enrol(&invite).await), EnrolRefusal::Used);
    assert_eq!(bed.server.directory.counts(), (1, 1));
}

#[tokio::test]
async fn expired_unknown_and_forged_invites_are_refused() {
    let bed = Bed::start().await;
    let good = bed.invite().await;
    let unknown = Invite { id: InviteId([9; 16]), ..good.clone() };
    assert_eq!(refusal(enrol(&unknown).await), EnrolRefusal::Invalid);
    let forged = Invite { secret: InviteSecret::from_bytes([9; 32]), ..good.clone() };
    assert_eq!(refusal(enrol(&forged).await), EnrolRefusal::Invalid);

    // What counts is the server's word, not what the link says.
    let expired = bed.invite().await;
    let row = petit_server::registry::NewInvite {
        id: InviteId([1; 16]),
        secret: expired.secret.hash(),
        service: "web".parse().unwrap(),
        alias: None,
        labels: petit_server::registry::Labels::default(),
        not_after: SystemTime::now() - Duration::from_secs(3600),
    };
    bed.server.directory.store().invite(row, false, Actor::Operator).await.unwrap();
    let expired = Invite { id: InviteId([1; 16]), ..expired };
    assert_eq!(refusal(enrol(&expired).await), EnrolRefusal::Expired);

    bed.server.directory.store().withdraw(good.id, Actor::Operator).await.unwrap();
    assert_eq!(refusal(enrol(&good).await), EnrolRefusal::Withdrawn);
    assert_eq!(bed.server.directory.counts(), (0, 0));
}

#[tokio::test]
async fn a_truncated_link_is_told_before_anything_is_dialled() {
    let bed = Bed::start().await;
    let link = bed.invite().await.to_link();
    let link = link.expose_secret();
    for length in [link.len() - 1, link.len() / 2, link.len() - 40] {
        let error = Invite::parse(&SecretString::from(&link[..length])).unwrap_err();
        assert!(matches!(error, InvalidInvite::Damaged { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_server_with_another_key_never_sees_the_secret() {
    let bed = Bed::start().await;
    let invite = bed.invite().await;
    let other = Invite { pins: vec![Fingerprint([7; 32])], ..invite.clone() };
    let error = enrol(&other).await.unwrap_err();
    assert!(matches!(error, EnrolError::Dial(DialError::WrongServer { .. })), "{error}");

    // A server in the middle with a key of its own: what it reads after the handshake is nothing.
    let middle = PrivateKey::generate().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let config = tls::enrol_server(&middle).unwrap();
    let seen = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        match tokio_rustls::TlsAcceptor::from(config).accept(tcp).await {
            Ok(mut tls) => {
                let mut bytes = Vec::new();
                let _ = tls.read_to_end(&mut bytes).await;
                bytes
            }
            Err(_) => Vec::new(),
        }
    });
    let error = enrol(&Invite { server: address, ..invite.clone() }).await.unwrap_err();
    assert!(matches!(error, EnrolError::Dial(DialError::WrongServer { .. })), "{error}");
    assert!(seen.await.unwrap().is_empty(), "not a byte after the handshake");
    assert!(enrol(&invite).await.is_ok(), "the invite is as good as before");
}

#[tokio::test]
async fn the_backup_pin_is_as_good_as_the_first() {
    let bed = Bed::start().await;
    let invite = bed.invite().await;
    assert_eq!(invite.pins.len(), 2);
    let reordered = Invite { pins: invite.pins.iter().rev().copied().collect(), ..invite };
    assert!(enrol(&reordered).await.is_ok());
}

#[tokio::test]
async fn a_hundred_at_once_with_one_invite_are_one_device() {
    let bed = Bed::start().await;
    let invite = Arc::new(bed.invite().await);
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let invite = Arc::clone(&invite);
        tries.spawn(async move { enrol(&invite).await });
    }
    let results = tries.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.into_iter().all(|result| refusal(result) == EnrolRefusal::Used));
    assert_eq!(bed.server.directory.counts(), (1, 1));
}

#[tokio::test]
async fn a_client_that_was_killed_at_any_step_registers_once_in_the_end() {
    let bed = Bed::start().await;
    let invite = bed.invite().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::of(&dir.path().join("config.toml"));
    let config = Config { key_store: KeyStore::File, ..Config::default() };
    let register = || register(&folder, &config, &invite);
    let first = register().await.unwrap();
    // Killed after the server had answered and before that was written down.
    petit_client::registration::remove(&folder).unwrap();
    let pending = petit_client::registration::Pending { key: first.key, key_store: KeyStore::File };
    petit_client::registration::save_pending(&folder, &pending).unwrap();
    let second = register().await.unwrap();
    // It may have taken a second longer.
    assert!(second.since >= first.since);
    assert_eq!(Registration { since: first.since, ..second }, first);
    assert_eq!(bed.server.directory.counts(), (1, 1));
    assert!(matches!(register().await.unwrap_err(), RegisterError::Registered(_)));
}

#[tokio::test]
async fn what_is_known_of_a_release_and_cannot_be_removed_does_not_keep_a_computer_from_being_registered() {
    let bed = Bed::start().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::of(&dir.path().join("config.toml"));
    // As where a virus scanner has it open on Windows.
    std::fs::create_dir(folder.update_progress()).unwrap();
    let registered = register(&folder, &Config::default(), &bed.invite().await).await.unwrap();
    assert_eq!(petit_client::registration::load(&folder).unwrap(), Some(registered));
}

#[tokio::test]
async fn a_revoked_computer_comes_back_with_a_new_key_and_a_new_invite() {
    let bed = Bed::start().await;
    let invite = bed.invite().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::of(&dir.path().join("config.toml"));
    let config = Config::default();
    let first = register(&folder, &config, &invite).await.unwrap();
    bed.server.directory.revoke(first.device, Actor::Operator).await.unwrap();
    // The key is still there, as after an interrupted registration.
    petit_client::registration::remove(&folder).unwrap();
    let pending = petit_client::registration::Pending { key: first.key, key_store: KeyStore::File };
    petit_client::registration::save_pending(&folder, &pending).unwrap();
    let invite = bed.invite().await;
    let second = register(&folder, &config, &invite).await.unwrap();
    assert_ne!((second.device, second.key), (first.device, first.key));
}

#[tokio::test]
async fn the_config_may_insist_on_one_server() {
    let bed = Bed::start().await;
    let invite = bed.invite().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::of(&dir.path().join("config.toml"));
    let config = Config { host: Some("tunnel.example.com".into()), ..Config::default() };
    let error = register(&folder, &config, &invite).await.unwrap_err();
    assert!(matches!(error, RegisterError::OtherServer { .. }), "{error}");
    assert_eq!(bed.server.directory.counts(), (0, 0));
}

#[tokio::test]
async fn strangers_on_the_tunnel_port_get_nowhere_and_disturb_nobody() {
    let bed = Bed::start().await;
    let service = Service::http("still here").await;
    let client = bed.client(&service).await;
    let address = bed.server.tls;
    // Noise, HTTP without TLS, a connection that says nothing, and an unknown key.
    for bytes in [&[0x55; 4096][..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff"] {
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let _ = tcp.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = petit_tests::soon("the server to close", tcp.read_to_end(&mut answer)).await;
        assert!(answer.len() < 100, "{answer:?}");
    }
    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let stranger = PrivateKey::generate().unwrap();
    let config = tls::client(&stranger, bed.server.pins().to_vec(), tls::ALPN_TUNNEL).unwrap();
    let server = bed.server.tunnel_address().unwrap();
    let mut tls = dial::dial(&server, &DialRoute::default(), config, Duration::from_secs(10)).await.unwrap();
    let refused = tls.read(&mut [0; 1]).await.unwrap_err();
    let denied = DialError::from_tls(&server, refused);
    assert!(matches!(denied, DialError::Denied { .. }), "{denied}");
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), "still here");
}

#[tokio::test]
async fn a_stranger_with_an_enrolment_connection_gets_no_session_out_of_it() {
    let bed = Bed::start().await;
    let config =
        tls::client(&PrivateKey::generate().unwrap(), bed.server.pins().to_vec(), tls::ALPN_ENROL).unwrap();
    let server = bed.server.tunnel_address().unwrap();
    for bytes in [&b"\0\0\0\0\x09\xff\xff\xff"[..], &b"\0\0\0\0\x09\0\0\x02{}"[..], &[0xff; 64][..]] {
        let mut tls =
            dial::dial(&server, &DialRoute::default(), Arc::clone(&config), Duration::from_secs(10))
                .await
                .unwrap();
        tls.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = petit_tests::soon("the answer", tls.read_to_end(&mut answer)).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.ends_with(r#"{"type":"refused","cause":"protocol"}"#), "{text}");
    }
    let _client = BedClient::new(&bed.invite().await, &[]).await;
}
