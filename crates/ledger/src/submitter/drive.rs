//! Decides and takes the next steps of an intent.

use taonet_chain::{ChainError, Inclusion, Outcome, SignedExtrinsic};

use super::chain_view::{ChainView, EpochTime, epoch_at};
use super::{MechanismState, Step, Submitter};
use crate::{Intent, IntentState, State, StoredExtrinsic, SubmitError};

/// The number of recent blocks whose state even pruning nodes keep.
const RETAINED_BLOCKS: u32 = 256;

impl Submitter {
    /// Advances an intent as far as currently possible.
    pub(super) async fn drive(
        &self,
        intent: &mut Intent,
        view: &ChainView,
        mechanism: &mut MechanismState,
    ) -> Result<(), SubmitError> {
        if intent.state != IntentState::Open {
            return Ok(());
        }
        let epoch_time = view.epoch_time(intent.plan.key.epoch);
        let submit = self.take_step(intent, Step::Submit, epoch_time, view, mechanism).await?;
        if let Some(epoch) = self.reveal_epoch(intent, submit.as_ref()).await? {
            self.take_step(intent, Step::Reveal, view.epoch_time(epoch), view, mechanism).await?;
        }
        self.settle_intent(intent, view).await
    }

    /// Signs again after a refusal.
    pub(super) async fn sign_again(
        &self,
        intent: &mut Intent,
        view: &ChainView,
        mechanism: &mut MechanismState,
    ) -> Result<(), SubmitError> {
        let submit = self.latest(intent, Step::Submit).await?;
        let (step, refused, epoch) = match self.reveal_epoch(intent, submit.as_ref()).await? {
            Some(epoch) => (Step::Reveal, self.latest(intent, Step::Reveal).await?, epoch),
            None => (Step::Submit, submit, intent.plan.key.epoch),
        };
        let Some(refused) = refused else { return self.drive(intent, view, mechanism).await };
        if refused.state == State::Finalized {
            return Ok(());
        }
        if view.epoch_time(epoch) != EpochTime::Current || view.era().is_none() {
            return Err(SubmitError::TooLate);
        }
        let is_refused = refused.state == State::Invalid || refused.state.is_void();
        if !is_refused || self.sign(intent, step, view, mechanism).await?.is_none() {
            return Err(unsettled(&refused));
        }
        self.settle_intent(intent, view).await
    }

    /// Sets the state of an intent from its extrinsics.
    async fn settle_intent(
        &self,
        intent: &mut Intent,
        view: &ChainView,
    ) -> Result<(), SubmitError> {
        let submit = self.latest(intent, Step::Submit).await?;
        let state = match self.reveal_epoch(intent, submit.as_ref()).await? {
            None => conclude(submit.as_ref(), view.epoch_time(intent.plan.key.epoch)),
            // Reverting a commit also voids its reveal.
            Some(_) if submit.is_some_and(|submit| submit.state != State::Finalized) => {
                IntentState::Open
            }
            Some(epoch) => {
                conclude(self.latest(intent, Step::Reveal).await?.as_ref(), view.epoch_time(epoch))
            }
        };
        if state != intent.state {
            self.ledger.set_state(intent, state).await?;
        }
        Ok(())
    }

