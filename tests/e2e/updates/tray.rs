//! What the tray app makes of a release. It runs the client in its own process, and is no program that `upgrade` could change.

use std::sync::Arc;

use petit_app::link::{Link, Links, Opened, RealLinks};
use petit_app::texts::Texts;
use petit_client::folder::Folder;
use petit_client::status::{Status, UpdateFault, UpdatePlan};
use petit_client::updates::{Means, Updates};
use petit_host::brand::Brand;
use petit_host::update::{Stage, Target, Version};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::automatic::hours;
use super::*;

/// Waits until the client of the tray app says that of itself.
async fn until(link: &dyn Link, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    let mut statuses = link.statuses();
    let waited = statuses.wait_for(|status| status.as_ref().is_some_and(&is_so));
    soon(what, waited).await.unwrap().clone().unwrap()
}

/// The tray app's client in this process, in the place of the one of a home, whose program was put there by `means`.
async fn tray_of(home: &Home, means: Means) -> (Arc<dyn Link>, PathBuf) {
    home.stop().await;
    // With the root keys beside it, in a folder that this user might well write to.
    let program = home.program.with_file_name("petit-desktop");
    std::fs::copy(&home.program, &program).unwrap();
    let (asked, _asks) = mpsc::channel(4);
    let links = RealLinks::new(Folder::of(&home.client.config()), None, None, asked);
    let links = links.of_program(&program, means);
    let Opened::Link(link) = links.open(Texts::of("en")).await else { panic!("there is a client") };
    link.switch(true).await.unwrap();
    link.unlock().await.unwrap();
    (link, program)
}

/// Ends the tray app's client, and then what is left of its home. That asks whoever answers on the home's socket to stop, so
/// this process has to go on meanwhile, until nobody does.
async fn end(link: Arc<dyn Link>, home: Home) {
    link.end().await;
    tokio::task::spawn_blocking(move || drop(home)).await.unwrap();
}

