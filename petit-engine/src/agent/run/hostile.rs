//! What a server that means harm gets out of an agent: all that one session may, and no more with many of them.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tracing::{Level, Metadata, Subscriber, span};

use super::offering::tests::online;
use super::*;
use crate::agent::ServiceSpec;
use crate::agent::visit::IncomingStream;
use crate::cause::{Health, ServiceCause};
use crate::mux::Stream;
use crate::mux::testing::{Side, pair};
use crate::name::{DeviceId, RegisteredId};
use crate::net::tcp::tests::silent;
use crate::proto::control::{FromRelay, Grant, GrantOutcome, PublicUrl, ServiceKind, Vitae};
use crate::proto::frame::{Open, ResetCode};

const LONG: Duration = Duration::from_secs(10);

/// A relay's end of the next session, to which the agent is welcomed.
fn welcomed(runner: &mut Runner) -> Side {
    let (relay, Side { mux, events, end }) = pair(1 << 20);
    let welcome = Welcome {
        protocol: PROTOCOL,
        features: features([MOVE]),
        software: Text::default(),
        device: DeviceId::random().unwrap(),
        window: limits::INITIAL_WINDOW_BYTES,
        now: 0,
        vitae: Vitae::new(),
        services: vec![],
        kept: vec![],
    };
    runner.on_dialled(Ok((AgentSession::new(mux, events, end), welcome)));
    relay
}

/// What comes next in the session that is in use.
async fn take(runner: &mut Runner) {
    let event = timeout(LONG, next_event(&mut runner.live)).await.unwrap().unwrap();
    runner.on_event(event);
}

/// An agent that offers one service, which is there, and the number of that.
fn offering(target: SocketAddr) -> (Runner, Side, u16) {
    let (mut runner, relay) = online(1, &[]);
    runner.set_services(vec![web(target)]);
    let number = runner.offers[0].number;
    (runner, relay, number)
}

fn web(target: SocketAddr) -> ServiceSpec {
    ServiceSpec::plain("web".parse().unwrap(), ServiceKind::Http, target.to_string().parse().unwrap())
}

fn open(relay: &Side, service: u16) -> Stream {
    relay.mux.open(Open { service, ..Open::default() }).unwrap()
}

async fn reset_code(stream: &Stream) -> ResetCode {
    let reset = async {
        loop {
            match stream.outcome().reset_code() {
                Some(code) => return code,
                None => tokio::task::yield_now().await,
            }
        }
    };
    timeout(LONG, reset).await.expect("the stream is reset")
}

/// Visits that do nothing and never end.
struct Endless;

impl Visits for Endless {
    fn visit(&self, visit: IncomingStream) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _visit = visit;
            pending::<()>().await;
        })
    }
}

