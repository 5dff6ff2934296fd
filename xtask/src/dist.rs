//! Packages for Linux: built, laid out, and packed for Debian's package manager and for RPM's.

mod contents;
mod deb;
mod layout;
mod making;
mod needs;
mod rpm;

use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;

pub(crate) use self::contents::Name;
use self::contents::{Contents, Kind};
use self::layout::Layout;
use self::making::{ARM64, Architecture, Flavour, Making};
use crate::made::{Build, Clock, RootKeys};
use crate::run::{Outcome, build_all, build_programs, cargo, succeed, target};
use crate::setup::{Needed, install};

const NEEDED: &[Needed] = &[
    ("dpkg-deb", "dpkg", "makes packages for Debian"),
    ("rpmbuild", "rpm", "makes packages for RPM"),
    ("readelf", "binutils", "tells which version of the C library a program asks for"),
];
const NEEDED_FOR_ARM64: &[Needed] = &[
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "links programs for arm64, and compiles their C"),
    ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross", "has the headers of their C library"),
    ("aarch64-linux-gnu-strip", "binutils-aarch64-linux-gnu", "takes names out of them"),
];

/// Makes the packages: `dist linux [--debug] [--from FOLDER] [--into FOLDER] [--roots FILE] [NAME…]`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let wanted = Wanted::parse(arguments)?;
    let mut packed = vec![wanted.own()?];
    if wanted.build == Build::Release && wanted.from.is_none() && has_arm64()? {
        packed.push(wanted.arm64(&wanted.programs()?)?);
    }
    for package in packed.iter().flat_map(|packed| &packed.packages) {
        println!("made {}", package.display());
    }
    Ok(())
}

/// Packs the tray app of a folder for Debian; returns the package.
pub(crate) fn tray(programs: &Path, dist: &Path) -> Result<PathBuf, String> {
    let wanted = Wanted::of(programs, dist, vec![Name::Tray]);
    let making = wanted.making(programs, programs, Architecture::own()?)?;
    let (contents, layout) = lay_out(&making, Name::Tray, Flavour::Deb)?;
    deb::pack(&making, &contents, &layout)
}

/// Packs all that the tests install, for both package managers; and in a folder `next` the same as another version for RPM's,
/// whose packages nobody can change.
pub(crate) fn for_tests(programs: &Path, dist: &Path) -> Outcome {
    let names = [Name::Client, Name::Server];
    Wanted::of(programs, dist, names.to_vec()).own()?;
    let wanted = Wanted::of(programs, &dist.join("next"), names.to_vec());
    let next = wanted.making(programs, programs, Architecture::own()?)?;
    let next = Making { version: "9.0.0", ..next };
    fs::create_dir_all(next.dist).map_err(|error| format!("{}: {error}", next.dist.display()))?;
    for name in names {
        let (contents, layout) = lay_out(&next, name, Flavour::Rpm)?;
        rpm::pack(&next, &contents, &layout)?;
    }
    Ok(())
}

/// Whether packages for arm64 are made by a cross compiler: that of a machine of this kind would be its own.
pub(crate) fn has_arm64() -> Result<bool, String> {
    Ok(Architecture::own()? != Architecture::Arm64)
}

/// What was packed.
#[derive(Default)]
pub(crate) struct Packed {
    pub(crate) packages: Vec<PathBuf>,
    /// The programs as they are in the packages, until others are packed.
    pub(crate) programs: Vec<PathBuf>,
}

fn package(making: &Making<'_>, name: Name, packed: &mut Packed) -> Outcome {
    let (contents, layout) = lay_out(making, name, Flavour::Deb)?;
    packed.packages.push(deb::pack(making, &contents, &layout)?);
    let (contents, layout) = lay_out(making, name, Flavour::Rpm)?;
    packed.packages.push(rpm::pack(making, &contents, &layout)?);
    let programs = contents.files.iter().filter(|file| file.kind == Kind::Program);
    packed.programs.extend(programs.map(|file| layout.folder.join(&file.to)));
    Ok(())
}

fn lay_out(making: &Making<'_>, name: Name, flavour: Flavour) -> Result<(Contents, Layout), String> {
    let folder = making.dist.join("tree").join(name.as_str());
    let contents = Contents::of(name, making, flavour, &making.dist.join("manual"))?;
    let layout = Layout::make(&contents, &folder, making.architecture.strip()?, making.clock)?;
    Ok((contents, layout))
}

