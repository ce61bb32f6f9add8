//! Conversion of matrix products. A row times constant weights is a dense layer, and several rows
//! are a convolution between moves.

use taonet_proof_core::float::{FloatNode, FloatOperation};
use taonet_proof_core::network::Matrices;
use taonet_proof_core::{Shape, Window};

use super::expansion::{Expansion, permutation_attribute};
use super::node::{Operand, output_name};
use super::proto::NodeProto;
use super::reduce::row_shape;
use super::{OnnxError, Reader, Value, dims, invalid_shape, unsupported};

impl Reader {
    pub(super) fn convert_gemm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let [a, b] = [self.dims_of(node, 0)?, self.dims_of(node, 1)?];
        if a.len() != 2 || b.len() != 2 {
            return Err(unsupported(
                node,
                format!("the operands have dimensions {a:?} and {b:?}, expected two matrices"),
            ));
        }
        let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
        let [transposes_a, transposes_b] = ["transA", "transB"].map(|name| node.int(name, 0) != 0);
        let has_weights = self.weights(node, 1).is_ok() && self.weights(node, 2).is_ok();
        if !transposes_a && a.first() == Some(&1) && has_weights {
            let input = self.tensor(node, 0)?;
            let (mut weights, outputs) = self.dense_weights(node, &input, transposes_b)?;
            let mut bias = match self.weights(node, 2)? {
                Some(_) => self.broadcast_weights(node, 2, &[1, outputs])?,
                None => vec![0.0; outputs],
            };
            for weight in &mut weights {
                *weight *= alpha;
            }
            for value in &mut bias {
                *value *= beta;
            }
            if weights.iter().chain(&bias).any(|value| !value.is_finite()) {
                return Err(unsupported(
                    node,
                    "a weight times alpha or beta is not finite".to_owned(),
                ));
            }
            return self.define_dense(node, &input, weights, bias);
        }
        let [left, right, others @ ..] = &node.input[..] else { return Err(OnnxError::Empty) };
        let mut expansion = Expansion::new(self, node);
        let [left, right] =
            [(left, transposes_a), (right, transposes_b)].map(|(name, is_transposed)| {
                if is_transposed {
                    expansion.node_with("Transpose", &[name], permutation_attribute([1, 0]))
                } else {
                    name.clone()
                }
            });
        let mut product = expansion.node("MatMul", &[&left, &right]);
        product = expansion.multiply_by(&product, alpha)?;
        if let Some(addend) = others.first().filter(|name| !name.is_empty()) {
            let addend = expansion.multiply_by(addend, beta)?;
            product = expansion.node("Add", &[&product, &addend]);
        }
        expansion.node_named(output_name(node)?, "Identity", &[&product], Vec::new());
        expansion.finish()
    }

    pub(super) fn convert_matrix_product(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let [a, b] = [self.dims_of(node, 0)?, self.dims_of(node, 1)?];
        match [self.tensor(node, 0).ok(), self.tensor(node, 1).ok()] {
            [Some(input), None] if b.len() == 2 && a.last() == Some(&input.shape.elements()) => {
                let (weights, outputs) = self.dense_weights(node, &input, false)?;
                self.define_dense(node, &input, weights, vec![0.0; outputs])
            }
            [None, None] => Err(unsupported(node, "both operands are constant".to_owned())),
            _ if a.len() < 2 || b.len() < 2 => self.convert_vector_product(node, &a, &b),
            [Some(left), Some(right)] => self.convert_computed_product(node, &left, &right),
            [Some(input), None] => self.convert_rows_product(node, &input),
            [None, Some(_)] => self.convert_product_of_weights(node, &a, &b),
        }
    }

    /// Multiplies a vector with matrices, or with another vector: on the left, it is a row, and on
    /// the right a column.
    fn convert_vector_product(
        &mut self,
        node: &NodeProto,
        a: &[usize],
        b: &[usize],
    ) -> Result<(), OnnxError> {
        let ([left, right], false) = (&node.input[..], a.is_empty() || b.is_empty()) else {
            return Err(unsupported(node, "an operand has no dimensions".to_owned()));
        };
        let mut expansion = Expansion::new(self, node);
        let row =
            if let &[length] = a { expansion.reshape(left, &[1, length])? } else { left.clone() };
        let column =
            if let &[length] = b { expansion.reshape(right, &[length, 1])? } else { right.clone() };
        let product = expansion.node("MatMul", &[&row, &column]);
        let mut dims: Vec<usize> = Vec::new();
        if let Some((outer, [rows, _])) = a.split_last_chunk::<2>() {
            dims.extend(outer.iter().chain([rows]));
        }
        if let Some((outer, [_, columns])) = b.split_last_chunk::<2>() {
            dims.extend(outer.iter().chain([columns]));
        }
        expansion.reshape_named(output_name(node)?, &product, &dims)?;
        expansion.finish()
    }

    /// Multiplies constant matrices with computed ones: the product of both transposed, in the
    /// other order, is transposed.
    fn convert_product_of_weights(
        &mut self,
        node: &NodeProto,
        a: &[usize],
        b: &[usize],
    ) -> Result<(), OnnxError> {
        let swapped_axes = |rank: usize| {
            let mut order: Vec<usize> = (0..rank).collect();
            if let [.., rows, columns] = &mut order[..] {
                std::mem::swap(rows, columns);
            }
            permutation_attribute(order)
        };
        let [left, right] = &node.input[..] else { return Err(OnnxError::Empty) };
        let mut expansion = Expansion::new(self, node);
        let left = expansion.node_with("Transpose", &[left], swapped_axes(a.len()));
        let right = expansion.node_with("Transpose", &[right], swapped_axes(b.len()));
        let product = expansion.node("MatMul", &[&right, &left]);
        expansion.node_named(
            output_name(node)?,
            "Transpose",
            &[&product],
            swapped_axes(a.len().max(b.len())),
        );
        expansion.finish()
    }

    /// Multiplies the matrices of two computed tensors. The batch dimensions are broadcast.
    fn convert_computed_product(
        &mut self,
        node: &NodeProto,
        a: &Operand,
        b: &Operand,
    ) -> Result<(), OnnxError> {
        let mismatch =
            || unsupported(node, format!("matrices of {:?} and {:?} do not fit", a.dims, b.dims));
        let (Some((batch_a, &[rows, inner])), Some((batch_b, &[height, columns]))) =
            (a.dims.split_last_chunk::<2>(), b.dims.split_last_chunk::<2>())
        else {
            return Err(mismatch());
        };
        let batch = dims::common_dims(&[batch_a, batch_b]).ok_or_else(mismatch)?;
        let count = dims::elements(&batch).ok_or_else(mismatch)?;
        if inner != height {
            return Err(mismatch());
        }
        let mut tensors = Vec::with_capacity(2);
        for (operand, matrix) in [(a, [rows, inner]), (b, [inner, columns])] {
            let dims = [&batch[..], &matrix].concat();
            let shape = if operand.dims == dims { Ok(operand.shape) } else { dims::shape(&dims) };
            let shape = shape.map_err(invalid_shape(node))?;
            tensors.push(self.try_broadcast(node, operand, &dims, shape)?.ok_or_else(mismatch)?);
        }
        let sizes = Matrices { count, rows, inner, columns };
        let shape = Shape::new(count, rows, columns).map_err(invalid_shape(node))?;
        let dims = [&batch[..], &[rows, columns]].concat();
        let operation = FloatOperation::MatrixProduct(sizes);
        let index = self.push_node(FloatNode { inputs: tensors, shape, operation })?;
        let product = Operand { index, shape, dims };
        let tensor = self.push_divided(node, a, &product)?;
        super::define(&mut self.values, output_name(node)?, Value::Tensor(tensor, product.dims))
    }

    /// Multiplies each row of a tensor with a matrix: a convolution of 1×1 whose channels are the
    /// columns, between moves. Several constant matrices are groups of channels.
    fn convert_rows_product(&mut self, node: &NodeProto, input: &Operand) -> Result<(), OnnxError> {
        let weight_dims = self.dims_of(node, 1)?;
        let mismatch = || {
            unsupported(
                node,
                format!("weights {weight_dims:?} do not match an input of {:?}", input.dims),
            )
        };
        let (matrix_batch, &[inner, outputs]) =
            weight_dims.split_last_chunk::<2>().ok_or_else(mismatch)?;
        let (input_batch, &[rows, width]) =
            input.dims.split_last_chunk::<2>().ok_or_else(mismatch)?;
        if width != inner || outputs == 0 {
            return Err(mismatch());
        }
        let is_single = matrix_batch.iter().all(|&extent| extent == 1)
            && matrix_batch.len() <= input_batch.len();
        let batch = dims::common_dims(&[input_batch, matrix_batch]).ok_or_else(mismatch)?;
        let matrices =
            if is_single { weight_dims.clone() } else { [&batch[..], &[inner, outputs]].concat() };
        let dims = [&batch[..], &[rows, outputs]].concat();
        Self::check_elements(node, &dims)?;
        // A single matrix is repeated no further than the file contains it.
        if !is_single {
            Self::check_elements(node, &matrices)?;
        }
        let repeated_dims = [&batch[..], &[rows, inner]].concat();
        let shape =
            if repeated_dims == input.dims { Ok(input.shape) } else { dims::shape(&repeated_dims) };
        let tensor =
            self.broadcast(node, input, &repeated_dims, shape.map_err(invalid_shape(node))?)?;
        let matrix_count = batch.iter().product::<usize>();
        // All rows share one matrix, or each group of rows has its own.
        let (count, rows) = if is_single { (1, matrix_count * rows) } else { (matrix_count, rows) };
        let transposed_weights = self.broadcast_weights(node, 1, &matrices)?;
        let order = dims::transposed_positions(&[count, inner, outputs], &[0, 2, 1]);
        let weights = order
            .iter()
            .filter_map(|&source| transposed_weights.get(source as usize).copied())
            .collect();
        let columns = dims::transposed_positions(&[count, rows, inner], &[0, 2, 1]);
        let shape = row_shape(node, count * inner, rows)?;
        let columns = self.push_moved(node, vec![tensor], columns, 0.0, shape)?;
        let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
        let bias = vec![0.0; count * outputs];
        let operation = FloatOperation::Convolution { window, groups: count, weights, bias };
        let shape = row_shape(node, count * outputs, rows)?;
        let product = self.push_node(FloatNode { inputs: vec![columns], shape, operation })?;
        self.define_moved(
            node,
            vec![product],
            dims::transposed_positions(&[count, outputs, rows], &[0, 2, 1]),
            0.0,
            dims,
        )?;
        self.before_move = Some(product);
        Ok(())
    }

    /// Returns the weight matrix at position 1 with one row for each output, and the number of
    /// outputs. The input must be a single row, or a vector.
    fn dense_weights(
        &self,
        node: &NodeProto,
        input: &Operand,
        transposed: bool,
    ) -> Result<(Vec<f32>, usize), OnnxError> {
        let inputs = input.shape.elements();
        let dims = self.weights(node, 1)?.map_or(&[][..], |constant| &constant.dims);
        let outputs = match (dims, transposed) {
            (&[outputs, width], true) | (&[width, outputs], false)
                if width == inputs && outputs > 0 =>
            {
                outputs
            }
            _ => {
                return Err(unsupported(
                    node,
                    format!("weights {dims:?} do not match an input of {:?}", input.dims),
                ));
            }
        };
        let dims = if transposed { [outputs, inputs] } else { [inputs, outputs] };
        let weights = self.floats(node, 1, &dims)?;
        if transposed {
            return Ok((weights, outputs));
        }
        let rows = (0..outputs).flat_map(|row| weights.iter().skip(row).step_by(outputs).copied());
        Ok((rows.collect(), outputs))
    }

    fn define_dense(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        weights: Vec<f32>,
        bias: Vec<f32>,
    ) -> Result<(), OnnxError> {
        let shape = Shape::vector(bias.len()).map_err(invalid_shape(node))?;
        let mut dims = input.dims.clone();
        if let Some(last) = dims.last_mut() {
            *last = bias.len();
        }
        let operation = FloatOperation::Dense { weights, bias };
        self.push(
            output_name(node)?,
            FloatNode { inputs: vec![input.index], shape, operation },
            dims,
        )
    }
}

impl Expansion<'_> {
    /// Appends a product with a number, unless the number is 1.
    fn multiply_by(&mut self, input: &str, factor: f32) -> Result<String, OnnxError> {
        if (factor - 1.0).abs() <= 0.0 {
            return Ok(input.to_owned());
        }
        let factor = self.number(factor)?;
        Ok(self.node("Mul", &[input, &factor]))
    }
}
