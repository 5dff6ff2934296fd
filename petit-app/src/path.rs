//! The way of a visitor to a service, in the four parts that are drawn. Each shows what is known of its hops, and
//! nothing more. Pure.

use petit_client::hops::{HopName, HopState};
use petit_client::status::{Light, ServiceStatus};

use super::contract::{Hop, HopId, StateKind, Tone};
use super::texts::Texts;

/// The parts, with the hops that each stands for.
const PARTS: [(HopId, &[HopName]); 4] = [
    (HopId::Front, &[HopName::Name, HopName::Port, HopName::Certificate, HopName::Server]),
    (HopId::Tunnel, &[HopName::Tunnel]),
    (HopId::Client, &[HopName::Client]),
    (HopId::Service, &[HopName::Service]),
];

/// How a part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartState {
    /// Something has passed all of it within the last minute of this session.
    Passed,
    /// The first hop that lets nothing through is in it.
    Broken,
    /// It is being found out.
    Trying,
    /// The server's own end is seen, what lies before it is not.
    NotTried,
    /// Nothing has been seen of it.
    NotKnown,
    /// Its owner has switched it off.
    Off,
}

impl PartState {
    fn tone(self) -> Tone {
        match self {
            Self::Passed => Tone::Good,
            Self::Broken => Tone::Bad,
            Self::Trying => Tone::Busy,
            Self::NotTried => Tone::Warn,
            Self::NotKnown | Self::Off => Tone::Off,
        }
    }

    fn said(self, texts: &Texts) -> String {
        texts.get(match self {
            Self::Passed => "hop.passed",
            Self::Broken => "hop.broken",
            Self::Trying => "hop.trying",
            Self::NotTried => "hop.not_tried",
            Self::NotKnown => "hop.not_known",
            Self::Off => "hop.off",
        })
    }
}

/// The parts of the way to a service that is switched off. `front` is what the vendor's end is called.
pub(crate) fn off(texts: &Texts, front: &str) -> Vec<Hop> {
    drawn(texts, front, |_, _| (PartState::Off, None))
}

/// The parts of the way to a service. `light` is how it is shown, which may be off before the client has said so;
/// `front` is what the vendor's end is called.
pub(crate) fn of(
    texts: &Texts,
    status: &ServiceStatus,
    light: Light,
    kind: StateKind,
    front: &str,
) -> Vec<Hop> {
    let probe = status.probe.unwrap_or_default();
    drawn(texts, front, |id, names| {
        let has = |state| status.hops.iter().any(|hop| names.contains(&hop.hop) && hop.state == state);
        let state = match light {
            Light::Off => PartState::Off,
            _ if has(HopState::Broken) => PartState::Broken,
            _ if !has(HopState::Unknown) && has(HopState::Works) => PartState::Passed,
            Light::Checking if kind == StateKind::Online || id == HopId::Tunnel => PartState::Trying,
            Light::UpToServer => PartState::NotTried,
            Light::Checking | Light::Green | Light::Red => PartState::NotKnown,
        };
        // A probe begins at the server's own front; a visitor who passed says nothing of the times.
        let took_us = match id {
            HopId::Front => probe.front_us,
            HopId::Tunnel => probe.tunnel_us,
            HopId::Client => None,
            HopId::Service => probe.service_us,
        };
        (state, took_us.filter(|_| state == PartState::Passed))
    })
}

fn drawn(
    texts: &Texts,
    front: &str,
    state: impl Fn(HopId, &[HopName]) -> (PartState, Option<u64>),
) -> Vec<Hop> {
    let hop = |(id, names)| {
        let (state, took_us) = state(id, names);
        let label = match id {
            HopId::Front => front.to_owned(),
            HopId::Tunnel => texts.get("service.hop.tunnel"),
            HopId::Client => texts.get("service.hop.client"),
            HopId::Service => texts.get("service.hop.service"),
        };
        Hop { id, label, tone: state.tone(), said: state.said(texts), took_us }
    };
    PARTS.map(hop).to_vec()
}
