//! The packages of RPM, whose scriptlets speak to systemd themselves: installed, replaced and removed by `rpm` on a machine
//! that has both. `--nodeps`: what they need is Debian's there.

use std::collections::BTreeSet;

use crate::machine::{Machine, made, on_a_machine};
use crate::packages::{files, package_in, rpm};
use crate::pair::{Pair, private_service, until_green};
use crate::services::process;

const NAMES: [&str; 2] = ["petit-server", "petit-client"];

/// Puts the next version of a package in its place.
async fn upgrade(machine: &Machine, name: &str) {
    let next = package_in(&made("PETIT_PACKAGES").join("next"), name, "-9", ".rpm");
    machine.says(&format!("rpm --upgrade --nodeps {}", machine.bring(&next))).await;
    assert_eq!(machine.says(&format!("rpm --query --queryformat '%{{VERSION}}' {name}")).await, "9.0.0");
}

async fn install(machine: &Machine) {
    machine.says("rpm --initdb").await;
    for name in NAMES {
        let said = machine.run(&format!("rpm --install --nodeps {}", machine.bring(&rpm(name)))).await.ok();
        assert!(!said.err.contains("scriptlet"), "{said:?}");
    }
}

async fn is_active(machine: &Machine, unit: &str) -> String {
    machine.run(&format!("systemctl is-active {unit}")).await.text().to_owned()
}

#[test]
fn packages_of_rpm_serve_hand_over_to_the_next_and_leave_the_data() {
    on_a_machine(async |mut machine| {
        let service = private_service().await;
        let before = files(&machine).await;
        install(&machine).await;
        for unit in ["petit-server.service", "petit-server.socket", "petit-client.service"] {
            assert_eq!(machine.says(&format!("systemctl is-enabled {unit}")).await, "enabled");
        }
        assert_eq!(is_active(&machine, "petit-server-backup.timer").await, "active");
        // Nothing serves before it has been set up.
        assert_eq!(is_active(&machine, "petit-server.service").await, "inactive");
        assert_eq!(machine.says("systemctl list-units --failed --no-legend 'petit*'").await, "");
        let pair = Pair::begin(&machine).await;
        pair.passes().await;

        for name in NAMES {
            let first = process(&machine, name).await;
            let met = pair.meanwhile(upgrade(&machine, name)).await;
            assert_eq!(met.disappointed(), 0, "{name}: {met:?}");
            assert_ne!(process(&machine, name).await, first, "{name} has handed over");
            assert_eq!(machine.says(&format!("systemctl is-enabled {name}.service")).await, "enabled");
        }
        until_green(&machine).await;
        drop(service);
        machine.power_off().await;
        machine.boot().await;
        let _service = private_service().await;
        until_green(&machine).await;
        pair.passes().await;

        let said = machine.says("rpm --erase petit-server petit-client").await;
        for name in NAMES {
            assert_eq!(machine.run(&format!("pgrep -x {name}")).await.exit, 1, "{name}");
            let data = format!("/var/lib/private/{name}");
            assert!(
                said.contains(&format!("delete it by hand: {data}\n")) || said.ends_with(&data),
                "{said}"
            );
            machine.says(&format!("test -d {data}")).await;
        }
        machine.says("test -s /etc/credstore/petit-server.key").await;
        machine.says("! systemctl list-unit-files --no-legend 'petit*' | grep .").await;
        let left: BTreeSet<String> = files(&machine).await.difference(&before).cloned().collect();
        let data = ["/var/lib/private/petit-", "/var/lib/petit-", "/etc/credstore", "/var/lib/rpm"];
        let is_config = |path: &str| {
            path == "/etc/petit" || (path.starts_with("/etc/petit/") && path.ends_with(".toml.rpmsave"))
        };
        let is_kept = |path: &String| is_config(path) || data.iter().any(|data| path.starts_with(data));
        assert!(left.iter().all(is_kept), "{left:?}");
    });
}

#[test]
fn what_root_has_stopped_or_disabled_stays_so_over_an_upgrade_of_rpm() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        install(&machine).await;
        let pair = Pair::begin(&machine).await;
        machine.says("petit-server stop && petit-client stop && systemctl disable petit-client").await;
        for name in NAMES {
            upgrade(&machine, name).await;
        }
        for unit in ["petit-server.service", "petit-server.socket", "petit-client.service"] {
            assert_eq!(is_active(&machine, unit).await, "inactive", "{unit}");
        }
        assert_eq!(machine.run("systemctl is-enabled petit-client").await.text(), "disabled");
        assert_eq!(is_active(&machine, "petit-server-backup.timer").await, "active");
        machine.says("petit-server start && petit-client start").await;
        until_green(&machine).await;
        pair.passes().await;
    });
}
