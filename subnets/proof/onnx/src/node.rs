//! Conversion of ONNX nodes to float nodes: reshapes and identities only rename their input, batch
//! norms are folded into the preceding layer.

use std::sync::Arc;

use taonet_proof_core::float::{Binary, FloatNode, FloatOperation};
use taonet_proof_core::network::Matrices;
use taonet_proof_core::{Shape, ShapeError, Window};

use super::elementwise::scale_rows;
use super::proto::NodeProto;
use super::tensor::Constant;
use super::{MAX_LIST, OnnxError, Reader, Value, dims, invalid_shape, rules, unsupported};

/// A computed tensor that a node reads.
#[derive(Clone)]
pub(super) struct Operand {
    /// Index in the float network.
    pub(super) index: usize,
    /// Shape of the tensor where it is computed.
    pub(super) shape: Shape,
    /// Dimensions that the node sees.
    pub(super) dims: Vec<usize>,
}

impl Reader {
    pub(super) fn node(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        rules::check(node)?;
        self.check_type(node)?;
        if node.domain == rules::MACHINE_LEARNING {
            return self.learned(node);
        }
        match node.op_type.as_str() {
            "Constant" => self.constant(node),
            "Identity" => self.rename(node, None),
            "Cast" => self.cast(node),
            "Dropout" => self.dropout(node),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(node),
            "Softmax" | "LogSoftmax" => self.softmax(node),
            "LayerNormalization" | "RMSNormalization" => self.layer_norm(node),
            "InstanceNormalization" => self.instance_norm(node),
            "Gemm" => self.gemm(node),
            "MatMul" => self.matrix_product(node),
            "Conv" => self.convolution(node),
            "ConvTranspose" => self.transposed_convolution(node),
            "GRU" | "LSTM" | "RNN" => self.recurrent(node),
            "QuantizeLinear" | "DequantizeLinear" => self.quantised(node),
            "Sum" => self.sum(node),
            "TopK" => self.largest(node),
            "BatchNormalization" => self.batch_norm(node),
            "Add" => self.arithmetic(node, Binary::Add),
            "Sub" => self.arithmetic(node, Binary::Subtract),
            "Mul" | "And" => self.arithmetic(node, Binary::Multiply),
            "Div" => self.arithmetic(node, Binary::Divide),
            "Pow" => self.arithmetic(node, Binary::Power),
            "Shape" => self.shape_of(node),
            "Transpose" => self.transpose(node),
            "Slice" => self.slice(node),
            "Split" => self.split(node),
            "Expand" => self.expand(node),
            "Concat" => self.concat(node),
            "Pad" => self.pad(node),
            "Gather" => self.gather(node),
            "MaxPool" => self.pool(node, FloatOperation::MaxPool),
            "AveragePool" => self.pool(node, FloatOperation::AveragePool),
            "GlobalAveragePool" => self.global_pool(node, FloatOperation::AveragePool),
            "GlobalMaxPool" => self.global_pool(node, FloatOperation::MaxPool),
            "ReduceMax" | "ReduceMean" | "ReduceMin" | "ReduceSum" => self.reduce(node),
            "ArgMax" | "ArgMin" => self.position_of_extremum(node),
            "Max" | "Min" | "Or" => self.extremum(node),
            "Equal" => self.arithmetic(node, Binary::Equal),
            "Greater" => self.arithmetic(node, Binary::Greater),
            "GreaterOrEqual" => self.arithmetic(node, Binary::GreaterOrEqual),
            "Less" => self.arithmetic(node, Binary::Less),
            "LessOrEqual" => self.arithmetic(node, Binary::LessOrEqual),
            "Where" => self.choose(node),
            _ => self.function(node),
        }
    }

