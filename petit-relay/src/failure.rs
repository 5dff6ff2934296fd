//! Why a visitor gets no answer of a service: the one table of failures, with what each means for the visitor. Plain
//! data; how it is told stands in `ingress::answer`.

#![warn(clippy::wildcard_enum_match_arm, reason = "what follows from each case is decided here, one by one")]

use hyper::StatusCode;
use petit_engine::cause::ServiceCause;
use petit_engine::mux::{OpenError, StreamOutcome};
use petit_engine::proto::frame::ResetCode;

/// The hop of a request's way at which it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedHop {
    /// The visitor's own request.
    Request,
    /// This server.
    Server,
    /// The connection between server and client.
    Tunnel,
    /// The customer's client.
    Client,
    /// The service behind it.
    Service,
}

impl FailedHop {
    /// As visitors read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Server => "server",
            Self::Tunnel => "tunnel",
            Self::Client => "client",
            Self::Service => "service",
        }
    }

    /// True where only the name of the service says to its owner what has failed.
    pub(super) fn is_behind_tunnel(self) -> bool {
        matches!(self, Self::Client | Self::Service)
    }
}

/// Whether trying again makes sense, without anything having been changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Retry,
    Final,
}

/// What a failure means for a visitor.
struct Row {
    status: StatusCode,
    code: &'static str,
    hop: FailedHop,
    again: Again,
    title: &'static str,
}

/// Makes the failures and their table from one list, so that none can lack its row.
macro_rules! failures {
    ($($(#[doc = $doc:literal])* $name:ident: $status:ident, $code:literal, $hop:ident, $again:ident, $title:literal;)*) => {
        /// Why a visitor gets an answer from Petit instead of one from a service.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Failure {
            $($(#[doc = $doc])* $name,)*
        }

        impl Failure {
            /// All of them, in the order of their statuses.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$name),*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$name => Row {
                        status: StatusCode::$status,
                        code: $code,
                        hop: FailedHop::$hop,
                        again: Again::$again,
                        title: $title,
                    },)*
                }
            }
        }
    };
}

failures! {
    /// The request's head is not one that can be passed on.
    BadRequest: BAD_REQUEST, "bad-request", Request, Final, "The request is not valid.";
    /// Host missing, twice, malformed, or not the one that was asked for elsewhere in the request.
    BadHost: BAD_REQUEST, "bad-host", Request, Final, "The request does not name exactly one valid host.";
    /// The host is one, but with a port that visitors do not come in by.
    BadPort: BAD_REQUEST, "bad-port", Request, Final, "The request names a port that this server is not reached on.";
    /// A header field that only a proxy's own side may set, or with a name that servers read differently.
    BadField: BAD_REQUEST, "bad-field", Request, Final, "A header field's name has _ in it, or Connection lists a field that has to stay.";
    /// The service's policy asks for a key, and none was shown.
    KeyRequired: UNAUTHORIZED, "key-required", Server, Final, "This service asks for a key in the field Petit-Key.";
    /// The key is not known, or its secret is another one.
    KeyRefused: UNAUTHORIZED, "key-refused", Server, Final, "The key in the field Petit-Key is not one for this service.";
    /// The service's policy does not let in this address.
    AddressNotAllowed: FORBIDDEN, "address-not-allowed", Server, Final, "This service is not open to the address that the request comes from.";
    /// No service has this name.
    Unknown: NOT_FOUND, "unknown-service", Server, Final, "No service has this name.";
    /// A method that is not passed on.
    Method: METHOD_NOT_ALLOWED, "method", Request, Final, "This method is not passed on.";
    /// The body came too slowly.
    SlowBody: REQUEST_TIMEOUT, "slow-body", Request, Retry, "The request's body came too slowly.";
    /// The body is longer than the service takes.
    BodyTooLong: PAYLOAD_TOO_LARGE, "body-too-long", Request, Final, "The request's body is longer than the service takes.";
    /// The path and query are too long.
    TargetTooLong: URI_TOO_LONG, "target-too-long", Request, Final, "The request's path and query are too long.";
    /// An expectation other than `100-continue`.
    Expectation: EXPECTATION_FAILED, "expectation", Request, Final, "Only 100-continue can be expected.";
    /// A host that this server is not responsible for, or a name under another certificate.
    Misdirected: MISDIRECTED_REQUEST, "misdirected", Server, Final, "This server does not serve that host.";
    /// The service does not speak HTTP; it has a port of its own.
    NotHttp: MISDIRECTED_REQUEST, "not-http", Server, Final, "This service is reached on a TCP port of its own.";
    /// More requests than the operator allows for this service, or for this visitor of it.
    TooMany: TOO_MANY_REQUESTS, "too-many-requests", Server, Retry, "There are more requests for this service than its operator allows.";
    /// The request's head is too large, or has too many fields.
    HeadTooLarge: REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", Request, Final, "The request's header is too large.";
    /// A fault of Petit's own.
    Internal: INTERNAL_SERVER_ERROR, "internal", Server, Final, "The server failed to handle the request.";
    /// A transfer coding other than `chunked`.
    TransferCoding: NOT_IMPLEMENTED, "transfer-coding", Request, Final, "Only the transfer coding chunked is passed on.";
    /// Nothing listens where the service should be.
    ServiceDown: BAD_GATEWAY, "service-down", Service, Retry, "The client is connected, but nothing answers where the service should be.";
    /// The service could not be connected to.
    ServiceUnreachable: BAD_GATEWAY, "service-unreachable", Service, Retry, "The client is connected, but cannot reach the service.";
    /// The service closed the connection before it had answered.
    ServiceBroke: BAD_GATEWAY, "service-broke", Service, Final, "The service closed the connection before it had answered.";
    /// The service answered with something that is not HTTP.
    ServiceInvalid: BAD_GATEWAY, "service-invalid", Service, Final, "The service's answer is not valid HTTP.";
    /// The service's TLS is not what its owner has set up.
    ServiceTls: BAD_GATEWAY, "service-tls", Service, Final, "The client is connected, but the service's TLS is not what was set up there.";
    /// The connection between server and client broke after the request may have started.
    TunnelLost: BAD_GATEWAY, "tunnel-lost", Tunnel, Final, "The connection to the client broke while the request was under way.";
    /// The customer's client is not connected.
    Away: SERVICE_UNAVAILABLE, "client-away", Client, Retry, "The customer's client is not connected.";
    /// The operator of this server keeps the client out for the time being.
    Suspended: SERVICE_UNAVAILABLE, "client-suspended", Server, Final, "The operator of this server has suspended the customer's client.";
    /// The client is connected but does not offer this service at the moment.
    NotOffered: SERVICE_UNAVAILABLE, "not-offered", Client, Retry, "The customer's client does not offer this service at the moment.";
    /// The client has stopped offering this service, and the request may have started.
    Withdrawn: SERVICE_UNAVAILABLE, "service-withdrawn", Client, Final, "The request may have started, and the customer's client offers this service no longer.";
    /// No room on the way.
    Busy: SERVICE_UNAVAILABLE, "busy", Server, Retry, "There is no room at the moment.";
    /// There was room, and others with less needed it. The request may have started.
    GaveWay: SERVICE_UNAVAILABLE, "gave-way", Server, Final, "The request may have started, and was ended for others: too much came from one side.";
    /// This server ends, and does not wait any longer for what is under way.
    Cut: SERVICE_UNAVAILABLE, "cut", Server, Final, "The request may have started, and was cut off because the server stops.";
    /// The service has not answered in time.
    ServiceSilent: GATEWAY_TIMEOUT, "service-silent", Service, Final, "The service has not answered in time.";
    /// The request has been here before.
    Loop: LOOP_DETECTED, "loop", Service, Final, "The service leads back to this server.";
}

