//! Signs, stores and sends one extrinsic, and records its outcome.

use taonet_chain::{ChainError, Follow, HotkeyState, NonceLease, Outcome, SignOptions};

use super::chain_view::ChainView;
use super::{MechanismState, Step, StepProgress, Submitter};
use crate::form::{Sealing, hash_of, reveal_call, submit_call};
use crate::{Intent, IntentKey, IntentState, State, StoredExtrinsic, SubmitError};

impl Submitter {
    /// Signs an extrinsic for a step, stores its bytes and sends them. Returns `None` without
    /// signing if the epoch has too few blocks left, if an extrinsic signed earlier may still take
    /// effect, or while extrinsics of the hotkey are in the pool. Earlier extrinsics with the same
    /// nonce do not matter: at most one of them is ever included.
    pub(super) async fn sign(
        &self,
        intent: &mut Intent,
        step: Step,
        view: &ChainView,
        mechanism: &mut MechanismState,
    ) -> Result<Option<StoredExtrinsic>, SubmitError> {
        let Some(era) = view.era() else { return Ok(None) };
        if step == Step::Submit {
            view.check_age(intent.plan.state_block, mechanism)?;
        }
        let lease = self.chain.lease_nonce(self.hotkey().into()).await?;
        let mut earlier = self.ledger.extrinsics(intent, step).await?;
        earlier.retain(|signed| !signed.state.is_void());
        if earlier.iter().any(|signed| signed.extrinsic.nonce != lease.nonce()) {
            return Ok(None);
        }
        let IntentKey { netuid, mech, .. } = intent.plan.key;
        let state = self.chain.hotkey_state(netuid, mech, &self.hotkey(), view.head.into()).await?;
        // An extrinsic that is only in the pool may be one that the ledger does not know: wait for
        // its block.
        if state.nonce != lease.nonce() {
            return Ok(None);
        }
        self.check_chain_state(intent, step, view, &state).await?;
        let call = match step {
            Step::Submit => {
                let (beacon, block_time) = (&self.beacon, self.chain.block_time());
                let (head, local_time) = (view.head.number, self.time());
                let sealing = Sealing { beacon, head, block_time, state: &state, local_time };
                submit_call(&intent.plan, &view.rules, &sealing, &mut rand::rng())?
            }
            Step::Reveal => match reveal_call(&intent.plan) {
                Some(call) => call,
                None => return Ok(None),
            },
        };
        let options = SignOptions { nonce: lease.nonce(), era, ..SignOptions::default() };
        let extrinsic = match self.chain.sign(&call, &self.signer, options).await {
            Err(ChainError::TooLate(_)) => return Ok(None),
            signed => signed?,
        };
        self.notify(intent, step, StepProgress::Signed);
        for replaced in earlier.iter_mut().filter(|signed| signed.state.is_pending()) {
            self.ledger.set_extrinsic_state(replaced, State::Invalid).await?;
        }
        let mut signed = self.ledger.store(intent, step, extrinsic).await?;
        mechanism.has_signed |= step == Step::Submit;
        self.notify(intent, step, StepProgress::ExtrinsicStored);
        self.send(intent, step, &mut signed, Some(lease)).await?;
        Ok(Some(signed))
    }

    /// Fails if the chain shows that another ledger, such as the one that this ledger is an old
    /// copy of, has already carried out the step. The intent is then over, unless a fork may still
    /// revert the other extrinsic.
    async fn check_chain_state(
        &self,
        intent: &mut Intent,
        step: Step,
        view: &ChainView,
        state: &HotkeyState,
    ) -> Result<(), SubmitError> {
        let IntentKey { netuid, mech, epoch, .. } = intent.plan.key;
        let (error, is_final) = match step {
            Step::Submit => match view.update_in_epoch(state) {
                Some(block) => (
                    SubmitError::AlreadySubmitted { netuid, mech, block },
                    block <= view.finalized.number,
                ),
                None => return Ok(()),
            },
            Step::Reveal => match hash_of(&intent.plan) {
                Some(hash) if !state.commits.contains(&hash) => {
                    let commit = self.latest(intent, Step::Submit).await?;
                    let is_final = commit.is_some_and(|commit| commit.state == State::Finalized);
                    (SubmitError::NotCommitted { netuid, mech, epoch }, is_final)
                }
                _ => return Ok(()),
            },
        };
        if is_final {
            self.ledger.set_state(intent, IntentState::Missed).await?;
        }
        Err(error)
    }

    /// Sends stored bytes, for the first time or again, and records the outcome.
    pub(super) async fn send(
        &self,
        intent: &mut Intent,
        step: Step,
        signed: &mut StoredExtrinsic,
        lease: Option<NonceLease>,
    ) -> Result<(), SubmitError> {
        let lease = match lease {
            Some(lease) => lease,
            // Prevents other callers from using the nonce while the bytes are in flight.
            None => self.chain.lease_nonce(signed.extrinsic.signer).await?,
        };
        let sent_before = signed.state != State::Signed;
        if !sent_before {
            self.ledger.set_extrinsic_state(signed, State::Sent).await?;
        }
        self.notify(intent, step, StepProgress::Sending);
        let follow = Follow { sent_before, ..Follow::default() };
        let outcome = self.chain.submit_leased(&signed.extrinsic, follow, Some(lease)).await;
        self.notify(intent, step, StepProgress::ResponseReceived);
        self.record(intent, step, signed, outcome).await?;
        self.notify(intent, step, StepProgress::OutcomeStored);
        Ok(())
    }

    /// Records an outcome observed on the chain.
    pub(super) async fn record(
        &self,
        intent: &mut Intent,
        step: Step,
        signed: &mut StoredExtrinsic,
        outcome: Outcome,
    ) -> Result<(), SubmitError> {
        let recorded = signed.outcome.as_ref().and_then(Outcome::inclusion);
        let is_in_other_block = recorded.map(|inclusion| inclusion.block)
            != outcome.inclusion().map(|inclusion| inclusion.block);
        if step == Step::Submit && intent.commit_epoch.is_some() && is_in_other_block {
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
            "recorded the outcome of a weights extrinsic"
        );
        Ok(())
    }
}
