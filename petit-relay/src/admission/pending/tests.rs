use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

/// Somebody: of an IPv4 /24 and an address of it.
fn v4(in_24: u16, address: u8) -> IpAddr {
    let [a, b] = in_24.to_be_bytes();
    IpAddr::from([11, a, b, address])
}

/// Somebody: of such a /48, of such a /56 of it, of such a /64 of this.
fn v6(in_48: u16, in_56: u8, in_64: u8) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, in_48, u16::from_be_bytes([in_56, in_64]), 0, 0, 0, 0).into()
}

/// Connections that are there, as they came, each with what is known of it.
type Here = Vec<(IpAddr, Key)>;

/// Somebody's connection comes; whose is evicted for it.
fn comes(pending: &mut Pending<IpAddr>, here: &mut Here, address: IpAddr) -> Option<IpAddr> {
    let (key, evicted) = pending.enter(address, address);
    here.push((address, key));
    if let Some(gone) = evicted {
        let oldest = here.iter().position(|(of, _)| *of == gone).expect("one that is there");
        here.remove(oldest);
    }
    evicted
}

/// Each of these comes so many times, in turns.
fn crowd(most: usize, of: impl Iterator<Item = IpAddr>, each: usize) -> (Pending<IpAddr>, Here) {
    let (mut pending, mut here) = (Pending::new(most), Vec::new());
    let of: Vec<IpAddr> = of.collect();
    for address in of.repeat(each) {
        comes(&mut pending, &mut here, address);
    }
    (pending, here)
}

fn held(here: &Here, is: impl Fn(IpAddr) -> bool) -> usize {
    here.iter().filter(|(address, _)| is(*address)).count()
}

#[test]
fn while_there_is_room_nobody_is_evicted_however_much_one_has() {
    let (mut pending, mut here) = crowd(100, std::iter::once(v4(1, 1)), 100);
    assert_eq!(here.len(), 100);
    assert_eq!(comes(&mut pending, &mut here, v4(2, 1)), Some(v4(1, 1)));
    assert_eq!(here.len(), 100);
}

#[test]
fn a_newcomer_gets_in_beside_many_addresses_that_hold_everything() {
    // Addresses of one network, of many, and networks of one IPv6 /44.
    let of_one = (0..240_u8).map(|n| v4(1, n));
    let of_many = (0..240_u16).map(|n| v4(n, 1));
    let of_a_44 = (0..16_u16).flat_map(|n| (0..17_u8).map(move |m| v6(n, m % 4, m)));
    let crowds = [crowd(400, of_one, 64), crowd(400, of_many, 64), crowd(400, of_a_44, 64)];
    for (mut pending, mut here) in crowds {
        let strangers = here.clone();
        assert_eq!(strangers.len(), 400);
        for number in 0..100 {
            let newcomer = v4(0x8000 + number, 1);
            let evicted = comes(&mut pending, &mut here, newcomer).unwrap();
            assert!(strangers.iter().any(|(of, _)| *of == evicted), "{number}: a stranger's, not {evicted}");
        }
        // The strangers come again at once, each time they are evicted.
        for (address, _) in strangers.iter().cycle().take(10_000) {
            let evicted = comes(&mut pending, &mut here, *address).unwrap();
            assert!(strangers.iter().any(|(of, _)| *of == evicted), "no newcomer's, {evicted}");
        }
        assert_eq!(held(&here, |address| !strangers.iter().any(|(of, _)| *of == address)), 100);
    }
}

#[test]
fn who_has_many_networks_has_more_than_who_has_one() {
    // A connection from each /64 that a /48 has: each address alone has as little as an honest one, and is newer.
    let networks = (0..=255_u8).flat_map(|n| (0..4_u8).map(move |m| v6(1, m, n)));
    let (mut pending, mut here) = crowd(1000, (0..100).map(|n| v4(n, 1)).chain(networks), 1);
    for number in 0..500 {
        let evicted = comes(&mut pending, &mut here, v4(0x8000 + number, 1)).unwrap();
        assert!(evicted.is_ipv6(), "{number}: {evicted}");
    }
    assert_eq!(held(&here, |address| address.is_ipv4()), 600);
    // All addresses of an IPv4 /24.
    let (mut pending, mut here) =
        crowd(300, (2..46).map(|n| v4(n, 1)).chain((0..=255_u8).map(|n| v4(1, n))), 1);
    for number in 0..200 {
        let evicted = comes(&mut pending, &mut here, v4(0x8000 + number, 1)).unwrap();
        assert_eq!(networks_of(evicted), networks_of(v4(1, 0)), "{number}");
    }
}

/// The larger networks of an address.
fn networks_of(address: IpAddr) -> Vec<IpNet> {
    networks(address).skip(1).map(|(network, _)| network).collect()
}

