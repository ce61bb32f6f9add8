//! The outputs of a model, and the softmax before a single one.

use std::collections::{HashMap, HashSet};

use super::proto::{DataType, GraphProto, NodeProto, ValueInfoProto};
use super::rules::{ML_DOMAIN, is_classifier};
use super::{ElementType, ModelFile, OnnxError, element_type};

/// Element type of a string tensor.
const STRING: i32 = 8;
/// Operators whose output has the elements of their first input.
const SAME_ELEMENTS: [&str; 6] = ["Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"];

/// The outputs of a graph that are computed.
pub(super) struct SelectedOutputs {
    pub(super) outputs: Vec<String>,
    /// Notes on omitted outputs.
    pub(super) notes: Vec<String>,
}

/// Returns the outputs of a graph that have these names, in the order of the graph. Without names,
/// returns all outputs but the labels of classifiers, which the scores determine.
///
/// # Errors
/// When no output has one of the names.
pub(super) fn select_outputs(
    graph: &GraphProto,
    names: &[String],
) -> Result<SelectedOutputs, OnnxError> {
    let output_names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    if let Some(name) = names.iter().find(|name| !output_names.contains(&name.as_str())) {
        return Err(OnnxError::UnknownOutput {
            name: name.clone(),
            known: output_names.join(", "),
        });
    }
    let tensors = TensorIndex::new(graph);
    let omitted: Vec<bool> = graph
        .output
        .iter()
        .map(|output| match names {
            [] => tensors.is_label(output),
            _ => !names.contains(&output.name),
        })
        .collect();
    // String tensors without scores are an output like others, which the compiler refuses.
    let has_other_outputs = omitted.contains(&false);
    let (mut outputs, mut notes) = (Vec::new(), Vec::new());
    for (&name, is_omitted) in output_names.iter().zip(omitted) {
        if is_omitted && has_other_outputs {
            notes.push(match names {
                [] => format!("the label '{name}' is omitted: the scores determine it"),
                _ => format!("the output '{name}' is omitted"),
            });
            continue;
        }
        let zip_map = tensors.producers.get(name).filter(|node| is_ml_operator(node, &["ZipMap"]));
        let scores = zip_map.and_then(|zip_map| zip_map.input.first());
        if scores.is_some() {
            notes.push(
                "the map of labels is omitted: outputs are in the order of its labels".to_owned(),
            );
        }
        let output = scores.cloned().unwrap_or_else(|| name.to_owned());
        // The scores can be an output besides their map.
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    Ok(SelectedOutputs { outputs, notes })
}

/// What computes and reads the tensors of a graph.
struct TensorIndex<'a> {
    /// The node that computes each tensor.
    producers: HashMap<&'a str, &'a NodeProto>,
    /// Names that a node reads, or that are outputs.
    read_names: HashSet<&'a str>,
    /// Outputs of other types than integers and strings, and the tensors before them whose largest
    /// element is at the same position: an `ArgMax` of one of these is a label.
    scores: HashSet<&'a str>,
}

impl<'a> TensorIndex<'a> {
    fn new(graph: &'a GraphProto) -> Self {
        let outputs =
            |node: &'a NodeProto| node.output.iter().map(move |output| (output.as_str(), node));
        let producers = graph.node.iter().flat_map(outputs).collect();
        let node_inputs =
            graph.node.iter().flat_map(|node| node.input.iter().chain(node.captured_names()));
        let graph_outputs = graph.output.iter().map(|output| &output.name);
        let read_names = node_inputs.chain(graph_outputs).map(String::as_str).collect();
        let mut tensors = Self { producers, read_names, scores: HashSet::new() };
        for output in graph.output.iter().filter(|output| !is_discrete(output)) {
            let input_chain = tensors.input_chain(&output.name, input_with_ranking);
            tensors.scores.extend(input_chain);
        }
        tensors
    }

    /// Follows a tensor back through its producers while `next_input` returns an input; returns all
    /// names.
    fn input_chain(
        &self,
        name: &'a str,
        next_input: fn(&'a NodeProto) -> Option<&'a String>,
    ) -> Vec<&'a str> {
        let mut names = vec![name];
        let mut last = name;
        // At most as many steps as there are tensors, should the nodes form a cycle.
        for _ in 0..self.producers.len() {
            let Some(input) = self.producers.get(last).copied().and_then(next_input) else { break };
            last = input;
            names.push(last);
        }
        names
    }

