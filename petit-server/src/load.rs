//! How much is going on, and how much went wrong, for the operator.

use petit_relay::{DownloadCounts, Holder, PlaceCounts, Relay, Scarce, Shortage};

use crate::api::{Downloads, HolderKind, HolderView, Load, ScarceKind, ShortageView, TurnedAway};

/// Counters of the whole relay, and what is running short.
pub fn view(relay: &Relay) -> Load {
    let counts = relay.counts();
    let PlaceCounts { refused, gave_way_without_body, gave_way_unanswered, broken_off } = counts.places;
    let DownloadCounts { now, bytes, busy, gave_way: gave_way_to } = counts.downloads;
    let gave_way = gave_way_without_body + gave_way_unanswered + broken_off;
    let connections = counts.turned_away as u64;
    Load {
        connections: counts.connections,
        downloads: Some(Downloads { busy, bytes, gave_way: gave_way_to, now }),
        faults: counts.faults,
        requests: counts.requests,
        shortages: relay.shortages().iter().map(shortage).collect(),
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        turned_away: connections + refused + gave_way,
        turned_away_by: TurnedAway {
            broken_off,
            connections,
            gave_way_unanswered,
            gave_way_without_body,
            requests: refused,
        },
    }
}

/// What is running short, and who has it.
fn shortage(shortage: &Shortage) -> ShortageView {
    let (what, of) = match shortage.what {
        Scarce::Requests => (ScarceKind::Requests, None),
        Scarce::ServiceRequests(service) => (ScarceKind::ServiceRequests, Some(service.to_string())),
        Scarce::Visits(client) => (ScarceKind::Visits, Some(client.to_string())),
        Scarce::WebSockets(client) => (ScarceKind::WebSockets, Some(client.to_string())),
    };
    let holder = |(holder, places): &(Holder, usize)| {
        let (kind, name) = match holder {
            Holder::Client(client) => (HolderKind::Client, Some(client.to_string())),
            Holder::Service(service) => (HolderKind::Service, Some(service.to_string())),
            Holder::Visitor(network) => (HolderKind::Visitor, Some(network.to_string())),
            Holder::Exempt => (HolderKind::ExemptNetworks, None),
        };
        HolderView { kind, name, places: *places }
    };
    let holders = shortage.holders.iter().map(holder).collect();
    ShortageView { holders, most: shortage.most, of, used: shortage.used, what }
}

#[cfg(test)]
mod tests {
    use petit_engine::name::{DeviceId, RegisteredId};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shortage_keeps_the_form_that_others_read() {
        let (client, service) = (DeviceId::random().unwrap(), RegisteredId::random().unwrap());
        let all = [
            (Scarce::Requests, Holder::Client(client), json!(["requests", null, "client", client])),
            (
                Scarce::ServiceRequests(service),
                Holder::Service(service),
                json!(["service_requests", service, "service", service]),
            ),
            (
                Scarce::Visits(client),
                Holder::Visitor("192.0.2.1".parse().unwrap()),
                json!(["visits", client, "visitor", "192.0.2.1"]),
            ),
            (
                Scarce::WebSockets(client),
                Holder::Exempt,
                json!(["websockets", client, "exempt_networks", null]),
            ),
        ];
        for (what, holder, known) in all {
            let found = shortage(&Shortage { what, used: 3, most: 4, holders: vec![(holder, 2)] });
            let expected = json!({
                "what": known[0], "of": known[1], "used": 3, "most": 4,
                "holders": [{ "kind": known[2], "name": known[3], "places": 2 }],
            });
            assert_eq!(serde_json::to_value(&found).unwrap(), expected);
            assert_eq!(serde_json::from_value::<ShortageView>(expected).unwrap(), found);
        }
    }
}
