mod newcomers;
mod pressure;

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::failure::Failure;
use super::*;

fn limits(requests: usize, per_service: usize) -> LimitsConfig {
    LimitsConfig { requests, requests_per_service: per_service, ..LimitsConfig::default() }
}

fn places(limits: &LimitsConfig) -> Places {
    Places::new(limits, vec!["10.0.0.0/8".parse().unwrap()])
}

fn client() -> DeviceId {
    DeviceId::random().unwrap()
}

/// A service of a client's.
fn service_of(places: &Places, client: DeviceId) -> Arc<Room> {
    places.room(VisitKind::Request, client, RegisteredId::random().unwrap())
}

/// A service of a client of its own.
fn service(places: &Places) -> Arc<Room> {
    service_of(places, client())
}

/// A visitor without a share of his own.
const ANYBODY: Claim = Claim { visitor: None, has_body: false };

/// A visitor with an address of his own.
fn visitor(number: u32) -> Claim {
    Claim { visitor: Some(IpAddr::from((0xc000_0200 + number).to_be_bytes())), has_body: false }
}

/// The same, with a body to come.
fn uploader(number: u32) -> Claim {
    Claim { has_body: true, ..visitor(number) }
}

/// Takes all that there is to be had at once.
async fn fill(rooms: &[Arc<Room>], claim: Claim) -> Vec<Slot> {
    let mut held = Vec::new();
    for room in rooms {
        while let Ok(entered) = tokio::time::timeout(Duration::ZERO, room.enter(claim)).await {
            held.push(entered.unwrap());
        }
    }
    held
}

async fn enters(room: &Arc<Room>, claim: Claim) -> (Result<Slot, Failure>, Duration) {
    let start = Instant::now();
    let entered = room.enter(claim).await;
    (entered, start.elapsed())
}

