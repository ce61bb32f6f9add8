mod choices;
mod elements;

use std::rc::Rc;

use super::{
    CHOICES_FORMAT, FORMAT, FORMATS, Layer, MAX_LAYERS, MAX_MULTIPLY_ADDS, MAX_SUM, Network,
    NetworkError, Operation,
};
use crate::circuit::{Cell, Circuit, Convolution, Job, Kernel, Linear, Max, Stage, StageKind, Tap};
use crate::{MemoryBudget, Range, Rescale, Shape, Window};
use choices::Choices;

/// Memory of a job or group without its taps, in bytes: two lists with spare capacity, and the
/// allocator's overhead.
const JOB_BYTES: u64 = 192;
/// Memory of a tap, in bytes, with spare capacity.
const TAP_BYTES: u64 = 16;
/// Memory of each value of a tensor, in bytes: its bias, its sum and the value itself when the
/// circuit is executed.
const VALUE_BYTES: u64 = 32;
/// Memory of each value of a table, in bytes.
const TABLE_BYTES: u64 = size_of::<i32>() as u64;
/// Memory of each value of a layer whose values can be those of a choice, in bytes.
const CHOICE_BYTES: u64 = 128;
/// Memory of each element that a move or a convolution can read, in bytes.
const CELL_BYTES: u64 = size_of::<Cell>() as u64;

/// A tensor laid out in cells.
#[derive(Clone)]
struct PlacedTensor {
    cells: Cells,
    shape: Shape,
    range: Range,
}

/// Cells of a tensor.
#[derive(Clone)]
enum Cells {
    /// Consecutive cells from this one on.
    Consecutive(Cell),
    /// The cells of a moved tensor, which belong to other tensors.
    Moved(Rc<[Cell]>),
}

impl PlacedTensor {
    fn cell(&self, index: usize) -> Cell {
        match &self.cells {
            Cells::Consecutive(first) => first + index as Cell,
            Cells::Moved(cells) => cells.get(index).copied().unwrap_or_default(),
        }
    }
}

impl Network {
    /// Validates the network and lowers it to a circuit: cells, jobs, and the interval of every
    /// value.
    ///
    /// # Errors
    /// When a layer does not fit its inputs, or could overflow.
    pub fn lower(&self) -> Result<Circuit, NetworkError> {
        Ok(self.lower_with_choices()?.0)
    }

    /// Returns the format of the network: [`CHOICES_FORMAT`] only if it narrows the interval of a
    /// sum.
    ///
    /// # Errors
    /// As [`Network::lower`].
    pub(crate) fn smallest_format(&self) -> Result<u32, NetworkError> {
        let (_, has_choices) = self.lower_with_choices()?;
        Ok(if has_choices { self.format } else { FORMAT })
    }

    /// Returns the circuit, and whether it has a sum over a choice.
    fn lower_with_choices(&self) -> Result<(Circuit, bool), NetworkError> {
        if !FORMATS.contains(&self.format) {
            return Err(NetworkError::Format(self.format));
        }
        if self.layers.is_empty() || self.layers.len() > MAX_LAYERS {
            return Err(NetworkError::Layers(self.layers.len()));
        }
        let range = self.input.range;
        if range.low > range.high || range.magnitude() > MAX_SUM {
            return Err(NetworkError::InputRange(range));
        }
        let shape = self
            .input
            .shape
            .checked()
            .map_err(|source| NetworkError::Shape { layer: 0, source })?;
        // Rejects the whole network before any layer is allocated.
        let memory = self.check_cost(shape)?;
        let mut lowering = Lowering {
            // Padding reads as zero.
            tensors: vec![PlacedTensor {
                cells: Cells::Consecutive(0),
                shape,
                range: range.with_zero(),
            }],
            stages: Vec::with_capacity(self.layers.len()),
            next_cell: shape.elements(),
            choices: (self.format == CHOICES_FORMAT).then(Choices::default),
            has_choices: false,
        };
        for (index, layer) in self.layers.iter().enumerate() {
            lowering.lower_layer(index, layer)?;
        }
        let outputs = lowering
            .tensors
            .last()
            .map(|last| (0..last.shape.elements()).map(|index| last.cell(index)).collect());
        let circuit = Circuit {
            inputs: shape.elements(),
            input_range: range,
            stages: lowering.stages,
            outputs: outputs.unwrap_or_default(),
            memory,
        };
        Ok((circuit, lowering.has_choices))
    }

