//! Conversion of conditions, and of choices between tensors. The values of a condition are 0 and 1.

use taonet_proof_core::Shape;
use taonet_proof_core::float::{
    Binary, FloatNode, FloatOperation, Function, MAX_OPERATIONS, Unary,
};

use super::dims;
use super::elementwise::common_value;
use super::expansion::Expansion;
use super::node::{Operand, output_name};
use super::proto::NodeProto;
use super::{ElementType, OnnxError, Reader, Value, invalid_shape, output_type, unsupported};

/// An operand among which a Where, a Max or a Min chooses.
pub(super) enum BranchOperand {
    Tensor(Operand),
    /// A constant that has this value everywhere, with its dimensions.
    Number(f64, Vec<usize>),
}

impl BranchOperand {
    fn dims(&self) -> &[usize] {
        match self {
            Self::Tensor(operand) => &operand.dims,
            Self::Number(_, dims) => dims,
        }
    }
}

impl Reader {
    /// Checks the types of a node's operands as far as they change its meaning, and records the
    /// type of its outputs. A division of integers rounds, unlike one of floats, and a condition is
    /// 0 or 1.
    pub(super) fn check_type(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let operator = node.op_type.as_str();
        let conditions = match operator {
            "And" | "Not" | "Or" | "Xor" => node.input.len(),
            "Where" => 1,
            _ => 0,
        };
        let is_condition = |name: &String| {
            self.values.get(name).is_some_and(Value::is_integers)
                || self.element_types.get(name) == Some(&ElementType::Boolean)
        };
        if !node.input.iter().take(conditions).all(is_condition) {
            return Err(unsupported(node, "a condition is not boolean".to_owned()));
        }
        let is_of_integers = self.element_type_of(node, 0) == ElementType::Integer;
        if is_of_integers
            && matches!(
                operator,
                "Mean" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMean"
            )
        {
            return Err(unsupported(
                node,
                "a mean, root or logarithm of integers, which rounds, is unsupported; hint: convert them to floats with \
                 Cast"
                    .to_owned(),
            ));
        }
        if operator == "Pow" && is_of_integers && !self.has_natural_exponents(node) {
            return Err(unsupported(
                node,
                "a power of integers that is no integer, which rounds, is unsupported".to_owned(),
            ));
        }
        let result = output_type(node, |position| self.element_type_of(node, position))?;
        self.element_types.extend(node.output.iter().map(|name| (name.clone(), result)));
        Ok(())
    }

    /// Returns the type of an operand's elements.
    pub(super) fn element_type_of(&self, node: &NodeProto, position: usize) -> ElementType {
        let Some(name) = node.input.get(position) else { return ElementType::Float };
        if self.values.get(name).is_some_and(Value::is_integers) {
            return ElementType::Integer;
        }
        self.element_types.get(name).copied().unwrap_or(ElementType::Float)
    }

    /// Returns whether the exponents of a node are constants that turn integers into integers.
    fn has_natural_exponents(&self, node: &NodeProto) -> bool {
        let Ok(Some(exponents)) = self.weights(node, 1) else { return false };
        let are_natural_floats =
            |values: &[f32]| values.iter().all(|value| *value >= 0.0 && value.fract() <= 0.0);
        let are_natural = |values: &[i64]| values.iter().all(|&value| value >= 0);
        exponents
            .floats()
            .map(are_natural_floats)
            .or(exponents.integers().map(are_natural))
            .unwrap_or_default()
    }

    /// Converts a conversion of the elements' type. Those between floating-point types are omitted:
    /// networks and evaluations compute with more precision than half.
    pub(super) fn convert_cast(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let target = super::element_type(node.cast_type()?);
        let source = node.input.first().and_then(|name| self.element_types.get(name)).copied();
        if target == ElementType::Float
            || source == Some(target)
            || source == Some(ElementType::Boolean)
        {
            return self.rename(node, None);
        }
        let input = self.tensor(node, 0)?;
        let (root, function) = self.root_and_function(input.index);
        let function = if target == ElementType::Boolean {
            function.with(Binary::Equal, Function::Constant(0.0)).then(Unary::Not)
        } else {
            function.then(Unary::Truncate)
        };
        self.define_function(node, root, function, &input)
    }

