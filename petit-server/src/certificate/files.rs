//! Where certificates lie, and whether their files have changed.
//!
//! A pair is `NAME.crt` (or `NAME.pem`) with `NAME.key`, as lego and acme.sh write them, or a folder with
//! `fullchain.pem` and `privkey.pem`, as certbot does. Links are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::{CertificateError, Contents};
use crate::config::Config;

/// A certificate's file and the one with its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    /// The same files by way of the folder that a link leads to now: behind one that is replaced meanwhile, certificate and
    /// key would be those of two versions.
    pub(super) fn behind_links(&self) -> Self {
        let folder = self.certificate.parent().filter(|folder| self.key.parent() == Some(*folder));
        let real = folder.and_then(|folder| folder.canonicalize().ok());
        match (real, self.certificate.file_name(), self.key.file_name()) {
            (Some(real), Some(certificate), Some(key)) => {
                Self { certificate: real.join(certificate), key: real.join(key) }
            }
            _ => self.clone(),
        }
    }
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
            (Ok(false), Ok(false)) if config.certificate_named => {
                pairs.problems.push(CertificateError::Missing { path: own.certificate.clone() });
            }
            _ => pairs.add(own.clone()),
        }
        pairs.add_folder(&config.certificates, Contents::Pairs);
        for folder in pairs.folders_in(&config.certificates) {
            pairs.add_folder(&folder, Contents::Pair);
        }
        let mut seen = BTreeSet::new();
        pairs.problems.retain(|problem| seen.insert(problem.to_string()));
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
        match (is_there(&pair.certificate), is_there(&pair.key)) {
            // In a folder that may not be entered nobody knows what is there.
            (Err(hidden), _) | (_, Err(hidden)) => self.problems.push(hidden),
            (Ok(true), Ok(true)) => self.whole.push(pair),
            (Ok(true), Ok(false)) => self.problems.push(half(&pair.certificate, &pair.key)),
            (Ok(false), Ok(true)) => self.problems.push(half(&pair.key, &pair.certificate)),
            (Ok(false), Ok(false)) => {}
        }
    }

    fn add_folder(&mut self, folder: &Path, of: Contents) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(source) => {
                let path = folder.to_owned();
                return self.problems.push(CertificateError::Unreadable { path, of, source });
            }
        };
        let beside = |name: &str| folder.join(name);
        for path in entries.flatten().map(|entry| entry.path()) {
            let is = |name: &str| path.file_name().is_some_and(|found| found == name);
            if is("privkey.pem") || is("fullchain.pem") {
                // Found twice, it is one all the same.
                self.add(Pair { certificate: beside("fullchain.pem"), key: beside("privkey.pem") });
            } else if path.extension().is_some_and(|end| end == "key") {
                let ends = ["crt", "pem"].map(|end| path.with_extension(end));
                // A key alone may wait for its certificate, and names none.
                let mut found =
                    ends.into_iter().filter(|certificate| !matches!(is_there(certificate), Ok(false)));
                if let Some(certificate) = found.next() {
                    self.add(Pair { certificate, key: path });
                }
            }
        }
    }

    /// The folders in a folder, links to folders among them. Hidden ones are somebody's own affair: Kubernetes keeps in
    /// such what the files of a secret are links to. A link of which nobody knows where it leads is a problem.
    fn folders_in(&mut self, folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let shown = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        let mut folders = Vec::new();
        for path in shown.map(|entry| entry.path()) {
            match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() => folders.push(path),
                Ok(_) => {}
                Err(source) if is_of_a_pair(&path) => drop(source), // looked at as such
                Err(source) => self.problems.push(CertificateError::File { path, source }),
            }
        }
        folders.sort();
        folders
    }
}

/// True for a name that the files of a pair have, or what is beside them.
fn is_of_a_pair(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["crt", "pem", "key"].iter().any(|known| end == *known))
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
        // Half of what certbot writes is missed as well, and so is what a link leads to.
        std::fs::remove_file(live.join("fullchain.pem")).unwrap();
        let missed = Pairs::of(&config).problems;
        if cfg!(unix) {
            assert!(
                matches!(missed.as_slice(), [CertificateError::Half { missing, .. }] if missing.ends_with("fullchain.pem")),
                "{missed:?}"
            );
        }
        std::fs::remove_dir_all(&live).unwrap();
        let missed = Pairs::of(&config).problems;
        if cfg!(unix) {
            let [CertificateError::File { path, .. }] = missed.as_slice() else { panic!("{missed:?}") };
            assert!(path.ends_with("shop.example"), "{missed:?}");
            std::fs::remove_file(folder.join("shop.example")).unwrap();
        }
        // The server's own pair is missed when half of it is there.
        std::fs::remove_file(folder.join("server.key")).unwrap();
        let found = Pairs::of(&config);
        assert!(matches!(found.problems.as_slice(), [CertificateError::Half { .. }]), "{:?}", found.problems);
    }

    /// Root may enter every folder, so the tests have a link by way of what is none.
    #[cfg(unix)]
    #[test]
    fn what_lies_behind_a_folder_that_cannot_be_entered_is_a_problem_and_not_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("certificates");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(dir.path().join("closed"), "").unwrap();
        let (config, _) = crate::config::parse(&dir.path().join("config.toml"), "[server]\n").unwrap();
        let behind = |link: &str, to: &str| {
            let link = folder.join(link);
            std::os::unix::fs::symlink(dir.path().join("closed").join(to), &link).unwrap();
            let found = Pairs::of(&config);
            assert!(found.whole.is_empty(), "{found:?}");
            let paths: Vec<PathBuf> =
                found.problems.iter().map(|problem| problem.path().to_owned()).collect();
            std::fs::remove_file(link).unwrap();
            paths
        };
        assert_eq!(behind("example.com", "example.com"), [folder.join("example.com")]);
        assert_eq!(behind("server.crt", "fullchain.pem"), [folder.join("server.crt")]);
        std::fs::write(folder.join("portal.key"), "x").unwrap();
        assert_eq!(behind("portal.crt", "fullchain.pem"), [folder.join("portal.crt")]);
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