    /// Returns the memory of the lowered network.
    ///
    /// # Errors
    /// When a layer does not fit its inputs, or the memory, or the number of multiply-adds or
    /// cells, exceeds its limit.
    fn check_cost(&self, input: Shape) -> Result<MemoryBudget, NetworkError> {
        let mut memory = MemoryBudget::new(self.parameters());
        memory.spend(VALUE_BYTES.saturating_mul(input.elements() as u64))?;
        let mut shapes = vec![input];
        let (mut multiply_adds, mut cells) = (0_u64, input.elements());
        for (index, layer) in self.layers.iter().enumerate() {
            let inputs = layer.inputs.iter().map(|&tensor| {
                shapes
                    .get(tensor as usize)
                    .copied()
                    .ok_or(NetworkError::Order { layer: index, tensor })
            });
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            let output = layer.shape(index, &inputs)?;
            let (jobs, taps) = layer.job_and_tap_counts(index, &inputs, output)?;
            let elements = output.elements() as u64;
            memory.spend(lowered_bytes(jobs, taps, elements))?;
            memory.spend(match &layer.operation {
                Operation::Table { values, .. } => TABLE_BYTES.saturating_mul(values.len() as u64),
                Operation::Move { .. }
                | Operation::Convolution { .. }
                | Operation::MatrixProduct(_) => inputs.iter().fold(0, |bytes, input| {
                    bytes + CELL_BYTES.saturating_mul(input.elements() as u64)
                }),
                _ => 0,
            })?;
            if self.format == CHOICES_FORMAT && taps == 1 {
                memory.spend(CHOICE_BYTES.saturating_mul(elements))?;
            }
            multiply_adds = multiply_adds.saturating_add(taps.saturating_mul(elements));
            cells += output.elements();
            if multiply_adds > MAX_MULTIPLY_ADDS || cells > Cell::MAX as usize / 2 {
                return Err(NetworkError::Work(multiply_adds));
            }
            shapes.push(output);
        }
        Ok(memory)
    }

    /// Returns the shapes of all tensors: the input's, then each layer's.
    ///
    /// # Errors
    /// When a layer does not fit its inputs.
    pub fn shapes(&self) -> Result<Vec<Shape>, NetworkError> {
        let mut shapes = vec![self.input.shape];
        for (index, layer) in self.layers.iter().enumerate() {
            let inputs = layer.inputs.iter().map(|&tensor| shapes.get(tensor as usize).copied());
            let inputs: Option<Vec<Shape>> = inputs.collect();
            let inputs = inputs.ok_or(NetworkError::Order { layer: index, tensor: u32::MAX })?;
            shapes.push(layer.shape(index, &inputs)?);
        }
        Ok(shapes)
    }
}

impl Layer {
    /// Returns the shape of the layer's output.
    fn shape(&self, index: usize, inputs: &[Shape]) -> Result<Shape, NetworkError> {
        let arity = NetworkError::Arity { layer: index, inputs: inputs.len() };
        let (Some(&first), count) = (inputs.first(), inputs.len()) else { return Err(arity) };
        match &self.operation {
            Operation::Sum { factors } if factors.len() == count => {
                require_same_shape(index, inputs, first)
            }
            Operation::Product if count == 2 => require_same_shape(index, inputs, first),
            Operation::MatrixProduct(sizes) => {
                let &[a, b] = inputs else { return Err(arity) };
                sizes
                    .shape([a, b])
                    .map_err(NetworkError::shape_error(index))?
                    .ok_or(NetworkError::Shapes(index))
            }
            Operation::Move { shape, indices, .. } => {
                let shape = shape.checked().map_err(NetworkError::shape_error(index))?;
                if shape.elements() == indices.len() {
                    Ok(shape)
                } else {
                    Err(NetworkError::Move(index))
                }
            }
            _ if count != 1 => Err(arity),
            Operation::Sum { .. } | Operation::Product => Err(arity),
            Operation::Table { .. } => Ok(first),
            Operation::Dense { bias, .. } => {
                Shape::vector(bias.len()).map_err(NetworkError::shape_error(index))
            }
            Operation::Convolution { window, bias, .. } => {
                let [rows, columns] =
                    window.output(&first).map_err(NetworkError::shape_error(index))?;
                Shape::new(bias.len(), rows, columns).map_err(NetworkError::shape_error(index))
            }
            Operation::MaxPool { window } => {
                let [rows, columns] =
                    window.pool_output(&first).map_err(NetworkError::shape_error(index))?;
                Shape::new(first.channels, rows, columns).map_err(NetworkError::shape_error(index))
            }
        }
    }

