use substrate_fixed::types::{I96F32, U96F32};

use super::*;
use crate::runtime::Runtime;
use crate::subtensor::SubnetMovingPrice;
use crate::testing::{Subtensor, at_first_block, jump_to};

/// Sets the moving prices of the subnets from 1 on, in thousandths of a TAO, and enables their
/// emission.
fn subnets_with_prices(milli: &[u64]) -> Vec<NetUid> {
    let netuids: Vec<NetUid> = (1..).map(NetUid).take(milli.len()).collect();
    for (netuid, milli) in netuids.iter().zip(milli) {
        SubnetMovingPrice::<Runtime>::insert(netuid, I96F32::from_num(*milli) / 1_000);
        SubnetEmissionEnabled::<Runtime>::insert(netuid, true);
    }
    netuids
}

fn shares(netuids: &[NetUid]) -> Vec<f64> {
    Subtensor::emission_shares(netuids).into_iter().map(U64F64::to_num::<f64>).collect()
}

fn bar() -> f64 {
    EmissionGateBar::<Runtime>::get().to_num()
}

fn assert_close(actual: &[f64], expected: &[f64]) {
    assert_eq!(actual.len(), expected.len());
    for (one, other) in actual.iter().zip(expected) {
        assert!((one - other).abs() < 1e-6, "{actual:?} are not {expected:?}");
    }
}

/// Returns shares after the gate, computed with floating-point numbers.
fn after_gate(shares: &[f64], bar: f64, exponent: f64) -> Vec<f64> {
    let gate = |share: f64| share.powf(exponent) / (share.powf(exponent) + bar.powf(exponent));
    let passed: Vec<f64> = shares.iter().map(|share| share * gate(*share)).collect();
    let sum: f64 = passed.iter().sum();
    passed.into_iter().map(|share| share / sum).collect()
}

#[test]
fn emission_shares_follow_prices_and_gate() {
    at_first_block(|| {
        let netuids = subnets_with_prices(&[600, 300, 100]);
        // Three subnets are fewer than the rank of the bar: the bar is the lowest share.
        assert_close(&shares(&netuids), &after_gate(&[0.6, 0.3, 0.1], 0.1, 3.0));
        assert_close(&[bar()], &[0.1]);
        // A single subnet receives everything, exactly.
        assert_eq!(Subtensor::emission_shares(&subnets_with_prices(&[7])), [U64F64::from_num(1)]);
    });
}

#[test]
fn rank_or_quantile_selects_the_emission_bar() {
    at_first_block(|| {
        let netuids = subnets_with_prices(&[100, 600, 300]);
        let quantile =
            |percent: u32| EmissionBarQuantile::<Runtime>::put(U64F64::from_num(percent) / 100);
        let cases: [(u16, u32, f64); 7] = [
            (1, 61, 0.6),
            (2, 61, 0.3),
            (3, 61, 0.1),
            (4, 61, 0.1),
            (0, 61, 0.3),
            (0, 50, 0.6),
            (0, 95, 0.1),
        ];
        for (rank, percent, expected) in cases {
            EmissionBarRank::<Runtime>::put(rank);
            quantile(percent);
            EmissionGateBar::<Runtime>::kill();
            assert_close(&shares(&netuids), &after_gate(&[0.1, 0.6, 0.3], expected, 3.0));
            assert_close(&[bar()], &[expected]);
        }
        // Subnets without a share have no rank.
        EmissionBarRank::<Runtime>::put(3_u16);
        EmissionGateBar::<Runtime>::kill();
        assert_close(&shares(&subnets_with_prices(&[500, 0, 500])), &[0.5, 0.0, 0.5]);
        assert_close(&[bar()], &[0.5]);
    });
}

#[test]
fn emission_bar_is_updated_every_360_blocks() {
    at_first_block(|| {
        shares(&subnets_with_prices(&[750, 250]));
        assert_close(&[bar()], &[0.25]);
        let netuids = subnets_with_prices(&[600, 400]);
        jump_to(359);
        assert_close(&shares(&netuids), &after_gate(&[0.6, 0.4], 0.25, 3.0));
        assert_close(&[bar()], &[0.25]);
        jump_to(360);
        assert_close(&shares(&netuids), &after_gate(&[0.6, 0.4], 0.4, 3.0));
        assert_close(&[bar()], &[0.4]);
    });
}

#[test]
fn burned_rewards_and_disabled_emission_lower_a_share() {
    at_first_block(|| {
        let netuids = subnets_with_prices(&[500, 500]);
        let burn = |netuid: u16, percent: u32| {
            MinerBurned::<Runtime>::insert(NetUid(netuid), U96F32::from_num(percent) / 100);
        };
        burn(1, 100);
        assert_close(&shares(&netuids), &[0.0, 1.0]);
        EmissionGateBar::<Runtime>::kill();
        burn(1, 50);
        assert_close(&shares(&netuids), &after_gate(&[1.0 / 3.0, 2.0 / 3.0], 1.0 / 3.0, 3.0));
        // If all subnets burn all rewards of their miners, emission is still distributed.
        EmissionGateBar::<Runtime>::kill();
        burn(1, 100);
        burn(2, 100);
        assert_close(&shares(&netuids), &[0.5, 0.5]);
        SubnetEmissionEnabled::<Runtime>::insert(NetUid(2), false);
        assert_close(&shares(&netuids), &[1.0, 0.0]);
        SubnetEmissionEnabled::<Runtime>::insert(NetUid(1), false);
        assert_close(&shares(&netuids), &[0.0, 0.0]);
    });
}

#[test]
fn emission_shares_without_prices_are_zero() {
    at_first_block(|| {
        assert_close(&shares(&subnets_with_prices(&[0, 0])), &[0.0, 0.0]);
        assert_eq!(Subtensor::emission_shares(&[]), Vec::<U64F64>::new());
        assert!(!EmissionGateBar::<Runtime>::exists());
    });
}

#[test]
fn gate_keeps_shares_if_all_would_become_zero() {
    let (one, steep) = (U64F64::from_num(1), U64F64::from_num(8));
    let tiny = U64F64::from_bits(1 << 24);
    assert_eq!(apply_gate(vec![tiny], one, steep), [tiny]);
    assert_eq!(apply_gate(vec![tiny], U64F64::default(), steep), [tiny], "no bar");
    let passed = apply_gate(vec![tiny, U64F64::from_bits(1 << 63)], one, steep);
    assert_eq!(passed[0], 0, "only the larger share passes");
    assert!((power(U64F64::from_num(2), U64F64::from_num(3)).to_num::<f64>() - 8.0).abs() < 1e-6);
    assert_eq!(power(U64F64::default(), steep), 0);
}
