//! The log of changes: each change is one row of it, nobody can make the operator forget what others have done, and
//! nobody can make it grow without end.

use petit_engine::secret::{Fingerprint, PrivateKey};
use serde_json::Value;

use super::*;
use crate::audit::{AuditFault, Verified, Verifier};
use crate::registry::{Change, ChangeHash, Head, SignedHead};

impl Bed {
    async fn changes(&self) -> Vec<Change> {
        self.store.changes(0, u32::MAX).await.unwrap().changes
    }

    async fn count(&self, is_one: impl Fn(&Change) -> bool) -> usize {
        self.changes().await.iter().filter(|change| is_one(change)).count()
    }

    /// Changes the file behind the server's back.
    async fn alter(&self, sql: &'static str) {
        let mut held = self.store.writer.lock().await;
        sqlx::raw_sql(sql).execute(held.as_mut().unwrap()).await.unwrap();
    }

    async fn verify(&self, heads: Vec<SignedHead>, keys: &[Fingerprint]) -> Result<Verified, AuditFault> {
        let page = self.store.changes(0, u32::MAX).await.unwrap();
        let mut verifier = Verifier::new(page.checkpoint.as_ref(), heads, keys, Timestamp::now())?;
        page.changes.iter().try_for_each(|change| verifier.add(change))?;
        verifier.finish(page.head)
    }

    /// Makes all changes of so far older.
    async fn age(&self, days: i64) {
        let sql = format!("UPDATE changes SET at = at - {days} * 86400");
        let mut held = self.store.writer.lock().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(held.as_mut().unwrap()).await.unwrap();
        drop(held);
        // As they were written then.
        let mut head = Head { version: 0, hash: ChangeHash::NONE };
        for change in self.changes().await {
            let aged =
                Change::after(head, (change.at, change.actor), (change.kind, change.subject), change.body);
            let mut held = self.store.writer.lock().await;
            let rehash = sqlx::query("UPDATE changes SET prev = ?, hash = ? WHERE version = ?");
            let rehash = rehash.bind(&aged.prev.0[..]).bind(&aged.hash.0[..]).bind(aged.version as i64);
            rehash.execute(held.as_mut().unwrap()).await.unwrap();
            let of_all = sqlx::query("UPDATE registry SET hash = ?").bind(&aged.hash.0[..]);
            of_all.execute(held.as_mut().unwrap()).await.unwrap();
            head = aged.head();
        }
    }
}

/// Who, what and to whom.
fn said(change: &Change) -> (String, String, String) {
    (change.actor.to_string(), change.kind.to_string(), change.subject.clone())
}

