#![allow(clippy::float_cmp)] // Exact results are expected where they are compared.

use taonet_avx512::Vnni;

use super::elementwise::erf_for_tests as erf;
use super::*;

/// Generates reproducible values in [-1, 1).
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

#[test]
fn linear_layers_compute_with_rounded_weights_and_activations() {
    let (inputs, outputs, rows) = (96, 80, 131);
    let gemm = Gemm::default();
    let (weights, x, bias) =
        (values(inputs * outputs, 1), values(rows * inputs, 2), values(outputs, 3));
    let (integers, steps) = quantize_weights(&weights, inputs);
    let layer = Linear::new(&gemm, &integers, inputs, steps.clone(), bias.clone());
    let mut quantized = Quantized::default();
    quantized.quantize(&x, inputs);
    let mut y = vec![1.0; rows * outputs];
    layer.forward(&gemm, &mut Scratch::default(), &quantized, &mut y, Epilogue::Add).unwrap();
    for (row, y) in x.chunks(inputs).zip(y.chunks(outputs)) {
        let scale = 127.0 / row.iter().map(|value| value.abs()).fold(0.0, f32::max);
        let row: Vec<i32> =
            row.iter().map(|value| (value * scale).round_ties_even() as i32).collect();
        for (o, y) in y.iter().enumerate() {
            let weights = &integers[o * inputs..(o + 1) * inputs];
            let product: i32 = row.iter().zip(weights).map(|(x, w)| x * i32::from(*w)).sum();
            let expected = 1.0 + bias[o] + product as f32 * steps[o] / scale;
            assert!((y - expected).abs() < 1e-4, "{y} {expected}");
        }
    }
}

/// Weights of ±127 and activations of 255 overflow 16 bits in every pair of products.
#[test]
fn exact_and_saturating_kernels_give_the_same_integers() {
    let (inputs, outputs, rows) = (96, 64, 100);
    let gemm = Gemm::new(None);
    let extremes: Vec<i8> =
        (0..inputs * outputs).map(|i| if (i / inputs) % 2 == 0 { 127 } else { -127 }).collect();
    let (integers, _) = quantize_weights(&values(inputs * outputs, 12), inputs);
    for weights in [extremes, integers] {
        let mut layer = Linear::new(&gemm, &weights, inputs, vec![1.0; outputs], Vec::new());
        for x in [vec![1.0; rows * inputs], values(rows * inputs, 13)] {
            let mut quantized = Quantized::default();
            quantized.quantize(&x, inputs);
            let mut products = |may_saturate| {
                layer.may_saturate = may_saturate;
                let mut y = vec![0.0; rows * outputs];
                layer
                    .forward(&gemm, &mut Scratch::default(), &quantized, &mut y, Epilogue::Store)
                    .unwrap();
                // Exact: the products are below 2^24.
                for (row, y) in x.chunks(inputs).zip(y.chunks_mut(outputs)) {
                    let scale = 127.0 / row.iter().map(|value| value.abs()).fold(0.0, f32::max);
                    for y in y {
                        *y = (*y * scale).round();
                    }
                }
                y
            };
            let split = products(true);
            for (row, y) in x.chunks(inputs).zip(split.chunks(outputs)) {
                let scale = 127.0 / row.iter().map(|value| value.abs()).fold(0.0, f32::max);
                let row: Vec<i32> =
                    row.iter().map(|value| (value * scale).round_ties_even() as i32).collect();
                for (weights, y) in weights.chunks(inputs).zip(y) {
                    let expected: i32 =
                        row.iter().zip(weights).map(|(x, w)| x * i32::from(*w)).sum();
                    assert_eq!(*y, expected as f32);
                }
            }
            // Both branches are exact, unless the kernel of this CPU saturates.
            if !gemm.int8.may_saturate() {
                assert_eq!(products(false), split);
            }
        }
    }
}

/// Returns the kernels of CPUs without extensions, of this CPU, and of this CPU if it had no AMX.
fn kernels() -> [Gemm; 3] {
    [Gemm::new(None), Gemm::default(), Gemm::new(Vnni::detect().map(Extension::Vnni))]
}

