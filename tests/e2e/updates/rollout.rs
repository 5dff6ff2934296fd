//! Roll-outs: a release is announced to a few clients first, halts by itself where it does not work, and reaches all where
//! it does. Sixty agents on real sockets, at a server that is a program and whose operator types commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use petit_engine::agent::{Agent, Source, fetch};
use petit_engine::proto::control::{BUNDLE_FILE, Fetch, FetchedBy, Text, UpdateReport, UpdateState};
use petit_host::brand::Brand;
use petit_host::update::{Bundle, Manifest, ROOTS, Target};
use petit_tests::crowd::Crowd;
use petit_tests::process::{Program, Running, Said};
use petit_tests::service::Service;
use petit_tests::soon;
use serde_json::Value;
use tokio::task::JoinSet;

use super::release::Release;
use super::{AFTER, NEXT, refused};

const CLIENTS: usize = 60;
const STAFF: usize = 3;
const STEPS: &str = "tag:staff,50%,100%";

/// What a client fetches: the version that the server has for it; `None` where it has none, or has cut it off as the
/// roll-out was halted.
async fn version(source: &Source, by: FetchedBy) -> Option<(u64, String)> {
    let target = Target::of("petit-client", &Brand::petit());
    let wanted = Fetch { target: Text::lossy(target.as_str()), file: Text::lossy(BUNDLE_FILE), from: 0, by };
    let mut download = soon("an answer", fetch(source, wanted)).await.ok()??;
    let mut bytes = Vec::new();
    while let Some(piece) = soon("a piece", download.piece()).await.ok()? {
        bytes.extend_from_slice(piece);
    }
    let bundle: Bundle = serde_json::from_slice(&bytes).unwrap();
    let manifest = Manifest::parse(&bundle.manifest).unwrap();
    Some((manifest.counter, manifest.targets[0].version.to_string()))
}

/// As a client with automatic updates: it takes what it is told of, and says what has come of it.
async fn automatic(agent: Arc<Agent>, is_canary: bool, told: Arc<AtomicUsize>) {
    let mut view = agent.view();
    let mut seen = None;
    loop {
        let release = view.wait_for(|view| view.release != seen).await;
        let Ok(release) = release.map(|view| view.release) else { return };
        seen = release;
        if release.is_none_or(|counter| counter == 0) {
            continue;
        }
        told.fetch_add(1, Ordering::Relaxed);
        let Some((counter, version)) = version(&agent.source(), FetchedBy::Itself).await else { continue };
        let outcome = match version.as_str() {
            NEXT if is_canary => UpdateState::PutBack,
            _ => UpdateState::Works,
        };
        for state in [UpdateState::OnTrial, outcome] {
            let report = UpdateReport { counter, version: Text::lossy(&version), state };
            agent.report_update(Some(report)).await;
        }
    }
}

/// A server with sixty clients.
struct Vendor {
    server: Program,
    _running: Running,
    agents: Vec<Arc<Agent>>,
    told: Arc<AtomicUsize>,
    _clients: JoinSet<()>,
    _service: Service,
}

impl Vendor {
    async fn new(release: &Release) -> Self {
        let server = Program::server().await;
        let running = server.up().await;
        std::fs::copy(release.roots(), server.dir().join(ROOTS)).unwrap();
        let service = Service::http("s").await;
        let crowd = Crowd::register(&server, service.address(), CLIENTS).await;
        let agents: Vec<Arc<Agent>> = crowd.agents.into_iter().map(Arc::new).collect();
        let (told, mut clients) = (Arc::<AtomicUsize>::default(), JoinSet::new());
        for (number, agent) in agents.iter().enumerate() {
            clients.spawn(automatic(Arc::clone(agent), number == 0, Arc::clone(&told)));
        }
        for agent in &agents[..STAFF] {
            let device = agent.view().borrow().device.unwrap();
            server.run(["clients", "tag", device.as_str(), "staff"]).await.ok();
        }
        Self { server, _running: running, agents, told, _clients: clients, _service: service }
    }

    async fn put(&self, release: &Release) -> Said {
        let folder = release.folder();
        self.server.run(["release".as_ref(), "put".as_ref(), folder.as_os_str()]).await.ok()
    }

    async fn rollout(&self, words: &[&str]) -> Said {
        self.server.run([&["rollout"], words].concat()).await
    }

    async fn start(&self) -> Said {
        self.rollout(&["start", "--rings", STEPS, "--soak", "1s"]).await.ok()
    }

    /// A release that was halted, and then rolled back, is not started by a word that says nothing of that.
    async fn begins_again_only_when_that_is_asked_for(&self, reason: &str) {
        let said = self.rollout(&["start"]).await;
        let told = format!(": {reason}; to go on with it: petit-server rollout resume;");
        refused(&said, "the roll-out of this release is halted by itself since 2");
        refused(&said, &told);
        self.rollout(&["rollback"]).await.ok();
        refused(&self.rollout(&["resume"]).await, "it was rolled back");
        assert!(self.server.run(["status", "--json"]).await.ok().json()["rollout_halted"].is_null());
        // What they have said of it does not halt it when it is started all the same.
        refused(
            &self.rollout(&["start"]).await,
            "was rolled back; to announce it all the same: petit-server rollout start --again",
        );
        let said = self.rollout(&["start", "--rings", STEPS, "--soak", "1s", "--again"]).await.ok();
        assert!(said.out.contains("had it go wrong before"), "{said:?}");
        self.rollout(&["rollback"]).await.ok();
    }

