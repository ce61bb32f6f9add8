//! False proofs of further nodes that consist of several layers: minima, products and running sums
//! of elements, logarithmic softmaxes, gates of recurrent cells, logical operators, sums of tensors
//! and support vector machines. The networks here are small ones of the same form.

use super::choices::{condition, dense, sum};
use super::nodes::{BYTES, halving_power, maximum, powers_and_sum, rescaled, table_of};
use super::steps::check_false_steps;
use super::*;
use crate::testing::{moved, product, small};

test_with_both_schemes!(
    maximum_in_place_of_a_minimum_is_rejected,
    product_of_other_elements_is_rejected,
    other_running_sums_are_rejected,
    logarithmic_softmax_with_another_logarithm_is_rejected,
    another_gate_of_a_recurrent_cell_is_rejected,
    another_logical_result_is_rejected,
    sum_with_other_factors_is_rejected,
    another_kernel_of_a_support_vector_machine_is_rejected,
);

/// Creates the minimum of three numbers: the opposite of the maximum of their opposites.
fn minimum_network(factor: i32) -> Network {
    let [column, largest] = maximum(1);
    small(3, vec![sum(&[0], &[factor]), column, largest, rescaled(sum(&[3], &[factor]), 0, 8)])
}

fn maximum_in_place_of_a_minimum_is_rejected<S: Scheme>() {
    let inputs = [200, 50, 100];
    let honest = minimum_network(-1);
    assert_eq!(testing::outputs(&honest, &inputs), [50]);
    check_false_steps::<S>(&honest, &inputs, &minimum_network(1), &[200]);
}

/// Creates the product of three elements: that of two of them, which is rounded, times the third
/// one.
fn product_network(second: u32, third: u32) -> Network {
    let layers = vec![
        moved(&[0], &[0], 0),
        moved(&[0], &[second], 0),
        rescaled(product(1, 2, None), 4, 12),
        moved(&[0], &[third], 0),
        rescaled(product(3, 4, None), 8, 12),
    ];
    small(3, layers)
}

fn product_of_other_elements_is_rejected<S: Scheme>() {
    let inputs = [200, 50, 100];
    let honest = product_network(1, 2);
    assert_eq!(testing::outputs(&honest, &inputs), [244]);
    check_false_steps::<S>(&honest, &inputs, &product_network(1, 0), &[488]);
    check_false_steps::<S>(&honest, &inputs, &product_network(0, 2), &[977]);
}

fn other_running_sums_are_rejected<S: Scheme>() {
    let inputs = [50, 70, 90];
    let sums = |weights: [i32; 9]| small(3, vec![rescaled(dense(0, &weights, 3), 0, 10)]);
    let honest = sums([1, 0, 0, 1, 1, 0, 1, 1, 1]);
    assert_eq!(testing::outputs(&honest, &inputs), [50, 120, 210]);
    let exclusive = sums([0, 0, 0, 1, 0, 0, 1, 1, 0]);
    check_false_steps::<S>(&honest, &inputs, &exclusive, &[0, 50, 120]);
}

/// Creates a logarithmic softmax of three numbers: their distances from the maximum, less a table
/// of the sum of all powers with these weights.
fn logarithmic_softmax_network(weights: [i32; 3], logarithm: fn(i64) -> i64) -> Network {
    let mut layers = powers_and_sum(halving_power, weights, logarithm);
    layers.push(sum(&[4, 8], &[1, -1]));
    small(3, layers)
}

/// Returns a function of a sum that grows more slowly than the sum, as a logarithm does.
fn logarithm(sum: i64) -> i64 {
    20 * sum.isqrt()
}

fn logarithmic_softmax_with_another_logarithm_is_rejected<S: Scheme>() {
    let inputs = [64, 0, 100];
    let honest = logarithmic_softmax_network([1; 3], logarithm);
    assert_eq!(testing::outputs(&honest, &inputs), [-316, -380, -280]);
    let half = logarithmic_softmax_network([1; 3], |sum| logarithm(sum) / 2);
    check_false_steps::<S>(&honest, &inputs, &half, &[-176, -240, -140]);
    let without_a_term = logarithmic_softmax_network([1, 0, 1], logarithm);
    check_false_steps::<S>(&honest, &inputs, &without_a_term, &[-296, -360, -260]);
}

/// Creates the new state of a recurrent cell: the old state, the second input, times a gate of the
/// first input, and a candidate, whose position is given, times the remaining share of 16.
fn gated_network(gate: fn(i64) -> i64, candidate: u32) -> Network {
    let layers = vec![
        moved(&[0], &[0], 0),
        table_of(1, BYTES, gate),
        table_of(1, BYTES, |number| 16 - number / 16),
        moved(&[0], &[1], 0),
        moved(&[0], &[candidate], 0),
        rescaled(product(2, 4, None), 0, 12),
        rescaled(product(3, 5, None), 0, 12),
        rescaled(sum(&[6, 7], &[1, 1]), 4, 8),
    ];
    small(3, layers)
}

