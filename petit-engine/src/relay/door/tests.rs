use super::*;

fn door(connections: usize, per_address: usize) -> Arc<Door> {
    let bounds = Bounds { connections, connections_per_address: per_address, ..Bounds::default() };
    Arc::new(Door::new(&bounds, &["10.0.0.0/8".parse().unwrap()]))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn one_address_gets_its_share_and_no_more() {
    let door = door(1000, 3);
    let _crowd: Vec<_> = (0..250).filter_map(|_| door.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
    let held: Vec<_> = (0..3).filter_map(|_| door.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
    assert_eq!(held.len(), 3);
    assert!(door.admit(ip("192.0.2.1"), Entrance::Visitors).is_none());
    assert!(door.admit(ip("::ffff:192.0.2.1"), Entrance::Visitors).is_none(), "the same address");
    assert!(door.admit(ip("192.0.2.2"), Entrance::Visitors).is_some());
    drop(held);
    assert!(door.admit(ip("192.0.2.1"), Entrance::Visitors).is_some());
    let held: Vec<_> =
        (1..9).filter_map(|n| door.admit(ip(&format!("2001:db8::{n}")), Entrance::Visitors)).collect();
    assert_eq!(held.len(), 3, "a /64 is one address");
}

#[test]
fn networks_of_one_prefix_share_what_it_may_have() {
    let door = door(1000, 3);
    let _crowd: Vec<_> = (0..250).filter_map(|_| door.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
    let come = |of: &str, count: u32, entrance: Entrance| -> Vec<_> {
        (0..count).filter_map(|n| door.admit(ip(&format!("{of}{n:02x}::1")), entrance)).collect()
    };
    let held = come("2001:db8:1:1", 100, Entrance::Visitors);
    assert_eq!(held.len(), 3 * limits::ADDRESSES_IN_56, "a /56 has 256 /64s");
    let more: Vec<_> = (2..9).map(|n| come(&format!("2001:db8:1:{n}"), 100, Entrance::Visitors)).collect();
    let all = held.len() + more.iter().flatten().count();
    assert_eq!(all, 3 * limits::ADDRESSES_IN_48, "a /48 has 256 /56s");
    // Over TLS it is known only after the handshake what somebody has come for.
    let mut https = come("2001:db8:1:1", 1, Entrance::Tls);
    assert!(!https[0].is_visitor(), "over TLS as well");
    assert_eq!(come("2001:db8:2:1", 1, Entrance::Visitors).len(), 1, "others have theirs");
    drop((held, more, https));
    assert_eq!(come("2001:db8:1:1", 100, Entrance::Visitors).len(), 3 * limits::ADDRESSES_IN_56);
    assert!(door.prefixes().is_empty(), "who has nothing open is not remembered");
    let held = come("2001:db8:3:1", 200, Entrance::Tls);
    let again = come("2001:db8:3:1", 200, Entrance::Tls);
    assert_eq!(held.len() + again.len(), limits::HANDSHAKES_PER_ADDRESS * limits::ADDRESSES_IN_56);
}

#[test]
fn while_there_is_much_room_an_address_may_have_more_than_its_share() {
    let door = door(1000, 3);
    let office: Vec<_> = (0..500).filter_map(|_| door.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
    assert_eq!(office.len(), 250, "a quarter of all");
    let mut https = door.admit(ip("192.0.2.1"), Entrance::Tls).unwrap();
    assert!(!https.is_visitor(), "over TLS as well");
    assert!(door.admit(ip("192.0.2.2"), Entrance::Visitors).is_some(), "others have theirs");
}

#[test]
fn the_clients_of_a_company_are_not_counted_by_its_address() {
    let door = door(2000, 3);
    let _crowd: Vec<_> = (0..600).filter_map(|_| door.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
    let mut clients = Vec::new();
    for _ in 0..limits::HANDSHAKES_AT_ONCE {
        let mut client = door.admit(ip("192.0.2.1"), Entrance::Tls).unwrap();
        client.is_client();
        clients.push(client);
    }
    // Its visitors have their share beside them, and who has come to register counts as one of these.
    let mut visitors: Vec<_> =
        (0..9).filter_map(|_| door.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
    assert_eq!(visitors.len(), 3);
    drop(clients);
    visitors.pop();
    assert!(door.admit(ip("192.0.2.1"), Entrance::Visitors).is_some());
    assert_eq!(door.addresses().get_mut(&ip("192.0.2.1")).map(|address| address.open), Some(2));
}

#[test]
fn loopback_and_trusted_proxies_speak_for_many() {
    let door = door(1000, 3);
    for address in ["127.0.0.1", "::1", "10.1.2.3"] {
        let held: Vec<_> = (0..50).filter_map(|_| door.admit(ip(address), Entrance::Tls)).collect();
        assert_eq!(held.len(), 50, "{address}");
    }
}

#[test]
fn handshakes_of_one_address_are_slowed_down() {
    let door = door(10_000, 10_000);
    let is_let_in = || door.admit(ip("192.0.2.1"), Entrance::Tls).is_some();
    let passed = (0..1000).filter(|_| is_let_in()).count();
    let most = limits::HANDSHAKES_AT_ONCE as usize;
    assert!((most..most + 70).contains(&passed), "{passed}");
    assert!(door.admit(ip("192.0.2.9"), Entrance::Tls).is_some(), "others are not concerned");
    let of_one_64 = (0..1000).filter(|_| door.admit(ip("2001:db8:1::1"), Entrance::Tls).is_some()).count();
    assert!((most..most + 70).contains(&of_one_64), "{of_one_64}");
    let networks: Vec<IpAddr> = (1..=255).map(|n| ip(&format!("2001:db8:1:{n:x}::1"))).collect();
    let networks = networks.iter().cycle().take(5000);
    let of_one_56 = networks.filter(|peer| door.admit(**peer, Entrance::Tls).is_some()).count();
    let rest = most * (limits::ADDRESSES_IN_56 - 1);
    assert!((rest - 70..rest + 280).contains(&of_one_56), "a /56 has 256 /64s: {of_one_56}");
}

#[test]
fn unfinished_handshakes_of_one_address_leave_room_for_others() {
    let door = door(10_000, 10_000);
    let mut held: Vec<_> = (0..100).filter_map(|_| door.admit(ip("192.0.2.1"), Entrance::Tls)).collect();
    assert_eq!(held.len(), limits::HANDSHAKES_PER_ADDRESS);
    held[0].is_client();
    assert!(door.admit(ip("192.0.2.1"), Entrance::Tls).is_some(), "one that is through makes room");
}

#[test]
fn visitors_leave_room_for_clients() {
    let door = door(100, 100);
    let mut held = Vec::new();
    for _ in 0..10_000 {
        held.extend(door.admit(ip("127.0.0.1"), Entrance::Visitors));
    }
    assert_eq!(held.len(), 90);
    let mut https = door.admit(ip("127.0.0.1"), Entrance::Tls).unwrap();
    assert!(!https.is_visitor(), "a visitor over TLS is one");
    drop(https);
    let mut clients = Vec::new();
    for _ in 0..10_000 {
        clients.extend(door.admit(ip("127.0.0.1"), Entrance::Tls));
    }
    assert_eq!(clients.len(), 10);
    assert_eq!(door.counts().0, 100);
}

#[test]
fn the_door_closes_by_and_by() {
    let lucky = |open: usize| (0..1000).filter(|_| !is_unlucky(open, 1000)).count();
    assert_eq!(lucky(700), 1000);
    let half = lucky(850);
    assert!((350..650).contains(&half), "{half}");
    assert!(lucky(999) < 100);
}

#[test]
fn pressure_turns_visitors_away_and_then_requests() {
    let door = door(100, 100);
    door.set_pressure(Pressure::NoNewConnections);
    assert!(door.admit(ip("127.0.0.1"), Entrance::Visitors).is_none());
    assert!(door.admit(ip("127.0.0.1"), Entrance::Tls).is_some());
    assert!(door.takes_requests());
    door.set_pressure(Pressure::NoNewRequests);
    assert!(!door.takes_requests());
    door.set_pressure(Pressure::None);
    assert!(door.admit(ip("127.0.0.1"), Entrance::Visitors).is_some() && door.takes_requests());
}

#[test]
fn the_table_of_addresses_does_not_grow_for_ever() {
    let door = door(1000, 3);
    for number in 0..(3 * limits::ADDRESSES as u32) {
        drop(door.admit(IpAddr::from((0x0b00_0000 + number).to_be_bytes()), Entrance::Visitors));
    }
    assert!(door.addresses().len() <= limits::ADDRESSES);
}
