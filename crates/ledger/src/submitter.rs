//! Carries out intents: signs, sends, retries and reveals.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, SystemTime};

use taonet_chain::weights::refusal;
use taonet_chain::{Chain, ChainError, WeightRow};
use taonet_primitives::{BlockHash, BlockNumber, Hotkey, MechId, NetUid, Uid};
use taonet_timelock::Beacon;
use taonet_wallet::Keypair;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::store::Plan;
use crate::{
    Intent, IntentKey, IntentState, Ledger, State, StoredExtrinsic, SubmissionForm, SubmitError,
};

mod attempt;
mod chain_view;
mod drive;

use chain_view::ChainView;

/// A source of the current time, used to compute the beacon round that weights are encrypted to.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// A callback for the progress of submissions, called from the submitting task.
pub type Observer = Arc<dyn Fn(&IntentKey, Step, StepProgress) + Send + Sync>;

/// The step of an intent that an extrinsic carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Submits the weights, or a commit to them.
    Submit,
    /// Reveals a hash commit.
    Reveal,
}

impl Step {
    pub(crate) const ALL: [Self; 2] = [Self::Submit, Self::Reveal];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Reveal => "reveal",
        }
    }
}

/// A point in the progress of a [`Step`]. Variants are in chronological order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepProgress {
    /// The intent is stored in the ledger.
    IntentStored,
    /// The call is signed; the bytes are only in memory.
    Signed,
    /// The bytes are stored in the ledger.
    ExtrinsicStored,
    /// The ledger has the state "sent"; the extrinsic is sent immediately afterwards.
    Sending,
    /// The chain has responded.
    ResponseReceived,
    /// The outcome is stored in the ledger.
    OutcomeStored,
}

/// Weights for a validator to submit.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWeights {
    /// The netuid of the subnet.
    pub netuid: NetUid,
    /// The mechanism of the subnet.
    pub mech: MechId,
    /// The weights by uid: scores after [`within_limits`](taonet_chain::weights::within_limits) and
    /// [`quantise`](taonet_chain::weights::quantise).
    pub weights: WeightRow,
    /// The version of the validator's code.
    pub version_key: u64,
    /// The block whose state the weights are based on.
    pub state_block: BlockNumber,
}

/// The progress of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// The intent of the submission. If an extrinsic signed earlier for the epoch may still take
    /// effect, this intent has the weights of that extrinsic.
    pub intent: Intent,
    /// The extrinsic that submits the weights, or a commit to them: the finalized one, otherwise
    /// the latest.
    pub submit: Option<StoredExtrinsic>,
    /// The extrinsic that reveals a hash commit: the finalized one, otherwise the latest.
    pub reveal: Option<StoredExtrinsic>,
}

/// Submits the weights of one hotkey to one chain, once per epoch. See the [crate
/// documentation](crate).
pub struct Submitter {
    ledger: Ledger,
    chain: Arc<dyn Chain>,
    signer: Keypair,
    genesis: BlockHash,
    beacon: Beacon,
    clock: Clock,
    observer: Observer,
    mechanisms: SyncMutex<MechanismStates>,
    /// The height of the newest block seen so far.
    seen: AtomicU32,
}

type MechanismStates = HashMap<(NetUid, MechId), Arc<Mutex<MechanismState>>>;

/// The state of a mechanism, locked during every operation on its intents.
#[derive(Debug, Default)]
struct MechanismState {
    /// Whether weights were signed since the process started.
    has_signed: bool,
}

impl fmt::Debug for Submitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { genesis, signer, .. } = self;
        f.debug_struct("Submitter")
            .field("genesis", genesis)
            .field("hotkey", &signer.hotkey())
            .finish_non_exhaustive()
    }
}

impl Submitter {
    /// Creates a submitter for the hotkey `signer`, and queries the chain for its genesis hash.
    ///
    /// # Errors
    /// [`ChainError`] when the request fails.
    pub async fn new(
        ledger: Ledger,
        chain: Arc<dyn Chain>,
        signer: Keypair,
    ) -> Result<Self, ChainError> {
        let zero = BlockNumber::new(0);
        let genesis = chain.block_hash(zero).await?.ok_or(ChainError::NoSuchBlock(zero.into()))?;
        Ok(Self {
            ledger,
            chain,
            signer,
            genesis,
            beacon: Beacon::quicknet().clone(),
            clock: Arc::new(SystemTime::now),
            observer: Arc::new(|_, _, _| {}),
            mechanisms: SyncMutex::default(),
            seen: AtomicU32::default(),
        })
    }

