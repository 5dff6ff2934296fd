//! What the page's tests and pictures are drawn from: the program's own answers to states that are worth a look, in
//! both languages. They stand in `ui/test/lib/examples.json`, which a test here compares with what is said today.
//!
//! ```text
//! PETIT_EXAMPLES=write cargo test -p petit-app --lib examples     writes the file anew
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use petit_client::config::{self, Config, KeyStore};
use petit_client::consent::Withheld;
use petit_client::doctor::{Fact, Fault, Finding, Found, Subject};
use petit_client::registering::Prospect;
use petit_client::registration::{Known, Registration};
use petit_client::status::{
    BrokenAt, Connection, KeyTrouble, ServiceStatus, Status, UpdateFault, UpdatePlan, VersionStanding,
};
use petit_engine::cause::{Cause, FrontCause, FrontUntried, ServiceCause};
use petit_engine::invite::{InvalidInvite, Invite};
use petit_engine::name::{ServerAddr, ServiceName};
use petit_engine::proto::control::{Admits, EnrolRefusal, ServiceKind, Text};
use petit_engine::secret::{Fingerprint, InviteId, InviteSecret};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::contract::{FormService, Refused, Traffic, View};
use super::facts::{Facts, Owner, Trouble, TroubleKind};
use super::notes::Watcher;
use super::prefs::{DesiredState, Remembered};
use super::testing::{at, broken, every_state, online, service, standing, trying, up_to_server};
use super::texts::{LANGUAGES, Texts};
use super::traffic::{Collector, SAMPLE};
use super::tray::{self, Item, TrayModel};
use super::view;
use super::{checks, form, found, mistakes, settings, told, words};
use crate::listening::{self, TargetAnswer};

/// The moment of every picture: Tuesday, 24 November 2026, 10:42 UTC.
const NOW: u64 = 1_795_516_920;
const SERVER: &str = "tunnel.nordlicht.example:8453";
const CONFIG: &str = include_str!("../../ui/test/lib/config.toml");
const CONFIG_PATH: &str = "/home/anna/.petit/config.toml";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

/// A key's fingerprint that has as many different bytes as a real one.
fn key(step: u8) -> Fingerprint {
    Fingerprint(std::array::from_fn(|at| (at as u8 + 1).wrapping_mul(step)))
}

/// A computer of nobody's, so that the examples are the same on each.
fn config() -> Config {
    let fact = |name: &str, value: &str| (Text::lossy(name), Text::lossy(value));
    Config {
        device_name: Some(Text::lossy("Front desk")),
        vitae: [fact("hostname", "desk-3"), fact("platform", "linux"), fact("arch", "x86_64")].into(),
        ..Config::default()
    }
}

fn registration() -> Registration {
    Registration {
        server: SERVER.parse().unwrap(),
        pins: vec![key(37)],
        key: key(89),
        since: Some(NOW - 12 * 86_400),
        service: "accounts".parse().unwrap(),
        ..super::testing::registration()
    }
}

fn invite(not_after: u64) -> Invite {
    Invite {
        server: SERVER.parse().unwrap(),
        pins: vec![key(37)],
        id: InviteId([2; 16]),
        secret: InviteSecret::from_bytes([3; 32]),
        not_after: UNIX_EPOCH + Duration::from_secs(not_after),
        vendor: Some("Nordlicht".parse().unwrap()),
    }
}

// ---- states -----------------------------------------------------------------------------------------

fn accounts() -> ServiceStatus {
    let mut accounts = service("accounts");
    accounts.target = "localhost:8080".parse().unwrap();
    accounts.url = Some("https://k3v5qyz2m7wbn4ta.nordlicht.example".to_owned());
    accounts.aliases = vec!["meyer".parse().unwrap()];
    accounts.admits = Some(Admits::Chosen);
    (accounts.visits, accounts.active) = (1284, 2);
    (accounts.to_service_bytes, accounts.from_service_bytes) = (18_240_000, 412_900_000);
    let probe = json!({ "front_us": 2_100, "tunnel_us": 18_400, "service_us": 12_700, "broken": null });
    accounts.probe = Some(serde_json::from_value(probe).unwrap());
    if let Some(proved) = &mut accounts.proved {
        proved.at = NOW - 24;
    }
    accounts
}

