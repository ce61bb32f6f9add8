//! Layout of products of polynomials: the coefficients of outputs and inputs, and the kernels.

use p3_field::PrimeCharacteristicRing as _;
use p3_matrix::dense::RowMajorMatrix;
use taonet_proof_core::circuit::{Cell, Linear, MatrixProduct, Stage};

use super::super::air::{KERNEL_FIXED, OPERAND_FIXED, POLYNOMIAL_FIXED, TableKind, Tile};
use super::super::config::Val;
use super::super::projection::{COEFFICIENTS_PER_ROW, MAX_GAPS, WEIGHTS_PER_ROW, is_bounded};
use super::equations::{
    Equation, EquationInput, KernelWeights, PolynomialStage, Tap, form_with_kernels, gaps,
    matrix_equations, matrix_rows, polynomial_saving,
};
use super::{KeyFormat, PlanBuilder};
use crate::BackendError;

/// Products of polynomials, as the prover needs them to fill the value columns.
#[derive(Debug, Default)]
pub(in super::super) struct PolynomialPlan {
    pub(in super::super) products: Vec<Product>,
    /// Differences of power between two taps of a kernel.
    pub(in super::super) gaps: Vec<u32>,
}

/// An equation between polynomials: each output is the sum of all inputs, each times its kernel for
/// this output.
#[derive(Debug)]
pub(in super::super) struct Product {
    /// Number of coefficients of an output.
    pub(in super::super) length: usize,
    /// First row of each output.
    pub(in super::super) outputs: Vec<usize>,
    pub(in super::super) inputs: Vec<Input>,
}

/// An input of a product with its kernels.
#[derive(Debug)]
pub(in super::super) struct Input {
    /// First row of the input.
    pub(in super::super) row: usize,
    /// Number of coefficients.
    pub(in super::super) length: usize,
    pub(in super::super) kernel: Kernel,
}

/// Kernels of an input, one for each output.
#[derive(Debug)]
pub(in super::super) enum Kernel {
    /// Fixed weights: taps from the highest power on.
    Taps(Vec<Tap>),
    /// Weights in the operands table, from this row on.
    Operand(usize),
}

/// Coefficient of a polynomial.
#[derive(Clone, Copy)]
enum Coefficient {
    /// An output of the product that its convolution does not have, or padding before the first
    /// coefficient.
    Free,
    /// A value that the row reads from memory.
    Read(u32),
    /// A value that the row writes to memory.
    Written(u32),
}

/// End of a polynomial.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RowEnd {
    /// The polynomial continues in the next row.
    None,
    Output,
    /// The input of this kernel.
    Input(u32),
}

/// A row of the polynomials table.
struct Row {
    coefficients: [Coefficient; COEFFICIENTS_PER_ROW],
    end: RowEnd,
    /// Whether a product starts.
    is_start: bool,
}

/// A row of the kernels table.
struct KernelRow {
    weights: Vec<i32>,
    /// Index of the gap after a tap; `None` if the tap continues in the next row.
    gap: Option<usize>,
    /// The kernel that ends with this row.
    end: Option<u32>,
}

/// A row of the operands table.
struct OperandRow {
    weights: [Coefficient; COEFFICIENTS_PER_ROW],
    /// Whether a kernel starts.
    is_start: bool,
    /// The kernel that ends with this row.
    end: Option<u32>,
}

/// Tables of polynomials and kernels under construction.
#[derive(Default)]
pub(super) struct Polynomials {
    /// Minimum number of rows of a table.
    min_rows: usize,
    /// Whether the kernels table has more rows than all other tables.
    kernels_dominate: bool,
    rows: Vec<Row>,
    kernels: Vec<KernelRow>,
    operands: Vec<OperandRow>,
    /// Number of kernels, fixed ones and operands.
    kernel_count: u32,
    plan: PolynomialPlan,
}

