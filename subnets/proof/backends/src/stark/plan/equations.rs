//! Linear stages as products of polynomials, before they are laid out, and what they cost.
//!
//! A key of format 4 is computed again from its network, so everything that decides on the layout
//! is part of the format: [`PolynomialStage::of`], [`Size::cost`] and [`tile_cost`], and the order
//! of equations, taps and gaps. A change of any of them needs another format. A test compares the
//! keys of some networks with their digests.

use std::borrow::Cow;

use taonet_proof_core::circuit::{Cell, Convolution, Linear, MatrixProduct};
use taonet_proof_core::network::Matrices;
use taonet_proof_core::{Shape, Window};

use super::super::air::Tile;
use super::super::projection::{COEFFICIENTS_PER_ROW, WEIGHTS_PER_ROW, is_bounded};
use super::geometry::Geometry;
use super::products::tile_cost;

/// A coefficient of the kernels of one input.
#[derive(Debug)]
pub(in super::super) struct Tap {
    pub(in super::super) power: usize,
    /// The kernel's weight for each output.
    pub(in super::super) weights: Vec<i32>,
}

/// A linear stage as products of polynomials.
#[allow(clippy::large_enum_variant, reason = "one exists at a time")]
pub(super) enum PolynomialStage<'a> {
    Convolution(Cow<'a, Convolution>, Geometry),
    /// A weighted sum of tensors: each is a polynomial, and its factor the only tap of its kernel.
    Sum,
}

/// Numbers of rows of the polynomials and the kernels table.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) kernels: usize,
}

impl Size {
    /// Returns the relative cost of proving: about the number of value columns, and a third of that
    /// of fixed columns. Both factors are part of format 4.
    const fn cost(self) -> usize {
        88 * self.rows + 40 * self.kernels
    }
}

/// An equation between polynomials before it is laid out.
pub(super) struct Equation {
    /// Number of coefficients of an output.
    pub(super) length: usize,
    /// For each output polynomial, the output and the power of each coefficient.
    pub(super) outputs: Vec<Vec<(u32, usize)>>,
    pub(super) inputs: Vec<EquationInput>,
}

/// An input of an equation with its kernels.
pub(super) struct EquationInput {
    pub(super) length: usize,
    /// Cell and power of each coefficient.
    pub(super) cells: Vec<(Cell, usize)>,
    pub(super) kernel: KernelWeights,
}

/// Weights of an input's kernels.
pub(super) enum KernelWeights {
    /// Fixed weights, as taps from the highest power on.
    Fixed(Vec<Tap>),
    /// The cell that each output multiplies the input by.
    Cells(Vec<Cell>),
}

impl<'a> PolynomialStage<'a> {
    /// Returns the form of a stage; `None` if the stage is not a product of polynomials.
    pub(super) fn of(linear: &'a Linear) -> Option<Self> {
        if let Some(convolution) = &linear.convolution {
            let geometry = Geometry::new(convolution)?;
            let [_, outputs] = channels(linear, convolution);
            return is_bounded(geometry.length, outputs)
                .then_some(PolynomialStage::Convolution(Cow::Borrowed(convolution), geometry));
        }
        let [kernel] = &linear.kernels[..] else { return None };
        let is_sum = linear.jobs.len() == linear.bias.len()
            && linear.jobs.iter().zip(0..).all(|(job, index)| {
                let slots = job.taps.iter().map(|tap| tap.slot);
                job.outputs == [index] && slots.eq(0..kernel.slots as u32)
            });
        (is_sum && is_bounded(linear.bias.len(), 1)).then_some(PolynomialStage::Sum)
    }

    /// Returns the form of a stage like [`Self::of`]. A dense layer has one, too: that of a
    /// convolution with one position.
    pub(super) fn of_or_dense(linear: &'a Linear) -> Option<Self> {
        Self::of(linear).or_else(|| {
            let dense = dense_as_convolution(linear)?;
            let geometry = Geometry::new(&dense)?;
            is_bounded(geometry.length, linear.bias.len())
                .then_some(PolynomialStage::Convolution(Cow::Owned(dense), geometry))
        })
    }

