//! Several certificates side by side: which are in use, and which one a visitor is shown.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use petit_engine::name::{Alias, Endpoint};
use petit_engine::net::tls;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use super::{Certificate, CertificateError, Pairs};
use crate::api::CertificateView;
use crate::config::Config;

/// What was read, each pair by itself.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Those that can be used, in the order of their paths.
    pub certificates: Vec<Certificate>,
    /// Why others cannot.
    pub problems: Vec<CertificateError>,
}

/// Reads the certificate that the config names, and all in its folder for certificates.
pub fn load(config: &Config) -> Loaded {
    let Pairs { whole, problems } = Pairs::of(config);
    let mut loaded = Loaded { certificates: Vec::new(), problems };
    for pair in whole {
        match Certificate::read(&pair, config) {
            Ok(certificate) => loaded.certificates.push(certificate),
            Err(problem) => loaded.problems.push(problem),
        }
    }
    loaded
}

/// What HTTPS visitors are shown by the process whose place a server takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HttpsBefore {
    /// It takes nobody's place.
    #[default]
    Nobody,
    /// Each certificate.
    Certificates(Vec<ServedCertificate>),
    /// The names of all certificates; an earlier version does not say where they are.
    Names(Vec<String>),
    /// An earlier version does not say.
    Unknown,
}

/// A certificate of the process whose place a server takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedCertificate {
    /// Where it was read.
    pub path: PathBuf,
    /// What it is for.
    pub names: Vec<String>,
}

impl HttpsBefore {
    /// The names that were served, and that none of `certificates` is for.
    fn lost(&self, certificates: &[Certificate], config: &Config) -> Vec<String> {
        let is_lost = |name: &&String| !certificates.iter().any(|new| new.covers(name));
        match self {
            Self::Nobody => Vec::new(),
            Self::Certificates(before) => {
                before.iter().flat_map(|one| &one.names).filter(is_lost).cloned().collect()
            }
            Self::Names(names) => names.iter().filter(is_lost).cloned().collect(),
            Self::Unknown if certificates.is_empty() => vec![format!("*.{}", config.endpoint.domain())],
            Self::Unknown => Vec::new(),
        }
    }

    /// Where the certificate was read that a name was served with.
    fn path(&self, name: &String) -> Option<&Path> {
        let Self::Certificates(before) = self else { return None };
        Some(&before.iter().find(|one| one.names.contains(name))?.path)
    }

    /// What has become of the certificate that a name was served with: it is gone, or is for others now.
    fn why_lost(&self, lost: &String, certificates: &[Certificate]) -> Option<CertificateError> {
        let path = self.path(lost)?;
        match certificates.iter().find(|new| new.path == *path) {
            Some(new) => Some(CertificateError::Misplaced {
                path: path.to_owned(),
                names: new.names.clone(),
                lost: lost.clone(),
            }),
            None if is_gone(path) => Some(CertificateError::Gone { path: path.to_owned() }),
            // Another config leads elsewhere.
            None => None,
        }
    }
}

/// Where the key lies of a certificate in a folder for certificates.
fn key_beside(certificate: &Path) -> PathBuf {
    match certificate.file_name().is_some_and(|name| name == "fullchain.pem") {
        true => certificate.with_file_name("privkey.pem"),
        false => certificate.with_extension("key"),
    }
}

/// True when nothing is there; not where nobody knows.
fn is_gone(path: &Path) -> bool {
    path.try_exists().is_ok_and(|exists| !exists)
}

/// Why a server does not take the place of another one.
#[derive(Debug, thiserror::Error)]
#[error("HTTPS visitors of {lost} would not be served any more")]
pub struct LostHttps {
    /// A name.
    pub lost: String,
    /// What is wrong.
    pub source: CertificateError,
}

/// The names that visitors reach services by.
#[derive(Clone, Debug)]
pub struct PublicNames<'a> {
    /// How public addresses are made.
    pub endpoint: &'a Endpoint,
    /// All aliases, whole domains and labels.
    pub aliases: Vec<Alias>,
}

impl PublicNames<'_> {
    /// All services of the domain, as one name.
    fn domain(&self) -> String {
        format!("*.{}", self.endpoint.domain())
    }

    /// All services of the domain, as one name, and the host of every alias.
    fn hosts(&self) -> impl Iterator<Item = String> + '_ {
        let alias = |alias: &Alias| self.endpoint.host(alias.as_str());
        std::iter::once(self.domain()).chain(self.aliases.iter().map(alias))
    }

    /// True when at least one name of a certificate may be one of these.
    pub fn fits(&self, certificate: &Certificate) -> bool {
        let domain = self.endpoint.domain();
        let is_under = |name: &String| name.split_once('.').is_some_and(|(_, rest)| rest == domain);
        certificate.names.iter().any(is_under) || self.hosts().any(|host| certificate.covers(&host))
    }

    /// The names that no certificate is for, though some are served over HTTPS here: of the domain as a whole, and
    /// of aliases that are domains of their own.
    pub fn uncovered<'c>(&'c self, certificates: &'c [Certificate]) -> impl Iterator<Item = String> + 'c {
        let is_served = self.endpoint.is_https() && !certificates.is_empty();
        let domains = self.aliases.iter().filter(|alias| alias.is_domain());
        let hosts = std::iter::once(self.domain()).chain(domains.map(Alias::to_string));
        hosts
            .filter(move |host| is_served && !certificates.iter().any(|certificate| certificate.covers(host)))
    }
}

