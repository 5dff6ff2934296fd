//! Why a certificate is of no use, and what one is for.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use petit_host::cli::chain;

use crate::folder::Folder;

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

/// What is to be done where the server may not read a certificate. A service of systemd has a user of its own, which
/// owns its state folder, and should own nothing else.
pub fn remedy(problem: &CertificateError, folder: &Folder) -> Option<String> {
    let (path, holder, source) = match problem {
        CertificateError::File { path, source } => (path.as_path(), path.parent()?.to_owned(), source),
        CertificateError::Unreadable { path, source } => (path.as_path(), path.join("NAME"), source),
        _ => return None,
    };
    if source.kind() != ErrorKind::PermissionDenied {
        return None;
    }
    Some(if !folder.is_of_systemd() {
        format!("let the user that runs the server read {}, and nobody else", path.display())
    } else if path.starts_with(folder.path()) {
        to_the_service(folder, path)
    } else {
        format!(
            "the service has a user of its own; have it keep a copy: petit-server certificate put {}",
            holder.display()
        )
    })
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
