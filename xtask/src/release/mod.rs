//! Releases: all that is handed out, built and laid into a folder; and what installations can verify of it, the release key
//! and the manifest of a folder of artifacts, both signed as `petit_host::update` reads them. docs/releasing.md says who does what with which key.
//!
//! Signing is minisign's: no secret key is ever read by code of ours, and whoever holds one can keep it wherever that
//! program runs.

mod arguments;
mod assembly;
mod build;
mod folder;
mod minisign;
mod part;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use petit_host::update::{
    Artifact, Bundle, Channel, MANIFEST, Manifest, ReleaseKey, Roots, Time, Verified, Version, verify,
};

use self::arguments::{BuildArguments, KeyArguments, SignArguments};
use self::folder::{Folder, NEXT_KEY};
use crate::run::Outcome;
use crate::setup::install;

/// Does what is asked: `release build …`, `release key …` or `release sign …`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    match arguments.split_first() {
        Some((what, rest)) if what == "build" => {
            build::build(&BuildArguments::parse(rest)?).map(|said| print!("{said}"))
        }
        Some((what, rest)) if what == "key" => key(&KeyArguments::parse(rest)?, Time::now()),
        Some((what, rest)) if what == "sign" => {
            let arguments = SignArguments::parse(rest)?;
            install(minisign::NEEDED, &[], "Signing needs")?;
            sign(&arguments, Time::now()).map(|said| println!("{said}"))
        }
        Some((what, _)) if what != "--help" => {
            Err(format!("release knows no {what}; it has build, key and sign"))
        }
        _ => Err("release has three verbs, build, key and sign; docs/releasing.md says when to use which"
            .to_owned()),
    }
}

/// Writes the document of a release key, which the holders of root keys sign.
fn key(arguments: &KeyArguments, now: Time) -> Outcome {
    let KeyArguments { public, number, days, into } = arguments;
    let public = minisign::public_key(public)?;
    let document = ReleaseKey::new(*number, now.after(days_of(*days)), public).to_text();
    ReleaseKey::parse(&document).map_err(|error| error.to_string())?;
    let folder = Folder::of(into)?;
    if let Some(before) = folder.release_key()?
        && *number <= before.number
    {
        return Err(format!(
            "{} has release key {}: one that replaces it has a higher number",
            into.display(),
            before.number
        ));
    }
    folder.put_next_key(&document)?;
    println!(
        "{} is to be signed by two holders of root keys, each with:\n  minisign -S -s ROOT.key -m {NEXT_KEY} -x {NEXT_KEY}.NAME.minisig\nThe next release sign with the key takes it; until then the release stays as it is.",
        into.display(),
    );
    Ok(())
}

/// Signs the manifest of a folder: with what is there, or with new artifacts. Returns what there is to say.
fn sign(arguments: &SignArguments, now: Time) -> Result<String, String> {
    let SignArguments { roots, key, into, channel, days, minimum, revoked, .. } = arguments;
    let made = arguments.programs()?;
    let text = std::fs::read_to_string(roots).map_err(|error| format!("{}: {error}", roots.display()))?;
    let roots = Roots::parse(&text).map_err(|error| format!("{}: {error}", roots.display()))?;
    let folder = Folder::of(into)?;
    // Before anything is asked for a password: is the key that signs one that will count?
    let keys = Keys::of(&folder, &roots)?;
    let release_key = &keys.signing.key;
    let expires = now.after(days_of(*days));
    if expires > release_key.expires {
        return Err(format!(
            "the release key ends at {}, which is before a manifest of {days} days would: sign for fewer (--days), \
             or with a new release key",
            release_key.expires
        ));
    }
    let before = keys.manifest_before(&folder, &roots)?;
    let counter = before.as_ref().map_or(Some(1), |before| before.counter.checked_add(1));
    let counter =
        counter.ok_or("no number is left for a manifest: a new release key has to begin a new count")?;
    let channel = channel_of(*channel, before.as_ref())?;
    let mut targets = before.map(|before| before.targets).unwrap_or_default();
    for artifact in &targets {
        folder.check(artifact)?;
    }
    let taken = made.iter().map(|made| folder.look_at(made)).collect::<Result<Vec<_>, _>>()?;
    for taken in &taken {
        add(&mut targets, taken.artifact.clone(), (minimum.as_ref(), revoked))?;
    }
    if targets.is_empty() {
        return Err("there is nothing to sign: name the folder of release build by --from, or artifacts as TARGET=FILE".to_owned());
    }
    let manifest = Manifest::new(channel, counter, (now, expires), targets);
    let signed = minisign::Signed::make(&folder, &manifest, key)?;
    let (document, signatures) = keys.signing.signed.clone();
    let verified = verify(&signed.bundle(document, signatures), &roots);
    let verified = verified.map_err(|error| {
        let waiting = keys.waiting.map(|why| format!("; {NEXT_KEY} does not count yet: {why}"));
        format!("{error}{}; nothing was changed", waiting.unwrap_or_default())
    })?;
    // Nothing can be refused any more.
    for taken in &taken {
        folder.take(taken)?;
    }
    signed.put()?;
    folder.promote_next_key(&keys.signing.signed.0)?;
    Ok(said(&verified, into))
}

/// The release keys that a folder has.
struct Keys {
    /// The one that signs: the next one, when enough root keys have signed it.
    signing: SignedKey,
    /// The one that has signed until now.
    before: Option<SignedKey>,
    /// Why the next one does not sign yet.
    waiting: Option<String>,
}

/// A release key that root keys have signed.
struct SignedKey {
    key: ReleaseKey,
    signed: (String, Vec<String>),
}

impl Keys {
    fn of(folder: &Folder, roots: &Roots) -> Result<Self, String> {
        let verified = |signed: (String, Vec<String>)| {
            let key = roots.verify(&signed.0, &signed.1).map_err(|error| error.to_string())?;
            Ok::<_, String>(SignedKey { key, signed })
        };
        let before = folder.signed_key()?.map(verified);
        let (next, waiting) = match folder.signed_next_key()?.map(verified) {
            Some(Ok(next)) => (Some(next), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        match (next, before) {
            (Some(signing), before) => {
                Ok(Self { signing, before: before.and_then(Result::ok), waiting: None })
            }
            (None, Some(before)) => Ok(Self { signing: before?, before: None, waiting }),
            (None, None) => Err(waiting.unwrap_or_else(|| {
                format!("{} has no release key: make one with release key", folder.path().display())
            })),
        }
    }

    /// What was released before, when it is there. It is signed anew, so it has to be signed already: whoever can write
    /// into this folder could have changed it.
    fn manifest_before(&self, folder: &Folder, roots: &Roots) -> Result<Option<Manifest>, String> {
        let Some((manifest, manifest_signature)) = folder.signed_manifest()? else { return Ok(None) };
        let mut refused = None;
        for SignedKey { signed: (document, signatures), .. } in self.before.iter().chain([&self.signing]) {
            let bundle = Bundle {
                release_key: document.clone(),
                root_signatures: signatures.clone(),
                manifest: manifest.clone(),
                manifest_signature: manifest_signature.clone(),
            };
            match verify(&bundle, roots) {
                Ok(verified) => return Ok(Some(verified.manifest().clone())),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        let why = refused.map(|error| error.to_string()).unwrap_or_default();
        Err(format!(
            "{} is not as it was signed, and nothing was changed: {why}; put the release there that was handed out last",
            folder.path().join(MANIFEST).display()
        ))
    }
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
