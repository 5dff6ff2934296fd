//! Messages as they are written, and as strangers write them.

use proptest::prelude::*;

use super::*;
use crate::cause::{FrontCause, FrontUntried};

fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        features: vec![],
        software: Text::lossy("petit-client 0.1.0"),
        device_name: Text::lossy("Anna's laptop"),
        instance: Text::lossy("00ff"),
        takeover: true,
        only: true,
        max_streams: 10,
        window: 65_536,
        vitae: [(Text::lossy("brand"), Text::lossy("ce"))].into(),
        services: vec![Offer {
            service: 1,
            name: "web".parse().unwrap(),
            kind: ServiceKind::Http,
            health: Health::Down(ServiceCause::Refused),
            options: Options { host: Some("localhost:3000".parse().unwrap()), ..Options::default() },
        }],
    }
}

fn welcome() -> Welcome {
    let id: RegisteredId = "k3v5qyz2m7wbn4ta".parse().unwrap();
    Welcome {
        protocol: PROTOCOL,
        features: vec![],
        software: Text::lossy("petit-server 0.1.0"),
        device: "nzvkqe5b3wj2m4yha7fdtxs6pu".parse().unwrap(),
        window: 262_144,
        now: 1_800_000_000,
        vitae: Vitae::new(),
        services: vec![Grant {
            service: 1,
            name: "web".parse().unwrap(),
            outcome: GrantOutcome::Registered {
                id,
                url: PublicUrl::own("https://k3v5qyz2m7wbn4ta.example.com".to_owned()),
                aliases: vec!["acme".parse().unwrap()],
            },
        }],
        kept: vec![Kept { name: "old".parse().unwrap(), id }],
    }
}

/// A message of the relay's of any length that is not too small for an alias.
fn of_length(bytes: usize) -> FromRelay {
    let message = |aliases: Vec<Alias>| {
        let id = RegisteredId::random().unwrap();
        let url = PublicUrl::own("https://example.com".into());
        let outcome = GrantOutcome::Registered { id, url, aliases };
        let services = vec![Grant { service: 1, name: "web".parse().unwrap(), outcome }];
        FromRelay::Services { services, kept: vec![] }
    };
    let length = |message: &FromRelay| serde_json::to_vec(message).unwrap().len();
    let mut aliases = Vec::new();
    loop {
        // An alias in its quotes, and a comma before all but the first.
        let left =
            bytes - length(&message(aliases.clone())) - r#","""#.len() + usize::from(aliases.is_empty());
        let next = if left > 40 { 30 } else { left };
        aliases.push(format!("a{}", "x".repeat(next - 1)).parse().unwrap());
        if next == left {
            return message(aliases);
        }
    }
}

#[test]
fn a_hello_without_streams_is_none_and_neither_is_one_with_a_window_beyond_the_limits() {
    let check = |hello: Hello| FromAgent::Hello(hello).check();
    let limit = |result| matches!(result, Err(ControlError::Limit { what: "streams or window" }));
    assert_eq!(check(hello()), Ok(()));
    assert!(limit(check(Hello { max_streams: 0, ..hello() })));
    let (least, most) = (limits::MIN_WINDOW_BYTES, limits::MAX_WINDOW_BYTES);
    for window in [least, most] {
        assert_eq!(check(Hello { window, ..hello() }), Ok(()));
    }
    for window in [0, least - 1, most + 1] {
        assert!(limit(check(Hello { window, ..hello() })), "{window}");
    }
}

#[test]
fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    let most = limits::MAX_CONTROL_BYTES;
    assert_eq!(of_length(most).encode().unwrap().len(), most);
    for bytes in [most + 1, 2 * most] {
        assert!(
            matches!(of_length(bytes).encode(), Err(ControlError::TooLong { bytes: found }) if found == bytes)
        );
    }
}

