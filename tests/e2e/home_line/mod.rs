//! What passes over a customer's line that is full, for longer than every limit that could cut it; every byte is
//! looked at where it arrives, and sessions that work are kept.
//!
//! These tests wait far more than they work. Side by side they take a minute: `cargo test -p petit-tests --test e2e
//! home_line:: -- --test-threads=64`, as `cargo xtask test` runs them.

mod downloads;
mod events;
mod kept;
mod network;
mod restart;
mod shares;
mod tcp;
mod uploads;
mod websockets;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use petit_engine::limits;
use petit_tests::bed::{Bed, BedClient};
use petit_tests::chaos::Chaos;
use petit_tests::home_line::HomeLine;
use petit_tests::pattern::Check;
use petit_tests::service::Service;
use petit_tests::visitor::{self, request};

/// Longer than each of the limits that a full line could run into.
const LONGER: Duration = {
    let limits = [limits::DEAD_AFTER, limits::BODY_IDLE, limits::WRITE_IDLE, limits::DRAIN];
    let (mut longest, mut at) = (0, 0);
    while at < limits.len() {
        if limits[at].as_secs() > longest {
            longest = limits[at].as_secs();
        }
        at += 1;
    }
    Duration::from_secs(longest + 3)
};

/// A customer at the end of a line, whose client is in a session.
struct Home {
    line: HomeLine,
    bed: Bed,
    modem: Chaos,
    client: BedClient,
    /// Connections through the modem when the session began.
    connections: u64,
}

impl Home {
    /// With one service.
    async fn new(line: HomeLine, service: &Service) -> Self {
        Self::of(line, Bed::start().await, service.address(), "http", "").await
    }

    /// With one service of a kind, and more settings of it, at a server of the test's own.
    async fn of(line: HomeLine, bed: Bed, target: impl std::fmt::Display, kind: &str, more: &str) -> Self {
        let (modem, client) = line.client(&bed, target, kind, more).await;
        client.until_green("web").await;
        let connections = modem.accepted();
        Self { line, bed, modem, client, connections }
    }

    fn host(&self) -> String {
        visitor::host(&self.client.id())
    }

    /// Begins a download.
    async fn download(&self, length: u64) -> Incoming {
        let asked = request(&self.host(), "GET", &format!("/bytes/{length}"), Empty::<Bytes>::new());
        let answer = self.bed.visitor().open(asked).await;
        assert_eq!(answer.status(), 200);
        answer.into_body()
    }

    /// The client notices changes of its computer's network from now on, as `petit-client run` does.
    async fn watch_network(&self) {
        let client = self.client.client.clone();
        let watching = async move { drop(tokio::spawn(async move { client.watch_network().await })) };
        self.line.customer.run(watching).await;
    }

    /// Checks that the session of the begin is the one that there is.
    fn session_was_kept(&self) {
        assert_eq!(self.modem.accepted(), self.connections, "the client has connected again");
    }
}

/// Reads a body that must be a whole pattern.
async fn whole(mut body: Incoming, length: u64) {
    let mut check = Check::default();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .unwrap_or_else(|error| panic!("cut off after {} of {length} bytes: {error}", check.count()));
        check.take(&frame.into_data().unwrap());
    }
    assert_eq!(check.count(), length);
}
