//! Which policy a lookup hands out, and when.

use petit_engine::name::{PolicyName, VisitorKeyName};
use petit_relay::policy::ServicePolicy;

use super::*;
use crate::registry::{
    Conflict, Edit, FileConflict, LabelEdit, Policy, PolicyEdit, PolicyPart, PolicyTarget,
};

impl Bed {
    async fn set(&self, name: &str, services: &[&str]) -> Result<Policy, StoreError> {
        let services = services.iter().map(|target| target.parse().unwrap()).collect();
        let edit = PolicyEdit {
            services: Some(services),
            rate: Edit::To(7.try_into().unwrap()),
            ..PolicyEdit::of(name.parse().unwrap())
        };
        self.directory.set_policy(edit, Actor::Operator).await
    }

    fn policy_of(&self, id: &RegisteredId) -> Option<Arc<ServicePolicy>> {
        self.directory.service(id).unwrap().policy
    }

    fn name_of(&self, id: &RegisteredId) -> Option<String> {
        self.policy_of(id).map(|policy| policy.name.to_string())
    }
}

fn in_file(name: &str, services: &[&str]) -> Policy {
    let services = services.iter().map(|target| target.parse().unwrap()).collect();
    Policy { services, ..Policy::named(name.parse().unwrap()) }
}

#[tokio::test]
async fn a_policy_by_id_goes_before_one_by_alias_and_that_before_the_default_one() {
    let bed = Bed::new().await;
    let id = bed.enrolled().await.id;
    assert_eq!(bed.policy_of(&id), None, "open to anybody who knows the name");
    bed.set("rest", &["default"]).await.unwrap();
    assert_eq!(bed.name_of(&id).unwrap(), "rest");
    bed.set("acme", &["acme"]).await.unwrap();
    assert_eq!(bed.name_of(&id).unwrap(), "rest");
    bed.directory.add_alias(id, "acme".parse().unwrap(), false, Actor::Operator).await.unwrap();
    assert_eq!(bed.name_of(&id).unwrap(), "acme");
    let refused = bed.set("own", &[id.as_str()]).await.unwrap_err();
    assert!(refused.to_string().contains("acme") && refused.to_string().contains("own"), "{refused}");
    bed.directory.remove_alias(id, "acme".parse().unwrap(), Actor::Operator).await.unwrap();
    assert_eq!(bed.name_of(&id).unwrap(), "rest");
    bed.set("own", &[id.as_str()]).await.unwrap();
    assert_eq!(bed.name_of(&id).unwrap(), "own");

    let add = bed.directory.add_alias(id, "acme".parse().unwrap(), false, Actor::Operator).await;
    let refused = add.unwrap_err().to_string();
    assert!(refused.contains("acme") && refused.contains("own"), "{refused}");

    for name in ["own", "rest"] {
        bed.directory.remove_policy(name.parse().unwrap(), Actor::Operator).await.unwrap();
    }
    assert_eq!(bed.policy_of(&id), None);
}

#[tokio::test]
async fn raw_tcp_services_have_a_default_of_their_own() {
    let bed = Bed::new().await;
    let device = bed.enrolled().await;
    let offer = vec![("db".parse().unwrap(), ServiceKind::Tcp)];
    let announced = bed.directory.announce(device.device, offer).await;
    let tcp = announced.services[0].as_ref().unwrap().id;
    bed.set("rest", &["default"]).await.unwrap();
    assert_eq!(bed.name_of(&tcp).unwrap(), "rest", "fail closed: it is not open because it is raw TCP");
    bed.set("local", &["default-tcp"]).await.unwrap();
    assert_eq!(
        (bed.name_of(&tcp).unwrap(), bed.name_of(&device.id).unwrap()),
        ("local".into(), "rest".into())
    );
    let later = bed.enrolled().await.id;
    assert_eq!(bed.name_of(&later).unwrap(), "rest", "one that comes later has it from its beginning");
}

