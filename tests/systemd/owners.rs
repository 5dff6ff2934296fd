//! What packages leave as its owner has made it: a service that was stopped, a config, a service of a user's own.

use std::fs;
use std::net::{TcpListener, TcpStream};

use petit_tests::authority::Authority;
use petit_tests::process::programs;
use serde_json::Value;

use crate::machine::{Machine, on_a_machine};
use crate::packages::{deb, next_version};
use crate::pair::{Pair, private_service};
use crate::services::main_process;

/// Installs the next version of a package.
async fn upgrade(machine: &Machine, name: &str) {
    let (_dir, next) = next_version(&deb(name));
    let next = machine.bring(&next);
    machine.says(&format!("dpkg --install {next}")).await;
}

async fn is_active(machine: &Machine, unit: &str) -> String {
    machine.run(&format!("systemctl is-active {unit}")).await.text().to_owned()
}

#[test]
fn what_root_has_stopped_stays_so_over_an_upgrade() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let pair = Pair::set_up(&machine).await;
        machine.says("petit-server stop && petit-client stop").await;
        for name in ["petit-server", "petit-client"] {
            upgrade(&machine, name).await;
        }
        for unit in ["petit-server.service", "petit-server.socket", "petit-client.service"] {
            assert_eq!(is_active(&machine, unit).await, "inactive", "{unit}");
        }
        assert_eq!(is_active(&machine, "petit-server-backup.timer").await, "active");
        machine.says("petit-server start && petit-client start").await;
        crate::pair::until_green(&machine).await;
        pair.passes().await;
    });
}

#[test]
fn what_was_removed_and_comes_back_serves_again() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let pair = Pair::set_up(&machine).await;
        for name in ["petit-server", "petit-client"] {
            let package = machine.bring(&deb(name));
            machine.says(&format!("dpkg --remove {name}")).await;
            assert_eq!(machine.run(&format!("pgrep -x {name}")).await.exit, 1);
            machine.says(&format!("dpkg --install {package}")).await;
        }
        crate::pair::until_green(&machine).await;
        pair.passes().await;
    });
}

/// Root may read what the service may not.
#[test]
fn the_config_is_checked_with_the_eyes_of_the_service() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let _pair = Pair::set_up(&machine).await;
        assert!(machine.says("petit-server config check").await.contains("is fine"));
        machine.says("mkdir --mode=700 /root/live && mkdir /root/live/x").await;
        machine
            .says("sed -i '0,/^.server.$/s//&\\ncertificates = \"\\/root\\/live\"/' /etc/petit/server.toml")
            .await;
        let said = machine.run("petit-server config check").await;
        assert!(said.exit == 1 && said.err.contains("/root/live"), "{said:?}");
        let said = machine.run("petit-server --json config check").await;
        assert!(said.exit == 1 && said.out.contains("/root/live"), "{said:?}");

        // A client's config has to be read by everybody, which is no place for a password.
        machine.says("chmod 600 /etc/petit/client.toml").await;
        let said = machine.run("petit-client config check").await;
        assert!(said.exit == 1 && said.err.contains("chmod 644"), "{said:?}");
        machine.says("chmod 644 /etc/petit/client.toml").await;
        assert!(!machine.says("petit-client config check").await.contains("password"));
        machine
            .says(r#"sed -i '0,/^.client.$/s//&\nproxy = "http:\/\/anna:geheim@127.0.0.1:1"/' /etc/petit/client.toml"#)
            .await;
        let said = machine.says("petit-client config check").await;
        assert!(said.contains("password") && !said.contains("geheim"), "{said}");
    });
}

/// Root takes nothing of his own from a folder that the service writes.
#[test]
fn a_lost_key_does_not_come_back_out_of_the_services_own_backup() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let _pair = Pair::set_up(&machine).await;
        let other = "petit-server init --endpoint https://REGID.example.com --replace";
        let problem = "clients have registered with this server (1), so it was not changed";
        let said = machine.run(other).await;
        assert!(said.exit == 1 && said.err.contains(problem), "{said:?}");
        machine.says("petit-server backup && systemctl stop petit-server.socket petit-server").await;
        let said = machine.run(other).await;
        assert!(said.exit == 1 && said.err.contains(problem), "{said:?}");
        machine.says("mkdir /root/store && mv /etc/credstore/petit-* /root/store").await;
        let backup = machine.says("ls -d /var/lib/petit-server/backups/*").await;
        let said = machine.run(&format!("petit-server restore {backup}")).await;
        assert!(said.exit == 1 && !said.err.contains("chown"), "{said:?}");
        // What it says is what helps.
        let copy = said.err.split("cp -rT ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        machine.says(&format!("cp -rT {copy} && petit-server restore /root/petit-backup")).await;
        machine.says("petit-server start && petit-server check --ready").await;
    });
}

