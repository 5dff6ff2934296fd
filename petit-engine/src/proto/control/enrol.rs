//! Enrolment: one request, one answer.

use serde::{Deserialize, Serialize};

use super::{ControlError, Message, PublicUrl, SecretText, Text};
use crate::name::{DeviceId, RegisteredId, ServiceName};

/// Device to relay on `petit-enroll/1`: the only message of such a connection.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromDevice {
    /// Asks to be registered.
    Enrol(Enrol),
}

/// A device's request to be registered with the key of its TLS connection.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// The protocol version: [`PROTOCOL`](super::PROTOCOL).
    pub protocol: u16,
    /// The invite's id, 32 hex digits.
    pub invite: Text<32>,
    /// The invite's secret, 64 hex digits.
    pub secret: SecretText,
    /// What the customer calls this computer.
    pub device_name: Text<64>,
    /// Program and version.
    pub software: Text<64>,
}

/// The relay's answer to [`FromDevice`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum EnrolAnswer {
    /// The device is registered; the same key with the same invite gets the same answer again.
    Enrolled {
        /// The server's name for it.
        device: DeviceId,
        /// The name of the service that the invite was made for.
        service: ServiceName,
        /// That service's registered ID.
        id: RegisteredId,
        /// That service's public address.
        url: PublicUrl,
    },
    /// It is not.
    Refused {
        /// Why.
        cause: EnrolRefusal,
    },
}

/// Why an enrolment was refused. Only who holds an invite's secret learns more than `Invalid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum EnrolRefusal {
    /// No such invite, or not its secret.
    #[error("the server does not know this invite")]
    Invalid,
    /// Its time is over.
    #[error("this invite has expired")]
    Expired,
    /// Another device has used it.
    #[error("this invite was used by another device")]
    Used,
    /// The operator has taken it back.
    #[error("this invite was withdrawn")]
    Withdrawn,
    /// This key belongs to a device that was revoked.
    #[error("this device's key was revoked; a new one is needed")]
    Revoked,
    /// The server could not write it down.
    #[error("the server could not store the registration")]
    StoreFailed,
    /// No room, or too many attempts.
    #[error("the server is busy")]
    Busy,
    /// The request broke the protocol.
    #[error("the server did not understand the request")]
    Protocol,
}

impl Message for FromDevice {
    fn check(&self) -> Result<(), ControlError> {
        Ok(())
    }
}

impl Message for EnrolAnswer {
    fn check(&self) -> Result<(), ControlError> {
        Ok(())
    }
}
