//! Which policies name one and the same service: two of them can, one by its ID and the other by an alias, and say different
//! things of it then.

use std::collections::BTreeMap;

use petit_engine::name::{Alias, PolicyName, RegisteredId};

use super::error::Conflict;
use super::policy::{Policy, PolicyTarget};

/// What policies name, and which of them do. An alias that leads to a service stands for that.
#[derive(Debug, Default)]
pub struct Named<'a>(BTreeMap<PolicyTarget, Vec<NamedBy<'a>>>);

#[derive(Debug)]
struct NamedBy<'a> {
    policy: &'a PolicyName,
    /// What it calls it.
    target: &'a PolicyTarget,
}

impl<'a> Named<'a> {
    /// By these policies. `owner` says whose an alias is.
    pub fn by(
        policies: impl Iterator<Item = &'a Policy>,
        owner: impl Fn(&Alias) -> Option<RegisteredId>,
    ) -> Self {
        let mut named = Self::default();
        for policy in policies {
            for target in &policy.services {
                named.add(policy, target, &owner);
            }
        }
        named
    }

    /// Takes note that a policy names something. Returns another one that names it, and did so before.
    pub(super) fn add(
        &mut self,
        policy: &'a Policy,
        target: &'a PolicyTarget,
        owner: &impl Fn(&Alias) -> Option<RegisteredId>,
    ) -> Option<&'a PolicyName> {
        let by = self.0.entry(resolved(target, owner)).or_default();
        if by.iter().all(|by| *by.policy != policy.name) {
            by.push(NamedBy { policy: &policy.name, target });
        }
        by.first().map(|by| by.policy).filter(|first| **first != policy.name)
    }

    /// Whether each service is named by one policy at most. One of which that was not so `before` already, by the same ones,
    /// stands in the way of nothing: its visitors are not let in as it is.
    ///
    /// # Errors
    /// [`Conflict::PoliciesOverlap`] with the first two of which it has become so.
    pub fn check(&self, before: &Named<'_>) -> Result<(), Conflict> {
        for (service, by) in &self.0 {
            if let [one, other, ..] = &by[..]
                && !before.has(service, by.iter().map(|by| by.policy))
            {
                let (one, other, target) = (one.policy.clone(), other.policy.clone(), other.target.clone());
                return Err(Conflict::PoliciesOverlap { one, other, target });
            }
        }
        Ok(())
    }

    /// Whether all of these name a service.
    fn has<'b>(&self, service: &PolicyTarget, mut policies: impl Iterator<Item = &'b PolicyName>) -> bool {
        let by = self.0.get(service).map_or(&[][..], Vec::as_slice);
        policies.all(|policy| by.iter().any(|by| by.policy == policy))
    }

    /// Whether it was so already that two policies name the same.
    pub fn has_overlap(&self, conflict: &Conflict, owner: impl Fn(&Alias) -> Option<RegisteredId>) -> bool {
        match conflict {
            Conflict::PoliciesOverlap { one, other, target } => {
                self.has(&resolved(target, &owner), [one, other].into_iter())
            }
            _ => false,
        }
    }
}

fn resolved(target: &PolicyTarget, owner: &impl Fn(&Alias) -> Option<RegisteredId>) -> PolicyTarget {
    match target {
        PolicyTarget::Alias(alias) => owner(alias).map_or_else(|| target.clone(), PolicyTarget::Id),
        PolicyTarget::Id(_) | PolicyTarget::Tag(_) | PolicyTarget::Default | PolicyTarget::DefaultTcp => {
            target.clone()
        }
    }
}
