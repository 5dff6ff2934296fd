//! Causes as words for the customer: what is the matter, and what to do. One place, no decisions.

use petit_engine::agent::EnrolError;
use petit_engine::cause::{Cause, FrontCause, FrontUntried, ServiceCause};
use petit_engine::name::ServiceName;
use petit_engine::proto::control::{EnrolRefusal, GrantRefusal};

use crate::client::ClientStartError;
use crate::config::KeyStore;
use crate::enrol::RegisterError;
use crate::status::{BrokenAt, Connection, KeyTrouble, is_server_only};
use crate::vault::VaultError;

/// What is the matter, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is the matter, as a sentence without its full stop.
    pub what: String,
    /// What to do; empty when there is nothing to do but wait.
    pub todo: &'static str,
}

fn words(what: impl Into<String>, todo: &'static str) -> Advice {
    Advice { what: what.into(), todo }
}

/// What to type to add a service. `wanted`: the one that is to be set up next, as far as that is known.
pub fn add_service(wanted: Option<&ServiceName>) -> String {
    let name = wanted.map_or("NAME", ServiceName::as_str);
    format!("petit-client service add {name} HOST:PORT")
}

/// Why the client is not connected.
pub fn cause(cause: Cause) -> Advice {
    match cause {
        Cause::NameNotFound => words(
            "the server's name was not found",
            "check the internet connection; if other sites work, ask the vendor whether the address is right",
        ),
        Cause::NetworkUnreachable => {
            words("this computer has no way to the server", "check the internet connection")
        }
        Cause::NoDescriptors => words(
            "Petit, or this computer, has as many files and connections open as it may",
            "close programs that are not needed; if it lasts, raise the limit of open files (ulimit -n)",
        ),
        Cause::ConnectionRefused => words(
            "the server's computer answers, but the server does not run there",
            "wait; if it lasts, tell the vendor",
        ),
        Cause::Unanswered => words(
            "the server does not answer",
            "check the internet connection; a firewall may block the way out to the server's port",
        ),
        Cause::NotPetit => words(
            "what answers is not a Petit server",
            "something between this computer and the server (a proxy, a security program) may be in the way",
        ),
        Cause::WrongServer => words(
            "what answers is not the server of the invite: its key is another one",
            "do nothing until the vendor has confirmed that its key has changed; then ask for a new invite",
        ),
        Cause::Inspected => words(
            "something on the way opens encrypted connections (a security program, or a company's firewall)",
            "have the server's address exempted from inspection there; Petit never accepts it",
        ),
        Cause::ProxyUnreachable => words(
            "the proxy that is set up was not reached",
            "check proxy in the config file, or HTTPS_PROXY and the system's settings",
        ),
        Cause::ProxyLogin => words(
            "the proxy wants a user and a password",
            "write them into the config file: proxy = \"http://USER:PASSWORD@HOST:PORT\"; Petit speaks Basic, not NTLM",
        ),
        Cause::ProxyRefused => words(
            "the proxy does not let Petit through to the server",
            "have the server's address and port allowed there",
        ),
        Cause::Classical => words(
            "the connection would not be post-quantum, though require_pq asks for that",
            "ask the vendor to update the server, or remove require_pq from the config file",
        ),
        Cause::Lost => words("the connection broke", ""),
        Cause::ServerLeaving => words("the server is being restarted", ""),
        Cause::ServerBusy => {
            words("the server has no room at the moment", "wait; if it lasts, tell the vendor")
        }
        Cause::Unknown => words(
            "the server does not know this computer (any more)",
            "ask the vendor for a new invite, then: petit-client unregister --local, petit-client register",
        ),
        Cause::InUseElsewhere => words(
            "the registration of this computer is in use on another one",
            "stop Petit on the other computer; if there is none, tell the vendor that the key was copied",
        ),
        Cause::VersionMismatch => {
            words("this Petit and the server's have no protocol in common", "install the newest Petit")
        }
        Cause::Protocol => words(
            "Petit and the server did not understand each other",
            "install the newest Petit; if it lasts, send the log to the vendor",
        ),
    }
}

/// Why a private service is not reached.
pub fn service(cause: ServiceCause) -> Advice {
    match cause {
        ServiceCause::Refused => words("nothing listens there", "start the service, or correct its target"),
        ServiceCause::Unreachable => {
            words("it cannot be reached", "check that its computer is on and in this network")
        }
        ServiceCause::NameNotFound => words("its host name is not known", "correct the service's target"),
        ServiceCause::Forbidden => words(
            "its host name leads to this computer itself, or to an address where no service is",
            "write its address instead, such as 127.0.0.1:3000",
        ),
        ServiceCause::NotTls => words(
            "it does not speak TLS, though tls is set up for it",
            "remove the tls settings of the service, or point it at the port that speaks TLS",
        ),
        ServiceCause::Untrusted => words(
            "its certificate is not trusted",
            "see whose it is with: petit-client doctor; then set tls_ca or tls_fingerprint of the service",
        ),
        ServiceCause::NoAnswer => {
            words("it takes requests and gives no answer", "look into the service's own log")
        }
        ServiceCause::NotHttp => words(
            "it answers, but not in HTTP",
            "check its target; for HTTP/2 and gRPC set kind = \"h2\", for other protocols kind = \"tcp\"",
        ),
    }
}

