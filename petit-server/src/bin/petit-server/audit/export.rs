//! An exported log as a file: one JSON value in each line, of which the first says what it begins with and the last where
//! it ends.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use petit_engine::secret::Fingerprint;
use petit_host::cli::Failure;
use petit_host::exit::ExitCode;
use petit_server::audit::{Verified, Verifier, check_heads};
use petit_server::registry::{Change, SignedHead, Timestamp};
use serde::{Deserialize, Serialize};

use super::fault::fault;

/// The first line of an exported log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportBegin {
    /// The form of the file.
    pub(super) petit_audit: u32,
    pub(super) checkpoint: Option<SignedHead>,
}

/// Its last line: without it the file is not whole.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportEnd {
    pub(super) head: SignedHead,
}

/// The form of the file.
pub(super) const FORM: u32 = 1;
/// No change is as long: what its body has is bounded.
const LINE_BYTES: u64 = 1024 * 1024;
/// The last line is in so much of the file's end.
const END_BYTES: u64 = 16 * 1024;

/// Looks whether an exported log is whole, and agrees with `heads`. Has one of its lines in memory at a time.
pub(super) fn verify(
    file: &Path,
    mut heads: Vec<SignedHead>,
    keys: &[Fingerprint],
) -> Result<Verified, Failure> {
    let mut lines = Lines::open(file)?;
    let ExportEnd { head: signed } = lines.end()?;
    check_heads(std::slice::from_ref(&signed), keys).map_err(fault)?;
    let head = signed.head;
    heads.push(signed);
    let Some(begin) = lines.next()? else { return Err(lines.wrong("there is no log in it")) };
    let begin: ExportBegin = serde_json::from_slice(&begin)
        .map_err(|_| lines.wrong("it does not begin as an exported log does"))?;
    if begin.petit_audit != FORM {
        return Err(lines.wrong(&format!("form {} is not known", begin.petit_audit)));
    }
    let mut verifier =
        Verifier::new(begin.checkpoint.as_ref(), heads, keys, Timestamp::now()).map_err(fault)?;
    let Some(mut line) = lines.next()? else { return Err(lines.wrong("there is no log in it")) };
    // The last one is its end.
    while let Some(next) = lines.next()? {
        let change: Change = serde_json::from_slice(&line)
            .map_err(|_| lines.wrong_before("this is not a change as it was exported"))?;
        verifier.add(&change).map_err(fault)?;
        line = next;
    }
    verifier.finish(head).map_err(fault)
}

/// An exported log, read line by line.
struct Lines<'a> {
    path: &'a Path,
    file: BufReader<File>,
    /// That of the line that was read last.
    number: usize,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        Ok(Self { path, file: BufReader::new(file), number: 0 })
    }

    /// The last line. Before the first one is read.
    fn end(&mut self) -> Result<ExportEnd, Failure> {
        let mut end = Vec::new();
        let mut read = || {
            let length = self.file.seek(SeekFrom::End(0))?;
            self.file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))?;
            (&mut self.file).take(END_BYTES).read_to_end(&mut end)?;
            self.file.rewind()
        };
        read().map_err(|error| unreadable(self.path, &error))?;
        let text = String::from_utf8_lossy(&end);
        if let Some(end) = text.lines().next_back().and_then(|line| serde_json::from_str(line).ok()) {
            return Ok(end);
        }
        // Which line that is.
        let has_begin = self.next()?.is_some();
        while self.next()?.is_some() {}
        let why = match has_begin {
            true => "it does not end as an exported log does, with a signed head",
            false => "there is no log in it",
        };
        Err(self.wrong(why))
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.file).take(LINE_BYTES).read_until(b'\n', &mut line);
        let read = read.map_err(|error| unreadable(self.path, &error))?;
        self.number += usize::from(read > 0);
        Ok(Some(line).filter(|_| read > 0))
    }

    fn wrong(&self, why: &str) -> Failure {
        wrong(self.path, self.number.max(1), why)
    }

    /// Of the line before the one that was read last.
    fn wrong_before(&self, why: &str) -> Failure {
        wrong(self.path, self.number - 1, why)
    }
}

fn wrong(path: &Path, line: usize, why: &str) -> Failure {
    let place = format!("{}, line {line}: {why}", path.display());
    Failure::new(ExitCode::Failed, format!("{place}; is it what audit export has written, to its end?"))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(ExitCode::Failed, format!("cannot read {}: {error}", path.display()))
}
