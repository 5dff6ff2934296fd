//! What policies have come to, in the operator's words.

use std::path::Path;

use petit_engine::name::PolicyName;
use petit_server::api::{
    KeylessPolicy, PolicyActivity, PolicyCounts, PolicyOrigin, PortChanges, RefusalCounts, ShutPort,
};

/// A line for each policy that has refused anybody, or would have, as `status` has it.
pub(crate) fn of_all(policies: &[PolicyActivity], since: &str) -> String {
    let lines = policies.iter().flat_map(|PolicyActivity { policy, counts }| {
        said(counts).into_iter().map(move |said| format!("policy     {policy} {said} (since {since})\n"))
    });
    lines.collect()
}

/// What a policy has come to: nothing, or a line or two.
pub(crate) fn said(PolicyCounts { refused, would_refuse }: &PolicyCounts) -> Vec<String> {
    let said = |did: &str, counts: &RefusalCounts| {
        let visits = match counts.sum() {
            0 => return None,
            1 => "1 visit".to_owned(),
            visits => format!("{visits} visits"),
        };
        Some(format!("{did} {visits}: {}", reasons(counts)))
    };
    let counted = said("has let in, and would have refused,", would_refuse);
    [said("has refused", refused), counted].into_iter().flatten().collect()
}

fn reasons(counts: &RefusalCounts) -> String {
    // Taken apart whole, so that a reason that is forgotten here does not compile.
    let RefusalCounts { address, body, concurrent, key_missing, key_refused, rate } = counts;
    let reasons = [
        (address, "from another address"),
        (key_missing, "without a key"),
        (key_refused, "with a key that is not taken"),
        (rate, "too soon after others"),
        (concurrent, "while too many were under way"),
        (body, "with too long a body"),
    ];
    let reasons = reasons.into_iter().filter(|(count, _)| **count > 0);
    reasons.map(|(count, why)| format!("{count} {why}")).collect::<Vec<_>>().join(", ")
}

/// A policy that no key opens any more, and what to do about it.
pub(crate) fn keyless(KeylessPolicy { policy, origin }: &KeylessPolicy, file: &Path) -> String {
    format!(
        "The policy {policy} lets nobody in: all its keys are revoked; {}",
        another_key(policy, *origin, file)
    )
}

/// How a policy gets another key.
pub(crate) fn another_key(policy: &PolicyName, origin: PolicyOrigin, file: &Path) -> String {
    match origin {
        PolicyOrigin::Registry => {
            format!("give it another one with: petit-server policy set {policy} --key NAME")
        }
        PolicyOrigin::ConfigFile => format!("name another one in its keys in {}", file.display()),
    }
}

/// A port that is shut, and what to do about it.
pub(crate) fn shut(port: &ShutPort) -> String {
    format!("{} is not listened on: {}", named(port), why(&port.policy))
}

fn named(ShutPort { address, client, port, service, .. }: &ShutPort) -> String {
    let port = match (address, port) {
        (Some(address), _) => address.clone(),
        (None, Some(port)) => format!("port {port}"),
        (None, None) => "the port".to_owned(),
    };
    format!("{port} of service {service} (client {client})")
}

/// Why a policy shuts ports, and what to do about it.
pub(crate) fn why(policy: &PolicyName) -> String {
    format!(
        "the policy {policy} asks for a key, which raw TCP cannot carry, and for no address; say where visitors come from with --from, or ask for no key with --key none; where other services need the key, raw TCP services may have a policy of their own (--services default-tcp)"
    )
}

/// What a change did to ports, a line for each; each begins a new one.
pub(crate) fn changes(PortChanges { shut_ports, opened_ports }: &PortChanges) -> String {
    let shut = shut_ports.iter().map(|port| format!("\nNow {}.", shut(port)));
    let opened = opened_ports.iter().map(|port| format!("\nNow {} is listened on again.", named(port)));
    shut.chain(opened).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_has_refused_nobody_is_not_worth_a_line_and_each_reason_is_said() {
        let counts = RefusalCounts { key_missing: 2, ..RefusalCounts::default() };
        let all =
            RefusalCounts { address: 1, body: 2, concurrent: 3, key_missing: 4, key_refused: 5, rate: 6 };
        let of = |refused, would_refuse| said(&PolicyCounts { refused, would_refuse });
        assert_eq!(of(RefusalCounts::default(), RefusalCounts::default()), Vec::<String>::new());
        assert_eq!(
            of(all, counts),
            [
                "has refused 21 visits: 1 from another address, 4 without a key, 5 with a key that is not taken, \
                 6 too soon after others, 3 while too many were under way, 2 with too long a body",
                "has let in, and would have refused, 2 visits: 2 without a key",
            ]
        );
    }
}
