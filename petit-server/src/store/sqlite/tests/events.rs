//! What happened, and that no client can make the operator forget it.

use super::*;
use crate::registry::EVENTS_OF_DEVICE;

impl Bed {
    async fn events(&self, sql_filter: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM events WHERE {sql_filter}");
        let mut held = self.store.writer.lock().await;
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
        query.fetch_one(held.as_mut().unwrap()).await.unwrap()
    }
}

#[tokio::test]
async fn a_client_cannot_push_the_events_of_others_out_of_the_log() {
    let bed = Bed::new().await;
    let other = bed.enrolled().await;
    bed.store.rename(other.device, "Ben's".into()).await.unwrap();
    let noisy = bed.enrolled().await;
    let before = bed.events("TRUE").await;
    for number in 0..EVENTS_OF_DEVICE + 20 {
        bed.store.rename(noisy.device, format!("name {number}")).await.unwrap();
    }
    // Its services take the same room as its names.
    bed.store.remove_service(noisy.device, "web".parse().unwrap()).await.unwrap();
    let of_noisy = format!("device = '{}'", noisy.device);
    assert_eq!(bed.events(&of_noisy).await, i64::from(EVENTS_OF_DEVICE));
    assert_eq!(bed.events(&format!("{of_noisy} AND what = 'service-removed'")).await, 1, "the newest stay");
    let of_others = format!("device IS NULL OR NOT {of_noisy}");
    // One of before was its own: its first service.
    assert_eq!(bed.events(&of_others).await, before - 1);
}

#[tokio::test]
async fn whoever_tries_a_used_invite_again_and_again_is_noted_once_a_minute() {
    let bed = Bed::new().await;
    let invite = bed.invite(None, 3600).await;
    bed.enrol(invite, &key()).await.unwrap();
    for _ in 0..10 {
        assert_eq!(bed.enrol(invite, &key()).await.unwrap_err(), EnrolRefusal::Used);
    }
    assert_eq!(bed.events("what = 'invite-reused'").await, 1);
}
