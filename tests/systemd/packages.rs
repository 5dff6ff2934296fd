//! What packages bring, and what they leave.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use petit_tests::process::programs;
use tempfile::TempDir;

use crate::machine::{Machine, done, made, on_a_machine};

/// The package of a program, for Debian.
pub(crate) fn deb(name: &str) -> PathBuf {
    package(name, "_", ".deb")
}

/// The same for RPM.
pub(crate) fn rpm(name: &str) -> PathBuf {
    package(name, "-0", ".rpm")
}

fn package(name: &str, after: &str, end: &str) -> PathBuf {
    package_in(&made("PETIT_PACKAGES"), name, after, end)
}

/// That of a folder.
pub(crate) fn package_in(folder: &Path, name: &str, after: &str, end: &str) -> PathBuf {
    let mut names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_str().unwrap();
        file.starts_with(&format!("{name}{after}")) && file.ends_with(end)
    };
    names.find(is_it).unwrap_or_else(|| panic!("no package of {name} in {}", folder.display()))
}

/// The same package as the next version.
pub(crate) fn next_version(package: &Path) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    done(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&tree));
    let control = tree.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control).unwrap();
    let next = text.replace("\nVersion: ", "\nVersion: 9.");
    assert_ne!(next, text);
    std::fs::write(&control, next).unwrap();
    let next = dir.path().join("next.deb");
    let mut build = Command::new("dpkg-deb");
    done(build.args(["--root-owner-group", "-Znone", "--build"]).arg(&tree).arg(&next));
    (dir, next)
}

/// Everything that lies on the disk but for what logs, caches and the package manager keep.
pub(crate) async fn files(machine: &Machine) -> BTreeSet<String> {
    let looked = "find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \
                  -o -path /var/tmp -o -path /root -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg \
                  -o -path /var/lib/systemd \\) -prune -o -print";
    machine.says(looked).await.lines().map(str::to_owned).collect()
}

#[test]
fn packages_come_with_everything_and_leave_nothing_but_data() {
    on_a_machine(async |machine| {
        let before = files(&machine).await;
        for name in ["petit-server", "petit-client"] {
            let package = machine.bring(&deb(name));
            machine.says(&format!("dpkg --install {package}")).await;
            machine.says(&format!("{name} version")).await;
            machine.says(&format!("man --where {name} {name}-status")).await;
            machine.says(&format!("grep --quiet '^rustls ' /usr/share/doc/{name}/THIRD-PARTY.txt")).await;
            machine.says(&format!("bash -n /usr/share/bash-completion/completions/{name}")).await;
        }
        let shown = machine.says("man -P cat petit-client-service-add").await;
        assert!(shown.contains("HOST:PORT"), "{shown}");
        for unit in ["petit-server.service", "petit-server.socket", "petit-client.service"] {
            assert_eq!(machine.says(&format!("systemctl is-enabled {unit}")).await, "enabled");
        }
        assert_eq!(machine.says("systemctl is-active petit-server-backup.timer").await, "active");
        // Nothing serves before it has been set up.
        for unit in ["petit-server.service", "petit-server.socket"] {
            assert_eq!(machine.run(&format!("systemctl is-active {unit}")).await.text(), "inactive");
        }
        assert_eq!(machine.says("systemctl list-units --failed --no-legend 'petit*'").await, "");
        machine.says("systemd-analyze verify /usr/lib/systemd/system/petit-*.*").await;
        machine.says("XDG_RUNTIME_DIR=/run systemd-analyze verify --user /usr/lib/systemd/user/petit-client.service").await;

        machine.says("petit-server init --endpoint http://REGID.localhost:8090 --port 443").await;
        machine.says("petit-server start").await;
        machine.says("echo '# mine' >> /etc/petit/client.toml").await;
        machine.says("dpkg --remove petit-server petit-client").await;
        for name in ["petit-server", "petit-client"] {
            assert_eq!(machine.run(&format!("pgrep -x {name}")).await.exit, 1);
        }
        let config = machine.says("cat /etc/petit/client.toml").await;
        assert!(config.ends_with("# mine"), "{config}");
        // A registration that nobody has given back.
        machine.says("install -D /dev/null /var/lib/private/petit-client/registration.json").await;
        let said = machine.says("dpkg --purge petit-server petit-client").await;
        assert!(
            said.contains("vendor still knows this computer, as petit-client unregister was not run"),
            "{said}"
        );
        let left: BTreeSet<String> = files(&machine).await.difference(&before).cloned().collect();
        let data = ["/var/lib/private/petit-", "/var/lib/petit-", "/etc/credstore"];
        assert!(left.iter().all(|path| data.iter().any(|data| path.starts_with(data))), "{left:?}");
        for path in ["/var/lib/private/petit-server", "/etc/credstore/petit-server.key"] {
            assert!(left.contains(path), "{path} in {left:?}");
            assert!(said.contains(&format!("delete it by hand: {path}\n")), "{path} in {said}");
        }
        machine.says("! systemctl list-unit-files --no-legend 'petit*' | grep .").await;
    });
}

