//! Notifications, as a desktop takes them.

use std::time::{Duration, Instant};

use petit_tests::service::Service;
use petit_tests_desktop::app::App;
use petit_tests_desktop::notices::Notices;
use petit_tests_desktop::panel::Panel;
use petit_tests_desktop::session::Session;

use crate::Served;

/// How long something has to be broken before that is news.
const NEWS_AFTER: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_needed_is_told_at_once_and_the_button_leads_to_the_window() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("noticed").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    let notices = Notices::start(session.bus()).await;
    let app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;

    // What somebody does themselves, and what mends itself, is no news.
    icon.click("Stop").await;
    icon.until_line("it to stop", |line| line == "Switched off").await;
    icon.click("Start").await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    icon.click("For 15 minutes").await;
    icon.until_line("a pause", |line| line.starts_with("Paused until ")).await;
    icon.click("Go on now").await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    let address = service.stop().await;
    icon.until_line("the service to be missed", |line| line.contains("Nothing listens at")).await;
    let _service = Service::http_on("back", address).await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    assert_eq!(notices.all(), []);

    let clients = served.server.run(["clients", "list", "--json"]).await.ok().json();
    let device = clients["clients"][0]["id"].as_str().unwrap().to_owned();
    served.server.run(["clients", "revoke", "--yes", &device]).await.ok();
    let notice = notices.after(0, Duration::ZERO).await;
    assert_eq!((notice.program.as_str(), notice.urgency, notice.replaces), ("Petit", 2, 0));
    assert_eq!(notice.title, "Petit cannot connect");
    assert_eq!(notice.body, "The server does not know this computer any more");
    assert_eq!(notice.actions, ["default", "Open Petit", "open", "Open Petit"]);
    assert_eq!(icon.status().await, "NeedsAttention");

    assert!(session.windows().await.is_empty(), "a notification is no window");
    notices.press(&notice, "open").await;
    session.until_window(true).await;
    app.signal("TERM").await;
    assert_eq!(app.ended().await.exit, 0);
    assert_eq!(notices.all(), [notice], "it is said once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_after_a_minute_and_so_is_its_end() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("gone for a while").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    let notices = Notices::start(session.bus()).await;
    let _app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;

    let begin = Instant::now();
    let address = service.stop().await;
    icon.until_line("the service to be missed", |line| line.contains("Nothing listens at")).await;
    let down = notices.after(0, NEWS_AFTER).await;
    assert!(down.at.duration_since(begin) >= NEWS_AFTER, "a shorter outage is nobody's business");
    assert_eq!((down.title.as_str(), down.urgency), ("Petit has not worked for a minute", 1));
    assert_eq!(down.body, format!("Service web: Nothing listens at {address}"));

    let _service = Service::http_on("back", address).await;
    let back = notices.after(1, Duration::ZERO).await;
    assert_eq!((back.title.as_str(), back.replaces), ("Petit works again", down.id));
    assert!(["a minute.", "2 minutes."].iter().any(|long| back.body.ends_with(long)), "{}", back.body);
    assert_eq!(served.visit(&client).await, "back");
    assert_eq!(notices.all().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desktop_without_notifications_is_no_obstacle() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("quiet").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    let _app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    let revoke = async || {
        let clients = served.server.run(["clients", "list", "--json"]).await.ok().json();
        let device = clients["clients"][0]["id"].as_str().unwrap().to_owned();
        served.server.run(["clients", "revoke", "--yes", &device]).await.ok();
        icon.until_line("the refusal", |line| line.contains("does not know this computer")).await;
    };
    revoke().await;
    // One that comes later is found.
    let notices = Notices::start(session.bus()).await;
    client.run(["unregister", "--local", "--yes"]).await.ok();
    icon.until_line("it to be forgotten", |line| line == "Not set up yet").await;
    let link = served.server.invite([""; 0]).await;
    client.run_with(["register"], &link).await.ok();
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    revoke().await;
    assert_eq!(notices.after(0, Duration::ZERO).await.title, "Petit cannot connect");
}
