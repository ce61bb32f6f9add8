//! Weights and the scores behind them.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use taonet_nineteen_core::scoring::{self, Contender, ContenderScore, ScoringInput, TaskWeight, score};
use taonet_nineteen_core::{MarketConfig, Task};
use taonet_nineteen_store::{
    ContenderRow, HistoryRow, NewContender, PeriodId, PeriodRow, Reward, RewardRow, Store, StoreError,
};
use taonet_primitives::{Hotkey, Uid, Weights};
use taonet_service::{Clock, unix_time};
use taonet_validator::{Neurons, RoundScores, Subnet};

use crate::MarketFile;

/// Scores of the market at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MarketReport {
    /// Id of the newest period.
    pub period: Option<PeriodId>,
    /// Scores of the miners, by uid.
    pub miners: Vec<MinerReport>,
}

/// A miner's weight and the scores behind it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MinerReport {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Share of the total weight.
    pub weight: f64,
    /// Scores in the tasks that the miner serves.
    pub tasks: Vec<TaskReport>,
}

/// A miner's scores in one task. Later fields derive from earlier ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    /// Name of the task.
    pub task: String,
    /// The task's share of the incentive.
    pub task_weight: f64,
    /// Number of checked answers that count.
    pub rewards: usize,
    /// Mean of the qualities, each raised to the rules' exponent.
    pub average_quality: f64,
    /// Speed for the ranking, in units of work per second.
    pub metric: Option<f64>,
    /// Bonus for the rank of the speed.
    pub bonus: f64,
    /// `average_quality`, adjusted by the rules, times `1 + bonus`.
    pub combined_quality: f64,
    /// Number of closed periods that count.
    pub periods: usize,
    /// Normalised period score, including probation.
    pub period_score: f64,
    /// Accepted capacity.
    pub capacity: f64,
    /// `combined_quality · period_score · capacity`.
    pub effective: f64,
    /// `effective`, raised to the rules' exponent, as a share of the task's sum.
    pub net: f64,
}

/// Rows of the store that determine the weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MarketState {
    period: Option<PeriodId>,
    contenders: Vec<ContenderRow>,
    rewards: Vec<RewardRow>,
    history: Vec<HistoryRow>,
}

impl MarketState {
    /// Loads the rows that count now.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn load(store: &Store, config: &MarketConfig, now_ms: i64) -> Result<Self, StoreError> {
        match store.newest_period().await? {
            Some(period) => Self::of(store, config, &period, now_ms).await,
            None => Ok(Self::default()),
        }
    }

    /// Loads the rows that counted when a period closed, or that count now if it is still open. Returns `None` when
    /// there is no such period.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn load_at(
        store: &Store,
        config: &MarketConfig,
        period: PeriodId,
        now_ms: i64,
    ) -> Result<Option<Self>, StoreError> {
        let Some(period) = store.period(period).await? else { return Ok(None) };
        let at_ms = period.closed_ms.unwrap_or(now_ms);
        Ok(Some(Self::of(store, config, &period, at_ms).await?))
    }

    async fn of(store: &Store, config: &MarketConfig, period: &PeriodRow, at_ms: i64) -> Result<Self, StoreError> {
        let rules = config.scoring_profile.rules();
        let since = |window: Duration| at_ms.saturating_sub(i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
        let mut rewards = store.rewards_since(since(rules.reward_window)).await?;
        rewards.retain(|row| row.reward.created_ms <= at_ms);
        let mut history = store.history_since(since(rules.period_window)).await?;
        history.retain(|row| row.period <= period.id);
        Ok(Self { period: Some(period.id), contenders: store.contenders(period.id).await?, rewards, history })
    }

    /// Returns the state as input for `tao nineteen weights`.
    pub fn export(&self, config: &MarketConfig) -> Value {
        let tasks = config.tasks.iter();
        let tasks = tasks.map(|task| json!({"task": task.task, "weight": task.weight, "enabled": task.enabled}));
        let contenders = self.contenders.iter().map(|row| {
            let NewContender { task, hotkey, uid, capacity } = &row.offer;
            json!({"hotkey": hotkey, "uid": uid, "task": task, "capacity": capacity.accepted})
        });
        let rewards = self.rewards.iter().map(|row| {
            let Reward { quality, metric, .. } = &row.reward;
            json!({"task": row.task, "hotkey": row.hotkey, "quality_score": quality, "metric": metric})
        });
        let periods = self.history.iter().map(|row| {
            let HistoryRow { task, hotkey, score, volume, .. } = row;
            json!({"task": task, "hotkey": hotkey, "period_score": score, "consumed_capacity": volume})
        });
        json!({
            "tasks": tasks.collect::<Vec<_>>(),
            "contenders": contenders.collect::<Vec<_>>(),
            "rewards": rewards.collect::<Vec<_>>(),
            "period_scores": periods.collect::<Vec<_>>(),
        })
    }

    /// Computes the report of this state.
    pub fn report(&self, config: &MarketConfig) -> MarketReport {
        let scores = score(&self.input(config), &config.scoring_profile.rules());
        let mut miners: Vec<MinerReport> = Vec::new();
        for task in &scores.tasks {
            for contender in &task.contenders {
                let report = task_report(task.task.task, task.task.weight, contender);
                match miners.iter_mut().find(|miner| miner.hotkey == contender.hotkey) {
                    Some(miner) => miner.tasks.push(report),
                    None => miners.push(MinerReport {
                        uid: contender.uid,
                        hotkey: contender.hotkey,
                        weight: 0.0,
                        tasks: vec![report],
                    }),
                }
            }
        }
        for total in &scores.totals {
            if let Some(miner) = miners.iter_mut().find(|miner| miner.hotkey == total.hotkey) {
                miner.weight = total.weight;
            }
        }
        miners.sort_by_key(|miner| miner.uid);
        MarketReport { period: self.period, miners }
    }

    fn input<'a>(&'a self, config: &'a MarketConfig) -> ScoringInput<&'a str, Hotkey> {
        let task = |task: &'a Task| TaskWeight { task: task.task.as_str(), weight: task.weight, enabled: task.enabled };
        let contender = |row: &'a ContenderRow| Contender {
            hotkey: row.offer.hotkey,
            uid: row.offer.uid,
            task: row.offer.task.as_str(),
            capacity: row.offer.capacity.accepted,
        };
        let reward = |row: &'a RewardRow| scoring::Reward {
            task: row.task.as_str(),
            hotkey: row.hotkey,
            quality: row.reward.quality,
            metric: row.reward.metric,
        };
        let period = |row: &'a HistoryRow| scoring::PeriodRow {
            task: row.task.as_str(),
            hotkey: row.hotkey,
            score: row.score,
            volume: row.volume,
        };
        ScoringInput {
            tasks: config.tasks.iter().map(task).collect(),
            contenders: self.contenders.iter().map(contender).collect(),
            rewards: self.rewards.iter().map(reward).collect(),
            periods: self.history.iter().map(period).collect(),
        }
    }
}

