use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use petit_client::config::KeyStore;
use petit_client::enrol::{Done, Existing};
use petit_client::registering::Order;
use petit_engine::cause::Cause;
use petit_engine::name::ServiceName;
use petit_engine::proto::control::ProbeResult;
use petit_host::BoxFuture;
use petit_host::logs::Level;
use tempfile::TempDir;

use super::*;
use crate::facts::TroubleKind;
use crate::link::LinkError;
use crate::testing::at;
use crate::{App, start};

/// A client that does what it is told and writes it down.
struct FakeLink {
    owner: Owner,
    statuses: watch::Receiver<Option<Status>>,
    did: mpsc::UnboundedSender<String>,
}

impl FakeLink {
    fn did(&self, what: impl Into<String>) {
        let _ = self.did.send(what.into());
    }
}

impl Link for FakeLink {
    fn owner(&self) -> Owner {
        self.owner
    }
    fn statuses(&self) -> watch::Receiver<Option<Status>> {
        self.statuses.clone()
    }
    fn status(&self) -> BoxFuture<'_, Option<Status>> {
        self.did("status");
        Box::pin(async { self.statuses.borrow().clone() })
    }
    fn switch(&self, on: bool) -> BoxFuture<'_, Result<(), LinkError>> {
        self.did(if on { "on" } else { "off" });
        Box::pin(async { Ok(()) })
    }
    fn unlock(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        self.did("unlock");
        Box::pin(async { Ok(()) })
    }
    fn install_update(&self) -> Result<(), LinkError> {
        self.did("install");
        Ok(())
    }
    fn register(&self, order: Order) -> BoxFuture<'_, Result<Done, LinkError>> {
        self.did("register");
        let Order { invite, terms, .. } = order;
        let done = Done {
            server: invite.server,
            vendor: invite.vendor,
            device: "abcdefghijklmnopqrstuvwxyz".parse().unwrap(),
            service: ServiceName::first(),
            id: "abcdefghijklmnop".parse().unwrap(),
            url: "https://abcdefghijklmnop.example.com".to_owned(),
            key_store: terms.key_store,
            withheld: BTreeSet::new(),
            former: None,
        };
        Box::pin(async { Ok(done) })
    }
    fn share(&self, names: Vec<ServiceName>) -> BoxFuture<'_, Result<(), LinkError>> {
        self.did(format!("share {names:?}"));
        Box::pin(async { Ok(()) })
    }
    fn unregister(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        self.did("unregister");
        Box::pin(async { Ok(()) })
    }
    fn forget(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        self.did("forget");
        Box::pin(async { Ok(()) })
    }
    fn probe(&self, _: ServiceName) -> BoxFuture<'_, Result<Option<ProbeResult>, LinkError>> {
        Box::pin(async { Ok(None) })
    }
    fn remove(&self, service: ServiceName) -> BoxFuture<'_, Result<(), LinkError>> {
        self.did(format!("remove {service}"));
        Box::pin(async { Ok(()) })
    }
    fn reload(&self) -> BoxFuture<'_, Result<(), LinkError>> {
        self.did("reload");
        Box::pin(async { Ok(()) })
    }
    fn log(&self, level: Level) -> BoxFuture<'_, Result<(), LinkError>> {
        self.did(format!("log {level}"));
        Box::pin(async { Ok(()) })
    }
    fn end(&self) -> BoxFuture<'_, ()> {
        self.did("end");
        Box::pin(async {})
    }
}

/// Hands out what it was given, in order; then there is trouble.
struct FakeLinks {
    given: Mutex<std::collections::VecDeque<Opened>>,
    trouble: TroubleKind,
    did: mpsc::UnboundedSender<String>,
}

impl Links for FakeLinks {
    fn open(&self, texts: Texts) -> BoxFuture<'_, Opened> {
        Box::pin(async move {
            let next = self.given.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            next.unwrap_or_else(|| {
                let _ = self.did.send("opened in vain".to_owned());
                let words = words::words(&texts, "problem.folder", &[]);
                Opened::Trouble { trouble: Trouble { kind: self.trouble, words }, problem: None }
            })
        })
    }
}

struct Login(AtomicBool);

