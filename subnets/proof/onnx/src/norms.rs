//! Conversion of Softmax and of norms over axes. They become maxima, sums, tables and products of
//! rows, so the integers need nothing further.

use std::collections::HashMap;

use taonet_proof_core::Shape;
use taonet_proof_core::float::{Binary, FloatNode, FloatOperation, Function, Unary};

use super::dims;
use super::elementwise::Affine;
use super::node::{Operand, has_more_outputs, output_name};
use super::proto::NodeProto;
use super::reduce::{Rows, row_shape};
use super::{MASKED, OnnxError, Reader, Value, unsupported};

/// Lower limit of a softmax's sum, whose largest term is 1: only rounding could yield a smaller
/// sum.
const MIN_SUM: f64 = 0.5;

impl Reader {
    /// Converts a softmax. One at the end over all elements is omitted, since its arguments have
    /// the same ranking.
    pub(super) fn convert_softmax(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axes = self.softmax_axes(node, input.dims.len())?;
        let covers_all = input
            .dims
            .iter()
            .enumerate()
            .all(|(axis, &extent)| extent == 1 || axes.contains(&axis));
        if covers_all && self.is_last_softmax(output_name(node)?) {
            self.network
                .notes
                .push("the final softmax is omitted: outputs are its inputs".to_owned());
            return self.rename(node, None);
        }
        let rows = self.rows(node, &input, &axes)?;
        let is_log = node.op_type == "LogSoftmax";
        let mask = self.softmax_mask(node, input.index, &rows)?;
        if is_log && mask.is_some() {
            return Err(unsupported(
                node,
                "the logarithm of a masked element is infinite".to_owned(),
            ));
        }
        let arguments = match &mask {
            None => self.push_in_rows(node, input.index, &rows)?,
            Some(mask) => {
                let shape = mask.shape(node, &rows)?;
                self.push_moved(node, mask.inputs.clone(), mask.sources.clone(), 0.0, shape)?
            }
        };
        let ordered_rows = Rows::in_order(rows.count, rows.width);
        let terms = self.push_softmax_terms(node, arguments, &ordered_rows, mask.as_ref())?;
        let mut deferred_factors = None;
        let tensor = if is_log {
            self.push_log_softmax(node, &terms, &ordered_rows)?
        } else {
            let inverse = Function::Variable.then(Unary::Inverse { minimum: MIN_SUM });
            let factors = self.push_mapped(terms.sums, inverse)?;
            if self.is_division_deferred(node, &input.dims, &axes)? {
                deferred_factors = Some(factors);
                terms.in_rows
            } else {
                let inputs = vec![
                    terms.powers,
                    self.push_repeated_for_terms(node, factors, &ordered_rows, mask.as_ref())?,
                ];
                let shape = self.network.shape(terms.powers).unwrap_or(input.shape);
                let quotients = FloatNode { inputs, shape, operation: FloatOperation::Multiply };
                let quotients = self.push_node(quotients)?;
                self.push_with_masked(node, quotients, &ordered_rows, mask.as_ref())?
            }
        };
        let tensor = self.push_restored(node, tensor, &rows, &input.dims)?;
        if let Some(factors) = deferred_factors {
            self.undivided_products.insert(tensor, factors);
        }
        super::define(&mut self.values, output_name(node)?, Value::Tensor(tensor, input.dims))
    }

    /// Returns the axes over which a softmax adds.
    fn softmax_axes(&self, node: &NodeProto, rank: usize) -> Result<Vec<usize>, OnnxError> {
        // Before version 13, the default axis is 1, and the softmax covers all dimensions from the
        // axis on.
        let is_before_opset_13 = self.opset < 13;
        let axis =
            dims::axis(node, node.int("axis", if is_before_opset_13 { 1 } else { -1 }), rank)?;
        Ok((axis..if is_before_opset_13 { rank } else { axis + 1 }).collect())
    }

