use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// More callers than this are not remembered.
const MAX_KEYS: usize = 10_000;

/// So many requests in any stretch of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many.
    pub requests: u32,
    /// In how long.
    pub window: Duration,
}

/// Counts the admitted requests of each caller over the last window.
pub struct SlidingWindow<K> {
    limit: RateLimit,
    admitted: Mutex<HashMap<K, VecDeque<SystemTime>>>,
}

impl<K: Hash + Eq + Copy> SlidingWindow<K> {
    /// Nobody has been admitted yet.
    pub fn new(limit: RateLimit) -> Self {
        Self { limit, admitted: Mutex::default() }
    }

    /// The limit.
    pub const fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Admits a request of `key`, or says how long to wait. Refused requests do not count.
    ///
    /// # Errors
    /// The time until the next request is admitted.
    pub fn admit(&self, key: K, now: SystemTime) -> Result<(), Duration> {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        if admitted.len() >= MAX_KEYS && !admitted.contains_key(&key) {
            make_room(&mut admitted, now, self.limit.window);
        }
        let times = admitted.entry(key).or_default();
        while times.front().is_some_and(|time| age(*time, now) >= self.limit.window) {
            times.pop_front();
        }
        if times.len() >= self.limit.requests as usize {
            let oldest = times.front().map_or(Duration::ZERO, |time| age(*time, now));
            return Err(self.limit.window.saturating_sub(oldest));
        }
        times.push_back(now);
        Ok(())
    }
}

/// The part of an address that its user cannot change at will: a /64 is what one IPv6 subscriber has.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

/// How long ago `time` was; no time at all when the clock was set back.
fn age(time: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(time).unwrap_or_default()
}

/// Forgets callers who have been quiet for a window, and otherwise the one who has been quiet longest.
fn make_room<K: Hash + Eq + Copy>(admitted: &mut HashMap<K, VecDeque<SystemTime>>, now: SystemTime, window: Duration) {
    admitted.retain(|_, times| times.back().is_some_and(|time| age(*time, now) < window));
    if admitted.len() >= MAX_KEYS
        && let Some(quietest) = admitted.iter().min_by_key(|(_, times)| times.back().copied()).map(|(key, _)| *key)
    {
        admitted.remove(&quietest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_window_slides() {
        let window = SlidingWindow::new(RateLimit { requests: 2, window: Duration::from_mins(1) });
        assert_eq!(window.admit('a', at(0)), Ok(()));
        assert_eq!(window.admit('a', at(20)), Ok(()));
        assert_eq!(window.admit('a', at(30)), Err(Duration::from_secs(30)), "until the first is 60 s old");
        assert_eq!(window.admit('b', at(30)), Ok(()), "callers do not disturb each other");
        assert_eq!(window.admit('a', at(60)), Ok(()));
        assert_eq!(window.admit('a', at(61)), Err(Duration::from_secs(19)));
        assert_eq!(window.admit('a', at(10)), Err(Duration::from_mins(1)), "a clock set back admits nothing more");
    }

    #[test]
    fn the_table_is_bounded() {
        let window = SlidingWindow::new(RateLimit { requests: 1, window: Duration::from_mins(1) });
        for key in 0..MAX_KEYS + 10 {
            assert_eq!(window.admit(key, at(key as u64 / 1_000)), Ok(()));
        }
        assert_eq!(window.admitted.lock().unwrap().len(), MAX_KEYS);
        assert_eq!(window.admit(usize::MAX, at(1_000)), Ok(()));
        assert_eq!(window.admitted.lock().unwrap().len(), 1, "quiet callers are forgotten");
    }
}
