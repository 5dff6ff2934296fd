//! What runs while a program is updated.

use std::path::Path;
use std::time::Duration;

use petit_client::status::{Connection, Light, Status};
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::update::Place;

use super::super::context::{Context, PROGRAM};

/// How often it is looked at what has become of something.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a client that has just begun may take to know how its services are.
const SETTLE: Duration = Duration::from_secs(15);

/// The client that runs; one of another program would never run what is installed here.
pub(super) async fn of_program(context: &Context, place: &Place) -> Result<Option<Status>, Failure> {
    let running = context.if_running(context.client().status().await)?;
    let other = running.as_ref().and_then(|status| status.program.as_deref());
    // A program may be called by several paths, such as in upper and lower case.
    let is_other = |program: &&Path| match (program.canonicalize(), place.program().canonicalize()) {
        (Ok(running), Ok(own)) => running != own,
        _ => *program != place.program(),
    };
    match other.filter(is_other) {
        None => Ok(running),
        Some(other) => {
            let failure = context.failed(
                ExitCode::Failed,
                "cli.upgrade.other_program",
                &[("running", &other.display()), ("program", &place.program().display())],
            );
            Err(failure.hint(context.hint("cli.upgrade.other_program.hint")))
        }
    }
}

/// Its status once every service has been looked at, or as it is when that takes too long.
pub(super) async fn settled(context: &Context, mut status: Status) -> Status {
    let is_settled = |status: &Status| {
        let is_online = matches!(status.connection, Connection::Online { .. });
        is_online && !status.services.iter().any(|service| service.light == Light::Checking)
    };
    let looking = async {
        while !is_settled(&status) {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Ok(newer) = context.client().status().await {
                status = newer;
            }
        }
    };
    // Where it is not connected at all, nothing comes of waiting any longer.
    let _ = tokio::time::timeout(SETTLE, looking).await;
    status
}

/// Which program and version runs, as soon as it is `expected`, or what is there when that takes too long.
pub(super) async fn software(context: &Context, expected: &str, within: Duration) -> Option<String> {
    let mut found = None;
    let looking = async {
        while found.as_deref() != Some(expected) {
            found = context.client().status().await.ok().map(|status| status.software);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let _ = tokio::time::timeout(within, looking).await;
    found
}

/// What a version of this program calls itself.
pub(super) fn name(version: &petit_host::update::Version) -> String {
    format!("{PROGRAM} {version}")
}
