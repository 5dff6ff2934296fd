//! The registry on a real file.

mod changes;
mod forms;
mod place;
mod policies;
mod queries;
mod rollouts;

use std::net::IpAddr;
use std::time::SystemTime;

use petit_engine::limits;
use petit_engine::proto::control::Text;
use petit_engine::secret::{InviteHash, InviteSecret, PublicKey};

use super::*;
use crate::registry::{
    Conflict, Device, Edit, EndedBy, Enforcement, InviteState, LimitPer, Note, PolicyTarget, is_disk_full,
};
use sqlx::sqlite::SqliteConnectOptions;

struct Bed {
    dir: tempfile::TempDir,
    store: SqliteStore,
}

const LIMITS: RegistrationLimits = RegistrationLimits { most: 3, ports: Some((30_000, 30_001)) };

impl Bed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(&dir.path().join("registry.db")).await.unwrap();
        Self { dir, store }
    }

    async fn reopened(self) -> Self {
        drop(self.store);
        let store = SqliteStore::open(&self.dir.path().join("registry.db")).await.unwrap();
        Self { dir: self.dir, store }
    }

    async fn invite(&self, alias: Option<&str>, lasts: i64) -> (InviteId, InviteHash) {
        let id = InviteId(petit_engine::secret::random_bytes().unwrap());
        let secret = InviteSecret::random().unwrap().hash();
        let invite = NewInvite {
            id,
            secret,
            service: "web".parse().unwrap(),
            alias: alias.map(|alias| alias.parse().unwrap()),
            labels: Labels { note: Note::lossy("for Anna"), ..Labels::default() },
            not_after: in_seconds(lasts),
        };
        self.store.invite(invite, false, Actor::Operator).await.unwrap();
        (id, secret)
    }

    async fn enrol(
        &self,
        invite: (InviteId, InviteHash),
        key: &PublicKey,
    ) -> Result<EnrolledRow, EnrolRefusal> {
        self.store.enrol(request(invite, key), terms()).await.unwrap().map(|(row, _)| row)
    }

    async fn enrolled(&self) -> EnrolledRow {
        let invite = self.invite(None, 3600).await;
        self.enrol(invite, &key()).await.unwrap()
    }

    async fn alias(&self, id: RegisteredId, alias: &str) -> Result<(), Conflict> {
        match self.store.add_alias(id, alias.parse().unwrap(), false, Actor::Operator).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                StoreErrorKind::Conflict(conflict) => Err(conflict.clone()),
                _ => panic!("{error}"),
            },
        }
    }
}

/// So many seconds from now, by the registry's clock.
fn in_seconds(seconds: i64) -> SystemTime {
    Timestamp(Timestamp::now().0 + seconds).into()
}

fn request(invite: (InviteId, InviteHash), key: &PublicKey) -> EnrolRequest {
    EnrolRequest {
        key: key.clone(),
        invite: invite.0,
        secret: invite.1,
        device_name: Text::lossy("Anna's laptop"),
        software: Text::lossy("petit-client 0"),
        from: IpAddr::from([192, 0, 2, 1]),
    }
}

fn terms() -> EnrolmentTerms {
    EnrolmentTerms { beside: Arc::default(), most: 8 }
}

fn key() -> PublicKey {
    PrivateKey::generate().unwrap().public().clone()
}

#[tokio::test]
async fn an_invite_registers_one_device_once() {
    let bed = Bed::new().await;
    let invite = bed.invite(Some("acme"), 3600).await;
    let (first, second) = (key(), key());
    let enrolled = bed.enrol(invite, &first).await.unwrap();
    assert_eq!(bed.enrol(invite, &second).await.unwrap_err(), EnrolRefusal::Used);
    let again = bed.enrol(invite, &first).await.unwrap();
    assert_eq!((again.device, again.id), (enrolled.device, enrolled.id), "a lost answer is given again");
    let bed = bed.reopened().await;
    let tables = bed.store.load().await.unwrap();
    let (name, tags) = ("Anna's laptop".into(), std::collections::BTreeSet::default());
    let device = Device { id: enrolled.device, key: first, name, tags, is_suspended: false };
    assert_eq!(tables.devices, [device]);
    assert_eq!(tables.aliases, [("acme".parse().unwrap(), enrolled.id)]);
    let invites = bed.store.invites().await.unwrap();
    assert_eq!((invites[0].state, invites[0].device), (InviteState::Used, Some(enrolled.device)));
}

