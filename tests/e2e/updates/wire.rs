//! The wire on which releases are handed out: what a device gets, and what nobody gets.

use std::sync::Arc;
use std::time::Duration;

use petit_engine::agent::{Download, FetchError, Source, fetch};
use petit_engine::limits;
use petit_engine::net::dial::{DialError, DialRoute};
use petit_engine::net::tls;
use petit_engine::proto::control::{
    self, BUNDLE_FILE, Fetch, FetchRefusal, FetchedBy, FromAgent, FromRelay, Hello, RELEASE, Text,
};
use petit_engine::secret::PrivateKey;
use petit_host::brand::Brand;
use petit_host::update::{Bundle, Refusal, Roots, Target, Time};
use petit_relay::{Farewell, Leave};
use petit_server::registry::{Actor, IfHalted};
use petit_server::releases::{self, Put, ReleaseError};
use petit_tests::bed::Bed;
use petit_tests::process::Program;
use petit_tests::rogue::{Device, hello};
use petit_tests::soon;
use petit_tests::steady::{Manner, Steady};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::release::{FILE, Release};
use super::{AFTER, NEXT};

pub(super) fn put(bed: &Bed, release: &Release) -> Result<Put, ReleaseError> {
    let roots = Roots::parse(&std::fs::read_to_string(release.roots()).unwrap()).unwrap();
    releases::put(&bed.server.folder.releases(), &release.folder(), &roots, Time::now())
}

fn source(bed: &Bed, key: &PrivateKey) -> Source {
    Source {
        server: bed.server.tls.to_string().parse().unwrap(),
        route: DialRoute::default(),
        pins: bed.server.pins().to_vec(),
        key: key.clone(),
    }
}

pub(super) fn own_target() -> String {
    Target::of("petit-client", &Brand::petit()).to_string()
}

pub(super) fn of_target(target: &str, file: &str, from: u64) -> Fetch {
    Fetch { target: Text::lossy(target), file: Text::lossy(file), from, by: FetchedBy::Hand }
}

async fn ask(source: &Source, file: &str, from: u64) -> Result<Option<Download>, FetchError> {
    soon("an answer", fetch(source, of_target(&own_target(), file, from))).await
}

async fn rest(download: &mut Download) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    while let Some(piece) = soon("a piece", download.piece()).await? {
        bytes.extend_from_slice(piece);
    }
    Ok(bytes)
}

async fn whole(source: &Source, file: &str, from: u64) -> Vec<u8> {
    rest(&mut ask(source, file, from).await.unwrap().unwrap()).await.unwrap()
}

fn refused(answer: Result<Option<Download>, FetchError>) -> FetchRefusal {
    match answer {
        Err(FetchError::Refused { refusal, .. }) => refusal,
        Err(error) => panic!("{error:?}"),
        Ok(found) => panic!("it was handed out: {}", found.is_some()),
    }
}

