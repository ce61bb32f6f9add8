//! Operators of `ai.onnx.ml`, by the formulas of the standard. They share only the attribute check
//! with the converter: trees are walked from their roots.

use super::{Operands, Tensor};
use crate::OnnxError;
use crate::ensemble::{BranchTest, Ensemble, ScoreTransform, TreeNode};
use crate::support_vectors::{Kernel, SupportVectorMachine};

impl Operands<'_> {
    /// Returns the only row of the first operand.
    fn input_row(&self) -> Result<Vec<f64>, OnnxError> {
        Ok(self.operand(0)?.into_owned().values)
    }

    fn row_tensor(values: Vec<f64>) -> Tensor {
        Tensor { dims: vec![1, values.len()], values }
    }

    /// Returns the scores of a classifier.
    pub(super) fn evaluate_classifier(&self) -> Result<Tensor, OnnxError> {
        let values = match self.node.op_type.as_str() {
            "LinearClassifier" => self.linear_scores()?,
            "SVMClassifier" => self.machine_scores()?,
            _ => self.tree_scores()?,
        };
        Ok(Self::row_tensor(values))
    }

    /// Returns numbers after a softmax, unless it is omitted.
    fn apply_softmax(&self, values: Vec<f64>) -> Vec<f64> {
        if self.is_last_softmax {
            return values;
        }
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = values.iter().map(|value| (value - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// Returns `count` weighted sums of the row.
    fn weighted_sums(&self, count: usize) -> Result<Vec<f64>, OnnxError> {
        let row = self.input_row()?;
        let weights = self.node.floats("coefficients").unwrap_or_default();
        let offsets = self.node.floats("intercepts").unwrap_or_default();
        if weights.len() != count * row.len() {
            return Err(self.evaluation_error("the coefficients do not fit"));
        }
        let weighted_sum = |(index, weights): (usize, &[f32])| {
            let offset = offsets.get(index).copied().map_or(0.0, f64::from);
            offset
                + weights
                    .iter()
                    .zip(&row)
                    .map(|(&weight, value)| f64::from(weight) * value)
                    .sum::<f64>()
        };
        Ok(weights.chunks(row.len().max(1)).enumerate().map(weighted_sum).collect())
    }

    fn linear_scores(&self) -> Result<Vec<f64>, OnnxError> {
        let sums = self.weighted_sums(self.node.floats("intercepts").unwrap_or_default().len())?;
        let labels =
            self.node.attribute("classlabels_strings").map_or(0, |labels| labels.strings.len());
        let labels = labels.max(self.node.ints("classlabels_ints").map_or(0, <[i64]>::len));
        Ok(match (self.node.text("post_transform"), &sums[..]) {
            (Some(b"SOFTMAX"), _) => self.apply_softmax(sums),
            (Some(b"LOGISTIC"), _) => sums.into_iter().map(logistic).collect(),
            (_, &[single]) if labels == 2 => vec![1.0 - single, single],
            _ => sums,
        })
    }

    pub(super) fn evaluate_linear_regressor(&self) -> Result<Tensor, OnnxError> {
        let targets = usize::try_from(self.node.int("targets", 1)).unwrap_or_default();
        Ok(Self::row_tensor(self.weighted_sums(targets)?))
    }

    pub(super) fn evaluate_scaler(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        let parameter = |name: &str, index: usize| {
            let values = self.node.floats(name).unwrap_or_default();
            let value = if values.len() == 1 { values.first() } else { values.get(index) };
            value.copied().map_or(f64::NAN, f64::from)
        };
        for (index, value) in tensor.values.iter_mut().enumerate() {
            *value = (*value - parameter("offset", index)) * parameter("scale", index);
        }
        Ok(tensor)
    }

    pub(super) fn evaluate_normalizer(&self) -> Result<Tensor, OnnxError> {
        let mut tensor = self.operand(0)?.into_owned();
        if self.is_after_softmax {
            return Ok(tensor);
        }
        let values = &tensor.values;
        let norm = match self.node.text("norm") {
            Some(b"L1") => values.iter().map(|value| value.abs()).sum(),
            Some(b"L2") => values.iter().map(|value| value * value).sum::<f64>().sqrt(),
            _ => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        };
        if norm.abs() > 0.0 {
            tensor.values.iter_mut().for_each(|value| *value /= norm);
        }
        Ok(tensor)
    }

    /// Returns the columns of a row.
    pub(super) fn evaluate_feature_selection(&self) -> Result<Tensor, OnnxError> {
        let row = self.input_row()?;
        let columns = self.integers(1).unwrap_or_default().into_iter();
        let values = columns
            .map(|column| usize::try_from(column).ok().and_then(|column| row.get(column)).copied());
        let values: Option<Vec<f64>> = values.collect();
        values.map(Self::row_tensor).ok_or_else(|| self.evaluation_error("a column does not exist"))
    }

    /// Returns the sums of a support vector machine.
    fn machine_sums(&self, machine: &SupportVectorMachine) -> Result<Vec<f64>, OnnxError> {
        let row = self.input_row()?;
        let product =
            |vector: &[f32]| vector.iter().zip(&row).map(|(&a, b)| f64::from(a) * b).sum::<f64>();
        let kernel = |vector: &[f32]| match machine.kernel {
            Kernel::Linear => product(vector),
            Kernel::Polynomial { gamma, offset, degree } => {
                (f64::from(gamma) * product(vector) + f64::from(offset)).powf(f64::from(degree))
            }
            Kernel::Radial { gamma } => {
                let distance: f64 =
                    vector.iter().zip(&row).map(|(&a, b)| (f64::from(a) - b).powi(2)).sum();
                (-f64::from(gamma) * distance).exp()
            }
            Kernel::Sigmoid { gamma, offset } => {
                (f64::from(gamma) * product(vector) + f64::from(offset)).tanh()
            }
        };
        let kernels: Vec<f64> = if machine.count == 0 {
            row.clone()
        } else {
            machine.vectors.chunks(row.len().max(1)).map(kernel).collect()
        };
        let activated_sum = |(weights, &offset): (&[f32], &f32)| {
            weights
                .iter()
                .zip(&kernels)
                .map(|(&weight, kernel)| f64::from(weight) * kernel)
                .sum::<f64>()
                + f64::from(offset)
        };
        Ok(machine
            .coefficients
            .chunks(kernels.len().max(1))
            .zip(&machine.offsets)
            .map(activated_sum)
            .collect())
    }

    fn machine_scores(&self) -> Result<Vec<f64>, OnnxError> {
        let machine = SupportVectorMachine::parse(self.node, self.input_row()?.len())?;
        let sums = self.machine_sums(&machine)?;
        Ok(match (machine.probability, &sums[..]) {
            (Some([factor, offset]), &[sum]) => {
                let argument = f64::from(factor) * sum + f64::from(offset);
                vec![logistic(-argument), logistic(argument)]
            }
            (None, &[sum]) => vec![-sum, sum],
            _ => sums,
        })
    }

    pub(super) fn evaluate_support_vector_regressor(&self) -> Result<Tensor, OnnxError> {
        let machine = SupportVectorMachine::parse(self.node, self.input_row()?.len())?;
        Ok(Self::row_tensor(self.machine_sums(&machine)?))
    }

    pub(super) fn evaluate_tree_regressor(&self) -> Result<Tensor, OnnxError> {
        Ok(Self::row_tensor(self.tree_scores()?))
    }

    /// Walks each tree from its root to a leaf, and adds the weights of the leaves.
    fn tree_scores(&self) -> Result<Vec<f64>, OnnxError> {
        let row = self.input_row()?;
        let ensemble = Ensemble::parse(self.node, row.len())?;
        let mut sums = ensemble.base.clone();
        for &root in &ensemble.roots {
            let mut node_index = root;
            let weights = loop {
                match &ensemble.nodes[node_index] {
                    TreeNode::Leaf(weights) => break weights,
                    &TreeNode::Branch {
                        feature,
                        test,
                        value,
                        children: [true_child, false_child],
                    } => {
                        node_index = if test_holds(test, row[feature], value) {
                            true_child
                        } else {
                            false_child
                        };
                    }
                }
            };
            for &(output, weight) in weights {
                sums[output] += weight;
            }
        }
        Ok(match (ensemble.score_transform, &sums[..]) {
            (ScoreTransform::Sigmoids, _) => sums.into_iter().map(logistic).collect(),
            (ScoreTransform::Softmax, _) => self.apply_softmax(sums),
            (ScoreTransform::Complement, &[sum]) => vec![1.0 - sum, sum],
            (ScoreTransform::Opposite, &[sum]) => vec![-sum, sum],
            (ScoreTransform::Logistic, &[sum]) => vec![logistic(-sum), logistic(sum)],
            _ => sums,
        })
    }
}

/// Returns whether a feature passes the test of a branch.
#[expect(clippy::float_cmp, reason = "a branch compares exactly")]
fn test_holds(test: BranchTest, feature: f64, value: f64) -> bool {
    match test {
        BranchTest::AtMost => feature <= value,
        BranchTest::Below => feature < value,
        BranchTest::AtLeast => feature >= value,
        BranchTest::Above => feature > value,
        BranchTest::Equal => feature == value,
        BranchTest::Unequal => feature != value,
    }
}

fn logistic(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}
