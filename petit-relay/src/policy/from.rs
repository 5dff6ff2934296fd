//! Where visitors may come from.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Networks and addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList(Vec<IpNet>);

/// A text names no network and no address, or not as it is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// It is neither.
    #[error(
        "{0:?} is no address and no network; write one such as 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
    )]
    Malformed(String),
    /// A network by an address within it: it may be meant as that address alone.
    #[error(
        "{text} has bits behind its prefix; write {network} for the network, or {address} for the one address"
    )]
    BitsBehindPrefix {
        /// As it was written.
        text: String,
        /// The network that it lies in.
        network: IpNet,
        /// The address.
        address: IpAddr,
    },
    /// An IPv4 network in IPv6 notation. Visitors of IPv4 are known by their IPv4 addresses.
    #[error("{0} is an IPv4 network in IPv6 notation; write it as IPv4, such as 203.0.113.0/24")]
    Mapped(String),
}

impl AddressList {
    /// Parses each text: a network such as `203.0.113.0/24`, or one address.
    ///
    /// # Errors
    /// [`InvalidAddress`] for the first one that is neither.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, InvalidAddress> {
        texts.into_iter().map(|text| network(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// True when an address is one of them, or in one of them. The unspecified one stands for a visitor whom nobody knows,
    /// and is in a list of everybody alone.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let is_listed = self.0.iter().any(|network| network.contains(&address));
        is_listed && (!address.is_unspecified() || self.is_everybody())
    }

    /// True when everybody of IPv4, or of IPv6, is in it: such a list chooses nobody.
    pub fn is_everybody(&self) -> bool {
        IpNet::aggregate(&self.0).iter().any(|network| network.prefix_len() == 0)
    }

    /// The networks; an address is one of its whole length.
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

impl fmt::Display for AddressList {
    /// As [`AddressList::parse`] takes them, with `, ` between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, network) in self.0.iter().enumerate() {
            let between = if number == 0 { "" } else { ", " };
            let is_address = network.prefix_len() == network.max_prefix_len();
            match is_address {
                true => write!(f, "{between}{}", network.addr())?,
                false => write!(f, "{between}{network}")?,
            }
        }
        Ok(())
    }
}

fn network(text: &str) -> Result<IpNet, InvalidAddress> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = text.parse().map_err(|_| InvalidAddress::Malformed(text.to_owned()))?;
    if network.addr().to_canonical() != network.addr() {
        return Err(InvalidAddress::Mapped(text.to_owned()));
    }
    if network.trunc() != network {
        let (network, address) = (network.trunc(), network.addr());
        return Err(InvalidAddress::BitsBehindPrefix { text: text.to_owned(), network, address });
    }
    Ok(network)
}
