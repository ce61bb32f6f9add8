//! Masks of the lookups' sums.
//!
//! A proof has a sum for each table, in the clear: that of the fractions of all its lookups, at
//! challenges that everybody knows. It depends on the table's columns, so it is not hidden by a
//! commitment that hides these. Therefore each table but the first one sends a random message once,
//! and the first one, that of the public values, receives all of them. A message of four random
//! field elements is a random element of the challenges' field, and so is the inverse of its
//! difference from the challenge, which the message adds to the sum of its table and subtracts from
//! that of the first one. All sums together are then random numbers whose sum is zero, whatever the
//! columns are.
//!
//! Soundness does not depend on the masks. Their messages have their own bus, whose challenge
//! differs from those of the other buses, and the number of times that a row sends its message is a
//! fixed column. So a false lookup is as unlikely to pass as without them.

use std::sync::Arc;

use chacha20::ChaCha20Rng;
use p3_field::PrimeCharacteristicRing as _;
use p3_matrix::Matrix as _;
use p3_matrix::dense::RowMajorMatrix;

use super::air::{MASK_FIXED, MASK_WIDTH, Table};
use super::config::{Val, concatenate_columns};

/// Returns the tables with the fixed column of the masks: the first rows of the first table receive
/// the messages that the first row of each other table sends.
pub(super) fn with_mask_counts(tables: &[Table]) -> Vec<Table> {
    let other_table_count = tables.len().saturating_sub(1);
    let masked = tables.iter().enumerate().map(|(index, table)| {
        let (rows, count) =
            if index == 0 { (other_table_count, Val::NEG_ONE) } else { (1, Val::ONE) };
        let fixed = table.fixed.as_ref().map(|fixed| Arc::new(with_count(fixed, rows, count)));
        Table { fixed, is_masked: true, ..table.clone() }
    });
    masked.collect()
}

/// Returns fixed columns after one that has this count in its first rows, and 0 in all others.
fn with_count(fixed: &RowMajorMatrix<Val>, rows: usize, count: Val) -> RowMajorMatrix<Val> {
    let mut counts = Val::zero_vec(fixed.height());
    for value in counts.iter_mut().take(rows) {
        *value = count;
    }
    let counts = RowMajorMatrix::new(counts, MASK_FIXED);
    concatenate_columns(counts.as_view(), fixed.as_view())
}

/// Returns the value columns of all tables with new masks.
pub(super) fn with_masks(
    tables: &[&RowMajorMatrix<Val>],
    rng: &mut ChaCha20Rng,
) -> Vec<RowMajorMatrix<Val>> {
    let other_table_count = tables.len().saturating_sub(1);
    let messages = RowMajorMatrix::<Val>::rand(rng, other_table_count, MASK_WIDTH);
    let sent_rows = messages.values.chunks(MASK_WIDTH);
    let table_values = std::iter::once(messages.values.as_slice()).chain(sent_rows);
    let masked = tables.iter().zip(table_values).map(|(columns, messages)| {
        let mut masks = Val::zero_vec(columns.height() * MASK_WIDTH);
        for (value, &message) in masks.iter_mut().zip(messages) {
            *value = message;
        }
        let masks = RowMajorMatrix::new(masks, MASK_WIDTH);
        concatenate_columns(masks.as_view(), columns.as_view())
    });
    masked.collect()
}
