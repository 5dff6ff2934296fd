#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("/etc/petit/config.toml");
    let _ = petit_client::config::parse(path, text);
    let _ = petit_server::config::parse(path, text);
});
