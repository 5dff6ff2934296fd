//! Tokens of probes: each is good once, for [`limits::FRONT_LIMIT`], and for one host.
//!
//! A request that shows one has come in through a front of this process, whatever stands before it. It is answered
//! with a second secret, so that whoever else answers is found out. Any other token, also one that was good a moment
//! ago, is answered like a request without one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use petit_engine::limits;
use petit_engine::secret::{NoRandom, random_bytes, sha256};

/// The request's field with the token.
pub(crate) const TOKEN_FIELD: &str = "petit-front-probe";
/// The answer's field with what only the right server can say.
pub(crate) const ANSWER_FIELD: &str = "petit-front";

/// Tokens that are under way.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// By SHA-256: a look-up takes the same time however much of a guess is right, because what is compared is not
    /// what was guessed.
    pending: Mutex<HashMap<[u8; 32], Arc<Pending>>>,
}

#[derive(Debug)]
struct Pending {
    host: String,
    until: Instant,
    answer: String,
    came: Mutex<Option<Came>>,
}

/// What a token has come back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// As it was sent.
    AsSent,
    /// In a request for another host.
    ForOtherHost,
}

/// A token that is under way. It is good for nothing any more once this is dropped.
#[derive(Debug)]
pub(super) struct Issued<'a> {
    tokens: &'a Tokens,
    hash: [u8; 32],
    /// To be sent.
    pub(super) token: String,
    pending: Arc<Pending>,
}

impl Tokens {
    fn pending(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Pending>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new token for a request to `host`.
    ///
    /// # Errors
    /// [`NoRandom`].
    pub(super) fn issue(&self, host: &str, now: Instant) -> Result<Issued<'_>, NoRandom> {
        let hex = |bytes: [u8; 32]| data_encoding::HEXLOWER.encode(&bytes);
        let (token, answer) = (hex(random_bytes()?), hex(random_bytes()?));
        let hash = sha256(token.as_bytes());
        let until = now + limits::FRONT_LIMIT;
        let pending = Arc::new(Pending { host: host.to_owned(), until, answer, came: Mutex::default() });
        self.pending().insert(hash, Arc::clone(&pending));
        Ok(Issued { tokens: self, hash, token, pending })
    }

    /// Takes what a request shows as its token. `Some`: what it is to be answered with. It is used up by that, and
    /// by the attempt to use it for another host.
    pub(crate) fn redeem(&self, shown: &[u8], host: &str, now: Instant) -> Option<String> {
        let pending = self.pending().remove(&sha256(shown))?;
        if now > pending.until {
            return None;
        }
        let came = if host == pending.host { Came::AsSent } else { Came::ForOtherHost };
        *pending.came.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
        (came == Came::AsSent).then(|| pending.answer.clone())
    }
}

impl Issued<'_> {
    /// What the answer has to say.
    pub(super) fn answer(&self) -> &str {
        &self.pending.answer
    }

    /// What the token has come back with, when it has.
    pub(super) fn came(&self) -> Option<Came> {
        *self.pending.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Issued<'_> {
    fn drop(&mut self) {
        self.tokens.pending().remove(&self.hash);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_is_good_once() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let issued = tokens.issue("a.example", now).unwrap();
        assert_eq!(issued.token.len(), 64, "256 bits");
        assert_eq!(tokens.redeem(b"", "a.example", now), None);
        assert_eq!(tokens.redeem(issued.answer().as_bytes(), "a.example", now), None);
        assert_eq!(issued.came(), None);
        let answer = tokens.redeem(issued.token.as_bytes(), "a.example", now);
        assert_eq!(answer.as_deref(), Some(issued.answer()));
        assert_eq!(issued.came(), Some(Came::AsSent));
        assert_eq!(tokens.redeem(issued.token.as_bytes(), "a.example", now), None, "replayed");
    }

    #[test]
    fn a_token_for_another_host_is_refused_and_used_up() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let issued = tokens.issue("a.example", now).unwrap();
        assert_eq!(tokens.redeem(issued.token.as_bytes(), "b.example", now), None);
        assert_eq!(issued.came(), Some(Came::ForOtherHost));
        assert_eq!(tokens.redeem(issued.token.as_bytes(), "a.example", now), None);
    }

    #[test]
    fn a_token_is_good_for_ten_seconds_and_no_longer_than_it_is_waited_for() {
        let (tokens, now) = (Tokens::default(), Instant::now());
        let issued = tokens.issue("a.example", now).unwrap();
        let late = now + Duration::from_millis(10_001);
        assert_eq!(tokens.redeem(issued.token.as_bytes(), "a.example", late), None);
        let issued = tokens.issue("a.example", now).unwrap();
        let token = issued.token.clone();
        drop(issued);
        assert_eq!(tokens.redeem(token.as_bytes(), "a.example", now), None);
        assert!(tokens.pending().is_empty(), "nothing is left behind");
        let issued = tokens.issue("a.example", now).unwrap();
        let just = now + Duration::from_secs(10);
        assert!(tokens.redeem(issued.token.as_bytes(), "a.example", just).is_some());
    }
}
