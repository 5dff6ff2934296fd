//! A server and a client as services: set up, started with the machine, replaced without a gap.

use petit_tests::figures::figure;
use petit_tests::steady::Met;
use serde_json::Value;

use crate::machine::{Machine, on_a_machine};
use crate::packages::{deb, next_version};
use crate::pair::{Pair, private_service, until_green};

/// The process that systemd calls the service's.
pub(crate) async fn main_process(machine: &Machine, unit: &str) -> String {
    machine.says(&format!("systemctl show --property=MainPID --value {unit}")).await
}

/// The process that answers.
pub(crate) async fn process(machine: &Machine, name: &str) -> String {
    let status: Value = serde_json::from_str(&machine.says(&format!("{name} status --json")).await).unwrap();
    status["pid"].to_string()
}

/// When systemd has started it.
async fn began(machine: &Machine, name: &str) -> String {
    machine.says(&format!("systemctl show --property=ExecMainStartTimestampMonotonic {name}")).await
}

fn say(what: &str, met: &Met) {
    figure(format!("{what}, 40 visitors a second: {}, {:?}", met.times.summary(), met.errors));
}

#[test]
fn after_a_boot_requests_pass_and_nobody_has_done_anything() {
    on_a_machine(async |mut machine| {
        let service = private_service().await;
        let pair = Pair::set_up(&machine).await;
        pair.passes().await;

        machine.says("petit-client check").await;
        machine.until("systemctl status petit-server | grep 'Status: \"1 of 1 clients'").await;
        machine.until("systemctl status petit-client | grep 'Status: \"localhost:443: connected'").await;
        for name in ["petit-server", "petit-client"] {
            let status: Value =
                serde_json::from_str(&machine.says(&format!("{name} status --json")).await).unwrap();
            let unit = format!("{name}.service");
            assert_eq!(status["run_by"]["unit"].as_str(), Some(unit.as_str()), "{status}");
            let main = main_process(&machine, &unit).await;
            let user = machine.says(&format!("stat --format=%u /proc/{main}")).await;
            assert!(user.parse::<u32>().unwrap() > 60_000, "a user of its own: {user}");
            // Root's command line, of what is the service's own.
            machine.says(&format!("{name} logs | grep .")).await;
        }
        machine.says("systemctl start petit-server-backup").await;
        machine.says("test -s /var/lib/private/petit-server/backups/*/registry.db").await;

        // A client that comes back all the time does not start it again.
        machine.says("petit-server stop").await;
        machine.until("test $(journalctl --unit petit-client | grep --count 'not online') -gt 1").await;
        assert_eq!(machine.run("systemctl is-active petit-server").await.text(), "inactive");
        machine.says("petit-server start").await;

        drop(service);
        machine.power_off().await;
        machine.boot().await;
        let _service = private_service().await;
        until_green(&machine).await;
        pair.passes().await;
    });
}

/// Whoever comes while there is no server waits at its sockets, and while its clients come back in it.
#[test]
fn a_restart_of_the_server_refuses_nobody() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let pair = Pair::set_up(&machine).await;
        let before = main_process(&machine, "petit-server").await;
        let met = pair
            .meanwhile(async {
                machine.says("systemctl restart petit-server").await;
                until_green(&machine).await;
            })
            .await;
        say("systemctl restart petit-server", &met);
        assert_ne!(main_process(&machine, "petit-server").await, before);
        assert_eq!(met.disappointed(), 0, "{met:?}");
    });
}

#[test]
fn an_upgrade_refuses_nobody() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let pair = Pair::set_up(&machine).await;
        for name in ["petit-server", "petit-client"] {
            let before = process(&machine, name).await;
            let began = began(&machine, name).await;
            let (_dir, next) = next_version(&deb(name));
            let next = machine.bring(&next);
            let met =
                pair.meanwhile(async { drop(machine.says(&format!("dpkg --install {next}")).await) }).await;
            say(&format!("upgrade of {name}"), &met);
            assert_eq!(met.disappointed(), 0, "{met:?}");
            let version =
                machine.says(&format!("dpkg-query --show --showformat='${{Version}}' {name}")).await;
            assert!(version.starts_with("9."), "{version}");
            // What serves is the program that is on the disk now, in the same service.
            let after = process(&machine, name).await;
            assert_ne!(after, before);
            assert_eq!(self::began(&machine, name).await, began, "handed over, and not started anew");
            let program = machine.says(&format!("readlink /proc/{after}/exe")).await;
            assert_eq!(program, format!("/usr/bin/{name}"));
            let unit = machine.says(&format!("cat /proc/{after}/cgroup")).await;
            assert!(unit.contains(&format!("/{name}.service")), "{unit}");
            assert_eq!(machine.says(&format!("systemctl is-active {name}")).await, "active");
        }
        pair.passes().await;
    });
}

#[test]
fn services_may_do_next_to_nothing() {
    on_a_machine(async |machine| {
        for name in ["petit-server", "petit-client"] {
            let package = machine.bring(&deb(name));
            machine.says(&format!("dpkg --install {package}")).await;
            // In tenths; fails above.
            machine.says(&format!("systemd-analyze security --no-pager --threshold=15 {name}.service")).await;
        }
    });
}