#[test]
fn customers_of_one_provider_weigh_no_more_than_others_with_as_much() {
    // So many of one /24 as it counts for, beside strangers of as many networks as there is room for.
    let customers = limits::ADDRESSES_IN_24;
    let strangers = (0..100_u16).map(|n| v4(n, 1));
    let (mut pending, mut here) = crowd(100 + customers, strangers, 1);
    for number in 0..customers {
        comes(&mut pending, &mut here, v4(0x8000, number as u8));
    }
    // Others come, and evict whoever came first: the strangers.
    for number in 200..300 {
        let evicted = comes(&mut pending, &mut here, v4(number, 1)).unwrap();
        assert_eq!(evicted, v4(number - 200, 1));
    }
}

#[test]
fn of_equals_the_oldest_goes_and_of_one_address_its_oldest() {
    let (mut pending, mut here) = crowd(100, (0..50_u16).map(|n| v4(n, 1)), 2);
    let first = here[0].1;
    assert_eq!(comes(&mut pending, &mut here, v4(1000, 1)), Some(v4(0, 1)));
    assert!(pending.remove(first).is_none(), "the older of its two");
    assert_eq!(comes(&mut pending, &mut here, v4(1001, 1)), Some(v4(1, 1)));
    let last = here[here.len() - 3].1;
    assert!(pending.remove(last).is_some());
}

#[test]
fn who_waits_is_served_before_whoever_has_much_more() {
    let mut pending = Pending::new(1000);
    for _ in 0..64 {
        pending.enter(v4(1, 1), ());
    }
    pending.enter(v4(2, 1), ());
    pending.enter(v4(1, 2), ());
    let [heavy, light, neighbour] = [v4(1, 1), v4(2, 1), v4(1, 2)].map(|address| pending.precedence(address));
    assert_eq!(light, Precedence::ALONE);
    assert!(light < neighbour && neighbour < heavy, "{light:?} {neighbour:?} {heavy:?}");
    pending.enter(v4(3, 1), ());
    assert_eq!(pending.precedence(v4(3, 1)), light, "as much is no difference");
}

/// What a connection's network weighs, counted one by one.
fn load_of(here: &Here, address: IpAddr) -> usize {
    networks(address)
        .map(|(network, addresses)| load(held(here, |other| network.contains(&other)), addresses))
        .max()
        .unwrap()
}

/// Out of so few that many have something in common.
fn anybody() -> impl Strategy<Value = IpAddr> {
    let in_v4 = (0..6_u16, 0..6_u8).prop_map(|(a, b)| v4(a, b));
    let in_v6 = (0..3_u16, 0..3_u8, 0..4_u8).prop_map(|(a, b, c)| v6(a, b, c));
    prop_oneof![in_v4, in_v6]
}

#[derive(Clone, Debug)]
enum Step {
    Comes(IpAddr),
    /// It has shown what it has come for, or has gone.
    Leaves(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let comes = anybody().prop_map(Step::Comes);
    let leaves = any::<prop::sample::Index>().prop_map(Step::Leaves);
    prop::collection::vec(prop_oneof![4 => comes, 1 => leaves], 1..200)
}

proptest! {
    /// A newcomer that holds nothing gets in whoever holds what; the one that goes for it is of the network that has
    /// most, and its oldest.
    #[test]
    fn a_newcomer_always_gets_in_and_the_heaviest_pays(most in 1..40_usize, steps in steps()) {
        let (mut pending, mut here): (_, Here) = (Pending::new(most), Vec::new());
        for step in steps {
            match step {
                Step::Leaves(index) => {
                    if !here.is_empty() {
                        let (address, key) = here.remove(index.index(here.len()));
                        prop_assert_eq!(pending.remove(key), Some(address));
                        prop_assert_eq!(pending.remove(key), None);
                    }
                }
                Step::Comes(address) => {
                    let before = here.len();
                    let (key, evicted) = pending.enter(address, address);
                    here.push((address, key));
                    prop_assert_eq!(evicted.is_some(), before == most, "room is used, and no more than there is");
                    if let Some(gone) = evicted {
                        let heaviest = here.iter().map(|(of, _)| load_of(&here, *of)).max().unwrap();
                        prop_assert_eq!(load_of(&here, gone), heaviest, "{} goes", gone);
                        let oldest = here.iter().position(|(of, _)| *of == gone).unwrap();
                        prop_assert!(oldest < before, "never the newcomer");
                        // Of several that weigh as much, nobody who has been there for a shorter time than all.
                        let (_, gone) = here.remove(oldest);
                        prop_assert_eq!(pending.remove(gone), None, "the oldest of its address");
                    }
                }
            }
            prop_assert!(here.len() <= most);
        }
        for (address, key) in here {
            prop_assert_eq!(pending.remove(key), Some(address));
        }
        prop_assert!(pending.networks.is_empty() && pending.ranking.is_empty(), "nobody is remembered");
    }
}
