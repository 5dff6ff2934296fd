//! The release of the server that this computer is registered with, for `upgrade`.

use std::fmt::Display;
use std::path::Path;

use petit_client::config::Config;
use petit_client::messages;
use petit_client::releases::{Fetcher, ReleaseError};
use petit_engine::agent::FetchError;
use petit_engine::proto::control::FetchedBy;
use petit_host::cli::{Failure, chain};
use petit_host::exit::ExitCode;
use petit_host::files::is_root;
use petit_host::update::{Artifact, Target};
use serde::Serialize;

use super::context::Context;

/// A release that is fetched.
pub(crate) struct Fetching<'a> {
    context: &'a Context,
    fetcher: Fetcher,
}

impl<'a> Fetching<'a> {
    pub(crate) async fn begin(
        context: &'a Context,
        config: &Config,
        target: Target,
        by: FetchedBy,
    ) -> Result<Self, Failure> {
        // Its key is the service's own, and so are its updates.
        if context.folder.is_of_service() && is_root() {
            let unit = petit_host::service::unit(petit_client::folder::NAME);
            return Err(context.failed(ExitCode::Failed, "cli.upgrade.fetch.of_service", &[("unit", &unit)]));
        }
        let fetcher = Fetcher::of(&context.folder, config, target, by).await;
        let fetcher = fetcher.map_err(|error| failure(context, &error))?;
        Ok(Self { context, fetcher })
    }

    /// The folder with the signed documents.
    pub(crate) async fn documents(&self) -> Result<Option<&Path>, Failure> {
        self.fetcher.documents().await.map_err(|error| failure(self.context, &error))
    }

    /// Fetches an artifact to beside them.
    pub(crate) async fn artifact(&self, artifact: &Artifact) -> Result<(), Failure> {
        self.fetcher.artifact(artifact).await.map_err(|error| failure(self.context, &error))
    }

    /// Removes all that was fetched: something has come of it. What cannot be removed is so the next time.
    pub(crate) fn clear(&self) {
        let _ = self.fetcher.clear();
    }

    pub(crate) fn say_nothing_there(&self, value: &impl Serialize) {
        let server = self.fetcher.server();
        self.context.say(&self.context.texts.format("cli.upgrade.none", &[("server", server)]), value);
    }
}

fn failure(context: &Context, error: &ReleaseError) -> Failure {
    let said = |key: &str, values: &[(&str, &dyn Display)]| {
        context.failed(ExitCode::Failed, key, values).hint(context.hint("cli.upgrade.unchanged"))
    };
    match error {
        ReleaseError::Unregistered => context
            .failed(ExitCode::Failed, "cli.upgrade.fetch.unregistered", &[])
            .hint(context.hint("cli.upgrade.fetch.by_folder")),
        ReleaseError::Vault(error) => context.said(ExitCode::Failed, &messages::vault(error)),
        ReleaseError::Fetch(FetchError::NotSpoken { server }) => context
            .failed(ExitCode::Failed, "cli.upgrade.fetch.old_server", &[("server", server)])
            .hint(context.hint("cli.upgrade.fetch.by_folder")),
        ReleaseError::Fetch(FetchError::Broken { .. }) => context
            .failed(ExitCode::Failed, "cli.upgrade.fetch.failed", &[("why", &chain(error))])
            .hint(context.hint("cli.upgrade.fetch.goes_on")),
        ReleaseError::Fetch(_)
        | ReleaseError::Registration(_)
        | ReleaseError::KeyGone(_)
        | ReleaseError::Busy(_)
        | ReleaseError::NoBundle { .. }
        | ReleaseError::Gone { .. }
        | ReleaseError::OtherLength { .. }
        | ReleaseError::Unfit { .. }
        | ReleaseError::File(_) => said("cli.upgrade.fetch.failed", &[("why", &chain(error))]),
    }
}