    /// Converts a choice between two operands.
    pub(super) fn convert_where(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let [a, b] = [self.branch_operand(node, 1)?, self.branch_operand(node, 2)?];
        if let Some(constant) = self.weights(node, 0).ok().flatten() {
            let condition = constant
                .integers()
                .map(|values| values.iter().map(|&value| value != 0).collect::<Vec<_>>());
            let (condition, condition_dims) =
                (condition.unwrap_or_default(), constant.dims.clone());
            return self.convert_constant_where(node, &condition, &condition_dims, [&a, &b]);
        }
        let condition = self.tensor(node, 0)?;
        let (root, function) = self.root_and_function(condition.index);
        let branch_function = |branch: &BranchOperand| match branch {
            BranchOperand::Number(value, _) => Some(Function::Constant(*value)),
            BranchOperand::Tensor(operand) => {
                let (branch_root, function) = self.root_and_function(operand.index);
                (branch_root == root && operand.dims == condition.dims).then_some(function)
            }
        };
        let dims = dims::common_dims(&[&condition.dims, a.dims(), b.dims()]);
        let dims =
            dims.ok_or_else(|| unsupported(node, "the operands do not fit each other".to_owned()))?;
        // Everything depends on one tensor, as in a LeakyRelu of parts.
        if let (Some(when_true), Some(when_false), true) =
            (branch_function(&a), branch_function(&b), dims == condition.dims)
        {
            let selection = function.clone().select(when_true, when_false);
            if selection.operation_count() <= MAX_OPERATIONS {
                return self.define_function(node, root, selection, &condition);
            }
        }
        let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
        let mut terms = Vec::with_capacity(2);
        for (branch, gate) in [(a, function.clone()), (b, function.then(Unary::Not))] {
            let gate = match &branch {
                BranchOperand::Number(value, _) => {
                    gate.with(Binary::Multiply, Function::Constant(*value))
                }
                BranchOperand::Tensor(_) => gate,
            };
            let gate = Operand { index: self.push_mapped(root, gate)?, ..condition.clone() };
            let mut term = self.broadcast(node, &gate, &dims, shape)?;
            if let BranchOperand::Tensor(operand) = &branch {
                let inputs = vec![term, self.broadcast(node, operand, &dims, shape)?];
                term = self.push_node(FloatNode {
                    inputs,
                    shape,
                    operation: FloatOperation::Multiply,
                })?;
            }
            terms.push(term);
        }
        self.push(
            output_name(node)?,
            FloatNode { inputs: terms, shape, operation: FloatOperation::Add },
            dims,
        )
    }

    /// Converts whether exactly one of two conditions holds.
    pub(super) fn convert_xor(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let [a, b] = &node.input[..] else {
            return Err(unsupported(node, "expected two operands".to_owned()));
        };
        let mut expansion = Expansion::new(self, node);
        let are_equal = expansion.node("Equal", &[a, b]);
        expansion.node_named(output_name(node)?, "Not", &[&are_equal], Vec::new());
        expansion.finish()
    }

    /// Returns the operand at an input position: a constant of one value, or a tensor.
    pub(super) fn branch_operand(
        &mut self,
        node: &NodeProto,
        position: usize,
    ) -> Result<BranchOperand, OnnxError> {
        if let Some(constant) = self.weights(node, position).ok().flatten()
            && let Some(value) = constant.to_floats().as_deref().and_then(common_value)
        {
            return Ok(BranchOperand::Number(value.into(), constant.dims.clone()));
        }
        self.operand(node, position).map(BranchOperand::Tensor)
    }

    /// Returns a tensor with the elements of an operand, repeated to these dimensions.
    pub(super) fn broadcast(
        &mut self,
        node: &NodeProto,
        operand: &Operand,
        dims: &[usize],
        shape: Shape,
    ) -> Result<usize, OnnxError> {
        let tensor = self.try_broadcast(node, operand, dims, shape)?;
        tensor.ok_or_else(|| {
            unsupported(node, format!("{:?} cannot be repeated to {dims:?}", operand.dims))
        })
    }

    /// Converts a choice by a constant condition: a move.
    fn convert_constant_where(
        &mut self,
        node: &NodeProto,
        condition: &[bool],
        condition_dims: &[usize],
        branches: [&BranchOperand; 2],
    ) -> Result<(), OnnxError> {
        let mismatch = || unsupported(node, "the operands do not fit each other".to_owned());
        let [a, b] = branches;
        let dims = dims::common_dims(&[condition_dims, a.dims(), b.dims()]).ok_or_else(mismatch)?;
        Self::check_elements(node, &dims)?;
        let condition = dims::broadcast(condition, condition_dims, &dims).ok_or_else(mismatch)?;
        let (mut inputs, mut next_index, mut constant, mut positions) =
            (Vec::new(), 0, None, Vec::with_capacity(2));
        for branch in branches {
            match branch {
                BranchOperand::Number(value, _) => {
                    constant = Some(*value);
                    positions.push(None);
                }
                BranchOperand::Tensor(operand) => {
                    let count = operand.shape.elements() as u32;
                    let operand_indices: Vec<u32> = (next_index..next_index + count).collect();
                    positions.push(Some(
                        dims::broadcast(&operand_indices, &operand.dims, &dims)
                            .ok_or_else(mismatch)?,
                    ));
                    inputs.push(operand.index);
                    next_index += count;
                }
            }
        }
        if inputs.is_empty() {
            return Err(unsupported(node, "all operands are constant".to_owned()));
        }
        let [true_positions, false_positions] =
            [0, 1].map(|branch: usize| positions.get(branch).and_then(Option::as_deref));
        let position_at = |positions: Option<&[u32]>, index: usize| {
            positions.and_then(|positions| positions.get(index)).copied().unwrap_or(next_index)
        };
        let branch_indices = condition.iter().enumerate();
        let indices = branch_indices
            .map(|(index, &holds)| {
                position_at(if holds { true_positions } else { false_positions }, index)
            })
            .collect();
        self.define_moved(node, inputs, indices, constant.unwrap_or_default() as f32, dims)
    }
}
