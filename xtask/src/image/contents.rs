//! What is in each image.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::build::{Built, read};
use super::layer::{Entry, Owner};
use super::layout::Image;
use super::moment::rfc3339;
use super::sbom;
use crate::notices;
use crate::run::root;

/// A program, and what its image says of it.
pub(super) struct Program {
    pub(super) name: &'static str,
    title: &'static str,
    description: &'static str,
    /// The folder in the volume that is its own.
    folder: &'static str,
    ports: &'static [&'static str],
}

pub(super) const PROGRAMS: [Program; 2] = [
    Program {
        name: "petit-server",
        title: "Petit server",
        description: "The vendor's side of Petit: hands out invites, keeps the registry, routes requests down the tunnels",
        folder: "server",
        ports: &["443/tcp", "8453/tcp"],
    },
    Program {
        name: "petit-client",
        title: "Petit client",
        description: "The customer's side of Petit: makes a private service reachable for one vendor",
        folder: "client",
        ports: &[],
    },
];

/// Where everything is that outlives a container. The program makes a folder of its own in it, so that it does not matter
/// whose the volume itself is.
const VOLUME: &str = "/var/lib/petit";

impl Program {
    /// Its image, of the programs of one build. `revision`: the commit that they were built from, where that is known.
    pub(super) fn image(&self, built: &Built, moment: u64, revision: Option<&str>) -> Result<Image, String> {
        let name = self.name;
        let bom = sbom::of(name, built.architecture.target(), moment)?;
        let mut entries = vec![
            Entry::program(&format!("usr/bin/{name}"), built.program(name)?),
            Entry::file(&format!("usr/share/doc/{name}/sbom.cdx.json"), format!("{bom:#}\n")),
            Entry::file("etc/passwd", passwd()),
            Entry::file("etc/group", format!("root:x:0:\npetit:x:{}:\n", Owner::Petit.number())),
            // Names of the container's own before those that are asked for; engines put a longer list into its place.
            Entry::file("etc/nsswitch.conf", "hosts: files dns\n"),
            Entry::file("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
            Entry::file("etc/ssl/certs/ca-certificates.crt", authorities()),
            Entry::folder("tmp", 0o1777, Owner::Root),
            Entry::folder(VOLUME.trim_start_matches('/'), 0o700, Owner::Petit),
        ];
        for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
            entries
                .push(Entry::file(&format!("usr/share/doc/{name}/{licence}"), read(&root().join(licence))?));
        }
        let notices = notices::of(&[name], built.architecture.target())?;
        entries.push(Entry::file(&format!("usr/share/doc/{name}/{}", notices::FILE), notices));
        for (path, content) in built.libraries(name)? {
            entries.push(Entry::program(path.trim_start_matches('/'), content));
        }
        let annotations = self.annotations(moment, revision);
        let config = self.config(&annotations);
        Ok(Image { architecture: built.architecture.name(), entries, config, annotations })
    }

    fn annotations(&self, moment: u64, revision: Option<&str>) -> BTreeMap<String, String> {
        let mut said = vec![
            ("title", self.title.to_owned()),
            ("description", self.description.to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("created", rfc3339(moment)),
            ("licenses", "MIT OR Apache-2.0".to_owned()),
            ("vendor", "The Petit authors".to_owned()),
        ];
        said.extend(revision.map(|revision| ("revision", revision.to_owned())));
        said.into_iter().map(|(key, text)| (format!("org.opencontainers.image.{key}"), text)).collect()
    }

    /// How it is run.
    fn config(&self, labels: &BTreeMap<String, String>) -> Value {
        let petit = Owner::Petit.number();
        let ports: BTreeMap<&str, Value> = self.ports.iter().map(|port| (*port, json!({}))).collect();
        json!({
            "User": format!("{petit}:{petit}"),
            "Env": [
                "PATH=/usr/bin",
                format!("HOME={VOLUME}"),
                format!("PETIT_CONFIG={VOLUME}/{}/config.toml", self.folder),
            ],
            "Entrypoint": [format!("/usr/bin/{}", self.name)],
            "Cmd": ["run"],
            "WorkingDir": VOLUME,
            "Volumes": { VOLUME: {} },
            "ExposedPorts": ports,
            "StopSignal": "SIGTERM",
            "Labels": labels,
        })
    }
}

fn passwd() -> String {
    let petit = Owner::Petit.number();
    format!("root:x:0:0:root:/:/sbin/nologin\npetit:x:{petit}:{petit}:Petit:{VOLUME}:/sbin/nologin\n")
}

/// Whom visitors trust: the authorities of Mozilla's programme, as the lock file has them. There is no system here that
/// would bring its own.
fn authorities() -> String {
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = data_encoding::BASE64.encode(certificate);
        for line in encoded.as_bytes().chunks(64) {
            let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}