/// An installer that writes down how it was called, and then ends as a file says that the test writes.
struct Setup {
    dir: tempfile::TempDir,
    exit: pipe::Sender,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let exit = dir.path().join("exit");
        rustix::fs::mkfifoat(CWD, &exit, Mode::RUSR | Mode::WUSR).unwrap();
        // Open for both, so that nobody waits for an installer that is never run.
        let exit = pipe::OpenOptions::new().read_write(true).open_sender(exit).unwrap();
        Self { dir, exit }
    }

    fn script(&self) -> String {
        let dir = self.dir.path().display();
        format!("#!/bin/sh\necho \"$@\" >>{dir}/called\nread exit <{dir}/exit\nexit $exit\n")
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("called")).unwrap_or_default()
    }

    async fn ends_with(&mut self, exit: u8) {
        self.exit.write_all(format!("{exit}\n").as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn the_tray_app_hears_of_a_version_and_leaves_it_to_whoever_has_installed_this_one() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::told(&release, "mode = \"automatic\"").await;
    let (link, program) = tray_of(&home, Means::Told).await;
    let said = until(&*link, "the next version", |status| status.available.is_some()).await;
    assert_eq!((said.available, said.update), (NEXT.parse().ok(), Some(UpdatePlan::Other)));
    // Its server knows that it was told.
    home.until_stage(&Stage::Waiting).await;
    assert_eq!(std::fs::read(&program).unwrap(), home.bytes, "nothing was installed");
    home.server.run(["rollout", "rollback"]).await.ok();
    until(&*link, "none any more", |status| status.available.is_none()).await;
    end(link, home).await;
}

#[tokio::test]
async fn the_installer_of_a_version_is_run_when_a_person_wants_it_and_what_comes_of_it_is_shown() {
    let mut setup = Setup::new();
    let mut release = Release::new();
    release.put_installer(&here(), NEXT, setup.script().as_bytes());
    let home = Home::told(&release, "mode = \"never\"").await;
    let (link, program) = tray_of(&home, Means::Installer).await;
    let trial = program.with_file_name(".petit-desktop.trial");
    let plan = |plan: UpdatePlan| move |status: &Status| status.update == Some(plan.clone());
    until(&*link, "never", plan(UpdatePlan::Nobody)).await;
    link.install_update().unwrap();
    home.allow("mode = \"ask\"");
    until(&*link, "the window", plan(UpdatePlan::Window)).await;
    assert_eq!(setup.calls(), "", "what was wanted against the config is not done later");

    link.install_update().unwrap();
    until(&*link, "the installer", plan(UpdatePlan::Now { fetched: None })).await;
    // Said before the installer ends this process: a version that cannot says nothing.
    home.until_stage(&Stage::OnTrial).await;
    assert!(trial.exists());
    setup.ends_with(3).await;
    until(&*link, "its failure", plan(UpdatePlan::Failed { why: UpdateFault::Installer })).await;
    assert_eq!(setup.calls(), "/S /TRIAL\n");
    home.until_stage(&Stage::Failed).await;
    assert!(!trial.exists(), "nothing is on trial");

    link.install_update().unwrap();
    until(&*link, "the installer", plan(UpdatePlan::Now { fetched: None })).await;
    setup.ends_with(0).await;
    // It would have ended this process.
    until(&*link, "its end", plan(UpdatePlan::Failed { why: UpdateFault::Installer })).await;
    assert_eq!(setup.calls(), "/S /TRIAL\n/S /TRIAL\n");

    // What was tried in vain is not tried again at once, and why is not forgotten.
    home.allow("mode = \"never\"");
    until(&*link, "never", plan(UpdatePlan::Nobody)).await;
    home.allow(&format!("mode = \"automatic\"\n{}", hours(-1, 4)));
    until(&*link, "its failure", plan(UpdatePlan::Failed { why: UpdateFault::Installer })).await;
    end(link, home).await;
}

#[tokio::test]
async fn the_installer_of_a_version_is_run_by_itself_where_that_is_allowed() {
    let mut setup = Setup::new();
    let mut release = Release::new();
    release.put_installer(&here(), NEXT, setup.script().as_bytes());
    let home = Home::told(&release, &format!("mode = \"automatic\"\n{}", hours(-1, 4))).await;
    let (link, _) = tray_of(&home, Means::Installer).await;
    until(&*link, "by itself", |status| status.update == Some(UpdatePlan::Now { fetched: None })).await;
    setup.ends_with(3).await;
    let failed = UpdatePlan::Failed { why: UpdateFault::Installer };
    until(&*link, "its failure", |status| status.update == Some(failed.clone())).await;
    end(link, home).await;
}

#[tokio::test]
async fn a_version_in_which_not_all_works_that_did_has_the_one_before_put_back() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let mut home = Home::told(&release, "mode = \"never\"").await;
    home.service.take().unwrap().stop().await;
    let program = home.program.with_file_name("petit-desktop");
    let called = home.program.with_file_name("called");
    let before = home.program.with_file_name("before.exe");
    std::fs::write(&before, format!("#!/bin/sh\necho \"$@\" >>{}\n", called.display())).unwrap();
    std::fs::set_permissions(&before, PermissionsExt::from_mode(0o700)).unwrap();
    // As the version before writes it down, with less patience.
    let trial = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"), "before": "0.0.1", "config": home.client.config(),
        "worked": ["web"], "within_seconds": 1, "kept_seconds": 300, "step": "trying",
    });
    std::fs::write(program.with_file_name(".petit-desktop.trial"), trial.to_string()).unwrap();
    let (link, _) = tray_of(&home, Means::Installer).await;
    soon("the installer of the version before", async {
        while !std::fs::read_to_string(&called).is_ok_and(|said| said == "/S /BACK\n") {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    end(link, home).await;
}

#[tokio::test]
async fn a_version_that_comes_over_one_which_cannot_go_back_keeps_the_way_back_of_that_one() {
    let mut setup = Setup::new();
    let mut release = Release::new();
    release.put_installer(&here(), NEXT, setup.script().as_bytes());
    let home = Home::told(&release, "mode = \"ask\"").await;
    let beside = |name: &str| home.program.with_file_name(name);
    // It does not come to anything, again and again.
    std::fs::write(beside("before.exe"), "#!/bin/sh\nexit 3\n").unwrap();
    std::fs::set_permissions(beside("before.exe"), PermissionsExt::from_mode(0o700)).unwrap();
    let own = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"), "before": "0.0.1", "config": home.client.config(),
        "worked": ["web"], "within_seconds": 120, "kept_seconds": 300, "step": "going_back",
        "verdict": "does_not_work",
    });
    let trial = beside(".petit-desktop.trial");
    std::fs::write(&trial, own.to_string()).unwrap();
    let on_trial = || -> [Value; 3] {
        let trial: Value = serde_json::from_slice(&std::fs::read(&trial).unwrap()).unwrap();
        ["version", "before", "step"].map(|key| trial[key].clone())
    };
    let (link, _) = tray_of(&home, Means::Installer).await;
    until(&*link, "the window", |status| status.update == Some(UpdatePlan::Window)).await;

    link.install_update().unwrap();
    until(&*link, "the installer", |status| status.update == Some(UpdatePlan::Now { fetched: None })).await;
    home.until_stage(&Stage::OnTrial).await;
    assert_eq!(on_trial(), [NEXT, "0.0.1", "trying"]);
    setup.ends_with(3).await;
    let failed = UpdatePlan::Failed { why: UpdateFault::Installer };
    until(&*link, "its failure", |status| status.update == Some(failed.clone())).await;
    assert_eq!(setup.calls(), "/S /TRIAL /KEEP\n");
    assert_eq!(on_trial(), [env!("CARGO_PKG_VERSION"), "0.0.1", "going_back"]);
    end(link, home).await;
}

