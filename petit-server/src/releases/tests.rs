//! What `put` takes, and what it leaves behind when it does not. What clients get of it is in `e2e/updates`.

use std::fs;

use super::release::{CURRENT, MAX_NAME_BYTES};
use super::*;

#[test]
fn what_names_the_release_leads_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Release::current(dir.path()).unwrap().is_none());
    assert!(!withdraw(dir.path()).unwrap(), "there was nothing");
    for name in ["../../etc", "", "a/b", ".new", &"a".repeat(MAX_NAME_BYTES + 1)] {
        fs::write(dir.path().join(CURRENT), name).unwrap();
        assert!(matches!(Release::current(dir.path()), Err(ReleaseError::File(_))), "{name:?}");
    }
    // What is there and cannot be read is told, and is no panic.
    fs::write(dir.path().join(CURRENT), "release-1-1").unwrap();
    assert!(matches!(Release::current(dir.path()), Err(ReleaseError::Bundle(_))));
}
