use serde::de::IgnoredAny;
use serde_json::{Value as Json, json};
use taonet_primitives::{BlockHash, BlockNumber, Rao};
use tokio::time::Instant;

use super::{Inner, hex_text};
use crate::rpc::{RpcError, Subscription, part};
use crate::{ChainError, DryRun, Follow, Inclusion, Outcome, RefusedBecause, SignedExtrinsic, UnknownBecause, Until};

/// The pool has it already.
const ALREADY_THERE: i32 = 1013;

impl Inner {
    /// Sends and follows; see [`crate::Chain::submit`].
    ///
    /// Whatever breaks on the way, the same bytes are sent again, so that nothing can happen twice; and before anything
    /// is said about them, the blocks are searched, so that what is in one is never called lost.
    pub(super) async fn submit(&self, extrinsic: &SignedExtrinsic, follow: Follow) -> Outcome {
        let block_time = part(self.rpc.pace.total(), 2);
        let patience = block_time.saturating_mul(follow.patience_blocks.saturating_add(1));
        let mut fate = Fate { inner: self, extrinsic, follow, searched: extrinsic.birth.number, refusal: None };
        let end = Instant::now().checked_add(patience);
        loop {
            let error = match fate.send().await {
                Ok(Some(outcome)) => return outcome,
                Ok(None) => None,
                Err(error) => Some(error),
            };
            if end.is_none_or(|end| Instant::now() >= end) {
                return fate.give_up(error);
            }
            tokio::time::sleep(self.rpc.pace.pause()).await;
        }
    }

    pub(super) async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError> {
        let block = self.head().await?.hash;
        let runtime = self.runtime(block).await?;
        let (api, method) = ("TaggedTransactionQueue", "validate_transaction");
        // The source: from outside. Then the extrinsic, then the block.
        let args = [&[2_u8], extrinsic.bytes.as_slice(), block.as_bytes()].concat();
        let answer = runtime.api_answer_json(api, method, &self.api_bytes(api, method, &args, block).await?)?;
        let validity = answer.get("Err").map_or(Ok(()), |error| Err(refusal(error)));
        let (api, method) = ("TransactionPaymentApi", "query_info");
        let length = u32::try_from(extrinsic.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let args = [extrinsic.bytes.as_slice(), &length].concat();
        let answer = runtime.api_answer_json(api, method, &self.api_bytes(api, method, &args, block).await?)?;
        let fee = answer.get("partial_fee").and_then(Json::as_u64);
        let fee = fee.ok_or_else(|| ChainError::decode(format!("runtime API {api}.{method}"), NoFee))?;
        Ok(DryRun { validity, fee: Rao::new(fee) })
    }
}

/// What is known of an extrinsic so far.
struct Fate<'a> {
    inner: &'a Inner,
    extrinsic: &'a SignedExtrinsic,
    follow: Follow,
    /// The blocks up to this one do not have it.
    searched: BlockNumber,
    /// What a pool said against it.
    refusal: Option<Outcome>,
}

/// The states of a watched extrinsic.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
enum Status {
    Future,
    Ready,
    Broadcast(IgnoredAny),
    InBlock(BlockHash),
    Retracted(IgnoredAny),
    FinalityTimeout(BlockHash),
    Finalized(BlockHash),
    Usurped(IgnoredAny),
    Dropped,
    Invalid,
}

