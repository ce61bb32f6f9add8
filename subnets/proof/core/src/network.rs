//! The quantised integer network, published by a model owner.

mod lower;

pub use lower::lowered_bytes;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Digest, MemoryError, Range, Rescale, Shape, ShapeError, Window};

/// The version of the file format of most networks.
pub const FORMAT: u32 = 1;
/// The version of networks with a sum over a choice, such as a token's one-hot vector, of which at
/// most one element is not 0: the interval of the sum is that of its largest product. Files have
/// the same fields.
pub const CHOICES_FORMAT: u32 = 2;
/// All supported versions.
const FORMATS: [u32; 2] = [FORMAT, CHOICES_FORMAT];
/// Maximum size of a network file, in bytes.
pub const MAX_BYTES: usize = 320 << 20;
/// Maximum number of layers of a network.
pub const MAX_LAYERS: usize = 4096;
/// Maximum number of multiply-adds of one execution.
pub const MAX_MULTIPLY_ADDS: u64 = 1 << 32;
/// Maximum number of values of a table: enough for numbers of 17 bits and a sign.
pub const MAX_TABLE: usize = 1 << 18;
/// Maximum magnitude of any sum for any input.
pub const MAX_SUM: u64 = 1 << 56;

/// A quantised network: integers only, so every machine computes the same values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The version of the format: [`FORMAT`] or [`CHOICES_FORMAT`].
    pub format: u32,
    /// Input of the network.
    pub input: Input,
    /// Layers, each of which reads earlier tensors. The last one is the output.
    pub layers: Vec<Layer>,
}

/// Input of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Extents of the tensor.
    pub shape: Shape,
    /// Interval of every value.
    pub range: Range,
    /// Scale: the real number is the integer divided by `2^scale`.
    pub scale: i32,
}

/// A layer of the integer network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Tensors that the layer reads: 0 is the network's input, `n` is the output of layer `n - 1`.
    pub inputs: Vec<u32>,
    /// Operation of the layer.
    pub operation: Operation,
    /// Conversion of sums to activations. Absent if the sums are the output, and for max pooling,
    /// tables and moves.
    pub rescale: Option<Rescale>,
    /// Scale of the output: the real number is the integer divided by `2^scale`.
    pub scale: i32,
}

/// Operation of a [`Layer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// A matrix product with the flattened input.
    Dense {
        /// Weights, one row for each output.
        weights: Vec<i32>,
        /// Biases, one for each output.
        bias: Vec<i64>,
    },
    /// A two-dimensional convolution.
    Convolution {
        /// Kernel, stride and padding.
        window: Window,
        /// Number of channel groups that are convolved separately.
        groups: usize,
        /// Weights by output channel, input channel within the group, row and column.
        weights: Vec<i32>,
        /// Biases, one for each output channel.
        bias: Vec<i64>,
    },
    /// The weighted sum of tensors of one shape.
    Sum {
        /// One factor for each input.
        factors: Vec<i32>,
    },
    /// Max pooling: the largest value in a window.
    MaxPool {
        /// Kernel, stride and padding; padded positions are ignored.
        window: Window,
    },
    /// An element-wise function, given by its values.
    Table {
        /// Argument of the first value. The values must cover the interval of the input tensor.
        low: i64,
        /// Values for consecutive arguments.
        values: Vec<i32>,
    },
    /// Elements of the inputs in another order, which no circuit computes: it only reads other
    /// cells.
    Move {
        /// Extents of the output.
        shape: Shape,
        /// For each output, a position in the elements of all inputs, one input after the other.
        /// The position after the last element stands for `constant`.
        indices: Vec<u32>,
        /// Value of the outputs that are not an element of an input: padding.
        constant: i64,
    },
    /// The element-wise product of two tensors of one shape.
    Product,
    /// Products of the matrices of two tensors, whose elements are read in order.
    MatrixProduct(Matrices),
}

impl Operation {
    /// Returns whether the operation only adds.
    pub fn only_adds(&self) -> bool {
        match self {
            Self::Sum { .. } => true,
            Self::Convolution { weights, bias, .. } => {
                weights.iter().all(|&weight| weight == 1) && bias.iter().all(|&bias| bias == 0)
            }
            _ => false,
        }
    }
}

/// Sizes of pairs of matrices: the first of each pair has `rows` × `inner` elements, the second
/// `inner` × `columns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrices {
    /// Number of pairs.
    pub count: usize,
    /// Number of rows of the product.
    pub rows: usize,
    /// Number of columns of the first and of rows of the second matrix.
    pub inner: usize,
    /// Number of columns of the product.
    pub columns: usize,
}

impl Matrices {
    /// Returns the shape of the products, if both operands have as many elements as the matrices.
    ///
    /// # Errors
    /// When the sizes exceed the limits of a shape; `Ok(None)` when they do not fit the operands.
    pub fn shape(&self, operands: [Shape; 2]) -> Result<Option<Shape>, ShapeError> {
        let sides = [[self.rows, self.inner], [self.inner, self.columns]];
        for ([rows, columns], operand) in sides.into_iter().zip(operands) {
            if Shape::new(self.count, rows, columns)?.elements() != operand.elements() {
                return Ok(None);
            }
        }
        Shape::new(self.count, self.rows, self.columns).map(Some)
    }

    /// Returns the number of multiply-adds.
    pub fn multiply_adds(&self) -> u64 {
        [self.count, self.rows, self.inner, self.columns]
            .iter()
            .fold(1, |product, &size| product * size as u64)
    }
}

