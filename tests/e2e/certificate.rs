//! The certificate for HTTPS visitors, exchanged while the server runs.

use std::path::Path;

use petit_engine::name::ServerAddr;
use petit_engine::net::dial::Way;
use petit_engine::net::inspect::inspect;
use petit_engine::secret::sha256;
use petit_tests::process::Program;

/// Writes a new certificate with its key and returns its fingerprint.
fn write(folder: &Path, year: i32) -> [u8; 32] {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wish = rcgen::CertificateParams::new(vec!["*.bed.test".to_owned()]).unwrap();
    wish.not_after = rcgen::date_time_ymd(year, 1, 1);
    let certificate = wish.self_signed(&key).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("server.crt"), certificate.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    sha256(certificate.der())
}

async fn shown(server: &ServerAddr) -> Option<[u8; 32]> {
    inspect(server, &Way::default()).await.map(|found| found.fingerprint)
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_never() {
    let server = Program::server().await;
    let _server = server.up().await;
    let mut log = server.spawn(["logs", "-f", "-n", "100"]);
    let address: ServerAddr = server.status().await["tls"].as_str().unwrap().parse().unwrap();
    assert_eq!(shown(&address).await, None);
    let folder = server.dir().join("certificates");

    // A certificate that is put there is found without being asked for.
    let first = write(&folder, 2093);
    log.until("are shown a new certificate").await;
    assert_eq!(shown(&address).await, Some(first));
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains("server.crt, good until 2093-01-01"), "{status}");

    // A bad one is refused in words, at once when asked for, and the one before stays.
    std::fs::write(folder.join("server.crt"), "junk").unwrap();
    let said = server.run(["reload"]).await;
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.err.contains("server.crt does not hold a certificate in PEM form"), "{said:?}");
    assert_eq!(shown(&address).await, Some(first));
    let status = server.run(["status"]).await.ok().out;
    assert!(status.contains("not the newer one on the disk: "), "{status}");
    assert_eq!(server.run(["config", "check"]).await.exit, 1);

    // A good one is shown as soon as it is asked for; one that has ended is said to have.
    let second = write(&folder, 2001);
    let said = server.run(["reload"]).await.ok();
    assert!(said.out.contains("server.crt, which ended on 2001-01-01: visitors refuse it"), "{said:?}");
    assert_eq!(shown(&address).await, Some(second));
    log.until("the certificate has ended").await;
    let said = server.run(["config", "check"]).await.ok();
    assert!(said.out.contains("which ended on 2001-01-01"), "{said:?}");
    let third = write(&folder, 2094);
    log.until("are shown a new certificate").await;
    assert_eq!(shown(&address).await, Some(third));
    assert_eq!(server.status().await["certificate_problem"], serde_json::Value::Null);

    // Another place, by the config.
    let elsewhere = server.dir().join("elsewhere");
    let fourth = write(&elsewhere, 2095);
    let config = std::fs::read_to_string(server.config()).unwrap();
    let names =
        "[server]\ncertificate = \"elsewhere/server.crt\"\ncertificate_key = \"elsewhere/server.key\"\n";
    std::fs::write(server.config(), config.replace("[server]\n", names)).unwrap();
    log.until("config applied").await;
    assert_eq!(shown(&address).await, Some(fourth));

    // A certificate that is named has to be there.
    std::fs::remove_dir_all(&elsewhere).unwrap();
    let said = server.run(["reload"]).await;
    assert!(said.exit == 1 && said.err.contains("though the config file names it"), "{said:?}");
    assert_eq!(shown(&address).await, Some(fourth));
    std::fs::write(server.config(), config).unwrap();
    log.until("config applied").await;
    assert_eq!(shown(&address).await, Some(third));
    std::fs::remove_dir_all(&folder).unwrap();
    let said = server.run(["reload"]).await.ok();
    assert!(said.out.contains("HTTPS visitors are not served"), "{said:?}");
    assert_eq!(shown(&address).await, None);
}
