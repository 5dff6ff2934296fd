//! The folder that `release build` makes: what is where in it, under which name, and the checksums of all.
//!
//! ```text
//! programs/    TARGET, or TARGET.exe: as release sign takes them
//! packages/    .deb and .rpm
//! installers/  for Windows
//! images/      an OCI layout with all, and a file of each
//! sbom/        TARGET.cdx.json: what a program is built from
//! SHA256SUMS   of all files, for sha256sum --check
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use petit_host::brand::Brand;
use petit_host::update::{Measured, Target};

use crate::image::sbom;
use crate::made::{Clock, copy};
use crate::run::Outcome;

/// The folder of programs.
pub(super) const PROGRAMS: &str = "programs";
const SUMS: &str = "SHA256SUMS";
/// The program that looks for updates, for itself or to tell of them.
pub(super) const UPDATED: &str = "petit-client";
/// What brings the tray app on Windows to a version.
const INSTALLER: &str = "petit-setup";

/// What is laid there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Package,
    Installer,
    Image,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Package => "packages",
            Self::Installer => "installers",
            Self::Image => "images",
        }
    }
}

/// What a program runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    Linux,
    Windows,
}

/// The processor of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    Amd64,
    Arm64,
}

impl Machine {
    pub(super) fn own() -> Result<Self, String> {
        match std::env::consts::ARCH {
            "x86_64" => Ok(Self::Amd64),
            "aarch64" => Ok(Self::Arm64),
            other => Err(format!("there is no release for {other}")),
        }
    }

    /// As a target calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
        }
    }

    /// What the compiler calls it.
    fn triple(self, machine: Machine) -> String {
        match self {
            Self::Linux => format!("{}-unknown-linux-gnu", machine.name()),
            Self::Windows => format!("{}-pc-windows-gnu", machine.name()),
        }
    }
}

/// A release that is being put together.
pub(super) struct Assembly(PathBuf);

impl Assembly {
    /// In a folder that is empty, or not there: what lies there from before would be taken for a part of it.
    pub(super) fn begin(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        if entries.next().is_some() {
            return Err(format!(
                "{} is not empty, and what is there would be taken for a part of this release: name another folder",
                folder.display()
            ));
        }
        Ok(Self(folder.to_owned()))
    }

    /// Where files of this kind are.
    pub(super) fn folder(&self, kind: Kind) -> Result<PathBuf, String> {
        self.make(kind.folder())
    }

    fn make(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }

    /// Lays a file there, under its own name.
    pub(super) fn lay(&self, kind: Kind, file: &Path) -> Outcome {
        copy(file, &self.folder(kind)?.join(file.file_name().unwrap_or_default()))
    }

    /// Lays programs there, named by what they run on, with what each is built from. What is updated has the name of its
    /// brand's target as well.
    pub(super) fn lay_programs(
        &self,
        programs: &[PathBuf],
        (system, machine): (System, Machine),
        brand: Option<&Brand>,
    ) -> Outcome {
        let (folder, bills) = (self.make(PROGRAMS)?, self.make("sbom")?);
        for program in programs {
            check(program, system, machine)?;
            let name = program.file_stem().unwrap_or_default().to_string_lossy();
            let plain = format!("{name}-{}-{}", system.name(), machine.name());
            let branded = brand.and_then(Brand::id).filter(|_| name == UPDATED);
            for target in
                [Some(plain.clone()), branded.map(|id| format!("{plain}-{id}"))].into_iter().flatten()
            {
                // As a manifest wants it.
                let target: Target = target.parse().map_err(|error| format!("{error}"))?;
                copy(program, &folder.join(file_of(&target, system)))?;
            }
            let bill =
                sbom::of(package_of(&name), &system.triple(machine), Clock::of_the_source()?.seconds())?;
            let file = bills.join(format!("{plain}.cdx.json"));
            fs::write(&file, format!("{bill:#}\n"))
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(())
    }

    /// Writes the checksums. Returns all files with their sizes, those of the image's layout together.
    pub(super) fn end(&self) -> Result<Vec<(String, u64)>, String> {
        let (mut sums, mut sizes) = (String::new(), Vec::new());
        for path in files(&self.0)? {
            let measured = File::open(&path).and_then(Measured::of);
            let Measured { bytes, sha256 } =
                measured.map_err(|error| format!("{}: {error}", path.display()))?;
            let name = path.strip_prefix(&self.0).unwrap_or(&path).display().to_string();
            sums.push_str(&format!("{sha256}  {name}\n"));
            if !name.starts_with("images/layout/") && !name.starts_with("sbom/") {
                sizes.push((name, bytes));
            }
        }
        let path = self.0.join(SUMS);
        fs::write(&path, sums).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(sizes)
    }
}

fn file_of(target: &Target, system: System) -> String {
    match system {
        System::Linux => target.to_string(),
        System::Windows => format!("{target}.exe"),
    }
}

/// What a folder that `release build` has made holds of programs that look for updates, by their targets: the client, and what
/// brings the tray app on Windows to a version, its installer.
pub(super) fn updated(folder: &Path) -> Result<Vec<(Target, PathBuf)>, String> {
    let mut found = installers(folder)?;
    for path in files(&folder.join(PROGRAMS))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!("{UPDATED}-")) {
            let target = name.strip_suffix(".exe").unwrap_or(&name).parse();
            found.push((target.map_err(|error| format!("{}: {error}", path.display()))?, path.clone()));
        }
    }
    if !found.iter().any(|(target, _)| target.as_str().starts_with(UPDATED)) {
        return Err(format!("{} has no {UPDATED}: make one with release build", folder.display()));
    }
    Ok(found)
}

