//! Simulation: applies an extrinsic to the newest state, and discards all changes.

use sp_core::H256;
use sp_io::hashing::twox_128;
use sp_runtime::DispatchResult;

use super::build::BlockBuilder;
use super::{AuthorError, next_timestamp, slot_millis};
use crate::chain::Chain;
use crate::clock::{Clock, wall_millis};
use crate::execute::execute_with;

/// The effect of an extrinsic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SimulatedEffect {
    /// The block on which the extrinsic was applied.
    pub(crate) parent: H256,
    /// The index of the extrinsic in its block.
    pub(crate) index: u32,
    /// The result of the call.
    pub(crate) result: DispatchResult,
    /// The encoded events of the block up to and including the extrinsic.
    pub(crate) events: Vec<u8>,
}

/// Applies an extrinsic in a block after the newest one, with the time that this block would have.
///
/// # Errors
/// [`AuthorError`]; [`super::BuildError::Refused`] if no block can include the extrinsic.
pub(crate) fn simulate(
    chain: &Chain,
    clock: Clock,
    extrinsic: &[u8],
) -> Result<SimulatedEffect, AuthorError> {
    let parent = chain.head();
    let state = chain.store.tip_state(&parent)?;
    let (slot_millis, time) = (slot_millis(&state)?, chain.store.time()?);
    let now = wall_millis().saturating_add_signed(time.offset);
    let millis = clock.stamp(next_timestamp(&parent, &state, time)?, slot_millis, now);
    let (mut builder, _) = BlockBuilder::begin(&parent, &state, millis, slot_millis, None)?;
    let applied = builder.apply_command(extrinsic)?;
    let key = [twox_128(b"System"), twox_128(b"Events")].concat();
    let events = execute_with(&mut builder.overlay, &state, || sp_io::storage::get(&key))?;
    let events = events.map(|events| events.to_vec()).unwrap_or_default();
    Ok(SimulatedEffect {
        parent: parent.hash,
        index: applied.index,
        result: applied.result,
        events,
    })
}