/// Why visitors do not get in at a public front.
pub fn front(cause: FrontCause) -> Advice {
    let what = match cause {
        FrontCause::NameNotFound => "the public address has no entry in the DNS",
        FrontCause::ConnectionRefused => "nothing listens at the public address and port",
        FrontCause::NoTls => "what answers at the public address shows no certificate",
        FrontCause::CertificateName => "the certificate at the public address is another name's",
        FrontCause::CertificateExpired => "the certificate at the public address is out of date",
        FrontCause::CertificateUntrusted => {
            "the certificate at the public address is of an authority that visitors do not know"
        }
        FrontCause::NoAnswer => "the public address takes a request and does not answer it",
        FrontCause::Redirected => "the public address leads visitors to another one",
        FrontCause::Gateway => "what stands before the server at the public address does not reach it",
        FrontCause::OtherHost => {
            "what stands before the server at the public address changes the host of requests"
        }
        FrontCause::OtherServer => "another server answers at the public address",
        FrontCause::Listener => "the server's public side does not let visitors in",
    };
    words(what, "tell the vendor")
}

/// Why the public address `url` was not tried, as the end of a sentence.
pub fn untried(why: FrontUntried, url: &str) -> &'static str {
    match why {
        FrontUntried::PrivateAddress if is_server_only(url) => {
            "only programs on the server's own machine reach it"
        }
        FrontUntried::SwitchedOff => "the vendor has switched that off",
        FrontUntried::NoNameServer => "the server's name servers do not answer",
        FrontUntried::PrivateAddress => "its name leads to a private address",
        FrontUntried::Unreachable => "the server does not reach it from where it stands",
        FrontUntried::OtherMachine => "it is that of another machine in front of the server",
        FrontUntried::NoRoots => "the server knows no authority to judge certificates by",
        FrontUntried::Unsupported => "the server is of a version that does not do that",
    }
}

/// The first broken hop.
pub fn broken(at: BrokenAt) -> Advice {
    match at {
        BrokenAt::Registration => words("this computer is not registered", "petit-client register"),
        BrokenAt::Front(cause) => front(cause),
        BrokenAt::Connection(cause) => self::cause(cause),
        BrokenAt::Server(refusal) => match refusal {
            GrantRefusal::TooMany => words(
                "the server allows no further service for this computer",
                "give up the address of another one with: petit-client unregister --service NAME; or ask the vendor for more",
            ),
            GrantRefusal::NoPort => {
                words("the server has no port for this TCP service", "ask the vendor to provide one")
            }
            GrantRefusal::StoreFailed => {
                words("the server could not write the service down", "wait; if it lasts, tell the vendor")
            }
            GrantRefusal::PortBusy => words(
                "the service's port at the server cannot be had at the moment",
                "wait, as while the server is being restarted; if it lasts, tell the vendor",
            ),
        },
        BrokenAt::Client => words("server and client do not agree on what is offered", "petit-client reload"),
        BrokenAt::Tunnel => words("nothing comes through the tunnel", ""),
        BrokenAt::Service(cause) => service(cause),
    }
}

/// Where the connection stands, as a line.
pub fn connection(connection: &Connection) -> String {
    match connection {
        Connection::Unregistered => "not registered".to_owned(),
        Connection::Off => "switched off".to_owned(),
        Connection::NoKey { trouble } => key(*trouble).what,
        Connection::Connecting => "connecting".to_owned(),
        Connection::Online { .. } => "connected".to_owned(),
        Connection::Waiting { cause, retry_in_ms } => {
            let seconds = retry_in_ms.div_ceil(1000);
            format!("not connected: {}; trying again in {seconds} s", self::cause(*cause).what)
        }
        Connection::Stopped { cause } => format!("stopped: {}", self::cause(*cause).what),
    }
}

/// What to do about the connection; empty when there is nothing to do but wait.
pub fn connection_todo(connection: &Connection) -> &'static str {
    match connection {
        Connection::Waiting { cause, .. } | Connection::Stopped { cause } => self::cause(*cause).todo,
        Connection::NoKey { trouble } => key(*trouble).todo,
        Connection::Unregistered => "petit-client register",
        Connection::Off | Connection::Connecting | Connection::Online { .. } => "",
    }
}

