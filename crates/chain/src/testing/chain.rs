//! The methods of a chain.

use std::time::Duration;

use async_trait::async_trait;
use taonet_primitives::{
    AccountId, BlockHash, BlockNumber, ExtrinsicHash, Hotkey, MechId, NetUid, Rao, Uid,
};
use taonet_wallet::Keypair;
use tokio::sync::watch;

use super::MockChain;
use crate::hash::blake2_256;
use crate::{
    At, Block, Call, Chain, ChainError, DecodedCall, Detail, DryRun, Event, Extrinsic, Follow,
    HotkeyState, Metagraph, NonceLease, Outcome, RefusalReason, SignOptions, SignedExtrinsic,
    WeightRow, WeightRules,
};

#[async_trait]
impl Chain for MockChain {
    fn block_time(&self) -> Duration {
        self.inner.block_time
    }

    async fn head(&self) -> Result<Block, ChainError> {
        Ok(self.reachable_state()?.head())
    }

    async fn finalized_head(&self) -> Result<Block, ChainError> {
        self.reachable_state()?.block(At::Finalized)
    }

    fn heads(&self) -> watch::Receiver<Option<Block>> {
        self.inner.heads.subscribe()
    }

    async fn block_hash(&self, number: BlockNumber) -> Result<Option<BlockHash>, ChainError> {
        Ok(self.reachable_state()?.block(At::Number(number)).ok().map(|block| block.hash))
    }

    async fn weight_rules(&self, netuid: NetUid, at: At) -> Result<WeightRules, ChainError> {
        let state = self.reachable_state()?;
        let block = state.state_at(at)?;
        let block = state.keeps_history.then_some(block.number);
        let rules = state.rules.get(&netuid).and_then(|versions| versions.at(block));
        rules.cloned().ok_or(ChainError::NoSuchSubnet(netuid))
    }

    async fn uid(
        &self,
        netuid: NetUid,
        hotkey: &Hotkey,
        at: At,
    ) -> Result<Option<Uid>, ChainError> {
        let state = self.reachable_state()?;
        let block = state.block(at)?;
        let metagraph = state.metagraph(netuid, MechId(0), block)?;
        Ok(metagraph
            .neurons
            .iter()
            .find(|neuron| neuron.hotkey == *hotkey)
            .map(|neuron| neuron.uid))
    }

    async fn hotkey_state(
        &self,
        netuid: NetUid,
        mech: MechId,
        hotkey: &Hotkey,
        at: At,
    ) -> Result<HotkeyState, ChainError> {
        let state = self.reachable_state()?;
        let block = state.state_at(at)?;
        Ok(state.hotkey_state(netuid, mech, (*hotkey).into(), block.number))
    }

    async fn metagraph(
        &self,
        netuid: NetUid,
        mech: MechId,
        detail: Detail,
        at: At,
    ) -> Result<Metagraph, ChainError> {
        let state = self.reachable_state()?;
        let block = state.state_at(at)?;
        let mut metagraph = Metagraph { block, ..state.metagraph(netuid, mech, block)?.clone() };
        if detail == Detail::Lite {
            (metagraph.weights, metagraph.bonds) = (None, None);
        }
        Ok(metagraph)
    }

    async fn weights_of(
        &self,
        netuid: NetUid,
        mech: MechId,
        uid: Uid,
        at: At,
    ) -> Result<WeightRow, ChainError> {
        let state = self.reachable_state()?;
        let block = state.block(at)?;
        let rows = state.metagraph(netuid, mech, block)?.weights.as_ref();
        Ok(rows.and_then(|rows| rows.get(usize::from(uid.0))).cloned().unwrap_or_default())
    }

    async fn events(&self, at: At) -> Result<Vec<Event>, ChainError> {
        let state = self.reachable_state()?;
        let block = state.block(at)?;
        if state.has_unknown_events {
            return Err(ChainError::decode("System.Events", "unknown type"));
        }
        Ok(state
            .blocks
            .get(block.number.get() as usize)
            .map(|block| block.events.clone())
            .unwrap_or_default())
    }

