//! Teams of API keys, whose budgets their keys share.

use taonet_database::{Row, Transaction, statement};

use crate::{BudgetPeriod, Store, StoreError};

/// Change of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetChange {
    /// The budget stays as it is.
    Keep,
    /// The budget becomes this number of credits; `None` removes the limit.
    Set(Option<i64>),
}

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
    /// Creates a team with its budgets, in credits; returns `false` if it exists. A team with the
    /// name of a deleted one has the charges of that team.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn create_team(
        &self,
        name: &str,
        monthly_budget: Option<i64>,
        daily_budget: Option<i64>,
    ) -> Result<bool, StoreError> {
        let created = statement(
            "INSERT INTO team (name, monthly_budget, daily_budget) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET monthly_budget = excluded.monthly_budget,
             daily_budget = excluded.daily_budget, deleted_ms = NULL WHERE team.deleted_ms IS NOT NULL",
        )
        .bind(name)
        .bind(monthly_budget)
        .bind(daily_budget)
        .execute(&self.database)
        .await?;
        Ok(created > 0)
    }

    /// Changes the budgets of a team. Concurrent changes of its other budget are not lost.
    ///
    /// # Errors
    /// [`StoreError::UnknownTeam`] when the team does not exist; another [`StoreError`] when the
    /// database fails.
    pub async fn update_team(
        &self,
        name: &str,
        monthly_budget: BudgetChange,
        daily_budget: BudgetChange,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        lock_team(&mut transaction, name).await?;
        for (change, update) in [
            (monthly_budget, "UPDATE team SET monthly_budget = $1 WHERE name = $2"),
            (daily_budget, "UPDATE team SET daily_budget = $1 WHERE name = $2"),
        ] {
            if let BudgetChange::Set(budget) = change {
                statement(update).bind(budget).bind(name).execute(&mut transaction).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Deletes a team. Its charges are kept. `now_ms` is the time in milliseconds since the Unix
    /// epoch.
    ///
    /// # Errors
    /// [`StoreError::UnknownTeam`] when the team does not exist; [`StoreError::TeamHasKeys`] when
    /// keys that are not revoked belong to it; another [`StoreError`] when the database fails.
    pub async fn delete_team(&self, name: &str, now_ms: i64) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        // No key can join the team between the count and the deletion.
        lock_team(&mut transaction, name).await?;
        let keys = statement("SELECT COUNT(*) FROM api_key WHERE team = $1 AND revoked_ms IS NULL")
            .bind(name);
        let keys = keys.number(&mut transaction).await?;
        if keys > 0 {
            return Err(StoreError::TeamHasKeys { team: name.to_owned(), keys });
        }
        let delete =
            statement("UPDATE team SET deleted_ms = $1 WHERE name = $2").bind(now_ms).bind(name);
        delete.execute(&mut transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Returns all teams by name, with the credits charged on the day `day`, such as `2026-11-21`
    /// in UTC, and in its month.
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
             FROM team WHERE deleted_ms IS NULL",
        );
        let rows =
            rows.bind(BudgetPeriod::Month.date_prefix(day)).bind(day).rows(&self.database).await?;
        let mut teams = rows.iter().map(parse_team).collect::<Result<Vec<_>, _>>()?;
        // PostgreSQL sorts strings by its locale, so the teams are sorted here.
        teams.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(teams)
    }
}

/// Locks a team until the end of the transaction.
///
/// # Errors
/// [`StoreError::UnknownTeam`] when the team does not exist; another [`StoreError`] when the
/// database fails.
pub(crate) async fn lock_team(transaction: &mut Transaction, name: &str) -> Result<(), StoreError> {
    let lock = statement(
        "UPDATE team SET monthly_budget = monthly_budget WHERE name = $1 AND deleted_ms IS NULL",
    );
    if lock.bind(name).execute(transaction).await? == 0 {
        return Err(StoreError::UnknownTeam(name.to_owned()));
    }
    Ok(())
}

fn parse_team(row: &Row) -> Result<Team, StoreError> {
    Ok(Team {
        name: row.get("name")?,
        monthly_budget: row.get("monthly_budget")?,
        daily_budget: row.get("daily_budget")?,
        keys: row.get("members")?,
        spent_in_month: row.get("in_month")?,
        spent_in_day: row.get("in_day")?,
    })
}