#[tokio::test]
async fn an_installer_that_is_not_what_was_signed_is_not_run() {
    let setup = Setup::new();
    let mut release = Release::new();
    release.put_installer(&here(), NEXT, setup.script().as_bytes());
    let home = Home::told(&release, "mode = \"ask\"").await;
    // Its server hands out something else, of the same length.
    let forged = setup.script().replace("called", "forged");
    let mut changed = 0;
    for file in files_of(home.server.dir()) {
        if std::fs::read(&file).is_ok_and(|bytes| bytes == setup.script().as_bytes()) {
            std::fs::write(&file, &forged).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1, "the copy that it hands out");
    let (link, _) = tray_of(&home, Means::Installer).await;
    until(&*link, "the window", |status| status.update == Some(UpdatePlan::Window)).await;
    link.install_update().unwrap();
    let refused = UpdatePlan::Failed { why: UpdateFault::NotSigned };
    until(&*link, "the refusal", |status| status.update == Some(refused.clone())).await;
    assert!(!setup.dir.path().join("forged").exists() && setup.calls().is_empty());
    end(link, home).await;
}

#[tokio::test]
async fn what_did_not_work_here_is_held_against_a_version_until_it_does() {
    let mut setup = Setup::new();
    let mut release = Release::new();
    release.put_installer(&here(), NEXT, setup.script().as_bytes());
    let home = Home::told(&release, "mode = \"ask\"").await;
    let updates = Updates::of(&Folder::of(&home.client.config()), &home.program);
    let next: Version = NEXT.parse().unwrap();
    updates.change(|history| history.remember_bad(next.clone())).await.unwrap();
    let is_bad = || updates.history().unwrap().is_bad(&next);
    let signed = setup.script();
    let handed_out = files_of(home.server.dir())
        .into_iter()
        .find(|file| std::fs::read(file).is_ok_and(|bytes| bytes == signed.as_bytes()))
        .unwrap();
    std::fs::write(&handed_out, signed.replace("called", "forged")).unwrap();
    let (link, _) = tray_of(&home, Means::Installer).await;
    until(&*link, "the memory of it", |status| status.update == Some(UpdatePlan::GivenUp)).await;

    // A person tries again, and it cannot be had.
    link.install_update().unwrap();
    let failed = |why| move |status: &Status| status.update == Some(UpdatePlan::Failed { why });
    until(&*link, "the refusal", failed(UpdateFault::NotSigned)).await;
    assert!(is_bad());
    // It can, and its installer gives up.
    std::fs::write(&handed_out, &signed).unwrap();
    link.install_update().unwrap();
    until(&*link, "the installer", |status| status.update == Some(UpdatePlan::Now { fetched: None })).await;
    setup.ends_with(3).await;
    until(&*link, "its failure", failed(UpdateFault::Installer)).await;
    assert!(is_bad());
    end(link, home).await;
}

/// What a release calls the installer for this computer.
fn here() -> Target {
    Target::of("petit-setup", &Brand::petit())
}

/// All files below a folder.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_of(&path) } else { vec![path] }).collect()
}
