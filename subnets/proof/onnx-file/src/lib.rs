//! ONNX files: decoded, checked, and evaluated as the ONNX standard defines.
//!
//! [`ModelFile::decode`] reads a file that is not trusted: it limits sizes and counts before it
//! allocates, and rejects weights whose data do not match their dimensions. [`rules`] lists the
//! operators that the compiler supports, with their inputs and attributes; an attribute or input
//! that is not listed is refused, because it could change the meaning of its node. Every error
//! names the node, the tensor or the part of the file.
//!
//! [`ModelFile::evaluate`] computes the outputs node by node in double precision. It is the
//! reference with which `taonet-proof-onnx` compares the networks that it builds, and therefore
//! shares no more with that crate than the attributes of nodes. It rounds nowhere where a file in
//! half precision would.
//!
//! ```no_run
//! use taonet_proof_onnx_file::ModelFile;
//!
//! # fn example(bytes: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let file = ModelFile::decode(bytes)?;
//! println!("{:?}", file.evaluate(&[1.0, 2.0])?.outputs);
//! # Ok(())
//! # }
//! ```
//!
//! [`GraphWriter`] writes files. Pure: no clock, no I/O, no randomness. Files of weights beside the
//! model, functions, and maps are not read.
//!
//! Uses `taonet-proof-core`. Used by `taonet-proof-onnx`.
#![allow(
    clippy::missing_errors_doc,
    reason = "every error is an OnnxError, which names the node and says why"
)]

pub mod attributes;
pub mod branch;
pub mod dims;
pub mod einsum;
pub mod ensemble;
mod error;
mod evaluate;
mod graph;
mod limits;
mod outputs;
pub mod proto;
pub mod recurrent;
pub mod rules;
pub mod support_vectors;
pub mod tensor;
pub mod transposed;
pub mod types;
pub mod window;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use prost::Message;
use taonet_proof_core::float::ElementType;

pub use error::{OnnxError, invalid_shape, unsupported};
pub use evaluate::{Evaluation, evaluate_constants};
pub use graph::{Attribute, GraphWriter};
use proto::{DataType, DimensionValue, ModelProto, NodeProto, ValueInfoProto};
use tensor::Constant;
use types::element_type;

/// Maximum size of a model file, in bytes.
pub const MAX_BYTES: usize = 1 << 30;
/// Maximum number of nodes of a graph.
pub const MAX_NODES: usize = 4096;
/// Maximum number of weights and biases of all nodes; a weight that several nodes read counts for
/// each of them. Enough for a language model of 135 million weights, whose embeddings count twice.
pub const MAX_PARAMETERS: u64 = 3 << 26;
/// Maximum number of integers in a list that is not data, such as axes, a shape, or the parts of a
/// Split.
pub const MAX_LIST: usize = MAX_NODES;
/// Maximum number of dimensions of a tensor.
pub const MAX_RANK: usize = 32;
/// Maximum number of elements that all nodes together compute: each takes 32 bytes of the 2 GiB
/// that a network may take.
pub const MAX_COMPUTED_ELEMENTS: u64 = 1 << 26;
/// Supported versions of the standard operator set.
pub const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;
/// The largest value that stands for minus infinity in an attention mask: exporters write -10 000
/// and less.
pub const MASKED: f32 = -9_999.0;
/// Range of the integers of QuantizeLinear without a zero point, whose type is then uint8.
pub const UINT8_RANGE: [i64; 2] = [0, 255];

/// Options for reading a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Extents of symbolic dimensions of the inputs, by name.
    pub dimensions: BTreeMap<String, usize>,
    /// Names of the outputs to compute; empty for all but the labels of classifiers, which the
    /// scores determine.
    pub outputs: Vec<String>,
}

/// An input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelInput {
    /// Name of the tensor.
    pub name: String,
    /// Dimensions, batch included.
    pub dims: Vec<usize>,
    /// Type of the elements.
    pub element_type: ElementType,
}

impl ModelInput {
    /// Returns the number of elements.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }
}

