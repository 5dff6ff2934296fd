//! What was found where a service is or may be: who listens, and what answers, in words.

use std::time::Duration;

use petit_engine::cause::ServiceCause;
use petit_engine::name::ServerAddr;

use super::contract::{Listening, ServiceKind, Tone, Tried, Words};
use super::texts::Texts;
use super::words;
use crate::listening::{Found, TargetAnswer};

/// The key of what an HTTP status says to somebody who does not know the numbers.
fn answered(of: &str, status: u16) -> String {
    let what = match status {
        401 | 403 => "http.locked",
        404 | 410 => "http.not_found",
        500.. => "http.failed",
        _ => "http",
    };
    format!("{of}.{what}")
}

fn millis(took: Duration) -> String {
    took.as_millis().max(1).to_string()
}

/// A program that listens, in words. It is called what it calls itself; who has started it stands beside that.
pub(crate) fn listening(texts: &Texts, found: Found) -> Listening {
    let usual = found.is_usual();
    let (said, kind) = match found.answer {
        Some(TargetAnswer::Http { status, took }) => {
            (texts.fill(&answered("service.found", status), &[("ms", &millis(took))]), ServiceKind::Http)
        }
        _ => (String::new(), ServiceKind::Tcp),
    };
    let of_program = [found.title, found.application].into_iter().flatten().next();
    let (program, process) = match of_program {
        Some(name) if name != found.process => (name, found.process),
        _ => (found.process, String::new()),
    };
    Listening { target: found.target.to_string(), program, process, found: said, kind, usual }
}

/// What a target was found to be, in words.
pub(crate) fn tried(
    texts: &Texts,
    target: &ServerAddr,
    kind: ServiceKind,
    found: Result<TargetAnswer, ServiceCause>,
) -> Tried {
    let good = |what: String| Tried { tone: Tone::Good, words: Words { what, todo: String::new() } };
    match found {
        Err(cause) => Tried { tone: Tone::Bad, words: words::service(texts, cause, &target.to_string()) },
        Ok(TargetAnswer::Http { status, took }) => {
            let said = answered("service.tried", status);
            let what = texts.fill(&said, &[("ms", &millis(took))]);
            // Only what leaves a doubt says what to do about it.
            match said.as_str() {
                "service.tried.http.failed" | "service.tried.http.not_found" => {
                    let todo = texts.get(&format!("{said}.todo"));
                    Tried { tone: Tone::Warn, words: Words { what, todo } }
                }
                _ => good(what),
            }
        }
        Ok(TargetAnswer::Open { took } | TargetAnswer::Other { took } | TargetAnswer::Silent { took })
            if kind == ServiceKind::Tcp =>
        {
            good(texts.fill("service.tried.open", &[("ms", &millis(took))]))
        }
        Ok(TargetAnswer::Silent { took }) => {
            let seconds = took.as_secs().max(1).to_string();
            Tried { tone: Tone::Warn, words: words::words(texts, "service.tried.silent", &[("s", &seconds)]) }
        }
        Ok(TargetAnswer::Open { .. } | TargetAnswer::Other { .. }) => {
            Tried { tone: Tone::Warn, words: words::words(texts, "service.tried.not_http", &[]) }
        }
    }
}
