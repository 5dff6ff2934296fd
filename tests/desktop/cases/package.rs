//! The Debian package: installed, started and purged.

use std::path::PathBuf;

use petit_tests::process::Program;
use petit_tests_desktop::app::App;
use petit_tests_desktop::panel::Panel;
use petit_tests_desktop::session::Session;

/// The package under test. `cargo xtask test` has built it; otherwise it is built now.
fn package() -> PathBuf {
    if let Some(package) = std::env::var_os("PETIT_PACKAGE") {
        return PathBuf::from(package);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["xtask", "dist", "linux", "--debug", "petit"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout);
    let made = said.lines().find_map(|line| line.strip_prefix("made "));
    PathBuf::from(made.unwrap_or_else(|| panic!("cargo xtask dist names no package: {said}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_package_installs_starts_and_leaves_nothing_behind() {
    let package = package();
    let (session, client) = (Session::start().await, Program::client());
    let path = package.to_str().unwrap();
    let listed = session.said("dpkg-deb", &["--contents", path]).await;
    for file in [
        "./usr/bin/petit",
        "./usr/bin/petit-client",
        "./usr/lib/petit/petit-desktop",
        "./usr/share/applications/petit.desktop",
        "./usr/share/metainfo/dev.petit.desktop.metainfo.xml",
        "./usr/share/icons/hicolor/scalable/apps/petit.svg",
    ] {
        assert!(listed.lines().any(|line| line.ends_with(file)), "{file} in {listed}");
    }
    assert!(!listed.contains("autostart"), "it does not start by itself");

    // Into a root of the test's own, so that this machine stays as it is.
    let root = session.home().join("root");
    let admin = root.join("var/lib/dpkg");
    for dir in ["info", "updates", "triggers"] {
        std::fs::create_dir_all(admin.join(dir)).unwrap();
    }
    std::fs::write(admin.join("status"), "").unwrap();
    std::fs::write(admin.join("available"), "").unwrap();
    let dpkg = async |arguments: &[&str]| {
        let root = format!("--root={}", root.display());
        let log = format!("--log={}", session.home().join("dpkg.log").display());
        let mut command = session.command("dpkg");
        command
            .args([&root, &log, "--force-depends", "--force-not-root", "--force-script-chrootless"])
            .args(arguments);
        let output = petit_tests::soon("dpkg", command.output()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    dpkg(&["--install", path]).await;
    let entry = root.join("usr/share/applications/petit.desktop");
    let checked = session.said("desktop-file-validate", &[entry.to_str().unwrap()]).await;
    assert_eq!(checked, "");
    let text = std::fs::read_to_string(&entry).unwrap();
    assert!(text.contains("Exec=petit %u") && text.contains("x-scheme-handler/petit"), "{text}");

    let panel = Panel::start(session.bus()).await;
    let app = App::start_as(&session, &root.join("usr/bin/petit"), &client.config(), &["--autostart"]);
    panel.icon().await.until_line("an app", |line| line == "Not set up yet").await;
    app.signal("TERM").await;
    assert_eq!(app.ended().await.exit, 0);
    dpkg(&["--purge", "petit"]).await;
    let mut left = Vec::new();
    let mut folders = vec![root.join("usr")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { left.push(entry.path()) }
        }
    }
    assert!(left.is_empty(), "{left:?}");
}
