//! Budgets of API keys, and of teams of keys, by month and day.

#![deny(clippy::arithmetic_side_effects)]

use std::fmt;

use taonet_database::{Row, statement};

use crate::error::invalid_value;
use crate::{Store, StoreError};

/// Period of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BudgetPeriod {
    /// A day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

impl BudgetPeriod {
    /// Returns the prefix that the dates of the period of `day` share: the day itself, such as
    /// `2026-11-21`, or its month, `2026-11`.
    pub fn date_prefix(self, day: &str) -> &str {
        match self {
            Self::Day => day,
            Self::Month => day.get(..7).unwrap_or(day),
        }
    }
}

impl fmt::Display for BudgetPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Month => "month",
        })
    }
}

/// Whether a budget is that of one API key, or of a team of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BudgetScope {
    /// The budget of one key.
    Key,
    /// The budget that all keys of a team share.
    Team,
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Team => "team",
        })
    }
}

/// Credits that a key or a team has spent of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetUse {
    /// Scope of the budget: a key or a team.
    pub scope: BudgetScope,
    /// ID of the API key, or name of the team.
    pub owner: String,
    /// Period of the budget.
    pub period: BudgetPeriod,
    /// The budget, in credits.
    pub budget: i64,
    /// Credits charged in the period.
    pub spent: i64,
}

impl BudgetUse {
    /// Returns the share of the budget that is spent, in percent, rounded down; 100 for a budget of
    /// 0.
    pub fn percent(&self) -> u64 {
        let (spent, budget) = (
            u128::from(self.spent.max(0).unsigned_abs()),
            u128::from(self.budget.max(0).unsigned_abs()),
        );
        let percent = spent.saturating_mul(100).checked_div(budget).unwrap_or(100);
        u64::try_from(percent).unwrap_or(u64::MAX)
    }
}

/// Remaining budgets of a key or a team; `None` without a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Budgets {
    pub(crate) month: Option<i64>,
    pub(crate) day: Option<i64>,
}

impl Budgets {
    /// Returns the budgets of the day `today` after a charge on the day `day`.
    pub(crate) fn after_charge(self, charge: i64, day: &str, today: &str) -> Self {
        let reduce = |budget: Option<i64>, period: BudgetPeriod| {
            let is_same_period = period.date_prefix(day) == period.date_prefix(today);
            budget
                .map(|remaining| remaining.saturating_sub(if is_same_period { charge } else { 0 }))
        };
        Self {
            month: reduce(self.month, BudgetPeriod::Month),
            day: reduce(self.day, BudgetPeriod::Day),
        }
    }

    /// Returns the smaller remaining budget, with its period.
    pub(crate) fn tightest(self) -> Option<(i64, BudgetPeriod)> {
        let day = self.day.map(|remaining| (remaining, BudgetPeriod::Day));
        let month = self.month.map(|remaining| (remaining, BudgetPeriod::Month));
        day.into_iter().chain(month).min()
    }
}

/// Remaining budgets of a key and of its team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BudgetLimits {
    pub(crate) key: Budgets,
    pub(crate) team: Budgets,
    /// Number of active keys of the team; 0 without a team.
    pub(crate) team_keys: i64,
}

impl BudgetLimits {
    /// Returns the limits of the day `today` after a charge on the day `day`.
    pub(crate) fn after_charge(self, charge: i64, day: &str, today: &str) -> Self {
        let reduce = |budgets: Budgets| budgets.after_charge(charge, day, today);
        Self { key: reduce(self.key), team: reduce(self.team), ..self }
    }

    /// Returns the smallest remaining budget, with its period and scope.
    pub(crate) fn tightest(self) -> Option<(i64, BudgetPeriod, BudgetScope)> {
        let tightest_in_scope = |budgets: Budgets, scope| {
            budgets.tightest().map(|(remaining, period)| (remaining, period, scope))
        };
        tightest_in_scope(self.key, BudgetScope::Key)
            .into_iter()
            .chain(tightest_in_scope(self.team, BudgetScope::Team))
            .min()
    }

    /// Returns the credits that the budgets leave for a reserve of the key if it has leased
    /// `leased` credits. The team's credits are divided by the number of its keys, so that the
    /// reserves of many keys do not exhaust its budget.
    pub(crate) fn reservable(self, leased: i64) -> i64 {
        let remaining = |budgets: Budgets| {
            budgets.tightest().map_or(i64::MAX, |(remaining, _)| remaining.saturating_sub(leased))
        };
        let team_remaining = remaining(self.team);
        remaining(self.key)
            .min(team_remaining.checked_div(self.team_keys.max(1)).unwrap_or(team_remaining))
    }
}

