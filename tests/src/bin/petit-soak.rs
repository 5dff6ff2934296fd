//! Hours of ordinary life: `cargo xtask soak --minutes N`.
//!
//! The real programs, several clients, visitors of every kind, people who come and go, services that stop, clients
//! that are killed, settings that change. Every few seconds it looks at what the processes hold; at the end what
//! they held towards the end is put beside what they held once they had warmed up. Memory, descriptors, threads and
//! tasks that grow are a leak.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a tool for people, which ends when something is not as it has to be"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty, Full};
use petit_tests::bed::client_config;
use petit_tests::process::{Program, Running, resident_bytes};
use petit_tests::service::Service;
use petit_tests::visitor::{Visitor, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CLIENTS: usize = 4;

/// What has happened.
#[derive(Default)]
struct Counts {
    served: AtomicU64,
    /// Answers that are no 200 while something had been stopped or killed on purpose.
    excused: AtomicU64,
    wrong: AtomicU64,
    upheavals: AtomicU64,
    over: AtomicBool,
}

/// A look at all processes, and the server's tasks.
type Moment = (Vec<Look>, u64);

/// One look at a process.
#[derive(Clone, Copy, Debug)]
struct Look {
    resident: u64,
    descriptors: usize,
    threads: usize,
}

impl Look {
    fn at(process: u32) -> Self {
        let count =
            |what: &str| std::fs::read_dir(format!("/proc/{process}/{what}")).map_or(0, Iterator::count);
        Self { resident: resident_bytes(process), descriptors: count("fd"), threads: count("task") }
    }
}

struct Customer {
    program: Program,
    running: tokio::sync::Mutex<Option<Running>>,
    host: String,
    /// Something was done to it on purpose.
    troubled: AtomicBool,
}

fn main() -> ExitCode {
    let minutes: u64 = std::env::args().nth(1).and_then(|minutes| minutes.parse().ok()).unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(soak(Duration::from_secs(60 * minutes)))
}

async fn soak(lasting: Duration) -> ExitCode {
    let server = Program::server().await;
    let running = server.up().await;
    let service = Service::http("soak").await;
    let visitor = server.visitor().await;
    let mut customers = Vec::new();
    for _ in 0..CLIENTS {
        let program = Program::client();
        std::fs::write(program.config(), client_config(&[("web", service.address(), "http")])).unwrap();
        program.run_with(["register"], &server.invite([""; 0]).await).await.ok();
        let running = program.up().await;
        let status = program.until_green().await;
        let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
        let running = tokio::sync::Mutex::new(Some(running));
        customers.push(Arc::new(Customer { program, running, host, troubled: AtomicBool::new(false) }));
    }
    let counts = Arc::new(Counts::default());
    let mut life = tokio::task::JoinSet::new();
    for customer in &customers {
        for kind in 0..4_u64 {
            life.spawn(visits(visitor, Arc::clone(customer), Arc::clone(&counts), kind));
        }
    }
    let last = Arc::clone(customers.last().unwrap());
    life.spawn(upheaval(last, Arc::clone(&counts)));
    life.spawn(strangers(visitor, Arc::clone(&counts)));

    let steady: Vec<u32> = {
        let mut ids = vec![running.id()];
        for customer in &customers[..CLIENTS - 1] {
            ids.push(customer.running.lock().await.as_ref().unwrap().id());
        }
        ids
    };
    let mut looks: Vec<Moment> = Vec::new();
    let start = Instant::now();
    while start.elapsed() < lasting {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let tasks = server.status().await["now"]["tasks"].as_u64().unwrap_or_default();
        looks.push((steady.iter().map(|process| Look::at(*process)).collect(), tasks));
    }
    counts.over.store(true, Ordering::Relaxed);
    while life.join_next().await.is_some() {}
    // What is left when all has gone quiet.
    let faults = server.status().await["now"]["faults"].as_u64().unwrap_or_default();
    report(&looks, &counts, faults, start.elapsed())
}

/// One kind of visitor, again and again.
async fn visits(visitor: Visitor, customer: Arc<Customer>, counts: Arc<Counts>, kind: u64) {
    let mut round = 0_u64;
    while !counts.over.load(Ordering::Relaxed) {
        round += 1;
        let host = customer.host.clone();
        let visit = async move {
            match kind {
                0 => visitor.get(&host, "/").await.text() == "soak",
                1 => {
                    let length = (round * 7919) % 300_000;
                    let answer = visitor.get(&host, &format!("/bytes/{length}")).await;
                    answer.status == 200 && answer.body.len() as u64 == length
                }
                2 => {
                    let body = Full::new(Bytes::from(vec![7; ((round * 104_729) % 200_000) as usize]));
                    visitor.send(request(&host, "POST", "/sum", body)).await.status == 200
                }
                _ if round.is_multiple_of(3) => leave_early(visitor, &host).await,
                _ => talk(visitor, &host).await,
            }
        };
        // A visitor's panic (a connection that broke) is a wrong answer.
        let visited = tokio::spawn(tokio::time::timeout(Duration::from_secs(30), visit));
        let right = matches!(visited.await, Ok(Ok(true)));
        let count = match right {
            true => &counts.served,
            false if customer.troubled.load(Ordering::Relaxed) => &counts.excused,
            false => &counts.wrong,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if !right {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Begins a download and goes.
async fn leave_early(visitor: Visitor, host: &str) -> bool {
    let response = visitor.open(request(host, "GET", "/bytes/100000000", Empty::<Bytes>::new())).await;
    response.into_body().frame().await.is_some_and(|frame| frame.is_ok())
}

/// A WebSocket with a few messages.
async fn talk(visitor: Visitor, host: &str) -> bool {
    let tcp = TcpStream::connect(visitor.front()).await.unwrap();
    let Ok((mut socket, _)) = tokio_tungstenite::client_async(format!("ws://{host}/ws"), tcp).await else {
        return false;
    };
    for number in 0..5 {
        if socket.send(format!("message {number}").into()).await.is_err() {
            return false;
        }
        let back = socket.next().await;
        if !back.is_some_and(|back| {
            back.is_ok_and(|back| back.into_text().is_ok_and(|text| text.ends_with(&number.to_string())))
        }) {
            return false;
        }
    }
    socket.close(None).await.is_ok()
}

/// Things that happen to a computer: it is killed, switched off and on, its settings change.
async fn upheaval(customer: Arc<Customer>, counts: Arc<Counts>) {
    for round in 0_u64.. {
        for _ in 0..20 {
            if counts.over.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        customer.troubled.store(true, Ordering::Relaxed);
        match round % 3 {
            0 => {
                let mut running = customer.running.lock().await;
                running.take().unwrap().kill().await;
                *running = Some(customer.program.up().await);
            }
            1 => {
                customer.program.run(["stop"]).await;
                *customer.running.lock().await = Some(customer.program.up().await);
            }
            _ => {
                let path = customer.program.config();
                let config = std::fs::read_to_string(&path).unwrap();
                let other = if config.contains("log_level") {
                    config.replace("log_level = \"debug\"\n", "")
                } else {
                    config.replace("[client]\n", "[client]\nlog_level = \"debug\"\n")
                };
                std::fs::write(&path, other).unwrap();
            }
        }
        customer.program.until_green().await;
        customer.troubled.store(false, Ordering::Relaxed);
        counts.upheavals.fetch_add(1, Ordering::Relaxed);
    }
}

/// Those who come with half a head, noise, or nothing.
async fn strangers(visitor: Visitor, counts: Arc<Counts>) {
    for round in 0_usize.. {
        if counts.over.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut tcp) = TcpStream::connect(visitor.front()).await else { continue };
        let said: &[u8] = match round % 4 {
            0 => b"GET / HTTP/1.1\r\nHost: ",
            1 => &[0xff; 1000],
            2 => b"",
            _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        };
        let _ = tcp.write_all(said).await;
        tokio::spawn(async move {
            let _ = tokio::time::timeout(Duration::from_secs(20), tcp.read_to_end(&mut Vec::new())).await;
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn report(looks: &[Moment], counts: &Counts, faults: u64, took: Duration) -> ExitCode {
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{:.0} minutes: {} visits as they should be, {} while their client was killed or restarted, {} wrong; \
         {} upheavals; {faults} faults within",
        took.as_secs_f64() / 60.0,
        get(&counts.served),
        get(&counts.excused),
        get(&counts.wrong),
        get(&counts.upheavals),
    );
    // The first fifth is for warming up: pools, caches, the allocator.
    let (early, late) = (looks.len() / 5..looks.len() * 2 / 5, looks.len() * 4 / 5..looks.len());
    let median = |range: std::ops::Range<usize>, of: &dyn Fn(&Moment) -> f64| {
        let mut values: Vec<f64> = looks[range].iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    println!("{:<32} {:>12} {:>12} {:>8}", "median", "second fifth", "last fifth", "ratio");
    let mut flat = true;
    let mut row = |name: String, of: &dyn Fn(&Moment) -> f64, unit: f64, slack: f64| {
        let (before, after) = (median(early.clone(), of), median(late.clone(), of));
        // A little more of something small is noise.
        let grows = after > before * 1.15 + slack;
        flat &= !grows;
        let mark = if grows { "  GROWS" } else { "" };
        println!(
            "{name:<32} {:>12.1} {:>12.1} {:>8.2}{mark}",
            before / unit,
            after / unit,
            after / before.max(1.0)
        );
    };
    let processes = looks.first().map_or(0, |(looks, _)| looks.len());
    for process in 0..processes {
        let name = if process == 0 { "server".to_owned() } else { format!("client {process}") };
        row(
            format!("{name}, resident MiB"),
            &|look| look.0[process].resident as f64,
            1048576.0,
            2.0 * 1048576.0,
        );
        row(format!("{name}, descriptors"), &|look| look.0[process].descriptors as f64, 1.0, 20.0);
        row(format!("{name}, threads"), &|look| look.0[process].threads as f64, 1.0, 1.0);
    }
    row("server, tasks".to_owned(), &|look| look.1 as f64, 1.0, 40.0);
    if flat && get(&counts.wrong) == 0 && faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
