//! A program beside the file that says whose it is.

use std::path::PathBuf;

use petit_tests::process::Program;

/// The client, in a folder with a brand's file; and that folder.
fn branded(file: &str) -> (Program, PathBuf) {
    let mut client = Program::client();
    let folder = client.install().parent().unwrap().to_owned();
    std::fs::write(folder.join("brand.toml"), file).unwrap();
    client.switch_to(&folder);
    (client, folder)
}

#[tokio::test]
async fn a_brand_has_a_folder_and_a_name_of_its_own_and_takes_its_servers_invites_alone() {
    let (client, _) = branded("id = \"north\"\nname = \"North\"\nserver = \"t.north.example\"\n");
    client.run(["init"]).await.ok();
    let path = client.run(["config", "path"]).await.ok();
    assert!(path.out.contains("/.petit-north/config.toml"), "{path:?}");
    let shown = client.run(["config", "show"]).await.ok();
    assert!(shown.out.contains("t.north.example"), "{shown:?}");
    let server = Program::server().await;
    let _server = server.up().await;
    let arguments = ["register", "--key-store", "file", "--service", "localhost:3000", "--invite-file", "-"];
    let refused = client.run_with(arguments, &server.invite([""; 0]).await).await;
    assert_ne!(refused.exit, 0);
    assert!(refused.err.contains("t.north.example"), "{refused:?}");
    // What clap says comes from elsewhere.
    let help = client.run(["--help"]).await.ok();
    assert!(
        help.out.contains("~/.petit-north/config.toml") && help.out.contains("North without"),
        "{help:?}"
    );
}

#[tokio::test]
async fn a_brand_that_cannot_be_read_is_not_taken_for_petit() {
    for (file, said) in
        [("id = \"North\"\nname = \"North\"\n", "brand.toml:1:"), ("colour = 1\n", "brand.toml")]
    {
        let (client, _) = branded(file);
        let refused = client.run(["init"]).await;
        assert!(refused.exit == 1 && refused.err.contains(said), "{refused:?}");
        assert!(!client.config().exists());
    }
}
