use std::time::SystemTime;

use petit_engine::secret::PrivateKey;
use serde_json::json;

use super::*;
use crate::registry::Actor;
use crate::registry::Timestamp;

/// A log of so many changes.
fn log(changes: u64) -> Vec<Change> {
    let mut log: Vec<Change> = Vec::new();
    for number in 0..changes {
        let head = log.last().map_or(Head { version: 0, hash: ChangeHash::NONE }, Change::head);
        let (at, subject) = (Timestamp(1_800_000_000), format!("alias-{number}"));
        let body = json!({ "id": "5brztcqx64apzl4k", "client": number });
        log.push(Change::after(head, (at, Actor::Operator), ("alias-added".into(), subject), body));
    }
    log
}

fn verify(
    checkpoint: Option<&SignedHead>,
    log: &[Change],
    (heads, key): (&[SignedHead], &PrivateKey),
) -> Result<Verified, AuditFault> {
    verify_at(LATER, checkpoint, log, (heads, key))
}

/// After all that is in these tests.
const LATER: Timestamp = Timestamp(4_000_000_000);

fn verify_at(
    now: Timestamp,
    checkpoint: Option<&SignedHead>,
    log: &[Change],
    (heads, key): (&[SignedHead], &PrivateKey),
) -> Result<Verified, AuditFault> {
    let mut verifier = Verifier::new(checkpoint, heads.to_vec(), &[key.public().fingerprint()], now)?;
    log.iter().try_for_each(|change| verifier.add(change))?;
    verifier.finish(log.last().map_or(Head { version: 0, hash: ChangeHash::NONE }, Change::head))
}

fn signed(change: &Change, key: &PrivateKey) -> SignedHead {
    SignedHead::sign(SignedFor::Standing, change.head(), Timestamp::now(), key).unwrap()
}

fn checkpoint(change: &Change, key: &PrivateKey) -> SignedHead {
    SignedHead::sign(SignedFor::Checkpoint, change.head(), Timestamp::now(), key).unwrap()
}

#[test]
fn a_log_that_nobody_has_touched_is_whole() {
    let (key, log) = (PrivateKey::generate().unwrap(), log(5));
    let heads = [signed(&log[1], &key), signed(&log[4], &key)];
    let found = verify(None, &log, (&heads, &key)).unwrap();
    assert_eq!((found.first, found.head, found.signed), (Some(1), log[4].head(), 2));
    assert_eq!(verify(None, &[], (&[], &key)).unwrap().first, None);
}

