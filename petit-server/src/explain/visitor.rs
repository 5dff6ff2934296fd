//! What the policy of a service says to a visitor whom the operator supposes: by the function that decides of visits.

use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use petit_engine::proto::control::ServiceKind;
use petit_relay::policy::{
    Decision, Enforcement, PolicyRequest, PresentedKey, ServicePolicy, Step, Unlimited, Verdict,
};
use petit_relay::{Failure, Route};

use crate::api::{KeyState, PolicyExplained, StepExplained, SupposedVisitor};
use crate::directory::Directory;
use crate::server::Server;

/// What the policy of a route's service says to somebody; `None`: it has none. Of limits a running server knows how much
/// of them is used.
pub(super) fn policy(
    route: &Route,
    supposed: &SupposedVisitor,
    directory: &Directory,
    server: Option<&Server>,
) -> Option<PolicyExplained> {
    let policy = route.policy.as_ref()?;
    let (by, disagrees_with) = directory.named_by(route)?;
    // Whoever tries it does so from the server's own machine.
    let from = supposed.from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let key = match (route.kind, &supposed.key) {
        (ServiceKind::Tcp, _) => PresentedKey::Impossible,
        (ServiceKind::Http, Some(name)) => PresentedKey::Supposed(name),
        (ServiceKind::Http, None) => PresentedKey::Absent,
    };
    let request = PolicyRequest { address: from, key, body_bytes: 0, now: SystemTime::now() };
    let steps = match server {
        Some(server) => server.relay.preview_policy(route, &request),
        None => without_server(policy, &request),
    };
    Some(PolicyExplained {
        name: policy.name.clone(),
        by,
        disagrees_with,
        enforced: policy.enforcement == Enforcement::Enforce,
        from,
        key: supposed.key.clone(),
        key_state: supposed.key.as_ref().map(|key| KeyState::of(key, &directory.visitor_keys())),
        max_body: policy.limits.max_body,
        steps: steps.into_iter().map(explained).collect(),
    })
}

fn without_server(policy: &ServicePolicy, request: &PolicyRequest<'_>) -> Vec<(Step, Verdict)> {
    let mut steps = Vec::new();
    let Decision { .. } = policy.decide(request, &mut Unlimited, |step, verdict| steps.push((step, verdict)));
    steps
}

fn explained((step, verdict): (Step, Verdict)) -> StepExplained {
    let code = match verdict {
        Verdict::Broken(reason) => Some(reason.failure().code().to_owned()),
        Verdict::NotAsked | Verdict::Kept => None,
    };
    StepExplained { step: step.into(), verdict: verdict.into(), code }
}

/// What a visitor is refused for; `None` where the policy lets him pass, or refuses nobody.
pub(super) fn refusal(policy: Option<&PolicyExplained>) -> Option<Failure> {
    let policy = policy.filter(|policy| policy.enforced)?;
    let code = policy.steps.iter().find_map(|step| step.code.as_deref())?;
    Failure::ALL.into_iter().find(|failure| failure.code() == code)
}
