//! What works on the files of a service of the system while that does not run: root has it done by the service's own
//! user, with what the unit gives the service, and touches none of its files itself.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_server::folder::Folder;

use super::common::PROGRAM;

/// Where a folder of root's is copied to for the service's user: on the disk, as a release may be larger than the memory.
const GIVEN: &str = "/var/cache";
/// What the names of the copies begin with, before the number of the process that has one made. Their units are called as
/// they are.
const COPY: &str = "petit-given-";

/// What of a folder the service's user is given.
#[derive(Clone, Copy)]
pub(crate) enum Given<'a> {
    All,
    /// Files by their names.
    Only(&'a [String]),
}

/// A command of this program, as the service would run it.
pub(crate) struct AsService {
    command: Command,
    given: Option<GivenCopy>,
}

/// Where the copy of a folder is, for as long as its command runs. Removed when this is dropped: the unit empties it, but
/// has no place to remove it from. One whose unit goes on without this process is left to the next command.
struct GivenCopy {
    folder: PathBuf,
    name: String,
}

impl Drop for GivenCopy {
    fn drop(&mut self) {
        if is_over(&self.name) {
            remove(&self.folder, &self.name);
        }
    }
}

impl AsService {
    /// `arguments`: verb and options.
    ///
    /// # Errors
    /// [`Failure`] when this program does not know where it is.
    pub(crate) fn new<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, Failure> {
        Self::with(arguments, &[], None)
    }

    /// As [`new`](Self::new), with files that only root may read: systemd hands them in by these names.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub(crate) fn with_credentials<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
        credentials: &[(&str, &Path)],
    ) -> Result<Self, Failure> {
        let property = |(name, path): &(&str, &Path)| {
            let mut property = OsString::from(format!("LoadCredential={name}:"));
            property.push(path);
            property
        };
        Self::with(arguments, &credentials.iter().map(property).collect::<Vec<_>>(), None)
    }

    /// As [`new`](Self::new), of a verb and a folder that only root may read: the service's user gets a copy, which is gone
    /// with the command.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub(crate) fn of_folder(
        verb: &[&str],
        (folder, given): (&Path, Given<'_>),
        json: bool,
        service: &Folder,
    ) -> Result<Self, Failure> {
        // What the service has written itself it can read, and root looks at none of it.
        let state = std::fs::canonicalize(service.path()).unwrap_or_else(|_| service.path().to_owned());
        if let (true, Some(text)) = (folder.starts_with(&state), folder.to_str()) {
            return Self::new(json.then_some("--json").into_iter().chain(verb.iter().copied()).chain([text]));
        }
        // Two at once have a folder each.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{COPY}{}-{now}", std::process::id());
        let cache = format!("{GIVEN}/{name}");
        let copy = format!("{cache}/folder");
        let run = |command: String| OsString::from(format!("ExecStartPre=+/bin/{command}"));
        let mut copying = OsString::from("ExecStartPre=+/bin/cp --no-preserve=ownership ");
        match given {
            Given::All => {
                copying.push(format!("-r --no-target-directory -- {} ", quoted(folder)));
                copying.push(&copy);
            }
            Given::Only(names) => {
                copying.push(format!("--no-dereference --target-directory={copy} -- "));
                let paths: Vec<String> = names.iter().map(|name| quoted(&folder.join(name))).collect();
                copying.push(paths.join(" "));
            }
        }
        let more = [
            format!("CacheDirectory={name}").into(),
            "CacheDirectoryMode=0700".into(),
            "TimeoutStartSec=1h".into(),
            run(format!("mkdir {copy}")),
            copying,
            run(format!("chown -R --reference={cache}/ {copy}")),
            // A cache outlives its unit.
            format!("ExecStopPost=+/bin/rm -rf {copy}").into(),
        ];
        let arguments = json.then_some("--json").into_iter().chain(verb.iter().copied());
        let made = Self::with(arguments.chain([copy.as_str()]), &more, Some(&name))?;
        Ok(Self { given: Some(GivenCopy { folder: GIVEN.into(), name }), ..made })
    }

    /// `unit`: its name, where that is to be known.
    fn with<'a>(
        arguments: impl IntoIterator<Item = &'a str>,
        more: &[OsString],
        unit: Option<&str>,
    ) -> Result<Self, Failure> {
        sweep(Path::new(GIVEN), is_over);
        let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
        let mut command = Command::new("systemd-run");
        command.args(["--quiet", "--collect", "--wait", "--pipe"]);
        command.args(unit.map(|unit| format!("--unit={unit}")));
        let properties = [
            "DynamicUser=yes",
            "User=petit-server",
            "StateDirectory=petit-server",
            "StateDirectoryMode=0700",
            "UMask=0077",
            // As the unit has it: what lies in a home is not there for the service.
            "ProtectHome=yes",
            // What lies in the service's folder can keep it waiting, and it goes on when root has gone.
            "RuntimeMaxSec=1h",
            "LoadCredential=petit-server.key",
            "LoadCredential=petit-backup.pin",
        ];
        for property in properties.map(OsString::from).iter().chain(more) {
            command.arg("--property").arg(property);
        }
        command.arg("--").arg(program).args(["--config", "/etc/petit/server.toml"]).args(arguments);
        Ok(Self { command, given: None })
    }

    /// Runs it in this one's place; returns how it ended.
    ///
    /// # Errors
    /// [`Failure`] where there is no systemd.
    pub(crate) fn run(mut self) -> Result<ExitCode, Failure> {
        let status = self.command.status().map_err(|error| no_systemd(&error))?;
        drop(self.given);
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        Ok(code.map_or(ExitCode::Failed, ExitCode::of))
    }

    /// Runs it and has `read` take what it prints meanwhile. Returns that, and how it ended.
    ///
    /// # Errors
    /// [`Failure`] where there is no systemd.
    pub(crate) fn read<T>(mut self, read: impl FnOnce(ChildStdout) -> T) -> Result<(T, ExitStatus), Failure> {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = self.command.spawn().map_err(|error| no_systemd(&error))?;
        let out = child.stdout.take().ok_or_else(|| no_systemd(&io::ErrorKind::BrokenPipe.into()))?;
        let taken = read(out);
        let status = child.wait().map_err(|error| no_systemd(&error))?;
        Ok((taken, status))
    }

    /// Runs it and returns what it has printed. What it complains of goes to where this program writes.
    ///
    /// # Errors
    /// [`Failure`] where there is no systemd.
    pub(crate) fn output(mut self) -> Result<Output, Failure> {
        self.command.stdin(Stdio::null()).stderr(Stdio::inherit());
        self.command.output().map_err(|error| no_systemd(&error))
    }
}

