//! Conversion of operators that simpler ones express.

use taonet_proof_core::Shape;
use taonet_proof_core::float::{FloatNode, FloatOperation};
use taonet_proof_onnx_file::einsum::Equation;

use super::expansion::{Expansion, float_attribute, int_attribute, permutation_attribute};
use super::linear::first_input;
use super::node::{Operand, output_name};
use super::proto::NodeProto;
use super::reduce::{reduced_dims, row_shape};
use super::windows::check_batch;
use super::{ElementType, OnnxError, Reader, Value, dims, unsupported};

/// Maximum number of factors of a product: the product of each pair is rounded.
const MAX_FACTORS: usize = 256;
/// Lower limit of a sum of powers, whose largest term is 1: only rounding could yield a smaller
/// sum.
const MIN_SUM: f32 = 0.5;

impl Reader {
    /// Converts the mean of any number of tensors.
    pub(super) fn convert_mean(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        let mut expansion = Expansion::new(self, node);
        let sum = expansion.node("Sum", &inputs);
        let count = expansion.number(inputs.len() as f32)?;
        expansion.node_named(output_name(node)?, "Div", &[&sum, &count], Vec::new());
        expansion.finish()
    }

    /// Converts a sum of functions along axes, or a function of it.
    pub(super) fn convert_function_reduction(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input_dims = self.tensor(node, 0)?.dims;
        let axes = self.required_axes(node, input_dims.len())?;
        let keeps_dims = node.int("keepdims", 1) != 0;
        let output_dims = reduced_dims(node, &input_dims, &axes);
        let axes: Vec<i64> = axes.iter().map(|axis| axis.cast_signed() as i64).collect();
        let (input, name) = (first_input(node)?, output_name(node)?);
        let mut expansion = Expansion::new(self, node);
        let terms = match node.op_type.as_str() {
            "ReduceL1" => expansion.node("Abs", &[input]),
            "ReduceL2" | "ReduceSumSquare" => expansion.node("Mul", &[input, input]),
            "ReduceLogSum" => input.to_owned(),
            _ => {
                let sum = expansion.log_sum(input, &axes)?;
                expansion.reshape_named(name, &sum, &output_dims)?;
                return expansion.finish();
            }
        };
        let sum = expansion.reduce_over("ReduceSum", &terms, &axes, keeps_dims)?;
        let function = match node.op_type.as_str() {
            "ReduceL2" => "Sqrt",
            "ReduceLogSum" => "Log",
            _ => "Identity",
        };
        expansion.node_named(name, function, &[&sum], Vec::new());
        expansion.finish()
    }

    /// Returns the axes that a node reduces, of which it must have at least one: without any, the
    /// function would remain.
    fn required_axes(&self, node: &NodeProto, rank: usize) -> Result<Vec<usize>, OnnxError> {
        let axes = self.reduced_axes(node, rank)?;
        if axes.is_empty() {
            return Err(unsupported(
                node,
                "noop_with_empty_axes without axes is unsupported".to_owned(),
            ));
        }
        Ok(axes)
    }

    /// Converts the product along axes: products of pairs, of these, and so on.
    pub(super) fn convert_row_products(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axes = self.required_axes(node, input.dims.len())?;
        let dims = reduced_dims(node, &input.dims, &axes);
        let rows = self.rows(node, &input, &axes)?;
        let (count, mut width) = (rows.count, rows.width);
        if width > MAX_FACTORS {
            let reason =
                format!("a product of {width} elements is unsupported, of {MAX_FACTORS} at most");
            return Err(unsupported(node, reason));
        }
        let mut values = self.push_in_rows(node, input.index, &rows)?;
        while width > 1 {
            let (half, odd) = (width / 2, width % 2);
            let shape = row_shape(node, count, half)?;
            let mut sides = Vec::with_capacity(2);
            for start in [0, half] {
                let positions =
                    (0..count).flat_map(|row| row * width + start..row * width + start + half);
                let positions = positions.map(|element| element as u32).collect();
                sides.push(self.push_moved(node, vec![values], positions, 0.0, shape)?);
            }
            let mut product = self.push_node(FloatNode {
                inputs: sides,
                shape,
                operation: FloatOperation::Multiply,
            })?;
            if odd == 1 {
                // The last element has no partner.
                let last = |row: usize| count * half + row * width + width - 1;
                let indices =
                    (0..count).flat_map(|row| (row * half..(row + 1) * half).chain([last(row)]));
                let indices = indices.map(|element| element as u32).collect();
                let shape = row_shape(node, count, half + 1)?;
                product = self.push_moved(node, vec![product, values], indices, 0.0, shape)?;
            }
            (values, width) = (product, half + odd);
        }
        super::define(&mut self.values, output_name(node)?, Value::Tensor(values, dims))
    }