impl Polynomials {
    pub(super) fn new(format: KeyFormat) -> Self {
        let (min_rows, kernels_dominate) = (format.min_rows(), format.is_bounded());
        Self { min_rows, kernels_dominate, ..Self::default() }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len().max(self.kernels.len()).max(self.operands.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of fixed columns' values, given the tables' rows.
    pub(super) fn value_count(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let [rows, kernels, operands] = self.heights();
        let operands = if self.operands.is_empty() { 0 } else { operands };
        POLYNOMIAL_FIXED * rows
            + (KERNEL_FIXED + self.plan.gaps.len()) * kernels
            + OPERAND_FIXED * operands
    }

    fn heights(&self) -> [usize; 3] {
        [self.rows.len(), self.kernels.len(), self.operands.len()]
            .map(|needed| super::padded_rows(needed, self.min_rows))
    }

    /// Appends the rows of a polynomial, given its coefficients by power.
    fn push_polynomial(
        &mut self,
        coefficients: &[Coefficient],
        padding: Coefficient,
        end: RowEnd,
        is_start: bool,
    ) -> usize {
        let first = self.rows.len();
        let count = coefficients.len().div_ceil(COEFFICIENTS_PER_ROW);
        for row in (0..count).rev() {
            self.rows.push(Row {
                coefficients: row_of(coefficients, padding, row),
                end: if row == 0 { end } else { RowEnd::None },
                is_start: is_start && row + 1 == count,
            });
        }
        first
    }

    /// Appends a kernel and returns its number.
    fn push_kernel(&mut self, taps: &[Tap]) -> u32 {
        let kernel = self.kernel_count;
        self.kernel_count += 1;
        let gaps = gaps(taps.iter().map(|tap| tap.power));
        for (index, (tap, gap)) in taps.iter().zip(gaps).enumerate() {
            let gap = self.plan.gaps.iter().position(|&other| other == gap);
            // The last block is full, so that the last weight has the power 0.
            let count = tap.weights.len().div_ceil(WEIGHTS_PER_ROW).max(1);
            let padding = count * WEIGHTS_PER_ROW - tap.weights.len();
            let padded: Vec<i32> =
                std::iter::repeat_n(0, padding).chain(tap.weights.iter().copied()).collect();
            for (block, weights) in padded.chunks(WEIGHTS_PER_ROW).enumerate() {
                let is_last = block + 1 == count;
                self.kernels.push(KernelRow {
                    weights: weights.to_vec(),
                    gap: gap.filter(|_| is_last),
                    end: (is_last && index + 1 == taps.len()).then_some(kernel),
                });
            }
        }
        kernel
    }

    /// Appends a kernel of cells, given their coefficients by power; returns its number and its
    /// first row.
    fn push_operand(&mut self, weights: &[Coefficient]) -> (u32, usize) {
        let (kernel, first) = (self.kernel_count, self.operands.len());
        self.kernel_count += 1;
        let count = weights.len().div_ceil(COEFFICIENTS_PER_ROW);
        for row in (0..count).rev() {
            self.operands.push(OperandRow {
                weights: row_of(weights, Coefficient::Read(0), row),
                is_start: row + 1 == count,
                end: (row == 0).then_some(kernel),
            });
        }
        (kernel, first)
    }

    /// Returns the form of a stage, and adds its gaps; `None` if the stage is cheaper in tiles,
    /// or has more gaps than the kernels table has room for.
    pub(super) fn choose_form<'a>(
        &mut self,
        linear: &'a Linear,
        tile: Tile,
    ) -> Option<PolynomialStage<'a>> {
        let form = if self.kernels_dominate {
            form_with_kernels(linear, tile)
        } else {
            polynomial_saving(linear, tile).and_then(|_| PolynomialStage::of(linear))
        };
        form.filter(|form| self.add_gaps(&form.gaps()))
    }

    /// Adds gaps to those of earlier kernels, unless there would be more than [`MAX_GAPS`]. Their
    /// order is that of the key and of the columns of the kernels table: part of format 4.
    fn add_gaps(&mut self, gaps: &[u32]) -> bool {
        let mut merged_gaps = self.plan.gaps.clone();
        for gap in gaps {
            if !merged_gaps.contains(gap) {
                if merged_gaps.len() == MAX_GAPS {
                    return false;
                }
                merged_gaps.push(*gap);
            }
        }
        self.plan.gaps = merged_gaps;
        true
    }

    /// Returns the fixed columns of all tables, and what the prover needs.
    pub(super) fn finish(
        self,
        reads: &[u32],
    ) -> (Vec<(TableKind, RowMajorMatrix<Val>)>, PolynomialPlan) {
        let mut tables = vec![
            (TableKind::Polynomials, self.polynomial_columns(reads)),
            (TableKind::Kernels { gaps: self.plan.gaps.len() }, self.kernel_columns()),
        ];
        if !self.operands.is_empty() {
            tables.push((TableKind::Operands, self.operand_columns(reads)));
        }
        (tables, self.plan)
    }

