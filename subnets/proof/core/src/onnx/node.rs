//! Conversion of ONNX nodes to float nodes: reshapes and identities only rename their input, batch norms are folded
//! into the preceding layer.

use super::proto::NodeProto;
use super::tensor::Constant;
use super::{OnnxError, Reader, Value};
use crate::float::FloatOperation;
use crate::{Shape, Window};

impl Reader {
    pub(super) fn node(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return Err(OnnxError::Operator(format!("{} of domain '{}'", node.describe(), node.domain)));
        }
        match node.op_type.as_str() {
            "Constant" => self.constant(node),
            "Identity" | "Dropout" => self.rename(node),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.flatten(node),
            "Softmax" | "LogSoftmax" => self.softmax(node),
            "Gemm" => self.gemm(node),
            "MatMul" => self.matrix_product(node),
            "Conv" => self.convolution(node),
            "BatchNormalization" => self.batch_norm(node),
            "Relu" => {
                let (input, shape) = self.tensor(node, 0)?;
                self.push(output(node)?, vec![input], shape, FloatOperation::Relu)
            }
            "Add" => self.add(node),
            "MaxPool" => self.pool(node, FloatOperation::MaxPool),
            "AveragePool" => self.pool(node, FloatOperation::AveragePool),
            "GlobalAveragePool" => {
                let (input, shape) = self.tensor(node, 0)?;
                let window = Window { kernel: [shape.height, shape.width], stride: [1, 1], padding: [0; 4] };
                let pooled = Shape { height: 1, width: 1, ..shape };
                self.push(output(node)?, vec![input], pooled, FloatOperation::AveragePool(window))
            }
            _ => Err(OnnxError::Operator(node.describe())),
        }
    }

    /// Returns the computed tensor at an input position, and its shape.
    fn tensor(&self, node: &NodeProto, position: usize) -> Result<(usize, Shape), OnnxError> {
        let value = node.input.get(position).and_then(|name| self.values.get(name));
        let Some(Value::Tensor(index)) = value else {
            return Err(unsupported(node, format!("input {position} does not depend on the network's input")));
        };
        let shape = self.network.shape(*index).ok_or_else(|| unsupported(node, "the input has no shape".to_owned()))?;
        Ok((*index, shape))
    }

    /// Returns the weights at an input position; `None` if there are none.
    fn weights(&self, node: &NodeProto, position: usize) -> Result<Option<&Constant>, OnnxError> {
        match node.input.get(position).filter(|name| !name.is_empty()).and_then(|name| self.values.get(name)) {
            None => Ok(None),
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(Value::Tensor(_)) => Err(unsupported(node, format!("input {position} must be a weight of the file"))),
        }
    }

    /// Returns float weights with exactly these dimensions.
    fn floats(&self, node: &NodeProto, position: usize, dims: &[usize]) -> Result<Vec<f32>, OnnxError> {
        let constant = self.weights(node, position)?;
        let constant = constant.ok_or_else(|| unsupported(node, format!("input {position} is missing")))?;
        match constant.floats() {
            Some(values) if constant.dims == dims => Ok(values.to_vec()),
            _ => Err(unsupported(
                node,
                format!("input {position} has dimensions {:?}, expected floats with {dims:?}", constant.dims),
            )),
        }
    }

    fn constant(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let tensor = node.attribute("value").and_then(|attribute| attribute.t.as_ref());
        let tensor = tensor.ok_or_else(|| unsupported(node, "the constant has no tensor".to_owned()))?;
        let constant = Constant::read(tensor)?;
        super::define(&mut self.values, output(node)?, Value::Constant(constant))
    }

    fn rename(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let value = node.input.first().and_then(|name| self.values.get(name)).cloned();
        let value = value.ok_or_else(|| unsupported(node, "the node has no input".to_owned()))?;
        if let Value::Tensor(index) = &value {
            self.renamed.insert(*index);
        }
        super::define(&mut self.values, output(node)?, value)
    }

    /// Flattens by renaming the tensor, since layers read its elements in order, regardless of its shape. Only a
    /// convolution or pool would need the new shape, and a valid model has none after a flattening.
    fn flatten(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let (_, shape) = self.tensor(node, 0)?;
        if node.op_type == "Reshape" {
            let target = self.weights(node, 1)?.and_then(Constant::integers).map(<[i64]>::to_vec);
            let target = target.ok_or_else(|| unsupported(node, "the new shape is not constant".to_owned()))?;
            let elements = shape.elements().cast_signed() as i64;
            let flat = matches!(target[..], [-1..=1, last] if last == -1 || last == elements);
            let same = matches!(target[..], [-1..=1, c, h, w]
                if [c, h, w] == [shape.channels, shape.height, shape.width].map(|size| size.cast_signed() as i64));
            if !flat && !same {
                return Err(unsupported(node, format!("the reshape to {target:?} does not flatten")));
            }
        } else if node.op_type == "Flatten" && node.int("axis", 1) != 1 {
            return Err(unsupported(node, "axis is not 1".to_owned()));
        }
        self.rename(node)
    }

    fn softmax(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        self.tensor(node, 0)?;
        if self.softmax.is_some() {
            return Err(unsupported(node, "only one softmax is supported".to_owned()));
        }
        self.softmax = Some(output(node)?.to_owned());
        self.rename(node)
    }

    fn gemm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        #[expect(clippy::float_cmp, reason = "any factor other than exactly 1 would change the outputs")]
        let plain = node.float("alpha", 1.0) == 1.0 && node.float("beta", 1.0) == 1.0 && node.int("transA", 0) == 0;
        if !plain {
            return Err(unsupported(node, "alpha, beta and transA must have their default values".to_owned()));
        }
        let transposed = node.int("transB", 0) != 0;
        let (weights, outputs) = self.matrix(node, transposed)?;
        let bias = if self.weights(node, 2)?.is_some() { self.vector(node, 2, outputs)? } else { vec![0.0; outputs] };
        self.dense(node, weights, bias)
    }

    fn matrix_product(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let (weights, outputs) = self.matrix(node, false)?;
        self.dense(node, weights, vec![0.0; outputs])
    }

    /// Returns the weight matrix at position 1 with one row for each output, and the number of outputs.
    fn matrix(&self, node: &NodeProto, transposed: bool) -> Result<(Vec<f32>, usize), OnnxError> {
        let (_, shape) = self.tensor(node, 0)?;
        let inputs = shape.elements();
        let dims = self.weights(node, 1)?.map_or(&[][..], |constant| &constant.dims);
        let outputs = match (dims, transposed) {
            (&[outputs, width], true) | (&[width, outputs], false) if width == inputs && outputs > 0 => outputs,
            _ => return Err(unsupported(node, format!("weights {dims:?} do not match {inputs} inputs"))),
        };
        let dims = if transposed { [outputs, inputs] } else { [inputs, outputs] };
        let weights = self.floats(node, 1, &dims)?;
        if transposed {
            return Ok((weights, outputs));
        }
        let rows = (0..outputs).flat_map(|row| weights.iter().skip(row).step_by(outputs).copied());
        Ok((rows.collect(), outputs))
    }

    /// Returns a bias of shape `[n]` or `[1, n]`.
    fn vector(&self, node: &NodeProto, position: usize, length: usize) -> Result<Vec<f32>, OnnxError> {
        self.floats(node, position, &[length]).or_else(|_| self.floats(node, position, &[1, length]))
    }

    fn dense(&mut self, node: &NodeProto, weights: Vec<f32>, bias: Vec<f32>) -> Result<(), OnnxError> {
        let (input, _) = self.tensor(node, 0)?;
        let shape = Shape::vector(bias.len()).map_err(|source| OnnxError::Shape { node: node.describe(), source })?;
        self.push(output(node)?, vec![input], shape, FloatOperation::Dense { weights, bias })
    }

    fn convolution(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let (input, shape) = self.tensor(node, 0)?;
        let dims = self.weights(node, 1)?.map(|constant| constant.dims.clone()).unwrap_or_default();
        let groups = usize::try_from(node.int("group", 1)).unwrap_or(0);
        let &[outputs, channels, rows, columns] = &dims[..] else {
            return Err(unsupported(node, format!("weights {dims:?} do not match a 2-D convolution")));
        };
        let grouped =
            groups > 0 && channels.checked_mul(groups) == Some(shape.channels) && outputs.is_multiple_of(groups);
        if !grouped || outputs == 0 {
            return Err(unsupported(
                node,
                format!("weights {dims:?} in {groups} groups do not match {} channels", shape.channels),
            ));
        }
        let window = window(node, [rows, columns])?;
        let weights = self.floats(node, 1, &dims)?;
        let bias = if self.weights(node, 2)?.is_some() { self.vector(node, 2, outputs)? } else { vec![0.0; outputs] };
        let shape = pooled(node, &window, shape, outputs)?;
        let operation = FloatOperation::Convolution { window, groups, weights, bias };
        self.push(output(node)?, vec![input], shape, operation)
    }

    fn pool(&mut self, node: &NodeProto, operation: impl Fn(Window) -> FloatOperation) -> Result<(), OnnxError> {
        let (input, shape) = self.tensor(node, 0)?;
        let kernel = node.ints("kernel_shape").and_then(sizes).and_then(|sizes| <[usize; 2]>::try_from(sizes).ok());
        let kernel = kernel.ok_or_else(|| unsupported(node, "kernel_shape does not have two dimensions".to_owned()))?;
        if node.int("ceil_mode", 0) != 0 || node.output.len() > 1 {
            return Err(unsupported(node, "ceil_mode or a second output is unsupported".to_owned()));
        }
        let window = window(node, kernel)?;
        let padded = window.padding != [0; 4];
        if padded && node.op_type == "AveragePool" && node.int("count_include_pad", 0) == 0 {
            return Err(unsupported(node, "average pooling with excluded padding is unsupported".to_owned()));
        }
        let shape = pooled(node, &window, shape, shape.channels)?;
        self.push(output(node)?, vec![input], shape, operation(window))
    }

    fn add(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let constant = [0, 1].map(|position| self.weights(node, position).ok().flatten().is_some());
        match constant {
            [false, false] => {
                let (a, shape) = self.tensor(node, 0)?;
                let (b, other) = self.tensor(node, 1)?;
                if shape != other {
                    return Err(unsupported(node, "operands differ in shape".to_owned()));
                }
                self.push(output(node)?, vec![a, b], shape, FloatOperation::Add)
            }
            [true, false] => self.add_bias(node, 1, 0),
            [false, true] => self.add_bias(node, 0, 1),
            [true, true] => Err(unsupported(node, "both operands are constant".to_owned())),
        }
    }

    /// Folds a constant vector into the bias of a dense layer without other readers.
    fn add_bias(&mut self, node: &NodeProto, tensor: usize, constant: usize) -> Result<(), OnnxError> {
        let (input, shape) = self.tensor(node, tensor)?;
        let added = self.vector(node, constant, shape.elements())?;
        let last = self.is_only_reader_of_last(node, tensor);
        match self.network.nodes.last_mut().map(|node| &mut node.operation) {
            Some(FloatOperation::Dense { bias, .. }) if last => {
                for (bias, added) in bias.iter_mut().zip(added) {
                    *bias += added;
                }
                super::define(&mut self.values, output(node)?, Value::Tensor(input))
            }
            _ => Err(unsupported(node, "a constant can be added only to a dense layer".to_owned())),
        }
    }

    /// Converts `(x - mean) / sqrt(variance + epsilon) * scale + shift` per channel to a depthwise 1×1 convolution,
    /// or folds it into the weights of a directly preceding convolution.
    fn batch_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let (input, shape) = self.tensor(node, 0)?;
        let channels = shape.channels;
        let mut parts = Vec::with_capacity(4);
        for position in 1..=4 {
            parts.push(self.floats(node, position, &[channels])?);
        }
        let [scale, shift, mean, variance] = &parts[..] else { return Err(OnnxError::Empty) };
        let epsilon = node.float("epsilon", 1e-5);
        let factors: Vec<f32> =
            scale.iter().zip(variance).map(|(scale, variance)| scale / (variance + epsilon).sqrt()).collect();
        if factors.iter().any(|factor| !factor.is_finite()) {
            return Err(unsupported(node, "a variance is not positive".to_owned()));
        }
        let offsets = factors.iter().zip(mean).zip(shift).map(|((factor, mean), shift)| shift - mean * factor);
        let offsets: Vec<f32> = offsets.collect();
        let foldable = self.is_only_reader_of_last(node, 0);
        match self.network.nodes.last_mut().map(|before| &mut before.operation) {
            Some(FloatOperation::Convolution { weights, bias, .. } | FloatOperation::Dense { weights, bias })
                if foldable =>
            {
                let width = weights.len() / bias.len().max(1);
                let rows = weights.chunks_mut(width.max(1)).zip(bias);
                for ((row, bias), (factor, offset)) in rows.zip(factors.iter().zip(&offsets)) {
                    for weight in row.iter_mut() {
                        *weight *= factor;
                    }
                    *bias = *bias * factor + offset;
                }
                super::define(&mut self.values, output(node)?, Value::Tensor(input))
            }
            _ => {
                let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
                let operation =
                    FloatOperation::Convolution { window, groups: channels, weights: factors, bias: offsets };
                self.push(output(node)?, vec![input], shape, operation)
            }
        }
    }

    /// Returns whether the node is the only reader of the last computed tensor, which may then be modified.
    fn is_only_reader_of_last(&self, node: &NodeProto, position: usize) -> bool {
        let last = self.network.nodes.len();
        node.input.get(position).is_some_and(|name| {
            matches!(self.values.get(name), Some(Value::Tensor(index)) if *index == last)
                && self.reads.get(name) == Some(&1)
                && !self.renamed.contains(&last)
        })
    }
}