impl Failure {
    /// What a visitor is told, in words.
    pub fn title(self) -> &'static str {
        self.row().title
    }

    /// True when trying again makes sense, without anything having been changed.
    pub fn should_retry(self) -> bool {
        self.row().again == Again::Retry
    }

    /// The status a visitor gets.
    pub fn status(self) -> StatusCode {
        self.row().status
    }

    /// The value of the `Petit-Error` field.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// Where it failed.
    pub fn hop(self) -> FailedHop {
        self.row().hop
    }

    /// What a stream's end means for the request that was on it.
    pub(super) fn of_stream_outcome(outcome: &StreamOutcome) -> Self {
        match outcome.reset_code() {
            Some(ResetCode::ServiceRefused) => Self::ServiceDown,
            Some(ResetCode::ServiceUnreachable) => Self::ServiceUnreachable,
            Some(ResetCode::ServiceTls) => Self::ServiceTls,
            Some(ResetCode::ServiceUnknown) => Self::NotOffered,
            Some(ResetCode::Refused) => Self::Away,
            Some(ResetCode::ServiceBroke) => Self::ServiceBroke,
            Some(ResetCode::NoRoom) => Self::Busy,
            Some(ResetCode::Internal) => Self::TunnelLost,
            None if outcome.was_cut() => Self::Cut,
            None if outcome.was_lost() => Self::TunnelLost,
            None if outcome.was_given_up() => Self::GaveWay,
            // The agent has finished: the service closed.
            Some(ResetCode::Cancelled) | None => Self::ServiceBroke,
        }
    }
}

impl Failure {
    /// What it means that an answer broke, or an upload behind it, on this stream.
    pub(super) fn of_broken(outcome: &StreamOutcome) -> Self {
        if outcome.was_cut() {
            Self::Cut
        } else if outcome.was_lost() {
            Self::TunnelLost
        } else if outcome.reset_code().is_none() && outcome.was_given_up() {
            Self::GaveWay
        } else {
            Self::ServiceBroke
        }
    }

    /// What a stream's end means for the request that was on it and got no answer, behind so many bytes of earlier ones:
    /// nobody is told to try again what may have started.
    pub(super) fn of_unanswered(outcome: &StreamOutcome, before: u64) -> Self {
        let failure = Self::of_stream_outcome(outcome);
        if !failure.should_retry() || outcome.delivered().is_none_or(|delivered| delivered <= before) {
            return failure;
        }
        if failure == Self::NotOffered {
            Self::Withdrawn
        } else if failure == Self::Busy {
            Self::GaveWay
        } else {
            Self::ServiceBroke
        }
    }
}

/// What a visitor is told of a service that its client does not reach.
impl From<ServiceCause> for Failure {
    fn from(cause: ServiceCause) -> Self {
        match cause {
            ServiceCause::Refused => Self::ServiceDown,
            ServiceCause::Unreachable | ServiceCause::NameNotFound | ServiceCause::Forbidden => {
                Self::ServiceUnreachable
            }
            ServiceCause::NotTls | ServiceCause::Untrusted => Self::ServiceTls,
            ServiceCause::NoAnswer => Self::ServiceBroke,
            ServiceCause::NotHttp => Self::ServiceInvalid,
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Closed | OpenError::Leaving => Self::Away,
            OpenError::TooMany | OpenError::Congested => Self::Busy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_in_the_order_of_their_statuses_and_no_two_have_one_code() {
        assert!(Failure::ALL.is_sorted_by_key(|failure| failure.status().as_u16()));
        let mut codes = Failure::ALL.map(Failure::code).to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Failure::ALL.len(), "no code twice");
    }
}
