//! The config file edited while everything runs.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use petit_tests::bed::{Bed, client_config};
use petit_tests::service::Service;
use petit_tests::visitor::host;

#[tokio::test]
async fn an_edit_is_applied_without_dropping_a_request() {
    let bed = Bed::start().await;
    let (old, new) = (Service::http("old").await, Service::http("new").await);
    let client = bed.client(&old).await;
    let watching = tokio::spawn({
        let client = client.client.clone();
        async move { client.watch_config().await }
    });
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    let waiting = tokio::spawn({
        let host = host.clone();
        async move { visitor.get(&host, "/wait").await }
    });
    old.until_waiting(1).await;

    // Another target, and a second service.
    let services = [("web", new.address(), "http"), ("api", new.address(), "http")];
    std::fs::write(client.config(), client_config(&services)).unwrap();
    visitor.until("the new target", &host, "/", |answer| answer.text() == "new").await;
    client.until_green("api").await;
    for _ in 0..20 {
        assert_eq!(visitor.get(&host, "/").await.text(), "new", "no kept connection leads to the old target");
    }
    old.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done", "a request that was under way has gone on");

    // A mistake changes nothing and is named.
    std::fs::write(client.config(), "[client]\nlog_levle = \"x\"\n").unwrap();
    let status = client.until("the mistake to be noticed", |status| status.config_problem.is_some()).await;
    let problem = status.config_problem.unwrap();
    assert!(problem.contains("config.toml:2:1: [client] has no key \"log_levle\""), "{problem}");
    assert_eq!(status.services.len(), 2);
    assert_eq!(visitor.get(&host, "/").await.text(), "new");

    // A service that is taken out is not offered; its ID stays reserved for it.
    std::fs::write(client.config(), client_config(&[("api", new.address(), "http")])).unwrap();
    client.until("one service", |status| status.services.len() == 1 && status.config_problem.is_none()).await;
    let gone = visitor.until("the service to be gone", &host, "/", |answer| answer.status == 503).await;
    assert_eq!(gone.petit_error().as_deref(), Some("not-offered"));
    std::fs::write(client.config(), client_config(&services)).unwrap();
    visitor.until("the service to be back under its ID", &host, "/", |answer| answer.text() == "new").await;
    watching.abort();
}

/// A file as the original's installer left it behind.
#[tokio::test]
async fn a_config_file_of_the_original_works() {
    let bed = Bed::start().await;
    let service = Service::http("as ever").await;
    let invite = bed.invite_for("accounts", None).await;
    let client = petit_tests::bed::BedClient::new(&invite, &[]).await;
    let address = service.address();
    let text = format!(
        "[client]\nport = 22\nbackPort = 3014\nusername = \"g2c\"\nlistenPort = 3015\nlogLevel = \"info\"\n\
         bindAddr = \"127.0.0.1\"\napiPort = 8100\n[client.vitae]\nbrand = \"ce\"\nbundle = \"plain\"\n\
         [client.local]\nhost = \"{}\"\nport = {}\n",
        address.ip(),
        address.port()
    );
    std::fs::write(client.config(), text).unwrap();
    client.client.reload().await.unwrap();
    client.until_green("accounts").await;
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), "as ever");
}

/// What a file that others could change says is not believed; the advice is to mend its rights, and that is enough.
#[tokio::test]
async fn a_file_whose_rights_were_mended_is_in_force_without_another_edit() {
    let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let service = Service::http("s").await;
    let (server, running, client) = crate::recover::processes(&service).await;
    let _client = client.up().await;
    client.until_green().await;
    set(&client.config(), 0o666);
    let text = std::fs::read_to_string(client.config()).unwrap();
    let more = format!("{text}[[client.service]]\nname = \"more\"\ntarget = \"{}\"\n", service.address());
    std::fs::write(client.config(), more).unwrap();
    let refused = client.until("the file to be refused", |status| !status["config_problem"].is_null()).await;
    assert!(refused["config_problem"].as_str().unwrap().contains("run chmod go-w on it"), "{refused}");
    assert_eq!(refused["services"].as_array().unwrap().len(), 1);
    set(&client.config(), 0o600);
    let is_in_force = |status: &serde_json::Value| {
        status["config_problem"].is_null() && status["services"].as_array().unwrap().len() == 2
    };
    client.until("the file to be in force", is_in_force).await;

    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    set(&server.config(), 0o666);
    log.until("run chmod go-w on it").await;
    set(&server.config(), 0o600);
    log.until("config applied").await;
    drop(running);
}
