use petit_engine::cause::{Cause, FrontCause, FrontUntried, ServiceCause};

use super::*;
use crate::app::testing::{at, broken, online, registration, service, up_to_server};
use crate::status::BrokenAt;

fn facts<'a>(texts: &'a Texts, status: Option<&'a Status>) -> Facts<'a> {
    Facts {
        texts,
        now: UNIX_EPOCH + Duration::from_secs(10_000),
        wish: Wish::On,
        whose: Whose::Ours,
        status,
        registration: None,
        configured: &[],
        trouble: None,
        config_problem: None,
        traffic: Traffic::default(),
        since: Some(9),
        no_tray: false,
        is_root: false,
    }
}

/// One status of each kind of state.
fn each() -> Vec<(StateKind, Wish, Option<Status>)> {
    let cause = Cause::NameNotFound;
    vec![
        (StateKind::Unregistered, Wish::On, Some(at(Connection::Unregistered))),
        (StateKind::Off, Wish::Off, Some(at(Connection::Off))),
        (StateKind::Paused, Wish::Paused { until: 20_000 }, Some(at(Connection::Off))),
        (StateKind::Connecting, Wish::On, Some(at(Connection::Connecting))),
        (StateKind::Connecting, Wish::On, None),
        (StateKind::Online, Wish::On, Some(at(Connection::Online { since: 500 }))),
        (StateKind::Waiting, Wish::On, Some(at(Connection::Waiting { cause, retry_in_ms: 8000 }))),
        (StateKind::Stopped, Wish::On, Some(at(Connection::Stopped { cause: Cause::Unknown }))),
        (StateKind::Locked, Wish::On, Some(at(Connection::NoKey { trouble: KeyTrouble::Locked }))),
    ]
}

#[test]
fn each_state_has_its_kind_and_its_words_in_both_languages() {
    for lang in crate::app::texts::LANGUAGES {
        let texts = Texts::of(lang);
        for (kind, wish, status) in each() {
            let view = view(Facts { wish, ..facts(&texts, status.as_ref()) });
            assert_eq!(view.state.kind, kind);
            for text in [&view.headline.title, &view.headline.detail] {
                assert!(
                    !text.is_empty() && !text.contains('{') && !text.contains("state."),
                    "{kind:?}: {text}"
                );
            }
        }
        let trouble = words::words(&texts, "problem.config.broken", &[]);
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
    let states = each().into_iter().chain([(StateKind::Online, Wish::On, Some(red))]);
    for (kind, wish, status) in states {
        let facts = Facts {
            wish,
            whose: if kind == StateKind::Off { Whose::Another { pid: Some(4) } } else { Whose::Ours },
            registration: Some(&known),
            no_tray: true,
            is_root: true,
            ..facts(&texts, status.as_ref())
        };
        let view = view(facts);
        let headline = [&view.headline.title, &view.headline.detail, &view.headline.advice];
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
    assert_eq!(view.headline.detail, "db: Nothing listens at localhost:3000");
    let tones: Vec<Tone> = view.services[1].hops.iter().map(|hop| hop.tone).collect();
    assert_eq!(tones, [Tone::Good, Tone::Good, Tone::Good, Tone::Bad]);
    status.services[1] = broken(service("db"), BrokenAt::Tunnel);
    let tones = |status: &Status| {
        let service = super::service(&texts, &status.services[1], StateKind::Online);
        service.hops.iter().map(|hop| hop.tone).collect::<Vec<_>>()
    };
    assert_eq!(tones(&status), [Tone::Good, Tone::Bad, Tone::Off, Tone::Off]);
}

#[test]
fn a_hop_is_good_only_when_something_has_passed_it() {
    let texts = Texts::of("en");
    let tones = |status: Status| {
        let view = view(facts(&texts, Some(&status)));
        let tones: Vec<Tone> = view.services[0].hops.iter().map(|hop| hop.tone).collect();
        (view.headline.tone, tones)
    };
    let cause = Cause::ConnectionRefused;
    // The server has gone: nobody sees its public side.
    let (_, lost) = tones(at(Connection::Waiting { cause, retry_in_ms: 8000 }));
    assert_eq!(lost, [Tone::Off, Tone::Bad, Tone::Off, Tone::Off]);
    let (_, revoked) = tones(at(Connection::Stopped { cause: Cause::Unknown }));
    assert_eq!(revoked, [Tone::Off, Tone::Bad, Tone::Off, Tone::Off]);
    let front = BrokenAt::Front(FrontCause::CertificateExpired);
    let (headline, red) = tones(online(vec![broken(service("web"), front)]));
    assert_eq!((headline, red[0]), (Tone::Bad, Tone::Bad));
    let (headline, good) = tones(online(vec![service("web")]));
    assert_eq!((headline, good), (Tone::Good, vec![Tone::Good; 4]));
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
    for (kind, wish, status) in each() {
        let can = view(Facts { wish, ..facts(&texts, status.as_ref()) }).can;
        assert_eq!(can.register, kind == StateKind::Unregistered, "{kind:?}");
        assert_eq!(can.resume, kind == StateKind::Paused, "{kind:?}");
        assert_eq!(can.unlock, kind == StateKind::Locked, "{kind:?}");
        assert!(
            !(can.start && can.stop)
                || matches!(kind, StateKind::Paused | StateKind::Stopped | StateKind::Waiting)
        );
        let theirs =
            view(Facts { whose: Whose::Another { pid: None }, wish, ..facts(&texts, status.as_ref()) });
        assert!(!theirs.can.pause && !theirs.can.unlock, "what is another's cannot be paused");
        assert!(theirs.notices.iter().any(|notice| notice.id == "other"));
    }
}

#[test]
fn anothers_state_is_shown_whatever_is_wished_of_ours() {
    let texts = Texts::of("en");
    let status = at(Connection::Online { since: 500 });
    let facts =
        Facts { whose: Whose::Another { pid: Some(7) }, wish: Wish::Off, ..facts(&texts, Some(&status)) };
    let view = view(facts);
    assert_eq!((view.state.kind, view.state.since), (StateKind::Online, Some(500)));
}

#[test]
fn without_an_agent_the_services_of_the_config_are_shown() {
    let texts = Texts::of("en");
    let status = at(Connection::Unregistered);
    let configured = [("web".to_owned(), crate::app::contract::ServiceKind::Http, "localhost:1".to_owned())];
    let view = view(Facts { configured: &configured, ..facts(&texts, Some(&status)) });
    assert_eq!((view.services[0].name.as_str(), view.services[0].light), ("web", Light::Off));
}
