use std::pin::pin;
use std::task::{Context, Waker};

use super::super::ticket::Ticket;
use super::*;

fn connections(connections: usize, per_address: usize) -> Arc<Connections> {
    let limits =
        LimitsConfig { connections, connections_per_address: per_address, ..LimitsConfig::default() };
    Arc::new(Connections::new(&limits, &["10.0.0.0/8".parse().unwrap()]))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn one_address_gets_its_share_and_no_more() {
    let connections = connections(1000, 3);
    let _crowd: Vec<_> =
        (0..250).filter_map(|_| connections.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
    let held: Vec<_> =
        (0..3).filter_map(|_| connections.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
    assert_eq!(held.len(), 3);
    assert!(connections.admit(ip("192.0.2.1"), Entrance::Visitors).is_none());
    assert!(connections.admit(ip("::ffff:192.0.2.1"), Entrance::Visitors).is_none(), "the same address");
    assert!(connections.admit(ip("192.0.2.2"), Entrance::Visitors).is_some());
    drop(held);
    assert!(connections.admit(ip("192.0.2.1"), Entrance::Visitors).is_some());
    let held: Vec<_> =
        (1..9).filter_map(|n| connections.admit(ip(&format!("2001:db8::{n}")), Entrance::Visitors)).collect();
    assert_eq!(held.len(), 3, "a /64 is one address");
}

#[test]
fn networks_of_one_prefix_share_what_it_may_have() {
    let connections = connections(1000, 3);
    let _crowd: Vec<_> =
        (0..250).filter_map(|_| connections.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
    let come = |of: &str, count: u32, entrance: Entrance| -> Vec<_> {
        (0..count).filter_map(|n| connections.admit(ip(&format!("{of}{n:02x}::1")), entrance)).collect()
    };
    let held = come("2001:db8:1:1", 100, Entrance::Visitors);
    assert_eq!(held.len(), 3 * limits::ADDRESSES_IN_56, "a /56 has 256 /64s");
    let more: Vec<_> = (2..9).map(|n| come(&format!("2001:db8:1:{n}"), 100, Entrance::Visitors)).collect();
    let all = held.len() + more.iter().flatten().count();
    assert_eq!(all, 3 * limits::ADDRESSES_IN_48, "a /48 has 256 /56s");
    // Over TLS it is known only after the handshake what somebody has come for.
    let mut https = come("2001:db8:1:1", 1, Entrance::Tls);
    assert!(!https[0].try_stay_pending_to_visit(), "over TLS as well");
    assert_eq!(come("2001:db8:2:1", 1, Entrance::Visitors).len(), 1, "others have theirs");
    drop((held, more, https));
    assert_eq!(come("2001:db8:1:1", 100, Entrance::Visitors).len(), 3 * limits::ADDRESSES_IN_56);
    assert!(connections.prefixes().is_empty(), "who has nothing open is not remembered");
    let held = come("2001:db8:3:1", 200, Entrance::Tls);
    let again = come("2001:db8:3:1", 200, Entrance::Tls);
    assert_eq!(held.len() + again.len(), limits::HANDSHAKES_PER_ADDRESS * limits::ADDRESSES_IN_56);
}

#[test]
fn while_there_is_much_room_an_address_may_have_more_than_its_share() {
    let connections = connections(1000, 3);
    let office: Vec<_> =
        (0..500).filter_map(|_| connections.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
    assert_eq!(office.len(), 250, "a quarter of all");
    let mut https = connections.admit(ip("192.0.2.1"), Entrance::Tls).unwrap();
    assert!(!https.try_stay_pending_to_visit(), "over TLS as well");
    assert!(connections.admit(ip("192.0.2.2"), Entrance::Visitors).is_some(), "others have theirs");
}

#[test]
fn the_clients_of_a_company_are_not_counted_by_its_address() {
    let connections = connections(2000, 3);
    let _crowd: Vec<_> =
        (0..600).filter_map(|_| connections.admit(ip("127.0.0.1"), Entrance::Visitors)).collect();
    let mut clients = Vec::new();
    for _ in 0..limits::HANDSHAKES_AT_ONCE {
        let mut client = connections.admit(ip("192.0.2.1"), Entrance::Tls).unwrap();
        client.settle_as_client();
        clients.push(client);
    }
    // Its visitors have their share beside them, and who has come to register counts as one of these.
    let mut visitors: Vec<_> =
        (0..9).filter_map(|_| connections.admit(ip("192.0.2.1"), Entrance::Visitors)).collect();
    assert_eq!(visitors.len(), 3);
    drop(clients);
    visitors.pop();
    assert!(connections.admit(ip("192.0.2.1"), Entrance::Visitors).is_some());
    assert_eq!(connections.addresses().get_mut(&ip("192.0.2.1")).map(|address| address.open), Some(2));
}

#[test]
fn loopback_and_trusted_proxies_speak_for_many() {
    let connections = connections(1000, 3);
    for address in ["127.0.0.1", "::1", "10.1.2.3"] {
        let held: Vec<_> = (0..50).filter_map(|_| connections.admit(ip(address), Entrance::Tls)).collect();
        assert_eq!(held.len(), 50, "{address}");
    }
}

#[test]
fn handshakes_of_one_address_are_slowed_down() {
    let connections = connections(10_000, 10_000);
    let is_let_in = || connections.admit(ip("192.0.2.1"), Entrance::Tls).is_some();
    let passed = (0..1000).filter(|_| is_let_in()).count();
    let most = limits::HANDSHAKES_AT_ONCE as usize;
    assert!((most..most + 70).contains(&passed), "{passed}");
    assert!(connections.admit(ip("192.0.2.9"), Entrance::Tls).is_some(), "others are not concerned");
    let of_one_64 =
        (0..1000).filter(|_| connections.admit(ip("2001:db8:1::1"), Entrance::Tls).is_some()).count();
    assert!((most..most + 70).contains(&of_one_64), "{of_one_64}");
    let networks: Vec<IpAddr> = (1..=255).map(|n| ip(&format!("2001:db8:1:{n:x}::1"))).collect();
    let networks = networks.iter().cycle().take(5000);
    let of_one_56 = networks.filter(|peer| connections.admit(**peer, Entrance::Tls).is_some()).count();
    let rest = most * (limits::ADDRESSES_IN_56 - 1);
    assert!((rest - 70..rest + 280).contains(&of_one_56), "a /56 has 256 /64s: {of_one_56}");
}

#[test]
fn unfinished_handshakes_of_one_address_leave_room_for_others() {
    let connections = connections(10_000, 10_000);
    let mut held: Vec<_> =
        (0..100).filter_map(|_| connections.admit(ip("192.0.2.1"), Entrance::Tls)).collect();
    assert_eq!(held.len(), limits::HANDSHAKES_PER_ADDRESS);
    held[0].settle_as_client();
    assert!(connections.admit(ip("192.0.2.1"), Entrance::Tls).is_some(), "one that is through makes room");
}

#[test]
fn visitors_leave_room_for_clients() {
    let connections = connections(100, 100);
    let mut held = Vec::new();
    for _ in 0..10_000 {
        held.extend(connections.admit(ip("127.0.0.1"), Entrance::Visitors));
    }
    assert_eq!(held.len(), 90);
    let mut https = connections.admit(ip("127.0.0.1"), Entrance::Tls).unwrap();
    assert!(!https.try_stay_pending_to_visit(), "a visitor over TLS is one");
    drop(https);
    let mut clients = Vec::new();
    for _ in 0..10_000 {
        clients.extend(connections.admit(ip("127.0.0.1"), Entrance::Tls));
    }
    assert_eq!(clients.len(), 10);
    assert_eq!(connections.counts().0, 100);
}

#[test]
fn the_door_closes_by_and_by() {
    let lucky = |open: usize| (0..1000).filter(|_| !should_shed(open, 1000)).count();
    assert_eq!(lucky(700), 1000);
    let half = lucky(850);
    assert!((350..650).contains(&half), "{half}");
    assert!(lucky(999) < 100);
}

#[test]
fn pressure_turns_visitors_away_and_then_requests() {
    let connections = connections(100, 100);
    connections.set_pressure(Pressure::NoNewConnections);
    assert!(connections.admit(ip("127.0.0.1"), Entrance::Visitors).is_none());
    assert!(connections.admit(ip("127.0.0.1"), Entrance::Tls).is_some());
    assert!(connections.takes_requests());
    connections.set_pressure(Pressure::NoNewRequests);
    assert!(!connections.takes_requests());
    connections.set_pressure(Pressure::None);
    assert!(connections.admit(ip("127.0.0.1"), Entrance::Visitors).is_some() && connections.takes_requests());
}

#[test]
fn the_table_of_addresses_does_not_grow_for_ever() {
    let connections = connections(1000, 3);
    for number in 0..(3 * limits::ADDRESSES as u32) {
        drop(connections.admit(IpAddr::from((0x0b00_0000 + number).to_be_bytes()), Entrance::Visitors));
    }
    assert!(connections.addresses().len() <= limits::ADDRESSES);
}

/// Whether a connection was told to make way. To be asked once.
fn is_evicted(ticket: &Ticket) -> bool {
    pin!(ticket.admission().evicted()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Connections of 26 addresses in turn.
fn strangers(connections: &Arc<Connections>, count: usize, entrance: Entrance) -> Vec<Ticket> {
    (0..count).filter_map(|n| connections.admit(ip(&format!("192.0.2.{}", n % 26)), entrance)).collect()
}

#[test]
fn connections_that_have_shown_nothing_make_way_for_whoever_comes() {
    for entrance in [Entrance::Http, Entrance::Tls] {
        let connections = connections(400, 256);
        let mut held = strangers(&connections, 416, entrance);
        assert_eq!(held.len(), 416, "each gets in, and another one goes");
        held.retain(|ticket| !is_evicted(ticket));
        assert_eq!(held.len(), 100, "a quarter of all");
        assert_eq!(connections.counts(), (100, 316));
        let mut newcomers = Vec::new();
        for number in 0..50 {
            let entrance = [Entrance::Http, Entrance::Tls, Entrance::Visitors][number % 3];
            newcomers.push(connections.admit(ip(&format!("198.51.{number}.1")), entrance).unwrap());
        }
        held.extend(strangers(&connections, 200, entrance));
        assert!(!newcomers.iter().any(is_evicted));
        held.retain(|ticket| !is_evicted(ticket));
        assert_eq!(held.len(), 100 - 34, "who comes for a service that is known is not one of these");
    }
}

#[test]
fn what_has_come_for_something_makes_no_way() {
    let connections = connections(400, 400);
    let mut settled = strangers(&connections, 90, Entrance::Http);
    assert!(settled.iter().all(|ticket| ticket.admission().try_settle_as_visitor()));
    let mut clients = strangers(&connections, 90, Entrance::Tls);
    clients.iter_mut().for_each(Ticket::settle_as_client);
    settled.extend(clients);
    let mut held = strangers(&connections, 300, Entrance::Tls);
    held.retain(|ticket| !is_evicted(ticket));
    assert_eq!(held.len(), 100);
    assert!(!settled.iter().any(is_evicted));
    // Who has agreed upon TLS has shown nothing yet.
    for (number, ticket) in held.iter_mut().enumerate() {
        if number % 2 == 0 {
            assert!(ticket.try_stay_pending_to_visit());
        } else {
            ticket.stay_pending_to_enrol();
        }
    }
    let _others: Vec<_> =
        (0..100).map(|n| connections.admit(ip(&format!("198.51.{n}.1")), Entrance::Http)).collect();
    assert!(held.iter().filter(|ticket| is_evicted(ticket)).count() > 50);
}

#[test]
fn where_all_are_in_use_whoever_is_pending_makes_way() {
    let connections = connections(400, 400);
    let clients: Vec<_> = (0..350)
        .map(|_| {
            let mut client = connections.admit(ip("127.0.0.1"), Entrance::Tls).unwrap();
            client.settle_as_client();
            client
        })
        .collect();
    let mut held = strangers(&connections, 50, Entrance::Tls);
    assert_eq!((held.len(), connections.counts()), (50, (400, 0)));
    let newcomer = connections.admit(ip("198.51.100.1"), Entrance::Visitors).unwrap();
    assert_eq!(held.iter().filter(|ticket| is_evicted(ticket)).count(), 1);
    // They hold what they have until they have gone: of these there may be so many.
    held.extend(strangers(&connections, 1000, Entrance::Tls));
    assert_eq!(connections.counts().0, 400 + limits::EVICTED_AT_ONCE);
    drop((held, newcomer));
    assert_eq!(connections.counts().0, 350);
    // This machine and whoever speaks for many make way for nobody but each other.
    let own: Vec<_> = (0..50).map(|_| connections.admit(ip("10.1.2.3"), Entrance::Http).unwrap()).collect();
    assert!(connections.admit(ip("198.51.100.1"), Entrance::Http).is_none());
    assert!(!own.iter().any(is_evicted));
    drop(own);
    // And while one of themselves can, nobody else makes way for them.
    let own = connections.admit(ip("10.1.2.3"), Entrance::Http).unwrap();
    let held = strangers(&connections, 49, Entrance::Tls);
    let others = [(); 2].map(|()| connections.admit(ip("10.1.2.3"), Entrance::Visitors).unwrap());
    assert!(is_evicted(&own));
    assert_eq!(held.iter().filter(|ticket| is_evicted(ticket)).count(), 1, "when they have none left");
    drop((clients, own, held, others));
    let own: Vec<_> = (0..101).map(|_| connections.admit(ip("10.1.2.3"), Entrance::Http).unwrap()).collect();
    assert_eq!(own.iter().filter(|ticket| is_evicted(ticket)).count(), 1);
}

#[test]
fn visitors_who_ask_late_leave_room_for_clients_too() {
    let connections = connections(100, 100);
    let late: Vec<_> = (0..20).map(|_| connections.admit(ip("127.0.0.1"), Entrance::Http).unwrap()).collect();
    let mut held = Vec::new();
    for _ in 0..10_000 {
        held.extend(connections.admit(ip("127.0.0.1"), Entrance::Visitors));
    }
    assert_eq!(held.len(), 80);
    let come = late.iter().filter(|ticket| ticket.admission().try_settle_as_visitor()).count();
    assert_eq!(come, 10, "visitors never have more than nine tenths");
    drop((late, held));
    assert_eq!(connections.visitors.load(Ordering::Relaxed), 0);
}

#[test]
fn a_request_that_begins_when_its_connection_has_ended_makes_no_visitor() {
    let connections = connections(40, 40);
    let ticket = connections.admit(ip("192.0.2.1"), Entrance::Http).unwrap();
    let admission = Arc::clone(ticket.admission());
    drop(ticket);
    assert!(!admission.try_settle_as_visitor());
    assert_eq!((connections.counts().0, connections.visitors.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn what_is_done_for_a_pending_connection_ends_when_it_makes_way() {
    let connections = connections(40, 40);
    let ticket = connections.admit(ip("192.0.2.1"), Entrance::Tls).unwrap();
    assert_eq!(ticket.admission().unless_evicted(async { 1 }).await, Some(1));
    let others: Vec<_> =
        (1..=10).map(|n| connections.admit(ip(&format!("198.51.{n}.1")), Entrance::Tls)).collect();
    assert_eq!(ticket.admission().unless_evicted(std::future::pending::<()>()).await, None);
    assert!(!ticket.admission().try_settle_as_visitor(), "too late");
    drop((ticket, others));
    assert_eq!((connections.counts().0, connections.visitors.load(Ordering::Relaxed)), (0, 0));
}
