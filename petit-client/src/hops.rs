//! The way from a visitor to a service, hop by hop: what is proved of each, and nothing that is guessed. Pure.

#![warn(clippy::wildcard_enum_match_arm, reason = "what follows from each case is decided here, one by one")]

use petit_engine::cause::FrontCause;
use petit_engine::proto::control::FrontState;
use serde::{Deserialize, Serialize};

use crate::broken::BrokenAt;

/// A hop and how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    pub hop: HopName,
    /// How it is.
    pub state: HopState,
}

/// The hops in the order in which a visitor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HopName {
    /// The public name has an address.
    Name,
    /// Something listens there.
    Port,
    /// It shows a certificate for the name that visitors trust.
    Certificate,
    /// It is the server, or leads to it.
    Server,
    /// The connection between server and client.
    Tunnel,
    /// The client, which offers the service.
    Client,
    /// The private service.
    Service,
}

/// How a hop is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HopState {
    /// Something has passed it.
    Works,
    /// Nothing passes it.
    Broken,
    /// It is not known.
    #[default]
    Unknown,
}

/// What the hops follow from.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Its public address says https.
    pub is_https: bool,
    /// There is a session with the server.
    pub is_online: bool,
    /// What the server has said of its public front, in this session.
    pub front: FrontState,
    /// Something has passed from the server's own front to the service, in this session and within the last minute.
    pub is_proved: bool,
    /// The first hop that is known to be broken.
    pub broken: Option<BrokenAt>,
}

/// The hops of a service's way.
pub fn hops(facts: Facts) -> Vec<Hop> {
    let names = [HopName::Name, HopName::Port, HopName::Certificate, HopName::Server]
        .into_iter()
        .filter(|name| *name != HopName::Certificate || facts.is_https)
        .chain([HopName::Tunnel, HopName::Client, HopName::Service]);
    let state = |hop| match hop {
        HopName::Name | HopName::Port | HopName::Certificate | HopName::Server => outer(facts, hop),
        HopName::Tunnel | HopName::Client | HopName::Service => inner(facts, hop),
    };
    names.map(|hop| Hop { hop, state: state(hop) }).collect()
}

/// What lies before the server's own front.
fn outer(facts: Facts, hop: HopName) -> HopState {
    if facts.broken == Some(BrokenAt::Shut) {
        // The host's name is that of every raw TCP service.
        let is_found = hop == HopName::Name && facts.front == FrontState::Passed;
        return if is_found { HopState::Works } else { shut(hop) };
    }
    match facts.front {
        FrontState::Passed => HopState::Works,
        FrontState::Failed(FrontCause::Listener) if hop != HopName::Server => HopState::Unknown,
        FrontState::Failed(cause) => relative(hop, at(cause)),
        // What was tried begins at the server.
        FrontState::Untried(_) if facts.is_proved && hop == HopName::Server => HopState::Works,
        FrontState::Untried(_) | FrontState::Checking => HopState::Unknown,
    }
}

/// What lies before a port that is not listened on.
fn shut(hop: HopName) -> HopState {
    if hop == HopName::Port { HopState::Broken } else { HopState::Unknown }
}

/// What lies behind it.
fn inner(facts: Facts, hop: HopName) -> HopState {
    if !facts.is_online {
        let lost = matches!(facts.broken, Some(BrokenAt::Connection(_) | BrokenAt::Registration));
        return if lost && hop == HopName::Tunnel { HopState::Broken } else { HopState::Unknown };
    }
    match facts.broken {
        Some(BrokenAt::Connection(_) | BrokenAt::Registration | BrokenAt::Tunnel) => {
            relative(hop, HopName::Tunnel)
        }
        Some(BrokenAt::Server(_) | BrokenAt::Client) => relative(hop, HopName::Client),
        Some(BrokenAt::Service(_)) => relative(hop, HopName::Service),
        Some(BrokenAt::Front(_) | BrokenAt::Shut) | None if facts.is_proved || hop == HopName::Tunnel => {
            HopState::Works
        }
        Some(BrokenAt::Front(_) | BrokenAt::Shut) | None => HopState::Unknown,
    }
}

