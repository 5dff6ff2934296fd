//! `config check`, `backup` and `restore`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use petit_engine::name::{Alias, RegisteredId, VisitorKeyName};
use petit_host::cli::{self, Failure};
use petit_host::config::Mistakes;
use petit_host::control::client::{CallError, Client};
use petit_server::api::{
    AskError, BackedUp, BackupRestored, ConfigChecked, ConfigNote, KeyView, KeylessPolicy, ListAliases,
    ListKeys, ListPolicies, MakeBackup, PolicyOrigin, PolicyView,
};
use petit_server::backup::{self, BackupError, HeldBack};
use petit_server::capacity;
use petit_server::certificate::{self, CertificateError, Expiry, PublicNames};
use petit_server::config::{self, Config, ConfigError};
use petit_server::folder::Folder;
use petit_server::registry::{Policy, StoreErrorKind, file_conflicts};
use petit_server::server::{Offline, ServerStartError};

use super::ask::AdminAccess;
use super::common::{PROGRAM, config_failure, load, start_failure};
use super::{fronts, refusals, release, show};

/// Reads the config and everything that it names.
pub(crate) async fn check(json: bool, folder: &Folder) -> Result<(), Failure> {
    let (config, notes) = config::load(&folder.config).map_err(|error| all_mistakes(folder, &error))?;
    let mut notes: Vec<ConfigNote> =
        notes.into_iter().map(|note| ConfigNote { line: Some(note.line), message: note.message }).collect();
    folder.pins().map_err(|error| start_failure(&ServerStartError::Key(error)))?;
    let known = Known::of(folder).await;
    let found = known.policy_mistakes(folder, &config);
    if !found.is_empty() {
        return Err(Failure::of_mistakes(&folder.config, &found));
    }
    let names = PublicNames { endpoint: &config.endpoint, aliases: known.aliases.keys().cloned().collect() };
    let certificates =
        certificate::load(&config).replace(&[], &names).map_err(|error| unusable(&error, folder))?;
    let mut note = |message: String| notes.push(ConfigNote { line: None, message });
    let now = SystemTime::now();
    for (certificate, view) in certificates.iter().zip(certificate::views(&certificates, now)) {
        if certificate.expiry(now) != Expiry::Later
            || certificate.exposed_key().is_some()
            || view.instead.is_some()
        {
            note(format!("HTTPS visitors are shown {}", show::certificate(&view)));
        }
        if !names.fits(certificate) {
            let (path, waits_for) = (certificate.path.display(), certificate::said(&certificate.names));
            note(format!("{path} is for {waits_for}, where no service is reached"));
        }
    }
    for host in names.uncovered(&certificates) {
        note(format!("no certificate covers {host}, so its HTTPS visitors will be warned off"));
    }
    let https = !certificates.is_empty();
    if let Some(found) = petit_server::fronts::notes(&config, https) {
        note(fronts::note(&found));
    }
    if !https {
        let path = config.certificate.display();
        note(format!("there is no certificate at {path}, so HTTPS visitors are not served"));
    }
    known.keyless(&config).iter().for_each(|keyless| note(refusals::keyless(keyless, &folder.config)));
    capacity::complaints(&config, petit_host::harden::raise_open_files()).for_each(&mut note);
    release::note(folder).into_iter().for_each(&mut note);
    let path = folder.config.clone();
    say_checked(json, &ConfigChecked { fine: true, https_visitors: https, notes, path });
    Ok(())
}

/// Says what there is to know of a config that is fine.
pub(crate) fn say_checked(json: bool, checked: &ConfigChecked) {
    let mut text = format!("{} is fine.", checked.path.display());
    for note in &checked.notes {
        let line = note.line.map(|line| format!(" line {line}:")).unwrap_or_default();
        text.push_str(&format!("\nnote:{line} {}", note.message));
    }
    cli::say(json, &text, checked);
}

/// Why a certificate cannot be used, and what to do about it.
pub(crate) fn unusable(error: &CertificateError, folder: &Folder) -> Failure {
    Failure { hint: certificate::remedy(error, folder), ..Failure::of(error) }
}

/// What is wrong with the config file: everything, where it can be read at all.
fn all_mistakes(folder: &Folder, error: &ConfigError) -> Failure {
    let text = std::fs::read_to_string(&folder.config).unwrap_or_default();
    mistakes_in(&folder.config, &text, error)
}

/// The same for a text that is, or is to be, a config. `place`: what it is called.
pub(crate) fn mistakes_in(place: &Path, text: &str, error: &ConfigError) -> Failure {
    match Mistakes::of::<Config>(place, text, error) {
        None => config_failure(error),
        Some(Mistakes { found, syntax: false }) => Failure::of_mistakes(place, &found),
        Some(Mistakes { found, syntax: true }) => {
            let failure = Failure::of_mistakes(place, &found);
            failure.hint("what stands behind this place was not looked at")
        }
    }
}