/// Root writes it himself, and opens nothing in the service's folder.
#[test]
fn a_server_comes_back_with_its_ports_from_a_backup_that_root_has_written_elsewhere() {
    on_a_machine(async |machine| {
        let package = machine.bring(&deb("petit-server"));
        machine.says(&format!("dpkg --install {package}")).await;
        // Tried first, as it comes.
        assert!(machine.says("petit-server init").await.contains("for this machine alone, to try it"));
        let init = "petit-server init --endpoint http://REGID.shop.localhost:8090 --port 8454";
        let said = machine.run(init).await;
        assert!(said.exit == 1 && said.err.contains("type the same with --replace"), "{said:?}");
        let said = machine.says(&format!("{init} --replace")).await;
        assert!(said.contains("the one before is /etc/petit/server.last-good.toml"), "{said}");
        machine.says("petit-server start && petit-server check --ready").await;
        assert!(TcpStream::connect("127.0.0.1:8454").is_ok());

        // Whatever the shell lets others read.
        let said = machine.says("umask 000; petit-server backup /root/copies/one").await;
        assert!(said.contains("is in /root/copies/one."), "{said}");
        machine.says("cmp /root/copies/one/server.key /etc/credstore/petit-server.key").await;
        let said = machine.run("petit-server backup /root/copies/one").await;
        assert!(said.exit == 1 && said.err.contains("name a folder that is not there yet"), "{said:?}");
        machine.says("petit-server stop").await;
        let said = machine.says("umask 000; petit-server --json backup /root/copies/two").await;
        assert!(said.contains("\"backup\": \"/root/copies/two\""), "{said}");
        let files = machine.says("find /root/copies -printf '%M %u %P\\n'").await;
        let is_roots = |line: &&str| {
            ["drwx------ root ", "-rw------- root "].iter().any(|start| line.starts_with(start))
        };
        assert!(files.lines().filter(is_roots).count() == files.lines().count(), "{files}");
        assert!(files.contains("two/registry.db"), "{files}");
        let left = machine.run("ls -A /var/lib/private/petit-server | grep for-root").await;
        assert_eq!(left.out, "");

        // A new machine.
        machine
            .says("dpkg --purge petit-server && rm -r /etc/credstore/petit-* /var/lib/private/petit-server")
            .await;
        machine.says(&format!("rm -f /var/lib/petit-server && dpkg --install {package}")).await;
        let said = machine.says("petit-server restore /root/copies/two").await;
        assert!(said.contains("petit-server.socket opens the ports of the config now"), "{said}");
        machine.says("petit-server start && petit-server check --ready").await;
        assert!(TcpStream::connect("127.0.0.1:8454").is_ok());
        assert!(!machine.says("petit-server config check").await.contains("petit-server.socket opens"));
        drop(TcpListener::bind("0.0.0.0:443").expect("a port that the config does not name is free"));
    });
}

