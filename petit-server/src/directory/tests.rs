//! The directory over a real registry, whose disk somebody else may keep busy.

mod policies;

use std::net::IpAddr;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use petit_engine::BoxFuture;
use petit_engine::secret::{InviteId, InviteSecret, PrivateKey, random_bytes};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor};

use super::*;
use crate::registry::{Actor, Labels, NewInvite, PolicyEdit};
use crate::store::sqlite::SqliteStore;

struct Bed {
    dir: tempfile::TempDir,
    directory: Directory,
    _limits: watch::Sender<RegistrationLimits>,
}

impl Bed {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(&dir.path().join("registry.db")).await.unwrap();
        let limits = watch::Sender::new(RegistrationLimits { most: 8, ports: Some((30_000, 30_009)) });
        let directory = Directory::load(Arc::new(store), limits.subscribe()).await.unwrap();
        Self { dir, directory, _limits: limits }
    }

    async fn invite(&self) -> EnrolRequest {
        self.invite_with(Labels::default()).await
    }

    async fn invite_with(&self, labels: Labels) -> EnrolRequest {
        self.invite_for(None, labels).await
    }

    async fn invite_for(&self, alias: Option<&str>, labels: Labels) -> EnrolRequest {
        let (id, secret) = (InviteId(random_bytes().unwrap()), InviteSecret::random().unwrap().hash());
        let invite = NewInvite {
            id,
            secret,
            service: "web".parse().unwrap(),
            alias: alias.map(|alias| alias.parse().unwrap()),
            labels,
            not_after: SystemTime::now() + Duration::from_secs(60),
        };
        self.directory.store().invite(invite, false, Actor::Operator).await.unwrap();
        EnrolRequest {
            key: PrivateKey::generate().unwrap().public().clone(),
            invite: id,
            secret,
            device_name: Text::lossy("a laptop"),
            software: Text::lossy("test"),
            from: IpAddr::from([192, 0, 2, 1]),
        }
    }

    async fn enrolled(&self) -> Enrolled {
        self.directory.enrol(self.invite().await).await.unwrap()
    }

    /// Somebody who keeps the registry's file from being written until he is done.
    async fn busy_disk(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("registry.db"));
        let mut other = SqliteConnection::connect_with(&options).await.unwrap();
        other.execute("BEGIN IMMEDIATE").await.unwrap();
        other
    }
}

#[tokio::test]
async fn a_registry_that_could_not_be_read_is_read_before_the_next_change() {
    use crate::store::yielding::Yielding;
    let bed = Bed::new().await;
    let id = bed.enrolled().await.id;
    let path = bed.dir.path().join("registry.db");
    let store = Arc::new(Yielding::new(Arc::new(SqliteStore::open(&path).await.unwrap())));
    let limits = bed._limits.subscribe();
    let directory = Directory::load(Arc::clone(&store) as Arc<dyn Store>, limits).await.unwrap();
    store.yield_up().await.unwrap().to_another_process();
    bed.directory.add_alias(id, "later".parse().unwrap(), false, Actor::Operator).await.unwrap();
    directory.reload().await.unwrap_err();
    assert!(directory.stale().is_some() && directory.alias("later").is_none());

    let key = |name: &str| name.parse().unwrap();
    directory.create_key(key("cloud"), Actor::Operator).await.unwrap_err();
    store.take_back().await;
    directory.create_key(key("cloud"), Actor::Operator).await.unwrap();
    assert_eq!((directory.stale(), directory.alias("later")), (None, Some(id)));
}

fn offer(names: &[&str]) -> Vec<(ServiceName, ServiceKind)> {
    names.iter().map(|name| (name.parse().unwrap(), ServiceKind::Http)).collect()
}