/// The installers for Windows, `petit-setup.exe` and `petit-ID-setup.exe` of a brand, by their targets.
fn installers(folder: &Path) -> Result<Vec<(Target, PathBuf)>, String> {
    let folder = folder.join(Kind::Installer.folder());
    let mut found = Vec::new();
    for path in if folder.exists() { files(&folder)? } else { Vec::new() } {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(of) = name.strip_prefix("petit-").and_then(|name| name.strip_suffix("setup.exe")) else {
            continue;
        };
        check(&path, System::Windows, Machine::Amd64)?;
        let plain = format!("{INSTALLER}-{}-{}", System::Windows.name(), Machine::Amd64.name());
        let target = if of.is_empty() { plain } else { format!("{plain}-{}", of.trim_end_matches('-')) };
        found.push((target.parse().map_err(|error| format!("{}: {error}", path.display()))?, path.clone()));
    }
    Ok(found)
}

/// All files below a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The package of the workspace that a program is built from.
fn package_of(program: &str) -> &str {
    match program {
        "petit" => "petit-desktop",
        other => other,
    }
}

/// Fails when a program is not one for what its name will say.
fn check(program: &Path, system: System, machine: Machine) -> Outcome {
    let begin = fs::read(program).map_err(|error| format!("{}: {error}", program.display()))?;
    if runs_on(&begin) == Some((system, machine)) {
        Ok(())
    } else {
        Err(format!("{} is no program for {} on {}", program.display(), system.name(), machine.name()))
    }
}

/// What a program runs on, by its first bytes: `e_machine` of ELF, and `Machine` of PE's COFF header.
fn runs_on(program: &[u8]) -> Option<(System, Machine)> {
    let word = |at: usize| Some(u16::from_le_bytes(program.get(at..at + 2)?.try_into().ok()?));
    if program.starts_with(b"\x7fELF") {
        let machine = match word(18)? {
            0x3e => Machine::Amd64,
            0xb7 => Machine::Arm64,
            _ => return None,
        };
        return Some((System::Linux, machine));
    }
    let header = usize::from(word(0x3c)?);
    let is_pe = program.starts_with(b"MZ") && program.get(header..header + 4)? == b"PE\0\0";
    match (is_pe, word(header + 4)?) {
        (true, 0x8664) => Some((System::Windows, Machine::Amd64)),
        (true, 0xaa64) => Some((System::Windows, Machine::Arm64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may assert by failing")]

    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize(64, 0);
        bytes[18] = machine;
        bytes
    }

    #[test]
    fn a_program_is_known_by_its_first_bytes() {
        assert_eq!(runs_on(&elf(0x3e)), Some((System::Linux, Machine::Amd64)));
        assert_eq!(runs_on(&elf(0xb7)), Some((System::Linux, Machine::Arm64)));
        let mut pe = b"MZ".to_vec();
        pe.resize(0x80, 0);
        pe[0x3c] = 0x40;
        pe[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
        assert_eq!(runs_on(&pe), Some((System::Windows, Machine::Amd64)));
        for other in [b"#!/bin/sh".to_vec(), elf(0x28), Vec::new(), b"MZ".to_vec()] {
            assert_eq!(runs_on(&other), None);
        }
    }

    #[test]
    fn a_program_for_another_machine_gets_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("petit-client");
        fs::write(&program, elf(0xb7)).unwrap();
        let assembly = Assembly::begin(&dir.path().join("made")).unwrap();
        let refused = assembly.lay_programs(&[program], (System::Linux, Machine::Amd64), None).unwrap_err();
        assert!(refused.ends_with("is no program for linux on x86_64"), "{refused}");
        assert!(Assembly::begin(dir.path()).is_err_and(|error| error.contains("is not empty")));
    }

    #[test]
    fn what_is_signed_are_the_programs_that_look_for_updates() {
        let dir = tempfile::tempdir().unwrap();
        let programs = dir.path().join(PROGRAMS);
        fs::create_dir(&programs).unwrap();
        assert!(updated(dir.path()).is_err_and(|error| error.contains("has no petit-client")));
        for name in [
            "petit-client-windows-x86_64-north.exe",
            "petit-client-linux-x86_64",
            "petit-server-linux-x86_64",
        ] {
            fs::write(programs.join(name), "").unwrap();
        }
        let targets = || {
            let found = updated(dir.path()).unwrap();
            found.iter().map(|(target, _)| target.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(targets(), ["petit-client-linux-x86_64", "petit-client-windows-x86_64-north"]);
        let installers = dir.path().join(Kind::Installer.folder());
        fs::create_dir(&installers).unwrap();
        let mut pe = vec![0_u8; 0x100];
        (pe[0], pe[1], pe[0x3c]) = (b'M', b'Z', 0x80);
        pe[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
        for name in ["petit-setup.exe", "petit-north-setup.exe"] {
            fs::write(installers.join(name), &pe).unwrap();
        }
        assert_eq!(
            targets()[..2],
            ["petit-setup-windows-x86_64-north", "petit-setup-windows-x86_64"],
            "the tray app's, by name of file"
        );
        fs::write(installers.join("petit-setup.exe"), elf(0x3e)).unwrap();
        assert!(updated(dir.path()).is_err_and(|error| error.contains("is no program for windows")));
    }
}
