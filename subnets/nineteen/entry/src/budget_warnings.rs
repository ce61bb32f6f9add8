//! Warnings about budgets of API keys and teams that are nearly spent.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use taonet_nineteen_store::{ApiKey, BudgetPeriod, BudgetScope, BudgetUse, StoreError};

use crate::Gateway;
use crate::bill::{now_ms, utc_day};
use crate::webhook::WebhookEvent;

/// Header of the warning in responses, such as `month 83%, team day 91%`.
const WARNING_HEADER: HeaderName = HeaderName::from_static("x-taonet-budget-warning");
/// Share of a budget, in percent, from which there is a warning.
const WARNING_PERCENT: u64 = 80;
/// Share of a budget, in percent, from which there is a second warning.
pub(crate) const EXHAUSTED_PERCENT: u64 = 100;
/// Name of the counter of logged warnings.
const WARNING_COUNTER: &str = "taonet_nineteen_budget_warnings_total";

/// Registers the help text of the metric.
pub(crate) fn describe() {
    metrics::describe_counter!(
        WARNING_COUNTER,
        "Logged warnings about budgets of API keys and teams that are (nearly) spent, by period and scope"
    );
}

/// Warnings that apply now, and those that were logged.
#[derive(Debug, Default)]
pub(crate) struct BudgetWarnings(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Texts of the header by the ID of the API key.
    key_texts: HashMap<String, String>,
    /// Texts of the header by the name of the team.
    team_texts: HashMap<String, String>,
    /// Thresholds of the logged warnings, in percent, by budget, and the first characters of its
    /// dates, such as `2026-11`.
    logged: HashMap<(BudgetScope, String, BudgetPeriod, String), u64>,
}

/// Returns the threshold that a budget has reached, in percent.
fn threshold(budget_use: &BudgetUse) -> Option<u64> {
    let percent = budget_use.percent();
    [EXHAUSTED_PERCENT, WARNING_PERCENT].into_iter().find(|threshold| percent >= *threshold)
}

impl BudgetWarnings {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the warnings by those of the day `today`; returns the budgets that have reached a
    /// threshold in percent for the first time in their period, each with the highest one.
    fn update(&self, uses: Vec<BudgetUse>, today: &str) -> Vec<(BudgetUse, u64)> {
        let (mut key_texts, mut team_texts) = (HashMap::new(), HashMap::new());
        let mut state = self.state();
        // Warnings of earlier periods are not repeated, and need not be remembered.
        state.logged.retain(|(_, _, _, date), _| today.starts_with(date.as_str()));
        let mut new_warnings = Vec::new();
        for budget_use in uses {
            let Some(threshold) = threshold(&budget_use) else { continue };
            match budget_use.scope {
                BudgetScope::Key => add_text(&mut key_texts, &budget_use, ""),
                BudgetScope::Team => add_text(&mut team_texts, &budget_use, "team "),
            }
            let date = budget_use.period.date_prefix(today).to_owned();
            let logged = state
                .logged
                .entry((budget_use.scope, budget_use.owner.clone(), budget_use.period, date))
                .or_insert(0);
            if *logged < threshold {
                *logged = threshold;
                new_warnings.push((budget_use, threshold));
            }
        }
        (state.key_texts, state.team_texts) = (key_texts, team_texts);
        new_warnings
    }

    /// Writes the warnings of a key and of its team, if there are any, to a response.
    pub(crate) fn write_header(&self, key: &ApiKey, headers: &mut HeaderMap) {
        let state = self.state();
        let team_text = key.terms.team.as_ref().and_then(|team| state.team_texts.get(team));
        let texts: Vec<_> =
            state.key_texts.get(&key.id).into_iter().chain(team_text).map(String::as_str).collect();
        if texts.is_empty() {
            return;
        }
        if let Ok(value) = HeaderValue::try_from(texts.join(", ")) {
            headers.insert(WARNING_HEADER, value);
        }
    }
}

/// Appends the warning about a budget to those of its owner.
fn add_text(texts: &mut HashMap<String, String>, budget_use: &BudgetUse, scope: &str) {
    let text = texts.entry(budget_use.owner.clone()).or_default();
    if !text.is_empty() {
        text.push_str(", ");
    }
    let _ = write!(text, "{scope}{} {}%", budget_use.period, budget_use.percent());
}

