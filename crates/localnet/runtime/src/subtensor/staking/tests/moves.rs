//! Tests of moving and destroying stake, and of selling all of it.

use super::*;
use crate::alpha_assets::{AlphaBurned, AlphaRecycled};
use crate::subtensor::{Delegates, NominatorMinRequiredStake, SubtokenEnabled, TransferToggle};
use crate::testing::{jump_to, send_as_root, state_root};

const OTHER: NetUid = NetUid(18);
const UNSTARTED: NetUid = NetUid(19);
const MISSING: NetUid = NetUid(77);

/// Runs a test on the chain of [`with_market`], with trading enabled on a second subnet, and a
/// second hotkey owned by Bob.
fn with_two_markets(test: impl FnOnce(AccountId, AccountId, AccountId)) {
    with_market(|bob, hotkey| {
        let second = key(2);
        Subtensor::own_hotkey(&bob, &second).unwrap();
        SubtokenEnabled::<Runtime>::insert(OTHER, true);
        test(bob, hotkey, second);
    });
}

fn stake(hotkey: &AccountId, coldkey: &AccountId, netuid: NetUid) -> u64 {
    Subtensor::stake_of(hotkey, coldkey, netuid).0
}

fn swap_stake(hotkey: &AccountId, from: NetUid, to: NetUid, alpha: u64) -> Call<Runtime> {
    let (hotkey, alpha_amount) = (hotkey.clone(), AlphaBalance(alpha));
    Call::swap_stake { hotkey, origin_netuid: from, destination_netuid: to, alpha_amount }
}

fn swap_limit(
    hotkey: &AccountId,
    from: NetUid,
    to: NetUid,
    alpha: u64,
    limit: u64,
    partial: bool,
) -> Call<Runtime> {
    Call::swap_stake_limit {
        hotkey: hotkey.clone(),
        origin_netuid: from,
        destination_netuid: to,
        alpha_amount: AlphaBalance(alpha),
        limit_price: TaoBalance(limit),
        allow_partial: partial,
    }
}

fn move_stake(from: (&AccountId, NetUid), to: (&AccountId, NetUid), alpha: u64) -> Call<Runtime> {
    Call::move_stake {
        origin_hotkey: from.0.clone(),
        destination_hotkey: to.0.clone(),
        origin_netuid: from.1,
        destination_netuid: to.1,
        alpha_amount: AlphaBalance(alpha),
    }
}

fn transfer(
    to: &AccountId,
    hotkey: &AccountId,
    from: NetUid,
    netuid: NetUid,
    alpha: u64,
) -> Call<Runtime> {
    Call::transfer_stake {
        destination_coldkey: to.clone(),
        hotkey: hotkey.clone(),
        origin_netuid: from,
        destination_netuid: netuid,
        alpha_amount: AlphaBalance(alpha),
    }
}

fn recycle(hotkey: &AccountId, netuid: NetUid, alpha: u64) -> Call<Runtime> {
    Call::recycle_alpha { hotkey: hotkey.clone(), amount: AlphaBalance(alpha), netuid }
}

fn burn(hotkey: &AccountId, netuid: NetUid, alpha: u64) -> Call<Runtime> {
    Call::burn_alpha { hotkey: hotkey.clone(), amount: AlphaBalance(alpha), netuid }
}

