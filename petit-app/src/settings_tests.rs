use petit_client::config;
use proptest::prelude::*;

use petit_engine::proto::control::ServiceKind;

use super::*;
use crate::contract::{Form, FormService};
use crate::form::{fill, target};
use crate::mistakes::problem_of_text;

const WRITTEN: &str = "# mine\n[client]\nlog_level = \"warn\" # quiet\nkey_store = \"file\"\n\n# the shop\n[[client.service]]\nname = \"shop\"\ntarget = \"localhost:1\" # here\n\n# the rest\n[[client.service]]\nname = \"db\"\ntarget = \"localhost:2\"\nkind = \"tcp\"\n";

fn first() -> ServiceName {
    ServiceName::first()
}

fn read(text: &str) -> Settings {
    settings(&Texts::of("en"), Path::new("/c.toml"), text, &first())
}

#[test]
fn the_form_shows_what_the_text_says_and_an_unchanged_form_changes_nothing() {
    let Settings { form: Some(form), problems, .. } = read(WRITTEN) else { panic!("there is a form") };
    assert!(problems.is_empty());
    assert_eq!(form.log_level, petit_host::logs::Level::Warn);
    let names: Vec<&str> = form.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["shop", "db"]);
    assert_eq!(fill(WRITTEN, &form, &first()).unwrap(), WRITTEN);
}

#[test]
fn what_is_filled_in_keeps_comments_and_order() {
    let mut form = read(WRITTEN).form.unwrap();
    form.log_level = petit_host::logs::Level::Debug;
    form.name = "Front desk".into();
    form.services[0].target = "localhost:9".into();
    form.services[1].name = "accounts".into();
    let new = FormService { name: "web".into(), kind: ServiceKind::Http, target: "localhost:3".into() };
    form.services.push(new);
    let text = fill(WRITTEN, &form, &first()).unwrap();
    for kept in [
        "# mine\n",
        "log_level = \"debug\" # quiet",
        "key_store = \"file\"",
        "# the shop\n",
        "target = \"localhost:9\" # here",
        "# the rest\n",
    ] {
        assert!(text.contains(kept), "{kept:?} in {text}");
    }
    assert_eq!(read(&text).form.as_ref(), Some(&form));
    form.services.remove(0);
    form.name.clear();
    let text = fill(&text, &form, &first()).unwrap();
    assert_eq!(read(&text).form.as_ref(), Some(&form));
    assert!(!text.contains("# the shop") && text.contains("# the rest"));
    form.services.clear();
    assert_eq!(read(&fill(&text, &form, &first()).unwrap()).form.as_ref(), Some(&form));
}

#[test]
fn a_form_over_a_file_from_windows_keeps_its_line_ends() {
    let written = WRITTEN.replace('\n', "\r\n");
    let mut form = read(&written).form.unwrap();
    form.services[0].target = "localhost:9".into();
    form.log_level = petit_host::logs::Level::Debug;
    let filled = fill(&written, &form, &first()).unwrap();
    assert_eq!(filled, written.replace("localhost:1", "localhost:9").replace("\"warn\"", "\"debug\""));
    form.name = "a".into();
    let named = fill(&filled, &form, &first()).unwrap();
    form.name.clear();
    assert_eq!(fill(&named, &form, &first()).unwrap(), filled);
}

#[test]
fn what_the_form_does_not_show_of_a_service_stays() {
    let text = "[client]\n[[client.service]]\nname = \"a\"\ntarget = \"https://h:443\"\nkind = \"h2\"\n";
    let mut form = read(text).form.unwrap();
    assert_eq!(form.services[0].target, "https://h:443");
    form.services.push(FormService { name: "b".into(), kind: ServiceKind::Http, target: "h:1".into() });
    let filled = fill(text, &form, &first()).unwrap();
    assert!(filled.starts_with(text), "{filled}");
}

#[test]
fn the_originals_service_stays_as_it_is_until_it_is_changed() {
    let text = "[client]\nlogLevel = \"warn\"\n[client.local]\nport = 80\n";
    let mut form = read(text).form.unwrap();
    assert_eq!(form.services[0].name, "web");
    form.services.push(FormService { name: "db".into(), kind: ServiceKind::Tcp, target: "h:1".into() });
    let added = fill(text, &form, &first()).unwrap();
    assert!(added.contains("[client.local]\nport = 80"), "{added}");
    assert_eq!(read(&added).form.as_ref(), Some(&form));
    form.services[0].target = "localhost:81".into();
    let changed = fill(&added, &form, &first()).unwrap();
    assert!(!changed.contains("local]"), "{changed}");
    assert_eq!(read(&changed).form.as_ref(), Some(&form));
}

