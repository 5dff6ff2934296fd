//! The machine itself: other people on it, files that could have been tampered with, signals, descriptors.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use petit_tests::bed::{Bed, client_config, server_config};
use petit_tests::figures::{Times, figure, rounds};
use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Connects to a socket, asks for the status, and says how far it got.
const ASK: &str = r#"
import socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect(sys.argv[1])
print("connected", end=", ")
try:
    door.sendall(b"GET /status HTTP/1.1\r\nHost: petit\r\n\r\n")
    print(door.recv(15).decode(), end="")
except OSError:
    pass
"#;

/// Runs a shell command as another user of the machine; returns its exit code and what it said.
async fn as_user(user: u32, command: &str) -> (Option<i32>, Vec<u8>) {
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    let mut other = Command::new("setpriv");
    let output = other.args(ids).args(["--clear-groups", "sh", "-c", command]).output().await.unwrap();
    (output.status.code(), output.stdout)
}

/// A66: somebody else on the machine gets nothing out of the sockets or the files, wherever the folder lies.
#[tokio::test]
async fn other_people_of_the_machine_reach_neither_the_sockets_nor_the_files() {
    const OWNER: u32 = 0;
    const NOBODY: u32 = 65534;
    let service = Service::http("s").await;
    let (server, _running, client) = crate::recover::processes(&service).await;
    let _client = client.up().await;
    client.until_green().await;
    for (program, secret, socket) in
        [(&server, "server.key", "server.sock"), (&client, "device.key", "client.sock")]
    {
        let (secret, socket) = (program.dir().join(secret), program.dir().join(socket));
        let read = format!("cat {}", secret.display());
        // Says whether it could connect, and then how the answer begins.
        let ask = format!("python3 -c '{ASK}' {}", socket.display());
        // Temporary folders are closed to others; this one is opened, as a careless person might.
        set(program.dir(), 0o755);
        for command in [&read, &ask] {
            let (exit, said) = as_user(OWNER, command).await;
            assert!(exit == Some(0) && !said.is_empty(), "its owner gets there: {command}: {exit:?}");
        }
        assert_eq!(as_user(NOBODY, &read).await, (Some(1), vec![]));
        assert_eq!(as_user(NOBODY, &ask).await, (Some(1), vec![]), "the socket's mode");
        // The socket is opened, too, as far as its mode goes: now its program looks who it is.
        set(&socket, 0o666);
        assert_eq!(as_user(NOBODY, &ask).await.1, b"connected, ", "an answer for somebody else");
        assert_eq!(as_user(OWNER, &ask).await.1, b"connected, HTTP/1.1 200 OK");
    }
}

/// A67: whatever could have been changed by somebody else is not used, and the reason is told.
#[tokio::test]
async fn files_that_others_could_have_changed_stop_the_start_with_the_reason() {
    let server = Program::server().await;
    let key = server.dir().join("server.key");
    let config = server.config();
    let refused = |what: &'static str, words: &'static [&'static str]| {
        let server = &server;
        async move {
            let said = server.run(["run"]).await;
            assert_ne!(said.exit, 0, "{what}");
            for word in words {
                assert!(said.err.contains(word), "{what}: {word:?} in {:?}", said.err);
            }
        }
    };
    set(&key, 0o644);
    refused("a key that all may read", &["server.key", "chmod 600"]).await;
    set(&key, 0o600);
    let elsewhere = server.dir().join("elsewhere.key");
    std::fs::rename(&key, &elsewhere).unwrap();
    symlink(&elsewhere, &key).unwrap();
    refused("a key that is a link", &["server.key"]).await;
    std::fs::remove_file(&key).unwrap();
    std::fs::rename(&elsewhere, &key).unwrap();
    std::os::unix::fs::chown(&key, Some(12_345), Some(12_345)).unwrap();
    refused("a key of somebody else", &["server.key"]).await;
    std::os::unix::fs::chown(&key, Some(0), Some(0)).unwrap();
    set(&config, 0o666);
    refused("a config that all may write", &["config.toml", "chmod"]).await;
    set(&config, 0o600);
    set(server.dir(), 0o777);
    refused("a folder that all may write", &["chmod"]).await;
    set(server.dir(), 0o700);
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nnonsense\n").unwrap();
    refused("a key that is none", &["server.key"]).await;
}

