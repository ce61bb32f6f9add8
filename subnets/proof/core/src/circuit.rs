//! Circuits: networks as flat stages over memory cells, run by the executor and translated to
//! constraints by every backend.

mod execute;

pub use execute::{Execution, ExecutionError};

use crate::network::Matrices;
use crate::{MemoryBudget, Range, Rescale, Shape, Window};

/// Index of a memory cell. The inputs are the cells `0..inputs`; each stage writes the cells after
/// those of the previous stages, and each cell is written once.
pub type Cell = u32;

/// A network lowered to stages over memory cells.
#[derive(Clone, Debug)]
pub struct Circuit {
    /// Number of input cells.
    pub inputs: usize,
    /// Interval of every input value.
    pub input_range: Range,
    /// Steps, each of which reads cells that are already written.
    pub stages: Vec<Stage>,
    /// Cells of the output, in order.
    pub outputs: Vec<Cell>,
    /// Memory of the circuit when it is executed. Backends add that of their tables or constraints.
    pub memory: MemoryBudget,
}

/// One step of a circuit: writes `count` cells from `first` on.
#[derive(Clone, Debug)]
pub struct Stage {
    /// First cell that the stage writes.
    pub first: Cell,
    /// Number of cells that the stage writes.
    pub count: usize,
    /// Interval of every value written.
    pub range: Range,
    /// Operation of the stage.
    pub kind: StageKind,
}

/// Operation of a stage.
#[derive(Clone, Debug)]
pub enum StageKind {
    /// Weighted sums of cells, optionally rescaled.
    Linear(Linear),
    /// The maximum of each group of cells.
    Max(Max),
    /// A function of each cell.
    Table(Table),
    /// Products of two cells, optionally rescaled.
    Product(Product),
    /// Products of matrices of cells, optionally rescaled.
    MatrixProduct(MatrixProduct),
}

/// Weighted sums: dense layers, convolutions, average pools and additions.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Weight matrices, each of which several jobs can apply.
    pub kernels: Vec<Kernel>,
    /// Applications of the kernels to cells.
    pub jobs: Vec<Job>,
    /// Constant added to each sum, one for each cell of the stage.
    pub bias: Vec<i64>,
    /// Conversion of sums to activations; without it, sums are written unchanged.
    pub rescale: Option<Rescale>,
    /// Interval of every sum, bias included.
    pub sums: Range,
    /// The convolution that the jobs compute, if they compute one.
    pub convolution: Option<Convolution>,
}

/// Structure of a convolution: which cells its windows cover. Backends that prove a convolution as
/// a whole read it, the others read the jobs.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// Extents of the input.
    pub input: Shape,
    /// The cell of each element of the input, by channel, row and column.
    pub cells: Vec<Cell>,
    /// Kernel, stride and padding.
    pub window: Window,
    /// Number of rows and columns of the output.
    pub output: [usize; 2],
}

/// A weight matrix: one row for each output, one column for each slot.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Number of columns.
    pub slots: usize,
    /// Weights, row by row.
    pub weights: Vec<i32>,
}

/// Application of a kernel: cells are assigned to its slots, and each row contributes to a sum.
#[derive(Clone, Debug)]
pub struct Job {
    /// Index of the kernel.
    pub kernel: usize,
    /// Cells and their slots. Slots without a cell are zero: padding.
    pub taps: Vec<Tap>,
    /// Index of the sum to which each row of the kernel contributes, counted from the stage's first
    /// cell.
    pub outputs: Vec<u32>,
}

/// A cell assigned to a slot of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The cell that the job reads.
    pub cell: Cell,
    /// Column of the kernel.
    pub slot: u32,
}

/// Max pooling: each output is the maximum of its group's cells.
#[derive(Clone, Debug)]
pub struct Max {
    /// Cells of each group: at least one.
    pub groups: Vec<Vec<Cell>>,
    /// Interval of every cell in the groups.
    pub operands: Range,
}

/// A function of one variable, given by its values: each output is the value for one cell.
#[derive(Clone, Debug)]
pub struct Table {
    /// The cell that each output reads.
    pub cells: Vec<Cell>,
    /// Interval of every cell read.
    pub arguments: Range,
    /// The function's value for each argument, in order. No other argument has a value.
    pub values: Vec<i32>,
}

/// Products: each output is the product of two cells.
#[derive(Clone, Debug)]
pub struct Product {
    /// The two cells of each product.
    pub pairs: Vec<[Cell; 2]>,
    /// Conversion of products to activations; without it, products are written unchanged.
    pub rescale: Option<Rescale>,
    /// Interval of every product.
    pub sums: Range,
}

