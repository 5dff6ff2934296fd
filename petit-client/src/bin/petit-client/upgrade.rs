//! `upgrade`: brings this program to the version of a release that lies in a folder, or is fetched into one.
//!
//! The process that does it is of the old version, so a new one that is of no use cannot keep it from going back. From the
//! moment when the new program is in its place, what is to become of it is written down, and the client that runs it watches
//! over it (`petit_client::updates`). What is decided and said stands in `request`, what is done in `install` and `back`.

mod back;
mod install;
mod request;
mod running;

use std::path::Path;
use std::time::Duration;

use petit_client::config;
use petit_client::updates::Updates;
use petit_engine::proto::control::FetchedBy;
use petit_host::brand;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::update::{Bundle, Installed, Owner, Roots, Standing, Step, Target, Verified, verify};

pub(crate) use self::back::back;
use self::install::Upgrade;
use self::request::{Outcome, Request, UpgradeArgs, Upgraded, lock, refused};
use super::beginning::config_failure;
use super::context::{Context, PROGRAM};
use super::fetching::Fetching;
use super::serving::updates;

/// What is asked for.
pub(crate) struct UpgradeOrder<'a> {
    /// The folder of the release; `None`: the server's is fetched.
    pub(crate) from: Option<&'a Path>,
    pub(crate) what: Wanted,
    /// How long the new version may be connected without all that worked before.
    pub(crate) within: Duration,
    /// How long the old one is kept once the new one works.
    pub(crate) kept: Duration,
    /// Whether somebody has typed it.
    pub(crate) by: FetchedBy,
}

/// What is to be done with a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Install,
    /// Also where it did not work before.
    InstallAgain,
    /// Only to be told what there is.
    Check,
}

pub(crate) async fn upgrade(context: &Context, order: &UpgradeOrder<'_>) -> Result<(), Failure> {
    let (config, _) =
        config::load(&context.folder.config).map_err(|error| config_failure(context, &error))?;
    let updates = updates(context)?;
    let owner = updates.place().owner();
    let here = |outcome| Upgraded { outcome, before: updates.own(), version: updates.own(), standing: None };
    if owner == Owner::Other && !updates.place().roots().exists() {
        context.say(&context.texts.get("cli.upgrade.by_packages"), &here(Outcome::Told));
        return Ok(());
    }
    // Nobody but the service itself could fetch it, and its status has what it knows.
    if owner == Owner::Other && order.from.is_none() && context.folder.is_of_service() {
        let status = context.if_running(context.client().status().await)?;
        match status.and_then(|status| status.available) {
            Some(version) => {
                let text = context.texts.format("cli.upgrade.packaged", &[("version", &version)]);
                context.say(&text, &Upgraded { version: &version, ..here(Outcome::Told) });
            }
            None => context.say(&context.texts.get("cli.upgrade.by_packages"), &here(Outcome::Told)),
        }
        return Ok(());
    }
    let target = Target::of(PROGRAM, brand::here());
    let fetching = match order.from {
        Some(_) => None,
        None => Some(Fetching::begin(context, &config, target.clone(), order.by).await?),
    };
    let fetched = match &fetching {
        Some(fetching) => fetching.documents().await?,
        None => None,
    };
    let Some(from) = order.from.or(fetched) else {
        if let Some(fetching) = &fetching {
            fetching.say_nothing_there(&here(Outcome::None));
        }
        return Ok(());
    };
    let verified = verified(context, &updates, from)?;
    let installed = Installed { target, version: updates.own().clone(), owner };
    let args = UpgradeArgs { from, within: order.within, kept: order.kept, by: order.by };
    let (updates, verified, installed) = (&updates, &verified, &installed);
    let request = Request { context, args: &args, updates, verified, installed, fetching: fetching.as_ref() };
    follow(&request, order.what).await
}

/// The release of a folder, signed by those whose keys are named beside the program.
fn verified(context: &Context, updates: &Updates, from: &Path) -> Result<Verified, Failure> {
    let path = updates.place().roots();
    let known = files::check_not_writable_by_others(&path).map_err(|error| Failure::of(&error));
    let roots = known.and_then(|()| {
        std::fs::read_to_string(&path).map_err(|error| {
            context
                .failed(
                    ExitCode::Failed,
                    "cli.upgrade.no_roots",
                    &[("path", &path.display()), ("why", &error)],
                )
                .hint(context.hint("cli.upgrade.no_roots.hint"))
        })
    })?;
    let roots = Roots::parse(&roots)
        .map_err(|error| Failure::new(ExitCode::Failed, format!("{}: {error}", path.display())))?;
    let bundle = Bundle::read(from).map_err(|error| Failure::of(&error))?;
    verify(&bundle, &roots).map_err(|refusal| refused(context, &refusal))
}

/// Does what is to be done with it, and says what has come of it.
async fn follow(request: &Request<'_>, what: Wanted) -> Result<(), Failure> {
    let mut advice = request.advice().await?;
    if let (Step::GivenUp { version }, Wanted::InstallAgain) = (&advice.step, what) {
        request.forgive(version).await?;
        advice = request.advice().await?;
    }
    match advice.step {
        Step::Nothing => {
            request.clear();
            request.say("cli.upgrade.current", Outcome::Current, request.updates.own(), &advice.standing);
        }
        Step::Tell { ref version } | Step::Ask { ref version } | Step::Wait { ref version, .. } => {
            request.say("cli.upgrade.packaged", Outcome::Told, version, &advice.standing);
        }
        Step::GivenUp { version } => {
            request.clear();
            return Err(request.given_up(&version, &advice.standing));
        }
        Step::Install(artifact) if request.context.folder.is_of_service() => {
            let mut key = "cli.upgrade.of_service.check";
            if what != Wanted::Check {
                request.fetch(artifact).await?;
                Upgrade { request, artifact }.measure()?;
                key = "cli.upgrade.of_service";
            }
            request.say(key, Outcome::Told, &artifact.version, &advice.standing);
        }
        Step::Install(artifact) if what == Wanted::Check => {
            request.say("cli.upgrade.available", Outcome::Available, &artifact.version, &advice.standing);
        }
        Step::Install(artifact) => {
            request.begin(artifact).await?;
            if let Err(failure) = request.fetch(artifact).await {
                return Err(request.failed(&artifact.version, failure).await);
            }
            return install(request).await;
        }
    }
    Ok(())
}

async fn install(request: &Request<'_>) -> Result<(), Failure> {
    let lock = lock(request.context, request.updates).await?;
    // Somebody else may have been at it until now.
    let advice = request.advice().await?;
    let artifact = match advice.step {
        Step::Install(artifact) => artifact,
        Step::GivenUp { version } => return Err(request.given_up(&version, &advice.standing)),
        Step::Nothing | Step::Tell { .. } | Step::Ask { .. } | Step::Wait { .. } => return Ok(()),
    };
    let installed = Upgrade { request, artifact }.install(lock).await;
    // What has failed may be tried again, and need not come over the line again for that.
    if installed.is_ok() || request.is_bad(&artifact.version) {
        request.clear();
    }
    let (key, outcome) = installed.map_err(|failure| request.with(&advice.standing, failure))?;
    // Of a version that has gone nothing is to be said any more.
    let standing = if outcome == Outcome::NextStart { &advice.standing } else { &Standing::Good };
    request.say(key, outcome, &artifact.version, standing);
    Ok(())
}