/// A decoded ONNX model.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// The nodes on which the outputs depend, in the order of the file.
    pub nodes: Vec<NodeProto>,
    /// Weights of the file, by name.
    pub constants: HashMap<String, Arc<Constant>>,
    /// Inputs that are not weights; at least one.
    pub inputs: Vec<ModelInput>,
    /// Names of the outputs; at least one.
    pub outputs: Vec<String>,
    /// Integers that each weight of 8 bits can have, by name.
    pub int8_ranges: HashMap<String, [i64; 2]>,
    /// Version of the standard operator set.
    pub opset: i64,
    /// Human-readable notes on what was omitted.
    pub notes: Vec<String>,
}

impl ModelFile {
    /// Decodes an ONNX model file and its weights.
    ///
    /// # Errors
    /// When the file is malformed or too large, or an input has no fixed dimensions.
    pub fn decode(bytes: &[u8]) -> Result<Self, OnnxError> {
        Self::decode_with(bytes, &ReadOptions::default())
    }

    /// Decodes an ONNX model file with options.
    ///
    /// # Errors
    /// When the file is malformed or too large, an input has a dimension without an extent, or the
    /// model has no symbolic dimension or output with a name that the options have.
    pub fn decode_with(bytes: &[u8], options: &ReadOptions) -> Result<Self, OnnxError> {
        if bytes.len() > MAX_BYTES {
            return Err(OnnxError::TooLong(bytes.len()));
        }
        if !limits::is_within_limits(bytes) {
            return Err(OnnxError::Parts);
        }
        let mut model =
            ModelProto::decode(bytes).map_err(|error| OnnxError::Malformed(error.to_string()))?;
        let graph =
            model.graph.take().ok_or_else(|| OnnxError::Malformed("no graph".to_owned()))?;
        let opset = opset(&model)?;
        if !model.functions.is_empty() {
            return Err(OnnxError::Feature("functions of its own"));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err(OnnxError::Feature("sparse weights"));
        }
        if graph.node.len() > MAX_NODES {
            return Err(OnnxError::Nodes(graph.node.len()));
        }
        let (mut constants, mut int8_ranges) = (HashMap::new(), HashMap::new());
        for weight in &graph.initializer {
            int8_ranges.extend(
                tensor::byte_range(weight.data_type).map(|range| (weight.name.clone(), range)),
            );
            let constant = Arc::new(Constant::parse(weight)?);
            if constants.insert(weight.name.clone(), constant).is_some() {
                return Err(OnnxError::Duplicate(weight.name.clone()));
            }
        }
        let inputs: Vec<&ValueInfoProto> =
            graph.input.iter().filter(|input| !constants.contains_key(&input.name)).collect();
        check_dimension_names(&options.dimensions, &inputs)?;
        let inputs = inputs
            .iter()
            .map(|input| model_input(input, &options.dimensions))
            .collect::<Result<Vec<_>, _>>()?;
        let interface_error =
            || OnnxError::Interface { inputs: inputs.len(), outputs: graph.output.len() };
        if inputs.is_empty() {
            return Err(interface_error());
        }
        let outputs::SelectedOutputs { outputs, notes } =
            outputs::select_outputs(&graph, &options.outputs)?;
        if outputs.is_empty() {
            return Err(interface_error());
        }
        // Nodes that compute omitted outputs only can have operators that are unsupported.
        let nodes =
            if notes.is_empty() { graph.node } else { outputs::needed_nodes(graph.node, &outputs) };
        Ok(Self { nodes, constants, inputs, outputs, int8_ranges, opset, notes })
    }

    /// Returns the number of elements of all inputs.
    pub fn input_elements(&self) -> usize {
        self.inputs.iter().map(ModelInput::elements).sum()
    }

    /// Returns the number of nodes that read each name, including the graph's outputs.
    pub fn reader_counts(&self) -> HashMap<&str, usize> {
        let mut counts = HashMap::new();
        let node_inputs =
            self.nodes.iter().flat_map(|node| node.input.iter().chain(node.captured_names()));
        for name in node_inputs.chain(&self.outputs) {
            *counts.entry(name.as_str()).or_default() += 1;
        }
        counts
    }

