//! The graph of an ONNX file, as far as [`crate::decoder`] needs it. A part that this crate cannot
//! read is `None`.

use std::collections::HashMap;

use super::{Value, take_field, take_integer};

/// Numbers of the fields that are read, by message.
mod field {
    pub(super) const MODEL_GRAPH: u64 = 7;
    pub(super) const GRAPH_NODE: u64 = 1;
    pub(super) const GRAPH_TENSOR: u64 = 5;
    pub(super) const NODE_INPUT: u64 = 1;
    pub(super) const NODE_OUTPUT: u64 = 2;
    pub(super) const NODE_OPERATOR: u64 = 4;
    pub(super) const NODE_ATTRIBUTE: u64 = 5;
    pub(super) const ATTRIBUTE_NAME: u64 = 1;
    pub(super) const ATTRIBUTE_FLOAT: u64 = 2;
    pub(super) const ATTRIBUTE_INTEGER: u64 = 3;
    pub(super) const ATTRIBUTE_TEXT: u64 = 4;
    pub(super) const ATTRIBUTE_TENSOR: u64 = 5;
    pub(super) const ATTRIBUTE_INTEGERS: u64 = 8;
    pub(super) const TENSOR_SHAPE: u64 = 1;
    pub(super) const TENSOR_TYPE: u64 = 2;
    pub(super) const TENSOR_FLOATS: u64 = 4;
    pub(super) const TENSOR_NAME: u64 = 8;
    pub(super) const TENSOR_BYTES: u64 = 9;
}

/// ONNX's code of tensors of f32.
const FLOAT: u64 = 1;
/// Maximum number of nodes and constants: in memory they are larger than the shortest ones are in a
/// file. Published voices have 5 000.
const MAX_NODES_AND_CONSTANTS: usize = 1 << 17;
/// Maximum number of inputs, outputs and attributes of a node.
const MAX_FIELDS: usize = 1 << 10;
/// Maximum number of integers of an attribute.
const MAX_INTEGERS: usize = 1 << 10;

/// The nodes of a graph, in their order of execution, and its constants.
#[derive(Debug, Default)]
pub(crate) struct Graph<'a> {
    pub(crate) nodes: Vec<Node<'a>>,
    /// Messages of constant tensors, by name.
    constants: HashMap<&'a str, &'a [u8]>,
}

/// A node of a graph.
#[derive(Debug, Default)]
pub(crate) struct Node<'a> {
    pub(crate) operator: &'a str,
    pub(crate) inputs: Vec<&'a str>,
    pub(crate) outputs: Vec<&'a str>,
    attributes: HashMap<&'a str, Attribute<'a>>,
}

/// The value of an attribute. Only the field of its type is set.
#[derive(Debug, Default)]
struct Attribute<'a> {
    float: Option<f32>,
    integer: Option<u64>,
    text: Option<&'a [u8]>,
    integers: Vec<u64>,
    tensor: Option<&'a [u8]>,
}

/// A tensor of f32.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FloatTensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl<'a> Graph<'a> {
    /// Reads the graph of a file.
    pub(crate) fn parse(file: &'a [u8]) -> Option<Self> {
        let message = first_bytes_field(file, field::MODEL_GRAPH)?;
        let mut graph = Self::default();
        for field in fields(message) {
            if graph.nodes.len() + graph.constants.len() > MAX_NODES_AND_CONSTANTS {
                return None;
            }
            match field? {
                (field::GRAPH_NODE, Value::Bytes(message)) => {
                    let node = Node::parse(message)?;
                    let tensor = node.attributes.get("value").and_then(|value| value.tensor);
                    match (node.operator, &*node.outputs, tensor) {
                        ("Constant", [output], Some(tensor)) => {
                            graph.constants.insert(output, tensor);
                        }
                        _ => graph.nodes.push(node),
                    }
                }
                (field::GRAPH_TENSOR, Value::Bytes(message)) => {
                    graph.constants.insert(tensor_name(message)?, message);
                }
                _ => {}
            }
        }
        Some(graph)
    }

    /// Returns a constant of f32.
    pub(crate) fn floats(&self, name: &str) -> Option<FloatTensor> {
        FloatTensor::parse(self.constants.get(name)?)
    }
}

