//! What the windows of several streams become beside each other, over a path that is nothing but a round trip.

use std::collections::VecDeque;

use super::*;

const MIB: u64 = 1024 * 1024;
const ROUND_TRIP: Duration = Duration::from_millis(80);
/// Steps of a round trip.
const STEPS: u32 = 16;
/// What a stream sends or reads at a time.
const PIECE: u64 = 16 * 1024;

/// The streams of a session whose senders have more to send than they may, both ends and the path between.
struct Line {
    now: Instant,
    budget: Budget,
    flows: Vec<Flow>,
}

struct Flow {
    window: RecvWindow,
    credit: SendCredit,
    /// By the steps that they have still to go.
    under_way: VecDeque<u64>,
    grants: VecDeque<u32>,
    /// The reader takes no more than this in a step.
    reads: u64,
    received: u64,
    read: u64,
}

impl Line {
    fn new() -> Self {
        let mut budget = Budget::new(limits::SESSION_WINDOW_BYTES);
        budget.set_wide();
        Self { now: Instant::now(), budget, flows: Vec::new() }
    }

    /// A stream whose reader takes so many bytes in a second.
    fn open_at(&mut self, bytes_per_second: u64) -> usize {
        let size = self.budget.open();
        self.flows.push(Flow {
            window: RecvWindow::new(size),
            credit: SendCredit::new(size),
            under_way: std::iter::repeat_n(0, STEPS as usize / 2).collect(),
            grants: std::iter::repeat_n(0, STEPS as usize / 2).collect(),
            reads: bytes_per_second / 1000 * ROUND_TRIP.as_millis() as u64 / u64::from(STEPS),
            received: 0,
            read: 0,
        });
        self.flows.len() - 1
    }

    fn open(&mut self) -> usize {
        self.open_at(1_000_000_000_000)
    }

    /// The last stream ends.
    fn end_last(&mut self) {
        self.flows.pop().unwrap().window.close(&mut self.budget);
    }

    fn step(&mut self) {
        self.now += ROUND_TRIP / STEPS;
        for flow in &mut self.flows {
            let grant = flow.grants.pop_front().unwrap();
            assert!(grant == 0 || grant >= limits::MIN_GRANT_BYTES, "a peer refuses a grant of {grant}");
            flow.credit.add(grant).unwrap();
            flow.grants.push_back(0);
            let sent = flow.credit.spend(usize::MAX);
            flow.under_way.push_back(sent as u64);
            let came = flow.under_way.pop_front().unwrap();
            flow.window.receive(came as usize).unwrap();
            flow.received += came;
        }
        // The readers take turns.
        let mut left: Vec<u64> =
            self.flows.iter().map(|flow| flow.reads.min(flow.received - flow.read)).collect();
        while left.iter().any(|left| *left > 0) {
            for (flow, left) in self.flows.iter_mut().zip(&mut left) {
                let piece = PIECE.min(*left);
                *left -= piece;
                flow.read += piece;
                let grant = flow.window.consume(piece as usize, self.now, Some(ROUND_TRIP), &mut self.budget);
                *flow.grants.back_mut().unwrap() += grant.unwrap_or_default();
            }
        }
        let claimed: u64 = self.flows.iter().map(|flow| u64::from(flow.window.size())).sum();
        assert_eq!(self.budget.claimed(), claimed);
        // The smallest window is everybody's, whatever there is.
        let least = u64::from(limits::MIN_WINDOW_BYTES) * self.flows.len() as u64;
        assert!(claimed <= limits::SESSION_WINDOW_BYTES + least, "{claimed}");
        assert!(self.flows.iter().all(|flow| sum(&flow.window) == u64::from(flow.window.size())));
    }

    /// What each reads in so many round trips.
    fn read_in(&mut self, round_trips: u32) -> Vec<u64> {
        let before: Vec<u64> = self.flows.iter().map(|flow| flow.read).collect();
        for _ in 0..round_trips * STEPS {
            self.step();
        }
        self.flows.iter().zip(before).map(|(flow, before)| flow.read - before).collect()
    }
}

fn percent(read: &[u64], of: usize) -> u64 {
    100 * read[of] / read.iter().sum::<u64>()
}

#[test]
fn one_download_gets_250_megabytes_a_second_over_80_milliseconds() {
    let mut line = Line::new();
    line.open();
    let first = line.read_in(13)[0];
    assert!(first > 120_000_000, "{first} bytes in the first second");
    let second = line.read_in(13)[0];
    assert!(second > 13 * 20_000_000, "{second} bytes in the next");
}

