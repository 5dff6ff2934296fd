//! One service as it is written: where it is, what it speaks, whom to trust to be it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use petit_engine::agent::{ServiceTls, may_lead_to};
use petit_engine::name::{HostField, ServerAddr, ServiceName};
use petit_engine::net::tls;
use petit_engine::proto::control::{Options, ServiceKind};
use petit_engine::secret::sha256;
use petit_host::files;
use petit_host::toml_file::{Key, Table, ValueKind};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Deserialize;

/// A service as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its name; `None` in the original's `[client.local]`.
    pub name: Option<ServiceName>,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is.
    pub target: ServerAddr,
    /// How it wants its requests.
    pub options: Options,
    /// Whom to trust to be it, when it speaks TLS.
    pub trust: Option<Trust>,
    /// The name in its certificate, where that is not the target's.
    pub tls_name: Option<ServerName<'static>>,
    /// What comes of both.
    pub tls: Option<ServiceTls>,
}

/// Whom to trust to be a service. There is no way to trust anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whom this computer trusts.
    System,
    /// Whom the authorities in a file vouch for.
    Ca(PathBuf),
    /// One certificate, whatever it says.
    Fingerprint([u8; 32]),
}

/// What is wrong with services whose values can each be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceFault {
    /// There are too many.
    #[error("a client has at most {most} services")]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// Two have one name.
    #[error("two services are called {:?}; each needs a name of its own", name.as_str())]
    SameName { name: ServiceName },
    /// A TCP service has options of an HTTP one.
    #[error("service {name}: host, answer_within and max_body are for services of kind \"http\" and \"h2\"")]
    HttpOnly {
        /// The service.
        name: ServiceName,
    },
    /// It is said twice whom to trust.
    #[error("service {name}: set either tls_ca or tls_fingerprint")]
    TwoTrusts {
        /// The service.
        name: ServiceName,
    },
    /// Whom to trust cannot be used.
    #[error("service {name}: {problem}")]
    Tls {
        /// The service.
        name: ServiceName,
        /// Why, as whoever reads it says it.
        problem: String,
    },
    /// The original's `[client.local]` cannot be used.
    #[error("{problem}")]
    Local { problem: String },
}

pub(super) const SERVICE: Table = Table(&[
    key("name"),
    key("target"),
    key("kind"),
    key("host"),
    key("answer_within"),
    key("max_body"),
    key("tls"),
    key("tls_ca"),
    key("tls_fingerprint"),
    key("tls_name"),
]);

const fn key(name: &'static str) -> Key {
    Key { name, kind: ValueKind::Value }
}

/// `[[client.service]]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceForm {
    name: ServiceName,
    target: Target,
    #[serde(default)]
    kind: KindForm,
    host: Option<HostForm>,
    answer_within: Option<Span>,
    max_body: Option<Bytes>,
    #[serde(default)]
    tls: bool,
    tls_ca: Option<String>,
    tls_fingerprint: Option<CertificateFingerprint>,
    tls_name: Option<TlsName>,
}

/// The original's way to name the one service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalForm {
    host: Option<String>,
    port: u16,
    #[serde(default)]
    tls: bool,
}

impl ServiceForm {
    /// The service; paths are relative to `folder`.
    pub(super) fn check(self, folder: &Path) -> Result<Service, ServiceFault> {
        let h2 = self.kind == KindForm::H2;
        let host = match self.host {
            None | Some(HostForm::Preserve) => None,
            Some(HostForm::Target) => Some(HostField::from(&self.target.0)),
            Some(HostForm::Fixed(host)) => Some(host),
        };
        let options = Options {
            h2,
            host,
            answer_within_s: self.answer_within.map(|span| span.0),
            max_body_bytes: self.max_body.map(|bytes| bytes.0),
        };
        let kind = if self.kind == KindForm::Tcp { ServiceKind::Tcp } else { ServiceKind::Http };
        if kind == ServiceKind::Tcp && options != Options::default() {
            return Err(ServiceFault::HttpOnly { name: self.name });
        }
        let trust = match (self.tls_ca, self.tls_fingerprint) {
            (Some(_), Some(_)) => {
                return Err(ServiceFault::TwoTrusts { name: self.name });
            }
            (Some(ca), None) => Some(Trust::Ca(files::resolve(folder, Path::new(&ca)))),
            (None, Some(fingerprint)) => Some(Trust::Fingerprint(fingerprint.0)),
            (None, None) if self.tls || self.tls_name.is_some() => Some(Trust::System),
            (None, None) => None,
        };
        let tls_name = self.tls_name.map(|name| name.0);
        let tls = trust.as_ref().map(|trust| trust.tls(tls_name.as_ref(), &self.target.0, h2)).transpose();
        let tls = match tls {
            Ok(tls) => tls,
            Err(problem) => return Err(ServiceFault::Tls { name: self.name, problem }),
        };
        Ok(Service { name: Some(self.name), kind, target: self.target.0, options, trust, tls_name, tls })
    }
}

