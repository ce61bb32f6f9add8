//! Evaluation of a model as the ONNX standard defines its operators: node by node, in double
//! precision, without the folding and renaming of the compiler. Every compiled network is compared
//! with it.
// Every index is bounded by dimensions that are checked first.
#![allow(clippy::indexing_slicing)]

mod einsum;
mod elements;
mod indexed;
mod ml_operators;
mod recurrent;
mod reduced;
mod transposed_and_top_k;
mod windows;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::branch::Branch;
use super::proto::{DataType, NodeProto};
use super::tensor::{Constant, ConstantData};
use super::types::output_type;
use super::{ElementType, MASKED, ModelFile, ModelInput, OnnxError, dims, rules, unsupported};

/// Outputs of a model for one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The outputs; the arguments of a final softmax.
    pub outputs: Vec<f64>,
    /// The largest magnitude of the inputs and of any value that is computed from them.
    pub magnitude: f64,
}

/// A tensor with all of its dimensions.
#[derive(Clone, Debug)]
struct Tensor {
    dims: Vec<usize>,
    values: Vec<f64>,
}

impl ModelFile {
    /// Evaluates the model. The inputs' elements follow each other, and so do those of the outputs.
    ///
    /// # Errors
    /// When the number of values differs, or an operator or its operands are unsupported.
    pub fn evaluate(&self, input: &[f32]) -> Result<Evaluation, OnnxError> {
        let expected = self.input_elements();
        if input.len() != expected {
            return Err(OnnxError::Inputs { expected, actual: input.len() });
        }
        let mut run = EvaluationRun::new(self, input);
        for node in &self.nodes {
            if self.outputs.iter().all(|output| run.tensors.contains_key(output)) {
                break;
            }
            run.evaluate_node(node)?;
        }
        let mut outputs = Vec::new();
        for name in &self.outputs {
            match (run.tensors.get(name), self.constants.get(name)) {
                (Some(tensor), _) => outputs.extend_from_slice(&tensor.values),
                (None, Some(constant)) => outputs.extend(Tensor::from(&**constant).values),
                (None, None) => return Err(OnnxError::Empty),
            }
        }
        Ok(Evaluation { outputs, magnitude: run.magnitude })
    }
}

/// Evaluates a node whose operands are these constants, with a version of the operator set; returns
/// the dimensions and values of its output.
pub fn evaluate_constants(
    opset: i64,
    node: &NodeProto,
    operands: &[(&str, &Constant)],
) -> Result<(Vec<usize>, Vec<f64>), OnnxError> {
    let (mut tensors, mut types) = (HashMap::new(), HashMap::new());
    for &(name, constant) in operands {
        tensors.insert(name.to_owned(), Tensor::from(constant));
        types.insert(name.to_owned(), constant.element_type());
    }
    let (constants, int8_ranges) = (HashMap::new(), HashMap::new());
    let operands = Operands {
        constants: &constants,
        int8_ranges: &int8_ranges,
        opset,
        tensors: &tensors,
        types: &types,
        node,
        is_last_softmax: false,
        is_after_softmax: false,
    };
    let Tensor { dims, values } = operands.compute()?;
    Ok((dims, values))
}

/// The tensors that were computed so far.
struct EvaluationRun<'a> {
    file: &'a ModelFile,
    tensors: HashMap<String, Tensor>,
    types: HashMap<String, ElementType>,
    /// Names of the tensors that depend on an input.
    computed_names: HashSet<String>,
    after_softmax: Vec<&'a str>,
    softmax_arguments: HashSet<&'a str>,
    magnitude: f64,
}

impl<'a> EvaluationRun<'a> {
    fn new(file: &'a ModelFile, input: &[f32]) -> Self {
        let (after_softmax, softmax_arguments) = (file.after_softmax(), file.softmax_arguments());
        let magnitude =
            input.iter().fold(0.0_f64, |largest, &value| largest.max(f64::from(value).abs()));
        let (mut tensors, mut types, mut computed_names) =
            (HashMap::new(), HashMap::new(), HashSet::new());
        let mut remaining = input.iter().copied().map(f64::from);
        for ModelInput { name, dims, element_type } in &file.inputs {
            let values = remaining.by_ref().take(dims.iter().product()).collect();
            tensors.insert(name.clone(), Tensor { dims: dims.clone(), values });
            types.insert(name.clone(), *element_type);
            computed_names.insert(name.clone());
        }
        Self { file, tensors, types, computed_names, after_softmax, softmax_arguments, magnitude }
    }

