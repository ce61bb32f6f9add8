//! Tests of emission that releases or adds to collateral.

use proptest::prelude::*;

use super::*;
use crate::subtensor::AutoStakeDestination;
use crate::subtensor::epoch::{EpochEmission, PendingEmission};

#[test]
fn emission_releases_collateral() {
    let settled = |locked, min, ratio: f64, emission, capturable| {
        let drain_ratio = U64F64::from_num(ratio);
        let [locked, min_locked] = [locked, min].map(AlphaBalance);
        let mut state =
            MinerCollateralState { locked, drain_ratio, min_locked, earned: AlphaBalance(7) };
        let captured = settle(&mut state, AlphaBalance(emission), AlphaBalance(capturable));
        assert_eq!(state.earned.0, emission.saturating_add(7));
        (state.locked.0, captured.0)
    };
    assert_eq!(settled(100, 0, 1.0, 30, 30), (70, 0));
    assert_eq!(settled(100, 0, 0.5, 30, 0), (85, 0), "the complete emission counts");
    assert_eq!(settled(100, 0, 10.0, 30, 30), (0, 0));
    assert_eq!(settled(100, 80, 1.0, 30, 30), (80, 0), "down to the minimum");
    assert_eq!(settled(100, 100, 1.0, 30, 30), (100, 0));
    // Below the minimum, emission is locked and nothing is released.
    assert_eq!(settled(100, 120, 1.0, 30, 30), (120, 20));
    assert_eq!(settled(100, 200, 1.0, 30, 30), (130, 30));
    assert_eq!(settled(100, 200, 1.0, 30, 5), (105, 5), "only what belongs to the owner");
    assert_eq!(settled(100, 200, 1.0, 30, 0), (100, 0));
    assert_eq!(settled(u64::MAX, 0, 10.0, u64::MAX, u64::MAX), (0, 0));
    assert_eq!(settled(0, u64::MAX, 1.0, u64::MAX, u64::MAX), (u64::MAX, u64::MAX));
}

/// Distributes an epoch's emission to the miner with uid 1.
fn distribute_to_miner(amount: u64) {
    SubnetAlphaOut::<Runtime>::mutate(BABELBIT, |out| out.0 += amount);
    let neurons = Subtensor::neurons(BABELBIT).unwrap();
    let earned = EpochEmission { server: vec![0, amount, 0], validator: vec![0; 3] };
    Subtensor::distribute_emission(BABELBIT, &neurons, &earned, &PendingEmission::default());
}

#[test]
fn miner_recovers_collateral_above_its_minimum() {
    with_stake(|bob| {
        for hotkey in [key(1), key(2)] {
            Subtensor::append_neuron(BABELBIT, &hotkey);
        }
        AutoStakeDestination::<Runtime>::insert(&bob, BABELBIT, key(2));
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        distribute_to_miner(10 * TAO);
        assert_eq!((amounts(1), stake(2)), ((50 * TAO, 0, 10 * TAO), 10 * TAO));
        assert_totals_agree();
        // Emission below the minimum is locked on the miner's own hotkey; the rest is staked as its
        // owner wants.
        assert_eq!(attempt(&bob, set_min(1, 54 * TAO)), "ok");
        let before = stake(1);
        distribute_to_miner(10 * TAO);
        assert_eq!(amounts(1), (54 * TAO, 54 * TAO, 20 * TAO));
        assert!((stake(1) - before).abs_diff(4 * TAO) <= 1 && stake(2).abs_diff(16 * TAO) <= 1);
        let expected = Event::AutoStakeAdded {
            netuid: BABELBIT,
            destination: key(2),
            hotkey: key(1),
            owner: bob.clone(),
            incentive: AlphaBalance(6 * TAO),
        };
        assert_eq!(last_event(), expected);
        distribute_to_miner(10 * TAO);
        assert_eq!(amounts(1), (54 * TAO, 54 * TAO, 30 * TAO));
        assert_eq!(attempt(&bob, set_min(1, 0)), "ok");
        distribute_to_miner(54 * TAO);
        assert_eq!(state(1, &bob), None);
        assert_totals_agree();
    });
}

#[test]
fn dividends_release_collateral_but_only_the_take_is_locked() {
    with_stake(|bob| {
        for hotkey in [key(1), key(2)] {
            Subtensor::append_neuron(BABELBIT, &hotkey);
        }
        let nominator = account("Charlie");
        add_stake(&nominator, 1, 100 * TAO);
        let distribute_to_validator = |amount: u64| {
            SubnetAlphaOut::<Runtime>::mutate(BABELBIT, |out| out.0 += amount);
            let neurons = Subtensor::neurons(BABELBIT).unwrap();
            let earned = EpochEmission { server: vec![0; 3], validator: vec![0, 1, 0] };
            let pending = PendingEmission { validator: amount, ..PendingEmission::default() };
            Subtensor::distribute_emission(BABELBIT, &neurons, &earned, &pending);
        };
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        distribute_to_validator(10 * TAO);
        assert_eq!(amounts(1), (50 * TAO, 0, 10 * TAO));
        assert_eq!(attempt(&bob, set_min(1, 80 * TAO)), "ok");
        distribute_to_validator(10 * TAO);
        // The take is 18 %.
        let (locked, _, earned) = amounts(1);
        assert!(locked.abs_diff(51_800_000_000) < TAO / 1_000, "{locked}");
        assert_eq!(earned, 20 * TAO);
        assert_eq!(state(1, &nominator), None);
        let unstake = Call::remove_stake {
            hotkey: key(1),
            netuid: BABELBIT,
            amount_unstaked: AlphaBalance(u64::MAX),
        };
        assert_eq!(attempt(&nominator, unstake), "ok", "collateral does not concern nominators");
        assert_totals_agree();
    });
}

proptest! {
    #[test]
    fn collateral_settlements_approach_the_minimum(
        locked in any::<u64>(),
        min in any::<u64>(),
        ratio in 1_u128..=10 << 64,
        emission in any::<u64>(),
        part in 0_u8..=100,
    ) {
        let capturable = (u128::from(emission) * u128::from(part) / 100) as u64;
        let mut state = MinerCollateralState {
            locked: AlphaBalance(locked),
            drain_ratio: U64F64::from_bits(ratio),
            min_locked: AlphaBalance(min),
            earned: AlphaBalance::ZERO,
        };
        let captured = settle(&mut state, AlphaBalance(emission), AlphaBalance(capturable)).0;
        prop_assert!(captured <= capturable);
        if locked < min {
            prop_assert_eq!(state.locked.0, locked + captured);
            prop_assert!(state.locked.0 <= min);
        } else {
            prop_assert_eq!(captured, 0);
            prop_assert!((min..=locked).contains(&state.locked.0));
        }
    }
}