fn program(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn a_device_gets_the_release_from_whichever_place_on_and_nothing_else_of_the_folder() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    let source = source(&bed, &device.key);
    assert!(ask(&source, BUNDLE_FILE, 0).await.unwrap().is_none(), "there is none");
    let (mut release, program) = (Release::new(), program(300_000));
    release.put(NEXT, &program);
    assert!(!put(&bed, &release).unwrap().was_there);

    let bundle: Bundle = serde_json::from_slice(&whole(&source, BUNDLE_FILE, 0).await).unwrap();
    assert_eq!(bundle, Bundle::read(&release.folder()).unwrap());
    let length = program.len() as u64;
    for from in [0, 1, 100_001, length - 1, length] {
        let mut download = ask(&source, FILE, from).await.unwrap().unwrap();
        assert_eq!(download.length(), length);
        assert!(rest(&mut download).await.unwrap() == program[from as usize..], "from {from}");
    }
    assert_eq!(refused(ask(&source, FILE, length + 1).await), FetchRefusal::NotThere);
    assert_eq!(refused(ask(&source, FILE, u64::MAX).await), FetchRefusal::NotThere);
    for other in
        ["", "manifest.json", "seen.json", "../seen.json", "../../server.key", "current", "/etc/passwd"]
    {
        assert_eq!(refused(ask(&source, other, 0).await), FetchRefusal::NotThere, "{other}");
    }
    for other in ["petit-client-plan9-x86_64", "", ".."] {
        let answer = soon("an answer", fetch(&source, of_target(other, FILE, 0))).await;
        assert!(answer.unwrap().is_none(), "{other}");
    }
    // Somebody else does not even learn that there is a release.
    let stranger = super::wire::source(&bed, &PrivateKey::generate().unwrap());
    let denied = ask(&stranger, BUNDLE_FILE, 0).await.err().unwrap();
    assert!(matches!(denied, FetchError::Dial(DialError::Denied { .. })), "{denied:?}");
    // The disk may fail.
    let folder = bed.server.folder.releases();
    let copy = folder.join(std::fs::read_to_string(folder.join("current")).unwrap()).join(FILE);
    std::fs::write(&copy, &program[1..]).unwrap();
    assert_eq!(refused(ask(&source, FILE, 0).await), FetchRefusal::Unreadable);
    assert!(!put(&bed, &release).unwrap().was_there, "a damaged copy is replaced");
    assert!(whole(&source, FILE, 0).await == program);
    assert!(put(&bed, &release).unwrap().was_there);
    // Withdrawn and put again at once it is another copy, and the running server looks at that one.
    assert!(releases::withdraw(&folder).unwrap());
    assert!(!releases::withdraw(&folder).unwrap());
    assert!(!put(&bed, &release).unwrap().was_there);
    assert!(whole(&source, FILE, 0).await == program);
    // The same by other signatures is another one.
    let signature = |name: &str| name.starts_with("release-key.json.");
    let mut signatures = std::fs::read_dir(release.folder()).unwrap().map(|entry| entry.unwrap().path());
    let one = signatures.find(|path| signature(path.file_name().unwrap().to_str().unwrap())).unwrap();
    std::fs::copy(&one, one.with_file_name("release-key.json.again.minisig")).unwrap();
    assert!(!put(&bed, &release).unwrap().was_there);
}

#[tokio::test]
async fn only_a_whole_release_in_force_takes_the_place_of_the_one_before() {
    let bed = Bed::start().await;
    let source = source(&bed, &Device::of(&bed).await.key);
    let mut release = Release::new();
    release.put(NEXT, b"the first");
    let old = release.copy();
    put(&bed, &release).unwrap();
    let roots = Roots::parse(&std::fs::read_to_string(release.roots()).unwrap()).unwrap();
    let putting = |from: &std::path::Path| {
        releases::put(&bed.server.folder.releases(), from, &roots, Time::now()).map(|put| put.was_there)
    };
    let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));

    release.put_until(AFTER, b"the second", Time::new(std::time::SystemTime::now() - hour));
    assert!(matches!(putting(&release.folder()), Err(ReleaseError::Refused(Refusal::Expired { .. }))));
    let mut stranger = Release::new();
    stranger.put(AFTER, b"the second");
    assert!(matches!(putting(&stranger.folder()), Err(ReleaseError::Refused(Refusal::RootsMissing { .. }))));
    release.put(AFTER, b"the second");
    std::fs::write(release.artifact(), b"the other!").unwrap();
    assert!(matches!(putting(&release.folder()), Err(ReleaseError::Unfit { .. })));
    std::fs::remove_file(release.artifact()).unwrap();
    assert!(matches!(putting(&release.folder()), Err(ReleaseError::File(_))));
    let left: Vec<_> = std::fs::read_dir(bed.server.folder.releases()).unwrap().collect();
    assert_eq!(left.len(), 4, "the release, what names it, the lock, what was seen: {left:?}");
    assert_eq!(whole(&source, FILE, 0).await, b"the first");

    release.put(AFTER, b"the second");
    assert!(!putting(&release.folder()).unwrap());
    assert_eq!(whole(&source, FILE, 0).await, b"the second");
    assert!(matches!(putting(&old), Err(ReleaseError::Refused(Refusal::RolledBack { .. }))));
    assert!(releases::withdraw(&bed.server.folder.releases()).unwrap());
    assert!(matches!(putting(&old), Err(ReleaseError::Refused(Refusal::RolledBack { .. }))));
    assert!(ask(&source, FILE, 0).await.unwrap().is_none());
    release.put_until(AFTER, b"the second", Time::now().after(day));
    assert!(!putting(&release.folder()).unwrap());
    assert_eq!(
        whole(&source, BUNDLE_FILE, 0).await,
        serde_json::to_vec(&Bundle::read(&release.folder()).unwrap()).unwrap()
    );
}

