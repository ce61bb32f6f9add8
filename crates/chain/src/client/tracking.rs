//! Submits an extrinsic and tracks it until its outcome is certain or the timeout expires.
//!
//! Every retry sends the same bytes, so that the call takes effect at most once. Only finalized
//! blocks prove that an extrinsic can never be included. A refusal by a pool proves this only if
//! the extrinsic itself is invalid and no other pool can hold it.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::IgnoredAny;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash};
use tokio::time::{Instant, timeout, timeout_at};

use crate::rpc::{BlockTiming, RpcError};
use crate::{
    Block, ChainError, Follow, Inclusion, NonceLease, Outcome, RefusalReason, SignedExtrinsic,
    UnknownReason, Until,
};

/// JSON-RPC error code: the extrinsic is already in the pool.
const ALREADY_IN_POOL: i32 = 1013;

/// The node requests that are needed to track an extrinsic.
#[async_trait]
pub(crate) trait NodeApi: Sync {
    type Statuses: StatusStream;

    /// Returns the newest finalized block.
    async fn final_block(&self) -> Result<Block, ChainError>;

    /// Returns the newest block.
    async fn newest_block(&self) -> Result<Block, ChainError>;

    /// Looks for an extrinsic in one block.
    async fn search_block(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<BlockSearch, ChainError>;

    /// Returns the next nonce of an account after a block.
    async fn next_nonce(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError>;

    /// Submits bytes to a pool.
    async fn submit_to_pool(
        &self,
        bytes: &[u8],
    ) -> Result<PoolResponse<Self::Statuses>, ChainError>;

    /// Returns why the newest runtime refuses an extrinsic; `None` if it accepts the extrinsic.
    async fn refusal_reason(
        &self,
        extrinsic: &SignedExtrinsic,
    ) -> Result<Option<RefusalReason>, ChainError>;

    /// Looks for an extrinsic in the block `last` and its ancestors above height `after`.
    async fn find_inclusion(
        &self,
        extrinsic: ExtrinsicHash,
        last: BlockHash,
        after: BlockNumber,
    ) -> Result<Option<Inclusion>, ChainError> {
        let (mut block, mut previous_number) = (last, None);
        loop {
            let search = self.search_block(extrinsic, block).await?;
            if search.number <= after
                || previous_number.is_some_and(|previous_number| search.number >= previous_number)
            {
                return Ok(None);
            }
            if search.inclusion.is_some() {
                return Ok(search.inclusion);
            }
            if search.number == after.plus(1) {
                return Ok(None);
            }
            (block, previous_number) = (search.parent, Some(search.number));
        }
    }
}

/// A stream of a pool's status notifications for a watched extrinsic.
#[async_trait]
pub(crate) trait StatusStream: Send {
    /// Returns the next status; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Status>;
}

/// The result of looking for an extrinsic in a block.
#[derive(Debug)]
pub(crate) struct BlockSearch {
    pub(crate) number: BlockNumber,
    pub(crate) parent: BlockHash,
    pub(crate) inclusion: Option<Inclusion>,
}

/// A pool's response to submitted bytes.
pub(crate) struct PoolResponse<R> {
    pub(crate) result: Result<R, RpcError>,
    /// Whether a node that did not respond may hold the extrinsic in its pool.
    pub(crate) other_pools_may_hold_it: bool,
}

/// The status of a watched extrinsic, as reported by a pool.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    Future,
    Ready,
    Broadcast(IgnoredAny),
    InBlock(IgnoredAny),
    Retracted(IgnoredAny),
    FinalityTimeout(IgnoredAny),
    Finalized(IgnoredAny),
    Usurped(IgnoredAny),
    Dropped,
    Invalid,
}

/// The timeouts and intervals for tracking an extrinsic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrackingTimeouts {
    /// The timeout of the whole submission.
    pub(crate) total_timeout: Duration,
    /// The delay between attempts, each of which searches the chain and resubmits the extrinsic.
    pub(crate) retry_delay: Duration,
    /// The timeout for the pool's next status notification.
    pub(crate) status_timeout: Duration,
}

impl TrackingTimeouts {
    pub(crate) fn new(timing: &BlockTiming, follow: Follow) -> Self {
        let total_timeout =
            timing.timeout_block_time().saturating_mul(follow.timeout_blocks.saturating_add(1));
        Self {
            total_timeout,
            retry_delay: timing.retry_delay(),
            status_timeout: timing.read_timeout(),
        }
    }
}

