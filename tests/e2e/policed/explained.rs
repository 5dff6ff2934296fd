//! What `explain` says of a visitor whom the operator supposes is what such a visitor gets.

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use petit_engine::name::VisitorKeyName;
use petit_relay::policy::Enforcement;
use petit_server::api::{ExplainUrl, Explained, PolicyStep, PolicyVerdict, SupposedVisitor, VisitOutcome};
use petit_server::explain::explain;
use petit_server::registry::{Actor, Edit, Enforcement as Stored, PolicyEdit};
use petit_tests::bed::Bed;
use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::visitor::{Answer, host, request, whole};
use secrecy::ExposeSecret;

use super::connect_from;

async fn visit(bed: &Bed, host: &str, from: &str, key: Option<&str>) -> Answer {
    let tcp = connect_from(from, bed.http()).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    let mut asked = request(host, "GET", "/", Empty::<Bytes>::new());
    if let Some(key) = key {
        asked.headers_mut().insert("petit-key", key.parse().unwrap());
    }
    whole(soon("an answer", sender.send_request(asked)).await.unwrap()).await
}

async fn explained(bed: &Bed, url: &str, from: &str, key: Option<&str>) -> Explained {
    let key: Option<VisitorKeyName> = key.map(|name| name.parse().unwrap());
    let visitor = SupposedVisitor { from: Some(from.parse().unwrap()), key };
    let (asked, server) = (ExplainUrl { url: url.to_owned(), visitor }, &bed.server);
    explain(&asked, server.endpoint(), &server.directory, Some(server)).await.unwrap()
}

fn steps(explained: &Explained) -> Vec<(PolicyStep, PolicyVerdict)> {
    let policy = explained.policy.as_ref().unwrap();
    policy.steps.iter().map(|step| (step.step, step.verdict)).collect()
}

#[tokio::test]
async fn what_is_explained_of_a_visitor_is_what_such_a_visitor_gets() {
    let (bed, web) = (Bed::start().await, Service::http("web").await);
    let client = bed.client(&web).await;
    client.until_green("web").await;
    let (directory, host) = (&bed.server.directory, host(&client.id()));
    let (billing, other) = ("billing".parse().unwrap(), "other".parse().unwrap());
    let shown = directory.create_key(billing, Actor::Operator).await.unwrap();
    let unlisted = directory.create_key(other, Actor::Operator).await.unwrap();
    let edit = PolicyEdit {
        services: Some(vec!["default".parse().unwrap()]),
        from: Edit::To(vec!["127.0.0.2/32".parse().unwrap(), "127.0.0.3/32".parse().unwrap()]),
        keys: Edit::To(vec!["billing".parse().unwrap()]),
        max_body: Edit::To(1000),
        ..PolicyEdit::of("cloud".parse().unwrap())
    };
    directory.set_policy(edit, Actor::Operator).await.unwrap();
    let held = [(None, None), (Some("billing"), Some(&shown)), (Some("other"), Some(&unlisted))];
    let compare = async |expected: [[u16; 3]; 2]| {
        for (from, expected) in ["127.0.0.2", "127.0.0.4"].into_iter().zip(expected) {
            for ((name, secret), expected) in held.iter().zip(expected) {
                let answer = visit(&bed, &host, from, secret.map(|secret| secret.expose_secret())).await;
                assert_eq!(answer.status, expected, "{from} with {name:?}");
                let explained = explained(&bed, &host, from, *name).await;
                let said = explained.answer.map(|answer| (answer.status, answer.code));
                let got = answer.petit_error().map(|code| (answer.status.as_u16(), code));
                assert_eq!(said, got, "{from} with {name:?}");
            }
        }
    };
    compare([[401, 200, 401], [403, 403, 403]]).await;

    let (kept, broken, not_asked) = (PolicyVerdict::Kept, PolicyVerdict::Broken, PolicyVerdict::NotAsked);
    let whole = explained(&bed, &host, "127.0.0.2", Some("billing")).await;
    assert_eq!(whole.outcome, VisitOutcome::Service);
    assert_eq!(
        steps(&whole),
        [
            (PolicyStep::Address, kept),
            (PolicyStep::AddressLimits, not_asked),
            (PolicyStep::Key, kept),
            (PolicyStep::KeyLimits, not_asked),
            (PolicyStep::Body, kept)
        ]
    );
    let refused = explained(&bed, &host, "127.0.0.2", None).await;
    assert_eq!(refused.outcome, VisitOutcome::Answer);
    assert_eq!(steps(&refused).last(), Some(&(PolicyStep::Key, broken)));

    // One that only counts refuses nobody, and says whom it would.
    let edit =
        PolicyEdit { enforcement: Some(Stored::CountOnly), ..PolicyEdit::of("cloud".parse().unwrap()) };
    directory.set_policy(edit, Actor::Operator).await.unwrap();
    assert_eq!(directory.policy(&"cloud".parse().unwrap()).unwrap().enforcement, Enforcement::CountOnly);
    compare([[200; 3], [200; 3]]).await;
    let counted = explained(&bed, &host, "127.0.0.4", None).await;
    assert_eq!(steps(&counted).first(), Some(&(PolicyStep::Address, broken)));

    directory.remove_policy("cloud".parse().unwrap(), Actor::Operator).await.unwrap();
    assert!(explained(&bed, &host, "127.0.0.4", None).await.policy.is_none());
    compare([[200; 3], [200; 3]]).await;
}

/// Nothing is taken from a visitor's allowance by explaining what is left of it.
#[tokio::test]
async fn explaining_says_that_an_allowance_is_used_up_and_uses_nothing_of_it() {
    let (bed, web) = (Bed::start().await, Service::http("web").await);
    let client = bed.client(&web).await;
    client.until_green("web").await;
    let host = host(&client.id());
    let edit = PolicyEdit {
        services: Some(vec!["default".parse().unwrap()]),
        concurrent: Edit::To(1.try_into().unwrap()),
        rate: Edit::To(1.try_into().unwrap()),
        burst: Edit::To(5.try_into().unwrap()),
        ..PolicyEdit::of("cloud".parse().unwrap())
    };
    bed.server.directory.set_policy(edit, Actor::Operator).await.unwrap();
    for _ in 0..20 {
        assert_eq!(explained(&bed, &host, "127.0.0.1", None).await.answer, None);
    }
    let (visitor, asked) = (bed.visitor(), request(&host, "GET", "/wait", Empty::<Bytes>::new()));
    let waiting = tokio::spawn(async move { visitor.open(asked).await });
    soon("the request", web.until_waiting(1)).await;
    let used_up = explained(&bed, &host, "127.0.0.1", None).await.answer.unwrap();
    assert_eq!((used_up.status, used_up.code.as_str()), (429, "too-many-requests"));
    web.let_go();
    assert_eq!(waiting.await.unwrap().status(), 200);
}