fn archive() -> ServiceStatus {
    let mut archive = accounts();
    archive.name = "archive".parse().unwrap();
    archive.kind = ServiceKind::Tcp;
    archive.target = "nas.local:5432".parse().unwrap();
    archive.url = Some("tcp://tunnel.nordlicht.example:20014".to_owned());
    archive.aliases.clear();
    archive.admits = Some(Admits::Anyone);
    (archive.visits, archive.active) = (12, 0);
    (archive.to_service_bytes, archive.from_service_bytes) = (240_000, 1_400_000);
    archive
}

/// What was set up before it was there.
fn nowhere() -> ServiceStatus {
    let mut nowhere = quiet(accounts());
    nowhere.name = "web".parse().unwrap();
    nowhere.target = "localhost:9999".parse().unwrap();
    nowhere.aliases.clear();
    nowhere.proved = None;
    nowhere.visits = 0;
    (nowhere.to_service_bytes, nowhere.from_service_bytes) = (0, 0);
    nowhere
}

/// Something that has not been reached for a while.
fn quiet(mut service: ServiceStatus) -> ServiceStatus {
    service.active = 0;
    if let Some(proved) = &mut service.proved {
        proved.at = NOW - 340;
    }
    service
}

fn connected(services: Vec<ServiceStatus>) -> Status {
    let mut status = online(services);
    status.connection = Connection::Online { since: NOW - 8040 };
    status.round_trip_us = Some(18_400);
    if let Some(registered) = &mut status.registered {
        registered.server = SERVER.parse().unwrap();
        registered.vendor = Some("Nordlicht".parse().unwrap());
    }
    status
}

/// A client with one service, not connected.
fn resting(connection: Connection) -> Status {
    standing(connected(vec![quiet(accounts())]), connection)
}

/// A state that is worth a look.
#[derive(Clone)]
struct Example {
    name: &'static str,
    desired: DesiredState,
    status: Option<Status>,
    trouble: Option<TroubleKind>,
    /// With everything that there may be to say beside the state.
    noted: bool,
}

fn examples() -> Vec<Example> {
    let plain = |name, status| Example {
        name,
        desired: DesiredState::On,
        status: Some(status),
        trouble: None,
        noted: false,
    };
    let wished = |name, desired| Example { desired, ..plain(name, resting(Connection::Off)) };
    let two = || vec![accounts(), archive()];
    let down = |service| broken(quiet(service), BrokenAt::Service(ServiceCause::Refused));
    let closed = |service| broken(quiet(service), BrokenAt::Front(FrontCause::CertificateExpired));
    let mut withheld = connected(vec![]);
    withheld.withheld = vec![
        Withheld {
            name: "accounts".parse().unwrap(),
            kind: ServiceKind::Http,
            target: target("localhost:8080"),
        },
        Withheld {
            name: "archive".parse().unwrap(),
            kind: ServiceKind::Tcp,
            target: target("nas.local:5432"),
        },
    ];
    vec![
        plain("unregistered", at(Connection::Unregistered)),
        plain("online", connected(vec![accounts()])),
        plain("twoServices", connected(two())),
        plain("serviceDown", connected(vec![down(accounts()), archive()])),
        plain("notThere", connected(vec![down(nowhere())])),
        plain("frontBroken", connected(vec![closed(accounts())])),
        plain("upToServer", connected(vec![up_to_server(accounts(), FrontUntried::Unreachable)])),
        plain("checking", connected(vec![trying(quiet(accounts()))])),
        plain("empty", connected(vec![])),
        plain("withheld", withheld),
        wished("off", DesiredState::Off),
        wished("paused", DesiredState::Paused { until: NOW + 780 }),
        plain("connecting", resting(Connection::Connecting)),
        plain("waiting", resting(Connection::Waiting { cause: Cause::NameNotFound, retry_in_ms: 8000 })),
        plain("stopped", resting(Connection::Stopped { cause: Cause::Unknown })),
        plain("locked", resting(Connection::NoKey { trouble: KeyTrouble::Locked })),
        Example { status: None, trouble: Some(TroubleKind::Damaged), ..plain("broken", at(Connection::Off)) },
        Example { noted: true, ..plain("notices", connected(vec![accounts()])) },
        plain("newer", newer(UpdatePlan::Other)),
        plain("outdated", outdated()),
        plain("installable", newer(UpdatePlan::Window)),
        plain("updating", newer(UpdatePlan::Now { fetched: Some(37) })),
        plain("installing", newer(UpdatePlan::Now { fetched: None })),
        plain("notSigned", newer(UpdatePlan::Failed { why: UpdateFault::NotSigned })),
    ]
}

