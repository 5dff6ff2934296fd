//! A computer whose network changes in the middle of everything: what works is kept, what is dead is noticed.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use petit_engine::limits;
use petit_tests::chaos::{Flow, Trouble};
use petit_tests::home_line::{Path, on_home_line};
use petit_tests::service::Service;
use petit_tests::soon;

use super::{Home, LONGER, whole};

/// Another address, as a container or a VPN brings, while what is asked waits behind seconds of other bytes.
#[test]
fn a_change_of_network_that_harms_nothing_cuts_nothing_on_a_full_line() {
    on_home_line(Path { queue: 1 << 20, ..Path::DSL }, async |line| {
        let service = line.customer.run(Service::http("home")).await;
        let each = line.path.downloaded_in(Duration::from_secs(20)) / 20;
        let home = Home::new(line, &service).await;
        home.watch_network().await;
        let changes = async {
            for number in 1..4 {
                tokio::time::sleep(Duration::from_secs(4)).await;
                home.line.add_customer_address(number).await;
            }
        };
        let downloads = join_all((0..20).map(|_| async { whole(home.download(each).await, each).await }));
        soon("the downloads", async { tokio::join!(downloads, changes) }).await;
        home.session_was_kept();
    });
}

/// Held bytes are not lost: a line that stands still for less than a dead one is the same session afterwards.
#[test]
fn a_line_that_stands_still_for_a_while_goes_on_where_it_was() {
    on_home_line(Path::DSL, async |line| {
        let path = line.path;
        let service = line.customer.run(Service::http("home")).await;
        let each = path.downloaded_in(Duration::from_secs(6)) / 3;
        let home = Home::new(line, &service).await;
        let stands_still = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            home.modem.set_both(Trouble::flow(Flow::Held));
            tokio::time::sleep(limits::DEAD_AFTER - Duration::from_secs(5)).await;
            home.line.heal(&home.modem);
        };
        let downloads = join_all((0..3).map(|_| async { whole(home.download(each).await, each).await }));
        soon("the downloads", async { tokio::join!(downloads, stands_still) }).await;
        home.session_was_kept();
    });
}

/// Nobody reads for half a second, again and again, and between the pauses too little for what waits.
#[test]
fn a_line_that_stutters_is_slow_and_not_dead() {
    on_home_line(Path::DSL, async |line| {
        let service = line.customer.run(Service::http("home")).await;
        let each = 500_000;
        let home = Home::new(line, &service).await;
        let stutter = async {
            let start = Instant::now();
            while start.elapsed() < LONGER {
                home.modem.set_both(Trouble::flow(Flow::Held));
                tokio::time::sleep(Duration::from_millis(500)).await;
                home.modem.set_both(Trouble::bytes_per_second(100_000));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            home.line.heal(&home.modem);
        };
        let downloads = join_all((0..3).map(|_| async { whole(home.download(each).await, each).await }));
        soon("the downloads", async { tokio::join!(downloads, stutter) }).await;
        home.session_was_kept();
    });
}

/// The other side of patience: a full line that has died is noticed as soon as the network has changed.
#[test]
fn a_dead_session_on_a_full_line_is_given_up_soon_after_a_change_of_network() {
    on_home_line(Path::DSL, async |line| {
        let service = line.customer.run(Service::http("home")).await;
        let home = Home::new(line, &service).await;
        home.watch_network().await;
        let mut downloads = Vec::new();
        for _ in 0..10 {
            downloads.push(home.download(100_000_000).await);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        home.modem.lose();
        home.line.add_customer_address(1).await;
        let start = Instant::now();
        let reconnected = async {
            while home.modem.accepted() == home.connections {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("another connection", reconnected).await;
        let took = start.elapsed();
        assert!(took < limits::DEAD_AFTER / 2, "{took:?}");
        home.client.until_green("web").await;
        for body in downloads {
            let end = soon("the end", http_body_util::BodyExt::collect(body)).await;
            assert!(end.is_err(), "what was cut does not look whole");
        }
    });
}