fn poll_once<T>(future: &mut BoxFuture<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_log_in_that_changes_nothing_waits_for_no_change() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let request = bed.invite().await;
    let mut disk = bed.busy_disk().await;
    let mut waiting = bed.directory.enrol(request);
    assert!(poll_once(&mut waiting).is_pending());
    let mut log_in = bed.directory.announce(device.device, offer(&["web"]));
    let Poll::Ready(announced) = poll_once(&mut log_in) else { panic!("it waits for the disk") };
    let [Ok(web)] = &announced.services[..] else { panic!("{announced:?}") };
    assert_eq!((web.id, announced.kept.len()), (device.id, 0));
    assert!(poll_once(&mut waiting).is_pending());
    disk.execute("ROLLBACK").await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn what_is_answered_from_memory_is_what_the_store_says() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let mut services = offer(&["web", "api"]);
    services.push(("db".parse().unwrap(), ServiceKind::Tcp));
    let first = bed.directory.announce(device.device, services.clone()).await;
    bed.directory.add_alias(device.id, "bbb".parse().unwrap(), false, Actor::Operator).await.unwrap();
    bed.directory.add_alias(device.id, "a.example".parse().unwrap(), false, Actor::Operator).await.unwrap();
    let again = bed.directory.announce(device.device, services.clone()).await;
    let store = bed.directory.store();
    let limits = RegistrationLimits { most: 8, ports: Some((30_000, 30_009)) };
    let (written, changes) = store.announce(device.device, services.clone(), limits).await.unwrap();
    assert!(changes.added.services.is_empty() && first.services.len() == 3);
    for (known, written) in again.services.iter().zip(written) {
        let AnnouncedRow::Registered(row) = written else { panic!("{written:?}") };
        let mut aliases = row.aliases;
        aliases.sort();
        let port = row.port.unwrap_or_default();
        assert_eq!(*known, Ok(ServiceRegistration { id: row.id, aliases, port }));
    }
    // Read anew it is the same.
    let (_, limits) = watch::channel(limits);
    let read = Directory::load(Arc::clone(store), limits).await.unwrap();
    assert_eq!(read.announce(device.device, services).await, again);
    let one = read.announce(device.device, offer(&["api"])).await;
    let kept: Vec<&str> = one.kept.iter().map(|kept| kept.name.as_str()).collect();
    assert_eq!(kept, ["db", "web"]);
}

#[tokio::test]
async fn a_service_that_is_offered_as_something_else_is_written_down() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let tcp = vec![("web".parse().unwrap(), ServiceKind::Tcp)];
    let announced = bed.directory.announce(device.device, tcp.clone()).await;
    assert!(matches!(&announced.services[..], [Ok(web)] if web.port == 30_000), "{announced:?}");
    assert_eq!(bed.directory.service(&device.id).unwrap().kind, ServiceKind::Tcp);
    // The operator has given other ports since.
    bed._limits.send_replace(RegistrationLimits { most: 8, ports: Some((40_000, 40_009)) });
    let announced = bed.directory.announce(device.device, tcp).await;
    assert!(matches!(&announced.services[..], [Ok(web)] if web.port == 40_000), "{announced:?}");
}

#[tokio::test]
async fn a_wish_whose_client_has_gone_is_not_worked_on() {
    let bed = Bed::new().await;
    let (gone, stays) = (bed.enrolled().await.device, bed.enrolled().await.device);
    let request = bed.invite().await;
    let mut disk = bed.busy_disk().await;
    let mut first = bed.directory.enrol(request);
    assert!(poll_once(&mut first).is_pending());
    let mut given_up = bed.directory.announce(gone, offer(&["web", "new"]));
    let mut waited_for = bed.directory.announce(stays, offer(&["web", "new"]));
    assert!(poll_once(&mut given_up).is_pending() && poll_once(&mut waited_for).is_pending());
    drop(given_up);
    disk.execute("ROLLBACK").await.unwrap();
    first.await.unwrap();
    assert!(waited_for.await.services.iter().all(Result::is_ok));
    let store = bed.directory.store();
    let services = async |device| store.device(device).await.unwrap().unwrap().services;
    let (of_gone, of_stays) = (services(gone).await.len(), services(stays).await.len());
    assert_eq!((of_gone, of_stays), (1, 2));
}

#[tokio::test]
async fn when_the_disk_is_slow_what_is_known_is_served_and_the_rest_is_told_before_the_client_gives_up() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let mut disk = bed.busy_disk().await;
    // Somebody who writes for a moment is waited for.
    let patient = tokio::spawn({
        let directory = bed.directory.clone();
        async move { directory.announce(device.device, offer(&["web", "soon"])).await }
    });
    tokio::task::yield_now().await;
    disk.execute("ROLLBACK").await.unwrap();
    assert!(patient.await.unwrap().services.iter().all(Result::is_ok));
    let _disk = bed.busy_disk().await;
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    let announced = bed.directory.announce(device.device, offer(&["web", "new"])).await;
    let took = begin.elapsed();
    assert!((limits::CHANGE..limits::DIAL).contains(&took), "{took:?}: {announced:?}");
    let [Ok(web), Err(GrantRefusal::StoreFailed)] = &announced.services[..] else { panic!("{announced:?}") };
    assert_eq!(web.id, device.id);
}

