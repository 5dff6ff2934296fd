//! Which policy a service has. Policies are made when they, their keys or the names of services change, so that a lookup
//! only hands out what stands at the service.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use petit_engine::name::{Alias, PolicyName, Tag, VisitorKeyName};
use petit_engine::proto::control::ServiceKind;
use petit_relay::Route;
use petit_relay::policy::{
    AddressList, Enforcement, LimitedPer, PolicyLimits, PreviousSecret, RateLimit, RefusalCounters,
    ServicePolicy, VisitorKey, VisitorKeys,
};
use serde::{Deserialize, Serialize};

use crate::registry::{
    Enforcement as StoredEnforcement, LimitPer, Policy, PolicyTarget, StoredKey, VisitorRules,
};

/// What is asked of visitors: of the registry, and of the config file. A value that is made outside of the tables, because
/// that takes longer the more policies and keys there are, and is put into them whole.
#[derive(Clone, Default)]
pub(super) struct Policies {
    pub(super) registry: Arc<VisitorRules>,
    pub(super) file: Arc<[Policy]>,
    made: Arc<Made>,
}

/// What is about to be in force, and is not among the policies that are.
#[derive(Default)]
pub(super) struct Making {
    /// A policy that is being written into the registry. Before its answer comes, the config file must not get another one
    /// of the same name.
    pub(super) written: Option<Policy>,
}

/// Whoever has it has a policy written.
pub(super) struct Written(pub(super) Arc<Mutex<Making>>);

impl Drop for Written {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).written = None;
    }
}

/// Policies as visits are held to them.
#[derive(Default)]
struct Made {
    by_target: HashMap<PolicyTarget, Arc<ServicePolicy>>,
    by_name: HashMap<PolicyName, Arc<ServicePolicy>>,
    /// Of each policy that names IDs, aliases or tags, the one that is in its place where another one names the service as
    /// closely: nobody is let in.
    closed: HashMap<PolicyName, Arc<ServicePolicy>>,
}

/// The policy of a service, and why it is this one.
pub(super) struct Found<'a> {
    pub(super) policy: &'a Arc<ServicePolicy>,
    /// By what it names the service.
    pub(super) target: PolicyTarget,
    /// Another one that does so as closely: by another tag, or, of its ID and its aliases, by another one.
    pub(super) disagrees_with: Option<&'a Arc<ServicePolicy>>,
}

impl Policies {
    /// These, with what the registry says now.
    pub(super) fn with_registry(&self, registry: VisitorRules) -> Self {
        self.made_of(Arc::new(registry), Arc::clone(&self.file))
    }

    /// These, with what the config file says now.
    pub(super) fn with_file(&self, file: Arc<[Policy]>) -> Self {
        self.made_of(Arc::clone(&self.registry), file)
    }

    /// Others altogether, which go on with the counts of these.
    pub(super) fn with(&self, registry: VisitorRules, file: Arc<[Policy]>) -> Self {
        self.made_of(Arc::new(registry), file)
    }

    /// These but one.
    pub(super) fn without(&self, name: &PolicyName) -> Self {
        let others =
            |policies: &[Policy]| policies.iter().filter(|it| it.name != *name).cloned().collect::<Vec<_>>();
        let registry =
            VisitorRules { policies: others(&self.registry.policies), keys: self.registry.keys.clone() };
        self.made_of(Arc::new(registry), others(&self.file).into())
    }

