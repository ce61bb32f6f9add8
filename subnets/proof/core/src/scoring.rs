//! Scoring of proofs: two profiles, both pure functions of verification results and their times.
//!
//! - [`seed`]: validity first, then response time and proof size, as in the subnet's founding
//!   document;
//! - [`delivered_work`]: proven work at market prices, with a half-life, as in the subnet's later
//!   releases.
//!
//! A [`Scoreboard`] computes both from the [`Event`]s of a validator.

mod board;
pub mod delivered_work;
pub mod seed;

pub use board::{Event, Fault, Outcome, Profile, ProfileError, Scoreboard, Tally};

/// Returns each amount's share of the sum. Negative and non-finite amounts count as 0; without a
/// positive amount, all shares are 0.
pub fn shares(amounts: &[f64]) -> Vec<f64> {
    let nonnegative = |amount: f64| if amount.is_finite() { amount.max(0.0) } else { 0.0 };
    let total: f64 = amounts.iter().map(|&amount| nonnegative(amount)).sum();
    if total > 0.0 {
        amounts.iter().map(|&amount| nonnegative(amount) / total).collect()
    } else {
        vec![0.0; amounts.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_one() {
        assert_eq!(shares(&[1.0, 3.0]), [0.25, 0.75]);
        assert_eq!(shares(&[0.0, -2.0]), [0.0, 0.0]);
        assert_eq!(shares(&[f64::NAN, 2.0]), [0.0, 1.0]);
        assert!(shares(&[]).is_empty());
    }
}