    /// Evaluates a node, and records its outputs. Of an If, it evaluates the nodes of a branch.
    fn evaluate_node(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if node.op_type == "If" {
            return self.evaluate_branch(node);
        }
        let name = node.output.first().map_or("", String::as_str);
        let name = if rules::is_classifier(node) {
            node.output.get(1).map_or("", String::as_str)
        } else {
            name
        };
        let operands = Operands {
            constants: &self.file.constants,
            int8_ranges: &self.file.int8_ranges,
            opset: self.file.opset,
            tensors: &self.tensors,
            types: &self.types,
            node,
            is_last_softmax: self.after_softmax.last().is_some_and(|last| *last == name),
            is_after_softmax: self.after_softmax.contains(&name),
        };
        let outputs = operands.compute_all()?;
        let output_type = output_type(node, |position| operands.element_type_of(position))?;
        // Values that depend on constants only, such as the limits of a Slice, can be arbitrarily
        // large.
        let is_computed = !matches!(node.op_type.as_str(), "Shape" | "Size")
            && node.input.iter().any(|input| self.computed_names.contains(input));
        for (index, (name, output)) in node.output.iter().zip(outputs).enumerate() {
            if name.is_empty() {
                continue;
            }
            if is_computed {
                self.computed_names.insert(name.clone());
                let is_argument = self.softmax_arguments.contains(name.as_str());
                let values = output
                    .values
                    .iter()
                    .filter(|&&value| !is_argument || value > f64::from(MASKED));
                self.magnitude =
                    values.fold(self.magnitude, |largest, value| largest.max(value.abs()));
            }
            // The positions of the largest elements are integers.
            let element_type = if node.op_type == "TopK" && index == 1 {
                ElementType::Integer
            } else {
                output_type
            };
            self.types.insert(name.clone(), element_type);
            self.tensors.insert(name.clone(), output);
        }
        Ok(())
    }
}

impl EvaluationRun<'_> {
    /// Evaluates the branch that a condition chooses.
    fn evaluate_branch(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let name = node.input.first().map_or("", String::as_str);
        let holds = match (self.tensors.get(name), self.file.constants.get(name)) {
            (Some(condition), _) => condition.values.first().copied(),
            (None, Some(condition)) => Tensor::from(&**condition).values.first().copied(),
            (None, None) => None,
        };
        let holds =
            holds.ok_or_else(|| unsupported(node, "the condition is missing".to_owned()))?;
        let Branch { nodes, constants } = Branch::choose(node, holds.abs() > 0.0)?;
        for (name, constant) in constants {
            self.types.insert(name.clone(), constant.element_type());
            self.tensors.insert(name, Tensor::from(&*constant));
        }
        nodes.iter().try_for_each(|inner| self.evaluate_node(inner))
    }
}

impl From<&Constant> for Tensor {
    fn from(constant: &Constant) -> Self {
        let values = match &constant.data {
            ConstantData::Floats(values) => values.iter().copied().map(f64::from).collect(),
            ConstantData::Integers(values) => values.iter().map(|&value| value as f64).collect(),
        };
        Self { dims: constant.dims.clone(), values }
    }
}

/// The operands of a node.
struct Operands<'a> {
    /// Weights of the file, by name.
    constants: &'a HashMap<String, Arc<Constant>>,
    /// Integers that each weight of 8 bits can have, by name.
    int8_ranges: &'a HashMap<String, [i64; 2]>,
    /// Version of the standard operator set.
    opset: i64,
    tensors: &'a HashMap<String, Tensor>,
    types: &'a HashMap<String, ElementType>,
    node: &'a NodeProto,
    /// Whether the node is a softmax at the end, which is omitted if it covers all elements.
    is_last_softmax: bool,
    /// Whether the node is between that softmax and the output.
    is_after_softmax: bool,
}

