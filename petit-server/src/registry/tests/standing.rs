//! Clients that are kept out for the time being.

use super::*;

#[tokio::test]
async fn a_suspended_client_stays_what_it_was_and_the_log_says_each_change_once() {
    let mut bed = Bed::new();
    let device = bed.enrolled().await.device;
    let since = bed.now;
    for (to, suspended, kind) in
        [(Suspension::Suspend, Some(since), "client-suspended"), (Suspension::Resume, None, "client-resumed")]
    {
        let delta = bed.rules().suspend(device, to, Actor::Operator).await.unwrap();
        assert_eq!(delta.suspended, [(device, suspended.is_some())]);
        let written = bed.rows.written;
        bed.now = bed.now + SECOND;
        let again = bed.rules().suspend(device, to, Actor::Operator).await.unwrap();
        assert_eq!((again.suspended, bed.rows.written), (vec![], written), "as it was: nothing is written");
        assert_eq!(bed.rows.changes.last().unwrap().kind, kind);
        let known = bed.rows.device(&device).await.unwrap().unwrap();
        assert_eq!((known.suspended, known.is_ended), (suspended, false));
    }
    bed.rules().note_kick(device, Actor::Operator).await.unwrap();
    assert_eq!(bed.rows.changes.last().unwrap().kind, "client-kicked");
    bed.rules().revoke(device, Actor::Operator).await.unwrap();
    for refused in [
        conflict(bed.rules().suspend(device, Suspension::Suspend, Actor::Operator).await),
        conflict(bed.rules().note_kick(device, Actor::Operator).await),
    ] {
        assert_eq!(
            refused,
            Err(Conflict::NoDevice(device)),
            "who is gone for good is not kept out for a while"
        );
    }
}
