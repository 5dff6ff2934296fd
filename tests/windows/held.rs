//! The installer and its removal beside programs that have its files open for a moment, as virus scanners and the desktop
//! do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use petit_tests::soon;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::installer::{LOOK_AGAIN, PETIT, User, Wanted, is_gone, names_in, wine_for};

/// Has a file open that nobody can delete meanwhile, until it is dropped.
struct Holder {
    ping: tokio::process::Child,
}

impl Holder {
    async fn of(file: &Path) -> Self {
        let mut command = Command::new("wine");
        // Whoever reads from a file this way shares it with readers alone.
        let held = format!("ping -n 1000 127.0.0.1 < Z:{}", file.display().to_string().replace('/', "\\"));
        command.args(["cmd", "/c", &held]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut ping = command.spawn().unwrap();
        let mut first = [0];
        let said = ping.stdout.as_mut().unwrap().read_exact(&mut first);
        soon("a program that has the file open", said).await.unwrap();
        Self { ping }
    }

    async fn let_go(mut self) {
        let ended = wine_for(Wanted::Exit, Path::new("taskkill"), ["/f", "/im", "ping.exe"]).await;
        assert_eq!(ended.exit, 0, "{ended:?}");
        soon("it to let go", self.ping.wait()).await.unwrap();
    }
}

/// Windows' side tells nobody how far it is: its files are looked at.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_that_another_program_looks_at_is_waited_for() {
    let user = User::new().await;
    assert_eq!(user.install(&PETIT, &[]).await.exit, 0);
    let folder = user.folder(&PETIT);
    let icon = folder.join("petit.ico");

    // The file before it has got to its place by then, and it waits for this one.
    let holder = Holder::of(&icon).await;
    let (ended, ()) = tokio::join!(user.install(&PETIT, &[]), async {
        until("it to begin", || folder.join("new/petit.ico").exists()).await;
        until("the one before", || !folder.join("new/WebView2Loader.dll").exists()).await;
        holder.let_go().await;
    });
    assert_eq!(ended.exit, 0, "{ended:?}: {}", user.log(&PETIT));

    let holder = Holder::of(&icon).await;
    let (ended, ()) = tokio::join!(user.remove_waiting(&PETIT), async {
        until("the one before", || !folder.join("WebView2Loader.dll").exists()).await;
        holder.let_go().await;
    });
    assert_eq!(ended.exit, 0, "{ended:?}");
    assert_eq!(names_in(&folder), BTreeSet::from(["uninstall.exe".to_owned()]));
    fs::remove_dir_all(&folder).unwrap();
    is_gone(&user, &PETIT).await;
}

#[tokio::test]
async fn a_file_that_stays_open_is_named() {
    let user = User::new().await;
    assert_eq!(user.install(&PETIT, &[]).await.exit, 0);
    let folder = user.folder(&PETIT);
    let holder = Holder::of(&folder.join("petit.ico")).await;
    let ended = user.remove_waiting(&PETIT).await;
    assert_eq!(ended.exit, 2, "{ended:?}");
    let log = user.removal_log(&PETIT).await;
    assert!(log.contains(r"petit.ico is still there: another program has it open"), "{log}");
    let left = ["petit.ico", "uninstall.exe"].map(ToOwned::to_owned);
    assert_eq!(names_in(&folder), BTreeSet::from(left), "all else is removed");
    holder.let_go().await;
    assert_eq!(user.remove_waiting(&PETIT).await.exit, 0);
    fs::remove_dir_all(&folder).unwrap();
    is_gone(&user, &PETIT).await;
}
