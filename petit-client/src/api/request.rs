//! What a running client can be asked.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use petit_engine::name::ServiceName;
use petit_host::control::{ApiProblem, Request, percent_encode};
use petit_host::logs::Level;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::answers::LogLevel;
use crate::config::KeyStore;
use crate::enrol::Existing;

/// A request to a running client.
#[derive(Clone, Debug)]
pub enum LocalRequest {
    /// Where it stands.
    Status,
    /// Where it stands, now and after every change.
    Events,
    /// The services.
    Services,
    /// Probe one service end to end, or all.
    Ping { service: Option<ServiceName> },
    /// Which program it is.
    Version,
    /// Where its config file is.
    Config,
    /// The settings in force.
    Settings,
    /// What the doctor finds.
    Check,
    /// Go online.
    Start,
    /// End.
    Stop,
    /// Have another process take its place.
    Restart,
    /// Read the config file.
    Reload,
    /// Log so much.
    Log(LogLevel),
    /// Register this computer.
    Register(RegisterRequest),
    /// End the registration.
    Unregister(UnregisterRequest),
    /// Let the vendor reach a service.
    Share { service: ServiceName },
    /// Give a service's public address back.
    Remove { service: ServiceName },
}

/// What is wanted of a registration.
#[derive(Clone, Debug, Serialize)]
pub struct RegisterRequest {
    /// The invite's link.
    #[serde(serialize_with = "exposed")]
    pub invite: SecretString,
    /// Where the key goes.
    pub key_store: KeyStore,
    /// Services of the config that the vendor may reach.
    pub share: BTreeSet<ServiceName>,
    /// What becomes of a registration that is in force.
    #[serde(rename = "replace", serialize_with = "is_replaced")]
    pub existing: Existing,
}

/// The invite goes over the socket, which only its owner can open.
fn exposed<S: Serializer>(invite: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(invite.expose_secret())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_replaced<S: Serializer>(existing: &Existing, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*existing == Existing::Replace)
}

/// How a registration is to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterRequest {
    /// It is forgotten here, and the server is not told.
    #[serde(default)]
    pub local: bool,
}

impl LocalRequest {
    /// What somebody asks over the socket.
    ///
    /// # Errors
    /// The answer to what is no request, or has a value that is none.
    pub fn read(request: &Request) -> Result<Self, ApiProblem> {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        Ok(match (request.method.as_str(), path.as_slice()) {
            ("GET", ["status"]) => Self::Status,
            ("GET", ["events"]) => Self::Events,
            ("GET", ["services" | "tenants"]) => Self::Services,
            ("GET", ["ping"]) => {
                Self::Ping { service: request.parameter("service").map(service_name).transpose()? }
            }
            ("GET", ["version"]) => Self::Version,
            ("GET", ["config"]) => Self::Config,
            ("GET", ["settings"]) => Self::Settings,
            ("GET", ["check"]) => Self::Check,
            ("POST", ["start"]) => Self::Start,
            ("POST", ["stop"]) => Self::Stop,
            ("POST", ["restart"]) => Self::Restart,
            ("POST", ["reload"]) => Self::Reload,
            ("POST", ["log"]) => {
                let level: Option<Level> = parsed(&request.body, "level", "bad_level")?;
                Self::Log(LogLevel { level: level.ok_or_else(|| missing("level", "bad_level"))? })
            }
            ("POST", ["register"]) => Self::Register(RegisterRequest::read(&request.body)?),
            ("POST", ["unregister"]) => {
                let local = field(&request.body, "local", "bad_value")?.unwrap_or_default();
                Self::Unregister(UnregisterRequest { local })
            }
            ("POST", ["services", name, "share"]) => Self::Share { service: service_name(name)? },
            ("POST", ["services", name, "remove"]) => Self::Remove { service: service_name(name)? },
            _ => return Err(ApiProblem::not_found()),
        })
    }

    /// The method, and the target with its query.
    pub fn target(&self) -> (&'static str, String) {
        let named = |service: &ServiceName, verb| {
            ("POST", format!("/services/{}/{verb}", percent_encode(service.as_str())))
        };
        let (method, target) = match self {
            Self::Status => ("GET", "/status"),
            Self::Events => ("GET", "/events"),
            Self::Services => ("GET", "/services"),
            Self::Ping { service: None } => ("GET", "/ping"),
            Self::Ping { service: Some(service) } => {
                return ("GET", format!("/ping?service={}", percent_encode(service.as_str())));
            }
            Self::Version => ("GET", "/version"),
            Self::Config => ("GET", "/config"),
            Self::Settings => ("GET", "/settings"),
            Self::Check => ("GET", "/check"),
            Self::Start => ("POST", "/start"),
            Self::Stop => ("POST", "/stop"),
            Self::Restart => ("POST", "/restart"),
            Self::Reload => ("POST", "/reload"),
            Self::Log(_) => ("POST", "/log"),
            Self::Register(_) => ("POST", "/register"),
            Self::Unregister(_) => ("POST", "/unregister"),
            Self::Share { service } => return named(service, "share"),
            Self::Remove { service } => return named(service, "remove"),
        };
        (method, target.to_owned())
    }

