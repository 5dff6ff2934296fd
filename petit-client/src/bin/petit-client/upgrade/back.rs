//! `upgrade --back`: somebody does not want to wait until a version on trial goes back by itself, which it may never do.

use std::fmt::Display;
use std::time::Duration;

use petit_client::updates::Verdict;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::update::WayBack;

use super::super::context::Context;
use super::super::serving::updates;
use super::request::{Outcome, Upgraded, failure, lock};
use super::running::{self, name};

/// How long the version before may take to serve once it has been started.
const SERVES: Duration = Duration::from_secs(10);

/// Puts the version before the one on trial back, and has it run where a client runs.
pub(crate) async fn back(context: &Context) -> Result<(), Failure> {
    let updates = updates(context)?;
    let place = updates.place();
    let nothing = || context.failed(ExitCode::Failed, "cli.upgrade.no_trial", &[]);
    if !updates.is_trial_on() {
        return Err(nothing());
    }
    let lock = lock(context, &updates).await?;
    let trial = place.trial().map_err(|error| failure(context, &error.into()))?;
    let trial = trial.filter(|trial| updates.is_ours(trial)).ok_or_else(nothing)?;
    let running = running::of_program(context, place).await?;
    let (version, before) = (trial.version.clone(), trial.before.clone());
    let way = updates.go_back(&lock, trial, Verdict::Declined).await;
    if way.map_err(|error| failure(context, &error))? == WayBack::None {
        return Err(nothing());
    }
    if running.as_ref().is_none_or(|status| status.software == name(&before)) {
        place.end_trial().map_err(|error| Failure::of(&error))?;
    }
    drop(lock);
    let mut key = "cli.upgrade.is_back.next_start";
    if running.is_some() {
        let restarted = context.client().restart().await;
        let found = running::software(context, &name(&before), SERVES).await;
        if found.as_deref() != Some(&name(&before)) {
            let why = restarted.err().map(|error| context.failure(error).message).unwrap_or_default();
            let found = found.unwrap_or_else(|| context.texts.get("cli.upgrade.nothing_runs"));
            let values: [(&str, &dyn Display); 4] =
                [("version", &version), ("before", &before), ("found", &found), ("why", &why)];
            return Err(context.failed(ExitCode::Failed, "cli.upgrade.not_back", &values));
        }
        key = "cli.upgrade.is_back";
    }
    let text = context.texts.format(key, &[("version", &version), ("before", &before)]);
    let said = Upgraded { outcome: Outcome::Back, before: &before, version: &version, standing: None };
    context.say(&text, &said);
    Ok(())
}