/// While there is another version.
fn newer(plan: UpdatePlan) -> Status {
    Status { available: "0.2.0".parse().ok(), update: Some(plan), ..connected(vec![accounts()]) }
}

/// While this one is not to be used any more.
fn outdated() -> Status {
    Status { standing: Some(VersionStanding::Revoked), ..newer(UpdatePlan::Other) }
}

fn target(text: &str) -> ServerAddr {
    text.parse().unwrap()
}

/// Two minutes of an office's morning, counted as the app counts them.
fn morning() -> Traffic {
    let start = Instant::now();
    let mut collector = Collector::new(start);
    let mut status = connected(vec![accounts()]);
    for n in 0..60_u32 {
        // Two waves over each other, and now and then a silence.
        let wave = (f64::from(n) / 6.1).sin() + 0.7 * (f64::from(n) / 2.3 + 1.0).sin();
        let visits = if n % 9 == 4 || wave < 0.0 { 0 } else { (wave * 5.0).round() as u64 };
        status.services[0].visits += visits;
        status.services[0].to_service_bytes += visits * 2_100 + u64::from(n % 4) * 400;
        status.services[0].from_service_bytes += visits * 28_000;
        collector.read(&status, start + SAMPLE * n);
    }
    collector.traffic(start + SAMPLE * 59)
}

/// The same while nobody visits.
fn silence() -> Traffic {
    let start = Instant::now();
    Collector::new(start).traffic(start + SAMPLE * 59)
}

fn view_of(texts: &Texts, example: &Example) -> View {
    let (known, config) = (registration(), config());
    let why = |kind| match kind {
        TroubleKind::Config => words::words(texts, "problem.config.broken", &[]),
        TroubleKind::Folder => words::words(texts, "problem.config.unreadable", &[]),
        TroubleKind::Damaged => words::words(texts, "problem.registration.damaged", &[]),
    };
    let trouble = example.trouble.map(|kind| Trouble { kind, words: why(kind) });
    let problem = mistakes::problems(texts, Path::new(CONFIG_PATH), &wrong()).into_iter().next();
    let connection = example.status.as_ref().map(|status| &status.connection);
    let is_registered = !matches!(connection, Some(Connection::Unregistered))
        && example.trouble != Some(TroubleKind::Damaged);
    let busy = example.status.iter().flat_map(|status| &status.services).any(|service| service.active > 0);
    view::view(Facts {
        texts,
        now: now(),
        desired: example.desired,
        owner: if example.noted { Owner::Another { pid: Some(4711) } } else { Owner::Ours },
        status: example.status.as_ref(),
        registration: is_registered.then_some(&known),
        configured: &[],
        config: &config,
        trouble: trouble.as_ref(),
        config_problem: problem.as_ref().filter(|_| example.noted),
        traffic: if busy { morning() } else { silence() },
        since: Some(NOW - 300),
        no_tray: example.noted,
        is_root: example.noted,
    })
}

// ---- everything else that is said ----------------------------------------------------------------------

fn wrong() -> String {
    CONFIG
        .replace("target = \"localhost:8080\"", "targt = \"localhost:8080\"")
        .replace("\"nas.local:5432\"", "\"nas.local\"")
}

