//! The transaction pool: extrinsics that wait for inclusion in a block.

mod error;
mod graph;
#[cfg(test)]
mod tests;
mod watch;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use codec::{DecodeLimit, Encode};
use lru::LruCache;
use sp_core::H256;
use sp_runtime::MultiAddress;
use sp_runtime::generic::Preamble;
use sp_runtime::traits::{BlakeTwo256, Hash as _};
use sp_runtime::transaction_validity::{TransactionSource, TransactionValidity, ValidTransaction};
use taonet_localnet_runtime::{AccountId, UncheckedExtrinsic};

use crate::execute::{Overlay, call_as};
use crate::store::{Head, Store};
use graph::{Graph, PoolEntry, Seq};

pub use error::SubmitError;
pub(crate) use error::nonce_tag;
pub(crate) use watch::StatusSender;
pub use watch::TxEvent;

/// The maximum nesting depth of calls, the same as in the runtime.
pub(crate) const MAX_CALL_DEPTH: u32 = 256;
/// Duration of the ban on invalid or included extrinsics, as in the real chain's node.
const BAN_DURATION: Duration = Duration::from_mins(30);
/// Maximum number of banned extrinsics in memory.
const MAX_BANS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// Maximum number of repeated validations of an extrinsic while the head advances; the next
/// validation blocks the head.
const MAX_REVALIDATIONS: usize = 3;

/// The limits of the transaction pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Maximum number of extrinsics in the pool.
    pub count: usize,
    /// Maximum total size of the extrinsics in the pool, in bytes.
    pub bytes: usize,
    /// Maximum number of extrinsics that wait for an earlier nonce.
    pub future: usize,
    /// Maximum number of extrinsics in the pool per account.
    pub per_sender: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { count: 8_192, bytes: 20 << 20, future: 512, per_sender: 4_096 }
    }
}

impl PoolLimits {
    /// Returns whether one more extrinsic fits into a pool of `count` extrinsics, if `bytes` is the
    /// total size with it.
    const fn fits(&self, count: usize, bytes: usize) -> bool {
        count < self.count && bytes <= self.bytes
    }
}

/// An extrinsic that is ready for a block.
#[derive(Clone)]
pub(crate) struct QueuedExtrinsic {
    pub(crate) seq: Seq,
    pub(crate) hash: H256,
    pub(crate) bytes: Arc<[u8]>,
}

/// An included extrinsic, with the sender of its status events for when its block is committed.
pub(crate) struct IncludedExtrinsic {
    pub(crate) status_sender: StatusSender,
}

struct Inner {
    /// The block on whose state extrinsics are validated: the newest one, committed or not.
    tip: Head,
    graph: Graph,
    bans: LruCache<H256, Instant>,
    is_closed: bool,
}

/// The transaction pool.
pub(crate) struct Pool {
    inner: Mutex<Inner>,
    limits: PoolLimits,
}

impl Pool {
    pub(crate) fn new(tip: Head, limits: PoolLimits) -> Self {
        let inner =
            Inner { tip, graph: Graph::default(), bans: LruCache::new(MAX_BANS), is_closed: false };
        Self { inner: Mutex::new(inner), limits }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Validates an extrinsic and adds it to the pool. Verifies a signature: do not call this on
    /// the async executor.
    ///
    /// # Errors
    /// [`SubmitError`].
    pub(crate) fn submit(
        &self,
        store: &Store,
        bytes: Vec<u8>,
        status_sender: StatusSender,
    ) -> Result<H256, SubmitError> {
        let extrinsic =
            UncheckedExtrinsic::decode_all_with_depth_limit(MAX_CALL_DEPTH, &mut bytes.as_slice())
                .map_err(SubmitError::Format)?;
        let hash = BlakeTwo256::hash(&bytes);
        self.check_admission(hash)?;
        let mut revalidations = 0;
        loop {
            let tip = self.lock().tip.clone();
            let validity = match validate(store, &tip, &bytes) {
                Ok(validity) => validity,
                // The block may have been reverted meanwhile.
                Err(_) if revalidations < MAX_REVALIDATIONS && self.tip().hash != tip.hash => {
                    revalidations += 1;
                    continue;
                }
                Err(error) => {
                    self.ban(hash, &error);
                    return Err(error);
                }
            };
            let mut inner = self.lock();
            let validity = if inner.tip.hash == tip.hash {
                validity
            } else if revalidations < MAX_REVALIDATIONS {
                revalidations += 1;
                continue;
            } else {
                // The head advances faster than this extrinsic is validated, so the head waits for
                // this validation.
                validate(store, &inner.tip, &bytes)?
            };
            let block_number = inner.tip.number();
            let entry = PoolEntry::new(
                hash,
                bytes,
                sender_of(&extrinsic),
                status_sender,
                validity,
                block_number,
            );
            if inner.is_closed {
                return Err(SubmitError::Stopping);
            }
            inner.graph.insert(entry, &self.limits)?;
            crate::meter::set_pool_size(inner.graph.ready_count(), inner.graph.len());
            return Ok(hash);
        }
    }

    fn check_admission(&self, hash: H256) -> Result<(), SubmitError> {
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(SubmitError::Stopping);
        }
        if inner.bans.get(&hash).is_some_and(|banned_at| banned_at.elapsed() < BAN_DURATION) {
            return Err(SubmitError::Banned);
        }
        if inner.graph.contains(&hash) { Err(SubmitError::Known(hash)) } else { Ok(()) }
    }

