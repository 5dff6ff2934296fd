//! `release build`: all that is handed out, built by one command and laid into one folder, ready to be signed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use petit_host::brand::Brand;

use super::arguments::BuildArguments;
use super::assembly::{Assembly, Kind, Machine, System};
use super::part::Part;
use crate::dist::{self, Name, Wanted};
use crate::dist_windows::{self, Vendor};
use crate::image;
use crate::made::{Build, RootKeys};
use crate::run::{Outcome, target};

/// Builds the parts that are wanted. Returns what there is to say: what was made, and what was not.
pub(super) fn build(arguments: &BuildArguments) -> Result<String, String> {
    // Before anything is built for half an hour.
    let vendor = arguments.brand.as_deref().map(Vendor::read).transpose()?;
    let given = arguments.roots.as_deref().map(RootKeys::read).transpose()?;
    let named = vendor.as_ref().map_or(Ok(None), Vendor::roots)?;
    let brand = vendor.as_ref().map(|vendor| vendor.brand().clone());
    let work = Work { arguments, vendor, roots: given.or(named), packing: target()?.join("dist/release") };
    let assembly = Assembly::begin(&arguments.into)?;
    let mut took = Vec::new();
    for part in &arguments.parts {
        println!("\n=== {}", part.name());
        let begin = Instant::now();
        work.part(*part, &assembly, brand.as_ref())?;
        took.push((part.name(), begin.elapsed()));
    }
    let sizes = assembly.end()?;
    Ok(said(&took, &sizes, &work.not_made()?))
}

/// What all parts are made with.
struct Work<'a> {
    arguments: &'a BuildArguments,
    vendor: Option<Vendor>,
    roots: Option<RootKeys>,
    /// Where packages are made, before they are laid where they belong.
    packing: PathBuf,
}

impl Work<'_> {
    fn part(&self, part: Part, assembly: &Assembly, brand: Option<&Brand>) -> Outcome {
        let packages = self.packages();
        match part {
            Part::Linux => {
                let packed = packages.own()?;
                self.lay_packed(assembly, &packed, (System::Linux, Machine::own()?), brand)
            }
            Part::LinuxArm64 => {
                let packed = packages.arm64(&packages.programs()?)?;
                self.lay_packed(assembly, &packed, (System::Linux, Machine::Arm64), brand)
            }
            Part::Windows => {
                let made =
                    dist_windows::make(self.arguments.build, self.vendor.as_ref(), self.roots.as_ref())?;
                assembly.lay(Kind::Installer, &made.setup)?;
                assembly.lay_programs(&made.programs, (System::Windows, Machine::Amd64), brand)
            }
            Part::Images => {
                let folder = assembly.folder(Kind::Image)?;
                match self.arguments.build {
                    Build::Release => image::release(&folder),
                    Build::Debug => image::of_programs(&packages.programs()?, &folder),
                }
            }
        }
    }

    /// Without the tray app where programs are only tried.
    fn packages(&self) -> Wanted {
        let names = match self.arguments.build {
            Build::Release => Name::ALL.to_vec(),
            Build::Debug => vec![Name::Client, Name::Server],
        };
        let (from, roots) = (self.arguments.from.clone(), self.roots.clone());
        Wanted { build: self.arguments.build, from, into: self.packing.clone(), roots, names }
    }

    fn lay_packed(
        &self,
        assembly: &Assembly,
        packed: &dist::Packed,
        (system, machine): (System, Machine),
        brand: Option<&Brand>,
    ) -> Outcome {
        for package in &packed.packages {
            assembly.lay(Kind::Package, package)?;
        }
        assembly.lay_programs(&packed.programs, (system, machine), brand)
    }

    /// What a release lacks, and why: nobody is to find out when it is asked for.
    fn not_made(&self) -> Result<Vec<String>, String> {
        let is_wanted = |part: &Part| self.arguments.parts.contains(part);
        let left_out = Part::ALL.iter().filter(|part| !is_wanted(part));
        let mut not_made: Vec<String> =
            left_out.map(|part| format!("{}: --parts does not name it", part.name())).collect();
        if is_wanted(&Part::Linux) && self.arguments.build == Build::Debug {
            not_made.push("the tray app: --debug is for trying this out".to_owned());
        }
        if is_wanted(&Part::LinuxArm64) {
            not_made.push(
                "the tray app for arm64: it is compiled with GTK and WebKit, which would have to be there for arm64"
                    .to_owned(),
            );
        }
        if self.vendor.is_some() && is_wanted(&Part::Linux) {
            not_made.push("packages with a brand: those that are there are Petit's".to_owned());
        }
        if self.roots.is_none() {
            not_made.push(
                "root keys in packages and installers (--roots): what is installed is told of no new version"
                    .to_owned(),
            );
        }
        not_made.push("macos: it takes a Mac, where the command is cargo xtask dist macos".to_owned());
        not_made.push("signatures: the command is cargo xtask release sign".to_owned());
        Ok(not_made)
    }
}

fn said(took: &[(&str, Duration)], sizes: &[(String, u64)], not_made: &[String]) -> String {
    let mut said = String::from("\n=== made\n");
    for (name, bytes) in sizes {
        said.push_str(&format!("{:>9.1} MB  {name}\n", mega(*bytes)));
    }
    for (name, took) in took {
        said.push_str(&format!("{:>9} s   {name}\n", took.as_secs()));
    }
    said.push_str("\n=== not made\n");
    for line in not_made {
        said.push_str(&format!("  {line}\n"));
    }
    said
}

#[allow(clippy::cast_precision_loss, reason = "for people: one digit behind the point")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
