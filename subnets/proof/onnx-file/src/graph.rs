//! Writes graphs as ONNX files.

use prost::Message;

use super::proto::{
    AttributeKind, AttributeProto, DataType, DimensionProto, DimensionValue, GraphProto,
    ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use super::rules::ML_DOMAIN;

const IR_VERSION: i64 = 8;
/// Version of the operator set for machine learning.
const ML_OPSET: i64 = 3;

/// An attribute of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// An integer.
    Int(&'a str, i64),
    /// A list of integers.
    Ints(&'a str, &'a [i64]),
    /// A floating-point number.
    Float(&'a str, f32),
    /// A list of floating-point numbers.
    Floats(&'a str, &'a [f32]),
    /// A string.
    String(&'a str, &'a str),
    /// A list of strings.
    Strings(&'a str, &'a [&'a str]),
}

/// A graph under construction. Tensors have names, which the graph gives.
#[derive(Debug)]
pub struct GraphWriter {
    graph: GraphProto,
    name_count: usize,
}

impl GraphWriter {
    /// Creates a graph with an input of integers.
    pub fn new(input: &str, dims: &[usize]) -> Self {
        let mut graph = GraphProto { name: "taonet".to_owned(), ..GraphProto::default() };
        graph.input.push(describe(input, DataType::Int64, dims));
        Self { graph, name_count: 0 }
    }

    /// Adds a constant of integers, and returns its name.
    pub fn integers(&mut self, dims: &[usize], values: impl IntoIterator<Item = i64>) -> String {
        let bytes = values.into_iter().flat_map(i64::to_le_bytes).collect();
        self.add_constant(DataType::Int64, dims, bytes)
    }

    /// Adds a constant of floating-point numbers, and returns its name.
    pub fn floats(&mut self, dims: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        self.add_constant(DataType::Float, dims, bytes)
    }

    fn add_constant(&mut self, kind: DataType, dims: &[usize], raw_data: Vec<u8>) -> String {
        let name = self.new_name();
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|&dim| dim.cast_signed() as i64).collect(),
            data_type: kind as i32,
            name: name.clone(),
            raw_data,
            ..TensorProto::default()
        });
        name
    }

    /// Adds a node, and returns the name of its output.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
    ) -> String {
        self.append_node("", operator, inputs, attributes)
    }

    /// Adds a node with an operator for machine learning, and returns the name of its output.
    pub fn ml_node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
    ) -> String {
        self.append_node(ML_DOMAIN, operator, inputs, attributes)
    }

    /// Adds an output to the last node, such as the scores of a classifier after its label, and
    /// returns its name.
    pub fn add_output(&mut self) -> String {
        let name = self.new_name();
        if let Some(node) = self.graph.node.last_mut() {
            node.output.push(name.clone());
        }
        name
    }

    fn append_node(
        &mut self,
        domain: &str,
        operator: &str,
        inputs: &[&str],
        attributes: &[Attribute<'_>],
    ) -> String {
        let name = self.new_name();
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![name.clone()],
            op_type: operator.to_owned(),
            domain: domain.to_owned(),
            attribute: attributes.iter().map(|attribute| attribute.proto()).collect(),
            ..NodeProto::default()
        });
        name
    }

    /// Returns the file of the graph in a version of the operator set. The last node's output
    /// becomes the output of the graph, with this name and these dimensions; `is_integer` is the
    /// type of its elements.
    pub fn finish(mut self, output: &str, dims: &[usize], is_integer: bool, opset: i64) -> Vec<u8> {
        let kind = if is_integer { DataType::Int64 } else { DataType::Float };
        self.graph.output.push(describe(output, kind, dims));
        if let Some(node) = self.graph.node.last_mut() {
            node.output = vec![output.to_owned()];
        }
        let mut opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
        if self.graph.node.iter().any(|node| node.domain == ML_DOMAIN) {
            let domain = ML_DOMAIN.to_owned();
            opset_import.push(OperatorSetIdProto { domain, version: ML_OPSET });
        }
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "taonet".to_owned(),
            graph: Some(self.graph),
            opset_import,
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }

    fn new_name(&mut self) -> String {
        self.name_count += 1;
        format!("t{}", self.name_count)
    }
}

impl Attribute<'_> {
    fn proto(self) -> AttributeProto {
        let empty = AttributeProto::default();
        match self {
            Self::Int(name, i) => {
                AttributeProto { name: name.into(), i, kind: AttributeKind::Int as i32, ..empty }
            }
            Self::Ints(name, ints) => AttributeProto {
                name: name.into(),
                ints: ints.to_vec(),
                kind: AttributeKind::Ints as i32,
                ..empty
            },
            Self::Float(name, f) => {
                AttributeProto { name: name.into(), f, kind: AttributeKind::Float as i32, ..empty }
            }
            Self::Floats(name, floats) => AttributeProto {
                name: name.into(),
                floats: floats.to_vec(),
                kind: AttributeKind::Floats as i32,
                ..empty
            },
            Self::Strings(name, strings) => AttributeProto {
                name: name.into(),
                strings: strings.iter().map(|string| string.as_bytes().to_vec()).collect(),
                kind: AttributeKind::Strings as i32,
                ..empty
            },
            Self::String(name, string) => {
                let s = string.as_bytes().to_vec();
                AttributeProto { name: name.into(), s, kind: AttributeKind::String as i32, ..empty }
            }
        }
    }
}

fn describe(name: &str, kind: DataType, dims: &[usize]) -> ValueInfoProto {
    let size =
        |dim: usize| DimensionProto { value: Some(DimensionValue::Size(dim.cast_signed() as i64)) };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(|&dim| size(dim)).collect() });
    let tensor = TensorTypeProto { element: kind as i32, shape };
    ValueInfoProto { name: name.to_owned(), kind: Some(TypeProto { tensor: Some(tensor) }) }
}
