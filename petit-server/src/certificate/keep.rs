//! A pair that is copied to where the server reads it: whoever has a certificate renewed keeps its key for himself, and
//! the server's user is another one.
//!
//! Both files are in a folder of their own, and a link leads to it: when the link is replaced certificate and key change in
//! one step, and neither a crash nor a reader sees one of them with the other one's predecessor. The folder of the version
//! before stays until the next one comes: whoever has just begun to read it comes to its end.

use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use petit_host::files::{self, FileError};
use zeroize::Zeroizing;

use super::{Certificate, CertificateError, Pair};
use crate::config::Config;

/// As certbot calls them.
pub const CHAIN: &str = "fullchain.pem";
/// The key that belongs to it.
pub const KEY: &str = "privkey.pem";

/// Another command that puts a certificate there is waited for so long: it writes two small files.
#[cfg(unix)]
const ALONE_LIMIT: Duration = Duration::from_secs(10);
/// And looked for this often.
#[cfg(unix)]
const ALONE_EVERY: Duration = Duration::from_millis(20);

/// Why a pair was not copied.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has ended.
    #[error("the certificate in {} has ended", .0.display())]
    Ended(PathBuf),
    /// What is there is for names that it is not for.
    #[error("{} is for {}, which this one is not for", place.display(), super::said(names))]
    Loses { place: PathBuf, names: Vec<String> },
    /// Something else is in its place.
    #[error("{} is there already, and was not put there by this command", .0.display())]
    Taken(PathBuf),
    /// Another command writes there.
    #[error("another command is putting a certificate into {}", .0.display())]
    Busy(PathBuf),
}

