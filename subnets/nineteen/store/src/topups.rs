//! Credits for TAO that buyers transfer to the deposit addresses of their API keys.
//!
//! A deposit address is a derivative account of the operator's account ([`AccountId::derivative`]):
//! it belongs to one key, so that a transfer needs no memo, and the operator collects its TAO with
//! the key of that account. The validator's process reads the transfers of finalized blocks, and
//! records those of consecutive blocks together with the last of these blocks, in one transaction
//! ([`Store::record_transfers`]). A killed process continues after that block; of two processes
//! that read the same blocks, only one records them. They are recorded only if their parent is the
//! last recorded block. A finalized block that disappears therefore stops all credits: reversing
//! them could take credits from buyers because of one wrong node.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use serde::Serialize;
use taonet_database::{Executor, Row, Transaction, statement};
use taonet_primitives::{AccountId, BlockHash, BlockNumber, Rao};

use crate::credits::{grant, grantable};
use crate::error::{integer_column, invalid_value, parse_column};
use crate::keys::lock_key;
use crate::{Store, StoreError};

/// Kind of the ledger's transfers that grant credits for deposits.
const TOPUP_KIND: &str = "topup";
/// SQL of a query for deposits, which ends with `$end`.
macro_rules! select_deposit {
    ($end:literal) => {
        concat!(
            "SELECT block_hash, event, block, sender, address, rao, rao_per_credit, key_id, credits, recorded_ms,
             credited_ms FROM deposit ",
            $end
        )
    };
}

mod addresses;
// After the macro, which it uses.
mod lists;

/// Account and price of top-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopUpTerms {
    /// Account whose derivatives are the deposit addresses.
    pub account: AccountId,
    /// Price of one credit.
    pub rao_per_credit: NonZeroU64,
}

impl TopUpTerms {
    /// Returns the credits for an amount, rounded down.
    pub fn credits(&self, amount: Rao) -> i64 {
        credits_for(amount, self.rao_per_credit)
    }
}

/// Settings of top-ups, and the last block whose transfers are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopUps {
    /// Account and price.
    pub terms: TopUpTerms,
    /// Whether the validator credits transfers.
    pub is_enabled: bool,
    /// Height of the last finalized block whose transfers are recorded.
    pub block: BlockNumber,
    /// Hash of that block.
    pub hash: BlockHash,
}

/// Address to which a buyer transfers TAO for an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepositAddress {
    /// The address.
    pub address: AccountId,
    /// ID of the API key.
    pub key_id: String,
    /// Account of which the address is a derivative.
    pub account: AccountId,
    /// Index of the derivative.
    pub index: u16,
}

/// A transfer of TAO in a finalized block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Height of the block.
    pub block: BlockNumber,
    /// Hash of the block.
    pub hash: BlockHash,
    /// Index of the event in the block.
    pub event: u32,
    /// Account that has paid.
    pub from: AccountId,
    /// Deposit address, or the account of which these are derivatives.
    pub to: AccountId,
    /// Amount of the transfer.
    pub amount: Rao,
}

/// A recorded transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deposit {
    /// Height of the block.
    pub block: BlockNumber,
    /// Hash of the block.
    pub block_hash: BlockHash,
    /// Index of the event in the block.
    pub event: u32,
    /// Account that has paid.
    pub from: AccountId,
    /// Address to which it has paid.
    pub to: AccountId,
    /// Amount of the transfer, in rao.
    pub amount_rao: Rao,
    /// Price of one credit when the transfer was recorded, in rao.
    pub rao_per_credit: NonZeroU64,
    /// ID of the API key that has received the credits; `None` if the transfer belongs to no active
    /// key.
    pub key_id: Option<String>,
    /// Credits granted.
    pub credits: i64,
    /// Time at which the transfer was recorded, in milliseconds since the Unix epoch.
    pub recorded_ms: i64,
    /// Time at which its credits were granted, which is later if an operator has assigned the
    /// transfer.
    pub credited_ms: Option<i64>,
}

