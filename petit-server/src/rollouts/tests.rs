//! Roll-outs over a real registry and a folder of releases: read, read anew, judged, and what clients get meanwhile.

use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use petit_engine::proto::control::{BUNDLE_FILE, Fetch, FetchedBy, Text, UpdateReport, UpdateState};
use petit_engine::secret::{InviteId, InviteSecret, PrivateKey, random_bytes};
use petit_host::update::{Artifact, Bundle, Channel, Manifest, ReleaseKey, Time};
use petit_relay::{Access, EnrolRequest, ReleaseFile, Releases};

use super::*;
use crate::registry::{Labels, NewInvite, RegistrationLimits, Suspension};
use crate::store::sqlite::SqliteStore;

const LINUX: &str = "petit-client-linux-x86_64";
const WINDOWS: &str = "petit-client-windows-x86_64";
const PROGRAM: &str = "program";

/// A server's roll-outs, and clients that are all there unless it is said.
struct Bed {
    dir: tempfile::TempDir,
    directory: Directory,
    mirror: Mirror,
    rollouts: Rollouts,
    clients: Vec<DeviceId>,
    _limits: watch::Sender<RegistrationLimits>,
}

impl Bed {
    async fn with(clients: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::create(&dir.path().join("registry.db")).await.unwrap();
        let mut bed = Self::over(dir, store).await;
        for _ in 0..clients {
            let device = bed.enrol().await;
            bed.clients.push(device);
        }
        bed
    }

    async fn over(dir: tempfile::TempDir, store: SqliteStore) -> Self {
        let limits = watch::Sender::new(RegistrationLimits { most: 8, ports: None });
        let directory = Directory::load(Arc::new(store), limits.subscribe()).await.unwrap();
        let mirror = Mirror::of(dir.path().join("releases"));
        let rollouts = Rollouts::of(mirror.clone(), directory.clone());
        Self { dir, directory, mirror, rollouts, clients: Vec::new(), _limits: limits }
    }

    /// The next process, which knows what was written down.
    async fn restarted(self) -> Self {
        let Self { dir, directory, mirror, rollouts, clients, _limits } = self;
        rollouts.save().await;
        drop((directory, mirror, rollouts));
        let store = SqliteStore::open(&dir.path().join("registry.db")).await.unwrap();
        let bed = Self { clients, ..Self::over(dir, store).await };
        bed.mirror.look().await.unwrap();
        bed
    }

    async fn enrol(&self) -> DeviceId {
        let (id, secret) = (InviteId(random_bytes().unwrap()), InviteSecret::random().unwrap().hash());
        let invite = NewInvite {
            id,
            secret,
            service: "web".parse().unwrap(),
            alias: None,
            labels: Labels::default(),
            not_after: SystemTime::now() + Duration::from_secs(60),
        };
        self.directory.store().invite(invite, false, Actor::Operator).await.unwrap();
        let request = EnrolRequest {
            key: PrivateKey::generate().unwrap().public().clone(),
            invite: id,
            secret,
            device_name: Text::lossy("a laptop"),
            software: Text::lossy("test"),
            from: IpAddr::from([192, 0, 2, 1]),
        };
        self.directory.enrol(request).await.unwrap().device
    }

    /// Hands a release out, with a version for each target.
    async fn put(&self, counter: u64, versions: &[(&str, &str)]) -> HandedOut {
        let releases = self.dir.path().join("releases");
        write_release(&releases, counter, versions);
        self.mirror.look().await.unwrap().unwrap().handed_out.clone()
    }

    async fn start(&self, release: &HandedOut, rings: &str, soak: Duration) {
        let plan = (rings.parse().unwrap(), soak, IfHalted::Refuse);
        self.rollouts.start(release, plan, Actor::Operator).await.unwrap();
    }

    fn says(&self, client: usize, version: &str, state: UpdateState) {
        let report = UpdateReport { counter: 1, version: Text::lossy(version), state };
        self.rollouts.reported(self.clients[client], report);
    }

    async fn ask(
        &self,
        client: usize,
        target: &str,
        file: &str,
        by: FetchedBy,
    ) -> Option<Arc<dyn ReleaseFile>> {
        let wanted = Fetch { target: Text::lossy(target), file: Text::lossy(file), from: 0, by };
        self.rollouts.open(self.clients[client], wanted).await.unwrap()
    }

    /// How many of the clients are told of the release.
    fn told(&self) -> usize {
        self.clients.iter().filter(|device| self.rollouts.offered(device).is_some()).count()
    }

    async fn judge(&self, away: std::ops::Range<usize>) {
        let online = (0..self.clients.len()).filter(|number| !away.contains(number));
        self.rollouts.judge(online.map(|number| self.clients[number]).collect()).await;
    }