/// More than the sockets of both ends hold.
const LARGE_BYTES: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn a_download_goes_on_under_another_release_and_ends_with_its_devices_registration() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    let source = source(&bed, &device.key);
    let (mut release, program) = (Release::new(), program(LARGE_BYTES));
    release.put(NEXT, &program);
    put(&bed, &release).unwrap();
    let mut download = ask(&source, FILE, 0).await.unwrap().unwrap();
    release.put(AFTER, b"another");
    put(&bed, &release).unwrap();
    assert!(rest(&mut download).await.unwrap() == program, "it is the file that was asked for");
    assert_eq!(whole(&source, FILE, 0).await, b"another");

    release.put(AFTER, &program);
    put(&bed, &release).unwrap();
    let mut download = ask(&source, FILE, 0).await.unwrap().unwrap();
    bed.server.directory.revoke(device.registered.device, Actor::Operator).await.unwrap();
    let cut = rest(&mut download).await.unwrap_err();
    assert!(matches!(cut, FetchError::Broken { .. }), "{cut:?}");
    let denied = ask(&source, FILE, 0).await.err().unwrap();
    assert!(matches!(denied, FetchError::Dial(DialError::Denied { .. })), "{denied:?}");
}

#[tokio::test]
async fn a_device_has_so_many_downloads_at_a_time_and_others_have_theirs() {
    let bed = Bed::start().await;
    let (one, other) = (Device::of(&bed).await, Device::of(&bed).await);
    let (one, other) = (source(&bed, &one.key), source(&bed, &other.key));
    let mut release = Release::new();
    release.put(NEXT, &program(LARGE_BYTES));
    put(&bed, &release).unwrap();
    let mut held = Vec::new();
    for _ in 0..limits::DOWNLOADS_PER_DEVICE {
        held.push(ask(&one, FILE, 0).await.unwrap().unwrap());
    }
    assert_eq!(refused(ask(&one, FILE, 0).await), FetchRefusal::Busy);
    assert!(!whole(&one, BUNDLE_FILE, 0).await.is_empty(), "what is new can be seen all the same");
    let counts = bed.server.relay.counts().downloads;
    assert_eq!((counts.now, counts.busy), (limits::DOWNLOADS_PER_DEVICE, 1));
    assert_eq!(whole(&other, FILE, LARGE_BYTES as u64 - 10).await.len(), 10);
    held.clear();
    soon("a place", async {
        while let Err(FetchError::Refused { refusal: FetchRefusal::Busy, .. }) = ask(&one, FILE, 0).await {}
    })
    .await;
}

