//! The decision, step by step.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

fn moment() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

/// A key, and what its holder sends.
fn key(name: &str) -> (VisitorKey, String) {
    let (id, secret) = (VisitorKeyId::random().unwrap(), KeySecret::random().unwrap());
    let key = VisitorKey { id, name: name.parse().unwrap(), hash: secret.hash(), previous: None };
    (key, secret.shown(id).expose_secret().to_owned())
}

use petit_engine::name::VisitorKeyId;

fn policy() -> ServicePolicy {
    ServicePolicy::open("cloud".parse().unwrap())
}

fn asking_for(keys: impl IntoIterator<Item = VisitorKey>) -> ServicePolicy {
    ServicePolicy { keys: Some(Arc::new(VisitorKeys::new(keys))), ..policy() }
}

fn request<'a>(address: &str, key: PresentedKey<'a>) -> PolicyRequest<'a> {
    PolicyRequest { address: address.parse().unwrap(), key, body_bytes: 0, now: moment() }
}

fn decide(policy: &ServicePolicy, request: &PolicyRequest<'_>) -> Decision {
    policy.decide(request, &mut Unlimited, |_, _| {})
}

fn with_key(policy: &ServicePolicy, key: &str) -> Decision {
    decide(policy, &request("192.0.2.1", PresentedKey::Text(key.as_bytes())))
}

fn steps(
    policy: &ServicePolicy,
    request: &PolicyRequest<'_>,
    meter: &mut impl Meter,
) -> Vec<(Step, Verdict)> {
    let mut seen = Vec::new();
    policy.decide(request, meter, |step, verdict| seen.push((step, verdict)));
    seen
}

/// Lets so many visits of each come in, and takes note of whom it was asked.
#[derive(Default)]
struct Allowing {
    each: usize,
    asked: Vec<Counted>,
    held: Vec<Counted>,
}

impl Meter for Allowing {
    fn take(&mut self, counted: Counted, _: &PolicyLimits) -> Result<(), LimitReached> {
        self.asked.push(counted);
        let count = self.asked.iter().filter(|asked| **asked == counted).count();
        if count <= self.each { Ok(()) } else { Err(LimitReached::Rate) }
    }

    fn look(&self, counted: Counted, _: &PolicyLimits) -> Result<(), LimitReached> {
        let count = self.asked.iter().filter(|asked| **asked == counted).count();
        if count < self.each { Ok(()) } else { Err(LimitReached::Rate) }
    }

    fn hold(&mut self, counted: Counted) {
        self.held.push(counted);
    }
}

fn one_a_second() -> Option<RateLimit> {
    Some(RateLimit { per_second: NonZeroU32::MIN, burst: NonZeroU32::MIN })
}

#[test]
fn an_address_is_let_in_by_itself_and_by_its_network_however_it_is_written() {
    let list =
        AddressList::parse(["203.0.113.0/24", " 198.51.100.7", "2001:db8::/32", "::ffff:192.0.2.9"]).unwrap();
    assert_eq!(list.to_string(), "203.0.113.0/24, 198.51.100.7, 2001:db8::/32, 192.0.2.9");
    let policy = ServicePolicy { from: Some(list), ..policy() };
    let broken = |address| decide(&policy, &request(address, PresentedKey::Absent)).broken;
    for inside in [
        "203.0.113.0",
        "203.0.113.255",
        "::ffff:203.0.113.8",
        "198.51.100.7",
        "2001:db8:ffff::1",
        "192.0.2.9",
    ] {
        assert_eq!(broken(inside), None, "{inside}");
    }
    for outside in ["203.0.114.0", "198.51.100.8", "2001:db9::", "::1", "127.0.0.1", "::203.0.113.8"] {
        assert_eq!(broken(outside), Some(RefusalReason::Address), "{outside}");
    }
}

