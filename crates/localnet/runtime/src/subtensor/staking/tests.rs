mod amounts;
mod balance;
mod moves;

use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::{
    Call, StakingHotkeys, SubnetAlphaIn, SubnetAlphaOut, SubnetTAO, SubnetVolume, TotalStake,
};
use crate::swap::{self, FeeRate, Pool};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, balance, key, last_event, outcome, send,
    total_tao,
};

const TAO: u64 = 1_000_000_000;

/// Runs a test on a chain where Bob has a hotkey, with 10 TAO staked on it in the subnet and on
/// root.
fn with_market(test: impl FnOnce(AccountId, AccountId)) {
    at_first_block(|| {
        let (bob, hotkey) = (account("Bob"), key(1));
        Subtensor::own_hotkey(&bob, &hotkey).unwrap();
        for netuid in [BABELBIT, NetUid::ROOT] {
            send(&bob, add(&hotkey, netuid, 10 * TAO)).unwrap();
        }
        test(bob, hotkey);
    });
}

fn add(hotkey: &AccountId, netuid: NetUid, rao: u64) -> Call<Runtime> {
    Call::add_stake { hotkey: hotkey.clone(), netuid, amount_staked: TaoBalance(rao) }
}

fn add_limit(
    hotkey: &AccountId,
    netuid: NetUid,
    rao: u64,
    limit: u64,
    allow_partial: bool,
) -> Call<Runtime> {
    Call::add_stake_limit {
        hotkey: hotkey.clone(),
        netuid,
        amount_staked: TaoBalance(rao),
        limit_price: TaoBalance(limit),
        allow_partial,
    }
}

fn remove(hotkey: &AccountId, netuid: NetUid, alpha: u64) -> Call<Runtime> {
    Call::remove_stake { hotkey: hotkey.clone(), netuid, amount_unstaked: AlphaBalance(alpha) }
}

fn remove_limit(
    hotkey: &AccountId,
    netuid: NetUid,
    alpha: u64,
    limit: u64,
    allow_partial: bool,
) -> Call<Runtime> {
    Call::remove_stake_limit {
        hotkey: hotkey.clone(),
        netuid,
        amount_unstaked: AlphaBalance(alpha),
        limit_price: TaoBalance(limit),
        allow_partial,
    }
}

#[test]
fn invalid_stake_is_refused() {
    with_market(|bob, hotkey| {
        let poor = key(77);
        Subtensor::credit(&poor, TAO);
        let unowned_hotkey = key(2);
        let unstarted_netuid = NetUid(1);
        let missing_netuid = NetUid(77);
        let stake = Subtensor::stake_of(&hotkey, &bob, BABELBIT).0;
        let reserve = SubnetTAO::<Runtime>::get(BABELBIT).0;
        let alpha_reserve = SubnetAlphaIn::<Runtime>::get(BABELBIT).0;
        let rich = key(78);
        Subtensor::credit(&rich, 1_001 * reserve);
        let large_holder = key(79);
        Subtensor::increase_stake(
            &hotkey,
            &large_holder,
            BABELBIT,
            AlphaBalance(1_001 * alpha_reserve),
        );
        let cases = [
            (&bob, add(&hotkey, missing_netuid, TAO), "SubnetNotExists"),
            (&bob, add(&unowned_hotkey, missing_netuid, 1), "SubnetNotExists"),
            (&bob, add(&hotkey, unstarted_netuid, TAO), "SubtokenDisabled"),
            (&bob, add(&unowned_hotkey, unstarted_netuid, 1), "SubtokenDisabled"),
            (&bob, add(&hotkey, BABELBIT, 2_001_006), "AmountTooLow"),
            (&bob, add(&unowned_hotkey, BABELBIT, 0), "AmountTooLow"),
            (&bob, add(&hotkey, NetUid::ROOT, 1_999_999), "AmountTooLow"),
            (&bob, add(&unowned_hotkey, BABELBIT, TAO), "HotKeyAccountNotExists"),
            (&poor, add(&unowned_hotkey, BABELBIT, 2 * TAO), "NotEnoughBalanceToStake"),
            (&poor, add(&hotkey, BABELBIT, TAO), "NotEnoughBalanceToStake"),
            (&poor, add(&hotkey, BABELBIT, TAO - 499), "NotEnoughBalanceToStake"),
            (&poor, add_limit(&hotkey, BABELBIT, 2 * TAO, 1, false), "PriceLimitExceeded"),
            (&bob, add_limit(&hotkey, BABELBIT, TAO, 100_000_000, false), "PriceLimitExceeded"),
            (&bob, add_limit(&hotkey, BABELBIT, TAO, 100_000_000, true), "PriceLimitExceeded"),
            (&bob, add_limit(&hotkey, BABELBIT, 100 * TAO, 110_000_000, false), "SlippageTooHigh"),
            (&bob, add_limit(&hotkey, NetUid::ROOT, TAO, TAO - 1, true), "AmountTooLow"),
            (&bob, add_limit(&hotkey, NetUid::ROOT, TAO, TAO - 1, false), "SlippageTooHigh"),
            (&bob, add(&hotkey, BABELBIT, u64::MAX), "InsufficientLiquidity"),
            (&rich, add(&hotkey, BABELBIT, 1_000 * reserve + 1), "InsufficientLiquidity"),
            (&bob, remove(&hotkey, missing_netuid, 1), "SubtokenDisabled"),
            (&bob, remove_limit(&hotkey, missing_netuid, 1, TAO, true), "SubnetNotExists"),
            (&bob, remove(&unowned_hotkey, BABELBIT, 0), "AmountTooLow"),
            (&bob, remove(&unowned_hotkey, BABELBIT, 1), "AmountTooLow"),
            (&bob, remove_limit(&hotkey, BABELBIT, stake + 1, 1, true), "NotEnoughStakeToWithdraw"),
            (&poor, remove(&hotkey, BABELBIT, 1), "AmountTooLow"),
            (&bob, remove_limit(&hotkey, BABELBIT, stake, TAO, true), "PriceLimitExceeded"),
            (&bob, remove_limit(&hotkey, BABELBIT, stake, 101_900_000, false), "SlippageTooHigh"),
            (&bob, remove_limit(&hotkey, NetUid::ROOT, TAO, TAO + 1, false), "SlippageTooHigh"),
            (&bob, remove_limit(&hotkey, BABELBIT, u64::MAX, 1, false), "InsufficientLiquidity"),
            (
                &large_holder,
                remove(&hotkey, BABELBIT, 1_000 * alpha_reserve + 1),
                "InsufficientLiquidity",
            ),
            (&bob, remove(&hotkey, BABELBIT, 1), "InsufficientLiquidity"),
            (&bob, remove(&hotkey, BABELBIT, 10_000_000), "AmountTooLow"),
            (&bob, remove(&hotkey, NetUid::ROOT, 1_999_999), "AmountTooLow"),
        ];
        for (number, (who, call, expected)) in cases.into_iter().enumerate() {
            assert_eq!(outcome(send(who, call)), expected, "case {number}");
        }
    });
}

