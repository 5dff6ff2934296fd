//! What `register` shows and asks at a terminal.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::SystemTime;

use petit_client::config;
use petit_client::consent::{ChosenFor, KeptService};
use petit_client::enrol::Done;
use petit_client::messages;
use petit_client::registration::Registration;
use petit_client::texts::{capital, lasting};
use petit_engine::invite::Invite;
use petit_engine::name::{ServerAddr, ServiceName, VendorName};
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::shutdown::{ProcessSignal, Signals};
use petit_host::terminal::{self, Ask, Question};

use super::context::Context;

/// Asks before something is gone for good; see [`terminal::confirm`].
pub(crate) fn ask(context: &Context, ask: Ask, what: &str) -> Result<(), Failure> {
    let texts = &context.texts;
    let sentence = capital(what);
    let words = Question {
        no_terminal: &texts.format("cli.confirm.no_terminal", &[("what", &what)]),
        add_yes: &texts.get("cli.confirm.add_yes"),
        prompt: &texts.format("cli.confirm.prompt", &[("what", &sentence)]),
        yes: &texts.get("cli.confirm.yes"),
        nothing_changed: &texts.get("cli.nothing_changed"),
    };
    terminal::confirm_in(&words, ask, context.json)
}

/// What an invite says before anything is dialled.
pub(crate) fn show_invite(context: &Context, invite: &Invite) {
    let texts = &context.texts;
    let mut rows = vec![("cli.invite.server", invite.server.to_string())];
    if let Some(vendor) = &invite.vendor {
        rows.push(("cli.invite.says", texts.format("cli.invite.belongs", &[("vendor", vendor)])));
    }
    if let Some(pin) = invite.pins.first() {
        let words = pin.words();
        rows.push(("cli.invite.key", pin.to_string()));
        rows.push(("cli.invite.words", words.english));
        rows.push(("", words.german));
    }
    let left = invite.not_after.duration_since(SystemTime::now()).map(|left| lasting(&context.texts, left));
    let left = left.map_or_else(
        |_| texts.get("cli.invite.expired"),
        |left| texts.format("cli.invite.left", &[("time", &left)]),
    );
    rows.push(("cli.invite.valid", left));
    let label = |key: &str| if key.is_empty() { String::new() } else { texts.get(key) };
    let width = rows.iter().map(|(key, _)| label(key).chars().count()).max().unwrap_or_default().max(9) + 2;
    let mut out = io::stdout();
    for (key, value) in rows {
        let _ = writeln!(out, "{:<width$}{value}", label(key));
    }
}

/// Whom a question is about: the name that a vendor gives itself, beside the host that it is.
fn whom(vendor: Option<&VendorName>, server: &ServerAddr) -> String {
    match vendor {
        Some(vendor) => format!("{vendor} ({})", server.host()),
        None => server.host().to_owned(),
    }
}

/// Asks whether the invite is the right one, and whether it may take the place of the registration in force.
pub(crate) fn confirm(
    context: &Context,
    invite: &Invite,
    in_force: Option<&Registration>,
) -> Result<(), Failure> {
    let texts = &context.texts;
    let nothing = || context.failed(ExitCode::Failed, "cli.nothing_changed", &[]);
    if !ask_yes(context, &texts.get("cli.invite.other_words"), DefaultAnswer::Yes) {
        return Err(nothing());
    }
    let Some(known) = in_force else { return Ok(()) };
    let (old, new) =
        (whom(known.vendor.as_ref(), &known.server), whom(invite.vendor.as_ref(), &invite.server));
    let question = texts.format("cli.invite.replace", &[("old", &old), ("new", &new)]);
    if ask_yes(context, &question, DefaultAnswer::No) { Ok(()) } else { Err(nothing()) }
}

/// What no answer means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefaultAnswer {
    Yes,
    No,
}

pub(crate) fn ask_yes(context: &Context, question: &str, silence: DefaultAnswer) -> bool {
    let texts = &context.texts;
    let choice = if silence == DefaultAnswer::Yes { "cli.yes_no" } else { "cli.no_yes" };
    print!("{question} {} ", texts.get(choice));
    let _ = io::stdout().flush();
    let mut line = String::new();
    // The end of the input is no answer to a question.
    if io::stdin().read_line(&mut line).unwrap_or(0) == 0 {
        return false;
    }
    match line.trim().to_ascii_lowercase().as_str() {
        "" => silence == DefaultAnswer::Yes,
        answer => answer == texts.get("cli.yes_letter") || answer == texts.get("cli.confirm.yes"),
    }
}

/// Asks of each service that is set up already whether the vendor may reach it.
pub(crate) fn ask_share(context: &Context, invite: &Invite, kept: &[KeptService]) -> BTreeSet<ServiceName> {
    let vendor = whom(invite.vendor.as_ref(), &invite.server);
    let may_reach = |kept: &&KeptService| {
        let silence =
            if kept.chosen_for == ChosenFor::Another { DefaultAnswer::No } else { DefaultAnswer::Yes };
        let values: [(&str, &dyn Display); 3] =
            [("vendor", &vendor), ("name", &kept.name), ("target", &kept.target)];
        ask_yes(context, &context.texts.format("cli.invite.may_reach", &values), silence)
    };
    kept.iter().filter(may_reach).map(|kept| kept.name.clone()).collect()
}

/// Waits until somebody wants the command to end.
pub(crate) async fn interrupted(signals: &mut Signals) {
    while !matches!(signals.next().await, ProcessSignal::End { .. }) {}
}

/// Asks where the invite's service is; `None` when that is to be said later. Whoever interrupts the question is told
/// that the computer is registered already, and what the service has to be called.
pub(crate) async fn ask_place(
    context: &Context,
    done: &Done,
    signals: &mut Signals,
) -> Result<Option<ServerAddr>, Failure> {
    loop {
        print!("{}", context.texts.format("cli.invite.where", &[("name", &done.service)]));
        let _ = io::stdout().flush();
        // Nobody waits for the thread when the answer does not come any more.
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = tokio::select! {
            line = line => line.ok().and_then(Result::ok).unwrap_or_default(),
            () = interrupted(signals) => {
                let add = messages::add_service(Some(&done.service));
                let values: [(&str, &dyn Display); 2] = [("server", &done.server), ("name", &done.service)];
                let hint = context.texts.format("cli.register.stopped_late.hint", &[("command", &add)]);
                return Err(context
                    .failed(ExitCode::Interrupted, "cli.register.stopped_late", &values)
                    .hint(hint));
            }
        };
        let text = line.trim();
        if text.is_empty() {
            return Ok(None);
        }
        // A port alone is a service on this computer.
        let text = if text.parse::<u16>().is_ok() { format!("localhost:{text}") } else { text.to_owned() };
        match config::target(&text) {
            Ok(target) => return Ok(Some(target)),
            Err(error) => println!("{error}"),
        }
    }
}
