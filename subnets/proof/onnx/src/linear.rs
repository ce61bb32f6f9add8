//! Conversion of the operators of `ai.onnx.ml` other than trees and support vectors.

use taonet_proof_onnx_file::attributes::{check_transform, finite_floats, transform_unsupported};

use super::expansion::{Expansion, int_attribute};
use super::node::output_name;
use super::proto::NodeProto;
use super::{OnnxError, Reader, unsupported};

impl Reader {
    /// Converts an operator for machine learning.
    pub(super) fn convert_ml_operator(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let label = node
            .output
            .first()
            .filter(|label| super::rules::is_classifier(node) && !label.is_empty());
        if label.is_some_and(|label| self.use_counts.contains_key(label)) {
            let reason =
                "the label is read; hint: remove the nodes after it, since the scores determine it";
            return Err(unsupported(node, reason.to_owned()));
        }
        match node.op_type.as_str() {
            "ArrayFeatureExtractor" => self.convert_feature_selection(node),
            "LinearClassifier" => self.convert_linear_classifier(node),
            "LinearRegressor" => self.convert_linear_regressor(node),
            "Normalizer" => self.convert_normalizer(node),
            "Scaler" => self.convert_scaler(node),
            "SVMClassifier" => self.convert_support_vector_classifier(node),
            "SVMRegressor" => self.convert_support_vector_regressor(node),
            _ => self.convert_trees(node),
        }
    }

    /// Converts a choice of columns.
    fn convert_feature_selection(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let columns = self.integers(node, 1)?;
        let columns = columns
            .ok_or_else(|| unsupported(node, "the columns are not constant integers".to_owned()))?;
        let count = self.feature_count(node)?;
        let mut expansion = Expansion::new(self, node);
        let row = expansion.reshape(first_input(node)?, &[1, count])?;
        let columns = expansion.integers(&columns)?;
        expansion.node_named(
            output_name(node)?,
            "Gather",
            &[&row, &columns],
            vec![int_attribute("axis", -1)],
        );
        expansion.finish()
    }

    fn convert_linear_classifier(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let features = self.feature_count(node)?;
        let mut intercepts =
            finite_floats(node, "intercepts", node.floats("intercepts").unwrap_or_default())?;
        let classes = intercepts.len();
        let labels = node.attribute("classlabels_strings").map_or(0, |labels| labels.strings.len());
        let labels = labels.max(node.ints("classlabels_ints").map_or(0, <[i64]>::len));
        let transform = node.text("post_transform").unwrap_or(b"NONE");
        let name = scores_of(node)?;
        let mut coefficients = coefficients(node, classes, features)?;
        let mut sums = classes;
        if let (&[intercept], 2) = (&intercepts[..], labels) {
            // The score of the first class is 1 minus that of the second one.
            let opposite: Vec<f32> = coefficients.iter().map(|weight| -weight).collect();
            (coefficients, intercepts, sums) =
                ([opposite, coefficients].concat(), vec![1.0 - intercept, intercept], 2);
        }
        let mut expansion = Expansion::new(self, node);
        let row = expansion.reshape(first_input(node)?, &[1, features])?;
        let sums = expansion.append_weighted_sums(&row, sums, coefficients, intercepts)?;
        match (transform, classes) {
            (b"NONE", _) => expansion.node_named(name, "Identity", &[&sums], Vec::new()),
            (b"LOGISTIC", 2..) => expansion.node_named(name, "Sigmoid", &[&sums], Vec::new()),
            (b"SOFTMAX", 2..) => {
                expansion.node_named(name, "Softmax", &[&sums], vec![int_attribute("axis", -1)]);
            }
            _ => return Err(transform_unsupported(node)),
        }
        expansion.finish()
    }

    fn convert_linear_regressor(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let features = self.feature_count(node)?;
        let targets = usize::try_from(node.int("targets", 1)).unwrap_or_default();
        check_transform(node)?;
        let coefficients = coefficients(node, targets, features)?;
        let intercepts = match node.floats("intercepts") {
            None | Some([]) => vec![0.0; targets],
            Some(intercepts) if intercepts.len() == targets => {
                finite_floats(node, "intercepts", intercepts)?
            }
            Some(intercepts) => {
                return Err(length_error(node, "intercepts", intercepts.len(), targets));
            }
        };
        let mut expansion = Expansion::new(self, node);
        let row = expansion.reshape(first_input(node)?, &[1, features])?;
        let sums = expansion.append_weighted_sums(&row, targets, coefficients, intercepts)?;
        expansion.node_named(output_name(node)?, "Identity", &[&sums], Vec::new());
        expansion.finish()
    }