    fn ban(&self, hash: H256, error: &SubmitError) {
        if error.causes_ban() {
            self.lock().bans.put(hash, Instant::now());
        }
    }

    /// Adds an extrinsic without validation.
    #[cfg(test)]
    pub(crate) fn insert_unvalidated(
        &self,
        hash: H256,
        bytes: Vec<u8>,
    ) -> tokio::sync::mpsc::Receiver<TxEvent> {
        let (status_sender, events) = StatusSender::channel();
        let validity =
            ValidTransaction { provides: vec![hash.as_bytes().to_vec()], ..Default::default() };
        let entry = PoolEntry::new(hash, bytes, None, status_sender, validity, 0);
        self.lock().graph.insert(entry, &self.limits).unwrap();
        events
    }

    /// Returns the ready extrinsics in the order of inclusion.
    pub(crate) fn queued(&self) -> Vec<QueuedExtrinsic> {
        let inner = self.lock();
        let ready = inner.graph.ready_in_order().into_iter().filter_map(|seq| {
            let entry = inner.graph.get(seq)?;
            Some(QueuedExtrinsic { seq, hash: entry.hash, bytes: entry.bytes.clone() })
        });
        ready.collect()
    }

    /// Updates the pool after block `tip`: removes included, invalid and expired extrinsics.
    pub(crate) fn advance(
        &self,
        tip: Head,
        included: &[Seq],
        invalid: &[Seq],
    ) -> Vec<IncludedExtrinsic> {
        let mut inner = self.lock();
        let expired = inner.graph.expired(tip.number());
        let entries =
            included.iter().filter_map(|seq| inner.graph.include(*seq)).collect::<Vec<_>>();
        for entry in &entries {
            inner.bans.put(entry.hash, Instant::now());
        }
        for seq in invalid.iter().chain(&expired) {
            if let Some(entry) = inner.graph.remove(*seq) {
                inner.bans.put(entry.hash, Instant::now());
                entry.status_sender.send(TxEvent::Invalid);
            }
        }
        inner.tip = tip;
        crate::meter::set_pool_size(inner.graph.ready_count(), inner.graph.len());
        entries
            .into_iter()
            .map(|entry| IncludedExtrinsic { status_sender: entry.status_sender })
            .collect()
    }

    /// Resets the pool to `tip` when later blocks were lost before their commit, so that their
    /// extrinsics can be submitted again.
    pub(crate) fn roll_back(&self, tip: Head) {
        let mut inner = self.lock();
        inner.tip = tip;
        inner.bans.clear();
    }

    /// Empties the pool when the chain is reverted to `tip`. Extrinsics of later blocks can be
    /// submitted again.
    pub(crate) fn reset(&self, tip: Head) {
        let mut inner = self.lock();
        inner.tip = tip;
        inner.bans.clear();
        for entry in std::mem::take(&mut inner.graph).iter_entries() {
            entry.status_sender.send(TxEvent::Dropped);
        }
        crate::meter::set_pool_size(0, 0);
    }

    /// Closes the pool to new extrinsics, and reports all pooled ones as dropped.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        let graph = std::mem::take(&mut inner.graph);
        for entry in graph.iter_entries() {
            entry.status_sender.send(TxEvent::Dropped);
        }
    }

    /// Returns the block on whose state extrinsics are validated.
    pub(crate) fn tip(&self) -> Head {
        self.lock().tip.clone()
    }

    /// Returns the next nonce of an account: the chain's nonce plus the number of consecutive
    /// extrinsics in the pool.
    ///
    /// # Errors
    /// [`SubmitError`] when the chain cannot be read.
    pub(crate) fn next_nonce(
        &self,
        store: &Store,
        account: &AccountId,
    ) -> Result<u32, SubmitError> {
        let tip = self.tip();
        let state = store.tip_state(&tip)?;
        let mut nonce: u32 = call_as(
            &mut Overlay::default(),
            &state,
            "AccountNonceApi_account_nonce",
            &account.encode(),
        )?;
        let inner = self.lock();
        while inner.graph.provides(&nonce_tag(account, nonce)) {
            nonce = nonce.saturating_add(1);
        }
        Ok(nonce)
    }

    /// Returns all pooled extrinsics, in order of arrival.
    pub(crate) fn all_extrinsics(&self) -> Vec<Arc<[u8]>> {
        self.lock().graph.iter_entries().map(|entry| entry.bytes.clone()).collect()
    }

    /// Returns the number of ready extrinsics and the number of all extrinsics.
    pub(crate) fn ready_and_total(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.graph.ready_count(), inner.graph.len())
    }
}

fn validate(store: &Store, tip: &Head, bytes: &[u8]) -> Result<ValidTransaction, SubmitError> {
    let state = store.tip_state(tip)?;
    let mut data = TransactionSource::External.encode();
    data.extend_from_slice(bytes);
    tip.hash.encode_to(&mut data);
    let validity: TransactionValidity = call_as(
        &mut Overlay::default(),
        &state,
        "TaggedTransactionQueue_validate_transaction",
        &data,
    )?;
    Ok(validity?)
}

fn sender_of(extrinsic: &UncheckedExtrinsic) -> Option<AccountId> {
    match &extrinsic.preamble {
        Preamble::Signed(MultiAddress::Id(account), ..) => Some(account.clone()),
        _ => None,
    }
}
