//! Block building: initialization, inherents, the pool's extrinsics, finalization.

use codec::{Decode, Encode};
use sp_core::H256;
use sp_core::storage::StateVersion;
use sp_inherents::InherentData;
use sp_io::hashing::twox_128;
use sp_runtime::traits::{BlakeTwo256, Hash as _, Header as _};
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError};
use sp_runtime::{ApplyExtrinsicResult, Digest, DigestItem, DispatchResult};
use sp_state_machine::{Backend, BackendTransaction};
use taonet_localnet_runtime::dev::{Directive, StorageEntry};
use taonet_localnet_runtime::mev_shield::ShieldKey;
use taonet_localnet_runtime::{Header, UncheckedExtrinsic};

use super::shield;
use crate::execute::{CallError, Overlay, call, call_as};
use crate::pool::{QueuedExtrinsic, SubmitError};
use crate::store::{CachedState, Head};

/// A block counts as full once this many extrinsics have exceeded its remaining weight.
const MAX_OVERWEIGHT_EXTRINSICS: usize = 8;
/// The consensus engine ID that clients expect in the digest.
const AURA: [u8; 4] = *b"aura";

/// Why building a block failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A call to the runtime failed.
    #[error("cannot build block {number}: {source}")]
    Call {
        /// The block's height.
        number: u32,
        /// The error of the call.
        source: CallError,
    },
    /// The runtime refused an inherent extrinsic.
    #[error("cannot build block {number}: the runtime refused an inherent extrinsic: {reason}")]
    Inherent {
        /// The block's height.
        number: u32,
        /// The runtime's reason.
        reason: String,
    },
    /// The header's state root differs from the root of the written trie.
    #[error(
        "the header of block {number} has state root {header:?}, but its stored state has root {state:?}"
    )]
    StateRootMismatch {
        /// The block's height.
        number: u32,
        /// The state root in the header.
        header: H256,
        /// The root of the trie.
        state: H256,
    },
    /// The runtime refused the extrinsic of a development command.
    #[error("the runtime refused the call: {}", .0.data().unwrap_or_else(|| .0.to_string()))]
    Refused(SubmitError),
    /// The block has no valid header, because a development command set the storage items of the
    /// header.
    #[error(
        "cannot build block {number}: its header does not follow its parent; hint: do not set items of System"
    )]
    InvalidHeader {
        /// The block's height.
        number: u32,
    },
    /// The parent's state cannot be read.
    #[error("cannot build block {number}: {reason}")]
    UnreadableState {
        /// The block's height.
        number: u32,
        /// Why the state cannot be read.
        reason: String,
    },
}

/// Why an extrinsic was not included in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SkipReason {
    /// The extrinsic exceeds the block's remaining weight or its nonce is too high, but it may fit
    /// a later block.
    Deferred,
    /// The extrinsic is invalid.
    Invalid,
}

/// The payload of a development command in a block, which then has no other extrinsics.
#[derive(Debug, Clone)]
pub(crate) struct DevPayload {
    pub(crate) directive: Directive,
    /// The encoded extrinsic that the directive admits.
    pub(crate) extrinsic: Option<Vec<u8>>,
}

/// The extrinsic of a development command in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AppliedCommand {
    /// The hash of the extrinsic.
    pub(crate) hash: H256,
    /// The index of the extrinsic in the block.
    pub(crate) index: u32,
    /// The result of the call.
    pub(crate) result: DispatchResult,
}

/// A built block, with its changes to the state and the results of the queued extrinsics.
pub(crate) struct BuiltBlock {
    pub(crate) head: Head,
    pub(crate) extrinsics: Vec<Vec<u8>>,
    pub(crate) nodes: BackendTransaction<BlakeTwo256>,
    pub(crate) changes: Vec<StorageEntry>,
    /// Included extrinsics, by position in the queue.
    pub(crate) included: Vec<usize>,
    /// Extrinsics that were not included, by position in the queue, with the reason.
    pub(crate) skipped: Vec<(usize, SkipReason)>,
    /// The extrinsic of the development command.
    pub(crate) applied: Option<AppliedCommand>,
}

