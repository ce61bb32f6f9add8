//! False proofs of nodes that consist of several layers: softmaxes, norms, means, quotients, trees,
//! ArgMax, embeddings, computed indices, recurrent cells and QuantizeLinear. The networks here are
//! small ones of the same form.

use super::choices::{condition, dense, sum};
use super::steps::check_false_steps;
use super::*;
use crate::testing::{moved, product, small, table};

test_with_both_schemes!(
    softmax_with_another_sum_or_reciprocal_is_rejected,
    norm_with_another_sum_or_root_is_rejected,
    mean_with_another_sum_or_rounding_is_rejected,
    quotient_of_another_divisor_is_rejected,
    another_leaf_of_a_tree_is_rejected,
    another_position_of_the_maximum_is_rejected,
    embedding_of_another_token_is_rejected,
    element_of_another_index_is_rejected,
    another_state_of_a_recurrent_cell_is_rejected,
    another_rounding_of_a_quantised_number_is_rejected,
);

/// Arguments of a table.
pub(super) const BYTES: Range = Range { low: 0, high: 255 };

pub(super) fn table_of(input: u32, arguments: Range, value: fn(i64) -> i64) -> Layer {
    let Range { low, high } = arguments;
    table(input, low, (low..=high).map(|argument| i32::try_from(value(argument)).unwrap()))
}

pub(super) fn rescaled(layer: Layer, shift: u8, bits: u8) -> Layer {
    Layer { rescale: Some(Rescale { shift, clamp: Clamp::Unsigned(bits) }), ..layer }
}

/// Creates the layers of the maximum of three numbers, which the first layer moves into a column.
pub(super) fn maximum(input: u32) -> [Layer; 2] {
    let column = Operation::Move {
        shape: Shape::new(1, 3, 1).unwrap(),
        indices: vec![0, 1, 2],
        constant: 0,
    };
    let window = Window { kernel: [3, 1], stride: [1; 2], padding: [0; 4] };
    [(input, column), (input + 1, Operation::MaxPool { window })].map(|(input, operation)| Layer {
        inputs: vec![input],
        operation,
        rescale: None,
        scale: 0,
    })
}

/// Creates a layer that multiplies each channel by a weight and adds a bias.
fn per_channel(input: u32, weights: &[i32], bias: &[i64]) -> Layer {
    let operation = Operation::Convolution {
        window: Window { kernel: [1; 2], stride: [1; 2], padding: [0; 4] },
        groups: weights.len(),
        weights: weights.to_vec(),
        bias: bias.to_vec(),
    };
    Layer { inputs: vec![input], operation, rescale: None, scale: 0 }
}

/// Creates the layers of a softmax of three numbers before the last one: layer 4 has their distances
/// from the maximum, layer 5 the powers of these, and the last one a function of the sum of all
/// powers with these weights, for each number.
pub(super) fn powers_and_sum(
    power: fn(i64) -> i64,
    weights: [i32; 3],
    of_sum: fn(i64) -> i64,
) -> Vec<Layer> {
    let [column, largest] = maximum(0);
    vec![
        column,
        largest,
        moved(&[2], &[0; 3], 0),
        sum(&[0, 3], &[1, -1]),
        table_of(4, Range { low: -255, high: 255 }, power),
        rescaled(dense(5, &weights, 1), 1, 9),
        table_of(6, Range { low: 0, high: 511 }, of_sum),
        moved(&[7], &[0; 3], 0),
    ]
}

/// Creates a softmax of three numbers: powers of their distances from the maximum, times the
/// reciprocal of the sum of all powers with these weights.
fn softmax_network(
    power: fn(i64) -> i64,
    weights: [i32; 3],
    reciprocal: fn(i64) -> i64,
) -> Network {
    let mut layers = powers_and_sum(power, weights, reciprocal);
    layers.push(rescaled(product(5, 8, None), 7, 9));
    small(3, layers)
}

/// Returns 255 divided by two for each 32 below the maximum.
pub(super) fn halving_power(distance: i64) -> i64 {
    if distance > 0 { 255 } else { 255 >> (-distance / 32) }
}

