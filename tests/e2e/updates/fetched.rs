//! What a client makes of the release that its server hands out: the real programs, a line that breaks, servers that mean
//! no good, and servers of before.

use std::os::unix::fs::MetadataExt;

use petit_engine::agent::{FetchError, Source, fetch};
use petit_engine::net::dial::DialRoute;
use petit_engine::proto::control::{BUNDLE_FILE, FetchAnswer, FetchRefusal, FetchedBy, Message, Text};
use petit_engine::secret::PrivateKey;
use petit_host::update::{Bundle, ROOTS};
use petit_tests::authority::Identity;
use petit_tests::chaos::{Chaos, Direction, Trouble};
use tokio::net::{TcpListener, TcpStream};

use super::hostile::{Answer, Hostile};
use super::release::FILE;
use super::*;
use crate::crash::disk::SmallDisk;

impl Home {
    /// Where a server's operator puts the root keys.
    pub(super) fn give_roots_to_server(&self, release: &Release) {
        std::fs::copy(release.roots(), self.server.dir().join(ROOTS)).unwrap();
    }

    pub(super) async fn put(&self, release: &Release) -> Said {
        let folder = release.folder();
        self.server.run(["release".as_ref(), "put".as_ref(), folder.as_os_str()]).await
    }

    pub(super) async fn fetched(&self) -> Said {
        self.client.run(["upgrade", "--keep", "0s"]).await
    }

    /// The updater goes there from now on. The client that runs stays where it is.
    fn go_to(&self, server: std::net::SocketAddr) {
        let path = self.client.dir().join("registration.json");
        let mut registration: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        registration["server"] = server.to_string().into();
        std::fs::write(&path, registration.to_string()).unwrap();
    }

    async fn tls(&self) -> std::net::SocketAddr {
        self.server.status().await["tls"].as_str().unwrap().parse().unwrap()
    }

    /// What is left of downloads.
    fn parts(&self) -> Vec<u64> {
        let folder = std::fs::read_dir(self.client.dir().join("release")).unwrap();
        let parts = folder.map(|entry| entry.unwrap().path());
        let parts = parts.filter(|path| path.extension().is_some_and(|end| end == "part"));
        parts.map(|path| path.metadata().unwrap().len()).collect()
    }
}

#[tokio::test]
async fn the_release_of_the_server_takes_over_without_a_lost_request() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::new(&release).await;
    let said = home.fetched().await.ok();
    assert!(said.out.contains("hands out no release for this computer now"), "{said:?}");
    let said = home.put(&release).await;
    refused(&said, "there are no root keys");
    home.give_roots_to_server(&release);
    let said = home.put(&release).await.ok();
    assert!(said.out.contains("People who ask for it get this from now on"), "{said:?}");
    let shown = home.server.run(["release", "show", "--json"]).await.ok().json();
    assert!(shown["damage"].is_null(), "{shown}");
    assert_eq!(shown["release"]["targets"][0]["version"], NEXT, "{shown}");
    // Programs learn as well that its copy is damaged.
    let releases = home.server.dir().join("releases");
    let current = std::fs::read_to_string(releases.join("current")).unwrap();
    let copy = releases.join(current.trim()).join(release.artifact().file_name().unwrap());
    let whole = std::fs::read(&copy).unwrap();
    std::fs::write(&copy, [&whole[..whole.len() - 1], b"?"].concat()).unwrap();
    let said = home.server.run(["release", "show", "--json"]).await;
    let shown = said.json();
    let damage = shown["damage"].as_str().unwrap_or_default();
    assert!(said.exit == 1 && damage.contains("is not the file that was signed"), "{said:?}");
    assert_eq!(shown["release"]["targets"][0]["version"], NEXT, "{shown}");
    std::fs::write(&copy, &whole).unwrap();

    // The client that runs is told of it when it is rolled out, and says so.
    home.server.run(["rollout", "start", "--rings", "100%"]).await.ok();
    home.client.until("another version", |status| status["available"] == NEXT).await;
    assert!(home.client.dir().join("updates.json").exists(), "what it has looked at counts as seen");
    let said = home.client.run(["status"]).await.ok();
    assert!(said.out.contains("version 0.1.1 is there; install it with: petit-client upgrade"), "{said:?}");
    let pid = home.pid().await;
    let manifest = home.client.dir().join("release").join("manifest.json");
    let written = manifest.metadata().unwrap().ino();
    // Nobody has fetched it.
    std::fs::create_dir(manifest.with_file_name("left")).unwrap();
    let said = home.client.run(["upgrade", "--check", "--json"]).await.ok().json();
    assert_eq!(manifest.metadata().unwrap().ino(), written, "documents are written when they are others");
    assert_eq!(said, serde_json::json!({ "outcome": "available", "before": "0.1.0", "version": NEXT }));
    home.is_as_before(pid).await;
    let mut visitors = Steady::start(
        home.visitor.front(),
        vec![home.host.clone()],
        Duration::from_millis(25),
        Manner::Fresh,
    );
    visitors.more(10).await;
    let said = home.fetched().await.ok();
    assert!(said.out.contains("Version 0.1.1 has taken the place of 0.1.0"), "{said:?}");
    visitors.more(10).await;
    let met = visitors.end().await;
    assert_eq!(met.disappointed(), 0, "{:?} {:?} {:?}", met.statuses, met.errors, met.failures);
    home.until_version(NEXT).await;
    let left: Vec<_> = std::fs::read_dir(home.client.dir().join("release")).unwrap().collect();
    assert_eq!(left.len(), 2, "only the lock, and what is not of a release: {left:?}");
    let said = home.fetched().await.ok();
    assert!(said.out.contains("0.1.1 is installed here, and this release has nothing newer"), "{said:?}");

    let withdrawn = home.server.run(["release", "withdraw"]).await.ok();
    assert!(withdrawn.out.contains("No release is handed out any more"), "{withdrawn:?}");
    let said = home.client.run(["upgrade", "--json"]).await.ok().json();
    assert_eq!(said["outcome"], "none", "{said}");
    // Its end is said in time, and what is over is not put.
    release.put_until(AFTER, b"no program", Time::now().after(Duration::from_hours(24)));
    home.put(&release).await.ok();
    let said = home.server.run(["config", "check"]).await.ok();
    assert!(said.out.contains("note: the release expires at"), "{said:?}");
    release.put_until(
        AFTER,
        b"no program",
        Time::new(std::time::SystemTime::now() - Duration::from_hours(1)),
    );
    refused(&home.put(&release).await, "the manifest expired at");
    home.stop().await;
}

