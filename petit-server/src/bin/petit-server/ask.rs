//! Asking: the running server over its socket, or, when none runs, the registry itself.

use std::path::PathBuf;
use std::sync::Arc;

use petit_host::cli::Failure;
use petit_host::control::client::{CallError, Client};
use petit_host::control::{Handler, Reply, Request};
use petit_host::exit::ExitCode;
use petit_server::admin::{Admin, InviteTerms};
use petit_server::folder::Folder;
use petit_server::server::{Offline, ServerStartError, tunnel_address};
use serde_json::Value;

use super::common::{PROGRAM, load, start_failure};

/// The running server.
pub(crate) struct Running {
    client: Client,
    lock: PathBuf,
}

impl Running {
    pub(crate) fn new(folder: &Folder) -> Self {
        Self { client: Client::new(&folder.socket()), lock: folder.lock() }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        target: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        self.client
            .call(method, target, body.as_ref())
            .await
            .map_err(|error| Failure::of_unanswered(error, PROGRAM, &self.lock))
    }
}

/// The running server, or the registry while none runs.
pub(crate) struct AdminAccess<'a> {
    running: Running,
    folder: &'a Folder,
}

impl<'a> AdminAccess<'a> {
    pub(crate) fn new(folder: &'a Folder) -> Self {
        Self { running: Running::new(folder), folder }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        target: &str,
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        match self.running.client.call(method, target, body.as_ref()).await {
            Err(CallError::NotRunning) => self.offline(method, target, body).await,
            answer => answer.map_err(|error| Failure::of_call(error, PROGRAM)),
        }
    }

    async fn offline(&self, method: &str, target: &str, body: Option<Value>) -> Result<Value, Failure> {
        let config = load(&self.folder.config)?;
        let pins = self.folder.pins().map_err(|error| start_failure(&ServerStartError::Key(error)))?;
        let port = config.secure_proxy_port;
        let server = tunnel_address(&config, &config.endpoint, port).map_err(|error| Failure::of(&error))?;
        if port == 0 && config.tunnel_address.is_none() && method == "POST" && target == "/invites" {
            return Err(Failure::new(
                ExitCode::NotRunning,
                "the port is chosen when the server starts, so there is nothing to put into an invite",
            )
            .hint("start it with: petit-server start"));
        }
        let offline = Offline::open(&config, self.folder).await.map_err(|error| match error {
            ServerStartError::Running { pid } => Failure::unanswering(PROGRAM, pid),
            other => start_failure(&other),
        })?;
        let page = config.endpoint.enroll_page(port);
        let (lifetime, vendor) = (config.invite_lifetime, config.name.clone());
        let terms = InviteTerms { server, page, pins, lifetime, vendor };
        let admin = Arc::new(Admin::offline(offline.directory.clone(), &config, terms));
        let request = Request::new(method, target, body.unwrap_or(Value::Null));
        let reply = admin.handle(request).await;
        offline.close().await;
        match reply {
            Reply::Json(value) => Ok(value),
            Reply::Text(text) => serde_json::from_str(&text).map_err(|error| Failure::of(&error)),
            Reply::Error(problem) => Err(Failure::of_call(CallError::Refused(problem), PROGRAM)),
            Reply::Events(_) => Ok(Value::Null),
        }
    }
}