    /// Returns the number of jobs or groups of the lowered layer, and the largest number of taps of
    /// each.
    fn job_and_tap_counts(
        &self,
        index: usize,
        inputs: &[Shape],
        output: Shape,
    ) -> Result<(u64, u64), NetworkError> {
        let input_elements = inputs.first().map_or(0, Shape::elements) as u64;
        let (elements, plane) = (output.elements() as u64, (output.height * output.width) as u64);
        Ok(match &self.operation {
            Operation::Dense { .. } => (1, input_elements),
            Operation::Convolution { window, groups, .. } => {
                let channels =
                    inputs.first().map_or(0, |shape| shape.channels).checked_div(*groups);
                let channels = channels.ok_or(NetworkError::Weights(index))? as u64;
                (plane.saturating_mul(*groups as u64), channels.saturating_mul(area(window)))
            }
            Operation::Sum { factors } => (elements, factors.len() as u64),
            Operation::MaxPool { window } => (elements, area(window)),
            Operation::Table { .. } => (0, 1),
            // One job for the constant, which is counted as if each output had its own cell.
            Operation::Move { .. } => (1, 0),
            Operation::Product => (0, 2),
            Operation::MatrixProduct(sizes) => (0, sizes.inner as u64),
        })
    }
}

fn require_same_shape(index: usize, inputs: &[Shape], first: Shape) -> Result<Shape, NetworkError> {
    let are_equal = inputs.iter().all(|shape| *shape == first);
    are_equal.then_some(first).ok_or(NetworkError::Shapes(index))
}

struct Lowering {
    tensors: Vec<PlacedTensor>,
    stages: Vec<Stage>,
    /// The first cell that no tensor has yet.
    next_cell: usize,
    /// Cells of which at most one is not 0, in networks of [`CHOICES_FORMAT`].
    choices: Option<Choices>,
    /// Whether a sum so far is over a choice.
    has_choices: bool,
}

impl Lowering {
    fn lower_layer(&mut self, index: usize, layer: &Layer) -> Result<(), NetworkError> {
        let inputs = layer.inputs.iter().map(|&tensor| {
            self.tensors
                .get(tensor as usize)
                .cloned()
                .ok_or(NetworkError::Order { layer: index, tensor })
        });
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let shapes: Vec<Shape> = inputs.iter().map(|tensor| tensor.shape).collect();
        let shape = layer.shape(index, &shapes)?;
        let has_sums = !matches!(
            layer.operation,
            Operation::MaxPool { .. } | Operation::Table { .. } | Operation::Move { .. }
        );
        if layer.rescale.is_some_and(|rescale| !rescale.is_valid() || !has_sums) {
            return Err(NetworkError::Rescale(index));
        }
        let arity = NetworkError::Arity { layer: index, inputs: inputs.len() };
        let (kind, range) = match (&layer.operation, &inputs[..]) {
            (Operation::MaxPool { window }, [input]) => {
                (StageKind::Max(lower_max_pool(input, window, shape)), input.range)
            }
            (Operation::Table { low, values }, [input]) => {
                elements::lower_table(index, *low, values, input)?
            }
            (Operation::Product, [a, b]) => elements::lower_product(index, layer.rescale, a, b)?,
            (Operation::MatrixProduct(sizes), [a, b]) => {
                elements::lower_matrix_product(index, layer.rescale, *sizes, a, b)?
            }
            (Operation::Move { indices, constant, .. }, inputs) => {
                let moved = elements::lower_move(
                    index,
                    indices,
                    *constant,
                    inputs,
                    self.next_cell as Cell,
                )?;
                self.push_moved(shape, moved);
                return Ok(());
            }
            (
                Operation::MaxPool { .. }
                | Operation::Table { .. }
                | Operation::Product
                | Operation::MatrixProduct(_),
                _,
            ) => return Err(arity),
            (_, inputs) => {
                let (kernels, jobs, bias) = lower_linear(index, layer, inputs, shape)?;
                let is_choice = self.choices.as_ref().is_some_and(|choices| {
                    !jobs.is_empty() && jobs.iter().all(|job| choices.is_choice(&job.taps))
                });
                self.has_choices |= is_choice;
                let sums = sum_range(&kernels, &jobs, &bias, inputs, is_choice)
                    .ok_or(NetworkError::Overflow(index))?;
                let range = rescaled_range(layer.rescale, sums);
                let convolution = convolution(&layer.operation, inputs, shape);
                let rescale = layer.rescale;
                (
                    StageKind::Linear(Linear { kernels, jobs, bias, rescale, sums, convolution }),
                    range,
                )
            }
        };
        let first = self.next_cell as Cell;
        self.next_cell += shape.elements();
        self.tensors.push(PlacedTensor { cells: Cells::Consecutive(first), shape, range });
        let stage = Stage { first, count: shape.elements(), range, kind };
        if let Some(choices) = &mut self.choices {
            choices.record(&stage);
        }
        self.stages.push(stage);
        Ok(())
    }

