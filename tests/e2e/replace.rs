//! One registration takes the place of another: the old one ends when the new one stands, and not before.

use std::time::Duration;

use petit_host::update::{History, Progress, Stage, Version};
use petit_tests::bed::client_config;
use petit_tests::figures::{figure, rounds};
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

/// Two servers, and a client that is registered with the first.
struct Test {
    old: Program,
    old_running: Option<Running>,
    new: Program,
    _new_running: Running,
    service: Service,
    client: Program,
}

impl Test {
    async fn new() -> Self {
        let (old, new) = (Program::server().await, Program::server().await);
        let (old_running, _new_running) = (Some(old.up().await), new.up().await);
        let service = Service::http("s").await;
        let client = Program::client();
        std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
        client.run_with(["register"], &old.invite([""; 0]).await).await.ok();
        Self { old, old_running, new, _new_running, service, client }
    }

    /// Where the client stands, connected.
    async fn connected(&self) -> Value {
        self.client.until("to be online", |status| status["connection"]["state"] == "online").await
    }
}

/// How many clients a server knows, and how many it has known.
async fn clients(server: &Program) -> (usize, usize) {
    let all = server.run(["clients", "list", "--all", "--json"]).await.ok().json();
    let all = all["clients"].as_array().unwrap();
    (all.iter().filter(|client| client["ended"].is_null()).count(), all.len())
}

const REPLACE: [&str; 3] = ["register", "--replace", "--share"];

fn replace() -> Vec<&'static str> {
    REPLACE.into_iter().chain(["web"]).collect()
}

#[tokio::test]
async fn an_invite_that_leads_nowhere_costs_nothing() {
    let test = Test::new().await;
    let _tunnel = test.client.up().await;
    test.client.until_green().await;
    let link = test.new.invite([""; 0]).await;
    let listed = test.new.run(["invite", "--list", "--json"]).await.ok().json();
    test.new.run(["invite", "--withdraw", listed["invites"][0]["id"].as_str().unwrap()]).await.ok();
    let said = test.client.run_with(replace(), &link).await;
    assert!(said.exit != 0 && said.err.contains("withdrawn"), "{said:?}");
    // A server that is gone costs no more.
    let gone = Program::server().await;
    let running = gone.up().await;
    let link = gone.invite([""; 0]).await;
    running.kill().await;
    let said = test.client.run_with(replace(), &link).await;
    assert_ne!(said.exit, 0, "{said:?}");
    let status = test.client.until_green().await;
    assert_eq!(status["connection"]["state"], "online");
    assert_eq!((clients(&test.old).await, clients(&test.new).await), ((1, 1), (0, 0)));
    // And it still is after a restart.
    test.client.run(["stop"]).await.ok();
    let _tunnel = test.client.up().await;
    test.client.until_green().await;
}

#[tokio::test]
async fn the_old_server_is_told_once_the_new_registration_stands() {
    for runs in [true, false] {
        let test = Test::new().await;
        let tunnel = if runs { Some(test.client.up().await) } else { None };
        if runs {
            test.client.until_green().await;
        }
        let said = test.client.run_with(replace(), &test.new.invite([""; 0]).await).await.ok();
        assert!(said.out.contains("was given back"), "{said:?}");
        assert_eq!((clients(&test.old).await, clients(&test.new).await), ((0, 1), (1, 1)));
        let keys = std::fs::read_dir(test.client.dir()).unwrap().flatten();
        let keys = keys.filter(|file| file.file_name().to_string_lossy().ends_with(".key")).count();
        assert_eq!(keys, 1, "the old key is gone");
        let _tunnel = match tunnel {
            Some(tunnel) => tunnel,
            None => test.client.up().await,
        };
        let status = test.client.until_green().await;
        let server = test.new.status().await["tunnel_address"].as_str().unwrap().to_owned();
        assert_eq!(status["registered"]["server"], server);
        assert_eq!(test.service.requests(), 0, "probes send the service nothing");
    }
}

