//! Public fronts in the operator's words.

use std::net::SocketAddr;

use petit_engine::cause::{FrontCause, FrontUntried};
use petit_engine::proto::control::FrontState;
use petit_server::fronts::FrontNote;

/// A mark for a state.
pub(crate) fn mark(state: FrontState) -> &'static str {
    match state {
        FrontState::Passed => "✔",
        FrontState::Failed(_) => "✘",
        FrontState::Untried(_) => "?",
        FrontState::Checking => "…",
    }
}

/// A state as a line, without its mark.
pub(crate) fn said(state: FrontState) -> String {
    match state {
        FrontState::Passed => "visitors get in".to_owned(),
        FrontState::Failed(cause) => self::cause(cause).to_owned(),
        FrontState::Untried(why) => format!("not tried, because {}", untried(why)),
        FrontState::Checking => "being tried".to_owned(),
    }
}

/// As [`said`], of a front that an address belongs to.
pub(crate) fn said_of(state: FrontState, address: &str) -> String {
    let socket = address.strip_prefix("tcp://").and_then(|socket| socket.parse::<SocketAddr>().ok());
    let is_own = socket.is_some_and(|socket| socket.ip().to_canonical().is_loopback());
    if state == FrontState::Untried(FrontUntried::PrivateAddress) && is_own {
        return "not tried, because only this machine reaches it: see tcp_bind".to_owned();
    }
    said(state)
}

/// Why visitors do not get in, and what to do about it.
fn cause(cause: FrontCause) -> &'static str {
    match cause {
        FrontCause::NameNotFound => "the name has no address: add it to the DNS",
        FrontCause::ConnectionRefused => {
            "nothing listens there: check the port in endpoint, and what leads from it to this server"
        }
        FrontCause::NoTls => {
            "what answers shows no certificate: put one in place, or a proxy with one in front"
        }
        FrontCause::CertificateName => "the certificate shown is for another name",
        FrontCause::CertificateExpired => "the certificate shown has ended, or has not begun",
        FrontCause::CertificateUntrusted => {
            "the certificate shown is of an authority that visitors do not know; its chain may be missing (your own authority: ca in [server.fronts])"
        }
        FrontCause::NoAnswer => "a request is taken there and not answered",
        FrontCause::Redirected => "requests are redirected to another address",
        FrontCause::Gateway => "the proxy in front answers that it does not reach this server",
        FrontCause::OtherHost => "the proxy in front changes the Host of requests; it has to pass it on",
        FrontCause::OtherServer => {
            "another server answers, or the proxy in front does not pass on the field petit-front-probe"
        }
        FrontCause::Listener => "this server's own socket does not take requests",
    }
}

/// Why an address was not tried, as the end of a sentence.
fn untried(why: FrontUntried) -> &'static str {
    match why {
        FrontUntried::SwitchedOff => "try_public in [server.fronts] is false",
        FrontUntried::NoNameServer => "no name server answers this machine",
        FrontUntried::PrivateAddress => {
            "it leads to a private address; allow that network with private_networks in [server.fronts]"
        }
        FrontUntried::Unreachable => {
            "this machine does not reach it: a router that leads nothing back inside, or a firewall"
        }
        FrontUntried::OtherMachine => "it is the address of another machine, a router or a proxy",
        FrontUntried::NoRoots => "this machine has no authorities to judge certificates by",
        FrontUntried::Unsupported => "this version does not do that",
    }
}

/// What the config says that will keep visitors out.
pub(crate) fn note(note: &FrontNote) -> String {
    match note {
        FrontNote::NoCertificate => "addresses say https, but there is neither a certificate nor a proxy in trusted_proxies: HTTPS visitors do not get in".to_owned(),
        FrontNote::Port { said, listens, setting } => format!(
            "addresses say port {said}, but visitors come in on {setting} = {listens}: correct endpoint, or lead the one port to the other"
        ),
    }
}