impl Fate<'_> {
    /// One round: search, send, watch. `None`: nothing is decided yet.
    async fn send(&mut self) -> Result<Option<Outcome>, ChainError> {
        if let Some(outcome) = self.search().await? {
            return Ok(Some(outcome));
        }
        let params = json!([hex_text(&self.extrinsic.bytes)]);
        let rpc = &self.inner.rpc;
        let sent = rpc.subscribe("author_submitAndWatchExtrinsic", params, "author_unwatchExtrinsic").await?;
        match sent {
            Ok(subscription) => self.watch(subscription).await,
            Err(error) if error.code == ALREADY_THERE => Ok(None),
            Err(error) => self.refused(&error).await,
        }
    }

    /// Searches the blocks that are new since the last time.
    async fn search(&mut self) -> Result<Option<Outcome>, ChainError> {
        let head = self.inner.head().await?;
        let last = self.extrinsic.last_block.map_or(head.number, |last| last.min(head.number));
        let found = self.inner.search(self.extrinsic.hash, self.searched.plus(1), last).await?;
        if let Some(inclusion) = found {
            return self.included(inclusion).await;
        }
        // The newest ones may yet be undone and made anew with it.
        self.searched = self.searched.max(last.min(self.inner.finalized().await?.number));
        if self.inner.nonce_in_blocks(self.extrinsic.signer, head.hash).await? > self.extrinsic.nonce {
            return Ok(Some(Outcome::Superseded));
        }
        Ok(self
            .extrinsic
            .last_block
            .filter(|last| *last <= head.number)
            .map(|last_block| Outcome::Expired { last_block }))
    }

    /// It is in a block; `None` where that is not enough and has to be waited for.
    async fn included(&mut self, inclusion: Inclusion) -> Result<Option<Outcome>, ChainError> {
        let outcome = self.inner.settled(inclusion).await?;
        let is_enough = self.follow.until == Until::Included || outcome.is_settled();
        if is_enough {
            return Ok(Some(outcome));
        }
        self.refusal = Some(outcome);
        Ok(None)
    }

    /// Follows the pool's reports until they decide something or end.
    async fn watch(&mut self, mut reports: Subscription) -> Result<Option<Outcome>, ChainError> {
        let silence = self.inner.rpc.pace.silence();
        loop {
            let Ok(Some(raw)) = tokio::time::timeout(silence, reports.next()).await else { return Ok(None) };
            let Ok(status) = serde_json::from_str::<Status>(raw.get()) else { return Ok(None) };
            match status {
                Status::Future | Status::Ready | Status::Broadcast(_) | Status::Retracted(_) => {}
                Status::InBlock(block) | Status::Finalized(block) | Status::FinalityTimeout(block) => {
                    let Some(inclusion) = self.inner.inclusion(self.extrinsic.hash, block).await? else {
                        return Ok(None);
                    };
                    if let Some(outcome) = self.included(inclusion).await? {
                        return Ok(Some(outcome));
                    }
                }
                // The next round finds the other one in a block.
                Status::Usurped(_) => return Ok(None),
                Status::Dropped => {
                    return Ok(Some(self.search().await?.unwrap_or(Outcome::Dropped)));
                }
                Status::Invalid => {
                    if let Some(outcome) = self.search().await? {
                        return Ok(Some(outcome));
                    }
                    let because = self.inner.dry_run(self.extrinsic).await?.validity.err();
                    return Ok(because.map(Outcome::Invalid));
                }
            }
        }
    }

    /// A pool that will not have it may say so because it is in a block already.
    async fn refused(&mut self, error: &RpcError) -> Result<Option<Outcome>, ChainError> {
        if let Some(outcome) = self.search().await? {
            return Ok(Some(outcome));
        }
        let because = RefusedBecause::of_rpc_error(error.code, &error.message, error.data.as_deref());
        match because {
            // It is in a block that was not searched yet, or waits for one, or is refused for a reason given before.
            RefusedBecause::Stale | RefusedBecause::Banned => {
                self.refusal.get_or_insert(Outcome::Invalid(because));
                Ok(None)
            }
            because => Ok(Some(Outcome::Invalid(because))),
        }
    }

    /// The time is over.
    fn give_up(self, error: Option<ChainError>) -> Outcome {
        match (self.refusal, error) {
            (Some(known), _) => known,
            (None, Some(error)) => Outcome::Unknown(UnknownBecause::Unreachable { error: error.to_string() }),
            (None, None) => Outcome::Unknown(UnknownBecause::NotYetIncluded { seen: self.searched }),
        }
    }
}

/// The runtime's verdict before the pool, from JSON.
fn refusal(error: &Json) -> RefusedBecause {
    let invalid = error.get("Invalid");
    let custom = invalid.and_then(|invalid| invalid.get("Custom")).and_then(Json::as_u64);
    if let Some(code) = custom.and_then(|code| u8::try_from(code).ok()) {
        return RefusedBecause::custom(code);
    }
    match invalid.and_then(Json::as_str) {
        Some("BadProof") => RefusedBecause::BadSignature,
        Some("Stale") => RefusedBecause::Stale,
        Some("Future") => RefusedBecause::Future,
        Some("AncientBirthBlock") => RefusedBecause::AncientBirthBlock,
        Some("Payment") => RefusedBecause::Payment,
        _ => RefusedBecause::Unreadable { message: error.to_string() },
    }
}

/// The answer has no fee.
#[derive(Debug, thiserror::Error)]
#[error("there is no partial_fee")]
struct NoFee;
