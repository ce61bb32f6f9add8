//! The validator of a subnet: it queries miners, scores their replies and submits weights.

mod steps;
mod weights;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use taonet_chain::{Chain, ChainError};
use taonet_http::Readiness;
use taonet_ledger::{Ledger, LedgerError, Submitter};
use taonet_neuron::{AddressPolicy, MinerDirectory, MinerEntry};
use taonet_primitives::{NetUid, Uid};
use taonet_service::{Shutdown, sleeper, system_clock};
use taonet_validator::signer::AuditLog;
use taonet_validator::{EpochError, EpochReport, LocalWeights, StateError, StateFile};
use taonet_wallet::Keypair;
use taonet_wire::{CallError, ClientConfig, DendriteScheme, SignedClient, Signer};

use crate::protocol::Protocol;
use crate::query::{QueryLimits, Reply};
use crate::scores::{Scores, ScoresError};
use steps::Steps;
use weights::AverageWeights;

pub use steps::{StepError, StepReport};

/// The subnet's part of a [`Validator`]: which requests miners get, and what their responses are worth.
pub trait Challenge: Send + Sync + 'static {
    /// Kind of the requests.
    type Request: Protocol;

    /// Creates the request of the next step, which all chosen miners get. A miner must not be able to predict it.
    fn request(&self) -> Self::Request;

    /// Returns the reward of each reply, in the order of the replies. Rewards are limited to `0.0..=1.0`, and a reward
    /// that is not a number counts as 0.
    fn rewards(
        &self,
        request: &Self::Request,
        replies: &[Reply<Self::Request>],
    ) -> impl Future<Output = Vec<f64>> + Send;
}

/// Which miners a step queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// All miners.
    All,
    /// At most this many miners, chosen at random for each step.
    Random(usize),
}

impl Select {
    fn choose(self, mut miners: Vec<MinerEntry>) -> Vec<MinerEntry> {
        if let Self::Random(count) = self {
            miners.shuffle(&mut rand::rng());
            miners.truncate(count);
        }
        miners
    }
}

/// Settings of a [`Validator`]. [`ValidatorSettings::new`] has defaults for everything but the subnet.
#[derive(Debug, Clone)]
pub struct ValidatorSettings {
    /// Which miners a step queries.
    pub select: Select,
    /// Limits on the requests of a step.
    pub query: QueryLimits,
    /// Time between the starts of two steps.
    pub interval: Duration,
    /// Share of the newest reward in a miner's score, in `0.0..=1.0`.
    pub alpha: f64,
    /// At which addresses miners are called.
    pub addresses: AddressPolicy,
    /// Whether neurons with a validator permit are not queried.
    pub excludes_permits: bool,
    /// The subnet, its weight epochs, and the uid that receives unearned weight.
    pub epochs: taonet_validator::ValidatorSettings,
}

