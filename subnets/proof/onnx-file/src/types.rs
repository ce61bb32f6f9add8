//! Types of the elements of tensors.

use taonet_proof_core::float::ElementType;

use super::proto::{DataType, NodeProto};
use super::tensor::Constant;
use super::{OnnxError, rules};

/// Returns the element type of a data type of the format.
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
    operand_type: impl Fn(usize) -> ElementType,
) -> Result<ElementType, OnnxError> {
    Ok(match node.op_type.as_str() {
        "ArgMax" | "ArgMin" | "NonZero" | "QuantizeLinear" | "Shape" | "Size" => {
            ElementType::Integer
        }
        "Cast" => element_type(node.cast_type()?),
        "And" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "Or"
        | "Xor" => ElementType::Boolean,
        "Constant" => node.constant()?.element_type(),
        "OneHot" => operand_type(2),
        "Where" => operand_type(1),
        "DequantizeLinear" => ElementType::Float,
        "ConstantOfShape" => match node.attribute("value").and_then(|value| value.t.as_ref()) {
            Some(value) if Constant::parse(value)?.integers().is_some() => ElementType::Integer,
            _ => ElementType::Float,
        },
        _ if node.domain == rules::ML_DOMAIN && node.op_type != "ArrayFeatureExtractor" => {
            ElementType::Float
        }
        _ => operand_type(0),
    })
}