#[test]
fn a_peer_that_bears_no_wide_windows_is_granted_none() {
    let mut line = Line { budget: Budget::new(limits::SESSION_WINDOW_BYTES), ..Line::new() };
    line.open();
    line.read_in(40);
    assert_eq!(line.flows[0].window.size(), limits::MAX_WINDOW_BYTES);
}

#[test]
fn the_third_of_three_downloads_gets_as_much_as_those_that_were_there_before() {
    let mut line = Line::new();
    line.open();
    line.read_in(20);
    line.open();
    line.read_in(20);
    let third = line.open();
    // A second later it has its share.
    line.read_in(13);
    let read = line.read_in(26);
    for download in 0..=third {
        assert!((30..=37).contains(&percent(&read, download)), "{read:?}");
    }
    assert!(read.iter().sum::<u64>() > 26 * 18_000_000, "and the line is as full as before: {read:?}");
}

#[test]
fn what_downloads_leave_when_they_end_goes_to_those_that_remain() {
    let mut line = Line::new();
    for _ in 0..3 {
        line.open();
    }
    line.read_in(30);
    line.end_last();
    line.end_last();
    line.read_in(13);
    assert!(line.read_in(13)[0] > 13 * 20_000_000);
}

#[test]
fn whoever_needs_little_takes_from_the_others_no_more_than_that() {
    let mut line = Line::new();
    line.open();
    line.read_in(30);
    // A window of 2 MiB is enough for its reader.
    let modest = line.open_at(10_000_000);
    line.read_in(13);
    let read = line.read_in(13);
    assert!(read[modest] > 13 * 790_000, "{read:?}");
    assert!(u64::from(line.flows[modest].window.size()) < 5 * MIB);
    assert!(read[0] > 13 * 17_000_000, "{read:?}");
}

#[test]
fn there_is_always_room_for_the_usual_windows_of_a_few_new_streams() {
    let mut line = Line::new();
    for _ in 0..2 {
        line.open();
        line.read_in(30);
    }
    for _ in 0..16 {
        let new = line.open();
        assert_eq!(line.flows[new].window.size(), limits::INITIAL_WINDOW_BYTES);
    }
    for _ in 0..16 {
        line.end_last();
    }
    // They need no more, and so the large ones give back for the next.
    for _ in 0..16 {
        line.open_at(1_000_000);
    }
    line.read_in(8);
    let new = line.open();
    assert_eq!(line.flows[new].window.size(), limits::INITIAL_WINDOW_BYTES);
}

#[test]
fn those_who_came_last_into_a_crowd_are_no_worse_off_than_the_first() {
    let mut line = Line::new();
    for _ in 0..200 {
        line.open();
    }
    assert_eq!(line.flows[199].window.size(), limits::MIN_WINDOW_BYTES, "the memory is spoken for");
    line.read_in(40);
    let read = line.read_in(20);
    let (least, most) = (read.iter().min().unwrap(), read.iter().max().unwrap());
    assert!(least * 2 > *most, "{least} and {most}");
}

#[test]
fn a_reader_that_stands_still_keeps_its_window_and_nobody_waits_for_it() {
    let mut line = Line::new();
    line.open();
    line.read_in(20);
    let held = line.flows[0].window.size();
    line.flows[0].reads = 0;
    let other = line.open();
    line.read_in(20);
    assert_eq!(line.flows[0].window.size(), held, "what was granted cannot be taken back");
    let left = limits::SESSION_WINDOW_BYTES * 7 / 8 - u64::from(held);
    assert!(u64::from(line.flows[other].window.size()) >= left, "{:?}", line.flows[other].window);
}

proptest! {
    /// The books of the session and of each stream agree, whoever comes and goes, and nobody is left without a window.
    #[test]
    fn memory_is_conserved(moves in proptest::collection::vec((0u8..4, 0u64..400_000_000), 1..60)) {
        let mut line = Line::new();
        for (what, number) in moves {
            match what {
                0 if line.flows.len() > 1 => line.end_last(),
                1 => {
                    if let Some(flow) = line.flows.last_mut() {
                        flow.reads = number / 1000;
                    }
                }
                // No more than there is room for in the smallest windows.
                _ if line.flows.len() < 60 => {
                    line.open_at(number);
                }
                _ => {}
            }
            line.read_in(1); // asserts it
        }
        prop_assert!(line.flows.iter().all(|flow| flow.window.size() >= limits::MIN_WINDOW_BYTES));
        while !line.flows.is_empty() {
            line.end_last();
        }
        prop_assert_eq!(line.budget.claimed(), 0);
    }
}
