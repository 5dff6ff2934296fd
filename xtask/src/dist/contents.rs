//! What is in which package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use petit_host::update::ROOTS;

use super::making::{Flavour, Making};
use crate::notices;
use crate::run::{root, succeed};

/// The packages that there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Name {
    Tray,
    Client,
    Server,
}

impl Name {
    pub(crate) const ALL: [Self; 3] = [Self::Tray, Self::Client, Self::Server];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tray => "petit",
            Self::Client => "petit-client",
            Self::Server => "petit-server",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    /// The programs with a command line made by clap, which writes manual pages and completions.
    pub(super) fn command_lines(self) -> &'static str {
        match self {
            Self::Tray | Self::Client => "petit-client",
            Self::Server => "petit-server",
        }
    }
}

/// What a file is to whoever packs it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Stripped.
    Program,
    /// Kept as its owner has changed it.
    Config,
    Plain,
}

/// A file, and where it goes.
pub(super) struct File {
    pub(super) from: PathBuf,
    /// Without the slash in front.
    pub(super) to: String,
    pub(super) kind: Kind,
}

/// All that is in a package, and what it says of itself.
pub(super) struct Contents {
    pub(super) name: Name,
    pub(super) summary: &'static str,
    /// Lines of its description.
    pub(super) description: &'static [&'static str],
    pub(super) files: Vec<File>,
    /// Units of the system that are enabled when it is installed.
    pub(super) units: Vec<String>,
    /// Where its data is, which stays when it is purged.
    pub(super) data: &'static [&'static str],
    /// Of that, what is there as long as a vendor knows the computer.
    pub(super) registration: &'static str,
}

impl Contents {
    pub(super) fn of(
        name: Name,
        making: &Making<'_>,
        flavour: Flavour,
        manual: &Path,
    ) -> Result<Self, String> {
        let (summary, description, data): (_, &[_], &[_]) = match name {
            Name::Tray => (
                "makes a service on this computer reachable for one vendor",
                &[
                    "The customer's side of Petit: the tray app (petit) and the program without a",
                    "window (petit-client). Nothing is started by installing it.",
                ],
                &[],
            ),
            Name::Client => (
                "makes a service on this computer reachable for one vendor, as a service",
                &[
                    "The customer's side of Petit for computers without a desktop: petit-client, as",
                    "a service of the system that begins when it is registered, and as one of a user.",
                ],
                &["/var/lib/private/petit-client"],
            ),
            Name::Server => (
                "the vendor's side of Petit, a connector to customers' services",
                &[
                    "Hands out invites, keeps the registry, and routes requests down the tunnels. The",
                    "service begins when petit-server init has made its key.",
                ],
                &[
                    "/var/lib/private/petit-server",
                    "/etc/credstore/petit-server.key",
                    "/etc/credstore/petit-backup.*",
                ],
            ),
        };
        let registration = match name {
            Name::Client => "/var/lib/private/petit-client/registration.json",
            // Each user of the tray app has one of their own, in their home.
            Name::Tray | Name::Server => "",
        };
        let (files, units) = (Vec::new(), Vec::new());
        let mut this = Self { name, summary, description, files, units, data, registration };
        this.programs(making.programs);
        if let Some(roots) = making.roots {
            let to = format!("usr/lib/{}/{ROOTS}", name.command_lines());
            this.add(roots.file().to_owned(), to, Kind::Plain);
            if name == Name::Tray {
                // Beside the program that looks for releases there.
                this.add(roots.file().to_owned(), format!("usr/lib/petit/{ROOTS}"), Kind::Plain);
            }
        }
        this.notices(making, manual)?;
        this.texts(making.runnable, flavour, manual)?;
        if name != Name::Tray {
            this.service(flavour, manual)?;
        }
        Ok(this)
    }

    fn add(&mut self, from: PathBuf, to: String, kind: Kind) {
        self.files.push(File { from, to, kind });
    }

    fn programs(&mut self, programs: &Path) {
        let program = self.name.command_lines();
        self.add(programs.join(program), format!("usr/bin/{program}"), Kind::Program);
        let name = self.name.as_str();
        self.add(root().join("LICENSE-MIT"), format!("usr/share/doc/{name}/copyright"), Kind::Plain);
        if self.name != Name::Tray {
            return;
        }
        self.add(programs.join("petit"), "usr/bin/petit".to_owned(), Kind::Program);
        self.add(programs.join("petit-desktop"), "usr/lib/petit/petit-desktop".to_owned(), Kind::Program);
        let (linux, icons) = (root().join("packaging/linux"), root().join("icons"));
        for (from, to) in [
            (linux.join("petit.desktop"), "applications/petit.desktop"),
            (linux.join("dev.petit.desktop.metainfo.xml"), "metainfo/dev.petit.desktop.metainfo.xml"),
            (icons.join("petit.svg"), "icons/hicolor/scalable/apps/petit.svg"),
            (icons.join("rendered/petit-48.png"), "icons/hicolor/48x48/apps/petit.png"),
            (icons.join("rendered/petit-128.png"), "icons/hicolor/128x128/apps/petit.png"),
        ] {
            self.add(from, format!("usr/share/{to}"), Kind::Plain);
        }
    }

