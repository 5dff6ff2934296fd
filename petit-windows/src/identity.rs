//! What Windows knows this process by.

use std::io;

use windows_sys::Win32::UI::Shell::SetCurrentProcessExplicitAppUserModelID;

/// Says whose windows and notifications those of this process are: those of the start menu's entry with this
/// AppUserModelID. To be called before there is a window ("Application User Model IDs", Win32).
///
/// # Errors
/// When the system refuses it.
pub fn set_app_id(id: &str) -> io::Result<()> {
    let id: Vec<u16> = id.encode_utf16().chain([0]).collect();
    // SAFETY: the text ends with a zero, and is only read, during the call.
    let code = unsafe { SetCurrentProcessExplicitAppUserModelID(id.as_ptr()) };
    if code < 0 { Err(io::Error::from_raw_os_error(code)) } else { Ok(()) }
}
