//! The inputs and attributes of each supported operator. Whatever is not listed is refused, because it could change the
//! operator's meaning.

use super::proto::AttributeKind::{self, Float, Floats, Int, Ints, String, Tensor};
use super::proto::NodeProto;
use super::{OnnxError, unsupported};

type Attributes = &'static [(&'static str, AttributeKind)];

const AXIS: Attributes = &[("axis", Int)];
const POOL: Attributes = &[
    ("auto_pad", String),
    ("ceil_mode", Int),
    ("count_include_pad", Int),
    ("dilations", Ints),
    ("kernel_shape", Ints),
    ("pads", Ints),
    ("storage_order", Int),
    ("strides", Ints),
];

/// Returns an operator's maximum number of inputs and its attributes; `None` if it is unsupported.
fn of(operator: &str) -> Option<(usize, Attributes)> {
    Some(match operator {
        "Constant" => (
            0,
            &[
                ("value", Tensor),
                ("value_float", Float),
                ("value_floats", Floats),
                ("value_int", Int),
                ("value_ints", Ints),
            ],
        ),
        "Identity" | "Relu" | "GlobalAveragePool" => (1, &[]),
        "Dropout" => (3, &[("ratio", Float), ("seed", Int)]),
        // `saturate` and `round_mode` apply to types of 8 bits and less, which are refused.
        "Cast" => (1, &[("to", Int), ("saturate", Int), ("round_mode", String)]),
        "Flatten" | "Softmax" | "LogSoftmax" => (1, AXIS),
        "Reshape" => (2, &[("allowzero", Int)]),
        "Squeeze" | "Unsqueeze" => (2, &[("axes", Ints)]),
        "Gemm" => (3, &[("alpha", Float), ("beta", Float), ("transA", Int), ("transB", Int)]),
        "MatMul" | "Add" => (2, &[]),
        "Conv" => (
            3,
            &[
                ("auto_pad", String),
                ("dilations", Ints),
                ("group", Int),
                ("kernel_shape", Ints),
                ("pads", Ints),
                ("strides", Ints),
            ],
        ),
        // Version 7 has `spatial`.
        "BatchNormalization" => {
            (5, &[("epsilon", Float), ("momentum", Float), ("spatial", Int), ("training_mode", Int)])
        }
        "MaxPool" | "AveragePool" => (1, POOL),
        _ => return None,
    })
}

/// Checks that a node has only inputs and attributes that the reader understands.
pub(super) fn check(node: &NodeProto) -> Result<(), OnnxError> {
    if !node.domain.is_empty() && node.domain != "ai.onnx" {
        return Err(OnnxError::Operator(format!("{} of domain '{}'", node.describe(), node.domain)));
    }
    let (most, attributes) = of(&node.op_type).ok_or_else(|| OnnxError::Operator(node.describe()))?;
    let inputs = node.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    if inputs > most {
        return Err(unsupported(node, format!("{inputs} inputs, expected at most {most}")));
    }
    for (index, attribute) in node.attribute.iter().enumerate() {
        let name = &attribute.name;
        let Some((_, kind)) = attributes.iter().find(|(known, _)| known == name) else {
            return Err(unsupported(node, format!("attribute '{name}' is unsupported")));
        };
        let is_repeated = node.attribute.iter().take(index).any(|other| other.name == *name);
        if is_repeated || attribute.kind != *kind as i32 || !attribute.ref_attr_name.is_empty() {
            return Err(unsupported(node, format!("attribute '{name}' is repeated or not of the kind {kind:?}")));
        }
    }
    Ok(())
}
