//! Keys and addresses, over each front and each version of HTTP.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::StatusCode;
use petit_relay::policy::{Enforcement, PreviousSecret, ServicePolicy, VisitorKey};
use petit_relay::{Failure, VisitEnd};
use petit_tests::service::Service;
use petit_tests::visitor::{Answer, h2_on, request, tls, whole};
use petit_tests::{scripted, soon};
use tokio::io::AsyncWriteExt;

use super::fronts::{FRONTS, Front, https, with};
use super::{World, asking_for, from, key, open};

/// An answer without what names its request.
fn anonymous(answer: &Answer) -> (StatusCode, Vec<(String, String)>, serde_json::Value) {
    let fields =
        answer.headers.iter().filter(|(name, _)| !["petit-request", "date"].contains(&name.as_str()));
    let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("request").unwrap();
    (answer.status, fields, body)
}

#[tokio::test]
async fn whoever_shows_the_key_is_let_in_by_each_front_and_whoever_does_not_is_told_so() {
    let ((billing, shown), (_, unknown)) = (key("billing"), key("billing"));
    let id = billing.id;
    let world = World::start(Some(asking_for([billing]))).await;
    let wrong = format!("{id}.{}", unknown.split_once('.').unwrap().1);
    for front in FRONTS {
        let before = world.web.requests();
        let without = front.ask(&world.doors(), &[]).await;
        assert_eq!(
            (without.status, without.petit_error().as_deref()),
            (StatusCode::UNAUTHORIZED, Some("key-required")),
            "{front:?}"
        );
        assert_eq!(without.headers["www-authenticate"], "Petit-Key", "{front:?}");

        let refused = front.ask(&world.doors(), &[("petit-key", &wrong)]).await;
        assert_eq!(
            (refused.status, refused.petit_error().as_deref()),
            (StatusCode::UNAUTHORIZED, Some("key-refused")),
            "{front:?}"
        );
        assert_eq!(refused.headers["www-authenticate"], "Petit-Key", "{front:?}");
        for other in [unknown.as_str(), "", "no key at all", &id.to_string()] {
            let answer = front.ask(&world.doors(), &[("petit-key", other)]).await;
            assert_eq!(anonymous(&answer), anonymous(&refused), "{front:?}: {other:?}");
        }
        let twice = front.ask(&world.doors(), &[("petit-key", &shown), ("petit-key", &shown)]).await;
        assert_eq!(anonymous(&twice), anonymous(&refused), "{front:?}");
        assert_eq!(world.web.requests(), before, "{front:?}: nothing of it got to the service");

        let answer = front.ask(&world.doors(), &[("petit-key", &shown)]).await;
        let good = if front.is_websocket() { StatusCode::SWITCHING_PROTOCOLS } else { StatusCode::OK };
        assert_eq!(answer.status, good, "{front:?}");
    }
}

