//! Folding of constants: a node whose operands are all constants is evaluated when the model is read, and so are the
//! dimensions of a tensor. Exporters compute shapes and masks in this way.

use std::sync::Arc;

use super::dims;
use super::node::{has_more_outputs, output};
use super::proto::NodeProto;
use super::tensor::{Constant, Data};
use super::{ElementType, MAX_MOVED, Model, OnnxError, Reader, Value, rules, unsupported};
use crate::MAX_ELEMENTS;

/// Operators whose outputs have at most as many elements as the product of all operands, or, for Concat, their sum.
const FOLDED: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "Clip",
    "Concat",
    "Cos",
    "Div",
    "Equal",
    "Exp",
    "Flatten",
    "Gather",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Reshape",
    "Sin",
    "Slice",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

impl Reader {
    /// Evaluates a node whose operands are all constants, and names its output; returns whether the node is one.
    pub(super) fn fold_constants(&mut self, model: &Model, node: &NodeProto) -> Result<bool, OnnxError> {
        let mut operands: Vec<(&str, &Constant)> = Vec::with_capacity(node.input.len());
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            let Some(Value::Constant(constant)) = self.values.get(name) else { return Ok(false) };
            operands.push((name.as_str(), constant.as_ref()));
        }
        let sizes = operands.iter().map(|(_, constant)| dims::elements(&constant.dims).unwrap_or(usize::MAX).max(1));
        let size = match node.op_type.as_str() {
            "Concat" => sizes.fold(0, usize::saturating_add),
            _ => sizes.fold(1, usize::saturating_mul),
        };
        let is_folded = FOLDED.contains(&node.op_type.as_str()) && !operands.is_empty() && !has_more_outputs(node);
        if !is_folded || size > MAX_ELEMENTS {
            return Ok(false);
        }
        rules::check(node)?;
        let holds_integers = Self::holds_integers(node, &operands)?;
        let is_float = operands.first().is_some_and(|(_, constant)| constant.floats().is_some());
        let is_left = match node.op_type.as_str() {
            // Divisions of integers are refused, as those of computed tensors are.
            "Div" | "ReduceMean" => holds_integers,
            // Weights keep their values.
            "Cast" => is_float && !holds_integers,
            _ => false,
        };
        if is_left {
            return Ok(false);
        }
        self.moved = self.moved.saturating_add(size);
        if self.moved > MAX_MOVED {
            return Err(unsupported(node, format!("more than {MAX_MOVED} elements of constants are computed")));
        }
        let (dims, values) = model.evaluate_constants(node, &operands)?;
        if values.iter().any(|value| value.is_nan() || (!holds_integers && *value > f64::from(f32::MAX))) {
            return Err(unsupported(node, "a constant is not finite".to_owned()));
        }
        let data = if holds_integers {
            Data::Integers(values.into_iter().map(|value| value as i64).collect())
        } else {
            // Minus infinity is the mask of a softmax.
            Data::Floats(values.into_iter().map(|value| (value as f32).max(f32::MIN)).collect())
        };
        super::define(&mut self.values, output(node)?, Value::Constant(Arc::new(Constant { dims, data })))?;
        Ok(true)
    }

    /// Returns whether the elements of a node's output are integers or booleans, given its operands.
    fn holds_integers(node: &NodeProto, operands: &[(&str, &Constant)]) -> Result<bool, OnnxError> {
        let reads_integers =
            |position: usize| operands.get(position).is_some_and(|(_, constant)| constant.integers().is_some());
        Ok(match node.op_type.as_str() {
            "And" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "Or" => true,
            "Cast" => ElementType::of(node.cast_type()?) != ElementType::Float,
            "Where" => reads_integers(1),
            _ => reads_integers(0),
        })
    }

    /// Returns the dimensions of a tensor as a constant.
    pub(super) fn shape_of(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let dims = match node.input.first().and_then(|name| self.values.get(name)) {
            Some(Value::Tensor(_, dims)) => dims,
            Some(Value::Constant(constant)) => &constant.dims,
            None => return Err(unsupported(node, "the node has no input".to_owned())),
        };
        let rank = dims.len().cast_signed() as i64;
        let limit = |name: &str, default: i64| {
            let limit = node.int(name, default);
            (if limit < 0 { limit.saturating_add(rank) } else { limit }).clamp(0, rank) as usize
        };
        let part = dims.get(limit("start", 0)..limit("end", rank)).unwrap_or_default();
        let part: Vec<i64> = part.iter().map(|&extent| extent.cast_signed() as i64).collect();
        super::define(&mut self.values, output(node)?, Value::Constant(Arc::new(Constant::of_integers(&part))))
    }
}
