//! Teams of API keys, whose budgets their keys share.

use taonet_database::{Row, statement};

use crate::{BudgetPeriod, Store, StoreError};

/// A team of API keys.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Team {
    /// Name of the team.
    pub name: String,
    /// Maximum credits of all keys together per calendar month (UTC); `None` means unlimited.
    pub monthly_budget: Option<i64>,
    /// Maximum credits of all keys together per day (UTC); `None` means unlimited.
    pub daily_budget: Option<i64>,
    /// Number of keys that are not revoked.
    pub keys: i64,
    /// Credits charged in the month.
    pub spent_in_month: i64,
    /// Credits charged on the day.
    pub spent_in_day: i64,
}

impl Store {
    /// Creates a team with its budgets, or sets the budgets of an existing team.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn set_team(
        &self,
        name: &str,
        monthly_budget: Option<i64>,
        daily_budget: Option<i64>,
    ) -> Result<(), StoreError> {
        statement(
            "INSERT INTO team (name, monthly_budget, daily_budget) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET monthly_budget = excluded.monthly_budget,
             daily_budget = excluded.daily_budget",
        )
        .bind(name)
        .bind(monthly_budget)
        .bind(daily_budget)
        .execute(&self.database)
        .await?;
        Ok(())
    }

    /// Returns all teams by name, with the credits charged on the day `day`, such as `2026-11-21` in UTC, and in its month.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn teams(&self, day: &str) -> Result<Vec<Team>, StoreError> {
        let rows = statement(
            "SELECT name, monthly_budget, daily_budget,
             CAST((SELECT COUNT(*) FROM api_key WHERE api_key.team = team.name AND revoked_ms IS NULL) AS BIGINT) AS members,
             CAST(COALESCE((SELECT SUM(charged) FROM team_day WHERE team_day.team = team.name AND day LIKE $1 || '%'), 0)
                  AS BIGINT) AS in_month,
             CAST(COALESCE((SELECT SUM(charged) FROM team_day WHERE team_day.team = team.name AND day = $2), 0)
                  AS BIGINT) AS in_day
             FROM team",
        );
        let rows = rows.bind(BudgetPeriod::Month.of_day(day)).bind(day).rows(&self.database).await?;
        let mut teams = rows.iter().map(team).collect::<Result<Vec<_>, _>>()?;
        // PostgreSQL sorts strings by its locale, so the teams are sorted here.
        teams.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(teams)
    }
}

fn team(row: &Row) -> Result<Team, StoreError> {
    Ok(Team {
        name: row.get("name")?,
        monthly_budget: row.get("monthly_budget")?,
        daily_budget: row.get("daily_budget")?,
        keys: row.get("members")?,
        spent_in_month: row.get("in_month")?,
        spent_in_day: row.get("in_day")?,
    })
}