#[test]
fn whatever_is_altered_in_a_change_is_found_at_that_change() {
    let key = PrivateKey::generate().unwrap();
    type Alteration = (&'static str, fn(&mut Change));
    let alterations: [Alteration; 6] = [
        ("at", |change| change.at = Timestamp(change.at.0 + 1)),
        ("actor", |change| change.actor = Actor::Server),
        ("kind", |change| change.kind = "alias-removed".into()),
        ("subject", |change| change.subject.push('x')),
        ("body", |change| change.body = json!({ "id": "5brztcqx64apzl4k", "client": "2" })),
        ("hash", |change| change.hash = ChangeHash([1; 32])),
    ];
    for (what, alter) in alterations {
        let mut log = log(5);
        alter(&mut log[2]);
        assert_eq!(verify(None, &log, (&[], &key)), Err(AuditFault::Altered { version: 3 }), "{what}");
    }
    // With a hash that fits it does not fit into the chain.
    let mut log = log(5);
    log[2].subject.push('x');
    log[2].hash = log[2].computed_hash();
    assert_eq!(verify(None, &log, (&[], &key)), Err(AuditFault::Replaced { version: 4 }));
}

#[test]
fn a_change_that_is_missing_is_found() {
    let key = PrivateKey::generate().unwrap();
    let whole = log(5);
    let mut gap = whole.clone();
    gap.remove(2);
    assert_eq!(verify(None, &gap, (&[], &key)), Err(AuditFault::Missing { expected: 3, found: 4 }));
    let beginning = verify(None, &whole[1..], (&[], &key));
    assert_eq!(beginning, Err(AuditFault::Missing { expected: 1, found: 2 }));
}

#[test]
fn an_end_that_was_cut_off_is_noticed_by_what_the_server_has_signed() {
    let key = PrivateKey::generate().unwrap();
    let log = log(5);
    let heads = [signed(&log[4], &key)];
    let cut = verify(None, &log[..3], (&heads, &key)).unwrap_err();
    assert!(matches!(cut, AuditFault::Cut { last: 3, signed: 5, .. }), "{cut:?}");
    // Others can sign what they like.
    let stranger = PrivateKey::generate().unwrap();
    let heads = [signed(&log[4], &stranger)];
    assert_eq!(verify(None, &log[..3], (&heads, &key)).unwrap().signed, 0);
}

#[test]
fn a_log_that_was_written_anew_is_noticed_by_what_the_server_has_signed() {
    let key = PrivateKey::generate().unwrap();
    let mut other = log(2);
    let heads = [signed(&log(5)[3], &key)];
    for number in 2..6 {
        let head = other.last().unwrap().head();
        let (what, body) = (("alias-added".into(), format!("other-{number}")), json!({}));
        other.push(Change::after(head, (Timestamp(1_800_000_000), Actor::Operator), what, body));
    }
    let found = verify(None, &other, (&heads, &key)).unwrap_err();
    assert!(matches!(found, AuditFault::Rewritten { version: 4, .. }), "{found:?}");
}

#[test]
fn a_trimmed_log_is_whole_when_the_server_has_signed_where_it_begins() {
    let key = PrivateKey::generate().unwrap();
    let log = log(6);
    let trimmed = checkpoint(&log[2], &key);
    let heads = [signed(&log[0], &key), signed(&log[2], &key), signed(&log[5], &key)];
    let found = verify(Some(&trimmed), &log[3..], (&heads, &key)).unwrap();
    assert_eq!((found.first, found.signed), (Some(4), 2), "the log does not reach back to the first");
    let stranger = PrivateKey::generate().unwrap();
    let forged = checkpoint(&log[2], &stranger);
    let found = verify(Some(&forged), &log[3..], (&[], &key)).unwrap_err();
    let expected = AuditFault::Checkpoint { version: 3, key: stranger.public().fingerprint() };
    assert_eq!(found, expected);
    // What was signed of one version is not good for another one.
    let text = trimmed.to_string().replacen(".3.", ".2.", 1);
    let moved = verify(Some(&text.parse().unwrap()), &log[2..], (&[], &key)).unwrap_err();
    assert!(matches!(moved, AuditFault::Checkpoint { version: 2, .. }), "{moved:?}");
    // Nor is where the log stood at some time a place that it was trimmed to.
    let standing = signed(&log[2], &key);
    let found = verify(Some(&standing), &log[3..], (&[], &key)).unwrap_err();
    assert!(matches!(found, AuditFault::Checkpoint { version: 3, .. }), "{found:?}");
    let text = standing.to_string().replacen(SignedFor::Standing.prefix(), SignedFor::Checkpoint.prefix(), 1);
    assert!(
        verify(Some(&text.parse().unwrap()), &log[3..], (&[], &key)).is_err(),
        "its text says more than it"
    );
}

#[test]
fn heads_of_before_a_backup_was_put_back_are_counted_and_not_missed() {
    let key = PrivateKey::generate().unwrap();
    let whole = log(5);
    let heads = [signed(&whole[1], &key), signed(&whole[4], &key)];
    let later = Timestamp(Timestamp::from(SystemTime::now()).0 + 1);
    let put_back = |body| {
        let mut restored = whole[..3].to_vec();
        let (head, what) = (restored[2].head(), (SUPERSEDED[0].into(), "registry".to_owned()));
        restored.push(Change::after(head, (later, Actor::Operator), what, body));
        restored
    };
    let by = |key: &PrivateKey, of: &Change| {
        let signed = SignedHead::sign(SignedFor::Restored, of.head(), later, key).unwrap();
        json!({ "signed": signed })
    };
    let found = verify(None, &put_back(by(&key, &whole[2])), (&heads, &key)).unwrap();
    assert_eq!((found.signed, found.superseded), (1, 1));
    // Only the server itself can say that.
    let stranger = PrivateKey::generate().unwrap();
    let standing = json!({ "signed": signed(&whole[2], &key) });
    for body in [json!({}), by(&stranger, &whole[2]), by(&key, &whole[1]), standing] {
        let found = verify(None, &put_back(body), (&heads, &key)).unwrap_err();
        assert!(matches!(found, AuditFault::Cut { last: 4, signed: 5, .. }), "{found:?}");
    }
}

#[test]
fn a_signed_head_is_found_in_a_line_of_the_log_and_is_what_it_was() {
    let key = PrivateKey::generate().unwrap();
    let head = signed(&log(3)[2], &key);
    let lines = [
        "2026-11-27T20:00:00Z  INFO petit_server::server: listening http=127.0.0.1:8090".to_owned(),
        format!(
            "2026-11-27T20:00:00Z  INFO petit_server::server: the log of changes stands here head={head} version=3"
        ),
        format!("{head}"),
        "head=petit-head-1.3.nonsense".to_owned(),
    ];
    let found: Vec<SignedHead> = lines.iter().filter_map(|line| head_in(line)).collect();
    assert!(found.len() == 2 && found.iter().all(|found| *found == head), "{found:?}");
    assert!(found[0].is_signed(SignedFor::Standing, &[key.public().fingerprint()]));
}

#[test]
fn a_body_has_one_form_in_whatever_order_its_names_come() {
    use crate::registry::canonical;
    let text = r#"{"b":[{"y":1,"x":null}],"a":"\u00fc \"q\"","c":true}"#;
    let value = serde_json::from_str(text).unwrap();
    assert_eq!(canonical(&value), "{\"a\":\"ü \\\"q\\\"\",\"b\":[{\"x\":null,\"y\":1}],\"c\":true}");
}

#[test]
fn heads_of_a_line_that_ended_before_all_that_is_kept_are_not_missed() {
    let key = PrivateKey::generate().unwrap();
    let day = 24 * 60 * 60;
    let whole = log(5);
    let begin = whole[0].at.0;
    let head = |change: &Change, at: i64, signed_for| {
        SignedHead::sign(signed_for, change.head(), Timestamp(at), &key).unwrap()
    };
    // A backup of change 3 is put back after 20 days, and its line goes on to change 4 and 5 of its own.
    let old = head(&whole[4], begin + 10 * day, SignedFor::Standing);
    let mut line = whole[..3].to_vec();
    let signed = head(&line[2], begin + 20 * day, SignedFor::Restored);
    for (kind, at, body) in [
        (SUPERSEDED[0], begin + 20 * day, json!({ "signed": signed })),
        ("alias-added", begin + 30 * day, json!({})),
        ("alias-added", begin + 500 * day, json!({})),
    ] {
        let what = (kind.into(), "registry".to_owned());
        let prev = line.last().unwrap().head();
        line.push(Change::after(prev, (Timestamp(at), Actor::Operator), what, body));
    }
    let heads = [old, head(&line[5], begin + 501 * day, SignedFor::Standing)];
    assert!(verify(None, &line, (&heads, &key)).is_ok());
    // After 402 days more what says that it was put back is forgotten, but what is of the line before is of nothing
    // that is kept.
    let trimmed = head(&line[3], begin + 425 * day, SignedFor::Checkpoint);
    let found = verify(Some(&trimmed), &line[4..], (&heads, &key)).unwrap();
    assert_eq!((found.first, found.signed, found.superseded), (Some(5), 1, 1));
    // What was signed of something that is kept is missed as ever.
    let young = head(&whole[4], begin + 26 * day, SignedFor::Standing);
    let found = verify(Some(&trimmed), &line[4..], (&[young], &key)).unwrap_err();
    assert!(matches!(found, AuditFault::Rewritten { version: 5, .. }), "{found:?}");
}

#[test]
fn a_clock_that_was_ahead_when_the_log_was_trimmed_hides_no_end_that_was_cut_off() {
    let key = PrivateKey::generate().unwrap();
    let day = 24 * 60 * 60;
    let whole = log(5);
    let begin = whole[0].at.0;
    let trimmed =
        SignedHead::sign(SignedFor::Checkpoint, whole[1].head(), Timestamp(begin + 2 * 365 * day), &key);
    let trimmed = trimmed.unwrap();
    let head =
        SignedHead::sign(SignedFor::Standing, whole[4].head(), Timestamp(begin + 9 * day), &key).unwrap();
    let at = |days: i64, log: &[Change]| {
        let now = Timestamp(begin + days * day);
        verify_at(now, Some(&trimmed), log, (std::slice::from_ref(&head), &key))
    };
    assert_eq!(at(10, &whole[2..]).unwrap().signed, 1);
    let cut = at(10, &whole[2..4]).unwrap_err();
    assert!(matches!(cut, AuditFault::Cut { last: 4, signed: 5, .. }), "{cut:?}");
    // When that clock was right after all it cannot be told from a line of before; that it is left out is said.
    assert_eq!(at(900, &whole[2..4]).unwrap().superseded, 1);
}
