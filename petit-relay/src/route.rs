//! Which service a host stands for. One value decides where a request goes and whether it may.

use std::sync::Arc;

use petit_engine::name::{Alias, DeviceId, Endpoint, RegisteredId, ServiceName, VisitorHost, id_of_label};
use petit_engine::proto::control::{Admits, ServiceKind};

use super::failure::Failure;
use super::policy::ServicePolicy;

/// The names that a relay knows, answered from memory.
pub trait Names {
    /// The service that an alias stands for: a label under the domain, or a whole domain.
    fn alias(&self, name: &str) -> Option<RegisteredId>;

    /// The aliases of a service.
    fn aliases(&self, id: &RegisteredId) -> Vec<Alias>;

    /// Whose service an ID is, while it is registered.
    fn service(&self, id: &RegisteredId) -> Option<Route>;
}

/// Where requests for a service go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The service.
    pub id: RegisteredId,
    /// The device that serves it.
    pub device: DeviceId,
    /// Its name at that device.
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// What is asked of its visitors; `None`: it is open to anybody who knows the name.
    pub policy: Option<Arc<ServicePolicy>>,
    /// The operator keeps its device out: nobody is carried there.
    pub is_suspended: bool,
}

/// What a host led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed {
    /// A service.
    Service {
        route: Route,
        /// How it was found.
        via: Via,
    },
    /// A name that no service has.
    Unknown,
    /// A host that is not this server's at all.
    Foreign,
}

impl Routed {
    /// The service.
    ///
    /// # Errors
    /// What a visitor is told of a host that leads to none.
    pub fn service(self) -> Result<Route, Failure> {
        match self {
            Self::Service { route, .. } => Ok(route),
            Self::Unknown => Err(Failure::Unknown),
            Self::Foreign => Err(Failure::Misdirected),
        }
    }
}

impl Route {
    /// Whom its policy lets in, for those who serve it.
    pub fn admits(&self) -> Admits {
        match &self.policy {
            Some(policy) if self.kind == ServiceKind::Tcp && policy.shuts_tcp() => Admits::Nobody,
            Some(policy) if policy.admits_only_chosen() => Admits::Chosen,
            Some(_) | None => Admits::Anyone,
        }
    }

    /// Whether what the service answers may depend on the key that a visitor shows.
    pub(crate) fn asks_for_key(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.keys.is_some())
    }

    /// Whether visitors who speak `kind` are carried to the service.
    ///
    /// # Errors
    /// What one is told otherwise.
    pub fn must_be(&self, kind: ServiceKind) -> Result<(), Failure> {
        if self.kind == kind { Ok(()) } else { Err(Failure::NotHttp) }
    }
}

/// How a route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By an alias, which is looked up first.
    Alias,
    /// By the registered ID in the first label.
    Id,
}

/// Finds the service of a host: an exact alias first, else the ID that the first label begins with.
pub fn decide(host: &VisitorHost, endpoint: &Endpoint, names: &(impl Names + ?Sized)) -> Routed {
    let label = host.label_under(endpoint.domain());
    let alias = names.alias(label.unwrap_or(host.name()));
    let id = match (alias, label) {
        (Some(id), _) => Some((id, Via::Alias)),
        (None, Some(label)) => id_of_label(label).map(|id| (id, Via::Id)),
        (None, None) => {
            let under = host
                .name()
                .strip_suffix(endpoint.domain())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            return if under { Routed::Unknown } else { Routed::Foreign };
        }
    };
    match id.and_then(|(id, via)| names.service(&id).map(|route| (route, via))) {
        Some((route, via)) => Routed::Service { route, via },
        None => Routed::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table {
        route: Route,
        other: Route,
    }

    impl Names for Table {
        fn alias(&self, name: &str) -> Option<RegisteredId> {
            match name {
                "acme" | "shop.acme.example" => Some(self.route.id),
                // An alias wins over what could be read as an ID.
                name if name == format!("{}-x", self.other.id) => Some(self.route.id),
                "gone" => Some(RegisteredId::random().unwrap()),
                _ => None,
            }
        }

        fn aliases(&self, _: &RegisteredId) -> Vec<Alias> {
            Vec::new()
        }

        fn service(&self, id: &RegisteredId) -> Option<Route> {
            [&self.route, &self.other].into_iter().find(|route| route.id == *id).cloned()
        }
    }

    #[test]
    fn hosts_lead_to_services_by_alias_and_by_id() {
        let route = |name: &str| Route {
            id: RegisteredId::random().unwrap(),
            device: DeviceId::random().unwrap(),
            name: name.parse().unwrap(),
            kind: ServiceKind::Http,
            policy: None,
            is_suspended: false,
        };
        let table = Table { route: route("web"), other: route("other") };
        let endpoint: Endpoint = "https://REGID.example.com".parse().unwrap();
        let found = |host: &str| match decide(&VisitorHost::parse(host).unwrap(), &endpoint, &table) {
            Routed::Service { route, via } => Ok((route.name.to_string(), via)),
            other => Err(other),
        };
        let web = |via| Ok(("web".to_owned(), via));
        assert_eq!(found("acme.example.com"), web(Via::Alias));
        assert_eq!(found("shop.acme.example"), web(Via::Alias));
        let (id, other) = (table.route.id, table.other.id);
        assert_eq!(found(&format!("{id}.example.com")), web(Via::Id));
        assert_eq!(found(&format!("{id}-anything-else.example.com")), web(Via::Id));
        assert_eq!(found(&format!("{other}-x.example.com")), web(Via::Alias));
        for unknown in ["example.com", "nobody.example.com", "gone.example.com", "a.b.example.com"] {
            assert_eq!(found(unknown), Err(Routed::Unknown), "{unknown}");
        }
        assert_eq!(found(&format!("{id}.sub.example.com")), Err(Routed::Unknown));
        for foreign in ["example.org", "notexample.com", &format!("{id}.example.org")] {
            assert_eq!(found(foreign), Err(Routed::Foreign), "{foreign}");
        }
    }
}
