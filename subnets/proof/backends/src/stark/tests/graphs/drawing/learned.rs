//! Nodes for machine learning, which read all elements as one row.

use rand::Rng as _;
use taonet_proof_onnx::Attribute;

use super::{RandomGraph, signed};

/// Number of kinds of nodes that [`RandomGraph::append_learned`] can append.
pub(super) const NODES: usize = 5;

/// Comparisons of the branches of trees.
const BRANCHES: [&str; 6] =
    ["BRANCH_EQ", "BRANCH_GT", "BRANCH_GTE", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_NEQ"];
const KERNELS: [&str; 4] = ["LINEAR", "POLY", "RBF", "SIGMOID"];
/// Parameters of the kernels other than the linear one.
const KERNEL: [f32; 3] = [0.25, 0.5, 2.0];
/// Transforms of scores. A regression has the first one only, and scores that one sum determines
/// have at most the first two.
const TRANSFORMS: [&str; 3] = ["NONE", "LOGISTIC", "SOFTMAX"];

impl RandomGraph {
    /// Appends nodes of a kind, which read a tensor with these last two dimensions.
    pub(super) fn append_learned(
        &mut self,
        kind: usize,
        x: &str,
        dims: [usize; 2],
    ) -> (String, [usize; 2]) {
        let features = dims[0] * dims[1];
        let all = self.integers(&[1, -1]);
        let row = self.node("Reshape", &[x, &all]);
        let (outputs, count) = match kind {
            0 => self.tree(&row, features, false),
            1 => self.tree(&row, features, true),
            2 => self.append_regressor(&row, features),
            3 => self.classifier(&row, features),
            _ => self.append_feature_scaling(&row, features),
        };
        let dims = self.integers(&[1, 1, -1]);
        (self.node("Reshape", &[&outputs, &dims]), [1, count])
    }

    /// Returns a random multiple of 1/8 of at most 1 in magnitude.
    fn random_eighth(&mut self) -> f32 {
        f32::from(self.generator.random_range(-8..=8_i8)) / 8.0
    }

    fn random_eighths(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.random_eighth()).collect()
    }

    /// Appends a tree of two branches and three leaves. Returns its outputs and their number.
    fn tree(&mut self, row: &str, features: usize, is_classifier: bool) -> (String, usize) {
        let mut feature = || signed(self.generator.random_range(0..features));
        let features = [feature(), feature(), 0, 0, 0];
        let modes = [self.one_of(&BRANCHES), self.one_of(&BRANCHES), "LEAF", "LEAF", "LEAF"];
        let limits = [self.random_eighth(), self.random_eighth(), 0.0, 0.0, 0.0];
        let weights = self.random_eighths(3);
        let (count, leaf_outputs, transforms) = match (is_classifier, self.extent(2)) {
            (false, 1) => (1, [0; 3], 1),
            (false, _) => (2, [0, 1, 0], 1),
            // One sum determines the scores of two classes.
            (true, 1) => (2, [0; 3], 2),
            (true, _) => (3, [0, 2, 1], 3),
        };
        let (operator, prefix) = if is_classifier {
            ("TreeEnsembleClassifier", "class")
        } else {
            ("TreeEnsembleRegressor", "target")
        };
        let labels: Vec<i64> = (0..signed(count)).collect();
        let names = ["treeids", "nodeids", "ids", "weights"].map(|name| format!("{prefix}_{name}"));
        let attributes = [
            if is_classifier {
                Attribute::Ints("classlabels_int64s", &labels)
            } else {
                Attribute::Int("n_targets", signed(count))
            },
            Attribute::String("post_transform", self.one_of(&TRANSFORMS[..transforms])),
            Attribute::Ints("nodes_treeids", &[0; 5]),
            Attribute::Ints("nodes_nodeids", &[0, 1, 2, 3, 4]),
            Attribute::Ints("nodes_featureids", &features),
            Attribute::Strings("nodes_modes", &modes),
            Attribute::Floats("nodes_values", &limits),
            Attribute::Ints("nodes_truenodeids", &[1, 3, 0, 0, 0]),
            Attribute::Ints("nodes_falsenodeids", &[2, 4, 0, 0, 0]),
            Attribute::Ints(&names[0], &[0; 3]),
            Attribute::Ints(&names[1], &[2, 3, 4]),
            Attribute::Ints(&names[2], &leaf_outputs),
            Attribute::Floats(&names[3], &weights),
        ];
        let first = self.graph.ml_node(operator, &[row], &attributes);
        (if is_classifier { self.graph.add_output() } else { first }, count)
    }

    /// Appends a regression by support vectors, or a linear one.
    fn append_regressor(&mut self, row: &str, features: usize) -> (String, usize) {
        if self.extent(4) == 1 {
            let targets = self.extent(3);
            let (coefficients, intercepts) =
                (self.random_eighths(targets * features), self.random_eighths(targets));
            let attributes = [
                Attribute::Int("targets", signed(targets)),
                Attribute::Floats("coefficients", &coefficients),
                Attribute::Floats("intercepts", &intercepts),
            ];
            return (self.graph.ml_node("LinearRegressor", &[row], &attributes), targets);
        }
        let kernel = self.one_of(&KERNELS);
        let count = self.extent(3);
        let (vectors, coefficients, offset) = (
            self.random_eighths(count * features),
            self.random_eighths(count),
            [self.random_eighth()],
        );
        let attributes = [
            Attribute::String("kernel_type", kernel),
            Attribute::Floats("kernel_params", &KERNEL),
            Attribute::Int("n_supports", signed(count)),
            Attribute::Floats("support_vectors", &vectors),
            Attribute::Floats("coefficients", &coefficients),
            Attribute::Floats("rho", &offset),
        ];
        (self.graph.ml_node("SVMRegressor", &[row], &attributes), 1)
    }

    /// Appends a classifier of two or three classes by support vectors, or a linear one. The former
    /// has a score for each pair of three classes, and for the only pair of two in both orders.
    fn classifier(&mut self, row: &str, features: usize) -> (String, usize) {
        let classes = 1 + self.extent(2);
        let labels: Vec<i64> = (0..signed(classes)).collect();
        if self.extent(2) == 1 {
            let sums = if classes == 2 { self.extent(2) } else { classes };
            let transforms = if sums == 1 { 1 } else { 3 };
            let (coefficients, intercepts) =
                (self.random_eighths(sums * features), self.random_eighths(sums));
            let attributes = [
                Attribute::Ints("classlabels_ints", &labels),
                Attribute::Floats("coefficients", &coefficients),
                Attribute::Floats("intercepts", &intercepts),
                Attribute::String("post_transform", self.one_of(&TRANSFORMS[..transforms])),
            ];
            self.graph.ml_node("LinearClassifier", &[row], &attributes);
            return (self.graph.add_output(), classes);
        }
        let vectors_of_first = self.extent(2);
        let count = vectors_of_first + classes - 1;
        let mut vectors_per_class = vec![1; classes];
        vectors_per_class[0] = signed(vectors_of_first);
        let (vectors, coefficients) =
            (self.random_eighths(count * features), self.random_eighths(count * (classes - 1)));
        let offsets = self.random_eighths(classes * (classes - 1) / 2);
        // Scores of two classes can be probabilities.
        let probabilities = if classes == 2 { self.extent(2) - 1 } else { 0 };
        let [factors, added] = [(); 2].map(|()| self.random_eighths(probabilities));
        let attributes = [
            Attribute::Ints("classlabels_ints", &labels),
            Attribute::String("kernel_type", self.one_of(&KERNELS)),
            Attribute::Floats("kernel_params", &KERNEL),
            Attribute::Ints("vectors_per_class", &vectors_per_class),
            Attribute::Floats("support_vectors", &vectors),
            Attribute::Floats("coefficients", &coefficients),
            Attribute::Floats("rho", &offsets),
            Attribute::Floats("prob_a", &factors),
            Attribute::Floats("prob_b", &added),
        ];
        self.graph.ml_node("SVMClassifier", &[row], &attributes);
        (self.graph.add_output(), classes)
    }

    /// Appends a choice, a scaling or a division by a norm of features.
    fn append_feature_scaling(&mut self, row: &str, features: usize) -> (String, usize) {
        match self.extent(3) {
            1 => {
                let chosen = [(); 3].map(|()| signed(self.generator.random_range(0..features)));
                let chosen = self.integers(&chosen);
                (self.graph.ml_node("ArrayFeatureExtractor", &[row, &chosen], &[]), 3)
            }
            2 => {
                let (offsets, factors) =
                    (self.random_eighths(features), self.random_eighths(features));
                let attributes =
                    [Attribute::Floats("offset", &offsets), Attribute::Floats("scale", &factors)];
                (self.graph.ml_node("Scaler", &[row], &attributes), features)
            }
            _ => {
                let (magnitude, half) = (self.node("Abs", &[row]), self.scalar(0.5));
                let positive = self.node("Add", &[&magnitude, &half]);
                let norm = [Attribute::String("norm", self.one_of(&["L1", "L2", "MAX"]))];
                (self.graph.ml_node("Normalizer", &[&positive], &norm), features)
            }
        }
    }
}