#[test]
fn invalid_move_is_refused_without_changes() {
    with_two_markets(|bob, hotkey, second| {
        let unowned_hotkey = key(9);
        let (eve, full_amount) = (account("Eve"), stake(&hotkey, &bob, BABELBIT));
        let full = |netuid, limit_price: Option<u64>| Call::remove_stake_full_limit {
            hotkey: hotkey.clone(),
            netuid,
            limit_price: limit_price.map(TaoBalance),
        };
        let add_burn = |hotkey: &AccountId, netuid, rao, limit: Option<u64>| Call::add_stake_burn {
            hotkey: hotkey.clone(),
            netuid,
            amount: TaoBalance(rao),
            limit: limit.map(TaoBalance),
        };
        let origin = (&hotkey, BABELBIT);
        TransferToggle::<Runtime>::insert(OTHER, false);
        let cases = [
            (move_stake(origin, origin, full_amount), "SameNetuid"),
            (swap_stake(&hotkey, MISSING, MISSING, 1), "SameNetuid"),
            (swap_stake(&hotkey, MISSING, OTHER, u64::MAX), "SubnetNotExists"),
            (swap_stake(&hotkey, BABELBIT, MISSING, full_amount), "SubnetNotExists"),
            (swap_stake(&hotkey, UNSTARTED, BABELBIT, 1), "SubtokenDisabled"),
            (swap_stake(&hotkey, BABELBIT, UNSTARTED, full_amount), "SubtokenDisabled"),
            (move_stake((&unowned_hotkey, BABELBIT), origin, 0), "HotKeyAccountNotExists"),
            (
                move_stake(origin, (&unowned_hotkey, BABELBIT), full_amount),
                "HotKeyAccountNotExists",
            ),
            (swap_stake(&second, BABELBIT, OTHER, u64::MAX), "AmountTooLow"),
            (swap_stake(&hotkey, BABELBIT, OTHER, 0), "AmountTooLow"),
            (swap_stake(&hotkey, BABELBIT, OTHER, 1), "InsufficientLiquidity"),
            (swap_stake(&hotkey, BABELBIT, OTHER, 10_000_000), "AmountTooLow"),
            (move_stake(origin, (&second, BABELBIT), 0), "AmountTooLow"),
            (move_stake(origin, (&second, BABELBIT), 1), "AmountTooLow"),
            (transfer(&eve, &hotkey, BABELBIT, BABELBIT, 900_000), "AmountTooLow"),
            (
                transfer(&Subtensor::basket_account(), &hotkey, BABELBIT, OTHER, full_amount),
                "CannotUseSystemAccount",
            ),
            (transfer(&eve, &hotkey, BABELBIT, OTHER, full_amount), "TransferDisallowed"),
            (swap_limit(&hotkey, BABELBIT, OTHER, full_amount, 2 * TAO, false), "SlippageTooHigh"),
            (
                swap_limit(&hotkey, BABELBIT, NetUid::ROOT, full_amount, TAO, true),
                "PriceLimitExceeded",
            ),
            (
                swap_limit(&hotkey, NetUid::ROOT, BABELBIT, TAO, 10 * TAO, true),
                "PriceLimitExceeded",
            ),
            (full(MISSING, None), "SubnetNotExists"),
            (full(MISSING, Some(1)), "SubnetNotExists"),
            (full(OTHER, None), "AmountTooLow"),
            (full(BABELBIT, Some(TAO)), "PriceLimitExceeded"),
            (full(BABELBIT, Some(101_900_000)), "SlippageTooHigh"),
            (Call::unstake_all { hotkey: unowned_hotkey.clone() }, "HotKeyAccountNotExists"),
            (Call::unstake_all_alpha { hotkey: unowned_hotkey.clone() }, "HotKeyAccountNotExists"),
            (Call::unstake_all_alpha { hotkey: second.clone() }, "AmountTooLow"),
            (recycle(&hotkey, MISSING, 1), "SubnetNotExists"),
            (recycle(&hotkey, NetUid::ROOT, 1), "CannotBurnOrRecycleOnRootSubnet"),
            (recycle(&hotkey, UNSTARTED, 1), "SubtokenDisabled"),
            (recycle(&unowned_hotkey, BABELBIT, 1), "HotKeyAccountNotExists"),
            (burn(&hotkey, MISSING, 1), "SubnetNotExists"),
            (burn(&hotkey, NetUid::ROOT, 1), "CannotBurnOrRecycleOnRootSubnet"),
            (burn(&hotkey, UNSTARTED, 1), "SubtokenDisabled"),
            (burn(&unowned_hotkey, BABELBIT, 1), "HotKeyAccountNotExists"),
            (add_burn(&hotkey, MISSING, TAO, None), "SubnetNotExists"),
            (add_burn(&hotkey, BABELBIT, 0, None), "AmountTooLow"),
            (add_burn(&hotkey, BABELBIT, u64::MAX, None), "InsufficientLiquidity"),
            (add_burn(&unowned_hotkey, BABELBIT, TAO, None), "HotKeyAccountNotExists"),
            (add_burn(&hotkey, BABELBIT, TAO, Some(1)), "PriceLimitExceeded"),
            (add_burn(&hotkey, NetUid::ROOT, TAO, None), "CannotBurnOrRecycleOnRootSubnet"),
        ];
        for (number, (call, expected)) in cases.into_iter().enumerate() {
            let before = state_root();
            assert_eq!(outcome(send(&bob, call.clone())), expected, "case {number}");
            assert!(state_root() == before, "case {number} changed the state");
            // These calls check the subnet before the origin.
            let is_early =
                matches!(call, Call::remove_stake_full_limit { .. } | Call::add_stake_burn { .. })
                    && expected == "SubnetNotExists";
            let unsigned = sp_runtime::traits::Dispatchable::dispatch(
                crate::runtime::RuntimeCall::from(call),
                crate::runtime::RuntimeOrigin::none(),
            );
            let unsigned_result = outcome(unsigned.map(|_| ()).map_err(|failure| failure.error));
            assert_eq!(
                unsigned_result,
                if is_early { expected } else { "BadOrigin" },
                "case {number}"
            );
        }
    });
}

