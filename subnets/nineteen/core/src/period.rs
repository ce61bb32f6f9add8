//! Period score of a contender: how reliably the miner answered the requests of one period.
//!
//! Notation, for T requests of which r₄ were rate-limited (429) and r₅ failed, capacity C and
//! consumed volume V:
//!
//! ```text
//! C' = max(C, 1)      u = max(C' − V, 0) / C'      unused share of the capacity
//! f₄ = r₄ / T         f₅ = r₅ / T                  g = (T − r₄ − r₅) / T
//! ```

use serde::{Deserialize, Serialize};

/// Outcome of a request to a miner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RequestOutcome {
    /// HTTP 200 with a valid answer.
    Answered {
        /// Work of the answer, in tokens or steps.
        work: f64,
    },
    /// HTTP 429, whether or not the response is streamed.
    RateLimited,
    /// Any other failure: timeout, another status, a malformed or empty body.
    Failed,
}

/// A contender's counters in one period.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PeriodCounts {
    /// Number of requests sent, T.
    pub total_requests: f64,
    /// Accepted capacity C, in tokens or steps.
    pub capacity: f64,
    /// Consumed volume V: work of the answered requests, in tokens or steps.
    pub consumed_capacity: f64,
    /// Number of requests answered with status 429, r₄.
    pub requests_429: f64,
    /// Number of requests that failed otherwise, r₅.
    pub requests_500: f64,
}

impl PeriodCounts {
    /// Creates zero counters for a contender with the accepted capacity `capacity`.
    pub fn with_capacity(capacity: f64) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// Adds the requests of other counters; the capacity remains.
    pub fn add(&mut self, other: &Self) {
        self.total_requests += other.total_requests;
        self.consumed_capacity += other.consumed_capacity;
        self.requests_429 += other.requests_429;
        self.requests_500 += other.requests_500;
    }

    /// Counts the outcome of one request.
    pub fn count(&mut self, outcome: RequestOutcome) {
        self.total_requests += 1.0;
        match outcome {
            RequestOutcome::Answered { work } => self.consumed_capacity += work,
            RequestOutcome::RateLimited => self.requests_429 += 1.0,
            RequestOutcome::Failed => self.requests_500 += 1.0,
        }
    }
}

/// Formula of the period score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeriodProfile {
    /// `g · (1 − f₄·u) · (1 − f₅·u)`: rate limits and failures cost the same.
    #[default]
    Reference,
    /// `g · (1 − f₄·u) · (1 − f₅·u)²`: the reference's formula with the failure factor squared.
    Later,
    /// `(1 − u·(f₄ + f₅)) · (1 − u·f₅)`: the formula of the subnet's own description.
    ///
    /// Rate limits (429) and failures reduce the score in proportion to the unused share u of the
    /// capacity; failures are penalised twice. With u = 0 the score is 1. With u ≈ 1, one failure
    /// in two requests yields 1/4, one rate limit in two requests yields 1/2.
    Seed,
}

