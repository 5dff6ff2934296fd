//! The tray app itself; started by `petit`.

fn main() -> std::process::ExitCode {
    petit_desktop::main()
}
