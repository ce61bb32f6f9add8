#![allow(
    clippy::indexing_slicing,
    reason = "the constructors ensure that every column is below the number of columns"
)]

use std::borrow::Cow;

use super::Matrix;
use crate::fixed::I32F32;
use crate::median::{Median, Vote};

type Entry = (u16, I32F32);

/// A sparse matrix in CSR form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sparse {
    columns: usize,
    /// CSR row offsets into `entries`: the end of each row, where the next one starts.
    row_ends: Vec<usize>,
    entries: Vec<Entry>,
}

impl Sparse {
    fn with_capacity(columns: usize, rows: usize, entries: usize) -> Self {
        Self { columns, row_ends: Vec::with_capacity(rows), entries: Vec::with_capacity(entries) }
    }

    fn row_entries(&self, row: usize) -> &[Entry] {
        let Some(&end) = self.row_ends.get(row) else { return &[] };
        let start = if row == 0 { 0 } else { self.row_ends[row - 1] };
        &self.entries[start..end]
    }

    /// Returns the entries of a row, sorted by column.
    fn sorted_row(&self, row: usize) -> Cow<'_, [Entry]> {
        let entries = self.row_entries(row);
        if entries.is_sorted_by_key(|&(column, _)| column) {
            return Cow::Borrowed(entries);
        }
        let mut entries = entries.to_vec();
        entries.sort_unstable_by_key(|&(column, _)| column);
        Cow::Owned(entries)
    }

    fn end_row(&mut self) {
        self.row_ends.push(self.entries.len());
    }

    fn push_positive(&mut self, column: u16, entry: I32F32) {
        if entry > I32F32::ZERO {
            self.entries.push((column, entry));
        }
    }

    /// Returns the positive entries of a row.
    fn positive_entries(&self, row: usize) -> impl Iterator<Item = (usize, I32F32)> {
        self.row_entries(row)
            .iter()
            .filter(|&&(_, score)| score > I32F32::ZERO)
            .map(|&(column, score)| (usize::from(column), score))
    }
}

impl Matrix for Sparse {
    fn from_rows<R: IntoIterator<Item = Entry>>(
        columns: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        let mut matrix = Self::with_capacity(columns, columns, 0);
        for row in rows {
            matrix
                .entries
                .extend(row.into_iter().filter(|&(column, _)| usize::from(column) < columns));
            matrix.end_row();
        }
        matrix
    }

    fn rows(&self) -> usize {
        self.row_ends.len()
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn row(&self, row: usize) -> impl Iterator<Item = Entry> {
        self.row_entries(row).iter().copied()
    }

    fn map(&self, mut change: impl FnMut(usize, usize, I32F32) -> Option<I32F32>) -> Self {
        let mut changed = Self::with_capacity(self.columns, self.rows(), self.entries.len());
        for row in 0..self.rows() {
            let entries = self.row_entries(row).iter();
            changed.entries.extend(entries.filter_map(|&(column, entry)| {
                change(row, column.into(), entry).map(|entry| (column, entry))
            }));
            changed.end_row();
        }
        changed
    }

    fn merge(&self, other: &Self, mut combine: impl FnMut(I32F32, I32F32) -> I32F32) -> Self {
        let capacity = self.entries.len().max(other.entries.len());
        let mut merged = Self::with_capacity(self.columns, self.rows(), capacity);
        for row in 0..self.rows() {
            let (left, right) = (self.sorted_row(row), other.sorted_row(row));
            let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
            loop {
                let column = match (left.peek(), right.peek()) {
                    (Some(&&(a, _)), Some(&&(b, _))) => a.min(b),
                    (Some(&&(column, _)), None) | (None, Some(&&(column, _))) => column,
                    (None, None) => break,
                };
                let left = left.next_if(|&&(entry_column, _)| entry_column == column);
                let right = right.next_if(|&&(entry_column, _)| entry_column == column);
                let [a, b] =
                    [left, right].map(|entry| entry.map_or(I32F32::ZERO, |&(_, entry)| entry));
                merged.push_positive(column, combine(a, b));
            }
            merged.end_row();
        }
        merged
    }

    fn merge_present(
        &self,
        other: &Self,
        mut combine: impl FnMut(usize, usize, I32F32, I32F32) -> I32F32,
    ) -> Self {
        let mut merged = Self::with_capacity(self.columns, self.rows(), self.entries.len());
        let mut other_row = vec![I32F32::ZERO; self.columns.max(other.columns)];
        for row in 0..self.rows() {
            for (column, entry) in other.row(row) {
                other_row[usize::from(column)] = entry;
            }
            for (column, entry) in self.row(row) {
                let combined = combine(row, column.into(), entry, other_row[usize::from(column)]);
                merged.push_positive(column, combined);
            }
            for (column, _) in other.row(row) {
                other_row[usize::from(column)] = I32F32::ZERO;
            }
            merged.end_row();
        }
        merged
    }

    /// Sorts only the positive entries of a column: all other stake votes for zero, the smallest
    /// value.
    fn weighted_medians(&self, stake: &[I32F32], minority: I32F32) -> Vec<I32F32> {
        let total: I32F32 = stake.iter().sum();
        let staked_rows = stake.iter().enumerate().filter(|&(_, &stake)| stake > I32F32::ZERO);
        // Votes are counted, then placed by column (counting sort): the offset of a column's next
        // vote ends up as the end of the column.
        let mut offsets = vec![0_usize; self.columns];
        for (row, _) in staked_rows.clone() {
            for (column, _) in self.positive_entries(row) {
                offsets[column] += 1;
            }
        }
        let mut count = 0;
        for offset in &mut offsets {
            count += *offset;
            *offset = count - *offset;
        }
        let mut votes = vec![Vote { score: I32F32::ZERO, stake: I32F32::ZERO }; count];
        for (row, &stake) in staked_rows {
            for (column, score) in self.positive_entries(row) {
                votes[offsets[column]] = Vote { score, stake };
                offsets[column] += 1;
            }
        }
        let mut median = Median::default();
        let mut start = 0;
        offsets
            .into_iter()
            .map(|end| {
                let votes = &votes[std::mem::replace(&mut start, end)..end];
                let zero_stake = total - votes.iter().map(|vote| vote.stake).sum();
                if votes.is_empty() || (zero_stake > I32F32::ZERO && minority < zero_stake) {
                    I32F32::ZERO
                } else {
                    median.find(votes.iter().copied(), minority, zero_stake, total)
                }
            })
            .collect()
    }
}