#[test]
fn stake_moves_within_a_subnet_without_a_trade() {
    with_two_markets(|bob, hotkey, second| {
        let (full_amount, pool) = (stake(&hotkey, &bob, BABELBIT), Subtensor::pool_of(BABELBIT));
        jump_to(9);
        send(&bob, move_stake((&hotkey, BABELBIT), (&second, BABELBIT), full_amount)).unwrap();
        assert_eq!(
            (stake(&hotkey, &bob, BABELBIT), stake(&second, &bob, BABELBIT)),
            (0, full_amount)
        );
        assert_eq!(Subtensor::pool_of(BABELBIT), pool);
        assert_eq!(LastColdkeyHotkeyStakeBlock::<Runtime>::get(&bob, &second), Some(9));
        let value = TaoBalance(
            Subtensor::alpha_price(BABELBIT).saturating_mul(full_amount.into()).to_num(),
        );
        let event =
            Event::StakeMoved(bob.clone(), hotkey, BABELBIT, second.clone(), BABELBIT, value);
        assert_eq!(last_event(), event);

        // An amount above the stake is treated as the entire stake.
        let eve = account("Eve");
        send(&bob, transfer(&eve, &second, BABELBIT, BABELBIT, u64::MAX)).unwrap();
        assert_eq!(
            (stake(&second, &bob, BABELBIT), stake(&second, &eve, BABELBIT)),
            (0, full_amount)
        );
        assert_eq!(
            last_event(),
            Event::StakeTransferred(bob, eve, second, BABELBIT, BABELBIT, value)
        );
    });
}

#[test]
fn transfers_and_moves_within_a_subnet_have_no_minimum() {
    with_two_markets(|bob, hotkey, second| {
        let eve = account("Eve");
        // Worth 0.0002 TAO, a tenth of the minimum of a swap.
        let small = 2_000_000;
        for call in [
            transfer(&eve, &hotkey, BABELBIT, BABELBIT, small),
            transfer(&eve, &hotkey, BABELBIT, OTHER, small),
            move_stake((&hotkey, BABELBIT), (&second, BABELBIT), small),
        ] {
            assert_eq!(outcome(send(&bob, call)), "ok");
        }
        assert!(stake(&hotkey, &eve, OTHER) > 0);
        assert_eq!(
            outcome(send(&bob, swap_stake(&hotkey, BABELBIT, OTHER, small))),
            "AmountTooLow"
        );
        // One alpha is worth one TAO on root. Between subnets, the value must exceed the minimum.
        for (call, expected) in [
            (move_stake((&hotkey, NetUid::ROOT), (&second, NetUid::ROOT), 99_999), "AmountTooLow"),
            (move_stake((&hotkey, NetUid::ROOT), (&second, NetUid::ROOT), 100_000), "ok"),
            (transfer(&eve, &hotkey, NetUid::ROOT, OTHER, 100_000), "AmountTooLow"),
            (transfer(&eve, &hotkey, NetUid::ROOT, OTHER, 100_001), "ok"),
            (swap_stake(&hotkey, NetUid::ROOT, OTHER, 2_000_000), "AmountTooLow"),
            (swap_stake(&hotkey, NetUid::ROOT, OTHER, 2_000_001), "ok"),
        ] {
            assert_eq!(outcome(send(&bob, call.clone())), expected, "{call:?}");
        }
    });
}

#[test]
fn stake_moved_between_subnets_pays_one_fee() {
    with_two_markets(|bob, hotkey, _| {
        let full_stake = stake(&hotkey, &bob, BABELBIT);
        let (first, second, issued) =
            (Subtensor::pool_of(BABELBIT), Subtensor::pool_of(OTHER), total_tao());
        let (before, author_balance) = (balance(&bob), balance(&account("One")));
        send(&bob, swap_stake(&hotkey, BABELBIT, OTHER, full_stake)).unwrap();
        let fee = full_stake * 33 / 65_535;
        let tao = first.sell(AlphaBalance(full_stake - fee));
        assert_eq!(stake(&hotkey, &bob, BABELBIT), 0);
        assert_eq!(stake(&hotkey, &bob, OTHER), second.buy(tao).0);
        assert_eq!((balance(&bob), total_tao()), (before, issued));
        assert!(balance(&account("One")) > author_balance);
        assert_eq!(
            last_event(),
            Event::StakeSwapped(bob.clone(), hotkey.clone(), BABELBIT, OTHER, tao)
        );

        // A move from root pays the fee when buying alpha.
        let pool = Subtensor::pool_of(OTHER);
        let initial_stake = stake(&hotkey, &bob, OTHER);
        send(&bob, swap_stake(&hotkey, NetUid::ROOT, OTHER, 4 * TAO)).unwrap();
        let bought = pool.buy(TaoBalance(4 * TAO - 4 * TAO * 33 / 65_535)).0;
        assert!(stake(&hotkey, &bob, OTHER).abs_diff(initial_stake + bought) <= 1);
        assert_eq!(stake(&hotkey, &bob, NetUid::ROOT), 6 * TAO);
    });
}

