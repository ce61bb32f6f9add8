//! Protobuf messages of the ONNX format, with the field numbers of its published schema.

use prost::{Enumeration, Message, Oneof};

/// A model file.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// Version of the format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Program that wrote the file.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// The nodes and weights.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Versions of the operator sets that the nodes use.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Functions of the model, which could redefine an operator; not decoded.
    #[prost(bytes = "vec", repeated, tag = "25")]
    pub functions: Vec<Vec<u8>>,
}

/// An operator set and its version.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSetIdProto {
    /// Domain of the operators; empty for the standard ones.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Version of the operator set.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// Nodes with their inputs, outputs and weights.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// The nodes, each after those whose outputs it reads.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name of the graph.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Weights.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Inputs; those that have a weight of the same name are none.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Sparse weights; not decoded.
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub sparse_initializer: Vec<Vec<u8>>,
}

/// Application of an operator.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Names of the tensors that the node reads; empty for an omitted one.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the tensors that the node computes; empty for an omitted one.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Attributes.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Domain of the operator; empty for a standard one.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// An attribute of a node, of which one field has the value.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Name of the attribute.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// An integer.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// A string.
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    /// A tensor.
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    /// A graph: a branch.
    #[prost(message, optional, boxed, tag = "6")]
    pub g: Option<Box<GraphProto>>,
    /// Numbers.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// Integers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Strings.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// Field that has the value: an [`AttributeKind`].
    #[prost(int32, tag = "20")]
    pub kind: i32,
    /// Attribute of a function to which this one refers.
    #[prost(string, tag = "21")]
    pub ref_attr_name: String,
}

/// A constant tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Dimensions.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// Type of the elements: a [`DataType`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Elements in single precision.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements of types of up to 32 bits, and bits of those in half precision.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements of 64 bits.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name of the tensor.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Elements as bytes, the lowest first.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    /// Elements in double precision.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Elements of 32 and 64 bits without a sign.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Location of the elements, if they are in another file.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// 1 if the elements are in another file.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// A key of a list of properties.
#[derive(Clone, PartialEq, Message)]
pub struct StringStringEntryProto {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
}

/// Name and type of an input or output.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// Name of the tensor.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Type of the tensor.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<TypeProto>,
}

/// Type of a value.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// Type of a tensor; absent for other values, such as maps.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorTypeProto>,
}

/// Type of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    /// Type of the elements: a [`DataType`].
    #[prost(int32, tag = "1")]
    pub element: i32,
    /// Dimensions, if they are known.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// Dimensions of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// The dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// A dimension.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    /// Extent, if it is known.
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
}

/// Extent of a dimension.
#[derive(Clone, PartialEq, Oneof)]
pub enum DimensionValue {
    /// A fixed extent.
    #[prost(int64, tag = "1")]
    Size(i64),
    /// A symbolic dimension, such as the size of a batch.
    #[prost(string, tag = "2")]
    Name(String),
}

/// Element types of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// No type.
    Undefined = 0,
    /// Single precision.
    Float = 1,
    /// Integers of 8 bits without a sign.
    Uint8 = 2,
    /// Integers of 8 bits.
    Int8 = 3,
    /// Integers of 16 bits without a sign.
    Uint16 = 4,
    /// Integers of 16 bits.
    Int16 = 5,
    /// Integers of 32 bits.
    Int32 = 6,
    /// Integers of 64 bits.
    Int64 = 7,
    /// Conditions.
    Bool = 9,
    /// Half precision.
    Float16 = 10,
    /// Double precision.
    Double = 11,
    /// Integers of 32 bits without a sign.
    Uint32 = 12,
    /// Integers of 64 bits without a sign.
    Uint64 = 13,
    /// Half precision with the exponent of single precision.
    Bfloat16 = 16,
}

impl DataType {
    /// Returns the number of bytes of an element; 0 for no type.
    pub fn size(self) -> usize {
        match self {
            Self::Undefined => 0,
            Self::Bool | Self::Int8 | Self::Uint8 => 1,
            Self::Bfloat16 | Self::Float16 | Self::Int16 | Self::Uint16 => 2,
            Self::Float | Self::Int32 | Self::Uint32 => 4,
            Self::Double | Self::Int64 | Self::Uint64 => 8,
        }
    }

    /// Returns the smallest and the largest integer of a type; `None` if its elements are no
    /// integers. Of those without a sign, integers of 64 bits have the largest one of those with a
    /// sign.
    pub fn integer_range(self) -> Option<[i64; 2]> {
        Some(match self {
            Self::Int8 => [i8::MIN.into(), i8::MAX.into()],
            Self::Int16 => [i16::MIN.into(), i16::MAX.into()],
            Self::Int32 => [i32::MIN.into(), i32::MAX.into()],
            Self::Int64 => [i64::MIN, i64::MAX],
            Self::Uint8 => [0, u8::MAX.into()],
            Self::Uint16 => [0, u16::MAX.into()],
            Self::Uint32 => [0, u32::MAX.into()],
            Self::Uint64 => [0, i64::MAX],
            Self::Bfloat16
            | Self::Bool
            | Self::Double
            | Self::Float
            | Self::Float16
            | Self::Undefined => return None,
        })
    }
}

/// Attribute kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum AttributeKind {
    /// No kind.
    Undefined = 0,
    /// A number.
    Float = 1,
    /// An integer.
    Int = 2,
    /// A string.
    String = 3,
    /// A tensor.
    Tensor = 4,
    /// A graph.
    Graph = 5,
    /// Numbers.
    Floats = 6,
    /// Integers.
    Ints = 7,
    /// Strings.
    Strings = 8,
}

impl ValueInfoProto {
    /// Returns the tensor's dimensions, each `None` if it is unknown.
    pub fn dimensions(&self) -> Option<Vec<Option<&DimensionValue>>> {
        let shape = self.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?;
        Some(shape.dim.iter().map(|dimension| dimension.value.as_ref()).collect())
    }

    /// Returns the type of the tensor's elements.
    pub fn element_type(&self) -> Option<i32> {
        Some(self.kind.as_ref()?.tensor.as_ref()?.element)
    }
}

impl NodeProto {
    /// Describes the node for error messages.
    pub fn describe(&self) -> String {
        let name = if self.name.is_empty() {
            self.output.first().map_or("", String::as_str)
        } else {
            &self.name
        };
        format!("{} '{name}'", self.op_type)
    }

    /// Iterates over the names that the node's branches read, among them names of their own.
    pub fn captured_names(&self) -> impl Iterator<Item = &String> {
        let graphs = self.attribute.iter().filter_map(|attribute| attribute.g.as_deref());
        graphs.flat_map(|graph| {
            let outputs = graph.output.iter().map(|output| &output.name);
            graph.node.iter().flat_map(|node| &node.input).chain(outputs)
        })
    }

    /// Returns an attribute; `None` if the node does not have it.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// Returns the integer of an attribute, or a default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    /// Returns the number of an attribute, or a default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |attribute| attribute.f)
    }

    /// Returns the integers of an attribute.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    /// Returns the numbers of an attribute.
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        self.attribute(name).map(|attribute| attribute.floats.as_slice())
    }

    /// Returns the value of a string attribute.
    pub fn text(&self, name: &str) -> Option<&[u8]> {
        self.attribute(name).map(|attribute| attribute.s.as_slice())
    }
}