#[tokio::test]
async fn a_key_lets_in_from_the_moment_it_is_answered_and_a_revoked_one_no_longer() {
    let bed = Bed::new().await;
    let id = bed.enrolled().await.id;
    let key: VisitorKeyName = "billing".parse().unwrap();
    let keys = |bed: &Bed| bed.policy_of(&id).unwrap().keys.clone().unwrap().iter().count();
    bed.directory.create_key(key.clone(), Actor::Operator).await.unwrap();
    let edit = PolicyEdit {
        services: Some(vec![PolicyTarget::Default]),
        keys: Edit::To(vec![key.clone()]),
        ..PolicyEdit::of("cloud".parse().unwrap())
    };
    bed.directory.set_policy(edit, Actor::Operator).await.unwrap();
    assert_eq!(keys(&bed), 1);
    let hour = Duration::from_secs(3600);
    let (_, rotated) = bed.directory.rotate_key(key.clone(), hour, Actor::Operator).await.unwrap();
    let policy = bed.policy_of(&id).unwrap();
    let held = policy.keys.as_ref().unwrap().iter().next().unwrap().clone();
    assert_eq!(Some(held.hash), rotated.hash);
    assert_eq!(held.previous.map(|it| it.hash), rotated.previous.map(|(hash, _)| hash));
    bed.directory.revoke_key(key, Actor::Operator).await.unwrap();
    assert_eq!(keys(&bed), 0, "and the policy goes on asking for one");
}

#[tokio::test]
async fn a_policy_that_stays_as_it_is_stays_the_same_one_whatever_else_changes() {
    let bed = Bed::new().await;
    let id = bed.enrolled().await.id;
    bed.set("rest", &["default"]).await.unwrap();
    let before = bed.policy_of(&id).unwrap();
    let mut told = bed.directory.changes();
    bed.set("other", &["other"]).await.unwrap();
    assert!(Arc::ptr_eq(&before, &bed.policy_of(&id).unwrap()));
    assert!(told.try_recv().is_err(), "it concerns nobody");
    bed.set("own", &[id.as_str()]).await.unwrap();
    assert!(told.try_recv().unwrap().policies);
}

#[tokio::test]
async fn the_config_files_policies_fit_to_the_registry_or_are_refused_where_they_do_not() {
    let bed = Bed::new().await;
    let id = bed.enrolled().await.id;
    bed.directory.add_alias(id, "acme".parse().unwrap(), false, Actor::Operator).await.unwrap();
    bed.set("rest", &["default"]).await.unwrap();
    bed.set("own", &[id.as_str()]).await.unwrap();
    let name = |name: &str| name.parse::<PolicyName>().unwrap();
    let keyed = Policy { keys: Some(vec!["nobody".parse().unwrap()]), ..in_file("f", &["other"]) };
    let alias = PolicyTarget::Alias("acme".parse().unwrap());
    let overlap = Conflict::PoliciesOverlap { one: name("own"), other: name("f"), target: alias };
    for (file, part, conflict) in [
        (in_file("rest", &["other"]), PolicyPart::Name, Conflict::PolicyInBoth(name("rest"))),
        (keyed, PolicyPart::Keys, Conflict::NoKey("nobody".parse().unwrap())),
        (in_file("f", &["acme"]), PolicyPart::Services, overlap),
    ] {
        let fine = in_file("fine", &["elsewhere"]);
        let refused = bed.directory.use_file(Arc::from([fine, file]), FileUse::Changes).unwrap_err();
        assert_eq!(refused, FileConflict { place: 1, part, conflict });
    }
    assert_eq!(bed.directory.policies().1.len(), 0, "nothing was changed");
    assert_eq!(bed.name_of(&id).unwrap(), "own");
    bed.directory.remove_policy(name("own"), Actor::Operator).await.unwrap();
    bed.directory.use_file(Arc::from([in_file("f", &["acme"])]), FileUse::Changes).unwrap();
    assert_eq!(bed.name_of(&id).unwrap(), "f");
    let refused = bed.set("f", &["other"]).await.unwrap_err();
    assert!(refused.to_string().contains("config file"), "{refused}");
    bed.directory.reload().await.unwrap();
    assert_eq!(bed.name_of(&id).unwrap(), "f", "the file's stay when the registry is read anew");
    bed.directory.use_file(Arc::default(), FileUse::Changes).unwrap();
    assert_eq!(bed.name_of(&id).unwrap(), "rest");
}