#[test]
fn messages_have_the_documented_form() {
    let bytes = FromAgent::Hello(hello()).encode().unwrap();
    let golden = r#"{"type":"hello","protocol":1,"features":[],"software":"petit-client 0.1.0","device_name":"Anna's laptop","instance":"00ff","takeover":true,"only":true,"max_streams":10,"window":65536,"vitae":{"brand":"ce"},"services":[{"service":1,"name":"web","kind":"http","health":{"down":"refused"},"options":{"h2":false,"host":"localhost:3000"}}]}"#;
    assert_eq!(String::from_utf8(bytes).unwrap(), golden);
    assert_eq!(
        String::from_utf8(FromRelay::Welcome(welcome()).encode().unwrap()).unwrap(),
        r#"{"type":"welcome","protocol":1,"features":[],"software":"petit-server 0.1.0","device":"nzvkqe5b3wj2m4yha7fdtxs6pu","window":262144,"now":1800000000,"vitae":{},"services":[{"service":1,"name":"web","outcome":{"registered":{"id":"k3v5qyz2m7wbn4ta","url":"https://k3v5qyz2m7wbn4ta.example.com","aliases":["acme"]}}}],"kept":[{"name":"old","id":"k3v5qyz2m7wbn4ta"}]}"#
    );
    let services = FromRelay::Services {
        services: vec![Grant {
            service: 2,
            name: "db".parse().unwrap(),
            outcome: GrantOutcome::Refused { cause: GrantRefusal::TooMany },
        }],
        kept: vec![],
    };
    assert_eq!(
        String::from_utf8(services.encode().unwrap()).unwrap(),
        r#"{"type":"services","services":[{"service":2,"name":"db","outcome":{"refused":{"cause":"too_many"}}}],"kept":[]}"#
    );
    let rename = FromAgent::Rename { device_name: Text::lossy("Front desk") };
    assert_eq!(rename.encode().unwrap(), br#"{"type":"rename","device_name":"Front desk"}"#);
    let health = ServiceHealth { service: 7, health: Health::Down(ServiceCause::Refused) };
    let healths =
        FromAgent::Healths { healths: vec![health, ServiceHealth { service: 9, health: Health::Up }] };
    assert_eq!(
        String::from_utf8(healths.encode().unwrap()).unwrap(),
        r#"{"type":"healths","healths":[{"service":7,"health":{"down":"refused"}},{"service":9,"health":"up"}]}"#
    );
    let refused = FromRelay::Refused { refusal: Refusal::InUseElsewhere };
    assert_eq!(refused.encode().unwrap(), br#"{"type":"refused","refusal":"in_use_elsewhere"}"#);
    assert_eq!(FromRelay::Move {}.encode().unwrap(), br#"{"type":"move"}"#);
    let failed = FrontReport { state: FrontState::Failed(FrontCause::CertificateName), for_s: 7 };
    let fronts = FromRelay::Fronts(Fronts {
        http: FrontReport { state: FrontState::Passed, for_s: 60 },
        tcp: FrontReport { state: FrontState::Untried(FrontUntried::OtherMachine), for_s: 0 },
        names: vec![NameReport { name: "shop.acme.example".parse().unwrap(), report: failed }],
    });
    let bytes = fronts.encode().unwrap();
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        r#"{"type":"fronts","http":{"state":"passed","for_s":60},"tcp":{"state":{"untried":"other_machine"},"for_s":0},"names":[{"name":"shop.acme.example","report":{"state":{"failed":"certificate_name"},"for_s":7}}]}"#
    );
    assert_eq!(FromRelay::decode(&bytes), Ok(fronts));
    let report = |service, admits| PolicyReport { service, admits };
    let services = vec![report(1, Admits::Anyone), report(2, Admits::Chosen), report(3, Admits::Nobody)];
    let policies = FromRelay::Policies { services };
    let bytes = policies.encode().unwrap();
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        r#"{"type":"policies","services":[{"service":1,"admits":"anyone"},{"service":2,"admits":"chosen"},{"service":3,"admits":"nobody"}]}"#
    );
    assert_eq!(FromRelay::decode(&bytes), Ok(policies));
    let release = FromRelay::Release { counter: 12 };
    let bytes = release.encode().unwrap();
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), r#"{"type":"release","counter":12}"#);
    assert_eq!(FromRelay::decode(&bytes), Ok(release));
    let probed = FromRelay::Probed {
        probe: 7,
        result: ProbeResult { front_us: Some(12), broken: Some(Hop::Tunnel), ..ProbeResult::default() },
    };
    assert_eq!(
        String::from_utf8(probed.encode().unwrap()).unwrap(),
        r#"{"type":"probed","probe":7,"trial":{"front_us":12,"tunnel_us":null,"service_us":null,"broken":"tunnel"}}"#
    );
}