#[tokio::test]
async fn a_download_that_drips_gives_way_to_a_newcomer_and_goes_on_later() {
    let bed = Bed::with("[server.limits]\nconnections = 20\n").await;
    let mut sources = Vec::new();
    for _ in 0..3 {
        sources.push(source(&bed, &Device::of(&bed).await.key));
    }
    let (mut release, program) = (Release::new(), program(LARGE_BYTES));
    release.put(NEXT, &program);
    put(&bed, &release).unwrap();
    let [dripping, slow, newcomer] = &sources[..] else { panic!("three") };
    let mut slowest = ask(dripping, FILE, 0).await.unwrap().unwrap();
    let mut slow = ask(slow, FILE, 0).await.unwrap().unwrap();
    assert_eq!(refused(ask(newcomer, FILE, 0).await), FetchRefusal::Busy, "both have just begun");
    let mut kept = soon("a piece", slowest.piece()).await.unwrap().unwrap().to_vec();
    // More than the sockets of both ends hold.
    let mut taken = 0;
    while taken < LARGE_BYTES / 2 {
        taken += soon("a piece", slow.piece()).await.unwrap().unwrap().len();
    }
    let mut late = soon("a place", async {
        loop {
            match ask(newcomer, FILE, 0).await {
                Ok(Some(download)) => break download,
                answer => assert_eq!(refused(answer), FetchRefusal::Busy),
            }
            // Each question is a handshake, which would take the processor from the download that is waited for.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let cut = loop {
        match soon("the end", slowest.piece()).await {
            Ok(piece) => kept.extend_from_slice(piece.expect("it does not end as if it were whole")),
            Err(cut) => break cut,
        }
    };
    assert!(matches!(cut, FetchError::Broken { .. }), "{cut:?}");
    let rest_of_slow = LARGE_BYTES - taken - rest(&mut slow).await.unwrap().len();
    assert_eq!(rest_of_slow, 0, "the other one went on");
    assert!(rest(&mut late).await.unwrap() == program);
    kept.extend(whole(dripping, FILE, kept.len() as u64).await);
    assert!(kept == program, "it goes on from where it was");
}

#[tokio::test]
async fn twenty_devices_at_once_get_it_and_visitors_are_served_meanwhile() {
    let bed = Bed::start().await;
    let service = petit_tests::service::Service::http("s").await;
    let client = bed.client(&service).await;
    let host = petit_tests::visitor::host(&client.id());
    let (mut release, program) = (Release::new(), Arc::new(program(LARGE_BYTES / 8)));
    release.put(NEXT, &program);
    put(&bed, &release).unwrap();
    let mut fetching = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (source, program) = (source(&bed, &Device::of(&bed).await.key), Arc::clone(&program));
        fetching.spawn(async move { whole(&source, FILE, 0).await == *program });
    }
    let mut visitors =
        Steady::start(bed.visitor().front(), vec![host], Duration::from_millis(25), Manner::Fresh);
    while let Some(done) = soon("a download", fetching.join_next()).await {
        assert!(done.unwrap());
    }
    visitors.more(1).await;
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?} {:?}", met.statuses, met.errors, met.failures);
}

#[tokio::test]
async fn agents_that_understand_it_are_told_of_each_release_and_others_are_not() {
    let bed = Bed::start().await;
    let watched = Arc::clone(&bed.server);
    let watching = tokio::spawn(async move {
        let online = || watched.relay.connected();
        tokio::join!(watched.releases.watch(), watched.rollouts.watch(online));
    });
    let session = async |features: &[&str]| {
        let mut rogue = Device::of(&bed).await.connect().await;
        let features = features.iter().map(|feature| Text::lossy(feature)).collect();
        rogue.say(&FromAgent::Hello(Hello { features, ..hello("rogue", vec![]) })).await;
        let welcome = rogue.control().await.unwrap();
        let FromRelay::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
        (rogue, welcome.features)
    };
    let (mut told, features) = session(&[RELEASE, "of_tomorrow"]).await;
    assert_eq!(features, [Text::lossy(RELEASE)]);
    let (mut other, features) = session(&[]).await;
    assert!(features.is_empty());
    assert_eq!(told.control().await, Some(FromRelay::Release { counter: 0 }), "there is none");
    let mut release = Release::new();
    for counter in 1..=2 {
        release.put(NEXT, b"a program");
        put(&bed, &release).unwrap();
        if counter == 1 {
            let handed_out = bed.server.releases.look().await.unwrap().unwrap().handed_out.clone();
            let plan = ("100%".parse().unwrap(), Duration::ZERO, IfHalted::Refuse);
            bed.server.rollouts.start(&handed_out, plan, Actor::Operator).await.unwrap();
        }
        assert_eq!(told.control().await, Some(FromRelay::Release { counter }));
    }
    let (mut late, _) = session(&[RELEASE]).await;
    assert_eq!(late.control().await, Some(FromRelay::Release { counter: 2 }));
    // Whatever was said to it before comes first.
    other.say(&FromAgent::Unregister {}).await;
    // The session may be closed because its device is not registered any more, before the answer is on its way.
    let last = other.control().await;
    let is_last = matches!(
        last,
        Some(FromRelay::Unregistered {} | FromRelay::Refused { refusal: control::Refusal::Unknown })
    );
    assert!(is_last, "{last:?}");
    watching.abort();
}

