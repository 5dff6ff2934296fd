//! Typed requests: each is a struct that says where it goes, what it carries, and which struct answers it.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::client::{CallError, Client};
use super::{ApiProblem, Reply, Request};

/// A request of a control socket, and its answer.
pub trait ApiRequest {
    /// What answers it.
    type Answer: Serialize + DeserializeOwned;

    /// Method and target, the query included.
    fn target(&self) -> (&'static str, String);

    /// How long the answer may take, where that is not what it may usually take.
    fn answered_within(&self) -> Option<Duration> {
        None
    }

    /// The body, where there is one.
    ///
    /// # Errors
    /// When it cannot be JSON.
    fn body(&self) -> Result<Option<Value>, serde_json::Error> {
        Ok(None)
    }
}

/// Why a request has no answer, or none that is understood.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The program was not reached, or said no.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its answer has another form than this program knows. Nothing is made of it: what is missing there would have to
    /// be guessed.
    #[error("the running program is of another version, and its answer is not understood: {0}")]
    OtherVersion(serde_json::Error),
}

impl Client {
    /// As [`Client::call`], typed.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<R: ApiRequest>(&self, request: &R) -> Result<R::Answer, AskError> {
        let (method, target) = request.target();
        let this = self.clone();
        let this = match request.answered_within() {
            Some(within) => this.within(within),
            None => this,
        };
        this.ask_for(method, &target, request.body()).await
    }

    /// The same for a request of another type, whose caller says what answers it.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask_for<A: DeserializeOwned>(
        &self,
        method: &str,
        target: &str,
        body: Result<Option<Value>, serde_json::Error>,
    ) -> Result<A, AskError> {
        let body = body.map_err(AskError::OtherVersion)?;
        let value = self.call(method, target, body.as_ref()).await?;
        A::deserialize(value).map_err(AskError::OtherVersion)
    }
}

impl Request {
    /// The whole body. A field that is not known is refused where `T` says so: whoever sends it is of another version
    /// and means something by it.
    ///
    /// # Errors
    /// 400 `bad_request`.
    pub fn read_body<T: DeserializeOwned>(&self) -> Result<T, ApiProblem> {
        T::deserialize(&self.body).map_err(|error| ApiProblem::new(400, "bad_request", error.to_string()))
    }

    /// The first query parameter of a name, which has to be there.
    ///
    /// # Errors
    /// 400 `bad_request`.
    pub fn required(&self, name: &str) -> Result<&str, ApiProblem> {
        let missing = || ApiProblem::new(400, "bad_request", format!("{name} is missing"));
        self.parameter(name).ok_or_else(missing)
    }
}

impl Reply {
    /// An answer as JSON.
    pub fn of(answer: &impl Serialize) -> Self {
        match serde_json::to_value(answer) {
            Ok(value) => Self::Json(value),
            Err(error) => Self::Error(ApiProblem::new(500, "failed", error.to_string())),
        }
    }
}