    fn polynomial_columns(&self, reads: &[u32]) -> RowMajorMatrix<Val> {
        let [height, ..] = self.heights();
        let mut values = Val::zero_vec(height * POLYNOMIAL_FIXED);
        for (row, columns) in self.rows.iter().zip(values.chunks_mut(POLYNOMIAL_FIXED)) {
            let (addresses, remaining) = columns.split_at_mut(COEFFICIENTS_PER_ROW);
            let (counts, flags) = remaining.split_at_mut(COEFFICIENTS_PER_ROW);
            set_addresses(&row.coefficients, addresses, counts, reads);
            let kernel = if let RowEnd::Input(kernel) = row.end { kernel } else { 0 };
            let ends = [
                row.end == RowEnd::None,
                row.end == RowEnd::Output,
                matches!(row.end, RowEnd::Input(_)),
                row.is_start,
            ];
            for (flag, value) in
                flags.iter_mut().zip(ends.map(u32::from).into_iter().chain([kernel]))
            {
                *flag = Val::from_u32(value);
            }
        }
        // The first row after the last product checks its balance.
        if let Some(start) = values
            .get_mut(self.rows.len() % height * POLYNOMIAL_FIXED + 2 * COEFFICIENTS_PER_ROW + 3)
        {
            *start = Val::ONE;
        }
        RowMajorMatrix::new(values, POLYNOMIAL_FIXED)
    }

    fn operand_columns(&self, reads: &[u32]) -> RowMajorMatrix<Val> {
        let [.., height] = self.heights();
        let mut values = Val::zero_vec(height * OPERAND_FIXED);
        for (row, columns) in self.operands.iter().zip(values.chunks_mut(OPERAND_FIXED)) {
            let (addresses, remaining) = columns.split_at_mut(COEFFICIENTS_PER_ROW);
            let (counts, flags) = remaining.split_at_mut(COEFFICIENTS_PER_ROW);
            set_addresses(&row.weights, addresses, counts, reads);
            if let Some(start) = flags.first_mut() {
                *start = Val::from_bool(row.is_start);
            }
        }
        for (index, row) in self.operands.iter().enumerate() {
            // The row after the last one of a kernel reports it.
            let flags = values
                .get_mut((index + 1) % height * OPERAND_FIXED + 2 * COEFFICIENTS_PER_ROW + 1..);
            if let (Some(kernel), Some([reports, number, ..])) = (row.end, flags) {
                (*reports, *number) = (Val::ONE, Val::from_u32(kernel));
            }
        }
        RowMajorMatrix::new(values, OPERAND_FIXED)
    }

    fn kernel_columns(&self) -> RowMajorMatrix<Val> {
        let [_, height, _] = self.heights();
        let width = KERNEL_FIXED + self.plan.gaps.len();
        let mut values = Val::zero_vec(height * width);
        let mut set_value = |row: usize, column: usize, value: Val| {
            if let Some(current) = values.get_mut(row % height * width + column) {
                *current = value;
            }
        };
        for (index, row) in self.kernels.iter().enumerate() {
            for (column, &weight) in row.weights.iter().enumerate() {
                set_value(index, column, Val::from_i32(weight));
            }
            set_value(index, row.gap.map_or(WEIGHTS_PER_ROW, |gap| KERNEL_FIXED + gap), Val::ONE);
            if let Some(kernel) = row.end {
                set_value(index + 1, WEIGHTS_PER_ROW + 1, Val::ONE);
                set_value(index + 1, WEIGHTS_PER_ROW + 2, Val::from_u32(kernel));
            }
        }
        RowMajorMatrix::new(values, width)
    }
}

/// Returns a row's coefficients, given all coefficients by power. The last row has the lowest
/// powers.
fn row_of(
    coefficients: &[Coefficient],
    padding: Coefficient,
    row: usize,
) -> [Coefficient; COEFFICIENTS_PER_ROW] {
    std::array::from_fn(|column| {
        let power = row * COEFFICIENTS_PER_ROW + COEFFICIENTS_PER_ROW - 1 - column;
        coefficients.get(power).copied().unwrap_or(padding)
    })
}

/// Sets the addresses and counts of a row's coefficients.
fn set_addresses(
    coefficients: &[Coefficient],
    addresses: &mut [Val],
    counts: &mut [Val],
    reads: &[u32],
) {
    for ((coefficient, address), count) in coefficients.iter().zip(addresses).zip(counts) {
        match *coefficient {
            Coefficient::Free => {}
            Coefficient::Read(from) => (*address, *count) = (Val::from_u32(from), Val::ONE),
            Coefficient::Written(to) => {
                let reads = reads.get(to as usize).copied().unwrap_or_default();
                (*address, *count) = (Val::from_u32(to), -Val::from_u32(reads));
            }
        }
    }
}

