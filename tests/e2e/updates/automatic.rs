//! What the customer allows: a client that installs a version by itself, in its hours, and one that does not.

use std::os::unix::fs::MetadataExt;

use petit_host::update::{Progress, Stage, Time};

use super::*;

impl Home {
    /// A server that rolls the release out, and a client that was told what it may do.
    pub(super) async fn told(release: &Release, updates: &str) -> Self {
        let home = Self::new(release).await;
        home.allow(updates);
        home.give_roots_to_server(release);
        home.put(release).await.ok();
        home.server.run(["rollout", "start", "--rings", "100%"]).await.ok();
        home
    }

    /// Writes into the config file what the client may do. It notices by itself.
    pub(super) fn allow(&self, updates: &str) {
        let text = std::fs::read_to_string(self.client.config()).unwrap();
        let before = text.split("[updates]").next().unwrap_or_default();
        std::fs::write(self.client.config(), format!("{before}[updates]\n{updates}\n")).unwrap();
    }

    /// What is written down of the release, once it is that.
    pub(super) async fn until_stage(&self, stage: &Stage) {
        soon(&format!("{stage:?}"), async {
            let path = self.client.dir().join("updates.progress.json");
            while Progress::read(&path).unwrap().report().is_none_or(|report| report.state != *stage) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// What the server says of its roll-out once that is halted.
    async fn until_halted(&self) -> Value {
        soon("a halt", async {
            loop {
                let status = self.server.run(["rollout", "status", "--json"]).await.ok().json();
                if status["rollout"]["state"] != "running" {
                    return status["rollout"].clone();
                }
            }
        })
        .await
    }

    /// Waits for what the status says of who installs the next version.
    async fn until_by(&self, by: &str) {
        self.client.until(by, |status| status["available"] == NEXT && status["update"]["by"] == by).await;
    }
}

/// From so many minutes after now to so many, by the clock of this computer.
pub(super) fn hours(from: i64, until: i64) -> String {
    let clock = |minutes: i64| {
        let of = format!("{minutes} minutes");
        let said = std::process::Command::new("date").args(["-d", &of, "+%H:%M"]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    };
    format!("hours = \"{}-{}\"", clock(from), clock(until))
}

#[tokio::test]
async fn a_client_that_may_installs_a_version_by_itself_without_a_lost_request() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::told(&release, &format!("mode = \"automatic\"\n{}", hours(-1, 4))).await;
    let mut visitors = Steady::start(
        home.visitor.front(),
        vec![home.host.clone()],
        Duration::from_millis(25),
        Manner::Fresh,
    );
    visitors.more(10).await;
    home.until_by("itself").await;
    home.until_version(NEXT).await;
    home.until_stage(&Stage::Works).await;
    visitors.more(10).await;
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?} {:?}", met.statuses, met.errors, met.failures);
    assert!(home.place().previous().exists(), "the way back is there for a while");
    home.stop().await;
}

#[tokio::test]
async fn outside_its_hours_it_waits_and_with_never_it_is_told_and_a_person_can_do_it_all_the_same() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let when = hours(120, 180);
    let home = Home::told(&release, &format!("mode = \"automatic\"\n{when}")).await;
    let pid = home.pid().await;
    home.until_by("itself").await;
    let ends = when.trim_start_matches("hours = ").trim_matches('"').replace('-', " and ");
    let said = home.client.run(["status"]).await.ok();
    assert!(said.out.contains(&format!("0.1.1 is there; it will be installed between {ends}")), "{said:?}");
    home.until_stage(&Stage::Waiting).await;
    // A change of the file is in force at once.
    home.allow("mode = \"never\"");
    home.until_by("nobody").await;
    let said = home.client.run(["status", "--lang", "de"]).await.ok();
    assert!(said.out.contains("Sie haben Updates auf never gesetzt"), "{said:?}");
    home.allow("mode = \"ask\"");
    home.until_by("hand").await;
    home.is_as_before(pid).await;
    home.allow("mode = \"never\"");
    home.until_by("nobody").await;
    home.fetched().await.ok();
    home.until_version(NEXT).await;
    home.until_stage(&Stage::Works).await;
    home.stop().await;
}

#[tokio::test]
async fn a_version_that_does_not_work_is_put_back_and_said_to_be_so() {
    let mut release = Release::new();
    release.put(NEXT, &script(NEXT, "echo a new fault >&2; exit 1"));
    let home = Home::told(&release, &format!("mode = \"automatic\"\n{}", hours(-1, 4))).await;
    let pid = home.pid().await;
    home.until_by("itself").await;
    home.until_stage(&Stage::PutBack).await;
    home.client.until("none any more", |status| status["available"].is_null()).await;
    home.is_as_before(pid).await;
    assert!(home.history().is_bad(&NEXT.parse().unwrap()));
    // Its server has heard of it, and hands the version out to nobody any more.
    let halted = home.until_halted().await;
    assert_eq!(halted["state"]["halted"]["reason"], "it did not work for 1 of 1 clients", "{halted}");
    assert_eq!(
        (&halted["bad"][0]["version"], &halted["bad"][0]["state"]),
        (&NEXT.into(), &"put_back".into())
    );
    let said = home.fetched().await.ok();
    assert!(said.out.contains("hands out no release for this computer now"), "{said:?}");
    // Its operator goes on all the same, and a person may insist.
    home.server.run(["rollout", "resume"]).await.ok();
    home.until_by("given_up").await;
    let said = home.client.run(["status"]).await.ok();
    assert!(said.out.contains("0.1.1 did not work here, so it is not installed again"), "{said:?}");
    let said = home.fetched().await;
    refused(&said, "did not work, so it is not installed again");
    assert!(said.err.contains("petit-client upgrade --again"), "{said:?}");
    let said = home.client.run(["upgrade", "--again"]).await;
    refused(&said, "version 0.1.1 did not work here, so 0.1.0 is back");
    home.stop().await;
}

#[tokio::test]
async fn what_a_person_has_put_back_is_not_installed_by_itself_again() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::told(&release, &format!("mode = \"automatic\"\n{}", hours(-1, 4))).await;
    home.until_version(NEXT).await;
    home.until_stage(&Stage::Works).await;
    home.client.run(["upgrade", "--back"]).await.ok();
    home.until_version("0.1.0").await;
    home.until_by("hand").await;
    home.until_stage(&Stage::Declined).await;
    assert!(!home.history().is_bad(&NEXT.parse().unwrap()), "nobody has seen it fail");
    // To the operator it is one that waits for a person, and no reason to halt.
    let rollout = soon("its word", async {
        loop {
            let status = home.server.run(["rollout", "status", "--json"]).await.ok().json();
            if status["rollout"]["counts"]["works"] == 0 {
                return status["rollout"].clone();
            }
        }
    })
    .await;
    assert_eq!(
        (&rollout["counts"]["waiting"], &rollout["state"]),
        (&1.into(), &"running".into()),
        "{rollout}"
    );
    home.fetched().await.ok();
    home.until_version(NEXT).await;
    home.stop().await;
}

