//! The market at the last read: its state, its miners and its periods.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use taonet_dashboard::{AnsweringMiners, Condition, Health, ago};
use taonet_nineteen_core::TaskName;
use taonet_nineteen_core::period::PeriodCounts;
use taonet_nineteen_store::{ContenderRow, HistoryRow, KeySpend, PeriodId, PeriodRow};
use taonet_primitives::{Hotkey, Uid, counted};

use crate::tasks::{TaskState, share, tasks_of};

/// Time after the end of a period after which the next one counts as missing, in milliseconds.
/// Between two periods, the validator queries the capacities of all miners.
const GRACE_MS: i64 = 10 * 60 * 1_000;

/// Latest known state of a validator's market.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Market {
    /// The newest period, open or closed; `None` if the database has none, or is not a source.
    pub(crate) period: Option<PeriodRow>,
    /// Miners of the newest period, ordered by task and uid.
    pub(crate) contenders: Vec<ContenderRow>,
    /// Mean quality of each miner's checked answers in the last day, by task.
    pub(crate) qualities: HashMap<Hotkey, Vec<(TaskName, f64)>>,
    pub(crate) past_periods: Arc<PastPeriods>,
    /// The newest closed period when `past_periods` was read.
    pub(crate) newest_closed: Option<PeriodId>,
    /// Spend of each API key on each of the last days, newest day first.
    pub(crate) spend: Vec<KeySpend>,
    /// The part of `spend` that is not read each time.
    pub(crate) older_spend: Arc<PastSpend>,
    /// Tasks as the gateway reports them; `None` if it is not a source, or cannot be read.
    pub(crate) gateway: Option<Vec<TaskState>>,
    /// Why the latest read of the database failed, if it did. The data is then that of the last
    /// successful read.
    pub(crate) database_problem: Option<String>,
    /// Why the latest read of the gateway failed, if it did.
    pub(crate) gateway_problem: Option<String>,
}

/// Spend of each API key on days that are over: a request counts on the day on which it began,
/// and is charged within an hour.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PastSpend {
    /// The first day after these, in UTC.
    pub(crate) end_day: String,
    /// Spend by day and key, newest day first.
    pub(crate) rows: Vec<KeySpend>,
}

/// Closed periods of the last day.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PastPeriods {
    /// The periods with their sums, newest first.
    pub(crate) periods: Vec<(PeriodRow, PeriodSums)>,
    pub(crate) miners: HashMap<Hotkey, MinerHistory>,
}

/// Results of a miner in the past periods.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MinerHistory {
    /// Results by period and task, newest first.
    pub(crate) rows: Vec<HistoryRow>,
    /// Mean score of each past period, oldest first; `None` without requests.
    pub(crate) scores: Vec<Option<f64>>,
}

/// Whether the market runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// A period runs.
    Running,
    /// The last period has ended, and the next one is not yet due.
    BetweenPeriods,
    /// A period should have been closed or opened long ago.
    Stopped,
    /// The database has no period, or is not a source.
    Unknown,
}

/// A miner of the newest period, over all its tasks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MinerState {
    pub(crate) uid: Uid,
    pub(crate) hotkey: Hotkey,
    pub(crate) tasks: usize,
    pub(crate) counts: PeriodCounts,
    /// Mean quality over the tasks.
    pub(crate) quality: Option<f64>,
    /// Mean score of each past period, oldest first; `None` without requests.
    pub(crate) scores: Vec<Option<f64>>,
}

impl MinerState {
    /// Returns the mean score of the past periods; `None` if there is none.
    pub(crate) fn score(&self) -> Option<f64> {
        mean(self.scores.iter().copied().flatten())
    }

    /// Returns the share of requests that the miner answered; `None` without requests.
    pub(crate) fn answered_share(&self) -> Option<f64> {
        answered_share(&self.counts)
    }
}

/// Sums of a period over all miners.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PeriodSums {
    pub(crate) tasks: usize,
    pub(crate) miners: usize,
    pub(crate) counts: PeriodCounts,
    /// Mean score of all offers with requests.
    pub(crate) score: Option<f64>,
}

