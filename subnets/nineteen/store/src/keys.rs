//! API keys.

use sha2::{Digest, Sha256};
use taonet_database::{Row, Transaction, statement};
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

/// The statement that reads API keys, with its end.
macro_rules! select {
    ($end:literal) => {
        statement(concat!(
            "SELECT api_key.*, account.balance AS balance FROM api_key
             LEFT JOIN account ON account.name = 'key:' || api_key.id ",
            $end
        ))
    };
}

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
        statement(
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
        .execute(&self.database)
        .await?;
        Ok(NewKey { id, secret })
    }

    /// Returns the API key with this secret, revoked or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_of(&self, secret: &str) -> Result<Option<ApiKey>, StoreError> {
        // The lookup is by hash, so that its timing reveals nothing about the key.
        let row = select!("WHERE api_key.hash = $1").bind(hash(secret)).row(&self.database).await?;
        row.as_ref().map(key).transpose()
    }

    /// Returns the API key with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key(&self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let row = select!("WHERE api_key.id = $1").bind(id).row(&self.database).await?;
        row.as_ref().map(key).transpose()
    }

    /// Returns all API keys, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        select!("ORDER BY api_key.created_ms, api_key.id").rows(&self.database).await?.iter().map(key).collect()
    }

    /// Updates the name and limits of a key; returns `false` if the key is unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn update_key(&self, id: &str, terms: &KeyTerms) -> Result<bool, StoreError> {
        let models = terms.models.as_ref().map(|models| serde_json::to_string(models).unwrap_or_default());
        let changed = statement(
            "UPDATE api_key SET name = $1, rate_per_minute = $2, models = $3, monthly_budget = $4 WHERE id = $5",
        )
        .bind(&terms.name)
        .bind(i64::from(terms.rate_per_minute))
        .bind(models)
        .bind(terms.monthly_budget)
        .bind(id)
        .execute(&self.database)
        .await?;
        Ok(changed > 0)
    }

    /// Revokes a key permanently; returns `false` if it is unknown or already revoked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_key(&self, id: &str, now_ms: i64) -> Result<bool, StoreError> {
        let changed = statement("UPDATE api_key SET revoked_ms = $1 WHERE id = $2 AND revoked_ms IS NULL")
            .bind(now_ms)
            .bind(id)
            .execute(&self.database)
            .await?;
        Ok(changed > 0)
    }
}

/// Locks a key until the end of the transaction, so that its credits and requests are counted one after the other;
/// returns `false` if it is unknown.
pub(crate) async fn lock(transaction: &mut Transaction, key: &str) -> Result<bool, StoreError> {
    Ok(statement("UPDATE api_key SET name = name WHERE id = $1").bind(key).execute(transaction).await? > 0)
}

/// Hashes a key. Secrets have 256 random bits, so that a plain hash cannot be inverted.
fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

fn key(row: &Row) -> Result<ApiKey, StoreError> {
    let models: Option<String> = row.get("models")?;
    let models = models.map(|text| serde_json::from_str(&text).map_err(|_| invalid("models", &text))).transpose()?;
    Ok(ApiKey {
        id: row.get("id")?,
        terms: KeyTerms {
            name: row.get("name")?,
            rate_per_minute: number(row, "rate_per_minute")?,
            models,
            monthly_budget: row.get("monthly_budget")?,
        },
        balance: row.get::<Option<i64>>("balance")?.unwrap_or(0),
        created_ms: row.get("created_ms")?,
        revoked_ms: row.get("revoked_ms")?,
    })
}
