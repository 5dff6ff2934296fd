//! The start on Linux, before GTK and WebKit.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode as ProcessExit, Stdio};

use petit_app::args::{self, Args, LINK_ON_STDIN, Parsed};
use petit_app::single::{self, First, StartRequest};
use petit_client::folder::Folder;
use petit_host::brand;
use petit_host::cli::{self, Failure, fail};
use petit_host::exit::ExitCode;

/// The program with the window, beside this one or in the system's folder for it.
const DESKTOP: &str = "petit-desktop";
/// What the loader says of a program whose libraries are not there.
const LOADER_FAILED: i32 = 127;

pub(crate) fn main() -> ProcessExit {
    if let Err(error) = brand::begin() {
        return fail(false, &Failure::of(&error));
    }
    let given: Vec<_> = std::env::args_os().skip(1).collect();
    let parsed = args::parse(given.iter().cloned());
    let args = match parsed {
        Parsed::Start(args) => args,
        Parsed::Version => {
            cli::print(concat!("petit ", env!("CARGO_PKG_VERSION"), "\n"));
            return ProcessExit::SUCCESS;
        }
        Parsed::Help => {
            cli::print(&args::usage());
            return ProcessExit::SUCCESS;
        }
        Parsed::Unknown(why) => {
            return fail(false, &Failure::new(ExitCode::Usage, why).hint("see: petit --help"));
        }
    };
    match start(&args) {
        Ok(code) => code.into(),
        Err(failure) => fail(false, &failure),
    }
}

fn start(args: &Args) -> Result<ExitCode, Failure> {
    let folder = Folder::of(&cli::config_place(args.config.as_deref(), brand::here())?.path);
    folder.make().map_err(|error| Failure::of(&error))?;
    if !args.smoke_test && try_hand_over(&folder, &args.wanted)? {
        return Ok(ExitCode::Ok);
    }
    if matches!(args.wanted, StartRequest::Stop | StartRequest::Quit) {
        return Err(Failure::new(ExitCode::NotRunning, "Petit is not running"));
    }
    if !["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|it| !it.is_empty()))
    {
        return Err(Failure::new(
            ExitCode::Failed,
            "there is no desktop here (neither DISPLAY nor WAYLAND_DISPLAY is set)",
        )
        .hint("on a computer without one, use: petit-client"));
    }
    let program = program()?;
    check_libraries(&program)?;
    if rustix::process::geteuid().is_root() {
        eprintln!("note: Petit runs as root; it does not need to");
    }
    Err(become_desktop(&program, args))
}

/// Hands the request to a Petit that runs already. False when none does.
fn try_hand_over(folder: &Folder, wanted: &StartRequest) -> Result<bool, Failure> {
    let token =
        ["XDG_ACTIVATION_TOKEN", "DESKTOP_STARTUP_ID"].iter().find_map(|name| std::env::var(name).ok());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::of(&error))?;
    match runtime.block_on(single::first(folder, wanted, token)) {
        // Let go again: the program that this one becomes takes it.
        Ok(First::Yes(_lock)) => Ok(false),
        Ok(First::No) => Ok(true),
        Err(error @ single::SingleError::Silent { .. }) => {
            Err(Failure::of(&error).hint("end it with kill, and start Petit again"))
        }
        Err(error @ single::SingleError::Lock(_)) => Err(Failure::of(&error)),
    }
}

fn program() -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    let beside = here.with_file_name(DESKTOP);
    let system = here.parent().and_then(Path::parent).map(|dir| dir.join("lib/petit").join(DESKTOP));
    let found = [Some(beside), system].into_iter().flatten().find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::new(ExitCode::Failed, format!("{DESKTOP} is missing beside this program"))
            .hint("install Petit again")
    })
}

/// Has the loader look for the libraries. It takes as long as loading them, but they are in memory afterwards.
fn check_libraries(program: &Path) -> Result<(), Failure> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::of(&error))?;
    if output.status.code() != Some(LOADER_FAILED) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.rsplit("error while loading shared libraries: ").next().unwrap_or_default().trim();
    let library = said.split(':').next().unwrap_or_default();
    let failure = Failure::new(
        ExitCode::Failed,
        format!("a part of the desktop that Petit draws its window with is missing: {library}"),
    );
    Err(failure.hint(
        "on Debian and Ubuntu: apt install libwebkit2gtk-4.1-0; on a computer without a desktop, use: petit-client",
    ))
}

/// Runs the desktop program in this process's place. A link goes over a pipe, because arguments can be read by every
/// user of the computer for as long as the program runs.
fn become_desktop(program: &Path, args: &Args) -> Failure {
    let mut command = Command::new(program);
    if let Some(config) = &args.config {
        command.arg("--config").arg(config);
    }
    if args.autostart {
        command.arg("--autostart");
    }
    if args.smoke_test {
        command.arg("smoke-test");
    }
    command.stdin(Stdio::null());
    match &args.wanted {
        StartRequest::Show(opening) => {
            if let Some(invite) = &opening.invite {
                let piped = std::io::pipe().and_then(|(reader, mut writer)| {
                    // Far less than a pipe holds, so nobody has to read yet.
                    writer.write_all(invite.as_bytes())?;
                    Ok(reader)
                });
                match piped {
                    Ok(reader) => command.arg(LINK_ON_STDIN).stdin(reader),
                    Err(error) => return Failure::of(&error),
                };
            } else {
                let page = serde_json::to_value(opening.page).unwrap_or_default();
                command.arg(match page.as_str() {
                    Some(page) if page != "overview" && page != "setup" => page.to_owned(),
                    _ => "show".to_owned(),
                });
            }
        }
        StartRequest::Start => drop(command.arg("start")),
        StartRequest::Nothing | StartRequest::Stop | StartRequest::Quit => {}
    }
    Failure::of(&command.exec())
}
