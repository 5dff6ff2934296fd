//! What `cargo xtask release` is told.

use std::path::{PathBuf, absolute};
use std::str::FromStr;

use petit_host::update::{Channel, FileName, Target, Version};

use super::assembly::updated;
use super::part::Part;
use crate::dist::has_arm64;
use crate::made::Build;

/// `release build --into FOLDER [--roots FILE] [--brand FILE] [--parts A,B] [--debug [--from FOLDER]]`.
pub(super) struct BuildArguments {
    pub(super) into: PathBuf,
    /// The public halves of the root keys, which packages and installers bring.
    pub(super) roots: Option<PathBuf>,
    /// A vendor's file.
    pub(super) brand: Option<PathBuf>,
    pub(super) parts: Vec<Part>,
    pub(super) build: Build,
    /// Where the programs for this machine are, unless they are built.
    pub(super) from: Option<PathBuf>,
}

/// `release key --public FILE --number N [--days N] --into FOLDER`.
pub(super) struct KeyArguments {
    pub(super) public: PathBuf,
    pub(super) number: u64,
    pub(super) days: u32,
    pub(super) into: PathBuf,
}

/// `release sign --roots FILE --key FILE --into FOLDER [--channel C] [--days N] [--minimum V] [--revoke V]…
/// [--version V] [--from FOLDER] [TARGET=FILE]…`.
pub(super) struct SignArguments {
    /// The public halves of the root keys.
    pub(super) roots: PathBuf,
    /// The secret half of the release key, for minisign.
    pub(super) key: PathBuf,
    pub(super) into: PathBuf,
    pub(super) channel: Option<Channel>,
    pub(super) days: u32,
    pub(super) minimum: Option<Version>,
    pub(super) revoked: Vec<Version>,
    made: Vec<Made>,
    /// A folder of `release build`, whose clients are taken.
    from: Option<PathBuf>,
    /// Of all that is named.
    version: Version,
}

/// A program that was built.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) target: Target,
    pub(super) version: Version,
    pub(super) file: PathBuf,
}

/// Half a year: what is stolen does not last.
const KEY_DAYS: u32 = 180;
/// Long enough for holidays, and short enough that nobody is kept on an old version for long unnoticed.
const MANIFEST_DAYS: u32 = 14;
/// What a release key may sign for at most.
const MOST_DAYS: u32 = 400;

impl BuildArguments {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, String> {
        let (flags, arguments): (Vec<_>, Vec<_>) =
            arguments.iter().cloned().partition(|word| word == "--debug");
        let mut given = Given::default();
        let rest = given.take(&arguments, &["--into", "--roots", "--brand", "--parts", "--from"])?;
        if let Some(other) = rest.first() {
            return Err(format!("release build does not know {other:?}"));
        }
        let build = if flags.is_empty() { Build::Release } else { Build::Debug };
        let from = given.path("--from")?;
        if from.is_some() && build == Build::Release {
            return Err("--from is for trying this out, with --debug: a release is built here".to_owned());
        }
        let into = given.path("--into")?.ok_or("--into is missing: the folder that it is laid into")?;
        let (roots, brand) = (given.path("--roots")?, given.path("--brand")?);
        let parts = given.one::<String>("--parts")?.map_or_else(usual_parts, |named| parts(&named))?;
        Ok(Self { into, roots, brand, parts, build, from })
    }
}

fn usual_parts() -> Result<Vec<Part>, String> {
    let has_arm64 = has_arm64()?;
    Ok(Part::ALL.into_iter().filter(|part| *part != Part::LinuxArm64 || has_arm64).collect())
}

fn parts(named: &str) -> Result<Vec<Part>, String> {
    let part = |name: &str| {
        let known = Part::ALL.map(Part::name).join(", ");
        let found = Part::ALL.into_iter().find(|part| part.name() == name);
        found.ok_or_else(|| format!("a release has no part {name:?}, but {known}"))
    };
    named.split(',').map(part).collect()
}

impl KeyArguments {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut given = Given::default();
        let rest = given.take(arguments, &["--public", "--number", "--days", "--into"])?;
        if let Some(other) = rest.first() {
            return Err(format!("release key does not know {other:?}"));
        }
        Ok(Self {
            public: given.need("--public", "the file of the public key")?,
            number: given.need("--number", "a higher one than the key before it has, 1 for the first")?,
            days: given.days(KEY_DAYS)?,
            into: given.need("--into", "the folder of the release")?,
        })
    }
}

