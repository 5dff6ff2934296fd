//! The installer for Windows, made with NSIS alone: `petit-setup.exe`, or a vendor's own from a file that says whose it
//! is (`petit_host::brand`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use petit_host::brand::{self, Brand};
use petit_host::cli::chain;
use petit_host::update::ROOTS;

use crate::made::{Build, Clock, RootKeys, copy};
use crate::run::{Outcome, cargo, root, succeed, target};
use crate::setup::{Needed, install};

/// The target that links with what Debian has. The maker's own needs files that come from its servers alone.
const TARGET: &str = "x86_64-pc-windows-gnu";

/// Where cargo builds for Windows, beside what it builds for this system: a build for Windows holds the lock of what runs here
/// too (build scripts, macros), and each `cargo test` would wait for its end.
const HOME: &str = "for-windows";

/// What programs for Windows are built and packed with.
pub(crate) const NEEDED: &[Needed] = &[
    ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64", "links programs for Windows, and compiles their C"),
    ("x86_64-w64-mingw32-g++", "g++-mingw-w64-x86-64", "compiles their C++"),
    ("nasm", "nasm", "assembles the cryptography for Windows"),
    ("makensis", "nsis", "makes their installer"),
];

/// Builds client, server and tray app for Windows and makes the installer. Arguments: `[--brand FILE] [--roots FILE] [--debug]`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let (mut brand, mut roots, mut build) = (None, None, Build::Release);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--debug" => build = Build::Debug,
            "--brand" => brand = Some(PathBuf::from(rest.next().ok_or("--brand needs a file")?)),
            "--roots" => roots = Some(PathBuf::from(rest.next().ok_or("--roots needs a file")?)),
            other => {
                return Err(format!("dist windows knows no {other:?}; cargo xtask help says what it knows"));
            }
        }
    }
    // Before anything is built for half an hour.
    let vendor = brand.as_deref().map(Vendor::read).transpose()?;
    let roots = roots.as_deref().map(RootKeys::read).transpose()?;
    let made = make(build, vendor.as_ref(), roots.as_ref())?;
    for file in std::iter::once(&made.setup).chain(made.programs.last()) {
        println!("made {}, {} MB", file.display(), size(file)? / 1_000_000);
    }
    Ok(())
}

/// What was made for Windows.
pub(crate) struct Made {
    pub(crate) setup: PathBuf,
    /// As they are in the installer, and then the server, which no installer has.
    pub(crate) programs: Vec<PathBuf>,
}

/// Builds the programs, and makes the installer. A vendor's file may name root keys of its own.
pub(crate) fn make(build: Build, vendor: Option<&Vendor>, roots: Option<&RootKeys>) -> Result<Made, String> {
    let dist = target()?.join("dist/windows");
    let programs = programs(build, vendor)?;
    let order = Order { programs: &programs, dist: &dist, vendor, roots, build, version: VERSION };
    let setup = installer(&order)?;
    let server = dist.join("petit-server.exe");
    strip(&programs.join("petit-server.exe"), &server, Clock::of_the_source()?)?;
    let payload = order.payload();
    let installed = INSTALLED.map(|program| payload.join(program));
    Ok(Made { setup, programs: installed.into_iter().chain([server]).collect() })
}

/// The programs that the installer has.
const INSTALLED: [&str; 2] = ["petit.exe", "petit-client.exe"];

/// Builds the programs; returns the folder that they are in. A vendor's tray app has its icon and name in the file, and
/// takes the place of the one that was built before.
pub(crate) fn programs(build: Build, vendor: Option<&Vendor>) -> Result<PathBuf, String> {
    install_needed()?;
    let mut command = for_windows("build", &["petit-client", "petit-server", "petit-desktop"])?;
    // Without the tray app's second program, which only Linux has a use for.
    command.args(["--bin", "petit-client", "--bin", "petit-server", "--bin", "petit"]);
    if let Some(vendor) = vendor {
        // What the tray app's build script and Tauri merge into `tauri.conf.json`.
        command.env("TAURI_CONFIG", vendor.tauri_config()?);
    }
    build.set(&mut command);
    succeed(&mut command)?;
    folder(build)
}

/// The folder of the programs.
pub(crate) fn folder(build: Build) -> Result<PathBuf, String> {
    Ok(target()?.join(HOME).join(TARGET).join(build.folder()))
}