    fn made_of(&self, registry: Arc<VisitorRules>, file: Arc<[Policy]>) -> Self {
        let holders = registry.keys.iter().filter_map(|key| Some((&key.name, visitor_key(key)?)));
        let holders: HashMap<&VisitorKeyName, VisitorKey> = holders.collect();
        let mut made = Made::default();
        for policy in registry.policies.iter().chain(&*file) {
            let before = self.made.by_name.get(&policy.name);
            let counters = before.map(|before| Arc::clone(&before.counters)).unwrap_or_default();
            let new = compiled(policy, &holders, counters);
            // One that stays as it was stays the same one, so that whoever has it is not looked at again.
            let new = before.filter(|before| ***before == new).map_or_else(|| Arc::new(new), Arc::clone);
            let is_default =
                |target: &PolicyTarget| matches!(target, PolicyTarget::Default | PolicyTarget::DefaultTcp);
            if !policy.services.iter().all(is_default) {
                let before = self.made.closed.get(&policy.name);
                let closed = ServicePolicy {
                    from: Some(AddressList::default()),
                    counters: Arc::clone(&new.counters),
                    ..ServicePolicy::open(policy.name.clone())
                };
                let closed =
                    before.filter(|before| ***before == closed).map_or_else(|| Arc::new(closed), Arc::clone);
                made.closed.insert(policy.name.clone(), closed);
            }
            made.by_target.extend(policy.services.iter().map(|target| (target.clone(), Arc::clone(&new))));
            made.by_name.insert(policy.name.clone(), new);
        }
        Self { registry, file, made: Arc::new(made) }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Policy> {
        self.registry.policies.iter().chain(&*self.file)
    }

    /// A policy as visits are held to it.
    pub(super) fn called(&self, name: &PolicyName) -> Option<Arc<ServicePolicy>> {
        self.made.by_name.get(name).cloned()
    }

    /// True for a policy of the config file that the registry does not have as well.
    pub(super) fn is_of_file_alone(&self, name: &PolicyName) -> bool {
        let has = |policies: &[Policy]| policies.iter().any(|policy| policy.name == *name);
        has(&self.file) && !has(&self.registry.policies)
    }

    /// The policy that a service has.
    pub(super) fn of(
        &self,
        route: &Route,
        aliases: Option<&BTreeSet<Alias>>,
        tags: Option<&BTreeSet<Tag>>,
    ) -> Option<Arc<ServicePolicy>> {
        let Found { policy, disagrees_with, .. } = self.find(route, aliases, tags)?;
        match disagrees_with {
            None => Some(Arc::clone(policy)),
            Some(_) => self.made.closed.get(&policy.name).cloned(),
        }
    }

    /// The policy that names a service by its ID or an alias, else by a tag of its client, else the default one. What is
    /// nearer to the service goes first; of two that name it by its ID and an alias, or two aliases or tags, neither is
    /// nearer, so that nobody is let in.
    pub(super) fn find(
        &self,
        route: &Route,
        aliases: Option<&BTreeSet<Alias>>,
        tags: Option<&BTreeSet<Tag>>,
    ) -> Option<Found<'_>> {
        let made = &self.made.by_target;
        if made.is_empty() {
            return None;
        }
        let get = |target| made.get_key_value(&target);
        let found = |(target, policy): (&PolicyTarget, _), disagrees_with| Found {
            policy,
            target: target.clone(),
            disagrees_with,
        };
        let first_of = |targets: &mut dyn Iterator<Item = PolicyTarget>| {
            let mut by = targets.filter_map(get);
            let first = by.next()?;
            let disagrees_with = by.map(|(_, policy)| policy).find(|other| !Arc::ptr_eq(other, first.1));
            Some(found(first, disagrees_with))
        };
        let aliases = aliases.into_iter().flatten().cloned().map(PolicyTarget::Alias);
        let mut names = std::iter::once(PolicyTarget::Id(route.id)).chain(aliases);
        let mut tags = tags.into_iter().flatten().cloned().map(PolicyTarget::Tag);
        if let Some(named) = first_of(&mut names).or_else(|| first_of(&mut tags)) {
            return Some(named);
        }
        let default_tcp = match route.kind {
            ServiceKind::Http => None,
            ServiceKind::Tcp => get(PolicyTarget::DefaultTcp),
        };
        default_tcp.or_else(|| get(PolicyTarget::Default)).map(|default| found(default, None))
    }

    /// True when whoever knows the name of a service that no policy names gets in.
    pub(super) fn default_is_open(&self) -> bool {
        let made = &self.made.by_target;
        let default = made.get(&PolicyTarget::Default);
        let default_tcp = made.get(&PolicyTarget::DefaultTcp).or(default);
        [default, default_tcp].into_iter().any(|policy| policy.is_none_or(|policy| is_open(policy)))
    }
}

/// True for one and the same policy, or none at all.
pub(super) fn is_same(one: Option<&Arc<ServicePolicy>>, other: Option<&Arc<ServicePolicy>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// True when whoever knows the name of a service gets in, if not as often as they like.
pub(super) fn is_open(policy: &ServicePolicy) -> bool {
    !policy.admits_only_chosen()
}

/// A policy as visits are held to it. A key that was revoked is not among the `holders`, so that a policy whose keys were
/// all revoked lets nobody in.
fn compiled(
    policy: &Policy,
    holders: &HashMap<&VisitorKeyName, VisitorKey>,
    counters: Arc<RefusalCounters>,
) -> ServicePolicy {
    // Taken apart whole, so that a part that is forgotten here does not compile.
    let Policy { name, services: _, from, keys: named, rate, burst, concurrent, per, max_body, enforcement } =
        policy;
    let keys = |names: &Vec<VisitorKeyName>| {
        Arc::new(VisitorKeys::new(names.iter().filter_map(|name| holders.get(name).cloned())))
    };
    ServicePolicy {
        name: name.clone(),
        enforcement: match enforcement {
            StoredEnforcement::Enforce => Enforcement::Enforce,
            StoredEnforcement::CountOnly => Enforcement::CountOnly,
        },
        from: from.as_ref().map(|networks| address_list(networks)),
        keys: named.as_ref().map(keys),
        limits: PolicyLimits {
            per: match per {
                LimitPer::Visitor => LimitedPer::Visitor,
                LimitPer::Service => LimitedPer::Service,
            },
            rate: rate.map(|per_second| RateLimit { per_second, burst: burst.unwrap_or(per_second) }),
            concurrent: *concurrent,
            max_body: *max_body,
        },
        counters,
    }
}

/// They were networks before they were kept; what is none of them lets nobody in.
fn address_list(networks: &[IpNet]) -> AddressList {
    AddressList::parse(networks.iter().map(ToString::to_string)).unwrap_or_default()
}

fn visitor_key(key: &StoredKey) -> Option<VisitorKey> {
    let previous = key.previous.map(|(hash, until)| PreviousSecret { hash, until: until.into() });
    let hash = key.hash.filter(|_| key.revoked.is_none())?;
    Some(VisitorKey { id: key.id, name: key.name.clone(), hash, previous })
}

/// How many services whoever knows a name can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exposure {
    /// Services that are open to anybody who knows their name.
    pub open: usize,
    /// All services.
    pub services: usize,
    /// Whether the services that no policy names are, those that are yet to come among them.
    pub new_are_open: bool,
}

impl Exposure {
    /// True when more is open than it was.
    pub fn is_more_than(self, before: Self) -> bool {
        self.open > before.open || self.new_are_open && !before.new_are_open
    }
}
