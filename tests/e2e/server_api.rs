//! The server's local API as other programs read it: the answers of its control socket, and of `--json`, keep their form.
//!
//! The forms stand in `fixtures/server-api.txt`, one paragraph for each request; `PETIT_EXAMPLES=write` writes the file
//! anew.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use petit_host::BoxFuture;
use petit_host::control::server::Listener;
use petit_host::control::{ApiProblem, Handler, Reply, Request};
use petit_tests::bed::{client_config, server_config, server_config_under};
use petit_tests::forms::Forms;
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use serde_json::{Value, json};

/// A server, and the forms of what it has answered so far.
struct Asked {
    server: Program,
    forms: Forms,
    /// What is another text each time, and what stands for it in the file.
    names: Vec<(String, &'static str)>,
}

impl Asked {
    /// What a command prints with `--json`.
    async fn command(&mut self, arguments: &[&str]) {
        let names: Vec<(&str, &str)> = self.names.iter().map(|(text, name)| (text.as_str(), *name)).collect();
        self.forms.command(&self.server, arguments, &names, "").await;
    }

    /// What several commands print.
    async fn commands(&mut self, all: &[&[&str]]) {
        for arguments in all {
            self.command(arguments).await;
        }
    }

    /// What the socket answers.
    async fn ask(&mut self, method: &str, target: &str, body: Option<Value>) {
        let socket = self.server.dir().join("server.sock");
        let mut shown = target.to_owned();
        for (text, name) in &self.names {
            shown = shown.replace(text, name);
        }
        self.forms.ask(&socket, method, (target, &shown), body).await;
    }

    /// A folder or file beside the server's.
    fn place(&mut self, name: &'static str) -> String {
        let path = self.server.dir().join(name).to_str().unwrap().to_owned();
        self.names.push((path.clone(), name));
        path
    }

