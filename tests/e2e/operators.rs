//! What an operator is told of policies and keys by the commands: what lets nobody in, what a change opens or ends, and what
//! to do about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::Empty;
use hyper::body::Bytes;
use petit_tests::bed::{client_config, server_config};
use petit_tests::process::Program;
use petit_tests::visitor::request;

/// A server as `init` makes it.
async fn keyed() -> Program {
    let server = Program::uninitialised_server();
    std::fs::write(server.config(), server_config("")).unwrap();
    server.run(["init"]).await.ok();
    server
}

#[tokio::test]
async fn a_policy_whose_keys_are_all_revoked_is_named_by_whatever_looks_at_it() {
    let server = keyed().await;
    for name in ["ours", "theirs", "filed"] {
        server.run(["key", "create", name]).await.ok();
    }
    server.run(["policy", "set", "shop", "--services", "shop", "--key", "ours,theirs"]).await.ok();
    let before = std::fs::read_to_string(server.config()).unwrap();
    let filed = "[[policy]]\nname = \"filed\"\nservices = [\"filed\"]\nkeys = [\"filed\"]\n";
    std::fs::write(server.config(), format!("{before}{filed}")).unwrap();
    let path = server.config().to_str().unwrap().to_owned();
    let of_registry = "The policy shop lets nobody in: all its keys are revoked; give it another one with: petit-server policy set shop --key NAME";
    let of_file = format!(
        "The policy filed lets nobody in: all its keys are revoked; name another one in its keys in {path}"
    );

    // One of two: marked, and still let in by the other one.
    let said = server.run(["key", "revoke", "theirs", "--yes"]).await.ok().out;
    assert!(!said.contains("lets nobody in;"), "{said}");
    let said = server.run(["policy", "list"]).await.ok().out;
    assert!(said.contains("ours theirs (revoked)") && !said.contains("all its keys"), "{said}");

    // The advice can be followed where each stands.
    let said = server.run(["key", "revoke", "ours", "--yes"]).await.ok().out;
    assert!(
        said.contains("with: petit-server policy set shop --key NAME") && !said.contains(&path),
        "{said}"
    );
    let said = server.run(["key", "revoke", "filed", "--yes"]).await.ok().out;
    assert!(said.contains(&format!("name another one in its keys in {path}")), "{said}");
    assert!(!said.contains("policy set"), "{said}");
    let up = server.up().await;
    for command in [&["policy", "list"][..], &["status"], &["config", "check"], &["reload"]] {
        let said = server.run(command).await.ok().out;
        assert!(said.contains(of_registry) && said.contains(&of_file), "{command:?}: {said}");
        assert!(!said.contains("policy default lets nobody in"), "{command:?}: {said}");
    }
    for (name, expected) in [("shop", of_registry), ("filed", &of_file)] {
        let said = server.run(["policy", "show", name]).await.ok().out;
        assert!(said.contains("(revoked)") && said.contains(expected), "{said}");
    }
    let log = server.run(["logs"]).await.ok().out;
    let named = |policy: &str| {
        let is_it = |line: &&str| line.contains("all its keys are revoked") && line.contains(policy);
        log.lines().filter(is_it).count()
    };
    assert_eq!(
        (named("policy=shop"), named("policy=filed")),
        (2, 2),
        "at the start and at the reload: {log}"
    );
    for arguments in
        [&["--from", "192.0.2.7", "--as", "key:ours"][..], &["--from", "192.0.2.7", "--as", "key:theirs"]]
    {
        let said = server.run([&["policy", "test", "shop"], arguments].concat()).await.ok().out;
        assert!(said.contains("✘ its key: not kept: that key is revoked"), "{said}");
    }

    // Naming one that is revoked is refused as one is that there is not; whoever names a good one is out of it.
    for keys in ["ours", "default,ours"] {
        let said = server.run(["policy", "set", "shop", "--key", keys]).await;
        assert!(
            said.exit == 1 && said.err.contains("the key ours was revoked, and lets nobody in"),
            "{said:?}"
        );
    }
    let said = server.run(["policy", "set", "shop", "--rate", "5"]).await.ok().out;
    assert!(said.contains(of_registry), "{said}");
    let said = server.run(["policy", "set", "shop", "--key", "default"]).await.ok().out;
    assert!(!said.contains("revoked"), "{said}");
    for (arguments, expected) in [
        (["key", "revoke", "ours", "--yes"], "the key ours is revoked already"),
        (["key", "revoke", "nobody", "--yes"], "see them with: petit-server key list"),
    ] {
        let said = server.run(arguments).await;
        assert!(said.exit == 1 && said.err.contains(expected), "{said:?}");
    }
    server.run(["stop"]).await.ok();
    up.exit().await;
}

