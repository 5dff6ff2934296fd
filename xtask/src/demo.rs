//! A whole Petit on this machine: the real programs, a small service, a real request.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{Outcome, build_all, build_programs, target};

/// What the demo was asked.
pub(crate) struct DemoArgs {
    once: bool,
    headless: bool,
    service: Option<String>,
}

impl DemoArgs {
    /// Reads the arguments after `demo`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut args = Self { once: false, headless: false, service: None };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--once" => args.once = true,
                "--headless" => args.headless = true,
                "--service" => {
                    let service = rest.next().ok_or("--service needs HOST:PORT, such as localhost:3000")?;
                    // A port alone is a service on this machine.
                    let is_port = service.parse::<u16>().is_ok();
                    args.service =
                        Some(if is_port { format!("localhost:{service}") } else { service.clone() });
                }
                other => return Err(format!("demo does not know {other}; see: cargo xtask help")),
            }
        }
        Ok(args)
    }
}

/// The programs of the demo; ended when it ends, in whatever way.
struct Programs {
    running: RefCell<Vec<Child>>,
    dir: PathBuf,
}

/// Puts a program into a group of its own, so that Ctrl-C reaches this process alone, which then ends the others in
/// order.
fn out_of_reach(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(windows)]
    std::os::windows::process::CommandExt::creation_flags(command, 0x200); // CREATE_NEW_PROCESS_GROUP
}

impl Programs {
    fn start(&self, command: &mut Command) -> Result<(), String> {
        let said = format!("{command:?}");
        out_of_reach(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {said}: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        self.running.borrow_mut().push(child);
        if line.trim_end() == "ready" { Ok(()) } else { Err(format!("{said} did not start")) }
    }
}

impl Programs {
    /// Starts the tray app with its window. It is up when its client can be asked.
    fn start_app(&self, program: &Path, config: &Path) -> Outcome {
        let mut command = Command::new(program);
        command.arg("--config").arg(config).arg("show");
        out_of_reach(&mut command);
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        self.running.borrow_mut().push(child);
        let socket = config.with_file_name("client.sock");
        let limit = Instant::now() + Duration::from_secs(30);
        while !socket.exists() {
            if Instant::now() > limit {
                return Err("the tray app did not start; try --headless".to_owned());
            }
            // It does not say when it is up, because nobody but us would listen.
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // The client first, so that it says goodbye.
        while let Some(mut child) = self.running.get_mut().pop() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs the demo until its request is answered, or until Ctrl-C.
pub(crate) fn run(args: &DemoArgs) -> Outcome {
    println!("Building the programs …");
    // The tray app needs a desktop to run, and WebKit to be built.
    let on_desktop = !args.headless
        && !args.once
        && ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|it| !it.is_empty()));
    let bin = if on_desktop { build_all()? } else { build_programs()? };
    let dir = target()?.join("demo");
    let _ = fs::remove_dir_all(&dir); // what a killed demo has left
    let stop = Arc::new(AtomicBool::new(false));
    let main = std::thread::current();
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        asked.store(true, Ordering::SeqCst);
        main.unpark();
    })
    .map_err(|error| format!("cannot take Ctrl-C: {error}"))?;

    let programs = Programs { running: RefCell::default(), dir: dir.clone() };
    let server = Program { path: bin.join("petit-server"), config: dir.join("server").join("config.toml") };
    let client = Program { path: bin.join("petit-client"), config: dir.join("client").join("config.toml") };
    server.configure(
        "[server]\nproxy_port = 0\nsecure_bind = \"127.0.0.1\"\nsecure_proxy_port = 0\n\
         [server.vitae]\nendpoint = \"http://REGID.localhost:0\"\n",
    )?;
    client.configure("[client]\nkey_store = \"file\"\n")?;
    let made = server.ask(&["init"])?;
    let key = format!("Petit-Key: {}", text(&made, "/visitor_key")?);
    let key_file = dir.join("petit-key");
    write_private(&key_file, &key)?;
    programs.start(&mut server.command(&["run", "--background"]))?;
    let front = server.ask(&["status"])?;
    let front = text(&front, "/http")?;
    println!("1. The server runs: visitors come in at {front}.");

    let target = match &args.service {
        Some(service) => service.clone(),
        None => demo_service()?,
    };
    let invite = server.ask(&["invite"])?;
    let link = dir.join("invite");
    fs::write(&link, text(&invite, "/link")?).map_err(|error| format!("cannot write the invite: {error}"))?;
    println!("2. It has made an invite that works once.");
    let link_path = link.display().to_string();
    let registered = client.ask(&["register", "--service", &target, "--invite-file", &link_path])?;
    let url = text(&registered, "/url")?;
    println!("3. The client has registered with it; its key never leaves this computer.");
    if on_desktop {
        programs.start_app(&bin.join("petit"), &client.config)?;
    } else {
        programs.start(&mut client.command(&["run", "--background"]))?;
    }
    until_connected(&client, args.service.is_none())?;
    println!("4. The client has dialled out to the server and offers {target}.\n");
    println!("   Public address: {url}");
    println!("   Visitors have to show the key in {}.\n", key_file.display());

