//! Installing what the tests and the benchmark need.

use std::path::Path;
use std::process::Command;

use crate::run::{Outcome, cargo, is_installed, root, succeed, target};

/// A program, the Debian package that has it, and why it is needed.
pub(crate) type Needed = (&'static str, &'static str, &'static str);

/// What the tests need.
const NEEDED: &[Needed] = &[
    ("dbus-daemon", "dbus", "a session bus for the keychain"),
    ("gnome-keyring-daemon", "gnome-keyring", "a real keychain for the device key"),
    ("secret-tool", "libsecret-tools", "looks into that keychain from outside"),
    ("gdbus", "libglib2.0-bin", "locks that keychain"),
    ("curl", "curl", "speaks HTTP over a socket, as a stranger would, and every version of it as a visitor"),
    ("gio", "libglib2.0-bin", "runs an autostart entry as a desktop does"),
    ("Xvfb", "xvfb", "a display for the tray app"),
    ("openbox", "openbox", "a window manager on it"),
    ("xdotool", "xdotool", "sees whether a window is there"),
    ("wmctrl", "wmctrl", "closes a window as its user does"),
    ("WebKitWebDriver", "webkit2gtk-driver", "drives the real window"),
    ("import", "imagemagick", "takes pictures of it"),
    ("node", "nodejs", "runs the suite of the window's page"),
    ("npm", "npm", "fetches what that suite is written with"),
    ("chromium", "chromium", "the browser that it runs in"),
    ("desktop-file-validate", "desktop-file-utils", "checks desktop entries"),
    ("pgrep", "procps", "looks for processes"),
    ("python3", "python3", "a program that listens, and a reader of ZIP files"),
    ("faketime", "faketime", "sets the clock of a program, and nobody else's"),
    ("ip", "iproute2", "networks of the tests' own, to unplug"),
    ("tinyproxy", "tinyproxy", "an HTTP proxy on the way to the server"),
    ("microsocks", "microsocks", "a SOCKS5 proxy on the way to the server"),
    ("h2load", "nghttp2-client", "many visitors in HTTP/2"),
    ("nginx", "nginx-light", "a private service, and a proxy in front of the server"),
    ("initdb", "postgresql", "a database behind the tunnel"),
    ("psql", "postgresql-client", "its client"),
    ("mariadbd", "mariadb-server-core", "a database whose server speaks first"),
    ("mariadb", "mariadb-client-core", "its client"),
    ("strace", "strace", "sees what a program has flushed to the disk, and when"),
    ("minisign", "minisign", "signs releases with throw-away keys, and checks what was signed"),
    ("setpriv", "util-linux", "runs the databases, which refuse to be root"),
];

/// Where Debian keeps PostgreSQL's programs; they are not on the path.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// Libraries that the tray app is compiled with: what pkg-config calls them, and their packages.
const LIBRARIES: [(&str, &str); 2] =
    [("webkit2gtk-4.1", "libwebkit2gtk-4.1-dev"), ("gtk+-3.0", "libgtk-3-dev")];

/// Installs what the tests need and what is missing.
pub(crate) fn run() -> Outcome {
    components()?;
    packages()?;
    python()
}

/// Debian's packages.
fn packages() -> Outcome {
    let has = |library: &str| {
        let asked = Command::new("pkg-config").args(["--exists", library]).status();
        asked.is_ok_and(|status| status.success())
    };
    let mut libraries: Vec<&str> =
        LIBRARIES.iter().filter(|(library, _)| !has(library)).map(|(_, package)| *package).collect();
    if !is_installed("pkg-config") {
        libraries.push("pkg-config");
    }
    install(NEEDED, &libraries, "The tests need")
}

/// Installs what is missing, and says what and why. `libraries` are packages that are known to be.
pub(crate) fn install(needed: &[Needed], libraries: &[&str], who_needs: &str) -> Outcome {
    let is_there = |program: &str| match program {
        "initdb" => std::fs::read_dir(POSTGRESQL).is_ok_and(|mut versions| {
            versions.any(|version| version.is_ok_and(|it| it.path().join("bin/initdb").exists()))
        }),
        program => is_installed(program),
    };
    let missing: Vec<_> = needed.iter().filter(|(program, _, _)| !is_there(program)).collect();
    if missing.is_empty() && libraries.is_empty() {
        return Ok(());
    }
    println!("{who_needs} what is not installed:");
    for (program, package, why) in &missing {
        println!("  {program} (package {package}): {why}");
    }
    for package in libraries {
        println!("  {package}: the tray app is compiled with it");
    }
    let mut packages: Vec<&str> = missing.iter().map(|(_, package, _)| *package).collect();
    packages.extend(libraries);
    packages.sort_unstable();
    packages.dedup();
    if !is_installed("apt-get") {
        return Err(format!("install them with this system's package manager: {}", packages.join(" ")));
    }
    apt(&["update", "-qq"])?;
    apt(&[&["install", "-y", "-qq", "--no-install-recommends"][..], &packages].concat())
}

/// Python's packages that the tests take.
fn python() -> Outcome {
    let wanted = root().join("tests/foreign/requirements.txt");
    let text = std::fs::read_to_string(&wanted).map_err(|error| format!("{}: {error}", wanted.display()))?;
    python_with(&target()?.join("python"), &text)
}

/// An environment of Python's with packages, as pip's requirements name them, beside what cargo builds.
pub(crate) fn python_with(folder: &Path, wanted: &str) -> Outcome {
    // What was installed last time is written down beside it.
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("Installing Python packages into {}:\n{wanted}", folder.display());
    let make = || succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
    if make().is_err() {
        println!("Debian has the part of Python that makes environments in a package of its own.");
        apt(&["install", "-y", "-qq", "--no-install-recommends", "python3-venv"])?;
        make()?;
    }
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, wanted).map_err(|error| failed(&requirements, error))?;
    let mut install = Command::new(folder.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    succeed(&mut install)?;
    std::fs::write(&installed, wanted).map_err(|error| failed(&installed, error))
}

/// Formatting and lints are parts of the toolchain that a minimal installation lacks.
fn components() -> Outcome {
    for (name, probe) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let there = cargo(&[probe, "--version"]).output().is_ok_and(|output| output.status.success());
        if !there {
            println!("Adding {name} to the Rust toolchain.");
            succeed(Command::new("rustup").args(["component", "add", name]))?;
        }
    }
    Ok(())
}

/// Runs apt-get as root, by sudo when we are not.
fn apt(arguments: &[&str]) -> Outcome {
    let output = Command::new("id").arg("-u").output().map_err(|error| format!("cannot run id: {error}"))?;
    let is_root = output.stdout.trim_ascii() == b"0";
    let mut command = if is_root {
        Command::new("apt-get")
    } else {
        println!("Installing needs root: running sudo apt-get {}", arguments.join(" "));
        let mut sudo = Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    // RUNLEVEL: a server that is here for the tests alone is not started (invoke-rc.d).
    succeed(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1"))
}
