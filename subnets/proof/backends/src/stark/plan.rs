//! Layout of a circuit in tables: the address of each value, and the fixed columns.

mod equations;
mod functions;
mod geometry;
mod method;
mod polynomials;
mod products;

use std::sync::Arc;

use p3_field::{PrimeCharacteristicRing as _, PrimeField32 as _};
use p3_matrix::dense::RowMajorMatrix;
use taonet_proof_core::circuit::{
    Circuit, Linear, MatrixProduct, Max, Product, Stage, StageKind, Table as ValueTable,
};
use taonet_proof_core::{MemoryBudget, Range, Rescale};

use super::air::{
    ACTIVATION_FIXED, ACTIVATION_LANES, INPUT_FIXED, MAX_FIXED, MAX_LANES, MULTIPLICATION_FIXED,
    Table, TableKind, ZERO_FUNCTION,
};
use super::config::Val;
use super::projection::Powers;
use crate::BackendError;
use functions::Functions;
pub(super) use functions::{FunctionTable, check_quotients};
pub(super) use method::{KeyFormat, Method};
use polynomials::Polynomials;
pub(super) use polynomials::{Input, Kernel, PolynomialPlan, Product as PolynomialProduct};
use products::Products;

/// Maximum magnitude of a sum: both signs are below half of the field.
pub(super) const MAX_MAGNITUDE: u64 = (Val::ORDER_U32 / 2) as u64;

/// Memory of each value in a fixed column, in bytes, when a key is computed: a field element, its
/// copy for the commitment, and two elements of its codeword. The layout takes less, and is dropped
/// before.
const COLUMN_BYTES: u64 = 16;
/// The same for a key whose proofs hide the value columns: a field element, two copies, of which
/// one has twice the rows, and eight elements of its codeword.
const HIDING_COLUMN_BYTES: u64 = 48;

/// Location of a cell's value in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct CellLocation {
    pub(super) address: u32,
    /// Difference between the cell's value and the value at the address.
    pub(super) bias: i64,
}

/// Tables with their fixed columns, and the layout that the prover needs to fill the value columns.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tables: Vec<Table>,
    pub(super) method: Method,
    pub(super) functions: FunctionTable,
    pub(super) polynomials: PolynomialPlan,
    /// Location of each cell's value.
    pub(super) locations: Vec<CellLocation>,
    /// Stage and output of each activation.
    pub(super) activations: Vec<(u32, u32)>,
    /// Number of addresses.
    pub(super) addresses: usize,
    /// Base-two logarithm of each table's rows.
    pub(super) log_rows: Vec<usize>,
}

/// Fixed columns under construction.
struct PlanBuilder {
    /// Read count of each address.
    reads: Vec<u32>,
    /// Location of each cell's value.
    locations: Vec<CellLocation>,
    /// Whether each cell is read by a stage, not only as an output.
    is_read_by_stage: Vec<bool>,
    method: Method,
    products: Products,
    polynomials: Polynomials,
    /// Fixed columns of activations, with the address in place of the read count.
    activations: Vec<[i64; ACTIVATION_FIXED]>,
    /// Stage and output of each activation.
    activation_sources: Vec<(u32, u32)>,
    /// Number of stages laid out so far.
    stage_count: u32,
    maxima: Vec<[i64; MAX_FIXED]>,
    multiplications: Vec<[i64; MULTIPLICATION_FIXED]>,
    functions: Functions,
    /// Memory of the circuit and the fixed columns, whose number of rows depends on the sizes of
    /// tensors and windows.
    memory: MemoryBudget,
    /// Number of values in fixed columns so far.
    value_count: u64,
}

impl Plan {
    /// Lays out a circuit for a new key.
    pub(super) fn new(circuit: &Circuit) -> Result<Self, BackendError> {
        Self::with_method(circuit, Method::new(circuit))
    }

    /// Lays out a circuit for a new key whose proofs hide the value columns.
    pub(super) fn hiding(circuit: &Circuit) -> Result<Self, BackendError> {
        Self::with_method(circuit, Method::hiding(circuit))
    }

    /// Lays out a circuit for a new key whose proofs hide the value columns and the inputs.
    pub(super) fn hiding_inputs(circuit: &Circuit) -> Result<Self, BackendError> {
        Self::with_method(circuit, Method::hiding_inputs(circuit))
    }

