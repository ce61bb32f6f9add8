//! Idempotent requests: buyers can retry requests with an `Idempotency-Key` without being charged
//! twice.

use taonet_database::statement;

use crate::{Store, StoreError};

/// Retention of stored responses: one day, in milliseconds.
const RETENTION_MS: i64 = 86_400_000;

/// A stored response, which is returned to retries of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Content type of the response.
    pub content_type: String,
    /// Body of the response.
    pub body: String,
}

/// State of a request with an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The request is new, and the caller has claimed it.
    New,
    /// The request is in progress.
    Running,
    /// The `Idempotency-Key` was used for a different request.
    DifferentRequest,
    /// The request was answered.
    Answered(StoredResponse),
}

impl Store {
    /// Claims a request by its `Idempotency-Key`; only one caller gets [`Claim::New`] until the
    /// claim is dropped or a day has passed.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn claim(
        &self,
        api_key: &str,
        idempotency_key: &str,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<Claim, StoreError> {
        statement("DELETE FROM idempotent WHERE created_ms <= $1")
            .bind(now_ms.saturating_sub(RETENTION_MS))
            .execute(&self.database)
            .await?;
        let claimed = statement(
            "INSERT INTO idempotent (key_id, name, fingerprint, created_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (key_id, name) DO NOTHING",
        )
        .bind(api_key)
        .bind(idempotency_key)
        .bind(fingerprint)
        .bind(now_ms)
        .execute(&self.database)
        .await?;
        if claimed > 0 {
            return Ok(Claim::New);
        }
        let row = statement("SELECT fingerprint, content_type, body FROM idempotent WHERE key_id = $1 AND name = $2")
            .bind(api_key)
            .bind(idempotency_key)
            .row(&self.database)
            .await?;
        // A missing row means that the claim was released just now; the buyer retries.
        let Some(row) = row else { return Ok(Claim::Running) };
        if row.get::<String>("fingerprint")? != fingerprint {
            return Ok(Claim::DifferentRequest);
        }
        Ok(match (row.get("content_type")?, row.get("body")?) {
            (Some(content_type), Some(body)) => {
                Claim::Answered(StoredResponse { content_type, body })
            }
            _ => Claim::Running,
        })
    }

    /// Stores the response to a claimed request.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn store_response(
        &self,
        api_key: &str,
        idempotency_key: &str,
        response: &StoredResponse,
    ) -> Result<(), StoreError> {
        statement(
            "UPDATE idempotent SET content_type = $1, body = $2 WHERE key_id = $3 AND name = $4",
        )
        .bind(&response.content_type)
        .bind(&response.body)
        .bind(api_key)
        .bind(idempotency_key)
        .execute(&self.database)
        .await?;
        Ok(())
    }

    /// Releases a claim without an answer, so that the request can be retried.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn release_claim(
        &self,
        api_key: &str,
        idempotency_key: &str,
    ) -> Result<(), StoreError> {
        statement("DELETE FROM idempotent WHERE key_id = $1 AND name = $2 AND body IS NULL")
            .bind(api_key)
            .bind(idempotency_key)
            .execute(&self.database)
            .await?;
        Ok(())
    }

    /// Releases unanswered claims of earlier processes, created before `before_ms` (Unix time in
    /// milliseconds).
    pub(crate) async fn release_claims(&self, before_ms: i64) -> Result<(), StoreError> {
        statement("DELETE FROM idempotent WHERE body IS NULL AND created_ms < $1")
            .bind(before_ms)
            .execute(&self.database)
            .await?;
        Ok(())
    }
}
