//! Random small networks with layers of every kind.

use rand::Rng as _;
use rand::rngs::StdRng;
use taonet_proof_core::circuit::StageKind;
use taonet_proof_core::network::{FORMAT, Input, Layer, Matrices, Network, Operation};
use taonet_proof_core::{Clamp, Range, Rescale, Shape, Window};

use super::generator;

/// Number of kinds of operations that [`kind`] distinguishes.
pub(crate) const KINDS: usize = 8;
/// Maximum number of elements of a tensor.
const MAX_ELEMENTS: usize = 48;
/// Base-two logarithm of the maximum number of quotients of a rescale, of sums without one, and of
/// values of a table: a proof has a row for each.
const MAX_LOG_VALUES: u32 = 8;
/// Maximum magnitude of any sum. It bounds the remainders of a rescale, for each of which a proof
/// has a row, too.
const MAX_MAGNITUDE: u64 = 1 << 18;

/// Creates a network of `count` random layers, each of which reads random earlier tensors. Networks
/// with the same seed begin with the same layers. Without tables, `groth16` can prove it.
pub(crate) fn random_network(seed: u64, count: usize, has_tables: bool) -> Network {
    let mut generator = generator(seed);
    let mut extent = |max: usize| generator.random_range(1..=max);
    let shape = Shape::new(extent(4), extent(4), extent(3)).unwrap();
    let ranges = [(0, 255), (-100, 100), (0, 1), (-8, 7)];
    let (low, high) = ranges[generator.random_range(0..ranges.len())];
    let range = Range { low, high };
    let network =
        Network { format: FORMAT, input: Input { shape, range, scale: 0 }, layers: Vec::new() };
    let mut drawing =
        RandomNetwork { generator, network, tensors: vec![(shape, range)], has_tables };
    while drawing.network.layers.len() < count {
        // Not every operation fits the tensors that it would read.
        if let Some((inputs, operation)) = drawing.operation() {
            drawing.push(inputs, operation);
        }
    }
    drawing.network
}

/// A network whose layers are drawn one by one.
struct RandomNetwork {
    generator: StdRng,
    network: Network,
    /// Shape and interval of each tensor.
    tensors: Vec<(Shape, Range)>,
    has_tables: bool,
}

impl RandomNetwork {
    fn extent(&mut self, max: usize) -> usize {
        self.generator.random_range(1..=max)
    }

    /// Returns one of the last three tensors, or any.
    fn tensor(&mut self) -> usize {
        let first =
            if self.generator.random_bool(0.7) { self.tensors.len().saturating_sub(3) } else { 0 };
        self.generator.random_range(first..self.tensors.len())
    }

    /// Returns a tensor of the same shape as another one, such as this one.
    fn tensor_like(&mut self, tensor: usize) -> usize {
        let shape = self.tensors[tensor].0;
        let same_shape: Vec<usize> =
            (0..self.tensors.len()).filter(|&other| self.tensors[other].0 == shape).collect();
        same_shape[self.generator.random_range(0..same_shape.len())]
    }

    fn weights(&mut self, count: usize) -> Vec<i32> {
        (0..count).map(|_| self.generator.random_range(-9..=9)).collect()
    }

    fn bias(&mut self, count: usize) -> Vec<i64> {
        let max = if self.generator.random_bool(0.5) { 0 } else { 100 };
        (0..count).map(|_| self.generator.random_range(-max..=max)).collect()
    }

    /// Returns an operation with its inputs; `None` if it does not fit the tensors that were drawn.
    fn operation(&mut self) -> Option<(Vec<usize>, Operation)> {
        let tensor = self.tensor();
        let (shape, range) = self.tensors[tensor];
        let inputs_and_operation = match self.generator.random_range(0..KINDS) {
            0 => (vec![tensor], self.dense(shape)),
            1 => (vec![tensor], self.convolution(shape)?),
            2 => {
                let addend_count = self.generator.random_range(0..3);
                let mut inputs = vec![tensor];
                inputs.extend((0..addend_count).map(|_| self.tensor_like(tensor)));
                let factors = inputs.iter().map(|_| self.generator.random_range(-3..=3)).collect();
                (inputs, Operation::Sum { factors })
            }
            3 => {
                let window = self.window(|kernel| kernel - 1);
                window.pool_output(&shape).ok()?;
                (vec![tensor], Operation::MaxPool { window })
            }
            4 if self.has_tables => (vec![tensor], self.table(range)?),
            5 => self.moved(tensor)?,
            6 => (vec![tensor, self.tensor_like(tensor)], Operation::Product),
            7 => {
                let other = self.tensor();
                let sizes = self.matrices(shape, self.tensors[other].0);
                (vec![tensor, other], Operation::MatrixProduct(sizes))
            }
            _ => return None,
        };
        Some(inputs_and_operation)
    }

    fn dense(&mut self, shape: Shape) -> Operation {
        let outputs = self.extent(6);
        let weights = self.weights(shape.elements() * outputs);
        Operation::Dense { weights, bias: self.bias(outputs) }
    }

    /// Returns a window of up to 3×3, with at most so much padding for each extent of the kernel.
    fn window(&mut self, padding: impl Fn(usize) -> usize) -> Window {
        let kernel = [self.extent(3), self.extent(3)];
        let stride = [self.extent(2), self.extent(2)];
        let mut side = |axis: usize| self.generator.random_range(0..=padding(kernel[axis]));
        Window { kernel, stride, padding: [side(0), side(1), side(0), side(1)] }
    }

