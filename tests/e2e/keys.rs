//! What an operator asks of visitors: policies and keys by commands and by the config file, and what visitors get then.

use http_body_util::Empty;
use hyper::body::Bytes;
use petit_tests::bed::{client_config, server_config};
use petit_tests::process::{Program, Running, Said};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Visitor, request};
use serde_json::Value;

/// A server as `init` makes it, and the key that it has said.
async fn keyed() -> (Program, String) {
    let server = Program::uninitialised_server();
    std::fs::write(server.config(), server_config("")).unwrap();
    let key = server.run(["init", "--json"]).await.ok().json();
    (server, key["visitor_key"].as_str().unwrap().to_owned())
}

/// A client with services behind a server, both at work.
struct Bed {
    server: Program,
    visitor: Visitor,
    client: Program,
    host: String,
    running: (Running, Running),
}

impl Bed {
    async fn new(server: Program, services: &[(&str, std::net::SocketAddr, &str)]) -> Self {
        let up = server.up().await;
        let client = Program::client();
        std::fs::write(client.config(), client_config(services)).unwrap();
        client.run_with(["register"], &server.invite(["--alias", "acme"]).await).await.ok();
        let connected = client.up().await;
        let status = client.until_green().await;
        let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
        let visitor = server.visitor().await;
        Self { server, visitor, client, host, running: (up, connected) }
    }

    /// What a visitor gets who shows this.
    async fn get(&self, key: Option<&str>) -> String {
        let mut request = request(&self.host, "GET", "/", Empty::<Bytes>::new());
        if let Some(key) = key {
            request.headers_mut().insert("petit-key", key.parse().unwrap());
        }
        let answer = self.visitor.send(request).await;
        format!("{} {}", answer.status.as_u16(), answer.petit_error().unwrap_or_default())
            .trim_end()
            .to_owned()
    }

    async fn end(self) {
        let Self { server, client, running: (up, connected), .. } = self;
        client.run(["stop"]).await.ok();
        server.run(["stop"]).await.ok();
        connected.exit().await;
        up.exit().await;
    }
}

fn kinds(said: &Said) -> Vec<String> {
    let said = said.json();
    let changes = said["changes"].as_array().unwrap();
    changes.iter().map(|change| change["kind"].as_str().unwrap().to_owned()).collect()
}

/// A container's start runs `init` each time, and what it prints stays in a log.
#[tokio::test]
async fn init_can_be_run_again_as_it_was_and_keep_the_first_key_to_itself() {
    let server = Program::uninitialised_server();
    let dir = server.dir().join("state");
    let config = dir.join("config.toml");
    let config = config.to_str().unwrap();
    let init = ["init", "-c", config, "--endpoint", "https://REGID.example.com", "--port", "443"];
    let init = [&init[..], &["--certificates", "/etc/letsencrypt/live", "--hide-key"]].concat();
    let said = server.run(init.iter().copied()).await.ok().out;
    assert!(said.contains("nobody has it") && said.contains("key create default --rotate"), "{said}");
    assert!(!said.contains("Petit-Key"), "{said}");
    assert!(
        said.contains("Put a certificate for *.example.com into /etc/letsencrypt/live: NAME.crt"),
        "{said}"
    );
    let text = std::fs::read_to_string(config).unwrap();
    assert!(text.contains("\ncertificates = \"/etc/letsencrypt/live\"\n"), "{text}");
    assert!(!dir.join("certificates").exists(), "nobody looks there");
    let again = server.run(init.iter().copied()).await.ok().out;
    assert!(again.contains("there already") && !again.contains("nobody has it"), "{again}");
    for (at, other) in [(4, "https://REGID.example.org"), (6, "8453"), (8, "/certs")] {
        let mut init = init.clone();
        init[at] = other;
        let said = server.run(init).await;
        assert!(said.exit == 1 && said.err.contains("it was not changed"), "{other}: {said:?}");
    }
    let json = server.run(["init", "-c", config, "--json"]).await.ok().json();
    assert_eq!(json["visitor_key"], Value::Null);
    let policies = server.run(["policy", "list", "-c", config]).await.ok().out;
    assert!(policies.contains("default"), "{policies}");
    let made = server.run(["key", "create", "default", "--rotate", "-c", config]).await.ok().out;
    assert!(made.contains("Petit-Key: "), "{made}");
}