#[test]
fn messages_read_back() {
    let message = FromAgent::Hello(hello());
    assert_eq!(FromAgent::decode(&message.encode().unwrap()), Ok(message));
    let health = ServiceHealth { service: 1, health: Health::Untried };
    let message = FromAgent::Healths { healths: vec![health] };
    assert_eq!(FromAgent::decode(&message.encode().unwrap()), Ok(message));
    let message = FromAgent::Unregister {};
    assert_eq!(FromAgent::decode(&message.encode().unwrap()), Ok(message));
    let report = UpdateReport { counter: 12, version: Text::lossy("0.2.0"), state: UpdateState::PutBack };
    let message = FromAgent::Update(report);
    let bytes = message.encode().unwrap();
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        r#"{"type":"update","counter":12,"version":"0.2.0","state":"put_back"}"#
    );
    assert_eq!(FromAgent::decode(&bytes), Ok(message));
    let later = br#"{"type":"update","counter":12,"version":"0.2.0","state":"melted"}"#;
    let Ok(FromAgent::Update(later)) = FromAgent::decode(later) else { panic!() };
    assert_eq!(later.state, UpdateState::Other);
}

#[test]
fn as_many_services_as_there_can_be_fit_into_a_hello_and_options_may_be_null_or_missing() {
    let options = Options { answer_within_s: Some(86_400), ..Options::default() };
    let offer = |number: u16| Offer {
        service: u16::MAX - number,
        name: format!("{number:02}{}", "n".repeat(38)).parse().unwrap(),
        kind: ServiceKind::Http,
        health: Health::Down(ServiceCause::NameNotFound),
        options: options.clone(),
    };
    let services = (0..limits::MAX_SERVICES as u16).map(offer).collect();
    let message = FromAgent::Hello(Hello { services, ..hello() });
    assert_eq!(FromAgent::decode(&message.encode().unwrap()), Ok(message));
    let null = r#"{"h2":true,"host":null,"answer_within_s":null,"max_body_bytes":null}"#;
    for options in [null, r#"{"h2":true}"#] {
        let options: Options = serde_json::from_str(options).unwrap();
        assert_eq!(options, Options { h2: true, ..Options::default() });
    }
}

#[test]
fn unknown_fields_and_wrong_types_are_refused() {
    for bad in [
        r#"{"type":"health","service":1,"health":"up","id":"someone-else"}"#,
        r#"{"type":"unregister","device":"abc"}"#,
        r#"{"type":"open"}"#,
        r#"{"type":"health","service":-1,"health":"up"}"#,
        r#"{"type":"health","service":1}"#,
        r#"{"type":"remove","name":"../etc"}"#,
        r"[]",
        r"nothing",
        "",
    ] {
        assert!(FromAgent::decode(bad.as_bytes()).is_err(), "{bad}");
    }
    let deep = format!("{}{}", "[".repeat(8000), "]".repeat(8000));
    assert!(FromAgent::decode(deep.as_bytes()).is_err());
}