/// Root in somebody else's folder (`sudo -E`, a HOME that was kept) writes nothing there: its owner may have put links
/// in it.
#[tokio::test]
async fn root_writes_nothing_in_another_users_folder() {
    const OTHER: u32 = 12_345;
    let elsewhere = tempfile::tempdir().unwrap();
    for (program, config, commands) in [
        (
            Program::client(),
            client_config(&[]),
            &[&["service", "add", "web", "127.0.0.1:1"][..], &["register"], &["config", "check"], &["run"]][..],
        ),
        (
            Program::uninitialised_server(),
            server_config(""),
            &[&["init"][..], &["config", "check"], &["run"]][..],
        ),
    ] {
        std::fs::write(program.config(), config).unwrap();
        let victim = elsewhere.path().join("victim");
        std::fs::write(&victim, "as it was").unwrap();
        for name in ["config.lock", "client.lock", "server.lock", "config.last-good.toml"] {
            symlink(&victim, program.dir().join(name)).unwrap();
        }
        let before = names(program.dir());
        for path in [program.dir(), &program.config()] {
            std::os::unix::fs::chown(path, Some(OTHER), Some(OTHER)).unwrap();
        }
        for command in commands {
            let said = program.run(command.iter().copied()).await;
            assert_ne!(said.exit, 0, "{command:?}: {said:?}");
            assert!(said.err.contains("it belongs to another user"), "{command:?}: {said:?}");
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "as it was");
        assert_eq!(names(program.dir()), before);
        // A folder of its own with a config of somebody else's is no better.
        std::os::unix::fs::chown(program.dir(), Some(0), Some(0)).unwrap();
        let said = program.run(["config", "check"]).await;
        assert!(said.exit != 0 && said.err.contains("it belongs to another user"), "{said:?}");
    }
}

/// What lies in a folder.
fn names(folder: &Path) -> std::collections::BTreeSet<std::ffi::OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// A77: there is nothing of Petit's own to be found at the public front.
#[tokio::test]
async fn the_public_front_has_no_pages_of_its_own() {
    let bed = Bed::start().await;
    let service = Service::http("the service's own").await;
    let client = bed.client(&service).await;
    for path in
        ["/metrics", "/debug/pprof", "/health", "/healthz", "/status", "/admin", "/api", "/.well-known/petit"]
    {
        for (host, status) in [("localhost", 404), ("127.0.0.1", 421), ("nobody.localhost", 404)] {
            let answer = bed.visitor().get(host, path).await;
            assert_eq!(answer.status, status, "{host}{path}");
            assert!(answer.petit_error().is_some(), "{host}{path}");
        }
    }
    // At a service's host the path is the service's.
    assert_eq!(bed.visitor().get(&host(&client.id()), "/status/299").await.status, 299);
}

