use petit_client::registration::Registration;
use petit_client::status::BrokenAt;
use petit_client::status::Status;
use petit_engine::cause::{Cause, FrontCause, FrontUntried, ServiceCause};
use petit_engine::proto::control::GrantRefusal;

use super::*;
use crate::contract::{ActionName, HopId};
use crate::facts::{Trouble, TroubleKind};
use crate::testing::{at, broken, every_state, facts, online, registration, service, trying, up_to_server};

/// One status of each kind of state.
fn each() -> Vec<(StateKind, DesiredState, Option<Status>)> {
    let cause = Cause::NameNotFound;
    vec![
        (StateKind::Unregistered, DesiredState::On, Some(at(Connection::Unregistered))),
        (StateKind::Off, DesiredState::Off, Some(at(Connection::Off))),
        (StateKind::Paused, DesiredState::Paused { until: 20_000 }, Some(at(Connection::Off))),
        (StateKind::Connecting, DesiredState::On, Some(at(Connection::Connecting))),
        (StateKind::Connecting, DesiredState::On, None),
        (StateKind::Online, DesiredState::On, Some(at(Connection::Online { since: 500 }))),
        (StateKind::Waiting, DesiredState::On, Some(at(Connection::Waiting { cause, retry_in_ms: 8000 }))),
        (StateKind::Stopped, DesiredState::On, Some(at(Connection::Stopped { cause: Cause::Unknown }))),
        (StateKind::Locked, DesiredState::On, Some(at(Connection::NoKey { trouble: KeyTrouble::Locked }))),
    ]
}

fn trouble(texts: &Texts, kind: TroubleKind) -> Trouble {
    Trouble { kind, words: words::words(texts, "problem.config.broken", &[]) }
}

#[test]
fn each_state_has_its_kind_and_its_words_in_both_languages() {
    for lang in crate::texts::LANGUAGES {
        let texts = Texts::of(lang);
        for (kind, desired, status) in each() {
            let view = view(Facts { desired, ..facts(&texts, status.as_ref()) });
            assert_eq!(view.state.kind, kind);
            for text in [&view.headline.title, &view.headline.detail] {
                assert!(
                    !text.is_empty() && !text.contains('{') && !text.contains("state."),
                    "{kind:?}: {text}"
                );
            }
        }
        let trouble = trouble(&texts, TroubleKind::Config);
        let view = view(Facts { trouble: Some(&trouble), ..facts(&texts, None) });
        assert_eq!((view.state.kind, view.headline.tone), (StateKind::Broken, Tone::Bad));
    }
}

#[test]
fn every_sentence_of_a_view_comes_from_the_catalogue() {
    let texts = Texts::pseudo();
    let down = BrokenAt::Service(ServiceCause::Refused);
    let unseen = up_to_server(service("shop"), FrontUntried::Unreachable);
    let red = online(vec![service("web"), broken(service("db"), down), unseen]);
    let known = registration();
    let states = each().into_iter().chain([(StateKind::Online, DesiredState::On, Some(red))]);
    for (kind, desired, status) in states {
        let facts = Facts {
            desired,
            owner: if kind == StateKind::Off { Owner::Another { pid: Some(4) } } else { Owner::Ours },
            registration: Some(&known),
            no_tray: true,
            is_root: true,
            ..facts(&texts, status.as_ref())
        };
        let view = view(facts);
        let Headline { title, fact, detail, advice, .. } = &view.headline;
        let headline = [title, fact, detail, advice];
        let notices = view.notices.iter().map(|notice| &notice.text);
        let services = view.services.iter().flat_map(|service| {
            [&service.words.what, &service.words.todo]
                .into_iter()
                .chain(service.hops.iter().map(|hop| &hop.label))
        });
        for text in headline.into_iter().chain(notices).chain(services) {
            assert!(text.is_empty() || text.starts_with('⟦'), "{kind:?}: {text}");
        }
    }
}

#[test]
fn a_service_that_is_down_is_named_and_only_its_hop_is_red() {
    let texts = Texts::of("en");
    let down = BrokenAt::Service(ServiceCause::Refused);
    let mut status = online(vec![service("web"), broken(service("db"), down)]);
    let view = view(facts(&texts, Some(&status)));
    assert_eq!((view.state.kind, view.headline.tone), (StateKind::Online, Tone::Warn));
    assert_eq!(view.headline.detail, "Service db: Nothing listens at localhost:3000");
    let tones = |status: &Status| {
        let service = super::service(&texts, &status.services[1], StateKind::Online, "front");
        service.hops.iter().map(|hop| hop.tone).collect::<Vec<_>>()
    };
    assert_eq!(tones(&status), [Tone::Good, Tone::Good, Tone::Good, Tone::Bad]);
    status.services[1] = broken(service("db"), BrokenAt::Tunnel);
    assert_eq!(tones(&status), [Tone::Good, Tone::Bad, Tone::Off, Tone::Off]);
}

