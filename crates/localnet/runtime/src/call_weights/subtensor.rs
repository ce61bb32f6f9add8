//! Calls of the Subtensor pallet.

use super::{Weight, per_item, weight};
use crate::types::NetUid;

/// Maximum number of contributors of a crowdloan, which the declared weights of leases assume.
const MAX_CONTRIBUTORS: u64 = 500;
/// Maximum number of subnets that the weight of a completed hotkey swap counts: more would exceed
/// the declared weight.
const MAX_SWAPPED_SUBNETS: u64 = 100;
/// Number of baskets that the declared weight of a claim assumes.
const MAX_CLAIMED_BASKETS: u64 = 256;
/// Number of purchases that the declared weight of a deposit in a basket assumes.
const MAX_BASKET_PURCHASES: u64 = 128;
/// Number of holdings that the declared weight of a deposit in a basket assumes.
const MAX_BASKET_HOLDINGS: u64 = 256;

// Execution time in picoseconds, proof size in bytes, reads, writes.
weights! {
    set_weights: 8_632_000_000, 10_327_410, 4_112, 2;
    batch_set_weights: 54_000_000, 7_395, 16, 2;
    commit_weights: 36_000_000, 4_714, 13, 2;
    commit_mechanism_weights: 124_000_000, 40_871, 14, 2;
    batch_commit_weights: 79_000_000, 4_765, 15, 2;
    commit_timelocked_weights: 51_000_000, 4_713, 14, 2;
    commit_timelocked_mechanism_weights: 130_000_000, 40_392, 14, 2;
    commit_crv3_mechanism_weights: 132_000_000, 40_392, 14, 2;
    reveal_weights: 58_000_000, 7_590, 19, 2;
    batch_reveal_weights: 218_000_000, 8_095, 19, 2;

    add_stake: 310_000_000, 8_727, 32, 16;
    add_stake_limit: 395_000_000, 8_727, 32, 16;
    add_stake_burn: 477_000_000, 8_727, 35, 17;
    remove_stake: 299_000_000, 10_557, 30, 13;
    remove_stake_limit: 387_000_000, 10_591, 29, 13;
    remove_stake_full_limit: 415_000_000, 10_591, 29, 13;
    unstake_all: 15_000_000, 9_189, 6, 0;
    unstake_all_alpha: 384_000_000, 11_306, 45, 25;
    recycle_alpha: 98_000_000, 5_219, 15, 6;
    burn_alpha: 102_000_000, 5_219, 14, 4;

    move_stake: 110_000_000, 7_919, 20, 7;
    move_stake_limit: 484_000_000, 13_570, 50, 24;
    swap_stake: 388_000_000, 10_920, 49, 24;
    swap_stake_limit: 484_000_000, 11_077, 49, 24;
    transfer_stake: 142_000_000, 7_963, 21, 7;
    transfer_stake_and_hotkey: 146_000_000, 8_102, 24, 7;

    register: 364_683_000, 6_148, 34, 29;
    burned_register: 365_124_000, 6_148, 34, 29;
    register_limit: 345_012_000, 6_148, 34, 29;
    root_register: 621_000_000, 191_075, 219, 88;
    faucet: 91_000_000, 0, 27, 22;
    serve_axon: 19_000_000, 4_293, 4, 1;
    serve_axon_tls: 19_000_000, 4_264, 4, 1;
    serve_prometheus: 18_000_000, 4_392, 4, 1;

    register_network: 153_000_000, 9_947, 42, 48;
    register_network_with_identity: 148_000_000, 9_883, 41, 47;
    dissolve_network: 52_000_000, 4_545, 8, 6;
    root_dissolve_network: 51_000_000, 4_545, 8, 6;
    set_subnet_identity: 13_000_000, 4_203, 2, 1;
    start_call: 21_000_000, 4_583, 5, 2;
    set_tempo: 887_000, 0, 0, 0;
    set_activity_cutoff_factor: 891_000, 0, 0, 0;
    trigger_epoch: 27_000_000, 4_447, 8, 2;
    update_symbol: 18_000_000, 9_177, 5, 1;
    enable_voting_power_tracking: 13_000_000, 4_203, 2, 2;
    disable_voting_power_tracking: 16_000_000, 4_264, 3, 1;
    sudo_set_voting_power_ema_alpha: 10_000_000, 4_084, 1, 1;

    try_associate_hotkey: 13_000_000, 4_283, 3, 3;
    associate_evm_key: 395_000_000, 4_622, 5, 2;
    decrease_take: 16_000_000, 4_295, 3, 2;
    increase_take: 19_000_000, 4_388, 5, 2;
    set_coldkey_auto_stake_hotkey: 17_000_000, 4_274, 4, 2;
    set_identity: 16_000_000, 6_829, 3, 1;

    // Independent of the number of children.
    set_children: 55_660_572, 9_951, 17, 2;
    set_childkey_take: 28_000_000, 4_498, 8, 2;
    sudo_set_tx_childkey_take_rate_limit: 3_000_000, 0, 0, 1;
    sudo_set_min_childkey_take: 3_000_000, 0, 0, 1;
    sudo_set_max_childkey_take: 3_000_000, 0, 0, 1;
    set_pending_childkey_cooldown: 1_000_000, 0, 0, 1;
    set_auto_parent_delegation_enabled: 14_000_000, 4_364, 2, 1;

    swap_coldkey: 480_000_000, 100_000, 250, 210;
    swap_coldkey_announced: 450_000_000, 100_000, 250, 200;
    schedule_swap_coldkey: 1_000_000, 0, 0, 0;
    announce_coldkey_swap: 25_000_000, 4_159, 4, 3;
    dispute_coldkey_swap: 12_000_000, 4_130, 2, 1;
    clear_coldkey_swap_announcement: 10_000_000, 4_078, 2, 1;
    reset_coldkey_swap: 4_000_000, 0, 0, 2;

    lock_stake: 63_000_000, 7_770, 18, 3;
    move_lock: 84_000_000, 7_455, 15, 6;
    set_perpetual_lock: 54_000_000, 7_166, 11, 4;
    set_reject_locked_alpha: 8_000_000, 4_027, 1, 1;

    add_collateral: 371_000_000, 8_542, 34, 17;
    set_min_collateral: 21_000_000, 4_480, 4, 1;
    sudo_set_root_claim_threshold: 7_000_000, 4_117, 1, 1;
}

