//! What fuzzers have found worth keeping, again. The targets are in `tests/fuzz`.

use std::path::{Path, PathBuf};

use petit_engine::fuzzing;
use petit_relay::fuzzing as relay;

/// Runs a target over its corpus; returns how many inputs that were.
fn replay(target: &str, run: impl Fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let inputs: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for input in &inputs {
        println!("{}", input.display()); // the last one is the culprit
        run(&std::fs::read(input).unwrap());
    }
    inputs.len()
}

#[test]
fn what_strangers_may_send_is_met_as_before() {
    let config = |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let path = Path::new("config.toml");
        let _ = petit_client::config::parse(path, text);
        let _ = petit_server::config::parse(path, text);
    };
    let counts = [
        replay("frames", fuzzing::frames),
        replay("session", fuzzing::session),
        replay("messages", fuzzing::messages),
        replay("invite", fuzzing::invite),
        replay("head", relay::head),
        replay("answer", fuzzing::answer),
        replay("config", config),
    ];
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}
