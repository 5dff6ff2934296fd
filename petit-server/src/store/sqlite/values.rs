//! Columns as values, and what SQLite says as errors of a store.

use std::collections::BTreeSet;
use std::io;
use std::str::FromStr;

use petit_engine::name::Tag;
use petit_engine::proto::control::ServiceKind;
use petit_engine::secret::PublicKey;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::registry::{Labels, Note, ServiceRow, StoreError, StoreErrorKind, StoreErrorSource};

pub(super) fn parsed<T: FromStr>(text: &str, what: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::row(what))
}

pub(super) fn bytes<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| StoreError::row(what))
}

pub(super) fn key(spki: &[u8]) -> Result<PublicKey, StoreError> {
    PublicKey::parse(spki).map_err(|_| StoreError::row("key"))
}

pub(super) fn kind_text(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Http => "http",
        ServiceKind::Tcp => "tcp",
    }
}

fn kind_of(text: &str) -> Result<ServiceKind, StoreError> {
    match text {
        "http" => Ok(ServiceKind::Http),
        "tcp" => Ok(ServiceKind::Tcp),
        _ => Err(StoreError::row("kind of service")),
    }
}

pub(super) fn port(number: i64) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

/// A service, without its aliases.
pub(super) fn service_row(row: &SqliteRow) -> Result<ServiceRow, StoreError> {
    Ok(ServiceRow {
        id: parsed(row.try_get("id")?, "registered ID")?,
        name: parsed(row.try_get("name")?, "service name")?,
        kind: kind_of(row.try_get("kind")?)?,
        port: row.try_get::<Option<i64>, _>("port")?.map(port),
        aliases: Vec::new(),
    })
}

/// The code of an error of SQLite's, whose low byte is the primary one (<https://sqlite.org/rescode.html>).
fn code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// What SQLite, or the system below it, has said. A full disk is said in the words of the standard library.
fn source(error: sqlx::Error) -> StoreErrorSource {
    match (code(&error), error) {
        // 13 FULL; 4874 IOERR_SHMSIZE, of the index of the write-ahead log, "may indicate that the underlying
        // filesystem volume is out of space".
        (Some(13 | 4874), error) => io::Error::new(io::ErrorKind::StorageFull, error).into(),
        (_, sqlx::Error::Io(error)) => error.into(),
        (_, error) => error.into(),
    }
}

/// Reading or writing has failed.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::new(StoreErrorKind::Failed, source(error))
    }
}

/// What an error on opening means: damage, or something that can be put right from outside.
pub(super) fn open_error(error: sqlx::Error) -> StoreError {
    let kind = match code(&error).map(|code| code & 0xff) {
        Some(11 | 26) => StoreErrorKind::NotARegistry, // CORRUPT, NOTADB
        _ => StoreErrorKind::CannotOpen,
    };
    StoreError::new(kind, source(error))
}

/// True when another program is writing just now (5 BUSY).
pub(super) fn is_locked(error: &StoreError) -> bool {
    let source = std::error::Error::source(error);
    let sqlite = source.and_then(|source| source.downcast_ref::<sqlx::Error>());
    sqlite.and_then(code).is_some_and(|code| code & 0xff == 5)
}

/// Tags as they are kept.
pub(super) fn tags_text(tags: &BTreeSet<Tag>) -> Result<String, StoreError> {
    serde_json::to_string(tags).map_err(|_| StoreError::row("list of tags"))
}

/// The tags and the note of a row. A note of before there was a rule for them is taken as far as it may go.
pub(super) fn labels(row: &SqliteRow) -> Result<Labels, StoreError> {
    let tags = serde_json::from_str(row.try_get("tags")?).map_err(|_| StoreError::row("list of tags"))?;
    Ok(Labels { tags, note: Note::lossy(row.try_get("note")?) })
}
