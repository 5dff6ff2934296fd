//! `petit`: what people, menus, links and autostart entries start.
//!
//! On Linux it hands the request to a Petit that runs already, or looks whether there is a desktop and a WebKit, says
//! so in plain words if not, and becomes `petit-desktop`. Nothing of GTK or WebKit is linked to it, so that it starts
//! in an instant and speaks when those are missing. Elsewhere it is the app itself.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

#[cfg(target_os = "linux")]
#[path = "launch.rs"]
mod launch;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    {
        launch::main()
    }
    #[cfg(not(target_os = "linux"))]
    {
        petit_desktop::main()
    }
}
