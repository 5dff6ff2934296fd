//! `register`: from an invite to a registration, with everything that the customer should see and decide.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use petit_client::config::edit::{self, NewService};
use petit_client::config::{Config, KeyStore};
use petit_client::consent::{ChosenFor, KeptService};
use petit_client::enrol::{Done, Existing, FormerEnd, RegisterError};
use petit_client::messages;
use petit_client::registering::{Here, OtherError, Outcome, Prospect, Terms};
use petit_client::registration::{self, Known, Registration};
use petit_client::texts::Texts;
use petit_client::vault::{Vault, VaultError};
use petit_engine::agent::{EnrolError, ServiceSpec, connect};
use petit_engine::invite::{InvalidInvite, Invite};
use petit_engine::name::{ServerAddr, ServiceName};
use petit_engine::proto::control::ServiceKind;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_host::lock::{Lock, LockError};
use petit_host::shutdown::Signals;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::asking::{DefaultAnswer, ask_place, ask_share, ask_yes, confirm, interrupted, show_invite};
use super::beginning::of_service;
use super::configure;
use super::context::Context;

/// What `register` was asked.
pub(crate) struct RegisterArgs<'a> {
    pub(crate) invite_file: Option<&'a Path>,
    pub(crate) service: Option<&'a ServerAddr>,
    pub(crate) tcp: bool,
    pub(crate) key_store: Option<KeyStore>,
    /// Services of the config that the vendor may reach; `None`: not said.
    pub(crate) share: Option<BTreeSet<ServiceName>>,
    pub(crate) replace: bool,
}

/// Whether somebody can be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    /// There is a person at a terminal.
    Person,
    /// There is a script.
    Nobody,
}

/// An invite, as it was typed and as it is understood.
type Given = (SecretString, Invite);

/// A `register` under way.
struct Registering<'a> {
    context: &'a Context,
    args: &'a RegisterArgs<'a>,
    talk: Talk,
    /// `None` when a client runs, which then registers itself and keeps the key itself.
    own: Option<Lock>,
    config: Config,
    known: Known,
}

/// From an invite to a registration.
pub(crate) async fn register(context: &Context, args: &RegisterArgs<'_>) -> Result<(), Failure> {
    let folder = &context.folder;
    folder.make().map_err(|error| Failure::of(&error))?;
    let is_person = io::stdin().is_terminal() && !context.json && args.invite_file.is_none();
    let talk = if is_person { Talk::Person } else { Talk::Nobody };
    let own = own_lock(context).await?;
    let mut given = None;
    if talk == Talk::Nobody
        && !args.replace
        && let Some(in_force) = registration::load(folder).map_err(|error| Failure::of(&error))?
    {
        // The only invite that is of any use is its own.
        let its_own =
            read_invite(context, args.invite_file).ok().filter(|(_, invite)| in_force.is_of(invite));
        let refused = || register_failure(context, &RegisterError::Registered(Box::new(in_force)));
        given = Some(its_own.ok_or_else(refused)?);
    }
    let config = configure::load_or_make(context)?;
    let known = Known::load(folder).map_err(|error| Failure::of(&error))?;
    Registering { context, args, talk, own, config, known }.run(given).await
}

