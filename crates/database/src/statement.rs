use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::query::Query;
use sqlx::{Database, Encode, Postgres, SqlSafeStr, SqlStr, Sqlite, Type};

use crate::connection::{Connection, with_timeout};
use crate::row::DriverRow;
use crate::{Column, DatabaseError, Executor, Row};

/// A value bound to a parameter of a statement. It has no `Debug`, since a value can be a secret.
#[derive(Clone)]
pub enum Value {
    /// An integer (`BIGINT`).
    Integer(Option<i64>),
    /// A float (`DOUBLE PRECISION`).
    Float(Option<f64>),
    /// A string (`TEXT`).
    Text(Option<String>),
    /// A Boolean.
    Boolean(Option<bool>),
    /// A byte string (`BYTEA` in PostgreSQL, `BLOB` in SQLite).
    Bytes(Option<Vec<u8>>),
    /// A list of strings (`TEXT[]`), for conditions such as `name = ANY($1)`. SQLite has no lists:
    /// there, the statement fails.
    Texts(Vec<String>),
}

macro_rules! values {
    ($($from:ty => $variant:ident),*) => { $(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(Some(value.into()))
            }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map(Into::into))
            }
        }
    )* };
}

values!(
    i64 => Integer, f64 => Float, String => Text, &str => Text, &String => Text, bool => Boolean, Vec<u8> => Bytes,
    &[u8] => Bytes
);

impl From<&[String]> for Value {
    fn from(value: &[String]) -> Self {
        Self::Texts(value.to_vec())
    }
}

/// A list of strings, encodable for PostgreSQL only.
struct Texts(Vec<String>);

impl Type<Postgres> for Texts {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <Vec<String> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Texts {
    fn encode_by_ref(
        &self,
        buffer: &mut <Postgres as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        <Vec<String> as Encode<'_, Postgres>>::encode_by_ref(&self.0, buffer)
    }
}

impl Type<Sqlite> for Texts {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Texts {
    fn encode_by_ref(
        &self,
        _: &mut <Sqlite as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        Err("SQLite has no lists".into())
    }
}

/// A SQL statement with the values of its parameters `$1`, `$2`, ….
#[derive(Clone)]
#[must_use = "a statement does nothing until it runs"]
pub struct Statement {
    sql: SqlStr,
    values: Vec<Value>,
}

/// Creates a statement from SQL that both databases support.
pub fn statement(sql: impl SqlSafeStr) -> Statement {
    Statement { sql: sql.into_sql_str(), values: Vec::new() }
}

impl Statement {
    /// Binds a value to the next parameter.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs the statement; returns the number of changed rows.
    ///
    /// # Errors
    /// [`DatabaseError`] if the statement fails or times out.
    pub async fn execute(self, executor: impl Into<Executor<'_>>) -> Result<u64, DatabaseError> {
        let mut borrowed = executor.into().borrow_writer().await?;
        let (connection, limit) = borrowed.connection()?;
        let changed = async {
            Ok(match connection {
                Connection::Sqlite(connection) => {
                    query::<Sqlite>(self).execute(&mut **connection).await?.rows_affected()
                }
                Connection::Postgres(connection) => {
                    query::<Postgres>(self).execute(&mut **connection).await?.rows_affected()
                }
            })
        };
        with_timeout(limit, changed).await
    }

    /// Runs the statement; returns all rows of its result.
    ///
    /// # Errors
    /// [`DatabaseError`] if the statement fails or times out.
    pub async fn rows(self, executor: impl Into<Executor<'_>>) -> Result<Vec<Row>, DatabaseError> {
        let mut borrowed = executor.into().borrow_connection().await?;
        let (connection, limit) = borrowed.connection()?;
        let rows = async {
            Ok(match connection {
                Connection::Sqlite(connection) => {
                    let rows = query::<Sqlite>(self).fetch_all(&mut **connection).await?;
                    rows.into_iter().map(|row| Row(DriverRow::Sqlite(row))).collect()
                }
                Connection::Postgres(connection) => {
                    let rows = query::<Postgres>(self).fetch_all(&mut **connection).await?;
                    rows.into_iter().map(|row| Row(DriverRow::Postgres(row))).collect()
                }
            })
        };
        with_timeout(limit, rows).await
    }

    /// Runs the statement; returns the first row of its result, if any.
    ///
    /// # Errors
    /// [`DatabaseError`] if the statement fails or times out.
    pub async fn row(
        self,
        executor: impl Into<Executor<'_>>,
    ) -> Result<Option<Row>, DatabaseError> {
        let mut borrowed = executor.into().borrow_connection().await?;
        let (connection, limit) = borrowed.connection()?;
        let row = async {
            Ok(match connection {
                Connection::Sqlite(connection) => {
                    let row = query::<Sqlite>(self).fetch_optional(&mut **connection).await?;
                    row.map(|row| Row(DriverRow::Sqlite(row)))
                }
                Connection::Postgres(connection) => {
                    let row = query::<Postgres>(self).fetch_optional(&mut **connection).await?;
                    row.map(|row| Row(DriverRow::Postgres(row)))
                }
            })
        };
        with_timeout(limit, row).await
    }

    /// Runs the statement; returns the first column of the first row, if any.
    ///
    /// # Errors
    /// [`DatabaseError`] if the statement fails or times out.
    pub async fn value<T: Column>(
        self,
        executor: impl Into<Executor<'_>>,
    ) -> Result<Option<T>, DatabaseError> {
        self.row(executor).await?.map(|row| row.first()).transpose()
    }

    /// Runs the statement; returns the first column of all rows.
    ///
    /// # Errors
    /// [`DatabaseError`] if the statement fails or times out.
    pub async fn values<T: Column>(
        self,
        executor: impl Into<Executor<'_>>,
    ) -> Result<Vec<T>, DatabaseError> {
        self.rows(executor).await?.iter().map(Row::first).collect()
    }

    /// Runs a statement such as `SELECT COUNT(*) …`; returns its integer result.
    ///
    /// # Errors
    /// [`DatabaseError`] if the statement fails or times out, or there is no row.
    pub async fn number(self, executor: impl Into<Executor<'_>>) -> Result<i64, DatabaseError> {
        Ok(self.value(executor).await?.ok_or(sqlx::Error::RowNotFound)?)
    }
}

fn query<DB: Database>(statement: Statement) -> Query<'static, DB, DB::Arguments>
where
    Option<i64>: Encode<'static, DB> + Type<DB>,
    Option<f64>: Encode<'static, DB> + Type<DB>,
    Option<String>: Encode<'static, DB> + Type<DB>,
    Option<bool>: Encode<'static, DB> + Type<DB>,
    Option<Vec<u8>>: Encode<'static, DB> + Type<DB>,
    Texts: Encode<'static, DB> + Type<DB>,
{
    statement.values.into_iter().fold(sqlx::query(statement.sql), |query, value| match value {
        Value::Integer(value) => query.bind(value),
        Value::Float(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Boolean(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Texts(value) => query.bind(Texts(value)),
    })
}