#[test]
fn an_address_that_could_be_meant_in_two_ways_is_refused_with_both() {
    let error = |text: &str| AddressList::parse([text]).unwrap_err();
    let said = error("203.0.113.5/24").to_string();
    assert!(said.contains("203.0.113.0/24") && said.contains("203.0.113.5 for the one"), "{said}");
    assert_eq!(error("::ffff:203.0.113.0/120"), InvalidAddress::Mapped("::ffff:203.0.113.0/120".into()));
    for text in ["", "example.com", "203.0.113", "203.0.113.0/33", "10.0.0.0/-1", "1.2.3.4:80", "*"] {
        assert_eq!(error(text), InvalidAddress::Malformed(text.into()));
        assert!(error(text).to_string().contains("203.0.113.0/24"), "it says how one looks");
    }
    AddressList::parse(["0.0.0.0/0", "::/0", "::1", "10.0.0.0/8"]).unwrap();
}

#[test]
fn a_visitor_whom_nobody_knows_is_in_no_list_but_that_of_everybody() {
    let lets_in = |networks: &[&str]| {
        AddressList::parse(networks).unwrap().contains(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    };
    assert!(!lets_in(&["0.0.0.0/1", "128.0.0.0/2"]) && !lets_in(&["0.0.0.0/8"]) && !lets_in(&["0.0.0.0"]));
    assert!(lets_in(&["0.0.0.0/0"]) && lets_in(&["0.0.0.0/1", "128.0.0.0/1"]));
}

#[test]
fn a_list_that_is_empty_lets_nobody_in() {
    let nowhere = ServicePolicy { from: Some(AddressList::default()), ..policy() };
    assert_eq!(
        decide(&nowhere, &request("127.0.0.1", PresentedKey::Absent)).broken,
        Some(RefusalReason::Address)
    );
    let (_, shown) = key("billing");
    assert_eq!(with_key(&asking_for([]), &shown).broken, Some(RefusalReason::KeyRefused));
}

#[test]
fn a_key_says_who_a_visitor_is() {
    let ((billing, shown), (sync, other)) = (key("billing"), key("sync"));
    let policy = asking_for([billing, sync]);
    let holder = |shown: &str| with_key(&policy, shown).principal.key().map(ToString::to_string);
    assert_eq!(holder(&shown).as_deref(), Some("billing"));
    assert_eq!(holder(&other).as_deref(), Some("sync"));
    let nobody = decide(&policy, &request("192.0.2.1", PresentedKey::Absent));
    assert_eq!(nobody, Decision { principal: Principal::Anonymous, broken: Some(RefusalReason::KeyMissing) });
}

#[test]
fn a_key_with_another_secret_one_that_nobody_has_and_what_is_no_key_are_refused_alike() {
    let ((billing, shown), (_, unknown)) = (key("billing"), key("billing"));
    let (id, secret) = shown.split_once('.').unwrap();
    let (_, foreign) = unknown.split_once('.').unwrap();
    let policy = asking_for([billing]);
    let refused = Decision { principal: Principal::Anonymous, broken: Some(RefusalReason::KeyRefused) };
    let id_in_capitals = format!("{}.{secret}", id.to_uppercase());
    let (shorter, longer) = (&shown[..shown.len() - 1], format!("{shown}A"));
    for wrong in [
        &unknown,
        &format!("{id}.{foreign}"),
        "",
        ".",
        id,
        secret,
        &format!("{id}."),
        &format!(".{secret}"),
        &format!("{id}.{id}.{secret}"),
        &format!("{id} .{secret}"),
        &format!("{id}. {secret}"),
        &id_in_capitals,
        shorter,
        &longer,
        &format!("{id}:{secret}"),
        &format!("Bearer {shown}"),
    ] {
        assert_eq!(with_key(&policy, wrong), refused, "{wrong:?}");
    }
    let bytes = [id.as_bytes(), b".\xff\xfe"].concat();
    assert_eq!(decide(&policy, &request("192.0.2.1", PresentedKey::Text(&bytes))), refused);
    assert_eq!(with_key(&policy, &shown).broken, None, "and the right one is let in");
}

#[test]
fn a_secret_that_was_replaced_is_good_until_its_time_is_over() {
    let (old, was_shown) = key("billing");
    let secret = KeySecret::random().unwrap();
    let previous = Some(PreviousSecret { hash: old.hash, until: moment() + Duration::from_secs(60) });
    let rotated = VisitorKey { hash: secret.hash(), previous, ..old.clone() };
    let now_shown = secret.shown(old.id).expose_secret().to_owned();
    let policy = asking_for([rotated]);
    let broken = |shown: &str, after| {
        let now = moment() + Duration::from_secs(after);
        let asked = PolicyRequest { now, ..request("192.0.2.1", PresentedKey::Text(shown.as_bytes())) };
        decide(&policy, &asked).broken
    };
    assert_eq!([broken(&was_shown, 0), broken(&was_shown, 59)], [None, None]);
    assert_eq!(broken(&was_shown, 60), Some(RefusalReason::KeyRefused));
    assert_eq!([broken(&now_shown, 0), broken(&now_shown, 60)], [None, None]);
}

#[test]
fn a_key_stands_in_one_field_once() {
    let (billing, shown) = key("billing");
    let policy = asking_for([billing]);
    let mut headers = HeaderMap::new();
    let broken =
        |headers: &HeaderMap| decide(&policy, &request("192.0.2.1", PresentedKey::of(headers))).broken;
    assert_eq!(broken(&headers), Some(RefusalReason::KeyMissing));
    headers.append("petit-key", shown.parse().unwrap());
    assert_eq!(broken(&headers), None);
    headers.append("petit-key", shown.parse().unwrap());
    assert_eq!(broken(&headers), Some(RefusalReason::KeyRefused));
}

#[test]
fn raw_tcp_is_let_in_by_its_address_and_never_in_the_place_of_a_key() {
    let (billing, _) = key("billing");
    let keys_alone = asking_for([billing]);
    assert!(keys_alone.shuts_tcp());
    let tcp = request("127.0.0.1", PresentedKey::Impossible);
    assert_eq!(decide(&keys_alone, &tcp).broken, Some(RefusalReason::KeyMissing));

    let both = ServicePolicy { from: Some(AddressList::parse(["127.0.0.1"]).unwrap()), ..keys_alone.clone() };
    assert!(!both.shuts_tcp());
    assert_eq!(decide(&both, &tcp), Decision { principal: Principal::Anonymous, broken: None });
    assert_eq!(
        decide(&both, &request("192.0.2.1", PresentedKey::Impossible)).broken,
        Some(RefusalReason::Address)
    );
    assert_eq!(
        decide(&both, &request("127.0.0.1", PresentedKey::Absent)).broken,
        Some(RefusalReason::KeyMissing),
        "of HTTP both are asked for"
    );

    assert!(!policy().shuts_tcp());
    assert!(!ServicePolicy { enforcement: Enforcement::CountOnly, ..keys_alone }.shuts_tcp());
}

#[test]
fn whoever_asks_for_a_key_or_an_address_has_chosen_and_whoever_counts_or_limits_has_not() {
    let (billing, _) = key("billing");
    let from = Some(AddressList::parse(["192.0.2.0/24"]).unwrap());
    let limits = PolicyLimits { rate: one_a_second(), max_body: Some(10), ..PolicyLimits::default() };
    assert!(asking_for([billing.clone()]).admits_only_chosen());
    assert!(asking_for([]).admits_only_chosen(), "nobody is let in");
    assert!(ServicePolicy { from: from.clone(), ..policy() }.admits_only_chosen());
    assert!(!policy().admits_only_chosen());
    assert!(!ServicePolicy { limits, ..policy() }.admits_only_chosen());
    let counting = ServicePolicy { enforcement: Enforcement::CountOnly, from, ..asking_for([billing]) };
    assert!(!counting.admits_only_chosen());
    for everybody in ["0.0.0.0/0", "::/0", "0.0.0.0/1 128.0.0.0/1"] {
        let from = Some(AddressList::parse(everybody.split(' ').chain(["192.0.2.0/24"])).unwrap());
        assert!(!ServicePolicy { from: from.clone(), ..policy() }.admits_only_chosen(), "{everybody}");
        let (billing, _) = key("billing");
        let both = ServicePolicy { from, ..asking_for([billing]) };
        assert!(both.admits_only_chosen() && both.shuts_tcp(), "the key is all that chooses");
        let decided = decide(&both, &request("192.0.2.1", PresentedKey::Impossible));
        assert_eq!(
            decided.broken,
            Some(RefusalReason::KeyMissing),
            "also of who came before the port was shut"
        );
    }
}

#[test]
fn neither_a_shown_key_nor_a_hash_is_printed_by_accident() {
    let (billing, shown) = key("billing");
    let shown = shown.as_bytes();
    let printed = format!("{:?} {:?}", PresentedKey::Text(shown), billing);
    assert!(printed.contains("Text(…)") && printed.contains("KeyHash(…)"), "{printed}");
}

#[test]
fn the_steps_have_one_order_and_the_first_that_is_not_kept_is_the_last() {
    let (billing, shown) = key("billing");
    let id = billing.id;
    let limits = PolicyLimits { rate: one_a_second(), max_body: Some(10), ..PolicyLimits::default() };
    let from = Some(AddressList::parse(["192.0.2.0/24"]).unwrap());
    let policy = ServicePolicy { from, limits, ..asking_for([billing]) };
    let whole =
        PolicyRequest { body_bytes: 10, ..request("192.0.2.1", PresentedKey::Text(shown.as_bytes())) };

    let mut meter = Allowing { each: 1, ..Allowing::default() };
    let all: Vec<_> = Step::ALL.map(|step| (step, Verdict::Kept)).into();
    assert_eq!(steps(&policy, &whole, &mut meter), all);
    let address = Counted::Address("192.0.2.1".parse().unwrap());
    assert_eq!(meter.asked, [address, Counted::Key(id)]);

    let until = |step: Step, reason| {
        let kept =
            Step::ALL.into_iter().take_while(move |before| *before < step).map(|step| (step, Verdict::Kept));
        kept.chain([(step, Verdict::Broken(reason))]).collect::<Vec<_>>()
    };
    let elsewhere = PolicyRequest {
        address: "198.51.100.1".parse().unwrap(),
        key: PresentedKey::Absent,
        body_bytes: 99,
        ..whole
    };
    let mut meter = Allowing::default();
    assert_eq!(steps(&policy, &elsewhere, &mut meter), until(Step::Address, RefusalReason::Address));
    assert_eq!(meter.asked, [], "who is not let in is not counted");
    let keyless = PolicyRequest { key: PresentedKey::Absent, body_bytes: 99, ..whole };
    assert_eq!(
        steps(&policy, &keyless, &mut Allowing::default()),
        until(Step::AddressLimits, RefusalReason::Rate)
    );
    assert_eq!(steps(&policy, &keyless, &mut Unlimited), until(Step::Key, RefusalReason::KeyMissing));
    let mut meter = Allowing { each: 1, asked: vec![Counted::Key(id)], ..Allowing::default() };
    let large = PolicyRequest { body_bytes: 11, ..whole };
    assert_eq!(steps(&policy, &large, &mut meter), until(Step::KeyLimits, RefusalReason::Rate));
    assert_eq!(steps(&policy, &large, &mut Unlimited), until(Step::Body, RefusalReason::Body));
}

#[test]
fn limits_hold_for_each_address_and_each_key_or_for_all_of_a_service() {
    let (billing, shown) = key("billing");
    let id = billing.id;
    let of = |per, address| {
        let limits = PolicyLimits { per, rate: one_a_second(), ..PolicyLimits::default() };
        let policy = ServicePolicy { limits, ..asking_for([billing.clone()]) };
        let mut meter = Allowing { each: 1, ..Allowing::default() };
        steps(&policy, &request(address, PresentedKey::Text(shown.as_bytes())), &mut meter);
        meter.asked
    };
    let network: IpAddr = "2001:db8:1:2::".parse().unwrap();
    assert_eq!(
        of(LimitedPer::Visitor, "2001:db8:1:2:3:4:5:6"),
        [Counted::Address(network), Counted::Key(id)]
    );
    assert_eq!(of(LimitedPer::Service, "2001:db8:1:2:3:4:5:6"), [Counted::Service]);
}

#[test]
fn a_policy_that_only_counts_takes_all_steps_and_says_what_was_broken_first() {
    let (billing, _) = key("billing");
    let limits = PolicyLimits { rate: one_a_second(), max_body: Some(10), ..PolicyLimits::default() };
    let from = Some(AddressList::default());
    let policy = ServicePolicy { from, limits, enforcement: Enforcement::CountOnly, ..asking_for([billing]) };
    let asked = PolicyRequest { body_bytes: 11, ..request("192.0.2.1", PresentedKey::Absent) };
    let seen = steps(&policy, &asked, &mut Allowing::default());
    let broken =
        [RefusalReason::Address, RefusalReason::Rate, RefusalReason::KeyMissing].map(Verdict::Broken);
    let verdicts: Vec<_> = seen.iter().map(|(_, verdict)| *verdict).collect();
    assert_eq!(
        verdicts,
        [broken.as_slice(), &[Verdict::NotAsked, Verdict::Broken(RefusalReason::Body)]].concat()
    );
    assert_eq!(decide(&policy, &asked).broken, Some(RefusalReason::Address));
}

#[test]
fn behind_what_is_not_kept_a_policy_that_only_counts_takes_nothing_from_its_limits() {
    let (billing, shown) = key("billing");
    let id = billing.id;
    let limits = PolicyLimits { rate: one_a_second(), ..PolicyLimits::default() };
    let from = Some(AddressList::parse(["192.0.2.0/24"]).unwrap());
    let policy = ServicePolicy { from, limits, enforcement: Enforcement::CountOnly, ..asking_for([billing]) };
    let mut meter = Allowing { each: 1, ..Allowing::default() };
    let elsewhere = request("198.51.100.1", PresentedKey::Text(shown.as_bytes()));
    for _ in 0..3 {
        let seen = steps(&policy, &elsewhere, &mut meter);
        assert_eq!(
            seen[Step::KeyLimits as usize],
            (Step::KeyLimits, Verdict::Kept),
            "others have used nothing"
        );
    }
    assert_eq!(meter.asked, []);
    let address = Counted::Address("198.51.100.1".parse().unwrap());
    let all = [address, Counted::Service, Counted::Key(id)];
    assert_eq!(meter.held, all.repeat(3), "and yet they are under way");
}

#[test]
fn what_a_policy_does_not_ask_for_it_does_not_look_at() {
    let asked =
        PolicyRequest { body_bytes: u64::MAX, ..request("192.0.2.1", PresentedKey::Text(b"whatever")) };
    let mut meter = Allowing::default();
    let seen = steps(&policy(), &asked, &mut meter);
    assert_eq!(seen, Step::ALL.map(|step| (step, Verdict::NotAsked)));
    assert_eq!(meter.asked, []);
    let address = Counted::Address("192.0.2.1".parse().unwrap());
    assert_eq!(meter.held, [address, Counted::Service], "who is under way is known all the same");
}

#[test]
fn an_operator_may_suppose_a_key_by_its_name() {
    let (billing, _) = key("billing");
    let policy = asking_for([billing]);
    let supposed =
        |name: &str| decide(&policy, &request("192.0.2.1", PresentedKey::Supposed(&name.parse().unwrap())));
    assert_eq!(supposed("billing").principal.key().map(ToString::to_string).as_deref(), Some("billing"));
    assert_eq!(supposed("sync").broken, Some(RefusalReason::KeyRefused));
}

#[test]
fn no_secret_is_printed() {
    let secret = KeySecret::random().unwrap();
    let id = VisitorKeyId::random().unwrap();
    let shown = secret.shown(id);
    let (_, text) = shown.expose_secret().split_once('.').unwrap();
    assert_eq!(text.len(), 43);
    for printed in [format!("{secret:?}"), format!("{shown:?}")] {
        assert!(!printed.contains(text), "{printed}");
    }
}

proptest! {
    #[test]
    fn whatever_is_shown_lets_nobody_in_but_the_key(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        let (billing, shown) = key("billing");
        let policy = asking_for([billing]);
        let decided = decide(&policy, &request("192.0.2.1", PresentedKey::Text(&text)));
        prop_assert_eq!(decided.broken.is_none(), text == shown.as_bytes());
    }
}