fn reciprocal(sum: i64) -> i64 {
    16_384 / (sum + 64)
}

fn softmax_with_another_sum_or_reciprocal_is_rejected<S: Scheme>() {
    let inputs = [64, 0, 100];
    let honest = softmax_network(halving_power, [1; 3], reciprocal);
    assert_eq!(testing::outputs(&honest, &inputs), [60, 15, 120]);
    let doubled = softmax_network(halving_power, [1; 3], |sum| 2 * reciprocal(sum));
    check_false_steps::<S>(&honest, &inputs, &doubled, &[119, 29, 239]);
    let without_a_term = softmax_network(halving_power, [1, 0, 1], reciprocal);
    check_false_steps::<S>(&honest, &inputs, &without_a_term, &[64, 16, 128]);
    let halved_distance =
        softmax_network(|distance| halving_power(distance / 2), [1; 3], reciprocal);
    check_false_steps::<S>(&honest, &inputs, &halved_distance, &[84, 42, 84]);
}

/// Creates a norm of three numbers: each times a table of the sum of their squares with these
/// weights.
fn norm_network(weights: [i32; 3], inverse_root: fn(i64) -> i64) -> Network {
    let layers = vec![
        table_of(0, BYTES, |number| number * number / 256),
        rescaled(dense(1, &weights, 1), 1, 9),
        table_of(2, Range { low: 0, high: 511 }, inverse_root),
        moved(&[3], &[0; 3], 0),
        rescaled(product(0, 4, None), 7, 9),
    ];
    small(3, layers)
}

fn inverse_root(square: i64) -> i64 {
    4096 / (16 + 4 * square.isqrt())
}

fn norm_with_another_sum_or_root_is_rejected<S: Scheme>() {
    let inputs = [30, 60, 200];
    let honest = norm_network([1; 3], inverse_root);
    assert_eq!(testing::outputs(&honest, &inputs), [18, 37, 122]);
    check_false_steps::<S>(
        &honest,
        &inputs,
        &norm_network([1, 1, 0], inverse_root),
        &[34, 68, 228],
    );
    let quarter_norm = norm_network([1; 3], |square| inverse_root(square / 4));
    check_false_steps::<S>(&honest, &inputs, &quarter_norm, &[30, 60, 200]);
}

/// Creates the mean of three numbers: a table of their sum with these weights.
fn mean_network(weights: [i32; 3], third: fn(i64) -> i64) -> Network {
    small(3, vec![dense(0, &weights, 1), table_of(1, Range { low: 0, high: 765 }, third)])
}

fn rounded_third(sum: i64) -> i64 {
    (2 * sum + 3) / 6
}

fn mean_with_another_sum_or_rounding_is_rejected<S: Scheme>() {
    let inputs = [30, 60, 200];
    let honest = mean_network([1; 3], rounded_third);
    assert_eq!(testing::outputs(&honest, &inputs), [97]);
    check_false_steps::<S>(&honest, &inputs, &mean_network([1, 1, 0], rounded_third), &[30]);
    check_false_steps::<S>(&honest, &inputs, &mean_network([1; 3], |sum| sum / 3), &[96]);
}

/// Creates the quotient of the first number and another one: a product with its reciprocal.
fn quotient_network(divisor: u32, inverse: fn(i64) -> i64) -> Network {
    let layers = vec![
        moved(&[0], &[0], 0),
        moved(&[0], &[divisor], 0),
        table_of(2, BYTES, inverse),
        rescaled(product(1, 3, None), 8, 12),
    ];
    small(2, layers)
}

fn inverse(divisor: i64) -> i64 {
    4096 / (divisor + 1)
}

fn quotient_of_another_divisor_is_rejected<S: Scheme>() {
    let inputs = [200, 49];
    let honest = quotient_network(1, inverse);
    assert_eq!(testing::outputs(&honest, &inputs), [63]);
    check_false_steps::<S>(&honest, &inputs, &quotient_network(0, inverse), &[16]);
    check_false_steps::<S>(
        &honest,
        &inputs,
        &quotient_network(1, |divisor| 2 * inverse(divisor)),
        &[127],
    );
}

