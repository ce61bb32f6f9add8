use super::*;
use crate::linear::tests::{largest_difference, random};

/// Quantises and packs weights; `None` on processors without AVX2, which use candle's products.
fn pack(weights: &Tensor, format: GgmlDType) -> Option<(QTensor, NibbleMatrix)> {
    let blocks = QTensor::quantize(weights, format).unwrap();
    NibbleMatrix::pack(&blocks).unwrap().map(|weights| (blocks, weights))
}

/// Returns the values to which the input is rounded.
fn dequantize(input: &[InputBlock], shape: (usize, usize)) -> Tensor {
    let values = input.iter().flat_map(|block| {
        let bytes: [i8; TILE_INPUTS] = bytemuck::cast(block.words);
        bytes.map(|byte| f32::from(byte) * block.scale)
    });
    Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(shape).unwrap()
}

#[test]
fn quantised_product_equals_dequantised_product() {
    // Outputs that fill no tile, and enough work for several threads.
    for (outputs, inputs) in [(7, 32), (16, 96), (100, 768), (33, 3_072), (3_001, 512)] {
        for format in [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q8_0] {
            let Some((blocks, weights)) = pack(&random(outputs, inputs, "w"), format) else {
                return;
            };
            let floats = blocks.dequantize(&Device::Cpu).unwrap();
            assert!(largest_difference(&weights.dense(), &floats) < f32::EPSILON);
            for rows in 1..=7 {
                check(&weights, &floats, &random(rows, inputs, "x"));
            }
        }
    }
}

/// Compares products with those of weights as floats.
fn check(weights: &NibbleMatrix, floats: &Tensor, input: &Tensor) {
    let (rows, inputs) = input.dims2().unwrap();
    let blocks = weights.quantize(&input.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    let actual = weights.multiply(input).unwrap();
    // The standard deviation of an output is about this.
    let scale = (inputs as f32).sqrt();
    for (input, bound) in [(&dequantize(&blocks, (rows, inputs)), 1e-4), (input, 0.05)] {
        let difference =
            largest_difference(&actual, &input.matmul(&floats.t().unwrap()).unwrap()) / scale;
        assert!(
            difference < bound,
            "{:?}, {}×{inputs}, {rows} rows: {difference}",
            weights.format,
            weights.outputs
        );
    }
    if let Some(simd) = V3::try_new() {
        let same = NibbleMatrix { instructions: Instructions::V3(simd), ..weights.clone() };
        assert_eq!(
            actual.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            same.row_products(&blocks)
        );
    }
}

#[test]
fn extreme_values_do_not_overflow() {
    // These weights are exact.
    for (format, first, other) in [
        (GgmlDType::Q4_0, -8.0, 7.0),
        (GgmlDType::Q4_1, 0.0, 15.0),
        (GgmlDType::Q4_1, -8.0, 7.0),
        (GgmlDType::Q8_0, 127.0, 127.0),
        (GgmlDType::Q8_0, -127.0, 126.0),
    ] {
        let row: Vec<f32> =
            (0..TILE_INPUTS).map(|index| if index == 0 { first } else { other }).collect();
        let sum: f32 = row.iter().sum();
        let row = Tensor::from_vec(row, (1, TILE_INPUTS), &Device::Cpu).unwrap();
        let Some((_, weights)) = pack(&row, format) else { return };
        for (value, factor) in
            [(1.0_f32, 1.0_f32), (-1.0, -1.0), (0.0, 0.0), (1e30, 1e30), (1e-44, 0.0)]
        {
            let input = Tensor::full(value, (1, TILE_INPUTS), &Device::Cpu).unwrap();
            let actual =
                weights.multiply(&input).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
                    [0];
            let expected = sum * factor;
            assert!(
                (actual - expected).abs() <= 1e-5 * expected.abs(),
                "{format:?}, {value}: {actual}, not {expected}"
            );
        }
    }
}

#[test]
fn mismatched_shapes_are_errors() {
    let Some((_, weights)) = pack(&random(4, 64, "w"), GgmlDType::Q4_0) else { return };
    assert!(weights.multiply(&random(1, 32, "x")).is_err());
    assert!(weights.select(&Tensor::new(&[4_u32], &Device::Cpu).unwrap()).is_err());
}
