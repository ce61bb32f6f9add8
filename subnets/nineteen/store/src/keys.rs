//! API keys of buyers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use taonet_database::{Row, Transaction, statement};
use taonet_nineteen_core::{KeyWeight, TaskName};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::credits::grant;
use crate::error::{integer_column, invalid_value};
use crate::teams::lock_team;
use crate::{Store, StoreError};

/// Prefix of every key.
const KEY_PREFIX: &str = "sk-tao";

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
    /// Maximum number of tokens of requests and answers per minute; `None` means unlimited.
    pub tokens_per_minute: Option<u32>,
    /// Permitted tasks; `None` permits all.
    pub models: Option<Vec<TaskName>>,
    /// Maximum credits per calendar month (UTC); `None` means unlimited.
    pub monthly_budget: Option<i64>,
    /// Maximum credits per day (UTC); `None` means unlimited.
    pub daily_budget: Option<i64>,
    /// Name of the team whose budgets the key shares; `None` without a team.
    pub team: Option<String>,
    /// Time from which requests are rejected, in milliseconds since the Unix epoch; `None` if the
    /// key never expires.
    pub expires_ms: Option<i64>,
    /// Share of the miners while all are busy, relative to other keys.
    pub weight: KeyWeight,
    /// Whether the gateway logs each request, without the texts of request and answer.
    pub log_requests: bool,
}

impl KeyTerms {
    /// Returns the terms of a key for all tasks with the default weight: no other limits, no team,
    /// no expiry, and no logs of its requests.
    pub fn new(name: &str, rate_per_minute: u32) -> Self {
        Self {
            name: name.to_owned(),
            rate_per_minute,
            tokens_per_minute: None,
            models: None,
            monthly_budget: None,
            daily_budget: None,
            team: None,
            expires_ms: None,
            weight: KeyWeight::default(),
            log_requests: false,
        }
    }
}

/// A stored API key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ApiKey {
    /// Public part of the key.
    pub id: String,
    /// Name and limits of the key.
    #[serde(flatten)]
    pub terms: KeyTerms,
    /// Available credits, without those that other processes have leased.
    pub balance: i64,
    /// Time of creation, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// Time of revocation, in milliseconds since the Unix epoch; `None` if the key is active.
    pub revoked_ms: Option<i64>,
}

impl ApiKey {
    /// Returns whether the key has expired at a Unix time in milliseconds.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.terms.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }
}

/// Statement that selects API keys, with the given `WHERE` or `ORDER BY` clause.
macro_rules! select_keys {
    ($end:literal) => {
        statement(concat!(
            "SELECT api_key.*, account.balance AS balance FROM api_key
             LEFT JOIN account ON account.name = 'key:' || api_key.id ",
            $end
        ))
    };
}

/// Time after which an API key is read again, because another process may change it.
const KEY_CACHE_LIFETIME: Duration = Duration::from_secs(1);

/// API keys that were read within the last second, so that a flood of requests with one valid key
/// does not query the database each time.
#[derive(Debug, Default)]
pub(crate) struct KeyCache {
    /// Keys by hash, each with the time at which it was read.
    keys: Mutex<HashMap<String, (ApiKey, Instant)>>,
}

impl KeyCache {
    fn keys(&self) -> MutexGuard<'_, HashMap<String, (ApiKey, Instant)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a cached key. Once it is too old, one caller gets `None`, to read the key again;
    /// concurrent callers still get the old one.
    fn get(&self, hash: &str) -> Option<ApiKey> {
        let mut keys = self.keys();
        let (key, read_at) = keys.get_mut(hash)?;
        if read_at.elapsed() < KEY_CACHE_LIFETIME {
            return Some(key.clone());
        }
        *read_at = Instant::now();
        None
    }

    fn update(&self, hash: String, key: Option<&ApiKey>) {
        match key {
            Some(key) => self.keys().insert(hash, (key.clone(), Instant::now())),
            None => self.keys().remove(&hash),
        };
    }

    fn clear(&self) {
        self.keys().clear();
    }
}

impl Store {
    /// Creates an API key whose ID and secret are derived from the random bytes `random`.
    ///
    /// # Errors
    /// [`StoreError::UnknownTeam`] when the team does not exist; another [`StoreError`] when the
    /// database fails.
    pub async fn create_key(
        &self,
        terms: &KeyTerms,
        random: &[u8; 40],
        now_ms: i64,
    ) -> Result<NewKey, StoreError> {
        self.create_key_with_credits(terms, 0, random, now_ms).await
    }

