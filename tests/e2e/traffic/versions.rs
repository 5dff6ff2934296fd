//! Visitors of one version of HTTP at services of another.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use petit_tests::authority::Authority;
use petit_tests::bed::{Bed, HTTPS_DOMAIN};
use petit_tests::conformance::carried;
use petit_tests::pattern::Pattern;
use petit_tests::scripted::{self, Manner, text};
use petit_tests::service::Service;
use petit_tests::visitor::{h2_on, h2_request, host, request, sum, tls, whole};
use petit_tests::{row, soon};

#[tokio::test]
async fn versions_need_not_be_the_same_on_both_sides() {
    let rows = [
        row!(Versions, "HTTP/1.1 visitor, HTTP/1.1 service"),
        row!(Versions, "HTTP/1.1 visitor, HTTP/2 service"),
        row!(Versions, "HTTP/2 visitor, HTTP/1.1 service"),
        row!(Versions, "HTTP/2 visitor, HTTP/2 service"),
    ];
    const LENGTH: u64 = 3_000_000;
    let bed = Bed::start().await;
    for (service, kind, version) in
        [(Service::http("h1").await, "http", "HTTP/1.1"), (Service::h2("h2").await, "h2", "HTTP/2.0")]
    {
        let client = bed.client_of(service.address(), kind, "").await;
        let host = host(&client.id());
        let visitor = bed.visitor();
        for h2 in [false, true] {
            let (seen, down, up) = if h2 {
                let mut sender = visitor.connect_h2().await;
                let seen =
                    sender.send_request(h2_request(&host, "GET", "/request?a=%2F", Full::<Bytes>::default()));
                let seen = whole(seen.await.unwrap()).await;
                let mut sender = visitor.connect_h2().await;
                let asked = h2_request(&host, "GET", &format!("/bytes/{LENGTH}"), Empty::<Bytes>::new());
                let down = sender.send_request(asked).await.unwrap();
                let mut sender = visitor.connect_h2().await;
                let up = sender.send_request(h2_request(&host, "POST", "/sum", Pattern::new(LENGTH)));
                (seen, down, whole(up.await.unwrap()).await)
            } else {
                let down = request(&host, "GET", &format!("/bytes/{LENGTH}"), Empty::<Bytes>::new());
                (
                    visitor.get(&host, "/request?a=%2F").await,
                    visitor.open(down).await,
                    visitor.send(request(&host, "POST", "/sum", Pattern::new(LENGTH))).await,
                )
            };
            let seen = seen.json();
            assert_eq!(seen["version"], version, "kind {kind}, h2 visitor: {h2}");
            assert!(seen["target"].as_str().unwrap().ends_with("/request?a=%2F"), "{seen}");
            assert_eq!(
                soon("the download", sum(down.into_body())).await.unwrap(),
                (LENGTH, Pattern::sum(LENGTH))
            );
            assert_eq!(up.text(), format!("{LENGTH} {}", Pattern::sum(LENGTH)));
        }
    }
    carried(rows);
}

#[tokio::test]
async fn cookies_are_joined_where_they_must_be() {
    let row =
        row!(Versions, "Cookie crumbs of HTTP/2 are one field in HTTP/1.1; several Set-Cookie stay several");
    let service = scripted::service(Manner::h1(), |request| async move {
        let cookies: Vec<_> = request.headers().get_all("cookie").iter().cloned().collect();
        let mut answer = hyper::Response::new(text(format!("{cookies:?}")));
        for cookie in ["a=1; Path=/", "b=2; Domain=localhost", "c=3; HttpOnly"] {
            answer.headers_mut().append("set-cookie", cookie.parse().unwrap());
        }
        answer
    })
    .await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let mut asked = h2_request(&host(&client.id()), "GET", "/", Empty::<Bytes>::new());
    for crumb in ["a=1", "b=2", "c=3"] {
        asked.headers_mut().append("cookie", crumb.parse().unwrap());
    }
    let mut sender = bed.visitor().connect_h2().await;
    let answer = whole(sender.send_request(asked).await.unwrap()).await;
    assert_eq!(answer.text(), r#"["a=1; b=2; c=3"]"#);
    let set: Vec<&str> =
        answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    // The domain of all customers is not for one of them to set cookies for.
    assert_eq!(set, ["a=1; Path=/", "b=2", "c=3; HttpOnly"]);
    row.carried();
}

#[tokio::test]
async fn a_connection_of_http2_carries_many_at_once_and_they_overtake_each_other() {
    let row = row!(
        Versions,
        "HTTP/2 visitor over TLS: 100 requests at once on one connection, a quick one overtakes slow ones"
    );
    let authority = Authority::new();
    let bed = Bed::https(&authority).await;
    let service = Service::http("quick").await;
    let client = bed.client_of(service.address(), "http", "").await;
    let host = format!("{}.{HTTPS_DOMAIN}", client.id());
    let io = tls(bed.server.tls, &authority.roots(), &host, &["h2"]).await.unwrap();
    let sender = h2_on(io).await;
    let ask = |path: &'static str| {
        let mut sender = sender.clone();
        let asked = h2_request(&host, "GET", path, Full::<Bytes>::default());
        async move {
            let answer = soon("an answer", sender.send_request(asked)).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        }
    };
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..99 {
        slow.spawn(ask("/wait"));
    }
    service.until_waiting(99).await;
    assert_eq!(ask("/").await, "quick");
    service.let_go();
    assert!(slow.join_all().await.iter().all(|body| body == "done"));
    row.carried();
}