/// Creates a tree of two levels: whether the first number is at most the first limit, then whether
/// the second one is at most the second limit, or else the third. Each comparison and its opposite
/// have a limit. Its output is the number of the leaf that is reached, from 10 to 40.
fn tree_network(at_most: [i64; 3], above: [i64; 3]) -> Network {
    let bias: Vec<i64> =
        at_most.iter().zip(above).flat_map(|(limit, above)| [limit + 1, -above]).collect();
    let layers = vec![
        moved(&[0], &[0, 0, 1, 1, 1, 1], 0),
        rescaled(per_channel(1, &[-1, 1, -1, 1, -1, 1], &bias), 0, 1),
        moved(&[2], &[0, 0, 1, 1], 0),
        moved(&[2], &[2, 3, 4, 5], 0),
        product(3, 4, None),
        dense(5, &[10, 20, 30, 40], 1),
    ];
    small(2, layers)
}

fn another_leaf_of_a_tree_is_rejected<S: Scheme>() {
    let limits = [100, 50, 150];
    let honest = tree_network(limits, limits);
    for (inputs, leaf) in [([80, 50], 10), ([100, 51], 20), ([101, 150], 30), ([255, 151], 40)] {
        assert_eq!(testing::outputs(&honest, &inputs), [leaf], "{inputs:?}");
    }
    let other_limit = [60, 50, 150];
    check_false_steps::<S>(&honest, &[80, 60], &tree_network(other_limit, other_limit), &[30]);
    let two_leaves = tree_network([100, 70, 150], limits);
    check_false_steps::<S>(&honest, &[80, 60], &two_leaves, &[30]);
    let no_leaf = tree_network(limits, [100, 70, 150]);
    check_false_steps::<S>(&honest, &[80, 60], &no_leaf, &[0]);
}

/// Creates an ArgMax of three numbers: 3 minus the largest rank of those that equal the maximum.
fn argmax_network(equals: fn(i64) -> bool, ranks: [i32; 3]) -> Network {
    let ([column, largest], [ranked, first]) = (maximum(0), maximum(6));
    let layers = vec![
        column,
        largest,
        moved(&[2], &[0; 3], 0),
        sum(&[3, 0], &[1, -1]),
        condition(4, Range { low: -255, high: 255 }, equals),
        per_channel(5, &ranks, &[0; 3]),
        ranked,
        first,
        per_channel(8, &[-1], &[3]),
    ];
    small(3, layers)
}

fn another_position_of_the_maximum_is_rejected<S: Scheme>() {
    let honest = argmax_network(|distance| distance == 0, [3, 2, 1]);
    for (inputs, position) in [([200, 50, 200], 0), ([50, 200, 200], 1), ([1, 2, 3], 2)] {
        assert_eq!(testing::outputs(&honest, &inputs), [position], "{inputs:?}");
    }
    let inputs = [200, 50, 200];
    let smaller_position = argmax_network(|distance| distance > 0, [3, 2, 1]);
    check_false_steps::<S>(&honest, &inputs, &smaller_position, &[1]);
    let last_position = argmax_network(|distance| distance == 0, [0, 2, 1]);
    check_false_steps::<S>(&honest, &inputs, &last_position, &[2]);
}

/// Creates an embedding of two tokens in two dimensions, of which each is a table.
fn embedding_network(columns: [fn(i64) -> i64; 2]) -> Network {
    let [first, second] = columns;
    let layers = vec![
        table_of(0, BYTES, first),
        table_of(0, BYTES, second),
        moved(&[1, 2], &[0, 2, 1, 3], 0),
    ];
    small(2, layers)
}

fn embedding_of_another_token_is_rejected<S: Scheme>() {
    let first = |token: i64| token * 7 % 251;
    let second = |token: i64| token * 13 % 241 - 100;
    let honest = embedding_network([first, second]);
    assert_eq!(testing::outputs(&honest, &[5, 9]), [35, -35, 63, 17]);
    let next =
        embedding_network([|token| (token + 1) * 7 % 251, |token| (token + 1) * 13 % 241 - 100]);
    check_false_steps::<S>(&honest, &[5, 9], &next, &[42, -22, 70, 30]);
    // One dimension only.
    let mixed = embedding_network([|token| (token + 1) * 7 % 251, second]);
    check_false_steps::<S>(&honest, &[5, 9], &mixed, &[42, -35, 70, 17]);
}