#[test]
fn doubles_and_excess_are_refused() {
    let mut twice = hello();
    twice.services.push(twice.services[0].clone());
    assert!(FromAgent::Hello(twice.clone()).check().is_err());
    twice.services[1].service = 2;
    assert!(FromAgent::Hello(twice.clone()).check().is_err());
    twice.services[1].name = "db".parse().unwrap();
    assert!(FromAgent::Hello(twice).check().is_ok());
    let health = ServiceHealth { service: 1, health: Health::Up };
    for (count, is_fine) in [(limits::MAX_SERVICES, true), (limits::MAX_SERVICES + 1, false)] {
        let healths = FromAgent::Healths { healths: vec![health; count] };
        assert_eq!(healths.check().is_ok(), is_fine);
    }
    let grant = |service| Grant {
        service,
        name: "web".parse().unwrap(),
        outcome: GrantOutcome::Refused { cause: GrantRefusal::TooMany },
    };
    for (numbers, is_fine) in [([1, 2], true), ([7, 7], false)] {
        let services = FromRelay::Services { services: numbers.map(grant).into(), kept: vec![] };
        assert_eq!(services.check().is_ok(), is_fine, "{numbers:?}");
    }
    let long = format!(r#"{{"type":"remove","name":"{}"}}"#, "a".repeat(41));
    assert!(FromAgent::decode(long.as_bytes()).is_err());
}

#[test]
fn what_a_message_says_is_within_its_limits() {
    let is_fine = |welcome: Welcome| FromRelay::Welcome(welcome).check().is_ok();
    let most = limits::MAX_WINDOW_BYTES;
    for (window, expected) in [(most, true), (most + 1, false)] {
        assert_eq!(is_fine(Welcome { window, ..welcome() }), expected, "a window of {window}");
    }
    let most = limits::MAX_SERVICES;
    for (count, expected) in [(most, true), (most + 1, false)] {
        let services = (0..count)
            .map(|number| Grant { service: u16::try_from(number).unwrap(), ..welcome().services[0].clone() });
        let (services, kept) = (services.collect(), vec![welcome().kept[0].clone(); count]);
        assert_eq!(is_fine(Welcome { services, ..welcome() }), expected, "{count} services");
        assert_eq!(is_fine(Welcome { kept, ..welcome() }), expected, "{count} names that are kept");
        let report =
            NameReport { name: "shop.acme.example".parse().unwrap(), report: FrontReport::default() };
        let fronts = FromRelay::Fronts(Fronts { names: vec![report; count], ..Fronts::default() });
        assert_eq!(fronts.check().is_ok(), expected, "{count} fronts");
        let report = PolicyReport { service: 1, admits: Admits::Anyone };
        let policies = FromRelay::Policies { services: vec![report; count] };
        assert_eq!(policies.check().is_ok(), expected, "{count} services' policies");
    }
    for (count, expected) in [(32, true), (33, false)] {
        let facts = (0..count).map(|number: u32| (Text::lossy(&number.to_string()), Text::lossy("")));
        assert_eq!(is_fine(Welcome { vitae: facts.collect(), ..welcome() }), expected, "{count} facts");
        let features = vec![Text::lossy("new"); count as usize];
        assert_eq!(is_fine(Welcome { features, ..welcome() }), expected, "{count} features");
    }
    for (seconds, expected) in [(0, false), (1, true), (86_400, true), (86_401, false)] {
        let mut hello = hello();
        hello.services[0].options.answer_within_s = Some(seconds);
        assert_eq!(FromAgent::Hello(hello).check().is_ok(), expected, "{seconds} s for an answer");
    }
    let most = u64::try_from(limits::PROBE_LIMIT.as_micros()).unwrap();
    for (time, expected) in [(most, true), (most + 1, false)] {
        let result = ProbeResult { front_us: Some(time), ..ProbeResult::default() };
        assert_eq!(FromRelay::Probed { probe: 1, result }.check().is_ok(), expected, "a probe of {time} µs");
    }
    let most = limits::FRONT_AGE_MAX.as_secs();
    for (for_s, expected) in [(most, true), (most + 1, false)] {
        let http = FrontReport { for_s, ..FrontReport::default() };
        let fronts = FromRelay::Fronts(Fronts { http, ..Fronts::default() });
        assert_eq!(fronts.check().is_ok(), expected, "a front for {for_s} s");
    }
}

#[test]
fn an_enrolment_hides_its_secret() {
    let enrol = FromDevice::Enrol(Enrol {
        protocol: PROTOCOL,
        invite: Text::lossy("00"),
        secret: SecretText::from_hex(&[0xab; 32]),
        device_name: Text::lossy("Anna's laptop"),
        software: Text::lossy("petit-client 0.1.0"),
    });
    let FromDevice::Enrol(read) = FromDevice::decode(&enrol.encode().unwrap()).unwrap();
    assert_eq!(read.secret.to_bytes(), Some([0xab; 32]));
    assert_eq!(read.secret.to_bytes::<16>(), None);
}

proptest! {
    #[test]
    fn any_bytes_are_met_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = FromAgent::decode(&bytes);
        let _ = FromRelay::decode(&bytes);
        let _ = EnrolAnswer::decode(&bytes);
    }

    #[test]
    fn damaged_messages_are_met_without_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = FromAgent::Hello(hello()).encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = FromAgent::decode(&bytes);
    }
}

