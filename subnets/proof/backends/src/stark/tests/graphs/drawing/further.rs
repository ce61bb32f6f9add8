//! Nodes for machine learning, conditions, and further reductions, choices, moves and norms.

use rand::Rng as _;
use taonet_proof_onnx::Attribute;

use super::RandomGraph;

/// Number of kinds of nodes that [`RandomGraph::further`] can append.
pub(super) const NODES: usize = 7;

/// Comparisons of the branches of trees.
const BRANCHES: [&str; 4] = ["BRANCH_GT", "BRANCH_GTE", "BRANCH_LEQ", "BRANCH_LT"];
const COMPARISONS: [&str; 5] = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];

fn signed(number: usize) -> i64 {
    number.cast_signed() as i64
}

impl RandomGraph {
    /// Appends nodes of a kind, which read a tensor with these last two dimensions.
    pub(super) fn further(
        &mut self,
        kind: usize,
        x: &str,
        dims: [usize; 2],
    ) -> (String, [usize; 2]) {
        match kind {
            0 => self.tree(x, dims),
            1 => self.machine(x, dims),
            2 => self.conditions(x, dims),
            3 => self.reduced(x, dims),
            4 => self.gather_or_replace(x, dims),
            5 => self.relocated(x, dims),
            _ => self.normalised(x, dims),
        }
    }

    /// Returns a random number of at most 1 in magnitude.
    fn eighth(&mut self) -> f32 {
        f32::from(self.generator.random_range(-8..=8_i8)) / 8.0
    }

