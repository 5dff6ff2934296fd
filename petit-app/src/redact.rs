//! Takes out of a text what must not leave this computer: invites, keys, tokens, passwords in addresses, query
//! parts, and the name of the user's home.

/// A run of coded characters this long is a secret until shown otherwise. (A registered ID has 16, a device ID 26.)
const SECRET_RUN: usize = 28;
const GONE: &str = "[removed]";

/// Words after which a value is a secret, in lower case.
const SECRET_NAMES: [&str; 10] = [
    "password",
    "passwort",
    "passphrase",
    "token",
    "secret",
    "authorization",
    "cookie",
    "api_key",
    "apikey",
    "private_key",
];

/// The text without its secrets. `home` is the user's home folder.
pub fn redact(text: &str, home: Option<&str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_pem = false;
    for line in text.split_inclusive('\n') {
        if line.contains("-----BEGIN") {
            in_pem = true;
            out.push_str(GONE);
            out.push('\n');
        }
        if !in_pem {
            out.push_str(&redact_line(line, home));
        }
        if line.contains("-----END") {
            in_pem = false;
        }
    }
    out
}

fn redact_line(line: &str, home: Option<&str>) -> String {
    let mut line = line.to_owned();
    if let Some(home) = home.filter(|home| home.len() > 1) {
        line = line.replace(home, "~");
    }
    if let Some(cut) = secret_value(&line) {
        let end = if line.ends_with('\n') { "\n" } else { "" };
        line.truncate(cut);
        return format!("{}{GONE}{end}", runs(&words(&line)));
    }
    runs(&words(&line))
}

/// Where the value of a secret name begins.
fn secret_value(line: &str) -> Option<usize> {
    // The same length in bytes as the line: only ASCII letters are made small.
    let lower = line.to_ascii_lowercase();
    let ends = SECRET_NAMES.iter().filter_map(|name| {
        let at = lower.find(name)? + name.len();
        let rest = lower.get(at..)?;
        let value = rest.trim_start_matches(['"', '\'', ' ']);
        let value = value.strip_prefix(['=', ':'])?;
        Some(line.len() - value.len())
    });
    ends.min()
}