#[tokio::test]
async fn a_service_is_open_as_long_as_no_address_and_no_key_is_asked_for() {
    let bed = Bed::new().await;
    let exposure = |bed: &Bed| {
        let Exposure { open, services, new_are_open } = bed.directory.exposure();
        (open, services, new_are_open)
    };
    assert_eq!(exposure(&bed), (0, 0, true));
    let id = bed.enrolled().await.id;
    bed.set("limits", &["default"]).await.unwrap();
    assert_eq!(exposure(&bed), (1, 1, true));
    let loopback = || Edit::To(vec!["127.0.0.0/8".parse().unwrap()]);
    let own = PolicyEdit {
        services: Some(vec![id.as_str().parse().unwrap()]),
        from: loopback(),
        ..PolicyEdit::of("own".parse().unwrap())
    };
    bed.directory.set_policy(own, Actor::Operator).await.unwrap();
    assert_eq!(exposure(&bed), (0, 1, true));
    let limits = PolicyEdit { from: loopback(), ..PolicyEdit::of("limits".parse().unwrap()) };
    bed.directory.set_policy(limits, Actor::Operator).await.unwrap();
    assert_eq!(exposure(&bed), (0, 1, false));
    let counts = PolicyEdit {
        enforcement: Some(crate::registry::Enforcement::CountOnly),
        ..PolicyEdit::of("own".parse().unwrap())
    };
    bed.directory.set_policy(counts, Actor::Operator).await.unwrap();
    assert_eq!(exposure(&bed), (1, 1, false));
}

fn tags(tags: &[&str]) -> BTreeSet<Tag> {
    tags.iter().map(|tag| tag.parse().unwrap()).collect()
}

impl Bed {
    async fn tag(&self, device: DeviceId, add: &[&str], remove: &[&str]) -> Result<Labels, StoreError> {
        let edit = LabelEdit { add: tags(add), remove: tags(remove), note: None };
        self.directory.label(device, edit, Actor::Operator).await
    }
}

#[tokio::test]
async fn a_policy_by_tag_holds_for_all_services_of_the_clients_that_have_the_tag_now() {
    let bed = Bed::new().await;
    let (one, other) = (bed.enrolled().await, bed.enrolled().await);
    bed.set("rest", &["default"]).await.unwrap();
    bed.set("local", &["default-tcp"]).await.unwrap();
    bed.set("erp", &["tag:erp", "tag:crm"]).await.unwrap();
    assert_eq!(bed.name_of(&one.id).unwrap(), "rest");
    let mut told = bed.directory.changes();
    bed.tag(one.device, &["erp"], &[]).await.unwrap();
    assert_eq!(
        (bed.name_of(&one.id).unwrap(), bed.name_of(&other.id).unwrap()),
        ("erp".into(), "rest".into())
    );
    assert_eq!(told.try_recv().unwrap().policies_of, [one.id], "its client is told");
    let offers = vec![("web".parse().unwrap(), ServiceKind::Http), ("db".parse().unwrap(), ServiceKind::Tcp)];
    let later = bed.directory.announce(one.device, offers).await.services[1].as_ref().unwrap().id;
    assert_eq!(bed.name_of(&later).unwrap(), "erp", "one that comes later, and before the one for raw TCP");
    bed.tag(one.device, &["crm"], &[]).await.unwrap();
    assert_eq!(bed.name_of(&one.id).unwrap(), "erp", "two tags of one policy are no contradiction");

    // What is nearer goes first.
    bed.set("acme", &["acme"]).await.unwrap();
    bed.directory.add_alias(one.id, "acme".parse().unwrap(), false, Actor::Operator).await.unwrap();
    assert_eq!(bed.name_of(&one.id).unwrap(), "acme");
    let why = |id| bed.directory.named_by(&bed.directory.service(id).unwrap()).unwrap().0.to_string();
    assert_eq!([why(&one.id), why(&later), why(&other.id)], ["acme", "tag:crm", "default"]);
    bed.directory.remove_alias(one.id, "acme".parse().unwrap(), Actor::Operator).await.unwrap();
    bed.directory.reload().await.unwrap();
    assert_eq!(bed.name_of(&one.id).unwrap(), "erp", "also when the registry is read anew");
    bed.tag(one.device, &[], &["erp", "crm"]).await.unwrap();
    assert_eq!(
        (bed.name_of(&one.id).unwrap(), bed.name_of(&later).unwrap()),
        ("rest".into(), "local".into())
    );

    // By what its invite says.
    let labels = Labels { tags: tags(&["erp"]), ..Labels::default() };
    let invited = bed.directory.enrol(bed.invite_with(labels.clone()).await).await.unwrap();
    assert_eq!(bed.name_of(&invited.id).unwrap(), "erp");
    let key = bed.invite().await;
    let known = bed.directory.enrol(key.clone()).await.unwrap();
    assert_eq!(bed.name_of(&known.id).unwrap(), "rest");
    let again = EnrolRequest { key: key.key, ..bed.invite_with(labels).await };
    assert_eq!(bed.directory.enrol(again).await.unwrap().device, known.device);
    assert_eq!(bed.name_of(&known.id).unwrap(), "erp", "of one that registers again, too");
}

