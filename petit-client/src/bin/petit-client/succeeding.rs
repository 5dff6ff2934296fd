//! What a process does that takes another one's place, however that is handed over.

use petit_client::client::Client;
use petit_client::messages;
use petit_client::status::Connection;
use petit_engine::limits;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::handover::{Fault, Trouble};
use serde::{Deserialize, Serialize};

use super::context::Context;

/// What is handed over in words. Each may be missing: the predecessor may be of an older version.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    /// What the server knows the predecessor by.
    pub(crate) instance: Option<String>,
    /// The predecessor is connected.
    pub(crate) online: bool,
}

/// Why this process does not take over.
pub(crate) struct Unready {
    pub(crate) failure: Failure,
    fault: Fault,
}

impl Unready {
    /// With what it has found here: a version that has none of it to blame finds the same.
    pub(crate) fn here(failure: Failure) -> Self {
        Self { failure, fault: Fault::Surroundings }
    }

    /// As its predecessor hears it.
    pub(crate) fn trouble(&self) -> Trouble {
        let Failure { message, hint, .. } = &self.failure;
        Trouble { message: message.clone(), hint: hint.clone(), fault: self.fault }
    }
}

impl From<Failure> for Unready {
    fn from(failure: Failure) -> Self {
        Self { failure, fault: Fault::Itself }
    }
}

/// Waits until the server has let this process in, too: until then nothing is better than before. When that takes
/// too long a predecessor that lives has ended this process; one that has died is followed all the same.
pub(crate) async fn until_online(context: &Context, client: &Client) -> Result<(), Failure> {
    let mut statuses = client.statuses();
    let settled = async {
        loop {
            match client.status().await.connection {
                Connection::Online { .. } => return Ok(()),
                Connection::Stopped { cause } => {
                    let why = messages::cause(cause).what(&context.texts);
                    return Err(Failure::new(ExitCode::Failed, why));
                }
                _ => {}
            }
            if statuses.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(limits::READY, settled).await.unwrap_or(Ok(()))
}
