//! Is this the right answer? Pure. What comes may be anything, is at most [`limits::FRONT_ANSWER_BYTES`], and leaves
//! here as a cause and never as text.

use petit_engine::cause::FrontCause;

use super::token::{ANSWER_FIELD, Came};

/// Where the bytes of an answer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// More may come.
    MayCome,
    /// No more comes, or no more is read.
    IsOver,
}

/// What an answer is; `None` while more has to be read.
///
/// `came`: how the request has arrived at this server, when it has.
pub(super) fn judge(
    answer: &[u8],
    rest: Rest,
    expected: &str,
    came: Option<Came>,
) -> Option<Result<(), FrontCause>> {
    let open = rest == Rest::MayCome;
    // Whatever answers, a request that was changed on the way is what there is to be said.
    if came == Some(Came::ForOtherHost) {
        return Some(Err(FrontCause::OtherHost));
    }
    let Some(status) = status(answer) else {
        let may_become_one = answer.len() < STATUS_LINE_BYTES
            && VERSION.starts_with(answer.get(..VERSION.len()).unwrap_or(answer));
        return match (may_become_one, rest) {
            (true, Rest::MayCome) => None,
            (true, Rest::IsOver) => Some(Err(FrontCause::NoAnswer)),
            (false, _) => Some(Err(FrontCause::OtherServer)),
        };
    };
    match status {
        // A hint before the answer (RFC 9110 §15.2); what follows is the answer.
        100..=199 => match answer.windows(4).position(|end| end == b"\r\n\r\n") {
            Some(end) => judge(answer.get(end + 4..).unwrap_or_default(), rest, expected, came),
            None if open => None,
            None => Some(Err(FrontCause::NoAnswer)),
        },
        200 if says(answer, expected) => Some(Ok(())),
        200 if open => None,
        300..=399 => Some(Err(FrontCause::Redirected)),
        500..=599 => Some(Err(FrontCause::Gateway)),
        _ => Some(Err(FrontCause::OtherServer)),
    }
}

const VERSION: &[u8] = b"HTTP/1.";
/// `HTTP/1.1 200`.
const STATUS_LINE_BYTES: usize = 12;

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.get(..STATUS_LINE_BYTES)?;
    let (version, status) = line.split_at(9);
    let known = matches!(version, b"HTTP/1.1 " | b"HTTP/1.0 ");
    let status = std::str::from_utf8(status).ok().filter(|_| known)?;
    status.bytes().all(|byte| byte.is_ascii_digit()).then(|| status.parse().ok()).flatten()
}

/// True when a line of the answer is the field with what was expected, and ends.
fn says(answer: &[u8], expected: &str) -> bool {
    answer.split(|byte| *byte == b'\n').skip(1).any(|line| {
        let Some((name, value)) = line.split_at_checked(ANSWER_FIELD.len()) else { return false };
        let value = value.strip_prefix(b":").and_then(|value| value.strip_suffix(b"\r"));
        name.eq_ignore_ascii_case(ANSWER_FIELD.as_bytes())
            && value.is_some_and(|value| value.trim_ascii() == expected.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXPECTED: &str = "0123456789abcdef";

    fn over(answer: &str) -> Result<(), FrontCause> {
        judge(answer.as_bytes(), Rest::IsOver, EXPECTED, None).unwrap()
    }

    #[test]
    fn only_the_answer_that_was_expected_is_right() {
        let right = format!("HTTP/1.1 200 OK\r\nvia: x\r\nPetit-Front: {EXPECTED}\r\n\r\n");
        assert_eq!(over(&right), Ok(()));
        let hinted = format!("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n{right}");
        assert_eq!(over(&hinted), Ok(()));
        for (answer, cause) in [
            ("HTTP/1.1 200 OK\r\n\r\n", FrontCause::OtherServer),
            ("HTTP/1.1 204 No Content\r\n\r\n", FrontCause::OtherServer),
            ("HTTP/1.1 200 OK\r\npetit-front: 0123456789abcdee\r\n\r\n", FrontCause::OtherServer),
            ("HTTP/1.1 200 OK\r\nx-petit-front: 0123456789abcdef\r\n\r\n", FrontCause::OtherServer),
            ("HTTP/1.1 200 OK\r\npetit-front: 0123456789abcdef0\r\n\r\n", FrontCause::OtherServer),
            ("HTTP/1.1 404 Not Found\r\npetit-error: unknown-service\r\n\r\n", FrontCause::OtherServer),
            ("HTTP/1.1 301 Moved\r\nlocation: http://x/\r\n\r\n", FrontCause::Redirected),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", FrontCause::Gateway),
            ("HTTP/1.1 522 \r\n\r\n", FrontCause::Gateway),
            ("HTTP/1.1 20x OK\r\n\r\n", FrontCause::OtherServer),
            ("HTTP/1.1 +20 OK\r\n\r\n", FrontCause::OtherServer),
            ("SSH-2.0-OpenSSH_9.6\r\n", FrontCause::OtherServer),
            ("", FrontCause::NoAnswer),
            ("HTTP/1.1", FrontCause::NoAnswer),
            ("HTTP/1.1 100 Continue\r\n", FrontCause::NoAnswer),
        ] {
            assert_eq!(over(answer), Err(cause), "{answer:?}");
        }
        let redirected = format!("HTTP/1.1 302 Found\r\npetit-front: {EXPECTED}\r\n\r\n");
        assert_eq!(
            over(&redirected),
            Err(FrontCause::Redirected),
            "a redirect is no answer, whatever it says"
        );
    }

    #[test]
    fn what_has_only_begun_is_waited_for() {
        let right = format!("HTTP/1.1 200 OK\r\nvia: x\r\npetit-front: {EXPECTED}\r\n\r\n");
        for cut in 0..right.len() {
            let judged = judge(&right.as_bytes()[..cut], Rest::MayCome, EXPECTED, None);
            assert!(matches!(judged, None | Some(Ok(()))), "{cut}: {judged:?}");
        }
        assert_eq!(judge(b"SSH-", Rest::MayCome, EXPECTED, None), Some(Err(FrontCause::OtherServer)));
    }

    #[test]
    fn a_request_that_came_for_another_host_is_told_from_everything_else() {
        let judged = judge(b"HTTP/1.1 404 x\r\n\r\n", Rest::MayCome, EXPECTED, Some(Came::ForOtherHost));
        assert_eq!(judged, Some(Err(FrontCause::OtherHost)));
    }

    proptest! {
        #[test]
        fn no_bytes_of_a_strangers_pass(bytes in proptest::collection::vec(any::<u8>(), 0..1024)) {
            prop_assert!(judge(&bytes, Rest::IsOver, EXPECTED, None).unwrap().is_err());
            prop_assert_ne!(judge(&bytes, Rest::MayCome, EXPECTED, None), Some(Ok(())));
        }
    }
}
