//! Sessions of an older version, as bytes: what its two programs said to each other below TLS.

use std::path::PathBuf;

use petit_engine::proto::frame::{FrameKind, HEADER_BYTES, Header};
use serde_json::Value;

/// What one end said in a session, from the first byte to the last.
#[derive(Clone, Debug, Default)]
pub struct Recorded(pub Vec<u8>);

/// An end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Agent,
    /// The server's.
    Relay,
}

impl Side {
    /// Where the recording of it is kept.
    pub fn file(self) -> PathBuf {
        let name = match self {
            Self::Agent => "agent.bin",
            Self::Relay => "relay.bin",
        };
        [env!("CARGO_MANIFEST_DIR"), "e2e/fixtures/session-without-features", name].iter().collect()
    }

    /// The recording of it.
    pub fn recorded(self) -> Recorded {
        Recorded(std::fs::read(self.file()).unwrap())
    }
}

impl Recorded {
    /// Its frames.
    pub fn frames(&self) -> Vec<(Header, Vec<u8>)> {
        let (mut rest, mut frames) = (&self.0[..], Vec::new());
        while let Some((header, behind)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::decode(*header).unwrap();
            frames.push((header, behind[..header.length].to_vec()));
            rest = &behind[header.length..];
        }
        frames
    }

    /// Its messages, as the JSON that they are.
    pub fn messages(&self) -> Vec<Value> {
        let frames = self.frames().into_iter().filter(|(header, _)| header.kind == FrameKind::Control);
        frames.map(|(_, payload)| serde_json::from_slice(&payload).unwrap()).collect()
    }

    /// The first message of a type.
    pub fn message(&self, kind: &str) -> Value {
        let messages = self.messages();
        messages.iter().find(|message| message["type"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone()
    }
}

/// The names of all fields of a message, with those of the values in them; whoever knows them can read it.
pub fn fields(value: &Value) -> Vec<String> {
    let mut fields: Vec<String> = match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(name, value)| {
                // The vitae's names are the customer's own.
                let inner = if name == "vitae" { Vec::new() } else { fields(value) };
                std::iter::once(name.clone())
                    .chain(inner.into_iter().map(move |inner| format!("{name}.{inner}")))
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(fields).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    fields.sort();
    fields.dedup();
    fields
}
