//! Renders the icons from their vector source in `icons/`. What it makes is checked in, so that a build needs none
//! of this.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::{Outcome, is_installed, root, succeed};

/// Sizes of the program's icon.
const APP: [u32; 7] = [16, 24, 32, 48, 64, 128, 256];
/// Sizes of a tray icon; panels choose the nearest.
const TRAY: [u32; 6] = [16, 22, 24, 32, 48, 64];
/// The sizes that a Windows icon holds.
const ICO: [u32; 5] = [16, 24, 32, 48, 256];

/// Renders everything.
pub(crate) fn run() -> Outcome {
    for (program, package) in [("rsvg-convert", "librsvg2-bin"), ("convert", "imagemagick")] {
        if !is_installed(program) {
            return Err(format!("{program} is missing; it is in the package {package}"));
        }
    }
    let icons = root().join("icons");
    let rendered = icons.join("rendered");
    let tray = rendered.join("tray");
    fs::create_dir_all(&tray).map_err(|error| format!("cannot make {}: {error}", tray.display()))?;
    for size in APP {
        render(&icons.join("petit.svg"), &rendered.join(format!("petit-{size}.png")), size)?;
    }
    let sources = fs::read_dir(icons.join("tray")).map_err(|error| format!("icons/tray: {error}"))?;
    for source in sources.flatten().map(|entry| entry.path()) {
        let name = source.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for size in TRAY {
            render(&source, &tray.join(format!("{name}-{size}.png")), size)?;
        }
    }
    let mut ico = Command::new("convert");
    ico.args(ICO.map(|size| rendered.join(format!("petit-{size}.png"))));
    succeed(ico.arg(rendered.join("petit.ico")))?;
    println!("rendered into {}", rendered.display());
    Ok(())
}

/// The same picture is the same file: nothing of the day or the machine is in it.
fn render(source: &Path, target: &Path, size: u32) -> Outcome {
    let size = size.to_string();
    let mut command = Command::new("rsvg-convert");
    command.args(["--width", &size, "--height", &size, "--output"]).arg(target).arg(source);
    succeed(&mut command)?;
    // As RGBA with eight bits and without remarks.
    let mut command = Command::new("convert");
    command.arg(target).args(["-strip", "-define", "png:exclude-chunks=date,time"]);
    succeed(command.arg(format!("PNG32:{}", target.display())))
}
