//! `[[policy]]`: what is asked of visitors, in the config file.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use petit_engine::name::{PolicyName, VisitorKeyName};
use petit_host::toml_file::{self, Fault, Table, TomlError, ValueKind};
use petit_relay::policy::AddressList;
use serde::{Deserialize, Deserializer, de};

use super::values::{key, parse_body_size};
use crate::registry::{
    Enforcement, FileConflict, LIST_MAX, LimitPer, Policy, PolicyPart, PolicyTarget, file_conflicts,
};

/// The table's name.
pub(super) const POLICY_TABLE: &str = "policy";

pub(super) const POLICY: Table = Table(&[
    key("name", ValueKind::Value),
    key("services", ValueKind::Value),
    key("from", ValueKind::Value),
    key("keys", ValueKind::Value),
    key("rate", ValueKind::Value),
    key("burst", ValueKind::Value),
    key("concurrent", ValueKind::Value),
    key("per", ValueKind::Value),
    key("max_body", ValueKind::Value),
    key("enforce", ValueKind::Value),
]);

/// The policies of the file, and where they stand in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilePolicies {
    pub list: Arc<[Policy]>,
    /// Line and column of the name, the services and the keys of each.
    places: Vec<[(usize, usize); 3]>,
}

impl FilePolicies {
    pub(super) fn new(list: Vec<Policy>, text: &str) -> Self {
        let place = |number: usize, part: PolicyPart| {
            toml_file::place_in_list(text, POLICY_TABLE, number, key_of(part)).unwrap_or((1, 1))
        };
        let of = |number: usize| {
            [PolicyPart::Name, PolicyPart::Services, PolicyPart::Keys].map(|part| place(number, part))
        };
        let places = (0..list.len()).map(of).collect();
        Self { list: list.into(), places }
    }

    /// Where one has no name of its own, or names what another one names; of that, the first of each.
    pub(super) fn conflicts(&self) -> Vec<FileConflict> {
        let mut found = file_conflicts(&self.list, &[], |_| true, |_| None);
        let is_overlap = |found: &FileConflict| found.part == PolicyPart::Services;
        found.dedup_by(|one, before| is_overlap(one) && is_overlap(before) && one.place == before.place);
        found
    }

    /// A conflict, with the place that it is about.
    pub fn error(&self, path: &Path, found: &FileConflict) -> TomlError {
        let places = self.places.get(found.place).copied().unwrap_or([(1, 1); 3]);
        let [name, services, keys] = places;
        let (line, column) = match found.part {
            PolicyPart::Name => name,
            PolicyPart::Services => services,
            PolicyPart::Keys => keys,
        };
        let message = found.conflict.to_string();
        TomlError { path: path.to_owned(), line, column, message, fault: Box::new(Fault::Value) }
    }
}

fn key_of(part: PolicyPart) -> &'static str {
    match part {
        PolicyPart::Name => "name",
        PolicyPart::Services => "services",
        PolicyPart::Keys => "keys",
    }
}

/// A `[[policy]]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyForm {
    name: PolicyName,
    services: List<PolicyTarget>,
    from: Option<Networks>,
    keys: Option<List<VisitorKeyName>>,
    rate: Option<NonZeroU32>,
    burst: Option<NonZeroU32>,
    concurrent: Option<NonZeroU32>,
    #[serde(default)]
    per: LimitPer,
    max_body: Option<BodySize>,
    enforce: Option<bool>,
}

impl PolicyForm {
    pub(super) fn check(self) -> Policy {
        let Self { name, services, from, keys, rate, burst, concurrent, per, max_body, enforce } = self;
        Policy {
            name,
            services: services.0,
            from: from.map(|Networks(list)| list.networks().to_vec()),
            keys: keys.map(|keys| keys.0),
            rate,
            burst,
            concurrent,
            per,
            max_body: max_body.map(|size| size.0),
            enforcement: match enforce.unwrap_or(true) {
                true => Enforcement::Enforce,
                false => Enforcement::CountOnly,
            },
        }
    }
}

/// One at least, and not more than can be looked through for a request.
struct List<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::deserialize(deserializer)?;
        check_length(list.len()).map_err(de::Error::custom)?;
        Ok(Self(list))
    }
}

struct Networks(AddressList);

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts: Vec<String> = Vec::deserialize(deserializer)?;
        check_length(texts.len()).map_err(de::Error::custom)?;
        AddressList::parse(texts).map(Self).map_err(de::Error::custom)
    }
}

fn check_length(length: usize) -> Result<(), String> {
    match length {
        0 => Err("an empty list lets nobody in; leave the key out where it is not asked for".to_owned()),
        length if length > LIST_MAX => Err(format!("{length} are too many; there may be {LIST_MAX}")),
        _ => Ok(()),
    }
}

struct BodySize(u64);

