//! Ensembles whose nodes have numbers within their tree: TreeEnsembleClassifier and
//! TreeEnsembleRegressor.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    BranchTest, Ensemble, ScoreTransform, TreeNode, check_lengths, integer_list, number_list,
    output_count, text_attribute,
};
use crate::proto::NodeProto;
use crate::{OnnxError, rules, unsupported};

/// Number of a tree, and of a node in it.
type Key = (i64, i64);

pub(super) fn parse(node: &NodeProto) -> Result<Ensemble, OnnxError> {
    let (trees, node_numbers) =
        (integer_list(node, "nodes_treeids"), integer_list(node, "nodes_nodeids"));
    let keys: Vec<Key> = trees.iter().copied().zip(node_numbers.iter().copied()).collect();
    let node_indices: HashMap<Key, usize> = keys.iter().copied().zip(0..).collect();
    check_lengths(node, &[("nodes_nodeids", node_numbers.len())], trees.len())?;
    if node_indices.len() != keys.len() {
        return Err(unsupported(node, "two nodes of a tree have the same number".to_owned()));
    }
    let outputs = output_count(node)?;
    let weights = parse_weights(node, &node_indices)?;
    let score_transform = score_transform(node, outputs, &weights)?;
    let mut nodes = parse_nodes(node, &keys, &node_indices)?;
    let mut weighted_pairs = HashSet::new();
    for (leaf, output, weight) in weights {
        // Weights of branches have no effect.
        if let Some(TreeNode::Leaf(weights)) = nodes.get_mut(leaf) {
            if !weighted_pairs.insert((leaf, output)) {
                return Err(unsupported(
                    node,
                    format!("leaf {leaf} has two weights for output {output}"),
                ));
            }
            weights.push((output, weight));
        }
    }
    // The first node of each tree is its root.
    let mut seen_trees = BTreeSet::new();
    let roots: Vec<usize> = (0..keys.len())
        .filter(|&index| keys.get(index).is_some_and(|key| seen_trees.insert(key.0)))
        .collect();
    divide_by_trees(node, &mut nodes, roots.len())?;
    let sums = match score_transform {
        ScoreTransform::Complement | ScoreTransform::Opposite | ScoreTransform::Logistic => 1,
        ScoreTransform::Sums | ScoreTransform::Sigmoids | ScoreTransform::Softmax => outputs,
    };
    let mut base = number_list(node, "base_values")?;
    if base.is_empty() {
        base = vec![0.0; sums];
    }
    check_lengths(node, &[("base_values", base.len())], sums)?;
    Ok(Ensemble { nodes, roots, base, score_transform })
}

/// Returns the nodes, without the weights of leaves.
fn parse_nodes(
    node: &NodeProto,
    keys: &[Key],
    node_indices: &HashMap<Key, usize>,
) -> Result<Vec<TreeNode>, OnnxError> {
    let no_modes = Vec::new();
    let modes = node.attribute("nodes_modes").map_or(&no_modes, |modes| &modes.strings);
    let (features, values) =
        (integer_list(node, "nodes_featureids"), number_list(node, "nodes_values")?);
    let children = ["nodes_truenodeids", "nodes_falsenodeids"].map(|name| integer_list(node, name));
    let lengths = [
        ("nodes_modes", modes.len()),
        ("nodes_featureids", features.len()),
        ("nodes_values", values.len()),
        ("nodes_truenodeids", children[0].len()),
        ("nodes_falsenodeids", children[1].len()),
    ];
    check_lengths(node, &lengths, keys.len())?;
    let mut nodes = Vec::with_capacity(keys.len());
    let parts = keys
        .iter()
        .zip(modes)
        .zip(features.iter().zip(&values))
        .zip(children[0].iter().zip(children[1]));
    for (((&(tree, _), mode), (&feature, &value)), (&true_child, &false_child)) in parts {
        let Some(test) = branch_test(node, mode)? else {
            nodes.push(TreeNode::Leaf(Vec::new()));
            continue;
        };
        let index = |number: i64| {
            let index = node_indices.get(&(tree, number)).copied();
            index.ok_or_else(|| unsupported(node, format!("tree {tree} has no node {number}")))
        };
        let feature = usize::try_from(feature).unwrap_or(usize::MAX);
        nodes.push(TreeNode::Branch {
            feature,
            test,
            value,
            children: [index(true_child)?, index(false_child)?],
        });
    }
    Ok(nodes)
}