#[test]
fn stake_transfer_creates_the_recipient_account() {
    with_two_markets(|bob, hotkey, _| {
        let (new, full_amount) = (key(40), stake(&hotkey, &bob, BABELBIT));
        send(&bob, transfer(&new, &hotkey, BABELBIT, OTHER, full_amount)).unwrap();
        assert_eq!(balance(&new), 500);
        assert!(stake(&hotkey, &new, OTHER) > 0);
        assert!(
            Delegates::<Runtime>::contains_key(&hotkey),
            "a hotkey with nominators is a delegate"
        );
        let call = Call::transfer_stake_and_hotkey {
            destination_coldkey: bob.clone(),
            origin_hotkey: hotkey.clone(),
            destination_hotkey: key(2),
            origin_netuid: OTHER,
            destination_netuid: BABELBIT,
            alpha_amount: AlphaBalance(u64::MAX),
        };
        send(&new, call).unwrap();
        assert_eq!(stake(&hotkey, &new, OTHER), 0);
        assert!(stake(&key(2), &bob, BABELBIT) > 0);
        assert!(matches!(
            last_event(),
            Event::StakeAndHotkeyTransferred { destination_netuid: BABELBIT, .. }
        ));
    });
}

#[test]
fn move_with_limit_price_is_partial() {
    with_two_markets(|bob, hotkey, second| {
        let full_stake = stake(&hotkey, &bob, BABELBIT);
        // The prices are 0.102 and 0.1: their ratio falls as alpha moves.
        let ratio = 1_010_000_000;
        assert_eq!(
            outcome(send(&bob, swap_limit(&hotkey, BABELBIT, OTHER, full_stake, ratio, false))),
            "SlippageTooHigh"
        );
        send(&bob, swap_limit(&hotkey, BABELBIT, OTHER, full_stake, ratio, true)).unwrap();
        let remaining = stake(&hotkey, &bob, BABELBIT);
        assert!(remaining > 0 && remaining < full_stake, "{remaining} of {full_stake}");
        let call = Call::move_stake_limit {
            origin_hotkey: hotkey.clone(),
            destination_hotkey: second.clone(),
            origin_netuid: BABELBIT,
            destination_netuid: OTHER,
            alpha_amount: AlphaBalance(remaining),
            limit_price: TaoBalance(900_000_000),
            allow_partial: false,
        };
        send(&bob, call).unwrap();
        assert_eq!(stake(&hotkey, &bob, BABELBIT), 0);
        assert!(matches!(last_event(), Event::StakeMoved(_, _, BABELBIT, _, OTHER, _)));
        assert!(stake(&second, &bob, OTHER) > 0);
    });
}

#[test]
fn all_stake_of_a_hotkey_is_sold_at_once() {
    with_two_markets(|bob, hotkey, _| {
        send(&bob, add(&hotkey, OTHER, 5 * TAO)).unwrap();
        let (before, issued) = (balance(&bob), total_tao());
        send(&bob, Call::unstake_all_alpha { hotkey: hotkey.clone() }).unwrap();
        assert_eq!((stake(&hotkey, &bob, BABELBIT), stake(&hotkey, &bob, OTHER)), (0, 0));
        let root = stake(&hotkey, &bob, NetUid::ROOT);
        // 25 TAO minus the fees.
        assert!((24_980_000_000..25_000_000_000).contains(&root), "{root}");
        assert_eq!(balance(&bob), before);
        send(&bob, add(&hotkey, OTHER, 5 * TAO)).unwrap();
        send(&bob, Call::unstake_all { hotkey: hotkey.clone() }).unwrap();
        assert_eq!((stake(&hotkey, &bob, OTHER), stake(&hotkey, &bob, NetUid::ROOT)), (0, 0));
        assert_eq!(total_tao(), issued);
        // Selling without stake is not an error.
        send(&bob, Call::unstake_all { hotkey: hotkey.clone() }).unwrap();

        send(&bob, add(&hotkey, OTHER, 5 * TAO)).unwrap();
        let full = Call::remove_stake_full_limit {
            hotkey: hotkey.clone(),
            netuid: OTHER,
            limit_price: None,
        };
        send(&bob, full).unwrap();
        assert_eq!(stake(&hotkey, &bob, OTHER), 0);
    });
}