    /// Converts a norm over groups of channels: that of an instance whose channels are the groups.
    pub(super) fn convert_group_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        check_batch(node, &input.dims)?;
        let (elements, input_dims) = (input.shape.elements(), input.dims);
        let channels = input_dims.get(1).copied().unwrap_or_default();
        let groups = usize::try_from(node.int("num_groups", 0)).unwrap_or_default();
        // Before version 21, factors are those of groups.
        let factor_dims = self.dims_of(node, 1)?;
        let repeats = match factor_dims[..] {
            [count] if count == channels => 1,
            [count] if count == groups => channels / groups.max(1),
            _ => 0,
        };
        if groups == 0 || !channels.is_multiple_of(groups) || repeats == 0 {
            return Err(unsupported(
                node,
                format!(
                    "{groups} groups and factors of {factor_dims:?} do not fit {channels} channels"
                ),
            ));
        }
        let parts = [self.floats(node, 1, &factor_dims)?, self.floats(node, 2, &factor_dims)?];
        let parts = parts
            .map(|part| part.iter().flat_map(|&value| vec![value; repeats]).collect::<Vec<f32>>());
        let mut channel_dims = vec![1; input_dims.len() - 1];
        if let Some(extent) = channel_dims.first_mut() {
            *extent = channels;
        }
        let epsilon = float_attribute("epsilon", node.float("epsilon", 1e-5));
        let mut expansion = Expansion::new(self, node);
        let [scale, shift] = parts;
        let [scale, shift] =
            [expansion.floats(&channel_dims, scale)?, expansion.floats(&channel_dims, shift)?];
        let ones = expansion.floats(&[groups], vec![1.0; groups])?;
        let zeros = expansion.floats(&[groups], vec![0.0; groups])?;
        let rows = expansion.reshape(first_input(node)?, &[1, groups, elements / groups])?;
        let normalised =
            expansion.node_with("InstanceNormalization", &[&rows, &ones, &zeros], vec![epsilon]);
        let normalised = expansion.reshape(&normalised, &input_dims)?;
        let scaled = expansion.node("Mul", &[&normalised, &scale]);
        expansion.node_named(output_name(node)?, "Add", &[&scaled, &shift], Vec::new());
        expansion.finish()
    }

    /// Converts a division by the norm along an axis.
    pub(super) fn convert_unit_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let operator = match node.int("p", 2) {
            1 => "ReduceL1",
            2 => "ReduceL2",
            other => return Err(unsupported(node, format!("p = {other} is neither 1 nor 2"))),
        };
        let input = first_input(node)?;
        let mut expansion = Expansion::new(self, node);
        let norm = expansion.reduce_over(operator, input, &[node.int("axis", -1)], true)?;
        expansion.node_named(output_name(node)?, "Div", &[input, &norm], Vec::new());
        expansion.finish()
    }

    /// Converts a Hardmax: 1 at the first maximum along an axis. Before version 13, the axes from
    /// this one on are one.
    pub(super) fn convert_hardmax(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let dims = self.tensor(node, 0)?.dims;
        let is_before_opset_13 = self.opset < 13;
        let axis = dims::axis(
            node,
            node.int("axis", if is_before_opset_13 { 1 } else { -1 }),
            dims.len(),
        )?;
        let (outer, along) = dims.split_at_checked(axis).unwrap_or_default();
        let mut expansion = Expansion::new(self, node);
        let (input, axis, width) = if is_before_opset_13 {
            let width = along.iter().product::<usize>();
            (expansion.reshape(first_input(node)?, &[outer.iter().product(), width])?, 1, width)
        } else {
            (
                first_input(node)?.to_owned(),
                axis.cast_signed() as i64,
                along.first().copied().unwrap_or_default(),
            )
        };
        let position = expansion.node_with(
            "ArgMax",
            &[&input],
            vec![int_attribute("axis", axis), int_attribute("keepdims", 0)],
        );
        let depth = expansion.integers(&[width.cast_signed() as i64])?;
        let values = expansion.floats(&[2], vec![0.0, 1.0])?;
        let one_hot = expansion.node_with(
            "OneHot",
            &[&position, &depth, &values],
            vec![int_attribute("axis", axis)],
        );
        expansion.reshape_named(output_name(node)?, &one_hot, &dims)?;
        expansion.finish()
    }

    /// Converts sums of all elements up to each one: a product with a triangle of ones. Those of
    /// integers are sums of channels, which nothing rounds: they can be positions that choose rows.
    pub(super) fn convert_cumulative_sums(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let dims = &input.dims;
        let axis = match self.integers(node, 1)?.as_deref() {
            Some(&[axis]) => dims::axis(node, axis, dims.len())?,
            _ => return Err(unsupported(node, "the axis is not one constant integer".to_owned())),
        };
        let length = dims.get(axis).copied().unwrap_or_default();
        Self::check_elements(node, &[length, length])?;
        let (is_reverse, is_exclusive) =
            (node.int("reverse", 0) != 0, node.int("exclusive", 0) != 0);
        let is_term = |term: usize, sum: usize| {
            let is_before = if is_reverse { term > sum } else { term < sum };
            is_before || (term == sum && !is_exclusive)
        };
        if self.element_type_of(node, 0) == ElementType::Integer {
            return self.convert_exact_sums(node, input, axis, is_term);
        }
        let weights = (0..length).flat_map(|term| (0..length).map(move |sum| (term, sum)));
        let weights = weights.map(|(term, sum)| f32::from(u8::from(is_term(term, sum)))).collect();
        let last = dims.len() - 1;
        // The axis becomes the last one, and then its former place.
        let moved_order = permutation_attribute((0..axis).chain(axis + 1..=last).chain([axis]));
        let restored_order = permutation_attribute((0..axis).chain([last]).chain(axis..last));
        let (input, name) = (first_input(node)?, output_name(node)?);
        let mut expansion = Expansion::new(self, node);
        let triangular_matrix = expansion.floats(&[length, length], weights)?;
        if axis == last {
            expansion.node_named(name, "MatMul", &[input, &triangular_matrix], Vec::new());
        } else {
            let columns = expansion.node_with("Transpose", &[input], moved_order);
            let sums = expansion.node("MatMul", &[&columns, &triangular_matrix]);
            expansion.node_named(name, "Transpose", &[&sums], restored_order);
        }
        expansion.finish()
    }

    /// Converts running sums along an axis to sums of channels: a channel has one term of each sum,
    /// or 0 if it does not count.
    fn convert_exact_sums(
        &mut self,
        node: &NodeProto,
        input: Operand,
        axis: usize,
        is_term: impl Fn(usize, usize) -> bool,
    ) -> Result<(), OnnxError> {
        let rows = self.rows(node, &input, &[axis])?;
        let (count, width) = (rows.count, rows.width);
        Self::check_elements(node, &[width, count, width])?;
        let zero = input.shape.elements() as u32;
        let mut terms = Vec::with_capacity(width * count * width);
        for term in 0..width {
            for row in rows.positions().chunks(width) {
                let position = row.get(term).copied().unwrap_or(zero);
                terms
                    .extend((0..width).map(|sum| if is_term(term, sum) { position } else { zero }));
            }
        }
        let shape = row_shape(node, width, count * width)?;
        let terms = self.push_moved(node, vec![input.index], terms, 0.0, shape)?;
        let sums = self.push_node(FloatNode {
            inputs: vec![terms],
            shape: Shape { channels: 1, ..shape },
            operation: FloatOperation::ChannelSum { shift: 0 },
        })?;
        let sums = self.push_restored(node, sums, &rows, &input.dims)?;
        super::define(&mut self.values, output_name(node)?, Value::Tensor(sums, input.dims))
    }

    /// Converts an Einsum of one tensor to a sum, and of two to products of matrices: the labels of
    /// both operands and of the output name the matrices, and those of both operands only are
    /// added.
    pub(super) fn convert_einsum(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let all_dims = (0..node.input.len()).map(|position| self.dims_of(node, position));
        let all_dims = all_dims.collect::<Result<Vec<_>, _>>()?;
        let all_dims: Vec<&[usize]> = all_dims.iter().map(Vec::as_slice).collect();
        let equation = Equation::parse(node, &all_dims)?;
        let name = output_name(node)?;
        let mut expansion = Expansion::new(self, node);
        let (sum, labels) = match (&node.input[..], &equation.inputs[..]) {
            ([input], [labels]) => expansion.sum_labels(input, labels, &equation.output)?,
            ([left, right], [left_labels, right_labels]) => expansion.product_of_labels(
                &equation,
                [left, right],
                [left_labels, right_labels],
            )?,
            _ => {
                return Err(unsupported(node, "more than two operands are unsupported".to_owned()));
            }
        };
        let transposed = expansion.transpose_labels(&sum, &labels, &equation.output);
        expansion.node_named(name, "Identity", &[&transposed], Vec::new());
        expansion.finish()
    }
}

