//! `certificate put`: a certificate is copied to where the server reads it, by whoever may read its key, such as what has
//! renewed it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use petit_host::cli::{self, Failure};
use petit_host::exit::ExitCode;
use petit_host::files::FileError;
use petit_host::service::credential;
use petit_server::api::{CertificatePut, ReloadConfig};
use petit_server::certificate;
use petit_server::certificate::keep::{CHAIN, KEY, KeepError, Offered};
use petit_server::config::Config;
use petit_server::folder::Folder;

use super::ask::Running;
use super::common::load;
use super::{service, setup, show};

/// Where the pair is that is to be copied.
pub(crate) enum Source<'a> {
    /// A folder as certbot makes them, or a certificate whose key is somewhere else.
    Named { from: &'a Path, key: Option<&'a Path> },
    /// Root has it handed in to the service's own user.
    HandedIn,
}

/// The two files of a pair.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Source<'_> {
    fn files(&self) -> Result<Files, Failure> {
        match self {
            Self::Named { from, key: Some(key) } => {
                Ok(Files { certificate: (*from).to_owned(), key: (*key).to_owned() })
            }
            Self::Named { from, key: None } if from.is_file() => {
                let problem = format!("{} is a file, and its key is not named", from.display());
                Err(Failure::new(ExitCode::Usage, problem)
                    .hint("name it with --key FILE, or name a folder with fullchain.pem and privkey.pem"))
            }
            Self::Named { from, key: None } => {
                Ok(Files { certificate: from.join(CHAIN), key: from.join(KEY) })
            }
            Self::HandedIn => {
                let handed_in = |name| credential(name).ok_or_else(nothing_handed_in);
                Ok(Files { certificate: handed_in(CHAIN)?, key: handed_in(KEY)? })
            }
        }
    }

    /// What it is called where nobody has said otherwise: as certbot calls it.
    fn name(&self) -> Option<String> {
        let Self::Named { from, key } = self else { return None };
        // Such as `.`.
        let from = if from.file_name().is_some() { (*from).to_owned() } else { from.canonicalize().ok()? };
        let name = if key.is_some() { from.file_stem() } else { from.file_name() };
        name?.to_str().map(str::to_owned)
    }
}

fn nothing_handed_in() -> Failure {
    Failure::new(ExitCode::Usage, "no certificate was handed in")
}

/// Copies a pair, and has the running server show it.
pub(crate) async fn put(
    json: bool,
    folder: &Folder,
    source: &Source<'_>,
    name: Option<&str>,
) -> Result<ExitCode, Failure> {
    let name = name.map(str::to_owned).or_else(|| source.name()).filter(|name| is_name(name));
    let name = name.ok_or_else(|| {
        Failure::new(ExitCode::Usage, "no name for the certificate")
            .hint("say one of letters, digits, -, _ and dots, which does not begin with a dot: --name NAME")
    })?;
    let config = load(&folder.config)?;
    let files = source.files()?;
    let offered = Offered::read(&files.certificate, &files.key, &config)
        .map_err(|error| setup::unusable(&error, folder))?;
    let path = if folder.is_out_of_bounds() {
        let absolute = |path: &Path| std::path::absolute(path).map_err(|error| Failure::of(&error));
        service::keep_certificate(&name, &absolute(&files.certificate)?, &absolute(&files.key)?)?
    } else {
        offered
            .keep(&config.certificates, &name, &config)
            .map_err(|error| not_kept(&error, &config, folder))?
    };
    let reloaded = match source {
        // Root, who asks for it, has the server look.
        Source::HandedIn => None,
        Source::Named { .. } => reload(folder, &path).await?,
    };
    let put = CertificatePut { names: offered.certificate.names.clone(), path, reloaded };
    let is_for = certificate::said(&put.names);
    let mut out = format!("{} is in place, for {is_for}.", put.path.display());
    if let Some(reloaded) = &put.reloaded {
        out.push_str(&format!("\n{}", show::reloaded(reloaded, &folder.config)));
    }
    cli::say(json, &out, &put);
    Ok(ExitCode::Ok)
}

/// Has the running server read its certificates at once. What waits for a restart is no matter of a certificate's.
async fn reload(folder: &Folder, path: &Path) -> Result<Option<petit_server::api::ConfigReloaded>, Failure> {
    Running::new(folder).ask_if_running(&ReloadConfig).await.map_err(|failure| Failure {
        message: format!(
            "{} is in place, but the running server does not show it: {}",
            path.display(),
            failure.message
        ),
        ..failure
    })
}

fn is_name(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain)
}

fn not_kept(error: &KeepError, config: &Config, folder: &Folder) -> Failure {
    let failure = Failure::of(error);
    match error {
        KeepError::Certificate(error) => setup::unusable(error, folder),
        KeepError::Taken(_) | KeepError::Loses { .. } => {
            failure.hint("say another name: --name NAME; or move away what is there")
        }
        KeepError::Ended(_) => failure.hint("nothing was changed; name the newer one"),
        // Such as one that root has made.
        KeepError::File(FileError::Io { source, .. })
            if source.kind() == ErrorKind::PermissionDenied
                && folder.is_of_systemd()
                && config.certificates.starts_with(folder.path()) =>
        {
            failure.hint(certificate::to_the_service(folder, &config.certificates))
        }
        KeepError::File(_) => failure.hint(format!(
            "certificates are kept in {} (certificates in the config)",
            config.certificates.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_called_as_what_it_comes_from() {
        let name = |from: &str, key: Option<&str>| {
            Source::Named { from: Path::new(from), key: key.map(Path::new) }.name().unwrap()
        };
        assert_eq!(name("/etc/letsencrypt/live/example.com", None), "example.com");
        assert_eq!(name("/etc/letsencrypt/live/example.com/", None), "example.com");
        assert_eq!(name("/var/lego/_.example.com.crt", Some("x.key")), "_.example.com");
        assert!(is_name("_.example.com") && is_name("a-1"));
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