#[tokio::test]
async fn a_server_that_means_no_good_gets_nothing_into_the_programs_place() {
    let mut release = Release::new();
    release.put(NEXT, &script(NEXT, "exit 1"));
    let home = Home::new(&release).await;
    let pid = home.pid().await;
    let key = std::fs::read(home.server.dir().join("server.key")).unwrap();
    let hostile = Hostile::start(PrivateKey::from_text(&key).unwrap()).await;
    home.go_to(hostile.address());

    // Documents.
    let no_release = "has sent something that is no release";
    hostile.set(|_| Answer::file(b"<html>"));
    refused(&home.fetched().await, no_release);
    hostile.set(|_| Answer::of(FetchAnswer::File { length: u64::MAX }, &[b'{'; 1 << 20]));
    refused(&home.fetched().await, no_release);
    let many =
        Bundle { root_signatures: vec![String::new(); 1000], ..Bundle::read(&release.folder()).unwrap() };
    hostile.set(move |_| Answer::file(&serde_json::to_vec(&many).unwrap()));
    refused(&home.fetched().await, no_release);
    hostile.set(|_| Answer::raw(b"HTTP/1.1 200 OK\r\n\r\n"));
    refused(&home.fetched().await, "something that is no answer");
    let mut changed = Bundle::read(&release.folder()).unwrap();
    changed.manifest = changed.manifest.replace(NEXT, "9.9.9");
    hostile.set(move |_| Answer::file(&serde_json::to_vec(&changed).unwrap()));
    refused(&home.fetched().await, "not signed by release key 1");
    let mut stranger = Release::new();
    stranger.put(NEXT, b"a stranger's");
    hostile.honest(&stranger.folder());
    refused(&home.fetched().await, "signed by 0 of the root keys");
    hostile.set(|_| Answer::of(FetchAnswer::Refused { cause: FetchRefusal::Busy }, &[]));
    refused(&home.fetched().await, "hands out as many files as it can");

    // An artifact in another one's place.
    let program = std::fs::read(release.artifact()).unwrap();
    let instead = |answer: Answer| {
        let folder = release.folder();
        hostile.set(move |wanted| match wanted.file.as_str() {
            BUNDLE_FILE => Answer::file(&serde_json::to_vec(&Bundle::read(&folder).unwrap()).unwrap()),
            _ => answer.clone(),
        });
    };
    let mut other = program.clone();
    other[program.len() / 2] ^= 1;
    instead(Answer::file(&other));
    refused(&home.fetched().await, "is not the file that was signed: its SHA-256 is");
    assert!(home.parts().is_empty(), "nothing of it is kept");
    instead(Answer::file(&[&program[..], b"more"].concat()));
    refused(&home.fetched().await, "has another file of");
    instead(Answer::of(FetchAnswer::Nothing {}, &[]));
    refused(&home.fetched().await, "does not hand out this release any more");
    instead(Answer::of(FetchAnswer::Refused { cause: FetchRefusal::NotThere }, &[]));
    refused(&home.fetched().await, "has no such file");
    // One that goes on for ever has no more taken of it than was signed.
    let length = program.len() as u64;
    let endless = [&program[..], &vec![0; 1 << 20]].concat();
    instead(Answer::of(FetchAnswer::File { length }, &endless));
    refused(&home.fetched().await, "version 0.1.1 did not work here, so 0.1.0 is back");

    // What was seen counts, and an old release is not put in its place.
    let old = release.copy();
    release.put(AFTER, b"no program");
    hostile.honest(&release.folder());
    refused(&home.fetched().await, "did not pass its test");
    hostile.honest(&old);
    refused(&home.fetched().await, "an old one was put back");
    home.is_as_before(pid).await;
    let said = home.client.run(["upgrade", "--lang", "de"]).await;
    refused(&said, "nichts wurde geändert; was läuft, läuft weiter");
    home.stop().await;
}

