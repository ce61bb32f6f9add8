//! Computes one epoch of one mechanism, step by step.

mod bonds;
mod emission;
mod stake;

use taonet_primitives::Uid;

use crate::fixed::I32F32;
use crate::input::{EpochInput, InputError};
use crate::matrix::{Dense, Matrix, Sparse};
use crate::output::EpochOutput;
use crate::vector::normalize;
use bonds::BondUpdate;
use emission::EmissionShares;
use stake::StakeShares;

/// Runs an epoch on sparse matrices, as the chain does in production.
///
/// ```
/// use taonet_consensus::{Case, run};
/// # fn main() -> Result<(), taonet_consensus::InputError> {
/// // One validator (uid 0) gives all its weight to one server (uid 1).
/// let case = Case::from_json(
///     br#"{"id": "pair", "input": {
///         "n": 2, "block": 2, "tempo": 360, "activity_cutoff": 5000, "emission": 1000,
///         "stake": [100, 0], "stake_threshold": 0, "max_validators": 1,
///         "validator_permit": [true, false], "last_update": [2, 0], "block_at_registration": [0, 0],
///         "weights": [[[1, 65535]], []], "bonds": [[], []],
///         "kappa": 32767, "bonds_penalty": 65535, "bonds_moving_average": 900000, "yuma3": true,
///         "liquid_alpha": false, "alpha_low": 45875, "alpha_high": 58982, "alpha_sigmoid_steepness": 1000}}"#,
/// )?;
/// let output = run(&case.input)?;
/// assert_eq!(output.emission, [500, 500]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`InputError`] when the input is inconsistent.
pub fn run(input: &EpochInput) -> Result<EpochOutput, InputError> {
    Epoch::<Sparse>::compute(input).map(Epoch::into_output)
}

/// Runs an epoch on dense matrices, in O(n²) memory. With liquid alpha, a bond without a weight
/// decays here, whereas [`run`] removes it immediately.
///
/// # Errors
/// [`InputError`] when the input is inconsistent.
pub fn run_dense(input: &EpochInput) -> Result<EpochOutput, InputError> {
    Epoch::<Dense>::compute(input).map(Epoch::into_output)
}

/// An epoch with every intermediate result. Vectors have one item per neuron, matrices one row per
/// validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch<M> {
    /// Whether each neuron is active: it set weights within the activity cutoff.
    pub active: Vec<bool>,
    /// S: each neuron's share of the total stake.
    pub stake: Vec<I32F32>,
    /// Whether each neuron has a validator permit in this epoch.
    pub permits: Vec<bool>,
    /// Whether each neuron has a validator permit after this epoch.
    pub new_permits: Vec<bool>,
    /// The stake S of active neurons with a permit, normalised.
    pub active_stake: Vec<I32F32>,
    /// W: the effective weights, each row normalised.
    pub weights: M,
    /// C: for each neuron, the weight that a majority of active stake supports.
    pub consensus: Vec<I32F32>,
    /// W̄ = min(W, C): the weights clipped to consensus.
    pub clipped_weights: M,
    /// Tv: for each validator, the sum of its row of W̄.
    pub validator_trust: Vec<I32F32>,
    /// R = W̄ᵀ · S: the rank of each neuron.
    pub rank: Vec<I32F32>,
    /// I = R / ΣR: the incentive of each neuron.
    pub incentive: Vec<I32F32>,
    /// The effective bonds of the last epoch; in Yuma 2, each column is normalised.
    pub old_bonds: M,
    /// The weights from which bonds grow: between W and W̄, depending on the bonds penalty.
    pub bond_weights: M,
    /// B: the new bonds; in Yuma 2, each column is scaled so that its largest bond is 1.
    pub bonds: M,
    /// D: each validator's share of the incentive of the neurons in which it has bonds.
    pub dividends: Vec<I32F32>,
    emission: EmissionShares,
    emission_amount: u64,
}