/// A block under construction.
pub(super) struct BlockBuilder<'a> {
    pub(super) overlay: Overlay,
    state: &'a CachedState,
    number: u32,
    extrinsics: Vec<Vec<u8>>,
}

impl<'a> BlockBuilder<'a> {
    /// Begins the block after `parent`, with its inherents. Also returns its header, without roots.
    pub(super) fn begin(
        parent: &Head,
        state: &'a CachedState,
        millis: u64,
        slot_millis: u64,
        payload: Option<&DevPayload>,
    ) -> Result<(Self, Header), BuildError> {
        let number = parent.number().saturating_add(1);
        let mut logs = vec![DigestItem::PreRuntime(AURA, (millis / slot_millis.max(1)).encode())];
        logs.extend(payload.map(|payload| payload.directive.digest()));
        let initial_header =
            Header::new(number, H256::zero(), H256::zero(), parent.hash, Digest { logs });
        let mut builder =
            Self { overlay: Overlay::default(), state, number, extrinsics: Vec::new() };
        call(&mut builder.overlay, state, "Core_initialize_block", &initial_header.encode())
            .map_err(|source| BuildError::Call { number, source })?;
        builder.apply_inherents(millis)?;
        Ok((builder, initial_header))
    }

    fn call<T: Decode>(&mut self, method: &'static str, data: &[u8]) -> Result<T, BuildError> {
        let number = self.number;
        call_as(&mut self.overlay, self.state, method, data)
            .map_err(|source| BuildError::Call { number, source })
    }

    /// Applies one extrinsic; rolls back its changes if it is refused or panics.
    fn apply(&mut self, extrinsic: &[u8]) -> Result<ApplyExtrinsicResult, CallError> {
        self.overlay.start_transaction();
        let applied =
            call_as(&mut self.overlay, self.state, "BlockBuilder_apply_extrinsic", extrinsic);
        let is_applicable = matches!(applied, Ok(Ok(_)));
        let transaction_result = if is_applicable {
            self.overlay.commit_transaction()
        } else {
            self.overlay.rollback_transaction()
        };
        transaction_result.map_err(|_| CallError::Nested)?;
        if is_applicable {
            self.extrinsics.push(extrinsic.to_vec());
        }
        applied
    }

    /// Applies the extrinsic of a development command.
    pub(super) fn apply_command(&mut self, extrinsic: &[u8]) -> Result<AppliedCommand, BuildError> {
        let number = self.number;
        let index = u32::try_from(self.extrinsics.len()).unwrap_or(u32::MAX);
        match self.apply(extrinsic) {
            Ok(Ok(result)) => {
                Ok(AppliedCommand { hash: BlakeTwo256::hash(extrinsic), index, result })
            }
            Ok(Err(error)) => Err(BuildError::Refused(error.into())),
            Err(source) => Err(BuildError::Call { number, source }),
        }
    }

    fn apply_inherents(&mut self, millis: u64) -> Result<(), BuildError> {
        let number = self.number;
        let mut data = InherentData::new();
        data.put_data(sp_timestamp::INHERENT_IDENTIFIER, &sp_timestamp::InherentType::new(millis))
            .map_err(|error| BuildError::Inherent { number, reason: error.to_string() })?;
        let inherents: Vec<UncheckedExtrinsic> =
            self.call("BlockBuilder_inherent_extrinsics", &data.encode())?;
        for inherent in inherents {
            match self.apply(&inherent.encode()) {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => {
                    return Err(BuildError::Inherent { number, reason: format!("{error:?}") });
                }
                Ok(Err(error)) => {
                    return Err(BuildError::Inherent { number, reason: error.to_string() });
                }
                Err(source) => return Err(BuildError::Call { number, source }),
            }
        }
        Ok(())
    }
}