#[tokio::test]
async fn half_of_a_program_is_kept_until_the_rest_comes_and_then_is_the_whole() {
    let mut release = Release::new();
    let program = of_version(NEXT);
    release.put(NEXT, &program);
    let home = Home::new(&release).await;
    home.give_roots_to_server(&release);
    home.put(&release).await.ok();
    let chaos = Chaos::before(home.tls().await).await;
    home.go_to(chaos.address());

    // An updater that is killed in the middle of it.
    let length = program.len() as u64;
    chaos.set(Direction::Back, Trouble::bytes_per_second(8 * 1024 * 1024));
    let mut updater = home.client.start(["upgrade"]);
    soon("a part of the program", async {
        while !home.client.dir().join("release").exists()
            || home.parts().iter().all(|part| *part < length / 8)
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    updater.kill().await.unwrap();
    chaos.cut();

    // A line that breaks again and again.
    chaos.set(Direction::Back, Trouble { reset_after: Some(length / 4), ..Trouble::default() });
    let said = home.fetched().await.ok();
    assert!(said.out.contains("Version 0.1.1 has taken the place of 0.1.0"), "{said:?}");
    assert!(chaos.accepted() >= 2 + 3, "it was dialled {} times", chaos.accepted());
    let carried = chaos.carried(Direction::Back);
    assert!(carried < length + length / 2, "{carried} bytes for {length}");
    home.until_version(NEXT).await;
    home.stop().await;
}

#[tokio::test]
async fn a_download_that_is_cut_again_and_again_is_given_up_and_goes_on_the_next_time() {
    let mut release = Release::new();
    release.put(NEXT, &script(NEXT, "exit 1"));
    let home = Home::new(&release).await;
    let key = std::fs::read(home.server.dir().join("server.key")).unwrap();
    let hostile = Hostile::start(PrivateKey::from_text(&key).unwrap()).await;
    home.go_to(hostile.address());
    // Longer than two pieces, of which one comes.
    let program = [script(NEXT, "exit 1"), vec![b'#'; 80_000]].concat();
    release.put(NEXT, &program);
    let (folder, length) = (release.folder(), program.len() as u64);
    let cut = program.clone();
    hostile.set(move |wanted| match (wanted.file.as_str(), wanted.from) {
        (BUNDLE_FILE, _) => Answer::file(&serde_json::to_vec(&Bundle::read(&folder).unwrap()).unwrap()),
        (_, 0) => Answer::of(FetchAnswer::File { length }, &cut[..50_000]),
        _ => Answer::of(FetchAnswer::File { length }, &[]),
    });
    let said = home.fetched().await;
    refused(&said, "broke, or stood still");
    assert!(said.err.contains("the next upgrade goes on from there"), "{said:?}");
    let [part] = home.parts()[..] else { panic!("{:?}", home.parts()) };
    assert!(part > 0 && part <= 50_000, "{part}");
    hostile.honest(&release.folder());
    hostile.forget();
    refused(&home.fetched().await, "version 0.1.1 did not work here");
    assert_eq!(hostile.asked().last().map(|wanted| wanted.from), Some(part));

    // What was kept and is another one's is thrown away, and all of it fetched anew.
    let program = [script(AFTER, "exit 1"), vec![b'#'; 80_000]].concat();
    release.put(AFTER, &program);
    let sum = petit_host::update::Measured::of(&program[..]).unwrap().sha256;
    std::fs::write(home.client.dir().join("release").join(format!("{sum}.part")), vec![b'x'; 40_000])
        .unwrap();
    hostile.forget();
    refused(&home.fetched().await, "version 0.1.2 did not work here");
    let from: Vec<u64> = hostile.asked().iter().map(|wanted| wanted.from).collect();
    assert_eq!(from, [0, 40_000, 0], "documents, the rest, all of it");
    home.stop().await;
}

#[tokio::test]
async fn a_disk_that_is_full_is_told_and_has_its_room_back() {
    let mut release = Release::new();
    release.put(NEXT, &vec![b'x'; 2 << 20]);
    let home = Home::new(&release).await;
    home.give_roots_to_server(&release);
    home.put(&release).await.ok();
    let pid = home.pid().await;
    let _disk = SmallDisk::of_size(&home.client.dir().join("release"), "size=1m");
    refused(&home.fetched().await, "No space left on device");
    assert!(home.parts().is_empty());
    home.is_as_before(pid).await;
    home.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_is_given_up() {
    let key = PrivateKey::generate().unwrap();
    let hostile = Hostile::start(key.clone()).await;
    let source = Source {
        server: hostile.address().to_string().parse().unwrap(),
        route: DialRoute::default(),
        pins: vec![key.public().fingerprint()],
        key: PrivateKey::generate().unwrap(),
    };
    hostile.set(|_| Answer::of(FetchAnswer::File { length: 100_000 }, &[b'x'; 50_000]).and_hold());
    let wanted = petit_engine::proto::control::Fetch {
        target: Text::lossy("t"),
        file: Text::lossy(FILE),
        from: 0,
        by: FetchedBy::Hand,
    };
    let mut download = soon("an answer", fetch(&source, wanted)).await.unwrap().unwrap();
    assert!(download.piece().await.unwrap().is_some());
    tokio::time::pause();
    let error = soon("its end", download.piece()).await.unwrap_err();
    let FetchError::Broken { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
    assert!(error.is_passing());
}

/// How a server of before takes a connection for a release.
#[derive(Clone, Copy, Debug)]
enum OldServer {
    /// It has no certificate for visitors, and closes.
    Closes,
    /// It shows visitors a certificate.
    Https,
}

#[tokio::test]
async fn a_server_of_before_is_told_from_one_that_is_not_reached() {
    let release = Release::new();
    let home = Home::new(&release).await;
    let real = home.tls().await;
    for old in [OldServer::Closes, OldServer::Https] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        home.go_to(listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                connections.spawn(as_of_before(old, tcp, real));
            }
        });
        let said = home.fetched().await;
        refused(&said, "is of a version that hands out no releases");
        assert!(said.err.contains("upgrade --from FOLDER"), "{old:?}: {said:?}");
        serving.abort();
    }
    home.go_to(Chaos::before(real).await.address());
    let said = home.fetched().await;
    assert_eq!(said.exit, 1);
    assert!(!said.err.contains("is of a version"), "nothing listens there: {said:?}");
    home.stop().await;
}

/// Passes a session on, and takes everything else for a visitor's.
async fn as_of_before(old: OldServer, mut tcp: TcpStream, real: std::net::SocketAddr) {
    let mut hello = vec![0; 4096];
    // ALPN is readable in a ClientHello, which may come in two packets.
    let is_release = loop {
        let seen = tcp.peek(&mut hello).await.unwrap();
        let has = |text: &[u8]| hello[..seen].windows(text.len()).any(|at| at == text);
        if has(b"petit-release/1") {
            break true;
        }
        if has(b"petit/1") {
            break false;
        }
        tokio::task::yield_now().await;
    };
    match old {
        _ if !is_release => {
            let mut other = TcpStream::connect(real).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut tcp, &mut other).await;
        }
        OldServer::Closes => {}
        OldServer::Https => {
            let config = Identity::self_signed(&["127.0.0.1"]).server(&["h2", "http/1.1"]);
            let _ = tokio_rustls::TlsAcceptor::from(config).accept(tcp).await;
        }
    }
}

/// The message that a test waits for is one that an agent understands.
#[test]
fn answers_are_written_as_the_page_of_the_wire_has_them() {
    let written = |answer: FetchAnswer| String::from_utf8(answer.encode().unwrap()).unwrap();
    assert_eq!(written(FetchAnswer::File { length: 1834 }), r#"{"type":"file","length":1834}"#);
    assert_eq!(written(FetchAnswer::Nothing {}), r#"{"type":"nothing"}"#);
    let busy = FetchAnswer::Refused { cause: FetchRefusal::Busy };
    assert_eq!(written(busy), r#"{"type":"refused","cause":"busy"}"#);
}
