//! The config file edited while everything runs.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use petit_tests::bed::{Bed, client_config};
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;

#[tokio::test]
async fn an_edit_is_applied_without_dropping_a_request() {
    let bed = Bed::start().await;
    let (old, new) = (Service::http("old").await, Service::http("new").await);
    let client = bed.client(&old).await;
    let watching = tokio::spawn({
        let client = client.client.clone();
        async move { client.watch_config().await }
    });
    let (visitor, host) = (bed.visitor(), host(&client.id()));
    let waiting = tokio::spawn({
        let host = host.clone();
        async move { visitor.get(&host, "/wait").await }
    });
    old.until_waiting(1).await;

    // Another target, and a second service.
    let services = [("web", new.address(), "http"), ("api", new.address(), "http")];
    std::fs::write(client.config(), client_config(&services)).unwrap();
    visitor.until("the new target", &host, "/", |answer| answer.text() == "new").await;
    client.until_green("api").await;
    for _ in 0..20 {
        assert_eq!(visitor.get(&host, "/").await.text(), "new", "no kept connection leads to the old target");
    }
    old.let_go();
    assert_eq!(waiting.await.unwrap().text(), "done", "a request that was under way has gone on");

    // A mistake changes nothing and is named.
    std::fs::write(client.config(), "[client]\nlog_levle = \"x\"\n").unwrap();
    let status = client.until("the mistake to be noticed", |status| status.config_problem.is_some()).await;
    let problem = status.config_problem.unwrap();
    assert!(problem.contains("config.toml:2:1: [client] has no key \"log_levle\""), "{problem}");
    assert_eq!(status.services.len(), 2);
    assert_eq!(visitor.get(&host, "/").await.text(), "new");

    // A service that is taken out is not offered; its ID stays reserved for it.
    std::fs::write(client.config(), client_config(&[("api", new.address(), "http")])).unwrap();
    client.until("one service", |status| status.services.len() == 1 && status.config_problem.is_none()).await;
    let gone = visitor.until("the service to be gone", &host, "/", |answer| answer.status == 503).await;
    assert_eq!(gone.petit_error().as_deref(), Some("not-offered"));
    std::fs::write(client.config(), client_config(&services)).unwrap();
    visitor.until("the service to be back under its ID", &host, "/", |answer| answer.text() == "new").await;
    watching.abort();
}

/// An editor or a program that copies files elsewhere may take it away for a moment, and somebody looks just then.
#[tokio::test]
async fn a_config_file_that_was_away_for_a_moment_counts_again_by_itself() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let client = bed.client(&service).await;
    let watching = tokio::spawn({
        let client = client.client.clone();
        async move { client.watch_config().await }
    });
    let away = client.config().with_extension("away");
    std::fs::rename(client.config(), &away).unwrap();
    client.client.reload().await.unwrap_err();
    let status = client.client.status().await;
    assert!(status.config_problem.is_some_and(|problem| problem.contains("there is no config file")));
    std::fs::rename(&away, client.config()).unwrap();
    client.until("the file to count again", |status| status.config_problem.is_none()).await;
    watching.abort();
}

/// A file as the original's installer left it behind.
#[tokio::test]
async fn a_config_file_of_the_original_works() {
    let bed = Bed::start().await;
    let service = Service::http("as ever").await;
    let invite = bed.invite_for("accounts", None).await;
    let client = petit_tests::bed::BedClient::new(&invite, &[]).await;
    let address = service.address();
    let text = format!(
        "[client]\nport = 22\nbackPort = 3014\nusername = \"g2c\"\nlistenPort = 3015\nlogLevel = \"info\"\n\
         bindAddr = \"127.0.0.1\"\napiPort = 8100\n[client.vitae]\nbrand = \"ce\"\nbundle = \"plain\"\n\
         [client.local]\nhost = \"{}\"\nport = {}\n",
        address.ip(),
        address.port()
    );
    std::fs::write(client.config(), text).unwrap();
    client.client.reload().await.unwrap();
    client.until_green("accounts").await;
    assert_eq!(bed.visitor().get(&host(&client.id()), "/").await.text(), "as ever");
}

