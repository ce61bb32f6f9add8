use sqlx::query::Query;
use sqlx::{Database, Encode, Postgres, SqlSafeStr, SqlStr, Sqlite, Type};

use crate::connection::{Connection, within};
use crate::row::Found;
use crate::{Column, DatabaseError, On, Row};

/// A value of a statement. It can be a secret, and has no `Debug`.
#[derive(Clone)]
pub enum Value {
    /// `BIGINT`
    Integer(Option<i64>),
    /// `DOUBLE PRECISION`
    Float(Option<f64>),
    /// `TEXT`
    Text(Option<String>),
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

values!(i64 => Integer, f64 => Float, String => Text, &str => Text, &String => Text);

/// A statement with its values `$1`, `$2`, ….
#[derive(Clone)]
#[must_use = "a statement does nothing until it runs"]
pub struct Statement {
    sql: SqlStr,
    values: Vec<Value>,
}

/// Creates a statement that both databases understand.
pub fn statement(sql: impl SqlSafeStr) -> Statement {
    Statement { sql: sql.into_sql_str(), values: Vec::new() }
}

impl Statement {
    /// Adds the next value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs the statement; returns the number of changed rows.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn execute(self, on: impl Into<On<'_>>) -> Result<u64, DatabaseError> {
        let mut lent = on.into().lend().await?;
        let (connection, limit) = lent.connection()?;
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
        within(limit, changed).await
    }

    /// Returns all rows.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn rows(self, on: impl Into<On<'_>>) -> Result<Vec<Row>, DatabaseError> {
        let mut lent = on.into().lend().await?;
        let (connection, limit) = lent.connection()?;
        let rows = async {
            Ok(match connection {
                Connection::Sqlite(connection) => {
                    let rows = query::<Sqlite>(self).fetch_all(&mut **connection).await?;
                    rows.into_iter().map(|row| Row(Found::Sqlite(row))).collect()
                }
                Connection::Postgres(connection) => {
                    let rows = query::<Postgres>(self).fetch_all(&mut **connection).await?;
                    rows.into_iter().map(|row| Row(Found::Postgres(row))).collect()
                }
            })
        };
        within(limit, rows).await
    }

    /// Returns the first row, if any.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn row(self, on: impl Into<On<'_>>) -> Result<Option<Row>, DatabaseError> {
        let mut lent = on.into().lend().await?;
        let (connection, limit) = lent.connection()?;
        let row = async {
            Ok(match connection {
                Connection::Sqlite(connection) => {
                    let row = query::<Sqlite>(self).fetch_optional(&mut **connection).await?;
                    row.map(|row| Row(Found::Sqlite(row)))
                }
                Connection::Postgres(connection) => {
                    let row = query::<Postgres>(self).fetch_optional(&mut **connection).await?;
                    row.map(|row| Row(Found::Postgres(row)))
                }
            })
        };
        within(limit, row).await
    }

    /// Returns the first column of the first row, if any.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn value<T: Column>(self, on: impl Into<On<'_>>) -> Result<Option<T>, DatabaseError> {
        self.row(on).await?.map(|row| row.first()).transpose()
    }

    /// Returns the first column of all rows.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub async fn values<T: Column>(self, on: impl Into<On<'_>>) -> Result<Vec<T>, DatabaseError> {
        self.rows(on).await?.iter().map(Row::first).collect()
    }

    /// Returns the number that a statement such as `SELECT COUNT(*) …` yields.
    ///
    /// # Errors
    /// [`DatabaseError`], also if there is no row.
    pub async fn number(self, on: impl Into<On<'_>>) -> Result<i64, DatabaseError> {
        Ok(self.value(on).await?.ok_or(sqlx::Error::RowNotFound)?)
    }
}

fn query<DB: Database>(statement: Statement) -> Query<'static, DB, DB::Arguments>
where
    Option<i64>: Encode<'static, DB> + Type<DB>,
    Option<f64>: Encode<'static, DB> + Type<DB>,
    Option<String>: Encode<'static, DB> + Type<DB>,
{
    statement.values.into_iter().fold(sqlx::query(statement.sql), |query, value| match value {
        Value::Integer(value) => query.bind(value),
        Value::Float(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    })
}
