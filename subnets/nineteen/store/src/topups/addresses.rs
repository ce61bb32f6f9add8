//! Deposit addresses of API keys.

use std::collections::HashSet;

use taonet_database::{Executor, Row, Transaction, statement};
use taonet_primitives::AccountId;

use super::{DepositAddress, TopUps, lock_topups};
use crate::error::{integer_column, parse_column};
use crate::keys::lock_key;
use crate::{Store, StoreError};

/// Number of accounts that one statement looks up.
const MAX_ACCOUNTS_PER_QUERY: usize = 8;

impl Store {
    /// Returns the deposit address of an API key; creates it if missing. Returns `None` if the key
    /// is unknown.
    ///
    /// # Errors
    /// [`StoreError::TopUpsDisabled`] and [`StoreError::NoFreeAddress`]; another [`StoreError`]
    /// when the database fails.
    pub async fn deposit_address(&self, key: &str) -> Result<Option<DepositAddress>, StoreError> {
        let account = enabled_account(self.topups().await?)?;
        if let Some(existing) = existing_address(&self.database, account, key).await? {
            return Ok(Some(existing));
        }
        let mut transaction = self.database.begin().await?;
        // Locked, so that no two keys get the same index.
        let account = enabled_account(lock_topups(&mut transaction).await?)?;
        if !lock_key(&mut transaction, key).await? {
            return Ok(None);
        }
        if let Some(existing) = existing_address(&mut transaction, account, key).await? {
            return Ok(Some(existing));
        }
        let index = unused_index(&mut transaction, account, key).await?;
        let address = account.derivative(index);
        statement("INSERT INTO deposit_address (address, key_id, account, number) VALUES ($1, $2, $3, $4)")
            .bind(address.to_string())
            .bind(key)
            .bind(account.to_string())
            .bind(i64::from(index))
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(DepositAddress { address, key_id: key.to_owned(), account, index }))
    }

    /// Returns all deposit addresses, also those of earlier accounts.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn deposit_addresses(&self) -> Result<Vec<DepositAddress>, StoreError> {
        let rows = statement(
            "SELECT address, key_id, account, number FROM deposit_address ORDER BY account, number",
        );
        rows.rows(&self.database).await?.iter().map(parse_deposit_address).collect()
    }

    /// Returns which of some accounts are deposit addresses, also of earlier accounts of the
    /// operator.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn deposit_addresses_among(
        &self,
        accounts: impl IntoIterator<Item = AccountId> + Send,
    ) -> Result<HashSet<AccountId>, StoreError> {
        const SELECT: &str =
            "SELECT address FROM deposit_address WHERE address IN ($1, $2, $3, $4, $5, $6, $7, $8)";
        let accounts: Vec<String> =
            accounts.into_iter().map(|account| account.to_string()).collect();
        let mut addresses = HashSet::new();
        for chunk in accounts.chunks(MAX_ACCOUNTS_PER_QUERY) {
            let mut rows = statement(SELECT);
            for index in 0..MAX_ACCOUNTS_PER_QUERY {
                // The last chunk is filled up with its last account.
                rows = rows.bind(chunk.get(index).or(chunk.last()).cloned());
            }
            for row in rows.rows(&self.database).await? {
                addresses.insert(parse_column(&row, "address")?);
            }
        }
        Ok(addresses)
    }

    /// Returns the derivatives of an account to which TAO can have been sent, with their indices:
    /// its deposit addresses, and those of recorded transfers to derivatives without a key, such as
    /// to addresses of keys that a restored, older database lacks.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn collectable_addresses(
        &self,
        account: AccountId,
    ) -> Result<Vec<(u16, AccountId)>, StoreError> {
        let addresses = self
            .deposit_addresses()
            .await?
            .into_iter()
            .filter(|address| address.account == account);
        let mut collectable: Vec<_> =
            addresses.map(|address| (address.index, address.address)).collect();
        let mut paid_addresses = paid_addresses_without_key(&self.database).await?;
        // A transfer to the account itself is recorded, too.
        paid_addresses.remove(&account);
        if !paid_addresses.is_empty() {
            let derivatives = (0..=u16::MAX).map(|index| (index, account.derivative(index)));
            collectable.extend(derivatives.filter(|(_, address)| paid_addresses.contains(address)));
        }
        Ok(collectable)
    }
}

/// Returns the account of which deposit addresses are derivatives, if top-ups are enabled.
fn enabled_account(topups: Option<TopUps>) -> Result<AccountId, StoreError> {
    let enabled = topups.filter(|topups| topups.is_enabled).ok_or(StoreError::TopUpsDisabled)?;
    Ok(enabled.terms.account)
}

/// Returns the deposit address of an API key that is a derivative of an account, if it exists.
async fn existing_address(
    executor: impl Into<Executor<'_>>,
    account: AccountId,
    key: &str,
) -> Result<Option<DepositAddress>, StoreError> {
    let row =
        statement("SELECT address, key_id, account, number FROM deposit_address WHERE account = $1 AND key_id = $2")
            .bind(account.to_string())
            .bind(key)
            .row(executor)
            .await?;
    row.as_ref().map(parse_deposit_address).transpose()
}

/// Returns the addresses of recorded transfers that are not deposit addresses.
async fn paid_addresses_without_key(
    executor: impl Into<Executor<'_>>,
) -> Result<HashSet<AccountId>, StoreError> {
    let rows = statement(
        "SELECT DISTINCT address FROM deposit WHERE address NOT IN (SELECT address FROM deposit_address)",
    );
    rows.rows(executor).await?.iter().map(|row| parse_column(row, "address")).collect()
}

/// Returns the index of a derivative of an account that no key has as its address. The search
/// starts at the first 16 bits of the key's ID, which is random: a key that is created after an
/// older database was restored is then unlikely to get the address of a key that this database
/// lacks, whose buyer may still send TAO to it. Addresses that have received TAO without being the
/// address of a key are those of such keys; they are used only if all others are.
async fn unused_index(
    transaction: &mut Transaction,
    account: AccountId,
    key: &str,
) -> Result<u16, StoreError> {
    let index_rows = statement("SELECT number FROM deposit_address WHERE account = $1")
        .bind(account.to_string());
    let mut used_indices = HashSet::new();
    for row in index_rows.rows(&mut *transaction).await? {
        used_indices.insert(integer_column::<u16>(&row, "number")?);
    }
    let paid_addresses = paid_addresses_without_key(transaction).await?;
    let first =
        key.get(..4).and_then(|prefix| u16::from_str_radix(prefix, 16).ok()).unwrap_or_default();
    let mut free_indices = (0..=u16::MAX)
        .map(|offset| first.wrapping_add(offset))
        .filter(|index| !used_indices.contains(index));
    let unpaid =
        free_indices.clone().find(|index| !paid_addresses.contains(&account.derivative(*index)));
    unpaid.or_else(|| free_indices.next()).ok_or(StoreError::NoFreeAddress(account))
}

fn parse_deposit_address(row: &Row) -> Result<DepositAddress, StoreError> {
    Ok(DepositAddress {
        address: parse_column(row, "address")?,
        key_id: row.get("key_id")?,
        account: parse_column(row, "account")?,
        index: integer_column(row, "number")?,
    })
}