    /// Returns whether a softmax is divided by its sums after the product with a matrix that reads
    /// it. The product is linear, and has fewer elements if the matrix has fewer columns than the
    /// softmax.
    fn is_division_deferred(
        &self,
        node: &NodeProto,
        dims: &[usize],
        axes: &[usize],
    ) -> Result<bool, OnnxError> {
        let matrix = self
            .product_operands
            .get(output_name(node)?)
            .and_then(|matrix| self.values.get(matrix));
        let Some(Value::Tensor(_, matrix_dims)) = matrix else { return Ok(false) };
        let is_of_rows = dims.len() > 1 && matrix_dims.len() > 1 && axes == [dims.len() - 1];
        Ok(is_of_rows && matrix_dims.last() < dims.last())
    }

    /// Divides a product by the sums of the softmax that is its first operand, unless the softmax
    /// is divided already. Returns the tensor.
    pub(super) fn push_divided(
        &mut self,
        node: &NodeProto,
        softmax: &Operand,
        product: &Operand,
    ) -> Result<usize, OnnxError> {
        let Some(index) = self.undivided_products.remove(&softmax.index) else {
            return Ok(product.index);
        };
        let mut dims = softmax.dims.clone();
        if let Some(columns) = dims.last_mut() {
            *columns = 1;
        }
        let shape = self.network.shape(index).unwrap_or(product.shape);
        let factors =
            self.broadcast(node, &Operand { index, shape, dims }, &product.dims, product.shape)?;
        let inputs = vec![product.index, factors];
        self.push_node(FloatNode {
            inputs,
            shape: product.shape,
            operation: FloatOperation::Multiply,
        })
    }

    /// Appends the terms of a softmax, given its arguments: those in rows, or those that a mask
    /// keeps.
    fn push_softmax_terms(
        &mut self,
        node: &NodeProto,
        arguments: usize,
        rows: &Rows,
        mask: Option<&SoftmaxMask>,
    ) -> Result<SoftmaxTerms, OnnxError> {
        let maxima_arguments = match mask {
            None => arguments,
            Some(mask) => self.push_moved(
                node,
                vec![arguments],
                mask.maximum_terms.clone(),
                0.0,
                rows.shape(node)?,
            )?,
        };
        let largest = self.push_row_maxima(node, maxima_arguments, rows)?;
        let inputs = vec![arguments, self.push_repeated_for_terms(node, largest, rows, mask)?];
        let shape = self.network.shape(arguments).unwrap_or(self.network.input);
        let differences =
            self.push_node(FloatNode { inputs, shape, operation: FloatOperation::Subtract })?;
        let powers = self.push_mapped(differences, Function::Variable.then(Unary::Exp))?;
        let in_rows = self.push_with_masked(node, powers, rows, mask)?;
        let sums = self.push_row_sums(node, in_rows, rows, 0)?;
        Ok(SoftmaxTerms { differences, powers, in_rows, sums })
    }

    /// Appends a tensor that repeats the value of each row for all of its terms, and returns it.
    fn push_repeated_for_terms(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
        mask: Option<&SoftmaxMask>,
    ) -> Result<usize, OnnxError> {
        match mask {
            None => self.push_repeated(node, tensor, rows),
            Some(mask) => {
                self.push_moved(node, vec![tensor], mask.rows.clone(), 0.0, mask.shape(node, rows)?)
            }
        }
    }

    /// Appends the rows of a tensor of terms, in which masked elements are 0, and returns it.
    fn push_with_masked(
        &mut self,
        node: &NodeProto,
        terms: usize,
        rows: &Rows,
        mask: Option<&SoftmaxMask>,
    ) -> Result<usize, OnnxError> {
        match mask {
            None => Ok(terms),
            Some(mask) => {
                self.push_moved(node, vec![terms], mask.sum_indices.clone(), 0.0, rows.shape(node)?)
            }
        }
    }

    /// Appends the logarithms of a softmax, and returns them.
    fn push_log_softmax(
        &mut self,
        node: &NodeProto,
        terms: &SoftmaxTerms,
        rows: &Rows,
    ) -> Result<usize, OnnxError> {
        let positive = Unary::Clip { low: MIN_SUM, high: f64::INFINITY };
        let logarithms =
            self.push_mapped(terms.sums, Function::Variable.then(positive).then(Unary::Log))?;
        let inputs = vec![terms.differences, self.push_repeated(node, logarithms, rows)?];
        self.push_node(FloatNode {
            inputs,
            shape: rows.shape(node)?,
            operation: FloatOperation::Subtract,
        })
    }

