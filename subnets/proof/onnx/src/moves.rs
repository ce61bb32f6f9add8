//! Conversion of ONNX nodes that only move elements.

use taonet_proof_core::float::{FloatNode, FloatOperation};
use taonet_proof_core::{MAX_ELEMENTS, Shape, Window};

use super::dims::{self, Span};
use super::node::{Operand, output};
use super::proto::NodeProto;
use super::reduce::row_shape;
use super::tensor::Constant;
use super::{MAX_MOVED, MAX_RANK, OnnxError, Reader, Value, invalid_shape, unsupported};

impl Reader {
    /// Appends a move without a name; returns its tensor.
    pub(super) fn push_moved(
        &mut self,
        node: &NodeProto,
        inputs: Vec<usize>,
        indices: Vec<u32>,
        constant: f32,
        shape: Shape,
    ) -> Result<usize, OnnxError> {
        self.count_moved(node, indices.len())?;
        self.push_node(FloatNode {
            inputs,
            shape,
            operation: FloatOperation::Move { indices, constant },
        })
    }

    /// Counts elements whose positions are listed.
    pub(super) fn count_moved(
        &mut self,
        node: &NodeProto,
        elements: usize,
    ) -> Result<(), OnnxError> {
        self.moved = self.moved.saturating_add(elements);
        if self.moved > MAX_MOVED {
            return Err(unsupported(
                node,
                format!("more than {MAX_MOVED} elements are moved by all nodes together"),
            ));
        }
        Ok(())
    }

    /// Appends a move whose output has these dimensions.
    pub(super) fn moved(
        &mut self,
        node: &NodeProto,
        inputs: Vec<usize>,
        indices: Vec<u32>,
        constant: f32,
        dims: Vec<usize>,
    ) -> Result<(), OnnxError> {
        let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
        let tensor = self.push_moved(node, inputs, indices, constant, shape)?;
        super::define(&mut self.values, output(node)?, Value::Tensor(tensor, dims))
    }

    /// Checks the numbers of dimensions and elements before positions are listed.
    pub(super) fn check_elements(node: &NodeProto, dims: &[usize]) -> Result<(), OnnxError> {
        match dims::elements(dims) {
            _ if dims.len() > MAX_RANK => {
                Err(unsupported(node, format!("the output has more than {MAX_RANK} dimensions")))
            }
            Some(1..=MAX_ELEMENTS) => Ok(()),
            _ => Err(unsupported(
                node,
                format!("the output has dimensions {dims:?}: it is empty or too large"),
            )),
        }
    }

    pub(super) fn transpose(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let order = dims::permutation(node, input.dims.len())?;
        let dims: Vec<usize> =
            order.iter().filter_map(|&axis| input.dims.get(axis).copied()).collect();
        Self::check_elements(node, &dims)?;
        let indices = dims::transposed(&input.dims, &order);
        self.moved(node, vec![input.index], indices, 0.0, dims)
    }

    /// Multiplies each row of a tensor with a matrix: a convolution of 1×1 whose channels are the
    /// columns, between moves.
    pub(super) fn rows_product(
        &mut self,
        node: &NodeProto,
        input: &Operand,
    ) -> Result<(), OnnxError> {
        let of_matrix = self.weights(node, 1)?.map_or(&[][..], |constant| &constant.dims);
        let (Some((&width, outer)), &[inputs, outputs]) = (input.dims.split_last(), of_matrix)
        else {
            return Err(unsupported(
                node,
                format!("weights {of_matrix:?} do not match an input of {:?}", input.dims),
            ));
        };
        let dims = [outer, &[outputs]].concat();
        Self::check_elements(node, &dims)?;
        if inputs != width {
            return Err(unsupported(
                node,
                format!("weights {of_matrix:?} do not match an input of {:?}", input.dims),
            ));
        }
        let rows = outer.iter().product();
        let by_input = self.floats(node, 1, &[inputs, outputs])?;
        let order = dims::transposed(&[inputs, outputs], &[1, 0]);
        let weights =
            order.iter().filter_map(|&from| by_input.get(from as usize).copied()).collect();
        let columns = dims::transposed(&[rows, width], &[1, 0]);
        let columns =
            self.push_moved(node, vec![input.index], columns, 0.0, row_shape(node, width, rows)?)?;
        let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
        let operation =
            FloatOperation::Convolution { window, groups: 1, weights, bias: vec![0.0; outputs] };
        let shape = row_shape(node, outputs, rows)?;
        let product = self.push_node(FloatNode { inputs: vec![columns], shape, operation })?;
        self.moved(node, vec![product], dims::transposed(&[outputs, rows], &[1, 0]), 0.0, dims)?;
        self.before_move = Some(product);
        Ok(())
    }