/// Why a network is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The bytes are not a network.
    #[error("malformed network file: {0}")]
    Malformed(String),
    /// The file is longer than [`MAX_BYTES`].
    #[error("the network file has {0} bytes, more than the maximum of {MAX_BYTES}")]
    TooLong(usize),
    /// The format is unsupported.
    #[error(
        "unsupported network format {0}, expected {FORMAT} or {CHOICES_FORMAT}; hint: compile the model again"
    )]
    Format(u32),
    /// There are no layers, or more than [`MAX_LAYERS`].
    #[error("unsupported number of layers {0}, expected 1 to {MAX_LAYERS}")]
    Layers(usize),
    /// The input's range is empty, or exceeds [`MAX_SUM`].
    #[error("input range {}..={} is empty or too large", .0.low, .0.high)]
    InputRange(Range),
    /// A layer reads a tensor that no earlier layer produces.
    #[error("layer {layer} reads tensor {tensor}, which no earlier layer produces")]
    Order {
        /// Index of the layer.
        layer: usize,
        /// Index of the tensor that the layer reads.
        tensor: u32,
    },
    /// A layer has the wrong number of inputs.
    #[error("layer {layer}: unsupported number of inputs ({inputs}) for its operation")]
    Arity {
        /// Index of the layer.
        layer: usize,
        /// Number of inputs.
        inputs: usize,
    },
    /// Inputs of a sum or product differ in shape.
    #[error("layer {0} adds or multiplies tensors of different shapes")]
    Shapes(usize),
    /// A shape or a window is invalid.
    #[error("layer {layer}: {source}")]
    Shape {
        /// Index of the layer.
        layer: usize,
        /// The shape error.
        source: ShapeError,
    },
    /// There are too many or too few weights, biases or groups for the shapes.
    #[error("layer {0}: weights, bias and groups do not match its shapes")]
    Weights(usize),
    /// A table does not cover the interval of its input, or has more than [`MAX_TABLE`] values.
    #[error("layer {layer}: {values} values from {low} do not cover {}..={}, or are more than {MAX_TABLE}", input.low, input.high)]
    Table {
        /// Index of the layer.
        layer: usize,
        /// Argument of the first value.
        low: i64,
        /// Number of values.
        values: usize,
        /// Interval of the input.
        input: Range,
    },
    /// The positions of a move do not fit its inputs and its shape.
    #[error("layer {0}: the positions of a move do not match its shapes")]
    Move(usize),
    /// A rescale's shift or bits are out of range, or a layer without sums has a rescale.
    #[error("layer {0}: unsupported rescale")]
    Rescale(usize),
    /// A sum could exceed [`MAX_SUM`].
    #[error("layer {0}: a sum could exceed 2^56; hint: use a smaller scale")]
    Overflow(usize),
    /// One execution needs more than [`MAX_MULTIPLY_ADDS`].
    #[error(
        "one execution needs at least {0} multiply-adds, more than the maximum of {MAX_MULTIPLY_ADDS}"
    )]
    Work(u64),
    /// The network takes more memory than its file justifies.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl NetworkError {
    /// Returns a function that adds the index of a layer to the error of its shape.
    fn shape_error(layer: usize) -> impl FnOnce(ShapeError) -> Self {
        move |source| Self::Shape { layer, source }
    }
}

/// Decodes the beginning of `bytes`. Returns the bytes after it, too.
fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), NetworkError> {
    postcard::take_from_bytes(bytes).map_err(|error| NetworkError::Malformed(error.to_string()))
}

impl Network {
    /// Parses a network file.
    ///
    /// # Errors
    /// When the file is too large, malformed, of an unsupported format, or has trailing bytes.
    /// [`Network::lower`] checks the layers.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NetworkError> {
        if bytes.len() > MAX_BYTES {
            return Err(NetworkError::TooLong(bytes.len()));
        }
        // Other formats may have other fields.
        let (format, _) = decode::<u32>(bytes)?;
        if !FORMATS.contains(&format) {
            return Err(NetworkError::Format(format));
        }
        // Checked first, because a layer takes far more bytes in memory than in the file.
        let ((_, _, layers), _) = decode::<(u32, Input, usize)>(bytes)?;
        if layers > MAX_LAYERS {
            return Err(NetworkError::Layers(layers));
        }
        let (network, trailing) = decode::<Self>(bytes)?;
        if !trailing.is_empty() {
            return Err(NetworkError::Malformed(format!(
                "{} trailing bytes after the network",
                trailing.len()
            )));
        }
        Ok(network)
    }

    /// Serialises the network file.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn to_bytes(&self) -> Result<Vec<u8>, NetworkError> {
        postcard::to_allocvec(self).map_err(|error| NetworkError::Malformed(error.to_string()))
    }

    /// Returns the SHA-256 of the network file.
    ///
    /// # Errors
    /// Never in practice; only the encoder's signature is fallible.
    pub fn digest(&self) -> Result<Digest, NetworkError> {
        Ok(Digest::of(&self.to_bytes()?))
    }

    /// Returns the number of weights and biases.
    pub fn parameters(&self) -> u64 {
        let counts = self.layers.iter().map(|layer| match &layer.operation {
            Operation::Dense { weights, bias } | Operation::Convolution { weights, bias, .. } => {
                weights.len() + bias.len()
            }
            Operation::Sum { factors } => factors.len(),
            Operation::MaxPool { .. }
            | Operation::Table { .. }
            | Operation::Move { .. }
            | Operation::Product
            | Operation::MatrixProduct(_) => 0,
        });
        counts.map(|count| count as u64).sum()
    }

    /// Returns the scale of the output: a real number is the output integer divided by `2^scale`.
    pub fn output_scale(&self) -> i32 {
        self.layers.last().map_or(self.input.scale, |layer| layer.scale)
    }
}
