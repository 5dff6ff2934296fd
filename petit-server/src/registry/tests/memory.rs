//! Rows in memory, as a database keeps them.

use petit_engine::name::PolicyName;

use super::*;

#[derive(Default)]
pub(super) struct MemoryRows {
    invites: Vec<(InviteId, StoredInvite)>,
    devices: Vec<(StoredDevice, PublicKey)>,
    labels: std::collections::HashMap<DeviceId, Labels>,
    services: Vec<Kept>,
    aliases: Vec<(Alias, RegisteredId)>,
    tombstones: Vec<(Alias, Tombstone)>,
    policies: Vec<Policy>,
    rollouts: Vec<Rollout>,
    pub(super) reports: Vec<StoredReport>,
    pub(super) keys: Vec<StoredKey>,
    pub(super) changes: Vec<Change>,
    /// Up to where the changes were trimmed.
    pub(super) trimmed: Option<SignedHead>,
    /// Rows that were written.
    pub(super) written: usize,
}

struct Kept {
    service: StoredService,
    made: Timestamp,
    is_ended: bool,
}

impl MemoryRows {
    pub(super) fn give_alias(&mut self, alias: Alias, service: RegisteredId) {
        self.aliases.push((alias, service));
    }

    fn live(&self) -> impl Iterator<Item = &StoredService> {
        self.services.iter().filter(|kept| !kept.is_ended).map(|kept| &kept.service)
    }

    fn kept(&mut self, id: &RegisteredId) -> &mut Kept {
        self.services.iter_mut().find(|kept| kept.service.id == *id).unwrap()
    }

    fn known(&mut self, id: &DeviceId) -> &mut StoredDevice {
        &mut self.devices.iter_mut().find(|(device, _)| device.id == *id).unwrap().0
    }

    fn made(&mut self, id: &InviteId) -> &mut StoredInvite {
        &mut self.invites.iter_mut().find(|(known, _)| known == id).unwrap().1
    }

    fn wrote(&mut self) -> Result<(), StoreError> {
        self.written += 1;
        Ok(())
    }
}

impl Rows for MemoryRows {
    async fn invite(&mut self, id: &InviteId) -> Result<Option<StoredInvite>, StoreError> {
        Ok(self.invites.iter().find(|(known, _)| known == id).map(|(_, invite)| invite.clone()))
    }

    async fn insert_invite(&mut self, invite: &NewInvite, made: Timestamp) -> Result<(), StoreError> {
        let stored = StoredInvite {
            secret: invite.secret,
            service: invite.service.clone(),
            alias: invite.alias.clone(),
            labels: invite.labels.clone(),
            made,
            not_after: invite.not_after.into(),
            is_withdrawn: false,
            used_by: None,
        };
        self.invites.push((invite.id, stored));
        self.wrote()
    }

    async fn set_invite_withdrawn(&mut self, id: &InviteId, _: Timestamp) -> Result<(), StoreError> {
        self.made(id).is_withdrawn = true;
        self.wrote()
    }

    async fn set_invite_used(&mut self, id: &InviteId, used: &InviteUse) -> Result<(), StoreError> {
        self.made(id).used_by = Some((used.device, used.key.clone()));
        self.wrote()
    }

    async fn unused_invites(&mut self, alias: &Alias) -> Result<Vec<(InviteId, Timestamp)>, StoreError> {
        let promised = self.invites.iter().filter(|(_, invite)| {
            invite.alias.as_ref() == Some(alias) && !invite.is_withdrawn && invite.used_by.is_none()
        });
        Ok(promised.map(|(id, invite)| (*id, invite.not_after)).collect())
    }

    async fn device(&mut self, id: &DeviceId) -> Result<Option<StoredDevice>, StoreError> {
        Ok(self.devices.iter().find(|(device, _)| device.id == *id).map(|(device, _)| device.clone()))
    }

