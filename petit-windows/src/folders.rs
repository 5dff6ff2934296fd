//! Folders that the system knows the place of. Not from the environment, which a user can set.

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::path::PathBuf;
use std::ptr;

use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::UI::Shell::{FOLDERID_ProgramData, FOLDERID_ProgramFiles, SHGetKnownFolderPath};
use windows_sys::core::GUID;

use crate::security::words;

/// Where programs are that only administrators change.
///
/// # Errors
/// When the system does not say.
pub fn programs() -> io::Result<PathBuf> {
    known(&FOLDERID_ProgramFiles)
}

/// Where programs keep what belongs to no user.
///
/// # Errors
/// When the system does not say.
pub fn data() -> io::Result<PathBuf> {
    known(&FOLDERID_ProgramData)
}

fn known(folder: &GUID) -> io::Result<PathBuf> {
    let mut text = ptr::null_mut();
    // SAFETY: `folder` is one of the system's, for its own user, and `text` is written once.
    let code = unsafe { SHGetKnownFolderPath(folder, 0, ptr::null_mut(), &raw mut text) };
    let text = Text(text);
    if code < 0 { Err(io::Error::from_raw_os_error(code)) } else { Ok(text.read()) }
}

/// A path that the system has allocated, with a zero at its end.
struct Text(*mut u16);

impl Text {
    fn read(&self) -> PathBuf {
        // SAFETY: the text ends with a zero, and lives as long as this.
        let words = unsafe { words(self.0) };
        OsString::from_wide(words).into()
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: the system says that it is given back so, also where the call has failed; nobody else has it.
        unsafe { CoTaskMemFree(self.0.cast()) };
    }
}
