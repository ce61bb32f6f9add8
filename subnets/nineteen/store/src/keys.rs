//! API keys.

use sha2::{Digest, Sha256};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use taonet_nineteen_core::TaskName;
use zeroize::Zeroizing;

use crate::error::{invalid, number};
use crate::{Store, StoreError};

/// Prefix of every key.
const PREFIX: &str = "sk-tao";

/// A new API key. Its secret is shown once and never stored.
pub struct NewKey {
    /// Public part of the key.
    pub id: String,
    /// The full key: `sk-tao-ID-SECRET`.
    pub secret: Zeroizing<String>,
}

/// Name and limits of an API key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KeyTerms {
    /// Display name.
    pub name: String,
    /// Maximum number of requests per minute.
    pub rate_per_minute: u32,
    /// Permitted tasks; `None` permits all.
    pub models: Option<Vec<TaskName>>,
    /// Maximum credits per calendar month (UTC); `None` is unlimited.
    pub monthly_budget: Option<i64>,
}

/// A stored API key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ApiKey {
    /// Public part of the key.
    pub id: String,
    /// Name and limits of the key.
    #[serde(flatten)]
    pub terms: KeyTerms,
    /// Available credits.
    pub balance: i64,
    /// Time of creation, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Time of revocation, in milliseconds since the Unix epoch; `None` if the key is active.
    pub revoked_ms: Option<i64>,
}

const SELECT: &str = "SELECT api_key.*, account.balance AS balance FROM api_key
                      LEFT JOIN account ON account.name = 'key:' || api_key.id";

impl Store {
    /// Creates an API key from random bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_key(&self, terms: &KeyTerms, random: &[u8; 40], now_ms: i64) -> Result<NewKey, StoreError> {
        let (id, secret) = random.split_at(8);
        let id = hex::encode(id);
        let secret = Zeroizing::new(format!("{PREFIX}-{id}-{}", hex::encode(secret)));
        let models = terms.models.as_ref().map(|models| serde_json::to_string(models).unwrap_or_default());
        sqlx::query(
            "INSERT INTO api_key (id, hash, name, rate_per_minute, models, monthly_budget, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(hash(&secret))
        .bind(&terms.name)
        .bind(i64::from(terms.rate_per_minute))
        .bind(models)
        .bind(terms.monthly_budget)
        .bind(now_ms)
        .execute(&self.pool)
        .await?;
        Ok(NewKey { id, secret })
    }

    /// Returns the API key with this secret, revoked or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_of(&self, secret: &str) -> Result<Option<ApiKey>, StoreError> {
        // The lookup is by hash, so that its timing reveals nothing about the key.
        let query = sqlx::AssertSqlSafe(format!("{SELECT} WHERE api_key.hash = $1"));
        let row = sqlx::query(query).bind(hash(secret)).fetch_optional(&self.pool).await?;
        row.as_ref().map(key).transpose()
    }

    /// Returns the API key with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key(&self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!("{SELECT} WHERE api_key.id = $1"));
        let row = sqlx::query(query).bind(id).fetch_optional(&self.pool).await?;
        row.as_ref().map(key).transpose()
    }

    /// Returns all API keys, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let query = sqlx::AssertSqlSafe(format!("{SELECT} ORDER BY api_key.created_ms, api_key.id"));
        sqlx::query(query).fetch_all(&self.pool).await?.iter().map(key).collect()
    }

    /// Updates the name and limits of a key; returns `false` if the key is unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn update_key(&self, id: &str, terms: &KeyTerms) -> Result<bool, StoreError> {
        let models = terms.models.as_ref().map(|models| serde_json::to_string(models).unwrap_or_default());
        let changed = sqlx::query(
            "UPDATE api_key SET name = $1, rate_per_minute = $2, models = $3, monthly_budget = $4 WHERE id = $5",
        )
        .bind(&terms.name)
        .bind(i64::from(terms.rate_per_minute))
        .bind(models)
        .bind(terms.monthly_budget)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Revokes a key permanently; returns `false` if it is unknown or already revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_key(&self, id: &str, now_ms: i64) -> Result<bool, StoreError> {
        let changed = sqlx::query("UPDATE api_key SET revoked_ms = $1 WHERE id = $2 AND revoked_ms IS NULL")
            .bind(now_ms)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(changed.rows_affected() > 0)
    }
}

/// Hashes a key. Secrets have 256 random bits, so that a plain hash cannot be inverted.
fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

fn key(row: &SqliteRow) -> Result<ApiKey, StoreError> {
    let models: Option<String> = row.try_get("models")?;
    let models = models.map(|text| serde_json::from_str(&text).map_err(|_| invalid("models", &text))).transpose()?;
    Ok(ApiKey {
        id: row.try_get("id")?,
        terms: KeyTerms {
            name: row.try_get("name")?,
            rate_per_minute: number("rate_per_minute", row.try_get("rate_per_minute")?)?,
            models,
            monthly_budget: row.try_get("monthly_budget")?,
        },
        balance: row.try_get::<Option<i64>, _>("balance")?.unwrap_or(0),
        created_ms: row.try_get("created_ms")?,
        revoked_ms: row.try_get("revoked_ms")?,
    })
}
