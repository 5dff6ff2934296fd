//! Who gets a place, who gives one up, and how fast all go.

use std::net::Ipv6Addr;

use petit_engine::secret::PrivateKey;

use super::*;

fn newcomer(network: Option<IpAddr>) -> Newcomer {
    Newcomer {
        device: DeviceId::random().unwrap(),
        key: PrivateKey::generate().unwrap().public().clone(),
        network,
    }
}

fn address(number: usize) -> Option<IpAddr> {
    Some(IpAddr::from([192, 0, 2, u8::try_from(number).unwrap()]))
}

/// One for which a key is no matter.
fn another(one: &Newcomer, network: Option<IpAddr>) -> Newcomer {
    Newcomer { device: DeviceId::random().unwrap(), network, key: one.key.clone() }
}

/// As many of an address as there may be, with an address of its own for every `of_address`.
fn full<'a>(downloads: &'a Downloads, of_address: usize, now: Instant) -> Vec<DownloadPlace<'a>> {
    let one = newcomer(None);
    let enter = |number: usize| downloads.enter(&another(&one, address((number / of_address).min(255))), now);
    (0..).map_while(enter).collect()
}

#[test]
fn a_device_an_address_and_all_together_have_so_many_and_no_more() {
    let (downloads, now) = (Downloads::new(limits::MAX_CONNECTIONS, None), Instant::now());
    let one = newcomer(address(1));
    let mut held: Vec<_> =
        (0..limits::DOWNLOADS_PER_DEVICE).map(|_| downloads.enter(&one, now).unwrap()).collect();
    let elsewhere = Newcomer { network: address(2), ..one.clone() };
    assert!(downloads.enter(&elsewhere, now).is_none(), "it has as many as it may");
    while held.len() < limits::DOWNLOADS_PER_ADDRESS {
        held.push(downloads.enter(&another(&one, address(1)), now).unwrap());
    }
    assert!(downloads.enter(&another(&one, address(1)), now).is_none(), "the address has as many as it may");
    for number in 0..limits::DOWNLOADS - limits::DOWNLOADS_PER_ADDRESS {
        let network = address(2 + number / limits::DOWNLOADS_PER_ADDRESS);
        held.push(downloads.enter(&another(&one, network), now).unwrap());
    }
    assert!(
        downloads.enter(&another(&one, address(100)), now).is_none(),
        "there are as many as there may be"
    );
    let counts = downloads.counts();
    assert_eq!((counts.now, counts.busy, counts.gave_way), (limits::DOWNLOADS, 3, 0));
    held.clear();
    assert_eq!(downloads.counts().now, 0);
}

#[test]
fn a_small_relay_keeps_its_connections_for_others_and_a_balancer_speaks_for_many() {
    let now = Instant::now();
    let entered = |downloads: &Downloads| full(downloads, usize::MAX, now).len();
    let one = newcomer(None);
    let of_a_balancer = |downloads: &Downloads| {
        let held: Vec<_> = (0..).map_while(|_| downloads.enter(&another(&one, None), now)).collect();
        held.len()
    };
    assert_eq!(entered(&Downloads::new(200, None)), 20);
    assert_eq!(of_a_balancer(&Downloads::new(limits::MAX_CONNECTIONS, None)), limits::DOWNLOADS);
    assert_eq!(entered(&Downloads::new(1, None)), 1);
}

