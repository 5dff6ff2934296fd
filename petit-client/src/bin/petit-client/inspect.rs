//! `status`, `ping`, `check`, `doctor`, `logs`: what can be seen.

use std::fmt::Display;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_client::api::{Ping, PingOutcome};
use petit_client::consent::Withheld;
use petit_client::doctor::{self, Check, CheckResult};
use petit_client::hops::{Hop, HopName, HopState};
use petit_client::messages::{self, Advice};
use petit_client::registration;
use petit_client::status::{BrokenAt, Connection, Light, ServiceStatus, Status, UpdatePlan, VersionStanding};
use petit_client::texts::Texts;
use petit_engine::cause::FrontUntried;
use petit_engine::name::ServiceName;
use petit_engine::proto::control::{Admits, FrontState, Hop as WireHop, Kept, ServiceKind};
use petit_host::cli::{self, Failure};
use petit_host::colour::coloured;
use petit_host::exit::ExitCode;
use petit_host::service::RunBy;
use serde_json::json;

use super::context::Context;

/// Where the client stands. Exits with 4 when there is no registration, whether it runs or not; else with 3 when it does
/// not run.
pub(crate) async fn status(context: &Context) -> Result<ExitCode, Failure> {
    if let Some(status) = context.if_running(context.client().status().await)? {
        context.say(&text(context, &status), &status);
        // The tray app's client runs without one, too, and so does a service of the system.
        return Ok(if status.registered.is_some() { ExitCode::Ok } else { ExitCode::NotRegistered });
    }
    let known = registration::load(&context.folder).map_err(|error| Failure::of(&error))?;
    let (exit, text) = match &known {
        Some(known) => {
            let text = context.texts.format("cli.status.not_running", &[("server", &known.server)]);
            (ExitCode::NotRunning, text)
        }
        None => (ExitCode::NotRegistered, context.texts.get("cli.status.unregistered")),
    };
    let registered = known.map(|known| json!({ "server": known.server, "device": known.device }));
    context.say(&text, &json!({ "running": false, "registered": registered }));
    Ok(exit)
}

/// Shows every change of the status until the client ends.
pub(crate) async fn watch(context: &Context) -> Result<(), Failure> {
    let failed = |error| context.failure(error);
    let mut statuses = context.client().statuses().await.map_err(failed)?;
    let mut shown = String::new();
    while let Some(status) = statuses.next().await.map_err(failed)? {
        if context.json {
            // One value per line, for programs that read along.
            let line = serde_json::to_value(&status).map_err(|error| Failure::of(&error))?;
            if !cli::print(&format!("{line}\n")) {
                return Ok(());
            }
            continue;
        }
        let text = text(context, &status);
        if text != shown {
            let now =
                jiff::Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
            if !cli::print(&format!("{now}  {}\n", coloured(&text))) {
                return Ok(());
            }
            shown = text;
        }
    }
    Ok(())
}

fn since(context: &Context, stamp: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(stamp);
    context.ago(SystemTime::now().duration_since(then).unwrap_or_default())
}

fn text(context: &Context, status: &Status) -> String {
    let mut out = connection_text(context, status);
    for service in &status.services {
        out.push_str(&service_text(context, status, service));
    }
    for Withheld { name, target, .. } in &status.withheld {
        let withheld = withheld_text(context, name);
        out.push_str(&format!("– {name}  {target}\n    {withheld}\n"));
    }
    out
}

