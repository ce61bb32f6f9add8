use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use taonet_primitives::{AccountId, BlockHash, BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Uid};
use taonet_wallet::Keypair;
use tokio::sync::watch;

use super::Client;
use crate::{
    At, Block, Call, Chain, ChainError, Detail, DryRun, Event, Follow, Metagraph, NonceLease, Outcome, SignOptions,
    SignedExtrinsic, WeightRow, WeightRules,
};

#[async_trait]
impl Chain for Client {
    fn block_time(&self) -> Duration {
        self.inner.rpc.pace.block_time()
    }

    async fn head(&self) -> Result<Block, ChainError> {
        self.inner.head().await
    }

    async fn finalized_head(&self) -> Result<Block, ChainError> {
        self.inner.finalized().await
    }

    fn heads(&self) -> watch::Receiver<Option<Block>> {
        self.inner.heads.subscribe()
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError> {
        self.inner.block_hash(number).await
    }

    async fn weight_rules(&self, netuid: NetUid, at: At) -> Result<WeightRules, ChainError> {
        self.inner.weight_rules(netuid, self.inner.hash(at).await?).await
    }

    async fn uid(&self, netuid: NetUid, hotkey: &Hotkey, at: At) -> Result<Option<Uid>, ChainError> {
        self.inner.uid(netuid, hotkey, self.inner.hash(at).await?).await
    }

    async fn metagraph(&self, netuid: NetUid, mech: MechId, detail: Detail, at: At) -> Result<Metagraph, ChainError> {
        self.inner.metagraph(netuid, mech, detail, self.inner.block(at).await?).await
    }

    async fn weights_of(&self, netuid: NetUid, mech: MechId, uid: Uid, at: At) -> Result<WeightRow, ChainError> {
        self.inner.weights_of(netuid, mech, uid, self.inner.hash(at).await?).await
    }

    async fn events(&self, at: At) -> Result<Vec<Event>, ChainError> {
        self.inner.events(self.inner.hash(at).await?).await
    }

    async fn lease_nonce(&self, account: AccountId) -> Result<NonceLease, ChainError> {
        let remember = self.inner.rpc.pace.shun();
        let next = self.inner.rpc.request("system_accountNextIndex", json!([account.to_string()]));
        Box::pin(self.inner.nonces.lease(account, remember, next)).await
    }

    async fn sign(&self, call: &Call, signer: &Keypair, options: SignOptions) -> Result<SignedExtrinsic, ChainError> {
        let (head, birth) = tokio::join!(self.inner.head(), self.inner.finalized());
        self.inner.runtime(head?.hash).await?.sign(call, signer, options, birth?)
    }

    async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError> {
        self.inner.dry_run(extrinsic).await
    }

    async fn submit(&self, extrinsic: &SignedExtrinsic, follow: Follow) -> Outcome {
        self.inner.submit(extrinsic, follow).await
    }

    async fn lookup(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError> {
        match self.inner.search(hash, from, to).await? {
            Some(inclusion) => self.inner.settled(inclusion).await.map(Some),
            None => Ok(None),
        }
    }
}