    async fn standing(&self) -> RolloutStanding {
        let online = self.clients.iter().copied().collect();
        self.rollouts.standing(&online).await.unwrap().rollout.unwrap()
    }
}

/// As `release put` lays it there; nobody looks at its signatures here.
fn write_release(releases: &Path, counter: u64, versions: &[(&str, &str)]) {
    let (name, key) =
        (format!("release-1-{counter}"), "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3");
    let (created, expires) = (Time::now(), Time::now().after(Duration::from_secs(86_400)));
    let artifact = |(target, version): &(&str, &str)| Artifact {
        target: target.parse().unwrap(),
        version: version.parse().unwrap(),
        file: PROGRAM.parse().unwrap(),
        bytes: 3,
        sha256: "0".repeat(64).parse().unwrap(),
        minimum: None,
        revoked: vec![],
    };
    let targets = versions.iter().map(artifact).collect();
    let manifest = Manifest::new(Channel::Stable, counter, (created, expires), targets);
    let bundle = Bundle {
        release_key: ReleaseKey::new(1, expires, key.to_owned()).to_text(),
        root_signatures: vec![],
        manifest: manifest.to_text(),
        manifest_signature: String::new(),
    };
    let folder = releases.join(&name);
    std::fs::create_dir_all(&folder).unwrap();
    bundle.write(&folder).unwrap();
    std::fs::write(folder.join(PROGRAM), "new").unwrap();
    std::fs::write(releases.join("current"), name).unwrap();
}

#[tokio::test]
async fn the_next_process_goes_on_with_what_was_written_down() {
    let bed = Bed::with(4).await;
    let release = bed.put(1, &[(LINUX, "0.2.0")]).await;
    bed.start(&release, "100%", Duration::from_secs(900)).await;
    bed.ask(0, LINUX, BUNDLE_FILE, FetchedBy::Itself).await.unwrap();
    bed.says(0, "0.2.0", UpdateState::OnTrial);
    let before = bed.standing().await;
    assert_eq!((before.tally.on_trial, bed.told()), (1, 4));
    let bed = bed.restarted().await;
    assert_eq!(bed.told(), 0, "nobody is told of anything before it was read");
    // What is said meanwhile is newer than what was written down.
    bed.says(1, "0.2.0", UpdateState::Works);
    let after = bed.standing().await;
    assert_eq!(after.rollout, before.rollout);
    assert_eq!((after.tally.on_trial, after.tally.works, bed.told()), (1, 1, 4));
    let known = bed.rollouts.read();
    assert_eq!(known.reports[&bed.clients[0]].target.as_deref(), Some(LINUX));
    assert_eq!(known.targets[&bed.clients[0]], LINUX);
}

#[tokio::test]
async fn who_was_not_seen_by_this_process_is_not_away() {
    let bed = Bed::with(24).await;
    let release = bed.put(1, &[(LINUX, "0.2.0")]).await;
    bed.start(&release, "50%,100%", Duration::from_secs(900)).await;
    (0..12).for_each(|client| bed.says(client, "0.2.0", UpdateState::Works));
    bed.judge(0..0).await;
    let bed = bed.restarted().await;
    let standing = bed.standing().await;
    assert!(standing.rollout.is_running());
    // Those that have it are away, as they may be at night, and all others are there.
    bed.judge(0..12).await;
    assert!(bed.standing().await.rollout.is_running());
    // It was seen that they were there, and are not any more.
    bed.judge(0..0).await;
    bed.judge(0..12).await;
    let RolloutState::Halted { reason, by_itself, .. } = bed.standing().await.rollout.state else {
        panic!("{:?}", bed.standing().await)
    };
    assert!(by_itself && reason.contains("12 of 12 clients that have it are away"), "{reason}");
}

#[tokio::test]
async fn what_another_process_has_done_meanwhile_counts_when_it_is_read_anew() {
    let bed = Bed::with(3).await;
    let release = bed.put(1, &[(LINUX, "0.2.0")]).await;
    bed.start(&release, "100%", Duration::from_secs(900)).await;
    let download = bed.ask(0, LINUX, PROGRAM, FetchedBy::Itself).await.unwrap();
    assert_eq!(download.read(0).await.unwrap(), b"new");
    let step = RolloutStep::Halt { reason: "calls".to_owned() };
    bed.directory.store().step_rollout(step, Actor::Operator).await.unwrap();
    assert_eq!(bed.told(), 3, "that is not known here yet");
    let mut changes = bed.rollouts.changes();
    bed.rollouts.reload().await.unwrap();
    assert!(changes.has_changed().unwrap(), "clients are told");
    assert_eq!(bed.told(), 0);
    assert!(download.read(0).await.is_err(), "what is under way is cut");
    for by in [FetchedBy::Itself, FetchedBy::Hand] {
        assert!(bed.ask(0, LINUX, BUNDLE_FILE, by).await.is_none());
    }
    changes.mark_unchanged();
    bed.rollouts.step(RolloutStep::Resume, Actor::Operator).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!((bed.told(), download.read(0).await.unwrap()), (3, b"new".to_vec()));
}

