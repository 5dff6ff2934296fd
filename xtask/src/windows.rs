//! The Windows programs, built here and run under Wine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::beside::Beside;
use crate::dist_windows::{self, Order, Vendor, for_windows};
use crate::made::Build;
use crate::run::{Outcome, build_all, root, succeed, target, test_of};
use crate::setup::{Needed, install};
use crate::watch::watch;

const NEEDED: &[Needed] =
    &[("wine", "wine", "runs programs for Windows"), ("Xvfb", "xvfb", "a display for the tray app")];

/// Installs what building for Windows and Wine need: what is prepared beside other steps finds it, as two cannot install
/// at a time.
pub(crate) fn install_needed() -> Outcome {
    install(NEEDED, &[], "The Windows programs need")?;
    dist_windows::install_needed()
}

/// Builds the programs for Windows, makes their installers, and builds the unit tests: all that needs no Wine.
pub(crate) fn prepare() -> Outcome {
    install_needed()?;
    setups()?;
    succeed(units()?.arg("--no-run"))
}

/// Runs the tests under Wine, of what was prepared or is now. Says how many passed.
pub(crate) fn check(prepared: Option<Beside>) -> Result<String, String> {
    match prepared {
        Some(prepared) => prepared.finish(&mut std::io::stdout())?,
        None => prepare()?,
    }
    let wine = Wine::of_the_tests()?;
    let mut tests = test_of("windows");
    let programs = dist_windows::folder(Build::Debug)?;
    tests.env("PETIT_PROGRAMS", build_all()?).env("PETIT_WINDOWS_PROGRAMS", programs);
    tests.env("PETIT_WINDOWS_SETUPS", dist()?).env("PETIT_WINDOWS_TOOLS", tools()?);
    let watched = watch(wine.set(&mut tests))?;
    let mut units = units()?;
    units.args(["--", "pipe::", "control::server::", "power::", "service::install::", "autostart::"]);
    units.args(["lock::", "placing::"]);
    let units = watch(wine.set(&mut units))?;
    drop(wine);
    let all = watched.and(units);
    if all.success { Ok(format!("{} passed under Wine", all.passed)) } else { Err(all.failures()) }
}

/// What only Windows has, among the unit tests.
fn units() -> Result<Command, String> {
    let mut units = for_windows("test", &["petit-windows", "petit-host", "petit-app"])?;
    units.arg("--lib");
    Ok(units)
}

/// Where the installers are.
fn dist() -> Result<PathBuf, String> {
    Ok(target()?.join("dist/windows-tests"))
}

/// Builds the programs and makes the installers, a vendor's and then Petit's, whose programs stay. Petit's is made twice:
/// the same programs have to give the same bytes.
fn setups() -> Outcome {
    let dist = dist()?;
    let vendor = Vendor::read(&root().join("tests/windows/nordlicht.toml"))?;
    let programs = dist_windows::programs(Build::Debug, Some(&vendor))?;
    let (dist, build) = (dist.as_path(), Build::Debug);
    let version = dist_windows::VERSION;
    let order = |programs, vendor| Order { programs, dist, vendor, roots: None, build, version };
    dist_windows::installer(&order(&programs, Some(&vendor)))?;
    let programs = dist_windows::programs(Build::Debug, None)?;
    let made = || {
        let setup = dist_windows::installer(&order(&programs, None))?;
        fs::read(&setup).map_err(|error| format!("{}: {error}", setup.display()))
    };
    if made()? == made()? {
        for tray in [TrayApp::Next, TrayApp::Broken, TrayApp::Dying, TrayApp::Leaving] {
            another(&programs, dist, tray)?;
        }
        Ok(())
    } else {
        Err("the same programs gave two different installers".to_owned())
    }
}

/// The version that follows this one: as long, so that it can be written over it.
const NEXT: &str = "0.1.1";

/// What the installer of the next version brings.
#[derive(Clone, Copy)]
enum TrayApp {
    Next,
    /// One that does not run.
    Broken,
    /// One that says its version, and dies when it is to run.
    Dying,
    /// The same, but it ends as if that were well.
    Leaving,
}

impl TrayApp {
    /// Its folder, and its source where it is none of ours.
    fn made_of(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Next => ("next", None),
            Self::Broken => ("broken", Some("broken.c")),
            Self::Dying => ("dying", Some("dying.c")),
            Self::Leaving => ("leaving", Some("leaving.c")),
        }
    }
}

