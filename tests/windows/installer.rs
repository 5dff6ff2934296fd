//! The installer and its removal, silently: what they leave on a computer, and that two brands leave each other alone.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

pub(crate) const RUN: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";
const CLASSES: &str = r"HKCU\Software\Classes";
const UNINSTALL: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Uninstall";
const WEBVIEW2: &str = r"HKCU\Software\Microsoft\EdgeUpdate\Clients\{F3017226-FE2A-4295-8BDF-00C3A9A7E4C5}";

/// Waits between two looks at what another process brings about.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The one user of the tests' Windows, in whose folder and registry everything happens.
pub(crate) struct User {
    /// His folder, as this system sees it.
    home: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

/// What a command of Windows came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: i32,
    pub(crate) said: String,
}

/// What a program prints, or only how it ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Wanted {
    Output,
    /// Of a program that leaves others running: Wine gives them its output, which would not end then.
    Exit,
}

pub(crate) async fn wine<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>) -> Ended {
    wine_for(Wanted::Output, program, arguments).await
}

pub(crate) async fn wine_for<S: AsRef<OsStr>>(
    wanted: Wanted,
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Ended {
    let mut command = Command::new("wine");
    command.arg(program).args(arguments).env_remove("PETIT_CONFIG").env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    command.stdout(if wanted == Wanted::Output { Stdio::piped() } else { Stdio::null() });
    let child = command.spawn().unwrap();
    let output = soon("a program for Windows to end", child.wait_with_output()).await.unwrap();
    Ended {
        exit: output.status.code().unwrap_or(128),
        said: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

/// The text of a registry value; its own one where `name` is empty. `None` when it is not there.
pub(crate) async fn value(key: &str, name: &str) -> Option<String> {
    let asked = if name.is_empty() { vec!["query", key, "/ve"] } else { vec!["query", key, "/v", name] };
    let ended = wine(Path::new("reg"), asked).await;
    let kinds = ["REG_SZ", "REG_EXPAND_SZ", "REG_DWORD"];
    let text = ended.said.lines().find_map(|line| kinds.iter().find_map(|kind| line.split_once(*kind)));
    text.map(|(_, value)| value.trim().to_owned()).filter(|_| ended.exit == 0)
}

async fn reg(arguments: &[&str]) {
    let ended = wine(Path::new("reg"), arguments).await;
    assert_eq!(ended.exit, 0, "{arguments:?}: {ended:?}");
}

impl User {
    /// A user who has never had Petit.
    pub(crate) async fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let prefix =
            PathBuf::from(std::env::var_os("WINEPREFIX").expect("run this by `cargo xtask test windows`"));
        let said = wine(Path::new("cmd"), ["/c", "echo %USERPROFILE%"]).await.said;
        let path = said.trim().strip_prefix(r"C:\").unwrap_or_else(|| panic!("{said:?}")).replace('\\', "/");
        let this = Self { home: prefix.join("drive_c").join(path), _alone: alone };
        // What a test has left that was broken off.
        for brand in [&PETIT, &NORDLICHT] {
            if this.folder(brand).exists() {
                wine(&this.folder(brand).join("petit.exe"), ["quit"]).await;
                this.client(brand, &["stop"]).await;
            }
            for folder in [this.folder(brand), this.kept(brand)] {
                let _ = fs::remove_dir_all(folder);
            }
            for name in [brand.name.to_owned(), format!("{} ({})", brand.name, brand.id)] {
                let _ = fs::remove_file(this.shortcut_named(&name));
            }
            for key in [brand.entry(), class(brand.scheme), class("petit")] {
                wine(Path::new("reg"), ["delete", &key, "/f"]).await;
            }
            wine(Path::new("reg"), ["delete", RUN, "/v", brand.id, "/f"]).await;
        }
        wine(Path::new("reg"), ["delete", WEBVIEW2, "/f"]).await;
        // An administrator, as everybody is here, would find a service's config before the user's own.
        for service in ["petit-client", "petit-server"] {
            for verb in ["stop", "delete"] {
                wine_for(Wanted::Exit, Path::new("sc"), [verb, service]).await;
            }
        }
        let _ = fs::remove_dir_all(prefix.join("drive_c/ProgramData/Petit"));
        this
    }

    /// Where a brand is installed.
    pub(crate) fn folder(&self, brand: &Brand) -> PathBuf {
        self.home.join("AppData/Local/Programs").join(brand.id)
    }

    /// What a brand keeps.
    pub(crate) fn kept(&self, brand: &Brand) -> PathBuf {
        self.home.join(brand.folder)
    }

    fn shortcut(&self, brand: &Brand) -> PathBuf {
        self.shortcut_named(brand.name)
    }

    fn shortcut_named(&self, name: &str) -> PathBuf {
        let name = format!("{name}.lnk");
        self.home.join("AppData/Roaming/Microsoft/Windows/Start Menu/Programs").join(name)
    }

    /// Where WebView2 keeps what it needs for a brand's window.
    fn web_view(&self, brand: &Brand) -> PathBuf {
        self.home.join("AppData/Local").join(brand.app_id)
    }

    /// What a removal that has failed has written down.
    pub(crate) async fn removal_log(&self, brand: &Brand) -> String {
        let said = wine(Path::new("cmd"), ["/c", "echo %TEMP%"]).await.said;
        let temp = said.trim().strip_prefix(r"C:\").unwrap().replace('\\', "/");
        let drive = self.home.ancestors().nth(2).unwrap();
        read_log(&drive.join(temp).join(format!("{}-uninstall.log", brand.id)))
    }

    /// Removes it without a copy that goes on by itself.
    pub(crate) async fn remove_waiting(&self, brand: &Brand) -> Ended {
        let folder = format!(r"_?={}", brand.program(self).trim_end_matches(r"\petit.exe"));
        wine_for(Wanted::Exit, &self.folder(brand).join("uninstall.exe"), ["/S", &folder]).await
    }

    pub(crate) async fn install(&self, brand: &Brand, arguments: &[&str]) -> Ended {
        let setups = PathBuf::from(std::env::var_os("PETIT_WINDOWS_SETUPS").unwrap());
        wine_for(Wanted::Exit, &setups.join(brand.setup), [&["/S"], arguments].concat()).await
    }

    /// Runs another installer than that of a brand.
    pub(crate) async fn install_setup(&self, setup: &Path) -> Ended {
        wine_for(Wanted::Exit, setup, ["/S"]).await
    }

    /// What the last installation has written down.
    pub(crate) fn log(&self, brand: &Brand) -> String {
        read_log(&self.folder(brand).join("install.log"))
    }

    /// Removes it, and waits until its folder is gone: what was started is a copy that goes on by itself.
    async fn remove(&self, brand: &Brand, arguments: &[&str]) {
        let folder = self.folder(brand);
        let ended =
            wine_for(Wanted::Exit, &folder.join("uninstall.exe"), [&["/S"], arguments].concat()).await;
        assert_eq!(ended.exit, 0, "{ended:?}");
        soon("the folder to be gone", async {
            while folder.exists() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    pub(crate) async fn client(&self, brand: &Brand, arguments: &[&str]) -> Ended {
        wine(&self.folder(brand).join("petit-client.exe"), arguments).await
    }

    /// Starts the tray app as a login does.
    pub(crate) fn tray(&self, brand: &Brand) {
        let mut command = Command::new("wine");
        command.arg(self.folder(brand).join("petit.exe")).arg("--autostart").env_remove("PETIT_CONFIG");
        // On its own: it is ended by whoever asks it to, or with the tests' Windows.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    }

    /// Waits until a tray app other than `before` answers; returns its process.
    async fn tray_other_than(&self, brand: &Brand, before: Option<u32>) -> u32 {
        let lock = self.kept(brand).join("app.lock");
        soon("a tray app that answers", async {
            loop {
                let process = fs::read_to_string(&lock).ok().and_then(|text| text.trim().parse().ok());
                // One that runs takes the request over; one that does not makes this start fail.
                if let Some(process) = process.filter(|it| Some(*it) != before)
                    && wine(&self.folder(brand).join("petit.exe"), ["stop"]).await.exit == 0
                {
                    return process;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await
    }
}

fn read_log(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let units: Vec<u16> = bytes.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    String::from_utf16(&units).unwrap()
}

/// What a build is known by.
pub(crate) struct Brand {
    setup: &'static str,
    id: &'static str,
    name: &'static str,
    folder: &'static str,
    scheme: &'static str,
    app_id: &'static str,
}

impl Brand {
    fn entry(&self) -> String {
        format!(r"{UNINSTALL}\{}", self.id)
    }

    /// The installed program, as Windows sees it.
    fn program(&self, user: &User) -> String {
        let user = user.home.file_name().unwrap().to_str().unwrap().to_owned();
        format!(r"C:\users\{user}\AppData\Local\Programs\{}\petit.exe", self.id)
    }

    fn opens(&self, user: &User) -> String {
        format!("\"{}\" \"%1\"", self.program(user))
    }
}

pub(crate) const PETIT: Brand = Brand {
    setup: "petit-setup.exe",
    id: "Petit",
    name: "Petit",
    folder: ".petit",
    scheme: "petit",
    app_id: "dev.petit.desktop",
};

/// As in `nordlicht.toml`.
const NORDLICHT: Brand = Brand {
    setup: "petit-nordlicht-setup.exe",
    id: "Petit-nordlicht",
    name: "Nordlicht Connect",
    folder: ".petit-nordlicht",
    scheme: "petit-nordlicht",
    app_id: "dev.petit.desktop.nordlicht",
};

fn class(name: &str) -> String {
    format!(r"{CLASSES}\{name}")
}

/// The version that "Installed apps" shows.
pub(crate) async fn installed_version(brand: &Brand) -> Option<String> {
    value(&brand.entry(), "DisplayVersion").await
}

/// Where links of a scheme lead.
async fn leads_to(scheme: &str) -> Option<String> {
    value(&format!(r"{CLASSES}\{scheme}\shell\open\command"), "").await
}

pub(crate) fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Nothing of a brand is left but what it keeps for its user.
pub(crate) async fn is_gone(user: &User, brand: &Brand) {
    assert!(!user.folder(brand).exists() && !user.shortcut(brand).exists() && !user.web_view(brand).exists());
    assert_eq!(value(&brand.entry(), "DisplayName").await, None);
    assert_eq!(value(&class(brand.scheme), "").await, None);
    assert_eq!(value(&format!(r"{CLASSES}\AppUserModelId\{}", brand.app_id), "DisplayName").await, None);
    assert_eq!(value(RUN, brand.id).await, None);
}

/// All that a computer knows an installed brand by.
async fn is_there(user: &User, brand: &Brand) {
    let entry = brand.entry();
    assert_eq!(value(&entry, "DisplayName").await.as_deref(), Some(brand.name));
    assert_eq!(value(&entry, "DisplayVersion").await.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let uninstaller = brand.program(user).replace("petit.exe", "uninstall.exe");
    assert_eq!(value(&entry, "UninstallString").await, Some(format!("\"{uninstaller}\"")));
    assert_eq!(value(&entry, "QuietUninstallString").await, Some(format!("\"{uninstaller}\" /S")));
    assert_eq!(leads_to(brand.scheme).await, Some(brand.opens(user)));
    assert!(value(&class(brand.scheme), "URL Protocol").await.is_some());
    let name = value(&format!(r"{CLASSES}\AppUserModelId\{}", brand.app_id), "DisplayName").await;
    assert_eq!(name.as_deref(), Some(brand.name));
    let shortcut = fs::read(user.shortcut(brand)).unwrap();
    assert!(String::from_utf8_lossy(&shortcut).contains(brand.id), "it leads to the program");
    // Wine says yes to it and keeps nothing in the shortcut, so that is all there is to see here.
    let log = user.log(brand);
    assert!(log.contains(&format!("the start menu's entry is {}\r\n", brand.app_id)), "{log}");
    let version = user.client(brand, &["version"]).await;
    assert!(version.exit == 0 && version.said.contains(env!("CARGO_PKG_VERSION")), "{version:?}");
}

#[tokio::test]
async fn it_is_installed_over_a_running_one_and_removed_without_an_administrator_or_a_question() {
    let user = User::new().await;
    let ended = user.install(&PETIT, &["/AUTOSTART"]).await;
    assert_eq!(ended.exit, 0, "{ended:?}");
    is_there(&user, &PETIT).await;
    // The value that the menu's tick writes, which a unit test of petit-app knows by the same words.
    let at_login = format!("\"{}\" --autostart", PETIT.program(&user));
    assert_eq!(value(RUN, "Petit").await, Some(at_login.clone()));
    let files =
        ["LICENSE.txt", "WebView2Loader.dll", "install.log", "petit-client.exe", "petit.exe", "petit.ico"];
    let files: BTreeSet<String> =
        files.iter().chain(&["setup.exe", "uninstall.exe"]).map(|it| (*it).to_owned()).collect();
    assert_eq!(names_in(&user.folder(&PETIT)), files);
    assert!(!user.kept(&PETIT).exists(), "nothing is started by installing it");
    let log = user.log(&PETIT);
    assert!(log.contains("WebView2 is missing") && log.trim_end().ends_with("done"), "{log}");

    // Over one that runs: it is asked to end, and is there again afterwards.
    user.tray(&PETIT);
    let before = user.tray_other_than(&PETIT, None).await;
    reg(&["add", WEBVIEW2, "/v", "pv", "/d", "131.0.2903.99", "/f"]).await;
    let ended = user.install(&PETIT, &[]).await;
    reg(&["delete", WEBVIEW2, "/f"]).await;
    assert_eq!(ended.exit, 0, "{ended:?}: {}", user.log(&PETIT));
    user.tray_other_than(&PETIT, Some(before)).await;
    let log = user.log(&PETIT);
    assert!(log.contains("was started again") && log.contains("WebView2 is there: 131.0.2903.99"), "{log}");
    is_there(&user, &PETIT).await;
    assert_eq!(value(RUN, "Petit").await, Some(at_login), "what its user has wished stays");

    // Away with it while it runs. What it keeps for its user stays, but for what WebView2 has kept.
    for brand in [&PETIT, &NORDLICHT] {
        fs::create_dir_all(user.web_view(brand).join("EBWebView")).unwrap();
    }
    let path = user.client(&PETIT, &["config", "path"]).await;
    assert!(path.said.contains(r"\.petit\config.toml"), "{path:?}");
    user.remove(&PETIT, &[]).await;
    is_gone(&user, &PETIT).await;
    assert!(user.kept(&PETIT).join("app.lock").exists());
    assert!(user.web_view(&NORDLICHT).exists(), "that of another brand");
    fs::remove_dir_all(user.web_view(&NORDLICHT)).unwrap();

    user.install(&PETIT, &[]).await;
    assert_eq!(value(RUN, "Petit").await, None, "nobody has asked for it");
    user.client(&PETIT, &["init"]).await;
    assert!(user.kept(&PETIT).join("config.toml").exists());
    // A server's registry is worth more than the wish to be rid of everything.
    fs::write(user.kept(&PETIT).join("registry.db"), "").unwrap();
    user.remove(&PETIT, &["/PURGE"]).await;
    assert!(user.kept(&PETIT).join("config.toml").exists());
    fs::remove_file(user.kept(&PETIT).join("registry.db")).unwrap();
    user.install(&PETIT, &[]).await;
    user.remove(&PETIT, &["/PURGE"]).await;
    is_gone(&user, &PETIT).await;
    assert!(!user.kept(&PETIT).exists());
}

#[tokio::test]
async fn a_registered_client_goes_on_after_an_upgrade_and_its_registration_outlives_the_removal() {
    let user = User::new().await;
    let (web, server) = (Service::http("web").await, Program::server().await);
    let _server = server.up().await;
    user.install(&PETIT, &[]).await;
    user.client(&PETIT, &["init"]).await;
    let config = client_config(&[("web", web.address(), "http")]).replace("key_store = \"file\"\n", "");
    fs::write(user.kept(&PETIT).join("config.toml"), config).unwrap();
    let invite = user.home.join("invite.txt");
    fs::write(&invite, server.invite([""; 0]).await).unwrap();
    let invite = format!("Z:{}", invite.display());
    let registered = user.client(&PETIT, &["register", "--invite-file", &invite]).await;
    assert_eq!(registered.exit, 0, "{registered:?}");
    assert_eq!(user.client(&PETIT, &["start"]).await.exit, 0);
    assert_eq!(user.client(&PETIT, &["status"]).await.exit, 0);

    let ended = user.install(&PETIT, &[]).await;
    assert_eq!(ended.exit, 0, "{ended:?}: {}", user.log(&PETIT));
    assert!(user.log(&PETIT).contains("petit-client was running and was started again (0)"));
    assert_eq!(user.client(&PETIT, &["status"]).await.exit, 0, "it runs again");

    user.remove(&PETIT, &[]).await;
    is_gone(&user, &PETIT).await;
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    assert_eq!(clients["clients"].as_array().map(Vec::len), Some(1), "{clients}");
    // Installed again it is the same computer, with the key that the keychain has kept.
    user.install(&PETIT, &[]).await;
    assert_eq!(user.client(&PETIT, &["start"]).await.exit, 0);
    assert_eq!(user.client(&PETIT, &["stop"]).await.exit, 0);
    user.remove(&PETIT, &["/PURGE"]).await;
    assert!(!user.kept(&PETIT).exists());
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    assert_eq!(
        clients["clients"].as_array().map(Vec::len),
        Some(1),
        "nothing is given back unasked: {clients}"
    );
}

#[tokio::test]
async fn one_that_does_not_end_is_left_as_it_is() {
    let user = User::new().await;
    let (web, server) = (Service::http("web").await, Program::server().await);
    let _server = server.up().await;
    user.install(&PETIT, &[]).await;
    // With a config of its own, so that nobody knows where to ask it.
    let elsewhere = user.home.join("elsewhere");
    let _ = fs::remove_dir_all(&elsewhere);
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("config.toml"), client_config(&[("web", web.address(), "http")])).unwrap();
    fs::write(elsewhere.join("invite.txt"), server.invite([""; 0]).await).unwrap();
    let config = format!("Z:{}", elsewhere.join("config.toml").display());
    let invite = format!("Z:{}", elsewhere.join("invite.txt").display());
    let registered = user.client(&PETIT, &["-c", &config, "register", "--invite-file", &invite]).await;
    assert_eq!(registered.exit, 0, "{registered:?}");
    assert_eq!(user.client(&PETIT, &["-c", &config, "start"]).await.exit, 0);

    let ended = user.install(&PETIT, &[]).await;
    assert_eq!(ended.exit, 3, "{ended:?}: {}", user.log(&PETIT));
    assert!(user.log(&PETIT).contains("did not end"), "{}", user.log(&PETIT));
    assert_eq!(user.client(&PETIT, &["-c", &config, "status"]).await.exit, 0, "it goes on");
    // Nor is it removed, and whoever has asked for that hears of it.
    let ended = user.remove_waiting(&PETIT).await;
    assert_eq!(ended.exit, 3, "{ended:?}");
    let log = user.removal_log(&PETIT).await;
    assert!(log.contains("did not end"), "{log}");
    assert_eq!(user.client(&PETIT, &["-c", &config, "status"]).await.exit, 0, "it still goes on");

    assert_eq!(user.client(&PETIT, &["-c", &config, "stop"]).await.exit, 0);
    assert_eq!(user.install(&PETIT, &[]).await.exit, 0);
    assert_eq!(user.remove_waiting(&PETIT).await.exit, 0);
    assert_eq!(names_in(&user.folder(&PETIT)), BTreeSet::from(["uninstall.exe".to_owned()]));
    fs::remove_dir_all(user.folder(&PETIT)).unwrap();
    is_gone(&user, &PETIT).await;
    fs::remove_dir_all(&elsewhere).unwrap();
}

#[tokio::test]
async fn one_that_fails_half_way_leaves_what_ran_running() {
    let user = User::new().await;
    user.install(&PETIT, &[]).await;
    user.tray(&PETIT);
    let before = user.tray_other_than(&PETIT, None).await;
    // Something that is no file stands in the place of one.
    let in_the_way = user.folder(&PETIT).join("LICENSE.txt");
    fs::remove_file(&in_the_way).unwrap();
    fs::create_dir(&in_the_way).unwrap();
    let ended = user.install(&PETIT, &[]).await;
    let log = user.log(&PETIT);
    assert_eq!(ended.exit, 2, "{ended:?}: {log}");
    assert!(log.contains(r"LICENSE.txt cannot be written") && log.contains("was started again"), "{log}");
    let after = user.tray_other_than(&PETIT, Some(before)).await;

    // One that cannot even unpack has not ended anything.
    fs::remove_dir(&in_the_way).unwrap();
    let new = user.folder(&PETIT).join("new");
    let _ = fs::remove_dir_all(&new);
    fs::write(&new, "").unwrap();
    assert_ne!(user.install(&PETIT, &[]).await.exit, 0);
    assert_eq!(user.tray_other_than(&PETIT, None).await, after);
    fs::remove_file(&new).unwrap();
    assert_eq!(user.install(&PETIT, &[]).await.exit, 0);
    user.remove(&PETIT, &["/PURGE"]).await;
    is_gone(&user, &PETIT).await;
}

#[tokio::test]
async fn one_over_a_version_that_is_to_go_back_leaves_the_way_back_and_where_it_fails_the_trial() {
    let user = User::new().await;
    let installed = user.install(&PETIT, &[]).await;
    assert_eq!(installed.exit, 0, "{installed:?}");
    let beside = |name: &str| user.folder(&PETIT).join(name);
    let setups = PathBuf::from(std::env::var_os("PETIT_WINDOWS_SETUPS").unwrap());
    let next = setups.join("next/petit-setup.exe");
    let install = || wine_for(Wanted::Exit, &next, ["/S", "/TRIAL", "/KEEP"]);
    let (before, trial) = (beside("before.exe"), beside(".petit.exe.trial"));
    fs::write(&before, "the way back").unwrap();
    user.tray(&PETIT);
    let ran = user.tray_other_than(&PETIT, None).await;
    fs::write(&trial, "the trial").unwrap();
    fs::remove_file(beside("LICENSE.txt")).unwrap();
    fs::create_dir(beside("LICENSE.txt")).unwrap();
    let ended = install().await;
    let log = user.log(&PETIT);
    assert_eq!(ended.exit, 2, "{ended:?}: {log}");
    assert!(log.contains("was started again"), "{log}");
    user.tray_other_than(&PETIT, Some(ran)).await;
    assert_eq!(fs::read_to_string(&trial).unwrap(), "the trial");

    wine(&beside("petit.exe"), ["quit"]).await;
    fs::remove_file(&trial).unwrap();
    fs::remove_dir(beside("LICENSE.txt")).unwrap();
    assert_eq!(install().await.exit, 0);
    assert_eq!(fs::read_to_string(&before).unwrap(), "the way back");
}

#[tokio::test]
async fn it_goes_only_where_others_cannot_change_it() {
    let user = User::new().await;
    let home = PETIT.program(&user).split(r"\AppData").next().unwrap().to_owned();
    for elsewhere in [r"C:\Tools\Petit".to_owned(), format!(r"{home}\..\Petit"), format!(r"{home}x\Petit")] {
        let ended = user.install(&PETIT, &[&format!("/D={elsewhere}")]).await;
        assert_eq!(ended.exit, 6, "{elsewhere}: {ended:?}");
    }
    let ended = user.install(&PETIT, &[&format!(r"/D={home}\Apps\Petit")]).await;
    assert_eq!(ended.exit, 0, "{ended:?}");
    let folder = user.home.join("Apps/Petit");
    assert!(folder.join("petit.exe").exists());
    let folder_there = format!(r"_?={home}\Apps\Petit");
    wine_for(Wanted::Exit, &folder.join("uninstall.exe"), ["/S", &folder_there]).await;
    assert_eq!(names_in(&folder), BTreeSet::from(["uninstall.exe".to_owned()]));
    fs::remove_dir_all(user.home.join("Apps")).unwrap();
    is_gone(&user, &PETIT).await;
}

#[tokio::test]
async fn two_of_one_name_have_a_shortcut_each() {
    let user = User::new().await;
    let (theirs, ours) =
        (user.shortcut(&NORDLICHT), user.shortcut_named("Nordlicht Connect (Petit-nordlicht)"));
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "another vendor's").unwrap();
    for _ in 0..2 {
        assert_eq!(user.install(&NORDLICHT, &[]).await.exit, 0);
        assert_eq!(fs::read(&theirs).unwrap(), b"another vendor's");
        assert!(String::from_utf8_lossy(&fs::read(&ours).unwrap()).contains("Petit-nordlicht"));
    }
    user.remove(&NORDLICHT, &["/PURGE"]).await;
    assert!(theirs.exists() && !ours.exists());
    fs::remove_file(&theirs).unwrap();
    is_gone(&user, &NORDLICHT).await;
}

#[tokio::test]
async fn two_brands_live_side_by_side() {
    let user = User::new().await;
    for brand in [&PETIT, &NORDLICHT] {
        let ended = user.install(brand, &["/AUTOSTART"]).await;
        assert_eq!(ended.exit, 0, "{ended:?}");
    }
    is_there(&user, &NORDLICHT).await;
    // By which its updates are known; Petit's was made without.
    let roots = fs::read_to_string(user.folder(&NORDLICHT).join("petit-roots.pub")).unwrap();
    assert_eq!(roots, include_str!("nordlicht-roots.pub"));
    assert!(!user.folder(&PETIT).join("petit-roots.pub").exists());
    // What any Petit understands belongs to the one that came last, and stays there when another is upgraded.
    for _ in 0..2 {
        assert_eq!(leads_to("petit").await, Some(NORDLICHT.opens(&user)));
        user.install(&PETIT, &[]).await;
    }

    // Both at once, each with a folder, a lock and a pipe of its own.
    for brand in [&PETIT, &NORDLICHT] {
        user.tray(brand);
    }
    let plain = user.tray_other_than(&PETIT, None).await;
    let branded = user.tray_other_than(&NORDLICHT, None).await;
    assert_ne!(plain, branded);
    assert_eq!(user.client(&NORDLICHT, &["init"]).await.exit, 0);
    let config = fs::read_to_string(user.kept(&NORDLICHT).join("config.toml")).unwrap();
    assert!(config.contains("\nhost = \"tunnel.nordlicht.example\""), "{config}");

    user.remove(&NORDLICHT, &["/PURGE"]).await;
    is_gone(&user, &NORDLICHT).await;
    assert!(!user.kept(&NORDLICHT).exists());
    assert_eq!(user.tray_other_than(&PETIT, None).await, plain, "the other one has not noticed");
    assert!(value(RUN, "Petit").await.is_some() && value(&PETIT.entry(), "DisplayName").await.is_some());
    assert_eq!(leads_to("petit").await, None);
    user.install(&PETIT, &[]).await;
    is_there(&user, &PETIT).await;
    user.remove(&PETIT, &["/PURGE"]).await;
    is_gone(&user, &PETIT).await;
}
