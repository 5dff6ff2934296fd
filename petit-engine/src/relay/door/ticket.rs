//! A connection that was let in: what it counts as, for as long as it lives.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Door;

/// A connection that was let in. Its place is free again when this is dropped.
#[derive(Debug)]
pub(in crate::relay) struct Ticket {
    door: Arc<Door>,
    counted: Option<IpAddr>,
    is_visitor: bool,
    is_unsettled: bool,
}

impl Ticket {
    pub(super) fn new(door: Arc<Door>, counted: Option<IpAddr>, is_visitor: bool) -> Self {
        Self { door, counted, is_visitor, is_unsettled: !is_visitor }
    }

    /// TLS has been agreed, and the peer is a client. From here on it counts towards no address: a company may have
    /// hundreds behind one, and who they are is known.
    pub(in crate::relay) fn is_client(&mut self) {
        self.settle();
        self.leave_address();
    }

    /// TLS has been agreed, and the peer has come to register.
    pub(in crate::relay) fn is_newcomer(&mut self) {
        self.settle();
    }

    /// TLS has been agreed, and the peer is a visitor. False when there is no room for one.
    pub(in crate::relay) fn is_visitor(&mut self) -> bool {
        self.settle();
        if !self.is_visitor {
            if !self.door.takes_visitor() || !self.is_within_share() {
                self.door.turned_away.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            self.is_visitor = true;
            self.door.visitors.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// True when its address and the prefixes of this have no more connections than they may have, this one counted.
    fn is_within_share(&self) -> bool {
        let Some(key) = self.counted else { return true };
        let open = self.door.addresses().get_mut(&key).map(|address| address.open);
        let prefixes = self.door.open_in_prefixes(key);
        open.is_none_or(|open| self.door.is_within_share(open, 1))
            && prefixes
                .into_iter()
                .flatten()
                .all(|(open, addresses)| self.door.is_within_share(open.all, addresses))
    }

    /// Its address has one less.
    fn leave_address(&mut self) {
        let Some(key) = self.counted.take() else { return };
        if let Some(address) = self.door.addresses().get_mut(&key) {
            address.open = address.open.saturating_sub(1);
        }
        self.door.change_prefixes(key, |open| open.all = open.all.saturating_sub(1));
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.is_unsettled)
            && let Some(key) = self.counted
        {
            if let Some(address) = self.door.addresses().get_mut(&key) {
                address.unsettled = address.unsettled.saturating_sub(1);
            }
            self.door.change_prefixes(key, |open| open.unsettled = open.unsettled.saturating_sub(1));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle();
        self.door.open.fetch_sub(1, Ordering::Relaxed);
        self.door.visitors.fetch_sub(usize::from(self.is_visitor), Ordering::Relaxed);
        self.leave_address();
    }
}
