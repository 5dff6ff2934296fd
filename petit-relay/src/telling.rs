//! What an agent is told of its services. A message has an upper length, and what does not fit into one is said in
//! several: an agent takes each grant as it comes.

use std::sync::{Arc, MutexGuard, PoisonError};

use petit_engine::limits;
use petit_engine::name::{Alias, RegisteredId, ServiceName};
use petit_engine::proto::control::{FromRelay, Grant, GrantOutcome, Kept, Message, PolicyReport, Welcome};
use tokio::time::Instant;

use super::Names;
use super::last_grants::LastGrants;
use super::session::{PoliciesTold, Served, Session};

/// Bytes that a service's aliases take in a message; see [`limits::MAX_ALIASES_BYTES`].
pub fn aliases_bytes<'a>(aliases: impl IntoIterator<Item = &'a Alias>) -> usize {
    aliases.into_iter().map(|alias| alias.as_str().len() + r#""","#.len()).sum()
}

impl Session {
    /// Answers a hello.
    pub(super) fn welcome(&self, welcome: Welcome) {
        let all = FromRelay::Welcome(welcome);
        match all.encode() {
            Ok(payload) => drop(self.mux.send_control(&payload)),
            Err(_) => {
                let FromRelay::Welcome(mut welcome) = all else { return };
                let grants = std::mem::take(&mut welcome.services);
                let kept = welcome.kept.clone();
                self.send(&FromRelay::Welcome(welcome));
                self.tell_services(grants, &kept);
            }
        }
    }

    /// Keeps what the agent is told of its services.
    pub(super) fn set_last_grants(&self, grants: &[Grant], kept: &[Kept]) {
        let mut last = self.last_grants();
        (last.grants, last.kept) = (grants.to_vec(), kept.to_vec());
    }

    /// Answers an agent that has offered its services anew.
    pub(super) fn tell_grants(&self, grants: Vec<Grant>, kept: &[Kept]) {
        let mut last = self.last_grants();
        (last.grants, last.kept) = (grants.clone(), kept.to_vec());
        // Under the lock, so that what was found later is also said later.
        self.tell_services(grants, kept);
    }

    fn last_grants(&self) -> MutexGuard<'_, LastGrants> {
        self.last_grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent knows that a service was given back, because it has asked for that.
    pub(super) fn forget_kept(&self, name: &ServiceName) {
        self.last_grants().kept.retain(|kept| kept.name != *name);
    }

    /// Tells the agent when its services have other aliases than it knows of: now, or a little later together with
    /// what has changed until then. True when it was told some now.
    pub(super) fn tell_aliases(&self, names: &(impl Names + ?Sized)) -> bool {
        let mut last = self.last_grants();
        // Each service is looked up once.
        let changed = |(place, grant): (usize, &Grant)| match &grant.outcome {
            GrantOutcome::Registered { id, aliases, .. } => {
                let now = names.aliases(id);
                (now != *aliases).then_some((place, now))
            }
            GrantOutcome::Refused { .. } => None,
        };
        let changed: Vec<(usize, Vec<Alias>)> = last.grants.iter().enumerate().filter_map(changed).collect();
        if changed.is_empty() {
            return false;
        }
        if !last.changes.allow(Instant::now().into_std()) {
            last.again_at = last.changes.next().map(Instant::from_std);
            drop(last);
            self.more_to_tell.notify_one();
            return false;
        }
        let mut changed_grants = Vec::new();
        for (place, now) in changed {
            if let Some(grant) = last.grants.get_mut(place)
                && let GrantOutcome::Registered { aliases, .. } = &mut grant.outcome
            {
                *aliases = now;
                changed_grants.push(grant.clone());
            }
        }
        // Under the lock, so that what was found later is also said later.
        self.tell_services(changed_grants, &last.kept);
        true
    }

    /// Tells the agent who can come to its services, where it does not know.
    pub(super) fn tell_policies(&self, names: &(impl Names + ?Sized)) {
        if self.policies_told == PoliciesTold::None {
            return;
        }
        // Under the lock, so that what was found later is also said later.
        let _in_turn = self.last_grants();
        let report = |(id, served): (&RegisteredId, &Arc<Served>)| {
            let admits = self.policies_told.said(names.service(id)?.admits())?;
            let service = served.number;
            served.set_admits_told(admits).then_some(PolicyReport { service, admits })
        };
        let services: Vec<PolicyReport> = self.served().iter().filter_map(report).collect();
        if !services.is_empty() {
            self.send(&FromRelay::Policies { services });
        }
    }

    /// The aliases of its services that are whole domains.
    pub(super) fn domains(&self) -> Vec<Alias> {
        let last = self.last_grants();
        let aliases = last.grants.iter().flat_map(|grant| match &grant.outcome {
            GrantOutcome::Registered { aliases, .. } => aliases.as_slice(),
            GrantOutcome::Refused { .. } => &[],
        });
        aliases.filter(|alias| alias.is_domain()).cloned().collect()
    }

    /// Waits until it is time to look again for aliases that the agent does not know of.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn more_to_tell(&self) {
        loop {
            let again_at = self.last_grants().again_at;
            match again_at {
                Some(at) => {
                    tokio::time::sleep_until(at).await;
                    self.last_grants().again_at = None;
                    return;
                }
                None => self.more_to_tell.notified().await,
            }
        }
    }

    /// Says what became of services.
    pub(super) fn tell_services(&self, services: Vec<Grant>, kept: &[Kept]) {
        for message in messages(services, kept) {
            self.send(&message);
        }
    }
}

