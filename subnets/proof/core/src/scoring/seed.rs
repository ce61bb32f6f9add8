//! The `seed` profile: a moving average of the quality of responses.
//!
//! A failed response reduces the miner's score by 40 %. A verified response has the metric
//! `(1 - w) * grade(time / 120 s) + w * grade(bytes / reference)` with `w = 0.2`, and the score
//! moves a tenth of the way towards `metric / n`, where n is the number of miners.
//! `grade(t) = 1 - (tan((t' - 1/2) * 0.9π) / tan(0.45π) + 1) / 2` with `t' = clamp(t, 0, 0.99)` is
//! steep at both ends and flat between them: it separates fast from very fast miners, and average
//! ones lose little.
//!
//! The founding document names proof size and response time without a formula. The grade of times
//! is that of the subnet's releases (there without size: `w = 0`); size is graded the same way.

use std::f64::consts::PI;
use std::time::Duration;

/// Response time from which the grade is the worst possible.
pub(crate) const WORST_RESPONSE_TIME: Duration = Duration::from_mins(2);

/// Parameters of the `seed` profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedRules {
    /// Share of proof size in the metric: `0..=1`.
    pub size_share: f64,
    /// Proof size in bytes from which the grade is the worst possible.
    pub largest_proof: u64,
    /// Fraction of the distance to the metric of a verified response by which the score moves:
    /// `0..=1`.
    pub gain: f64,
    /// Fraction of a score lost by a failed response: `0..=1`.
    pub loss: f64,
}

impl Default for SeedRules {
    fn default() -> Self {
        Self { size_share: 0.2, largest_proof: 1 << 20, gain: 0.1, loss: 0.4 }
    }
}

/// Outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProofOutcome {
    /// The proof verified.
    Verified {
        /// Time from request to response.
        time: Duration,
        /// Size of the proof in bytes.
        bytes: u64,
    },
    /// The proof did not verify, or the miner timed out.
    Failed,
}

impl SeedRules {
    /// Returns the score after one more response, with `miners` miners on the subnet.
    pub fn next_score(&self, score: f64, outcome: ProofOutcome, miners: usize) -> f64 {
        match outcome {
            ProofOutcome::Failed => (score - self.loss * score).max(0.0),
            ProofOutcome::Verified { time, bytes } => {
                let metric = self.metric(time, bytes) / miners.max(1) as f64;
                (score + self.gain * (metric - score)).max(0.0)
            }
        }
    }

    /// Returns the metric of a verified response: `0..=1`.
    pub fn metric(&self, time: Duration, bytes: u64) -> f64 {
        let time = grade(time.as_secs_f64() / WORST_RESPONSE_TIME.as_secs_f64());
        let size = grade(bytes as f64 / self.largest_proof.max(1) as f64);
        (1.0 - self.size_share) * time + self.size_share * size
    }
}

/// Returns a grade from 1 (best) to 0 (worst).
fn grade(share: f64) -> f64 {
    let share = share.clamp(0.0, 0.99);
    let curve = f64::midpoint(((share - 0.5) * 0.9 * PI).tan() / (0.45 * PI).tan(), 1.0);
    1.0 - curve
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_time_grades_match_the_specification() {
        let table = [
            (1.0, 0.9336),
            (6.0, 0.7574),
            (30.0, 0.5676),
            (60.0, 0.5),
            (100.0, 0.3910),
            (119.0, 0.0777),
            (500.0, 0.0777),
        ];
        for (seconds, expected) in table {
            let actual = grade(seconds / 120.0);
            assert!((actual - expected).abs() < 5e-5, "{seconds}: {actual}");
        }
    }

    #[test]
    fn scores_of_three_successes_and_a_failure_match_the_specification() {
        let rules = SeedRules { size_share: 0.0, ..SeedRules::default() };
        let success = ProofOutcome::Verified { time: Duration::from_secs(6), bytes: 128 };
        let mut score = 0.0;
        for (answer, expected) in [
            (success, 0.000_296),
            (success, 0.000_562),
            (success, 0.000_802),
            (ProofOutcome::Failed, 0.000_481),
        ] {
            score = rules.next_score(score, answer, 256);
            assert!((score - expected).abs() < 5e-7, "{score} {expected}");
        }
    }

    #[test]
    fn smaller_proofs_and_quicker_answers_score_higher() {
        let rules = SeedRules::default();
        let second = Duration::from_secs(1);
        assert!(rules.metric(second, 128) > rules.metric(second, 300_000));
        assert!(rules.metric(second, 128) > rules.metric(second * 10, 128));
        assert!((0.0..=1.0).contains(&rules.metric(Duration::MAX, u64::MAX)));
    }

    #[test]
    fn scores_do_not_fall_below_zero() {
        let rules = SeedRules { loss: 2.0, ..SeedRules::default() };
        assert!(rules.next_score(0.5, ProofOutcome::Failed, 1).abs() < f64::EPSILON);
    }
}