    /// Returns the computed tensor at an input position.
    pub(super) fn tensor(&self, node: &NodeProto, position: usize) -> Result<Operand, OnnxError> {
        let value = node.input.get(position).and_then(|name| self.values.get(name));
        let Some(Value::Tensor(index, dims)) = value else {
            return Err(unsupported(
                node,
                format!("input {position} does not depend on the network's input"),
            ));
        };
        let shape = self
            .network
            .shape(*index)
            .ok_or_else(|| unsupported(node, "the input has no shape".to_owned()))?;
        Ok(Operand { index: *index, shape, dims: dims.clone() })
    }

    /// Returns the first input of a node that slides a window over rows and columns. The input must
    /// have the dimensions with which it was computed: the window of a reshaped tensor would cover
    /// other elements.
    pub(super) fn image(&self, node: &NodeProto) -> Result<Operand, OnnxError> {
        let input = self.tensor(node, 0)?;
        let Shape { channels, height, width } = input.shape;
        if input.dims == [1, channels, height, width] {
            return Ok(input);
        }
        let dims = &input.dims;
        Err(unsupported(
            node,
            format!(
                "the input has dimensions {dims:?}; a window over a reshaped input is unsupported"
            ),
        ))
    }

    /// Appends a node whose output has channels, rows and columns.
    pub(super) fn push_image(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        shape: Shape,
        operation: FloatOperation,
    ) -> Result<(), OnnxError> {
        let dims = vec![1, shape.channels, shape.height, shape.width];
        self.push(output(node)?, FloatNode { inputs: vec![input.index], shape, operation }, dims)
    }