/// Installs what programs for Windows are built with.
pub(crate) fn install_needed() -> Outcome {
    install(NEEDED, &[], "Programs for Windows need")?;
    succeed(Command::new("rustup").args(["target", "add", TARGET]))
}

/// `cargo`, for Windows. With flags that are the same each time, so that it builds everything once.
pub(crate) fn for_windows(verb: &str, packages: &[&str]) -> Result<Command, String> {
    let mut command = cargo(&[verb, "--locked", "--target", TARGET, "--target-dir"]);
    command.arg(target()?.join(HOME));
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS", "-D warnings");
    command.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", "wine");
    Ok(command)
}

/// A vendor's file, and what it says.
pub(crate) struct Vendor {
    file: PathBuf,
    brand: Brand,
}

impl Vendor {
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let brand = Brand::read(file).map_err(|error| chain(&error))?;
        Ok(Self { file: file.to_owned(), brand })
    }

    pub(crate) fn brand(&self) -> &Brand {
        &self.brand
    }

    /// The root keys that its file names.
    pub(crate) fn roots(&self) -> Result<Option<RootKeys>, String> {
        self.brand.roots().map(|roots| RootKeys::read(&self.file.with_file_name(roots))).transpose()
    }

    /// What Windows shows of a program's file, and what WebView2 calls the folder that it keeps for it.
    fn tauri_config(&self) -> Result<String, String> {
        let brand = &self.brand;
        let config = serde_json::json!({
            "productName": brand.name(),
            "identifier": brand.app_id(),
            "bundle": { "icon": [icon(Some(self))?], "publisher": brand.publisher() },
        });
        Ok(config.to_string())
    }
}

/// What an installer is made of.
pub(crate) struct Order<'a> {
    pub(crate) programs: &'a Path,
    pub(crate) dist: &'a Path,
    /// Whose it is, unless it is Petit's.
    pub(crate) vendor: Option<&'a Vendor>,
    /// By which the programs know their updates, instead of those that the vendor's file names.
    pub(crate) roots: Option<&'a RootKeys>,
    pub(crate) build: Build,
    pub(crate) version: &'a str,
}

impl Order<'_> {
    fn brand(&self) -> Brand {
        self.vendor.map_or_else(Brand::petit, |vendor| vendor.brand.clone())
    }

    /// The folder of the files that are put onto the computer.
    fn payload(&self) -> PathBuf {
        self.dist.join(self.brand().installed_as()).join("payload")
    }
}

/// Makes the installer of Petit, or of a vendor's own, in a folder of distributions. Returns where it is.
///
/// The same programs and the same `SOURCE_DATE_EPOCH` give the same bytes; without that variable it is the time of the
/// last commit.
pub(crate) fn installer(order: &Order<'_>) -> Result<PathBuf, String> {
    let Order { programs, dist, vendor, roots, build, version } = *order;
    let clock = Clock::of_the_source()?;
    let brand = order.brand();
    let payload = order.payload();
    let work = dist.join(brand.installed_as());
    let named = vendor.map_or(Ok(None), Vendor::roots)?;
    let roots = roots.or(named.as_ref());
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&payload).map_err(|error| format!("{}: {error}", payload.display()))?;
    for program in INSTALLED {
        strip(&programs.join(program), &payload.join(program), clock)?;
    }
    copy(&programs.join("WebView2Loader.dll"), &payload.join("WebView2Loader.dll"))?;
    copy(&root().join("LICENSE-MIT"), &payload.join("LICENSE.txt"))?;
    copy(&icon(vendor)?, &payload.join("petit.ico"))?;
    if let Some(vendor) = vendor {
        copy(&vendor.file, &payload.join(brand::FILE))?;
    }
    if let Some(roots) = roots {
        copy(roots.file(), &payload.join(ROOTS))?;
    }
    date(&payload, clock)?;
    let setup = dist.join(format!("{}-setup.exe", brand.installed_as().to_lowercase()));
    let defines = work.join("defines.nsh");
    fs::write(&defines, definitions(&brand, version, (&payload, &setup), build))
        .map_err(|error| format!("{}: {error}", defines.display()))?;
    let mut command = Command::new("makensis");
    command.args(["-V2", "-WX", "-INPUTCHARSET", "UTF8"]);
    command.arg(format!("-DDEFINES={}", defines.display()));
    command.arg(root().join("packaging/windows/petit.nsi"));
    succeed(clock.set(&mut command))?;
    Ok(setup)
}

