//! Container images of server and client: an OCI layout, made without a container engine.
//!
//! They hold one program each and what it reads, and nothing to look around with: no shell, no package manager.

mod build;
mod check;
mod contents;
mod layer;
mod layout;
mod moment;
mod packaging;
pub(crate) mod sbom;

use std::path::{Path, PathBuf};

use self::build::{Architecture, Built};
pub(crate) use self::check::check;
use self::contents::{PROGRAMS, Program};
use self::layout::{Layout, Packing};
use crate::made::{Clock, revision};
use crate::run::{Outcome, target};

/// Which programs are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Optimised, for all kinds of processors.
    Released,
    /// As the tests use them, for this computer's kind.
    Shared,
}

/// Builds the programs and makes the images.
pub(crate) fn run(which: Which) -> Outcome {
    let folder = folder()?;
    let files = match which {
        Which::Released => make(&released()?, Packing::Gzip, &folder)?,
        Which::Shared => make(&[Built::shared()?], Packing::Plain, &folder)?,
    };
    println!("made {}", folder.join(LAYOUT).display());
    for file in files {
        println!("made {}, for: podman load -i, docker load -i", file.display());
    }
    Ok(())
}

/// Builds the programs for all kinds of processors, and makes the images in a folder.
pub(crate) fn release(folder: &Path) -> Result<(), String> {
    make(&released()?, Packing::Gzip, folder).map(drop)
}

/// Makes images of programs for this machine's processor in a folder.
pub(crate) fn of_programs(programs: &Path, folder: &Path) -> Result<(), String> {
    make(&[Built::of(programs)?], Packing::Plain, folder).map(drop)
}

fn released() -> Result<Vec<Built>, String> {
    Architecture::ALL.into_iter().map(Built::released).collect()
}

/// Makes the images: a layout with all, and a file of each, which it returns.
fn make(built: &[Built], packing: Packing, folder: &Path) -> Result<Vec<PathBuf>, String> {
    let layout = layout(built, packing, Clock::of_the_source()?.seconds())?;
    layout.write(&folder.join(LAYOUT))?;
    let file = |program: &Program| {
        let name = reference(program.name);
        let path = folder.join(format!("{}.tar", name.replace(':', "-")));
        let written = std::fs::write(&path, layout.archive(&name)?);
        written.map(|()| path.clone()).map_err(|error| format!("{}: {error}", path.display()))
    };
    PROGRAMS.iter().map(file).collect()
}

/// The layout in the folder of images.
const LAYOUT: &str = "layout";

/// The images of both programs.
fn layout(built: &[Built], packing: Packing, moment: u64) -> Result<Layout, String> {
    let mut layout = Layout::new(moment, packing);
    let revision = revision();
    for program in &PROGRAMS {
        let images = built.iter().map(|built| program.image(built, moment, revision.as_deref()));
        layout.add(&reference(program.name), images.collect::<Result<Vec<_>, _>>()?)?;
    }
    Ok(layout)
}

/// What an image is called.
fn reference(name: &str) -> String {
    format!("{name}:{}", env!("CARGO_PKG_VERSION"))
}

/// Where images are made.
fn folder() -> Result<PathBuf, String> {
    Ok(target()?.join("image"))
}
