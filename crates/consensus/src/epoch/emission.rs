use crate::fixed::I32F32;
use crate::vector::normalize;

/// The distribution of the emission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EmissionShares {
    pub(super) server: Vec<I32F32>,
    pub(super) validator: Vec<I32F32>,
    pub(super) combined: Vec<I32F32>,
}

impl EmissionShares {
    /// Computes the shares as incentive and dividends divided by their total. If both are zero, the
    /// emission is shared by stake: that of active validators, or of all neurons if no stake is
    /// active.
    pub(super) fn of(
        incentive: &[I32F32],
        dividends: &[I32F32],
        stake: &[I32F32],
        active_stake: &[I32F32],
    ) -> Self {
        let combined_earnings: Vec<I32F32> = incentive
            .iter()
            .zip(dividends)
            .map(|(&server, &validator)| server + validator)
            .collect();
        let total: I32F32 = combined_earnings.iter().sum();
        if total == I32F32::ZERO {
            let has_no_active_stake = active_stake.iter().sum::<I32F32>() == I32F32::ZERO;
            let stake_shares = if has_no_active_stake { stake } else { active_stake };
            return Self {
                server: incentive.to_vec(),
                validator: stake_shares.to_vec(),
                combined: stake_shares.to_vec(),
            };
        }
        Self {
            server: incentive.iter().map(|&incentive| incentive / total).collect(),
            validator: dividends.iter().map(|&dividend| dividend / total).collect(),
            combined: normalize(&combined_earnings),
        }
    }
}
