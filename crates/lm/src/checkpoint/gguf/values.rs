//! Validation of stored weights.

use candle_core::quantized::GgmlDType;

/// Returns whether all numbers of a tensor are finite: the numbers themselves, or the scales and
/// offsets of blocks.
pub(super) fn are_finite(format: GgmlDType, bytes: &[u8]) -> bool {
    match format {
        GgmlDType::F32 => {
            bytes.as_chunks().0.iter().all(|number| f32::from_le_bytes(*number).is_finite())
        }
        GgmlDType::F16 => bytes.as_chunks().0.iter().all(|number| is_finite_half(*number)),
        // The exponent of a bfloat16 that is infinite or not a number has only ones.
        GgmlDType::BF16 => {
            bytes.as_chunks().0.iter().all(|number| u16::from_le_bytes(*number) & 0x7f80 != 0x7f80)
        }
        _ => {
            let halves = halves(format);
            bytes.chunks_exact(format.type_size()).all(|block| {
                halves.iter().all(|offset| {
                    block
                        .get(*offset..)
                        .and_then(<[u8]>::first_chunk)
                        .is_none_or(|number| is_finite_half(*number))
                })
            })
        }
    }
}

/// The exponent of a half that is infinite or not a number has only ones.
const fn is_finite_half(number: [u8; 2]) -> bool {
    u16::from_le_bytes(number) & 0x7c00 != 0x7c00
}

/// Returns the positions of the 16-bit floats in a block of this format, in bytes, as in ggml's
/// `ggml-common.h`.
const fn halves(format: GgmlDType) -> &'static [usize] {
    match format {
        GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => &[0],
        GgmlDType::Q4_1 | GgmlDType::Q5_1 | GgmlDType::Q4K | GgmlDType::Q5K => &[0, 2],
        GgmlDType::Q2K => &[80, 82],
        GgmlDType::Q3K => &[108],
        GgmlDType::Q6K => &[208],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    use super::*;

    /// In every format, a block has non-finite values only if one of its scales is non-finite.
    #[test]
    fn non_finite_scales_are_detected_in_every_format() {
        for format in [
            GgmlDType::Q4_0,
            GgmlDType::Q4_1,
            GgmlDType::Q5_0,
            GgmlDType::Q5_1,
            GgmlDType::Q8_0,
            GgmlDType::Q2K,
            GgmlDType::Q3K,
            GgmlDType::Q4K,
            GgmlDType::Q5K,
            GgmlDType::Q6K,
        ] {
            let numbers: Vec<f32> = (0..512).map(|index| (index as f32 * 0.37).sin()).collect();
            let tensor = Tensor::from_vec(numbers, (2, 256), &Device::Cpu).unwrap();
            let bytes = QTensor::quantize(&tensor, format).unwrap().data().unwrap().into_owned();
            assert!(are_finite(format, &bytes), "{format:?}");
            for offset in halves(format) {
                let mut changed = bytes.clone();
                let last = changed.len() - format.type_size() + offset;
                changed[last..last + 2].copy_from_slice(&0x7e00_u16.to_le_bytes());
                assert!(!are_finite(format, &changed), "{format:?} at {offset}");
                // The position is right: the decoded tensor has a number that is not finite.
                let decoded = candle_core::quantized::ggml_file::qtensor_from_ggml(
                    format,
                    &changed,
                    vec![2, 256],
                    &Device::Cpu,
                );
                let decoded =
                    decoded.unwrap().dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
                let decoded = decoded.to_vec1::<f32>().unwrap();
                assert!(decoded.iter().any(|number| !number.is_finite()), "{format:?} at {offset}");
            }
        }
    }

    /// Columns: format · bytes of one number · whether it is finite
    #[test]
    fn non_finite_gguf_values_are_detected() {
        for (format, bytes, expected) in [
            (GgmlDType::F32, &f32::MAX.to_le_bytes()[..], true),
            (GgmlDType::F32, &f32::NAN.to_le_bytes(), false),
            (GgmlDType::F32, &f32::NEG_INFINITY.to_le_bytes(), false),
            (GgmlDType::F16, &0x7bff_u16.to_le_bytes(), true),
            (GgmlDType::F16, &0xfc00_u16.to_le_bytes(), false),
            (GgmlDType::BF16, &0x7f7f_u16.to_le_bytes(), true),
            (GgmlDType::BF16, &0xffc0_u16.to_le_bytes(), false),
        ] {
            assert_eq!(are_finite(format, bytes), expected, "{format:?} {bytes:?}");
        }
    }
}
