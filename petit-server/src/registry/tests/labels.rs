//! Tags and notes.

use std::collections::BTreeSet;

use petit_engine::name::Tag;

use super::*;

fn tags(words: &[&str]) -> BTreeSet<Tag> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

fn labels(words: &[&str], note: &str) -> Labels {
    Labels { tags: tags(words), note: note.parse().unwrap() }
}

impl Bed {
    async fn label(&mut self, device: DeviceId, edit: LabelEdit) -> Result<Labels, StoreError> {
        Ok(self.rules().label(device, edit, Actor::Operator).await?.0)
    }

    /// An invite with tags and a note, and the request that redeems it.
    async fn labelled_invite(&mut self, labels: Labels, key: PublicKey) -> EnrolRequest {
        let request = self.invite(None, HOUR).await;
        let (id, secret) =
            (InviteId(petit_engine::secret::random_bytes().unwrap()), InviteSecret::random().unwrap().hash());
        let not_after = (self.now + HOUR).into();
        let invite =
            NewInvite { id, secret, service: "web".parse().unwrap(), alias: None, labels, not_after };
        self.rules().invite(&invite, false, Actor::Operator).await.unwrap();
        EnrolRequest { invite: id, secret, key, ..request }
    }
}

#[tokio::test]
async fn what_an_invite_says_is_handed_on_to_its_client_and_one_that_says_nothing_takes_nothing_away() {
    let mut bed = Bed::new();
    let key = key();
    let first = bed.labelled_invite(labels(&["eu", "pilot"], "Beta Ltd"), key.clone()).await;
    let device = bed.enrol(&first).await.unwrap().device;
    assert_eq!(bed.rows.labels(&device).await.unwrap(), labels(&["eu", "pilot"], "Beta Ltd"));
    let enrolled = bed.rows.changes.last().unwrap();
    assert_eq!(enrolled.body["tags"], serde_json::json!(["eu", "pilot"]));
    assert_eq!(enrolled.body["note"], "Beta Ltd");

    let nothing = bed.labelled_invite(Labels::default(), key.clone()).await;
    bed.enrol(&nothing).await.unwrap();
    assert_eq!(bed.rows.labels(&device).await.unwrap(), labels(&["eu", "pilot"], "Beta Ltd"));
    let other = bed.labelled_invite(labels(&["gold"], ""), key).await;
    bed.enrol(&other).await.unwrap();
    assert_eq!(bed.rows.labels(&device).await.unwrap(), labels(&["gold"], "Beta Ltd"));
}

#[tokio::test]
async fn a_client_has_so_many_tags_and_no_more_and_what_changes_nothing_is_not_written_down() {
    let mut bed = Bed::new();
    let device = bed.enrolled().await.device;
    let all: Vec<String> = (0..=limits::MAX_TAGS).map(|number| format!("tag-{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let add = |words: &[&str]| LabelEdit { add: tags(words), ..LabelEdit::default() };
    bed.label(device, add(&all[1..])).await.unwrap();
    let written = bed.rows.written;
    let refused = conflict(bed.label(device, add(&all[..1])).await);
    assert_eq!(refused, Err(Conflict::TooManyTags { count: limits::MAX_TAGS + 1 }));
    assert_eq!(bed.label(device, add(&all[1..2])).await.unwrap().tags.len(), limits::MAX_TAGS);
    assert_eq!(bed.rows.written, written);
    let swap = LabelEdit { remove: tags(&all[1..2]), ..add(&all[..1]) };
    assert!(bed.label(device, swap).await.unwrap().tags.contains(&all[0].parse().unwrap()));
    assert_eq!(bed.rows.changes.last().unwrap().kind, "client-labelled");

    let invite = NewInvite {
        id: InviteId([1; 16]),
        secret: InviteSecret::random().unwrap().hash(),
        service: "web".parse().unwrap(),
        alias: None,
        labels: labels(&all, ""),
        not_after: (bed.now + HOUR).into(),
    };
    let refused = conflict(bed.rules().invite(&invite, false, Actor::Operator).await);
    assert_eq!(refused, Err(Conflict::TooManyTags { count: limits::MAX_TAGS + 1 }));
    bed.rules().revoke(device, Actor::Operator).await.unwrap();
    assert_eq!(conflict(bed.label(device, add(&["eu"])).await), Err(Conflict::NoDevice(device)));
}

#[test]
fn a_note_is_one_line_of_so_many_characters() {
    let fits = "ä".repeat(limits::NOTE_CHARS);
    assert_eq!(fits.parse::<Note>().unwrap().as_str(), fits);
    let length = limits::NOTE_CHARS + 1;
    assert_eq!(format!("{fits}x").parse::<Note>(), Err(InvalidNote::TooLong { length }));
    assert_eq!("two\nlines".parse::<Note>(), Err(InvalidNote::Control));
    assert_eq!(Note::lossy(&format!("two\nlines{fits}")).as_str().chars().count(), limits::NOTE_CHARS);
}
