use async_trait::async_trait;
use serde_json::{Value as Json, json};
use subxt::ext::scale_value::Value;
use taonet_primitives::{AccountId, BlockHash, ExtrinsicHash, Rao};

use super::tracking::{
    self, BlockSearch, NodeApi, PoolResponse, Status, StatusStream, TrackingTimeouts,
};
use super::{HexBytes, Inner, hex_text};
use crate::rpc::{OpenedSubscription, Subscription};
use crate::runtime::Runtime;
use crate::{
    Block, ChainError, DryRun, Effect, Follow, NonceLease, Outcome, Phase, RefusalReason,
    SignedExtrinsic,
};

impl Inner {
    /// Submits an extrinsic and tracks it; see [`crate::Chain::submit_leased`].
    pub(super) async fn submit(
        &self,
        extrinsic: &SignedExtrinsic,
        follow: Follow,
        lease: Option<NonceLease>,
    ) -> Outcome {
        let timeouts = TrackingTimeouts::new(&self.rpc.timing, follow);
        tracking::submit_and_track(self, extrinsic, follow, lease, timeouts).await
    }

    pub(super) async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError> {
        let block = self.head().await?.hash;
        let runtime = self.runtime(block).await?;
        let validity = self.validity(extrinsic, &runtime, block).await?;
        let (api, method) = ("TransactionPaymentApi", "query_info");
        let length = u32::try_from(extrinsic.bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let args = [extrinsic.bytes.as_slice(), &length].concat();
        let info = runtime.api_result_json(
            api,
            method,
            &self.api_bytes(api, method, &args, block).await?,
        )?;
        let fee = info.get("partial_fee").and_then(Json::as_u64);
        let fee = fee
            .ok_or_else(|| ChainError::decode(format!("runtime API {api}.{method}"), MissingFee))?;
        let effect = self.simulate(extrinsic, &runtime).await?;
        Ok(DryRun {
            validity,
            fee: Rao::new(fee),
            call: runtime.decode_signed_call(extrinsic)?,
            effect,
        })
    }

    /// Has a development chain simulate an extrinsic; `None` if the node has no such method, or
    /// refuses the extrinsic.
    async fn simulate(
        &self,
        extrinsic: &SignedExtrinsic,
        runtime: &Runtime,
    ) -> Result<Option<Effect>, ChainError> {
        let params = json!([hex_text(&extrinsic.bytes)]);
        let simulated: DryRunResponse = match self.rpc.request("dev_dryRun", params).await {
            Ok(simulated) => simulated,
            Err(ChainError::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut events = runtime.decode_events(&simulated.events.0)?;
        events.retain(|event| event.phase == Phase::ApplyExtrinsic(simulated.index));
        Ok(runtime.dispatch_result(&events).map(|result| Effect { result, events }))
    }

    /// Returns whether the transaction pool would accept an extrinsic.
    async fn validity(
        &self,
        extrinsic: &SignedExtrinsic,
        runtime: &Runtime,
        block: BlockHash,
    ) -> Result<Result<(), RefusalReason>, ChainError> {
        let (api, method) = ("TaggedTransactionQueue", "validate_transaction");
        // Transaction source `External`, then the extrinsic, then the block.
        let args = [&[2_u8], extrinsic.bytes.as_slice(), block.as_bytes()].concat();
        let validity = runtime.api_result_json(
            api,
            method,
            &self.api_bytes(api, method, &args, block).await?,
        )?;
        Ok(validity.get("Err").map_or(Ok(()), |error| Err(refusal_from_json(error))))
    }
}

#[async_trait]
impl NodeApi for Inner {
    type Statuses = Subscription;

    async fn final_block(&self) -> Result<Block, ChainError> {
        self.finalized().await
    }

    async fn newest_block(&self) -> Result<Block, ChainError> {
        self.head().await
    }

    async fn search_block(
        &self,
        extrinsic: ExtrinsicHash,
        block: BlockHash,
    ) -> Result<BlockSearch, ChainError> {
        self.inclusion(extrinsic, block).await
    }

    async fn next_nonce(&self, account: AccountId, block: BlockHash) -> Result<u32, ChainError> {
        let account = Value::from_bytes(account.as_bytes());
        self.call_api("AccountNonceApi", "account_nonce", &[account], block).await
    }

    async fn submit_to_pool(&self, bytes: &[u8]) -> Result<PoolResponse<Subscription>, ChainError> {
        let params = json!([hex_text(bytes)]);
        let OpenedSubscription { result, tries } = self
            .rpc
            .subscribe("author_submitAndWatchExtrinsic", params, "author_unwatchExtrinsic")
            .await?;
        Ok(PoolResponse { result, other_pools_may_hold_it: tries > 1 })
    }

    async fn refusal_reason(
        &self,
        extrinsic: &SignedExtrinsic,
    ) -> Result<Option<RefusalReason>, ChainError> {
        let block = self.head().await?.hash;
        let runtime = self.runtime(block).await?;
        Ok(self.validity(extrinsic, &runtime, block).await?.err())
    }
}

#[async_trait]
impl StatusStream for Subscription {
    async fn next(&mut self) -> Option<Status> {
        serde_json::from_str(Subscription::next(self).await?.get()).ok()
    }
}

/// Converts the runtime's validity error from JSON.
fn refusal_from_json(error: &Json) -> RefusalReason {
    let invalid = error.get("Invalid");
    let custom = invalid.and_then(|invalid| invalid.get("Custom")).and_then(Json::as_u64);
    if let Some(code) = custom.and_then(|code| u8::try_from(code).ok()) {
        return RefusalReason::custom(code);
    }
    match invalid.and_then(Json::as_str) {
        Some("BadProof") => RefusalReason::BadSignature,
        Some("Stale") => RefusalReason::Stale,
        Some("Future") => RefusalReason::Future,
        Some("AncientBirthBlock") => RefusalReason::AncientBirthBlock,
        Some("Payment") => RefusalReason::Payment,
        _ => RefusalReason::Unreadable { message: error.to_string() },
    }
}

/// The response of `dev_dryRun`.
#[derive(Debug, serde::Deserialize)]
struct DryRunResponse {
    index: u32,
    /// The events of the block up to and including the extrinsic.
    events: HexBytes,
}

/// The response of `query_info` has no fee.
#[derive(Debug, thiserror::Error)]
#[error("the field partial_fee is missing")]
struct MissingFee;
