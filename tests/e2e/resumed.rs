//! The invite of the registration in force, used once more: it is gone on with where somebody stopped.

use std::collections::BTreeSet;

use petit_client::config::KeyStore;
use petit_client::enrol::{self, Existing, RegisterError, Request};
use petit_client::folder::Folder;
use petit_client::registration;
use petit_engine::invite::Invite;
use petit_tests::bed::Bed;
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use serde_json::Value;
use tokio::net::TcpListener;

/// A server, and a client that was stopped when it had registered and had not been told where its service is.
struct Stopped {
    server: Program,
    _running: Running,
    client: Program,
    link: String,
    target: String,
    _service: Service,
}

impl Stopped {
    async fn new() -> Self {
        let server = Program::server().await;
        let _running = server.up().await;
        let client = Program::client();
        let link = server.invite(["--service-name", "orders"]).await;
        let mut terminal = client.on_a_terminal(["register", "--key-store", "file"]);
        terminal.until("Paste the invite").await;
        terminal.type_line(&link).await;
        terminal.until("Go on?").await;
        terminal.type_line("").await;
        terminal.until("Where is the service \"orders\"").await;
        terminal.interrupt().await;
        assert_eq!(terminal.end().await.0, 130);
        let service = Service::http("the orders").await;
        let target = service.address().to_string();
        Self { server, _running, client, link, target, _service: service }
    }

    fn registration(&self) -> String {
        std::fs::read_to_string(self.client.dir().join("registration.json")).unwrap()
    }

    /// The client's entry, which has stayed the only one.
    async fn its_entry(&self) -> Value {
        let all = self.server.run(["clients", "list", "--all", "--json"]).await.ok().json();
        assert_eq!(all["clients"].as_array().unwrap().len(), 1, "{all}");
        all["clients"][0].clone()
    }
}

#[tokio::test]
async fn somebody_at_a_terminal_is_asked_only_what_is_still_open() {
    let test = Stopped::new().await;
    let before = test.registration();
    let mut terminal = test.client.on_a_terminal(["register"]);
    terminal.until("Paste the invite").await;
    terminal.type_line(&test.link).await;
    terminal.until("registered with it already; nothing is replaced").await;
    terminal.until("Where is the service \"orders\"").await;
    terminal.type_line(&test.target).await;
    terminal.until("will be reachable at http://").await;
    let (exit, shown) = terminal.end().await;
    assert!(exit == 0 && shown.contains("Registered with localhost"), "{shown}");
    assert!(!shown.contains("Replace it?") && !shown.contains("given back"), "{shown}");
    assert!(!shown.contains("Say where it is"), "{shown}");
    assert_eq!(test.registration(), before);
    assert!(test.its_entry().await["ended"].is_null());
    let _tunnel = test.client.up().await;
    test.client.until_green().await;
}

#[tokio::test]
async fn a_script_gets_the_same_answer_as_often_as_it_asks() {
    let test = Stopped::new().await;
    let before = test.registration();
    let file = test.client.dir().join("invite");
    std::fs::write(&file, &test.link).unwrap();
    let by_file = ["register", "--service", &test.target, "--invite-file", file.to_str().unwrap()];
    let first = test.client.run(by_file).await.ok();
    assert!(first.out.contains("will be reachable at http://"), "{first:?}");
    let config = std::fs::read_to_string(test.client.config()).unwrap();
    assert!(config.contains(&format!("target = \"{}\"", test.target)), "{config}");
    for more in [&[][..], &["--replace"], &["--share-none"]] {
        let said = test.client.run(by_file.iter().chain(more)).await.ok();
        assert_eq!(said.out, first.out);
    }
    assert_eq!(test.registration(), before);
    assert_eq!(std::fs::read_to_string(test.client.config()).unwrap(), config);
    let entry = test.its_entry().await;
    let json = test.client.run(by_file.iter().chain(&["--json"])).await.ok().json();
    assert_eq!((&json["device"], &json["former"]), (&entry["id"], &Value::Null));
    // Any other invite is still refused.
    let other = test.server.invite([""; 0]).await;
    let said = test.client.run_with(["register"], &other).await;
    assert!(said.exit == 1 && said.err.contains("register --replace"), "{said:?}");
}

#[tokio::test]
async fn a_client_that_runs_goes_on_with_what_it_has() {
    let test = Stopped::new().await;
    let _tunnel = test.client.up().await;
    let is_online = |status: &Value| status["connection"]["state"] == "online";
    let since = test.client.until("to be online", is_online).await["connection"]["since"].clone();
    let said = test.client.run_with(["register", "--service", &test.target], &test.link).await.ok();
    assert!(said.out.contains("The client is running"), "{said:?}");
    let status = test.client.until_green().await;
    assert_eq!(status["connection"]["since"], since, "the connection is the same");
    assert!(test.its_entry().await["ended"].is_null());
}

#[tokio::test]
async fn a_server_that_has_revoked_the_key_says_so() {
    let test = Stopped::new().await;
    let id = test.its_entry().await["id"].as_str().unwrap().to_owned();
    test.server.run(["clients", "revoke", "--yes", &id]).await.ok();
    let before = test.registration();
    let said = test.client.run_with(["register"], &test.link).await;
    assert!(said.exit == 5 && said.err.contains("the key of this computer was revoked"), "{said:?}");
    assert_eq!(test.registration(), before);
    let _tunnel = test.client.up().await;
    let said = test.client.run_with(["register"], &test.link).await;
    assert!(said.exit == 5 && said.err.contains("the key of this computer was revoked"), "{said:?}");
}

/// Whoever knows the number of an invite could put it into one of their own, and would see the key of a customer of
/// somebody else's.
#[tokio::test]
async fn a_copy_of_the_invite_for_another_server_is_another_invite() {
    let bed = Bed::start().await;
    let invite = bed.invite().await;
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::of(&dir.path().join("config.toml"));
    let config = petit_client::config::Config::default();
    let request = |invite| Request {
        invite,
        key_store: KeyStore::File,
        share: BTreeSet::new(),
        existing: Existing::Keep,
    };
    assert!(enrol::resume(&folder, &config, &invite).await.unwrap().is_none(), "nothing is in force");
    let enrolled = enrol::register(&folder, &config, &request(&invite)).await.unwrap();
    let again = enrol::resume(&folder, &config, &invite).await.unwrap().unwrap();
    assert_eq!((again.registration, again.registered), (enrolled.registration, enrolled.registered));
    assert!(!again.replaced);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string().parse().unwrap();
    let copy = Invite { server, ..invite.clone() };
    assert!(enrol::resume(&folder, &config, &copy).await.unwrap().is_none());
    let refused = enrol::register(&folder, &config, &request(&copy)).await.unwrap_err();
    assert!(matches!(refused, RegisterError::Registered(_)), "{refused}");
    // Nobody has come there: what connects from now on is the first.
    let own = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    assert_eq!(listener.accept().await.unwrap().1, own.local_addr().unwrap());

    // Without its key the registration cannot be gone on with, and stays.
    std::fs::remove_file(dir.path().join("device.key")).unwrap();
    let gone = enrol::resume(&folder, &config, &invite).await.unwrap_err();
    assert!(matches!(gone, RegisterError::KeyGone(KeyStore::File)), "{gone}");
    assert!(registration::load(&folder).unwrap().is_some());
    let replacing = Request { existing: Existing::Replace, ..request(&invite) };
    let refused = enrol::register(&folder, &config, &replacing).await.unwrap_err();
    assert!(matches!(refused, RegisterError::Registered(_)), "its own invite replaces nothing: {refused}");
}
