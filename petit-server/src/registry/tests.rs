//! The rules over rows in memory, at moments that the test names: what depends on time needs no waiting here.

mod labels;
mod memory;
mod policies;
mod rollouts;
mod standing;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use petit_engine::limits;
use petit_engine::name::{Alias, DeviceId, RegisteredId, ServiceName};
use petit_engine::proto::control::{EnrolRefusal, ServiceKind, Text};
use petit_engine::secret::{InviteId, InviteSecret, PrivateKey, PublicKey};
use petit_relay::EnrolRequest;

use self::memory::MemoryRows;
use super::*;

const LIMITS: RegistrationLimits = RegistrationLimits { most: 3, ports: Some((30_000, 30_001)) };
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const SECOND: Duration = Duration::from_secs(1);

/// A registry in memory, with a clock of its own.
struct Bed {
    rows: MemoryRows,
    now: Timestamp,
}

impl Bed {
    fn new() -> Self {
        Self { rows: MemoryRows::default(), now: Timestamp(1_800_000_000) }
    }

    fn rules(&mut self) -> Registry<'_, MemoryRows> {
        Registry::new(&mut self.rows, self.now)
    }

    /// An invite that ends after a time, and the request that redeems it.
    async fn invite(&mut self, alias: Option<&str>, lasts: Duration) -> EnrolRequest {
        let secret = InviteSecret::random().unwrap().hash();
        let invite = NewInvite {
            id: InviteId(petit_engine::secret::random_bytes().unwrap()),
            secret,
            service: "web".parse().unwrap(),
            alias: alias.map(|alias| alias.parse().unwrap()),
            labels: Labels::default(),
            not_after: (self.now + lasts).into(),
        };
        self.rules().invite(&invite, false, Actor::Operator).await.unwrap();
        EnrolRequest {
            key: key(),
            invite: invite.id,
            secret,
            device_name: Text::lossy("Anna's laptop"),
            software: Text::lossy("test"),
            from: IpAddr::from([192, 0, 2, 1]),
        }
    }

    async fn enrol(&mut self, request: &EnrolRequest) -> Result<EnrolledRow, EnrolRefusal> {
        self.rules().enrol(request, &terms()).await.unwrap().map(|(row, _)| row)
    }

    async fn enrolled(&mut self) -> EnrolledRow {
        let request = self.invite(None, HOUR).await;
        self.enrol(&request).await.unwrap()
    }

    async fn alias(&mut self, id: RegisteredId, alias: &Alias) -> Result<(), Conflict> {
        conflict(self.rules().add_alias(id, alias, false, Actor::Operator).await)
    }
}

fn terms() -> EnrolmentTerms {
    EnrolmentTerms { beside: Arc::default(), most: LIMITS.most }
}

fn key() -> PublicKey {
    PrivateKey::generate().unwrap().public().clone()
}

fn conflict<T>(result: Result<T, StoreError>) -> Result<(), Conflict> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            StoreErrorKind::Conflict(conflict) => Err(conflict.clone()),
            other => panic!("{other:?}"),
        },
    }
}

#[tokio::test]
async fn an_invite_is_good_to_its_last_second_and_not_one_longer() {
    let mut bed = Bed::new();
    let (last, late) = (bed.invite(None, HOUR).await, bed.invite(None, HOUR).await);
    bed.now = bed.now + HOUR;
    assert!(bed.enrol(&last).await.is_ok());
    bed.now = bed.now + SECOND;
    assert_eq!(bed.enrol(&late).await.unwrap_err(), EnrolRefusal::Expired);
    assert!(bed.enrol(&last).await.is_ok(), "the lost answer of one that was used in time is given again");
}

#[tokio::test]
async fn an_invite_of_a_clock_that_was_set_back_further_than_clocks_differ_is_expired() {
    let mut bed = Bed::new();
    let request = bed.invite(None, HOUR).await;
    let made = bed.now;
    bed.now = made - limits::CLOCK_SKEW - SECOND;
    assert_eq!(bed.enrol(&request).await.unwrap_err(), EnrolRefusal::Expired);
    bed.now = made - limits::CLOCK_SKEW;
    assert!(bed.enrol(&request).await.is_ok());
}

