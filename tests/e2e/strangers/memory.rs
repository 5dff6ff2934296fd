//! A server that is short of memory sheds load, and takes it again once there is some: also what a peak has left
//! with the allocator.

use bytes::Bytes;
use http_body_util::Empty;
use petit_relay::Pressure;
use petit_tests::bed::{Bed, client_config, server_config};
use petit_tests::figures::figure;
use petit_tests::logs::until_logged;
use petit_tests::process::{Program, resident_bytes};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Visitor, host, request, whole};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::h2::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, field, frame};

/// What the server may use, in MB: some times what it needs by itself.
const MEMORY: u64 = 120;
/// Connections of a visitor that takes nothing of its answers, with a hundred requests each.
const CONNECTIONS: usize = 40;

/// Asks a hundred times for a large answer and gives no window for it (RFC 9113 §6.9.2), so that the server holds the
/// beginning of each. `None` when it is shed.
async fn holds_a_hundred(visitor: &Visitor, host: &str) -> Option<TcpStream> {
    let mut tcp = TcpStream::connect(visitor.front()).await.ok()?;
    let mut asked = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_INITIAL_WINDOW_SIZE: 0.
    asked.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    // :method GET, :scheme http, :path / of the static table.
    let head = [&[0x82, 0x86, 0x84][..], &field(":authority", host)].concat();
    for stream in 0..100 {
        asked.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * stream + 1, &head));
    }
    tcp.write_all(&asked).await.ok()?;
    tcp.read_u8().await.ok()?;
    Some(tcp)
}

async fn is_served(visitor: &Visitor, host: &str) -> bool {
    let head = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let Ok(mut tcp) = TcpStream::connect(visitor.front()).await else { return false };
    let mut answer = Vec::new();
    let _ = tcp.write_all(head.as_bytes()).await;
    let _ = tcp.read_to_end(&mut answer).await;
    answer.starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn a_peak_of_memory_sheds_visitors_for_as_long_as_it_lasts_and_no_longer() {
    let service = Service::speaking("large", |mut tcp| async move {
        let mut asked = [0; 4];
        let _ = tcp.read_exact(&mut asked).await;
        let length = if asked == *b"HEAD" { 0 } else { 1 << 20 };
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1048576\r\n\r\n";
        let _ = tcp.write_all(head.as_bytes()).await;
        let _ = tcp.write_all(&vec![b'.'; length]).await;
        let _ = tcp.shutdown().await;
        let _ = tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await;
    })
    .await;
    let limits =
        format!("[server.limits]\nmemory = \"{MEMORY}MB\"\nrequests = 16000\nrequests_per_service = 8000");
    let server = Program::server_with(&server_config(&limits)).await;
    let serving = server.up().await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    let host = format!("{}.localhost", client.until_green().await["services"][0]["id"].as_str().unwrap());
    let visitor = server.visitor().await;
    assert!(is_served(&visitor, &host).await, "with memory enough");

    let mut holding = Vec::new();
    for _ in 0..CONNECTIONS {
        holding.extend(holds_a_hundred(&visitor, &host).await);
    }
    let log = server.dir().join("logs/server.log");
    until_logged(&log, "now=NoNew").await;
    assert!(!is_served(&visitor, &host).await, "load is shed");
    let peak = resident_bytes(serving.id());
    assert!(peak > MEMORY * 1_000_000 * 85 / 100, "shut for another reason, with {} KiB", peak / 1024);

    drop(holding);
    until_logged(&log, "now=None").await;
    assert!(is_served(&visitor, &host).await, "it is open, with nothing under way");
}

#[tokio::test]
async fn without_memory_for_more_whoever_holds_much_is_refused_and_others_get_its_places() {
    const HELD: usize = 20;
    let (heavy, light) = ("198.51.100.1", "198.51.100.2");
    // A proxy of the operator's says who the visitors are, on connections that it keeps.
    let bed = Bed::with("trusted_proxies = [\"127.0.0.1\"]").await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    let ask = |target: &str, from: &str| {
        let mut asked = request(&host, "GET", target, Empty::<Bytes>::new());
        asked.headers_mut().insert("x-forwarded-for", from.parse().unwrap());
        asked
    };
    let mut holding = JoinSet::new();
    for _ in 0..HELD {
        let (asked, visitor) = (ask("/wait", heavy), bed.visitor());
        holding.spawn(async move { visitor.send(asked).await });
    }
    service.until_waiting(HELD).await;
    let mut kept = bed.visitor().connect().await;
    // It is one that there is once it has been answered on.
    let answer = whole(soon("an answer", kept.send_request(ask("/", light))).await.unwrap()).await;
    assert_eq!(answer.status, 200, "with memory enough");
    bed.server.relay.set_pressure(Pressure::NoNewRequests);
    for (from, status, code) in [(light, 200, None), (heavy, 503, Some("busy"))] {
        let answer = whole(soon("an answer", kept.send_request(ask("/", from))).await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.petit_error().as_deref()), (status, code), "{from}");
    }
    let gave_way = soon("one to give way", holding.join_next()).await.unwrap().unwrap();
    assert_eq!(gave_way.petit_error().as_deref(), Some("gave-way"));
    bed.server.relay.set_pressure(Pressure::None);
    let answer = whole(soon("an answer", kept.send_request(ask("/", heavy))).await.unwrap()).await;
    assert_eq!(answer.status, 200, "there is memory again");
    service.let_go();
    while let Some(answer) = soon("those that waited", holding.join_next()).await {
        assert_eq!(answer.unwrap().text(), "done");
    }
}

/// What a connection costs on which nothing has been said: a stranger can hold some thousands of them.
#[tokio::test]
async fn a_connection_that_has_said_nothing_takes_little_memory() {
    const SILENT: usize = 1000;
    let server = Program::server_with(&server_config("[server.limits]\nconnections = 16000")).await;
    let serving = server.up().await;
    let tls = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    // Of the process, in a build without optimisation; the kernel has more of its own. Measured: 1.2 and 8.8 KB.
    for (front, most_bytes) in [(server.visitor().await.front(), 3 * 1024), (tls, 12 * 1024)] {
        let until_open = async |count: usize| {
            let mut open = 0;
            soon("connections to be open", async {
                while open < count {
                    open = server.status().await["now"]["connections"].as_u64().unwrap() as usize;
                }
            })
            .await;
        };
        let mut held = Vec::new();
        // Tables have grown before it is measured.
        for _ in 0..SILENT / 2 {
            held.push(TcpStream::connect(front).await.unwrap());
        }
        until_open(held.len()).await;
        let before = resident_bytes(serving.id());
        for _ in 0..SILENT {
            held.push(TcpStream::connect(front).await.unwrap());
        }
        until_open(held.len()).await;
        let each = resident_bytes(serving.id()).saturating_sub(before) / SILENT as u64;
        figure(format!("a silent connection to {front} takes {each} bytes"));
        assert!(each < most_bytes, "{each} bytes each to {front}");
    }
}
