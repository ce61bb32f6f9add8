//! The time of a chain besides the timestamps of its blocks: the time that was set, and the clock.

use std::time::Duration;

use codec::{Decode, Encode};
use redb::{ReadableDatabase, ReadableTable, Table};

use super::{META, Store, StoreError};
use crate::Clock;

const OFFSET_KEY: u8 = 2;
const FLOOR_KEY: u8 = 3;
const CLOCK_KEY: u8 = 5;
/// Values of clocks without an interval. Intervals are stored in nanoseconds and are never so
/// short.
const MANUAL: u64 = 0;
const FASTEST: u64 = 1;
const INSTANT: u64 = 2;

/// The time that was set on a chain; by default none was set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct TimeSetting {
    /// Offset of the chain's clock from the wall clock, in milliseconds.
    pub(crate) offset: i64,
    /// A time in milliseconds since the Unix epoch: the following blocks are stamped later.
    pub(crate) floor: u64,
}

impl Store {
    /// Returns the time that was set.
    pub(crate) fn time(&self) -> Result<TimeSetting, StoreError> {
        read(&self.database.begin_read()?.open_table(META)?)
    }

    /// Sets the time of the following blocks.
    pub(crate) fn set_time(&self, time: TimeSetting) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        write(&mut transaction.open_table(META)?, time)?;
        Ok(transaction.commit()?)
    }

    /// Returns the stored clock, if any.
    pub(crate) fn clock(&self) -> Result<Option<Clock>, StoreError> {
        let stored = self
            .database
            .begin_read()?
            .open_table(META)?
            .get(CLOCK_KEY)?
            .map(|clock| clock.value());
        Ok(stored.map(|clock| match clock {
            MANUAL => Clock::Manual,
            FASTEST => Clock::Fastest,
            INSTANT => Clock::Instant,
            nanos => Clock::Every(Duration::from_nanos(nanos)),
        }))
    }

    /// Stores the clock on which the chain runs, for restarts.
    pub(crate) fn set_clock(&self, clock: Clock) -> Result<(), StoreError> {
        let stored = match clock {
            Clock::Manual => MANUAL,
            Clock::Fastest => FASTEST,
            Clock::Instant => INSTANT,
            Clock::Every(interval) => {
                u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(INSTANT + 1)
            }
        };
        let transaction = self.database.begin_write()?;
        transaction.open_table(META)?.insert(CLOCK_KEY, stored)?;
        Ok(transaction.commit()?)
    }
}

pub(super) fn read(meta: &impl ReadableTable<u8, u64>) -> Result<TimeSetting, StoreError> {
    let offset = meta.get(OFFSET_KEY)?.map_or(0, |offset| offset.value());
    let floor = meta.get(FLOOR_KEY)?.map_or(0, |floor| floor.value());
    Ok(TimeSetting { offset: offset.cast_signed(), floor })
}

pub(super) fn write(meta: &mut Table<'_, u8, u64>, time: TimeSetting) -> Result<(), StoreError> {
    meta.insert(OFFSET_KEY, time.offset.cast_unsigned())?;
    meta.insert(FLOOR_KEY, time.floor)?;
    Ok(())
}
