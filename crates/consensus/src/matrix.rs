//! Sparse and dense matrices from validators (rows) to neurons (columns).
//!
//! The chain implements the epoch in both forms; production runs the sparse one. Here the algorithm
//! is written once over [`Matrix`], and the two forms differ only in their entries: [`Sparse`]
//! distinguishes an absent entry from zero, [`Dense`] does not.

mod dense;
mod sparse;

pub use dense::Dense;
pub use sparse::Sparse;

use crate::fixed::I32F32;

/// The matrix operations of an epoch. Row and column numbers are uids.
///
/// Rows passed to [`Self::from_rows`] may list their columns in any order, without duplicates.
pub trait Matrix: Clone + Sized {
    /// Creates a matrix with `columns` columns from rows of column numbers and entries. Entries
    /// whose column number is `columns` or more are dropped.
    fn from_rows<R: IntoIterator<Item = (u16, I32F32)>>(
        columns: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Self;

    /// Returns the number of rows.
    fn rows(&self) -> usize;

    /// Returns the number of columns.
    fn columns(&self) -> usize;

    /// Returns the entries of a row; empty for a row outside the matrix.
    fn row(&self, row: usize) -> impl Iterator<Item = (u16, I32F32)>;

    /// Maps every entry through `change(row, column, entry)`; `None` removes it.
    #[must_use]
    fn map(&self, change: impl FnMut(usize, usize, I32F32) -> Option<I32F32>) -> Self;

    /// Combines the entries of both matrices by `combine(self entry, other entry)`, in ascending
    /// column order, with zero for an absent entry. Results that are not positive are dropped.
    #[must_use]
    fn merge(&self, other: &Self, combine: impl FnMut(I32F32, I32F32) -> I32F32) -> Self;

    /// Combines the entries of this matrix with those of another by `combine(row, column, self
    /// entry, other entry)`, in this matrix's order. [`Sparse`] drops entries that are only in
    /// `other`; [`Dense`] combines them with zero. Results that are not positive are dropped.
    #[must_use]
    fn merge_present(
        &self,
        other: &Self,
        combine: impl FnMut(usize, usize, I32F32, I32F32) -> I32F32,
    ) -> Self;

    /// Returns the stake-weighted median of every column: the smallest entry at which the
    /// cumulative stake exceeds `minority`. Rows without stake have no vote; an absent entry of a
    /// voting row is a vote for zero.
    fn weighted_medians(&self, stake: &[I32F32], minority: I32F32) -> Vec<I32F32>;

    /// Sums `value(row, column, entry)` over each row.
    fn fold_rows(&self, mut value: impl FnMut(usize, usize, I32F32) -> I32F32) -> Vec<I32F32> {
        (0..self.rows())
            .map(|row| self.row(row).map(|(column, entry)| value(row, column.into(), entry)).sum())
            .collect()
    }

    /// Folds `value(row, column, entry)` over each column with `fold`, starting from zero.
    fn fold_columns(
        &self,
        mut value: impl FnMut(usize, usize, I32F32) -> I32F32,
        fold: impl Fn(I32F32, I32F32) -> I32F32,
    ) -> Vec<I32F32> {
        let mut folded = vec![I32F32::ZERO; self.columns()];
        for row in 0..self.rows() {
            for (column, entry) in self.row(row) {
                if let Some(slot) = folded.get_mut(usize::from(column)) {
                    *slot = fold(*slot, value(row, column.into(), entry));
                }
            }
        }
        folded
    }

    /// Divides each row by its sum; a row of zeros is unchanged.
    #[must_use]
    fn normalize_rows(&self) -> Self {
        let sums = self.fold_rows(|_, _, entry| entry);
        self.map(|row, _, entry| Some(share(entry, sums.get(row))))
    }

    /// Divides each column by its sum; a column of zeros is unchanged.
    #[must_use]
    fn normalize_columns(&self) -> Self {
        let sums = self.fold_columns(|_, _, entry| entry, |a, b| a + b);
        self.map(|_, column, entry| Some(share(entry, sums.get(column))))
    }

    /// Divides each column by its largest entry; a column of zeros is unchanged.
    #[must_use]
    fn upscale_columns(&self) -> Self {
        let largest = self.fold_columns(|_, _, entry| entry, I32F32::max);
        self.map(|_, column, entry| Some(share(entry, largest.get(column))))
    }

    /// Clips the entries of each column to the column's limit in `limits`. An entry clipped to zero
    /// is removed.
    #[must_use]
    fn clip_columns(&self, limits: &[I32F32]) -> Self {
        self.map(|_, column, entry| match limits.get(column) {
            Some(&limit) if limit < entry => (limit > I32F32::ZERO).then_some(limit),
            _ => Some(entry),
        })
    }

    /// Interpolates between two matrices: self + ratio · (other − self). Entries that are not
    /// positive are dropped.
    #[must_use]
    fn interpolate(&self, other: &Self, ratio: I32F32) -> Self {
        self.merge(other, |entry, other| entry + ratio * (other - entry))
    }

    /// Computes the moving average α · self + (1 − α) · old.
    #[must_use]
    fn average(&self, old: &Self, alpha: I32F32) -> Self {
        let decay = I32F32::ONE - alpha;
        self.merge(old, |new, old| alpha * new + decay * old)
    }

    /// Computes the moving average with a separate α for each entry, from `alpha(row, column, new,
    /// old)`. Results are clamped to 0..=1.
    #[must_use]
    fn average_by(
        &self,
        old: &Self,
        mut alpha: impl FnMut(usize, usize, I32F32, I32F32) -> I32F32,
    ) -> Self {
        self.merge_present(old, |row, column, new, old| {
            let alpha = alpha(row, column, new, old);
            let increase = (alpha * new).max(I32F32::ZERO);
            ((I32F32::ONE - alpha) * old + increase).min(I32F32::ONE)
        })
    }
}

fn share(entry: I32F32, total: Option<&I32F32>) -> I32F32 {
    match total {
        Some(&total) if total != I32F32::ZERO => entry / total,
        _ => entry,
    }
}
