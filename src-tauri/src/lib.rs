//! The tray app: icon, window and notifications over `petit-client`. No rule of its own lives here; what is drawn
//! and what happens on a click is decided in `petit_app`.
//!
//! Two threads. The **engine thread** runs the client, its control socket, the controller, the tray on Linux and
//! notifications on a runtime of its own. The **main thread** belongs to the desktop: on Linux it sleeps until a
//! window is wanted for the first time, so that an app without a window has loaded neither GTK's display nor WebKit's
//! processes; elsewhere it runs the tray too.

// Read by the build script; here it is compared with the contract.
#[cfg(test)]
mod command_names;
mod commands;
mod engine;
mod notify;
mod smoke;
mod system;
mod tray;
mod ui_thread;
mod window;
mod window_state;

use std::io::Read;
use std::process::ExitCode as ProcessExit;

use petit_app::args::{self, Args, Parsed};
use petit_app::deeplink;
use petit_app::single::{SingleError, StartRequest};
use petit_host::brand;
use petit_host::cli::{Failure, chain, fail};
use petit_host::exit::ExitCode;

/// Starts the app and returns when it has ended.
pub fn main() -> ProcessExit {
    if let Err(error) = brand::begin() {
        return fail(false, &Failure::of(&error));
    }
    let given: Vec<_> = std::env::args_os().skip(1).collect();
    let mut args = match args::parse(given) {
        Parsed::Start(args) => args,
        Parsed::Version => {
            petit_host::cli::print(concat!("petit ", env!("CARGO_PKG_VERSION"), "\n"));
            return ProcessExit::SUCCESS;
        }
        Parsed::Help => {
            petit_host::cli::print(&args::usage());
            return ProcessExit::SUCCESS;
        }
        Parsed::Unknown(why) => {
            return fail(false, &Failure::new(ExitCode::Usage, why).hint("see: petit --help"));
        }
    };
    // Before there is a window: it and notifications are the installed app's.
    #[cfg(windows)]
    if let Err(error) = petit_windows::identity::set_app_id(&brand::here().app_id()) {
        tracing::debug!(%error, "Windows does not know this process as the installed app");
    }
    petit_host::harden::no_core_dumps();
    petit_host::harden::raise_open_files();
    if args.link_on_stdin {
        read_link(&mut args);
    }
    match run(&args) {
        Ok(code) => code.into(),
        Err(failure) => fail(false, &failure),
    }
}

/// The link that `petit` was started with.
fn read_link(args: &mut Args) {
    const MOST: u64 = 16 * 1024;
    let mut text = String::new();
    if std::io::stdin().take(MOST).read_to_string(&mut text).is_ok() {
        let link = if deeplink::is_link(&text) { text } else { format!("petit:{text}") };
        args.wanted = StartRequest::Show(deeplink::opening(&link));
    }
}

fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (ui_thread, messages) = ui_thread::UiThread::new();
    let started = engine::start(args, &ui_thread).map_err(|error| match error {
        engine::AppStartError::Single(error @ SingleError::Silent { .. }) => {
            Failure::of(&error).hint("end it with kill, and start Petit again")
        }
        error @ engine::AppStartError::NotRunning => Failure::new(ExitCode::NotRunning, chain(&error)),
        error => Failure::new(ExitCode::Failed, chain(&error)),
    })?;
    let engine::Running { state, thread, lock: _lock } = match started {
        engine::Started::Running(running) => running,
        engine::Started::HandedOver => return Ok(ExitCode::Ok),
    };
    let code = ui_thread::run(&ui_thread, messages, state);
    // The engine has said goodbye to the server when it asked the front to end.
    let _ = thread.join();
    Ok(code)
}
