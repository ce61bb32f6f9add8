//! The outputs of a model, and the softmax before a single one.

use std::collections::HashSet;

use super::proto::{DataType, GraphProto, NodeProto, ValueInfoProto};
use super::rules::MACHINE_LEARNING;
use super::{ElementType, ModelFile, element_type};

/// Type of the elements of a tensor of texts.
const TEXT: i32 = 8;

/// The outputs of a graph that are computed.
pub(super) struct Chosen {
    pub(super) outputs: Vec<String>,
    /// What is omitted.
    pub(super) notes: Vec<String>,
}

/// Returns the outputs of a graph. Classifiers have two, their labels and their scores, of which
/// the scores determine the labels. `None` if there are none.
pub(super) fn choose(graph: &GraphProto) -> Option<Chosen> {
    let mut notes = Vec::new();
    let scores: Vec<&ValueInfoProto> =
        graph.output.iter().filter(|output| !is_label(output)).collect();
    let mut outputs: Vec<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    if let ([_, _, ..], [single]) = (&graph.output[..], &scores[..]) {
        notes.push("the label is omitted: outputs are the scores of all classes".to_owned());
        outputs = vec![single.name.clone()];
    }
    if let [single] = &outputs[..] {
        let map =
            graph.node.iter().find(|node| node.output.first() == Some(single) && is_map(node));
        if let Some(map) = map {
            notes.push(
                "the map of labels is omitted: outputs are in the order of its labels".to_owned(),
            );
            outputs = vec![map.input.first()?.clone()];
        }
    }
    (!outputs.is_empty()).then_some(Chosen { outputs, notes })
}

/// Returns whether an output has integers or texts.
fn is_label(output: &ValueInfoProto) -> bool {
    output.element().is_some_and(|element| {
        element == TEXT
            || matches!(DataType::try_from(element), Ok(DataType::Int32 | DataType::Int64))
    })
}

fn is_map(node: &NodeProto) -> bool {
    node.op_type == "ZipMap" && node.domain == MACHINE_LEARNING
}

/// Returns the nodes on which the outputs depend. In the order of the standard, readers come later.
pub(super) fn needed(nodes: Vec<NodeProto>, outputs: &[String]) -> Vec<NodeProto> {
    let mut names: HashSet<String> = outputs.iter().cloned().collect();
    let is_needed = |node: &NodeProto| {
        let is_needed = node.output.iter().any(|name| names.contains(name));
        names.extend(node.input.iter().chain(node.captured()).filter(|_| is_needed).cloned());
        is_needed
    };
    let mut needed: Vec<NodeProto> = nodes.into_iter().rev().filter(is_needed).collect();
    needed.reverse();
    needed
}

impl ModelFile {
    /// Returns the tensors from the output of the softmax at the end to the output of the graph;
    /// none if there is no such softmax. Nothing else reads them, and they have the same values:
    /// after the softmax, these are at most given another floating-point type or other dimensions,
    /// or divided by their sum, which is 1. The softmax is omitted if it covers all elements.
    pub fn after_softmax(&self) -> Vec<&str> {
        // Several outputs keep their softmaxes.
        let [output] = &self.outputs[..] else { return Vec::new() };
        let (mut name, reads, mut names, mut is_divided) =
            (output, self.reads(), Vec::new(), false);
        // At most as many steps as there are nodes, should they form a cycle.
        for _ in &self.nodes {
            let node =
                self.nodes.iter().find(|node| !name.is_empty() && node.output.contains(name));
            let Some(node) = node.filter(|_| reads.get(name.as_str()) == Some(&1)) else {
                return Vec::new();
            };
            names.push(name.as_str());
            let keeps_values = match node.op_type.as_str() {
                // The sum of all elements is 1 only if the softmax covers them: the last axis of
                // one row.
                "LogSoftmax" if is_divided => false,
                "Softmax" if is_divided && ![-1, 1].contains(&node.int("axis", -1)) => false,
                "Softmax" | "LogSoftmax" => return names,
                "LinearClassifier" | "TreeEnsembleClassifier"
                    if node.text("post_transform") == Some(&b"SOFTMAX"[..]) =>
                {
                    return names;
                }
                "Cast" => {
                    node.cast_type().is_ok_and(|kind| element_type(kind) == ElementType::Float)
                }
                "Normalizer" => {
                    is_divided = true;
                    node.text("norm") == Some(&b"L1"[..])
                }
                "Dropout" | "Identity" => true,
                "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => !is_divided,
                _ => false,
            };
            match node.input.first().filter(|_| keeps_values) {
                Some(input) => name = input,
                None => return Vec::new(),
            }
        }
        Vec::new()
    }
}
