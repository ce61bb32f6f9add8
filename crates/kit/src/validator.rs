//! The validator of a subnet: it queries miners, scores their replies and submits weights.

mod steps;
mod weights;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use taonet_chain::Chain;
use taonet_http::Readiness;
use taonet_neuron::{AddressPolicy, MinerDirectory, MinerEntry, Neuron};
use taonet_primitives::{NetUid, Uid};
use taonet_service::{BLOCK_TIME, Shutdown, sleeper, system_clock};
use taonet_validator::{EpochError, EpochReport, LocalWeights, OpenError, StateFile};
use taonet_wallet::Keypair;
use taonet_wire::{CallError, ClientConfig, SignedClient};

use crate::protocol::Protocol;
use crate::query::{QueryLimits, Reply};
use crate::request_scheme::RequestScheme;
use crate::scores::{Scores, ScoresError};
use steps::StepLoop;
use weights::AverageWeights;

pub use steps::{StepError, StepReport};

/// Any error of a [`Challenge`].
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The subnet's part of a [`Validator`]: which requests miners get, and what their responses are
/// worth.
///
/// Steps run in their own task, beside the weight epochs. Work that keeps a processor busy for
/// more than some milliseconds, such as running a model, belongs on its own thread
/// (`tokio::task::spawn_blocking`): otherwise it delays all other tasks, and
/// [`ValidatorSettings::challenge_timeout`] has no effect on it.
pub trait Challenge: Send + Sync + 'static {
    /// Kind of the requests.
    type Request: Protocol;

    /// Draws the miners of the next step from the eligible neurons; by default, by `selection`.
    /// Drawn neurons that publish no permitted address are not queried, and have the reward 0.
    fn select(&self, eligible: Vec<Neuron>, selection: Selection) -> Vec<Neuron> {
        selection.choose(eligible)
    }

    /// Creates the request of the next step, which all these miners get. A miner must not be able
    /// to predict it.
    ///
    /// # Errors
    /// Any error fails the step. It is not a failure of the miners, whose scores remain.
    fn request(
        &self,
        miners: &[MinerEntry],
    ) -> impl Future<Output = Result<Self::Request, BoxError>> + Send;

    /// Returns the reward of each reply, in the order of the replies. Rewards are limited to
    /// `0.0..=1.0`, and a reward that is not a number counts as 0.
    ///
    /// # Errors
    /// Any error fails the step, such as that of a service that computes rewards.
    fn rewards(
        &self,
        request: &Self::Request,
        replies: &[Reply<Self::Request>],
    ) -> impl Future<Output = Result<Vec<f64>, BoxError>> + Send;
}

/// Selection of the neurons that a step queries, from the eligible ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// All eligible neurons.
    All,
    /// At most this many, chosen at random for each step.
    Random(usize),
}

impl Selection {
    /// Chooses neurons, none of them twice.
    #[must_use]
    pub fn choose(self, mut miners: Vec<Neuron>) -> Vec<Neuron> {
        if let Self::Random(count) = self {
            miners.shuffle(&mut rand::rng());
            miners.truncate(count);
        }
        miners
    }
}

/// Settings of a [`Validator`]. [`ValidatorSettings::new`] has defaults for everything but the
/// subnet.
#[derive(Debug, Clone)]
pub struct ValidatorSettings {
    /// Selection of the miners that a step queries.
    pub selection: Selection,
    /// The scheme that signs the requests of the subnet.
    pub scheme: RequestScheme,
    /// Limits on the requests of a step.
    pub query: QueryLimits,
    /// Time between the starts of two steps, also across restarts.
    pub interval: Duration,
    /// Timeout of [`Challenge::request`], and that of [`Challenge::rewards`].
    pub challenge_timeout: Duration,
    /// Share of the newest reward in a miner's score: above 0, at most 1.
    pub alpha: f64,
    /// Number of blocks after which the score of a hotkey that has left the subnet is deleted.
    pub absence: u32,
    /// Number of weight epochs after which scores are too old to be submitted, if no step has
    /// completed since. The epoch then waits for a step until its last third.
    pub max_score_epochs: u32,
    /// At which addresses miners are called.
    pub addresses: AddressPolicy,
    /// Whether neurons with a validator permit are not queried.
    pub excludes_permits: bool,
    /// The subnet, its weight epochs, and the uid that receives unearned weight.
    pub epochs: taonet_validator::ValidatorSettings,
}

impl ValidatorSettings {
    /// Creates the default settings: a step per minute queries all neurons at public addresses, the
    /// challenge has 5 minutes, the newest reward counts a tenth, scores of absent hotkeys are kept
    /// for 100 blocks, weight epochs are 100 blocks long, scores are too old after 3 of them, and
    /// unearned weight goes to uid 0.
    pub fn new(netuid: NetUid) -> Self {
        Self {
            selection: Selection::All,
            scheme: RequestScheme::default(),
            query: QueryLimits::default(),
            interval: Duration::from_mins(1),
            challenge_timeout: Duration::from_mins(5),
            alpha: 0.1,
            absence: 100,
            max_score_epochs: 3,
            addresses: AddressPolicy::default(),
            excludes_permits: false,
            epochs: taonet_validator::ValidatorSettings {
                netuid,
                tempo: 100,
                burn_uid: Uid(0),
                max_skipped_epochs: 12,
            },
        }
    }