impl Registering<'_> {
    async fn run(&self, given: Option<Given>) -> Result<(), Failure> {
        let Self { context, args, config, .. } = self;
        // A person is not asked for an invite that cannot be used. Where one is in force, the invite says first whether
        // there is a key to be kept.
        let is_first = self.talk == Talk::Person && self.known.in_force.is_none();
        let mut key_store = args.key_store.unwrap_or(config.key_store);
        if is_first {
            key_store = self.usable(key_store).await?;
        }
        let (text, invite) = given.map_or_else(|| read_invite(context, args.invite_file), Ok)?;
        let prospect = Prospect::new(text, invite, config.clone(), self.known.clone());
        let is_resumed = prospect.resumes().is_some();
        if !is_first && !is_resumed {
            key_store = self.usable(key_store).await?;
        }
        let share = if is_resumed { self.resume(prospect.invite()) } else { self.choose(&prospect)? };
        let existing = if self.known.in_force.is_some() { Existing::Replace } else { Existing::Keep };
        let terms = Terms { key_store, share, existing };
        let mut signals = Signals::new().map_err(|error| Failure::of(&error))?;
        let Outcome { done, former, kept } = tokio::select! {
            outcome = self.enrol(prospect, terms) => outcome?,
            () = interrupted(&mut signals) => {
                return Err(context
                    .failed(ExitCode::Interrupted, "cli.register.stopped", &[])
                    .hint(context.hint("cli.register.stopped.hint")));
            }
        };
        kept.map_err(|error| configure::change_failure(context, &error))?;
        let is_set_up = self.set_up(&done, &mut signals).await?;
        let mut text = summary(&context.texts, &done, former.as_ref(), is_set_up);
        let next = if self.own.is_some() { "cli.register.next" } else { "cli.register.runs" };
        text.push_str(&context.texts.get(next));
        context.say(&text, &done);
        Ok(())
    }

    /// Where the key goes: where it is wanted, or, when there is no keychain and a person says so, into a file.
    async fn usable(&self, wanted: KeyStore) -> Result<KeyStore, Failure> {
        let context = self.context;
        if self.own.is_none() {
            return Ok(wanted);
        }
        match Vault::of(wanted, &context.folder).check().await {
            Ok(()) => Ok(wanted),
            Err(error @ VaultError::NoKeychain) => {
                let why = messages::vault(&error).sentence(&context.texts);
                let question = context.texts.format("cli.register.in_file", &[("why", &why)]);
                match self.talk {
                    Talk::Person if ask_yes(context, &question, DefaultAnswer::No) => Ok(KeyStore::File),
                    Talk::Person | Talk::Nobody => Err(register_failure(context, &error.into())),
                }
            }
            Err(error) => Err(register_failure(context, &error.into())),
        }
    }

    /// Everything was decided when this invite led to the registration in force.
    fn resume(&self, invite: &Invite) -> BTreeSet<ServiceName> {
        if self.talk == Talk::Person {
            show_invite(self.context, invite);
            println!("{}", self.context.texts.get("cli.register.resumed"));
        }
        BTreeSet::new()
    }

    /// What the vendor may reach, once it is clear that the invite is the right one.
    fn choose(&self, prospect: &Prospect) -> Result<BTreeSet<ServiceName>, Failure> {
        let Self { context, args, talk, .. } = self;
        let invite = prospect.invite();
        if *talk == Talk::Person {
            show_invite(context, invite);
            confirm(context, invite, prospect.replaces().filter(|_| !args.replace))?;
        }
        let kept = prospect.kept();
        match talk {
            Talk::Person if args.share.is_none() => Ok(ask_share(context, invite, &kept)),
            Talk::Person | Talk::Nobody => share(context, args, &kept),
        }
    }

    /// Registers here, or has the client that runs register itself.
    async fn enrol(&self, prospect: Prospect, terms: Terms) -> Result<Outcome, Failure> {
        let Self { context, config, own, .. } = self;
        let folder = &context.folder;
        if let Some(lock) = own {
            let here = Here { folder, config, lock };
            return prospect
                .register(folder, terms, &here)
                .await
                .map_err(|error| register_failure(context, &error));
        }
        prospect.register(folder, terms, &context.client()).await.map_err(|error| match error {
            OtherError::Local(error) => context.failure(error),
            OtherError::Older => older(context),
            OtherError::Registration(_) => Failure::of(&error),
        })
    }

    /// Writes down where the invite's service is, when somebody says so. False when nobody knows it.
    async fn set_up(&self, done: &Done, signals: &mut Signals) -> Result<bool, Failure> {
        let target = match place(self.context, self.args, &self.config, done)? {
            Place::Known => return Ok(true),
            Place::Said(target) => Some(target),
            Place::Unknown if self.talk == Talk::Person => ask_place(self.context, done, signals).await?,
            Place::Unknown => None,
        };
        let Some(target) = target else { return Ok(false) };
        let kind = if self.args.tcp { "tcp" } else { "http" };
        let new = NewService::plain(&done.service, &target, kind);
        configure::change(self.context, |text| edit::add_service(text, &new)).await?;
        let spec = ServiceSpec::plain(done.service.clone(), ServiceKind::Tcp, target.clone());
        if self.talk == Talk::Person
            && let Err(cause) = connect(&spec).await
        {
            let why = messages::service(cause, &target).what(&self.context.texts);
            println!("{}", self.context.texts.format("cli.register.not_there", &[("why", &why)]));
        }
        Ok(true)
    }
}

