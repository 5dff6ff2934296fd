//! A release that root hands out by a service of the system.

use std::fs;

use petit_tests::release::Release;

use crate::machine::{Machine, on_a_machine};
use crate::pair::{Pair, private_service};
use crate::release::TOLD_WITHIN;

const VERSION: &str = "0.1.1";

/// Puts a release where root alone reads it, and the root keys where both programs look for them.
fn bring(machine: &Machine, release: &Release) {
    let folder = machine.path("/root/release");
    fs::create_dir_all(&folder).unwrap();
    for entry in fs::read_dir(release.folder()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    // As a package brings them that was made with root keys.
    for place in ["/etc/petit", "/usr/lib/petit-client"] {
        let place = machine.path(place);
        fs::create_dir_all(&place).unwrap();
        fs::copy(release.roots(), place.join("petit-roots.pub")).unwrap();
    }
}

#[test]
fn root_hands_a_release_out_and_a_client_of_the_package_is_told() {
    on_a_machine(async |machine| {
        let _service = private_service().await;
        let _pair = Pair::set_up(&machine).await;
        let mut release = Release::new();
        release.put(VERSION, &vec![7; 300_000]);
        bring(&machine, &release);
        machine.says("chmod -R go= release && echo mine >release/another").await;
        // As a command leaves it that was under way when the machine went off; there is always a process of this number.
        let interrupted = "mkdir -p /var/cache/private/petit-given-1-1/folder \
                           && echo key >/var/cache/private/petit-given-1-1/folder/server.key \
                           && ln -s private/petit-given-1-1 /var/cache/petit-given-1-1";
        machine.says(interrupted).await;
        let said = machine.says("petit-server release put release").await;
        let begins = "People who ask for it get this from now on.";
        assert!(said.contains(begins) && said.contains(VERSION), "{said}");
        machine.says("petit-server rollout start --rings 100%").await;
        assert!(machine.says("petit-server release show").await.contains(VERSION));
        let copied = machine.says("ls /var/lib/private/petit-server/releases/release-*").await;
        assert!(copied.contains("petit-client") && !copied.contains("another"), "{copied}");
        let left = "find /run /var/cache -maxdepth 2 -name 'petit-given*'";
        assert_eq!(machine.says(left).await, "", "nothing is left of what was given");
        let is_told = format!("petit-client status --json | grep '\"{VERSION}\"'");
        machine.until_within(TOLD_WITHIN, &is_told).await;

        // A copy that is damaged is told before a client says so.
        let copy = "/var/lib/private/petit-server/releases/release-*/petit-client";
        for damage in [format!("truncate --size=1 {copy}"), format!("rm {copy}")] {
            machine.says(&damage).await;
            for line in ["petit-server status", "petit-server config check"] {
                let said = machine.says(line).await;
                assert!(
                    said.contains("put it again: petit-server ") && said.contains("release put FOLDER"),
                    "{line}: {said}"
                );
            }
            let shown = machine.run("petit-server release show").await;
            assert!(shown.exit == 1 && shown.err.contains("petit-client of the release"), "{shown:?}");
            machine.says("petit-server release put release").await;
        }
        // A byte that has another value is found by who asks.
        machine.says(&format!("printf x | dd of=$(echo {copy}) conv=notrunc status=none")).await;
        let shown = machine.run("petit-server release show").await;
        assert!(shown.exit == 1 && shown.err.contains("is not the file that was signed"), "{shown:?}");
        machine.says("petit-server release put release && petit-server release show").await;

        machine.says("petit-server release withdraw").await;
        assert!(machine.says("petit-server release show").await.contains("No release is handed out"));
        assert!(!machine.says("petit-server status").await.contains("put it again"));
    });
}
