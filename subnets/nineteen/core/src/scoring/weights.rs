//! Computation of the weights, with all intermediate values.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use taonet_primitives::Uid;

use super::{
    Contender, NormalisedPeriod, Quality, Reward, ScoringInput, ScoringRules, TaskWeight,
    average_quality, normalised_period, percentile, rank_by_speed,
};

/// A contender's scores in one task. Each field is computed from earlier fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContenderScore<K> {
    /// Hotkey of the miner.
    pub hotkey: K,
    /// Uid of the miner.
    pub uid: Uid,
    /// Quality and speed of the miner's results.
    pub quality: Quality,
    /// Normalised period score.
    pub period: NormalisedPeriod,
    /// Accepted capacity, in the unit of the task.
    pub capacity: f64,
    /// Effective volume: `quality.combined · period.score · capacity`.
    pub effective: f64,
    /// Share of the task's effective volume: `effective` divided by the sum over the task's
    /// contenders.
    pub share: f64,
    /// Powered share: `share` raised to [`ScoringRules::share_exponent`].
    pub powered: f64,
    /// Share of the task's weight: `powered` divided by the sum over the task's contenders.
    pub net: f64,
    /// Contribution to the miner's score: `net · task weight`.
    pub contribution: f64,
}

/// Scores of the miners of one task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskScores<T, K> {
    /// The task and its weight.
    pub task: TaskWeight<T>,
    /// Scores of those contenders that have rewards and, except with strict rules, are among the
    /// registered hotkeys, in input order. If none has an effective volume, all shares are 0 and
    /// the task contributes nothing.
    pub contenders: Vec<ContenderScore<K>>,
    /// Sum of the contenders' effective volumes.
    pub effective_sum: f64,
    /// Sum of the contenders' powered shares.
    pub powered_sum: f64,
}

/// Score and weight of a miner over all tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinerTotal<K> {
    /// Hotkey of the miner.
    pub hotkey: K,
    /// Uid of the miner.
    pub uid: Uid,
    /// Sum of the miner's contributions.
    pub score: f64,
    /// Weight: `score` divided by the sum over all miners.
    pub weight: f64,
}

/// Weights of all miners, with every intermediate value.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores<T, K> {
    /// Scores of the enabled tasks.
    pub tasks: Vec<TaskScores<T, K>>,
    /// Score and weight of each miner, in the order of first appearance in an enabled task. Empty
    /// if no task contributes.
    pub totals: Vec<MinerTotal<K>>,
    /// Sum of the miners' scores, by which each score is divided.
    pub score_sum: f64,
}

/// Computes the weights of all miners.
pub fn score<T: Copy + Eq + Hash + AsRef<str>, K: Copy + Eq + Hash>(
    input: &ScoringInput<T, K>,
    rules: &ScoringRules,
) -> Scores<T, K> {
    let rows = GroupedRows::group(input);
    let tasks = input.tasks.iter().filter(|task| task.enabled);
    let tasks: Vec<_> = tasks.map(|task| score_task(task, &input.nodes, &rows, rules)).collect();
    let (totals, score_sum) = totals(&tasks);
    Scores { tasks, totals, score_sum }
}

/// Input rows grouped by miner and task, each group in input order.
struct GroupedRows<'a, T, K> {
    contenders: HashMap<T, Vec<&'a Contender<T, K>>>,
    rewards: HashMap<(T, K), Vec<&'a Reward<T, K>>>,
    rewards_by_miner: HashMap<K, Vec<&'a Reward<T, K>>>,
    periods: HashMap<(T, K), Vec<(f64, f64)>>,
}

impl<'a, T: Copy + Eq + Hash, K: Copy + Eq + Hash> GroupedRows<'a, T, K> {
    fn group(input: &'a ScoringInput<T, K>) -> Self {
        let mut contenders: HashMap<_, Vec<_>> = HashMap::new();
        for contender in &input.contenders {
            contenders.entry(contender.task).or_default().push(contender);
        }
        let (mut rewards, mut rewards_by_miner): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) =
            Default::default();
        for reward in &input.rewards {
            rewards.entry((reward.task, reward.hotkey)).or_default().push(reward);
            rewards_by_miner.entry(reward.hotkey).or_default().push(reward);
        }
        let mut periods: HashMap<_, Vec<_>> = HashMap::new();
        for row in &input.periods {
            let group = periods.entry((row.task, row.hotkey)).or_default();
            group.extend(row.score.map(|score| (score, row.volume)));
        }
        Self { contenders, rewards, rewards_by_miner, periods }
    }

    /// Returns the miner's rewards in the task, and its newest rewards that fill up to the minimum
    /// number.
    fn rewards(
        &self,
        task: T,
        hotkey: K,
        rules: &ScoringRules,
    ) -> (&[&'a Reward<T, K>], impl Iterator<Item = &'a Reward<T, K>>) {
        let task_rewards = self.rewards.get(&(task, hotkey)).map(Vec::as_slice).unwrap_or_default();
        let rewards = self.rewards_by_miner.get(&hotkey).map(Vec::as_slice).unwrap_or_default();
        let missing_count = rules.minimum_rewards.saturating_sub(task_rewards.len());
        let is_strict = rules.strict;
        // The reference does not exclude the rewards in the task, which then count twice.
        let other_rewards = rewards
            .iter()
            .copied()
            .filter(move |reward| !is_strict || reward.task != task)
            .take(missing_count);
        (task_rewards, other_rewards)
    }
}