    /// Returns the mask of a softmax's argument; `None` if it has none.
    fn softmax_mask(
        &self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
    ) -> Result<Option<SoftmaxMask>, OnnxError> {
        let producer = tensor.checked_sub(1).and_then(|index| self.network.nodes.get(index));
        let Some(FloatNode {
            inputs, operation: FloatOperation::Move { indices, constant }, ..
        }) = producer
        else {
            return Ok(None);
        };
        if *constant > MASKED {
            return Ok(None);
        }
        let elements = inputs
            .iter()
            .filter_map(|&input| self.network.shape(input))
            .map(|shape| shape.elements());
        let constant_position = elements.sum::<usize>() as u32;
        let (mut sources, mut term_rows) = (Vec::new(), Vec::new());
        let (mut maximum_terms, mut sum_indices) = (Vec::new(), Vec::new());
        for (row, elements) in rows.positions().chunks(rows.width).enumerate() {
            let first = sources.len();
            for &element in elements {
                let source = indices
                    .get(element as usize)
                    .copied()
                    .filter(|&source| source != constant_position);
                let index = source.map(|_| sources.len() as u32);
                // An element that is repeated does not change the maximum of its row.
                maximum_terms.push(index.unwrap_or(first as u32));
                sum_indices.push(index);
                sources.extend(source);
                term_rows.extend(source.map(|_| row as u32));
            }
            if sources.len() == first {
                return Err(unsupported(node, "all elements of a row are masked".to_owned()));
            }
        }
        // The last row of the rectangle is filled up with the first term.
        let count = sources.len().next_multiple_of(rows.width);
        sources.resize(count, sources.first().copied().unwrap_or_default());
        term_rows.resize(count, 0);
        let sum_indices =
            sum_indices.into_iter().map(|index| index.unwrap_or(count as u32)).collect();
        Ok(Some(SoftmaxMask {
            inputs: inputs.clone(),
            sources,
            rows: term_rows,
            maximum_terms,
            sum_indices,
        }))
    }

    /// Converts the addition of a mask to a softmax's argument to a move; returns whether it is
    /// one.
    pub(super) fn try_convert_mask(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        mask: &[f32],
    ) -> Result<bool, OnnxError> {
        let name = output_name(node)?;
        let is_masked = |&offset: &f32| offset <= MASKED;
        let is_mask = mask.iter().any(is_masked)
            && mask.iter().all(|offset| is_masked(offset) || offset.abs() <= 0.0);
        if node.op_type != "Add" || !is_mask || !self.softmax_arguments.contains(name) {
            return Ok(false);
        }
        let constant = input.shape.elements() as u32;
        let indices = mask
            .iter()
            .zip(0..)
            .map(|(offset, index)| if is_masked(offset) { constant } else { index });
        self.define_moved(
            node,
            vec![input.index],
            indices.collect(),
            f32::MIN,
            input.dims.clone(),
        )?;
        Ok(true)
    }