    /// The body, where there is one.
    ///
    /// # Errors
    /// Never for these types; serde cannot know that.
    pub fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        match self {
            Self::Log(level) => serde_json::to_value(level).map(Some),
            Self::Register(wanted) => serde_json::to_value(wanted).map(Some),
            Self::Unregister(how) => serde_json::to_value(how).map(Some),
            Self::Status
            | Self::Events
            | Self::Services
            | Self::Ping { .. }
            | Self::Version
            | Self::Config
            | Self::Settings
            | Self::Check
            | Self::Start
            | Self::Stop
            | Self::Restart
            | Self::Reload
            | Self::Share { .. }
            | Self::Remove { .. } => Ok(None),
        }
    }
}

impl RegisterRequest {
    /// Each field that is wrong has a code of its own. Whether the invite is one is for whoever uses it to say.
    fn read(body: &Value) -> Result<Self, ApiProblem> {
        let invite: Option<String> = field(body, "invite", "bad_invite")?;
        let share: Vec<String> = field(body, "share", "bad_name")?.unwrap_or_default();
        let replace = field(body, "replace", "bad_value")?.unwrap_or(false);
        Ok(Self {
            invite: SecretString::from(invite.ok_or_else(|| missing("invite", "bad_invite"))?),
            key_store: parsed(body, "key_store", "bad_key_store")?.unwrap_or_default(),
            share: share.iter().map(|name| service_name(name)).collect::<Result<_, _>>()?,
            existing: if replace { Existing::Replace } else { Existing::Keep },
        })
    }
}

/// A field of a body; `None` when it is not there. What cannot be read is refused with `code`, and not repeated: it may
/// be a secret in the wrong place.
fn field<T: DeserializeOwned>(body: &Value, name: &str, code: &str) -> Result<Option<T>, ApiProblem> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => T::deserialize(value)
            .map(Some)
            .map_err(|_| ApiProblem::new(400, code, format!("{name} has a value of another kind"))),
    }
}

/// A field that is a word.
fn parsed<T: FromStr<Err: Display>>(body: &Value, name: &str, code: &str) -> Result<Option<T>, ApiProblem> {
    let text: Option<String> = field(body, name, code)?;
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|error: T::Err| ApiProblem::new(400, code, error.to_string()))
}

fn missing(name: &str, code: &str) -> ApiProblem {
    ApiProblem::new(400, code, format!("{name} is missing in this request"))
}

fn service_name(text: &str) -> Result<ServiceName, ApiProblem> {
    text.parse().map_err(|error| ApiProblem::new(400, "bad_name", format!("{error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(method: &str, target: &str, body: Value) -> Result<LocalRequest, ApiProblem> {
        LocalRequest::read(&Request::new(method, target, body))
    }

    #[test]
    fn every_request_is_read_as_it_was_meant() {
        let web: ServiceName = "web".parse().unwrap();
        let register = RegisterRequest {
            invite: SecretString::from("https://h/enroll#v1.x"),
            key_store: KeyStore::File,
            share: BTreeSet::from([web.clone()]),
            existing: Existing::Replace,
        };
        for request in [
            LocalRequest::Status,
            LocalRequest::Events,
            LocalRequest::Services,
            LocalRequest::Ping { service: None },
            LocalRequest::Ping { service: Some(web.clone()) },
            LocalRequest::Version,
            LocalRequest::Config,
            LocalRequest::Settings,
            LocalRequest::Check,
            LocalRequest::Start,
            LocalRequest::Stop,
            LocalRequest::Restart,
            LocalRequest::Reload,
            LocalRequest::Log(LogLevel { level: Level::Debug }),
            LocalRequest::Register(register),
            LocalRequest::Unregister(UnregisterRequest { local: true }),
            LocalRequest::Share { service: web.clone() },
            LocalRequest::Remove { service: web },
        ] {
            let (method, target) = request.target();
            let body = request.body().unwrap();
            let understood = read(method, &target, body.clone().unwrap_or_default()).unwrap();
            assert_eq!(format!("{understood:?}"), format!("{request:?}"));
            assert_eq!(understood.target(), (method, target));
            assert_eq!(understood.body().unwrap(), body);
        }
    }

    #[test]
    fn a_value_that_is_none_is_refused_by_its_name_and_an_invite_is_never_repeated() {
        for (target, body, code) in [
            ("/log", json!({ "level": "loud" }), "bad_level"),
            ("/log", json!(null), "bad_level"),
            ("/register", json!(null), "bad_invite"),
            ("/register", json!({ "invite": ["v1.canary"] }), "bad_invite"),
            ("/register", json!({ "invite": "v1.canary", "key_store": "pocket" }), "bad_key_store"),
            ("/register", json!({ "invite": "v1.canary", "share": ["No Name"] }), "bad_name"),
            ("/register", json!({ "invite": "v1.canary", "replace": "yes" }), "bad_value"),
            ("/services/No%20Name/share", json!(null), "bad_name"),
        ] {
            let problem = read("POST", target, body.clone()).unwrap_err();
            assert_eq!((problem.status, problem.code.as_str()), (400, code), "{body}");
            assert!(!problem.message.contains("canary"), "{}", problem.message);
        }
        assert_eq!(read("DELETE", "/status", Value::Null).unwrap_err().status, 404);
        let LocalRequest::Register(wanted) = read("POST", "/register", json!({ "invite": "x" })).unwrap()
        else {
            panic!("not a registration")
        };
        assert_eq!((wanted.key_store, wanted.existing), (KeyStore::default(), Existing::Keep));
    }
}
