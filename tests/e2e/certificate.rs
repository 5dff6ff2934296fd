//! The certificate for HTTPS visitors, exchanged while the server runs.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use petit_engine::name::ServerAddr;
use petit_engine::net::dial::{DialRoute, who_answers};
use petit_engine::secret::sha256;
use petit_tests::authority::Authority;
use petit_tests::bed::server_config_under;
use petit_tests::process::Program;
use petit_tests::visitor::tls;

/// Writes a new certificate with its key and returns its fingerprint.
fn write(folder: &Path, year: i32) -> [u8; 32] {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wish = rcgen::CertificateParams::new(vec!["*.bed.localhost".to_owned()]).unwrap();
    wish.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = wish.self_signed(&key).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("server.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    sha256(certificate.der())
}

async fn shown_by(server: &ServerAddr) -> Option<[u8; 32]> {
    who_answers(server, &DialRoute::default()).await.map(|found| found.fingerprint)
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_never() {
    let server = Program::server().await;
    let _server = server.up().await;
    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    let address: ServerAddr = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    assert_eq!(shown_by(&address).await, None);
    let folder = server.dir().join("certificates");

    // A certificate that is put there is found without being asked for.
    let first = write(&folder, 2093);
    log.until("are shown a new certificate").await;
    assert_eq!(shown_by(&address).await, Some(first));
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains("server.crt, good until 2093-01-01"), "{status}");

    // A bad one is refused in words, at once when asked for, and the one before stays.
    std::fs::write(folder.join("server.crt"), "junk").unwrap();
    let said = server.run(["reload"]).await;
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.err.contains("server.crt does not hold a certificate in PEM form"), "{said:?}");
    assert_eq!(shown_by(&address).await, Some(first));
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains("not the newer one on the disk: "), "{status}");
    assert_eq!(server.run(["config", "check"]).await.exit, 1);

    // A good one is shown as soon as it is asked for; one that has ended is said to have.
    let second = write(&folder, 2001);
    let said = server.run(["reload"]).await.ok();
    assert!(said.out.contains("server.crt, which ended on 2001-01-01: visitors refuse it"), "{said:?}");
    assert_eq!(shown_by(&address).await, Some(second));
    log.until("the certificate has ended").await;
    let said = server.run(["config", "check"]).await.ok();
    assert!(said.out.contains("which ended on 2001-01-01"), "{said:?}");
    let third = write(&folder, 2094);
    log.until("are shown a new certificate").await;
    assert_eq!(shown_by(&address).await, Some(third));
    assert_eq!(server.status().await["certificate_problem"], serde_json::Value::Null);

    // Another place, by the config.
    let elsewhere = server.dir().join("elsewhere");
    let fourth = write(&elsewhere, 2095);
    let config = std::fs::read_to_string(server.config()).unwrap();
    let names =
        "[server]\ncertificate = \"elsewhere/server.crt\"\ncertificate_key = \"elsewhere/server.key\"\n";
    std::fs::write(server.config(), config.replace("[server]\n", names)).unwrap();
    log.until("config applied").await;
    assert_eq!(shown_by(&address).await, Some(fourth));

    // A certificate that is named has to be there.
    std::fs::remove_dir_all(&elsewhere).unwrap();
    let said = server.run(["reload"]).await;
    assert!(said.exit == 1 && said.err.contains("though the config file names it"), "{said:?}");
    log.until("not all certificates can be used").await;
    log.until("config applied").await;
    assert_eq!(shown_by(&address).await, Some(fourth));
    std::fs::write(server.config(), config).unwrap();
    log.until("config applied").await;
    assert_eq!(shown_by(&address).await, Some(third));
    std::fs::remove_dir_all(&folder).unwrap();
    let said = server.run(["reload"]).await.ok();
    assert!(said.out.contains("HTTPS visitors are not served"), "{said:?}");
    assert_eq!(shown_by(&address).await, None);
}

