//! Comparison with plain loops.

use proptest::prelude::*;
use proptest::sample::Index;

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
    let activate =
        |value: &f32| if value * factor < 0.0 { value * factor * slope } else { value * factor };
    signal.values.iter().map(activate).collect()
}

/// A convolution as ONNX defines it.
fn expected(
    shape: Shape,
    weights: &[f32],
    bias: &[f32],
    input: &Signal,
    activation: Activation,
) -> Vec<Vec<f32>> {
    let Shape { inputs, outputs, kernel, dilation, stride, padding: [before, after], transposed } =
        shape;
    let activated = activated(input, activation);
    let channels: Vec<&[f32]> = activated.chunks_exact(input.width).collect();
    let padded: Vec<Vec<f32>> = channels
        .iter()
        .map(|channel| [vec![0.0; before].as_slice(), channel, &vec![0.0; after]].concat())
        .collect();
    let row = |output: usize| {
        if transposed {
            let mut row = vec![bias[output]; (input.width - 1) * stride + kernel];
            for (i, channel) in channels.iter().enumerate() {
                for (time, value) in channel.iter().enumerate() {
                    for k in 0..kernel {
                        row[time * stride + k] +=
                            value * weights[(i * outputs + output) * kernel + k];
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
                bias[output]
                    + (0..inputs)
                        .map(|i| (0..kernel).map(|k| product(i, k)).sum::<f32>())
                        .sum::<f32>()
            };
            (0..width).map(sample).collect()
        }
    };
    (0..outputs).map(row).collect()
}

/// Compares a range of a convolution of `width` samples, to which two signals are added, with plain
/// loops. The input is only the part that the range needs.
fn check(shape: Shape, width: usize, range: impl FnOnce(usize) -> Range<usize>) {
    let Shape { inputs, outputs, kernel, .. } = shape;
    let (weights, bias) = (values(inputs * outputs * kernel, 1), values(outputs, 2));
    let input = Signal { values: values(inputs * width, 3), width, start: 0 };
    let activation = Activation { factor: 0.5, slope: 0.1 };
    let expected = expected(shape, &weights, &bias, &input, activation);
    let convolution = Convolution::new(shape, &weights, &bias).unwrap();
    assert_eq!(convolution.width(width), Some(expected[0].len()), "{shape:?}");

    let width = expected[0].len();
    let range = range(width);
    let addends =
        [4, 5].map(|seed| Signal { values: values(outputs * width, seed), width, start: 0 });
    let needed = convolution.needed_inputs(&range);
    let input = part(&input, needed.start.min(input.width)..needed.end.min(input.width));
    let signal = convolution.run(
        &input,
        activation,
        &[&addends[0], &part(&addends[1], range.start..width)],
        range.clone(),
        &mut Scratch::default(),
    );
    assert_eq!(
        (signal.start, signal.width, signal.values.len()),
        (range.start, range.len(), outputs * range.len())
    );
    for output in 0..outputs {
        for (ours, at) in signal.channel(output).iter().zip(range.clone()) {
            let expected = expected[output][at]
                + addends[0].channel(output)[at]
                + addends[1].channel(output)[at];
            assert!(
                (ours - expected).abs() < TOLERANCE,
                "{output}, {at}: {ours}, expected {expected}: {shape:?}"
            );
        }
    }
}

/// Returns a range of a signal.
fn part(signal: &Signal, range: Range<usize>) -> Signal {
    let values = signal
        .values
        .chunks_exact(signal.width)
        .flat_map(|channel| &channel[range.clone()])
        .copied();
    Signal { values: values.collect(), width: range.len(), start: range.start }
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

#[test]
fn unsupported_shapes_are_refused() {
    let new = |shape: Shape, weights| {
        Convolution::new(shape, &vec![1.0; weights], &vec![1.0; shape.outputs])
    };
    assert!(new(SHAPE, 45).is_some());
    assert!(new(SHAPE, 44).is_none());
    assert!(new(Shape { kernel: 0, ..SHAPE }, 0).is_none());
    assert!(new(Shape { stride: 0, transposed: true, ..SHAPE }, 45).is_none());
    assert!(new(Shape { stride: 2, ..SHAPE }, 45).is_none());
    assert!(new(Shape { stride: 4, transposed: true, ..SHAPE }, 45).is_none());
    assert!(new(Shape { dilation: 2, transposed: true, ..SHAPE }, 45).is_none());
    assert!(new(Shape { inputs: usize::MAX, outputs: 2, ..SHAPE }, 45).is_none());
    assert!(Convolution::new(SHAPE, &[1.0; 45], &[1.0; 4]).is_none());
}

#[test]
fn too_short_signal_has_no_output() {
    let convolution =
        Convolution::new(Shape { padding: [0, 1], ..SHAPE }, &[1.0; 45], &[0.0; 5]).unwrap();
    assert_eq!([0, 1, 2, 3].map(|width| convolution.width(width)), [None, None, Some(1), Some(2)]);
    let shape = Shape { transposed: true, stride: 2, padding: [2, 3], ..SHAPE };
    let convolution = Convolution::new(shape, &[1.0; 45], &[0.0; 5]).unwrap();
    assert_eq!([0, 1, 2, 3].map(|width| convolution.width(width)), [None, None, None, Some(2)]);
}

/// Returns a range of at least one of `width` samples.
fn range(ends: [Index; 2], width: usize) -> Range<usize> {
    let [one, other] = ends.map(|end| end.index(width));
    one.min(other)..one.max(other) + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolutions_equal_plain_loops(
        (inputs, outputs) in (1_usize..6, 1_usize..20),
        (kernel, dilation) in (1_usize..8, 1_usize..13),
        padding in [0_usize..50, 0_usize..50],
        width in 1_usize..200,
        ends in [any::<Index>(), any::<Index>()],
    ) {
        prop_assume!(width + padding[0] + padding[1] > (kernel - 1) * dilation);
        check(Shape { inputs, outputs, kernel, dilation, padding, ..SHAPE }, width, |width| range(ends, width));
    }

    #[test]
    fn transposed_convolutions_equal_plain_loops(
        (inputs, outputs) in (1_usize..6, 1_usize..20),
        (kernel, stride) in (1_usize..20, 1_usize..10),
        padding in [0_usize..10, 0_usize..10],
        width in 1_usize..200,
        ends in [any::<Index>(), any::<Index>()],
    ) {
        prop_assume!(stride <= kernel && (width - 1) * stride + kernel > padding[0] + padding[1]);
        check(Shape { inputs, outputs, kernel, stride, padding, transposed: true, ..SHAPE }, width, |width| range(ends, width));
    }
}
