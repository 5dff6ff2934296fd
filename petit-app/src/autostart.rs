//! Starting the tray app when its user logs in.
//!
//! On Linux the entry is written here: auto-launch writes the path unquoted, does not know `XDG_CONFIG_HOME`, and
//! takes every file for an enabled one. It is read back after every change, and counts as on only if it would start
//! this very program. On Windows and macOS auto-launch does it, for the present user only and with a quoted path.

use std::path::{Path, PathBuf};

use crate::shown::LoginItem;

/// The argument that such a start has.
pub const ARGUMENT: &str = "--autostart";

/// The entry of one program.
#[derive(Clone, Debug)]
pub struct Autostart {
    program: PathBuf,
    #[cfg(target_os = "linux")]
    dir: PathBuf,
}

impl Autostart {
    /// The entry that starts `program`. `None` when this user has no place for it.
    pub fn of(program: &Path) -> Option<Self> {
        // An AppImage is mounted anew at each start; what stays is the file itself.
        let program = std::env::var_os("APPIMAGE").map_or_else(|| program.to_owned(), PathBuf::from);
        #[cfg(target_os = "linux")]
        {
            let config =
                std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
            let config = config.or_else(|| Some(petit_host::files::home()?.join(".config")))?;
            Some(Self { program, dir: config.join("autostart") })
        }
        #[cfg(not(target_os = "linux"))]
        Some(Self { program })
    }
}

#[cfg(target_os = "linux")]
impl Autostart {
    /// Where the entry is.
    pub fn path(&self) -> PathBuf {
        self.dir.join("petit.desktop")
    }

    fn entry(&self) -> String {
        format!(
            "[Desktop Entry]\nType=Application\nVersion=1.0\nName=Petit\nIcon=petit\nExec={} {ARGUMENT}\n\
             Terminal=false\nStartupNotify=false\nX-GNOME-Autostart-enabled=true\n",
            quoted(&self.program.to_string_lossy())
        )
    }

