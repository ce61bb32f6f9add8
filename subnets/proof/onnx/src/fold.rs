//! Folding of constants: a node whose operands are all constants is evaluated when the model is
//! read, and so are the dimensions of a tensor. Exporters compute shapes and masks in this way.

use std::sync::Arc;

use taonet_proof_core::MAX_ELEMENTS;
use taonet_proof_onnx_file::evaluate_constants;

use super::dims;
use super::node::{has_more_outputs, output_name};
use super::proto::{DataType, NodeProto};
use super::tensor::{Constant, ConstantData};
use super::{
    ElementType, MAX_MOVED_ELEMENTS, OnnxError, Reader, Value, output_type, rules, unsupported,
};

/// The largest integer that no other one is rounded to in double precision.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_991.0;

impl Reader {
    /// Evaluates a node whose operands are all constants; converts any other node.
    pub(super) fn fold_or_convert(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if self.fold_constants(node)? { Ok(()) } else { self.convert_node(node) }
    }

    /// Evaluates a node whose operands are all constants, and names its output; returns whether the
    /// node is one.
    fn fold_constants(&mut self, node: &NodeProto) -> Result<bool, OnnxError> {
        let mut operands: Vec<(&str, &Constant)> = Vec::with_capacity(node.input.len());
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            let Some(Value::Constant(constant)) = self.values.get(name) else { return Ok(false) };
            operands.push((name.as_str(), constant.as_ref()));
        }
        let is_folded = rules::FOLDED_OPERATORS.contains(&node.op_type.as_str())
            && !operands.is_empty()
            && !has_more_outputs(node);
        if !is_folded {
            return Ok(false);
        }
        rules::check_node(node)?;
        let operand_type = |position: usize| match operands.get(position) {
            Some((_, constant)) if constant.integers().is_some() => ElementType::Integer,
            _ => ElementType::Float,
        };
        let has_integers = output_type(node, operand_type)? != ElementType::Float;
        let is_float = operands.first().is_some_and(|(_, constant)| constant.floats().is_some());
        let is_not_folded = match node.op_type.as_str() {
            // Means and roots of integers are refused, as those of computed tensors are.
            "Mean" | "ReduceL2" | "ReduceMean" => has_integers,
            // Weights keep their values.
            "Cast" => is_float && !has_integers,
            _ => false,
        };
        if is_not_folded {
            return Ok(false);
        }
        // An axis of an empty tensor can have any extent, and remain when a reduction removes the
        // one without elements.
        let is_small = operands.iter().all(|(_, constant)| {
            let mut extents = constant.dims.iter().map(|&extent| extent.max(1));
            extents.try_fold(1_usize, usize::checked_mul).is_some_and(|count| count <= MAX_ELEMENTS)
        });
        let computed_elements = folded_elements(node, &operands)
            .filter(|&elements| is_small && elements <= MAX_ELEMENTS);
        let computed_elements = computed_elements.ok_or_else(|| {
            unsupported(node, "the constants do not fit, or are too large".to_owned())
        })?;
        let read_elements = operands
            .iter()
            .filter_map(|(_, constant)| dims::elements(&constant.dims))
            .sum::<usize>();
        self.moved_elements =
            self.moved_elements.saturating_add(read_elements.saturating_add(computed_elements));
        if self.moved_elements > MAX_MOVED_ELEMENTS {
            return Err(unsupported(
                node,
                format!("more than {MAX_MOVED_ELEMENTS} elements of constants are computed"),
            ));
        }
        let (dims, values) = evaluate_constants(self.opset, node, &operands)?;
        if values
            .iter()
            .any(|value| value.is_nan() || (!has_integers && *value > f64::from(f32::MAX)))
        {
            return Err(unsupported(node, "a constant is not finite".to_owned()));
        }
        if has_integers && is_inexact(node, &values) {
            return Err(unsupported(node, "a constant exceeds its type, or 2^53".to_owned()));
        }
        let data = if has_integers {
            ConstantData::Integers(values.into_iter().map(|value| value as i64).collect())
        } else {
            // Minus infinity is the mask of a softmax.
            ConstantData::Floats(
                values.into_iter().map(|value| (value as f32).max(f32::MIN)).collect(),
            )
        };
        super::define(
            &mut self.values,
            output_name(node)?,
            Value::Constant(Arc::new(Constant { dims, data })),
        )?;
        Ok(true)
    }

    /// Returns the number of elements of a tensor as a constant.
    pub(super) fn convert_size(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = node.input.first().and_then(|name| self.values.get(name));
        let count = input
            .and_then(|value| dims::elements(value.dims()))
            .map(|count| count.cast_signed() as i64);
        let count = count.ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?;
        let constant = Constant { dims: Vec::new(), data: ConstantData::Integers(vec![count]) };
        super::define(&mut self.values, output_name(node)?, Value::Constant(Arc::new(constant)))
    }

    /// Returns the dimensions of a tensor as a constant.
    pub(super) fn convert_shape(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let value = node.input.first().and_then(|name| self.values.get(name));
        let dims =
            value.ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?.dims();
        let rank = dims.len().cast_signed() as i64;
        let axis_limit = |name: &str, default: i64| {
            let limit = node.int(name, default);
            (if limit < 0 { limit.saturating_add(rank) } else { limit }).clamp(0, rank) as usize
        };
        let part = dims.get(axis_limit("start", 0)..axis_limit("end", rank)).unwrap_or_default();
        let part: Vec<i64> = part.iter().map(|&extent| extent.cast_signed() as i64).collect();
        super::define(
            &mut self.values,
            output_name(node)?,
            Value::Constant(Arc::new(Constant::from_integers(&part))),
        )
    }
}

