//! The inputs and attributes of each supported operator. Whatever is not listed is refused, because
//! it could change the operator's meaning.

mod states;

pub use states::{FOLDED_OPERATORS, table};

use super::proto::AttributeKind::{self, Float, Floats, Graph, Int, Ints, String, Strings, Tensor};
use super::proto::NodeProto;
use super::{MAX_LIST, OnnxError, unsupported};

/// The domain of operators for machine learning.
pub const ML_DOMAIN: &str = "ai.onnx.ml";

/// Maximum number of nodes, and of weights of leaves, of all trees of an ensemble.
const MAX_TREE_NODES: usize = 1 << 20;

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
const CONSTANT: Attributes = &[
    ("value", Tensor),
    ("value_float", Float),
    ("value_floats", Floats),
    ("value_int", Int),
    ("value_ints", Ints),
];

const NORM: Attributes = &[("axis", Int), ("epsilon", Float), ("stash_type", Int)];
const POSITION: Attributes = &[("axis", Int), ("keepdims", Int), ("select_last_index", Int)];
// Before version 13 or 18, the axes are an attribute.
const REDUCTION: Attributes = &[("axes", Ints), ("keepdims", Int), ("noop_with_empty_axes", Int)];

const RESIZE: Attributes = &[
    ("antialias", Int),
    ("axes", Ints),
    ("coordinate_transformation_mode", String),
    ("cubic_coeff_a", Float),
    ("exclude_outside", Int),
    ("extrapolation_value", Float),
    ("keep_aspect_ratio_policy", String),
    ("mode", String),
    ("nearest_mode", String),
];
const SCATTER: Attributes = &[("axis", Int), ("reduction", String)];

const TRANSPOSED: Attributes = &[
    ("auto_pad", String),
    ("dilations", Ints),
    ("group", Int),
    ("kernel_shape", Ints),
    ("output_padding", Ints),
    ("pads", Ints),
    ("strides", Ints),
];
const RECURRENT: Attributes = &[
    ("activations", Strings),
    ("direction", String),
    ("hidden_size", Int),
    ("input_forget", Int),
    ("layout", Int),
    ("linear_before_reset", Int),
];
// The other types of `output_dtype` are refused; `saturate` applies to floating-point types of 8
// bits.
const QUANTISED: Attributes =
    &[("axis", Int), ("block_size", Int), ("output_dtype", Int), ("saturate", Int)];

