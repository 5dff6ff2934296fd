//! Why a certificate is of no use, and what one is for.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use petit_host::cli::chain;

use crate::folder::Folder;

/// What a folder is looked through for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Any number of certificates, each with its key.
    Pairs,
    /// One.
    Pair,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The config names it, but it is not there.
    #[error("there is no certificate at {}, though the config file names it", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It was there, and is not any more.
    #[error("the certificate {} is gone", path.display())]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// Only one of the two files is there.
    #[error("{} is missing beside {}", missing.display(), found.display())]
    Half {
        /// The one that is there.
        found: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// A folder with certificates cannot be read.
    #[error("cannot read the certificates in {}", path.display())]
    Unreadable {
        /// Which folder.
        path: PathBuf,
        of: Contents,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{} does not hold a {what} in PEM form", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What was wrong.
        source: rustls::pki_types::pem::Error,
    },
    /// The two do not belong together.
    #[error("the certificate {} and its key {} do not belong together", path.display(), key.display())]
    Mismatch {
        /// The certificate.
        path: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// The two are of a kind that cannot be used.
    #[error("the certificate {} and its key cannot be used", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// What TLS said.
        source: rustls::Error,
    },
    /// TLS cannot be set up at all.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// It is for other names than the one in whose place it was put, and no other certificate is for these.
    #[error(
        "the certificate {} is now for {}, and no longer for {lost}; the one before it stays in use",
        path.display(), said(names)
    )]
    Misplaced {
        /// The certificate.
        path: PathBuf,
        /// What it is for.
        names: Vec<String>,
        /// The first name that would have none.
        lost: String,
    },
    /// It is for no name of this server, and neither is any other.
    #[error(
        "the certificate {} is for {}, which is neither under {domain} nor an alias of a service",
        path.display(), said(names)
    )]
    Foreign {
        /// The certificate.
        path: PathBuf,
        /// What it is for.
        names: Vec<String>,
        /// The domain that public names lie under.
        domain: String,
    },
}

impl CertificateError {
    /// Whether it is why a pair of files cannot be used: it lies at one of them, or at a folder that they are in.
    pub(super) fn is_about(&self, certificate: &Path, key: &Path) -> bool {
        let at = |path: &Path| {
            !path.as_os_str().is_empty() && [certificate, key].iter().any(|of| of.starts_with(path))
        };
        match self {
            Self::Half { found, missing } => at(found) || at(missing),
            _ => at(self.path()),
        }
    }

    /// The file, or folder, that it lies at.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Tls(_) => Path::new(""),
            Self::Half { found, .. } => found,
            Self::Missing { path }
            | Self::Gone { path }
            | Self::Unreadable { path, .. }
            | Self::File { path, .. }
            | Self::Pem { path, .. }
            | Self::Mismatch { path, .. }
            | Self::Unusable { path, .. }
            | Self::Misplaced { path, .. }
            | Self::Foreign { path, .. } => path,
        }
    }
}

/// Why a certificate cannot be used, and what is to be done where the server may not read it. `folder`: the server's.
pub fn advised(problem: &CertificateError, folder: &Folder) -> String {
    let problem_said = chain(problem);
    match remedy(problem, folder) {
        Some(remedy) => format!("{problem_said}; {remedy}"),
        None => problem_said,
    }
}

/// What is to be done where the server may not read a certificate, or misses one. A service of systemd has a user of its
/// own, which owns its state folder, and should own nothing else.
pub fn remedy(problem: &CertificateError, folder: &Folder) -> Option<String> {
    let (path, source) = match problem {
        CertificateError::Gone { .. } => {
            return Some("put it back; where visitors are to be without it: petit-server reload".to_owned());
        }
        CertificateError::File { path, source } | CertificateError::Unreadable { path, source, .. } => {
            (path, source)
        }
        _ => return None,
    };
    if source.kind() != ErrorKind::PermissionDenied {
        return None;
    }
    let state = leads_to(folder.path(), |_| false);
    let is_outside = |path: &Path| !path.starts_with(&state) && !path.starts_with(folder.path());
    let real = leads_to(path, is_outside);
    if !folder.is_of_systemd() {
        return Some(format!(
            "let the user that runs the server read {}, and nobody else",
            closed(path).display()
        ));
    }
    if !is_outside(&real) {
        return Some(to_the_service(folder, &closed(path)));
    }
    let holder = match problem {
        CertificateError::Unreadable { of: Contents::Pairs, .. } => real.join("NAME"),
        CertificateError::File { .. } if real.extension().is_some_and(|end| end == "pem") => {
            real.parent().unwrap_or(&real).to_owned()
        }
        _ => real,
    };
    // Where the config leads there, the copy would go there as well.
    let config = match is_outside(path) {
        true => format!("take the place out of {}, and ", folder.config.display()),
        false => String::new(),
    };
    Some(format!(
        "the service has a user of its own; {config}have it keep a copy: petit-server certificate put {}",
        holder.display()
    ))
}

/// Where a path leads, as far as that can be seen: links are followed until one `is_far_enough`.
fn leads_to(path: &Path, is_far_enough: impl Fn(&Path) -> bool) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if is_far_enough(&path) {
            break;
        }
        match next_link(&path) {
            Some(next) => path = next,
            None => break,
        }
    }
    path
}

/// As the system has it (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A path with its first link followed.
fn next_link(path: &Path) -> Option<PathBuf> {
    let mut at = PathBuf::new();
    let mut parts = path.components();
    while let Some(part) = parts.next() {
        match part {
            // What is before it is no link.
            Component::ParentDir => drop(at.pop()),
            part => at.push(part),
        }
        if let Ok(target) = std::fs::read_link(&at) {
            at.pop();
            let at = at.join(target);
            return Some(if parts.as_path().as_os_str().is_empty() { at } else { at.join(parts.as_path()) });
        }
    }
    None
}

/// What has to be opened before a path can be read: the first folder above it that cannot be entered, or itself.
fn closed(path: &Path) -> PathBuf {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let is_closed = |folder: &&Path| {
        folder.join(".").metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    above.into_iter().find(is_closed).unwrap_or(path).to_owned()
}

/// How what lies in the folder of a service of systemd is given to its user.
pub fn to_the_service(folder: &Folder, path: &Path) -> String {
    let (state, path) = (folder.path().display(), path.display());
    format!("give it to the service: chown -R --reference={state} {path}")
}

/// What a certificate is for, as a list.
pub fn said(names: &[String]) -> String {
    match names {
        [] => "no name at all".to_owned(),
        [one, two, three, _, ..] => format!("{one}, {two}, {three} and {} more", names.len() - 3),
        few => few.join(", "),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_until_it_is_outside() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().canonicalize().unwrap().join("state");
        std::fs::create_dir_all(state.join("certificates")).unwrap();
        let link = |name: &str, to: &str| {
            let link = state.join("certificates").join(name);
            std::os::unix::fs::symlink(to, &link).unwrap();
            leads_to(&link, |path| !path.starts_with(&state))
        };
        assert_eq!(link("a", "/nowhere/live/a"), Path::new("/nowhere/live/a"));
        assert_eq!(link("b", ".b.1"), state.join("certificates/.b.1"));
        assert_eq!(link("c", "b"), state.join("certificates/.b.1"));
        assert_eq!(link("loop", "loop"), state.join("certificates/loop"), "not for ever");
        let inside = state.join("certificates/a/fullchain.pem");
        assert_eq!(
            leads_to(&inside, |path| !path.starts_with(&state)),
            Path::new("/nowhere/live/a/fullchain.pem")
        );
    }
}