#[tokio::test]
async fn what_became_of_the_old_vendors_release_is_not_said_to_the_new_one() {
    for runs in [true, false] {
        let test = Test::new().await;
        let tunnel = if runs { Some(test.client.up().await) } else { None };
        if runs {
            test.client.until_green().await;
        }
        let [report, known] =
            ["updates.progress.json", "updates.json"].map(|name| test.client.dir().join(name));
        let version: Version = "0.1.1".parse().unwrap();
        let mut progress = Progress::default();
        progress.offered(7, &version, Stage::PutBack);
        progress.write(&report).unwrap();
        let mut history = History::default();
        history.remember_bad(version.clone());
        history.write(&known).unwrap();
        test.client.run_with(replace(), &test.new.invite([""; 0]).await).await.ok();
        assert_eq!(Progress::read(&report).unwrap().report(), None, "runs: {runs}");
        assert!(History::read(&known).unwrap().is_bad(&version), "what has failed is not tried again");
        drop(tunnel);
    }
}

#[tokio::test]
async fn an_old_server_that_is_gone_is_said_and_does_not_stand_in_the_way() {
    let mut test = Test::new().await;
    let _tunnel = test.client.up().await;
    test.client.until_green().await;
    test.old_running.take().unwrap().kill().await;
    let said = test.client.run_with(replace(), &test.new.invite([""; 0]).await).await.ok();
    assert!(said.out.contains("could not be told that the registration with it is over"), "{said:?}");
    test.client.until_green().await;
    assert_eq!(clients(&test.new).await, (1, 1));
}

#[tokio::test]
async fn a_script_and_a_person_say_that_they_mean_it() {
    let test = Test::new().await;
    let link = test.new.invite([""; 0]).await;
    let said = test.client.run_with(["register"], &link).await;
    assert!(said.exit == 1 && said.err.contains("register --replace"), "{said:?}");
    let mut terminal = test.client.on_a_terminal(["register"]);
    terminal.until("Paste the invite").await;
    terminal.type_line(&link).await;
    terminal.until("Go on?").await;
    terminal.type_line("").await;
    terminal.until("Replace it? [y/N]").await;
    terminal.type_line("").await;
    let (exit, shown) = terminal.end().await;
    assert!(exit == 1 && shown.contains("nothing was changed"), "{shown}");
    assert_eq!((clients(&test.old).await, clients(&test.new).await), ((1, 1), (0, 0)));
}

#[tokio::test]
async fn a_client_killed_at_any_moment_of_a_replacement_has_one_registration_that_works() {
    let (kills, clients_there) = (rounds(30, 300), rounds(6, 30));
    let (mut before, mut after) = (0, 0);
    for number in 0..clients_there {
        let test = Test::new().await;
        let link = test.new.invite([""; 0]).await;
        for attempt in 0..kills / clients_there {
            let mut replacing = test.client.start(replace());
            replacing.stdin.take().unwrap().write_all(link.as_bytes()).await.unwrap();
            // At another moment each time, from before anything was done until after all was.
            let moment = (number * 13 + attempt * 29) as u64 % 90;
            tokio::time::sleep(Duration::from_millis(moment)).await;
            replacing.kill().await.unwrap();
            let tunnel = test.client.up().await;
            let status = test.connected().await;
            let is_new = status["registered"]["server"] == test.new.status().await["tunnel_address"];
            if is_new {
                after += 1;
            } else {
                before += 1;
            }
            test.client.until_green().await;
            tunnel.kill().await;
        }
        let said = test.client.run_with(replace(), &link).await;
        assert!(said.exit == 0 || said.err.contains("is registered with"), "{said:?}");
        let _tunnel = test.client.up().await;
        test.client.until_green().await;
        // The old server hears of it at the latest from the client that runs.
        petit_tests::soon("the old server to be told", async { while clients(&test.old).await.0 > 0 {} })
            .await;
        assert_eq!((clients(&test.old).await, clients(&test.new).await), ((0, 1), (1, 1)));
    }
    figure(format!(
        "R9 killed {} times while a registration took another's place: the old one worked {before} times, the new one {after} times",
        before + after
    ));
}
