//! What each of several downloads gets of a line that is long: what is on the way to a visitor is memory of the session's,
//! and whoever came first must not have all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::service::Service;
use petit_tests::soon;
use tokio::task::JoinSet;

use super::Home;

/// Two downloads have all that they can get; a third one begins.
async fn the_third_of_three(line: HomeLine) {
    let round_trip = line.path.round_trip;
    // What the line holds, twice: whoever has got so much has the window that it wants.
    let grown = 2 * line.path.downloaded_in(round_trip);
    let service = line.customer.run(Service::http("home")).await;
    let home = Home::new(line, &service).await;
    let mut downloads = Downloads::default();
    for _ in 0..2 {
        let download = downloads.begin(&home).await;
        soon("the window to grow", downloads.until(download, grown)).await;
    }
    let third = downloads.begin(&home).await;
    // A third of its share comes to a fifth of the whole only when the rest comes soon.
    tokio::time::sleep(20 * round_trip).await;
    let before = downloads.counts();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let counts: Vec<u64> =
        downloads.counts().iter().zip(before).map(|(after, before)| after - before).collect();
    let all: u64 = counts.iter().sum();
    assert!(counts[third] * 5 >= all, "the third has got {} of {all} bytes: {counts:?}", counts[third]);
    assert!(counts.iter().all(|count| count * 5 >= all), "and so have the others: {counts:?}");
    home.session_was_kept();
}

/// Downloads without an end.
#[derive(Default)]
struct Downloads {
    taken: Vec<Arc<AtomicU64>>,
    readers: JoinSet<()>,
}

impl Downloads {
    async fn begin(&mut self, home: &Home) -> usize {
        let mut body = home.download(1 << 40).await;
        let taken = Arc::new(AtomicU64::new(0));
        self.taken.push(Arc::clone(&taken));
        self.readers.spawn(async move {
            while let Some(frame) = body.frame().await {
                let bytes = frame.unwrap().into_data().unwrap().len();
                taken.fetch_add(bytes as u64, Ordering::Relaxed);
            }
        });
        self.taken.len() - 1
    }

    fn counts(&self) -> Vec<u64> {
        self.taken.iter().map(|taken| taken.load(Ordering::Relaxed)).collect()
    }

    async fn until(&self, download: usize, bytes: u64) {
        while self.taken[download].load(Ordering::Relaxed) < bytes {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[test]
fn the_third_of_three_downloads_gets_its_share_of_a_line_across_a_continent() {
    on_home_line(Path::CONTINENT, the_third_of_three);
}

#[test]
fn the_third_of_three_downloads_gets_its_share_of_a_line_by_satellite_that_is_wide() {
    on_home_line(Path::WIDE_SATELLITE, the_third_of_three);
}

#[test]
fn the_third_of_three_downloads_gets_its_share_of_a_cable() {
    on_home_line(Path::CABLE, the_third_of_three);
}
