//! Test chain and helpers.

use frame_support::BoundedVec;
use frame_support::traits::{ConstU32, OnInitialize};
use sp_runtime::traits::Dispatchable;
use sp_runtime::{DispatchError, DispatchResult};

use crate::drand::{Pulse, Pulses};
use crate::genesis::{development_account, genesis};
use crate::runtime::{
    AccountId, Balances, BlockNumber, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System,
};
use crate::subtensor::{self, SubnetTAO};

/// Netuid of the test subnet, which is started and has commit-reveal disabled.
pub(crate) const BABELBIT: crate::types::NetUid = crate::types::NetUid(59);

/// The Subtensor pallet of the test chain.
pub(crate) type Subtensor = subtensor::Pallet<Runtime>;

/// Runs a test at the first block after genesis.
pub(crate) fn at_first_block<R>(test: impl FnOnce() -> R) -> R {
    let mut chain = sp_io::TestExternalities::new(genesis(&[]).unwrap());
    chain.execute_with(|| {
        System::set_block_number(1);
        test()
    })
}

/// Returns the account of a development name.
pub(crate) fn account(name: &str) -> AccountId {
    development_account(name).unwrap()
}

/// Returns an account that is not in the genesis state and has no balance.
pub(crate) fn key(number: u32) -> AccountId {
    let mut bytes = [0xaa; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    AccountId::new(bytes)
}

/// Jumps to a block without running the blocks in between.
pub(crate) fn jump_to(block: BlockNumber) {
    System::set_block_number(block);
}

/// Runs the start of every block up to and including this block.
pub(crate) fn run_to(block: BlockNumber) {
    while System::block_number() < block {
        let next = System::block_number() + 1;
        System::set_block_number(next);
        Subtensor::on_initialize(next);
    }
}

/// Dispatches a call as a block does: changes are rolled back on failure.
pub(crate) fn send(who: &AccountId, call: impl Into<RuntimeCall>) -> DispatchResult {
    let call: RuntimeCall = call.into();
    call.dispatch(RuntimeOrigin::signed(who.clone())).map(|_| ()).map_err(|failure| failure.error)
}

/// Dispatches a call as root.
pub(crate) fn send_as_root(call: impl Into<RuntimeCall>) -> DispatchResult {
    let call: RuntimeCall = call.into();
    call.dispatch(RuntimeOrigin::root()).map(|_| ()).map_err(|failure| failure.error)
}

/// Dispatches a call, and returns the name of its error, or `ok`. A failed call must not change the
/// state.
pub(crate) fn attempt(who: &AccountId, call: impl Into<RuntimeCall>) -> String {
    let before = state_root();
    let outcome = outcome(send(who, call));
    assert!(outcome == "ok" || state_root() == before, "{outcome} changed the state");
    outcome
}

/// Returns the storage root, which is a hash of all keys and values.
pub(crate) fn state_root() -> Vec<u8> {
    sp_io::storage::root(sp_core::storage::StateVersion::V1)
}

/// Returns the name of a call's error, or `ok`.
pub(crate) fn outcome(result: DispatchResult) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(DispatchError::Module(module)) => module.message.unwrap_or("unknown").to_owned(),
        Err(other) => format!("{other:?}"),
    }
}

/// Returns the last event of the Subtensor pallet.
pub(crate) fn last_event() -> subtensor::Event<Runtime> {
    System::events()
        .into_iter()
        .rev()
        .find_map(|record| match record.event {
            RuntimeEvent::SubtensorModule(event) => Some(event),
            _ => None,
        })
        .unwrap()
}

/// Returns data that bittensor-drand encrypted; the README of `vectors/timelock` describes each
/// item.
pub(crate) fn timelocked<const MAX: u32>(name: &str) -> BoundedVec<u8, ConstU32<MAX>> {
    let data = &timelock_vectors()["data"][name];
    hex::decode(data.as_str().unwrap_or_else(|| panic!("no data is named {name}")))
        .unwrap()
        .try_into()
        .unwrap()
}

/// Stores the recorded pulse of a round.
pub(crate) fn publish_pulse(round: u64) {
    let signature = &timelock_vectors()["pulses"][round.to_string()];
    let signature = hex::decode(signature.as_str().unwrap()).unwrap();
    let randomness = BoundedVec::truncate_from(sp_io::hashing::sha2_256(&signature).into());
    Pulses::<Runtime>::insert(
        round,
        Pulse { round, randomness, signature: BoundedVec::truncate_from(signature) },
    );
}

fn timelock_vectors() -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../vectors/timelock/timelocked.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Returns the balance of an account, in rao.
pub(crate) fn balance(who: &AccountId) -> u64 {
    Balances::free_balance(who)
}

/// Returns the TAO on all accounts and in all pools, in rao.
pub(crate) fn total_tao() -> u64 {
    let accounts = frame_system::Account::<Runtime>::iter_values()
        .map(|account| account.data.free + account.data.reserved);
    accounts.sum::<u64>() + SubnetTAO::<Runtime>::iter_values().map(|tao| tao.0).sum::<u64>()
}
