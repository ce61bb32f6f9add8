//! Computation of the weights, with all intermediate values.

use std::collections::{HashMap, HashSet};

use taonet_primitives::Uid;

use super::{
    Contender, Key, NormalisedPeriod, Quality, Reward, ScoringInput, ScoringRules, TaskWeight, average_quality,
    normalised_period, percentile, rank_by_speed,
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
    /// Share of the task's effective volume: `effective` divided by the sum over the task's contenders.
    pub share: f64,
    /// Powered share: `share` raised to [`ScoringRules::share_exponent`].
    pub powered: f64,
    /// Share of the task's weight: `powered` divided by the sum over the task's contenders.
    pub net: f64,
    /// Contribution to the miner's score: `net · task weight`.
    pub contribution: f64,
}

/// Scores of those contenders of a task that have rewards.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskScores<T, K> {
    /// The task and its weight.
    pub task: TaskWeight<T>,
    /// Scores of the contenders with rewards, in input order. If none has an effective volume, all shares are 0 and the
    /// task contributes nothing.
    pub contenders: Vec<ContenderScore<K>>,
    /// Sum of the contenders' effective volumes.
    pub effective_sum: f64,
    /// Sum of the contenders' powered shares.
    pub powered_sum: f64,
}

/// Score and weight of a miner over all tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Total<K> {
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
    /// Score and weight of each miner, in the order of first appearance in an enabled task. Empty if no task
    /// contributes.
    pub totals: Vec<Total<K>>,
    /// Sum of the miners' scores, by which each score is divided.
    pub score_sum: f64,
}

/// Computes the weights of all miners.
pub fn score<T: Key + AsRef<str>, K: Key>(input: &ScoringInput<T, K>, rules: &ScoringRules) -> Scores<T, K> {
    let rows = Rows::group(input);
    let tasks = input.tasks.iter().filter(|task| task.enabled);
    let tasks: Vec<_> = tasks.map(|task| score_task(task, &rows, rules)).collect();
    let (totals, score_sum) = totals(&tasks);
    Scores { tasks, totals, score_sum }
}

/// Input rows grouped by miner and task, each group in input order.
struct Rows<'a, T, K> {
    contenders: HashMap<T, Vec<&'a Contender<T, K>>>,
    rewards: HashMap<(T, K), Vec<&'a Reward<T, K>>>,
    of_miner: HashMap<K, Vec<&'a Reward<T, K>>>,
    periods: HashMap<(T, K), Vec<(f64, f64)>>,
}

impl<'a, T: Key, K: Key> Rows<'a, T, K> {
    fn group(input: &'a ScoringInput<T, K>) -> Self {
        let mut contenders: HashMap<_, Vec<_>> = HashMap::new();
        for contender in &input.contenders {
            contenders.entry(contender.task).or_default().push(contender);
        }
        let (mut rewards, mut of_miner): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
        for reward in &input.rewards {
            rewards.entry((reward.task, reward.hotkey)).or_default().push(reward);
            of_miner.entry(reward.hotkey).or_default().push(reward);
        }
        let mut periods: HashMap<_, Vec<_>> = HashMap::new();
        for row in &input.periods {
            let group = periods.entry((row.task, row.hotkey)).or_default();
            group.extend(row.score.map(|score| (score, row.volume)));
        }
        Self { contenders, rewards, of_miner, periods }
    }

