//! What `petit` is started with.

use std::ffi::OsString;
use std::path::PathBuf;

use super::contract::{Opening, Page};
use super::deeplink;
use super::single::StartRequest;

/// Reads the link from standard input: how it gets from one of our programs to the next without standing in a
/// command line that others can read.
pub const LINK_ON_STDIN: &str = "--link-on-stdin";

/// What a start was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// The config file.
    pub config: Option<PathBuf>,
    /// What is wanted.
    pub wanted: StartRequest,
    /// Started with the session: no window.
    pub autostart: bool,
    /// Started by an installer that has put this version back into the place of one that did not run.
    pub put_back: bool,
    /// The link is on standard input.
    pub link_on_stdin: bool,
    /// Go through everything once, and end.
    pub smoke_test: bool,
}

/// What else can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A start.
    Start(Box<Args>),
    /// The version.
    Version,
    /// The usage.
    Help,
    /// Something that is not understood. Links are not repeated.
    Unknown(String),
}

/// How it is used.
pub fn usage() -> String {
    let brand = petit_host::brand::here();
    format!("{}\n", brand.placed(&brand.named(USAGE)))
}

const USAGE: &str = "\
Petit in the tray: makes a service on this computer reachable for one vendor, and only for that vendor.

Usage: petit [OPTIONS] [WHAT]

What:
  show          show the window (this is the default; so is starting Petit again)
  services      show the services; also: settings, logs, diagnostics, about
  start, stop   go online, go offline
  quit          end Petit
  smoke-test    go through everything once, and end
  petit://…     fill in the invite of a link

Options:
  -c, --config FILE   the config file (default: $PETIT_CONFIG, else ~/.petit/config.toml)
      --autostart     show no window
      --version       print the version
      --help          print this

Without a desktop use petit-client.";

/// Reads the arguments, the program's name left out.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Parsed {
    let show = |page| StartRequest::Show(Opening { page, invite: None });
    let mut args = Args {
        config: None,
        wanted: show(Page::Overview),
        autostart: false,
        put_back: false,
        link_on_stdin: false,
        smoke_test: false,
    };
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy();
        if deeplink::is_link(&text) {
            args.wanted = StartRequest::Show(deeplink::opening(&text));
            // Whoever calls a link has no say in anything else: what stands behind it may come from a web page.
            break;
        }
        match &*text {
            "--version" | "-V" | "version" => return Parsed::Version,
            "--help" | "-h" | "help" => return Parsed::Help,
            "--autostart" => {
                args.autostart = true;
                args.wanted = StartRequest::Nothing;
            }
            "--put-back" => args.put_back = true,
            LINK_ON_STDIN => args.link_on_stdin = true,
            "-c" | "--config" => match rest.next() {
                Some(path) => args.config = Some(path.into()),
                None => return Parsed::Unknown("--config needs a file".to_owned()),
            },
            "show" | "--show" => args.wanted = show(Page::Overview),
            "services" => args.wanted = show(Page::Services),
            "settings" => args.wanted = show(Page::Settings),
            "logs" => args.wanted = show(Page::Logs),
            "diagnostics" => args.wanted = show(Page::Diagnostics),
            "about" => args.wanted = show(Page::About),
            "start" => args.wanted = StartRequest::Start,
            "stop" => args.wanted = StartRequest::Stop,
            "quit" => args.wanted = StartRequest::Quit,
            "smoke-test" => args.smoke_test = true,
            // An invite that somebody pasted behind the program's name must not be repeated.
            text if text.contains("#v1.") || text.starts_with("v1.") => {
                return Parsed::Unknown("an invite is pasted into the window, not typed here".to_owned());
            }
            text => match text.strip_prefix("--config=") {
                Some(path) => args.config = Some(path.into()),
                None => return Parsed::Unknown(format!("{text} is not understood")),
            },
        }
    }
    Parsed::Start(Box::new(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Args {
        match parse(arguments.iter().map(OsString::from)) {
            Parsed::Start(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_behind_a_link_is_obeyed() {
        let alone = of(&["petit://enroll#v1.AAAA"]);
        for behind in [&["quit"][..], &["--config", "/e/config.toml", "start"], &["--version"], &["nonsense"]]
        {
            assert_eq!(of(&[&["petit://enroll#v1.AAAA"], behind].concat()), alone, "{behind:?}");
        }
    }

    #[test]
    fn starts_are_told_apart() {
        assert_eq!(of(&[]).wanted, StartRequest::Show(Opening::default()));
        let auto = of(&["--autostart"]);
        assert_eq!((auto.autostart, auto.wanted), (true, StartRequest::Nothing));
        assert_eq!(of(&["-c", "/x.toml", "stop"]).config, Some("/x.toml".into()));
        assert_eq!(of(&["stop"]).wanted, StartRequest::Stop);
        assert_eq!(of(&["logs"]).wanted, StartRequest::Show(Opening { page: Page::Logs, invite: None }));
        assert_eq!(parse(["--version".into()]), Parsed::Version);
        assert!(matches!(parse(["--nonsense".into()]), Parsed::Unknown(_)));
    }

    #[test]
    fn a_link_among_other_arguments_opens_the_window_and_nothing_else() {
        let args = of(&["--autostart", "petit://start?config=/etc/passwd"]);
        assert_eq!((args.wanted, args.config), (StartRequest::Show(Opening::default()), None));
        let Parsed::Unknown(said) = parse(["https://h/enroll#v1.secret".into()]) else { panic!("refused") };
        assert!(!said.contains("secret"));
    }
}