#[test]
fn cpu_extensions_give_bit_identical_outputs() {
    for (inputs, outputs, rows) in [(96, 80, 131), (768, 300, 5), (100, 51, 30), (64, 32, 1)] {
        let (weights, x, bias) =
            (values(inputs * outputs, 14), values(rows * inputs, 15), values(outputs, 16));
        let (integers, steps) = quantize_weights(&weights, inputs);
        let mut quantized = Quantized::default();
        quantized.quantize(&x, inputs);
        for epilogue in [Epilogue::Store, Epilogue::Gelu, Epilogue::Add] {
            let outputs = kernels().map(|gemm| {
                let layer = Linear::new(&gemm, &integers, inputs, steps.clone(), bias.clone());
                let mut y = values(rows * outputs, 17);
                layer
                    .forward(&gemm, &mut Scratch::default(), &quantized, &mut y, epilogue)
                    .unwrap();
                y
            });
            assert!(outputs.iter().all(|y| *y == outputs[0]), "{rows} {inputs}");
        }
    }
}

#[test]
fn weights_are_scaled_by_the_maximum_of_their_row() {
    let (integers, steps) = quantize_weights(&[0.0, 0.0, 0.5, -1.0, 0.003_937, 0.011_811_5], 2);
    assert_eq!(integers, [0, 0, 64, -127, 42, 127]);
    assert_eq!(steps, [1.0, 1.0 / 127.0, 1.0 / (127.0 / 0.011_811_5)]);
}

#[test]
fn panel_product_equals_the_matrix_product() {
    for (rows, depth, columns) in [(1, 64, 1500usize), (5, 64, 70), (7, 100, 64), (13, 33, 32)] {
        let (stride, out_stride) = (depth + 3, columns.next_multiple_of(PANEL));
        let (a, b) = (values(rows * stride, 4), values(depth * columns, 5));
        let mut panels = Panels::default();
        panels.pack_rows(depth, columns, |i| &b[i * columns..][..columns]);
        let mut out = vec![0.0; rows * out_stride];
        panel_product(&a, stride, &panels, &mut out, out_stride);
        let transposed: Vec<f32> =
            (0..columns * depth).map(|k| b[k % depth * columns + k / depth]).collect();
        panels.pack_columns(depth, columns, |j| &transposed[j * depth..][..depth]);
        let mut transposed_out = vec![0.0; rows * out_stride];
        panel_product(&a, stride, &panels, &mut transposed_out, out_stride);
        assert!(
            out == transposed_out,
            "{rows} {depth} {columns}: pack_rows and pack_columns yield different matrices"
        );
        for r in 0..rows {
            for j in 0..columns {
                let expected: f32 =
                    (0..depth).map(|i| a[r * stride + i] * b[i * columns + j]).sum();
                assert!(
                    (out[r * out_stride + j] - expected).abs() < 5e-3,
                    "{rows} {depth} {columns}: row {r} column {j}"
                );
            }
        }
    }
}

#[test]
fn maximum_is_found_at_every_position() {
    for count in (0..70).chain([1500, 3072]) {
        let mut x = values(count, 10);
        for position in 0..count {
            let before = std::mem::replace(&mut x[position], 2.0);
            assert_eq!(max(&x), 2.0, "value {position} of {count}");
            x[position] = before;
        }
        assert_eq!(max(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max), "{count}");
        x.fill(f32::NEG_INFINITY);
        assert_eq!(max(&x), f32::NEG_INFINITY, "{count}");
    }
    let x = values(40, 11);
    let with_nan: Vec<f32> =
        [f32::NAN; 3].into_iter().chain(x.iter().copied()).chain([f32::NAN; 20]).collect();
    assert_eq!(max(&with_nan), max(&x), "NaN is ignored");
}

