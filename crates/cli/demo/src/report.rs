use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use taonet_babelbit_challenges::{Challenge, Source};
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::scoring::{Gate, describe_failed_gates};
use taonet_babelbit_core::weights::ArenaShare;
use taonet_babelbit_runner::{MinerReport, RunReport, UtteranceReport};
use taonet_cli_babelbit::leaderboard::{display_name, format_latency};
use taonet_cli_base::table::{
    Cell, Rows, decimals, headerless_table, status_cell, table, wrap_text,
};
use taonet_cli_base::tables::{EXAMPLE, STANDINGS};
use taonet_cli_localnet::demo_chain::MinerOnChain;
use taonet_primitives::{Hotkey, Uid, Weights, counted};
use taonet_validator::EpochReport;

/// Results of one challenge.
pub(crate) struct PlayedChallenge {
    pub(crate) challenge: Challenge,
    pub(crate) main: RunReport,
    pub(crate) arena: RunReport,
    /// The validator's report on the epoch.
    pub(crate) epoch: EpochReport,
    /// Weights that the validator submitted.
    pub(crate) weights: Weights,
    /// On-chain state at the end of the epoch.
    pub(crate) on_chain: BTreeMap<Uid, MinerOnChain>,
    pub(crate) wall_time: Duration,
}

/// A miner's results over all challenges.
struct RankedMiner {
    name: String,
    uid: Uid,
    hotkey: Hotkey,
    score: f64,
    /// Mean score over the challenges in whose arena the miner played.
    arena_score: Option<f64>,
    accuracy: Option<f64>,
    rate_ratio: Option<f64>,
    overshoot_sec: Option<f64>,
    wall_after_source_sec: Option<f64>,
    failed_gates: BTreeMap<Gate, usize>,
    utterances: usize,
    /// Mean weight over the epochs.
    weight: f64,
    /// On-chain state after the last epoch; incentive is the mean and emission the sum over all
    /// epochs.
    chain: MinerOnChain,
}

/// Report of `tao demo`.
pub(crate) struct DemoReport {
    played: Vec<PlayedChallenge>,
    rules: Rules,
    arena_share: ArenaShare,
    /// Miners, best first.
    standings: Vec<RankedMiner>,
}

impl DemoReport {
    /// Builds the report from challenges, each with one epoch on the chain; an error if a miner is
    /// missing on the chain.
    pub(crate) fn new(
        played: Vec<PlayedChallenge>,
        rules: Rules,
        arena_share: ArenaShare,
    ) -> anyhow::Result<Self> {
        let mut reports_by_miner: BTreeMap<Uid, Vec<&MinerReport>> = BTreeMap::new();
        for miner in played.iter().flat_map(|played| &played.main.miners) {
            reports_by_miner.entry(miner.uid).or_default().push(miner);
        }
        let mut standings: Vec<RankedMiner> = reports_by_miner
            .values()
            .filter_map(|reports| RankedMiner::from_reports(reports))
            .collect();
        for standing in &mut standings {
            standing.add_epoch_results(&played)?;
        }
        standings.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.uid.cmp(&b.uid)));
        Ok(Self { played, rules, arena_share, standings })
    }

    /// Returns the report as JSON.
    pub(crate) fn document(&self) -> Value {
        let challenges: Vec<_> = self
            .played
            .iter()
            .map(|played| {
                json!({
                    "title": played.challenge.title,
                    "wall_sec": played.wall_time.as_secs_f64(),
                    "report": played.main,
                    "arena": played.arena,
                    "epoch": {
                        "decision": played.epoch.decision,
                        "weights": played.weights,
                        "confirmation": played.epoch.outcome.details().pointer("/confirmation"),
                    },
                })
            })
            .collect();
        json!({
            "schema": "taonet.demo/2",
            "rules": self.rules,
            "arena_share": self.arena_share.get(),
            "note": self.note(),
            "miners": self.standings.iter().map(RankedMiner::document).collect::<Vec<_>>(),
            "challenges": challenges,
        })
    }

    fn note(&self) -> String {
        format!(
            "{:.0} % of the weights go to the arena's winner; the rest is shared by main score. The chain ran in \
             memory.",
            self.arena_share.get() * 100.0
        )
    }

    /// Returns the example utterance: the winner's utterance with the largest product of score and
    /// accuracy.
    fn example(&self) -> Option<(&PlayedChallenge, &UtteranceReport)> {
        let winner = self.standings.first()?;
        let utterances = self.played.iter().flat_map(|played| {
            let miner = played.main.miners.iter().find(|miner| miner.uid == winner.uid);
            miner.into_iter().flat_map(move |miner| {
                miner.utterances.iter().map(move |utterance| (played, utterance))
            })
        });
        let rank_value =
            |utterance: &UtteranceReport| utterance.score * utterance.accuracy.unwrap_or_default();
        utterances.max_by(|(_, a), (_, b)| rank_value(a).total_cmp(&rank_value(b)))
    }
}