/// Makes the installer of the next version.
fn another(programs: &Path, dist: &Path, tray: TrayApp) -> Outcome {
    let (folder, source) = tray.made_of();
    let dist = dist.join(folder);
    let changed = dist.join("programs");
    fs::create_dir_all(&changed).map_err(|error| format!("{}: {error}", changed.display()))?;
    for name in ["petit.exe", "petit-client.exe", "WebView2Loader.dll"] {
        let (from, to) = (programs.join(name), changed.join(name));
        let mut bytes = fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
        if source.is_none() {
            make_next(&mut bytes);
        }
        fs::write(&to, bytes).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    if let Some(source) = source {
        let mut compile = Command::new("x86_64-w64-mingw32-gcc");
        compile.arg(root().join("tests/windows").join(source));
        succeed(compile.arg("-o").arg(changed.join("petit.exe")))?;
    }
    let (dist, build) = (dist.as_path(), Build::Debug);
    let order = Order { programs: &changed, dist, vendor: None, roots: None, build, version: NEXT };
    dist_windows::installer(&order).map(drop)
}

/// Makes a program that of the next version.
fn make_next(program: &mut [u8]) {
    let own = dist_windows::VERSION.as_bytes();
    let mut at = 0;
    while let Some(rest) = program.get_mut(at..) {
        let Some(found) = rest.windows(own.len()).position(|part| part == own) else { break };
        if let Some(place) = rest.get_mut(found..found + NEXT.len()) {
            place.copy_from_slice(NEXT.as_bytes());
        }
        at += found + NEXT.len();
    }
}

/// Compiles the small programs of the tests, such as what lets tray icons be clicked under Wine; returns their folder.
fn tools() -> Result<PathBuf, String> {
    let folder = target()?.join("wine-tools");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let hook: (&str, &[&str]) = ("tray_hook.c", &["-shared", "-s"]);
    let runner: (&str, &[&str]) = ("tray_hook.c", &["-DRUNNER", "-municode"]);
    let made = [
        ("tray_hook.dll", hook),
        ("tray_runner.exe", runner),
        ("faulty.exe", ("faulty.c", &[])),
        ("hold.exe", ("hold.c", &["-municode"])),
    ];
    for (made, (source, how)) in made {
        let mut compile = Command::new("x86_64-w64-mingw32-gcc");
        compile.args(how).arg("-Os").arg(root().join("tests/windows").join(source));
        succeed(compile.arg("-o").arg(folder.join(made)))?;
    }
    Ok(folder)
}

/// A Windows of the tests' own, with a display. All that runs in it ends with this.
struct Wine {
    prefix: PathBuf,
    display: Display,
}

/// A display that nobody sees.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    fn new() -> Result<Self, String> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = command.spawn().map_err(|error| format!("cannot run Xvfb: {error}"))?;
        let mut number = String::new();
        if let Some(said) = server.stdout.take() {
            let read = BufReader::new(said).read_line(&mut number);
            read.map_err(|error| format!("Xvfb did not say which display it is: {error}"))?;
        }
        Ok(Self { server, name: format!(":{}", number.trim()) })
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Wine {
    /// Makes it, once, beside what cargo builds.
    fn of_the_tests() -> Result<Self, String> {
        let this = Self { prefix: target()?.join("wine"), display: Display::new()? };
        let made = this.prefix.join("made");
        if !made.exists() {
            fs::create_dir_all(&this.prefix)
                .map_err(|error| format!("{}: {error}", this.prefix.display()))?;
            println!("Making a Windows for the tests in {}.", this.prefix.display());
            succeed(this.set(Command::new("wineboot").arg("-i")))?;
            succeed(this.set(Command::new("wine").args(["winecfg", "-v", "win10"])))?;
            // With its own server, which writes down what was set when nobody uses it any more.
            succeed(this.set(Command::new("wineserver").arg("-w")))?;
            fs::write(&made, "").map_err(|error| format!("{}: {error}", made.display()))?;
        }
        this.fill_gap()?;
        this.begin()?;
        Ok(this)
    }

    /// Starts what Wine runs beside programs. A test's own program would give them its output, and keep it open.
    fn begin(&self) -> Outcome {
        succeed(self.set(Command::new("wineserver").arg("-p")))?;
        let mut boot = Command::new("wineboot");
        succeed(self.set(&mut boot).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// Wine 8 lacks the library that Rust's standard library takes randomness from, which every Windows has since 7.
    fn fill_gap(&self) -> Outcome {
        let library = self.prefix.join("drive_c/windows/system32/bcryptprimitives.dll");
        let mut compile = Command::new("x86_64-w64-mingw32-gcc");
        compile.args(["-shared", "-Os", "-s"]).arg(root().join("tests/windows/bcryptprimitives.c"));
        succeed(compile.arg("-o").arg(&library).arg("-ladvapi32"))
    }

    fn set<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("WINEPREFIX", &self.prefix).env("WINEARCH", "win64").env("WINEDEBUG", "-all");
        command.env("DISPLAY", &self.display.name);
        // Without .NET and the browser, which would be asked for.
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=")
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let _ = self.set(Command::new("wineserver").arg("-k")).status();
    }
}
