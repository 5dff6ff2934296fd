//! How many downloads there may be at the same time: in all, of a device, and of an address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use petit_engine::limits;
use petit_engine::name::DeviceId;

/// Downloads that are under way.
#[derive(Debug)]
pub(crate) struct Downloads {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    devices: HashMap<DeviceId, usize>,
    networks: HashMap<IpAddr, usize>,
}

/// One of them, while it lives.
#[derive(Debug)]
pub(crate) struct DownloadPlace<'a> {
    downloads: &'a Downloads,
    device: DeviceId,
    network: Option<IpAddr>,
}

impl Downloads {
    /// For a relay that takes so many connections: downloads leave nine tenths of them to others.
    pub(crate) fn new(connections: usize) -> Self {
        Self { most: limits::DOWNLOADS.min(connections / 10).max(1), open: Mutex::default() }
    }

    /// A place for one more; `None` when there are as many as there may be. `network`: none of an address that speaks for
    /// many.
    pub(crate) fn enter(&self, device: DeviceId, network: Option<IpAddr>) -> Option<DownloadPlace<'_>> {
        let mut open = self.open();
        let of_device = open.devices.get(&device).copied().unwrap_or_default();
        let of_network = network.and_then(|network| open.networks.get(&network).copied()).unwrap_or_default();
        if open.all >= self.most
            || of_device >= limits::DOWNLOADS_PER_DEVICE
            || of_network >= limits::DOWNLOADS_PER_ADDRESS
        {
            return None;
        }
        open.all += 1;
        open.devices.insert(device, of_device + 1);
        if let Some(network) = network {
            open.networks.insert(network, of_network + 1);
        }
        Some(DownloadPlace { downloads: self, device, network })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DownloadPlace<'_> {
    fn drop(&mut self) {
        let mut open = self.downloads.open();
        open.all = open.all.saturating_sub(1);
        leave(&mut open.devices, &self.device);
        if let Some(network) = &self.network {
            leave(&mut open.networks, network);
        }
    }
}

/// One less of a key; none of it is remembered when it was the last.
fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_an_address_and_all_together_have_so_many_and_no_more() {
        let downloads = Downloads::new(limits::MAX_CONNECTIONS);
        let device = || DeviceId::random().unwrap();
        let address = |number: usize| Some(IpAddr::from([192, 0, 2, u8::try_from(number).unwrap()]));
        let one = device();
        let mut held: Vec<_> =
            (0..limits::DOWNLOADS_PER_DEVICE).map(|_| downloads.enter(one, address(1)).unwrap()).collect();
        assert!(downloads.enter(one, address(2)).is_none(), "it has as many as it may");
        while held.len() < limits::DOWNLOADS_PER_ADDRESS {
            held.push(downloads.enter(device(), address(1)).unwrap());
        }
        assert!(downloads.enter(device(), address(1)).is_none(), "the address has as many as it may");
        for number in 0..limits::DOWNLOADS - limits::DOWNLOADS_PER_ADDRESS {
            held.push(
                downloads.enter(device(), address(2 + number / limits::DOWNLOADS_PER_ADDRESS)).unwrap(),
            );
        }
        assert!(downloads.enter(device(), address(100)).is_none(), "there are as many as there may be");
        held.clear();
        let open = downloads.open();
        assert!(open.all == 0 && open.devices.is_empty() && open.networks.is_empty(), "{open:?}");
    }

    #[test]
    fn a_small_relay_keeps_its_connections_for_others_and_a_balancer_speaks_for_many() {
        let downloads = Downloads::new(200);
        let device = || DeviceId::random().unwrap();
        let held: Vec<_> = std::iter::from_fn(|| downloads.enter(device(), None)).collect();
        assert_eq!(held.len(), 20);
        drop(held);
        let downloads = Downloads::new(limits::MAX_CONNECTIONS);
        let held: Vec<_> = std::iter::from_fn(|| downloads.enter(device(), None)).collect();
        assert_eq!(held.len(), limits::DOWNLOADS, "they are not of one address");
        assert!(Downloads::new(1).enter(device(), None).is_some());
    }
}