#[tokio::test]
async fn a_client_that_came_back_halts_it_and_what_is_under_way() {
    let bed = Bed::with(5).await;
    let release = bed.put(1, &[(LINUX, "0.2.0")]).await;
    bed.start(&release, "100%", Duration::ZERO).await;
    let download = bed.ask(0, LINUX, PROGRAM, FetchedBy::Hand).await.unwrap();
    bed.says(1, "0.1.0", UpdateState::PutBack);
    bed.judge(0..0).await;
    assert!(bed.standing().await.rollout.is_running(), "that was another version");
    bed.says(1, "0.2.0", UpdateState::PutBack);
    bed.judge(0..0).await;
    let standing = bed.standing().await;
    let RolloutState::Halted { reason, by_itself: true, .. } = &standing.rollout.state else {
        panic!("{standing:?}")
    };
    assert_eq!(reason, "it did not work for 1 of 1 clients");
    let halted = bed.rollouts.halted().unwrap();
    assert_eq!((&halted.reason, halted.by_itself, halted.counter), (reason, true, 1));
    assert_eq!(standing.bad[0].device, bed.clients[1]);
    assert!(download.read(0).await.is_err());
    // The gate looks at it no more.
    bed.judge(0..0).await;
    assert_eq!(bed.standing().await.rollout, standing.rollout);
}

#[tokio::test]
async fn what_a_suspended_client_has_said_halts_nothing() {
    let bed = Bed::with(5).await;
    let release = bed.put(1, &[(LINUX, "0.2.0")]).await;
    bed.start(&release, "100%", Duration::ZERO).await;
    bed.says(1, "0.2.0", UpdateState::PutBack);
    let suspend = |to| bed.directory.suspend(bed.clients[1], to, Actor::Operator);
    suspend(Suspension::Suspend).await.unwrap();
    bed.judge(0..0).await;
    assert!(bed.standing().await.rollout.is_running());
    suspend(Suspension::Resume).await.unwrap();
    bed.judge(0..0).await;
    assert!(!bed.standing().await.rollout.is_running(), "what it says counts again");
}

#[tokio::test]
async fn a_resume_excuses_who_came_back_until_it_is_tried_there_again() {
    let bed = Bed::with(5).await;
    let release = bed.put(1, &[(LINUX, "0.2.0")]).await;
    bed.start(&release, "100%", Duration::ZERO).await;
    bed.says(1, "0.2.0", UpdateState::PutBack);
    bed.judge(0..0).await;
    assert!(!bed.standing().await.rollout.is_running());
    bed.rollouts.step(RolloutStep::Resume, Actor::Operator).await.unwrap();
    // It says the same in each session.
    bed.says(1, "0.2.0", UpdateState::PutBack);
    bed.judge(0..0).await;
    let standing = bed.standing().await;
    assert!(standing.rollout.is_running(), "{standing:?}");
    assert_eq!((standing.tally.excused, standing.bad.len()), (1, 0));
    for state in [UpdateState::OnTrial, UpdateState::PutBack] {
        bed.says(1, "0.2.0", state);
    }
    bed.judge(0..0).await;
    let standing = bed.standing().await;
    assert!(!standing.rollout.is_running(), "{standing:?}");
    assert_eq!((standing.tally.excused, standing.bad.len()), (0, 1));
}

#[tokio::test]
async fn a_client_that_says_one_thing_and_then_another_has_all_looked_at_once() {
    let bed = Bed::with(2).await;
    let is_rung = async || tokio::time::timeout(Duration::ZERO, bed.rollouts.said.notified()).await.is_ok();
    bed.says(0, "0.2.0", UpdateState::OnTrial);
    assert!(is_rung().await);
    for state in [UpdateState::Works, UpdateState::PutBack, UpdateState::Works] {
        bed.says(0, "0.2.0", state);
        assert!(!is_rung().await);
    }
    bed.says(1, "0.2.0", UpdateState::PutBack);
    assert!(is_rung().await, "that is another one");
    assert_eq!(
        bed.rollouts.read().reports[&bed.clients[0]].state,
        UpdateState::Works,
        "the last word counts"
    );
}

