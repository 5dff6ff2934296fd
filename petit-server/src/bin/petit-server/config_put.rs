//! `config put`: another config in the place of the one there is, for whoever has no editor beside the server, as in a
//! container, and for scripts.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use petit_host::cli::{self, Failure};
use petit_host::config::{change, text_of};
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_server::api::{ConfigPut, GetStatus, ReloadConfig};
use petit_server::config;
use petit_server::folder::Folder;

use super::ask::Running;
use super::{restarting, setup, show};

/// Checks a config as `config check` does, puts it in place and has a running server take it. The one before is kept
/// beside it; where the server refuses the new one, it is put back.
pub(crate) async fn put(json: bool, folder: &Folder, from: &Path) -> Result<ExitCode, Failure> {
    let text = given(from)?;
    match config::parse(&folder.config, &text) {
        Ok((config, _)) => setup::check_policies(folder, &config).await?,
        Err(error) => return Err(setup::mistakes_in(&said(from), &text, &error)),
    }
    folder.make().map_err(|error| Failure::of(&error))?;
    let alone = change::alone(folder).await.map_err(|error| Failure::of(&error))?;
    let before = existing(&folder.config)?;
    let mut put = ConfigPut { before: None, changed: false, config: folder.config.clone(), reloaded: None };
    if before.as_deref() == Some(text.as_str()) {
        let same = format!("{} says this already; nothing was changed.", folder.config.display());
        cli::say(json, &same, &put);
        return Ok(ExitCode::Ok);
    }
    put.changed = true;
    put.before = before.is_some().then(|| folder.last_good());
    let written = match &before {
        Some(_) => change::put(folder, &text),
        None => folder.first_config()(&folder.config, text.as_bytes()),
    };
    written.map_err(|error| Failure::of(&error))?;
    let running = Running::new(folder);
    let problem_before = match running.ask_if_running(&GetStatus).await {
        Ok(Some(status)) => status.certificate_problem.unwrap_or_default(),
        _ => String::new(),
    };
    let reloaded = running.ask_if_running(&ReloadConfig).await.and_then(|reloaded| {
        let problem = reloaded.as_ref().and_then(|reloaded| reloaded.certificate_problem.as_ref());
        match problem.filter(|problem| !problem_before.contains(*problem)) {
            Some(problem) => Err(Failure::new(ExitCode::Failed, problem.as_str())),
            // One that could not be used before is no matter of this config.
            None => Ok(reloaded),
        }
    });
    put.reloaded = match reloaded {
        Ok(reloaded) => reloaded,
        Err(failure) => {
            let Some(before) = before else { return Err(failure) };
            files::write_keeping_rights(&folder.config, before.as_bytes())
                .map_err(|error| Failure::of(&error))?;
            let _ = running.ask_if_running(&ReloadConfig).await;
            return Err(failure.hint("the config is as it was before; nothing was changed"));
        }
    };
    drop(alone);
    let mut out = format!("{} is in place.", folder.config.display());
    if let Some(before) = &put.before {
        out.push_str(&format!(" The one before is {}.", before.display()));
    }
    if let Some(reloaded) = &put.reloaded {
        out.push_str(&format!("\n{}", show::reloaded(reloaded, &folder.config)));
    }
    cli::say(json, &out, &put);
    put.reloaded.as_ref().map_or(Ok(ExitCode::Ok), |reloaded| restarting::exit(json, reloaded))
}

/// What a place is called in what is said of its text.
fn said(from: &Path) -> PathBuf {
    if from == Path::new("-") { PathBuf::from("standard input") } else { from.to_owned() }
}

fn given(from: &Path) -> Result<String, Failure> {
    let cannot = |error: io::Error| {
        Failure::new(ExitCode::Failed, format!("cannot read {}: {error}", said(from).display()))
    };
    let text = if from == Path::new("-") { text_of(io::stdin()) } else { File::open(from).and_then(text_of) };
    text.map_err(cannot)
}

/// The text of the config that is there.
fn existing(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(ExitCode::Failed, format!("cannot read {}: {error}", path.display()))),
    }
}