/// Returns the period score, in `0..=1`; `None` without requests or without capacity.
pub fn period_score(counts: &PeriodCounts, profile: PeriodProfile) -> Option<f64> {
    let PeriodCounts {
        total_requests: total,
        capacity,
        consumed_capacity,
        requests_429,
        requests_500,
    } = *counts;
    if total == 0.0 || capacity == 0.0 {
        return None;
    }
    let capacity = capacity.max(1.0);
    let unused_share = (capacity - consumed_capacity).max(0.0) / capacity;
    let limited_share = requests_429 / total;
    let failed_share = requests_500 / total;
    let answered_share = (total - requests_429 - requests_500) / total;
    let (limit_factor, failure_factor) =
        (1.0 - limited_share * unused_share, 1.0 - failed_share * unused_share);
    let score = match profile {
        PeriodProfile::Reference => answered_share * limit_factor * failure_factor,
        PeriodProfile::Later => answered_share * limit_factor * (failure_factor * failure_factor),
        PeriodProfile::Seed => {
            (1.0 - unused_share * (limited_share + failed_share)).max(0.0) * failure_factor
        }
    };
    Some(score.max(0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(row: [f64; 5]) -> PeriodCounts {
        let [total_requests, capacity, consumed_capacity, requests_429, requests_500] = row;
        PeriodCounts { total_requests, capacity, consumed_capacity, requests_429, requests_500 }
    }

    #[track_caller]
    fn assert_close(actual: Option<f64>, expected: f64) {
        assert!((actual.unwrap() - expected).abs() < 5e-6, "{actual:?}, expected {expected}");
    }

    #[test]
    #[rustfmt::skip]
    fn period_scores_equal_the_reference_table() {
        for (total, capacity, consumed, limited, failed, score) in [
            (40.0, 120_000.0,  12_000.0,  0.0,  0.0, 1.0),
            (40.0, 120_000.0,  12_000.0, 10.0,  0.0, 0.58125),
            (40.0, 120_000.0,  12_000.0,  0.0, 10.0, 0.58125),
            (40.0, 120_000.0, 120_000.0, 10.0,  0.0, 0.75),
            (40.0, 120_000.0,   6_000.0,  4.0,  4.0, 0.65522),
            ( 2.0, 120_000.0,     300.0,  1.0,  0.0, 0.250_625),
            ( 2.0, 120_000.0,     300.0,  2.0,  0.0, 0.0),
        ] {
            let counts = counts([total, capacity, consumed, limited, failed]);
            assert_close(period_score(&counts, PeriodProfile::Reference), score);
        }
    }

    #[test]
    #[rustfmt::skip]
    fn period_scores_of_other_profiles_follow_their_table() {
        for (total, capacity, consumed, limited, failed, seed, later) in [
            (40.0, 120_000.0,  12_000.0,  0.0,  0.0, 1.0,       1.0),
            (40.0, 120_000.0,  12_000.0, 10.0,  0.0, 0.775,     0.58125),
            (40.0, 120_000.0,  12_000.0,  0.0, 10.0, 0.600_625, 0.450_469),
            (40.0, 120_000.0, 120_000.0, 10.0,  0.0, 1.0,       0.75),
            (40.0, 120_000.0,   6_000.0,  4.0,  4.0, 0.73305,   0.592_974),
            ( 2.0, 120_000.0,     300.0,  1.0,  0.0, 0.50125,   0.250_625),
            ( 2.0, 120_000.0,     300.0,  0.0,  1.0, 0.251_252, 0.125_626),
            ( 2.0, 120_000.0,     300.0,  2.0,  0.0, 0.0025,    0.0),
        ] {
            let counts = counts([total, capacity, consumed, limited, failed]);
            assert_close(period_score(&counts, PeriodProfile::Seed), seed);
            assert_close(period_score(&counts, PeriodProfile::Later), later);
        }
    }

    #[test]
    fn period_without_requests_or_capacity_has_no_score() {
        for profile in [PeriodProfile::Reference, PeriodProfile::Later, PeriodProfile::Seed] {
            assert_eq!(period_score(&counts([0.0, 10.0, 0.0, 0.0, 0.0]), profile), None);
            assert_eq!(period_score(&counts([5.0, 0.0, 0.0, 0.0, 0.0]), profile), None);
        }
        assert_close(
            period_score(&counts([4.0, 0.5, 0.0, 2.0, 0.0]), PeriodProfile::Reference),
            0.25,
        );
    }

    #[test]
    fn request_outcomes_are_counted() {
        let mut counts = PeriodCounts::with_capacity(100.0);
        let outcomes = [
            RequestOutcome::Answered { work: 12.5 },
            RequestOutcome::RateLimited,
            RequestOutcome::Failed,
        ];
        for outcome in outcomes {
            counts.count(outcome);
        }
        assert_eq!(
            counts,
            super::PeriodCounts {
                total_requests: 3.0,
                capacity: 100.0,
                consumed_capacity: 12.5,
                requests_429: 1.0,
                requests_500: 1.0,
            }
        );
    }

    proptest! {
        #[test]
        fn period_scores_are_between_0_and_1(total in 1_u32..1_000, limited in 0.0..=1.0_f64, failed in 0.0..=1.0_f64,
                             capacity in 1.0..1e6_f64, consumed in 0.0..2e6_f64) {
            let total = f64::from(total);
            let limited = (total * limited).floor();
            let failed = ((total - limited) * failed).floor();
            let counts = counts([total, capacity, consumed, limited, failed]);
            for profile in [PeriodProfile::Reference, PeriodProfile::Later, PeriodProfile::Seed] {
                let score = period_score(&counts, profile).unwrap();
                prop_assert!((0.0..=1.0).contains(&score), "{score}");
            }
        }

        /// With `seed`, a rate limit (429) costs a miner less than a failure.
        #[test]
        fn rate_limits_cost_less_than_failures(total in 2_u32..1_000, missed in 1_u32..1_000, used in 0.0..0.99_f64) {
            prop_assume!(missed < total);
            let row = |limited, failed| counts([f64::from(total), 1_000.0, 1_000.0 * used, limited, failed]);
            let limited = period_score(&row(f64::from(missed), 0.0), PeriodProfile::Seed);
            let failed = period_score(&row(0.0, f64::from(missed)), PeriodProfile::Seed);
            prop_assert!(limited > failed, "{limited:?} {failed:?}");
        }
    }
}
