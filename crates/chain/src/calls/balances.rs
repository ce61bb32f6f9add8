use subxt::ext::scale_value::Value;
use taonet_primitives::{AccountId, Rao};

use super::{address, number};
use crate::Call;

const BALANCES: &str = "Balances";

/// Builds a call that transfers TAO, and fails if it would remove the sender's account.
pub fn transfer_keep_alive(to: AccountId, amount: Rao) -> Call {
    transfer("transfer_keep_alive", to, amount)
}

/// Builds a call that transfers TAO and removes the sender's account if less than the existential
/// deposit would remain.
pub fn transfer_allow_death(to: AccountId, amount: Rao) -> Call {
    transfer("transfer_allow_death", to, amount)
}

/// Builds a call that transfers all free TAO, or with `keep_alive` all but the existential deposit.
pub fn transfer_all(to: AccountId, keep_alive: bool) -> Call {
    Call::new(
        BALANCES,
        "transfer_all",
        vec![("dest", address(to)), ("keep_alive", Value::bool(keep_alive))],
    )
}

fn transfer(name: &'static str, to: AccountId, amount: Rao) -> Call {
    Call::new(BALANCES, name, vec![("dest", address(to)), ("value", number(amount.get()))])
}