#[tokio::test]
async fn a_new_server_asks_for_the_key_that_init_has_said_once_and_lets_this_computer_reach_raw_tcp() {
    let server = Program::uninitialised_server();
    std::fs::write(server.config(), server_config("")).unwrap();
    let said = server.run(["init"]).await.ok().out;
    let line = said.lines().find_map(|line| line.trim().strip_prefix("Petit-Key: ")).unwrap().to_owned();
    assert!(said.contains("curl -H @petit-key"), "{said}");
    assert!(said.contains("the ID or an alias of a service in the place of REGID"), "{said}");
    let again = server.run(["init"]).await.ok().out;
    assert!(!again.contains("Petit-Key") && again.contains("there already"), "{again}");
    assert!(!again.contains("Nothing was changed"), "{again}");
    let open = server.run(["init", "--open"]).await.ok().out;
    assert!(open.contains("Nothing was changed") && open.contains("petit-server policy list"), "{open}");
    let nobody = server.run(["explain", "aaaaaaaaaaaaaaaa", "--as", "key:nobody"]).await;
    assert!(nobody.exit != 0 && nobody.err.contains("there is no key nobody"), "{nobody:?}");

    let (web, db) = (Service::http("s").await, Service::tcp_echo("ready").await);
    let services = [("web", web.address(), "http"), ("db", db.address(), "tcp")];
    let bed = Bed::new(server, &services).await;
    assert_eq!(bed.get(None).await, "401 key-required");
    assert_eq!(bed.get(Some(&line)).await, "200");
    let wrong = format!("{}x", &line[..line.len() - 1]);
    assert_eq!(bed.get(Some(&wrong)).await, "401 key-refused");
    let both = |status: &Value| status["services"][1]["light"] == "green";
    let status = bed.client.until("a green light for raw TCP", both).await;
    let port = status["services"][1]["url"].as_str().unwrap().strip_prefix("tcp://").unwrap().to_owned();
    let mut tcp = tokio::net::TcpStream::connect(port).await.unwrap();
    let mut greeting = [0; 5];
    tokio::io::AsyncReadExt::read_exact(&mut tcp, &mut greeting).await.unwrap();
    assert_eq!(&greeting, b"ready");
    let status = bed.server.run(["status"]).await.ok().out;
    assert!(!status.contains("anybody who knows the name"), "{status}");
    assert_eq!(web.seen("petit-key"), None, "the service does not see it");

    // Nowhere but on the terminal.
    let secret = line.split_once('.').unwrap().1;
    for (path, text) in bed.server.texts().into_iter().chain(bed.client.texts()) {
        assert!(!text.contains(secret), "{}", path.display());
    }
    bed.end().await;
}

#[tokio::test]
async fn a_server_that_is_open_says_so_and_policies_are_in_force_when_they_are_answered() {
    let web = Service::http("s").await;
    let bed = Bed::new(Program::server().await, &[("web", web.address(), "http")]).await;
    assert_eq!(bed.get(None).await, "200");
    let open = "1 of 1 services is open to anybody who knows the name";
    let status = bed.server.run(["status"]).await.ok().out;
    assert!(status.contains(open), "{status}");
    let log = bed.server.run(["logs"]).await.ok().out;
    assert!(log.contains("open to anybody who knows the name"), "{log}");
    let list = bed.server.run(["policy", "list"]).await.ok().out;
    assert!(list.starts_with("No policies.") && list.contains(open), "{list}");

    let made = bed.server.run(["key", "create", "billing"]).await.ok().out;
    let first = made.lines().next().unwrap().to_owned();
    let set = bed.server.run(["policy", "set", "cloud", "--services", "acme", "--key", "billing"]).await.ok();
    assert!(!set.out.contains("1 of 1"), "{set:?}");
    assert_eq!(bed.get(None).await, "401 key-required");
    assert_eq!(bed.get(Some(&first)).await, "200");

    // Another secret, and for a while the one from before.
    let rotate = ["key", "create", "billing", "--rotate", "--overlap", "1h"];
    let second = bed.server.run(rotate).await.ok().out.lines().next().unwrap().to_owned();
    assert_eq!((bed.get(Some(&first)).await, bed.get(Some(&second)).await), ("200".into(), "200".into()));
    let at_once = ["key", "create", "billing", "--rotate", "--overlap", "0s", "--json"];
    let third = bed.server.run(at_once).await.ok().json()["key"].as_str().unwrap().to_owned();
    for (key, expected) in [(&first, "401 key-refused"), (&second, "401 key-refused"), (&third, "200")] {
        assert_eq!(bed.get(Some(key)).await, expected);
    }

    // Only counted, refused again, and somebody from elsewhere.
    bed.server.run(["policy", "set", "cloud", "--count-only"]).await.ok();
    assert_eq!(bed.get(None).await, "200");
    bed.server.run(["policy", "set", "cloud", "--enforce", "--from", "192.0.2.0/24"]).await.ok();
    assert_eq!(bed.get(Some(&third)).await, "403 address-not-allowed");
    bed.server.run(["policy", "set", "cloud", "--from", "any"]).await.ok();
    assert_eq!(bed.get(Some(&third)).await, "200");

    let revoked = bed.server.run(["key", "revoke", "billing", "--yes"]).await.ok().out;
    assert!(revoked.contains("The policy cloud has no other, so it lets nobody in"), "{revoked}");
    assert_eq!(bed.get(Some(&third)).await, "401 key-refused");
    let removed = bed.server.run(["policy", "remove", "cloud", "--yes"]).await.ok().out;
    assert!(removed.contains(open), "{removed}");
    assert_eq!(bed.get(None).await, "200");

    let made: Vec<String> =
        kinds(&bed.server.run(["audit", "list", "--json"]).await.ok()).into_iter().skip(2).collect();
    let set = "policy-set";
    let expected =
        ["key-created", set, "key-rotated", "key-rotated", set, set, set, "key-revoked", "policy-removed"];
    assert_eq!(made, expected);
    bed.server.run(["audit", "verify"]).await.ok();
    for key in [first, second, third] {
        let secret = key.split_once('.').unwrap().1.to_owned();
        for (path, text) in bed.server.texts() {
            assert!(!text.contains(&secret), "{}", path.display());
        }
    }
    bed.end().await;
}