/// The client's lock; `None` when a client runs, which then registers itself: the tray app's does without a
/// registration too.
async fn own_lock(context: &Context) -> Result<Option<Lock>, Failure> {
    let pid = match context.folder.take_lock() {
        Ok(lock) => return Ok(Some(lock)),
        Err(LockError::Held { pid, .. }) => pid,
        Err(LockError::OfService { unit }) => return Err(of_service(context, &unit)),
        Err(error @ LockError::Io { .. }) => return Err(Failure::of(&error)),
    };
    let Ok(version) = context.client().version().await else {
        let key = if pid.is_some() { "cli.register.under_way.pid" } else { "cli.register.under_way" };
        return Err(context
            .failed(ExitCode::Failed, key, &[("pid", &pid.unwrap_or_default())])
            .hint(context.hint("cli.register.under_way.hint")));
    };
    if version.asks_for_consent() {
        return Ok(None);
    }
    Err(older(context))
}

/// The client that runs does not ask what the vendor may reach.
fn older(context: &Context) -> Failure {
    context.failed(ExitCode::Failed, "cli.register.older", &[]).hint(context.hint("cli.restart_it"))
}

/// The services that a script shares: those it names, or, as long as none was chosen for another vendor, all.
fn share(
    context: &Context,
    args: &RegisterArgs<'_>,
    kept: &[KeptService],
) -> Result<BTreeSet<ServiceName>, Failure> {
    let list = |kept: &[&KeptService]| {
        let entries: Vec<String> =
            kept.iter().map(|kept| format!("{} ({})", kept.name, kept.target)).collect();
        entries.join(", ")
    };
    if let Some(share) = &args.share {
        return match share.iter().find(|name| !kept.iter().any(|kept| kept.name == **name)) {
            None => Ok(share.clone()),
            Some(unknown) => {
                let all: Vec<&KeptService> = kept.iter().collect();
                let known = if all.is_empty() {
                    context.hint("cli.register.has_none")
                } else {
                    context.texts.format("cli.register.has", &[("names", &list(&all))])
                };
                Err(context.failed(ExitCode::Usage, "cli.register.no_such", &[("name", unknown)]).hint(known))
            }
        };
    }
    let other: Vec<&KeptService> = kept.iter().filter(|kept| kept.chosen_for == ChosenFor::Another).collect();
    if other.is_empty() {
        return Ok(kept.iter().map(|kept| kept.name.clone()).collect());
    }
    Err(context
        .failed(ExitCode::Usage, "cli.register.others", &[("names", &list(&other))])
        .hint(context.hint("cli.register.others.hint")))
}

/// Where the invite's service is.
enum Place {
    /// Where the config says.
    Known,
    /// Where the command line says.
    Said(ServerAddr),
    /// Nobody has said it.
    Unknown,
}