/// A certificate as anybody would put it there, who is root.
#[test]
fn a_certificate_that_the_service_may_not_read_keeps_no_tunnel_down_and_is_said_with_what_to_do() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let pair = Pair::set_up(&machine).await;
        let folder = "/var/lib/petit-server/certificates";
        machine.says(&format!("install --mode=755 --directory {folder}")).await;
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = Authority::new().vouch_for(&["*.localhost"]).write(dir.path(), "server");
        for (file, mode) in [(&certificate, "644"), (&key, "600")] {
            let there = machine.bring(file);
            machine.says(&format!("install --mode={mode} {there} {folder}")).await;
        }
        let remedy = format!("chown -R --reference=/var/lib/petit-server {folder}/server.key");
        let said = machine.run("petit-server config check").await;
        assert!(said.exit == 1 && said.err.contains(&remedy), "{said:?}");
        machine.says("systemctl restart petit-server").await;
        crate::pair::until_green(&machine).await;
        pair.passes().await;
        let status = machine.says("petit-server status").await;
        let problem = format!("not served: cannot read {folder}/server.key: Permission denied");
        assert!(status.contains(&problem) && status.contains(&remedy), "{status}");
        machine
            .until("systemctl status petit-server | grep 'HTTPS visitors are not served: cannot read'")
            .await;
        machine.until(&format!("journalctl --unit petit-server | grep -- '{remedy}'")).await;
        let said = machine.says("petit-server backup").await;
        assert!(
            said.contains(&format!("Not in it is {folder}/server.key: the server may not read it")),
            "{said}"
        );

        // What it says helps, without a restart.
        machine.says(&remedy).await;
        machine.until("petit-server status | grep 'HTTPS .*server.crt, good until'").await;
        assert!(machine.says("petit-server config check").await.contains("is fine"));
        // A restart loses none that is served.
        machine.says(&format!("chown root {folder}/server.key")).await;
        let said = machine.run("petit-server restart").await;
        assert!(
            said.exit == 1 && said.err.contains("of *.localhost would not be served any more"),
            "{said:?}"
        );
        assert!(machine.says("petit-server status").await.contains("server.crt, good until"));
        pair.passes().await;

        // From outside of its folder it is copied.
        machine.says("mkdir --mode=700 live && mkdir live/x && cp server.crt live/x/fullchain.pem && cp server.key live/x/privkey.pem").await;
        machine.says(&format!("chown --reference=/var/lib/petit-server {folder}/server.key")).await;
        let said = machine.run("petit-server certificate put live/x").await;
        let remedy = format!("chown -R --reference=/var/lib/petit-server {folder}");
        assert!(said.exit == 1 && said.err.ends_with(&format!("{remedy}\n")), "{said:?}");
        machine.says(&format!("{remedy} && petit-server certificate put live/x")).await;
        let kept = machine
            .says(&format!("stat --format='%a %U' {folder}/x/privkey.pem && petit-server status"))
            .await;
        assert!(kept.starts_with("600 ") && !kept.starts_with("600 root"), "{kept}");
        assert!(kept.contains("/certificates/x/fullchain.pem, good until"), "{kept}");
        a_link_to_where_only_root_may_go_is_told(&machine, folder).await;
    });
}

/// What an administrator does who has read that links are followed.
async fn a_link_to_where_only_root_may_go_is_told(machine: &Machine, folder: &str) {
    machine
        .says(&format!("rm -r {folder}/server.* {folder}/x {folder}/.x.* && ln -s /root/live/x {folder}/y"))
        .await;
    let said = machine.run("petit-server restart").await;
    assert!(said.exit == 1 && said.err.contains("of *.localhost would not be served any more"), "{said:?}");
    let said = machine.run("petit-server config check").await;
    let remedy = "certificate put /root/live/x\n";
    assert!(said.exit == 1 && said.err.contains(&format!("cannot read {folder}/y")), "{said:?}");
    assert!(said.err.contains(remedy), "{said:?}");
    // It helps, whatever else is wrong: with the link, and with the config.
    machine.says("echo 'nonsense = 1' >>/etc/petit/server.toml").await;
    let said = machine.says(&format!("petit-server {}", remedy.trim())).await;
    assert!(
        said.contains("HTTPS visitors are shown") && said.contains("/x/fullchain.pem, good until"),
        "{said}"
    );
    machine
        .says(&format!("sed -i '$d' /etc/petit/server.toml && rm {folder}/y && petit-server restart"))
        .await;

    // A folder that root has made so that nobody else may enter it.
    machine.says(&format!("chown root {folder} && chmod 700 {folder}")).await;
    let said = machine.run("petit-server config check").await;
    let remedy = format!("chown -R --reference=/var/lib/petit-server {folder}\n");
    assert!(said.exit == 1 && said.err.ends_with(&remedy), "{said:?}");
    machine.says(&format!("{} && petit-server config check", remedy.trim())).await;
}