    /// The licences of what is built into the programs.
    fn notices(&mut self, making: &Making<'_>, made: &Path) -> Result<(), String> {
        let packages: &[&str] = match self.name {
            Name::Tray => &["petit-client", "petit-desktop"],
            Name::Client => &["petit-client"],
            Name::Server => &["petit-server"],
        };
        let name = self.name.as_str();
        let from = made.join(format!("{name}-{}", notices::FILE));
        fs::create_dir_all(made).map_err(|error| format!("{}: {error}", made.display()))?;
        fs::write(&from, notices::of(packages, making.architecture.triple())?)
            .map_err(|error| format!("{}: {error}", from.display()))?;
        self.add(from, format!("usr/share/doc/{name}/{}", notices::FILE), Kind::Plain);
        Ok(())
    }

    /// Manual pages and completions, as the program itself writes them.
    fn texts(&mut self, runnable: &Path, flavour: Flavour, manual: &Path) -> Result<(), String> {
        let program = self.name.command_lines();
        let pages = manual.join(program);
        let _ = fs::remove_dir_all(&pages);
        fs::create_dir_all(&pages).map_err(|error| format!("{}: {error}", pages.display()))?;
        // In English, whatever whoever makes packages speaks.
        let run = || {
            let mut command = Command::new(runnable.join(program));
            command.env("LC_ALL", "C.UTF-8").env_remove("LANGUAGE");
            command
        };
        succeed(run().arg("man").arg(&pages))?;
        for page in in_order(&pages)? {
            succeed(Command::new("gzip").arg("-9n").arg(&page))?;
            let name = file_name(&page);
            self.add(pages.join(format!("{name}.gz")), format!("usr/share/man/man1/{name}.gz"), Kind::Plain);
        }
        let zsh = match flavour {
            Flavour::Deb => "zsh/vendor-completions",
            Flavour::Rpm => "zsh/site-functions",
        };
        for (shell, to) in [
            ("bash", format!("bash-completion/completions/{program}")),
            ("zsh", format!("{zsh}/_{program}")),
            ("fish", format!("fish/vendor_completions.d/{program}.fish")),
        ] {
            let said = run().args(["completion", shell]).output();
            let said = said.map_err(|error| format!("{program} completion {shell}: {error}"))?;
            if !said.status.success() {
                return Err(format!("{program} completion {shell} ended with {}", said.status));
            }
            let from = manual.join(format!("{program}.{shell}"));
            fs::write(&from, said.stdout).map_err(|error| format!("{}: {error}", from.display()))?;
            self.add(from, format!("usr/share/{to}"), Kind::Plain);
        }
        Ok(())
    }

    /// Units, and the config file.
    fn service(&mut self, flavour: Flavour, made: &Path) -> Result<(), String> {
        let name = self.name.as_str();
        for unit in in_order(&root().join("packaging/systemd"))? {
            let file = file_name(&unit);
            let is_ours = file.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '-']));
            if !is_ours {
                continue;
            }
            if let Some((before, after)) = file.split_once("-user.") {
                self.add(unit, format!("usr/lib/systemd/user/{before}.{after}"), Kind::Plain);
                continue;
            }
            let text = read(&unit)?;
            if text.contains("[Install]") {
                self.units.push(file.clone());
            }
            self.add(unit, format!("usr/lib/systemd/system/{file}"), Kind::Plain);
        }
        // They are stopped first: one that still listens would start its service again.
        self.units.sort_by_key(|unit| !unit.ends_with(".socket"));
        if flavour == Flavour::Rpm {
            // There a service is disabled unless something says otherwise; ours do nothing before they are set up.
            let preset = made.join(format!("{name}.preset"));
            let lines: String = self.units.iter().map(|unit| format!("enable {unit}\n")).collect();
            fs::write(&preset, lines).map_err(|error| format!("{}: {error}", preset.display()))?;
            self.add(preset, format!("usr/lib/systemd/system-preset/50-{name}.preset"), Kind::Plain);
        }
        let (config, template) = match self.name {
            Name::Server => ("server.toml", "petit-server/src/template.toml"),
            Name::Client | Name::Tray => ("client.toml", "petit-client/src/config/template.toml"),
        };
        // Short, so that no new version has other words in it than what somebody has edited.
        self.add(root().join("packaging/systemd").join(config), format!("etc/petit/{config}"), Kind::Config);
        let example = format!("usr/share/doc/{name}/examples/{config}");
        self.add(root().join(template), example, Kind::Plain);
        Ok(())
    }

    /// A script of the package manager's, with what is this package's own put into it.
    pub(super) fn script(&self, flavour: Flavour, path: &Path) -> Result<String, String> {
        let part = |name: &str| read(&root().join("packaging/linux").join(name));
        let restart = match flavour {
            Flavour::Deb => "deb-systemd-invoke restart",
            Flavour::Rpm => "systemctl restart",
        };
        let text = read(path)?
            .replace("@HAND-OVER@\n", &part("hand-over")?)
            .replace("@STOP-USERS@\n", &part("stop-users")?);
        let config = self.files.iter().find(|file| file.kind == Kind::Config);
        let config = config.map(|file| format!("/{}", file.to)).unwrap_or_default();
        Ok(text
            .replace("@NAME@", self.name.as_str())
            .replace("@BESIDE@", config.trim_end_matches(".toml"))
            .replace("@CONFIG@", &config)
            .replace("@RESTART@", restart)
            .replace("@UNITS@", &self.units.join(" "))
            .replace("@DATA@", &self.data.join(" "))
            .replace("@REGISTRATION@", self.registration))
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The files of a folder, by name.
fn in_order(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
