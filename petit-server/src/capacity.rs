//! How many connections and requests there is room for.

use petit_engine::limits;

use crate::config::Config;
use crate::memory;

/// Memory that is reckoned for a connection. An idle session takes 29 KiB and an idle visitor 24 KiB (measured);
/// the rest is for what they have under way.
const CONNECTION_BYTES: u64 = 64 * 1024;
/// Memory that a request may hold while its visitor takes nothing of the answer, both of its ends together (70 KB
/// measured with thousands of them).
const REQUEST_BYTES: u64 = 72 * 1024;
/// Descriptors that are not for connections: registry, log, control socket, files that are read for a moment.
const OWN_FILES: u64 = 128;

/// Connections of all kinds that a server takes at the same time: what the operator says, else as many as there
/// are descriptors and memory for. `open_files` and `memory` are what the process may use, where that is known.
pub(crate) fn connections(config: &Config, open_files: Option<u64>, memory: Option<u64>) -> usize {
    if let Some(connections) = config.connections {
        return connections;
    }
    let by_memory = memory.map(|memory| memory / CONNECTION_BYTES);
    let room = descriptors(config, open_files).into_iter().chain(by_memory).min();
    room.map_or(limits::MAX_CONNECTIONS, |room| usize::try_from(room).unwrap_or(usize::MAX).max(10))
}

/// Requests under way at the same time: what the operator says, else the usual, or as many as hold half of the memory
/// when visitors take nothing of their answers.
pub(crate) fn requests(config: &Config, memory: Option<u64>) -> usize {
    let usual = config.limits.requests;
    match (config.requests, memory) {
        (None, Some(memory)) => usual.min(held_by_half(memory)),
        _ => usual,
    }
}

/// What is wrong with the operator's numbers.
pub fn complaints(config: &Config, open_files: Option<u64>) -> impl Iterator<Item = String> {
    [connections_complaint(config, open_files), requests_complaint(config, memory::of(config))]
        .into_iter()
        .flatten()
}

/// What is wrong with the operator's number of requests, if anything.
fn requests_complaint(config: &Config, memory: Option<u64>) -> Option<String> {
    let (wanted, room) = (config.requests?, held_by_half(memory?));
    (wanted > room).then(|| {
        format!(
            "limits.requests is {wanted}, but {room} requests whose visitors take nothing of their answers hold half of \
             this server's memory; give it more memory, or allow fewer"
        )
    })
}

/// Requests that hold half of the memory; some, however little there is.
fn held_by_half(memory: u64) -> usize {
    usize::try_from(memory / 2 / REQUEST_BYTES).unwrap_or(usize::MAX).max(64)
}

/// What is wrong with the operator's number of connections, if anything.
fn connections_complaint(config: &Config, open_files: Option<u64>) -> Option<String> {
    let (wanted, room) = (config.connections?, descriptors(config, open_files)?);
    (u64::try_from(wanted).unwrap_or(u64::MAX) > room).then(|| {
        format!(
            "limits.connections is {wanted}, but the system lets this process open files for {room} only; raise its \
             limit of open files (ulimit -n, LimitNOFILE)"
        )
    })
}

/// Descriptors that are left for connections. Where there are few, a quarter is left for the rest.
fn descriptors(config: &Config, open_files: Option<u64>) -> Option<u64> {
    let ports = config.tcp_ports.map_or(0, |(first, last)| u64::from(last - first) + 1);
    open_files.map(|files| files - OWN_FILES.min(files / 8) - ports.min(files / 8))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(limits: &str) -> Config {
        let text = format!("[server]\ntcp_ports = \"20000-20009\"\n[server.limits]\n{limits}\n");
        crate::config::parse(Path::new("/etc/petit/config.toml"), &text).unwrap().0
    }

    #[test]
    fn there_is_room_for_what_descriptors_and_memory_allow() {
        let usual = config("");
        let room = |files: u64, memory: u64| connections(&usual, Some(files), Some(memory));
        assert_eq!(room(1024, 1 << 40), 1024 - 128 - 10, "descriptors are scarce");
        assert_eq!(room(1 << 20, 1 << 30), 16_384, "memory is");
        assert_eq!(room(1 << 20, 8 << 30), 131_072);
        assert_eq!(room(8, 1 << 30), 10, "it begins all the same");
        let many_ports = Config { tcp_ports: Some((20_000, 20_999)), ..config("") };
        assert_eq!(connections(&many_ports, Some(1024), None), 768, "not each port has its service");
        assert_eq!(connections(&usual, None, Some(2 << 30)), 32_768);
        assert_eq!(connections(&usual, None, None), limits::MAX_CONNECTIONS);
    }

    #[test]
    fn requests_hold_no_more_than_half_of_the_memory_unless_the_operator_wants_it() {
        let usual = config("");
        assert_eq!(requests(&usual, None), 8192);
        assert_eq!(requests(&usual, Some(8 << 30)), 8192);
        assert_eq!(requests(&usual, Some(512 << 20)), 3640);
        assert_eq!(requests(&usual, Some(1 << 20)), 64, "it serves all the same");
        assert_eq!(requests_complaint(&usual, Some(1 << 20)), None, "nobody has said so many");
        let told = config("requests = 9000");
        assert_eq!(requests(&told, Some(512 << 20)), 9000);
        assert!(requests_complaint(&told, Some(512 << 20)).unwrap().contains("but 3640 requests"));
        assert_eq!(requests_complaint(&told, Some(8 << 30)), None);
    }

    #[test]
    fn the_operators_number_holds_and_is_questioned_when_it_cannot_be_kept() {
        let told = config("connections = 2000000");
        assert_eq!(connections(&told, Some(1024), Some(1 << 30)), 2_000_000);
        let complaint_of = |files| connections_complaint(&told, Some(files));
        assert!(complaint_of(1024).unwrap().contains("files for 886 only"));
        assert_eq!(complaint_of(3_000_000), None);
        assert_eq!(connections_complaint(&config(""), Some(10)), None);
    }
}