/// The fewest messages that say it. What is kept stands in each of them: whoever reads one takes that for all.
fn messages(grants: Vec<Grant>, kept: &[Kept]) -> Vec<FromRelay> {
    let length = |grants: &[Grant]| {
        let message = FromRelay::Services { services: grants.to_vec(), kept: kept.to_vec() };
        serde_json::to_vec(&message).map_or(usize::MAX, |bytes| bytes.len())
    };
    let empty = length(&[]);
    let mut messages = vec![Vec::new()];
    let mut used = empty;
    for grant in grants.into_iter().map(fitting) {
        let bytes = length(std::slice::from_ref(&grant)).saturating_sub(empty) + ",".len();
        if used + bytes > limits::MAX_CONTROL_BYTES {
            messages.push(Vec::new());
            used = empty;
        }
        used += bytes;
        if let Some(last) = messages.last_mut() {
            last.push(grant);
        }
    }
    messages.into_iter().map(|services| FromRelay::Services { services, kept: kept.to_vec() }).collect()
}

/// A grant that fits into a message: a registry may hold more aliases than can be given by now. All of them lead to
/// the service; its client is told of the first ones.
fn fitting(mut grant: Grant) -> Grant {
    if let GrantOutcome::Registered { id, aliases, .. } = &mut grant.outcome {
        let all = aliases.len();
        while aliases_bytes(aliases.iter()) > limits::MAX_ALIASES_BYTES {
            aliases.pop();
        }
        if aliases.len() < all {
            tracing::warn!(%id, all, told = aliases.len(), "a service has more aliases than its client can be told of; all of them work");
        }
    }
    grant
}

#[cfg(test)]
mod tests {
    use petit_engine::proto::control::{GrantRefusal, PublicUrl};

    use super::*;

    fn grants(services: usize, aliases: usize) -> Vec<Grant> {
        let grant = |number: usize| {
            let alias =
                |alias: usize| format!("alias-{number:02}-{alias:04}-{}", "x".repeat(20)).parse().unwrap();
            Grant {
                service: number as u16,
                name: format!("{number:02}{}", "n".repeat(38)).parse().unwrap(),
                outcome: GrantOutcome::Registered {
                    id: RegisteredId::random().unwrap(),
                    url: PublicUrl::own(format!("https://{}.example.com", "a".repeat(240))),
                    aliases: (0..aliases).map(alias).collect(),
                },
            }
        };
        (0..services).map(grant).collect()
    }

    fn kept(count: usize) -> Vec<Kept> {
        let kept = |number: usize| Kept {
            name: format!("{number:02}{}", "k".repeat(38)).parse().unwrap(),
            id: RegisteredId::random().unwrap(),
        };
        (0..count).map(kept).collect()
    }

    /// What an agent knows when it has read the messages, each of which can be sent.
    fn read(messages: &[FromRelay], kept: &[Kept]) -> Vec<Grant> {
        let mut read = Vec::new();
        for message in messages {
            let FromRelay::Services { services, kept: found } =
                FromRelay::decode(&message.encode().unwrap()).unwrap()
            else {
                panic!("{message:?}");
            };
            assert_eq!(found, kept, "what is kept is said in each");
            read.extend(services);
        }
        read
    }

    #[test]
    fn what_fits_into_one_message_is_one() {
        for (services, aliases) in [(0, 0), (1, 3), (20, 2)] {
            let (grants, kept) = (grants(services, aliases), kept(3));
            let messages = messages(grants.clone(), &kept);
            assert_eq!((messages.len(), read(&messages, &kept)), (1, grants));
        }
    }

    #[test]
    fn what_does_not_is_said_in_several_and_nothing_is_lost() {
        for aliases in [0, 3, 40, 200] {
            let (mut grants, kept) = (grants(limits::MAX_SERVICES, aliases), kept(limits::MAX_SERVICES));
            grants[7].outcome = GrantOutcome::Refused { cause: GrantRefusal::TooMany };
            let messages = messages(grants.clone(), &kept);
            assert!(messages.len() > 1);
            assert_eq!(read(&messages, &kept), grants, "{aliases}");
        }
    }

    #[test]
    fn of_more_aliases_than_fit_the_first_ones_are_told() {
        let (grants, kept) = (grants(2, 500), kept(limits::MAX_SERVICES));
        let told = read(&messages(grants.clone(), &kept), &kept);
        let aliases = |grant: &Grant| match &grant.outcome {
            GrantOutcome::Registered { aliases, .. } => aliases.clone(),
            GrantOutcome::Refused { .. } => Vec::new(),
        };
        for (told, all) in told.iter().zip(&grants) {
            let (told, all) = (aliases(told), aliases(all));
            assert!(told.len() > 200 && aliases_bytes(&told) <= limits::MAX_ALIASES_BYTES);
            assert_eq!(told, all[..told.len()]);
        }
        assert_eq!(told.len(), 2);
    }
}
