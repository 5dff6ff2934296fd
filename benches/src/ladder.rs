//! The ladder: what log-ins, look-ups and accepts cost while registered clients, live sessions and known addresses
//! grow, one at a time.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use petit_engine::agent::{Agent, AgentState};
use petit_relay::time_newcomers;
use rustix::process::{Resource, getrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::figures::median;
use crate::fleet::{Registry, RunningServer};
use crate::petit::ask;
use crate::place::Place;
use crate::process::{cpu_exact, memory, output};
use crate::section::{Cell, Section};

/// Log-ins at the same time.
const SIDE_BY_SIDE: usize = 64;
/// Log-ins that are timed on each rung.
const LOG_INS: usize = 3000;
/// Log-ins of one device in a row: fewer than the server takes for a fault.
const OF_ONE_DEVICE: usize = 15;
/// What a storm, or a log-in, gets.
const PATIENCE: Duration = Duration::from_secs(120);
/// So that buffers of what has just happened are given back before memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);
/// Longer than the time between two probes of a service.
const WATCHED: Duration = Duration::from_secs(50);

/// The tables.
pub(crate) fn run(place: &Place, runtime: &Runtime, quick: bool) -> Result<Vec<Section>> {
    let clients: &[usize] = if quick { &[100, 1000] } else { &[100, 1000, 10_000, 30_000, 100_000] };
    let sessions: &[usize] = if quick { &[500] } else { &[1000, 5000, 15_000] };
    let addresses: &[u32] = if quick { &[1000, 18_000] } else { &[1000, 10_000, 18_000, 100_000] };
    let mut registry = Registry::on_a_port(place, "ladder", "limits.connections = 200000")?;
    let clients = registered_clients(place, runtime, &mut registry, clients)?;
    let sessions = live_sessions(place, runtime, sessions)?;
    let accepts = known_addresses(place, addresses)?;
    Ok(vec![clients, sessions, accepts])
}

fn registered_clients(
    place: &Place,
    runtime: &Runtime,
    registry: &mut Registry,
    sizes: &[usize],
) -> Result<Section> {
    let mut section = Section::new(
        "ladder_clients",
        "Registered clients",
        "So many clients are registered, and up to a thousand of them log in again and again, 64 side by side: from \
         the dial to the welcome, with agents that share the machine's processors with the server. Then the operator \
         asks for everything, twice each, while clients log in one after the other.",
        &[
            "clients",
            "start ms",
            "server MB",
            "log-ins/s",
            "server CPU ms/log-in",
            "status ms",
            "clients list ms",
            "log-in meanwhile, median ms",
            "the slowest of those, ms",
        ],
    );
    for &size in sizes {
        eprintln!("ladder: {size} registered clients");
        registry.grow(runtime, size)?;
        let begin = Instant::now();
        let server = registry.serve()?;
        let start = begin.elapsed();
        std::thread::sleep(SETTLE);
        let used = memory(&[server.id]);
        let log_ins = runtime.block_on(log_ins(registry, &server, place, size))?;
        let looked = look_up(runtime, registry, &server, place)?;
        section.row([
            Cell::Number(size as f64, 0),
            Cell::Number(ms(start), 0),
            Cell::Number(used, 1),
            Cell::Number(log_ins.per_second, 0),
            Cell::Number(log_ins.cpu_ms, 2),
            Cell::number(median(&looked.status_ms), 0),
            Cell::number(median(&looked.list_ms), 0),
            Cell::number(median(&looked.log_in_ms), 1),
            Cell::number(looked.log_in_ms.iter().copied().reduce(f64::max), 0),
        ]);
    }
    Ok(section)
}

/// What many log-ins took.
struct LogIns {
    per_second: f64,
    cpu_ms: f64,
}

async fn log_ins(registry: &Registry, server: &RunningServer, place: &Place, size: usize) -> Result<LogIns> {
    let devices = size.min(1000);
    let count = LOG_INS.min(devices * OF_ONE_DEVICE);
    let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let mut tasks = JoinSet::new();
    let before = cpu_exact(server.id);
    let begin = Instant::now();
    for number in 0..count {
        let place_in_line = Arc::clone(&places).acquire_owned().await.context("a place")?;
        let agent = registry.agent(number % devices, server, place)?;
        tasks.spawn(async move {
            let online = online(&agent).await;
            drop((agent, place_in_line));
            online
        });
        while let Some(ended) = tasks.try_join_next() {
            ended.context("a log-in")??;
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a log-in")??;
    }
    let took = begin.elapsed();
    let used = cpu_exact(server.id).saturating_sub(before);
    Ok(LogIns { per_second: count as f64 / took.as_secs_f64(), cpu_ms: ms(used) / count as f64 })
}

async fn online(agent: &Agent) -> Result<Duration> {
    let begin = Instant::now();
    agent.switch(true).await;
    let mut view = agent.view();
    let online = view.wait_for(|view| matches!(view.state, AgentState::Online { .. }));
    tokio::time::timeout(PATIENCE, online).await.context("a client did not come online")??;
    Ok(begin.elapsed())
}

/// How long the operator waited, and those who logged in meanwhile.
struct Looked {
    status_ms: Vec<f64>,
    list_ms: Vec<f64>,
    log_in_ms: Vec<f64>,
}

fn look_up(runtime: &Runtime, registry: &Registry, server: &RunningServer, place: &Place) -> Result<Looked> {
    let done = AtomicBool::new(false);
    let ask = |words: &[&str]| {
        let begin = Instant::now();
        ask(&mut registry.command(words)).map(|_| ms(begin.elapsed()))
    };
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let looks = (0..2).map(|_| Ok((ask(&["status"])?, ask(&["clients", "list"])?)));
            let looks: Result<Vec<_>> = looks.collect();
            done.store(true, Ordering::Relaxed);
            looks
        });
        let mut log_in_ms = Vec::new();
        runtime.block_on(async {
            while !done.load(Ordering::Relaxed) {
                let agent = registry.agent(log_in_ms.len() % registry.len().min(1000), server, place)?;
                log_in_ms.push(ms(online(&agent).await?));
            }
            anyhow::Ok(())
        })?;
        let looks = asking.join().map_err(|_| anyhow::anyhow!("the operator failed"))??;
        let (status_ms, list_ms) = looks.into_iter().unzip();
        Ok(Looked { status_ms, list_ms, log_in_ms })
    })
}