#[tokio::test]
async fn a_key_that_everybody_on_the_machine_can_read_is_said_to_be_one() {
    let server = Program::server().await;
    let _server = server.up().await;
    let folder = server.dir().join("certificates");
    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    write(&folder, 2093);
    let key = folder.join("server.key");
    let set = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o640);
    log.until("are shown a new certificate").await;
    let warning = format!("all users of this computer can read {}: run chmod 600 on it", key.display());
    for command in [&["status"][..], &["config", "check"]] {
        let said = server.run(command.iter().copied()).await.ok();
        assert!(!said.out.contains("can read"), "a group may be meant to: {said:?}");
    }
    set(0o644);
    for command in [&["status"][..], &["config", "check"], &["reload"]] {
        let said = server.run(command.iter().copied()).await.ok();
        assert!(said.out.contains(&warning), "{command:?}: {said:?}");
    }
    log.until("all users of this computer can read the certificate's key").await;
}

/// The config of a server whose visitors come by HTTPS.
fn https_config(domain: &str) -> String {
    server_config_under(domain, "")
        .replace(&format!("http://REGID.{domain}:0"), &format!("https://REGID.{domain}"))
}

/// The certificate that somebody is shown who asks for a name and trusts one authority; none when it is for another
/// name.
async fn shown_for(server: &Program, authority: &Authority, name: &str) -> Option<[u8; 32]> {
    let address = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    let tls = tls(address, &authority.roots(), name, &["http/1.1"]).await.ok()?;
    Some(sha256(&tls.get_ref().1.peer_certificates()?[0]))
}

#[tokio::test]
async fn each_visitor_is_shown_the_certificate_for_the_name_that_is_asked_for() {
    let server = Program::server_with(&https_config("bed.test")).await;
    let _server = server.up().await;
    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    let authority = Authority::new();
    let folder = server.dir().join("certificates");
    std::fs::create_dir_all(folder.join("shop.example")).unwrap();
    // As a person writes them, as lego does, and as certbot does.
    let domain = authority.vouch_for(&["*.bed.test"]);
    domain.write(&folder, "server");
    let portal = authority.vouch_for(&["portal.customer.example"]);
    portal.write(&folder, "portal.customer.example");
    let shop = authority.vouch_for(&["shop.example", "www.shop.example"]);
    let (certificate, key) = shop.write(&folder, "made");
    std::fs::rename(certificate, folder.join("shop.example/fullchain.pem")).unwrap();
    std::fs::rename(key, folder.join("shop.example/privkey.pem")).unwrap();
    log.until("shop.example/fullchain.pem").await;
    for (name, expected) in [
        ("acme.bed.test", Some(&domain)),
        ("portal.customer.example", Some(&portal)),
        ("www.shop.example", Some(&shop)),
        ("nobody.example", None),
        ("a.b.bed.test", None),
    ] {
        let shown = shown_for(&server, &authority, name).await;
        assert_eq!(shown, expected.map(|identity| sha256(identity.der())), "{name}");
    }
    let status = server.run(["status"]).await.ok().out;
    for (file, name) in [
        ("server.crt", "*.bed.test"),
        ("portal.customer.example.crt", "portal.customer.example"),
        ("shop.example/fullchain.pem", "shop.example, www.shop.example"),
    ] {
        let line =
            status.lines().find(|line| line.contains(file)).unwrap_or_else(|| panic!("{file}: {status}"));
        assert!(line.contains("good until") && line.ends_with(&format!("for {name}")), "{line}");
    }

    // One of them is renewed, another one spoilt: each is judged by itself.
    let renewed = authority.vouch_for(&["portal.customer.example"]);
    renewed.write(&folder, "portal.customer.example");
    std::fs::write(folder.join("shop.example/fullchain.pem"), "junk").unwrap();
    log.until("cannot be used").await;
    assert_eq!(shown_for(&server, &authority, "portal.customer.example").await, Some(sha256(renewed.der())));
    assert_eq!(shown_for(&server, &authority, "www.shop.example").await, Some(sha256(shop.der())));
}

