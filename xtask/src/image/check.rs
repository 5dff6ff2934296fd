//! The step of the tests: the images are made, unpacked and run.

use std::path::Path;

use super::build::{Built, read};
use super::layout::Packing;
use super::{Which, folder, layout, packaging, reference, run};
use crate::made::Clock;
use crate::run::{build_programs, cargo};
use crate::setup::{Needed, install};
use crate::watch::watch;

const NEEDED: &[Needed] = &[
    ("skopeo", "skopeo", "reads images as registries do"),
    ("umoci", "umoci", "unpacks them"),
    ("runc", "runc", "runs them"),
    ("strip", "binutils", "makes the tests' programs smaller"),
];

/// Makes images of the programs that the tests share, and runs them. Says how many tests passed.
pub(crate) fn check() -> Result<String, String> {
    install(NEEDED, &[], "The images need")?;
    let checked = packaging::check()?;
    run(Which::Shared)?;
    // What is made twice is the same twice: the programs are read anew, and are files of another moment.
    let again = folder()?.join("again");
    layout(&[Built::shared()?], Packing::Plain, Clock::of_the_source()?.seconds())?.write(&again)?;
    let index = |made: &Path| read(&made.join("index.json"));
    if index(&again)? != index(&folder()?.join("layout"))? {
        return Err("images that are made twice of the same programs are not the same".to_owned());
    }
    let _ = std::fs::remove_dir_all(again);
    let mut tests = cargo(&["test", "--locked", "-p", "petit-tests", "--test", "image"]);
    tests.env("PETIT_PROGRAMS", build_programs()?).env("PETIT_IMAGES", folder()?);
    tests.env("PETIT_SERVER_IMAGE", reference("petit-server"));
    tests.env("PETIT_CLIENT_IMAGE", reference("petit-client"));
    let watched = watch(&mut tests)?;
    if watched.success {
        Ok(format!("{} passed in containers; {checked}", watched.passed))
    } else {
        Err(watched.failures())
    }
}
