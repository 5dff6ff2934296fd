//! `certificate put`: a certificate is copied to where the server reads it, by whoever may read its key, such as what has
//! renewed it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use petit_host::cli::{self, Failure};
use petit_host::exit::ExitCode;
use petit_host::files::FileError;
use petit_host::service::credential;
use petit_server::api::{CertificatePut, CertificatesShown, GetSettings, RenewCertificates};
use petit_server::certificate::keep::{CHAIN, KEY, KeepError, Offered};
use petit_server::certificate::{self, Certificate};
use petit_server::config::{self, Config};
use petit_server::folder::Folder;

use super::ask::Running;
use super::common::config_failure;
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
    let config = config_of(folder).await?;
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
    let shown = match source {
        // Root, who asks for it, has the server look.
        Source::HandedIn => None,
        Source::Named { .. } => Running::new(folder)
            .ask_if_running(&RenewCertificates)
            .await
            .map_err(|failure| Failure { message: not_shown(&path, &failure.message), ..failure })?,
    };
    let put = CertificatePut { names: offered.certificate.names.clone(), path, shown };
    let is_for = certificate::said(&put.names);
    let mut out = format!("{} is in place, for {is_for}.", put.path.display());
    let failure =
        put.shown.as_ref().and_then(|shown| match shown_as(&offered.certificate, &put.path, shown) {
            Ok(said) => {
                out.push_str(&format!("\nHTTPS visitors are shown {said}."));
                None
            }
            Err(failure) => Some(failure),
        });
    match failure {
        Some(failure) if !json => Err(failure),
        failure => {
            cli::say(json, &out, &put);
            Ok(if failure.is_some() { ExitCode::Failed } else { ExitCode::Ok })
        }
    }
}

/// The config; where that has a mistake, what the running server goes by, which is nobody's reason to let HTTPS end.
async fn config_of(folder: &Folder) -> Result<Config, Failure> {
    let error = match config::load(&folder.config) {
        Ok((config, _)) => return Ok(config),
        Err(error) => config_failure(&error),
    };
    let Ok(Some(in_force)) = Running::new(folder).ask_if_running(&GetSettings).await else {
        return Err(error);
    };
    let mut settings = in_force.settings.into_iter();
    let folder_in_force = settings.find(|setting| setting.table.is_empty() && setting.name == "certificates");
    let place = folder_in_force.and_then(|setting| setting.value.as_str().map(PathBuf::from));
    let usual = config::parse(&folder.config, "[server]\n");
    match (usual, place) {
        (Ok((usual, _)), Some(certificates)) => Ok(Config { certificates, ..usual }),
        _ => Err(error),
    }
}

/// How the running server shows a certificate that was put.
fn shown_as(offered: &Certificate, path: &Path, shown: &CertificatesShown) -> Result<String, Failure> {
    let end = offered.not_after.map(petit_server::seconds);
    let is_it = |view: &&petit_server::api::CertificateView| {
        view.path == path && view.names == offered.names && view.not_after == end
    };
    let failed = |why: &str| Err(Failure::new(ExitCode::Failed, not_shown(path, why)));
    let Some(view) = shown.certificates.iter().find(is_it) else {
        let about = |problem: &&String| problem.contains(&*path.to_string_lossy());
        let why = shown.problems.iter().find(about).map(String::as_str);
        return failed(why.unwrap_or("it looks for certificates elsewhere: petit-server config check"));
    };
    match &view.instead {
        Some(instead) => failed(&format!("{} is newer, and for the same names", instead.display())),
        None => Ok(show::certificate(view)),
    }
}

fn not_shown(path: &Path, why: &str) -> String {
    format!("{} is in place, but the running server does not show it: {why}", path.display())
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
        KeepError::Busy(_) => failure.hint("nothing was changed; try it again"),
        // The service's user writes nothing elsewhere.
        KeepError::File(_) if folder.is_of_systemd() && !config.certificates.starts_with(folder.path()) => {
            failure.hint(format!(
                "the service keeps nothing outside of {}: take `certificates` out of {}, then try it again",
                folder.path().display(),
                folder.config.display()
            ))
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
