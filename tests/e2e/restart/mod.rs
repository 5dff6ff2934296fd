//! Restarts: nothing is refused, what moves moves without a gap, and a new process that is no good changes nothing.

mod client;
mod coming_back;
mod dying;
mod failing;
mod foreground;
mod goodbye;
mod health;
mod measured;
mod moving;
mod overlap;
mod policies;
mod server;
mod stopping;
mod telling;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use petit_tests::bed::client_config;
use petit_tests::logs::until_logged;
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::steady::{Manner, Steady};
use petit_tests::visitor::{Answer, Visitor, request, whole};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server, and a client with one service of HTTP and one of raw TCP, all of them real.
struct Whole {
    server: Program,
    client: Program,
    client_running: Option<Running>,
    visitor: Visitor,
    /// The public host of the HTTP service.
    host: String,
    /// The public address of the TCP service.
    tcp: String,
    http_service: Service,
    _tcp_service: Service,
}

impl Whole {
    /// Starts everything; the server by `petit-server start`, with more settings.
    async fn start(more: &str) -> Self {
        let server = Program::server_with(&petit_tests::bed::server_config(more)).await;
        server.run(["start"]).await.ok();
        Self::with(server).await
    }

    /// Adds a client to a server that runs.
    async fn with(server: Program) -> Self {
        let (http_service, tcp_service) = (Service::http("s").await, Service::tcp_echo("hi").await);
        let client = Program::client();
        let services = [("web", http_service.address(), "http"), ("db", tcp_service.address(), "tcp")];
        std::fs::write(client.config(), client_config(&services)).unwrap();
        client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
        let client_running = client.up().await;
        let is_green = |status: &serde_json::Value| {
            let services = status["services"].as_array().unwrap();
            services.len() == 2 && services.iter().all(|service| service["light"] == "green")
        };
        let status = client.until("two green lights", is_green).await;
        let service = |name: &str| {
            let services = status["services"].as_array().unwrap();
            services.iter().find(|service| service["name"] == name).unwrap().clone()
        };
        let visitor = server.visitor().await;
        Self {
            host: format!("{}.localhost", service("web")["id"].as_str().unwrap()),
            tcp: service("db")["url"].as_str().unwrap().strip_prefix("tcp://").unwrap().to_owned(),
            server,
            client,
            client_running: Some(client_running),
            visitor,
            http_service,
            _tcp_service: tcp_service,
        }
    }

    /// Waits until the server's status is as wanted.
    async fn until(&self, what: &str, is_it: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        soon(what, async {
            loop {
                let status = self.server.status().await;
                if is_it(&status) {
                    return status;
                }
            }
        })
        .await
    }

    /// Forty visitors a second, each with a connection of its own.
    fn visitors(&self) -> Steady {
        let hosts = vec![self.host.clone()];
        Steady::start(self.visitor.front(), hosts, Duration::from_millis(25), Manner::Fresh)
    }

    /// A request that has reached the service, which answers it when it is told to let go.
    async fn held_request(&self) -> JoinHandle<Answer> {
        let asked = request(&self.host, "GET", "/wait", Empty::<Bytes>::new());
        let visitor = self.visitor;
        let waiting = tokio::spawn(async move { whole(visitor.open(asked).await).await });
        self.http_service.until_waiting(1).await;
        waiting
    }

    /// The server's log.
    fn log(&self) -> std::path::PathBuf {
        self.server.dir().join("logs/server.log")
    }

    /// The process that serves.
    async fn pid(&self) -> u32 {
        u32::try_from(self.server.status().await["pid"].as_u64().unwrap()).unwrap()
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Waits until a process has ended.
pub(crate) async fn gone(pid: u32) {
    let process = match pidfd_open(Pid::from_raw(pid.try_into().unwrap()).unwrap(), PidfdFlags::empty()) {
        Err(Errno::SRCH) => return, // and whoever has started it has been told
        process => process.unwrap(),
    };
    let (sender, ended) = oneshot::channel();
    // In a thread of its own, for which a test that gives up does not wait.
    std::thread::spawn(move || {
        let _ = retry_on_intr(|| poll(&mut [PollFd::new(&process, PollFlags::IN)], None));
        let _ = sender.send(());
    });
    ended.await.unwrap();
}

/// True while a process runs.
fn is_there(pid: u32) -> bool {
    // A process that has ended and that nobody has asked for is a zombie.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
