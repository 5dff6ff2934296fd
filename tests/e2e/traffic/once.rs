//! A request is sent a second time only when the first one provably never reached the service.

use std::sync::{Arc, Mutex};

use petit_tests::bed::Bed;
use petit_tests::conformance::carried;
use petit_tests::row;
use petit_tests::scripted;
use petit_tests::service::Service;
use petit_tests::visitor::host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a service was asked for, in order.
type Seen = Arc<Mutex<Vec<String>>>;

/// How a service ends a connection on which it has read a request that it does not answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Closed,
    Reset,
}

/// A service that answers whatever is asked for, but for `/last`: it has read that, and ends the connection.
async fn mute_at_last(ends: Ends) -> (Service, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let service = Service::speaking("mute", move |mut tcp| {
        let seen = Arc::clone(&noted);
        async move {
            while let Some(head) = scripted::head(&mut tcp).await {
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let is_last = target.starts_with("/last");
                seen.lock().unwrap().push(target);
                if is_last {
                    if ends == Ends::Reset {
                        tcp.set_zero_linger().unwrap();
                    }
                    return;
                }
                tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.unwrap();
            }
        }
    })
    .await;
    (service, seen)
}

#[tokio::test]
async fn a_request_that_reached_its_service_is_not_sent_again() {
    let row = row!(Broken, "A service that reads a request and ends the connection: 502, and asked once");
    let bed = Bed::start().await;
    for ends in [Ends::Closed, Ends::Reset] {
        let (service, seen) = mute_at_last(ends).await;
        let client = bed.client_of(service.address(), "http", "").await;
        let (visitor, host) = (bed.visitor(), host(&client.id()));
        let mut asked = Vec::new();
        for round in 0..20 {
            // On a connection that was kept, and on one of its own.
            if round % 2 == 0 {
                assert_eq!(visitor.get(&host, "/first").await.text(), "done");
                asked.push("/first".to_owned());
            }
            let target = format!("/last/{round}");
            let answer = visitor.get(&host, &target).await;
            assert_eq!(
                (answer.status.as_u16(), answer.petit_error().as_deref()),
                (502, Some("service-broke")),
                "{ends:?}"
            );
            assert_eq!(answer.json()["retry"], false, "{ends:?}");
            asked.push(target);
        }
        assert_eq!(*seen.lock().unwrap(), asked, "{ends:?}");
    }
    row.carried();
}

/// What an HTTP/2 service says of a request beyond the first one of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goaway {
    /// It has not looked at it.
    Before,
    /// It may have.
    Behind,
}

/// Frame types (RFC 9113 §6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

async fn h2_frame(tcp: &mut TcpStream, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    let _ = tcp.write_all(&frame).await;
}

/// The next HEADERS frame's stream.
async fn next_request(tcp: &mut TcpStream) -> Option<u32> {
    loop {
        let mut header = [0; 9];
        tcp.read_exact(&mut header).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        tcp.read_exact(&mut payload).await.ok()?;
        match kind {
            HEADERS => return Some(u32::from_be_bytes(stream)),
            SETTINGS if flags == 0 => h2_frame(tcp, SETTINGS, 1, 0, &[]).await,
            _ => {}
        }
    }
}

/// A service of HTTP/2 that answers the first request of each connection, with 204, and says GOAWAY to the second.
async fn one_each(goaway: Goaway, reason: u32) -> (Service, Arc<Mutex<Vec<u32>>>) {
    let seen = Arc::<Mutex<Vec<u32>>>::default();
    let noted = Arc::clone(&seen);
    let service = Service::speaking("h2", move |mut tcp| {
        let seen = Arc::clone(&noted);
        async move {
            if tcp.read_exact(&mut [0; 24]).await.is_err() {
                return;
            }
            h2_frame(&mut tcp, SETTINGS, 0, 0, &[]).await;
            let mut first = None;
            while let Some(stream) = next_request(&mut tcp).await {
                seen.lock().unwrap().push(stream);
                match first {
                    None => {
                        first = Some(stream);
                        // END_HEADERS and END_STREAM; `:status: 204` is entry 9 of the static table (RFC 7541).
                        h2_frame(&mut tcp, HEADERS, 5, stream, &[0x80 | 9]).await;
                    }
                    Some(first) => {
                        let last = if goaway == Goaway::Before { first } else { stream };
                        h2_frame(
                            &mut tcp,
                            GOAWAY,
                            0,
                            0,
                            &[last.to_be_bytes(), reason.to_be_bytes()].concat(),
                        )
                        .await;
                        if goaway == Goaway::Behind {
                            return;
                        }
                    }
                }
            }
        }
    })
    .await;
    (service, seen)
}

#[tokio::test]
async fn a_request_that_a_service_says_it_has_not_looked_at_is_asked_again() {
    let rows = [
        row!(Broken, "HTTP/2 service that says GOAWAY with a last stream before the request: asked again"),
        row!(Broken, "HTTP/2 service that says GOAWAY with the request as its last stream, and closes: 502"),
    ];
    let bed = Bed::start().await;
    // NO_ERROR, INTERNAL_ERROR.
    for reason in [0, 2] {
        let (service, seen) = one_each(Goaway::Before, reason).await;
        let client = bed.client_of(service.address(), "h2", "").await;
        for _ in 0..10 {
            assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.status.as_u16(), 204);
        }
        // Each but the first was seen twice: as the second of one connection, and as the first of the next.
        assert_eq!(seen.lock().unwrap().len(), 19);

        let (service, seen) = one_each(Goaway::Behind, reason).await;
        let client = bed.client_of(service.address(), "h2", "").await;
        for round in 0..10 {
            let status = bed.visitor().get(&host(&client.id()), "/").await.status.as_u16();
            assert_eq!(status, if round % 2 == 0 { 204 } else { 502 });
        }
        assert_eq!(seen.lock().unwrap().len(), 10);
    }
    carried(rows);
}