/// The hops of a service in a view.
fn hops(status: &Status) -> Vec<(HopId, Tone)> {
    let texts = Texts::of("en");
    let view = view(facts(&texts, Some(status)));
    view.services[0].hops.iter().map(|hop| (hop.id, hop.tone)).collect()
}

#[test]
fn a_hop_that_was_not_seen_is_never_green() {
    let all = |tones: [Tone; 4]| {
        [HopId::Front, HopId::Tunnel, HopId::Client, HopId::Service]
            .into_iter()
            .zip(tones)
            .collect::<Vec<_>>()
    };
    // The server has gone, or does not know this computer any more: nobody has seen its front.
    for connection in [
        Connection::Waiting { cause: Cause::ConnectionRefused, retry_in_ms: 1 },
        Connection::Stopped { cause: Cause::Unknown },
    ] {
        assert_eq!(hops(&at(connection)), all([Tone::Off, Tone::Bad, Tone::Off, Tone::Off]));
    }
    // What lies behind a broken hop is not known, and the front is seen by the server alone.
    let front = |cause| online(vec![broken(service("web"), BrokenAt::Front(cause))]);
    assert_eq!(hops(&front(FrontCause::CertificateExpired))[0], (HopId::Front, Tone::Bad));
    let down = BrokenAt::Service(ServiceCause::Refused);
    let mut unseen = broken(trying(service("web")), down);
    assert_eq!(hops(&online(vec![unseen.clone()])), all([Tone::Off, Tone::Good, Tone::Good, Tone::Bad]));
    unseen = broken(unseen, BrokenAt::Server(GrantRefusal::TooMany));
    assert_eq!(hops(&online(vec![unseen])), all([Tone::Off, Tone::Good, Tone::Bad, Tone::Off]));
    // Being tried: the session is all that is known.
    let tried = online(vec![trying(service("web"))]);
    assert_eq!(hops(&tried), all([Tone::Busy, Tone::Good, Tone::Busy, Tone::Busy]));
    assert_eq!(hops(&at(Connection::Connecting)), all([Tone::Off, Tone::Busy, Tone::Off, Tone::Off]));
    // What went all the way is green, whoever went it.
    assert_eq!(hops(&online(vec![service("web")])), all([Tone::Good; 4]));
}

#[test]
fn what_a_light_says_is_said_in_words_too() {
    let texts = Texts::of("en");
    let status = at(Connection::Waiting { cause: Cause::Lost, retry_in_ms: 1 });
    let view = view(facts(&texts, Some(&status)));
    let said: Vec<&str> = view.services[0].hops.iter().map(|hop| hop.said.as_str()).collect();
    assert_eq!(said[0], "not known");
    assert!(said.iter().all(|said| !said.is_empty() && !said.contains('.')), "{said:?}");
}

#[test]
fn no_state_is_without_its_fitting_way_out() {
    let (texts, known) = (Texts::of("en"), registration());
    for (name, desired, status, kind) in every_state() {
        let trouble = kind.map(|kind| trouble(&texts, kind));
        let facts = Facts {
            desired,
            registration: Some(&known),
            trouble: trouble.as_ref(),
            ..facts(&texts, status.as_ref())
        };
        let view = view(facts);
        let primary: Vec<ActionName> =
            view.actions.iter().filter(|action| action.primary).map(|action| action.name).collect();
        let connection = status.as_ref().map(|status| &status.connection);
        let expected = match (connection, kind, desired) {
            (_, Some(TroubleKind::Config), _) => vec![ActionName::Settings],
            (_, Some(TroubleKind::Folder), _) => vec![ActionName::Start],
            (_, Some(TroubleKind::Damaged), _) => vec![ActionName::Register],
            (_, _, DesiredState::Off) => vec![ActionName::Start],
            (_, _, DesiredState::Paused { .. }) => vec![ActionName::Resume],
            (Some(Connection::Unregistered), ..) => vec![ActionName::Register],
            (Some(Connection::Stopped { cause: Cause::Unknown }), ..) => vec![ActionName::Register],
            (Some(Connection::Stopped { .. } | Connection::Waiting { .. }), ..) => vec![ActionName::Start],
            (Some(Connection::NoKey { trouble: KeyTrouble::Asked }), ..) => vec![],
            (Some(Connection::NoKey { trouble: KeyTrouble::Gone }), ..) => vec![ActionName::Register],
            (Some(Connection::NoKey { .. }), ..) => vec![ActionName::Unlock],
            (Some(Connection::Online { .. }), ..) if view.services.is_empty() => vec![ActionName::Services],
            (Some(Connection::Online { .. } | Connection::Connecting), ..) => vec![],
            (Some(Connection::Off) | None, ..) => panic!("{name}"),
        };
        assert_eq!(primary, expected, "{name}");
        assert!(view.actions.first().is_none_or(|first| first.primary || primary.is_empty()), "{name}");
        assert!(view.actions.iter().all(|action| !action.label.contains('.')), "{name}: {:?}", view.actions);
        // The tray offers the same.
        let tray = crate::tray::model(&view, &texts, false);
        assert!(tray.items.len() <= crate::tray::MOST_ITEMS, "{name}");
    }
}

