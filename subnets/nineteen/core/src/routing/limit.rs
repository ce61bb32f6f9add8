//! Limit of the requests in flight at a miner.

/// Initial limit of a miner that announces none, as in earlier releases.
const INITIAL: usize = 32;
/// Maximum limit of a miner that announces none.
const LARGEST_LEARNED: usize = 256;
/// Maximum limit that a miner can announce.
const LARGEST_ANNOUNCED: usize = 65_536;
/// Factor of the number in flight after an overload.
const DECREASE: f64 = 0.9;
/// Maximum number of failed probes that slow down the next one.
const MOST_FAILED_PROBES: u32 = 6;

/// Limit of the requests in flight at a miner: additive increase, multiplicative decrease.
///
/// The limit starts at the number that the miner announces, or at 32. While it is used up, each series of as many
/// answers raises it by one, up to the announced number, or 256. An overload of the request that was sent as the nth in
/// flight lowers it to 0.9 · n.
///
/// A request beyond the announced number, or 32, or the number of the last overload, is a probe. A failed probe lowers
/// the limit by one, and doubles the length of the series before the next probe, up to 64 times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InFlightLimit {
    limit: f64,
    largest: usize,
    /// Number in flight that the miner must accept.
    required: usize,
    /// Number in flight at which the miner has answered. Only approximate, because requests overtake each other.
    shown: usize,
    failed_probes: u32,
}

impl InFlightLimit {
    /// Returns the limit of a miner that announces the number of concurrent requests that it accepts, from 1 to 65 536.
    pub fn announced(concurrency: usize) -> Self {
        let largest = concurrency.clamp(1, LARGEST_ANNOUNCED);
        Self { largest, ..Self::starting_at(largest) }
    }

    /// Returns the initial limit of a miner that announces none.
    pub const fn unannounced() -> Self {
        Self::starting_at(INITIAL)
    }

    const fn starting_at(initial: usize) -> Self {
        let limit = initial as f64;
        Self { limit, largest: LARGEST_LEARNED, required: initial, shown: initial, failed_probes: 0 }
    }

    /// Returns the maximum number of requests in flight, at least 1.
    pub fn get(&self) -> usize {
        (self.limit as usize).clamp(1, self.largest)
    }

    /// Returns whether the request that is sent as the `nth` in flight is a probe, so that the miner may reject it.
    pub const fn is_probe(&self, nth: usize) -> bool {
        nth > self.required
    }

    /// Records an answer to the request that was sent as the `nth` in flight.
    pub fn answered(&mut self, nth: usize) {
        if nth > self.shown {
            self.shown = nth;
            self.failed_probes = 0;
        }
        if nth < self.get() {
            return;
        }
        // Only the step beyond what the miner has shown is slowed down.
        let caution = if self.get() < self.shown { 0 } else { self.failed_probes };
        let step = 1.0 / (self.limit * f64::from(1_u32 << caution));
        self.limit = (self.limit + step).min(self.largest as f64);
    }

    /// Records an overload, such as status 429, of the request that was sent as the `nth` in flight.
    pub fn overloaded(&mut self, nth: usize) {
        let accepted = nth.saturating_sub(1).max(1);
        if self.is_probe(nth) {
            self.failed_probes = (self.failed_probes + 1).min(MOST_FAILED_PROBES);
            self.limit = self.limit.min(accepted as f64);
        } else {
            self.limit = self.limit.min(DECREASE * nth as f64).max(1.0);
            self.required = accepted;
        }
        self.shown = self.shown.min(accepted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers requests as a miner with `capacity` slots does while more requests wait than can be sent; returns the
    /// numbers of overloads that count and of failed probes.
    fn saturate(limit: &mut InFlightLimit, capacity: usize, requests: usize) -> (usize, usize) {
        let (mut counted, mut probes) = (0, 0);
        for _ in 0..requests {
            let nth = limit.get();
            if nth <= capacity {
                limit.answered(nth);
            } else {
                *(if limit.is_probe(nth) { &mut probes } else { &mut counted }) += 1;
                limit.overloaded(nth);
            }
        }
        (counted, probes)
    }

    #[test]
    fn announced_limit_is_never_exceeded() {
        let mut limit = InFlightLimit::announced(64);
        assert_eq!(saturate(&mut limit, 64, 10_000), (0, 0));
        assert_eq!(limit.get(), 64);
        assert_eq!((InFlightLimit::announced(0).get(), InFlightLimit::announced(1_000_000).get()), (1, 65_536));
    }

    #[test]
    fn unannounced_limit_grows_to_the_capacity_without_a_counted_overload() {
        for capacity in [32, 50, 100, 1_000] {
            let mut limit = InFlightLimit::unannounced();
            let (counted, probes) = saturate(&mut limit, capacity, 40_000);
            assert_eq!((limit.get(), counted), (capacity.min(256), 0));
            assert!(probes < 30, "{probes} failed probes");
        }
    }

    #[test]
    fn overloads_lower_the_limit_to_the_capacity() {
        let mut limit = InFlightLimit::announced(64);
        let (counted, _) = saturate(&mut limit, 10, 2_000);
        assert!((8..=11).contains(&limit.get()) && counted < 25, "{limit:?}, {counted} overloads");
        // All requests of a burst fail but the first three.
        let mut limit = InFlightLimit::announced(64);
        (4..=64).rev().for_each(|nth| limit.overloaded(nth));
        assert_eq!(limit.get(), 3);
        // A miner that rejects every request keeps one in flight, whose overloads count.
        limit.overloaded(1);
        assert_eq!((limit.get(), limit.is_probe(1), limit.is_probe(2)), (1, false, true));
    }

    #[test]
    fn unused_limit_does_not_grow() {
        let mut limit = InFlightLimit::unannounced();
        for _ in 0..10_000 {
            limit.answered(5);
        }
        assert_eq!(limit.get(), 32);
    }
}
