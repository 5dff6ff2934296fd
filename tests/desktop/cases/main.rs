//! The real tray app on a desktop of the test's own. A module per behaviour.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

mod consent;
mod keychain;
mod layout;
mod links;
mod notices;
mod package;
mod start;
mod tray;
mod walk;

use petit_tests::process::Program;
use petit_tests::service::Service;

/// A server that runs.
struct Served {
    server: Program,
    _process: petit_tests::process::Running,
}

impl Served {
    async fn start() -> Self {
        let server = Program::server().await;
        let process = server.up().await;
        Self { server, _process: process }
    }

    /// A vendor that says its name.
    async fn called(name: &str) -> Self {
        let config = petit_tests::bed::server_config("");
        let named = config.replace("[server.vitae]", &format!("[server.vitae]\nname = \"{name}\""));
        assert_ne!(config, named);
        let server = Program::server_with(&named).await;
        let process = server.up().await;
        Self { server, _process: process }
    }

    /// A client whose key is in a file, registered and with a service; it does not run.
    async fn client(&self, service: &Service) -> Program {
        let client = Program::client();
        let config = petit_tests::bed::client_config(&[("web", service.address(), "http")]);
        std::fs::write(client.config(), config).unwrap();
        let link = self.server.invite([""; 0]).await;
        client.run_with(["register"], &link).await.ok();
        client
    }

    /// Sends a real request to a service, and returns what it answered.
    async fn visit(&self, client: &Program) -> String {
        let status = client.until_green().await;
        let id = status["services"][0]["id"].as_str().unwrap().to_owned();
        let answer = self.server.visitor().await.get(&format!("{id}.localhost"), "/").await;
        answer.text()
    }
}
