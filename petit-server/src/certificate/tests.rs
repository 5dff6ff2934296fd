use petit_engine::name::Alias;
use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A folder with a config, whose public names lie under `example.com`.
struct Place {
    dir: tempfile::TempDir,
    config: Config,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("certificates")).unwrap();
        let text = "[server.vitae]\nendpoint = \"https://REGID.example.com\"\n";
        let (config, _) = crate::config::parse(&dir.path().join("config.toml"), text).unwrap();
        Self { dir, config }
    }

    /// Puts a certificate there, with its key.
    fn put(&self, name: &str, hosts: &[&str], last_year: i32) {
        self.put_from(name, hosts, (1975, last_year));
    }

    /// The same, with the year that it begins in.
    fn put_from(&self, name: &str, hosts: &[&str], (first_year, last_year): (i32, i32)) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.not_before = rcgen::date_time_ymd(first_year, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let folder = self.dir.path().join("certificates");
        std::fs::write(folder.join(format!("{name}.crt")), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn write(&self, file: &str, content: &str) {
        std::fs::write(self.dir.path().join("certificates").join(file), content).unwrap();
    }

    fn names(&self, aliases: &[&str]) -> PublicNames<'_> {
        let aliases: Vec<Alias> = aliases.iter().map(|alias| alias.parse().unwrap()).collect();
        PublicNames { endpoint: &self.config.endpoint, aliases }
    }

    fn load(&self) -> Loaded {
        load(&self.config)
    }
}

fn files(certificates: &[Certificate]) -> Vec<&str> {
    certificates.iter().map(|found| found.path.file_stem().unwrap().to_str().unwrap()).collect()
}

