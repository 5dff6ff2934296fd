//! What can be told of places: what there is a limited number of, who holds it, and what became of whom. Plain data.

use std::net::IpAddr;

use petit_engine::name::{DeviceId, RegisteredId};

/// What there is a limited number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scarce {
    /// Requests under way, of all clients.
    Requests,
    /// Visits under way to one client: requests, WebSockets and raw TCP connections.
    Visits(DeviceId),
    /// WebSockets of one client.
    WebSockets(DeviceId),
    /// Requests under way to one service.
    ServiceRequests(RegisteredId),
}

/// Who holds places that others would like to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A client.
    Client(DeviceId),
    /// One of a client's services.
    Service(RegisteredId),
    /// A visitor's network.
    Visitor(IpAddr),
    /// All visitors without a share of their own.
    Exempt,
}

/// Places that are running short, and who has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Places for what.
    pub what: Scarce,
    /// In use.
    pub used: usize,
    /// How many there are.
    pub most: usize,
    /// Who holds most of them, each of [`Holder`]'s kinds by itself.
    pub holders: Vec<(Holder, usize)>,
}

/// What became of visits for which there was no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceCounts {
    /// Requests that were refused for want of a place, or beyond their service's rate.
    pub refused: u64,
    /// Visits that gave way while nothing of their body had come.
    pub gave_way_without_body: u64,
    /// Visits that gave way before the service had begun its answer.
    pub gave_way_unanswered: u64,
    /// Visits that were broken off for others.
    pub broken_off: u64,
}
