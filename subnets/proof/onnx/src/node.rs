//! Conversion of ONNX nodes to float nodes, and their operands. Reshapes and identities only rename
//! their input.

use std::sync::Arc;

use taonet_proof_core::Shape;
use taonet_proof_core::float::{Binary, FloatNode, FloatOperation};
use taonet_proof_onnx_file::branch::Branch;

use super::proto::NodeProto;
use super::tensor::Constant;
use super::{MAX_LIST, OnnxError, Reader, Value, dims, invalid_shape, rules, unsupported};

/// A computed tensor that a node reads.
#[derive(Clone)]
pub(super) struct Operand {
    /// Index in the float network.
    pub(super) index: usize,
    /// Shape of the tensor where it is computed.
    pub(super) shape: Shape,
    /// Dimensions that the node sees.
    pub(super) dims: Vec<usize>,
}

impl Reader {
    pub(super) fn convert_node(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        rules::check_node(node)?;
        self.check_type(node)?;
        if node.domain == rules::ML_DOMAIN {
            return self.convert_ml_operator(node);
        }
        match node.op_type.as_str() {
            "Constant" => self.convert_constant(node),
            "Identity" => self.rename(node, None),
            "Cast" => self.convert_cast(node),
            "Dropout" => self.convert_dropout(node),
            "If" => self.convert_if(node),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.convert_reshape(node),
            "Shape" => self.convert_shape(node),
            "Size" => self.convert_size(node),
            "Add" => self.convert_arithmetic(node, Binary::Add),
            "Sub" => self.convert_arithmetic(node, Binary::Subtract),
            "Mul" | "And" => self.convert_arithmetic(node, Binary::Multiply),
            "Div" => self.convert_division(node),
            "Mod" => self.convert_remainder(node),
            "Pow" => self.convert_arithmetic(node, Binary::Power),
            "Equal" => self.convert_arithmetic(node, Binary::Equal),
            "Greater" => self.convert_arithmetic(node, Binary::Greater),
            "GreaterOrEqual" => self.convert_arithmetic(node, Binary::GreaterOrEqual),
            "Less" => self.convert_arithmetic(node, Binary::Less),
            "LessOrEqual" => self.convert_arithmetic(node, Binary::LessOrEqual),
            "Xor" => self.convert_xor(node),
            "Where" => self.convert_where(node),
            "Max" | "Min" | "Or" => self.convert_extremum(node),
            "Mean" => self.convert_mean(node),
            "Sum" => self.convert_sum(node),
            "PRelu" => self.convert_prelu(node),
            "Shrink" | "ThresholdedRelu" => self.convert_piecewise(node),
            "QuantizeLinear" | "DequantizeLinear" => self.convert_quantisation(node),
            "Softmax" | "LogSoftmax" => self.convert_softmax(node),
            "LayerNormalization" | "RMSNormalization" => self.convert_layer_norm(node),
            "InstanceNormalization" => self.convert_instance_norm(node),
            "GroupNormalization" => self.convert_group_norm(node),
            "LpNormalization" => self.convert_unit_norm(node),
            "BatchNormalization" => self.convert_batch_norm(node),
            "ReduceMax" | "ReduceMean" | "ReduceMin" | "ReduceSum" => self.convert_reduction(node),
            "ReduceProd" => self.convert_row_products(node),
            operator if operator.starts_with("Reduce") => self.convert_function_reduction(node),
            "ArgMax" | "ArgMin" => self.convert_position_of_extremum(node),
            "Hardmax" => self.convert_hardmax(node),
            "TopK" => self.convert_top_k(node),
            "CumSum" => self.convert_cumulative_sums(node),
            _ => self.convert_layer_or_move(node),
        }
    }

    /// Converts a layer with weights, a pool, or a move; or a function of each element.
    fn convert_layer_or_move(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        match node.op_type.as_str() {
            "Gemm" => self.convert_gemm(node),
            "MatMul" => self.convert_matrix_product(node),
            "Einsum" => self.convert_einsum(node),
            "Conv" => self.convert_convolution(node),
            "ConvTranspose" => self.convert_transposed_convolution(node),
            "AveragePool" | "MaxPool" => self.convert_pool(node),
            "GlobalAveragePool" | "GlobalMaxPool" => self.convert_global_pool(node),
            "GRU" | "LSTM" | "RNN" => self.convert_recurrent(node),
            "Transpose" => self.convert_transpose(node),
            "Slice" => self.convert_slice(node),
            "Split" => self.convert_split(node),
            "Expand" => self.convert_expand(node),
            "Concat" => self.convert_concat(node),
            "Pad" => self.convert_pad(node),
            "Tile" => self.convert_tile(node),
            "Trilu" => self.convert_triangle(node),
            "DepthToSpace" | "SpaceToDepth" => self.convert_blocks(node),
            "Resize" | "Upsample" => self.convert_resize(node),
            "Gather" => self.convert_gather(node),
            "GatherElements" => self.convert_gather_elements(node),
            "GatherND" => self.convert_gather_slices(node),
            "OneHot" => self.convert_one_hot(node),
            "ScatterElements" => self.convert_scatter_elements(node),
            "ScatterND" => self.convert_scatter_slices(node),
            "NonZero" | "Range" => {
                let reason =
                    "an operand depends on the network's input: the number of outputs would, too";
                Err(unsupported(node, reason.to_owned()))
            }
            _ => self.convert_function(node),
        }
    }

