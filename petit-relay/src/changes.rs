//! What a change of the registry means for those who are connected.

use std::sync::Arc;

use petit_engine::secret::PublicKey;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::session::Session;
use super::{Change, RelayShared};

/// Sessions that are looked at in one go.
const TURN: usize = 256;

/// Ends the sessions and the downloads of devices that are no longer registered, or suspended, tells others their aliases and who can come in, closes the
/// ports of services that are gone, and closes and opens those of services whose policies have changed.
pub(super) async fn watch(shared: &Arc<RelayShared>, mut changes: broadcast::Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(change) => {
                for (number, device) in change.devices.iter().enumerate() {
                    for session in shared.registry.of(device) {
                        look_at(shared, &session);
                    }
                    let known = |key: &PublicKey| shared.is_welcome(key, *device);
                    shared.downloads.look_at(*device, known);
                    breathe(number).await;
                }
                for service in &change.services_gone {
                    shared.tcp_listeners.close(service);
                }
                for service in &change.policies_of {
                    shared.look_at_port(service);
                }
                if change.policies {
                    shared.look_at_ports();
                    tell_policies(shared).await;
                }
            }
            Err(RecvError::Lagged(_)) => {
                for (number, session) in shared.registry.sessions().iter().enumerate() {
                    look_at(shared, session);
                    breathe(number).await;
                }
                shared.downloads.look_at_all(|who| shared.is_welcome(&who.key, who.device));
                shared.tcp_listeners.keep(|id| shared.access.service(id).is_some());
                shared.look_at_ports();
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Tells every agent who can come to its services, where that has changed. Whoever is not concerned costs a look.
async fn tell_policies(shared: &Arc<RelayShared>) {
    for (number, session) in shared.registry.sessions().iter().enumerate() {
        session.tell_policies(shared.access.as_ref());
        breathe(number).await;
    }
}

/// Tells agents when there is another release for them.
pub(super) async fn watch_releases(shared: &Arc<RelayShared>, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        for (number, session) in shared.registry.sessions().iter().enumerate() {
            shared.tell_release(session);
            breathe(number).await;
        }
    }
}

/// Lets others that live in this thread have a turn, once in a while.
async fn breathe(number: usize) {
    if number % TURN == TURN - 1 {
        tokio::task::yield_now().await;
    }
}

/// Brings a session up to the present state of the registry.
fn look_at(shared: &RelayShared, session: &Arc<Session>) {
    match shared.present_standing(session) {
        Ok(()) => {
            shared.tell_aliases(session);
            session.tell_policies(shared.access.as_ref());
            shared.tell_release(session);
        }
        Err(refusal) => {
            tracing::info!(device = %session.device, ?refusal, "the device is not let in any more; closing its session");
            session.refuse(refusal);
        }
    }
}
