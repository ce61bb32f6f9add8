//! Attributes of transposed convolutions.

use super::attributes::sizes;
use super::proto::NodeProto;
use super::{OnnxError, unsupported};

/// Sizes of a transposed convolution.
pub struct TransposedConvolution {
    /// Number of groups of channels.
    pub groups: usize,
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Rows and columns between the elements of the input.
    pub stride: [usize; 2],
    /// Rows and columns of the output that are removed: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Rows and columns that are added at the bottom and on the right.
    pub added: [usize; 2],
}

impl TransposedConvolution {
    /// Reads the sizes of a node with these weights.
    pub fn parse(node: &NodeProto, kernel: [usize; 2]) -> Result<Self, OnnxError> {
        let pair = |values: Vec<usize>| <[usize; 2]>::try_from(values).unwrap_or_default();
        if !matches!(node.text("auto_pad").unwrap_or(b"NOTSET"), b"NOTSET" | b"") {
            return Err(unsupported(
                node,
                "auto_pad is unsupported; hint: export explicit pads".to_owned(),
            ));
        }
        if sizes(node, "dilations", 2, 1)? != [1, 1] {
            return Err(unsupported(node, "dilations are unsupported".to_owned()));
        }
        let declared = node.ints("kernel_shape").is_none()
            || pair(sizes(node, "kernel_shape", 2, 0)?) == kernel;
        let (stride, added) =
            (pair(sizes(node, "strides", 2, 1)?), pair(sizes(node, "output_padding", 2, 0)?));
        let padding = <[usize; 4]>::try_from(sizes(node, "pads", 4, 0)?).unwrap_or_default();
        let groups = usize::try_from(node.int("group", 1)).unwrap_or_default();
        let fits = |(added, stride): (&usize, &usize)| added < stride;
        if !declared || groups == 0 || kernel.contains(&0) || !added.iter().zip(&stride).all(fits) {
            return Err(unsupported(
                node,
                "groups, kernel_shape, strides or output_padding are malformed".to_owned(),
            ));
        }
        Ok(Self { groups, kernel, stride, padding, added })
    }

    /// Returns the rows or columns before pads are removed; `None` if they are too many.
    pub fn extent(&self, axis: usize, extent: usize) -> Option<usize> {
        let part = |pair: &[usize; 2]| pair.get(axis).copied();
        let positions = extent.checked_sub(1)?.checked_mul(part(&self.stride)?)?;
        positions.checked_add(part(&self.kernel)?)?.checked_add(part(&self.added)?)
    }
}