    /// Returns the computed tensor at an input position.
    pub(super) fn tensor(&self, node: &NodeProto, position: usize) -> Result<Operand, OnnxError> {
        let value = node.input.get(position).and_then(|name| self.values.get(name));
        let Some(Value::Tensor(index, dims)) = value else {
            return Err(unsupported(
                node,
                format!("input {position} does not depend on the network's input"),
            ));
        };
        let shape = self
            .network
            .shape(*index)
            .ok_or_else(|| unsupported(node, "the input has no shape".to_owned()))?;
        Ok(Operand { index: *index, shape, dims: dims.clone() })
    }

    /// Returns the tensor at an input position. A constant becomes one: its elements are
    /// activations.
    pub(super) fn operand(
        &mut self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Operand, OnnxError> {
        let Some(constant) = self.weights(node, position).ok().flatten() else {
            return self.tensor(node, position);
        };
        let overflow_error =
            || unsupported(node, format!("input {position} exceeds single precision"));
        let (values, dims) =
            (constant.to_floats().ok_or_else(overflow_error)?.into_owned(), constant.dims.clone());
        let shape = Shape::vector(values.len()).map_err(invalid_shape(node))?;
        let operation = FloatOperation::Constant(values);
        let index = self.push_node(FloatNode { inputs: vec![0], shape, operation })?;
        Ok(Operand { index, shape, dims })
    }

    /// Returns the dimensions of the tensor or constant at an input position.
    pub(super) fn dims_of(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Vec<usize>, OnnxError> {
        let value = node.input.get(position).and_then(|name| self.values.get(name));
        value
            .map(|value| value.dims().to_vec())
            .ok_or_else(|| unsupported(node, format!("input {position} is missing")))
    }

    /// Returns the weights at an input position; `None` if there are none.
    pub(super) fn weights(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<&Constant>, OnnxError> {
        match node
            .input
            .get(position)
            .filter(|name| !name.is_empty())
            .and_then(|name| self.values.get(name))
        {
            None => Ok(None),
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(Value::Tensor(..)) => {
                Err(unsupported(node, format!("input {position} must be a weight of the file")))
            }
        }
    }

    /// Returns the integers at an input position, if it has an input.
    pub(super) fn integers(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Vec<i64>>, OnnxError> {
        let check_integers = |constant: &Constant| match constant.integers() {
            Some(values) if values.len() <= MAX_LIST => Ok(values.to_vec()),
            Some(values) => {
                Err(unsupported(node, format!("input {position} has {} integers", values.len())))
            }
            None => Err(unsupported(node, format!("input {position} is not a list of integers"))),
        };
        self.weights(node, position)?.map(check_integers).transpose()
    }

    /// Returns the integers of an attribute or, since a version of the operator set, at an input
    /// position.
    pub(super) fn attribute_or_input(
        &self,
        node: &NodeProto,
        values_name: &str,
        attribute: &str,
        position: usize,
        min_opset: i64,
    ) -> Result<Option<Vec<i64>>, OnnxError> {
        let (attribute, input) =
            (node.ints(attribute).map(<[i64]>::to_vec), self.integers(node, position)?);
        let misplaced = if self.opset < min_opset { input.is_some() } else { attribute.is_some() };
        if misplaced {
            return Err(unsupported(
                node,
                format!("{values_name} are misplaced for operator set {}", self.opset),
            ));
        }
        Ok(attribute.or(input))
    }

    /// Returns float weights with exactly these dimensions.
    pub(super) fn floats(
        &self,
        node: &NodeProto,
        position: usize,
        dims: &[usize],
    ) -> Result<Vec<f32>, OnnxError> {
        let constant = self.weights(node, position)?;
        let constant =
            constant.ok_or_else(|| unsupported(node, format!("input {position} is missing")))?;
        match constant.to_floats() {
            Some(values) if constant.dims == dims => Ok(values.into_owned()),
            _ => Err(unsupported(
                node,
                format!(
                    "input {position} has dimensions {:?}, expected numbers with {dims:?}",
                    constant.dims
                ),
            )),
        }
    }

    /// Returns float weights that are repeated to these dimensions.
    pub(super) fn broadcast_weights(
        &self,
        node: &NodeProto,
        position: usize,
        dims: &[usize],
    ) -> Result<Vec<f32>, OnnxError> {
        let constant = self.weights(node, position)?;
        let constant =
            constant.ok_or_else(|| unsupported(node, format!("input {position} is missing")))?;
        let values = constant.to_floats();
        let values = values.ok_or_else(|| {
            unsupported(node, format!("input {position} exceeds single precision"))
        })?;
        let values = dims::broadcast(&values, &constant.dims, dims);
        values.ok_or_else(|| {
            let actual = &constant.dims;
            unsupported(
                node,
                format!("input {position} has dimensions {actual:?}, which cannot be repeated to {dims:?}"),
            )
        })
    }

    fn convert_constant(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let constant = Arc::new(node.constant()?);
        super::define(&mut self.values, output_name(node)?, Value::Constant(constant))
    }

    /// Gives the first input another name and, unless they are unchanged, other dimensions.
    pub(super) fn rename(
        &mut self,
        node: &NodeProto,
        dims: Option<Vec<usize>>,
    ) -> Result<(), OnnxError> {
        let name = node
            .input
            .first()
            .ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?;
        let value = self.values.get(name).cloned();
        let mut value =
            value.ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?;
        if let Value::Tensor(index, current_dims) = &mut value {
            // Otherwise nothing reads the old name any more.
            if self.use_counts.get(name) != Some(&1) {
                self.aliased_tensors.insert(*index);
            }
            if let Some(dims) = dims {
                *current_dims = dims;
            }
        }
        super::define(&mut self.values, output_name(node)?, value)
    }

    /// Converts the branch that a constant condition chooses.
    fn convert_if(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let condition = self.weights(node, 0).ok().flatten().and_then(Constant::integers);
        let Some(&[condition]) = condition else {
            return Err(unsupported(
                node,
                "the condition depends on the network's input; hint: compute both branches, and choose with Where"
                    .to_owned(),
            ));
        };
        let Branch { nodes, constants } = Branch::choose(node, condition != 0)?;
        for (name, constant) in constants {
            super::define(&mut self.values, &name, Value::Constant(constant))?;
        }
        for name in nodes.iter().flat_map(|inner| &inner.input) {
            *self.use_counts.entry(name.clone()).or_default() += 1;
        }
        nodes.iter().try_for_each(|inner| self.fold_or_convert(inner))
    }

    /// Omits a dropout, which changes values in training only.
    fn convert_dropout(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if self.integers(node, 2)?.is_some_and(|training| training.iter().any(|&flag| flag != 0)) {
            return Err(unsupported(node, "training mode is unsupported".to_owned()));
        }
        self.rename(node, None)
    }

    /// Changes the dimensions of a tensor. Layers read its elements in order, so a dense layer
    /// needs no more.
    fn convert_reshape(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let Operand { dims, .. } = self.tensor(node, 0)?;
        let missing = |values_name: &str| unsupported(node, format!("{values_name} not constant"));
        let dims = match node.op_type.as_str() {
            "Flatten" => dims::flattened_dims(node, &dims)?,
            "Reshape" => {
                let target = self.integers(node, 1)?.ok_or_else(|| missing("the new shape is"))?;
                dims::reshaped_dims(node, &dims, &target)?
            }
            operator => {
                let axes = self.attribute_or_input(node, "axes", "axes", 1, 13)?;
                if operator == "Squeeze" {
                    dims::squeezed_dims(node, &dims, axes.as_deref())?
                } else {
                    dims::unsqueezed_dims(
                        node,
                        &dims,
                        &axes.ok_or_else(|| missing("the axes are"))?,
                    )?
                }
            }
        };
        self.rename(node, Some(dims))
    }

    /// Returns whether the node is the only reader of the last computed tensor, which may then be
    /// modified.
    pub(super) fn is_only_reader_of_last(&self, node: &NodeProto, position: usize) -> bool {
        let last = self.network.nodes.len();
        node.input.get(position).is_some_and(|name| {
            matches!(self.values.get(name), Some(Value::Tensor(index, _)) if *index == last)
                && self.use_counts.get(name) == Some(&1)
                && !self.aliased_tensors.contains(&last)
        })
    }
}

pub(super) fn output_name(node: &NodeProto) -> Result<&str, OnnxError> {
    match node.output.first() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(unsupported(node, "the node has no output".to_owned())),
    }
}

/// Returns whether a node has outputs besides the first one.
pub(super) fn has_more_outputs(node: &NodeProto) -> bool {
    node.output.iter().skip(1).any(|name| !name.is_empty())
}
