use std::path::PathBuf;
use std::sync::Mutex;

use petit_app::link::RealLinks;
use petit_app::{Inputs, LoginItem, Place};
use petit_client::folder::Folder;
use petit_host::BoxFuture;
use serde_json::{Value, json};
use tauri::test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder};
use tauri::webview::InvokeRequest;
use tauri::{WebviewWindow, WebviewWindowBuilder};
use tokio::sync::mpsc;

use super::*;
use crate::command_names::COMMANDS;
use crate::window_state::Shell;

#[derive(Default)]
struct Fake {
    did: Mutex<Vec<String>>,
}

impl Shell for Fake {
    fn copy(&self, text: String) {
        self.did.lock().unwrap().push(format!("copy {text}"));
    }
    fn open(&self, place: &Place) -> Result<(), String> {
        self.did.lock().unwrap().push(format!("open {place:?}"));
        Ok(())
    }
    fn ask_where(&self, _: String) -> BoxFuture<'_, Option<PathBuf>> {
        Box::pin(async { None })
    }
    fn quit(&self) {
        self.did.lock().unwrap().push("quit".to_owned());
    }
}

struct NoLogin;

impl LoginItem for NoLogin {
    fn is_on(&self) -> bool {
        false
    }
    fn set(&self, _: bool) -> Result<(), String> {
        Err("not here".to_owned())
    }
}

/// The app's own config and permissions over a runtime without windows.
struct Test {
    app: tauri::App<MockRuntime>,
    shell: Arc<Fake>,
    _dir: tempfile::TempDir,
}

impl Test {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&dir.path().join("config.toml"));
        let (shell, (lines, _)) = (Arc::new(Fake::default()), mpsc::channel(1));
        let app = tauri::async_runtime::block_on(async {
            let (asked, asks) = mpsc::channel(1);
            let inputs = Inputs {
                folder: folder.clone(),
                links: Arc::new(RealLinks::new(folder, None, None, asked)),
                asked: asks,
                login: Arc::new(NoLogin),
                clock: Arc::new(std::time::SystemTime::now),
                is_root: false,
            };
            let (app, _notes) = petit_app::start(inputs);
            // The client is there when its status is.
            let mut shown = app.shown();
            let kind = petit_app::contract::StateKind::Unregistered;
            shown.wait_for(|shown| shown.view.state.kind == kind).await.unwrap();
            app
        });
        let shared: Arc<dyn Shell> = Arc::clone(&shell) as _;
        let state = Arc::new(WindowState::new(app, shared, lines));
        let builder = mock_builder().manage(state).invoke_handler(all());
        let app = builder.build(crate::ui_thread::context()).unwrap();
        Self { app, shell, _dir: dir }
    }

    fn window(&self, label: &str) -> WebviewWindow<MockRuntime> {
        WebviewWindowBuilder::new(&self.app, label, tauri::WebviewUrl::default()).build().unwrap()
    }
}

fn call(window: &WebviewWindow<MockRuntime>, command: &str, arguments: Value) -> Result<Value, Value> {
    let origin = if cfg!(windows) { "http://tauri.localhost" } else { "tauri://localhost" };
    let request = InvokeRequest {
        cmd: command.to_owned(),
        callback: tauri::ipc::CallbackFn(0),
        error: tauri::ipc::CallbackFn(1),
        url: origin.parse().unwrap(),
        body: tauri::ipc::InvokeBody::Json(arguments),
        headers: tauri::http::HeaderMap::default(),
        invoke_key: INVOKE_KEY.to_owned(),
    };
    get_ipc_response(window, request).map(|body| body.deserialize::<Value>().unwrap())
}

#[test]
fn commands_permissions_and_contract_are_one_list() {
    let contract = include_str!("../../ui/app/contract.d.ts");
    let commands = contract.split_once("export interface Wishes {").unwrap().1;
    let mut promised: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once('(').map(|(name, _)| name))
        .filter(|name| !name.starts_with([' ', '/', '*']))
        .collect();
    promised.sort_unstable();
    assert_eq!(promised, COMMANDS);
    let capability: Value = serde_json::from_str(include_str!("../capabilities/main.json")).unwrap();
    assert_eq!(capability["windows"], json!(["main"]));
    let granted: Vec<&str> =
        capability["permissions"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let wanted: Vec<String> = ["core:event:allow-listen", "core:event:allow-unlisten"]
        .map(str::to_owned)
        .into_iter()
        .chain(COMMANDS.iter().map(|name| format!("allow-{}", name.replace('_', "-"))))
        .collect();
    assert_eq!(granted, wanted, "by name, and nothing else");
    let config: Value = serde_json::from_str(include_str!("../tauri.conf.json")).unwrap();
    assert_eq!(config["app"]["security"]["csp"], include_str!("../../ui/csp.txt").trim());
    assert_eq!(config["app"]["windows"], json!([]));
}

#[test]
fn the_window_gets_answers_and_other_windows_and_commands_get_none() {
    let test = Test::new();
    let window = test.window("main");
    let boot = call(&window, "boot", json!({})).unwrap();
    assert_eq!(boot["view"]["state"]["kind"], "unregistered");
    assert!(boot["texts"].as_object().unwrap().len() > 400);
    let refused = call(&window, "read_invite", json!({ "text": "canary" })).unwrap_err();
    assert_eq!((&refused["code"], &refused["field"]), (&json!("invite.none"), &json!("text")));
    assert!(!refused.to_string().contains("canary"));
    call(&window, "copy", json!({ "text": "x" })).unwrap();
    call(&window, "show", json!({ "what": "logs", "name": null })).unwrap();
    let nothing = call(&window, "show", json!({ "what": "url", "name": "web" })).unwrap_err();
    assert_eq!(nothing["code"], "nothing_to_open");
    let service = json!({ "name": "web", "kind": "http", "target": "3000" });
    call(&window, "set_service", json!({ "before": null, "service": service })).unwrap();
    let settings = call(&window, "settings", json!({})).unwrap();
    assert_eq!(settings["form"]["services"][0]["target"], "localhost:3000");
    // Arguments have the contract's names.
    let refused =
        call(&window, "register", json!({ "text": "no invite", "key_store": "file", "replace": false }))
            .unwrap_err();
    assert_eq!(refused["code"], "invite.none");
    let removed = call(&window, "remove_service", json!({ "name": "web", "give_back": true })).unwrap_err();
    assert_eq!(removed["code"], "offline");
    call(&window, "remove_service", json!({ "name": "web", "give_back": false })).unwrap();
    call(&window, "pause", json!({ "for": "15min" })).unwrap();
    call(&window, "logs", json!({ "follow": false })).unwrap();
    let form = settings["form"].clone();
    call(&window, "fill_settings", json!({ "text": "", "form": form })).unwrap();
    call(&window, "fill_settings", json!({ "text": "", "form": null })).unwrap();
    let prefs = boot["prefs"].clone();
    assert!(call(&window, "set_prefs", json!({ "prefs": prefs })).unwrap()["lang"].is_string());
    assert_eq!(call(&window, "save_bundle", json!({})).unwrap(), Value::Null);
    call(&window, "quit", json!({})).unwrap();
    assert_eq!(test.shell.did.lock().unwrap().last().unwrap(), "quit");

    for denied in
        ["plugin:window|close", "plugin:app|version", "plugin:webview|create_webview_window", "no_such"]
    {
        assert!(call(&window, denied, json!({})).is_err(), "{denied}");
    }
    let other = test.window("other");
    for command in COMMANDS {
        assert!(call(&other, command, json!({})).is_err(), "{command} from another window");
    }
}
