use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;

/// The interfaces of the contract: name to field to its type as written.
fn interfaces() -> BTreeMap<String, BTreeMap<String, String>> {
    let source = include_str!("../../../ui/app/contract.d.ts");
    let mut found = BTreeMap::new();
    let mut rest = source;
    while let Some((_, after)) = rest.split_once("export interface ") {
        let (name, body) = after.split_once(" {\n").unwrap();
        let (body, tail) = body.split_once("\n}").unwrap();
        let mut fields = BTreeMap::new();
        let mut lines = body.lines();
        while let Some(line) = lines.next() {
            let line = line.trim();
            if line.starts_with(['/', '*']) || !line.contains([':', '(']) {
                continue;
            }
            let (field, kind) = line.split_once(':').unwrap();
            let mut kind = kind.trim().to_owned();
            while !kind.ends_with(';') {
                kind.push(' ');
                kind.push_str(lines.next().unwrap().trim());
            }
            fields.insert(field.trim_end_matches('?').to_owned(), kind.trim_end_matches(';').to_owned());
        }
        found.insert(name.to_owned(), fields);
        rest = tail;
    }
    found
}

/// Checks that a value has exactly an interface's fields, with values of the types written there.
fn check(contract: &BTreeMap<String, BTreeMap<String, String>>, name: &str, value: &Value) {
    let fields = &contract[name];
    let ours: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let theirs: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(ours, theirs, "{name}");
    for (field, kind) in fields {
        check_type(contract, &format!("{name}.{field}"), kind, &value[field]);
    }
}

fn check_type(contract: &BTreeMap<String, BTreeMap<String, String>>, place: &str, kind: &str, value: &Value) {
    let kind = kind.trim();
    if let Some(kind) = kind.strip_suffix(" | null") {
        if !value.is_null() {
            check_type(contract, place, kind, value);
        }
    } else if let Some(kind) = kind.strip_suffix("[]").filter(|kind| !kind.starts_with('{')) {
        for entry in value.as_array().unwrap_or_else(|| panic!("{place} is a list: {value}")) {
            check_type(contract, place, kind, entry);
        }
    } else if contract.contains_key(kind) {
        check(contract, kind, value);
    } else if kind.starts_with('\'') || kind.starts_with("| '") {
        let said = value.as_str().unwrap_or_else(|| panic!("{place} is a word: {value}"));
        assert!(kind.contains(&format!("'{said}'")), "{place} may not be {said}");
    } else {
        let right = match kind {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "Tone" => ["good", "busy", "warn", "bad", "off"].contains(&value.as_str().unwrap()),
            "Record<string, string>" => value.as_object().unwrap().values().all(Value::is_string),
            inline if inline.starts_with('{') => value.is_object() || value.is_array(),
            other if other.contains("Form['log_level']") => value.is_string(),
            other => panic!("{place}: the test does not know the type {other}"),
        };
        assert!(right, "{place} is {kind}, not {value}");
    }
}

fn words() -> Words {
    Words { what: "w".into(), todo: String::new() }
}

fn form() -> Form {
    let service = FormService { name: "web".into(), kind: ServiceKind::Tcp, target: "h:1".into() };
    Form { services: vec![service], ..Form::default() }
}

fn full_view() -> View {
    let texts = crate::texts::Texts::of("en");
    let status = crate::testing::online(vec![crate::testing::service("web")]);
    let known = crate::testing::registration();
    let problem = Problem { message: "m".into(), line: Some(1), column: None, field: Some("name".into()) };
    crate::view::view(crate::facts::Facts {
        now: std::time::UNIX_EPOCH,
        owner: crate::Owner::Another { pid: None },
        registration: Some(&known),
        config_problem: Some(&problem),
        traffic: Traffic { active: 1, samples: vec![Sample::default()] },
        since: None,
        no_tray: true,
        is_root: true,
        ..crate::testing::facts(&texts, Some(&status))
    })
}

