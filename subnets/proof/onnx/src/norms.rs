//! Conversion of Softmax and of norms over axes. They become maxima, sums, tables and products of
//! rows, so the integers need nothing further.

use taonet_proof_core::float::{Binary, FloatNode, FloatOperation, Function, Unary};

use super::dims;
use super::elementwise::Affine;
use super::node::{Operand, has_more_outputs, output};
use super::proto::NodeProto;
use super::reduce::Rows;
use super::{MASKED, OnnxError, Reader, Value, unsupported};

/// The largest term of a softmax's sum is 1. A divisor below this, which only rounding could yield,
/// is none.
const LEAST_SUM: f64 = 0.5;

impl Reader {
    /// Converts a softmax. One at the end over all elements is omitted, since its arguments have
    /// the same ranking.
    pub(super) fn softmax(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axes = self.softmax_axes(node, input.dims.len())?;
        let covers_all = input
            .dims
            .iter()
            .enumerate()
            .all(|(axis, &extent)| extent == 1 || axes.contains(&axis));
        if covers_all && self.is_last_softmax(output(node)?) {
            self.network
                .notes
                .push("the final softmax is omitted: outputs are its inputs".to_owned());
            return self.rename(node, None);
        }
        let rows = self.rows(node, &input, &axes)?;
        let is_log = node.op_type == "LogSoftmax";
        let mask = self.mask(node, input.index, &rows)?;
        if is_log && mask.is_some() {
            return Err(unsupported(
                node,
                "the logarithm of a masked element is infinite".to_owned(),
            ));
        }
        let tensor = match &mask {
            None => self.in_rows(node, input.index, &rows)?,
            Some(mask) => {
                let shape = rows.shape(node)?;
                self.push_moved(node, mask.inputs.clone(), mask.arguments.clone(), 0.0, shape)?
            }
        };
        let tensor = self.row_softmax(node, tensor, &rows, mask.map(|mask| mask.terms), is_log)?;
        let tensor = self.restored(node, tensor, &rows, &input.dims)?;
        super::define(&mut self.values, output(node)?, Value::Tensor(tensor, input.dims))
    }

    /// Returns the axes over which a softmax adds.
    fn softmax_axes(&self, node: &NodeProto, rank: usize) -> Result<Vec<usize>, OnnxError> {
        // Before version 13, the default axis is 1, and the softmax covers all dimensions from the
        // axis on.
        let is_old = self.opset < 13;
        let axis = dims::axis(node, node.int("axis", if is_old { 1 } else { -1 }), rank)?;
        Ok((axis..if is_old { rank } else { axis + 1 }).collect())
    }

    /// Appends the softmax of each row of a tensor in rows, in which only these terms count, and
    /// returns it.
    fn row_softmax(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
        terms: Option<Vec<u32>>,
        is_log: bool,
    ) -> Result<usize, OnnxError> {
        let (shape, rows) = (rows.shape(node)?, Rows::in_order(rows.count, rows.width));
        let combine = |operation, a, b| FloatNode { inputs: vec![a, b], shape, operation };
        let largest = self.row_maxima(node, tensor, &rows)?;
        let largest = self.spread(node, largest, &rows)?;
        let difference = self.push_node(combine(FloatOperation::Subtract, tensor, largest))?;
        let mut powers = self.push_mapped(difference, Function::Variable.then(Unary::Exp))?;
        if let Some(terms) = terms {
            powers = self.push_moved(node, vec![powers], terms, 0.0, shape)?;
        }
        let sums = self.row_sums(node, powers, &rows, 0)?;
        if is_log {
            let positive = Unary::Clip { low: LEAST_SUM, high: f64::INFINITY };
            let logarithms =
                self.push_mapped(sums, Function::Variable.then(positive).then(Unary::Log))?;
            let logarithms = self.spread(node, logarithms, &rows)?;
            return self.push_node(combine(FloatOperation::Subtract, difference, logarithms));
        }
        let factors =
            self.push_mapped(sums, Function::Variable.then(Unary::Inverse { least: LEAST_SUM }))?;
        let factors = self.spread(node, factors, &rows)?;
        self.push_node(combine(FloatOperation::Multiply, powers, factors))
    }

    /// Returns the mask of a softmax's argument; `None` if it has none.
    fn mask(
        &self,
        node: &NodeProto,
        tensor: usize,
        rows: &Rows,
    ) -> Result<Option<Mask>, OnnxError> {
        let before = tensor.checked_sub(1).and_then(|index| self.network.nodes.get(index));
        let Some(FloatNode {
            inputs, operation: FloatOperation::Move { indices, constant }, ..
        }) = before
        else {
            return Ok(None);
        };
        if *constant > MASKED {
            return Ok(None);
        }
        let elements = inputs
            .iter()
            .filter_map(|&input| self.network.shape(input))
            .map(|shape| shape.elements());
        let masked = elements.sum::<usize>() as u32;
        let mut mask = Mask { inputs: inputs.clone(), arguments: Vec::new(), terms: Vec::new() };
        for row in rows.positions().chunks(rows.width) {
            let sources: Vec<u32> =
                row.iter().filter_map(|&at| indices.get(at as usize).copied()).collect();
            let Some(&first) = sources.iter().find(|&&source| source != masked) else {
                return Err(unsupported(node, "all elements of a row are masked".to_owned()));
            };
            for source in sources {
                // An element that is repeated does not change the maximum of its row.
                let place = mask.terms.len() as u32;
                mask.terms.push(if source == masked {
                    rows.positions().len() as u32
                } else {
                    place
                });
                mask.arguments.push(if source == masked { first } else { source });
            }
        }
        Ok(Some(mask))
    }

