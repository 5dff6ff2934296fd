//! The operator's sentences: JSON answers as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_engine::cause::Health;
use petit_engine::proto::control::FrontState;
use petit_host::cli::{ago, table};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde::Deserialize;
use serde_json::Value;

use super::{fronts, health};

/// The text at a JSON pointer; numbers as they are, nothing as nothing.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

pub(crate) fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn since(value: &Value, pointer: &str) -> Option<Duration> {
    let seconds = value.pointer(pointer)?.as_u64()?;
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(seconds)).ok()
}

fn date(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer).and_then(Value::as_u64) {
        Some(seconds) => {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
        }
        None => String::new(),
    }
}

/// The six words of a key, a row for each language, each begun with `begin`.
fn key_words(value: &Value, begin: &str) -> String {
    let rows = ["/key_words/en", "/key_words/de"].map(|row| text(value, row));
    rows.iter().filter(|row| !row.is_empty()).map(|row| format!("{begin}{row}\n")).collect()
}

/// What a client calls itself, and what its invite was for.
fn called(client: &Value) -> String {
    let (name, note) = (text(client, "/name"), text(client, "/note"));
    if note.is_empty() { name } else { format!("{name} ({note})") }
}

/// The original's marks: `+` online, `/` leaving, `-` away.
fn mark(client: &Value) -> &'static str {
    match (is_true(client, "/online"), is_true(client, "/session/leaving")) {
        (true, false) => "+",
        (true, true) => "/",
        (false, _) => "-",
    }
}

/// How a service is, by what its client says; a client may be connected and not offer it.
fn health(client: &Value, service: &Value) -> String {
    if !is_true(client, "/online") {
        return "away".to_owned();
    }
    if !is_true(service, "/online") {
        return "not offered".to_owned();
    }
    let health = service.get("health").and_then(|health| Health::deserialize(health).ok());
    health::said(health.unwrap_or_default())
}

pub(crate) fn status(value: &Value) -> String {
    let up = value.pointer("/up_seconds").and_then(Value::as_u64).unwrap_or_default();
    let https = if is_true(value, "/https_visitors") { ", and HTTPS visitors" } else { "" };
    let certificates = certificates(value);
    let registry = text(value, "/registry_problem");
    let registry = if registry.is_empty() { registry } else { format!("registry   {registry}\n") };
    let fronts = ways_in(value);
    let mut out = format!(
        "{} is running for {} (process {})\n\
         {}\
         visitors   http://{}\n\
         clients    {}{https}; invites say {}\n\
         addresses  {}\n\
         {fronts}{certificates}key        {}\n\
         {}{registry}log        {}\n",
        text(value, "/software"),
        ago(Duration::from_secs(up)),
        text(value, "/pid"),
        phase(value),
        text(value, "/http"),
        text(value, "/tls"),
        text(value, "/tunnel_address"),
        text(value, "/endpoint"),
        text(value, "/server_key"),
        key_words(value, "           "),
        text(value, "/log"),
    );
    for shortage in list(value, "/now/shortages") {
        out.push_str(&short(shortage));
    }
    let clients: Vec<&Value> = list(value, "/clients")
        .iter()
        .filter(|client| client.get("ended").is_none_or(Value::is_null))
        .collect();
    if clients.is_empty() {
        out.push_str("\nNo clients yet. Make an invite with: petit-server invite");
        return out;
    }
    let mut rows =
        vec![["", "REGISTERED ID", "SERVICE", "STATE", "ALSO AT", "CLIENT"].map(str::to_owned).to_vec()];
    for client in clients {
        for service in list(client, "/services") {
            // A raw TCP service is reached by its port alone.
            let is_tcp = text(service, "/kind") == "tcp";
            let port = is_tcp.then(|| text(service, "/url")).filter(|_| is_true(service, "/online"));
            let aliases = list(service, "/aliases").iter().map(|alias| text(alias, ""));
            let also: Vec<String> = port.into_iter().chain(aliases).collect();
            rows.push(vec![
                mark(client).to_owned(),
                text(service, "/id"),
                text(service, "/name"),
                health(client, service),
                also.join(" "),
                called(client),
            ]);
        }
    }
    out.push('\n');
    out.push_str(&table(&rows));
    out
}

/// What is running short, and who has it.
fn short(shortage: &Value) -> String {
    let of = text(shortage, "/of");
    let what = match text(shortage, "/what").as_str() {
        "requests" => "requests of all clients".to_owned(),
        "service_requests" => format!("requests to service {of}"),
        "websockets" => format!("WebSockets of client {of}"),
        _ => format!("visits to client {of}"),
    };
    let holders: Vec<String> = list(shortage, "/holders")
        .iter()
        .map(|holder| {
            let who = match (text(holder, "/kind").as_str(), text(holder, "/name")) {
                ("visitor", network) => network,
                ("exempt_networks", _) => "exempt networks".to_owned(),
                (kind, name) => format!("{kind} {name}"),
            };
            format!("{who} {}", text(holder, "/places"))
        })
        .collect();
    let (used, most) = (text(shortage, "/used"), text(shortage, "/most"));
    format!("short      {what}: {used} of {most}; most have {}\n", holders.join(", "))
}

