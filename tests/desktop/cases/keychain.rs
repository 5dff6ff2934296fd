//! The real keychain: unlocked, locked, gone, and back.

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests_desktop::app::App;
use petit_tests_desktop::driver::Window;
use petit_tests_desktop::panel::Panel;
use petit_tests_desktop::session::Session;

use crate::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keychain_may_be_locked_gone_and_back_without_a_restart() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("kept").await;
    let mut keychain = session.keychain().await;
    let client = Program::client().env("DBUS_SESSION_BUS_ADDRESS", session.bus());
    let target = service.address().to_string();
    let link = served.server.invite([""; 0]).await;
    client.run_with(["register", "--service", &target], &link).await.ok();
    assert!(!client.dir().join("device.key").exists());
    let panel = Panel::start(session.bus()).await;
    let app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;

    // Gone while it runs: the connection needs no key any more.
    keychain.kill().await.unwrap();
    assert_eq!(served.visit(&client).await, "kept");
    icon.click("Stop").await;
    icon.until_line("it to stop", |line| line == "Switched off").await;
    icon.click("Start").await;
    icon.until_line("it to work without being asked for a key", |line| line.starts_with("Working: ")).await;
    assert!(!client.dir().join("device.key").exists());
    app.signal("TERM").await;
    app.ended().await;

    // Absent at the start: said so, nothing falls back to a file, and it is found when it comes.
    let before = panel.registrations();
    let app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon_after(before).await;
    icon.until_line("the keychain to be missed", |line| line.contains("There is no keychain")).await;
    assert_eq!(icon.status().await, "NeedsAttention");
    assert!(client.run(["status"]).await.ok().out.contains("there is no keychain"));
    assert!(!client.dir().join("device.key").exists());
    let mut keychain = session.keychain().await;
    icon.until_line("it to find the keychain by itself", |line| line.starts_with("Working: ")).await;
    app.signal("TERM").await;
    app.ended().await;

    // Locked: told from absent, and a click is enough once it is open.
    session.lock_keychain().await;
    let before = panel.registrations();
    let _app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon_after(before).await;
    icon.until_line("the lock to be noticed", |line| line.contains("Your keychain is locked")).await;
    keychain.kill().await.unwrap();
    let _keychain = session.keychain().await;
    icon.click("Try the keychain again").await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    client.run(["unregister", "--yes"]).await.ok();
    icon.until_line("it to be forgotten", |line| line == "Not set up yet").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keychain_that_dies_under_the_app_is_missed_in_words_and_found_again() {
    let (session, served, client) = (Session::start().await, Served::start().await, Program::client());
    let mut keychain = session.keychain().await;
    let window = Window::open(&session, &client, &["show"]).await;
    let connect = async |link: &str| {
        window.type_into("invite", link).await;
        window.click("invite-continue").await;
        window.click("setup-connect").await;
    };
    // Used once, so that the app holds a connection to it.
    connect(&served.server.invite([""; 0]).await).await;
    window.find("choice-other").await;
    client.run(["unregister", "--yes"]).await.ok();
    client.until("it to be forgotten", |status| status["connection"]["state"] == "unregistered").await;
    keychain.kill().await.unwrap();

    // Until a computer is set up, the menu is behind its button.
    window.click("menu").await;
    window.click("nav-overview").await;
    window.click("go-setup").await;
    connect(&served.server.invite([""; 0]).await).await;
    window.until_text("keychain-missing", |text| text.contains("There is no keychain")).await;
    session.picture("keychain-died").await;
    assert!(!client.dir().join("device.key").exists(), "a file is never chosen for its user");
    assert_eq!(client.status().await["connection"]["state"], "unregistered");

    let _keychain = session.keychain().await;
    window.click("setup-connect").await;
    window.find("choice-other").await;
    client.until("it to be online", |status| status["connection"]["state"] == "online").await;
    assert!(!client.dir().join("device.key").exists());
}
