//! Conversion of element-wise ONNX nodes. A chain of functions of one tensor becomes one function;
//! a scale or an offset is folded into the layer before, where possible.

use taonet_proof_core::float::{
    Binary, FloatNode, FloatOperation, Function, MAX_OPERATIONS, Unary,
};
use taonet_proof_core::{Shape, Window};

use super::dims;
use super::expansion::Expansion;
use super::linear::first_input;
use super::node::{Operand, has_more_outputs, output_name};
use super::proto::NodeProto;
use super::{ElementType, OnnxError, Reader, Value, invalid_shape, rules, unsupported};

/// A scale and an offset of each element.
#[derive(Clone)]
pub(super) struct Affine {
    pub(super) factors: Vec<f32>,
    pub(super) offsets: Vec<f32>,
}

impl Reader {
    /// Converts an operator with one operand.
    pub(super) fn convert_function(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if has_more_outputs(node) {
            return Err(unsupported(node, "a second output is unsupported".to_owned()));
        }
        let operation = self.unary_operation(node)?;
        let input = self.tensor(node, 0)?;
        let (root, function) = self.root_and_function(input.index);
        // A ReLU directly after a layer is part of the layer.
        if operation == Unary::Relu && root == input.index {
            let Operand { index, shape, dims } = input;
            let relu = FloatNode { inputs: vec![index], shape, operation: FloatOperation::Relu };
            return self.push(output_name(node)?, relu, dims);
        }
        self.define_function(node, root, function.then(operation), &input)
    }

    /// Converts a function that is defined piece by piece.
    pub(super) fn convert_piecewise(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let parameter = |name: &str, default: f32| f64::from(node.float(name, default));
        let constant = Function::Constant;
        let function: Box<dyn Fn(Function) -> Function> = if node.op_type == "ThresholdedRelu" {
            let alpha = parameter("alpha", 1.0);
            Box::new(move |x| {
                x.clone().with(Binary::Greater, constant(alpha)).select(x, constant(0.0))
            })
        } else {
            let (limit, bias) = (parameter("lambd", 0.5), parameter("bias", 0.0));
            Box::new(move |x| {
                let is_above_limit = x.clone().with(Binary::Greater, constant(limit));
                let value_above = is_above_limit
                    .select(x.clone().with(Binary::Subtract, constant(bias)), constant(0.0));
                let is_below_limit = x.clone().with(Binary::Less, constant(-limit));
                is_below_limit.select(x.with(Binary::Add, constant(bias)), value_above)
            })
        };
        let input = self.tensor(node, 0)?;
        let (mut root, inner_function) = self.root_and_function(input.index);
        let mut composed = function(inner_function);
        if composed.operation_count() > MAX_OPERATIONS {
            (root, composed) = (input.index, function(Function::Variable));
        }
        self.define_function(node, root, composed, &input)
    }

    /// Converts a PRelu, whose slopes can differ: `x + (slope - 1) * min(x, 0)`.
    pub(super) fn convert_prelu(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let dims = self.tensor(node, 0)?.dims;
        let slopes = self.broadcast_weights(node, 1, &dims)?;
        if common_value(&slopes).is_some() {
            return self.convert_function(node);
        }
        let mut expansion = Expansion::new(self, node);
        let input = first_input(node)?;
        let zero = expansion.number(0.0)?;
        let factors = expansion.floats(&dims, slopes.iter().map(|slope| slope - 1.0).collect())?;
        let negative = expansion.node("Min", &[input, &zero]);
        let change = expansion.node("Mul", &[&negative, &factors]);
        expansion.node_named(output_name(node)?, "Add", &[input, &change], Vec::new());
        expansion.finish()
    }