impl Store {
    /// Enables top-ups with an account and a price. At the first time, transfers count from the
    /// block after `last` (height and hash); later, the last recorded block remains.
    ///
    /// # Errors
    /// [`StoreError::ChainMismatch`] when transfers of a chain with another genesis block are
    /// recorded; another [`StoreError`] when the database fails.
    pub async fn enable_topups(
        &self,
        terms: TopUpTerms,
        genesis: BlockHash,
        last: (BlockNumber, BlockHash),
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        statement(
            "INSERT INTO topup (number, genesis, account, rao_per_credit, enabled, block, block_hash)
             VALUES (1, $1, $2, $3, 1, $4, $5)
             ON CONFLICT (number) DO UPDATE
             SET account = excluded.account, rao_per_credit = excluded.rao_per_credit, enabled = 1",
        )
        .bind(genesis.to_string())
        .bind(terms.account.to_string())
        .bind(saturating_i64(terms.rao_per_credit.get()))
        .bind(i64::from(last.0.get()))
        .bind(last.1.to_string())
        .execute(&mut transaction)
        .await?;
        if let Some(row) = statement("SELECT genesis FROM topup").row(&mut transaction).await? {
            let recorded = parse_column(&row, "genesis")?;
            if recorded != genesis {
                return Err(StoreError::ChainMismatch { recorded, connected: genesis });
            }
        }
        Ok(transaction.commit().await?)
    }

    /// Disables top-ups. Transfers are credited once they are enabled again.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn disable_topups(&self) -> Result<(), StoreError> {
        statement("UPDATE topup SET enabled = 0").execute(&self.database).await?;
        Ok(())
    }

    /// Returns the settings of top-ups, and the last recorded block; `None` if top-ups were never
    /// enabled.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn topups(&self) -> Result<Option<TopUps>, StoreError> {
        read_topups(&self.database).await
    }

    /// Records the transfers of the blocks after the block `after`, up to `last` (height and hash),
    /// and grants their credits. Transfers that are worth no credit are left out. Returns the
    /// deposits, or `None`, without any change, if top-ups are disabled or `after` is not the last
    /// recorded block: another process has recorded these transfers.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails; nothing is recorded then.
    pub async fn record_transfers(
        &self,
        after: BlockHash,
        last: (BlockNumber, BlockHash),
        transfers: &[Transfer],
        now_ms: i64,
    ) -> Result<Option<Vec<Deposit>>, StoreError> {
        let mut transaction = self.database.begin().await?;
        let recorded = lock_topups(&mut transaction).await?;
        let recorded = recorded.filter(|recorded| recorded.is_enabled && recorded.hash == after);
        let Some(TopUps { terms, .. }) = recorded else { return Ok(None) };
        let transfers: Vec<_> =
            transfers.iter().filter(|transfer| terms.credits(transfer.amount) > 0).collect();
        let owners = lock_owners(&mut transaction, &transfers, now_ms).await?;
        let mut deposits = Vec::with_capacity(transfers.len());
        for (transfer, owner) in transfers.into_iter().zip(owners) {
            deposits
                .extend(record_transfer(&mut transaction, &terms, transfer, owner, now_ms).await?);
        }
        statement("UPDATE topup SET block = $1, block_hash = $2")
            .bind(i64::from(last.0.get()))
            .bind(last.1.to_string())
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(deposits))
    }

    /// Credits a transfer that belongs to no active key to an API key, at the price of its time.
    /// Returns `None` if there is no such transfer, it is already credited, or the key is unknown.
    ///
    /// # Errors
    /// [`StoreError::InactiveKey`] when the key is revoked or expired;
    /// [`StoreError::TooManyCredits`] when more than [`crate::MAX_CREDITS`] would exist in total;
    /// another [`StoreError`] when the database fails.
    pub async fn assign_deposit(
        &self,
        block: BlockHash,
        event: u32,
        key: &str,
        now_ms: i64,
    ) -> Result<Option<Deposit>, StoreError> {
        let mut transaction = self.database.begin().await?;
        if !lock_key(&mut transaction, key).await? {
            return Ok(None);
        }
        if !is_active(&mut transaction, key, now_ms).await? {
            return Err(StoreError::InactiveKey(key.to_owned()));
        }
        // The update locks the row, so that the transfer is credited once.
        let changed = statement(
            "UPDATE deposit SET key_id = $1, credited_ms = $2 WHERE block_hash = $3 AND event = $4 AND key_id IS NULL",
        )
        .bind(key)
        .bind(now_ms)
        .bind(block.to_string())
        .bind(i64::from(event))
        .execute(&mut transaction)
        .await?;
        let row = statement(select_deposit!("WHERE block_hash = $1 AND event = $2"))
            .bind(block.to_string())
            .bind(i64::from(event))
            .row(&mut transaction)
            .await?;
        let Some(row) = row.filter(|_| changed > 0) else { return Ok(None) };
        let mut deposit = parse_deposit(&row)?;
        deposit.credits = credits_for(deposit.amount_rao, deposit.rao_per_credit);
        statement("UPDATE deposit SET credits = $1 WHERE block_hash = $2 AND event = $3")
            .bind(deposit.credits)
            .bind(block.to_string())
            .bind(i64::from(event))
            .execute(&mut transaction)
            .await?;
        credit_deposit(&mut transaction, &deposit, key, now_ms).await?;
        transaction.commit().await?;
        Ok(Some(deposit))
    }
}

