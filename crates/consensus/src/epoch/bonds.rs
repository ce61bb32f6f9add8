use crate::fixed::{I32F32, sigmoid};
use crate::input::EpochInput;
use crate::matrix::Matrix;
use crate::vector::normalize;

/// The bonds before and after an epoch, with their dividends.
pub(super) struct BondUpdate<M> {
    pub(super) old: M,
    pub(super) new: M,
    pub(super) dividends: Vec<I32F32>,
}

impl<M: Matrix> BondUpdate<M> {
    pub(super) fn compute(
        input: &EpochInput,
        weights: &M,
        consensus: &[I32F32],
        active_stake: &[I32F32],
        incentive: &[I32F32],
    ) -> Self {
        if input.yuma3 {
            Self::yuma3(input, weights, consensus, active_stake, incentive)
        } else {
            Self::yuma2(input, weights, active_stake, incentive)
        }
    }

    /// Computes bonds by Yuma 2: stake buys bonds, and the bonds in each neuron sum to 1.
    ///
    /// The columns of ΔB = W · S, of the old B and of B' = α ΔB + (1 − α) B have the sum 1; D = B'
    /// · I. For storage each column of B' is scaled to a maximum of 1.
    fn yuma2(
        input: &EpochInput,
        weights: &M,
        active_stake: &[I32F32],
        incentive: &[I32F32],
    ) -> Self {
        let old_bonds: M = effective_bonds::<M>(input).normalize_columns();
        let new_bonds = weights
            .map(|row, _, weight| Some(weight * value_at(active_stake, row)))
            .normalize_columns();
        let bonds = new_bonds.average(&old_bonds, alpha(input)).normalize_columns();
        let dividends =
            normalize(&bonds.fold_rows(|_, column, bond| value_at(incentive, column) * bond));
        Self { old: old_bonds, new: bonds.upscale_columns(), dividends }
    }

    /// Computes bonds by Yuma 3: a bond in `0..=1` follows the validator's own weight, independent
    /// of other validators; stake counts only for dividends.
    ///
    /// B' = α W + (1 − α) B; D ∝ S · (B' with columns of sum 1) · I.
    fn yuma3(
        input: &EpochInput,
        weights: &M,
        consensus: &[I32F32],
        active_stake: &[I32F32],
        incentive: &[I32F32],
    ) -> Self {
        let u16_max = I32F32::from_int(u16::MAX.into());
        let old_bonds: M = effective_bonds::<M>(input).map(|_, _, bond| Some(bond / u16_max));
        let reference_consensus = input.liquid_alpha_consensus.as_deref().map(from_proportions);
        let reference_consensus = reference_consensus.as_deref().unwrap_or(consensus);
        let has_consensus = reference_consensus.iter().any(|&weight| weight != I32F32::ZERO);
        let bonds = if input.liquid_alpha && has_consensus {
            let liquid_alpha = LiquidAlpha::of(input);
            weights.average_by(&old_bonds, |_, column, weight, bond| {
                liquid_alpha.alpha(weight, bond, value_at(reference_consensus, column))
            })
        } else {
            weights.average(&old_bonds, alpha(input))
        };
        let column_dividends = bonds
            .normalize_columns()
            .fold_rows(|_, column, bond| bond * value_at(incentive, column));
        let stake_weighted: Vec<I32F32> = column_dividends
            .iter()
            .zip(active_stake)
            .map(|(&dividend, &stake)| dividend * stake)
            .collect();
        Self { old: old_bonds, new: bonds, dividends: normalize(&stake_weighted) }
    }
}

/// The liquid alpha curve, which computes a separate α for each bond.
struct LiquidAlpha {
    low: I32F32,
    high: I32F32,
    steepness: I32F32,
}

impl LiquidAlpha {
    fn of(input: &EpochInput) -> Self {
        Self {
            low: I32F32::from_proportion(input.alpha_low),
            high: I32F32::from_proportion(input.alpha_high),
            steepness: I32F32::from_int(input.alpha_sigmoid_steepness.into())
                / I32F32::from_int(100),
        }
    }

    /// Computes α = low + σ(d) · (high − low), clamped to low..=high. If the weight is at or above
    /// the bond (the validator buys), d = weight − consensus; otherwise (the validator sells), d =
    /// bond − weight. d is clamped to 0..=1, and σ(½) = ½.
    fn alpha(&self, weight: I32F32, bond: I32F32, consensus: I32F32) -> I32F32 {
        let distance = if weight >= bond { weight - consensus } else { bond - weight };
        let distance = distance.limit(I32F32::ZERO, I32F32::ONE);
        let weight_share = sigmoid(distance, self.steepness, I32F32::HALF);
        (self.low + weight_share * (self.high - self.low)).limit(self.low, self.high)
    }
}

/// Returns the effective old bonds, in parts of 65535: bonds in neurons that registered since the
/// last epoch are removed.
fn effective_bonds<M: Matrix>(input: &EpochInput) -> M {
    let cutoff_block = if input.last_mechanism_step == 0 {
        input.block.saturating_sub(input.tempo)
    } else {
        input.last_mechanism_step.saturating_add(1)
    };
    let rows = input.bonds.iter().map(|row| {
        row.iter().filter_map(|&(target, bond)| {
            let registration_block = *input.block_at_registration.get(usize::from(target.0))?;
            (registration_block < cutoff_block).then_some((target.0, I32F32::from_int(bond.into())))
        })
    });
    M::from_rows(input.n.into(), rows)
}

/// Returns the weight of new bonds in the moving average: 1 − `bonds_moving_average` / 1 000 000,
/// truncated to 32 fraction bits.
fn alpha(input: &EpochInput) -> I32F32 {
    let old = (u128::from(input.bonds_moving_average) << 32) / 1_000_000;
    I32F32::ONE - I32F32::from_bits(i64::try_from(old).unwrap_or(i64::MAX))
}

fn from_proportions(parts: &[u16]) -> Vec<I32F32> {
    parts.iter().copied().map(I32F32::from_proportion).collect()
}

fn value_at(numbers: &[I32F32], index: usize) -> I32F32 {
    numbers.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::{Case, run};

    #[test]
    fn liquid_alpha_uses_the_given_consensus() {
        let document = br#"{"input": {
            "n": 2, "block": 2, "tempo": 360, "activity_cutoff": 5000, "emission": 1000,
            "stake": [100, 0], "stake_threshold": 0, "max_validators": 1,
            "validator_permit": [true, false], "last_update": [2, 0], "block_at_registration": [0, 0],
            "weights": [[[1, 65535]], []], "bonds": [[], []],
            "kappa": 32767, "bonds_penalty": 65535, "bonds_moving_average": 700000, "yuma3": true,
            "liquid_alpha": true, "alpha_low": 6554, "alpha_high": 58982, "alpha_sigmoid_steepness": 32767}}"#;
        let mut input = Case::from_json(document).unwrap().input;
        // The weight and this epoch's consensus are 1, and the curve is nearly a step. Without any
        // consensus, α comes from the moving average: 0.3 here.
        let cases = [
            (None, 6_553..=6_554),
            (Some(65_535), 6_553..=6_554),
            (Some(1), 58_980..=58_982),
            (Some(0), 19_659..=19_661),
        ];
        for (given, expected) in cases {
            input.liquid_alpha_consensus = given.map(|consensus| vec![0, consensus]);
            let bond = run(&input).unwrap().bonds[0][0].1;
            assert!(expected.contains(&bond), "{given:?} {bond}");
        }
    }
}
