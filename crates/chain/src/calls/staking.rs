use subxt::ext::scale_value::Value;
use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid, Rao};

use super::{SUBTENSOR, account, number, option};
use crate::Call;

/// A limit on the price at which stake is traded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceLimit {
    /// The worst acceptable price: the maximum TAO per alpha for a purchase, the minimum for a
    /// sale, or the minimum destination alpha per origin alpha for a swap.
    pub price: Rao,
    /// Whether to trade a part of the amount if the limit prevents trading all of it; if `false`,
    /// the call then fails.
    pub allow_partial: bool,
}

/// Builds a call that stakes TAO of the signing coldkey on a hotkey, at any price.
pub fn add_stake(hotkey: Hotkey, netuid: NetUid, amount: Rao) -> Call {
    Call::new(SUBTENSOR, "add_stake", add_args(hotkey, netuid, amount))
}

/// Builds a call that stakes TAO of the signing coldkey on a hotkey, within a price limit.
pub fn add_stake_limit(hotkey: Hotkey, netuid: NetUid, amount: Rao, limit: PriceLimit) -> Call {
    Call::new(SUBTENSOR, "add_stake_limit", with_limit(add_args(hotkey, netuid, amount), limit))
}

/// Builds a call that buys alpha with TAO of the signing coldkey and burns it; with `limit`, at
/// this maximum price or not at all. The hotkey holds the alpha in between.
pub fn add_stake_burn(hotkey: Hotkey, netuid: NetUid, amount: Rao, limit: Option<Rao>) -> Call {
    let args = vec![
        ("hotkey", account(hotkey)),
        ("netuid", number(netuid.0)),
        ("amount", number(amount.get())),
        ("limit", option(limit.map(|limit| number(limit.get())))),
    ];
    Call::new(SUBTENSOR, "add_stake_burn", args)
}

/// Builds a call that unstakes alpha of the signing coldkey from a hotkey, at any price.
pub fn remove_stake(hotkey: Hotkey, netuid: NetUid, amount: Alpha) -> Call {
    Call::new(SUBTENSOR, "remove_stake", remove_args(hotkey, netuid, amount))
}

/// Builds a call that unstakes alpha of the signing coldkey from a hotkey, within a price limit.
pub fn remove_stake_limit(
    hotkey: Hotkey,
    netuid: NetUid,
    amount: Alpha,
    limit: PriceLimit,
) -> Call {
    Call::new(
        SUBTENSOR,
        "remove_stake_limit",
        with_limit(remove_args(hotkey, netuid, amount), limit),
    )
}

/// Builds a call that unstakes all alpha of the signing coldkey from a hotkey on a subnet, as of
/// the block that includes the call; with `limit`, at this minimum price or not at all.
pub fn remove_stake_full_limit(hotkey: Hotkey, netuid: NetUid, limit: Option<Rao>) -> Call {
    let limit = option(limit.map(|limit| number(limit.get())));
    let args =
        vec![("hotkey", account(hotkey)), ("netuid", number(netuid.0)), ("limit_price", limit)];
    Call::new(SUBTENSOR, "remove_stake_full_limit", args)
}

/// Builds a call that unstakes all stake of the signing coldkey on a hotkey, on every subnet, at
/// any price.
pub fn unstake_all(hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "unstake_all", vec![("hotkey", account(hotkey))])
}

/// Builds a call that sells all alpha of the signing coldkey on a hotkey, and stakes the TAO on the
/// root network.
pub fn unstake_all_alpha(hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "unstake_all_alpha", vec![("hotkey", account(hotkey))])
}

/// Builds a call that claims the root dividends of the signing coldkey on all validators, as root
/// stake.
pub fn claim_root() -> Call {
    // The chain ignores the subnets.
    let subnets = Value::unnamed_composite([Value::unnamed_composite([])]);
    Call::new(SUBTENSOR, "claim_root", vec![("subnets", subnets)])
}

/// Builds a call that claims the root dividends of the signing coldkey on one validator, as root
/// stake.
pub fn claim_root_with_hotkey(hotkey: Hotkey) -> Call {
    Call::new(SUBTENSOR, "claim_root_with_hotkey", vec![("hotkey", account(hotkey))])
}

