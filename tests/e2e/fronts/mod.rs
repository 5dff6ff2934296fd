//! Green means the public address: what stands there is tried as a visitor would, and a light shows what that found.

mod own_machine;
mod probe;
mod proxy;
mod tls;

use petit_client::status::{BrokenAt, Light, Status};
use petit_engine::cause::FrontCause;
use petit_tests::bed::{Bed, BedClient};

/// A server whose public names lead to a port of the test's.
fn config_at(port: u16, more: &str) -> String {
    petit_tests::bed::server_config(more).replace("REGID.localhost:0", &format!("REGID.localhost:{port}"))
}

/// Tries the fronts, and waits until the client says that visitors do not get in for this cause.
async fn until_broken(bed: &Bed, client: &BedClient, cause: FrontCause) -> Status {
    bed.server.relay.try_fronts().await;
    client
        .until(&format!("the public address to be broken: {cause:?}"), |status| {
            let service = &status.services[0];
            let at = service.broken.as_ref().map(|broken| broken.at);
            service.light == Light::Red && at == Some(BrokenAt::Front(cause))
        })
        .await
}