#[tokio::test]
async fn a_policy_can_be_tried_without_a_visitor_and_says_each_step() {
    let (server, _) = keyed().await;
    server.run(["policy", "set", "default", "--from", "192.0.2.0/24", "--rate", "5"]).await.ok();
    let test = |more: &'static [&'static str]| {
        let arguments = ["policy", "test", "default"].into_iter().chain(more.iter().copied());
        server.run(arguments.collect::<Vec<_>>())
    };
    let said = test(&["--from", "192.0.2.7", "--as", "key:default"]).await.ok().out;
    assert!(said.contains("✔ where it comes from") && said.contains("✔ its key: kept"), "{said}");
    assert!(said.ends_with("The visitor gets in.\n"), "{said}");
    let said = test(&["--from", "192.0.2.7"]).await.ok().out;
    assert!(
        said.contains("✘ its key: not kept: none is shown") && said.contains("401 key-required"),
        "{said}"
    );
    let said = test(&["--from", "198.51.100.1", "--as", "key:default", "--json"]).await.ok().json();
    assert_eq!(
        (&said["admitted"], &said["refusal"]["error"]),
        (&false.into(), &"address-not-allowed".into())
    );
    assert_eq!(said["steps"].as_array().unwrap().len(), 1, "what comes behind is not looked at");
    let said = test(&["--from", "192.0.2.7", "--as", "key:nobody", "--json"]).await.ok().json();
    assert_eq!((&said["refusal"]["error"], &said["key_state"]), (&"key-refused".into(), &"unknown".into()));
    // What is a typing mistake does not read like the policy's word.
    let said = test(&["--from", "192.0.2.7", "--as", "key:nobody"]).await;
    assert!(said.exit == 1 && said.out.is_empty(), "{said:?}");
    assert!(said.err.contains("there is no key nobody") && said.err.contains("key list"), "{said:?}");
    server.run(["policy", "set", "default", "--count-only"]).await.ok();
    let said = test(&["--from", "198.51.100.1"]).await.ok().out;
    assert!(said.contains("gets in, because the policy only counts; else: 403"), "{said}");
    let said = test(&["--from", "198.51.100.1", "--as", "billing"]).await;
    assert!(said.exit == 2 && said.err.contains("expected key:NAME"), "{said:?}");
}

