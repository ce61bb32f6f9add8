//! One extrinsic: signed, stored, sent, its outcome recorded.

use taonet_chain::{Follow, NonceLease, Outcome, SignOptions};

use super::now::Now;
use super::{Moment, Step, Submitter, Turn};
use crate::form::{Sealing, reveal_call, submit_call};
use crate::{Intent, Signed, State, SubmitError};

impl Submitter {
    /// Signs a step, stores the bytes and sends them. With `only_nonce` it does so under this nonce or, giving `None`,
    /// not at all.
    pub(super) async fn sign(
        &self,
        intent: &mut Intent,
        step: Step,
        now: &Now,
        turn: &mut Turn,
        only_nonce: Option<u32>,
    ) -> Result<Option<Signed>, SubmitError> {
        let call = match step {
            Step::Submit => {
                now.check_age(intent.plan.state_block, turn)?;
                let sealing = Sealing {
                    beacon: &self.beacon,
                    head: now.head.number,
                    block_time: self.chain.block_time(),
                    time: self.time(),
                };
                submit_call(&intent.plan, &now.rules, &sealing, &mut rand::rng())?
            }
            Step::Reveal => match reveal_call(&intent.plan) {
                Some(call) => call,
                None => return Ok(None),
            },
        };
        let lease = self.chain.lease_nonce(self.hotkey().into()).await?;
        if only_nonce.is_some_and(|nonce| nonce != lease.nonce()) {
            return Ok(None);
        }
        let options = SignOptions { nonce: lease.nonce(), era: now.era(), ..SignOptions::default() };
        let extrinsic = self.chain.sign(&call, &self.signer, options).await?;
        self.tell(intent, step, Moment::Signed);
        let mut signed = self.ledger.store(intent, step, extrinsic).await?;
        turn.has_signed |= step == Step::Submit;
        self.tell(intent, step, Moment::Stored);
        self.send(intent, step, &mut signed, Some(lease)).await?;
        Ok(Some(signed))
    }

    /// Sends stored bytes, for the first time or again, and records what the chain says.
    pub(super) async fn send(
        &self,
        intent: &mut Intent,
        step: Step,
        signed: &mut Signed,
        lease: Option<NonceLease>,
    ) -> Result<(), SubmitError> {
        let lease = match lease {
            Some(lease) => lease,
            // Nobody else here may take the nonce while the bytes are on their way.
            None => self.chain.lease_nonce(signed.extrinsic.signer).await?,
        };
        if signed.state == State::Signed {
            self.ledger.mark(signed, State::Sent).await?;
        }
        self.tell(intent, step, Moment::Sending);
        let outcome = self.chain.submit(&signed.extrinsic, Follow::default()).await;
        self.tell(intent, step, Moment::Answered);
        // The lease of bytes that a pool had before is for a later nonce, which stays free.
        if lease.nonce() == signed.extrinsic.nonce && !matches!(outcome, Outcome::Invalid(_)) {
            lease.used();
        }
        self.record(intent, step, signed, outcome).await?;
        self.tell(intent, step, Moment::Recorded);
        Ok(())
    }

    /// Records what the chain says.
    pub(super) async fn record(
        &self,
        intent: &mut Intent,
        step: Step,
        signed: &mut Signed,
        outcome: Outcome,
    ) -> Result<(), SubmitError> {
        let block = |outcome: Option<&Outcome>| outcome.and_then(Outcome::inclusion).map(|inclusion| inclusion.block);
        let is_elsewhere = block(signed.outcome.as_ref()) != block(Some(&outcome));
        if step == Step::Submit && intent.commit_epoch.is_some() && is_elsewhere {
            self.ledger.set_commit_epoch(intent, None).await?;
        }
        let key = intent.plan.key;
        self.ledger.record(signed, outcome).await?;
        tracing::info!(
            netuid = key.netuid.0,
            mech = key.mech.0,
            epoch = key.epoch,
            step = step.as_str(),
            state = signed.state.as_str(),
            extrinsic = %signed.extrinsic.hash,
            "weights"
        );
        Ok(())
    }
}