#[test]
fn texts_and_addresses_that_would_deceive_a_reader_are_refused() {
    for text in ["two\nlines", "\u{202e}gnp.exe", "zero\u{200b}width", "\u{1b}[2J", "soft\u{ad}hyphen"] {
        let json = serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<Text<64>>(&json).is_err(), "{text:?}");
        assert!(
            Text::<64>::lossy(text).as_str().chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{text:?}"
        );
    }
    assert_eq!(Text::<64>::lossy("Jürgens Rechner 😀").as_str(), "Jürgens Rechner 😀");
    for url in ["http://a.example", "https://a.example:8443", "tcp://[2001:db8::1]:5432"] {
        assert_eq!(PublicUrl::try_from(url.to_owned()).unwrap().as_str(), url);
    }
    for url in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://",
        "https://a b",
        "http://a\u{202e}b",
        "a.example",
        "",
    ] {
        assert!(PublicUrl::try_from(url.to_owned()).is_err(), "{url:?}");
    }
    let ages = format!(
        r#"{{"type":"fronts","http":{{"state":"passed","for_s":{}}},"tcp":{{"state":"passed","for_s":0}},"names":[]}}"#,
        u64::MAX
    );
    assert!(FromRelay::decode(ages.as_bytes()).is_err());
    let late = format!(r#"{{"type":"probed","probe":7,"trial":{{"front_us":{}}}}}"#, u64::MAX);
    assert!(FromRelay::decode(late.as_bytes()).is_err());
}

/// The names that a source gives to what is written into messages: messages, fields, and values of enums.
fn names_on_the_wire(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for item in source.split("#[derive(").skip(1) {
        let (derived, item) = item.split_once(")]").unwrap();
        if !derived.contains("Deserialize") {
            continue;
        }
        let (item, _) = item.split_once("\n}").unwrap();
        let lines = item.lines().map(str::trim).skip_while(|line| !line.ends_with('{')).skip(1);
        let mut renamed = None;
        for line in lines.filter(|line| !line.starts_with("//")) {
            if let Some(attribute) = line.strip_prefix("#[serde(rename = \"") {
                renamed = attribute.split_once('"').map(|(name, _)| name.to_owned());
            }
            if line.starts_with('#') {
                continue;
            }
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let is_variant = name.starts_with(|c: char| c.is_ascii_uppercase());
            if is_variant || line[name.len()..].starts_with(':') {
                names.push(renamed.take().unwrap_or_else(|| snake(&name)));
            }
        }
    }
    names
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[test]
fn the_document_names_every_message_every_field_and_every_value() {
    let document = include_str!("../../../../docs/protocol.md");
    let sources = [
        include_str!("mod.rs"),
        include_str!("enrol.rs"),
        include_str!("fronts.rs"),
        // The causes of not being online, which stand before it, stay with the agent.
        include_str!("../../cause.rs").split_once("/// Why a private service").unwrap().1,
    ];
    let names: Vec<String> = sources.into_iter().flat_map(names_on_the_wire).collect();
    assert!(names.len() > 100, "{names:?}");
    for expected in ["rename", "device_name", "kept", "port_busy", "front_us", "certificate_name"] {
        assert!(names.iter().any(|name| name == expected), "this test looks at {expected}");
    }
    let is_named = |name: &str| {
        let quoted = [format!("`{name}`"), format!("\"{name}\"")];
        quoted.iter().any(|quoted| document.contains(quoted))
    };
    // `unsupported` is what an agent says of a relay that says nothing.
    let missing: Vec<&String> =
        names.iter().filter(|name| *name != "unsupported" && !is_named(name)).collect();
    assert_eq!(missing, Vec::<&String>::new());
}
