//! The event log, where administrators look.

use std::io;
use std::path::Path;
use std::ptr;

use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, RegisterEventSourceW, ReportEventW,
};
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, REG_DWORD, REG_EXPAND_SZ, RegDeleteTreeW, RegSetKeyValueW,
};

use crate::security::{done, wide};

/// What an administrator has to know. The numbers are those of the sentences in the program's resources
/// (`packaging/windows/resources.rs`), and what filters look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Started = 1,
    Stopped = 2,
    Failed = 3,
}

/// Writes an entry.
///
/// # Errors
/// That of the system.
pub fn report(source: &str, event: Event, text: &str) -> io::Result<()> {
    let (source, text) = (wide(source), wide(text));
    let kind = match event {
        Event::Started | Event::Stopped => EVENTLOG_INFORMATION_TYPE,
        Event::Failed => EVENTLOG_ERROR_TYPE,
    };
    // SAFETY: `source` ends with a zero.
    let log = unsafe { RegisterEventSourceW(ptr::null(), source.as_ptr()) };
    if log.is_null() {
        return Err(io::Error::last_os_error());
    }
    let texts = [text.as_ptr()];
    // SAFETY: `log` is open, and there is one text, which ends with a zero.
    let written = unsafe {
        ReportEventW(log, kind, 0, event as u32, ptr::null_mut(), 1, 0, texts.as_ptr(), ptr::null())
    };
    let written = if written == 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: it was opened above, and is closed here alone.
    unsafe { DeregisterEventSource(log) };
    written
}

/// Tells the system in which program's file it finds the sentences of a source.
///
/// # Errors
/// That of the system, which lets only administrators do it.
pub fn register(source: &str, program: &Path) -> io::Result<()> {
    const ALL_KINDS: u32 = 7;
    let program: Vec<u8> = wide(program).into_iter().flat_map(u16::to_le_bytes).collect();
    set(source, "EventMessageFile", REG_EXPAND_SZ, &program)?;
    set(source, "TypesSupported", REG_DWORD, &ALL_KINDS.to_le_bytes())
}

/// Takes that back.
///
/// # Errors
/// As of [`register`].
pub fn unregister(source: &str) -> io::Result<()> {
    let key = key(source);
    // SAFETY: `key` ends with a zero, and is below one that is always open.
    done(unsafe { RegDeleteTreeW(HKEY_LOCAL_MACHINE, key.as_ptr()) })
}

fn key(source: &str) -> Vec<u16> {
    wide(format!(r"SYSTEM\CurrentControlSet\Services\EventLog\Application\{source}"))
}

fn set(source: &str, name: &str, kind: u32, value: &[u8]) -> io::Result<()> {
    let (key, name) = (key(source), wide(name));
    let length = u32::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: both names end with a zero, and the value is as long as is said.
    done(unsafe {
        RegSetKeyValueW(HKEY_LOCAL_MACHINE, key.as_ptr(), name.as_ptr(), kind, value.as_ptr().cast(), length)
    })
}
