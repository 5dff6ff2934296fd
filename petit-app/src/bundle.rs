//! What a vendor's support may see of this installation: made of text, redacted, shown before it is saved.

use std::fmt::Write as _;

use petit_client::doctor;
use petit_client::folder::Folder;
use petit_client::registration;
use petit_client::status::Status;
use petit_client::texts::Texts;
use petit_engine::secret::Fingerprint;
use petit_host::files;
use petit_host::logs;
use serde_json::json;

use crate::contract::{Bundle, BundleFile};
use crate::redact::redact;

/// Lines of the log that go in.
const LOG_LINES: usize = 2000;

/// Collects and redacts. What cannot be read is left out, and said to be.
pub async fn make(folder: &Folder, version: &str, status: Option<&Status>) -> Bundle {
    let home = files::home().map(|home| home.display().to_string());
    let text = |text: String| redact(&text, home.as_deref());
    let mut parts: Vec<(&str, String)> = Vec::new();
    let registration = registration::load(folder);
    let known = registration.as_ref().ok().and_then(Option::as_ref);
    let about = json!({
        "version": version,
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "config": folder.config,
        "registered": known.map(|known| json!({
            "server": known.server,
            "device": known.device,
            "server_words": known.pins.first().map(Fingerprint::words),
            "key_words": known.key.words(),
            "key_store": known.key_store,
        })),
    });
    parts.push(("about.json", format!("{about:#}\n")));
    let status = status.map(|status| format!("{:#}\n", json!(status)));
    parts.push(("status.json", status.unwrap_or_else(|| "no client runs\n".to_owned())));
    let mut checks = String::new();
    for check in doctor::run(folder, &Texts::of("en")).await {
        let mark = match check.result {
            doctor::CheckResult::Good => "good   ",
            doctor::CheckResult::Bad => "bad    ",
            doctor::CheckResult::Untried => "untried",
            doctor::CheckResult::Skipped => "skipped",
        };
        let _ = writeln!(checks, "{mark} {}: {}", check.name, check.detail);
    }
    parts.push(("doctor.txt", checks));
    let config =
        std::fs::read_to_string(&folder.config).unwrap_or_else(|error| format!("not read: {error}\n"));
    parts.push(("config.toml", config));
    let log = match logs::tail(&folder.log(), LOG_LINES) {
        Ok(lines) => lines.join("\n") + "\n",
        Err(error) => format!("not read: {error}\n"),
    };
    parts.push(("client.log", log));
    let file = |(name, part): (&str, String)| {
        let text = text(part);
        BundleFile { name: name.to_owned(), bytes: text.len(), text }
    };
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let stamp: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    Bundle { name: format!("petit-diagnostics-{stamp}.zip"), files: parts.into_iter().map(file).collect() }
}

/// The bundle as a ZIP file with one folder at its top. Nothing is compressed: it is small, and this is all there is
/// to know about the format (APPNOTE 6.3, §4.3).
pub fn zip(bundle: &Bundle) -> Vec<u8> {
    let folder = bundle.name.trim_end_matches(".zip");
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    let little = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    let short = |value: usize| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
    for file in &bundle.files {
        let name = format!("{folder}/{}", file.name);
        let data = file.text.as_bytes();
        // Version 2.0, names in UTF-8, stored, 1 January 1980.
        let mut shared = vec![20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0];
        shared.extend(crc32fast::hash(data).to_le_bytes());
        shared.extend(little(data.len()));
        shared.extend(little(data.len()));
        shared.extend(short(name.len()));
        shared.extend([0, 0]);
        let offset = out.len();
        out.extend(b"PK\x03\x04");
        out.extend(&shared);
        out.extend(name.as_bytes());
        out.extend(data);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&shared);
        directory.extend([0; 2 + 2 + 2]);
        // A file that its owner may read and write.
        directory.extend((0o100_600_u32 << 16).to_le_bytes());
        directory.extend(little(offset));
        directory.extend(name.as_bytes());
    }
    let count = bundle.files.len();
    let (start, length) = (out.len(), directory.len());
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(short(count));
    out.extend(short(count));
    out.extend(little(length));
    out.extend(little(start));
    out.extend([0, 0]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bundle_says_what_it_could_not_find_and_holds_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        folder.make().unwrap();
        std::fs::write(&folder.config, "[client.vitae]\ntoken = \"canary\"\n").unwrap();
        std::fs::write(folder.log(), "https://h/enroll#v1.canary\n").unwrap();
        let bundle = make(&folder, "1.0", None).await;
        let names: Vec<&str> = bundle.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["about.json", "status.json", "doctor.txt", "config.toml", "client.log"]);
        assert!(
            bundle.files.iter().all(|file| !file.text.contains("canary") && file.bytes == file.text.len())
        );
    }

    #[test]
    fn other_programs_can_open_the_zip() {
        let dir = tempfile::tempdir().unwrap();
        let file =
            |name: &str, text: &str| BundleFile { name: name.into(), bytes: text.len(), text: text.into() };
        let bundle = Bundle {
            name: "b.zip".into(),
            files: vec![file("a.txt", "ä"), file("log", &"x\n".repeat(999))],
        };
        let path = dir.path().join("b.zip");
        std::fs::write(&path, zip(&bundle)).unwrap();
        let code = "import sys,zipfile;z=zipfile.ZipFile(sys.argv[1]);assert z.testzip() is None;print(z.namelist(),z.read('b/a.txt').decode())";
        let output = std::process::Command::new("python3").args(["-c", code]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.trim(), "['b/a.txt', 'b/log'] ä", "{}", String::from_utf8_lossy(&output.stderr));
    }
}
