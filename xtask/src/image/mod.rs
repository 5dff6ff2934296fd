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
mod sbom;

use std::path::PathBuf;

use self::build::{Architecture, Built};
pub(crate) use self::check::check;
use self::contents::PROGRAMS;
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
    let (built, packing) = match which {
        Which::Released => (
            Architecture::ALL.into_iter().map(Built::released).collect::<Result<Vec<_>, _>>()?,
            Packing::Gzip,
        ),
        Which::Shared => (vec![Built::shared()?], Packing::Plain),
    };
    let folder = folder()?;
    let layout = layout(&built, packing, Clock::of_the_source()?.seconds())?;
    layout.write(&folder.join("layout"))?;
    println!("made {}", folder.join("layout").display());
    for program in &PROGRAMS {
        let name = reference(program.name);
        let path = folder.join(format!("{}.tar", name.replace(':', "-")));
        std::fs::write(&path, layout.archive(&name)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        println!("made {}, for: podman load -i, docker load -i", path.display());
    }
    Ok(())
}

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
