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
use super::tensor::{Constant, Data};
use super::types::output_type;
use super::{ElementType, MASKED, ModelFile, ModelInput, OnnxError, dims, rules, unsupported};

/// Outputs of a model for one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The outputs; the arguments of a final softmax.
    pub outputs: Vec<f64>,
    /// The largest magnitude of any value computed from the inputs on the way, inputs included.
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
            run.node(node)?;
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
        types.insert(name.to_owned(), constant.element());
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
    computed: HashSet<String>,
    after_softmax: Vec<&'a str>,
    softmax_arguments: HashSet<&'a str>,
    magnitude: f64,
}

impl<'a> EvaluationRun<'a> {
    fn new(file: &'a ModelFile, input: &[f32]) -> Self {
        let (after_softmax, softmax_arguments) = (file.after_softmax(), file.softmax_arguments());
        let magnitude =
            input.iter().fold(0.0_f64, |largest, &value| largest.max(f64::from(value).abs()));
        let (mut tensors, mut types, mut computed) =
            (HashMap::new(), HashMap::new(), HashSet::new());
        let mut remaining = input.iter().copied().map(f64::from);
        for ModelInput { name, dims, element } in &file.inputs {
            let values = remaining.by_ref().take(dims.iter().product()).collect();
            tensors.insert(name.clone(), Tensor { dims: dims.clone(), values });
            types.insert(name.clone(), *element);
            computed.insert(name.clone());
        }
        Self { file, tensors, types, computed, after_softmax, softmax_arguments, magnitude }
    }

    /// Evaluates a node, and records its outputs. Of an If, it evaluates the nodes of a branch.
    fn node(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if node.op_type == "If" {
            return self.branch(node);
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
        let element = output_type(node, |position| operands.element(position))?;
        // Constants on the way, such as the limits of a Slice, can be arbitrarily large.
        let is_computed = !matches!(node.op_type.as_str(), "Shape" | "Size")
            && node.input.iter().any(|input| self.computed.contains(input));
        for (index, (name, output)) in node.output.iter().zip(outputs).enumerate() {
            if name.is_empty() {
                continue;
            }
            if is_computed {
                self.computed.insert(name.clone());
                let is_argument = self.softmax_arguments.contains(name.as_str());
                let values = output
                    .values
                    .iter()
                    .filter(|&&value| !is_argument || value > f64::from(MASKED));
                self.magnitude =
                    values.fold(self.magnitude, |largest, value| largest.max(value.abs()));
            }
            // The positions of the largest elements are integers.
            let element =
                if node.op_type == "TopK" && index == 1 { ElementType::Integer } else { element };
            self.types.insert(name.clone(), element);
            self.tensors.insert(name.clone(), output);
        }
        Ok(())
    }
}

impl EvaluationRun<'_> {
    /// Evaluates the branch that a condition chooses.
    fn branch(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
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
            self.types.insert(name.clone(), constant.element());
            self.tensors.insert(name, Tensor::from(&*constant));
        }
        nodes.iter().try_for_each(|inner| self.node(inner))
    }
}

impl From<&Constant> for Tensor {
    fn from(constant: &Constant) -> Self {
        let values = match &constant.data {
            Data::Floats(values) => values.iter().copied().map(f64::from).collect(),
            Data::Integers(values) => values.iter().map(|&value| value as f64).collect(),
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
    fn optional(&self, position: usize) -> Option<Cow<'_, Tensor>> {
        let name = self.node.input.get(position).filter(|name| !name.is_empty())?;
        if let Some(tensor) = self.tensors.get(name) {
            return Some(Cow::Borrowed(tensor));
        }
        self.constants.get(name).map(|constant| Cow::Owned(Tensor::from(&**constant)))
    }

    /// Returns the type of an operand's elements.
    fn element(&self, position: usize) -> ElementType {
        let Some(name) = self.node.input.get(position) else { return ElementType::Float };
        let constant_element = || self.constants.get(name).map(|constant| constant.element());
        self.types.get(name).copied().or_else(constant_element).unwrap_or(ElementType::Float)
    }

    fn get(&self, position: usize) -> Result<Cow<'_, Tensor>, OnnxError> {
        self.optional(position).ok_or_else(|| self.refuse("an operand is missing"))
    }