/// Computes the market's scores from the store.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn market_report(store: &Store, config: &MarketConfig, now_ms: i64) -> Result<MarketReport, StoreError> {
    Ok(MarketState::load(store, config, now_ms).await?.report(config))
}

fn task_report(task: &str, task_weight: f64, contender: &ContenderScore<Hotkey>) -> TaskReport {
    let ContenderScore { quality, period, capacity, effective, net, .. } = *contender;
    TaskReport {
        task: task.to_owned(),
        task_weight,
        rewards: quality.rewards,
        average_quality: quality.average,
        metric: quality.metric,
        bonus: quality.rank.map_or(0.0, |rank| rank.bonus),
        combined_quality: quality.combined,
        periods: period.periods,
        period_score: period.score,
        capacity,
        effective,
        net,
    }
}

/// Implementation of the validator's `Subnet` for Nineteen.
pub struct Nineteen {
    store: Store,
    market: MarketFile,
    clock: Clock,
}

impl Nineteen {
    /// Creates the subnet over the state of `store`.
    pub const fn new(store: Store, market: MarketFile, clock: Clock) -> Self {
        Self { store, market, clock }
    }
}

impl Subnet for Nineteen {
    type Scores = MarketReport;
    type Error = StoreError;

    async fn scores(&self, neurons: &Neurons<'_>, _is_late: bool) -> Result<RoundScores<MarketReport>, StoreError> {
        let now = i64::try_from(unix_time((self.clock)()).as_millis()).unwrap_or(i64::MAX);
        let mut report = market_report(&self.store, &self.market.current(), now).await?;
        // A miner may have lost its uid since the period began.
        report.miners.retain_mut(|miner| {
            let uid = neurons.uid_of(&miner.hotkey.to_string());
            miner.uid = uid.unwrap_or(miner.uid);
            uid.is_some()
        });
        Ok(RoundScores { round: report.period.map(|period| period.to_string()), scores: report })
    }

    fn weights(&self, scores: &MarketReport, _burn_uid: Option<Uid>) -> Option<Weights> {
        let mut weights = Weights::default();
        for miner in scores.miners.iter().filter(|miner| miner.weight > 0.0) {
            weights.add(miner.uid, miner.weight);
        }
        let weights = weights.normalised();
        (!weights.uids.is_empty()).then_some(weights)
    }

    fn why_unearned(&self) -> &'static str {
        "no miner has both a checked answer and a closed period"
    }

    fn measure(&mut self, scores: &MarketReport) {
        for miner in &scores.miners {
            metrics::gauge!("taonet_nineteen_weight", "uid" => miner.uid.to_string()).set(miner.weight);
        }
    }
}
