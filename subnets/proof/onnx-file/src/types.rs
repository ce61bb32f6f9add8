//! Types of the elements of tensors.

use taonet_proof_core::float::ElementType;

use super::proto::{DataType, NodeProto};
use super::tensor::Constant;
use super::{OnnxError, rules};

/// Returns what the elements of a type are.
pub fn element_type(kind: DataType) -> ElementType {
    match kind {
        DataType::Bool => ElementType::Boolean,
        _ if kind.integer_range().is_some() => ElementType::Integer,
        _ => ElementType::Float,
    }
}

/// Returns the type of the elements of a node's outputs, given those of its operands.
pub fn output_type(
    node: &NodeProto,
    operand: impl Fn(usize) -> ElementType,
) -> Result<ElementType, OnnxError> {
    Ok(match node.op_type.as_str() {
        "ArgMax" | "ArgMin" | "NonZero" | "QuantizeLinear" | "Shape" | "Size" => {
            ElementType::Integer
        }
        "Cast" => element_type(node.cast_type()?),
        "And" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "Or"
        | "Xor" => ElementType::Boolean,
        "Constant" => node.constant()?.element(),
        "OneHot" => operand(2),
        "Where" => operand(1),
        "DequantizeLinear" => ElementType::Float,
        "ConstantOfShape" => match node.attribute("value").and_then(|value| value.t.as_ref()) {
            Some(value) if Constant::read(value)?.integers().is_some() => ElementType::Integer,
            _ => ElementType::Float,
        },
        _ if node.domain == rules::MACHINE_LEARNING && node.op_type != "ArrayFeatureExtractor" => {
            ElementType::Float
        }
        _ => operand(0),
    })
}