#[tokio::test]
async fn connections_to_services_are_bounded_over_all_sessions_those_that_are_left_included() {
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut runner, first, number) = offering(service.local_addr().unwrap());
    runner.connections = Connections::new(3);
    let mut streams = Vec::new();
    let mut accepted = Vec::new();
    for _ in 0..2 {
        streams.push(open(&first, number));
        take(&mut runner).await;
        accepted.push(timeout(LONG, service.accept()).await.unwrap().unwrap());
    }
    first.mux.go_away(Duration::ZERO);
    take(&mut runner).await;
    let second = welcomed(&mut runner);
    streams.push(open(&second, number));
    take(&mut runner).await;
    accepted.push(timeout(LONG, service.accept()).await.unwrap().unwrap());
    let one_too_many = open(&second, number);
    take(&mut runner).await;
    assert_eq!(reset_code(&one_too_many).await, ResetCode::NoRoom);
    // One that ends in the session before makes room in this one.
    drop(streams.remove(0));
    let visit = timeout(LONG, runner.visiting.join_next()).await.unwrap();
    visit.unwrap().unwrap();
    streams.push(open(&second, number));
    take(&mut runner).await;
    accepted.push(timeout(LONG, service.accept()).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_relay_is_told_to_open_no_more_streams_than_there_may_be_connections() {
    let (mut runner, _relay) = online(1, &[]);
    for (connections, streams) in [(1, 1), (896, 896), (limits::SERVICE_CONNECTIONS, limits::MAX_STREAMS)] {
        runner.config.connections = connections;
        assert_eq!(runner.max_streams(), streams);
    }
}

#[tokio::test]
async fn what_all_sessions_hold_counts_together() {
    let (mut runner, first) = online(1, &[]);
    runner.visits = Arc::new(Endless);
    let number = runner.offers[0].number;
    let full = vec![0; limits::INITIAL_WINDOW_BYTES as usize];
    let streams = limits::SESSION_HELD_BYTES / full.len() / 2;
    let mut relays = vec![first];
    let mut held = Vec::new();
    // The first session of this agent was begun without a welcome.
    relays.push(welcomed(&mut runner));
    for _ in 0..3 {
        for _ in 0..streams {
            let relay = relays.last().unwrap();
            relay.mux.set_peer_limits(limits::INITIAL_WINDOW_BYTES, limits::MAX_STREAMS);
            let mut stream = open(relay, number);
            let _ = stream.write_all(&full).await; // some of them are refused meanwhile
            take(&mut runner).await;
            held.push(stream);
        }
        runner.on_message(FromRelay::Move {});
        relays.push(welcomed(&mut runner));
    }
    let refused =
        held.iter().filter(|stream| stream.outcome().reset_code() == Some(ResetCode::NoRoom)).count();
    assert!(refused + 8 >= streams, "a third of three halves: {refused} of {}", held.len());
    assert!(refused <= streams + 8, "and no more: {refused} of {}", held.len());
}

#[tokio::test]
async fn a_server_that_leaves_again_and_again_leaves_no_more_than_so_many_sessions_behind() {
    for moves in [false, true] {
        let (mut runner, first) = online(1, &[]);
        runner.visits = Arc::new(Endless);
        let number = runner.offers[0].number;
        let mut relays = vec![first];
        let mut streams = Vec::new();
        for _ in 0..3 * limits::SESSIONS_LEFT {
            let relay = relays.last().unwrap();
            streams.push(open(relay, number));
            take(&mut runner).await;
            if moves {
                runner.on_message(FromRelay::Move {});
            } else {
                relay.mux.go_away(Duration::ZERO);
                take(&mut runner).await;
            }
            relays.push(welcomed(&mut runner));
        }
        let ended = async {
            while runner.leaving.len() > limits::SESSIONS_LEFT {
                runner.leaving.join_next().await;
            }
            relays.remove(0).end.await.unwrap()
        };
        timeout(LONG, ended).await.expect("the oldest have ended");
        let last = &streams[streams.len() - 2];
        assert!(!last.outcome().was_lost() && last.outcome().reset_code().is_none(), "the newest go on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_move_again_and_again_is_followed_at_a_pace() {
    let (mut runner, first) = online(1, &[]);
    let mut relays = VecDeque::from([first]);
    let (mut sessions, start) = (0, Instant::now());
    while start.elapsed() < 3 * LONG {
        runner.on_message(FromRelay::Move {});
        runner.on_time();
        if runner.dialing.take().is_some() {
            sessions += 1;
            relays.push_back(welcomed(&mut runner));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let most = limits::FOLLOWED_AT_ONCE + (3 * LONG).as_secs() as u32;
    assert!((most - 2..=most + 1).contains(&sessions), "{sessions}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_off_after_it_has_asked_to_move_is_no_sooner_followed() {
    let (mut runner, mut relay) = online(1, &[]);
    runner.step(AgentEvent::SwitchedOn);
    runner.step(AgentEvent::Welcomed);
    let mut waits = Duration::ZERO;
    for _ in 0..2 * limits::FOLLOWED_AT_ONCE {
        runner.on_message(FromRelay::Move {});
        runner.dialing = None; // it was on its way to a server that does not take it
        relay.end.abort();
        while next_event(&mut runner.live).await.is_some() {}
        runner.moved.again_at = Some(Instant::now());
        runner.on_end().await;
        if let AgentState::Waiting { until, .. } = runner.state() {
            waits = until - Instant::now().into_std();
            runner.step(AgentEvent::ReconnectNow);
        }
        relay = welcomed(&mut runner);
    }
    assert!(waits >= limits::FOLLOWED_EVERY, "{waits:?}");
}

/// Counts the lines that are logged on this thread as usual.
struct Lines(Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_again_and_again_is_not_logged_again_and_again() {
    let lines = Arc::new(AtomicUsize::new(0));
    let _logged = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    let (mut runner, _relay) = online(1, &[]);
    let (number, name) = (runner.offers[0].number, runner.offers[0].spec.name.clone());
    let mut grant = |url: String| {
        let url = PublicUrl::try_from(url).unwrap();
        let outcome = GrantOutcome::Registered { id: RegisteredId::random().unwrap(), url, aliases: vec![] };
        runner.on_grants(vec![Grant { service: number, name: name.clone(), outcome }], vec![]);
    };
    for _ in 0..100 {
        grant("https://a.example".to_owned());
    }
    assert_eq!(lines.load(Ordering::Relaxed), 1, "the same");
    for round in 0..10_000 {
        grant(format!("https://{round}.example"));
    }
    let logged = lines.load(Ordering::Relaxed);
    assert_eq!(logged, limits::SERVER_LINES as usize, "always something else");
}

#[tokio::test]
async fn a_service_that_a_server_makes_come_and_go_is_not_logged_again_and_again() {
    let lines = Arc::new(AtomicUsize::new(0));
    let _logged = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    let (mut runner, _relay) = online(1, &[]);
    let (meter, now) = (Arc::clone(&runner.offers[0].meter), Instant::now().into_std());
    for round in 0..10 {
        let health = if round % 2 == 0 { Health::Up } else { Health::Down(ServiceCause::Refused) };
        meter.set_health(health, now);
        runner.tell_health();
        runner.tell_health();
    }
    assert_eq!(lines.load(Ordering::Relaxed), 10, "each change, once");
    for round in 0..10_000 {
        let health = if round % 2 == 0 { Health::Up } else { Health::Down(ServiceCause::Refused) };
        meter.set_health(health, now);
        runner.tell_health();
    }
    assert_eq!(lines.load(Ordering::Relaxed), limits::SERVER_LINES as usize);
}

/// A service that answers every request, and counts them.
async fn answering() -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut request = [0; 16];
                while tcp.read_exact(&mut request).await.is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tcp.write_all(ANSWER).await.unwrap();
                }
            });
        }
    });
    (address, requests)
}