#[test]
fn staking_buys_from_the_pool_and_pays_the_author() {
    at_first_block(|| {
        let (bob, author, hotkey) = (account("Bob"), account("One"), key(1));
        Subtensor::own_hotkey(&account("Charlie"), &hotkey).unwrap();
        let (before, author_balance, issued) = (balance(&bob), balance(&author), total_tao());
        let (tao, alpha) =
            (SubnetTAO::<Runtime>::get(BABELBIT).0, SubnetAlphaIn::<Runtime>::get(BABELBIT).0);
        let out = SubnetAlphaOut::<Runtime>::get(BABELBIT).0;
        let volume = SubnetVolume::<Runtime>::get(BABELBIT);

        send(&bob, add(&hotkey, BABELBIT, 100 * TAO)).unwrap();

        // 33 / 65 535 of 100 TAO
        let fee = 50_354_772;
        let bought = (u128::from(alpha) * u128::from(100 * TAO - fee)
            / u128::from(tao + 100 * TAO - fee)) as u64;
        assert_eq!(balance(&bob), before - 100 * TAO);
        assert_eq!(balance(&author), author_balance + fee);
        assert_eq!(SubnetTAO::<Runtime>::get(BABELBIT).0, tao + 100 * TAO - fee);
        assert_eq!(SubnetAlphaIn::<Runtime>::get(BABELBIT).0, alpha - bought);
        assert_eq!(SubnetAlphaOut::<Runtime>::get(BABELBIT).0, out + bought);
        assert_eq!(SubnetVolume::<Runtime>::get(BABELBIT), volume + u128::from(100 * TAO));
        assert_eq!(Subtensor::stake_of(&hotkey, &bob, BABELBIT).0, bought);
        assert_eq!(StakingHotkeys::<Runtime>::get(&bob), std::slice::from_ref(&hotkey));
        assert_eq!(LastColdkeyHotkeyStakeBlock::<Runtime>::get(&bob, &hotkey), Some(1));
        assert_eq!(total_tao(), issued);
        let event = Event::StakeAdded(
            bob,
            hotkey,
            TaoBalance(100 * TAO),
            AlphaBalance(bought),
            BABELBIT,
            fee,
        );
        assert_eq!(last_event(), event);
    });
}

