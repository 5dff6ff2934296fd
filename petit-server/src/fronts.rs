//! What the relay needs to try the server's public addresses: whom visitors trust, and who knows addresses of names.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dns_lookup::LookupErrorKind;
use petit_engine::BoxFuture;
use petit_engine::name::Endpoint;
use petit_relay::{FrontKind, FrontSettings, FrontView, Resolver, Unresolved};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio::sync::Semaphore;

use crate::api::{self, FrontName};
use crate::config::Config;
use crate::seconds;

/// Why the authorities that the config names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Not a file with certificates.
    #[error("{} does not hold certificates in PEM form", path.display())]
    Pem {
        path: PathBuf,
        /// What was wrong.
        source: PemError,
    },
    /// A certificate that cannot vouch for others.
    #[error("{} holds a certificate that cannot be used as an authority's", path.display())]
    Unusable {
        path: PathBuf,
        /// What TLS said.
        source: rustls::Error,
    },
}

/// How the relay is to try its public fronts.
///
/// # Errors
/// [`AuthorityError`].
pub fn settings(config: &Config) -> Result<FrontSettings, AuthorityError> {
    Ok(FrontSettings {
        probing: config.fronts.probing,
        networks: config.fronts.private_networks.clone(),
        roots: roots(config)?,
        resolver: Arc::new(SystemResolver::default()),
    })
}

/// Whom visitors trust: the system's authorities, and the operator's own. None where addresses say http.
fn roots(config: &Config) -> Result<RootCertStore, AuthorityError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.fronts.ca {
        let pem = |source| AuthorityError::Pem { path: path.clone(), source };
        let found =
            CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<Vec<_>, _>>().map_err(pem)?;
        if found.is_empty() {
            return Err(pem(PemError::NoItemsFound));
        }
        for certificate in found {
            let unusable = |source| AuthorityError::Unusable { path: path.clone(), source };
            roots.add(certificate).map_err(unusable)?;
        }
    }
    if config.endpoint.is_https() {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "an authority of the system's was not read");
        }
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(added, ignored, "authorities of the system's");
    }
    Ok(roots)
}

/// Asks the system's resolver.
#[derive(Debug)]
struct SystemResolver {
    places: Arc<Semaphore>,
}

/// Look-ups at the same time. Each holds a thread for as long as its name server is silent.
const LOOK_UPS: usize = 4;

impl Default for SystemResolver {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LOOK_UPS)) }
    }
}

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str) -> BoxFuture<'_, Result<Vec<IpAddr>, Unresolved>> {
        // With its final dot a name is looked up as it is, and not below the domains of the system's search list.
        let host = format!("{host}.");
        let places = Arc::clone(&self.places);
        Box::pin(async move {
            let place = places.acquire_owned().await.map_err(|_| Unresolved::NoNameServer)?;
            let look_up = move || {
                let _place = place;
                look_up(&host)
            };
            tokio::task::spawn_blocking(look_up).await.unwrap_or(Err(Unresolved::NoNameServer))
        })
    }
}

/// The standard library's own look-up does not say whether a name has no address or nobody has answered.
fn look_up(host: &str) -> Result<Vec<IpAddr>, Unresolved> {
    match dns_lookup::lookup_host(host) {
        Ok(found) => Ok(found.collect()),
        Err(error) => {
            tracing::debug!(host, ?error, "name not resolved");
            Err(match error.kind() {
                LookupErrorKind::NoName | LookupErrorKind::NoData => Unresolved::NoAddress,
                _ => Unresolved::NoNameServer,
            })
        }
    }
}

/// A front, for programs, and for the command line that makes words of it.
pub fn view(front: &FrontView, endpoint: &Endpoint) -> api::FrontView {
    let (name, address) = match &front.front {
        FrontKind::Endpoint => (FrontName::Endpoint, endpoint.to_string()),
        FrontKind::TcpHost => (FrontName::TcpHost, String::new()),
        FrontKind::Domain(name) => (FrontName::Domain, endpoint.url(name.as_str())),
        FrontKind::PlainSocket(socket) => (FrontName::PlainSocket, socket.to_string()),
        FrontKind::TlsSocket(socket) => (FrontName::TlsSocket, socket.to_string()),
    };
    api::FrontView {
        address,
        front: name,
        since: seconds(front.since),
        state: front.state,
        took_us: front.took.map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        tried: front.tried.map(seconds),
    }
}

/// Something in the config that will keep visitors out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontNote {
    /// Public addresses say https, and nothing is there to speak it.
    NoCertificate,
    /// Public addresses say another port than the one that visitors come in on.
    Port {
        /// What addresses say.
        said: u16,
        /// Where visitors come in.
        listens: u16,
        /// The setting that says so.
        setting: &'static str,
    },
}

/// What the config says that will keep visitors out. Behind a proxy the ports and the certificate are the proxy's.
pub fn notes(config: &Config, has_certificate: bool) -> Option<FrontNote> {
    let endpoint = &config.endpoint;
    if !config.trusted_proxies.is_empty() {
        return None;
    }
    if endpoint.is_https() && !has_certificate {
        return Some(FrontNote::NoCertificate);
    }
    let (listens, setting) = if endpoint.is_https() {
        (config.secure_proxy_port, "secure_proxy_port")
    } else {
        (config.proxy_port, "proxy_port")
    };
    let said = endpoint.visitors_port();
    (said != listens && said != 0).then_some(FrontNote::Port { said, listens, setting })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn note(text: &str, has_certificate: bool) -> Option<FrontNote> {
        let (config, _) = crate::config::parse(Path::new("/config.toml"), text).unwrap();
        notes(&config, has_certificate)
    }

    #[test]
    fn an_endpoint_that_leads_past_the_server_is_noted() {
        let https =
            "[server]\nsecure_proxy_port = 443\n[server.vitae]\nendpoint = \"https://REGID.example.com\"";
        assert_eq!(note(https, true), None);
        assert_eq!(note(https, false), Some(FrontNote::NoCertificate));
        let proxied = https.replace("[server]\n", "[server]\ntrusted_proxies = [\"10.0.0.1\"]\n");
        assert_eq!(note(&proxied, false), None, "the proxy speaks TLS");
        let usual = "[server]\n[server.vitae]\nendpoint = \"https://REGID.example.com\"";
        let port = FrontNote::Port { said: 443, listens: 8453, setting: "secure_proxy_port" };
        assert_eq!(note(usual, true), Some(port));
        // The port was changed, and the endpoint that `init` has written was not.
        let moved =
            "[server]\nproxy_port = 18191\n[server.vitae]\nendpoint = \"http://REGID.localhost:8090\"";
        let port = FrontNote::Port { said: 8090, listens: 18191, setting: "proxy_port" };
        assert_eq!(note(moved, false), Some(port));
        assert_eq!(note("[server]\nproxy_port = 18191", false), None, "without one the endpoint follows");
    }

    #[test]
    fn a_file_that_holds_no_authority_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.crt");
        let text = format!("[server.fronts]\nca = \"{}\"", path.display());
        let (config, _) = crate::config::parse(Path::new("/config.toml"), &text).unwrap();
        let missing = settings(&config).unwrap_err();
        assert!(missing.to_string().contains("ca.crt does not hold certificates"), "{missing}");
        std::fs::write(&path, "nothing").unwrap();
        assert!(settings(&config).is_err());
    }
}