#[tokio::test]
async fn each_change_is_one_row_that_says_who_did_what() {
    let bed = Bed::new().await;
    let key = key();
    let invite = bed.invite(Some("acme"), 3600).await;
    let client = bed.enrol(invite, &key).await.unwrap();
    let (device, id) = (client.device, client.id);
    let offer = vec![("db".parse().unwrap(), ServiceKind::Tcp), ("api".parse().unwrap(), ServiceKind::Http)];
    bed.store.announce(device, offer, LIMITS).await.unwrap();
    bed.store.rename(device, "Ben's".into()).await.unwrap();
    bed.alias(id, "shop").await.unwrap();
    bed.store.remove_alias(id, "shop".parse().unwrap(), Actor::Operator).await.unwrap();
    bed.store.remove_service(device, "db".parse().unwrap()).await.unwrap();
    let withdrawn = bed.invite(None, 3600).await.0;
    bed.store.withdraw(withdrawn, Actor::Operator).await.unwrap();
    bed.store.unregister(device).await.unwrap();
    let revoked = bed.enrolled().await.device;
    bed.store.revoke(revoked, Actor::Operator).await.unwrap();

    let changes = bed.changes().await;
    let by_client = format!("client {}", key.fingerprint());
    let (operator, device, revoked) = ("operator", device.to_string(), revoked.to_string());
    let (invite, withdrawn) = (invite.0.to_string(), withdrawn.to_string());
    let expected = [
        (operator, "invite-made", invite.as_str()),
        (&by_client, "client-enrolled", &device),
        (&by_client, "services-registered", &device),
        (&by_client, "client-renamed", &device),
        (operator, "alias-added", "shop"),
        (operator, "alias-removed", "shop"),
        (&by_client, "service-removed", &device),
        (operator, "invite-made", &withdrawn),
        (operator, "invite-withdrawn", &withdrawn),
        (&by_client, "client-unregistered", &device),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(who, what, whom)| ((*who).into(), (*what).into(), (*whom).into())).collect();
    assert_eq!(changes.iter().map(said).take(10).collect::<Vec<_>>(), expected);
    assert_eq!(said(&changes[12]), ("operator".into(), "client-revoked".into(), revoked));
    assert_eq!(changes.len(), 13);
    assert_eq!(changes.iter().map(|change| change.version).collect::<Vec<_>>(), (1..=13).collect::<Vec<_>>());
    let services = changes[2].body["services"].as_array().unwrap();
    let ports: Vec<_> = services.iter().map(|service| (&service["name"], &service["port"])).collect();
    assert_eq!(ports, [(&"db".into(), &30_000.into()), (&"api".into(), &Value::Null)]);
    assert_eq!((&changes[1].body["alias"], &changes[9].body["aliases"][0]), (&"acme".into(), &"acme".into()));
    assert!(bed.verify(Vec::new(), &[]).await.is_ok());
}

#[tokio::test]
async fn what_changes_nothing_writes_nothing() {
    let bed = Bed::new().await;
    let client = bed.enrolled().await;
    bed.alias(client.id, "acme").await.unwrap();
    let before = bed.changes().await.len();
    bed.alias(client.id, "acme").await.unwrap();
    bed.store.rename(client.device, "Anna's laptop".into()).await.unwrap();
    let web = vec![("web".parse().unwrap(), ServiceKind::Http)];
    bed.store.announce(client.device, web, LIMITS).await.unwrap();
    bed.store.remove_service(client.device, "nothing".parse().unwrap()).await.unwrap();
    assert!(bed.store.revoke(DeviceId::random().unwrap(), Actor::Operator).await.is_err());
    assert_eq!(bed.store.trim_changes(PrivateKey::generate().unwrap()).await.unwrap(), None);
    assert_eq!(bed.changes().await.len(), before);
}

#[tokio::test]
async fn a_client_cannot_push_the_changes_of_others_out_of_the_log_nor_fill_it() {
    let bed = Bed::new().await;
    let other = bed.enrolled().await;
    bed.store.rename(other.device, "Ben's".into()).await.unwrap();
    let key = key();
    let noisy = bed.enrol(bed.invite(None, 3600).await, &key).await.unwrap();
    let before = bed.changes().await;
    let mut names = 0;
    loop {
        let name = format!("name {names}");
        if bed.store.rename(noisy.device, name).await.unwrap().renamed.is_empty() {
            break;
        }
        names += 1;
        assert!(names < 5000, "there is no end to it");
    }
    assert!(names > 1000, "{names} are as many as an honest client never has");
    // What it announces anew is refused for as long.
    let offer = vec![("new".parse().unwrap(), ServiceKind::Http), ("web".parse().unwrap(), ServiceKind::Tcp)];
    let (announced, delta) = bed.store.announce(noisy.device, offer, LIMITS).await.unwrap();
    assert!(matches!(announced[..], [AnnouncedRow::TooMany, AnnouncedRow::TooMany]), "{announced:?}");
    assert!(delta.added.services.is_empty());
    // It can give back what it has, and leave.
    bed.store.remove_service(noisy.device, "web".parse().unwrap()).await.unwrap();
    let actor = Actor::Client(key.fingerprint());
    assert_eq!(bed.count(|change| change.actor == actor && change.kind == "service-removed").await, 1);
    let after = bed.changes().await;
    assert_eq!(after[..before.len()], before, "nothing of what was there is gone");
    assert_eq!(bed.count(|change| change.actor == actor).await, names + 2);
    // Others are not concerned.
    assert!(!bed.store.rename(other.device, "Cleo's".into()).await.unwrap().renamed.is_empty());
    // Neither is the client, a day later.
    bed.age(1).await;
    assert!(!bed.store.rename(noisy.device, "a new day".into()).await.unwrap().renamed.is_empty());
    bed.store.unregister(noisy.device).await.unwrap();
}

