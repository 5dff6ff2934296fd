//! `cargo xtask`: what a person does with this repository, as one word each.
//!
//! ```text
//! cargo xtask demo    a whole Petit on this machine, with a real request through the tunnel
//! cargo xtask test    everything that CI checks; installs what it needs first
//! cargo xtask bench   Petit beside other tunnels, in figures; installs what it needs first
//! cargo xtask setup   installs what the tests need
//! cargo xtask conformance   runs the tests of traffic and writes docs/conformance.md
//! cargo xtask dist    packages for Linux (dist linux), the installer for Windows (dist windows), or the app for macOS
//!                     (dist macos)
//! cargo xtask image   container images of server and client
//! cargo xtask release builds all that is handed out, and signs what installations update themselves to
//! cargo xtask check-macos   whether the programs compile for macOS
//! cargo xtask icons   the icons, rendered from their vector source
//! cargo xtask audit   licences, bans, sources and advisories of all dependencies
//! cargo xtask soak    ordinary life for a while, and what it leaves behind
//! cargo xtask mutants breaks the code in one place after the other; the tests have to notice
//! cargo xtask figures what the tests measure, as often as docs/reliability.md speaks of
//! ```
//!
//! No product code lives here: the demo runs the real programs.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

mod arm64;
mod bench;
mod beside;
mod built_in;
mod circles;
mod conformance;
mod demo;
mod dependencies;
mod dist;
mod dist_macos;
mod dist_windows;
mod documented;
mod icons;
mod image;
mod long;
mod macos;
mod made;
mod minimum;
mod mutants;
mod notices;
mod old;
mod page;
mod release;
mod run;
mod setup;
mod systemd;
mod test;
mod watch;
mod windows;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  demo [--once] [--headless] [--service HOST:PORT]
        run a server, a client and a small service on this machine, send a
        request through the tunnel and show the answer and how long each hop
        took; where there is a desktop the client is the tray app, unless
        --headless keeps it away; --service exposes a service of yours instead;
        --once ends after the request
  test [--quick | --all | STEP]
        install what the tests need (Debian packages, as root or by sudo), then
        check formatting, lints and documentation and run all tests, those of
        the window's page in a browser included; --quick installs nothing, and
        runs formatting, circles, lints and the unit tests; --all runs today's
        programs beside those of an older version as well, builds with the
        oldest Rust that is promised, checks the code for macOS, runs container
        images, and runs the programs for arm64 under qemu; with the name of a step (formatting,
        circles, dependencies, lints, documentation, page, tests, conformance,
        windows, systemd, units, old, minimum, macos, image, arm64) only that one
  prepare tests | windows
        build what this step of test runs; test does so by itself, for both
        beside the steps before them
  bench [--quick] [--rounds N] [--only A,B] [--counts] [--profile]
        [--json FILE] [--docs]
        install nginx, haproxy and the like (Debian packages) and rathole, then
        measure Petit beside them; --help says more
  setup install what the tests need, and nothing else
  conformance
        run the tests of what passes through the tunnel and write down in
        docs/conformance.md what they found
  dist linux [--debug] [--from FOLDER] [--into FOLDER] [--roots FILE] [NAME …]
        make packages for Debian (.deb) and RPM in target/dist: petit (the tray
        app, with petit-client), petit-client and petit-server as services, or
        those that are named, for this machine's processor, and client and
        server for arm64; --debug packs them as the tests use them, for this
        machine alone; --from packs programs that are built already; --roots
        brings the root keys, by which what is installed is told of new versions
  dist windows [--brand FILE] [--roots FILE] [--debug]
        build client, server and tray app for Windows and make petit-setup.exe
        (NSIS), or with --brand that of a vendor, whose file says its name, icon
        and server; installs what it needs first
  dist macos [--brand FILE] [--debug] [--sign IDENTITY [--notarise PROFILE]]
        on a Mac: build client and tray app for both processors and make a disk
        image with the app, signed with a certificate of the keychain, and
        notarised with an account that xcrun notarytool store-credentials has
        put there; no Mac has run it yet
  image [--debug]
        make container images of petit-server and petit-client for amd64 and
        arm64: an OCI layout with both, and a file for podman load each; --debug
        packs the programs as the tests use them, for this machine alone
  release build --into FOLDER [--roots FILE] [--brand FILE] [--parts A,B]
        [--debug [--from FOLDER]]
        build all that is handed out from this machine, and lay it into a new
        folder: programs, packages, installers, images, what each is built from
        (SBOM), and checksums; say what was not made. The parts are linux,
        linux-arm64, windows and images; --debug tries it out with programs as
        the tests use them. Takes an hour where nothing is built yet
  release sign --roots FILE --key FILE --into FOLDER [--channel stable|beta]
        [--days N] [--minimum V] [--revoke V] [--version V]
        [--from FOLDER] [TARGET=FILE …]
        put programs into the folder of a release and sign its manifest, which
        says what there is for whom: the clients of a folder that release build
        has made, or those that are named; without programs, sign it anew for another
        14 days. minisign asks for the password of the release key
  release key --public FILE --number N [--days N] --into FOLDER
        write down a release key for the holders of the root keys to sign;
        docs/releasing.md says how that is done
  check-macos
        check client, server and tray app for macOS, with zig as the compiler
        of their C; nothing is linked, which takes a Mac
  icons render the icons from their vector source
  audit check licences, bans, sources and advisories of the dependencies, and
        whether all of them are used; the advisories need the internet, the
        rest is a step of test
  soak [--minutes N]
        the programs in ordinary use and ordinary trouble; fails when memory,
        descriptors, threads or tasks grow
  soak --home-line [--minutes N]
        a customer's line that is full in both directions, all four ends of it
        checked byte for byte; fails when anything is lost, cut or changed
  mutants [--again] [PART …]
        break the code in one place after the other and see whether the unit
        tests notice (proto, mux, http, head, pool, retry); takes hours, can be
        interrupted, and goes on where it was unless --again
  figures
        run the tests that measure as often as docs/reliability.md speaks of;
        takes an hour or two";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", arguments.as_slice()),
    };
    let wanted = test::Wanted::parse(rest);
    let outcome = match command {
        "demo" => demo::DemoArgs::parse(rest).and_then(|args| demo::run(&args)),
        "test" if wanted.is_some() => wanted.map_or(Ok(()), test::run),
        "prepare" if rest == ["tests"] => test::prepare().map(drop),
        "prepare" if rest == ["windows"] => windows::prepare(),
        "bench" => bench::run(rest),
        "dist" if rest.first().is_some_and(|system| system == "linux") => {
            dist::run(rest.get(1..).unwrap_or_default())
        }
        "dist" if rest.first().is_some_and(|what| what == "macos") => {
            dist_macos::run(rest.get(1..).unwrap_or_default())
        }
        "dist" if rest.first().is_some_and(|what| what == "windows") => {
            dist_windows::run(rest.get(1..).unwrap_or_default())
        }
        "image" if rest.is_empty() => image::run(image::Which::Released),
        "image" if rest == ["--debug"] => image::run(image::Which::Shared),
        "release" => release::run(rest),
        "check-macos" if rest.is_empty() => macos::check().map(|said| println!("{said}")),
        "icons" if rest.is_empty() => icons::run(),
        "setup" if rest.is_empty() => setup::run(),
        "conformance" if rest.is_empty() => conformance::run(),
        "audit" if rest.is_empty() => dependencies::audit(),
        "soak" => long::soak(rest),
        "mutants" => mutants::run(rest),
        "figures" if rest.is_empty() => long::figures(),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may assert by failing")]

    use super::USAGE;

    /// The word behind each of some words in a text.
    fn behind<'a>(text: &'a str, words: &'a str) -> impl Iterator<Item = &'a str> {
        let is_end = |letter: char| !letter.is_ascii_alphanumeric() && letter != '-';
        text.split(words).skip(1).map(move |rest| rest.split(is_end).next().unwrap_or_default())
    }

    const README: &str = include_str!("../../README.md");
    const CONTRIBUTING: &str = include_str!("../../CONTRIBUTING.md");

    #[test]
    fn every_command_and_package_that_the_documents_name_is_there() {
        let known: Vec<&str> = USAGE.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        let mut seen = 0;
        for word in [README, CONTRIBUTING].into_iter().flat_map(|text| behind(text, "cargo xtask ")) {
            let is_known = known.iter().any(|line| line.split(' ').next() == Some(word)) || word == "help";
            assert!(is_known, "cargo xtask {word}");
            seen += 1;
        }
        for package in behind(README, "-p ") {
            assert!(crate::run::root().join(package).join("Cargo.toml").exists(), "{package}");
            seen += 1;
        }
        assert!(seen > 12, "{seen}");
    }

    #[test]
    fn every_file_that_a_contributor_is_sent_to_is_there() {
        let mut seen = 0;
        let sentences = CONTRIBUTING.split("```").step_by(2);
        let named = sentences.flat_map(|text| text.split('`').skip(1).step_by(2));
        let rooms: Vec<&str> = named.filter(|word| word.contains('/') && !word.contains(' ')).collect();
        let linked = CONTRIBUTING.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for file in linked.chain(rooms) {
            // A room's file, from the room that was named before it.
            let places = ["", "petit-engine/src"].map(|before| crate::run::root().join(before).join(file));
            assert!(places.iter().any(|place| place.exists()), "{file}");
            seen += 1;
        }
        assert!(seen > 15, "{seen}");
    }

    /// The names that a page links to files by, with those files: ``[`name`](../file)``.
    fn named_links(page: &str) -> Vec<(&str, &str)> {
        let links = page.split("[`").skip(1);
        links
            .filter_map(|link| link.split_once("`](../"))
            .map(|(name, rest)| (name, rest.split(')').next().unwrap()))
            .collect()
    }

    #[test]
    fn each_name_of_the_tour_is_defined_in_the_file_that_it_leads_to() {
        let links = named_links(include_str!("../../docs/tour.md"));
        for (name, file) in &links {
            let path = crate::run::root().join(file);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
            let defines = |line: &str| {
                let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
                words.windows(2).any(|pair| {
                    ["fn", "struct", "enum", "trait", "const", "type"].contains(&pair[0]) && pair[1] == *name
                })
            };
            let is_file = path.file_name().is_some_and(|file| file == *name);
            assert!(is_file || text.lines().any(defines), "{file} does not define {name}");
        }
        assert!(links.len() > 30, "{links:?}");
    }
}
