//! The app for macOS: a bundle in a disk image, for both processors, signed and notarised where the maker has the keys
//! for that. It takes a Mac, whose own tools make it; none has run it so far.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use petit_host::brand::{self, Brand};
use petit_host::cli::chain;

use crate::made::{Build, Clock, copy};
use crate::run::{Outcome, cargo, root, succeed, target};

/// What the login item needs (SMAppService).
const SYSTEM: &str = "13.0";
const TARGETS: [&str; 2] = ["aarch64-apple-darwin", "x86_64-apple-darwin"];
const PROGRAMS: [&str; 2] = ["petit", "petit-client"];
/// The sizes that `iconutil` asks for, in points, and whether for twice as many pixels; as far as there are pictures.
const ICONS: [(u32, u32); 7] = [(16, 1), (16, 2), (32, 1), (32, 2), (128, 1), (128, 2), (256, 1)];

/// What is to be made.
#[derive(Debug, Default)]
struct Wanted {
    brand: Option<PathBuf>,
    is_debug: bool,
    /// A certificate of the keychain, such as "Developer ID Application: Example Ltd (TEAMID)".
    sign: Option<String>,
    /// Where `notarytool store-credentials` has put the account.
    notarise: Option<String>,
}

impl Wanted {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut wanted = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().cloned().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--debug" => wanted.is_debug = true,
                "--brand" => wanted.brand = Some(value()?.into()),
                "--sign" => wanted.sign = Some(value()?),
                "--notarise" => wanted.notarise = Some(value()?),
                other => {
                    return Err(format!(
                        "dist macos knows no {other:?}; cargo xtask help says what it knows"
                    ));
                }
            }
        }
        if wanted.notarise.is_some() && wanted.sign.is_none() {
            return Err("Apple notarises what is signed: --sign says with which certificate".to_owned());
        }
        Ok(wanted)
    }
}

/// Makes the app and its disk image: `dist macos [--brand FILE] [--debug] [--sign IDENTITY [--notarise PROFILE]]`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let wanted = Wanted::parse(arguments)?;
    let brand = match &wanted.brand {
        Some(file) => Brand::read(file).map_err(|error| chain(&error))?,
        None => Brand::petit(),
    };
    if !cfg!(target_os = "macos") {
        return Err(
            "the app for macOS is made on a Mac, by Apple's tools (lipo, iconutil, codesign, hdiutil); \
                    whether its code compiles is told anywhere by: cargo xtask check-macos"
                .to_owned(),
        );
    }
    let build = if wanted.is_debug { Build::Debug } else { Build::Release };
    let programs: Vec<PathBuf> =
        TARGETS.iter().map(|target| programs(target, build)).collect::<Result<_, _>>()?;
    let dist = target()?.join("dist/macos");
    let stage = dist.join(brand.installed_as());
    let app = stage.join(format!("{}.app", brand.name()));
    let _ = fs::remove_dir_all(&stage);
    bundle(&app, &brand, &wanted, &programs)?;
    if let Some(identity) = &wanted.sign {
        sign(&app, identity)?;
    }
    let image = dist.join(format!("{}.dmg", brand.installed_as()));
    disk_image(&stage, &image, brand.name())?;
    if let Some(identity) = &wanted.sign {
        codesign(&image, identity, &[])?;
    }
    if let Some(profile) = &wanted.notarise {
        notarise(&image, profile)?;
    }
    println!("made {}", image.display());
    Ok(())
}

/// Builds the programs for one processor; returns the folder that they are in.
fn programs(triple: &str, build: Build) -> Result<PathBuf, String> {
    succeed(Command::new("rustup").args(["target", "add", triple]))?;
    let mut command = cargo(&["build", "--locked", "--target", triple]);
    command.args(["-p", "petit-client", "-p", "petit-desktop", "--bin", "petit-client", "--bin", "petit"]);
    let folder = build.set(&mut command);
    succeed(command.env("MACOSX_DEPLOYMENT_TARGET", SYSTEM))?;
    Ok(target()?.join(triple).join(folder))
}

/// Lays the app out: programs of both processors in one file, what Finder reads of it, its picture, and whose it is.
fn bundle(app: &Path, brand: &Brand, wanted: &Wanted, programs: &[PathBuf]) -> Outcome {
    let contents = app.join("Contents");
    let (code, resources) = (contents.join("MacOS"), contents.join("Resources"));
    for folder in [&code, &resources] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    for program in PROGRAMS {
        let mut lipo = Command::new("lipo");
        lipo.arg("-create").args(programs.iter().map(|folder| folder.join(program)));
        succeed(lipo.arg("-output").arg(code.join(program)))?;
    }
    write(&contents.join("Info.plist"), &info(brand))?;
    copy(&root().join("LICENSE-MIT"), &resources.join("LICENSE.txt"))?;
    if let Some(file) = &wanted.brand {
        // Not beside the programs, where codesign takes everything for code.
        copy(file, &resources.join(brand::FILE))?;
    }
    icon(wanted.brand.as_deref(), brand, &resources)
}

/// What Finder, the login item and browsers read of the app.
fn info(brand: &Brand) -> String {
    // Three numbers, and nothing behind them.
    let version = env!("CARGO_PKG_VERSION");
    let numbers = version.split_once('-').map_or(version, |(numbers, _)| numbers);
    [
        ("@NAME@", brand.name()),
        ("@ID@", &brand.app_id()),
        ("@SCHEME@", &brand.scheme()),
        ("@PUBLISHER@", brand.publisher()),
        ("@NUMBERS@", numbers),
        ("@SYSTEM@", SYSTEM),
    ]
    .into_iter()
    .fold(include_str!("../../packaging/macos/Info.plist").to_owned(), |text, (name, value)| {
        text.replace(name, &value.replace('&', "&amp;"))
    })
}

