//! Computation of the weights from the database, with all intermediate scores.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use taonet_nineteen_core::scoring::{
    self, Contender, ContenderScore, ScoringInput, ScoringProfile, TaskScores, TaskWeight, score,
};
use taonet_nineteen_core::{MarketConfig, Task};
use taonet_nineteen_store::{
    ContenderRow, HistoryRow, NewContender, PeriodId, PeriodRow, Reward, RewardRow, Store,
    StoreError,
};
use taonet_primitives::{Hotkey, Uid, Weights};
use taonet_service::{Clock, millis, unix_millis};
use taonet_validator::{Neurons, RoundScores, Subnet};

use crate::MarketFile;

/// Scores and weights of the market's miners at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct MarketReport {
    /// ID of the newest period.
    pub period: Option<PeriodId>,
    /// Release of the reference that the scoring follows, and whether its flaws are fixed.
    pub scoring_profile: ScoringProfile,
    /// Exponent to which each miner's share of a task's effective volume is raised.
    pub share_exponent: f64,
    /// Sum of the miners' scores, by which each score is divided.
    pub score_sum: f64,
    /// Scores and weight of each miner, in the order of uids.
    pub miners: Vec<MinerReport>,
}

/// A miner's weight, with the scores that determine it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MinerReport {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// The miner's share of the total weight, in `0..=1`: `score` divided by the report's
    /// `score_sum`.
    pub weight: f64,
    /// Sum of the tasks' contributions.
    pub score: f64,
    /// Scores in the tasks that the miner serves.
    pub tasks: Vec<TaskReport>,
}

/// A miner's scores in one task. Each field is computed from earlier fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskReport {
    /// Name of the task.
    pub task: String,
    /// The task's share of the incentive.
    pub task_weight: f64,
    /// Number of checked answers within the reward window.
    pub rewards: usize,
    /// Number of further checked answers that count because `rewards` is low: the miner's newest in
    /// any task, or, with a strict profile, in other tasks.
    pub filled: usize,
    /// Mean of the answers' qualities, each raised to the rules' exponent.
    pub average_quality: f64,
    /// Average quality, squared if the rules' threshold applies.
    pub adjusted_quality: f64,
    /// Speed used for the ranking, in units of work per second.
    pub metric: Option<f64>,
    /// Bonus for the miner's rank by speed.
    pub bonus: f64,
    /// Combined quality: `adjusted_quality · (1 + bonus)`.
    pub combined_quality: f64,
    /// Number of scored periods within the period window.
    pub periods: usize,
    /// Mean of the period scores, weighted by volume and age.
    pub period_mean: f64,
    /// Multiplier of the mean: 1, or less during probation.
    pub probation_factor: f64,
    /// Normalised period score: `period_mean · probation_factor`.
    pub period_score: f64,
    /// Accepted capacity, in the unit of the task.
    pub capacity: f64,
    /// Effective volume: `combined_quality · period_score · capacity`.
    pub effective: f64,
    /// Sum of the effective volumes over the task's miners.
    pub effective_sum: f64,
    /// Share of the effective volume: `effective / effective_sum`.
    pub share: f64,
    /// Share raised to the report's `share_exponent`.
    pub powered: f64,
    /// Sum of the powered shares over the task's miners.
    pub powered_sum: f64,
    /// Share of the task's weight: `powered / powered_sum`.
    pub net: f64,
    /// Contribution to the miner's score: `net · task_weight`.
    pub contribution: f64,
}

/// Database rows that determine the weights.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MarketState {
    period: Option<PeriodId>,
    /// Hotkeys of all registered neurons, in order of uid.
    nodes: Vec<Hotkey>,
    contenders: Vec<ContenderRow>,
    rewards: Vec<RewardRow>,
    history: Vec<HistoryRow>,
}

