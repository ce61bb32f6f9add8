use super::{FORMAT, Layer, MAX_LAYERS, MAX_MULTIPLY_ADDS, MAX_SUM, Network, NetworkError, Operation};
use crate::circuit::{Cell, Circuit, Job, Kernel, Linear, Max, Stage, StageKind, Tap};
use crate::{MemoryBudget, Range, Shape, Window};

/// Memory of a job or group without its taps, in bytes: two lists with spare capacity, and the allocator's overhead.
const JOB_BYTES: u64 = 192;
/// Memory of a tap, in bytes, with spare capacity.
const TAP_BYTES: u64 = 16;
/// Memory of each value of a tensor, in bytes: its bias, its sum and the value itself when the circuit is executed.
const VALUE_BYTES: u64 = 32;

/// A tensor laid out in cells.
#[derive(Clone, Copy)]
struct Placed {
    first: Cell,
    shape: Shape,
    range: Range,
}

impl Placed {
    fn cell(&self, index: usize) -> Cell {
        self.first + index as Cell
    }
}

impl Network {
    /// Validates the network and lowers it to a circuit: cells, jobs, and the interval of every value.
    ///
    /// # Errors
    /// When a layer does not fit its inputs, or could overflow.
    pub fn lower(&self) -> Result<Circuit, NetworkError> {
        if self.format != FORMAT {
            return Err(NetworkError::Format(self.format));
        }
        if self.layers.is_empty() || self.layers.len() > MAX_LAYERS {
            return Err(NetworkError::Layers(self.layers.len()));
        }
        let range = self.input.range;
        if !range.contains(0) || range.magnitude() > MAX_SUM {
            return Err(NetworkError::InputRange(range));
        }
        let shape = self.input.shape.checked().map_err(|source| NetworkError::Shape { layer: 0, source })?;
        // Rejects the whole network before any layer is allocated.
        let memory = self.check_cost(shape)?;
        let mut lowering = Lowering {
            tensors: vec![Placed { first: 0, shape, range }],
            stages: Vec::with_capacity(self.layers.len()),
            next: shape.elements(),
        };
        for (index, layer) in self.layers.iter().enumerate() {
            lowering.layer(index, layer)?;
        }
        let outputs =
            lowering.tensors.last().map_or(0..0, |last| last.first..last.first + last.shape.elements() as Cell);
        Ok(Circuit {
            inputs: shape.elements(),
            input_range: range,
            stages: lowering.stages,
            outputs: outputs.collect(),
            memory,
        })
    }

