//! The log of changes: who did what, and whether it is what it was.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use petit_engine::secret::Fingerprint;
use petit_host::cli::{self, Failure, table};
use petit_host::exit::ExitCode;
use petit_host::files::PrivateFile;
use petit_host::logs;
use petit_server::api::{AuditVerified, ListChanges, LogExported};
use petit_server::audit::{Verified, Verifier, check_heads, head_in};
use petit_server::folder::Folder;
use petit_server::registry::{ChangePage, SignedFor, SignedHead, Timestamp};

use serde::Serialize;

use self::export::{ExportBegin, ExportEnd};
use self::fault::fault;
use self::sentence::sentence;
use super::ask::{AdminAccess, ManyAnswers};

mod export;
mod fault;
mod sentence;

#[derive(Subcommand)]
pub(crate) enum AuditVerb {
    /// The newest changes of the registry: when, by whom, what
    #[command(after_help = "Example:\n  petit-server audit list --last 200")]
    List {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        last: u32,
    },
    /// Look whether the log of changes is whole: nothing altered, nothing left out, and all there that the server has
    /// signed into its log files; exits with 1 when it is not
    #[command(
        after_help = "Examples:\n  petit-server audit verify\n  petit-server audit verify changes.jsonl --key SHA256:…"
    )]
    Verify {
        /// What `audit export` has written, instead of the registry
        file: Option<PathBuf>,
        /// A key that is trusted to have signed, beside this server's own two
        #[arg(long, value_name = "FINGERPRINT")]
        key: Vec<Fingerprint>,
        /// A signed head that was kept elsewhere, as the server's log has it (petit-head-1.…)
        #[arg(long, value_name = "HEAD")]
        head: Vec<SignedHead>,
    },
    /// Write the whole log of changes into a file, signed: one JSON value in each line
    #[command(after_help = "Example:\n  petit-server audit export changes.jsonl")]
    Export {
        /// Where to; a file that is there is replaced
        file: PathBuf,
    },
}

pub(crate) async fn audit(json: bool, folder: &Folder, verb: &AuditVerb) -> Result<(), Failure> {
    match verb {
        AuditVerb::List { last } => list(json, folder, *last).await,
        AuditVerb::Verify { file, key, head } => verify(json, folder, file.as_deref(), (key, head)).await,
        AuditVerb::Export { file } => export(json, folder, file).await,
    }
}

async fn list(json: bool, folder: &Folder, last: u32) -> Result<(), Failure> {
    let page = page(folder, ListChanges::Last(u64::from(last))).await?;
    let mut rows = vec![["CHANGE", "TIME", "BY", "WHAT", "OF", ""].map(str::to_owned).to_vec()];
    rows.extend(page.changes.iter().map(|change| {
        let (number, at, by) = (change.version.to_string(), change.at.to_string(), change.actor.to_string());
        vec![number, at, by, change.kind.to_string(), change.subject.clone(), sentence(change)]
    }));
    let text = if page.changes.is_empty() { "Nothing was changed yet.".to_owned() } else { table(&rows) };
    cli::say(json, &text, &page);
    Ok(())
}

async fn page(folder: &Folder, which: ListChanges) -> Result<ChangePage, Failure> {
    AdminAccess::new(folder).ask(&which).await
}

/// The whole log, page after page. The first page is of its beginning, and the last one is empty: what the registry's
/// head was when there was nothing more.
async fn pages(
    folder: &Folder,
    each: impl FnMut(&ChangePage) -> Result<(), Failure>,
) -> Result<ChangePage, Failure> {
    let answers = AdminAccess::new(folder).for_many().await?;
    let end = pages_of(&answers, each).await;
    answers.close().await;
    end
}

async fn pages_of(
    answers: &ManyAnswers,
    mut each: impl FnMut(&ChangePage) -> Result<(), Failure>,
) -> Result<ChangePage, Failure> {
    let mut after = 0;
    loop {
        let page = answers.ask(&ListChanges::After(after)).await?;
        each(&page)?;
        match page.changes.last() {
            Some(last) => after = last.version,
            None => return Ok(page),
        }
    }
}

