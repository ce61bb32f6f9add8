//! Submitted weights compared with those on the chain.

use std::collections::BTreeMap;

use taonet_chain::{Metagraph, Outcome};
use taonet_ledger::{IntentState, Record, State, Step, SubmissionForm};
use taonet_primitives::{BlockNumber, MechId, Uid};

/// Maximum weight of a row: the chain scales each row so that its largest weight has this value.
const MAX_WEIGHT: u64 = u16::MAX as u64;

/// Submitted weights beside the weights on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Epoch of the submission in effect.
    pub(super) epoch: u64,
    /// The weights of each neuron, by uid.
    pub(super) rows: Vec<WeightPair>,
}

/// The submitted weight of one neuron and its weight on the chain, both scaled so that the largest
/// weight of their row is 65 535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WeightPair {
    pub(super) uid: Uid,
    pub(super) submitted: Option<u16>,
    /// The weight on the chain.
    pub(super) on_chain: Option<u16>,
}

impl WeightPair {
    /// Whether the weights differ by at most 1, the rounding error of scaling.
    pub(super) fn is_equal(self) -> bool {
        self.submitted.unwrap_or(0).abs_diff(self.on_chain.unwrap_or(0)) <= 1
    }
}

/// Description of a fault; the text after `hint: ` describes the remedy.
pub(super) type Fault = String;

impl Comparison {
    /// Whether the chain holds the submitted weights.
    pub(super) fn is_equal(&self) -> bool {
        self.rows.iter().copied().all(WeightPair::is_equal)
    }
}

/// Returns the block that includes the latest included extrinsic of a step.
pub(super) fn block(record: &Record, step: Step) -> Option<BlockNumber> {
    let extrinsics = record.extrinsics.iter().rev().filter(|extrinsic| extrinsic.step == step);
    extrinsics
        .filter_map(|extrinsic| extrinsic.signed.outcome.as_ref()?.inclusion())
        .map(|inclusion| inclusion.block.number)
        .next()
}

/// Returns the newest submission that the chain should have put into effect.
fn effective_submission(records: &[Record]) -> Option<&Record> {
    let newest = records.first()?.intent.plan.key.epoch;
    records.iter().find(|record| {
        let plan = &record.intent.plan;
        record.intent.state == IntentState::Done
            && match plan.form {
                // A hash commit takes effect when it is revealed.
                SubmissionForm::Plain | SubmissionForm::Hash { .. } => true,
                // The chain decrypts timelocked weights at the beginning of an epoch.
                SubmissionForm::Timelocked { period_epochs } => {
                    plan.key.epoch.saturating_add(period_epochs) < newest
                }
                _ => false,
            }
    })
}

fn scale_to_max(row: &[(Uid, u16)]) -> BTreeMap<Uid, u16> {
    let largest = row.iter().map(|(_, weight)| u64::from(*weight)).max().unwrap_or_default().max(1);
    let scale =
        |weight: u16| u16::try_from(u64::from(weight) * MAX_WEIGHT / largest).unwrap_or(u16::MAX);
    row.iter()
        .filter(|(_, weight)| *weight > 0)
        .map(|(uid, weight)| (*uid, scale(*weight)))
        .collect()
}

/// Compares the submission in effect with the chain; `None` if no submission is in effect, or if
/// the metagraph is older than the submission or belongs to a different subnet.
pub(super) fn compare(records: &[Record], metagraph: &Metagraph) -> Option<Comparison> {
    let record = effective_submission(records)?;
    let plan = &record.intent.plan;
    let step =
        if matches!(plan.form, SubmissionForm::Hash { .. }) { Step::Reveal } else { Step::Submit };
    if plan.key.netuid != metagraph.netuid
        || plan.key.mech != MechId(0)
        || metagraph.block.number < block(record, step)?
    {
        return None;
    }
    let position = metagraph.neurons.iter().position(|neuron| neuron.hotkey == plan.key.hotkey)?;
    let (submitted, on_chain) =
        (scale_to_max(&plan.weights), scale_to_max(metagraph.weights.as_ref()?.get(position)?));
    let mut uids: Vec<_> = submitted.keys().chain(on_chain.keys()).copied().collect();
    uids.sort_unstable();
    uids.dedup();
    let rows = uids.into_iter().map(|uid| WeightPair {
        uid,
        submitted: submitted.get(&uid).copied(),
        on_chain: on_chain.get(&uid).copied(),
    });
    Some(Comparison { epoch: plan.key.epoch, rows: rows.collect() })
}

/// Returns the faults of the newest submission and of the weights on the chain.
pub(super) fn faults(records: &[Record], metagraph: Option<&Metagraph>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Some(newest) = records.first() else { return faults };
    let key = newest.intent.plan.key;
    if newest.intent.state == IntentState::Missed {
        faults.push(format!(
            "The weights of epoch {} were not submitted before the epoch ended; hint: keep `bb subtensor-gateway` \
             running, and check that it reaches its node",
            key.epoch
        ));
    }
    if let Some(extrinsic) = newest.extrinsics.last() {
        match (extrinsic.signed.state, &extrinsic.signed.outcome) {
            (State::Failed, Some(Outcome::Finalized(inclusion))) => {
                let reason = inclusion.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
                faults.push(format!(
                    "The call failed in block {}: {reason}; hint: check the stake, validator permit and rate limits \
                     of the hotkey",
                    inclusion.block.number
                ));
            }
            (State::Invalid, Some(Outcome::Invalid(reason))) => faults.push(format!(
                "Nodes reject the extrinsic: {reason}; hint: check that the hotkey is registered and has enough stake to \
                 set weights"
            )),
            (State::Lost, _) => faults.push(
                "The outcome is unknown because the node has pruned the relevant blocks; hint: connect the gateway to \
                 an archive node"
                    .to_owned(),
            ),
            _ => {}
        }
    }
    let Some(metagraph) = metagraph.filter(|metagraph| metagraph.netuid == key.netuid) else {
        return faults;
    };
    if !metagraph.neurons.iter().any(|neuron| neuron.hotkey == key.hotkey) {
        faults.push(format!(
            "The hotkey {} is not registered on subnet {}; hint: register it with `tao register`",
            key.hotkey, key.netuid
        ));
    }
    if let Some(comparison) =
        compare(records, metagraph).filter(|comparison| !comparison.is_equal())
    {
        faults.push(format!(
            "The weights on the chain differ from those submitted in epoch {}; hint: if another program sets \
             weights with this hotkey, stop it",
            comparison.epoch
        ));
    }
    faults
}
