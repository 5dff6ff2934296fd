//! Telling the processes before this one whom policies let in, and doing as the one tells that serves in this one's place.

use petit_relay::Change;
use tokio::sync::broadcast;

use super::Directory;
use super::following::{Followed, FollowedKey, FollowedPolicies, Told};
use crate::registry::{Delta, Tables, VisitorRules};

impl Directory {
    /// Tells what the processes before this one have to know, from now on.
    pub fn told(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
    }

    /// All policies and keys that are in force, for another process.
    pub fn rules(&self) -> Followed {
        let known = self.known_policies();
        let policies = FollowedPolicies {
            registry: known.registry.policies.clone(),
            file: known.file.to_vec(),
            keys: known.registry.keys.iter().filter_map(FollowedKey::of).collect(),
        };
        Followed { policies: Some(policies), ..Followed::default() }
    }

    /// Holds visits to what the process that serves in this one's place has told.
    pub fn follow(&self, followed: Followed) {
        let Followed { policies, tagged, aliases, aliases_gone } = followed;
        let mut concerned = Change::default();
        if let Some(FollowedPolicies { registry, file, keys }) = policies {
            let _in_turn = self.policies_turn();
            let keys = keys.into_iter().map(FollowedKey::into_stored).collect();
            let rules = VisitorRules { policies: registry, keys };
            let policies = self.known_policies().with(rules, file.into());
            self.write().set_policies(policies, &mut concerned);
        }
        self.tell(concerned);
        let added = Tables { aliases, ..Tables::default() };
        let named = self.write().apply(Delta { added, tagged, aliases_gone, ..Delta::default() }, None);
        self.tell(named);
    }
}
