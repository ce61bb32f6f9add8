//! Routing: selects the miners for a request.
//!
//! Synthetic requests go to the contender that has used the smallest share of its allowance,
//! regardless of the outcomes of earlier requests, so that a miner cannot avoid synthetic requests
//! by failing ([`synthetic_order`]). (The reference sends each contender the same number of
//! requests, regardless of its allowance.) Organic requests prefer miners with good and fast
//! answers, in proportion to their value ([`organic_order`]).

mod health;
mod limit;

use std::cmp::Ordering;
use std::collections::BinaryHeap;

pub use health::{Breaker, Ewma, Health};
pub use limit::{InFlightLimit, Position};

/// Lower bound of the latency in [`RoutingCandidate::value`], in seconds.
const MIN_LATENCY: f64 = 0.01;
/// Number of requests in flight that a contender can have regardless of its share
/// ([`exceeds_share`]): most servers have as many slots.
const MIN_RUNNING: f64 = 4.0;
/// Multiple of its share of the requests in flight that a contender can have in addition. One share
/// would move most requests away from the miners of their prefixes, because the numbers in flight
/// vary.
const MAX_SHARES: f64 = 2.0;

/// A contender's allowance of synthetic requests in a period, and the part used, in tokens or
/// steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    /// Part of the capacity that synthetic requests test.
    pub to_score: f64,
    /// Assumed volume of the synthetic requests sent so far.
    pub sent: f64,
}

impl Allowance {
    /// Returns whether the allowance permits another request.
    pub(crate) fn has_room(&self) -> bool {
        self.sent < self.to_score
    }

    fn used_share(&self) -> f64 {
        self.sent / self.to_score
    }
}

/// Returns the contenders for a synthetic request, as indices into `allowances`, in ascending order
/// of the used share; ties keep the input order. Omits contenders whose allowance is used up.
pub fn synthetic_order(allowances: &[Allowance]) -> Vec<usize> {
    let mut order: Vec<(usize, f64)> = allowances
        .iter()
        .enumerate()
        .filter(|(_, allowance)| allowance.has_room())
        .map(|(index, allowance)| (index, allowance.used_share()))
        .collect();
    order.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    order.into_iter().map(|(index, _)| index).collect()
}

/// A candidate for an organic request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoutingCandidate {
    /// Remaining accepted capacity in this period, in tokens or steps.
    pub capacity_left: f64,
    /// Mean quality of the miner's checked answers, in `0..=1`; an assumed quality before the first
    /// check.
    pub quality: f64,
    /// Latency, success rate and circuit breaker of the miner.
    pub health: Health,
    /// Number of requests in flight for the task.
    pub running: usize,
}

impl RoutingCandidate {
    /// Returns the expected value of an answer: `quality · success rate / latency of the first
    /// token`.
    pub fn value(&self) -> f64 {
        self.quality * self.health.success_rate() / self.health.latency().max(MIN_LATENCY)
    }
}

/// Contenders for an organic request, as indices, in the order in which to try them. Sorted lazily,
/// as far as they are read: most requests try one of many.
#[derive(Debug)]
pub struct OrganicOrder(BinaryHeap<RankedContender>);

impl OrganicOrder {
    /// Returns the next contender without removing it.
    pub fn peek(&self) -> Option<usize> {
        self.0.peek().map(|ranked| ranked.index)
    }
}

impl Iterator for OrganicOrder {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.0.pop().map(|ranked| ranked.index)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for OrganicOrder {}

/// A contender with its sort key; the largest key comes first.
#[derive(Debug, Clone, Copy)]
struct RankedContender {
    sort_key: f64,
    index: usize,
}

impl Ord for RankedContender {
    /// Of equal keys, that of the first contender is the largest.
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort_key.total_cmp(&other.sort_key).then_with(|| other.index.cmp(&self.index))
    }
}

