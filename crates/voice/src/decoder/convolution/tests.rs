//! Comparison with plain loops.

use proptest::prelude::*;

use super::*;

/// Maximum difference, for sums of up to about 500 products of values in -1..1.
const TOLERANCE: f32 = 1e-4;

/// Returns the same pseudo-random values in -1..1 each time.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn activated(signal: &Signal, Activation { factor, slope }: Activation) -> Vec<f32> {
    let activate = |value: &f32| if value * factor < 0.0 { value * factor * slope } else { value * factor };
    signal.values.iter().map(activate).collect()
}

/// A convolution as ONNX defines it.
fn expected(shape: Shape, weights: &[f32], bias: &[f32], input: &Signal, activation: Activation) -> Vec<Vec<f32>> {
    let Shape { inputs, outputs, kernel, dilation, stride, padding: [before, after], transposed } = shape;
    let activated = activated(input, activation);
    let channels: Vec<&[f32]> = activated.chunks_exact(input.width).collect();
    let padded: Vec<Vec<f32>> =
        channels.iter().map(|channel| [vec![0.0; before].as_slice(), channel, &vec![0.0; after]].concat()).collect();
    let row = |output: usize| {
        if transposed {
            let mut row = vec![bias[output]; (input.width - 1) * stride + kernel];
            for (i, channel) in channels.iter().enumerate() {
                for (time, value) in channel.iter().enumerate() {
                    for k in 0..kernel {
                        row[time * stride + k] += value * weights[(i * outputs + output) * kernel + k];
                    }
                }
            }
            row[before..row.len() - after].to_vec()
        } else {
            let width = input.width + before + after - (kernel - 1) * dilation;
            let sample = |time: usize| {
                let product = |i: usize, k: usize| {
                    padded[i][time + k * dilation] * weights[(output * inputs + i) * kernel + k]
                };
                bias[output] + (0..inputs).map(|i| (0..kernel).map(|k| product(i, k)).sum::<f32>()).sum::<f32>()
            };
            (0..width).map(sample).collect()
        }
    };
    (0..outputs).map(row).collect()
}

/// Compares a convolution of `width` samples, to which two signals are added, with plain loops.
fn check(shape: Shape, width: usize) {
    let Shape { inputs, outputs, kernel, .. } = shape;
    let (weights, bias) = (values(inputs * outputs * kernel, 1), values(outputs, 2));
    let input = Signal { values: values(inputs * width, 3), width };
    let activation = Activation { factor: 0.5, slope: 0.1 };
    let expected = expected(shape, &weights, &bias, &input, activation);
    let width = expected[0].len();
    let addends = [4, 5].map(|seed| Signal { values: values(outputs * width, seed), width });
    let convolution = Convolution::new(shape, &weights, &bias).unwrap();
    let signal = convolution.run(&input, activation, &[&addends[0], &addends[1]]).unwrap();
    assert_eq!((signal.width, signal.values.len()), (width, outputs * width));
    let sums = expected.concat().into_iter().zip(&addends[0].values).zip(&addends[1].values).map(|((a, b), c)| a + b + c);
    for (index, (ours, expected)) in signal.values.iter().zip(sums).enumerate() {
        assert!((ours - expected).abs() < TOLERANCE, "{index}: {ours}, expected {expected}: {shape:?}");
    }
}

const SHAPE: Shape = Shape {
    inputs: 3,
    outputs: 5,
    kernel: 3,
    dilation: 1,
    stride: 1,
    padding: [1, 1],
    transposed: false,
};

/// Blocks of a signal of several blocks read inputs of their neighbours.
#[test]
fn signal_of_several_blocks_is_convolved() {
    check(Shape { inputs: 256, outputs: 8, kernel: 3, dilation: 40, padding: [40, 40], ..SHAPE }, 500);
    check(Shape { inputs: 700, outputs: 3, kernel: 16, stride: 8, padding: [4, 4], transposed: true, ..SHAPE }, 120);
}

#[test]
fn unsupported_shapes_are_refused() {
    let new = |shape: Shape, weights| Convolution::new(shape, &vec![1.0; weights], &vec![1.0; shape.outputs]);
    assert!(new(SHAPE, 45).is_some());
    assert!(new(SHAPE, 44).is_none());
    assert!(new(Shape { kernel: 0, ..SHAPE }, 0).is_none());
    assert!(new(Shape { stride: 0, transposed: true, ..SHAPE }, 45).is_none());
    assert!(new(Shape { stride: 2, ..SHAPE }, 45).is_none());
    assert!(new(Shape { dilation: 2, transposed: true, ..SHAPE }, 45).is_none());
    assert!(new(Shape { inputs: usize::MAX, outputs: 2, ..SHAPE }, 45).is_none());
    assert!(Convolution::new(SHAPE, &[1.0; 45], &[1.0; 4]).is_none());
}

#[test]
fn signals_of_other_dimensions_are_refused() {
    let convolution = Convolution::new(Shape { padding: [0, 0], ..SHAPE }, &[1.0; 45], &[0.0; 5]).unwrap();
    let run = |channels: usize, width: usize, addend: usize| {
        let [input, addend] = [(channels, width), (5, addend)].map(|(channels, width)| Signal {
            values: vec![1.0; channels * width],
            width,
        });
        convolution.run(&input, Activation::NONE, &[&addend])
    };
    assert_eq!(run(3, 4, 2).unwrap(), Signal { values: vec![10.0; 10], width: 2 });
    assert_eq!(run(4, 4, 2), None);
    assert_eq!(run(3, 4, 3), None);
    assert_eq!(run(3, 2, 0), None);
    assert_eq!(run(3, 0, 0), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolutions_equal_plain_loops(
        (inputs, outputs) in (1_usize..6, 1_usize..20),
        (kernel, dilation) in (1_usize..8, 1_usize..13),
        padding in [0_usize..50, 0_usize..50],
        width in 1_usize..200,
    ) {
        prop_assume!(width + padding[0] + padding[1] > (kernel - 1) * dilation);
        check(Shape { inputs, outputs, kernel, dilation, padding, ..SHAPE }, width);
    }

    #[test]
    fn transposed_convolutions_equal_plain_loops(
        (inputs, outputs) in (1_usize..6, 1_usize..20),
        (kernel, stride) in (1_usize..20, 1_usize..10),
        padding in [0_usize..10, 0_usize..10],
        width in 1_usize..200,
    ) {
        prop_assume!((width - 1) * stride + kernel > padding[0] + padding[1]);
        check(Shape { inputs, outputs, kernel, stride, padding, transposed: true, ..SHAPE }, width);
    }
}
