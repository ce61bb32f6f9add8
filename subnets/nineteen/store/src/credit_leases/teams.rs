//! Teams of the API keys in one transaction: their budgets limit holds, and charges add to their
//! spending.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet};

use taonet_database::{Transaction, Value, statement};

use super::PendingCharge;
use super::plan::Plan;
use crate::StoreError;
use crate::budgets::{BudgetPeriod, Budgets};
use crate::keys::lock_with_team;

/// Teams of the keys in one transaction, with the pending changes of their leases and charges,
/// which are written at its end.
#[derive(Debug, Default)]
pub(super) struct Teams<'a> {
    /// Teams by the ID of the API key.
    team_of_key: BTreeMap<&'a str, String>,
    /// Changes of the leases of all keys of a team together, in credits.
    lease_changes: BTreeMap<String, i64>,
    /// Charges, in credits, by team and day.
    charges: BTreeMap<(String, &'a str), i64>,
}

impl<'a> Teams<'a> {
    /// Locks all keys, then the teams whose budgets are needed. Both are in order, so that the
    /// transactions of two processes do not wait for each other.
    pub(super) async fn lock(
        transaction: &mut Transaction,
        plans: &'a BTreeMap<String, Plan>,
    ) -> Result<Self, StoreError> {
        let (mut teams, mut limiting_teams) = (Self::default(), BTreeSet::new());
        for (key, plan) in plans {
            let Some(team) = lock_with_team(transaction, key).await? else { continue };
            if plan.day().is_some() {
                limiting_teams.insert(team.clone());
            }
            teams.team_of_key.insert(key, team);
        }
        for team in limiting_teams {
            let lock = statement("UPDATE team SET monthly_budget = monthly_budget WHERE name = $1");
            lock.bind(team).execute(&mut *transaction).await?;
        }
        Ok(teams)
    }

    /// Returns what remains, on a day, of the budgets of a key's team for this key's lease of
    /// `lease` credits, and the number of active keys of the team; `None` without a team.
    pub(super) async fn budgets(
        &self,
        transaction: &mut Transaction,
        key: &str,
        lease: i64,
        day: &str,
    ) -> Result<Option<(Budgets, i64)>, StoreError> {
        let Some(team) = self.team_of_key.get(key) else { return Ok(None) };
        let row = statement(
            "SELECT monthly_budget, daily_budget,
             CAST((SELECT COUNT(*) FROM api_key WHERE api_key.team = $1 AND revoked_ms IS NULL) AS BIGINT) AS members,
             CAST((SELECT COALESCE(SUM(hold.amount), 0) FROM hold JOIN api_key ON api_key.id = hold.key_id
                   WHERE api_key.team = $1) AS BIGINT) AS held,
             CAST((SELECT COALESCE(SUM(charged), 0) FROM team_day WHERE team_day.team = $1 AND day LIKE $2 || '%')
                  AS BIGINT) AS in_month,
             CAST((SELECT COALESCE(SUM(charged), 0) FROM team_day WHERE team_day.team = $1 AND day = $3) AS BIGINT) AS in_day
             FROM team WHERE name = $1",
        );
        let row = row
            .bind(team)
            .bind(BudgetPeriod::Month.date_prefix(day))
            .bind(day)
            .row(transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (held, pending_change) =
            (row.get::<i64>("held")?, self.lease_changes.get(team).copied().unwrap_or(0));
        let other_leases = held.saturating_add(pending_change).saturating_sub(lease);
        let remaining = |budget: Option<i64>, spent: i64| {
            budget.map(|budget| budget.saturating_sub(spent).saturating_sub(other_leases))
        };
        let mut budgets = Budgets {
            month: remaining(row.get("monthly_budget")?, row.get("in_month")?),
            day: remaining(row.get("daily_budget")?, row.get("in_day")?),
        };
        for ((_, charged_on), charge) in
            self.charges.iter().filter(|((charged_team, _), _)| charged_team == team)
        {
            budgets = budgets.after_charge(*charge, charged_on, day);
        }
        Ok(Some((budgets, row.get("members")?)))
    }

    /// Records what the transaction changes for a key: its charges, and its lease, which
    /// was `lease_before` credits.
    pub(super) fn record(
        &mut self,
        key: &str,
        charges: impl Iterator<Item = (&'a PendingCharge, Option<i64>)>,
        (lease_before, lease_after): (i64, i64),
    ) {
        let Some(team) = self.team_of_key.get(key) else { return };
        for (pending_charge, charge) in charges {
            let sum = self.charges.entry((team.clone(), &pending_charge.usage.day)).or_default();
            *sum = sum.saturating_add(charge.unwrap_or(0));
        }
        let lease_change = self.lease_changes.entry(team.clone()).or_default();
        *lease_change = lease_change.saturating_add(lease_after).saturating_sub(lease_before);
    }

    /// Returns the rows of charges, to be added to the table `team_day`: team, day and credits.
    pub(super) fn into_rows(self) -> Vec<Value> {
        let row = |((team, day), charged): ((String, &str), i64)| {
            [team.into(), day.into(), Value::from(charged)]
        };
        self.charges.into_iter().flat_map(row).collect()
    }
}