impl LoginItem for Login {
    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    fn set(&self, on: bool) -> Result<(), String> {
        self.0.store(on, Ordering::Relaxed);
        Ok(())
    }
}

struct Test {
    dir: TempDir,
    links: Arc<FakeLinks>,
    did: mpsc::UnboundedReceiver<String>,
    doing: mpsc::UnboundedSender<String>,
    asked: Option<mpsc::Sender<SocketCommand>>,
}

impl Test {
    fn new() -> Self {
        Self::in_trouble(TroubleKind::Folder)
    }

    /// With trouble of a kind when no client is given.
    fn in_trouble(trouble: TroubleKind) -> Self {
        let (doing, did) = mpsc::unbounded_channel();
        let links = FakeLinks { given: Mutex::default(), trouble, did: doing.clone() };
        Self { dir: tempfile::tempdir().unwrap(), links: Arc::new(links), did, doing, asked: None }
    }

    fn folder(&self) -> Folder {
        Folder::of(&self.dir.path().join("config.toml"))
    }

    /// The next client; dropping what this returns ends it.
    fn link(&mut self, owner: Owner, connection: Option<Connection>) -> watch::Sender<Option<Status>> {
        let (sender, statuses) = watch::channel(connection.map(at));
        let link = Arc::new(FakeLink { owner, statuses, did: self.doing.clone() });
        self.links.given.lock().unwrap().push_back(Opened::Link(link));
        sender
    }

    fn start(&mut self) -> (App, mpsc::Receiver<Note>) {
        let (asked, inbox) = mpsc::channel(4);
        self.asked = Some(asked);
        registration::save(&self.folder(), &crate::testing::registration()).unwrap();
        // A wall clock that goes with the paused one of the runtime.
        let (wall, begin) = (UNIX_EPOCH + Duration::from_secs(1_000_000), Instant::now());
        start(Inputs {
            folder: self.folder(),
            links: Arc::clone(&self.links) as _,
            asked: inbox,
            login: Arc::new(Login(AtomicBool::new(false))),
            clock: Arc::new(move || -> SystemTime { wall + begin.elapsed() }),
            is_root: false,
        })
    }

    async fn did(&mut self) -> String {
        // Longer than a pause; on a paused clock, what never comes is missed at once all the same.
        tokio::time::timeout(Duration::from_secs(86_400), self.did.recv()).await.unwrap().unwrap()
    }
}

async fn until(app: &App, what: impl Fn(&Shown) -> bool) -> Arc<Shown> {
    let mut shown = app.shown();
    Arc::clone(&*shown.wait_for(|shown| what(shown)).await.unwrap())
}

async fn until_kind(app: &App, kind: StateKind) -> Arc<Shown> {
    until(app, |shown| shown.view.state.kind == kind).await
}

const ONLINE: Connection = Connection::Online { since: 5 };
const LOST: Connection = Connection::Waiting { cause: Cause::Lost, retry_in_ms: 8000 };

