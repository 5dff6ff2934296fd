//! Where certificates lie, and whether their files have changed.
//!
//! A pair is `NAME.crt` (or `NAME.pem`) with `NAME.key`, as lego and acme.sh write them, or a folder with
//! `fullchain.pem` and `privkey.pem`, as certbot does. Links are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::CertificateError;
use crate::config::Config;

/// A certificate's file and the one with its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// The pairs that a config leads to, in the order of their paths, and what is only half there.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) whole: Vec<Pair>,
    pub(super) problems: Vec<CertificateError>,
}

impl Pairs {
    /// Looks for all pairs.
    pub(super) fn of(config: &Config) -> Self {
        let mut pairs = Self::default();
        let own = Pair { certificate: config.certificate.clone(), key: config.certificate_key.clone() };
        match (is_there(&own.certificate), is_there(&own.key)) {
            // In a folder that may not be entered nobody knows what is there.
            (Err(hidden), _) | (_, Err(hidden)) => pairs.problems.push(hidden),
            (Ok(false), Ok(false)) if config.certificate_named => {
                pairs.problems.push(CertificateError::Missing { path: own.certificate.clone() });
            }
            (Ok(false), Ok(false)) => {}
            (Ok(_), Ok(_)) => pairs.add(own.clone()),
        }
        pairs.add_folder(&config.certificates);
        for folder in folders_in(&config.certificates) {
            pairs.add_folder(&folder);
        }
        // One certificate has one key: the one that the config names with it, where it does.
        let named = pairs.whole.iter().find(|pair| **pair == own).cloned();
        pairs.whole.retain(|pair| {
            pair.certificate != own.certificate || named.as_ref().is_none_or(|own| pair == own)
        });
        pairs.whole.sort();
        pairs.whole.dedup_by(|one, other| one.certificate == other.certificate);
        pairs
    }

    fn add(&mut self, pair: Pair) {
        let half = |found: &Path, missing: &Path| CertificateError::Half {
            found: found.to_owned(),
            missing: missing.to_owned(),
        };
        match (pair.certificate.exists(), pair.key.exists()) {
            (true, true) => self.whole.push(pair),
            (true, false) => self.problems.push(half(&pair.certificate, &pair.key)),
            (false, true) => self.problems.push(half(&pair.key, &pair.certificate)),
            (false, false) => {}
        }
    }

    fn add_folder(&mut self, folder: &Path) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(source) => {
                return self.problems.push(CertificateError::Unreadable { path: folder.to_owned(), source });
            }
        };
        for key in entries.flatten().map(|entry| entry.path()) {
            let beside = |name: &str| folder.join(name);
            let certificate = if key.file_name().is_some_and(|name| name == "privkey.pem") {
                Some(beside("fullchain.pem"))
            } else if key.extension().is_some_and(|end| end == "key") {
                let [crt, pem] = ["crt", "pem"].map(|end| key.with_extension(end));
                // A key alone may wait for its certificate, and names none.
                [crt, pem].into_iter().find(|certificate| certificate.exists())
            } else {
                None
            };
            if let Some(certificate) = certificate.filter(|certificate| certificate.exists()) {
                self.whole.push(Pair { certificate, key });
            }
        }
    }
}

fn is_there(path: &Path) -> Result<bool, CertificateError> {
    path.try_exists().map_err(|source| CertificateError::File { path: path.to_owned(), source })
}

/// All files of certificates that there are.
pub fn files(config: &Config) -> Vec<PathBuf> {
    let pairs = Pairs::of(config).whole.into_iter().flat_map(|pair| [pair.certificate, pair.key]);
    let own = [config.certificate.clone(), config.certificate_key.clone()];
    let all: BTreeSet<PathBuf> = pairs.chain(own.into_iter().filter(|path| path.exists())).collect();
    all.into_iter().collect()
}

/// The folders in a folder, links to folders among them. Hidden ones are somebody's own affair: Kubernetes keeps in
/// such what the files of a secret are links to.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let shown = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    let mut folders: Vec<PathBuf> = shown.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// What tells that a file was replaced, written anew, or given to somebody else.
type Stamp = Option<Seen>;

/// A file as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    modified: SystemTime,
    length: u64,
    /// Which one it is. 0 where that is not known.
    number: u64,
    /// When its owner or its rights were changed last, among other things: one that could not be read may be readable
    /// since. In nanoseconds; 0 where that is not known.
    changed: i128,
}

/// All certificates' files as they lie on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(BTreeMap<PathBuf, Stamp>);

impl Stamps {
    /// As they are now.
    pub fn of(config: &Config) -> Self {
        let stamp = |path: &Path| {
            let found = std::fs::metadata(path).ok()?;
            #[cfg(unix)]
            let (number, changed) = {
                use std::os::unix::fs::MetadataExt;
                let nanoseconds = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
                (found.ino(), nanoseconds)
            };
            #[cfg(not(unix))]
            let (number, changed) = (0, 0);
            Some(Seen { modified: found.modified().ok()?, length: found.len(), number, changed })
        };
        let own = [config.certificate.clone(), config.certificate_key.clone()];
        let pairs = Pairs::of(config).whole.into_iter().flat_map(|pair| [pair.certificate, pair.key]);
        Self(own.into_iter().chain(pairs).map(|path| (path.clone(), stamp(&path))).collect())
    }
}

