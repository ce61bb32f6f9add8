//! Sending bytes and following them until it is certain what became of them, or the time is over.
//!
//! The same bytes are sent again, whatever breaks on the way, so that nothing can happen twice. Only final blocks are
//! evidence that something did not happen and never will; what a pool says is evidence only of the bytes' own faults, and
//! only while no other pool can have them.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::IgnoredAny;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash};
use tokio::time::{Instant, timeout, timeout_at};

use crate::rpc::RpcError;
use crate::{
    Block, ChainError, Follow, Inclusion, NonceLease, Outcome, RefusedBecause, SignedExtrinsic, UnknownBecause, Until,
};

/// The pool has it already.
const ALREADY_THERE: i32 = 1013;

/// What following asks of the nodes.
#[async_trait]
pub(super) trait Nodes: Sync {
    type Reports: Reports;

    /// The newest final block.
    async fn final_block(&self) -> Result<Block, ChainError>;

    /// The newest block.
    async fn newest_block(&self) -> Result<Block, ChainError>;

    /// Looks for an extrinsic in one block.
    async fn look(&self, extrinsic: ExtrinsicHash, block: BlockHash) -> Result<Looked, ChainError>;

    /// The next nonce of an account after a block.
    async fn next_nonce(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError>;

    /// Gives bytes to a pool.
    async fn offer(&self, bytes: &[u8]) -> Result<Offer<Self::Reports>, ChainError>;

    /// What the newest runtime has against an extrinsic.
    async fn objection(&self, extrinsic: &SignedExtrinsic) -> Result<Option<RefusedBecause>, ChainError>;

    /// Looks for an extrinsic in a block and its ancestors down to the one above `after`.
    async fn find(
        &self,
        extrinsic: ExtrinsicHash,
        last: BlockHash,
        after: BlockNumber,
    ) -> Result<Option<Inclusion>, ChainError> {
        let (mut block, mut before) = (last, None);
        loop {
            let looked = self.look(extrinsic, block).await?;
            if looked.number <= after || before.is_some_and(|before| looked.number >= before) {
                return Ok(None);
            }
            if looked.inclusion.is_some() {
                return Ok(looked.inclusion);
            }
            if looked.number == after.plus(1) {
                return Ok(None);
            }
            (block, before) = (looked.parent, Some(looked.number));
        }
    }
}

/// What a pool reports of an extrinsic.
#[async_trait]
pub(super) trait Reports: Send {
    /// `None` once nothing more is to come.
    async fn next(&mut self) -> Option<Status>;
}

/// What was seen in a block.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) number: BlockNumber,
    pub(super) parent: BlockHash,
    pub(super) inclusion: Option<Inclusion>,
}

/// How a pool takes bytes.
pub(super) struct Offer<R> {
    pub(super) answer: Result<R, RpcError>,
    /// Whether a node that gave no answer may have them as well.
    pub(super) others_may_have_it: bool,
}

/// The states of a watched extrinsic.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Status {
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

/// How long following may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// In all.
    pub(super) patience: Duration,
    /// Between two rounds.
    pub(super) pause: Duration,
    /// Without a report of the pool.
    pub(super) silence: Duration,
}

/// Sends and follows; see [`crate::Chain::submit`].
pub(super) async fn follow<N: Nodes>(
    nodes: &N,
    extrinsic: &SignedExtrinsic,
    follow: Follow,
    lease: Option<NonceLease>,
    times: Times,
) -> Outcome {
    let mut fate = Fate {
        nodes,
        extrinsic,
        until: follow.until,
        silence: times.silence,
        lease,
        searched: extrinsic.birth.number,
        may_be_pooled: follow.sent_before,
        included: None,
        refusal: None,
        error: None,
    };
    let now = Instant::now();
    let end = now.checked_add(times.patience).unwrap_or(now);
    loop {
        match timeout_at(end, fate.round()).await {
            Ok(Ok(Some(outcome))) => return fate.settle(outcome),
            Ok(round) => fate.error = round.err(),
            Err(_) => return fate.give_up(),
        }
        if Instant::now().checked_add(times.pause).is_none_or(|next| next >= end) {
            return fate.give_up();
        }
        tokio::time::sleep(times.pause).await;
    }
}

/// What is known of an extrinsic so far.
struct Fate<'a, N> {
    nodes: &'a N,
    extrinsic: &'a SignedExtrinsic,
    until: Until,
    silence: Duration,
    /// The turn to use the nonce, until a pool has the bytes.
    lease: Option<NonceLease>,
    /// The final blocks up to this one do not have it.
    searched: BlockNumber,
    /// Whether a pool may have it.
    may_be_pooled: bool,
    /// The block that it was in when last looked for, which may be undone.
    included: Option<Inclusion>,
    /// What a pool said against it last.
    refusal: Option<RefusedBecause>,
    /// What the last round failed with.
    error: Option<ChainError>,
}

/// What the blocks say.
enum Found {
    Decided(Outcome),
    /// Only time decides: it is in a block that is not final, or such blocks leave it no room.
    Open,
    Nowhere,
}