/// What a status says of the client and its server.
fn connection_text(context: &Context, status: &Status) -> String {
    let texts = &context.texts;
    let mut out = String::new();
    if status.stopping {
        out.push_str(&format!("{}\n", texts.get("cli.status.stopping")));
    }
    let connection = || messages::connection(texts, &status.connection);
    out += &match (&status.connection, &status.registered) {
        (Connection::Online { since: stamp }, Some(at)) => {
            let time = since(context, *stamp);
            let said = match status.round_trip_us.map(millis) {
                None => texts.format("cli.status.connected", &[("server", &at.server), ("time", &time)]),
                Some(trip) => {
                    let values: [(&str, &dyn Display); 3] =
                        [("server", &at.server), ("time", &time), ("ms", &trip)];
                    texts.format("cli.status.connected.trip", &values)
                }
            };
            format!("{said}\n")
        }
        (_, Some(at)) => format!("{}: {}\n", at.server, connection()),
        (_, None) => format!("{}\n", connection()),
    };
    if let Some(at) = &status.registered {
        if let Some(vendor) = &at.vendor {
            out.push_str(&format!("  {}\n", texts.format("cli.status.vendor", &[("vendor", vendor)])));
        }
        let its_key = texts.get("cli.status.its_key");
        let indent = " ".repeat(its_key.chars().count());
        out.push_str(&format!("  {its_key}{}\n  {indent}{}\n", at.key_words.english, at.key_words.german));
    }
    if let Some(issuer) = &status.inspected_by {
        out.push_str(&format!("  {}\n", texts.format("cli.status.inspected", &[("issuer", issuer)])));
    }
    if let Some(RunBy { manager, unit, user }) = &status.run_by {
        let values: [(&str, &dyn Display); 3] = [("manager", manager), ("unit", unit), ("user", user)];
        out.push_str(&format!("  {}\n", texts.format("cli.status.run_by", &values)));
    }
    for line in of_updates(texts, status) {
        out.push_str(&format!("  {line}\n"));
    }
    let todo = messages::connection_todo(texts, &status.connection);
    if !todo.is_empty() {
        out.push_str(&format!("  {todo}\n"));
    }
    if let Some(problem) = &status.config_problem {
        out.push_str(&format!("{}\n  {problem}\n", texts.get("cli.status.mistake")));
    }
    if status.services.is_empty() && status.withheld.is_empty() && status.registered.is_some() {
        let add = messages::add_service(status.to_be_set_up());
        out.push_str(&format!("{}\n", texts.format("cli.no_service", &[("command", &add)])));
    }
    out
}

/// What there is to be said of another version, and of the one that runs.
fn of_updates(texts: &Texts, status: &Status) -> Vec<String> {
    let available = status.available.as_ref().map(|version| {
        let (from, until) = match &status.update {
            Some(UpdatePlan::Itself { hours: Some(hours) }) => hours.ends(),
            _ => Default::default(),
        };
        let key = match &status.update {
            None | Some(UpdatePlan::Hand | UpdatePlan::Unknown) => "cli.status.available",
            Some(UpdatePlan::Window | UpdatePlan::Failed { .. }) => "cli.status.available.window",
            Some(UpdatePlan::Now { .. }) => "cli.status.available.now",
            Some(UpdatePlan::Itself { hours: Some(_) }) => "cli.status.available.hours",
            Some(UpdatePlan::Itself { hours: None }) => "cli.status.available.itself",
            Some(UpdatePlan::Later) => "cli.status.available.later",
            Some(UpdatePlan::AfterTrial) => "cli.status.available.after_trial",
            Some(UpdatePlan::GivenUp) => "cli.status.available.given_up",
            Some(UpdatePlan::Other) => "cli.status.available.other",
            Some(UpdatePlan::Nobody) => "cli.status.available.never",
        };
        texts.format(key, &[("version", version), ("from", &from), ("until", &until)])
    });
    let standing = status.standing.as_ref().and_then(|standing| match standing {
        VersionStanding::Revoked => Some(texts.get("cli.upgrade.revoked")),
        VersionStanding::TooOld { minimum } => {
            Some(texts.format("cli.upgrade.too_old", &[("minimum", minimum)]))
        }
        VersionStanding::Unknown => None,
    });
    available.into_iter().chain(standing).collect()
}

/// What it says of one service.
fn service_text(context: &Context, status: &Status, service: &ServiceStatus) -> String {
    let texts = &context.texts;
    let mark = match service.light {
        Light::Green => "✔",
        Light::UpToServer => "◐",
        Light::Red => "✘",
        Light::Checking => "…",
        Light::Off => "–",
    };
    let url = service.url.as_deref();
    let address = url.map_or_else(|| texts.get("cli.status.no_address"), |url| messages::address(texts, url));
    let mut out = format!("{mark} {}  {} → {address}\n", service.name, service.target);
    out.push_str(&format!("    {}\n", service_state(context, service)));
    let at = service.broken.as_ref().map(|broken| broken.at);
    if let Some(at) = at.filter(|at| !matches!(at, BrokenAt::Connection(_))) {
        let todo = messages::broken(at, &service.target).to_type(texts);
        if !todo.is_empty() {
            out.push_str(&format!("    {todo}\n"));
        }
    }
    if let Some(admits) = service.admits {
        out.push_str(&format!("    {}\n", messages::admits(texts, admits)));
    }
    if service.is_one_too_many() && !status.kept.is_empty() {
        out.push_str(&format!("    {}\n", kept_text(context, &status.kept)));
    }
    if !matches!(service.light, Light::Green | Light::Off) {
        out.push_str(&format!("    {}\n", path_of(texts, &service.hops)));
    }
    for alias in &service.aliases {
        let known = service.alias_fronts.iter().find(|known| known.alias == *alias);
        let state = known.map(|known| front(texts, known.front.state, alias.as_str())).unwrap_or_default();
        out.push_str(&format!("    {}{state}\n", texts.format("cli.status.alias", &[("alias", alias)])));
    }
    out
}

