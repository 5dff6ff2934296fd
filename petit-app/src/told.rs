//! Who the vendor is, what of this computer it reaches, and what it learns besides: the sentences that people agree to.
//! Pure.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use petit_client::SOFTWARE;
use petit_client::config::Config;
use petit_client::consent::{ChosenFor, KeptService};
use petit_client::enrol;
use petit_client::registering::Prospect;
use petit_engine::name::{ServerAddr, VendorName};
use petit_engine::proto::control::Admits;
use petit_engine::secret::Fingerprint;

use super::contract::{Fact, Invite, Kept, Service};
use super::texts::Texts;

/// What an invite says, to somebody who has these settings and is registered in this way.
pub(crate) fn invite(texts: &Texts, prospect: &Prospect, now: SystemTime) -> Invite {
    let (invite, config) = (prospect.invite(), prospect.config());
    let pin = invite.pins.first();
    let vendor = whom(invite.vendor.as_ref(), &invite.server);
    // With its own invite again a registration goes on: what is shared stays shared, and nothing is replaced.
    let resumed = prospect.resumes();
    let is_asked = |kept: &KeptService| resumed.is_none_or(|known| known.withheld.contains(&kept.name));
    let kept = prospect.kept().into_iter().filter(is_asked).map(|kept| Kept {
        name: kept.name.to_string(),
        kind: kept.kind,
        target: kept.target.to_string(),
        chosen: kept.chosen_for == ChosenFor::ThisServer,
    });
    let exposes = if config.services.is_empty() { "invite.exposes" } else { "invite.exposes.kept" };
    Invite {
        server: invite.server.to_string(),
        vendor: invite.vendor.as_ref().map(ToString::to_string),
        server_words: pin.map(Fingerprint::words).unwrap_or_default(),
        fingerprint: pin.map(ToString::to_string).unwrap_or_default(),
        not_after: invite.not_after.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        expired: invite.not_after < now,
        replaces: prospect.replaces().map(|known| whom(known.vendor.as_ref(), &known.server)),
        exposes: texts.fill(exposes, &[("vendor", &vendor)]),
        kept: kept.collect(),
        told: learns(texts, config),
    }
}

/// A vendor by the name that it gives itself, and the host that it is. Never the name alone: nobody has checked it.
pub(crate) fn whom(vendor: Option<&VendorName>, server: &ServerAddr) -> String {
    match vendor {
        Some(vendor) => format!("{vendor} ({})", server.host()),
        None => server.host().to_owned(),
    }
}

/// True when a target is this computer itself, and not another one in its network.
pub(crate) fn is_here(target: &str) -> bool {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
    is_loopback
        || host == "localhost"
        || host.ends_with(".localhost")
        || host == enrol::host_name().to_ascii_lowercase()
}

/// Who reaches what. `admits`: [`Admits::Anyone`] where that is so of one service at least; `None` where nobody has said
/// it of each.
pub(crate) fn reaches(texts: &Texts, vendor: &str, targets: &[&str], admits: Option<Admits>) -> String {
    let key = match admits {
        Some(Admits::Chosen) => "state.online.detail",
        Some(Admits::Anyone) => "state.online.detail.open",
        // Of a service that lets nobody in, its own reason is said.
        Some(Admits::Nobody) | None => "state.online.detail.unsaid",
    };
    let count = targets.len().to_string();
    let service = targets.first().copied().unwrap_or_default();
    let values = [("vendor", vendor), ("service", service), ("count", &count)];
    match targets {
        [] => texts.fill("state.online.detail.empty", &values),
        [one] if is_here(one) => texts.fill(key, &values),
        [_] => texts.fill(&format!("{key}.elsewhere"), &values),
        // Who knows an address may reach some of them only, so nothing is said of whom.
        _ if admits != Some(Admits::Chosen) => texts.fill("state.online.detail.open.many", &values),
        _ => texts.fill(&format!("{key}.many"), &values),
    }
}

/// The same in a few words, for a vendor by its name alone.
pub(crate) fn fact(texts: &Texts, vendor: &str, services: &[Service]) -> String {
    let (vendor, count) = (("vendor", vendor), services.len().to_string());
    match services {
        [] => String::new(),
        [one] => texts.fill("state.online.fact", &[vendor, ("service", &one.name)]),
        [one, two] => {
            texts.fill("state.online.fact.two", &[vendor, ("service", &one.name), ("other", &two.name)])
        }
        _ => texts.fill("state.online.fact.many", &[vendor, ("count", &count)]),
    }
}

