//! The Debian package, made with `dpkg-deb` alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Outcome, build_all, cargo, root, succeed, target};

/// Builds the programs, optimised or as the tests use them, and packs them.
pub(crate) fn run(debug: bool) -> Outcome {
    let programs = if debug {
        build_all()?
    } else {
        succeed(&mut cargo(&[
            "build",
            "--release",
            "--locked",
            "-p",
            "petit-desktop",
            "-p",
            "petit-client",
        ]))?;
        target()?.join("release")
    };
    let made = package(&programs, &target()?.join("dist"))?;
    println!("made {}", made.display());
    Ok(())
}

/// Packs the programs of a folder; returns the package.
pub(crate) fn package(programs: &Path, dist: &Path) -> Result<PathBuf, String> {
    let tree = dist.join("deb");
    let _ = fs::remove_dir_all(&tree);
    let packaging = root().join("packaging/linux");
    let icons = root().join("icons");
    let files = [
        (programs.join("petit"), "usr/bin/petit", 0o755),
        (programs.join("petit-client"), "usr/bin/petit-client", 0o755),
        (programs.join("petit-desktop"), "usr/lib/petit/petit-desktop", 0o755),
        (packaging.join("petit.desktop"), "usr/share/applications/petit.desktop", 0o644),
        (
            packaging.join("dev.petit.desktop.metainfo.xml"),
            "usr/share/metainfo/dev.petit.desktop.metainfo.xml",
            0o644,
        ),
        (icons.join("petit.svg"), "usr/share/icons/hicolor/scalable/apps/petit.svg", 0o644),
        (icons.join("rendered/petit-48.png"), "usr/share/icons/hicolor/48x48/apps/petit.png", 0o644),
        (icons.join("rendered/petit-128.png"), "usr/share/icons/hicolor/128x128/apps/petit.png", 0o644),
        (root().join("LICENSE-MIT"), "usr/share/doc/petit/copyright", 0o644),
    ];
    let mut size = 0;
    for (from, to, mode) in files {
        size += put(&from, &tree.join(to), mode)?;
    }
    for name in ["petit", "petit-client"] {
        strip(&tree.join("usr/bin").join(name))?;
    }
    strip(&tree.join("usr/lib/petit/petit-desktop"))?;
    let architecture = said("dpkg", &["--print-architecture"])?;
    let version = env!("CARGO_PKG_VERSION");
    let control = format!(
        "Package: petit\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: Petit <petit@localhost>\n\
         Installed-Size: {}\nDepends: libc6, libgtk-3-0 | libgtk-3-0t64, libwebkit2gtk-4.1-0\n\
         Recommends: gnome-keyring | kwalletmanager, xdg-utils\nSection: net\nPriority: optional\n\
         Description: makes a service on this computer reachable for one vendor\n \
         The customer's side of Petit: the tray app (petit) and the program without a\n \
         window (petit-client). Nothing is started by installing it.\n",
        size / 1024
    );
    let control_file = tree.join("DEBIAN/control");
    fs::create_dir_all(tree.join("DEBIAN")).map_err(|error| format!("cannot make the package: {error}"))?;
    fs::write(&control_file, control).map_err(|error| format!("cannot make the package: {error}"))?;
    let package = dist.join(format!("petit_{version}_{architecture}.deb"));
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree).arg(&package);
    succeed(&mut command)?;
    Ok(package)
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("cannot put {} into the package: {error}", from.display());
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let size = fs::copy(from, to).map_err(failed)?;
    // Packages are made where there is dpkg-deb.
    #[cfg(unix)]
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(failed)?;
    #[cfg(not(unix))]
    let _ = mode;
    Ok(size)
}

fn strip(program: &Path) -> Outcome {
    succeed(Command::new("strip").arg(program))
}

fn said(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
