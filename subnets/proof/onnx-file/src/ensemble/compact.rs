//! Ensembles whose branches and leaves have lists of their own: TreeEnsemble.

use super::{Ensemble, Scores, Test, TreeNode, check_lengths, list, numbers, outputs};
use crate::proto::NodeProto;
use crate::{OnnxError, unsupported};

/// Values of `aggregate_function`.
const AVERAGE: i64 = 0;
const SUM: i64 = 1;

pub(super) fn parse(node: &NodeProto) -> Result<Ensemble, OnnxError> {
    let function = node.int("aggregate_function", SUM);
    if node.int("post_transform", 0) != 0 || ![AVERAGE, SUM].contains(&function) {
        return Err(unsupported(
            node,
            "a post_transform, or another aggregation than sum and mean, is unsupported".to_owned(),
        ));
    }
    let roots: Vec<usize> = list(node, "tree_roots").iter().map(|&root| place(root)).collect();
    let divisor = if function == AVERAGE { roots.len().max(1) as f64 } else { 1.0 };
    let (targets, weights) = (list(node, "leaf_targetids"), numbers(node, "leaf_weights")?);
    check_lengths(node, &[("leaf_weights", weights.len())], targets.len())?;
    let leaves: Vec<(usize, f64)> = targets
        .iter()
        .zip(weights)
        .map(|(&target, weight)| (place(target), weight / divisor))
        .collect();
    let (features, splits) = (list(node, "nodes_featureids"), numbers(node, "nodes_splits")?);
    let modes = numbers(node, "nodes_modes")?;
    let children = ["nodes_truenodeids", "nodes_falsenodeids"].map(|name| list(node, name));
    let leafs = ["nodes_trueleafs", "nodes_falseleafs"].map(|name| list(node, name));
    let lengths = [
        ("nodes_splits", splits.len()),
        ("nodes_modes", modes.len()),
        ("nodes_truenodeids", children[0].len()),
        ("nodes_falsenodeids", children[1].len()),
        ("nodes_trueleafs", leafs[0].len()),
        ("nodes_falseleafs", leafs[1].len()),
    ];
    check_lengths(node, &lengths, features.len())?;
    let mut nodes: Vec<TreeNode> = Vec::with_capacity(3 * features.len());
    let mut copies = Vec::new();
    for (index, ((&feature, &value), &mode)) in features.iter().zip(&splits).zip(&modes).enumerate()
    {
        let mut ends = [0; 2];
        for (end, (children, leafs)) in ends.iter_mut().zip(children.iter().zip(leafs)) {
            let child = children.get(index).map_or(usize::MAX, |&child| place(child));
            *end = if leafs.get(index) == Some(&0) {
                child
            } else {
                // Several branches can have the same leaf.
                let leaf = leaves
                    .get(child)
                    .ok_or_else(|| unsupported(node, format!("there is no leaf {child}")))?;
                copies.push(TreeNode::Leaf(vec![*leaf]));
                features.len() + copies.len() - 1
            };
        }
        nodes.push(TreeNode::Branch {
            feature: place(feature),
            test: test(node, mode)?,
            value,
            children: ends,
        });
    }
    nodes.extend(copies);
    Ok(Ensemble { nodes, roots, base: vec![0.0; outputs(node)?], scores: Scores::Sums })
}

/// Returns an index; a negative one does not exist.
fn place(index: i64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn test(node: &NodeProto, mode: f64) -> Result<Test, OnnxError> {
    Ok(match mode as i64 {
        0 => Test::AtMost,
        1 => Test::Below,
        2 => Test::AtLeast,
        3 => Test::Above,
        4 => Test::Equal,
        5 => Test::Unequal,
        6 => {
            let reason =
                "branches by membership are unsupported; hint: export a branch for each member";
            return Err(unsupported(node, reason.to_owned()));
        }
        _ => return Err(unsupported(node, format!("unknown kind of branch {mode}"))),
    })
}
