//! What `register` shows and asks at a terminal.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::SystemTime;

use petit_client::config;
use petit_client::consent::{ChosenFor, KeptService};
use petit_client::enrol::Done;
use petit_client::messages;
use petit_client::registration::Registration;
use petit_engine::invite::Invite;
use petit_engine::name::{ServerAddr, ServiceName, VendorName};
use petit_host::cli::{Failure, ago};
use petit_host::exit::ExitCode;
use petit_host::shutdown::{ProcessSignal, Signals};

/// What an invite says before anything is dialled.
pub(crate) fn show_invite(invite: &Invite) {
    let mut out = io::stdout();
    let left = invite.not_after.duration_since(SystemTime::now()).map(ago);
    let _ = writeln!(out, "Server     {}", invite.server);
    if let Some(vendor) = &invite.vendor {
        let _ = writeln!(out, "It says    that it belongs to {vendor}");
    }
    for pin in invite.pins.iter().take(1) {
        let words = pin.words();
        let _ = writeln!(out, "Its key    {pin}");
        let _ = writeln!(out, "Its words  {}\n           {}", words.english, words.german);
    }
    let left = left.map_or_else(
        |_| "no longer, by this computer's clock".to_owned(),
        |left| format!("for another {left}"),
    );
    let _ = writeln!(out, "Valid      {left}");
}

/// Whom a question is about: the name that a vendor gives itself, beside the host that it is.
fn whom(vendor: Option<&VendorName>, server: &ServerAddr) -> String {
    match vendor {
        Some(vendor) => format!("{vendor} ({})", server.host()),
        None => server.host().to_owned(),
    }
}

/// Asks whether the invite is the right one, and whether it may take the place of the registration in force.
pub(crate) fn confirm(invite: &Invite, in_force: Option<&Registration>) -> Result<(), Failure> {
    let nothing = || Failure::new(ExitCode::Failed, "nothing was changed");
    let question = "If your vendor tells you other words, stop here. Go on?";
    if !ask_yes(question, DefaultAnswer::Yes) {
        return Err(nothing());
    }
    let Some(known) = in_force else { return Ok(()) };
    let (old, new) =
        (whom(known.vendor.as_ref(), &known.server), whom(invite.vendor.as_ref(), &invite.server));
    let question = format!(
        "This computer is registered with {old}. That ends once it is registered with {new}; {old} reaches nothing \
         here any more then, and its addresses are lost.\nReplace it?"
    );
    if ask_yes(&question, DefaultAnswer::No) { Ok(()) } else { Err(nothing()) }
}

/// What no answer means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefaultAnswer {
    Yes,
    No,
}

pub(crate) fn ask_yes(question: &str, silence: DefaultAnswer) -> bool {
    print!("{question} {} ", if silence == DefaultAnswer::Yes { "[Y/n]" } else { "[y/N]" });
    let _ = io::stdout().flush();
    let mut line = String::new();
    // The end of the input is no answer to a question.
    if io::stdin().read_line(&mut line).unwrap_or(0) == 0 {
        return false;
    }
    match line.trim().to_ascii_lowercase().as_str() {
        "" => silence == DefaultAnswer::Yes,
        answer => matches!(answer, "y" | "yes"),
    }
}

/// Asks of each service that is set up already whether the vendor may reach it.
pub(crate) fn ask_share(invite: &Invite, kept: &[KeptService]) -> BTreeSet<ServiceName> {
    let vendor = whom(invite.vendor.as_ref(), &invite.server);
    let may_reach = |kept: &&KeptService| {
        let silence =
            if kept.chosen_for == ChosenFor::Another { DefaultAnswer::No } else { DefaultAnswer::Yes };
        ask_yes(&format!("May {vendor} reach {:?} at {}?", kept.name.as_str(), kept.target), silence)
    };
    kept.iter().filter(may_reach).map(|kept| kept.name.clone()).collect()
}

/// Waits until somebody wants the command to end.
pub(crate) async fn interrupted(signals: &mut Signals) {
    while !matches!(signals.next().await, ProcessSignal::End { .. }) {}
}

/// Asks where the invite's service is; `None` when that is to be said later. Whoever interrupts the question is told
/// that the computer is registered already, and what the service has to be called.
pub(crate) async fn ask_place(done: &Done, signals: &mut Signals) -> Result<Option<ServerAddr>, Failure> {
    loop {
        print!("Where is the service {:?} (host:port, such as localhost:3000)? ", done.service.as_str());
        let _ = io::stdout().flush();
        // Nobody waits for the thread when the answer does not come any more.
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = tokio::select! {
            line = line => line.ok().and_then(Result::ok).unwrap_or_default(),
            () = interrupted(signals) => {
                let problem = format!(
                    "stopped; this computer is registered with {} already, and nobody has said where its service {:?} is",
                    done.server, done.service.as_str()
                );
                return Err(Failure::new(ExitCode::Interrupted, problem)
                    .hint(format!("say it with: {}", messages::add_service(Some(&done.service)))));
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