#[tokio::test]
async fn a_service_is_told_who_the_visitor_is_by_petit_alone_and_never_sees_a_key() {
    let (billing, shown) = key("billing");
    let world = World::start(Some(asking_for([billing]))).await;
    let forged = [
        ("petit-key", shown.as_str()),
        ("petit-visitor", "key=somebody-else"),
        ("Petit-Visitor", "key=root"),
        ("petit-anything", "x"),
    ];
    for front in FRONTS {
        front.ask(&world.doors(), &forged).await;
        assert_eq!(world.web.seen("petit-visitor").as_deref(), Some("key=billing"), "{front:?}");
        for gone in ["petit-key", "petit-anything"] {
            assert_eq!(world.web.seen(gone), None, "{front:?}");
        }
    }
    // Where nobody is asked nobody is named, and a key is no business of the service either.
    world.set(Some(open()));
    for policy in [Some(open()), None] {
        world.set(policy);
        for front in FRONTS {
            front.ask(&world.doors(), &forged).await;
            assert!(
                world.web.seen("petit-visitor").is_none() && world.web.seen("petit-key").is_none(),
                "{front:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_policy_that_changes_applies_to_the_next_request_on_connections_that_are_open() {
    let (billing, shown) = key("billing");
    let world = World::start(None).await;
    let host = world.host();
    let mut h1 = world.plain.connect().await;
    let mut h2 = h2_on(tls(world.tunnel, &world.roots, &host, &["h2"]).await.unwrap()).await;
    let mut both = async |fields: &[(&str, &str)]| {
        let asked = with(request(&host, "GET", "/", Empty::<Bytes>::new()), fields);
        let first = whole(soon("an answer", h1.send_request(asked)).await.unwrap()).await;
        let asked = with(https(&host, "/", Empty::<Bytes>::new()), fields);
        let second = whole(soon("an answer", h2.send_request(asked)).await.unwrap()).await;
        assert_eq!(first.status, second.status);
        (first.status.as_u16(), first.petit_error().unwrap_or_default())
    };
    let good = (200, String::new());
    assert_eq!(both(&[]).await, good, "open to anybody who knows the name");
    world.set(Some(asking_for([billing.clone()])));
    assert_eq!(both(&[]).await, (401, "key-required".into()));
    assert_eq!(both(&[("petit-key", &shown)]).await, good);
    // Revoked.
    world.set(Some(asking_for([])));
    assert_eq!(both(&[("petit-key", &shown)]).await, (401, "key-refused".into()));
    // Replaced by another secret, with some time to change over, which is over then.
    let (other, _) = key("billing");
    let rotated = |until| VisitorKey {
        previous: Some(PreviousSecret { hash: billing.hash, until }),
        hash: other.hash,
        ..billing.clone()
    };
    let now = std::time::SystemTime::now();
    world.set(Some(asking_for([rotated(now + std::time::Duration::from_secs(3600))])));
    assert_eq!(both(&[("petit-key", &shown)]).await, good);
    world.set(Some(asking_for([rotated(now)])));
    assert_eq!(both(&[("petit-key", &shown)]).await, (401, "key-refused".into()));
    world.set(Some(ServicePolicy { from: from(&["192.0.2.0/24"]), ..open() }));
    assert_eq!(both(&[]).await, (403, "address-not-allowed".into()));
    world.set(None);
    assert_eq!(both(&[]).await, good);
}

#[tokio::test]
async fn an_address_is_the_connections_or_the_one_that_a_trusted_proxy_names() {
    let policy = ServicePolicy { from: from(&["127.0.0.2", "203.0.113.0/24"]), ..open() };
    let world = World::with(Some(policy), |config| {
        config.trusted_proxies = vec!["127.0.0.9/32".parse().unwrap()];
    })
    .await;
    let ask = async |address: &str, fields: &[(&str, &str)]| {
        let answer = Front::Http1.ask_from(address, &world.doors(), fields).await;
        (answer.status.as_u16(), answer.petit_error().unwrap_or_default())
    };
    let (good, refused) = ((200, String::new()), (403, "address-not-allowed".to_owned()));
    assert_eq!(ask("127.0.0.2", &[]).await, good);
    assert_eq!(ask("127.0.0.3", &[]).await, refused);
    assert_eq!(
        ask(
            "127.0.0.3",
            &[("x-forwarded-for", "127.0.0.2"), ("forwarded", "for=127.0.0.2"), ("x-real-ip", "127.0.0.2")]
        )
        .await,
        refused
    );
    assert_eq!(
        ask("127.0.0.2", &[("x-forwarded-for", "198.51.100.1")]).await,
        good,
        "nobody is believed, for better or worse"
    );
    assert_eq!(ask("127.0.0.9", &[("x-forwarded-for", "203.0.113.7")]).await, good);
    assert_eq!(ask("127.0.0.9", &[("x-forwarded-for", "198.51.100.1")]).await, refused);
    assert_eq!(
        ask("127.0.0.9", &[("x-forwarded-for", "203.0.113.7, 198.51.100.1")]).await,
        refused,
        "the last one counts"
    );
    assert_eq!(ask("127.0.0.9", &[]).await, refused, "the proxy itself is not listed");
}

#[tokio::test]
async fn a_record_says_which_key_was_shown_and_what_was_refused() {
    let (billing, shown) = key("billing");
    let mut world = World::start(Some(asking_for([billing]))).await;
    for front in FRONTS {
        front.ask(&world.doors(), &[]).await;
        let heard = world.next().await;
        assert_eq!(
            (heard.status, heard.end, heard.key),
            (Some(401), VisitEnd::Failed(Failure::KeyRequired), None),
            "{front:?}"
        );
        front.ask(&world.doors(), &[("petit-key", &shown)]).await;
        let heard = world.next().await;
        assert_eq!((heard.key.as_deref(), heard.would_refuse), (Some("billing"), None), "{front:?}");
    }
    assert_eq!(world.relay.counts().policies.refused, FRONTS.len() as u64);
    assert_eq!(world.relay.counts().policies.counted, 0);
}

#[tokio::test]
async fn a_policy_that_only_counts_lets_all_pass_and_says_who_would_not() {
    let (billing, shown) = key("billing");
    let policy = ServicePolicy { enforcement: Enforcement::CountOnly, ..asking_for([billing]) };
    let mut world = World::start(Some(policy)).await;
    for front in FRONTS {
        for (fields, would_refuse) in [
            (vec![], Some(Failure::KeyRequired)),
            (vec![("petit-key", "wrong")], Some(Failure::KeyRefused)),
            (vec![("petit-key", shown.as_str())], None),
        ] {
            let answer = front.ask(&world.doors(), &fields).await;
            assert!(answer.status.as_u16() < 300, "{front:?}: {}", answer.status);
            let heard = world.next().await;
            assert_eq!(heard.would_refuse, would_refuse, "{front:?}");
            assert_eq!(heard.key.is_some(), would_refuse.is_none(), "{front:?}");
            assert_eq!(world.web.seen("petit-key"), None);
        }
    }
    let counts = world.relay.counts().policies;
    assert_eq!((counts.refused, counts.counted), (0, 2 * FRONTS.len() as u64));
}

#[tokio::test]
async fn a_visitor_who_would_like_to_be_taken_for_a_probe_gets_no_further_than_the_policy() {
    let (billing, _) = key("billing");
    let world = World::start(Some(asking_for([billing]))).await;
    let token = "0123456789abcdef0123456789abcdef";
    for front in FRONTS {
        let answer = front.ask(&world.doors(), &[("petit-front-probe", token)]).await;
        assert_eq!(answer.petit_error().as_deref(), Some("key-required"), "{front:?}");
        assert!(!answer.headers.contains_key("petit-front"), "{front:?}");
    }
    assert_eq!(world.web.requests(), 0);
}

#[tokio::test]
async fn who_is_not_let_in_learns_nothing_of_a_services_client() {
    let (billing, shown) = key("billing");
    let world = World::start(Some(asking_for([billing]))).await;
    let here = Front::Http1.ask(&world.doors(), &[]).await;
    world.agent.switch(false).await;
    let visitor = world.plain;
    let asked = || with(request(&world.host(), "GET", "/", Empty::<Bytes>::new()), &[("petit-key", &shown)]);
    soon("the client to be away", async {
        while visitor.send(asked()).await.petit_error().as_deref() != Some("client-away") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(anonymous(&Front::Http1.ask(&world.doors(), &[]).await), anonymous(&here));
}

/// What is asked for is looked at before a byte of the body is.
#[tokio::test]
async fn a_body_that_is_announced_is_not_waited_for_before_a_visitor_is_refused() {
    let (billing, _) = key("billing");
    let world = World::start(Some(asking_for([billing]))).await;
    let mut tcp = world.plain.tcp().await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n",
        world.host()
    );
    tcp.write_all(head.as_bytes()).await.unwrap();
    let answer = soon("an answer", scripted::head(&mut tcp)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(world.web.requests(), 0);
    drop::<Service>(world.web);
}

#[tokio::test]
async fn a_cache_on_the_way_is_told_that_an_answer_is_for_whoever_shows_the_key() {
    let (billing, shown) = key("billing");
    let world = World::start(Some(asking_for([billing]))).await;
    let varies = |answer: &Answer| answer.headers.get_all("vary").iter().any(|vary| vary == "Petit-Key");
    for fields in [&[("petit-key", shown.as_str())][..], &[]] {
        assert!(varies(&Front::Http1.ask(&world.doors(), fields).await), "{}", fields.len());
    }
    world.set(Some(open()));
    assert!(!varies(&Front::Http1.ask(&world.doors(), &[]).await));
}