/// True when the config file says something that counts only after a restart.
pub(crate) fn is_restart_due(value: &Value) -> bool {
    !list(value, "/needs_restart").is_empty()
}

fn restart_due(value: &Value) -> String {
    let settings: Vec<String> =
        list(value, "/needs_restart").iter().map(|setting| text(setting, "")).collect();
    format!("{}; put them in force with: petit-server restart", settings.join(", "))
}

/// What is under way, and how long it gets; `None` when nothing is.
pub(crate) fn waits_for(waits: &Value) -> Option<String> {
    let kinds = [
        ("requests", "request", "requests"),
        ("websockets", "WebSocket", "WebSockets"),
        ("event_streams", "event stream", "event streams"),
        ("tcp_connections", "TCP connection", "TCP connections"),
    ];
    let counts = kinds.iter().filter_map(|(key, one, many)| {
        match waits.get(key).and_then(Value::as_u64).unwrap_or_default() {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {many}")),
        }
    });
    let counts: Vec<String> = counts.collect();
    let seconds = waits.get("seconds_left").and_then(Value::as_u64).unwrap_or_default();
    (!counts.is_empty()).then(|| format!("{}, for {seconds} s at most", counts.join(", ")))
}

/// What the server is about, when it is about anything but serving.
fn phase(value: &Value) -> String {
    let waits = value.pointer("/waits_for").and_then(waits_for);
    let mut out = match text(value, "/state").as_str() {
        "stopping" => {
            let waits = waits.unwrap_or_else(|| "connections to close".to_owned());
            format!("stopping   it waits for {waits}; to end at once: petit-server stop\n")
        }
        "restarting" => "restarting another process gets ready to take its place\n".to_owned(),
        _ => String::new(),
    };
    for before in list(value, "/before") {
        if let Some(waits) = waits_for(before) {
            out.push_str(&format!("before     process {} finishes {waits}\n", text(before, "/pid")));
        }
    }
    if is_restart_due(value) {
        out.push_str(&format!("restart    due for {}\n", restart_due(value)));
    }
    let problem = text(value, "/config_problem");
    if !problem.is_empty() {
        out.push_str(&format!("config     not in force: {problem}\n"));
    }
    out
}

/// What came of reading the config again.
pub(crate) fn reloaded(value: &Value) -> String {
    let mut out = if is_restart_due(value) {
        format!("The config file is in force, but these settings need a restart: {}", restart_due(value))
    } else {
        "The config file is in force.".to_owned()
    };
    for shown in list(value, "/certificates") {
        out.push_str(&format!("\nHTTPS visitors are shown {}.", certificate(shown)));
    }
    if list(value, "/certificates").is_empty() && is_true(value, "/new_certificate") {
        out.push_str("\nThere is no certificate any more, so HTTPS visitors are not served.");
    }
    out
}

/// How the ways in are: the public address always, the others when there is something to say.
fn ways_in(value: &Value) -> String {
    let mut lines = Vec::new();
    for front in list(value, "/fronts") {
        let state = fronts::state(front.get("state").unwrap_or(&Value::Null));
        let (mark, said) = (fronts::mark(state), fronts::said(state));
        // What is being tried has no result yet, whenever the last attempt was.
        let tried = since(front, "/tried").filter(|_| state != FrontState::Checking);
        let tried = tried.map(|ago_| format!(", tried {} ago", ago(ago_))).unwrap_or_default();
        let is_fine = state == FrontState::Passed;
        let address = text(front, "/address");
        let line = match text(front, "/front").as_str() {
            "endpoint" => format!("{mark} {said}{tried}"),
            "domain" if !is_fine => format!("{mark} {address}: {said}{tried}"),
            "plain_socket" | "tls_socket" if matches!(state, FrontState::Failed(_)) => {
                format!("{mark} this server's own {address}: {said}")
            }
            "tcp_host" if matches!(state, FrontState::Failed(_)) => {
                format!("{mark} raw TCP services: {said}{tried}")
            }
            _ => continue,
        };
        lines.push(format!("           {line}\n"));
    }
    lines.concat()
}

