//! What a thief or an accident may do to a bundle, and that none of it passes.

use super::*;

#[test]
fn two_of_three_roots_and_the_release_key_make_a_release() {
    let release = Release::new();
    let verified = release.verified();
    assert_eq!(verified.manifest(), &release.manifest);
    assert_eq!(verified.release_key().number, 1);
    let mut bundle = release.bundle();
    bundle.root_signatures.push(release.roots.sign(1, &bundle.release_key));
    assert!(verify(&bundle, &release.roots.public()).is_ok());
}

#[test]
fn no_bit_can_be_flipped_in_what_is_signed_and_none_elsewhere_changes_what_it_says() {
    let release = Release::new();
    let (roots, right) = (release.roots.public(), release.bundle());
    let said = release.verified();
    let mut flipped = 0;
    let mut flip = |part: fn(&mut Bundle) -> &mut String, is_signed: bool| {
        let length = part(&mut right.clone()).len();
        for index in 0..length {
            let mut bundle = right.clone();
            let mut bytes = std::mem::take(part(&mut bundle)).into_bytes();
            // Each bit of a letter but the highest, which would make it none.
            bytes[index] ^= 1 << (index % 7);
            *part(&mut bundle) = String::from_utf8(bytes).unwrap();
            match verify(&bundle, &roots) {
                Ok(verified) => assert!(!is_signed && verified == said, "{index}: {bundle:?}"),
                Err(_) => flipped += 1,
            }
        }
    };
    flip(|bundle| &mut bundle.release_key, true);
    flip(|bundle| &mut bundle.manifest, true);
    flip(|bundle| &mut bundle.root_signatures[1], false);
    flip(|bundle| &mut bundle.manifest_signature, false);
    assert!(flipped > 1000, "{flipped}");
}

#[test]
fn what_is_cut_off_is_refused_wherever_that_is() {
    let release = Release::new();
    let (roots, right) = (release.roots.public(), release.bundle());
    let cut = |part: fn(&mut Bundle) -> &mut String, keep: usize| {
        let mut bundle = right.clone();
        part(&mut bundle).truncate(keep);
        verify(&bundle, &roots)
    };
    for keep in 0..right.release_key.len() {
        assert!(cut(|bundle| &mut bundle.release_key, keep).is_err(), "{keep}");
    }
    for keep in 0..right.manifest.len() {
        assert!(cut(|bundle| &mut bundle.manifest, keep).is_err(), "{keep}");
    }
    // Without the line's end it is whole.
    for keep in 0..right.manifest_signature.len() - 1 {
        assert!(cut(|bundle| &mut bundle.manifest_signature, keep).is_err(), "{keep}");
    }
    for keep in 0..right.root_signatures[0].len() - 1 {
        assert!(cut(|bundle| &mut bundle.root_signatures[0], keep).is_err(), "{keep}");
    }
}

#[test]
fn one_root_is_not_enough_however_often_it_signs() {
    let release = Release::new();
    let mut bundle = release.bundle();
    let again = release.roots.sign(0, &bundle.release_key);
    bundle.root_signatures = vec![again.clone(), again];
    assert_eq!(release.refused(&bundle), Refusal::RootsMissing { good: 1, needed: 2 });
    bundle.root_signatures.clear();
    assert_eq!(release.refused(&bundle), Refusal::RootsMissing { good: 0, needed: 2 });
}

#[test]
fn one_key_is_no_two_roots_by_having_two_numbers() {
    let (one, other) = (Key::new(), Key::new());
    let text = [one.public(), other.public(), one.public_as([7; 8])].join("\n");
    assert_eq!(Roots::parse(&text).unwrap_err(), InvalidRoots::Twice { line: 3 });
    let text = [one.public(), other.public()].join("\n");
    assert_eq!(Roots::parse(&text).unwrap_err(), InvalidRoots::Count { count: 2 });
    assert_eq!(Roots::parse("# none\nnone").unwrap_err(), InvalidRoots::NoKey { line: 2 });
}

#[test]
fn roots_of_somebody_else_are_none() {
    let (release, thief) = (Release::new(), Release::new());
    let mut bundle = thief.bundle();
    assert_eq!(release.refused(&bundle), Refusal::RootsMissing { good: 0, needed: 2 });
    // With one root that was stolen.
    bundle.root_signatures.push(release.roots.sign(0, &bundle.release_key));
    assert_eq!(release.refused(&bundle), Refusal::RootsMissing { good: 1, needed: 2 });
}