    /// Advances one step as far as currently possible, and returns the decisive extrinsic.
    async fn take_step(
        &self,
        intent: &mut Intent,
        step: Step,
        epoch_time: EpochTime,
        view: &ChainView,
        mechanism: &mut MechanismState,
    ) -> Result<Option<StoredExtrinsic>, SubmitError> {
        let Some(mut signed) = self.latest(intent, step).await? else {
            return if epoch_time == EpochTime::Current {
                self.sign(intent, step, view, mechanism).await
            } else {
                Ok(None)
            };
        };
        if signed.state == State::Included {
            self.confirm(intent, step, &mut signed, view).await?;
        }
        self.settle_replaced(intent, step, &mut signed, view).await?;
        match (signed.state, epoch_time) {
            (State::Superseded | State::Expired | State::Withdrawn, EpochTime::Current) => {
                return Ok(self.sign(intent, step, view, mechanism).await?.or(Some(signed)));
            }
            (state, EpochTime::Current)
                if (state.is_pending() || state == State::Invalid)
                    && self.is_from_other_runtime(&signed).await? =>
            {
                // No later runtime accepts these bytes. The new extrinsic has the same nonce, so at
                // most one of the two is ever included.
                if let Some(replacement) = self.sign(intent, step, view, mechanism).await? {
                    return Ok(Some(replacement));
                }
                if state.is_pending() {
                    self.send(intent, step, &mut signed, None).await?;
                }
            }
            (state, EpochTime::Current) if state.is_pending() => {
                self.send(intent, step, &mut signed, None).await?;
            }
            (State::Signed, EpochTime::Past) => {
                self.ledger.set_extrinsic_state(&mut signed, State::Withdrawn).await?;
            }
            // Nothing is resent for a past epoch. A sent extrinsic remains valid until its era
            // ends.
            (state, _) if state.is_pending() || state == State::Invalid => {
                self.settle_unsent(intent, step, &mut signed, view).await?;
            }
            _ => {}
        }
        Ok(Some(signed))
    }

    /// Checks whether the block that includes an extrinsic is finalized or reverted. Only the
    /// block's hash is needed, which nodes keep even after pruning.
    async fn confirm(
        &self,
        intent: &mut Intent,
        step: Step,
        signed: &mut StoredExtrinsic,
        view: &ChainView,
    ) -> Result<(), SubmitError> {
        let Some(inclusion) = inclusion_of(signed).cloned() else { return Ok(()) };
        let (block, finalized) = (inclusion.block, view.finalized.number);
        if finalized < block.number {
            return Ok(());
        }
        match self.chain.block_hash(block.number).await? {
            Some(hash) if hash == block.hash => {
                self.record(intent, step, signed, Outcome::Finalized(inclusion)).await
            }
            Some(_) => self.search_after_revert(intent, step, signed, view).await,
            None if finalized.since(block.number) > RETAINED_BLOCKS => {
                Ok(self.ledger.set_extrinsic_state(signed, State::Lost).await?)
            }
            None => Ok(()),
        }
    }