#[tokio::test]
async fn a_key_is_printed_as_a_line_that_curl_reads_and_a_rotation_says_what_it_ends() {
    let server = keyed().await;
    let line_of = |said: &str, secret: &str| {
        assert!(said.contains(&format!("\n  Petit-Key: {secret}\n")), "{said}");
        assert!(said.contains("\n  curl -H @petit-key http://REGID.localhost:"), "{said}");
    };
    let said = server.run(["key", "create", "billing"]).await.ok().out;
    let first = said.lines().next().unwrap().to_owned();
    line_of(&said, &first);
    assert!(!said.contains("from before"), "{said}");
    let said = server.run(["key", "create", "billing", "--rotate"]).await.ok().out;
    line_of(&said, said.lines().next().unwrap());
    assert!(
        said.contains("The secret from before is good until 20") && !said.contains("before that"),
        "{said}"
    );
    let said = server.run(["key", "create", "billing", "--rotate", "--overlap", "1h"]).await.ok().out;
    assert!(said.contains("The secret from before is good until 20"), "{said}");
    assert!(said.contains("The one before that was to be good until 20"), "{said}");
    let said = server.run(["key", "create", "billing", "--rotate", "--overlap", "0s"]).await.ok().out;
    assert!(said.contains("The secret from before is refused from now on."), "{said}");
    assert!(said.contains("The one before that was to be good until 20"), "{said}");
    let said = server.run(["key", "create", "billing", "--rotate"]).await.ok().out;
    assert!(!said.contains("before that"), "{said}");
}

#[tokio::test]
async fn a_policy_is_moved_into_the_config_file_and_nobody_is_let_in_meanwhile() {
    let server = keyed().await;
    let up = server.up().await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", ([127, 0, 0, 1], 1).into(), "http")])).unwrap();
    client.run_with(["register"], &server.invite(["--alias", "acme"]).await).await.ok();

    // Taking it away says who is let in by that, before it is done.
    let asked = server.run(["policy", "remove", "default"]).await;
    let expected = "1 of 1 services is open to anybody who knows the name then, and the visitors of 1 service are not held to the policy default";
    assert!(asked.exit == 2 && asked.err.contains(expected), "{asked:?}");

    let refused = server.run(["policy", "move", "default"]).await;
    assert!(
        refused.exit == 1 && refused.err.contains("the config file has no policy default"),
        "{refused:?}"
    );
    let before = std::fs::read_to_string(server.config()).unwrap();
    let policy = "[[policy]]\nname = \"default\"\nservices = [\"default\"]\nkeys = [\"default\"]\nrate = 7\n";
    std::fs::write(server.config(), format!("{before}{policy}")).unwrap();
    let refused = server.run(["reload"]).await;
    assert!(refused.exit == 1 && refused.err.contains("petit-server policy move default"), "{refused:?}");

    let visitor = server.visitor().await;
    let has_moved = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let has_moved = Arc::clone(&has_moved);
        async move {
            let mut got = Vec::new();
            while !has_moved.load(Ordering::Relaxed) {
                let answer = visitor.send(request("acme.localhost", "GET", "/", Empty::<Bytes>::new())).await;
                got.push(answer.petit_error().unwrap_or_default());
            }
            got
        }
    });
    let moved = server.run(["policy", "move", "default"]).await.ok().out;
    assert!(moved.contains("from config.toml") && moved.contains("7 a second"), "{moved}");
    has_moved.store(true, Ordering::Relaxed);
    let got = asking.await.unwrap();
    let is_kept_out = |code: &String| ["key-required", "too-many-requests"].contains(&code.as_str());
    assert!(!got.is_empty() && got.iter().all(is_kept_out), "{got:?}");

    server.run(["reload"]).await.ok();
    server.run(["policy", "move", "default"]).await.ok(); // there is nothing left to do
    let shown = server.run(["policy", "show", "default"]).await.ok().out;
    assert!(shown.contains("from config.toml"), "{shown}");
    let shown = server.run(["config", "show"]).await.ok().out;
    let (_, policy) = shown.split_once("\n[[policy]]\n").unwrap();
    for part in [
        "name = \"default\"",
        "services = [\"default\"]",
        "keys = [\"default\"]",
        "rate = 7",
        "# burst =",
        "enforce = true",
    ] {
        let is_it = |line: &str| line.starts_with(part) && line.ends_with("# file; a change needs a reload");
        assert!(policy.lines().any(is_it), "{part}: {shown}");
    }
    server.run(["stop"]).await.ok();
    up.exit().await;
}