    /// Returns the operation of a node with one operand.
    fn unary_operation(&self, node: &NodeProto) -> Result<Unary, OnnxError> {
        let parameter = |name: &str, default: f32| f64::from(node.float(name, default));
        let alpha = |default: f32| parameter("alpha", default);
        Ok(match node.op_type.as_str() {
            "Abs" => Unary::Abs,
            "Acos" => Unary::Acos,
            "Acosh" => Unary::Acosh,
            "Asin" => Unary::Asin,
            "Asinh" => Unary::Asinh,
            "Atan" => Unary::Atan,
            "Atanh" => Unary::Atanh,
            "Ceil" => Unary::Ceil,
            "Celu" => Unary::Celu { alpha: alpha(1.0) },
            "Clip" => self.clip_operation(node)?,
            "Cos" => Unary::Cos,
            "Cosh" => Unary::Cosh,
            "Elu" => Unary::Elu { alpha: alpha(1.0) },
            "Erf" => Unary::Erf,
            "Exp" => Unary::Exp,
            "Floor" => Unary::Floor,
            "Gelu" => {
                match node.attribute("approximate").map_or(&b"none"[..], |attribute| &attribute.s) {
                    b"none" => Unary::Gelu,
                    b"tanh" => Unary::GeluTanh,
                    _ => {
                        return Err(unsupported(
                            node,
                            "approximate is neither 'none' nor 'tanh'".to_owned(),
                        ));
                    }
                }
            }
            "HardSigmoid" => Unary::HardSigmoid { alpha: alpha(0.2), beta: parameter("beta", 0.5) },
            "HardSwish" => Unary::HardSwish,
            "LeakyRelu" => Unary::LeakyRelu { alpha: alpha(0.01) },
            "Log" => Unary::Log,
            "Mish" => Unary::Mish,
            "Neg" => Unary::Neg,
            "Not" => Unary::Not,
            "PRelu" => {
                let slopes = self.broadcast_weights(node, 1, &self.tensor(node, 0)?.dims)?;
                let slope = common_value(&slopes)
                    .ok_or_else(|| unsupported(node, "the slopes differ".to_owned()))?;
                Unary::LeakyRelu { alpha: f64::from(slope) }
            }
            "Reciprocal" => Unary::Reciprocal,
            "Relu" => Unary::Relu,
            "Round" => Unary::RoundEven,
            "Selu" => {
                Unary::Selu { alpha: alpha(1.673_263_2), gamma: parameter("gamma", 1.050_701) }
            }
            "Sigmoid" => Unary::Sigmoid,
            "Sign" => Unary::Sign,
            "Sin" => Unary::Sin,
            "Sinh" => Unary::Sinh,
            "Softplus" => Unary::Softplus,
            "Softsign" => Unary::Softsign,
            "Sqrt" => Unary::Sqrt,
            "Swish" => Unary::Swish { alpha: alpha(1.0) },
            "Tan" => Unary::Tan,
            "Tanh" => Unary::Tanh,
            _ => return Err(rules::unsupported_operator(node)),
        })
    }

    fn clip_operation(&self, node: &NodeProto) -> Result<Unary, OnnxError> {
        let attributes =
            ["min", "max"].map(|name| node.attribute(name).map(|attribute| f64::from(attribute.f)));
        let inputs = [self.constant_number(node, 1)?, self.constant_number(node, 2)?];
        let ([low, high], misplaced) =
            if self.opset < 11 { (attributes, inputs) } else { (inputs, attributes) };
        if misplaced.iter().any(Option::is_some) {
            return Err(unsupported(
                node,
                format!("limits are misplaced for operator set {}", self.opset),
            ));
        }
        Ok(Unary::Clip {
            low: low.unwrap_or(f64::NEG_INFINITY),
            high: high.unwrap_or(f64::INFINITY),
        })
    }