#[test]
fn a_name_is_covered_by_itself_and_by_a_star_for_its_first_label() {
    for (name, host, expected) in [
        ("*.example.com", "acme.example.com", true),
        ("*.example.com", "*.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "a.b.example.com", false),
        ("*.example.com", ".example.com", false),
        ("acme.example.com", "acme.example.com", true),
        ("acme.example.com", "*.example.com", false),
        ("acme.example.com", "xacme.example.com", false),
    ] {
        assert_eq!(covers(name, host), expected, "{name} for {host}");
    }
}

#[test]
fn one_for_other_names_is_refused_where_there_was_one_that_fits() {
    let place = Place::new();
    place.put("server", &["*.example.com"], 2093);
    let names = place.names(&[]);
    let in_use = place.load().replace(&[], &names).unwrap();
    place.put("server", &["other.org"], 2094);
    let error = place.load().replace(&in_use, &names).unwrap_err();
    assert!(matches!(&error, CertificateError::Misplaced { lost, .. } if lost == "*.example.com"), "{error}");
    let renewed = place.load().renew(&in_use, &names);
    assert!(renewed.certificates[0].is(&in_use[0]), "the one before stays in use");
    assert_eq!(renewed.problems.len(), 1);
    // Where another one is for these names, it does no harm.
    place.put("second", &["*.example.com"], 2094);
    assert_eq!(files(&place.load().replace(&in_use, &names).unwrap()), ["second", "server"]);
}

#[test]
fn one_that_would_leave_an_alias_without_is_refused_too() {
    let place = Place::new();
    place.put("server", &["*.example.com", "portal.acme.example"], 2093);
    let names = place.names(&["portal.acme.example", "label"]);
    let in_use = place.load().replace(&[], &names).unwrap();
    place.put("server", &["*.example.com"], 2094);
    let error = place.load().replace(&in_use, &names).unwrap_err().to_string();
    assert!(error.contains("is now for *.example.com, and no longer for portal.acme.example"), "{error}");
    assert!(place.load().replace(&in_use, &place.names(&[])).is_ok(), "an alias that is gone needs none");
}

#[test]
fn certificates_that_are_all_for_somebody_else_are_said_to_be() {
    let place = Place::new();
    place.put("server", &["other.org"], 2093);
    let error = place.load().replace(&[], &place.names(&[])).unwrap_err().to_string();
    assert!(
        error.contains("server.crt is for other.org, which is neither under example.com nor an alias"),
        "{error}"
    );
    let started = place.load().renew(&[], &place.names(&[]));
    assert_eq!((started.certificates.len(), started.problems.len()), (1, 1));
    // An alias makes it fit; so does one for a single name under the domain.
    assert!(place.load().replace(&[], &place.names(&["other.org"])).is_ok());
    place.put("server", &["acme.example.com"], 2093);
    let loaded = place.load().replace(&[], &place.names(&[])).unwrap();
    let names = place.names(&["acme", "label", "portal.acme.example"]);
    let uncovered: Vec<String> = names.uncovered(&loaded).collect();
    assert_eq!(uncovered, ["*.example.com", "portal.acme.example"]);
}

#[test]
fn a_file_that_cannot_be_used_keeps_the_one_before_and_spoils_no_other() {
    let place = Place::new();
    let names = place.names(&["portal.acme.example"]);
    place.put("server", &["*.example.com"], 2093);
    place.put("portal", &["portal.acme.example"], 2093);
    let in_use = place.load().replace(&[], &names).unwrap();
    place.write("portal.crt", "junk");
    place.put("server", &["*.example.com"], 2094);
    let renewed = place.load().renew(&in_use, &names);
    assert_eq!(renewed.problems.len(), 1, "{:?}", renewed.problems);
    let kept = |file: &str| {
        let at =
            |all: &[Certificate]| all.iter().find(|one| files(std::slice::from_ref(one)) == [file]).cloned();
        at(&in_use).unwrap().is(&at(&renewed.certificates).unwrap())
    };
    assert!(kept("portal") && !kept("server"));
    // A server that starts goes without it, and without nothing else.
    let start = |before: &HttpsBefore| place.load().for_start(before, &place.config);
    let started = |before: &HttpsBefore| start(before).unwrap();
    assert_eq!(files(&started(&HttpsBefore::Nobody).certificates), ["server"]);
    // One that takes the place of another has to serve all that it has served.
    let served = |names: &[&str]| HttpsBefore::Names(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(files(&started(&served(&["*.example.com"])).certificates), ["server"]);
    assert_eq!(files(&started(&HttpsBefore::Unknown).certificates), ["server"]);
    let lost = start(&served(&["*.example.com", "portal.acme.example"])).unwrap_err();
    assert_eq!(lost.lost, "portal.acme.example");
    assert!(lost.source.to_string().contains("portal.crt does not hold a certificate"), "{}", lost.source);
    place.write("server.key", "junk");
    let without = started(&HttpsBefore::Nobody);
    assert_eq!((without.certificates.len(), without.problems.len()), (0, 2));
    assert_eq!(started(&served(&[])).certificates.len(), 0, "there was nothing to lose");
    for before in [served(&["*.example.com"]), HttpsBefore::Unknown] {
        let error = petit_host::cli::chain(&start(&before).unwrap_err());
        assert!(
            error.starts_with("HTTPS visitors of *.example.com would not be served any more: "),
            "{error}"
        );
        assert!(error.contains("server.key does not hold a private key in PEM form"), "{error}");
    }
    // One that is gone changes nothing: the disk may come back.
    std::fs::remove_file(place.dir.path().join("certificates/portal.crt")).unwrap();
    let renewed = place.load().renew(&in_use, &names);
    assert!(renewed.problems.iter().any(|problem| problem.to_string().contains("portal.crt is gone")));
    assert_eq!(renewed.certificates.len(), 2);
}

#[test]
fn a_key_of_another_certificate_is_said_to_be_that() {
    let place = Place::new();
    place.put("server", &["*.example.com"], 2093);
    let key = KeyPair::generate().unwrap();
    place.write("server.key", &key.serialize_pem());
    let error = place.load().replace(&[], &place.names(&[])).unwrap_err().to_string();
    assert!(error.ends_with("server.key do not belong together"), "{error}");
}

#[test]
fn of_several_for_one_name_the_one_in_force_that_lasts_longest_is_shown() {
    let place = Place::new();
    let shown = |name: Option<&str>| {
        let loaded = place.load().certificates;
        let chosen = set::chosen(&loaded, "example.com", name, SystemTime::now())?;
        let path = loaded.iter().find(|one| one.key.cert == chosen.cert)?.path.clone();
        Some(path.file_stem()?.to_str()?.to_owned())
    };
    place.put("a", &["*.example.com"], 2093);
    place.put("b", &["*.example.com"], 2094);
    place.put("portal", &["portal.acme.example"], 2095);
    assert_eq!(shown(Some("x.example.com")).as_deref(), Some("b"));
    assert_eq!(shown(Some("Portal.ACME.example")).as_deref(), Some("portal"));
    assert_eq!(shown(Some("nobody.example")).as_deref(), Some("b"), "the domain's, whose name can be read");
    assert_eq!(shown(None).as_deref(), Some("b"));
    place.put("server", &["*.example.com"], 2092);
    assert_eq!(shown(Some("x.example.com")).as_deref(), Some("server"), "the server's own comes first");
    place.put("server", &["*.example.com"], 2001);
    assert_eq!(shown(Some("x.example.com")).as_deref(), Some("b"), "unless it has ended");
    let instead = |file: &str| {
        let views = views(&place.load().certificates, SystemTime::now());
        let view = views.into_iter().find(|view| view.path.ends_with(file)).unwrap();
        view.instead.map(|other| other.file_name().unwrap().to_string_lossy().into_owned())
    };
    assert_eq!(instead("server.crt").as_deref(), Some("b.crt"));
    assert_eq!((instead("b.crt"), instead("portal.crt")), (None, None));
    for end in ["crt", "key"] {
        let file = |name: &str| place.dir.path().join(format!("certificates/{name}.{end}"));
        std::fs::copy(file("b"), file("copy")).unwrap();
    }
    assert_eq!((instead("b.crt"), instead("copy.crt")), (None, None), "it is the same");
    for end in ["crt", "key"] {
        std::fs::remove_file(place.dir.path().join(format!("certificates/copy.{end}"))).unwrap();
    }
    for name in ["a", "b", "server"] {
        std::fs::remove_file(place.dir.path().join(format!("certificates/{name}.crt"))).unwrap();
    }
    assert_eq!(shown(Some("x.example.com")), None, "one for another name is not shown for this one");
    assert_eq!(shown(None).as_deref(), Some("portal"), "who asks for no name compares none");
}

#[test]
fn the_operator_is_warned_two_weeks_before_the_end() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let place = Place::new();
    place.put("server", &["*.example.com"], 2093);
    let read = place.load().certificates.pop().unwrap();
    let certificate = |not_after| Certificate { not_after, ..read.clone() };
    let day = Duration::from_secs(24 * 60 * 60);
    let expiry = |left: Duration| certificate(Some(now + left)).expiry(now);
    assert_eq!(expiry(90 * day), Expiry::Later);
    assert_eq!(expiry(14 * day - Duration::from_secs(1)), Expiry::Soon { days: 13 });
    assert_eq!(expiry(day / 2), Expiry::Soon { days: 0 });
    assert_eq!(certificate(Some(now - day)).expiry(now), Expiry::Over);
    assert_eq!(certificate(None).expiry(now), Expiry::Later);
}

#[test]
fn the_newest_is_shown_and_its_end_is_noticed_without_a_change_of_files() {
    let place = Place::new();
    place.put("server", &["*.example.com"], 2099);
    place.put_from("renewed", &["*.example.com"], (2020, 2093));
    place.put_from("to-come", &["*.example.com"], (2090, 2099));
    let loaded = place.load().certificates;
    let at = |year| SystemTime::from(rcgen::date_time_ymd(year, 6, 1));
    let shown = |name, now| {
        let chosen = set::chosen(&loaded, "example.com", name, now).unwrap();
        let one = loaded.iter().find(|one| one.key.cert == chosen.cert).unwrap();
        one.path.file_stem().unwrap().to_str().unwrap().to_owned()
    };
    for name in [Some("x.example.com"), Some("nobody.example"), None] {
        assert_eq!(shown(name, at(2026)), "renewed", "the own one is older, and lasts longer: {name:?}");
        assert_eq!(shown(name, at(2091)), "to-come", "{name:?}");
        assert_eq!(shown(name, at(2019)), "server", "the others have not begun: {name:?}");
    }
    std::fs::remove_file(place.dir.path().join("certificates/to-come.crt")).unwrap();
    let loaded = place.load().certificates;
    let shown = |now| set::chosen(&loaded, "example.com", Some("x.example.com"), now).unwrap().cert.clone();
    let server = loaded.iter().find(|one| one.path.ends_with("server.crt")).unwrap();
    assert_ne!(shown(at(2093) - Duration::from_secs(300 * 24 * 60 * 60)), server.key.cert);
    assert_eq!(shown(at(2093)), server.key.cert, "the newer one has ended");
}

#[test]
fn a_restart_loses_none_that_is_gone_or_is_for_others_now() {
    let place = Place::new();
    place.put("server", &["*.example.com"], 2093);
    let in_use = place.load().certificates;
    let served =
        in_use.iter().map(|one| ServedCertificate { path: one.path.clone(), names: one.names.clone() });
    let before = HttpsBefore::Certificates(served.collect());
    let lost = || place.load().for_start(&before, &place.config).map(|loaded| loaded.certificates.len());
    assert_eq!(lost().unwrap(), 1);
    place.put("server", &["other.org"], 2093);
    let error = petit_host::cli::chain(&lost().unwrap_err());
    assert!(
        error.contains("of *.example.com would not be served") && error.contains("is now for other.org"),
        "{error}"
    );
    place.put("second", &["*.example.com"], 2093);
    assert_eq!(lost().unwrap(), 2, "another one is for the name");
    for name in ["server", "second"] {
        for end in ["crt", "key"] {
            std::fs::remove_file(place.dir.path().join(format!("certificates/{name}.{end}"))).unwrap();
        }
    }
    let error = lost().unwrap_err();
    assert!(matches!(error.source, CertificateError::Gone { .. }), "{error:?}");
}

#[test]
fn what_was_taken_away_goes_though_another_one_cannot_be_used() {
    let place = Place::new();
    let names = place.names(&["portal.acme.example", "old.acme.example"]);
    for (name, host) in
        [("server", "*.example.com"), ("portal", "portal.acme.example"), ("old", "old.acme.example")]
    {
        place.put(name, &[host], 2093);
    }
    let in_use = place.load().replace(&[], &names).unwrap();
    let remove = |file: &str| std::fs::remove_file(place.dir.path().join("certificates").join(file)).unwrap();
    let asked = || {
        place.load().replace(&in_use, &names).unwrap_err();
        let renewed = place.load().renew_asked(&in_use, &names);
        files(&renewed.certificates).join(" ")
    };
    place.write("portal.crt", "junk");
    ["old.crt", "old.key"].iter().for_each(|file| remove(file));
    assert_eq!(asked(), "server portal");
    assert_eq!(place.load().renew(&in_use, &names).certificates.len(), 3, "by itself nothing goes");
    // A key alone is nothing, and the other one's files are still there.
    remove("portal.crt");
    place.write("server.key", "junk");
    assert_eq!(asked(), "server");
}

#[test]
fn a_restart_says_of_each_name_that_is_lost_what_is_wrong_with_its_own_files() {
    let place = Place::new();
    let hosts = ["a.acme.example", "b.acme.example", "c.acme.example"];
    let read = |config: &Config| {
        let in_use = load(config).certificates;
        let served =
            in_use.iter().map(|one| ServedCertificate { path: one.path.clone(), names: one.names.clone() });
        HttpsBefore::Certificates(served.collect())
    };
    for (name, host) in ["a", "b", "c"].into_iter().zip(hosts) {
        place.put(name, &[host], 2093);
    }
    let before = read(&place.config);
    let lost = || {
        let lost = place.load().for_start(&before, &place.config).unwrap_err();
        (lost.lost.clone(), petit_host::cli::chain(&lost.source))
    };
    // What is wrong with another one is not named.
    place.write("0.crt", "junk");
    place.write("0.key", "junk");
    place.write("b.key", "junk");
    let (name, why) = lost();
    assert!(name == hosts[1] && why.contains("b.key does not hold"), "{name}: {why}");
    for end in ["crt", "key"] {
        std::fs::remove_file(place.dir.path().join(format!("certificates/b.{end}"))).unwrap();
    }
    let (name, why) = lost();
    assert!(name == hosts[1] && why.contains("b.crt is gone"), "{name}: {why}");
    // One that another config leads away from hides none that is gone.
    place.put("b", &[hosts[1]], 2093);
    for name in ["0", "c"] {
        for end in ["crt", "key"] {
            std::fs::remove_file(place.dir.path().join(format!("certificates/{name}.{end}"))).unwrap();
        }
    }
    let elsewhere = place.dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for end in ["crt", "key"] {
        std::fs::copy(
            place.dir.path().join(format!("certificates/b.{end}")),
            elsewhere.join(format!("b.{end}")),
        )
        .unwrap();
    }
    let text = format!(
        "[server]\ncertificates = {elsewhere:?}\n[server.vitae]\nendpoint = \"https://REGID.example.com\"\n"
    );
    let (config, _) = crate::config::parse(&place.dir.path().join("config.toml"), &text).unwrap();
    let lost = load(&config).for_start(&before, &config).unwrap_err();
    assert_eq!(lost.lost, hosts[2], "a.crt is there, and another config leads elsewhere: {lost}");
    assert!(matches!(lost.source, CertificateError::Gone { .. }), "{lost:?}");
}
