//! The inputs and attributes of each supported operator. Whatever is not listed is refused, because it could change the
//! operator's meaning.

use super::proto::AttributeKind::{self, Float, Floats, Int, Ints, String, Tensor};
use super::proto::NodeProto;
use super::{MAX_LIST, OnnxError, unsupported};

type Attributes = &'static [(&'static str, AttributeKind)];

/// An operator with its maximum number of inputs and its attributes.
type Rule = (&'static str, usize, Attributes);

const AXIS: Attributes = &[("axis", Int)];
const ALPHA: Attributes = &[("alpha", Float)];
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
const CONVOLUTION: Attributes = &[
    ("auto_pad", String),
    ("dilations", Ints),
    ("group", Int),
    ("kernel_shape", Ints),
    ("pads", Ints),
    ("strides", Ints),
];
const CONSTANT: Attributes =
    &[("value", Tensor), ("value_float", Float), ("value_floats", Floats), ("value_int", Int), ("value_ints", Ints)];

const NORM: Attributes = &[("axis", Int), ("epsilon", Float), ("stash_type", Int)];
const POSITION: Attributes = &[("axis", Int), ("keepdims", Int), ("select_last_index", Int)];
// Before version 13 or 18, the axes are an attribute.
const REDUCTION: Attributes = &[("axes", Ints), ("keepdims", Int), ("noop_with_empty_axes", Int)];

/// All supported operators, in alphabetical order.
const RULES: &[Rule] = &[
    ("Abs", 1, &[]),
    ("Add", 2, &[]),
    ("And", 2, &[]),
    ("ArgMax", 1, POSITION),
    ("ArgMin", 1, POSITION),
    ("AveragePool", 1, POOL),
    // Version 7 has `spatial`.
    ("BatchNormalization", 5, &[("epsilon", Float), ("momentum", Float), ("spatial", Int), ("training_mode", Int)]),
    // `saturate` and `round_mode` apply to types of 8 bits and less, which are refused.
    ("Cast", 1, &[("to", Int), ("saturate", Int), ("round_mode", String)]),
    ("Celu", 1, ALPHA),
    // Before version 11, the limits are attributes.
    ("Clip", 3, &[("max", Float), ("min", Float)]),
    ("Concat", usize::MAX, AXIS),
    ("Constant", 0, CONSTANT),
    ("Conv", 3, CONVOLUTION),
    ("Cos", 1, &[]),
    ("Div", 2, &[]),
    ("Dropout", 3, &[("ratio", Float), ("seed", Int)]),
    ("Elu", 1, ALPHA),
    ("Equal", 2, &[]),
    ("Erf", 1, &[]),
    ("Exp", 1, &[]),
    ("Expand", 2, &[]),
    ("Flatten", 1, AXIS),
    ("Gather", 2, AXIS),
    ("Gelu", 1, &[("approximate", String)]),
    ("Gemm", 3, &[("alpha", Float), ("beta", Float), ("transA", Int), ("transB", Int)]),
    ("GlobalAveragePool", 1, &[]),
    ("GlobalMaxPool", 1, &[]),
    ("Greater", 2, &[]),
    ("GreaterOrEqual", 2, &[]),
    ("HardSigmoid", 1, &[("alpha", Float), ("beta", Float)]),
    ("HardSwish", 1, &[]),
    ("Identity", 1, &[]),
    ("InstanceNormalization", 3, &[("epsilon", Float)]),
    // `stash_type` is the type of the mean and the variance.
    ("LayerNormalization", 3, NORM),
    ("LeakyRelu", 1, ALPHA),
    ("Less", 2, &[]),
    ("LessOrEqual", 2, &[]),
    ("Log", 1, &[]),
    ("LogSoftmax", 1, AXIS),
    ("MatMul", 2, &[]),
    ("Max", usize::MAX, &[]),
    ("MaxPool", 1, POOL),
    ("Min", usize::MAX, &[]),
    ("Mish", 1, &[]),
    ("Mul", 2, &[]),
    ("Neg", 1, &[]),
    ("Not", 1, &[]),
    ("Or", 2, &[]),
    // Before version 11, pads and value are attributes.
    ("Pad", 4, &[("mode", String), ("pads", Ints), ("value", Float)]),
    ("Pow", 2, &[]),
    ("PRelu", 2, &[]),
    ("Reciprocal", 1, &[]),
    ("ReduceMax", 2, REDUCTION),
    ("ReduceMean", 2, REDUCTION),
    ("ReduceMin", 2, REDUCTION),
    ("ReduceSum", 2, REDUCTION),
    ("Relu", 1, &[]),
    ("Reshape", 2, &[("allowzero", Int)]),
    ("RMSNormalization", 2, NORM),
    ("Selu", 1, &[("alpha", Float), ("gamma", Float)]),
    ("Shape", 1, &[("end", Int), ("start", Int)]),
    ("Sigmoid", 1, &[]),
    ("Sin", 1, &[]),
    // Before version 10, all but the data are attributes.
    ("Slice", 5, &[("axes", Ints), ("ends", Ints), ("starts", Ints)]),
    ("Softmax", 1, AXIS),
    ("Softplus", 1, &[]),
    ("Softsign", 1, &[]),
    // Before version 13, the parts are an attribute.
    ("Split", 2, &[("axis", Int), ("num_outputs", Int), ("split", Ints)]),
    ("Sqrt", 1, &[]),
    ("Squeeze", 2, &[("axes", Ints)]),
    ("Sub", 2, &[]),
    ("Swish", 1, ALPHA),
    ("Tanh", 1, &[]),
    ("Transpose", 1, &[("perm", Ints)]),
    ("Unsqueeze", 2, &[("axes", Ints)]),
    ("Where", 3, &[]),
];

/// Returns the names of all supported operators, separated by commas.
pub(super) fn operators() -> std::string::String {
    let names: Vec<&str> = RULES.iter().map(|(name, ..)| *name).collect();
    names.join(", ")
}

/// Checks that a node has only inputs and attributes that the reader understands.
pub(super) fn check(node: &NodeProto) -> Result<(), OnnxError> {
    if !node.domain.is_empty() && node.domain != "ai.onnx" {
        return Err(OnnxError::Operator(format!("{} of domain '{}'", node.describe(), node.domain)));
    }
    let rule = RULES.iter().find(|(name, ..)| *name == node.op_type);
    let &(_, most, attributes) = rule.ok_or_else(|| OnnxError::Operator(node.describe()))?;
    let inputs = node.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    if inputs > most {
        return Err(unsupported(node, format!("{inputs} inputs, expected at most {most}")));
    }
    for (index, attribute) in node.attribute.iter().enumerate() {
        let name = &attribute.name;
        let Some((_, kind)) = attributes.iter().find(|(known, _)| known == name) else {
            return Err(unsupported(node, format!("attribute '{name}' is unsupported")));
        };
        if attribute.ints.len() > MAX_LIST && node.op_type != "Constant" {
            return Err(unsupported(node, format!("attribute '{name}' has {} integers", attribute.ints.len())));
        }
        // Maxima and minima of evaluations would return the other operand.
        if attribute.f.is_nan() || attribute.floats.iter().any(|value| value.is_nan()) {
            return Err(unsupported(node, format!("attribute '{name}' is not a number")));
        }
        let is_repeated = node.attribute.iter().take(index).any(|other| other.name == *name);
        if is_repeated || attribute.kind != *kind as i32 || !attribute.ref_attr_name.is_empty() {
            return Err(unsupported(node, format!("attribute '{name}' is repeated or not of the kind {kind:?}")));
        }
    }
    Ok(())
}
