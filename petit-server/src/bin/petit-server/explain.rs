//! What `explain` has found, in the operator's words.

use petit_engine::limits;
use petit_engine::proto::control::FrontState;
use serde_json::Value;

use super::fronts;
use super::show::{is_true, text};

/// The whole answer: what it is, hop by hop, and what a visitor gets.
pub(crate) fn explain(value: &Value) -> String {
    let mut lines = vec![what(value)];
    let is_service = text(value, "/decision") == "service";
    lines.push(entry_point(value));
    if is_service {
        lines.push(tunnel(value));
        lines.extend(service(value));
    }
    lines.push(outcome(value));
    lines.join("\n")
}

/// What the host or the port stands for.
fn what(value: &Value) -> String {
    let host = text(value, "/host");
    let is_tcp = text(value, "/scheme") == "tcp";
    match text(value, "/decision").as_str() {
        "foreign" => format!("{host} is not under {} and no alias.", text(value, "/domain")),
        "unknown" if is_tcp => format!("No raw TCP service has port {}.", text(value, "/port")),
        "unknown" => format!(
            "{host} is no service's name: neither an alias, nor a single label under {} that begins with a registered ID.",
            text(value, "/domain")
        ),
        _ => {
            let name = if is_tcp { format!("Port {}", text(value, "/port")) } else { host };
            format!(
                "{name} is service {:?} of client {}, found by its {} ({}).",
                text(value, "/service"),
                text(value, "/client"),
                text(value, "/via"),
                text(value, "/id"),
            )
        }
    }
}

/// How the entry point of the server is.
fn entry_point(value: &Value) -> String {
    if !is_true(value, "/server_running") {
        return "✘ server: it is not running.".to_owned();
    }
    let (scheme, port) = (text(value, "/scheme"), text(value, "/port"));
    let url = text(value, "/url").to_ascii_lowercase();
    let public = public(value);
    match (text(value, "/way_in").as_str(), public) {
        ("endpoint" | "tcp_port", Some(public)) => {
            format!("{} public address: {}.", fronts::mark(public), said(public, &url))
        }
        ("endpoint", None) => {
            let host = text(value, "/host");
            format!("? public address: not looked at, because {host} is not a name of this server's.")
        }
        ("plain_socket", _) if scheme == "https" => {
            format!("✘ port {port}: plain HTTP is spoken there, no TLS.")
        }
        ("tls_socket", _) if scheme == "http" => format!("✘ port {port}: only TLS is spoken there."),
        ("tls_socket", _) if text(value, "/outcome") == "no_tls" => {
            format!("✘ port {port}: there is no certificate for HTTPS visitors.")
        }
        ("plain_socket" | "tls_socket", _) => {
            format!(
                "? port {port}: the server's own, and not the one that public addresses say; whether visitors reach it was not looked at."
            )
        }
        _ => format!("✘ port {port}: this server listens for no {scheme} there."),
    }
}

/// How the public address was found; `None` when it was not looked at.
fn public(value: &Value) -> Option<FrontState> {
    value.get("public").filter(|public| !public.is_null()).map(fronts::state)
}

fn said(public: FrontState, url: &str) -> String {
    match public {
        FrontState::Passed => "visitors get in, tried just now".to_owned(),
        FrontState::Failed(_) if url.starts_with("tcp://") => {
            "no connection to that host and port comes in at this server; raw TCP services listen on tcp_bind alone"
                .to_owned()
        }
        other => fronts::said_of(other, url),
    }
}

/// What came back through the tunnel.
fn tunnel(value: &Value) -> String {
    if !is_true(value, "/server_running") {
        return "? tunnel: no server runs, so no client is connected.".to_owned();
    }
    if !is_true(value, "/client_online") {
        return "✘ tunnel: the client is not connected.".to_owned();
    }
    let Some(probe) = value.get("trial").filter(|probe| !probe.is_null()) else {
        return "? tunnel: the client is connected; nothing was sent through it, because it does not offer the service."
            .to_owned();
    };
    if probe.get("tunnel_us").is_some_and(Value::is_u64) {
        return "✔ tunnel: the client has answered through it just now.".to_owned();
    }
    match probe.get("broken").and_then(Value::as_str) {
        Some("tunnel") => "✘ tunnel: the connection to the client takes no request.".to_owned(),
        Some("client") => "✘ tunnel: the client has left just now.".to_owned(),
        _ => format!(
            "✘ tunnel: the client counts as connected, and has not answered within {} s.",
            limits::PROBE_LIMIT.as_secs()
        ),
    }
}

/// How the client found the service.
fn service(value: &Value) -> Option<String> {
    let health = value.get("health")?;
    if let Some(cause) = health.get("down").and_then(Value::as_str) {
        let why = match cause {
            "refused" => "nothing listens there",
            "name_not_found" => "its host name is not known",
            "forbidden" => "its name leads to an address where no service may be",
            "not_tls" => "it does not speak TLS",
            "untrusted" => "its certificate is not trusted",
            "no_answer" => "it takes requests and gives no answer",
            "not_http" => "it does not speak HTTP",
            _ => "it is not reached",
        };
        return Some(format!("✘ service: the client says that it cannot reach the service: {why}."));
    }
    if health.as_str() == Some("up") {
        return Some(
            "✔ service: the client has connected to it just now; what it answers was not looked at."
                .to_owned(),
        );
    }
    let is_asked = is_true(value, "/server_running") && is_true(value, "/client_online");
    is_asked.then(|| "? service: nothing is known of it.".to_owned())
}

/// What a visitor gets.
fn outcome(value: &Value) -> String {
    let answer =
        format!("{} with Petit-Error: {}", text(value, "/answer/status"), text(value, "/answer/code"));
    let has_answer = value.pointer("/answer/status").is_some();
    let tcp_address = text(value, "/address");
    let tcp = if has_answer && !tcp_address.is_empty() {
        format!(" The service is reached at {tcp_address}.")
    } else {
        String::new()
    };
    // Only of an address that was tried is it known that visitors get in.
    let is_proved = public(value) == Some(FrontState::Passed);
    let who = match text(value, "/decision").as_str() {
        "foreign" => "Whoever comes here under that name",
        _ if is_proved => "A visitor",
        _ => "Whoever gets in",
    };
    match text(value, "/outcome").as_str() {
        "connection_refused" if !is_true(value, "/server_running") => {
            let later =
                if has_answer { format!(" While the server runs they get {answer}.") } else { String::new() };
            format!("A visitor's connection is refused; a proxy in front may say 502.{later}")
        }
        "connection_refused" => "A visitor's connection is refused, or ends at another program.".to_owned(),
        "no_tls" => "A visitor's connection ends in the TLS handshake.".to_owned(),
        "only_tls" => "A visitor's connection is closed without an answer.".to_owned(),
        "kept_out" => "A visitor does not get in.".to_owned(),
        "reset" if is_proved => "A visitor's connection is reset at once.".to_owned(),
        "reset" => "The connection of whoever gets in is reset at once.".to_owned(),
        "answer" => format!("{who} gets {answer}.{tcp}"),
        _ if is_proved => "A visitor's request goes through the tunnel to the service.".to_owned(),
        _ => "The request of whoever gets in goes through the tunnel to the service.".to_owned(),
    }
}