    /// Appends a moved tensor, whose stage writes at most one cell: the constant.
    fn push_moved(&mut self, shape: Shape, moved: elements::MovedTensor) {
        let elements::MovedTensor { cells, range, constant } = moved;
        let first = self.next_cell as Cell;
        self.next_cell += constant.bias.len();
        let constant_range = constant.sums;
        self.tensors.push(PlacedTensor { cells: Cells::Moved(cells), shape, range });
        self.stages.push(Stage {
            first,
            count: constant.bias.len(),
            range: constant_range,
            kind: StageKind::Linear(constant),
        });
    }
}

/// Returns the interval of sums after they are rescaled. Padding reads as zero, so every interval
/// contains zero.
fn rescaled_range(rescale: Option<Rescale>, sums: Range) -> Range {
    let range = rescale.map_or(sums, |rescale| {
        let quotients = rescale.quotients(&sums);
        Range { low: rescale.clamp.apply(quotients.low), high: rescale.clamp.apply(quotients.high) }
    });
    range.with_zero()
}

/// Returns the maximum memory of a lowered layer when it is executed, in bytes: of `jobs` jobs or
/// groups of `taps` taps, and `elements` values.
pub fn lowered_bytes(jobs: u64, taps: u64, elements: u64) -> u64 {
    let job = taps.saturating_mul(TAP_BYTES).saturating_add(JOB_BYTES);
    jobs.saturating_mul(job).saturating_add(elements.saturating_mul(VALUE_BYTES))
}

fn area(window: &Window) -> u64 {
    let [rows, columns] = window.kernel;
    (rows as u64).saturating_mul(columns as u64)
}

fn lower_max_pool(input: &PlacedTensor, window: &Window, output: Shape) -> Max {
    let plane = input.shape.height * input.shape.width;
    let groups = positions(output).map(|(channel, row, column)| {
        window
            .taps(&input.shape, row, column)
            .map(|(_, index)| input.cell(channel * plane + index))
            .collect()
    });
    Max { groups: groups.collect(), operands: input.range }
}

fn positions(shape: Shape) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..shape.channels).flat_map(move |channel| {
        (0..shape.height)
            .flat_map(move |row| (0..shape.width).map(move |column| (channel, row, column)))
    })
}

type LinearParts = (Vec<Kernel>, Vec<Job>, Vec<i64>);

