//! How the documents are read, after their signatures.

use super::*;

const MANIFEST_TEXT: &str = r#"{
  "format": "petit-manifest 1",
  "channel": "stable",
  "counter": 7,
  "created": "2026-11-28T10:00:00Z",
  "expires": "2026-12-12T10:00:00Z",
  "targets": [
    {
      "target": "petit-client-linux-x86_64",
      "version": "0.2.0",
      "file": "petit-client-linux-x86_64",
      "bytes": 13,
      "sha256": "f3ff03a49cfa5c3ffa1f5bbe5e4ffcd3c4e0ce1f6a4b2c4a08ad9a6a0f2d3e11",
      "minimum": "0.1.5",
      "revoked": [
        "0.1.7"
      ]
    }
  ]
}
"#;

#[test]
fn a_manifest_is_written_as_it_is_read() {
    let manifest = Manifest::parse(MANIFEST_TEXT).unwrap();
    assert_eq!(manifest.to_text(), MANIFEST_TEXT);
    assert_eq!(manifest.artifact(&target()).unwrap().minimum, Some(version("0.1.5")));
    assert!(manifest.artifact(&"petit-client-linux-x86_64-north".parse().unwrap()).is_none());
    let key = ReleaseKey::new(3, time(STARTED), Key::new().public());
    assert_eq!(ReleaseKey::parse(&key.to_text()), Ok(key));
}

