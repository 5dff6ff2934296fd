//! The client's local API as other programs read it: the answers of its control socket, and of `--json`, keep their form.
//!
//! Each answer is written down as its fields with the kind of each. Words for programs stand as they are; texts,
//! numbers and what depends on the moment do not. The forms stand in `fixtures/client-api.txt`, one paragraph for each
//! request; `PETIT_EXAMPLES=write` writes the file anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use petit_host::control::client::{CallError, Client};
use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;
use serde_json::{Value, json};

/// What may be there or not, from one moment to the next.
const MOMENTARY: [&str; 5] = ["round_trip_us", "front_us", "tunnel_us", "service_us", "streams"];

/// The fields of a value, with the kind of each.
fn form(value: &Value) -> String {
    let mut lines = BTreeSet::new();
    fields("", value, &mut lines);
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

fn fields(at: &str, value: &Value, lines: &mut BTreeSet<String>) {
    let is_word = |text: &str| text.len() < 32 && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let kind = match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                fields(&format!("{at}/{name}"), value, lines);
            }
            return;
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                fields(&format!("{at}/-"), value, lines);
            }
            return;
        }
        _ if MOMENTARY.iter().any(|name| at.ends_with(name)) => "of the moment".to_owned(),
        // Random, and sometimes without a digit.
        Value::String(_) if at.ends_with("/id") || at.ends_with("/device") => "text".to_owned(),
        Value::String(word) if is_word(word) => format!("{word:?}"),
        Value::String(_) => "text".to_owned(),
        Value::Number(_) => "number".to_owned(),
        other => other.to_string(),
    };
    lines.insert(format!("{at}: {kind}"));
}

/// A client, and the forms of what it has answered so far.
struct Forms {
    client: Program,
    written: String,
}

impl Forms {
    fn write(&mut self, what: &str, value: &Value) {
        let _ = write!(self.written, "{what}\n{}\n\n", form(value));
    }

    /// What a command prints with `--json`.
    async fn command(&mut self, arguments: &[&str], input: &str) {
        let said = self.client.run_with([arguments, &["--json"]].concat(), input).await;
        let value = said.json();
        let is_target = |argument: &str| argument.contains(':');
        let shown: Vec<&str> = arguments
            .iter()
            .map(|argument| if is_target(argument) { "HOST:PORT" } else { *argument })
            .collect();
        self.write(&format!("petit-client {} (exit {})", shown.join(" "), said.exit), &value);
    }

    /// What the socket answers.
    async fn ask(&mut self, method: &str, target: &str, body: Option<Value>) {
        let socket = Client::new(&self.client.dir().join("client.sock"));
        let shown = body.as_ref().map(|body| {
            let mut names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            format!(" with {}", names.join(", "))
        });
        let what = format!("{method} {target}{}", shown.unwrap_or_default());
        match socket.call(method, target, body.as_ref()).await {
            Ok(value) => self.write(&what, &value),
            Err(CallError::Refused(problem)) => {
                let _ = write!(self.written, "{what}\nrefused: {} {}\n\n", problem.status, problem.code);
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a row for each route")]
async fn the_answers_of_the_socket_and_of_the_commands_keep_their_form() {
    let server = Program::server().await;
    let _server = server.up().await;
    let (web, other) = (Service::http("web").await, Service::http("other").await);
    let mut forms = Forms { client: Program::client(), written: String::new() };

    // Before there is anything.
    for verb in
        [&["version"][..], &["status"], &["stop"], &["init"], &["config", "path"], &["config", "check"]]
    {
        forms.command(verb, "").await;
    }
    std::fs::write(forms.client.config(), client_config(&[("web", web.address(), "http")])).unwrap();
    forms.command(&["config", "show"], "").await;
    forms.command(&["service", "list"], "").await;
    forms.command(&["doctor"], "").await;
    forms.command(&["register"], "no invite").await;

    // Registered, and not running.
    forms.command(&["register", "--share-none"], &server.invite([""; 0]).await).await;
    forms.command(&["register"], "").await;
    forms.command(&["status"], "").await;
    forms.command(&["service", "list"], "").await;

    // Running.
    forms.command(&["start"], "").await;
    forms.client.until("to be online", |status| status["connection"]["state"] == "online").await;
    forms.command(&["status"], "").await;
    forms.command(&["ping"], "").await;
    forms.command(&["service", "share", "web"], "").await;
    forms.client.until_green().await;
    for verb in [&["status"][..], &["service", "list"], &["ping"], &["doctor"], &["reload"], &["log", "info"]]
    {
        forms.command(verb, "").await;
    }
    let target = other.address().to_string();
    forms.command(&["service", "add", "other", &target], "").await;
    let is_green = |service: &Value| service["light"] == "green";
    let all =
        |status: &Value| status["services"].as_array().unwrap().iter().filter(|one| is_green(one)).count();
    forms.client.until("green lights", |status| all(status) == 2).await;
    for (method, target) in [
        ("GET", "/status"),
        ("GET", "/services"),
        ("GET", "/tenants"),
        ("GET", "/ping"),
        ("GET", "/ping?service=web"),
        ("GET", "/ping?service=nothing"),
        ("GET", "/ping?service=No%20Name"),
        ("GET", "/version"),
        ("GET", "/config"),
        ("GET", "/check"),
        ("POST", "/start"),
        ("POST", "/reload"),
        ("POST", "/services/web/share"),
        ("POST", "/services/No%20Name/share"),
        ("POST", "/services/nothing/remove"),
        ("GET", "/nothing"),
        ("DELETE", "/status"),
        ("POST", "/log"),
        ("POST", "/register"),
    ] {
        forms.ask(method, target, None).await;
    }
    let invite = server.invite([""; 0]).await;
    for (target, body) in [
        ("/log", json!({ "level": "info" })),
        ("/log", json!({ "level": "loud" })),
        ("/register", json!({ "invite": "no invite" })),
        ("/register", json!({ "invite": invite })),
        ("/register", json!({ "invite": invite, "key_store": "pocket" })),
        ("/register", json!({ "invite": invite, "share": ["No Name"] })),
        ("/register", json!({ "invite": invite, "key_store": "file", "share": [], "replace": true })),
    ] {
        forms.ask("POST", target, Some(body)).await;
    }
    forms.client.until("to be online", |status| status["connection"]["state"] == "online").await;
    let mut events = Client::new(&forms.client.dir().join("client.sock")).events("/events").await.unwrap();
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(form(&event["connection"]), form(&forms.client.status().await["connection"]));

    // What ends.
    forms.command(&["restart"], "").await;
    forms.client.until("to be online", |status| status["connection"]["state"] == "online").await;
    forms.command(&["service", "remove", "other"], "").await;
    forms.command(&["unregister", "--service", "nothing", "--yes"], "").await;
    forms.command(&["stop"], "").await;
    forms.command(&["unregister", "--local", "--yes"], "").await;
    forms.command(&["unregister", "--yes"], "").await;
    forms.command(&["nothing"], "").await;

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/fixtures/client-api.txt");
    if std::env::var_os("PETIT_EXAMPLES").is_some_and(|wanted| wanted == "write") {
        std::fs::write(&path, &forms.written).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    let (known, found): (Vec<&str>, Vec<&str>) =
        (known.split("\n\n").collect(), forms.written.split("\n\n").collect());
    for (known, found) in known.iter().zip(&found) {
        assert_eq!(found, known);
    }
    assert_eq!(known.len(), found.len());
}