fn live_sessions(place: &Place, runtime: &Runtime, counts: &[usize]) -> Result<Section> {
    let mut section = Section::new(
        "ladder_sessions",
        "Clients that come back",
        "So many clients are connected and the server is killed and started again: how long from its start until all \
         are back, what that costs the server above what its start costs, and what it writes into its log. Then \
         nothing happens but a PING each way in 10 s and the probes, one a service in 45 s; then the services are \
         taken back, and what the server uses less for the PINGs alone is what the probes cost. Memory per session \
         is what the server uses above what it used before the first came.",
        &[
            "sessions",
            "all back after s",
            "server CPU ms/log-in",
            "log bytes/log-in",
            "KiB per session",
            "server CPU %, idle",
            "of that probes, %",
            "probes, % per 1,000 services",
        ],
    );
    let mut registry = Registry::on_a_port(place, "ladder-sessions", "limits.connections = 200000")?;
    for &count in counts {
        eprintln!("ladder: {count} sessions");
        registry.grow(runtime, count)?;
        let storm = storm(place, runtime, &registry, count)?;
        let (idle, probes) = idle(runtime, &storm)?;
        let each = |value: f64| value / count as f64;
        section.row([
            Cell::Number(count as f64, 0),
            storm.took.map_or_else(
                || Cell::text(format!("not all within {} s", PATIENCE.as_secs())),
                |took| Cell::Number(took.as_secs_f64(), 1),
            ),
            Cell::Number(each(ms(storm.cpu)), 2),
            Cell::Number(each(storm.logged as f64), 0),
            Cell::Number(each(storm.grown * 1e6 / 1024.0), 1),
            Cell::Number(idle, 2),
            Cell::Number(probes, 2),
            Cell::Number(each(probes * 1000.0), 2),
        ]);
        // An agent that is dropped ends tasks of its runtime.
        runtime.block_on(async { drop(storm.agents) });
    }
    Ok(section)
}