#[test]
fn a_value_that_is_not_right_is_named() {
    for (right, wrong, said) in [
        ("\"stable\"", "\"nightly\"", "nightly"),
        ("7,", "-7,", "-7"),
        ("7,", "7.5,", "7.5"),
        ("\"counter\": 7,", "", "counter"),
        ("\"counter\": 7,", "\"counter\": 7, \"counter\": 8,", "duplicate"),
        ("2026-11-28T10:00:00Z", "2026-12-28T10:00:00Z", "expires before it was made"),
        ("2026-11-28T10:00:00Z", "2026-11-28T10:00:00.5Z", "is not a time"),
        ("2026-11-28T10:00:00Z", "2026-11-28 10:00:00", "is not a time"),
        ("\"0.2.0\"", "\"0.2\"", "is not a version"),
        ("\"0.2.0\"", "\"0.2.0+build\"", "is not a version"),
        ("\"0.2.0\"", "\"0.1.4\"", "older than the minimum"),
        ("\"0.2.0\"", "\"0.1.7\"", "0.1.7 is revoked"),
        (
            "\"petit-client-linux-x86_64\",\n      \"bytes\"",
            "\"../petit\",\n      \"bytes\"",
            "is not the name of a file",
        ),
        (
            "\"petit-client-linux-x86_64\",\n      \"bytes\"",
            "\".petit\",\n      \"bytes\"",
            "is not the name of a file",
        ),
        (
            "\"petit-client-linux-x86_64\",\n      \"bytes\"",
            "\"C:petit\",\n      \"bytes\"",
            "is not the name of a file",
        ),
        ("\"target\": \"petit-client", "\"target\": \"Petit client", "is not a target"),
        ("13", "0", "0 bytes"),
        ("13", "536870913", "536870913 bytes"),
        ("f3ff", "F3FF", "SHA-256"),
        ("f3ff", "f3f", "SHA-256"),
        ("petit-manifest 1", "petit-release-key 1", "no petit-manifest"),
        ("petit-manifest 1", "petit-manifest", "no petit-manifest"),
    ] {
        let text = MANIFEST_TEXT.replacen(right, wrong, 1);
        assert_ne!(text, MANIFEST_TEXT, "{right}");
        let error = Manifest::parse(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{wrong}: {error}");
    }
}

#[test]
fn there_are_bounds_to_how_much_a_manifest_says() {
    let mut manifest = Manifest::parse(MANIFEST_TEXT).unwrap();
    let first = manifest.targets[0].clone();
    manifest.targets.push(first.clone());
    let error = Manifest::parse(&manifest.to_text()).unwrap_err().to_string();
    assert!(error.contains("there twice"), "{error}");
    let named = |index: usize| Artifact { target: format!("t{index}").parse().unwrap(), ..first.clone() };
    manifest.targets = (0..=MAX_TARGETS).map(named).collect();
    let error = Manifest::parse(&manifest.to_text()).unwrap_err().to_string();
    assert!(error.contains("65 targets"), "{error}");
    manifest.targets.truncate(1);
    manifest.targets[0].revoked = (0..=MAX_REVOKED).map(|patch| version(&format!("0.0.{patch}"))).collect();
    let error = Manifest::parse(&manifest.to_text()).unwrap_err().to_string();
    assert!(error.contains("65 revoked"), "{error}");
}

#[test]
fn a_later_release_may_say_more_and_one_of_another_form_is_told_as_that() {
    let more = MANIFEST_TEXT.replacen("\"channel\"", "\"notes\": \"new\",\n  \"channel\"", 1);
    assert_eq!(Manifest::parse(&more), Manifest::parse(MANIFEST_TEXT));
    let other = MANIFEST_TEXT.replacen("petit-manifest 1", "petit-manifest 2", 1);
    let refused = Manifest::parse(&other).unwrap_err();
    assert!(matches!(&refused, Refusal::NewerForm { form, .. } if form == "petit-manifest 2"), "{refused:?}");
}

#[test]
fn a_release_key_has_a_key() {
    let text = ReleaseKey::new(1, time(STARTED), "none".to_owned()).to_text();
    let error = ReleaseKey::parse(&text).unwrap_err().to_string();
    assert!(error.contains("its key is none of minisign's"), "{error}");
}

#[test]
fn the_target_of_a_brand_is_one_of_its_own() {
    let petit = Target::of("petit-client", &crate::brand::Brand::petit());
    let expected = format!("petit-client-{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    assert_eq!(petit.as_str(), expected);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("brand.toml");
    std::fs::write(&file, "id = \"north\"\nname = \"North\"").unwrap();
    let north = Target::of("petit-client", &crate::brand::Brand::read(&file).unwrap());
    assert_eq!(north.as_str(), format!("{expected}-north"));
    assert_eq!(north.as_str().parse(), Ok(north));
}

#[test]
fn times_are_said_whatever_the_clock_says() {
    use std::time::{Duration, SystemTime};
    let long_ago = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(Time::new(long_ago).to_string(), "1970-01-01T00:00:00Z");
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert_eq!(Time::new(far).to_string(), "9999-12-31T23:59:59Z");
    assert_eq!(Time::new(far).after(Duration::MAX), Time::new(far));
}

#[test]
fn hours_may_go_over_midnight() {
    let hours = |text: &str| text.parse::<Hours>();
    let night = hours("22:00-05:30").unwrap();
    for (minute, is_in) in [(1319, false), (1320, true), (1439, true), (0, true), (329, true), (330, false)] {
        assert_eq!(night.contains(minute), is_in, "{minute}");
    }
    let day = hours("08:00-09:00").unwrap();
    for (minute, is_in) in [(479, false), (480, true), (539, true), (540, false)] {
        assert_eq!(day.contains(minute), is_in, "{minute}");
    }
    assert_eq!(night.to_string(), "22:00-05:30");
    for wrong in ["", "22:00", "24:00-01:00", "1:00-2:00", "01:60-02:00", "01:00-01:00", "+1:00-02:00"] {
        assert!(hours(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_bundle_is_read_from_the_files_that_minisign_checks() {
    let release = Release::new();
    let bundle = release.bundle();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("release-key.json", &bundle.release_key);
    write("release-key.json.ada.minisig", &bundle.root_signatures[0]);
    write("release-key.json.bob.minisig", &bundle.root_signatures[1]);
    write("manifest.json", &bundle.manifest);
    let error = Bundle::read(dir.path()).unwrap_err().to_string();
    assert!(error.contains("manifest.json.minisig"), "{error}");
    write("manifest.json.minisig", &bundle.manifest_signature);
    write("petit-client-linux-x86_64.minisig", "not ours");
    assert_eq!(Bundle::read(dir.path()).unwrap(), bundle);
    write("manifest.json", &" ".repeat(MAX_MANIFEST_BYTES + 1));
    assert!(matches!(Bundle::read(dir.path()), Err(BundleError::TooLarge { .. })));
    for index in 0..MAX_ROOT_SIGNATURES {
        write(&format!("release-key.json.{index}.minisig"), "");
    }
    assert!(matches!(Bundle::read(dir.path()), Err(BundleError::TooManySignatures { .. })));
}
