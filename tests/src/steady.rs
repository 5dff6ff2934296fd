//! Visitors who come at a steady pace, whatever becomes of those before them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::figures::Times;
use crate::soon;
use crate::visitor::request;

/// How they connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Each request has a connection of its own.
    Fresh,
    /// A connection is kept for the next request, as proxies do, until the server says that it is the last.
    Kept,
}

/// What they met.
#[derive(Debug, Default)]
pub struct Met {
    /// How long they took, from the first packet to the whole answer.
    pub times: Times,
    /// Answers by status.
    pub statuses: BTreeMap<u16, usize>,
    /// Petit's own errors, by their names.
    pub errors: BTreeMap<String, usize>,
    /// Those who got no answer, and why.
    pub failures: Vec<String>,
}

impl Met {
    /// Adds what others met.
    pub fn add(&mut self, others: Self) {
        let Self { times, statuses, errors, failures } = others;
        self.times.add_all(times);
        for (status, count) in statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (error, count) in errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.failures.extend(failures);
    }

    /// How many got an answer other than 200, or none.
    pub fn disappointed(&self) -> usize {
        let answered: usize = self.statuses.values().sum();
        self.failures.len() + answered - self.statuses.get(&200).copied().unwrap_or_default()
    }
}

/// Visitors on their way.
pub struct Steady {
    coming: JoinHandle<Met>,
    over: watch::Sender<bool>,
    answered: watch::Receiver<usize>,
}

impl Steady {
    /// Lets somebody come every so often, to the hosts in turn, with a request that must not be sent twice.
    pub fn start(front: SocketAddr, hosts: Vec<String>, every: Duration, manner: Manner) -> Self {
        let (over, mut is_over) = watch::channel(false);
        let (answers, answered) = watch::channel(0);
        let coming = tokio::spawn(async move {
            let mut met = Met::default();
            let mut under_way = JoinSet::new();
            let kept = Arc::new(Mutex::new(Vec::new()));
            let mut pace = tokio::time::interval(every);
            let mut hosts = hosts.iter().cycle();
            loop {
                tokio::select! {
                    _ = pace.tick() => {
                        let host = hosts.next().unwrap().clone();
                        let kept = Arc::clone(&kept);
                        under_way.spawn(visit(front, host, (manner == Manner::Kept).then_some(kept)));
                    }
                    Some(done) = under_way.join_next() => {
                        note(&mut met, done.unwrap());
                        answers.send_modify(|count| *count += 1);
                    }
                    _ = is_over.wait_for(|over| *over) => break,
                }
            }
            while let Some(done) = soon("an answer", under_way.join_next()).await {
                note(&mut met, done.unwrap());
            }
            met
        });
        Self { coming, over, answered }
    }

    /// Waits until so many more have had their answers.
    pub async fn more(&mut self, count: usize) {
        let wanted = *self.answered.borrow() + count;
        soon("more answers", self.answered.wait_for(|answered| *answered >= wanted)).await.unwrap();
    }

    /// Lets nobody come any more, and returns what they all met.
    pub async fn end(self) -> Met {
        self.over.send_replace(true);
        self.coming.await.unwrap()
    }
}

type Kept = Arc<Mutex<Vec<SendRequest<Full<Bytes>>>>>;

fn note(met: &mut Met, visit: Result<(u16, Option<String>, Duration), String>) {
    match visit {
        Ok((status, error, took)) => {
            if let Some(error) = error {
                *met.errors.entry(error).or_default() += 1;
            }
            *met.statuses.entry(status).or_default() += 1;
            met.times.add(took);
        }
        Err(why) => met.failures.push(why),
    }
}

async fn visit(
    front: SocketAddr,
    host: String,
    kept: Option<Kept>,
) -> Result<(u16, Option<String>, Duration), String> {
    let start = Instant::now();
    let old = match &kept {
        Some(kept) => kept.lock().await.pop(),
        None => None,
    };
    let mut sender = match old {
        Some(sender) => sender,
        None => {
            let tcp = TcpStream::connect(front).await.map_err(|error| format!("connect: {error}"))?;
            let handshake = http1::handshake(TokioIo::new(tcp)).await;
            let (sender, connection) = handshake.map_err(|error| format!("handshake: {error}"))?;
            tokio::spawn(connection);
            sender
        }
    };
    let asked = request(&host, "POST", "/sum", Full::new(Bytes::from_static(b"once")));
    let answer = sender.send_request(asked).await.map_err(|error| format!("answer: {error}"))?;
    let status = answer.status().as_u16();
    let error =
        answer.headers().get("petit-error").map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
    let is_last = answer.headers().get("connection").is_some_and(|value| value == "close");
    answer.into_body().collect().await.map_err(|error| format!("body: {error}"))?;
    if let Some(kept) = kept
        && !is_last
        && sender.ready().await.is_ok()
    {
        kept.lock().await.push(sender);
    }
    Ok((status, error, start.elapsed()))
}
