//! nginx as the private service, curl as the visitor.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use petit_tests::bed::{Bed, client_config};
use petit_tests::conformance::carried;
use petit_tests::pattern::Pattern;
use petit_tests::process::Program;
use petit_tests::program::{Running, curl, port, run};
use petit_tests::visitor::host;
use petit_tests::{row, soon};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tokio::process::Command;

/// nginx on a port of its own.
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    _running: Running,
    dir: TempDir,
}

impl Nginx {
    /// With a folder of files.
    async fn start() -> Self {
        Self::with(
            "location = /connection { return 200 \"$connection $connection_requests\\n\"; }
             location = /moved { return 302 http://$http_host/elsewhere?q=1; }
             location /zip/ { alias www/; gzip on; gzip_types text/plain; gzip_min_length 1; gzip_proxied any; }
             location /put/ { dav_methods PUT DELETE MOVE; create_full_put_path on; }",
        )
        .await
    }

    /// As a proxy in front of a server of Petit's, that makes every request one for `host`.
    pub(super) async fn before(front: SocketAddr, host: &str) -> Self {
        Self::with(&format!(
            "location / {{
                 proxy_pass http://{front}; proxy_http_version 1.1; proxy_buffering off;
                 proxy_set_header Host {host}; proxy_set_header Connection $http_connection;
                 proxy_set_header Upgrade $http_upgrade;
             }}"
        ))
        .await
    }

    async fn with(locations: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["www", "www/put", "tmp"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port()));
        let config = dir.path().join("nginx.conf");
        std::fs::write(&config, config_text(address, locations)).unwrap();
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p"]).arg(dir.path()).arg("-c").arg(&config);
        let mut running = Running::start(command);
        // It listens before it says this.
        running.until("getrlimit(RLIMIT_NOFILE)").await;
        Self { address, _running: running, dir }
    }

    fn www(&self) -> PathBuf {
        self.dir.path().join("www")
    }
}

/// One process, and nothing outside the folder it was started for.
fn config_text(address: SocketAddr, locations: &str) -> String {
    format!(
        "daemon off; master_process off; pid pid; error_log stderr notice;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; root www; client_max_body_size 0;
            client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
            scgi_temp_path tmp; types {{ text/plain txt; }} default_type application/octet-stream;
            server {{ listen {address}; {locations} }}
        }}"
    )
}

/// What curl printed.
async fn curled(front: SocketAddr, arguments: &[impl AsRef<std::ffi::OsStr>]) -> String {
    let mut command = curl(front);
    command.args(arguments);
    run(command).await.ok().out
}

#[tokio::test]
async fn a_part_of_a_file_can_be_asked_for() {
    let rows = [
        row!(Bodies, "Range requests: first, middle, last bytes, several at once (curl, nginx)"),
        row!(Bodies, "A range that is not there (416), a range of what has changed (If-Range)"),
    ];
    let nginx = Nginx::start().await;
    let text: String = (0..2000).map(|number| format!("{number:05}")).collect();
    std::fs::write(nginx.www().join("file.txt"), &text).unwrap();
    let bed = Bed::start().await;
    let client = bed.client_of(nginx.address, "http", "").await;
    let url = format!("http://{}/file.txt", host(&client.id()));
    let front = bed.http();
    let get = |more: &'static [&'static str]| {
        let written = ["--write-out", "|%{http_code}|%header{content-range}|%header{content-length}", &url];
        let arguments: Vec<String> = [&written[..], more].concat().into_iter().map(str::to_owned).collect();
        async move { curled(front, &arguments).await }
    };
    assert_eq!(get(&["--range", "0-9"]).await, "0000000001|206|bytes 0-9/10000|10");
    assert_eq!(get(&["--range", "9990-"]).await, "0199801999|206|bytes 9990-9999/10000|10");
    assert_eq!(get(&["--range", "-5"]).await, "01999|206|bytes 9995-9999/10000|5");
    let several = get(&["--range", "0-4,10-14"]).await;
    for part in ["Content-Range: bytes 0-4/10000\r\n\r\n00000\r\n", "bytes 10-14/10000\r\n\r\n00002\r\n"] {
        assert!(several.contains(part), "{several}");
    }
    let beyond = get(&["--range", "20000-", "--output", "/dev/null"]).await;
    assert!(beyond.starts_with("|416|bytes */10000|"), "{beyond}");
    let changed = get(&["--range", "0-9", "--header", "If-Range: \"another\""]).await;
    assert_eq!(changed, format!("{text}|200||10000"));
    carried(rows);
}

