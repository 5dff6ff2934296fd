//! A registry that somebody removes while the server runs, and a backup that is whole.

use petit_tests::authority::Authority;
use petit_tests::bed::{client_config, server_config_under};
use petit_tests::process::Program;
use petit_tests::service::Service;

#[tokio::test]
async fn a_registry_that_was_removed_is_noticed_and_can_be_saved() {
    let server = Program::server().await;
    let running = server.up().await;
    let service = Service::http("still there").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite(["--alias", "acme"]).await).await.ok();
    let _client = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(server.dir().join(format!("registry.db{suffix}"))).unwrap();
    }

    // Nothing is said to be done that is not.
    for command in [&["invite"][..], &["addalias", &id, "another"], &["removealias", "--yes", &id, "acme"]] {
        let said = server.run(command).await;
        assert_eq!(said.exit, 1, "{said:?}");
        assert!(said.err.contains("was removed or replaced"), "{said:?}");
        assert!(said.err.contains("petit-server backup"), "{said:?}");
    }
    let said = server.run(["status"]).await.ok();
    assert!(said.out.contains("was removed or replaced"), "{said:?}");
    assert_eq!(server.visitor().await.get("acme.localhost", "/").await.text(), "still there");

    // The running server still has it.
    let backup = server.dir().join("backup");
    let backup = backup.to_str().unwrap();
    server.run(["backup", backup]).await.ok();
    server.run(["stop"]).await.ok();
    running.exit().await;
    server.run(["restore", backup]).await.ok();
    let aliases = server.run(["alias", "list"]).await.ok().out;
    assert!(aliases.contains("acme") && !aliases.contains("another"), "{aliases}");
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing_behind() {
    let server = Program::server().await;
    std::fs::remove_file(server.dir().join("registry.db")).unwrap();
    let backup = server.dir().join("backup");
    let said = server.run(["backup", backup.to_str().unwrap()]).await;
    assert!(said.exit == 1 && said.err.contains("there is no registry"), "{said:?}");
    assert!(!backup.exists());
    // Nor does one whose last part cannot be read.
    let server = Program::server().await;
    std::fs::remove_file(server.dir().join("server.key")).unwrap();
    std::fs::create_dir(server.dir().join("server.key")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    let said = server.run(["backup", outside.path().join("backup").to_str().unwrap()]).await;
    assert_eq!(said.exit, 1, "{said:?}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_backup_has_the_certificate_and_a_server_starts_from_it_elsewhere() {
    let authority = Authority::new();
    let server = Program::server().await;
    let identity = authority.vouch_for(&["*.bed.test"]);
    std::fs::create_dir(server.dir().join("certificates")).unwrap();
    identity.write(&server.dir().join("certificates"), "public");
    let more = "certificate = \"certificates/public.crt\"\ncertificate_key = \"certificates/public.key\"";
    std::fs::write(server.config(), server_config_under("bed.test", more)).unwrap();
    let running = server.up().await;
    assert_eq!(server.status().await["https_visitors"], true);
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup");
    server.run(["backup", backup.to_str().unwrap()]).await.ok();
    running.kill().await;

    let elsewhere = Program::uninitialised_server();
    let said = elsewhere.run(["restore", backup.to_str().unwrap()]).await.ok();
    assert!(!said.out.contains("not there"), "{said:?}");
    let running = elsewhere.up().await;
    assert_eq!(elsewhere.status().await["https_visitors"], true);
    running.kill().await;
}

#[tokio::test]
async fn a_certificate_that_lies_elsewhere_is_not_in_the_backup_and_both_ends_say_so() {
    let authority = Authority::new();
    let server = Program::server().await;
    let outside = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.vouch_for(&["*.bed.test"]).write(outside.path(), "public");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let more = format!("certificate = \"{certificate}\"\ncertificate_key = \"{key}\"");
    std::fs::write(server.config(), server_config_under("bed.test", &more)).unwrap();
    let backup = server.dir().join("backup");
    let said = server.run(["backup", backup.to_str().unwrap()]).await.ok();
    assert!(said.out.contains("Not in it is") && said.out.contains(certificate), "{said:?}");
    assert!(said.out.contains(key), "{said:?}");
    drop(outside);
    let elsewhere = Program::uninitialised_server();
    let said = elsewhere.run(["restore", backup.to_str().unwrap()]).await.ok();
    assert!(said.out.contains(&format!("names {certificate}, which is not there")), "{said:?}");
}

#[tokio::test]
async fn init_removes_no_link_to_a_disk_that_is_not_there() {
    let (made, new) = (Program::server().await, Program::uninitialised_server());
    std::fs::remove_file(made.dir().join("registry.db")).unwrap();
    for (server, command) in [(&made, &["init"][..]), (&made, &["init", "--new-registry"]), (&new, &["init"])]
    {
        let registry = server.dir().join("registry.db");
        let _ = std::os::unix::fs::symlink("/nowhere/registry.db", &registry);
        let said = server.run(command).await;
        assert_eq!(said.exit, 1, "{said:?}");
        let leads_to = std::fs::read_link(&registry).unwrap();
        assert_eq!(leads_to, std::path::Path::new("/nowhere/registry.db"), "{command:?}");
    }
    assert!(!new.dir().join("server.key").exists());
}

/// Who has nothing yet is not told to make a server of his own in the place of the one that he wants back.
#[tokio::test]
async fn a_folder_that_is_no_backup_is_called_so_also_where_there_is_no_config() {
    let server = Program::uninitialised_server();
    let folder = server.dir().join("copy");
    std::fs::create_dir_all(&folder).unwrap();
    let restore = ["restore", folder.to_str().unwrap()];
    let said = server.run(restore).await;
    assert!(said.exit == 1 && said.err.contains("config.toml is missing in it"), "{said:?}");
    assert!(!said.err.contains("petit-server init"), "{said:?}");
    std::fs::write(folder.join("config.toml"), "[server]\nproxy_port = 1000000\n").unwrap();
    let said = server.run(restore).await;
    let mistake = format!("{}:2:14: ", folder.join("config.toml").display());
    assert!(said.exit == 1 && said.err.contains(&mistake), "{said:?}");
}
