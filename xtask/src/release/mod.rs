//! Releases that installations can verify: the release key, and the manifest of a folder of artifacts, both signed as
//! `petit_host::update` reads them. docs/releasing.md says who does what with which key.
//!
//! Signing is minisign's: no secret key is ever read by code of ours, and whoever holds one can keep it wherever that
//! program runs.

mod arguments;
mod folder;
mod minisign;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use petit_host::cli::chain;
use petit_host::update::{
    Artifact, Bundle, Channel, Manifest, ReleaseKey, Roots, Time, Verified, Version, verify,
};

use self::arguments::{KeyArguments, SignArguments};
use self::folder::Folder;
use crate::run::Outcome;
use crate::setup::install;

/// Does what is asked: `release key …` or `release sign …`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    match arguments.split_first() {
        Some((what, rest)) if what == "key" => key(&KeyArguments::parse(rest)?, Time::now()),
        Some((what, rest)) if what == "sign" => {
            let arguments = SignArguments::parse(rest)?;
            install(minisign::NEEDED, &[], "Signing needs")?;
            sign(&arguments, Time::now()).map(|said| println!("{said}"))
        }
        Some((what, _)) if what != "--help" => Err(format!("release knows no {what}; it has key and sign")),
        _ => Err("release has two parts, key and sign; docs/releasing.md says when to use which".to_owned()),
    }
}

/// Writes the document of a release key, which the holders of root keys sign.
fn key(arguments: &KeyArguments, now: Time) -> Outcome {
    let KeyArguments { public, number, days, into } = arguments;
    let public = minisign::public_key(public)?;
    let document = ReleaseKey::new(*number, now.after(days_of(*days)), public).to_text();
    ReleaseKey::parse(&document).map_err(|error| error.to_string())?;
    let folder = Folder::of(into)?;
    if let Ok((before, _)) = Bundle::read_release_key(into) {
        let before = ReleaseKey::parse(&before).map_err(|error| error.to_string())?;
        if *number <= before.number {
            return Err(format!(
                "{} has release key {}: one that replaces it has a higher number",
                into.display(),
                before.number
            ));
        }
    }
    folder.put_release_key(&document)?;
    println!(
        "{} is to be signed by two holders of root keys, each with:\n  minisign -S -s ROOT.key -m {} -x {1}.NAME.minisig",
        into.display(),
        petit_host::update::RELEASE_KEY
    );
    Ok(())
}

/// Signs the manifest of a folder: with what is there, or with new artifacts. Returns what there is to say.
fn sign(arguments: &SignArguments, now: Time) -> Result<String, String> {
    let SignArguments { roots, key, into, channel, days, minimum, revoked, made } = arguments;
    let text = std::fs::read_to_string(roots).map_err(|error| format!("{}: {error}", roots.display()))?;
    let roots = Roots::parse(&text).map_err(|error| format!("{}: {error}", roots.display()))?;
    let folder = Folder::of(into)?;
    // Before anything is asked for a password: is the key that signs one that will count?
    let (document, signatures) = Bundle::read_release_key(into).map_err(|error| chain(&error))?;
    let release_key = roots.verify(&document, &signatures).map_err(|error| error.to_string())?;
    let expires = now.after(days_of(*days));
    if expires > release_key.expires {
        return Err(format!(
            "the release key ends at {}, which is before a manifest of {days} days would: sign for fewer (--days), \
             or with a new release key",
            release_key.expires
        ));
    }
    let before = folder.manifest()?;
    let counter = before.as_ref().map_or(Some(1), |before| before.counter.checked_add(1));
    let counter =
        counter.ok_or("no number is left for a manifest: a new release key has to begin a new count")?;
    let channel = channel_of(*channel, before.as_ref())?;
    let mut targets = before.map(|before| before.targets).unwrap_or_default();
    for made in made {
        add(&mut targets, folder.take(made)?, (minimum.as_ref(), revoked))?;
    }
    if targets.is_empty() {
        return Err("there is nothing to sign: name artifacts as TARGET=FILE".to_owned());
    }
    for artifact in &targets {
        folder.check(artifact)?;
    }
    let manifest = Manifest::new(channel, counter, (now, expires), targets);
    let signed = minisign::Signed::make(&folder, &manifest, key)?;
    let bundle = signed.bundle(document, signatures);
    let verified = verify(&bundle, &roots);
    let verified = verified.map_err(|error| format!("{error}; nothing was changed"))?;
    signed.put()?;
    Ok(said(&verified, into))
}

/// Puts an artifact into the place of the one before it.
fn add(
    targets: &mut Vec<Artifact>,
    mut new: Artifact,
    (minimum, revoked): (Option<&Version>, &[Version]),
) -> Outcome {
    let before = targets.iter().position(|before| before.target == new.target);
    if let Some(before) = before.map(|index| targets.swap_remove(index)) {
        if before.version > new.version {
            return Err(format!(
                "{} is at {} already, and no installation goes back to {}",
                new.target, before.version, new.version
            ));
        }
        // What was said of older versions stays true.
        (new.minimum, new.revoked) = (before.minimum, before.revoked);
    }
    if let Some(minimum) = minimum {
        new.minimum = Some(minimum.clone());
    }
    new.revoked.extend(revoked.iter().cloned());
    new.revoked.sort();
    new.revoked.dedup();
    targets.push(new);
    targets.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(())
}

fn channel_of(wanted: Option<Channel>, before: Option<&Manifest>) -> Result<Channel, String> {
    match (wanted, before.map(|before| before.channel)) {
        (Some(wanted), Some(before)) if wanted != before => {
            Err(format!("this folder is of the channel {before}; {wanted} has one of its own"))
        }
        (wanted, before) => Ok(wanted.or(before).unwrap_or(Channel::Stable)),
    }
}

fn said(verified: &Verified, folder: &Path) -> String {
    let manifest = verified.manifest();
    let mut said = format!(
        "signed manifest {} of the channel {}, until {}, by release key {}:",
        manifest.counter,
        manifest.channel,
        manifest.expires,
        verified.release_key().number
    );
    for Artifact { target, version, file, .. } in &manifest.targets {
        said.push_str(&format!("\n  {target} {version}, {}", folder.join(file.as_str()).display()));
    }
    said
}

fn days_of(days: u32) -> Duration {
    Duration::from_hours(24).saturating_mul(days)
}
