//! What a vendor may reach, and one vendor after another, in the real window.

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::visitor::host;
use petit_tests_desktop::driver::Window;
use petit_tests_desktop::session::Session;

use crate::Served;

/// What a visitor of a client's service gets, by its name in the config.
async fn visit(served: &Served, client: &Program, name: &str) -> u16 {
    let status = client.status().await;
    let all =
        ["services", "withheld"].map(|list| status[list].as_array().cloned().unwrap_or_default()).concat();
    let id = all.iter().find(|service| service["name"] == name).unwrap()["id"].as_str();
    let Some(id) = id else { return 404 };
    let answer = served.server.visitor().await.get(&host(&id.parse().unwrap()), "/").await;
    answer.status.as_u16()
}

/// How many computers a vendor knows.
async fn known_to(served: &Served) -> usize {
    let clients = served.server.run(["clients", "list", "--json"]).await.ok().json();
    clients["clients"].as_array().unwrap().len()
}

/// Pastes an invite and reads who it is from.
async fn paste(window: &Window, served: &Served) {
    window.type_into("invite", &served.server.invite([""; 0]).await).await;
    window.click("invite-continue").await;
    window.find("step-check").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_vendor_reaches_only_what_was_ticked_for_it() {
    let (session, first) = (Session::start().await, Served::start().await);
    let service = Service::http("kept from before").await;
    let client = first.client(&service).await;
    let _keychain = session.keychain().await;
    let window = Window::open(&session, &client, &["show"]).await;
    window.until_attribute("service-web", "data-light", "green").await;

    // Told to the first one, then forgotten here: the service stays set up.
    window.click("nav-settings").await;
    window.click("forget").await;
    window.click("forget-confirm").await;
    window.find("nav-setup").await;
    petit_tests::soon("the first vendor to be told", async {
        while known_to(&first).await != 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;

    let second = Served::called("Kim & Söhne").await;
    window.click("nav-setup").await;
    paste(&window, &second).await;
    window.until_text("invite-vendor", |text| text == "Kim & Söhne").await;
    assert!(
        !window.find("share-web").await.is_selected().await.unwrap(),
        "nobody has ticked it for this one"
    );
    session.picture("consent-1-check").await;
    window.click("setup-connect").await;
    window.find("step-service").await;
    // Connected, and nothing is reached: neither before something is chosen nor when nothing is.
    client.until("it to be connected", |status| status["connection"]["state"] == "online").await;
    assert_eq!(client.status().await["services"], serde_json::json!([]));
    session.picture("consent-2-service").await;
    window.click("service-later").await;
    window.click("setup-finish").await;
    window.find("step-done").await;
    session.picture("consent-3-done").await;
    window.click("setup-done").await;
    session.picture("consent-4-overview").await;
    window.click("nav-services").await;
    window.find("withheld-web").await;
    session.picture("consent-5-services").await;
    assert_ne!(visit(&second, &client, "web").await, 200);

    // Until it is said so.
    window.click("share-web").await;
    window.find("entry-web").await;
    client.until_green().await;
    assert_eq!(visit(&second, &client, "web").await, 200);
    session.picture("consent-6-shared").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_invite_takes_the_place_of_a_registration_when_the_new_one_stands() {
    let (session, first) = (Session::start().await, Served::start().await);
    let service = Service::http("of the first").await;
    let client = first.client(&service).await;
    let _keychain = session.keychain().await;
    let window = Window::open(&session, &client, &["show"]).await;
    window.until_attribute("service-web", "data-light", "green").await;

    // A link may bring an invite at any time; here it is typed.
    let second = Served::start().await;
    let used = second.server.invite([""; 0]).await;
    Program::client().run_with(["register", "--key-store", "file"], &used).await.ok();
    window.script("location.hash = '#setup'; arguments[0]()").await;
    window.type_into("invite", &used).await;
    window.click("invite-continue").await;
    window.find("invite-replaces").await;
    session.picture("replace-1-check").await;
    window.click("setup-connect").await;
    window.find("replace-dialog").await;
    session.picture("replace-2-dialog").await;
    window.click("replace-confirm").await;
    // The invite is used up: the new registration does not come about, so the old one stays and works.
    window.find("register-error").await;
    session.picture("replace-3-refused").await;
    assert_eq!(known_to(&first).await, 1);
    client.until_green().await;
    assert_eq!(visit(&first, &client, "web").await, 200);

    window.click("setup-back").await;
    paste(&window, &second).await;
    window.click("setup-connect").await;
    window.click("replace-confirm").await;
    window.find("step-service").await;
    session.picture("replace-4-service").await;
    assert_eq!(known_to(&first).await, 0, "the first vendor was told");
    client.until("it to be at the second", |status| status["connection"]["state"] == "online").await;
    assert_eq!(client.status().await["services"], serde_json::json!([]), "nothing was ticked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_revoked_is_led_to_a_new_invite() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("revoked").await;
    let client = served.client(&service).await;
    let _keychain = session.keychain().await;
    let window = Window::open(&session, &client, &["show"]).await;
    window.until_attribute("service-web", "data-light", "green").await;
    let clients = served.server.run(["clients", "list", "--json"]).await.ok().json();
    served
        .server
        .run(["clients", "revoke", "--yes", clients["clients"][0]["id"].as_str().unwrap()])
        .await
        .ok();
    window.until_text("headline", |text| text == "Not registered any more").await;
    window.until_text("detail", |text| text.contains("does not know this computer any more")).await;
    assert_ne!(window.find("service-web").await.attr("data-light").await.unwrap().as_deref(), Some("green"));
    session.picture("revoked-1-overview").await;
    window.click("go-setup").await;
    paste(&window, &served).await;
    session.picture("revoked-2-check").await;
    // The same server: what it reached before is ticked.
    assert!(window.find("share-web").await.is_selected().await.unwrap());
    window.click("setup-connect").await;
    window.click("replace-confirm").await;
    window.find("step-service").await;
    session.picture("revoked-3-service").await;
    window.click("service-later").await;
    window.click("setup-finish").await;
    window.click("setup-done").await;
    window.until_attribute("service-web", "data-light", "green").await;
    assert_eq!(visit(&served, &client, "web").await, 200);
    session.picture("revoked-4-again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_yet_may_be_chosen_and_is_not_called_all_set() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("there in the end").await;
    let address = service.stop().await;
    let client = Program::client();
    let _keychain = session.keychain().await;
    let window = Window::open(&session, &client, &["show"]).await;
    paste(&window, &served).await;
    window.click("setup-connect").await;
    window.click("choice-other").await;
    window.type_into("choice-target", &address.to_string()).await;
    window.until_text("choice-tried", |text| text.contains("Nothing listens at")).await;
    window.until_text("service-use", |text| text == "Use it anyway").await;
    session.picture("dead-1-service").await;
    window.click("service-use").await;
    window.click("setup-finish").await;
    window.until_text("step-done", |text| text.contains("Set up, but not reachable yet")).await;
    let said = window.until_text("setup-state", |text| text.contains("Nothing listens at")).await;
    assert!(said.contains(&address.to_string()), "{said}");
    session.picture("dead-2-done").await;
    // There is nothing left to do but to start it.
    let _service = Service::http_on("there in the end", address).await;
    window.until_text("step-done", |text| text.contains("All set")).await;
    assert_eq!(served.visit(&client).await, "there in the end");
}
