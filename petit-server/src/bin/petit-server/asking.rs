//! Commands that are requests to a server, running or not: each asks, and says what came of it.

use petit_engine::name::{Alias, DeviceId, RegisteredId, Tag};
use petit_host::cli::{self, Failure, HEALTH_LIMIT, HealthCheck};
use petit_host::exit::ExitCode;
use petit_host::logs::Level;
use petit_host::terminal::{self, Ask};
use petit_server::api::{
    AddAlias, ClientView, ExplainUrl, GetReadiness, GetStatus, KickClient, LabelClient, ListAliases,
    ListClients, ListInvites, MakeInvite, Ping, PolicyLost, RemoveAlias, ResumeClient, RevokeClient,
    SetLogLevel, ShowClient, SupposedVisitor, SuspendClient, WithdrawInvite,
};
use petit_server::folder::Folder;
use petit_server::registry::LabelEdit;
use serde::Serialize;

use super::ask::{AdminAccess, Running};
use super::common::load;
use super::rollout::{self, RolloutVerb};
use super::show_invites::QrShown;
use super::{explain, health, refusals, show, show_invites, socket_unit};

/// Whom is asked, and in which form the answer is printed.
pub(crate) struct Asking<'a> {
    running: Running,
    either: AdminAccess<'a>,
    folder: &'a Folder,
    json: bool,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(json: bool, folder: &'a Folder) -> Self {
        Self { running: Running::new(folder), either: AdminAccess::new(folder), folder, json }
    }

    fn say(&self, text: &str, answer: &impl Serialize) {
        cli::say(self.json, text, answer);
    }

    pub(crate) async fn log(&self, level: Level) -> Result<(), Failure> {
        let answer = self.running.ask(&SetLogLevel { level }).await?;
        let text = format!("The server logs at {level} until its config changes or it is restarted.");
        self.say(&text, &answer);
        Ok(())
    }

    pub(crate) async fn rollout(&self, verb: &RolloutVerb) -> Result<(), Failure> {
        let status = rollout::rollout(&self.running, verb).await?;
        self.say(&rollout::shown(&status), &status);
        Ok(())
    }

    pub(crate) async fn status(&self) -> Result<(), Failure> {
        let status = self.running.ask(&GetStatus).await?;
        let mut text = show::status(&status);
        // What the config says, which may not be in force, is no matter here.
        let config = load(&self.folder.config).ok();
        if let Some(note) = config.and_then(|config| socket_unit::disagreement(self.folder, &config)) {
            text.push_str(&format!("\nnote: {note}"));
        }
        self.say(&text, &status);
        Ok(())
    }

    pub(crate) async fn health(&self, check: HealthCheck) -> Result<(), Failure> {
        let late = || {
            let limit = HEALTH_LIMIT.as_secs();
            Failure::new(ExitCode::Failed, format!("the server has not answered within {limit} s"))
        };
        match check {
            HealthCheck::Live => {
                let pong = cli::health(self.running.ask(&Ping), late).await?;
                self.say("The server is alive.", &pong);
            }
            HealthCheck::Ready => {
                let readiness = cli::health(self.running.ask(&GetReadiness), late).await?;
                if let Some(why) = readiness.not_ready {
                    let text = format!("the server is not ready: {}", health::not_ready(why));
                    return Err(Failure::new(ExitCode::Failed, text));
                }
                self.say("The server is ready for visitors and clients.", &readiness);
            }
        }
        Ok(())
    }

    pub(crate) async fn client(&self, name: &str) -> Result<(), Failure> {
        let client = self.either.ask(&ShowClient { name: name.to_owned() }).await?;
        self.say(&show::client(&client), &client);
        Ok(())
    }

    /// Those that `is_wanted` says.
    pub(crate) async fn clients(&self, is_wanted: impl Fn(&ClientView) -> bool) -> Result<(), Failure> {
        let mut list = self.either.ask(&ListClients).await?;
        let all = list.clients.len();
        list.clients.retain(is_wanted);
        self.say(&show::clients(&list.clients, all), &list);
        Ok(())
    }

    /// Changes a client's tags or note.
    pub(crate) async fn label(&self, name: &str, edit: LabelEdit) -> Result<(), Failure> {
        // What it has not cannot be taken from it: that is said beside how it is now.
        let before = match edit.remove.is_empty() {
            true => None,
            false => Some(self.either.ask(&ShowClient { name: name.to_owned() }).await?.tags),
        };
        let had_not: Vec<Tag> = before.map_or_else(Vec::new, |tags| {
            edit.remove.iter().filter(|tag| !tags.contains(*tag)).cloned().collect()
        });
        let labelled = self.either.ask(&LabelClient { name: name.to_owned(), edit }).await?;
        let had_not = match had_not.as_slice() {
            [] => String::new(),
            tags => format!("\nIt did not have: {}.", show::joined(tags)),
        };
        self.say(&format!("{}{had_not}", show::labelled(&labelled)), &labelled);
        Ok(())
    }

    pub(crate) async fn suspend(&self, name: &str) -> Result<(), Failure> {
        let answer = self.either.ask(&SuspendClient { name: name.to_owned() }).await?;
        let client = answer.client;
        let text = format!(
            "{client} is suspended: it stays registered and is not let in. Let it in again with: petit-server clients resume {client}"
        );
        self.say(&text, &answer);
        Ok(())
    }

    pub(crate) async fn resume(&self, name: &str) -> Result<(), Failure> {
        let answer = self.either.ask(&ResumeClient { name: name.to_owned() }).await?;
        self.say(
            &format!("{} is let in, and comes within half a minute where it runs.", answer.client),
            &answer,
        );
        Ok(())
    }

    pub(crate) async fn kick(&self, name: &str) -> Result<(), Failure> {
        let answer = self.either.ask(&KickClient { name: name.to_owned() }).await?;
        let client = answer.client;
        let text = match answer.sessions {
            0 => format!("{client} is not connected: there was nothing to end."),
            _ => format!("The connection of {client} is ended; it comes back by itself."),
        };
        self.say(&text, &answer);
        Ok(())
    }

    pub(crate) async fn revoke(&self, id: &str, confirmation: Ask) -> Result<(), Failure> {
        // What is not there is not asked about: the request itself says what is wrong.
        if id.parse::<DeviceId>().is_ok() {
            let known = self.either.ask(&ShowClient { name: id.to_owned() }).await?;
            if known.is_registered() {
                let what =
                    format!("this ends the registration of client {id} and its public addresses for good");
                terminal::confirm(confirmation, self.json, &what)?;
            }
        }
        let answer = self.either.ask(&RevokeClient { id: id.to_owned() }).await?;
        let text = format!(
            "{id} is revoked. It cannot come back with its old key; make an invite to register it anew."
        );
        self.say(&text, &answer);
        Ok(())
    }

    pub(crate) async fn add_alias(&self, wanted: &AddAlias) -> Result<(), Failure> {
        let answer = self.either.ask(wanted).await?;
        let missing = show::without_certificate(answer.without_certificate.as_ref());
        let ports = refusals::changes(&answer.ports);
        self.say(&format!("{} leads to {}.{missing}{ports}", answer.url, answer.id), &answer);
        Ok(())
    }

    pub(crate) async fn remove_alias(
        &self,
        id: RegisteredId,
        alias: &Alias,
        confirmation: Ask,
    ) -> Result<(), Failure> {
        let all = self.either.ask(&ListAliases).await?;
        if all.aliases.iter().any(|known| known.id == id && known.alias == *alias) {
            let what = format!("{alias} leads nowhere then, and no other client can have it for 90 days");
            terminal::confirm(confirmation, self.json, &what)?;
        }
        let answer = self.either.ask(&RemoveAlias { id, alias: alias.clone() }).await?;
        let mut text = format!("{alias} no longer leads to {id}. Other clients cannot have it for 90 days.");
        if let Some(PolicyLost { before, now, is_open }) = &answer.policy {
            let now = match now {
                Some(now) => format!("it has the policy {now} now"),
                None => "it has no policy now".to_owned(),
            };
            text.push_str(&format!("\nThe service had the policy {before} by this alias; {now}."));
            if *is_open {
                text.push_str(" It is open to anybody who knows its name.");
            }
        }
        text.push_str(&refusals::changes(&answer.ports));
        self.say(&text, &answer);
        Ok(())
    }

    pub(crate) async fn aliases(&self) -> Result<(), Failure> {
        let list = self.either.ask(&ListAliases).await?;
        self.say(&show::aliases(&list), &list);
        Ok(())
    }

    pub(crate) async fn explain(&self, url: &str, visitor: SupposedVisitor) -> Result<(), Failure> {
        let explained = self.either.ask(&ExplainUrl { url: url.to_owned(), visitor }).await?;
        self.say(&explain::explain(&explained), &explained);
        Ok(())
    }

    /// Those that have all of these tags.
    pub(crate) async fn invites(&self, tags: &[Tag]) -> Result<(), Failure> {
        let mut list = self.either.ask(&ListInvites).await?;
        let all = list.invites.len();
        list.invites.retain(|invite| tags.iter().all(|tag| invite.tags.contains(tag)));
        self.say(&show_invites::invites(&list, all), &list);
        Ok(())
    }

    pub(crate) async fn withdraw(&self, id: &str) -> Result<(), Failure> {
        let answer = self.either.ask(&WithdrawInvite { id: id.to_owned() }).await?;
        self.say(&format!("Invite {id} can no longer be used."), &answer);
        Ok(())
    }

    pub(crate) async fn invite(&self, wanted: &MakeInvite, qr: QrShown) -> Result<(), Failure> {
        let invite = self.either.ask(wanted).await?;
        self.say(&show_invites::invite(&invite, qr), &invite);
        Ok(())
    }
}