/// All supported operators, in alphabetical order.
const RULES: &[Rule] = &[
    ("Abs", 1, &[]),
    ("Acos", 1, &[]),
    ("Acosh", 1, &[]),
    ("Add", 2, &[]),
    ("And", 2, &[]),
    ("ArgMax", 1, POSITION),
    ("ArgMin", 1, POSITION),
    ("Asin", 1, &[]),
    ("Asinh", 1, &[]),
    ("Atan", 1, &[]),
    ("Atanh", 1, &[]),
    ("AveragePool", 1, POOL),
    // Version 7 has `spatial`.
    (
        "BatchNormalization",
        5,
        &[("epsilon", Float), ("momentum", Float), ("spatial", Int), ("training_mode", Int)],
    ),
    // `saturate` and `round_mode` apply to types of 8 bits and less, which are refused.
    ("Cast", 1, &[("to", Int), ("saturate", Int), ("round_mode", String)]),
    ("Ceil", 1, &[]),
    ("Celu", 1, ALPHA),
    // Before version 11, the limits are attributes.
    ("Clip", 3, &[("max", Float), ("min", Float)]),
    ("Concat", usize::MAX, AXIS),
    ("Constant", 0, CONSTANT),
    ("ConstantOfShape", 1, &[("value", Tensor)]),
    ("Conv", 3, CONVOLUTION),
    ("ConvTranspose", 3, TRANSPOSED),
    ("Cos", 1, &[]),
    ("Cosh", 1, &[]),
    ("CumSum", 2, &[("exclusive", Int), ("reverse", Int)]),
    ("DepthToSpace", 1, &[("blocksize", Int), ("mode", String)]),
    ("DequantizeLinear", 3, QUANTISED),
    ("Div", 2, &[]),
    ("Dropout", 3, &[("ratio", Float), ("seed", Int)]),
    ("Einsum", usize::MAX, &[("equation", String)]),
    ("Elu", 1, ALPHA),
    ("Equal", 2, &[]),
    ("Erf", 1, &[]),
    ("Exp", 1, &[]),
    ("Expand", 2, &[]),
    ("Flatten", 1, AXIS),
    ("Floor", 1, &[]),
    ("Gather", 2, AXIS),
    ("GatherElements", 2, AXIS),
    ("GatherND", 2, &[("batch_dims", Int)]),
    ("Gelu", 1, &[("approximate", String)]),
    ("Gemm", 3, &[("alpha", Float), ("beta", Float), ("transA", Int), ("transB", Int)]),
    ("GlobalAveragePool", 1, &[]),
    ("GlobalMaxPool", 1, &[]),
    ("Greater", 2, &[]),
    ("GreaterOrEqual", 2, &[]),
    ("GroupNormalization", 3, &[("epsilon", Float), ("num_groups", Int), ("stash_type", Int)]),
    ("GRU", 6, RECURRENT),
    ("Hardmax", 1, AXIS),
    ("HardSigmoid", 1, &[("alpha", Float), ("beta", Float)]),
    ("HardSwish", 1, &[]),
    ("Identity", 1, &[]),
    ("If", 1, &[("else_branch", Graph), ("then_branch", Graph)]),
    ("InstanceNormalization", 3, &[("epsilon", Float)]),
    // `stash_type` is the type of the mean and the variance.
    ("LayerNormalization", 3, NORM),
    ("LeakyRelu", 1, ALPHA),
    ("Less", 2, &[]),
    ("LessOrEqual", 2, &[]),
    ("Log", 1, &[]),
    ("LogSoftmax", 1, AXIS),
    ("LpNormalization", 1, &[("axis", Int), ("p", Int)]),
    ("LSTM", 8, RECURRENT),
    ("MatMul", 2, &[]),
    ("Max", usize::MAX, &[]),
    ("MaxPool", 1, POOL),
    ("Mean", usize::MAX, &[]),
    ("Min", usize::MAX, &[]),
    ("Mish", 1, &[]),
    ("Mod", 2, &[("fmod", Int)]),
    ("Mul", 2, &[]),
    ("Neg", 1, &[]),
    ("NonZero", 1, &[]),
    ("Not", 1, &[]),
    ("OneHot", 3, AXIS),
    ("Or", 2, &[]),
    // Before version 11, pads and value are attributes.
    ("Pad", 4, &[("mode", String), ("pads", Ints), ("value", Float)]),
    ("Pow", 2, &[]),
    ("PRelu", 2, &[]),
    ("QuantizeLinear", 3, QUANTISED),
    ("Range", 3, &[]),
    ("Reciprocal", 1, &[]),
    ("ReduceL1", 2, REDUCTION),
    ("ReduceL2", 2, REDUCTION),
    ("ReduceLogSum", 2, REDUCTION),
    ("ReduceLogSumExp", 2, REDUCTION),
    ("ReduceMax", 2, REDUCTION),
    ("ReduceMean", 2, REDUCTION),
    ("ReduceMin", 2, REDUCTION),
    ("ReduceProd", 2, REDUCTION),
    ("ReduceSum", 2, REDUCTION),
    ("ReduceSumSquare", 2, REDUCTION),
    ("Relu", 1, &[]),
    ("Reshape", 2, &[("allowzero", Int)]),
    ("Resize", 4, RESIZE),
    ("RMSNormalization", 2, NORM),
    ("RNN", 6, RECURRENT),
    ("Round", 1, &[]),
    ("ScatterElements", 3, SCATTER),
    ("ScatterND", 3, &[("reduction", String)]),
    ("Selu", 1, &[("alpha", Float), ("gamma", Float)]),
    ("Shape", 1, &[("end", Int), ("start", Int)]),
    ("Shrink", 1, &[("bias", Float), ("lambd", Float)]),
    ("Sigmoid", 1, &[]),
    ("Sign", 1, &[]),
    ("Sin", 1, &[]),
    ("Sinh", 1, &[]),
    ("Size", 1, &[]),
    // Before version 10, all but the data are attributes.
    ("Slice", 5, &[("axes", Ints), ("ends", Ints), ("starts", Ints)]),
    ("Softmax", 1, AXIS),
    ("Softplus", 1, &[]),
    ("Softsign", 1, &[]),
    ("SpaceToDepth", 1, &[("blocksize", Int)]),
    // Before version 13, the parts are an attribute.
    ("Split", 2, &[("axis", Int), ("num_outputs", Int), ("split", Ints)]),
    ("Sqrt", 1, &[]),
    ("Squeeze", 2, &[("axes", Ints)]),
    ("Sub", 2, &[]),
    ("Sum", usize::MAX, &[]),
    ("Swish", 1, ALPHA),
    ("Tan", 1, &[]),
    ("Tanh", 1, &[]),
    ("ThresholdedRelu", 1, ALPHA),
    ("Tile", 2, &[]),
    // Before version 10, the number is an attribute.
    ("TopK", 2, &[("axis", Int), ("k", Int), ("largest", Int), ("sorted", Int)]),
    ("Transpose", 1, &[("perm", Ints)]),
    ("Trilu", 2, &[("upper", Int)]),
    ("Unsqueeze", 2, &[("axes", Ints)]),
    // Before version 9, the scales are an attribute; since version 10, it is called Resize.
    ("Upsample", 2, &[("mode", String), ("scales", Floats)]),
    ("Where", 3, &[]),
    ("Xor", 2, &[]),
];

