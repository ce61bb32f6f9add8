//! Calls with the amounts 0, 1 and the largest number, where all other arguments are valid.

use frame_support::storage::{TransactionOutcome, with_transaction};
use sp_runtime::{MultiAddress, PerU16};

use super::*;
use crate::crowdloan;
use crate::runtime::RuntimeCall;
use crate::subtensor::{Burn, SubnetOwnerHotkey, SubtokenEnabled, WeightsVersionKey};
use crate::testing::attempt;

/// A call, a function that fills in the amount, and the outcomes with the amounts 0, 1 and
/// `u64::MAX`.
type Row = (&'static str, fn(u64) -> RuntimeCall, [&'static str; 3]);

/// A second subnet with trading.
const OTHER: NetUid = NetUid(18);
/// Version that the weights of Babelbit must have.
const VERSION: u64 = 5;

const TOO_LOW: &str = "AmountTooLow";
const ILLIQUID: &str = "InsufficientLiquidity";

/// Transfers and stake, signed by Bob.
const AMOUNTS: &[Row] = &[
    (
        "transfer_allow_death",
        |rao| {
            balances_call(pallet_balances::Call::transfer_allow_death {
                dest: address("Eve"),
                value: rao,
            })
        },
        ["ok", "ok", "Arithmetic(Underflow)"],
    ),
    (
        "transfer_keep_alive",
        |rao| {
            balances_call(pallet_balances::Call::transfer_keep_alive {
                dest: address("Eve"),
                value: rao,
            })
        },
        ["ok", "ok", "Arithmetic(Underflow)"],
    ),
    (
        "transfer_keep_alive to a new account",
        |rao| {
            balances_call(pallet_balances::Call::transfer_keep_alive {
                dest: MultiAddress::Id(key(9)),
                value: rao,
            })
        },
        ["ok", "Token(BelowMinimum)", "Arithmetic(Underflow)"],
    ),
    ("add_stake", |rao| subtensor_call(add(&key(1), BABELBIT, rao)), [TOO_LOW, TOO_LOW, ILLIQUID]),
    (
        "add_stake on root",
        |rao| subtensor_call(add(&key(1), NetUid::ROOT, rao)),
        [TOO_LOW, TOO_LOW, "NotEnoughBalanceToStake"],
    ),
    (
        "add_stake_limit",
        |rao| subtensor_call(add_limit(&key(1), BABELBIT, rao, TAO, false)),
        [TOO_LOW, TOO_LOW, ILLIQUID],
    ),
    // At most the complete stake is removed or moved.
    (
        "remove_stake",
        |alpha| subtensor_call(remove(&key(1), BABELBIT, alpha)),
        [TOO_LOW, ILLIQUID, "ok"],
    ),
    (
        "remove_stake on root",
        |alpha| subtensor_call(remove(&key(1), NetUid::ROOT, alpha)),
        [TOO_LOW, TOO_LOW, "ok"],
    ),
    (
        "remove_stake_limit",
        |alpha| subtensor_call(remove_limit(&key(1), BABELBIT, alpha, 1, false)),
        [TOO_LOW, ILLIQUID, ILLIQUID],
    ),
    (
        "move_stake to a hotkey",
        |alpha| subtensor_call(move_stake(BABELBIT, alpha)),
        [TOO_LOW, TOO_LOW, "ok"],
    ),
    (
        "move_stake to a subnet",
        |alpha| subtensor_call(move_stake(OTHER, alpha)),
        [TOO_LOW, ILLIQUID, "ok"],
    ),
    (
        "swap_stake",
        |alpha| subtensor_call(swap_stake(BABELBIT, OTHER, alpha)),
        [TOO_LOW, ILLIQUID, "ok"],
    ),
    (
        "swap_stake to root",
        |alpha| subtensor_call(swap_stake(BABELBIT, NetUid::ROOT, alpha)),
        [TOO_LOW, ILLIQUID, "ok"],
    ),
    (
        "swap_stake from root",
        |alpha| subtensor_call(swap_stake(NetUid::ROOT, BABELBIT, alpha)),
        [TOO_LOW, TOO_LOW, "ok"],
    ),
    (
        "swap_stake_limit",
        |alpha| subtensor_call(swap_stake_limit(alpha)),
        [TOO_LOW, ILLIQUID, "ok"],
    ),
    (
        "transfer_stake",
        |alpha| subtensor_call(transfer_stake(BABELBIT, alpha)),
        [TOO_LOW, TOO_LOW, "ok"],
    ),
    (
        "transfer_stake to a subnet",
        |alpha| subtensor_call(transfer_stake(OTHER, alpha)),
        [TOO_LOW, ILLIQUID, "ok"],
    ),
    (
        "recycle_alpha",
        |alpha| {
            subtensor_call(Call::recycle_alpha {
                hotkey: key(1),
                amount: AlphaBalance(alpha),
                netuid: BABELBIT,
            })
        },
        ["ok", "ok", "ok"],
    ),
    (
        "burn_alpha",
        |alpha| {
            subtensor_call(Call::burn_alpha {
                hotkey: key(1),
                amount: AlphaBalance(alpha),
                netuid: BABELBIT,
            })
        },
        ["ok", "ok", "ok"],
    ),
    (
        "add_stake_burn",
        |rao| {
            let (hotkey, amount) = (key(1), TaoBalance(rao));
            subtensor_call(Call::add_stake_burn { hotkey, netuid: BABELBIT, amount, limit: None })
        },
        [TOO_LOW, TOO_LOW, ILLIQUID],
    ),
    (
        "lock_stake",
        |alpha| {
            subtensor_call(Call::lock_stake {
                hotkey: key(1),
                netuid: BABELBIT,
                amount: AlphaBalance(alpha),
            })
        },
        [TOO_LOW, "ok", "InsufficientStakeForLock"],
    ),
    (
        "add_collateral",
        |alpha| {
            let (alpha, limit_price) = (AlphaBalance(alpha), TaoBalance(u64::MAX));
            subtensor_call(Call::add_collateral {
                netuid: BABELBIT,
                hotkey: key(1),
                alpha,
                limit_price,
            })
        },
        [TOO_LOW, "ok", ILLIQUID],
    ),
];

