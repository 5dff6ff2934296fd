//! Readable names.

use petit_engine::name::{Alias, DeviceId, Endpoint, PolicyName, RegisteredId, ServiceName};
use petit_host::control::{ApiProblem, Request, percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApiRequest, MissingCertificate, PortChanges};
use crate::registry::AliasRow;

/// All readable names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListAliases;

impl ApiRequest for ListAliases {
    type Answer = AliasList;

    fn target(&self) -> (&'static str, String) {
        ("GET", "/aliases".to_owned())
    }
}

/// All aliases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasList {
    pub aliases: Vec<AliasView>,
}

/// An alias, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasView {
    pub alias: Alias,
    /// Whose it is.
    pub client: DeviceId,
    /// The service that it leads to.
    pub id: RegisteredId,
    /// That service's name at its client.
    pub service: ServiceName,
    /// Its public address.
    pub url: String,
}

impl AliasView {
    pub(crate) fn new(row: AliasRow, endpoint: &Endpoint) -> Self {
        let AliasRow { alias, service, name, device } = row;
        let url = endpoint.url(alias.as_str());
        Self { alias, client: device, id: service, service: name, url }
    }
}

/// Give a service a readable name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddAlias {
    pub id: RegisteredId,
    pub alias: Alias,
    /// Also one that another client had not long ago.
    #[serde(default)]
    pub force: bool,
}

impl ApiRequest for AddAlias {
    type Answer = AliasAdded;

    fn target(&self) -> (&'static str, String) {
        ("POST", "/aliases".to_owned())
    }

    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        serde_json::to_value(self).map(Some)
    }
}

/// A service has this alias now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasAdded {
    pub alias: Alias,
    pub id: RegisteredId,
    /// Its public address.
    pub url: String,
    /// What HTTPS visitors need, and is not there.
    pub without_certificate: Option<MissingCertificate>,
    #[serde(flatten)]
    pub ports: PortChanges,
}

/// Take a readable name from a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveAlias {
    pub id: RegisteredId,
    pub alias: Alias,
}

impl RemoveAlias {
    pub(super) fn read(request: &Request) -> Result<Self, ApiProblem> {
        let bad =
            |error: petit_engine::name::InvalidName| ApiProblem::new(400, "bad_request", error.to_string());
        let id = request.required("id")?.parse().map_err(bad)?;
        Ok(Self { id, alias: request.required("alias")?.parse().map_err(bad)? })
    }
}

impl ApiRequest for RemoveAlias {
    type Answer = AliasRemoved;

    fn target(&self) -> (&'static str, String) {
        let alias = percent_encode(self.alias.as_str());
        ("DELETE", format!("/aliases?id={}&alias={alias}", self.id))
    }
}

/// A service has this alias no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRemoved {
    /// The service that it led to.
    pub id: RegisteredId,
    pub removed: Alias,
    /// The service had its policy by this alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyLost>,
    #[serde(flatten)]
    pub ports: PortChanges,
}

/// A service has another policy than before, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyLost {
    pub before: PolicyName,
    pub now: Option<PolicyName>,
    /// Whoever knows a name of the service gets in.
    pub is_open: bool,
}