#[tokio::test]
async fn invites_that_are_not_good_any_more_say_so_only_to_their_holder() {
    let bed = Bed::new().await;
    let (id, secret) = bed.invite(None, -1000).await;
    assert_eq!(bed.enrol((id, secret), &key()).await.unwrap_err(), EnrolRefusal::Expired);
    let wrong = InviteSecret::random().unwrap().hash();
    assert_eq!(bed.enrol((id, wrong), &key()).await.unwrap_err(), EnrolRefusal::Invalid);
    assert_eq!(bed.enrol((InviteId([9; 16]), secret), &key()).await.unwrap_err(), EnrolRefusal::Invalid);
    // By the server's clock alone, to the second.
    let over = bed.invite(None, -1).await;
    assert_eq!(bed.enrol(over, &key()).await.unwrap_err(), EnrolRefusal::Expired);
    let listed = bed.store.invites().await.unwrap();
    let listed = listed.iter().find(|row| row.id == over.0).unwrap();
    assert_eq!(listed.state, InviteState::Expired, "what the list says is what holds");
    let nearly = bed.invite(None, 60).await;
    assert!(bed.enrol(nearly, &key()).await.is_ok());
    let withdrawn = bed.invite(None, 3600).await;
    bed.store.withdraw(withdrawn.0, Actor::Operator).await.unwrap();
    assert_eq!(bed.enrol(withdrawn, &key()).await.unwrap_err(), EnrolRefusal::Withdrawn);
    assert!(bed.store.withdraw(withdrawn.0, Actor::Operator).await.is_err());
}

#[tokio::test]
async fn a_revoked_key_stays_out() {
    let bed = Bed::new().await;
    let invite = bed.invite(Some("acme"), 3600).await;
    let key = key();
    let enrolled = bed.enrol(invite, &key).await.unwrap();
    let changes = bed.store.revoke(enrolled.device, Actor::Operator).await.unwrap();
    assert_eq!((changes.devices_gone, changes.services_gone), (vec![enrolled.device], vec![enrolled.id]));
    assert!(bed.store.revoke(enrolled.device, Actor::Operator).await.is_err());
    let fresh = bed.invite(None, 3600).await;
    assert_eq!(bed.enrol(fresh, &key).await.unwrap_err(), EnrolRefusal::Revoked);
    assert_eq!(bed.enrol(invite, &key).await.unwrap_err(), EnrolRefusal::Revoked);
    let tables = bed.reopened().await.store.load().await.unwrap();
    assert!(tables.devices.is_empty() && tables.services.is_empty() && tables.aliases.is_empty());
}

#[tokio::test]
async fn the_same_key_with_a_second_invite_is_the_same_device() {
    let bed = Bed::new().await;
    let key = key();
    let first = bed.enrol(bed.invite(None, 3600).await, &key).await.unwrap();
    let second = bed.enrol(bed.invite(None, 3600).await, &key).await.unwrap();
    assert_eq!((first.device, first.id), (second.device, second.id));
}

