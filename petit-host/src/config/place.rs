//! Where the config file is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::brand::Brand;
use crate::files;
use crate::lock::Lock;
use crate::service;

/// Who has said where the config file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// `-c` on the command line.
    Option,
    /// `PETIT_CONFIG` in the environment.
    Environment,
    /// A service of this system, which root looks after.
    Service,
    /// Nobody.
    Default,
}

impl FoundBy {
    /// For `config path`.
    pub fn said(self) -> &'static str {
        match self {
            Self::Option => "given by -c",
            Self::Environment => "given by PETIT_CONFIG",
            Self::Service => "that of the system's service",
            Self::Default => "the default place",
        }
    }
}

/// What `config path` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigPath {
    /// Who has said so.
    pub because: String,
    pub exists: bool,
    pub path: PathBuf,
}

/// Where the config file is, or is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    pub found_by: FoundBy,
}

impl Place {
    /// The place for both programs: `option`, which is `-c`, else `PETIT_CONFIG`, else `~/.petit/config.toml`, or what
    /// that folder is called by `brand`. `None` when there is no home folder to look in.
    pub fn find(option: Option<&Path>, brand: &Brand) -> Option<Self> {
        Self::find_before_home(option, None, brand)
    }

    /// As [`find`](Self::find), for the command line of a program that may be a service of the system. Root, who looks
    /// after that, finds its config where it is installed. `name`: what the program's files are called.
    pub fn find_with_service(option: Option<&Path>, brand: &Brand, name: &'static str) -> Option<Self> {
        let config = service::config_file(name);
        // Also while somebody has taken the file away for a moment: another one would be made in root's home.
        let service =
            (files::is_root() && (config.exists() || service::is_installed(name))).then_some(config);
        Self::find_before_home(option, service, brand)
    }

    /// The config of this system's service, where this user, who does not look after that, has named no config and has
    /// none: it is easily the one that was meant. `name`: what the program's files are called.
    pub fn passed_by(&self, name: &str) -> Option<PathBuf> {
        let is_none = self.found_by == FoundBy::Default && !self.path.exists() && !files::is_root();
        Some(service::config_file(name)).filter(|config| is_none && config.exists())
    }

    /// The home folder's is the last that is looked for.
    fn find_before_home(option: Option<&Path>, service: Option<PathBuf>, brand: &Brand) -> Option<Self> {
        let environment = std::env::var_os("PETIT_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let folder = files::home().map(|home| home.join(brand.folder()));
        Self::choose(option, environment.as_deref(), service, folder.as_deref())
    }

    fn choose(
        option: Option<&Path>,
        environment: Option<&Path>,
        service: Option<PathBuf>,
        folder: Option<&Path>,
    ) -> Option<Self> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let (path, found_by) = match (option, environment, service) {
            (Some(path), _, _) => (absolute(path), FoundBy::Option),
            (None, Some(path), _) => (absolute(path), FoundBy::Environment),
            (None, None, Some(path)) => (path, FoundBy::Service),
            (None, None, None) => (folder?.join("config.toml"), FoundBy::Default),
        };
        Some(Self { path, found_by })
    }

    /// What `config path` says of it, for people and with `--json`.
    pub fn shown(&self) -> (String, ConfigPath) {
        let Self { path, found_by } = self;
        let because = found_by.said();
        let value = ConfigPath { because: because.to_owned(), exists: path.exists(), path: path.clone() };
        (format!("{} ({because})", path.display()), value)
    }

    /// True where somebody has named a file that is not there: what its folder does not hold either must not be taken
    /// for an answer. A program that runs there, and so holds `lock`, can be asked all the same.
    pub fn leads_nowhere(&self, lock: &Path) -> bool {
        let is_there = !matches!(self.path.try_exists(), Ok(false));
        match self.found_by {
            FoundBy::Option | FoundBy::Environment => !is_there && Lock::holder(lock).is_none(),
            FoundBy::Service | FoundBy::Default => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_wins_over_the_environment_and_that_over_the_service_and_the_home_folder() {
        let (option, environment, folder) =
            (Path::new("/o.toml"), Path::new("/e.toml"), Path::new("/home/a/.petit"));
        let service = || Some(PathBuf::from("/etc/petit/server.toml"));
        let found = |option, environment, folder| {
            Place::choose(option, environment, None, folder).map(|place| (place.path, place.found_by))
        };
        for (option, environment, found_by) in [
            (Some(option), Some(environment), FoundBy::Option),
            (None, Some(environment), FoundBy::Environment),
            (None, None, FoundBy::Service),
        ] {
            let place = Place::choose(option, environment, service(), Some(folder)).unwrap();
            assert_eq!(place.found_by, found_by);
        }
        assert_eq!(
            found(Some(option), Some(environment), Some(folder)),
            Some((option.to_owned(), FoundBy::Option))
        );
        assert_eq!(
            found(None, Some(environment), None),
            Some((environment.to_owned(), FoundBy::Environment))
        );
        let default = folder.join("config.toml");
        assert_eq!(found(None, None, Some(folder)), Some((default, FoundBy::Default)));
        assert_eq!(found(None, None, None), None);
        let (path, _) = found(Some(Path::new("petit.toml")), None, None).unwrap();
        assert!(path.is_absolute() && path.ends_with("petit.toml"));
    }

    #[test]
    fn a_place_that_somebody_has_named_leads_somewhere_or_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lock) = (dir.path().join("config.toml"), dir.path().join("client.lock"));
        let leads_nowhere = |found_by| Place { path: path.clone(), found_by }.leads_nowhere(&lock);
        assert!(leads_nowhere(FoundBy::Option) && leads_nowhere(FoundBy::Environment));
        assert!(!leads_nowhere(FoundBy::Default), "the first thing that a user does is made easy");
        let held = Lock::take(&lock).unwrap();
        assert!(!leads_nowhere(FoundBy::Option) && !leads_nowhere(FoundBy::Environment));
        drop(held);
        std::fs::write(&path, "").unwrap();
        assert!(!leads_nowhere(FoundBy::Option) && !leads_nowhere(FoundBy::Environment));
    }
}
