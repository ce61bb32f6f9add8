//! Checks of attributes that several operators have.

use taonet_proof_core::MAX_ELEMENTS;

use super::proto::NodeProto;
use super::{OnnxError, unsupported};

/// Returns the numbers of an attribute, which must be finite.
pub fn finite_floats(node: &NodeProto, name: &str, values: &[f32]) -> Result<Vec<f32>, OnnxError> {
    if values.iter().all(|value| value.is_finite()) {
        Ok(values.to_vec())
    } else {
        Err(unsupported(node, format!("attribute '{name}' has numbers that are not finite")))
    }
}

/// Returns the sizes of an attribute, of which there must be `count`; without the attribute, each
/// is the default.
pub fn sizes(
    node: &NodeProto,
    name: &str,
    count: usize,
    default: usize,
) -> Result<Vec<usize>, OnnxError> {
    let Some(sizes) = node.ints(name) else { return Ok(vec![default; count]) };
    let sizes =
        sizes.iter().map(|&size| usize::try_from(size).ok().filter(|&size| size <= MAX_ELEMENTS));
    let sizes = sizes.collect::<Option<Vec<usize>>>().filter(|sizes| sizes.len() == count);
    sizes.ok_or_else(|| unsupported(node, format!("{name} is malformed")))
}

/// Refuses all transforms of the sums.
pub fn check_transform(node: &NodeProto) -> Result<(), OnnxError> {
    if node.text("post_transform").unwrap_or(b"NONE") == b"NONE" {
        Ok(())
    } else {
        Err(transform_unsupported(node))
    }
}

/// Returns the error of a transform that the scores of a node cannot have.
pub fn transform_unsupported(node: &NodeProto) -> OnnxError {
    let transform =
        String::from_utf8_lossy(node.text("post_transform").unwrap_or_default()).into_owned();
    unsupported(node, format!("post_transform '{transform}' is unsupported for these scores"))
}