#[tokio::test]
async fn what_nginx_says_of_its_files_arrives() {
    let rows = [
        row!(Messages, "Conditional requests: ETag and 304 (curl, nginx)"),
        row!(Messages, "Redirects keep their Location (curl, nginx)"),
        row!(Bodies, "Content-Encoding passes untouched (curl, nginx)"),
    ];
    let nginx = Nginx::start().await;
    let text = "a line that repeats itself\n".repeat(1000);
    std::fs::write(nginx.www().join("file.txt"), &text).unwrap();
    let bed = Bed::start().await;
    let client = bed.client_of(nginx.address, "http", "").await;
    let base = format!("http://{}", host(&client.id()));
    let file = format!("{base}/file.txt");
    let head = curled(bed.http(), &["--head", "--write-out", "%header{etag}", &file]).await;
    assert!(head.contains("HTTP/1.1 200 OK") && head.contains("content-length: 27000"), "{head}");
    let etag = head.lines().last().unwrap();
    let fresh = format!("If-None-Match: {etag}");
    let code = "|%{http_code}|%header{etag}";
    assert_eq!(
        curled(bed.http(), &["--header", &fresh, "--write-out", code, &file]).await,
        format!("|304|{etag}")
    );
    let (moved, code) = (format!("{base}/moved"), "|%{http_code}|%header{location}");
    let moved = curled(bed.http(), &["--write-out", code, &moved]).await;
    assert!(moved.ends_with(&format!("|302|{base}/elsewhere?q=1")), "{moved}");
    let zipped = [
        "--header",
        "Accept-Encoding: gzip",
        "--write-out",
        "%{stderr}%{size_download} %header{content-encoding}",
    ];
    let zip_url = format!("{base}/zip/file.txt");
    let mut command = curl(bed.http());
    command.args(zipped).args(["--output", "/dev/null", &zip_url]);
    let said = run(command).await.ok();
    let (size, coding) = said.err.split_once(' ').unwrap();
    assert!(size.parse::<usize>().unwrap() < 1000 && coding == "gzip", "{said:?}");
    assert_eq!(curled(bed.http(), &["--compressed", &zip_url]).await, text);
    let [conditional, redirects, coding] = rows;
    carried([conditional, redirects]);
    coding.carried_with("nginx compresses for Petit only with gzip_proxied: it sees the Via of a proxy");
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let row =
        row!(Messages, "Keep-alive: many requests on one connection of the visitor's and one of nginx's");
    let nginx = Nginx::start().await;
    let bed = Bed::start().await;
    let client = bed.client_of(nginx.address, "http", "").await;
    client.until_green("web").await;
    let url = format!("http://{}/connection", host(&client.id()));
    let count = "%{stderr}%{num_connects}\n";
    let mut command = curl(bed.http());
    command.args(["--write-out", count]).args(std::iter::repeat_n(&url, 10));
    let said = run(command).await.ok();
    // A connection is opened for the first request and for no other.
    assert_eq!(said.err.lines().map(|line| line.parse::<u32>().unwrap()).sum::<u32>(), 1, "{said:?}");
    let answers: Vec<(&str, &str)> = said.out.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert!(answers.iter().all(|(connection, _)| *connection == answers[0].0), "{said:?}");
    let counts: Vec<&str> = answers.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
    row.carried();
}