#[tokio::test]
async fn what_no_browser_reaches_and_nobody_sees_is_refused_and_lists_and_tags_say_what_is_not_there() {
    let server = keyed().await;
    let client = Program::client();
    let up = server.up().await;
    std::fs::write(client.config(), client_config(&[("web", ([127, 0, 0, 1], 1).into(), "http")])).unwrap();
    client.run_with(["register"], &server.invite(["--alias", "acme", "--tag", "eu"]).await).await.ok();
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    let id = clients["clients"][0]["services"][0]["id"].as_str().unwrap().to_owned();
    for alias in ["0x7f.1", "acme.0x7f", "acme.0x", "acme.1"] {
        for arguments in [&["addalias", &id, alias][..], &["invite", "--alias", alias]] {
            let said = server.run(arguments).await;
            assert!(said.exit == 2 && said.err.contains("as an address"), "{arguments:?}: {said:?}");
        }
    }
    server.run(["addalias", &id, "acme.0x7g"]).await.ok();
    for note in ["\u{202e}evil", "a\u{200b}b", "\u{feff}", "\u{e0041}"] {
        for arguments in [&["clients", "note", "acme", note][..], &["invite", "--note", note]] {
            let said = server.run(arguments).await;
            assert!(said.exit == 2 && said.err.contains("which is not seen"), "{arguments:?}: {said:?}");
        }
    }
    let long = server.run(["invite", "--note", &"x".repeat(5000)]).await;
    assert!(long.exit == 2 && long.err.contains("characters at most"), "{long:?}");

    let said = server.run(["clients", "list", "--tag", "nosuch"]).await.ok().out;
    assert!(said.starts_with("No clients match"), "{said}");
    let said = server.run(["invite", "--list", "--tag", "nosuch"]).await.ok().out;
    assert!(said.starts_with("No invites match"), "{said}");
    let said = server.run(["clients", "untag", "acme", "eu", "nosuch"]).await.ok().out;
    assert!(said.contains("has no tags") && said.ends_with("It did not have: nosuch.\n"), "{said}");

    // A policy that leaves a service says what is asked there now; one of nobody is marked.
    let set = ["policy", "set", "office", "--services", "acme", "--key", "default"];
    let said = server.run(set).await.ok().out;
    assert!(!said.contains("any more"), "{said}");
    let said = server.run(["policy", "set", "office", "--services", "nosuch"]).await.ok().out;
    assert!(
        said.contains(&format!("It is not for service {id} any more, which has the policy default now.")),
        "{said}"
    );
    for arguments in [&["policy", "list"][..], &["policy", "show", "office"]] {
        let said = server.run(arguments).await.ok().out;
        assert!(said.contains("no service is called nosuch"), "{said}");
    }
    let said = server.run(["policy", "show", "default"]).await.ok().out;
    assert!(said.contains("has refused nobody yet (since 20"), "{said}");
    for (option, list, expected) in [
        ("--key", "none,default", "\"none\" stands alone"),
        ("--from", "any,10.0.0.0/8", "\"any\" stands alone"),
    ] {
        let said = server.run(["policy", "set", "office", option, list]).await;
        assert!(said.exit == 2 && said.err.contains(expected), "{said:?}");
    }
    server.run(["stop"]).await.ok();
    up.exit().await;
}

/// A client that has registered, with its own ID and that of its service.
async fn registered(server: &Program, name: &str) -> (Program, String, String) {
    let client = Program::client();
    let config = client_config(&[("web", "127.0.0.1:9".parse().unwrap(), "http")]);
    let config = config.replacen("[client]\n", &format!("[client]\nname = \"{name}\"\n"), 1);
    std::fs::write(client.config(), config).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let list = server.run(["clients", "list", "--json"]).await.ok().json();
    let clients = list["clients"].as_array().unwrap();
    let found = clients.iter().find(|client| client["name"] == name).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (client, text(&found["id"]), text(&found["services"][0]["id"]))
}

#[tokio::test]
async fn a_client_is_shown_by_the_name_that_its_customer_has_given_it_and_changed_by_none() {
    let server = Program::server().await;
    let running = server.up().await;
    let (_desk, desk, service) = registered(&server, "Front desk").await;
    let shown = server.run(["clients", "show", "front desk"]).await.ok().out;
    assert!(shown.contains(&desk), "{shown}");
    let refused = server.run(["clients", "note", "front desk", "moves"]).await;
    assert!(refused.exit == 1 && refused.err.contains("no client has the ID or alias"), "{refused:?}");
    let refused = server.run(["clients", "revoke", "--yes", "Front desk"]).await;
    assert!(refused.exit == 2 && refused.err.contains(&format!("revoke {desk}")), "{refused:?}");

    // Two of one name.
    let _tills = (registered(&server, "till").await, registered(&server, "till").await);
    let list = server.run(["clients", "list", "--json"]).await.ok().json();
    let clients = list["clients"].as_array().unwrap().iter().filter(|client| client["name"] == "till");
    let tills: Vec<_> = clients.map(|client| client["id"].as_str().unwrap().to_owned()).collect();
    let refused = server.run(["status", "till"]).await;
    assert!(refused.exit == 1 && refused.err.contains("2 clients have the name \"till\""), "{refused:?}");
    assert!(tills.len() == 2 && tills.iter().all(|id| refused.err.contains(id)), "{refused:?}");
    // One that is gone is in nobody's way.
    server.run(["clients", "revoke", "--yes", &tills[0]]).await.ok();
    let shown = server.run(["clients", "show", "till"]).await.ok().out;
    assert!(shown.contains(&tills[1]), "{shown}");
    // What the operator has called it counts before what its customer says.
    server.run(["addalias", &service, "till"]).await.ok();
    let shown = server.run(["clients", "show", "till"]).await.ok().out;
    assert!(shown.contains(&desk), "{shown}");
    server.run(["stop"]).await.ok();
    running.exit().await;
}
