use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::SubnetAlphaOut;
use crate::testing::{BABELBIT, Subtensor, at_first_block, key};

const STAKE: u64 = 1_000_000_000_000;

fn zero_emission() -> EpochEmission {
    EpochEmission { server: vec![0; 3], validator: vec![0; 3] }
}

/// Runs a test with the owner's genesis neuron and two more with stake.
fn with_subnet(test: impl FnOnce([AccountId; 3], Neurons)) {
    at_first_block(|| {
        let owner_hotkey = SubnetOwnerHotkey::<Runtime>::get(BABELBIT);
        let hotkeys = [owner_hotkey, key(1), key(2)];
        for (number, hotkey) in [(1, &hotkeys[1]), (2, &hotkeys[2])] {
            Subtensor::own_hotkey(&key(100 + number), hotkey).unwrap();
            Subtensor::append_neuron(BABELBIT, hotkey);
            Subtensor::increase_stake(hotkey, &key(100 + number), BABELBIT, AlphaBalance(STAKE));
        }
        let neurons = Subtensor::neurons(BABELBIT).unwrap();
        test(hotkeys, neurons);
    });
}

fn stake(hotkey: &AccountId, coldkey: u32) -> u64 {
    Subtensor::stake_of(hotkey, &key(coldkey), BABELBIT).0
}

#[test]
fn rewards_of_owner_miners_are_recycled_or_burned() {
    for (choice, recycled) in [(RecycleOrBurnEnum::Burn, 0), (RecycleOrBurnEnum::Recycle, 300)] {
        with_subnet(|hotkeys, neurons| {
            RecycleOrBurn::<Runtime>::insert(BABELBIT, choice);
            SubnetAlphaOut::<Runtime>::insert(BABELBIT, AlphaBalance(5_000));
            let before = Subtensor::total_alpha(&hotkeys[0], BABELBIT).0;
            let earned = EpochEmission { server: vec![300, 500, 200], ..zero_emission() };
            Subtensor::distribute_emission(
                BABELBIT,
                &neurons,
                &earned,
                &PendingEmission { owner: 70, ..PendingEmission::default() },
            );
            assert_eq!(
                Subtensor::total_alpha(&hotkeys[0], BABELBIT).0,
                before + 70,
                "the cut, not the reward"
            );
            assert_eq!(stake(&hotkeys[1], 101), STAKE + 500);
            assert_eq!(stake(&hotkeys[2], 102), STAKE + 200);
            assert!((MinerBurned::<Runtime>::get(BABELBIT).to_num::<f64>() - 0.3).abs() < 1e-6);
            assert_eq!(SubnetAlphaOut::<Runtime>::get(BABELBIT).0, 5_000 - recycled);
        });
    }
}

#[test]
fn validators_deduct_take_and_share_remainder_with_stakers() {
    with_subnet(|hotkeys, _| {
        // A nominator holds as much as the owner of the hotkey.
        Subtensor::increase_stake(&hotkeys[1], &key(300), BABELBIT, AlphaBalance(STAKE));
        let neurons = Subtensor::neurons(BABELBIT).unwrap();
        let earned = EpochEmission { validator: vec![0, 750, 250], ..zero_emission() };
        Subtensor::distribute_emission(
            BABELBIT,
            &neurons,
            &earned,
            &PendingEmission { validator: 1_000_000, ..PendingEmission::default() },
        );
        // 18 % of 750 000 goes to the owner of the hotkey, the rest is shared.
        let (take, remaining) = (134_996, 615_004);
        let (owner, nominator) = (stake(&hotkeys[1], 101), stake(&hotkeys[1], 300));
        assert_eq!(Subtensor::total_alpha(&hotkeys[1], BABELBIT).0, 2 * STAKE + take + remaining);
        assert!(owner.abs_diff(STAKE + take + remaining / 2) <= 1, "{owner}");
        assert!(nominator.abs_diff(STAKE + remaining / 2) <= 1, "{nominator}");
        assert_eq!(AlphaDividendsPerSubnet::<Runtime>::get(BABELBIT, &hotkeys[1]).0, 750_000);
        assert_eq!(TotalHotkeyAlphaLastEpoch::<Runtime>::get(&hotkeys[1], BABELBIT).0, 2 * STAKE);
        assert_eq!(stake(&hotkeys[2], 102), STAKE + 250_000);
    });
}

#[test]
fn root_stake_earns_claimable_dividends() {
    with_subnet(|hotkeys, _| {
        Subtensor::increase_stake(&hotkeys[1], &key(300), NetUid::ROOT, AlphaBalance(100 * STAKE));
        Delegates::<Runtime>::insert(&hotkeys[1], PerU16::from_parts(0));
        let neurons = Subtensor::neurons(BABELBIT).unwrap();
        // By the TAO weight, 100 TAO count as 5.27 alpha.
        let by_root = neurons.root[1] as f64 / (neurons.root[1] + STAKE) as f64;
        assert!((by_root - 0.8404).abs() < 1e-4, "{by_root}");
        let earned = EpochEmission { validator: vec![0, 1_000, 1_000], ..zero_emission() };
        let pending =
            PendingEmission { validator: 1_000_000, root: 500_000, ..PendingEmission::default() };
        Subtensor::distribute_emission(BABELBIT, &neurons, &earned, &pending);
        // The neuron with root stake receives the whole root part, and 160 of 1 160 of the alpha
        // part.
        assert_eq!(RootAlphaDividendsPerSubnet::<Runtime>::get(BABELBIT, &hotkeys[1]).0, 500_000);
        // At 0.1 TAO for an alpha, these are worth 50 000 rao.
        let basket = Subtensor::basket_value(&hotkeys[1]).0;
        assert!((49_990..=50_000).contains(&basket), "{basket}");
        assert_eq!(AlphaDividendsPerSubnet::<Runtime>::get(BABELBIT, &hotkeys[1]).0, 137_931);
        assert_eq!(AlphaDividendsPerSubnet::<Runtime>::get(BABELBIT, &hotkeys[2]).0, 862_068);
        // The next epoch clears the dividends of this one.
        Subtensor::distribute_emission(
            BABELBIT,
            &neurons,
            &zero_emission(),
            &PendingEmission::default(),
        );
        assert!(!AlphaDividendsPerSubnet::<Runtime>::contains_key(BABELBIT, &hotkeys[1]));
    });
}

#[test]
fn validators_receive_miner_emission_when_no_miner_earned() {
    with_subnet(|hotkeys, _| {
        use crate::subtensor::{PendingServerEmission, PendingValidatorEmission};
        PendingServerEmission::<Runtime>::insert(BABELBIT, AlphaBalance(600_000));
        PendingValidatorEmission::<Runtime>::insert(BABELBIT, AlphaBalance(400_000));
        Subtensor::run_epoch(BABELBIT, 10).unwrap();
        let earned: u64 = hotkeys
            .iter()
            .map(|key| AlphaDividendsPerSubnet::<Runtime>::get(BABELBIT, key).0)
            .sum();
        assert_eq!(earned, 1_000_000);
    });
}