/// systemd reads no config of ours.
#[test]
fn the_socket_opens_the_ports_that_the_config_asks_for() {
    on_a_machine(async |machine| {
        let package = machine.bring(&deb("petit-server"));
        machine.says(&format!("dpkg --install {package}")).await;
        let drop_in = "/etc/systemd/system/petit-server.socket.d/00-petit.conf";
        // The first key is said, whatever becomes of the unit.
        let init = "petit-server init --endpoint http://REGID.localhost:8090 --port 8453";
        machine.says("touch /etc/systemd/system/petit-server.socket.d").await;
        let said = machine.run(init).await;
        assert!(said.exit == 1 && said.err.contains("petit-server.socket.d"), "{said:?}");
        assert!(said.out.contains("Petit-Key: "), "{said:?}");
        machine.says("rm /etc/systemd/system/petit-server.socket.d").await;
        let said = machine.says(init).await;
        assert!(said.contains(drop_in), "{said}");
        machine.says("petit-server start").await;
        drop(TcpListener::bind("0.0.0.0:443").expect("a port that the config does not name is free"));
        assert!(TcpStream::connect("127.0.0.1:8453").is_ok());
        let opens = "petit-server.socket opens";
        for line in ["petit-server config check", "petit-server status"] {
            let said = machine.says(line).await;
            assert!(!said.contains(opens), "{line}: {said}");
        }

        // By hand, later.
        let config = "/etc/petit/server.toml";
        machine
            .says(&format!("sed -i 's/^secure_proxy_port = 8453/secure_proxy_port = 443/' {config}"))
            .await;
        for line in ["petit-server config check", "petit-server status"] {
            let said = machine.says(line).await;
            assert!(said.contains(&format!("{opens} 0.0.0.0:8453 and 127.0.0.1:8090")), "{line}: {said}");
        }
        let said = machine.run("petit-server restart").await;
        let remedy = "petit-server init has it open those of the config, then petit-server stop and petit-server start";
        assert!(said.exit == 1 && said.err.contains(remedy), "{said:?}");
        machine.says("petit-server init && petit-server stop && petit-server start").await;
        machine.says("petit-server check --ready").await;
        assert!(TcpStream::connect("127.0.0.1:443").is_ok());
        assert!(!machine.says("petit-server config check").await.contains(opens));
        // What an administrator says counts, and is named.
        let own = "/etc/systemd/system/petit-server.socket.d/override.conf";
        let text = "[Socket]\\nListenStream=127.0.0.1:8454\\n";
        machine.says(&format!("printf '{text}' >{own} && systemctl daemon-reload")).await;
        for line in ["petit-server init", "petit-server config check", "petit-server status"] {
            let said = machine.says(line).await;
            assert!(said.contains(&format!("{own} says so")), "{line}: {said}");
        }
        assert_eq!(machine.says(&format!("cat {own}")).await, "[Socket]\nListenStream=127.0.0.1:8454");
        machine.says(&format!("rm {own} && systemctl daemon-reload")).await;
        machine.says(&format!("dpkg --purge petit-server && ! test -e {drop_in}")).await;
    });
}

/// A package that comes and goes leaves running what `install` has made.
async fn another_ones_service_goes_on(machine: &Machine, program: &str, package: &str) {
    machine.says(&format!("{program} install")).await;
    let before = main_process(machine, "petit-client.service").await;
    machine.says(&format!("dpkg --install {package} </dev/null && dpkg --remove petit-client")).await;
    assert_eq!(is_active(machine, "petit-client.service").await, "active");
    assert_eq!(main_process(machine, "petit-client.service").await, before);
    machine.says("petit-client uninstall --yes").await;
}

/// Where `install` was before: the package manager asks nothing, which nobody could answer.
#[test]
fn a_package_keeps_the_config_that_is_there_and_purges_what_it_was_before() {
    on_a_machine(async |machine| {
        let program = machine.bring(&programs().join("petit-client"));
        machine.says(&format!("{program} install && petit-client service add web 127.0.0.1:3000")).await;
        machine.says("petit-client uninstall --yes").await;
        let config = machine.says("cat /etc/petit/client.toml").await;
        assert!(config.contains("127.0.0.1:3000"), "{config}");
        let package = machine.bring(&deb("petit-client"));
        // Refused half-way, by a package of others that has such a file: what stood aside comes back.
        machine.says("mkdir --parents other/DEBIAN other/usr/bin && touch other/usr/bin/petit-client").await;
        let control = "Package: other\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@localhost>\\nDescription: other\\n";
        machine.says(&format!("printf '{control}' >other/DEBIAN/control")).await;
        machine.says("dpkg-deb --build other && dpkg --install other.deb").await;
        let refused = machine.run(&format!("dpkg --install {package} </dev/null")).await;
        assert!(refused.exit != 0 && refused.err.contains("trying to overwrite"), "{refused:?}");
        assert_eq!(machine.says("cat /etc/petit/client.toml").await, config);
        machine.says("dpkg --purge other").await;
        // Gone before it was configured, it takes nothing of others along.
        for verb in ["--remove", "--purge"] {
            machine.says(&format!("dpkg --unpack {package} && dpkg {verb} petit-client")).await;
            assert_eq!(machine.says("cat /etc/petit/client.toml").await, config, "{verb}");
        }
        assert_eq!(machine.run("ls /etc/petit/*.before-package").await.out, "");

        machine.says(&format!("dpkg --install {package} </dev/null")).await;
        assert_eq!(machine.says("cat /etc/petit/client.toml").await, config);
        upgrade(&machine, "petit-client").await;
        assert_eq!(machine.says("cat /etc/petit/client.toml").await, config);

        machine.says("petit-client service add other 127.0.0.1:3001").await;
        machine.says("test -e /etc/petit/client.last-good.toml").await;
        machine.says("dpkg --purge petit-client").await;
        assert_eq!(machine.run("ls -A /etc/petit").await.out, "");
        another_ones_service_goes_on(&machine, &program, &package).await;
    });
}

