//! Multiply-adds in tiles: each row multiplies values with a matrix of weights and adds the
//! products to sums.

use std::collections::{HashMap, HashSet};

use p3_field::PrimeCharacteristicRing as _;
use p3_matrix::dense::RowMajorMatrix;
use taonet_proof_core::circuit::{Cell, Job, Linear, Stage};

use super::super::air::Tile;
use super::super::config::Val;
use super::PlanBuilder;
use crate::BackendError;

/// Rows of the products table under construction.
pub(super) struct Products {
    tile: Tile,
    rows: Vec<Row>,
}

/// A row of the products table.
struct Row {
    addresses: Vec<u32>,
    /// For each input, the weights of all outputs.
    weights: Vec<i32>,
    /// Address of the first sum.
    first_sum: u32,
    /// Number of sums that the row adds to.
    outputs: usize,
    /// Whether the sums are complete after this row.
    is_last: bool,
}

/// Jobs that share rows: the cells that they read, and the weights of each sum by cell.
struct Block {
    cells: Vec<Cell>,
    positions: HashMap<Cell, usize>,
    /// Stage outputs, each with its weights as pairs of a cell's position and a weight.
    outputs: Vec<(u32, Vec<(usize, i32)>)>,
}

impl Block {
    fn of(linear: &Linear, jobs: &[Job]) -> Self {
        let mut block = Self { cells: Vec::new(), positions: HashMap::new(), outputs: Vec::new() };
        for job in jobs {
            let Some(kernel) = linear.kernels.get(job.kernel) else { continue };
            let positions: Vec<usize> =
                job.taps.iter().map(|tap| block.add_cell(tap.cell)).collect();
            for (row, &output) in job.outputs.iter().enumerate() {
                let weights = kernel.row(row);
                let weights_by_position =
                    job.taps.iter().zip(&positions).filter_map(|(tap, &position)| {
                        weights
                            .get(tap.slot as usize)
                            .filter(|&&weight| weight != 0)
                            .map(|&weight| (position, weight))
                    });
                block.outputs.push((output, weights_by_position.collect()));
            }
        }
        block
    }

    /// Returns the position of a cell, which is added unless the block has it.
    fn add_cell(&mut self, cell: Cell) -> usize {
        let next = self.cells.len();
        let position = *self.positions.entry(cell).or_insert(next);
        if position == next {
            self.cells.push(cell);
        }
        position
    }

    fn rows(&self, tile: Tile) -> usize {
        tile.rows(self.cells.len(), self.outputs.len())
    }
}

impl Products {
    pub(super) const fn new(tile: Tile) -> Self {
        Self { tile, rows: Vec::new() }
    }

    pub(super) const fn tile(&self) -> Tile {
        self.tile
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Returns the number of reads of the zero at address 0, padding rows included.
    pub(super) fn zero_reads(&self, rows: usize) -> usize {
        let nonzero_reads: usize = self.rows.iter().map(|row| row.addresses.len()).sum();
        rows * self.tile.inputs - nonzero_reads
    }

    /// Returns the fixed columns.
    pub(super) fn finish(self, reads: &[u32], rows: usize) -> RowMajorMatrix<Val> {
        let tile = self.tile;
        let width = tile.fixed_width();
        let mut values = Val::zero_vec(rows * width);
        for (row, columns) in self.rows.iter().zip(values.chunks_mut(width)) {
            let (addresses, remaining) = columns.split_at_mut(tile.inputs);
            let (weights, remaining) = remaining.split_at_mut(tile.inputs * tile.outputs);
            let (first, remaining) = remaining.split_at_mut(1);
            let (counts, carry) = remaining.split_at_mut(tile.outputs);
            for (column, &address) in addresses.iter_mut().zip(&row.addresses) {
                *column = Val::from_u32(address);
            }
            for (column, &weight) in weights.iter_mut().zip(&row.weights) {
                *column = Val::from_i32(weight);
            }
            first.fill(Val::from_u32(row.first_sum));
            if row.is_last {
                let sums = reads.iter().skip(row.first_sum as usize).take(row.outputs);
                for (column, &count) in counts.iter_mut().zip(sums) {
                    *column = Val::from_u32(count);
                }
            } else {
                carry.fill(Val::ONE);
            }
        }
        RowMajorMatrix::new(values, width)
    }
}

impl PlanBuilder {
    /// Appends the rows of a stage and returns the address of each sum.
    pub(super) fn add_tiled_products(
        &mut self,
        stage: &Stage,
        linear: &Linear,
    ) -> Result<Vec<u32>, BackendError> {
        let tile = self.products.tile;
        let jobs_per_block = jobs_per_block(linear, tile);
        let mut sums = vec![None; stage.count];
        for jobs in linear.jobs.chunks(jobs_per_block) {
            let block = Block::of(linear, jobs);
            self.spend(block.rows(tile) * tile.fixed_width())?;
            let addresses = block
                .cells
                .iter()
                .map(|&cell| self.address(cell))
                .collect::<Result<Vec<_>, _>>()?;
            for outputs in block.outputs.chunks(tile.outputs) {
                let mut first_sum = None;
                for (output, _) in outputs {
                    let address = self.allocate();
                    first_sum.get_or_insert(address);
                    if let Some(sum) = sums.get_mut(*output as usize) {
                        *sum = Some(address);
                    }
                }
                self.push_rows(&addresses, outputs, first_sum.unwrap_or_default());
            }
        }
        let sums: Option<Vec<u32>> = sums.into_iter().collect();
        sums.ok_or_else(|| BackendError::Internal("a sum without a job".to_owned()))
    }