    /// Returns the weights at an input position; `None` if there are none.
    pub(super) fn weights(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<&Constant>, OnnxError> {
        match node
            .input
            .get(position)
            .filter(|name| !name.is_empty())
            .and_then(|name| self.values.get(name))
        {
            None => Ok(None),
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(Value::Tensor(..)) => {
                Err(unsupported(node, format!("input {position} must be a weight of the file")))
            }
        }
    }

    /// Returns the integers at an input position, if it has an input.
    pub(super) fn integers(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Vec<i64>>, OnnxError> {
        let read = |constant: &Constant| match constant.integers() {
            Some(values) if values.len() <= MAX_LIST => Ok(values.to_vec()),
            Some(values) => {
                Err(unsupported(node, format!("input {position} has {} integers", values.len())))
            }
            None => Err(unsupported(node, format!("input {position} is not a list of integers"))),
        };
        self.weights(node, position)?.map(read).transpose()
    }

    /// Returns the integers of an attribute or, since a version of the operator set, at an input
    /// position.
    pub(super) fn list(
        &self,
        node: &NodeProto,
        what: &str,
        attribute: &str,
        position: usize,
        since: i64,
    ) -> Result<Option<Vec<i64>>, OnnxError> {
        let (attribute, input) =
            (node.ints(attribute).map(<[i64]>::to_vec), self.integers(node, position)?);
        let misplaced = if self.opset < since { input.is_some() } else { attribute.is_some() };
        if misplaced {
            return Err(unsupported(
                node,
                format!("{what} are misplaced for operator set {}", self.opset),
            ));
        }
        Ok(attribute.or(input))
    }

    /// Returns float weights with exactly these dimensions.
    pub(super) fn floats(
        &self,
        node: &NodeProto,
        position: usize,
        dims: &[usize],
    ) -> Result<Vec<f32>, OnnxError> {
        let constant = self.weights(node, position)?;
        let constant =
            constant.ok_or_else(|| unsupported(node, format!("input {position} is missing")))?;
        match constant.floats() {
            Some(values) if constant.dims == dims => Ok(values.to_vec()),
            _ => Err(unsupported(
                node,
                format!(
                    "input {position} has dimensions {:?}, expected floats with {dims:?}",
                    constant.dims
                ),
            )),
        }
    }

    /// Returns float weights that are repeated to these dimensions.
    pub(super) fn repeated(
        &self,
        node: &NodeProto,
        position: usize,
        dims: &[usize],
    ) -> Result<Vec<f32>, OnnxError> {
        let constant = self.weights(node, position)?;
        let constant =
            constant.ok_or_else(|| unsupported(node, format!("input {position} is missing")))?;
        let values = constant.to_floats();
        let values = values.ok_or_else(|| {
            unsupported(node, format!("input {position} exceeds single precision"))
        })?;
        let values = dims::broadcast(&values, &constant.dims, dims);
        values.ok_or_else(|| {
            let found = &constant.dims;
            unsupported(
                node,
                format!("input {position} has dimensions {found:?}, which cannot be repeated to {dims:?}"),
            )
        })
    }

    fn constant(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let constant = Arc::new(node.constant()?);
        super::define(&mut self.values, output(node)?, Value::Constant(constant))
    }

    /// Gives the first input another name and, unless they are unchanged, other dimensions.
    pub(super) fn rename(
        &mut self,
        node: &NodeProto,
        dims: Option<Vec<usize>>,
    ) -> Result<(), OnnxError> {
        let name = node
            .input
            .first()
            .ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?;
        let value = self.values.get(name).cloned();
        let mut value =
            value.ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?;
        if let Value::Tensor(index, old) = &mut value {
            // Otherwise nothing reads the old name any more.
            if self.reads.get(name) != Some(&1) {
                self.renamed.insert(*index);
            }
            if let Some(dims) = dims {
                *old = dims;
            }
        }
        super::define(&mut self.values, output(node)?, value)
    }

    /// Omits a dropout, which changes values in training only.
    fn dropout(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if self.integers(node, 2)?.is_some_and(|training| training.iter().any(|&flag| flag != 0)) {
            return Err(unsupported(node, "training mode is unsupported".to_owned()));
        }
        self.rename(node, None)
    }

    /// Changes the dimensions of a tensor. Layers read its elements in order, so a dense layer
    /// needs no more; a window over a reshaped tensor is refused.
    fn reshape(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let Operand { dims, .. } = self.tensor(node, 0)?;
        let missing = |what: &str| unsupported(node, format!("{what} not constant"));
        let dims = match node.op_type.as_str() {
            "Flatten" => dims::flattened(node, &dims)?,
            "Reshape" => {
                let target = self.integers(node, 1)?.ok_or_else(|| missing("the new shape is"))?;
                dims::reshaped(node, &dims, &target)?
            }
            operator => {
                let axes = self.list(node, "axes", "axes", 1, 13)?;
                if operator == "Squeeze" {
                    dims::squeezed(node, &dims, axes.as_deref())?
                } else {
                    dims::unsqueezed(node, &dims, &axes.ok_or_else(|| missing("the axes are"))?)?
                }
            }
        };
        self.rename(node, Some(dims))
    }

    fn gemm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        #[expect(
            clippy::float_cmp,
            reason = "any factor other than exactly 1 would change the outputs"
        )]
        let plain = node.float("alpha", 1.0) == 1.0
            && node.float("beta", 1.0) == 1.0
            && node.int("transA", 0) == 0;
        if !plain {
            return Err(unsupported(
                node,
                "an alpha or beta other than 1, or transA, is unsupported".to_owned(),
            ));
        }
        let input = self.tensor(node, 0)?;
        if input.dims.len() != 2 {
            return Err(unsupported(
                node,
                format!("the input has dimensions {:?}, expected two", input.dims),
            ));
        }
        let transposed = node.int("transB", 0) != 0;
        let (weights, outputs) = self.matrix(node, &input, transposed)?;
        let bias = match self.weights(node, 2)? {
            Some(_) => self.repeated(node, 2, &[1, outputs])?,
            None => vec![0.0; outputs],
        };
        self.dense(node, &input, weights, bias)
    }

    fn matrix_product(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        if let Ok(other) = self.tensor(node, 1) {
            return self.computed_product(node, &input, &other);
        }
        if matches!(input.dims[..], [1, _, .., width] if width != input.shape.elements())
            && input.dims.len() > 2
        {
            return self.rows_product(node, &input);
        }
        let (weights, outputs) = self.matrix(node, &input, false)?;
        self.dense(node, &input, weights, vec![0.0; outputs])
    }

    /// Multiplies the matrices of two computed tensors. Matrices of one are repeated to the
    /// dimensions of the other.
    fn computed_product(
        &mut self,
        node: &NodeProto,
        a: &Operand,
        b: &Operand,
    ) -> Result<(), OnnxError> {
        let refuse =
            || unsupported(node, format!("matrices of {:?} and {:?} do not fit", a.dims, b.dims));
        let (Some((of_a, &[rows, inner])), Some((of_b, &[height, columns]))) =
            (a.dims.split_last_chunk::<2>(), b.dims.split_last_chunk::<2>())
        else {
            return Err(refuse());
        };
        let batch = if of_a.len() >= of_b.len() && dims::elements(of_a) >= dims::elements(of_b) {
            of_a
        } else {
            of_b
        };
        let count = dims::elements(batch).ok_or_else(refuse)?;
        if inner != height {
            return Err(refuse());
        }
        let mut tensors = Vec::with_capacity(2);
        for (operand, matrix) in [(a, [rows, inner]), (b, [inner, columns])] {
            let dims = [batch, &matrix].concat();
            let shape = if operand.dims == dims { Ok(operand.shape) } else { dims::shape(&dims) };
            let shape = shape.map_err(invalid_shape(node))?;
            tensors.push(self.fit(node, operand, &dims, shape)?.ok_or_else(refuse)?);
        }
        let sizes = Matrices { count, rows, inner, columns };
        let shape = Shape::new(count, rows, columns).map_err(invalid_shape(node))?;
        let dims = [batch, &[rows, columns]].concat();
        let operation = FloatOperation::MatrixProduct(sizes);
        let index = self.push_node(FloatNode { inputs: tensors, shape, operation })?;
        let product = Operand { index, shape, dims };
        let tensor = self.divided(node, a, &product)?;
        super::define(&mut self.values, output(node)?, Value::Tensor(tensor, product.dims))
    }

    /// Returns the weight matrix at position 1 with one row for each output, and the number of
    /// outputs. The input must be a single row, or a vector.
    fn matrix(
        &self,
        node: &NodeProto,
        input: &Operand,
        transposed: bool,
    ) -> Result<(Vec<f32>, usize), OnnxError> {
        let inputs = input.shape.elements();
        let dims = self.weights(node, 1)?.map_or(&[][..], |constant| &constant.dims);
        let is_row = input.dims.last() == Some(&inputs);
        let outputs = match (dims, transposed) {
            (&[outputs, width], true) | (&[width, outputs], false)
                if width == inputs && outputs > 0 && is_row =>
            {
                outputs
            }
            _ => {
                return Err(unsupported(
                    node,
                    format!("weights {dims:?} do not match an input of {:?}", input.dims),
                ));
            }
        };
        let dims = if transposed { [outputs, inputs] } else { [inputs, outputs] };
        let weights = self.floats(node, 1, &dims)?;
        if transposed {
            return Ok((weights, outputs));
        }
        let rows = (0..outputs).flat_map(|row| weights.iter().skip(row).step_by(outputs).copied());
        Ok((rows.collect(), outputs))
    }

    fn dense(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        weights: Vec<f32>,
        bias: Vec<f32>,
    ) -> Result<(), OnnxError> {
        let shape = Shape::vector(bias.len()).map_err(invalid_shape(node))?;
        let mut dims = input.dims.clone();
        if let Some(last) = dims.last_mut() {
            *last = bias.len();
        }
        let operation = FloatOperation::Dense { weights, bias };
        self.push(output(node)?, FloatNode { inputs: vec![input.index], shape, operation }, dims)
    }

    fn convolution(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.image(node)?;
        let shape = input.shape;
        let dims = self.weights(node, 1)?.map(|constant| constant.dims.clone()).unwrap_or_default();
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        let &[outputs, channels, rows, columns] = &dims[..] else {
            return Err(unsupported(
                node,
                format!("weights {dims:?} do not match a 2-D convolution"),
            ));
        };
        let grouped = groups > 0
            && channels.checked_mul(groups) == Some(shape.channels)
            && outputs.is_multiple_of(groups);
        if !grouped || outputs == 0 {
            return Err(unsupported(
                node,
                format!(
                    "weights {dims:?} in {groups} groups do not match {} channels",
                    shape.channels
                ),
            ));
        }
        let window = window(node, [rows, columns])?;
        let weights = self.floats(node, 1, &dims)?;
        let bias = if self.weights(node, 2)?.is_some() {
            self.floats(node, 2, &[outputs])?
        } else {
            vec![0.0; outputs]
        };
        let shape = image_shape(node, window.output(&shape), outputs)?;
        let operation = FloatOperation::Convolution { window, groups, weights, bias };
        self.push_image(node, &input, shape, operation)
    }

    fn pool(
        &mut self,
        node: &NodeProto,
        operation: impl Fn(Window) -> FloatOperation,
    ) -> Result<(), OnnxError> {
        let input = self.image(node)?;
        let shape = input.shape;
        let kernel = node
            .ints("kernel_shape")
            .and_then(sizes)
            .and_then(|sizes| <[usize; 2]>::try_from(sizes).ok());
        let kernel = kernel.ok_or_else(|| {
            unsupported(node, "kernel_shape does not have two dimensions".to_owned())
        })?;
        if node.int("ceil_mode", 0) != 0
            || node.int("storage_order", 0) != 0
            || has_more_outputs(node)
        {
            return Err(unsupported(
                node,
                "ceil_mode, storage_order or a second output is unsupported".to_owned(),
            ));
        }
        let window = window(node, kernel)?;
        let padded = window.padding != [0; 4];
        if padded && node.op_type == "AveragePool" && node.int("count_include_pad", 0) == 0 {
            return Err(unsupported(
                node,
                "average pooling with excluded padding is unsupported".to_owned(),
            ));
        }
        let shape = image_shape(node, window.pooled(&shape), shape.channels)?;
        self.push_image(node, &input, shape, operation(window))
    }

    /// Converts a pool over all rows and columns.
    fn global_pool(
        &mut self,
        node: &NodeProto,
        operation: fn(Window) -> FloatOperation,
    ) -> Result<(), OnnxError> {
        let input = self.image(node)?;
        let window = Window {
            kernel: [input.shape.height, input.shape.width],
            stride: [1, 1],
            padding: [0; 4],
        };
        let shape = Shape { height: 1, width: 1, ..input.shape };
        self.push_image(node, &input, shape, operation(window))
    }

    /// Converts `(x - mean) / sqrt(variance + epsilon) * scale + shift` per channel to a depthwise
    /// 1×1 convolution, or folds it into the weights of a directly preceding convolution.
    fn batch_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let Operand { index: input, shape, dims } = self.tensor(node, 0)?;
        // Further outputs are those of training, which normalises with the batch's own mean and
        // variance.
        if node.int("training_mode", 0) != 0 || has_more_outputs(node) {
            return Err(unsupported(
                node,
                "training mode is unsupported; hint: export the model for inference".to_owned(),
            ));
        }
        let channels = shape.channels;
        let area = dims.iter().skip(2).product::<usize>();
        if node.int("spatial", 1) != 1
            || dims.get(1) != Some(&channels)
            || area != shape.height * shape.width
        {
            return Err(unsupported(
                node,
                format!("the input has dimensions {dims:?}, expected {channels} channels"),
            ));
        }
        let mut parts = Vec::with_capacity(4);
        for position in 1..=4 {
            parts.push(self.floats(node, position, &[channels])?);
        }
        let [scale, shift, mean, variance] = &parts[..] else { return Err(OnnxError::Empty) };
        let epsilon = node.float("epsilon", 1e-5);
        let factors: Vec<f32> = scale
            .iter()
            .zip(variance)
            .map(|(scale, variance)| scale / (variance + epsilon).sqrt())
            .collect();
        if factors.iter().any(|factor| !factor.is_finite()) {
            return Err(unsupported(node, "a variance is not positive".to_owned()));
        }
        let offsets = factors
            .iter()
            .zip(mean)
            .zip(shift)
            .map(|((factor, mean), shift)| shift - mean * factor);
        let offsets: Vec<f32> = offsets.collect();
        let foldable = self.is_only_reader_of_last(node, 0);
        match self.network.nodes.last_mut().map(|before| &mut before.operation) {
            Some(
                FloatOperation::Convolution { weights, bias, .. }
                | FloatOperation::Dense { weights, bias },
            ) if foldable => {
                scale_rows(weights, bias, &factors, &offsets);
                super::define(&mut self.values, output(node)?, Value::Tensor(input, dims))
            }
            _ => {
                let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
                let operation = FloatOperation::Convolution {
                    window,
                    groups: channels,
                    weights: factors,
                    bias: offsets,
                };
                self.push(output(node)?, FloatNode { inputs: vec![input], shape, operation }, dims)
            }
        }
    }

    /// Returns whether the node is the only reader of the last computed tensor, which may then be
    /// modified.
    pub(super) fn is_only_reader_of_last(&self, node: &NodeProto, position: usize) -> bool {
        let last = self.network.nodes.len();
        node.input.get(position).is_some_and(|name| {
            matches!(self.values.get(name), Some(Value::Tensor(index, _)) if *index == last)
                && self.reads.get(name) == Some(&1)
                && !self.renamed.contains(&last)
        })
    }
}