    pub(super) fn slice(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let spans = self.spans(node, &input.dims)?;
        let positions: Vec<Vec<Option<usize>>> =
            spans.iter().map(|span| span.positions().map(Some).collect()).collect();
        self.select(node, input.index, &input.dims, &positions, 0.0)
    }

    /// Returns the part of each axis that a Slice keeps.
    fn spans(&self, node: &NodeProto, dims: &[usize]) -> Result<Vec<Span>, OnnxError> {
        let mut parts = [const { None }; 4];
        for ((part, name), position) in
            parts.iter_mut().zip(["starts", "ends", "axes", ""]).zip(1..)
        {
            *part = self.list(node, "limits", name, position, 10)?;
        }
        let [Some(starts), Some(ends), axes, steps] = parts else {
            return Err(unsupported(node, "starts or ends are not constant".to_owned()));
        };
        dims::spans(node, dims, &starts, &ends, axes.as_deref(), steps.as_deref())
    }

    /// Converts a Split, whose outputs are parts of its input.
    pub(super) fn split(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let axis = dims::axis(node, node.int("axis", 0), input.dims.len())?;
        let given = self.list(node, "parts", "split", 1, 13)?;
        let extent = input.dims.get(axis).copied().unwrap_or_default();
        let parts = dims::parts(node, extent, given.as_deref(), self.opset)?;
        let mut start = 0;
        for (name, part) in node.output.iter().zip(parts) {
            let places = input.dims.iter().enumerate().map(|(index, &extent)| {
                let kept = if index == axis { start..start + part } else { 0..extent };
                kept.map(Some).collect::<Vec<Option<usize>>>()
            });
            let places: Vec<Vec<Option<usize>>> = places.collect();
            start += part;
            let dims: Vec<usize> = places.iter().map(Vec::len).collect();
            Self::check_elements(node, &dims)?;
            let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
            let indices = dims::selected(&input.dims, &places);
            let tensor = self.push_moved(node, vec![input.index], indices, 0.0, shape)?;
            if !name.is_empty() {
                super::define(&mut self.values, name, Value::Tensor(tensor, dims))?;
            }
        }
        Ok(())
    }

    /// Converts an Expand, which repeats elements.
    pub(super) fn expand(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let given = self.integers(node, 1)?;
        let given =
            given.ok_or_else(|| unsupported(node, "the dimensions are not constant".to_owned()))?;
        let refuse =
            || unsupported(node, format!("{:?} cannot be repeated to {given:?}", input.dims));
        let target = given
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect::<Option<Vec<usize>>>();
        let dims =
            target.and_then(|target| dims::common(&[&input.dims, &target])).ok_or_else(refuse)?;
        if dims == input.dims {
            return self.rename(node, None);
        }
        Self::check_elements(node, &dims)?;
        let shape = dims::shape(&dims).map_err(invalid_shape(node))?;
        let tensor = self.fit(node, &input, &dims, shape)?.ok_or_else(refuse)?;
        super::define(&mut self.values, output(node)?, Value::Tensor(tensor, dims))
    }

