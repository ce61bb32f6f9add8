//! What is to be done for an intent, as things stand.

use taonet_chain::{ChainError, Inclusion, Outcome};

use super::now::{Now, When, epoch_at};
use super::{Step, Submitter, Turn};
use crate::{Intent, IntentState, Signed, State, SubmitError};

/// So many of the last blocks has every node, also one that prunes.
const KEPT_BLOCKS: u32 = 256;

impl Submitter {
    /// Takes an intent as far as it can be taken now.
    pub(super) async fn drive(&self, intent: &mut Intent, now: &Now, turn: &mut Turn) -> Result<(), SubmitError> {
        if intent.state != IntentState::Open {
            return Ok(());
        }
        let when = now.when(intent.plan.key.epoch);
        let submit = self.take_step(intent, Step::Submit, when, now, turn).await?;
        if let Some(epoch) = self.reveal_epoch(intent, submit.as_ref()).await? {
            self.take_step(intent, Step::Reveal, now.when(epoch), now, turn).await?;
        }
        self.conclude(intent, now).await
    }

    /// Signs anew after a refusal.
    pub(super) async fn sign_again(&self, intent: &mut Intent, now: &Now, turn: &mut Turn) -> Result<(), SubmitError> {
        let submit = self.latest(intent, Step::Submit).await?;
        let (step, refused, epoch) = match self.reveal_epoch(intent, submit.as_ref()).await? {
            Some(epoch) => (Step::Reveal, self.latest(intent, Step::Reveal).await?, epoch),
            None => (Step::Submit, submit, intent.plan.key.epoch),
        };
        let Some(refused) = refused else { return self.drive(intent, now, turn).await };
        if refused.state == State::Finalized {
            return Ok(());
        }
        if now.when(epoch) != When::Now {
            return Err(SubmitError::TooLate);
        }
        let only_nonce = match refused.state {
            // As long as it takes the same nonce, at most one of the two is ever in a block.
            State::Invalid => Some(refused.extrinsic.nonce),
            state if state.is_void() => None,
            _ => return Err(unsettled(&refused)),
        };
        if self.sign(intent, step, now, turn, only_nonce).await?.is_none() {
            return Err(unsettled(&refused));
        }
        self.conclude(intent, now).await
    }

    /// Notes what an intent has come to.
    async fn conclude(&self, intent: &mut Intent, now: &Now) -> Result<(), SubmitError> {
        let submit = self.latest(intent, Step::Submit).await?;
        let state = match self.reveal_epoch(intent, submit.as_ref()).await? {
            None => conclusion(submit.as_ref(), now.when(intent.plan.key.epoch)),
            // A commit that is undone takes its reveal with it.
            Some(_) if submit.is_some_and(|submit| submit.state != State::Finalized) => IntentState::Open,
            Some(epoch) => conclusion(self.latest(intent, Step::Reveal).await?.as_ref(), now.when(epoch)),
        };
        if state != intent.state {
            self.ledger.set_state(intent, state).await?;
        }
        Ok(())
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
        let Some(mut signed) = self.latest(intent, step).await? else {
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
        let Some(block) = inclusion_of(signed).map(|inclusion| inclusion.block) else { return Ok(()) };
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
        let finalized = self.chain.finalized_head().await?.number;
        if finalized < last_block {
            return Ok(());
        }
        let (hash, birth) = (signed.extrinsic.hash, signed.extrinsic.birth.number);
        match self.chain.lookup(hash, birth, last_block).await {
            Ok(found) => self.record(intent, step, signed, found.unwrap_or(Outcome::Expired { last_block })).await,
            Err(ChainError::NoSuchBlock(_)) if finalized.since(birth) > KEPT_BLOCKS => {
                Ok(self.ledger.mark(signed, State::Lost).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The epoch in which weights are to be revealed that were committed to by hash; `None` as long as no commit is in a
    /// block, and for the other forms.
    async fn reveal_epoch(&self, intent: &mut Intent, submit: Option<&Signed>) -> Result<Option<u64>, SubmitError> {
        let inclusion = submit.filter(|submit| is_effective(submit)).and_then(inclusion_of);
        let (Some(period), Some(inclusion)) = (intent.plan.form.reveal_after(), inclusion) else { return Ok(None) };
        let commit_epoch = if let Some(epoch) = intent.commit_epoch {
            epoch
        } else {
            let epoch = epoch_at(&*self.chain, intent.plan.key.netuid, inclusion.block).await?;
            self.ledger.set_commit_epoch(intent, Some(epoch)).await?;
            epoch
        };
        Ok(Some(commit_epoch.saturating_add(period)))
    }
}

fn inclusion_of(signed: &Signed) -> Option<&Inclusion> {
    signed.outcome.as_ref().and_then(Outcome::inclusion)
}

fn unsettled(signed: &Signed) -> SubmitError {
    SubmitError::Unsettled { state: signed.state, last_block: signed.extrinsic.last_block }
}

/// Whether the extrinsic is in a block and did there what it was meant to.
fn is_effective(signed: &Signed) -> bool {
    matches!(signed.state, State::Included | State::Finalized)
        && signed.outcome.as_ref().is_some_and(Outcome::is_success)
}

/// What an intent comes to whose last step has come so far.
fn conclusion(signed: Option<&Signed>, when: When) -> IntentState {
    match (signed.map(|signed| signed.state), when) {
        (Some(State::Finalized), _) => IntentState::Done,
        (None, When::Past) => IntentState::Missed,
        (Some(state), When::Past) if state.is_settled() => IntentState::Missed,
        _ => IntentState::Open,
    }
}
