//! Tree ensembles of `ai.onnx.ml`: the attributes of TreeEnsembleClassifier, TreeEnsembleRegressor
//! and TreeEnsemble.

mod classic;
mod compact;

use super::proto::{AttributeProto, NodeProto, TensorProto};
use super::tensor::Constant;
use super::{OnnxError, rules, unsupported};

/// Trees whose leaves have weights for outputs.
pub struct Ensemble {
    /// Nodes of all trees. Each is a child of at most one other.
    pub nodes: Vec<TreeNode>,
    /// The first node of each tree.
    pub roots: Vec<usize>,
    /// Value of each output before the weights of the leaves are added.
    pub base: Vec<f64>,
    /// Transform from the sums to the outputs.
    pub score_transform: ScoreTransform,
}

/// A node of a tree.
pub enum TreeNode {
    /// A comparison, and the nodes after it.
    Branch {
        /// Index of the feature that is compared.
        feature: usize,
        /// Kind of the comparison.
        test: BranchTest,
        /// The number with which the feature is compared.
        value: f64,
        /// The nodes if the test holds, and if it does not.
        children: [usize; 2],
    },
    /// Outputs and their weights.
    Leaf(Vec<(usize, f64)>),
}

/// Comparison of a feature with the value of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchTest {
    /// The feature is at most the value.
    AtMost,
    /// The feature is below the value.
    Below,
    /// The feature is at least the value.
    AtLeast,
    /// The feature is above the value.
    Above,
    /// The feature is the value.
    Equal,
    /// The feature is not the value.
    Unequal,
}

/// Transform from the sums of an ensemble to scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreTransform {
    /// The sums themselves.
    Sums,
    /// Sums with a sigmoid each.
    Sigmoids,
    /// Sums with a softmax.
    Softmax,
    /// One sum, that of the second of two classes; the score of the first is 1 minus it.
    Complement,
    /// One sum; the score of the first of two classes is its opposite.
    Opposite,
    /// One sum; the scores are the sigmoids of its opposite and of itself.
    Logistic,
}

impl Ensemble {
    /// Parses the attributes of a node for inputs with this number of features.
    pub fn parse(node: &NodeProto, features: usize) -> Result<Self, OnnxError> {
        let ensemble = if node.op_type == "TreeEnsemble" {
            compact::parse(node)?
        } else {
            classic::parse(node)?
        };
        ensemble.check_trees(node, features)?;
        Ok(ensemble)
    }

    /// Checks that features exist, and that the nodes are trees: none is reached twice.
    fn check_trees(&self, node: &NodeProto, features: usize) -> Result<(), OnnxError> {
        let mut is_reached = vec![false; self.nodes.len()];
        let mut next = self.roots.clone();
        while let Some(index) = next.pop() {
            let (Some(tree), Some(is_reached)) = (self.nodes.get(index), is_reached.get_mut(index))
            else {
                return Err(unsupported(node, format!("tree node {index} does not exist")));
            };
            if std::mem::replace(is_reached, true) {
                return Err(unsupported(node, format!("tree node {index} is reached twice")));
            }
            match tree {
                TreeNode::Branch { feature, value, children, .. } => {
                    if *feature >= features {
                        let reason =
                            format!("tree node {index} compares feature {feature} of {features}");
                        return Err(unsupported(node, reason));
                    }
                    if value.is_nan() {
                        return Err(unsupported(
                            node,
                            format!("the limit of tree node {index} is not a number"),
                        ));
                    }
                    next.extend(children);
                }
                TreeNode::Leaf(weights) => {
                    if !weights
                        .iter()
                        .all(|&(output, weight)| output < self.base.len() && weight.is_finite())
                    {
                        return Err(unsupported(
                            node,
                            format!("leaf {index} has weights {weights:?}"),
                        ));
                    }
                }
            }
        }
        // Otherwise the first node of a tree is not its root, or a node is not checked.
        if let Some(index) = is_reached.iter().position(|is_reached| !is_reached) {
            return Err(unsupported(node, format!("tree node {index} is not reached from a root")));
        }
        if self.roots.is_empty() || !self.base.iter().all(|base| base.is_finite()) {
            return Err(unsupported(
                node,
                "there are no trees, or base values are not finite".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Returns the integers of an attribute; none if it is absent.
fn integer_list<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    node.ints(name).unwrap_or_default()
}

/// Returns the numbers of an attribute, or of the tensor that replaces it.
fn number_list(node: &NodeProto, name: &str) -> Result<Vec<f64>, OnnxError> {
    let tensor = node.attribute(&format!("{name}_as_tensor")).or_else(|| node.attribute(name));
    match tensor.and_then(|attribute| attribute.t.as_ref()) {
        Some(tensor) => double_values(tensor),
        None => Ok(node.floats(name).unwrap_or_default().iter().copied().map(f64::from).collect()),
    }
}

/// Returns the numbers of a tensor. Those in double precision keep it: limits of branches must not
/// be rounded.
fn double_values(tensor: &TensorProto) -> Result<Vec<f64>, OnnxError> {
    /// The type of double precision.
    const DOUBLE: i32 = super::proto::DataType::Double as i32;
    let constant = Constant::parse(tensor)?;
    Ok(match (tensor.data_type, constant.floats()) {
        (DOUBLE, _) if tensor.raw_data.is_empty() => tensor.double_data.clone(),
        (DOUBLE, _) => {
            tensor.raw_data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
        }
        (_, Some(floats)) => floats.iter().copied().map(f64::from).collect(),
        (_, None) => {
            constant.integers().unwrap_or_default().iter().map(|&value| value as f64).collect()
        }
    })
}

/// Refuses lists of different lengths.
fn check_lengths(
    node: &NodeProto,
    lists: &[(&str, usize)],
    length: usize,
) -> Result<(), OnnxError> {
    match lists.iter().find(|(_, other)| *other != length) {
        None => Ok(()),
        Some((name, other)) => Err(unsupported(
            node,
            format!("attribute '{name}' has {other} elements, expected {length}"),
        )),
    }
}

/// Returns the number of classes or targets.
fn output_count(node: &NodeProto) -> Result<usize, OnnxError> {
    let count = if rules::is_classifier(node) {
        let labels =
            ["classlabels_int64s", "classlabels_ints"].map(|name| integer_list(node, name).len());
        let strings =
            node.attribute("classlabels_strings").map_or(0, |labels| labels.strings.len());
        labels.into_iter().fold(strings, usize::max)
    } else {
        usize::try_from(node.int("n_targets", 1)).unwrap_or_default()
    };
    if (1..=MAX_OUTPUTS).contains(&count) {
        Ok(count)
    } else {
        Err(unsupported(node, format!("{count} classes or targets, expected 1 to {MAX_OUTPUTS}")))
    }
}

/// Maximum number of classes or targets.
const MAX_OUTPUTS: usize = 1 << 16;

/// Returns the value of a string attribute, or its default.
fn text_attribute<'a>(node: &'a NodeProto, name: &str, default: &'a str) -> &'a str {
    let attribute: Option<&AttributeProto> = node.attribute(name);
    attribute.map_or(default, |attribute| str::from_utf8(&attribute.s).unwrap_or_default())
}
