//! Who passes a handshake, and who does not.

use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::name::ServerAddr;
use crate::net::dial::DialError;

/// Knows one device.
struct Only(PublicKey);

impl KnownKeys for Only {
    fn knows(&self, key: &PublicKey) -> bool {
        *key == self.0
    }
}

fn pin(key: &PrivateKey) -> Fingerprint {
    Fingerprint::of(key.public().as_bytes())
}

/// How a handshake ends for the client, and whether the server let it in.
async fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> (Result<(), DialError>, bool) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let name = "localhost".try_into().unwrap();
    let (connected, accepted) =
        tokio::join!(TlsConnector::from(client).connect(name, near), TlsAcceptor::from(server).accept(far));
    let address: ServerAddr = "localhost:1".parse().unwrap();
    (connected.map(drop).map_err(|error| DialError::from_tls(&address, error)), accepted.is_ok())
}

#[tokio::test]
async fn a_server_is_whoever_holds_a_pinned_key_and_nobody_else() {
    let key = || PrivateKey::generate().unwrap();
    let (device, pinned, other) = (key(), key(), key());
    let devices: Arc<dyn KnownKeys> = Arc::new(Only(device.public().clone()));
    let server = |key: &PrivateKey| tunnel_server(key, Arc::clone(&devices)).unwrap();
    for begin in [client, small_client] {
        let with = |pins: &[&PrivateKey]| {
            begin(&device, pins.iter().map(|key| pin(key)).collect(), ALPN_TUNNEL).unwrap()
        };
        for pins in [&[&pinned][..], &[&other, &pinned], &[&pinned, &other]] {
            let (connected, accepted) = handshake(with(pins), server(&pinned)).await;
            assert!(connected.is_ok() && accepted, "{connected:?}");
        }
        for pins in [&[&other][..], &[]] {
            let (connected, accepted) = handshake(with(pins), server(&pinned)).await;
            assert!(matches!(connected, Err(DialError::WrongServer { .. })), "{connected:?}");
            assert!(!accepted, "and the server sees no key of the device's");
        }
    }
}

#[tokio::test]
async fn a_key_that_is_shown_must_be_held() {
    let key = || PrivateKey::generate().unwrap();
    let (device, pinned, thief) = (key(), key(), key());
    let devices: Arc<dyn KnownKeys> = Arc::new(Only(device.public().clone()));
    // Shows the key of another and signs with its own.
    let stolen = |key: &PrivateKey| {
        let spki = CertificateDer::from(key.public().as_bytes().to_vec());
        Arc::new(CertifiedKey::new(vec![spki], thief.signing()))
    };
    let client = client(&device, vec![pin(&pinned)], ALPN_TUNNEL).unwrap();
    let mut server = (*tunnel_server(&pinned, Arc::clone(&devices)).unwrap()).clone();
    server.cert_resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(stolen(&pinned)));
    let (connected, _) = handshake(Arc::clone(&client), Arc::new(server)).await;
    assert!(connected.is_err());

    let mut client = (*client).clone();
    client.client_auth_cert_resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(stolen(&device)));
    let (_, accepted) = handshake(Arc::new(client), tunnel_server(&pinned, devices).unwrap()).await;
    assert!(!accepted);
}

#[tokio::test]
async fn a_device_is_let_in_when_its_key_is_known() {
    let key = || PrivateKey::generate().unwrap();
    let (device, stranger, pinned) = (key(), key(), key());
    let devices: Arc<dyn KnownKeys> = Arc::new(Only(device.public().clone()));
    for (who, known) in [(&device, true), (&stranger, false)] {
        let client = client(who, vec![pin(&pinned)], ALPN_TUNNEL).unwrap();
        let (_, accepted) = handshake(client, tunnel_server(&pinned, Arc::clone(&devices)).unwrap()).await;
        assert_eq!(accepted, known);
    }
}