impl MarketState {
    /// Loads the rows that determine the current weights.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn load(
        store: &Store,
        config: &MarketConfig,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        match store.newest_period().await? {
            Some(period) => Self::load_period(store, config, &period, now_ms).await,
            None => Ok(Self::default()),
        }
    }

    /// Loads the rows that determined the weights when a period closed; if the period is open, the
    /// current rows. Returns `None` when the period is unknown.
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
        Ok(Some(Self::load_period(store, config, &period, at_ms).await?))
    }

    async fn load_period(
        store: &Store,
        config: &MarketConfig,
        period: &PeriodRow,
        at_ms: i64,
    ) -> Result<Self, StoreError> {
        let rules = config.scoring_profile.rules();
        let window_start = |window: Duration| at_ms.saturating_sub(millis(window));
        let mut rewards = store.rewards_since(window_start(rules.reward_window)).await?;
        rewards.retain(|row| row.reward.created_ms <= at_ms);
        let mut history = store.history_since(window_start(rules.period_window)).await?;
        history.retain(|row| row.period <= period.id);
        let contenders = store.contenders(period.id).await?;
        let mut nodes = store.registered(at_ms).await?;
        if nodes.is_empty() {
            nodes = hotkeys_of(&contenders);
        }
        Ok(Self { period: Some(period.id), nodes, contenders, rewards, history })
    }

    /// Returns the state as input for `tao nineteen weights`: the rows, the counters behind the
    /// period scores, and the profiles.
    pub fn export(&self, config: &MarketConfig) -> Value {
        let tasks = config.tasks.iter();
        let tasks = tasks
            .map(|task| json!({"task": task.task, "weight": task.weight, "enabled": task.enabled}));
        let contenders = self.contenders.iter().map(|row| {
            let NewContender { task, hotkey, uid, capacity, .. } = &row.offer;
            json!({"hotkey": hotkey, "uid": uid, "task": task, "capacity": capacity.accepted})
        });
        let rewards = self.rewards.iter().map(|row| {
            let Reward { quality, metric, .. } = &row.reward;
            json!({"task": row.task, "hotkey": row.hotkey, "quality_score": quality, "metric": metric})
        });
        let periods = self.history.iter().map(|row| {
            let HistoryRow { period, profile, task, hotkey, counts, score } = row;
            json!({
                "period": period,
                "period_profile": profile,
                "task": task,
                "hotkey": hotkey,
                "period_score": score,
                "total_requests": counts.total_requests,
                "capacity": counts.capacity,
                "consumed_capacity": counts.consumed_capacity,
                "requests_429": counts.requests_429,
                "requests_500": counts.requests_500,
            })
        });
        json!({
            "period": self.period,
            "scoring_profile": config.scoring_profile,
            "tasks": tasks.collect::<Vec<_>>(),
            "nodes": self.nodes,
            "contenders": contenders.collect::<Vec<_>>(),
            "rewards": rewards.collect::<Vec<_>>(),
            "period_scores": periods.collect::<Vec<_>>(),
        })
    }

    /// Computes the weights and scores from this state.
    pub fn report(&self, config: &MarketConfig) -> MarketReport {
        let rules = config.scoring_profile.rules();
        let scores = score(&self.scoring_input(config), &rules);
        let mut miners: Vec<MinerReport> = Vec::new();
        for task in &scores.tasks {
            for contender in &task.contenders {
                let report = task_report(task, contender);
                match miners.iter_mut().find(|miner| miner.hotkey == contender.hotkey) {
                    Some(miner) => miner.tasks.push(report),
                    None => miners.push(MinerReport {
                        uid: contender.uid,
                        hotkey: contender.hotkey,
                        weight: 0.0,
                        score: 0.0,
                        tasks: vec![report],
                    }),
                }
            }
        }
        for total in &scores.totals {
            if let Some(miner) = miners.iter_mut().find(|miner| miner.hotkey == total.hotkey) {
                (miner.score, miner.weight) = (total.score, total.weight);
            }
        }
        miners.sort_by_key(|miner| miner.uid);
        MarketReport {
            period: self.period,
            scoring_profile: config.scoring_profile,
            share_exponent: rules.share_exponent,
            score_sum: scores.score_sum,
            miners,
        }
    }

    fn scoring_input<'a>(&'a self, config: &'a MarketConfig) -> ScoringInput<&'a str, Hotkey> {
        let task = |task: &'a Task| TaskWeight {
            task: task.task.as_str(),
            weight: task.weight,
            enabled: task.enabled,
        };
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
            volume: row.counts.consumed_capacity,
        };
        ScoringInput {
            tasks: config.tasks.iter().map(task).collect(),
            nodes: self.nodes.clone(),
            contenders: self.contenders.iter().map(contender).collect(),
            rewards: self.rewards.iter().map(reward).collect(),
            periods: self.history.iter().map(period).collect(),
        }
    }
}

