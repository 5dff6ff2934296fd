//! End to end, over real sockets and TLS. One binary; a module per behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may assert by failing"
)]

mod access_log;
mod admits;
mod apart;
mod audit;
mod brand;
mod certificate;
mod commands;
mod config;
mod consent;
mod crash;
mod doctor;
mod enrol;
mod explain;
mod first_setup;
mod forms;
mod fronts;
mod fuzzed;
#[cfg(target_os = "linux")]
mod home_line;
mod identity;
mod invites;
mod kept;
mod keychain;
mod keys;
mod languages;
mod lights;
mod local_api;
mod many;
mod many_services;
mod metrics;
mod named;
mod names;
mod network;
mod operators;
mod overview;
mod policed;
mod readme;
mod recorded;
mod recover;
mod refused;
mod replace;
mod request;
mod restart;
mod resumed;
mod revoke;
mod secrets;
mod server_api;
mod strangers;
mod suspend;
mod tags;
mod tcp;
mod terminal;
mod tls;
mod traffic;
mod unregistering;
#[cfg(target_os = "linux")]
mod updates;
mod upgrade;
mod visits;