impl PartialOrd for RankedContender {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for RankedContender {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for RankedContender {}

/// Returns the contenders for an organic request, as indices into `candidates`, in a random order
/// weighted by [`RoutingCandidate::value`]. Omits contenders without remaining capacity or with an
/// open circuit breaker. `now` is in seconds of the clock used for [`Health`]; `draw` returns a
/// uniform number in `0..1` for an index: a random one, or a function of the request and the
/// contender. With the latter, equal requests have the same order while the values are the same,
/// and a change of the values changes it for few requests (weighted rendezvous hashing).
pub fn organic_order(
    candidates: impl IntoIterator<Item = RoutingCandidate>,
    now: f64,
    mut draw: impl FnMut(usize) -> f64,
) -> OrganicOrder {
    // Weighted random order (Efraimidis and Spirakis): descending by u^(1/value).
    let ranked: Vec<RankedContender> = candidates
        .into_iter()
        .enumerate()
        .filter(|(_, candidate)| {
            candidate.capacity_left > 0.0 && candidate.health.breaker().allows(now)
        })
        .map(|(index, candidate)| {
            let sort_key =
                draw(index).max(f64::MIN_POSITIVE).ln() / candidate.value().max(f64::MIN_POSITIVE);
            RankedContender { sort_key, index }
        })
        .collect();
    OrganicOrder(ranked.into())
}

/// Returns a contender's share of the sum of all values, in `0..=1`: the probability that a random
/// order of all contenders begins with it. `index` is its index in `candidates`.
pub fn share(candidates: &[RoutingCandidate], index: usize) -> f64 {
    let total: f64 = candidates.iter().map(RoutingCandidate::value).sum();
    candidates.get(index).map_or(0.0, RoutingCandidate::value) / total.max(f64::MIN_POSITIVE)
}

/// Returns whether a contender has too many requests in flight to get more by prefix affinity
/// alone: at least 4 more than twice its [`share`] of the requests in flight at all contenders.
/// `index` is its index in `candidates`.
pub fn exceeds_share(candidates: &[RoutingCandidate], index: usize) -> bool {
    let Some(candidate) = candidates.get(index) else { return true };
    let running: usize = candidates.iter().map(|candidate| candidate.running).sum();
    candidate.running as f64 >= MIN_RUNNING + MAX_SHARES * share(candidates, index) * running as f64
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::*;

    /// Contenders receive requests in proportion to their allowances; the reference sends all of
    /// them the same number.
    #[test]
    fn requests_are_in_proportion_to_allowances() {
        let mut allowances =
            [4_800.0, 960.0, 0.0].map(|to_score| Allowance { to_score, sent: 0.0 });
        let mut counts = [0; 3];
        while let Some(position) = synthetic_order(&allowances).first() {
            allowances[*position].sent += 300.0;
            counts[*position] += 1;
        }
        assert_eq!(counts, [16, 4, 0]);
    }

    #[test]
    fn contender_furthest_behind_its_allowance_comes_first() {
        let allowances = [(100.0, 50.0), (100.0, 10.0), (10.0, 1.0), (10.0, 10.0)]
            .map(|(to_score, sent)| Allowance { to_score, sent });
        assert_eq!(synthetic_order(&allowances), [1, 2, 0]);
    }

    #[test]
    fn organic_order_is_weighted_by_candidate_value() {
        let (mut quick, mut slow) = (Health::default(), Health::default());
        for _ in 0..100 {
            quick.record_success(0.1);
            slow.record_success(0.3);
        }
        let candidate =
            |health, quality| RoutingCandidate { capacity_left: 1.0, quality, health, running: 0 };
        let candidates = [candidate(slow, 1.0), candidate(quick, 1.0), candidate(quick, 0.0)];
        let mut random = StdRng::seed_from_u64(1);
        let mut draw = |_: usize| random.random::<f64>();
        let mut first = [0; 3];
        for _ in 0..10_000 {
            let mut order = organic_order(candidates, 0.0, &mut draw);
            assert_eq!(order.len(), 3);
            first[order.next().unwrap()] += 1;
        }
        // The miner that is three times as fast comes first three times as often.
        let ratio = f64::from(first[1]) / f64::from(first[0]);
        assert!((2.7..3.3).contains(&ratio) && first[2] == 0, "{first:?}");
    }

    #[test]
    fn organic_order_excludes_full_miners_and_open_breakers() {
        let (healthy, mut broken) = (Health::default(), Health::default());
        for _ in 0..10 {
            broken.record_failure(100.0);
        }
        let candidate = |capacity_left, health| RoutingCandidate {
            capacity_left,
            quality: 1.0,
            health,
            running: 0,
        };
        let candidates = [candidate(0.0, healthy), candidate(1.0, broken), candidate(1.0, healthy)];
        assert_eq!(organic_order(candidates, 100.0, |_| 0.5).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn organic_order_is_descending_by_draw_and_stable() {
        let candidate = RoutingCandidate {
            capacity_left: 1.0,
            quality: 1.0,
            health: Health::default(),
            running: 0,
        };
        let draws = [0.5, 0.25, 0.75, 0.5, 0.0, 0.75];
        let mut order = organic_order([candidate; 6], 0.0, |position| draws[position]);
        assert_eq!((order.peek(), order.next(), order.len()), (Some(2), Some(2), 5));
        assert_eq!(order.by_ref().collect::<Vec<_>>(), [5, 0, 3, 1, 4]);
        assert_eq!((order.peek(), order.next()), (None, None));
    }

    #[test]
    fn small_value_change_moves_few_requests() {
        let health = Health::default();
        let mut random = StdRng::seed_from_u64(2);
        let mut moved_requests = 0;
        for _ in 0..1_000 {
            let draws = [(); 4].map(|()| random.random::<f64>());
            let first = |quality| {
                let candidate =
                    |quality| RoutingCandidate { capacity_left: 1.0, quality, health, running: 0 };
                let candidates =
                    [candidate(quality), candidate(0.8), candidate(0.8), candidate(0.8)];
                organic_order(candidates, 0.0, |position| draws[position]).peek().unwrap()
            };
            assert_eq!(first(0.8), first(0.8));
            moved_requests += usize::from(first(0.8) != first(0.7));
        }
        // A quarter of the requests go to the first miner; about 10 % of these move to others.
        assert!((5..60).contains(&moved_requests), "{moved_requests}");
    }

    #[test]
    fn share_of_requests_in_flight_is_limited_by_candidate_value() {
        let health = Health::default();
        let exceeds = |first: (f64, usize), second: (f64, usize)| {
            let candidate = |(quality, running)| RoutingCandidate {
                capacity_left: 1.0,
                quality,
                health,
                running,
            };
            exceeds_share(&[candidate(first), candidate(second)], 0)
        };
        // Fewer than 4 requests never exceed the share.
        assert!(!exceeds((0.1, 3), (1.0, 0)) && exceeds((0.1, 5), (1.0, 0)));
        // With a quarter of the value, the limit is 4 plus half of all requests in flight.
        assert!(!exceeds((0.25, 11), (0.75, 9)) && exceeds((0.25, 15), (0.75, 5)));
        assert!(!exceeds((0.75, 90), (0.25, 10)));
        assert!(exceeds_share(&[], 0));
    }
}