#[tokio::test]
async fn the_line_of_clients_is_bounded_and_the_operator_is_not_in_it() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let mut disk = bed.busy_disk().await;
    let mut waiting: Vec<_> = (0..=limits::CHANGES_WAITING)
        .map(|_| bed.directory.announce(device.device, offer(&["web", "new"])))
        .collect();
    assert!(waiting.iter_mut().all(|it| poll_once(it).is_pending()), "one is being made, the others wait");
    let mut too_many = bed.directory.announce(device.device, offer(&["web", "new"]));
    let Poll::Ready(announced) = poll_once(&mut too_many) else { panic!("the line has no end") };
    assert!(matches!(announced.services[..], [Ok(_), Err(GrantRefusal::StoreFailed)]), "{announced:?}");
    let mut revocation: BoxFuture<'_, _> = Box::pin(bed.directory.revoke(device.device, Actor::Operator));
    assert!(poll_once(&mut revocation).is_pending(), "it waits for its turn");
    drop(waiting);
    disk.execute("ROLLBACK").await.unwrap();
    revocation.await.unwrap();
}

#[tokio::test]
async fn a_change_tells_whom_it_concerns() {
    let bed = Bed::new().await;
    let (a, b) = (bed.enrolled().await, bed.enrolled().await);
    let mut told = bed.directory.changes();
    let alias: Alias = "acme".parse().unwrap();
    let of = |devices: &[DeviceId]| Change { devices: devices.to_vec(), ..Change::default() };

    bed.directory.announce(a.device, offer(&["web"])).await;
    bed.directory.announce(a.device, offer(&["web", "new"])).await;
    bed.directory.rename(a.device, Text::lossy("another")).await;
    assert!(told.is_empty(), "none of it changes what another session has been told");

    bed.directory.add_alias(a.id, alias.clone(), false, Actor::Operator).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), of(&[a.device]));
    bed.directory.remove_alias(a.id, alias.clone(), Actor::Operator).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), of(&[a.device]));
    bed.directory.add_alias(b.id, alias.clone(), true, Actor::Operator).await.unwrap();
    assert_eq!(told.recv().await.unwrap(), of(&[b.device]));
    assert!(bed.directory.remove(b.device, "web".parse().unwrap()).await.unwrap());
    let change = told.recv().await.unwrap();
    assert_eq!((change.devices, change.services_gone), (vec![b.device], vec![b.id]));
    assert_eq!(bed.directory.alias("acme"), None);
    bed.directory.revoke(a.device, Actor::Operator).await.unwrap();
    let change = told.recv().await.unwrap();
    assert!(change.devices.contains(&a.device) && change.services_gone.contains(&a.id), "{change:?}");
    assert!(bed.directory.service(&a.id).is_none());
}

#[tokio::test]
async fn a_client_is_found_by_each_of_its_names() {
    let bed = Bed::new().await;
    let (device, other) = (bed.enrolled().await, bed.enrolled().await);
    bed.directory
        .add_alias(device.id, "acme.example".parse().unwrap(), false, Actor::Operator)
        .await
        .unwrap();
    for name in [device.device.as_str(), device.id.as_str(), "acme.example"] {
        assert_eq!(bed.directory.device_called(name), Some(device.device), "{name}");
    }
    assert_eq!(bed.directory.device_called(other.id.as_str()), Some(other.device));
    assert_eq!(bed.directory.device_called("nobody"), None);
    let name = Text::lossy("the shop");
    assert!(!bed.directory.is_called(&device.device, &name));
    bed.directory.rename(device.device, name.clone()).await;
    assert!(bed.directory.is_called(&device.device, &name));
}