/// Tells when the files of certificates have changed and settled: certificate and key are written one after the
/// other, and between the two they do not belong together.
#[derive(Debug, Default)]
pub struct Settling {
    seen: Stamps,
    moving: Option<Stamps>,
}

impl Settling {
    /// True when the files are as they were when they were read last.
    pub fn is_as_read(&self, now: &Stamps) -> bool {
        self.seen == *now
    }

    /// What lies on the disk now was read.
    pub fn read(&mut self, now: Stamps) {
        *self = Self { seen: now, moving: None };
    }

    /// True when `now` differs from what was read last, and has been so for one look already.
    pub fn take_change(&mut self, now: &Stamps) -> bool {
        if self.is_as_read(now) {
            self.moving = None;
            return false;
        }
        let settled = self.moving.as_ref() == Some(now);
        self.moving = Some(now.clone());
        if settled {
            self.read(now.clone());
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_as_changed_once_they_have_settled() {
        let at = |certificate: u64, key: u64| {
            let modified = SystemTime::UNIX_EPOCH;
            let stamp = |number| Some(Seen { modified, length: 1, number, changed: 0 });
            Stamps([("c".into(), stamp(certificate)), ("k".into(), stamp(key))].into())
        };
        let mut files = Settling::default();
        files.read(at(1, 1));
        assert!(!files.take_change(&at(1, 1)));
        assert!(!files.take_change(&at(2, 1)), "the key may follow");
        assert!(!files.take_change(&at(2, 2)));
        assert!(files.take_change(&at(2, 2)));
        assert!(!files.take_change(&at(2, 2)), "once");
        assert!(!files.take_change(&at(3, 3)));
        assert!(!files.take_change(&at(2, 2)), "it was put back");
        assert!(!files.take_change(&at(3, 3)));
    }

    #[test]
    fn pairs_are_found_as_certbot_lego_and_people_write_them() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("certificates");
        let live = dir.path().join("live/shop.example");
        for path in [&folder, &live] {
            std::fs::create_dir_all(path).unwrap();
        }
        for name in [
            "server.crt",
            "server.key",
            "_.example.com.crt",
            "_.example.com.issuer.crt",
            "_.example.com.json",
            "_.example.com.key",
            "portal.pem",
            "portal.key",
            "request-only.key",
            "README",
        ] {
            std::fs::write(folder.join(name), "x").unwrap();
        }
        for name in ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"] {
            std::fs::write(live.join(name), "x").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(&live, folder.join("shop.example")).unwrap();
        let (config, _) = crate::config::parse(&dir.path().join("config.toml"), "[server]\n").unwrap();
        let found = Pairs::of(&config);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        let names = |pair: &Pair| {
            [&pair.certificate, &pair.key]
                .map(|path| path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned())
        };
        let mut expected = vec![
            ["_.example.com.crt", "_.example.com.key"],
            ["portal.pem", "portal.key"],
            ["server.crt", "server.key"],
            ["shop.example/fullchain.pem", "shop.example/privkey.pem"],
        ];
        if !cfg!(unix) {
            expected.pop();
        }
        assert_eq!(found.whole.iter().map(names).collect::<Vec<_>>(), expected);
        // The server's own pair is missed when half of it is there.
        std::fs::remove_file(folder.join("server.key")).unwrap();
        let found = Pairs::of(&config);
        assert!(matches!(found.problems.as_slice(), [CertificateError::Half { .. }]), "{:?}", found.problems);
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_of_kubernetes_is_one_pair_however_many_links_lead_to_it() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("certificates");
        let data = folder.join("..2026_11_28");
        std::fs::create_dir_all(&data).unwrap();
        symlink("..2026_11_28", folder.join("..data")).unwrap();
        for name in ["server.crt", "server.key"] {
            std::fs::write(data.join(name), "x").unwrap();
            symlink(format!("..data/{name}"), folder.join(name)).unwrap();
        }
        let (config, _) = crate::config::parse(&dir.path().join("config.toml"), "[server]\n").unwrap();
        let found: Vec<PathBuf> = Pairs::of(&config).whole.into_iter().map(|pair| pair.certificate).collect();
        assert_eq!(found, [folder.join("server.crt")]);
    }

    #[test]
    fn the_key_that_the_config_names_wins_over_one_that_lies_beside_the_certificate() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["certificates", "keys"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for file in ["certificates/site.crt", "certificates/site.key", "keys/site.key"] {
            std::fs::write(dir.path().join(file), "x").unwrap();
        }
        let text = "[server]\ncertificate = \"certificates/site.crt\"\ncertificate_key = \"keys/site.key\"\n";
        let (config, _) = crate::config::parse(&dir.path().join("config.toml"), text).unwrap();
        let keys: Vec<PathBuf> = Pairs::of(&config).whole.into_iter().map(|pair| pair.key).collect();
        assert_eq!(keys, [dir.path().join("keys/site.key")]);
    }
}