/// The certificates in use, and what is wrong with those that are not.
fn certificates(value: &Value) -> String {
    let mut lines: Vec<String> = list(value, "/certificates").iter().map(certificate).collect();
    let problem = text(value, "/certificate_problem");
    match (problem.is_empty(), lines.is_empty()) {
        (true, _) => {}
        (false, true) => lines.push(format!("not served: {problem}")),
        (false, false) => lines.push(format!("not the newer one on the disk: {problem}")),
    }
    let uncovered: Vec<String> =
        list(value, "/without_certificate").iter().map(|host| text(host, "")).collect();
    if !uncovered.is_empty() {
        lines.push(format!("no certificate covers {}", petit_server::certificate::said(&uncovered)));
    }
    let titles = std::iter::once("HTTPS").chain(std::iter::repeat(""));
    titles.zip(lines).map(|(title, line)| format!("{title:<10} {line}\n")).collect()
}

/// Which certificate, how long it is good for, for whom, and whether its key is a secret.
pub(crate) fn certificate(value: &Value) -> String {
    let exposed = text(value, "/exposed_key");
    match exposed.as_str() {
        "" => validity(value),
        key => format!("{}; all users of this computer can read {key}: run chmod 600 on it", validity(value)),
    }
}

fn validity(value: &Value) -> String {
    let path = text(value, "/path");
    let names: Vec<String> = list(value, "/names").iter().map(|name| text(name, "")).collect();
    let names = petit_server::certificate::said(&names);
    let Some(end) = value.pointer("/not_after").and_then(Value::as_u64) else {
        return format!("{path}, for {names}");
    };
    let end = UNIX_EPOCH + Duration::from_secs(end);
    let date = humantime::format_rfc3339_seconds(end).to_string();
    let date = date.split('T').next().unwrap_or_default();
    match end.duration_since(SystemTime::now()) {
        Ok(left) if is_true(value, "/ends_soon") => {
            format!("{path}, which ends in {} ({date}), for {names}", ago(left))
        }
        Ok(_) => format!("{path}, good until {date}, for {names}"),
        Err(_) => format!("{path}, which ended on {date}: visitors refuse it ({names})"),
    }
}

/// What is missing for an alias, if anything is: a line that begins a new one.
pub(crate) fn without_certificate(value: &Value) -> String {
    let Some(missing) = value.pointer("/without_certificate").filter(|missing| missing.is_object()) else {
        return String::new();
    };
    let (host, folder) = (text(missing, "/host"), text(missing, "/folder"));
    if missing.pointer("/others").and_then(Value::as_u64) == Some(0) {
        format!(
            "\nWhat ends TLS in front of this server needs a certificate for {host}, and DNS has to lead {host} there."
        )
    } else {
        format!("\nNo certificate covers {host}: HTTPS visitors will be warned off until one is in {folder}.")
    }
}

pub(crate) fn clients(value: &Value) -> String {
    let clients = list(value, "/clients");
    if clients.is_empty() {
        return "No clients. Make an invite with: petit-server invite".to_owned();
    }
    let mut rows =
        vec![["", "CLIENT", "NAME", "SERVICES", "ONLINE", "REGISTERED"].map(str::to_owned).to_vec()];
    for client in clients {
        let services: Vec<String> =
            list(client, "/services").iter().map(|service| text(service, "/name")).collect();
        let online = match (since(client, "/session/since"), text(client, "/ended/by").as_str()) {
            (Some(since), _) => format!("for {}", ago(since)),
            (None, "client") => "unregistered by the customer".to_owned(),
            (None, "operator") => "revoked".to_owned(),
            (None, _) => "away".to_owned(),
        };
        rows.push(vec![
            mark(client).to_owned(),
            text(client, "/id"),
            called(client),
            services.join(" "),
            online,
            date(client, "/created"),
        ]);
    }
    table(&rows)
}

pub(crate) fn client(value: &Value) -> String {
    let mut out = format!("{} {}  {}\n", mark(value), text(value, "/id"), text(value, "/name"));
    let mut line = |name: &str, text: String| {
        if !text.is_empty() {
            out.push_str(&format!("  {name:<12} {text}\n"));
        }
    };
    line("note", text(value, "/note"));
    line("registered", date(value, "/created"));
    line("key", text(value, "/fingerprint"));
    line("its words", text(value, "/key_words/en"));
    line("", text(value, "/key_words/de"));
    line("software", text(value, "/software"));
    if value.pointer("/ended/at").is_some() {
        line("ended", format!("{} by the {}", date(value, "/ended/at"), text(value, "/ended/by")));
    }
    if value.pointer("/breach/at").is_some() {
        let (at, rule) = (date(value, "/breach/at"), text(value, "/breach/rule"));
        line(
            "fault",
            format!("it broke the protocol: {rule} ({at}); see that both ends have their newest version"),
        );
    }
    if let Some(online) = since(value, "/session/since") {
        line("online", format!("for {} from {}", ago(online), text(value, "/session/peer")));
        let trip = value.pointer("/session/round_trip_us").and_then(Value::as_u64);
        line("round trip", trip.map(|us| format!("{:.1} ms", us as f64 / 1000.0)).unwrap_or_default());
        for (name, fact) in value.pointer("/session/vitae").and_then(Value::as_object).into_iter().flatten() {
            line(name, text(fact, ""));
        }
    }
    for service in list(value, "/services") {
        let aliases: Vec<String> = list(service, "/aliases").iter().map(|alias| text(alias, "")).collect();
        out.push_str(&format!("  service      {} ({})\n", text(service, "/name"), health(value, service)));
        out.push_str(&format!("               {}{}\n", text(service, "/url"), public(service)));
        if !aliases.is_empty() {
            out.push_str(&format!("               aliases: {}\n", aliases.join(" ")));
        }
    }
    out
}