/// The config file as its editor shows it: as it is, changed, with mistakes, and one that is no TOML.
fn settings_of(of: &Texts) -> Value {
    let texts = [
        ("good", CONFIG.to_owned()),
        ("changed", CONFIG.replace("\"info\"", "\"debug\"").replace("localhost:8080", "localhost:8081")),
        ("target", CONFIG.replace("\"localhost:8080\"", "\"localhost\"")),
        ("wrong", wrong()),
        ("unreadable", CONFIG.replace("\"archive\"", "\"archive")),
    ];
    let read = |text: &str| settings::settings(of, Path::new(CONFIG_PATH), text, &ServiceName::first());
    texts.iter().map(|(name, text)| ((*name).to_owned(), json!(read(text)))).collect::<Map<_, _>>().into()
}

fn check(of: Subject, fact: Fact) -> Finding {
    Finding { of, found: Found::Good(fact) }
}

fn well() -> Vec<Finding> {
    let name: ServiceName = "accounts".parse().unwrap();
    let known = registration();
    let took = Some(Duration::from_millis(18));
    let url = "https://k3v5qyz2m7wbn4ta.nordlicht.example".to_owned();
    vec![
        check(Subject::Config, Fact::Config { path: PathBuf::from(CONFIG_PATH), notes: Vec::new() }),
        check(Subject::Registration, Fact::Registered { server: known.server.clone(), device: known.device }),
        check(Subject::Key, Fact::KeyIn { store: KeyStore::Keychain, key: known.key }),
        check(Subject::Proxy, Fact::NoProxy),
        check(
            Subject::Name,
            Fact::Name {
                host: known.server.host().to_owned(),
                addresses: vec!["192.0.2.17".parse().unwrap()],
            },
        ),
        check(Subject::Reachability, Fact::Answers { server: known.server.clone(), took }),
        check(Subject::ServerIdentity, Fact::Pinned { keys: None }),
        check(Subject::OwnIdentity, Fact::Known { device: known.device }),
        check(Subject::Clock, Fact::Agrees { apart: Duration::from_secs(1) }),
        check(Subject::Connection, Fact::Connected { server: known.server }),
        check(
            Subject::Service(name.clone()),
            Fact::Accepts { target: target("localhost:8080"), took: Duration::from_millis(1) },
        ),
        check(Subject::PublicAddress(name), Fact::PublicAddress { url }),
    ]
}

fn unwell() -> Vec<Finding> {
    let mut findings = well();
    findings.truncate(5);
    let unanswered = Fault::Server { cause: Cause::Unanswered, said: String::new() };
    findings.push(Finding { of: Subject::Reachability, found: Found::Bad(unanswered) });
    let skipped = [Subject::ServerIdentity, Subject::OwnIdentity, Subject::Clock];
    findings.extend(skipped.map(|of| Finding { of, found: Found::Skipped }));
    let waiting = Connection::Waiting { cause: Cause::Unanswered, retry_in_ms: 12_000 };
    findings.push(Finding { of: Subject::Connection, found: Found::Bad(Fault::Connection(waiting)) });
    let down =
        Fault::Service { target: target("localhost:8080"), cause: ServiceCause::Refused, certificate: None };
    findings.push(Finding { of: Subject::Service("accounts".parse().unwrap()), found: Found::Bad(down) });
    findings
}

fn invites(texts: &Texts) -> Value {
    let unknown = Known::default();
    let other = Registration {
        server: "tunnel.altwerk.example:8453".parse().unwrap(),
        pins: vec![key(53)],
        vendor: Some("Altwerk".parse().unwrap()),
        ..registration()
    };
    let known = Known { in_force: Some(other), ..Known::default() };
    let (with_services, _) = config::parse(Path::new(CONFIG_PATH), CONFIG).unwrap();
    let with_services = Config { vitae: config().vitae, ..with_services };
    let said = |not_after, config: &Config, known: &Known| {
        let invite = invite(not_after);
        let prospect = Prospect::new(invite.to_link(), invite, config.clone(), known.clone());
        json!(told::invite(texts, &prospect, now()))
    };
    json!({
        "new": said(NOW + 2700, &config(), &unknown),
        "expired": said(NOW - 7200, &config(), &unknown),
        "replacing": said(NOW + 2700, &with_services, &known),
    })
}

