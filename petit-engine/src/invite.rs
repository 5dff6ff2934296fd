//! Invites: what the vendor hands to a customer so that one device can register, once.
//!
//! ```text
//! https://<host>[:<port>]/enroll#v1.<base64url>
//!
//! not after   8  seconds since 1970, big-endian
//! id         16
//! secret     32
//! pins        1  + 32 each: SHA-256 of the server's public keys
//! port        2
//! host        1  + its bytes
//! CRC-32      4  of all that precedes
//! ```
//!
//! All of it stands in the fragment, which browsers do not send. What stands before it is for people: it leads to a
//! page that says what to do. The host that counts is under the checksum. The checksum tells a damaged copy from a refused one before anything is
//! dialled; it protects against mistakes, not against forgers: a forged link leads to a server that cannot
//! redeem the secret of a real one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::limits;
use crate::name::{Endpoint, ServerAddr};
use crate::secret::{Fingerprint, InviteId, InviteSecret};

/// One invite, as made by the server and read by the client.
#[derive(Clone, Debug)]
pub struct Invite {
    /// Where to register.
    pub server: ServerAddr,
    /// Keys that the server may have: one to [`limits::MAX_PINS`].
    pub pins: Vec<Fingerprint>,
    /// Names the invite at the server.
    pub id: InviteId,
    /// Proves that it is held.
    pub secret: InviteSecret,
    /// When it ends, by the server's clock.
    pub not_after: SystemTime,
}

/// Why a text is not an invite. Never contains the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInvite {
    /// Nothing in it looks like one.
    #[error("this is not a Petit invite; one looks like https://…/enroll#v1.…")]
    NotAnInvite,
    /// Made by a later version.
    #[error("this invite is of version {version}, which this Petit does not know yet")]
    Version {
        /// What stands before the dot.
        version: String,
    },
    /// Characters are missing or changed.
    #[error("this invite is damaged: a part of it is missing or changed ({characters} characters were read)")]
    Damaged {
        /// How many characters of the coded part there were.
        characters: usize,
    },
}

const MARK: &str = "v1.";
/// More coded characters than the longest host and all pins make.
const LONGEST: usize = 1024;

/// What a text without our mark is: an invite of a later version, or none.
fn other_version(text: &str) -> InvalidInvite {
    let mark = text.rsplit('#').next().unwrap_or_default().trim();
    let version = mark.split('.').next().unwrap_or_default();
    let is_version =
        version.len() <= 4 && version.strip_prefix('v').is_some_and(|n| n.parse::<u16>().is_ok());
    if is_version && mark.contains('.') {
        InvalidInvite::Version { version: version.to_owned() }
    } else {
        InvalidInvite::NotAnInvite
    }
}

impl Invite {
    /// The link to hand out, which leads to the page `page`. The whole of it is a secret until it is used.
    pub fn to_link_on(&self, page: &str) -> SecretString {
        SecretString::from(format!("{page}#{MARK}{}", self.coded().as_str()))
    }

    /// The same for whoever does not know the page.
    pub fn to_link(&self) -> SecretString {
        let host = self.server.host();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        self.to_link_on(&format!("https://{host}{}", Endpoint::ENROLL_PATH))
    }

    /// The link that opens the tray app where it is installed. As secret as the other.
    pub fn to_app_link(&self) -> SecretString {
        self.to_link_on("petit://enroll")
    }

