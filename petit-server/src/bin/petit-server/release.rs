//! `release`: what this server hands out to its clients.

use std::path::PathBuf;

use clap::Subcommand;
use petit_host::cli::{self, Failure, table};
use petit_host::exit::ExitCode;
use petit_host::files;
use petit_host::update::{Artifact, Place, ROOTS, Roots, Time};
use petit_server::api::{
    Downloads, HaltedRollout, ReleaseShown, ReleaseTarget, ReleaseView, ReleaseWithdrawn, Status,
};
use petit_server::folder::Folder;
use petit_server::releases::{self, InForce, Put, Release, ReleaseError};

use super::as_service::{AsService, Given};

#[derive(Subcommand)]
pub(crate) enum ReleaseVerb {
    /// Put a release there: people who ask for it get it from then on, and clients when it is rolled out
    ///
    /// It has to be signed by the root keys that petit-roots.pub names, beside this program or beside the config file, and
    /// to be in force. It is copied; the folder is not needed any more. A server that runs goes on.
    #[command(after_help = "Example:\n  petit-server release put release")]
    Put {
        /// The folder of the release
        folder: PathBuf,
    },
    /// Say which release is handed out, and until when clients take it
    Show,
    /// Hand out none any more; clients keep the version that they have
    Withdraw,
}

pub(crate) fn release(json: bool, folder: &Folder, verb: &ReleaseVerb) -> Result<ExitCode, Failure> {
    if folder.is_out_of_bounds() {
        return as_service(json, folder, verb);
    }
    let releases = folder.releases();
    match verb {
        ReleaseVerb::Put { folder: from } => {
            let roots = roots(folder)?;
            let put = releases::put(&releases, from, &roots, Time::now()).map_err(|error| failure(&error))?;
            let Put { release, was_there } = &put;
            let begin = if *was_there {
                "This release is handed out already."
            } else {
                "People who ask for it get this from now on. Clients hear of it by a roll-out: one of the same programs goes on by itself, another is begun with: petit-server rollout start"
            };
            cli::say(
                json,
                &format!("{begin}\n{}", shown(release)),
                &ReleaseShown { damage: None, release: Some(view(release)) },
            );
        }
        ReleaseVerb::Show => {
            let release = Release::current(&releases).map_err(|error| failure(&error))?;
            let text = release.as_ref().map_or_else(nothing, shown);
            let damage = release.as_ref().and_then(Release::damage);
            if let (Some(damage), false) = (&damage, json) {
                return Err(Failure::new(ExitCode::Failed, damage.clone()).hint(PUT_AGAIN));
            }
            let exit = if damage.is_some() { ExitCode::Failed } else { ExitCode::Ok };
            cli::say(json, &text, &ReleaseShown { damage, release: release.as_ref().map(view) });
            return Ok(exit);
        }
        ReleaseVerb::Withdraw => {
            let withdrawn = releases::withdraw(&releases).map_err(|error| failure(&error))?;
            let text = if withdrawn {
                "No release is handed out any more. Clients keep the version that they have.".to_owned()
            } else {
                nothing()
            };
            cli::say(json, &text, &ReleaseWithdrawn { withdrawn });
        }
    }
    Ok(ExitCode::Ok)
}

const PUT_AGAIN: &str = "clients cannot fetch it; put it again: petit-server release put FOLDER";

/// What is to be said of the release that is handed out before clients refuse it; nothing where all is well.
pub(crate) fn note(folder: &Folder) -> Option<String> {
    match Release::current(&folder.releases()) {
        Ok(release) => {
            let release = release?;
            release.missing().map(|missing| format!("{missing}; {PUT_AGAIN}")).or_else(|| ending(&release))
        }
        Err(error) => Some(format!("the release cannot be handed out: {}", cli::chain(&error))),
    }
}

/// What clients have fetched of it since the server runs, and why they cannot; nothing where nobody has asked.
pub(crate) fn fetched(status: &Status) -> String {
    let mut out = match &status.release_problem {
        Some(problem) => format!("updates    {problem}; {PUT_AGAIN}\n"),
        None => String::new(),
    };
    out.push_str(&status.rollout_halted.as_ref().map(halted).unwrap_or_default());
    let Some(Downloads { busy, bytes, gave_way, now }) = status.now.downloads else { return out };
    if [busy, bytes, gave_way, now as u64].iter().all(|count| *count == 0) {
        return out;
    }
    out.push_str(&format!("updates    {now} being fetched, {:.1} MB sent so far", bytes as f64 / 1e6));
    for (count, what) in [(busy, "told to come back later"), (gave_way, "interrupted for others for a while")]
    {
        if count > 0 {
            out.push_str(&format!(", {count} {what}"));
        }
    }
    out.push('\n');
    out
}