fn another_gate_of_a_recurrent_cell_is_rejected<S: Scheme>() {
    let inputs = [128, 200, 50];
    let honest = gated_network(|number| number / 16, 2);
    assert_eq!(testing::outputs(&honest, &inputs), [125]);
    let smaller_gate = gated_network(|number| number / 32, 2);
    check_false_steps::<S>(&honest, &inputs, &smaller_gate, &[75]);
    let unchanged_state = gated_network(|number| number / 16, 1);
    check_false_steps::<S>(&honest, &inputs, &unchanged_state, &[200]);
}

/// Creates a layer of a condition of each of two numbers, and a layer that combines both.
fn combined_conditions_network(
    conditions: [fn(i64) -> bool; 2],
    layers: impl IntoIterator<Item = Layer>,
) -> Network {
    let [first, second] = conditions;
    let mut all = vec![
        moved(&[0], &[0], 0),
        condition(1, BYTES, first),
        moved(&[0], &[1], 0),
        condition(3, BYTES, second),
    ];
    all.extend(layers);
    small(2, all)
}

fn another_logical_result_is_rejected<S: Scheme>() {
    let inputs = [200, 50];
    let above: fn(i64) -> bool = |number| number > 100;
    let exclusive = |conditions: [fn(i64) -> bool; 2], differs: fn(i64) -> bool| {
        let differences = Range { low: -1, high: 1 };
        let layers = [sum(&[2, 4], &[1, -1]), condition(5, differences, differs)];
        combined_conditions_network(conditions, layers)
    };
    let honest = exclusive([above, above], |difference| difference != 0);
    assert_eq!(testing::outputs(&honest, &inputs), [1]);
    let opposite = exclusive([above, above], |difference| difference == 0);
    check_false_steps::<S>(&honest, &inputs, &opposite, &[0]);
    let other_limit = exclusive([|number| number > 220, above], |difference| difference != 0);
    check_false_steps::<S>(&honest, &inputs, &other_limit, &[0]);

    let both = |conditions: [fn(i64) -> bool; 2]| {
        combined_conditions_network(conditions, [product(2, 4, None)])
    };
    let honest = both([above, above]);
    assert_eq!(testing::outputs(&honest, &inputs), [0]);
    check_false_steps::<S>(&honest, &inputs, &both([above, |number| number > 30]), &[1]);
}

fn sum_with_other_factors_is_rejected<S: Scheme>() {
    let inputs = [200, 100];
    let mean = |factors: [i32; 2]| {
        let operands = [0, 1].map(|index| moved(&[0], &[index], 0));
        small(2, operands.into_iter().chain([rescaled(sum(&[1, 2], &factors), 1, 8)]).collect())
    };
    let honest = mean([1, 1]);
    assert_eq!(testing::outputs(&honest, &inputs), [150]);
    check_false_steps::<S>(&honest, &inputs, &mean([1, 2]), &[200]);
    check_false_steps::<S>(&honest, &inputs, &mean([1, -1]), &[50]);
}

/// Creates a support vector machine of two features and one support vector: a table of the squared
/// distance, in which the features have these weights, times a coefficient.
fn support_vector_network(weights: [i32; 2], kernel: fn(i64) -> i64, coefficient: i32) -> Network {
    let identity = Operation::Dense { weights: vec![1, 0, 0, 1], bias: vec![-60, -90] };
    let layers = vec![
        Layer { inputs: vec![0], operation: identity, rescale: None, scale: 0 },
        table_of(1, Range { low: -100, high: 200 }, |distance| distance * distance / 128),
        dense(2, &weights, 1),
        table_of(3, Range { low: 0, high: 700 }, kernel),
        dense(4, &[coefficient], 1),
    ];
    small(2, layers)
}

fn kernel_value(distance: i64) -> i64 {
    16_320 / (64 + distance)
}

fn another_kernel_of_a_support_vector_machine_is_rejected<S: Scheme>() {
    let inputs = [100, 80];
    let honest = support_vector_network([1, 1], kernel_value, 3);
    assert_eq!(testing::outputs(&honest, &inputs), [642]);
    let wider_kernel = support_vector_network([1, 1], |distance| kernel_value(distance / 2), 3);
    check_false_steps::<S>(&honest, &inputs, &wider_kernel, &[699]);
    check_false_steps::<S>(
        &honest,
        &inputs,
        &support_vector_network([1, 1], kernel_value, 2),
        &[428],
    );
    check_false_steps::<S>(
        &honest,
        &inputs,
        &support_vector_network([0, 1], kernel_value, 3),
        &[765],
    );
}
