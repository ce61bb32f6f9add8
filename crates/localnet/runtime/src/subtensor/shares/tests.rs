use proptest::prelude::*;

use super::*;
use crate::testing::{BABELBIT, Subtensor, at_first_block, key};

const COLDKEYS: u32 = 4;

#[derive(Debug, Clone)]
enum Step {
    Add(u32, u64),
    Remove(u32, f64),
    RemoveAll(u32),
    Reward(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let amount = prop_oneof![1_u64..10, 1_u64..1_000_000_000_000, 1_u64..10_000_000_000_000_000];
    let step = prop_oneof![
        (0..COLDKEYS, amount.clone()).prop_map(|(coldkey, amount)| Step::Add(coldkey, amount)),
        (0..COLDKEYS, 0.0..1.0).prop_map(|(coldkey, part)| Step::Remove(coldkey, part)),
        (0..COLDKEYS).prop_map(Step::RemoveAll),
        amount.prop_map(Step::Reward),
    ];
    proptest::collection::vec(step, 1..60)
}

fn stakes(hotkey: &AccountId32) -> Vec<u64> {
    (0..COLDKEYS).map(|coldkey| Subtensor::stake_of(hotkey, &key(coldkey), BABELBIT).0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn staking_moves_only_the_stakers_own_alpha(steps in steps()) {
        at_first_block(|| -> Result<(), TestCaseError> {
            let hotkey = key(1_000);
            Owner::<crate::Runtime>::insert(&hotkey, key(0));
            let other_stake = TotalAlphaStaked::<crate::Runtime>::get(BABELBIT).0;
            for step in steps {
                let (before, total) = (stakes(&hotkey), Subtensor::total_alpha(&hotkey, BABELBIT).0);
                let moved_amount = match step {
                    Step::Add(coldkey, amount) => {
                        Subtensor::increase_stake(&hotkey, &key(coldkey), BABELBIT, AlphaBalance(amount));
                        Some((coldkey, i128::from(amount)))
                    }
                    Step::Remove(coldkey, part) => {
                        let amount = (before[coldkey as usize] as f64 * part) as u64;
                        Subtensor::decrease_stake(&hotkey, &key(coldkey), BABELBIT, AlphaBalance(amount));
                        Some((coldkey, -i128::from(amount.min(before[coldkey as usize]))))
                    }
                    Step::RemoveAll(coldkey) => {
                        Subtensor::decrease_stake(&hotkey, &key(coldkey), BABELBIT, AlphaBalance(u64::MAX));
                        Some((coldkey, -i128::from(before[coldkey as usize])))
                    }
                    Step::Reward(amount) => {
                        Subtensor::distribute_to_stakers(&hotkey, BABELBIT, AlphaBalance(amount));
                        prop_assert_eq!(Subtensor::total_alpha(&hotkey, BABELBIT).0, total + amount);
                        None
                    }
                };
                let (after, new_total) = (stakes(&hotkey), Subtensor::total_alpha(&hotkey, BABELBIT).0);
                prop_assert_eq!(TotalAlphaStaked::<crate::Runtime>::get(BABELBIT).0, other_stake + new_total);
                // The stakes sum up to the pool, except for the rao lost by rounding down each of
                // them.
                let total_held: u64 = after.iter().sum();
                prop_assert!(total_held <= new_total, "{} of {} held", total_held, new_total);
                if total_held > 0 {
                    prop_assert!(
                        new_total - total_held <= u64::from(COLDKEYS) + 1,
                        "{} of {} held", total_held, new_total
                    );
                }
                let Some((coldkey, moved_amount)) = moved_amount else { continue };
                prop_assert_eq!(i128::from(new_total), i128::from(total) + moved_amount);
                for (number, (&before, &after)) in (0..).zip(before.iter().zip(&after)) {
                    let change = if number == coldkey { moved_amount } else { 0 };
                    let expected = i128::from(before) + change;
                    let error = i128::from(after) - expected;
                    // Rounding a withdrawal can raise each other stake by up to one rao, and that
                    // stake's own fraction by a second one.
                    let maximum = if number == coldkey { 1 } else { 2 };
                    prop_assert!((-1..=maximum).contains(&error), "coldkey {}: {} instead of {}", number, after, expected);
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn coldkey_lists_hotkeys_with_its_stake() {
    at_first_block(|| {
        let (hotkey, coldkey) = (key(1), key(2));
        let listed = || StakingHotkeys::<crate::Runtime>::get(&coldkey);
        Subtensor::increase_stake(&hotkey, &coldkey, BABELBIT, AlphaBalance(10));
        Subtensor::increase_stake(&hotkey, &coldkey, NetUid::ROOT, AlphaBalance(10));
        assert_eq!(listed(), std::slice::from_ref(&hotkey));
        Subtensor::decrease_stake(&hotkey, &coldkey, BABELBIT, AlphaBalance(10));
        assert_eq!(listed(), std::slice::from_ref(&hotkey));
        Subtensor::decrease_stake(&hotkey, &coldkey, NetUid::ROOT, AlphaBalance(10));
        assert!(listed().is_empty());
        assert!(!TotalHotkeySharesV2::<crate::Runtime>::contains_key(&hotkey, BABELBIT));
        assert!(!TotalHotkeyAlpha::<crate::Runtime>::contains_key(&hotkey, BABELBIT));
    });
}

#[test]
fn reward_without_stakers_goes_to_the_owner() {
    at_first_block(|| {
        let (hotkey, owner) = (key(1), key(2));
        Owner::<crate::Runtime>::insert(&hotkey, &owner);
        Subtensor::distribute_to_stakers(&hotkey, BABELBIT, AlphaBalance(7));
        assert_eq!(Subtensor::stake_of(&hotkey, &owner, BABELBIT), AlphaBalance(7));
    });
}

#[test]
fn root_stake_counts_by_tao_weight() {
    at_first_block(|| {
        let hotkey = key(1);
        Subtensor::increase_stake(&hotkey, &key(2), BABELBIT, AlphaBalance(5));
        Subtensor::increase_stake(&hotkey, &key(2), NetUid::ROOT, AlphaBalance(1_000_000_000));
        assert_eq!(Subtensor::weighted_stake(&hotkey, BABELBIT), AlphaBalance(5 + 52_676_974));
        assert_eq!(Subtensor::weighted_stake(&hotkey, NetUid::ROOT), AlphaBalance(1_000_000_000));
    });
}