fn score_task<T: Copy + Eq + Hash + AsRef<str>, K: Copy + Eq + Hash>(
    task: &TaskWeight<T>,
    nodes: &[K],
    rows: &GroupedRows<'_, T, K>,
    rules: &ScoringRules,
) -> TaskScores<T, K> {
    let task_contenders = rows.contenders.get(&task.task).map(Vec::as_slice).unwrap_or_default();
    let qualities = if rules.strict {
        qualities(task.task, task_contenders.iter().map(|contender| contender.hotkey), rows, rules)
    } else {
        qualities(task.task, nodes.iter().copied(), rows, rules)
    };
    let mut contenders = Vec::new();
    for contender in task_contenders {
        let Contender { hotkey, uid, capacity, .. } = **contender;
        let Some(quality) = qualities.get(&hotkey).copied() else { continue };
        let periods = rows.periods.get(&(task.task, hotkey)).map(Vec::as_slice).unwrap_or_default();
        let period = normalised_period(periods, rules);
        contenders.push(ContenderScore {
            hotkey,
            uid,
            quality,
            period,
            capacity,
            effective: quality.combined * period.score * capacity,
            share: 0.0,
            powered: 0.0,
            net: 0.0,
            contribution: 0.0,
        });
    }
    assign_shares(&mut contenders, task.weight, rules.share_exponent);
    let (effective_sum, powered_sum) = effective_sums(&contenders);
    TaskScores { task: *task, contenders, effective_sum, powered_sum }
}

/// Computes and ranks the qualities in a task of the miners with a usable reward. Equal speeds rank
/// in the miners' order.
fn qualities<T: Copy + Eq + Hash + AsRef<str>, K: Copy + Eq + Hash>(
    task: T,
    hotkeys: impl Iterator<Item = K>,
    rows: &GroupedRows<'_, T, K>,
    rules: &ScoringRules,
) -> HashMap<K, Quality> {
    let rated_miners: Vec<(K, Quality)> = hotkeys
        .filter_map(|hotkey| Some((hotkey, miner_quality(task, hotkey, rows, rules)?)))
        .collect();
    let speeds: Vec<_> = rated_miners.iter().map(|(_, quality)| quality.metric).collect();
    let ranks = rank_by_speed(&speeds, rules);
    let mut qualities = HashMap::with_capacity(rated_miners.len());
    for ((hotkey, mut quality), rank) in rated_miners.into_iter().zip(ranks) {
        quality.rank = rank;
        quality.combined = quality.adjusted * (1.0 + rank.map_or(0.0, |rank| rank.bonus));
        qualities.insert(hotkey, quality);
    }
    qualities
}

/// Computes a miner's quality in a task before the ranking; `None` without a usable reward.
fn miner_quality<T: Copy + Eq + Hash + AsRef<str>, K: Copy + Eq + Hash>(
    task: T,
    hotkey: K,
    rows: &GroupedRows<'_, T, K>,
    rules: &ScoringRules,
) -> Option<Quality> {
    let (task_rewards, other_rewards) = rows.rewards(task, hotkey, rules);
    // Ignore rewards without a quality or a speed.
    let quality_and_metric = |reward: &Reward<T, K>| reward.quality.zip(reward.metric);
    let task_rewards: Vec<(f64, f64)> =
        task_rewards.iter().filter_map(|reward| quality_and_metric(reward)).collect();
    let other_rewards: Vec<(f64, f64)> = other_rewards.filter_map(quality_and_metric).collect();
    let average = average_quality(
        task_rewards.iter().chain(&other_rewards).map(|(quality, _)| *quality),
        rules,
    )?;
    let is_exempt = rules.never_squared.iter().any(|name| name == task.as_ref());
    let is_squared =
        rules.squared_up_to.is_some_and(|threshold| average <= threshold && !is_exempt);
    let adjusted = if is_squared { average * average } else { average };
    let filled_metrics = if rules.strict { &[] } else { other_rewards.as_slice() };
    let metrics = task_rewards
        .iter()
        .chain(filled_metrics)
        .map(
            |(quality, metric)| {
                if rules.weigh_metric_by_quality { metric * quality } else { *metric }
            },
        )
        .collect();
    Some(Quality {
        rewards: task_rewards.len(),
        filled: other_rewards.len(),
        average,
        adjusted,
        metric: percentile(metrics, rules.metric_percentile),
        rank: None,
        combined: adjusted,
    })
}