    /// Puts an entry right that starts a program that has moved. An entry that was switched off stays so.
    pub fn repair(&self) {
        let Ok(text) = std::fs::read_to_string(self.path()) else { return };
        let stale = exec(&text).is_some_and(|words| {
            words.get(1).is_some_and(|word| word == ARGUMENT)
                && words.first().is_some_and(|program| !Path::new(program).exists())
        });
        if stale && !is_hidden(&text) {
            tracing::info!("the autostart entry started a program that has moved; it is put right");
            if let Err(why) = self.set(true) {
                tracing::warn!(why, "it could not be put right");
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl LoginItem for Autostart {
    fn is_on(&self) -> bool {
        let Ok(text) = std::fs::read_to_string(self.path()) else { return false };
        let wanted = [self.program.to_string_lossy().into_owned(), ARGUMENT.to_owned()];
        !is_hidden(&text) && exec(&text).is_some_and(|words| words == wanted)
    }

    fn set(&self, on: bool) -> Result<(), String> {
        let said = |error: petit_host::files::FileError| petit_host::cli::chain(&error);
        if !on {
            return petit_host::files::remove(&self.path()).map_err(said);
        }
        std::fs::create_dir_all(&self.dir).map_err(|error| format!("{}: {error}", self.dir.display()))?;
        petit_host::files::write_public(&self.path(), self.entry().as_bytes()).map_err(said)?;
        if self.is_on() { Ok(()) } else { Err("the entry that was written would not start Petit".to_owned()) }
    }
}

#[cfg(not(target_os = "linux"))]
impl Autostart {
    fn item(&self) -> Result<auto_launch::AutoLaunch, String> {
        let program = self.program.to_string_lossy();
        // Windows splits the value at spaces.
        let program = if cfg!(windows) { format!("\"{program}\"") } else { program.into_owned() };
        let mut builder = auto_launch::AutoLaunchBuilder::new();
        builder
            .set_app_name(&petit_host::brand::here().installed_as())
            .set_app_path(&program)
            .set_args(&[ARGUMENT]);
        builder.set_windows_enable_mode(auto_launch::WindowsEnableMode::CurrentUser);
        // Asked for elsewhere it is refused where the system's own version is below 13, as that of Windows 11 is.
        #[cfg(target_os = "macos")]
        builder.set_macos_launch_mode(auto_launch::MacOSLaunchMode::SMAppService);
        builder.build().map_err(|error| error.to_string())
    }

    /// Puts an entry right that starts a program that has moved.
    pub fn repair(&self) {
        if self.is_on() {
            let _ = self.set(true);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl LoginItem for Autostart {
    fn is_on(&self) -> bool {
        self.item().is_ok_and(|item| item.is_enabled().unwrap_or(false))
    }

    fn set(&self, on: bool) -> Result<(), String> {
        let item = self.item()?;
        let done = if on { item.enable() } else { item.disable() };
        done.map_err(|error| error.to_string())?;
        if self.is_on() == on { Ok(()) } else { Err("the system did not keep the entry".to_owned()) }
    }
}

/// A word of `Exec` in quotes (Desktop Entry Specification, "The Exec key"): first for the shell-like reading of the
/// value, then for the string that it stands in.
#[cfg(target_os = "linux")]
fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '`' | '$' => {
                out.push_str("\\\\");
                out.push(c);
            }
            '\\' => out.push_str("\\\\\\\\"),
            '%' => out.push_str("%%"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The words of an entry's `Exec`, as a desktop would read them.
#[cfg(target_os = "linux")]
fn exec(text: &str) -> Option<Vec<String>> {
    let value = text.lines().find_map(|line| line.strip_prefix("Exec="))?;
    // The string's own escapes.
    let mut plain = String::new();
    let mut letters = value.chars();
    while let Some(c) = letters.next() {
        match c {
            '\\' => match letters.next()? {
                's' => plain.push(' '),
                'n' => plain.push('\n'),
                't' => plain.push('\t'),
                'r' => plain.push('\r'),
                '\\' => plain.push('\\'),
                other => plain.extend(['\\', other]),
            },
            c => plain.push(c),
        }
    }
    // Then the quoting, and the field codes, of which there are none in ours.
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    let mut letters = plain.chars();
    while let Some(c) = letters.next() {
        match c {
            '"' => (quoted, any) = (!quoted, true),
            '\\' if quoted => word.push(letters.next()?),
            '%' => match letters.next()? {
                '%' => word.push('%'),
                _ => any = true,
            },
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    Some(words)
}

/// True when the desktop's own settings have switched an entry off.
#[cfg(target_os = "linux")]
fn is_hidden(text: &str) -> bool {
    let off = ["Hidden=true", "X-GNOME-Autostart-enabled=false"];
    text.lines().any(|line| off.contains(&line.trim()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn autostart(dir: &Path, program: &str) -> Autostart {
        Autostart { program: PathBuf::from(program), dir: dir.join("autostart") }
    }

    #[test]
    fn it_is_on_only_if_it_would_start_this_program() {
        let dir = tempfile::tempdir().unwrap();
        let item = autostart(dir.path(), "/opt/My Apps/50% \"off\"/petit");
        assert!(!item.is_on());
        item.set(true).unwrap();
        assert!(item.is_on());
        assert!(!autostart(dir.path(), "/usr/bin/petit").is_on(), "another program's entry is not ours");
        let text = std::fs::read_to_string(item.path()).unwrap();
        std::fs::write(item.path(), format!("{text}Hidden=true\n")).unwrap();
        assert!(!item.is_on(), "the desktop has switched it off");
        item.repair();
        assert!(!item.is_on());
        item.set(false).unwrap();
        item.set(false).unwrap();
        assert!(!item.path().exists());
    }

    #[test]
    fn an_entry_of_a_program_that_has_moved_is_put_right() {
        let dir = tempfile::tempdir().unwrap();
        autostart(dir.path(), "/no/such/petit").set(true).unwrap();
        let item = autostart(dir.path(), "/usr/bin/petit");
        item.repair();
        assert!(item.is_on());
        std::fs::write(item.path(), "[Desktop Entry]\nExec=/no/such/other\n").unwrap();
        item.repair();
        assert!(!item.is_on(), "what is not ours is left alone");
    }

    #[test]
    fn desktop_tools_accept_the_entry() {
        let dir = tempfile::tempdir().unwrap();
        let item = autostart(dir.path(), "/opt/My Apps/50% \"off\" $HOME `x` \\ é/petit");
        item.set(true).unwrap();
        let checked = std::process::Command::new("desktop-file-validate").arg(item.path()).output();
        let checked = checked.expect("desktop-file-validate is installed by `cargo xtask test`");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }

    proptest! {
        #[test]
        fn what_was_quoted_is_read_back(path in "/[ -~é\\\\]{1,40}") {
            let line = format!("Exec={} {ARGUMENT}\n", quoted(&path));
            prop_assert_eq!(exec(&line).unwrap(), [path, ARGUMENT.to_owned()]);
        }

        #[test]
        fn any_entry_is_met_without_a_panic(text in any::<String>()) {
            let _ = exec(&format!("Exec={text}"));
        }
    }
}

#[cfg(all(test, windows))]
mod windows_tests {
    #![allow(clippy::unwrap_used, reason = "a test may assert by failing")]

    use std::process::Command;

    use super::*;

    /// What Windows would start at the login.
    fn value() -> Option<String> {
        let key = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";
        let output = Command::new("reg").args(["query", key, "/v", "Petit"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = text.lines().find_map(|line| line.split_once("REG_SZ"));
        value.map(|(_, value)| value.trim().to_owned())
    }

    #[test]
    fn the_system_keeps_the_entry_and_gives_it_up_again() {
        let item = Autostart { program: PathBuf::from(r"C:\My Apps\Petit\petit.exe") };
        assert!(!item.is_on());
        item.set(true).unwrap();
        assert!(item.is_on());
        assert_eq!(value().unwrap(), r#""C:\My Apps\Petit\petit.exe" --autostart"#);
        item.set(true).unwrap();
        item.set(false).unwrap();
        assert!(!item.is_on());
        assert_eq!(value(), None);
        item.set(false).unwrap();
    }
}