impl<M: Matrix> Epoch<M> {
    /// Computes all steps of an epoch.
    ///
    /// # Errors
    /// [`InputError`] when the input is inconsistent.
    pub fn compute(input: &EpochInput) -> Result<Self, InputError> {
        input.check()?;
        let StakeShares { active, stake, permits, new_permits, active_stake } =
            StakeShares::of(input);
        let weights = effective_weights::<M>(input, &permits).normalize_rows();

        // The voters' stake is normalised again: rounding may have left its sum just under 1.
        let voting_stake = normalize(&active_stake);
        let majority = I32F32::from_proportion(input.kappa);
        let minority = voting_stake.iter().sum::<I32F32>() - majority;
        let consensus = weights.weighted_medians(&voting_stake, minority);

        let clipped_weights = weights.clip_columns(&consensus);
        let validator_trust = clipped_weights.fold_rows(|_, _, weight| weight);
        let rank = clipped_weights.fold_columns(
            |row, _, weight| active_stake.get(row).copied().unwrap_or_default() * weight,
            |a, b| a + b,
        );
        let incentive = normalize(&rank);

        let bond_weights = match input.bonds_penalty {
            0 => weights.clone(),
            u16::MAX => clipped_weights.clone(),
            penalty => weights.interpolate(&clipped_weights, I32F32::from_proportion(penalty)),
        };
        let BondUpdate { old: old_bonds, new: bonds, dividends } =
            BondUpdate::compute(input, &bond_weights, &consensus, &active_stake, &incentive);
        let emission = EmissionShares::of(&incentive, &dividends, &stake, &active_stake);

        Ok(Self {
            active,
            stake,
            permits,
            new_permits,
            active_stake,
            weights,
            consensus,
            clipped_weights,
            validator_trust,
            rank,
            incentive,
            old_bonds,
            bond_weights,
            bonds,
            dividends,
            emission,
            emission_amount: input.emission,
        })
    }

    /// Converts the result to the chain's storage format.
    pub fn into_output(self) -> EpochOutput {
        let bonds = self.new_permits.iter().enumerate().map(|(row, &permit)| {
            let entries = self.bonds.row(row).filter(|_| permit);
            entries.map(|(column, bond)| (Uid(column), bond.to_proportion())).collect()
        });
        let to_rao = |shares: &[I32F32]| {
            shares.iter().map(|share| share.share_of(self.emission_amount)).collect()
        };
        EpochOutput {
            stake_weight: proportions(&self.stake),
            consensus: proportions(&self.consensus),
            validator_trust: proportions(&self.validator_trust),
            incentive: proportions(&self.incentive),
            dividends: proportions(&self.dividends),
            server_emission: to_rao(&self.emission.server),
            validator_emission: to_rao(&self.emission.validator),
            emission: to_rao(&self.emission.combined),
            bonds: bonds.collect(),
            active: self.active,
            new_validator_permit: self.new_permits,
        }
    }
}

/// Returns the effective weights: those set by validators with a permit, without self-weights
/// except the owner's. Weights for a neuron that registered in or after the block in which they
/// were set, or after the validator's oldest unrevealed commit, are dropped: the neuron replaced
/// the one that they were meant for.
fn effective_weights<M: Matrix>(input: &EpochInput, permits: &[bool]) -> M {
    let commits = input.commit_blocks.as_deref().unwrap_or_default();
    let validators = input.weights.iter().zip(permits).zip(&input.last_update).enumerate();
    let rows = validators.map(|(uid, ((row, &permit), &last_update))| {
        let commit_block = commits.get(uid).copied().flatten();
        let may_self_weight = input.owner_uid.is_some_and(|owner| usize::from(owner.0) == uid);
        row.iter().filter_map(move |&(target, weight)| {
            let registration_block =
                *input.block_at_registration.get(usize::from(target.0)).filter(|_| permit)?;
            let is_effective = (usize::from(target.0) != uid || may_self_weight)
                && last_update > registration_block
                && commit_block.is_none_or(|block| block >= registration_block);
            is_effective.then_some((target.0, I32F32::from_int(weight.into())))
        })
    });
    M::from_rows(input.n.into(), rows)
}

fn proportions(shares: &[I32F32]) -> Vec<u16> {
    shares.iter().map(|share| share.to_proportion()).collect()
}