#[tokio::test]
async fn files_are_put_moved_and_deleted() {
    let row = row!(Messages, "PUT, MOVE and DELETE with their own fields (curl, nginx DAV)");
    let nginx = Nginx::start().await;
    let bed = Bed::start().await;
    let client = bed.client_of(nginx.address, "http", "").await;
    let base = format!("http://{}/put", host(&client.id()));
    let code = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    let front = bed.http();
    let a = format!("{base}/deep/a");
    let put = [&code[..], &["--upload-file", "-", "--header", "Expect:", &a]].concat();
    let mut command = curl(front);
    command.args(put);
    assert_eq!(petit_tests::program::run_with(command, "new").await.ok().out, "201");
    let to = format!("Destination: http://{}/put/b", host(&client.id()));
    let moved = curled(front, &[&code[..], &["--request", "MOVE", "--header", &to, &a]].concat()).await;
    assert_eq!(moved, "204");
    let b = format!("{base}/b");
    assert_eq!(curled(front, &[b.as_str()]).await, "new");
    assert_eq!(curled(front, &[&code[..], &["--request", "DELETE", &b]].concat()).await, "204");
    assert_eq!(curled(front, &[&code[..], &[b.as_str()]].concat()).await, "404");
    row.carried();
}

/// Everything a process of its own: nginx, both programs, curl.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_passes_both_ways_and_neither_program_grows() {
    const LENGTH: u64 = 1 << 30;
    let rows = [
        row!(Bodies, "1 GiB down, checksum right, neither program holds it (curl, nginx)"),
        row!(Bodies, "1 GiB up by PUT, checksum right, neither program holds it (curl, nginx)"),
    ];
    let nginx = Nginx::start().await;
    let file = nginx.www().join("large");
    let expected = write_pattern(&file, LENGTH).await;
    let server = Program::server().await;
    let serving = server.up().await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", nginx.address, "http")])).unwrap();
    client.run_with(["register"], &server.invite(["--service-name", "web"]).await).await.ok();
    let tunnelling = client.up().await;
    let status = client.until_green().await;
    let host = format!("{}.localhost", status["services"][0]["id"].as_str().unwrap());
    let front = server.status().await["http"].as_str().unwrap().parse().unwrap();

    let mut command = curl(front);
    command.arg(format!("http://{host}/large")).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let found = soon("the download", sum_of(child.stdout.take().unwrap())).await;
    assert_eq!(found, (LENGTH, expected.clone()));
    assert!(child.wait().await.unwrap().success());

    let mut command = curl(front);
    command.arg("--upload-file").arg(&file).arg(format!("http://{host}/put/large"));
    run(command).await.ok();
    let stored = tokio::fs::File::open(nginx.www().join("put/large")).await.unwrap();
    assert_eq!(sum_of(stored).await, (LENGTH, expected));
    for (program, id) in [("petit-server", serving.id()), ("petit-client", tunnelling.id())] {
        let most = most_memory_kib(id);
        assert!(most < 150 << 10, "{program} took {} MiB", most >> 10);
    }
    carried(rows);
}

/// The most memory that a process ever had.
fn most_memory_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Writes a pattern into a file; returns its checksum.
async fn write_pattern(path: &Path, length: u64) -> String {
    use http_body_util::BodyExt;
    let mut file = BufWriter::with_capacity(1 << 20, tokio::fs::File::create(path).await.unwrap());
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut pattern = Pattern::new(length);
    while let Some(frame) = pattern.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        digest.update(&data);
        file.write_all(&data).await.unwrap();
    }
    file.flush().await.unwrap();
    data_encoding::HEXLOWER.encode(digest.finish().as_ref())
}

async fn sum_of(mut reader: impl tokio::io::AsyncRead + Unpin) -> (u64, String) {
    let mut digest = digest::Context::new(&digest::SHA256);
    let (mut length, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        let count = reader.read(&mut buffer).await.unwrap();
        if count == 0 {
            return (length, data_encoding::HEXLOWER.encode(digest.finish().as_ref()));
        }
        digest.update(&buffer[..count]);
        length += count as u64;
    }
}
