//! The block clock: schedule and timestamps of blocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Schedule of block production, and the timestamps of blocks. A slot is the chain's block time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// One block per interval, each stamped with the wall-clock time plus the offset that was set,
    /// but at least one slot after its parent's timestamp.
    Every(Duration),
    /// Blocks as fast as possible, each stamped one slot after its parent.
    Fastest,
    /// Blocks only on demand, each stamped one slot after its parent.
    Manual,
    /// A block as soon as an extrinsic is submitted, stamped as with [`Self::Every`].
    Instant,
}

impl Clock {
    /// One block every 12 seconds, as on the main network.
    pub const PRODUCTION: Self = Self::Every(Duration::from_secs(12));
    /// One block every 250 milliseconds, as on the reference's fast local network.
    pub const FAST: Self = Self::Every(Duration::from_millis(250));

    /// Returns the block time of a new chain on this clock, in milliseconds. Clocks without an
    /// interval use the block time of the fast local network.
    pub(crate) fn slot_millis(self) -> u64 {
        match self {
            Self::Every(interval) => u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1),
            Self::Fastest | Self::Manual | Self::Instant => 250,
        }
    }

    /// Returns the timestamp of a block in milliseconds, given its parent's timestamp and the
    /// chain's time.
    pub(crate) fn stamp(self, parent_timestamp: u64, slot_millis: u64, now: u64) -> u64 {
        let min = parent_timestamp.saturating_add(slot_millis);
        match self {
            Self::Every(_) | Self::Instant => now.max(min),
            Self::Fastest | Self::Manual => min,
        }
    }
}

/// Returns the wall-clock time in milliseconds since the Unix epoch.
pub(crate) fn wall_millis() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Returns how far one time is ahead of another, in milliseconds.
pub(crate) fn difference(time: u64, other: u64) -> i64 {
    let ahead = i128::from(time) - i128::from(other);
    i64::try_from(ahead).unwrap_or(if ahead > 0 { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_duration_follows_clock() {
        let every_micros = |micros| Clock::Every(Duration::from_micros(micros));
        let clocks = [
            Clock::PRODUCTION,
            Clock::FAST,
            Clock::Manual,
            Clock::Fastest,
            Clock::Instant,
            every_micros(50_000),
            every_micros(1),
        ];
        assert_eq!(clocks.map(Clock::slot_millis), [12_000, 250, 250, 250, 250, 50, 1]);
    }

    #[test]
    fn timestamp_is_at_least_one_slot_after_parent() {
        for (clock, parent, now, timestamp) in [
            (Clock::FAST, 1_000, 5_000, 5_000),
            (Clock::FAST, 5_000, 5_100, 5_250),
            (Clock::FAST, 9_000, 5_000, 9_250),
            (Clock::Manual, 1_000, 5_000, 1_250),
            (Clock::Fastest, 1_000, 5_000, 1_250),
            (Clock::Manual, u64::MAX, 0, u64::MAX),
            (Clock::Instant, 1_000, 5_000, 5_000),
            (Clock::Instant, 5_000, 5_100, 5_250),
        ] {
            assert_eq!(clock.stamp(parent, 250, now), timestamp, "{clock:?} {parent} {now}");
        }
    }

    #[test]
    fn time_difference_is_signed_and_saturates() {
        assert_eq!([difference(7, 5), difference(5, 7), difference(5, 5)], [2, -2, 0]);
        assert_eq!([difference(u64::MAX, 0), difference(0, u64::MAX)], [i64::MAX, i64::MIN]);
    }
}
