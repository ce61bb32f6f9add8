use std::path::PathBuf;

use taonet_database::{DatabaseError, Row};

/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Creating the directory or the file failed.
    #[error("cannot create the validator's database in {}; hint: check the owner of the directory and of its parent", path.display())]
    Directory {
        /// Directory of the database.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file is unusable, has a newer schema, or is not a validator's database.
    #[error("cannot open {}", path.display())]
    File {
        /// Database file.
        path: PathBuf,
        /// The database's error.
        source: DatabaseError,
    },
    /// The PostgreSQL database is unreachable, has a newer schema, or belongs to another program.
    #[error("cannot open the validator's PostgreSQL database")]
    Postgres(#[source] DatabaseError),
    /// A statement or a connection of the database failed.
    #[error("the validator's database failed; hint: check that it runs and that its disk is not full")]
    Database(#[from] DatabaseError),
    /// A column has an invalid value.
    #[error("invalid value {value:?} in column {column} of the validator's database")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// The invalid value.
        value: String,
    },
    /// The previous period is still open.
    #[error("period {0} has not been closed")]
    StillOpen(i64),
}

/// Parses a column's text.
pub(crate) fn parsed<T: std::str::FromStr>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| invalid(column, &text))
}

/// Converts a column's integer.
pub(crate) fn number<T: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    let number: i64 = row.get(column)?;
    T::try_from(number).map_err(|_| invalid(column, &number))
}

pub(crate) fn invalid(column: &'static str, value: &impl ToString) -> StoreError {
    StoreError::Value { column, value: value.to_string() }
}
