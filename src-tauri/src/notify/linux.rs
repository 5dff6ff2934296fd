//! Notifications over D-Bus (Desktop Notifications Specification 1.2).
//!
//! One connection is kept: some desktops take a notification away when its sender's connection closes. A desktop
//! without notifications is no fault.

use std::collections::HashMap;
use std::time::Duration;

use petit_app::contract::{Opening, Page};
use petit_app::notes::{About, Note};
use tokio::sync::mpsc;
use zbus::zvariant::Value;
use zbus::{Connection, MatchRule, MessageStream};

use crate::ui_thread::{Message, UiThread};

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
/// A notification server that takes longer is left alone.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run(mut notes: mpsc::Receiver<Note>, ui_thread: UiThread) {
    let mut server: Option<Server> = None;
    loop {
        tokio::select! {
            note = notes.recv() => {
                let Some(note) = note else { return };
                if server.is_none() {
                    server = Server::connect().await;
                }
                if let Some(connected) = &mut server
                    && let Err(error) = connected.show(&note).await
                {
                    tracing::info!(%error, "no notification was shown");
                    server = None;
                }
            }
            pressed = pressed(&mut server) => if let Some((page, token)) = pressed {
                ui_thread.send(Message::Show(Opening { page, invite: None }, token));
            },
        }
    }
}

struct Server {
    connection: Connection,
    signals: MessageStream,
    /// The notification on the screen, and what its button shows.
    last: Option<(u32, Page)>,
    token: Option<String>,
}

impl Server {
    async fn connect() -> Option<Self> {
        let connected = async {
            let connection = Connection::session().await?;
            let rule = MatchRule::builder().msg_type(zbus::message::Type::Signal).interface(NAME)?.build();
            let signals = MessageStream::for_match_rule(rule, &connection, None).await?;
            Ok::<_, zbus::Error>(Self { connection, signals, last: None, token: None })
        };
        match tokio::time::timeout(LIMIT, connected).await {
            Ok(Ok(server)) => Some(server),
            Ok(Err(error)) => {
                tracing::info!(%error, "this desktop shows no notifications");
                None
            }
            Err(_) => None,
        }
    }

    async fn show(&mut self, note: &Note) -> Result<(), String> {
        let urgency: u8 = if note.about == About::Needed { 2 } else { 1 };
        let hints: HashMap<&str, Value<'_>> =
            HashMap::from([("urgency", Value::U8(urgency)), ("desktop-entry", Value::from("petit"))]);
        // A later note takes the place of the one before: what counts is how it stands now.
        let replaces = self.last.map_or(0, |(id, _)| id);
        let actions = ["default", note.button.as_str(), "open", note.button.as_str()];
        let body = (
            petit_host::brand::here().name(),
            replaces,
            "petit",
            note.title.as_str(),
            note.body.as_str(),
            actions.as_slice(),
            hints,
            -1_i32,
        );
        let call = self.connection.call_method(Some(NAME), PATH, Some(NAME), "Notify", &body);
        let answer = tokio::time::timeout(LIMIT, call).await.map_err(|_| "no answer".to_owned())?;
        let answer = answer.map_err(|error| error.to_string())?;
        let id: u32 = answer.body().deserialize().map_err(|error| error.to_string())?;
        self.last = Some((id, note.page));
        Ok(())
    }

    /// What a signal asks for: the page of the notification whose button was pressed.
    fn pressed(&mut self, message: &zbus::Message) -> Option<(Page, Option<String>)> {
        let header = message.header();
        let (id, text): (u32, String) = message.body().deserialize().ok()?;
        let (last, page) = self.last?;
        if id != last {
            return None; // another program's
        }
        match header.member()?.as_str() {
            "ActivationToken" => {
                self.token = Some(text);
                None
            }
            "ActionInvoked" => Some((page, self.token.take())),
            _ => None,
        }
    }
}

async fn pressed(server: &mut Option<Server>) -> Option<(Page, Option<String>)> {
    let Some(connected) = server else { return std::future::pending().await };
    let next = std::future::poll_fn(|cx| {
        let signals = std::pin::Pin::new(&mut connected.signals);
        zbus::export::futures_core::Stream::poll_next(signals, cx)
    });
    match next.await {
        Some(Ok(message)) => connected.pressed(&message),
        Some(Err(_)) => None,
        None => {
            *server = None;
            None
        }
    }
}