    /// Returns whether an output is the label of a classifier: strings, or integers that name the
    /// class with the largest score while the scores are an output, too.
    fn is_label(&self, output: &'a ValueInfoProto) -> bool {
        if output.element_type() == Some(STRING) {
            return true;
        }
        let input_chain = self.input_chain(&output.name, input_with_classes);
        let label_source = input_chain.last().copied().unwrap_or_default();
        let Some(node) = self.producers.get(label_source) else { return false };
        let names_labels = if is_classifier(node) {
            let [label, scores, ..] = &node.output[..] else { return false };
            label == label_source && self.read_names.contains(scores.as_str())
        } else {
            let values = node.input.first().filter(|_| is_standard(node, &["ArgMax"]));
            values.is_some_and(|values| self.scores.contains(values.as_str()))
        };
        is_discrete(output) && names_labels
    }
}

/// Returns the tensor whose largest element is at the same position as that of a node's output.
fn input_with_ranking(node: &NodeProto) -> Option<&String> {
    let keeps_ranking = is_standard(node, &SAME_ELEMENTS)
        || is_standard(node, &["LogSoftmax", "Softmax"])
        || is_ml_operator(node, &["Normalizer", "ZipMap"]);
    node.input.first().filter(|_| keeps_ranking)
}

/// Returns the tensor of the classes that a node passes on, under other names.
fn input_with_classes(node: &NodeProto) -> Option<&String> {
    if is_ml_operator(node, &["ArrayFeatureExtractor"]) {
        // Chooses names of classes by their positions.
        return node.input.get(1);
    }
    let keeps_classes =
        is_standard(node, &SAME_ELEMENTS) || is_ml_operator(node, &["LabelEncoder"]);
    node.input.first().filter(|_| keeps_classes)
}

/// Returns whether an output has integers or strings.
fn is_discrete(output: &ValueInfoProto) -> bool {
    output.element_type().is_some_and(|element| {
        element == STRING
            || matches!(DataType::try_from(element), Ok(DataType::Int32 | DataType::Int64))
    })
}

fn is_standard(node: &NodeProto, operators: &[&str]) -> bool {
    (node.domain.is_empty() || node.domain == "ai.onnx")
        && operators.contains(&node.op_type.as_str())
}

fn is_ml_operator(node: &NodeProto, operators: &[&str]) -> bool {
    node.domain == ML_DOMAIN && operators.contains(&node.op_type.as_str())
}

/// Returns the nodes on which the outputs depend. In the order of the standard, readers come later.
pub(super) fn needed_nodes(nodes: Vec<NodeProto>, outputs: &[String]) -> Vec<NodeProto> {
    let mut names: HashSet<String> = outputs.iter().cloned().collect();
    let is_needed = |node: &NodeProto| {
        let is_needed = node.output.iter().any(|name| names.contains(name));
        names.extend(node.input.iter().chain(node.captured_names()).filter(|_| is_needed).cloned());
        is_needed
    };
    let mut needed: Vec<NodeProto> = nodes.into_iter().rev().filter(is_needed).collect();
    needed.reverse();
    needed
}

impl ModelFile {
    /// Returns the tensors from the output of the last softmax to the output of the graph; none if
    /// there is no such softmax. Nothing else reads them, and they have the same values: only casts
    /// to floating-point types, changes of the shape, L1 normalisation (a division by 1) and
    /// operators without effect may follow the softmax. The softmax is omitted if it covers all
    /// elements.
    pub fn after_softmax(&self) -> Vec<&str> {
        // Several outputs keep their softmaxes.
        let [output] = &self.outputs[..] else { return Vec::new() };
        let (mut name, reader_counts, mut names, mut is_divided) =
            (output, self.reader_counts(), Vec::new(), false);
        // At most as many steps as there are nodes, should they form a cycle.
        for _ in &self.nodes {
            let node =
                self.nodes.iter().find(|node| !name.is_empty() && node.output.contains(name));
            let Some(node) = node.filter(|_| reader_counts.get(name.as_str()) == Some(&1)) else {
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