    /// Lays out a circuit with the method of an existing key. The rest of the layout follows from
    /// the circuit and the method, and is part of the key's format: this function never changes for
    /// the methods of released keys.
    pub(super) fn with_method(circuit: &Circuit, method: Method) -> Result<Self, BackendError> {
        let magnitude = circuit.magnitude();
        if magnitude >= MAX_MAGNITUDE {
            return Err(BackendError::Magnitude { magnitude, limit: MAX_MAGNITUDE });
        }
        let mut builder = PlanBuilder::new(circuit, method)?;
        for stage in &circuit.stages {
            builder.add_stage(stage)?;
        }
        builder.finish(circuit, method)
    }
}

impl Plan {
    /// Returns the fixed columns of a table.
    pub(super) fn fixed_columns(
        &self,
        has_kind: fn(&TableKind) -> bool,
    ) -> Option<&RowMajorMatrix<Val>> {
        self.tables
            .iter()
            .find(|table| has_kind(&table.kind))
            .and_then(|table| table.fixed.as_deref())
    }
}

impl PlanBuilder {
    fn new(circuit: &Circuit, method: Method) -> Result<Self, BackendError> {
        let mut is_read_by_stage = vec![false; circuit.cells()];
        for stage in &circuit.stages {
            let mut mark_read = |cell: u32| {
                if let Some(read) = is_read_by_stage.get_mut(cell as usize) {
                    *read = true;
                }
            };
            match &stage.kind {
                StageKind::Linear(linear) => {
                    linear
                        .jobs
                        .iter()
                        .flat_map(|job| &job.taps)
                        .for_each(|tap| mark_read(tap.cell));
                }
                StageKind::Max(max) => {
                    max.groups.iter().flatten().for_each(|&cell| mark_read(cell));
                }
                // In bounded formats, a table adds the bias of its cells itself.
                StageKind::Table(_) if method.format.is_bounded() => {}
                StageKind::Table(table) => table.cells.iter().for_each(|&cell| mark_read(cell)),
                StageKind::Product(product) => {
                    product.pairs.iter().flatten().for_each(|&cell| mark_read(cell));
                }
                StageKind::MatrixProduct(product) => {
                    product.a.iter().chain(&product.b).for_each(|&cell| mark_read(cell));
                }
            }
        }
        // Address 0 holds a zero, followed by the inputs.
        let locations =
            (1..=circuit.inputs as u32).map(|address| CellLocation { address, bias: 0 }).collect();
        Ok(Self {
            reads: vec![0; circuit.inputs + 1],
            locations,
            is_read_by_stage,
            method,
            products: Products::new(method.tile),
            polynomials: Polynomials::new(method.format),
            activations: Vec::new(),
            activation_sources: Vec::new(),
            stage_count: 0,
            maxima: Vec::new(),
            multiplications: Vec::new(),
            functions: Functions::new(circuit, method.format)?,
            memory: circuit.memory.clone(),
            value_count: 0,
        })
    }

    /// Charges the memory of values in fixed columns, before they are allocated. The columns of the
    /// function table are not counted: its number of entries has its own limit.
    fn spend(&mut self, values: usize) -> Result<(), BackendError> {
        self.value_count += values as u64;
        let bytes =
            if self.method.format.hides_values() { HIDING_COLUMN_BYTES } else { COLUMN_BYTES };
        Ok(self.memory.spend(bytes * values as u64)?)
    }

    fn allocate(&mut self) -> u32 {
        self.reads.push(0);
        self.reads.len() as u32 - 1
    }

    /// Counts a read of an address.
    fn count_read(&mut self, address: u32) {
        if let Some(count) = self.reads.get_mut(address as usize) {
            *count += 1;
        }
    }

    /// Returns the address of a cell that a stage reads.
    fn address(&self, cell: u32) -> Result<u32, BackendError> {
        match self.locations.get(cell as usize) {
            Some(CellLocation { address, bias: 0 }) => Ok(*address),
            _ => Err(BackendError::Internal(format!("cell {cell} has no address"))),
        }
    }

    /// Returns the location of a cell that a table reads.
    fn argument_location(&self, cell: u32) -> Result<CellLocation, BackendError> {
        match self.locations.get(cell as usize) {
            Some(&location) if self.method.format.is_bounded() => Ok(location),
            _ => Ok(CellLocation { address: self.address(cell)?, bias: 0 }),
        }
    }

