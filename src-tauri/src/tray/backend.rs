//! What draws a tray, and keeps it as what is shown: a desktop hears of changes only.

use std::sync::Arc;

use petit_app::Shown;
use petit_app::tray::{Action, TrayModel};
use tokio::sync::watch;

/// A click on the icon or in its menu.
#[derive(Debug)]
pub(crate) struct Click {
    pub(crate) action: Action,
    /// Lets a window come to the front on Wayland.
    pub(crate) token: Option<String>,
}

/// Draws a tray.
pub(crate) trait Backend: Sized + Send {
    /// Draws a model.
    fn draw(&mut self, model: TrayModel) -> impl Future<Output = ()> + Send;
}

/// Keeps a backend drawing what is shown, for as long as the app is there.
pub(crate) async fn follow(mut shown: watch::Receiver<Arc<Shown>>, mut backend: impl Backend) {
    let mut drawn: Option<TrayModel> = None;
    loop {
        let model = shown.borrow_and_update().tray.clone();
        if drawn.as_ref() != Some(&model) {
            backend.draw(model.clone()).await;
            drawn = Some(model);
        }
        // The controller publishes at most five times a second.
        if shown.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Counted(mpsc::UnboundedSender<TrayModel>);

    impl Backend for Counted {
        async fn draw(&mut self, model: TrayModel) {
            let _ = self.0.send(model);
        }
    }

    #[tokio::test]
    async fn the_same_is_not_drawn_twice() {
        use petit_app::{Inputs, LoginItem};
        struct Never;
        impl LoginItem for Never {
            fn is_on(&self) -> bool {
                false
            }
            fn set(&self, _: bool) -> Result<(), String> {
                Ok(())
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let folder = petit_client::folder::Folder::of(&dir.path().join("config.toml"));
        let (asked, asks) = mpsc::channel(1);
        let (app, _notes) = petit_app::start(Inputs {
            folder: folder.clone(),
            links: Arc::new(petit_app::link::RealLinks::new(folder, None, None, asked)),
            asked: asks,
            login: Arc::new(Never),
            clock: Arc::new(std::time::SystemTime::now),
            is_root: false,
        });
        let base = Arc::clone(&*app.shown().borrow());
        let (values, shown) = watch::channel(Arc::clone(&base));
        let (drawing, mut drawn) = mpsc::unbounded_channel();
        let following = tokio::spawn(follow(shown, Counted(drawing)));
        assert_eq!(drawn.recv().await.unwrap(), base.tray);
        for _ in 0..10 {
            values.send_replace(Arc::clone(&base));
            tokio::task::yield_now().await;
        }
        let mut other = Shown::clone(&base);
        other.tray.line = "another".to_owned();
        values.send_replace(Arc::new(other));
        assert_eq!(drawn.recv().await.unwrap().line, "another");
        drop(values);
        following.await.unwrap();
        app.end().await;
    }
}