#[tokio::test]
async fn a_policy_of_the_config_file_is_in_force_when_it_is_read_and_is_changed_there_alone() {
    let web = Service::http("s").await;
    let bed = Bed::new(Program::server().await, &[("web", web.address(), "http")]).await;
    let key = bed.server.run(["key", "create", "billing", "--json"]).await.ok().json();
    let key = key["key"].as_str().unwrap();
    let before = std::fs::read_to_string(bed.server.config()).unwrap();
    let policy = "[[policy]]\nname = \"cloud\"\nservices = [\"acme\"]\nkeys = [\"billing\"]\n";
    std::fs::write(bed.server.config(), format!("{before}{policy}")).unwrap();
    soon("the file to be noticed", async {
        while bed.get(None).await != "401 key-required" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bed.get(Some(key)).await, "200");
    let list = bed.server.run(["policy", "list"]).await.ok().out;
    assert!(list.contains("from config.toml"), "{list}");
    for arguments in
        [&["policy", "set", "cloud", "--rate", "1"][..], &["policy", "set", "other", "--services", "acme"]]
    {
        let said = bed.server.run(arguments).await;
        assert!(said.exit == 1 && said.err.contains("cloud"), "{said:?}");
    }
    let refused = bed.server.run(["policy", "remove", "cloud", "--yes"]).await;
    assert!(refused.exit == 1 && refused.err.contains("config file"), "{refused:?}");

    // A mistake changes nothing, and is said with its place by whoever reads the file.
    bed.server.run(["policy", "set", "rest", "--services", "default", "--rate", "9"]).await.ok();
    let line = before.lines().count() + 4;
    for (changed, expected) in [
        (policy.replace("billing", "nobody"), format!("config.toml:{line}:1: there is no key nobody")),
        (
            policy.replace("acme", "default"),
            format!("config.toml:{}:1: both the policy rest and the policy cloud name default", line - 1),
        ),
        (
            policy.replace("cloud", "rest"),
            format!("config.toml:{}:1: a policy rest stands in the registry", line - 2),
        ),
        (
            policy.replace("keys", "kyes"),
            format!("config.toml:{line}:1: [policy] has no key \"kyes\"; did you mean"),
        ),
    ] {
        std::fs::write(bed.server.config(), format!("{before}{changed}")).unwrap();
        for command in [&["reload"][..], &["config", "check"]] {
            let said = bed.server.run(command).await;
            assert!(said.exit == 1 && said.err.contains(&expected), "{command:?}: {said:?}");
        }
        assert_eq!(bed.get(None).await, "401 key-required");
    }
    std::fs::write(bed.server.config(), format!("{before}{policy}")).unwrap();
    bed.server.run(["config", "check"]).await.ok();
    bed.server.run(["reload"]).await.ok();
    std::fs::write(bed.server.config(), &before).unwrap();
    bed.server.run(["reload"]).await.ok();
    assert_eq!(bed.get(None).await, "200");
    bed.end().await;
}

#[tokio::test]
async fn policies_and_keys_are_changed_while_no_server_runs_and_hold_after_its_start() {
    let (server, first) = keyed().await;
    let made = server.run(["key", "create", "billing", "--json"]).await.ok().json();
    server.run(["policy", "set", "default", "--key", "billing"]).await.ok();
    let unknown = server.run(["policy", "set", "default", "--key", "nobody"]).await;
    assert!(unknown.exit == 1 && unknown.err.contains("petit-server key create nobody"), "{unknown:?}");
    let nameless = server.run(["policy", "set", "empty", "--rate", "1"]).await;
    assert!(nameless.exit == 1 && nameless.err.contains("--services"), "{nameless:?}");
    for wrong in
        [&["--from", "192.0.2.7/24"][..], &["--rate", "0"], &["--services", "UPPER"], &["--max-body", "9"]]
    {
        let said = server.run(["policy", "set", "default"].iter().chain(wrong)).await;
        assert_eq!(said.exit, 2, "{said:?}");
    }
    let twice = server.run(["key", "create", "billing"]).await;
    assert!(twice.exit == 1 && twice.err.contains("--rotate"), "{twice:?}");
    let keys = server.run(["key", "list", "--json"]).await.ok();
    assert!(!keys.out.contains("hash"), "{keys:?}");
    let takes: Vec<_> =
        keys.json()["keys"].as_array().unwrap().iter().map(|key| key["policies"].clone()).collect();
    assert_eq!(takes, [serde_json::json!(["default"]), serde_json::json!([])]);

    let web = Service::http("s").await;
    let bed = Bed::new(server, &[("web", web.address(), "http")]).await;
    assert_eq!(bed.get(Some(&first)).await, "401 key-refused");
    assert_eq!(bed.get(made["key"].as_str()).await, "200");
    // A new process takes over, and asks for the same.
    bed.server.run(["restart"]).await.ok();
    assert_eq!(bed.get(None).await, "401 key-required");
    assert_eq!(bed.get(made["key"].as_str()).await, "200");
    let shown = bed.server.run(["policy", "show", "default", "--json"]).await.ok().json();
    assert_eq!(shown["holds_for"].as_array().unwrap().len(), 1);
    bed.end().await;
}

#[tokio::test]
async fn a_server_does_not_start_with_a_policy_of_its_file_that_does_not_fit_and_commands_put_that_right() {
    let (server, _) = keyed().await;
    let before = std::fs::read_to_string(server.config()).unwrap();
    let policy = "[[policy]]\nname = \"default\"\nservices = [\"default\"]\n";
    std::fs::write(server.config(), format!("{before}{policy}")).unwrap();
    let said = server.run(["start"]).await;
    assert!(said.exit == 1 && said.err.contains("a policy default stands in the registry, too"), "{said:?}");
    assert!(said.err.contains(&format!("config.toml:{}:1:", before.lines().count() + 2)), "{said:?}");
    server.run(["policy", "remove", "default", "--yes"]).await.ok();
    let running = server.up().await;
    server.run(["stop"]).await.ok();
    running.exit().await;
}

#[tokio::test]
async fn init_open_asks_nothing_and_a_server_that_exists_stays_as_it_is() {
    let server = Program::server().await;
    assert_eq!(server.run(["policy", "list", "--json"]).await.ok().json()["policies"], serde_json::json!([]));
    let again = server.run(["init", "--json"]).await.ok().json();
    assert_eq!(again["visitor_key"], Value::Null);
    // Not even where its config is lost.
    let config = std::fs::read_to_string(server.config()).unwrap();
    let running = server.up().await;
    server.invite([""; 0]).await;
    server.run(["stop"]).await.ok();
    running.exit().await;
    std::fs::remove_file(server.config()).unwrap();
    let again = server.run(["init", "--json"]).await.ok().json();
    assert_eq!((&again["config_made"], &again["visitor_key"]), (&true.into(), &Value::Null));
    std::fs::write(server.config(), config).unwrap();
    let keys = server.run(["key", "list", "--json"]).await.ok().json();
    assert_eq!(keys["keys"], serde_json::json!([]));
}

#[tokio::test]
async fn what_a_command_opens_beside_what_it_was_asked_for_is_said() {
    let web = Service::http("s").await;
    let (server, _key) = keyed().await;
    let bed = Bed::new(server, &[("web", web.address(), "http")]).await;
    let set = ["policy", "set", "office", "--services", "acme", "--from", "127.0.0.0/8"];
    let said = bed.server.run(set).await.ok().out;
    assert!(said.contains("It takes the place of the policy default") && said.contains("no key"), "{said}");
    assert_eq!(bed.get(None).await, "200");
    let set = ["policy", "set", "typo", "--services", "acmee", "--key", "default"];
    let said = bed.server.run(set).await.ok().out;
    assert!(said.contains("No service is called acmee yet"), "{said}");
    let status = bed.server.run(["clients", "list", "--json"]).await.ok().json();
    let id = status["clients"][0]["services"][0]["id"].as_str().unwrap().to_owned();
    let said = bed.server.run(["removealias", id.as_str(), "acme", "--yes"]).await.ok().out;
    let expected = "had the policy office by this alias; it has the policy default now";
    assert!(said.contains(expected) && !said.contains("open to anybody"), "{said}");
    bed.server.run(["policy", "remove", "default", "--yes"]).await.ok();
    bed.server.run(["addalias", id.as_str(), "acme"]).await.ok();
    let said = bed.server.run(["removealias", id.as_str(), "acme", "--yes"]).await.ok().out;
    assert!(said.contains("it has no policy now. It is open to anybody"), "{said}");
    bed.server.run(["key", "revoke", "default", "--yes"]).await.ok();
    let said = bed.server.run(["key", "create", "default"]).await.ok().out;
    assert!(said.contains("It lets in already, by the policies that name it: typo."), "{said}");
    bed.end().await;
}

/// A service of raw TCP whose policy asks for a key can be reached by nobody, and no page says otherwise.
#[tokio::test]
async fn a_port_that_a_policy_shuts_is_told_wherever_it_is_changed_or_judged() {
    let (web, db) = (Service::http("s").await, Service::tcp_echo("ready").await);
    let services = [("web", web.address(), "http"), ("db", db.address(), "tcp")];
    let bed = Bed::new(Program::server().await, &services).await;
    let both = |status: &Value| status["services"][1]["light"] == "green";
    let status = bed.client.until("a green light for raw TCP", both).await;
    let (id, url) = (status["services"][1]["id"].clone(), status["services"][1]["url"].clone());
    let (id, url) = (id.as_str().unwrap(), url.as_str().unwrap());
    bed.server.run(["key", "create", "billing"]).await.ok();
    let told = |said: &Value, list: &str| {
        let ports = said[list].as_array().cloned().unwrap_or_default();
        let told = |port: &Value| [&port["id"], &port["service"], &port["address"]].map(|it| it.to_string());
        ports.iter().map(told).collect::<Vec<_>>()
    };
    let db_port = vec![[id, "db", url].map(|it| format!("{it:?}"))];

    let set = bed.server.run(["policy", "set", "cloud", "--services", "default", "--key", "billing"]);
    let said = set.await.ok().out;
    assert!(said.contains(&format!("Now {url} of service db")) && said.contains("not listened on"), "{said}");
    let said = bed.server.run(["policy", "show", "cloud"]).await.ok().out;
    assert!(said.contains(&format!("shut       {url} of service db")), "{said}");
    assert!(said.contains("has refused nobody yet"), "{said}");
    let status = bed.server.status().await;
    assert_eq!(told(&status, "shut_ports"), db_port);
    let said = bed.server.run(["status"]).await.ok().out;
    assert!(said.contains(&format!("shut       {url} of service db")), "{said}");
    let row = said.lines().find(|line| line.contains(id) && !line.starts_with("shut")).unwrap().to_owned();
    assert!(row.contains("port shut") && !row.contains(url), "{row}");
    let said = bed.server.run(["clients", "show", "acme"]).await.ok().out;
    assert!(said.contains("service      db (port shut)") && said.contains("the policy cloud asks"), "{said}");
    let said = bed.server.run(["explain", url]).await.ok().out;
    assert!(said.contains("it is not listened on: the policy cloud asks for a key"), "{said}");
    assert!(said.contains("A visitor's connection is refused"), "{said}");

    // By a change of it, and of others.
    let from = bed.server.run(["policy", "set", "cloud", "--from", "127.0.0.1", "--json"]).await.ok().json();
    assert_eq!((told(&from, "opened_ports"), told(&from, "shut_ports")), (db_port.clone(), Vec::new()));
    let any = bed.server.run(["policy", "set", "cloud", "--from", "any", "--json"]).await.ok().json();
    assert_eq!((told(&any, "shut_ports"), told(&any, "opened_ports")), (db_port.clone(), Vec::new()));
    let args = ["policy", "set", "local", "--services", "default-tcp", "--from", "127.0.0.1"];
    let said = bed.server.run(args).await.ok().out;
    assert!(
        said.contains(&format!("Now {url} of service db")) && said.contains("listened on again"),
        "{said}"
    );
    let said = bed.server.run(["policy", "remove", "local", "--yes"]).await.ok().out;
    assert!(said.contains("not listened on"), "{said}");
    let config = std::fs::read_to_string(bed.server.config()).unwrap();
    let file = format!("{config}\n[[policy]]\nname = \"own\"\nservices = [\"default-tcp\"]\nrate = 100\n");
    std::fs::write(bed.server.config(), file).unwrap();
    // What `reload` says depends on whether the file was noticed before it.
    bed.server.run(["reload"]).await.ok();
    assert_eq!(told(&bed.server.status().await, "shut_ports"), Vec::<[String; 3]>::new());
    std::fs::write(bed.server.config(), config).unwrap();
    bed.server.run(["reload"]).await.ok();
    assert_eq!(told(&bed.server.status().await, "shut_ports"), db_port);

    // What was refused is counted for its policy.
    assert_eq!(bed.get(None).await, "401 key-required");
    assert_eq!(bed.get(Some("wrong")).await, "401 key-refused");
    let status = bed.server.status().await;
    let cloud =
        status["policies"].as_array().unwrap().iter().find(|policy| policy["policy"] == "cloud").unwrap();
    assert_eq!((&cloud["refused"]["key_missing"], &cloud["refused"]["key_refused"]), (&1.into(), &1.into()));
    let said = bed.server.run(["status"]).await.ok().out;
    let line = "policy     cloud has refused 2 visits: 1 without a key, 1 with a key that is not taken";
    assert!(said.contains(line), "{said}");
    let said = bed.server.run(["policy", "show", "cloud"]).await.ok().out;
    assert!(said.contains("has refused 2 visits"), "{said}");
    bed.end().await;
}
