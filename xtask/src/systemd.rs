//! The packages, installed on machines of their own where systemd runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dist;
use crate::run::{build_all, succeed, target, test_of};
use crate::setup::{Needed, install};
use crate::watch::watch;

const NEEDED: &[Needed] = &[
    ("mmdebstrap", "mmdebstrap", "makes a Debian to install packages on"),
    ("systemd-nspawn", "systemd-container", "boots it"),
    ("nsenter", "util-linux", "runs commands on it"),
    ("dpkg-deb", "dpkg", "makes packages for Debian"),
    ("rpmbuild", "rpm", "makes packages for RPM"),
    ("minisign", "minisign", "signs a release with throw-away keys"),
    ("readelf", "binutils", "tells which version of the C library a program asks for"),
    ("gzip", "gzip", "presses manual pages"),
    ("ip", "iproute2", "gives a machine the addresses of the internet"),
    ("named", "bind9", "is a provider of names for docs/deploy.md"),
    ("go", "golang-go", "compiles Pebble, an authority for certificates"),
];

/// An authority that vouches for whoever holds a name, as Let's Encrypt does, and that nobody trusts.
const PEBBLE: &str = "github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.3";

/// What is on the machine beside the smallest Debian.
const INSTALLED: &str = "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,init-system-helpers,procps,curl,\
                         man-db,rpm,ca-certificates,certbot,python3-certbot-dns-rfc2136";

/// What an installer of Debian does besides; and indices of packages, which nobody asks for, are taken away.
const HOOK: &str = "echo '127.0.0.1 localhost' >\"$1\"/etc/hosts; rm -rf \"$1\"/var/lib/apt/lists/*";

/// Makes the packages and a machine, and runs the tests on copies of it. Says how many passed.
pub(crate) fn check() -> Result<String, String> {
    install(NEEDED, &[], "Machines with systemd need")?;
    let programs = build_all()?;
    let folder = target()?.join("systemd");
    let packages = folder.join("packages");
    fs::create_dir_all(&packages).map_err(|error| format!("{}: {error}", packages.display()))?;
    dist::for_tests(&programs, &packages)?;
    let base = base(&folder)?;
    let pebble = pebble(&folder)?;
    let mut tests = test_of("systemd");
    tests.env("PETIT_PROGRAMS", &programs).env("PETIT_PACKAGES", &packages).env("PETIT_MACHINE", &base);
    tests.env("PETIT_PEBBLE", pebble);
    let watched = watch(&mut tests)?;
    if watched.success { Ok(format!("{} passed", watched.passed)) } else { Err(watched.failures()) }
}

/// Pebble, compiled once and kept beside the machine.
fn pebble(folder: &Path) -> Result<PathBuf, String> {
    let (made, folder) = (folder.join("pebble-made"), folder.join("bin"));
    let program = folder.join("pebble");
    if program.exists() && fs::read_to_string(&made).is_ok_and(|before| before == PEBBLE) {
        return Ok(program);
    }
    println!("Compiling {PEBBLE}.");
    succeed(Command::new("go").args(["install", PEBBLE]).env("GOBIN", &folder))?;
    fs::write(&made, PEBBLE).map_err(|error| format!("{}: {error}", made.display()))?;
    Ok(program)
}

/// A Debian like this one, made once and kept beside what cargo builds.
fn base(folder: &Path) -> Result<PathBuf, String> {
    let (base, made) = (folder.join("base"), folder.join("made"));
    let suite = suite()?;
    let is_made_of = format!("{suite}\n{INSTALLED}\n{HOOK}\n");
    if fs::read_to_string(&made).is_ok_and(|before| before == is_made_of) {
        return Ok(base);
    }
    println!("Making a machine for the tests in {}: Debian {suite}.", base.display());
    // By its own commands: what is in it belongs to root.
    succeed(Command::new("rm").arg("-rf").arg(&base).arg(&made))?;
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--mode=root", "--variant=minbase", &format!("--include={INSTALLED}")]);
    make.args([&format!("--customize-hook={HOOK}"), &suite]).arg(&base);
    succeed(&mut make)?;
    fs::write(&made, is_made_of).map_err(|error| format!("{}: {error}", made.display()))?;
    Ok(base)
}

/// The release of Debian that the programs are built on: a newer one has all that they ask for.
fn suite() -> Result<String, String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| release.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    match (field("ID="), field("VERSION_CODENAME=")) {
        (Some(id), Some(suite)) if id == "debian" => Ok(suite),
        _ => Err("the machines of the tests are Debian's, and are made on Debian".to_owned()),
    }
}