/// Clients that have come back to a server that was killed.
struct Storm {
    server: RunningServer,
    agents: Vec<Agent>,
    /// From the server's start on; `None` when some did not come back.
    took: Option<Duration>,
    /// Of the server, above what its start takes.
    cpu: Duration,
    logged: u64,
    /// Memory of the server above that of an empty one, in MB.
    grown: f64,
}

fn storm(place: &Place, runtime: &Runtime, registry: &Registry, count: usize) -> Result<Storm> {
    let server = registry.serve()?;
    let (start, empty) = (cpu_exact(server.id), memory(&[server.id]));
    let mut agents = Vec::new();
    registry.connect(runtime, &server, place, &mut agents, count)?;
    server.kill();
    runtime.block_on(async {
        for agent in &agents {
            let mut view = agent.view();
            let left = view.wait_for(|view| !matches!(view.state, AgentState::Online { .. }));
            tokio::time::timeout(PATIENCE, left).await.context("a client that notices nothing")??;
        }
        anyhow::Ok(())
    })?;
    let logged = registry.log_bytes();
    let begin = Instant::now();
    let server = registry.serve()?;
    let all = runtime.block_on(async {
        for agent in &agents {
            let mut view = agent.view();
            let online = view.wait_for(|view| matches!(view.state, AgentState::Online { .. }));
            let left = PATIENCE.saturating_sub(begin.elapsed());
            if tokio::time::timeout(left, online).await.is_err() {
                return false;
            }
        }
        true
    });
    let took = all.then(|| begin.elapsed());
    let cpu = cpu_exact(server.id).saturating_sub(start);
    let logged = registry.log_bytes().saturating_sub(logged);
    std::thread::sleep(SETTLE);
    let grown = memory(&[server.id]) - empty;
    Ok(Storm { server, agents, took, cpu, logged, grown })
}

/// What nothing but PINGs and probes costs the server, and the probes by themselves: percent of a processor.
fn idle(runtime: &Runtime, storm: &Storm) -> Result<(f64, f64)> {
    let watch = || {
        let before = cpu_exact(storm.server.id);
        std::thread::sleep(WATCHED);
        cpu_exact(storm.server.id).saturating_sub(before).as_secs_f64() * 100.0 / WATCHED.as_secs_f64()
    };
    let both = watch();
    runtime.block_on(async {
        for agent in &storm.agents {
            agent.set_services(Vec::new()).await;
        }
    });
    std::thread::sleep(SETTLE);
    Ok((both, both - watch()))
}

fn known_addresses(place: &Place, counts: &[u32]) -> Result<Section> {
    let mut section = Section::new(
        "ladder_addresses",
        "Known addresses",
        "So many addresses have a connection open, and a thousand further ones come, a connection each: what the \
         table of addresses takes for each by itself, and how fast a server lets them in. Nobody asks for anything \
         but one in a thousand, so the server cuts the first after 15 s: where it takes longer than that to let so \
         many in, there is no figure, and neither where the system has no descriptors for so many.",
        &["addresses", "table, ns", "accepts/s of the next thousand", "server CPU µs/accept"],
    );
    for &count in counts {
        eprintln!("ladder: {count} known addresses");
        let table = time_newcomers(count, 1000);
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let accepted = match u64::from(count) + 1500 < descriptors {
            true => accepts_in_network(place, count)?,
            false => None,
        };
        section.row([
            Cell::Number(f64::from(count), 0),
            Cell::Number(table.as_nanos() as f64, 0),
            Cell::number(accepted.as_ref().map(|accepted| accepted.per_second), 0),
            Cell::number(accepted.as_ref().map(|accepted| accepted.cpu_us), 1),
        ]);
    }
    Ok(section)
}

