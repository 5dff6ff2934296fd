//! `petit://` links: they fill in, and do nothing else.

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests_desktop::app::App;
use petit_tests_desktop::panel::Panel;
use petit_tests_desktop::session::Session;

use crate::Served;

/// All files of a client but its logs and locks, with what is in them.
fn files(client: &Program) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = client
        .texts()
        .into_iter()
        .map(|(path, text)| (path.file_name().unwrap().to_string_lossy().into_owned(), text))
        .filter(|(name, _)| !name.contains(".log") && !name.ends_with(".lock") && !name.ends_with(".sock"))
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_links_change_nothing() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("untouched").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    let _app = App::start(&session, &client, &["--autostart"]);
    panel.icon().await.until_line("it to work", |line| line.starts_with("Working: ")).await;
    let before = files(&client);
    let invite = served.server.invite([""; 0]).await;
    let coded = invite.split_once('#').unwrap().1.to_owned();
    for link in [
        "petit://quit".to_owned(),
        "petit://stop".to_owned(),
        "petit:".to_owned(),
        "PETIT://enroll?target=localhost:22&log_level=trace&start=1".to_owned(),
        format!("petit://enroll?target=localhost:22#{coded}"),
        format!("petit://enroll#{}", &coded[..60]),
        format!("petit://{}", "x".repeat(100_000)),
        "petit://settings?server=evil.example.com&ca=/tmp/x".to_owned(),
        "petit://enroll#v1.../../../../etc/passwd".to_owned(),
    ] {
        let ended = App::start(&session, &client, &[&link]).ended().await;
        assert_eq!(ended.exit, 0, "{ended:?}");
    }
    session.until_window(true).await;
    let status = client.status().await;
    assert_eq!(status["connection"]["state"], "online", "nothing was stopped");
    assert_eq!(files(&client), before);
    let rows = served.server.run(["invite", "--list", "--json"]).await.ok().json();
    assert!(rows["invites"].as_array().unwrap().iter().any(|row| row["state"] == "open"), "{rows}");
    for (path, text) in client.texts() {
        assert!(!text.contains(&coded[60..100]), "the invite is in {}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_takes_its_link_out_of_the_command_line() {
    let (session, served, client) = (Session::start().await, Served::start().await, Program::client());
    let invite = served.server.invite([""; 0]).await;
    let coded = invite.split_once('#').unwrap().1.to_owned();
    let app = App::start(&session, &client, &[&format!("petit://enroll#{coded}")]);
    session.until_window(true).await;
    for file in ["cmdline", "environ"] {
        let bytes = std::fs::read(format!("/proc/{}/{file}", app.id())).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(&coded[60..100]), "the invite is in {file}");
    }
}
