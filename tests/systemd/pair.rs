//! A server and a client as services of one machine, as their packages make them.

use std::time::Duration;

use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests::steady::{Manner, Met, Steady};
use petit_tests::visitor::Visitor;
use serde_json::Value;

use crate::machine::Machine;
use crate::packages::deb;

/// Where visitors come in, and where the private service is.
const FRONT: &str = "127.0.0.1:8090";
const SERVICE: &str = "127.0.0.1:3000";
/// 40 a second.
const PACE: Duration = Duration::from_millis(25);

/// What a test needs to know of them.
pub(crate) struct Pair {
    /// Under which name visitors reach the service.
    pub(crate) host: String,
}

/// The service behind the client, which a machine that goes off takes along.
pub(crate) async fn private_service() -> Service {
    Service::http_on("web", SERVICE.parse().unwrap()).await
}

/// Waits until the whole way is proved.
pub(crate) async fn until_green(machine: &Machine) {
    machine.until("petit-client status --json | grep '\"light\": \"green\"'").await;
}

impl Pair {
    /// Installs the packages of both, and sets them up.
    pub(crate) async fn set_up(machine: &Machine) -> Self {
        let packages = [deb("petit-server"), deb("petit-client")].map(|package| machine.bring(&package));
        machine.says(&format!("dpkg --install {}", packages.join(" "))).await;
        Self::begin(machine).await
    }

    /// Sets both up as their manuals say, and waits until requests pass.
    pub(crate) async fn begin(machine: &Machine) -> Self {
        let endpoint = "http://REGID.localhost:8090";
        machine.says(&format!("petit-server init --open --port 443 --endpoint {endpoint}")).await;
        machine.says("petit-server start").await;
        let invite = machine.says("petit-server invite --json").await;
        let invite: Value = serde_json::from_str(&invite).unwrap();
        std::fs::write(machine.path("/root/invite"), invite["link"].as_str().unwrap()).unwrap();
        machine.says(&format!("petit-client register --invite-file invite --service {SERVICE}")).await;
        machine.says("petit-client start").await;
        until_green(machine).await;
        let status: Value = serde_json::from_str(&machine.says("petit-client status --json").await).unwrap();
        let id = status["services"][0]["id"].as_str().unwrap();
        Self { host: format!("{id}.localhost") }
    }

    /// One request that must pass.
    pub(crate) async fn passes(&self) {
        let visitor = Visitor::new(FRONT.parse().unwrap());
        let answer = soon("an answer", visitor.get(&self.host, "/")).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "web"), "{answer:?}");
    }

    /// 40 visitors a second, each with a connection of its own, while something is done to the machine.
    pub(crate) async fn meanwhile(&self, done: impl Future<Output = ()>) -> Met {
        let front = FRONT.parse().unwrap();
        let mut visitors = Steady::start(front, vec![self.host.clone()], PACE, Manner::Fresh);
        visitors.more(40).await;
        done.await;
        visitors.more(80).await;
        visitors.end().await
    }
}
