//! Limit of the requests in flight at a miner.

/// Initial limit of a miner that announces none, as in earlier releases.
const INITIAL_LIMIT: usize = 32;
/// Maximum limit that a miner's answers can raise.
const MAX_LEARNED_LIMIT: usize = 256;
/// Maximum limit that a miner can announce.
const MAX_ANNOUNCED_LIMIT: usize = 65_536;
/// Factor of the limit after a rate limit (429).
const DECREASE_FACTOR: f64 = 0.9;
/// Number of failed probes after which the pause before the next probe no longer doubles.
const MAX_FAILED_PROBES: u32 = 6;

/// Limit of the requests in flight at a miner: additive increase, multiplicative decrease.
///
/// The limit starts at the number that the miner announces, or at 32. While it is used up, each
/// series of as many answers raises it by one, up to 256, or the announced number if that is
/// larger: a miner announces to each validator its share by stake, and may have slots that no other
/// validator uses. A rate limit (429) lowers it to 90 %, once per round trip: rate limits of
/// requests that were sent before the limit was lowered do not lower it again.
///
/// A request beyond the announced number, or 32, is a probe, which the miner may reject. After a
/// rate limit, so is a request beyond the number in flight that the miner has accepted, until the
/// miner answers with more in flight. A request that is sent before a probe may arrive after it, so
/// the miner may reject it as well. A probe fails if it gets status 429, or no answer in time. A
/// failed probe of one request more than before lowers the limit by one, not to 90 %. Each failed
/// probe doubles the length of the series before the next one, up to 64 times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InFlightLimit {
    limit: f64,
    max_limit: usize,
    /// Number in flight that the miner announces, or 32.
    promised: usize,
    /// Number in flight that the miner must accept, at most `promised`.
    required: usize,
    /// Number in flight at which the miner has answered. Only approximate, because requests
    /// overtake each other.
    accepted: usize,
    failed_probes: u32,
    /// Number of probes that were sent.
    probes: u64,
    /// Number of times that the limit was lowered.
    decreases: u64,
}

/// A request when it was sent, relative to the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Number of requests in flight, including this one.
    pub nth: usize,
    /// Whether the miner may reject the request, because it is more than the miner must accept.
    pub is_probe: bool,
    /// Whether the request is beyond the number that the miner announces, or 32.
    pub exceeds_promise: bool,
    /// Number of probes that were sent before.
    earlier_probes: u64,
    /// Number of times that the limit was lowered before.
    earlier_decreases: u64,
}

impl InFlightLimit {
    /// Returns the limit of a miner that announces the number of concurrent requests that it
    /// accepts, from 1 to 65 536.
    pub fn announced(concurrency: usize) -> Self {
        Self::with_initial(concurrency.clamp(1, MAX_ANNOUNCED_LIMIT))
    }

    /// Returns the initial limit of a miner that announces none.
    pub fn unannounced() -> Self {
        Self::with_initial(INITIAL_LIMIT)
    }

    /// Returns a process's share of the limit of a miner that announces `announced` concurrent
    /// requests, if several processes send requests. `share` returns the share of a number.
    ///
    /// Answers do not raise a share of an announced number: the miner's answers to one process do
    /// not show how many requests of the others it has accepted.
    pub fn divided(announced: Option<usize>, share: impl Fn(usize) -> usize) -> Self {
        let promised = announced
            .map_or(INITIAL_LIMIT, |concurrency| concurrency.clamp(1, MAX_ANNOUNCED_LIMIT));
        let (initial, max_limit) = (share(promised).max(1), share(MAX_LEARNED_LIMIT).max(1));
        Self {
            max_limit: if announced.is_some() { initial } else { max_limit },
            ..Self::with_initial(initial)
        }
    }

    /// Returns the number that the miner announces to this process, or 32, and the maximum limit.
    pub const fn bounds(&self) -> (usize, usize) {
        (self.promised, self.max_limit)
    }

    fn with_initial(initial: usize) -> Self {
        Self {
            limit: initial as f64,
            max_limit: initial.max(MAX_LEARNED_LIMIT),
            promised: initial,
            required: initial,
            accepted: initial,
            failed_probes: 0,
            probes: 0,
            decreases: 0,
        }
    }

    /// Returns this limit as the successor of `earlier`, from which requests are still in flight:
    /// the miner may reject them, because they were sent under other terms, and their rate limits
    /// do not lower this limit.
    #[must_use]
    pub const fn with_predecessor(self, earlier: &Self) -> Self {
        Self { probes: earlier.probes + 1, decreases: earlier.decreases + 1, ..self }
    }

    /// Returns the maximum number of requests in flight, at least 1.
    pub fn get(&self) -> usize {
        (self.limit as usize).clamp(1, self.max_limit)
    }