impl Store {
    /// Returns the budgets of all keys that are not revoked, then those of all teams, with the
    /// credits charged on the day `day`, such as `2026-11-21` in UTC, and in its month. With `key`,
    /// only the budgets of this key and of its team.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn budget_uses(
        &self,
        key: Option<&str>,
        day: &str,
    ) -> Result<Vec<BudgetUse>, StoreError> {
        let key_rows = statement(
            "SELECT id AS owner, monthly_budget, daily_budget,
             CAST(COALESCE((SELECT SUM(charged) FROM usage_day WHERE key_id = api_key.id AND day LIKE $1 || '%'), 0)
                  AS BIGINT) AS in_month,
             CAST(COALESCE((SELECT SUM(charged) FROM usage_day WHERE key_id = api_key.id AND day = $2), 0)
                  AS BIGINT) AS in_day
             FROM api_key
             WHERE revoked_ms IS NULL AND (monthly_budget IS NOT NULL OR daily_budget IS NOT NULL)
             AND (id = $3 OR $3 IS NULL) ORDER BY id",
        );
        let team_rows = statement(
            "SELECT name AS owner, monthly_budget, daily_budget,
             CAST(COALESCE((SELECT SUM(charged) FROM team_day WHERE team_day.team = team.name AND day LIKE $1 || '%'), 0)
                  AS BIGINT) AS in_month,
             CAST(COALESCE((SELECT SUM(charged) FROM team_day WHERE team_day.team = team.name AND day = $2), 0)
                  AS BIGINT) AS in_day
             FROM team
             WHERE (monthly_budget IS NOT NULL OR daily_budget IS NOT NULL) AND deleted_ms IS NULL
             AND (name = (SELECT team FROM api_key WHERE id = $3) OR $3 IS NULL) ORDER BY name",
        );
        let mut uses = Vec::new();
        for (scope, rows) in [(BudgetScope::Key, key_rows), (BudgetScope::Team, team_rows)] {
            let rows = rows
                .bind(BudgetPeriod::Month.date_prefix(day))
                .bind(day)
                .bind(key)
                .rows(&self.database)
                .await?;
            for row in &rows {
                uses.extend(parse_budget_use(
                    row,
                    scope,
                    BudgetPeriod::Month,
                    ("monthly_budget", "in_month"),
                )?);
                uses.extend(parse_budget_use(
                    row,
                    scope,
                    BudgetPeriod::Day,
                    ("daily_budget", "in_day"),
                )?);
            }
        }
        Ok(uses)
    }
}

fn parse_budget_use(
    row: &Row,
    scope: BudgetScope,
    period: BudgetPeriod,
    (budget_column, spent_column): (&'static str, &'static str),
) -> Result<Option<BudgetUse>, StoreError> {
    let Some(limit) = row.get::<Option<i64>>(budget_column)? else { return Ok(None) };
    if limit < 0 {
        return Err(invalid_value(budget_column, &limit));
    }
    Ok(Some(BudgetUse {
        scope,
        owner: row.get("owner")?,
        period,
        budget: limit,
        spent: row.get(spent_column)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charges_reduce_the_budgets_of_their_periods() {
        let budgets = Budgets { month: Some(100), day: Some(30) };
        let after_charge = |charge, day| budgets.after_charge(charge, day, "2026-11-21");
        assert_eq!(after_charge(5, "2026-11-21"), Budgets { month: Some(95), day: Some(25) });
        assert_eq!(after_charge(5, "2026-11-20"), Budgets { month: Some(95), day: Some(30) });
        assert_eq!(after_charge(5, "2026-10-21"), budgets);
        assert_eq!(budgets.tightest(), Some((30, BudgetPeriod::Day)));
        assert_eq!(
            Budgets { month: Some(29), ..budgets }.tightest(),
            Some((29, BudgetPeriod::Month))
        );
        assert_eq!(Budgets::default().tightest(), None);
    }

    #[test]
    fn tightest_budget_of_key_and_team_limits_requests() {
        let key = Budgets { month: Some(100), day: None };
        let limits = |team| BudgetLimits { key, team, team_keys: 4 };
        let (day, month) = (BudgetPeriod::Day, BudgetPeriod::Month);
        for (team, tightest, reservable) in [
            (Budgets::default(), (100, month, BudgetScope::Key), 90),
            (Budgets { month: Some(1_000), day: Some(50) }, (50, day, BudgetScope::Team), 10),
            (Budgets { month: Some(450), day: None }, (100, month, BudgetScope::Key), 90),
            (Budgets { month: Some(100), day: None }, (100, month, BudgetScope::Key), 22),
        ] {
            let limits = limits(team);
            assert_eq!(
                (limits.tightest(), limits.reservable(10)),
                (Some(tightest), reservable),
                "{team:?}"
            );
        }
        let charged = limits(Budgets { month: Some(60), day: Some(50) }).after_charge(
            20,
            "2026-11-20",
            "2026-11-21",
        );
        assert_eq!(
            (charged.key.month, charged.team.month, charged.team.day),
            (Some(80), Some(40), Some(50))
        );
        assert_eq!(
            (BudgetLimits::default().tightest(), BudgetLimits::default().reservable(7)),
            (None, i64::MAX)
        );
    }

    #[test]
    fn spent_share_is_rounded_down() {
        let (scope, period) = (BudgetScope::Key, BudgetPeriod::Day);
        let budget_use =
            |budget, spent| BudgetUse { scope, owner: String::new(), period, budget, spent };
        assert_eq!(
            (
                budget_use(100, 79).percent(),
                budget_use(1_000, 799).percent(),
                budget_use(3, 4).percent()
            ),
            (79, 79, 133)
        );
        assert_eq!(
            (budget_use(0, 0).percent(), budget_use(i64::MAX, i64::MAX).percent()),
            (100, 100)
        );
    }
}