    async fn device_by_key(&mut self, key: &PublicKey) -> Result<Option<StoredDevice>, StoreError> {
        Ok(self.devices.iter().find(|(_, known)| known == key).map(|(device, _)| device.clone()))
    }

    async fn insert_device(&mut self, device: &NewDevice) -> Result<(), StoreError> {
        let stored = StoredDevice {
            id: device.id,
            key: device.key.clone(),
            name: device.name.clone(),
            is_ended: false,
            suspended: None,
        };
        self.devices.push((stored, device.key.clone()));
        self.labels.insert(device.id, device.labels.clone());
        self.wrote()
    }

    async fn labels(&mut self, id: &DeviceId) -> Result<Labels, StoreError> {
        Ok(self.labels.get(id).cloned().unwrap_or_default())
    }

    async fn set_labels(&mut self, id: &DeviceId, labels: &Labels) -> Result<(), StoreError> {
        self.labels.insert(*id, labels.clone());
        self.wrote()
    }

    async fn set_device_name(&mut self, id: &DeviceId, name: &str) -> Result<(), StoreError> {
        name.clone_into(&mut self.known(id).name);
        self.wrote()
    }

    async fn set_device_suspended(
        &mut self,
        id: &DeviceId,
        since: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.known(id).suspended = since;
        self.wrote()
    }

    async fn set_device_ended(&mut self, id: &DeviceId, _: EndedBy, _: Timestamp) -> Result<(), StoreError> {
        self.known(id).is_ended = true;
        self.wrote()
    }

    async fn service(&mut self, id: &RegisteredId) -> Result<Option<StoredService>, StoreError> {
        Ok(self.live().find(|service| service.id == *id).cloned())
    }

    async fn services(&mut self, device: &DeviceId) -> Result<Vec<StoredService>, StoreError> {
        Ok(self.live().filter(|service| service.device == *device).cloned().collect())
    }

    async fn services_made_since(
        &mut self,
        device: &DeviceId,
        since: Timestamp,
    ) -> Result<usize, StoreError> {
        let made = self.services.iter().filter(|kept| kept.service.device == *device && kept.made > since);
        Ok(made.count())
    }

    async fn ports_in_use(&mut self) -> Result<Vec<u16>, StoreError> {
        let mut ports: Vec<u16> =
            self.live().filter_map(|service| service.port).filter(|port| *port > 0).collect();
        ports.sort_unstable();
        Ok(ports)
    }

    async fn insert_service(&mut self, service: &StoredService, made: Timestamp) -> Result<(), StoreError> {
        self.services.push(Kept { service: service.clone(), made, is_ended: false });
        self.wrote()
    }

    async fn set_service_kind(
        &mut self,
        id: &RegisteredId,
        kind: ServiceKind,
        port: Option<u16>,
    ) -> Result<(), StoreError> {
        let service = &mut self.kept(id).service;
        (service.kind, service.port) = (kind, port);
        self.wrote()
    }

    async fn set_service_ended(&mut self, id: &RegisteredId, _: Timestamp) -> Result<(), StoreError> {
        self.kept(id).is_ended = true;
        self.wrote()
    }

    async fn alias(&mut self, alias: &Alias) -> Result<Option<RegisteredId>, StoreError> {
        Ok(self.aliases.iter().find(|(known, _)| known == alias).map(|(_, id)| *id))
    }

    async fn aliases(&mut self, service: &RegisteredId) -> Result<Vec<Alias>, StoreError> {
        let of = self.aliases.iter().filter(|(_, id)| id == service);
        Ok(of.map(|(alias, _)| alias.clone()).collect())
    }

    async fn insert_alias(
        &mut self,
        alias: &Alias,
        service: &RegisteredId,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        self.aliases.push((alias.clone(), *service));
        self.wrote()
    }

    async fn delete_alias(&mut self, alias: &Alias) -> Result<(), StoreError> {
        self.aliases.retain(|(known, _)| known != alias);
        self.wrote()
    }