/// What to do when the key of this computer is gone.
const KEY_GONE: &str =
    "put it back from a backup, or register again: petit-client unregister --local, petit-client register";

/// Why an invite did not lead to a registration.
pub fn register(error: &RegisterError) -> Advice {
    match error {
        RegisterError::Registered(_) => words(
            error.to_string(),
            "to add a service: petit-client service add NAME HOST:PORT; for another vendor: petit-client register --replace",
        ),
        RegisterError::OtherServer { .. } => {
            words(error.to_string(), "use the right invite, or correct host in the config file")
        }
        RegisterError::Enrol(error) => enrol(error),
        RegisterError::Vault(error) => vault(error),
        RegisterError::Key(_) => words(error.to_string(), "try again"),
        RegisterError::KeyGone(_) => words(error.to_string(), KEY_GONE),
        RegisterError::Registration(_) => words(error.to_string(), "check the folder's rights and the disk"),
    }
}

fn enrol(error: &EnrolError) -> Advice {
    let refusal = match error {
        EnrolError::Refused { refusal, .. } => *refusal,
        EnrolError::NoAnswer { .. } => {
            return words(
                "the connection broke before the server had answered",
                "try again with the same invite",
            );
        }
        EnrolError::BadAnswer { .. } => {
            return words(
                "the server has answered with something that this Petit does not understand",
                "install the newest Petit and try again with the same invite; if it lasts, tell the vendor",
            );
        }
        EnrolError::Dial(dial) => {
            let Advice { what, todo } = cause(dial.cause());
            return words(format!("{what} ({dial})"), todo);
        }
        EnrolError::Key(_) => return words(error.to_string(), "try again"),
    };
    match refusal {
        EnrolRefusal::Invalid => {
            words("the server does not know this invite", "ask the vendor for a new one")
        }
        EnrolRefusal::Expired => words("this invite has expired", "ask the vendor for a new one"),
        EnrolRefusal::Used => words(
            "this invite was used by another computer",
            "ask the vendor for a new one; if nobody you know used it, tell them so",
        ),
        EnrolRefusal::Withdrawn => words("this invite was withdrawn", "ask the vendor for a new one"),
        EnrolRefusal::Revoked => {
            words("the key of this computer was revoked", "ask the vendor for a new invite")
        }
        EnrolRefusal::StoreFailed => words(
            "the server could not write the registration down",
            "try again with the same invite; if it lasts, tell the vendor",
        ),
        EnrolRefusal::Busy => words("the server is busy", "try again in a minute with the same invite"),
        EnrolRefusal::Protocol => {
            words("the server did not understand this Petit", "install the newest Petit")
        }
    }
}

/// Why the key of this computer is out of reach.
pub fn vault(error: &VaultError) -> Advice {
    match error {
        VaultError::NoKeychain => words(
            error.to_string(),
            "start it; on a machine without one, keep the key in a file: petit-client register --key-store file",
        ),
        VaultError::Locked => words(error.to_string(), "unlock it and try again"),
        VaultError::Denied => words(error.to_string(), "try again and allow it"),
        VaultError::Unanswered(_) => words(error.to_string(), "answer its question and try again"),
        VaultError::Failed(_) => words(error.to_string(), "look into the keychain's own program"),
        VaultError::File(_) => words(petit_host::cli::chain(error), ""),
        VaultError::NotAKey(_) => {
            words(error.to_string(), "register again: petit-client unregister --local, petit-client register")
        }
    }
}

/// Why the key of this computer cannot be had, as a running client tells it.
pub fn key(trouble: KeyTrouble) -> Advice {
    match trouble {
        KeyTrouble::Asked => words("the keychain is being asked for the key of this computer", ""),
        KeyTrouble::Missing => vault(&VaultError::NoKeychain),
        KeyTrouble::Locked => vault(&VaultError::Locked),
        KeyTrouble::Denied => vault(&VaultError::Denied),
        KeyTrouble::Unanswered => vault(&VaultError::Unanswered(crate::vault::KEYCHAIN_LIMIT)),
        KeyTrouble::Gone => {
            words("the key of this computer is gone; without it the registration cannot be used", KEY_GONE)
        }
        KeyTrouble::Failed => words("the key of this computer cannot be read", "petit-client doctor"),
    }
}

/// Why there is no client running.
pub fn start(error: &ClientStartError) -> Advice {
    match error {
        ClientStartError::Registration(_) => words(petit_host::cli::chain(error), ""),
        ClientStartError::Vault(error) => vault(error),
        ClientStartError::KeyGone(KeyStore::Keychain | KeyStore::File) => words(error.to_string(), KEY_GONE),
        ClientStartError::Key(_) => words(
            petit_host::cli::chain(error),
            "register again: petit-client unregister --local, petit-client register",
        ),
    }
}