/// Reads the settings, and the last recorded block.
async fn read_topups(executor: impl Into<Executor<'_>>) -> Result<Option<TopUps>, StoreError> {
    let row = statement("SELECT account, rao_per_credit, enabled, block, block_hash FROM topup")
        .row(executor)
        .await?;
    row.as_ref().map(parse_topups).transpose()
}

/// Reads the settings, and locks them until the end of the transaction.
async fn lock_topups(transaction: &mut Transaction) -> Result<Option<TopUps>, StoreError> {
    statement("UPDATE topup SET number = number").execute(&mut *transaction).await?;
    read_topups(transaction).await
}

/// Returns the active key of each transfer, in the order of the transfers, and locks these keys.
async fn lock_owners(
    transaction: &mut Transaction,
    transfers: &[&Transfer],
    now_ms: i64,
) -> Result<Vec<Option<String>>, StoreError> {
    let mut owners: Vec<Option<String>> = Vec::with_capacity(transfers.len());
    for transfer in transfers {
        let owner = statement("SELECT key_id FROM deposit_address WHERE address = $1")
            .bind(transfer.to.to_string());
        owners.push(owner.value(&mut *transaction).await?);
    }
    // Lock in the order of the keys, as other transactions on several keys do, to avoid deadlocks.
    let keys: BTreeSet<String> = owners.iter().flatten().cloned().collect();
    let mut active_keys = BTreeSet::new();
    for key in keys {
        lock_key(transaction, &key).await?;
        if is_active(transaction, &key, now_ms).await? {
            active_keys.insert(key);
        }
    }
    Ok(owners.into_iter().map(|owner| owner.filter(|key| active_keys.contains(key))).collect())
}

/// Returns whether a key that the transaction has locked is neither revoked nor expired.
async fn is_active(
    transaction: &mut Transaction,
    key: &str,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let active = statement(
        "SELECT COUNT(*) FROM api_key
         WHERE id = $1 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $2)",
    );
    Ok(active.bind(key).bind(now_ms).number(transaction).await? > 0)
}