/// Returns whether an integer that a node computes could differ from that of the standard: it has
/// more bits than double precision, or a conversion gives it fewer.
fn is_inexact(node: &NodeProto, values: &[f64]) -> bool {
    let is_moved = matches!(
        node.op_type.as_str(),
        "Concat"
            | "DepthToSpace"
            | "Expand"
            | "Flatten"
            | "Gather"
            | "GatherElements"
            | "GatherND"
            | "Max"
            | "Min"
            | "OneHot"
            | "ReduceMax"
            | "ReduceMin"
            | "Reshape"
            | "ScatterElements"
            | "ScatterND"
            | "Slice"
            | "SpaceToDepth"
            | "Squeeze"
            | "Tile"
            | "Transpose"
            | "Trilu"
            | "Unsqueeze"
            | "Where"
    );
    let is_int32 = node.op_type == "Cast" && node.cast_type() == Ok(DataType::Int32);
    let limit = if is_int32 { f64::from(i32::MAX) } else { MAX_EXACT_INTEGER };
    !is_moved && values.iter().any(|value| value.abs() > limit)
}

/// Returns the largest number of elements that the output of a node with these operands can have;
/// `None` if they do not fit each other.
fn folded_elements(node: &NodeProto, operands: &[(&str, &Constant)]) -> Option<usize> {
    let all_dims: Vec<&[usize]> = operands.iter().map(|(_, constant)| &constant.dims[..]).collect();
    let element_count =
        |position: usize| all_dims.get(position).and_then(|dims| dims::elements(dims));
    // Integers that are sizes.
    let sizes = |position: usize| {
        let (_, constant) = operands.get(position)?;
        constant
            .integers()?
            .iter()
            .map(|&size| usize::try_from(size).ok())
            .collect::<Option<Vec<usize>>>()
    };
    match node.op_type.as_str() {
        "Concat" => {
            all_dims.iter().try_fold(0_usize, |sum, dims| sum.checked_add(dims::elements(dims)?))
        }
        "ConstantOfShape" => dims::elements(&sizes(0)?),
        "Expand" => dims::elements(&dims::common_dims(&[all_dims.first()?, &sizes(1)?])?),
        "Gather" => element_count(0)?
            .checked_mul(element_count(1)?.max(1))?
            .checked_div(extent_of_axis(node, all_dims.first()?)?),
        "GatherElements" => element_count(1),
        "GatherND" => {
            let (batch, width) =
                (usize::try_from(node.int("batch_dims", 0)).ok()?, *all_dims.get(1)?.last()?);
            let inner = dims::elements(all_dims.first()?.get(batch.checked_add(width)?..)?)?;
            element_count(1)?.checked_div(width)?.checked_mul(inner)
        }
        "NonZero" => element_count(0)?.checked_mul(all_dims.first()?.len()),
        "OneHot" => element_count(0)?.checked_mul(*sizes(1)?.first()?),
        "Range" => {
            let number = |position: usize| {
                let (_, constant) = operands.get(position)?;
                constant.to_floats()?.first().copied().map(f64::from)
            };
            let count = ((number(1)? - number(0)?) / number(2)?).ceil();
            (count <= MAX_ELEMENTS as f64).then_some(count.max(0.0) as usize)
        }
        "Tile" => sizes(1)?.into_iter().try_fold(element_count(0)?, usize::checked_mul),
        "Add" | "And" | "Div" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual"
        | "Max" | "Mean" | "Min" | "Mod" | "Mul" | "Or" | "Pow" | "Sub" | "Sum" | "Where"
        | "Xor" => dims::elements(&dims::common_dims(&all_dims)?),
        // Reductions, moves, and functions of one operand.
        _ => element_count(0),
    }
}

/// Returns the extent of the axis along which a Gather chooses.
fn extent_of_axis(node: &NodeProto, dims: &[usize]) -> Option<usize> {
    dims.get(dims::axis(node, node.int("axis", 0), dims.len()).ok()?).copied()
}
