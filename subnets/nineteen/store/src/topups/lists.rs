//! Lists of recorded transfers.

use taonet_database::statement;
use taonet_primitives::BlockNumber;

use super::{Deposit, parse_deposit};
use crate::{Store, StoreError};

impl Store {
    /// Returns the recorded transfers, oldest first; without `key`, all of them.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn deposits(&self, key: Option<&str>) -> Result<Vec<Deposit>, StoreError> {
        let rows =
            statement(select_deposit!("WHERE key_id = $1 OR $1 IS NULL ORDER BY block, event"))
                .bind(key);
        rows.rows(&self.database).await?.iter().map(parse_deposit).collect()
    }

    /// Returns the newest transfers that were credited to a key, newest first: at most `limit`, and
    /// only those before the event `before` (height and index) if it is set.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn latest_deposits(
        &self,
        key: &str,
        before: Option<(BlockNumber, u32)>,
        limit: u32,
    ) -> Result<Vec<Deposit>, StoreError> {
        let (block, event) = before
            .map_or((i64::MAX, 0), |(block, event)| (i64::from(block.get()), i64::from(event)));
        let rows = statement(select_deposit!(
            "WHERE key_id = $1 AND (block < $2 OR (block = $2 AND event < $3)) ORDER BY block DESC, event DESC LIMIT $4"
        ));
        let rows = rows.bind(key).bind(block).bind(event).bind(i64::from(limit));
        rows.rows(&self.database).await?.iter().map(parse_deposit).collect()
    }

    /// Returns the transfers whose credits a key has received in `from_ms..to_ms` (Unix time in
    /// milliseconds), in the order in which it has received them.
    pub(crate) async fn deposits_credited(
        &self,
        key: &str,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Deposit>, StoreError> {
        let rows = statement(select_deposit!(
            "WHERE key_id = $1 AND credited_ms >= $2 AND credited_ms < $3 ORDER BY credited_ms, block, event"
        ));
        rows.bind(key)
            .bind(from_ms)
            .bind(to_ms)
            .rows(&self.database)
            .await?
            .iter()
            .map(parse_deposit)
            .collect()
    }

    /// Returns the transfers with an event in the blocks of a height. There is at most one, except
    /// on a development chain.
    ///
    /// # Errors
    /// [`StoreError`] when the database fails.
    pub async fn deposits_at(
        &self,
        block: BlockNumber,
        event: u32,
    ) -> Result<Vec<Deposit>, StoreError> {
        let rows =
            statement(select_deposit!("WHERE block = $1 AND event = $2 ORDER BY block_hash"));
        let rows = rows.bind(i64::from(block.get())).bind(i64::from(event));
        rows.rows(&self.database).await?.iter().map(parse_deposit).collect()
    }
}
