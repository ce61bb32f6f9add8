//! Warnings about budgets of API keys that are nearly spent.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use taonet_nineteen_store::{BudgetPeriod, BudgetUse, StoreError};

use crate::Gateway;
use crate::bill::today;

/// Header of the warning in responses, such as `month 83%, day 91%`.
const HEADER: HeaderName = HeaderName::from_static("x-taonet-budget-warning");
/// Share of a budget, in percent, from which there is a warning.
const WARNING_PERCENT: u64 = 80;
/// Name of the counter of logged warnings.
const WARNINGS: &str = "taonet_nineteen_budget_warnings_total";

/// Registers the help text of the metric.
pub(crate) fn describe() {
    metrics::describe_counter!(WARNINGS, "Logged warnings about budgets of API keys that are nearly spent, by period");
}

/// Warnings that apply now, and those that were logged.
#[derive(Debug, Default)]
pub(crate) struct BudgetWarnings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Header values by the ID of the API key.
    current: HashMap<String, HeaderValue>,
    /// Logged warnings: key, period, and its first characters in dates, such as `2026-11`.
    logged: HashSet<(String, BudgetPeriod, String)>,
}

impl BudgetWarnings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the warnings by those of the day `today`; returns the budgets that were not logged in their period.
    fn update(&self, uses: Vec<BudgetUse>, today: &str) -> Vec<BudgetUse> {
        let mut texts: HashMap<String, Vec<String>> = HashMap::new();
        let mut state = self.state();
        // Warnings of earlier periods are not repeated, and need not be remembered.
        state.logged.retain(|(_, _, date)| today.starts_with(date));
        let mut new = Vec::new();
        for used in uses.into_iter().filter(|used| used.percent() >= WARNING_PERCENT) {
            texts.entry(used.key_id.clone()).or_default().push(format!("{} {}%", used.period, used.percent()));
            let date = used.period.of_day(today);
            if state.logged.insert((used.key_id.clone(), used.period, date.to_owned())) {
                new.push(used);
            }
        }
        let header = |(key, texts): (String, Vec<String>)| Some((key, HeaderValue::try_from(texts.join(", ")).ok()?));
        state.current = texts.into_iter().filter_map(header).collect();
        new
    }

    /// Writes the warning of a key, if there is one, to a response.
    pub(crate) fn write(&self, key: &str, headers: &mut HeaderMap) {
        if let Some(value) = self.state().current.get(key) {
            headers.insert(HEADER, value.clone());
        }
    }
}

impl Gateway {
    /// Reads what the keys have spent of their budgets; logs each one that is nearly spent, once per day or month.
    pub(crate) async fn warn_of_budgets(&self) -> Result<(), StoreError> {
        let (_, today) = today(&self.0.clock);
        let uses = self.0.store.budget_uses(None, &today).await?;
        for BudgetUse { key_id, period, budget, spent } in self.0.budget_warnings.update(uses, &today) {
            metrics::counter!(WARNINGS, "period" => period.to_string()).increment(1);
            tracing::warn!(key = key_id, %period, budget, spent, "an API key has nearly spent its budget");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(key: &str, period: BudgetPeriod, spent: i64) -> BudgetUse {
        BudgetUse { key_id: key.to_owned(), period, budget: 100, spent }
    }

    fn header(warnings: &BudgetWarnings, key: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        warnings.write(key, &mut headers);
        headers.get(HEADER).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn budget_is_warned_of_once_per_period() {
        let warnings = BudgetWarnings::default();
        let (day, month) = (BudgetPeriod::Day, BudgetPeriod::Month);
        let uses =
            |month_spent, day_spent| vec![used("a", month, month_spent), used("a", day, day_spent), used("b", day, 79)];
        assert_eq!(warnings.update(uses(79, 79), "2026-11-21"), []);
        assert_eq!((header(&warnings, "a"), header(&warnings, "b")), (None, None));
        assert_eq!(warnings.update(uses(80, 79), "2026-11-21"), [used("a", month, 80)]);
        assert_eq!(warnings.update(uses(85, 101), "2026-11-21"), [used("a", day, 101)]);
        assert_eq!(header(&warnings, "a").unwrap(), "month 85%, day 101%");
        assert_eq!(warnings.update(uses(86, 102), "2026-11-21"), []);
        // The next day, and the next month.
        assert_eq!(warnings.update(uses(87, 1), "2026-11-22"), []);
        assert_eq!(header(&warnings, "a").unwrap(), "month 87%");
        assert_eq!(warnings.update(uses(90, 90), "2026-11-22"), [used("a", day, 90)]);
        assert_eq!(warnings.update(uses(80, 0), "2026-12-01"), [used("a", month, 80)]);
        assert_eq!(warnings.update(Vec::new(), "2026-12-01"), []);
        assert_eq!(header(&warnings, "a"), None);
    }
}