/// Submits an extrinsic and tracks it; see [`crate::Chain::submit`].
pub(crate) async fn submit_and_track<N: NodeApi>(
    nodes: &N,
    extrinsic: &SignedExtrinsic,
    follow: Follow,
    lease: Option<NonceLease>,
    timeouts: TrackingTimeouts,
) -> Outcome {
    let mut tracker = SubmissionTracker {
        nodes,
        extrinsic,
        until: follow.until,
        status_timeout: timeouts.status_timeout,
        lease,
        searched_up_to: extrinsic.birth.number,
        may_be_pooled: follow.sent_before,
        latest_inclusion: None,
        refusal: None,
        error: None,
    };
    let now = Instant::now();
    let deadline = now.checked_add(timeouts.total_timeout).unwrap_or(now);
    loop {
        match timeout_at(deadline, tracker.run_round()).await {
            Ok(Ok(Some(outcome))) => return tracker.settle(outcome),
            Ok(result) => tracker.error = result.err(),
            Err(_) => return tracker.time_out(),
        }
        if Instant::now().checked_add(timeouts.retry_delay).is_none_or(|next| next >= deadline) {
            return tracker.time_out();
        }
        tokio::time::sleep(timeouts.retry_delay).await;
    }
}

/// The state of tracking one extrinsic.
struct SubmissionTracker<'a, N> {
    nodes: &'a N,
    extrinsic: &'a SignedExtrinsic,
    until: Until,
    status_timeout: Duration,
    /// The nonce lease, held until a pool accepts the extrinsic.
    lease: Option<NonceLease>,
    /// Height of the newest finalized block searched; no block up to it includes the extrinsic.
    searched_up_to: BlockNumber,
    /// Whether a pool may hold the extrinsic.
    may_be_pooled: bool,
    /// The inclusion found by the last search; its block may still be reverted.
    latest_inclusion: Option<Inclusion>,
    /// The latest refusal by a pool.
    refusal: Option<RefusalReason>,
    /// The error of the last round.
    error: Option<ChainError>,
}

/// The result of searching the blocks.
enum SearchResult {
    Decided(Outcome),
    /// A block that is not finalized includes the extrinsic, uses its nonce, or ends its era.
    Undecided,
    NotFound,
}

