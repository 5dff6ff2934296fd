//! What a vendor may reach is what was chosen for that vendor.

use petit_tests::bed::client_config;
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use petit_tests::visitor::host;
use serde_json::Value;

/// A server with its process.
struct Vendor {
    server: Program,
    _running: Running,
}

impl Vendor {
    async fn start() -> Self {
        let server = Program::server().await;
        let _running = server.up().await;
        Self { server, _running }
    }

    /// A vendor that calls itself something.
    async fn called(name: &str) -> Self {
        let server = Program::server().await;
        let config = std::fs::read_to_string(server.config()).unwrap();
        let named = config.replace("[server.vitae]", &format!("[server.vitae]\nname = \"{name}\""));
        assert_ne!(config, named);
        std::fs::write(server.config(), named).unwrap();
        let _running = server.up().await;
        Self { server, _running }
    }

    async fn invite(&self) -> String {
        self.server.invite([""; 0]).await
    }

    /// What the server knows of its only client.
    async fn client(&self) -> Value {
        self.server.run(["clients", "list", "--json"]).await.ok().json()["clients"][0].clone()
    }

    /// What a visitor of an address gets.
    async fn visit(&self, id: &str) -> u16 {
        self.server.visitor().await.get(&host(&id.parse().unwrap()), "/").await.status.as_u16()
    }
}

/// A client whose config offers services, registered with a vendor and no longer.
async fn left_behind(vendor: &Vendor, services: &[(&str, std::net::SocketAddr, &str)]) -> Program {
    let client = Program::client();
    std::fs::write(client.config(), client_config(services)).unwrap();
    client.run_with(["register"], &vendor.invite().await).await.ok();
    let running = client.up().await;
    client.until_green().await;
    client.run(["unregister", "--yes"]).await.ok();
    assert_eq!(running.exit().await, 0);
    client
}

#[tokio::test]
async fn a_new_vendor_reaches_nothing_that_was_chosen_for_another() {
    let (old, new) = (Vendor::start().await, Vendor::start().await);
    let service = Service::http("private").await;
    let client =
        left_behind(&old, &[("web", service.address(), "http"), ("db", service.address(), "tcp")]).await;
    let link = new.invite().await;
    let said = client.run_with(["register"], &link).await;
    assert_eq!(said.exit, 2, "{said:?}");
    let named = format!("not chosen for this vendor: web ({0}), db ({0})", service.address());
    assert!(said.err.contains(&named) && said.err.contains("--share NAME"), "{said:?}");
    assert_eq!(new.client().await, Value::Null, "nothing was done");
    let said = client.run_with(["register", "--share", "dbx"], &link).await;
    assert!(said.exit == 2 && said.err.contains("no service \"dbx\""), "{said:?}");

    let said = client.run_with(["register", "--share-none", "--json"], &link).await.ok().json();
    assert_eq!(said["withheld"], serde_json::json!(["db", "web"]));
    let _running = client.up().await;
    let status = client.until("to be online", |status| status["connection"]["state"] == "online").await;
    assert_eq!(
        (&status["services"], status["withheld"].as_array().unwrap().len()),
        (&Value::Array(vec![]), 2)
    );
    let id = said["id"].as_str().unwrap();
    assert_eq!(new.visit(id).await, 503);
    assert_eq!(service.requests(), 0);
    let list = client.run(["service", "list"]).await.ok().out;
    assert!(
        list.contains("not shared with this vendor; to share it: petit-client service share web"),
        "{list}"
    );

    // Chosen for this one, it is reached at once; the other one still is not, also after a restart.
    client.run(["service", "share", "web"]).await.ok();
    client.until_green().await;
    assert_eq!(new.visit(id).await, 200);
    drop(_running);
    client.run(["stop"]).await;
    let _running = client.up().await;
    let status = client.until_green().await;
    assert_eq!(status["services"].as_array().unwrap().len(), 1);
    assert_eq!(status["withheld"][0]["name"], "db");
}

#[tokio::test]
async fn what_is_added_later_is_meant_for_the_vendor_that_there_is() {
    let (old, new) = (Vendor::start().await, Vendor::start().await);
    let service = Service::http("s").await;
    let client = left_behind(&old, &[("web", service.address(), "http")]).await;
    let said = client.run_with(["register", "--share-none"], &new.invite().await).await.ok();
    assert!(said.out.contains("Not shared: web") && !said.out.contains("reachable"), "{said:?}");
    let started = client.up().await;
    let listed = client.run(["service", "list"]).await.ok();
    let of_web = listed.out.lines().filter(|line| line.starts_with("web")).count();
    assert_eq!(of_web, 1, "{listed:?}");
    client.run(["stop"]).await.ok();
    assert_eq!(started.exit().await, 0);
    let target = service.address().to_string();
    // While no client runs: taken out and added again, it is another service.
    client.run(["service", "remove", "web"]).await.ok();
    client.run(["service", "add", "web", &target]).await.ok();
    let _running = client.up().await;
    client.run(["service", "add", "more", &target]).await.ok();
    let names = |status: &Value| status["services"].as_array().unwrap().len();
    let status = client.until("both services", |status| names(status) == 2).await;
    assert_eq!(status["withheld"], Value::Array(vec![]), "{status}");
    client.until_green().await;
}

