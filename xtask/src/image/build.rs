//! The programs that are packed: those of a release, linked statically, or those that the tests share.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::dependencies::tool;
use crate::run::{Outcome, build_programs, root, succeed, target};
use crate::setup::{Needed, install};

/// The programs.
const NAMES: [&str; 2] = ["petit-server", "petit-client"];

/// A kind of processor that images are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    pub(super) const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// That of this computer.
    pub(super) fn here() -> Result<Self, String> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => Err(format!("there are no images for {other}")),
        }
    }

    /// As OCI calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// What cargo builds for: with the C library of GNU, which is linked statically. Measured beside the same library
    /// linked dynamically (`cargo xtask bench --beside`, 5 rounds on a busy machine), requests, bytes and CPU time lie
    /// within what rounds of one program differ by. Names are looked up without a library, too: those that
    /// /etc/nsswitch.conf names in an image are built in.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The compiler of C, which links as well, and what is installed with it.
    fn linker(self) -> (&'static str, &'static [Needed]) {
        match self {
            Self::Amd64 => (
                "x86_64-linux-gnu-gcc",
                &[
                    ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu", "links programs for amd64"),
                    ("/usr/x86_64-linux-gnu/lib/libc.a", "libc6-dev-amd64-cross", "is linked with them"),
                ],
            ),
            Self::Arm64 => (
                "aarch64-linux-gnu-gcc",
                &[
                    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", "links programs for arm64"),
                    ("/usr/aarch64-linux-gnu/lib/libc.a", "libc6-dev-arm64-cross", "is linked with them"),
                ],
            ),
        }
    }
}

/// Programs that are built.
pub(super) struct Built {
    pub(super) architecture: Architecture,
    folder: PathBuf,
}

impl Built {
    /// Those that the tests share.
    pub(super) fn shared() -> Result<Self, String> {
        Self::of(&build_programs()?)
    }

    /// Those of a folder, for this computer, without the lines that only a debugger reads.
    pub(super) fn of(programs: &Path) -> Result<Self, String> {
        let folder = target()?.join("image/programs");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for name in NAMES {
            let mut strip = Command::new("strip");
            succeed(strip.arg("-o").arg(folder.join(name)).arg(programs.join(name)))?;
        }
        Ok(Self { architecture: Architecture::here()?, folder })
    }

    /// Builds those of a release.
    pub(super) fn released(architecture: Architecture) -> Result<Self, String> {
        let (linker, needed) = architecture.linker();
        let triple = architecture.target();
        if architecture != Architecture::here()? {
            install(needed, &[], "Programs for another kind of processor need")?;
        }
        succeed(Command::new("rustup").args(["target", "add", triple]))?;
        let mut build = tool("cargo-auditable")?;
        build.args(["auditable", "build", "--release", "--locked", "--target", triple]);
        build.args(NAMES.iter().flat_map(|name| ["-p", name]));
        let variable = triple.replace('-', "_").to_uppercase();
        if architecture != Architecture::here()? {
            build.env(format!("CARGO_TARGET_{variable}_LINKER"), linker);
        }
        build.env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), flags()?);
        build.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
        if architecture == Architecture::Arm64 {
            // Pages of up to 64 KiB, as some kernels have them: the allocator would end on those at its start.
            build.env("JEMALLOC_SYS_WITH_LG_PAGE", "16");
        }
        succeed(&mut build)?;
        let built = Self { architecture, folder: target()?.join(triple).join("release") };
        built.check()?;
        Ok(built)
    }

    /// Looks whether the programs are as they are meant to be: one that asks for libraries would not start.
    fn check(&self) -> Outcome {
        for name in NAMES {
            let path = self.folder.join(name);
            let output = Command::new("readelf").args(["-W", "-d", "-S"]).arg(&path).output();
            let output = output.map_err(|error| format!("cannot run readelf: {error}"))?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if said.contains("(NEEDED)") {
                return Err(format!("{} needs libraries, and the image has none", path.display()));
            }
            if !said.contains(AUDIT_SECTION) {
                return Err(format!("{} does not say what it is made of", path.display()));
            }
        }
        Ok(())
    }

    pub(super) fn program(&self, name: &str) -> Result<Vec<u8>, String> {
        read(&self.folder.join(name))
    }

    /// The libraries that a program is linked with, by where it looks for them. None for one that is linked statically.
    pub(super) fn libraries(&self, name: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
        if self.architecture != Architecture::here()? {
            return Ok(Vec::new()); // this computer cannot look for them
        }
        let output = Command::new("ldd").arg(self.folder.join(name)).output();
        let output = output.map_err(|error| format!("cannot run ldd: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let paths = said.lines().filter_map(|line| {
            let line = line.split(" (").next().unwrap_or_default();
            line.rsplit(" => ").next().map(str::trim).filter(|path| path.starts_with('/'))
        });
        paths.map(|path| Ok((path.to_owned(), read(Path::new(path))?))).collect()
    }
}

/// The part of a program in which cargo-auditable writes from which packages it was built: `cargo audit bin` and scanners
/// of images read it there.
const AUDIT_SECTION: &str = ".dep-v0";

/// What the compiler is told: to need nothing at run time, and to say nothing of where it was run.
fn flags() -> Result<String, String> {
    let registry = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let registry = registry.or_else(home).ok_or("neither CARGO_HOME nor HOME is set")?;
    Ok(format!(
        "-C target-feature=+crt-static --remap-path-prefix={}=/petit --remap-path-prefix={}=/cargo",
        root().display(),
        registry.display()
    ))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
