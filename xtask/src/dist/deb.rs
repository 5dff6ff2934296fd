//! A package for Debian and Ubuntu, made with `dpkg-deb` alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::contents::{Contents, Kind, Name};
use super::layout::{Layout, settle};
use super::making::{Flavour, Making};
use super::needs;
use crate::made::{Build, set_mode};
use crate::run::{Outcome, root, succeed};

/// Packs what is laid out; returns the package.
pub(super) fn pack(making: &Making<'_>, contents: &Contents, layout: &Layout) -> Result<PathBuf, String> {
    let folder = layout.folder.join("DEBIAN");
    write(&folder.join("control"), &control(making, contents, layout)?, 0o644)?;
    let config = contents.files.iter().filter(|file| file.kind == Kind::Config);
    let config: String = config.map(|file| format!("/{}\n", file.to)).collect();
    if !config.is_empty() {
        write(&folder.join("conffiles"), &config, 0o644)?;
    }
    if !contents.units.is_empty() {
        for script in ["preinst", "postinst", "prerm", "postrm"] {
            let text = contents.script(Flavour::Deb, &root().join("packaging/linux/deb").join(script))?;
            write(&folder.join(script), &text, 0o755)?;
        }
    }
    settle(&layout.folder, making.clock)?;
    let architecture = making.architecture.deb();
    let file = format!("{}_{}_{architecture}.deb", contents.name.as_str(), making.package_version());
    let package = making.dist.join(file);
    let mut command = Command::new("dpkg-deb");
    match making.build {
        Build::Release => command.arg("-Zxz"),
        Build::Debug => command.args(["-Zgzip", "-z1"]),
    };
    command.args(["--root-owner-group", "--build"]).arg(&layout.folder).arg(&package);
    succeed(making.clock.set(&mut command))?;
    Ok(package)
}

fn control(making: &Making<'_>, contents: &Contents, layout: &Layout) -> Result<String, String> {
    let programs = contents.files.iter().filter(|file| file.kind == Kind::Program);
    let programs: Vec<&Path> = programs.map(|file| file.from.as_path()).collect();
    let mut depends = needs::of(&programs)?;
    // The tray app has petit-client in it: one file is all that a customer needs.
    let others = match contents.name {
        Name::Tray => {
            depends.extend(["libgtk-3-0 | libgtk-3-0t64", "libwebkit2gtk-4.1-0"].map(str::to_owned));
            "Recommends: gnome-keyring | kwalletmanager, xdg-utils\nProvides: petit-client\n\
             Conflicts: petit-client\nReplaces: petit-client\n"
        }
        // An older one does not look into /etc/credstore, and starts the service without its key.
        Name::Server => "Breaks: systemd (<< 251)\n",
        Name::Client => "",
    };
    let description: String = contents.description.iter().map(|line| format!(" {line}\n")).collect();
    Ok(format!(
        "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: Petit <petit@localhost>\n\
         Installed-Size: {}\nDepends: {}\n{others}Section: net\nPriority: optional\nDescription: {}\n{description}",
        contents.name.as_str(),
        making.package_version(),
        making.architecture.deb(),
        layout.bytes.div_ceil(1024),
        depends.join(", "),
        contents.summary,
    ))
}

fn write(path: &Path, text: &str, mode: u32) -> Outcome {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)?;
    set_mode(path, mode).map_err(failed)
}
