//! The side-by-side part: every system under the same loads, in rounds (A B C, A B C, …), so that what disturbs
//! the machine disturbs all.

use std::time::Duration;

use anyhow::Result;

use crate::figures::{Figure, Results};
use crate::load::Direction;
use crate::place::{BIG, Place};
use crate::process::{cpu, memory};
use crate::systems::{CANDIDATES, Candidate, Running};

/// How long, how often, and what.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Of the keep-alive load; shorter ones take half.
    pub(crate) seconds: u64,
    /// Names; empty for all.
    pub(crate) only: Vec<String>,
}

/// A system that was measured.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) results: Results,
}

/// A transfer is cut off after this long; its speed is known by then.
const TRANSFER_LIMIT: Duration = Duration::from_secs(20);

struct Contestant {
    candidate: &'static Candidate,
    running: Running,
    results: Results,
}

/// Starts all, measures all, ends all.
pub(crate) fn run(place: &Place, plan: &Plan) -> Vec<Measured> {
    let mut contestants = Vec::new();
    for candidate in &CANDIDATES {
        let wanted = plan.only.is_empty() || plan.only.iter().any(|name| name == candidate.name);
        if !wanted || !candidate.is_there(place) {
            continue;
        }
        match candidate.start(place) {
            Ok(running) => {
                let mut contestant = Contestant { candidate, running, results: Results::default() };
                std::thread::sleep(Duration::from_millis(500));
                contestant.note_memory(Figure::Idle);
                contestants.push(contestant);
            }
            Err(error) => eprintln!("{} is not measured: {error:#}", candidate.name),
        }
    }
    for round in 1..=plan.rounds {
        for contestant in &mut contestants {
            eprintln!("round {round} of {}: {}", plan.rounds, contestant.candidate.name);
            contestant.round(place, plan.seconds);
        }
    }
    for contestant in &mut contestants {
        contestant.try_to("hold 1,000 connections", |this| {
            let visitors = this.running.front.hold(1000)?;
            std::thread::sleep(Duration::from_millis(300));
            this.note_memory(Figure::Idle1000);
            drop(visitors);
            Ok(())
        });
    }
    contestants.into_iter().map(Contestant::done).collect()
}

impl Contestant {
    /// One round. A load that fails is an error of the system's and leaves its figure out.
    fn round(&mut self, place: &Place, seconds: u64) {
        if self.running.processes.any_ended() {
            eprintln!("{} has died and is started again", self.candidate.name);
            self.results.add(Figure::Errors, 1.0);
            match self.candidate.start(place) {
                Ok(running) => self.running = running,
                Err(error) => eprintln!("{}: {error:#}", self.candidate.name),
            }
        }
        let short = (seconds / 2).max(1);
        self.try_to("keep-alive", |this| {
            let before = this.cpu();
            let wrk = this.running.front.wrk(64, seconds, false)?;
            let used = this.cpu() - before;
            this.results.add(Figure::Rps, wrk.per_second);
            this.results.add(Figure::P50, wrk.p50_us);
            this.results.add(Figure::P99, wrk.p99_us);
            this.results.add(Figure::Errors, wrk.errors as f64);
            if this.has_processes() {
                this.results.add(Figure::CpuRequest, used.as_secs_f64() * 1e6 / wrk.requests.max(1) as f64);
            }
            Ok(())
        });
        self.try_to("one connection", |this| {
            let wrk = this.running.front.wrk(1, short, false)?;
            this.results.add(Figure::Single, wrk.p50_us);
            this.results.add(Figure::Errors, wrk.errors as f64);
            Ok(())
        });
        self.try_to("connections of their own", |this| {
            let wrk = this.running.front.wrk(32, short, true)?;
            this.results.add(Figure::Close, wrk.per_second);
            this.results.add(Figure::Errors, wrk.errors as f64);
            Ok(())
        });
        self.try_to("download", |this| {
            let before = this.cpu();
            let transfer = this.running.front.download(4, TRANSFER_LIMIT)?;
            let used = this.cpu() - before;
            this.results.add(Figure::Down, transfer.mb_per_second());
            if this.has_processes() {
                this.results.add(Figure::CpuGb, used.as_secs_f64() * 1e9 / transfer.bytes as f64);
            }
            Ok(())
        });
        self.try_to("upload", |this| {
            let before = this.cpu();
            let transfer = this.running.front.upload(BIG)?;
            let used = this.cpu() - before;
            this.results.add(Figure::Up, transfer.mb_per_second());
            if this.has_processes() {
                this.results.add(Figure::CpuGbUp, used.as_secs_f64() * 1e9 / transfer.bytes as f64);
            }
            Ok(())
        });
        self.try_to("small requests beside bulk", |this| {
            let bulk = this.running.front.bulk(2, Direction::Down)?;
            std::thread::sleep(Duration::from_millis(500));
            let times = this.running.front.small(2, Duration::from_secs(short));
            bulk.stop()?;
            let times = times?;
            this.results.add(Figure::Fair50, times.percentile_ms(50));
            this.results.add(Figure::Fair99, times.percentile_ms(99));
            Ok(())
        });
    }

    fn try_to(&mut self, what: &str, load: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = load(self) {
            eprintln!("{}: {what}: {error:#}", self.candidate.name);
            self.results.add(Figure::Errors, 1.0);
        }
    }

    fn cpu(&self) -> Duration {
        cpu(&self.running.processes.ids())
    }

    fn has_processes(&self) -> bool {
        !self.running.processes.ids().is_empty()
    }

    fn note_memory(&mut self, figure: Figure) {
        if self.has_processes() {
            self.results.add(figure, memory(&self.running.processes.ids()));
        }
    }

    fn done(self) -> Measured {
        Measured { name: self.candidate.name, what: self.candidate.what, results: self.results }
    }
}
