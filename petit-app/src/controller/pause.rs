//! When a pause is over. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::contract::PauseFor;

/// When a pause is over; seconds since 1970. Tomorrow begins at six in the morning.
pub(super) fn end(length: PauseFor, now: SystemTime) -> u64 {
    let after = |minutes: u64| {
        let end = now + Duration::from_secs(minutes * 60);
        end.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    };
    match length {
        PauseFor::QuarterHour => after(15),
        PauseFor::Hour => after(60),
        PauseFor::Tomorrow => {
            let morning = jiff::Timestamp::try_from(now).and_then(|now| {
                let here = now.to_zoned_datetime(jiff::tz::TimeZone::system());
                here.tomorrow()?.with().hour(6).minute(0).second(0).subsec_nanosecond(0).build()
            });
            let morning = morning.ok().and_then(|at| u64::try_from(at.timestamp().as_second()).ok());
            morning.unwrap_or_else(|| after(12 * 60))
        }
    }
}