#[test]
fn recycled_alpha_leaves_the_issuance_and_burned_alpha_does_not() {
    with_two_markets(|bob, hotkey, _| {
        let (full_amount, issued) =
            (stake(&hotkey, &bob, BABELBIT), Subtensor::alpha_issuance(BABELBIT).0);
        let recycled = AlphaRecycled::<Runtime>::get(BABELBIT).0;
        send(&bob, burn(&hotkey, BABELBIT, full_amount / 4)).unwrap();
        assert_eq!(
            last_event(),
            Event::AlphaBurned(
                bob.clone(),
                hotkey.clone(),
                AlphaBalance(full_amount / 4),
                BABELBIT
            )
        );
        assert_eq!(Subtensor::alpha_issuance(BABELBIT).0, issued);
        let remaining_stake = stake(&hotkey, &bob, BABELBIT);
        assert_eq!(remaining_stake, full_amount - full_amount / 4);
        send(&bob, recycle(&hotkey, BABELBIT, u64::MAX)).unwrap();
        assert_eq!(
            last_event(),
            Event::AlphaRecycled(
                bob.clone(),
                hotkey.clone(),
                AlphaBalance(remaining_stake),
                BABELBIT
            )
        );
        assert_eq!(Subtensor::alpha_issuance(BABELBIT).0, issued - remaining_stake);
        assert_eq!(AlphaBurned::<Runtime>::get(BABELBIT).0, full_amount / 4);
        assert_eq!(AlphaRecycled::<Runtime>::get(BABELBIT).0, recycled + remaining_stake);

        let before = (balance(&bob), stake(&hotkey, &bob, BABELBIT));
        let call = Call::add_stake_burn {
            hotkey: hotkey.clone(),
            netuid: BABELBIT,
            amount: TaoBalance(TAO),
            limit: None,
        };
        send(&bob, call).unwrap();
        assert_eq!((balance(&bob), stake(&hotkey, &bob, BABELBIT)), (before.0 - TAO, before.1));
        assert!(matches!(last_event(), Event::AddStakeBurn { amount: TaoBalance(TAO), .. }));
    });
}

#[test]
fn small_nominations_are_paid_out() {
    with_market(|bob, hotkey| {
        let eve = account("Eve");
        send(&eve, add(&hotkey, BABELBIT, TAO)).unwrap();
        NominatorMinRequiredStake::<Runtime>::put(TAO / 2);
        let full_stake = stake(&hotkey, &eve, BABELBIT);
        send(&eve, remove(&hotkey, BABELBIT, full_stake / 4)).unwrap();
        assert!(stake(&hotkey, &eve, BABELBIT) > 0);
        send(&eve, remove(&hotkey, BABELBIT, full_stake / 2)).unwrap();
        assert_eq!(stake(&hotkey, &eve, BABELBIT), 0);
        // The minimum does not apply to the owner of the hotkey.
        let own = stake(&hotkey, &bob, BABELBIT);
        send(&bob, remove(&hotkey, BABELBIT, own - 30_000_000)).unwrap();
        assert_eq!(stake(&hotkey, &bob, BABELBIT), 30_000_000);
    });
}

#[test]
fn raised_nominator_minimum_pays_out_small_nominations() {
    with_market(|bob, hotkey| {
        let (eve, dave) = (account("Eve"), account("Dave"));
        send(&eve, add(&hotkey, BABELBIT, TAO / 4)).unwrap();
        send(&dave, add(&hotkey, BABELBIT, TAO)).unwrap();
        let (free, own) = (balance(&eve), stake(&hotkey, &bob, BABELBIT));
        let set = |min_stake| {
            send_as_root(
                crate::admin_utils::Call::<Runtime>::sudo_set_nominator_min_required_stake {
                    min_stake,
                },
            )
        };
        // The default is 0. An equal minimum clears nothing.
        set(0).unwrap();
        assert!(stake(&hotkey, &eve, BABELBIT) > 0);
        set(TAO / 2).unwrap();
        assert_eq!(stake(&hotkey, &eve, BABELBIT), 0);
        assert!(balance(&eve) > free);
        assert!(stake(&hotkey, &dave, BABELBIT) > 0);
        assert_eq!(stake(&hotkey, &bob, BABELBIT), own);
    });
}