/// The way of a visitor, with what is known of each part.
fn path_of(texts: &Texts, hops: &[Hop]) -> String {
    let part = |hop: &Hop| {
        let name = match hop.hop {
            HopName::Name => "cli.hop.name",
            HopName::Port => "cli.hop.port",
            HopName::Certificate => "cli.hop.certificate",
            HopName::Server => "cli.hop.server",
            HopName::Tunnel => "cli.hop.tunnel",
            HopName::Client => "cli.hop.client",
            HopName::Service => "cli.hop.service",
        };
        let mark = match hop.state {
            HopState::Works => "✔",
            HopState::Broken => "✘",
            HopState::Unknown => "?",
        };
        format!("{} {mark}", texts.get(name))
    };
    hops.iter().map(part).collect::<Vec<_>>().join("  ")
}

/// How a public front is, behind its name.
fn front(texts: &Texts, state: FrontState, url: &str) -> String {
    match state {
        FrontState::Checking => String::new(),
        FrontState::Passed => " ✔".to_owned(),
        FrontState::Failed(cause) => {
            format!(" ✘ {}", messages::broken(BrokenAt::Front(cause), "").what(texts))
        }
        FrontState::Untried(why) => format!(" ? {}", not_tried(texts, why, url)),
    }
}

/// That a public front was not tried.
fn not_tried(texts: &Texts, why: FrontUntried, url: &str) -> String {
    texts.format("doctor.public.untried", &[("why", &messages::untried(texts, why, url))])
}

/// What the server keeps for services that are not offered.
pub(crate) fn kept_text(context: &Context, kept: &[Kept]) -> String {
    let names: Vec<&str> = kept.iter().map(|kept| kept.name.as_str()).collect();
    context.texts.format("cli.kept", &[("names", &names.join(", "))])
}

/// That a service is not offered, and how it is.
pub(crate) fn withheld_text(context: &Context, name: &ServiceName) -> String {
    context.texts.format("cli.withheld", &[("name", name)])
}

/// When, and by what, a service's own part of the way was proved.
fn when(context: &Context, service: &ServiceStatus) -> String {
    let proved = service.proved.as_ref();
    let is_probe = proved.is_some_and(|proved| proved.probe.is_some());
    let when = proved.map(|proved| since(context, proved.at)).unwrap_or_default();
    let key = if is_probe { "cli.tried_ago" } else { "cli.visited_ago" };
    context.texts.format(key, &[("time", &when)])
}

/// Where a service stands, as a line.
pub(crate) fn service_state(context: &Context, service: &ServiceStatus) -> String {
    let texts = &context.texts;
    let when = || when(context, service);
    match (service.light, &service.broken) {
        (Light::Green, _) => texts.format("cli.state.green", &[("when", &when())]),
        (Light::UpToServer, _) => {
            let key = match service.kind {
                ServiceKind::Http => "cli.state.up_to_front",
                ServiceKind::Tcp => "cli.state.up_to_port",
            };
            let why = match service.front.state {
                FrontState::Untried(why) => {
                    messages::untried(texts, why, service.url.as_deref().unwrap_or_default())
                }
                FrontState::Checking | FrontState::Passed | FrontState::Failed(_) => {
                    texts.get("cli.state.to_come")
                }
            };
            texts.format(key, &[("when", &when()), ("why", &why)])
        }
        (Light::Red, Some(broken)) => {
            let why = messages::broken(broken.at, &service.target).what(texts);
            match broken.since {
                None => texts.format("cli.state.broken", &[("why", &why)]),
                Some(stamp) => {
                    let time = since(context, stamp);
                    texts.format("cli.state.broken.since", &[("why", &why), ("time", &time)])
                }
            }
        }
        (Light::Red, None) => texts.get("cli.state.red"),
        (Light::Checking, _) => texts.get("cli.state.checking"),
        (Light::Off, _) => texts.get("cli.connection.off"),
    }
}