const REQUEST: &[u8; 16] = b"GET /1 HTTP/1\r\n\r";
const ANSWER: &[u8; 12] = b"HTTP/1.1 204";

async fn answer(stream: &mut Stream) -> std::io::Result<()> {
    stream.write_all(REQUEST).await?;
    let mut answer = [0; ANSWER.len()];
    timeout(LONG, stream.read_exact(&mut answer)).await.expect("an answer, or an end").map(|_| ())
}

#[tokio::test]
async fn a_service_that_is_withdrawn_is_not_reached_over_a_stream_that_is_open() {
    let (address, requests) = answering().await;
    let elsewhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    for after in [vec![], vec![web(elsewhere)]] {
        let (mut runner, relay, number) = offering(address);
        let before = requests.load(Ordering::Relaxed);
        let mut kept = open(&relay, number);
        take(&mut runner).await;
        answer(&mut kept).await.unwrap();
        // Under other options it is the same service.
        let mut patient = web(address);
        patient.options.answer_within_s = Some(7);
        runner.set_services(vec![patient]);
        answer(&mut kept).await.unwrap();
        runner.set_services(after);
        answer(&mut kept).await.unwrap_err();
        assert_eq!(kept.outcome().reset_code(), Some(ResetCode::ServiceUnknown));
        assert_eq!(requests.load(Ordering::Relaxed) - before, 2, "the service saw no further request");
        assert_eq!(kept.outcome().delivered(), Some(2 * REQUEST.len() as u64), "which the relay can tell");
    }
}

#[tokio::test]
async fn a_service_that_is_slow_to_accept_is_not_waited_for_once_it_is_withdrawn() {
    let (silent, _queue, _full) = silent().await;
    let (mut runner, relay, number) = offering(silent);
    let stream = open(&relay, number);
    take(&mut runner).await;
    tokio::task::yield_now().await;
    runner.set_services(vec![]);
    let code = timeout(limits::SERVICE_CONNECT / 2, reset_code(&stream)).await;
    assert_eq!(code, Ok(ResetCode::ServiceUnknown));
}
