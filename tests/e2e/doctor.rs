//! `petit-client doctor` and `check` call nothing well that is not.

use petit_tests::bed::client_config;
use petit_tests::process::Program;
use petit_tests::service::Service;

#[tokio::test]
async fn a_client_that_does_not_run_or_whose_registration_is_in_use_elsewhere_is_not_well() {
    let server = Program::server().await;
    let _server = server.up().await;
    let service = Service::http("s").await;
    let client = Program::client();
    std::fs::write(client.config(), client_config(&[("web", service.address(), "http")])).unwrap();
    client.run_with(["register"], &server.invite([""; 0]).await).await.ok();
    let copy = Program::client();
    copy_files(client.config().parent().unwrap(), copy.config().parent().unwrap());

    // One that does not run.
    for command in ["check", "doctor"] {
        let said = client.run([command]).await;
        let line = line(&said.out, "connection");
        assert!(
            said.exit == 1 && line.contains("✘") && line.contains("petit-client is not running"),
            "{said:?}"
        );
        assert!(!said.out.contains("All is well."), "{said:?}");
    }
    assert!(client.run(["doctor"]).await.out.contains("→ petit-client start"));

    // One that is connected, and another computer with a copy of its registration.
    let _client = client.up().await;
    client.until_green().await;
    let said = client.run(["doctor"]).await.ok();
    assert!(line(&said.out, "connection").contains("✔"), "{said:?}");
    // The newcomer has the connection, and the one before is told.
    let _copy = copy.up().await;
    let in_use = |status: &serde_json::Value| status["connection"]["cause"] == "in_use_elsewhere";
    client.until("to be told that the registration is in use", in_use).await;
    let advice = "stop Petit on the other computer";
    assert!(client.run(["status"]).await.ok().out.contains(advice));
    for command in ["check", "doctor"] {
        let said = client.run([command]).await;
        let line = line(&said.out, "connection");
        assert!(said.exit == 1 && line.contains("✘") && line.contains("in use on another one"), "{said:?}");
    }
    let said = client.run(["doctor"]).await;
    assert!(said.out.contains(&format!("→ {advice}")) && !said.out.contains("All is well."), "{said:?}");
}

/// The line about a subject.
fn line<'a>(text: &'a str, subject: &str) -> &'a str {
    text.lines().find(|line| line.get(4..).is_some_and(|rest| rest.starts_with(subject))).unwrap_or_default()
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() && !entry.file_name().to_string_lossy().ends_with(".lock") {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