/// Builds the block after `parent`, with timestamp `millis`, from the `queued` extrinsics in their
/// order, or from the `payload` of a development command.
///
/// # Errors
/// [`BuildError`]: a bug in the runtime, a failure of the store or an unsuitable payload, never an
/// invalid extrinsic in the queue.
pub(crate) fn build(
    parent: &Head,
    state: &CachedState,
    millis: u64,
    slot_millis: u64,
    queued: &[QueuedExtrinsic],
    shield_key: &ShieldKey,
    payload: Option<&DevPayload>,
) -> Result<BuiltBlock, BuildError> {
    let (mut builder, initial_header) =
        BlockBuilder::begin(parent, state, millis, slot_millis, payload)?;
    let number = builder.number;
    let extrinsic = payload.and_then(|payload| payload.extrinsic.as_deref());
    let applied = extrinsic.map(|extrinsic| builder.apply_command(extrinsic)).transpose()?;
    let (included, skipped) = apply_queued(&mut builder, queued, shield_key);
    let header: Header = builder.call("BlockBuilder_finalize_block", &[])?;
    if header.number() != initial_header.number()
        || header.parent_hash() != initial_header.parent_hash()
        || !header.digest().logs().starts_with(initial_header.digest().logs())
    {
        return Err(BuildError::InvalidHeader { number });
    }
    let changes = builder
        .overlay
        .drain_storage_changes(state, StateVersion::V1)
        .and_then(|changes| state.check_roots().map(|()| changes))
        .map_err(|reason| BuildError::UnreadableState { number, reason })?;
    if changes.transaction_storage_root != *header.state_root() {
        let (header, state) = (*header.state_root(), changes.transaction_storage_root);
        return Err(BuildError::StateRootMismatch { number, header, state });
    }
    Ok(BuiltBlock {
        head: Head::of(header),
        extrinsics: builder.extrinsics,
        nodes: changes.transaction,
        changes: changes.main_storage_changes,
        included,
        skipped,
        applied,
    })
}

/// Applies an extrinsic that was decrypted from a ciphertext; drops it if it is invalid.
fn apply_shielded(builder: &mut BlockBuilder<'_>, extrinsic: &[u8]) {
    match builder.apply(extrinsic) {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "invalid encrypted extrinsic dropped"),
        Err(error) => tracing::error!(%error, "encrypted extrinsic rolled back and dropped"),
    }
}

fn apply_queued(
    builder: &mut BlockBuilder<'_>,
    queued: &[QueuedExtrinsic],
    shield_key: &ShieldKey,
) -> (Vec<usize>, Vec<(usize, SkipReason)>) {
    let (mut included, mut skipped, mut overweight) = (Vec::new(), Vec::new(), 0);
    for (position, extrinsic) in queued.iter().enumerate() {
        if overweight >= MAX_OVERWEIGHT_EXTRINSICS {
            break;
        }
        match builder.apply(&extrinsic.bytes) {
            Ok(Ok(_)) => {
                included.push(position);
                if let Some(inner) = shield::decrypt(&extrinsic.bytes, shield_key) {
                    apply_shielded(builder, &inner);
                }
            }
            Ok(Err(TransactionValidityError::Invalid(InvalidTransaction::Future))) => {
                skipped.push((position, SkipReason::Deferred));
            }
            Ok(Err(error)) if error.exhausted_resources() => {
                overweight += 1;
                skipped.push((position, SkipReason::Deferred));
            }
            Ok(Err(error)) => {
                tracing::debug!(
                    hash = ?extrinsic.hash,
                    %error,
                    "pooled extrinsic is no longer valid"
                );
                skipped.push((position, SkipReason::Invalid));
            }
            Err(error) => {
                tracing::error!(
                    hash = ?extrinsic.hash,
                    %error,
                    "extrinsic rolled back and dropped"
                );
                skipped.push((position, SkipReason::Invalid));
            }
        }
    }
    (included, skipped)
}

/// Returns the value of `Timestamp.Now` in a state, in milliseconds; 0 before the first block.
pub(crate) fn timestamp_of(
    state: &impl Backend<BlakeTwo256, Error = String>,
) -> Result<u64, String> {
    let key = [twox_128(b"Timestamp"), twox_128(b"Now")].concat();
    let value = state.storage(&key)?;
    Ok(value.and_then(|bytes| u64::decode(&mut bytes.as_slice()).ok()).unwrap_or(0))
}
