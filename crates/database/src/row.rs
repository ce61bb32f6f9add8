use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};

use crate::DatabaseError;

/// Type of a column value: `i64`, `f64`, `String`, `Vec<u8>`, or an `Option` of one of these.
pub trait Column:
    for<'r> Decode<'r, Sqlite>
    + Type<Sqlite>
    + for<'r> Decode<'r, Postgres>
    + Type<Postgres>
    + sealed::Sealed
{
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! columns {
    ($($column:ty),*) => { $(
        impl sealed::Sealed for $column {}
        impl Column for $column {}
        impl sealed::Sealed for Option<$column> {}
        impl Column for Option<$column> {}
    )* };
}

columns!(i64, f64, String, Vec<u8>);

/// A row of a query result.
pub struct Row(pub(crate) DriverRow);

pub(crate) enum DriverRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// Reads a column by its name.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if the column is missing or has a different type.
    pub fn get<T: Column>(&self, column: &str) -> Result<T, DatabaseError> {
        Ok(match &self.0 {
            DriverRow::Sqlite(row) => row.try_get(column)?,
            DriverRow::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Reads the first column.
    pub(crate) fn first<T: Column>(&self) -> Result<T, DatabaseError> {
        Ok(match &self.0 {
            DriverRow::Sqlite(row) => row.try_get(0)?,
            DriverRow::Postgres(row) => row.try_get(0)?,
        })
    }
}