impl Loaded {
    /// What a server begins with: all that can be used. One that takes nobody's place goes without what cannot: its
    /// clients need no certificate. One that takes the place of another must not lose what that one served.
    ///
    /// # Errors
    /// [`LostHttps`]: a name that was served would not be, because something is wrong on the disk, or the certificate is not
    /// there any more, or is for other names. Where that is to be so, the one before is told first (`reload`).
    pub fn for_start(mut self, before: &HttpsBefore, config: &Config) -> Result<Self, LostHttps> {
        let mut names = before.lost(&self.certificates, config);
        for lost in &names {
            let of_its_files = before.path(lost).and_then(|path| {
                self.problems.iter().position(|problem| problem.is_about(path, &key_beside(path)))
            });
            let source = match of_its_files {
                Some(at) => Some(self.problems.swap_remove(at)),
                None => before.why_lost(lost, &self.certificates),
            };
            if let Some(source) = source {
                return Err(LostHttps { lost: lost.clone(), source });
            }
        }
        // Another config leads elsewhere, where something may be wrong.
        if names.is_empty() || self.problems.is_empty() {
            return Ok(self);
        }
        let (own, key) = (&config.certificate, &config.certificate_key);
        let at = self.problems.iter().position(|problem| problem.is_about(own, key)).unwrap_or_default();
        Err(LostHttps { lost: names.swap_remove(0), source: self.problems.swap_remove(at) })
    }

    /// What an operator who asks for all of it to be used gets: that, or the first reason why not.
    ///
    /// # Errors
    /// The first problem; of those that would be replaced all stay in use then.
    pub fn replace(
        self,
        in_use: &[Certificate],
        names: &PublicNames<'_>,
    ) -> Result<Vec<Certificate>, CertificateError> {
        let mut problems = self.problems;
        problems.extend(
            self.certificates.iter().filter_map(|new| misplaced(new, in_use, &self.certificates, names)),
        );
        problems.extend(foreign(&self.certificates, names));
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(self.certificates),
        }
    }

    /// As [`renew`](Self::renew), for an operator who asks for it: what he has taken away goes, whatever is wrong with
    /// something else.
    pub fn renew_asked(self, in_use: &[Certificate], names: &PublicNames<'_>) -> Self {
        let is_there = |before: &Certificate| {
            self.certificates.iter().any(|new| new.path == before.path)
                || self.problems.iter().any(|problem| problem.is_about(&before.path, &before.key_path))
        };
        let in_use: Vec<Certificate> = in_use.iter().filter(|before| is_there(before)).cloned().collect();
        self.renew(&in_use, names)
    }

    /// What is used when files have changed by themselves: what is better than what is in use. Where a file is gone
    /// or cannot be used, the one before stays.
    pub fn renew(mut self, in_use: &[Certificate], names: &PublicNames<'_>) -> Self {
        let found = self.certificates.clone();
        let mut renewed: Vec<Certificate> = Vec::new();
        for new in &found {
            let before = in_use.iter().find(|before| before.path == new.path);
            match (misplaced(new, in_use, &found, names), before) {
                (Some(problem), Some(before)) => {
                    self.problems.push(problem);
                    renewed.push(before.clone());
                }
                _ => renewed.push(new.clone()),
            }
        }
        for before in in_use.iter().filter(|before| !found.iter().any(|new| new.path == before.path)) {
            if is_gone(&before.path) {
                self.problems.push(CertificateError::Gone { path: before.path.clone() });
            }
            renewed.push(before.clone());
        }
        self.problems.extend(foreign(&renewed, names));
        Self { certificates: renewed, ..self }
    }
}

/// Why a certificate must not take the place of the one that was read from the same file before.
fn misplaced(
    new: &Certificate,
    in_use: &[Certificate],
    found: &[Certificate],
    names: &PublicNames<'_>,
) -> Option<CertificateError> {
    let before = in_use.iter().find(|before| before.path == new.path)?;
    let is_lost = |host: &String| before.covers(host) && !found.iter().any(|other| other.covers(host));
    let lost = names.hosts().find(is_lost)?;
    Some(CertificateError::Misplaced { path: new.path.clone(), names: new.names.clone(), lost })
}

