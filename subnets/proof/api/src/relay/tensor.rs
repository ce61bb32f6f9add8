//! Input tensors from the relay: gzipped protobuf messages of 32-bit floats and a shape.

use std::io::Read as _;

use flate2::read::GzDecoder;
use prost::Message;
use taonet_proof_core::metadata::TensorDescription;
use thiserror::Error;

/// Maximum number of dimensions of a tensor.
const MAX_DIMENSIONS: usize = 32;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    #[prost(float, repeated, tag = "1")]
    pub(super) data: Vec<f32>,
    #[prost(uint64, repeated, tag = "2")]
    pub(super) shape: Vec<u64>,
}

/// Why a tensor is refused.
#[derive(Debug, Error)]
pub(super) enum TensorError {
    #[error("tensor: {0}")]
    Gzip(#[from] std::io::Error),
    #[error("tensor: more than {0} bytes after decompression")]
    TooLarge(usize),
    #[error("tensor: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("tensor: shape is {actual:?}, expected {expected:?}")]
    Shape { actual: Vec<u64>, expected: Vec<u64> },
    #[error("tensor: {0} is out of range")]
    Range(f32),
}

/// Decodes a tensor of floats, and converts it to integers with the scale of a model's input.
pub(super) fn decode_integers(
    bytes: &[u8],
    input: &TensorDescription,
) -> Result<Vec<i64>, TensorError> {
    let shape =
        [input.shape.channels, input.shape.height, input.shape.width].map(|extent| extent as u64);
    let elements = input.shape.channels * input.shape.height * input.shape.width;
    // An element takes at most five bytes: a tag and four bytes of data. 1 KiB is for the shape.
    let max_bytes = 5 * elements + 1_024;
    let mut decompressed = Vec::new();
    GzDecoder::new(bytes).take(max_bytes as u64 + 1).read_to_end(&mut decompressed)?;
    if decompressed.len() > max_bytes {
        return Err(TensorError::TooLarge(max_bytes));
    }
    let tensor = Tensor::decode(&decompressed[..])?;
    // Encoders add or omit dimensions of 1, for batches of one and for vectors.
    let without_unit_dimensions =
        |shape: &[u64]| shape.iter().copied().filter(|extent| *extent != 1).collect::<Vec<_>>();
    let has_shape = tensor.shape.len() <= MAX_DIMENSIONS
        && without_unit_dimensions(&tensor.shape) == without_unit_dimensions(&shape);
    if !has_shape || tensor.data.len() != elements {
        return Err(TensorError::Shape { actual: tensor.shape, expected: shape.to_vec() });
    }
    let factor = f64::from(input.scale).exp2();
    tensor
        .data
        .iter()
        .map(|&real| round_to_integer(f64::from(real) * factor).ok_or(TensorError::Range(real)))
        .collect()
}

/// Rounds to the nearest integer; `None` above 2^53, where doubles no longer represent every
/// integer.
fn round_to_integer(scaled: f64) -> Option<i64> {
    const MAX_EXACT: f64 = (1_u64 << 53) as f64;
    (scaled.abs() <= MAX_EXACT).then(|| scaled.round() as i64)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use taonet_proof_core::{Range, Shape};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn input(channels: usize, height: usize, scale: i32) -> TensorDescription {
        let shape = Shape { channels, height, width: 1 };
        TensorDescription { shape, range: Range { low: -1_000, high: 1_000 }, scale }
    }

    fn tensor(data: &[f32], shape: &[u64]) -> Vec<u8> {
        gzip(&Tensor { data: data.to_vec(), shape: shape.to_vec() }.encode_to_vec())
    }

    #[test]
    fn floats_are_scaled_and_rounded_to_integers() {
        let bytes = tensor(&[0.5, -1.25, 3.0, 0.126], &[1, 2, 2]);
        assert_eq!(decode_integers(&bytes, &input(2, 2, 2)).unwrap(), [2, -5, 12, 1]);
        assert_eq!(decode_integers(&bytes, &input(2, 2, 0)).unwrap(), [1, -1, 3, 0]);
    }

    /// Older encoders write each element with a tag.
    #[test]
    fn unpacked_tensor_elements_are_read() {
        let mut bytes = Vec::new();
        for value in [1.0_f32, 2.0] {
            bytes.push(0x0d);
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend([0x10, 2]);
        assert_eq!(decode_integers(&gzip(&bytes), &input(2, 1, 0)).unwrap(), [1, 2]);
    }

    #[test]
    fn malformed_tensors_are_refused() {
        let error_of =
            |bytes: &[u8]| decode_integers(bytes, &input(2, 2, 0)).unwrap_err().to_string();
        assert!(error_of(&tensor(&[1.0; 4], &[4])).contains("shape is [4], expected [2, 2, 1]"));
        assert!(error_of(&tensor(&[1.0; 3], &[2, 2])).contains("shape is [2, 2], expected"));
        assert!(error_of(&tensor(&[1.0; 4], &[1; 40])).contains("shape"));
        assert_eq!(
            error_of(&tensor(&[1.0, 1.0, 1.0, f32::NAN], &[2, 2])),
            "tensor: NaN is out of range"
        );
        assert_eq!(
            error_of(&tensor(&[1.0, 1.0, 1.0, 1e30], &[2, 2])),
            format!("tensor: {} is out of range", 1e30_f32)
        );
        assert!(error_of(b"no gzip").starts_with("tensor: "));
        assert!(error_of(&gzip(&[0xff; 9])).starts_with("tensor: "));
        assert_eq!(
            error_of(&gzip(&vec![0; 1 << 20])),
            "tensor: more than 1044 bytes after decompression"
        );
        let valid_tensor = tensor(&[1.0; 4], &[2, 2]);
        assert!(decode_integers(&valid_tensor[..valid_tensor.len() / 2], &input(2, 2, 0)).is_err());
    }
}
