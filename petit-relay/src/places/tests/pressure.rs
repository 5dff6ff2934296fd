//! Where there is no memory for one visit more.

use super::*;

#[tokio::test(start_paused = true)]
async fn whoever_holds_little_takes_the_place_of_whoever_holds_much_and_there_are_never_more() {
    let places = places(&limits(100, 50));
    let (room, elsewhere) = (service(&places), service(&places));
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(room.enter(visitor(1)).await.unwrap());
    }
    let mut others = vec![room.enter_instead(visitor(2)).unwrap()];
    others.push(elsewhere.enter_instead(visitor(3)).unwrap());
    assert_eq!((lost(&held).await, places.requests()), (2, 20));
    assert_eq!(room.enter_instead(visitor(1)).unwrap_err(), Failure::Busy, "who holds most is refused");
    assert_eq!((lost(&held).await, lost(&others).await, places.requests()), (2, 0, 20));
    drop((held, others));
    assert_eq!(
        (places.requests(), room.used(), elsewhere.used()),
        (0, 0, 0),
        "each place was given back once"
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_in_a_service_that_is_full_is_one_for_the_memory_too() {
    let places = places(&limits(100, 20));
    let room = service(&places);
    let held = fill(&[Arc::clone(&room)], visitor(1)).await;
    assert_eq!(held.len(), 20);
    let _other = room.enter_instead(visitor(2)).unwrap();
    assert_eq!((lost(&held).await, places.requests(), room.used()), (1, 20, 20));
}

#[tokio::test(start_paused = true)]
async fn where_nobody_holds_much_everybody_is_refused() {
    let places = places(&limits(100, 50));
    let room = service(&places);
    assert_eq!(room.enter_instead(visitor(1)).unwrap_err(), Failure::Busy, "nobody is there");
    let mut held = Vec::new();
    for number in 0..20 {
        held.push(room.enter(visitor(number)).await.unwrap());
    }
    assert_eq!(
        room.enter_instead(visitor(99)).unwrap_err(),
        Failure::Busy,
        "equals take nothing from each other"
    );
    assert_eq!((lost(&held).await, places.requests()), (0, 20));
}
