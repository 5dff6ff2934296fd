//! Policies and visitors' keys.

use petit_engine::name::{VisitorKeyId, VisitorKeyName};
use petit_relay::policy::KeyHash;

use super::*;

const OLD: KeyHash = KeyHash([1; 32]);
const NEW: KeyHash = KeyHash([2; 32]);

impl Bed {
    async fn set(&mut self, edit: PolicyEdit) -> Result<Policy, Conflict> {
        self.set_beside(edit, &[]).await
    }

    async fn set_beside(&mut self, edit: PolicyEdit, beside: &[Policy]) -> Result<Policy, Conflict> {
        match self.rules().set_policy(edit, beside, Actor::Operator).await {
            Ok((policy, delta)) => {
                if let Some(rules) = delta.added.visitors {
                    assert!(rules.policies.contains(&policy));
                }
                Ok(policy)
            }
            Err(error) => Err(conflict::<()>(Err(error)).unwrap_err()),
        }
    }

    async fn key(&mut self, name: &str) -> VisitorKeyName {
        let name: VisitorKeyName = name.parse().unwrap();
        let key = NewKey { id: VisitorKeyId::random().unwrap(), name: name.clone(), hash: OLD };
        self.rules().create_key(key, Actor::Operator).await.unwrap();
        name
    }

    fn last(&self) -> (String, String, String) {
        let change = self.rows.changes.last().unwrap();
        (change.kind.to_string(), change.subject.clone(), change.body.to_string())
    }
}

fn edit(name: &str, services: &[&str]) -> PolicyEdit {
    let services = services.iter().map(|target| target.parse().unwrap()).collect();
    PolicyEdit { services: Some(services), ..PolicyEdit::of(name.parse().unwrap()) }
}

#[tokio::test]
async fn what_a_change_of_a_policy_does_not_name_stays_as_it_is() {
    let mut bed = Bed::new();
    let billing = bed.key("billing").await;
    let keys = Edit::To(vec![billing.clone()]);
    let first = bed.set(PolicyEdit { keys, ..edit("cloud", &["default"]) }).await.unwrap();
    assert_eq!(bed.last().0, "policy-set");
    let name = first.name.clone();
    let rate = PolicyEdit { rate: Edit::To(100.try_into().unwrap()), ..PolicyEdit::of(name.clone()) };
    let second = bed.set(rate.clone()).await.unwrap();
    assert_eq!(second, Policy { rate: Some(100.try_into().unwrap()), ..first.clone() });
    let written = bed.rows.written;
    bed.set(rate).await.unwrap();
    assert_eq!(bed.rows.written, written, "what is so already is not written down again");
    let cleared = bed.set(PolicyEdit { rate: Edit::Clear, ..PolicyEdit::of(name) }).await.unwrap();
    assert_eq!(cleared, first);
}

#[tokio::test]
async fn a_customer_who_leaves_does_not_stand_in_the_way_of_his_vendors_changes() {
    let mut bed = Bed::new();
    let (stays, leaves) = (bed.enrolled().await, bed.enrolled().await);
    bed.set(edit("both", &[stays.id.as_str(), leaves.id.as_str()])).await.unwrap();
    bed.rules().unregister(leaves.device).await.unwrap();
    let name = "both".parse().unwrap();
    let rate = PolicyEdit { rate: Edit::To(5.try_into().unwrap()), ..PolicyEdit::of(name) };
    bed.set(rate).await.unwrap();
}

