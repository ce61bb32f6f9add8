//! Named snapshots: blocks that the running chain can revert to.
//!
//! A named snapshot only marks a block, without a copy. Pruning keeps the marked block
//! and the history that the chain had there, so a revert only deletes the later blocks.

use std::ops::Bound;

use codec::{Decode, Encode};
use redb::{
    ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};
use sp_core::H256;

use super::nodes::{NODES, RECENT_NODES, creation_block_of};
use super::time::{self, TimeSetting};
use super::{
    BODIES, HEADERS, Head, META, NUMBERS, OBSOLETE_NODES, SnapshotError, State, Store, StoreError,
    decode_head,
};

pub(super) const SNAPSHOTS: TableDefinition<'static, &str, &[u8]> =
    TableDefinition::new("snapshots");

/// Maximum length of a snapshot's name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// A named snapshot of the running chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The name, by which the chain is reverted.
    pub name: String,
    /// The height of the newest block when the snapshot was taken.
    pub number: u32,
    /// The hash of that block.
    pub hash: H256,
}

/// The row of a snapshot.
#[derive(Encode, Decode)]
struct SnapshotRow {
    number: u32,
    hash: H256,
    time: TimeSetting,
}

/// The block of a snapshot, with its state and the time that was set.
pub(crate) struct RevertTarget {
    pub(crate) head: Head,
    pub(crate) state: State,
    pub(crate) time: TimeSetting,
}

impl SnapshotRow {
    fn decode_from(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode(&mut &*bytes).map_err(|_| StoreError::Damaged("malformed named snapshot"))
    }
}

impl Store {
    /// Marks the newest committed block as a snapshot, and returns it.
    ///
    /// # Errors
    /// [`SnapshotError`], for instance if the name is in use.
    pub(crate) fn take_snapshot(&self, name: &str) -> Result<Snapshot, SnapshotError> {
        let is_valid_name =
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
        if !is_valid_name {
            return Err(SnapshotError::InvalidName(name.to_owned()));
        }
        let write_txn = self.database.begin_write()?;
        let head = {
            let mut snapshots = write_txn.open_table(SNAPSHOTS)?;
            if snapshots.get(name)?.is_some() {
                return Err(SnapshotError::NameTaken(name.to_owned()));
            }
            let headers = write_txn.open_table(HEADERS)?;
            let (_, bytes) = headers.last()?.ok_or(StoreError::Damaged("there are no blocks"))?;
            let head = decode_head(bytes.value())?;
            let time = time::read(&write_txn.open_table(META)?)?;
            let row = SnapshotRow { number: head.number(), hash: head.hash, time };
            snapshots.insert(name, row.encode().as_slice())?;
            head
        };
        write_txn.commit()?;
        Ok(Snapshot { name: name.to_owned(), number: head.number(), hash: head.hash })
    }

    /// Returns the named snapshots, oldest block first.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub(crate) fn snapshots(&self) -> Result<Vec<Snapshot>, SnapshotError> {
        let Some(table) = self.snapshots_table()? else { return Ok(Vec::new()) };
        let mut snapshots = Vec::new();
        for row in table.iter()? {
            let (name, bytes) = row?;
            let SnapshotRow { number, hash, .. } = SnapshotRow::decode_from(bytes.value())?;
            snapshots.push(Snapshot { name: name.value().to_owned(), number, hash });
        }
        snapshots.sort_by_key(|snapshot| snapshot.number);
        Ok(snapshots)
    }

    /// Opens the table; `None` if no snapshot was taken since the chain was created or loaded from
    /// a file.
    fn snapshots_table(
        &self,
    ) -> Result<Option<ReadOnlyTable<&'static str, &'static [u8]>>, SnapshotError> {
        match self.database.begin_read()?.open_table(SNAPSHOTS) {
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            table => Ok(Some(table?)),
        }
    }

    /// Returns the block of a snapshot.
    ///
    /// # Errors
    /// [`SnapshotError::Unknown`]; [`SnapshotError::Pruned`] if the block is not in the database.
    pub(crate) fn revert_target(&self, name: &str) -> Result<RevertTarget, SnapshotError> {
        let table = self.snapshots_table()?;
        let row = table.as_ref().map(|table| table.get(name)).transpose()?.flatten();
        let row = row.ok_or_else(|| SnapshotError::Unknown(name.to_owned()))?;
        let SnapshotRow { hash, time, .. } = SnapshotRow::decode_from(row.value())?;
        match self.state(hash)? {
            Some((head, Some(state))) => Ok(RevertTarget { head, state, time }),
            _ => Err(SnapshotError::Pruned(name.to_owned())),
        }
    }

    /// Removes the mark of a snapshot, so that its block is pruned like any other.
    ///
    /// # Errors
    /// [`SnapshotError::Unknown`].
    pub(crate) fn drop_snapshot(&self, name: &str) -> Result<(), SnapshotError> {
        let write_txn = self.database.begin_write()?;
        if write_txn.open_table(SNAPSHOTS)?.remove(name)?.is_none() {
            return Err(SnapshotError::Unknown(name.to_owned()));
        }
        Ok(write_txn.commit()?)
    }

    /// Deletes all blocks after `target` and the snapshots of these blocks, and sets the time, in
    /// one transaction.
    ///
    /// No block may be staged.
    ///
    /// # Errors
    /// [`StoreError`]; the chain is then unchanged.
    pub(crate) fn revert(&self, target: &Head, time: TimeSetting) -> Result<(), StoreError> {
        let number = target.number();
        let later: (Bound<u32>, Bound<u32>) = (Bound::Excluded(number), Bound::Unbounded);
        let write_txn = self.database.begin_write()?;
        {
            let mut headers = write_txn.open_table(HEADERS)?;
            let mut numbers = write_txn.open_table(NUMBERS)?;
            for row in headers.extract_from_if::<u32, _>(later, |_, _| true)? {
                let (_, bytes) = row?;
                numbers.remove(&decode_head(bytes.value())?.hash.0)?;
            }
        }
        write_txn.open_table(BODIES)?.retain_in::<u32, _>(later, |_, _| false)?;
        write_txn.open_table(OBSOLETE_NODES)?.retain_in::<u32, _>(later, |_, _| false)?;
        write_txn.open_table(RECENT_NODES)?.retain_in::<u32, _>(later, |_, _| false)?;
        write_txn.open_table(NODES)?.retain(|key, _| {
            creation_block_of(key).is_none_or(|created_in| created_in <= number)
        })?;
        write_txn
            .open_table(SNAPSHOTS)?
            .retain(|_, row| SnapshotRow::decode_from(row).is_ok_and(|row| row.number <= number))?;
        time::write(&mut write_txn.open_table(META)?, time)?;
        self.commit_and_clear_cache(write_txn)
    }
}

/// Returns the height of the oldest snapshot.
pub(super) fn oldest_snapshot(write_txn: &WriteTransaction) -> Result<Option<u32>, StoreError> {
    let snapshots = write_txn.open_table(SNAPSHOTS)?;
    let mut oldest: Option<u32> = None;
    for row in snapshots.iter()? {
        let number = SnapshotRow::decode_from(row?.1.value())?.number;
        oldest = Some(oldest.map_or(number, |oldest| oldest.min(number)));
    }
    Ok(oldest)
}
