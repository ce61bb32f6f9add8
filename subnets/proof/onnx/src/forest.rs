//! Conversion of tree ensembles.
//!
//! All comparisons of features are evaluated first, as 0 or 1. Then, level by level, a child is
//! reached (1) if its parent is reached and the condition of its branch holds: the product of both.
//! The outputs are the sums of the leaves' weights, each multiplied by whether its leaf is reached;
//! exactly one leaf of each tree is. Only these weights are rounded.

use std::collections::HashMap;

use taonet_proof_core::Shape;
use taonet_proof_core::float::{FloatNode, FloatOperation};

use super::ensemble::{BranchTest, Ensemble, ScoreTransform, TreeNode};
use super::expansion::{Expansion, int_attribute};
use super::node::Operand;
use super::proto::NodeProto;
use super::{MAX_PARAMETERS, OnnxError, Reader, Value, invalid_shape, unsupported};

/// A comparison: index of the feature, bits of the `f64` limit, and whether the feature must be
/// above the limit (`true`) or at most the limit.
type Comparison = (usize, u64, bool);
/// An element of a computed tensor: index of the tensor, and index of the element.
type Element = (usize, u32);

/// Distinct conditions of all branches.
#[derive(Default)]
struct Conditions {
    comparisons: Vec<Comparison>,
    comparison_indices: HashMap<Comparison, u32>,
    /// Pairs of comparisons that together hold for a single number.
    equalities: Vec<[u32; 2]>,
}

/// Reference to a condition in [`Conditions`].
#[derive(Clone, Copy)]
enum Condition {
    /// Index in [`Conditions::comparisons`].
    Comparison(u32),
    /// Index in [`Conditions::equalities`], and whether the equality must hold.
    Equality(u32, bool),
}

impl Conditions {
    fn comparison_index(&mut self, feature: usize, limit: f64, is_above: bool) -> u32 {
        let next_index = self.comparisons.len() as u32;
        let comparison = (feature, limit.to_bits(), is_above);
        *self.comparison_indices.entry(comparison).or_insert_with(|| {
            self.comparisons.push(comparison);
            next_index
        })
    }

    /// Returns the conditions under which a branch's children are reached.
    fn branch_conditions(
        &mut self,
        feature: usize,
        test: BranchTest,
        value: f64,
    ) -> [Condition; 2] {
        // `x < value` is `x <= value.next_down()`.
        let limit = match test {
            BranchTest::Below | BranchTest::AtLeast => value.next_down(),
            _ => value,
        };
        let [low, high] = [false, true].map(|is_above| (feature, limit, is_above));
        let [when_true, when_false] = match test {
            BranchTest::AtMost | BranchTest::Below => [low, high],
            BranchTest::Above | BranchTest::AtLeast => [high, low],
            BranchTest::Equal | BranchTest::Unequal => {
                let pair = [
                    self.comparison_index(feature, value, false),
                    self.comparison_index(feature, value.next_down(), true),
                ];
                self.equalities.push(pair);
                let index = self.equalities.len() as u32 - 1;
                return [true, false]
                    .map(|holds| Condition::Equality(index, holds == (test == BranchTest::Equal)));
            }
        };
        [when_true, when_false].map(|(feature, limit, is_above)| {
            Condition::Comparison(self.comparison_index(feature, limit, is_above))
        })
    }
}

/// Tensors with the values of all conditions.
struct ConditionTensors {
    comparisons: usize,
    /// Tensors of whether each equality holds, and of whether it does not hold.
    equalities: Option<[usize; 2]>,
}

impl ConditionTensors {
    fn element(&self, condition: Condition) -> Element {
        match (condition, self.equalities) {
            (Condition::Equality(index, holds), Some([equal, unequal])) => {
                (if holds { equal } else { unequal }, index)
            }
            (Condition::Comparison(index) | Condition::Equality(index, _), _) => {
                (self.comparisons, index)
            }
        }
    }
}

