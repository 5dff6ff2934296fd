//! What the server's cost grows with: registered services, live sessions, idle visitors, threads. One at a time.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use petit_engine::agent::Agent;
use tokio::runtime::Runtime;

use crate::fleet::{Registry, RunningServer};
use crate::load::Front;
use crate::place::Place;
use crate::process::{cpu, cpu_exact, memory};
use crate::section::{Cell, Section};

/// So that buffers of what has just happened are given back before memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);

/// The tables, and what a session costs at the largest number of them.
pub(crate) fn run(place: &Place, runtime: &Runtime, quick: bool) -> Result<Vec<Section>> {
    let sizes: &[usize] = if quick { &[10, 1000] } else { &[10, 100, 1000, 10_000] };
    let sessions: &[usize] = if quick { &[1, 500] } else { &[1, 10, 100, 1000, 2000] };
    let visitors: &[usize] = if quick { &[1, 1000] } else { &[1, 100, 1000, 10_000] };
    let mut many = Registry::new(place, "many")?;
    let services = services(place, runtime, &mut many, sizes)?;
    // Registries of their own: memory that a server needs for a moment to read ten thousand rows stays with it
    // and would hide what sessions and visitors take.
    let mut registry = Registry::new(place, "sessions")?;
    registry.grow(runtime, 1)?;
    let server = registry.serve()?;
    std::thread::sleep(SETTLE);
    let empty = memory(&[server.id]);
    let mut agents = Vec::new();
    registry.connect(runtime, &server, place, &mut agents, 1)?;
    let visitors = idle_visitors(&registry, &server, visitors)?;
    end(runtime, agents);
    drop(server);
    registry.grow(runtime, sessions.last().copied().unwrap_or(1))?;
    let server = registry.serve()?;
    let mut agents = Vec::new();
    let sessions = live_sessions(place, runtime, &registry, &server, &mut agents, sessions, empty)?;
    end(runtime, agents);
    drop(server);
    let shards = shards(place, runtime, if quick { 1 } else { 5 })?;
    Ok(vec![services, sessions, visitors, shards])
}

/// One thread beside two, in turns.
fn shards(place: &Place, runtime: &Runtime, rounds: usize) -> Result<Section> {
    let mut section = Section::new(
        "threads",
        "Threads",
        "The server with one thread and with two, and two clients, each with a load of its own at the same time. The \
         load, both services and both clients share the machine's processors with the server, so what counts is the \
         CPU time per request, which should not depend on the threads; medians of rounds in turns.",
        &["threads", "server CPU µs/request", "requests/s", "kept by the busiest thread %"],
    );
    let mut taken = [1, 2].map(|threads| (threads, Vec::new()));
    for round in 0..rounds {
        for (threads, figures) in &mut taken {
            eprintln!("scale: {threads} threads, round {} of {rounds}", round + 1);
            let lines = format!("limits.threads = {threads}");
            let mut registry = Registry::with(place, &format!("threads-{threads}-{round}"), &lines)?;
            registry.grow(runtime, 2)?;
            let server = registry.serve()?;
            let mut agents = Vec::new();
            registry.connect(runtime, &server, place, &mut agents, 2)?;
            figures.push(two_loads(&registry, &server)?);
            end(runtime, agents);
        }
    }
    for (threads, mut figures) in taken {
        let mut middle = |of: fn(&Loaded) -> f64| {
            figures.sort_by(|one, other| of(one).total_cmp(&of(other)));
            figures.get(figures.len() / 2).map_or(0.0, of)
        };
        section.row([
            Cell::Number(f64::from(threads), 0),
            Cell::Number(middle(|loaded| loaded.cpu_us), 1),
            Cell::Number(middle(|loaded| loaded.per_second), 0),
            Cell::Number(middle(|loaded| loaded.busiest_percent), 0),
        ]);
    }
    Ok(section)
}

/// A server under two loads.
struct Loaded {
    cpu_us: f64,
    per_second: f64,
    /// What the busiest thread used of all that was used.
    busiest_percent: f64,
}

fn two_loads(registry: &Registry, server: &RunningServer) -> Result<Loaded> {
    const SECONDS: u64 = 4;
    let fronts = [registry.front_of(server, 0)?, registry.front_of(server, 1)?];
    for front in &fronts {
        front.until_answers()?;
    }
    let before = thread_times(server.id)?;
    let loads = std::thread::scope(|scope| {
        let loads = fronts.each_ref().map(|front| scope.spawn(|| front.wrk(32, SECONDS, false)));
        loads.map(|load| load.join().map_err(|_| anyhow::anyhow!("a load failed")))
    });
    let mut requests = 0;
    for load in loads {
        let load = load??;
        anyhow::ensure!(load.errors == 0, "{} requests failed", load.errors);
        requests += load.requests;
    }
    let after = thread_times(server.id)?;
    let used: Vec<f64> = after
        .iter()
        .map(|(thread, time)| (*time - before.get(thread).copied().unwrap_or_default()).as_secs_f64())
        .collect();
    let all: f64 = used.iter().sum();
    let busiest = used.iter().copied().fold(0.0, f64::max);
    let requests = requests.max(1) as f64;
    Ok(Loaded {
        cpu_us: all * 1e6 / requests,
        per_second: requests / SECONDS as f64,
        busiest_percent: busiest * 100.0 / all,
    })
}