/// The picture of a vendor, who may have named one beside the file.
fn icon(vendor: Option<&Vendor>) -> Result<PathBuf, String> {
    let Some((vendor, icon)) = vendor.and_then(|vendor| Some((vendor, vendor.brand.icon()?))) else {
        return Ok(root().join("icons/rendered/petit.ico"));
    };
    let path = vendor.file.with_file_name(icon);
    let path = fs::canonicalize(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let begin = fs::read(&path).map_err(|error| format!("icon of {}: {error}", vendor.file.display()))?;
    // What every icon file begins with ("Icons", Win32).
    if begin.starts_with(&[0, 0, 1, 0]) {
        Ok(path)
    } else {
        Err(format!("{} is no .ico file, which Windows needs", path.display()))
    }
}

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The part of a version that Windows' own form of it has room for: `0.2.0` of `0.2.0-rc.1`.
fn numbers(version: &str) -> &str {
    version.split(['-', '+']).next().unwrap_or(version)
}

/// What the script is told.
fn definitions(brand: &Brand, version: &str, (payload, setup): (&Path, &Path), build: Build) -> String {
    let packing = match build {
        Build::Release => "/SOLID lzma",
        Build::Debug => "zlib",
    };
    let path = |path: &Path| path.display().to_string().replace('$', "$$");
    let mut values = vec![
        ("NAME", brand.name().to_owned()),
        ("PUBLISHER", brand.publisher().to_owned()),
        ("VERSION", version.to_owned()),
        ("NUMBERS", numbers(version).to_owned()),
        ("ID", brand.installed_as()),
        ("APP_ID", brand.app_id()),
        ("FOLDER", brand.folder()),
        ("SCHEME", brand.scheme()),
        ("OUT", path(setup)),
        ("PAYLOAD", path(payload)),
        ("ICON", path(&payload.join("petit.ico"))),
        ("PACKING", packing.to_owned()),
    ];
    if !brand.is_petit() {
        values.push(("BRAND", String::new()));
    }
    if payload.join(ROOTS).exists() {
        values.push(("ROOTS", String::new()));
    }
    values.iter().map(|(name, value)| format!("!define {name} \"{value}\"\n")).collect()
}

/// Copies a program without what only a debugger reads. When that was done is written into it.
fn strip(from: &Path, to: &Path, clock: Clock) -> Outcome {
    let mut command = Command::new("x86_64-w64-mingw32-strip");
    succeed(clock.set(command.arg("-o").arg(to).arg(from)))
}

fn size(path: &Path) -> Result<u64, String> {
    fs::metadata(path).map(|it| it.len()).map_err(|error| format!("{}: {error}", path.display()))
}

/// Gives all files of a folder the time at which everything was made.
fn date(folder: &Path, clock: Clock) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let file = fs::File::options().write(true).open(&path).map_err(failed)?;
        file.set_modified(clock.time()).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_before_a_release_makes_an_installer_too() {
        for version in ["0.2.0", "0.2.0-rc.1", "0.2.0+abc", "0.2.0-rc.1+abc"] {
            assert_eq!(numbers(version), "0.2.0");
        }
        let told = definitions(&Brand::petit(), VERSION, (Path::new("/p"), Path::new("/s")), Build::Debug);
        assert!(told.contains(&format!("!define NUMBERS \"{}\"", numbers(VERSION))), "{told}");
        let script = include_str!("../../packaging/windows/petit.nsi");
        assert!(script.contains("VIProductVersion \"${NUMBERS}.0\""));
    }

    #[test]
    fn the_script_is_told_all_that_it_asks_for() {
        let told = definitions(&Brand::petit(), VERSION, (Path::new("/p"), Path::new("/s")), Build::Debug);
        let script = include_str!("../../packaging/windows/petit.nsi");
        let own: Vec<&str> = script.lines().filter_map(|line| line.strip_prefix("!define ")).collect();
        let mut seen = 0;
        for asked in script.split("${").skip(1).filter_map(|rest| rest.split('}').next()) {
            let is_name = asked.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            let is_told = told.contains(&format!("!define {asked} "));
            assert!(
                !is_name || is_told || asked == "DEFINES" || own.iter().any(|it| it.starts_with(asked)),
                "{asked}"
            );
            seen += usize::from(is_told);
        }
        assert!(seen > 20, "{seen}");
    }
}