    async fn tombstone(&mut self, alias: &Alias) -> Result<Option<Tombstone>, StoreError> {
        Ok(self.tombstones.iter().find(|(known, _)| known == alias).map(|(_, tombstone)| *tombstone))
    }

    async fn put_tombstone(&mut self, alias: &Alias, tombstone: Tombstone) -> Result<(), StoreError> {
        self.tombstones.retain(|(known, _)| known != alias);
        self.tombstones.push((alias.clone(), tombstone));
        self.wrote()
    }

    async fn delete_tombstone(&mut self, alias: &Alias) -> Result<(), StoreError> {
        self.tombstones.retain(|(known, _)| known != alias);
        self.wrote()
    }

    async fn policies(&mut self) -> Result<Vec<Policy>, StoreError> {
        Ok(self.policies.clone())
    }

    async fn put_policy(&mut self, policy: &Policy, _: Timestamp) -> Result<(), StoreError> {
        self.policies.retain(|known| known.name != policy.name);
        self.policies.push(policy.clone());
        self.wrote()
    }

    async fn delete_policy(&mut self, name: &PolicyName) -> Result<(), StoreError> {
        self.policies.retain(|known| known.name != *name);
        self.wrote()
    }

    async fn last_rollout(&mut self) -> Result<Option<Rollout>, StoreError> {
        Ok(self.rollouts.last().cloned())
    }

    async fn rollout_of(&mut self, release: &str) -> Result<Option<Rollout>, StoreError> {
        Ok(self.rollouts.iter().find(|known| known.release.release == release).cloned())
    }

    async fn put_rollout(&mut self, rollout: &Rollout) -> Result<(), StoreError> {
        self.rollouts.retain(|known| known.release.release != rollout.release.release);
        self.rollouts.push(rollout.clone());
        self.wrote()
    }

    async fn put_report(&mut self, report: &StoredReport) -> Result<(), StoreError> {
        self.reports.retain(|known| known.device != report.device);
        self.reports.push(report.clone());
        self.wrote()
    }

    async fn visitor_keys(&mut self) -> Result<Vec<StoredKey>, StoreError> {
        Ok(self.keys.clone())
    }

    async fn put_visitor_key(&mut self, key: &StoredKey) -> Result<(), StoreError> {
        self.keys.retain(|known| known.name != key.name);
        self.keys.push(key.clone());
        self.wrote()
    }

    async fn head(&mut self) -> Result<Head, StoreError> {
        let nothing = Head { version: 0, hash: ChangeHash::NONE };
        Ok(self
            .changes
            .last()
            .map(Change::head)
            .or(self.trimmed.as_ref().map(|it| it.head))
            .unwrap_or(nothing))
    }

    async fn append_change(&mut self, change: &Change) -> Result<(), StoreError> {
        assert_eq!(change.prev, self.head().await?.hash);
        self.changes.push(change.clone());
        self.wrote()
    }

    async fn change_bytes(&mut self, actor: Actor, since: Timestamp) -> Result<u64, StoreError> {
        let of = self.changes.iter().filter(|change| change.actor == actor && change.at > since);
        Ok(of.map(|change| canonical(&change.body).len() as u64 + 400).sum())
    }

    async fn count_changes(
        &mut self,
        kind: &'static str,
        subject: &str,
        since: Timestamp,
    ) -> Result<usize, StoreError> {
        let is_one = |change: &&Change| change.kind == kind && change.subject == subject && change.at > since;
        Ok(self.changes.iter().filter(is_one).count())
    }

    async fn oldest_change(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.changes.first().map(|change| change.at))
    }

    async fn last_change_before(&mut self, moment: Timestamp) -> Result<Option<Head>, StoreError> {
        Ok(self.changes.iter().take_while(|change| change.at < moment).last().map(Change::head))
    }

    async fn delete_changes(&mut self, through: &SignedHead) -> Result<(), StoreError> {
        self.changes.retain(|change| change.version > through.head.version);
        self.trimmed = Some(through.clone());
        self.wrote()
    }
}
