use std::path::PathBuf;

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
    /// The file has a newer schema, or is not a validator's database.
    #[error("cannot migrate {}; hint: a newer version of this program may have written it", path.display())]
    Migrate {
        /// Database file.
        path: PathBuf,
        /// The migration's error.
        source: sqlx::migrate::MigrateError,
    },
    /// A statement or a connection of the database failed.
    #[error("the validator's database failed; hint: check that its disk is not full")]
    Database(#[from] sqlx::Error),
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
pub(crate) fn parsed<T: std::str::FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| invalid(column, &text))
}

/// Converts a column's integer.
pub(crate) fn number<T: TryFrom<i64>>(column: &'static str, number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| invalid(column, &number))
}

pub(crate) fn invalid(column: &'static str, value: &impl ToString) -> StoreError {
    StoreError::Value { column, value: value.to_string() }
}
