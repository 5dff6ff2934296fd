//! Enrolling: an invite is consumed by the transaction that adds the device.

use std::net::IpAddr;
use std::time::Duration;

use petit_engine::limits;
use petit_engine::name::{DeviceId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind};
use petit_engine::secret::{InviteHash, InviteId};
use petit_relay::EnrolRequest;

use super::change::Actor;
use super::change_body::{ChangeBody, INVITE_REUSED, ServiceBody};
use super::error::StoreError;
use super::label::Labels;
use super::model::{Delta, Device, EnrolledRow, EnrolmentTerms};
use super::rows::{InviteUse, NewDevice, Rows, StoredInvite, StoredService};
use super::rules::Registry;

/// How often somebody who tries an invite that another has used is written down.
const REUSE_NOTED_EVERY: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl<R: Rows> Registry<'_, R> {
    /// Consumes an invite and adds the device, or says why not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enrol(
        mut self,
        request: &EnrolRequest,
        terms: &EnrolmentTerms,
    ) -> Result<Result<(EnrolledRow, Delta), EnrolRefusal>, StoreError> {
        let invite = self.rows.invite(&request.invite).await?;
        // An invite that is not there is compared like one that is, so that both take the same time.
        let hash = invite.as_ref().map_or(InviteHash([0; 32]), |invite| invite.secret);
        let is_proven = hash == request.secret;
        let Some(invite) = invite.filter(|_| is_proven) else { return Ok(Err(EnrolRefusal::Invalid)) };

        let actor = Actor::Client(request.key.fingerprint());
        let known = self.rows.device_by_key(&request.key).await?;
        if known.as_ref().is_some_and(|known| known.is_ended) {
            return Ok(Err(EnrolRefusal::Revoked));
        }
        if let Some((device, key)) = &invite.used_by {
            if *key != request.key {
                self.reused(device, request.invite, request.from).await?;
                return Ok(Err(EnrolRefusal::Used));
            }
            let device = *device;
            let again = self.enrolled_again(device, &invite, (actor, terms)).await?;
            return Ok(again.map(|row| (row, self.delta)));
        }
        if let Some(refusal) = self.refusal(&invite) {
            return Ok(Err(refusal));
        }

        if let Some(known) = &known
            && !self.has_room_for(&known.id, &invite.service, terms).await?
        {
            return Ok(Err(EnrolRefusal::Busy)); // the invite is good for as long as before
        }
        let (device, labels) = match known {
            Some(known) => (known.id, self.relabelled(&known.id, &invite.labels).await?),
            None => (self.new_device(request, &invite.labels).await?, invite.labels.clone()),
        };
        let registered = self.invited_service(&device, &invite).await?;
        let conflict = match &invite.alias {
            Some(alias) => match self.alias_conflict(alias, Some(&device), Some(&request.invite)).await? {
                None => self.policy_conflict(alias, &registered.id, &terms.beside).await?,
                conflict => conflict,
            },
            None => None,
        };
        if let (Some(alias), None) = (&invite.alias, &conflict) {
            self.give_alias(alias, &registered.id).await?;
        }
        let used = InviteUse { device, key: request.key.clone(), service: registered.id, at: self.now };
        self.rows.set_invite_used(&request.invite, &used).await?;
        let body = ChangeBody::ClientEnrolled {
            invite: request.invite.to_string(),
            key: data_encoding::BASE64.encode(request.key.as_bytes()),
            name: request.device_name.as_str().to_owned(),
            software: request.software.as_str().to_owned(),
            from: request.from.to_string(),
            service: ServiceBody::from(registered.clone()),
            alias: invite.alias,
            // It was free when the invite was made, and who would use it was not known, nor which policies name that
            // service. The registration is worth more than its alias.
            alias_refused: conflict.map(|conflict| conflict.to_string()),
            tags: labels.tags,
            note: labels.note,
        };
        self.record(actor, device, &body).await?;
        Ok(Ok((EnrolledRow { device, service: invite.service, id: registered.id }, self.delta)))
    }

    /// The answer was lost on its way; here it is again. A service that was given back since gets a new ID.
    async fn enrolled_again(
        &mut self,
        device: DeviceId,
        invite: &StoredInvite,
        (actor, terms): (Actor, &EnrolmentTerms),
    ) -> Result<Result<EnrolledRow, EnrolRefusal>, StoreError> {
        let service = invite.service.clone();
        if let Some(StoredService { id, .. }) = self.service_called(&device, &service).await? {
            return Ok(Ok(EnrolledRow { device, service, id }));
        }
        // Each ID that was ever given keeps its row, here as where services are announced.
        let has_had_its_share = self.has_had_its_share_of_services(&device).await?
            || !self.has_room_for(&device, &service, terms).await?;
        if has_had_its_share || self.is_over_budget(actor).await? {
            return Ok(Err(EnrolRefusal::Busy));
        }
        let registered = self.invited_service(&device, invite).await?;
        let id = registered.id;
        let body = ChangeBody::ServicesRegistered { services: vec![registered.into()] };
        self.record(actor, device, &body).await?;
        Ok(Ok(EnrolledRow { device, service, id }))
    }

    /// Whether a device may have a service, as one that it announces: it has it, or has fewer than it may.
    async fn has_room_for(
        &mut self,
        device: &DeviceId,
        service: &ServiceName,
        terms: &EnrolmentTerms,
    ) -> Result<bool, StoreError> {
        let registered = self.rows.services(device).await?;
        Ok(registered.len() < terms.most || registered.iter().any(|known| known.name == *service))
    }

    /// Why an invite that nobody has used is of no use any more, if so.
    fn refusal(&self, invite: &StoredInvite) -> Option<EnrolRefusal> {
        // One that was made in the future was made by a clock that has been set back since: which of the two clocks
        // was right cannot be known, so how long it has been about cannot be, either.
        let is_from_the_future = invite.made > self.now + limits::CLOCK_SKEW;
        if invite.is_withdrawn {
            Some(EnrolRefusal::Withdrawn)
        } else if invite.not_after < self.now || is_from_the_future {
            Some(EnrolRefusal::Expired)
        } else {
            None
        }
    }

    /// What is written down of a device that registers again: what its new invite says, and where that says nothing, what
    /// was said before.
    async fn relabelled(&mut self, device: &DeviceId, invited: &Labels) -> Result<Labels, StoreError> {
        let before = self.rows.labels(device).await?;
        let mut labels = before.clone();
        if !invited.tags.is_empty() {
            labels.tags.clone_from(&invited.tags);
        }
        if !invited.note.as_str().is_empty() {
            labels.note.clone_from(&invited.note);
        }
        if labels != before {
            self.rows.set_labels(device, &labels).await?;
            self.delta.tagged.push((*device, labels.tags.clone()));
        }
        Ok(labels)
    }

    async fn new_device(&mut self, request: &EnrolRequest, labels: &Labels) -> Result<DeviceId, StoreError> {
        let (id, name) = (DeviceId::random()?, request.device_name.as_str().to_owned());
        let device = NewDevice {
            id,
            key: request.key.clone(),
            name: name.clone(),
            software: request.software.as_str().to_owned(),
            labels: labels.clone(),
            made: self.now,
        };
        self.rows.insert_device(&device).await?;
        let tags = labels.tags.clone();
        self.delta.added.devices.push(Device { id, key: device.key, name, tags, is_suspended: false });
        Ok(id)
    }

    /// The service that an invite is for, which is registered if it is not yet.
    async fn invited_service(
        &mut self,
        device: &DeviceId,
        invite: &StoredInvite,
    ) -> Result<StoredService, StoreError> {
        match self.service_called(device, &invite.service).await? {
            Some(registered) => Ok(registered),
            None => self.new_service(device, &invite.service, ServiceKind::Http, None).await,
        }
    }

    /// Takes note of somebody who tries an invite that another has used: once a minute and a few times a day, so that
    /// trying again and again costs nobody a write. It is no doing of the holder's, and takes nothing of what that may
    /// have written down.
    async fn reused(&mut self, holder: &DeviceId, invite: InviteId, from: IpAddr) -> Result<(), StoreError> {
        let subject = invite.to_string();
        let lately = self.now - REUSE_NOTED_EVERY;
        if self.rows.count_changes(INVITE_REUSED, &subject, lately).await? > 0
            || self.rows.count_changes(INVITE_REUSED, &subject, self.now - DAY).await?
                >= limits::INVITE_REUSE_NOTED_PER_DAY
        {
            return Ok(());
        }
        let body = ChangeBody::InviteReused { from: from.to_string(), client: *holder };
        self.record(Actor::Server, invite, &body).await
    }
}
