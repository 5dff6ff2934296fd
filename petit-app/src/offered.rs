//! The actions that a state offers: every state that a person has to end has one primary action that ends it, and no
//! action is offered that would do nothing. Pure.

use petit_client::status::{Connection, KeyTrouble};
use petit_engine::cause::Cause;

use super::contract::{Action, ActionName, Can, StateKind};
use super::facts::{Facts, Owner, TroubleKind};

/// The actions that stand beside the headline, the primary one first.
pub(crate) fn actions(facts: &Facts<'_>, kind: StateKind) -> Vec<Action> {
    let connection = facts.status.map(|status| &status.connection);
    let nothing_shared = facts.status.is_some_and(|status| status.services.is_empty());
    let any_withheld = facts.status.is_some_and(|status| !status.withheld.is_empty());
    let offered: &[(ActionName, &str)] = match (kind, connection) {
        (StateKind::Unregistered, _) => &[(ActionName::Register, "register")],
        (StateKind::Off, _) => &[(ActionName::Start, "start")],
        (StateKind::Paused, _) => &[(ActionName::Resume, "resume"), (ActionName::Stop, "stop")],
        (StateKind::Connecting, _) => &[(ActionName::Stop, "stop")],
        (StateKind::Online, _) if nothing_shared && any_withheld => {
            &[(ActionName::Services, "choose"), (ActionName::Stop, "stop")]
        }
        (StateKind::Online, _) if nothing_shared => {
            &[(ActionName::Services, "add"), (ActionName::Stop, "stop")]
        }
        (StateKind::Online, _) => &[(ActionName::Stop, "stop")],
        (StateKind::Waiting, Some(Connection::Waiting { cause: Cause::WrongServer, .. })) => &[
            (ActionName::Start, "try_now"),
            (ActionName::Register, "register.new"),
            (ActionName::Stop, "stop"),
        ],
        (StateKind::Waiting, _) => &[(ActionName::Start, "try_now"), (ActionName::Stop, "stop")],
        // The server will not change its mind: only another invite leads on.
        (StateKind::Stopped, Some(Connection::Stopped { cause: Cause::Unknown })) => {
            &[(ActionName::Register, "register.new")]
        }
        (StateKind::Stopped, _) => &[(ActionName::Start, "again"), (ActionName::Diagnostics, "diagnostics")],
        (StateKind::Locked, Some(Connection::NoKey { trouble })) => match trouble {
            KeyTrouble::Asked => &[(ActionName::Unlock, "again")],
            KeyTrouble::Gone => &[(ActionName::Register, "register.new"), (ActionName::Unlock, "again")],
            KeyTrouble::Missing => &[(ActionName::Unlock, "again"), (ActionName::Register, "register.new")],
            KeyTrouble::Locked | KeyTrouble::Denied | KeyTrouble::Unanswered => {
                &[(ActionName::Unlock, "again")]
            }
            KeyTrouble::Failed => &[(ActionName::Unlock, "again"), (ActionName::Diagnostics, "diagnostics")],
        },
        (StateKind::Locked, _) => &[(ActionName::Unlock, "again")],
        (StateKind::Broken, _) => match facts.trouble.map(|trouble| trouble.kind) {
            Some(TroubleKind::Config) => &[(ActionName::Settings, "correct"), (ActionName::Start, "again")],
            Some(TroubleKind::Damaged) => {
                &[(ActionName::Register, "register.new"), (ActionName::Start, "again")]
            }
            Some(TroubleKind::Folder) | None => {
                &[(ActionName::Start, "again"), (ActionName::Diagnostics, "diagnostics")]
            }
        },
    };
    // What works, or is on its way, needs nobody.
    let is_asked = matches!(connection, Some(Connection::NoKey { trouble: KeyTrouble::Asked }));
    let is_well = match kind {
        StateKind::Connecting => true,
        StateKind::Online => !nothing_shared,
        StateKind::Locked => is_asked,
        _ => false,
    };
    let action = |(at, (name, label)): (usize, &(ActionName, &str))| Action {
        name: *name,
        label: facts.texts.get(&format!("wish.{label}")),
        primary: at == 0 && !is_well,
    };
    offered.iter().enumerate().map(action).collect()
}

/// What may be asked for, wherever it is offered.
pub(crate) fn can(facts: &Facts<'_>, kind: StateKind, actions: &[Action]) -> Can {
    use StateKind::{Connecting, Online, Waiting};
    let has = |name| actions.iter().any(|action| action.name == name);
    Can {
        start: has(ActionName::Start),
        stop: has(ActionName::Stop) || kind == StateKind::Locked,
        pause: facts.owner == Owner::Ours && matches!(kind, Connecting | Online | Waiting),
        resume: has(ActionName::Resume),
        register: has(ActionName::Register),
        forget: facts.registration.is_some(),
        unlock: has(ActionName::Unlock),
    }
}