/// Records a transfer, and grants its credits to its key; returns `None` if the transfer is already
/// recorded.
async fn record_transfer(
    transaction: &mut Transaction,
    terms: &TopUpTerms,
    transfer: &Transfer,
    owner: Option<String>,
    now_ms: i64,
) -> Result<Option<Deposit>, StoreError> {
    let credits = terms.credits(transfer.amount);
    // Credits above the limit are left to the operator.
    let grantable = grantable(transaction).await?;
    let key_id = owner.filter(|_| credits <= grantable);
    let deposit = Deposit {
        block: transfer.block,
        block_hash: transfer.hash,
        event: transfer.event,
        from: transfer.from,
        to: transfer.to,
        amount_rao: transfer.amount,
        rao_per_credit: terms.rao_per_credit,
        credits: if key_id.is_some() { credits } else { 0 },
        credited_ms: key_id.is_some().then_some(now_ms),
        key_id,
        recorded_ms: now_ms,
    };
    let inserted = statement(
        "INSERT INTO deposit
         (block_hash, event, block, sender, address, rao, rao_per_credit, key_id, credits, recorded_ms, credited_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (block_hash, event) DO NOTHING",
    )
    .bind(deposit.block_hash.to_string())
    .bind(i64::from(deposit.event))
    .bind(i64::from(deposit.block.get()))
    .bind(deposit.from.to_string())
    .bind(deposit.to.to_string())
    .bind(saturating_i64(deposit.amount_rao.get()))
    .bind(saturating_i64(deposit.rao_per_credit.get()))
    .bind(deposit.key_id.clone())
    .bind(deposit.credits)
    .bind(deposit.recorded_ms)
    .bind(deposit.credited_ms)
    .execute(&mut *transaction)
    .await?;
    if inserted == 0 {
        return Ok(None);
    }
    if let Some(key) = &deposit.key_id {
        credit_deposit(transaction, &deposit, key, now_ms).await?;
    }
    Ok(Some(deposit))
}

/// Grants the credits of a deposit to a key that the transaction has locked.
async fn credit_deposit(
    transaction: &mut Transaction,
    deposit: &Deposit,
    key: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    let reference = format!("block {}, event {}", deposit.block_hash, deposit.event);
    let balance =
        grant(transaction, key, deposit.credits, (TOPUP_KIND, reference.as_str()), now_ms).await?;
    balance.map(drop).ok_or_else(|| invalid_value("key_id", &key))
}

fn credits_for(amount: Rao, rao_per_credit: NonZeroU64) -> i64 {
    saturating_i64(amount.get() / rao_per_credit)
}

/// Converts an amount of rao or credits for the database. All TAO together are far less than 2^63
/// rao.
fn saturating_i64(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn parse_price(row: &Row) -> Result<NonZeroU64, StoreError> {
    let price: u64 = integer_column(row, "rao_per_credit")?;
    NonZeroU64::new(price).ok_or_else(|| invalid_value("rao_per_credit", &price))
}

fn parse_topups(row: &Row) -> Result<TopUps, StoreError> {
    Ok(TopUps {
        terms: TopUpTerms {
            account: parse_column(row, "account")?,
            rao_per_credit: parse_price(row)?,
        },
        is_enabled: row.get::<i64>("enabled")? != 0,
        block: BlockNumber::new(integer_column(row, "block")?),
        hash: parse_column(row, "block_hash")?,
    })
}

fn parse_deposit(row: &Row) -> Result<Deposit, StoreError> {
    Ok(Deposit {
        block: BlockNumber::new(integer_column(row, "block")?),
        block_hash: parse_column(row, "block_hash")?,
        event: integer_column(row, "event")?,
        from: parse_column(row, "sender")?,
        to: parse_column(row, "address")?,
        amount_rao: Rao::new(integer_column(row, "rao")?),
        rao_per_credit: parse_price(row)?,
        key_id: row.get("key_id")?,
        credits: row.get("credits")?,
        recorded_ms: row.get("recorded_ms")?,
        credited_ms: row.get("credited_ms")?,
    })
}
