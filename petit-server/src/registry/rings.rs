//! The rings of a roll-out: who gets a release before the others.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use petit_engine::name::{DeviceId, Tag};
use petit_engine::secret::sha256;

/// Rings that a roll-out has at most: more steps are watched by nobody.
pub const RINGS_MAX: usize = 16;

/// The rings of a roll-out, the first one first. A client belongs to the first that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rings(Vec<Ring>);

/// Some of the clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Those that have a tag.
    Tag(Tag),
    /// So many of a hundred, drawn by their IDs.
    Share(u8),
}

/// Not rings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRings {
    #[error("{text:?} is no ring: expected tag:NAME, or a share of the clients such as 5%")]
    Ring { text: String },
    #[error("the shares grow from ring to ring: {after}% cannot come after {before}%")]
    Shrinking { before: u8, after: u8 },
    #[error("the last ring is 100%, or some clients would never get the release")]
    NotAll,
    #[error("a roll-out has {RINGS_MAX} rings at most")]
    TooMany,
}

impl Ring {
    fn holds(&self, share: u8, tags: &BTreeSet<Tag>) -> bool {
        match self {
            Self::Tag(tag) => tags.contains(tag),
            Self::Share(percent) => share < *percent,
        }
    }
}

impl Rings {
    /// Of a release, the first that a client is in.
    pub fn of(&self, release: &str, device: &DeviceId, tags: &BTreeSet<Tag>) -> Option<usize> {
        let share = share(release, device);
        self.0.iter().position(|ring| ring.holds(share, tags))
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One of them.
    pub fn get(&self, number: usize) -> Option<&Ring> {
        self.0.get(number)
    }
}

/// Where a client stands among a hundred: for each release somewhere else, so that the same are not always first.
fn share(release: &str, device: &DeviceId) -> u8 {
    let hash = sha256(format!("petit ring 1\0{release}\0{device}").as_bytes());
    let number = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    u8::try_from(number % 100).unwrap_or_default()
}

/// A few, a quarter, all.
impl Default for Rings {
    fn default() -> Self {
        Self([5, 25, 100].map(Ring::Share).into())
    }
}

impl FromStr for Rings {
    type Err = InvalidRings;

    fn from_str(text: &str) -> Result<Self, InvalidRings> {
        let rings: Vec<Ring> = text.split(',').map(|ring| ring.trim().parse()).collect::<Result<_, _>>()?;
        if rings.len() > RINGS_MAX {
            return Err(InvalidRings::TooMany);
        }
        let mut before = 0;
        for ring in &rings {
            if let Ring::Share(after) = *ring {
                if after <= before {
                    return Err(InvalidRings::Shrinking { before, after });
                }
                before = after;
            }
        }
        if rings.last() != Some(&Ring::Share(100)) {
            return Err(InvalidRings::NotAll);
        }
        Ok(Self(rings))
    }
}

impl FromStr for Ring {
    type Err = InvalidRings;

    fn from_str(text: &str) -> Result<Self, InvalidRings> {
        let tag = text.strip_prefix("tag:").and_then(|tag| tag.parse().ok()).map(Self::Tag);
        let share = || text.strip_suffix('%')?.parse().ok().filter(|share| (1..=100).contains(share));
        let ring = tag.or_else(|| share().map(Self::Share));
        ring.ok_or_else(|| InvalidRings::Ring { text: text.to_owned() })
    }
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "tag:{tag}"),
            Self::Share(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for Rings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ring) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{ring}")?;
        }
        Ok(())
    }
}

as_text!(Ring, Rings);

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(text: &str) -> Rings {
        text.parse().unwrap()
    }

    #[test]
    fn rings_are_read_as_they_are_written_and_end_with_everybody() {
        for text in ["100%", "5%,25%,100%", "tag:staff,100%", "tag:staff,5%,tag:pilot,50%,100%"] {
            assert_eq!(rings(text).to_string(), text);
        }
        assert_eq!(rings(" tag:staff , 100% ").to_string(), "tag:staff,100%");
        let refused = |text: &str| text.parse::<Rings>().unwrap_err();
        for text in ["", "5", "5%,", "0%,100%", "101%", "-1%,100%", "tag:,100%", "staff,100%", "5.5%,100%"] {
            assert!(matches!(refused(text), InvalidRings::Ring { .. }), "{text}: {}", refused(text));
        }
        assert_eq!(refused("25%,5%,100%"), InvalidRings::Shrinking { before: 25, after: 5 });
        assert_eq!(refused("100%,100%"), InvalidRings::Shrinking { before: 100, after: 100 });
        assert_eq!(refused("5%,25%"), InvalidRings::NotAll);
        assert_eq!(refused("100%,tag:staff"), InvalidRings::NotAll);
        let many: Vec<String> = (1..17).map(|share| format!("{share}%")).collect();
        assert_eq!(refused(&format!("{},100%", many.join(","))), InvalidRings::TooMany);
    }

    #[test]
    fn a_share_is_of_the_clients_and_other_ones_for_another_release() {
        let rings = rings("tag:staff,10%,100%");
        let devices: Vec<DeviceId> = (0..2000).map(|_| DeviceId::random().unwrap()).collect();
        let none = BTreeSet::new();
        let first = |release: &str| -> BTreeSet<DeviceId> {
            let is_first = |device: &&DeviceId| rings.of(release, device, &none) == Some(1);
            devices.iter().filter(is_first).copied().collect()
        };
        let (one, other) = (first("one"), first("other"));
        // 200 are expected, with a deviation of 13.4; eight of those happen once in 10^15.
        for count in [one.len(), other.len()] {
            assert!((93..=307).contains(&count), "{count} of 2000");
        }
        assert_eq!(one, first("one"), "the same ones whenever it is asked");
        // 20 are expected in both, with a deviation of 4.4.
        assert!(one.intersection(&other).count() < 60, "always the same ones");
        let staff = BTreeSet::from(["staff".parse().unwrap()]);
        assert!(devices.iter().all(|device| rings.of("one", device, &staff) == Some(0)));
    }
}
