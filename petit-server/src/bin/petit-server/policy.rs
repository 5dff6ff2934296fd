//! `policy`: what is asked of visitors.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use ipnet::IpNet;
use petit_engine::name::{PolicyName, VisitorKeyName};
use petit_host::cli::{self, Failure, table};
use petit_host::exit::ExitCode;
use petit_host::terminal::{self, Ask};
use petit_relay::policy::AddressList;
use petit_server::api::{
    KeyState, ListPolicies, MovePolicyToFile, PolicyChanged, PolicyDetails, PolicyList, PolicyOrigin,
    PolicyStep, PolicyTested, PolicyVerdict, PolicyView, RemovePolicy, ServiceLeft, SetPolicy, ShowPolicy,
    StepView, TestPolicy,
};
use petit_server::config;
use petit_server::directory::Exposure;
use petit_server::folder::Folder;
use petit_server::registry::{Edit, Enforcement, LimitPer, Policy, PolicyEdit, PolicyTarget};

use super::ask::AdminAccess;
use super::refusals;

#[derive(Subcommand)]
pub(crate) enum PolicyVerb {
    /// All policies
    List,
    /// One policy, and the services that have it
    Show { name: PolicyName },
    /// Make a policy or change one; what is not named stays as it was
    #[command(
        after_help = "Examples:\n  petit-server policy set cloud --services default --key billing,sync\n  petit-server policy set office --services acme --from 203.0.113.0/24 --rate 50\n  petit-server policy set erp --services tag:erp --key billing\n  petit-server policy set office --rate none --count-only"
    )]
    Set(Box<SetArgs>),
    /// Take a policy away; its services have the default one then
    Remove {
        name: PolicyName,
        /// Do not ask; needed where there is no terminal, and with --json
        #[arg(short, long)]
        yes: bool,
    },
    /// Let the policy of this name in the config file take the place of the one that commands have made
    ///
    /// Visitors are held to one of the two at each moment, and the rest of the config file is in force then, too.
    Move { name: PolicyName },
    /// Say what would become of a visit, step by step
    #[command(after_help = "Example:\n  petit-server policy test cloud --from 203.0.113.7 --as key:billing")]
    Test {
        name: PolicyName,
        /// Where the visitor comes from
        #[arg(long, value_name = "ADDRESS")]
        from: IpAddr,
        /// The key that is shown, as key:NAME; nobody's secret is needed for it
        #[arg(long = "as", value_name = "key:NAME", value_parser = supposed)]
        holder: Option<VisitorKeyName>,
    },
}

#[derive(Args)]
pub(crate) struct SetArgs {
    name: PolicyName,
    /// Whose visitors: registered IDs, aliases, tag:NAME (all services of clients that have the tag), default (all that no policy names), default-tcp (all raw TCP services
    /// that no policy names)
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    services: Vec<PolicyTarget>,
    /// Where they have to come from: addresses and networks, or any
    #[arg(long, value_name = "NETWORKS", value_parser = networks)]
    from: Option<Choice<Vec<IpNet>>>,
    /// The keys of which one has to be shown, or none when nobody is asked
    #[arg(long, value_name = "KEYS", value_parser = keys)]
    key: Option<Choice<Vec<VisitorKeyName>>>,
    /// Visits in a second, or none
    #[arg(long, value_name = "N", value_parser = number)]
    rate: Option<Choice<NonZeroU32>>,
    /// How many of these may come at once, or none
    #[arg(long, value_name = "N", value_parser = number)]
    burst: Option<Choice<NonZeroU32>>,
    /// Visits at the same time, or none
    #[arg(long, value_name = "N", value_parser = number)]
    concurrent: Option<Choice<NonZeroU32>>,
    /// Whom rate and concurrent hold for
    #[arg(long)]
    per: Option<Per>,
    /// The most of a request's body, such as 100MB, or none
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_body: Option<Choice<u64>>,
    /// Refuse nobody, and count who would be
    #[arg(long)]
    count_only: bool,
    /// Refuse again what was only counted
    #[arg(long, conflicts_with = "count_only")]
    enforce: bool,
}

/// A value, or that there is to be none.
#[derive(Clone, Debug)]
struct Choice<T>(Option<T>);

#[derive(Clone, Copy, ValueEnum)]
enum Per {
    /// Each address, and each key
    Visitor,
    /// All visitors of a service together
    Service,
}