impl LocalForm {
    pub(super) fn check(self) -> Result<Service, ServiceFault> {
        let wrong = |problem| ServiceFault::Local { problem };
        let host = self.host.as_deref().unwrap_or("127.0.0.1");
        let target =
            ServerAddr::new(host, self.port).map_err(|error| wrong(format!("client.local.host: {error}")))?;
        let trust = self.tls.then_some(Trust::System);
        let tls = trust.as_ref().map(|trust| trust.tls(None, &target, false)).transpose().map_err(wrong)?;
        let (kind, options) = (ServiceKind::Http, Options::default());
        Ok(Service { name: None, kind, target, options, trust, tls_name: None, tls })
    }
}

impl Trust {
    fn tls(
        &self,
        name: Option<&ServerName<'static>>,
        target: &ServerAddr,
        h2: bool,
    ) -> Result<ServiceTls, String> {
        let (verifier, setting): (Arc<dyn ServerCertVerifier>, String) = match self {
            Self::System => {
                let verifier = rustls_platform_verifier::Verifier::new(tls::provider()).map_err(|error| {
                    format!("this computer's trusted authorities cannot be read: {error}")
                })?;
                (Arc::new(verifier), "system".to_owned())
            }
            Self::Ca(path) => {
                let pem = std::fs::read(path)
                    .map_err(|error| format!("tls_ca: cannot read {}: {error}", path.display()))?;
                let verifier =
                    verifier_of(&pem).map_err(|problem| format!("tls_ca: {}: {problem}", path.display()))?;
                (verifier, format!("ca {}", data_encoding::HEXLOWER.encode(&sha256(&pem))))
            }
            Self::Fingerprint(fingerprint) => {
                let setting = format!("fingerprint {}", data_encoding::HEXLOWER.encode(fingerprint));
                (Arc::new(tls::PinnedCertificate::new(*fingerprint)), setting)
            }
        };
        let name = match name {
            Some(name) => name.clone(),
            None => ServerName::try_from(target.host().to_owned()).map_err(|error| error.to_string())?,
        };
        let setting = format!("{setting}{}", if h2 { " h2" } else { "" });
        ServiceTls::new(verifier, name, h2, setting).map_err(|error| error.to_string())
    }
}

fn verifier_of(pem: &[u8]) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| "it is damaged".to_owned())?;
        roots.add(certificate).map_err(|error| format!("a certificate in it cannot be used: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it; it must be in PEM form".to_owned());
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider());
    builder.build().map_err(|error| error.to_string())
}

/// What `kind` may be.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum KindForm {
    #[default]
    Http,
    H2,
    Tcp,
}

/// A type that is written as a text of its own form; what is wrong with it is said where it stands.
macro_rules! text_form {
    ($name:ident, $parse:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Result<$name, String> = $parse;
                parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_form!(KindForm, |text| match text {
    "http" => Ok(Self::Http),
    "h2" | "grpc" => Ok(Self::H2),
    "tcp" => Ok(Self::Tcp),
    _ => Err(format!(
        "{text:?} is no kind of service: \"http\", \"h2\" for HTTP/2 and gRPC, or \"tcp\" for everything else"
    )),
});

/// Where a service is. Said with an example of its own, because people write web addresses here.
struct Target(ServerAddr);

text_form!(Target, |text| target(text).map(Self));

/// Reads a service's address as people write it.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn target(text: &str) -> Result<ServerAddr, String> {
    if text.contains("://") || text.contains('/') {
        return Err(format!("{text:?} is a web address; write only host and port, such as localhost:3000"));
    }
    let target: ServerAddr =
        text.parse().map_err(|_| format!("{text:?} is no host and port; write it as localhost:3000"))?;
    if target.port() == 0 {
        return Err(format!("{text:?}: no service listens on port 0"));
    }
    if target.host().parse().is_ok_and(|ip| !may_lead_to(&target, ip)) {
        return Err(format!("{text:?}: no service of yours has this address"));
    }
    Ok(target)
}

enum HostForm {
    Preserve,
    Target,
    Fixed(HostField),
}

text_form!(HostForm, |text| match text {
    "preserve" => Ok(Self::Preserve),
    "target" => Ok(Self::Target),
    other => match other.parse() {
        Ok(host) => Ok(Self::Fixed(host)),
        Err(_) => Err(format!(
            "{other:?} is no host: \"preserve\" (the public one), \"target\" (the service's own) or a name"
        )),
    },
});

/// Seconds, written as `2m`.
struct Span(u32);

text_form!(Span, |text| {
    let day = Duration::from_secs(24 * 60 * 60);
    let span = humantime::parse_duration(text).ok();
    let span = span.filter(|span| (Duration::from_secs(1)..=day).contains(span));
    span.and_then(|span| u32::try_from(span.as_secs()).ok())
        .map(Self)
        .ok_or_else(|| format!("{text:?} is no time such as \"2m\", between one second and one day"))
});

/// An amount of data, written as `100MB`.
struct Bytes(u64);

text_form!(Bytes, |text| {
    let trimmed = text.trim();
    let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = trimmed.split_at(digits);
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "KB" => Some(1_000),
        "MB" => Some(1_000_000),
        "GB" => Some(1_000_000_000),
        _ => None,
    };
    let bytes = factor.and_then(|factor: u64| number.parse::<u64>().ok()?.checked_mul(factor));
    bytes.map(Self).ok_or_else(|| format!("{text:?} is no amount such as \"100MB\""))
});

