//! The command line speaks the language of its user; what programs read is English.

use petit_tests::bed::client_config;
use petit_tests::process::{Program, Said};
use petit_tests::service::Service;
use petit_tests::soon;

const GERMAN: &str = "de_DE.UTF-8";

/// What a command says, on both channels.
fn said(said: &Said) -> String {
    let text = format!("{}{}", said.out, said.err);
    for key in ["cli.", "doctor.", "cause.", "service.", "problem.", "front.", "{"] {
        assert!(!text.contains(key), "a key or a value that was not filled in: {text}");
    }
    text
}

#[tokio::test]
async fn a_client_speaks_german_where_the_system_does() {
    let client = Program::client().env("LC_ALL", GERMAN);
    assert!(said(&client.run(["status"]).await).contains("Nicht registriert."));
    let stopped = client.run(["stop"]).await;
    assert_eq!(stopped.exit, 3);
    assert!(
        said(&stopped)
            .starts_with("Fehler: petit-client läuft nicht\n  dieser Computer ist noch nicht registriert")
    );
    client.run(["init"]).await.ok();
    let found = said(&client.run(["doctor"]).await);
    assert!(
        found.contains("✘ Registrierung") && found.contains("dieser Computer ist nicht registriert"),
        "{found}"
    );
    assert!(found.contains("→ petit-client register"), "{found}");
    let text = std::fs::read_to_string(client.config()).unwrap();
    std::fs::write(client.config(), format!("{text}\nlog_levle = 1\nkey_stor = 2\n")).unwrap();
    assert!(said(&client.run(["config", "check"]).await).contains("Fehler:"));
}

#[tokio::test]
async fn what_is_asked_for_counts_more_than_what_the_system_speaks() {
    let (german, english) = (Program::client().env("LC_ALL", GERMAN), Program::client());
    for (client, lang, expected) in [
        (&german, "en", "Not registered."),
        (&german, "de", "Nicht registriert."),
        (&english, "de", "Nicht registriert."),
        (&english, "en", "Not registered."),
    ] {
        let said = client.run(["status", "--lang", lang]).await;
        assert!(said.out.starts_with(expected) && said.exit == 4, "{lang}: {said:?}");
    }
    let said = english.run(["status", "--lang", "fr"]).await;
    assert!(said.exit == 2 && said.err.contains("en, de"), "{said:?}");
    // What POSIX looks at, in its order.
    let messages = Program::client().env("LC_ALL", "").env("LC_MESSAGES", GERMAN).env("LANG", "en_GB.UTF-8");
    assert!(messages.run(["status"]).await.out.starts_with("Nicht registriert."));
    let lang = Program::client().env("LC_ALL", "").env("LC_MESSAGES", "").env("LANG", GERMAN);
    assert!(lang.run(["status"]).await.out.starts_with("Nicht registriert."));
}

#[tokio::test]
async fn a_running_client_is_shown_in_german_and_its_json_never_changes() {
    let server = Program::server().await;
    let _server = server.up().await;
    let (up, down) = (Service::http("up").await, Service::http("down").await);
    let gone = down.address();
    drop(down);
    let client = Program::client().env("LC_ALL", GERMAN);
    std::fs::write(client.config(), client_config(&[("web", up.address(), "http"), ("db", gone, "http")]))
        .unwrap();
    let registered = said(&client.run_with(["register"], &server.invite([""; 0]).await).await);
    assert!(registered.contains("Weiter mit: petit-client start"), "{registered}");
    assert!(said(&client.run(["start"]).await).contains("Der Client läuft (Prozess "));
    client
        .until("both services to be known", |status| {
            status["services"][0]["light"] == "green" && status["services"][1]["light"] == "red"
        })
        .await;
    let status = said(&client.run(["status"]).await);
    assert!(status.contains("funktioniert von Anfang bis Ende (vor"), "{status}");
    assert!(status.contains(&format!("funktioniert nicht: unter {gone} hört nichts zu")), "{status}");
    assert!(status.contains("starten Sie den Dienst, oder berichtigen Sie sein Ziel"), "{status}");
    let found = said(&client.run(["doctor"]).await);
    assert!(found.contains("✔ Uhr") && found.contains(&format!("unter {gone} hört nichts zu")), "{found}");
    for arguments in
        [&["service", "list"][..], &["ping"], &["reload"], &["log", "info"], &["config", "check"]]
    {
        let text = said(&client.run(arguments).await);
        assert!(!text.contains(" is ") && !text.contains(" the "), "{arguments:?} in English: {text}");
    }
    for arguments in [
        &["version", "--json"][..],
        &["config", "check", "--json"],
        &["service", "add", "web", "localhost:1", "--json"],
        &["service", "share", "nothing", "--json"],
        &["ping", "--service", "nothing", "--json"],
        &["unregister", "--service", "nothing", "--yes", "--json"],
        &["register", "--json"],
    ] {
        let english = client.run([arguments, &["--lang", "en"]].concat()).await;
        let german = client.run([arguments, &["--lang", "de"]].concat()).await;
        assert_eq!((&english.out, english.exit), (&german.out, german.exit), "{arguments:?}");
    }
    let names = |lang: &'static str| {
        let client = &client;
        async move {
            let found = client.run(["doctor", "--json", "--lang", lang]).await.json();
            let checks = found["checks"].as_array().unwrap().clone();
            checks.into_iter().map(|check| check["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(soon("the doctor", names("de")).await, soon("the doctor", names("en")).await);
    // What a process that is to take over finds travels over the socket.
    let registration = client.dir().join("registration.json");
    let aside = registration.with_extension("aside");
    std::fs::rename(&registration, &aside).unwrap();
    let failed = client.run(["restart", "--json"]).await;
    std::fs::rename(&aside, &registration).unwrap();
    assert!(failed.exit == 1 && failed.out.contains("this computer is not registered"), "{failed:?}");
    assert!(said(&client.run(["stop"]).await).contains("Der Client ist beendet."));
    let gone = said(&client.run(["unregister", "--local", "--yes"]).await);
    assert!(gone.contains("Dieser Computer hat seine Registrierung vergessen."), "{gone}");
}