/// What the vendor is told of this computer as soon as it is connected.
pub(crate) fn learns(texts: &Texts, config: &Config) -> Vec<Fact> {
    let fact = |label: &str, value: String| Fact { label: texts.get(&format!("told.{label}")), value };
    let vitae = enrol::vitae(config);
    let known = |name: &str| {
        vitae.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value.as_str().to_owned())
    };
    let system = [known("platform"), known("arch")].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let mut facts = vec![
        fact("name", enrol::device_name(config)),
        fact("hostname", known("hostname").unwrap_or_default()),
        fact("system", system),
        fact("software", SOFTWARE.to_owned()),
        fact("address", texts.get("told.address.value")),
        fact("times", texts.get("told.times.value")),
        fact("traffic", texts.get("told.traffic.value")),
    ];
    let is_own = |key: &str| !matches!(key, "hostname" | "platform" | "arch");
    let others = vitae.iter().filter(|(key, _)| is_own(key.as_str()));
    facts.extend(others.map(|(key, value)| Fact { label: key.to_string(), value: value.to_string() }));
    facts.retain(|fact| !fact.value.is_empty());
    facts
}

#[cfg(test)]
mod tests {
    use petit_client::config::KeyStore;
    use petit_client::registration::{Known, Pending, Registration};

    use super::*;

    #[test]
    fn a_name_never_stands_without_the_host_that_was_pinned() {
        let server: ServerAddr = "tunnel.example.com:8453".parse().unwrap();
        let name: VendorName = "Nordlicht".parse().unwrap();
        assert_eq!(whom(Some(&name), &server), "Nordlicht (tunnel.example.com)");
        assert_eq!(whom(None, &server), "tunnel.example.com");
    }

    #[test]
    fn with_its_own_invite_again_nothing_is_replaced_and_what_is_shared_is_not_asked_about() {
        let invite = petit_engine::invite::Invite {
            server: "tunnel.example.com:8453".parse().unwrap(),
            pins: vec![Fingerprint([1; 32])],
            id: petit_engine::secret::InviteId([2; 16]),
            secret: petit_engine::secret::InviteSecret::from_bytes([3; 32]),
            not_after: UNIX_EPOCH,
            vendor: None,
        };
        let device = petit_engine::name::DeviceId::random().unwrap();
        let pending = Pending { key: Fingerprint([4; 32]), key_store: KeyStore::File };
        let mut registration = Registration::new(&invite, device, "web".parse().unwrap(), &pending);
        registration.withheld.insert("db".parse().unwrap());
        let text = "[[client.service]]\nname = \"web\"\ntarget = \"localhost:1\"\n\
            [[client.service]]\nname = \"db\"\ntarget = \"localhost:2\"";
        let (config, _) = petit_client::config::parse(std::path::Path::new("c"), text).unwrap();
        let known = Known { in_force: Some(registration), ..Known::default() };
        let said = |invite: &petit_engine::invite::Invite| {
            let text = invite.to_link();
            let prospect = Prospect::new(text, invite.clone(), config.clone(), known.clone());
            let said = super::invite(&Texts::of("en"), &prospect, SystemTime::now());
            let kept: Vec<String> = said.kept.into_iter().map(|kept| kept.name).collect();
            (said.replaces, kept.join(" "))
        };
        assert_eq!(said(&invite), (None, "db".to_owned()));
        let other = petit_engine::invite::Invite { id: petit_engine::secret::InviteId([9; 16]), ..invite };
        assert_eq!(said(&other), (Some("tunnel.example.com".to_owned()), "web db".to_owned()));
    }

    #[test]
    fn another_computer_is_not_this_one() {
        for here in ["localhost:1", "127.0.0.9:80", "[::1]:5432", "app.localhost:3", "[::ffff:127.0.0.1]:1"] {
            assert!(is_here(here), "{here}");
        }
        assert!(is_here(&format!("{}:1", enrol::host_name())));
        for there in ["nas.local:5432", "192.168.1.9:80", "[fd00::1]:1", "localhost.example:1"] {
            assert!(!is_here(there), "{there}");
        }
        let texts = Texts::of("en");
        assert!(reaches(&texts, "v", &["localhost:1"], Some(Admits::Chosen)).contains("on this computer"));
        assert!(!reaches(&texts, "v", &["nas.local:1"], Some(Admits::Chosen)).contains("on this computer"));
    }

    #[test]
    fn all_that_is_told_to_the_vendor_is_listed() {
        let config = Config {
            device_name: Some(petit_engine::proto::control::Text::lossy("Front desk")),
            vitae: [(
                petit_engine::proto::control::Text::lossy("brand"),
                petit_engine::proto::control::Text::lossy("acme"),
            )]
            .into(),
            ..Config::default()
        };
        let facts = learns(&Texts::of("en"), &config);
        let values: Vec<&str> = facts.iter().map(|fact| fact.value.as_str()).collect();
        assert!(values.contains(&"Front desk") && values.contains(&SOFTWARE));
        for (_, sent) in enrol::vitae(&config) {
            assert!(values.iter().any(|value| value.contains(sent.as_str())), "{sent} in {values:?}");
        }
    }
}
