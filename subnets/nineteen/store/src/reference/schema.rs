//! Tables of the reference's validator, and the check of those that an import reads.

use std::collections::{HashMap, HashSet};

use taonet_database::{Transaction, statement};

use super::ReferenceError;

/// Names of the tables that an import reads.
pub(super) const API_KEYS: &str = "api_keys";
pub(super) const REWARD_DATA: &str = "reward_data";
pub(super) const CONTENDERS_HISTORY: &str = "contenders_history";
pub(super) const NODES: &str = "nodes";

/// Type of a column, which PostgreSQL may store in several ways.
#[derive(Debug, Clone, Copy)]
enum ColumnType {
    /// Any type: the column is read as text.
    Any,
    Text,
    Integer,
    Float,
    Boolean,
    Time,
}

impl ColumnType {
    const fn accepted_types(self) -> &'static [&'static str] {
        match self {
            Self::Any => &[],
            Self::Text => &["text", "character varying", "character"],
            Self::Integer => &["integer", "bigint", "smallint"],
            Self::Float => &["double precision", "real", "numeric"],
            Self::Boolean => &["boolean"],
            Self::Time => &["timestamp without time zone", "timestamp with time zone"],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Any => "any type",
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Float => "double precision",
            Self::Boolean => "boolean",
            Self::Time => "timestamp",
        }
    }
}

/// A table that an import reads, with the columns that it reads.
pub(super) struct Table {
    pub(super) name: &'static str,
    columns: &'static [(&'static str, ColumnType)],
}

/// Tables that an import reads.
pub(super) const IMPORTED: [Table; 4] = [
    Table {
        name: API_KEYS,
        columns: &[
            ("key", ColumnType::Text),
            ("name", ColumnType::Text),
            ("balance", ColumnType::Float),
            ("rate_limit_per_minute", ColumnType::Integer),
            ("created_at", ColumnType::Time),
        ],
    },
    Table {
        name: REWARD_DATA,
        columns: &[
            ("id", ColumnType::Any),
            ("task", ColumnType::Text),
            ("node_id", ColumnType::Integer),
            ("quality_score", ColumnType::Float),
            ("node_hotkey", ColumnType::Text),
            ("synthetic_query", ColumnType::Boolean),
            ("response_time", ColumnType::Float),
            ("volume", ColumnType::Float),
            ("created_at", ColumnType::Time),
            ("metric", ColumnType::Float),
        ],
    },
    Table {
        name: CONTENDERS_HISTORY,
        columns: &[
            ("id", ColumnType::Any),
            ("node_hotkey", ColumnType::Text),
            ("node_id", ColumnType::Integer),
            ("netuid", ColumnType::Integer),
            ("task", ColumnType::Text),
            ("raw_capacity", ColumnType::Float),
            ("capacity", ColumnType::Float),
            ("capacity_to_score", ColumnType::Float),
            ("consumed_capacity", ColumnType::Float),
            ("total_requests_made", ColumnType::Integer),
            ("requests_429", ColumnType::Integer),
            ("requests_500", ColumnType::Integer),
            ("period_score", ColumnType::Float),
            ("created_at", ColumnType::Time),
            ("expired_at", ColumnType::Time),
        ],
    },
    Table {
        name: NODES,
        columns: &[("hotkey", ColumnType::Text), ("netuid", ColumnType::Integer)],
    },
];

/// Tables of which no row is imported: name, query for the number of rows, reason.
pub(super) const NOT_IMPORTED: [(&str, &str, &str); 7] = [
    (
        "contenders",
        "SELECT COUNT(*) FROM contenders",
        "the open period: its counters are incomplete",
    ),
    ("nodes", "SELECT COUNT(*) FROM nodes", "read from the chain; session keys are exchanged anew"),
    ("tasks", "SELECT COUNT(*) FROM tasks", "unchecked answers, of which new ones are sampled"),
    ("nodes_history", "SELECT COUNT(*) FROM nodes_history", "no effect on weights"),
    ("nodes_weights", "SELECT COUNT(*) FROM nodes_weights", "weights are on the chain"),
    (
        "contenders_weights_stats",
        "SELECT COUNT(*) FROM contenders_weights_stats",
        "`tao nineteen explain` computes them",
    ),
    ("logs", "SELECT COUNT(*) FROM logs", "the reference never writes it"),
];

/// Returns the names of all tables of the database.
pub(super) async fn table_names(
    transaction: &mut Transaction,
) -> Result<HashSet<String>, ReferenceError> {
    let names = statement(
        "SELECT table_name::text AS name FROM information_schema.tables
         WHERE table_schema::text = ANY (current_schemas(false)::text[])",
    );
    let names = names.values::<String>(transaction).await;
    Ok(names.map_err(ReferenceError::open)?.into_iter().collect())
}

/// Checks that the tables that an import reads exist, with the columns that it reads.
pub(super) async fn check_tables(
    transaction: &mut Transaction,
    tables: &HashSet<String>,
) -> Result<(), ReferenceError> {
    for &Table { name: table, columns } in &IMPORTED {
        if !tables.contains(table) {
            return Err(ReferenceError::Table(table));
        }
        let column_types = select_column_types(transaction, table).await?;
        for &(column, kind) in columns {
            let Some(data_type) = column_types.get(column) else {
                return Err(ReferenceError::Column { table, column });
            };
            let accepted_types = kind.accepted_types();
            if !accepted_types.is_empty() && !accepted_types.contains(&data_type.as_str()) {
                let (actual, expected) = (data_type.clone(), kind.name());
                return Err(ReferenceError::Type { table, column, actual, expected });
            }
        }
    }
    Ok(())
}

/// Returns the types of a table's columns by their names.
async fn select_column_types(
    transaction: &mut Transaction,
    table: &'static str,
) -> Result<HashMap<String, String>, ReferenceError> {
    let read_error = |source| ReferenceError::Read { table, source };
    let columns = statement(
        "SELECT column_name::text AS name, data_type::text AS type FROM information_schema.columns
         WHERE table_schema::text = ANY (current_schemas(false)::text[]) AND table_name::text = $1",
    );
    let rows = columns.bind(table).rows(transaction).await.map_err(read_error)?;
    rows.iter()
        .map(|row| Ok((row.get("name").map_err(read_error)?, row.get("type").map_err(read_error)?)))
        .collect()
}
