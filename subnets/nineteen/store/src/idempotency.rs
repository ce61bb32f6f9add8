//! Idempotent requests: buyers can retry requests with an `Idempotency-Key` without being charged twice.

use crate::{Store, StoreError};

/// Retention of answers, in milliseconds: a day.
const REPEATABLE: i64 = 86_400_000;

/// A stored answer, which retries of the request receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Content type of the answer.
    pub content_type: String,
    /// Body of the answer.
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
    Other,
    /// The request was answered.
    Answered(StoredAnswer),
}

impl Store {
    /// Claims a request by its `Idempotency-Key` (`name`); only one caller gets [`Claim::New`] until the claim is
    /// dropped or a day has passed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim(&self, key: &str, name: &str, fingerprint: &str, now_ms: i64) -> Result<Claim, StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM idempotent WHERE created_ms <= $1")
            .bind(now_ms.saturating_sub(REPEATABLE))
            .execute(&mut *transaction)
            .await?;
        let known: Option<(String, Option<String>, Option<String>)> =
            sqlx::query_as("SELECT fingerprint, content_type, body FROM idempotent WHERE key_id = $1 AND name = $2")
                .bind(key)
                .bind(name)
                .fetch_optional(&mut *transaction)
                .await?;
        let claim = match known {
            Some((known, ..)) if known != fingerprint => Claim::Other,
            Some((_, Some(content_type), Some(body))) => Claim::Answered(StoredAnswer { content_type, body }),
            Some(_) => Claim::Running,
            None => {
                sqlx::query("INSERT INTO idempotent (key_id, name, fingerprint, created_ms) VALUES ($1, $2, $3, $4)")
                    .bind(key)
                    .bind(name)
                    .bind(fingerprint)
                    .bind(now_ms)
                    .execute(&mut *transaction)
                    .await?;
                Claim::New
            }
        };
        transaction.commit().await?;
        Ok(claim)
    }

    /// Stores the answer to a claimed request.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_answer(&self, key: &str, name: &str, answer: &StoredAnswer) -> Result<(), StoreError> {
        sqlx::query("UPDATE idempotent SET content_type = $1, body = $2 WHERE key_id = $3 AND name = $4")
            .bind(&answer.content_type)
            .bind(&answer.body)
            .bind(key)
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Releases a claim without an answer, so that the request can be retried.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_claim(&self, key: &str, name: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM idempotent WHERE key_id = $1 AND name = $2 AND body IS NULL")
            .bind(key)
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Releases all claims without an answer, which an earlier process left.
    pub(crate) async fn drop_claims(&self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM idempotent WHERE body IS NULL").execute(&self.pool).await?;
        Ok(())
    }
}