    /// Creates an API key like [`Self::create_key`], with initial credits. If they cannot be
    /// granted, there is no key.
    ///
    /// # Errors
    /// [`StoreError::TooManyCredits`] when more than [`crate::MAX_CREDITS`] would exist in total;
    /// [`StoreError::UnknownTeam`] when the team does not exist; another [`StoreError`] when the
    /// database fails.
    pub async fn create_key_with_credits(
        &self,
        terms: &KeyTerms,
        credits: u64,
        random: &[u8; 40],
        now_ms: i64,
    ) -> Result<NewKey, StoreError> {
        let (id, secret) = random.split_at(8);
        let id = hex::encode(id);
        let secret = Zeroizing::new(format!("{KEY_PREFIX}-{id}-{}", hex::encode(secret)));
        let mut transaction = self.database.begin().await?;
        if let Some(team) = &terms.team {
            lock_team(&mut transaction, team).await?;
        }
        insert_key(&mut transaction, &id, &hash_secret(&secret), terms, now_ms).await?;
        if credits > 0 {
            let credits = i64::try_from(credits).unwrap_or(i64::MAX);
            grant(&mut transaction, &id, credits, ("grant", "initial credits"), now_ms).await?;
        }
        transaction.commit().await?;
        Ok(NewKey { id, secret })
    }

    /// Returns the API key with this secret, revoked or not. Changes by another process take effect
    /// within a second.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn key_by_secret(&self, secret: &str) -> Result<Option<ApiKey>, StoreError> {
        // The lookup is by hash, so that its timing reveals nothing about the key.
        let hash = hash_secret(secret);
        if let Some(cached) = self.key_cache.get(&hash) {
            return Ok(Some(cached));
        }
        let row = select_keys!("WHERE api_key.hash = $1").bind(&hash).row(&self.database).await?;
        let key = row.as_ref().map(|row| self.read_key(row)).transpose()?;
        self.key_cache.update(hash, key.as_ref());
        Ok(key)
    }

    /// Returns the API key with this ID.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn key(&self, id: &str) -> Result<Option<ApiKey>, StoreError> {
        let row = select_keys!("WHERE api_key.id = $1").bind(id).row(&self.database).await?;
        row.as_ref().map(|row| self.read_key(row)).transpose()
    }

    /// Returns all API keys, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        select_keys!("ORDER BY api_key.created_ms, api_key.id")
            .rows(&self.database)
            .await?
            .iter()
            .map(|row| self.read_key(row))
            .collect()
    }

    /// Updates the name and limits of a key; returns `false` if the key is unknown.
    ///
    /// # Errors
    /// [`StoreError::UnknownTeam`] when the team does not exist; another [`StoreError`] when the
    /// database fails.
    pub async fn update_key(&self, id: &str, terms: &KeyTerms) -> Result<bool, StoreError> {
        let models =
            terms.models.as_ref().map(|models| serde_json::to_string(models).unwrap_or_default());
        let mut transaction = self.database.begin().await?;
        // Charges also lock the key before its team. A revoked key can stay in a deleted team.
        let team = lock_with_team(&mut transaction, id).await?;
        if let Some(new_team) =
            terms.team.as_deref().filter(|new_team| team.as_deref() != Some(*new_team))
        {
            lock_team(&mut transaction, new_team).await?;
        }
        let changed = statement(
            "UPDATE api_key SET name = $1, rate_per_minute = $2, models = $3, monthly_budget = $4, weight = $5,
             daily_budget = $6, expires_ms = $7, tokens_per_minute = $8,
             log_requests = $9, team = $10
             WHERE id = $11",
        )
        .bind(&terms.name)
        .bind(i64::from(terms.rate_per_minute))
        .bind(models)
        .bind(terms.monthly_budget)
        .bind(i64::from(terms.weight.get()))
        .bind(terms.daily_budget)
        .bind(terms.expires_ms)
        .bind(terms.tokens_per_minute.map(i64::from))
        .bind(i64::from(terms.log_requests))
        .bind(terms.team.as_deref())
        .bind(id)
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        self.key_cache.clear();
        Ok(changed > 0)
    }

    /// Revokes a key permanently; returns `false` if the key is unknown or already revoked.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn revoke_key(&self, id: &str, now_ms: i64) -> Result<bool, StoreError> {
        let changed =
            statement("UPDATE api_key SET revoked_ms = $1 WHERE id = $2 AND revoked_ms IS NULL")
                .bind(now_ms)
                .bind(id)
                .execute(&self.database)
                .await?;
        self.key_cache.clear();
        Ok(changed > 0)
    }

    fn read_key(&self, row: &Row) -> Result<ApiKey, StoreError> {
        let mut key = parse_key(row)?;
        key.balance = key.balance.saturating_add(self.leases.free(&key.id));
        Ok(key)
    }
}

