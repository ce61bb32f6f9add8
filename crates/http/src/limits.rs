use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Maximum number of callers in the table.
const MAX_CALLERS: usize = 10_000;

/// A rate limit: at most `requests` in any period of length `window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Maximum number of requests per window.
    pub requests: u32,
    /// Length of the window.
    pub window: Duration,
}

/// Sliding-window rate limiter, which counts the admitted requests of each caller.
pub struct SlidingWindow<K> {
    limit: RateLimit,
    admitted: Mutex<HashMap<K, VecDeque<SystemTime>>>,
}

impl<K: Hash + Eq + Copy> SlidingWindow<K> {
    /// Creates a limiter with an empty table.
    pub fn new(limit: RateLimit) -> Self {
        Self { limit, admitted: Mutex::default() }
    }

    /// Returns the configured limit.
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Admits a request of the caller `key` at the time `now`, unless the caller is at its limit.
    /// Rejected requests do not count.
    ///
    /// # Errors
    /// The delay until the caller's next request would be admitted.
    pub fn admit(&self, key: K, now: SystemTime) -> Result<(), Duration> {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        if admitted.len() >= MAX_CALLERS && !admitted.contains_key(&key) {
            evict_callers(&mut admitted, now, self.limit.window);
        }
        let times = admitted.entry(key).or_default();
        while times.front().is_some_and(|time| has_expired(*time, now, self.limit.window)) {
            times.pop_front();
        }
        if times.len() >= self.limit.requests as usize {
            let oldest = times.front().map_or(Duration::ZERO, |time| age(*time, now));
            return Err(self.limit.window.saturating_sub(oldest));
        }
        times.push_back(now);
        Ok(())
    }

    /// Returns how many more requests of the caller `key` would be admitted now, and the time until
    /// the caller's full allowance is available again.
    pub fn remaining(&self, key: K, now: SystemTime) -> (u32, Duration) {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(times) = admitted.get(&key) else { return (self.limit.requests, Duration::ZERO) };
        // The times are in order, unless the clock was set back.
        let expired = times.partition_point(|time| has_expired(*time, now, self.limit.window));
        let used_slots = u32::try_from(times.len() - expired).unwrap_or(u32::MAX);
        let newest = times.back().map_or(self.limit.window, |time| age(*time, now));
        (self.limit.requests.saturating_sub(used_slots), self.limit.window.saturating_sub(newest))
    }
}

/// Returns the part of an address that identifies a subscriber: the /64 prefix of IPv6, the whole
/// address of IPv4. An internet subscriber usually controls all addresses of a /64.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Returns the time since `time`; zero when the clock was set back.
fn age(time: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(time).unwrap_or_default()
}

/// Returns whether a request at `time` no longer counts. One that is more than a window ahead is
/// from before the clock was set back: it would count until the clock has reached it.
fn has_expired(time: SystemTime, now: SystemTime, window: Duration) -> bool {
    match now.duration_since(time) {
        Ok(age) => age >= window,
        Err(ahead) => ahead.duration() > window,
    }
}

/// Evicts callers that were idle for a window, or else the caller that was idle longest.
fn evict_callers<K: Hash + Eq + Copy>(
    admitted: &mut HashMap<K, VecDeque<SystemTime>>,
    now: SystemTime,
    window: Duration,
) {
    admitted.retain(|_, times| times.back().is_some_and(|time| !has_expired(*time, now, window)));
    if admitted.len() >= MAX_CALLERS
        && let Some(longest_idle) =
            admitted.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| *key)
    {
        admitted.remove(&longest_idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn requests_leave_the_sliding_window() {
        let window = SlidingWindow::new(RateLimit { requests: 2, window: Duration::from_mins(1) });
        assert_eq!(window.admit('a', at(0)), Ok(()));
        assert_eq!(window.admit('a', at(20)), Ok(()));
        assert_eq!(
            window.admit('a', at(30)),
            Err(Duration::from_secs(30)),
            "until the first is 60 s old"
        );
        assert_eq!(window.admit('b', at(30)), Ok(()), "callers do not disturb each other");
        assert_eq!(window.remaining('a', at(30)), (0, Duration::from_secs(50)));
        assert_eq!(window.remaining('b', at(40)), (1, Duration::from_secs(50)));
        assert_eq!(window.remaining('c', at(30)), (2, Duration::ZERO));
        assert_eq!(
            window.remaining('a', at(60)),
            (1, Duration::from_secs(20)),
            "the first has left the window"
        );
        assert_eq!(window.admit('a', at(60)), Ok(()));
        assert_eq!(window.admit('a', at(61)), Err(Duration::from_secs(19)));
        assert_eq!(
            window.admit('a', at(10)),
            Err(Duration::from_mins(1)),
            "a clock set back admits nothing more"
        );
    }

    #[test]
    fn requests_before_the_clock_was_set_back_by_a_day_do_not_count() {
        let window = SlidingWindow::new(RateLimit { requests: 1, window: Duration::from_mins(1) });
        assert_eq!(window.admit('a', at(86_400)), Ok(()));
        assert_eq!(window.admit('a', at(86_340)), Err(Duration::from_mins(1)), "a minute ahead");
        assert_eq!(window.remaining('a', at(100)).0, 1);
        assert_eq!(window.admit('a', at(100)), Ok(()));
        assert_eq!(window.admit('a', at(159)), Err(Duration::from_secs(1)));
    }

    #[test]
    fn number_of_tracked_callers_is_bounded() {
        let window = SlidingWindow::new(RateLimit { requests: 1, window: Duration::from_mins(1) });
        for key in 0..MAX_CALLERS + 10 {
            assert_eq!(window.admit(key, at(key as u64 / 1_000)), Ok(()));
        }
        assert_eq!(window.admitted.lock().unwrap().len(), MAX_CALLERS);
        assert_eq!(window.admit(usize::MAX, at(1_000)), Ok(()));
        assert_eq!(window.admitted.lock().unwrap().len(), 1, "quiet callers are forgotten");
    }
}
