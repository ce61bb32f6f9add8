//! What is to be done for an intent, as things stand.

use taonet_chain::Outcome;

use super::now::{Now, When, epoch_at};
use super::{Step, Submitter, Turn};
use crate::{Form, Intent, IntentState, Signed, State, SubmitError};

impl Submitter {
    /// Takes an intent as far as it can be taken now.
    pub(super) async fn drive(&self, intent: &mut Intent, now: &Now, turn: &mut Turn) -> Result<(), SubmitError> {
        if intent.state != IntentState::Open {
            return Ok(());
        }
        let when = now.when(intent.new.key.epoch);
        let submit = self.take_step(intent, Step::Submit, when, now, turn).await?;
        let state = match (&submit, intent.new.form.reveal_after()) {
            (Some(submit), Some(period)) if is_effective(submit) => {
                let commit_epoch = self.commit_epoch(intent, submit).await?;
                let when = now.when(commit_epoch.saturating_add(period));
                let reveal = self.take_step(intent, Step::Reveal, when, now, turn).await?;
                // A commit that is undone takes its reveal with it.
                if submit.state == State::Finalized { conclusion(reveal.as_ref(), when) } else { IntentState::Open }
            }
            _ => conclusion(submit.as_ref(), when),
        };
        if state != intent.state {
            self.ledger.set_state(intent, state).await?;
        }
        Ok(())
    }

    /// Signs anew after a refusal.
    pub(super) async fn sign_again(&self, intent: &mut Intent, now: &Now, turn: &mut Turn) -> Result<(), SubmitError> {
        let submit = self.ledger.extrinsics(intent, Step::Submit).await?.pop();
        if let Some(refused) = submit {
            let unsettled = || {
                let (state, last_block) = (refused.state, refused.extrinsic.last_block);
                SubmitError::Unsettled { state, last_block }
            };
            match refused.state {
                State::Finalized => return Ok(()),
                state if state.is_void() => self.sign(intent, Step::Submit, now, turn, None).await?,
                // As long as it takes the same nonce, at most one of the two is ever in a block.
                State::Invalid => {
                    let nonce = refused.extrinsic.nonce;
                    self.sign(intent, Step::Submit, now, turn, Some(nonce)).await?.ok_or_else(unsettled)?
                }
                _ => return Err(unsettled()),
            };
        }
        self.drive(intent, now, turn).await
    }

    /// Takes one step as far as it can be taken now, and gives the extrinsic that counts.
    async fn take_step(
        &self,
        intent: &mut Intent,
        step: Step,
        when: When,
        now: &Now,
        turn: &mut Turn,
    ) -> Result<Option<Signed>, SubmitError> {
        let Some(mut signed) = self.ledger.extrinsics(intent, step).await?.pop() else {
            return if when == When::Now { self.sign(intent, step, now, turn, None).await } else { Ok(None) };
        };
        if signed.state == State::Included {
            self.confirm(intent, step, &mut signed).await?;
        }
        match (signed.state, when) {
            (State::Superseded | State::Expired | State::Withdrawn, When::Now) => {
                return self.sign(intent, step, now, turn, None).await;
            }
            (state, When::Now) if state.is_pending() => self.send(intent, step, &mut signed, None).await?,
            (State::Signed, When::Past) => self.ledger.mark(&mut signed, State::Withdrawn).await?,
            // Nothing is sent again for what is over. What was sent has its era.
            (state, _) if state.is_pending() || state == State::Invalid => {
                self.bury(intent, step, &mut signed).await?;
            }
            _ => {}
        }
        Ok(Some(signed))
    }

    /// Looks whether the block with an extrinsic is final, or undone.
    async fn confirm(&self, intent: &mut Intent, step: Step, signed: &mut Signed) -> Result<(), SubmitError> {
        let Some(block) = signed.outcome.as_ref().and_then(Outcome::inclusion).map(|inclusion| inclusion.block) else {
            return Ok(());
        };
        if self.chain.finalized_head().await?.number < block.number {
            return Ok(());
        }
        match self.chain.lookup(signed.extrinsic.hash, block.number, block.number).await? {
            Some(outcome) => self.record(intent, step, signed, outcome).await,
            None => Ok(self.ledger.mark(signed, State::Unknown).await?),
        }
    }

    /// Looks in the blocks of its era for an extrinsic that is not sent any more, once all of them are final.
    async fn bury(&self, intent: &mut Intent, step: Step, signed: &mut Signed) -> Result<(), SubmitError> {
        let Some(last_block) = signed.extrinsic.last_block else { return Ok(()) };
        if self.chain.finalized_head().await?.number < last_block {
            return Ok(());
        }
        let (hash, birth) = (signed.extrinsic.hash, signed.extrinsic.birth.number);
        let outcome = self.chain.lookup(hash, birth, last_block).await?.unwrap_or(Outcome::Expired { last_block });
        self.record(intent, step, signed, outcome).await
    }

    /// The epoch that the chain counts the commit to.
    async fn commit_epoch(&self, intent: &mut Intent, submit: &Signed) -> Result<u64, SubmitError> {
        if let Some(epoch) = intent.commit_epoch {
            return Ok(epoch);
        }
        let inclusion = submit.outcome.as_ref().and_then(Outcome::inclusion);
        let epoch = match inclusion {
            Some(inclusion) => epoch_at(&*self.chain, intent.new.key.netuid, inclusion.block).await?,
            None => intent.new.key.epoch,
        };
        self.ledger.set_commit_epoch(intent, Some(epoch)).await?;
        Ok(epoch)
    }
}

/// Whether the extrinsic is in a block and did there what it was meant to.
fn is_effective(signed: &Signed) -> bool {
    matches!(signed.state, State::Included | State::Finalized) && signed.outcome.as_ref().is_some_and(Outcome::is_success)
}

/// What an intent comes to whose last step has come so far.
fn conclusion(signed: Option<&Signed>, when: When) -> IntentState {
    match (signed.map(|signed| signed.state), when) {
        (Some(State::Finalized), _) => IntentState::Done,
        (None, When::Past) => IntentState::Missed,
        (Some(state), When::Past) if state.is_void() => IntentState::Missed,
        _ => IntentState::Open,
    }
}