    /// Maximum age of scores in blocks.
    const fn max_score_age(&self) -> u32 {
        self.epochs.tempo.saturating_mul(self.max_score_epochs)
    }

    fn validate(&self) -> Result<(), ValidatorError> {
        // NaN is in no range.
        if !(f64::MIN_POSITIVE..=1.0).contains(&self.alpha) {
            return Err(ValidatorError::Setting("`alpha` must be above 0 and at most 1"));
        }
        if BLOCK_TIME.saturating_mul(self.max_score_age()) <= self.interval {
            return Err(ValidatorError::Setting(
                "`max_score_epochs` must be longer than `interval`",
            ));
        }
        Ok(())
    }
}

/// Why a validator could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidatorError {
    /// A setting is out of its range.
    #[error("invalid settings: {0}")]
    Setting(&'static str),
    /// The weight ledger, the audit log or the state of the epoch loop cannot be opened, or the
    /// chain is unreachable.
    #[error(transparent)]
    Epochs(#[from] OpenError),
    /// The scores cannot be opened.
    #[error(transparent)]
    Scores(#[from] ScoresError),
    /// The client cannot be set up.
    #[error(transparent)]
    Client(#[from] CallError),
}

/// A validator. Steps query miners and move the averages of their rewards; weight epochs submit
/// these averages as weights. Both run side by side, each in its own task, and a restart
/// resumes both.
pub struct Validator<C> {
    steps: Arc<StepLoop<C>>,
    epochs: taonet_validator::Validator<AverageWeights>,
}

impl<C: Challenge> Validator<C> {
    /// Opens a validator whose state is in `directory`: the scores (`scores.sqlite`), the last
    /// epoch (`epochs.json`), the weight ledger (`weights`) and the log of signed weights
    /// (`audit.jsonl`). A task of `shutdown` completes the ledger's unfinished submissions.
    ///
    /// # Errors
    /// [`ValidatorError`] when a setting is out of its range, the directory is unusable or in use,
    /// or the chain is unreachable.
    pub async fn open(
        challenge: C,
        keypair: Keypair,
        chain: Arc<dyn Chain>,
        directory: &Path,
        settings: ValidatorSettings,
        shutdown: &Shutdown,
    ) -> Result<Self, ValidatorError> {
        settings.validate()?;
        let netuid = settings.epochs.netuid;
        let local_weights = LocalWeights::open(keypair.clone(), chain, directory).await?;
        let scores = Scores::open(&directory.join("scores.sqlite"), netuid).await?;
        let state = StateFile::open(&directory.join("epochs.json")).map_err(OpenError::State)?;
        let directory = MinerDirectory {
            own_hotkey: Some(keypair.hotkey()),
            excludes_permits: settings.excludes_permits,
            ..MinerDirectory::new(settings.addresses.clone())
        };
        let client = client::<C::Request>(keypair, &settings)?;
        let service = local_weights.start(shutdown);
        let epochs = taonet_validator::Validator::new(
            AverageWeights::new(scores.clone(), settings.max_score_age()),
            service.clone(),
            settings.epochs.clone(),
            state,
            system_clock(),
            sleeper(),
        );
        let steps = StepLoop {
            challenge,
            service,
            client,
            scores,
            directory,
            settings,
            clock: system_clock(),
        };
        Ok(Self { steps: Arc::new(steps), epochs })
    }

    /// Marks `readiness` as ready once the first block is seen: before that, no weights can be
    /// submitted.
    #[must_use]
    pub fn with_readiness(self, readiness: Readiness) -> Self {
        Self { epochs: self.epochs.with_readiness(readiness), ..self }
    }

    /// Runs steps and weight epochs until shutdown. Steps are a task of `shutdown`: a challenge
    /// that never returns does not delay the weights, and one that panics shuts the program down.
    pub async fn run(mut self, shutdown: &Shutdown) {
        let (steps, stop) = (Arc::clone(&self.steps), shutdown.clone());
        shutdown.spawn("steps", async move { steps.run(&stop).await });
        self.epochs.run(shutdown).await;
    }

    /// Queries miners once and moves their scores.
    ///
    /// # Errors
    /// [`StepError`] when the neurons cannot be read or are older than those of the last step, the
    /// challenge fails or takes too long, the request cannot be sent, the number of rewards is not
    /// that of the replies, or the scores cannot be written. No score has changed then, unless a
    /// commit failed.
    pub async fn step(&self) -> Result<StepReport, StepError> {
        self.steps.step().await
    }

    /// Submits the scores as weights, whether or not an epoch is due.
    ///
    /// # Errors
    /// [`EpochError`] when the chain is unreachable, the scores cannot be read, or they are too old
    /// and the epoch is not in its last third.
    pub async fn set_weights(&mut self) -> Result<EpochReport, EpochError> {
        self.epochs.run_once().await
    }
}

/// Creates the client of a validator, which calls permitted addresses and reads responses up to the
/// limit of a query.
fn client<P: Protocol>(
    keypair: Keypair,
    settings: &ValidatorSettings,
) -> Result<SignedClient, CallError> {
    let signer = settings.scheme.signer(keypair, P::class());
    let config = ClientConfig {
        max_response_bytes: settings.query.max_response_bytes,
        ..ClientConfig::default()
    };
    SignedClient::with_addresses(signer, config, settings.addresses.permitted())
}

impl<C> std::fmt::Debug for Validator<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validator").field("settings", &self.steps.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
