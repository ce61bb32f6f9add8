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
enum Kind {
    /// Any type: the column is read as text.
    Any,
    Text,
    Integer,
    Float,
    Boolean,
    Time,
}

impl Kind {
    const fn types(self) -> &'static [&'static str] {
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
    columns: &'static [(&'static str, Kind)],
}

/// Tables that an import reads.
pub(super) const IMPORTED: [Table; 4] = [
    Table {
        name: API_KEYS,
        columns: &[
            ("key", Kind::Text),
            ("name", Kind::Text),
            ("balance", Kind::Float),
            ("rate_limit_per_minute", Kind::Integer),
            ("created_at", Kind::Time),
        ],
    },
    Table {
        name: REWARD_DATA,
        columns: &[
            ("id", Kind::Any),
            ("task", Kind::Text),
            ("node_id", Kind::Integer),
            ("quality_score", Kind::Float),
            ("node_hotkey", Kind::Text),
            ("synthetic_query", Kind::Boolean),
            ("response_time", Kind::Float),
            ("volume", Kind::Float),
            ("created_at", Kind::Time),
            ("metric", Kind::Float),
        ],
    },
    Table {
        name: CONTENDERS_HISTORY,
        columns: &[
            ("id", Kind::Any),
            ("node_hotkey", Kind::Text),
            ("node_id", Kind::Integer),
            ("netuid", Kind::Integer),
            ("task", Kind::Text),
            ("raw_capacity", Kind::Float),
            ("capacity", Kind::Float),
            ("capacity_to_score", Kind::Float),
            ("consumed_capacity", Kind::Float),
            ("total_requests_made", Kind::Integer),
            ("requests_429", Kind::Integer),
            ("requests_500", Kind::Integer),
            ("period_score", Kind::Float),
            ("created_at", Kind::Time),
            ("expired_at", Kind::Time),
        ],
    },
    Table { name: NODES, columns: &[("hotkey", Kind::Text), ("netuid", Kind::Integer)] },
];

/// Tables of which no row is imported: name, number of rows, reason.
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
pub(super) async fn tables(
    transaction: &mut Transaction,
) -> Result<HashSet<String>, ReferenceError> {
    let names = statement(
        "SELECT table_name::text AS name FROM information_schema.tables
         WHERE table_schema::text = ANY (current_schemas(false)::text[])",
    );
    let names = names.values::<String>(transaction).await;
    Ok(names.map_err(ReferenceError::Open)?.into_iter().collect())
}

/// Checks that the tables that an import reads exist, with the columns that it reads.
pub(super) async fn check(
    transaction: &mut Transaction,
    tables: &HashSet<String>,
) -> Result<(), ReferenceError> {
    for &Table { name: table, columns } in &IMPORTED {
        if !tables.contains(table) {
            return Err(ReferenceError::Table(table));
        }
        let column_types = types(transaction, table).await?;
        for &(column, kind) in columns {
            let Some(data_type) = column_types.get(column) else {
                return Err(ReferenceError::Column { table, column });
            };
            let types = kind.types();
            if !types.is_empty() && !types.contains(&data_type.as_str()) {
                let (found, expected) = (data_type.clone(), kind.name());
                return Err(ReferenceError::Type { table, column, found, expected });
            }
        }
    }
    Ok(())
}

/// Returns the types of a table's columns by their names.
async fn types(
    transaction: &mut Transaction,
    table: &'static str,
) -> Result<HashMap<String, String>, ReferenceError> {
    let failed = |source| ReferenceError::Read { table, source };
    let columns = statement(
        "SELECT column_name::text AS name, data_type::text AS type FROM information_schema.columns
         WHERE table_schema::text = ANY (current_schemas(false)::text[]) AND table_name::text = $1",
    );
    let rows = columns.bind(table).rows(transaction).await.map_err(failed)?;
    rows.iter()
        .map(|row| Ok((row.get("name").map_err(failed)?, row.get("type").map_err(failed)?)))
        .collect()
}