/// Returns kernels, jobs and biases of a linear layer.
fn lower_linear(
    index: usize,
    layer: &Layer,
    inputs: &[PlacedTensor],
    output: Shape,
) -> Result<LinearParts, NetworkError> {
    match (&layer.operation, inputs) {
        (Operation::Dense { weights, bias }, [input]) => {
            let slots = input.shape.elements();
            if weights.len() != slots * bias.len() {
                return Err(NetworkError::Weights(index));
            }
            let taps =
                (0..slots).map(|slot| Tap { cell: input.cell(slot), slot: slot as u32 }).collect();
            let job = Job { kernel: 0, taps, outputs: (0..bias.len() as u32).collect() };
            Ok((vec![Kernel { slots, weights: weights.clone() }], vec![job], bias.clone()))
        }
        (Operation::Convolution { window, groups, weights, bias }, [input]) => {
            let channels = input.shape.channels;
            let outputs = bias.len();
            if *groups == 0 || channels % groups != 0 || outputs % groups != 0 {
                return Err(NetworkError::Weights(index));
            }
            let slots = channels / groups * window.kernel[0] * window.kernel[1];
            if weights.len() != slots * outputs {
                return Err(NetworkError::Weights(index));
            }
            let rows = outputs / groups * slots;
            let kernels = weights
                .chunks(rows)
                .map(|chunk| Kernel { slots, weights: chunk.to_vec() })
                .collect();
            let plane = output.height * output.width;
            let biases = bias.iter().flat_map(|&value| std::iter::repeat_n(value, plane)).collect();
            Ok((kernels, convolution_jobs(input, window, *groups, output), biases))
        }
        (Operation::Sum { factors }, _) => {
            let kernel = Kernel { slots: factors.len(), weights: factors.clone() };
            let jobs = (0..output.elements()).map(|element| Job {
                kernel: 0,
                taps: inputs
                    .iter()
                    .zip(0..)
                    .map(|(input, slot)| Tap { cell: input.cell(element), slot })
                    .collect(),
                outputs: vec![element as u32],
            });
            Ok((vec![kernel], jobs.collect(), vec![0; output.elements()]))
        }
        _ => Err(NetworkError::Arity { layer: index, inputs: inputs.len() }),
    }
}

/// Returns the structure of a convolution; `None` for other operations.
fn convolution(
    operation: &Operation,
    inputs: &[PlacedTensor],
    output: Shape,
) -> Option<Convolution> {
    let (Operation::Convolution { window, .. }, [input]) = (operation, inputs) else { return None };
    let cells = (0..input.shape.elements()).map(|index| input.cell(index)).collect();
    Some(Convolution {
        input: input.shape,
        cells,
        window: *window,
        output: [output.height, output.width],
    })
}

fn convolution_jobs(
    input: &PlacedTensor,
    window: &Window,
    groups: usize,
    output: Shape,
) -> Vec<Job> {
    let channels = input.shape.channels / groups;
    let area = window.kernel[0] * window.kernel[1];
    let (plane, output_plane) =
        (input.shape.height * input.shape.width, output.height * output.width);
    let outputs = output.channels / groups;
    let grid = Shape { channels: groups, ..output };
    let jobs = positions(grid).map(|(group, row, column)| {
        let taps = (0..channels).flat_map(|channel| {
            window.taps(&input.shape, row, column).map(move |(offset, index)| Tap {
                cell: input.cell((group * channels + channel) * plane + index),
                slot: (channel * area + offset) as u32,
            })
        });
        let position = row * output.width + column;
        let rows =
            (0..outputs).map(|row| ((group * outputs + row) * output_plane + position) as u32);
        Job { kernel: group, taps: taps.collect(), outputs: rows.collect() }
    });
    jobs.collect()
}

/// Returns the interval of all sums. Every interval contains 0, so padding never widens it. At most
/// one product of a sum over a choice is not 0.
fn sum_range(
    kernels: &[Kernel],
    jobs: &[Job],
    bias: &[i64],
    inputs: &[PlacedTensor],
    is_choice: bool,
) -> Option<Range> {
    // With a single input, all slots of a kernel read it. With several, as in a sum, slot n reads
    // input n.
    let slot_range = |slot: usize| match inputs {
        [single] => Some(single.range),
        several => several.get(slot).map(|input| input.range),
    };
    let rows = kernels.iter().map(|kernel| {
        let rows = kernel.weights.chunks(kernel.slots.max(1)).map(|row| {
            row.iter().enumerate().try_fold(Range::only(0), |sum, (slot, &weight)| {
                let product = slot_range(slot)?.times(i64::from(weight))?;
                if is_choice { Some(sum.union(&product)) } else { sum.plus(&product) }
            })
        });
        rows.collect::<Option<Vec<Range>>>()
    });
    let rows = rows.collect::<Option<Vec<_>>>()?;
    let mut all_sums: Option<Range> = None;
    for job in jobs {
        for (range, &output) in rows.get(job.kernel)?.iter().zip(&job.outputs) {
            let sum = range.plus(&Range::only(*bias.get(output as usize)?))?;
            all_sums = Some(all_sums.map_or(sum, |all_sums| all_sums.union(&sum)));
        }
    }
    all_sums.filter(|all_sums| all_sums.magnitude() <= MAX_SUM)
}

#[cfg(test)]
mod tests;