#[test]
fn unstaking_sells_to_the_pool_and_pays_the_author() {
    with_market(|bob, hotkey| {
        let author = account("One");
        let stake = Subtensor::stake_of(&hotkey, &bob, BABELBIT).0;
        let (before, issued, alpha) =
            (balance(&bob), total_tao(), Subtensor::alpha_issuance(BABELBIT));
        let pool = Subtensor::pool_of(BABELBIT);
        let author_balance = balance(&author);

        send(&bob, remove(&hotkey, BABELBIT, stake)).unwrap();

        let fee = stake * 33 / 65_535;
        let received = pool.sell(AlphaBalance(stake - fee));
        assert_eq!(balance(&bob), before + received.0);
        assert_eq!(Subtensor::stake_of(&hotkey, &bob, BABELBIT), AlphaBalance(0));
        // The author's fee is sold after the stake, at the resulting price.
        let pool_after_sale = Pool {
            tao: pool.tao.saturating_sub(received),
            alpha: AlphaBalance(pool.alpha.0 + stake - fee),
            ..pool
        };
        assert_eq!(balance(&author), author_balance + pool_after_sale.sell(AlphaBalance(fee)).0);
        assert_eq!((total_tao(), Subtensor::alpha_issuance(BABELBIT)), (issued, alpha));
        let event =
            Event::StakeRemoved(bob, hotkey, received, AlphaBalance(stake - fee), BABELBIT, fee);
        assert_eq!(last_event(), event);
    });
}

#[test]
fn root_stakes_tao_without_conversion() {
    with_market(|bob, hotkey| {
        let before = balance(&bob);
        assert_eq!(Subtensor::stake_of(&hotkey, &bob, NetUid::ROOT), AlphaBalance(10 * TAO));
        assert_eq!(SubnetTAO::<Runtime>::get(NetUid::ROOT), TaoBalance(10 * TAO));
        send(&bob, remove_limit(&hotkey, NetUid::ROOT, 4 * TAO, TAO, false)).unwrap();
        assert_eq!(balance(&bob), before + 4 * TAO);
        assert_eq!(Subtensor::stake_of(&hotkey, &bob, NetUid::ROOT), AlphaBalance(6 * TAO));
        let event = Event::StakeRemoved(
            bob,
            hotkey,
            TaoBalance(4 * TAO),
            AlphaBalance(4 * TAO),
            NetUid::ROOT,
            0,
        );
        assert_eq!(last_event(), event);
    });
}

#[test]
fn partial_trade_stops_at_the_limit_price() {
    with_market(|bob, hotkey| {
        let before = balance(&bob);
        send(&bob, add_limit(&hotkey, BABELBIT, 500 * TAO, 110_000_000, true)).unwrap();
        let spent = before - balance(&bob);
        assert!(spent > 30 * TAO && spent < 50 * TAO, "{spent}");
        let price = (Subtensor::alpha_price(BABELBIT).to_num::<f64>() * 1e9).round();
        assert_eq!(price as u64, 110_000_000);

        let stake = Subtensor::stake_of(&hotkey, &bob, BABELBIT).0;
        send(&bob, remove_limit(&hotkey, BABELBIT, stake, 105_000_000, true)).unwrap();
        assert!(Subtensor::stake_of(&hotkey, &bob, BABELBIT).0 > 0);
        let price = (Subtensor::alpha_price(BABELBIT).to_num::<f64>() * 1e9).round();
        // The author's fee is sold after the stake, so the price ends slightly below the limit.
        assert!((104_990_000..105_000_000).contains(&(price as u64)), "{price}");
    });
}

#[test]
fn unreached_price_limit_allows_the_complete_trade() {
    with_market(|bob, hotkey| {
        send(&bob, add_limit(&hotkey, BABELBIT, TAO, 110_000_000, false)).unwrap();
        send(&bob, remove_limit(&hotkey, BABELBIT, TAO, 90_000_000, false)).unwrap();
        send(&bob, add_limit(&hotkey, NetUid::ROOT, TAO, TAO, false)).unwrap();
    });
}

#[test]
fn root_sets_the_fee_of_a_subnet() {
    use crate::runtime::{RuntimeCall, RuntimeOrigin};
    use sp_runtime::traits::Dispatchable;
    at_first_block(|| {
        let owner = crate::subtensor::SubnetOwner::<Runtime>::get(BABELBIT);
        let call = |netuid, rate| RuntimeCall::from(swap::Call::set_fee_rate { netuid, rate });
        let as_root = |netuid, rate| {
            call(netuid, rate)
                .dispatch(RuntimeOrigin::root())
                .map(|_| ())
                .map_err(|failure| failure.error)
        };
        assert_eq!(outcome(send(&owner, call(BABELBIT, 1))), "BadOrigin");
        assert_eq!(outcome(as_root(NetUid(77), 10_001)), "MechanismDoesNotExist");
        assert_eq!(outcome(as_root(BABELBIT, 10_001)), "FeeRateTooHigh");
        assert_eq!(outcome(as_root(BABELBIT, 10_000)), "ok");
        assert_eq!(FeeRate::<Runtime>::get(BABELBIT), 10_000);
        assert_eq!(outcome(as_root(BABELBIT, 0)), "ok");
        assert_eq!(swap::Pallet::<Runtime>::fee(BABELBIT, u64::MAX), 0);
    });
}