impl<N: NodeApi> SubmissionTracker<'_, N> {
    /// Runs one round: search, submit, watch. Returns `None` while the outcome is open.
    async fn run_round(&mut self) -> Result<Option<Outcome>, ChainError> {
        match self.search().await? {
            SearchResult::Decided(outcome) => return Ok(Some(outcome)),
            // A pool would refuse the extrinsic now, and ban it for a long time.
            SearchResult::Undecided => return Ok(None),
            SearchResult::NotFound => {}
        }
        let is_first = !std::mem::replace(&mut self.may_be_pooled, true);
        let response = self.nodes.submit_to_pool(&self.extrinsic.bytes).await?;
        match response.result {
            Ok(statuses) => {
                self.mark_nonce_used();
                self.watch(statuses).await
            }
            Err(error) if error.code == ALREADY_IN_POOL => {
                self.mark_nonce_used();
                Ok(None)
            }
            Err(error) => {
                self.handle_refusal(&error, is_first && !response.other_pools_may_hold_it).await
            }
        }
    }

    /// Searches the blocks added since the last search. The finalized head is read first, since
    /// only newer blocks can be reverted.
    async fn search(&mut self) -> Result<SearchResult, ChainError> {
        let SignedExtrinsic { hash, signer, nonce, last_block, .. } = *self.extrinsic;
        let finalized = self.nodes.final_block().await?;
        if finalized.number > self.searched_up_to {
            if let Some(inclusion) =
                self.nodes.find_inclusion(hash, finalized.hash, self.searched_up_to).await?
            {
                return Ok(SearchResult::Decided(Outcome::Finalized(inclusion)));
            }
            self.searched_up_to = finalized.number;
        }
        // A node that lags behind the last search proves nothing.
        if finalized.number >= self.searched_up_to
            && self.nodes.next_nonce(signer, finalized.hash).await? > nonce
        {
            return Ok(SearchResult::Decided(Outcome::Superseded));
        }
        if let Some(last_block) = last_block.filter(|last| *last <= self.searched_up_to) {
            return Ok(SearchResult::Decided(Outcome::Expired { last_block }));
        }
        let head = self.nodes.newest_block().await?;
        self.latest_inclusion = None;
        if head.number <= self.searched_up_to {
            return Ok(SearchResult::NotFound);
        }
        self.latest_inclusion =
            self.nodes.find_inclusion(hash, head.hash, self.searched_up_to).await?;
        if let Some(inclusion) = &self.latest_inclusion {
            return Ok(match self.until {
                Until::Included => SearchResult::Decided(Outcome::Included(inclusion.clone())),
                Until::Finalized => SearchResult::Undecided,
            });
        }
        let is_era_over = last_block.is_some_and(|last| last <= head.number);
        let is_nonce_used = is_era_over || self.nodes.next_nonce(signer, head.hash).await? > nonce;
        Ok(if is_nonce_used { SearchResult::Undecided } else { SearchResult::NotFound })
    }

    /// Reads the pool's notifications until one decides the outcome or the stream ends.
    async fn watch(&mut self, mut statuses: N::Statuses) -> Result<Option<Outcome>, ChainError> {
        loop {
            let Ok(Some(status)) = timeout(self.status_timeout, statuses.next()).await else {
                return Ok(None);
            };
            match status {
                Status::Future | Status::Ready | Status::Broadcast(_) => {}
                Status::Retracted(_) => self.latest_inclusion = None,
                Status::InBlock(_) | Status::Finalized(_) | Status::FinalityTimeout(_) => {
                    if let SearchResult::Decided(outcome) = self.search().await? {
                        return Ok(Some(outcome));
                    }
                }
                // The next round finds the other extrinsic in a block.
                Status::Usurped(_) => return Ok(None),
                Status::Dropped => {
                    return Ok(match self.search().await? {
                        SearchResult::Decided(outcome) => Some(outcome),
                        SearchResult::Undecided => None,
                        SearchResult::NotFound => Some(Outcome::Dropped),
                    });
                }
                // Other pools may still hold the extrinsic.
                Status::Invalid => {
                    self.refusal = self.nodes.refusal_reason(self.extrinsic).await?;
                    return Ok(None);
                }
            }
        }
    }

    /// Handles a refusal by a pool. The refusal decides the outcome only if the extrinsic itself is
    /// invalid and no other pool can hold it (`is_only_pool`).
    async fn handle_refusal(
        &mut self,
        error: &RpcError,
        is_only_pool: bool,
    ) -> Result<Option<Outcome>, ChainError> {
        let reason =
            RefusalReason::from_rpc_error(error.code, &error.message, error.data.as_deref());
        self.refusal = Some(reason.clone());
        if !is_only_pool || !reason.is_permanent() {
            return Ok(None);
        }
        Ok(match self.search().await? {
            SearchResult::Decided(outcome) => Some(outcome),
            SearchResult::Undecided => None,
            SearchResult::NotFound => Some(Outcome::Invalid(reason)),
        })
    }

    /// Marks the nonce as used and releases its lease, once a pool holds the extrinsic.
    fn mark_nonce_used(&mut self) {
        self.refusal = None;
        if let Some(lease) = self.lease.take().filter(|lease| lease.nonce() == self.extrinsic.nonce)
        {
            lease.mark_used();
        }
    }

    /// Returns the outcome, and marks the nonce as used unless the extrinsic is invalid.
    fn settle(mut self, outcome: Outcome) -> Outcome {
        if !matches!(outcome, Outcome::Invalid(_)) {
            self.mark_nonce_used();
        }
        outcome
    }

    /// Returns the outcome when the timeout expires.
    fn time_out(mut self) -> Outcome {
        let outcome = match (self.latest_inclusion.take(), &self.error, self.refusal.take()) {
            (Some(inclusion), ..) => Outcome::Included(inclusion),
            (None, Some(error), _) => Outcome::Unknown(UnknownReason::from_error(error)),
            (None, None, Some(reason)) => Outcome::Unknown(UnknownReason::Refused(reason)),
            (None, None, None) => {
                Outcome::Unknown(UnknownReason::NotYetIncluded { seen: self.searched_up_to })
            }
        };
        self.settle(outcome)
    }
}

#[cfg(test)]
mod tests;