/// SHA-256 of a certificate, in the forms in which programs print it.
struct CertificateFingerprint([u8; 32]);

text_form!(CertificateFingerprint, |text| {
    let wrong = || {
        format!(
            "{text:?} is no SHA-256 fingerprint of a certificate; this shows it: \
             openssl x509 -in FILE -noout -fingerprint -sha256"
        )
    };
    // openssl: "sha256 Fingerprint=AB:CD:…"
    let text = text.rsplit('=').next().unwrap_or_default().trim();
    let text = text.strip_prefix("SHA256:").or_else(|| text.strip_prefix("sha256:")).unwrap_or(text);
    let hex: String =
        text.chars().filter(|c| *c != ':' && *c != ' ').collect::<String>().to_ascii_lowercase();
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(|_| wrong())?;
    bytes.try_into().map(Self).map_err(|_| wrong())
});

struct TlsName(ServerName<'static>);

text_form!(TlsName, |text| ServerName::try_from(text.to_owned())
    .map(Self)
    .map_err(|_| format!("{text:?} is no name that a certificate could be for")));

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    fn one(more: &str) -> Result<Service, String> {
        let text = format!("[[client.service]]\nname = \"a\"\ntarget = \"localhost:1\"\n{more}\n");
        read(&text)
            .map(|(config, _)| config.services[0].clone())
            .map_err(|error| petit_host::cli::chain(&error))
    }

    #[test]
    fn a_service_says_how_it_wants_its_requests() {
        let service =
            one("kind = \"grpc\"\nhost = \"target\"\nanswer_within = \"5m\"\nmax_body = \"2MB\"").unwrap();
        let options = Options {
            h2: true,
            host: Some("localhost:1".parse().unwrap()),
            answer_within_s: Some(300),
            max_body_bytes: Some(2_000_000),
        };
        assert_eq!((service.kind, service.options), (ServiceKind::Http, options));
        assert_eq!(one("host = \"preserve\"").unwrap().options, Options::default());
        let fixed = one("host = \"shop.internal\"").unwrap().options.host;
        assert_eq!(fixed.unwrap().as_str(), "shop.internal");
    }

    #[test]
    fn tls_has_to_be_trusted_by_somebody() {
        assert!(one("").unwrap().tls.is_none());
        let system = one("tls = true").unwrap().tls.unwrap();
        assert_eq!(
            one("tls = true").unwrap().tls,
            Some(system.clone()),
            "the same setting is the same service"
        );
        let colons = ["AB"; 32].join(":");
        let pinned = one(&format!("tls_fingerprint = \"SHA256:{colons}\"")).unwrap().tls.unwrap();
        assert_ne!(pinned, system);
        let plain = one(&format!("tls_fingerprint = \"{}\"", "ab".repeat(32))).unwrap().tls;
        assert_eq!(plain, Some(pinned));
        for (more, expected) in [
            ("tls = \"insecure\"", ":4:7: "),
            (
                "tls_fingerprint = \"AB:CD\"",
                ":4:19: client.service.tls_fingerprint: \"AB:CD\" is no SHA-256 fingerprint",
            ),
            ("tls_ca = \"./nowhere.pem\"", "service a: tls_ca: cannot read /home/anna/.petit/nowhere.pem"),
            ("tls_name = \"a b\"", "is no name that a certificate could be for"),
        ] {
            let error = one(more).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let both = format!("tls_ca = \"x\"\ntls_fingerprint = \"{colons}\"");
        assert!(one(&both).unwrap_err().contains("set either tls_ca or tls_fingerprint"));
    }

    #[test]
    fn targets_are_explained_in_their_own_terms() {
        for (text, expected) in [
            ("localhost", "write it as localhost:3000"),
            ("http://localhost:3000", "is a web address; write only host and port"),
            ("localhost:3000/", "is a web address"),
            ("localhost:0", "no service listens on port 0"),
            ("169.254.169.254:80", "no service of yours has this address"),
            ("0.0.0.0:80", "no service of yours has this address"),
        ] {
            assert!(target(text).unwrap_err().contains(expected), "{text}");
        }
        assert_eq!(target("192.168.1.9:80").unwrap().to_string(), "192.168.1.9:80");
    }

    #[test]
    fn what_only_http_has_is_refused_elsewhere() {
        let error = one("kind = \"tcp\"\nhost = \"target\"").unwrap_err();
        assert!(error.contains("are for services of kind"), "{error}");
        assert!(one("kind = \"udp\"").unwrap_err().contains("is no kind of service"));
    }
}