/// The app's picture, in Apple's form: ours, or what a vendor has named, as the largest that is in its file.
fn icon(file: Option<&Path>, brand: &Brand, resources: &Path) -> Outcome {
    let set = resources.join("petit.iconset");
    fs::create_dir_all(&set).map_err(|error| format!("{}: {error}", set.display()))?;
    let vendors = file.and_then(|file| Some(file.with_file_name(brand.icon()?)));
    for (points, scale) in ICONS {
        let name = if scale == 1 {
            format!("icon_{points}x{points}.png")
        } else {
            format!("icon_{points}x{points}@{scale}x.png")
        };
        let (pixels, to) = (points * scale, set.join(name));
        if let Some(vendors) = &vendors {
            let size = pixels.to_string();
            let mut convert = Command::new("sips");
            convert.args(["-s", "format", "png", "-z", &size, &size]).arg(vendors);
            succeed(convert.arg("--out").arg(&to))?;
        } else {
            copy(&root().join(format!("icons/rendered/petit-{pixels}.png")), &to)?;
        }
    }
    let mut make = Command::new("iconutil");
    make.args(["--convert", "icns", "--output"]).arg(resources.join("petit.icns")).arg(&set);
    succeed(&mut make)?;
    fs::remove_dir_all(&set).map_err(|error| format!("{}: {error}", set.display()))
}

/// Signs what is inside first, as the signature of the whole covers it. The hardened runtime needs no exception: the
/// window's script is compiled in a process of WebKit's.
fn sign(app: &Path, identity: &str) -> Outcome {
    for program in PROGRAMS {
        codesign(&app.join("Contents/MacOS").join(program), identity, &["--options", "runtime"])?;
    }
    codesign(app, identity, &["--options", "runtime"])?;
    succeed(Command::new("codesign").args(["--verify", "--deep", "--strict"]).arg(app))
}

fn codesign(path: &Path, identity: &str, more: &[&str]) -> Outcome {
    let mut command = Command::new("codesign");
    succeed(command.args(["--force", "--timestamp", "--sign", identity]).args(more).arg(path))
}

/// What is downloaded: the app, and the folder that it is to be dragged into.
fn disk_image(stage: &Path, image: &Path, name: &str) -> Outcome {
    succeed(Command::new("ln").args(["-s", "/Applications"]).arg(stage.join("Applications")))?;
    let mut command = Command::new("hdiutil");
    command.args(["create", "-ov", "-format", "UDZO", "-volname", name, "-srcfolder"]).arg(stage).arg(image);
    succeed(Clock::of_the_source()?.set(&mut command))
}

/// Has Apple look at it, and puts what Apple says into the file, so that it is found without a network, too.
fn notarise(image: &Path, profile: &str) -> Outcome {
    let mut submit = Command::new("xcrun");
    submit.args(["notarytool", "submit", "--keychain-profile", profile, "--wait"]).arg(image);
    succeed(&mut submit)?;
    succeed(Command::new("xcrun").args(["stapler", "staple"]).arg(image))
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(text: &str) -> plist::Dictionary {
        plist::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_finder_reads_of_a_brand_is_its_own_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("north.toml");
        fs::write(&file, "id = \"north\"\nname = \"North & Sons\"\npublisher = \"North Ltd.\"").unwrap();
        let info = info(&Brand::read(&file).unwrap());
        assert!(!info.contains('@'), "{info}");
        let info = dictionary(&info);
        let text = |key: &str| info.get(key).unwrap().as_string().unwrap();
        assert_eq!(
            (text("CFBundleName"), text("CFBundleIdentifier")),
            ("North & Sons", "dev.petit.desktop.north")
        );
        assert_eq!(text("CFBundleExecutable"), PROGRAMS[0]);
        assert!(text("CFBundleShortVersionString").split('.').all(|part| part.parse::<u32>().is_ok()));
        let types = info.get("CFBundleURLTypes").unwrap().as_array().unwrap();
        let schemes = types[0].as_dictionary().unwrap().get("CFBundleURLSchemes").unwrap();
        assert_eq!(schemes.as_array().unwrap()[0].as_string(), Some("petit-north"));
        assert_eq!(info.get("LSUIElement").unwrap().as_boolean(), Some(true));
    }

    #[test]
    fn the_agent_of_launchd_runs_the_client_and_starts_it_again_when_it_has_failed() {
        let agent = dictionary(include_str!("../../packaging/macos/dev.petit.client.plist"));
        let words = agent.get("ProgramArguments").unwrap().as_array().unwrap();
        let words: Vec<&str> = words.iter().map(|word| word.as_string().unwrap()).collect();
        assert_eq!(words, ["/usr/local/bin/petit-client", "run"]);
        let keep = agent.get("KeepAlive").unwrap().as_dictionary().unwrap();
        assert_eq!(keep.get("SuccessfulExit").unwrap().as_boolean(), Some(false));
    }

    #[test]
    fn there_is_a_picture_of_each_size_and_what_cannot_be_is_refused() {
        for (points, scale) in ICONS {
            assert!(root().join(format!("icons/rendered/petit-{}.png", points * scale)).exists());
        }
        let parse =
            |words: &[&str]| Wanted::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert!(parse(&["--notarise", "x"]).unwrap_err().contains("--sign"));
        assert!(parse(&["--sign"]).unwrap_err().contains("needs a value"));
        assert!(parse(&["--sign", "x", "--notarise", "y", "--debug"]).unwrap().is_debug);
    }
}