#[test]
fn the_invited_name_is_suggested_while_it_is_free() {
    let texts = Texts::of("en");
    let known = Registration { service: "orders".parse().unwrap(), ..registration() };
    let status = online(vec![service("web")]);
    let view_of = |status: &Status, configured: &[(String, crate::contract::ServiceKind, String)]| {
        let view = view(Facts { registration: Some(&known), configured, ..facts(&texts, Some(status)) });
        (view.suggested, view.invited)
    };
    assert_eq!(view_of(&status, &[]), ("orders".into(), Some("orders".into())));
    let both = online(vec![service("web"), service("orders")]);
    assert_eq!(view_of(&both, &[]), ("web-2".into(), None));
    let configured = [("orders".to_owned(), crate::contract::ServiceKind::Http, "h:1".to_owned())];
    assert_eq!(view_of(&online(vec![]), &configured), ("web".into(), None));
}

#[test]
fn an_alias_is_shown_as_the_address_that_it_is() {
    let alias = |text: &str| text.parse::<Alias>().unwrap();
    let url = Some("https://abcdefghijklmnop.example.com:8453");
    assert_eq!(address(&alias("acme"), url), "https://acme.example.com:8453");
    assert_eq!(address(&alias("shop.acme.example"), url), "https://shop.acme.example:8453");
    assert_eq!(address(&alias("acme"), None), "acme");
    assert_eq!(address(&alias("acme"), Some("tcp://example.com:20000")), "acme");
}

#[test]
fn what_the_server_cannot_try_is_never_plain_green() {
    let texts = Texts::of("en");
    let status = online(vec![up_to_server(service("web"), FrontUntried::Unreachable)]);
    let view = view(facts(&texts, Some(&status)));
    assert_eq!(view.headline.tone, Tone::Warn);
    let tones: Vec<Tone> = view.services[0].hops.iter().map(|hop| hop.tone).collect();
    assert_eq!(tones, [Tone::Warn, Tone::Good, Tone::Good, Tone::Good]);
    assert_eq!(
        view.services[0].words.what,
        "Works up to the server; its public address was not tried, because the server does not reach it from where it stands"
    );
}

#[test]
fn what_may_be_wished_for_follows_from_the_state() {
    let texts = Texts::of("en");
    for (kind, desired, status) in each() {
        let can = view(Facts { desired, ..facts(&texts, status.as_ref()) }).can;
        // The one that is stopped here is revoked.
        let wants_invite = matches!(kind, StateKind::Unregistered | StateKind::Stopped);
        assert_eq!(can.register, wants_invite, "{kind:?}");
        assert_eq!(can.resume, kind == StateKind::Paused, "{kind:?}");
        assert_eq!(can.unlock, kind == StateKind::Locked, "{kind:?}");
        assert!(
            !(can.start && can.stop)
                || matches!(kind, StateKind::Paused | StateKind::Stopped | StateKind::Waiting)
        );
        let theirs =
            view(Facts { owner: Owner::Another { pid: None }, desired, ..facts(&texts, status.as_ref()) });
        assert!(!theirs.can.pause, "what is another's cannot be paused");
        assert!(theirs.notices.iter().any(|notice| notice.id == "other"));
    }
}

#[test]
fn anothers_state_is_shown_whatever_is_wished_of_ours() {
    let texts = Texts::of("en");
    let status = at(Connection::Online { since: 500 });
    let facts = Facts {
        owner: Owner::Another { pid: Some(7) },
        desired: DesiredState::Off,
        ..facts(&texts, Some(&status))
    };
    let view = view(facts);
    assert_eq!((view.state.kind, view.state.since), (StateKind::Online, Some(500)));
}

