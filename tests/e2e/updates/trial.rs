//! A version on trial: with everything that worked before it stays, else the version before it comes back by itself. And
//! whoever is killed, at whatever step, leaves a program that goes on from there.

use petit_host::lock::Lock;
use petit_host::update::{Kept, MAX_CRASHES, MAX_EXCUSES, Test, Trial};

use super::*;
use crate::crash::disk::SmallDisk;
use crate::restart::{gone, signal};

impl Home {
    /// Puts a version into its place as `upgrade` does, and no client runs: as when the computer has failed then.
    async fn switched(&self, release: &Release, within: Duration) {
        self.stop().await;
        std::fs::copy(release.artifact(), self.place().staged()).unwrap();
        std::fs::set_permissions(self.place().staged(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let [new, old] = [NEXT, "0.1.0"].map(|version| version.parse().unwrap());
        let config = self.client.config().canonicalize().unwrap();
        let test = Test { config, worked: vec!["web".to_owned()], within, kept: Duration::ZERO };
        self.place().write_trial(&Trial::new(new, old, test)).unwrap();
        self.place().switch(Kept::Previous).unwrap();
    }

    /// The version before is back, and will stay.
    async fn is_back(&self) {
        self.until_version("0.1.0").await;
        soon("the end of the trial", async {
            while self.place().trial().unwrap().is_some() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
        assert!(self.history().is_bad(&NEXT.parse().unwrap()));
        assert!(std::fs::read(&self.program).unwrap() == self.bytes, "the program is the old one");
        soon("a tidy folder", async {
            while self.place().previous().exists() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }
}

async fn with_next_version() -> (Release, Home) {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    (release, home)
}

#[tokio::test]
async fn what_worked_before_and_does_not_any_more_brings_the_old_version_back() {
    let (release, mut home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(2)).await;
    let address = home.service.take().unwrap().stop().await;
    home.client.run(["start"]).await.ok();
    home.is_back().await;
    // It would have found nothing else.
    let _service = Service::http_on("s", address).await;
    home.client.until_green().await;
    refused(&home.upgrade(&release.folder()).await, "was installed here before and did not work");
    home.stop().await;
}

#[tokio::test]
async fn a_version_whose_updater_was_killed_shows_by_itself_that_it_works() {
    let (release, home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(600)).await;
    assert!(home.place().previous().exists());
    home.client.run(["start"]).await.ok();
    home.until_version(NEXT).await;
    soon("the end of the trial", async {
        while home.place().trial().unwrap().is_some() || home.place().previous().exists() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    assert!(!home.history().is_bad(&NEXT.parse().unwrap()));
    home.stop().await;
}

#[tokio::test]
async fn three_crashes_bring_the_old_version_back() {
    let (release, mut home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(600)).await;
    home.service.take().unwrap().stop().await;
    // An orderly end is none.
    home.client.run(["start"]).await.ok();
    home.stop().await;
    for _ in 0..3 {
        home.client.run(["start"]).await.ok();
        let pid = home.until_version(NEXT).await["pid"].as_u64().unwrap().try_into().unwrap();
        signal(pid, Signal::KILL);
        soon("its end", gone(pid)).await;
    }
    home.client.run(["start"]).await.ok();
    home.is_back().await;
    home.stop().await;
}

/// Whatever it is that a version cannot do before it serves, and says nothing useful about.
#[tokio::test]
async fn a_version_that_fails_before_it_serves_is_put_back_as_well() {
    let (release, home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(600)).await;
    let registration = home.client.dir().join("registration.json");
    let kept = std::fs::read(&registration).unwrap();
    std::fs::write(&registration, "of a form that the new version cannot read").unwrap();
    for _ in 0..4 {
        let said = home.client.run(["start"]).await;
        assert!(said.exit != 0, "{said:?}");
    }
    assert!(std::fs::read(&home.program).unwrap() == home.bytes, "the program is the old one");
    std::fs::write(&registration, kept).unwrap();
    home.client.run(["start"]).await.ok();
    home.is_back().await;
    home.stop().await;
}

#[tokio::test]
async fn restarts_while_a_version_is_on_trial_are_no_crashes() {
    let (release, mut home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(600)).await;
    home.service.take().unwrap().stop().await;
    home.client.run(["start"]).await.ok();
    home.until_version(NEXT).await;
    for _ in 0..5 {
        home.client.run(["restart"]).await.ok();
    }
    home.until_version(NEXT).await;
    assert!(home.place().trial().unwrap().is_some() && home.place().previous().exists());
    // And what cannot wait for the end of the trial goes back by hand.
    let said = home.client.run(["upgrade", "--back"]).await.ok();
    assert!(said.out.contains("0.1.0 is back and runs"), "{said:?}");
    home.until_version("0.1.0").await;
    assert!(std::fs::read(&home.program).unwrap() == home.bytes, "the program is the old one");
    assert!(!home.history().is_bad(&NEXT.parse().unwrap()), "nobody has seen it fail");
    refused(&home.client.run(["upgrade", "--back"]).await, "no version is on trial here");
    home.stop().await;
    refused(&home.client.run(["upgrade", "--back"]).await, "no version is on trial here");
}

#[tokio::test]
async fn the_release_that_mends_a_version_on_trial_takes_its_place() {
    let (mut release, mut home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(600)).await;
    let address = home.service.take().unwrap().stop().await;
    home.client.run(["start"]).await.ok();
    home.until_version(NEXT).await;
    // One that does not get ready leaves everything as it was, the trial as well.
    let trial = home.place().trial().unwrap();
    release.put(AFTER, &script(AFTER, "echo a new fault >&2; exit 1"));
    refused(&home.upgrade(&release.folder()).await, "version 0.1.2 did not work here, so 0.1.1 is back");
    home.until_version(NEXT).await;
    assert_eq!(home.place().trial().unwrap().map(|trial| trial.version), trial.map(|trial| trial.version));
    assert!(std::fs::read(home.place().previous()).unwrap() == home.bytes);
    assert!(!home.place().replaced().exists() && !home.place().staged().exists());
    let _service = Service::http_on("s", address).await;
    release.put("0.1.3", &of_version("0.1.3"));
    let said = home.upgrade(&release.folder()).await.ok();
    assert!(said.out.contains("Version 0.1.3 has taken the place of 0.1.1"), "{said:?}");
    home.until_version("0.1.3").await;
    assert!(!home.place().previous().exists() && !home.place().replaced().exists());
    home.stop().await;
}

/// It says so in words each time, which is no crash; and a supervisor would start it for ever.
#[tokio::test]
async fn a_version_that_always_has_an_excuse_goes_back_and_nothing_is_held_against_it() {
    let (release, home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(600)).await;
    let registration = home.client.dir().join("registration.json");
    let kept = registration.with_extension("kept");
    std::fs::rename(&registration, &kept).unwrap();
    for _ in 0..MAX_EXCUSES {
        let said = home.client.run(["run"]).await;
        assert_eq!(said.exit, 4, "{said:?}");
        assert!(std::fs::read(&home.program).unwrap() != home.bytes, "it may be the computer's fault");
    }
    // The one before says the same.
    assert_eq!(home.client.run(["run"]).await.exit, 4);
    assert!(std::fs::read(&home.program).unwrap() == home.bytes, "the program is the old one");
    std::fs::rename(kept, &registration).unwrap();
    home.client.run(["start"]).await.ok();
    home.until_version("0.1.0").await;
    assert!(!home.history().is_bad(&NEXT.parse().unwrap()), "nobody has seen it fail");
    home.stop().await;
}

/// All lights were green once, which is one glance.
#[tokio::test]
async fn a_version_that_crashes_again_and_again_after_it_has_worked_is_put_back() {
    let (release, home) = with_next_version().await;
    let pid = home.pid().await;
    let folder = release.folder();
    let said = home.client.run(["upgrade".as_ref(), "--from".as_ref(), folder.as_os_str()]).await.ok();
    assert!(said.out.contains("everything works that worked before"), "{said:?}");
    soon("the end of the old process", gone(pid)).await;
    assert!(std::fs::read(home.place().previous()).unwrap() == home.bytes, "it is kept for a while");
    for _ in 0..MAX_CRASHES {
        let pid = home.until_version(NEXT).await["pid"].as_u64().unwrap().try_into().unwrap();
        signal(pid, Signal::KILL);
        soon("its end", gone(pid)).await;
        home.client.run(["start"]).await.ok();
    }
    home.is_back().await;
    home.stop().await;
}

/// What keeps the new process from getting ready would have kept the old one from it, too.
#[tokio::test]
async fn what_is_wrong_here_at_the_hand_over_is_not_held_against_the_new_version() {
    let (release, home) = with_next_version().await;
    let pid = home.pid().await;
    let log = home.client.dir().join("logs").join("client.log");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    refused(&home.upgrade(&release.folder()).await, "version 0.1.1 could not be tried, so 0.1.0 is back");
    home.is_as_before(pid).await;
    assert!(!home.history().is_bad(&NEXT.parse().unwrap()));
    std::fs::remove_dir(&log).unwrap();
    home.upgrade(&release.folder()).await.ok();
    home.until_version(NEXT).await;
    home.stop().await;
}

/// The client that runs the version on trial must not forget about it while somebody tries another one.
#[tokio::test]
async fn a_version_on_trial_is_judged_though_another_one_was_tried_in_vain_meanwhile() {
    let (mut release, mut home) = with_next_version().await;
    // Its time is over while the other one is tried, and well before that comes to nothing.
    home.switched(&release, Duration::from_secs(15)).await;
    home.service.take().unwrap().stop().await;
    home.client.run(["start"]).await.ok();
    home.until_version(NEXT).await;
    release.put(AFTER, &script(AFTER, "sleep 26; exit 1"));
    refused(&home.upgrade(&release.folder()).await, "version 0.1.2 did not work here, so 0.1.1 is back");
    home.is_back().await;
    home.stop().await;
}

/// The way back needs no room, and nobody's leave.
#[tokio::test]
async fn a_version_that_does_not_take_the_place_of_one_on_trial_goes_whatever_can_be_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let begun = dir.path().join("begun");
    rustix::fs::mkfifoat(CWD, &begun, Mode::RUSR | Mode::WUSR).unwrap();
    let (mut release, mut home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(600)).await;
    home.service.take().unwrap().stop().await;
    let on_trial = std::fs::read(&home.program).unwrap();
    home.client.run(["start"]).await.ok();
    home.until_version(NEXT).await;
    release.put(AFTER, &script(AFTER, &format!("echo > {}; sleep 2; exit 1", begun.display())));
    let begun = pipe::OpenOptions::new().read_write(true).open_receiver(&begun).unwrap();
    let folder = release.folder();
    let upgrading = home.upgrade(&folder);
    let (said, _held) = tokio::join!(upgrading, async {
        soon("its begin", BufReader::new(begun).lines().next_line()).await.unwrap();
        Lock::take(&home.client.dir().join("updates.lock")).unwrap()
    });
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(std::fs::read(&home.program).unwrap() == on_trial, "{said:?}");
    assert!(!home.place().replaced().exists() && !home.place().staged().exists());
    home.stop().await;
}

/// Two configs, one program: what one client does about the program is not undone by what the other one tries.
#[tokio::test]
async fn another_client_of_the_same_program_leaves_a_trial_alone() {
    let (mut release, home) = with_next_version().await;
    home.switched(&release, Duration::from_secs(600)).await;
    let trial = home.place().trial().unwrap();
    let other = home.client.dir().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o700)).unwrap();
    let config = other.join("config.toml");
    std::fs::copy(home.client.config(), &config).unwrap();
    release.put(AFTER, &script(AFTER, "exit 0"));
    let folder = release.folder();
    let words = ["upgrade", "-c", config.to_str().unwrap(), "--from", folder.to_str().unwrap()];
    refused(&home.client.run(words).await, "0.1.1 is on trial here for the client of");
    assert_eq!(home.place().trial().unwrap(), trial);
    assert!(std::fs::read(home.place().previous()).unwrap() == home.bytes);
    assert!(!home.place().staged().exists());
}

#[tokio::test]
async fn an_updater_that_is_killed_before_the_switch_leaves_everything_as_it_was() {
    let mut release = Release::new();
    // Its test takes as long as somebody holds a pipe open.
    let dir = tempfile::tempdir().unwrap();
    let [begun, never] = ["begun", "never"].map(|name| {
        let path = dir.path().join(name);
        rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        path
    });
    let blocks = format!("#!/bin/sh\necho $$ > {}; exec cat {}\n", begun.display(), never.display());
    release.put(NEXT, blocks.as_bytes());
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    let both = |path: &Path| pipe::OpenOptions::new().read_write(true).open_receiver(path).unwrap();
    let (begun, _never) = (both(&begun), both(&never));
    let folder = release.folder();
    let mut updater = home.client.start(["upgrade".as_ref(), "--from".as_ref(), folder.as_os_str()]);
    let tested = soon("the test", BufReader::new(begun).lines().next_line()).await.unwrap().unwrap();
    updater.kill().await.unwrap();
    signal(tested.parse().unwrap(), Signal::KILL);
    assert!(home.place().staged().exists() && home.place().trial().unwrap().is_none());
    assert!(std::fs::read(&home.program).unwrap() == home.bytes && home.pid().await == pid);
    release.put(AFTER, &of_version(AFTER));
    home.upgrade(&folder).await.ok();
    home.until_version(AFTER).await;
    assert!(!home.place().staged().exists());
    home.stop().await;
}

#[tokio::test]
async fn a_disk_that_is_full_is_told_and_nothing_is_left_on_it() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let mut disk = None;
    let home = Home::with(&release, |folder| disk = Some(SmallDisk::of_size(folder, "size=256m"))).await;
    let (pid, disk) = (home.pid().await, disk.unwrap());
    disk.fill();
    refused(&home.upgrade(&release.folder()).await, "No space left on device");
    home.is_as_before(pid).await;
    disk.empty();
    home.upgrade(&release.folder()).await.ok();
    home.until_version(NEXT).await;
    home.stop().await;
}
