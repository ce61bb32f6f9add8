//! Conditions, and further reductions, choices, products, moves and norms.

use rand::Rng as _;
use taonet_proof_onnx::Attribute;

use super::{RandomGraph, signed};

/// Number of kinds of nodes that [`RandomGraph::append_further`] can append.
pub(super) const NODES: usize = 7;

const COMPARISONS: [&str; 5] = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];

impl RandomGraph {
    /// Appends nodes of a kind, which read a tensor with these last two dimensions.
    pub(super) fn append_further(
        &mut self,
        kind: usize,
        x: &str,
        dims: [usize; 2],
    ) -> (String, [usize; 2]) {
        match kind {
            0 => self.conditions(x, dims),
            1 => self.reduced(x, dims),
            2 => self.gather_or_replace(x, dims),
            3 => self.select_or_replace_row(x, dims),
            4 => self.summed_products(x, dims),
            5 => self.append_further_move(x, dims),
            _ => self.normalised(x, dims),
        }
    }

    /// Appends a choice by a condition that two comparisons decide.
    fn conditions(&mut self, x: &str, dims: [usize; 2]) -> (String, [usize; 2]) {
        let (other, half) = (self.tensor_with_dims(dims), self.scalar(0.5));
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
                (self.node_with("LpNormalization", &[x], &[along, power]), dims)
            }
            3 => (self.node_with("Hardmax", &[x], &[along]), dims),
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
                let position = self.node_with(operator, &[x], &[last_axis]);
                (self.node_with("GatherElements", &[x, &position], &[last_axis]), [rows, 1])
            }
            2 => {
                let without_kept_dims = [last_axis, Attribute::Int("keepdims", 0)];
                let position = self.node_with(operator, &[x], &without_kept_dims);
                let depth = self.integers(&[signed(columns)]);
                let values = self.weights(&[2]);
                (self.node("OneHot", &[&position, &depth, &values]), [rows, columns])
            }
            _ => {
                let position = self.node_with(operator, &[x], &[last_axis]);
                let updates = self.weights(&[1, rows, 1]);
                let inputs = [x, position.as_str(), updates.as_str()];
                (self.node_with("ScatterElements", &inputs, &[last_axis]), [rows, columns])
            }
        }
    }

    /// Appends a choice of the row at a computed position, or a replacement of this row.
    fn select_or_replace_row(
        &mut self,
        x: &str,
        [rows, columns]: [usize; 2],
    ) -> (String, [usize; 2]) {
        let (last, dims) = (self.integers(&[-1]), self.integers(&[rows, columns].map(signed)));
        let sums = self.node("ReduceSum", &[x, &last]);
        let without_kept_dims = [Attribute::Int("axis", 1), Attribute::Int("keepdims", 0)];
        let position = self.node_with("ArgMax", &[&sums], &without_kept_dims);
        let matrix = self.node("Reshape", &[x, &dims]);
        let operator = self.one_of(&["Gather", "GatherND", "ScatterND"]);
        let (result, rows) = if operator == "ScatterND" {
            let update = self.weights(&[1, columns]);
            (self.node(operator, &[&matrix, &position, &update]), rows)
        } else {
            (self.node(operator, &[&matrix, &position]), 1)
        };
        let dims = self.integers(&[1, rows, columns].map(signed));
        (self.node("Reshape", &[&result, &dims]), [rows, columns])
    }

    /// Appends products with weights or with another tensor, whose axes are in another order.
    fn summed_products(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let (other, equation, dims) = if self.extent(2) == 1 {
            let outputs = self.extent(3);
            (self.weights(&[columns, outputs]), "bij,jk->bki", [outputs, rows])
        } else {
            (self.tensor_with_dims([rows, columns]), "bij,bkj->bik", [rows, rows])
        };
        let equation = [Attribute::String("equation", equation)];
        (self.node_with("Einsum", &[x, &other], &equation), dims)
    }

    /// Appends further nodes that only move elements.
    fn append_further_move(
        &mut self,
        x: &str,
        [rows, columns]: [usize; 2],
    ) -> (String, [usize; 2]) {
        match self.extent(5) {
            // Larger tensors would grow to thousands of elements.
            1 if rows * columns <= 16 => self.blocks(x, [rows, columns]),
            2 => {
                let last = self.integers(&[-1]);
                let largest = self.node("ReduceMax", &[x, &last]);
                let dims = self.integers(&[1, signed(rows), 3]);
                (self.node("Expand", &[&largest, &dims]), [rows, 3])
            }
            3 => {
                let scales = self.graph.floats(&[3], [1.0, 1.0, 2.0]);
                let attributes = [
                    Attribute::String("mode", "nearest"),
                    Attribute::String("nearest_mode", "floor"),
                    Attribute::String("coordinate_transformation_mode", "asymmetric"),
                ];
                (self.node_with("Resize", &[x, "", &scales], &attributes), [rows, 2 * columns])
            }
            4 if columns > 1 => {
                let first = self.extent(columns - 1);
                let parts = self.integers(&[signed(first), signed(columns - first)]);
                let last_axis = [Attribute::Int("axis", -1)];
                let part = self.node_with("Split", &[x, &parts], &last_axis);
                let other = self.graph.add_output();
                (self.node_with("Concat", &[&other, &part], &last_axis), [rows, columns])
            }
            _ => {
                let upper = Attribute::Int("upper", self.generator.random_range(0..=1));
                (self.node_with("Trilu", &[x], &[upper]), [rows, columns])
            }
        }
    }

    /// Appends a move of repeated channels to rows and columns, or back.
    fn blocks(&mut self, x: &str, [rows, columns]: [usize; 2]) -> (String, [usize; 2]) {
        let (operator, repeats, dims, moved) = if self.extent(2) == 1 {
            ("DepthToSpace", [1, 4, 1], [1, 4 * rows, 1, columns], [2 * rows, 2 * columns])
        } else {
            ("SpaceToDepth", [1, 2, 2], [1, 1, 2 * rows, 2 * columns], [4 * rows, columns])
        };
        let (repeats, dims) = (self.integers(&repeats), self.integers(&dims.map(signed)));
        let tiled = self.node("Tile", &[x, &repeats]);
        let plane = self.node("Reshape", &[&tiled, &dims]);
        let blocks = self.node_with(operator, &[&plane], &[Attribute::Int("blocksize", 2)]);
        let dims = self.integers(&[1, moved[0], moved[1]].map(signed));
        (self.node("Reshape", &[&blocks, &dims]), moved)
    }

    /// Appends a norm of groups or of a batch, or a function with parameters.
    fn normalised(&mut self, x: &str, dims: [usize; 2]) -> (String, [usize; 2]) {
        let rows = dims[0];
        let epsilon = Attribute::Float("epsilon", 1e-2);
        let normalised = match self.extent(4) {
            1 => {
                let (scale, bias) = (self.weights(&[rows]), self.weights(&[rows]));
                let attributes = [Attribute::Int("num_groups", signed(rows)), epsilon];
                self.node_with("GroupNormalization", &[x, &scale, &bias], &attributes)
            }
            2 => {
                let parts = [(); 3].map(|()| self.weights(&[rows]));
                let [scale, bias, mean] = parts.each_ref().map(String::as_str);
                let variance = self.graph.floats(&[rows], vec![0.75; rows]);
                self.node_with("BatchNormalization", &[x, scale, bias, mean, &variance], &[epsilon])
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