    /// Returns the names that only a softmax reads: among them, values far below the others do not
    /// matter.
    pub fn softmax_arguments(&self) -> HashSet<&str> {
        let is_softmax =
            |node: &&NodeProto| matches!(node.op_type.as_str(), "Softmax" | "LogSoftmax");
        let (softmaxes, others): (Vec<&NodeProto>, Vec<&NodeProto>) =
            self.nodes.iter().partition(is_softmax);
        let mut names: HashSet<&str> =
            softmaxes.into_iter().flat_map(|node| &node.input).map(String::as_str).collect();
        let other_names =
            others.into_iter().flat_map(|node| node.input.iter().chain(node.captured_names()));
        for name in other_names.chain(&self.outputs) {
            names.remove(name.as_str());
        }
        names
    }
}

/// Returns the version of the standard operator set.
fn opset(model: &ModelProto) -> Result<i64, OnnxError> {
    let standard =
        model.opset_import.iter().filter(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    let version = standard.map(|set| set.version).max().unwrap_or_default();
    // A file with tree operators only need not import the standard operator set.
    let has_standard = model.opset_import.iter().any(|set| set.domain != rules::ML_DOMAIN);
    let version =
        if has_standard || model.opset_import.is_empty() { version } else { *OPSETS.end() };
    if OPSETS.contains(&version) { Ok(version) } else { Err(OnnxError::Opset(version)) }
}

/// Refuses names of dimensions that no input has.
fn check_dimension_names(
    dimensions: &BTreeMap<String, usize>,
    inputs: &[&ValueInfoProto],
) -> Result<(), OnnxError> {
    let all_names: BTreeSet<&str> = inputs
        .iter()
        .flat_map(|input| input.dimensions().unwrap_or_default())
        .filter_map(|dimension| match dimension {
            Some(DimensionValue::Name(name)) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    match dimensions.keys().find(|name| !all_names.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let names = if all_names.is_empty() {
                "none".to_owned()
            } else {
                all_names.into_iter().collect::<Vec<_>>().join(", ")
            };
            Err(OnnxError::UnknownDimension { name: name.clone(), known: names })
        }
    }
}

/// Parses the dimensions and the type of an input. An unknown batch size is 1.
fn model_input(
    input: &ValueInfoProto,
    dimensions: &BTreeMap<String, usize>,
) -> Result<ModelInput, OnnxError> {
    let shape_error = || OnnxError::InputShape(input.name.clone());
    let kind = input.element_type().and_then(|element| DataType::try_from(element).ok());
    let kind = kind.filter(|&kind| kind != DataType::Undefined).ok_or_else(shape_error)?;
    let declared_dims = input.dimensions().ok_or_else(shape_error)?;
    let rank = declared_dims.len();
    let mut dims = Vec::with_capacity(rank);
    for (index, dimension) in declared_dims.into_iter().enumerate() {
        // A single dimension is not a batch.
        let is_batch = index == 0 && rank > 1;
        dims.push(match dimension {
            Some(&DimensionValue::Size(size)) => {
                usize::try_from(size).map_err(|_| shape_error())?
            }
            Some(DimensionValue::Name(name)) => match dimensions.get(name) {
                Some(&extent) => extent,
                None if is_batch => 1,
                None => {
                    return Err(OnnxError::Dimension {
                        input: input.name.clone(),
                        index,
                        name: name.clone(),
                    });
                }
            },
            None if is_batch => 1,
            None => return Err(shape_error()),
        });
    }
    if rank > MAX_RANK {
        return Err(OnnxError::Rank(input.name.clone()));
    }
    let shape = dims::shape(&dims);
    shape.map_err(|source| OnnxError::Shape { node: format!("input '{}'", input.name), source })?;
    Ok(ModelInput { name: input.name.clone(), dims, element_type: element_type(kind) })
}
