//! The operator's sentences: answers as text.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petit_engine::proto::control::{FrontState, ServiceKind};
use petit_engine::words::KeyWords;
use petit_host::cli::{ago, table};
use petit_host::service::{self, RunBy};
use petit_server::api::{
    AliasList, CertificateView, ClientLabelled, ClientView, ConfigReloaded, EndView, FrontName, HolderKind,
    HolderView, MissingCertificate, PhaseView, ScarceKind, ServiceView, ShortageView, Status, WaitsFor,
};
use petit_server::registry::EndedBy;

use super::{fronts, health, policy, refusals, release};
use petit_server::folder::NAME;

fn since(seconds: u64) -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_secs(seconds)).ok()
}

pub(crate) fn date(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

pub(crate) fn or_nothing(text: Option<impl ToString>) -> String {
    text.map(|text| text.to_string()).unwrap_or_default()
}

pub(crate) fn joined<'a, T: ToString + 'a>(words: impl IntoIterator<Item = &'a T>) -> String {
    words.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The six words of a key, a row for each language, each begun with `begin`.
pub(crate) fn key_words(words: Option<&KeyWords>, begin: &str) -> String {
    let rows = words.map(|words| [&words.english, &words.german]).into_iter().flatten();
    rows.filter(|row| !row.is_empty()).map(|row| format!("{begin}{row}\n")).collect()
}

/// What a client calls itself, and what its invite was for.
fn called(client: &ClientView) -> String {
    let (name, note) = (&client.name, client.note.as_str());
    if note.is_empty() { name.clone() } else { format!("{name} ({note})") }
}

/// The original's marks: `+` online, `/` leaving, `-` away. Ours: `x` suspended.
fn mark(client: &ClientView) -> &'static str {
    match &client.session {
        _ if client.suspended.is_some() && client.is_registered() => "x",
        _ if !client.online => "-",
        Some(session) if session.leaving => "/",
        Some(_) | None => "+",
    }
}

/// How a service is, by what its client says; a client may be connected and not offer it.
fn health(client: &ClientView, service: &ServiceView) -> String {
    if client.suspended.is_some() {
        return "suspended".to_owned();
    }
    if !client.online {
        return "away".to_owned();
    }
    if !service.online {
        return "not offered".to_owned();
    }
    if service.shut_by.is_some() {
        return "port shut".to_owned(); // whatever its client says, nobody comes to it
    }
    health::said(service.health.unwrap_or_default())
}

/// Who runs it, and where it writes its log.
fn run_by(status: &Status) -> String {
    let Some(RunBy { manager, unit, user }) = &status.run_by else {
        return format!("log        {}\n", status.log.display());
    };
    let log = match !cfg!(windows) && status.config == service::config_file(NAME) {
        true => format!("in the journal: journalctl --unit {unit}"),
        false => status.log.display().to_string(),
    };
    format!(
        "config     {}\nlog        {log}\nrun by     {manager} as {unit}, with the rights of {user}\n",
        status.config.display()
    )
}

pub(crate) fn status(status: &Status) -> String {
    let https = if status.https_visitors { ", and HTTPS visitors" } else { "" };
    let certificates = certificates(status);
    let registry = status.registry_problem.as_ref();
    let registry = registry.map(|problem| format!("registry   {problem}\n")).unwrap_or_default();
    let fronts = ways_in(status);
    let mut out = format!(
        "{} is running for {} (process {})\n\
         {}\
         visitors   http://{}\n\
         clients    {}{https}; invites say {}\n\
         addresses  {}\n\
         {fronts}{certificates}key        {}\n\
         {}{registry}{}",
        status.software,
        ago(Duration::from_secs(status.up_seconds)),
        status.pid,
        phase(status),
        status.http,
        status.tls,
        or_nothing(status.tunnel_address.as_ref()),
        status.endpoint,
        or_nothing(status.server_key),
        key_words(status.key_words.as_ref(), "           "),
        run_by(status),
    );
    if let Some(address) = status.metrics {
        out.push_str(&format!("metrics    http://{address}/metrics\n"));
    }
    let warning = policy::warning(status.exposure);
    if !warning.is_empty() {
        out.push_str(&format!("visitors   {warning}\n"));
    }
    for keyless in &status.keyless {
        out.push_str(&format!("visitors   {}\n", refusals::keyless(keyless, &status.config)));
    }
    out.push_str(&refusals::of_all(&status.policies, &date(status.since)));
    for port in &status.shut_ports {
        out.push_str(&format!("shut       {}\n", refusals::shut(port)));
    }
    for shortage in &status.now.shortages {
        out.push_str(&short(shortage));
    }
    out.push_str(&release::fetched(status));
    let clients: Vec<&ClientView> = status.clients.iter().filter(|client| client.is_registered()).collect();
    if clients.is_empty() {
        out.push_str("\nNo clients yet. Make an invite with: petit-server invite");
        return out;
    }
    let mut rows =
        vec![["", "REGISTERED ID", "SERVICE", "STATE", "ALSO AT", "CLIENT"].map(str::to_owned).to_vec()];
    for client in clients {
        for service in &client.services {
            // A raw TCP service is reached by its port alone.
            let is_open_port =
                service.kind == ServiceKind::Tcp && service.online && service.shut_by.is_none();
            let port = is_open_port.then(|| service.url.clone());
            let aliases = service.aliases.iter().map(ToString::to_string);
            let also: Vec<String> = port.into_iter().chain(aliases).collect();
            rows.push(vec![
                mark(client).to_owned(),
                service.id.to_string(),
                service.name.to_string(),
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
fn short(shortage: &ShortageView) -> String {
    let ShortageView { holders, most, of, used, what } = shortage;
    let of = of.as_deref().unwrap_or_default();
    let what = match what {
        ScarceKind::Requests => "requests of all clients".to_owned(),
        ScarceKind::ServiceRequests => format!("requests to service {of}"),
        ScarceKind::WebSockets => format!("WebSockets of client {of}"),
        ScarceKind::Visits => format!("visits to client {of}"),
    };
    let holders: Vec<String> = holders
        .iter()
        .map(|HolderView { kind, name, places }| {
            let name = name.as_deref().unwrap_or_default();
            match kind {
                HolderKind::Visitor => format!("{name} {places}"),
                HolderKind::ExemptNetworks => format!("exempt networks {places}"),
                HolderKind::Client => format!("client {name} {places}"),
                HolderKind::Service => format!("service {name} {places}"),
            }
        })
        .collect();
    format!("short      {what}: {used} of {most}; most have {}\n", holders.join(", "))
}

fn restart_due(settings: &[String]) -> String {
    format!("{}; put them in force with: petit-server restart", settings.join(", "))
}

/// What is under way, and how long it gets; `None` when nothing is.
pub(crate) fn waits_for(waits: &WaitsFor) -> Option<String> {
    let kinds = [
        (waits.requests, "request", "requests"),
        (waits.websockets, "WebSocket", "WebSockets"),
        (waits.event_streams, "event stream", "event streams"),
        (waits.tcp_connections, "TCP connection", "TCP connections"),
    ];
    let counts = kinds.iter().filter_map(|(count, one, many)| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    });
    let counts: Vec<String> = counts.collect();
    (!counts.is_empty()).then(|| format!("{}, for {} s at most", counts.join(", "), waits.seconds_left))
}

/// What the server is about, when it is about anything but serving.
fn phase(status: &Status) -> String {
    let mut out = match status.state {
        PhaseView::Stopping => {
            let waits = status.waits_for.as_ref().and_then(waits_for);
            let waits = waits.unwrap_or_else(|| "connections to close".to_owned());
            format!("stopping   it waits for {waits}; to end at once: petit-server stop\n")
        }
        PhaseView::Restarting => "restarting another process gets ready to take its place\n".to_owned(),
        PhaseView::Running => String::new(),
    };
    for before in &status.before {
        if let Some(waits) = waits_for(before) {
            out.push_str(&format!("before     process {} finishes {waits}\n", before.pid));
        }
    }
    if !status.needs_restart.is_empty() {
        out.push_str(&format!("restart    due for {}\n", restart_due(&status.needs_restart)));
    }
    if let Some(problem) = &status.config_problem {
        out.push_str(&format!("config     not in force: {problem}\n"));
    }
    out
}

/// What came of reading the config again.
pub(crate) fn reloaded(reloaded: &ConfigReloaded, file: &Path) -> String {
    let ConfigReloaded {
        certificate_problem: _, // said as what has failed
        certificates,
        keyless,
        needs_restart,
        new_certificate,
        opened,
        ports,
    } = reloaded;
    let mut out = if needs_restart.is_empty() {
        "The config file is in force.".to_owned()
    } else {
        format!(
            "The config file is in force, but these settings need a restart: {}",
            restart_due(needs_restart)
        )
    };
    for shown in certificates {
        out.push_str(&format!("\nHTTPS visitors are shown {}.", certificate(shown)));
    }
    if certificates.is_empty() && *new_certificate {
        out.push_str("\nThere is no certificate any more, so HTTPS visitors are not served.");
    }
    if let Some(opened) = opened {
        out.push_str(&format!("\nMore is open than before: {}", policy::warning(*opened)));
    }
    for keyless in keyless {
        out.push_str(&format!("\n{}", refusals::keyless(keyless, file)));
    }
    out.push_str(&refusals::changes(ports));
    out
}

/// How the ways in are: the public address always, the others when there is something to say.
fn ways_in(status: &Status) -> String {
    let mut lines = Vec::new();
    for front in &status.fronts {
        let (mark, said) = (fronts::mark(front.state), fronts::said(front.state));
        // What is being tried has no result yet, whenever the last attempt was.
        let tried = front.tried.and_then(since).filter(|_| front.state != FrontState::Checking);
        let tried = tried.map(|ago_| format!(", tried {} ago", ago(ago_))).unwrap_or_default();
        let has_failed = matches!(front.state, FrontState::Failed(_));
        let address = &front.address;
        let line = match front.front {
            FrontName::Endpoint => format!("{mark} {said}{tried}"),
            FrontName::Domain if front.state != FrontState::Passed => {
                format!("{mark} {address}: {said}{tried}")
            }
            FrontName::PlainSocket | FrontName::TlsSocket if has_failed => {
                format!("{mark} this server's own {address}: {said}")
            }
            FrontName::TcpHost if has_failed => format!("{mark} raw TCP services: {said}{tried}"),
            FrontName::Domain | FrontName::PlainSocket | FrontName::TlsSocket | FrontName::TcpHost => {
                continue;
            }
        };
        lines.push(format!("           {line}\n"));
    }
    lines.concat()
}

/// The certificates in use, and what is wrong with those that are not.
fn certificates(status: &Status) -> String {
    let mut lines: Vec<String> =
        status.certificates.iter().filter(|one| one.instead.is_none()).map(certificate).collect();
    lines.extend(status.certificates.iter().filter(|one| one.instead.is_some()).map(certificate));
    match (&status.certificate_problem, lines.is_empty()) {
        (None, _) => {}
        (Some(problem), true) => lines.push(format!("not served: {problem}")),
        (Some(problem), false) => lines.push(format!("not the newer one on the disk: {problem}")),
    }
    if !status.without_certificate.is_empty() {
        let uncovered = petit_server::certificate::said(&status.without_certificate);
        lines.push(format!("no certificate covers {uncovered}"));
    }
    let titles = std::iter::once("HTTPS").chain(std::iter::repeat(""));
    titles.zip(lines).map(|(title, line)| format!("{title:<10} {line}\n")).collect()
}

/// Which certificate, how long it is good for, for whom, and whether its key is a secret.
pub(crate) fn certificate(shown: &CertificateView) -> String {
    if let Some(instead) = &shown.instead {
        return format!("{}, but not {}, which is older or has ended", instead.display(), validity(shown));
    }
    match &shown.exposed_key {
        None => validity(shown),
        Some(key) => {
            let (validity, key) = (validity(shown), key.display());
            format!("{validity}; all users of this computer can read {key}: run chmod 600 on it")
        }
    }
}

fn validity(shown: &CertificateView) -> String {
    let (path, names) = (shown.path.display(), petit_server::certificate::said(&shown.names));
    let Some(end) = shown.not_after else {
        return format!("{path}, for {names}");
    };
    let date = date(end);
    let date = date.split('T').next().unwrap_or_default();
    match (UNIX_EPOCH + Duration::from_secs(end)).duration_since(SystemTime::now()) {
        Ok(left) if shown.ends_soon => {
            format!("{path}, which ends in {} ({date}), for {names}", ago(left))
        }
        Ok(_) => format!("{path}, good until {date}, for {names}"),
        Err(_) => format!("{path}, which ended on {date}: visitors refuse it ({names})"),
    }
}

/// What is missing for an alias, if anything is: a line that begins a new one.
pub(crate) fn without_certificate(missing: Option<&MissingCertificate>) -> String {
    let Some(MissingCertificate { folder, host, others }) = missing else {
        return String::new();
    };
    if *others == 0 {
        format!(
            "\nWhat ends TLS in front of this server needs a certificate for {host}, and DNS has to lead {host} there."
        )
    } else {
        let folder = or_nothing(folder.as_ref().map(|folder| folder.display()));
        format!("\nNo certificate covers {host}: HTTPS visitors will be warned off until one is in {folder}.")
    }
}

/// `all`: so many there are, those that are not shown among them.
pub(crate) fn clients(clients: &[ClientView], all: usize) -> String {
    match (clients.is_empty(), all) {
        (true, 0) => return "No clients. Make an invite with: petit-server invite".to_owned(),
        (true, _) => return "No clients match; see all with: petit-server clients list --all".to_owned(),
        (false, _) => {}
    }
    let mut rows =
        vec![["", "CLIENT", "NAME", "TAGS", "SERVICES", "ONLINE", "REGISTERED"].map(str::to_owned).to_vec()];
    for client in clients {
        let services: Vec<&str> = client.services.iter().map(|service| service.name.as_str()).collect();
        let online = client.session.as_ref().and_then(|session| since(session.since));
        let online = match (online, client.ended) {
            (_, None) if client.suspended.is_some() => "suspended".to_owned(),
            (Some(since), _) => format!("for {}", ago(since)),
            (None, Some(EndView { by: EndedBy::Client, .. })) => "unregistered by the customer".to_owned(),
            (None, Some(EndView { by: EndedBy::Operator, .. })) => "revoked".to_owned(),
            (None, None) => "away".to_owned(),
        };
        rows.push(vec![
            mark(client).to_owned(),
            client.id.to_string(),
            called(client),
            joined(&client.tags),
            services.join(" "),
            online,
            date(client.created),
        ]);
    }
    table(&rows)
}

pub(crate) fn client(client: &ClientView) -> String {
    let mut out = format!("{} {}  {}\n", mark(client), client.id, client.name);
    let mut line = |name: &str, text: String| {
        if !text.is_empty() {
            out.push_str(&format!("  {name:<12} {text}\n"));
        }
    };
    line("note", client.note.to_string());
    line("tags", joined(&client.tags));
    line("registered", date(client.created));
    line("key", client.fingerprint.to_string());
    line("its words", client.key_words.english.clone());
    line("", client.key_words.german.clone());
    line("software", client.software.clone());
    if let Some(at) = client.suspended.filter(|_| client.is_registered()) {
        line("suspended", format!("since {}: it is not let in", date(at)));
    }
    if let Some(EndView { at, by }) = client.ended {
        let by = match by {
            EndedBy::Operator => "operator",
            EndedBy::Client => "client",
        };
        line("ended", format!("{} by the {by}", date(at)));
    }
    if let Some(breach) = &client.breach {
        let (at, rule) = (date(breach.at), &breach.rule);
        line(
            "fault",
            format!("it broke the protocol: {rule} ({at}); see that both ends have their newest version"),
        );
    }
    if let Some(session) = &client.session {
        let online = since(session.since).unwrap_or_default();
        line("online", format!("for {} from {}", ago(online), session.peer));
        let trip = session.round_trip_us.map(|us| format!("{:.1} ms", us as f64 / 1000.0));
        line("round trip", trip.unwrap_or_default());
        for (name, fact) in &session.vitae {
            line(name.as_str(), fact.as_str().to_owned());
        }
    }
    for service in &client.services {
        out.push_str(&format!("  service      {} ({})\n", service.name, health(client, service)));
        out.push_str(&format!("               {}{}\n", service.url, public(service)));
        if let Some(policy) = &service.shut_by {
            out.push_str(&format!("               its port is not listened on: {}\n", refusals::why(policy)));
        }
        if !service.aliases.is_empty() {
            out.push_str(&format!("               aliases: {}\n", joined(&service.aliases)));
        }
    }
    out
}

/// What is written down of a client now.
pub(crate) fn labelled(labelled: &ClientLabelled) -> String {
    let ClientLabelled { client, note, tags, ports } = labelled;
    let tags = match tags.len() {
        0 => "has no tags".to_owned(),
        1 => format!("has the tag {}", joined(tags)),
        _ => format!("has the tags {}", joined(tags)),
    };
    let note = note.as_str();
    let note = if note.is_empty() { "no note".to_owned() } else { format!("the note {note:?}") };
    format!("Client {client} {tags}, and {note}.{}", refusals::changes(ports))
}

/// How the public front of a service is, behind its address.
fn public(service: &ServiceView) -> String {
    // Where nobody listens it makes no difference whether the host is reached.
    let front = service.front.filter(|_| service.shut_by.is_none());
    front.map_or_else(String::new, |state| {
        format!("  {} {}", fronts::mark(state), fronts::said_of(state, &service.url))
    })
}

pub(crate) fn aliases(list: &AliasList) -> String {
    if list.aliases.is_empty() {
        return "No aliases. Give one with: petit-server addalias ID ALIAS".to_owned();
    }
    let mut rows = vec![["ALIAS", "REGISTERED ID", "SERVICE", "ADDRESS"].map(str::to_owned).to_vec()];
    rows.extend(list.aliases.iter().map(|alias| {
        vec![alias.alias.to_string(), alias.id.to_string(), alias.service.to_string(), alias.url.clone()]
    }));
    table(&rows)
}

#[cfg(test)]
mod tests {
    use petit_engine::cause::FrontCause;
    use petit_server::api::{FrontView, Load, TurnedAway};

    use petit_server::directory::Exposure;

    use super::*;

    fn with_fronts(fronts: Vec<FrontView>) -> Status {
        let turned_away_by = TurnedAway {
            broken_off: 0,
            connections: 0,
            gave_way_unanswered: 0,
            gave_way_without_body: 0,
            requests: 0,
        };
        let now = Load {
            connections: 0,
            downloads: None,
            faults: 0,
            requests: 0,
            shortages: Vec::new(),
            tasks: 0,
            turned_away: 0,
            turned_away_by,
        };
        Status {
            before: Vec::new(),
            certificate_problem: None,
            certificates: Vec::new(),
            config: "/config.toml".into(),
            config_problem: None,
            endpoint: "https://REGID.example.com".parse().unwrap(),
            exposure: Exposure { open: 0, services: 0, new_are_open: false },
            fronts,
            http: "127.0.0.1:8090".parse().unwrap(),
            https_visitors: false,
            keyless: Vec::new(),
            key_words: None,
            log: "/server.log".into(),
            metrics: None,
            needs_restart: Vec::new(),
            now,
            pid: 1,
            policies: Vec::new(),
            registry_problem: None,
            release_problem: None,
            rollout_halted: None,
            run_by: None,
            server_key: None,
            shut_ports: Vec::new(),
            since: 0,
            software: "petit-server".to_owned(),
            state: PhaseView::Running,
            tls: "127.0.0.1:8453".parse().unwrap(),
            tunnel_address: None,
            up_seconds: 0,
            waits_for: None,
            without_certificate: Vec::new(),
            clients: Vec::new(),
        }
    }

    #[test]
    fn what_is_being_tried_is_not_said_to_have_been_tried() {
        let said = |state: FrontState| {
            let front = |front, address: &str| FrontView {
                address: address.to_owned(),
                front,
                since: 0,
                state,
                took_us: None,
                tried: Some(1),
            };
            ways_in(&with_fronts(vec![
                front(FrontName::Endpoint, ""),
                front(FrontName::Domain, "https://shop.example"),
            ]))
        };
        let checking = said(FrontState::Checking);
        assert!(checking.contains("… being tried\n") && !checking.contains("ago"), "{checking}");
        let failed = said(FrontState::Failed(FrontCause::NoTls));
        assert_eq!(failed.matches(", tried ").count(), 2, "{failed}");
    }
}