/// Why visitors over HTTPS are shown nothing that they could accept, though there are certificates: the first of
/// them is for somebody else, and so are all others.
fn foreign(certificates: &[Certificate], names: &PublicNames<'_>) -> Option<CertificateError> {
    let first = certificates.first().filter(|_| names.endpoint.is_https())?;
    let fits = certificates.iter().any(|certificate| names.fits(certificate));
    (!fits).then(|| CertificateError::Foreign {
        path: first.path.clone(),
        names: first.names.clone(),
        domain: names.endpoint.domain().to_owned(),
    })
}

/// What HTTPS visitors are served with; `None` when there is no certificate.
///
/// # Errors
/// When TLS cannot be set up with this program's cryptography.
pub fn serving(
    certificates: &[Certificate],
    endpoint: &Endpoint,
) -> Result<Option<Arc<ServerConfig>>, rustls::Error> {
    if certificates.is_empty() {
        return Ok(None);
    }
    let by_name = ByName::new(certificates, endpoint.domain());
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

/// For programs: each certificate, and whether another one is shown for all its names.
pub fn views(certificates: &[Certificate], now: SystemTime) -> Vec<CertificateView> {
    let best = |name: &String| {
        let of_name = certificates.iter().filter(|other| other.names.contains(name));
        of_name.min_by_key(|other| (!other.is_in_force(now), rank(other)))
    };
    let instead = |one: &Certificate| {
        // The same one may be in two places.
        let mut shown = one.names.iter().filter_map(best);
        let first = shown.next().filter(|first| first.key.cert != one.key.cert)?;
        shown.all(|other| other.key.cert != one.key.cert).then(|| first.path.clone())
    };
    certificates.iter().map(|one| one.view(now, instead(one))).collect()
}

/// Of several for one name that are in force, or are not, the least is shown: the newest, the one that the config names,
/// the one that lasts longest.
fn rank(certificate: &Certificate) -> impl Ord + use<> {
    let Certificate { not_before, is_own, not_after, .. } = certificate;
    (Reverse(*not_before), !*is_own, Reverse(*not_after))
}

/// Chooses a certificate by the server name of the ClientHello, in one or two look-ups however many there are.
#[derive(Debug)]
struct ByName {
    /// By a name as it stands in the certificate, `*.example.com` among them; the best first. Which of them is in force is
    /// looked at for each visitor.
    names: HashMap<String, Vec<Candidate>>,
    /// For names that none is for: who reads a wrong name in his browser knows more than who reads nothing.
    domain: Vec<Candidate>,
    /// For whoever asks for no name, as proxies do that connect to an address.
    nameless: Vec<Candidate>,
}

/// What may be shown, and from when until when.
#[derive(Clone, Debug)]
struct Candidate {
    key: Arc<CertifiedKey>,
    from: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Candidate {
    fn of(certificate: &Certificate) -> Self {
        let Certificate { not_before: from, not_after: until, .. } = *certificate;
        Self { key: Arc::clone(&certificate.key), from, until }
    }

    fn is_in_force(&self, now: SystemTime) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

impl ByName {
    fn new(certificates: &[Certificate], domain: &str) -> Self {
        let mut best_first: Vec<&Certificate> = certificates.iter().collect();
        best_first.sort_by_key(|certificate| rank(certificate));
        let mut names: HashMap<String, Vec<Candidate>> = HashMap::new();
        for certificate in &best_first {
            for name in &certificate.names {
                names.entry(name.clone()).or_default().push(Candidate::of(certificate));
            }
        }
        let domain = names.get(&format!("*.{domain}")).cloned().unwrap_or_default();
        let all = best_first.into_iter().map(Candidate::of);
        let nameless = domain.iter().cloned().chain(all).collect();
        Self { names, domain, nameless }
    }

    fn choose(&self, name: Option<&str>, now: SystemTime) -> Option<Arc<CertifiedKey>> {
        let Some(name) = name else { return first_in_force(&[&self.nameless], now) };
        let name = name.to_ascii_lowercase();
        let wildcard = name.split_once('.').and_then(|(_, rest)| self.names.get(&format!("*.{rest}")));
        let of_name = [self.names.get(&name), wildcard].map(|found| found.map_or(&[][..], Vec::as_slice));
        first_in_force(&of_name, now).or_else(|| first_in_force(&[&self.domain], now))
    }
}

/// The first that is in force; where none is, the first.
fn first_in_force(lists: &[&[Candidate]], now: SystemTime) -> Option<Arc<CertifiedKey>> {
    let mut all = lists.iter().copied().flatten();
    let found = all.clone().find(|candidate| candidate.is_in_force(now)).or_else(|| all.next())?;
    Some(Arc::clone(&found.key))
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), SystemTime::now())
    }
}

/// The certificate that is shown for a name.
#[cfg(test)]
pub(super) fn chosen(
    certificates: &[Certificate],
    domain: &str,
    name: Option<&str>,
    now: SystemTime,
) -> Option<Arc<CertifiedKey>> {
    ByName::new(certificates, domain).choose(name, now)
}