#[tokio::test]
async fn two_policies_by_tags_of_one_client_are_refused_and_let_nobody_in_where_that_cannot_be() {
    let bed = Bed::new().await;
    let one = bed.enrolled().await;
    bed.set("erp", &["tag:erp"]).await.unwrap();
    bed.set("eu", &["tag:eu"]).await.unwrap();
    bed.tag(one.device, &["erp", "pilot"], &[]).await.unwrap();
    let refused = |error: StoreError| match error.kind() {
        StoreErrorKind::Conflict(Conflict::TagsDisagree { client, one, other }) => {
            (**client, one.to_string(), other.to_string())
        }
        other => panic!("{other:?}"),
    };
    let found = refused(bed.tag(one.device, &["eu"], &[]).await.unwrap_err());
    assert_eq!(found, (one.device, "erp".to_owned(), "eu".to_owned()));
    let found = refused(bed.set("pilot", &["tag:pilot"]).await.unwrap_err());
    assert_eq!(found, (one.device, "erp".to_owned(), "pilot".to_owned()));
    let file = Arc::from([in_file("fine", &["elsewhere"]), in_file("pilot", &["tag:pilot"])]);
    let found = bed.directory.use_file(file, FileUse::Changes).unwrap_err();
    assert_eq!((found.place, found.part), (1, PolicyPart::Services));
    assert_eq!(bed.name_of(&one.id).unwrap(), "erp", "nothing was changed");
    bed.tag(one.device, &["eu"], &["erp"]).await.unwrap();
    assert_eq!(bed.name_of(&one.id).unwrap(), "eu", "one may take the place of the other");

    // A customer who registers is not to be held up by what the operator has written on the invite.
    let labels = Labels { tags: tags(&["erp", "eu"]), ..Labels::default() };
    let closed = bed.directory.enrol(bed.invite_with(labels).await).await.unwrap();
    let policy = bed.policy_of(&closed.id).unwrap();
    assert!(policy.admits_only_chosen() && policy.from.as_ref().unwrap().networks().is_empty(), "{policy:?}");
    // Nor is anybody else: neither a start, nor what changes something else.
    let file: Arc<[_]> = Arc::from([in_file("fine", &["elsewhere"])]);
    for begins in [FileUse::Begins, FileUse::Changes] {
        bed.directory.use_file(Arc::clone(&file), begins).unwrap();
    }
    bed.set("cloud", &["default"]).await.unwrap();
    bed.tag(closed.device, &["pilot"], &[]).await.unwrap();
    let by_file: Arc<[_]> = Arc::from([in_file("pilots", &["tag:pilot"])]);
    assert!(
        bed.directory.use_file(Arc::clone(&by_file), FileUse::Changes).is_err(),
        "another one has it, too"
    );
    bed.directory.use_file(by_file, FileUse::Begins).unwrap();
    bed.directory.use_file(file, FileUse::Changes).unwrap();
    let (by, other) = bed.directory.named_by(&bed.directory.service(&closed.id).unwrap()).unwrap();
    assert_eq!((by.to_string(), other.unwrap().to_string()), ("tag:erp".to_owned(), "eu".to_owned()));
    bed.tag(closed.device, &[], &["erp"]).await.unwrap();
    let policy = bed.policy_of(&closed.id).unwrap();
    assert_eq!((policy.name.as_str(), policy.from.as_ref()), ("eu", None));
}