    /// Searches for an extrinsic again after its block was reverted, since another block may
    /// include it.
    async fn search_after_revert(
        &self,
        intent: &mut Intent,
        step: Step,
        signed: &mut StoredExtrinsic,
        view: &ChainView,
    ) -> Result<(), SubmitError> {
        let SignedExtrinsic { hash, birth, last_block, .. } = signed.extrinsic;
        let to = last_block.map_or(view.head.number, |last| last.min(view.head.number));
        match self.chain.lookup(hash, birth.number, to).await {
            Ok(Some(outcome)) => self.record(intent, step, signed, outcome).await,
            Ok(None) | Err(ChainError::NoSuchBlock(_)) => {
                Ok(self.ledger.set_extrinsic_state(signed, State::Unknown).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Settles an extrinsic that is no longer resent, by searching the blocks of its era once all
    /// of them are finalized.
    async fn settle_unsent(
        &self,
        intent: &mut Intent,
        step: Step,
        signed: &mut StoredExtrinsic,
        view: &ChainView,
    ) -> Result<(), SubmitError> {
        match self.end_state(signed, view).await? {
            EndState::Open => Ok(()),
            EndState::Known(outcome) => self.record(intent, step, signed, outcome).await,
            EndState::Lost => Ok(self.ledger.set_extrinsic_state(signed, State::Lost).await?),
        }
    }

    /// Searches for the extrinsics that `signed` replaced, under the same nonce: if one of them is
    /// in the chain, it is the decisive one, and `signed` can never be included.
    async fn settle_replaced(
        &self,
        intent: &mut Intent,
        step: Step,
        signed: &mut StoredExtrinsic,
        view: &ChainView,
    ) -> Result<(), SubmitError> {
        for mut replaced in self.ledger.extrinsics(intent, step).await? {
            if replaced.id == signed.id || replaced.state.is_settled() {
                continue;
            }
            match self.end_state(&replaced, view).await? {
                EndState::Open => {}
                EndState::Lost => {
                    self.ledger.set_extrinsic_state(&mut replaced, State::Lost).await?;
                }
                EndState::Known(outcome) => {
                    let is_included = outcome.inclusion().is_some();
                    if is_included && !signed.state.is_settled() {
                        self.ledger.set_extrinsic_state(signed, State::Superseded).await?;
                    }
                    self.record(intent, step, &mut replaced, outcome).await?;
                    if is_included {
                        *signed = replaced;
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the end state of an extrinsic, from the finalized blocks of its era.
    async fn end_state(
        &self,
        signed: &StoredExtrinsic,
        view: &ChainView,
    ) -> Result<EndState, SubmitError> {
        let (hash, birth, finalized) =
            (signed.extrinsic.hash, signed.extrinsic.birth.number, view.finalized.number);
        let Some(last_block) = signed.extrinsic.last_block.filter(|last| *last <= finalized) else {
            return Ok(EndState::Open);
        };
        match self.chain.lookup(hash, birth, last_block).await {
            Ok(outcome) => Ok(EndState::Known(outcome.unwrap_or(Outcome::Expired { last_block }))),
            Err(ChainError::NoSuchBlock(_)) if finalized.since(birth) > RETAINED_BLOCKS => {
                Ok(EndState::Lost)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the runtime was upgraded after signing, which invalidates the signature.
    async fn is_from_other_runtime(&self, signed: &StoredExtrinsic) -> Result<bool, SubmitError> {
        Ok(self.chain.spec_version().await? != signed.extrinsic.spec_version)
    }

    /// Returns the epoch in which to reveal a hash commit; `None` until the commit is in a block,
    /// and for other forms.
    async fn reveal_epoch(
        &self,
        intent: &mut Intent,
        submit: Option<&StoredExtrinsic>,
    ) -> Result<Option<u64>, SubmitError> {
        let inclusion = submit.filter(|submit| is_effective(submit)).and_then(inclusion_of);
        let (Some(period), Some(inclusion)) = (intent.plan.form.reveal_after(), inclusion) else {
            return Ok(None);
        };
        let commit_epoch = if let Some(epoch) = intent.commit_epoch {
            epoch
        } else {
            let is_final = submit.is_some_and(|submit| submit.state == State::Finalized);
            let epoch = match epoch_at(&*self.chain, intent.plan.key.netuid, inclusion.block).await
            {
                Ok(epoch) => epoch,
                // The nodes have pruned the block's state. The commit is in the planned epoch,
                // since its era ended with that epoch.
                Err(SubmitError::Chain(ChainError::NoSuchBlock(_))) if is_final => {
                    intent.plan.key.epoch
                }
                // The block is reverted, or the node does not have it yet.
                Err(SubmitError::Chain(ChainError::NoSuchBlock(_))) => return Ok(None),
                Err(error) => return Err(error),
            };
            self.ledger.set_commit_epoch(intent, Some(epoch)).await?;
            epoch
        };
        Ok(Some(commit_epoch.saturating_add(period)))
    }
}

/// The end state of an extrinsic that is no longer resent.
enum EndState {
    /// The era is not over, or its blocks are not all finalized.
    Open,
    Known(Outcome),
    /// The nodes have pruned the blocks that might contain the extrinsic.
    Lost,
}

fn inclusion_of(signed: &StoredExtrinsic) -> Option<&Inclusion> {
    signed.outcome.as_ref().and_then(Outcome::inclusion)
}

fn unsettled(signed: &StoredExtrinsic) -> SubmitError {
    SubmitError::Unsettled { state: signed.state, last_block: signed.extrinsic.last_block }
}

/// Whether the extrinsic is in a block and its call succeeded.
fn is_effective(signed: &StoredExtrinsic) -> bool {
    matches!(signed.state, State::Included | State::Finalized)
        && signed.outcome.as_ref().is_some_and(Outcome::is_success)
}

/// Returns the state of an intent, given the extrinsic of its last step.
fn conclude(signed: Option<&StoredExtrinsic>, epoch_time: EpochTime) -> IntentState {
    match (signed.map(|signed| signed.state), epoch_time) {
        (Some(State::Finalized), _) => IntentState::Done,
        (None, EpochTime::Past) => IntentState::Missed,
        (Some(state), EpochTime::Past) if state.is_settled() => IntentState::Missed,
        _ => IntentState::Open,
    }
}
