//! How long a client may take for its response, by the progress that it makes. Knows no sockets
//! and no clock.
//!
//! A response holds its memory until the client has taken all of it, so every byte that the socket
//! accepts earns time.
//!
//! The kernel reports room in steps of about a third of its send buffer, up to 1.4 MB by default.
//! `request_ms_max` must be long enough for the slowest client to take one step.

use crate::limits::Limits;
use std::time::{Duration, Instant};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The deadline of a response of which the client has just taken so many bytes, and whose deadline
/// was `before`.
///
/// Bytes earn time at `response_bytes_per_second_min`, up to `request_ms_max` from now. So a client
/// that takes nothing has `request_ms_max`, however much it took before, and a client that takes
/// less than the rate runs out of time.
pub(crate) fn deadline(
    before: Instant,
    now: Instant,
    taken_bytes: usize,
    limits: &Limits,
) -> Instant {
    let latest = now + limits.request_max();
    let rate = u64::try_from(limits.response_bytes_per_second_min).unwrap_or(u64::MAX);
    let bytes = u64::try_from(taken_bytes).unwrap_or(u64::MAX);
    let earned = match (bytes, rate) {
        (0, _) => return before,
        (_, 0) => return latest,
        _ => Duration::from_nanos(bytes.saturating_mul(NANOS_PER_SECOND) / rate),
    };
    before.checked_add(earned).map_or(latest, |deadline| deadline.min(latest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the client of a response loses it, and how much it has taken until then, if it takes so
    /// many bytes in such steps. The kernel takes the first ones at once.
    fn lost(
        bytes: usize,
        (step_bytes, step): (usize, Duration),
        limits: &Limits,
    ) -> Option<(u64, usize)> {
        const KERNEL_BYTES: usize = 2_200_000;
        let start = Instant::now();
        let (mut now, mut taken) = (start, KERNEL_BYTES.min(bytes));
        let mut until = deadline(now + limits.request_max(), now, taken, limits);
        while taken < bytes {
            if now + step > until {
                return Some(((until - start).as_secs(), taken));
            }
            now += step;
            taken += step_bytes;
            until = deadline(until, now, step_bytes, limits);
        }
        None
    }

    #[test]
    fn steady_readers_get_all_and_nobody_else_is_waited_for_long() {
        const MIB: usize = 1 << 20;
        let limits = Limits::default();
        let ms = Duration::from_millis;
        let rows = [
            ("2 Mbit/s", (250_000, ms(1_000)), None),
            // The kernel tells of room when a third of its buffer has gone.
            ("the least rate, in steps of the kernel", (22 * (64 << 10), ms(22_000)), None),
            ("as fast as it can", (MIB, ms(1)), None),
            ("nothing", (0, ms(1_000)), Some((30, 2_200_000))),
            ("a byte in time", (1, ms(29_000)), Some((30, 2_200_001))),
            ("half of the least rate", (32 << 10, ms(1_000)), Some((59, 4_133_312))),
        ];
        for (what, steps, end) in rows {
            assert_eq!(lost(16 * MIB, steps, &limits), end, "{what}");
        }
        let any = Limits { response_bytes_per_second_min: 0, ..limits };
        assert_eq!(lost(2_200_100, (1, ms(29_000)), &any), None, "any progress will do");
        assert_eq!(lost(16 * MIB, (0, ms(1_000)), &any), Some((30, 2_200_000)));
    }

    #[test]
    fn what_was_taken_before_earns_no_more_than_one_wait() {
        let (limits, now) = (Limits::default(), Instant::now());
        assert_eq!(deadline(now, now, usize::MAX, &limits), now + limits.request_max());
        assert_eq!(deadline(now, now, 64 << 10, &limits), now + Duration::from_secs(1));
    }
}
