//! The time that was set on a chain, in addition to the timestamps of its blocks.

use codec::{Decode, Encode};
use redb::{ReadableDatabase, ReadableTable, Table};

use super::{META, Store, StoreError};

const OFFSET_KEY: u8 = 2;
const FLOOR_KEY: u8 = 3;

/// The time that was set on a chain; by default none was set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Time {
    /// Offset of the chain's clock from the wall clock, in milliseconds.
    pub(crate) offset: i64,
    /// A time in milliseconds since the Unix epoch: the following blocks are stamped later.
    pub(crate) floor: u64,
}

impl Store {
    /// Returns the time that was set.
    pub(crate) fn time(&self) -> Result<Time, StoreError> {
        read(&self.database.begin_read()?.open_table(META)?)
    }

    /// Sets the time of the following blocks.
    pub(crate) fn set_time(&self, time: Time) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        write(&mut transaction.open_table(META)?, time)?;
        Ok(transaction.commit()?)
    }
}

pub(super) fn read(meta: &impl ReadableTable<u8, u64>) -> Result<Time, StoreError> {
    let number = |key: u8| Ok::<_, StoreError>(meta.get(key)?.map_or(0, |number| number.value()));
    Ok(Time { offset: number(OFFSET_KEY)?.cast_signed(), floor: number(FLOOR_KEY)? })
}

pub(super) fn write(meta: &mut Table<'_, u8, u64>, time: Time) -> Result<(), StoreError> {
    meta.insert(OFFSET_KEY, time.offset.cast_unsigned())?;
    meta.insert(FLOOR_KEY, time.floor)?;
    Ok(())
}
