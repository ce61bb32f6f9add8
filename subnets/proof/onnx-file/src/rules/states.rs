//! The state of every operator of the ONNX standard: supported, computed when the model is read, or
//! refused with a remedy.

use std::cmp::Reverse;

use super::{ML_RULES, RULES};

/// Operators that are evaluated when the model is read if all of their operands are constants.
pub const FOLDED_OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "ConstantOfShape",
    "Cos",
    "CumSum",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "GatherElements",
    "GatherND",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "NonZero",
    "Not",
    "OneHot",
    "Or",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Sigmoid",
    "Sign",
    "Sin",
    "Slice",
    "SpaceToDepth",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tan",
    "Tanh",
    "Tile",
    "Transpose",
    "Trilu",
    "Unsqueeze",
    "Where",
    "Xor",
];

/// Supported operators of which only some forms are supported.
const LIMITS: &[(&str, &str)] = &[
    ("ArrayFeatureExtractor", "constant columns"),
    ("AveragePool", "batch of 1, one or two axes, without dilations"),
    ("BatchNormalization", "constant parameters, not in training mode"),
    ("Clip", "constant limits"),
    ("ConstantOfShape", "constants only"),
    ("Conv", "constant weights, batch of 1, one to three axes"),
    ("ConvTranspose", "constant weights, batch of 1, two axes, without dilations"),
    ("CumSum", "constant axis"),
    ("DequantizeLinear", "one scale for activations"),
    ("Div", "integers by one constant"),
    ("Dropout", "not in training mode"),
    ("Einsum", "one or two operands, without an ellipsis"),
    ("Expand", "constant shape"),
    ("GRU", "constant weights, batch of 1, up to 1024 steps"),
    ("GlobalAveragePool", "batch of 1"),
    ("GlobalMaxPool", "batch of 1"),
    ("GroupNormalization", "constant parameters, batch of 1"),
    ("If", "constant condition, without another If in a branch"),
    ("InstanceNormalization", "constant parameters, batch of 1"),
    ("LSTM", "constant weights, batch of 1, up to 1024 steps"),
    ("LayerNormalization", "constant parameters"),
    ("LinearClassifier", "scores; SOFTMAX, LOGISTIC or no transform"),
    ("LinearRegressor", "without a transform"),
    ("MaxPool", "batch of 1, one or two axes, without dilations"),
    ("Mod", "one constant operand"),
    ("NonZero", "constants only"),
    ("OneHot", "constant depth and values"),
    ("PRelu", "constant slopes"),
    ("Pad", "constant pads; constant, edge or reflect"),
    ("Pow", "one constant operand"),
    ("QuantizeLinear", "8 bits, one scale for activations"),
    ("RMSNormalization", "constant parameters"),
    ("RNN", "constant weights, batch of 1, up to 1024 steps"),
    ("Range", "constants only"),
    ("ReduceProd", "up to 256 elements in each product"),
    ("Reshape", "constant shape"),
    ("Resize", "mode nearest, constant scales or sizes"),
    ("SVMClassifier", "scores, or probabilities of two classes"),
    ("SVMRegressor", "without one_class"),
    ("ScatterElements", "without a reduction"),
    ("ScatterND", "without a reduction"),
    ("Slice", "constant limits"),
    ("Split", "constant parts"),
    ("Tile", "constant repeats"),
    ("TopK", "constant number"),
    ("TreeEnsemble", "without a transform, branches by comparison"),
    ("TreeEnsembleClassifier", "scores; SOFTMAX, LOGISTIC or no transform"),
    ("TreeEnsembleRegressor", "without a transform; sums and means"),
    ("Trilu", "constant diagonal"),
    ("Upsample", "mode nearest, constant scales"),
];

const SEQUENCE: &str = "use tensors of fixed sizes in place of sequences and optional values";
const RANDOM: &str = "export the model for inference: a proof needs the same outputs each time";
const LOOP: &str =
    "unroll it when the model is exported, since a circuit has a fixed number of steps";
const TEXT: &str = "encode texts as integers before the model";
const BITS: &str = "use And, Or, Not and Xor of booleans, or Mul and Div by powers of two";
const INTEGER_PRODUCT: &str =
    "export with QuantizeLinear and DequantizeLinear around floating-point operators (QDQ)";