fn choice<T>(text: &str, none: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Choice<T>, String> {
    if text == none { Ok(Choice(None)) } else { parse(text).map(|value| Choice(Some(value))) }
}

fn networks(text: &str) -> Result<Choice<Vec<IpNet>>, String> {
    choice(text, "any", |text| {
        stands_alone(text, "any")?;
        let list = AddressList::parse(text.split(',')).map_err(|error| error.to_string())?;
        Ok(list.networks().to_vec())
    })
}

fn keys(text: &str) -> Result<Choice<Vec<VisitorKeyName>>, String> {
    let one =
        |name: &str| name.trim().parse().map_err(|error: petit_engine::name::InvalidName| error.to_string());
    choice(text, "none", |text| {
        stands_alone(text, "none")?;
        text.split(',').map(one).collect()
    })
}

/// The word for nothing in a list of something.
fn stands_alone(text: &str, none: &str) -> Result<(), String> {
    match text.split(',').any(|one| one.trim() == none) {
        true => Err(format!("{none:?} stands alone: it takes the place of a list")),
        false => Ok(()),
    }
}

fn number(text: &str) -> Result<Choice<NonZeroU32>, String> {
    choice(text, "none", |text| text.parse().map_err(|_| "expected a number from 1, or none".to_owned()))
}

/// Whom an operator supposes who asks what would become of a visit.
fn supposed(text: &str) -> Result<VisitorKeyName, String> {
    let name = text.strip_prefix("key:").and_then(|name| name.parse().ok());
    name.ok_or_else(|| "expected key:NAME, such as key:billing".to_owned())
}

fn size(text: &str) -> Result<Choice<u64>, String> {
    choice(text, "none", config::parse_body_size)
}

impl SetArgs {
    fn edit(&self) -> PolicyEdit {
        fn edit<T: Clone>(choice: Option<&Choice<T>>) -> Edit<T> {
            match choice {
                None => Edit::Keep,
                Some(Choice(None)) => Edit::Clear,
                Some(Choice(Some(value))) => Edit::To(value.clone()),
            }
        }
        PolicyEdit {
            name: self.name.clone(),
            services: (!self.services.is_empty()).then(|| self.services.clone()),
            from: edit(self.from.as_ref()),
            keys: edit(self.key.as_ref()),
            rate: edit(self.rate.as_ref()),
            burst: edit(self.burst.as_ref()),
            concurrent: edit(self.concurrent.as_ref()),
            per: self.per.map(|per| match per {
                Per::Visitor => LimitPer::Visitor,
                Per::Service => LimitPer::Service,
            }),
            max_body: edit(self.max_body.as_ref()),
            enforcement: match (self.count_only, self.enforce) {
                (true, _) => Some(Enforcement::CountOnly),
                (false, true) => Some(Enforcement::Enforce),
                (false, false) => None,
            },
        }
    }
}

pub(crate) async fn policy(json: bool, folder: &Folder, verb: &PolicyVerb) -> Result<(), Failure> {
    let access = AdminAccess::new(folder);
    match verb {
        PolicyVerb::List => {
            let answer = access.ask(&ListPolicies).await?;
            cli::say(json, &list(&answer, &folder.config), &answer);
        }
        PolicyVerb::Show { name } => {
            let answer = access.ask(&ShowPolicy { name: name.clone() }).await?;
            cli::say(json, &details(&answer, &folder.config), &answer);
        }
        PolicyVerb::Set(args) => {
            let answer = access.ask(&SetPolicy(args.edit())).await?;
            cli::say(json, &set(&answer, &folder.config), &answer);
        }
        PolicyVerb::Remove { name, yes } => {
            let known = access.ask(&ShowPolicy { name: name.clone() }).await?;
            if known.policy.origin == PolicyOrigin::Registry {
                let what = removal(&known);
                terminal::confirm(Ask::Always.unless(*yes), json, &what)?;
            }
            let answer = access.ask(&RemovePolicy { name: name.clone() }).await?;
            let text = format!("There is no policy {name} any more.\n{}", warning(answer.exposure));
            let text = format!("{}{}", text.trim_end(), refusals::changes(&answer.ports));
            cli::say(json, &text, &answer);
        }
        PolicyVerb::Move { name } => {
            let answer = access.ask(&MovePolicyToFile { name: name.clone() }).await?;
            let text = format!("In force:\n{}{}", shown(&answer.policy), warning(answer.exposure));
            let text = format!("{}{}", text.trim_end(), refusals::changes(&answer.ports));
            cli::say(json, &text, &answer);
        }
        PolicyVerb::Test { name, from, holder } => {
            let request = TestPolicy { name: name.clone(), from: *from, key: holder.clone() };
            let answer = access.ask(&request).await?;
            // Programs read it in the answer's form; a person takes what is said of a typing mistake for the policy's word.
            if let (false, Some(KeyState::Unknown), Some(key)) = (json, answer.key_state, &answer.key) {
                let failure = Failure::new(ExitCode::Failed, format!("there is no key {key}"));
                return Err(failure.hint("see them with: petit-server key list"));
            }
            cli::say(json, &tested(&answer), &answer);
        }
    }
    Ok(())
}

fn list(answer: &PolicyList, file: &Path) -> String {
    let warning = warning(answer.exposure);
    let keyless = answer.policies.iter().filter_map(PolicyView::keyless);
    let keyless: String = keyless.map(|it| format!("\n{}", refusals::keyless(&it, file))).collect();
    if answer.policies.is_empty() {
        return format!("No policies. {warning}");
    }
    let mut rows = vec![["POLICY", "SERVICES", "FROM", "KEYS", "LIMITS", ""].map(str::to_owned).to_vec()];
    rows.extend(answer.policies.iter().map(|PolicyView { policy, origin, revoked_keys, nobodys }| {
        let unused = (!nobodys.is_empty()).then(|| format!("no service is called {}", joined(nobodys)));
        let notes = [
            unused.as_deref(),
            (*origin == PolicyOrigin::ConfigFile).then_some("from config.toml"),
            (policy.enforcement == Enforcement::CountOnly).then_some("counts only"),
        ];
        vec![
            policy.name.to_string(),
            joined(&policy.services),
            from(policy),
            keys_of(policy, revoked_keys),
            limits(policy).join(", "),
            notes.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ]
    }));
    format!("{}\n{warning}{keyless}", table(&rows)).trim_end().to_owned()
}

fn date(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

fn details(answer: &PolicyDetails, file: &Path) -> String {
    let keyless = answer.policy.keyless();
    let keyless = keyless.map(|it| format!("\n{}", refusals::keyless(&it, file))).unwrap_or_default();
    let holds_for = match answer.holds_for.as_slice() {
        [] => "no service yet".to_owned(),
        ids => joined(ids),
    };
    let since = answer.counts_since.map(|since| format!(" (since {})", date(since))).unwrap_or_default();
    let counts = answer.counts.as_ref().map(|counts| {
        let said = refusals::said(counts);
        if said.is_empty() { vec!["has refused nobody yet".to_owned()] } else { said }
    });
    let counts: String =
        counts.into_iter().flatten().map(|said| format!("\n  {:<9}  {said}{since}", "counts")).collect();
    let ports: String =
        answer.shut_ports.iter().map(|port| format!("\n  {:<9}  {}", "shut", refusals::shut(port))).collect();
    format!("{}  holds for  {holds_for}{counts}{ports}{keyless}", shown(&answer.policy))
}

fn set(answer: &PolicyChanged, file: &Path) -> String {
    let mut text = format!("In force:\n{}", shown(&answer.policy));
    for ServiceLeft { id, is_open, now } in &answer.left {
        let now = match (now, is_open) {
            (None, _) => "has no policy now, and is open to anybody who knows its name".to_owned(),
            (Some(now), true) => {
                format!("has the policy {now} now, and is open to anybody who knows its name")
            }
            (Some(now), false) => format!("has the policy {now} now"),
        };
        text.push_str(&format!("It is not for service {id} any more, which {now}.\n"));
    }
    for alias in &answer.nobodys {
        text.push_str(&format!("No service is called {alias} yet; the policy holds for it once one is.\n"));
    }
    if let Some(default) = &answer.without_key_of {
        text.push_str(&format!(
            "It takes the place of the policy {default} for its services, so they are asked for no key; let it ask for one with --key.\n"
        ));
    }
    if let Some(keyless) = answer.policy.keyless() {
        text.push_str(&format!("{}\n", refusals::keyless(&keyless, file)));
    }
    text.push_str(&warning(answer.exposure));
    format!("{}{}", text.trim_end(), refusals::changes(&answer.ports))
}

/// A policy, a line for each thing that it asks for.
fn shown(PolicyView { policy, origin, revoked_keys, nobodys }: &PolicyView) -> String {
    let keys = keys_of(policy, revoked_keys);
    let mut lines = vec![("services", joined(&policy.services)), ("from", from(policy)), ("keys", keys)];
    lines.extend(limits(policy).into_iter().map(|limit| ("limit", limit)));
    if policy.enforcement == Enforcement::CountOnly {
        lines.push(("", "it only counts whom it would refuse".to_owned()));
    }
    if !nobodys.is_empty() {
        lines.push(("", format!("no service is called {}: not yet, or not any more", joined(nobodys))));
    }
    if *origin == PolicyOrigin::ConfigFile {
        lines.push(("", "from config.toml, and changed there".to_owned()));
    }
    let lines: String = lines.iter().map(|(what, text)| format!("  {what:<9}  {text}\n")).collect();
    format!("{}\n{lines}", policy.name)
}

pub(crate) fn from(policy: &Policy) -> String {
    policy.from.as_ref().map_or_else(
        || "anywhere".to_owned(),
        |networks| {
            AddressList::parse(networks.iter().map(ToString::to_string)).unwrap_or_default().to_string()
        },
    )
}

/// Those that it asks for; which of them are `revoked`.
pub(crate) fn keys_of(policy: &Policy, revoked: &[VisitorKeyName]) -> String {
    let Some(keys) = &policy.keys else { return "not asked for".to_owned() };
    let said = |key| if revoked.contains(key) { format!("{key} (revoked)") } else { key.to_string() };
    joined(&keys.iter().map(said).collect::<Vec<_>>())
}

pub(crate) fn limits(policy: &Policy) -> Vec<String> {
    let per = match policy.per {
        LimitPer::Visitor => "a visitor",
        LimitPer::Service => "a service",
    };
    let burst = policy.burst.map(|burst| format!(", {burst} at once")).unwrap_or_default();
    let limits = [
        policy.rate.map(|rate| format!("{rate} a second for {per}{burst}")),
        policy.concurrent.map(|most| format!("{most} at the same time for {per}")),
        policy.max_body.map(|most| format!("bodies of {}", config::body_size(most))),
    ];
    limits.into_iter().flatten().collect()
}

pub(crate) fn joined(list: &[impl ToString]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// What comes of it when a policy is taken away: who is let in first.
fn removal(known: &PolicyDetails) -> String {
    let name = &known.policy.policy.name;
    let held = match known.holds_for.len() {
        0 => format!("there is no policy {name} any more"),
        1 => format!("the visitors of 1 service are not held to the policy {name}"),
        many => format!("the visitors of {many} services are not held to the policy {name}"),
    };
    match known.exposure_without.map(warning).filter(|warning| !warning.is_empty()) {
        Some(warning) => format!("{} then, and {held}", warning.trim_end_matches('.')),
        None => format!("{held} then"),
    }
}

/// What is open to anybody who knows the name, if anything is.
pub(crate) fn warning(exposure: Exposure) -> String {
    let Exposure { open, services, new_are_open } = exposure;
    match (open, new_are_open) {
        (0, false) => String::new(),
        (0, true) => "A service that no policy names is open to anybody who knows the name.".to_owned(),
        (open, _) => format!(
            "{open} of {services} services {} open to anybody who knows the name.",
            if open == 1 { "is" } else { "are" }
        ),
    }
}

fn tested(answer: &PolicyTested) -> String {
    let who =
        answer.key.as_ref().map_or_else(|| "without a key".to_owned(), |key| format!("with the key {key}"));
    let mut lines = vec![format!("A visitor from {} {who}, by the policy {}:", answer.from, answer.policy)];
    lines.extend(answer.steps.iter().map(|of| step(*of, answer.key_state)));
    lines.push(match (&answer.refusal, answer.admitted) {
        (None, _) => "The visitor gets in.".to_owned(),
        (Some(refusal), true) => {
            format!(
                "The visitor gets in, because the policy only counts; else: {} {}.",
                refusal.status, refusal.error
            )
        }
        (Some(refusal), false) => {
            format!(
                "The visitor is refused: {} {}. {} A raw TCP connection is reset.",
                refusal.status, refusal.error, refusal.title
            )
        }
    });
    lines.join("\n")
}

fn step(StepView { step, verdict }: StepView, key: Option<KeyState>) -> String {
    let what = match step {
        PolicyStep::Address => "where it comes from",
        PolicyStep::AddressLimits => "how much comes from there",
        PolicyStep::Key => "its key",
        PolicyStep::KeyLimits => "how much comes with that key, or to the service",
        PolicyStep::Body => "how long its body is",
    };
    let (mark, said) = match (verdict, step, key) {
        (PolicyVerdict::NotAsked, ..) => ("·", "not asked for"),
        (PolicyVerdict::Kept, ..) => ("✔", "kept"),
        (PolicyVerdict::Broken, PolicyStep::Key, None) => ("✘", "not kept: none is shown"),
        (PolicyVerdict::Broken, PolicyStep::Key, Some(KeyState::Revoked)) => {
            ("✘", "not kept: that key is revoked")
        }
        (PolicyVerdict::Broken, PolicyStep::Key, Some(_)) => ("✘", "not kept: it is no key of this policy"),
        (PolicyVerdict::Broken, ..) => ("✘", "not kept"),
    };
    format!("{mark} {what}: {said}")
}
