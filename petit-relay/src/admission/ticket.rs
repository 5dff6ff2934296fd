//! A connection that was let in: what it counts as, for as long as it lives.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::networks::network;
use super::connections::{Connections, Entrance};
use super::pending::{Key, Precedence};

/// A connection that was let in. Its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    admission: Arc<Admission>,
    counted: Option<IpAddr>,
    in_handshake: bool,
}

/// What a connection counts as. It ends with the connection's [`Ticket`].
#[derive(Debug)]
pub(crate) struct Admission {
    connections: Arc<Connections>,
    /// As it is known among those that are pending; `None`: it is not counted by address.
    address: Option<IpAddr>,
    stage: Mutex<Stage>,
    /// It is a visitor's, and stays one: what every request asks for.
    visits: AtomicBool,
    evicted: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not shown yet what it has come for, and makes way when the room is wanted.
    Pending(Key),
    Visitor,
    Client,
    Gone,
}

impl Connections {
    /// Admits a connection, or not.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr, entrance: Entrance) -> Option<Ticket> {
        let ticket = self.try_admit(peer, entrance);
        if ticket.is_none() {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
        }
        ticket
    }

    fn try_admit(self: &Arc<Self>, peer: IpAddr, entrance: Entrance) -> Option<Ticket> {
        if !self.has_or_can_make_room() || (entrance != Entrance::Tls && !self.takes_visitor()) {
            return None;
        }
        let peer = peer.to_canonical();
        let is_counted = !peer.is_loopback() && !self.trusted.iter().any(|network| network.contains(&peer));
        let counted = is_counted.then(|| network(peer));
        if let Some(key) = counted
            && !self.count(key, entrance)
        {
            return None;
        }
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.tell(self.evict_for(counted));
        }
        Some(Ticket::new(Arc::clone(self), counted, entrance))
    }
}

impl Ticket {
    fn new(connections: Arc<Connections>, counted: Option<IpAddr>, entrance: Entrance) -> Self {
        let admission = Admission::new(connections, counted, entrance);
        Self { admission: Arc::new(admission), counted, in_handshake: entrance == Entrance::Tls }
    }

    /// What it counts as, for whoever serves it.
    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// TLS has been agreed, and the peer is a client. From here on it counts towards no address: a company may have
    /// hundreds behind one, and who they are is known.
    pub(crate) fn settle_as_client(&mut self) {
        self.end_handshake();
        self.admission.try_move_to(Stage::Client);
        self.leave_address();
    }

    /// TLS has been agreed, and the peer has come to register. Anybody can say so: it stays pending.
    pub(crate) fn stay_pending_to_enrol(&mut self) {
        self.end_handshake();
    }

    /// TLS has been agreed, and the peer is a visitor, who is pending until a service is asked for. False when there is no
    /// room for one.
    pub(crate) fn try_stay_pending_to_visit(&mut self) -> bool {
        self.end_handshake();
        let connections = &self.admission.connections;
        let has_room = connections.takes_visitor() && self.is_within_share();
        connections.turned_away.fetch_add(usize::from(!has_room), Ordering::Relaxed);
        has_room
    }

    /// True when its address and the prefixes of this have no more connections than they may have, this one counted.
    fn is_within_share(&self) -> bool {
        let Some(key) = self.counted else { return true };
        let connections = &self.admission.connections;
        let open = connections.addresses().get_mut(&key).map(|address| address.open);
        let prefixes = connections.open_in_prefixes(key);
        open.is_none_or(|open| connections.is_within_share(open, 1))
            && prefixes
                .into_iter()
                .flatten()
                .all(|(open, addresses)| connections.is_within_share(open.all, addresses))
    }

    /// Its address has one less.
    fn leave_address(&mut self) {
        let Some(key) = self.counted.take() else { return };
        let connections = &self.admission.connections;
        if let Some(address) = connections.addresses().get_mut(&key) {
            address.open = address.open.saturating_sub(1);
        }
        connections.change_prefixes(key, |open| open.all = open.all.saturating_sub(1));
    }

    /// Its handshake is not under way any more.
    fn end_handshake(&mut self) {
        let connections = &self.admission.connections;
        if std::mem::take(&mut self.in_handshake)
            && let Some(key) = self.counted
        {
            if let Some(address) = connections.addresses().get_mut(&key) {
                address.in_handshake = address.in_handshake.saturating_sub(1);
            }
            connections.change_prefixes(key, |open| open.in_handshake = open.in_handshake.saturating_sub(1));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.end_handshake();
        self.admission.try_move_to(Stage::Gone);
        self.admission.connections.open.fetch_sub(1, Ordering::Relaxed);
        self.leave_address();
    }
}

impl Admission {
    fn new(connections: Arc<Connections>, address: Option<IpAddr>, entrance: Entrance) -> Self {
        let evicted = Arc::new(Notify::new());
        let stage = match entrance {
            Entrance::Visitors => {
                connections.visitors.fetch_add(1, Ordering::Relaxed);
                Stage::Visitor
            }
            Entrance::Http | Entrance::Tls => {
                let (key, other) =
                    connections.pending_of(address).enter(within(address), Arc::clone(&evicted));
                connections.tell(other);
                Stage::Pending(key)
            }
        };
        Self { connections, address, stage: Mutex::new(stage), visits: AtomicBool::new(false), evicted }
    }

    /// Runs what has to be done while the connection is pending; `None` when it is evicted first.
    ///
    /// # Cancel safety
    /// That of `work`.
    pub(crate) async fn unless_evicted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            outcome = work => Some(outcome),
            () = self.evicted() => None,
        }
    }

    /// Waits until the connection is to end at once, because another one needs its room. Never once it has settled.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// A request for a service has come, and with the first one the connection is a visitor's. False when there is no
    /// room for that: it was evicted or has ended at this very moment, or visitors have all that they may have.
    pub(crate) fn try_settle_as_visitor(&self) -> bool {
        if self.visits.load(Ordering::Relaxed) {
            return true;
        }
        let has_room = self.connections.has_room_for_visitors();
        self.connections.turned_away.fetch_add(usize::from(!has_room), Ordering::Relaxed);
        if !has_room || !self.try_move_to(Stage::Visitor) {
            return false;
        }
        self.visits.store(true, Ordering::Relaxed);
        true
    }

    /// How soon it is served among those who wait. One that is not counted by address is one of many that have nothing to
    /// do with each other.
    pub(crate) fn precedence(&self) -> Precedence {
        let counted =
            self.address.map(|address| self.connections.pending_of(self.address).precedence(address));
        counted.unwrap_or(Precedence::ALONE)
    }

    /// False when it has been evicted or has ended, and stays so.
    fn try_move_to(&self, next: Stage) -> bool {
        let mut stage = self.stage();
        match *stage {
            Stage::Pending(key) => {
                if self.connections.pending_of(self.address).remove(key).is_none() {
                    return false;
                }
            }
            Stage::Visitor => {
                self.connections.visitors.fetch_sub(1, Ordering::Relaxed);
            }
            Stage::Client => {}
            // A request of HTTP/2 is a task of its own, and may begin when its connection has ended.
            Stage::Gone => return false,
        }
        self.connections.visitors.fetch_add(usize::from(next == Stage::Visitor), Ordering::Relaxed);
        *stage = next;
        true
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address that a connection is pending under. Those that are not counted by address have one together.
fn within(address: Option<IpAddr>) -> IpAddr {
    address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
