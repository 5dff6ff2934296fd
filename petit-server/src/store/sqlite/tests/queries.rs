//! What the operator looks at, while clients log in.

use std::time::Duration;

use super::*;

impl Bed {
    /// Registers so many devices in one transaction, each with an alias.
    async fn many(&self, count: usize) {
        let enrol = async |rows: &mut SqliteConnection| {
            for number in 0..count {
                let id = InviteId(petit_engine::secret::random_bytes().unwrap());
                let secret = InviteSecret::random().unwrap().hash();
                let alias = Some(format!("customer-{number}").parse().unwrap());
                let invite = NewInvite {
                    id,
                    secret,
                    service: "web".parse().unwrap(),
                    alias,
                    labels: Labels::default(),
                    not_after: in_seconds(60),
                };
                rules(rows).invite(&invite, false, Actor::Operator).await?;
                rules(rows).enrol(&request((id, secret), &key()), &terms()).await?.unwrap();
            }
            Ok(())
        };
        self.store.write(enrol).await.unwrap();
    }
}

#[tokio::test]
async fn a_look_and_a_change_hold_up_neither_the_other() {
    let bed = Bed::new().await;
    bed.many(10).await;
    // In the middle of a look.
    let mut looking = bed.store.reader.lock().await;
    let connection = looking.as_mut().unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut *connection).await.unwrap();
    let count = "SELECT count(*) FROM devices";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.unwrap();
    bed.enrolled().await;
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut *connection).await.unwrap();
    assert_eq!((before, after), (10, 10), "it sees one state");
    sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.unwrap();
    drop(looking);
    // In the middle of a change.
    let mut changing = bed.store.writer.lock().await;
    let connection = changing.as_mut().unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE; DELETE FROM tombstones").execute(&mut *connection).await.unwrap();
    let looks = async {
        let devices = bed.store.devices().await.unwrap().len();
        let one = bed.store.aliases().await.unwrap()[0].device;
        assert!(bed.store.device(one).await.unwrap().is_some());
        (devices, bed.store.invites().await.unwrap().len())
    };
    let looked = tokio::time::timeout(Duration::from_secs(30), looks).await;
    assert_eq!(looked.expect("a look waits for a change"), (11, 11));
    sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.unwrap();
}

#[tokio::test]
async fn one_client_is_looked_up_as_one_client() {
    let bed = Bed::new().await;
    bed.many(3).await;
    let with_more = bed.enrolled().await;
    bed.alias(with_more.id, "b.example").await.unwrap();
    bed.alias(with_more.id, "a-name").await.unwrap();
    let offer = vec![("db".parse().unwrap(), ServiceKind::Tcp), ("api".parse().unwrap(), ServiceKind::Http)];
    bed.store.announce(with_more.device, offer, LIMITS).await.unwrap();
    let gone = bed.enrolled().await;
    bed.store.unregister(gone.device).await.unwrap();

    let all = bed.store.devices().await.unwrap();
    assert_eq!(all.len(), 5);
    for row in &all {
        let one = bed.store.device(row.id).await.unwrap().unwrap();
        assert_eq!(format!("{one:?}"), format!("{row:?}"));
    }
    let shape = |row: &DeviceRow| -> Vec<String> {
        row.services.iter().map(|service| format!("{} {:?}", service.name, service.aliases)).collect()
    };
    let found = bed.store.device(with_more.device).await.unwrap().unwrap();
    assert_eq!(shape(&found), ["api []", "db []", "web [a-name, b.example]"]);
    let found = bed.store.device(gone.device).await.unwrap().unwrap();
    assert!(found.services.is_empty() && found.ended.is_some_and(|(_, by)| by == EndedBy::Client));
    assert!(bed.store.device(DeviceId::random().unwrap()).await.unwrap().is_none());

    let aliases = bed.store.aliases().await.unwrap();
    assert_eq!(aliases.len(), 5);
    let of: Vec<_> = aliases.iter().filter(|row| row.device == with_more.device).collect();
    assert!(of.iter().all(|row| row.service == with_more.id && row.name.as_str() == "web"));
    assert_eq!(of.len(), 2);
}
