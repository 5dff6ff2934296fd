//! Databases behind raw TCP services, with their own programs at both ends.

use std::path::{Path, PathBuf};

use petit_tests::bed::{Bed, BedClient};
use petit_tests::conformance::carried;
use petit_tests::program::{Running, port, run, run_with, unprivileged};
use petit_tests::row;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

/// The port of a raw TCP service.
async fn port_of(client: &BedClient) -> String {
    client.url("db").await.rsplit(':').next().unwrap().to_owned()
}

/// The folder of PostgreSQL's programs, which is not on the path.
fn postgres_bin() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("cargo xtask setup installs PostgreSQL");
    let bin = versions.map(|version| version.unwrap().path().join("bin"));
    bin.filter(|bin| bin.join("initdb").exists()).max().unwrap()
}

struct Postgres {
    port: u16,
    _running: Running,
    _dir: TempDir,
}

impl Postgres {
    async fn start() -> Self {
        let (dir, bin) = (tempfile::tempdir().unwrap(), postgres_bin());
        let data = dir.path().join("data");
        let mut command = unprivileged(bin.join("initdb"), dir.path());
        command.args(["--no-sync", "--auth=trust", "--username=petit", "--encoding=UTF8", "--locale=C"]);
        run_quietly(command.arg("--pgdata").arg(&data)).await;
        let port = port();
        let mut command = unprivileged(bin.join("postgres"), dir.path());
        command.arg("-D").arg(&data).arg("-k").arg(dir.path()).arg("-p").arg(port.to_string());
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        let mut running = Running::start(command).ending_with(Signal::QUIT);
        running.until("ready to accept connections").await;
        Self { port, _running: running, _dir: dir }
    }
}

async fn run_quietly(command: &mut Command) {
    let taken = std::mem::replace(command, Command::new("true"));
    run(taken).await.ok();
}

/// psql through the tunnel, which is told nothing of the server but the tunnel's port.
fn psql(port: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1"]);
    command.arg(format!("host=127.0.0.1 port={port} user=petit dbname=postgres connect_timeout=20"));
    command
}

async fn sql(port: &str, text: &str) -> String {
    run_with(psql(port), text).await.ok().text().to_owned()
}

#[tokio::test]
async fn psql_works_through_the_tunnel() {
    let rows = [
        row!(Tcp, "PostgreSQL: queries, COPY in and out, a large result (psql)"),
        row!(Tcp, "PostgreSQL: a query is cancelled from another connection (psql)"),
        row!(Tcp, "PostgreSQL: eight sessions at once (pgbench)"),
    ];
    let postgres = Postgres::start().await;
    let bed = Bed::start().await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], postgres.port));
    let client = bed.client_with(&[("db", address, "tcp")]).await;
    client.until_green("db").await;
    let port = port_of(&client).await;
    assert_eq!(sql(&port, "select 6 * 7;").await, "42");
    let error = run_with(psql(&port), "select * from nothing;").await;
    assert!(error.exit != 0 && error.err.contains("relation \"nothing\" does not exist"), "{error:?}");

    let rows_in: String = (0..100_000).map(|number| format!("{number}\tline {number}\n")).collect();
    let script =
        format!("create table t(a int, b text);\ncopy t from stdin;\n{rows_in}\\.\nselect sum(a) from t;\n");
    assert_eq!(sql(&port, &script).await, "4999950000");
    let out = run_with(psql(&port), "copy (select * from t order by a) to stdout;").await.ok().out;
    assert!(out == rows_in, "what came out is what went in");

    // Cancelling opens a second connection that names the first (protocol 53.2.8).
    let cancelled = "set statement_timeout = 0; select pg_sleep(600);";
    let mut sleeping = psql(&port);
    sleeping.args(["--command", cancelled]);
    let sleeping = Running::start(sleeping);
    let sleeps =
        "select pid from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid();";
    petit_tests::soon("the query to run", async { while sql(&port, sleeps).await.is_empty() {} }).await;
    sleeping.interrupt();
    let (exit, said) = sleeping.exit().await;
    assert!(exit != 0 && said.iter().any(|line| line.contains("Cancel request sent")), "{exit}: {said:?}");
    assert_eq!(sql(&port, sleeps).await, "", "the query has ended at the server, long before its time");

    let bench = |more: &'static [&'static str]| {
        let mut command = Command::new(postgres_bin().join("pgbench"));
        command.args(["--host=127.0.0.1", "--username=petit", &format!("--port={port}")]);
        command.args(more).arg("postgres");
        run(command)
    };
    bench(&["--initialize", "--quiet", "--no-vacuum"]).await.ok();
    let said = bench(&["--client=8", "--transactions=50", "--no-vacuum"]).await.ok();
    assert!(said.out.contains("number of transactions actually processed: 400/400"), "{said:?}");
    assert!(said.out.contains("number of failed transactions: 0 "), "{said:?}");
    carried(rows);
}

struct MariaDb {
    port: u16,
    _running: Running,
    _dir: TempDir,
}

impl MariaDb {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut command = unprivileged("mariadb-install-db", dir.path());
        command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        run_quietly(command.arg(format!("--datadir={}", data.display()))).await;
        let port = port();
        let mut command = unprivileged("/usr/sbin/mariadbd", dir.path());
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
        command.arg(format!("--port={port}")).arg(in_folder("--socket", dir.path(), "socket"));
        command.arg(in_folder("--pid-file", dir.path(), "pid")).arg(in_folder(
            "--datadir",
            dir.path(),
            "data",
        ));
        let mut running = Running::start(command);
        running.until("ready for connections").await;
        Self { port, _running: running, _dir: dir }
    }
}

fn in_folder(option: &str, folder: &Path, file: &str) -> String {
    format!("{option}={}", folder.join(file).display())
}

/// Its server speaks first; until then its client says nothing.
#[tokio::test]
async fn mariadb_works_through_the_tunnel() {
    let row = row!(Tcp, "MariaDB, whose server speaks first: log-in, queries, a large result (mariadb)");
    let mariadb = MariaDb::start().await;
    let bed = Bed::start().await;
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], mariadb.port));
    let client = bed.client_with(&[("db", address, "tcp")]).await;
    client.until_green("db").await;
    let port = port_of(&client).await;
    let sql = |text: &str| {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--user=root", "--batch"]);
        command.args(["--skip-column-names", &format!("--port={port}")]);
        let text = text.to_owned();
        async move { run_with(command, &text).await }
    };
    assert_eq!(sql("select 6 * 7;").await.ok().text(), "42");
    let error = sql("select * from nothing.at_all;").await;
    assert!(error.exit != 0 && error.err.contains("ERROR 1146"), "{error:?}");
    let large =
        sql("create database petit; use petit; select repeat('x', 1000) from seq_1_to_5000;").await.ok();
    assert_eq!(large.out.len(), 5000 * 1001);
    assert!(large.out.lines().all(|line| line.len() == 1000 && line.bytes().all(|byte| byte == b'x')));
    row.carried();
}
