//! Conversion of QuantizeLinear and DequantizeLinear. A pair of them is one function: it rounds to
//! the values that the integers between them stand for.

use taonet_proof_core::float::{Binary, Function, Unary};

use super::proto::NodeProto;
use super::{OnnxError, Reader, UINT8_RANGE, unsupported};

impl Reader {
    pub(super) fn convert_quantisation(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        if node.int("block_size", 0) != 0 || node.int("output_dtype", 0) != 0 {
            return Err(unsupported(
                node,
                "block_size and output_dtype are unsupported".to_owned(),
            ));
        }
        let input = self.tensor(node, 0)?;
        let scale = self.constant_number(node, 1)?;
        let scale = scale.ok_or_else(|| unsupported(node, "the scale is missing".to_owned()))?;
        let zero_point = self.constant_number(node, 2)?.unwrap_or(0.0);
        if !(scale.is_finite() && scale > 0.0) {
            return Err(unsupported(node, format!("the scale {scale} is not positive")));
        }
        let (root, function) = self.root_and_function(input.index);
        let (scale, zero_point) = (Function::Constant(scale), Function::Constant(zero_point));
        let function = if node.op_type == "DequantizeLinear" {
            function.with(Binary::Subtract, zero_point).with(Binary::Multiply, scale)
        } else {
            let [low, high] = self.quantised_range(node)?.map(|limit| limit as f64);
            let rounded = function.with(Binary::Divide, scale).then(Unary::RoundEven);
            rounded.with(Binary::Add, zero_point).then(Unary::Clip { low, high })
        };
        self.define_function(node, root, function, &input)
    }

    /// Returns the smallest and the largest integer of a QuantizeLinear: those of its zero point's
    /// type.
    fn quantised_range(&self, node: &NodeProto) -> Result<[i64; 2], OnnxError> {
        match node.input.get(2).filter(|name| !name.is_empty()) {
            None => Ok(UINT8_RANGE),
            Some(name) => self.int8_ranges.get(name).copied().ok_or_else(|| {
                unsupported(
                    node,
                    "the zero point is not a weight of 8 bits: other types are unsupported"
                        .to_owned(),
                )
            }),
        }
    }
}