    pub(super) fn size(&self, linear: &Linear) -> Size {
        match self {
            PolynomialStage::Convolution(convolution, geometry) => {
                let groups = linear.kernels.len().max(1);
                let [inputs, outputs] = channels(linear, convolution);
                let input_rows =
                    geometry.lattice_count() * geometry.input_length.div_ceil(COEFFICIENTS_PER_ROW);
                Size {
                    rows: groups
                        * (outputs * geometry.length.div_ceil(COEFFICIENTS_PER_ROW)
                            + inputs * input_rows),
                    kernels: groups
                        * inputs
                        * geometry.tap_count()
                        * outputs.div_ceil(WEIGHTS_PER_ROW),
                }
            }
            PolynomialStage::Sum => {
                let slots = linear.kernels.first().map_or(0, |kernel| kernel.slots);
                Size {
                    rows: (slots + 1) * linear.bias.len().div_ceil(COEFFICIENTS_PER_ROW),
                    kernels: slots,
                }
            }
        }
    }

    /// Returns the differences of power between the taps of each kernel, and after the last one.
    pub(super) fn gaps(&self) -> Vec<u32> {
        let PolynomialStage::Convolution(_, geometry) = self else { return vec![0] };
        let lattice_gaps = geometry
            .lattices()
            .flat_map(|lattice| gaps(lattice.taps().iter().map(|&(_, power)| power)));
        lattice_gaps.collect()
    }

    pub(super) fn equations(&self, linear: &Linear) -> Vec<Equation> {
        match self {
            PolynomialStage::Convolution(convolution, geometry) => (0..linear.kernels.len())
                .map(|group| convolution_equation(linear, convolution, geometry, group))
                .collect(),
            PolynomialStage::Sum => vec![sum_equation(linear)],
        }
    }
}

/// Returns the differences between powers that decrease to zero.
pub(super) fn gaps(powers: impl Iterator<Item = usize> + Clone) -> Vec<u32> {
    let next = powers.clone().skip(1).chain([0]);
    powers.zip(next).map(|(power, next)| (power - next) as u32).collect()
}

/// Returns a dense layer as a convolution; `None` for other stages.
fn dense_as_convolution(linear: &Linear) -> Option<Convolution> {
    let (None, [kernel], [job]) = (&linear.convolution, &linear.kernels[..], &linear.jobs[..])
    else {
        return None;
    };
    let is_dense = job.taps.iter().map(|tap| tap.slot).eq(0..kernel.slots as u32)
        && job.outputs.iter().copied().eq(0..linear.bias.len() as u32);
    let input = Shape::vector(kernel.slots).ok().filter(|_| is_dense)?;
    Some(Convolution {
        input,
        cells: job.taps.iter().map(|tap| tap.cell).collect(),
        window: Window { kernel: [1; 2], stride: [1; 2], padding: [0; 4] },
        output: [1; 2],
    })
}

/// Returns the numbers of input and of output channels of each group of a convolution.
fn channels(linear: &Linear, convolution: &Convolution) -> [usize; 2] {
    let groups = linear.kernels.len().max(1);
    let [rows, columns] = convolution.output;
    [convolution.input.channels / groups, linear.bias.len() / (rows * columns).max(1) / groups]
}

fn convolution_equation(
    linear: &Linear,
    convolution: &Convolution,
    geometry: &Geometry,
    group: usize,
) -> Equation {
    let Convolution { input, cells, window, output } = convolution;
    let [inputs, outputs] = channels(linear, convolution);
    let (plane, output_plane) = (input.height * input.width, output[0] * output[1]);
    let area = window.kernel[0] * window.kernel[1];
    let output = |channel: usize| {
        let first = (group * outputs + channel) * output_plane;
        (0..output_plane).map(|index| ((first + index) as u32, geometry.output(index))).collect()
    };
    let weight = |row: usize, slot: usize| {
        linear
            .kernels
            .get(group)
            .and_then(|kernel| kernel.row(row).get(slot))
            .copied()
            .unwrap_or_default()
    };
    let inputs = (0..inputs).flat_map(|channel| {
        let first = (group * inputs + channel) * plane;
        geometry.lattices().map(move |lattice| EquationInput {
            length: geometry.input_length,
            cells: lattice
                .elements()
                .filter_map(|(index, power)| cells.get(first + index).map(|&cell| (cell, power)))
                .collect(),
            kernel: KernelWeights::Fixed(
                lattice
                    .taps()
                    .into_iter()
                    .map(|(offset, power)| Tap {
                        power,
                        weights: (0..outputs)
                            .map(|row| weight(row, channel * area + offset))
                            .collect(),
                    })
                    .collect(),
            ),
        })
    });
    Equation {
        length: geometry.length,
        outputs: (0..outputs).map(output).collect(),
        inputs: inputs.collect(),
    }
}