/// A79: signals in the middle of work.
#[tokio::test]
async fn signals_under_load_do_what_they_should() {
    let service = Service::http("s").await;
    let (server, running, client) = crate::recover::processes(&service).await;
    let _client = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let name = format!("{id}.localhost");
    let visitor = server.visitor().await;
    let load = tokio::spawn({
        let name = name.clone();
        async move {
            let mut served = 0;
            while visitor.get(&name, "/").await.status == 200 {
                served += 1;
                if served == 300 {
                    break;
                }
            }
            served
        }
    });
    // Read the config again, and a reader of the output that goes away.
    for _ in 0..20 {
        running.signal("HUP").await;
        running.signal("PIPE").await;
    }
    assert_eq!(load.await.unwrap(), 300, "no request was lost");
    // A request that takes for ever holds up an orderly end; who insists gets it at once.
    let mut waiting = TcpStream::connect(server.visitor().await.front()).await.unwrap();
    waiting.write_all(format!("GET /wait HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes()).await.unwrap();
    service.until_waiting(1).await;
    let start = Instant::now();
    running.signal("TERM").await;
    // A second signal that comes before the first was taken is the same one to the kernel.
    let log = server.dir().join("logs/server.log");
    let noticed = async {
        while !std::fs::read_to_string(&log).unwrap().contains("what is under way is finished first") {
            tokio::task::yield_now().await;
        }
    };
    soon("the server to begin to stop", noticed).await;
    running.signal("TERM").await;
    let exit = running.exit().await;
    assert!(exit == 143 || exit == 0, "{exit}");
    assert!(start.elapsed() < petit_engine::limits::DRAIN / 2, "{:?}", start.elapsed());
}

/// A79: out of descriptors. The server rests instead of spinning, and is there again when there is room.
#[tokio::test]
async fn a_server_without_descriptors_waits_for_some_and_recovers() {
    let service = Service::http("s").await;
    let server = Program::server().await;
    let config = std::fs::read_to_string(server.config()).unwrap();
    // More connections than descriptors, as if the operator had not thought of them.
    let config = config.replace("[server.vitae]", "[server.limits]\nconnections = 100000\n[server.vitae]");
    std::fs::write(server.config(), config).unwrap();
    let running = server.up().await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let _client = client.up().await;
    let id = client.until_green().await["services"][0]["id"].as_str().unwrap().to_owned();
    let name = format!("{id}.localhost");
    let visitor = server.visitor().await;
    let pid = running.id().to_string();
    let limit = |count: &str| {
        let (pid, count) = (pid.clone(), format!("--nofile={count}:"));
        async move {
            assert!(Command::new("prlimit").args(["--pid", &pid, &count]).status().await.unwrap().success());
        }
    };
    limit("64").await;
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut tcp = TcpStream::connect(visitor.front()).await.unwrap();
        let _ = tcp.write_all(b"GET /").await;
        held.push(tcp);
    }
    // The clock of its processor stands nearly still: no loop is spinning.
    let ticks = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // From the state on, which is behind the name: utime and stime are the 12th and the 13th (proc(5)).
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum::<u64>()
    };
    let log = server.dir().join("logs/server.log");
    soon("the server to say so", async {
        while !std::fs::read_to_string(&log).unwrap().contains("cannot accept connections") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let before = ticks(&pid);
    let start = Instant::now();
    // The one wait by the clock here is the thing that is measured.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let share = (ticks(&pid) - before) as f64 / 100.0 / start.elapsed().as_secs_f64();
    figure(format!("out of descriptors: {:.0} % of one processor", share * 100.0));
    assert!(share < 0.5, "{share}");
    drop(held);
    let answer = visitor.until("the server to recover", &name, "/", |answer| answer.status == 200).await;
    assert_eq!(answer.text(), "s");
    limit("1024").await;
    drop((server, client));
}

/// R15.
#[tokio::test]
async fn revocations_end_sessions_at_once_every_time() {
    let bed = Bed::start().await;
    let service = Service::http("s").await;
    let mut times = Times::default();
    for _ in 0..rounds(20, 1000) {
        let client = bed.client_with(&[("web", service.address(), "http")]).await;
        client.until_green("web").await;
        let mut tcp = TcpStream::connect(bed.http()).await.unwrap();
        let head = format!("GET /bytes/100000000000 HTTP/1.1\r\nHost: {}\r\n\r\n", host(&client.id()));
        tcp.write_all(head.as_bytes()).await.unwrap();
        let mut buffer = vec![0; 64 * 1024];
        assert!(tcp.read(&mut buffer).await.unwrap() > 0);
        let start = Instant::now();
        let device = client.registered.device;
        bed.server.directory.revoke(device, petit_server::registry::Actor::Operator).await.unwrap();
        soon("the session to end", async {
            while bed.server.relay.sessions().iter().any(|session| session.device == device) {
                tokio::task::yield_now().await;
            }
            while tcp.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        })
        .await;
        times.add(start.elapsed());
    }
    figure(format!("R15 revoked: session gone and download cut: {}", times.summary()));
    assert!(times.longest() <= Duration::from_secs(1), "{}", times.summary());
}
