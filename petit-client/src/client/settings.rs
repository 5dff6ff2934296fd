//! The settings of a running client: read anew, taken over, and shown as they are in force.

use petit_engine::name::ServiceName;
use petit_engine::proto::control::Text;
use petit_host::cli::chain;
use petit_host::logs::Level;
use petit_host::settings::SettingsInForce;
use petit_host::watch::FileWatch;

use super::given::dial_with;
use super::inner::Inner;
use super::{Client, publish};
use crate::config::shown::{self, TakenBy, Takes};
use crate::config::{self, Config, ConfigError};
use crate::{dial_route, enrol, registration};

impl Client {
    /// Reads the config file again and puts all of it in force, also where [`Client::log`] has said otherwise since. A
    /// file with a mistake changes nothing and is reported in the status.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn reload(&self) -> Result<(), ConfigError> {
        self.read_config().await?;
        if let Some(level) = &self.shared.level {
            level.set(self.shared.inner.lock().await.config.log_level);
        }
        Ok(())
    }

    async fn read_config(&self) -> Result<(), ConfigError> {
        let path = self.shared.folder.config.clone();
        let loaded = config::load(&path).map(|(config, _)| config);
        let applied = self.apply(loaded).await;
        if matches!(applied, Err(ConfigError::Missing { .. })) {
            self.shared.config_missing.notify_one();
        }
        applied
    }

    /// The settings that are ignored while the registration is in force.
    pub async fn notes(&self) -> Vec<String> {
        let inner = self.shared.inner.lock().await;
        let registration = inner.registration.as_ref();
        registration.map(|registration| registration::notes(&inner.config, registration)).unwrap_or_default()
    }

    async fn apply(&self, config: Result<Config, ConfigError>) -> Result<(), ConfigError> {
        let mut inner = self.shared.inner.lock().await;
        let result = match config {
            Ok(config) => {
                inner.config_problem = None;
                let changed = config != inner.config;
                // What the server has refused is offered again, also when the file says what it said before.
                self.use_config(&mut inner, config).await;
                if changed {
                    tracing::info!(services = inner.config.services.len(), "config applied");
                } else {
                    tracing::debug!("the config file says what it said before");
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "the config file has a mistake; nothing was changed");
                inner.config_problem = Some(chain(&error));
                Err(error)
            }
        };
        self.publish(&inner);
        result
    }

    /// Has everybody take over what is theirs. Who that is stands in [`shown::known`], setting by setting.
    async fn use_config(&self, inner: &mut Inner, config: Config) {
        let before = std::mem::replace(&mut inner.config, config);
        if let Some(registration) = &inner.registration {
            let dial_with = dial_with(&inner.config, registration);
            inner.give(dial_with);
        }
        let Inner { config, registration, agent, .. } = inner;
        if let Some(registration) = registration
            && registration.prune(config)
        {
            publish::keep(&self.shared.folder, registration);
        }
        let registered = registration.as_ref().zip(agent.as_ref());
        for taken_by in TakenBy::ALL {
            match (taken_by, registered) {
                (TakenBy::Log, _) => {
                    if let Some(level) = &self.shared.level
                        && config.log_level != before.log_level
                    {
                        level.set(config.log_level);
                    }
                }
                (TakenBy::Services, Some((registration, agent))) => {
                    agent.set_services(registration.shared(config)).await;
                }
                // One command for both.
                (TakenBy::Name | TakenBy::Vitae, Some((_, agent))) => {
                    let name = Text::lossy(&enrol::device_name(config));
                    agent.introduce(name, enrol::vitae(config)).await;
                }
                (TakenBy::Route, Some((registration, agent))) => {
                    agent.set_route(dial_route::choose(config, &registration.server)).await;
                }
                // An agent begins with all of these.
                (TakenBy::Services | TakenBy::Name | TakenBy::Vitae | TakenBy::Route, None)
                // Looked at whenever there is something to decide.
                | (TakenBy::Registration | TakenBy::Updates, _) => {}
            }
        }
    }

    /// The settings in force: of the file as it was read last, with what the log, the session that stands and the
    /// registration go by.
    pub async fn settings(&self) -> SettingsInForce {
        let inner = self.shared.inner.lock().await;
        let registration = inner.registration.as_ref();
        let first = registration.map_or_else(ServiceName::first, |known| known.service.clone());
        let mut in_force = inner.config.clone();
        if let Some(level) = &self.shared.level {
            in_force.log_level = level.level();
        }
        if let Some(registration) = registration {
            registration.overrule(&mut in_force);
        }
        let of = |taken_by: TakenBy| {
            let config = match taken_by.takes() {
                Takes::Reconnect => inner.in_force(taken_by),
                Takes::Reload | Takes::Registration => &in_force,
            };
            shown::known(config, &first).into_iter().filter(move |one| one.taken_by == taken_by)
        };
        let settings = TakenBy::ALL.into_iter().flat_map(of).map(|one| one.said).collect();
        SettingsInForce { problem: inner.config_problem.clone(), settings }
    }

    /// Applies every change of the config file from now on, for as long as the future is polled. Never ends.
    pub async fn watch_config(&self) {
        let path = &self.shared.folder.config;
        let mut watch = match FileWatch::new(path) {
            Ok(watch) => watch,
            Err(error) => {
                tracing::warn!(%error, "changes of the config file are not noticed; use reload");
                return std::future::pending().await;
            }
        };
        loop {
            tokio::select! {
                _ = watch.changed() => {}
                // An editor or another program may have it away for a moment only.
                () = self.shared.config_missing.notified() => {
                    watch.forget();
                    if watch.look().is_none() {
                        continue;
                    }
                }
            }
            // What is wrong has been logged and is in the status.
            let _ = self.read_config().await;
        }
    }

    /// Changes how much is logged, until a reload, or until the config changes it again.
    pub fn log(&self, level: Level) {
        if let Some(handle) = &self.shared.level {
            handle.set(level);
            tracing::info!(%level, "log level changed");
        }
    }
}