#[tokio::test]
async fn a_certificate_for_another_name_never_takes_the_place_of_a_good_one() {
    let server = Program::server_with(&https_config("bed.test")).await;
    let running = server.up().await;
    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    let authority = Authority::new();
    let folder = server.dir().join("certificates");
    std::fs::create_dir_all(&folder).unwrap();
    let good = authority.vouch_for(&["*.bed.test"]);
    good.write(&folder, "server");
    log.until("are shown a new certificate").await;

    authority.vouch_for(&["other.org"]).write(&folder, "server");
    let said = server.run(["reload"]).await;
    let problem =
        "server.crt is now for other.org, and no longer for *.bed.test; the one before it stays in use";
    assert!(said.exit == 1 && said.err.contains(problem), "{said:?}");
    assert_eq!(shown_for(&server, &authority, "acme.bed.test").await, Some(sha256(good.der())));
    assert_eq!(shown_for(&server, &authority, "other.org").await, None);
    let said = server.run(["config", "check"]).await;
    let foreign = "server.crt is for other.org, which is neither under bed.test nor an alias of a service";
    assert!(said.exit == 1 && said.err.contains(foreign), "{said:?}");

    // Without being asked for, either.
    authority.vouch_for(&["another.org"]).write(&folder, "server");
    log.until("is now for another.org").await;
    assert_eq!(shown_for(&server, &authority, "acme.bed.test").await, Some(sha256(good.der())));
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains("not the newer one on the disk: "), "{status}");
    assert!(status.contains("is now for another.org"), "{status}");

    // A server that starts has none before it: it shows what is there to whoever asks for that name, and says so.
    running.signal("TERM").await;
    assert_eq!(running.exit().await, 0);
    let said = server.run(["start"]).await.ok();
    assert!(said.out.contains("server.crt is for another.org, which is neither under bed.test"), "{said:?}");
    assert_eq!(shown_for(&server, &authority, "acme.bed.test").await, None);
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains("no certificate covers *.bed.test"), "{status}");
}

#[tokio::test]
async fn an_alias_that_no_certificate_covers_is_said_to_be_without() {
    // A domain under localhost, which every computer finds.
    let server = Program::server_with(&https_config("bed.localhost")).await;
    let folder = server.dir().join("certificates");
    let authority = Authority::new();
    let none = "What ends TLS in front of this server needs a certificate for portal.customer.example";
    let invite = async |alias: &str| server.run(["invite", "--alias", alias]).await.ok().out;
    let running = server.up().await;
    assert!(invite("portal.customer.example").await.contains(none));
    assert!(!invite("acme").await.contains("certificate"), "whatever ends TLS has one for the domain");
    std::fs::create_dir_all(&folder).unwrap();
    authority.vouch_for(&["*.bed.localhost", "shop.example"]).write(&folder, "server");
    server.run(["reload"]).await.ok();
    let warning = |host: &str| {
        format!(
            "No certificate covers {host}: HTTPS visitors will be warned off until one is in {}",
            folder.display()
        )
    };
    assert!(invite("portal2.customer.example").await.contains(&warning("portal2.customer.example")));
    for covered in ["shop.example", "acme2"] {
        let said = invite(covered).await;
        assert!(!said.contains("certificate"), "{said}");
    }

    // The same for a service that is there, with and without a running server.
    let client = Program::client();
    let link = server.invite([""; 0]).await;
    client.run_with(["register", "--key-store", "file"], &link).await.ok();
    let clients = server.run(["clients", "list", "--json"]).await.ok().json();
    let id = clients["clients"][0]["services"][0]["id"].as_str().unwrap().to_owned();
    let said = server.run(["addalias", &id, "my.customer.example"]).await.ok().out;
    assert!(said.contains(&warning("my.customer.example")), "{said}");
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains("no certificate covers my.customer.example"), "{status}");
    running.signal("TERM").await;
    assert_eq!(running.exit().await, 0);
    let said = server.run(["addalias", &id, "your.customer.example"]).await.ok().out;
    assert!(said.contains(&warning("your.customer.example")), "{said}");
    let check = server.run(["config", "check"]).await.ok().out;
    assert!(check.contains("note: no certificate covers my.customer.example"), "{check}");
}