    /// Returns a convolution in which all channels are one group, or each is one.
    fn convolution(&mut self, shape: Shape) -> Option<Operation> {
        let groups = if self.generator.random_bool(0.5) { 1 } else { shape.channels };
        let outputs = groups * self.extent(3);
        // Windows may cover padding only.
        let window = self.window(|kernel| kernel);
        window.output(&shape).ok()?;
        let [height, width] = window.kernel;
        let weights = self.weights(shape.channels / groups * outputs * height * width);
        Some(Operation::Convolution { window, groups, weights, bias: self.bias(outputs) })
    }

    /// Returns a table that covers an interval, and perhaps more.
    fn table(&mut self, range: Range) -> Option<Operation> {
        if width(range) >= 1 << MAX_LOG_VALUES {
            return None;
        }
        let [before, after]: [u64; 2] = [(); 2].map(|()| self.generator.random_range(0..3));
        let count = width(range) + 1 + before + after;
        let values = (0..count).map(|_| self.generator.random_range(-100..=100)).collect();
        Some(Operation::Table { low: range.low - before.cast_signed(), values })
    }

    /// Returns a move of elements of one or two tensors, some of which are a constant.
    fn moved(&mut self, tensor: usize) -> Option<(Vec<usize>, Operation)> {
        let mut inputs = vec![tensor];
        if self.generator.random_bool(0.5) {
            inputs.push(self.tensor());
        }
        let total: usize = inputs.iter().map(|&input| self.tensors[input].0.elements()).sum();
        let shape = Shape::new(self.extent(4), self.extent(4), self.extent(3)).ok()?;
        let indices = (0..shape.elements()).map(|_| {
            let is_constant = self.generator.random_bool(0.1);
            (if is_constant { total } else { self.generator.random_range(0..total) }) as u32
        });
        let indices = indices.collect();
        let constant = self.generator.random_range(-20..=20);
        Some((inputs, Operation::Move { shape, indices, constant }))
    }

    /// Returns sizes of matrices that have all elements of two tensors.
    fn matrices(&mut self, a: Shape, b: Shape) -> Matrices {
        let (a, b) = (a.elements(), b.elements());
        let mut divisor = |a: usize, b: usize| {
            let common: Vec<usize> =
                (1..=a).filter(|size| a.is_multiple_of(*size) && b.is_multiple_of(*size)).collect();
            common[self.generator.random_range(0..common.len())]
        };
        let inner = divisor(a, b);
        let count = divisor(a / inner, b / inner);
        let (rows, columns) = (a / inner / count, b / inner / count);
        Matrices { count, rows, inner, columns }
    }

    /// Appends a layer, with a rescale if it has sums, unless it or its values could be too large.
    fn push(&mut self, inputs: Vec<usize>, operation: Operation) {
        let range = self.range_of_move(&inputs, &operation);
        let inputs = inputs.into_iter().map(|input| input as u32).collect();
        self.network.layers.push(Layer { inputs, operation, rescale: None, scale: 0 });
        // The interval of the sums does not depend on their rescale.
        if let Some(sums) = self.last_sums() {
            let rescale = self.rescale(sums);
            if let Some(last) = self.network.layers.last_mut() {
                last.rescale = rescale;
            }
        }
        match self.network.lower() {
            Ok(circuit)
                if circuit.magnitude() < MAX_MAGNITUDE && circuit.outputs.len() <= MAX_ELEMENTS =>
            {
                let shape = *self.network.shapes().unwrap().last().unwrap();
                let range = range.unwrap_or(circuit.stages.last().unwrap().range);
                self.tensors.push((shape, range));
            }
            _ => drop(self.network.layers.pop()),
        }
    }

    /// Returns the interval of a moved tensor: its stage writes the constant only.
    fn range_of_move(&self, inputs: &[usize], operation: &Operation) -> Option<Range> {
        let Operation::Move { constant, .. } = operation else { return None };
        let ranges = inputs.iter().map(|&input| self.tensors[input].1);
        Some(ranges.fold(Range::only(*constant), |all, range| all.union(&range)))
    }

    fn last_sums(&self) -> Option<Range> {
        let circuit = self.network.lower().ok()?;
        match &circuit.stages.last()?.kind {
            // That of a move has no sums of its own.
            StageKind::Linear(linear) => {
                let is_move =
                    matches!(self.network.layers.last()?.operation, Operation::Move { .. });
                (!is_move).then_some(linear.sums)
            }
            StageKind::Product(product) => Some(product.sums),
            StageKind::MatrixProduct(product) => Some(product.sums),
            StageKind::Max(_) | StageKind::Table(_) => None,
        }
    }

    /// Returns a rescale of sums; `None` if they are few, in some cases.
    fn rescale(&mut self, sums: Range) -> Option<Rescale> {
        let excess = (u64::BITS - width(sums).leading_zeros()).saturating_sub(MAX_LOG_VALUES);
        if excess == 0 && self.generator.random_bool(0.4) {
            return None;
        }
        let shift = excess as u8 + self.generator.random_range(0..3);
        let bits = self.generator.random_range(1..=8);
        let clamp = if self.generator.random_bool(0.5) {
            Clamp::Unsigned(bits)
        } else {
            Clamp::Signed(bits)
        };
        Some(Rescale { shift, clamp })
    }
}

/// Returns the number of values of an interval, less one.
fn width(range: Range) -> u64 {
    range.high.abs_diff(range.low)
}

/// Returns the kind of an operation as a number below [`KINDS`].
pub(crate) fn kind(operation: &Operation) -> usize {
    match operation {
        Operation::Dense { .. } => 0,
        Operation::Convolution { .. } => 1,
        Operation::Sum { .. } => 2,
        Operation::MaxPool { .. } => 3,
        Operation::Table { .. } => 4,
        Operation::Move { .. } => 5,
        Operation::Product => 6,
        Operation::MatrixProduct(_) => 7,
    }
}