    /// Converts a norm over the last axes, with the mean (LayerNormalization) or without
    /// (RMSNormalization).
    pub(super) fn convert_layer_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let first = dims::axis(node, node.int("axis", -1), input.dims.len())?;
        if has_more_outputs(node) {
            return Err(unsupported(node, "a second output is unsupported".to_owned()));
        }
        let axes: Vec<usize> = (first..input.dims.len()).collect();
        let factors = self.broadcast_weights(node, 1, &input.dims)?;
        let offsets = match self.weights(node, 2)? {
            Some(_) => self.broadcast_weights(node, 2, &input.dims)?,
            None => vec![0.0; factors.len()],
        };
        let is_centred = node.op_type == "LayerNormalization";
        self.convert_normalisation(node, &input, &axes, is_centred, &Affine { factors, offsets })
    }

    /// Converts a norm over the rows and columns of each channel.
    pub(super) fn convert_instance_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let &[1, channels, _, ..] = &input.dims[..] else {
            return Err(unsupported(
                node,
                format!("the input has dimensions {:?}, expected a batch of 1", input.dims),
            ));
        };
        let axes: Vec<usize> = (2..input.dims.len()).collect();
        let channel_factors =
            [self.floats(node, 1, &[channels])?, self.floats(node, 2, &[channels])?];
        let width = input.shape.elements() / channels;
        let [factors, offsets] = channel_factors.map(|values| {
            values.into_iter().flat_map(|value| std::iter::repeat_n(value, width)).collect()
        });
        self.convert_normalisation(node, &input, &axes, true, &Affine { factors, offsets })
    }

    /// Converts `(x - mean) / sqrt(variance + epsilon) * factor + offset`, with mean and variance
    /// over these axes.
    fn convert_normalisation(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        axes: &[usize],
        is_centred: bool,
        affine: &Affine,
    ) -> Result<(), OnnxError> {
        let epsilon = f64::from(node.float("epsilon", 1e-5));
        let rows = self.rows(node, input, axes)?;
        let (shape, ordered_rows) = (rows.shape(node)?, Rows::in_order(rows.count, rows.width));
        let mut values = self.push_in_rows(node, input.index, &rows)?;
        if is_centred {
            let means = self.push_row_means(node, values, &ordered_rows)?;
            let inputs = vec![values, self.push_repeated(node, means, &ordered_rows)?];
            values =
                self.push_node(FloatNode { inputs, shape, operation: FloatOperation::Subtract })?;
        }
        let squares = self
            .push_mapped(values, Function::Variable.with(Binary::Multiply, Function::Variable))?;
        let means = self.push_row_means(node, squares, &ordered_rows)?;
        let (root, mean) = self.root_and_function(means);
        let deviation = mean.with(Binary::Add, Function::Constant(epsilon)).then(Unary::Sqrt);
        let factors = self.push_mapped(root, deviation.then(Unary::Reciprocal))?;
        let inputs = vec![values, self.push_repeated(node, factors, &ordered_rows)?];
        let normal =
            self.push_node(FloatNode { inputs, shape, operation: FloatOperation::Multiply })?;
        let index = self.push_restored(node, normal, &rows, &input.dims)?;
        let shape = self.network.shape(index).unwrap_or(shape);
        self.convert_scale(node, &Operand { index, shape, dims: input.dims.clone() }, affine)
    }
}

/// The terms of a softmax, in rows or, with a mask, in its rectangle.
struct SoftmaxTerms {
    /// Differences between the arguments and the largest one of their row.
    differences: usize,
    /// Powers of the differences.
    powers: usize,
    /// The powers in rows, where masked elements are 0.
    in_rows: usize,
    /// The sum of the powers of each row.
    sums: usize,
}

/// A mask of rows. The elements that it keeps are arranged in a rectangle as wide as the rows, so
/// that nothing is computed for the others.
struct SoftmaxMask {
    /// The tensors before they are masked.
    inputs: Vec<usize>,
    /// Position in their elements of each term.
    sources: Vec<u32>,
    /// Row of each term.
    rows: Vec<u32>,
    /// For each element of the rows, a term of its row: its own one, unless it is masked.
    maximum_terms: Vec<u32>,
    /// For each element of the rows, its term; that of masked ones is after the last one.
    sum_indices: Vec<u32>,
}

impl SoftmaxMask {
    /// Returns the shape of the terms.
    fn shape(&self, node: &NodeProto, rows: &Rows) -> Result<Shape, OnnxError> {
        row_shape(node, self.sources.len() / rows.width, rows.width)
    }
}

/// Returns the second operand of each product whose first operand nothing else reads, by the name
/// of the first one. `reads` is the number of readers of each name.
pub(super) fn product_operands(
    nodes: &[NodeProto],
    reader_counts: &HashMap<String, usize>,
) -> HashMap<String, String> {
    let products = nodes.iter().filter(|node| node.op_type == "MatMul");
    let operands = products.filter_map(|node| match &node.input[..] {
        [first, second] if first != second && reader_counts.get(first) == Some(&1) => {
            Some((first.clone(), second.clone()))
        }
        _ => None,
    });
    operands.collect()
}