impl Gateway {
    /// Reads what the keys and teams have spent of their budgets; logs each one that is nearly
    /// spent, and again once it is spent, once per day or month, and sends these warnings to the
    /// webhook.
    pub(crate) async fn warn_of_budgets(&self) -> Result<(), StoreError> {
        let now_ms = now_ms(&self.0.clock);
        let today = utc_day(now_ms);
        let uses = self.0.store.budget_uses(None, &today).await?;
        for (budget_use, threshold) in self.0.budget_warnings.update(uses, &today) {
            if let Some(webhook) = &self.0.webhook {
                webhook.push(WebhookEvent::for_budget(&budget_use, threshold, &today, now_ms));
            }
            let BudgetUse { scope, owner, period, budget, spent } = budget_use;
            metrics::counter!(WARNING_COUNTER, "period" => period.to_string(), "scope" => scope.to_string()).increment(1);
            tracing::warn!(%scope, owner, %period, budget, spent, threshold, "most of a budget is spent");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use taonet_nineteen_store::KeyTerms;

    use super::*;

    fn budget_use(key: &str, period: BudgetPeriod, spent: i64) -> BudgetUse {
        BudgetUse { scope: BudgetScope::Key, owner: key.to_owned(), period, budget: 100, spent }
    }

    /// Returns the header in a response to a key of a team.
    fn header_in_team(warnings: &BudgetWarnings, key: &str, team: Option<&str>) -> Option<String> {
        let terms = KeyTerms { team: team.map(str::to_owned), ..KeyTerms::new("test", 5) };
        let key = ApiKey { id: key.to_owned(), terms, balance: 0, created_ms: 0, revoked_ms: None };
        let mut headers = HeaderMap::new();
        warnings.write_header(&key, &mut headers);
        headers.get(WARNING_HEADER).map(|value| value.to_str().unwrap().to_owned())
    }

    fn header(warnings: &BudgetWarnings, key: &str) -> Option<String> {
        header_in_team(warnings, key, None)
    }

    #[test]
    fn budget_warning_is_sent_once_per_threshold_and_period() {
        let warnings = BudgetWarnings::default();
        let (day, month) = (BudgetPeriod::Day, BudgetPeriod::Month);
        let none: [(BudgetUse, u64); 0] = [];
        let uses = |month_spent, day_spent| {
            vec![
                budget_use("a", month, month_spent),
                budget_use("a", day, day_spent),
                budget_use("b", day, 79),
            ]
        };
        assert_eq!(warnings.update(uses(79, 79), "2026-11-21"), none);
        assert_eq!((header(&warnings, "a"), header(&warnings, "b")), (None, None));
        assert_eq!(warnings.update(uses(80, 79), "2026-11-21"), [(budget_use("a", month, 80), 80)]);
        assert_eq!(
            warnings.update(uses(85, 101), "2026-11-21"),
            [(budget_use("a", day, 101), 100)]
        );
        assert_eq!(header(&warnings, "a").unwrap(), "month 85%, day 101%");
        assert_eq!(warnings.update(uses(86, 102), "2026-11-21"), none);
        // The next day, and the next month.
        assert_eq!(warnings.update(uses(87, 1), "2026-11-22"), none);
        assert_eq!(header(&warnings, "a").unwrap(), "month 87%");
        assert_eq!(warnings.update(uses(90, 90), "2026-11-22"), [(budget_use("a", day, 90), 80)]);
        assert_eq!(warnings.update(uses(90, 99), "2026-11-22"), none);
        assert_eq!(
            warnings.update(uses(90, 100), "2026-11-22"),
            [(budget_use("a", day, 100), 100)]
        );
        assert_eq!(warnings.update(uses(80, 0), "2026-12-01"), [(budget_use("a", month, 80), 80)]);
        assert_eq!(warnings.update(Vec::new(), "2026-12-01"), none);
        assert_eq!(header(&warnings, "a"), None);
    }

    #[test]
    fn keys_get_warnings_for_the_budget_of_their_team() {
        let warnings = BudgetWarnings::default();
        // A team can have the name of a key.
        let team_budget = |spent| BudgetUse {
            scope: BudgetScope::Team,
            ..budget_use("a", BudgetPeriod::Day, spent)
        };
        let uses = |spent| vec![budget_use("a", BudgetPeriod::Day, 85), team_budget(spent)];
        let today = "2026-11-21";
        assert_eq!(
            warnings.update(uses(79), today),
            [(budget_use("a", BudgetPeriod::Day, 85), 80)]
        );
        assert_eq!(warnings.update(uses(91), today), [(team_budget(91), 80)]);
        assert_eq!(warnings.update(uses(100), today), [(team_budget(100), 100)]);
        for (key, team, expected) in [
            ("a", Some("a"), Some("day 85%, team day 100%")),
            ("a", None, Some("day 85%")),
            ("b", Some("a"), Some("team day 100%")),
            ("b", Some("b"), None),
        ] {
            assert_eq!(header_in_team(&warnings, key, team).as_deref(), expected, "{key} {team:?}");
        }
    }
}
