//! Checks of attributes that several operators of `ai.onnx.ml` have.

use super::proto::NodeProto;
use super::{OnnxError, unsupported};

/// Returns the numbers of an attribute, which must be finite.
pub fn finite(node: &NodeProto, name: &str, values: &[f32]) -> Result<Vec<f32>, OnnxError> {
    if values.iter().all(|value| value.is_finite()) {
        Ok(values.to_vec())
    } else {
        Err(unsupported(node, format!("attribute '{name}' has numbers that are not finite")))
    }
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
