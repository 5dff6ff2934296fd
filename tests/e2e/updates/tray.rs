//! What the tray app makes of a release. It runs the client in its own process, and is no program that `upgrade` could change.

use petit_app::link::{Link, Links, Opened, RealLinks};
use petit_app::texts::Texts;
use petit_client::folder::Folder;
use petit_client::status::{Status, UpdatePlan};
use tokio::sync::mpsc;

use super::*;

/// Waits until the client of the tray app says that of itself.
async fn until(link: &dyn Link, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    let mut statuses = link.statuses();
    let waited = statuses.wait_for(|status| status.as_ref().is_some_and(&is_so));
    soon(what, waited).await.unwrap().clone().unwrap()
}

#[tokio::test]
async fn the_tray_app_hears_of_a_version_and_leaves_it_to_whoever_has_installed_this_one() {
    let mut release = Release::new();
    release.put(NEXT, &of_version(NEXT));
    let home = Home::told(&release, "mode = \"automatic\"").await;
    home.stop().await;
    // As a package lays it: with the root keys beside it, in a folder that this user might well write to.
    let program = home.program.with_file_name("petit-desktop");
    std::fs::copy(&home.program, &program).unwrap();

    let (asked, _asks) = mpsc::channel(4);
    let links = RealLinks::new(Folder::of(&home.client.config()), None, None, asked);
    let links = links.of_program(program.clone());
    let Opened::Link(link) = links.open(Texts::of("en")).await else { panic!("there is a client") };
    link.switch(true).await.unwrap();
    link.unlock().await.unwrap();
    let said = until(&*link, "the next version", |status| status.available.is_some()).await;
    assert_eq!((said.available, said.update), (NEXT.parse().ok(), Some(UpdatePlan::Other)));
    // Its server knows that it was told.
    home.until_stage(&petit_host::update::Stage::Waiting).await;
    assert_eq!(std::fs::read(&program).unwrap(), home.bytes, "nothing was installed");
    home.allow("mode = \"never\"");
    home.server.run(["rollout", "rollback"]).await.ok();
    until(&*link, "none any more", |status| status.available.is_none()).await;
    link.end().await;
}