fn looked_at(texts: &Texts) -> Value {
    let http = |status, ms| Some(TargetAnswer::Http { status, took: Duration::from_millis(ms) });
    let found = [
        ("localhost:8080", Some("Lexwright Accounts"), "java", http(200, 12)),
        ("localhost:3000", None, "Docker", http(404, 3)),
        ("localhost:5432", None, "postgres", None),
        ("localhost:22", None, "sshd", None),
        ("localhost:631", None, "cupsd", None),
    ];
    let found = found.map(|(at, title, process, answer)| {
        let (title, process) = (title.map(str::to_owned), process.to_owned());
        let found = listening::Found { target: target(at), title, application: None, process, answer };
        found::listening(texts, found)
    });
    json!(found)
}

fn tried(texts: &Texts) -> Value {
    let took = Duration::from_millis(3);
    let http = |status| Ok(TargetAnswer::Http { status, took: Duration::from_millis(12) });
    let tries = [
        ("localhost:8080", ServiceKind::Http, http(200)),
        ("localhost:3000", ServiceKind::Http, http(404)),
        ("localhost:5432", ServiceKind::Tcp, Ok(TargetAnswer::Open { took })),
        ("localhost:9999", ServiceKind::Http, Err(ServiceCause::Refused)),
        ("localhost:22", ServiceKind::Http, Ok(TargetAnswer::Other { took })),
    ];
    let tries =
        tries.map(|(at, kind, found)| (at.to_owned(), json!(found::tried(texts, &target(at), kind, found))));
    tries.into_iter().collect::<Map<_, _>>().into()
}

fn refusals(texts: &Texts) -> Value {
    let why = form::target("localhost").unwrap_err();
    let named = FormService { name: "My accounts".into(), kind: ServiceKind::Http, target: "h:1".into() };
    let (_, bad_name) = form::check_service(&named).unwrap_err();
    let used = petit_engine::agent::EnrolError::Refused {
        server: SERVER.parse().unwrap(),
        refusal: EnrolRefusal::Used,
    };
    let all: [(&str, Refused); 7] = [
        ("not_an_invite", words::invite(texts, &InvalidInvite::NotAnInvite)),
        ("used", words::register(texts, &used.into())),
        ("no_keychain", words::register(texts, &petit_client::vault::VaultError::NoKeychain.into())),
        ("not_written", words::refused(texts, "read_only", &[("why", "No space left on device")])),
        ("offline", words::refused(texts, "offline", &[])),
        ("target", words::invalid(texts, "target", &why)),
        ("name", words::invalid(texts, "name", &bad_name)),
    ];
    all.into_iter().map(|(name, refused)| (name.to_owned(), json!(refused))).collect::<Map<_, _>>().into()
}

// ---- the tray, and notifications -------------------------------------------------------------------------

fn listed(items: &[Item]) -> Vec<Value> {
    let item = |item: &Item| match item {
        Item::Line(text) => json!({ "line": text }),
        Item::Separator => json!({ "separator": true }),
        Item::Entry { text, .. } => json!({ "entry": text }),
        Item::Check { text, checked, .. } => json!({ "entry": text, "checked": checked }),
        Item::Menu { text, items: inner } => json!({ "entry": text, "items": listed(inner) }),
    };
    items.iter().map(item).collect()
}

fn tray_of(model: &TrayModel) -> Value {
    json!({ "icon": model.icon.name(), "line": model.line, "items": listed(&model.items) })
}

/// What is said of an outage, of its end, and when somebody has to act.
fn notifications(texts: &Texts) -> Value {
    let prefs = Remembered::default().prefs(true);
    let start = Instant::now();
    let example = |name| {
        let found = examples().into_iter().find(|example| example.name == name).unwrap();
        view_of(texts, &found)
    };
    let mut watcher = Watcher::default();
    let mut see =
        |name, seconds| watcher.see(&example(name), texts, &prefs, start + Duration::from_secs(seconds));
    see("serviceDown", 0);
    let notes = [see("serviceDown", 60), see("online", 420), see("stopped", 500)].map(Option::unwrap);
    let said =
        |note: &super::notes::Note| json!({ "title": note.title, "body": note.body, "button": note.button });
    json!(notes.iter().map(said).collect::<Vec<_>>())
}