/// Where a front that is broken for this cause ends.
fn at(cause: FrontCause) -> HopName {
    match cause {
        FrontCause::NameNotFound => HopName::Name,
        FrontCause::ConnectionRefused => HopName::Port,
        FrontCause::NoTls
        | FrontCause::CertificateName
        | FrontCause::CertificateExpired
        | FrontCause::CertificateUntrusted => HopName::Certificate,
        FrontCause::NoAnswer
        | FrontCause::Redirected
        | FrontCause::Gateway
        | FrontCause::OtherHost
        | FrontCause::OtherServer
        | FrontCause::Listener => HopName::Server,
    }
}

/// What has been passed before the one that is broken works; nobody has seen what lies behind it.
fn relative(hop: HopName, broken: HopName) -> HopState {
    match hop.cmp(&broken) {
        std::cmp::Ordering::Less => HopState::Works,
        std::cmp::Ordering::Equal => HopState::Broken,
        std::cmp::Ordering::Greater => HopState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use petit_engine::cause::{Cause, FrontUntried, ServiceCause};

    use super::*;

    const GOOD: Facts =
        Facts { is_https: true, is_online: true, front: FrontState::Passed, is_proved: true, broken: None };

    /// One letter for each hop: `w`orks, `b`roken, `?`.
    fn letters(facts: Facts) -> String {
        let letter = |hop: Hop| match hop.state {
            HopState::Works => 'w',
            HopState::Broken => 'b',
            HopState::Unknown => '?',
        };
        hops(facts).into_iter().map(letter).collect()
    }

    #[test]
    fn every_hop_that_works_was_passed_and_none_behind_a_broken_one_is_known() {
        assert_eq!(letters(GOOD), "wwwwwww");
        assert_eq!(letters(Facts { is_https: false, ..GOOD }), "wwwwww", "no certificate without TLS");
        for (cause, expected) in [
            (FrontCause::NameNotFound, "b???www"),
            (FrontCause::ConnectionRefused, "wb??www"),
            (FrontCause::CertificateExpired, "wwb?www"),
            (FrontCause::NoTls, "wwb?www"),
            (FrontCause::Gateway, "wwwbwww"),
            (FrontCause::Listener, "???bwww"),
        ] {
            let broken = Some(BrokenAt::Front(cause));
            assert_eq!(
                letters(Facts { front: FrontState::Failed(cause), broken, ..GOOD }),
                expected,
                "{cause:?}"
            );
        }
        let shut = Facts { is_https: false, broken: Some(BrokenAt::Shut), is_proved: false, ..GOOD };
        assert_eq!(letters(shut), "wb?w??");
        assert_eq!(letters(Facts { front: FrontState::Checking, ..shut }), "?b?w??");
        let service = Some(BrokenAt::Service(ServiceCause::Refused));
        assert_eq!(letters(Facts { broken: service, is_proved: false, ..GOOD }), "wwwwwwb");
        let front = FrontState::Failed(FrontCause::NoTls);
        assert_eq!(
            letters(Facts { broken: service, is_proved: false, front, ..GOOD }),
            "wwb?wwb",
            "both are told"
        );
        assert_eq!(letters(Facts { broken: Some(BrokenAt::Tunnel), is_proved: false, ..GOOD }), "wwwwb??");
        assert_eq!(letters(Facts { broken: Some(BrokenAt::Client), is_proved: false, ..GOOD }), "wwwwwb?");
    }

    #[test]
    fn without_a_connection_nothing_is_known_of_the_server() {
        let lost = Facts {
            is_online: false,
            front: FrontState::Checking,
            is_proved: false,
            broken: Some(BrokenAt::Connection(Cause::ConnectionRefused)),
            ..GOOD
        };
        assert_eq!(letters(lost), "????b??");
        assert_eq!(letters(Facts { broken: None, ..lost }), "???????", "switched off");
    }

    #[test]
    fn where_the_public_address_is_not_tried_the_way_begins_at_the_server() {
        let untried = Facts { front: FrontState::Untried(FrontUntried::Unreachable), ..GOOD };
        assert_eq!(letters(untried), "???wwww");
        assert_eq!(letters(Facts { is_proved: false, ..untried }), "????w??");
    }
}