/// Refuses a config whose policies do not fit to what the registry has.
pub(crate) async fn check_policies(folder: &Folder, config: &Config) -> Result<(), Failure> {
    let found = Known::of(folder).await.policy_mistakes(folder, config);
    if found.is_empty() { Ok(()) } else { Err(Failure::of_mistakes(&folder.config, &found)) }
}

/// What the registry has, of the running server or out of its file, as far as a config has to fit to it. Nothing where
/// there is neither yet.
struct Known {
    aliases: BTreeMap<Alias, RegisteredId>,
    /// Those of the registry.
    policies: Vec<PolicyView>,
    /// `None`: nobody knows.
    keys: Option<Vec<KeyView>>,
}

impl Known {
    async fn of(folder: &Folder) -> Self {
        let access = AdminAccess::new(folder);
        let aliases = access.ask(&ListAliases).await.ok();
        let list = access.ask(&ListPolicies).await.ok();
        let of_registry = |view: &PolicyView| view.origin == PolicyOrigin::Registry;
        let keys = access.ask(&ListKeys).await.ok();
        Self {
            aliases: aliases.into_iter().flat_map(|list| list.aliases).map(|it| (it.alias, it.id)).collect(),
            policies: list.into_iter().flat_map(|list| list.policies).filter(of_registry).collect(),
            keys: keys.map(|list| list.keys),
        }
    }

    fn policy_mistakes(&self, folder: &Folder, config: &Config) -> Vec<String> {
        let is_key = |name: &VisitorKeyName| {
            self.keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key.name == *name))
        };
        let policies: Vec<Policy> = self.policies.iter().map(|view| view.policy.clone()).collect();
        let owner = |alias: &Alias| self.aliases.get(alias).copied();
        let found = file_conflicts(&config.policies.list, &policies, is_key, owner);
        found.iter().map(|found| config.policies.error(&folder.config, found).to_string()).collect()
    }

    /// The policies of the registry and of this config that let nobody in, because all their keys were revoked.
    fn keyless(&self, config: &Config) -> Vec<KeylessPolicy> {
        let revoked = self.keys.iter().flatten().filter(|key| key.revoked.is_some());
        let revoked: Vec<VisitorKeyName> = revoked.map(|key| key.name.clone()).collect();
        let in_file = config.policies.list.iter().filter(|policy| policy.is_keyless(&revoked));
        let in_file = in_file
            .map(|policy| KeylessPolicy { policy: policy.name.clone(), origin: PolicyOrigin::ConfigFile });
        self.policies.iter().filter_map(PolicyView::keyless).chain(in_file).collect()
    }
}

/// Writes a backup: the running server does, or this program while none runs.
pub(crate) async fn backup(
    json: bool,
    folder: &Folder,
    to: Option<&Path>,
    keep: Option<u32>,
) -> Result<(), Failure> {
    let to = to.map_or_else(
        || backup::dated::next(folder, SystemTime::now()),
        |to| std::path::absolute(to).unwrap_or_else(|_| to.to_owned()),
    );
    say_backed_up(json, folder, &make_backup(folder, &to, keep).await?);
    Ok(())
}

/// Has the running server write a backup, or writes it while none runs.
pub(crate) async fn make_backup(folder: &Folder, to: &Path, keep: Option<u32>) -> Result<BackedUp, Failure> {
    match Client::new(&folder.socket()).ask(&MakeBackup { folder: to.to_owned(), keep }).await {
        Ok(done) => Ok(done),
        Err(AskError::Call(CallError::NotRunning)) => {
            let config = load(&folder.config)?;
            let offline = Offline::open(&config, folder).await.map_err(|error| start_failure(&error))?;
            let left_out = backup::backup(offline.directory.store().as_ref(), &config, folder, to).await;
            offline.close().await;
            let left_out = left_out.map_err(|error| backup_failure(&error))?;
            let removed = backup::dated::keep(to, keep);
            Ok(BackedUp { backup: to.to_owned(), left_out, removed })
        }
        Err(AskError::Call(CallError::Refused(problem))) if problem.code == MakeBackup::NOT_EMPTY => {
            Err(backup_failure(&BackupError::NotEmpty(to.to_owned())))
        }
        Err(error) => {
            let failure = Failure::of_asked(error, PROGRAM);
            Err(match folder.is_of_service() && !to.starts_with(folder.path()) {
                true => failure.hint(format!(
                    "the service itself writes it, and only below {}; leave the folder out, and copy what was made",
                    folder.path().display()
                )),
                false => failure,
            })
        }
    }
}

/// Says that a backup was made, and of what.
pub(crate) fn say_backed_up(json: bool, folder: &Folder, done: &BackedUp) {
    let mut text = format!(
        "Everything that the server needs is in {}.\nKeep it as safe as the server's key, which is in it.",
        done.backup.display()
    );
    for path in &done.removed {
        text.push_str(&format!("\nRemoved, as an older one: {}.", path.display()));
    }
    for path in &done.left_out {
        let why = match path.starts_with(folder.path()) {
            true => "the server may not read it",
            false => "it lies outside of the server's folder, and whoever renews it there keeps it",
        };
        text.push_str(&format!("\nNot in it is {}: {why}.", path.display()));
    }
    cli::say(json, &text, done);
}

