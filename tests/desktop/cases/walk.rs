//! The whole way of a customer, in the real window.

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests_desktop::driver::Window;
use petit_tests_desktop::session::Session;

use crate::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_an_invite_to_a_request_that_passes() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("the customer's service").await;
    let client = Program::client();
    let window = Window::open(&session, &client, &["show"]).await;
    session.picture("walk-1-first").await;

    // Without a keychain: said so, and a file only when that is chosen.
    let link = served.server.invite([""; 0]).await;
    window.type_into("invite", &link).await;
    window.click("invite-continue").await;
    window.until_text("invite-server", |text| text.contains("127.0.0.1") || text.contains("localhost")).await;
    session.picture("walk-2-invite").await;
    window.click("setup-connect").await;
    window.until_text("keychain-missing", |text| text.contains("There is no keychain")).await;
    assert!(!client.dir().join("device.key").exists());
    window.click("key-in-file").await;
    window.click("setup-connect").await;

    // The service, tried before it is taken.
    window.click("choice-other").await;
    window.type_into("choice-target", &service.address().to_string()).await;
    window.until_text("choice-tried", |text| text.contains("Answers, ")).await;
    session.picture("walk-3-service").await;
    window.click("service-use").await;
    window.click("setup-finish").await;
    window.until_text("setup-state", |text| text.contains("Working")).await;
    session.picture("walk-4-done").await;
    window.click("setup-done").await;
    assert!(session.config_home().join("autostart/petit.desktop").exists(), "it was ticked");

    // A request really passes.
    assert_eq!(served.visit(&client).await, "the customer's service");
    window.until_attribute("hero", "data-state", "online").await;
    window.until_attribute("service-web", "data-light", "green").await;
    session.picture("walk-5-overview").await;

    // The log and the settings.
    window.click("nav-logs").await;
    window.until_text("log-list", |text| text.contains("online")).await;
    session.picture("walk-6-logs").await;
    window.click("nav-settings").await;
    window.click("advanced-open").await;
    window.click("tab-source").await;
    let text = std::fs::read_to_string(client.config()).unwrap();
    window.type_into("source", &format!("# mine\n{text}")).await;
    window.click("settings-review").await;
    session.picture("walk-7-settings").await;
    window.click("diff-apply").await;
    window.find("applied").await;
    assert!(std::fs::read_to_string(client.config()).unwrap().starts_with("# mine\n"));
    window.click("nav-diagnostics").await;
    window.find("doctor-summary").await;
    session.picture("walk-8-diagnostics").await;

    // What was not granted cannot be called, from the real page either.
    let script = "const done = arguments[0]; window.__TAURI__.core.invoke('plugin:window|close').then(() => done('allowed'), (error) => done(String(error)))";
    let denied = window.script(script).await;
    assert!(denied.as_str().unwrap().contains("not allowed"), "{denied}");

    window.click("nav-overview").await;
    window.click("stop").await;
    window.until_attribute("hero", "data-state", "off").await;
    client.until("the client to be off", |status| status["connection"]["state"] == "off").await;
    session.picture("walk-9-off").await;
    window.click("nav-about").await;
    // Nothing is connected, so nothing is asked; the answer to the click may be lost with the window.
    let _ = window.find("quit").await.click().await;
    petit_tests::soon("the app to go", async {
        while !window.is_gone().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