const LOSS: &str = "export the model without its training loss";
const SIGNAL: &str = "use a Conv with the transform's coefficients as its kernel";
const WINDOW: &str = "let the exporter fold the window into a constant";
const ENCODER: &str = "encode the features before the model";

/// Operators that are refused, and what to use in their place.
const UNSUPPORTED_OPERATORS: &[(&str, &str)] = &[
    ("AffineGrid", "resample the image before the model, or use Resize with mode nearest"),
    ("Attention", "export with operator set 22 or older, which writes MatMul and Softmax"),
    ("Bernoulli", RANDOM),
    ("BitCast", BITS),
    ("BitShift", BITS),
    ("BitwiseAnd", BITS),
    ("BitwiseNot", BITS),
    ("BitwiseOr", BITS),
    ("BitwiseXor", BITS),
    ("BlackmanWindow", WINDOW),
    ("CastLike", "use Cast with the type"),
    ("CenterCropPad", "use Slice and Pad with constant limits"),
    ("Col2Im", "use ConvTranspose"),
    ("Compress", "use Gather with constant indices"),
    ("ConcatFromSequence", SEQUENCE),
    ("ConvInteger", INTEGER_PRODUCT),
    ("DFT", SIGNAL),
    ("DeformConv", "use Conv: its offsets would depend on the input"),
    ("Det", "compute the determinant from products of elements"),
    ("DynamicQuantizeLinear", "quantise statically, with constant scales"),
    ("EyeLike", "use a constant matrix"),
    ("GlobalLpPool", "use ReduceL1 or ReduceL2"),
    ("GridSample", "resample the image before the model"),
    ("HammingWindow", WINDOW),
    ("HannWindow", WINDOW),
    ("ImageDecoder", "decode the image before the model"),
    ("IsInf", "remove it: values of a circuit are finite"),
    ("IsNaN", "remove it: values of a circuit are numbers"),
    ("LRN", "use BatchNormalization, or Conv of squares and Div"),
    ("Loop", LOOP),
    ("LpPool", "use AveragePool of powers, and Pow"),
    ("MatMulInteger", INTEGER_PRODUCT),
    ("MaxRoiPool", "crop the regions before the model"),
    ("MaxUnpool", "use Resize or ConvTranspose"),
    ("MeanVarianceNormalization", "use InstanceNormalization"),
    ("MelWeightMatrix", WINDOW),
    ("Multinomial", RANDOM),
    ("NegativeLogLikelihoodLoss", LOSS),
    ("NonMaxSuppression", "select boxes after the model"),
    ("Optional", SEQUENCE),
    ("OptionalGetElement", SEQUENCE),
    ("OptionalHasElement", SEQUENCE),
    ("QLinearConv", INTEGER_PRODUCT),
    ("QLinearMatMul", INTEGER_PRODUCT),
    ("RandomNormal", RANDOM),
    ("RandomNormalLike", RANDOM),
    ("RandomUniform", RANDOM),
    ("RandomUniformLike", RANDOM),
    ("RegexFullMatch", TEXT),
    ("ReverseSequence", "use Slice with a step of -1"),
    ("RoiAlign", "crop the regions before the model"),
    ("RotaryEmbedding", "export with operator set 22 or older, which writes Mul, Add and Concat"),
    ("STFT", SIGNAL),
    ("Scan", LOOP),
    ("Scatter", "use ScatterElements, as since operator set 11"),
    ("SequenceAt", SEQUENCE),
    ("SequenceConstruct", SEQUENCE),
    ("SequenceEmpty", SEQUENCE),
    ("SequenceErase", SEQUENCE),
    ("SequenceInsert", SEQUENCE),
    ("SequenceLength", SEQUENCE),
    ("SequenceMap", SEQUENCE),
    ("SoftmaxCrossEntropyLoss", LOSS),
    ("SplitToSequence", "use Split"),
    ("StringConcat", TEXT),
    ("StringNormalizer", TEXT),
    ("StringSplit", TEXT),
    ("TensorScatter", "use Concat or Where for the cache of an attention"),
    ("TfIdfVectorizer", TEXT),
    ("Unique", "use TopK, which has a fixed number of elements"),
];

