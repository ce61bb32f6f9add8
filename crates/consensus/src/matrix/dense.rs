#![allow(clippy::indexing_slicing, reason = "the constructors create rows × columns entries")]

use super::Matrix;
use crate::fixed::I32F32;
use crate::median::{Median, Vote};

/// A matrix that stores every entry; absent entries are zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dense {
    rows: usize,
    columns: usize,
    entries: Vec<I32F32>,
}

impl Dense {
    /// Iterates over positions and entries in row-major order.
    fn cells(&self) -> impl Iterator<Item = (usize, usize, I32F32)> {
        let columns = self.columns.max(1);
        self.entries
            .iter()
            .enumerate()
            .map(move |(index, &entry)| (index / columns, index % columns, entry))
    }

    fn with_entries(&self, entries: Vec<I32F32>) -> Self {
        Self { entries, ..*self }
    }

    fn entry_at(&self, row: usize, column: usize) -> I32F32 {
        if row < self.rows && column < self.columns {
            self.entries[row * self.columns + column]
        } else {
            I32F32::ZERO
        }
    }
}

impl Matrix for Dense {
    fn from_rows<R: IntoIterator<Item = (u16, I32F32)>>(
        columns: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Self {
        let mut matrix = Self { rows: 0, columns, entries: Vec::new() };
        for row in rows {
            let start = matrix.entries.len();
            matrix.entries.resize(start + columns, I32F32::ZERO);
            for (column, entry) in row {
                if usize::from(column) < columns {
                    matrix.entries[start + usize::from(column)] = entry;
                }
            }
            matrix.rows += 1;
        }
        matrix
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the nonzero entries of a row; empty for a row outside the matrix.
    fn row(&self, row: usize) -> impl Iterator<Item = (u16, I32F32)> {
        let start = row.min(self.rows) * self.columns;
        let end = (row + 1).min(self.rows) * self.columns;
        let entries = self.entries[start..end].iter().enumerate();
        entries
            .filter(|&(_, &entry)| entry != I32F32::ZERO)
            .map(|(column, &entry)| (column as u16, entry))
    }

    fn map(&self, mut change: impl FnMut(usize, usize, I32F32) -> Option<I32F32>) -> Self {
        let changed =
            self.cells().map(|(row, column, entry)| change(row, column, entry).unwrap_or_default());
        self.with_entries(changed.collect())
    }

    fn merge(&self, other: &Self, mut combine: impl FnMut(I32F32, I32F32) -> I32F32) -> Self {
        self.merge_present(other, |_, _, entry, other_entry| combine(entry, other_entry))
    }

    fn merge_present(
        &self,
        other: &Self,
        mut combine: impl FnMut(usize, usize, I32F32, I32F32) -> I32F32,
    ) -> Self {
        let merged = self
            .cells()
            .map(|(row, column, entry)| combine(row, column, entry, other.entry_at(row, column)));
        self.with_entries(merged.map(|entry| entry.max(I32F32::ZERO)).collect())
    }

    fn weighted_medians(&self, stake: &[I32F32], minority: I32F32) -> Vec<I32F32> {
        let total: I32F32 = stake.iter().sum();
        let staked_rows = stake.iter().enumerate().filter(|&(_, &stake)| stake > I32F32::ZERO);
        let mut median = Median::default();
        (0..self.columns)
            .map(|column| {
                let votes = staked_rows
                    .clone()
                    .map(|(row, &stake)| Vote { score: self.entry_at(row, column), stake });
                median.find(votes, minority, I32F32::ZERO, total)
            })
            .collect()
    }
}