    /// Returns the memory of the lowered network.
    ///
    /// # Errors
    /// When a layer does not fit its inputs, or the memory, or the number of multiply-adds or cells, exceeds its limit.
    fn check_cost(&self, input: Shape) -> Result<MemoryBudget, NetworkError> {
        let mut memory = MemoryBudget::new(self.parameters());
        memory.spend(VALUE_BYTES.saturating_mul(input.elements() as u64))?;
        let mut shapes = vec![input];
        let (mut work, mut cells) = (0_u64, input.elements());
        for (index, layer) in self.layers.iter().enumerate() {
            let inputs = layer.inputs.iter().map(|&tensor| {
                shapes.get(tensor as usize).copied().ok_or(NetworkError::Order { layer: index, tensor })
            });
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            let output = layer.shape(index, &inputs)?;
            let (jobs, taps) = layer.jobs(index, &inputs, output)?;
            let elements = output.elements() as u64;
            memory.spend(lowered_bytes(jobs, taps, elements))?;
            work = work.saturating_add(taps.saturating_mul(elements));
            cells += output.elements();
            if work > MAX_MULTIPLY_ADDS || cells > Cell::MAX as usize / 2 {
                return Err(NetworkError::Work(work));
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
        let refuse = |source| NetworkError::Shape { layer: index, source };
        let arity = NetworkError::Arity { layer: index, inputs: inputs.len() };
        let (Some(&first), count) = (inputs.first(), inputs.len()) else { return Err(arity) };
        match &self.operation {
            Operation::Sum { factors } if factors.len() == count => {
                let equal = inputs.iter().all(|shape| *shape == first);
                equal.then_some(first).ok_or(NetworkError::Shapes(index))
            }
            _ if count != 1 => Err(arity),
            Operation::Sum { .. } => Err(arity),
            Operation::Dense { bias, .. } => Shape::vector(bias.len()).map_err(refuse),
            Operation::Convolution { window, bias, .. } => {
                let [rows, columns] = window.output(&first).map_err(refuse)?;
                Shape::new(bias.len(), rows, columns).map_err(refuse)
            }
            Operation::MaxPool { window } => {
                let [rows, columns] = window.pooled(&first).map_err(refuse)?;
                Shape::new(first.channels, rows, columns).map_err(refuse)
            }
        }
    }

    /// Returns the number of jobs or groups of the lowered layer, and the largest number of taps of each.
    fn jobs(&self, index: usize, inputs: &[Shape], output: Shape) -> Result<(u64, u64), NetworkError> {
        let read = inputs.first().map_or(0, Shape::elements) as u64;
        let (elements, plane) = (output.elements() as u64, (output.height * output.width) as u64);
        Ok(match &self.operation {
            Operation::Dense { .. } => (1, read),
            Operation::Convolution { window, groups, .. } => {
                let channels = inputs.first().map_or(0, |shape| shape.channels).checked_div(*groups);
                let channels = channels.ok_or(NetworkError::Weights(index))? as u64;
                (plane.saturating_mul(*groups as u64), channels.saturating_mul(area(window)))
            }
            Operation::Sum { factors } => (elements, factors.len() as u64),
            Operation::MaxPool { window } => (elements, area(window)),
        })
    }
}

struct Lowering {
    tensors: Vec<Placed>,
    stages: Vec<Stage>,
    next: usize,
}

impl Lowering {
    fn layer(&mut self, index: usize, layer: &Layer) -> Result<(), NetworkError> {
        let inputs = layer.inputs.iter().map(|&tensor| {
            self.tensors.get(tensor as usize).copied().ok_or(NetworkError::Order { layer: index, tensor })
        });
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let shapes: Vec<Shape> = inputs.iter().map(|tensor| tensor.shape).collect();
        let shape = layer.shape(index, &shapes)?;
        if layer.rescale.is_some_and(|rescale| !rescale.is_valid()) {
            return Err(NetworkError::Rescale(index));
        }
        let (kind, range) = if let Operation::MaxPool { window } = &layer.operation {
            if layer.rescale.is_some() {
                return Err(NetworkError::Rescale(index));
            }
            let [input] = inputs[..] else { return Err(NetworkError::Arity { layer: index, inputs: inputs.len() }) };
            (StageKind::Max(max_pool(&input, window, shape)), input.range)
        } else {
            let (kernels, jobs, bias) = linear(index, layer, &inputs, shape)?;
            let sums = sum_range(&kernels, &jobs, &bias, &inputs).ok_or(NetworkError::Overflow(index))?;
            let range = layer.rescale.map_or(sums, |rescale| {
                let quotients = rescale.quotients(&sums);
                Range { low: rescale.clamp.apply(quotients.low), high: rescale.clamp.apply(quotients.high) }
            });
            // Padding reads as zero, so every interval is extended to contain zero.
            (
                StageKind::Linear(Linear { kernels, jobs, bias, rescale: layer.rescale, sums }),
                range.union(&Range::only(0)),
            )
        };
        let first = self.next as Cell;
        self.next += shape.elements();
        self.tensors.push(Placed { first, shape, range });
        self.stages.push(Stage { first, count: shape.elements(), range, kind });
        Ok(())
    }
}

/// Returns the most memory that a lowered layer takes, in bytes, when it is executed: `jobs` jobs or groups of `taps`
/// taps, and `elements` values.
pub(crate) fn lowered_bytes(jobs: u64, taps: u64, elements: u64) -> u64 {
    let job = taps.saturating_mul(TAP_BYTES).saturating_add(JOB_BYTES);
    jobs.saturating_mul(job).saturating_add(elements.saturating_mul(VALUE_BYTES))
}

fn area(window: &Window) -> u64 {
    let [rows, columns] = window.kernel;
    (rows as u64).saturating_mul(columns as u64)
}

fn max_pool(input: &Placed, window: &Window, output: Shape) -> Max {
    let plane = input.shape.height * input.shape.width;
    let groups = positions(output).map(|(channel, row, column)| {
        window.taps(&input.shape, row, column).map(|(_, index)| input.cell(channel * plane + index)).collect()
    });
    Max { groups: groups.collect(), operands: input.range }
}

fn positions(shape: Shape) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..shape.channels).flat_map(move |channel| {
        (0..shape.height).flat_map(move |row| (0..shape.width).map(move |column| (channel, row, column)))
    })
}

