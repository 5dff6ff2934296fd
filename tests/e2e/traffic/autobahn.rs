//! The cases of the Autobahn test suite, run by kosoku against an echo service: once directly, and once through
//! nginx and the tunnel. A tunnel that only passes bytes changes no verdict.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use petit_tests::bed::Bed;
use petit_tests::program::{python, run};
use petit_tests::row;
use petit_tests::service::Service;
use petit_tests::visitor::host;
use serde_json::Value;

use super::nginx::Nginx;

/// Cases of compression, which the echo service does not offer, and of speed.
const LEFT_OUT: [&str; 3] = ["9.*", "12.*", "13.*"];

/// Verdicts of all cases, by the number of the case.
async fn verdicts(address: SocketAddr, reports: &Path) -> BTreeMap<String, (String, String)> {
    let mut command = python("kosoku");
    command.args(["--mode", "fuzzingclient", "--parallelism", "8", "--outdir"]).arg(reports);
    for cases in LEFT_OUT {
        command.args(["--exclude", cases]);
    }
    command.arg(format!("ws://{address}/ws"));
    let said = run(command).await;
    let index = std::fs::read(reports.join("index.json")).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let index: Value = serde_json::from_slice(&index).unwrap();
    let cases = index.as_object().unwrap().values().flat_map(|agent| agent.as_object().unwrap());
    let verdict = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
    cases
        .map(|(id, case)| (id.clone(), (verdict(case, "behavior"), verdict(case, "behaviorClose"))))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_case_of_autobahn_is_changed_by_the_tunnel() {
    let row = row!(WebSockets, "Autobahn cases 1–7 and 10 by kosoku, with nginx as a proxy in front");
    let service = Service::http("echo").await;
    let bed = Bed::start().await;
    let client = bed.client_of(service.address(), "http", "").await;
    let nginx = Nginx::before(bed.http(), &host(&client.id())).await;
    let reports = tempfile::tempdir().unwrap();
    let direct = verdicts(service.address(), &reports.path().join("direct")).await;
    let tunnelled = verdicts(nginx.address, &reports.path().join("tunnelled")).await;
    assert!(direct.len() > 200, "{} cases", direct.len());
    for (id, verdict) in &tunnelled {
        assert!(["OK", "NON-STRICT", "INFORMATIONAL"].contains(&verdict.0.as_str()), "{id}: {verdict:?}");
        assert_eq!(Some(verdict), direct.get(id), "case {id}: directly, and through the tunnel");
    }
    assert_eq!(tunnelled.len(), direct.len());
    row.carried_with(&format!("{} cases, each with the verdict that it has without a tunnel", direct.len()));
}
