//! The few things that every desktop does in its own way.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use petit_app::Place;

#[cfg(target_os = "linux")]
pub(crate) use self::linux::{activation_token, ask_where, copy, is_dark, is_root, prepare, present};
#[cfg(windows)]
pub(crate) use self::other::say;
#[cfg(not(target_os = "linux"))]
pub(crate) use self::other::{activation_token, ask_where, copy, is_dark, is_root, prepare, present};

/// The program that an autostart entry starts: `petit`, which on Linux is the small one beside this.
pub(crate) fn program() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    if !cfg!(target_os = "linux") {
        return Some(here);
    }
    let beside = here.with_file_name("petit");
    let system = here.parent()?.parent()?.parent()?.join("bin/petit");
    [beside, system].into_iter().find(|path| path.is_file())
}

/// Opens something in the desktop's own program for it.
///
/// # Errors
/// When there is none.
pub(crate) fn open(place: &Place) -> Result<(), String> {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    let mut command = Command::new(program);
    match place {
        Place::Path(path) => command.arg(path),
        Place::Url(url) => command.arg(url),
    };
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| format!("{program}: {error}"))?;
    // It is collected by a thread of its own, so that it does not stay behind as a dead process.
    let collect = move || drop(child.wait());
    std::thread::Builder::new().spawn(collect).map(drop).map_err(|error| error.to_string())
}