pub(super) fn output(node: &NodeProto) -> Result<&str, OnnxError> {
    match node.output.first() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(unsupported(node, "the node has no output".to_owned())),
    }
}

/// Returns whether a node has outputs besides the first one.
pub(super) fn has_more_outputs(node: &NodeProto) -> bool {
    node.output.iter().skip(1).any(|name| !name.is_empty())
}

/// Returns the shape of an output with these rows and columns.
pub(super) fn image_shape(
    node: &NodeProto,
    extents: Result<[usize; 2], ShapeError>,
    channels: usize,
) -> Result<Shape, OnnxError> {
    let shape = extents.and_then(|[rows, columns]| Shape::new(channels, rows, columns));
    shape.map_err(invalid_shape(node))
}

fn sizes(values: &[i64]) -> Option<Vec<usize>> {
    values.iter().map(|&value| usize::try_from(value).ok()).collect()
}

fn window(node: &NodeProto, kernel: [usize; 2]) -> Result<Window, OnnxError> {
    let attribute = |name: &str, default: &[usize]| {
        let values = node.ints(name).map_or_else(|| Some(default.to_vec()), sizes);
        values
            .filter(|values| values.len() == default.len())
            .ok_or_else(|| unsupported(node, format!("{name} is malformed")))
    };
    let auto_pad = node.attribute("auto_pad").map_or(&b"NOTSET"[..], |attribute| &attribute.s);
    if !matches!(auto_pad, b"NOTSET" | b"VALID" | b"") {
        return Err(unsupported(
            node,
            "auto_pad is unsupported; hint: export explicit pads".to_owned(),
        ));
    }
    if attribute("dilations", &[1, 1])? != [1, 1] {
        return Err(unsupported(node, "dilations are unsupported".to_owned()));
    }
    if attribute("kernel_shape", &kernel)? != kernel {
        return Err(unsupported(node, "kernel_shape does not match the weights".to_owned()));
    }
    let stride = attribute("strides", &[1, 1])?;
    let padding = attribute("pads", &[0; 4])?;
    if auto_pad == b"VALID" && padding.iter().any(|&rows| rows != 0) {
        return Err(unsupported(node, "auto_pad VALID and pads exclude each other".to_owned()));
    }
    match (<[usize; 2]>::try_from(stride), <[usize; 4]>::try_from(padding)) {
        (Ok(stride), Ok(padding)) => Ok(Window { kernel, stride, padding }),
        _ => Err(unsupported(node, "strides or pads are malformed".to_owned())),
    }
}