    fn add_stage(&mut self, stage: &Stage) -> Result<(), BackendError> {
        match &stage.kind {
            StageKind::Linear(linear) => self.add_linear(stage, linear)?,
            StageKind::Max(max) => self.add_max(max)?,
            StageKind::Table(table) => self.add_table(table)?,
            StageKind::Product(product) => self.add_product(product)?,
            StageKind::MatrixProduct(product) => self.add_matrix_product(stage, product)?,
        }
        self.stage_count += 1;
        let activations = self.activations.len().div_ceil(ACTIVATION_LANES);
        let maxima = self.maxima.len().div_ceil(MAX_LANES);
        let rows =
            self.products.rows().max(activations).max(maxima).max(self.multiplications.len());
        self.check_rows(rows.max(self.polynomials.rows()))
    }

    /// Rejects a table with more rows than the method permits.
    fn check_rows(&self, rows: usize) -> Result<(), BackendError> {
        let limit = self.method.format.max_rows();
        if rows > limit {
            return Err(BackendError::Size {
                quantity: "rows of a table",
                actual: rows as u64,
                limit: limit as u64,
            });
        }
        Ok(())
    }

    fn add_linear(&mut self, stage: &Stage, linear: &Linear) -> Result<(), BackendError> {
        let sums = if self.method.format.has_polynomials() {
            self.polynomial_sums(stage, linear)?
        } else {
            None
        };
        let sums = sums.map_or_else(|| self.add_tiled_products(stage, linear), Ok)?;
        for (index, (&sum, &bias)) in sums.iter().zip(&linear.bias).enumerate() {
            let is_read_by_stage = self
                .is_read_by_stage
                .get(stage.first as usize + index)
                .copied()
                .unwrap_or_default();
            let location = match linear.rescale {
                None if bias == 0 || !is_read_by_stage => CellLocation { address: sum, bias },
                _ => self.add_rescaled(index, sum, bias, linear.rescale.as_ref(), &linear.sums)?,
            };
            self.locations.push(location);
        }
        Ok(())
    }

    /// Appends the activation of a sum without its bias.
    fn add_rescaled(
        &mut self,
        index: usize,
        sum: u32,
        bias: i64,
        rescale: Option<&Rescale>,
        sums: &Range,
    ) -> Result<CellLocation, BackendError> {
        self.spend(ACTIVATION_FIXED)?;
        let (quotient, remainder, divisor, half) =
            self.functions.rescale_functions(rescale, sums)?;
        Ok(self.add_activation(
            index,
            sum,
            [bias + half, divisor, quotient.into(), remainder.into()],
        ))
    }

    /// Appends an activation, given the addend, the divisor, and the functions of quotient and
    /// remainder.
    fn add_activation(
        &mut self,
        index: usize,
        sum: u32,
        [addend, divisor, quotient, remainder]: [i64; 4],
    ) -> CellLocation {
        let address = self.allocate();
        self.count_read(sum);
        let (sum, address_value) = (i64::from(sum), i64::from(address));
        self.activations.push([
            sum,
            addend,
            divisor,
            quotient,
            remainder,
            address_value,
            address_value,
        ]);
        self.activation_sources.push((self.stage_count, index as u32));
        CellLocation { address, bias: 0 }
    }

    /// Looks up the value of each cell: an activation whose quotient is the cell, without a
    /// remainder.
    fn add_table(&mut self, table: &ValueTable) -> Result<(), BackendError> {
        let function = self.functions.add_table(table)?;
        for (index, &cell) in table.cells.iter().enumerate() {
            self.spend(ACTIVATION_FIXED)?;
            let CellLocation { address, bias } = self.argument_location(cell)?;
            let columns = [bias, 1, function.into(), ZERO_FUNCTION.into()];
            let location = self.add_activation(index, address, columns);
            self.locations.push(location);
        }
        Ok(())
    }

