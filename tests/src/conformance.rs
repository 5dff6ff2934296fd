//! What tests have shown to pass, row by row. `cargo xtask conformance` makes `docs/conformance.md` of it, and
//! `cargo xtask test` fails when that file says anything else.
//!
//! A test says with [`row!`](crate::row) what it is about to show and with [`Row::carried`] or [`Row::instead`]
//! that it has. Each row is a small file of its own, written whole, so any number of test processes can write at
//! the same time. A row that is dropped before it was shown says that it failed.

use std::path::PathBuf;

use serde_json::json;

/// What a row is about; a chapter of the document, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Requests and answers, their heads, their special forms.
    Messages,
    /// Bodies: ranges, sizes, framings.
    Bodies,
    /// HTTP/1.0, HTTP/1.1 and HTTP/2 on either side.
    Versions,
    /// gRPC.
    Grpc,
    /// Server-sent events.
    Events,
    /// WebSockets.
    WebSockets,
    /// Raw TCP.
    Tcp,
    /// Services that speak TLS.
    ServiceTls,
    /// Services that break the rules, visitors who leave.
    Broken,
    /// Many at once.
    Load,
}

impl Area {
    fn title(self) -> &'static str {
        match self {
            Self::Messages => "Requests and answers",
            Self::Bodies => "Bodies",
            Self::Versions => "Versions of HTTP",
            Self::Grpc => "gRPC",
            Self::Events => "Server-sent events",
            Self::WebSockets => "WebSockets",
            Self::Tcp => "Raw TCP",
            Self::ServiceTls => "Services behind TLS",
            Self::Broken => "Services that misbehave, visitors who leave",
            Self::Load => "Many at once",
        }
    }
}

/// Something that a test is about to show.
#[derive(Debug)]
pub struct Row {
    area: Area,
    what: String,
    test: String,
    note: String,
    written: bool,
}

/// Begins a [`Row`] of an [`Area`], in the name of the test around it.
#[macro_export]
macro_rules! row {
    ($area:ident, $($what:tt)+) => {
        $crate::conformance::Row::begin(
            $crate::conformance::Area::$area,
            format!($($what)+),
            std::any::type_name_of_val(&|| ()),
        )
    };
}

impl Row {
    /// Use [`row!`](crate::row).
    pub fn begin(area: Area, what: String, place: &str) -> Self {
        // `e2e::sse::a_test::{{closure}}`: the crate's name and the closures say nothing.
        let test = place.split_once("::").map_or(place, |(_, rest)| rest);
        let test = test.split("::{{closure}}").next().unwrap_or_default().to_owned();
        Self { area, what, test, note: String::new(), written: false }
    }

    /// It passes as it should.
    pub fn carried(self) {
        self.carried_with("");
    }

    /// It passes; something is to be known about it.
    pub fn carried_with(mut self, note: &str) {
        note.clone_into(&mut self.note);
        self.write("carried");
    }

    /// It does not pass, and is not meant to; the note says what happens instead, which the test has shown.
    pub fn instead(mut self, note: &str) {
        note.clone_into(&mut self.note);
        self.write("instead");
    }

    fn write(&mut self, verdict: &str) {
        self.written = true;
        let Self { area, what, test, note, .. } = &*self;
        let row = json!({
            "number": *area as usize, "area": area.title(), "what": what, "verdict": verdict, "note": note,
            "test": test,
        });
        let folder = folder();
        std::fs::create_dir_all(&folder).unwrap();
        let key: String = format!("{} {what} {test}", area.title())
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        let name = data_encoding::HEXLOWER.encode(&digest.as_ref()[..12]);
        let new = tempfile::NamedTempFile::new_in(&folder).unwrap();
        std::fs::write(new.path(), row.to_string()).unwrap();
        new.persist(folder.join(format!("{name}.json"))).unwrap();
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if !self.written {
            self.write("failed");
        }
    }
}

/// All of them pass as they should.
pub fn carried(rows: impl IntoIterator<Item = Row>) {
    rows.into_iter().for_each(Row::carried);
}

/// Where the rows are: beside what cargo has built.
fn folder() -> PathBuf {
    crate::program::target().join("conformance")
}