#[test]
fn who_has_a_prefix_of_ipv6_has_no_more_than_half_of_all() {
    let (downloads, now) = (Downloads::new(limits::MAX_CONNECTIONS, None), Instant::now());
    let one = newcomer(None);
    let in_48 = |number: u16| {
        let network = Ipv6Addr::new(0x2001, 0xdb8, 0, number, 0, 0, 0, 0);
        downloads.enter(&another(&one, Some(network.into())), now)
    };
    let held: Vec<_> = (0..).map_while(in_48).collect();
    assert_eq!(held.len(), limits::DOWNLOADS / 2);
    let elsewhere = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0);
    assert!(downloads.enter(&another(&one, Some(elsewhere.into())), now).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_slowest_gives_way_to_a_newcomer_once_it_has_had_its_turn() {
    let downloads = Downloads::new(limits::MAX_CONNECTIONS, None);
    let held = full(&downloads, 1, Instant::now());
    let one = newcomer(address(255));
    assert!(downloads.enter(&one, Instant::now()).is_none(), "each has just begun");
    tokio::time::advance(limits::DOWNLOAD_TURN).await;
    for (number, place) in held.iter().enumerate() {
        place.sent(if number == 7 { 1000 } else { 1_000_000 });
    }
    let late = downloads.enter(&one, Instant::now()).expect("one gives way");
    held[7].ended().await;
    assert!(downloads.open().all.len() == limits::DOWNLOADS && downloads.counts().gave_way == 1);
    for number in [0, 6, 8] {
        let ended = tokio::time::timeout(Duration::ZERO, held[number].ended()).await;
        assert!(ended.is_err(), "{number} goes on");
    }
    // One that was fast and has stopped is slow in the end.
    for _ in 0..2 {
        tokio::time::advance(limits::DOWNLOAD_TURN).await;
        late.sent(100_000);
        for (number, place) in held.iter().enumerate().filter(|(number, _)| *number != 7) {
            place.sent(if number == 9 { 1 } else { 100_000 });
        }
    }
    let _next = downloads.enter(&newcomer(address(254)), Instant::now()).expect("one gives way");
    held[9].ended().await;
}

#[tokio::test(start_paused = true)]
async fn many_of_one_network_are_slower_each_than_one_of_another() {
    let downloads = Downloads::new(1280, None);
    let begin = Instant::now();
    let one = newcomer(None);
    // Half of all are of one network, and each is as fast as ten of the others.
    let many: Vec<_> = (0..64).map(|_| downloads.enter(&another(&one, address(1)), begin).unwrap()).collect();
    let others: Vec<_> =
        (0..64).map(|number| downloads.enter(&another(&one, address(2 + number)), begin).unwrap()).collect();
    tokio::time::advance(limits::DOWNLOAD_TURN).await;
    many.iter().for_each(|place| place.sent(500_000));
    others.iter().for_each(|place| place.sent(50_000));
    let _newcomer = downloads.enter(&newcomer(address(100)), Instant::now()).expect("one gives way");
    let ended = |places: &[DownloadPlace<'_>]| {
        places.iter().filter(|place| !downloads.open().all.contains_key(&place.number)).count()
    };
    assert_eq!((ended(&many), ended(&others)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_line_keeps_its_own_device_waiting_for_a_turn_at_most() {
    let downloads = Downloads::new(limits::MAX_CONNECTIONS, None);
    let one = newcomer(address(1));
    let _held = [downloads.enter(&one, Instant::now()), downloads.enter(&one, Instant::now())];
    assert!(downloads.enter(&one, Instant::now()).is_none());
    tokio::time::advance(limits::DOWNLOAD_TURN).await;
    assert!(downloads.enter(&one, Instant::now()).is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_registered_any_more_ends_at_once() {
    let downloads = Downloads::new(limits::MAX_CONNECTIONS, None);
    let (gone, stays) = (newcomer(None), newcomer(None));
    let places = [&gone, &stays].map(|who| downloads.enter(who, Instant::now()).unwrap());
    downloads.look_at(gone.device, |key| *key != gone.key);
    downloads.look_at(stays.device, |key| *key != gone.key);
    places[0].ended().await;
    assert!(tokio::time::timeout(Duration::ZERO, places[1].ended()).await.is_err());
    downloads.look_at_all(|who| who.key != stays.key);
    places[1].ended().await;
}

#[tokio::test(start_paused = true)]
async fn all_together_go_at_their_pace_and_only_so_many_share_it_as_it_feeds() {
    const RATE: u64 = 256 * 1024;
    let downloads = Downloads::new(limits::MAX_CONNECTIONS, Some(RATE));
    let held = full(&downloads, 1, Instant::now());
    assert_eq!(held.len(), 26, "each gets three times 32 KiB in 10 s");
    let begin = Instant::now();
    for _ in 0..10 {
        for place in &held {
            place.may_send(limits::DOWNLOAD_PIECE_BYTES).await;
            place.sent(limits::DOWNLOAD_PIECE_BYTES);
        }
    }
    let sent = downloads.counts().bytes - limits::DOWNLOAD_PIECE_BYTES as u64;
    let expected = sent as f64 / RATE as f64;
    let took = begin.elapsed().as_secs_f64();
    assert!((took - expected).abs() < 0.5, "{sent} bytes in {took} s");
}

/// A device that comes again until it has all of it, as a client does.
async fn comes_until_it_has(downloads: &'static Downloads, who: Newcomer, bytes: usize) {
    let mut has = 0;
    while has < bytes {
        if let Some(place) = downloads.enter(&who, Instant::now()) {
            let takes = async {
                while has < bytes {
                    place.may_send(limits::DOWNLOAD_PIECE_BYTES).await;
                    place.sent(limits::DOWNLOAD_PIECE_BYTES);
                    has += limits::DOWNLOAD_PIECE_BYTES;
                }
            };
            tokio::select! {
                () = takes => {}
                () = place.ended() => {}
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_more_than_share_a_pace_all_have_theirs_in_the_time_that_it_takes_for_them() {
    const RATE: usize = 256 * 1024;
    const EACH: usize = 16 * limits::DOWNLOAD_PIECE_BYTES;
    const CLIENTS: usize = 200;
    let downloads: &'static Downloads =
        Box::leak(Box::new(Downloads::new(limits::MAX_CONNECTIONS, Some(RATE as u64))));
    let one = newcomer(None);
    let begin = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(comes_until_it_has(downloads, another(&one, address(number)), EACH)))
        .collect();
    for client in clients {
        tokio::time::timeout(Duration::from_secs(3600), client).await.expect("it ends").unwrap();
    }
    let expected = (CLIENTS * EACH) as f64 / RATE as f64;
    let took = begin.elapsed().as_secs_f64();
    assert!(took < expected * 1.1, "{took} s, and {expected} s at its pace");
    assert!(downloads.counts().gave_way > 0, "they had to give way to one another");
}

#[tokio::test(start_paused = true)]
async fn who_is_ended_while_it_waits_takes_nothing_of_the_pace() {
    let downloads = Downloads::new(limits::MAX_CONNECTIONS, Some(64 * 1024));
    let place = downloads.enter(&newcomer(None), Instant::now()).unwrap();
    place.may_send(limits::DOWNLOAD_PIECE_BYTES).await;
    for _ in 0..100 {
        let waits =
            tokio::time::timeout(Duration::from_millis(1), place.may_send(limits::DOWNLOAD_PIECE_BYTES));
        assert!(waits.await.is_err());
    }
    let begin = Instant::now();
    place.may_send(limits::DOWNLOAD_PIECE_BYTES).await;
    assert!(begin.elapsed() <= Duration::from_millis(500), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_its_first_piece_gives_way_to_nobody() {
    let downloads = Downloads::new(limits::MAX_CONNECTIONS, Some(64 * 1024));
    let held = full(&downloads, 1, Instant::now());
    tokio::time::advance(limits::DOWNLOAD_TURN).await;
    assert!(downloads.enter(&newcomer(None), Instant::now()).is_none(), "none has had a piece");
    held[2].may_send(limits::DOWNLOAD_PIECE_BYTES).await;
    assert!(downloads.enter(&newcomer(None), Instant::now()).is_some());
    held[2].ended().await;
}
