//! The real programs, killed and stopped in the middle of everything: what was cut does not look whole, what may
//! finish does, and afterwards all is as before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use petit_engine::limits;
use petit_tests::bed::{client_config, server_config};
use petit_tests::chaos::Chaos;
use petit_tests::home_line::{HomeLine, Path, on_home_line};
use petit_tests::pattern::{Check, Pattern};
use petit_tests::process::{Program, Running};
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Visitor, request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::whole;

/// `petit-server` at the vendor's and `petit-client` at the customer's, with an HTTP service and a raw TCP one.
struct Programs {
    line: HomeLine,
    server: Program,
    server_process: Running,
    client: Arc<Program>,
    client_process: Running,
    modem: Chaos,
    visitor: Visitor,
    web: Service,
    _files: Service,
    /// How each connection of the TCP service on which something was said has ended.
    ends: mpsc::UnboundedReceiver<(u64, std::io::Result<()>)>,
    host: String,
    files: String,
}

impl Programs {
    async fn start(line: HomeLine) -> Self {
        // The vendor's host is the test's own, so are its ports; a server that comes back has to have the same.
        let config = server_config("").replace("secure_proxy_port = 0", "secure_proxy_port = 8453");
        let config = config.replace("proxy_port = 0\nsecure_bind", "proxy_port = 8090\nsecure_bind");
        let config = config.replace("localhost:0", "localhost:8090").replace("\"0-0\"", "\"20000-20009\"");
        let modem = line.to("127.0.0.1:8453".parse().unwrap()).await;
        let tunnel = format!("tunnel_address = \"{}\"\n[server.vitae]", modem.address());
        let server = Program::server_with(&config.replace("[server.vitae]", &tunnel)).await;
        let server_process = server.up().await;

        let (sender, ends) = mpsc::unbounded_channel();
        let web = line.customer.run(Service::http("home")).await;
        let files = line.customer.run(Service::speaking("files", move |mut tcp| {
            let sender = sender.clone();
            async move {
                let end = Check::default().read_from(&mut tcp).await;
                if end.0 > 0 {
                    let _ = sender.send(end);
                }
            }
        }));
        let files_service = files.await;
        let client = Arc::new(Program::client());
        let services = [("web", web.address(), "http"), ("files", files_service.address(), "tcp")];
        std::fs::write(client.config(), client_config(&services)).unwrap();
        let (link, program) = (server.invite([""; 0]).await, Arc::clone(&client));
        let started = async move {
            program.run_with(["register"], &link).await.ok();
            let running = program.up().await;
            (
                running,
                program
                    .until("both services to be there", |status| {
                        let services = status["services"].as_array().unwrap();
                        services.len() == 2 && services.iter().all(|service| service["light"] == "green")
                    })
                    .await,
            )
        };
        let (client_process, status) = line.customer.run(started).await;
        let url = |name: &str| {
            let services = status["services"].as_array().unwrap();
            let service = services.iter().find(|service| service["name"] == name).unwrap();
            service["url"].as_str().unwrap().split("://").nth(1).unwrap().to_owned()
        };
        let (host, files) = (url("web").split(':').next().unwrap().to_owned(), url("files"));
        let visitor = Visitor::new("127.0.0.1:8090".parse().unwrap());
        Self {
            line,
            server,
            server_process,
            client,
            client_process,
            modem,
            visitor,
            web,
            _files: files_service,
            ends,
            host,
            files,
        }
    }

    async fn download(&self, length: u64) -> Incoming {
        let asked = request(&self.host, "GET", &format!("/bytes/{length}"), Empty::<Bytes>::new());
        self.visitor.open(asked).await.into_body()
    }

    /// Waits until requests pass again, and checks that everything does.
    async fn all_is_as_before(&mut self) {
        self.visitor.until("requests to pass again", &self.host, "/", |answer| answer.status == 200).await;
        let length = 300_000;
        whole(self.download(length).await, length).await;
        let up = self.visitor.send(request(&self.host, "POST", "/sum", Pattern::new(length))).await;
        assert_eq!(up.text(), format!("{length} {}", Pattern::sum(length)));
        let mut tcp = TcpStream::connect(&self.files).await.unwrap();
        Pattern::new(length).write_to(&mut tcp).await.unwrap();
        tcp.shutdown().await.unwrap();
        let heard = soon("the end at the service", self.ends.recv()).await.unwrap();
        assert!(matches!(heard, (count, Ok(())) if count == length), "{heard:?}");
        let client = Arc::clone(&self.client);
        self.line.customer.run(async move { client.until_green().await }).await;
    }
}

/// What is under way in both directions when something is killed.
struct UnderWay {
    downloads: Vec<Incoming>,
    upload: tokio::task::JoinHandle<petit_tests::visitor::Answer>,
    file: TcpStream,
    socket: tokio_tungstenite::WebSocketStream<TcpStream>,
}

/// What has cut everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CutBy {
    /// Its system closes the connections of a process that is killed; of raw TCP the visitor sees no more than that.
    TheServersDeath,
    SomethingElse,
}

