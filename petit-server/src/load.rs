//! How much is going on, and how much went wrong, for the operator.

use petit_relay::{Holder, PlaceCounts, Relay, Scarce, Shortage};
use serde_json::{Value, json};

/// Counters of the whole relay, and what is running short.
pub fn view(relay: &Relay) -> Value {
    let counts = relay.counts();
    let PlaceCounts { refused, gave_way_without_body, gave_way_unanswered, broken_off } = counts.places;
    let gave_way = gave_way_without_body + gave_way_unanswered + broken_off;
    json!({
        "connections": counts.connections,
        "requests": counts.requests,
        "turned_away": counts.turned_away as u64 + refused + gave_way,
        "turned_away_by": {
            "connections": counts.turned_away,
            "requests": refused,
            "gave_way_without_body": gave_way_without_body,
            "gave_way_unanswered": gave_way_unanswered,
            "broken_off": broken_off,
        },
        "shortages": relay.shortages().iter().map(shortage).collect::<Vec<_>>(),
        "faults": counts.faults,
        "tasks": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
    })
}

/// What is running short, and who has it.
fn shortage(shortage: &Shortage) -> Value {
    let (what, of) = match shortage.what {
        Scarce::Requests => ("requests", Value::Null),
        Scarce::ServiceRequests(service) => ("service_requests", json!(service)),
        Scarce::Visits(client) => ("visits", json!(client)),
        Scarce::WebSockets(client) => ("websockets", json!(client)),
    };
    let holder = |(holder, places): &(Holder, usize)| {
        let (kind, name) = match holder {
            Holder::Client(client) => ("client", json!(client)),
            Holder::Service(service) => ("service", json!(service)),
            Holder::Visitor(network) => ("visitor", json!(network)),
            Holder::Exempt => ("exempt_networks", Value::Null),
        };
        json!({ "kind": kind, "name": name, "places": places })
    };
    json!({
        "what": what,
        "of": of,
        "used": shortage.used,
        "most": shortage.most,
        "holders": shortage.holders.iter().map(holder).collect::<Vec<_>>(),
    })
}
