//! What launchd reads of a service (launchd.plist(5)).

use std::path::{Path, PathBuf};

use super::installed::Service;
use crate::service;

/// Where the descriptions of an administrator's services are.
const DAEMONS: &str = "/Library/LaunchDaemons";
/// What launchd calls the services that run from boot on.
pub(super) const SYSTEM: &str = "system";

/// What launchd calls a service.
pub(super) fn domain(name: &str) -> String {
    format!("{SYSTEM}/{}", service::unit(name))
}

/// The file that describes a service. `name`: what its files are called.
pub(super) fn file(name: &str) -> PathBuf {
    Path::new(DAEMONS).join(format!("{}.plist", service::unit(name)))
}

/// What stands in it. `account`: whom it runs as. None of the words has anything that XML would read.
pub(super) fn text(service: &Service, account: &str, program: &Path) -> String {
    let words = [
        ("@ACCOUNT@", account.to_owned()),
        ("@LABEL@", service::unit(service.name)),
        ("@PROGRAM@", program.display().to_string()),
        ("@CONFIG@", service::config_file(service.name).display().to_string()),
        ("@STATE@", service::state_folder(service.name).display().to_string()),
    ];
    let text = include_str!("../../../../packaging/macos/service.plist").to_owned();
    words.iter().fold(text, |text, (word, value)| text.replace(word, value))
}

#[cfg(test)]
mod tests {
    use super::super::beside::tests::CLIENT;
    use super::*;

    #[test]
    fn launchd_runs_the_copy_as_the_account_and_again_when_it_has_failed() {
        let text = text(&CLIENT, "_petit-client", Path::new("/usr/local/lib/petit/petit-client"));
        assert!(!text.contains('@'), "{text}");
        let said: plist::Dictionary = plist::from_bytes(text.as_bytes()).unwrap();
        let word = |key: &str| said.get(key).unwrap().as_string().unwrap();
        assert_eq!((word("UserName"), word("GroupName")), ("_petit-client", "_petit-client"));
        assert_eq!(word("Label"), service::unit("client"), "the file is called after it");
        let words = said.get("ProgramArguments").unwrap().as_array().unwrap();
        let words: Vec<&str> = words.iter().map(|word| word.as_string().unwrap()).collect();
        let config = service::config_file("client");
        assert_eq!(words, ["/usr/local/lib/petit/petit-client", "run", "--config", config.to_str().unwrap()]);
        let keep = said.get("KeepAlive").unwrap().as_dictionary().unwrap();
        assert_eq!(keep.get("SuccessfulExit").unwrap().as_boolean(), Some(false));
        assert_eq!(said.get("Umask").unwrap().as_signed_integer(), Some(0o077));
    }
}