    /// What stands behind the mark.
    fn coded(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(160 + self.server.host().len()));
        let seconds = self.not_after.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        bytes.extend_from_slice(&seconds.to_be_bytes());
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(self.secret.expose());
        let pins = self.pins.get(..limits::MAX_PINS).unwrap_or(&self.pins);
        bytes.push(u8::try_from(pins.len()).unwrap_or_default());
        for pin in pins {
            bytes.extend_from_slice(&pin.0);
        }
        bytes.extend_from_slice(&self.server.port().to_be_bytes());
        bytes.push(u8::try_from(self.server.host().len()).unwrap_or_default());
        bytes.extend_from_slice(self.server.host().as_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        Zeroizing::new(data_encoding::BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads a link however it was pasted: wrapped over lines, in quotes or brackets, as `petit://`, with other
    /// text around it, or only the part after `#`.
    ///
    /// # Errors
    /// [`InvalidInvite`].
    pub fn parse(text: &SecretString) -> Result<Self, InvalidInvite> {
        let text = text.expose_secret();
        let start = match text.find(&format!("#{MARK}")) {
            Some(at) => at + 1,
            // Without the link before it, the mark begins the text.
            None => text.len() - text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).len(),
        };
        let rest = text.get(start..).unwrap_or_default();
        let Some(coded) = rest.strip_prefix(MARK).or_else(|| (rest.trim() == "v1").then_some("")) else {
            return Err(other_version(text));
        };
        // A link may have been broken over lines, and may be followed by other words: pieces are put together
        // until the checksum is right.
        let mut joined = Zeroizing::new(String::new());
        for piece in coded.split_whitespace() {
            let is_coded = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let piece = piece.trim_start_matches(|c: char| !is_coded(c)); // a quoted mail's "> "
            let end = piece.find(|c: char| !is_coded(c)).unwrap_or(piece.len());
            joined.push_str(piece.get(..end).unwrap_or_default());
            if joined.len() > LONGEST {
                break;
            }
            let bytes = data_encoding::BASE64URL_NOPAD.decode(joined.as_bytes()).map(Zeroizing::new);
            if let Some(invite) = bytes.ok().and_then(|bytes| Self::decode(&bytes)) {
                return Ok(invite);
            }
        }
        Err(InvalidInvite::Damaged { characters: joined.len() })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (seconds, rest) = body.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let (secret, rest) = rest.split_first_chunk::<{ InviteSecret::BYTES }>()?;
        let (count, mut rest) = rest.split_first()?;
        let mut pins = Vec::new();
        for _ in 0..*count {
            let (pin, after) = rest.split_first_chunk::<32>()?;
            pins.push(Fingerprint(*pin));
            rest = after;
        }
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let (length, host) = rest.split_first()?;
        if pins.is_empty() || pins.len() > limits::MAX_PINS || host.len() != usize::from(*length) {
            return None;
        }
        let host = std::str::from_utf8(host).ok()?;
        Some(Self {
            server: ServerAddr::new(host, u16::from_be_bytes(*port)).ok()?,
            pins,
            id: InviteId(*id),
            secret: InviteSecret::from_bytes(*secret),
            not_after: UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_be_bytes(*seconds)))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invite(host: &str) -> Invite {
        Invite {
            server: ServerAddr::new(host, 8453).unwrap(),
            pins: vec![Fingerprint([1; 32]), Fingerprint([2; 32])],
            id: InviteId([3; 16]),
            secret: InviteSecret::from_bytes([4; 32]),
            not_after: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        }
    }

    fn parse(text: &str) -> Result<Invite, InvalidInvite> {
        Invite::parse(&SecretString::from(text))
    }

    #[test]
    fn a_link_reads_back_however_it_was_pasted() {
        for host in ["tunnel.example.com", "127.0.0.1", "::1"] {
            let link = invite(host).to_link();
            let link = link.expose_secret();
            let (_, fragment) = link.split_once('#').unwrap();
            let wrapped: String = link
                .char_indices()
                .flat_map(|(i, c)| (i % 60 == 59).then_some('\n').into_iter().chain([c]))
                .collect();
            for text in [
                link.to_owned(),
                fragment.to_owned(),
                wrapped,
                format!("  <{link}>\r\n"),
                format!("\"{link}\""),
                invite(host).to_app_link().expose_secret().to_owned(),
                invite(host).to_link_on("https://tunnel.example.com:8443/enroll").expose_secret().to_owned(),
                format!(
                    "Dear Anna,\nhere is your invite:\n\n{link}\n\nThe client will connect to x. Yours, B"
                ),
                format!("> {link}\n> best regards"),
            ] {
                let read = parse(&text).unwrap();
                assert_eq!(read.server, invite(host).server);
                assert_eq!((read.pins, read.id), (invite(host).pins, invite(host).id));
                assert!(read.secret.hash() == invite(host).secret.hash());
                assert_eq!(read.not_after, invite(host).not_after);
            }
        }
    }

    #[test]
    fn other_texts_are_told_apart() {
        assert_eq!(parse("").unwrap_err(), InvalidInvite::NotAnInvite);
        assert_eq!(parse("https://example.com/enroll").unwrap_err(), InvalidInvite::NotAnInvite);
        assert_eq!(
            parse("https://example.com/enroll#v2.AAAA").unwrap_err(),
            InvalidInvite::Version { version: "v2".into() }
        );
        assert_eq!(parse("#v1.AAAA").unwrap_err(), InvalidInvite::Damaged { characters: 4 });
    }

    proptest! {
        #[test]
        fn a_missing_or_changed_character_is_noticed(at in any::<prop::sample::Index>(), cut in any::<bool>()) {
            let link = invite("tunnel.example.com").to_link();
            let mut text = link.expose_secret().to_owned().into_bytes();
            let start = text.iter().position(|b| *b == b'#').unwrap() + 4;
            let at = start + at.index(text.len() - start);
            if cut { text.truncate(at) } else { text[at] = if text[at] == b'A' { b'B' } else { b'A' } }
            let read = parse(&String::from_utf8(text).unwrap());
            prop_assert!(matches!(read, Err(InvalidInvite::Damaged { .. })), "{:?}", read);
        }

        #[test]
        fn any_text_is_met_without_a_panic(text in ".{0,300}") {
            let _ = parse(&text);
            let _ = parse(&format!("v1.{text}"));
        }
    }
}