    async fn extrinsics(&self, at: At) -> Result<Vec<Extrinsic>, ChainError> {
        let state = self.reachable_state()?;
        let block = state.block(at)?;
        Ok(state
            .blocks
            .get(block.number.get() as usize)
            .map(|block| block.decoded_extrinsics.clone())
            .unwrap_or_default())
    }

    async fn spec_version(&self) -> Result<u32, ChainError> {
        Ok(self.reachable_state()?.spec_version)
    }

    async fn lease_nonce(&self, account: AccountId) -> Result<NonceLease, ChainError> {
        let next = async { Ok(self.reachable_state()?.next_nonce(account)) };
        // Blocks are produced immediately, so used nonces need not be remembered.
        self.inner.nonces.lease(account, self.inner.block_time, Duration::ZERO, next).await
    }

    async fn sign(
        &self,
        call: &Call,
        signer: &Keypair,
        options: SignOptions,
    ) -> Result<SignedExtrinsic, ChainError> {
        let mut state = self.reachable_state()?;
        let birth = state.block(At::Finalized)?;
        let last_block = options.era.check_last_block(birth.number, state.head().number)?;
        let spec_version = state.spec_version;
        let mut bytes = format!("{call:?} {options:?} {birth}").into_bytes();
        // Signatures are randomised, as on the real chain: signing twice gives two different
        // extrinsics.
        bytes.extend(signer.sign(&bytes).as_bytes());
        let hash = ExtrinsicHash::from_bytes(blake2_256(&bytes));
        state.signed_calls.insert(hash, call.clone());
        let signer = signer.public().coldkey().into();
        Ok(SignedExtrinsic {
            bytes,
            hash,
            signer,
            nonce: options.nonce,
            birth,
            last_block,
            spec_version,
        })
    }

    async fn call_hash(&self, call: &Call) -> Result<[u8; 32], ChainError> {
        // The mock cannot encode calls.
        self.reachable_state().map(|_| blake2_256(format!("{call:?}").as_bytes()))
    }

    async fn shield_key(&self) -> Result<Option<Vec<u8>>, ChainError> {
        Ok(self.reachable_state()?.shield_key.clone())
    }

    async fn dry_run(&self, extrinsic: &SignedExtrinsic) -> Result<DryRun, ChainError> {
        let state = self.reachable_state()?;
        let is_stale = state.next_nonce(extrinsic.signer) > extrinsic.nonce;
        let signed = state.signed_calls.get(&extrinsic.hash);
        let (pallet, name) = signed
            .map(|call| (call.pallet().to_owned(), call.name().to_owned()))
            .unwrap_or_default();
        // The mock cannot encode calls.
        let call = DecodedCall { pallet, name, args: serde_json::Value::Null, data: Vec::new() };
        let validity = if is_stale { Err(RefusalReason::Stale) } else { Ok(()) };
        Ok(DryRun { validity, fee: Rao::ZERO, call, effect: state.effect.clone() })
    }

    async fn submit_leased(
        &self,
        extrinsic: &SignedExtrinsic,
        follow: Follow,
        lease: Option<NonceLease>,
    ) -> Outcome {
        let outcome = self.submit_immediately(extrinsic, follow);
        if let Some(lease) = lease.filter(|_| !matches!(outcome, Outcome::Invalid(_))) {
            lease.mark_used();
        }
        outcome
    }

    async fn lookup(
        &self,
        hash: ExtrinsicHash,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Option<Outcome>, ChainError> {
        let state = self.reachable_state()?;
        state.block(At::Number(to))?;
        if from < state.first_unpruned {
            return Err(ChainError::NoSuchBlock(At::Number(from)));
        }
        Ok(state.outcome_of(hash, from, to))
    }
}