#[test]
fn mistakes_are_said_with_line_and_field() {
    let text = WRITTEN.replace("localhost:2", "nowhere");
    let settings = read(&text);
    let problem = &settings.problems[0];
    assert_eq!((problem.line, problem.field.as_deref()), (Some(14), Some("services.1.target")));
    assert!(problem.message.contains("localhost:3000"), "{problem:?}");
    assert_eq!(settings.form.as_ref().unwrap().services[1].target, "nowhere", "the form shows what is wrong");
    let twice = WRITTEN.replace("\"db\"", "\"shop\"");
    assert!(read(&twice).problems[0].message.starts_with("two services"));
    assert!(read("[client").problems[0].line.is_some() && read("[client").form.is_none());
    let said = petit_host::cli::chain(&config::parse(Path::new("/c.toml"), &text).unwrap_err());
    let problem = problem_of_text(&said, Path::new("/c.toml"));
    assert_eq!((problem.line, problem.column), (Some(14), Some(10)));
    assert_eq!(problem_of_text("anything", Path::new("/c.toml")).message, "anything");
}

#[test]
fn targets_are_taken_as_people_type_them() {
    for (typed, meant) in [
        ("3000", "localhost:3000"),
        (" localhost:1 ", "localhost:1"),
        ("http://h:80/x", "h:80"),
        ("https://h/x", "h:443"),
    ] {
        assert_eq!(target(typed).unwrap().to_string(), meant);
    }
    assert!(target("localhost").is_err() && target("").is_err());
}

fn shown(before: &str, after: &str) -> String {
    let mark = |kind| match kind {
        DiffKind::Same => ' ',
        DiffKind::Added => '+',
        DiffKind::Removed => '-',
    };
    lines(before, after).iter().map(|line| format!("{}{}\n", mark(line.kind), line.text)).collect()
}

#[test]
fn a_difference_reads_like_one() {
    assert_eq!(shown("a\nb\nc\nd\n", "a\nx\nc\nd\ne\n"), " a\n-b\n+x\n c\n d\n+e\n");
    assert_eq!(shown("", "a\n"), "+a\n");
    assert_eq!(shown("a\n", "a\n"), " a\n");
}

proptest! {
    #[test]
    fn a_difference_holds_both_texts(
        before in proptest::collection::vec("[ab]{0,2}", 0..12),
        after in proptest::collection::vec("[ab]{0,2}", 0..12),
    ) {
        let lines = lines(&before.join("\n"), &after.join("\n"));
        let side = |without: DiffKind| -> Vec<String> {
            lines.iter().filter(|line| line.kind != without).map(|line| line.text.clone()).collect()
        };
        prop_assert_eq!(side(DiffKind::Added).join("\n"), before.join("\n").lines().collect::<Vec<_>>().join("\n"));
        prop_assert_eq!(side(DiffKind::Removed).join("\n"), after.join("\n").lines().collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn what_was_filled_in_is_what_the_text_says(
        names in proptest::collection::btree_set("[a-z]{1,6}", 0..5),
        more in proptest::collection::btree_set("[a-z]{1,6}", 0..5),
        comment in "[a-zA-Z0-9 #=\"\\[\\]]{0,20}",
    ) {
        let mut text = format!("# {comment}\n[client]\nlog_level = \"warn\" # {comment}\n");
        for name in &names {
            text.push_str(&format!("\n# {comment}\n[[client.service]]\nname = \"{name}\"\ntarget = \"h:1\" # {comment}\n"));
        }
        let service = |name: &String| FormService { name: name.clone(), kind: ServiceKind::Tcp, target: "h:2".into() };
        let form = Form { services: more.iter().map(service).collect(), name: "x".into(), ..read(&text).form.unwrap() };
        let filled = fill(&text, &form, &first()).unwrap();
        prop_assert_eq!(read(&filled).form, Some(form));
        let line = format!("log_level = \"warn\" # {comment}");
        prop_assert!(filled.contains(&line));
    }
}