/// Which packages are made, of what.
pub(crate) struct Wanted {
    pub(crate) build: Build,
    /// Where the programs are, unless they are built.
    pub(crate) from: Option<PathBuf>,
    pub(crate) into: PathBuf,
    pub(crate) roots: Option<RootKeys>,
    pub(crate) names: Vec<Name>,
}

impl Wanted {
    /// Packages of programs as the tests use them.
    fn of(programs: &Path, into: &Path, names: Vec<Name>) -> Self {
        let (from, into) = (Some(programs.to_owned()), into.to_owned());
        Self { build: Build::Debug, from, into, roots: None, names }
    }

    /// Packs the programs for this machine's processor.
    pub(crate) fn own(&self) -> Result<Packed, String> {
        let programs = self.programs()?;
        self.pack(&self.making(&programs, &programs, Architecture::own()?)?, &self.names)
    }

    /// Builds and packs them for arm64, with programs that run here.
    pub(crate) fn arm64(&self, runnable: &Path) -> Result<Packed, String> {
        let programs = build_arm64(self.build)?;
        let making = self.making(&programs, runnable, Architecture::Arm64)?;
        // The tray app is compiled with GTK and WebKit, which would have to be there for arm64.
        let names: Vec<Name> = self.names.iter().copied().filter(|name| *name != Name::Tray).collect();
        self.pack(&making, &names)
    }

    fn pack(&self, making: &Making<'_>, names: &[Name]) -> Result<Packed, String> {
        install(NEEDED, &[], "Making packages needs")?;
        fs::create_dir_all(&self.into).map_err(|error| format!("{}: {error}", self.into.display()))?;
        let mut packed = Packed::default();
        for name in names {
            package(making, *name, &mut packed)?;
        }
        Ok(packed)
    }

    fn making<'a>(
        &'a self,
        programs: &'a Path,
        runnable: &'a Path,
        architecture: Architecture,
    ) -> Result<Making<'a>, String> {
        let (dist, build, roots) = (self.into.as_path(), self.build, self.roots.as_ref());
        let clock = Clock::of_the_source()?;
        let version = env!("CARGO_PKG_VERSION");
        Ok(Making { programs, runnable, dist, roots, build, architecture, clock, version })
    }

    /// Where the programs are for this machine's processor; built, where nobody says.
    pub(crate) fn programs(&self) -> Result<PathBuf, String> {
        let with_tray = self.names.contains(&Name::Tray);
        match (&self.from, self.build) {
            (Some(from), _) => Ok(from.clone()),
            (None, Build::Debug) if with_tray => build_all(),
            (None, Build::Debug) => build_programs(),
            (None, Build::Release) => build_release(with_tray),
        }
    }

    fn parse(arguments: &[String]) -> Result<Self, String> {
        let into = target()?.join("dist");
        let mut wanted = Self { build: Build::Release, from: None, into, roots: None, names: Vec::new() };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut path = || {
                let path = rest.next().ok_or_else(|| format!("{argument} wants a path"))?;
                absolute(path).map_err(|error| format!("{path}: {error}"))
            };
            match (argument.as_str(), Name::parse(argument)) {
                ("--debug", _) => wanted.build = Build::Debug,
                ("--from", _) => wanted.from = Some(path()?),
                ("--into", _) => wanted.into = path()?,
                ("--roots", _) => wanted.roots = Some(RootKeys::read(&path()?)?),
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

/// Where the programs for arm64 are.
pub(crate) fn programs_for_arm64(build: Build) -> Result<PathBuf, String> {
    Ok(target()?.join(ARM64).join(build.folder()))
}

/// Builds client and server for arm64, with Debian's cross compiler.
fn build_arm64(build: Build) -> Result<PathBuf, String> {
    install(NEEDED_FOR_ARM64, &[], "Programs for arm64 need")?;
    succeed(Command::new("rustup").args(["target", "add", ARM64]))?;
    let mut command = cargo(&["build", "--locked", "--target", ARM64]);
    command.args(["-p", "petit-server", "-p", "petit-client"]);
    build.set(&mut command);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    // Kernels for arm64 have pages of 4, 16 or 64 KiB; the allocator serves those up to the size it is built for.
    command.env("JEMALLOC_SYS_WITH_LG_PAGE", "16");
    succeed(&mut command)?;
    programs_for_arm64(build)
}