    fn eighths(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.eighth()).collect()
    }

    /// Puts all elements into one row, as operators for machine learning read them.
    fn row(&mut self, x: &str) -> String {
        let dims = self.integers(&[1, -1]);
        self.node("Reshape", &[x, &dims])
    }

    /// Gives the outputs of an operator for machine learning three dimensions.
    fn in_three_dimensions(&mut self, outputs: &str, count: usize) -> (String, [usize; 2]) {
        let dims = self.integers(&[1, 1, -1]);
        (self.node("Reshape", &[outputs, &dims]), [1, count])
    }

    /// Appends a tree of two branches and three leaves.
    fn tree(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let row = self.row(x);
        let targets = self.extent(2);
        let mut feature = || signed(self.generator.random_range(0..rows * columns));
        let features = [feature(), feature(), 0, 0, 0];
        let modes = [self.one_of(&BRANCHES), self.one_of(&BRANCHES), "LEAF", "LEAF", "LEAF"];
        let limits = [self.eighth(), self.eighth(), 0.0, 0.0, 0.0];
        let weights = self.eighths(3);
        let leaf_targets = [0, signed(targets - 1), 0];
        let attributes = [
            Attribute::Int("n_targets", signed(targets)),
            Attribute::Ints("nodes_treeids", &[0; 5]),
            Attribute::Ints("nodes_nodeids", &[0, 1, 2, 3, 4]),
            Attribute::Ints("nodes_featureids", &features),
            Attribute::Texts("nodes_modes", &modes),
            Attribute::Floats("nodes_values", &limits),
            Attribute::Ints("nodes_truenodeids", &[1, 3, 0, 0, 0]),
            Attribute::Ints("nodes_falsenodeids", &[2, 4, 0, 0, 0]),
            Attribute::Ints("target_treeids", &[0; 3]),
            Attribute::Ints("target_nodeids", &[2, 3, 4]),
            Attribute::Ints("target_ids", &leaf_targets),
            Attribute::Floats("target_weights", &weights),
        ];
        let sums = self.graph.learned_node("TreeEnsembleRegressor", &[&row], &attributes);
        self.in_three_dimensions(&sums, targets)
    }

    /// Appends a support vector machine, or a linear model.
    fn machine(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let (row, features) = (self.row(x), rows * columns);
        if self.extent(4) == 1 {
            let targets = self.extent(3);
            let (coefficients, intercepts) =
                (self.eighths(targets * features), self.eighths(targets));
            let attributes = [
                Attribute::Int("targets", signed(targets)),
                Attribute::Floats("coefficients", &coefficients),
                Attribute::Floats("intercepts", &intercepts),
            ];
            let sums = self.graph.learned_node("LinearRegressor", &[&row], &attributes);
            return self.in_three_dimensions(&sums, targets);
        }
        let kernel = self.one_of(&["LINEAR", "POLY", "RBF", "SIGMOID"]);
        let count = self.extent(3);
        let (vectors, coefficients, offset) =
            (self.eighths(count * features), self.eighths(count), [self.eighth()]);
        let attributes = [
            Attribute::Text("kernel_type", kernel),
            Attribute::Floats("kernel_params", &[0.25, 0.5, 2.0]),
            Attribute::Int("n_supports", signed(count)),
            Attribute::Floats("support_vectors", &vectors),
            Attribute::Floats("coefficients", &coefficients),
            Attribute::Floats("rho", &offset),
        ];
        let sum = self.graph.learned_node("SVMRegressor", &[&row], &attributes);
        self.in_three_dimensions(&sum, 1)
    }

    /// Appends a choice by a condition that two comparisons decide.
    fn conditions(&mut self, x: &str, dims: [usize; 2]) -> (String, [usize; 2]) {
        let (other, half) = (self.like(dims), self.number(0.5));
        let operators = [(); 2].map(|()| self.one_of(&COMPARISONS));
        let [first, second] = [(operators[0], other.as_str()), (operators[1], half.as_str())]
            .map(|(operator, operand)| self.node(operator, &[x, operand]));
        let operator = self.one_of(&["And", "Or", "Xor"]);
        let both = self.node(operator, &[&first, &second]);
        let condition = self.node("Not", &[&both]);
        (self.node("Where", &[&condition, x, &other]), dims)
    }

    /// Appends a reduction of a function, running sums, or a division by a norm.
    fn reduced(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let (dims, axis) = ([rows, columns], self.extent(2));
        let axes = self.integers(&[signed(axis)]);
        let along = Attribute::Int("axis", signed(axis));
        match self.extent(4) {
            1 => (self.node("CumSum", &[x, &axes]), dims),
            2 => {
                let power = Attribute::Int("p", signed(self.extent(2)));
                (self.with("LpNormalization", &[x], &[along, power]), dims)
            }
            3 => (self.with("Hardmax", &[x], &[along]), dims),
            _ => {
                let operators =
                    ["ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare"];
                let operator = self.one_of(&operators);
                let reduced = if axis == 1 { [1, columns] } else { [rows, 1] };
                (self.node(operator, &[x, &axes]), reduced)
            }
        }
    }

    /// Appends elements that computed positions choose or replace.
    fn gather_or_replace(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let last_axis = Attribute::Int("axis", -1);
        let operator = self.one_of(&["ArgMax", "ArgMin"]);
        match self.extent(3) {
            1 => {
                let position = self.with(operator, &[x], &[last_axis]);
                (self.with("GatherElements", &[x, &position], &[last_axis]), [rows, 1])
            }
            2 => {
                let keeps_none = [last_axis, Attribute::Int("keepdims", 0)];
                let position = self.with(operator, &[x], &keeps_none);
                let depth = self.integers(&[signed(columns)]);
                let values = self.weights(&[2]);
                (self.node("OneHot", &[&position, &depth, &values]), [rows, columns])
            }
            _ => {
                let position = self.with(operator, &[x], &[last_axis]);
                let updates = self.weights(&[1, rows, 1]);
                let inputs = [x, position.as_str(), updates.as_str()];
                (self.with("ScatterElements", &inputs, &[last_axis]), [rows, columns])
            }
        }
    }

    /// Appends further nodes that only move elements.
    fn relocated(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        match self.extent(4) {
            // Larger tensors would grow to thousands of elements.
            1 if rows * columns <= 16 => {
                let repeats = self.integers(&[1, 4, 1]);
                let tiled = self.node("Tile", &[x, &repeats]);
                let dims = self.integers(&[1, signed(4 * rows), 1, signed(columns)]);
                let channels = self.node("Reshape", &[&tiled, &dims]);
                let blocks =
                    self.with("DepthToSpace", &[&channels], &[Attribute::Int("blocksize", 2)]);
                let dims = self.integers(&[1, signed(2 * rows), -1]);
                (self.node("Reshape", &[&blocks, &dims]), [2 * rows, 2 * columns])
            }
            2 => {
                let last = self.integers(&[-1]);
                let largest = self.node("ReduceMax", &[x, &last]);
                let dims = self.integers(&[1, signed(rows), 3]);
                (self.node("Expand", &[&largest, &dims]), [rows, 3])
            }
            3 => {
                let scales = self.graph.floats(&[3], [1.0, 1.0, 2.0]);
                let attributes = [
                    Attribute::Text("mode", "nearest"),
                    Attribute::Text("nearest_mode", "floor"),
                    Attribute::Text("coordinate_transformation_mode", "asymmetric"),
                ];
                (self.with("Resize", &[x, "", &scales], &attributes), [rows, 2 * columns])
            }
            _ => {
                let upper = Attribute::Int("upper", self.generator.random_range(0..=1));
                (self.with("Trilu", &[x], &[upper]), [rows, columns])
            }
        }
    }

    /// Appends a norm of groups or of a batch, or a function with parameters.
    fn normalised(&mut self, x: &str, dims: [usize; 2]) -> (String, [usize; 2]) {
        let rows = dims[0];
        let epsilon = Attribute::Float("epsilon", 1e-2);
        let normalised = match self.extent(4) {
            1 => {
                let (scale, bias) = (self.weights(&[rows]), self.weights(&[rows]));
                let attributes = [Attribute::Int("num_groups", signed(rows)), epsilon];
                self.with("GroupNormalization", &[x, &scale, &bias], &attributes)
            }
            2 => {
                let parts = [(); 3].map(|()| self.weights(&[rows]));
                let [scale, bias, mean] = parts.each_ref().map(String::as_str);
                let variance = self.graph.floats(&[rows], vec![0.75; rows]);
                self.with("BatchNormalization", &[x, scale, bias, mean, &variance], &[epsilon])
            }
            3 => {
                let slopes = self.weights(&[rows, 1]);
                self.node("PRelu", &[x, &slopes])
            }
            _ => {
                let operator = self.one_of(&["Shrink", "ThresholdedRelu"]);
                self.node(operator, &[x])
            }
        };
        (normalised, dims)
    }
}