    /// Converts the addition of a mask to a softmax's argument to a move; returns whether it is
    /// one.
    pub(super) fn add_mask(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        mask: &[f32],
    ) -> Result<bool, OnnxError> {
        let name = output(node)?;
        let is_masked = |&offset: &f32| offset <= MASKED;
        let is_mask = mask.iter().any(is_masked)
            && mask.iter().all(|offset| is_masked(offset) || offset.abs() <= 0.0);
        if node.op_type != "Add" || !is_mask || !self.softmax_arguments.contains(name) {
            return Ok(false);
        }
        let constant = input.shape.elements() as u32;
        let indices = mask
            .iter()
            .zip(0..)
            .map(|(offset, index)| if is_masked(offset) { constant } else { index });
        self.moved(node, vec![input.index], indices.collect(), f32::MIN, input.dims.clone())?;
        Ok(true)
    }

    /// Converts a norm over the last axes, with the mean (LayerNormalization) or without
    /// (RMSNormalization).
    pub(super) fn layer_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let first = dims::axis(node, node.int("axis", -1), input.dims.len())?;
        if has_more_outputs(node) {
            return Err(unsupported(node, "a second output is unsupported".to_owned()));
        }
        let axes: Vec<usize> = (first..input.dims.len()).collect();
        let factors = self.repeated(node, 1, &input.dims)?;
        let offsets = match self.weights(node, 2)? {
            Some(_) => self.repeated(node, 2, &input.dims)?,
            None => vec![0.0; factors.len()],
        };
        let is_centred = node.op_type == "LayerNormalization";
        self.normalise(node, &input, &axes, is_centred, &Affine { factors, offsets })
    }

    /// Converts a norm over the rows and columns of each channel.
    pub(super) fn instance_norm(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let &[1, channels, _, ..] = &input.dims[..] else {
            return Err(unsupported(
                node,
                format!("the input has dimensions {:?}, expected a batch of 1", input.dims),
            ));
        };
        let axes: Vec<usize> = (2..input.dims.len()).collect();
        let of_channels = [self.floats(node, 1, &[channels])?, self.floats(node, 2, &[channels])?];
        let width = input.shape.elements() / channels;
        let [factors, offsets] = of_channels.map(|values| {
            values.into_iter().flat_map(|value| std::iter::repeat_n(value, width)).collect()
        });
        self.normalise(node, &input, &axes, true, &Affine { factors, offsets })
    }

    /// Converts `(x - mean) / sqrt(variance + epsilon) * factor + offset`, with mean and variance
    /// over these axes.
    fn normalise(
        &mut self,
        node: &NodeProto,
        input: &Operand,
        axes: &[usize],
        is_centred: bool,
        affine: &Affine,
    ) -> Result<(), OnnxError> {
        let epsilon = f64::from(node.float("epsilon", 1e-5));
        let rows = self.rows(node, input, axes)?;
        let (shape, ordered) = (rows.shape(node)?, Rows::in_order(rows.count, rows.width));
        let mut values = self.in_rows(node, input.index, &rows)?;
        if is_centred {
            let means = self.row_means(node, values, &ordered)?;
            let inputs = vec![values, self.spread(node, means, &ordered)?];
            values =
                self.push_node(FloatNode { inputs, shape, operation: FloatOperation::Subtract })?;
        }
        let squares = self
            .push_mapped(values, Function::Variable.with(Binary::Multiply, Function::Variable))?;
        let means = self.row_means(node, squares, &ordered)?;
        let (root, mean) = self.function_of(means);
        let deviation = mean.with(Binary::Add, Function::Constant(epsilon)).then(Unary::Sqrt);
        let factors = self.push_mapped(root, deviation.then(Unary::Reciprocal))?;
        let inputs = vec![values, self.spread(node, factors, &ordered)?];
        let normal =
            self.push_node(FloatNode { inputs, shape, operation: FloatOperation::Multiply })?;
        let index = self.restored(node, normal, &rows, &input.dims)?;
        let shape = self.network.shape(index).unwrap_or(shape);
        self.scale(node, &Operand { index, shape, dims: input.dims.clone() }, affine)
    }
}

/// A mask of rows.
struct Mask {
    /// The tensors before they are masked.
    inputs: Vec<usize>,
    /// Position in their elements of each element, where another one of the row stands for a masked
    /// one.
    arguments: Vec<u32>,
    /// Position of each term in the rows; that of masked ones is after the last one.
    terms: Vec<u32>,
}
