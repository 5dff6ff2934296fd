//! What a process inherits.

use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, INVALID_HANDLE_VALUE, SetHandleInformation};
use windows_sys::Win32::System::Console::{
    GetStdHandle, STD_ERROR_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
};

/// Keeps this process's standard streams from those that it starts and gives others to.
///
/// A process that is started inherits every handle that may be inherited, and the streams that a shell has given us
/// may. One that goes on in the background would hold the shell's pipe open, and whoever reads from it would wait for
/// its end.
pub fn keep() {
    for stream in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        // SAFETY: it takes a number and gives a handle, which is not ours to close.
        let handle = unsafe { GetStdHandle(stream) };
        if handle.is_null() || handle == INVALID_HANDLE_VALUE {
            continue;
        }
        // SAFETY: the handle is this process's own. Where it cannot be changed (a console of old), it stays as it was.
        unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) };
    }
}
