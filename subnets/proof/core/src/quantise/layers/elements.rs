//! Element-wise functions as tables, and moves.

use super::integers::{fits_table, weighted_sums};
use super::{MAX_SCALE, Quantiser, SUM_INTERVAL, Tensor, integer_bits};
use crate::float::{FloatNetwork, FloatNode, FloatOperation, Function, Unary};
use crate::network::{MAX_TABLE, Operation};
use crate::quantise::{MAX_TABLE_WORK, QuantiseError, power};
use crate::saturation::saturated_arguments;
use crate::{Clamp, Range, Rescale, Shape};

/// Further bits of tensors that only functions, sums of channels and products read. A value of a
/// table costs much less than a multiply-add, and the finer arguments keep steep functions precise.
const FINE_BITS: u8 = 3;
/// Maximum number of bits of such a tensor, if other activations have fewer: the product of two has
/// 28 bits, which the field of `stark` holds.
const MAX_FINE_BITS: u8 = 14;
/// Bits above those of the largest value in the sample that a sum of channels has before a
/// function, and a product of matrices that is divided by such sums. Other inputs can have a much
/// larger variance, or a softmax with many equal terms: a sum that saturates would spoil all
/// elements.
const HEADROOM: u8 = 2;
/// Maximum number of bits of an activation, and of the output of a function.
pub(in crate::quantise) const MAX_BITS: u8 = 16;