/// Returns the mean of those values that reports have.
fn mean(reports: &[&MinerReport], value: fn(&MinerReport) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = reports.iter().filter_map(|report| value(report)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl RankedMiner {
    fn from_reports(reports: &[&MinerReport]) -> Option<Self> {
        let first_report = reports.first()?;
        let mut failed_gates = BTreeMap::new();
        for (gate, count) in reports.iter().flat_map(|report| &report.failed_gates) {
            *failed_gates.entry(*gate).or_default() += count;
        }
        Some(Self {
            name: display_name(first_report),
            uid: first_report.uid,
            hotkey: first_report.hotkey,
            score: mean(reports, |report| Some(report.score)).unwrap_or_default(),
            accuracy: mean(reports, |report| report.accuracy),
            rate_ratio: mean(reports, |report| report.rate_ratio),
            overshoot_sec: mean(reports, |report| report.overshoot_sec),
            wall_after_source_sec: mean(reports, |report| report.wall_after_source_sec),
            failed_gates,
            utterances: reports.iter().map(|report| report.utterances.len()).sum(),
            arena_score: None,
            weight: 0.0,
            chain: MinerOnChain::default(),
        })
    }

    /// Adds the results of arenas, validator and chain.
    fn add_epoch_results(&mut self, played: &[PlayedChallenge]) -> anyhow::Result<()> {
        let epochs = played.len() as f64;
        let mut arena = Vec::new();
        for played in played {
            let on_chain = played.on_chain.get(&self.uid).copied();
            let on_chain =
                on_chain.with_context(|| format!("miner {} is missing on the chain", self.uid))?;
            self.weight += played.weights.of(self.uid) / epochs;
            self.chain = MinerOnChain {
                incentive: self.chain.incentive + on_chain.incentive / epochs,
                emission: self.chain.emission + on_chain.emission,
                ..on_chain
            };
            arena.extend(
                played
                    .arena
                    .miners
                    .iter()
                    .find(|miner| miner.uid == self.uid)
                    .map(|miner| miner.score),
            );
        }
        self.arena_score =
            (!arena.is_empty()).then(|| arena.iter().sum::<f64>() / arena.len() as f64);
        Ok(())
    }

    fn reason(&self) -> String {
        describe_failed_gates(&self.failed_gates, self.utterances)
    }

    fn document(&self) -> Value {
        json!({
            "name": self.name,
            "uid": self.uid,
            "hotkey": self.hotkey,
            "score": self.score,
            "arena_score": self.arena_score,
            "weight": self.weight,
            "weight_submitted": self.chain.weight_submitted,
            "weight_on_chain": self.chain.weight_stored,
            "incentive": self.chain.incentive,
            "emission": self.chain.emission,
            "accuracy": self.accuracy,
            "rate_ratio": self.rate_ratio,
            "latency": {
                "virtual_overshoot_sec": self.overshoot_sec,
                "wall_after_source_sec": self.wall_after_source_sec,
            },
            "failed_gates": self.failed_gates,
            "utterances": self.utterances,
            "reason": self.reason(),
        })
    }
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utterances: usize = self.played.iter().map(|played| played.main.utterances).sum();
        let wall_time: f64 = self.played.iter().map(|played| played.wall_time.as_secs_f64()).sum();
        let title = match self.played.as_slice() {
            [played] => played.challenge.title.clone(),
            challenges => format!("{} challenges", challenges.len()),
        };
        let [utterances, miners] =
            [counted(utterances, "utterance"), counted(self.standings.len(), "miner")];
        writeln!(
            f,
            "{}\n",
            wrap_text(&format!("{title}: {utterances}, {miners}, {wall_time:.1} s"))
        )?;
        if let Some((played, best)) = self.example() {
            writeln!(f, "{}\n", example_table(played, best))?;
        }
        let mut rows = table(&STANDINGS);
        for standing in &self.standings {
            rows.add_row([
                status_cell(standing.name.clone(), standing.score > 0.0),
                standing.uid.to_string().into(),
                decimals(Some(standing.score), 3).into(),
                decimals(standing.arena_score, 3).into(),
                decimals(Some(standing.weight), 3).into(),
                decimals(Some(standing.chain.incentive), 3).into(),
                format!("{} α", decimals(Some(standing.chain.emission as f64 / 1e9), 3)).into(),
                decimals(standing.accuracy, 2).into(),
                decimals(standing.rate_ratio, 2).into(),
                format_latency(standing.overshoot_sec).into(),
                Cell::from(standing.reason()),
            ]);
        }
        writeln!(f, "{rows}\n")?;
        write!(f, "{}", wrap_text(&self.note()))
    }
}

/// Creates the example table: source, reference, and each miner's reply.
fn example_table(played: &PlayedChallenge, example: &UtteranceReport) -> Rows {
    let mut rows = headerless_table(&EXAMPLE);
    let utterance_text = played.challenge.utterances.get(example.index as usize);
    if let Some(Source::Text { text, .. }) = utterance_text.map(|utterance| &utterance.source) {
        rows.add_row(["source", text.as_str(), ""]);
    }
    rows.add_row(["reference", example.reference.as_str(), ""]);
    for miner in &played.main.miners {
        let Some(reply) =
            miner.utterances.iter().find(|utterance| utterance.index == example.index)
        else {
            continue;
        };
        let transcript = reply.transcript.as_deref().filter(|text| !text.is_empty());
        let gates: Vec<_> = reply.failed_gates.iter().map(|gate| gate.reason()).collect();
        let verdict =
            if gates.is_empty() { decimals(Some(reply.score), 3) } else { gates.join(", ") };
        let text = Cell::from(transcript.unwrap_or("–"));
        rows.add_row([
            Cell::from(display_name(miner)),
            text,
            status_cell(verdict, gates.is_empty()),
        ]);
    }
    rows
}