/// Computes the market's weights and scores from the database.
///
/// # Errors
/// [`StoreError`] when the database fails.
pub async fn market_report(
    store: &Store,
    config: &MarketConfig,
    now_ms: i64,
) -> Result<MarketReport, StoreError> {
    Ok(MarketState::load(store, config, now_ms).await?.report(config))
}

/// Returns the hotkeys of a period's contenders, in order of uid: the default for periods of
/// earlier releases, which did not store the registered neurons.
fn hotkeys_of(contenders: &[ContenderRow]) -> Vec<Hotkey> {
    let mut contenders: Vec<_> =
        contenders.iter().map(|row| (row.offer.uid, row.offer.hotkey)).collect();
    contenders.sort_unstable();
    let mut seen = HashSet::new();
    contenders.into_iter().map(|(_, hotkey)| hotkey).filter(|hotkey| seen.insert(*hotkey)).collect()
}

fn task_report(
    scores: &TaskScores<&str, Hotkey>,
    contender: &ContenderScore<Hotkey>,
) -> TaskReport {
    let TaskScores { task, effective_sum, powered_sum, .. } = *scores;
    let ContenderScore {
        quality,
        period,
        capacity,
        effective,
        share,
        powered,
        net,
        contribution,
        ..
    } = *contender;
    TaskReport {
        task: task.task.to_owned(),
        task_weight: task.weight,
        rewards: quality.rewards,
        filled: quality.filled,
        average_quality: quality.average,
        adjusted_quality: quality.adjusted,
        metric: quality.metric,
        bonus: quality.rank.map_or(0.0, |rank| rank.bonus),
        combined_quality: quality.combined,
        periods: period.periods,
        period_mean: period.mean,
        probation_factor: period.factor,
        period_score: period.score,
        capacity,
        effective,
        effective_sum,
        share,
        powered,
        powered_sum,
        net,
        contribution,
    }
}

/// Implementation of the validator's `Subnet` for Nineteen.
pub struct Nineteen {
    store: Store,
    market: MarketFile,
    clock: Clock,
}

impl Nineteen {
    /// Creates the subnet from the validator's database and the market's configuration.
    pub const fn new(store: Store, market: MarketFile, clock: Clock) -> Self {
        Self { store, market, clock }
    }
}

impl Subnet for Nineteen {
    type Scores = MarketReport;
    type Error = StoreError;

    async fn scores(
        &self,
        neurons: &Neurons,
        _is_late: bool,
    ) -> Result<RoundScores<MarketReport>, StoreError> {
        let now_ms = unix_millis((self.clock)());
        let mut report = market_report(&self.store, &self.market.current(), now_ms).await?;
        // The miner's uid may have changed or been reassigned since the period began.
        report.miners.retain_mut(|miner| {
            let uid = neurons.uid_of(&miner.hotkey);
            miner.uid = uid.unwrap_or(miner.uid);
            uid.is_some()
        });
        Ok(RoundScores { round: report.period.map(|period| period.to_string()), scores: report })
    }

    fn weights(&self, scores: &MarketReport, _burn_uid: Option<Uid>) -> Option<Weights> {
        let weighted_miners = scores.miners.iter().filter(|miner| miner.weight > 0.0);
        let weights: Vec<_> = weighted_miners.map(|miner| (miner.uid, miner.weight)).collect();
        Weights::proportional(&weights, None)
    }