async fn verify(
    json: bool,
    folder: &Folder,
    file: Option<&Path>,
    (keys, heads): (&[Fingerprint], &[SignedHead]),
) -> Result<(), Failure> {
    let mut trusted = keys.to_vec();
    match folder.pins() {
        Ok(pins) => trusted.extend(pins),
        // Elsewhere there is no server, and no key of its own.
        Err(_) if file.is_some() => {}
        Err(error) => return Err(Failure::of(&error)),
    }
    check_heads(heads, &trusted).map_err(fault)?;
    let mut heads = heads.to_vec();
    let verified = match file {
        Some(file) => export::verify(file, heads, &trusted)?,
        None => {
            // The log has them, too, for whoever sends it elsewhere; and more of it may be left.
            for file in [folder.heads(), folder.log()] {
                logs::each_line(&file, |line| heads.extend(head_in(line))).map_err(|error| {
                    Failure::new(ExitCode::Failed, format!("cannot read {}: {error}", file.display()))
                })?;
            }
            let mut verifier = None;
            let end = pages(folder, |page| {
                let verifier = match &mut verifier {
                    Some(verifier) => verifier,
                    none => {
                        let heads = std::mem::take(&mut heads);
                        let (checkpoint, now) = (page.checkpoint.as_ref(), Timestamp::now());
                        none.insert(Verifier::new(checkpoint, heads, &trusted, now).map_err(fault)?)
                    }
                };
                page.changes.iter().try_for_each(|change| verifier.add(change)).map_err(fault)
            });
            let end = end.await?;
            match verifier {
                Some(verifier) => verifier.finish(end.head).map_err(fault)?,
                None => return Err(Failure::new(ExitCode::Failed, "the registry gave no log of changes")),
            }
        }
    };
    let Verified { first, head, signed, superseded } = verified;
    let mut text = match first {
        Some(first) => {
            format!("The log is whole: changes {first} to {}, each chained to the one before.", head.version)
        }
        None => "The log is whole: nothing was changed yet.".to_owned(),
    };
    text.push_str(&match signed {
        0 => "\nThere is no signed head to compare it with.".to_owned(),
        1 => "\nIt agrees with 1 head that the server has signed.".to_owned(),
        many => format!("\nIt agrees with {many} heads that the server has signed."),
    });
    text.push_str(&match superseded {
        0 => String::new(),
        1 => "\n1 more was signed before a backup was put back or the registry was made anew.".to_owned(),
        many => {
            format!("\n{many} more were signed before a backup was put back or the registry was made anew.")
        }
    });
    if file.is_none() {
        text.push_str("\nThis is about the log alone: whether clients, policies and keys are what it says is not looked at.");
    }
    let verified = AuditVerified {
        first,
        hash: head.hash,
        last: head.version,
        signed_heads: signed,
        superseded_heads: superseded,
        whole: true,
    };
    cli::say(json, &text, &verified);
    Ok(())
}

async fn export(json: bool, folder: &Folder, file: &Path) -> Result<(), Failure> {
    let key = folder.read_key().map_err(|error| Failure::of(&error))?;
    let file = std::path::absolute(file).map_err(|error| Failure::of(&error))?;
    let mut exported = PrivateFile::begin(&file).map_err(|error| Failure::of(&error))?;
    let (mut has_begun, mut changes) = (false, 0);
    let end = pages(folder, |page| {
        if !has_begun {
            has_begun = true;
            let checkpoint = page.checkpoint.clone();
            write_line(&mut exported, &ExportBegin { petit_audit: export::FORM, checkpoint })?;
        }
        changes += page.changes.len();
        page.changes.iter().try_for_each(|change| write_line(&mut exported, change))
    });
    let end = end.await?;
    let head = SignedHead::sign(SignedFor::Standing, end.head, Timestamp::now(), &key)
        .map_err(|error| Failure::of(&error))?;
    write_line(&mut exported, &ExportEnd { head: head.clone() })?;
    exported.finish().map_err(|error| Failure::of(&error))?;
    let text = format!(
        "{changes} changes are in {}, signed with this server's key {}.",
        file.display(),
        key.public().fingerprint()
    );
    cli::say(json, &text, &LogExported { changes, file, head });
    Ok(())
}

fn write_line(file: &mut PrivateFile, value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(|error| Failure::of(&error))?;
    file.line(&line).map_err(|error| Failure::of(&error))
}
