//! Packages for Linux: built, laid out, and packed for Debian's package manager and for RPM's.

mod contents;
mod deb;
mod layout;
mod making;
mod needs;
mod rpm;

use std::path::{Path, PathBuf, absolute};
use std::process::Command;

use self::contents::{Contents, Name};
use self::layout::Layout;
use self::making::{ARM64, Architecture, Flavour, Making};
use crate::made::{Build, Clock};
use crate::run::{Outcome, build_all, build_programs, cargo, succeed, target};
use crate::setup::{Needed, install};

const NEEDED: &[Needed] = &[
    ("dpkg-deb", "dpkg", "makes packages for Debian"),
    ("rpmbuild", "rpm", "makes packages for RPM"),
    ("readelf", "binutils", "tells which version of the C library a program asks for"),
];
const NEEDED_FOR_ARM64: &[Needed] = &[
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "links programs for arm64, and compiles their C"),
    ("aarch64-linux-gnu-strip", "binutils-aarch64-linux-gnu", "takes names out of them"),
];

/// Makes the packages: `dist linux [--debug] [--from FOLDER] [--into FOLDER] [NAME…]`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let wanted = Wanted::parse(arguments)?;
    install(NEEDED, &[], "Making packages needs")?;
    let clock = Clock::of_the_source()?;
    let with_tray = wanted.names.contains(&Name::Tray);
    let runnable = match (&wanted.from, wanted.build) {
        (Some(from), _) => from.clone(),
        (None, Build::Debug) if with_tray => build_all()?,
        (None, Build::Debug) => build_programs()?,
        (None, Build::Release) => build_release(with_tray)?,
    };
    let (build, dist) = (wanted.build, wanted.into.as_path());
    let architecture = Architecture::own()?;
    let own = Making { programs: &runnable, runnable: &runnable, dist, build, architecture, clock };
    for name in &wanted.names {
        package(&own, *name)?;
    }
    if build == Build::Release && wanted.from.is_none() && architecture != Architecture::Arm64 {
        let programs = build_arm64()?;
        let other = Making { programs: &programs, architecture: Architecture::Arm64, ..own };
        // The tray app is compiled with GTK and WebKit, which would have to be there for arm64.
        for name in wanted.names.iter().filter(|name| **name != Name::Tray) {
            package(&other, *name)?;
        }
    }
    Ok(())
}

/// Packs the tray app of a folder for Debian; returns the package.
pub(crate) fn tray(programs: &Path, dist: &Path) -> Result<PathBuf, String> {
    let (architecture, clock) = (Architecture::own()?, Clock::of_the_source()?);
    let making = Making { programs, runnable: programs, dist, build: Build::Debug, architecture, clock };
    let (contents, layout) = lay_out(&making, Name::Tray, Flavour::Deb)?;
    deb::pack(&making, &contents, &layout)
}

/// Packs all that the tests install, for both package managers.
pub(crate) fn for_tests(programs: &Path, dist: &Path) -> Outcome {
    let (architecture, clock) = (Architecture::own()?, Clock::of_the_source()?);
    let making = Making { programs, runnable: programs, dist, build: Build::Debug, architecture, clock };
    package(&making, Name::Client)?;
    package(&making, Name::Server)
}

fn package(making: &Making<'_>, name: Name) -> Outcome {
    let (contents, layout) = lay_out(making, name, Flavour::Deb)?;
    println!("made {}", deb::pack(making, &contents, &layout)?.display());
    let (contents, layout) = lay_out(making, name, Flavour::Rpm)?;
    println!("made {}", rpm::pack(making, &contents, &layout)?.display());
    Ok(())
}

fn lay_out(making: &Making<'_>, name: Name, flavour: Flavour) -> Result<(Contents, Layout), String> {
    let folder = making.dist.join("tree").join(name.as_str());
    let contents = Contents::of(name, making, flavour, &making.dist.join("manual"))?;
    let layout = Layout::make(&contents, &folder, making.architecture.strip()?, making.clock)?;
    Ok((contents, layout))
}

struct Wanted {
    build: Build,
    /// Where the programs are, unless they are built.
    from: Option<PathBuf>,
    into: PathBuf,
    names: Vec<Name>,
}

impl Wanted {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let into = target()?.join("dist");
        let mut wanted = Self { build: Build::Release, from: None, into, names: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut folder = || {
                let folder = rest.next().ok_or_else(|| format!("{argument} wants a folder"))?;
                absolute(folder).map_err(|error| format!("{folder}: {error}"))
            };
            match (argument.as_str(), Name::parse(argument)) {
                ("--debug", _) => wanted.build = Build::Debug,
                ("--from", _) => wanted.from = Some(folder()?),
                ("--into", _) => wanted.into = folder()?,
                (_, Some(name)) => wanted.names.push(name),
                (other, None) => {
                    let names = Name::ALL.map(Name::as_str).join(", ");
                    return Err(format!("there is no package {other}, but {names}"));
                }
            }
        }
        if wanted.names.is_empty() {
            wanted.names = Name::ALL.to_vec();
        }
        Ok(wanted)
    }
}

fn build_release(with_tray: bool) -> Result<PathBuf, String> {
    let mut build = cargo(&["build", "--release", "--locked", "-p", "petit-server", "-p", "petit-client"]);
    succeed(build.args(if with_tray { &["-p", "petit-desktop"][..] } else { &[] }))?;
    Ok(target()?.join("release"))
}

/// Builds client and server for arm64, with Debian's cross compiler.
fn build_arm64() -> Result<PathBuf, String> {
    install(NEEDED_FOR_ARM64, &[], "Programs for arm64 need")?;
    succeed(Command::new("rustup").args(["target", "add", ARM64]))?;
    let mut build = cargo(&["build", "--release", "--locked", "--target", ARM64]);
    build.args(["-p", "petit-server", "-p", "petit-client"]);
    build.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    // Kernels for arm64 have pages of 4, 16 or 64 KiB; the allocator serves those up to the size it is built for.
    build.env("JEMALLOC_SYS_WITH_LG_PAGE", "16");
    succeed(&mut build)?;
    Ok(target()?.join(ARM64).join("release"))
}