impl<'de> Deserialize<'de> for BodySize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_body_size(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, ConfigError, mistakes, parse};
    use crate::registry::{Enforcement, LimitPer};

    fn read(policies: &str) -> Result<Config, ConfigError> {
        let text = format!("[server]\n{policies}");
        parse(Path::new("/etc/petit/config.toml"), &text).map(|(config, _)| config)
    }

    #[test]
    fn a_policy_is_read_with_all_that_it_says() {
        let config = read(
            "[[policy]]\nname = \"cloud\"\nservices = [\"default\", \"acme\"]\nfrom = [\"192.0.2.0/24\", \"2001:db8::1\"]\n\
             keys = [\"billing\"]\nrate = 100\nburst = 200\nconcurrent = 50\nper = \"service\"\nmax_body = \"100MB\"\n\
             enforce = false\n[[policy]]\nname = \"bare\"\nservices = [\"default-tcp\"]\n",
        )
        .unwrap();
        let [cloud, bare] = &*config.policies.list else { panic!("{:?}", config.policies) };
        let list = cloud.services.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((cloud.name.as_str(), list.join(" ").as_str()), ("cloud", "default acme"));
        let from = cloud.from.as_ref().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(from, ["192.0.2.0/24", "2001:db8::1/128"]);
        assert_eq!(cloud.keys.as_ref().unwrap()[0].as_str(), "billing");
        let numbers = [cloud.rate, cloud.burst, cloud.concurrent].map(|number| number.unwrap().get());
        assert_eq!((numbers, cloud.max_body), ([100, 200, 50], Some(100 << 20)));
        assert_eq!((cloud.per, cloud.enforcement), (LimitPer::Service, Enforcement::CountOnly));
        assert_eq!((bare.from.as_ref(), bare.keys.as_ref(), bare.rate), (None, None, None));
        assert_eq!((bare.per, bare.enforcement), (LimitPer::Visitor, Enforcement::Enforce));
    }

    #[test]
    fn what_is_wrong_with_a_policy_is_said_where_it_stands() {
        let begin = "[[policy]]\nname = \"a\"\n";
        for (text, expected) in [
            (
                "services = [\"default\"]\nform = []",
                ":5:1: [policy] has no key \"form\"; did you mean \"from\"?",
            ),
            (
                "services = [\"default\"]\nfrom = [\"192.0.2.7/24\"]",
                ":5:8: policy.from: 192.0.2.7/24 has bits behind its prefix",
            ),
            ("services = [\"default\"]\nfrom = []", ":5:8: policy.from: an empty list lets nobody in"),
            ("services = [\"default\"]\nkeys = []", ":5:8: policy.keys: an empty list lets nobody in"),
            ("services = []", ":4:12: policy.services: an empty list"),
            (
                "services = [\"UPPER\"]",
                ":4:12: policy.services: \"UPPER\" names no services: expected a registered ID, an alias,",
            ),
            ("services = [\"default\"]\nkeys = [\"Big One\"]", ":5:8: "),
            ("services = [\"default\"]\nrate = 0", ":5:8: "),
            (
                "services = [\"default\"]\nmax_body = \"9\"",
                ":5:12: policy.max_body: expected a size such as \"100MB\"",
            ),
            ("from = [\"192.0.2.0/24\"]", ":2:1: [[policy]] has no \"services\"; write services = …"),
            (
                "services = [\"default\"]\n[[policy]]\nname = \"a\"\nservices = [\"acme\"]",
                ":6:1: two policies are called a; each has a name of its own",
            ),
            (
                "services = [\"acme\"]\n[[policy]]\nname = \"b\"\nservices = [\"default\", \"acme\"]",
                ":7:1: both the policy a and the policy b name acme",
            ),
        ] {
            let error = read(&format!("{begin}{text}\n")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read("policy = 3\n").is_err());
        let text = "[server]\n[[policy]]\nname = \"a\"\nservices = [\"x\"]\n[[policy]]\nname = \"b\"\nservices = [\"default\"]\nfrom = [\"x\"]\n";
        let all = mistakes(Path::new("c.toml"), text).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(all.len(), 2, "{all:?}");
        let text = "[server]\n[[policy]]\nname = \"a\"\nservices = [\"default\"]\n[[policy]]\nname = \"a\"\nservices = [\"acme\"]\n\
                    [[policy]]\nname = \"b\"\nservices = [\"acme\", \"default\"]\n";
        let all = mistakes(Path::new("c.toml"), text).iter().map(ToString::to_string).collect::<Vec<_>>();
        let at = |place: &str, what: &str| all.iter().any(|one| one.contains(place) && one.contains(what));
        assert!(all.len() == 2 && at("c.toml:6:1", "two policies") && at("c.toml:10:1", "name"), "{all:?}");
    }
}