fn place(context: &Context, args: &RegisterArgs<'_>, config: &Config, done: &Done) -> Result<Place, Failure> {
    let known = config.specs(&done.service).into_iter().find(|spec| spec.name == done.service);
    match (args.service, known) {
        // Asked for what is there already, by whoever registers anew.
        (Some(target), Some(known))
            if known.target == *target && (known.kind == ServiceKind::Tcp) == args.tcp =>
        {
            Ok(Place::Known)
        }
        (Some(_), Some(known)) => {
            let path = context.folder.config.display();
            let values: [(&str, &dyn Display); 3] =
                [("path", &path), ("name", &known.name), ("target", &known.target)];
            Err(context
                .failed(ExitCode::Failed, "cli.register.left", &values)
                .hint(context.hint("cli.register.left.hint")))
        }
        (Some(target), None) => Ok(Place::Said(target.clone())),
        (None, Some(_)) => Ok(Place::Known),
        (None, None) => Ok(Place::Unknown),
    }
}

/// What the registration came to.
fn summary(texts: &Texts, done: &Done, former: Option<&Registration>, is_set_up: bool) -> String {
    let service = &done.service;
    let server = match &done.vendor {
        Some(vendor) => format!("{vendor} ({})", done.server),
        None => done.server.to_string(),
    };
    let values: [(&str, &dyn Display); 4] =
        [("server", &server), ("device", &done.device), ("name", service), ("url", &done.url)];
    // Nobody reaches what is not shared.
    let key =
        if done.withheld.contains(service) { "cli.register.done_unshared" } else { "cli.register.done" };
    let mut lines = vec![texts.format(key, &values)];
    if let (Some(former), Some(end)) = (former, done.former) {
        lines.push(former_text(texts, former, end));
    }
    if !is_set_up {
        let add = messages::add_service(Some(service));
        lines.push(texts.format("cli.register.say_where", &[("command", &add)]));
    }
    for name in &done.withheld {
        lines.push(texts.format("cli.register.withheld", &[("name", name)]));
    }
    lines.join("\n") + "\n"
}

fn former_text(texts: &Texts, former: &Registration, end: FormerEnd) -> String {
    let server = &former.server;
    match end {
        FormerEnd::Told => texts.format("cli.unregister.told", &[("server", server)]),
        FormerEnd::Unknown => texts.format("cli.former.unknown", &[("server", server)]),
        FormerEnd::Unreachable { cause } => {
            let why = messages::cause(cause).what(texts);
            texts.format("cli.former.unreachable", &[("server", server), ("why", &why)])
        }
        FormerEnd::NoKey => texts.format("cli.former.no_key", &[("server", server)]),
    }
}

fn read_invite(context: &Context, file: Option<&Path>) -> Result<Given, Failure> {
    let text = read_text(context, file)?;
    let invite = Invite::parse(&text);
    let failed = |error: &InvalidInvite| context.said(ExitCode::Failed, &messages::invite(error));
    Ok((text, invite.map_err(|error| failed(&error))?))
}

fn read_text(context: &Context, file: Option<&Path>) -> Result<SecretString, Failure> {
    const MOST: u64 = 16 * 1024;
    let cannot = |error: io::Error| context.failed(ExitCode::Failed, "cli.invite.unread", &[("why", &error)]);
    let mut text = Zeroizing::new(String::new());
    match file {
        Some(path) if path != Path::new("-") => {
            let file = std::fs::File::open(path).map_err(|error| {
                let values: [(&str, &dyn Display); 2] = [("path", &path.display()), ("why", &error)];
                context.failed(ExitCode::Failed, "cli.invite.unread.from", &values)
            })?;
            file.take(MOST).read_to_string(&mut text).map_err(cannot)?;
        }
        None if io::stdin().is_terminal() => {
            let typed = rpassword::prompt_password(context.texts.get("cli.invite.paste")).map_err(cannot)?;
            text = Zeroizing::new(typed);
        }
        _ => {
            io::stdin().take(MOST).read_to_string(&mut text).map_err(cannot)?;
        }
    }
    Ok(SecretString::from(std::mem::take(&mut *text)))
}

pub(crate) fn register_failure(context: &Context, error: &RegisterError) -> Failure {
    let exit = match error {
        RegisterError::Enrol(EnrolError::Refused { .. }) => ExitCode::Refused,
        _ => ExitCode::Failed,
    };
    context.said(exit, &messages::register(error))
}