    /// Returns a constant operand of one value, if the node has it.
    pub(super) fn constant_number(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<f64>, OnnxError> {
        let Some(constant) = self.weights(node, position)? else { return Ok(None) };
        match constant.to_floats().as_deref().and_then(common_value) {
            Some(value) => Ok(Some(f64::from(value))),
            None => Err(unsupported(
                node,
                format!(
                    "input {position} must be one number of single precision, or several equal ones"
                ),
            )),
        }
    }

    /// Returns the tensor of which a tensor is a function, and that function.
    pub(super) fn root_and_function(&self, index: usize) -> (usize, Function) {
        let node = index.checked_sub(1).and_then(|node| self.network.nodes.get(node));
        match node.map(|node| (&node.operation, &node.inputs[..])) {
            // Two of these and one further operation stay below the limit.
            Some((FloatOperation::Function(function), &[root]))
                if 2 * function.operation_count() < MAX_OPERATIONS =>
            {
                (root, function.clone())
            }
            _ => (index, Function::Variable),
        }
    }

    pub(super) fn define_function(
        &mut self,
        node: &NodeProto,
        root: usize,
        function: Function,
        input: &Operand,
    ) -> Result<(), OnnxError> {
        let operation = FloatOperation::Function(function);
        let function = FloatNode { inputs: vec![root], shape: input.shape, operation };
        self.push(output_name(node)?, function, input.dims.clone())
    }

    /// Converts an operator with two operands.
    pub(super) fn convert_arithmetic(
        &mut self,
        node: &NodeProto,
        operation: Binary,
    ) -> Result<(), OnnxError> {
        let constant = [0, 1].map(|position| self.weights(node, position).ok().flatten().is_some());
        match constant {
            [false, false] => self.convert_combination(node, operation),
            [true, false] => self.convert_with_constant(node, operation, 1),
            [false, true] => self.convert_with_constant(node, operation, 0),
            [true, true] => Err(unsupported(node, "both operands are constant".to_owned())),
        }
    }

    /// Combines two computed tensors.
    fn convert_combination(
        &mut self,
        node: &NodeProto,
        operation: Binary,
    ) -> Result<(), OnnxError> {
        let (a, mut b) = (self.tensor(node, 0)?, self.tensor(node, 1)?);
        let ((function_a, one), (function_b, other)) =
            (self.root_and_function(a.index), self.root_and_function(b.index));
        let are_variables = one == Function::Variable && other == Function::Variable;
        let is_sum = matches!(operation, Binary::Add | Binary::Subtract);
        // Both are functions of one tensor, as in `x * sigmoid(x)`.
        if function_a == function_b && a.dims == b.dims && !(are_variables && is_sum) {
            return self.define_function(node, function_a, one.with(operation, other), &a);
        }
        let combination = match operation {
            Binary::Add => FloatOperation::Add,
            Binary::Multiply => FloatOperation::Multiply,
            Binary::Divide => {
                // A product with the reciprocal, which saturates for a divisor of 0.
                let minimum = f64::MIN_POSITIVE;
                b.index = self.push_mapped(function_b, other.then(Unary::Inverse { minimum }))?;
                FloatOperation::Multiply
            }
            Binary::Modulo | Binary::Power | Binary::Remainder => {
                return Err(unsupported(
                    node,
                    "both operands depend on the network's input".to_owned(),
                ));
            }
            Binary::Equal
            | Binary::Greater
            | Binary::GreaterOrEqual
            | Binary::Less
            | Binary::LessOrEqual
            | Binary::Subtract => FloatOperation::Subtract,
        };
        let dims = dims::common_dims(&[&a.dims, &b.dims]).ok_or_else(|| {
            let (one, other) = (&a.dims, &b.dims);
            unsupported(node, format!("the operands differ in dimensions: {one:?} and {other:?}"))
        })?;
        let full_operand = [&a, &b].into_iter().find(|operand| operand.dims == dims);
        let shape = full_operand.map_or_else(|| dims::shape(&dims), |operand| Ok(operand.shape));
        let shape = shape.map_err(invalid_shape(node))?;
        let inputs =
            vec![self.broadcast(node, &a, &dims, shape)?, self.broadcast(node, &b, &dims, shape)?];
        let mut tensor = self.push_node(FloatNode { inputs, shape, operation: combination })?;
        if operation.is_comparison() {
            tensor = self
                .push_mapped(tensor, Function::Variable.with(operation, Function::Constant(0.0)))?;
        }
        super::define(&mut self.values, output_name(node)?, Value::Tensor(tensor, dims))
    }

    /// Returns a tensor with the elements of an operand, repeated to these dimensions; `None` if
    /// they cannot be.
    pub(super) fn try_broadcast(
        &mut self,
        node: &NodeProto,
        operand: &Operand,
        dims: &[usize],
        shape: Shape,
    ) -> Result<Option<usize>, OnnxError> {
        if operand.dims == dims && operand.shape == shape {
            return Ok(Some(operand.index));
        }
        let positions: Vec<u32> = (0..operand.shape.elements() as u32).collect();
        let Some(indices) = dims::broadcast(&positions, &operand.dims, dims) else {
            return Ok(None);
        };
        self.push_moved(node, vec![operand.index], indices, 0.0, shape).map(Some)
    }

    /// Converts a division. Integers are divided by one constant: the quotient is rounded towards
    /// 0.
    pub(super) fn convert_division(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if self.element_type_of(node, 0) != ElementType::Integer {
            return self.convert_arithmetic(node, Binary::Divide);
        }
        let input = self.tensor(node, 0)?;
        let divisor = common_value(&self.broadcast_weights(node, 1, &input.dims)?)
            .filter(|divisor| divisor.abs() > 0.0);
        let divisor = divisor.ok_or_else(|| {
            unsupported(node, "the divisor of integers is 0, or several numbers".to_owned())
        })?;
        let (root, function) = self.root_and_function(input.index);
        let quotient = function.with(Binary::Divide, Function::Constant(divisor.into()));
        self.define_function(node, root, quotient.then(Unary::Truncate), &input)
    }

    /// Converts the remainder of a division, of which one operand is constant.
    pub(super) fn convert_remainder(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        match node.int("fmod", 0) {
            0 if self.element_type_of(node, 0) == ElementType::Integer => {
                self.convert_arithmetic(node, Binary::Modulo)
            }
            0 => Err(unsupported(node, "a remainder of floats needs fmod = 1".to_owned())),
            _ => self.convert_arithmetic(node, Binary::Remainder),
        }
    }

    /// Compares each element with its own constant.
    fn convert_elementwise_comparison(
        &mut self,
        node: &NodeProto,
        operation: Binary,
        is_first: bool,
        input: &Operand,
        constants: &[f32],
    ) -> Result<(), OnnxError> {
        let limits: Vec<f64> = constants.iter().copied().map(f64::from).collect();
        // What is at least a number is above the next smaller one.
        let below = limits.iter().map(|limit| limit.next_down()).collect();
        let conditions = match (operation, is_first) {
            (Binary::Greater, true) | (Binary::Less, false) => vec![(limits, true)],
            (Binary::LessOrEqual, true) | (Binary::GreaterOrEqual, false) => vec![(limits, false)],
            (Binary::GreaterOrEqual, true) | (Binary::LessOrEqual, false) => vec![(below, true)],
            (Binary::Less, true) | (Binary::Greater, false) => vec![(below, false)],
            _ => vec![(limits, false), (below, true)],
        };
        let shape = Shape::vector(constants.len()).map_err(invalid_shape(node))?;
        let elements = self.broadcast(node, input, &input.dims, shape)?;
        let mut tensors = Vec::with_capacity(conditions.len());
        for (limits, is_above) in conditions {
            let operation =
                FloatOperation::Compare { is_above: vec![is_above; limits.len()], limits };
            tensors.push(self.push_node(FloatNode { inputs: vec![elements], shape, operation })?);
        }
        let tensor = match tensors[..] {
            [single] => single,
            _ => self.push_node(FloatNode {
                inputs: tensors,
                shape,
                operation: FloatOperation::Multiply,
            })?,
        };
        super::define(
            &mut self.values,
            output_name(node)?,
            Value::Tensor(tensor, input.dims.clone()),
        )
    }

    /// Combines a computed tensor, at an input position, with a constant.
    fn convert_with_constant(
        &mut self,
        node: &NodeProto,
        operation: Binary,
        tensor: usize,
    ) -> Result<(), OnnxError> {
        let mut input = self.tensor(node, tensor)?;
        let constant_dims =
            self.weights(node, 1 - tensor)?.map_or(&[][..], |constant| &constant.dims);
        if let Some(dims) = dims::common_dims(&[&input.dims, constant_dims])
            && dims != input.dims
        {
            Self::check_elements(node, &dims)?;
            let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
            input = Operand { index: self.broadcast(node, &input, &dims, shape)?, shape, dims };
        }
        // The constant is repeated even if the operator becomes part of the layer before.
        self.count_computed(input.shape.elements())?;
        let constants = self.broadcast_weights(node, 1 - tensor, &input.dims)?;
        if self.try_convert_mask(node, &input, &constants)? {
            return Ok(());
        }
        if operation.is_comparison() && common_value(&constants).is_none() {
            return self.convert_elementwise_comparison(
                node,
                operation,
                tensor == 0,
                &input,
                &constants,
            );
        }
        let affine = affine_operation(operation, tensor == 0, &constants);
        if affine
            .as_ref()
            .is_some_and(|affine| affine.factors.iter().any(|factor| !factor.is_finite()))
        {
            return Err(unsupported(node, "the divisor is zero, or too small".to_owned()));
        }
        if let Some(affine) = &affine
            && self.is_only_reader_of_last(node, tensor)
            && self.fold_into_last(affine)
        {
            return super::define(
                &mut self.values,
                output_name(node)?,
                Value::Tensor(input.index, input.dims),
            );
        }
        if let Some(constant) = common_value(&constants) {
            let (root, function) = self.root_and_function(input.index);
            let constant = Function::Constant(f64::from(constant));
            let function = if tensor == 0 {
                function.with(operation, constant)
            } else {
                constant.with(operation, function)
            };
            return self.define_function(node, root, function, &input);
        }
        let Some(affine) = affine else {
            return Err(unsupported(
                node,
                "the constant must be one number, or several equal ones".to_owned(),
            ));
        };
        self.convert_scale(node, &input, &affine)
    }

    /// Folds a scale and an offset of the last tensor into the layer that computes it; returns
    /// whether that is possible.
    pub(super) fn fold_into_last(&mut self, affine: &Affine) -> bool {
        let last = self.network.nodes.len();
        match &mut self.network.nodes[..] {
            // The layer before a move: the elements have another order.
            [.., layer, FloatNode { operation: FloatOperation::Move { indices, .. }, .. }]
                if self.before_move.is_some_and(|product| product + 1 == last) =>
            {
                fold_into(layer, &affine.before_move(indices))
            }
            [.., layer] => fold_into(layer, affine),
            [] => false,
        }
    }

    /// Appends a convolution of 1×1 that scales each channel on its own or, if the elements of a
    /// channel have different factors, each column or each element.
    pub(super) fn convert_scale(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        affine: &Affine,
    ) -> Result<(), OnnxError> {
        if affine.is_identity() {
            return super::define(
                &mut self.values,
                output_name(node)?,
                Value::Tensor(input.index, input.dims.clone()),
            );
        }
        let (shape, count) = (input.shape, input.shape.elements());
        let width = input.dims.last().map_or(1, |&width| width.max(1));
        let (affine, image_shape, moves) = if let Some(by_channel) = affine.by_row(shape.channels) {
            (by_channel, shape, None)
        } else if let Some(by_column) = affine.by_column(width) {
            let image_shape = Shape::new(width, count / width, 1).map_err(invalid_shape(node))?;
            let orders = [[count / width, width], [width, count / width]]
                .map(|dims| dims::transposed_positions(&dims, &[1, 0]));
            (by_column, image_shape, Some(orders))
        } else {
            let identity: Vec<u32> = (0..count as u32).collect();
            (
                affine.clone(),
                Shape::vector(count).map_err(invalid_shape(node))?,
                Some([identity.clone(), identity]),
            )
        };
        let mut tensor = input.index;
        let mut inverse_order = None;
        if let Some([order, inverse]) = moves {
            tensor = self.push_moved(node, vec![tensor], order, 0.0, image_shape)?;
            inverse_order = Some(inverse);
        }
        let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
        let (weights, bias) = (affine.factors, affine.offsets);
        let operation =
            FloatOperation::Convolution { window, groups: image_shape.channels, weights, bias };
        let scaled = FloatNode { inputs: vec![tensor], shape: image_shape, operation };
        let mut tensor = self.push_node(scaled)?;
        if let Some(inverse) = inverse_order {
            self.before_move = Some(tensor);
            tensor = self.push_moved(node, vec![tensor], inverse, 0.0, shape)?;
        }
        super::define(
            &mut self.values,
            output_name(node)?,
            Value::Tensor(tensor, input.dims.clone()),
        )
    }
}

impl Affine {
    /// Returns the scale and offset of elements before they are moved to another order.
    fn before_move(&self, indices: &[u32]) -> Self {
        let order = |values: &[f32]| {
            let mut values_before_move = vec![0.0; values.len()];
            for (&value, &index) in values.iter().zip(indices) {
                if let Some(slot) = values_before_move.get_mut(index as usize) {
                    *slot = value;
                }
            }
            values_before_move
        };
        Self { factors: order(&self.factors), offsets: order(&self.offsets) }
    }

