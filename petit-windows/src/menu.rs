//! Menus that are open.

use windows_sys::Win32::UI::WindowsAndMessaging::EndMenu;

/// Closes the menu that this thread has open, if it has. While there is one, a thread does nothing but wait for its
/// user ("TrackPopupMenu", Win32), so that a program that is asked to end would not.
pub fn close() {
    // SAFETY: it takes nothing, and concerns the menus of the calling thread alone.
    unsafe { EndMenu() };
}
