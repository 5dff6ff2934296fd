//! A package for Fedora, Red Hat and SUSE, made with `rpmbuild` from files that are ready.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::contents::{Contents, File, Kind, Name};
use super::layout::Layout;
use super::making::{Flavour, Making};
use crate::made::Build;
use crate::run::{root, succeed};

/// Packs what is laid out; returns the package.
pub(super) fn pack(making: &Making<'_>, contents: &Contents, layout: &Layout) -> Result<PathBuf, String> {
    let top = making.dist.join("rpm");
    let (specs, made) = (top.join(format!("{}.spec", contents.name.as_str())), top.join("RPMS"));
    let failed = |error: std::io::Error| format!("{}: {error}", top.display());
    let _ = fs::remove_dir_all(&top);
    fs::create_dir_all(&top).map_err(failed)?;
    fs::write(&specs, spec(making, contents, layout)?).map_err(failed)?;
    let payload = match making.build {
        Build::Release => "_binary_payload w19.zstdio",
        Build::Debug => "_binary_payload w1.zstdio",
    };
    let mut command = Command::new("rpmbuild");
    command.args(["-bb", "--quiet", "--target", &format!("{}-linux", making.architecture.rpm())]);
    for define in [
        &format!("_topdir {}", top.display()),
        payload,
        // Files are ready as they are: nothing is stripped, split off or pressed.
        "debug_package %{nil}",
        "_build_id_links none",
        "__os_install_post %{nil}",
        // The same files make the same package.
        "use_source_date_epoch_as_buildtime 1",
        "clamp_mtime_to_source_date_epoch 1",
        "_buildhost petit",
    ] {
        command.args(["--define", define]);
    }
    succeed(making.clock.set(command.arg(&specs)))?;
    let file = format!(
        "{}-{}-1.{}.rpm",
        contents.name.as_str(),
        making.package_version(),
        making.architecture.rpm()
    );
    let package = making.dist.join(&file);
    fs::rename(made.join(making.architecture.rpm()).join(&file), &package).map_err(failed)?;
    let _ = fs::remove_dir_all(&top);
    Ok(package)
}

fn spec(making: &Making<'_>, contents: &Contents, layout: &Layout) -> Result<String, String> {
    // Libraries are found by rpmbuild itself.
    let others = match contents.name {
        Name::Tray => "Provides: petit-client\nConflicts: petit-client\n",
        Name::Client => "Requires: systemd\n",
        // An older one does not look into /etc/credstore, and starts the service without its key.
        Name::Server => "Requires: systemd >= 251\n",
    };
    let files: String = contents.files.iter().map(listed).collect();
    let folders: String =
        own_folders(contents).iter().map(|folder| format!("%dir \"/{folder}\"\n")).collect();
    let mut spec = format!(
        "Name: {}\nVersion: {}\nRelease: 1\nSummary: {}\nLicense: MIT OR Apache-2.0\n{others}\n\
         %description\n{}\n\n%install\ncp -a '{}/.' %{{buildroot}}/\n\n%files\n%defattr(-,root,root,-)\n{folders}{files}\n",
        contents.name.as_str(),
        making.package_version(),
        contents.summary,
        contents.description.join("\n"),
        layout.folder.display(),
    );
    if !contents.units.is_empty() {
        spec.push_str("%dir /etc/petit\n");
        for scriptlet in ["post", "preun", "postun"] {
            let text = contents.script(Flavour::Rpm, &root().join("packaging/linux/rpm").join(scriptlet))?;
            spec.push_str(&format!("\n%{scriptlet}\n{text}"));
        }
    }
    Ok(spec)
}

/// The folders that go with the package: those that no other has.
fn own_folders(contents: &Contents) -> BTreeSet<String> {
    let name = contents.name.as_str();
    let program = contents.name.command_lines();
    let own = [format!("usr/share/doc/{name}"), "usr/lib/petit".to_owned(), format!("usr/lib/{program}")];
    // Those of shells that may not be there; several packages may have one.
    let of_shells = ["usr/share/fish", "usr/share/zsh"].map(str::to_owned);
    let own: Vec<PathBuf> = own.into_iter().chain(of_shells).map(PathBuf::from).collect();
    let above = contents.files.iter().flat_map(|file| Path::new(&file.to).ancestors().skip(1));
    let theirs = above.filter(|folder| own.iter().any(|own| folder.starts_with(own)));
    theirs.map(|folder| folder.display().to_string()).collect()
}

fn listed(file: &File) -> String {
    let mark = if file.kind == Kind::Config { "%config(noreplace) " } else { "" };
    format!("{mark}\"/{}\"\n", file.to)
}
