//! How many connections to services there is room for.

use petit_engine::limits;

/// Connections to services at the same time: as many as the engine wants, and no more than there are descriptors for
/// when some are kept back for everything else. `open_files` is what the process may have open, where that is known.
pub(crate) fn connections(open_files: Option<u64>) -> usize {
    let Some(open_files) = open_files else { return limits::SERVICE_CONNECTIONS };
    // Where there are very few, each side has half of them.
    let room = open_files.saturating_sub(limits::DESCRIPTORS_KEPT_BACK).max(open_files / 2).max(1);
    usize::try_from(room).unwrap_or(usize::MAX).min(limits::SERVICE_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_what_descriptors_allow_and_some_are_kept_back() {
        for (open_files, expected) in [
            (None, limits::SERVICE_CONNECTIONS),
            (Some(u64::MAX), limits::SERVICE_CONNECTIONS),
            (Some(1024), 896),
            (Some(200), 100),
            (Some(1), 1),
        ] {
            assert_eq!(connections(open_files), expected, "{open_files:?}");
        }
    }
}