impl PeriodSums {
    fn from_results<'a>(results: impl Iterator<Item = &'a HistoryRow> + Clone) -> Self {
        let mut counts = PeriodCounts::default();
        for row in results.clone() {
            counts.add(&row.counts);
        }
        Self {
            tasks: results.clone().map(|row| &row.task).collect::<BTreeSet<_>>().len(),
            miners: results.clone().map(|row| row.hotkey).collect::<BTreeSet<_>>().len(),
            counts,
            score: mean(results.filter_map(|row| row.score)),
        }
    }
}

/// Returns the share of requests that were answered; `None` without requests.
pub(crate) fn answered_share(counts: &PeriodCounts) -> Option<f64> {
    share(counts.total_requests - counts.requests_429 - counts.requests_500, counts.total_requests)
}

/// Returns the mean of some values; `None` without values.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_usize, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

/// Returns when a period ended or should end, in milliseconds since the Unix epoch.
fn end_ms(period: &PeriodRow) -> i64 {
    period.closed_ms.unwrap_or(period.started_ms.saturating_add(period.length_ms))
}

impl Market {
    /// Returns the tasks of the newest period: those of the gateway, whose counters are live,
    /// otherwise those of the database.
    pub(crate) fn tasks(&self) -> Vec<TaskState> {
        self.gateway.clone().unwrap_or_else(|| tasks_of(&self.contenders))
    }

    /// Returns the reasons why sources cannot be read.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let database = self
            .database_problem
            .as_deref()
            .map(|reason| ("The validator's database is unavailable", reason));
        let gateway =
            self.gateway_problem.as_deref().map(|reason| ("The gateway is unavailable", reason));
        database.into_iter().chain(gateway)
    }

    /// Returns whether the market runs at `now_ms`, in milliseconds since the Unix epoch.
    pub(crate) fn activity(&self, now_ms: i64) -> Activity {
        let Some(period) = &self.period else { return Activity::Unknown };
        match period.closed_ms {
            _ if now_ms > end_ms(period).saturating_add(GRACE_MS) => Activity::Stopped,
            Some(_) => Activity::BetweenPeriods,
            None => Activity::Running,
        }
    }

    /// Returns the miners of the newest period that answer. A miner without requests
    /// counts as answering.
    pub(crate) fn answering_miners(&self) -> AnsweringMiners {
        let miners = self.miners();
        let answering = miners
            .iter()
            .filter(|miner| miner.answered_share().is_none_or(|share| share > 0.0))
            .count();
        AnsweringMiners { answering, queried: miners.len() }
    }

    /// Returns why the market fails although its sources can be read: no task is available, or most
    /// miners do not answer.
    pub(crate) fn failure(&self) -> Option<String> {
        if let Some((0, tasks)) = self.available_tasks()
            && tasks > 0
        {
            return Some(format!("0 of {} available", counted(tasks, "task")));
        }
        let miners = self.answering_miners();
        miners.is_minority().then(|| miners.to_string())
    }

    /// Returns the number of tasks that the gateway serves, and of all its tasks; `None` without
    /// a gateway.
    fn available_tasks(&self) -> Option<(usize, usize)> {
        let tasks = self.gateway.as_ref()?;
        let available = tasks.iter().filter(|task| task.is_served == Some(true)).count();
        Some((available, tasks.len()))
    }

    /// Returns the subnet's entry in the strip of the page at `now_ms`, in milliseconds since the
    /// Unix epoch.
    pub(crate) fn health(&self, now_ms: i64) -> Health {
        let (condition, fact) = match &self.period {
            Some(period) if self.activity(now_ms) == Activity::Stopped => {
                let ended = ago(end_ms(period) / 1_000, now_ms / 1_000);
                (Condition::Stopped, format!("last period ended {ended}"))
            }
            _ => self.health_while_running(),
        };
        Health { name: "Nineteen", path: "/nineteen", condition, fact }
    }

    /// Returns condition and fact of a market that has not stopped.
    fn health_while_running(&self) -> (Condition, String) {
        let miners = self.answering_miners();
        if let Some((title, _)) = self.problems().next() {
            return (Condition::Degraded, title.to_owned());
        }
        if let Some(failure) = self.failure() {
            return (Condition::Degraded, failure);
        }
        match self.available_tasks() {
            _ if miners.queried > 0 => (Condition::Healthy, miners.to_string()),
            Some((available, tasks)) if tasks > 0 => {
                (Condition::Healthy, format!("{available} of {} available", counted(tasks, "task")))
            }
            _ => (Condition::Waiting, "no period yet".to_owned()),
        }
    }

    /// Returns the miners of the newest period, ordered by uid.
    pub(crate) fn miners(&self) -> Vec<MinerState> {
        let mut miners = BTreeMap::<(Uid, Hotkey), MinerState>::new();
        for ContenderRow { offer, counts, .. } in &self.contenders {
            let miner = miners.entry((offer.uid, offer.hotkey)).or_insert_with(|| MinerState {
                uid: offer.uid,
                hotkey: offer.hotkey,
                tasks: 0,
                counts: PeriodCounts::default(),
                quality: self.quality(&offer.hotkey, None),
                scores: self
                    .past_periods
                    .miners
                    .get(&offer.hotkey)
                    .map(|past| past.scores.clone())
                    .unwrap_or_default(),
            });
            miner.tasks += 1;
            miner.counts.add(counts);
        }
        miners.into_values().collect()
    }

    /// Returns a miner's mean quality in one task, or over all its tasks; `None` if no answer was
    /// checked.
    pub(crate) fn quality(&self, hotkey: &Hotkey, task: Option<&TaskName>) -> Option<f64> {
        let miner_qualities = self.qualities.get(hotkey).into_iter().flatten();
        let task_qualities =
            miner_qualities.filter(|(name, _)| task.is_none_or(|task| task == name));
        mean(task_qualities.map(|(_, quality)| *quality))
    }
}