#[tokio::test(start_paused = true)]
async fn it_goes_online_by_itself_and_remembers_that_it_was_stopped() {
    let mut test = Test::new();
    let link = test.link(Owner::Ours, Some(Connection::Off));
    let (app, _notes) = test.start();
    assert_eq!(test.did().await, "on");
    assert_eq!(test.did().await, "unlock");
    link.send_replace(Some(at(ONLINE)));
    until_kind(&app, StateKind::Online).await;
    app.stop().await.unwrap();
    assert_eq!(test.did().await, "off");
    let shown = until_kind(&app, StateKind::Off).await;
    assert!(shown.view.can.start && !shown.view.can.stop);
    app.end().await;
    assert_eq!(test.did().await, "end");

    // As after a crash: the desired state is what was asked for last.
    let _link = test.link(Owner::Ours, Some(Connection::Off));
    let (app, _notes) = test.start();
    assert_eq!(test.did().await, "off");
    until_kind(&app, StateKind::Off).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_by_itself() {
    let mut test = Test::new();
    let _link = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    let (_, _) = (test.did().await, test.did().await);
    let begin = Instant::now();
    app.pause(PauseFor::QuarterHour).await.unwrap();
    assert_eq!(test.did().await, "off");
    let shown = until_kind(&app, StateKind::Paused).await;
    assert_eq!(shown.view.state.until, Some(1_000_000 + 15 * 60));
    assert!(shown.view.can.resume);
    assert_eq!(test.did().await, "on");
    assert_eq!(begin.elapsed().as_secs(), 15 * 60);
    until_kind(&app, StateKind::Online).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_can_be_ended_early_and_its_end_changes_nothing_then() {
    let mut test = Test::new();
    let _link = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    let (_, _) = (test.did().await, test.did().await);
    app.pause(PauseFor::Tomorrow).await.unwrap();
    app.start().await.unwrap();
    app.stop().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3 * 24 * 3600)).await;
    assert_eq!([test.did().await, test.did().await, test.did().await], ["off", "on", "off"]);
    assert!(test.did.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn another_process_is_shown_and_taken_over_from_when_it_ends() {
    let mut test = Test::new();
    let theirs = test.link(Owner::Another { pid: Some(7) }, Some(ONLINE));
    let ours = test.link(Owner::Ours, Some(Connection::Off));
    let (app, _notes) = test.start();
    let shown = until_kind(&app, StateKind::Online).await;
    assert!(shown.view.notices.iter().any(|notice| notice.id == "other" && notice.text.contains('7')));
    assert!(test.did.try_recv().is_err(), "it is not fought");
    assert_eq!(app.pause(PauseFor::Hour).await.unwrap_err().code, "not_with_other");
    drop(theirs);
    assert_eq!([test.did().await, test.did().await], ["on", "unlock"]);
    let shown = until_kind(&app, StateKind::Connecting).await;
    assert!(shown.view.notices.iter().all(|notice| notice.id != "other"));
    drop(ours);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_over_the_socket_is_a_wish_like_any_other() {
    let mut test = Test::new();
    let _link = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    let (_, _) = (test.did().await, test.did().await);
    let (done, is_done) = oneshot::channel();
    test.asked.as_ref().unwrap().send(SocketCommand::Stop(done)).await.unwrap();
    is_done.await.unwrap();
    assert_eq!(test.did().await, "off");
    until_kind(&app, StateKind::Off).await;
    assert_eq!(Remembered::load(&test.folder()).desired, DesiredState::Off);
    test.asked.as_ref().unwrap().send(SocketCommand::Start).await.unwrap();
    assert_eq!(test.did().await, "on");
}

#[tokio::test(start_paused = true)]
async fn a_keychain_that_is_not_there_is_tried_again_and_a_person_is_not_pestered() {
    let mut test = Test::new();
    let missing = || Connection::NoKey { trouble: KeyTrouble::Missing };
    let link = test.link(Owner::Ours, Some(Connection::NoKey { trouble: KeyTrouble::Asked }));
    let (app, mut notes) = test.start();
    let (_, _) = (test.did().await, test.did().await);
    let begin = Instant::now();
    link.send_replace(Some(at(missing())));
    let shown = until(&app, |shown| shown.tray.attention).await;
    assert_eq!(shown.view.state.kind, StateKind::Locked);
    assert!(notes.recv().await.is_some());
    assert_eq!(test.did().await, "unlock");
    assert_eq!(begin.elapsed().as_secs(), 5);
    link.send_replace(Some(at(Connection::NoKey { trouble: KeyTrouble::Asked })));
    link.send_replace(Some(at(missing())));
    assert_eq!(test.did().await, "unlock");
    assert!(begin.elapsed().as_secs() >= 15, "less often each time");
    // Somebody said no: only they can change their mind.
    link.send_replace(Some(at(Connection::NoKey { trouble: KeyTrouble::Denied })));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(test.did.try_recv().is_err());
    app.unlock().await.unwrap();
    assert_eq!(test.did().await, "unlock");
}

#[tokio::test(start_paused = true)]
async fn a_click_has_the_version_installed_that_is_there() {
    let mut test = Test::new();
    let _link = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    assert_eq!([test.did().await, test.did().await], ["on", "unlock"]);
    app.install_update().await.unwrap();
    assert_eq!(test.did().await, "install");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_after_a_minute_though_nothing_happens_meanwhile() {
    let mut test = Test::new();
    let link = test.link(Owner::Ours, Some(ONLINE));
    let (app, mut notes) = test.start();
    until_kind(&app, StateKind::Online).await;
    link.send_replace(Some(at(LOST)));
    until_kind(&app, StateKind::Waiting).await;
    let begin = Instant::now();
    let note = notes.recv().await.unwrap();
    assert_eq!(note.about, crate::notes::About::Down);
    assert!((59..=62).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    link.send_replace(Some(at(ONLINE)));
    assert_eq!(notes.recv().await.unwrap().about, crate::notes::About::Back);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_statuses_is_shown_five_times_a_second() {
    let mut test = Test::new();
    let link = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    until_kind(&app, StateKind::Online).await;
    let mut shown = app.shown();
    shown.mark_unchanged();
    let storm = tokio::spawn(async move {
        for round_trip in 0..1000 {
            let mut status = at(ONLINE);
            status.services[0].visits = round_trip;
            link.send_replace(Some(status));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        link
    });
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(9) {
        shown.changed().await.unwrap();
        count += 1;
    }
    assert!((40..=50).contains(&count), "{count}");
    let link = storm.await.unwrap();
    until(&app, |shown| shown.view.services[0].visits == 999).await;
    drop(link);
}

#[tokio::test(start_paused = true)]
async fn counters_are_read_only_while_somebody_looks() {
    let mut test = Test::new();
    let _link = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    let (_, _) = (test.did().await, test.did().await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(test.did.try_recv().is_err());
    app.window(true, None).await;
    let begin = Instant::now();
    for _ in 0..6 {
        assert_eq!(test.did().await, "status");
    }
    assert_eq!(begin.elapsed().as_secs(), 10);
    app.window(false, Some((900, 700))).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    while test.did.try_recv().is_ok() {}
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(test.did.try_recv().is_err());
    assert_eq!(Remembered::load(&test.folder()).window, Some((900, 700)));
}

#[tokio::test(start_paused = true)]
async fn trouble_is_shown_and_looked_at_again() {
    let mut test = Test::new();
    let (app, _notes) = test.start();
    let shown = until_kind(&app, StateKind::Broken).await;
    assert!(shown.view.can.start && !shown.view.headline.detail.is_empty());
    let _link = test.link(Owner::Ours, Some(ONLINE));
    let begin = Instant::now();
    until_kind(&app, StateKind::Online).await;
    assert!(begin.elapsed() <= Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn preferences_are_in_force_at_once_and_kept() {
    let mut test = Test::new();
    let _link = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    let shown = until_kind(&app, StateKind::Online).await;
    let prefs = Prefs { lang: "de".into(), start_on_login: true, ..shown.prefs.clone() };
    app.set_prefs(prefs.clone()).await.unwrap();
    let boot = app.boot("1", crate::contract::Opening::default());
    assert_eq!((boot.lang.as_str(), &boot.prefs), ("de", &prefs));
    assert_eq!(Remembered::load(&test.folder()).lang, "de");
    assert_eq!(
        app.now().tray.line,
        "Läuft: localhost:3000 ist offen für Besucher von Nordlicht (tunnel.example.com)"
    );
}

#[tokio::test(start_paused = true)]
async fn settings_that_do_not_come_online_are_taken_back() {
    let mut test = Test::new();
    let link = test.link(Owner::Ours, Some(ONLINE));
    std::fs::write(&test.folder().config, "[client]\n").unwrap();
    let (app, _notes) = test.start();
    until_kind(&app, StateKind::Online).await;
    let (_, _) = (test.did().await, test.did().await);
    let good = "[client]\nlog_level = \"warn\"\n";
    let applied = app.apply_settings(good).await.unwrap();
    assert!(applied.done && !applied.rolled_back);
    assert_eq!(test.did().await, "reload");

    let changed = tokio::spawn(async move {
        assert_eq!(test.did().await, "reload");
        link.send_replace(Some(at(LOST)));
        assert_eq!(test.did().await, "reload", "the former ones are read again");
        (test, link)
    });
    let applied = app.apply_settings("[client]\nlog_level = \"debug\"\n").await.unwrap();
    assert!(!applied.done && applied.rolled_back, "{applied:?}");
    let (test, _link) = changed.await.unwrap();
    assert_eq!(std::fs::read_to_string(&test.folder().config).unwrap(), good);

    let applied = app.apply_settings("[client]\nlog_level = 3\n").await.unwrap();
    assert!(!applied.done && !applied.rolled_back);
    assert_eq!(std::fs::read_to_string(&test.folder().config).unwrap(), good);
}

#[tokio::test(start_paused = true)]
async fn a_client_in_this_process_that_does_not_stay_ends_the_app() {
    let mut test = Test::new();
    let ours = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    until_kind(&app, StateKind::Online).await;
    drop(ours);
    tokio::time::timeout(Duration::from_secs(86_400), app.ended()).await.unwrap();
    assert_eq!(app.start().await.unwrap_err().code, "ending");
}

#[tokio::test(start_paused = true)]
async fn services_are_set_and_removed_by_name() {
    let mut test = Test::new();
    let _link = test.link(Owner::Ours, Some(ONLINE));
    std::fs::write(&test.folder().config, "# mine\n[client]\n").unwrap();
    let (app, _notes) = test.start();
    until_kind(&app, StateKind::Online).await;
    let (_, _) = (test.did().await, test.did().await);
    let service = |name: &str, target: &str| crate::contract::FormService {
        name: name.into(),
        kind: ServiceKind::Http,
        target: target.into(),
    };
    app.set_service(None, service("web", "3000")).await.unwrap();
    assert_eq!(test.did().await, "reload");
    let text = std::fs::read_to_string(&test.folder().config).unwrap();
    assert!(text.starts_with("# mine\n") && text.contains("target = \"localhost:3000\""), "{text}");
    let refused = app.set_service(None, service("web", "1")).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.field.as_deref()), ("exists", Some("name")));
    assert_eq!(app.set_service(None, service("Web!", "1")).await.unwrap_err().field.as_deref(), Some("name"));
    assert_eq!(app.set_service(None, service("db", "x")).await.unwrap_err().field.as_deref(), Some("target"));
    app.set_service(Some("web"), service("shop", "localhost:4")).await.unwrap();
    app.remove_service("shop", true).await.unwrap();
    let did: Vec<String> = std::iter::from_fn(|| test.did.try_recv().ok()).collect();
    assert_eq!(did, ["reload", "reload", "remove shop"]);
    assert_eq!(app.remove_service("shop", false).await.unwrap_err().code, "no_service");
    assert!(app.settings().unwrap().form.unwrap().services.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_computer_that_was_registered_is_told_so_when_its_config_file_cannot_be_changed() {
    let mut test = Test::new();
    let _link = test.link(Owner::Ours, Some(ONLINE));
    std::fs::write(&test.folder().config, "[client]\nlog_levle = 1\n").unwrap();
    let (app, _notes) = test.start();
    until_kind(&app, StateKind::Online).await;
    let invite = petit_engine::invite::Invite {
        server: "tunnel.example.com:8453".parse().unwrap(),
        pins: vec![petit_engine::secret::Fingerprint([1; 32])],
        id: petit_engine::secret::InviteId([2; 16]),
        secret: petit_engine::secret::InviteSecret::from_bytes([3; 32]),
        not_after: UNIX_EPOCH,
        vendor: None,
    };
    let done = app.register(invite.to_link(), KeyStore::File, Existing::Replace).await.unwrap();
    assert_eq!(done.url, "https://abcdefghijklmnop.example.com");
    let text = std::fs::read_to_string(&test.folder().config).unwrap();
    assert!(!text.contains("key_store"), "it was changed: {text}");
}

#[tokio::test(start_paused = true)]
async fn forgetting_tells_the_server_unless_it_does_not_know_us() {
    let mut test = Test::new();
    let link = test.link(Owner::Ours, Some(ONLINE));
    let (app, _notes) = test.start();
    until_kind(&app, StateKind::Online).await;
    let (_, _) = (test.did().await, test.did().await);
    app.forget(false).await.unwrap();
    assert_eq!(test.did().await, "unregister");
    link.send_replace(Some(at(Connection::Stopped { cause: Cause::Unknown })));
    until_kind(&app, StateKind::Stopped).await;
    app.forget(false).await.unwrap();
    assert_eq!(test.did().await, "forget");
    link.send_replace(Some(at(LOST)));
    until_kind(&app, StateKind::Waiting).await;
    let begin = Instant::now();
    assert_eq!(app.forget(false).await.unwrap_err().code, "offline");
    assert_eq!(begin.elapsed().as_secs(), 15);
    app.forget(true).await.unwrap();
}

/// The states in which something is offered, each with what leads to it.
fn states() -> Vec<(DesiredState, Result<Connection, TroubleKind>)> {
    let mut states = vec![
        (DesiredState::On, Ok(Connection::Unregistered)),
        (DesiredState::On, Ok(Connection::Connecting)),
        (DesiredState::On, Ok(ONLINE)),
        (DesiredState::Off, Ok(Connection::Off)),
        (DesiredState::Paused { until: 2_000_000 }, Ok(Connection::Off)),
    ];
    for cause in crate::testing::causes() {
        states.push((DesiredState::On, Ok(Connection::Waiting { cause, retry_in_ms: 8000 })));
        states.push((DesiredState::On, Ok(Connection::Stopped { cause })));
    }
    let troubles = crate::testing::key_troubles();
    states.extend(troubles.into_iter().map(|trouble| (DesiredState::On, Ok(Connection::NoKey { trouble }))));
    let kinds = [TroubleKind::Config, TroubleKind::Folder, TroubleKind::Damaged];
    states.extend(kinds.map(|kind| (DesiredState::On, Err(kind))));
    states
}

fn kind_of(desired: DesiredState, state: &Result<Connection, TroubleKind>) -> StateKind {
    match (desired, state) {
        (DesiredState::Off, _) => StateKind::Off,
        (DesiredState::Paused { .. }, _) => StateKind::Paused,
        (DesiredState::On, Ok(Connection::Unregistered)) => StateKind::Unregistered,
        (DesiredState::On, Ok(Connection::Connecting | Connection::Off)) => StateKind::Connecting,
        (DesiredState::On, Ok(Connection::Online { .. })) => StateKind::Online,
        (DesiredState::On, Ok(Connection::Waiting { .. })) => StateKind::Waiting,
        (DesiredState::On, Ok(Connection::Stopped { .. })) => StateKind::Stopped,
        (DesiredState::On, Ok(Connection::NoKey { .. })) => StateKind::Locked,
        (DesiredState::On, Err(_)) => StateKind::Broken,
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_offered_in_a_state_does_something_there() {
    use crate::contract::ActionName;
    for (desired, state) in states() {
        let mut seen = BTreeSet::new();
        loop {
            let mut test = Test::in_trouble(state.clone().err().unwrap_or(TroubleKind::Folder));
            let memory = Remembered { desired, ..Remembered::default() };
            memory.save(&test.folder()).unwrap();
            let _link = state.clone().ok().map(|connection| test.link(Owner::Ours, Some(connection)));
            let (app, _notes) = test.start();
            let shown = until_kind(&app, kind_of(desired, &state)).await;
            let Some(action) = shown.view.actions.iter().find(|action| !seen.contains(&action.name)) else {
                break;
            };
            seen.insert(action.name);
            // What the start itself did is over.
            tokio::time::sleep(Duration::from_millis(1)).await;
            while test.did.try_recv().is_ok() {}
            let expected = match action.name {
                ActionName::Start | ActionName::Resume => {
                    app.start().await.unwrap();
                    if state.is_ok() { "on" } else { "opened in vain" }
                }
                ActionName::Stop => {
                    app.stop().await.unwrap();
                    "off"
                }
                ActionName::Unlock => {
                    app.unlock().await.unwrap();
                    "unlock"
                }
                // These lead to pages, which take over from there; the first needs a client to register.
                ActionName::Register => {
                    assert!(app.link().is_ok() || state == Err(TroubleKind::Damaged), "{state:?}");
                    continue;
                }
                ActionName::Services | ActionName::Settings => {
                    app.settings().unwrap();
                    continue;
                }
                ActionName::Diagnostics => continue,
            };
            assert_eq!(test.did().await, expected, "{:?} in {state:?}", action.name);
        }
    }
}
