//! The log of changes.

use petit_host::control::{ApiProblem, Request};

use super::ApiRequest;
use crate::registry::ChangePage;

/// A part of the log of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListChanges {
    /// Those that come after a version, the oldest first.
    After(u64),
    /// The newest, so many.
    Last(u64),
}

impl ListChanges {
    pub(super) fn read(request: &Request) -> Result<Self, ApiProblem> {
        let number = |name: &str| match request.parameter(name).map(str::parse::<u64>).transpose() {
            Ok(number) => Ok(number),
            Err(_) => Err(ApiProblem::new(400, "bad_request", format!("{name} is not a number"))),
        };
        let (after, last) = (number("after")?, number("last")?);
        Ok(last.map_or(Self::After(after.unwrap_or_default()), Self::Last))
    }
}

impl ApiRequest for ListChanges {
    type Answer = ChangePage;

    fn target(&self) -> (&'static str, String) {
        let target = match self {
            Self::After(version) => format!("/changes?after={version}"),
            Self::Last(count) => format!("/changes?last={count}"),
        };
        ("GET", target)
    }
}
