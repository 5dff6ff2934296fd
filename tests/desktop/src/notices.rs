//! A notification server: it takes what programs say, and presses their buttons.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use petit_tests::PATIENCE;
use tokio::sync::watch;
use zbus::object_server::{InterfaceRef, SignalEmitter};
use zbus::zvariant::OwnedValue;
use zbus::{Connection, interface};

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// A notification as it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub at: Instant,
    /// The number that it got.
    pub id: u32,
    /// The number of the one whose place it takes, or 0.
    pub replaces: u32,
    /// Who says it.
    pub program: String,
    /// Its first line.
    pub title: String,
    /// The rest.
    pub body: String,
    /// Keys and labels of its buttons, in turn.
    pub actions: Vec<String>,
    /// 0 to 2; 2 stays until it is seen.
    pub urgency: u8,
}

mod server {
    use super::*;

    /// Takes notifications as desktops do (Desktop Notifications Specification 1.2).
    pub(super) struct Server {
        pub(super) taken: watch::Sender<Vec<Notice>>,
    }

    #[interface(name = "org.freedesktop.Notifications")]
    impl Server {
        // The specification gives it this many, and zbus hands them over.
        #[allow(
            clippy::too_many_arguments,
            clippy::needless_pass_by_value,
            reason = "the interface is the desktop's"
        )]
        fn notify(
            &self,
            program: String,
            replaces: u32,
            _icon: String,
            title: String,
            body: String,
            actions: Vec<String>,
            hints: HashMap<String, OwnedValue>,
            _expires: i32,
        ) -> u32 {
            let urgency = hints.get("urgency").and_then(|value| value.downcast_ref::<u8>().ok());
            let mut id = replaces;
            self.taken.send_modify(|taken| {
                if id == 0 {
                    id = taken.len() as u32 + 1;
                }
                let (at, urgency) = (Instant::now(), urgency.unwrap_or(1));
                taken.push(Notice { at, id, replaces, program, title, body, actions, urgency });
            });
            id
        }

        fn close_notification(&self, _id: u32) {}

        fn get_capabilities(&self) -> Vec<String> {
            vec!["actions".to_owned(), "body".to_owned()]
        }

        fn get_server_information(&self) -> (String, String, String, String) {
            ("bed".to_owned(), "petit".to_owned(), "1".to_owned(), "1.2".to_owned())
        }

        #[zbus(signal)]
        pub(super) async fn action_invoked(
            emitter: &SignalEmitter<'_>,
            id: u32,
            action: &str,
        ) -> zbus::Result<()>;
    }
}

use server::Server;

/// A notification server on a bus; gone when dropped.
pub struct Notices {
    connection: Connection,
    taken: watch::Receiver<Vec<Notice>>,
}

impl Notices {
    /// One on the bus at an address.
    pub async fn start(bus: &str) -> Self {
        let (sender, taken) = watch::channel(Vec::new());
        let builder = zbus::connection::Builder::address(bus).unwrap();
        let builder = builder.serve_at(PATH, Server { taken: sender }).unwrap();
        let connection = builder.name(NAME).unwrap().build().await.unwrap();
        Self { connection, taken }
    }

    /// All that came in.
    pub fn all(&self) -> Vec<Notice> {
        self.taken.borrow().clone()
    }

    /// Waits for the notification after the first `count`. What is news only after `due` may take that much longer.
    pub async fn after(&self, count: usize, due: Duration) -> Notice {
        let mut taken = self.taken.clone();
        let waited = tokio::time::timeout(due + PATIENCE, taken.wait_for(|taken| taken.len() > count)).await;
        waited.expect("a notification").unwrap()[count].clone()
    }

    /// Presses a button of a notification.
    pub async fn press(&self, notice: &Notice, action: &str) {
        let server: InterfaceRef<Server> = self.connection.object_server().interface(PATH).await.unwrap();
        Server::action_invoked(server.signal_emitter(), notice.id, action).await.unwrap();
    }
}
