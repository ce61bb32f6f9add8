use std::path::PathBuf;
use std::sync::Arc;

use taonet_database::{DatabaseError, Row};
use taonet_primitives::{AccountId, BlockHash, counted};

/// Why an operation on the validator's database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory or the file cannot be created.
    #[error("cannot create the validator's database in {}; hint: check the owner of the directory and of its parent", path.display())]
    Directory {
        /// Path of the database directory.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file does not exist.
    #[error("the validator's database {} does not exist; hint: name the --state of `tao nineteen validator`", .0.display())]
    Missing(PathBuf),
    /// The directory of the file cannot be searched.
    #[error("cannot read the validator's database {}; hint: read it as the user of `tao nineteen validator`", path.display())]
    Unreadable {
        /// Path of the database file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is unusable, has a newer schema, or is not a validator's database.
    #[error("cannot open the validator's database {}", path.display())]
    File {
        /// Path of the database file.
        path: PathBuf,
        /// The database's error.
        source: DatabaseError,
    },
    /// The PostgreSQL database is unreachable, has a newer schema, or belongs to another program.
    #[error("cannot open the validator's PostgreSQL database")]
    Postgres(#[source] DatabaseError),
    /// A statement or a connection of the database failed.
    #[error("the validator's database failed")]
    Database(#[from] DatabaseError),
    /// A column has an invalid value.
    #[error("invalid value {value:?} in column {column} of the validator's database")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// The invalid value.
        value: String,
    },
    /// Another process holds the control lock of this database: it runs the periods.
    #[error(
        "another validator process uses this database; hint: stop it, or use a separate database for this validator"
    )]
    ControlLockHeld,
    /// A transaction for the charges of several requests failed.
    #[error("cannot store the charges of finished requests")]
    ChargeFailed(#[source] Arc<StoreError>),
    /// A transaction for the holds of several requests failed.
    #[error("cannot reserve credits for the request")]
    HoldFailed(#[source] Arc<StoreError>),
    /// A grant would exceed the credits that can exist in total.
    #[error(
        "cannot grant {amount} credits; hint: grant at most {remaining}, since all keys together can have {}",
        crate::MAX_CREDITS
    )]
    TooManyCredits {
        /// Credits of the grant.
        amount: i64,
        /// Credits that can still be granted.
        remaining: i64,
    },
    /// The API key can get no credits for a transfer of TAO.
    #[error("API key {0} is revoked or expired; hint: assign the transfer to another key")]
    InactiveKey(String),
    /// No team has this name.
    #[error(
        "unknown team {0}; hint: `tao nineteen keys teams` lists all teams, `tao nineteen keys team NAME --create` creates \
         one"
    )]
    UnknownTeam(String),
    /// Keys that are not revoked belong to a team that is to be deleted.
    #[error(
        "team {team} has {}; hint: `tao nineteen keys update KEY_ID --no-team` takes a key out of its team",
        counted(*keys, "key")
    )]
    TeamHasKeys {
        /// Name of the team.
        team: String,
        /// Number of its keys that are not revoked.
        keys: i64,
    },
    /// The validator credits no transfers of TAO.
    #[error(
        "the validator credits no transfers of TAO; hint: start it with --topup-account and --rao-per-credit"
    )]
    TopUpsDisabled,
    /// The recorded transfers are those of another chain.
    #[error(
        "the recorded transfers of TAO are those of the chain with genesis {recorded}, not of {connected}; hint: use a \
         separate database for each chain"
    )]
    ChainMismatch {
        /// Genesis hash of the chain whose transfers are recorded.
        recorded: BlockHash,
        /// Genesis hash of the chain that is now connected.
        connected: BlockHash,
    },
    /// All deposit addresses of the account are in use.
    #[error(
        "all 65536 deposit addresses of {0} are in use; hint: start the validator with another --topup-account"
    )]
    NoFreeAddress(AccountId),
    /// The process exits.
    #[error("the process is shutting down")]
    Stopping,
    /// The previous period is still open.
    #[error("period {0} is still open")]
    PeriodStillOpen(i64),
}

/// Parses the text in a column of a row.
pub(crate) fn parse_column<T: std::str::FromStr>(
    row: &Row,
    column: &'static str,
) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| invalid_value(column, &text))
}

/// Converts the integer in a column of a row.
pub(crate) fn integer_column<T: TryFrom<i64>>(
    row: &Row,
    column: &'static str,
) -> Result<T, StoreError> {
    let number: i64 = row.get(column)?;
    T::try_from(number).map_err(|_| invalid_value(column, &number))
}

pub(crate) fn invalid_value(column: &'static str, value: &impl ToString) -> StoreError {
    StoreError::Value { column, value: value.to_string() }
}
