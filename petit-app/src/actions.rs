//! Changing the config file: by the form, by its text, service by service; and taking a change back when the client
//! does not come online with it.

use std::time::Duration;

use petit_client::config::change;
use petit_client::status::Light;
use petit_engine::name::ServiceName;

use super::contract::{Applied, Diff, Form, FormService, Refused, Settings, StateKind, Words};
use super::controller::Intent;
use super::handle::App;
use super::link::LinkError;
use super::refusal::refused;
use super::{form, mistakes, settings, words};

/// How long a client that was online may take to be online with new settings.
const SETTLE: Duration = Duration::from_secs(15);
/// How long it has to stay online before that counts: what breaks by new settings breaks a moment later.
const HOLD: Duration = Duration::from_secs(2);

impl App {
    fn config_text(&self) -> Result<String, Refused> {
        match std::fs::read_to_string(&self.folder.config) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(petit_client::config::template())
            }
            Err(error) => Err(words::failed(&self.now().texts, &error)),
        }
    }

    /// The config file as text and form.
    ///
    /// # Errors
    /// [`Refused`] when it cannot be read.
    pub fn settings(&self) -> Result<Settings, Refused> {
        let texts = self.now().texts.clone();
        Ok(settings::settings(&texts, &self.folder.config, &self.config_text()?, &self.first_service()))
    }

    /// A text with the form's values put in; without a form it is only read.
    ///
    /// # Errors
    /// [`Refused`] when it cannot be edited field by field.
    pub fn fill_settings(&self, text: &str, form: Option<&Form>) -> Result<Settings, Refused> {
        let (texts, first) = (self.now().texts.clone(), self.first_service());
        let filled = match form {
            Some(form) => form::fill(text, form, &first).map_err(|_| self.refused("form"))?,
            None => text.to_owned(),
        };
        Ok(settings::settings(&texts, &self.folder.config, &filled, &first))
    }

    /// What applying a text would change.
    ///
    /// # Errors
    /// [`Refused`] when the file cannot be read.
    pub fn diff_settings(&self, text: &str) -> Result<Diff, Refused> {
        Ok(settings::diff(&self.now().texts, &self.folder.config, &self.config_text()?, text))
    }

    /// Puts a text into the config file and in force. When the client was online and is not any more, the former
    /// text is put back.
    ///
    /// # Errors
    /// [`Refused`] when the file cannot be written.
    pub async fn apply_settings(&self, text: &str) -> Result<Applied, Refused> {
        let texts = self.now().texts.clone();
        let applied = |done, rolled_back, key: &str| Applied {
            done,
            rolled_back,
            words: words::words(&texts, &format!("problem.{key}"), &[]),
        };
        if !mistakes::problems(&texts, &self.folder.config, text).is_empty() {
            return Ok(applied(false, false, "applied.invalid"));
        }
        let before = self.config_text()?;
        // A text field of the window knows one kind of line end.
        let text = petit_client::config::edit::with_line_ends_of(&before, text);
        let text = text.as_str();
        if before == text && self.folder.config.exists() {
            return Ok(applied(true, false, "applied.same"));
        }
        let was_online = self.now().view.state.kind == StateKind::Online;
        self.write_config(text).await?;
        let link = self.link().ok();
        let Some(link) = link else { return Ok(applied(true, false, "applied.saved")) };
        let works = match link.reload().await {
            // Whoever holds the connection has ended in between; the next one reads the file.
            Ok(()) | Err(LinkError::Gone) => !was_online || self.comes_online().await,
            Err(error) => {
                tracing::warn!(%error, "the new settings were not taken");
                false
            }
        };
        if works {
            return Ok(applied(true, false, if was_online { "applied" } else { "applied.saved" }));
        }
        tracing::warn!("not online with the new settings; the former ones are put back");
        self.write_config(&before).await?;
        if let Err(error) = link.reload().await {
            tracing::error!(%error, "the former settings were not taken");
        }
        Ok(applied(false, true, "applied.rolled_back"))
    }

    /// True when the client is online, or stays so, with every service known to the server.
    async fn comes_online(&self) -> bool {
        tokio::time::sleep(HOLD).await;
        let mut shown = self.shown();
        let settled = shown.wait_for(|shown| {
            let known =
                |service: &super::contract::Service| service.url.is_some() || service.light == Light::Red;
            shown.view.state.kind == StateKind::Online && shown.view.services.iter().all(known)
        });
        let settled = tokio::time::timeout(SETTLE, settled).await.is_ok_and(|settled| settled.is_ok());
        settled || self.now().view.state.kind == StateKind::Online
    }

    /// Writes the config file, keeping the one before, while no other program of ours does.
    pub(crate) async fn write_config(&self, text: &str) -> Result<(), Refused> {
        let texts = self.now().texts.clone();
        let failed = |error: &(dyn std::error::Error + 'static)| {
            words::refused(&texts, "read_only", &[("why", &petit_host::cli::chain(error))])
        };
        let _alone = change::alone(&self.folder).await.map_err(|_| words::refused(&texts, "held", &[]))?;
        change::put(&self.folder, text).map_err(|error| failed(&error))?;
        self.tell(Intent::FilesChanged).await;
        Ok(())
    }

    /// Adds a service, or changes the one called `before`.
    ///
    /// # Errors
    /// [`Refused`], with the field that is wrong.
    pub async fn set_service(&self, before: Option<&str>, service: FormService) -> Result<(), Refused> {
        let texts = self.now().texts.clone();
        let (name, kind, target) =
            form::check_service(&service).map_err(|(field, why)| words::invalid(&texts, field, &why))?;
        let scheme = if form::is_tls(&service.target) { "https://" } else { "" };
        let service = FormService { name: name.to_string(), kind, target: format!("{scheme}{target}") };
        let (text, mut form) = self.text_and_form()?;
        let services = &mut form.services;
        let taken = services.iter().any(|known| known.name == service.name && before != Some(&known.name));
        if taken {
            return Err(words::refused(&texts, "exists", &[]).field("name"));
        }
        match before {
            None => services.push(service),
            Some(before) => match services.iter_mut().find(|known| known.name == before) {
                Some(known) => *known = service,
                None => return Err(words::refused(&texts, "no_service", &[])),
            },
        }
        self.put_form(&text, &form).await
    }

    /// Takes a service out; with `give_back` its public address is given up too.
    ///
    /// # Errors
    /// [`Refused`]; with `give_back` and code `offline` nothing was changed.
    pub async fn remove_service(&self, name: &str, give_back: bool) -> Result<(), Refused> {
        let texts = self.now().texts.clone();
        let parsed: ServiceName = name.parse().map_err(|_| words::refused(&texts, "no_service", &[]))?;
        if give_back && self.now().view.state.kind != StateKind::Online {
            return Err(words::refused(&texts, "offline", &[]));
        }
        let (text, mut form) = self.text_and_form()?;
        let count = form.services.len();
        form.services.retain(|service| service.name != name);
        if form.services.len() == count {
            return Err(words::refused(&texts, "no_service", &[]));
        }
        self.put_form(&text, &form).await?;
        if give_back {
            let link = self.link()?;
            link.remove(parsed).await.map_err(|error| refused(&texts, error))?;
        }
        Ok(())
    }

    fn text_and_form(&self) -> Result<(String, Form), Refused> {
        let Settings { text, form, .. } = self.settings()?;
        Ok((text, form.ok_or_else(|| self.refused("form"))?))
    }

    async fn put_form(&self, text: &str, form: &Form) -> Result<(), Refused> {
        let filled = self.fill_settings(text, Some(form))?;
        if let Some(problem) = filled.problems.first() {
            let words = Words { what: problem.message.clone(), todo: String::new() };
            return Err(Refused::new("config", words));
        }
        self.write_config(&filled.text).await?;
        if let Ok(link) = self.link() {
            match link.reload().await {
                Ok(()) | Err(LinkError::Gone) => {}
                Err(error) => return Err(refused(&self.now().texts, error)),
            }
        }
        Ok(())
    }
}