/// What a file that others could change says is not believed; the advice is to mend its rights, and that is enough.
#[tokio::test]
async fn a_file_whose_rights_were_mended_is_in_force_without_another_edit() {
    let set = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let service = Service::http("s").await;
    let (server, running, client) = crate::recover::processes(&service).await;
    let _client = client.up().await;
    client.until_green().await;
    set(&client.config(), 0o666);
    let text = std::fs::read_to_string(client.config()).unwrap();
    let more = format!("{text}[[client.service]]\nname = \"more\"\ntarget = \"{}\"\n", service.address());
    std::fs::write(client.config(), more).unwrap();
    let refused = client.until("the file to be refused", |status| !status["config_problem"].is_null()).await;
    assert!(refused["config_problem"].as_str().unwrap().contains("run chmod go-w on it"), "{refused}");
    assert_eq!(refused["services"].as_array().unwrap().len(), 1);
    set(&client.config(), 0o600);
    let is_in_force = |status: &serde_json::Value| {
        status["config_problem"].is_null() && status["services"].as_array().unwrap().len() == 2
    };
    client.until("the file to be in force", is_in_force).await;

    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    set(&server.config(), 0o666);
    log.until("run chmod go-w on it").await;
    set(&server.config(), 0o600);
    log.until("config applied").await;
    drop(running);
}