// ---- the file --------------------------------------------------------------------------------------------

fn said_in(lang: &str) -> Vec<(&'static str, Value)> {
    let texts = Texts::of(lang);
    let check = |findings: Vec<Finding>| -> Value {
        json!(findings.iter().map(|finding| checks::check(&texts, finding)).collect::<Vec<_>>())
    };
    let views = examples().into_iter().map(|example| (example.name, view_of(&texts, &example)));
    let views: Vec<(&str, View)> = views.collect();
    // A pause is said in the zone of the computer that shows it.
    let trays = views.iter().filter(|(name, _)| *name != "paused");
    let trays = trays.map(|(name, view)| ((*name).to_owned(), tray_of(&tray::model(view, &texts, true))));
    let trays = trays.collect::<Map<_, _>>();
    let states = every_state().into_iter().map(|(name, desired, status, trouble)| {
        let example = Example { name: "", desired, status, trouble, noted: false };
        (name, json!(view_of(&texts, &example)))
    });
    let states: Map<String, Value> = states.collect();
    let views: Map<String, Value> =
        views.into_iter().map(|(name, view)| (name.to_owned(), json!(view))).collect();
    let applied = |key: &str| json!(words::words(&texts, &format!("problem.{key}"), &[]));
    vec![
        ("views", views.into()),
        ("states", states.into()),
        ("invites", invites(&texts)),
        ("listening", looked_at(&texts)),
        ("tried", tried(&texts)),
        ("checks", json!({ "well": check(well()), "unwell": check(unwell()) })),
        ("settings", settings_of(&texts)),
        ("refusals", refusals(&texts)),
        ("applied", json!({ "done": applied("applied"), "rolled_back": applied("applied.rolled_back") })),
        ("trays", trays.into()),
        ("notifications", notifications(&texts)),
    ]
}

/// One line for each example, so that a change shows in a diff as what it is.
fn file() -> String {
    let link = invite(NOW + 2700).to_link_on("https://tunnel.nordlicht.example:8453/enroll");
    let mut out = format!("{{\n\"now\": {NOW},\n\"link\": {}", json!(link.expose_secret()));
    for lang in LANGUAGES {
        let _ = write!(out, ",\n\"{lang}\": {{");
        for (n, (name, value)) in said_in(lang).into_iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let _ = write!(out, "{comma}\n  \"{name}\": ");
            match value {
                Value::Object(map) => {
                    let lines = map.iter().map(|(name, value)| format!("    {}: {value}", json!(name)));
                    let _ = write!(out, "{{\n{}\n  }}", lines.collect::<Vec<_>>().join(",\n"));
                }
                value => {
                    let _ = write!(out, "{value}");
                }
            }
        }
        out.push_str("\n}");
    }
    out.push_str("\n}\n");
    out
}

#[test]
fn pictures_and_page_tests_are_handed_what_the_program_says_today() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui/test/lib/examples.json");
    let said = file();
    assert!(serde_json::from_str::<Value>(&said).is_ok());
    if std::env::var_os("PETIT_EXAMPLES").is_some_and(|desired| desired == "write") {
        std::fs::write(&path, &said).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = said.lines().zip(written.lines()).find(|(said, written)| said != written);
    assert!(
        said == written,
        "{} is not what the program says; `PETIT_EXAMPLES=write cargo test -p petit-app --lib examples` \
         writes it anew. First difference: {differs:?}",
        path.display()
    );
}

/// No example is without words: a key that is missing from the catalogue would stand there itself.
#[test]
fn every_example_is_said_in_words() {
    for lang in LANGUAGES {
        let all = said_in(lang);
        let names = Texts::of(lang).all();
        let mut stack: Vec<&Value> = all.iter().map(|(_, value)| value).collect();
        while let Some(value) = stack.pop() {
            match value {
                Value::String(text) => {
                    assert!(!names.contains_key(text) && !text.contains('{'), "{lang}: {text}");
                }
                Value::Array(all) => stack.extend(all),
                Value::Object(all) => stack.extend(all.values()),
                _ => {}
            }
        }
    }
}
