mod fair;

use proptest::prelude::*;

use super::*;

fn sum(window: &RecvWindow) -> u64 {
    u64::from(window.granted) + u64::from(window.buffered) + u64::from(window.consumed)
}

#[test]
fn a_frame_beyond_the_window_is_refused_and_changes_nothing() {
    let mut window = RecvWindow::new(100);
    assert_eq!(window.receive(60), Ok(()));
    assert_eq!(window.receive(41), Err(CreditError::Exceeded { length: 41, granted: 40 }));
    assert_eq!(window.receive(40), Ok(()));
    assert_eq!(sum(&window), 100);
}

#[test]
fn credit_beyond_any_window_is_refused() {
    let mut credit = SendCredit::new(limits::INITIAL_WINDOW_BYTES);
    assert!(credit.add(limits::WIDE_WINDOW_BYTES).is_err());
    assert!(credit.add(u32::MAX).is_err());
    assert_eq!(credit.add(limits::WIDE_WINDOW_BYTES - limits::INITIAL_WINDOW_BYTES), Ok(()));
    assert_eq!(credit.held(), limits::WIDE_WINDOW_BYTES as usize);
}

#[test]
fn a_window_of_a_mib_is_granted_in_eighths_and_a_smaller_one_in_quarters() {
    for (size, part) in [(1024 * 1024 - 4, 4), (1024 * 1024, 8)] {
        let mut budget = Budget::new(limits::SESSION_WINDOW_BYTES);
        let mut window = RecvWindow::new(size);
        let due = size / part;
        window.receive(due as usize).unwrap();
        assert_eq!(window.consume(due as usize - 1, Instant::now(), None, &mut budget), None, "{size}");
        assert_eq!(window.consume(1, Instant::now(), None, &mut budget), Some(due), "{size}");
    }
}

/// Runs a download whose sender is limited by credit alone, over a path with the given round trip, and
/// returns the window at the end.
fn window_after(round_trip: Duration, rate_limit: f64, rounds: u32) -> u32 {
    let start = Instant::now();
    let mut now = start;
    let mut budget = Budget::new(limits::SESSION_WINDOW_BYTES);
    let mut window = RecvWindow::new(budget.open());
    for _ in 0..rounds {
        now += round_trip.max(Duration::from_millis(1));
        let possible = (rate_limit * round_trip.max(Duration::from_millis(1)).as_secs_f64()) as u32;
        let mut left = window.granted().min(possible);
        while left > 0 {
            let piece = left.min(16 * 1024);
            window.receive(piece as usize).unwrap();
            window.consume(piece as usize, now, Some(round_trip), &mut budget);
            left -= piece;
        }
    }
    window.size()
}

#[test]
fn a_long_path_opens_the_window_within_a_dozen_round_trips() {
    let size = window_after(Duration::from_millis(80), 1e9, 12);
    assert_eq!(size, limits::MAX_WINDOW_BYTES);
}

#[test]
fn a_path_without_distance_keeps_the_window_small() {
    let size = window_after(Duration::from_micros(120), 1e9, 5_000);
    assert!(size <= 2 * limits::INITIAL_WINDOW_BYTES, "{size}");
}

#[test]
fn a_slow_consumer_does_not_grow_the_window() {
    let size = window_after(Duration::from_millis(80), 500e3, 200);
    assert_eq!(size, limits::INITIAL_WINDOW_BYTES);
}

#[test]
fn a_spent_budget_gives_small_windows_and_no_growth() {
    let mut budget = Budget::new(u64::from(limits::INITIAL_WINDOW_BYTES));
    assert_eq!(budget.open(), limits::INITIAL_WINDOW_BYTES);
    assert_eq!(budget.open(), limits::MIN_WINDOW_BYTES);
    assert_eq!(budget.grow_to_share(&Seat::default(), limits::MIN_WINDOW_BYTES, u32::MAX), 0);
    assert_eq!(budget.grow_beyond_share(&Seat::default(), limits::MIN_WINDOW_BYTES, u32::MAX), 0);
    RecvWindow::new(limits::INITIAL_WINDOW_BYTES).close(&mut budget);
    assert_eq!(budget.claimed(), u64::from(limits::MIN_WINDOW_BYTES));
}

proptest! {
    /// The sender's and the receiver's books agree after any sequence of sends, reads and delays in transit.
    #[test]
    fn credit_is_conserved(
        steps in proptest::collection::vec((0u8..4, 1usize..70_000, 0u64..200_000), 1..400),
        round_trip in proptest::option::of(1u64..200_000),
    ) {
        let mut now = Instant::now();
        let mut budget = Budget::new(4 * 1024 * 1024);
        let mut window = RecvWindow::new(budget.open());
        let mut credit = SendCredit::new(window.size());
        let (mut in_flight, mut grants) = (Vec::new(), Vec::new());
        for (step, amount, micros) in steps {
            now += Duration::from_micros(micros);
            match step {
                0 => {
                    let sent = credit.spend(amount);
                    if sent > 0 {
                        in_flight.push(sent);
                    }
                }
                1 => {
                    if !in_flight.is_empty() {
                        prop_assert_eq!(window.receive(in_flight.remove(0)), Ok(()));
                    }
                }
                2 => {
                    let grant =
                        window.consume(amount, now, round_trip.map(Duration::from_micros), &mut budget);
                    grants.extend(grant);
                }
                _ => {
                    if !grants.is_empty() {
                        prop_assert_eq!(credit.add(grants.remove(0)), Ok(()));
                    }
                }
            }
            prop_assert_eq!(sum(&window), u64::from(window.size()));
            let on_the_way: u64 = grants.iter().map(|grant| u64::from(*grant)).sum();
            let sent: u64 = in_flight.iter().map(|sent| *sent as u64).sum();
            prop_assert_eq!(credit.held() as u64 + on_the_way + sent, u64::from(window.granted()));
            prop_assert_eq!(budget.claimed(), u64::from(window.size()));
            prop_assert!(window.size() <= limits::MAX_WINDOW_BYTES);
        }
        // Whatever happened, a reader that keeps reading frees the sender.
        for sent in in_flight {
            window.receive(sent).unwrap();
        }
        let last = window.consume(usize::MAX, now, None, &mut budget);
        for grant in grants.into_iter().chain(last) {
            credit.add(grant).unwrap();
        }
        prop_assert!(credit.held() as u32 >= window.size() / 2, "the stream would hang");
    }
}