#[test]
#[expect(clippy::too_many_lines, reason = "a row for each type of the contract")]
fn every_value_has_the_form_that_the_page_was_promised() {
    let contract = interfaces();
    assert!(contract.len() > 25 && contract["View"].len() == 12, "{:?}", contract.keys());
    let prefs = crate::prefs::Remembered::default().prefs(true);
    let about = About {
        version: "1".into(),
        protocol: 1,
        config_path: "/c".into(),
        log_path: "/l".into(),
        data_path: "/d".into(),
        licence: "MIT".into(),
    };
    let view = full_view();
    assert!(!view.notices.is_empty() && view.notices.iter().any(|notice| notice.action.is_some()));
    let boot = Boot {
        lang: "en".into(),
        texts: BTreeMap::from([("k".into(), "t".into())]),
        about,
        prefs,
        view,
        open: Opening { page: Page::Setup, invite: Some("i".into()) },
        colour: Some("#0a6b4f".into()),
    };
    let problem = Problem { message: "m".into(), line: None, column: Some(2), field: None };
    let values = [
        ("Boot", json!(boot)),
        (
            "Invite",
            json!(Invite {
                server: "s".into(),
                server_words: KeyWords { english: "w".into(), german: "W".into() },
                fingerprint: "f".into(),
                not_after: 1,
                expired: false,
                replaces: None,
                vendor: Some("v".into()),
                exposes: "e".into(),
                kept: vec![Kept {
                    name: "n".into(),
                    kind: ServiceKind::Http,
                    target: "h:1".into(),
                    chosen: true,
                }],
                told: vec![Fact { label: "l".into(), value: "v".into() }],
            }),
        ),
        (
            "Listening",
            json!(Listening {
                target: "h:1".into(),
                program: String::new(),
                process: String::new(),
                found: String::new(),
                kind: ServiceKind::Http,
                usual: true,
            }),
        ),
        ("Tried", json!(Tried { tone: Tone::Good, words: words() })),
        (
            "Settings",
            json!(Settings { text: "t".into(), form: Some(form()), problems: vec![problem.clone()] }),
        ),
        (
            "Diff",
            json!(Diff {
                lines: vec![DiffLine { kind: DiffKind::Added, text: "t".into() }],
                problems: vec![problem],
            }),
        ),
        ("Applied", json!(Applied { done: true, rolled_back: false, words: words() })),
        ("LogLine", json!(LogLine { id: 1, at: "a".into(), level: "INFO".into(), text: "t".into() })),
        (
            "Check",
            json!(Check {
                name: "n".into(),
                result: petit_client::doctor::CheckResult::Skipped,
                detail: "d".into(),
                advice: String::new(),
            }),
        ),
        (
            "Bundle",
            json!(Bundle {
                name: "n".into(),
                files: vec![BundleFile { name: "f".into(), bytes: 1, text: "t".into() }],
            }),
        ),
        (
            "RegisteredService",
            json!(RegisteredService { service: "s".into(), url: "u".into(), former: Some(words()) }),
        ),
        ("Refused", json!(Refused::new("code", words()).field("name"))),
    ];
    for (name, value) in &values {
        check(&contract, name, value);
    }
    for kind in StateKind::ALL {
        check(&contract, "State", &json!(State { kind, since: Some(1), until: None }));
    }
}

#[test]
fn what_the_page_sends_is_understood() {
    for page in ["overview", "setup", "services", "settings", "logs", "diagnostics", "about"] {
        assert!(serde_json::from_value::<Page>(json!(page)).is_ok(), "{page}");
    }
    for length in ["15min", "1h", "tomorrow"] {
        assert!(serde_json::from_value::<PauseFor>(json!(length)).is_ok(), "{length}");
    }
    let sent = json!({ "log_level": "warn", "name": "", "services": [{ "name": "a", "kind": "tcp", "target": "h:1" }] });
    assert_eq!(serde_json::from_value::<Form>(sent).unwrap().services.len(), 1);
    let prefs = json!({ "start_on_login": true, "notify_down": true, "notify_back": false, "theme": "dark", "lang": "de" });
    assert_eq!(serde_json::from_value::<Prefs>(prefs).unwrap().theme, Theme::Dark);
    for store in ["keychain", "file"] {
        assert!(serde_json::from_value::<petit_client::config::KeyStore>(json!(store)).is_ok());
    }
}
