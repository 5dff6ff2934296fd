//! Invites: what the vendor hands to a customer so that one device can register, once.
//!
//! ```text
//! https://<host>[:<port>]/enroll#v1.<base64url>[.<base64url of the vendor's name>]
//!
//! not after   8  seconds since 1970, big-endian
//! id         16
//! secret     32
//! pins        1  + 32 each: SHA-256 of the server's public keys
//! port        2
//! host        1  + its bytes
//! CRC-32      4  of all that precedes
//!
//! name           UTF-8; this second part is left out when the vendor has said no name
//! CRC-32      4  of the whole first part and the name
//! ```
//!
//! All of it stands in the fragment, which browsers do not send. What stands before it is for people: it leads to a
//! page that says what to do. The host that counts is under the checksum. The checksum tells a damaged copy from a refused one before anything is
//! dialled; it protects against mistakes, not against forgers: a forged link leads to a server that cannot
//! redeem the secret of a real one. The name stands in a part of its own because versions before it read up to the
//! first full stop: they take the invite as if no name were in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::limits;
use crate::name::{Endpoint, ServerAddr, VendorName};
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
    /// What the vendor calls itself.
    pub vendor: Option<VendorName>,
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
/// More coded characters than the longest name makes.
const LONGEST_NAME: usize = 400;

fn is_coded(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// The coded characters that a piece of a text begins with, and the rest of it. What a mail program puts before a
/// line ("> ") is left out.
fn coded_head(piece: &str) -> (&str, &str) {
    let piece = piece.trim_start_matches(|c: char| !is_coded(c));
    piece.split_at(piece.find(|c: char| !is_coded(c)).unwrap_or(piece.len()))
}

/// The bytes of a part of a link.
fn decoded(part: &str) -> Option<Zeroizing<Vec<u8>>> {
    data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).ok().map(Zeroizing::new)
}

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
        // With room for all of it, so that no piece stays behind in a smaller buffer.
        let mut coded = Zeroizing::new(String::with_capacity(bytes.len() * 2 + LONGEST_NAME));
        data_encoding::BASE64URL_NOPAD.encode_append(&bytes, &mut coded);
        if let Some(name) = &self.vendor {
            let crc = name_crc(&bytes, name.as_str());
            let part = [name.as_str().as_bytes(), &crc.to_be_bytes()].concat();
            coded.push('.');
            data_encoding::BASE64URL_NOPAD.encode_append(&part, &mut coded);
        }
        coded
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
        let mut pieces = coded.split_whitespace();
        while let Some(piece) = pieces.next() {
            let (head, rest) = coded_head(piece);
            joined.push_str(head);
            if joined.len() > LONGEST {
                break;
            }
            let Some(bytes) = decoded(&joined) else { continue };
            let Some(mut invite) = Self::decode(&bytes) else { continue };
            if let Some(name) = rest.strip_prefix('.') {
                let damaged = |characters| InvalidInvite::Damaged { characters: joined.len() + characters };
                invite.vendor = read_name(&bytes, name, pieces).map_err(damaged)?;
            }
            return Ok(invite);
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
            vendor: None,
        })
    }
}

/// Ties a name to the first part of its invite.
fn name_crc(first: &[u8], name: &str) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(first);
    crc.update(name.as_bytes());
    crc.finalize()
}