impl Reader {
    /// Converts a tree ensemble.
    pub(super) fn convert_trees(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let features = self.feature_count(node)?;
        let ensemble = Ensemble::parse(node, features)?;
        let input = self.tensor(node, 0)?;
        let sums = self.push_tree_sums(node, &input, &ensemble)?;
        let count = self.network.shape(sums).map_or(0, |shape| shape.elements());
        let name = super::linear::scores_of(node)?;
        let mut expansion = Expansion::new(self, node);
        let sums_name = expansion.define_computed(sums, vec![1, count])?;
        match ensemble.score_transform {
            ScoreTransform::Sums | ScoreTransform::Complement | ScoreTransform::Opposite => {
                expansion.node_named(name, "Identity", &[&sums_name], Vec::new());
            }
            ScoreTransform::Sigmoids | ScoreTransform::Logistic => {
                expansion.node_named(name, "Sigmoid", &[&sums_name], Vec::new());
            }
            ScoreTransform::Softmax => {
                expansion.node_named(
                    name,
                    "Softmax",
                    &[&sums_name],
                    vec![int_attribute("axis", -1)],
                );
            }
        }
        expansion.finish()
    }

    /// Appends the sums of the weights of all leaves that are reached, and returns their tensor.
    fn push_tree_sums(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        ensemble: &Ensemble,
    ) -> Result<usize, OnnxError> {
        let mut conditions = Conditions::default();
        let branches: Vec<Option<[Condition; 2]>> = ensemble
            .nodes
            .iter()
            .map(|tree_node| match tree_node {
                &TreeNode::Branch { feature, test, value, .. } => {
                    Some(conditions.branch_conditions(feature, test, value))
                }
                TreeNode::Leaf(_) => None,
            })
            .collect();
        if conditions.comparisons.is_empty() {
            return Err(unsupported(node, "the trees have no branches".to_owned()));
        }
        let condition_tensors = self.push_conditions(node, input, &conditions)?;
        let (mut bias, mut leaves) = (ensemble.base.clone(), Vec::new());
        // Nodes of one level, and whether they are reached: roots always are.
        let mut level: Vec<(usize, Option<Element>)> =
            ensemble.roots.iter().map(|&root| (root, None)).collect();
        while !level.is_empty() {
            let (mut parents, mut tests, mut children, mut root_children) =
                (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for (index, reached_element) in level {
                match (ensemble.nodes.get(index), branches.get(index).copied().flatten()) {
                    (Some(TreeNode::Leaf(weights)), _) => match reached_element {
                        Some(element) if !weights.is_empty() => leaves.push((element, weights)),
                        Some(_) => {}
                        None => add_weights(&mut bias, weights),
                    },
                    (
                        Some(TreeNode::Branch { children: branch_children, .. }),
                        Some(conditions),
                    ) => {
                        for (&child, condition) in branch_children.iter().zip(conditions) {
                            let condition_element = condition_tensors.element(condition);
                            match reached_element {
                                None => root_children.push((child, Some(condition_element))),
                                Some(parent) => {
                                    parents.push(parent);
                                    tests.push(condition_element);
                                    children.push(child);
                                }
                            }
                        }
                    }
                    _ => {}
                }
            }
            level = root_children;
            if !children.is_empty() {
                let products = self.push_products(node, &parents, &tests)?;
                level.extend(children.into_iter().zip((0..).map(|index| Some((products, index)))));
            }
        }
        let transforms: &[[f64; 2]] = match ensemble.score_transform {
            ScoreTransform::Complement => &[[-1.0, 1.0], [1.0, 0.0]],
            ScoreTransform::Opposite | ScoreTransform::Logistic => &[[-1.0, 0.0], [1.0, 0.0]],
            ScoreTransform::Sums | ScoreTransform::Sigmoids | ScoreTransform::Softmax => {
                &[[1.0, 0.0]]
            }
        };
        self.append_weighted_sums(node, &leaves, &bias, transforms)
    }

    /// Appends the tensors of all conditions.
    fn push_conditions(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        conditions: &Conditions,
    ) -> Result<ConditionTensors, OnnxError> {
        let elements: Vec<Element> = conditions
            .comparisons
            .iter()
            .map(|&(feature, ..)| (input.index, feature as u32))
            .collect();
        let inputs = vec![self.push_gathered(node, &elements)?];
        let operation = FloatOperation::Compare {
            limits: conditions
                .comparisons
                .iter()
                .map(|&(_, limit, _)| f64::from_bits(limit))
                .collect(),
            is_above: conditions.comparisons.iter().map(|&(.., is_above)| is_above).collect(),
        };
        let shape = vector_shape(node, elements.len())?;
        let comparisons = self.push_node(FloatNode { inputs, shape, operation })?;
        if conditions.equalities.is_empty() {
            return Ok(ConditionTensors { comparisons, equalities: None });
        }
        let [low, high]: [Vec<Element>; 2] = [0, 1].map(|side: usize| {
            let sides = conditions.equalities.iter().filter_map(|pair| pair.get(side));
            sides.map(|&index| (comparisons, index)).collect()
        });
        let equal = self.push_products(node, &low, &high)?;
        let count = conditions.equalities.len();
        let operation =
            FloatOperation::Compare { limits: vec![0.0; count], is_above: vec![false; count] };
        let unequal = self.push_node(FloatNode {
            inputs: vec![equal],
            shape: vector_shape(node, count)?,
            operation,
        })?;
        Ok(ConditionTensors { comparisons, equalities: Some([equal, unequal]) })
    }

    /// Appends products of elements in pairs, and returns their tensor.
    fn push_products(
        &mut self,
        node: &NodeProto,
        a: &[Element],
        b: &[Element],
    ) -> Result<usize, OnnxError> {
        let inputs = vec![self.push_gathered(node, a)?, self.push_gathered(node, b)?];
        self.push_node(FloatNode {
            inputs,
            shape: vector_shape(node, a.len())?,
            operation: FloatOperation::Multiply,
        })
    }

    /// Appends a vector of elements of several tensors, and returns it.
    fn push_gathered(
        &mut self,
        node: &NodeProto,
        elements: &[Element],
    ) -> Result<usize, OnnxError> {
        let (mut inputs, mut starts, mut next_start) = (Vec::new(), HashMap::new(), 0);
        let mut indices = Vec::with_capacity(elements.len());
        for &(tensor, index) in elements {
            let start = *starts.entry(tensor).or_insert_with(|| {
                inputs.push(tensor);
                let start = next_start;
                next_start += self.network.shape(tensor).map_or(0, |shape| shape.elements()) as u32;
                start
            });
            indices.push(start + index);
        }
        let shape = vector_shape(node, elements.len())?;
        self.push_moved(node, inputs, indices, 0.0, shape)
    }

    /// Appends weighted sums of the leaves, and returns their tensor: for each factor and offset in
    /// `transforms`, all sums times the factor, plus the offset.
    fn append_weighted_sums(
        &mut self,
        node: &NodeProto,
        leaves: &[(Element, &Vec<(usize, f64)>)],
        base: &[f64],
        transforms: &[[f64; 2]],
    ) -> Result<usize, OnnxError> {
        if leaves.is_empty() {
            return Err(unsupported(node, "no leaf below a branch has a weight".to_owned()));
        }
        let (width, outputs) = (leaves.len(), base.len() * transforms.len());
        let parameters = (width as u64 + 1).saturating_mul(outputs as u64);
        if parameters > MAX_PARAMETERS {
            return Err(OnnxError::Parameters(parameters));
        }
        let mut weights = vec![0.0; width * outputs];
        for (transform_index, &[factor, _]) in transforms.iter().enumerate() {
            for (column, (_, leaf_weights)) in leaves.iter().enumerate() {
                for &(output, weight) in *leaf_weights {
                    if let Some(slot) =
                        weights.get_mut((transform_index * base.len() + output) * width + column)
                    {
                        *slot = (factor * weight) as f32;
                    }
                }
            }
        }
        let elements: Vec<Element> = leaves.iter().map(|&(element, _)| element).collect();
        let inputs = vec![self.push_gathered(node, &elements)?];
        let bias = transforms.iter().flat_map(|&[factor, offset]| {
            base.iter().map(move |value| (factor * value + offset) as f32)
        });
        let operation = FloatOperation::Dense { weights, bias: bias.collect() };
        self.push_node(FloatNode { inputs, shape: vector_shape(node, outputs)?, operation })
    }
}

impl Expansion<'_> {
    /// Defines a name for a computed tensor with these dimensions, and returns the name.
    fn define_computed(&mut self, tensor: usize, dims: Vec<usize>) -> Result<String, OnnxError> {
        let name = self.new_name();
        super::define(&mut self.reader.values, &name, Value::Tensor(tensor, dims))?;
        Ok(name)
    }
}

fn add_weights(sums: &mut [f64], weights: &[(usize, f64)]) {
    for &(output, weight) in weights {
        if let Some(sum) = sums.get_mut(output) {
            *sum += weight;
        }
    }
}

/// Returns the shape of a vector.
fn vector_shape(node: &NodeProto, length: usize) -> Result<Shape, OnnxError> {
    Shape::vector(length).map_err(invalid_shape(node))
}
