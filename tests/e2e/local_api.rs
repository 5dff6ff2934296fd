//! The local APIs as other programs read them: the answers of the control sockets, and of `--json`, keep their form.
//!
//! Each answer is written down as its fields with the kind of each. Words for programs stand as they are; texts,
//! numbers and what depends on the moment do not. The forms stand in `fixtures/client-api.txt`, one paragraph for each
//! request; `PETIT_EXAMPLES=write` writes the file anew.

use std::sync::Arc;

use petit_host::BoxFuture;
use petit_host::control::client::Client;
use petit_host::control::server::Listener;
use petit_host::control::{ApiProblem, Handler, Reply, Request};
use petit_tests::bed::client_config;
use petit_tests::forms::{Forms, form};
use petit_tests::process::Program;
use petit_tests::service::Service;
use serde_json::{Value, json};

/// A client, and the forms of what it has answered so far.
struct Asked {
    client: Program,
    forms: Forms,
}

impl Asked {
    /// What a command prints with `--json`.
    async fn command(&mut self, arguments: &[&str], input: &str) {
        let is_target = |argument: &&&str| argument.contains(':');
        let names: Vec<(&str, &str)> =
            arguments.iter().filter(is_target).map(|argument| (*argument, "HOST:PORT")).collect();
        self.forms.command(&self.client, arguments, &names, input).await;
    }

    /// What the socket answers.
    async fn ask(&mut self, method: &str, target: &str, body: Option<Value>) {
        let socket = self.client.dir().join("client.sock");
        self.forms.ask(&socket, method, (target, target), body).await;
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a row for each route")]
async fn the_answers_of_the_socket_and_of_the_commands_keep_their_form() {
    let server = Program::server().await;
    let _server = server.up().await;
    let (web, other) = (Service::http("web").await, Service::http("other").await);
    let mut forms = Asked { client: Program::client(), forms: Forms::default() };

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
    for verb in [
        &["status"][..],
        &["service", "list"],
        &["ping"],
        &["doctor"],
        &["check", "--live"],
        &["check", "--ready"],
        &["reload"],
        &["log", "info"],
        &["config", "show"],
    ] {
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
        ("GET", "/settings"),
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

    forms.forms.compare("client-api.txt");
}

/// A client of another version, which knows none of the requests.
struct OtherVersion;

impl Handler for OtherVersion {
    fn handle(&self, _request: Request) -> BoxFuture<'_, Reply> {
        Box::pin(async { Reply::Error(ApiProblem::not_found()) })
    }
}

// Served by a thread of its own: what the test leaves running is stopped while it waits for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn where_a_running_client_does_not_answer_the_file_is_not_taken_for_what_is_in_force() {
    let client = Program::client();
    std::fs::write(client.config(), "[client]\nlog_level = \"warn\"\n").unwrap();
    let serving = Listener::bind(&client.dir().join("client.sock")).unwrap().spawn(Arc::new(OtherVersion));
    let said = client.run(["config", "show"]).await;
    assert!(said.exit == 1 && said.err.contains("different versions"), "{said:?}");
    assert!(said.out.contains("log_level = \"warn\"") && said.out.contains("is not known"), "{said:?}");
    let json = client.run(["config", "show", "--json"]).await;
    assert_eq!((json.exit, json.json()["error"]["exit"].as_u64()), (1, Some(1)));
    assert_eq!((&json.json()["log_level"], &json.json()["running"]), (&json!("warn"), &Value::Null));
    let said = client.run(["service", "list"]).await;
    assert!(said.exit == 1 && said.out.is_empty() && said.err.contains("different versions"), "{said:?}");
    serving.finish().await;
}
