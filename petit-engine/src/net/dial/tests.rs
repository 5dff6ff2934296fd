//! What is told of a server that does not answer as one.

use super::*;
use crate::limits;

/// What dialling somebody comes to who does `answer` once a greeting comes, and keeps what that returns.
async fn dialled(answer: fn(std::net::TcpStream) -> Option<std::net::TcpStream>) -> DialError {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server: ServerAddr = listener.local_addr().unwrap().to_string().parse().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        io::Read::read_exact(&mut tcp, &mut [0; 5]).unwrap();
        answer(tcp)
    });
    let key = crate::secret::PrivateKey::generate().unwrap();
    let config = tls::client(&key, vec![crate::secret::Fingerprint([1; 32])], tls::ALPN_TUNNEL).unwrap();
    let error = dial(&server, &DialRoute::default(), config, limits::DIAL).await.unwrap_err();
    drop(answering.join().unwrap());
    error
}

#[tokio::test]
async fn whoever_closes_before_an_answer_is_not_taken_for_another_program() {
    let ended = dialled(|tcp| {
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        Some(tcp)
    });
    let reset = dialled(|tcp| {
        socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        None
    });
    for closed in [ended.await, reset.await] {
        assert!(matches!(closed, DialError::Closed { .. }), "{closed:?}");
        assert_eq!(closed.cause(), Cause::Unanswered);
        assert!(closed.is_before_server_hello(), "a box that cannot bear a long greeting does this, too");
    }
}

#[tokio::test]
async fn bytes_that_are_no_tls_are_another_programs() {
    let other = dialled(|mut tcp| {
        io::Write::write_all(&mut tcp, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        Some(tcp)
    });
    let other = other.await;
    assert!(matches!(other, DialError::NotPetit { .. }), "{other:?}");
    assert_eq!(other.cause(), Cause::NotPetit);
    assert!(!other.is_before_server_hello());
}

#[test]
fn a_lack_of_descriptors_is_no_fault_of_the_network() {
    let server: ServerAddr = "tunnel.example:1".parse().unwrap();
    let address = "192.0.2.1:1".parse().unwrap();
    let code = if cfg!(unix) { 24 } else { 10_024 };
    let source = || io::Error::from_raw_os_error(code);
    let errors = [
        DialError::Tcp { server: server.clone(), address, source: source() },
        DialError::Name { server: server.clone(), source: source() },
    ];
    assert!(errors.iter().all(|error| error.cause() == Cause::NoDescriptors));
    let source = io::ErrorKind::NetworkUnreachable.into();
    assert_eq!(DialError::Tcp { server, address, source }.cause(), Cause::NetworkUnreachable);
}
