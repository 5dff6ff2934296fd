//! Services in trouble: they say what it is, and come back by themselves when it is over.

use crate::machine::on_a_machine;
use crate::packages::{deb, next_version};
use crate::pair::{Pair, private_service, until_green};
use crate::services::main_process;

/// Makes a mistake in a config file; how it was before lies in `good`.
fn mistaken(config: &str) -> String {
    format!("cp {config} good && sed -i '0,/^.[a-z]*]$/s//&\\nlog_level = \"loud\"/' {config}")
}

/// A mistake in the config that counts from the next start on.
#[test]
fn a_service_with_a_mistake_in_its_config_says_so_and_starts_when_it_is_mended() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let pair = Pair::set_up(&machine).await;
        for (name, config) in [("petit-server", "server.toml"), ("petit-client", "client.toml")] {
            let config = format!("/etc/petit/{config}");
            // In this order: whoever connects to a server's socket starts it again.
            machine.says(&mistaken(&config)).await;
            machine.says(&format!("systemctl stop {name}")).await;
            assert_ne!(machine.run(&format!("systemctl start {name}")).await.exit, 0);
            machine
                // Not `systemctl status`: which start a line of a process belongs to that has ended already the
                // journal does not always find out.
                .until(&format!("journalctl --no-pager -o cat -u {name} | grep '{config}:.*log_level.*loud'"))
                .await;
            assert_eq!(machine.run(&format!("systemctl is-active {name}")).await.text(), "activating");
            machine.says(&format!("cp good {config}")).await;
            machine.until(&format!("systemctl is-active {name}")).await;
        }
        until_green(&machine).await;
        pair.passes().await;
    });
}

#[test]
fn an_upgrade_while_there_is_a_mistake_in_the_config_leaves_running_what_runs() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let pair = Pair::set_up(&machine).await;
        for (name, config) in [("petit-server", "server.toml"), ("petit-client", "client.toml")] {
            let config = format!("/etc/petit/{config}");
            let (_dir, next) = next_version(&deb(name));
            let next = machine.bring(&next);
            machine.says(&mistaken(&config)).await;
            let said = machine.run(&format!("dpkg --install {next}")).await.ok();
            assert!(said.err.contains(&format!("{name} runs on as it was before")), "{said:?}");
            pair.passes().await;
            machine.says(&format!("cp good {config}")).await;
            machine.says(&format!("{name} restart")).await;
        }
        until_green(&machine).await;
        pair.passes().await;
    });
}

#[test]
fn a_server_whose_disk_is_full_serves_on_and_starts_and_says_what_it_cannot_do() {
    on_a_machine(async |machine| {
        let state = "/var/lib/private/petit-server";
        let _service = private_service().await;
        machine.says(&format!("mkdir -p --mode=700 {state}")).await;
        machine.says(&format!("mount -t tmpfs -o size=8m,mode=700 tmpfs {state}")).await;
        let pair = Pair::set_up(&machine).await;
        let fill = format!("cat /dev/zero >>{state}/filler");
        assert_ne!(machine.run(&fill).await.exit, 0);
        // Requests need no disk; a change of the registry does.
        pair.passes().await;
        let refused = machine.run("petit-server invite").await;
        assert!(refused.exit != 0 && refused.err.contains("full"), "{refused:?}");
        pair.passes().await;

        machine.says("systemctl restart petit-server").await;
        until_green(&machine).await;
        pair.passes().await;
        // What it has given back when it stopped.
        machine.run(&fill).await;
        let refused = machine.run("petit-server invite").await;
        assert!(refused.exit != 0 && refused.err.contains("full"), "{refused:?}");
        machine.says(&format!("rm {state}/filler")).await;
        machine.says("petit-server invite").await;
        pair.passes().await;
    });
}

#[test]
fn a_client_that_was_revoked_says_so_and_is_not_started_again_and_again() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let _pair = Pair::set_up(&machine).await;
        let before = main_process(&machine, "petit-client").await;
        let clients: serde_json::Value =
            serde_json::from_str(&machine.says("petit-server clients list --json").await).unwrap();
        let id = clients["clients"][0]["id"].as_str().unwrap();
        machine.says(&format!("petit-server clients revoke --yes {id}")).await;
        let said = "the server does not know this computer any more";
        machine.until(&format!("petit-client status | grep '{said}'")).await;
        machine.until(&format!("systemctl status petit-client | grep 'Status: .*{said}'")).await;
        // A new registration in its place.
        let invite = machine.says("petit-server invite --json | grep -o 'https\\?://[^\"]*' | head -1").await;
        std::fs::write(machine.path("/root/again"), invite).unwrap();
        machine.says("petit-client register --replace --invite-file again").await;
        until_green(&machine).await;
        assert_eq!(main_process(&machine, "petit-client").await, before, "it has never ended");
        let restarts = machine.says("systemctl show --property=NRestarts --value petit-client").await;
        assert_eq!(restarts, "0");
    });
}