const LABELS: [(&str, AttributeKind); 3] =
    [("classlabels_ints", Ints), ("classlabels_int64s", Ints), ("classlabels_strings", Strings)];

/// All supported operators for machine learning, in alphabetical order.
const ML_RULES: &[Rule] = &[
    ("ArrayFeatureExtractor", 2, &[]),
    (
        "LinearClassifier",
        1,
        &[
            LABELS[0],
            LABELS[2],
            ("coefficients", Floats),
            ("intercepts", Floats),
            // Changes the labels only.
            ("multi_class", Int),
            ("post_transform", String),
        ],
    ),
    (
        "LinearRegressor",
        1,
        &[
            ("coefficients", Floats),
            ("intercepts", Floats),
            ("post_transform", String),
            ("targets", Int),
        ],
    ),
    ("Normalizer", 1, &[("norm", String)]),
    ("Scaler", 1, &[("offset", Floats), ("scale", Floats)]),
    (
        "SVMClassifier",
        1,
        &[
            LABELS[0],
            LABELS[2],
            ("coefficients", Floats),
            ("kernel_params", Floats),
            ("kernel_type", String),
            ("post_transform", String),
            ("prob_a", Floats),
            ("prob_b", Floats),
            ("rho", Floats),
            ("support_vectors", Floats),
            ("vectors_per_class", Ints),
        ],
    ),
    (
        "SVMRegressor",
        1,
        &[
            ("coefficients", Floats),
            ("kernel_params", Floats),
            ("kernel_type", String),
            ("n_supports", Int),
            ("one_class", Int),
            ("post_transform", String),
            ("rho", Floats),
            ("support_vectors", Floats),
        ],
    ),
    (
        "TreeEnsemble",
        1,
        &[
            ("aggregate_function", Int),
            ("leaf_targetids", Ints),
            ("leaf_weights", Tensor),
            ("n_targets", Int),
            ("nodes_falseleafs", Ints),
            ("nodes_falsenodeids", Ints),
            ("nodes_featureids", Ints),
            ("nodes_hitrates", Tensor),
            ("nodes_missing_value_tracks_true", Ints),
            ("nodes_modes", Tensor),
            ("nodes_splits", Tensor),
            ("nodes_trueleafs", Ints),
            ("nodes_truenodeids", Ints),
            ("post_transform", Int),
            ("tree_roots", Ints),
        ],
    ),
    (
        "TreeEnsembleClassifier",
        1,
        &[
            LABELS[1],
            LABELS[2],
            ("base_values", Floats),
            ("base_values_as_tensor", Tensor),
            ("class_ids", Ints),
            ("class_nodeids", Ints),
            ("class_treeids", Ints),
            ("class_weights", Floats),
            ("class_weights_as_tensor", Tensor),
            ("nodes_falsenodeids", Ints),
            ("nodes_featureids", Ints),
            ("nodes_hitrates", Floats),
            ("nodes_hitrates_as_tensor", Tensor),
            ("nodes_missing_value_tracks_true", Ints),
            ("nodes_modes", Strings),
            ("nodes_nodeids", Ints),
            ("nodes_treeids", Ints),
            ("nodes_truenodeids", Ints),
            ("nodes_values", Floats),
            ("nodes_values_as_tensor", Tensor),
            ("post_transform", String),
        ],
    ),
    (
        "TreeEnsembleRegressor",
        1,
        &[
            ("aggregate_function", String),
            ("base_values", Floats),
            ("base_values_as_tensor", Tensor),
            ("n_targets", Int),
            ("nodes_falsenodeids", Ints),
            ("nodes_featureids", Ints),
            ("nodes_hitrates", Floats),
            ("nodes_hitrates_as_tensor", Tensor),
            ("nodes_missing_value_tracks_true", Ints),
            ("nodes_modes", Strings),
            ("nodes_nodeids", Ints),
            ("nodes_treeids", Ints),
            ("nodes_truenodeids", Ints),
            ("nodes_values", Floats),
            ("nodes_values_as_tensor", Tensor),
            ("post_transform", String),
            ("target_ids", Ints),
            ("target_nodeids", Ints),
            ("target_treeids", Ints),
            ("target_weights", Floats),
            ("target_weights_as_tensor", Tensor),
        ],
    ),
];

