//! Records of Nineteen's market outside of its database: the purchases from the buyers' point of
//! view, the first observed result of each closed period, and the restorations of the database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taonet_nineteen_core::period::period_score;
use taonet_nineteen_store::{HistoryRow, PeriodId};
use taonet_primitives::Hotkey;

use crate::record;

/// Tolerance of period scores.
const TOLERANCE: f64 = 1e-9;

/// End of a purchase, as the buyer observes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No complete response has arrived.
    #[default]
    Unknown,
    /// The request was refused: it costs nothing.
    Refused,
    /// The answer ended with an error: it costs what was delivered.
    Interrupted,
    /// The answer is complete.
    Complete {
        /// Price by the token counts in the answer.
        credits: i64,
    },
}

/// Data that a buyer has received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// ID of the request, from the answer.
    pub(crate) request: Option<String>,
    pub(crate) outcome: Outcome,
}

/// A buyer's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purchase {
    /// Index of the process that serves the buyer.
    pub(crate) gateway: usize,
    pub(crate) start: Duration,
    /// When the buyer has received the end of the response, or given up; `None` before.
    pub(crate) end: Option<Duration>,
    pub(crate) receipt: Receipt,
}

/// A time interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

/// Purchases, results of periods, and the intervals lost by restorations of the database. Clones
/// share them.
#[derive(Clone, Default)]
pub(crate) struct MarketRecords(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    purchases: Vec<Purchase>,
    periods: Periods,
    /// Intervals from the time of a backup until the database was restored from it.
    rewinds: Vec<Span>,
}

impl MarketRecords {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a purchase that begins now; returns its number.
    pub(crate) fn begin(&self, gateway: usize) -> usize {
        let purchase =
            Purchase { gateway, start: record::now(), end: None, receipt: Receipt::default() };
        let mut state = self.state();
        state.purchases.push(purchase);
        state.purchases.len() - 1
    }

    /// Ends a purchase.
    pub(crate) fn end(&self, number: usize, receipt: Receipt) {
        record::record_event(&format!("purchase {number}: {:?}", receipt.outcome));
        if let Some(purchase) = self.state().purchases.get_mut(number) {
            (purchase.end, purchase.receipt) = (Some(record::now()), receipt);
        }
    }

    /// Compares the results of closed periods with those of before, and with their counters;
    /// returns the violations.
    pub(crate) fn observe(&self, history: &[HistoryRow]) -> Vec<String> {
        self.state().periods.observe(history)
    }

    /// Forgets the results of periods, because at `now`, the database was restored from a backup of
    /// the time `to`.
    pub(crate) fn rewind(&self, to: Duration, now: Duration) {
        let mut state = self.state();
        state.periods = Periods::default();
        state.rewinds.push(Span { from: to, until: now });
    }

    pub(crate) fn purchases(&self) -> Vec<Purchase> {
        self.state().purchases.clone()
    }

    /// Returns the interval of each restoration of the database: from the time of the backup until
    /// the restoration. The database has lost what was written then.
    pub(crate) fn rewinds(&self) -> Vec<Span> {
        self.state().rewinds.clone()
    }
}

/// Results of closed periods, by period and miner. The market has one task.
#[derive(Default)]
struct Periods(BTreeMap<(PeriodId, Hotkey), HistoryRow>);

impl Periods {
    fn observe(&mut self, history: &[HistoryRow]) -> Vec<String> {
        let mut violations = Vec::new();
        for row in history {
            let (period, hotkey) = (row.period, row.hotkey);
            let computed = period_score(&row.counts, row.profile);
            let is_computed = match (row.score, computed) {
                (Some(score), Some(computed)) => (score - computed).abs() <= TOLERANCE,
                (score, computed) => score.is_none() && computed.is_none(),
            };
            if !is_computed {
                violations.push(format!(
                    "period {period} has the score {:?} for {:?}",
                    row.score, row.counts
                ));
            }
            let first = self.0.entry((period, hotkey)).or_insert_with(|| row.clone());
            if *first != *row {
                violations.push(format!(
                    "the closed period {period} has changed: the score was {:?} for {:?}, and is {:?} for {:?}",
                    first.score, first.counts, row.score, row.counts
                ));
            }
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_core::period::{PeriodCounts, PeriodProfile};

    use super::*;

    fn row(period: i64, total_requests: f64, score: Option<f64>) -> HistoryRow {
        let counts = PeriodCounts {
            total_requests,
            consumed_capacity: 10.0,
            ..PeriodCounts::with_capacity(10.0)
        };
        HistoryRow {
            period: PeriodId(period),
            profile: PeriodProfile::Reference,
            task: "chat-a".parse().unwrap(),
            hotkey: Hotkey::from_bytes([1; 32]),
            counts,
            score,
        }
    }

    #[test]
    fn score_computed_twice_or_from_other_counters_is_a_violation() {
        let mut periods = Periods::default();
        let first = [row(1, 4.0, Some(1.0)), row(2, 0.0, None)];
        assert_eq!(periods.observe(&first), [""; 0]);
        assert_eq!(periods.observe(&first), [""; 0]);
        // A later period.
        assert_eq!(periods.observe(&[row(3, 2.0, Some(1.0))]), [""; 0]);
        // The counters of a closed period grow.
        assert_eq!(periods.observe(&[row(1, 5.0, Some(1.0))]).len(), 1);
        // A score that does not follow from the counters.
        for wrong in [row(4, 4.0, Some(0.5)), row(5, 4.0, None), row(6, 0.0, Some(1.0))] {
            assert_eq!(periods.observe(&[wrong]).len(), 1);
        }
    }

    #[test]
    fn restored_database_may_close_its_periods_again() {
        let market_records = MarketRecords::default();
        assert_eq!(market_records.observe(&[row(1, 4.0, Some(1.0))]), [""; 0]);
        market_records.rewind(Duration::from_secs(5), Duration::from_secs(9));
        assert_eq!(market_records.observe(&[row(1, 5.0, Some(1.0))]), [""; 0]);
        let rewind = Span { from: Duration::from_secs(5), until: Duration::from_secs(9) };
        assert_eq!(market_records.rewinds(), [rewind]);
    }
}