type Parts = (Vec<Kernel>, Vec<Job>, Vec<i64>);

fn linear(index: usize, layer: &Layer, inputs: &[Placed], output: Shape) -> Result<Parts, NetworkError> {
    let misfit = || NetworkError::Weights(index);
    match (&layer.operation, inputs) {
        (Operation::Dense { weights, bias }, [input]) => {
            let slots = input.shape.elements();
            if weights.len() != slots * bias.len() {
                return Err(misfit());
            }
            let taps = (0..slots).map(|slot| Tap { cell: input.cell(slot), slot: slot as u32 }).collect();
            let job = Job { kernel: 0, taps, outputs: (0..bias.len() as u32).collect() };
            Ok((vec![Kernel { slots, weights: weights.clone() }], vec![job], bias.clone()))
        }
        (Operation::Convolution { window, groups, weights, bias }, [input]) => {
            let channels = input.shape.channels;
            let outputs = bias.len();
            if *groups == 0 || channels % groups != 0 || outputs % groups != 0 {
                return Err(misfit());
            }
            let slots = channels / groups * window.kernel[0] * window.kernel[1];
            if weights.len() != slots * outputs {
                return Err(misfit());
            }
            let rows = outputs / groups * slots;
            let kernels = weights.chunks(rows).map(|chunk| Kernel { slots, weights: chunk.to_vec() }).collect();
            let plane = output.height * output.width;
            let biases = bias.iter().flat_map(|&value| std::iter::repeat_n(value, plane)).collect();
            Ok((kernels, convolution_jobs(input, window, *groups, output), biases))
        }
        (Operation::Sum { factors }, _) => {
            let kernel = Kernel { slots: factors.len(), weights: factors.clone() };
            let jobs = (0..output.elements()).map(|element| Job {
                kernel: 0,
                taps: inputs.iter().zip(0..).map(|(input, slot)| Tap { cell: input.cell(element), slot }).collect(),
                outputs: vec![element as u32],
            });
            Ok((vec![kernel], jobs.collect(), vec![0; output.elements()]))
        }
        _ => Err(NetworkError::Arity { layer: index, inputs: inputs.len() }),
    }
}

fn convolution_jobs(input: &Placed, window: &Window, groups: usize, output: Shape) -> Vec<Job> {
    let channels = input.shape.channels / groups;
    let area = window.kernel[0] * window.kernel[1];
    let (plane, output_plane) = (input.shape.height * input.shape.width, output.height * output.width);
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
        let rows = (0..outputs).map(|row| ((group * outputs + row) * output_plane + position) as u32);
        Job { kernel: group, taps: taps.collect(), outputs: rows.collect() }
    });
    jobs.collect()
}

/// Returns the interval of all sums. Every interval contains 0, so padding never widens it.
fn sum_range(kernels: &[Kernel], jobs: &[Job], bias: &[i64], inputs: &[Placed]) -> Option<Range> {
    // With a single input, all slots of a kernel read it. With several, as in a sum, slot n reads input n.
    let slot_range = |slot: usize| match inputs {
        [single] => Some(single.range),
        several => several.get(slot).map(|input| input.range),
    };
    let rows = kernels.iter().map(|kernel| {
        let rows = kernel.weights.chunks(kernel.slots.max(1)).map(|row| {
            row.iter()
                .enumerate()
                .try_fold(Range::only(0), |sum, (slot, &weight)| sum.plus(&slot_range(slot)?.times(i64::from(weight))?))
        });
        rows.collect::<Option<Vec<Range>>>()
    });
    let rows = rows.collect::<Option<Vec<_>>>()?;
    let mut total: Option<Range> = None;
    for job in jobs {
        for (range, &output) in rows.get(job.kernel)?.iter().zip(&job.outputs) {
            let sum = range.plus(&Range::only(*bias.get(output as usize)?))?;
            total = Some(total.map_or(sum, |total| total.union(&sum)));
        }
    }
    total.filter(|total| total.magnitude() <= MAX_SUM)
}

#[cfg(test)]
mod tests;