/// Returns the test of a node; `None` for a leaf.
fn branch_test(node: &NodeProto, mode: &[u8]) -> Result<Option<BranchTest>, OnnxError> {
    Ok(Some(match mode {
        b"LEAF" => return Ok(None),
        b"BRANCH_LEQ" => BranchTest::AtMost,
        b"BRANCH_LT" => BranchTest::Below,
        b"BRANCH_GTE" => BranchTest::AtLeast,
        b"BRANCH_GT" => BranchTest::Above,
        b"BRANCH_EQ" => BranchTest::Equal,
        b"BRANCH_NEQ" => BranchTest::Unequal,
        other => {
            return Err(unsupported(
                node,
                format!("unknown kind of branch '{}'", String::from_utf8_lossy(other)),
            ));
        }
    }))
}

/// Returns the node, output and value of all weights.
fn parse_weights(
    node: &NodeProto,
    node_indices: &HashMap<Key, usize>,
) -> Result<Vec<(usize, usize, f64)>, OnnxError> {
    let kind = if rules::is_classifier(node) { "class" } else { "target" };
    let [trees, nodes, ids] =
        ["treeids", "nodeids", "ids"].map(|name| integer_list(node, &format!("{kind}_{name}")));
    let values = number_list(node, &format!("{kind}_weights"))?;
    let lengths = [("weights", values.len()), ("nodeids", nodes.len()), ("ids", ids.len())];
    check_lengths(node, &lengths, trees.len())?;
    let weights = trees.iter().zip(nodes).zip(ids.iter().zip(&values)).map(
        |((&tree, &number), (&id, &value))| {
            let index = node_indices.get(&(tree, number)).copied();
            let output = usize::try_from(id).ok();
            let (Some(index), Some(output)) = (index, output) else {
                return Err(unsupported(
                    node,
                    format!("a weight of tree {tree}, node {number}, output {id} is misplaced"),
                ));
            };
            Ok((index, output, value))
        },
    );
    weights.collect()
}

/// Returns how scores follow from sums. If all weights are those of one of two classes, there is
/// one sum.
fn score_transform(
    node: &NodeProto,
    outputs: usize,
    weights: &[(usize, usize, f64)],
) -> Result<ScoreTransform, OnnxError> {
    let transform = text_attribute(node, "post_transform", "NONE");
    let unsupported_transform =
        |reason: &str| Err(unsupported(node, format!("post_transform '{transform}' {reason}")));
    if !rules::is_classifier(node) {
        return if transform == "NONE" {
            Ok(ScoreTransform::Sums)
        } else {
            unsupported_transform("of a regression is unsupported")
        };
    }
    let ids: BTreeSet<usize> = weights.iter().map(|&(_, output, _)| output).collect();
    if outputs == 2 && ids.len() == 1 && ids.contains(&0) {
        let are_positive = weights.iter().all(|&(.., weight)| weight >= 0.0);
        return match transform {
            "LOGISTIC" => Ok(ScoreTransform::Logistic),
            "NONE" if are_positive => Ok(ScoreTransform::Complement),
            "NONE" => Ok(ScoreTransform::Opposite),
            _ => unsupported_transform("of two classes with one sum is unsupported"),
        };
    }
    if outputs == 2 && !super::number_list(node, "base_values")?.is_empty() {
        return Err(unsupported(
            node,
            "base values of two classes with a sum each are unsupported".to_owned(),
        ));
    }
    match transform {
        "NONE" => Ok(ScoreTransform::Sums),
        "LOGISTIC" => Ok(ScoreTransform::Sigmoids),
        "SOFTMAX" => Ok(ScoreTransform::Softmax),
        _ => unsupported_transform("is unsupported"),
    }
}

/// Divides the weights by the number of trees if the node averages.
fn divide_by_trees(
    node: &NodeProto,
    nodes: &mut [TreeNode],
    trees: usize,
) -> Result<(), OnnxError> {
    let divisor = match text_attribute(node, "aggregate_function", "SUM") {
        "SUM" => return Ok(()),
        "AVERAGE" => trees.max(1) as f64,
        other => {
            return Err(unsupported(node, format!("aggregate_function '{other}' is unsupported")));
        }
    };
    for node in nodes {
        if let TreeNode::Leaf(weights) = node {
            for (_, weight) in weights.iter_mut() {
                *weight /= divisor;
            }
        }
    }
    Ok(())
}