#[test]
fn softmax_sums_to_one_and_keeps_the_order() {
    for scale in [1.0, 30.0, 1000.0] {
        let mut x: Vec<f32> = values(77, 6).iter().map(|value| value * scale).collect();
        let max = x.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = x.iter().map(|value| f64::from(value - max).exp()).sum();
        let expected: Vec<f64> = x.iter().map(|value| f64::from(value - max).exp() / sum).collect();
        let (total, greatest) = log_sum_exp(&x);
        assert!((f64::from(total) - (sum.ln() + f64::from(max))).abs() < 1e-3 && greatest == max);
        softmax(&mut x);
        for (value, expected) in x.iter().zip(&expected) {
            assert!(
                (f64::from(*value) - expected).abs() < 1e-6 + 1e-5 * expected,
                "{value} {expected}"
            );
        }
    }
}

#[test]
fn masked_values_get_no_weight() {
    let mut x = vec![f32::MIN, 0.0, f32::MIN, f32::NEG_INFINITY];
    softmax(&mut x);
    assert!((x[1] - 1.0).abs() < 1e-6 && x[0] < 1e-30 && x[3] < 1e-30);
}

#[test]
fn error_function_matches_published_values() {
    // Abramowitz and Stegun, table 7.1.
    for (x, expected) in
        [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (-2.0, -0.995_322_3), (4.0, 1.0)]
    {
        assert!((erf(x) - expected).abs() < 5e-7, "{x}");
    }
}

#[test]
fn layer_norm_has_mean_0_and_variance_1() {
    let x = values(3 * 70, 7);
    let mut y = vec![0.0; x.len()];
    layer_norm(&x, &[1.0; 70], &[0.0; 70], &mut y);
    for row in y.chunks(70) {
        let mean = row.iter().sum::<f32>() / 70.0;
        let variance = row.iter().map(|value| value * value).sum::<f32>() / 70.0;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    }
}

#[test]
fn median_filter_mirrors_the_ends() {
    for count in [1, 3, 4, 5, 7, 50] {
        let x = values(count, 8);
        let mut y = vec![0.0; count];
        median(&x, &mut y);
        for (j, y) in y.iter().enumerate() {
            let expected = if count <= 3 {
                x[j]
            } else {
                let mut window: Vec<f32> = (-3..=3)
                    .map(|k| {
                        let at = j.cast_signed().wrapping_add(k).unsigned_abs();
                        x[if at >= count { 2 * count - at - 2 } else { at }]
                    })
                    .collect();
                window.sort_by(f32::total_cmp);
                window[3]
            };
            assert_eq!(*y, expected, "value {j} of {count}");
        }
    }
}

/// With large scores, few weights are far greater than the others.
#[test]
fn self_attention_weighs_values_by_softmax() {
    let (count, width, heads) = (1_500, 128, 2);
    for factor in [1.0, 10.0, 100.0] {
        let mut qkv = values(count * 3 * width, 9);
        qkv.chunks_mut(3 * width)
            .for_each(|row| row[..width].iter_mut().for_each(|query| *query *= factor));
        let row =
            |i: usize, part: usize, h: usize| &qkv[i * 3 * width + part * width + h * 64..][..64];
        for gemm in kernels() {
            let maximum =
                if matches!(gemm.extension, Some(Extension::Vnni(_))) { 5e-4 } else { 1e-5 };
            let mut out = vec![0.0; count * width];
            Attention::default().forward(&gemm, &qkv, width, heads, &mut out).unwrap();
            for (i, h) in [(0, 0), (77, 1), (1_499, 0)] {
                let scores = (0..count).map(|j| {
                    row(i, 0, h)
                        .iter()
                        .zip(row(j, 1, h))
                        .map(|(q, k)| f64::from(*q) * f64::from(*k))
                        .sum::<f64>()
                        / 8.0
                });
                let weights: Vec<f64> = scores.map(f64::exp).collect();
                let sum: f64 = weights.iter().sum();
                for d in 0..64 {
                    let expected: f64 =
                        (0..count).map(|j| weights[j] / sum * f64::from(row(j, 2, h)[d])).sum();
                    let difference = (f64::from(out[i * width + h * 64 + d]) - expected).abs();
                    assert!(
                        difference < maximum,
                        "{}, queries times {factor}: {difference} apart",
                        gemm.kernel_name()
                    );
                }
            }
        }
    }
}