    fn is_identity(&self) -> bool {
        common_value(&self.factors) == Some(1.0) && common_value(&self.offsets) == Some(0.0)
    }

    /// Returns the factor and offset of each column of rows of this width; `None` if those of the
    /// rows differ.
    fn by_column(&self, width: usize) -> Option<Self> {
        let per_column = |values: &[f32]| {
            let (first, _) = values.split_at_checked(width)?;
            values.chunks(width).all(|row| row == first).then(|| first.to_vec())
        };
        Some(Self { factors: per_column(&self.factors)?, offsets: per_column(&self.offsets)? })
    }

    /// Returns the factor and offset of each of `rows` rows; `None` if those of a row differ.
    fn by_row(&self, rows: usize) -> Option<Self> {
        let width = self.factors.len().checked_div(rows).filter(|&width| width > 0)?;
        let per_row =
            |values: &[f32]| values.chunks(width).map(common_value).collect::<Option<Vec<f32>>>();
        let (factors, offsets) = (per_row(&self.factors)?, per_row(&self.offsets)?);
        (factors.len() == rows).then_some(Self { factors, offsets })
    }
}

/// Folds a scale and an offset of the node's outputs into its weights; returns whether that is
/// possible.
fn fold_into(node: &mut FloatNode, affine: &Affine) -> bool {
    let (FloatOperation::Dense { weights, bias }
    | FloatOperation::Convolution { weights, bias, .. }) = &mut node.operation
    else {
        return false;
    };
    let Some(affine) = affine.by_row(bias.len()) else { return false };
    scale_rows(weights, bias, &affine.factors, &affine.offsets);
    true
}

/// Scales the outputs of a layer and adds offsets to them.
fn scale_rows(weights: &mut [f32], bias: &mut [f32], factors: &[f32], offsets: &[f32]) {
    let width = weights.len() / bias.len().max(1);
    let rows = weights.chunks_mut(width.max(1)).zip(bias);
    for ((row, bias), (factor, offset)) in rows.zip(factors.iter().zip(offsets)) {
        for weight in row.iter_mut() {
            *weight *= factor;
        }
        *bias = *bias * factor + offset;
    }
}

/// Returns the factors and offsets of an operation with a constant; `None` if it has none.
fn affine_operation(operation: Binary, is_first: bool, constants: &[f32]) -> Option<Affine> {
    let repeated = |value: f32| vec![value; constants.len()];
    let mapped = |function: fn(f32) -> f32| {
        constants.iter().map(|&value| function(value)).collect::<Vec<f32>>()
    };
    let (factors, offsets) = match (operation, is_first) {
        (Binary::Add, _) => (repeated(1.0), constants.to_vec()),
        (Binary::Subtract, true) => (repeated(1.0), mapped(|value| -value)),
        (Binary::Subtract, false) => (repeated(-1.0), constants.to_vec()),
        (Binary::Multiply, _) => (constants.to_vec(), repeated(0.0)),
        (Binary::Divide, true) => (mapped(f32::recip), repeated(0.0)),
        _ => return None,
    };
    Some(Affine { factors, offsets })
}

/// Returns the value that all numbers have.
pub(super) fn common_value(values: &[f32]) -> Option<f32> {
    let (&first, others) = values.split_first()?;
    others.iter().all(|value| value.to_bits() == first.to_bits()).then_some(first)
}