/// Returns the names of all supported standard operators, separated by commas.
fn operators() -> std::string::String {
    let names: Vec<&str> = RULES.iter().map(|(name, ..)| *name).collect();
    names.join(", ")
}

/// Returns the error of an operator that the compiler does not know, with its remedy.
pub fn unsupported_operator(node: &NodeProto) -> OnnxError {
    let hint = states::operator_hint(&node.op_type)
        .map_or_else(|| format!("supported are {}", operators()), str::to_owned);
    OnnxError::Operator { node: node.describe(), hint }
}

/// Returns whether a node's first output is a label and its second one has the scores.
pub fn is_classifier(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier")
}

/// Checks that a node has only inputs and attributes that the reader understands.
pub fn check_node(node: &NodeProto) -> Result<(), OnnxError> {
    let is_ml_operator = node.domain == ML_DOMAIN;
    if !is_ml_operator && !node.domain.is_empty() && node.domain != "ai.onnx" {
        let operator = format!("{} of domain '{}'", node.describe(), node.domain);
        let hint = "export the model with operators of the ONNX standard".to_owned();
        return Err(OnnxError::Operator { node: operator, hint });
    }
    let rules = if is_ml_operator { ML_RULES } else { RULES };
    let rule = rules.iter().find(|(name, ..)| *name == node.op_type);
    let &(_, max_inputs, attributes) = rule.ok_or_else(|| unsupported_operator(node))?;
    let inputs = node.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    if inputs > max_inputs {
        return Err(unsupported(node, format!("{inputs} inputs, expected at most {max_inputs}")));
    }
    for (index, attribute) in node.attribute.iter().enumerate() {
        let name = &attribute.name;
        let Some((_, kind)) = attributes.iter().find(|(attribute, _)| attribute == name) else {
            return Err(unsupported(node, format!("attribute '{name}' is unsupported")));
        };
        let max_length = match node.op_type.as_str() {
            "Constant" => usize::MAX,
            // Lists of trees have an element for each of their nodes.
            "TreeEnsemble" | "TreeEnsembleClassifier" | "TreeEnsembleRegressor" => MAX_TREE_NODES,
            _ => MAX_LIST,
        };
        if attribute.ints.len() > max_length {
            return Err(unsupported(
                node,
                format!("attribute '{name}' has {} integers", attribute.ints.len()),
            ));
        }
        // Maxima and minima of evaluations would return the other operand.
        if attribute.f.is_nan() || attribute.floats.iter().any(|value| value.is_nan()) {
            return Err(unsupported(node, format!("attribute '{name}' is not a number")));
        }
        let is_repeated = node.attribute.iter().take(index).any(|other| other.name == *name);
        if is_repeated || attribute.kind != *kind as i32 || !attribute.ref_attr_name.is_empty() {
            return Err(unsupported(
                node,
                format!("attribute '{name}' is repeated or not of the kind {kind:?}"),
            ));
        }
    }
    Ok(())
}
