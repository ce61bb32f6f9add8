use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use taonet_primitives::{
    AccountId, BlockHash, BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Uid,
};
use taonet_wallet::Keypair;
use tokio::sync::watch;

use super::Client;
use crate::{
    At, Block, Call, Chain, ChainError, Detail, DryRun, Event, Extrinsic, Follow, HotkeyState,
    Metagraph, NonceLease, Outcome, SignOptions, SignedExtrinsic, WeightRow, WeightRules,
};

/// Number of blocks that a lookup may search within the timeout of one read.
const LOOKUP_BLOCKS: u32 = 64;

#[async_trait]
impl Chain for Client {
    fn block_time(&self) -> Duration {
        self.inner.rpc.timing.block_time()
    }

    async fn head(&self) -> Result<Block, ChainError> {
        self.inner.head().await
    }

    async fn finalized_head(&self) -> Result<Block, ChainError> {
        self.inner.rpc.with_timeout("finalized head", async { self.inner.finalized().await }).await
    }

    fn heads(&self) -> watch::Receiver<Option<Block>> {
        self.inner.heads.subscribe()
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError> {
        self.inner.block_hash(number).await
    }

    async fn weight_rules(&self, netuid: NetUid, at: At) -> Result<WeightRules, ChainError> {
        let read = async { self.inner.weight_rules(netuid, self.inner.hash(at).await?).await };
        self.inner.rpc.with_timeout("weight rules", read).await
    }

    async fn uid(
        &self,
        netuid: NetUid,
        hotkey: &Hotkey,
        at: At,
    ) -> Result<Option<Uid>, ChainError> {
        self.inner
            .rpc
            .with_timeout("uid", async {
                self.inner.uid(netuid, hotkey, self.inner.hash(at).await?).await
            })
            .await
    }

    async fn hotkey_state(
        &self,
        netuid: NetUid,
        mech: MechId,
        hotkey: &Hotkey,
        at: At,
    ) -> Result<HotkeyState, ChainError> {
        let read = async {
            let block = self.inner.hash(at).await?;
            Box::pin(self.inner.hotkey_state(netuid, mech, hotkey, block)).await
        };
        self.inner.rpc.with_timeout("hotkey state", read).await
    }

    async fn metagraph(
        &self,
        netuid: NetUid,
        mech: MechId,
        detail: Detail,
        at: At,
    ) -> Result<Metagraph, ChainError> {
        let read =
            async { self.inner.metagraph(netuid, mech, detail, self.inner.block(at).await?).await };
        self.inner.rpc.with_timeout("metagraph", read).await
    }

    async fn weights_of(
        &self,
        netuid: NetUid,
        mech: MechId,
        uid: Uid,
        at: At,
    ) -> Result<WeightRow, ChainError> {
        let read =
            async { self.inner.weights_of(netuid, mech, uid, self.inner.hash(at).await?).await };
        self.inner.rpc.with_timeout("weights", read).await
    }

    async fn events(&self, at: At) -> Result<Vec<Event>, ChainError> {
        self.inner
            .rpc
            .with_timeout("events", async { self.inner.events(self.inner.hash(at).await?).await })
            .await
    }

    async fn extrinsics(&self, at: At) -> Result<Vec<Extrinsic>, ChainError> {
        self.inner
            .rpc
            .with_timeout("extrinsics", async {
                self.inner.extrinsics(self.inner.hash(at).await?).await
            })
            .await
    }

    async fn spec_version(&self) -> Result<u32, ChainError> {
        let read = async { Ok(self.inner.newest_runtime().await?.spec_version) };
        self.inner.rpc.with_timeout("spec version", read).await
    }

    async fn lease_nonce(&self, account: AccountId) -> Result<NonceLease, ChainError> {
        let timing = &self.inner.rpc.timing;
        let next_nonce = self.inner.rpc.request_within(
            "system_accountNextIndex",
            json!([account.to_string()]),
            timing.timeout_block_time(),
        );
        // One block time to wait for the lease, one for the node.
        Box::pin(self.inner.nonces.lease(
            account,
            timing.timeout_block_time(),
            timing.skip_duration(),
            next_nonce,
        ))
        .await
    }

    async fn sign(
        &self,
        call: &Call,
        signer: &Keypair,
        options: SignOptions,
    ) -> Result<SignedExtrinsic, ChainError> {
        let read = async {
            let (head, birth) = tokio::try_join!(self.inner.head(), self.inner.finalized())?;
            self.inner.runtime(head.hash).await?.sign(call, signer, options, birth, head.number)
        };
        self.inner.rpc.with_timeout("sign", read).await
    }

    async fn call_hash(&self, call: &Call) -> Result<[u8; 32], ChainError> {
        Ok(self.decoded(call).await?.hash())
    }

    async fn shield_key(&self) -> Result<Option<Vec<u8>>, ChainError> {
        let read = async {
            let head = self.inner.head().await?;
            match self.inner.read_value("MevShield", "NextKey", &[], head.hash).await {
                Err(ChainError::NotInRuntime { .. }) => Ok(None),
                key => key,
            }
        };
        self.inner.rpc.with_timeout("shield key", read).await
    }

    async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError> {
        self.inner.rpc.with_timeout("dry run", async { self.inner.dry_run(extrinsic).await }).await
    }

    async fn submit_leased(
        &self,
        extrinsic: &SignedExtrinsic,
        follow: Follow,
        lease: Option<NonceLease>,
    ) -> Outcome {
        self.inner.submit(extrinsic, follow, lease).await
    }

    async fn lookup(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError> {
        let timing = &self.inner.rpc.timing;
        let read_count =
            to.since(from).checked_div(LOOKUP_BLOCKS).unwrap_or_default().saturating_add(1);
        let total_timeout = timing.read_timeout().saturating_mul(read_count);
        self.inner
            .rpc
            .run_with_timeout("lookup", total_timeout, self.inner.lookup(hash, from, to))
            .await
    }
}