    /// Appends the rows of sums at consecutive addresses, the first of which is `first_sum`.
    fn push_rows(
        &mut self,
        addresses: &[u32],
        outputs: &[(u32, Vec<(usize, i32)>)],
        first_sum: u32,
    ) {
        let tile = self.products.tile;
        let count = addresses.len().div_ceil(tile.inputs).max(1);
        for index in 0..count {
            let start = index * tile.inputs;
            let slice: Vec<u32> = addresses.iter().skip(start).take(tile.inputs).copied().collect();
            let mut weights = vec![0; tile.inputs * tile.outputs];
            for (output, (_, weighted)) in outputs.iter().enumerate() {
                for &(position, weight) in weighted {
                    let slot = position.checked_sub(start).filter(|&slot| slot < tile.inputs);
                    let entry = slot.and_then(|slot| weights.get_mut(slot * tile.outputs + output));
                    if let Some(entry) = entry {
                        *entry += weight;
                    }
                }
            }
            for &address in &slice {
                self.count_read(address);
            }
            let is_last = index + 1 == count;
            self.products.rows.push(Row {
                addresses: slice,
                weights,
                first_sum,
                outputs: outputs.len(),
                is_last,
            });
        }
    }
}

/// Returns the number of jobs that share rows, chosen so that the stage has the fewest rows.
/// Sharing pays off because neighbouring positions of a convolution read mostly the same cells. The
/// choice is part of formats 3 and 4.
fn jobs_per_block(linear: &Linear, tile: Tile) -> usize {
    let outputs = linear.jobs.first().map_or(1, |job| job.outputs.len().max(1));
    let maximum = (tile.outputs / outputs).min(linear.jobs.len()).max(1);
    let cost = |jobs_per_block: usize| {
        let (rows, jobs) = sampled_rows(linear, tile, jobs_per_block);
        rows as f64 / jobs.max(1) as f64
    };
    (1..=maximum).min_by(|&a, &b| cost(a).total_cmp(&cost(b))).unwrap_or(1)
}

/// Returns the number of rows of a stage's first jobs, and the number of these jobs.
fn sampled_rows(linear: &Linear, tile: Tile, jobs_per_block: usize) -> (usize, usize) {
    let length = (8 * jobs_per_block.max(1)).min(linear.jobs.len());
    let sample = linear.jobs.get(..length).unwrap_or_default();
    (sample.chunks(jobs_per_block).map(|jobs| rows_of(linear, jobs, tile)).sum(), sample.len())
}

/// Returns the number of rows of a [`Block`] of these jobs, without the weights, of which a
/// language model has many millions.
fn rows_of(linear: &Linear, jobs: &[Job], tile: Tile) -> usize {
    let (mut cells, mut outputs) = (HashSet::new(), 0);
    for job in jobs.iter().filter(|job| job.kernel < linear.kernels.len()) {
        cells.extend(job.taps.iter().map(|tap| tap.cell));
        outputs += job.outputs.len();
    }
    tile.rows(cells.len(), outputs)
}

/// Returns the relative cost of proving a stage in tiles: about the number of value columns, those
/// of the lookups included, and a third of that of fixed columns. Which stages are products of
/// polynomials depends on it, so it is part of format 4.
pub(super) fn tile_cost(linear: &Linear, tile: Tile) -> usize {
    let (rows, jobs) = sampled_rows(linear, tile, jobs_per_block(linear, tile));
    let columns = tile.width() + 2 * (tile.inputs + tile.outputs) + 12 + tile.fixed_width() / 3;
    rows * linear.jobs.len() / jobs.max(1) * columns
}
