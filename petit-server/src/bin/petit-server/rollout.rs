//! `rollout`: which clients hear of the release, one ring after the other.

use std::time::Duration;

use clap::Subcommand;
use petit_engine::proto::control::UpdateState;
use petit_host::cli::{Failure, ago, table};
use petit_server::api::{
    BadClient, GetRollout, HaltRollout, ResumeRollout, RingView, RollBack, RolloutCounts, RolloutStatus,
    RolloutView, RolloutWait, StartRollout, WidenRollout,
};
use petit_server::registry::{Rings, RolloutState, Timestamp};

use super::ask::Running;

#[derive(Subcommand)]
pub(crate) enum RolloutVerb {
    /// Announce the release that was put there to the first ring of clients
    ///
    /// The next ring is opened by itself when the release works in this one; when it does not work for more than two of a
    /// hundred, the roll-out halts by itself. What customers allow counts first: their hours, "ask me" and "never".
    #[command(
        after_help = "Examples:\n  petit-server rollout start\n  petit-server rollout start --rings tag:staff,5%,25%,100%"
    )]
    Start {
        /// Who gets it first, and then: clients that have a tag, and shares of all clients; the last is 100%
        #[arg(long, value_name = "RINGS", default_value_t)]
        rings: Rings,
        /// How long a ring is watched at least before the next one is opened
        #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
        soak: Duration,
        /// Also where an earlier roll-out of the same release was halted or rolled back
        ///
        /// It begins with the first ring again. What clients have said of the release until now does not halt it.
        #[arg(long)]
        again: bool,
    },
    /// Say how far it is, and with whom it has gone wrong
    Status,
    /// Hand the release out to nobody for now, not even to people who ask for it; who has it keeps it
    Halt {
        /// Why, for whoever looks at it later
        #[arg(long, value_name = "TEXT", default_value = "by its operator")]
        reason: String,
    },
    /// Go on with one that was halted, in the ring in which it was
    ///
    /// Who has come back from the release so far does not halt it again, unless it is tried there once more and comes back
    /// once more. Who has been trying it for too long gets the same time again, and halts it when that is over. Who is away
    /// counts as such only when it was there after this.
    Resume,
    /// Open the next ring now, whatever this one has come to
    Next,
    /// Hand the release out to nobody any more
    ///
    /// Clients never go back to an older version by themselves: those that have it keep it until the next release.
    Rollback,
}

pub(crate) async fn rollout(running: &Running, verb: &RolloutVerb) -> Result<RolloutStatus, Failure> {
    match verb {
        RolloutVerb::Start { rings, soak, again } => {
            let (rings, soak_seconds) = (rings.clone(), whole_seconds(*soak));
            let start = StartRollout { rings, soak_seconds, again: *again };
            running.ask(&start).await
        }
        RolloutVerb::Status => running.ask(&GetRollout).await,
        RolloutVerb::Halt { reason } => running.ask(&HaltRollout { reason: reason.clone() }).await,
        RolloutVerb::Resume => running.ask(&ResumeRollout).await,
        RolloutVerb::Next => running.ask(&WidenRollout).await,
        RolloutVerb::Rollback => running.ask(&RollBack).await,
    }
}

/// No less than was asked for.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

pub(crate) fn shown(status: &RolloutStatus) -> String {
    let RolloutStatus { release, rollout } = status;
    match (release, rollout) {
        (None, None) => {
            "No release is handed out, and there is no roll-out. Begin with: petit-server release put FOLDER"
                .to_owned()
        }
        (Some(release), None) => format!(
            "Release {} ({}) is there for who asks by hand, and announced to nobody. Announce it with: petit-server rollout start",
            release.counter,
            cli_list(&release.versions),
        ),
        (release, Some(rollout)) => {
            let mut text = of_rollout(rollout);
            match release {
                None => text.push_str("\nIts release was withdrawn: no release is handed out now."),
                Some(release) if !rollout.is_of_this_release => text.push_str(&format!(
                    "\nAnother release is there now, {} ({}), announced to nobody. Announce it with: petit-server rollout start",
                    release.counter,
                    cli_list(&release.versions),
                )),
                Some(_) => {}
            }
            text
        }
    }
}

fn cli_list<T: ToString>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join(", ")
}

