//! Branches of an If. A condition that is constant chooses one of them, whose nodes replace the If.

use std::collections::HashSet;
use std::sync::Arc;

use super::proto::NodeProto;
use super::tensor::Constant;
use super::{OnnxError, unsupported};

/// The branch of an If that its condition chooses.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Nodes, of which the last ones compute the outputs of the If.
    pub nodes: Vec<NodeProto>,
    /// Weights, with their names.
    pub constants: Vec<(String, Arc<Constant>)>,
}

impl Branch {
    /// Returns the branch for a condition that holds, or does not. Its own names get the name of
    /// the node's output as a prefix.
    pub fn choose(node: &NodeProto, holds: bool) -> Result<Self, OnnxError> {
        let name = if holds { "then_branch" } else { "else_branch" };
        let graph = node.attribute(name).and_then(|attribute| attribute.g.as_deref());
        let graph = graph.ok_or_else(|| unsupported(node, format!("{name} is missing")))?;
        if !graph.input.is_empty() || !graph.sparse_initializer.is_empty() {
            return Err(unsupported(node, format!("{name} has inputs or sparse weights")));
        }
        if graph
            .node
            .iter()
            .any(|inner| inner.attribute.iter().any(|attribute| attribute.g.is_some()))
        {
            return Err(unsupported(node, format!("{name} has a branch of its own")));
        }
        if graph.output.len() != node.output.len() {
            return Err(unsupported(node, format!("{name} does not have the outputs of the node")));
        }
        let node_outputs = graph.node.iter().flat_map(|inner| &inner.output);
        let inner_names: HashSet<&String> =
            node_outputs.chain(graph.initializer.iter().map(|weight| &weight.name)).collect();
        let prefix =
            node.output.iter().find(|output| !output.is_empty()).map_or("", String::as_str);
        let rename = |name: &String| {
            if !name.is_empty() && inner_names.contains(name) {
                format!("{prefix}/{name}")
            } else {
                name.clone()
            }
        };
        let mut nodes: Vec<NodeProto> = graph
            .node
            .iter()
            .map(|inner| NodeProto {
                input: inner.input.iter().map(rename).collect(),
                output: inner.output.iter().map(rename).collect(),
                ..inner.clone()
            })
            .collect();
        let outputs =
            graph.output.iter().zip(&node.output).filter(|(_, output)| !output.is_empty());
        nodes.extend(outputs.map(|(inner, output)| NodeProto {
            input: vec![rename(&inner.name)],
            output: vec![output.clone()],
            op_type: "Identity".to_owned(),
            ..NodeProto::default()
        }));
        let constants = graph.initializer.iter();
        let constants =
            constants.map(|weight| Ok((rename(&weight.name), Arc::new(Constant::parse(weight)?))));
        Ok(Self { nodes, constants: constants.collect::<Result<Vec<_>, OnnxError>>()? })
    }
}