    async fn until(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        soon(what, async {
            loop {
                let status = self.rollout(&["status", "--json"]).await.ok().json();
                if is_it(&status["rollout"]) {
                    return status["rollout"].clone();
                }
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_canary_halts_a_roll_out_to_sixty_clients_and_a_good_release_reaches_all() {
    let mut release = Release::new();
    let vendor = Vendor::new(&release).await;
    refused(&vendor.rollout(&["start"]).await, "no release is handed out");
    release.put(NEXT, b"a program");
    let said = vendor.put(&release).await;
    assert!(said.out.contains("another is begun with: petit-server rollout start"), "{said:?}");
    let said = vendor.rollout(&["status"]).await.ok();
    assert!(said.out.contains("is there for who asks by hand, and announced to nobody"), "{said:?}");
    let last = vendor.agents[CLIENTS - 1].source();
    assert_eq!(version(&last, FetchedBy::Itself).await, None);
    assert_eq!(version(&last, FetchedBy::Hand).await, Some((1, NEXT.to_owned())));

    // One of the three that try it first comes back from it.
    vendor.start().await;
    refused(&vendor.rollout(&["start"]).await, "is being rolled out already");
    let halted = vendor.until("a halt", |rollout| rollout["state"] != "running").await;
    assert_eq!(halted["open"], 1, "{halted}");
    let reason = halted["state"]["halted"]["reason"].as_str().unwrap();
    assert!(reason.contains("it did not work for 1 of"), "{reason}");
    let canary = vendor.agents[0].view().borrow().device.unwrap();
    assert_eq!(halted["bad"][0]["client"], canary.as_str(), "{halted}");
    let said = vendor.rollout(&["status"]).await.ok();
    assert!(
        said.out.contains("The roll-out of release 1 is halted") && said.out.contains(canary.as_str()),
        "{said:?}"
    );
    assert!(said.out.contains("came back from it"), "{said:?}");
    // Nobody gets it any more, and those who had heard of it hear that.
    for by in [FetchedBy::Itself, FetchedBy::Hand] {
        assert_eq!(version(&vendor.agents[1].source(), by).await, None);
    }
    for agent in &vendor.agents[..STAFF] {
        soon("the end of it", agent.view().wait_for(|view| view.release == Some(0))).await.unwrap();
    }
    assert_eq!(vendor.told.load(Ordering::Relaxed), STAFF, "nobody else has heard of it");
    let said = vendor.server.run(["status"]).await.ok().out;
    let told = "the roll-out of release 1 has halted itself since 2";
    assert!(said.contains(told) && said.contains(reason) && said.contains("rollout resume"), "{said}");
    let status = vendor.server.run(["status", "--json"]).await.ok().json();
    let told = &status["rollout_halted"];
    assert_eq!(
        (&told["by_itself"], &told["counter"], &told["reason"]),
        (&true.into(), &1.into(), &reason.into())
    );
    let log = vendor.server.run(["audit", "list"]).await.ok().out;
    assert!(log.contains("halted: it did not work for 1 of"), "{log}");

    // It is known to the next process as well.
    vendor.server.run(["restart"]).await.ok();
    let again = vendor.until("the same", |rollout| rollout["state"]["halted"]["reason"] == reason).await;
    assert_eq!((&again["bad"], &again["open"]), (&halted["bad"], &halted["open"]));
    vendor.begins_again_only_when_that_is_asked_for(reason).await;

    // The next release works, and reaches ring after ring by itself.
    release.put(AFTER, b"another program");
    vendor.put(&release).await;
    let status = vendor.rollout(&["status"]).await.ok();
    assert!(
        status.out.contains("Another release is there now, 2 (0.1.2), announced to nobody"),
        "{status:?}"
    );
    let before = vendor.told.load(Ordering::Relaxed);
    assert!(vendor.start().await.out.contains("Release 2 is being rolled out: ring 1 of 3 (tag:staff)"));
    let begun = vendor.until("the rings", |rollout| rollout["rings"][0]["clients"] == STAFF).await;
    let half = begun["rings"][1]["clients"].as_u64().unwrap();
    // 28.5 of the other 57 are expected, with a deviation of 3.8.
    assert!((9..=48).contains(&half), "{begun}");
    let done = vendor.until("its end", |rollout| rollout["state"] == "done").await;
    assert_eq!((&done["counts"]["works"], &done["counts"]["clients"]), (&60.into(), &60.into()), "{done}");
    assert_eq!(vendor.told.load(Ordering::Relaxed) - before, CLIENTS, "each is told once");
    // Signed anew it is the same release, and goes on to be everybody's.
    release.put(AFTER, b"another program");
    vendor.put(&release).await;
    for agent in &vendor.agents {
        soon("the new number", agent.view().wait_for(|view| view.release == Some(3))).await.unwrap();
    }
    assert_eq!(
        vendor.until("still the same", |rollout| rollout["is_of_this_release"] == true).await["state"],
        "done"
    );
}