fn accepts_in_network(place: &Place, count: u32) -> Result<Option<Accepts>> {
    let network = Network::new()?;
    // A thread that has entered a network stays there, and so do its sockets and the programs that it starts.
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            network.enter()?;
            accepts(place, count)
        });
        inside.join().map_err(|_| anyhow::anyhow!("the visitors failed"))?
    })
}

/// A network of its own, in which every address of 10.0.0.0/8 is this machine's. Needs root.
struct Network(String);

impl Network {
    fn new() -> Result<Self> {
        let this = Self(format!("petit-bench-{}", std::process::id()));
        let ip = |words: String| output(Command::new("ip").args(words.split_whitespace()));
        let name = &this.0;
        ip(format!("netns add {name}"))?;
        ip(format!("-n {name} link set lo up"))?;
        ip(format!("-n {name} route add local 10.0.0.0/8 dev lo"))?;
        Ok(this)
    }

    fn enter(&self) -> Result<()> {
        let network = std::fs::File::open(Path::new("/run/netns").join(&self.0)).context("the network")?;
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(network.as_fd(), kind).context("cannot enter the network")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Where the server is reached in it.
const SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 254);
/// Visitors that come together.
const TOGETHER: usize = 1000;

/// How fast visitors were let in, and what that cost.
struct Accepts {
    per_second: f64,
    cpu_us: f64,
}

/// Visitors from so many addresses come, then a thousand more, which are timed. `None` when the first had to leave
/// before the last came.
fn accepts(place: &Place, count: u32) -> Result<Option<Accepts>> {
    let runtime = Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let lines = "proxy_bind = \"0.0.0.0\"\nlimits.connections = 400000";
    let mut registry = Registry::with(place, "addresses", lines)?;
    registry.grow(&runtime, 1)?;
    let server = registry.serve()?;
    let address = SocketAddr::new(SERVER_ADDRESS.into(), server.http_port()?);
    runtime.block_on(async {
        let begin = Instant::now();
        let mut open = Vec::new();
        while open.len() < count as usize {
            arrive(&mut open, address).await?;
        }
        let before = cpu_exact(server.id);
        let start = Instant::now();
        arrive(&mut open, address).await?;
        let took = start.elapsed();
        let used = cpu_exact(server.id).saturating_sub(before);
        let are_all_there = begin.elapsed() < petit_engine::limits::HEAD;
        Ok(are_all_there.then(|| Accepts {
            per_second: TOGETHER as f64 / took.as_secs_f64(),
            cpu_us: used.as_secs_f64() * 1e6 / TOGETHER as f64,
        }))
    })
}

/// A thousand visitors, each with an address of its own. The server takes them in their order, so the answer that
/// the last one gets says that all are in.
async fn arrive(open: &mut Vec<TcpStream>, address: SocketAddr) -> Result<()> {
    for _ in 0..TOGETHER {
        let number = u32::try_from(open.len()).context("a number")?;
        let from = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 1, 0, 1)) + number);
        let socket = TcpSocket::new_v4().context("a socket")?;
        socket.bind(SocketAddr::new(from.into(), 0)).context("an address")?;
        open.push(socket.connect(address).await.context("the server's address")?);
    }
    let last = open.last_mut().context("nobody")?;
    last.write_all(b"GET / HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n").await.context("a request")?;
    let read = tokio::time::timeout(PATIENCE, last.read(&mut [0; 64])).await.context("no answer")?;
    anyhow::ensure!(read.context("an answer")? > 0, "the server does not let visitors in");
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