/// Weight of setting weights for this many neurons.
pub(crate) fn set_mechanism_weights(uids: &[u16]) -> Weight {
    per_item(weight(56_000_000, 9_373, 16, 2), weight(1_961_926, 2_520, 1, 0), uids.len() as u64)
}

/// Weight of revealing weights for this many neurons.
pub(crate) fn reveal_mechanism_weights(uids: &[u16]) -> Weight {
    per_item(weight(61_000_000, 10_114, 19, 2), weight(2_031_383, 2_512, 1, 0), uids.len() as u64)
}

/// Declared weight of a hotkey swap. The stake of all stakers moves, unless the swap keeps it on
/// one subnet.
pub(crate) fn swap_hotkey(netuid: Option<NetUid>, keep_stake: bool) -> Weight {
    if netuid.is_some() && keep_stake {
        actual_swap_hotkey(1)
    } else {
        weight(87_695_000_000, 6_523_886, 6_928, 4_111)
    }
}

/// Weight of a hotkey swap on this many subnets. The real chain counts reads and writes; this is
/// its weight for a swap on one subnet that keeps the stake.
pub(crate) fn actual_swap_hotkey(subnets: u64) -> Weight {
    weight(275_300_000, 0, 53, 39).saturating_mul(subnets.clamp(1, MAX_SWAPPED_SUBNETS))
}

/// Weight of creating a leased subnet, for the maximum number of contributors.
pub(crate) fn register_leased_network() -> Weight {
    per_item(weight(171_942_062, 10_256, 50, 53), weight(29_141_808, 2_579, 2, 2), MAX_CONTRIBUTORS)
}

/// Weight of ending a lease, for the maximum number of contributors.
pub(crate) fn terminate_lease() -> Weight {
    per_item(weight(50_239_437, 6_148, 4, 8), weight(1_091_523, 2_529, 1, 1), MAX_CONTRIBUTORS)
}

