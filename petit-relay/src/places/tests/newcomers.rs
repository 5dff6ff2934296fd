//! Whoever has nothing gets a place from whoever has several.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::super::super::networks::prefixes;
use super::super::share::{most_in_48, most_in_56};
use super::*;

/// A visitor of an IPv6 provider's: of such a /48, of such a /56 of it, of such a /64 of this.
fn visitor6(in_48: u16, in_56: u8, in_64: u8) -> Claim {
    let network = Ipv6Addr::new(0x2001, 0xdb8, in_48, u16::from_be_bytes([in_56, in_64]), 0, 0, 0, 0);
    Claim { visitor: Some(network.into()), has_body: false }
}

/// Holders with `each` places, as many as there is room for.
async fn crowd(room: &Arc<Room>, each: usize, claim: impl Fn(u32) -> Claim) -> Vec<Slot> {
    let mut held = Vec::new();
    for number in 0_u32.. {
        for _ in 0..each {
            match tokio::time::timeout(Duration::ZERO, room.enter(claim(number))).await {
                Ok(entered) => held.push(entered.unwrap()),
                Err(_) => return held,
            }
        }
    }
    held
}

/// Newcomers get in soon, each for one place of `held`.
async fn get_in(room: &Arc<Room>, held: &[Slot], newcomers: &[Claim]) -> Vec<Slot> {
    let before = lost(held).await;
    let mut others = Vec::new();
    for (number, claim) in newcomers.iter().enumerate() {
        let (entered, took) = enters(room, *claim).await;
        others.push(entered.unwrap_or_else(|failure| panic!("{number} {claim:?}: {failure:?}")));
        assert!(took < Duration::from_secs(1), "{number}: {took:?}");
    }
    assert_eq!(lost(held).await - before, others.len(), "as many as were wanted, and no more");
    assert_eq!(lost(&others).await, 0);
    others
}

#[tokio::test(start_paused = true)]
async fn many_networks_with_a_few_places_each_keep_nobody_out() {
    let places = places(&LimitsConfig::default());
    // A /56 has 256 /64s.
    let room = service(&places);
    let held = crowd(&room, 7, |number| visitor6(1, 1, number as u8)).await;
    assert_eq!(held.len(), limits::REQUESTS_PER_SERVICE);
    let newcomers: Vec<_> = (0..20).map(visitor).chain((0..20).map(|n| visitor6(2, n, 0))).collect();
    let _others = get_in(&room, &held, &newcomers).await;
    // Addresses that have nothing in common.
    let room = service(&places);
    let held = crowd(&room, 7, |number| visitor(100 + number)).await;
    assert_eq!(held.len(), limits::REQUESTS_PER_SERVICE);
    let _others = get_in(&room, &held, &newcomers).await;
    for of_one in held.chunks(7) {
        assert!(lost(of_one).await <= 1, "everybody gives one up before anybody gives up two");
    }
}

#[tokio::test(start_paused = true)]
async fn few_websockets_of_many_addresses_keep_nobody_out() {
    let places = places(&LimitsConfig::default());
    let (one, id) = (client(), RegisteredId::random().unwrap());
    let room = places.room(VisitKind::WebSocket, one, id);
    let held = crowd(&room, 7, |number| visitor(100 + number)).await;
    assert_eq!(held.len(), limits::WEBSOCKETS_PER_CLIENT);
    let newcomers: Vec<_> = (0..40).map(visitor).collect();
    let _others = get_in(&room, &held, &newcomers).await;
}

#[tokio::test(start_paused = true)]
async fn two_places_are_shared_by_two_and_one_stays_whose_it_is() {
    let places = places(&limits(1000, 20));
    let room = service(&places);
    let held = crowd(&room, 2, |number| visitor(100 + number)).await;
    let newcomers: Vec<_> = (0..10).map(visitor).collect();
    let _others = get_in(&room, &held, &newcomers).await;
    for claim in [visitor(50), visitor(1), visitor(100)] {
        assert_eq!(enters(&room, claim).await.0.unwrap_err(), Failure::Busy, "{claim:?}");
    }
}

/// One place for each /64 there is, of a few customers of a provider's.
#[tokio::test(start_paused = true)]
async fn a_prefix_has_a_share_of_its_own() {
    let places = places(&limits(8000, 1024));
    let room = service(&places);
    let held = crowd(&room, 1, |number| visitor6(1, (number >> 8) as u8, number as u8)).await;
    assert_eq!(held.len(), 1024);
    let newcomers: Vec<_> = (0..768).map(visitor).collect();
    let others = get_in(&room, &held, &newcomers).await;
    assert_eq!(
        enters(&room, visitor(2000)).await.0.unwrap_err(),
        Failure::Busy,
        "a quarter is left to a /48"
    );
    drop((held, others));
    let held = crowd(&room, 1, |number| match number {
        0..200 => visitor6(1, 1, number as u8),
        _ => visitor(2000 + number),
    })
    .await;
    let newcomers: Vec<_> = (0..72).map(visitor).collect();
    let _others = get_in(&room, &held[..200], &newcomers).await;
    assert_eq!(enters(&room, visitor(999)).await.0.unwrap_err(), Failure::Busy, "an eighth is left to a /56");
}