    /// Waits until every way in was tried.
    async fn until_fronts_are_known(&self) {
        soon("fronts that were tried", async {
            let is_checking = |front: &Value| front["state"] == "checking";
            while self.server.status().await["fronts"].as_array().unwrap().iter().any(is_checking) {}
        })
        .await;
    }
}

/// A client with two services, and where the server may find it.
async fn client_of(server: &Program, service: &Service) -> Program {
    let client = Program::client();
    let both = [("web", service.address(), "http"), ("db", service.address(), "tcp")];
    let config = client_config(&both).replacen("[client]\n", "[client]\nname = \"Beta Laptop\"\n", 1);
    std::fs::write(client.config(), config).unwrap();
    let invite = server.invite(["--note", "Beta Ltd"]).await;
    client.run_with(["register", "--share", "web", "--share", "db"], &invite).await.ok();
    client
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a row for each route")]
async fn the_answers_of_the_servers_socket_and_of_its_commands_keep_their_form() {
    let server = Program::uninitialised_server();
    let mut it = Asked { server, forms: Forms::default(), names: Vec::new() };
    let (backup, export) = (it.place("backup"), it.place("changes.jsonl"));
    let second = it.place("second");

    // Before there is anything.
    let nothing: &[&[&str]] = &[
        &["version"],
        &["config", "path"],
        &["config", "check"],
        &["status"],
        &["nothing"],
        &["init", "--open"],
        &["init"],
    ];
    it.commands(nothing).await;
    std::fs::write(it.server.config(), server_config("tunnel_address = \"localhost:1\"")).unwrap();

    // While it does not run.
    let unserved: &[&[&str]] = &[
        &["config", "check"],
        &["config", "show"],
        &["status"],
        &["clients", "list"],
        &["clients", "show", "nobody"],
        &["alias", "list"],
        &["invite", "--list"],
        &["invite", "--note", "Anna"],
        &["invite", "--alias", "tunnel"],
        &["explain", "acme"],
        &["audit", "list"],
        &["audit", "verify"],
        &["logs"],
        &["log", "info"],
        &["check", "--live"],
        &["stop"],
        &["reload"],
        &["restart"],
        &["backup", &second],
    ];
    it.commands(unserved).await;

    // While it runs, with a client.
    std::fs::write(it.server.config(), server_config("")).unwrap();
    it.command(&["start"]).await;
    it.until_fronts_are_known().await;
    it.command(&["status"]).await;
    let service = Service::http("web").await;
    let client = client_of(&it.server, &service).await;
    it.command(&["clients", "list"]).await;
    let running = client.up().await;
    let is_known = |service: &Value| service["light"] != "checking" && !service["proved"].is_null();
    client.until("lights", |status| status["services"].as_array().unwrap().iter().all(is_known)).await;
    it.until_fronts_are_known().await;
    let known = it.server.run(["clients", "list", "--json"]).await.ok().json()["clients"][0].clone();
    let device = known["id"].as_str().unwrap().to_owned();
    let of = |name: &str, what: &str| {
        let services = known["services"].as_array().unwrap();
        let service = services.iter().find(|service| service["name"] == name).unwrap();
        service[what].as_str().unwrap().to_owned()
    };
    let (web, port) = (of("web", "id"), of("db", "url"));
    it.names.extend([(device.clone(), "DEVICE"), (web.clone(), "ID"), (port.clone(), "tcp://HOST:PORT")]);
    let invited = it.server.run(["invite", "--json"]).await.ok().json()["id"].as_str().unwrap().to_owned();
    it.names.push((invited.clone(), "INVITE"));
    let served: &[&[&str]] = &[
        &["status"],
        &["status", &device],
        &["check", "--live"],
        &["check", "--ready"],
        &["clients", "list"],
        &["clients", "list", "--all"],
        &["clients", "show", &device],
        &["clients", "show", "nobody"],
        &["addalias", &web, "acme"],
        &["addalias", &web, "tunnel"],
        &["addalias", "aaaaaaaaaaaaaaaa", "beta"],
        &["alias", "list"],
        &["explain", "acme"],
        &["explain", "nothing"],
        &["explain", "other.example"],
        &["explain", &port],
        &["explain", "tcp://127.0.0.1:1"],
        &["explain", "ftp://acme"],
        &["key", "create", "billing"],
        &["policy", "list"],
        &["policy", "set", "cloud", "--services", "default", "--key", "billing", "--count-only"],
        &["policy", "set", "cloud", "--enforce"],
        &["policy", "set", "cloud", "--services", "nothing at all"],
        &["policy", "list"],
        &["policy", "show", "cloud"],
        &["policy", "show", "nothing"],
        &["policy", "test", "cloud", "--from", "203.0.113.7", "--as", "key:nobody"],
        &["explain", "acme", "--as", "key:nobody"],
        &["policy", "test", "cloud", "--from", "203.0.113.7", "--as", "key:billing"],
        &["status"],
        &["explain", "acme"],
        &["explain", &port],
        &["key", "create", "billing", "--rotate"],
        &["key", "list"],
        &["key", "revoke", "billing", "--yes"],
        &["policy", "remove", "cloud", "--yes"],
        &["rollout", "status"],
        &["rollout", "start"],
        &["rollout", "start", "--rings", "5%"],
        &["rollout", "halt"],
        &["clients", "tag", &device, "eu", "pilot"],
        &["clients", "untag", &device, "pilot"],
        &["clients", "note", &device, "moves in May"],
        &["clients", "tag", "nobody", "eu"],
        &["clients", "tag", &device, "No Tag"],
        &["clients", "list", "--tag", "eu"],
        &["clients", "list", "--tag", "pilot"],
        &["invite", "--alias", "shop", "--note", "Anna", "--tag", "eu", "--expires", "2h"],
        &["invite", "--list"],
        &["invite", "--withdraw", &invited],
        &["invite", "--withdraw", &invited],
        &["invite", "--withdraw", "x"],
        &["config", "check"],
        &["config", "show"],
        &["reload"],
        &["log", "info"],
        &["audit", "list"],
        &["audit", "verify"],
        &["audit", "export", &export],
        &["audit", "verify", &export],
        &["backup", &backup],
        &["backup", &backup],
        &["removealias", &web, "acme"],
        &["removealias", &web, "acme", "--yes"],
        &["removealias", &web, "acme", "--yes"],
        &["clients", "revoke", &device],
        &["clients", "revoke", "nobody", "--yes"],
    ];
    it.commands(served).await;
    let later = it.place("later");
    let client_target = format!("/clients/{device}");
    let labels_target = format!("{client_target}/labels");
    let aliases = |alias: &str| Some(json!({ "id": web, "alias": alias }));
    for (method, target, body) in [
        ("GET", "/ping", None),
        ("GET", "/readiness", None),
        ("GET", "/version", None),
        ("GET", "/status", None),
        ("GET", "/settings", None),
        ("GET", "/clients", None),
        ("GET", &client_target, None),
        ("GET", "/clients/nobody", None),
        ("POST", &labels_target, Some(json!({ "add": ["eu"], "remove": [], "note": "" }))),
        ("POST", &labels_target, Some(json!({ "add": ["No Tag"] }))),
        ("POST", &labels_target, Some(json!({ "nothing": 1 }))),
        ("POST", "/aliases", aliases("acme2")),
        ("POST", "/aliases", Some(json!({ "id": web, "alias": "No Name", "force": true }))),
        ("POST", "/aliases", Some(json!({ "id": web, "alias": "acme2", "more": 1 }))),
        ("POST", "/aliases", None),
        ("GET", "/aliases", None),
        ("DELETE", &format!("/aliases?id={web}&alias=acme2"), None),
        ("DELETE", &format!("/aliases?id={web}"), None),
        ("DELETE", "/aliases?id=x&alias=acme2", None),
        ("POST", "/invites", Some(json!({ "service": "web" }))),
        (
            "POST",
            "/invites",
            Some(json!({ "service": "web", "alias": "a.example", "force": true, "note": "N" })),
        ),
        ("POST", "/invites", Some(json!({ "service": "web", "lifetime_seconds": 1_000_000_000 }))),
        ("POST", "/invites", Some(json!({ "service": "web", "nothing": 1 }))),
        ("POST", "/invites", None),
        ("GET", "/invites", None),
        ("POST", "/invites/x/withdraw", None),
        ("GET", "/changes?last=2", None),
        ("GET", "/changes?after=1000000", None),
        ("GET", "/changes?last=x", None),
        ("GET", "/rollout", None),
        ("POST", "/rollout", Some(json!({ "rings": "5%", "soak_seconds": 1 }))),
        ("POST", "/rollout", Some(json!({ "rings": "100%", "soak_seconds": 100_000_000 }))),
        ("POST", "/rollout/halt", Some(json!({ "reason": "two\nlines" }))),
        ("POST", "/rollout/next", None),
        ("GET", "/explain?url=acme2", None),
        ("GET", "/explain", None),
        ("POST", "/backup", Some(json!({ "folder": later }))),
        ("POST", "/backup", Some(json!({ "folder": later }))),
        ("POST", "/backup", None),
        ("POST", "/log", Some(json!({ "level": "info" }))),
        ("POST", "/log", Some(json!({ "level": "loud" }))),
        ("POST", "/log", None),
        ("POST", "/reload", None),
        ("GET", "/nothing", None),
        ("DELETE", "/status", None),
    ] {
        it.ask(method, target, body).await;
    }

    // What ends.
    it.command(&["restart"]).await;
    running.kill().await;
    it.commands(&[
        &["clients", "suspend", &device],
        &["clients", "list"],
        &["clients", "show", &device],
        &["explain", &web],
        &["clients", "suspend", "nobody"],
        &["clients", "resume", &device],
        &["clients", "kick", &device],
    ])
    .await;
    it.command(&["clients", "revoke", &device, "--yes"]).await;
    it.commands(&[&["clients", "list"], &["clients", "list", "--all"], &["clients", "show", &device]]).await;
    let config = std::fs::read_to_string(it.server.config()).unwrap();
    std::fs::write(it.server.config(), config.replace("[server]\n", "[server]\nlegacy_errors = true\n"))
        .unwrap();
    it.commands(&[&["reload"], &["config", "show"], &["status"]]).await;
    std::fs::write(it.server.config(), "[server]\nnothing = 1\n").unwrap();
    it.commands(&[&["reload"], &["config", "check"], &["restart"]]).await;
    std::fs::write(it.server.config(), config).unwrap();
    it.commands(&[&["stop"], &["restore", &backup], &["restore", "/nowhere"]]).await;
    it.forms.compare("server-api.txt");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a row for each request")]
async fn the_answers_about_policies_and_keys_keep_their_form() {
    let server = Program::uninitialised_server();
    std::fs::write(server.config(), server_config("")).unwrap();
    let mut it = Asked { server, forms: Forms::default(), names: Vec::new() };

    // While it does not run.
    let unserved: &[&[&str]] = &[
        &["init"],
        &["policy", "list"],
        &["policy", "show", "default"],
        &["policy", "show", "nothing"],
        &["policy", "set", "default", "--key", "nobody"],
        &["policy", "set", "empty", "--rate", "1"],
        &["policy", "set", "empty", "--rate", "0"],
        &["policy", "set", "other", "--services", "default"],
        &["policy", "test", "default", "--from", "192.0.2.7"],
        &["policy", "test", "nothing", "--from", "192.0.2.7"],
        &["policy", "remove", "default"],
        &["policy", "remove", "nothing", "--yes"],
        &["key", "create", "billing"],
        &["key", "create", "billing"],
        &["key", "create", "billing", "--rotate"],
        &["key", "create", "nobody", "--rotate"],
        &["key", "list"],
        &["key", "revoke", "billing"],
        &["key", "revoke", "nobody", "--yes"],
    ];
    it.commands(unserved).await;

    // While it runs, with a client.
    it.command(&["start"]).await;
    let service = Service::http("web").await;
    let client = client_of(&it.server, &service).await;
    let running = client.up().await;
    let is_known = |service: &Value| service["light"] == "green" && !service["proved"].is_null();
    client.until("lights", |status| status["services"].as_array().unwrap().iter().all(is_known)).await;
    it.until_fronts_are_known().await;
    let clients = it.server.run(["clients", "list", "--json"]).await.ok().json();
    let services = clients["clients"][0]["services"].as_array().unwrap();
    let web = services.iter().find(|service| service["name"] == "web").unwrap()["id"].as_str().unwrap();
    it.names.push((web.to_owned(), "ID"));
    let limits = ["--rate", "50", "--burst", "100", "--concurrent", "20", "--per", "service"];
    let all = ["--from", "192.0.2.0/24", "--key", "default,billing", "--max-body", "100MB", "--count-only"];
    let served: &[&[&str]] = &[
        &[&["policy", "set", "acme", "--services", "acme"][..], &limits, &all].concat(),
        &["policy", "show", "acme"],
        &["policy", "set", "office", "--services", web, "--from", "192.0.2.0/24"],
        &["policy", "set", "office", "--key", "billing"],
        &["policy", "list"],
        &["policy", "test", "office", "--from", "192.0.2.7", "--as", "key:billing"],
        &["policy", "test", "office", "--from", "192.0.2.7"],
        &["policy", "test", "acme", "--from", "198.51.100.7"],
        &["addalias", web, "acme"],
        &["explain", web, "--from", "192.0.2.7", "--as", "key:billing"],
        &["explain", web, "--from", "192.0.2.7"],
        &["explain", web, "--as", "nobody"],
        &["key", "create", "billing", "--rotate", "--overlap", "1h"],
        &["key", "list"],
        &["key", "revoke", "billing", "--yes"],
        &["key", "create", "billing", "--rotate"],
        &["policy", "remove", "office", "--yes"],
        &["addalias", web, "acme"],
        &["policy", "show", "acme"],
        &["removealias", web, "acme", "--yes"],
        &["policy", "set", "default", "--key", "none"],
        &["audit", "list"],
        &["status"],
    ];
    it.commands(served).await;
    let edit = |more: Value| {
        let mut edit = json!({ "name": "cloud" });
        edit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Some(edit)
    };
    for (method, target, body) in [
        ("POST", "/keys", Some(json!({ "name": "sync" }))),
        ("POST", "/keys", Some(json!({ "name": "sync" }))),
        ("POST", "/keys", Some(json!({ "name": "sync", "rotate": { "overlap_seconds": 60 } }))),
        ("POST", "/keys", Some(json!({ "name": "sync", "rotate": { "overlap_seconds": 1_000_000_000 } }))),
        ("POST", "/keys", Some(json!({ "name": "No Name" }))),
        ("POST", "/keys", Some(json!({ "name": "sync", "nothing": 1 }))),
        ("POST", "/keys", None),
        ("GET", "/keys", None),
        (
            "POST",
            "/policies",
            edit(json!({ "services": ["cloud"], "keys": ["sync"], "rate": 5, "per": "visitor" })),
        ),
        ("POST", "/policies", edit(json!({ "from": ["192.0.2.0/24"], "enforcement": "count_only" }))),
        ("POST", "/policies", edit(json!({ "burst": 9, "concurrent": 9, "max_body": 9, "rate": 9 }))),
        ("POST", "/policies", edit(json!({ "burst": null, "rate": null, "per": "service" }))),
        ("POST", "/policies", edit(json!({ "burst": 9 }))),
        ("POST", "/policies", edit(json!({ "keys": ["nobody"] }))),
        ("POST", "/policies", edit(json!({ "services": ["default"] }))),
        ("POST", "/policies", edit(json!({ "nothing": 1 }))),
        ("POST", "/policies", None),
        ("GET", "/policies", None),
        ("GET", "/policies/cloud", None),
        ("GET", "/policies/nothing", None),
        ("GET", "/policies/No%20Name", None),
        ("GET", "/policies/cloud/test?from=192.0.2.7&key=sync", None),
        ("GET", "/policies/cloud/test?from=198.51.100.7", None),
        ("GET", "/policies/cloud/test?from=nowhere", None),
        ("GET", "/policies/cloud/test", None),
        ("GET", "/explain?url=ID&from=192.0.2.7&as=key:sync", None),
        ("GET", "/explain?url=ID&from=nowhere", None),
        ("GET", "/explain?url=ID&as=sync", None),
        ("POST", "/keys/sync/revoke", None),
        ("POST", "/keys/sync/revoke", None),
        ("POST", "/keys/nobody/revoke", None),
        ("DELETE", "/policies/cloud", None),
        ("DELETE", "/policies/cloud", None),
    ] {
        it.ask(method, &target.replace("ID", web), body).await;
    }

    // Of the config file, where alone they are changed.
    let config = std::fs::read_to_string(it.server.config()).unwrap();
    let policy =
        "[[policy]]\nname = \"file\"\nservices = [\"file\"]\nkeys = [\"default\"]\nenforce = false\n";
    std::fs::write(it.server.config(), format!("{config}{policy}")).unwrap();
    let of_the_file: &[&[&str]] = &[
        &["reload"],
        &["policy", "show", "file"],
        &["policy", "list"],
        &["policy", "set", "file", "--rate", "1"],
        &["policy", "remove", "file", "--yes"],
        &["policy", "move", "file"],
        &["policy", "move", "default"],
        &["config", "check"],
    ];
    it.commands(of_the_file).await;
    it.ask("POST", "/policies", Some(json!({ "name": "file", "rate": 1 }))).await;
    it.ask("DELETE", "/policies/file", None).await;
    std::fs::write(it.server.config(), format!("{config}{}", policy.replace("default", "nobody"))).unwrap();
    it.commands(&[&["reload"], &["config", "check"]]).await;
    std::fs::write(it.server.config(), config).unwrap();
    running.kill().await;
    it.command(&["stop"]).await;
    it.forms.compare("server-api-policies.txt");
}

#[tokio::test]
async fn the_answers_of_a_server_with_a_certificate_keep_their_form() {
    let config = server_config_under("bed.localhost", "").replace("http://", "https://");
    let server = Program::server_with(&config).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["*.bed.localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let folder = server.dir().join("certificates");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("server.crt"), certificate.pem()).unwrap();
    let private = folder.join("server.key");
    std::fs::write(&private, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&private, Permissions::from_mode(0o644)).unwrap();
    let mut it = Asked { server, forms: Forms::default(), names: Vec::new() };
    it.commands(&[&["config", "check"], &["start"], &["reload"]]).await;
    it.until_fronts_are_known().await;
    it.commands(&[&["status"], &["invite", "--alias", "shop.example"], &["invite", "--alias", "shop"]]).await;
    std::fs::remove_file(&private).unwrap();
    it.commands(&[&["config", "check"], &["reload"], &["status"], &["stop"]]).await;
    it.forms.compare("server-api-https.txt");
}

/// A server of another version: it knows fewer requests, and answers some of them in another form.
struct OtherVersion;

impl Handler for OtherVersion {
    fn handle(&self, request: Request) -> BoxFuture<'_, Reply> {
        let answer = match request.path.first().map(String::as_str) {
            Some("status") => Reply::Json(json!({ "software": "petit-server 9.9.9", "state": "dreaming" })),
            Some("invites") => {
                Reply::Error(ApiProblem::new(400, "bad_request", "unknown field `lifetime_seconds`"))
            }
            _ => Reply::Error(ApiProblem::not_found()),
        };
        Box::pin(async { answer })
    }
}

// Served by a thread of its own: what the test leaves running is stopped while it waits for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_server_of_another_version_is_told_as_one_and_nothing_is_made_up_for_what_it_does_not_say() {
    let server = Program::server().await;
    let socket = server.dir().join("server.sock");
    let serving = Listener::bind(&socket).unwrap().spawn(Arc::new(OtherVersion));
    for arguments in
        [&["status"][..], &["config", "show"], &["clients", "list"], &["invite"], &["log", "info"]]
    {
        let said = server.run(arguments).await;
        assert_ne!(said.exit, 0, "{arguments:?}: {said:?}");
        // The file can be shown all the same.
        match arguments {
            ["config", "show"] => {
                assert!(said.out.contains("is not known") && said.out.contains("proxy_port = "), "{said:?}");
                assert!(!said.out.contains("waits"), "{said:?}");
            }
            _ => assert!(said.out.is_empty(), "{arguments:?}: {said:?}"),
        }
        assert!(said.err.contains("version") && said.err.contains("petit-server restart"), "{said:?}");
        let said = server.run([arguments, &["--json"]].concat()).await;
        assert_eq!(said.json()["error"]["exit"], said.exit, "{arguments:?}: {said:?}");
    }
    let said = server.run(["status"]).await;
    assert!(said.err.contains("is of another version, and its answer is not understood"), "{said:?}");
    // Nobody is left to be asked to stop.
    serving.finish().await;
}
