//! Asking: the running server over its socket, or, when none runs, the registry itself.

use std::path::PathBuf;
use std::sync::Arc;

use petit_host::cli::Failure;
use petit_host::control::client::{CallError, Client};
use petit_host::control::{Handler, Reply, Request};
use petit_server::admin::{Admin, InviteTerms};
use petit_server::api::{ApiRequest, AskError, Ping};
use petit_server::folder::Folder;
use petit_server::server::{Offline, ServerStartError, tunnel_address};
use serde::Deserialize;
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

    pub(crate) async fn ask<R: ApiRequest>(&self, request: &R) -> Result<R::Answer, Failure> {
        let answer = self.client.ask(request).await;
        answer.map_err(|error| Failure::of_unanswered(error, PROGRAM, &self.lock))
    }

    /// As [`Running::ask`]; `None` while no server runs.
    pub(crate) async fn ask_if_running<R: ApiRequest>(
        &self,
        request: &R,
    ) -> Result<Option<R::Answer>, Failure> {
        match self.client.ask(request).await {
            Err(AskError::Call(CallError::NotRunning)) => Ok(None),
            answer => answer.map(Some).map_err(|error| Failure::of_asked(error, PROGRAM)),
        }
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

    pub(crate) async fn ask<R: ApiRequest>(&self, request: &R) -> Result<R::Answer, Failure> {
        match self.running.ask_if_running(request).await? {
            Some(answer) => Ok(answer),
            None => {
                let offline = self.offline().await?;
                let answer = offline.ask(request).await;
                offline.close().await;
                answer
            }
        }
    }

    /// Whoever answers many requests, one after the other: while no server runs, the registry is opened once for all.
    pub(crate) async fn for_many(self) -> Result<ManyAnswers, Failure> {
        match self.running.ask_if_running(&Ping {}).await? {
            Some(_) => Ok(ManyAnswers::Running(self.running)),
            None => Ok(ManyAnswers::Offline(self.offline().await?)),
        }
    }

    async fn offline(&self) -> Result<OfflineAdmin, Failure> {
        let config = load(&self.folder.config)?;
        let pins = self.folder.pins().map_err(|error| start_failure(&ServerStartError::Key(error)))?;
        let port = config.secure_proxy_port;
        let server = tunnel_address(&config, &config.endpoint, port).map_err(|error| Failure::of(&error))?;
        let is_known = port != 0 || config.tunnel_address.is_some();
        let offline = Offline::open(&config, self.folder).await.map_err(|error| match error {
            ServerStartError::Running { pid } => Failure::unanswering(PROGRAM, &self.folder.lock(), pid),
            other => start_failure(&other),
        })?;
        let page = config.endpoint.enroll_page(port);
        let (lifetime, vendor) = (config.invite_lifetime, config.name.clone());
        let terms = InviteTerms { server: is_known.then_some(server), page, pins, lifetime, vendor };
        let admin = Arc::new(Admin::offline(offline.directory.clone(), &config, terms));
        Ok(OfflineAdmin { admin, offline })
    }
}

/// The registry while no server runs. None starts as long as it is open.
pub(crate) struct OfflineAdmin {
    admin: Arc<Admin>,
    offline: Offline,
}

impl OfflineAdmin {
    async fn ask<R: ApiRequest>(&self, request: &R) -> Result<R::Answer, Failure> {
        in_process(&self.admin, request).await
    }

    async fn close(self) {
        self.offline.close().await;
    }
}

/// See [`AdminAccess::for_many`].
pub(crate) enum ManyAnswers {
    Running(Running),
    Offline(OfflineAdmin),
}

impl ManyAnswers {
    pub(crate) async fn ask<R: ApiRequest>(&self, request: &R) -> Result<R::Answer, Failure> {
        match self {
            Self::Running(running) => running.ask(request).await,
            Self::Offline(offline) => offline.ask(request).await,
        }
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Running(_) => {}
            Self::Offline(offline) => offline.close().await,
        }
    }
}

/// Asks an admin of this process, as one of another process is asked.
async fn in_process<R: ApiRequest>(admin: &Admin, request: &R) -> Result<R::Answer, Failure> {
    let failed = |error: serde_json::Error| Failure::of(&error);
    let (method, target) = request.target();
    let body = request.body().map_err(failed)?.unwrap_or_default();
    let value = match admin.handle(Request::new(method, &target, body)).await {
        Reply::Json(value) => value,
        Reply::Text(text) => serde_json::from_str(&text).map_err(failed)?,
        Reply::Error(problem) => return Err(Failure::of_call(CallError::Refused(problem), PROGRAM)),
        Reply::Events(_) => Value::Null,
    };
    R::Answer::deserialize(value).map_err(failed)
}