#[tokio::test]
async fn a_policy_names_only_what_there_is() {
    let mut bed = Bed::new();
    let service = bed.enrolled().await.id;
    let key: VisitorKeyName = "billing".parse().unwrap();
    let keys = Edit::To(vec![key.clone()]);
    let asks = PolicyEdit { keys, ..edit("cloud", &["default"]) };
    assert_eq!(bed.set(asks.clone()).await, Err(Conflict::NoKey(key)));
    let nobody: RegisteredId = "aaaaaaaaaaaaaaaa".parse().unwrap();
    assert_eq!(bed.set(edit("cloud", &[nobody.as_str()])).await, Err(Conflict::NoService(nobody)));
    let cloud = "cloud".parse().unwrap();
    assert_eq!(bed.set(edit("cloud", &[])).await, Err(Conflict::PolicyOfNothing(cloud)));
    assert!(bed.rows.changes.iter().all(|change| change.kind != "policy-set"));
    for (network, is_one) in
        [("203.0.113.0/24", true), ("203.0.113.5/24", false), ("::ffff:10.0.0.0/104", false)]
    {
        let from = Edit::To(vec!["198.51.100.0/24".parse().unwrap(), network.parse().unwrap()]);
        let set = bed.set(PolicyEdit { from, ..edit("addresses", &["acme"]) }).await;
        let is_refused = matches!(set, Err(Conflict::PolicyAddress { .. }));
        assert!(if is_one { set.is_ok() } else { is_refused }, "{network}: {set:?}");
    }
    let burst = Edit::To(10.try_into().unwrap());
    let bursts = PolicyEdit { burst, ..edit("bursts", &["shop"]) };
    assert_eq!(bed.set(bursts).await, Err(Conflict::BurstWithoutRate("bursts".parse().unwrap())));
    bed.set(edit("one", &[service.as_str()])).await.unwrap();
    bed.set(edit("later", &["not-given-yet"])).await.unwrap();
    bed.key("billing").await;
    bed.set(asks).await.unwrap();
}

#[tokio::test]
async fn a_service_is_named_by_one_policy_only_whatever_it_is_called_there() {
    let mut bed = Bed::new();
    let service = bed.enrolled().await.id;
    bed.alias(service, &"acme".parse().unwrap()).await.unwrap();
    bed.set(edit("one", &["acme"])).await.unwrap();
    let refused = bed.set(edit("two", &["default", service.as_str()])).await.unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("one") && said.contains("two") && said.contains(service.as_str()), "{said}");
    bed.set(edit("one", &["acme", service.as_str()])).await.unwrap();

    let default = PolicyTarget::Default;
    let in_file = Policy { services: vec![default], ..Policy::named("file".parse().unwrap()) };
    let beside = [in_file];
    let refused = bed.set_beside(edit("two", &["default"]), &beside).await.unwrap_err();
    assert!(matches!(refused, Conflict::PoliciesOverlap { .. }), "{refused}");
    let refused = bed.set_beside(edit("file", &["other"]), &beside).await.unwrap_err();
    assert_eq!(refused, Conflict::PolicyInFile("file".parse().unwrap()));
    bed.set_beside(edit("two", &["default-tcp"]), &beside).await.unwrap();
}

#[tokio::test]
async fn a_rotated_key_is_good_with_both_secrets_for_the_overlap_and_no_longer_with_an_older_one() {
    let mut bed = Bed::new();
    let name = bed.key("billing").await;
    let later = bed.now + HOUR;
    let (key, _) = bed.rules().rotate_key(&name, NEW, HOUR, Actor::Operator).await.unwrap();
    assert_eq!((key.hash, key.previous), (Some(NEW), Some((OLD, later))));
    let third = KeyHash([3; 32]);
    let (key, _) = bed.rules().rotate_key(&name, third, HOUR, Actor::Operator).await.unwrap();
    assert_eq!((key.hash, key.previous), (Some(third), Some((NEW, later))));
    let (key, _) = bed.rules().rotate_key(&name, OLD, Duration::ZERO, Actor::Operator).await.unwrap();
    assert_eq!((key.hash, key.previous), (Some(OLD), None));
    let taken = NewKey { id: key.id, name: name.clone(), hash: NEW };
    let refused = conflict(bed.rules().create_key(taken, Actor::Operator).await);
    assert_eq!(refused, Err(Conflict::KeyExists(name)));
}

