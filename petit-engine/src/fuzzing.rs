//! What fuzzers feed: one function for each input that strangers control, with what must hold for every such input
//! as assertions. `tests/fuzz` runs them without end, the tests run them over the corpus that it has found.
//!
//! No part of the engine's interface.

use std::cell::RefCell;

use secrecy::SecretString;
use tokio::io::AsyncReadExt;

use crate::invite::Invite;
use crate::mux::{self, MuxEvent, Role};
use crate::net::wire::Wire;
use crate::proto::control::{
    EnrolAnswer, FetchAnswer, FromAgent, FromDevice, FromFetcher, FromRelay, Message,
};
use crate::proto::frame::{Decoder, Open};

/// Frames: whatever they are, they mean the same however they are cut.
///
/// # Panics
/// When they do not.
pub fn frames(bytes: &[u8]) {
    let whole = decoded(&[bytes]);
    let cut = bytes.first().map_or(0, |first| usize::from(*first) % (bytes.len() + 1));
    let (left, right) = bytes.split_at(cut);
    assert_eq!(whole, decoded(&[left, right]), "cut at {cut}");
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(whole, decoded(&single), "byte by byte");
}

/// What a decoder made of pieces: frames as text, with the bytes of DATA put together, and the error at the end.
fn decoded(pieces: &[&[u8]]) -> (Vec<String>, bool) {
    use crate::proto::frame::Piece;
    let mut decoder = Decoder::default();
    let mut out: Vec<String> = Vec::new();
    let mut data = String::new();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match decoder.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Piece::Data { stream, bytes })) => {
                    if data.is_empty() {
                        data = format!("data of {stream}: ");
                    }
                    data.push_str(&data_encoding::HEXLOWER.encode(bytes));
                }
                Ok(Some(other)) => {
                    if !data.is_empty() {
                        out.push(std::mem::take(&mut data));
                    }
                    out.push(format!("{other:?}"));
                }
                Err(error) => {
                    out.push(data);
                    out.push(error.to_string());
                    return (out, false);
                }
            }
        }
    }
    out.push(data);
    (out, true)
}

/// A whole session against a peer that says anything. The first byte chooses the role.
///
/// # Panics
/// When the session does not end with its connection.
pub fn session(bytes: &[u8]) {
    thread_local! {
        static RUNTIME: RefCell<Option<tokio::runtime::Runtime>> = const { RefCell::new(None) };
    }
    let Some((role, bytes)) = bytes.split_first() else { return };
    let role = if role % 2 == 0 { Role::Agent } else { Role::Relay };
    RUNTIME.with_borrow_mut(|runtime| {
        let runtime = runtime.get_or_insert_with(|| {
            #[expect(clippy::expect_used, reason = "a fuzzer without a runtime has nothing to do")]
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
        });
        runtime.block_on(against(role, bytes));
    });
}

async fn against(role: Role, bytes: &[u8]) {
    let io = Wire::new(tokio::io::join(bytes, tokio::io::sink()));
    let (mux, driver, mut events) = mux::session(io, role, 65_536);
    mux.set_peer_limits(65_536, 100);
    let mut held = Vec::new();
    if role == Role::Relay {
        for _ in 0..3 {
            held.extend(mux.open(Open::default()).ok());
        }
        for stream in &mut held {
            // There is room for it in any case.
            let _ = tokio::io::AsyncWriteExt::write_all(stream, b"hello").await;
        }
    }
    let serve = async {
        while let Some(event) = events.recv().await {
            if let MuxEvent::Open(stream) = event {
                held.push(stream);
            }
        }
        for stream in &mut held {
            let mut read = Vec::new();
            let _ = stream.read_to_end(&mut read).await;
        }
    };
    let (end, ()) = tokio::join!(driver, serve);
    drop(end);
    assert!(!mux.is_open(), "a session ends with its connection");
}

/// Messages: what is understood is understood again from what it is written as.
///
/// # Panics
/// When it is not.
pub fn messages(bytes: &[u8]) {
    fn again<M: Message + std::fmt::Debug + PartialEq>(bytes: &[u8]) {
        if let Ok(message) = M::decode(bytes)
            && let Ok(written) = message.encode()
        {
            assert_eq!(M::decode(&written).ok().as_ref(), Some(&message));
        }
    }
    again::<FromAgent>(bytes);
    again::<FromRelay>(bytes);
    again::<EnrolAnswer>(bytes);
    again::<FromFetcher>(bytes);
    again::<FetchAnswer>(bytes);
    let _ = FromDevice::decode(bytes);
}

/// Invites: a link that is understood leads to the same invite when it is written again.
///
/// # Panics
/// When it does not.
pub fn invite(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(invite) = Invite::parse(&SecretString::from(text)) {
        let again = Invite::parse(&invite.to_link());
        let same = again.is_ok_and(|again| again.id == invite.id && again.pins == invite.pins);
        assert!(same, "an invite is read as it was written");
    }
}

/// Answers of services: what is read of one does not depend on how it is cut. The first byte chooses that.
///
/// # Panics
/// When it does.
pub fn answer(bytes: &[u8]) {
    if let Some((step, bytes)) = bytes.split_first() {
        crate::http::fuzz_answer(bytes, usize::from(*step));
    }
}