/// Creates a Gather with a computed index, the first number: the sum of the three others, each
/// times whether it is chosen.
fn gather_network(is_chosen: [fn(i64) -> bool; 3]) -> Network {
    let [first, second, third] = is_chosen;
    let layers = vec![
        moved(&[0], &[0], 0),
        condition(1, BYTES, first),
        condition(1, BYTES, second),
        condition(1, BYTES, third),
        moved(&[2, 3, 4], &[0, 1, 2], 0),
        moved(&[0], &[1, 2, 3], 0),
        product(5, 6, None),
        dense(7, &[1; 3], 1),
    ];
    small(4, layers)
}

fn element_of_another_index_is_rejected<S: Scheme>() {
    let inputs = [1, 50, 70, 90];
    let honest = gather_network([|index| index == 0, |index| index == 1, |index| index == 2]);
    assert_eq!(testing::outputs(&honest, &inputs), [70]);
    let next = gather_network([|index| index == 0, |index| index == 2, |index| index == 1]);
    check_false_steps::<S>(&honest, &inputs, &next, &[90]);
    let both = gather_network([|index| index <= 1, |index| index == 1, |index| index == 2]);
    check_false_steps::<S>(&honest, &inputs, &both, &[120]);
    let none = gather_network([|index| index == 0, |index| index == 3, |index| index == 2]);
    check_false_steps::<S>(&honest, &inputs, &none, &[0]);
}

/// Creates a recurrent cell of three steps, whose state is a table of the sum of the input and the
/// state before. The third step reads the state `before`, of which 5 is that of the second step.
fn recurrent_network(second: fn(i64) -> i64, before: u32) -> Network {
    let arguments = Range { low: 0, high: 510 };
    let layers = vec![
        moved(&[0], &[0], 0),
        table_of(1, BYTES, activation),
        moved(&[0], &[1], 0),
        sum(&[3, 2], &[1; 2]),
        table_of(4, arguments, second),
        moved(&[0], &[2], 0),
        sum(&[6, before], &[1; 2]),
        table_of(7, arguments, activation),
    ];
    small(3, layers)
}

fn activation(sum: i64) -> i64 {
    (sum * 2 / 5).min(127)
}

fn another_state_of_a_recurrent_cell_is_rejected<S: Scheme>() {
    let inputs = [100, 40, 20];
    let honest = recurrent_network(activation, 5);
    assert_eq!(testing::outputs(&honest, &inputs), [20]);
    let false_first_step = recurrent_network(activation, 2);
    check_false_steps::<S>(&honest, &inputs, &false_first_step, &[24]);
    let other_activation = recurrent_network(|sum| sum / 3, 5);
    check_false_steps::<S>(&honest, &inputs, &other_activation, &[18]);
}

/// Divides by 10 and rounds halves to the even number, as QuantizeLinear does.
fn divide_by_ten(number: i64) -> i64 {
    let (quotient, remainder) = (number / 10, number % 10);
    quotient + i64::from(remainder > 5 || (remainder == 5 && quotient % 2 == 1))
}

fn another_rounding_of_a_quantised_number_is_rejected<S: Scheme>() {
    let quantised = |value: fn(i64) -> i64| small(3, vec![table_of(0, BYTES, value)]);
    let inputs = [25, 35, 250];
    let honest = quantised(|number| divide_by_ten(number).min(20));
    assert_eq!(testing::outputs(&honest, &inputs), [2, 4, 20]);
    for (other, outputs) in [
        (quantised(|number| ((number + 5) / 10).min(20)), [3, 4, 20]),
        (quantised(|number| (number / 10).min(20)), [2, 3, 20]),
        // Saturation at another end.
        (quantised(|number| divide_by_ten(number).min(15)), [2, 4, 15]),
    ] {
        check_false_steps::<S>(&honest, &inputs, &other, &outputs);
    }
}
