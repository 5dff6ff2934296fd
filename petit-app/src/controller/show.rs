//! What the controller shows, and when.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use petit_client::status::Connection;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Controller, PUBLISH_EVERY};
use crate::contract::Problem;
use crate::facts::Facts;
use crate::shown::Shown;
use crate::{mistakes, tray, view};

impl Controller {
    pub(super) fn shown(&mut self) -> Shown {
        let now = (self.clock)();
        let mut status = self.status.clone();
        if let Some(Connection::Waiting { retry_in_ms, .. }) = status.as_mut().map(|it| &mut it.connection) {
            let passed = u64::try_from(self.status_at.elapsed().as_millis()).unwrap_or(u64::MAX);
            *retry_in_ms = retry_in_ms.saturating_sub(passed);
        }
        let said = status.as_ref().and_then(|status| status.config_problem.as_deref());
        let said = said.map(|said| self.told_problem(said));
        let traffic = self.collector.traffic(Instant::now().into_std());
        let mut facts = Facts {
            texts: &self.texts,
            now,
            desired: self.memory.desired.at(now),
            owner: self.owner(),
            status: status.as_ref(),
            registration: self.registration.as_ref(),
            configured: &self.configured,
            config: &self.config,
            trouble: self.trouble.as_ref(),
            config_problem: self.problem.as_ref().or(said.as_ref()),
            traffic,
            since: None,
            no_tray: self.no_tray,
            is_root: self.is_root,
        };
        let kind = view::kind(&facts);
        if self.since.is_none_or(|(before, _)| before != kind) {
            let stamp = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            self.since = Some((kind, stamp));
        }
        facts.since = self.since.map(|(_, since)| since);
        let view = view::view(facts);
        let prefs = self.memory.prefs(self.start_on_login);
        let tray = tray::model(&view, &self.texts, self.start_on_login);
        Shown { view, tray, prefs, texts: self.texts.clone() }
    }

    /// A mistake that the client has told of, worded once for what it says: the file is not read with every view.
    fn told_problem(&mut self, said: &str) -> Problem {
        let lang = self.texts.lang();
        match &self.told_problem {
            Some((known, of, problem)) if known == said && *of == lang => problem.clone(),
            _ => {
                let problem = mistakes::told(&self.texts, said, &self.folder.config);
                self.told_problem = Some((said.to_owned(), lang, problem.clone()));
                problem
            }
        }
    }

    pub(super) fn publish(&mut self, out: &watch::Sender<Arc<Shown>>) {
        let now = Instant::now();
        if !self.dirty || self.published_at.is_some_and(|at| now < at + PUBLISH_EVERY) {
            return;
        }
        self.dirty = false;
        let shown = self.shown();
        let note = self.watcher.see(&shown.view, &self.texts, &shown.prefs, now.into_std());
        // Whoever shows notes is not waited for.
        if let Some(note) = note
            && self.notes.try_send(note).is_err()
        {
            tracing::warn!("a notification was not shown");
        }
        let same = |before: &Shown| {
            before.view == shown.view
                && before.tray == shown.tray
                && before.prefs == shown.prefs
                && before.texts.lang() == shown.texts.lang()
        };
        if !same(&out.borrow()) {
            self.published_at = Some(now);
            out.send_replace(Arc::new(shown));
        }
    }
}
