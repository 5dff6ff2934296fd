//! The tray app: its icon, its menu by clicks, the box where there is no window, and what later starts ask of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use petit_tests::soon;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::installer::{RUN, User, value};

/// Waits between two looks at what another process brings about.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The desktop that the app is on, as Wine draws it: the icon is the last thing in the corner.
const DESKTOP: &str = "/desktop=petit,1200x700";
const ICON: (i32, i32) = (1190, 690);
/// Where entries stand in the menu of a computer that is not set up, in parts of its height.
const OPEN: f64 = 0.41;
const START_ON_LOGIN: f64 = 0.75;
const QUIT: f64 = 0.92;

/// The app on a desktop of Windows' own.
struct Tray {
    folder: TempDir,
    program: PathBuf,
    _desktop: Child,
}

impl Tray {
    /// Starts it as a login does, with what lets Wine's icons be clicked, on a computer that is not set up.
    async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts it with a config file, where there is one.
    async fn start_with(config: Option<&str>) -> Self {
        let folder_of = |name: &str| {
            PathBuf::from(std::env::var_os(name).expect("run this by `cargo xtask test windows`"))
        };
        let program = folder_of("PETIT_WINDOWS_PROGRAMS").join("petit.exe");
        let tools = folder_of("PETIT_WINDOWS_TOOLS");
        let folder = tempfile::tempdir().unwrap();
        if let Some(config) = config {
            fs::write(folder.path().join("config.toml"), config).unwrap();
        }
        let on_windows = |path: &Path| format!("Z:{}", path.display()).replace('/', "\\");
        let mut command = Command::new("wine");
        command.args(["explorer", DESKTOP, &on_windows(&tools.join("tray_runner.exe"))]);
        command.args([on_windows(&tools.join("tray_hook.dll")), on_windows(&program)]).arg("--autostart");
        command.env("PETIT_CONFIG", folder.path().join("config.toml")).env("LC_ALL", "C.UTF-8");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let this = Self { _desktop: command.spawn().unwrap(), folder, program };
        this.until("the app to answer", "stop", 0).await;
        this
    }

    /// Starts the program once more; returns how that start exits.
    async fn ask(&self, wanted: &str) -> i32 {
        let mut command = Command::new("wine");
        command.arg(&self.program).arg(wanted).env("PETIT_CONFIG", self.folder.path().join("config.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        soon("a start to end", command.status()).await.unwrap().code().unwrap_or(128)
    }

    /// Asks until that exits as is wanted: with 3 once the app has ended.
    async fn until(&self, what: &str, wanted: &str, exit: i32) {
        soon(what, async {
            while self.ask(wanted).await != exit {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    /// Opens the menu with the right button; returns its width and height.
    async fn open_menu(&self) -> (f64, f64) {
        soon("the menu", async {
            loop {
                click(ICON, 3).await;
                for _ in 0..20 {
                    if let Some(size) = menu().await {
                        return size;
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
        })
        .await
    }

    /// Opens the menu and clicks an entry.
    async fn choose(&self, entry: f64) {
        // Its right lower corner is at the edge of the desktop and where the mouse was.
        let (width, height) = self.open_menu().await;
        let (x, y) = (1200.0 - width / 2.0, f64::from(ICON.1) - height * (1.0 - entry));
        click((x as i32, y as i32), 1).await;
    }
}

async fn xdotool(arguments: &[&str]) -> String {
    let output = Command::new("xdotool").args(arguments).output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn click((x, y): (i32, i32), button: u8) {
    xdotool(&["mousemove", &x.to_string(), &y.to_string(), "click", &button.to_string()]).await;
}

async fn size_of(window: &str) -> Option<(f64, f64)> {
    let shell = xdotool(&["getwindowgeometry", "--shell", window]).await;
    let number = |name: &str| shell.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
    Some((number("WIDTH=")?, number("HEIGHT=")?))
}

/// The size of a menu that is open: the one window without a name that is neither the screen nor a bar.
async fn menu() -> Option<(f64, f64)> {
    for window in xdotool(&["search", "--onlyvisible", "--name", "^$"]).await.lines() {
        if let Some((width, height)) = size_of(window).await
            && (50.0..600.0).contains(&width)
            && (80.0..600.0).contains(&height)
        {
            return Some((width, height));
        }
    }
    None
}

/// The boxes that say that there is no window.
async fn boxes() -> Vec<String> {
    let found = xdotool(&["search", "--onlyvisible", "--name", "Petit has no window"]).await;
    found.lines().map(str::to_owned).collect()
}

async fn until_boxes(count: usize) {
    soon("the box", async {
        while boxes().await.len() != count {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_tray_app_is_worked_by_its_menu_and_by_later_starts() {
    // Alone, because the registry is shared.
    let _user = User::new().await;
    let tray = Tray::start().await;

    // The tick writes what the installer writes.
    let program = format!("Z:{}", tray.program.display()).replace('/', "\\");
    for wanted in [Some(format!("\"{program}\" --autostart")), None] {
        tray.choose(START_ON_LOGIN).await;
        soon("the tick to be kept", async {
            while value(RUN, "Petit").await != wanted {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        })
        .await;
    }

    // There is no WebView2 here, which is said once, however often somebody asks.
    tray.choose(OPEN).await;
    until_boxes(1).await;
    assert_eq!(tray.ask("show").await, 0);
    assert_eq!(tray.ask("petit://enroll#v1.AAAA").await, 0, "a link goes to the one that runs");
    assert_eq!(tray.ask("start").await, 0);
    assert_eq!(boxes().await.len(), 1);
    let said = boxes().await.pop().unwrap();
    // Its button is in the middle, at the lower end.
    let (width, height) = size_of(&said).await.unwrap();
    let (x, y) = ((width / 2.0).to_string(), (height - 25.0).to_string());
    xdotool(&["mousemove", "--window", &said, &x, &y, "click", "1"]).await;
    until_boxes(0).await;
    assert_eq!(tray.ask("stop").await, 0, "it goes on without a window");

    // Somebody has left the menu open.
    tray.open_menu().await;
    assert_eq!(tray.ask("quit").await, 0);
    tray.until("its end", "quit", 3).await;
    drop(tray);

    let tray = Tray::start().await;
    tray.choose(QUIT).await;
    tray.until("its end", "quit", 3).await;
}

/// Wine has no service for toasts. A note is worth one here: it is written down that none is shown, and that is all.
#[tokio::test]
async fn a_windows_without_notifications_costs_a_line_in_the_log() {
    let _user = User::new().await;
    let tray = Tray::start_with(Some("[client]\nnonsense = 1\n")).await;
    let log = tray.folder.path().join("logs/app.log");
    soon("the line", async {
        while !fs::read_to_string(&log).is_ok_and(|log| log.contains("this Windows shows no notifications")) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    assert_eq!(tray.ask("stop").await, 0, "it goes on");
    assert_eq!(tray.ask("quit").await, 0);
    tray.until("its end", "quit", 3).await;
}