    fn unearned_reason(&self) -> &'static str {
        "no miner has both a checked answer and a closed period"
    }

    fn measure(&mut self, scores: &MarketReport) {
        for miner in &scores.miners {
            metrics::gauge!("taonet_nineteen_weight", "uid" => miner.uid.to_string())
                .set(miner.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_core::capacity::Capacity;
    use taonet_nineteen_core::period::{PeriodCounts, PeriodProfile};

    use super::*;

    const TASK: &str = "chat-llama-3-1-8b";
    const OTHER: &str = "chat-llama-3-2-3b";

    fn hotkey(number: u8) -> Hotkey {
        Hotkey::from_bytes([number; 32])
    }

    fn contender(number: u8, uid: u16) -> ContenderRow {
        let capacity = Capacity { declared: 10.0, accepted: 10.0, to_score: 1.0 };
        let offer = NewContender {
            task: TASK.parse().unwrap(),
            hotkey: hotkey(number),
            uid: Uid(uid),
            capacity,
            concurrency: None,
        };
        ContenderRow { offer, counts: PeriodCounts::with_capacity(10.0), sent: 0.0, score: None }
    }

    fn reward(task: &str, number: u8, metric: f64) -> RewardRow {
        RewardRow {
            job_id: number.to_string(),
            task: task.parse().unwrap(),
            hotkey: hotkey(number),
            synthetic: true,
            reward: Reward {
                quality: Some(1.0),
                metric: Some(metric),
                reason: String::new(),
                created_ms: 0,
            },
        }
    }

    fn history(number: u8) -> HistoryRow {
        let counts = PeriodCounts {
            total_requests: 1.0,
            consumed_capacity: 5.0,
            ..PeriodCounts::with_capacity(10.0)
        };
        HistoryRow {
            period: PeriodId(1),
            profile: PeriodProfile::Reference,
            task: TASK.parse().unwrap(),
            hotkey: hotkey(number),
            counts,
            score: Some(1.0),
        }
    }

    #[test]
    fn contender_hotkeys_are_unique_and_ordered_by_uid() {
        // Miner 1 has offered a second task with another uid.
        let contenders = [contender(4, 7), contender(1, 1), contender(2, 5), contender(1, 9)];
        assert_eq!(hotkeys_of(&contenders), [1, 2, 4].map(hotkey));
    }

    /// With the reference's rules, a registered miner without an offer takes a rank; the export
    /// names it.
    #[test]
    fn registered_miners_without_an_offer_are_ranked() {
        let contenders = vec![contender(1, 1), contender(2, 2)];
        let state = MarketState {
            period: Some(PeriodId(1)),
            nodes: [1, 2, 3].map(hotkey).to_vec(),
            contenders,
            rewards: vec![reward(TASK, 1, 5.0), reward(TASK, 2, 4.0), reward(OTHER, 3, 9.0)],
            history: vec![history(1), history(2)],
        };
        for (profile, bonuses) in [
            (ScoringProfile::Reference, [0.0, -0.25]),
            (ScoringProfile::Later, [0.0, -0.25]),
            (ScoringProfile::Strict, [0.25, -0.25]),
            (ScoringProfile::LaterStrict, [0.25, -0.25]),
        ] {
            let mut config = MarketConfig::default();
            config.scoring_profile = profile;
            let report = state.report(&config);
            let actual = report.miners.iter().map(|miner| miner.tasks[0].bonus).collect::<Vec<_>>();
            assert_eq!(actual, bonuses, "{profile:?}");
            let weights =
                taonet_nineteen_core::document::weights(&state.export(&config), None).unwrap();
            let miner_weights = report.miners.iter().map(|miner| miner.weight).collect::<Vec<_>>();
            assert_eq!(weights, json!({"uids": [1, 2], "weights": miner_weights}), "{profile:?}");
        }
    }
}