    /// Returns the number of requests in flight that the miner must accept.
    pub const fn required(&self) -> usize {
        self.required
    }

    /// Returns the number of requests in flight that the miner must accept, or at which it has
    /// answered.
    pub fn proven(&self) -> usize {
        self.required.max(self.accepted)
    }

    /// Returns the position of the request that is sent as the `nth` in flight.
    pub const fn position(&self, nth: usize) -> Position {
        Position {
            nth,
            is_probe: nth > self.required,
            exceeds_promise: nth > self.promised,
            earlier_probes: self.probes,
            earlier_decreases: self.decreases,
        }
    }

    /// Records that a request is sent as the `nth` in flight; returns its position.
    pub fn send(&mut self, nth: usize) -> Position {
        let position = self.position(nth);
        self.probes += u64::from(position.is_probe);
        position
    }

    /// Returns whether the miner must accept a request: it is not a probe, and no probe was sent
    /// since, which may have overtaken it.
    pub const fn must_accept(&self, position: Position) -> bool {
        !position.is_probe && position.earlier_probes == self.probes
    }

    /// Renews the miner's promise, at the start of a period: the miner must accept as many requests
    /// as it announces, or 32. The limit remains.
    pub const fn renew(&mut self) {
        self.required = self.promised;
        self.failed_probes = 0;
    }

    /// Records an answer.
    pub fn record_answer(&mut self, position: Position) {
        let nth = position.nth;
        // The miner has shown that it can keep its promise again.
        self.required = self.required.max(nth.min(self.promised));
        if nth > self.accepted {
            self.accepted = nth;
            self.failed_probes = 0;
        }
        if nth < self.get() {
            return;
        }
        // Failed probes slow down only steps beyond the number that the miner has accepted.
        let failure_exponent = if self.get() < self.accepted { 0 } else { self.failed_probes };
        let step = 1.0 / (self.limit * f64::from(1_u32 << failure_exponent));
        self.limit = (self.limit + step).min(self.max_limit as f64);
    }