/// Weight of ending a lease with this many contributors.
pub(crate) fn actual_terminate_lease(contributors: u64) -> Weight {
    if contributors < MAX_CONTRIBUTORS {
        per_item(weight(56_635_122, 6_148, 4, 6), weight(912_993, 2_529, 1, 1), contributors)
    } else {
        terminate_lease()
    }
}

/// Weight of a claim, for the maximum number of baskets.
pub(crate) fn claim_root() -> Weight {
    actual_claim_root(MAX_CLAIMED_BASKETS)
        .saturating_add(weight(6_000_000, 1_000, 3, 0).saturating_mul(MAX_CLAIMED_BASKETS))
}

/// Weight of a claim from this many baskets.
pub(crate) fn actual_claim_root(baskets: u64) -> Weight {
    weight(70_000_000, 7_909, 17, 4).saturating_mul(baskets.clamp(1, MAX_CLAIMED_BASKETS))
}

/// Weight of a deposit in a basket, for the maximum numbers of purchases and holdings.
pub(crate) fn stake_into_basket() -> Weight {
    actual_stake_into_basket(MAX_BASKET_PURCHASES, MAX_BASKET_HOLDINGS)
}

/// Weight of a deposit in a basket with this many holdings, by this many purchases.
pub(crate) fn actual_stake_into_basket(purchases: u64, holdings: u64) -> Weight {
    let purchased = per_item(weight(0, 0, 8, 6), weight(25_000_000, 4_000, 6, 5), purchases);
    per_item(purchased, weight(10_000_000, 1_000, 4, 0), holdings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use frame_support::dispatch::GetDispatchInfo;
    use sp_runtime::traits::Dispatchable;

    use super::*;
    use crate::runtime::{Runtime, RuntimeCall, RuntimeOrigin};
    use crate::subtensor::Call;
    use crate::testing::{Subtensor, account, at_first_block, key};
    use crate::types::TaoBalance;

    /// Makes a call as Bob, and returns its declared and its actual weight.
    fn declared_and_actual_weight(call: Call<Runtime>) -> (Weight, Weight) {
        let call = RuntimeCall::from(call);
        let declared = call.get_dispatch_info().call_weight;
        let post = call.dispatch(RuntimeOrigin::signed(account("Bob"))).unwrap();
        (declared, post.actual_weight.unwrap_or(declared))
    }

    #[test]
    fn calls_are_charged_for_their_actual_weight() {
        at_first_block(|| {
            let (bob, old) = (account("Bob"), key(1));
            assert_eq!(
                declared_and_actual_weight(Call::claim_root { subnets: BTreeSet::new() }),
                (claim_root(), actual_claim_root(1))
            );
            Subtensor::own_hotkey(&bob, &old).unwrap();
            let (netuid, amount_staked) = (NetUid::ROOT, TaoBalance(1_000_000_000));
            let stake = Call::add_stake { hotkey: old.clone(), netuid, amount_staked };
            assert_eq!(declared_and_actual_weight(stake), (add_stake(), add_stake()));
            let swap = Call::swap_hotkey { hotkey: old, new_hotkey: key(2), netuid: None };
            assert_eq!(
                declared_and_actual_weight(swap),
                (swap_hotkey(None, false), actual_swap_hotkey(1))
            );
            assert_eq!(
                declared_and_actual_weight(Call::claim_root_with_hotkey { hotkey: key(2) }),
                (claim_root(), actual_claim_root(1))
            );
        });
    }

    #[test]
    fn actual_weight_is_at_most_declared() {
        for count in [0, 1, 2, 99, 1_000] {
            assert!(actual_swap_hotkey(count).all_lte(swap_hotkey(None, false)), "{count} subnets");
            assert!(actual_claim_root(count).all_lte(claim_root()), "{count} baskets");
            assert!(
                actual_terminate_lease(count).all_lte(terminate_lease()),
                "{count} contributors"
            );
        }
        assert!(actual_stake_into_basket(1, 1).all_lte(stake_into_basket()));
        assert_eq!(swap_hotkey(Some(NetUid::ROOT), true), actual_swap_hotkey(1));
        assert_eq!(swap_hotkey(Some(NetUid::ROOT), false), swap_hotkey(None, false));
    }
}