/// Builds a call that sets the hotkey on which the emission of the signing coldkey's miners on a
/// subnet is staked.
pub fn set_auto_stake_hotkey(netuid: NetUid, hotkey: Hotkey) -> Call {
    let args = vec![("netuid", number(netuid.0)), ("hotkey", account(hotkey))];
    Call::new(SUBTENSOR, "set_coldkey_auto_stake_hotkey", args)
}

/// Builds a call that moves alpha of the signing coldkey from one hotkey to another, at any price
/// if the subnets differ.
pub fn move_stake(from: (Hotkey, NetUid), to: (Hotkey, NetUid), amount: Alpha) -> Call {
    Call::new(SUBTENSOR, "move_stake", move_args(from, to, amount))
}

/// Builds a call that moves alpha of the signing coldkey from one hotkey on one subnet to another
/// hotkey on another subnet, within a price limit.
pub fn move_stake_limit(
    from: (Hotkey, NetUid),
    to: (Hotkey, NetUid),
    amount: Alpha,
    limit: PriceLimit,
) -> Call {
    Call::new(SUBTENSOR, "move_stake_limit", with_limit(move_args(from, to, amount), limit))
}

/// Builds a call that transfers the signing coldkey's alpha on a hotkey to another coldkey.
pub fn transfer_stake(
    to: Coldkey,
    hotkey: Hotkey,
    from: NetUid,
    to_netuid: NetUid,
    amount: Alpha,
) -> Call {
    let accounts = [("destination_coldkey", account(to)), ("hotkey", account(hotkey))];
    Call::new(
        SUBTENSOR,
        "transfer_stake",
        accounts.into_iter().chain(route_args(from, to_netuid, amount)).collect(),
    )
}

/// Builds a call that swaps alpha of one subnet for alpha of another on the same hotkey, at any
/// price.
pub fn swap_stake(hotkey: Hotkey, from: NetUid, to: NetUid, amount: Alpha) -> Call {
    Call::new(SUBTENSOR, "swap_stake", swap_args(hotkey, from, to, amount))
}

/// Builds a call that swaps alpha of one subnet for alpha of another on the same hotkey, within a
/// price limit.
pub fn swap_stake_limit(
    hotkey: Hotkey,
    from: NetUid,
    to: NetUid,
    amount: Alpha,
    limit: PriceLimit,
) -> Call {
    Call::new(SUBTENSOR, "swap_stake_limit", with_limit(swap_args(hotkey, from, to, amount), limit))
}

type Args = Vec<(&'static str, Value)>;

fn add_args(hotkey: Hotkey, netuid: NetUid, amount: Rao) -> Args {
    vec![
        ("hotkey", account(hotkey)),
        ("netuid", number(netuid.0)),
        ("amount_staked", number(amount.get())),
    ]
}

fn remove_args(hotkey: Hotkey, netuid: NetUid, amount: Alpha) -> Args {
    vec![
        ("hotkey", account(hotkey)),
        ("netuid", number(netuid.0)),
        ("amount_unstaked", number(amount.get())),
    ]
}

fn move_args(from: (Hotkey, NetUid), to: (Hotkey, NetUid), amount: Alpha) -> Args {
    let hotkeys = [("origin_hotkey", account(from.0)), ("destination_hotkey", account(to.0))];
    hotkeys.into_iter().chain(route_args(from.1, to.1, amount)).collect()
}

fn swap_args(hotkey: Hotkey, from: NetUid, to: NetUid, amount: Alpha) -> Args {
    [("hotkey", account(hotkey))].into_iter().chain(route_args(from, to, amount)).collect()
}

fn route_args(from: NetUid, to: NetUid, amount: Alpha) -> [(&'static str, Value); 3] {
    [
        ("origin_netuid", number(from.0)),
        ("destination_netuid", number(to.0)),
        ("alpha_amount", number(amount.get())),
    ]
}

fn with_limit(mut args: Args, limit: PriceLimit) -> Args {
    args.extend([
        ("limit_price", number(limit.price.get())),
        ("allow_partial", Value::bool(limit.allow_partial)),
    ]);
    args
}