#[tokio::test]
async fn all_mistakes_of_a_file_are_named_at_once() {
    let server = Program::server().await;
    let lines = |said: &str, config: &Path| -> Vec<String> {
        let place = format!("{}:", config.display());
        let lines = said.lines().filter_map(|line| line.trim_start().strip_prefix(&place));
        lines.map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    let text = "[server]\nproxy_prt = 1\nproxy_port = 99999\ndrain = \"2d\"\n[server.limits]\nthreads = 0\n";
    std::fs::write(server.config(), text).unwrap();
    let said = server.run(["config", "check"]).await;
    assert_eq!(
        (said.exit, lines(&said.err, &server.config())),
        (1, ["2", "3", "4", "6"].map(str::to_owned).into())
    );
    assert!(said.err.contains("has 4 mistakes") && said.err.contains("did you mean"), "{said:?}");
    let json = server.run(["config", "check", "--json"]).await.json();
    assert_eq!(lines(json["error"]["message"].as_str().unwrap(), &server.config()).len(), 4, "{json}");
    std::fs::write(server.config(), "[server]\nproxy_prt = 1\ndrain = \"2d\n").unwrap();
    let said = server.run(["config", "check"]).await;
    assert_eq!(lines(&said.err.replace("error: ", ""), &server.config()), ["3"], "{said:?}");
    assert!(said.err.contains("what stands behind this place was not looked at"), "{said:?}");

    let client = Program::client();
    let text = "[client]\nlog_levl = \"x\"\n[[client.service]]\nname = \"A\"\ntarget = \"3000\"\n";
    std::fs::write(client.config(), text).unwrap();
    let said = client.run(["config", "check"]).await;
    assert_eq!(
        (said.exit, lines(&said.err, &client.config())),
        (1, ["2", "4", "5"].map(str::to_owned).into())
    );
    assert!(said.err.contains("petit-client config edit"), "{said:?}");
}

#[tokio::test]
async fn ports_that_collide_are_named_with_both_settings() {
    let server = Program::server().await;
    let text = "[server]\nproxy_port = 8453\ntcp_ports = \"\"\n";
    std::fs::write(server.config(), text).unwrap();
    let both = "proxy_port (line 2) and secure_proxy_port (by default) both claim port 8453";
    for command in [&["config", "check"][..], &["start"]] {
        let said = server.run(command.iter().copied()).await;
        assert!(said.exit == 1 && said.err.contains(both), "{said:?}");
    }
}

/// What lies in the folder of a file that is not there is no answer: nothing is registered there, and nothing runs.
#[tokio::test]
async fn whoever_names_a_file_that_is_not_there_is_told_so() {
    let client = Program::client();
    let missing = client.dir().join("elsewhere").join("petit.toml");
    let named = missing.to_str().unwrap();
    let told = |said: &petit_tests::process::Said, program: &str| {
        let place = format!("there is no config file at {named}");
        let next = format!("to make a new one there: {program} -c {named} init");
        assert!(said.exit == 1 && said.err.contains(&place) && said.err.contains(&next), "{said:?}");
    };
    for command in [
        &["status"][..],
        &["start"],
        &["run"],
        &["stop"],
        &["doctor"],
        &["ping"],
        &["reload"],
        &["config", "check"],
        &["config", "show"],
        &["service", "list"],
        &["service", "remove", "web"],
        &["unregister", "--yes"],
        &["logs"],
    ] {
        told(&client.run(["-c", named].iter().chain(command)).await, "petit-client");
    }
    let server = Program::uninitialised_server();
    for command in [
        &["status"][..],
        &["start"],
        &["run"],
        &["stop"],
        &["restart"],
        &["clients", "list"],
        &["invite"],
        &["config", "check"],
        &["logs"],
    ] {
        told(&server.run(["-c", named].iter().chain(command)).await, "petit-server");
    }
    assert!(!missing.parent().unwrap().exists(), "asking has made nothing");
    // What makes the file makes it, and after that it is there.
    client.run(["-c", named, "config", "path"]).await.ok();
    client.run(["-c", named, "service", "add", "web", "localhost:3000"]).await.ok();
    let said = client.run(["-c", named, "status"]).await;
    assert!(said.exit == 4 && said.out.contains("Not registered"), "{said:?}");
    std::fs::remove_file(&missing).unwrap();
    server.run(["-c", named, "init"]).await.ok();
    let said = server.run(["-c", named, "status"]).await;
    assert!(said.exit == 3 && said.err.contains("not running"), "{said:?}");
}

/// The same for whoever says so in the environment: a slip there must not lead to a second registration.
#[tokio::test]
async fn whoever_names_a_file_in_the_environment_that_is_not_there_is_told_so() {
    let elsewhere = tempfile::tempdir().unwrap();
    let missing = elsewhere.path().join("petit.toml");
    let named = missing.to_str().unwrap();
    let client = Program::client().env("PETIT_CONFIG", named);
    let server = Program::uninitialised_server().env("PETIT_CONFIG", named);
    for (program, verbs) in [
        (&client, &["status", "start", "stop", "doctor", "ping", "unregister"][..]),
        (&server, &["status", "start", "stop", "invite", "restart"]),
    ] {
        for verb in verbs {
            let said = program.run([verb]).await;
            let place = format!("there is no config file at {named}");
            let next = format!(
                "PETIT_CONFIG in the environment says; to make a new one there: {} init",
                program.name()
            );
            assert!(
                said.exit == 1 && said.err.contains(&place) && said.err.contains(&next),
                "{verb}: {said:?}"
            );
        }
        let said = program.run(["config", "path"]).await.ok();
        assert!(said.out.contains(&format!("{named} (given by PETIT_CONFIG)")), "{said:?}");
    }
    let said = client.run(["--lang", "de", "status"]).await;
    let german = "prüfen Sie, was die Umgebungsvariable PETIT_CONFIG sagt";
    assert!(said.exit == 1 && said.err.contains(german), "{said:?}");
    // What makes the file makes it, and after that it is there.
    client.run(["service", "add", "web", "localhost:3000"]).await.ok();
    let said = client.run(["status"]).await;
    assert!(said.exit == 4 && said.out.contains("Not registered"), "{said:?}");
}

#[tokio::test]
async fn a_program_that_runs_is_asked_though_its_file_is_gone() {
    let service = Service::http("s").await;
    let (_server, _running, client) = crate::recover::processes(&service).await;
    let _client = client.up().await;
    client.until_green().await;
    std::fs::remove_file(client.config()).unwrap();
    let named = client.config();
    client.run(["-c", named.to_str().unwrap(), "status"]).await.ok();
    client.run(["-c", named.to_str().unwrap(), "stop"]).await.ok();
}

#[tokio::test]
async fn init_makes_the_folder_that_it_names_for_a_certificate() {
    let server = Program::uninitialised_server();
    let init = ["init", "--endpoint", "https://REGID.example.com", "--port", "443"];
    let said = server.run(init).await.ok();
    let place = server.dir().join("certificates");
    assert!(said.out.contains(&format!("into {}", place.join("server.crt").display())), "{said:?}");
    assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
    let local = Program::uninitialised_server();
    local.run(["init"]).await.ok();
    assert!(!local.dir().join("certificates").exists(), "nothing is put there");
}

/// The line of a setting, and the one below it, as `config show` has them.
async fn shown(program: &Program, setting: &str) -> (String, String) {
    let said = program.run(["config", "show"]).await.ok();
    let mut lines = said.out.lines().skip_while(|line| !line.starts_with(setting)).map(str::to_owned);
    (lines.next().unwrap_or_else(|| panic!("no {setting} in {said:?}")), lines.next().unwrap_or_default())
}

#[tokio::test]
async fn a_client_shows_what_the_file_says_and_what_is_in_force() {
    let service = Service::http("s").await;
    let (_server, _running, client) = crate::recover::processes(&service).await;
    let running = client.up().await;
    client.until_green().await;
    let text = std::fs::read_to_string(client.config()).unwrap();
    let is = async |setting: &str, said: &str, in_force: Option<&str>| {
        let (line, below) = shown(&client, setting).await;
        assert!(line.ends_with(said), "{line}");
        assert_eq!(below.strip_prefix("#   in force: "), in_force, "{line}");
    };
    let at_once = "default; a change is taken over at once";
    is("log_level = \"info\"", at_once, None).await;
    is("require_pq = false", "default; a change counts from the next connection on", None).await;

    // What a command has changed is in force until the file is.
    client.run(["log", "debug"]).await.ok();
    is("log_level = \"info\"", "default; waits for a reload", Some("\"debug\"")).await;
    client.run(["reload"]).await.ok();
    is("log_level = \"info\"", at_once, None).await;

    // The connection that stands, and the registration, go by what they began with.
    let changed = "[client]\nname = \"Front desk\"\nrequire_pq = true\nkey_store = \"keychain\"\n";
    let without = text.replace("key_store = \"file\"\n", "");
    std::fs::write(client.config(), without.replacen("[client]\n", changed, 1)).unwrap();
    client.run(["reload"]).await.ok();
    is("name = \"Front desk\"", "file; a change is taken over at once", None).await;
    is("require_pq = true", "file; waits for the next connection", Some("false")).await;
    is("key_store = \"keychain\"", "file; waits for the next registration", Some("\"file\"")).await;
    let json = client.run(["config", "show", "--json"]).await.ok().json();
    let waiting = json["settings"].as_array().unwrap().iter().filter(|one| !one["waits_for"].is_null());
    let waiting: Vec<_> = waiting.map(|one| (one["name"].clone(), one["waits_for"].clone())).collect();
    assert_eq!(
        waiting,
        [("key_store", "registration"), ("require_pq", "reconnect")]
            .map(|(name, takes)| (name.into(), takes.into()))
    );
    client.run(["restart"]).await.ok();
    is("require_pq = true", "file; a change counts from the next connection on", None).await;
    is("key_store = \"keychain\"", "file; waits for the next registration", Some("\"file\"")).await;

    let german = client.run(["--lang", "de", "config", "show"]).await.ok();
    assert!(german.out.contains("# Voreinstellung; eine Änderung wird sofort übernommen"), "{german:?}");
    client.run(["stop"]).await.ok();
    running.exit().await;
    let said = client.run(["config", "show"]).await.ok();
    assert!(said.out.contains("# no client runs: nothing is in force\n"), "{said:?}");
    is("require_pq = true", "file; a change counts from the next connection on", None).await;
}

/// The session moves, and nothing else says that it is another one.
#[tokio::test]
async fn what_waits_for_the_next_connection_is_in_force_when_the_server_was_restarted() {
    let service = Service::http("s").await;
    let (server, _running, client) = crate::recover::processes(&service).await;
    let _client = client.up().await;
    client.until_green().await;
    let text = std::fs::read_to_string(client.config()).unwrap();
    let changed =
        text.replacen("[client]\n", "[client]\nrequire_pq = true\nvitae = { region = \"eu\" }\n", 1);
    std::fs::write(client.config(), changed).unwrap();
    client.run(["reload"]).await.ok();
    let since = client.status().await["connection"]["since"].clone();
    for setting in ["require_pq = true", "region = \"eu\""] {
        assert!(shown(&client, setting).await.0.ends_with("waits for the next connection"));
    }
    server.run(["restart"]).await.ok();
    let in_force = async {
        for setting in ["require_pq = true", "region = \"eu\""] {
            while !shown(&client, setting).await.0.ends_with("a change counts from the next connection on") {}
        }
    };
    soon("the settings of the session that has moved", in_force).await;
    assert_eq!(client.status().await["connection"]["since"], since, "nobody has lost the connection");
}

/// For whoever has no editor beside the server: whole, checked, kept, and in force at once.
#[tokio::test]
async fn another_config_is_put_in_place_and_a_wrong_one_is_not() {
    let server = Program::server().await;
    let first = std::fs::read_to_string(server.config()).unwrap();
    let put = async |text: &str| server.run_with(["config", "put", "-"], text).await;
    assert!(put(&first).await.ok().out.contains("nothing was changed"));
    let _running = server.up().await;
    let second = first.replacen("[server]\n", "[server]\nmax_services = 3\n", 1);
    let said = put(&second).await.ok().out;
    assert!(said.contains("The config file is in force."), "{said}");
    let before = server.dir().join("config.last-good.toml");
    assert!(said.contains(&before.display().to_string()), "{said}");
    assert_eq!(std::fs::read_to_string(&before).unwrap(), first);
    let shown = server.run(["config", "show", "--json"]).await.ok().json();
    assert_eq!(shown["max_services"], 3);

    // All of its mistakes, and whose file it was.
    let wrong = "[server]\nmax_servces = 3\nlog_level = \"loud\"\n";
    let said = put(wrong).await;
    assert!(said.exit == 1 && said.err.contains("standard input:2:"), "{said:?}");
    assert!(said.err.contains("max_servces") && said.err.contains("loud"), "{said:?}");
    let missing = server.run(["config", "put", "nowhere.toml"]).await;
    assert!(missing.exit == 1 && missing.err.contains("cannot read nowhere.toml"), "{missing:?}");
    // What only this machine finds out: the running server refuses it, and the one before stays.
    let elsewhere = second.replacen("[server]\n", "[server]\ncertificate = \"nowhere.crt\"\n", 1);
    let refused = put(&elsewhere).await;
    assert!(refused.exit == 1 && refused.err.contains("nowhere.crt"), "{refused:?}");
    assert!(refused.err.contains("the config is as it was before"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(server.config()).unwrap(), second);

    let due = second.replacen("[server]\n", "[server]\nproxy_bind = \"127.0.0.2\"\n", 1);
    let said = put(&due).await;
    assert!(said.exit == 6 && said.out.contains("need a restart"), "{said:?}");
}

#[tokio::test]
async fn a_first_config_is_put_in_place_and_init_takes_it() {
    let server = Program::uninitialised_server();
    let text =
        "[server]\nsecure_proxy_port = 8444\n[server.vitae]\nendpoint = \"https://REGID.example.com\"\n";
    let said = server.run_with(["config", "put", "-"], text).await.ok().out;
    assert!(said.contains("is in place.") && !said.contains("before"), "{said}");
    assert_eq!(std::fs::metadata(server.config()).unwrap().permissions().mode() & 0o777, 0o600);
    let made = server.run(["init", "--json"]).await.ok().json();
    assert_eq!(
        (&made["config_made"], &made["endpoint"]),
        (&false.into(), &"https://REGID.example.com".into())
    );
}