#[test]
fn without_an_agent_the_services_of_the_config_are_shown() {
    let texts = Texts::of("en");
    let status = at(Connection::Unregistered);
    let configured = [("web".to_owned(), crate::contract::ServiceKind::Http, "localhost:1".to_owned())];
    let view = view(Facts { configured: &configured, ..facts(&texts, Some(&status)) });
    assert_eq!((view.services[0].name.as_str(), view.services[0].light), ("web", Light::Off));
}

#[test]
fn what_works_is_headed_by_who_reaches_what() {
    let texts = Texts::of("en");
    let known = registration();
    let fact = |services: Vec<ServiceStatus>, known: &Registration| {
        let status = online(services);
        view(Facts { registration: Some(known), ..facts(&texts, Some(&status)) }).headline.fact
    };
    assert_eq!(fact(vec![service("accounts")], &known), "Nordlicht reaches accounts");
    let two = || vec![service("accounts"), service("archive")];
    assert_eq!(fact(two(), &known), "Nordlicht reaches accounts and archive");
    assert_eq!(fact([two(), two()].concat(), &known), "Nordlicht reaches 4 services");
    let nameless = Registration { vendor: None, ..registration() };
    assert_eq!(fact(vec![service("accounts")], &nameless), "tunnel.example.com reaches accounts");
    // What does not work, or is not known to, is no fact.
    let down = broken(service("web"), BrokenAt::Service(ServiceCause::Refused));
    for services in [
        vec![],
        vec![service("accounts"), down],
        vec![trying(service("accounts"))],
        vec![up_to_server(service("accounts"), FrontUntried::Unreachable)],
    ] {
        assert_eq!(fact(services, &known), "");
    }
}

#[test]
fn seconds_that_count_down_change_no_sentence() {
    let texts = Texts::of("en");
    let headline = |retry_in_ms| {
        let status = at(Connection::Waiting { cause: Cause::NameNotFound, retry_in_ms });
        view(facts(&texts, Some(&status))).headline
    };
    assert_eq!(headline(61_000), headline(1));
}

#[test]
fn the_vendors_end_of_the_way_has_its_name() {
    let texts = Texts::of("en");
    let status = online(vec![service("web")]);
    let end = |known: &Registration| {
        let view = view(Facts { registration: Some(known), ..facts(&texts, Some(&status)) });
        view.services[0].hops[0].label.clone()
    };
    assert_eq!(end(&registration()), "Nordlicht's server");
    assert_eq!(end(&Registration { vendor: None, ..registration() }), "Your vendor's server");
}

#[test]
fn the_window_says_who_can_come_in_as_the_server_says_and_nothing_where_it_says_nothing() {
    for (admits, en, de) in [
        (
            Some(Admits::Anyone),
            "Who can come in: whoever knows the address",
            "Zugang hat, wer die Adresse kennt",
        ),
        (
            Some(Admits::Chosen),
            "Who can come in: whoever your vendor lets in",
            "Zugang hat, wer von Ihrem Anbieter eingelassen wird",
        ),
        (None, "", ""),
    ] {
        let status = online(vec![ServiceStatus { admits, ..service("web") }]);
        for (lang, expected) in [("en", en), ("de", de)] {
            let texts = Texts::of(lang);
            let view = view(facts(&texts, Some(&status)));
            assert_eq!(view.services[0].admits.as_deref().unwrap_or_default(), expected);
            let knows = view.headline.detail.contains("knows the address")
                || view.headline.detail.contains("die Adresse kennt");
            assert_eq!(knows, admits == Some(Admits::Anyone), "{}", view.headline.detail);
            let lets =
                view.headline.detail.contains("lets in") || view.headline.detail.contains("eingelassen wird");
            assert_eq!(lets, admits == Some(Admits::Chosen), "{}", view.headline.detail);
        }
    }
}

#[test]
fn a_port_that_the_vendor_has_not_opened_is_said_in_window_and_tray() {
    let shut = ServiceStatus { admits: Some(Admits::Nobody), ..broken(service("db"), BrokenAt::Shut) };
    let status = online(vec![shut]);
    for (lang, what, admits) in [
        ("en", "our vendor has not opened it yet", "Who can come in: nobody yet"),
        ("de", "Ihr Anbieter hat den Zugang noch nicht geöffnet", "Zugang hat noch niemand"),
    ] {
        let texts = Texts::of(lang);
        let view = view(facts(&texts, Some(&status)));
        assert!(view.services[0].words.what.contains(what), "{:?}", view.services[0].words);
        assert!(!view.services[0].words.todo.is_empty());
        assert_eq!(view.services[0].admits.as_deref(), Some(admits));
        assert!(view.headline.detail.contains(what), "{}", view.headline.detail);
    }
}