fn sum_equation(linear: &Linear) -> Equation {
    let length = linear.bias.len();
    let factors = linear.kernels.first().map(|kernel| kernel.row(0)).unwrap_or_default();
    let inputs = factors.iter().enumerate().map(|(slot, &factor)| {
        let cells = linear.jobs.iter().enumerate().filter_map(|(index, job)| {
            job.taps.get(slot).map(|tap| (tap.cell, length - 1 - index))
        });
        EquationInput {
            length,
            cells: cells.collect(),
            kernel: KernelWeights::Fixed(vec![Tap { power: 0, weights: vec![factor] }]),
        }
    });
    let output = (0..length).map(|index| (index as u32, length - 1 - index)).collect();
    Equation { length, outputs: vec![output], inputs: inputs.collect() }
}

/// Returns products of matrices as equations, one for each pair. The columns of the first matrix
/// are the inputs, the rows of the second one their kernels. The extents of shapes bound the
/// degree: rows and columns together are at most half of what [`is_bounded`] permits.
pub(super) fn matrix_equations(product: &MatrixProduct) -> Vec<Equation> {
    let Matrices { count, rows, inner, columns } = product.sizes;
    let cell = |cells: &[Cell], index: usize| cells.get(index).copied().unwrap_or_default();
    let equations = (0..count).map(|pair| Equation {
        length: rows,
        outputs: (0..columns)
            .map(|column| {
                (0..rows)
                    .map(|row| (((pair * rows + row) * columns + column) as u32, rows - 1 - row))
                    .collect()
            })
            .collect(),
        inputs: (0..inner)
            .map(|step| EquationInput {
                length: rows,
                cells: (0..rows)
                    .map(|row| {
                        (cell(&product.a, (pair * rows + row) * inner + step), rows - 1 - row)
                    })
                    .collect(),
                kernel: KernelWeights::Cells(
                    (0..columns)
                        .map(|column| cell(&product.b, (pair * inner + step) * columns + column))
                        .collect(),
                ),
            })
            .collect(),
    });
    equations.collect()
}

/// Returns the numbers of rows of the tables of polynomials and operands.
pub(super) fn matrix_rows(product: &MatrixProduct) -> [usize; 2] {
    let Matrices { count, rows, inner, columns } = product.sizes;
    [
        count * (inner + columns) * rows.div_ceil(COEFFICIENTS_PER_ROW),
        count * inner * columns.div_ceil(COEFFICIENTS_PER_ROW),
    ]
}

/// Returns how much less a stage costs as a product of polynomials than in tiles, if it does.
pub(super) fn polynomial_saving(linear: &Linear, tile: Tile) -> Option<usize> {
    let size = PolynomialStage::of(linear)?.size(linear);
    tile_cost(linear, tile).checked_sub(size.cost()).filter(|&saving| saving > 0)
}

/// Returns the form of a stage that is cheaper than tiles in a circuit whose kernels take more rows
/// than all other tables: the rows of further kernels cost nothing.
pub(super) fn form_with_kernels(linear: &Linear, tile: Tile) -> Option<PolynomialStage<'_>> {
    let form = PolynomialStage::of_or_dense(linear)?;
    let size = Size { kernels: 0, ..form.size(linear) };
    (size.cost() < tile_cost(linear, tile)).then_some(form)
}