impl Expansion<'_> {
    /// Appends the logarithm of the sum of powers along axes, which remain. The largest power is 1.
    fn log_sum(&mut self, input: &str, axes: &[i64]) -> Result<String, OnnxError> {
        let largest = self.reduce_over("ReduceMax", input, axes, true)?;
        let difference = self.node("Sub", &[input, &largest]);
        let powers = self.node("Exp", &[&difference]);
        let sum = self.reduce_over("ReduceSum", &powers, axes, true)?;
        let minimum = self.number(MIN_SUM)?;
        let sum = self.node("Max", &[&sum, &minimum]);
        let logarithm = self.node("Log", &[&sum]);
        Ok(self.node("Add", &[&logarithm, &largest]))
    }

    /// Appends a sum along the axes whose labels do not remain; returns its name and labels.
    fn sum_labels(
        &mut self,
        input: &str,
        labels: &[char],
        remaining: &[char],
    ) -> Result<(String, Vec<char>), OnnxError> {
        let (remaining_labels, summed_axes): (Vec<_>, Vec<_>) =
            labels.iter().copied().zip(0..).partition(|(label, _)| remaining.contains(label));
        let remaining_labels = remaining_labels.into_iter().map(|(label, _)| label).collect();
        if summed_axes.is_empty() {
            return Ok((input.to_owned(), remaining_labels));
        }
        let axes: Vec<i64> = summed_axes.into_iter().map(|(_, axis)| axis).collect();
        Ok((self.reduce_over("ReduceSum", input, &axes, false)?, remaining_labels))
    }

    /// Appends a move of axes with these labels to another order.
    fn transpose_labels(&mut self, input: &str, labels: &[char], order: &[char]) -> String {
        if labels == order {
            return input.to_owned();
        }
        let axes = order.iter().filter_map(|label| labels.iter().position(|other| other == label));
        self.node_with("Transpose", &[input], permutation_attribute(axes))
    }

    /// Appends the product of two tensors, summed over the labels that the output does not have;
    /// returns its name and labels.
    fn product_of_labels(
        &mut self,
        equation: &Equation,
        names: [&str; 2],
        labels: [&[char]; 2],
    ) -> Result<(String, Vec<char>), OnnxError> {
        let ([left, right], [left_labels, right_labels]) = (names, labels);
        let (left, left_labels) =
            self.sum_labels(left, left_labels, &[right_labels, &equation.output].concat())?;
        let (right, right_labels) =
            self.sum_labels(right, right_labels, &[labels[0], &equation.output].concat())?;
        let in_output = |label: &char| equation.output.contains(label);
        let filter_labels = |labels: &[char], keeps: &dyn Fn(&char) -> bool| {
            labels.iter().copied().filter(keeps).collect::<Vec<char>>()
        };
        let batch =
            filter_labels(&left_labels, &|label| right_labels.contains(label) && in_output(label));
        let inner =
            filter_labels(&left_labels, &|label| right_labels.contains(label) && !in_output(label));
        let rows = filter_labels(&left_labels, &|label| !right_labels.contains(label));
        let columns = filter_labels(&right_labels, &|label| !left_labels.contains(label));
        let left =
            self.transpose_labels(&left, &left_labels, &[&batch[..], &rows, &inner].concat());
        let right =
            self.transpose_labels(&right, &right_labels, &[&batch[..], &inner, &columns].concat());
        let extents = |labels: &[char]| {
            labels.iter().map(|&label| equation.extent(label)).collect::<Vec<usize>>()
        };
        let size = |labels: &[char]| extents(labels).iter().product::<usize>();
        // A single matrix of weights is a layer.
        let count = if batch.is_empty() { Vec::new() } else { vec![size(&batch)] };
        let left = self.reshape(&left, &[&count[..], &[size(&rows), size(&inner)]].concat())?;
        let right =
            self.reshape(&right, &[&count[..], &[size(&inner), size(&columns)]].concat())?;
        let product = self.node("MatMul", &[&left, &right]);
        let labels = [batch, rows, columns].concat();
        let product = self.reshape(&product, &extents(&labels))?;
        Ok((product, labels))
    }
}