#[tokio::test]
async fn whoever_sits_at_a_terminal_is_asked_for_each_service() {
    let (old, new) = (Vendor::start().await, Vendor::called("Nordlicht & Söhne").await);
    let service = Service::http("s").await;
    let client =
        left_behind(&old, &[("web", service.address(), "http"), ("db", service.address(), "tcp")]).await;
    let words = new.server.status().await["key_words"].clone();
    let mut terminal = client.on_a_terminal(["register"]);
    terminal.until("Paste the invite").await;
    terminal.type_line(&new.invite().await).await;
    terminal.until("that it belongs to Nordlicht & Söhne").await;
    terminal.until(words["en"].as_str().unwrap()).await;
    terminal.until(words["de"].as_str().unwrap()).await;
    terminal.until("Go on? [Y/n]").await;
    terminal.type_line("").await;
    terminal
        .until(&format!("May Nordlicht & Söhne (localhost) reach \"web\" at {}? [y/N]", service.address()))
        .await;
    terminal.type_line("y").await;
    terminal.until("reach \"db\" at").await;
    terminal.type_line("").await;
    terminal.until("Not shared: db. To share it: petit-client service share db").await;
    let (exit, shown) = terminal.end().await;
    assert_eq!(exit, 0, "{shown}");
    let _running = client.up().await;
    let status = client.until_green().await;
    assert_eq!(
        (&status["services"][0]["name"], &status["withheld"][0]["name"]),
        (&"web".into(), &"db".into())
    );
    assert_eq!(status["registered"]["vendor"], "Nordlicht & Söhne");
    let said = client.run(["status"]).await.ok().out;
    assert!(
        said.contains("belongs to Nordlicht & Söhne") && said.contains(words["de"].as_str().unwrap()),
        "{said}"
    );
}

#[tokio::test]
async fn ctrl_c_at_the_last_question_says_what_is_done_already() {
    let vendor = Vendor::start().await;
    let client = Program::client();
    let mut terminal = client.on_a_terminal(["register", "--key-store", "file"]);
    terminal.until("Paste the invite").await;
    terminal.type_line(&vendor.server.invite(["--service-name", "orders"]).await).await;
    terminal.until("Go on?").await;
    terminal.type_line("").await;
    terminal.until("Where is the service \"orders\"").await;
    terminal.interrupt().await;
    terminal.until("is registered with localhost").await;
    terminal.until("petit-client service add orders HOST:PORT").await;
    let (exit, shown) = terminal.end().await;
    assert_eq!(exit, 130, "{shown}");
    assert_eq!(client.run(["status"]).await.exit, 3, "registered, not running");
}

#[tokio::test]
async fn until_the_service_of_the_invite_is_set_up_the_commands_name_it() {
    let vendor = Vendor::start().await;
    let service = Service::http("the orders").await;
    let target = service.address().to_string();
    let client = Program::client();
    let mut terminal = client.on_a_terminal(["register", "--key-store", "file"]);
    terminal.until("Paste the invite").await;
    let link = vendor.server.invite(["--service-name", "orders", "--alias", "acme"]).await;
    terminal.type_line(&link).await;
    terminal.until("Go on?").await;
    terminal.type_line("").await;
    terminal.until("Where is the service \"orders\"").await;
    terminal.end_input().await;
    let next = "petit-client service add orders HOST:PORT";
    terminal.until(next).await;
    let (exit, shown) = terminal.end().await;
    assert_eq!(exit, 0, "{shown}");
    let all_say = async |commands: &[&[&str]]| {
        for command in commands {
            let said = client.run(command.iter().copied()).await;
            assert!(said.out.contains(next) || said.err.contains(next), "{command:?}: {said:?}");
        }
    };
    all_say(&[&["service", "list"], &["config", "check"], &["doctor"]]).await;
    let running = client.up().await;
    client.until("to be online", |status| status["connection"]["state"] == "online").await;
    all_say(&[&["status"], &["config", "check"], &["doctor"], &["ping"]]).await;

    // Another name is taken, and what that leaves out is said.
    let note = "the invite was made for a service \"orders\", and none has that name";
    let add = async |name: &str| client.run(["service", "add", name, &target]).await.ok().out;
    let said = add("other").await;
    assert!(said.contains(note) && said.contains(next), "{said}");
    client.run(["service", "remove", "other"]).await.ok();
    all_say(&[&["status"]]).await;
    client.run(["stop"]).await.ok();
    assert_eq!(running.exit().await, 0);
    let said = add("third").await;
    assert!(said.contains(note) && said.contains(next), "{said}");
    let said = add("orders").await;
    assert!(!said.contains("the invite was made for"), "{said}");
    let _running = client.up().await;
    client.until_green().await;
    assert_eq!(vendor.server.visitor().await.get("acme.localhost", "/").await.text(), "the orders");

    // Whoever has given its address up is not told of it any more.
    client.run(["unregister", "--service", "orders", "--yes"]).await.ok();
    let said = add("fourth").await;
    assert!(!said.contains("the invite was made for"), "{said}");
}

