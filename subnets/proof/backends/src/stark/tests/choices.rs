//! False proofs of choices: TopK, and products of conditions.

use super::steps::check_false_steps;
use super::*;
use crate::testing::{moved, product, small, table};

test_with_both_schemes!(
    another_largest_element_is_rejected,
    branch_of_another_condition_is_rejected,
    another_product_with_a_condition_is_rejected,
);

pub(super) fn dense(input: u32, weights: &[i32], rows: usize) -> Layer {
    let operation = Operation::Dense { weights: weights.to_vec(), bias: vec![0; rows] };
    Layer { inputs: vec![input], operation, rescale: None, scale: 0 }
}

pub(super) fn sum(inputs: &[u32], factors: &[i32]) -> Layer {
    let operation = Operation::Sum { factors: factors.to_vec() };
    Layer { inputs: inputs.to_vec(), operation, rescale: None, scale: 0 }
}

/// Creates a table of a condition.
pub(super) fn condition(input: u32, arguments: Range, holds: fn(i64) -> bool) -> Layer {
    table(
        input,
        arguments.low,
        (arguments.low..=arguments.high).map(|argument| i32::from(holds(argument))),
    )
}

/// Creates a network like those of TopK, of three elements: outputs the largest one and its
/// position. The conditions say of a difference whether the second element of a pair comes after
/// the first one or before it, and of a rank whether its element is chosen.
fn largest_element_network(
    after: fn(i64) -> bool,
    before: fn(i64) -> bool,
    selected: fn(i64) -> bool,
) -> Network {
    let differences = Range { low: -255, high: 255 };
    let layers = vec![
        // All pairs, and which of both elements comes first.
        moved(&[0], &[0, 0, 1], 0),
        moved(&[0], &[1, 2, 2], 0),
        sum(&[1, 2], &[1, -1]),
        condition(3, differences, after),
        condition(3, differences, before),
        // Rank of each element: the number of elements before it.
        moved(&[4, 5], &[3, 4, 0, 5, 1, 2], 0),
        dense(6, &[1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1], 3),
        condition(7, Range { low: 0, high: 2 }, selected),
        product(8, 0, None),
        dense(9, &[1; 3], 1),
        dense(8, &[0, 1, 2], 1),
        moved(&[10, 11], &[0, 1], 0),
    ];
    small(3, layers)
}

/// The cheat compares falsely, chooses another rank, or adds up equal elements.
fn another_largest_element_is_rejected<S: Scheme>() {
    let honest = largest_element_network(
        |difference| difference >= 0,
        |difference| difference < 0,
        |rank| rank == 0,
    );
    for (inputs, outputs) in
        [([50, 200, 100], [200, 1]), ([200, 200, 100], [200, 0]), ([1, 2, 3], [3, 2])]
    {
        assert_eq!(testing::outputs(&honest, &inputs), outputs, "{inputs:?}");
    }
    let reversed = largest_element_network(
        |difference| difference < 0,
        |difference| difference >= 0,
        |rank| rank == 0,
    );
    let second = largest_element_network(
        |difference| difference >= 0,
        |difference| difference < 0,
        |rank| rank == 1,
    );
    let all_equal = largest_element_network(
        |difference| difference > 0,
        |difference| difference < 0,
        |rank| rank == 0,
    );
    check_false_steps::<S>(&honest, &[50, 200, 100], &reversed, &[50, 0]);
    check_false_steps::<S>(&honest, &[50, 200, 100], &second, &[100, 2]);
    check_false_steps::<S>(&honest, &[200, 200, 100], &all_equal, &[400, 1]);
}

/// Creates a network like that of Where: if the first input is above 100, its output is the second
/// one, else the third one. The products with the condition and its opposite are the given layers.
fn choice_network(above: fn(i64) -> bool, below: fn(i64) -> bool, products: [Layer; 2]) -> Network {
    let inputs = Range { low: 0, high: 255 };
    let mut layers: Vec<Layer> = (0..3).map(|index| moved(&[0], &[index], 0)).collect();
    layers.extend([condition(1, inputs, above), condition(1, inputs, below)]);
    layers.extend(products);
    layers.push(sum(&[6, 7], &[1, 1]));
    small(3, layers)
}

fn gates() -> [Layer; 2] {
    [product(4, 2, None), product(5, 3, None)]
}

fn branch_of_another_condition_is_rejected<S: Scheme>() {
    let honest = choice_network(|input| input > 100, |input| input <= 100, gates());
    let opposite = choice_network(|input| input <= 100, |input| input > 100, gates());
    let both = choice_network(|_| true, |_| true, gates());
    let neither = choice_network(|_| false, |_| false, gates());
    check_false_steps::<S>(&honest, &[200, 50, 70], &opposite, &[70]);
    check_false_steps::<S>(&honest, &[200, 50, 70], &both, &[120]);
    check_false_steps::<S>(&honest, &[100, 50, 70], &opposite, &[50]);
    check_false_steps::<S>(&honest, &[100, 50, 70], &neither, &[0]);
}

/// Both conditions are right, but the product with the true one is 0, and that with the false one
/// is its branch.
fn another_product_with_a_condition_is_rejected<S: Scheme>() {
    let mut forger =
        Forger::<S>::new(&choice_network(|input| input > 100, |input| input <= 100, gates()));
    forger.change_inputs(&[200, 50, 70]);
    assert_eq!(forger.statement.outputs, [50]);
    assert_eq!(forger.forge_outputs(vec![50], |_| ()), Ok(()), "an unchanged trace is proven");
    let other = choice_network(
        |input| input > 100,
        |input| input <= 100,
        [sum(&[2, 2], &[1, -1]), sum(&[3], &[1])],
    );
    let circuit = other.lower().unwrap();
    let execution = circuit.execute(&[200, 50, 70]).unwrap();
    let outputs = forger.execute_other(&circuit, &execution);
    assert_eq!(outputs, [70]);
    let products = forger.table(TableKind::Multiplications);
    for rows in [
        // The products of the factors, which are not what the sum reads.
        [[1, 50, 50], [0, 70, 0]],
        // What the sum reads, which are not the products.
        [[1, 50, 0], [0, 70, 70]],
        // The products of other conditions, and of another branch.
        [[0, 50, 0], [1, 70, 70]],
        [[1, 0, 0], [1, 70, 70]],
    ] {
        let values: Vec<Val> =
            rows.as_flattened().iter().map(|&value| Val::from_i64(value)).collect();
        let result = forger.forge_outputs(outputs.clone(), |traces| {
            traces[products].values[..6].copy_from_slice(&values);
        });
        assert_eq!(result, Err(VerifyError::Invalid), "{rows:?}");
    }
}