/// The CPU time that each thread of a process has used.
fn thread_times(process: u32) -> Result<HashMap<String, Duration>> {
    let mut times = HashMap::new();
    for task in std::fs::read_dir(format!("/proc/{process}/task")).context("the server's threads")? {
        let task = task.context("a thread")?;
        // In nanoseconds; `stat` counts in hundredths of a second.
        let text = std::fs::read_to_string(task.path().join("schedstat")).context("a thread's time")?;
        let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
        let time = Duration::from_nanos(nanos.context("a thread's time")?);
        times.insert(task.file_name().to_string_lossy().into_owned(), time);
    }
    Ok(times)
}

fn end(runtime: &Runtime, agents: Vec<Agent>) {
    // An agent that is dropped ends tasks of its runtime.
    runtime.block_on(async { drop(agents) });
}

fn services(place: &Place, runtime: &Runtime, registry: &mut Registry, sizes: &[usize]) -> Result<Section> {
    let mut section = Section::new(
        "registered_services",
        "Registered services",
        "So many devices are registered, each with a service; one of them is connected and visited. The look-up goes \
         from the host in a request to the device that serves it.",
        &["services", "look-up ns", "server MB", "server CPU µs/request"],
    );
    for &size in sizes {
        eprintln!("scale: {size} registered services");
        let took = registry.grow(runtime, size)?;
        let server = registry.serve()?;
        let mut agents = Vec::new();
        registry.connect(runtime, &server, place, &mut agents, 1)?;
        std::thread::sleep(SETTLE);
        let used = memory(&[server.id]);
        let request = cpu_per_request(&registry.front(&server)?, &server)?;
        section.row([
            Cell::Number(size as f64, 0),
            Cell::Number(took, 0),
            Cell::Number(used, 1),
            Cell::Number(request, 1),
        ]);
        end(runtime, agents);
    }
    Ok(section)
}

fn live_sessions(
    place: &Place,
    runtime: &Runtime,
    registry: &Registry,
    server: &RunningServer,
    agents: &mut Vec<Agent>,
    counts: &[usize],
    empty: f64,
) -> Result<Section> {
    let most = counts.last().copied().unwrap_or_default();
    let mut section = Section::new(
        "live_sessions",
        "Live sessions",
        "So many clients are connected, each with one service that is tried end to end every 45 s and is visited by \
         nobody, but for one that answers the load. Memory per session is what the server uses above one with a \
         single registration and no session, divided by the sessions: so it holds their registrations as well. \
         The bar: 64 KiB at 2,000 sessions.",
        &["sessions", "server MB", "KiB per session", "server CPU % idle", "server CPU µs/request"],
    );
    for &count in counts {
        eprintln!("scale: {count} live sessions");
        registry.connect(runtime, server, place, agents, count)?;
        std::thread::sleep(SETTLE);
        let used = memory(&[server.id]);
        let before = cpu_exact(server.id);
        let watched = Duration::from_secs(5);
        std::thread::sleep(watched);
        let idle = cpu_exact(server.id).saturating_sub(before).as_secs_f64() * 100.0 / watched.as_secs_f64();
        let request = cpu_per_request(&registry.front(server)?, server)?;
        section.row([
            Cell::Number(count as f64, 0),
            Cell::Number(used, 1),
            // With fewer sessions than registrations it would say nothing.
            Cell::number((count == most).then(|| kib_each(used - empty, count)), 1),
            Cell::Number(idle, 2),
            Cell::Number(request, 1),
        ]);
    }
    Ok(section)
}

fn idle_visitors(registry: &Registry, server: &RunningServer, counts: &[usize]) -> Result<Section> {
    let mut section = Section::new(
        "idle_visitors",
        "Idle visitors",
        "So many visitors have had an answer and keep their connection without a word, all of one service, while \
         others load it.",
        &["visitors", "server MB", "KiB per visitor", "server CPU µs/request"],
    );
    let front = registry.front(server)?;
    front.until_answers()?;
    std::thread::sleep(SETTLE);
    let empty = memory(&[server.id]);
    for &count in counts {
        eprintln!("scale: {count} idle visitors");
        // Petit closes a connection that has been idle for 15 s; all of this takes less.
        let visitors = front.hold(count).with_context(|| format!("{count} visitors"))?;
        std::thread::sleep(Duration::from_millis(500));
        let used = memory(&[server.id]);
        let request = cpu_per_request(&front, server)?;
        section.row([
            Cell::Number(count as f64, 0),
            Cell::Number(used, 1),
            Cell::Number(kib_each(used - empty, count), 1),
            Cell::Number(request, 1),
        ]);
        drop(visitors);
        std::thread::sleep(SETTLE);
    }
    Ok(section)
}

fn kib_each(mb: f64, count: usize) -> f64 {
    mb * 1e6 / 1024.0 / count.max(1) as f64
}

/// CPU time of the server alone for a request of a keep-alive load.
fn cpu_per_request(front: &Front, server: &RunningServer) -> Result<f64> {
    let before = cpu(&[server.id]);
    let wrk = front.wrk(64, 3, false)?;
    let used = cpu(&[server.id]).saturating_sub(before);
    anyhow::ensure!(wrk.errors == 0, "{} requests failed", wrk.errors);
    Ok(used.as_secs_f64() * 1e6 / wrk.requests.max(1) as f64)
}