#[tokio::test]
async fn services_keep_their_ids_and_have_limits() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let offer = |names: &[(&str, ServiceKind)]| {
        names.iter().map(|(name, kind)| (name.parse().unwrap(), *kind)).collect::<Vec<_>>()
    };
    let (http, tcp) = (ServiceKind::Http, ServiceKind::Tcp);
    let wanted = offer(&[("web", http), ("db", tcp), ("db2", tcp), ("db3", tcp), ("api", http)]);
    let (announced, changes) = bed.store.announce(device.device, wanted.clone(), LIMITS).await.unwrap();
    let shape: Vec<String> = announced
        .iter()
        .map(|announced| match announced {
            AnnouncedRow::Registered(row) => format!("{} {:?}", row.name, row.port),
            AnnouncedRow::TooMany => "too many".into(),
            AnnouncedRow::NoPort => "no port".into(),
        })
        .collect();
    assert_eq!(shape, ["web None", "db Some(30000)", "db2 Some(30001)", "no port", "too many"]);
    assert_eq!(changes.added.services.len(), 2, "web was there since the enrolment");
    let AnnouncedRow::Registered(web) = &announced[0] else { panic!() };
    assert_eq!(web.id, device.id);
    let (again, changes) = bed.store.announce(device.device, wanted, LIMITS).await.unwrap();
    assert!(changes.added.services.is_empty());
    let AnnouncedRow::Registered(db) = &again[1] else { panic!() };
    assert_eq!(db.port, Some(30_000), "the port stays");

    bed.store.remove_service(device.device, "db".parse().unwrap()).await.unwrap();
    let (announced, _) = bed.store.announce(device.device, offer(&[("db", tcp)]), LIMITS).await.unwrap();
    let AnnouncedRow::Registered(new) = &announced[0] else { panic!() };
    assert_ne!(new.id, db.id, "an ID that was given back is not given again");
    let none = RegistrationLimits { ports: None, ..LIMITS };
    let (announced, _) = bed.store.announce(device.device, offer(&[("db9", tcp)]), none).await.unwrap();
    assert!(matches!(announced[0], AnnouncedRow::NoPort));
}

#[tokio::test]
async fn a_service_may_change_what_it_speaks_and_keeps_its_id() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let offer = |kind| vec![("web".parse().unwrap(), kind)];
    let (announced, changes) =
        bed.store.announce(device.device, offer(ServiceKind::Tcp), LIMITS).await.unwrap();
    let AnnouncedRow::Registered(row) = &announced[0] else { panic!() };
    assert_eq!((row.id, row.port), (device.id, Some(30_000)));
    assert_eq!(changes.added.services[0].route.kind, ServiceKind::Tcp);
}

#[tokio::test]
async fn aliases_have_one_owner_and_rest_after_it() {
    let bed = Bed::new().await;
    let (a, b) = (bed.enrolled().await, bed.enrolled().await);
    bed.alias(a.id, "acme").await.unwrap();
    bed.alias(a.id, "acme").await.unwrap();
    bed.alias(a.id, "shop.acme.example").await.unwrap();
    assert!(matches!(bed.alias(b.id, "acme").await, Err(Conflict::AliasTaken { id, .. }) if id == a.id));
    bed.store.remove_alias(a.id, "acme".parse().unwrap(), Actor::Operator).await.unwrap();
    assert!(bed.store.remove_alias(a.id, "acme".parse().unwrap(), Actor::Operator).await.is_err());
    assert!(matches!(bed.alias(b.id, "acme").await, Err(Conflict::AliasTombstoned { .. })));
    bed.alias(a.id, "acme").await.unwrap();
    bed.store.remove_alias(a.id, "acme".parse().unwrap(), Actor::Operator).await.unwrap();
    bed.store.add_alias(b.id, "acme".parse().unwrap(), true, Actor::Operator).await.unwrap();
    let stranger = RegisteredId::random().unwrap();
    assert_eq!(bed.alias(stranger, "other").await, Err(Conflict::NoService(stranger)));

    let promised = bed.invite(Some("promised"), 3600).await;
    assert!(matches!(bed.alias(a.id, "promised").await, Err(Conflict::AliasPromised { .. })));
    let c = bed.enrol(promised, &key()).await.unwrap();
    assert!(matches!(bed.alias(a.id, "promised").await, Err(Conflict::AliasTaken { id, .. }) if id == c.id));
    let rows = bed.store.devices().await.unwrap();
    let aliases: Vec<usize> = rows.iter().map(|row| row.services[0].aliases.len()).collect();
    assert_eq!(aliases.iter().sum::<usize>(), 3);
}