    /// Records a rate limit (429), or a probe that got no answer in time.
    pub fn record_rate_limit(&mut self, position: Position) {
        let accepted = position.nth.saturating_sub(1).max(1);
        self.accepted = self.accepted.min(accepted);
        let is_probe = !self.must_accept(position);
        if !is_probe {
            self.required = self.required.min(accepted);
        }
        if position.earlier_decreases != self.decreases {
            return;
        }
        self.decreases += 1;
        self.failed_probes = (self.failed_probes + u32::from(is_probe)).min(MAX_FAILED_PROBES);
        let is_last = position.nth >= self.get();
        let lowered_limit =
            if is_probe && is_last { accepted as f64 } else { DECREASE_FACTOR * self.limit };
        self.limit = lowered_limit.max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers requests as a miner with `capacity` slots does while more requests wait than can be
    /// sent; returns the numbers of rate limits that count and of failed probes.
    fn saturate(limit: &mut InFlightLimit, capacity: usize, requests: usize) -> (usize, usize) {
        let (mut counted, mut probes) = (0, 0);
        for _ in 0..requests {
            let position = limit.position(limit.get());
            if position.nth <= capacity {
                limit.record_answer(position);
            } else {
                *(if position.is_probe { &mut probes } else { &mut counted }) += 1;
                limit.record_rate_limit(position);
            }
        }
        (counted, probes)
    }

    #[test]
    fn announced_limit_grows_to_the_capacity_without_a_counted_rate_limit() {
        for (announced, capacity) in
            [(1, 1), (1, 2), (1, 16), (3, 100), (64, 64), (64, 1_000), (300, 300), (300, 900)]
        {
            let mut limit = InFlightLimit::announced(announced);
            assert_eq!((limit.get(), limit.required()), (announced, announced));
            let (counted, probes) = saturate(&mut limit, capacity, 40_000);
            assert_eq!(
                (limit.get(), counted),
                (capacity.min(announced.max(256)), 0),
                "{announced} of {capacity}"
            );
            // At most one of 64 series of `capacity` answers ends with a failed probe.
            assert!(
                probes < 10 + 40_000 / (64 * capacity),
                "{probes} failed probes, {announced} of {capacity}"
            );
        }
        assert_eq!(
            (InFlightLimit::announced(0).get(), InFlightLimit::announced(1_000_000).get()),
            (1, 65_536)
        );
    }

    #[test]
    fn divided_announced_limit_does_not_grow() {
        let half = |announced| InFlightLimit::divided(announced, |total| total / 2);
        for (announced, bounds) in
            [(Some(1), (1, 1)), (Some(9), (4, 4)), (Some(0), (1, 1)), (None, (16, 128))]
        {
            let mut limit = half(announced);
            assert_eq!((limit.bounds(), limit.get()), (bounds, bounds.0), "{announced:?}");
            saturate(&mut limit, 1_000, 100_000);
            assert_eq!(limit.get(), bounds.1, "{announced:?}");
        }
    }

    #[test]
    fn grown_limit_returns_to_the_announced_one_without_a_counted_rate_limit() {
        let mut limit = InFlightLimit::announced(4);
        saturate(&mut limit, 100, 10_000);
        assert!(limit.get() > 50, "{limit:?}");
        // Other validators use the miner's remaining slots again.
        let (counted, _) = saturate(&mut limit, 4, 10_000);
        assert_eq!(counted, 0);
        assert!((4..=5).contains(&limit.get()) && limit.required() == 4, "{limit:?}");
    }

    #[test]
    fn unannounced_limit_grows_to_the_capacity_without_a_counted_rate_limit() {
        for capacity in [32, 50, 100, 1_000] {
            let mut limit = InFlightLimit::unannounced();
            let (counted, probes) = saturate(&mut limit, capacity, 40_000);
            assert_eq!((limit.get(), counted), (capacity.min(256), 0));
            assert!(probes < 30, "{probes} failed probes");
        }
    }

    #[test]
    fn rate_limits_lower_the_limit_to_the_capacity() {
        let mut limit = InFlightLimit::announced(64);
        let (counted, _) = saturate(&mut limit, 10, 2_000);
        assert!(
            (8..=11).contains(&limit.get()) && counted < 25,
            "{limit:?}, {counted} rate limits"
        );
        // A miner that rejects every request keeps one in flight, whose rate limits count.
        let mut limit = InFlightLimit::announced(4);
        for _ in 0..40 {
            limit.record_rate_limit(limit.position(limit.get()));
        }
        let is_probe = |nth| limit.position(nth).is_probe;
        assert_eq!((limit.get(), is_probe(1), is_probe(2)), (1, false, true));
    }

    #[test]
    fn rate_limits_of_one_round_trip_lower_the_limit_once() {
        let mut limit = InFlightLimit::announced(100);
        let burst: Vec<_> = (1..=100).map(|nth| limit.position(nth)).collect();
        for position in burst.iter().skip(3) {
            limit.record_rate_limit(*position);
        }
        assert_eq!(limit.get(), 90);
        limit.record_rate_limit(burst[0]);
        assert_eq!(limit.get(), 90, "the request was sent before the limit was lowered");
        limit.record_rate_limit(limit.position(1));
        assert_eq!(limit.get(), 81, "90 % of the limit, not of the position");
    }

    #[test]
    fn answers_restore_the_required_number_of_requests() {
        let mut limit = InFlightLimit::announced(8);
        limit.record_rate_limit(limit.position(3));
        assert_eq!(limit.required(), 2);
        limit.record_answer(limit.position(5));
        assert_eq!((limit.required(), limit.position(6).is_probe), (5, true));
        limit.record_answer(limit.position(9));
        assert_eq!(limit.required(), 8, "at most the announced number");
        limit.record_rate_limit(limit.position(1));
        let lowered_limit = limit.get();
        limit.renew();
        assert_eq!((limit.required(), limit.get()), (8, lowered_limit));
    }

    #[test]
    fn request_that_a_probe_may_have_overtaken_can_be_rejected() {
        let mut limit = InFlightLimit::announced(4);
        saturate(&mut limit, 8, 100);
        let [request, probe] = [4, 5].map(|nth| limit.send(nth));
        assert!(!request.is_probe && probe.is_probe);
        assert!(!limit.must_accept(request) && !limit.must_accept(probe));
        limit.record_rate_limit(request);
        assert_eq!(limit.required(), 4, "the promise remains");
        let later = limit.send(4);
        assert!(limit.must_accept(later));
        limit.record_rate_limit(later);
        assert_eq!(limit.required(), 3);
    }

    #[test]
    fn request_in_flight_does_not_count_under_the_next_limit() {
        let mut earlier = InFlightLimit::announced(8);
        let request = earlier.send(2);
        assert!(earlier.must_accept(request));
        let mut limit = InFlightLimit::announced(4).with_predecessor(&earlier);
        assert!(!limit.must_accept(request));
        limit.record_rate_limit(request);
        assert_eq!((limit.get(), limit.required()), (4, 4));
        let later = limit.send(2);
        assert!(limit.must_accept(later));
        limit.record_rate_limit(later);
        assert_eq!((limit.get(), limit.required()), (3, 1));
    }

    #[test]
    fn unused_limit_does_not_grow() {
        let mut limit = InFlightLimit::unannounced();
        for _ in 0..10_000 {
            limit.record_answer(limit.position(5));
        }
        assert_eq!(limit.get(), 32);
    }
}
