//! Lines that are not a cable: a long one, and a slow one.

use std::time::Duration;

use anyhow::Result;
use petit_tests::chaos::{Chaos, Trouble};
use tokio::runtime::Runtime;

use crate::load::{Direction, Times};
use crate::petit::{DialVia, Petit};
use crate::place::{BIG, Place};
use crate::section::{Cell, Section};

/// One way.
const FAR: Duration = Duration::from_millis(40);
/// 10 Mbit/s, in bytes.
const SLOW: u64 = 10_000_000 / 8;
/// What the modem at the slow line queues: 52 ms at its speed.
const MODEM_BYTES: u32 = 64 * 1024;
/// A download is cut off after this long; its speed is known by then.
const LIMIT: Duration = Duration::from_secs(15);

/// In this time the window of a download has grown to what the line wants.
const GROWN: Duration = Duration::from_secs(3);
/// So long its speed is watched then.
const WATCHED: Duration = Duration::from_secs(5);

const HEADS: [&str; 4] = ["figure", "Petit", "bar", "met"];

/// A round trip of 80 ms between client and server, with all the bandwidth there is.
pub(crate) fn long(place: &Place, runtime: &Runtime, quick: bool) -> Result<Section> {
    let chaos = runtime.block_on(Chaos::before(place.origin.plain));
    let dir = place.dir("petit-long")?;
    let petit = Petit::new(&place.programs, &dir, &place.server_config)?;
    let petit = petit.start(place.origin.plain, &DialVia::Through(&chaos))?;
    let front = petit.front;
    front.until_answers()?;
    chaos.set_both(Trouble::latency(FAR));
    // The shortest round trip decides how windows grow; a new session knows no shorter one.
    chaos.cut();
    front.until_answers()?;

    let samples = if quick { 5 } else { 20 };
    let mut fresh = Vec::new();
    for _ in 0..samples {
        fresh.push(front.fresh()?);
    }
    let fresh = Times::new(fresh);
    let at_once = front.at_once(24)?;
    let first = front.download(1, LIMIT)?.mb_per_second();
    let second = front.download(1, LIMIT)?.mb_per_second();
    let grown = front.rate_of_one(GROWN, WATCHED)?;
    let up = front.upload(if quick { BIG / 4 } else { BIG })?.mb_per_second();

    let mut section = Section::new(
        "long_pipe",
        "A long line",
        "Client and server are 80 ms of round trip apart (a proxy of the project's own holds every byte for 40 ms each \
         way; the bandwidth is what the machine gives). A request that comes out of the blue should cost one round \
         trip and nothing else, and one download should not be slowed down by the distance.",
        &HEADS,
    );
    at_most(&mut section, "a request on a new connection, median ms", fresh.percentile_ms(50), 85.0);
    section.row([
        Cell::text("the slowest of those, ms"),
        Cell::Number(fresh.percentile_ms(100), 1),
        Cell::Nothing,
        Cell::Nothing,
    ]);
    for (name, value) in [
        ("24 requests at the same moment, median ms", at_once.percentile_ms(50)),
        ("the slowest of those, ms", at_once.percentile_ms(100)),
    ] {
        section.row([Cell::text(name), Cell::Number(value, 1), Cell::Nothing, Cell::Nothing]);
    }
    at_least(&mut section, "one download of 256 MiB, MB/s", first, 100.0);
    at_least(&mut section, "the same again, MB/s", second, 100.0);
    at_least(&mut section, "one download that goes on, MB/s from its third second on", grown, 250.0);
    section.row([Cell::text("one upload, MB/s"), Cell::Number(up, 1), Cell::Nothing, Cell::Nothing]);
    Ok(section)
}

/// A slow line that a bulk transfer fills.
pub(crate) fn slow(place: &Place, runtime: &Runtime, quick: bool) -> Result<Section> {
    let chaos = runtime.block_on(Chaos::with_queue(place.origin.plain, MODEM_BYTES));
    let dir = place.dir("petit-slow")?;
    let petit = Petit::new(&place.programs, &dir, &place.server_config)?;
    let petit = petit.start(place.origin.plain, &DialVia::Through(&chaos))?;
    let front = petit.front;
    front.until_answers()?;
    chaos.set_both(Trouble::bytes_per_second(SLOW));
    let seconds = Duration::from_secs(if quick { 4 } else { 10 });

    let mut section = Section::new(
        "slow_line",
        "A slow line that is full",
        "The client's line carries 10 Mbit/s and queues 64 KiB (52 ms), as a modem does. Small requests on two \
         connections go on while a bulk transfer takes all that the line gives.",
        &HEADS,
    );
    let alone = front.small(2, Duration::from_secs(2))?;
    section.row([
        Cell::text("nothing else on the line, median ms"),
        Cell::Number(alone.percentile_ms(50), 1),
        Cell::Nothing,
        Cell::Nothing,
    ]);
    for (name, direction) in [
        ("bulk from the client up to the server", Direction::Down),
        ("bulk from the server down to the client", Direction::Up),
    ] {
        let bulk = front.bulk(1, direction)?;
        // Until the queues on the way are full.
        std::thread::sleep(Duration::from_secs(3));
        let times = front.small(2, seconds);
        let bulk = bulk.stop()?;
        let times = times?;
        at_most(&mut section, &format!("{name}: small requests, median ms"), times.percentile_ms(50), 150.0);
        for (what, value) in [
            ("99 of 100 of those, ms", times.percentile_ms(99)),
            ("small requests answered", times.count() as f64),
            ("the bulk transfer, MB/s", bulk.mb_per_second()),
        ] {
            section.row([
                Cell::text(format!("{name}: {what}")),
                Cell::Number(value, 1),
                Cell::Nothing,
                Cell::Nothing,
            ]);
        }
        // What is still queued drains before the next.
        front.until_answers()?;
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(section)
}

/// A row with a bar that the figure must not exceed.
pub(crate) fn at_most(section: &mut Section, name: &str, value: f64, limit: f64) {
    judged(section, name, value, &format!("≤ {limit}"), value <= limit);
}

/// A row with a bar that the figure must reach.
pub(crate) fn at_least(section: &mut Section, name: &str, value: f64, limit: f64) {
    judged(section, name, value, &format!("≥ {limit}"), value >= limit);
}

fn judged(section: &mut Section, name: &str, value: f64, bar: &str, is_met: bool) {
    let met = if is_met { "yes" } else { "no" };
    let digits = if value < 10.0 { 2 } else { 1 };
    section.row([Cell::text(name), Cell::Number(value, digits), Cell::text(bar), Cell::text(met)]);
}