/// Stores a new key, given by its ID and its hash.
pub(crate) async fn insert_key(
    transaction: &mut Transaction,
    id: &str,
    hash: &str,
    terms: &KeyTerms,
    created_ms: i64,
) -> Result<(), StoreError> {
    let models =
        terms.models.as_ref().map(|models| serde_json::to_string(models).unwrap_or_default());
    statement(
        "INSERT INTO api_key (id, hash, name, rate_per_minute, models, monthly_budget, weight, created_ms,
                              daily_budget, expires_ms, tokens_per_minute, log_requests, team)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(id)
    .bind(hash)
    .bind(&terms.name)
    .bind(i64::from(terms.rate_per_minute))
    .bind(models)
    .bind(terms.monthly_budget)
    .bind(i64::from(terms.weight.get()))
    .bind(created_ms)
    .bind(terms.daily_budget)
    .bind(terms.expires_ms)
    .bind(terms.tokens_per_minute.map(i64::from))
    .bind(i64::from(terms.log_requests))
    .bind(terms.team.as_deref())
    .execute(transaction)
    .await?;
    Ok(())
}

/// Locks a key until the end of the transaction, so that transactions on the key's credits and rate
/// limit run one after the other; returns `false` if the key is unknown.
pub(crate) async fn lock_key(transaction: &mut Transaction, key: &str) -> Result<bool, StoreError> {
    Ok(statement("UPDATE api_key SET name = name WHERE id = $1")
        .bind(key)
        .execute(transaction)
        .await?
        > 0)
}

/// Locks a key like [`lock_key`]; returns its team, if it has one.
pub(crate) async fn lock_with_team(
    transaction: &mut Transaction,
    key: &str,
) -> Result<Option<String>, StoreError> {
    let lock = statement("UPDATE api_key SET name = name WHERE id = $1 RETURNING team");
    let Some(row) = lock.bind(key).row(transaction).await? else { return Ok(None) };
    Ok(row.get("team")?)
}

/// Hashes a key. Its secret has 256 random bits, 122 if the key is one of the reference, so that a
/// plain SHA-256 hash cannot be inverted.
pub(crate) fn hash_secret(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

fn parse_key(row: &Row) -> Result<ApiKey, StoreError> {
    let models: Option<String> = row.get("models")?;
    let models = models
        .map(|text| serde_json::from_str(&text).map_err(|_| invalid_value("models", &text)))
        .transpose()?;
    let weight: u32 = integer_column(row, "weight")?;
    let tokens: Option<i64> = row.get("tokens_per_minute")?;
    let tokens = tokens.map(|tokens| {
        u32::try_from(tokens).map_err(|_| invalid_value("tokens_per_minute", &tokens))
    });
    Ok(ApiKey {
        id: row.get("id")?,
        terms: KeyTerms {
            name: row.get("name")?,
            rate_per_minute: integer_column(row, "rate_per_minute")?,
            tokens_per_minute: tokens.transpose()?,
            models,
            monthly_budget: row.get("monthly_budget")?,
            daily_budget: row.get("daily_budget")?,
            team: row.get("team")?,
            expires_ms: row.get("expires_ms")?,
            weight: weight.try_into().map_err(|_| invalid_value("weight", &weight))?,
            log_requests: row.get::<i64>("log_requests")? != 0,
        },
        balance: row.get::<Option<i64>>("balance")?.unwrap_or(0),
        created_ms: row.get("created_ms")?,
        revoked_ms: row.get("revoked_ms")?,
    })
}