impl PastPeriods {
    /// Creates the history from periods and from the results of all miners, both newest first.
    pub(crate) fn new(periods: Vec<PeriodRow>, results: Vec<HistoryRow>) -> Self {
        let sums = |period: PeriodRow| {
            (
                period,
                PeriodSums::from_results(results.iter().filter(move |row| row.period == period.id)),
            )
        };
        let periods: Vec<_> = periods.into_iter().map(sums).collect();
        let mut miners = HashMap::<Hotkey, MinerHistory>::new();
        for row in results {
            miners.entry(row.hotkey).or_default().rows.push(row);
        }
        for miner in miners.values_mut() {
            let scores_of = |id: PeriodId| {
                miner.rows.iter().filter(move |row| row.period == id).filter_map(|row| row.score)
            };
            miner.scores =
                periods.iter().rev().map(|(period, _)| mean(scores_of(period.id))).collect();
        }
        Self { periods, miners }
    }
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_core::period::PeriodProfile;

    use super::*;

    fn period(started_ms: i64, closed_ms: Option<i64>) -> PeriodRow {
        PeriodRow {
            id: PeriodId(1),
            started_ms,
            length_ms: 60_000,
            profile: PeriodProfile::Reference,
            closed_ms,
        }
    }

    #[test]
    fn market_without_recent_updates_is_stopped() {
        let activity_at = |period, now_ms| Market { period, ..Market::default() }.activity(now_ms);
        assert_eq!(activity_at(None, 0), Activity::Unknown);
        let open = Some(period(1_000, None));
        assert_eq!(
            (activity_at(open, 2_000), activity_at(open, 61_000 + GRACE_MS)),
            (Activity::Running, Activity::Running)
        );
        assert_eq!(activity_at(open, 61_001 + GRACE_MS), Activity::Stopped);
        let closed = Some(period(1_000, Some(62_000)));
        assert_eq!(activity_at(closed, 62_000 + GRACE_MS), Activity::BetweenPeriods);
        assert_eq!(activity_at(closed, 62_001 + GRACE_MS), Activity::Stopped);
    }

    #[test]
    fn mean_of_empty_list_is_none() {
        assert_eq!(mean(std::iter::empty()), None);
        assert_eq!(mean([0.5, 1.5].into_iter()), Some(1.0));
    }
}
