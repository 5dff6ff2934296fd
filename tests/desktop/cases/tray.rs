//! The tray, seen and clicked over D-Bus.

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests_desktop::app::App;
use petit_tests_desktop::driver::Window;
use petit_tests_desktop::panel::Panel;
use petit_tests_desktop::session::Session;

use crate::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_clicked_happens_and_what_happens_is_shown() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("behind the tray").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    let app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    let line = icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    assert!(line.contains(&service.address().to_string()), "{line}");
    assert_eq!(served.visit(&client).await, "behind the tray");
    let working = icon.pictures().await;
    let sizes: Vec<i32> = working.iter().map(|(width, _, _)| *width).collect();
    assert_eq!(sizes, [16, 22, 24, 32, 48, 64]);
    assert_eq!(icon.status().await, "Active");
    assert!(icon.first_level().await <= 12);

    icon.click("Stop").await;
    icon.until_line("it to stop", |line| line == "Switched off").await;
    assert_ne!(icon.pictures().await, working, "it looks different");
    client.until("the client to be off", |status| status["connection"]["state"] == "off").await;
    icon.click("Start").await;
    icon.until_line("it to work again", |line| line.starts_with("Working: ")).await;

    icon.click("For 15 minutes").await;
    icon.until_line("a pause", |line| line.starts_with("Paused until ")).await;
    client.until("the client to be off", |status| status["connection"]["state"] == "off").await;
    icon.click("Go on now").await;
    icon.until_line("it to work again", |line| line.starts_with("Working: ")).await;

    // A service that goes is named.
    let address = service.stop().await;
    icon.until_line("the service to be missed", |line| line.contains("Nothing listens at")).await;
    let _service = Service::http_on("back", address).await;
    icon.until_line("it to work again", |line| line.starts_with("Working: ")).await;

    let entry = session.config_home().join("autostart/petit.desktop");
    icon.click("Start on login").await;
    petit_tests::soon("the entry", async {
        while !icon.menu().await.iter().any(|entry| entry.label == "Start on login" && entry.ticked) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(entry.exists());
    icon.click("Start on login").await;
    petit_tests::soon("the entry to go", async {
        while entry.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    assert!(session.windows().await.is_empty(), "no window was asked for");
    icon.click("Open Petit").await;
    session.until_window(true).await;
    session.picture("tray-open").await;
    session.close_window().await;
    icon.activate().await;
    session.until_window(true).await;

    icon.click("Disconnect and quit").await;
    icon.until_gone().await;
    assert_eq!(app.ended().await.exit, 0);
    assert_eq!(client.run(["status"]).await.exit, 3, "the client has gone with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_petit_client_work_on_the_tray_app() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("shared").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    let app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    assert!(client.run(["status"]).await.ok().out.contains("works end to end"));
    client.run(["ping"]).await.ok();
    client.run(["stop"]).await.ok();
    icon.until_line("it to stop", |line| line == "Switched off").await;
    assert!(client.run(["status"]).await.ok().out.contains("switched off"));
    client.run(["start"]).await.ok();
    icon.until_line("it to work again", |line| line.starts_with("Working: ")).await;
    client.run(["service", "add", "second", "localhost:1"]).await.ok();
    icon.until_line("the second service", |line| line.starts_with("second: ")).await;
    client.run(["unregister", "--yes"]).await.ok();
    icon.until_line("it to be forgotten", |line| line == "Not set up yet").await;
    let link = served.server.invite([""; 0]).await;
    client.run_with(["register"], &link).await.ok();
    icon.until_line("it to be online", |line| !line.starts_with("Not set up")).await;
    app.signal("TERM").await;
    assert_eq!(app.ended().await.exit, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_runs_already_is_shown_and_taken_over_from() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("headless").await;
    let client = served.client(&service).await;
    let headless = client.up().await;
    client.until_green().await;
    let panel = Panel::start(session.bus()).await;
    let _app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    icon.until_line("the other's state", |line| line.starts_with("Working: ")).await;
    let holder = headless.id();
    assert_eq!(client.status().await["pid"], holder, "it was not fought");
    headless.kill().await;
    let taken =
        |status: &serde_json::Value| status["pid"] != holder && status["services"][0]["light"] == "green";
    petit_tests::soon("the app to take over", async {
        while client.run(["status"]).await.exit != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.until("the app's own client to work", taken).await;
    icon.until_line("its own state", |line| line.starts_with("Working: ")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panel_that_comes_late_or_again_gets_the_icon() {
    let (session, client) = (Session::start().await, Program::client());
    let _app = App::start(&session, &client, &[]);
    // Without a panel the window is the way to the app.
    session.until_window(true).await;
    let panel = Panel::start(session.bus()).await;
    let icon = panel.icon().await;
    icon.until_line("an unregistered app", |line| line == "Not set up yet").await;
    drop(icon);
    drop(panel);
    let again = Panel::start(session.bus()).await;
    again.icon().await.until_line("the icon in the new panel", |line| line == "Not set up yet").await;
    assert_eq!(again.registrations(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_start_shows_the_window_when_there_is_no_panel() {
    let (session, client) = (Session::start().await, Program::client());
    let _app = App::start(&session, &client, &["--autostart"]);
    session.until_window(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desktop_without_a_panel_is_told_where_petit_lives_until_one_comes() {
    let (session, client) = (Session::start().await, Program::client());
    let window = Window::open(&session, &client, &["show"]).await;
    let said = window.until_text("notice-no_tray", |text| text.contains("no tray icons")).await;
    assert!(said.contains("AppIndicator and KStatusNotifierItem Support"), "{said}");
    session.picture("no-tray").await;
    let panel = Panel::start(session.bus()).await;
    panel.icon().await.until_line("an unregistered app", |line| line == "Not set up yet").await;
    window.until_gone("notice-no_tray").await;
    // And it goes again, as panels that crash do.
    drop(panel);
    window.find("notice-no_tray").await;
}