    request(&front, &url, &key)?;
    hops(&client)?;
    if args.once || stop.load(Ordering::SeqCst) {
        return Ok(());
    }
    println!("\nTry it:      curl -H @{} {url}/", key_file.display());
    println!("Look at it:  {}", client.shown(&["status"]));
    println!("             {}", server.shown(&["status"]));
    println!("Ctrl-C ends it and leaves nothing behind.");
    while !stop.load(Ordering::SeqCst) {
        std::thread::park();
    }
    println!("\nEnding.");
    Ok(())
}

/// One of Petit's programs with its config file.
struct Program {
    path: PathBuf,
    config: PathBuf,
}

impl Program {
    fn configure(&self, config: &str) -> Outcome {
        let dir = self.config.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)
            .and_then(|()| fs::write(&self.config, config))
            .map_err(|error| format!("cannot write {}: {error}", self.config.display()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).arg("--config").arg(&self.config);
        command
    }

    /// What a person would type.
    fn shown(&self, arguments: &[&str]) -> String {
        format!("{} {} -c {}", self.path.display(), arguments.join(" "), self.config.display())
    }

    /// Runs a command and returns the JSON that it prints.
    fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        let output = self.command(arguments).arg("--json").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot run {}: {error}", self.path.display()))?;
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if output.status.success() {
            return Ok(said);
        }
        let problem = said.pointer("/error/message").and_then(Value::as_str).unwrap_or("it did not say why");
        Err(format!("{}: {problem}", self.shown(arguments)))
    }
}

fn text(value: &Value, pointer: &str) -> Result<String, String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("{pointer} is missing in {value}"))
}

/// Reads the client's status as it changes, until the service works (or, for somebody's own, is known not to).
fn until_connected(client: &Program, must_work: bool) -> Outcome {
    let mut watch = client
        .command(&["status", "--watch", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot watch the client: {error}"))?;
    let lines = BufReader::new(watch.stdout.take().ok_or("no output")?).lines();
    let mut light = String::new();
    for line in lines.map_while(Result::ok) {
        let status: Value = serde_json::from_str(&line).unwrap_or_default();
        light = status.pointer("/services/0/light").and_then(Value::as_str).unwrap_or_default().to_owned();
        if light == "green" || (light == "red" && !must_work) {
            break;
        }
    }
    let _ = watch.kill();
    let _ = watch.wait();
    match light.as_str() {
        "green" | "red" => Ok(()),
        _ => Err("the client has ended before it was connected".to_owned()),
    }
}

/// Writes a file that only this user can read.
fn write_private(path: &Path, text: &str) -> Outcome {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Sends a real request to the public front, as a visitor would who has the key.
fn request(front: &str, url: &str, key: &str) -> Outcome {
    let host = url.split_once("://").map_or(url, |(_, host)| host);
    println!("   GET {url}/");
    let start = Instant::now();
    let answer = TcpStream::connect(front).and_then(|mut tcp| {
        write!(tcp, "GET / HTTP/1.1\r\nHost: {host}\r\n{key}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer)?;
        Ok(answer)
    });
    let took = start.elapsed();
    let answer = answer.map_err(|error| format!("the request failed: {error}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    println!("   {}  ({})", head.lines().next().unwrap_or_default(), millis(took));
    for line in body.lines().take(12) {
        println!("   | {line}");
    }
    if head.is_empty() { Err("the server gave no answer".to_owned()) } else { Ok(()) }
}

/// Shows how long each hop takes, measured by an end-to-end probe.
fn hops(client: &Program) -> Outcome {
    let output = client.command(&["ping", "--json"]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run ping: {error}"))?;
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    println!("\n   How long each hop takes:");
    for (name, what) in [
        ("front_us", "public front: accept, read, route"),
        ("tunnel_us", "tunnel: server to client and back"),
        ("service_us", "client to service: connect"),
    ] {
        let took = said.pointer(&format!("/trials/0/trial/{name}")).and_then(Value::as_u64);
        let took = took.map_or_else(|| "not reached".to_owned(), |us| millis(Duration::from_micros(us)));
        println!("   {what:<36}{took:>10}");
    }
    Ok(())
}

fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

/// A private service that says where it is. Ends with the process.
fn demo_service() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .map_err(|error| format!("cannot start the demo service: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    std::thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            std::thread::spawn(move || serve(tcp, address.port()));
        }
    });
    Ok(format!("localhost:{}", address.port()))
}

fn serve(mut tcp: TcpStream, port: u16) {
    let mut lines = match tcp.try_clone() {
        Ok(tcp) => BufReader::new(tcp).lines(),
        Err(_) => return,
    };
    // One answer per request head, for as long as the peer likes.
    while let Some(Ok(first)) = lines.next() {
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let path = first.split_whitespace().nth(1).unwrap_or("/");
        let body = format!(
            "Hello from a private service on port {port}.\nYou asked for {path}.\nNobody can reach me but through the tunnel.\n"
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if tcp.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}