impl Operands<'_> {
    /// Returns an operand; `None` if the node does not have it.
    fn optional_operand(&self, position: usize) -> Option<Cow<'_, Tensor>> {
        let name = self.node.input.get(position).filter(|name| !name.is_empty())?;
        if let Some(tensor) = self.tensors.get(name) {
            return Some(Cow::Borrowed(tensor));
        }
        self.constants.get(name).map(|constant| Cow::Owned(Tensor::from(&**constant)))
    }

    /// Returns the type of an operand's elements.
    fn element_type_of(&self, position: usize) -> ElementType {
        let Some(name) = self.node.input.get(position) else { return ElementType::Float };
        let constant_element = || self.constants.get(name).map(|constant| constant.element_type());
        self.types.get(name).copied().or_else(constant_element).unwrap_or(ElementType::Float)
    }

    /// Returns an operand that the node must have.
    fn operand(&self, position: usize) -> Result<Cow<'_, Tensor>, OnnxError> {
        self.optional_operand(position)
            .ok_or_else(|| self.evaluation_error("an operand is missing"))
    }

    /// Returns the integers of an attribute or, without it, at an input position.
    fn attribute_or_input(&self, attribute: &str, position: usize) -> Option<Vec<i64>> {
        self.node.ints(attribute).map(<[i64]>::to_vec).or_else(|| self.integers(position))
    }

    fn integers(&self, position: usize) -> Option<Vec<i64>> {
        Some(self.optional_operand(position)?.values.iter().map(|&value| value as i64).collect())
    }

    fn evaluation_error(&self, reason: &str) -> OnnxError {
        unsupported(self.node, format!("cannot be evaluated: {reason}"))
    }

    /// Computes all outputs of the node.
    fn compute_all(&self) -> Result<Vec<Tensor>, OnnxError> {
        match self.node.op_type.as_str() {
            "Split" => self.evaluate_split(),
            "GRU" | "LSTM" | "RNN" => self.evaluate_recurrent(),
            "TopK" => self.evaluate_top_k(),
            _ if rules::is_classifier(self.node) => {
                // The labels are not evaluated: nothing reads them.
                Ok(vec![Tensor { dims: vec![1], values: vec![0.0] }, self.evaluate_classifier()?])
            }
            _ => Ok(vec![self.compute()?]),
        }
    }

    fn compute(&self) -> Result<Tensor, OnnxError> {
        let node = self.node;
        match node.op_type.as_str() {
            "Constant" => Ok(Tensor::from(&node.constant()?)),
            "Shape" => self.evaluate_shape(),
            "Identity" | "Dropout" => self.operand(0).map(Cow::into_owned),
            "Cast" => self.evaluate_cast(),
            "Flatten" => self.reshape_with(|dims| dims::flattened_dims(node, dims)),
            "Reshape" => {
                let target = self
                    .integers(1)
                    .ok_or_else(|| self.evaluation_error("the new shape is missing"))?;
                self.reshape_with(|dims| dims::reshaped_dims(node, dims, &target))
            }
            "Squeeze" | "Unsqueeze" => {
                let axes = self.attribute_or_input("axes", 1);
                if node.op_type == "Squeeze" {
                    return self
                        .reshape_with(|dims| dims::squeezed_dims(node, dims, axes.as_deref()));
                }
                let axes = axes.ok_or_else(|| self.evaluation_error("the axes are missing"))?;
                self.reshape_with(|dims| dims::unsqueezed_dims(node, dims, &axes))
            }
            "Add" => self.combine_pairwise(|a, b| a + b),
            "Sub" => self.combine_pairwise(|a, b| a - b),
            "Mul" => self.combine_pairwise(|a, b| a * b),
            "Div" if self.element_type_of(0) == ElementType::Integer => {
                self.combine_pairwise(|a, b| (a / b).trunc())
            }
            "Div" => self.combine_pairwise(|a, b| a / b),
            "Mod" if node.int("fmod", 0) == 0 => {
                self.combine_pairwise(|a, b| a - b * (a / b).floor())
            }
            "Mod" => self.combine_pairwise(|a, b| a % b),
            "Pow" => self.combine_pairwise(f64::powf),
            "And" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Xor" => {
                self.evaluate_comparison()
            }
            "Where" => self.evaluate_where(),
            "Softmax" | "LogSoftmax" => self.evaluate_softmax(),
            "LayerNormalization" | "RMSNormalization" | "InstanceNormalization" => {
                self.evaluate_norm()
            }
            "Transpose" => self.evaluate_transpose(),
            "Slice" => self.evaluate_slice(),
            "Expand" => self.evaluate_expand(),
            "Concat" => self.evaluate_concat(),
            "Pad" => self.evaluate_pad(),
            "Gather" => self.evaluate_gather(),
            "MatMul" => self.multiply_rows(self.operand(0)?.as_ref(), self.operand(1)?.as_ref()),
            "Gemm" => self.evaluate_gemm(),
            "BatchNormalization" => self.evaluate_batch_norm(),
            "Conv" => self.evaluate_convolution(),
            "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" => {
                self.evaluate_pool()
            }
            "ArgMax" | "ArgMin" => self.evaluate_position_of_extremum(),
            "ConstantOfShape" => self.evaluate_constant_of_shape(),
            "ConvTranspose" => self.evaluate_transposed_convolution(),
            "QuantizeLinear" | "DequantizeLinear" => self.evaluate_quantisation(),
            "Sum" => self.fold_operands(|a, b| a + b),
            "Mean" => {
                let mut sum = self.fold_operands(|a, b| a + b)?;
                sum.values.iter_mut().for_each(|value| *value /= node.input.len() as f64);
                Ok(sum)
            }
            "Max" | "Or" => self.fold_operands(f64::max),
            "Min" => self.fold_operands(f64::min),
            _ => self.compute_other_operators(),
        }
    }

    /// Computes reductions, elements that indices choose, and operators of `ai.onnx.ml`.
    fn compute_other_operators(&self) -> Result<Tensor, OnnxError> {
        match self.node.op_type.as_str() {
            operator if operator.starts_with("Reduce") => self.evaluate_reduction(),
            "CumSum" => self.evaluate_cumulative_sum(),
            "DepthToSpace" | "SpaceToDepth" => self.evaluate_blocks(),
            "Einsum" => self.evaluate_einsum(),
            "GatherElements" => self.evaluate_gather_elements(),
            "GatherND" => self.evaluate_gather_slices(),
            "GroupNormalization" => self.evaluate_group_norm(),
            "Hardmax" => self.evaluate_hardmax(),
            "LpNormalization" => self.evaluate_unit_norm(),
            "NonZero" => self.evaluate_non_zero(),
            "OneHot" => self.evaluate_one_hot(),
            "Range" => self.evaluate_range(),
            "Resize" | "Upsample" => self.evaluate_resize(),
            "ScatterElements" => self.evaluate_scatter_elements(),
            "ScatterND" => self.evaluate_scatter_slices(),
            "Size" => self.evaluate_size(),
            "Tile" => self.evaluate_tile(),
            "Trilu" => self.evaluate_triangle(),
            "ArrayFeatureExtractor" => self.evaluate_feature_selection(),
            "LinearRegressor" => self.evaluate_linear_regressor(),
            "Normalizer" => self.evaluate_normalizer(),
            "Scaler" => self.evaluate_scaler(),
            "SVMRegressor" => self.evaluate_support_vector_regressor(),
            "TreeEnsemble" | "TreeEnsembleRegressor" => self.evaluate_tree_regressor(),
            _ => self
                .evaluate_element_wise()?
                .ok_or_else(|| self.evaluation_error("the operator is unsupported")),
        }
    }

    /// Returns the operand of a conversion between floating-point types unchanged: an evaluation
    /// computes in double precision, and does not round as the types of the file do. Values that
    /// half precision would turn into infinities are refused.
    fn evaluate_cast(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        let overflows = |&value: &f64| half::f16::from_f64(value).is_infinite();
        let kind = self.node.cast_type()?;
        match (kind, kind.integer_range()) {
            (DataType::Float16, _) if tensor.values.iter().any(overflows) => {
                return Err(self.evaluation_error("a value exceeds the range of half precision"));
            }
            (DataType::Bool, _) => {
                tensor.values.iter_mut().for_each(|value| *value = f64::from(value.abs() > 0.0));
            }
            (_, Some([low, high])) => {
                tensor.values.iter_mut().for_each(|value| *value = value.trunc());
                if tensor.values.iter().any(|&value| value < low as f64 || value > high as f64) {
                    return Err(self.evaluation_error("a value exceeds its type"));
                }
            }
            _ => {}
        }
        Ok(tensor)
    }

    /// Returns the dimensions of the operand from one axis to another.
    fn evaluate_shape(&self) -> Result<Tensor, OnnxError> {
        let input = self.operand(0)?;
        let rank = input.dims.len().cast_signed() as i64;
        let [start, end] = [("start", 0), ("end", rank)].map(|(name, default)| {
            let limit = self.node.int(name, default);
            if limit < 0 { limit.saturating_add(rank).max(0) } else { limit.min(rank) }
        });
        let extents =
            input.dims.iter().zip(0_i64..).filter(|(_, axis)| (start..end).contains(axis));
        let values: Vec<f64> = extents.map(|(&extent, _)| extent as f64).collect();
        Ok(Tensor { dims: vec![values.len()], values })
    }

    /// Returns the first operand with the dimensions that follow from its own.
    fn reshape_with(
        &self,
        new_dims: impl FnOnce(&[usize]) -> Result<Vec<usize>, OnnxError>,
    ) -> Result<Tensor, OnnxError> {
        let Tensor { dims, values } = self.operand(0)?.into_owned();
        Ok(Tensor { dims: new_dims(&dims)?, values })
    }

    /// Combines the elements of the first two operands.
    fn combine_pairwise(&self, operation: fn(f64, f64) -> f64) -> Result<Tensor, OnnxError> {
        self.combine(self.operand(0)?.as_ref(), self.operand(1)?.as_ref(), operation)
    }

    /// Adds two tensors.
    fn add_tensors(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OnnxError> {
        self.combine(a, b, |a, b| a + b)
    }

    /// Combines the elements of two tensors, each repeated to the dimensions of the result.
    fn combine(
        &self,
        a: &Tensor,
        b: &Tensor,
        operation: fn(f64, f64) -> f64,
    ) -> Result<Tensor, OnnxError> {
        let rank = a.dims.len().max(b.dims.len());
        let dim = |dims: &[usize], axis: usize| {
            (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis])
        };
        let dims: Vec<usize> =
            (0..rank).map(|axis| dim(&a.dims, axis).max(dim(&b.dims, axis))).collect();
        let repeat = |tensor: &Tensor| {
            let values = dims::broadcast(&tensor.values, &tensor.dims, &dims);
            values.ok_or_else(|| self.evaluation_error("the operands do not fit each other"))
        };
        let values = repeat(a)?.into_iter().zip(repeat(b)?).map(|(a, b)| operation(a, b)).collect();
        Ok(Tensor { dims, values })
    }

    /// Multiplies the rows of a tensor with a matrix.
    fn multiply_rows(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OnnxError> {
        if b.dims.len() != 2 {
            return self.multiply_matrix_pairs(a, b);
        }
        let (&[inner, columns], Some((&last, rows))) = (&b.dims[..], a.dims.split_last()) else {
            return Err(self.evaluation_error("the second operand is not a matrix"));
        };
        if last != inner {
            return Err(self.evaluation_error("the operands do not fit each other"));
        }
        Ok(Tensor {
            dims: [rows, &[columns]].concat(),
            values: multiply_matrices(&a.values, &b.values, inner, columns),
        })
    }

    /// Multiplies matrices in pairs, where those of both operands are repeated to common
    /// dimensions. A vector is a row on the left, and a column on the right.
    fn multiply_matrix_pairs(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OnnxError> {
        let mismatch = || self.evaluation_error("the operands do not fit each other");
        let matrices = |dims: &[usize], is_left: bool| match *dims {
            [length] if is_left => vec![1, length],
            [length] => vec![length, 1],
            _ => dims.to_vec(),
        };
        let (left, right) = (matrices(&a.dims, true), matrices(&b.dims, false));
        let (left_batch, &[rows, inner]) = left.split_last_chunk::<2>().ok_or_else(mismatch)?;
        let (right_batch, &[height, columns]) =
            right.split_last_chunk::<2>().ok_or_else(mismatch)?;
        let batch = dims::common_dims(&[left_batch, right_batch]).ok_or_else(mismatch)?;
        let repeat = |tensor: &Tensor, dims: &[usize], matrix: [usize; 2]| {
            dims::broadcast(&tensor.values, dims, &[&batch[..], &matrix].concat())
                .ok_or_else(mismatch)
        };
        let (left_matrices, right_matrices) =
            (repeat(a, &left, [rows, inner])?, repeat(b, &right, [height, columns])?);
        if inner != height {
            return Err(mismatch());
        }
        let pairs = left_matrices
            .chunks((rows * inner).max(1))
            .zip(right_matrices.chunks((height * columns).max(1)));
        let values = pairs
            .flat_map(|(left, right)| multiply_matrices(left, right, inner, columns))
            .collect();
        let mut dims = batch;
        dims.extend((a.dims.len() > 1).then_some(rows));
        dims.extend((b.dims.len() > 1).then_some(columns));
        Ok(Tensor { dims, values })
    }

    fn evaluate_gemm(&self) -> Result<Tensor, OnnxError> {
        let transposed = |position: usize, name: &str| {
            let tensor = self.operand(position)?;
            let &[rows, columns] = &tensor.dims[..] else {
                return Err(self.evaluation_error("an operand is not a matrix"));
            };
            if self.node.int(name, 0) == 0 {
                return Ok(tensor);
            }
            let values = (0..columns)
                .flat_map(|column| tensor.values.iter().skip(column).step_by(columns.max(1)));
            Ok(Cow::Owned(Tensor { dims: vec![columns, rows], values: values.copied().collect() }))
        };
        let mut product = self
            .multiply_rows(transposed(0, "transA")?.as_ref(), transposed(1, "transB")?.as_ref())?;
        let (alpha, beta) = (self.node.float("alpha", 1.0), self.node.float("beta", 1.0));
        product.values.iter_mut().for_each(|value| *value *= f64::from(alpha));
        let Some(bias) = self.optional_operand(2) else { return Ok(product) };
        let mut bias = bias.into_owned();
        bias.values.iter_mut().for_each(|value| *value *= f64::from(beta));
        self.add_tensors(&product, &bias)
    }

    fn evaluate_batch_norm(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        let [scale, shift, mean, variance] =
            [self.operand(1)?, self.operand(2)?, self.operand(3)?, self.operand(4)?];
        let channels = tensor.dims.get(1).copied().unwrap_or_default();
        if [&scale, &shift, &mean, &variance].iter().any(|part| part.values.len() != channels) {
            return Err(self.evaluation_error("the operands do not fit each other"));
        }
        let area: usize = tensor.dims.iter().skip(2).product();
        let epsilon = f64::from(self.node.float("epsilon", 1e-5));
        for (index, plane) in tensor.values.chunks_mut(area.max(1)).enumerate() {
            let channel = index % channels;
            let deviation = (variance.values[channel] + epsilon).sqrt();
            for value in plane {
                let normalised = (*value - mean.values[channel]) / deviation;
                *value = normalised * scale.values[channel] + shift.values[channel];
            }
        }
        Ok(tensor)
    }
}

/// Returns the product of two matrices, row by row.
fn multiply_matrices(a: &[f64], b: &[f64], inner: usize, columns: usize) -> Vec<f64> {
    let mut values = Vec::new();
    for row in a.chunks(inner.max(1)) {
        let mut sums = vec![0.0; columns];
        for (&value, weights) in row.iter().zip(b.chunks(columns.max(1))) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum += value * weight;
            }
        }
        values.extend(sums);
    }
    values
}