impl<'a> Node<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        let mut node = Self::default();
        for (index, field) in fields(message).enumerate() {
            if index == MAX_FIELDS {
                return None;
            }
            match field? {
                (field::NODE_INPUT, Value::Bytes(name)) => node.inputs.push(text(name)?),
                (field::NODE_OUTPUT, Value::Bytes(name)) => node.outputs.push(text(name)?),
                (field::NODE_OPERATOR, Value::Bytes(name)) => node.operator = text(name)?,
                (field::NODE_ATTRIBUTE, Value::Bytes(message)) => {
                    let (name, attribute) = Attribute::parse(message)?;
                    node.attributes.insert(name, attribute);
                }
                _ => {}
            }
        }
        Some(node)
    }

    /// Returns whether the node has an attribute.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.attributes.contains_key(name)
    }

    /// Returns an attribute of type float, or `default` without it.
    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.attributes.get(name).and_then(|attribute| attribute.float).unwrap_or(default)
    }

    /// Returns an attribute of type integer, or `default` without it.
    pub(crate) fn integer(&self, name: &str, default: usize) -> Option<usize> {
        self.attributes.get(name).map_or(Some(default), |attribute| to_size(attribute.integer?))
    }

    /// Returns an attribute of `N` integers, or `default` without it.
    pub(crate) fn integers<const N: usize>(
        &self,
        name: &str,
        default: [usize; N],
    ) -> Option<[usize; N]> {
        self.attributes
            .get(name)
            .map_or(Some(default), |attribute| to_sizes(&attribute.integers)?.try_into().ok())
    }

    /// Returns an attribute of type text.
    pub(crate) fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.attributes.get(name)?.text
    }
}

impl<'a> Attribute<'a> {
    /// Returns the name and the value.
    fn parse(message: &'a [u8]) -> Option<(&'a str, Self)> {
        let (mut name, mut attribute) = ("", Self::default());
        for field in fields(message) {
            match field? {
                (field::ATTRIBUTE_NAME, Value::Bytes(bytes)) => name = text(bytes)?,
                (field::ATTRIBUTE_FLOAT, Value::Fixed(bytes)) => {
                    attribute.float = Some(f32::from_le_bytes(bytes));
                }
                (field::ATTRIBUTE_INTEGER, Value::Integer(integer)) => {
                    attribute.integer = Some(integer);
                }
                (field::ATTRIBUTE_TEXT, Value::Bytes(bytes)) => attribute.text = Some(bytes),
                (field::ATTRIBUTE_TENSOR, Value::Bytes(bytes)) => attribute.tensor = Some(bytes),
                (field::ATTRIBUTE_INTEGERS, value) => {
                    take_integers(value, &mut attribute.integers)?;
                }
                _ => {}
            }
        }
        Some((name, attribute))
    }
}

impl FloatTensor {
    /// Reads a tensor. `None` if it has another type, or its values are in another file.
    fn parse(message: &[u8]) -> Option<Self> {
        let (mut shape, mut values, mut element_type) = (Vec::new(), Vec::new(), None);
        for field in fields(message) {
            match field? {
                (field::TENSOR_SHAPE, value) => take_integers(value, &mut shape)?,
                (field::TENSOR_TYPE, Value::Integer(code)) => element_type = Some(code),
                (field::TENSOR_FLOATS, Value::Fixed(bytes)) => {
                    values.push(f32::from_le_bytes(bytes));
                }
                (field::TENSOR_FLOATS | field::TENSOR_BYTES, Value::Bytes(bytes)) => {
                    values.extend(
                        bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)),
                    );
                }
                _ => {}
            }
        }
        let shape = to_sizes(&shape)?;
        let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))?;
        (element_type == Some(FLOAT) && values.len() == count).then_some(Self { shape, values })
    }
}

fn tensor_name(message: &[u8]) -> Option<&str> {
    text(first_bytes_field(message, field::TENSOR_NAME)?)
}

/// Returns the bytes of the first field of this number.
fn first_bytes_field(message: &[u8], field_number: u64) -> Option<&[u8]> {
    for field in fields(message) {
        match field? {
            (number, Value::Bytes(bytes)) if number == field_number => return Some(bytes),
            _ => {}
        }
    }
    None
}

/// Returns the fields of a message, their numbers and values, up to one that cannot be read, which
/// is `None`.
fn fields(mut message: &[u8]) -> impl Iterator<Item = Option<(u64, Value<'_>)>> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let field = take_field(&mut message).ok();
        if field.is_none() {
            message = &[];
        }
        Some(field)
    })
}

/// Adds a field's integer, or its packed integers, up to [`MAX_INTEGERS`] in all.
fn take_integers(value: Value<'_>, integers: &mut Vec<u64>) -> Option<()> {
    match value {
        _ if integers.len() >= MAX_INTEGERS => return None,
        Value::Integer(integer) => integers.push(integer),
        Value::Bytes(mut bytes) => {
            while !bytes.is_empty() {
                if integers.len() >= MAX_INTEGERS {
                    return None;
                }
                integers.push(take_integer(&mut bytes).ok()?);
            }
        }
        _ => return None,
    }
    Some(())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Returns an integer as a size, or `None` if it is negative.
fn to_size(integer: u64) -> Option<usize> {
    usize::try_from(integer.cast_signed()).ok()
}

fn to_sizes(integers: &[u64]) -> Option<Vec<usize>> {
    integers.iter().map(|integer| to_size(*integer)).collect()
}
