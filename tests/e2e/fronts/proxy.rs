//! A proxy in front of the server, and what else may be found at its public address.

use std::time::Instant;

use petit_client::hops::{HopName, HopState};
use petit_client::status::Status;
use petit_engine::cause::FrontCause;
use petit_engine::limits;
use petit_tests::bed::{Bed, client_config};
use petit_tests::front::{Does, Front, answer};
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::visitor::host;

use super::{config_at, until_broken};

fn state(status: &Status, name: HopName) -> HopState {
    status.services[0].hops.iter().find(|hop| hop.hop == name).unwrap().state
}

#[tokio::test]
async fn a_light_is_green_when_the_public_address_leads_to_the_server_and_red_when_it_does_not() {
    let front = Front::new().await;
    let bed = Bed::with_config(&config_at(front.address.port(), "")).await;
    front.now(Does::HandsOn(bed.http()));
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    for (does, cause) in [
        (Does::Answers(answer("502 Bad Gateway", "server: nginx\r\n")), FrontCause::Gateway),
        (
            Does::Answers(answer("301 Moved Permanently", "location: https://x.example/\r\n")),
            FrontCause::Redirected,
        ),
        (Does::Answers(answer("200 OK", "")), FrontCause::OtherServer),
        (Does::Answers(answer("404 Not Found", "petit-error: unknown-service\r\n")), FrontCause::OtherServer),
        (Does::Answers("SSH-2.0-OpenSSH_9.6\r\n".to_owned()), FrontCause::OtherServer),
        (Does::Answers(String::new()), FrontCause::NoAnswer),
        (Does::NeverEnds("HTTP/1.1 200 OK\r\nx: ".to_owned()), FrontCause::OtherServer),
        (Does::ChangesHost(bed.http(), "backend.localhost".to_owned()), FrontCause::OtherHost),
    ] {
        front.now(does.clone());
        let red = until_broken(&bed, &client, cause).await;
        assert_eq!(state(&red, HopName::Server), HopState::Broken, "{does:?}");
        assert_eq!(state(&red, HopName::Port), HopState::Works, "{does:?}");
        assert_eq!(state(&red, HopName::Tunnel), HopState::Works, "{does:?}");
        assert!(red.services[0].broken.as_ref().unwrap().since.is_some());
        front.now(Does::HandsOn(bed.http()));
        bed.server.relay.try_fronts().await;
        let green = client.until_green("web").await;
        assert!(green.services[0].hops.iter().all(|hop| hop.state == HopState::Works), "{green:?}");
    }
    front.close().await;
    let red = until_broken(&bed, &client, FrontCause::ConnectionRefused).await;
    assert_eq!(state(&red, HopName::Port), HopState::Broken);
    assert_eq!(state(&red, HopName::Server), HopState::Unknown, "nobody has seen what lies behind");
    assert_eq!(state(&red, HopName::Service), HopState::Works, "the rest of the way does work");
    // A visitor who knows another way in is served all the same.
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_and_given_up() {
    let front = Front::new().await;
    front.now(Does::IsSilent);
    let bed = Bed::with_config(&config_at(front.address.port(), "")).await;
    let service = Service::http("s").await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    until_broken(&bed, &client, FrontCause::NoAnswer).await;
}

#[tokio::test]
async fn a_port_that_the_server_does_not_listen_on_is_red() {
    // The endpoint says one port and the server listens on another, as after a change of `proxy_port` alone.
    let closed = Front::new().await;
    let port = closed.address.port();
    closed.close().await;
    let bed = Bed::with_config(&config_at(port, "")).await;
    let service = Service::http("s").await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    until_broken(&bed, &client, FrontCause::ConnectionRefused).await;
}

#[tokio::test]
async fn a_token_works_once_and_for_its_host_and_nobody_can_tell_it_from_none() {
    // The probe is caught on its way, so that its token has not been used yet.
    let front = Front::new().await;
    front.now(Does::IsSilent);
    let bed = Bed::with_config(&config_at(front.address.port(), "")).await;
    let head = String::from_utf8(front.until_seen().await).unwrap();
    let field = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let (token, asked) = (field("petit-front-probe"), field("host"));
    assert_eq!(token.len(), 64, "256 random bits");
    assert!(asked.starts_with("petit-probe-"), "a name that nobody has: {asked}");
    let ask = async |host: &str, field: &str| {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{field}Connection: close\r\n\r\n");
        String::from_utf8(bed.visitor().raw(request.as_bytes()).await).unwrap()
    };
    let shown = |token: &str| format!("petit-front-probe: {token}\r\n");
    let bare = ask(&asked, "").await;
    assert!(bare.starts_with("HTTP/1.1 404 "), "{bare}");
    let guess = ask(&asked, &shown(&"0".repeat(64))).await;
    assert_eq!(shape(&guess), shape(&bare), "a wrong token is answered like none");
    let right = ask(&asked, &shown(&token)).await;
    assert!(right.starts_with("HTTP/1.1 200 OK\r\n") && right.contains("petit-front: "), "{right}");
    let again = ask(&asked, &shown(&token)).await;
    assert_eq!(shape(&again), shape(&bare), "it works once");
    // A service sees whoever shows a token that is none.
    let service = Service::http("s").await;
    let client = bed.client_with(&[("web", service.address(), "http")]).await;
    let own = ask(&host(&client.id()), &shown(&token)).await;
    assert!(own.starts_with("HTTP/1.1 200 OK\r\n") && !own.contains("petit-front: "), "{own}");
}

#[tokio::test]
async fn a_token_for_another_host_is_answered_like_none_and_used_up() {
    let front = Front::new().await;
    front.now(Does::IsSilent);
    let bed = Bed::with_config(&config_at(front.address.port(), "")).await;
    let head = String::from_utf8(front.until_seen().await).unwrap();
    let asked = head.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap();
    let other = head.replace(asked, &format!("other.localhost:{}", front.address.port()));
    for head in [&other, &head] {
        let answer = String::from_utf8(bed.visitor().raw(head.as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
}

#[tokio::test]
async fn the_commands_of_both_sides_say_that_the_public_address_is_broken() {
    let front = Front::new().await;
    front.now(Does::Answers(answer("502 Bad Gateway", "")));
    let server = Program::server_with(&config_at(front.address.port(), "")).await;
    let running = server.up().await;
    let service = Service::http("s").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    client.until("a red light", |status| status["services"][0]["light"] == "red").await;
    let said = client.run(["status"]).await.ok();
    let broken = "what stands before the server at the public address does not reach it";
    assert!(said.out.contains("✘ web") && said.out.contains(broken), "{said:?}");
    assert_eq!(client.run(["check"]).await.exit, 1);
    let said = server.run(["status"]).await.ok();
    assert!(said.out.contains("✘ the proxy in front answers that it does not reach this server"), "{said:?}");
    // As soon as it leads to the server again, both say so, within the five seconds in which it is looked again, and
    // what a busy machine takes; long before a front is looked at that is not broken.
    front.now(Does::HandsOn(server.status().await["http"].as_str().unwrap().parse().unwrap()));
    let start = Instant::now();
    client.until_green().await;
    assert!(start.elapsed() < limits::FRONT_EVERY / 2, "{:?}", start.elapsed());
    let said = client.run(["status"]).await.ok();
    assert!(said.out.contains("✔ web") && said.out.contains("works end to end"), "{said:?}");
    let said = server.run(["status"]).await.ok();
    assert!(said.out.contains("✔ visitors get in"), "{said:?}");
    running.signal("TERM").await;
    running.exit().await;
}

/// An answer without what differs from one to the next.
fn shape(answer: &str) -> String {
    let differs = |line: &str| {
        ["date:", "petit-request:"].iter().any(|name| line.starts_with(name)) || line.contains("\"request\":")
    };
    let keep = |line: &&str| !differs(line);
    answer.lines().filter(keep).collect::<Vec<_>>().join("\n")
}