#[tokio::test]
async fn without_a_keychain_a_file_is_offered_before_the_invite_is_asked_for() {
    let vendor = Vendor::start().await;
    let client = Program::client();
    let mut terminal = client.on_a_terminal(["register"]);
    terminal.until("There is no keychain on this computer").await;
    terminal.until("Keep the key in a file that only you can read? [y/N]").await;
    terminal.type_line("").await;
    let (exit, shown) = terminal.end().await;
    assert!(exit == 1 && !shown.contains("Paste the invite"), "{shown}");
    let mut terminal = client.on_a_terminal(["register"]);
    terminal.until("Keep the key in a file").await;
    terminal.type_line("y").await;
    terminal.until("Paste the invite").await;
    terminal.type_line(&vendor.invite().await).await;
    terminal.until("Go on?").await;
    terminal.type_line("").await;
    terminal.until("Where is").await;
    terminal.type_line("").await;
    let (exit, shown) = terminal.end().await;
    assert_eq!(exit, 0, "{shown}");
    assert!(client.dir().join("device.key").exists());
}

#[tokio::test]
async fn of_two_at_once_the_second_is_told_what_is_under_way() {
    let client = Program::client();
    let first = client.start(["register", "--key-store", "file"]);
    let pid = first.id().unwrap().to_string();
    petit_tests::soon("the first to hold the lock", async {
        while std::fs::read_to_string(client.dir().join("client.lock")).ok().as_ref() != Some(&pid) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let said = client.run_with(["register", "--key-store", "file"], "x").await;
    assert_eq!(said.exit, 1);
    assert!(
        said.err.contains("another petit-client command is under way in this folder (process"),
        "{said:?}"
    );
    drop(first);
}

#[tokio::test]
async fn an_address_that_is_given_back_does_not_leave_its_service_public() {
    let vendor = Vendor::start().await;
    let service = Service::http("s").await;
    let client = Program::client();
    let services = [("web", service.address(), "http"), ("more", service.address(), "http")];
    std::fs::write(client.config(), client_config(&services)).unwrap();
    client.run_with(["register"], &vendor.invite().await).await.ok();
    let _running = client.up().await;
    client.until_green().await;
    let said = client.run(["unregister", "--service", "web", "--yes"]).await.ok();
    assert!(said.out.contains("It is no longer offered"), "{said:?}");
    let config = std::fs::read_to_string(client.config()).unwrap();
    assert!(!config.contains("\"web\"") && config.contains("\"more\""), "{config}");
    let client = vendor.client().await;
    let names: Vec<&Value> = client["services"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["more"], "there is no address for it any more, not a new one either");
}

#[tokio::test]
async fn both_ends_say_the_same_six_words() {
    let vendor = Vendor::start().await;
    let service = Service::http("s").await;
    let rows = vendor.server.status().await["key_words"].clone();
    let rows: Vec<&str> = ["en", "de"].map(|lang| rows[lang].as_str().unwrap()).to_vec();
    assert!(rows.iter().all(|row| row.split(' ').count() == 6), "{rows:?}");
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &vendor.invite().await).await.ok();
    let _running = client.up().await;
    client.until_green().await;
    let said = [
        vendor.server.run(["init"]).await.ok().out,
        vendor.server.run(["status"]).await.ok().out,
        vendor.server.run(["invite"]).await.ok().out,
        client.run(["status"]).await.ok().out,
    ];
    for text in said {
        assert!(rows.iter().all(|row| text.contains(row)), "{rows:?} in {text}");
    }
    // Those of the computer are other ones, and the same on both sides.
    let known = vendor.client().await;
    let own = known["key_words"]["de"].as_str().unwrap();
    assert_ne!(own, rows[1]);
    let shown = vendor.server.run(["clients", "show", known["id"].as_str().unwrap()]).await.ok().out;
    assert!(shown.contains(own) && shown.contains(known["key_words"]["en"].as_str().unwrap()), "{shown}");
}
