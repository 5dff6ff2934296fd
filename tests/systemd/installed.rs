//! Programs that no package has installed, and that make themselves services: `install`.

use std::collections::BTreeSet;

use petit_tests::process::programs;

use crate::machine::on_a_machine;
use crate::packages::{deb, files};
use crate::pair::{Pair, private_service};
use crate::services::process;

const NAMES: [&str; 2] = ["petit-server", "petit-client"];

#[test]
fn programs_make_themselves_services_and_take_that_back() {
    on_a_machine(async |mut machine| {
        let service = private_service().await;
        let before = files(&machine).await;
        for name in NAMES {
            let program = machine.bring(&programs().join(name));
            // Where anybody could put another one.
            machine.says(&format!("cp {program} /tmp/{name}")).await;
            let refused = machine.run(&format!("/tmp/{name} install")).await;
            assert!(refused.exit != 0 && refused.err.contains("other than root"), "{refused:?}");
            // Nor is it put where somebody else could.
            machine.says("mkdir --parents /usr/local/lib/petit && chmod 777 /usr/local/lib/petit").await;
            let refused = machine.run(&format!("{program} install")).await;
            assert!(refused.exit != 0 && refused.err.contains("/usr/local/lib/petit can be"), "{refused:?}");
            machine.says("chmod 755 /usr/local/lib/petit").await;
            machine.says(&format!("{program} install && rm {program}")).await;
        }
        let pair = Pair::begin(&machine).await;
        pair.passes().await;
        for name in NAMES {
            let first = process(&machine, name).await;
            let user = machine.says(&format!("stat --format=%u /proc/{first}")).await;
            assert!(user.parse::<u32>().unwrap() > 60_000, "a user of its own: {user}");
            machine.says(&format!("systemd-analyze security --no-pager --threshold=15 {name}.service")).await;
            // Again: as an upgrade does.
            let program = machine.bring(&programs().join(name));
            let met = pair.meanwhile(async { drop(machine.says(&format!("{program} install")).await) }).await;
            assert_eq!(met.disappointed(), 0, "{met:?}");
            let second = process(&machine, name).await;
            assert_ne!(first, second);
            let runs = machine.says(&format!("readlink /proc/{second}/exe")).await;
            assert_eq!(runs, format!("/usr/local/lib/petit/{name}"));
            // What runs is not ended for what would not start.
            let config = format!("/etc/petit/{}.toml", name.trim_start_matches("petit-"));
            machine.says(&format!("cp {config} /root/config && echo 'prot = 1' >>{config}")).await;
            let refused = machine.run(&format!("{program} install")).await;
            assert!(refused.exit == 1 && refused.err.contains("nothing was changed"), "{refused:?}");
            assert_eq!(process(&machine, name).await, second);
            machine.says(&format!("cat /root/config >{config}")).await;
        }
        drop(service);
        machine.power_off().await;
        machine.boot().await;
        let _service = private_service().await;
        crate::pair::until_green(&machine).await;
        pair.passes().await;

        for name in NAMES {
            machine.says(&format!("{name} uninstall --yes")).await;
            assert_eq!(machine.run(&format!("pgrep -x {name}")).await.exit, 1);
        }
        let left: BTreeSet<String> = files(&machine).await.difference(&before).cloned().collect();
        let data = ["/var/lib/private/petit-", "/var/lib/petit-", "/etc/credstore", "/etc/petit"];
        assert!(left.iter().all(|path| data.iter().any(|data| path.starts_with(data))), "{left:?}");
    });
}

#[test]
fn a_packaged_service_is_not_shadowed() {
    on_a_machine(async |machine| {
        for name in NAMES {
            let package = machine.bring(&deb(name));
            machine.says(&format!("dpkg --install {package}")).await;
            let refused = machine.run(&format!("{name} install")).await;
            assert!(refused.exit != 0 && refused.err.contains("installed by a package"), "{refused:?}");
            machine.says(&format!("! test -e /etc/systemd/system/{name}.service")).await;
            // The other way round the package says so.
            machine.says(&format!("cp /usr/lib/systemd/system/{name}*.* /etc/systemd/system")).await;
            let said = machine.run(&format!("dpkg --install {package}")).await.ok();
            assert!(said.err.contains(&format!("/etc/systemd/system/{name}.service")), "{said:?}");
            // Which is the way out, and leaves the package's.
            let said = machine.says(&format!("{name} uninstall --yes")).await;
            assert!(said.contains(&format!("/usr/lib/systemd/system/{name}.service")), "{said}");
            machine.says(&format!("! test -e /etc/systemd/system/{name}.service")).await;
            assert_eq!(machine.says(&format!("systemctl is-enabled {name}.service")).await, "enabled");
        }
        assert_eq!(machine.says("systemctl is-active petit-server-backup.timer").await, "active");
    });
}

#[test]
fn a_brand_becomes_a_service_with_all_that_says_whose_it_is() {
    on_a_machine(async |machine| {
        let program = machine.bring(&programs().join("petit-client"));
        machine.says(&format!("mkdir north && cp {program} north")).await;
        let brand = "id = \"north\"\nname = \"North Connect\"\nserver = \"t.north.example\"\n";
        std::fs::write(machine.path("/root/north/brand.toml"), brand).unwrap();
        std::fs::write(machine.path("/root/north/petit-roots.pub"), "keys\n").unwrap();
        for file in ["brand.toml", "petit-roots.pub"] {
            machine.says(&format!("chmod 666 north/{file}")).await;
            let refused = machine.run("north/petit-client install").await;
            assert!(refused.exit != 0 && refused.err.contains(&format!("{file} can be")), "{refused:?}");
            machine.says("! test -e /usr/local/lib/petit/petit-client").await;
            machine.says(&format!("chmod 644 north/{file}")).await;
        }
        machine.says("north/petit-client install").await;
        for file in ["brand.toml", "petit-roots.pub"] {
            let said = machine.says(&format!("stat --format=%U:%a /usr/local/lib/petit/{file}")).await;
            assert_eq!(said, "root:644");
            machine.says(&format!("cmp north/{file} /usr/local/lib/petit/{file}")).await;
        }
        let config = machine.says("cat /etc/petit/client.toml").await;
        assert!(config.ends_with("host = \"t.north.example\""), "{config}");
        machine.says("petit-client config check").await;
        // Neither Petit itself nor another brand goes on with what this one is registered for.
        machine
            .says(
                "mkdir south && cp petit-client south && sed s/orth/outh/ north/brand.toml >south/brand.toml",
            )
            .await;
        for other in ["./petit-client", "south/petit-client"] {
            let refused = machine.run(&format!("{other} install")).await;
            assert!(refused.exit != 0 && refused.err.contains("is North Connect's"), "{other}: {refused:?}");
        }
        machine.says("cmp north/brand.toml /usr/local/lib/petit/brand.toml").await;
        machine.says("north/petit-client install").await;
        machine.says("petit-client uninstall --yes").await;
        machine.says("! test -e /usr/local/lib/petit").await;
    });
}