#[tokio::test]
async fn a_former_alias_is_kept_for_its_owner_for_ninety_days_and_free_then() {
    let mut bed = Bed::new();
    let (owner, other) = (bed.enrolled().await, bed.enrolled().await);
    let alias: Alias = "acme".parse().unwrap();
    bed.alias(owner.id, &alias).await.unwrap();
    bed.rules().remove_alias(owner.id, alias.clone(), Actor::Operator).await.unwrap();
    let released = bed.now;
    for (later, days) in [(Duration::ZERO, 90), (SECOND, 90), (DAY, 89), (90 * DAY - SECOND, 1)] {
        bed.now = released + later;
        let refused = bed.alias(other.id, &alias).await.unwrap_err();
        let expected =
            Conflict::AliasTombstoned { alias: alias.clone(), device: owner.device, days_left: days };
        assert_eq!(refused, expected, "after {later:?}");
    }
    bed.now = released + 90 * DAY;
    bed.alias(other.id, &alias).await.unwrap();
}

#[tokio::test]
async fn an_alias_is_promised_to_an_invite_for_as_long_as_that_can_be_used() {
    let mut bed = Bed::new();
    let owner = bed.enrolled().await;
    let alias: Alias = "acme".parse().unwrap();
    let request = bed.invite(Some("acme"), HOUR).await;
    bed.now = bed.now + HOUR;
    let promised = Conflict::AliasPromised { alias: alias.clone(), invite: request.invite };
    assert_eq!(bed.alias(owner.id, &alias).await, Err(promised));
    bed.now = bed.now + SECOND;
    bed.alias(owner.id, &alias).await.unwrap();
    let invite = bed.invite(Some("withdrawn"), HOUR).await.invite;
    bed.rules().withdraw(invite, Actor::Operator).await.unwrap();
    bed.alias(owner.id, &"withdrawn".parse().unwrap()).await.unwrap();
    assert_eq!(conflict(bed.rules().withdraw(invite, Actor::Operator).await), Err(Conflict::NoInvite));
}

#[tokio::test]
async fn a_registration_is_worth_more_than_the_alias_that_its_invite_promised() {
    let mut bed = Bed::new();
    let other = bed.enrolled().await;
    let request = bed.invite(Some("acme"), HOUR).await;
    // As a database that was put back from a copy may have it.
    bed.rows.give_alias("acme".parse().unwrap(), other.id);
    let enrolled = bed.enrol(&request).await.unwrap();
    assert_ne!(enrolled.device, other.device);
    assert_eq!(bed.rows.alias(&"acme".parse().unwrap()).await.unwrap(), Some(other.id));
    let told = &bed.rows.changes.last().unwrap().body["alias_refused"];
    assert!(told.as_str().unwrap().contains(&other.id.to_string()), "{told:?}");
}

#[tokio::test]
async fn an_hour_after_a_device_has_had_its_share_of_new_services_it_may_have_more() {
    let mut bed = Bed::new();
    let device = bed.enrolled().await.device;
    let announce = async |bed: &mut Bed, name: &str| {
        let name: ServiceName = name.parse().unwrap();
        let offer = [(name.clone(), ServiceKind::Http)];
        let (announced, _) = bed.rules().announce(&device, &offer, LIMITS).await.unwrap();
        bed.rules().remove_service(&device, &name).await.unwrap();
        matches!(announced[..], [AnnouncedRow::Registered(_)])
    };
    let share = limits::NEW_SERVICES_PER_HOUR - 1; // one came with the invite
    for number in 0..share {
        assert!(announce(&mut bed, &format!("s-{number}")).await, "{number}");
    }
    assert!(!announce(&mut bed, "too-many").await);
    bed.now = bed.now + HOUR;
    assert!(announce(&mut bed, "later").await);
}

#[tokio::test]
async fn an_invite_that_is_used_again_and_again_gives_no_more_ids_than_announcing() {
    let mut bed = Bed::new();
    let invite = bed.invite(None, DAY).await;
    let (enrolled, _) = bed.rules().enrol(&invite, &terms()).await.unwrap().unwrap();
    let again = async |bed: &mut Bed| {
        bed.rules().remove_service(&enrolled.device, &enrolled.service).await.unwrap();
        bed.rules().enrol(&invite, &terms()).await.unwrap().map(|_| ())
    };
    for round in 1..limits::NEW_SERVICES_PER_HOUR {
        assert_eq!(again(&mut bed).await, Ok(()), "{round}");
    }
    assert_eq!(again(&mut bed).await, Err(EnrolRefusal::Busy));
    bed.now = bed.now + HOUR;
    assert_eq!(again(&mut bed).await, Ok(()));
}

