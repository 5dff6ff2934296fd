//! `status`, `ping`, `check`, `doctor`, `logs`: what can be seen.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_client::api::{LocalError, Ping, PingOutcome};
use petit_client::consent::Withheld;
use petit_client::doctor::{self, Check, CheckResult};
use petit_client::hops::{Hop, HopName, HopState};
use petit_client::messages::{self, Advice};
use petit_client::registration;
use petit_client::status::{BrokenAt, Connection, Light, ServiceStatus, Status};
use petit_engine::name::ServiceName;
use petit_engine::proto::control::{FrontState, Kept, ServiceKind};
use petit_host::cli::{self, Failure, ago};
use petit_host::colour::coloured;
use petit_host::control::client::CallError;
use petit_host::exit::ExitCode;
use petit_host::lock::Lock;
use serde_json::json;

use super::{Context, PROGRAM};

/// Where the client stands. Exits with 3 when it does not run, with 4 when there is no registration.
pub(crate) async fn status(context: &Context) -> Result<ExitCode, Failure> {
    match context.client().status().await {
        Ok(status) => {
            context.say(&text(&status), &status);
            Ok(ExitCode::Ok)
        }
        Err(LocalError::Call(CallError::NotRunning)) => {
            if let Some(holder) = Lock::holder(&context.folder.lock()) {
                return Err(Failure::unanswering(PROGRAM, holder.pid));
            }
            let known = registration::load(&context.folder).map_err(|error| Failure::of(&error))?;
            let (exit, text) = match &known {
                Some(known) => (
                    ExitCode::NotRunning,
                    format!(
                        "Registered with {}, but not running. Start it with: petit-client start",
                        known.server
                    ),
                ),
                None => (
                    ExitCode::NotRegistered,
                    "Not registered. Register this computer with: petit-client register".to_owned(),
                ),
            };
            let registered = known.map(|known| json!({ "server": known.server, "device": known.device }));
            context.say(&text, &json!({ "running": false, "registered": registered }));
            Ok(exit)
        }
        Err(error) => Err(context.failure(error)),
    }
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
        let text = text(&status);
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

fn since(stamp: u64) -> String {
    let then = UNIX_EPOCH + Duration::from_secs(stamp);
    ago(SystemTime::now().duration_since(then).unwrap_or_default())
}

fn text(status: &Status) -> String {
    let mut out = String::new();
    if status.stopping {
        out.push_str("Stopping: what is under way is finished first. To end at once: petit-client stop\n");
    }
    out += &match (&status.connection, &status.registered) {
        (Connection::Online { since: stamp }, Some(at)) => {
            let trip =
                status.round_trip_us.map(|us| format!(", round trip {}", millis(us))).unwrap_or_default();
            format!("Connected to {} for {}{trip}\n", at.server, since(*stamp))
        }
        (other, Some(at)) => format!("{}: {}\n", at.server, messages::connection(other)),
        (other, None) => format!("{}\n", messages::connection(other)),
    };
    if let Some(at) = &status.registered {
        if let Some(vendor) = &at.vendor {
            out.push_str(&format!("  it says that it belongs to {vendor}\n"));
        }
        out.push_str(&format!("  its key   {}\n            {}\n", at.key_words.english, at.key_words.german));
    }
    if let Some(issuer) = &status.inspected_by {
        out.push_str(&format!("  it is {issuer}\n"));
    }
    let todo = messages::connection_todo(&status.connection);
    if !todo.is_empty() {
        out.push_str(&format!("  {todo}\n"));
    }
    if let Some(problem) = &status.config_problem {
        out.push_str(&format!(
            "The config file has a mistake; what was in force before stays in force:\n  {problem}\n"
        ));
    }
    if status.services.is_empty() && status.withheld.is_empty() && status.registered.is_some() {
        let add = messages::add_service(status.to_be_set_up());
        out.push_str(&format!("No service is set up. Add one with: {add}\n"));
    }
    for service in &status.services {
        let mark = match service.light {
            Light::Green => "✔",
            Light::UpToServer => "◐",
            Light::Red => "✘",
            Light::Checking => "…",
            Light::Off => "–",
        };
        let address = service.url.as_deref().unwrap_or("(no address yet)");
        out.push_str(&format!("{mark} {}  {} → {address}\n", service.name, service.target));
        out.push_str(&format!("    {}\n", service_state(service)));
        if let Some(todo) = service.broken.as_ref().map(|broken| messages::broken(broken.at).todo)
            && !todo.is_empty()
            && !matches!(service.broken.as_ref().map(|broken| broken.at), Some(BrokenAt::Connection(_)))
        {
            out.push_str(&format!("    {todo}\n"));
        }
        if service.is_one_too_many() && !status.kept.is_empty() {
            out.push_str(&format!("    {}\n", kept_text(&status.kept)));
        }
        if !matches!(service.light, Light::Green | Light::Off) {
            out.push_str(&format!("    {}\n", path_of(&service.hops)));
        }
        for alias in &service.aliases {
            let known = service.alias_fronts.iter().find(|known| known.alias == *alias);
            let state = known.map(|known| front(known.front.state, alias.as_str())).unwrap_or_default();
            out.push_str(&format!("    alias {alias}{state}\n"));
        }
    }
    for Withheld { name, target, .. } in &status.withheld {
        out.push_str(&format!("– {name}  {target}\n    {}\n", super::configure::withheld_text(name)));
    }
    out
}

/// The way of a visitor, with what is known of each part.
fn path_of(hops: &[Hop]) -> String {
    let part = |hop: &Hop| {
        let name = match hop.hop {
            HopName::Name => "name",
            HopName::Port => "port",
            HopName::Certificate => "certificate",
            HopName::Server => "server",
            HopName::Tunnel => "tunnel",
            HopName::Client => "client",
            HopName::Service => "service",
        };
        let mark = match hop.state {
            HopState::Works => "✔",
            HopState::Broken => "✘",
            HopState::Unknown => "?",
        };
        format!("{name} {mark}")
    };
    hops.iter().map(part).collect::<Vec<_>>().join("  ")
}

/// How a public front is, behind its name.
fn front(state: FrontState, url: &str) -> String {
    match state {
        FrontState::Checking => String::new(),
        FrontState::Passed => " ✔".to_owned(),
        FrontState::Failed(cause) => format!(" ✘ {}", messages::front(cause).what),
        FrontState::Untried(why) => format!(" ? not tried, because {}", messages::untried(why, url)),
    }
}

/// What the server keeps for services that are not offered.
pub(crate) fn kept_text(kept: &[Kept]) -> String {
    let names: Vec<&str> = kept.iter().map(|kept| kept.name.as_str()).collect();
    format!("it keeps addresses for services that are not offered any more: {}", names.join(", "))
}

/// When, and by what, a service's own part of the way was proved.
fn when(service: &ServiceStatus) -> String {
    let proved = service.proved.as_ref();
    let how = if proved.is_some_and(|proved| proved.probe.is_some()) { "tried" } else { "visited" };
    let when = proved.map(|proved| since(proved.at)).unwrap_or_default();
    format!("{how} {when} ago")
}

/// Where a service stands, as a line.
pub(crate) fn service_state(service: &ServiceStatus) -> String {
    match (service.light, &service.broken) {
        (Light::Green, _) => format!("works end to end ({})", when(service)),
        (Light::UpToServer, _) => {
            let up_to = match service.kind {
                ServiceKind::Http => "works up to the server's own front",
                ServiceKind::Tcp => "works up to the server, where its port is open",
            };
            let why = match service.front.state {
                FrontState::Untried(why) => {
                    messages::untried(why, service.url.as_deref().unwrap_or_default())
                }
                FrontState::Checking | FrontState::Passed | FrontState::Failed(_) => "that is still to come",
            };
            format!("{up_to} ({}); the public address was not tried, because {why}", when(service))
        }
        (Light::Red, Some(broken)) => {
            let Advice { what, .. } = messages::broken(broken.at);
            let subject = if matches!(broken.at, BrokenAt::Service(_)) {
                format!("{}: ", service.target)
            } else {
                String::new()
            };
            let since = broken.since.map(|stamp| format!(" (for {})", since(stamp))).unwrap_or_default();
            format!("does not work: {subject}{what}{since}")
        }
        (Light::Red, None) => "does not work".to_owned(),
        (Light::Checking, _) => "being tried".to_owned(),
        (Light::Off, _) => "switched off".to_owned(),
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
    for Ping { service, outcome } in &answer.pings {
        text.push_str(&format!("{service}\n"));
        let (result, public, url) = match outcome {
            PingOutcome::Probed { result, public, url } => (result, public, url),
            PingOutcome::Refused { refused } => {
                let Advice { what, todo } = messages::broken(BrokenAt::Server(*refused));
                text.push_str(&format!("  ✘ {what}\n    {todo}\n"));
                good = false;
                continue;
            }
        };
        let broken = result.broken.map(BrokenAt::from);
        let (front, told) = match *public {
            FrontState::Passed => ("public front", None),
            FrontState::Failed(cause) => (
                "server's own front",
                Some(format!("✘ {:<24}{}", "public front", messages::front(cause).what)),
            ),
            FrontState::Untried(why) => (
                "server's own front",
                Some(format!(
                    "? {:<24}not tried, because {}",
                    "public front",
                    messages::untried(why, url.as_deref().unwrap_or_default())
                )),
            ),
            FrontState::Checking => {
                ("server's own front", Some(format!("… {:<24}being tried", "public front")))
            }
        };
        if let Some(told) = told {
            text.push_str(&format!("  {told}\n"));
        }
        for (name, took) in [
            (front, result.front_us),
            ("tunnel, there and back", result.tunnel_us),
            ("client to service", result.service_us),
        ] {
            match took {
                Some(us) => text.push_str(&format!("  ✔ {name:<24}{:>10}\n", millis(us))),
                None => {
                    let what = broken.map(|at| messages::broken(at).what).unwrap_or_default();
                    text.push_str(&format!("  ✘ {name:<24}{what}\n"));
                    break;
                }
            }
        }
        good &= broken.is_none() && !matches!(public, FrontState::Failed(_));
    }
    context.say(&text, &answer);
    Ok(if good { ExitCode::Ok } else { ExitCode::Failed })
}

/// Looks at everything. Exits with 1 when something is not right.
pub(crate) async fn check(context: &Context, with_advice: bool) -> Result<ExitCode, Failure> {
    let checks = doctor::run(&context.folder).await;
    let mut text = String::new();
    for Check { name, result, detail, advice } in &checks {
        let mark = match result {
            CheckResult::Good => "✔",
            CheckResult::Bad => "✘",
            CheckResult::Untried => "?",
            CheckResult::Skipped => "–",
        };
        text.push_str(&format!("{mark} {name:<26}{detail}\n"));
        if with_advice && !advice.is_empty() {
            text.push_str(&format!("  → {advice}\n"));
        }
    }
    let good = all_good(&checks);
    if with_advice && good {
        let is_all_tried = checks.iter().all(|check| check.result == CheckResult::Good);
        text.push_str(if is_all_tried { "All is well.\n" } else { "All that could be tried is well.\n" });
    }
    context.say(&text, &json!({ "checks": checks, "good": good }));
    Ok(if good { ExitCode::Ok } else { ExitCode::Failed })
}

fn all_good(checks: &[Check]) -> bool {
    checks.iter().all(|check| matches!(check.result, CheckResult::Good | CheckResult::Untried))
}