fn output(node: &NodeProto) -> Result<&str, OnnxError> {
    match node.output.first() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(unsupported(node, "the node has no output".to_owned())),
    }
}

fn unsupported(node: &NodeProto, reason: String) -> OnnxError {
    OnnxError::Unsupported { node: node.describe(), reason }
}

fn pooled(node: &NodeProto, window: &Window, input: Shape, channels: usize) -> Result<Shape, OnnxError> {
    let shape = window.output(&input).and_then(|[rows, columns]| Shape::new(channels, rows, columns));
    shape.map_err(|source| OnnxError::Shape { node: node.describe(), source })
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
        return Err(unsupported(node, "auto_pad is unsupported; hint: export explicit pads".to_owned()));
    }
    if attribute("dilations", &[1, 1])? != [1, 1] {
        return Err(unsupported(node, "dilations are unsupported".to_owned()));
    }
    if attribute("kernel_shape", &kernel)? != kernel {
        return Err(unsupported(node, "kernel_shape does not match the weights".to_owned()));
    }
    let stride = attribute("strides", &[1, 1])?;
    let padding = attribute("pads", &[0; 4])?;
    match (<[usize; 2]>::try_from(stride), <[usize; 4]>::try_from(padding)) {
        (Ok(stride), Ok(padding)) => Ok(Window { kernel, stride, padding }),
        _ => Err(unsupported(node, "strides or pads are malformed".to_owned())),
    }
}