    /// Returns the integers of an attribute or, without it, at an input position.
    fn list(&self, attribute: &str, position: usize) -> Option<Vec<i64>> {
        self.node.ints(attribute).map(<[i64]>::to_vec).or_else(|| self.integers(position))
    }

    fn integers(&self, position: usize) -> Option<Vec<i64>> {
        Some(self.optional(position)?.values.iter().map(|&value| value as i64).collect())
    }

    fn refuse(&self, reason: &str) -> OnnxError {
        unsupported(self.node, format!("cannot be evaluated: {reason}"))
    }

    /// Computes all outputs of the node.
    fn compute_all(&self) -> Result<Vec<Tensor>, OnnxError> {
        match self.node.op_type.as_str() {
            "Split" => self.split(),
            "GRU" | "LSTM" | "RNN" => self.recurrent(),
            "TopK" => self.top_k(),
            _ if rules::is_classifier(self.node) => {
                // The labels are not evaluated: nothing reads them.
                Ok(vec![Tensor { dims: vec![1], values: vec![0.0] }, self.classifier_scores()?])
            }
            _ => Ok(vec![self.compute()?]),
        }
    }

    fn compute(&self) -> Result<Tensor, OnnxError> {
        let node = self.node;
        match node.op_type.as_str() {
            "Constant" => Ok(Tensor::from(&node.constant()?)),
            "Shape" => self.dimensions(),
            "Identity" | "Dropout" => self.get(0).map(Cow::into_owned),
            "Cast" => self.cast(),
            "Flatten" => self.reshaped(|dims| dims::flattened(node, dims)),
            "Reshape" => {
                let target =
                    self.integers(1).ok_or_else(|| self.refuse("the new shape is missing"))?;
                self.reshaped(|dims| dims::reshaped(node, dims, &target))
            }
            "Squeeze" | "Unsqueeze" => {
                let axes = self.list("axes", 1);
                if node.op_type == "Squeeze" {
                    return self.reshaped(|dims| dims::squeezed(node, dims, axes.as_deref()));
                }
                let axes = axes.ok_or_else(|| self.refuse("the axes are missing"))?;
                self.reshaped(|dims| dims::unsqueezed(node, dims, &axes))
            }
            "Add" => self.pairwise(|a, b| a + b),
            "Sub" => self.pairwise(|a, b| a - b),
            "Mul" => self.pairwise(|a, b| a * b),
            "Div" if self.element(0) == ElementType::Integer => {
                self.pairwise(|a, b| (a / b).trunc())
            }
            "Div" => self.pairwise(|a, b| a / b),
            "Mod" if node.int("fmod", 0) == 0 => self.pairwise(|a, b| a - b * (a / b).floor()),
            "Mod" => self.pairwise(|a, b| a % b),
            "Pow" => self.pairwise(f64::powf),
            "And" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Xor" => {
                self.compared()
            }
            "Where" => self.where_elements(),
            "Softmax" | "LogSoftmax" => self.softmax(),
            "LayerNormalization" | "RMSNormalization" | "InstanceNormalization" => {
                self.normalised()
            }
            "Transpose" => self.transposed(),
            "Slice" => self.sliced(),
            "Expand" => self.expanded(),
            "Concat" => self.concatenated(),
            "Pad" => self.padded(),
            "Gather" => self.gathered(),
            "MatMul" => self.matrix_product(self.get(0)?.as_ref(), self.get(1)?.as_ref()),
            "Gemm" => self.gemm(),
            "BatchNormalization" => self.batch_norm(),
            "Conv" => self.convolution(),
            "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" => self.pool(),
            "ArgMax" | "ArgMin" => self.position_of_extremum(),
            "ConstantOfShape" => self.filled(),
            "ConvTranspose" => self.transposed_convolution(),
            "QuantizeLinear" | "DequantizeLinear" => self.quantised(),
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
            operator if operator.starts_with("Reduce") => self.reduced(),
            "CumSum" => self.cumulative_sum(),
            "DepthToSpace" | "SpaceToDepth" => self.blocks(),
            "Einsum" => self.summed_products(),
            "GatherElements" => self.gathered_elements(),
            "GatherND" => self.gathered_slices(),
            "GroupNormalization" => self.group_normalised(),
            "Hardmax" => self.hard_maximum(),
            "LpNormalization" => self.divided_by_norm(),
            "NonZero" => self.non_zero(),
            "OneHot" => self.one_hot(),
            "Range" => self.range(),
            "Resize" | "Upsample" => self.resized(),
            "ScatterElements" => self.scattered_elements(),
            "ScatterND" => self.scattered_slices(),
            "Size" => self.number_of_elements(),
            "Tile" => self.tiled(),
            "Trilu" => self.triangle(),
            "ArrayFeatureExtractor" => self.features(),
            "LinearRegressor" => self.linear_regression(),
            "Normalizer" => self.normalised_rows(),
            "Scaler" => self.scaled(),
            "SVMRegressor" => self.support_vector_regression(),
            "TreeEnsemble" | "TreeEnsembleRegressor" => self.tree_regression(),
            _ => self.element_wise()?.ok_or_else(|| self.refuse("the operator is unsupported")),
        }
    }

    /// Returns the operand of a conversion between floating-point types unchanged: an evaluation
    /// computes in double precision, and does not round as the types of the file do. Values that
    /// half precision would turn into infinities are refused.
    fn cast(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.get(0)?.into_owned();
        let overflows = |&value: &f64| half::f16::from_f64(value).is_infinite();
        let kind = self.node.cast_type()?;
        match (kind, kind.integer_range()) {
            (DataType::Float16, _) if tensor.values.iter().any(overflows) => {
                return Err(self.refuse("a value exceeds the range of half precision"));
            }
            (DataType::Bool, _) => {
                tensor.values.iter_mut().for_each(|value| *value = f64::from(value.abs() > 0.0));
            }
            (_, Some([low, high])) => {
                tensor.values.iter_mut().for_each(|value| *value = value.trunc());
                if tensor.values.iter().any(|&value| value < low as f64 || value > high as f64) {
                    return Err(self.refuse("a value exceeds its type"));
                }
            }
            _ => {}
        }
        Ok(tensor)
    }

    /// Returns the dimensions of the operand from one axis to another.
    fn dimensions(&self) -> Result<Tensor, OnnxError> {
        let input = self.get(0)?;
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

    fn reshaped(
        &self,
        change: impl FnOnce(&[usize]) -> Result<Vec<usize>, OnnxError>,
    ) -> Result<Tensor, OnnxError> {
        let Tensor { dims, values } = self.get(0)?.into_owned();
        Ok(Tensor { dims: change(&dims)?, values })
    }

    /// Combines the elements of the first two operands.
    fn pairwise(&self, operation: fn(f64, f64) -> f64) -> Result<Tensor, OnnxError> {
        self.combine(self.get(0)?.as_ref(), self.get(1)?.as_ref(), operation)
    }

    /// Adds two tensors.
    fn sum(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OnnxError> {
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
            values.ok_or_else(|| self.refuse("the operands do not fit each other"))
        };
        let values = repeat(a)?.into_iter().zip(repeat(b)?).map(|(a, b)| operation(a, b)).collect();
        Ok(Tensor { dims, values })
    }

    /// Multiplies the rows of a tensor with a matrix.
    fn matrix_product(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OnnxError> {
        if b.dims.len() != 2 {
            return self.matrix_products(a, b);
        }
        let (&[inner, columns], Some((&last, rows))) = (&b.dims[..], a.dims.split_last()) else {
            return Err(self.refuse("the second operand is not a matrix"));
        };
        if last != inner {
            return Err(self.refuse("the operands do not fit each other"));
        }
        Ok(Tensor {
            dims: [rows, &[columns]].concat(),
            values: multiply_matrices(&a.values, &b.values, inner, columns),
        })
    }

    /// Multiplies matrices in pairs, where those of both operands are repeated to common
    /// dimensions. A vector is a row on the left, and a column on the right.
    fn matrix_products(&self, a: &Tensor, b: &Tensor) -> Result<Tensor, OnnxError> {
        let refuse = || self.refuse("the operands do not fit each other");
        let matrices = |dims: &[usize], is_left: bool| match *dims {
            [length] if is_left => vec![1, length],
            [length] => vec![length, 1],
            _ => dims.to_vec(),
        };
        let (left, right) = (matrices(&a.dims, true), matrices(&b.dims, false));
        let (left_batch, &[rows, inner]) = left.split_last_chunk::<2>().ok_or_else(refuse)?;
        let (right_batch, &[height, columns]) = right.split_last_chunk::<2>().ok_or_else(refuse)?;
        let batch = dims::common(&[left_batch, right_batch]).ok_or_else(refuse)?;
        let repeat = |tensor: &Tensor, dims: &[usize], matrix: [usize; 2]| {
            dims::broadcast(&tensor.values, dims, &[&batch[..], &matrix].concat())
                .ok_or_else(refuse)
        };
        let (one, other) =
            (repeat(a, &left, [rows, inner])?, repeat(b, &right, [height, columns])?);
        if inner != height {
            return Err(refuse());
        }
        let pairs = one.chunks((rows * inner).max(1)).zip(other.chunks((height * columns).max(1)));
        let values =
            pairs.flat_map(|(one, other)| multiply_matrices(one, other, inner, columns)).collect();
        let mut dims = batch;
        dims.extend((a.dims.len() > 1).then_some(rows));
        dims.extend((b.dims.len() > 1).then_some(columns));
        Ok(Tensor { dims, values })
    }

    fn gemm(&self) -> Result<Tensor, OnnxError> {
        let transposed = |position: usize, name: &str| {
            let tensor = self.get(position)?;
            let &[rows, columns] = &tensor.dims[..] else {
                return Err(self.refuse("an operand is not a matrix"));
            };
            if self.node.int(name, 0) == 0 {
                return Ok(tensor);
            }
            let values = (0..columns)
                .flat_map(|column| tensor.values.iter().skip(column).step_by(columns.max(1)));
            Ok(Cow::Owned(Tensor { dims: vec![columns, rows], values: values.copied().collect() }))
        };
        let mut product = self
            .matrix_product(transposed(0, "transA")?.as_ref(), transposed(1, "transB")?.as_ref())?;
        let (alpha, beta) = (self.node.float("alpha", 1.0), self.node.float("beta", 1.0));
        product.values.iter_mut().for_each(|value| *value *= f64::from(alpha));
        let Some(bias) = self.optional(2) else { return Ok(product) };
        let mut bias = bias.into_owned();
        bias.values.iter_mut().for_each(|value| *value *= f64::from(beta));
        self.sum(&product, &bias)
    }

    fn batch_norm(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.get(0)?.into_owned();
        let [scale, shift, mean, variance] =
            [self.get(1)?, self.get(2)?, self.get(3)?, self.get(4)?];
        let channels = tensor.dims.get(1).copied().unwrap_or_default();
        if [&scale, &shift, &mean, &variance].iter().any(|part| part.values.len() != channels) {
            return Err(self.refuse("the operands do not fit each other"));
        }
        let area: usize = tensor.dims.iter().skip(2).product();
        let epsilon = f64::from(self.node.float("epsilon", 1e-5));
        for (index, plane) in tensor.values.chunks_mut(area.max(1)).enumerate() {
            let channel = index % channels;
            let deviation = (variance.values[channel] + epsilon).sqrt();
            for value in plane {
                let normal = (*value - mean.values[channel]) / deviation;
                *value = normal * scale.values[channel] + shift.values[channel];
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
