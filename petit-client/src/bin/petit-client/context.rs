//! What every command needs: the folder, the language, and words for what goes wrong.

use std::fmt::Display;
use std::time::Duration;

use petit_client::api::{LocalClient, LocalError};
use petit_client::folder::{Folder, NAME};
use petit_client::messages::{self, Advice, Message};
use petit_client::registration;
use petit_client::texts::{self, Texts};
use petit_engine::agent::AskError;
use petit_host::cli::{self, Failure};
use petit_host::config::{FoundBy, Place};
use petit_host::control::client::CallError;
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::lock::Lock;
use petit_host::service;
use serde::Serialize;

/// Name of this program in hints.
pub(crate) const PROGRAM: &str = "petit-client";

/// What every command needs.
pub(crate) struct Context {
    pub(crate) json: bool,
    /// What is said to people; English with JSON.
    pub(crate) texts: Texts,
    pub(crate) folder: Folder,
    /// Where the config file is, and who has said so.
    pub(crate) place: Place,
}

impl Context {
    pub(crate) fn say(&self, text: &str, value: &impl Serialize) {
        cli::say(self.json, text, &serde_json::to_value(value).unwrap_or_default());
    }

    /// The client that runs, if one does.
    pub(crate) fn client(&self) -> LocalClient {
        LocalClient::of(&self.folder)
    }

    /// A failure in words of the catalogue.
    pub(crate) fn failed(&self, exit: ExitCode, key: &str, values: &[(&str, &dyn Display)]) -> Failure {
        Failure::new(exit, self.texts.format(key, values))
    }

    /// What to do next, in words of the catalogue.
    pub(crate) fn hint(&self, key: &str) -> String {
        self.texts.get(key)
    }

    /// What is the matter and what to type.
    pub(crate) fn said(&self, exit: ExitCode, message: &Message) -> Failure {
        let Advice { what, todo } = message.advice(&self.texts);
        let failure = Failure::new(exit, what);
        if todo.is_empty() { failure } else { failure.hint(todo) }
    }

    /// What is said where a config file that somebody has named is not there.
    pub(crate) fn leads_nowhere(&self) -> Failure {
        let hint = match self.place.found_by {
            FoundBy::Option | FoundBy::Service | FoundBy::Default => "cli.no_config_there.hint",
            FoundBy::Environment => "cli.no_config_there.hint.environment",
        };
        self.failed(ExitCode::Failed, "cli.no_config_there", &[("path", &self.place.path.display())])
            .hint(self.hint(hint))
    }

    /// True where the user's own service manager runs the client of this folder.
    pub(crate) fn is_users_service(&self) -> bool {
        let is_users = self.place.found_by == FoundBy::Default && !files::is_root();
        is_users && service::is_enabled_by_user(NAME)
    }

    /// How long ago something was.
    pub(crate) fn ago(&self, duration: Duration) -> String {
        texts::ago(&self.texts, duration)
    }

    /// What the running client has answered; `None` when none runs.
    pub(crate) fn if_running<A>(&self, answer: Result<A, LocalError>) -> Result<Option<A>, Failure> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(LocalError::Call(CallError::NotRunning)) => match Lock::holder(&self.folder.lock()) {
                // It may well run and not answer: then it holds its lock.
                Some(holder) => Err(self.unanswering(holder.pid)),
                None => Ok(None),
            },
            Err(error) => Err(self.failure(error)),
        }
    }

    /// Why a running client gave no answer. When none runs, the hint is the first thing to do, not the last.
    pub(crate) fn failure(&self, error: LocalError) -> Failure {
        match error {
            LocalError::OtherVersion(why) => self
                .failed(ExitCode::Failed, "cli.other_version", &[("why", &why)])
                .hint(self.hint("cli.restart_it")),
            LocalError::Call(CallError::NotRunning) => {
                let is_registered = registration::load(&self.folder).is_ok_and(|known| known.is_some());
                if !is_registered {
                    return self.not_running("cli.not_running.unregistered");
                }
                // It may well run and not answer: then it holds its lock.
                match Lock::holder(&self.folder.lock()) {
                    Some(holder) => self.unanswering(holder.pid),
                    None => self.not_running("cli.not_running.hint"),
                }
            }
            LocalError::Call(error) => self.call_failure(error),
        }
    }

    fn not_running(&self, hint: &str) -> Failure {
        self.failed(ExitCode::NotRunning, "cli.not_running", &[]).hint(self.hint(hint))
    }

    /// Why a call came to nothing, wherever it was made.
    pub(crate) fn call_failure(&self, error: CallError) -> Failure {
        match error {
            CallError::NotRunning => self.not_running("cli.not_running.hint"),
            CallError::Refused(problem) => {
                // What the client refuses every day has words in every language.
                let message = match problem.code.as_str() {
                    "offline" => Some(messages::asked(AskError::Offline)),
                    "unanswered" => Some(messages::asked(AskError::Unanswered)),
                    _ => None,
                };
                let is_english = self.texts.lang() == "en";
                match message.filter(|_| !is_english) {
                    Some(message) => self.said(ExitCode::Failed, &message),
                    None => Failure::of_call(CallError::Refused(problem), PROGRAM),
                }
            }
            CallError::NotAllowed { path } => self
                .failed(ExitCode::Failed, "cli.not_allowed", &[("path", &path.display())])
                .hint(self.hint("cli.not_allowed.hint")),
            CallError::Broken(_) => Failure::of(&error).hint(self.hint("cli.no_answer.hint")),
        }
    }

    /// A client runs, but its control socket is gone, or nobody answers there.
    pub(crate) fn unanswering(&self, pid: Option<u32>) -> Failure {
        let lock = self.folder.lock();
        let end = cli::how_to_end(&lock, pid);
        let hint = match &end {
            Some(end) => self.texts.format("cli.unanswering.hint.how", &[("end", end)]),
            None => self.texts.get("cli.unanswering.hint"),
        };
        let failure = match pid.filter(|_| !service::is_in_state_folder(&lock)) {
            Some(pid) => self.failed(ExitCode::Failed, "cli.unanswering.pid", &[("pid", &pid)]),
            None => self.failed(ExitCode::Failed, "cli.unanswering", &[]),
        };
        failure.hint(hint)
    }
}
