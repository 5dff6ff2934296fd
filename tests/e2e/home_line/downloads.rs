//! Downloads that fill the customer's uplink.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::pattern::Check;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::h2_request;

use super::{Home, LONGER, whole};

/// So many downloads at once, which together fill the line.
async fn downloads(line: HomeLine, count: u64) {
    let path = line.path;
    let service = line.customer.run(Service::http("home")).await;
    let home = Home::new(line, &service).await;
    let each = path.downloaded_in(LONGER) / count;
    let start = Instant::now();
    let downloads = (0..count).map(|_| async { whole(home.download(each).await, each).await });
    soon("the downloads", join_all(downloads)).await;
    assert!(start.elapsed() > LONGER * 9 / 10, "the line was full: {:?}", start.elapsed());
    home.session_was_kept();
    assert_eq!(service.requests(), count, "none was repeated");
}

#[test]
fn a_download_may_fill_a_line() {
    on_home_line(Path::DSL, async |line| downloads(line, 1).await);
}

#[test]
fn two_downloads_may_fill_a_line() {
    on_home_line(Path::DSL, async |line| downloads(line, 2).await);
}

#[test]
fn three_downloads_may_fill_a_cable() {
    on_home_line(Path::CABLE, async |line| downloads(line, 3).await);
}

#[test]
fn three_downloads_may_fill_a_line_by_satellite() {
    on_home_line(Path::SATELLITE, async |line| downloads(line, 3).await);
}

#[test]
fn ten_downloads_may_fill_a_line() {
    on_home_line(Path::DSL, async |line| downloads(line, 10).await);
}

#[test]
fn ten_downloads_may_fill_a_line_with_a_long_queue() {
    on_home_line(Path::MOBILE, async |line| downloads(line, 10).await);
}

#[test]
fn three_downloads_on_one_connection_of_http2_may_fill_a_line() {
    on_home_line(Path::DSL, async |line| {
        let path = line.path;
        let service = line.customer.run(Service::http("home")).await;
        let home = Home::new(line, &service).await;
        let each = path.downloaded_in(LONGER) / 3;
        let sender = home.bed.visitor().connect_h2().await;
        let downloads = (0..3).map(|_| {
            let (mut sender, home) = (sender.clone(), &home);
            async move {
                let asked = h2_request(&home.host(), "GET", &format!("/bytes/{each}"), Empty::<Bytes>::new());
                let answer = soon("an answer", sender.send_request(asked)).await.unwrap();
                whole(answer.into_body(), each).await;
            }
        });
        soon("the downloads", join_all(downloads)).await;
        home.session_was_kept();
    });
}

/// Faster than a test's programs can be for long; the line is the narrow place only some of the time.
#[test]
fn downloads_pass_a_fast_line_with_a_short_round_trip() {
    on_home_line(Path::FIBRE, async |line| {
        let length = line.path.downloaded_in(Duration::from_secs(1));
        let service = line.customer.run(Service::http("home")).await;
        let home = Home::new(line, &service).await;
        soon(
            "the downloads",
            join_all((0..3).map(|_| async { whole(home.download(length).await, length).await })),
        )
        .await;
        home.session_was_kept();
    });
}

/// Beside two who take all they can get, one takes little, one pauses, one leaves.
#[test]
fn visitors_who_are_slow_pause_or_leave_cost_the_others_nothing() {
    on_home_line(Path::CABLE, async |line| {
        let path = line.path;
        let service = line.customer.run(Service::http("home")).await;
        let home = Home::new(line, &service).await;
        let each = path.downloaded_in(LONGER) / 2;
        let quick = || async { whole(home.download(each).await, each).await };
        let slow = async {
            // 20 kB in a second, for as long as the others take.
            let length = 20_000 * LONGER.as_secs();
            let (mut body, mut check) = (home.download(length).await, Check::default());
            while check.count() < length {
                let frame = soon("a piece", body.frame()).await.unwrap().unwrap();
                let data = frame.into_data().unwrap();
                check.take(&data);
                tokio::time::sleep(Duration::from_secs(data.len() as u64) / 20_000).await;
            }
        };
        let pausing = async {
            let length = 3_000_000;
            let mut body = home.download(length).await;
            let first = soon("a piece", body.frame()).await.unwrap().unwrap().into_data().unwrap();
            let mut check = Check::default();
            check.take(&first);
            // Less than [`limits::WRITE_IDLE`], more than [`limits::DEAD_AFTER`].
            tokio::time::sleep(Duration::from_secs(25)).await;
            while let Some(frame) = soon("a piece", body.frame()).await {
                check.take(&frame.unwrap().into_data().unwrap());
            }
            assert_eq!(check.count(), length);
        };
        let leaving = async {
            for _ in 0..10 {
                let mut body = home.download(100_000_000).await;
                soon("a piece", body.frame()).await.unwrap().unwrap();
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        };
        let all = async { tokio::join!(quick(), quick(), slow, pausing, leaving) };
        soon("the downloads", Box::pin(all)).await;
        home.session_was_kept();
    });
}
