//! What `explain` has found, in the operator's words.

use petit_engine::proto::control::FrontState;
use serde_json::Value;

use super::fronts;
use super::show::{is_true, text};

/// The whole answer: what it is, hop by hop, and what a visitor gets.
pub(crate) fn explain(value: &Value) -> String {
    let mut lines = vec![what(value)];
    let is_service = text(value, "/decision") == "service";
    lines.extend(way_in(value));
    if is_service {
        let online = is_true(value, "/client_online");
        lines.push(match (online, is_true(value, "/server_running")) {
            (true, _) => "✔ tunnel: the client is connected.".to_owned(),
            (false, true) => "✘ tunnel: the client is not connected.".to_owned(),
            (false, false) => "? tunnel: no server runs, so no client is connected.".to_owned(),
        });
        lines.extend(health(value));
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
        "unknown" => format!("{host} is neither an alias nor does it begin with a registered ID."),
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

/// How the way into the server is.
fn way_in(value: &Value) -> Option<String> {
    if !is_true(value, "/server_running") {
        return Some("✘ server: it is not running.".to_owned());
    }
    let (scheme, port) = (text(value, "/scheme"), text(value, "/port"));
    let public = value.get("public").filter(|public| !public.is_null()).map(fronts::state);
    let line = match (text(value, "/way_in").as_str(), public) {
        ("endpoint" | "tcp_port", Some(public)) => {
            format!("{} public address: {}.", fronts::mark(public), said(public))
        }
        ("endpoint" | "tcp_port", None) => return None,
        ("plain_socket", _) if scheme == "https" => {
            format!("✘ port {port}: plain HTTP is spoken there, no TLS.")
        }
        ("tls_socket", _) if scheme == "http" => format!("✘ port {port}: only TLS is spoken there."),
        ("tls_socket", _) if text(value, "/outcome") == "no_tls" => {
            format!("✘ port {port}: there is no certificate for HTTPS visitors.")
        }
        ("plain_socket" | "tls_socket", _) => {
            format!("? port {port}: the server's own, and not the one that public addresses say.")
        }
        _ => format!("✘ port {port}: this server listens for no {scheme} there."),
    };
    Some(line)
}

fn said(public: FrontState) -> String {
    match public {
        FrontState::Passed => "visitors get in, tried just now".to_owned(),
        other => fronts::said(other),
    }
}

/// How the client says that the service is.
fn health(value: &Value) -> Option<String> {
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
    match health.as_str() {
        Some("up") => Some("✔ service: the client says that it accepts connections.".to_owned()),
        Some(_) => Some("? service: the client has not tried it yet.".to_owned()),
        None => None,
    }
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
        "reset" => "A visitor's connection is reset at once.".to_owned(),
        "answer" => format!("A visitor gets {answer}.{tcp}"),
        _ => "A visitor's request goes through the tunnel to the service.".to_owned(),
    }
}
