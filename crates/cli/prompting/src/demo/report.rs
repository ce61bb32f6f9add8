//! Report of the demonstration.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};
use taonet_cli_base::table::{Cell, decimals, status_cell, table, wrap_text};
use taonet_cli_base::tables::PROMPTING;
use taonet_cli_localnet::demo_chain::MinerOnChain;
use taonet_primitives::{Hotkey, Uid, Weights, counted};
use taonet_prompting_neurons::StepRecord;

use super::miners::{Behaviour, DemoMiner};

/// Tolerance of the comparison between the submitted weights and those that follow from the
/// record.
const TOLERANCE: f64 = 1e-6;

/// Results of a miner.
struct RankedMiner {
    behaviour: Behaviour,
    uid: Uid,
    hotkey: Hotkey,
    /// Moving average of its shares.
    score: f64,
    /// Mean reward over all steps.
    reward: f64,
    /// Score of the gate for the last question.
    gate_score: f64,
    weight: f64,
    chain: MinerOnChain,
    /// Completion of the last step.
    completion: String,
    error: Option<String>,
}

/// Report of `tao prompting demo`.
pub(super) struct DemoReport {
    steps: usize,
    /// The last question.
    question: String,
    /// Whether the submitted weights follow from the record of the steps.
    weights_match_record: bool,
    /// Miners by descending weight.
    standings: Vec<RankedMiner>,
}

impl DemoReport {
    pub(super) fn new(
        miners: &[DemoMiner],
        records: &[StepRecord],
        scores: &BTreeMap<Hotkey, f64>,
        preferences: &[f64],
        submitted_weights: &Weights,
        recomputed_weights: &Weights,
        on_chain: &BTreeMap<Uid, MinerOnChain>,
    ) -> Self {
        let standings = miners.iter().zip(preferences).map(|(miner, gate_score)| {
            let answers = records.iter().filter_map(|record| {
                record.answers.iter().find(|answer| answer.hotkey == miner.hotkey)
            });
            let answers: Vec<_> = answers.collect();
            let last_answer = answers.last();
            let uid = last_answer.map_or(Uid(0), |answer| answer.uid);
            RankedMiner {
                behaviour: miner.behaviour,
                uid,
                hotkey: miner.hotkey,
                score: scores.get(&miner.hotkey).copied().unwrap_or_default(),
                reward: answers.iter().map(|answer| answer.reward).sum::<f64>()
                    / answers.len().max(1) as f64,
                gate_score: *gate_score,
                weight: submitted_weights.of(uid),
                chain: on_chain.get(&uid).copied().unwrap_or_default(),
                completion: last_answer.map(|answer| answer.completion.clone()).unwrap_or_default(),
                error: last_answer.and_then(|answer| answer.error.clone()),
            }
        });
        let mut standings: Vec<_> = standings.collect();
        let mut uids = submitted_weights.uids.iter().chain(&recomputed_weights.uids);
        let differs = uids.any(|uid| {
            (submitted_weights.of(*uid) - recomputed_weights.of(*uid)).abs() > TOLERANCE
        });
        standings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let question = records.last().map(|record| record.question.clone()).unwrap_or_default();
        Self { steps: records.len(), question, weights_match_record: !differs, standings }
    }

    /// Returns the document that `--json` prints.
    pub(super) fn document(&self) -> Value {
        json!({
            "schema": "taonet.prompting-demo/1",
            "steps": self.steps,
            "question": self.question,
            "weights_recomputed": self.weights_match_record,
            "miners": self.standings.iter().map(RankedMiner::document).collect::<Vec<_>>(),
        })
    }
}

impl RankedMiner {
    fn document(&self) -> Value {
        json!({
            "name": self.behaviour.name(),
            "uid": self.uid,
            "hotkey": self.hotkey,
            "score": self.score,
            "reward": self.reward,
            "gate": self.gate_score,
            "weight": self.weight,
            "weight_submitted": self.chain.weight_submitted,
            "weight_on_chain": self.chain.weight_stored,
            "incentive": self.chain.incentive,
            "emission": self.chain.emission,
            "completion": self.completion,
            "error": self.error,
        })
    }
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let follow = if self.weights_match_record { "follow" } else { "do not follow" };
        let heading = format!(
            "{}; the weights {follow} from the record of the steps. Last question: {}",
            counted(self.steps, "step"),
            self.question
        );
        writeln!(f, "{}\n", wrap_text(&heading))?;
        let mut rows = table(&PROMPTING);
        for standing in &self.standings {
            rows.add_row([
                status_cell(standing.behaviour.name().to_owned(), standing.chain.incentive > 0.0),
                standing.uid.0.to_string().into(),
                decimals(Some(standing.reward), 2).into(),
                decimals(Some(standing.score), 3).into(),
                decimals(Some(standing.gate_score), 3).into(),
                decimals(Some(standing.weight), 3).into(),
                decimals(Some(standing.chain.incentive), 3).into(),
                Cell::from(standing.error.clone().unwrap_or_else(|| standing.completion.clone())),
            ]);
        }
        write!(f, "{rows}")
    }
}
