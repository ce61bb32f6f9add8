//! Layers that treat every element on its own: tables, moves and products.

use taonet_proof_core::network::{FORMAT, Input, Layer, Matrices, Network, Operation};
use taonet_proof_core::{Clamp, Range, Rescale, Shape};

use super::{generator, weights};

fn vector(length: usize) -> Shape {
    Shape::vector(length).unwrap()
}

fn layer(inputs: &[u32], operation: Operation, rescale: Option<Rescale>) -> Layer {
    Layer { inputs: inputs.to_vec(), operation, rescale, scale: 0 }
}

/// Creates a layer of a table whose first value is for `low`.
pub(crate) fn table(input: u32, low: i64, values: impl IntoIterator<Item = i32>) -> Layer {
    layer(&[input], Operation::Table { low, values: values.into_iter().collect() }, None)
}

/// Creates a layer that moves elements of its inputs; the position after the last one stands for
/// the constant.
pub(crate) fn moved(inputs: &[u32], indices: &[u32], constant: i64) -> Layer {
    let operation =
        Operation::Move { shape: vector(indices.len()), indices: indices.to_vec(), constant };
    layer(inputs, operation, None)
}

/// Creates a layer that multiplies two tensors.
pub(crate) fn product(a: u32, b: u32, rescale: Option<Rescale>) -> Layer {
    layer(&[a, b], Operation::Product, rescale)
}

/// Creates a network whose inputs are the first and then the second matrices of products.
pub(crate) fn matrices(sizes: Matrices, rescale: Option<Rescale>) -> Network {
    let Matrices { count, rows, inner, columns } = sizes;
    let (a, b) = ((count * rows * inner) as u32, (count * inner * columns) as u32);
    let [first, second] = [0..a, a..a + b].map(|part| moved(&[0], &part.collect::<Vec<_>>(), 0));
    small(
        (a + b) as usize,
        vec![first, second, layer(&[1, 2], Operation::MatrixProduct(sizes), rescale)],
    )
}

/// Creates a network of `length` inputs in `0..=255` with these layers.
pub(crate) fn small(length: usize, layers: Vec<Layer>) -> Network {
    let input = Input { shape: vector(length), range: Range { low: 0, high: 255 }, scale: 0 };
    Network { format: FORMAT, input, layers }
}

/// Creates a network with tables of activations and of inputs, moves with and without a constant,
/// and products with and without a rescale. Its outputs are moved, and one of them is the constant.
/// Without tables, sums take their place.
pub(crate) fn elements(seed: u64, has_tables: bool) -> Network {
    let mut generator = generator(seed);
    let signed = |shift, bits| Some(Rescale { shift, clamp: Clamp::Signed(bits) });
    let (on_activations, on_inputs) = if has_tables {
        // Neither monotone nor symmetric.
        let values = (-64..64).map(|argument: i32| argument * argument / 40 - 20 + argument / 7);
        (table(1, -64, values), table(0, 0, (0..256).map(|argument| argument % 17 - 8)))
    } else {
        let sum = |input: u32, factor: i32| {
            layer(&[input], Operation::Sum { factors: vec![factor] }, signed(2, 5))
        };
        (sum(1, 3), sum(0, -1))
    };
    let dense = |inputs: usize, bias: Vec<i64>, generator: &mut _| Operation::Dense {
        weights: weights(generator, inputs * bias.len()),
        bias,
    };
    small(
        8,
        vec![
            layer(&[0], dense(8, vec![-500, 0, 3, 1234, 7, -7], &mut generator), signed(8, 6)),
            on_activations,
            on_inputs,
            moved(&[2, 3], &[13, 0, 14, 5, 5, 6, 1, 14, 12, 2, 3, 8], -5),
            product(2, 1, signed(3, 6)),
            product(5, 2, None),
            layer(&[4], dense(12, vec![1, -2, 3], &mut generator), None),
            moved(&[7, 6], &[8, 0, 9, 1, 3, 2, 3], 77),
        ],
    )
}