/// How the public front of a service is, behind its address.
fn public(service: &Value) -> String {
    match service.get("front") {
        None | Some(Value::Null) => String::new(),
        Some(state) => {
            let state = fronts::state(state);
            format!("  {} {}", fronts::mark(state), fronts::said_of(state, &text(service, "/url")))
        }
    }
}

pub(crate) fn aliases(value: &Value) -> String {
    let aliases = list(value, "/aliases");
    if aliases.is_empty() {
        return "No aliases. Give one with: petit-server addalias ID ALIAS".to_owned();
    }
    let mut rows = vec![["ALIAS", "REGISTERED ID", "SERVICE", "ADDRESS"].map(str::to_owned).to_vec()];
    rows.extend(
        aliases
            .iter()
            .map(|alias| ["/alias", "/id", "/service", "/url"].map(|name| text(alias, name)).to_vec()),
    );
    table(&rows)
}

pub(crate) fn invites(value: &Value) -> String {
    let invites = list(value, "/invites");
    if invites.is_empty() {
        return "No invites. Make one with: petit-server invite".to_owned();
    }
    let mut rows = vec![["INVITE", "STATE", "SERVICE", "ALIAS", "UNTIL", "NOTE"].map(str::to_owned).to_vec()];
    for invite in invites {
        rows.push(vec![
            text(invite, "/id"),
            text(invite, "/state"),
            text(invite, "/service"),
            text(invite, "/alias"),
            date(invite, "/not_after"),
            text(invite, "/note"),
        ]);
    }
    table(&rows)
}

pub(crate) fn invite(value: &Value, with_qr: bool) -> String {
    let link = text(value, "/link");
    let lifetime = value.pointer("/lifetime_seconds").and_then(Value::as_u64).unwrap_or_default();
    let mut out = format!(
        "Invite for one client, service {:?}. It works once, within {}. Hand it over like a password.\n\n{link}\n\n\
         Where the tray app is installed already, this opens it:\n\n{}\n",
        text(value, "/service"),
        ago(Duration::from_secs(lifetime)),
        text(value, "/app_link"),
    );
    if with_qr && let Ok(code) = QrCode::with_error_correction_level(link.as_bytes(), EcLevel::L) {
        out.push('\n');
        // Light modules are drawn, because most terminals are dark.
        out.push_str(
            &code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build(),
        );
        out.push('\n');
    }
    let server = text(value, "/server");
    let vendor = text(value, "/vendor");
    out.push_str(&format!("\nThe client will connect to {server}.\n"));
    if vendor.is_empty() {
        out.push_str("It shows no name beside it; set name in [server.vitae], so that customers see who invites them.\n");
    } else {
        out.push_str(&format!("It says that you call yourself {vendor}.\n"));
    }
    if server.starts_with("localhost:") || server.starts_with("127.") {
        out.push_str(
            "That is this computer only; for others set endpoint or tunnel_address in the config.\n",
        );
    }
    out.push_str(&format!(
        "\nBefore it goes on it shows these six words. Tell them to the customer in another way, such as by telephone:\n\n{}\n",
        key_words(value, "  ")
    ));
    out.push_str("The customer types: petit-client register");
    out.push_str(&without_certificate(value));
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_being_tried_is_not_said_to_have_been_tried() {
        let said = |state: Value| {
            let fronts = json!({ "fronts": [
                { "front": "endpoint", "state": state, "tried": 1 },
                { "front": "domain", "address": "https://shop.example", "state": state, "tried": 1 },
            ] });
            ways_in(&fronts)
        };
        let checking = said(json!("checking"));
        assert!(checking.contains("… being tried\n") && !checking.contains("ago"), "{checking}");
        let failed = said(json!({ "failed": "no_tls" }));
        assert_eq!(failed.matches(", tried ").count(), 2, "{failed}");
    }
}
