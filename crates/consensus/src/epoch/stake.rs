use crate::fixed::I32F32;
use crate::input::EpochInput;
use crate::vector::{is_topk_nonzero, normalize};

/// The activity, permits and stake shares of the neurons.
pub(super) struct StakeShares {
    pub(super) active: Vec<bool>,
    pub(super) stake: Vec<I32F32>,
    pub(super) permits: Vec<bool>,
    pub(super) new_permits: Vec<bool>,
    pub(super) active_stake: Vec<I32F32>,
}

impl StakeShares {
    pub(super) fn of(input: &EpochInput) -> Self {
        let active: Vec<bool> = input
            .last_update
            .iter()
            .map(|update| update.saturating_add(input.activity_cutoff) >= input.block)
            .collect();
        let stake = stake_shares(input);
        let owner = input.owner_uid.map(|uid| usize::from(uid.0));
        let mut permits = input.validator_permit.clone();
        let mut new_permits = is_topk_nonzero(&stake, input.max_validators.into());
        for permits in [&mut permits, &mut new_permits] {
            if let Some(permit) = owner.and_then(|owner| permits.get_mut(owner)) {
                *permit = true;
            }
        }
        let permitted_stake = stake.iter().zip(&active).zip(&permits);
        let permitted_stake: Vec<I32F32> = permitted_stake
            .map(|((&stake, &active), &permit)| if active && permit { stake } else { I32F32::ZERO })
            .collect();
        Self { active_stake: normalize(&permitted_stake), active, stake, permits, new_permits }
    }
}

/// Returns each neuron's share of the stake, counting only stake at or above the threshold. The
/// quotient has 64 fraction bits and is truncated to 32.
fn stake_shares(input: &EpochInput) -> Vec<I32F32> {
    let owner = input.owner_uid.map(|uid| usize::from(uid.0));
    let eligible_stake = input.stake.iter().enumerate().map(|(uid, &stake)| {
        if stake >= input.stake_threshold || owner == Some(uid) { u128::from(stake) } else { 0 }
    });
    let total: u128 = eligible_stake.clone().sum();
    eligible_stake
        .map(|stake| {
            I32F32::from_bits(((stake << 64).checked_div(total).unwrap_or(0) >> 32) as i64)
        })
        .collect()
}
