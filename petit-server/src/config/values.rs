//! Values of the file that have a form of their own, and how far each may go; what is wrong with one is said where it
//! stands.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use petit_engine::limits;
use petit_host::toml_file::{Key, ValueKind};
use serde::Deserialize;

pub(super) const fn key(name: &'static str, kind: ValueKind) -> Key {
    Key { name, kind }
}

/// A value that is written as a text.
macro_rules! text_form {
    ($name:ident($inner:ty), $parse:expr) => {
        pub(super) struct $name(pub(super) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Result<$inner, String> = $parse;
                parse(&text).map($name).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_form!(PortRange(Option<(u16, u16)>), |text| {
    let wrong = || "expected ports such as \"20000-20999\", or \"\" for none".to_owned();
    if text.trim().is_empty() {
        return Ok(None);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| wrong());
    match (port(first)?, port(last)?) {
        (first, last) if first <= last => Ok(Some((first, last))),
        _ => Err(wrong()),
    }
});

text_form!(Network(IpNet), |text| {
    let host = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| host()).map_err(|_| "expected a network such as \"10.0.0.0/8\"".to_owned())
});

text_form!(Lifetime(Duration), parse_lifetime);

/// How long an invite lasts, as people write it.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let lifetime =
        humantime::parse_duration(text).map_err(|_| "expected a time such as 30m, 4h or 3days".to_owned())?;
    check_lifetime(lifetime).map(|()| lifetime)
}

/// An invite lasts a minute to a week: somebody who is asked on Friday registers on Monday.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn check_lifetime(lifetime: Duration) -> Result<(), String> {
    if (Duration::from_secs(60)..=limits::INVITE_LIFETIME_MAX).contains(&lifetime) {
        Ok(())
    } else {
        Err("an invite lasts between one minute and 7 days".to_owned())
    }
}

pub(super) struct MaxServices(pub(super) usize);

impl<'de> Deserialize<'de> for MaxServices {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = usize::deserialize(deserializer)?;
        if (1..=limits::MAX_SERVICES).contains(&number) {
            Ok(Self(number))
        } else {
            Err(serde::de::Error::custom(format!(
                "a client has between 1 and {} services",
                limits::MAX_SERVICES
            )))
        }
    }
}

/// A whole number between two others.
pub(super) struct Count<const LEAST: u64, const MOST: u64>(pub(super) u64);

impl<const LEAST: u64, const MOST: u64> Count<LEAST, MOST> {
    pub(super) fn size(&self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Count<LEAST, MOST> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || serde::de::Error::custom(format!("expected a number between {LEAST} and {MOST}"));
        let number = toml::Value::deserialize(deserializer)?.as_integer().ok_or_else(wrong)?;
        u64::try_from(number)
            .ok()
            .filter(|number| (LEAST..=MOST).contains(number))
            .map(Self)
            .ok_or_else(wrong)
    }
}

/// A time between two numbers of seconds, written as `2m`.
pub(super) struct Span<const LEAST: u64, const MOST: u64>(pub(super) Duration);

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Span<LEAST, MOST> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let range = Duration::from_secs(LEAST)..=Duration::from_secs(MOST);
        let span = humantime::parse_duration(&text).ok().filter(|span| range.contains(span));
        span.map(Self).ok_or_else(|| {
            let (least, most) = (humantime::format_duration(*range.start()), *range.end());
            let most = humantime::format_duration(most);
            serde::de::Error::custom(format!("expected a time such as \"2m\", between {least} and {most}"))
        })
    }
}

/// An amount of memory, written as `512MB`.
pub(super) struct Bytes(pub(super) u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_bytes(&text)
            .filter(|bytes| *bytes >= 64 << 20)
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("expected memory such as \"512MB\", at least 64MB"))
    }
}

/// Bytes in a second, written as `4MB`.
pub(super) struct ReleaseRate(pub(super) u64);

impl<'de> Deserialize<'de> for ReleaseRate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_bytes(&text).filter(|bytes| *bytes >= 64 << 10).map(Self).ok_or_else(|| {
            serde::de::Error::custom("expected bytes in a second such as \"4MB\", at least 64KB")
        })
    }
}

/// The size of a log, written as `50MB`.
pub(super) struct LogSize(pub(super) u64);

impl<'de> Deserialize<'de> for LogSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_bytes(&text).filter(|bytes| (1 << 20..=100 << 30).contains(bytes)).map(Self).ok_or_else(|| {
            serde::de::Error::custom("expected a size such as \"50MB\", between 1MB and 100GB")
        })
    }
}

/// The most of a request's body, as people write it: `100MB`.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn parse_body_size(text: &str) -> Result<u64, String> {
    parse_bytes(text)
        .filter(|bytes| (1..=1 << 50).contains(bytes))
        .ok_or_else(|| "expected a size such as \"100MB\", in KB, MB or GB".to_owned())
}

/// A size as [`parse_body_size`] takes it; one that it does not take in bytes.
pub fn body_size(bytes: u64) -> String {
    match bytes.trailing_zeros() {
        30..64 => format!("{}GB", bytes >> 30),
        20..30 => format!("{}MB", bytes >> 20),
        10..20 => format!("{}KB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "KB" | "KIB" => 10,
        "MB" | "MIB" => 20,
        "GB" | "GIB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}