/// Products of matrices: for each pair of matrices, all sums of products of a row with a column.
#[derive(Clone, Debug)]
pub struct MatrixProduct {
    /// Cells of the first matrices, one after the other, row by row.
    pub a: Vec<Cell>,
    /// Cells of the second matrices, one after the other, row by row.
    pub b: Vec<Cell>,
    /// Sizes of the matrices.
    pub sizes: Matrices,
    /// Conversion of sums to activations; without it, sums are written unchanged.
    pub rescale: Option<Rescale>,
    /// Interval of every sum.
    pub sums: Range,
}

impl StageKind {
    /// Returns the conversion of the stage's sums to activations; `None` if they are written
    /// unchanged, or the stage has no sums.
    pub fn rescale(&self) -> Option<Rescale> {
        match self {
            Self::Linear(Linear { rescale, .. })
            | Self::Product(Product { rescale, .. })
            | Self::MatrixProduct(MatrixProduct { rescale, .. }) => *rescale,
            Self::Max(_) | Self::Table(_) => None,
        }
    }
}

impl MatrixProduct {
    /// Returns the cells whose products add up to an output, in pairs.
    pub fn pairs(&self, output: usize) -> impl Iterator<Item = [Cell; 2]> {
        let Matrices { rows, inner, columns, .. } = self.sizes;
        let (row, column) = (output / columns.max(1), output % columns.max(1));
        let first = row / rows.max(1) * inner;
        let cell = |cells: &[Cell], index: usize| cells.get(index).copied().unwrap_or_default();
        (0..inner).map(move |step| {
            [cell(&self.a, row * inner + step), cell(&self.b, (first + step) * columns + column)]
        })
    }

    /// Returns the number of outputs.
    pub fn outputs(&self) -> usize {
        self.sizes.count * self.sizes.rows * self.sizes.columns
    }
}

impl Table {
    /// Returns the function's value; `None` if the argument is outside of its interval.
    pub fn value(&self, argument: i64) -> Option<i64> {
        let index = usize::try_from(argument.checked_sub(self.arguments.low)?).ok()?;
        self.values.get(index).copied().map(i64::from)
    }
}

impl Linear {
    /// Returns the number of multiply-adds of one execution.
    pub fn multiply_adds(&self) -> u64 {
        self.jobs.iter().map(|job| job.taps.len() as u64 * job.outputs.len() as u64).sum()
    }
}

impl Kernel {
    /// Returns the weights of one output.
    pub fn row(&self, output: usize) -> &[i32] {
        self.weights.get(output * self.slots..(output + 1) * self.slots).unwrap_or_default()
    }
}

impl Circuit {
    /// Returns the number of memory cells.
    pub fn cells(&self) -> usize {
        self.inputs + self.stages.iter().map(|stage| stage.count).sum::<usize>()
    }

    /// Returns the number of multiply-adds of one execution.
    pub fn multiply_adds(&self) -> u64 {
        let counts = self.stages.iter().map(|stage| match &stage.kind {
            StageKind::Linear(linear) => linear.multiply_adds(),
            StageKind::Product(product) => product.pairs.len() as u64,
            StageKind::MatrixProduct(product) => product.sizes.multiply_adds(),
            StageKind::Max(_) | StageKind::Table(_) => 0,
        });
        counts.sum()
    }

    /// Returns the interval of every output: the union of the intervals of the stages and inputs to
    /// which the output cells belong.
    pub fn output_range(&self) -> Range {
        let ranges = self.outputs.iter().filter_map(|&cell| {
            if (cell as usize) < self.inputs {
                return Some(self.input_range);
            }
            // Stages are in the order of their cells. A stage without cells has the same first cell
            // as the next stage.
            let stage = self.stages.partition_point(|stage| stage.first <= cell).checked_sub(1)?;
            self.stages.get(stage).map(|stage| stage.range)
        });
        ranges.reduce(|range, other| range.union(&other)).unwrap_or(self.input_range)
    }

    /// Returns the largest magnitude of any sum or comparison for any input in range. A backend's
    /// field must represent this magnitude with both signs.
    pub fn magnitude(&self) -> u64 {
        let magnitudes = self.stages.iter().map(|stage| match &stage.kind {
            StageKind::Linear(linear) => {
                linear.sums.magnitude()
                    + linear.rescale.map_or(0, |rescale| rescale.half().unsigned_abs())
            }
            StageKind::Max(max) => max.operands.high.abs_diff(max.operands.low),
            StageKind::Table(_) => stage.range.magnitude(),
            StageKind::Product(Product { sums, rescale, .. })
            | StageKind::MatrixProduct(MatrixProduct { sums, rescale, .. }) => {
                sums.magnitude() + rescale.map_or(0, |rescale| rescale.half().unsigned_abs())
            }
        });
        magnitudes.max().unwrap_or(0).max(self.input_range.magnitude())
    }
}
