//! Typed builders of the calls that neurons, subnet owners and stakers submit.
//!
//! Each function returns a [`Call`](crate::Call); [`Chain::sign`](crate::Chain::sign) encodes it
//! with the chain's own metadata. [`Client::call`](crate::Client::call) builds any other call from
//! its name and JSON.

mod balances;
mod children;
mod commitments;
mod crowdloan;
mod keys;
mod locks;
mod proxy;
mod registration;
mod serving;
mod shield;
mod staking;
mod subnets;
mod utility;
mod weights;

pub use balances::{transfer_all, transfer_allow_death, transfer_keep_alive};
pub use children::{set_childkey_take, set_children};
pub use commitments::{
    CommitmentError, CommitmentText, set_commitment, set_timelocked_commitment,
    timelocked_plaintext,
};
pub use crowdloan::{
    CrowdloanPurpose, contribute, create_crowdloan, dissolve_crowdloan, finalize_crowdloan,
    refund_crowdloan, register_leased_network, terminate_lease, update_crowdloan_cap,
    update_crowdloan_end, update_min_contribution, withdraw_contribution,
};
pub use keys::{
    announce_coldkey_swap, associate_hotkey, clear_coldkey_swap_announcement, dispute_coldkey_swap,
    set_identity, swap_coldkey_announced, swap_hotkey,
};
pub use locks::{lock_stake, move_lock, set_perpetual_lock};
pub use proxy::{
    add_proxy, announce_call, create_pure, kill_pure, proxy, proxy_announced, reject_announcement,
    remove_announcement, remove_proxies, remove_proxy,
};
pub use registration::{
    burned_register, decrease_take, increase_take, pow_register, register_limit, register_network,
    root_register, start_call,
};
pub use serving::{serve_axon, serve_prometheus};
pub use shield::submit_encrypted;
pub use staking::{
    PriceLimit, add_stake, add_stake_burn, add_stake_limit, claim_root, claim_root_with_hotkey,
    move_stake, move_stake_limit, remove_stake, remove_stake_full_limit, remove_stake_limit,
    set_auto_stake_hotkey, swap_stake, swap_stake_limit, transfer_stake, unstake_all,
    unstake_all_alpha,
};
pub use subnets::{set_subnet_identity, trigger_epoch, update_symbol};
pub use utility::{as_derivative, batch, batch_all, force_batch, sudo};
pub use weights::{
    commit_mechanism_weights, commit_timelocked_mechanism_weights, reveal_mechanism_weights,
    set_mechanism_weights,
};

use subxt::ext::scale_value::Value;
use taonet_primitives::AccountId;

const SUBTENSOR: &str = "SubtensorModule";

fn number(value: impl Into<u128>) -> Value {
    Value::u128(value.into())
}

fn account(account: impl Into<AccountId>) -> Value {
    Value::from_bytes(account.into().as_bytes())
}

fn address(account_id: AccountId) -> Value {
    Value::unnamed_variant("Id", [account(account_id)])
}

fn option(value: Option<Value>) -> Value {
    value.map_or_else(
        || Value::unnamed_variant("None", []),
        |value| Value::unnamed_variant("Some", [value]),
    )
}

fn numbers(values: impl IntoIterator<Item = u16>) -> Value {
    Value::unnamed_composite(values.into_iter().map(number))
}
