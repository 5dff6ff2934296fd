//! How the window is laid out by its own engine, at the smallest size that it can have: every state there is in both
//! languages, every page, every dialog.

use petit_tests::service::Service;
use petit_tests::soon;
use petit_tests_desktop::driver::Window;
use petit_tests_desktop::session::Session;
use serde_json::Value;

use crate::Served;

/// What the page's own suite looks for, in a browser's engine.
const LAYOUT: &str = include_str!("../../../ui/test/lib/layout.mjs");
/// What the program says of every state.
const EXAMPLES: &str = include_str!("../../../ui/test/lib/examples.json");

/// What is wrong with what is drawn now.
async fn wrong(window: &Window) -> Vec<String> {
    let layout = LAYOUT.replace("export function", "function");
    let script = format!("const done = arguments[0]; {layout}; requestAnimationFrame(() => done(layout()))");
    let found = window.script(&script).await;
    found.as_array().unwrap().iter().map(|said| said.as_str().unwrap().to_owned()).collect()
}

/// Changes what the page holds, as the program does by an event.
async fn set(window: &Window, change: &str) {
    let script = format!(
        "const done = arguments[0]; import('/store.js').then((store) => {{ {change}; done(null); }}, (error) => \
         done(String(error)))"
    );
    assert_eq!(window.script(&script).await, Value::Null);
}

/// Width and height of a state that ends in so many seconds. What the client says of itself meanwhile takes the state's place
/// on the page, so it is looked at only while it is the one that was set.
async fn size_of_state(window: &Window, view: &Value, left: u32) -> Value {
    let script = format!(
        "const done = arguments[0]; const of = (name) => document.querySelector(name); \
         import('/store.js').then((store) => {{ \
             const view = {view}; view.state.until = Math.ceil(Date.now() / 1000) + {left}; \
             store.set({{ view, page: 'overview' }}); \
             requestAnimationFrame(() => requestAnimationFrame(() => done(store.app().view === view \
                 ? [of('.hero-text').clientWidth, of('.hero').offsetHeight] : null))); \
         }}, (error) => done(String(error)))"
    );
    soon("a state that stays", async {
        loop {
            let size = window.script(&script).await;
            if !size.is_null() {
                return size;
            }
        }
    })
    .await
}

async fn smallest(session: &Session, window: &Window) {
    resize(session, window, 10, 400).await;
}

/// Asks for a width; `becomes` is what the page gets.
async fn resize(session: &Session, window: &Window, width: u32, becomes: u32) {
    session.said("wmctrl", &["-r", "Petit", "-e", &format!("0,0,0,{width},10")]).await;
    soon("the window to have its width", async {
        while window.script("arguments[0](innerWidth)").await != becomes {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_state_fits_the_smallest_window_in_both_languages() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("laid out").await;
    let client = served.client(&service).await;
    let window = Window::open(&session, &client, &["show"]).await;
    window.find("service-web").await;
    smallest(&session, &window).await;
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap();
    let mut drawn = 0;
    let mut found = Vec::new();
    for lang in ["en", "de"] {
        for kind in ["views", "states"] {
            for (name, view) in examples[lang][kind].as_object().unwrap() {
                for page in ["overview", "services"] {
                    set(&window, &format!("store.set({{ view: {view}, page: '{page}' }})")).await;
                    drawn += 1;
                    let problems = wrong(&window).await;
                    found.extend(problems.iter().map(|said| format!("{lang} {name} {page}: {said}")));
                }
            }
        }
    }
    assert!(drawn > 150, "{drawn}");
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_and_dialog_fits_the_smallest_window() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("laid out").await;
    let client = served.client(&service).await;
    let window = Window::open(&session, &client, &["show"]).await;
    window.until_attribute("service-web", "data-light", "green").await;
    for (size, width) in [("as it opens", None), ("smallest", Some(400))] {
        if width.is_some() {
            smallest(&session, &window).await;
        }
        for page in ["overview", "services", "settings", "logs", "diagnostics", "about", "setup"] {
            set(&window, &format!("location.hash = '#{page}'")).await;
            let title = if page == "setup" { "step-invite".to_owned() } else { format!("page-{page}") };
            window.find(&title).await;
            assert_eq!(wrong(&window).await, [""; 0], "{page}, {size}");
            set(
                &window,
                "document.querySelectorAll('details').forEach((details) => { details.open = true })",
            )
            .await;
            assert_eq!(wrong(&window).await, [""; 0], "{page} unfolded, {size}");
            session.picture(&format!("layout-{page}-{}", width.unwrap_or(0))).await;
        }
        for (page, opener, dialog) in [
            ("about", "quit", "quit-dialog"),
            ("services", "service-add", "service-dialog"),
            ("services", "remove-web", "remove-dialog"),
            ("settings", "forget", "forget-dialog"),
            ("diagnostics", "bundle", "bundle-dialog"),
        ] {
            set(&window, &format!("location.hash = '#{page}'")).await;
            window.click(opener).await;
            window.find(dialog).await;
            assert_eq!(wrong(&window).await, [""; 0], "{dialog}, {size}");
            session.picture(&format!("layout-{dialog}-{}", width.unwrap_or(0))).await;
            set(&window, "document.querySelector('dialog[open]').close()").await;
            window.until_gone(dialog).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_keeps_its_width_and_its_height_while_seconds_count_down() {
    let (session, served) = (Session::start().await, Served::start().await);
    let service = Service::http("laid out").await;
    let client = served.client(&service).await;
    let window = Window::open(&session, &client, &["show"]).await;
    window.find("service-web").await;
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap();
    for (width, least) in [(960, 480), (600, 400), (400, 220)] {
        resize(&session, &window, width, width).await;
        for lang in ["en", "de"] {
            let view = &examples[lang]["views"]["waiting"];
            let mut sizes = Vec::new();
            for left in [120, 60, 10, 9, 2] {
                sizes.push(size_of_state(&window, view, left).await);
            }
            assert!(sizes[0][0].as_u64() >= Some(least), "{lang} at {width}: {sizes:?}");
            assert!(sizes.iter().all(|size| *size == sizes[0]), "{lang} at {width}: {sizes:?}");
        }
    }
}
