//! What a vendor may reach is what was chosen for that vendor.
//!
//! The config file says which services there are. A registration adds which of them are *withheld* from its vendor:
//! those that were set up before it and were not chosen for it. What is added to the file later was added for the
//! vendor that there is, and is offered at once. Pure: files in, names out.

use std::collections::BTreeSet;

use petit_engine::agent::ServiceSpec;
use petit_engine::name::{ServerAddr, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_engine::secret::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::registration::{Chosen, Known, Registration};

/// A service that is set up before its computer is registered with the server of an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptService {
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is.
    pub target: ServerAddr,
    /// For whom it was chosen.
    pub chosen_for: ChosenFor,
}

/// For whom a service was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenFor {
    /// For the server of the invite: it reached the service before.
    ThisServer,
    /// For another server, or for none that is known.
    Another,
    /// It was set up while this computer was registered nowhere: for whoever comes.
    WhoeverComes,
}

/// A service that its vendor does not reach, because it was not chosen for that vendor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is.
    pub target: ServerAddr,
}

impl Chosen {
    /// What is to be remembered; `config` is `None` when it cannot be read.
    pub fn of(registration: &Registration, config: Option<&Config>) -> Self {
        let names = |config| registration.shared(config).into_iter().map(|spec| spec.name).collect();
        Self {
            pins: registration.pins.clone(),
            shared: config.map(names),
            withheld: registration.withheld.clone(),
            service: registration.service.clone(),
        }
    }
}

/// The services that the config holds already, with for whom they were chosen, seen from the server with one of
/// `pins`.
pub fn kept(config: &Config, pins: &[Fingerprint], known: &Known) -> Vec<KeptService> {
    let by_server = |known: &[Fingerprint]| {
        let is_same = known.iter().any(|pin| pins.contains(pin));
        if is_same { ChosenFor::ThisServer } else { ChosenFor::Another }
    };
    let chosen_for = |name: &ServiceName| match (&known.in_force, &known.chosen) {
        (Some(known), _) if known.withheld.contains(name) => ChosenFor::Another,
        (Some(known), _) => by_server(&known.pins),
        (None, _) if known.is_damaged => ChosenFor::Another,
        (None, None) => ChosenFor::WhoeverComes,
        (None, Some(chosen)) => match &chosen.shared {
            None => ChosenFor::Another,
            Some(shared) if shared.contains(name) => by_server(&chosen.pins),
            Some(_) if chosen.withheld.contains(name) => ChosenFor::Another,
            Some(_) => ChosenFor::WhoeverComes,
        },
    };
    let kept = |spec: ServiceSpec| KeptService {
        chosen_for: chosen_for(&spec.name),
        name: spec.name,
        kind: spec.kind,
        target: spec.target,
    };
    config.specs(&known.first_service()).into_iter().map(kept).collect()
}

/// The services of the config that a new registration withholds: all but those named in `share`, which are the names
/// that [`kept`] has told. The original's `[client.local]` is called `service` from now on.
pub(crate) fn withheld(
    config: &Config,
    share: &BTreeSet<ServiceName>,
    known: &Known,
    service: &ServiceName,
) -> BTreeSet<ServiceName> {
    let told = config.specs(&known.first_service());
    let new = config.specs(service);
    let pairs = told.into_iter().zip(new);
    pairs.filter(|(told, _)| !share.contains(&told.name)).map(|(_, new)| new.name).collect()
}

impl Registration {
    /// The services of the config that are offered to the vendor.
    pub fn shared(&self, config: &Config) -> Vec<ServiceSpec> {
        let mut specs = config.specs(&self.service);
        specs.retain(|spec| !self.withheld.contains(&spec.name));
        specs
    }

    /// The services of the config that are not.
    pub fn withheld(&self, config: &Config) -> Vec<Withheld> {
        let specs = config.specs(&self.service).into_iter();
        let withheld = specs.filter(|spec| self.withheld.contains(&spec.name));
        withheld.map(|spec| Withheld { name: spec.name, kind: spec.kind, target: spec.target }).collect()
    }