/// Returns each volume's share of the sum, raised to the exponent and normalised again; `None` if
/// the sum of the volumes or of the powers is 0.
pub fn shares(effective: &[f64], exponent: f64) -> Option<Vec<f64>> {
    let sum: f64 = effective.iter().sum();
    let powers: Vec<_> = effective.iter().map(|volume| (volume / sum).powf(exponent)).collect();
    let power_sum: f64 = powers.iter().sum();
    (sum > 0.0 && power_sum > 0.0)
        .then(|| powers.into_iter().map(|power| power / power_sum).collect())
}

fn assign_shares<K>(contenders: &mut [ContenderScore<K>], task_weight: f64, exponent: f64) {
    let effective: Vec<_> = contenders.iter().map(|contender| contender.effective).collect();
    let Some(nets) = shares(&effective, exponent) else { return };
    let sum: f64 = effective.iter().sum();
    for (contender, net) in contenders.iter_mut().zip(nets) {
        contender.share = contender.effective / sum;
        contender.powered = contender.share.powf(exponent);
        contender.net = net;
        contender.contribution = net * task_weight;
    }
}

/// Returns the sums of the effective volumes and of the powered shares.
fn effective_sums<K>(contenders: &[ContenderScore<K>]) -> (f64, f64) {
    let effective = contenders.iter().map(|contender| contender.effective).sum();
    (effective, contenders.iter().map(|contender| contender.powered).sum())
}

/// Returns each miner's score and weight, and the sum of the scores.
fn totals<T, K: Copy + Eq + Hash>(tasks: &[TaskScores<T, K>]) -> (Vec<MinerTotal<K>>, f64) {
    let (mut totals, mut indices) = (Vec::<MinerTotal<K>>::new(), HashMap::new());
    let contributes =
        |task: &&TaskScores<T, K>| task.contenders.iter().any(|contender| contender.net > 0.0);
    for contender in tasks.iter().filter(contributes).flat_map(|task| &task.contenders) {
        let index = *indices.entry(contender.hotkey).or_insert_with(|| {
            totals.push(MinerTotal {
                hotkey: contender.hotkey,
                uid: contender.uid,
                score: 0.0,
                weight: 0.0,
            });
            totals.len() - 1
        });
        if let Some(total) = totals.get_mut(index) {
            total.score += contender.contribution;
        }
    }
    let sum: f64 = totals.iter().map(|total| total.score).sum();
    if sum <= 0.0 {
        return (Vec::new(), 0.0);
    }
    for total in &mut totals {
        total.weight = total.score / sum;
    }
    (totals, sum)
}

/// Why an input of the weights is ambiguous; contains the index of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DuplicateRow {
    /// A miner is a contender of one task twice.
    #[error("contenders[{0}] has the hotkey and task of an earlier contender")]
    Contender(usize),
    /// A miner has two uids.
    #[error("contenders[{0}] has another uid than an earlier contender with its hotkey")]
    Uid(usize),
    /// A registered hotkey is listed twice.
    #[error("nodes[{0}] has the hotkey of an earlier node")]
    Node(usize),
}

impl<T: Copy + Eq + Hash, K: Copy + Eq + Hash> ScoringInput<T, K> {
    /// Checks that each miner is listed once among the registered hotkeys, has one uid, and is a
    /// contender of each task at most once.
    ///
    /// # Errors
    /// [`DuplicateRow`] with the index of the row.
    pub fn check(&self) -> Result<(), DuplicateRow> {
        let (mut pairs, mut uids) = (HashSet::new(), HashMap::new());
        for (index, contender) in self.contenders.iter().enumerate() {
            if !pairs.insert((contender.hotkey, contender.task)) {
                return Err(DuplicateRow::Contender(index));
            }
            if *uids.entry(contender.hotkey).or_insert(contender.uid) != contender.uid {
                return Err(DuplicateRow::Uid(index));
            }
        }
        let mut nodes = HashSet::new();
        let repeated = self.nodes.iter().position(|hotkey| !nodes.insert(*hotkey));
        repeated.map_or(Ok(()), |index| Err(DuplicateRow::Node(index)))
    }
}
