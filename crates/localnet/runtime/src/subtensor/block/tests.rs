use super::*;
use crate::runtime::Runtime;
use crate::subtensor::{
    NetworksAdded, PendingOwnerCut, PendingRootAlphaDivs, PendingServerEmission,
    PendingValidatorEmission, SubnetAlphaOut, SubnetExcessTao, SubnetProtocolAlpha, SubnetTAO,
    SubnetTaoInEmission, Tempo, TotalHotkeyAlpha, TotalStake, Uids,
};
use crate::swap::Pool;
use crate::testing::{BABELBIT, Subtensor, at_first_block, key, run_to, total_tao};
use crate::types::{AlphaBalance, TaoBalance};

fn events() -> Vec<Event<Runtime>> {
    frame_system::Pallet::<Runtime>::events()
        .into_iter()
        .filter_map(|record| match record.event {
            crate::RuntimeEvent::SubtensorModule(event) => Some(event),
            _ => None,
        })
        .collect()
}

#[test]
fn issuance_equals_balances_and_pools() {
    at_first_block(|| {
        let issued = TotalIssuance::<Runtime>::get().0;
        assert_eq!(issued, total_tao());
        run_to(300);
        let pools: u64 = SubnetTAO::<Runtime>::iter_values().map(|tao| tao.0).sum();
        assert_eq!(TotalStake::<Runtime>::get().0, pools);
        assert_eq!(TotalIssuance::<Runtime>::get().0, total_tao());
        // Only one subnet has a moving price: it receives all TAO of each block.
        assert_eq!(TotalIssuance::<Runtime>::get().0, issued + 299 * 1_000_000_000);
    });
}

#[test]
fn each_block_issues_one_alpha() {
    at_first_block(|| {
        // With stake but no weights, all emission except the cut goes to validators by their stake.
        let before = 1_000_000_000_000;
        let owner_hotkey = crate::subtensor::SubnetOwnerHotkey::<Runtime>::get(BABELBIT);
        Subtensor::increase_stake(&owner_hotkey, &key(2), BABELBIT, AlphaBalance(before));
        SubnetAlphaOut::<Runtime>::insert(BABELBIT, AlphaBalance(before));
        run_to(201);
        // Root has no stake: all alpha goes to the owner, miners and validators. A block issues one
        // alpha. The alpha that emission bought from the pool was issued before.
        let bought = SubnetProtocolAlpha::<Runtime>::get(BABELBIT).0;
        let issued = SubnetAlphaOut::<Runtime>::get(BABELBIT).0 - bought - before;
        assert_eq!(issued, 200 * 1_000_000_000);
        let pending = PendingOwnerCut::<Runtime>::get(BABELBIT).0
            + PendingServerEmission::<Runtime>::get(BABELBIT).0
            + PendingValidatorEmission::<Runtime>::get(BABELBIT).0
            + PendingRootAlphaDivs::<Runtime>::get(BABELBIT).0;
        let staked: u64 = TotalHotkeyAlpha::<Runtime>::iter()
            .filter(|(_, netuid, _)| *netuid == BABELBIT)
            .map(|(_, _, alpha)| alpha.0)
            .sum();
        let rounding_loss = (before + issued) - (pending + staked);
        assert!(rounding_loss <= 20, "{pending} pending, {staked} staked");
    });
}

#[test]
fn subnet_with_disabled_emission_gets_no_tao_but_emits_alpha() {
    at_first_block(|| {
        crate::subtensor::SubnetEmissionEnabled::<Runtime>::insert(BABELBIT, false);
        let (tao, alpha) =
            (SubnetTAO::<Runtime>::get(BABELBIT), SubnetAlphaOut::<Runtime>::get(BABELBIT));
        run_to(2);
        assert_eq!(SubnetTAO::<Runtime>::get(BABELBIT), tao);
        assert_eq!(SubnetTaoInEmission::<Runtime>::get(BABELBIT), TaoBalance(0));
        assert_eq!(SubnetAlphaOut::<Runtime>::get(BABELBIT).0, alpha.0 + 1_000_000_000);
    });
}