#[tokio::test]
async fn what_is_said_after_a_resume_counts_though_the_clock_has_gone_back() {
    let bed = Bed::with(2).await;
    let release = bed.put(1, &[(LINUX, "0.2.0")]).await;
    bed.start(&release, "100%", Duration::ZERO).await;
    let resumed = Timestamp::now() + Duration::from_secs(3600);
    bed.rollouts.write().rollouts[0].resumed = Some(resumed);
    bed.says(0, "0.2.0", UpdateState::PutBack);
    bed.judge(0..0).await;
    let standing = bed.standing().await;
    assert!(matches!(standing.rollout.state, RolloutState::Halted { .. }), "{standing:?}");
}

#[tokio::test]
async fn rings_follow_where_the_new_version_works_and_not_where_there_is_no_new_one() {
    let bed = Bed::with(30).await;
    // Everybody has had the first one.
    let first = bed.put(1, &[(LINUX, "0.1.9"), (WINDOWS, "0.1.9")]).await;
    bed.start(&first, "100%", Duration::ZERO).await;
    bed.ask(0, LINUX, BUNDLE_FILE, FetchedBy::Itself).await.unwrap();
    bed.says(0, "0.1.9", UpdateState::Works);
    bed.judge(0..0).await;
    assert_eq!(bed.standing().await.rollout.state, RolloutState::Done);

    let second = bed.put(2, &[(LINUX, "0.2.0"), (WINDOWS, "0.1.9")]).await;
    bed.start(&second, "50%,100%", Duration::ZERO).await;
    let ring = |number: usize| {
        let rings: Rings = "50%,100%".parse().unwrap();
        rings.of(&second.content, &bed.clients[number], &Default::default()).unwrap()
    };
    let in_first: Vec<usize> = (0..30).filter(|number| ring(*number) == 0).collect();
    let [linux, windows @ ..] = &in_first[..] else { panic!("nobody of thirty") };
    assert!(!windows.is_empty() && !windows.contains(&0));
    for client in windows {
        bed.ask(*client, WINDOWS, BUNDLE_FILE, FetchedBy::Itself).await.unwrap();
        bed.says(*client, "0.1.9", UpdateState::Works);
    }
    bed.judge(0..0).await;
    let standing = bed.standing().await;
    assert_eq!((standing.tally.works, standing.tally.had), (0, windows.len()));
    assert_eq!(standing.rollout.open, 1, "no client with the new version has said anything");
    bed.ask(*linux, LINUX, BUNDLE_FILE, FetchedBy::Itself).await.unwrap();
    bed.says(*linux, "0.2.0", UpdateState::Works);
    bed.judge(0..0).await;
    assert_eq!(bed.standing().await.rollout.open, 2);
    // It stays so in the next process.
    let bed = bed.restarted().await;
    let standing = bed.standing().await;
    assert_eq!((standing.tally.works, standing.tally.had), (1, windows.len()));
}

#[tokio::test]
async fn who_says_a_version_that_is_new_elsewhere_only_has_said_nothing_of_this_release() {
    let bed = Bed::with(2).await;
    let release = bed.put(1, &[(LINUX, "0.2.0"), (WINDOWS, "0.3.0")]).await;
    bed.start(&release, "100%", Duration::ZERO).await;
    bed.ask(0, LINUX, BUNDLE_FILE, FetchedBy::Itself).await.unwrap();
    bed.says(0, "0.3.0", UpdateState::Works);
    assert_eq!(bed.standing().await.tally.works, 0);
    // What it was known by counts where nothing else is known.
    bed.says(1, "0.3.0", UpdateState::Works);
    assert_eq!(bed.standing().await.tally.works, 1);
}

#[tokio::test]
async fn a_release_whose_roll_out_came_before_another_one_is_announced_to_nobody() {
    let bed = Bed::with(2).await;
    let one = bed.put(1, &[(LINUX, "0.2.0")]).await;
    bed.start(&one, "100%", Duration::from_secs(900)).await;
    let two = bed.put(2, &[(LINUX, "0.2.1")]).await;
    assert_eq!(bed.told(), 0, "nobody has started that one");
    bed.start(&two, "100%", Duration::from_secs(900)).await;
    assert_eq!(bed.told(), 2);
    bed.put(3, &[(LINUX, "0.2.0")]).await;
    assert_eq!(bed.told(), 0, "and nobody watches over this one any more");
    assert!(bed.ask(0, LINUX, BUNDLE_FILE, FetchedBy::Hand).await.is_some());
    // The status of the one before is told from its own versions.
    bed.says(0, "0.2.1", UpdateState::Works);
    let standing = bed.standing().await;
    assert_eq!((standing.is_of_this_release, standing.tally.works), (false, 1));
}