#[tokio::test]
async fn a_client_that_asks_for_the_same_answer_cannot_fill_the_log_either() {
    let bed = Bed::new().await;
    let (invite, key) = (bed.invite(None, 3600).await, key());
    let device = bed.enrol(invite, &key).await.unwrap().device;
    let mut rounds = 0;
    let refused = loop {
        bed.store.remove_service(device, "web".parse().unwrap()).await.unwrap();
        match bed.enrol(invite, &key).await {
            Ok(_) => rounds += 1,
            Err(refusal) => break refusal,
        }
        assert!(rounds < 5000, "there is no end to it");
    };
    assert_eq!(refused, EnrolRefusal::Busy);
}

#[tokio::test]
async fn whoever_tries_a_used_invite_again_and_again_is_noted_once_a_minute_and_a_few_times_a_day() {
    let bed = Bed::new().await;
    let (invite, key) = (bed.invite(None, 3600).await, key());
    let holder = bed.enrol(invite, &key).await.unwrap().device;
    let stranger = self::key();
    for _ in 0..10 {
        assert_eq!(bed.enrol(invite, &stranger).await.unwrap_err(), EnrolRefusal::Used);
    }
    let noted = |change: &Change| change.kind == "invite-reused";
    assert_eq!(bed.count(noted).await, 1);
    for _ in 0..2 * limits::INVITE_REUSE_NOTED_PER_DAY {
        bed.alter("UPDATE changes SET at = at - 60 WHERE kind = 'invite-reused'").await;
        assert_eq!(bed.enrol(invite, &stranger).await.unwrap_err(), EnrolRefusal::Used);
    }
    assert_eq!(bed.count(noted).await, limits::INVITE_REUSE_NOTED_PER_DAY);
    // It is no doing of the holder's.
    assert_eq!(bed.count(|change| change.actor == Actor::Client(key.fingerprint())).await, 1);
    assert!(!bed.store.rename(holder, "mine".into()).await.unwrap().renamed.is_empty());
}

#[tokio::test]
async fn no_secret_of_an_invite_is_in_the_log() {
    let bed = Bed::new().await;
    let (_, secret) = bed.invite(None, 3600).await;
    let log = serde_json::to_string(&bed.changes().await).unwrap();
    let (hex, base64) = (data_encoding::HEXLOWER.encode(&secret.0), data_encoding::BASE64.encode(&secret.0));
    assert!(log.contains("for Anna") && !log.contains(&hex) && !log.contains(&base64), "{log}");
}