impl ValidatorSettings {
    /// Creates the default settings: a step per minute queries all neurons at public addresses, the newest reward
    /// counts a tenth, weight epochs are 100 blocks long, and unearned weight goes to uid 0.
    pub fn new(netuid: NetUid) -> Self {
        Self {
            select: Select::All,
            query: QueryLimits::default(),
            interval: Duration::from_mins(1),
            alpha: 0.1,
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
}

/// Why a validator could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValidatorError {
    /// The weight ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The chain is unreachable.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The audit log cannot be opened.
    #[error("cannot open the audit log")]
    Audit(#[source] io::Error),
    /// The scores cannot be opened.
    #[error(transparent)]
    Scores(#[from] ScoresError),
    /// The state of the epoch loop cannot be opened.
    #[error(transparent)]
    State(#[from] StateError),
    /// The client cannot be set up.
    #[error(transparent)]
    Client(#[from] CallError),
}

/// A validator. Steps query miners and move the averages of their rewards; weight epochs submit these averages as
/// weights. Both run side by side, and a restart resumes both.
pub struct Validator<C> {
    steps: Steps<C>,
    epochs: taonet_validator::Validator<AverageWeights>,
}

impl<C: Challenge> Validator<C> {
    /// Opens a validator whose state is in `directory`: the scores (`scores.sqlite`), the last epoch (`epochs.json`),
    /// the weight ledger (`weights`) and the log of signed weights (`audit.jsonl`). A task of `shutdown` completes the
    /// ledger's unfinished submissions.
    ///
    /// # Errors
    /// [`ValidatorError`] when the directory is unusable or in use, or the chain is unreachable.
    pub async fn open(
        challenge: C,
        keypair: Keypair,
        chain: Arc<dyn Chain>,
        directory: &Path,
        settings: ValidatorSettings,
        shutdown: &Shutdown,
    ) -> Result<Self, ValidatorError> {
        let netuid = settings.epochs.netuid;
        let ledger = Ledger::open(&directory.join("weights")).await?;
        let audit = AuditLog::open(&directory.join("audit.jsonl")).map_err(ValidatorError::Audit)?;
        let scores = Scores::open(&directory.join("scores.sqlite"), netuid).await?;
        let state = StateFile::open(&directory.join("epochs.json"))?;
        let submitter = Submitter::new(ledger, Arc::clone(&chain), keypair.clone()).await?;
        let directory = MinerDirectory {
            own_hotkey: Some(keypair.hotkey()),
            excludes_permits: settings.excludes_permits,
            ..MinerDirectory::new(settings.addresses.clone())
        };
        let signer = Signer::new(keypair, "0.0.0.0", DendriteScheme::new().class(C::Request::class()));
        let client = SignedClient::with_addresses(signer, ClientConfig::default(), settings.addresses.permitted())?;
        let service = LocalWeights::new(chain, submitter).with_audit(audit).start(shutdown);
        let epochs = taonet_validator::Validator::new(
            AverageWeights::new(scores.clone()),
            service.clone(),
            settings.epochs.clone(),
            state,
            system_clock(),
            sleeper(),
        );
        Ok(Self { steps: Steps { challenge, service, client, scores, directory, settings }, epochs })
    }

    /// Marks `readiness` as ready once the first block is seen: before that, no weights can be submitted.
    #[must_use]
    pub fn with_readiness(self, readiness: Readiness) -> Self {
        Self { epochs: self.epochs.with_readiness(readiness), ..self }
    }

    /// Runs steps and weight epochs until shutdown.
    pub async fn run(&mut self, shutdown: &Shutdown) {
        tokio::join!(self.steps.run(shutdown), self.epochs.run(shutdown));
    }

    /// Queries miners once and moves their scores.
    ///
    /// # Errors
    /// [`StepError`] when the neurons cannot be read, the request cannot be sent, the number of rewards is not that of
    /// the replies, or the scores cannot be written. No score has changed then, unless a commit failed.
    pub async fn step(&self) -> Result<StepReport, StepError> {
        self.steps.step().await
    }

    /// Submits the scores as weights, whether or not an epoch is due.
    ///
    /// # Errors
    /// [`EpochError`] when the chain is unreachable, or the scores cannot be read.
    pub async fn set_weights(&mut self) -> Result<EpochReport, EpochError> {
        self.epochs.run_once().await
    }
}

impl<C> std::fmt::Debug for Validator<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Validator").field("settings", &self.steps.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::{entry, key};

    #[test]
    fn random_selection_has_the_requested_size_and_no_miner_twice() {
        let miners: Vec<_> = (0..5).map(|uid| entry(uid, key("//miner").hotkey(), 8091)).collect();
        let chosen = |select: Select| {
            let chosen = select.choose(miners.clone());
            let uids: BTreeSet<_> = chosen.iter().map(|miner| miner.uid).collect();
            assert_eq!(uids.len(), chosen.len(), "{select:?}");
            uids
        };
        for (select, count) in
            [(Select::All, 5), (Select::Random(0), 0), (Select::Random(3), 3), (Select::Random(9), 5)]
        {
            assert_eq!(chosen(select).len(), count, "{select:?}");
        }
        let seen: BTreeSet<_> = (0..200).flat_map(|_| chosen(Select::Random(1))).collect();
        assert_eq!(seen.len(), 5, "each miner is chosen at times");
    }
}
