//! The real window, driven by WebDriver.

use std::process::Stdio;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use petit_tests::process::Program;
use petit_tests::soon;
use serde_json::json;
use tokio::process::Child;

use crate::app::petit;
use crate::session::Session;

/// A window under remote control. The app ends with the value.
pub struct Window {
    client: Client,
    _driver: Child,
}

impl Window {
    /// Starts the app under WebDriver, with its window.
    pub async fn open(session: &Session, client: &Program, arguments: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = session
            .command("WebKitWebDriver")
            .args([format!("--port={port}"), "--host=127.0.0.1".to_owned()])
            // Without it the web view takes no orders.
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("WebKitWebDriver is installed by `cargo xtask test`");
        let config = client.config().display().to_string();
        let arguments: Vec<&str> =
            ["--config", &config].into_iter().chain(arguments.iter().copied()).collect();
        let wanted = json!({ "webkitgtk:browserOptions": { "binary": petit(), "args": arguments } });
        let address = format!("http://127.0.0.1:{port}");
        let client = soon("a WebDriver session", async {
            loop {
                let mut builder = ClientBuilder::new(HttpConnector::new());
                match builder.capabilities(wanted.as_object().unwrap().clone()).connect(&address).await {
                    Ok(client) => return client,
                    // The driver does not say when it is up.
                    Err(error) if error.to_string().contains("did not respond") => {
                        tokio::task::yield_now().await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        Self { client, _driver: driver }
    }

    /// Waits for the element with a test name.
    ///
    /// # Panics
    /// When it does not come, with what is on the page instead.
    pub async fn find(&self, test: &str) -> Element {
        let selector = format!("[data-test=\"{test}\"]");
        let found = async {
            loop {
                if let Ok(element) = self.client.find(Locator::Css(&selector)).await {
                    return element;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(petit_tests::PATIENCE, found).await {
            Ok(element) => element,
            Err(_) => panic!("waited in vain for {test} on the page; there was {}", self.names().await),
        }
    }

    /// The test names and the words of all that is on the page.
    async fn names(&self) -> String {
        let script =
            "return [...document.querySelectorAll('[data-test]')].map((it) => it.dataset.test).join(' ')
            + '\\n' + document.body.innerText";
        match self.client.execute(script, Vec::new()).await {
            Ok(names) => names.as_str().unwrap_or_default().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Clicks an element, once it can be clicked.
    pub async fn click(&self, test: &str) {
        soon(&format!("{test} to be clicked"), async {
            loop {
                // It may be drawn anew between being found and being clicked.
                let element = self.find(test).await;
                if element.is_enabled().await.unwrap_or(false) && element.click().await.is_ok() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Types into a field, in place of what is in it.
    pub async fn type_into(&self, test: &str, text: &str) {
        let element = self.find(test).await;
        // What WebDriver calls clearing tells the page nothing, which puts the text back when it is drawn the next time.
        let clear =
            "arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input', { bubbles: true }))";
        self.client.execute(clear, vec![serde_json::to_value(&element).unwrap()]).await.unwrap();
        // A new line is a key of its own.
        element.send_keys(&text.replace('\n', "\u{E007}")).await.unwrap();
    }

    /// Waits until an element's text is as wanted.
    pub async fn until_text(&self, test: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = async {
            loop {
                if let Ok(text) = self.find(test).await.text().await {
                    if is_it(&text) {
                        return text;
                    }
                    last = text;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(petit_tests::PATIENCE, found).await {
            Ok(text) => text,
            Err(_) => panic!("waited in vain for the text of {test}; it was {last:?}"),
        }
    }

    /// Waits until no element has a test name.
    pub async fn until_gone(&self, test: &str) {
        let selector = format!("[data-test=\"{test}\"]");
        soon(&format!("{test} to go"), async {
            // One that goes while it is looked up is told as an error.
            while !self.client.find_all(Locator::Css(&selector)).await.is_ok_and(|found| found.is_empty()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until an attribute is as wanted.
    pub async fn until_attribute(&self, test: &str, name: &str, value: &str) {
        soon(&format!("{name} of {test} to be {value}"), async {
            while self.find(test).await.attr(name).await.ok().flatten().as_deref() != Some(value) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Runs a script in the page and returns what it calls back with.
    pub async fn script(&self, script: &str) -> serde_json::Value {
        self.client.execute_async(script, Vec::new()).await.unwrap()
    }

    /// True when the app has gone.
    pub async fn is_gone(&self) -> bool {
        self.client.title().await.is_err()
    }
}