#[tokio::test]
async fn a_row_that_was_altered_in_the_file_is_found() {
    let bed = Bed::new().await;
    let client = bed.enrolled().await;
    bed.alias(client.id, "acme").await.unwrap();
    bed.alias(client.id, "shop").await.unwrap();
    assert!(bed.verify(Vec::new(), &[]).await.is_ok());
    for (alter, put_back) in [
        (
            "UPDATE changes SET actor = 'server' WHERE version = 3",
            "UPDATE changes SET actor = 'operator' WHERE version = 3",
        ),
        // The same value in another spelling.
        (
            "UPDATE changes SET body = body || ' ' WHERE version = 3",
            "UPDATE changes SET body = rtrim(body) WHERE version = 3",
        ),
        (
            "UPDATE changes SET body = 'no JSON' || body WHERE version = 3",
            "UPDATE changes SET body = substr(body, 8) WHERE version = 3",
        ),
        (
            "UPDATE changes SET actor = 'nobody that there is' WHERE version = 3",
            "UPDATE changes SET actor = 'operator' WHERE version = 3",
        ),
    ] {
        bed.alter(alter).await;
        assert_eq!(bed.verify(Vec::new(), &[]).await, Err(AuditFault::Altered { version: 3 }), "{alter}");
        bed.alter(put_back).await;
        assert!(bed.verify(Vec::new(), &[]).await.is_ok(), "{put_back}");
    }
    // The hash is of `unrecorded`, as of what was carried over from before there was a log.
    let mut unrecorded = bed.changes().await[2].clone();
    unrecorded.actor = Actor::Unrecorded;
    let hex = |change: &Change| data_encoding::HEXLOWER.encode(&change.computed_hash().0);
    let alter =
        format!("UPDATE changes SET actor = 'nobody', hash = x'{}' WHERE version = 3", hex(&unrecorded));
    bed.alter(alter.leak()).await;
    assert_eq!(bed.verify(Vec::new(), &[]).await, Err(AuditFault::Altered { version: 3 }));
    unrecorded.actor = Actor::Operator;
    let put_back =
        format!("UPDATE changes SET actor = 'operator', hash = x'{}' WHERE version = 3", hex(&unrecorded));
    bed.alter(put_back.leak()).await;
    bed.alter("DELETE FROM changes WHERE version = 4").await;
    let cut = bed.verify(Vec::new(), &[]).await;
    assert_eq!(cut, Err(AuditFault::Short { last: 3, version: 4 }));
}

#[tokio::test]
async fn changes_go_after_four_hundred_days_and_what_is_left_is_whole() {
    let bed = Bed::new().await;
    let key = PrivateKey::generate().unwrap();
    bed.enrolled().await;
    bed.age(250).await;
    let kept = bed.enrolled().await;
    bed.age(150).await;
    assert_eq!(bed.store.trim_changes(key.clone()).await.unwrap(), None, "once a day is enough");
    bed.age(1).await;
    let before = bed.changes().await;
    assert_eq!(bed.store.trim_changes(key.clone()).await.unwrap(), Some(2));
    let after = bed.changes().await;
    assert_eq!(after[..2], before[2..]);
    let trimmed = (after[2].actor, &*after[2].kind, &after[2].body["through"]);
    assert_eq!(trimmed, (Actor::Server, "log-trimmed", &2.into()));
    let keys = [key.public().fingerprint()];
    let found = bed.verify(Vec::new(), &keys).await.unwrap();
    assert_eq!((found.first, found.head.version), (Some(3), 5));
    assert_eq!(bed.store.trim_changes(key.clone()).await.unwrap(), None);
    // Nobody else can cut the log there, or anywhere.
    bed.alter("DELETE FROM changes WHERE version = 3").await;
    let missing = bed.verify(Vec::new(), &keys).await;
    assert_eq!(missing, Err(AuditFault::Missing { expected: 3, found: 4 }));
    let other = PrivateKey::generate().unwrap().public().fingerprint();
    let forged = bed.verify(Vec::new(), &[other]).await;
    assert_eq!(forged, Err(AuditFault::Checkpoint { version: 2, key: keys[0] }));
    // And it goes on from there.
    assert!(!bed.store.rename(kept.device, "later".into()).await.unwrap().renamed.is_empty());
}

#[tokio::test]
async fn a_change_that_is_not_made_is_not_in_the_log() {
    let bed = Bed::new().await;
    let client = bed.enrolled().await;
    let before = bed.store.changes(0, u32::MAX).await.unwrap();
    bed.alter("CREATE TRIGGER t BEFORE UPDATE ON registry BEGIN SELECT raise(ABORT, 'no'); END").await;
    assert!(bed.store.rename(client.device, "another".into()).await.is_err());
    bed.alter_anew("DROP TRIGGER t").await;
    let after = bed.store.changes(0, u32::MAX).await.unwrap();
    assert_eq!((after.head, after.changes), (before.head, before.changes));
    assert_eq!(bed.store.devices().await.unwrap()[0].name, "Anna's laptop");
}

impl Bed {
    /// With a connection of its own: the store's has failed.
    async fn alter_anew(&self, sql: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.dir.path().join("registry.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}