    /// Converts `(x - offset) * scale`.
    fn convert_scaler(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let features = self.feature_count(node)?;
        let parameter = |name: &str| match node.floats(name) {
            Some(&[single]) => Ok(vec![single; features]),
            Some(several) if several.len() == features => Ok(several.to_vec()),
            other => Err(length_error(node, name, other.map_or(0, <[f32]>::len), features)),
        };
        let (offset, scale) = (parameter("offset")?, parameter("scale")?);
        if offset.iter().chain(&scale).any(|value| !value.is_finite()) {
            return Err(unsupported(node, "an offset or scale is not finite".to_owned()));
        }
        let mut expansion = Expansion::new(self, node);
        let [offset, scale] =
            [expansion.floats(&[features], offset)?, expansion.floats(&[features], scale)?];
        let centred = expansion.node("Sub", &[first_input(node)?, &offset]);
        expansion.node_named(output_name(node)?, "Mul", &[&centred, &scale], Vec::new());
        expansion.finish()
    }

    /// Converts a division of a row by its norm. After the softmax at the end, whose sum is 1, it
    /// changes nothing.
    fn convert_normalizer(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        self.feature_count(node)?;
        let name = output_name(node)?;
        if self.after_softmax.iter().any(|softmax_output| softmax_output == name) {
            return self.rename(node, None);
        }
        let input = first_input(node)?;
        let mut expansion = Expansion::new(self, node);
        let norm = match node.text("norm").unwrap_or(b"MAX") {
            b"MAX" => expansion.reduce("ReduceMax", input)?,
            b"L1" => {
                let magnitudes = expansion.node("Abs", &[input]);
                expansion.reduce("ReduceSum", &magnitudes)?
            }
            b"L2" => {
                let squares = expansion.node("Mul", &[input, input]);
                let sum = expansion.reduce("ReduceSum", &squares)?;
                expansion.node("Sqrt", &[&sum])
            }
            _ => return Err(unsupported(node, "norm is neither MAX, L1 nor L2".to_owned())),
        };
        expansion.node_named(name, "Div", &[input, &norm], Vec::new());
        expansion.finish()
    }
}

impl Expansion<'_> {
    /// Appends weighted sums of a row; the weights are in rows, one for each sum.
    pub(super) fn append_weighted_sums(
        &mut self,
        row: &str,
        sums: usize,
        weights: Vec<f32>,
        offsets: Vec<f32>,
    ) -> Result<String, OnnxError> {
        let width = weights.len().checked_div(sums).unwrap_or_default();
        let weights = self.floats(&[sums, width], weights)?;
        let offsets = self.floats(&[sums], offsets)?;
        Ok(self.node_with("Gemm", &[row, &weights, &offsets], vec![int_attribute("transB", 1)]))
    }
}

/// Returns the name of a node's first input.
pub(super) fn first_input(node: &NodeProto) -> Result<&str, OnnxError> {
    let name = node.input.first().map(String::as_str);
    name.ok_or_else(|| unsupported(node, "the node has no input".to_owned()))
}

/// Returns the name of a node's scores: a classifier's second output, or the only one.
pub(super) fn scores_of(node: &NodeProto) -> Result<&str, OnnxError> {
    let name = node
        .output
        .get(usize::from(super::rules::is_classifier(node)))
        .map(String::as_str)
        .filter(|name| !name.is_empty());
    name.ok_or_else(|| unsupported(node, "the scores are no output".to_owned()))
}

fn length_error(node: &NodeProto, name: &str, length: usize, expected: usize) -> OnnxError {
    unsupported(node, format!("attribute '{name}' has {length} elements, expected {expected}"))
}

fn coefficients(node: &NodeProto, rows: usize, features: usize) -> Result<Vec<f32>, OnnxError> {
    let values = node.floats("coefficients").unwrap_or_default();
    if rows == 0 || rows.checked_mul(features) != Some(values.len()) {
        return Err(length_error(
            node,
            "coefficients",
            values.len(),
            rows.saturating_mul(features),
        ));
    }
    finite_floats(node, "coefficients", values)
}
