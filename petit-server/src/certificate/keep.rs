//! A pair that is copied to where the server reads it: whoever has a certificate renewed keeps its key for himself, and
//! the server's user is another one.
//!
//! Both files are in a folder of their own, and a link leads to it: when the link is replaced certificate and key change in
//! one step, and neither a crash nor a reader sees one of them with the other one's predecessor.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use petit_host::files::{self, FileError};
use zeroize::Zeroizing;

use super::{Certificate, CertificateError, Pair};
use crate::config::Config;

/// As certbot calls them.
pub const CHAIN: &str = "fullchain.pem";
/// The key that belongs to it.
pub const KEY: &str = "privkey.pem";

/// Why a pair was not copied.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// It cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something else is in its place.
    #[error("{} is there already, and was not put there by this command", .0.display())]
    Taken(PathBuf),
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
        Ok(Self { certificate: Certificate::read(&pair, config)?, chain, key: secret })
    }

    /// Copies it into `folder` under a name, in the place of the one that this command has put there before; returns where
    /// its certificate is. Only the user who does it can read the key.
    ///
    /// # Errors
    /// [`KeepError`]; what was there is untouched then.
    pub fn keep(&self, folder: &Path, name: &str) -> Result<PathBuf, KeepError> {
        files::make_private_dir(folder)?;
        let place = folder.join(name);
        let is_ours = std::fs::symlink_metadata(&place).map_or(true, |found| found.is_symlink());
        if cfg!(unix) && !is_ours {
            return Err(KeepError::Taken(place));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let copy = if cfg!(unix) { format!(".{name}.{}", now.as_nanos()) } else { name.to_owned() };
        let copied = folder.join(&copy);
        files::make_private_dir(&copied)?;
        let put = || {
            // The key first: without links the certificate is what counts.
            files::write_private(&copied.join(KEY), &self.key)?;
            files::write_private(&copied.join(CHAIN), &self.chain)?;
            lead(&place, &copy)
        };
        match put() {
            Ok(()) => sweep(folder, name, &copy),
            Err(error) => {
                let _ = std::fs::remove_dir_all(copied);
                return Err(error.into());
            }
        }
        Ok(place.join(CHAIN))
    }
}

/// Has a link lead to a folder beside it, in one step.
#[cfg(unix)]
fn lead(place: &Path, to: &str) -> Result<(), FileError> {
    let failed = |source| FileError::Io { action: "write", path: place.to_owned(), source };
    let folder = place.parent().unwrap_or(Path::new("."));
    let link = folder.join(format!("{to}.link"));
    std::os::unix::fs::symlink(to, &link).map_err(failed)?;
    std::fs::rename(&link, place)
        .inspect_err(|_| drop(std::fs::remove_file(&link)))
        .and_then(|()| files::sync_dir(folder))
        .map_err(failed)
}

/// Without links the folder has its name from the beginning.
#[cfg(not(unix))]
fn lead(_: &Path, _: &str) -> Result<(), FileError> {
    Ok(())
}

/// Removes what was under a name before, and what a command that was killed has left.
fn sweep(folder: &Path, name: &str, but: &str) {
    let begin = format!(".{name}.");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        let end = found.strip_prefix(&begin).map(|end| end.strip_suffix(".link").unwrap_or(end));
        if found == but || end.is_none_or(|end| !end.bytes().all(|byte| byte.is_ascii_digit())) {
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

        fn renew(&self, host: &str) {
            let key = KeyPair::generate().unwrap();
            let made = CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
            std::fs::write(self.path(CHAIN), made.pem()).unwrap();
            std::fs::write(self.path(KEY), key.serialize_pem()).unwrap();
        }

        fn keep(&self, name: &str) -> Result<PathBuf, KeepError> {
            let offered = Offered::read(&self.path(CHAIN), &self.path(KEY), &self.config)?;
            offered.keep(&self.config.certificates, name)
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
        bed.renew("one.example");
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
        bed.renew("two.example");
        bed.keep("example.com").unwrap();
        assert_eq!(bed.shown(), [["two.example"]]);
        assert_ne!(Stamps::of(&bed.config), before, "a running server notices");
        // Of another name that begins the same.
        bed.keep("example").unwrap();
        assert_eq!(bed.shown().len(), 2);
        bed.keep("example").unwrap();
        assert_eq!(bed.shown().len(), 2);
        let all = std::fs::read_dir(&bed.config.certificates).unwrap().count();
        assert_eq!(all, if cfg!(unix) { 4 } else { 2 }, "nothing is left of those before");
    }

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let bed = Bed::new();
        bed.renew("one.example");
        bed.keep("x").unwrap();
        let key = std::fs::read(bed.path(KEY)).unwrap();
        bed.renew("two.example");
        std::fs::write(bed.path(KEY), key).unwrap();
        let refused = bed.keep("x").err().map(|error| error.to_string()).unwrap();
        assert!(refused.ends_with("privkey.pem do not belong together"), "{refused}");
        assert_eq!(bed.shown(), [["one.example"]]);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_somebody_else_has_made_stays() {
        let bed = Bed::new();
        bed.renew("one.example");
        let theirs = bed.config.certificates.join("x");
        std::fs::create_dir_all(&theirs).unwrap();
        std::fs::write(theirs.join("README"), "mine").unwrap();
        assert!(matches!(bed.keep("x"), Err(KeepError::Taken(path)) if path == theirs));
        assert!(theirs.join("README").exists());
        assert_eq!(std::fs::read_dir(&bed.config.certificates).unwrap().count(), 1);
    }
}