/// Registrations, children and takes, signed by Bob.
const SETTINGS: &[Row] = &[
    (
        "burned_register at this price",
        |rao| {
            Burn::<Runtime>::insert(BABELBIT, TaoBalance(rao));
            subtensor_call(Call::burned_register { netuid: BABELBIT, hotkey: key(3) })
        },
        ["ok", "ok", "NotEnoughBalanceToStake"],
    ),
    (
        "register_limit",
        |rao| {
            subtensor_call(Call::register_limit {
                netuid: BABELBIT,
                hotkey: key(3),
                limit_price: rao,
            })
        },
        ["RegistrationPriceLimitExceeded", "RegistrationPriceLimitExceeded", "ok"],
    ),
    (
        "set_children",
        |part| {
            subtensor_call(Call::set_children {
                hotkey: key(1),
                netuid: BABELBIT,
                children: vec![(part, key(2))],
            })
        },
        ["ok", "ok", "ok"],
    ),
    (
        "set_childkey_take",
        |parts| {
            subtensor_call(Call::set_childkey_take {
                hotkey: key(1),
                netuid: BABELBIT,
                take: take(parts),
            })
        },
        ["ok", "ok", "InvalidChildkeyTake"],
    ),
    (
        "increase_take",
        |parts| subtensor_call(Call::increase_take { hotkey: key(1), take: take(parts) }),
        ["ok", "ok", "DelegateTakeTooHigh"],
    ),
];

/// Crowdloans, signed by Bob, who has created crowdloan 0.
const CROWDLOANS: &[Row] = &[
    (
        "create with this deposit",
        |rao| crowdloan_call(create(rao, TAO, 100 * TAO, 100)),
        ["DepositTooLow", "DepositTooLow", "CapTooLow"],
    ),
    (
        "create with this minimum",
        |rao| crowdloan_call(create(10 * TAO, rao, 100 * TAO, 100)),
        ["MinimumContributionTooLow", "MinimumContributionTooLow", "ok"],
    ),
    (
        "create with this cap",
        |rao| crowdloan_call(create(10 * TAO, TAO, rao, 100)),
        ["CapTooLow", "CapTooLow", "ok"],
    ),
    (
        "create with this end",
        |block| crowdloan_call(create(10 * TAO, TAO, 100 * TAO, block as u32)),
        ["CannotEndInPast", "CannotEndInPast", "BlockDurationTooLong"],
    ),
    // At most the remaining amount is contributed.
    (
        "contribute",
        |rao| {
            crowdloan_call(crowdloan::Call::contribute { crowdloan_id: 0, amount: TaoBalance(rao) })
        },
        ["ContributionTooLow", "ContributionTooLow", "ok"],
    ),
    (
        "update_cap",
        |rao| {
            crowdloan_call(crowdloan::Call::update_cap {
                crowdloan_id: 0,
                new_cap: TaoBalance(rao),
            })
        },
        ["CapTooLow", "CapTooLow", "ok"],
    ),
    (
        "set_max_contribution",
        |rao| {
            let new_max_contribution = Some(TaoBalance(rao));
            crowdloan_call(crowdloan::Call::set_max_contribution {
                crowdloan_id: 0,
                new_max_contribution,
            })
        },
        ["MaximumContributionTooLow", "MaximumContributionTooLow", "ok"],
    ),
];