#[tokio::test]
async fn a_server_starts_without_a_certificate_that_it_cannot_use_and_a_restart_loses_none() {
    let server = Program::server().await;
    let folder = server.dir().join("certificates");
    let good = write(&folder, 2093);
    let key = folder.join("server.key");
    let secret = std::fs::read(&key).unwrap();
    // Root, who runs the tests, can read every file; a folder nobody can.
    std::fs::remove_file(&key).unwrap();
    std::fs::create_dir(&key).unwrap();
    let problem = format!("cannot read {}", key.display());
    let said = server.run(["start"]).await.ok();
    assert!(
        said.out.contains(&format!("HTTPS visitors are not served as they should be: {problem}")),
        "{said:?}"
    );
    let address: ServerAddr = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    let shown_now = async || shown_by(&address).await;
    assert_eq!(shown_now().await, None);
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains(&format!("HTTPS      not served: {problem}")), "{status}");
    // Clients need none.
    server.invite([""; 0]).await;
    // Nothing can be lost.
    server.run(["restart"]).await.ok();

    // By itself, once it can be read.
    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    std::fs::remove_dir(&key).unwrap();
    std::fs::write(&key, &secret).unwrap();
    log.until("are shown a new certificate").await;
    let address: ServerAddr = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    assert_eq!(shown_by(&address).await, Some(good));

    // What is served must not be lost by a restart.
    std::fs::write(&key, "junk").unwrap();
    let said = server.run(["restart"]).await;
    let lost = "HTTPS visitors of *.bed.localhost would not be served any more";
    assert!(said.exit == 1 && said.err.contains(lost), "{said:?}");
    assert!(said.err.contains("server.key does not hold a private key in PEM form"), "{said:?}");
    assert_eq!(shown_by(&address).await, Some(good));
    std::fs::write(&key, &secret).unwrap();
    server.run(["restart"]).await.ok();
    assert_eq!(shown_by(&address).await, Some(good));
}

