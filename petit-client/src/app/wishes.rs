//! What may be wished for in a state: every state that a person has to end has one primary wish that ends it, and no
//! wish is offered that would do nothing. Pure.

use petit_engine::cause::Cause;

use super::contract::{Action, Can, StateKind, WishName};
use super::view::{Facts, TroubleKind, Whose};
use crate::status::{Connection, KeyTrouble};

/// The wishes that stand beside the headline, the primary one first.
pub(super) fn actions(facts: &Facts<'_>, kind: StateKind) -> Vec<Action> {
    let connection = facts.status.map(|status| &status.connection);
    let nothing_shared = facts.status.is_some_and(|status| status.services.is_empty());
    let any_withheld = facts.status.is_some_and(|status| !status.withheld.is_empty());
    let wishes: &[(WishName, &str)] = match (kind, connection) {
        (StateKind::Unregistered, _) => &[(WishName::Register, "register")],
        (StateKind::Off, _) => &[(WishName::Start, "start")],
        (StateKind::Paused, _) => &[(WishName::Resume, "resume"), (WishName::Stop, "stop")],
        (StateKind::Connecting, _) => &[(WishName::Stop, "stop")],
        (StateKind::Online, _) if nothing_shared && any_withheld => {
            &[(WishName::Services, "choose"), (WishName::Stop, "stop")]
        }
        (StateKind::Online, _) if nothing_shared => &[(WishName::Services, "add"), (WishName::Stop, "stop")],
        (StateKind::Online, _) => &[(WishName::Stop, "stop")],
        (StateKind::Waiting, Some(Connection::Waiting { cause: Cause::WrongServer, .. })) => {
            &[(WishName::Start, "try_now"), (WishName::Register, "register.new"), (WishName::Stop, "stop")]
        }
        (StateKind::Waiting, _) => &[(WishName::Start, "try_now"), (WishName::Stop, "stop")],
        // The server will not change its mind: only another invite leads on.
        (StateKind::Stopped, Some(Connection::Stopped { cause: Cause::Unknown })) => {
            &[(WishName::Register, "register.new")]
        }
        (StateKind::Stopped, _) => &[(WishName::Start, "again"), (WishName::Diagnostics, "diagnostics")],
        (StateKind::Locked, Some(Connection::NoKey { trouble })) => match trouble {
            KeyTrouble::Asked => &[(WishName::Unlock, "again")],
            KeyTrouble::Gone => &[(WishName::Register, "register.new"), (WishName::Unlock, "again")],
            KeyTrouble::Missing => &[(WishName::Unlock, "again"), (WishName::Register, "register.new")],
            KeyTrouble::Locked | KeyTrouble::Denied | KeyTrouble::Unanswered => {
                &[(WishName::Unlock, "again")]
            }
            KeyTrouble::Failed => &[(WishName::Unlock, "again"), (WishName::Diagnostics, "diagnostics")],
        },
        (StateKind::Locked, _) => &[(WishName::Unlock, "again")],
        (StateKind::Broken, _) => match facts.trouble.map(|trouble| trouble.kind) {
            Some(TroubleKind::Config) => &[(WishName::Settings, "correct"), (WishName::Start, "again")],
            Some(TroubleKind::Damaged) => &[(WishName::Register, "register.new"), (WishName::Start, "again")],
            Some(TroubleKind::Folder) | None => {
                &[(WishName::Start, "again"), (WishName::Diagnostics, "diagnostics")]
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
    let action = |(at, (wish, label)): (usize, &(WishName, &str))| Action {
        wish: *wish,
        label: facts.texts.get(&format!("wish.{label}")),
        primary: at == 0 && !is_well,
    };
    wishes.iter().enumerate().map(action).collect()
}

/// What may be wished for, wherever it is offered.
pub(super) fn can(facts: &Facts<'_>, kind: StateKind, actions: &[Action]) -> Can {
    use StateKind::{Connecting, Online, Waiting};
    let has = |wish| actions.iter().any(|action| action.wish == wish);
    Can {
        start: has(WishName::Start),
        stop: has(WishName::Stop) || kind == StateKind::Locked,
        pause: facts.whose == Whose::Ours && matches!(kind, Connecting | Online | Waiting),
        resume: has(WishName::Resume),
        register: has(WishName::Register),
        forget: facts.registration.is_some(),
        unlock: has(WishName::Unlock),
    }
}
