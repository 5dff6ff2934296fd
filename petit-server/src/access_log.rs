//! The access log: one line for each visit that is over, in a file of its own beside the log. It says who came, for
//! what and what became of it, and nothing that could be a secret: no query, no header, no body.

mod writer;

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use petit_engine::name::{DeviceId, RegisteredId, ServiceName};
use petit_host::logs::{FileHandle, RotatingFile};
use petit_relay::{Observer, Record};
use serde::{Deserialize, Serialize};

use self::writer::Writer;

/// What the access log is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum AccessLogForm {
    /// There is none.
    #[default]
    Off,
    /// Lines for people: words in a fixed order.
    Text,
    /// Lines for programs: a JSON object each.
    Json,
}

impl FromStr for AccessLogForm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("an access log is one of off, text, json".to_owned()),
        }
    }
}

impl TryFrom<String> for AccessLogForm {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Writes a line for each visit.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// How many bytes are to be kept from the next line on, or [`NO_NEWS`].
    size: Arc<AtomicU64>,
    form: Form,
    writer: Arc<Writer>,
}

/// The size stays as it is. No log is as large.
const NO_NEWS: u64 = u64::MAX;

/// How long a server that ends waits for the disk. A disk that has not taken a few thousand lines by then stands still.
const FINISH: Duration = Duration::from_secs(2);

/// The forms in which there is one.
#[derive(Clone, Copy, Debug)]
enum Form {
    Text,
    Json,
}

impl Form {
    /// The line that stands for so many lines that could not be written.
    fn lost(self, lost: u64) -> String {
        let time = now();
        match self {
            Self::Text => format!("{time} - lines lost={lost}"),
            Self::Json => serde_json::to_string(&Lost { time, lost }).unwrap_or_default(),
        }
    }
}

/// What stands for lines that could not be written.
#[derive(Serialize)]
struct Lost {
    time: String,
    lost: u64,
}

fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

impl AccessLog {
    /// Opens the file; `None` where there is to be no access log. It keeps `bytes` bytes, older files included.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(form: AccessLogForm, path: &Path, bytes: u64) -> std::io::Result<Option<Self>> {
        let form = match form {
            AccessLogForm::Off => return Ok(None),
            AccessLogForm::Text => Form::Text,
            AccessLogForm::Json => Form::Json,
        };
        let file = FileHandle::new(RotatingFile::open(path)?);
        file.set_size(bytes);
        let size = Arc::new(AtomicU64::new(NO_NEWS));
        let wanted = Arc::clone(&size);
        let resize = move |file: &mut FileHandle| match wanted.swap(NO_NEWS, Ordering::Relaxed) {
            NO_NEWS => {}
            bytes => file.set_size(bytes),
        };
        let writer = Writer::start(file, resize, move |lost| form.lost(lost))?;
        Ok(Some(Self { size, form, writer: Arc::new(writer) }))
    }

    /// Keeps so many bytes from the next line on, older files included. Does not wait for the disk.
    pub fn set_size(&self, bytes: u64) {
        self.size.store(bytes, Ordering::Relaxed);
    }

    /// Takes no more lines, and waits until those that wait are written, for two seconds at most.
    ///
    /// # Cancel safety
    /// Cancel safe; the lines are written all the same.
    pub async fn finish(&self) {
        let writer = Arc::clone(&self.writer);
        let _ = tokio::task::spawn_blocking(move || writer.finish(FINISH)).await;
    }
}

impl Observer for AccessLog {
    fn visit_ended(&self, record: &Record<'_>) {
        let line = Line::of(record);
        self.writer.write(match self.form {
            Form::Text => line.text(),
            Form::Json => serde_json::to_string(&line).unwrap_or_default(),
        });
    }
}

/// A line, field by field.
#[derive(Serialize)]
struct Line<'a> {
    /// When the visit ended.
    time: String,
    /// The name of the request or stream, as in Petit's own answers and in the logs of both ends.
    request: String,
    service: RegisteredId,
    name: &'a ServiceName,
    client: DeviceId,
    visitor: IpAddr,
    /// The key that was shown, where the service's policy asks for one.
    key: Option<&'a str>,
    protocol: &'static str,
    method: Option<&'a str>,
    path: Option<&'a str>,
    status: Option<u16>,
    /// `whole`, the code of a failure as in `Petit-Error`, or how else it ended.
    end: &'static str,
    /// Where it failed.
    hop: Option<&'static str>,
    bytes_up: u64,
    bytes_down: u64,
    /// From its begin until it had a place.
    placed_us: Option<u64>,
    /// From its begin until the service's answer began.
    answered_us: Option<u64>,
    took_us: u64,
    retried: bool,
    /// What a policy that only counts would have refused it for.
    would_refuse: Option<&'static str>,
}

impl<'a> Line<'a> {
    fn of(record: &Record<'a>) -> Self {
        Self {
            time: now(),
            request: record.id.to_string(),
            service: record.route.id,
            name: &record.route.name,
            client: record.route.device,
            visitor: record.visitor.ip(),
            key: record.key.map(|key| key.as_str()),
            protocol: record.protocol.as_str(),
            method: record.method.map(|method| method.as_str()),
            path: record.path,
            status: record.status,
            end: record.end.as_str(),
            hop: record.end.hop().map(|hop| hop.as_str()),
            bytes_up: record.bytes_up,
            bytes_down: record.bytes_down,
            placed_us: record.placed_after.map(micros),
            answered_us: record.answered_after.map(micros),
            took_us: micros(record.took),
            retried: record.was_retried,
            would_refuse: record.would_refuse.map(|failure| failure.code()),
        }
    }

    /// Words in a fixed order, `-` for what there is not; then the rest by name.
    fn text(&self) -> String {
        let Self { time, request, service, name, client, visitor, protocol, .. } = self;
        let Self { end, bytes_up, bytes_down, took_us, .. } = self;
        let (method, path) = (self.method.unwrap_or("-"), self.path.unwrap_or("-"));
        let status = self.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let mut line = format!(
            "{time} {visitor} {service} {name} {protocol} {method} {path} {status} {end} up={bytes_up} \
             down={bytes_down} took_us={took_us} client={client} request={request}"
        );
        if let Some(hop) = self.hop {
            line.push_str(" hop=");
            line.push_str(hop);
        }
        for (name, after) in [("placed_us", self.placed_us), ("answered_us", self.answered_us)] {
            if let Some(after) = after {
                line.push_str(&format!(" {name}={after}"));
            }
        }
        if self.retried {
            line.push_str(" retried");
        }
        for (name, value) in [("key", self.key), ("would_refuse", self.would_refuse)] {
            if let Some(value) = value {
                line.push_str(&format!(" {name}={value}"));
            }
        }
        line
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