#[tokio::test]
async fn a_certificate_is_put_in_place_by_a_command_and_shown_at_once() {
    let server = Program::server().await;
    let dir = tempfile::tempdir().unwrap();
    let lineage = dir.path().join("example.com");
    // As certbot has it: links into a folder of another name.
    let renew = |year| {
        let fingerprint = write(&dir.path().join("archive"), year);
        std::fs::create_dir_all(&lineage).unwrap();
        for (name, link) in [("server.crt", "fullchain.pem"), ("server.key", "privkey.pem")] {
            let _ = std::fs::remove_file(lineage.join(link));
            std::os::unix::fs::symlink(format!("../archive/{name}"), lineage.join(link)).unwrap();
        }
        fingerprint
    };
    let first = renew(2093);
    let put = ["certificate", "put", lineage.to_str().unwrap()];
    let said = server.run(put).await.ok().out;
    let place = server.dir().join("certificates/example.com/fullchain.pem");
    assert!(said.contains(&format!("{} is in place, for *.bed.localhost", place.display())), "{said}");
    let _server = server.up().await;
    let address: ServerAddr = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    assert_eq!(shown_by(&address).await, Some(first));
    let second = renew(2094);
    let said = server.run(put).await.ok().out;
    assert!(said.contains("fullchain.pem, good until 2094-01-01, for *.bed.localhost"), "{said}");
    assert_eq!(shown_by(&address).await, Some(second), "without being waited for");

    // As others have it, by a name of one's own.
    let third = write(dir.path(), 2095);
    let [certificate, key] = ["server.crt", "server.key"].map(|name| dir.path().join(name));
    let file = ["certificate", "put", certificate.to_str().unwrap(), "--name", "example.com"];
    let said = server.run(file).await;
    assert!(said.exit == 2 && said.err.contains("--key"), "{said:?}");
    let json =
        server.run([&file[..], &["--key", key.to_str().unwrap(), "--json"]].concat()).await.ok().json();
    assert_eq!(json["path"].as_str(), place.to_str());
    assert_eq!(shown_by(&address).await, Some(third));

    // What cannot be used is refused, and changes nothing.
    std::fs::write(&key, "junk").unwrap();
    let said = server.run([&file[..], &["--key", key.to_str().unwrap()]].concat()).await;
    assert!(said.exit == 1 && said.err.contains("server.key does not hold a private key"), "{said:?}");
    let said = server.run(["certificate", "put", "/nowhere"]).await;
    assert!(said.exit == 1 && said.err.contains("cannot read /nowhere/fullchain.pem"), "{said:?}");
    server.run(["reload"]).await.ok();
    assert_eq!(shown_by(&address).await, Some(third));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_keeps_nothing_else_from_being_in_force() {
    let server = Program::server().await;
    let _server = server.up().await;
    let dir = tempfile::tempdir().unwrap();
    let good = write(dir.path(), 2093);
    let folder = server.dir().join("certificates");
    std::fs::create_dir_all(folder.join("broken")).unwrap();
    std::fs::write(folder.join("broken/fullchain.pem"), "junk").unwrap();
    std::fs::write(folder.join("broken/privkey.pem"), "junk").unwrap();
    let problem = "broken/fullchain.pem does not hold a certificate in PEM form";

    // Who is shut out is out, and the limit holds.
    let config = std::fs::read_to_string(server.config()).unwrap();
    let policy = "\n[[policy]]\nname = \"shut\"\nservices = [\"default\"]\nfrom = [\"192.0.2.0/24\"]\n";
    let text = format!("{}{policy}", config.replacen("[server]\n", "[server]\nmax_services = 3\n", 1));
    std::fs::write(server.config(), text).unwrap();
    let said = server.run(["reload"]).await;
    assert!(said.exit == 1 && said.err.contains(problem), "{said:?}");
    assert!(said.out.contains("The config file is in force."), "{said:?}");
    assert!(server.run(["policy", "list"]).await.ok().out.contains("shut"));
    let shown = server.run(["config", "show", "--json"]).await.ok().json();
    assert_eq!(shown["max_services"], 3);
    let status = server.status().await;
    assert_eq!(status["config_problem"], serde_json::Value::Null);
    assert!(status["certificate_problem"].as_str().unwrap().contains(problem), "{status}");

    // Neither it nor a mistake in the config keeps another one from being put and shown.
    let text = std::fs::read_to_string(server.config()).unwrap();
    std::fs::write(server.config(), format!("{text}\nnonsense = 1\n")).unwrap();
    let [certificate, key] = ["server.crt", "server.key"].map(|name| dir.path().join(name));
    let put = ["certificate", "put", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let said = server.run(put).await.ok().out;
    assert!(said.contains("HTTPS visitors are shown") && said.contains("good until 2093-01-01"), "{said}");
    let address: ServerAddr = status["tls"].as_str().unwrap().parse().unwrap();
    assert_eq!(shown_by(&address).await, Some(good));

    // One that is older than what is shown for the same names is in place, and is said not to be shown.
    std::fs::write(server.config(), text).unwrap();
    let older = tempfile::tempdir().unwrap();
    write(older.path(), 2092);
    let [certificate, key] = ["server.crt", "server.key"].map(|name| older.path().join(name));
    let put = [
        "certificate",
        "put",
        certificate.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
        "--name",
        "older",
    ];
    let said = server.run(put).await;
    assert!(said.exit == 1 && said.err.contains("does not show it"), "{said:?}");
    assert_eq!(shown_by(&address).await, Some(good));

    // What is taken away goes, though the broken one is still there.
    let has_older = async || {
        let status = server.status().await;
        let paths =
            status["certificates"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap());
        paths.into_iter().any(|path| path.contains("older"))
    };
    assert!(has_older().await);
    for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.file_name().unwrap().to_str().unwrap().contains("older") {
            let removed = if entry.is_symlink() {
                std::fs::remove_file(&entry)
            } else {
                std::fs::remove_dir_all(&entry)
            };
            removed.unwrap();
        }
    }
    let said = server.run(["reload"]).await;
    assert!(said.exit == 1 && said.err.contains(problem), "{said:?}");
    assert!(!has_older().await);
    assert_eq!(shown_by(&address).await, Some(good));
}

/// A hand-over loses no HTTPS because a certificate has gone, unless the operator says so.
#[tokio::test]
async fn a_restart_does_not_lose_a_certificate_that_is_gone() {
    let server = Program::server().await;
    let folder = server.dir().join("certificates");
    let good = write(&folder, 2093);
    server.run(["start"]).await.ok();
    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    std::fs::remove_dir_all(&folder).unwrap();
    let said = server.run(["restart"]).await;
    assert!(said.exit == 1 && said.err.contains("server.crt is gone"), "{said:?}");
    let address: ServerAddr = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    assert_eq!(shown_by(&address).await, Some(good));
    log.until("the certificate's files cannot be used").await;
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains("where visitors are to be without it: petit-server reload"), "{status}");
    server.run(["reload"]).await.ok();
    server.run(["restart"]).await.ok();
    server.run(["stop"]).await.ok();
}