/// The vendor's name behind the full stop that ends an invite's first part; `None` when the full stop ended a
/// sentence. A name that is damaged fails with the number of characters that were read.
fn read_name<'a>(
    first: &[u8],
    begin: &'a str,
    more: impl Iterator<Item = &'a str>,
) -> Result<Option<VendorName>, usize> {
    let is_name = begin.starts_with(is_coded);
    let mut joined = String::new();
    for piece in std::iter::once(begin).chain(more) {
        joined.push_str(coded_head(piece).0);
        if joined.len() > LONGEST_NAME {
            break;
        }
        let Some(bytes) = decoded(&joined) else { continue };
        let Some((name, crc)) = bytes.split_last_chunk::<4>() else { continue };
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if name_crc(first, name) == u32::from_be_bytes(*crc) {
            return name.parse().map(Some).map_err(|_| joined.len());
        }
    }
    if is_name { Err(joined.len()) } else { Ok(None) }
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
            vendor: None,
        }
    }

    fn named(name: &str) -> Invite {
        Invite { vendor: Some(name.parse().unwrap()), ..invite("tunnel.example.com") }
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
    fn a_vendors_name_reads_back_however_it_was_pasted() {
        for name in ["Nordlicht", "Müller & Söhne", "日本商店", &"x".repeat(VendorName::MAX)] {
            let link = named(name).to_link();
            let link = link.expose_secret();
            let (_, fragment) = link.split_once('#').unwrap();
            let wrapped: String = link
                .char_indices()
                .flat_map(|(i, c)| {
                    (i % 30 == 29).then_some("\n> ").into_iter().flat_map(str::chars).chain([c])
                })
                .collect();
            let at_the_dot = link.rsplit_once('.').map(|(a, b)| format!("{a}.\n{b}"));
            for text in [
                link.to_owned(),
                fragment.to_owned(),
                wrapped,
                at_the_dot.unwrap(),
                format!("<{link}>, he wrote. Yours, B"),
                format!("Open {link}."),
            ] {
                assert_eq!(parse(&text).unwrap().vendor.unwrap().as_str(), name, "{text}");
            }
        }
    }

    /// The parser of the versions before there was a name, as it was.
    fn parse_before_names(text: &str) -> Option<Invite> {
        let start = text.find(&format!("#{MARK}"))? + 1 + MARK.len();
        let mut joined = String::new();
        for piece in text[start..].split_whitespace() {
            let piece = piece.trim_start_matches(|c: char| !is_coded(c));
            let end = piece.find(|c: char| !is_coded(c)).unwrap_or(piece.len());
            joined.push_str(&piece[..end]);
            let bytes = data_encoding::BASE64URL_NOPAD.decode(joined.as_bytes());
            if let Some(invite) = bytes.ok().and_then(|bytes| Invite::decode(&bytes)) {
                return Some(invite);
            }
        }
        None
    }

    #[test]
    fn older_versions_read_an_invite_with_a_name_and_this_one_reads_theirs() {
        let link = named("Nordlicht").to_link();
        let read = parse_before_names(link.expose_secret()).unwrap();
        assert_eq!((read.server, read.id), (named("x").server, named("x").id));
        // Made by a version without names, golden.
        let old = "https://tunnel.example.com/enroll#v1.AAAAAGtJ0gADAwMDAwMDAwMDAwMDAwMDBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQCAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAiEFEnR1bm5lbC5leGFtcGxlLmNvbex7W-U";
        for text in [old.to_owned(), format!("{old}."), format!("See {old}. Regards, the vendor.")] {
            let read = parse(&text).unwrap();
            assert_eq!((read.id, read.vendor), (InviteId([3; 16]), None), "{text}");
        }
    }

    #[test]
    fn a_name_that_would_deceive_is_refused_with_its_invite() {
        let link = invite("tunnel.example.com").to_link();
        let first = decoded(link.expose_secret().split_once("#v1.").unwrap().1).unwrap();
        for name in ["Bank\u{202e}", "Bank\n", "Bank (bank.example)", ""] {
            let part = [name.as_bytes(), &name_crc(&first, name).to_be_bytes()].concat();
            let part = data_encoding::BASE64URL_NOPAD.encode(&part);
            let read = parse(&format!("{}.{part}", link.expose_secret()));
            assert!(matches!(read, Err(InvalidInvite::Damaged { .. })), "{name:?}: {read:?}");
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
        fn a_damaged_name_is_noticed_or_left_out_and_never_another_one(
            at in any::<prop::sample::Index>(),
            cut in any::<bool>(),
        ) {
            let link = named("Nordlicht GmbH").to_link();
            let mut text = link.expose_secret().to_owned().into_bytes();
            let dot = text.iter().rposition(|b| *b == b'.').unwrap();
            let at = dot + at.index(text.len() - dot);
            if cut { text.truncate(at) } else { text[at] = if text[at] == b'A' { b'B' } else { b'A' } }
            match parse(&String::from_utf8(text).unwrap()) {
                Ok(invite) => prop_assert!(invite.vendor.is_none() && cut && at <= dot + 1),
                Err(error) => prop_assert!(matches!(error, InvalidInvite::Damaged { .. }), "{}", error),
            }
        }

        #[test]
        fn any_text_is_met_without_a_panic(text in ".{0,300}") {
            let _ = parse(&text);
            let _ = parse(&format!("v1.{text}"));
            let _ = parse(&format!("{}.{text}", invite("h.example").to_link().expose_secret()));
        }
    }
}