fn halted(HaltedRollout { by_itself, counter, reason, since }: &HaltedRollout) -> String {
    let is_halted = if *by_itself { "has halted itself" } else { "is halted" };
    format!(
        "updates    the roll-out of release {counter} {is_halted} since {since}, and nobody gets it: {reason}\n           \
         see with whom: petit-server rollout status; then petit-server rollout resume, or rollback\n"
    )
}

/// The folder is the service's own, so it does all that.
fn as_service(json: bool, folder: &Folder, verb: &ReleaseVerb) -> Result<ExitCode, Failure> {
    let simple = |verb| AsService::new(json.then_some("--json").into_iter().chain(["release", verb]))?.run();
    match verb {
        ReleaseVerb::Put { folder: from } => {
            let from = std::fs::canonicalize(from).unwrap_or_else(|_| from.clone());
            let files = releases::files(&from).map_err(|error| failure(&error))?;
            // Root copies them, and what a link leads to may be another one's secret.
            let is_file = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
            if let Some(other) =
                files.iter().map(|name| from.join(name)).find(|path| path.exists() && !is_file(path))
            {
                let problem = format!("{} is a link, or no file at all", other.display());
                return Err(Failure::new(ExitCode::Failed, problem).hint("put a copy of the file there"));
            }
            AsService::of_folder(&["release", "put"], (&from, Given::Only(&files)), json, folder)?.run()
        }
        ReleaseVerb::Show => simple("show"),
        ReleaseVerb::Withdraw => simple("withdraw"),
    }
}

/// The keys by which a release of whoever makes the clients' program is told from others.
fn roots(folder: &Folder) -> Result<Roots, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::of(&error))?;
    let places = [Place::of(&program).roots(), folder.config.with_file_name(ROOTS)];
    let Some(path) = places.iter().find(|path| path.exists()) else {
        let [beside, in_folder] = places.each_ref().map(|path| path.display());
        let problem = format!(
            "there are no root keys, so a release of a stranger could be handed out: neither {beside} nor {in_folder} is there"
        );
        return Err(Failure::new(ExitCode::Failed, problem)
            .hint("put the file there that belongs to the clients' program (docs/releasing.md)"));
    };
    files::check_not_writable_by_others(path).map_err(|error| Failure::of(&error))?;
    let failed =
        |why: &dyn std::fmt::Display| Failure::new(ExitCode::Failed, format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    Roots::parse(&text).map_err(|error| failed(&error))
}

fn failure(error: &ReleaseError) -> Failure {
    let failure = Failure::of(error);
    match error {
        ReleaseError::Bundle(_)
        | ReleaseError::Refused(_)
        | ReleaseError::Unfit { .. }
        | ReleaseError::Name { .. }
        | ReleaseError::Channel { .. }
        | ReleaseError::File(_)
        | ReleaseError::Busy(_) => failure.hint("what is handed out has not changed"),
        ReleaseError::History(_) => failure,
    }
}

fn nothing() -> String {
    "No release is handed out. Hand one out with: petit-server release put FOLDER".to_owned()
}

fn shown(release: &Release) -> String {
    let manifest = &release.manifest;
    let mut rows = vec![["TARGET", "VERSION", "BYTES"].map(str::to_owned).to_vec()];
    rows.extend(
        manifest
            .targets
            .iter()
            .map(|it: &Artifact| vec![it.target.to_string(), it.version.to_string(), it.bytes.to_string()]),
    );
    let head = format!("Release {} of {}, {}", manifest.counter, manifest.created, manifest.channel);
    let ending = ending(release).unwrap_or_else(|| format!("clients take it until {}", release.expires()));
    format!("{head}: {ending}.\n{}", table(&rows))
}

/// What is to be said of its end, where that is near or past.
fn ending(release: &Release) -> Option<String> {
    let expires = release.expires();
    match release.in_force(Time::now()) {
        InForce::Yes => None,
        InForce::EndsSoon => Some(format!(
            "the release expires at {expires}, within three days: have it signed anew, and put it again"
        )),
        InForce::Over => Some(format!(
            "the release expired at {expires}, so clients do not take it; their connections go on. Have it signed anew, and put it again"
        )),
    }
}

fn view(release: &Release) -> ReleaseView {
    let manifest = &release.manifest;
    let targets = manifest.targets.iter().map(|it| ReleaseTarget {
        bytes: it.bytes,
        target: it.target.clone(),
        version: it.version.clone(),
    });
    ReleaseView {
        channel: manifest.channel,
        counter: manifest.counter,
        created: manifest.created,
        expires: release.expires(),
        in_force: release.in_force(Time::now()) != InForce::Over,
        release_key: release.release_key.number,
        targets: targets.collect(),
    }
}