fn millis(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1000.0)
}

/// Probes the services end to end.
pub(crate) async fn ping(context: &Context, service: Option<&ServiceName>) -> Result<ExitCode, Failure> {
    let answer = context.client().ping(service).await.map_err(|error| context.failure(error))?;
    let mut text = String::new();
    let mut good = true;
    for ping in &answer.pings {
        let (said, is_good) = ping_text(&context.texts, ping);
        text.push_str(&said);
        good &= is_good;
    }
    context.say(&text, &answer);
    Ok(if good { ExitCode::Ok } else { ExitCode::Failed })
}

/// What the probe of a service came to, and whether it came through.
fn ping_text(texts: &Texts, Ping { service, outcome }: &Ping) -> (String, bool) {
    let mut text = format!("{service}\n");
    let (result, public, url, target, admits) = match outcome {
        PingOutcome::Probed { result, public, url, target, admits } => (result, public, url, target, admits),
        PingOutcome::Refused { refused } => {
            let Advice { what, todo } = messages::broken(BrokenAt::Server(*refused), "").advice(texts);
            text.push_str(&format!("  ✘ {what}\n    {todo}\n"));
            return (text, false);
        }
    };
    let broken = result.broken.map(|hop| match (hop, admits) {
        (WireHop::Front, Some(Admits::Nobody)) => BrokenAt::Shut,
        (hop, _) => hop.into(),
    });
    let place = target.as_ref().map_or_else(|| service.to_string(), ToString::to_string);
    let what = |at: BrokenAt| messages::broken(at, &place).what(texts);
    let width = ping_width(texts);
    let mut line = |mark: &str, name: &str, said: String| {
        text.push_str(&format!("  {mark} {:<width$}{said}\n", texts.get(name)));
    };
    let (front, told) = match *public {
        FrontState::Passed => ("cli.ping.public", None),
        FrontState::Failed(cause) => ("cli.ping.own", Some(("✘", what(BrokenAt::Front(cause))))),
        FrontState::Untried(why) => {
            ("cli.ping.own", Some(("?", not_tried(texts, why, url.as_deref().unwrap_or_default()))))
        }
        FrontState::Checking => ("cli.ping.own", Some(("…", texts.get("cli.state.checking")))),
    };
    if let Some((mark, told)) = told {
        line(mark, "cli.ping.public", told);
    }
    for (name, took) in [
        (front, result.front_us),
        ("cli.ping.tunnel", result.tunnel_us),
        ("cli.ping.service", result.service_us),
    ] {
        match took {
            Some(us) => line("✔", name, millis(us)),
            None => {
                line("✘", name, broken.map(what).unwrap_or_default());
                break;
            }
        }
    }
    (text, broken.is_none() && !matches!(public, FrontState::Failed(_)))
}

/// How wide the names of the parts of the way are, with what lies between them and what is said of them.
fn ping_width(texts: &Texts) -> usize {
    let names = ["cli.ping.public", "cli.ping.own", "cli.ping.tunnel", "cli.ping.service"];
    let longest = names.iter().map(|name| texts.get(name).chars().count()).max();
    (longest.unwrap_or_default() + 2).max(24)
}

/// Looks at everything. Exits with 1 when something is not right.
pub(crate) async fn check(context: &Context, with_advice: bool) -> Result<ExitCode, Failure> {
    let checks = doctor::run(&context.folder, &context.texts).await;
    let mut text = String::new();
    let width = checks.iter().map(|check| check.name.chars().count() + 2).max().unwrap_or_default().max(26);
    for Check { name, result, detail, advice } in &checks {
        let mark = match result {
            CheckResult::Good => "✔",
            CheckResult::Bad => "✘",
            CheckResult::Untried => "?",
            CheckResult::Skipped => "–",
        };
        text.push_str(&format!("{mark} {name:<width$}{detail}\n"));
        if with_advice && !advice.is_empty() {
            text.push_str(&format!("  → {advice}\n"));
        }
    }
    let good = all_good(&checks);
    if with_advice && good {
        let is_all_tried = checks.iter().all(|check| check.result == CheckResult::Good);
        let key = if is_all_tried { "cli.all_well" } else { "cli.all_tried_well" };
        text.push_str(&format!("{}\n", context.texts.get(key)));
    }
    context.say(&text, &json!({ "checks": checks, "good": good }));
    Ok(if good { ExitCode::Ok } else { ExitCode::Failed })
}

