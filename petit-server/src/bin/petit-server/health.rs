//! How a service, and the server itself, is, in the operator's words.

use petit_engine::cause::{Health, ServiceCause};
use petit_server::api::NotReady;

/// How a service is, by what its client has found.
pub(crate) fn said(health: Health) -> String {
    match health {
        Health::Up => "up".to_owned(),
        Health::Untried => "not tried yet".to_owned(),
        Health::Down(cause) => format!("down: {}", down(cause)),
    }
}

/// Why it is down.
fn down(cause: ServiceCause) -> &'static str {
    match cause {
        ServiceCause::Refused => "nothing listens there",
        ServiceCause::Unreachable => "not reachable",
        ServiceCause::NameNotFound => "its host name is not known",
        ServiceCause::Forbidden => "its host name leads to an address that no service has",
        ServiceCause::NotTls => "it does not speak TLS",
        ServiceCause::Untrusted => "its certificate is not trusted there",
        ServiceCause::NoAnswer => "it takes requests and gives no answer",
        ServiceCause::NotHttp => "it does not speak the protocol that was set up",
    }
}

/// Why a server is not ready, as the end of a sentence.
pub(crate) fn not_ready(why: NotReady) -> String {
    match why {
        NotReady::Stopping => "it is stopping, and finishes what is under way".to_owned(),
        NotReady::Listener { address } => format!("its own socket {address} does not take requests"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_cause_for_which_a_service_is_down_has_words_of_its_own() {
        let causes = [
            ServiceCause::Refused,
            ServiceCause::Unreachable,
            ServiceCause::NameNotFound,
            ServiceCause::Forbidden,
            ServiceCause::NotTls,
            ServiceCause::Untrusted,
            ServiceCause::NoAnswer,
            ServiceCause::NotHttp,
        ];
        let words: BTreeSet<String> = causes.iter().map(|cause| said(Health::Down(*cause))).collect();
        assert_eq!(words.len(), causes.len(), "{words:?}");
        assert!(words.iter().all(|words| words.starts_with("down: ")), "{words:?}");
        assert_eq!(said(Health::Down(ServiceCause::Untrusted)), "down: its certificate is not trusted there");
    }
}