fn of_rollout(rollout: &RolloutView) -> String {
    let RolloutView { bad, counts, counter, open, opened, rings, state, .. } = rollout;
    let since = ago(Timestamp::now().since(*opened));
    let ring = rings.get(open.saturating_sub(1)).map(|it| it.ring.to_string()).unwrap_or_default();
    let place = format!("ring {open} of {} ({ring}), open for {since}", rings.len());
    let head = match state {
        RolloutState::Running => format!("Release {counter} is being rolled out: {place}."),
        RolloutState::Halted { reason, since, by_itself } => {
            let by = if *by_itself { ", by itself," } else { "" };
            format!(
                "The roll-out of release {counter} is halted{by} since {since}: {reason}. It was in {place}."
            )
        }
        RolloutState::Done => {
            format!("All clients hear of release {counter} now, those that come later as well.")
        }
        RolloutState::RolledBack => {
            format!("The roll-out of release {counter} was rolled back: nobody gets it any more.")
        }
    };
    let mut lines = vec![head];
    if rings.len() > 1 {
        lines.push(format!("rings   {}", cli_list(rings.iter().map(of_ring))));
    }
    lines.push(format!("clients {}", of_counts(counts)));
    if let Some(wait) = &rollout.waits_for {
        lines.push(format!("next    {}", of_wait(wait, rollout)));
    }
    lines.extend(advice(rollout));
    if !bad.is_empty() {
        lines.push(format!("\n{}", of_bad(bad)));
    }
    lines.join("\n")
}

fn of_ring(RingView { clients, ring }: &RingView) -> String {
    match clients {
        0 => format!("{ring} (nobody)"),
        1 => format!("{ring} (1 client)"),
        _ => format!("{ring} ({clients} clients)"),
    }
}

fn of_counts(counts: &RolloutCounts) -> String {
    let RolloutCounts { clients, excused, failed, had, on_trial, put_back, stuck, waiting, works } = *counts;
    let said = [
        (works, "have it and work"),
        (had, "have nothing new in it"),
        (on_trial, "are trying it"),
        (waiting, "wait for a person, their hours or a package manager"),
        (put_back, "came back from it"),
        (failed, "could not fetch it or begin with it"),
        (stuck, "have been trying it for too long"),
        (excused, "had it go wrong before it was started or resumed"),
    ];
    let known: usize = said.iter().map(|(count, _)| count).sum();
    let mut parts: Vec<String> =
        said.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let silent = clients.saturating_sub(known);
    if silent > 0 {
        parts.push(format!("{silent} have said nothing of it"));
    }
    match parts.is_empty() {
        true => format!("{clients} in the open rings"),
        false => format!("{clients} in the open rings: {}", parts.join(", ")),
    }
}

fn of_wait(wait: &RolloutWait, rollout: &RolloutView) -> String {
    let then = match rollout.rings.get(rollout.open) {
        Some(next) => format!("{} follows", next.ring),
        None => "the roll-out is done".to_owned(),
    };
    match wait {
        RolloutWait::Time { left_seconds } => {
            format!("{then} in {} at the earliest", ago(Duration::from_secs(*left_seconds)))
        }
        RolloutWait::Trials { clients } => {
            format!("{then} when the {clients} that are trying it now are done with that")
        }
        RolloutWait::Nobody {} => format!("{then} when there are clients"),
        RolloutWait::Clients { more } => {
            // After the last ring there is none to open.
            let has_next = rollout.rings.get(rollout.open).is_some();
            let hint = if has_next { "; not to wait for that: petit-server rollout next" } else { "" };
            format!("{then} when it works for {more} more of this ring{hint}")
        }
    }
}

fn advice(rollout: &RolloutView) -> Option<String> {
    match rollout.state {
        RolloutState::Halted { .. } => Some(
            "To go on all the same: petit-server rollout resume. To give it up: petit-server rollout rollback.".to_owned(),
        ),
        RolloutState::RolledBack => Some(
            "Those that have it keep it until the next release: put that with petit-server release put, and start its roll-out."
                .to_owned(),
        ),
        RolloutState::Running | RolloutState::Done => None,
    }
}

fn of_bad(bad: &[BadClient]) -> String {
    let mut rows = vec![["CLIENT", "NAME", "VERSION", "WHAT", "SINCE"].map(str::to_owned).to_vec()];
    for BadClient { at, client, name, state, version } in bad {
        let what = match state {
            UpdateState::PutBack => "came back from it",
            UpdateState::Failed => "could not begin with it",
            UpdateState::OnTrial => "has been trying it for too long",
            UpdateState::Waiting | UpdateState::Works | UpdateState::Other => "",
        };
        rows.push(vec![client.to_string(), name.clone(), version.clone(), what.to_owned(), at.to_string()]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_watch_is_none_only_where_none_was_asked_for() {
        let times = [0, 1, 500, 1000, 1001].map(|time| whole_seconds(Duration::from_millis(time)));
        assert_eq!(times, [0, 1, 1, 1, 2]);
    }
}
