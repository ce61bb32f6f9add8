use sp_runtime::traits::Dispatchable as _;
use sp_runtime::{DispatchError, MultiAddress};

use crate::runtime::{AccountId, RuntimeCall, RuntimeOrigin};

mod multisig;
mod preimage;
mod scheduler;

const TAO: u64 = 1_000_000_000;

fn pay(to: &AccountId, value: u64) -> RuntimeCall {
    pallet_balances::Call::transfer_keep_alive { dest: MultiAddress::Id(to.clone()), value }.into()
}

fn refusal(origin: RuntimeOrigin, call: impl Into<RuntimeCall>) -> Option<DispatchError> {
    call.into().dispatch(origin).err().map(|refused| refused.error)
}
