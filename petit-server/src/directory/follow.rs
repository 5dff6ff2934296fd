//! Telling the processes before this one whom policies let in, doing as the one tells that serves in this one's place, and
//! knowing what that has changed when this one serves again.

use std::sync::PoisonError;

use petit_relay::Change;
use tokio::sync::broadcast;

use super::following::{Followed, FollowedKey, FollowedPolicies, Told};
use super::{Directory, Lookup};
use crate::registry::{Delta, StoreError, Tables, VisitorRules};

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
        let Followed { policies, tagged, suspended, aliases, aliases_gone } = followed;
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
        let named =
            self.write().apply(Delta { added, tagged, suspended, aliases_gone, ..Delta::default() }, None);
        self.tell(named);
    }

    /// Reads the registry anew, after another process has kept it.
    ///
    /// # Errors
    /// [`StoreError`]; what was known before stays then, is known to be [stale](Self::stale), and the next change reads the
    /// registry first.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _in_order = self.line.turn.lock().await;
        self.reload_in_turn().await
    }

    /// Why the registry could not be read when it had to be, if so: what is looked up may not be what it says.
    pub fn stale(&self) -> Option<String> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn reload_in_turn(&self) -> Result<(), StoreError> {
        let read = self.store.load().await;
        *self.stale.lock().unwrap_or_else(PoisonError::into_inner) =
            read.as_ref().err().map(|error| petit_host::cli::chain(error));
        let tables = read?;
        let concerned = {
            let _in_turn = self.policies_turn();
            let lookup = Lookup::of(tables, &self.known_policies());
            let mut tables = self.write();
            let before = std::mem::replace(&mut *tables, lookup);
            Change {
                devices: before.devices.into_keys().collect(),
                services_gone: before
                    .services
                    .into_keys()
                    .filter(|id| !tables.services.contains_key(id))
                    .collect(),
                policies_of: Vec::new(),
                policies: true,
            }
        };
        self.tell(concerned);
        Ok(())
    }
}