    /// Forgets what was withheld and is not in the config any more: a service that is added under such a name later
    /// is a new one. True when there was something to forget.
    pub(crate) fn prune(&mut self, config: &Config) -> bool {
        let before = self.withheld.len();
        let names: BTreeSet<ServiceName> =
            config.specs(&self.service).into_iter().map(|spec| spec.name).collect();
        self.withheld.retain(|name| names.contains(name));
        self.withheld.len() != before
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use petit_engine::name::DeviceId;

    use super::*;
    use crate::config::{self, KeyStore};

    fn config(services: &str) -> Config {
        let text: String = services
            .split_whitespace()
            .map(|name| format!("[[client.service]]\nname = \"{name}\"\ntarget = \"localhost:1\"\n"))
            .collect();
        config::parse(Path::new("c"), &text).unwrap().0
    }

    fn names(text: &str) -> BTreeSet<ServiceName> {
        text.split_whitespace().map(|name| name.parse().unwrap()).collect()
    }

    const OURS: Fingerprint = Fingerprint([1; 32]);
    const OTHER: Fingerprint = Fingerprint([2; 32]);

    fn registration(withheld: &str) -> Registration {
        Registration {
            server: "tunnel.example.com:8453".parse().unwrap(),
            pins: vec![Fingerprint([9; 32]), OURS],
            device: DeviceId::random().unwrap(),
            key: Fingerprint([7; 32]),
            key_store: KeyStore::File,
            service: ServiceName::first(),
            vendor: None,
            invite: None,
            since: None,
            withheld: names(withheld),
        }
    }

    fn chosen(kept: &[KeptService]) -> Vec<(&str, ChosenFor)> {
        kept.iter().map(|kept| (kept.name.as_str(), kept.chosen_for)).collect()
    }

    #[test]
    fn what_was_chosen_for_one_server_was_not_chosen_for_another() {
        use ChosenFor::{Another, ThisServer};
        let config = config("web db");
        let known = Known { in_force: Some(registration("db")), ..Known::default() };
        let same = kept(&config, &[OURS], &known);
        assert_eq!(chosen(&same), [("web", ThisServer), ("db", Another)], "it was withheld from it");
        let other = kept(&config, &[OTHER], &known);
        assert_eq!(chosen(&other), [("web", Another), ("db", Another)]);
    }

    #[test]
    fn what_was_shared_is_remembered_when_the_registration_is_not() {
        use ChosenFor::{Another, ThisServer, WhoeverComes};
        let remembered = Chosen::of(&registration("db"), Some(&config("web db")));
        let mut known = Known { chosen: Some(remembered), ..Known::default() };
        let config = config("web db new");
        let same = kept(&config, &[OURS], &known);
        assert_eq!(chosen(&same), [("web", ThisServer), ("db", Another), ("new", WhoeverComes)]);
        let other = kept(&config, &[OTHER], &known);
        assert_eq!(chosen(&other), [("web", Another), ("db", Another), ("new", WhoeverComes)]);
        known.chosen.as_mut().unwrap().shared = None;
        let unknown = kept(&config, &[OURS], &known);
        assert_eq!(chosen(&unknown), [("web", Another), ("db", Another), ("new", Another)]);
        let damaged = Known { is_damaged: true, ..Known::default() };
        assert_eq!(chosen(&kept(&config, &[OURS], &damaged))[0], ("web", Another));
        assert_eq!(chosen(&kept(&config, &[OURS], &Known::default()))[0], ("web", WhoeverComes));
    }

    #[test]
    fn what_was_not_chosen_is_withheld_whatever_it_is_called_now() {
        let config = config::parse(
            Path::new("c"),
            "[client.local]\nport = 1\n[[client.service]]\nname = \"db\"\ntarget = \"localhost:2\"",
        )
        .unwrap()
        .0;
        let service: ServiceName = "accounts".parse().unwrap();
        let withheld = |share: &str| withheld(&config, &names(share), &Known::default(), &service);
        assert_eq!(withheld(""), names("accounts db"));
        assert_eq!(withheld("web"), names("db"));
        assert_eq!(withheld("web db"), names(""));
    }

    #[test]
    fn what_is_added_later_is_offered_and_a_removed_name_is_free() {
        let mut known = registration("db");
        let shared = |known: &Registration, config: &Config| -> Vec<String> {
            known.shared(config).iter().map(|spec| spec.name.to_string()).collect()
        };
        assert_eq!(shared(&known, &config("web db new")), ["web", "new"]);
        assert_eq!(known.withheld(&config("web db new"))[0].name.as_str(), "db");
        assert!(!known.prune(&config("web db")));
        assert!(known.prune(&config("web")));
        assert_eq!(shared(&known, &config("web db")), ["web", "db"]);
    }
}