/// What a download costs that nobody reads: what is said of it in ARCHITECTURE.md.
#[tokio::test]
async fn a_download_that_stands_still_costs_its_server_little() {
    const DOWNLOADS: usize = 50;
    const MOST_BYTES: u64 = 400 * 1024;
    let mut release = Release::new();
    release.put(NEXT, &program(LARGE_BYTES));
    let server = Program::server().await;
    let running = server.up().await;
    std::fs::copy(release.roots(), server.dir().join(petit_host::update::ROOTS)).unwrap();
    let folder = release.folder();
    server.run(["release".as_ref(), "put".as_ref(), folder.as_os_str()]).await.ok();
    let resident = || petit_tests::process::resident_bytes(running.id());
    let mut sources = Vec::new();
    for _ in 0..=DOWNLOADS {
        let link = secrecy::SecretString::from(server.invite([""; 0]).await);
        let invite = petit_engine::invite::Invite::parse(&link).unwrap();
        let (server, pins) = (invite.server.clone(), invite.pins.clone());
        let key = Device::with(invite).await.key;
        sources.push(Source { server, route: DialRoute::default(), pins, key });
    }
    let mut held = vec![ask(&sources[DOWNLOADS], FILE, 0).await.unwrap().unwrap()];
    let before = resident();
    for source in &sources[..DOWNLOADS] {
        let mut download = ask(source, FILE, 0).await.unwrap().unwrap();
        let _ = soon("a piece", download.piece()).await.unwrap();
        held.push(download);
    }
    let each = resident().saturating_sub(before) / DOWNLOADS as u64;
    petit_tests::figures::figure(format!("a download that stands still: {} KiB of its server", each / 1024));
    assert!(each < MOST_BYTES, "{each} bytes each");
}

#[tokio::test]
async fn a_restart_does_not_wait_for_downloads() {
    let bed = Bed::start().await;
    let source = source(&bed, &Device::of(&bed).await.key);
    let mut release = Release::new();
    release.put(NEXT, &program(LARGE_BYTES));
    put(&bed, &release).unwrap();
    let mut download = ask(&source, FILE, 0).await.unwrap().unwrap();
    let (goodbye, limit) = (Duration::from_secs(1), Duration::from_secs(3600));
    let farewell = Farewell { leave: Leave::Move, goodbye, limit };
    // Nobody reads it, so it would end by itself only then.
    let left = tokio::time::timeout(limits::DOWNLOAD_STALLED / 2, bed.server.relay.leave(farewell)).await;
    assert!(left.is_ok(), "the server waits for the download");
    assert!(matches!(rest(&mut download).await, Err(FetchError::Broken { .. })));
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_ends_its_connection() {
    let bed = Bed::start().await;
    let device = Device::of(&bed).await;
    let config = tls::client(&device.key, bed.server.pins().to_vec(), tls::ALPN_RELEASE).unwrap();
    for request in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0\0\0\0\x09\0\0\x02{}",
        b"\0\0\0\0\x09\0\xff\xff",
        b"\0\0\0\0\x09\0\0\x10{\"type\":\"fetch\"}",
        b"\0\0\0\x01\x02\0\0\x01x",
    ] {
        let tcp = TcpStream::connect(bed.server.tls).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut tls = TlsConnector::from(Arc::clone(&config)).connect(name, tcp).await.unwrap();
        tls.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the end", tls.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains(r#"{"type":"refused","cause":"protocol"}"#), "{request:?}: {answer:?}");
    }
}