impl UnderWay {
    async fn begin(programs: &Programs) -> Self {
        let mut downloads = Vec::new();
        for _ in 0..3 {
            let mut body = programs.download(100_000_000).await;
            soon("the first piece", body.frame()).await.unwrap().unwrap();
            downloads.push(body);
        }
        let (visitor, host) = (programs.visitor, programs.host.clone());
        let asked = request(&host, "POST", "/sum", Pattern::new(1_000_000_000));
        let upload = tokio::spawn(async move { visitor.send(asked).await });
        let mut file = TcpStream::connect(&programs.files).await.unwrap();
        Pattern::new(500_000).write_to(&mut file).await.unwrap();
        let tcp = programs.visitor.tcp().await;
        let (mut socket, _) = tokio_tungstenite::client_async(format!("ws://{host}/ws"), tcp).await.unwrap();
        socket.send("before".into()).await.unwrap();
        soon("an echo", socket.next()).await.unwrap().unwrap();
        Self { downloads, upload, file, socket }
    }

    /// Waits until all of it has ended. Nothing of it looks whole to its visitor.
    async fn until_cut(mut self, by: CutBy) {
        for body in self.downloads {
            assert!(soon("the end of a download", body.collect()).await.is_err());
        }
        // Either its connection broke, or it is told why.
        if let Ok(answer) = soon("the end of the upload", self.upload).await {
            assert!(answer.status.is_server_error(), "{}", answer.text());
        }
        let end = soon("the end of the file", self.file.read(&mut [0; 1])).await;
        assert!(end.is_err() || by == CutBy::TheServersDeath, "{end:?}");
        let end = soon("the end of the WebSocket", self.socket.next()).await;
        assert!(end.as_ref().is_none_or(Result::is_err), "{end:?}");
    }
}

#[test]
fn a_server_that_is_killed_under_load_leaves_nothing_that_looks_whole_and_comes_back() {
    on_home_line(Path::MOBILE, async |line| {
        let mut programs = Programs::start(line).await;
        for _ in 0..2 {
            let under_way = UnderWay::begin(&programs).await;
            let old = programs.server_process;
            old.kill().await;
            under_way.until_cut(CutBy::TheServersDeath).await;
            let (count, end) = soon("the end at the service", programs.ends.recv()).await.unwrap();
            assert!(end.is_err() && count <= 500_000, "half a file after {count} bytes: {end:?}");
            programs.server_process = programs.server.up().await;
            programs.all_is_as_before().await;
        }
    });
}

#[test]
fn a_client_that_is_killed_under_load_leaves_nothing_that_looks_whole_and_comes_back() {
    on_home_line(Path::MOBILE, async |line| {
        let mut programs = Programs::start(line).await;
        let under_way = UnderWay::begin(&programs).await;
        programs.client_process.kill().await;
        under_way.until_cut(CutBy::SomethingElse).await;
        // To the service it is the end of a process: what its system makes of open connections is a close.
        let (count, _) = soon("the end at the service", programs.ends.recv()).await.unwrap();
        assert!(count <= 500_000);
        let client = Arc::clone(&programs.client);
        programs.client_process = programs.line.customer.run(async move { client.up().await }).await;
        programs.all_is_as_before().await;
    });
}

/// Downloads that fill the line, and end within the time that leaving leaves them.
async fn downloads_that_may_finish(programs: &Programs) -> (u64, Vec<Incoming>) {
    let length = programs.line.path.downloaded_in(limits::DRAIN * 2 / 3) / 3;
    let mut downloads = Vec::new();
    for _ in 0..3 {
        downloads.push(programs.download(length).await);
    }
    (length, downloads)
}

#[test]
fn a_server_that_is_stopped_under_load_finishes_what_is_under_way() {
    on_home_line(Path::MOBILE, async |line| {
        let mut programs = Programs::start(line).await;
        let (length, downloads) = downloads_that_may_finish(&programs).await;
        programs.server_process.signal("TERM").await;
        join_all(downloads.into_iter().map(|body| whole(body, length))).await;
        assert_eq!(programs.server_process.exit().await, 0);
        programs.server_process = programs.server.up().await;
        programs.all_is_as_before().await;
    });
}

#[test]
fn a_client_that_is_stopped_under_load_finishes_what_is_under_way() {
    on_home_line(Path::MOBILE, async |line| {
        let mut programs = Programs::start(line).await;
        let (length, downloads) = downloads_that_may_finish(&programs).await;
        let requests = programs.web.requests();
        programs.client_process.signal("TERM").await;
        join_all(downloads.into_iter().map(|body| whole(body, length))).await;
        assert_eq!(programs.client_process.exit().await, 0);
        assert!(programs.web.requests() <= requests, "nothing new has come");
        let client = Arc::clone(&programs.client);
        programs.client_process = programs.line.customer.run(async move { client.up().await }).await;
        programs.all_is_as_before().await;
    });
}

#[test]
fn a_line_that_breaks_again_and_again_under_load_serves_again_each_time() {
    on_home_line(Path::DSL, async |line| {
        let mut programs = Programs::start(line).await;
        for _ in 0..4 {
            let under_way = UnderWay::begin(&programs).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            programs.modem.reset();
            under_way.until_cut(CutBy::SomethingElse).await;
            let (count, end) = soon("the end at the service", programs.ends.recv()).await.unwrap();
            assert!(end.is_err() && count <= 500_000, "half a file after {count} bytes: {end:?}");
            programs.all_is_as_before().await;
        }
    });
}