#[test]
fn the_same_files_make_the_same_packages() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap());
    command
        .args(["xtask", "dist", "linux", "--debug", "--from"])
        .arg(programs())
        .arg("--into")
        .arg(dir.path());
    done(command.arg("petit-client").current_dir(env!("CARGO_MANIFEST_DIR")));
    for first in [deb("petit-client"), rpm("petit-client")] {
        let second = dir.path().join(first.file_name().unwrap());
        assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(), "{}", first.display());
    }
}

/// Every path below a folder, as from a root.
fn files_below(root: &Path) -> BTreeSet<String> {
    let found = Command::new("find").arg(root).args(["-mindepth", "1", "-printf", "/%P\n"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn packages_of_rpm_have_the_same_files_and_go_again() {
    for name in ["petit-server", "petit-client"] {
        let dir = tempfile::tempdir().unwrap();
        let root = format!("--root={}", dir.path().display());
        let package = rpm(name);
        let rpm = |arguments: &[&str]| done(Command::new("rpm").arg(&root).args(arguments));
        rpm(&["--initdb"]);
        let requires =
            Command::new("rpm").args(["--query", "--requires", "--package"]).arg(&package).output().unwrap();
        let requires = String::from_utf8(requires.stdout).unwrap();
        // The first that looks into /etc/credstore.
        assert_eq!(requires.contains("systemd >= 251\n"), name == "petit-server", "{requires}");
        let breaks = Command::new("dpkg-deb").arg("--field").arg(deb(name)).arg("Breaks").output().unwrap();
        assert_eq!(
            String::from_utf8(breaks.stdout).unwrap().contains("systemd (<< 251)"),
            name == "petit-server"
        );
        rpm(&["--install", "--nodeps", "--noscripts", package.to_str().unwrap()]);
        rpm(&["--verify", "--nodeps", "--noscripts", name]);
        let listed = Command::new("dpkg-deb").arg("--contents").arg(deb(name)).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let files =
            listed.lines().filter(|line| !line.ends_with('/')).map(|line| line.rsplit(" ./").next().unwrap());
        let mut count = 0;
        for file in files.filter(|file| !file.contains("/zsh/")) {
            assert!(dir.path().join(file).is_file(), "{file}");
            count += 1;
        }
        assert!(count > 20, "{count}");
        let preset = dir.path().join(format!("usr/lib/systemd/system-preset/50-{name}.preset"));
        assert!(std::fs::read_to_string(preset).unwrap().contains(&format!("enable {name}.service\n")));
        rpm(&["--erase", "--noscripts", name]);
        let left = files_below(dir.path());
        assert!(!left.iter().any(|path| path.contains("petit")), "{left:?}");
    }
}