    fn add_product(&mut self, product: &Product) -> Result<(), BackendError> {
        for (index, &[a, b]) in product.pairs.iter().enumerate() {
            self.spend(MULTIPLICATION_FIXED)?;
            let (a, b) = (self.address(a)?, self.address(b)?);
            let address = self.allocate();
            self.count_read(a);
            self.count_read(b);
            self.multiplications.push([a, b, address, address].map(i64::from));
            let location = match &product.rescale {
                None => CellLocation { address, bias: 0 },
                rescale => self.add_rescaled(index, address, 0, rescale.as_ref(), &product.sums)?,
            };
            self.locations.push(location);
        }
        Ok(())
    }

    fn add_matrix_product(
        &mut self,
        stage: &Stage,
        product: &MatrixProduct,
    ) -> Result<(), BackendError> {
        for (index, address) in self.matrix_sums(stage, product)?.into_iter().enumerate() {
            let location = match &product.rescale {
                None => CellLocation { address, bias: 0 },
                rescale => self.add_rescaled(index, address, 0, rescale.as_ref(), &product.sums)?,
            };
            self.locations.push(location);
        }
        Ok(())
    }

    fn add_max(&mut self, max: &Max) -> Result<(), BackendError> {
        for group in &max.groups {
            let mut addresses = group
                .iter()
                .map(|&cell| self.address(cell))
                .collect::<Result<Vec<_>, _>>()?
                .into_iter();
            let mut larger = addresses
                .next()
                .ok_or_else(|| BackendError::Internal("an empty group".to_owned()))?;
            for other in addresses {
                self.spend(MAX_FIXED)?;
                let address = self.allocate();
                self.count_read(larger);
                self.count_read(other);
                self.maxima.push([larger, other, address, address].map(i64::from));
                larger = address;
            }
            self.locations.push(CellLocation { address: larger, bias: 0 });
        }
        Ok(())
    }

    fn finish(mut self, circuit: &Circuit, method: Method) -> Result<Plan, BackendError> {
        let Method { tile, format } = method;
        let format = format.for_layout(!self.polynomials.is_empty());
        let rows = |needed: usize| padded_rows(needed, format.min_rows());
        let public_inputs = if format.hides_inputs() { 0 } else { circuit.inputs };
        let mut public: Vec<[i64; 3]> = (0..=public_inputs as u32)
            .map(i64::from)
            .map(|address| [address, 0, address])
            .collect();
        let written_rows = public.len();
        for &cell in &circuit.outputs {
            let location = self.locations.get(cell as usize).copied();
            let location = location
                .ok_or_else(|| BackendError::Internal("an output has no address".to_owned()))?;
            self.count_read(location.address);
            public.push([i64::from(location.address), location.bias, 1]);
        }
        self.check_rows(public.len())?;
        let inputs = self.hidden_inputs(circuit)?;
        self.check_rows(inputs.len())?;
        // Padding reads the zero at address 0.
        let product_rows = rows(self.products.rows());
        let lanes = |count: usize, lanes: usize| rows(count.div_ceil(lanes)) * lanes;
        let activations = lanes(self.activations.len(), ACTIVATION_LANES);
        // A circuit without maxima and products has neither table. The number of tables says which
        // ones a circuit has, so one with products has a table of maxima, too.
        let has_products = !self.multiplications.is_empty();
        let has_maxima = has_products || !self.maxima.is_empty();
        let maxima = if has_maxima { lanes(self.maxima.len(), MAX_LANES) } else { 0 };
        let multiplications = if has_products { rows(self.multiplications.len()) } else { 0 };
        let public_rows = rows(public.len());
        let input_rows = if inputs.is_empty() { 0 } else { rows(inputs.len()) };
        let value_count = 3 * public_rows
            + INPUT_FIXED * input_rows
            + tile.fixed_width() * product_rows
            + ACTIVATION_FIXED * activations
            + MAX_FIXED * maxima
            + MULTIPLICATION_FIXED * multiplications
            + self.polynomials.value_count();
        self.spend(value_count - self.value_count as usize)?;
        let zero_reads = self.products.zero_reads(product_rows)
            + (activations - self.activations.len())
            + 2 * (maxima - self.maxima.len())
            + 2 * (multiplications - self.multiplications.len());
        if let Some(count) = self.reads.first_mut() {
            *count += zero_reads as u32;
        }
        for row in public.iter_mut().take(written_rows) {
            // An input is written as often as it is read; the count of a write is negative.
            row[2] = -self.read_count(row[2]);
        }
        let padding_lane = [0, 0, 1, i64::from(ZERO_FUNCTION), i64::from(ZERO_FUNCTION), 0, 0];
        let activation_lanes =
            padded_lanes(self.activations, &self.reads, activations, padding_lane);
        let max_lanes = padded_lanes(self.maxima, &self.reads, maxima, [0; MAX_FIXED]);
        let multiplication_lanes = padded_lanes(
            self.multiplications,
            &self.reads,
            multiplications,
            [0; MULTIPLICATION_FIXED],
        );
        let input_lanes =
            padded_lanes(inputs, &self.reads, input_rows, [0, i64::from(ZERO_FUNCTION), 0]);
        public.resize(public_rows, [0; 3]);
        let functions = self.functions.finish(format.min_rows());
        let products = self.products.finish(&self.reads, product_rows);
        let mut tables = vec![
            new_table(TableKind::Public, flatten(&public)),
            Table::new(TableKind::Products(tile), Some(Arc::new(products))),
            new_table(TableKind::Activations, flatten(&activation_lanes)),
            new_table(TableKind::Functions, functions.columns()),
        ];
        if !input_lanes.is_empty() {
            tables.push(new_table(TableKind::Inputs, flatten(&input_lanes)));
        }
        if has_maxima {
            tables.push(new_table(TableKind::Maxima, flatten(&max_lanes)));
        }
        if has_products {
            tables.push(new_table(TableKind::Multiplications, flatten(&multiplication_lanes)));
        }
        let mut polynomials = PolynomialPlan::default();
        if !self.polynomials.is_empty() {
            let (columns, plan) = self.polynomials.finish(&self.reads);
            let powers = Some(Arc::new(Powers::placeholder(&plan.gaps)));
            tables.extend(columns.into_iter().map(|(kind, fixed)| Table {
                powers: powers.clone(),
                ..Table::new(kind, Some(Arc::new(fixed)))
            }));
            polynomials = plan;
        }
        let log_rows = tables
            .iter()
            .map(|table| table.fixed.as_ref().map_or(0, |fixed| log_height(fixed)))
            .collect();
        Ok(Plan {
            tables,
            method: Method { tile, format },
            functions,
            polynomials,
            locations: self.locations,
            activations: self.activation_sources,
            addresses: self.reads.len(),
            log_rows,
        })
    }