    pub(super) fn concat(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let operands = (0..node.input.len()).map(|position| self.tensor(node, position));
        let operands = operands.collect::<Result<Vec<_>, _>>()?;
        let all: Vec<&[usize]> = operands.iter().map(|operand| &operand.dims[..]).collect();
        let (axis, dims) = dims::concatenated(node, &all)?;
        Self::check_elements(node, &dims)?;
        let indices = dims::interleaved(&all, axis);
        self.moved(node, operands.iter().map(|operand| operand.index).collect(), indices, 0.0, dims)
    }

    pub(super) fn pad(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let input = self.tensor(node, 0)?;
        let (attribute, pads) = (node.ints("pads").map(<[i64]>::to_vec), self.integers(node, 1)?);
        let value = self.limit_of_pad(node)?;
        let given = (node.attribute("value").is_some() || attribute.is_some(), pads.is_some());
        if given != (self.opset < 11, self.opset >= 11) {
            return Err(unsupported(
                node,
                format!("pads are missing or misplaced for operator set {}", self.opset),
            ));
        }
        let axes = self.integers(node, 3)?;
        let pads = dims::pads(
            node,
            input.dims.len(),
            &attribute.or(pads).unwrap_or_default(),
            axes.as_deref(),
        )?;
        let mode = node.attribute("mode").map_or(&b"constant"[..], |attribute| &attribute.s);
        let extents =
            input.dims.iter().zip(&pads).map(|(&extent, &pads)| dims::padded_extent(extent, pads));
        Self::check_elements(
            node,
            &extents.collect::<Option<Vec<usize>>>().unwrap_or_else(|| vec![0]),
        )?;
        let positions = input
            .dims
            .iter()
            .zip(&pads)
            .map(|(&extent, &pads)| dims::padded(node, extent, pads, mode));
        let positions = positions.collect::<Result<Vec<_>, _>>()?;
        self.select(node, input.index, &input.dims, &positions, value)
    }

    /// Returns the value of padding.
    fn limit_of_pad(&self, node: &NodeProto) -> Result<f32, OnnxError> {
        let Some(constant) = self.weights(node, 2)? else { return Ok(node.float("value", 0.0)) };
        match constant.floats() {
            Some(&[value]) => Ok(value),
            _ => Err(unsupported(node, "the value of the padding is not one number".to_owned())),
        }
    }

    pub(super) fn gather(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if self.weights(node, 0).is_ok() {
            return self.embed(node);
        }
        let input = self.tensor(node, 0)?;
        let refuse = || unsupported(node, "the indices are not constant integers".to_owned());
        let constant: &Constant = self.weights(node, 1)?.ok_or_else(refuse)?;
        let (indices, rows) = (constant.integers().ok_or_else(refuse)?, constant.dims.clone());
        let axis = dims::axis(node, node.int("axis", 0), input.dims.len())?;
        let mut positions: Vec<Vec<Option<usize>>> =
            input.dims.iter().map(|&extent| (0..extent).map(Some).collect()).collect();
        let extent = input.dims.get(axis).copied().unwrap_or_default();
        let picked = indices.iter().map(|&index| dims::index(node, index, extent).map(Some));
        let picked = picked.collect::<Result<Vec<_>, _>>()?;
        if let Some(along) = positions.get_mut(axis) {
            *along = picked;
        }
        let kept: Vec<usize> = positions.iter().map(Vec::len).collect();
        Self::check_elements(node, &kept)?;
        let moved = dims::selected(&input.dims, &positions);
        // The axis is replaced by the dimensions of the indices.
        let mut dims = input.dims.clone();
        dims.splice(axis..=axis, rows);
        self.moved(node, vec![input.index], moved, 0.0, dims)
    }

    /// Appends a move that selects positions along each axis; `None` stands for the constant.
    fn select(
        &mut self,
        node: &NodeProto,
        tensor: usize,
        dims: &[usize],
        positions: &[Vec<Option<usize>>],
        constant: f32,
    ) -> Result<(), OnnxError> {
        let kept: Vec<usize> = positions.iter().map(Vec::len).collect();
        Self::check_elements(node, &kept)?;
        self.moved(node, vec![tensor], dims::selected(dims, positions), constant, kept)
    }
}
