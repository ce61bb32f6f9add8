use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use taonet_chain::{Outcome, SignedExtrinsic};

use super::{Intent, Ledger, LedgerError, from_json, to_json};
use crate::{State, Step};

/// A signed extrinsic in the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredExtrinsic {
    pub(crate) id: i64,
    /// The extrinsic with its bytes, nonce and era.
    pub extrinsic: SignedExtrinsic,
    /// The state of the extrinsic.
    pub state: State,
    /// The latest outcome on the chain; `None` if no outcome was recorded.
    pub outcome: Option<Outcome>,
}

impl Ledger {
    /// Stores a signed extrinsic before it is sent.
    pub(crate) async fn store(
        &self,
        intent: &Intent,
        step: Step,
        extrinsic: SignedExtrinsic,
    ) -> Result<StoredExtrinsic, LedgerError> {
        let id = sqlx::query_scalar(
            "INSERT INTO extrinsic (intent_id, step, state, hash, signed) VALUES (?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(intent.id)
        .bind(step.as_str())
        .bind(State::Signed.as_str())
        .bind(extrinsic.hash.to_string())
        .bind(to_json("signed", &extrinsic)?)
        .fetch_one(&mut *self.connection.lock().await)
        .await?;
        Ok(StoredExtrinsic { id, extrinsic, state: State::Signed, outcome: None })
    }

    /// Sets a state that does not come from an outcome on the chain.
    pub(crate) async fn set_extrinsic_state(
        &self,
        stored: &mut StoredExtrinsic,
        state: State,
    ) -> Result<(), LedgerError> {
        sqlx::query("UPDATE extrinsic SET state = ? WHERE id = ?")
            .bind(state.as_str())
            .bind(stored.id)
            .execute(&mut *self.connection.lock().await)
            .await?;
        stored.state = state;
        Ok(())
    }

    /// Records an outcome observed on the chain, and the state that follows from it.
    pub(crate) async fn record(
        &self,
        stored: &mut StoredExtrinsic,
        outcome: Outcome,
    ) -> Result<(), LedgerError> {
        let state = stored.state.after(&outcome);
        if state == State::Included && outcome.inclusion().is_none() {
            // Keeps the block in which the extrinsic was last seen.
            return Ok(());
        }
        sqlx::query("UPDATE extrinsic SET state = ?, outcome = ? WHERE id = ?")
            .bind(state.as_str())
            .bind(to_json("outcome", &outcome)?)
            .bind(stored.id)
            .execute(&mut *self.connection.lock().await)
            .await?;
        (stored.state, stored.outcome) = (state, Some(outcome));
        Ok(())
    }

    /// Returns all extrinsics signed for a step of an intent, oldest first.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger fails.
    pub async fn extrinsics(
        &self,
        intent: &Intent,
        step: Step,
    ) -> Result<Vec<StoredExtrinsic>, LedgerError> {
        let rows =
            sqlx::query("SELECT * FROM extrinsic WHERE intent_id = ? AND step = ? ORDER BY id")
                .bind(intent.id)
                .bind(step.as_str())
                .fetch_all(&mut *self.connection.lock().await)
                .await?;
        rows.iter().map(extrinsic_from_row).collect()
    }
}

pub(super) fn extrinsic_from_row(row: &SqliteRow) -> Result<StoredExtrinsic, LedgerError> {
    let outcome: Option<String> = row.try_get("outcome")?;
    Ok(StoredExtrinsic {
        id: row.try_get("id")?,
        extrinsic: from_json("signed", row.try_get("signed")?)?,
        state: row.try_get::<String, _>("state")?.parse()?,
        outcome: outcome.map(|text| from_json("outcome", &text)).transpose()?,
    })
}