#[tokio::test]
async fn a_revoked_key_is_gone_for_good_and_a_policy_that_names_it_goes_on_asking() {
    let mut bed = Bed::new();
    let name = bed.key("billing").await;
    let keys = Edit::To(vec![name.clone()]);
    bed.set(PolicyEdit { keys, ..edit("cloud", &["default"]) }).await.unwrap();
    bed.rules().rotate_key(&name, NEW, HOUR, Actor::Operator).await.unwrap();
    let delta = bed.rules().revoke_key(&name, Actor::Operator).await.unwrap();
    let rules = delta.added.visitors.unwrap();
    assert_eq!((rules.keys[0].hash, rules.keys[0].previous), (None, None));
    assert_eq!(rules.policies[0].keys, Some(vec![name.clone()]));
    let again = conflict(bed.rules().revoke_key(&name, Actor::Operator).await);
    assert_eq!(again, Err(Conflict::RevokedAlready(name.clone())));
    let rotated = conflict(bed.rules().rotate_key(&name, NEW, HOUR, Actor::Operator).await);
    assert_eq!(rotated, Err(Conflict::RevokedKey(name.clone())));
    // Naming it is a mistake, having named it is none.
    let other = bed.key("other").await;
    for named in [vec![name.clone()], vec![other, name.clone()]] {
        let (cloud, keys) = ("cloud".parse().unwrap(), Edit::To(named));
        let set = bed.set(PolicyEdit { keys, ..PolicyEdit::of(cloud) }).await;
        assert_eq!(set, Err(Conflict::RevokedKey(name.clone())));
    }
    let rate = Edit::To(5.try_into().unwrap());
    bed.set(PolicyEdit { rate, ..PolicyEdit::of("cloud".parse().unwrap()) }).await.unwrap();
    let unknown: VisitorKeyName = "nobody".parse().unwrap();
    let revoked = conflict(bed.rules().revoke_key(&unknown, Actor::Operator).await);
    assert_eq!(revoked, Err(Conflict::UnknownKey(unknown)));
    bed.key("billing").await;
}

#[tokio::test]
async fn every_change_of_policies_and_keys_is_written_down_without_a_secret_or_its_hash() {
    let mut bed = Bed::new();
    let name = bed.key("billing").await;
    let mut kinds = vec![bed.last()];
    let keys = Edit::To(vec![name.clone()]);
    bed.set(PolicyEdit { keys, ..edit("cloud", &["default"]) }).await.unwrap();
    kinds.push(bed.last());
    bed.rules().rotate_key(&name, NEW, HOUR, Actor::Operator).await.unwrap();
    kinds.push(bed.last());
    bed.rules().revoke_key(&name, Actor::Operator).await.unwrap();
    kinds.push(bed.last());
    bed.rules().remove_policy("cloud".parse().unwrap(), Actor::Operator).await.unwrap();
    kinds.push(bed.last());
    let said: Vec<_> = kinds.iter().map(|(kind, subject, _)| (kind.as_str(), subject.as_str())).collect();
    assert_eq!(
        said,
        [
            ("key-created", "billing"),
            ("policy-set", "cloud"),
            ("key-rotated", "billing"),
            ("key-revoked", "billing"),
            ("policy-removed", "cloud"),
        ]
    );
    assert!(bed.rows.changes.iter().all(|change| change.actor == Actor::Operator));
    for (_, _, body) in kinds {
        for hash in [OLD, NEW] {
            let (hex, list) = (data_encoding::HEXLOWER.encode(&hash.0), format!("{:?}", hash.0));
            assert!(!body.contains(&hex) && !body.contains(&list) && !body.contains("hash"), "{body}");
        }
    }
    let gone = conflict(bed.rules().remove_policy("cloud".parse().unwrap(), Actor::Operator).await);
    assert_eq!(gone, Err(Conflict::NoPolicy("cloud".parse().unwrap())));
}

#[tokio::test]
async fn there_are_so_many_policies_and_keys_and_no_more() {
    let mut bed = Bed::new();
    let beside = [Policy { services: vec![PolicyTarget::Default], ..Policy::named("file".parse().unwrap()) }];
    for number in 1..limits::MAX_POLICIES {
        let (name, alias) = (format!("policy-{number}"), format!("alias{number}"));
        bed.set_beside(edit(&name, &[&alias]), &beside).await.unwrap();
    }
    let one_more = bed.set_beside(edit("more", &["more"]), &beside).await;
    assert_eq!(one_more.unwrap_err(), Conflict::TooManyPolicies);
    bed.set_beside(edit("policy-1", &["other"]), &beside).await.unwrap();

    let first = bed.key("first").await;
    for number in 1..limits::MAX_VISITOR_KEYS {
        bed.key(&format!("key-{number}")).await;
    }
    let key =
        |name: &str| NewKey { id: VisitorKeyId::random().unwrap(), name: name.parse().unwrap(), hash: OLD };
    let one_more = conflict(bed.rules().create_key(key("more"), Actor::Operator).await);
    assert_eq!(one_more.map(|_| ()), Err(Conflict::TooManyKeys));
    bed.rules().revoke_key(&first, Actor::Operator).await.unwrap();
    bed.rules().create_key(key("first"), Actor::Operator).await.unwrap();
}