#[test]
fn a_manifest_of_one_release_key_does_not_go_with_another() {
    let release = Release::new();
    let old = release.bundle();
    let key = Key::new();
    let newer = ReleaseKey::new(2, time("2027-06-01T00:00:00Z"), key.public()).to_text();
    let signatures = vec![release.roots.sign(0, &newer), release.roots.sign(1, &newer)];
    let mixed = Bundle { release_key: newer, root_signatures: signatures, ..old.clone() };
    assert_eq!(release.refused(&mixed), Refusal::NotSigned { number: 2 });
    // Nor does the signature of one manifest go with another of the same key.
    let mut other = release.manifest.clone();
    other.counter += 1;
    let mixed = Bundle { manifest: other.to_text(), ..old.clone() };
    assert_eq!(release.refused(&mixed), Refusal::NotSigned { number: 1 });
    // Nor root signatures with a manifest.
    let mixed = Bundle { manifest_signature: release.roots.sign(0, &old.manifest), ..old };
    assert_eq!(release.refused(&mixed), Refusal::NotSigned { number: 1 });
}

#[test]
fn a_document_that_root_keys_have_signed_for_another_purpose_is_no_release_key() {
    let release = Release::new();
    let manifest = release.manifest.to_text();
    let root_signatures = vec![release.roots.sign(0, &manifest), release.roots.sign(1, &manifest)];
    let bundle = Bundle { release_key: manifest, root_signatures, ..release.bundle() };
    let refused = release.refused(&bundle);
    assert!(matches!(refused, Refusal::Form { document: Document::ReleaseKey, .. }), "{refused:?}");
}

#[test]
fn signatures_of_the_old_kind_are_refused() {
    let release = Release::new();
    let mut bundle = release.bundle();
    bundle.manifest_signature = release.key.sign_as_of_old(&bundle.manifest);
    assert_eq!(release.refused(&bundle), Refusal::NotSigned { number: 1 });
}

#[test]
fn what_is_too_large_is_not_looked_at() {
    let release = Release::new();
    let right = release.bundle();
    let long = |bytes: usize| " ".repeat(bytes + 1);
    for (bundle, document) in [
        (Bundle { release_key: long(MAX_RELEASE_KEY_BYTES), ..right.clone() }, Document::ReleaseKey),
        (
            Bundle { root_signatures: vec![long(MAX_SIGNATURE_BYTES)], ..right.clone() },
            Document::RootSignature,
        ),
        (Bundle { manifest: long(MAX_MANIFEST_BYTES), ..right.clone() }, Document::Manifest),
        (
            Bundle { manifest_signature: long(MAX_SIGNATURE_BYTES), ..right.clone() },
            Document::ManifestSignature,
        ),
    ] {
        let refused = release.refused(&bundle);
        assert!(
            matches!(&refused, Refusal::TooLarge { document: which, .. } if *which == document),
            "{refused:?}"
        );
    }
    let many = Bundle { root_signatures: vec![String::new(); MAX_ROOT_SIGNATURES + 1], ..right };
    assert!(matches!(release.refused(&many), Refusal::TooManySignatures { .. }));
}

#[test]
fn a_file_that_is_not_the_one_that_was_signed_is_found_out() {
    let artifact = artifact("0.2.0");
    let take = |pieces: &[&[u8]]| {
        let mut intake = Intake::begin(&artifact);
        for piece in pieces {
            intake.take(piece)?;
        }
        intake.finish()
    };
    assert_eq!(take(&[&PROGRAM[..4], &PROGRAM[4..]]), Ok(()));
    let expected = artifact.bytes;
    assert_eq!(take(&[&PROGRAM[..4]]), Err(Unfit::TooShort { bytes: 4, expected }));
    assert_eq!(take(&[PROGRAM, b"\0"]), Err(Unfit::TooLong { expected }));
    for index in 0..PROGRAM.len() {
        let mut other = PROGRAM.to_vec();
        other[index] ^= 1;
        assert!(matches!(take(&[&other]), Err(Unfit::Different { .. })), "{index}");
    }
}
