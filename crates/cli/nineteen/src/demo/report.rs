//! Report of the demonstration.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};
use taonet_cli_base::table::{Cell, decimals, status_cell, table, wrap_text};
use taonet_cli_base::tables::MARKET;
use taonet_cli_localnet::demo_chain::MinerOnChain;
use taonet_nineteen_control::MarketReport;
use taonet_nineteen_store::{ContenderRow, RewardRow};
use taonet_primitives::{Hotkey, Uid, counted};

use super::miners::{Behaviour, DemoMiner};

/// Results of a miner after a period.
struct RankedMiner {
    behaviour: Behaviour,
    uid: Uid,
    hotkey: Hotkey,
    requests: f64,
    limited: f64,
    failed: f64,
    tokens: f64,
    checked: usize,
    quality: Option<f64>,
    period_score: Option<f64>,
    metric: Option<f64>,
    weight: f64,
    /// `None` before the first round ends.
    chain: Option<MinerOnChain>,
    tasks: Value,
}

/// Results of all periods so far, and the weights computed from them.
pub(super) struct Round {
    /// Miners by descending weight.
    standings: Vec<RankedMiner>,
}

/// Report of `tao nineteen demo`.
pub(super) struct DemoReport {
    /// Number of completed periods.
    pub(super) periods: usize,
    /// Tokens delivered to buyers.
    pub(super) tokens: u64,
    round: Option<Round>,
    /// Credits by kind of account, and whether the books balance.
    credits_by_account: BTreeMap<String, i64>,
    is_balanced: bool,
    /// Remark on the model.
    note: String,
}

impl Round {
    pub(super) fn new(
        miners: &[DemoMiner],
        scores: &MarketReport,
        rewards: &[RewardRow],
        periods: &[Vec<ContenderRow>],
        on_chain: &BTreeMap<Uid, MinerOnChain>,
    ) -> Self {
        let standings = miners.iter().map(|miner| {
            let rows: Vec<_> =
                periods.iter().flatten().filter(|row| row.offer.hotkey == miner.hotkey).collect();
            let uid = rows.last().map_or(Uid(0), |row| row.offer.uid);
            let sum =
                |value: fn(&ContenderRow) -> f64| rows.iter().map(|row| value(row)).sum::<f64>();
            let qualities: Vec<f64> = rewards
                .iter()
                .filter(|reward| reward.hotkey == miner.hotkey)
                .filter_map(|reward| reward.reward.quality)
                .collect();
            let metrics = rewards.iter().filter(|reward| reward.hotkey == miner.hotkey);
            let metrics: Vec<f64> = metrics.filter_map(|reward| reward.reward.metric).collect();
            let miner_score = scores.miners.iter().find(|score| score.hotkey == miner.hotkey);
            RankedMiner {
                behaviour: miner.behaviour,
                uid,
                hotkey: miner.hotkey,
                requests: sum(|row| row.counts.total_requests),
                limited: sum(|row| row.counts.requests_429),
                failed: sum(|row| row.counts.requests_500),
                tokens: sum(|row| row.counts.consumed_capacity),
                checked: qualities.len(),
                quality: mean(&qualities),
                period_score: mean(&rows.iter().filter_map(|row| row.score).collect::<Vec<_>>()),
                metric: mean(&metrics),
                weight: miner_score.map_or(0.0, |score| score.weight),
                chain: on_chain.get(&uid).copied(),
                tasks: json!(miner_score.map(|score| &score.tasks)),
            }
        });
        let mut standings: Vec<_> = standings.collect();
        standings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        Self { standings }
    }
}

fn mean(numbers: &[f64]) -> Option<f64> {
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

impl DemoReport {
    /// Creates the report before the first period.
    pub(super) fn new(note: String) -> Self {
        Self {
            periods: 0,
            tokens: 0,
            round: None,
            credits_by_account: BTreeMap::new(),
            is_balanced: false,
            note,
        }
    }

    /// Updates the report with the latest round and the account balances.
    pub(super) fn set_round(
        &mut self,
        round: Round,
        balances: Vec<(String, i64)>,
        is_balanced: bool,
    ) {
        self.round = Some(round);
        let mut credits = BTreeMap::new();
        for (account, balance) in balances {
            let kind = account.split(':').next().unwrap_or_default().to_owned();
            *credits.entry(kind).or_default() += balance;
        }
        self.credits_by_account = credits;
        self.is_balanced = is_balanced;
    }

    /// Returns the document that `--json` prints.
    pub(super) fn document(&self) -> Value {
        let standings = self.round.iter().flat_map(|round| &round.standings);
        json!({
            "schema": "taonet.nineteen-demo/1",
            "periods": self.periods,
            "tokens_sold": self.tokens,
            "credits": {"balanced": self.is_balanced, "accounts": self.credits_by_account},
            "note": self.note,
            "miners": standings.map(RankedMiner::document).collect::<Vec<_>>(),
        })
    }
}

impl RankedMiner {
    fn document(&self) -> Value {
        let chain = self.chain.unwrap_or_default();
        json!({
            "name": self.behaviour.name(),
            "uid": self.uid,
            "hotkey": self.hotkey,
            "weight": self.weight,
            "weight_submitted": chain.weight_submitted,
            "weight_on_chain": chain.weight_stored,
            "incentive": chain.incentive,
            "emission": chain.emission,
            "quality": self.quality,
            "checked": self.checked,
            "period_score": self.period_score,
            "tokens_per_second": self.metric,
            "requests": self.requests,
            "requests_429": self.limited,
            "requests_500": self.failed,
            "tokens": self.tokens,
            "tasks": self.tasks,
        })
    }
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = usize::try_from(self.tokens).unwrap_or(usize::MAX);
        let revenue = self.credits_by_account.get("revenue").copied().unwrap_or(0);
        let verdict = if self.is_balanced { "balance" } else { "do not balance" };
        let [periods, tokens] = [counted(self.periods, "period"), counted(tokens, "token")];
        let heading =
            format!("{periods}, {tokens} sold for {revenue} credits; the books {verdict}");
        writeln!(f, "{}\n", wrap_text(&heading))?;
        let mut rows = table(&MARKET);
        for standing in self.round.iter().flat_map(|round| &round.standings) {
            rows.add_row([
                status_cell(
                    standing.behaviour.name().to_owned(),
                    standing.quality.is_some_and(|quality| quality >= 0.5),
                ),
                standing.uid.to_string().into(),
                decimals(Some(standing.weight), 3).into(),
                decimals(standing.chain.map(|chain| chain.incentive), 3).into(),
                decimals(standing.quality, 2).into(),
                decimals(standing.period_score, 3).into(),
                decimals(standing.metric, 0).into(),
                format!("{:.0}", standing.requests).into(),
                format!("{:.0}", standing.limited).into(),
                Cell::from(format!("{:.0}", standing.failed)),
            ]);
        }
        writeln!(f, "{rows}\n")?;
        write!(f, "{}", wrap_text(&self.note))
    }
}