#[tokio::test]
async fn what_fails_its_test_is_tried_later_and_is_not_fetched_again() {
    let mut release = Release::new();
    release.put(NEXT, b"#!/bin/sh\necho no such library >&2; exit 127\n");
    let home = Home::told(&release, &format!("mode = \"automatic\"\n{}", hours(-1, 4))).await;
    let pid = home.pid().await;
    home.until_stage(&Stage::Failed).await;
    home.until_by("later").await;
    let (progress, now) =
        (Progress::read(&home.client.dir().join("updates.progress.json")).unwrap(), Time::now());
    let next = progress.next_attempt(&NEXT.parse().unwrap(), now);
    assert!(next > now.after(Duration::from_mins(10)), "{progress:?}");
    let logs = home.client.run(["logs", "--lines", "1000"]).await.ok().out;
    assert!(logs.contains("did not pass its test") && logs.contains("no such library"), "{logs}");
    // A person who tries it again has it tested again, and nothing comes over the line.
    let fetched = home.client.dir().join("release").join(release::FILE);
    let known = || fetched.metadata().map(|it| (it.ino(), it.modified().unwrap())).unwrap();
    let before = known();
    refused(&home.fetched().await, "no such library");
    assert_eq!(known(), before, "it is the one that came the first time");
    home.is_as_before(pid).await;
    home.stop().await;
}

#[tokio::test]
async fn a_client_that_is_stopped_while_a_version_is_tested_keeps_its_own() {
    let mut release = Release::new();
    let dir = tempfile::tempdir().unwrap();
    let stop = dir.path().join("stop");
    // Its look at the config file is the moment at which somebody stops the client.
    let program = format!(
        "#!/bin/sh\ncase $1 in\nversion) echo '{{\"software\": \"petit-client {NEXT}\"}}';;\nconfig) sh {};;\nesac\n",
        stop.display()
    );
    release.put(NEXT, program.as_bytes());
    let home = Home::new(&release).await;
    let (own, config) = (home.program.display().to_string(), home.client.config().display().to_string());
    std::fs::write(&stop, format!("{own} stop --config {config} >&2\n")).unwrap();
    home.allow(&format!("mode = \"automatic\"\n{}", hours(-1, 4)));
    home.give_roots_to_server(&release);
    home.put(&release).await.ok();
    home.server.run(["rollout", "start", "--rings", "100%"]).await.ok();
    soon("its stop", async { while home.client.run(["status"]).await.exit == 0 {} }).await;
    // Whoever was at it has ended by then.
    drop(home.place().lock(Duration::from_secs(60)).await.unwrap());
    assert!(std::fs::read(&home.program).unwrap() == home.bytes, "the program was changed");
    assert!(!home.place().staged().exists() && home.place().trial().unwrap().is_none());
    let progress = Progress::read(&home.client.dir().join("updates.progress.json")).unwrap();
    assert_eq!(progress.report().map(|report| &report.state), Some(&Stage::Waiting), "it is not its fault");
    home.client.run(["start"]).await.ok();
    home.client.until_green().await;
    home.stop().await;
}

#[tokio::test]
async fn a_client_whose_program_another_one_has_updated_only_begins_anew() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::told(&release, "mode = \"ask\"").await;
    home.until_by("hand").await;
    // As when the trial of another client of this program is over already.
    let place = home.place();
    std::fs::write(place.staged(), of_version(NEXT)).unwrap();
    std::fs::set_permissions(place.staged(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(place.staged(), &home.program).unwrap();
    home.allow(&format!("mode = \"automatic\"\n{}", hours(-1, 4)));
    home.until_version(NEXT).await;
    home.until_stage(&Stage::Works).await;
    assert!(place.trial().unwrap().is_none());
    home.stop().await;
}