impl SignArguments {
    pub(super) fn parse(arguments: &[String]) -> Result<Self, String> {
        const OPTIONS: &[&str] = &[
            "--roots",
            "--key",
            "--into",
            "--channel",
            "--days",
            "--minimum",
            "--revoke",
            "--version",
            "--from",
        ];
        let mut given = Given::default();
        let rest = given.take(arguments, OPTIONS)?;
        let own: Version = env!("CARGO_PKG_VERSION").parse().map_err(|error| format!("{error}"))?;
        let version = given.one("--version")?.unwrap_or(own);
        let made = rest.iter().map(|word| Made::parse(word, &version)).collect::<Result<Vec<_>, _>>()?;
        let arguments = Self {
            roots: given.need("--roots", "a file with the public halves of the three root keys")?,
            key: given.need("--key", "the file of the release key")?,
            into: given.need("--into", "the folder of the release")?,
            channel: given.one("--channel")?,
            days: given.days(MANIFEST_DAYS)?,
            minimum: given.one("--minimum")?,
            revoked: given.all("--revoke")?,
            made,
            from: given.path("--from")?,
            version,
        };
        let names_none = arguments.made.is_empty() && arguments.from.is_none();
        if names_none && (arguments.minimum.is_some() || !arguments.revoked.is_empty()) {
            return Err(
                "--minimum and --revoke are said of artifacts: name them as TARGET=FILE, or the folder that they are in by --from"
                    .to_owned(),
            );
        }
        Ok(arguments)
    }
}

impl SignArguments {
    /// The programs that are to be signed.
    pub(super) fn programs(&self) -> Result<Vec<Made>, String> {
        let found = self.from.as_deref().map_or(Ok(Vec::new()), updated)?;
        let found =
            found.into_iter().map(|(target, file)| Made { target, version: self.version.clone(), file });
        Ok(self.made.iter().cloned().chain(found).collect())
    }
}

impl Made {
    fn parse(word: &str, version: &Version) -> Result<Self, String> {
        let (target, file) = word
            .split_once('=')
            .ok_or_else(|| format!("release sign does not know {word:?}; artifacts are named TARGET=FILE"))?;
        let target = target.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { target, version: version.clone(), file: file.into() })
    }

    /// What it is called in a release: of which target and version it is can be seen by its name.
    pub(super) fn file_name(&self) -> Result<FileName, String> {
        let Self { target, version, file } = self;
        let ending = file.extension().filter(|ending| *ending == "exe").map_or("", |_| ".exe");
        format!("{target}-{version}{ending}").parse().map_err(|error| format!("{error}"))
    }
}

/// Options with their values, in the order in which they were given.
#[derive(Default)]
struct Given(Vec<(String, String)>);

impl Given {
    /// Takes the options that are known; returns what is none.
    fn take(&mut self, arguments: &[String], known: &[&str]) -> Result<Vec<String>, String> {
        let mut others = Vec::new();
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            if !word.starts_with("--") {
                others.push(word.clone());
            } else if known.contains(&word.as_str()) {
                let value = rest.next().ok_or_else(|| format!("{word} wants a value"))?;
                self.0.push((word.clone(), value.clone()));
            } else {
                return Err(format!("there is no {word} here, but {}", known.join(", ")));
            }
        }
        Ok(others)
    }

    fn all<T: FromStr<Err: std::fmt::Display>>(&self, option: &str) -> Result<Vec<T>, String> {
        let values = self.0.iter().filter(|(name, _)| name == option);
        values.map(|(_, value)| value.parse().map_err(|error| format!("{option} {value}: {error}"))).collect()
    }

    fn one<T: FromStr<Err: std::fmt::Display>>(&self, option: &str) -> Result<Option<T>, String> {
        let mut values = self.all(option)?;
        if values.len() > 1 {
            return Err(format!("{option} is there twice"));
        }
        Ok(values.pop())
    }

    fn need<T: FromStr<Err: std::fmt::Display>>(&self, option: &str, what: &str) -> Result<T, String> {
        self.one(option)?.ok_or_else(|| format!("{option} is missing: {what}"))
    }

    /// A path from here, as a whole.
    fn path(&self, option: &str) -> Result<Option<PathBuf>, String> {
        let given = self.one::<String>(option)?;
        given.map(|path| absolute(&path).map_err(|error| format!("{option} {path}: {error}"))).transpose()
    }

    fn days(&self, usual: u32) -> Result<u32, String> {
        let days = self.one("--days")?.unwrap_or(usual);
        let is_right = (1..=MOST_DAYS).contains(&days);
        is_right.then_some(days).ok_or_else(|| format!("--days may be 1 to {MOST_DAYS}"))
    }
}