#[tokio::test(start_paused = true)]
async fn who_has_a_greedy_neighbour_takes_from_him_and_from_nobody_else() {
    let places = places(&LimitsConfig::default());
    let room = service(&places);
    let held = crowd(&room, 7, |number| match number {
        0..100 => visitor6(1, 1, number as u8),
        _ => visitor(2000 + number),
    })
    .await;
    let (greedy, others) = held.split_at(700);
    // Of the same /48, and of the same /56.
    let newcomers: Vec<_> =
        (0..20).map(|number| visitor6(1, 2, number)).chain((200..220).map(|n| visitor6(1, 1, n))).collect();
    let _neighbours = get_in(&room, greedy, &newcomers).await;
    assert_eq!(lost(others).await, 0);
}

/// So few that each could be a browser that loads a page: after five seconds it is none.
#[tokio::test(start_paused = true)]
async fn few_holders_are_spared_for_a_moment_only() {
    let places = places(&limits(1000, 24));
    let room = service(&places);
    let held = crowd(&room, 6, |number| visitor(100 + number)).await;
    assert_eq!(enters(&room, visitor(1)).await.0.unwrap_err(), Failure::Busy);
    assert_eq!(lost(&held).await, 0);
    for _ in 0..10 {
        places.clock.tick();
    }
    tokio::time::sleep(limits::RANKING_FRESH).await;
    let newcomers: Vec<_> = (0..5).map(visitor).collect();
    let _others = get_in(&room, &held, &newcomers).await;
}

/// Who somebody is and what he visits, out of so few that many have something in common.
fn anybody() -> impl Strategy<Value = (usize, Claim)> {
    let v6 = (0..3_u16, 0..3_u8, 0..4_u8).prop_map(|(a, b, c)| visitor6(a, b, c));
    let who = prop_oneof![2 => (0..24_u32).prop_map(visitor), 2 => v6, 1 => Just(ANYBODY)];
    (0..2_usize, who)
}

fn count<K: Eq + Hash>(of: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut counts = HashMap::new();
    of.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

/// True when the rule gives a place to somebody who holds nothing.
fn is_owed_a_place(held: &[(usize, Claim)], most: usize, (service, claim): (usize, Claim)) -> bool {
    let visitors = count(held.iter().filter_map(|(_, claim)| claim.visitor));
    let prefixes_of = |claim: Claim| claim.visitor.and_then(prefixes);
    let crowded = count(held.iter().filter_map(|(_, claim)| prefixes_of(*claim)).flatten());
    let is_crowded = |number: usize, share: usize| {
        let prefix = prefixes_of(claim).map(|prefixes| prefixes[number]);
        prefix.filter(|prefix| crowded.get(prefix).copied().unwrap_or_default() >= share)
    };
    let within = is_crowded(0, most_in_56(most)).or(is_crowded(1, most_in_48(most)));
    let asked = held.iter().filter(|(other, asked)| {
        *other == service
            && within.is_none_or(|within| prefixes_of(*asked).is_some_and(|of| of.contains(&within)))
    });
    let several = asked.filter_map(|(_, claim)| claim.visitor).any(|visitor| visitors[&visitor] >= 2);
    let holds_nothing = match claim.visitor {
        Some(visitor) => !visitors.contains_key(&visitor),
        None => held.iter().all(|(_, claim)| claim.visitor.is_some()),
    };
    holds_nothing && visitors.len() >= 8 && several
}

async fn any_population(most: usize, all: Vec<(usize, Claim)>, newcomers: Vec<(usize, Claim)>) {
    let limits = LimitsConfig { websockets_per_client: most, ..LimitsConfig::default() };
    let places = places(&limits);
    let one = client();
    let rooms = [(); 2].map(|()| places.room(VisitKind::WebSocket, one, RegisteredId::random().unwrap()));
    let mut held = Vec::new();
    for (service, claim) in all.iter().cycle().take(most) {
        held.push((*service, *claim, rooms[*service].enter(*claim).await.unwrap()));
    }
    let mut line: VecDeque<_> = newcomers.into();
    let mut taken = 0;
    while let Some((service, claim)) = line.pop_front() {
        let before: Vec<_> = held.iter().map(|(service, claim, _)| (*service, *claim)).collect();
        let (entered, took) = enters(&rooms[service], claim).await;
        let is_owed = is_owed_a_place(&before, most, (service, claim));
        assert!(entered.is_ok() || !is_owed, "{claim:?} to {service} of {before:?}");
        let Ok(slot) = entered else { continue };
        assert!(took < Duration::from_secs(1));
        // Whoever had to give one up wants it back: what goes round and round is of use to nobody.
        taken += 1;
        assert!(taken <= 4 * most, "nobody is ever content");
        let gone =
            held.iter().position(|(.., slot)| slot.place().is_lost()).expect("there was no other place");
        let (service_of, loser, _) = held.swap_remove(gone);
        line.push_back((service_of, loser));
        held.push((service, claim, slot));
        tokio::time::sleep(limits::RANKING_FRESH).await;
    }
    assert!(held.iter().all(|(.., slot)| !slot.place().is_lost()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn who_holds_nothing_gets_a_place_from_who_holds_several_and_all_come_to_rest(
        most in 8..60_usize,
        all in prop::collection::vec(anybody(), 1..60),
        newcomers in prop::collection::vec(anybody(), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(any_population(most, all, newcomers));
    }
}