impl PlanBuilder {
    /// Appends products of matrices and returns the address of each sum.
    pub(super) fn matrix_sums(
        &mut self,
        stage: &Stage,
        product: &MatrixProduct,
    ) -> Result<Vec<u32>, BackendError> {
        if !self.method.format.has_polynomials() {
            return Err(BackendError::OtherCircuit("the key's format has no products of matrices"));
        }
        let [rows, operands] = matrix_rows(product);
        self.spend(rows * POLYNOMIAL_FIXED + operands * OPERAND_FIXED)?;
        let mut sums = vec![None; stage.count];
        for equation in matrix_equations(product) {
            self.add_equation(equation, &mut sums)?;
        }
        let sums: Option<Vec<u32>> = sums.into_iter().collect();
        sums.ok_or_else(|| BackendError::Internal("a sum without a polynomial".to_owned()))
    }

    /// Appends a stage as products of polynomials and returns the address of each sum; `None` if it
    /// is cheaper in tiles, or has more gaps than the kernels table has room for.
    pub(super) fn polynomial_sums(
        &mut self,
        stage: &Stage,
        linear: &Linear,
    ) -> Result<Option<Vec<u32>>, BackendError> {
        let Some(form) = self.polynomials.choose_form(linear, self.products.tile()) else {
            return Ok(None);
        };
        let size = form.size(linear);
        self.spend(size.rows * POLYNOMIAL_FIXED + size.kernels * KERNEL_FIXED)?;
        let mut sums = vec![None; stage.count];
        for equation in form.equations(linear) {
            self.add_equation(equation, &mut sums)?;
        }
        let sums: Option<Vec<u32>> = sums.into_iter().collect();
        sums.map(Some)
            .ok_or_else(|| BackendError::Internal("a sum without a polynomial".to_owned()))
    }

    /// Appends an equation, and sets the address of each of its sums.
    fn add_equation(
        &mut self,
        equation: Equation,
        sums: &mut [Option<u32>],
    ) -> Result<(), BackendError> {
        if !is_bounded(equation.length, equation.outputs.len()) {
            return Err(BackendError::Internal("the degree of an equation is too high".to_owned()));
        }
        let mut outputs = Vec::with_capacity(equation.outputs.len());
        for output in &equation.outputs {
            let mut coefficients = vec![Coefficient::Free; equation.length];
            for &(index, power) in output {
                let address = self.allocate();
                if let (Some(sum), Some(coefficient)) =
                    (sums.get_mut(index as usize), coefficients.get_mut(power))
                {
                    (*sum, *coefficient) = (Some(address), Coefficient::Written(address));
                }
            }
            let is_start = outputs.is_empty();
            outputs.push(self.polynomials.push_polynomial(
                &coefficients,
                Coefficient::Free,
                RowEnd::Output,
                is_start,
            ));
        }
        let mut inputs = Vec::with_capacity(equation.inputs.len());
        for EquationInput { length, cells, kernel } in equation.inputs {
            let coefficients = self.read_coefficients(length, &cells)?;
            let (number, kernel) = match kernel {
                KernelWeights::Fixed(taps) => {
                    (self.polynomials.push_kernel(&taps), Kernel::Taps(taps))
                }
                KernelWeights::Cells(cells) => {
                    let powers = (0..cells.len()).rev();
                    let weights = self.read_coefficients(
                        cells.len(),
                        &cells.into_iter().zip(powers).collect::<Vec<_>>(),
                    )?;
                    let (kernel, row) = self.polynomials.push_operand(&weights);
                    (kernel, Kernel::Operand(row))
                }
            };
            let row = self.polynomials.push_polynomial(
                &coefficients,
                Coefficient::Read(0),
                RowEnd::Input(number),
                false,
            );
            inputs.push(Input { row, length, kernel });
        }
        self.polynomials.plan.products.push(Product { length: equation.length, outputs, inputs });
        Ok(())
    }

    /// Reads cells as coefficients of these powers. Coefficients without a cell are zero, as is the
    /// padding before them: they read the zero at address 0.
    fn read_coefficients(
        &mut self,
        length: usize,
        cells: &[(Cell, usize)],
    ) -> Result<Vec<Coefficient>, BackendError> {
        let mut addresses = vec![0; length.next_multiple_of(COEFFICIENTS_PER_ROW)];
        for &(cell, power) in cells {
            let from = self.address(cell)?;
            if let Some(address) = addresses.get_mut(power) {
                *address = from;
            }
        }
        for &address in &addresses {
            self.count_read(address);
        }
        Ok(addresses.into_iter().map(Coefficient::Read).collect())
    }
}