#[tokio::test]
async fn an_alias_that_comes_with_an_invite_brings_no_service_under_two_policies() {
    let bed = Bed::new().await;
    let first = bed.invite().await;
    let known = bed.directory.enrol(first.clone()).await.unwrap();
    bed.set("own", &[known.id.as_str()]).await.unwrap();
    bed.set("office", &["acme"]).await.unwrap();
    bed.directory.use_file(Arc::from([in_file("shop", &["shop"])]), FileUse::Changes).unwrap();
    for alias in ["acme", "shop", "free"] {
        let invite = bed.invite_for(Some(alias), Labels::default()).await;
        let again = EnrolRequest { key: first.key.clone(), ..invite };
        assert_eq!(bed.directory.enrol(again).await.unwrap().id, known.id, "the registration is worth more");
    }
    let aliases: Vec<String> = bed.directory.aliases(&known.id).iter().map(ToString::to_string).collect();
    assert_eq!((aliases, bed.name_of(&known.id).unwrap()), (vec!["free".to_owned()], "own".to_owned()));
    let said = bed.directory.store().changes(0, 100).await.unwrap().changes;
    let refused = said.iter().filter(|change| change.body.to_string().contains("both the policy")).count();
    assert_eq!(refused, 2, "and it is written down why");
    // One that no other policy names has it.
    let other = bed.directory.enrol(bed.invite_for(Some("acme"), Labels::default()).await).await.unwrap();
    assert_eq!(bed.name_of(&other.id).unwrap(), "office");
}

#[tokio::test]
async fn a_service_that_two_policies_have_named_from_before_is_closed_and_holds_up_nothing_else() {
    let bed = Bed::new().await;
    let (one, other) = (bed.enrolled().await.id, bed.enrolled().await.id);
    bed.set("own", &[one.as_str()]).await.unwrap();
    bed.set("office", &["acme"]).await.unwrap();
    // As versions of before have let an invite do.
    bed.directory.store().add_alias(one, "acme".parse().unwrap(), false, Actor::Operator).await.unwrap();
    bed.directory.reload().await.unwrap();
    let policy = bed.policy_of(&one).unwrap();
    assert!(policy.admits_only_chosen() && policy.from.as_ref().unwrap().networks().is_empty(), "{policy:?}");
    let by = bed.directory.named_by(&bed.directory.service(&one).unwrap()).unwrap();
    assert_eq!((by.0.to_string(), by.1.unwrap().to_string()), (one.to_string(), "office".to_owned()));
    assert_eq!(bed.directory.contradictions().len(), 1);

    bed.set("rest", &["default"]).await.unwrap();
    bed.set("own", &[one.as_str(), other.as_str()]).await.unwrap();
    bed.directory.add_alias(one, "shop".parse().unwrap(), false, Actor::Operator).await.unwrap();
    let file: Arc<[_]> = Arc::from([in_file("fine", &["elsewhere"])]);
    for begins in [FileUse::Begins, FileUse::Changes] {
        bed.directory.use_file(Arc::clone(&file), begins).unwrap();
    }
    // What would be another one is refused as before.
    assert!(bed.set("shop", &["shop"]).await.is_err());
    let by_alias: Arc<[_]> = Arc::from([in_file("shop", &["shop"])]);
    assert!(bed.directory.use_file(Arc::clone(&by_alias), FileUse::Changes).is_err());
    bed.directory.add_alias(other, "mine".parse().unwrap(), false, Actor::Operator).await.unwrap();
    assert!(bed.set("mine", &["mine"]).await.is_err());
    // But nobody is there to put it right when a server begins.
    bed.directory.use_file(by_alias, FileUse::Begins).unwrap();
    let more: Arc<[_]> = Arc::from([in_file("shop", &["shop"]), in_file("fine", &["elsewhere"])]);
    bed.directory.use_file(more, FileUse::Changes).unwrap();
    let one_more: Arc<[_]> = Arc::from([in_file("shop", &["shop", "mine"])]);
    assert!(
        bed.directory.use_file(one_more, FileUse::Changes).is_err(),
        "it does not hide behind the old one"
    );
    bed.directory.use_file(file, FileUse::Changes).unwrap();

    bed.directory.remove_alias(one, "acme".parse().unwrap(), Actor::Operator).await.unwrap();
    let policy = bed.policy_of(&one).unwrap();
    assert_eq!((policy.name.as_str(), policy.from.as_ref()), ("own", None));
}