impl Quantiser<'_> {
    /// Returns the number of bits of a tensor's activations, and how many of them the sample does
    /// not need.
    pub(in crate::quantise) fn bits(&self, tensor: usize) -> (u8, u8) {
        let (default_bits, headroom) = match self.has_fine_scale.get(tensor) {
            Some(true) if self.is_channel_sum(tensor) || self.is_divided_later(tensor) => {
                (MAX_FINE_BITS.max(self.options.activation_bits), HEADROOM)
            }
            Some(true) => (self.fine_bits(), 0),
            _ => (self.options.activation_bits, 0),
        };
        let default_bits = default_bits.max(self.min_bits(tensor));
        (self.add_extra_bits(tensor, default_bits), headroom)
    }

    /// Adds the extra bits of a tensor to its default bits.
    fn add_extra_bits(&self, tensor: usize, default_bits: u8) -> u8 {
        let extra = self.extra_bits.get(tensor).copied().unwrap_or_default();
        default_bits.saturating_add(extra).min(MAX_BITS)
    }

    /// Returns whether a tensor is a sum of channels that only functions read.
    fn is_channel_sum(&self, tensor: usize) -> bool {
        let nodes = &self.network.nodes;
        let producer = tensor.checked_sub(1).and_then(|node| nodes.get(node));
        let is_sum = producer
            .is_some_and(|node| matches!(node.operation, FloatOperation::ChannelSum { .. }));
        let mut readers = nodes.iter().filter(|node| node.inputs.contains(&tensor));
        is_sum && readers.all(|node| matches!(node.operation, FloatOperation::Function(_)))
    }

    /// Returns whether a tensor is a product of matrices that is divided by the sums of a softmax:
    /// it grows with them.
    fn is_divided_later(&self, tensor: usize) -> bool {
        let nodes = &self.network.nodes;
        let producer = tensor.checked_sub(1).and_then(|node| nodes.get(node));
        let is_product =
            producer.is_some_and(|node| matches!(node.operation, FloatOperation::MatrixProduct(_)));
        let mut readers = nodes.iter().filter(|node| node.inputs.contains(&tensor)).peekable();
        let divides = |node: &FloatNode| {
            matches!(node.operation, FloatOperation::Multiply)
                && node.inputs.iter().any(|&input| input != tensor && self.is_reciprocal(input))
        };
        is_product && readers.peek().is_some() && readers.all(divides)
    }

    /// Returns whether a tensor has reciprocals, or moved ones.
    fn is_reciprocal(&self, tensor: usize) -> bool {
        let mut producer = tensor.checked_sub(1).and_then(|node| self.network.nodes.get(node));
        while let Some(FloatNode { operation: FloatOperation::Move { .. }, inputs, .. }) = producer
        {
            let moved_node = inputs.first().and_then(|input| input.checked_sub(1));
            producer = moved_node.and_then(|node| self.network.nodes.get(node));
        }
        matches!(
            producer.map(|node| &node.operation),
            Some(FloatOperation::Function(Function::Unary(Unary::Inverse { .. }, _)))
        )
    }

    /// Returns whether a tensor of sums is not rounded: its readers depend on nothing but the signs
    /// of its elements, such as comparisons. Then saturation changes nothing, but a small
    /// difference must not become 0.
    pub(super) fn is_read_for_sign(
        &self,
        tensor: usize,
        inputs: &[Tensor],
        operation: &Operation,
    ) -> bool {
        let Operation::Sum { factors } = operation else { return false };
        // Backends have a value for each quotient.
        let has_table = weighted_sums(inputs, factors).is_some_and(fits_table);
        let mut readers =
            self.network.nodes.iter().filter(|node| node.inputs.contains(&tensor)).peekable();
        let is_function_of_sign = |node: &FloatNode| match &node.operation {
            FloatOperation::Function(function) => function.is_function_of_sign(),
            _ => false,
        };
        has_table && readers.peek().is_some() && readers.all(is_function_of_sign)
    }

    /// Returns whether a tensor has products of matrices of which a move reads only some elements,
    /// such as those that the mask of an attention keeps. They are rescaled after the move, and the
    /// others are not.
    pub(super) fn is_rescaled_after_move(&self, tensor: usize) -> bool {
        let nodes = &self.network.nodes;
        let producer = tensor.checked_sub(1).and_then(|node| nodes.get(node));
        let is_product =
            producer.is_some_and(|node| matches!(node.operation, FloatOperation::MatrixProduct(_)));
        if !is_product || self.is_output(tensor) || self.reader_counts.get(tensor) != Some(&1) {
            return false;
        }
        let elements = self.network.shape(tensor).map_or(0, |shape| shape.elements());
        let mut readers = nodes.iter().filter(|node| node.inputs.contains(&tensor));
        readers.any(|reader| match &reader.operation {
            FloatOperation::Move { indices, constant } => {
                reader.inputs == [tensor] && constant.abs() <= 0.0 && indices.len() < elements
            }
            _ => false,
        })
    }

    fn fine_bits(&self) -> u8 {
        let bits = self.options.activation_bits;
        (bits + FINE_BITS).min(MAX_FINE_BITS).max(bits)
    }

    /// Appends a table of a function's values for every integer that its input can have.
    pub(super) fn push_function(
        &mut self,
        index: usize,
        input: Tensor,
        function: &Function,
    ) -> Result<(), QuantiseError> {
        let input = self.function_argument(index, input, function)?;
        if function.looks_up_exactly() && !input.is_exact {
            return Err(QuantiseError::Rounded { node: self.network.node_name(index) });
        }
        // The values of the last layer cost nothing more if they are finer.
        let bits = if self.is_output(index + 1) {
            MAX_BITS
        } else {
            self.summed_bits(index + 1).unwrap_or(self.bits(index + 1).0)
        };
        let integer_bits = match function.table_magnitude() {
            // The columns of a table get one scale, and other inputs can choose other rows.
            Some(magnitude) => integer_bits(magnitude),
            // Conditions are exact, whether or not one holds for the sample.
            None if function.is_boolean() => i32::from(bits),
            None => self.integer_bits(index + 1),
        };
        self.charge_table(input.range, function)?;
        let unit = power(-input.scale);
        let values = (input.range.low..=input.range.high).map(|argument| {
            let value = function.apply(argument as f64 * unit);
            if value.is_finite() {
                return Ok(value);
            }
            // No element has an argument outside of the interval of the values. It gets a value
            // nevertheless, since the table covers the 0 of padding, too.
            let nearest = argument.clamp(input.unpadded_range.low, input.unpadded_range.high);
            let value = function.apply(nearest as f64 * unit);
            let argument = argument as f64 * unit;
            if value.is_finite() {
                Ok(value)
            } else {
                Err(QuantiseError::Undefined { node: self.network.node_name(index), argument })
            }
        });
        let values = values.collect::<Result<Vec<f64>, _>>()?;
        let is_exact = self.has_exact_values(index, input, function, &values);
        let scale = if is_exact { 0 } else { (i32::from(bits) - integer_bits).min(MAX_SCALE) };
        let (factor, clamp) = (power(scale), Clamp::Signed(bits));
        let saturated = if is_exact {
            Vec::new()
        } else {
            let scaled = values.iter().map(|value| value * factor);
            saturated_arguments(input.range.low, scaled, clamp)
        };
        // The conversion of a number that is too large saturates.
        let quantised_value = |value: f64| {
            if is_exact { value as i64 } else { clamp.apply((value * factor).round() as i64) }
        };
        let values: Vec<i32> =
            values.into_iter().map(|value| quantised_value(value) as i32).collect();
        if scale < -MAX_SCALE {
            return Err(QuantiseError::Magnitude {
                node: self.network.node_name(index),
                magnitude: self.magnitude(index + 1),
            });
        }
        let range = values
            .iter()
            .fold(Range::only(0), |range, &value| range.union(&Range::only(value.into())));
        let possible_range = possible_range(&values, input);
        self.push(&[input], Operation::Table { low: input.range.low, values }, None, scale, range);
        self.narrow_last(possible_range);
        self.mark_exact(is_exact);
        if let Some(description) = self.descriptions.last_mut() {
            description.saturated = saturated;
        }
        Ok(())
    }

    /// Counts the operations that a table takes, before its values are computed.
    fn charge_table(&mut self, arguments: Range, function: &Function) -> Result<(), QuantiseError> {
        let operations = 1 + function.operation_count() as u64;
        let count = arguments.high.abs_diff(arguments.low).saturating_add(1);
        self.table_work = self.table_work.saturating_add(count.saturating_mul(operations));
        if self.table_work > MAX_TABLE_WORK {
            Err(QuantiseError::Tables(self.table_work))
        } else {
            Ok(())
        }
    }

    /// Returns the input of a function: rescaled to activations if it has more values than a table
    /// should have.
    fn function_argument(
        &mut self,
        index: usize,
        input: Tensor,
        function: &Function,
    ) -> Result<Tensor, QuantiseError> {
        let tensor = self
            .network
            .nodes
            .get(index)
            .and_then(|node| node.inputs.first())
            .copied()
            .unwrap_or_default();
        let argument_bits = self.fine_bits().max(self.min_bits(tensor));
        let bits = self.add_extra_bits(tensor, argument_bits);
        let width = input.range.high.abs_diff(input.range.low);
        // The neighbour of a token is another token.
        let is_exact =
            function.is_discontinuous() || (input.is_exact && self.requires_exactness(index + 1));
        let max_values = if is_exact { MAX_TABLE as u64 } else { 1 << (bits + 1) };
        if width < max_values || self.is_channel_sum(tensor) {
            return Ok(input);
        }
        if function.looks_up() {
            return Err(QuantiseError::Magnitude {
                node: self.network.node_name(index),
                magnitude: input.range.magnitude() as f32,
            });
        }
        let (rescale, scale) = self.rescale(tensor, input.scale, bits, input.range.low >= 0)?;
        let operation = Operation::Sum { factors: vec![1] };
        Ok(self.append_layer(&[input], operation, Some(rescale), scale, rescale.clamp.range()))
    }

    /// Appends a move of tensors, which get a common scale first.
    pub(super) fn push_move(
        &mut self,
        index: usize,
        inputs: &[Tensor],
        shape: Shape,
        indices: &[u32],
        constant: f64,
    ) -> Result<(), QuantiseError> {
        let scales = inputs.iter().map(|tensor| tensor.scale);
        let (coarsest, finest) =
            (scales.clone().min().unwrap_or_default(), scales.max().unwrap_or_default());
        // Coarse tensors are multiplied, up to the bits of the widest activations; finer ones are
        // rounded.
        let widest_bits = self
            .network
            .nodes
            .get(index)
            .into_iter()
            .flat_map(|node| &node.inputs)
            .map(|&tensor| self.add_extra_bits(tensor, self.options.activation_bits))
            .max();
        let spare_bits = MAX_BITS - widest_bits.unwrap_or(self.options.activation_bits);
        let scale = finest.min(coarsest + i32::from(spare_bits));
        let scaled = inputs
            .iter()
            .map(|&tensor| self.with_scale(index, tensor, scale))
            .collect::<Result<Vec<_>, _>>()?;
        let is_exact = inputs.iter().all(|tensor| tensor.is_exact) && constant.fract().abs() <= 0.0;
        let constant = (constant * power(scale)).round();
        if constant.abs() > f64::from(i32::MAX) {
            return Err(QuantiseError::Magnitude {
                node: self.network.node_name(index),
                magnitude: constant as f32,
            });
        }
        let constant = constant as i64;
        let range =
            scaled.iter().fold(Range::only(constant), |range, tensor| range.union(&tensor.range));
        let elements = input_elements(self.network, index);
        let is_padded = indices.iter().any(|&position| position as usize >= elements);
        let possible_ranges = scaled
            .iter()
            .map(|tensor| tensor.unpadded_range)
            .chain(is_padded.then(|| Range::only(constant)));
        let possible_range =
            possible_ranges.reduce(|range, other| range.union(&other)).unwrap_or(range);
        let operation = Operation::Move { shape, indices: indices.to_vec(), constant };
        self.push(&scaled, operation, None, scale, range);
        self.narrow_last(possible_range);
        self.mark_exact(is_exact);
        Ok(())
    }

    /// Appends a vector of constants: the biases of a dense layer that reads a zero.
    pub(super) fn push_constant(&mut self, index: usize, input: Tensor, values: &[f32]) {
        let fits =
            |value: &f32| value.fract().abs() <= 0.0 && f64::from(value.abs()) < MAX_TABLE as f64;
        let is_exact = self.requires_exactness(index + 1) && values.iter().all(fits);
        let integer_bits = self.integer_bits(index + 1);
        let scale = if is_exact {
            0
        } else {
            (i32::from(self.bits(index + 1).0) - integer_bits).min(MAX_SCALE)
        };
        // The position after the last element stands for the constant of a move.
        let indices = vec![self.network.input.elements() as u32];
        let shape = Shape { channels: 1, height: 1, width: 1 };
        let zero = Operation::Move { shape, indices, constant: 0 };
        let zero = self.append_layer(&[input], zero, None, scale, Range::only(0));
        let bias: Vec<i64> =
            values.iter().map(|&value| (f64::from(value) * power(scale)).round() as i64).collect();
        let range =
            bias.iter().map(|&value| Range::only(value)).reduce(|range, value| range.union(&value));
        let operation = Operation::Dense { weights: vec![0; bias.len()], bias };
        self.push(&[zero], operation, None, scale, range.unwrap_or(Range::only(0)));
        self.mark_exact(is_exact);
    }

    /// Returns a tensor with another scale. A coarser one is rounded and keeps its interval.
    pub(super) fn with_scale(
        &mut self,
        index: usize,
        tensor: Tensor,
        scale: i32,
    ) -> Result<Tensor, QuantiseError> {
        let (rescale, factor, range) = match scale - tensor.scale {
            0 => return Ok(tensor),
            finer @ 1..=30 => {
                (None, 1 << finer, tensor.range.times(1 << finer).unwrap_or(SUM_INTERVAL))
            }
            coarser @ -40..=-1 => {
                let shift = coarser.unsigned_abs() as u8;
                let quotients = Rescale { shift, clamp: Clamp::Signed(0) }.quotients(&tensor.range);
                let bits = u64::BITS - quotients.magnitude().leading_zeros();
                let rescale =
                    Rescale { shift, clamp: Clamp::Signed(bits.min(crate::MAX_BITS.into()) as u8) };
                (Some(rescale), 1, rescale.clamp.range())
            }
            _ => {
                return Err(QuantiseError::Magnitude {
                    node: self.network.node_name(index),
                    magnitude: power(-tensor.scale) as f32,
                });
            }
        };
        Ok(self.append_layer(
            &[tensor],
            Operation::Sum { factors: vec![factor] },
            rescale,
            scale,
            range,
        ))
    }
}