/// Addresses without user, query and fragment.
fn words(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let end = at + 3;
        let tail = rest.get(end..).unwrap_or_default();
        out.push_str(rest.get(..end).unwrap_or_default());
        let stop = tail.find(|c: char| c.is_whitespace() || "\"'<>)]},".contains(c)).unwrap_or(tail.len());
        let address = tail.get(..stop).unwrap_or_default();
        let host = match address.split('/').next().and_then(|authority| authority.rfind('@')) {
            Some(at) => address.get(at + 1..).unwrap_or_default(),
            None => address,
        };
        match host.find(['?', '#']) {
            Some(cut) => {
                out.push_str(host.get(..=cut).unwrap_or_default());
                out.push_str(GONE);
            }
            None => out.push_str(host),
        }
        rest = tail.get(stop..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Long runs of coded characters, such as keys and the body of an invite. A fingerprint is public and marked as one.
fn runs(line: &str) -> String {
    // Not `=`: it stands behind a name more often than at the end of base64, and without it a run is as long.
    let is_coded = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '_' | '-');
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_coded) {
        let (before, tail) = rest.split_at(start);
        out.push_str(before);
        let end = tail.find(|c: char| !is_coded(c)).unwrap_or(tail.len());
        let (run, after) = tail.split_at(end);
        let public = out.ends_with("SHA256:") && run.len() == 43;
        out.push_str(if is_secret(run) && !public { GONE } else { run });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Names and paths are made of short pieces; secrets are not.
fn is_secret(run: &str) -> bool {
    let longest = |separators: &[char]| run.split(separators).map(str::len).max().unwrap_or(0);
    // In base64 `/`, `+`, `-` and `_` are rare; in paths and names they are what divides them.
    let looks_coded =
        run.bytes().any(|byte| byte.is_ascii_digit()) || run.bytes().any(|byte| byte.is_ascii_uppercase());
    run.len() >= SECRET_RUN && looks_coded && longest(&['/', '-', '_']) >= 12
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_public_stays_and_what_is_not_goes() {
        let home = Some("/home/anna");
        for (text, expected) in [
            ("online server=tunnel.example.com:8453\n", "online server=tunnel.example.com:8453\n"),
            ("https://k3v5qyz2m7wbn4ta.example.com\n", "https://k3v5qyz2m7wbn4ta.example.com\n"),
            ("device abcdefghijklmnopqrstuvwx2y", "device abcdefghijklmnopqrstuvwx2y"),
            (
                "online device=abcdefghijklmnopqrstuvwx2y at=1",
                "online device=abcdefghijklmnopqrstuvwx2y at=1",
            ),
            ("a=QUJDREVGR0hJSktMTU5PUFFSU1RVVldY==", "a=[removed]=="),
            ("/home/anna/.petit/config.toml", "~/.petit/config.toml"),
            ("https://u:p@h.example/x?k=1#y z", "https://h.example/x?[removed] z"),
            ("password = \"x\" # mine\n", "password =[removed]\n"),
            ("Authorization: Bearer abc\n", "Authorization:[removed]\n"),
            ("Cookie: session=abc; theme=dark\n", "Cookie:[removed]\n"),
            ("< set-cookie: session=abc; Path=/\n", "< set-cookie:[removed]\n"),
            ("Passwort: geheim\n", "Passwort:[removed]\n"),
            ("passphrase='open sesame'\n", "passphrase=[removed]\n"),
            ("\"access_token\": \"abc\"\n", "\"access_token\":[removed]\n"),
            ("client_secret=abc\n", "client_secret=[removed]\n"),
            ("x_api_key: abc\n", "x_api_key:[removed]\n"),
            ("APIKEY = abc\n", "APIKEY =[removed]\n"),
            ("private_key = abc\n", "private_key =[removed]\n"),
            (
                "petit-client/src/bin/petit-client/registering.rs",
                "petit-client/src/bin/petit-client/registering.rs",
            ),
        ] {
            assert_eq!(redact(text, home), expected);
        }
        let print = format!("key SHA256:{}", "aB3".repeat(15).get(..43).unwrap());
        assert_eq!(redact(&print, None), print);
        let pem = "a\n-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n-----END PRIVATE KEY-----\nb\n";
        assert_eq!(redact(pem, None), "a\n[removed]\nb\n");
    }

    proptest! {
        #[test]
        fn no_planted_secret_survives(
            before in "[a-z ]{0,30}",
            after in "[a-z ]{0,30}",
            secret in proptest::collection::vec(any::<u8>(), 32),
            form in 0_usize..7,
        ) {
            use secrecy::ExposeSecret;
            let code = |bytes: &[u8]| -> String {
                let key = petit_engine::secret::Fingerprint(bytes.try_into().unwrap()).to_string();
                key.trim_start_matches("SHA256:").to_owned()
            };
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut bytes = [0; 32];
            bytes.copy_from_slice(&secret);
            let invite = petit_engine::invite::Invite {
                server: "tunnel.example.com:8453".parse().unwrap(),
                pins: vec![petit_engine::secret::Fingerprint([1; 32])],
                id: petit_engine::secret::InviteId([2; 16]),
                secret: petit_engine::secret::InviteSecret::from_bytes(bytes),
                not_after: std::time::UNIX_EPOCH,
                vendor: Some("Nordlicht".parse().unwrap()),
            };
            let link = invite.to_link().expose_secret().to_owned();
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", code(&secret));
            let (text, canary) = match form {
                0 => (link.clone(), link.get(60..90).unwrap().to_owned()),
                1 => (link.replace("https://", "petit://"), link.get(60..90).unwrap().to_owned()),
                2 => (hex.clone(), hex.get(10..30).unwrap().to_owned()),
                3 => (format!("token={}", code(&secret)), code(&secret).get(4..20).unwrap().to_owned()),
                4 => (pem, code(&secret).get(4..20).unwrap().to_owned()),
                5 => (format!("https://user:{}@h/", &hex[..12]), hex.get(..12).unwrap().to_owned()),
                _ => (format!("https://h/?k={}", &hex[..12]), hex.get(..12).unwrap().to_owned()),
            };
            let redacted = redact(&format!("{before} {text} {after}\n"), Some("/home/anna"));
            prop_assert!(!redacted.contains(&canary), "{}", redacted);
        }

        #[test]
        fn any_text_is_met_without_a_panic(text in any::<String>()) {
            let _ = redact(&text, Some(&text));
        }
    }
}