#[tokio::test]
async fn the_config_file_gets_no_policy_of_a_name_that_is_being_written_into_the_registry() {
    let bed = Bed::new().await;
    let in_file: Arc<[_]> = Arc::from([in_file("office", &["elsewhere"])]);
    let mut disk = bed.busy_disk().await;
    let mut setting: BoxFuture<'_, _> = Box::pin(bed.set("office", &["default"]));
    assert!(poll_once(&mut setting).is_pending());
    while bed.directory.policies_turn().written.is_none() {
        tokio::task::yield_now().await;
    }
    let refused = bed.directory.use_file(Arc::clone(&in_file), FileUse::Changes).unwrap_err();
    assert_eq!(refused.conflict, Conflict::PolicyInBoth("office".parse().unwrap()));
    disk.execute("ROLLBACK").await.unwrap();
    setting.await.unwrap();
    assert!(bed.directory.policies_turn().written.is_none());
    bed.directory.use_file(Arc::clone(&in_file), FileUse::Changes).unwrap_err();
    bed.directory.remove_policy("office".parse().unwrap(), Actor::Operator).await.unwrap();
    bed.directory.use_file(in_file, FileUse::Changes).unwrap();
    // One that is refused stands in nobody's way.
    bed.set("office", &["default"]).await.unwrap_err();
    bed.directory.use_file(Arc::default(), FileUse::Changes).unwrap();
}

#[tokio::test]
async fn a_policy_that_moves_into_the_config_file_holds_at_each_moment() {
    let bed = Bed::new().await;
    let id = bed.enrolled().await.id;
    bed.set("rest", &["default"]).await.unwrap();
    let rest: PolicyName = "rest".parse().unwrap();
    let without = bed.directory.exposure_without(&rest);
    assert_eq!((without.open, without.services, without.new_are_open), (1, 1, true));
    let is_of_file = |bed: &Bed| bed.policy_of(&id).map(|policy| policy.limits.rate.is_none());
    assert_eq!(is_of_file(&bed), Some(false));
    let file: Arc<[Policy]> = [in_file("rest", &["default"])].into();
    bed.directory.use_file_beside(Arc::clone(&file), &rest).unwrap();
    assert_eq!(is_of_file(&bed), Some(true), "while the registry has its own, too");
    bed.directory.move_to_file(rest.clone(), file, Actor::Operator).await.unwrap();
    assert_eq!(is_of_file(&bed), Some(true));
    assert!(bed.directory.policies().0.is_empty());

    // What cannot be taken out of the registry, or does not fit, changes nothing.
    let other: Arc<[Policy]> = [in_file("other", &["default"])].into();
    let refused = bed.directory.move_to_file("other".parse().unwrap(), other, Actor::Operator).await;
    assert!(refused.is_err());
    bed.set("acme", &["acme"]).await.unwrap();
    let overlap: Arc<[Policy]> = [in_file("rest", &["default", "acme"])].into();
    assert!(bed.directory.move_to_file(rest, overlap, Actor::Operator).await.is_err());
    assert_eq!(bed.name_of(&id).unwrap(), "rest");
}