/// Puts a backup back.
pub(crate) async fn restore(json: bool, folder: &Folder, from: &Path) -> Result<(), Failure> {
    // Where the registry lies is what the config says: the one that is there, else the backup's.
    let config = match config::load(&folder.config) {
        Ok((config, _)) => config,
        Err(ConfigError::Missing { .. }) => config_in(from, folder)?.1,
        Err(error) => return Err(config_failure(&error)),
    };
    let restored = backup::restore(&config, folder, from).await.map_err(|error| backup_failure(&error))?;
    let (clients, services) = restored.counts;
    let mut text = format!("The backup is in place: {clients} clients with {services} services.");
    for aside in &restored.aside {
        text.push_str(&format!("\nWhat was there before is in {}.", aside.display()));
    }
    // Of a service root says so, who has looked after the config.
    if !restored.config && !folder.is_of_systemd() {
        text.push_str(&format!("\n{}", config_stays(folder, from)));
    }
    for path in &restored.missing {
        let path = path.display();
        text.push_str(&format!(
            "\nThe config names {path}, which is not there; put it there before the start."
        ));
    }
    text.push_str(&held_back(restored.releases));
    text.push_str("\nNext: petit-server start");
    let mut aside = restored.aside.into_iter();
    let restored = BackupRestored {
        aside: aside.next(),
        aside_elsewhere: aside.next(),
        clients,
        config_restored: restored.config,
        held_back: restored.releases,
        missing: restored.missing,
        services,
    };
    cli::say(json, &text, &restored);
    Ok(())
}

/// The config in a backup: its text, and what it says for this server.
pub(crate) fn config_in(backup: &Path, folder: &Folder) -> Result<(String, Config), Failure> {
    const NAME: &str = "config.toml";
    let path = backup.join(NAME);
    let text = petit_host::config::read(&path).map_err(|error| match error {
        ConfigError::Missing { .. } => {
            backup_failure(&BackupError::NoBackup { folder: backup.to_owned(), missing: NAME })
        }
        error => config_failure(&error),
    })?;
    // A mistake in it is one of that file.
    let at_fault = |error| config_failure(&config::parse(&path, &text).err().unwrap_or(error));
    let (config, _) = config::parse(&folder.config, &text).map_err(at_fault)?;
    Ok((text, config))
}

/// What is said where a backup's config was not put back.
pub(crate) fn config_stays(folder: &Folder, from: &Path) -> String {
    let (here, kept) = (folder.config.display(), from.join("config.toml"));
    format!("The config that was there stays: {here}; the backup's is {}.", kept.display())
}

fn held_back(releases: HeldBack) -> String {
    match releases {
        HeldBack::Release { counter, can_resume } => {
            let resume = if can_resume { "petit-server rollout resume; or: " } else { "" };
            format!(
                "\nWhat became of release {counter} after the backup was made is not known in it, so nobody gets it. Look first, then: {resume}petit-server rollout start --again"
            )
        }
        HeldBack::Rollouts => {
            "\nRoll-outs that were halted after the backup was made are not known in it: do not put their releases there again.".to_owned()
        }
        HeldBack::Nothing => String::new(),
    }
}

pub(crate) fn backup_failure(error: &BackupError) -> Failure {
    match error {
        BackupError::OtherKey => Failure::of(error).hint(
            "give the service the keys of that server first: install -m 600 BACKUP/server.key /etc/credstore/petit-server.key, and BACKUP/backup.pin as petit-backup.pin beside it",
        ),
        BackupError::NotEmpty(_) => Failure::of(error).hint("name a folder that is not there yet"),
        BackupError::Start(ServerStartError::Running { .. }) => {
            Failure::of(error).hint("stop it first: petit-server stop")
        }
        BackupError::Start(error) => start_failure(error),
        BackupError::Store(error) if *error.kind() == StoreErrorKind::NotARegistry => {
            Failure::of(error).hint("what is damaged cannot be backed up or put back; use an older backup")
        }
        BackupError::HalfDone { left, .. } => Failure::of(error).hint(format!(
            "move the files in {} back to where they were, or restore again",
            left.display()
        )),
        BackupError::NoBackup { missing: "backup.pin", folder } => Failure::of(error).hint(format!(
            "if the server had none, say so with an empty file, and restore again: install -m 600 /dev/null {}",
            folder.join("backup.pin").display()
        )),
        BackupError::NoBackup { .. }
        | BackupError::Damaged(_)
        | BackupError::Store(_)
        | BackupError::File(_) => Failure::of(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_resumed_is_only_started_again() {
        let said = |can_resume| held_back(HeldBack::Release { counter: 8, can_resume });
        assert!(said(true).contains("rollout resume; or: petit-server rollout start --again"));
        assert!(said(false).contains("then: petit-server rollout start --again"));
    }
}
