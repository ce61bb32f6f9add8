//! The weight ledger.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use taonet_chain::weights::{quantise, within_limits};
use taonet_chain::{At, Chain, Outcome};
use taonet_ledger::{
    Intent, IntentKey, IntentState, Ledger, LedgerReader, NewWeights, Step, StoredExtrinsic,
    SubmitError, Submitter,
};
use taonet_primitives::{BlockNumber, MechId, NetUid, Uid, with_causes};

use crate::chain::Client;
use crate::errors::Failure;
use crate::keys::Keypair;
use crate::runtime::{Process, block_on, runtime};

/// Submits the weights of one hotkey, once per epoch, even after a crash. Only one process at a
/// time can open the ledger of a directory.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct WeightLedger {
    chain: taonet_chain::Client,
    /// `None` after `close`.
    submitter: Mutex<Option<Arc<Submitter>>>,
    hotkey: taonet_primitives::Hotkey,
    process: Process,
}

impl WeightLedger {
    fn submitter(&self) -> Result<Arc<Submitter>, Failure> {
        self.process.check()?;
        let submitter = self.submitter.lock().unwrap_or_else(PoisonError::into_inner);
        submitter.clone().ok_or_else(|| Failure::runtime("the weight ledger is closed"))
    }

    fn key(&self, netuid: u16, mech: u8, epoch: u64) -> IntentKey {
        let (genesis, hotkey) = (self.chain.genesis(), self.hotkey);
        IntentKey { genesis, hotkey, netuid: NetUid(netuid), mech: MechId(mech), epoch }
    }
}

#[pymethods]
impl WeightLedger {
    /// Opens the ledger in a directory, which is created if it is missing, for the hotkey
    /// `keypair`.
    #[new]
    fn new(
        py: Python<'_>,
        directory: PathBuf,
        client: &Client,
        keypair: &Keypair,
    ) -> Result<Self, Failure> {
        let chain = client.client()?.clone();
        let runtime = runtime()?;
        // Not by our own `block_on`: the compiler cannot prove that the future of the migrations is
        // `Send`.
        let ledger = py.detach(|| runtime.block_on(Ledger::open(&directory)))?;
        let shared: Arc<dyn Chain> = Arc::new(chain.clone());
        let submitter = block_on(py, Submitter::new(ledger, shared, keypair.pair().clone()))??;
        let submitter = Mutex::new(Some(Arc::new(submitter)));
        Ok(Self { chain, submitter, hotkey: keypair.pair().hotkey(), process: Process::current() })
    }

    /// Submits scores by uid as weights within the subnet's limits, in the current epoch.
    /// `state_block` is the block of the state that they are based on. A second call in the same
    /// epoch returns the first submission.
    #[pyo3(signature = (netuid, scores, *, state_block, version_key=0, mech=0))]
    fn submit(
        &self,
        py: Python<'_>,
        netuid: u16,
        scores: BTreeMap<u16, f64>,
        state_block: u32,
        version_key: u64,
        mech: u8,
    ) -> Result<Submission, Failure> {
        let submitter = self.submitter()?;
        let (netuid, mech) = (NetUid(netuid), MechId(mech));
        let rules = block_on(py, self.chain.weight_rules(netuid, At::Head))??;
        let scores: Vec<_> = scores.into_iter().map(|(uid, score)| (Uid(uid), score)).collect();
        let weights = quantise(&within_limits(&scores, &rules)?)?;
        let weights = NewWeights {
            netuid,
            mech,
            weights,
            version_key,
            state_block: BlockNumber::new(state_block),
        };
        Ok(block_on(py, submitter.submit(weights))??.into())
    }