#[tokio::test]
async fn a_registration_that_ends_is_told_though_whoever_asked_for_it_has_gone() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await.device;
    let mut endings = bed.directory.endings();
    {
        let mut asked = Box::pin(bed.directory.revoke(device, Actor::Operator));
        // Begun, and dropped before it is answered.
        assert!(asked.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let told = tokio::time::timeout(Duration::from_secs(10), endings.recv()).await;
    assert_eq!(told.unwrap().unwrap(), device);
}

#[tokio::test]
async fn a_device_that_another_process_has_ended_is_gone_with_its_services_and_aliases() {
    let bed = Bed::new().await;
    let (gone, stays) = (bed.enrolled().await, bed.enrolled().await);
    bed.directory.add_alias(gone.id, "acme".parse().unwrap(), false, Actor::Operator).await.unwrap();
    let (mut told, mut endings) = (bed.directory.changes(), bed.directory.endings());
    bed.directory.forget(gone.device);
    let change = told.recv().await.unwrap();
    assert!(change.devices.contains(&gone.device) && !change.devices.contains(&stays.device), "{change:?}");
    assert_eq!(change.services_gone, [gone.id]);
    assert!(bed.directory.service(&gone.id).is_none() && bed.directory.alias("acme").is_none());
    assert_eq!(bed.directory.device_called(stays.id.as_str()), Some(stays.device));
    assert_eq!(endings.recv().await.unwrap(), gone.device, "the process before this one is told");
}

#[tokio::test]
async fn what_another_process_has_changed_is_known_after_a_reload_and_told_to_whom_it_concerns() {
    let bed = Bed::new().await;
    let (gone, other) = (bed.enrolled().await, bed.enrolled().await);
    bed.directory.announce(other.device, offer(&["web", "old"])).await;
    let old = bed.directory.announced(other.device, &offer(&["old"])).remove(0).unwrap().id;
    let mut told = bed.directory.changes();
    // As another process does: not through this directory.
    let store = bed.directory.store();
    store.revoke(gone.device, Actor::Operator).await.unwrap();
    store.remove_service(other.device, "old".parse().unwrap()).await.unwrap();
    store.add_alias(other.id, "acme".parse().unwrap(), false, Actor::Operator).await.unwrap();
    let (new, _) = store.enrol(bed.invite().await, bed.directory.enrolment_terms()).await.unwrap().unwrap();
    assert!(bed.directory.alias("acme").is_none() && bed.directory.service(&gone.id).is_some());

    bed.directory.reload().await.unwrap();
    assert_eq!(bed.directory.alias("acme"), Some(other.id));
    assert!(bed.directory.service(&gone.id).is_none() && bed.directory.service(&old).is_none());
    assert_eq!(bed.directory.device_called(new.id.as_str()), Some(new.device));
    let Change { devices, services_gone, policies_of: _, policies: _ } = told.recv().await.unwrap();
    assert!([gone.device, other.device].iter().all(|device| devices.contains(device)), "{devices:?}");
    assert!(services_gone.len() == 2 && services_gone.contains(&gone.id) && services_gone.contains(&old));
}

#[tokio::test]
async fn a_new_service_under_a_policy_tells_nobody_and_another_policy_of_one_service_its_client_alone() {
    let bed = Bed::new().await;
    let policy = |name: &str, target: &str| PolicyEdit {
        services: Some(vec![target.parse().unwrap()]),
        ..PolicyEdit::of(name.parse().unwrap())
    };
    bed.directory.set_policy(policy("all", "default"), Actor::Operator).await.unwrap();
    bed.directory.set_policy(policy("some", "acme"), Actor::Operator).await.unwrap();
    let mut told = bed.directory.changes();
    let client = bed.enrolled().await;
    bed.directory.announce(client.device, offer(&["web", "more"])).await;
    assert!(told.try_recv().is_err(), "nobody has been told otherwise before");
    let policy_of = |id| bed.directory.service(&id).and_then(|route| Some(route.policy?.name.to_string()));
    assert_eq!(policy_of(client.id).as_deref(), Some("all"));
    bed.directory.add_alias(client.id, "acme".parse().unwrap(), false, Actor::Operator).await.unwrap();
    assert_eq!(policy_of(client.id).as_deref(), Some("some"));
    let Change { devices, services_gone, policies_of, policies } = told.try_recv().unwrap();
    assert!(devices.contains(&client.device) && services_gone.is_empty());
    assert_eq!((policies_of, policies), (vec![client.id], false));
}