fn all_good(checks: &[Check]) -> bool {
    checks.iter().all(|check| matches!(check.result, CheckResult::Good | CheckResult::Untried))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use petit_client::client::Client;
    use petit_client::config::Config;
    use petit_client::control::Control;
    use petit_client::daemon::Daemon;
    use petit_client::folder::Folder;
    use petit_client::texts::LANGUAGES;
    use petit_engine::cause::{FrontCause, ServiceCause};
    use petit_engine::proto::control::ProbeResult;
    use petit_host::config::{FoundBy, Place};
    use petit_host::control::server::Listener;
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn what_a_ping_says_stands_in_one_column_in_every_language() {
        let result = ProbeResult {
            front_us: Some(1),
            tunnel_us: Some(2_345_678),
            broken: Some(WireHop::Service(ServiceCause::Refused)),
            ..ProbeResult::default()
        };
        let public = FrontState::Failed(FrontCause::CertificateExpired);
        let ping = Ping {
            service: "web".parse().unwrap(),
            outcome: PingOutcome::Probed { result, public, url: None, target: None, admits: None },
        };
        for lang in LANGUAGES {
            let texts = Texts::of(lang);
            let (text, _) = ping_text(&texts, &ping);
            let names = ["cli.ping.public", "cli.ping.own", "cli.ping.tunnel", "cli.ping.service"];
            assert_eq!(text.lines().count(), 5, "{text}");
            for (line, name) in text.lines().skip(1).zip(names) {
                let name = texts.get(name);
                let behind = line.split_once(&name).unwrap().1;
                assert!(behind.starts_with("  "), "{lang}: {line}");
                let padding = behind.len() - behind.trim_start().len();
                let column = 4 + name.chars().count() + padding;
                assert_eq!(column, 4 + ping_width(&texts), "{lang}: {line}");
            }
        }
    }

    #[test]
    fn a_ping_of_a_port_that_the_vendor_has_not_opened_says_so() {
        let result = ProbeResult { broken: Some(WireHop::Front), ..ProbeResult::default() };
        let ping = |admits| Ping {
            service: "db".parse().unwrap(),
            outcome: PingOutcome::Probed {
                result,
                public: FrontState::Passed,
                url: None,
                target: None,
                admits,
            },
        };
        for (lang, said) in [
            ("en", "your vendor has not opened it yet"),
            ("de", "Ihr Anbieter hat den Zugang noch nicht geöffnet"),
        ] {
            let (text, is_good) = ping_text(&Texts::of(lang), &ping(Some(Admits::Nobody)));
            assert!(!is_good && text.contains(said), "{text}");
            let (text, is_good) = ping_text(&Texts::of(lang), &ping(Some(Admits::Chosen)));
            assert!(!is_good && !text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_ping_that_does_not_reach_the_service_says_where_it_is() {
        let refused = Some(WireHop::Service(ServiceCause::Refused));
        let result = ProbeResult { broken: refused, ..ProbeResult::default() };
        let target = Some("localhost:3000".parse().unwrap());
        let ping = Ping {
            service: "web".parse().unwrap(),
            outcome: PingOutcome::Probed {
                result,
                public: FrontState::Passed,
                url: None,
                target,
                admits: None,
            },
        };
        let (text, is_good) = ping_text(&Texts::of("en"), &ping);
        assert!(!is_good && text.contains("nothing listens at localhost:3000"), "{text}");
    }

    /// As the tray app's does, which is there before anybody has registered.
    #[tokio::test]
    async fn a_client_that_runs_without_a_registration_has_the_exit_code_of_that() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let folder = Folder::of(&path);
        folder.make().unwrap();
        let lock = folder.take_lock().unwrap();
        let client = Client::start(folder.clone(), Config::default(), lock, None).await.unwrap();
        let (stop, restart) = (mpsc::channel(1).0, mpsc::channel(1).0);
        let lifecycle = Daemon { client: client.clone(), stop, restart };
        let control = Control { client, lifecycle, replaced: Arc::default() };
        let control = Listener::bind(&folder.socket()).unwrap().spawn(Arc::new(control));
        let place = Place { path, found_by: FoundBy::Option };
        let context = Context { json: false, texts: Texts::of("en"), folder, place };
        assert_eq!(status(&context).await.unwrap(), ExitCode::NotRegistered);
        control.finish().await;
    }
}