#[tokio::test]
async fn a_client_that_registers_again_has_no_more_services_than_one_that_announces_them() {
    let mut bed = Bed::new();
    let invite = bed.invite(None, DAY).await;
    let device = bed.enrol(&invite).await.unwrap().device;
    let web = "web".parse().unwrap();
    bed.rules().remove_service(&device, &web).await.unwrap();
    let offer = ["a", "b", "c"].map(|name| (name.parse().unwrap(), ServiceKind::Http));
    let (announced, _) = bed.rules().announce(&device, &offer, LIMITS).await.unwrap();
    assert!(announced.iter().all(|row| matches!(row, AnnouncedRow::Registered(_))) && LIMITS.most == 3);
    assert_eq!(bed.enrol(&invite).await.unwrap_err(), EnrolRefusal::Busy);
    let another = EnrolRequest { key: invite.key.clone(), ..bed.invite(None, DAY).await };
    assert_eq!(bed.enrol(&another).await.unwrap_err(), EnrolRefusal::Busy);
    bed.rules().remove_service(&device, &"c".parse().unwrap()).await.unwrap();
    assert!(bed.enrol(&another).await.is_ok(), "it was not used up");
    assert!(bed.enrol(&invite).await.is_ok(), "what it has is no service more");
}

#[tokio::test]
async fn a_port_that_was_given_back_is_the_next_one_to_be_given() {
    let mut bed = Bed::new();
    let (a, b) = (bed.enrolled().await.device, bed.enrolled().await.device);
    let port = async |bed: &mut Bed, device: DeviceId, name: &str| {
        let offer = [(name.parse().unwrap(), ServiceKind::Tcp)];
        match bed.rules().announce(&device, &offer, LIMITS).await.unwrap().0.remove(0) {
            AnnouncedRow::Registered(row) => row.port,
            AnnouncedRow::NoPort => None,
            AnnouncedRow::TooMany => panic!(),
        }
    };
    assert_eq!(port(&mut bed, a, "db").await, Some(30_000));
    assert_eq!(port(&mut bed, b, "db").await, Some(30_001));
    assert_eq!(port(&mut bed, b, "more").await, None);
    bed.rules().remove_service(&a, &"db".parse().unwrap()).await.unwrap();
    assert_eq!(port(&mut bed, b, "more").await, Some(30_000));
    // Where the system chooses, nobody takes a port from anybody.
    let any = RegistrationLimits { ports: Some((0, 0)), ..LIMITS };
    let offer = [("x".parse().unwrap(), ServiceKind::Tcp), ("y".parse().unwrap(), ServiceKind::Tcp)];
    let (announced, _) = bed.rules().announce(&a, &offer, any).await.unwrap();
    assert!(announced.iter().all(|row| matches!(row, AnnouncedRow::Registered(row) if row.port == Some(0))));
}

#[tokio::test]
async fn a_change_that_is_refused_asks_for_no_row_to_be_written() {
    let mut bed = Bed::new();
    let device = bed.enrolled().await;
    let stranger = RegisteredId::random().unwrap();
    bed.rules().unregister(device.device).await.unwrap();
    let before = bed.rows.written;
    let alias: Alias = "acme".parse().unwrap();
    assert_eq!(bed.alias(stranger, &alias).await, Err(Conflict::NoService(stranger)));
    assert_eq!(bed.alias(device.id, &alias).await, Err(Conflict::NoService(device.id)));
    let gone = Conflict::NoDevice(device.device);
    let ended = bed.rules().revoke(device.device, Actor::Operator).await;
    assert_eq!(conflict(ended), Err(gone.clone()));
    let offer = [("web".parse().unwrap(), ServiceKind::Http)];
    assert_eq!(conflict(bed.rules().announce(&device.device, &offer, LIMITS).await), Err(gone));
    assert!(bed.rules().rename(&device.device, "another").await.unwrap().renamed.is_empty());
    assert_eq!(bed.rows.written, before);
}