#[tokio::test]
async fn a_service_gets_as_many_aliases_as_its_client_can_be_told_of_and_no_more() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let alias = |number: usize| format!("alias-{number:04}-{}.example", "x".repeat(40));
    let most = limits::MAX_ALIASES_BYTES / (alias(0).len() + 3);
    for number in 0..most {
        bed.alias(device.id, &alias(number)).await.unwrap();
    }
    let refused = bed.alias(device.id, &alias(most)).await.unwrap_err();
    assert!(
        matches!(refused, Conflict::TooManyAliases { id, count, .. } if (id, count) == (device.id, most)),
        "{refused:?}"
    );
    let words = refused.to_string();
    let hint = format!("petit-server removealias {}", device.id);
    assert!(words.contains(&format!("has {most} aliases")) && words.contains(&hint), "{words}");
    bed.alias(device.id, &alias(0)).await.unwrap(); // one that it has already
    bed.store.remove_alias(device.id, alias(0).parse().unwrap(), Actor::Operator).await.unwrap();
    bed.alias(device.id, &alias(most)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_registry_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("registry");
    std::fs::write(&path, br#"{"version":1,"maxRegisteredId":1001}"#).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(*error.kind() == StoreErrorKind::NotARegistry, "{error}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"{\"version\""));

    for missing in [dir.path().join("nothing.db"), dir.path().join("empty.db")] {
        if missing.ends_with("empty.db") {
            std::fs::write(&missing, "").unwrap();
        }
        let error = SqliteStore::open(&missing).await.unwrap_err();
        assert!(*error.kind() == StoreErrorKind::Missing, "{error}");
    }
    let other = dir.path().join("other.db");
    let options = SqliteConnectOptions::new().filename(&other).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (x)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(&other).unwrap();
    assert!(*SqliteStore::open(&other).await.unwrap_err().kind() == StoreErrorKind::NotARegistry);

    assert!(std::fs::read(&other).unwrap() == before, "a foreign file is left as it is");

    let bed = Bed::new().await;
    let mut held = bed.store.writer.lock().await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(held.as_mut().unwrap()).await.unwrap();
    let error = SqliteStore::open(&bed.dir.path().join("registry.db")).await.unwrap_err();
    assert!(matches!(error.kind(), StoreErrorKind::TooNew { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn what_is_stored_of_an_invite_cannot_redeem_it() {
    let bed = Bed::new().await;
    let secret = InviteSecret::from_bytes([0x5a; 32]);
    let invite = NewInvite {
        id: InviteId([1; 16]),
        secret: secret.hash(),
        service: "web".parse().unwrap(),
        alias: None,
        labels: Labels::default(),
        not_after: in_seconds(60),
    };
    bed.store.invite(invite, false, Actor::Operator).await.unwrap();
    let mut all = Vec::new();
    for file in std::fs::read_dir(bed.dir.path()).unwrap() {
        all.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    assert!(all.windows(32).any(|window| window == secret.hash().0), "the search sees what is there");
    assert!(!all.windows(32).any(|window| window == [0x5a; 32]));
}

#[tokio::test]
async fn a_device_whose_registration_has_ended_gets_no_service_any_more() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await.device;
    bed.store.revoke(device, Actor::Operator).await.unwrap();
    let offer = vec![("db".parse().unwrap(), ServiceKind::Tcp)];
    let error = bed.store.announce(device, offer, LIMITS).await.unwrap_err();
    assert!(matches!(error.kind(), StoreErrorKind::Conflict(Conflict::NoDevice(_))), "{error}");
    assert!(bed.store.load().await.unwrap().services.is_empty());
}

#[tokio::test]
async fn a_failure_does_not_outlast_its_cause() {
    let bed = Bed::new().await;
    // A full disk, as SQLite sees it: the file may not grow.
    let limit = |pages: u32| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    let mut held = bed.store.writer.lock().await;
    sqlx::raw_sql(limit(1)).execute(held.as_mut().unwrap()).await.unwrap();
    drop(held);
    let mut failed = 0;
    for _ in 0..200 {
        let invite = NewInvite {
            id: InviteId(petit_engine::secret::random_bytes().unwrap()),
            secret: InviteSecret::random().unwrap().hash(),
            service: "web".parse().unwrap(),
            alias: None,
            labels: Labels { note: Note::lossy(&"x".repeat(200)), ..Labels::default() },
            not_after: in_seconds(60),
        };
        match bed.store.invite(invite, false, Actor::Operator).await {
            Ok(()) => {}
            Err(error) if *error.kind() == StoreErrorKind::Failed => {
                assert!(is_disk_full(&error), "{error:?}");
                failed += 1;
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(failed, 1, "the disk was full");
    bed.invite(None, 60).await;
    bed.enrolled().await;
}

#[tokio::test]
async fn ports_follow_the_operators_range() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await.device;
    let port = async |limits| {
        let offer = vec![("db".parse().unwrap(), ServiceKind::Tcp)];
        match bed.store.announce(device, offer, limits).await.unwrap().0.remove(0) {
            AnnouncedRow::Registered(row) => row.port,
            AnnouncedRow::NoPort => None,
            AnnouncedRow::TooMany => panic!(),
        }
    };
    assert_eq!(port(LIMITS).await, Some(30_000));
    assert_eq!(port(RegistrationLimits { ports: Some((40_000, 40_001)), ..LIMITS }).await, Some(40_000));
    assert_eq!(port(RegistrationLimits { ports: None, ..LIMITS }).await, None);
}

#[tokio::test]
async fn an_invite_may_give_a_former_alias_to_a_returning_customer() {
    let bed = Bed::new().await;
    let old = bed.enrolled().await;
    bed.alias(old.id, "acme").await.unwrap();
    bed.store.revoke(old.device, Actor::Operator).await.unwrap();
    let invite = |id: u8| NewInvite {
        id: InviteId([id; 16]),
        secret: InviteSecret::from_bytes([id; 32]).hash(),
        service: "web".parse().unwrap(),
        alias: Some("acme".parse().unwrap()),
        labels: Labels::default(),
        not_after: in_seconds(60),
    };
    let error = bed.store.invite(invite(1), false, Actor::Operator).await.unwrap_err().to_string();
    assert!(error.contains(old.device.as_str()) && error.contains("90 days"), "{error}");
    bed.store.invite(invite(2), true, Actor::Operator).await.unwrap();
    let new = bed.enrol((InviteId([2; 16]), InviteSecret::from_bytes([2; 32]).hash()), &key()).await.unwrap();
    assert_eq!(bed.store.load().await.unwrap().aliases, [("acme".parse().unwrap(), new.id)]);
}

#[tokio::test]
async fn after_a_close_one_file_is_all_of_it() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    bed.store.close().await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("registry.db");
    std::fs::copy(bed.dir.path().join("registry.db"), &path).unwrap();
    let tables = SqliteStore::open(&path).await.unwrap().load().await.unwrap();
    assert_eq!(tables.devices[0].id, device.device);
}

#[tokio::test]
async fn a_device_cannot_fill_the_registry_with_services_that_it_gives_back() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await.device;
    let mut given = 0;
    for round in 0..400 {
        let name: ServiceName = format!("s-{round}").parse().unwrap();
        let (announced, _) =
            bed.store.announce(device, vec![(name.clone(), ServiceKind::Http)], LIMITS).await.unwrap();
        given += usize::from(matches!(announced[..], [AnnouncedRow::Registered(_)]));
        bed.store.remove_service(device, name).await.unwrap();
    }
    assert_eq!(given, 299, "one came with the invite");
    // Another device is not concerned, and neither is what this one has.
    let other = bed.enrolled().await.device;
    let web = vec![("web".parse().unwrap(), ServiceKind::Http)];
    for device in [device, other] {
        let (announced, _) = bed.store.announce(device, web.clone(), LIMITS).await.unwrap();
        assert!(matches!(announced[..], [AnnouncedRow::Registered(_)]));
    }
}
