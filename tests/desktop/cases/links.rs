//! `petit://` links: they fill in, and do nothing else.

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests_desktop::app::App;
use petit_tests_desktop::driver::Window;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_another_start_hands_over_fills_in_and_waits() {
    let (session, served, client) = (Session::start().await, Served::start().await, Program::client());
    let window = Window::open(&session, &client, &["show"]).await;
    window.find("invite").await;
    let hand_over = async |link: &str| {
        let ended = App::start(&session, &client, &[link]).ended().await;
        assert_eq!(ended.exit, 0, "{ended:?}");
    };
    let script = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>";
    let title = async || {
        let title = window.script("arguments[0](document.title)").await;
        title.as_str().unwrap().to_owned()
    };
    let shown = async |what: &dyn Fn(&str) -> bool| {
        let read = "arguments[0](document.querySelector('[data-test=\"invite\"]')?.value ?? '')";
        petit_tests::soon("the link in the field", async {
            loop {
                let text = window.script(read).await.as_str().unwrap().to_owned();
                if what(&text) {
                    return text;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    };

    // Markup stays text, control characters go, and no link is too long to be cut off.
    hand_over(&format!("petit://enroll#v1.{script}")).await;
    shown(&|text| text.contains("onerror")).await;
    window.click("invite-continue").await;
    window.until_text("invite-error", |text| !text.is_empty()).await;
    hand_over("petit://enroll#v1.\u{7}one\u{1b}[31m\u{202e}two\r\nstart=1").await;
    let text = shown(&|text| text.contains("two")).await;
    assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
    hand_over(&format!("petit://enroll#v1.{}", "x".repeat(100_000))).await;
    let text = shown(&|text| text.contains("xxx")).await;
    assert!(text.len() <= 4096, "{}", text.len());
    let seen = title().await;
    assert!(seen.ends_with("Petit") && !seen.contains("taken"), "{seen}");

    // A good one is filled in. Nothing is registered before somebody says so.
    let invite = served.server.invite([""; 0]).await;
    let coded = invite.split_once('#').unwrap().1.to_owned();
    hand_over(&format!("petit://enroll?{script}#{coded}")).await;
    window.find("invite-from-link").await;
    // It says what was handed over, and not where the vendor's page about it might be.
    assert_eq!(shown(&|text| text.contains(&coded)).await, format!("petit://enroll#{coded}"));
    session.picture("link-filled-in").await;
    assert_eq!(client.status().await["connection"]["state"], "unregistered");
    let rows = served.server.run(["invite", "--list", "--json"]).await.ok().json();
    assert!(rows["invites"].as_array().unwrap().iter().all(|row| row["state"] == "open"), "{rows}");
    window.click("invite-continue").await;
    let server = window
        .until_text("invite-server", |text| text.contains("127.0.0.1") || text.contains("localhost"))
        .await;
    assert_eq!(client.status().await["connection"]["state"], "unregistered", "it asks first");
    assert!(!client.dir().join("device.key").exists());

    // The link to the vendor's page, pasted, leads to the same place.
    window.click("setup-back").await;
    window.type_into("invite", &invite).await;
    window.click("invite-continue").await;
    assert_eq!(window.until_text("invite-server", |text| !text.is_empty()).await, server);
}
