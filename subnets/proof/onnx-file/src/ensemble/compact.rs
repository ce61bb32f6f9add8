//! Parsing of TreeEnsemble, whose branches and leaves are in separate lists.

use super::{
    BranchTest, Ensemble, ScoreTransform, TreeNode, check_lengths, integer_list, number_list,
    output_count,
};
use crate::proto::NodeProto;
use crate::{OnnxError, unsupported};

/// Values of `aggregate_function`.
const AVERAGE: i64 = 0;
const SUM: i64 = 1;

pub(super) fn parse(node: &NodeProto) -> Result<Ensemble, OnnxError> {
    let aggregate = node.int("aggregate_function", SUM);
    if node.int("post_transform", 0) != 0 || ![AVERAGE, SUM].contains(&aggregate) {
        return Err(unsupported(
            node,
            "a post_transform, or another aggregation than sum and mean, is unsupported".to_owned(),
        ));
    }
    let roots: Vec<usize> =
        integer_list(node, "tree_roots").iter().map(|&root| to_index(root)).collect();
    let divisor = if aggregate == AVERAGE { roots.len().max(1) as f64 } else { 1.0 };
    let (targets, weights) =
        (integer_list(node, "leaf_targetids"), number_list(node, "leaf_weights")?);
    check_lengths(node, &[("leaf_weights", weights.len())], targets.len())?;
    let leaves: Vec<(usize, f64)> = targets
        .iter()
        .zip(weights)
        .map(|(&target, weight)| (to_index(target), weight / divisor))
        .collect();
    let (features, splits) =
        (integer_list(node, "nodes_featureids"), number_list(node, "nodes_splits")?);
    let modes = number_list(node, "nodes_modes")?;
    let children = ["nodes_truenodeids", "nodes_falsenodeids"].map(|name| integer_list(node, name));
    let is_leaf = ["nodes_trueleafs", "nodes_falseleafs"].map(|name| integer_list(node, name));
    let lengths = [
        ("nodes_splits", splits.len()),
        ("nodes_modes", modes.len()),
        ("nodes_truenodeids", children[0].len()),
        ("nodes_falsenodeids", children[1].len()),
        ("nodes_trueleafs", is_leaf[0].len()),
        ("nodes_falseleafs", is_leaf[1].len()),
    ];
    check_lengths(node, &lengths, features.len())?;
    let mut nodes: Vec<TreeNode> = Vec::with_capacity(3 * features.len());
    let mut leaf_nodes = Vec::new();
    for (index, ((&feature, &value), &mode)) in features.iter().zip(&splits).zip(&modes).enumerate()
    {
        let mut branch_children = [0; 2];
        for (branch_child, (children, is_leaf)) in
            branch_children.iter_mut().zip(children.iter().zip(is_leaf))
        {
            let child = children.get(index).map_or(usize::MAX, |&child| to_index(child));
            *branch_child = if is_leaf.get(index) == Some(&0) {
                child
            } else {
                // Several branches can have the same leaf.
                let leaf = leaves
                    .get(child)
                    .ok_or_else(|| unsupported(node, format!("there is no leaf {child}")))?;
                leaf_nodes.push(TreeNode::Leaf(vec![*leaf]));
                features.len() + leaf_nodes.len() - 1
            };
        }
        nodes.push(TreeNode::Branch {
            feature: to_index(feature),
            test: branch_test(node, mode)?,
            value,
            children: branch_children,
        });
    }
    nodes.extend(leaf_nodes);
    Ok(Ensemble {
        nodes,
        roots,
        base: vec![0.0; output_count(node)?],
        score_transform: ScoreTransform::Sums,
    })
}

/// Converts an index; a negative one becomes [`usize::MAX`], which no list contains.
fn to_index(index: i64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn branch_test(node: &NodeProto, mode: f64) -> Result<BranchTest, OnnxError> {
    Ok(match mode as i64 {
        0 => BranchTest::AtMost,
        1 => BranchTest::Below,
        2 => BranchTest::AtLeast,
        3 => BranchTest::Above,
        4 => BranchTest::Equal,
        5 => BranchTest::Unequal,
        6 => {
            let reason =
                "branches by membership are unsupported; hint: export a branch for each member";
            return Err(unsupported(node, reason.to_owned()));
        }
        _ => return Err(unsupported(node, format!("unknown kind of branch {mode}"))),
    })
}
