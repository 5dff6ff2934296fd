//! What is to be done with a manifest, on this computer, now. Pure: the clock comes in with the call.

use super::CLOCK_TOLERANCE;
use super::history::History;
use super::manifest::Artifact;
use super::refusal::{Document, Refusal};
use super::values::{Channel, Hours, Target, Time, Version};
use super::verify::Verified;

/// What is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub target: Target,
    pub version: Version,
    pub owner: Owner,
}

/// Who changes the files of this installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The program itself.
    Itself,
    /// A package manager, an image, or whoever administers the computer.
    Other,
}

/// What the customer allows. Stronger than anything that a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    Never,
    /// Only the version that was approved.
    Asked {
        approved: Option<Version>,
    },
    /// In these hours, or whenever there is a new version.
    Given {
        hours: Option<Hours>,
    },
    /// A person has typed it.
    Typed,
}

/// Everything else that the decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub installed: &'a Installed,
    pub channel: Channel,
    pub consent: &'a Consent,
    pub history: &'a History,
    pub now: Time,
    /// Minutes since midnight, by the computer's own time.
    pub minute: u16,
}

/// What a manifest comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice<'a> {
    pub standing: Standing,
    pub step: Step<'a>,
}

/// How the version that is installed stands. It is told, and changes no step: nothing beats the customer's say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Good,
    /// Whoever made it does not want it to be used any more.
    Revoked,
    TooOld {
        minimum: Version,
    },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// There is nothing newer.
    Nothing,
    /// There is something newer that did not work here.
    GivenUp {
        version: Version,
    },
    /// Somebody else installs it, or nobody does.
    Tell {
        version: Version,
    },
    Ask {
        version: Version,
    },
    /// Not in these hours.
    Wait {
        version: Version,
        hours: Hours,
    },
    Install(&'a Artifact),
}

/// What is to be done with a manifest.
///
/// # Errors
/// [`Refusal`] when it is not in force here: expired, older than one that was seen, of another channel, or without a word
/// about this target.
pub fn decide<'a>(verified: &'a Verified, situation: &Situation<'_>) -> Result<Advice<'a>, Refusal> {
    let Situation { installed, channel, consent, history, now, minute } = *situation;
    let manifest = verified.manifest();
    if manifest.channel != channel {
        return Err(Refusal::OtherChannel { offered: manifest.channel, own: channel });
    }
    history.admit(verified)?;
    in_force(verified, history.time(now))?;
    let target = &installed.target;
    let artifact = manifest.artifact(target).ok_or_else(|| Refusal::NoTarget { target: target.clone() })?;
    let version = artifact.version.clone();
    let step = match (installed.owner, consent) {
        // Never back: an older version may have had a hole that this one has not.
        _ if version <= installed.version => Step::Nothing,
        (Owner::Other, _) | (_, Consent::Never) => Step::Tell { version },
        _ if history.is_bad(&version) => Step::GivenUp { version },
        (Owner::Itself, Consent::Asked { approved }) if approved.as_ref() != Some(&version) => {
            Step::Ask { version }
        }
        (Owner::Itself, Consent::Given { .. }) if history.is_by_hand(&version) => Step::Ask { version },
        (Owner::Itself, Consent::Given { hours: Some(hours) }) if !hours.contains(minute) => {
            Step::Wait { version, hours: *hours }
        }
        (Owner::Itself, Consent::Asked { .. } | Consent::Given { .. } | Consent::Typed) => {
            Step::Install(artifact)
        }
    };
    Ok(Advice { standing: Standing::of(&installed.version, artifact), step })
}

impl Standing {
    /// What a manifest says of a version that is installed.
    pub(super) fn of(version: &Version, artifact: &Artifact) -> Self {
        match &artifact.minimum {
            _ if artifact.revoked.contains(version) => Self::Revoked,
            Some(minimum) if version < minimum => Self::TooOld { minimum: minimum.clone() },
            _ => Self::Good,
        }
    }
}

/// Whether it is in force at a time. A clock that is far behind cannot tell what has expired.
///
/// # Errors
/// [`Refusal::ClockBehind`], [`Refusal::Expired`].
pub fn in_force(verified: &Verified, now: Time) -> Result<(), Refusal> {
    let (key, manifest) = (verified.release_key(), verified.manifest());
    if manifest.created > now.after(CLOCK_TOLERANCE) {
        return Err(Refusal::ClockBehind { created: manifest.created, now });
    }
    for (document, expires) in [(Document::ReleaseKey, key.expires), (Document::Manifest, manifest.expires)] {
        if now >= expires {
            return Err(Refusal::Expired { document, expires, now });
        }
    }
    Ok(())
}