impl<N: Nodes> Fate<'_, N> {
    /// One round: search, send, watch. `None`: nothing is decided yet.
    async fn round(&mut self) -> Result<Option<Outcome>, ChainError> {
        match self.search().await? {
            Found::Decided(outcome) => return Ok(Some(outcome)),
            // A pool would refuse it now, and not look at it for a long time after.
            Found::Open => return Ok(None),
            Found::Nowhere => {}
        }
        let is_first = !std::mem::replace(&mut self.may_be_pooled, true);
        let offer = self.nodes.offer(&self.extrinsic.bytes).await?;
        match offer.answer {
            Ok(reports) => {
                self.taken();
                self.watch(reports).await
            }
            Err(error) if error.code == ALREADY_THERE => {
                self.taken();
                Ok(None)
            }
            Err(error) => self.refused(&error, is_first && !offer.others_may_have_it).await,
        }
    }

    /// Searches the blocks that are new since the last time, the final ones first: what is final when it is asked for stays
    /// so, whatever the newer blocks turn out to be.
    async fn search(&mut self) -> Result<Found, ChainError> {
        let SignedExtrinsic { hash, signer, nonce, last_block, .. } = *self.extrinsic;
        let finalized = self.nodes.final_block().await?;
        if finalized.number > self.searched {
            if let Some(inclusion) = self.nodes.find(hash, finalized.hash, self.searched).await? {
                return Ok(Found::Decided(Outcome::Finalized(inclusion)));
            }
            self.searched = finalized.number;
        }
        // A node that lags behind the last one decides nothing.
        if finalized.number >= self.searched && self.nodes.next_nonce(signer, finalized.hash).await? > nonce {
            return Ok(Found::Decided(Outcome::Superseded));
        }
        if let Some(last_block) = last_block.filter(|last| *last <= self.searched) {
            return Ok(Found::Decided(Outcome::Expired { last_block }));
        }
        let head = self.nodes.newest_block().await?;
        self.included = None;
        if head.number <= self.searched {
            return Ok(Found::Nowhere);
        }
        self.included = self.nodes.find(hash, head.hash, self.searched).await?;
        if let Some(inclusion) = &self.included {
            return Ok(match self.until {
                Until::Included => Found::Decided(Outcome::Included(inclusion.clone())),
                Until::Finalized => Found::Open,
            });
        }
        let is_over = last_block.is_some_and(|last| last <= head.number);
        let is_used = is_over || self.nodes.next_nonce(signer, head.hash).await? > nonce;
        Ok(if is_used { Found::Open } else { Found::Nowhere })
    }

    /// Follows the pool's reports until they decide something or end.
    async fn watch(&mut self, mut reports: N::Reports) -> Result<Option<Outcome>, ChainError> {
        loop {
            let Ok(Some(status)) = timeout(self.silence, reports.next()).await else { return Ok(None) };
            match status {
                Status::Future | Status::Ready | Status::Broadcast(_) => {}
                Status::Retracted(_) => self.included = None,
                Status::InBlock(_) | Status::Finalized(_) | Status::FinalityTimeout(_) => {
                    if let Found::Decided(outcome) = self.search().await? {
                        return Ok(Some(outcome));
                    }
                }
                // The next round finds the other one in a block.
                Status::Usurped(_) => return Ok(None),
                Status::Dropped => {
                    return Ok(match self.search().await? {
                        Found::Decided(outcome) => Some(outcome),
                        Found::Open => None,
                        Found::Nowhere => Some(Outcome::Dropped),
                    });
                }
                // Other pools may have it still.
                Status::Invalid => {
                    self.refusal = self.nodes.objection(self.extrinsic).await?;
                    return Ok(None);
                }
            }
        }
    }

    /// A pool will not have it. Whether that says anything of the bytes depends on what it says, and on whether it is the
    /// only pool that can have them.
    async fn refused(&mut self, error: &RpcError, is_alone: bool) -> Result<Option<Outcome>, ChainError> {
        let because = RefusedBecause::of_rpc_error(error.code, &error.message, error.data.as_deref());
        self.refusal = Some(because.clone());
        if !is_alone || !because.is_verdict() {
            return Ok(None);
        }
        Ok(match self.search().await? {
            Found::Decided(outcome) => Some(outcome),
            Found::Open => None,
            Found::Nowhere => Some(Outcome::Invalid(because)),
        })
    }

    /// A pool has it: the next caller may have the next nonce.
    fn taken(&mut self) {
        self.refusal = None;
        if let Some(lease) = self.lease.take().filter(|lease| lease.nonce() == self.extrinsic.nonce) {
            lease.used();
        }
    }

    /// The nonce of what no pool takes is free again.
    fn settle(mut self, outcome: Outcome) -> Outcome {
        if !matches!(outcome, Outcome::Invalid(_)) {
            self.taken();
        }
        outcome
    }

    /// The time is over.
    fn give_up(mut self) -> Outcome {
        let outcome = match (self.included.take(), &self.error, self.refusal.take()) {
            (Some(inclusion), ..) => Outcome::Included(inclusion),
            (None, Some(error), _) => Outcome::Unknown(UnknownBecause::of_error(error)),
            (None, None, Some(because)) => Outcome::Unknown(UnknownBecause::Refused(because)),
            (None, None, None) => Outcome::Unknown(UnknownBecause::NotYetIncluded { seen: self.searched }),
        };
        self.settle(outcome)
    }
}

#[cfg(test)]
mod tests;