/// Returns the number of elements of all inputs of a node.
fn input_elements(network: &FloatNetwork, index: usize) -> usize {
    let inputs = network.nodes.get(index).map_or(&[][..], |node| &node.inputs);
    inputs.iter().filter_map(|&tensor| network.shape(tensor)).map(|shape| shape.elements()).sum()
}

/// Returns the interval of the values that a table has for the arguments of an input.
fn possible_range(values: &[i32], input: Tensor) -> Range {
    let offset = |argument: i64| usize::try_from(argument - input.range.low).unwrap_or_default();
    let possible = values
        .get(offset(input.unpadded_range.low)..=offset(input.unpadded_range.high))
        .unwrap_or(values);
    let ranges = possible.iter().map(|&value| Range::only(value.into()));
    ranges.reduce(|range, value| range.union(&value)).unwrap_or(Range::only(0))
}

/// Returns whether each tensor of a network has a fine scale: its only readers are functions, sums
/// of channels, products, and moves or differences whose own result has a fine scale, such as the
/// output.
pub(super) fn fine_scale_tensors(network: &FloatNetwork) -> Vec<bool> {
    let mut has_fine_scale: Vec<bool> =
        network.reader_counts().into_iter().map(|readers| readers > 0).collect();
    if let Some(output) = has_fine_scale.last_mut() {
        *output = true;
    }
    for (index, node) in network.nodes.iter().enumerate().rev() {
        // All readers of the output come later.
        let needs_precision = match node.operation {
            FloatOperation::Function(_)
            | FloatOperation::ChannelSum { .. }
            | FloatOperation::Multiply
            | FloatOperation::Compare { .. } => true,
            FloatOperation::Move { .. }
            | FloatOperation::MaxPool(_)
            | FloatOperation::Negate
            | FloatOperation::Subtract => has_fine_scale.get(index + 1) == Some(&true),
            _ => false,
        };
        for input in node.inputs.iter().filter(|_| !needs_precision) {
            if let Some(has_fine_scale) = has_fine_scale.get_mut(*input) {
                *has_fine_scale = false;
            }
        }
    }
    has_fine_scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::{Binary, ElementType};
    use crate::quantise::{QuantiseOptions, quantise};

    /// Thousands of large tables would take minutes and gigabytes before lowering refuses the
    /// network.
    #[test]
    fn tables_of_all_functions_have_a_limit() {
        let shape = Shape::vector(1).unwrap();
        let function = Function::Variable.then(Unary::Abs).then(Unary::Sqrt);
        let operation = FloatOperation::Function(function.clone());
        let nodes = vec![FloatNode { inputs: vec![0], shape, operation }];
        let network = FloatNetwork::new(shape, nodes);
        let options = QuantiseOptions::default();
        let mut quantiser = Quantiser::new(&network, &options, &[255.0, 16.0]);
        let input = quantiser.tensors[0];
        quantiser.table_work = MAX_TABLE_WORK - 256 * 3;
        assert_eq!(quantiser.push_function(0, input, &function), Ok(()));
        assert_eq!(
            quantiser.push_function(0, input, &function),
            Err(QuantiseError::Tables(MAX_TABLE_WORK + 256 * 3))
        );
    }
    /// A logarithm has no value for the 0 of padding. No input is 0, so the table's value for it
    /// has no effect.
    #[test]
    fn function_undefined_at_zero_is_accepted_for_range_without_zero() {
        let shape = Shape::vector(2).unwrap();
        let logarithm = || FloatOperation::Function(Function::Variable.then(Unary::Log));
        let move_operation = |is_padded: bool| {
            let indices = vec![1, if is_padded { 2 } else { 0 }];
            FloatOperation::Move { indices, constant: 0.0 }
        };
        let node = |input, operation| FloatNode { inputs: vec![input], shape, operation };
        let options = |low, high| QuantiseOptions {
            input_range: Range { low, high },
            ..QuantiseOptions::default()
        };
        let sample = [vec![4, 9]];
        let network = |nodes| FloatNetwork::new(shape, nodes);
        for nodes in
            [vec![node(0, logarithm())], vec![node(0, move_operation(false)), node(1, logarithm())]]
        {
            let is_moved = nodes.len() == 2;
            let network = network(nodes);
            let quantised = quantise(&network, &options(4, 9), &sample).unwrap();
            let circuit = quantised.lower().unwrap();
            assert_eq!(circuit.input_range, Range { low: 4, high: 9 });
            assert!(circuit.execute(&[0, 5]).is_err());
            let unit = power(-quantised.output_scale());
            let outputs = circuit.execute(&[4, 9]).unwrap().outputs(&circuit);
            let expected = if is_moved { [9.0_f64, 4.0] } else { [4.0, 9.0] };
            for (output, expected) in outputs.iter().zip(expected) {
                assert!((*output as f64 * unit - expected.ln()).abs() < 0.001, "{outputs:?}");
            }
            let error = quantise(&network, &options(0, 9), &sample);
            assert!(matches!(error, Err(QuantiseError::Undefined { .. })), "{error:?}");
        }
        // Padding is a 0 among the values.
        let padded = network(vec![node(0, move_operation(true)), node(1, logarithm())]);
        let error = quantise(&padded, &options(4, 9), &sample);
        assert!(matches!(error, Err(QuantiseError::Undefined { .. })), "{error:?}");
    }

    /// Integers that are compared are exact, and other constants have the bits of activations.
    #[test]
    fn only_compared_constants_are_exact() {
        let shape = Shape::vector(2).unwrap();
        let constant = FloatNode {
            inputs: vec![0],
            shape,
            operation: FloatOperation::Constant(vec![3.0, 300.0]),
        };
        let difference =
            FloatNode { inputs: vec![0, 1], shape, operation: FloatOperation::Subtract };
        let equal = Function::Variable.with(Binary::Equal, Function::Constant(0.0));
        let options = QuantiseOptions {
            input_range: Range { low: 0, high: 300 },
            ..QuantiseOptions::default()
        };
        for (operation, row, expected, tolerance) in [
            (FloatOperation::Function(equal.clone()), [3, 300], [1.0, 1.0], 0.0),
            (FloatOperation::Function(equal), [3, 299], [1.0, 0.0], 0.0),
            (FloatOperation::Negate, [5, 290], [-2.0, 10.0], 2.0),
        ] {
            let last = FloatNode { inputs: vec![2], shape, operation };
            let network =
                FloatNetwork::new(shape, vec![constant.clone(), difference.clone(), last]);
            let network = FloatNetwork { input_type: ElementType::Integer, ..network };
            let quantised = quantise(&network, &options, &[row.to_vec(), vec![0, 300]]).unwrap();
            let (circuit, unit) = (quantised.lower().unwrap(), power(-quantised.output_scale()));
            let outputs = circuit.execute(&row).unwrap().outputs(&circuit);
            let close = outputs
                .iter()
                .zip(expected)
                .all(|(&output, expected)| (output as f64 * unit - expected).abs() <= tolerance);
            assert!(close, "{row:?}: {outputs:?}");
        }
    }
}