    /// Advances all unfinished submissions: call it after a start and after every block. Returns
    /// the result of each, a `Submission` or a `LedgerError`.
    fn advance<'py>(&self, py: Python<'py>) -> Result<Vec<Bound<'py, PyAny>>, Failure> {
        let submitter = self.submitter()?;
        let results = block_on(py, submitter.advance())??;
        let result =
            |(_, result): (IntentKey, Result<taonet_ledger::Submission, SubmitError>)| match result
            {
                Ok(submission) => Ok(Bound::new(py, Submission::from(submission))?.into_any()),
                Err(error) => {
                    Ok(PyErr::from(Failure::from(error)).into_value(py).into_bound(py).into_any())
                }
            };
        results.into_iter().map(result).collect()
    }

    /// Advances the submission of an epoch and returns it.
    #[pyo3(signature = (netuid, epoch, *, mech=0))]
    fn follow(
        &self,
        py: Python<'_>,
        netuid: u16,
        epoch: u64,
        mech: u8,
    ) -> Result<Submission, Failure> {
        let (submitter, key) = (self.submitter()?, self.key(netuid, mech, epoch));
        Ok(block_on(py, submitter.follow(&key))??.into())
    }

    /// Signs again after a refusal by the chain, such as a rate limit, if at most one of the two
    /// can take effect.
    #[pyo3(signature = (netuid, epoch, *, mech=0))]
    fn retry(
        &self,
        py: Python<'_>,
        netuid: u16,
        epoch: u64,
        mech: u8,
    ) -> Result<Submission, Failure> {
        let (submitter, key) = (self.submitter()?, self.key(netuid, mech, epoch));
        Ok(block_on(py, submitter.retry(&key))??.into())
    }

    /// Closes the ledger, so that another process can open it.
    fn close(&self) {
        self.submitter.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn __enter__(ledger: PyRef<'_, Self>) -> PyRef<'_, Self> {
        ledger
    }

    fn __exit__(
        &self,
        _type: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        self.close();
    }

    fn __repr__(&self) -> String {
        format!("WeightLedger({:?})", self.hotkey.to_string())
    }
}

/// Reads the latest submissions of the ledger in a directory, newest first, even while another
/// process uses it.
#[pyfunction]
#[pyo3(signature = (directory, limit=20))]
pub(crate) fn read_ledger(
    py: Python<'_>,
    directory: PathBuf,
    limit: u32,
) -> Result<Vec<Submission>, Failure> {
    let records =
        block_on(py, async { LedgerReader::open(&directory).await?.latest(limit).await })??;
    let submission = |record: taonet_ledger::Record| {
        let extrinsics = record
            .extrinsics
            .iter()
            .map(|recorded| Extrinsic::new(recorded.step, &recorded.signed));
        Submission::new(record.intent, extrinsics.collect(), false)
    };
    Ok(records.into_iter().map(submission).collect())
}

/// The weights of one epoch, and the extrinsics that submit them.
#[pyclass(frozen, get_all, module = "taonet")]
pub(crate) struct Submission {
    netuid: u16,
    mech: u8,
    /// The index of the subnet's epoch.
    epoch: u64,
    /// The weights as pairs (uid, weight).
    weights: Vec<(u16, u16)>,
    /// "open", "done" or "missed".
    state: &'static str,
    /// Whether the chain refused the latest extrinsic, in which case only `retry` signs again.
    is_refused: bool,
    /// The extrinsics of the submission: the weights or a commit to them, then a reveal if one is
    /// required.
    extrinsics: Vec<Extrinsic>,
}

impl Submission {
    fn new(intent: Intent, extrinsics: Vec<Extrinsic>, is_refused: bool) -> Self {
        let key = intent.plan.key;
        Self {
            netuid: key.netuid.0,
            mech: key.mech.0,
            epoch: key.epoch,
            weights: intent.plan.weights.iter().map(|(uid, weight)| (uid.0, *weight)).collect(),
            state: match intent.state {
                IntentState::Open => "open",
                IntentState::Done => "done",
                IntentState::Missed => "missed",
            },
            is_refused,
            extrinsics,
        }
    }
}

impl From<taonet_ledger::Submission> for Submission {
    fn from(submission: taonet_ledger::Submission) -> Self {
        let is_refused = submission.is_refused();
        let steps = [(Step::Submit, &submission.submit), (Step::Reveal, &submission.reveal)];
        let signed = steps
            .into_iter()
            .filter_map(|(step, signed)| Some(Extrinsic::new(step, signed.as_ref()?)));
        let extrinsics = signed.collect();
        Self::new(submission.intent, extrinsics, is_refused)
    }
}

#[pymethods]
impl Submission {
    fn __repr__(&self) -> String {
        format!("Submission(netuid {}, epoch {}, {})", self.netuid, self.epoch, self.state)
    }
}

/// A signed extrinsic of a submission.
#[pyclass(frozen, get_all, module = "taonet")]
#[derive(Clone)]
pub(crate) struct Extrinsic {
    /// "submit" or "reveal".
    step: &'static str,
    /// The hash of the extrinsic, as `0x` and 64 hex digits.
    hash: String,
    /// The state, such as "sent", "included", "finalized" or "failed".
    state: String,
    /// The height of the block that includes the extrinsic; `None` if no block does.
    block: Option<u32>,
    /// Why the chain refused the extrinsic or its call; `None` if it did not.
    error: Option<String>,
}

impl Extrinsic {
    fn new(step: Step, signed: &StoredExtrinsic) -> Self {
        let inclusion = signed.outcome.as_ref().and_then(Outcome::inclusion);
        let error = match &signed.outcome {
            Some(Outcome::Invalid(because)) => Some(with_causes(because)),
            _ => inclusion
                .and_then(|inclusion| inclusion.result.as_ref().err())
                .map(|error| with_causes(error)),
        };
        Self {
            step: match step {
                Step::Submit => "submit",
                Step::Reveal => "reveal",
            },
            hash: signed.extrinsic.hash.to_string(),
            state: signed.state.to_string(),
            block: inclusion.map(|inclusion| inclusion.block.number.get()),
            error,
        }
    }
}

#[pymethods]
impl Extrinsic {
    fn __repr__(&self) -> String {
        format!("Extrinsic({}, {}, {})", self.step, self.state, self.hash)
    }
}