/// Operators of `ai.onnx.ml` that are refused, and what to use in their place.
const UNSUPPORTED_ML_OPERATORS: &[(&str, &str)] = &[
    ("Binarizer", "use Greater and Cast"),
    ("CastMap", "use a tensor in place of a map"),
    ("CategoryMapper", ENCODER),
    ("DictVectorizer", ENCODER),
    ("FeatureVectorizer", "use Concat"),
    ("Imputer", "replace missing values before the model"),
    ("LabelEncoder", "remove it: the scores determine the label"),
    ("OneHotEncoder", "use OneHot"),
];

/// Returns what to use in place of an operator; `None` if the standard does not have it, or it is
/// supported.
pub(super) fn operator_hint(operator: &str) -> Option<&'static str> {
    let mut rules = UNSUPPORTED_OPERATORS.iter().chain(UNSUPPORTED_ML_OPERATORS);
    rules.find(|(name, _)| *name == operator).map(|(_, remedy)| *remedy)
}

/// Returns a table of all operators in Markdown, for the documentation: those with the same state,
/// and the same limits or remedy, are one row.
pub fn table() -> String {
    let mut rows: Vec<((&str, &str), Vec<String>)> = Vec::new();
    for (domain, rules, refused) in
        [("", RULES, UNSUPPORTED_OPERATORS), ("ai.onnx.ml: ", ML_RULES, UNSUPPORTED_ML_OPERATORS)]
    {
        let supported = rules.iter().map(|&(name, ..)| {
            let limits = LIMITS
                .iter()
                .find(|(limited, _)| *limited == name)
                .map_or("", |(_, limits)| *limits);
            let is_folded =
                limits == "constants only" || matches!(name, "Constant" | "Shape" | "Size");
            let state = if is_folded { "folded" } else { "supported" };
            (name, state, limits)
        });
        let refused = refused.iter().map(|&(name, remedy)| (name, "refused", remedy));
        let mut domain_rules: Vec<_> = supported.chain(refused).collect();
        if !domain.is_empty() {
            domain_rules.push(("ZipMap", "supported", "at the end, where it is omitted"));
        }
        domain_rules.sort_unstable();
        for (name, state, text) in domain_rules {
            let name = format!("{domain}{name}");
            match rows.iter_mut().find(|(result, _)| *result == (state, text)) {
                Some((_, names)) => names.push(name),
                None => rows.push(((state, text), vec![name])),
            }
        }
    }
    // Supported operators first.
    rows.sort_by_key(|((state, _), _)| Reverse(*state));
    let rows: Vec<String> = rows
        .iter()
        .map(|((state, text), names)| format!("| {} | {state} | {text} |\n", names.join(", ")))
        .collect();
    format!(
        "| Operators | State | Limits, or what to use in their place |\n|---|---|---|\n{}",
        rows.concat()
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every operator is in one list only, and every limit is that of a supported one.
    #[test]
    fn every_operator_is_either_supported_or_refused() {
        let supported: Vec<&str> = RULES.iter().chain(ML_RULES).map(|(name, ..)| *name).collect();
        let refused: Vec<&str> = UNSUPPORTED_OPERATORS
            .iter()
            .chain(UNSUPPORTED_ML_OPERATORS)
            .map(|(name, _)| *name)
            .collect();
        let all: BTreeSet<&str> = supported.iter().chain(&refused).copied().collect();
        assert_eq!(all.len(), supported.len() + refused.len());
        for name in LIMITS.iter().map(|(name, _)| *name).chain(FOLDED_OPERATORS.iter().copied()) {
            assert!(supported.contains(&name), "{name}");
        }
        assert_eq!(
            (operator_hint("Loop"), operator_hint("Relu"), operator_hint("Surprise")),
            (Some(LOOP), None, None)
        );
    }

    /// docs/proof.md has this table. To regenerate it: `TAONET_UPDATE_DOCS=1 cargo test -p
    /// taonet-proof-onnx-file`.
    #[test]
    fn documentation_has_the_table_of_all_operators() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/proof.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, remaining) = text.split_once("<!-- operators -->\n").unwrap();
        let (current, after) = remaining.split_once("<!-- end of operators -->").unwrap();
        if std::env::var_os("TAONET_UPDATE_DOCS").is_some() {
            let text =
                format!("{before}<!-- operators -->\n{}<!-- end of operators -->{after}", table());
            std::fs::write(path, text).unwrap();
            return;
        }
        assert_eq!(current, table(), "the table of operators in docs/proof.md is stale");
    }
}