    /// Replaces the system clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Sets a callback for the progress of submissions.
    #[must_use]
    pub fn with_observer(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Returns the ledger, for reading intents and extrinsics.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Closes the ledger and releases its lock.
    ///
    /// # Errors
    /// [`LedgerError`](crate::LedgerError) when SQLite fails.
    pub async fn close(self) -> Result<(), crate::LedgerError> {
        self.ledger.close().await
    }

    /// Submits weights for the epoch of the next block, and tracks the extrinsic until a block
    /// includes it. While an extrinsic signed for the epoch, by this process or an earlier one, may
    /// still take effect, no other is signed: calling again only tracks the existing one. Newer
    /// weights replace the older ones only once none of those extrinsics can take effect.
    ///
    /// If nothing was signed and the epoch has too few blocks left, the weights are stored for the
    /// next epoch: they are signed when [`Submitter::advance`] is called in that epoch.
    ///
    /// # Errors
    /// [`SubmitError::AlreadySubmitted`] when the chain has weights of this hotkey for the epoch
    /// that the ledger does not know, and other errors when the ledger or the chain fails, or when
    /// the chain in its current state would not accept the weights.
    pub async fn submit(&self, weights: NewWeights) -> Result<Submission, SubmitError> {
        let mut mechanism = self.lock_mechanism(weights.netuid, weights.mech).await;
        let view = self.read_view(weights.netuid).await?;
        let mut key = self.key(weights.netuid, weights.mech, view.epoch);
        let mut binding_intent = self.binding_intent(&key, &view).await?;
        if binding_intent.is_none() && view.era().is_none() {
            key.epoch = key.epoch.saturating_add(1);
            binding_intent = self.binding_intent(&key, &view).await?;
        }
        let mut intent = if let Some(binding_intent) = binding_intent {
            binding_intent
        } else {
            self.check_not_submitted(&key, &view).await?;
            self.store_intent(key, weights, &view, &mechanism).await?
        };
        self.drive(&mut intent, &view, &mut mechanism).await?;
        self.submission(intent).await
    }

    /// Signs again after a refusal by the chain, such as a rate limit: the weights during their
    /// epoch, or a reveal during its epoch. Signs nothing unless the earlier extrinsic can no
    /// longer take effect, or has the same nonce.
    ///
    /// # Errors
    /// [`SubmitError::Unsettled`] if the earlier extrinsic may still take effect,
    /// [`SubmitError::TooLate`] when the epoch is over or nearly over, and the errors of
    /// [`Submitter::submit`].
    pub async fn retry(&self, key: &IntentKey) -> Result<Submission, SubmitError> {
        let mut mechanism = self.lock_mechanism(key.netuid, key.mech).await;
        let view = self.read_view(key.netuid).await?;
        let mut intent =
            self.ledger.intent(key).await?.ok_or(SubmitError::NothingToRetry(key.epoch))?;
        self.check_chain(&intent, &view).await?;
        self.sign_again(&mut intent, &view, &mut mechanism).await?;
        self.submission(intent).await
    }

    /// Advances all open intents: signs stored weights whose epoch has begun, tracks sent
    /// extrinsics, resends those that may be lost, and reveals commits. Call this method after a
    /// start and after every block. Returns the result for each open intent.
    ///
    /// # Errors
    /// [`SubmitError::Ledger`] when the ledger fails; other errors are returned with their intent.
    pub async fn advance(
        &self,
    ) -> Result<Vec<(IntentKey, Result<Submission, SubmitError>)>, SubmitError> {
        let mut results = Vec::new();
        for intent in self.ledger.intents(self.genesis, &self.signer.hotkey(), true).await? {
            let key = intent.plan.key;
            results.push((key, self.follow(&key).await));
        }
        Ok(results)
    }

    /// Advances the intent with this key, in any epoch, and returns its submission.
    ///
    /// # Errors
    /// [`SubmitError::NothingToRetry`] if there is no intent for `key`, and the errors of
    /// [`Submitter::submit`].
    pub async fn follow(&self, key: &IntentKey) -> Result<Submission, SubmitError> {
        let mut mechanism = self.lock_mechanism(key.netuid, key.mech).await;
        let view = self.read_view(key.netuid).await?;
        // Another task may have changed the intent before the lock was acquired.
        let mut intent =
            self.ledger.intent(key).await?.ok_or(SubmitError::NothingToRetry(key.epoch))?;
        self.check_chain(&intent, &view).await?;
        self.drive(&mut intent, &view, &mut mechanism).await?;
        self.submission(intent).await
    }

    /// Fails if the chain already has weights of the hotkey for the epoch, although the ledger has
    /// no extrinsic that may have submitted them.
    async fn check_not_submitted(
        &self,
        key: &IntentKey,
        view: &ChainView,
    ) -> Result<(), SubmitError> {
        let IntentKey { netuid, mech, epoch, .. } = *key;
        if epoch != view.epoch {
            return Ok(());
        }
        let state = self.chain.hotkey_state(netuid, mech, &self.hotkey(), view.head.into()).await?;
        view.update_in_epoch(&state)
            .map_or(Ok(()), |block| Err(SubmitError::AlreadySubmitted { netuid, mech, block }))
    }

    /// Stores the intent, after checking that the chain would accept its weights.
    async fn store_intent(
        &self,
        key: IntentKey,
        weights: NewWeights,
        view: &ChainView,
        mechanism: &MechanismState,
    ) -> Result<Intent, SubmitError> {
        let NewWeights { netuid, weights, version_key, state_block, .. } = weights;
        if version_key < view.rules.version_key {
            return Err(SubmitError::VersionKey {
                netuid,
                required: view.rules.version_key,
                actual: version_key,
            });
        }
        // Treats a single weight as a self-weight, which is always accepted; only the chain knows
        // whether it is one.
        let own = weights.first().map_or(Uid(0), |(uid, _)| *uid);
        if let Some(source) = refusal(&weights, own, &view.rules) {
            return Err(SubmitError::Limits { netuid, source });
        }
        view.check_age(state_block, mechanism)?;
        let form = SubmissionForm::of(netuid, &view.rules, &mut rand::rng())?;
        let anchor = view.finalized;
        let intent = self
            .ledger
            .store_intent(&Plan { key, anchor, state_block, form, weights, version_key })
            .await?;
        self.notify(&intent, Step::Submit, StepProgress::IntentStored);
        Ok(intent)
    }

    /// Reads the chain's current state. Fails if the node lags behind a block seen earlier.
    async fn read_view(&self, netuid: NetUid) -> Result<ChainView, SubmitError> {
        let view = ChainView::read(&*self.chain, netuid).await?;
        let head = view.head.number;
        let seen = BlockNumber::new(self.seen.fetch_max(head.get(), Ordering::Relaxed));
        if head < seen { Err(SubmitError::Behind { head, seen }) } else { Ok(view) }
    }

    /// Returns the intent for a key, if an extrinsic signed for the intent may still take effect,
    /// in which case its weights must not change.
    async fn binding_intent(
        &self,
        key: &IntentKey,
        view: &ChainView,
    ) -> Result<Option<Intent>, SubmitError> {
        let Some(intent) = self.ledger.intent(key).await? else { return Ok(None) };
        self.check_chain(&intent, view).await?;
        Ok(self.ledger.may_take_effect(&intent).await?.then_some(intent))
    }

    /// Fails if the node serves a different chain from the intent's, such as a restarted local
    /// chain with the same genesis.
    async fn check_chain(&self, intent: &Intent, view: &ChainView) -> Result<(), SubmitError> {
        let anchor = intent.plan.anchor;
        let hash = self.chain.block_hash(anchor.number).await?;
        // A pruning node may no longer have the block.
        let is_included =
            hash.is_none_or(|hash| hash == anchor.hash) && view.head.number >= anchor.number;
        if is_included { Ok(()) } else { Err(SubmitError::AnotherChain(anchor)) }
    }

    async fn submission(&self, intent: Intent) -> Result<Submission, SubmitError> {
        let submit = self.latest(&intent, Step::Submit).await?;
        let reveal = self.latest(&intent, Step::Reveal).await?;
        Ok(Submission { intent, submit, reveal })
    }

    /// Returns the decisive extrinsic of a step: the finalized one, otherwise the one signed last.
    async fn latest(
        &self,
        intent: &Intent,
        step: Step,
    ) -> Result<Option<StoredExtrinsic>, SubmitError> {
        let mut all = self.ledger.extrinsics(intent, step).await?;
        let in_chain = all.iter().position(|signed| signed.state == State::Finalized);
        Ok(in_chain.map(|index| all.swap_remove(index)).or_else(|| all.pop()))
    }

    fn key(&self, netuid: NetUid, mech: MechId, epoch: u64) -> IntentKey {
        IntentKey { genesis: self.genesis, hotkey: self.hotkey(), netuid, mech, epoch }
    }

    fn hotkey(&self) -> Hotkey {
        self.signer.hotkey()
    }

    /// Locks a mechanism, waiting for other tasks.
    async fn lock_mechanism(
        &self,
        netuid: NetUid,
        mech: MechId,
    ) -> OwnedMutexGuard<MechanismState> {
        let mechanism = {
            let mut mechanisms = self.mechanisms.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(mechanisms.entry((netuid, mech)).or_default())
        };
        mechanism.lock_owned().await
    }

    fn notify(&self, intent: &Intent, step: Step, progress: StepProgress) {
        (self.observer)(&intent.plan.key, step, progress);
    }

    /// Returns the time since the Unix epoch; zero for an earlier time.
    fn time(&self) -> Duration {
        (self.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }
}

impl Submission {
    /// Whether the intent is done: the weights, and a reveal if required, are in finalized blocks.
    pub fn is_done(&self) -> bool {
        self.intent.state == IntentState::Done
    }

    /// Whether the chain refused the latest extrinsic, in which case only [`Submitter::retry`]
    /// signs again.
    pub fn is_refused(&self) -> bool {
        self.latest().is_some_and(|signed| matches!(signed.state, State::Invalid | State::Failed))
    }

    /// Returns the latest extrinsic: the reveal, or otherwise the submission.
    pub fn latest(&self) -> Option<&StoredExtrinsic> {
        self.reveal.as_ref().or(self.submit.as_ref())
    }
}

#[cfg(test)]
mod tests;