/// Types a line as the user of the next test.
async fn as_user(machine: &Machine, line: &str) -> String {
    machine.says(&format!("{USER} {line}")).await
}

/// What begins such a line.
const USER: &str = "runuser -u anna -- env XDG_RUNTIME_DIR=/run/user/$(id -u anna) HOME=/home/anna";

/// A user who looks for the system's services without root's rights hears that they are there.
async fn forgotten_sudo_is_told(machine: &Machine) {
    for (program, exit) in [("petit-client", 4), ("petit-server", 3)] {
        let config = format!("/etc/petit/{}.toml", program.trim_start_matches("petit-"));
        let said = machine.run(&format!("{USER} {program} status")).await;
        let note = format!("note: {config} belongs to the service of this ");
        assert!(said.exit == exit && said.err.contains(&note), "{said:?}");
        assert!(said.err.contains(&format!("sudo {program}")), "{said:?}");
        let moved = format!("mv {config} {config}.away && {program} config path; mv {config}.away {config}");
        assert!(machine.says(&moved).await.starts_with(&config), "root's is not in his home");
    }
}

async fn process(machine: &Machine) -> String {
    let status: Value = serde_json::from_str(&as_user(machine, "petit-client status --json").await).unwrap();
    status["pid"].to_string()
}

#[test]
fn a_users_own_service_is_handed_over_at_an_upgrade_and_ends_with_the_package() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let _pair = Pair::set_up(&machine).await;
        machine.says("useradd --create-home anna && loginctl enable-linger anna").await;
        machine.until("systemctl is-active user@$(id -u anna)").await;
        let invite: Value = serde_json::from_str(&machine.says("petit-server invite --json").await).unwrap();
        fs::write(machine.path("/home/anna/invite"), invite["link"].as_str().unwrap()).unwrap();
        machine.says("chown anna /home/anna/invite").await;
        forgotten_sudo_is_told(&machine).await;
        as_user(
            &machine,
            "petit-client register --key-store file --invite-file /home/anna/invite --service 127.0.0.1:3000",
        )
        .await;
        as_user(&machine, "systemctl --user enable --now petit-client").await;
        let online = "petit-client status --json | grep '\"light\": \"green\"'";
        machine.until(&format!("{USER} {online}")).await;
        // What is started by hand is not beside it.
        as_user(&machine, "petit-client stop").await;
        let is_active = format!("{USER} systemctl --user is-active petit-client");
        assert_eq!(machine.run(&is_active).await.out.trim(), "inactive");
        as_user(&machine, "petit-client start").await;
        machine.until(&format!("{USER} {online}")).await;
        assert_eq!(machine.says(&is_active).await, "active");
        let before = process(&machine).await;

        upgrade(&machine, "petit-client").await;
        let after = process(&machine).await;
        assert_ne!(after, before);
        assert_eq!(machine.says(&format!("readlink /proc/{after}/exe")).await, "/usr/bin/petit-client");
        assert_eq!(as_user(&machine, "systemctl --user is-active petit-client").await, "active");

        // One whose service does not stop holds nobody up.
        machine.says("useradd --create-home boris && loginctl enable-linger boris").await;
        machine.until("systemctl is-active user@$(id -u boris)").await;
        let units = "/home/boris/.config/systemd/user";
        machine.says(&format!("mkdir --parents {units}")).await;
        let unit = "[Service]\\nExecStart=/bin/sleep infinity\\nExecStop=/bin/sleep infinity\\nTimeoutStopSec=infinity\\n";
        machine
            .says(&format!("printf '{unit}' >{units}/petit-client.service && chown -R boris /home/boris"))
            .await;
        let boris = "runuser -u boris -- env XDG_RUNTIME_DIR=/run/user/$(id -u boris)";
        machine.says(&format!("{boris} systemctl --user start petit-client")).await;
        machine.says("dpkg --remove petit-client").await;
        assert_eq!(machine.run("pgrep -x petit-client").await.exit, 1);
    });
}