#[test]
fn injection_keeps_the_price_and_the_excess_buys_alpha() {
    at_first_block(|| {
        let root = key(1);
        Subtensor::own_hotkey(&key(2), &root).unwrap();
        Subtensor::increase_stake(
            &root,
            &key(2),
            NetUid::ROOT,
            AlphaBalance(1_000_000_000_000_000),
        );
        SubnetTAO::<Runtime>::insert(NetUid::ROOT, TaoBalance(1_000_000_000_000_000));
        // Root's proportion is 52 677 / 62 677 = 0.84, which caps the injection at 0.84 alpha. At
        // the current price, one TAO would need 10 alpha.
        let price = Subtensor::alpha_price(BABELBIT).to_num::<f64>();
        let before = Subtensor::pool_of(BABELBIT);
        Subtensor::issue_block_emission(&[BABELBIT], 10_000_000);
        let after = Subtensor::pool_of(BABELBIT);
        assert_eq!(after.tao.0, before.tao.0 + 10_000_000);
        assert_eq!(after.alpha.0, before.alpha.0 + 100_000_000);
        assert!((Subtensor::alpha_price(BABELBIT).to_num::<f64>() / price - 1.0).abs() < 1e-12);

        Subtensor::issue_block_emission(&[BABELBIT], 1_000_000_000);
        let pool_after = Subtensor::pool_of(BABELBIT);
        // Both parts of the TAO are rounded down.
        assert_eq!(pool_after.tao.0, after.tao.0 + 999_999_999);
        assert!(pool_after.alpha.0 < after.alpha.0, "the TAO beyond the cap bought alpha");
        let excess = SubnetExcessTao::<Runtime>::get(BABELBIT);
        assert!(excess > TaoBalance::ZERO);
        let adjusted = Pool { quote: pool_after.quote, ..after };
        assert_eq!(
            SubnetProtocolAlpha::<Runtime>::get(BABELBIT),
            adjusted.buy(excess),
            "before the reserves grow"
        );
        assert!(Subtensor::alpha_price(BABELBIT).to_num::<f64>() > price);
    });
}

#[test]
fn moving_price_uses_fixed_point_smoothing() {
    at_first_block(|| {
        let start = crate::subtensor::FirstEmissionBlockNumber::<Runtime>::get(BABELBIT).unwrap();
        crate::subtensor::SubnetMovingPrice::<Runtime>::insert(
            BABELBIT,
            substrate_fixed::types::I96F32::from_num(0),
        );
        frame_system::Pallet::<Runtime>::set_block_number(u32::try_from(start).unwrap() + 201_600);
        Subtensor::update_moving_prices(&[BABELBIT]);
        // With 32 fraction bits, the smoothing factor is 12 885 and its half, after one halving
        // period, is 6 442. The price is 0.1.
        let price = (1_u64 << 32) / 10;
        let expected = (6_442 * price) >> 32;
        let moving_price = crate::subtensor::SubnetMovingPrice::<Runtime>::get(BABELBIT).to_bits();
        assert_eq!(moving_price, i128::from(expected));
    });
}

#[test]
fn epochs_beyond_the_limit_of_a_block_are_deferred() {
    at_first_block(|| {
        Subtensor::wake(NetUid(1));
        for netuid in [NetUid(1), BABELBIT] {
            Tempo::<Runtime>::insert(netuid, 5);
            LastEpochBlock::<Runtime>::insert(netuid, 0);
        }
        MaxEpochsPerBlock::<Runtime>::put(1);
        assert!(NetworksAdded::<Runtime>::get(NetUid(1)));
        run_to(5);
        assert_eq!(
            (LastEpochBlock::<Runtime>::get(NetUid(1)), LastEpochBlock::<Runtime>::get(BABELBIT)),
            (5, 0)
        );
        assert!(events().contains(&Event::EpochDeferred {
            netuid: BABELBIT,
            from_block: 5,
            to_block: 6
        }));
        run_to(6);
        assert_eq!(LastEpochBlock::<Runtime>::get(BABELBIT), 6);
        assert_eq!(BlocksSinceLastStep::<Runtime>::get(NetUid(1)), 1);
        assert_eq!(SubnetEpochIndex::<Runtime>::get(BABELBIT), 1);
    });
}

#[test]
fn triggered_epoch_runs_once() {
    at_first_block(|| {
        Tempo::<Runtime>::insert(BABELBIT, 400);
        PendingEpochAt::<Runtime>::insert(BABELBIT, 4);
        run_to(8);
        assert_eq!(LastEpochBlock::<Runtime>::get(BABELBIT), 4);
        assert_eq!(PendingEpochAt::<Runtime>::get(BABELBIT), 0);
        assert_eq!(BlocksSinceLastStep::<Runtime>::get(BABELBIT), 4);
    });
}

#[test]
fn epoch_with_inconsistent_maps_is_skipped_and_its_emission_kept() {
    at_first_block(|| {
        let hotkey = crate::subtensor::Keys::<Runtime>::get(BABELBIT, 0);
        Uids::<Runtime>::insert(BABELBIT, &hotkey, 3);
        PendingEpochAt::<Runtime>::insert(BABELBIT, 2);
        run_to(2);
        assert!(events().contains(&Event::EpochSkipped { netuid: BABELBIT, block: 2 }));
        assert_eq!(PendingServerEmission::<Runtime>::get(BABELBIT).0, 410_002_289);
        Uids::<Runtime>::insert(BABELBIT, &hotkey, 0);
        PendingEpochAt::<Runtime>::insert(BABELBIT, 3);
        run_to(3);
        assert_eq!(PendingServerEmission::<Runtime>::get(BABELBIT).0, 0);
    });
}