/// Weights, signed by the owner's hotkey, which has the only uid.
const WEIGHTS: &[Row] = &[
    (
        "set_weights with this version",
        |version| subtensor_call(weights(0, 1, version)),
        ["IncorrectWeightVersionKey", "IncorrectWeightVersionKey", "ok"],
    ),
    (
        "set_weights for this uid",
        |uid| subtensor_call(weights(uid as u16, 1, VERSION)),
        ["ok", "UidVecContainInvalidOne", "UidVecContainInvalidOne"],
    ),
    (
        "set_weights of this weight",
        |weight| subtensor_call(weights(0, weight as u16, VERSION)),
        ["ok", "ok", "ok"],
    ),
];

fn balances_call(call: pallet_balances::Call<Runtime>) -> RuntimeCall {
    RuntimeCall::Balances(call)
}

fn subtensor_call(call: Call<Runtime>) -> RuntimeCall {
    RuntimeCall::SubtensorModule(call)
}

fn crowdloan_call(call: crowdloan::Call<Runtime>) -> RuntimeCall {
    RuntimeCall::Crowdloan(call)
}

fn address(name: &str) -> MultiAddress<AccountId, ()> {
    MultiAddress::Id(account(name))
}

fn take(parts: u64) -> PerU16 {
    PerU16::from_parts(parts as u16)
}

/// Moves stake from the first hotkey to the second.
fn move_stake(destination_netuid: NetUid, alpha: u64) -> Call<Runtime> {
    Call::move_stake {
        origin_hotkey: key(1),
        destination_hotkey: key(2),
        origin_netuid: BABELBIT,
        destination_netuid,
        alpha_amount: AlphaBalance(alpha),
    }
}

fn swap_stake(origin_netuid: NetUid, destination_netuid: NetUid, alpha: u64) -> Call<Runtime> {
    Call::swap_stake {
        hotkey: key(1),
        origin_netuid,
        destination_netuid,
        alpha_amount: AlphaBalance(alpha),
    }
}

fn swap_stake_limit(alpha: u64) -> Call<Runtime> {
    Call::swap_stake_limit {
        hotkey: key(1),
        origin_netuid: BABELBIT,
        destination_netuid: OTHER,
        alpha_amount: AlphaBalance(alpha),
        limit_price: TaoBalance(1),
        allow_partial: false,
    }
}

/// Transfers stake to Charlie.
fn transfer_stake(destination_netuid: NetUid, alpha: u64) -> Call<Runtime> {
    Call::transfer_stake {
        destination_coldkey: account("Charlie"),
        hotkey: key(1),
        origin_netuid: BABELBIT,
        destination_netuid,
        alpha_amount: AlphaBalance(alpha),
    }
}

fn create(deposit: u64, min_contribution: u64, cap: u64, end: u32) -> crowdloan::Call<Runtime> {
    crowdloan::Call::create {
        deposit: TaoBalance(deposit),
        min_contribution: TaoBalance(min_contribution),
        cap: TaoBalance(cap),
        end,
        call: None,
        target_address: Some(account("Eve")),
    }
}

fn weights(uid: u16, weight: u16, version_key: u64) -> Call<Runtime> {
    Call::set_weights { netuid: BABELBIT, dests: vec![uid], weights: vec![weight], version_key }
}

/// Returns the outcome of a call, and reverts its effects.
fn attempt_and_roll_back(who: &AccountId, call: fn(u64) -> RuntimeCall, amount: u64) -> String {
    with_transaction(|| {
        TransactionOutcome::Rollback(Ok::<_, DispatchError>(attempt(who, call(amount))))
    })
    .unwrap()
}

#[test]
fn extreme_amounts_fail_with_the_errors_of_the_real_chain() {
    with_market(|bob, _| {
        Subtensor::own_hotkey(&bob, &key(2)).unwrap();
        SubtokenEnabled::<Runtime>::insert(OTHER, true);
        WeightsVersionKey::<Runtime>::insert(BABELBIT, VERSION);
        send(&bob, create(10 * TAO, TAO, 100 * TAO, 100)).unwrap();
        let owner = SubnetOwnerHotkey::<Runtime>::get(BABELBIT);
        for (who, rows) in
            [(&bob, AMOUNTS), (&bob, SETTINGS), (&bob, CROWDLOANS), (&owner, WEIGHTS)]
        {
            for (name, call, expected) in rows {
                let outcomes =
                    [0, 1, u64::MAX].map(|amount| attempt_and_roll_back(who, *call, amount));
                assert_eq!(outcomes, *expected, "{name}");
            }
        }
    });
}