async fn lost(slots: &[Slot]) -> usize {
    let mut count = 0;
    for slot in slots {
        count += usize::from(tokio::time::timeout(Duration::ZERO, slot.place().lost()).await.is_ok());
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_full_service_makes_requests_wait_for_a_moment_and_then_says_so() {
    let places = places(&limits(100, 2));
    let room = service(&places);
    let first = room.enter(ANYBODY).await.unwrap();
    let _second = room.enter(ANYBODY).await.unwrap();
    let (refused, took) = enters(&room, ANYBODY).await;
    assert_eq!((refused.unwrap_err(), took), (Failure::Busy, limits::SLOT_WAIT));
    let waiting = tokio::spawn({
        let room = Arc::clone(&room);
        async move { room.enter(ANYBODY).await.is_ok() }
    });
    tokio::task::yield_now().await;
    drop(first);
    assert!(waiting.await.unwrap(), "a place that becomes free is taken");
}

#[tokio::test(start_paused = true)]
async fn one_service_never_holds_more_than_half_of_all() {
    let places = places(&limits(10, 1000));
    let room = service(&places);
    let held = fill(&[Arc::clone(&room)], ANYBODY).await;
    assert_eq!((held.len(), places.requests()), (5, 5));
    assert!(service(&places).enter(ANYBODY).await.is_ok(), "another service has room");
    drop(held);
    assert_eq!(places.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_line_is_short() {
    let places = places(&limits(10, 1));
    let room = service(&places);
    let _held = room.enter(ANYBODY).await.unwrap();
    let mut line = JoinSet::new();
    for _ in 0..limits::SLOT_LINE {
        let room = Arc::clone(&room);
        line.spawn(async move { room.enter(ANYBODY).await.is_ok() });
    }
    while room.waiting() < limits::SLOT_LINE {
        tokio::task::yield_now().await;
    }
    let (refused, took) = enters(&room, ANYBODY).await;
    assert_eq!(refused.unwrap_err(), Failure::Busy);
    assert_eq!(took, Duration::ZERO, "whoever finds the line full is told at once");
    while line.join_next().await.is_some() {}
    assert_eq!((room.waiting(), places.requests()), (0, 1), "who has given up holds nothing");
}

#[tokio::test]
async fn a_rate_that_is_set_is_kept() {
    let places = places(&LimitsConfig { requests_per_second: Some(5), ..LimitsConfig::default() });
    let room = service(&places);
    let mut passed = 0;
    for _ in 0..50 {
        passed += usize::from(room.enter(ANYBODY).await.is_ok());
    }
    assert!((5..8).contains(&passed), "{passed}");
    assert_eq!(room.enter(ANYBODY).await.unwrap_err(), Failure::TooMany);
}

#[tokio::test(start_paused = true)]
async fn while_more_comes_than_can_be_served_nobody_waits_longer_than_a_request_takes() {
    let places = places(&limits(10, 1));
    let room = service(&places);
    let serve = |took: Duration| {
        let room = Arc::clone(&room);
        async move {
            let slot = room.enter(ANYBODY).await?;
            tokio::time::sleep(took).await;
            drop(slot);
            Ok::<_, Failure>(())
        }
    };
    let took = Duration::from_millis(40);
    for _ in 0..100 {
        serve(took).await.unwrap();
    }
    // Twice as many as can be served, for five seconds.
    let mut crowd = JoinSet::new();
    for number in 0..250 {
        let serve = serve(took);
        crowd.spawn(async move {
            tokio::time::sleep(took / 2 * number).await;
            let start = Instant::now();
            serve.await.map(|()| (number, start.elapsed())).map_err(|_| (number, start.elapsed()))
        });
    }
    let outcomes = crowd.join_all().await;
    let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(served >= 120, "{served} of the 125 that were possible");
    // After the first second, the line is short.
    let late = outcomes.iter().filter_map(|outcome| outcome.ok()).filter(|(number, _)| *number > 50);
    let longest = late.map(|(_, waited)| waited).max().unwrap();
    assert!(longest <= 3 * took, "{longest:?}");
    let refused = outcomes.iter().filter_map(|outcome| outcome.err()).filter(|(number, _)| *number > 50);
    assert!(refused.map(|(_, waited)| waited).max().unwrap() <= 2 * took, "refused soon");
    // Once the crowd has gone, a burst may wait again.
    let burst: JoinSet<_> = (0..20).map(|_| serve(took)).collect();
    assert!(burst.join_all().await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn an_address_may_have_all_and_gives_them_up_to_the_first_others_one_by_one() {
    let places = places(&limits(1000, 100));
    let room = service(&places);
    let held = fill(&[Arc::clone(&room)], visitor(1)).await;
    assert_eq!(held.len(), 100, "while nobody waits there are no shares");
    let mut others = Vec::new();
    for number in 2..20 {
        let (entered, took) = enters(&room, visitor(number)).await;
        others.push(entered.unwrap());
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert_eq!(lost(&held).await, others.len(), "as many as were wanted, and no more");
    assert_eq!(lost(&others).await, 0);
    let (refused, _) = enters(&room, visitor(1)).await;
    assert_eq!(refused.unwrap_err(), Failure::Busy, "what one had to give up it does not get back");
    assert_eq!(places.counts().gave_way_unanswered, others.len() as u64);
    drop((held, others));
    assert_eq!(
        (places.requests(), room.used()),
        (0, 0),
        "nothing is counted twice, and nothing is forgotten"
    );
}

#[tokio::test(start_paused = true)]
async fn a_line_that_one_address_has_filled_keeps_nobody_else_out() {
    let places = places(&limits(1000, 50));
    let room = service(&places);
    let held = fill(&[Arc::clone(&room)], visitor(1)).await;
    let mut line = JoinSet::new();
    for _ in 0..limits::SLOT_LINE {
        let room = Arc::clone(&room);
        line.spawn(async move { room.enter(visitor(1)).await.is_ok() });
    }
    while room.waiting() < limits::SLOT_LINE {
        tokio::task::yield_now().await;
    }
    let (entered, took) = enters(&room, visitor(2)).await;
    assert!(entered.is_ok());
    assert_eq!((took, lost(&held).await), (Duration::ZERO, 1));
    assert_eq!(enters(&room, visitor(1)).await.0.unwrap_err(), Failure::Busy);
}

#[tokio::test(start_paused = true)]
async fn equals_take_nothing_from_each_other() {
    let places = places(&limits(1000, 24));
    let room = service(&places);
    let mut held = Vec::new();
    for number in 0..24 {
        held.push(room.enter(visitor(number / 6)).await.unwrap());
    }
    for number in [0, 3, 77] {
        assert_eq!(enters(&room, visitor(number)).await.0.unwrap_err(), Failure::Busy, "{number}");
    }
    assert_eq!(lost(&held).await, 0);
}

/// One client with eight services that never answer, and visitors as many as it likes.
#[tokio::test(start_paused = true)]
async fn a_client_that_holds_everything_gives_way_to_the_visitors_of_others() {
    let places = places(&LimitsConfig::default());
    let evil = client();
    let rooms: Vec<_> = (0..8).map(|_| service_of(&places, evil)).collect();
    let honest = service(&places);
    let mut held = Vec::new();
    for number in 0_u32.. {
        let room = &rooms[number as usize % rooms.len()];
        match tokio::time::timeout(Duration::ZERO, room.enter(visitor(1000 + number))).await {
            Ok(entered) => held.push(entered.unwrap()),
            Err(_) => break,
        }
    }
    assert_eq!(held.len(), limits::VISITS_PER_CLIENT, "as many as one client's connections bear");
    // Two more of its kind, and the server is full.
    for _ in 0..2 {
        let evil = client();
        let rooms: Vec<_> = (0..8).map(|_| service_of(&places, evil)).collect();
        held.extend(fill(&rooms, ANYBODY).await);
    }
    assert_eq!(places.requests(), limits::MAX_REQUESTS);
    for number in 0..100 {
        let (entered, took) = enters(&honest, visitor(number)).await;
        held.push(entered.unwrap());
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    assert_eq!(enters(&rooms[0], visitor(9)).await.0.unwrap_err(), Failure::Busy, "not to its own");
}

/// One visitor at many clients, none of which holds much because of him.
#[tokio::test(start_paused = true)]
async fn a_visitor_of_many_clients_gives_way_also_to_visitors_of_a_busy_one() {
    let places = places(&limits(1000, 500));
    let busy = service(&places);
    let mut regulars = Vec::new();
    for number in 0..100 {
        regulars.push(busy.enter(visitor(100 + number)).await.unwrap());
    }
    let mut held = Vec::new();
    for _ in 0..90 {
        let room = service(&places);
        for _ in 0..10 {
            held.push(room.enter(visitor(1)).await.unwrap());
        }
    }
    assert_eq!(places.requests(), 1000);
    for number in 0..50 {
        regulars.push(enters(&busy, visitor(300 + number)).await.0.unwrap());
    }
    assert_eq!((lost(&held).await, lost(&regulars).await), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn requests_without_their_body_give_way_first_and_after_a_second_to_anybody() {
    let places = places(&limits(1000, 40));
    let room = service(&places);
    let beat = tokio::spawn({
        let clock = Arc::clone(&places.clock);
        async move {
            loop {
                tokio::time::sleep(Clock::TICK).await;
                clock.tick();
            }
        }
    });
    let mut held = Vec::new();
    for number in 0..40 {
        let claim = if number % 2 == 0 { visitor(1) } else { uploader(1) };
        held.push(room.enter(claim).await.unwrap());
    }
    held[1].place().passed(1);
    let (entered, took) = enters(&room, visitor(2)).await;
    let mut others = vec![entered.unwrap()];
    assert_eq!(took, Duration::ZERO, "nothing is lost by it, so nobody waits");
    assert_eq!(lost(&held[3..4]).await, 1, "the one that has been waited for longest, that none has come of");
    for number in 3..21 {
        others.push(enters(&room, visitor(number)).await.0.unwrap());
    }
    assert_eq!(lost(&held).await, 19);
    assert_eq!(places.counts(), PlaceCounts { gave_way_without_body: 19, ..PlaceCounts::default() });
    // Forty addresses with one each hold no share that anybody could take from.
    drop((held, others));
    let mut held = Vec::new();
    for number in 0..40 {
        held.push(room.enter(uploader(number)).await.unwrap());
    }
    assert_eq!(
        tokio::time::timeout(Duration::from_millis(400), room.enter(visitor(50))).await.ok().map(drop),
        None
    );
    tokio::time::sleep(limits::BODY_YIELDS_AFTER + Clock::TICK).await;
    let (entered, took) = enters(&room, visitor(50)).await;
    assert!(entered.is_ok());
    assert_eq!((took, lost(&held).await), (Duration::ZERO, 1));
    beat.abort();
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_body_begins_in_the_last_moment_keeps_its_place() {
    let places = places(&limits(1000, 20));
    let room = service(&places);
    let held = fill(&[Arc::clone(&room)], uploader(1)).await;
    let (first, took) = enters(&room, visitor(2)).await;
    assert!(first.is_ok() && took == Duration::ZERO);
    // Who holds what was counted a moment ago, and is not counted again.
    held.iter().for_each(|slot| slot.place().passed(1));
    let (second, took) = enters(&room, visitor(3)).await;
    assert!(second.is_ok());
    assert_eq!(took, limits::GIVE_WAY_AFTER, "as with any other that is not answered");
    assert_eq!((places.counts().gave_way_without_body, places.counts().gave_way_unanswered), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_free_is_for_who_waits_first_and_nobody_gives_way_meanwhile() {
    let places = places(&limits(1000, 20));
    let room = service(&places);
    let mut held = fill(&[Arc::clone(&room)], uploader(1)).await;
    let waiting = tokio::spawn({
        let room = Arc::clone(&room);
        async move { room.enter(visitor(1)).await }
    });
    while room.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    held.pop();
    // The waiting one has been called, and has had no turn yet.
    for claim in [visitor(1), visitor(2)] {
        assert!(tokio::time::timeout(Duration::ZERO, room.enter(claim)).await.is_err(), "{claim:?}");
        assert_eq!(lost(&held).await, 0);
    }
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_streams_is_broken_off_last_and_what_moves_last_of_all() {
    let places = places(&limits(1000, 30));
    let room = service(&places);
    let held = fill(&[Arc::clone(&room)], visitor(1)).await;
    for slot in &held[10..] {
        slot.place().answered();
    }
    places.clock.tick();
    for slot in &held[20..] {
        slot.place().moved();
    }
    let mut others = Vec::new();
    let mut enter = async |number: u32| others.push(enters(&room, visitor(number)).await.0.unwrap());
    for number in 2..12 {
        enter(number).await;
    }
    assert_eq!((lost(&held[..10]).await, lost(&held[10..]).await), (10, 0), "first what is not answered");
    for number in 12..22 {
        enter(number).await;
    }
    assert_eq!((lost(&held[10..20]).await, lost(&held[20..]).await), (10, 0), "then what stands still");
    enter(22).await;
    assert_eq!(lost(&held[20..]).await, 1);
    let counts = PlaceCounts { gave_way_unanswered: 10, broken_off: 11, ..PlaceCounts::default() };
    assert_eq!(places.counts(), counts);
}

#[tokio::test(start_paused = true)]
async fn who_speaks_for_many_has_no_share_and_takes_no_more_than_one() {
    let places = places(&limits(1000, 100));
    for (address, expected) in [
        ("192.0.2.7", Some("192.0.2.7")),
        ("::ffff:192.0.2.7", Some("192.0.2.7")),
        ("2001:db8:1:2:3::4", Some("2001:db8:1:2::")),
        ("127.0.0.9", None),
        ("::1", None),
        ("10.9.8.7", None),
        ("::ffff:10.9.8.7", None),
    ] {
        let visitor = places.visitor(address.parse().unwrap());
        assert_eq!(visitor, expected.map(|expected| expected.parse().unwrap()), "{address}");
    }
    let room = service(&places);
    let many = fill(&[Arc::clone(&room)], ANYBODY).await;
    assert_eq!(enters(&room, visitor(1)).await.0.unwrap_err(), Failure::Busy, "they give nothing up");
    assert_eq!(lost(&many).await, 0);
    drop(many);
    // A stranger with everything gives way to them, down to about half.
    let held = fill(&[Arc::clone(&room)], visitor(1)).await;
    let mut many = Vec::new();
    while let Ok(slot) = room.enter(ANYBODY).await {
        many.push(slot);
    }
    assert_eq!((lost(&held).await, many.len()), (50, 50));
}

#[tokio::test(start_paused = true)]
async fn websockets_and_connections_are_shared_like_requests() {
    let places = places(&LimitsConfig::default());
    let (one, [a, b]) = (client(), [(); 2].map(|()| RegisteredId::random().unwrap()));
    let sockets = places.room(VisitKind::WebSocket, one, a);
    let held = fill(&[Arc::clone(&sockets)], visitor(1)).await;
    assert_eq!(held.len(), limits::WEBSOCKETS_PER_CLIENT);
    let (entered, took) = enters(&sockets, visitor(2)).await;
    assert!(entered.is_ok() && took < Duration::from_secs(1), "{took:?}");
    // One service of the client's leaves room for another.
    let beside = places.room(VisitKind::WebSocket, one, b);
    assert!(beside.enter(visitor(3)).await.is_ok());
    assert_eq!(lost(&held).await, 2);
    let connections = places.room(VisitKind::Connection, one, b);
    let all = fill(&[Arc::clone(&connections)], visitor(4)).await;
    assert_eq!(all.len() + held.len(), limits::VISITS_PER_CLIENT + 1, "what was lost or left counts no more");
    assert!(
        enters(&service_of(&places, one), visitor(5)).await.0.is_ok(),
        "a request takes from connections"
    );
    assert_eq!(lost(&all).await, 1);
    let none = LimitsConfig { websockets_per_client: 0, ..LimitsConfig::default() };
    let places = Places::new(&none, Vec::new());
    let (refused, took) = enters(&places.room(VisitKind::WebSocket, one, a), ANYBODY).await;
    assert_eq!((refused.unwrap_err(), took), (Failure::Busy, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_comes_back_has_no_fresh_rate() {
    let places = places(&LimitsConfig { requests_per_second: Some(5), ..LimitsConfig::default() });
    let (device, id) = (client(), RegisteredId::random().unwrap());
    let come_back = || places.room(VisitKind::Request, device, id);
    let rate = async || {
        let mut allowed = 0;
        // A session each, and none of them is left when the next one begins.
        while allowed < 100 && come_back().enter(ANYBODY).await.is_ok() {
            allowed += 1;
        }
        allowed
    };
    assert_eq!(rate().await, 5);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(rate().await, 2, "what has been used stays used");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rate().await, 5);
    // What is not used any more is forgotten in time.
    for _ in 0..1000 {
        assert!(service(&places).enter(ANYBODY).await.is_ok());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(places.tables().rates.by_service.len() < 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_finds_what_its_visitors_hold() {
    let places = places(&limits(100, 5));
    let (device, id) = (client(), RegisteredId::random().unwrap());
    let before = places.room(VisitKind::Request, device, id);
    let held = fill(&[before], ANYBODY).await;
    let after = places.room(VisitKind::Request, device, id);
    assert_eq!(enters(&after, ANYBODY).await.0.unwrap_err(), Failure::Busy);
    drop(held);
    assert!(after.enter(ANYBODY).await.is_ok());
    assert_eq!(after.visits(), 6);
    // What nobody holds any more is forgotten in time.
    drop(after);
    for _ in 0..1000 {
        drop(service(&places));
    }
    assert!(places.tables().rooms.values.len() < 200);
    assert!(places.requests.members().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shortage_names_who_holds_what() {
    let places = places(&limits(100, 40));
    let (a, b) = (client(), client());
    let rooms = [service_of(&places, a), service_of(&places, b)];
    let mut held = fill(&rooms[..1], visitor(1)).await;
    assert_eq!(places.shortages().len(), 1, "a service of it");
    for _ in 0..38 {
        held.push(rooms[1].enter(visitor(2)).await.unwrap());
    }
    held.push(rooms[1].enter(ANYBODY).await.unwrap());
    let shortages = places.shortages();
    let all = shortages.iter().find(|shortage| shortage.what == Scarce::Requests).unwrap();
    let who = |number| Holder::Visitor(visitor(number).visitor.unwrap());
    assert_eq!((all.used, all.most), (79, 100));
    assert_eq!(
        all.holders,
        [(Holder::Client(a), 40), (Holder::Client(b), 39), (who(1), 40), (who(2), 38), (Holder::Exempt, 1)]
    );
    drop(held);
    assert!(places.shortages().is_empty());
}

/// Many at once, of all kinds and from two threads, and everything is free afterwards.
#[test]
fn nothing_is_lost_in_a_crowd() {
    let places = Arc::new(places(&limits(40, 20)));
    let rooms: Arc<[_]> = (0..4).map(|_| service(&places)).collect();
    let crowd = |rooms: Arc<[Arc<Room>]>| async move {
        let mut crowd = JoinSet::new();
        for number in 0..1000_u32 {
            let room = Arc::clone(&rooms[number as usize % rooms.len()]);
            crowd.spawn(async move {
                // A few visit often, and of all some leave before they have got in.
                let claim = if number % 3 == 0 { uploader(number % 2) } else { visitor(number % 200) };
                let limit = Duration::from_millis(u64::from(number % 7));
                if let Ok(Ok(slot)) = tokio::time::timeout(limit, room.enter(claim)).await {
                    slot.place().passed(1);
                    tokio::select! {
                        () = tokio::time::sleep(limit) => {}
                        () = slot.place().lost() => {}
                    }
                }
            });
        }
        while crowd.join_next().await.is_some() {}
    };
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let crowd = crowd(Arc::clone(&rooms));
            std::thread::spawn(|| {
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(crowd);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(places.requests(), 0);
    assert!(rooms.iter().all(|room| room.used() == 0 && room.waiting() == 0 && room.is_empty()));
}
