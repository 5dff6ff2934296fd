//! What was acknowledged is on the disk, not only in the system's memory: seen in the order of the calls, because
//! only a power cut could show it otherwise.

use std::path::Path;

use petit_engine::agent;
use petit_engine::invite::Invite;
use petit_engine::net::dial::DialRoute;
use petit_engine::proto::control::Text;
use petit_engine::secret::PrivateKey;
use petit_host::control::client::Client;
use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::trace;
use secrecy::SecretString;
use serde_json::json;

#[tokio::test]
async fn no_change_is_acknowledged_before_it_is_on_the_disk() {
    let server = Program::server().await;
    let log = server.dir().join("server.trace");
    let running = server.up_traced(&log).await;
    let control = Client::new(&server.dir().join("server.sock"));
    let registry = server.dir().join("registry.db-wal");
    let flushes = || trace::said_only_what_is_on_the_disk(&trace::read(&log), &registry);
    let mut before = flushes();
    let mut committed = |what: &str| {
        let now = flushes();
        assert!(now > before, "{what} was acknowledged and not flushed");
        before = now;
    };
    let made = control.call("POST", "/invites", Some(&json!({ "service": "web" }))).await.unwrap();
    committed("an invite");
    let invite = Invite::parse(&SecretString::from(made["link"].as_str().unwrap().to_owned())).unwrap();
    let key = PrivateKey::generate().unwrap();
    let text = Text::lossy("durable");
    let registered = agent::enrol(&invite, &DialRoute::default(), &key, "durable", &text).await.unwrap();
    committed("an enrolment");
    let alias = json!({ "id": registered.id.to_string(), "alias": "acme", "force": false });
    control.call("POST", "/aliases", Some(&alias)).await.unwrap();
    committed("an alias");
    control.call("POST", &format!("/clients/{}/revoke", registered.device), None).await.unwrap();
    committed("a revocation");
    server.run(["stop"]).await.ok();
    running.exit().await;
    flushes();
}

/// Everything that a command leaves in its folder is on the disk when the command has ended.
async fn leaves_only_what_is_on_the_disk(
    program: &Program,
    arguments: &[&str],
    input: &str,
    files: &[&Path],
) {
    let log = program.dir().join("command.trace");
    program.run_traced(arguments, input, &log).await.ok();
    let places = trace::renamed_only_what_is_on_the_disk(&trace::read(&log));
    for file in files {
        assert!(places.iter().any(|place| place == file), "{arguments:?}: {} in {places:?}", file.display());
    }
}

#[tokio::test]
async fn keys_registrations_settings_and_registries_are_on_the_disk_when_their_command_has_ended() {
    let server = Program::server().await;
    let at = |program: &Program, name: &str| program.dir().join(name);
    for name in ["server.key", "backup.key", "backup.pin", "registry.db"] {
        std::fs::remove_file(at(&server, name)).unwrap();
    }
    let made = ["server.key", "backup.pin", "registry.db"].map(|name| at(&server, name));
    let made = made.each_ref().map(|path| path.as_path());
    leaves_only_what_is_on_the_disk(&server, &["init"], "", &made).await;
    let backup = at(&server, "backup");
    let saved = ["server.key", "backup.pin", "config.toml"].map(|name| backup.join(name));
    let saved = saved.each_ref().map(|path| path.as_path());
    leaves_only_what_is_on_the_disk(&server, &["backup", backup.to_str().unwrap()], "", &saved).await;
    leaves_only_what_is_on_the_disk(&server, &["restore", backup.to_str().unwrap()], "", &made).await;

    let _running = server.up().await;
    let service = Service::http("s").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    let made = ["device.key", "registration.json"].map(|name| at(&client, name));
    let made = made.each_ref().map(|path| path.as_path());
    let link = server.invite([""; 0]).await;
    leaves_only_what_is_on_the_disk(&client, &["register"], &link, &made).await;
    let target = service.address().to_string();
    let config = client.config();
    leaves_only_what_is_on_the_disk(&client, &["service", "add", "api", &target], "", &[&config]).await;
}
