use super::*;
use crate::runtime::Runtime;
use crate::subtensor::{
    Call, SubnetAlphaIn, SubnetAlphaOut, SubnetEmaTaoFlow, SubnetExcessTao, SubnetProtocolAlpha,
    SubnetTAO,
};
use crate::testing::{BABELBIT, Subtensor, account, at_first_block, attempt, key, run_to};
use crate::types::AlphaBalance;

const TAO: u64 = 1_000_000_000;

/// Returns the TAO in the pool of a subnet, in rao.
fn pool(netuid: NetUid) -> i64 {
    i64::try_from(SubnetTAO::<Runtime>::get(netuid).0).unwrap()
}

#[test]
fn account_trades_are_recorded_as_flows() {
    at_first_block(|| {
        let (bob, hotkey) = (account("Bob"), key(1));
        Subtensor::own_hotkey(&bob, &hotkey).unwrap();
        let stake = |netuid| Call::<Runtime>::add_stake {
            hotkey: key(1),
            netuid,
            amount_staked: TaoBalance(10 * TAO),
        };
        let unstake = || Call::<Runtime>::remove_stake {
            hotkey: key(1),
            netuid: BABELBIT,
            amount_unstaked: Subtensor::stake_of(&key(1), &bob, BABELBIT),
        };
        let calls: [(NetUid, Call<Runtime>); 3] = [
            (BABELBIT, stake(BABELBIT)),
            (NetUid::ROOT, stake(NetUid::ROOT)),
            (BABELBIT, Call::burned_register { netuid: BABELBIT, hotkey: key(2) }),
        ];
        for (netuid, call) in calls {
            let (before, flow) = (pool(netuid), SubnetTaoFlow::<Runtime>::get(netuid));
            assert_eq!(attempt(&bob, call.clone()), "ok");
            assert!(pool(netuid) > before, "{call:?}");
            assert_eq!(
                SubnetTaoFlow::<Runtime>::get(netuid) - flow,
                pool(netuid) - before,
                "{call:?}"
            );
        }
        // The author's part of the fee leaves the pool, too.
        let (before, flow) = (pool(BABELBIT), SubnetTaoFlow::<Runtime>::get(BABELBIT));
        assert_eq!(attempt(&bob, unstake()), "ok");
        assert!(pool(BABELBIT) < before);
        assert_eq!(SubnetTaoFlow::<Runtime>::get(BABELBIT) - flow, pool(BABELBIT) - before);
    });
}

#[test]
fn emission_is_a_protocol_flow_and_its_excess_buys_alpha() {
    at_first_block(|| {
        let issued = Subtensor::alpha_issuance(BABELBIT).0;
        let (alpha, average) =
            (SubnetAlphaIn::<Runtime>::get(BABELBIT).0, SubnetEmaTaoFlow::<Runtime>::get(BABELBIT));
        run_to(3);
        // Root has no stake, so that no alpha may be added to the pool: all TAO of two blocks
        // bought alpha.
        assert_eq!(SubnetProtocolFlow::<Runtime>::get(BABELBIT), 2_000_000_000);
        assert_eq!(SubnetExcessTao::<Runtime>::get(BABELBIT).0, TAO);
        let bought = SubnetProtocolAlpha::<Runtime>::get(BABELBIT).0;
        assert!(bought > 0);
        assert_eq!(SubnetAlphaIn::<Runtime>::get(BABELBIT).0, alpha - bought);
        assert_eq!(
            Subtensor::alpha_issuance(BABELBIT).0,
            issued + 2 * TAO,
            "bought alpha stays issued"
        );
        assert!(!SubnetTaoFlow::<Runtime>::contains_key(BABELBIT));
        assert_eq!(SubnetEmaTaoFlow::<Runtime>::get(BABELBIT), average, "flows are not averaged");
    });
}

#[test]
fn sold_root_dividends_are_a_negative_protocol_flow() {
    at_first_block(|| {
        let (dave, hotkey) = (account("Dave"), key(1));
        Subtensor::own_hotkey(&dave, &hotkey).unwrap();
        Subtensor::append_neuron(NetUid::ROOT, &hotkey);
        let (netuid, amount_staked) = (NetUid::ROOT, TaoBalance(100 * TAO));
        let stake = Call::<Runtime>::add_stake { hotkey: hotkey.clone(), netuid, amount_staked };
        assert_eq!(attempt(&dave, stake), "ok");
        let (alpha, before) = (AlphaBalance(10 * TAO), pool(BABELBIT));
        SubnetAlphaOut::<Runtime>::mutate(BABELBIT, |out| *out = out.saturating_add(alpha));
        Subtensor::fill_basket_with_dividends(&hotkey, BABELBIT, alpha);
        assert!(pool(BABELBIT) < before);
        assert_eq!(SubnetProtocolFlow::<Runtime>::get(BABELBIT), pool(BABELBIT) - before);
    });
}

#[test]
fn subnet_flows_saturate() {
    at_first_block(|| {
        SubnetTaoFlow::<Runtime>::insert(BABELBIT, 1_i64);
        Subtensor::record_tao_inflow(BABELBIT, TaoBalance(u64::MAX));
        assert_eq!(SubnetTaoFlow::<Runtime>::get(BABELBIT), i64::MAX);
        Subtensor::record_protocol_outflow(BABELBIT, TaoBalance(u64::MAX));
        assert_eq!(SubnetProtocolFlow::<Runtime>::get(BABELBIT), i64::MIN);
    });
}
