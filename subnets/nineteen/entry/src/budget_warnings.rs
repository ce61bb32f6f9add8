//! Warnings about budgets of API keys that are nearly spent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use taonet_nineteen_store::{BudgetPeriod, BudgetUse, StoreError};

use crate::Gateway;
use crate::bill::today;
use crate::webhook::WebhookEvent;

/// Header of the warning in responses, such as `month 83%, day 91%`.
const HEADER: HeaderName = HeaderName::from_static("x-taonet-budget-warning");
/// Share of a budget, in percent, from which there is a warning.
const WARNING_PERCENT: u64 = 80;
/// Share of a budget, in percent, from which there is a second warning.
pub(crate) const EXHAUSTED_PERCENT: u64 = 100;
/// Name of the counter of logged warnings.
const WARNINGS: &str = "taonet_nineteen_budget_warnings_total";

/// Registers the help text of the metric.
pub(crate) fn describe() {
    metrics::describe_counter!(
        WARNINGS,
        "Logged warnings about budgets of API keys that are (nearly) spent, by period"
    );
}

/// Warnings that apply now, and those that were logged.
#[derive(Debug, Default)]
pub(crate) struct BudgetWarnings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Header values by the ID of the API key.
    current: HashMap<String, HeaderValue>,
    /// Thresholds of the logged warnings, in percent, by key, period, and its first characters in dates, such as `2026-11`.
    logged: HashMap<(String, BudgetPeriod, String), u64>,
}

/// Returns the threshold that a budget has reached, in percent.
fn threshold(used: &BudgetUse) -> Option<u64> {
    let percent = used.percent();
    [EXHAUSTED_PERCENT, WARNING_PERCENT].into_iter().find(|threshold| percent >= *threshold)
}

impl BudgetWarnings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the warnings by those of the day `today`; returns the budgets that have reached a threshold in percent for
    /// the first time in their period, each with the highest one.
    fn update(&self, uses: Vec<BudgetUse>, today: &str) -> Vec<(BudgetUse, u64)> {
        let mut texts: HashMap<String, Vec<String>> = HashMap::new();
        let mut state = self.state();
        // Warnings of earlier periods are not repeated, and need not be remembered.
        state.logged.retain(|(_, _, date), _| today.starts_with(date.as_str()));
        let mut new = Vec::new();
        for used in uses {
            let Some(threshold) = threshold(&used) else { continue };
            texts.entry(used.key_id.clone()).or_default().push(format!("{} {}%", used.period, used.percent()));
            let date = used.period.of_day(today);
            let logged = state.logged.entry((used.key_id.clone(), used.period, date.to_owned())).or_insert(0);
            if *logged < threshold {
                *logged = threshold;
                new.push((used, threshold));
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
    /// Reads what the keys have spent of their budgets; logs each one that is nearly spent, and again once it is spent, once
    /// per day or month, and sends these warnings to the webhook.
    pub(crate) async fn warn_of_budgets(&self) -> Result<(), StoreError> {
        let (now_ms, today) = today(&self.0.clock);
        let uses = self.0.store.budget_uses(None, &today).await?;
        for (used, threshold) in self.0.budget_warnings.update(uses, &today) {
            if let Some(webhook) = &self.0.webhook {
                webhook.push(WebhookEvent::of_budget(&used, threshold, &today, now_ms));
            }
            let BudgetUse { key_id, period, budget, spent } = used;
            metrics::counter!(WARNINGS, "period" => period.to_string()).increment(1);
            tracing::warn!(key = key_id, %period, budget, spent, threshold, "an API key has spent most of its budget");
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
    fn budget_is_warned_of_once_per_threshold_and_period() {
        let warnings = BudgetWarnings::default();
        let (day, month) = (BudgetPeriod::Day, BudgetPeriod::Month);
        let none: [(BudgetUse, u64); 0] = [];
        let uses =
            |month_spent, day_spent| vec![used("a", month, month_spent), used("a", day, day_spent), used("b", day, 79)];
        assert_eq!(warnings.update(uses(79, 79), "2026-11-21"), none);
        assert_eq!((header(&warnings, "a"), header(&warnings, "b")), (None, None));
        assert_eq!(warnings.update(uses(80, 79), "2026-11-21"), [(used("a", month, 80), 80)]);
        assert_eq!(warnings.update(uses(85, 101), "2026-11-21"), [(used("a", day, 101), 100)]);
        assert_eq!(header(&warnings, "a").unwrap(), "month 85%, day 101%");
        assert_eq!(warnings.update(uses(86, 102), "2026-11-21"), none);
        // The next day, and the next month.
        assert_eq!(warnings.update(uses(87, 1), "2026-11-22"), none);
        assert_eq!(header(&warnings, "a").unwrap(), "month 87%");
        assert_eq!(warnings.update(uses(90, 90), "2026-11-22"), [(used("a", day, 90), 80)]);
        assert_eq!(warnings.update(uses(90, 99), "2026-11-22"), none);
        assert_eq!(warnings.update(uses(90, 100), "2026-11-22"), [(used("a", day, 100), 100)]);
        assert_eq!(warnings.update(uses(80, 0), "2026-12-01"), [(used("a", month, 80), 80)]);
        assert_eq!(warnings.update(Vec::new(), "2026-12-01"), none);
        assert_eq!(header(&warnings, "a"), None);
    }
}