/// A pair that can be used, with what is in its files.
pub struct Offered {
    /// What it is.
    pub certificate: Certificate,
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Offered {
    /// Reads a pair.
    ///
    /// # Errors
    /// [`CertificateError`]: it cannot be read, or not be used.
    pub fn read(certificate: &Path, key: &Path, config: &Config) -> Result<Self, CertificateError> {
        let content = |path: &Path| {
            std::fs::read(path).map_err(|source| CertificateError::File { path: path.to_owned(), source })
        };
        let (chain, secret) = (content(certificate)?, Zeroizing::new(content(key)?));
        let pair = Pair { certificate: certificate.to_owned(), key: key.to_owned() };
        // Of the bytes that are copied: the files may be others by then.
        Ok(Self { certificate: Certificate::of(&pair, config, &chain, &secret)?, chain, key: secret })
    }

    /// Copies it into `folder` under a name, in the place of the one that this command has put there before; returns where
    /// its certificate is. Only the user who does it can read the key.
    ///
    /// # Errors
    /// [`KeepError`]; what was there is untouched then.
    pub fn keep(&self, folder: &Path, name: &str, config: &Config) -> Result<PathBuf, KeepError> {
        files::make_private_dir(folder)?;
        let _alone = alone(folder)?;
        let place = folder.join(name);
        self.check_against(&place, config)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let copy = if cfg!(unix) { format!(".{name}.{}", now.as_nanos()) } else { name.to_owned() };
        let copied = folder.join(&copy);
        files::make_private_dir(&copied)?;
        // The key first: without links the certificate is what counts.
        let written = files::write_private(&copied.join(KEY), &self.key)
            .and_then(|()| files::write_private(&copied.join(CHAIN), &self.chain));
        let before = written.and_then(|()| lead(&place, &copy)).inspect_err(|_| {
            let _ = std::fs::remove_dir_all(&copied);
        })?;
        files::sync_dir(folder).map_err(|source| FileError::Io {
            action: "write",
            path: place.clone(),
            source,
        })?;
        sweep(folder, name, &[Some(copy), before]);
        Ok(place.join(CHAIN))
    }

    /// Refuses what would be less than what is there: one that has ended, or that is not for all its names.
    fn check_against(&self, place: &Path, config: &Config) -> Result<(), KeepError> {
        if self.certificate.not_after.is_some_and(|end| end <= SystemTime::now()) {
            return Err(KeepError::Ended(self.certificate.path.clone()));
        }
        let is_ours = match std::fs::symlink_metadata(place) {
            Err(_) => return Ok(()),
            Ok(found) if found.is_symlink() => is_own_link(place),
            Ok(_) => is_pair(place),
        };
        if !is_ours {
            return Err(KeepError::Taken(place.to_owned()));
        }
        let pair = Pair { certificate: place.join(CHAIN), key: place.join(KEY) };
        // One that cannot be used is for no name.
        let before = Certificate::read(&pair, config).map(|before| before.names).unwrap_or_default();
        let lost: Vec<String> =
            before.into_iter().filter(|name| !self.certificate.names.contains(name)).collect();
        if lost.is_empty() { Ok(()) } else { Err(KeepError::Loses { place: place.to_owned(), names: lost }) }
    }
}

/// True for a link as this command makes them; one of somebody else's leads elsewhere.
fn is_own_link(place: &Path) -> bool {
    let (name, to) = (place.file_name(), std::fs::read_link(place));
    let begin = name.map(|name| format!(".{}.", name.to_string_lossy()));
    to.is_ok_and(|to| begin.is_some_and(|begin| to.to_string_lossy().starts_with(&begin)))
}

/// Held while somebody puts a certificate into a folder: two at once would remove what the other one writes.
#[cfg(unix)]
fn alone(folder: &Path) -> Result<std::fs::File, KeepError> {
    let failed = |source| FileError::Io { action: "open", path: folder.to_owned(), source };
    let held = std::fs::File::open(folder).map_err(failed)?;
    let begin = std::time::Instant::now();
    loop {
        match held.try_lock() {
            Ok(()) => return Ok(held),
            Err(std::fs::TryLockError::Error(source)) => return Err(failed(source).into()),
            Err(std::fs::TryLockError::WouldBlock) if begin.elapsed() < ALONE_LIMIT => {
                std::thread::sleep(ALONE_EVERY);
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(KeepError::Busy(folder.to_owned())),
        }
    }
}

/// Without links there is no folder of another version to remove.
#[cfg(not(unix))]
fn alone(_: &Path) -> Result<(), KeepError> {
    Ok(())
}

/// A folder with nothing in it but a pair: without links, and after a restore, which puts back folders.
fn is_pair(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names == [CHAIN, KEY]
}

/// Has a link lead to a folder beside it, in one step; returns what it has led to before.
#[cfg(unix)]
fn lead(place: &Path, to: &str) -> Result<Option<String>, FileError> {
    let failed = |source| FileError::Io { action: "write", path: place.to_owned(), source };
    let folder = place.parent().unwrap_or(Path::new("."));
    let link = folder.join(format!("{to}.link"));
    let before = std::fs::read_link(place).ok();
    let before = before.and_then(|to| to.into_os_string().into_string().ok());
    // A restore has put a folder there: it makes room for the link, and comes back when that cannot be put.
    let aside = folder.join(format!("{to}.before"));
    let is_folder = std::fs::symlink_metadata(place).is_ok_and(|found| found.is_dir());
    std::os::unix::fs::symlink(to, &link).map_err(failed)?;
    let put = || {
        if is_folder {
            std::fs::rename(place, &aside)?;
        }
        std::fs::rename(&link, place).inspect_err(|_| {
            if is_folder {
                let _ = std::fs::rename(&aside, place);
            }
        })
    };
    put().inspect_err(|_| drop(std::fs::remove_file(&link))).map_err(failed)?;
    if is_folder {
        let _ = std::fs::remove_dir_all(&aside);
    }
    Ok(before)
}

/// Without links the folder has its name from the beginning.
#[cfg(not(unix))]
fn lead(_: &Path, _: &str) -> Result<Option<String>, FileError> {
    Ok(None)
}

/// Removes what else was ever under a name, and what a command that was killed has left.
fn sweep(folder: &Path, name: &str, but: &[Option<String>]) {
    let begin = format!(".{name}.");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let number = found.strip_prefix(&begin).map(|end| end.split('.').next().unwrap_or(end));
        let is_ours = number.is_some_and(|number| number.parse::<u64>().is_ok());
        if !is_ours || but.iter().flatten().any(|kept| *kept == found) {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::certificate::{Stamps, load};

    /// A folder with a certificate in it, and a server's.
    struct Bed {
        dir: tempfile::TempDir,
        config: Config,
    }

    impl Bed {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (config, _) =
                crate::config::parse(&dir.path().join("server/config.toml"), "[server]\n").unwrap();
            std::fs::create_dir(dir.path().join("server")).unwrap();
            Self { dir, config }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn renew(&self, hosts: &[&str]) {
            self.renew_until(hosts, 2100);
        }

        fn renew_until(&self, hosts: &[&str], year: i32) {
            let key = KeyPair::generate().unwrap();
            let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let made = params.self_signed(&key).unwrap();
            std::fs::write(self.path(CHAIN), made.pem()).unwrap();
            std::fs::write(self.path(KEY), key.serialize_pem()).unwrap();
        }

        fn keep(&self, name: &str) -> Result<PathBuf, KeepError> {
            let offered = Offered::read(&self.path(CHAIN), &self.path(KEY), &self.config)?;
            offered.keep(&self.config.certificates, name, &self.config)
        }

        /// What a server would show.
        fn shown(&self) -> Vec<Vec<String>> {
            let loaded = load(&self.config);
            assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
            loaded.certificates.into_iter().map(|certificate| certificate.names).collect()
        }
    }

    #[test]
    fn a_pair_is_kept_for_the_server_and_replaced_in_one_step() {
        let bed = Bed::new();
        bed.renew(&["one.example"]);
        // What commands have left that were killed long ago.
        let folder = &bed.config.certificates;
        for left in [".example.com.1", ".example.com.2.before"].iter().filter(|_| cfg!(unix)) {
            std::fs::create_dir_all(folder.join(left)).unwrap();
            #[cfg(unix)]
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        let certificate = bed.keep("example.com").unwrap();
        assert_eq!(certificate, bed.config.certificates.join("example.com/fullchain.pem"));
        assert_eq!(bed.shown(), [["one.example"]]);
        #[cfg(unix)]
        for path in [KEY, CHAIN] {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(certificate.with_file_name(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{path}");
        }
        let before = Stamps::of(&bed.config);
        bed.renew(&["one.example", "two.example"]);
        bed.keep("example.com").unwrap();
        assert_eq!(bed.shown(), [["one.example", "two.example"]]);
        assert_ne!(Stamps::of(&bed.config), before, "a running server notices");
        // Of another name that begins the same.
        bed.keep("example").unwrap();
        assert_eq!(bed.shown().len(), 2);
        bed.keep("example").unwrap();
        assert_eq!(bed.shown().len(), 2);
        let all = std::fs::read_dir(&bed.config.certificates).unwrap().count();
        assert_eq!(all, if cfg!(unix) { 6 } else { 2 }, "of each the link, and the version before");
        bed.keep("example").unwrap();
        let all = std::fs::read_dir(&bed.config.certificates).unwrap().count();
        assert_eq!(all, if cfg!(unix) { 6 } else { 2 }, "nothing is left of those before that");
        assert!(!folder.join(".example.com.1").exists() && !folder.join(".example.com.2.before").exists());
    }

    #[test]
    fn what_would_be_less_than_what_is_there_changes_nothing() {
        let bed = Bed::new();
        bed.renew(&["one.example", "two.example"]);
        bed.keep("x").unwrap();
        bed.renew(&["two.example", "three.example"]);
        let refused = bed.keep("x").err().map(|error| error.to_string()).unwrap();
        assert!(refused.contains("is for one.example, which this one is not for"), "{refused}");
        bed.renew_until(&["one.example", "two.example"], 2020);
        let refused = bed.keep("y").err().map(|error| error.to_string()).unwrap();
        assert!(refused.ends_with("has ended"), "{refused}");
        assert_eq!(bed.shown(), [["one.example", "two.example"]]);
    }

    /// A backup has no links, so a restore puts back a folder.
    #[cfg(unix)]
    #[test]
    fn what_a_restore_has_put_back_is_replaced_as_well() {
        let bed = Bed::new();
        bed.renew(&["one.example"]);
        let place = bed.config.certificates.join("x");
        std::fs::create_dir_all(&place).unwrap();
        for name in [CHAIN, KEY] {
            std::fs::copy(bed.path(name), place.join(name)).unwrap();
        }
        for folder in [&bed.config.certificates, &place] {
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        bed.renew(&["one.example", "two.example"]);
        bed.keep("x").unwrap();
        assert!(place.is_symlink());
        assert_eq!(bed.shown(), [["one.example", "two.example"]]);
        let all = std::fs::read_dir(&bed.config.certificates).unwrap().count();
        assert_eq!(all, 2, "the folder is gone");
    }

    #[cfg(unix)]
    #[test]
    fn many_at_once_leave_one_that_is_whole_and_an_operators_own_link_is_his() {
        let bed = Bed::new();
        bed.renew(&["one.example"]);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        bed.keep("x").unwrap();
                        assert_eq!(bed.shown(), [["one.example"]]);
                    }
                });
            }
        });
        let theirs = bed.config.certificates.join("y");
        std::os::unix::fs::symlink(bed.dir.path(), &theirs).unwrap();
        assert!(matches!(bed.keep("y"), Err(KeepError::Taken(path)) if path == theirs));
    }

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let bed = Bed::new();
        bed.renew(&["one.example"]);
        bed.keep("x").unwrap();
        let key = std::fs::read(bed.path(KEY)).unwrap();
        bed.renew(&["two.example"]);
        std::fs::write(bed.path(KEY), key).unwrap();
        let refused = bed.keep("x").err().map(|error| error.to_string()).unwrap();
        assert!(refused.ends_with("privkey.pem do not belong together"), "{refused}");
        assert_eq!(bed.shown(), [["one.example"]]);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_somebody_else_has_made_stays() {
        let bed = Bed::new();
        bed.renew(&["one.example"]);
        let theirs = bed.config.certificates.join("x");
        std::fs::create_dir_all(&theirs).unwrap();
        std::fs::write(theirs.join("README"), "mine").unwrap();
        assert!(matches!(bed.keep("x"), Err(KeepError::Taken(path)) if path == theirs));
        assert!(theirs.join("README").exists());
        assert_eq!(std::fs::read_dir(&bed.config.certificates).unwrap().count(), 1);
    }
}