    /// Returns the fixed columns of hidden inputs, with the address in place of the read count;
    /// none if inputs are public.
    fn hidden_inputs(
        &mut self,
        circuit: &Circuit,
    ) -> Result<Vec<[i64; INPUT_FIXED]>, BackendError> {
        if !self.method.format.hides_inputs() {
            return Ok(Vec::new());
        }
        let range = i64::from(self.functions.add_input_check(circuit.input_range)?);
        let addresses = (1..=circuit.inputs as u32).map(i64::from);
        Ok(addresses.map(|address| [address, range, address]).collect())
    }

    /// Returns the read count of an address.
    fn read_count(&self, address: i64) -> i64 {
        self.reads.get(address as usize).copied().map_or(0, i64::from)
    }
}

/// Replaces the address at the end of each lane by the address's read count, and appends idle
/// lanes.
fn padded_lanes<const N: usize>(
    mut lanes: Vec<[i64; N]>,
    reads: &[u32],
    length: usize,
    padding_lane: [i64; N],
) -> Vec<[i64; N]> {
    for lane in &mut lanes {
        if let Some(last) = lane.last_mut() {
            *last = reads.get(*last as usize).copied().map_or(0, i64::from);
        }
    }
    lanes.resize(length, padding_lane);
    lanes
}

/// Returns the number of rows of a table: a power of two, and at least the given minimum.
fn padded_rows(needed: usize, min: usize) -> usize {
    needed.next_power_of_two().max(min)
}

fn log_height(matrix: &RowMajorMatrix<Val>) -> usize {
    (matrix.values.len() / matrix.width.max(1)).trailing_zeros() as usize
}

fn flatten<const N: usize>(rows: &[[i64; N]]) -> Vec<Val> {
    rows.iter().flatten().map(|&value| Val::from_i64(value)).collect()
}

fn new_table(kind: TableKind, values: Vec<Val>) -> Table {
    let fixed = RowMajorMatrix::new(values, kind.fixed_width());
    Table::new(kind, Some(Arc::new(fixed)))
}