    /// Returns the miner's rewards in the task, and enough rewards of other tasks to reach `minimum`.
    fn rewards(
        &self,
        task: T,
        hotkey: K,
        minimum: usize,
    ) -> (&[&'a Reward<T, K>], impl Iterator<Item = &'a Reward<T, K>>) {
        let own = self.rewards.get(&(task, hotkey)).map(Vec::as_slice).unwrap_or_default();
        let all = self.of_miner.get(&hotkey).map(Vec::as_slice).unwrap_or_default();
        // With enough rewards in the task, rewards of other tasks do not count.
        let missing = minimum.saturating_sub(own.len());
        let fill = all.iter().copied().filter(move |reward| reward.task != task).take(missing);
        (own, fill)
    }
}

fn score_task<T: Key + AsRef<str>, K: Key>(
    task: &TaskWeight<T>,
    rows: &Rows<'_, T, K>,
    rules: &ScoringRules,
) -> TaskScores<T, K> {
    let contenders = rows.contenders.get(&task.task).map(Vec::as_slice).unwrap_or_default();
    let rated: Vec<_> =
        contenders.iter().filter_map(|contender| Some((*contender, rate(contender, rows, rules)?))).collect();
    let speeds: Vec<_> = rated.iter().map(|(_, quality)| quality.metric).collect();
    let ranks = rank_by_speed(&speeds, rules);
    let mut contenders: Vec<_> = rated
        .into_iter()
        .zip(ranks)
        .map(|((contender, mut quality), rank)| {
            quality.rank = rank;
            quality.combined = quality.adjusted * (1.0 + rank.map_or(0.0, |rank| rank.bonus));
            let key = (task.task, contender.hotkey);
            let period = normalised_period(rows.periods.get(&key).map(Vec::as_slice).unwrap_or_default(), rules);
            let effective = quality.combined * period.score * contender.capacity;
            let (hotkey, uid, capacity) = (contender.hotkey, contender.uid, contender.capacity);
            ContenderScore {
                hotkey,
                uid,
                quality,
                period,
                capacity,
                effective,
                share: 0.0,
                powered: 0.0,
                net: 0.0,
                contribution: 0.0,
            }
        })
        .collect();
    share_out(&mut contenders, task.weight, rules.share_exponent);
    let (effective_sum, powered_sum) = sums(&contenders);
    TaskScores { task: *task, contenders, effective_sum, powered_sum }
}

/// Computes a contender's quality before the ranking; `None` without a usable reward.
fn rate<T: Key + AsRef<str>, K: Key>(
    contender: &Contender<T, K>,
    rows: &Rows<'_, T, K>,
    rules: &ScoringRules,
) -> Option<Quality> {
    let (own, fill) = rows.rewards(contender.task, contender.hotkey, rules.minimum_rewards);
    // Ignore rewards without a quality or a speed.
    let values = |reward: &Reward<T, K>| reward.quality.zip(reward.metric);
    let own: Vec<(f64, f64)> = own.iter().filter_map(|reward| values(reward)).collect();
    let fill: Vec<f64> = fill.filter_map(|reward| values(reward).map(|(quality, _)| quality)).collect();
    let qualities = own.iter().map(|(quality, _)| *quality).chain(fill.iter().copied());
    let average = average_quality(qualities, rules)?;
    let exempt = rules.never_squared.iter().any(|name| name == contender.task.as_ref());
    let squared = rules.squared_up_to.is_some_and(|threshold| average <= threshold && !exempt);
    let adjusted = if squared { average * average } else { average };
    let metrics = own
        .iter()
        .map(|(quality, metric)| if rules.weigh_metric_by_quality { metric * quality } else { *metric })
        .collect();
    Some(Quality {
        rewards: own.len(),
        filled: fill.len(),
        average,
        adjusted,
        metric: percentile(metrics, rules.metric_percentile),
        rank: None,
        combined: adjusted,
    })
}

/// Returns each number's share of the sum, raised to the exponent and normalised again; `None` if a sum is 0.
pub fn shares(effective: &[f64], exponent: f64) -> Option<Vec<f64>> {
    let sum: f64 = effective.iter().sum();
    let powered: Vec<_> = effective.iter().map(|own| (own / sum).powf(exponent)).collect();
    let powers: f64 = powered.iter().sum();
    (sum > 0.0 && powers > 0.0).then(|| powered.into_iter().map(|own| own / powers).collect())
}

fn share_out<K>(contenders: &mut [ContenderScore<K>], task_weight: f64, exponent: f64) {
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
fn sums<K>(contenders: &[ContenderScore<K>]) -> (f64, f64) {
    let effective = contenders.iter().map(|contender| contender.effective).sum();
    (effective, contenders.iter().map(|contender| contender.powered).sum())
}

/// Returns each miner's score and weight, and the sum of the scores.
fn totals<T, K: Key>(tasks: &[TaskScores<T, K>]) -> (Vec<Total<K>>, f64) {
    let (mut totals, mut places) = (Vec::<Total<K>>::new(), HashMap::new());
    let counts = |task: &&TaskScores<T, K>| task.contenders.iter().any(|contender| contender.net > 0.0);
    for contender in tasks.iter().filter(counts).flat_map(|task| &task.contenders) {
        let place = *places.entry(contender.hotkey).or_insert_with(|| {
            totals.push(Total { hotkey: contender.hotkey, uid: contender.uid, score: 0.0, weight: 0.0 });
            totals.len() - 1
        });
        if let Some(total) = totals.get_mut(place) {
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

/// A miner is listed twice as a contender of one task; contains the index of the duplicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("contenders[{0}] has the hotkey and task of an earlier contender")]
pub struct DuplicateContender(pub usize);

impl<T: Key, K: Key> ScoringInput<T, K> {
    /// Checks that each miner is a contender of each task at most once.
    ///
    /// # Errors
    /// [`DuplicateContender`] with the index of the duplicate.
    pub fn check(&self) -> Result<(), DuplicateContender> {
        let mut seen = HashSet::new();
        let double = self.contenders.iter().position(|contender| !seen.insert((contender.hotkey, contender.task)));
        double.map_or(Ok(()), |place| Err(DuplicateContender(place)))
    }
}