/// Removes the copies whose commands were ended before they could: by Ctrl-C, say, which leaves their place, or because
/// the machine went off meanwhile, which leaves the keys of a backup in it. `is_over`: whether the unit of a copy has ended.
fn sweep(given: &Path, is_over: impl Fn(&str) -> bool) {
    let names = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    for name in names(given).chain(names(&given.join("private"))).map(|entry| entry.file_name()) {
        if let Some(name) = name.to_str().filter(|name| name.starts_with(COPY) && is_over(name)) {
            remove(given, name);
        }
    }
}

/// Whether a unit does not run, and is not about to end either. What its copy is for goes on when root's process has gone.
fn is_over(unit: &str) -> bool {
    let unit = format!("{unit}.service");
    let shown = Command::new("systemctl").args(["show", "--property=ActiveState", "--value", &unit]).output();
    shown.is_ok_and(|shown| matches!(&*shown.stdout, b"inactive\n" | b"failed\n"))
}

fn remove(given: &Path, name: &str) {
    // No link in it is followed.
    let _ = std::fs::remove_dir_all(given.join("private").join(name));
    let _ = std::fs::remove_file(given.join(name));
}

fn no_systemd(error: &io::Error) -> Failure {
    let problem = format!("systemd-run cannot be run: {error}");
    Failure::new(ExitCode::Failed, problem).hint(format!(
        "/etc/petit/server.toml belongs to a service of systemd; for a server of another kind: {PROGRAM} -c FILE"
    ))
}

/// A path as a command line of a unit has it (systemd.service(5), "Command lines"). `systemd-run` takes specifiers (`%i`)
/// as they are.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '$' => quoted.extend([letter, letter]),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_an_interrupted_command_has_left_goes_with_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let left = ["1-1", "2-1", "3-1"].map(|number| format!("{COPY}{number}"));
        let [gone, unlinked, runs] = &left;
        for name in [gone, unlinked, runs, "apt"] {
            let private = dir.path().join("private").join(name);
            std::fs::create_dir_all(private.join("folder")).unwrap();
            std::fs::write(private.join("folder/server.key"), "a key").unwrap();
            std::os::unix::fs::symlink(&private, dir.path().join(name)).unwrap();
        }
        std::fs::remove_file(dir.path().join(unlinked)).unwrap();
        // What the service's user has linked to is no place to remove anything from.
        let elsewhere = dir.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("kept"), "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join("private").join(gone).join("link")).unwrap();
        sweep(dir.path(), |unit| unit != runs);
        let names = |folder: PathBuf| {
            let mut names: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(dir.path().join("private")), ["apt", runs]);
        assert_eq!(names(dir.path().to_owned()), ["apt", "elsewhere", runs, "private"]);
        assert!(dir.path().join("private").join(runs).join("folder/server.key").exists());
        assert!(elsewhere.join("kept").exists());
    }

    #[test]
    fn a_path_stands_in_a_unit_as_it_is() {
        assert_eq!(quoted(Path::new("/var/a b")), "\"/var/a b\"");
        assert_eq!(quoted(Path::new("/x\"%i$HOME\\")), "\"/x\\\"%i$$HOME\\\\\"");
    }
}
