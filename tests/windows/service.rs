//! Client and server as services: installed, started, asked, stopped and removed by the service control manager.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use serde_json::Value;

use crate::installer::{Ended, LOOK_AGAIN, User, Wanted, value, wine, wine_for};

const SERVICES: &str = r"HKLM\SYSTEM\CurrentControlSet\Services";

/// A program that may become a service of the tests' Windows.
struct Installable {
    /// `client` or `server`.
    name: &'static str,
    drive: PathBuf,
    /// What is downloaded.
    program: PathBuf,
    _user: User,
}

impl Installable {
    /// On a computer that has never had it.
    async fn new(name: &'static str) -> Self {
        let user = User::new().await;
        let drive = PathBuf::from(std::env::var_os("WINEPREFIX").unwrap()).join("drive_c");
        let file = format!("petit-{name}.exe");
        let built = PathBuf::from(std::env::var_os("PETIT_WINDOWS_PROGRAMS").unwrap()).join(&file);
        // Where only an administrator writes, whatever this system's umask is.
        let folder = drive.join("downloaded");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let program = folder.join(file);
        fs::copy(built, &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let this = Self { name, drive, program, _user: user };
        let _ = fs::remove_file(this.installed());
        this
    }

    fn unit(&self) -> String {
        format!("petit-{}", self.name)
    }

    fn data(&self) -> PathBuf {
        self.drive.join("ProgramData/Petit")
    }

    fn installed(&self) -> PathBuf {
        self.drive.join("Program Files/Petit").join(self.program.file_name().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data().join(self.name).join(format!("logs/{}.log", self.name))).unwrap()
    }

    /// As an administrator, without saying where the config is.
    async fn run(&self, arguments: &[&str]) -> Ended {
        wine(&self.program, arguments).await
    }

    async fn ok(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments).await;
        assert_eq!(ended.exit, 0, "{arguments:?}: {ended:?}");
        ended.said
    }

    /// What the service control manager says of it; `None` where it knows none of the name.
    async fn state(&self) -> Option<String> {
        let ended = wine(Path::new("sc"), ["query", &self.unit()]).await;
        (ended.exit == 0).then_some(ended.said)
    }

    async fn is(&self, state: &str) -> bool {
        self.state().await.is_some_and(|said| said.contains(state))
    }

