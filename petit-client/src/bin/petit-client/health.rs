//! `check --live` and `check --ready`: whether the running client is well, for whoever watches over it.

use petit_client::messages;
use petit_client::status::{Connection, Status};
use petit_host::cli::{self, Failure, HEALTH_LIMIT, HealthCheck};
use petit_host::exit::ExitCode;
use serde::Serialize;

use super::context::Context;

/// What is printed with `--json`.
#[derive(Serialize)]
struct Alive {
    pid: u32,
}

/// Asks it, and says what came of it.
pub(crate) async fn health(context: &Context, check: HealthCheck) -> Result<(), Failure> {
    let late = || context.failed(ExitCode::Failed, "cli.health.late", &[("s", &HEALTH_LIMIT.as_secs())]);
    let question = async { context.client().status().await.map_err(|error| context.failure(error)) };
    let status = cli::health(question, late).await?;
    match check {
        HealthCheck::Live => {
            context.say(&context.texts.get("cli.health.live"), &Alive { pid: status.pid });
            Ok(())
        }
        HealthCheck::Ready => match why_not_ready(context, &status) {
            None => {
                context.say(&context.texts.get("cli.health.ready"), &status.connection);
                Ok(())
            }
            Some(why) => Err(context.failed(ExitCode::Failed, "cli.health.not_ready", &[("why", &why)])),
        },
    }
}

/// Why visitors do not get to it; `None` when they do, as far as the client itself can tell: services have lights of
/// their own, and no restart of a client mends one.
fn why_not_ready(context: &Context, status: &Status) -> Option<String> {
    if status.stopping {
        return Some(context.texts.get("cli.health.stopping"));
    }
    match &status.connection {
        Connection::Online { .. } => None,
        Connection::Unregistered
        | Connection::Off
        | Connection::NoKey { .. }
        | Connection::Connecting
        | Connection::Waiting { .. }
        | Connection::Stopped { .. } => Some(messages::connection(&context.texts, &status.connection)),
    }
}
