//! Submission through the MEV shield: a call stays encrypted until it is in a block.

use anyhow::Context as _;
use taonet_chain::{
    Call, Chain, ChainError, Era, Follow, NonceLease, Outcome, SignOptions, SignedExtrinsic,
    UnknownReason, Until, calls, time_for_blocks,
};
use taonet_shield::encrypt;
use taonet_wallet::Keypair;
use tokio::time::{Instant, timeout_at};

use super::chain_error;

/// Length of the eras, in blocks: a ciphertext is for the next two blocks only.
const ERA_BLOCKS: u32 = 8;

/// A call that is encrypted to the authors of the next blocks.
pub(super) struct Shielded {
    /// The extrinsic with the call, which is never sent in clear.
    pub(super) inner: SignedExtrinsic,
    /// The extrinsic with the ciphertext of `inner`.
    pub(super) outer: SignedExtrinsic,
}

impl Shielded {
    /// Signs the ciphertext with `nonce`, and the call with the nonce after it.
    pub(super) async fn sign(
        chain: &dyn Chain,
        call: &Call,
        signer: &Keypair,
        nonce: u32,
    ) -> anyhow::Result<Self> {
        let key = chain.shield_key().await.map_err(chain_error)?;
        let key = key.context(
            "the chain has no key of a MEV shield\nhint: submit the call without --mev-shield",
        )?;
        let options =
            |nonce| SignOptions { nonce, era: Era::Blocks(ERA_BLOCKS), ..SignOptions::default() };
        let inner = chain
            .sign(call, signer, options(nonce.saturating_add(1)))
            .await
            .map_err(chain_error)?;
        let ciphertext = encrypt(&key, &inner.bytes, &mut rand::rng())?;
        let outer = chain
            .sign(&calls::submit_encrypted(&ciphertext), signer, options(nonce))
            .await
            .map_err(chain_error)?;
        Ok(Self { inner, outer })
    }

    /// Submits the ciphertext, and tracks the call to its outcome. Returns the outcomes of the
    /// outer and the inner extrinsic; they are equal if no block includes the ciphertext.
    pub(super) async fn submit(
        &self,
        chain: &dyn Chain,
        follow: Follow,
        lease: NonceLease,
    ) -> (Outcome, Outcome) {
        let until_included = Follow { until: Until::Included, ..follow };
        let outer = chain.submit_leased(&self.outer, until_included, Some(lease)).await;
        let inner =
            if outer.is_success() { self.track(chain, follow).await } else { outer.clone() };
        (outer, inner)
    }

    /// Waits for a block that includes the inner extrinsic, or until its era is over.
    async fn track(&self, chain: &dyn Chain, follow: Follow) -> Outcome {
        let mut heads = chain.heads();
        let blocks = ERA_BLOCKS.saturating_add(follow.timeout_blocks);
        let deadline = Instant::now() + time_for_blocks(chain.block_time(), blocks);
        loop {
            let outcome = self
                .search_blocks(chain)
                .await
                .unwrap_or_else(|error| Outcome::Unknown(unknown_reason(error)));
            let is_decided = match outcome {
                Outcome::Included(_) => follow.until == Until::Included,
                Outcome::Unknown(_) => false,
                _ => true,
            };
            if is_decided || !matches!(timeout_at(deadline, heads.changed()).await, Ok(Ok(()))) {
                return outcome;
            }
        }
    }

    /// Searches the blocks of the inner extrinsic's era.
    async fn search_blocks(&self, chain: &dyn Chain) -> Result<Outcome, ChainError> {
        // Read before the search: a later block could be finalized after it.
        let finalized = chain.finalized_head().await?.number;
        let head = chain.head().await?.number.max(finalized);
        if let Some(outcome) =
            chain.lookup(self.inner.hash, self.inner.birth.number.plus(1), head).await?
        {
            return Ok(outcome);
        }
        let expired_block = self.inner.last_block.filter(|last| *last <= finalized);
        Ok(match expired_block {
            Some(last_block) => Outcome::Expired { last_block },
            None => Outcome::Unknown(UnknownReason::NotYetIncluded { seen: head }),
        })
    }
}

fn unknown_reason(error: ChainError) -> UnknownReason {
    let is_unreachable = matches!(error, ChainError::Unreachable { .. });
    let error = format!("{:#}", anyhow::Error::new(error));
    if is_unreachable {
        UnknownReason::Unreachable { error }
    } else {
        UnknownReason::Unreadable { error }
    }
}