    async fn until(&self, state: &str) {
        soon(state, async {
            while !self.is(state).await {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    async fn registered(&self, name: &str) -> Option<String> {
        value(&format!(r"{SERVICES}\{}", self.unit()), name).await
    }

    /// Waits until the running one says so of itself.
    async fn until_status(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        soon(what, async {
            loop {
                let said = self.run(&["status", "--json"]).await.said;
                match serde_json::from_str(&said) {
                    Ok(status) if is_so(&status) => return status,
                    _ => tokio::time::sleep(LOOK_AGAIN).await,
                }
            }
        })
        .await
    }

    /// It starts at boot with an account of its own, and its sentences in the event log are found.
    async fn is_registered(&self) {
        let account = self.registered("ObjectName").await;
        assert_eq!(account, Some(format!(r"NT SERVICE\{}", self.unit())));
        assert_eq!(self.registered("Start").await.as_deref(), Some("0x2"), "at boot");
        let command = self.registered("ImagePath").await.unwrap();
        let config = format!(r"C:\ProgramData\Petit\{}.toml", self.name);
        let program = format!(r#""C:\Program Files\Petit\{}.exe""#, self.unit());
        assert_eq!(command, format!("{program} run --service --config {config}"));
        let source = format!(r"{SERVICES}\EventLog\Application\{}", self.unit());
        let file = value(&source, "EventMessageFile").await.unwrap();
        assert_eq!(file, program.replace('"', ""));
    }

    /// Removed, it leaves what nobody has asked to lose.
    async fn is_gone(&self) {
        assert_eq!(self.state().await, None);
        assert!(!self.installed().exists());
        let config = self.data().join(format!("{}.toml", self.name));
        assert!(config.exists() && self.data().join(self.name).exists());
        assert_eq!(
            value(&format!(r"{SERVICES}\EventLog\Application\{}", self.unit()), "TypesSupported").await,
            None
        );
    }
}

#[tokio::test]
async fn a_client_is_a_service_of_windows_from_its_installation_to_its_removal() {
    let (web, server) = (Service::http("web").await, Program::server().await);
    let _server = server.up().await;
    let client = Installable::new("client").await;

    // What others can change does not become a service.
    let folder = client.program.parent().unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
    let refused = client.run(&["install", "--json"]).await;
    assert!(refused.exit == 1 && refused.said.contains("can be changed by others"), "{refused:?}");
    assert!(!client.installed().exists() && client.state().await.is_none());
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();

    client.ok(&["install"]).await;
    client.is_registered().await;
    assert!(client.is("RUNNING").await);
    let status = client.until_status("who runs it", |status| !status["run_by"].is_null()).await;
    assert_eq!(
        (&status["run_by"]["manager"], &status["run_by"]["unit"]),
        (&"Windows".into(), &"petit-client".into())
    );

    // It is the running one that registers, and its key is where the service reads it.
    let invite = client.drive.join("invite.txt");
    fs::write(&invite, server.invite([""; 0]).await).unwrap();
    client.ok(&["register", "--invite-file", r"C:\invite.txt"]).await;
    client.ok(&["service", "add", "web", &web.address().to_string()]).await;
    let is_green = |status: &Value| status["services"][0]["light"] == "green";
    let status = client.until_status("a green light", is_green).await;
    let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
    assert_eq!(server.visitor().await.get(&host, "/").await.text(), "web");
    let said = client.ok(&["status"]).await;
    assert!(said.contains("run by Windows as petit-client, with the rights of "), "{said}");

    // Stopped by the system's own command it ends in order, and it starts again.
    wine_for(Wanted::Exit, Path::new("sc"), ["stop", "petit-client"]).await;
    client.until("STOPPED").await;
    assert!(client.log().trim_end().ends_with("stopped"), "{}", client.log());
    assert_eq!(client.run(&["status"]).await.exit, 3);
    client.ok(&["start"]).await;
    client.until("RUNNING").await;
    client.until_status("a green light", is_green).await;
    let refused = client.run(&["run", "--json"]).await;
    assert!(refused.said.contains("administrator"), "{refused:?}");
    client.ok(&["restart"]).await;
    client.until_status("a green light", is_green).await;
    client.ok(&["stop"]).await;
    client.until("STOPPED").await;
    client.ok(&["start"]).await;

    client.until_status("a green light", is_green).await;
    over_one_that_runs(&client).await;
    client.until_status("a green light", is_green).await;
    client.ok(&["uninstall", "--yes"]).await;
    client.is_gone().await;
    let again = client.run(&["uninstall", "--yes", "--json"]).await;
    assert!(again.exit == 1 && again.said.contains("is not there"), "{again:?}");
}

/// What runs is not ended for what would not start, and comes back from what does not.
async fn over_one_that_runs(client: &Installable) {
    let (config, installed) = (client.data().join("client.toml"), client.installed());
    let text = fs::read(&config).unwrap();
    fs::write(&config, [&text, b"\nprot = 1\n".as_slice()].concat()).unwrap();
    for verb in ["restart", "install"] {
        let refused = client.run(&[verb, "--json"]).await;
        assert!(refused.exit == 1 && refused.said.contains("prot"), "{verb}: {refused:?}");
        assert!(client.is("RUNNING").await, "{verb}");
    }
    fs::write(&config, text).unwrap();

    // The version from before, which can be told from the new one.
    let (new, aside) = (fs::read(&client.program).unwrap(), installed.with_extension("old"));
    let before = [&new, b"before".as_slice()].concat();
    let beside = installed.with_extension("beside");
    fs::write(&beside, &before).unwrap();
    fs::rename(&beside, &installed).unwrap();
    let lock = client.data().join("client/client.lock");
    client.ok(&["stop"]).await;
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let failed = client.run(&["install", "--json"]).await;
    assert!(failed.exit == 1 && !failed.said.contains("and runs"), "{failed:?}");
    assert!(fs::read(&installed).unwrap() == before && !aside.exists());
    fs::remove_dir(&lock).unwrap();

    client.ok(&["start"]).await;
    let said = client.ok(&["install"]).await;
    assert!(said.contains("stopped and started"), "{said}");
    assert!(fs::read(&installed).unwrap() == new && !aside.exists());
}

#[tokio::test]
async fn a_server_is_a_service_of_windows_once_it_is_set_up() {
    let server = Installable::new("server").await;
    server.ok(&["install"]).await;
    server.is_registered().await;
    assert!(server.is("STOPPED").await, "it is not set up");
    let refused = server.run(&["start", "--json"]).await;
    assert!(refused.exit == 1 && refused.said.contains("is not set up"), "{refused:?}");

    server.ok(&["init", "--open"]).await;
    let folder = server.data().join("server");
    assert!(folder.join("server.key").exists() && folder.join("registry.db").exists());
    // Ports that the system chooses.
    let config = server.data().join("server.toml");
    let text = fs::read_to_string(&config).unwrap();
    let ports = "[server]\nproxy_port = 0\nsecure_proxy_port = 0\n";
    fs::write(&config, text.replacen("[server]\n", ports, 1)).unwrap();
    server.ok(&["start"]).await;
    let status = server.until_status("who runs it", |status| !status["run_by"].is_null()).await;
    assert_eq!(status["run_by"]["unit"], "petit-server");
    let said = server.ok(&["status"]).await;
    assert!(said.contains("run by     Windows as petit-server") && !said.contains("journal"), "{said}");
    // A request over the pipe changes the registry.
    let invite = server.ok(&["invite", "--json"]).await;
    assert!(invite.contains("petit:"), "{invite}");

    server.ok(&["stop"]).await;
    server.until("STOPPED").await;
    assert!(server.log().trim_end().ends_with("stopped"), "{}", server.log());
    // One that cannot start says so.
    fs::write(&config, "[server]\nproxy_prot = 1\n").unwrap();
    let failed = server.run(&["start", "--json"]).await;
    assert!(failed.exit == 1 && failed.said.contains("has ended with 1"), "{failed:?}");
    server.ok(&["uninstall", "--yes"]).await;
    server.is_gone().await;
}
