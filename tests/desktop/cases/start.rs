//! Starting: once, twice, with the session, after a crash, and where it cannot.

use std::time::{Duration, Instant};

use petit_tests::process::Program;
use petit_tests::service::Service;
use petit_tests_desktop::app::{App, petit};
use petit_tests_desktop::panel::Panel;
use petit_tests_desktop::session::Session;

use crate::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_shows_the_window_of_the_first() {
    let (session, client) = (Session::start().await, Program::client());
    let panel = Panel::start(session.bus()).await;
    let first = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    assert!(session.windows().await.is_empty());
    let second = App::start(&session, &client, &[]).ended().await;
    assert_eq!(second.exit, 0, "{second:?}");
    session.until_window(true).await;
    session.close_window().await;
    let quiet = App::start(&session, &client, &["--autostart"]).ended().await;
    assert_eq!(quiet.exit, 0);
    assert!(session.windows().await.is_empty(), "a silent second start stays silent");
    // One that hangs is told from one that is there.
    first.signal("STOP").await;
    let third = App::start(&session, &client, &[]).ended().await;
    assert_eq!(third.exit, 1);
    assert!(third.said.contains("does not answer"), "{third:?}");
    first.signal("CONT").await;
    let quit = App::start(&session, &client, &["quit"]).ended().await;
    assert_eq!(quit.exit, 0, "{quit:?}");
    assert_eq!(first.ended().await.exit, 0);
    icon.until_gone().await;
    assert_eq!(App::start(&session, &client, &["quit"]).ended().await.exit, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_app_starts_again_and_resumes_what_was_wished() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("again").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    for (wish, line) in [("Stop", "Switched off"), ("Start", "Working: ")] {
        let before = panel.registrations();
        let app = App::start(&session, &client, &["--autostart"]);
        let icon = panel.icon_after(before).await;
        icon.until_line("a state", |line| line.starts_with("Working: ") || line == "Switched off").await;
        icon.click(wish).await;
        icon.until_line(line, |shown| shown.starts_with(line)).await;
        app.signal("KILL").await;
        assert_eq!(app.ended().await.exit, 128);
        // What it has left behind passes for nobody.
        assert_eq!(App::start(&session, &client, &["quit"]).ended().await.exit, 3);
        assert_eq!(client.run(["status"]).await.exit, 3);
        let before = panel.registrations();
        let again = App::start(&session, &client, &["--autostart"]);
        panel.icon_after(before).await.until_line(line, |shown| shown.starts_with(line)).await;
        again.signal("KILL").await;
        again.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_autostart_entry_is_run_as_written_and_shows_no_window() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("at login").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    // Where an entry that is not quoted does not lead.
    let place = session.home().join("My \"own\" $apps");
    std::fs::create_dir(&place).unwrap();
    for name in ["petit", "petit-desktop"] {
        std::fs::copy(petit().with_file_name(name), place.join(name)).unwrap();
    }
    let program = place.join("petit");
    let app = App::start_as(&session, &program, &client.config(), &["--autostart"]);
    panel.icon().await.click("Start on login").await;
    let entry = session.config_home().join("autostart/petit.desktop");
    petit_tests::soon("the entry", async {
        while !entry.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    app.signal("TERM").await;
    app.ended().await;

    session.said("desktop-file-validate", &[entry.to_str().unwrap()]).await;
    // What a desktop does with it: GLib reads and runs the entry.
    let before = panel.registrations();
    let started = session
        .command("gio")
        .arg("launch")
        .arg(&entry)
        .env("PETIT_CONFIG", client.config())
        .spawn()
        .expect("gio is installed by `cargo xtask test`");
    let icon = panel.icon_after(before).await;
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    assert!(session.windows().await.is_empty());
    let children = session.said("pgrep", &["-f", &format!("{}.*WebKit", place.display())]).await;
    assert!(children.is_empty(), "no web view was started: {children}");
    icon.click("Disconnect and quit").await;
    icon.until_gone().await;
    drop(started);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_desktop_it_says_so_in_words() {
    let (session, client) = (Session::start().await, Program::client());
    let start = async |change: &dyn Fn(&mut tokio::process::Command)| {
        let mut command = session.command(petit());
        command.arg("--config").arg(client.config());
        change(&mut command);
        let output = petit_tests::soon("an answer", command.output()).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (exit, said) = start(&|command| {
        command.env_remove("DISPLAY");
    })
    .await;
    assert_eq!(exit, Some(1));
    assert!(said.contains("there is no desktop here") && said.contains("petit-client"), "{said}");
    let version = session.said(petit().to_str().unwrap(), &["--version"]).await;
    assert_eq!(version.trim(), concat!("petit ", env!("CARGO_PKG_VERSION")));
    let (exit, said) = start(&|command| {
        command.arg("--nonsense");
    })
    .await;
    assert_eq!(exit, Some(2), "{said}");
    let (exit, said) = start(&|command| {
        command.arg("https://h/enroll#v1.canary");
    })
    .await;
    assert!(exit == Some(2) && !said.contains("canary"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_webkit_it_says_what_to_install() {
    let (session, client) = (Session::start().await, Program::client());
    // In a name space of its own the library is an empty file.
    let script = "for lib in $(ldconfig -p | grep -o '/.*libwebkit2gtk-4.1.so.0$'); do mount --bind /dev/null \"$(readlink -f $lib)\"; done; exec \"$@\"";
    let mut command = session.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(petit()).arg("--config").arg(client.config());
    let output = petit_tests::soon("an answer", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("libwebkit2gtk-4.1") && said.contains("apt install"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smoke_test_passes() {
    let (session, client) = (Session::start().await, Program::client());
    let ended = App::start(&session, &client, &["smoke-test"]).ended().await;
    assert_eq!(ended.exit, 0, "{ended:?}");
    assert!(ended.said.contains("all is well"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_costs() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("cheap").await;
    let client = served.client(&service).await;
    let panel = Panel::start(session.bus()).await;
    let begin = Instant::now();
    let app = App::start(&session, &client, &["--autostart"]);
    let icon = panel.icon().await;
    petit_tests::figures::figure(format_args!(
        "tray app: cold start to tray {} ms",
        begin.elapsed().as_millis()
    ));
    icon.until_line("it to work", |line| line.starts_with("Working: ")).await;
    let seconds = petit_tests::figures::rounds(20, 60) as u64;
    let busy = app.processor(Duration::from_secs(seconds)).await;
    petit_tests::figures::figure(format_args!("tray app: idle processor time {:.3} %", busy * 100.0));
    assert!(busy < 0.03, "{busy}");
    let (own, children) = app.memory();
    petit_tests::figures::figure(format_args!("tray app: memory without a window {} MB", own / 1024));
    assert_eq!(children, 0, "{:?}", app.children());
    assert!(own < 150 * 1024, "{own}");
    icon.click("Open Petit").await;
    session.until_window(true).await;
    petit_tests::soon("the web view", async {
        while !app.children().iter().any(|name| name.starts_with("WebKitWebProc")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (own, children) = app.memory();
    petit_tests::figures::figure(format_args!(
        "tray app: memory with a window {} MB, and {} MB of WebKit",
        own / 1024,
        children / 1024
    ));
    session.close_window().await;
    petit_tests::soon("the web view to go", async {
        while app.children().iter().any(|name| name.starts_with("WebKitWebProc")) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let begin = Instant::now();
    app.signal("TERM").await;
    assert_eq!(app.ended().await.exit, 0);
    petit_tests::figures::figure(format_args!(
        "tray app: from SIGTERM to its end {} ms",
        begin.elapsed().as_millis()
    ));
    assert!(begin.elapsed() < Duration::from_secs(3));
}
