//! Requests that Petit itself answers: its log says so at its usual level, whatever a stranger does, and the answer says what
//! was wrong.

use std::time::Duration;

use petit_engine::name::RegisteredId;
use petit_relay::{Farewell, Leave};
use petit_tests::bed::{Bed, BedClient, server_config};
use petit_tests::logs::logged;
use petit_tests::service::Service;
use petit_tests::visitor::host;
use tracing_subscriber::filter::LevelFilter;

/// A bed in the test's own thread, with a service that is called `shop` and not open to this machine, and one whose client
/// is away.
async fn bed() -> (Bed, BedClient, String) {
    let policy = "[[policy]]\nname = \"shop\"\nservices = [\"shop\"]\nfrom = [\"192.0.2.0/24\"]\n";
    let config = format!("{}{policy}", server_config("limits = { threads = 1 }"));
    let bed = Bed::with_config(&config).await;
    let service = Service::http("s").await;
    let invite = bed.invite_for("web", Some("shop")).await;
    let shop = BedClient::new(&invite, &[("web", service.address(), "http")]).await;
    let away = bed.client(&service).await;
    away.client.stop().await;
    (bed, shop, host(&away.id()))
}

fn refusals(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.contains("petit_relay::refusal_log")).collect()
}

#[tokio::test]
async fn what_petit_answers_itself_stands_in_the_log_at_its_usual_level_with_the_id_that_the_visitor_was_told()
 {
    let (memory, _logging) = logged(LevelFilter::INFO);
    let (bed, shop, away) = bed().await;
    let nobody = host(&RegisteredId::random().unwrap());
    let asked = |host: &str, fields: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    let (shop, away) = ((shop.id().to_string(), "shop.localhost"), (away.clone(), away));
    let away_id = away.0.split('.').next().unwrap();
    for (request, code, names) in [
        (asked(&nobody, ""), "unknown-service", nobody.as_str()),
        (asked("example.org", ""), "misdirected", "example.org"),
        (asked(&nobody, "X_Y: 1\r\n"), "bad-field", "127.0.0.1"),
        (asked(&nobody, "Upgrade: websocket\r\nConnection: upgrade\r\n"), "bad-request", "127.0.0.1"),
        (asked(shop.1, ""), "address-not-allowed", shop.0.as_str()),
        (asked(&away.1, ""), "client-away", away_id),
        // This one hyper refuses.
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), "bad-request", "127.0.0.1"),
    ] {
        let before = memory.text().len();
        let closing = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        let sent =
            if request.contains("Connection") || request.contains("9.9") { &request } else { &closing };
        let answer = String::from_utf8(bed.visitor().raw(sent.as_bytes()).await).unwrap();
        let id = answer.lines().find_map(|line| line.strip_prefix("petit-request: ")).expect("an ID");
        assert!(answer.contains(&format!("petit-error: {code}\r\n")), "{answer}");
        let text = memory.text()[before..].to_owned();
        let lines = refusals(&text);
        if request.contains("9.9") {
            assert!(lines.is_empty(), "the second of its kind in a minute: {text}");
            continue;
        }
        assert_eq!(lines.len(), 1, "{code}: {text}");
        let line = lines[0];
        assert!(line.contains(" INFO ") && line.contains(id) && line.contains(names), "{line}");
        assert!(line.contains(&format!("code=\"{code}\"")), "{line}");
    }
}

#[tokio::test]
async fn a_stranger_who_is_refused_without_end_fills_no_log() {
    let (memory, _logging) = logged(LevelFilter::INFO);
    let (bed, _shop, away) = bed().await;
    let before = memory.text().len();
    let mut sender = bed.visitor().connect().await;
    for number in 0..1000 {
        // Another name each time, or one that there is.
        let host = if number % 2 == 0 { format!("n{number}.localhost") } else { away.clone() };
        let asked =
            petit_tests::visitor::request(&host, "GET", "/", http_body_util::Empty::<bytes::Bytes>::new());
        sender.ready().await.unwrap();
        let answer = petit_tests::visitor::whole(sender.send_request(asked).await.unwrap()).await;
        assert!(matches!(answer.status.as_u16(), 404 | 503), "{answer:?}");
    }
    // What is over at the end of each minute is said at the end of all, too.
    bed.server
        .relay
        .leave(Farewell { leave: Leave::Stop, goodbye: Duration::ZERO, limit: Duration::ZERO })
        .await;
    let text = memory.text()[before..].to_owned();
    let lines = refusals(&text);
    // A machine that is busy may take some minutes for it.
    assert!((4..=20).contains(&lines.len()), "{} lines: {lines:?}", lines.len());
    let more = |line: &&str| {
        let count = line.split(" more=").nth(1)?.split(' ').next()?;
        Some(count.parse::<usize>().unwrap())
    };
    let (named, summed): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| more(line).is_none());
    assert_eq!(named.len() + summed.iter().filter_map(more).sum::<usize>(), 1000, "{lines:?}");
    assert!(
        summed
            .iter()
            .any(|line| line.contains("client-away") && line.contains(away.split('.').next().unwrap()))
    );
}

#[tokio::test]
async fn a_request_that_is_not_valid_is_told_what_is_wrong_with_it_and_nothing_of_it_is_repeated() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let host = host(&client.id());
    for (request, code, detail) in [
        (
            "GET / HTTP/1.1\r\nHost: @H\r\nX_Secret: hunter2\r\n\r\n",
            "bad-field",
            "The name of the field x_secret has _",
        ),
        (
            "GET / HTTP/1.1\r\nHost: @H\r\nConnection: cookie, hunter2\r\n\r\n",
            "bad-field",
            "Connection lists the field cookie",
        ),
        ("GET /hunter2\\ HTTP/1.1\r\nHost: @H\r\n\r\n", "bad-request", "percent-encoded"),
        ("GET ftp://@H/hunter2 HTTP/1.1\r\nHost: @H\r\n\r\n", "bad-request", "The scheme of the target"),
        (
            "POST / HTTP/1.0\r\nHost: @H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "bad-request",
            "Transfer-Encoding",
        ),
        (
            "GET / HTTP/1.1\r\nHost: @H\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "bad-request",
            "Sec-WebSocket-Version",
        ),
        // What hyper refuses, and a body that breaks the rules.
        ("GET / HTTP/9.9\r\nHost: hunter2\r\n\r\n", "bad-request", "cannot be read as HTTP/1.1"),
        (
            "POST /sum HTTP/1.1\r\nHost: @H\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n",
            "bad-request",
            "The body broke off",
        ),
    ] {
        let request = request.replace("@H", &host);
        let answer = String::from_utf8(bed.visitor().raw(request.as_bytes()).await).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("petit-error: {code}\r\n")), "{request:?}: {answer}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["detail"].as_str().is_some_and(|said| said.contains(detail)), "{request:?}: {body}");
        assert!(!answer.contains("hunter2"), "{answer}");
    }
}
