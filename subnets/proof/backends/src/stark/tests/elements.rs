//! Element-wise layers: tables, moves and products.

use super::*;
use crate::testing::{elements, moved, product, small, table};

test_with_both_schemes!(
    changed_column_of_element_wise_layers_is_rejected,
    value_of_another_row_is_rejected,
    argument_outside_of_the_table_is_rejected,
    false_product_is_rejected,
    false_order_of_elements_is_rejected,
    false_maximum_is_rejected,
    false_result_of_a_comparison_is_rejected,
    row_of_another_sum_is_rejected,
    false_branch_of_a_choice_is_rejected,
);

#[test]
fn element_wise_layers_are_proven_for_their_statement_only() {
    check_binding(&TestSetup::new(&Stark, &elements(1, true)));
}

#[test]
fn flipped_bit_of_element_wise_layers_is_rejected() {
    check_flips(&Stark, &TestSetup::new(&Stark, &elements(1, true)));
}

fn changed_column_of_element_wise_layers_is_rejected<S: Scheme>() {
    check_columns(&Forger::<S>::new(&elements(2, true)));
}

#[test]
fn lowest_and_highest_inputs_of_tables_and_products_are_proven() {
    let test_setup = TestSetup::new(&Stark, &elements(3, true));
    for inputs in [vec![0; 8], vec![255; 8], vec![0, 255, 0, 255, 0, 255, 0, 255]] {
        let (statement, proof) = test_setup.prove(&inputs);
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "{inputs:?}");
    }
}

/// Products of inputs come close to where they would wrap around, at both ends; larger ones are
/// rejected.
#[test]
fn extremes_of_products_are_proven() {
    let squares = |most: i64, rescale| {
        let mut network = small(2, vec![product(0, 1, rescale)]);
        network.input.range = Range { low: -most, high: most };
        network.layers.insert(0, moved(&[0], &[1, 0], 0));
        network
    };
    for rescale in [None, Some(Rescale { shift: 15, clamp: Clamp::Signed(8) })] {
        let test_setup = TestSetup::new(&Stark, &squares(32_600, rescale));
        assert!(test_setup.circuit.magnitude() > plan::MAX_MAGNITUDE / 100 * 98);
        for inputs in [[32_600, 32_600], [-32_600, 32_600], [-32_600, -32_600]] {
            let (statement, proof) = test_setup.prove(&inputs);
            assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "{inputs:?}");
        }
        let error = Stark.setup(&squares(32_700, rescale).lower().unwrap()).err();
        assert!(matches!(error, Some(BackendError::Magnitude { .. })), "{error:?}");
    }
}

#[test]
fn table_values_are_part_of_the_key() {
    let key = |change: i32| {
        let values =
            (0..256).map(|argument| if argument == 200 { argument + change } else { argument });
        Stark.setup(&small(3, vec![table(0, 0, values)]).lower().unwrap()).unwrap().verification
    };
    assert_eq!(key(0), key(0));
    assert_ne!(key(0), key(1));
}

#[test]
fn verification_key_depends_on_moves_and_products() {
    let key = |indices: [u32; 3], constant: i64, function: u32| {
        let layers = vec![moved(&[0], &indices, constant), product(1, function, None)];
        Stark.setup(&small(3, layers).lower().unwrap()).unwrap().verification
    };
    let one = key([1, 0, 3], 5, 0);
    assert_eq!(key([1, 0, 3], 5, 0), one);
    for other in [key([0, 1, 3], 5, 0), key([1, 0, 3], 6, 0), key([1, 0, 3], 5, 1)] {
        assert_ne!(other, one);
    }
}

#[test]
fn equal_tables_are_stored_once() {
    let values = |factor: i32| (0..256).map(move |argument| argument * factor % 251);
    let entries =
        |layers| Plan::new(&small(3, layers).lower().unwrap()).unwrap().functions.used_entries();
    let one = entries(vec![table(0, 0, values(3))]);
    assert_eq!(entries(vec![table(0, 0, values(3)), table(0, 0, values(3))]), one);
    assert_eq!(entries(vec![table(0, 0, values(3)), table(0, 0, values(5))]), one + 256);
}

/// The value of another argument is rejected as an output, whatever else is changed with it.
fn value_of_another_row_is_rejected<S: Scheme>() {
    let values = |argument: i32| argument * 7 % 50;
    let forger = Forger::<S>::new(&small(3, vec![table(0, 0, (0..256).map(values))]));
    let (activations, functions) =
        (forger.table(TableKind::Activations), forger.table(TableKind::Functions));
    let fixed = forger.prover.system.plan.tables[activations].fixed.as_deref().unwrap();
    let function = fixed.values[3].as_canonical_u32();
    let argument = forger.statement.inputs[0];
    let other = if argument == 255 { 254 } else { argument + 1 };
    let row =
        |function, argument| forger.prover.system.plan.functions.row(function, argument).unwrap();
    let (honest, forged) = (row(function, argument), row(function, other));
    let zero = row(ZERO_FUNCTION, 0);
    let value = i64::from(values(other as i32));
    assert_ne!(value, forger.statement.outputs[0]);
    let mut outputs = forger.statement.outputs.clone();
    outputs[0] = value;
    let forge = |quotient: i64, remainder: i64, moved: [Option<usize>; 3]| {
        forger.forge_outputs(outputs.clone(), |traces| {
            for (column, forged) in [quotient, remainder, value].into_iter().enumerate() {
                traces[activations].values[column] = Val::from_i64(forged);
            }
            let counts = &mut traces[functions].values;
            for (row, change) in moved.into_iter().zip([-Val::ONE, Val::ONE, -Val::ONE]) {
                if let Some(row) = row {
                    counts[row] += change;
                }
            }
        })
    };
    let forgeries = [
        // The argument is right, and no entry has this value for it.
        (argument, 0, [None, None, None]),
        (argument, 0, [Some(honest), Some(forged), None]),
        // The entry is right, and its argument is not the cell's value.
        (other, 0, [Some(honest), Some(forged), None]),
        // The difference is hidden in the remainder, which must be 0.
        (other, argument - other, [Some(honest), Some(forged), None]),
        (other, argument - other, [Some(honest), Some(forged), Some(zero)]),
    ];
    for (quotient, remainder, moved) in forgeries {
        assert_eq!(
            forge(quotient, remainder, moved),
            Err(VerifyError::Invalid),
            "{quotient} {remainder} {moved:?}"
        );
    }
    // The same statement without a forged trace.
    assert_eq!(forger.forge_outputs(outputs.clone(), |_| ()), Err(VerifyError::Invalid));
    assert_eq!(forger.forge_outputs(forger.statement.outputs.clone(), |_| ()), Ok(()));
}

/// A value beyond the clamp before a table has no entry in the table, and the clamp cannot yield it
/// either.
fn argument_outside_of_the_table_is_rejected<S: Scheme>() {
    let clamped = Layer {
        inputs: vec![0],
        operation: Operation::Sum { factors: vec![1] },
        rescale: Some(Rescale { shift: 0, clamp: Clamp::Unsigned(4) }),
        scale: 0,
    };
    let values = (0..16).map(|argument| 100 - argument);
    let forger = Forger::<S>::new(&small(2, vec![clamped, table(1, 0, values)]));
    let ProofSystem { plan, .. } = &forger.prover.system;
    let (activations, functions) =
        (forger.table(TableKind::Activations), forger.table(TableKind::Functions));
    // The lanes of both clamps, then those of both lookups.
    assert_eq!(plan.activations, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    let fixed = plan.tables[activations].fixed.as_deref().unwrap();
    let table_index = fixed.values[2 * ACTIVATION_FIXED + 3].as_canonical_u32();
    assert_eq!(plan.functions.row(table_index, 16), None);
    let value = 84;
    let mut outputs = forger.statement.outputs.clone();
    outputs[0] = value;
    for moves_counts in [false, true] {
        let result = forger.forge_outputs(outputs.clone(), |traces| {
            let lanes = &mut traces[activations].values;
            let honest = lanes[6];
            lanes[2] = Val::from_i64(16);
            lanes[6] = Val::from_i64(16);
            lanes[8] = Val::from_i64(value);
            if moves_counts {
                let honest = i64::from(honest.as_canonical_u32());
                traces[functions].values[plan.functions.row(table_index, honest).unwrap()] -=
                    Val::ONE;
            }
        });
        assert_eq!(result, Err(VerifyError::Invalid));
    }
    assert_eq!(forger.forge(|_| ()), Ok(()));
}

fn false_product_is_rejected<S: Scheme>() {
    let mut forger = Forger::<S>::new(&small(3, vec![product(0, 0, None)]));
    forger.change_inputs(&[100, 3, 7]);
    let products = forger.table(TableKind::Multiplications);
    let square = forger.statement.outputs[0];
    let side = forger.statement.inputs[0];
    // Another product of the right factors, and the right product of other factors.
    for [a, b, product] in
        [[side, side, square + 1], [side, side + 1, square + side], [side + 1, side + 1, square]]
    {
        let mut outputs = forger.statement.outputs.clone();
        outputs[0] = product;
        let result = forger.forge_outputs(outputs, |traces| {
            for (column, forged) in [a, b, product].into_iter().enumerate() {
                traces[products].values[column] = Val::from_i64(forged);
            }
        });
        assert_eq!(result, Err(VerifyError::Invalid), "{a} {b} {product}");
    }
}

/// Elements at other positions, and another constant, are rejected as outputs: a move has no values
/// of its own.
fn false_order_of_elements_is_rejected<S: Scheme>() {
    let mut forger = Forger::<S>::new(&small(3, vec![moved(&[0], &[2, 0, 1, 3], -9)]));
    forger.change_inputs(&[10, 20, 30]);
    assert_eq!(forger.forge_outputs(vec![30, 10, 20, -9], |_| ()), Ok(()));
    for outputs in [[10, 20, 30, -9], [30, 20, 10, -9], [30, 10, 20, 0], [30, 10, 10, -9]] {
        assert_eq!(
            forger.forge_outputs(outputs.to_vec(), |_| ()),
            Err(VerifyError::Invalid),
            "{outputs:?}"
        );
    }
}

/// A maximum that is not the largest operand, and one that no operand has, are rejected, whatever
/// is changed with it: a softmax with a smaller maximum would have other ratios, and its powers are
/// in the table.
fn false_maximum_is_rejected<S: Scheme>() {
    let layer =
        |input: u32, operation| Layer { inputs: vec![input], operation, rescale: None, scale: 0 };
    let rows =
        Operation::Move { shape: Shape::new(1, 2, 1).unwrap(), indices: vec![0, 1], constant: 0 };
    let window = Window { kernel: [2, 1], stride: [1; 2], padding: [0; 4] };
    let mut forger =
        Forger::<S>::new(&small(2, vec![layer(0, rows), layer(1, Operation::MaxPool { window })]));
    forger.change_inputs(&[200, 100]);
    assert_eq!(forger.statement.outputs, [200]);
    let (maxima, functions) = (forger.table(TableKind::Maxima), forger.table(TableKind::Functions));
    let row =
        |argument| forger.prover.system.plan.functions.row(POSITIVE_FUNCTION, argument).unwrap();
    // The first operand, the positive part of the difference, and the argument that is looked up
    // for it.
    for (first, positive, argument) in
        [(200, 0, 100), (200, 0, 0), (200, 0, -100), (100, 0, 0), (200, 155, 155), (255, 155, 155)]
    {
        for moves_counts in [false, true] {
            let result = forger.forge_outputs(vec![100 + positive], |traces| {
                let lane = &mut traces[maxima].values;
                lane[0] = Val::from_i64(first);
                lane[2] = Val::from_i64(positive);
                if moves_counts {
                    let counts = &mut traces[functions].values;
                    counts[row(100)] -= Val::ONE;
                    counts[row(argument)] += Val::ONE;
                }
            });
            assert_eq!(
                result,
                Err(VerifyError::Invalid),
                "{first} {positive} {argument} {moves_counts}"
            );
        }
    }
    assert_eq!(forger.forge_outputs(vec![200], |_| ()), Ok(()));
}

/// A comparison of two tensors is a table of their difference, which saturates. Another condition
/// is rejected, whichever step is false: the quotient, the remainder, the saturation, the argument
/// of the table or its value.
fn false_result_of_a_comparison_is_rejected<S: Scheme>() {
    let difference = Layer {
        inputs: vec![0, 1],
        operation: Operation::Sum { factors: vec![1, -1] },
        rescale: Some(Rescale { shift: 0, clamp: Clamp::Signed(4) }),
        scale: 0,
    };
    let is_larger = table(2, -16, (-16..16).map(|difference| i32::from(difference > 0)));
    let mut forger =
        Forger::<S>::new(&small(2, vec![moved(&[0], &[1, 0], 0), difference, is_larger]));
    forger.change_inputs(&[100, 200]);
    assert_eq!(forger.statement.outputs, [0, 1]);
    let ProofSystem { plan, .. } = &forger.prover.system;
    let (activations, functions) =
        (forger.table(TableKind::Activations), forger.table(TableKind::Functions));
    let fixed = plan.tables[activations].fixed.as_deref().unwrap();
    // The first outputs of the difference and of the table.
    let [clamp, lookup] = [1, 2].map(|stage| {
        plan.activations.iter().position(|&activation| activation == (stage, 0)).unwrap()
    });
    let row = |lane: usize, argument| {
        plan.functions
            .row(fixed.values[lane * ACTIVATION_FIXED + 3].as_canonical_u32(), argument)
            .unwrap()
    };
    for (of_clamp, of_lookup) in [
        ([-100, 0, 1], [1, 0, 1]),
        ([1, 0, 1], [1, 0, 1]),
        ([1, -101, 1], [1, 0, 1]),
        ([-100, 0, -16], [1, 0, 1]),
        ([-100, 0, -16], [1, -17, 1]),
        ([-100, 0, -16], [-16, 0, 1]),
    ] {
        for moves_counts in [false, true] {
            let result = forger.forge_outputs(vec![1, 1], |traces| {
                for (lane, forged) in [(clamp, of_clamp), (lookup, of_lookup)] {
                    traces[activations].values[lane * 3..][..3]
                        .copy_from_slice(&forged.map(Val::from_i64));
                }
                let honest = [(clamp, -100, of_clamp[0]), (lookup, -16, of_lookup[0])];
                for (lane, honest, forged) in honest.into_iter().filter(|_| moves_counts) {
                    let counts = &mut traces[functions].values;
                    counts[row(lane, honest)] -= Val::ONE;
                    counts[row(lane, forged)] += Val::ONE;
                }
            });
            assert_eq!(
                result,
                Err(VerifyError::Invalid),
                "{of_clamp:?} {of_lookup:?} {moves_counts}"
            );
        }
    }
    assert_eq!(forger.forge_outputs(vec![0, 1], |_| ()), Ok(()));
}

/// Sums of integers choose rows of a table without a rescale. The smallest and the largest row are
/// proven, and the value of another row is rejected.
fn row_of_another_sum_is_rejected<S: Scheme>() {
    let operation = Operation::Sum { factors: vec![1, 1] };
    let sum = Layer { inputs: vec![0, 1], operation, rescale: None, scale: 0 };
    let value = |row: i32| row * 7 % 521;
    let network = small(2, vec![moved(&[0], &[1, 0], 0), sum, table(2, 0, (0..511).map(value))]);
    let test_setup = TestSetup::new(&Stark, &network);
    for inputs in [[0, 0], [255, 255], [0, 255]] {
        let (statement, proof) = test_setup.prove(&inputs);
        let row = i32::try_from(inputs[0] + inputs[1]).unwrap();
        assert_eq!(statement.outputs, [i64::from(value(row)); 2], "{inputs:?}");
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "{inputs:?}");
    }
    let mut forger = Forger::<S>::new(&network);
    forger.change_inputs(&[200, 100]);
    let ProofSystem { plan, .. } = &forger.prover.system;
    let (activations, functions) =
        (forger.table(TableKind::Activations), forger.table(TableKind::Functions));
    let fixed = plan.tables[activations].fixed.as_deref().unwrap();
    let lane = plan.activations.iter().position(|&activation| activation == (2, 0)).unwrap();
    let row = |argument| {
        plan.functions
            .row(fixed.values[lane * ACTIVATION_FIXED + 3].as_canonical_u32(), argument)
            .unwrap()
    };
    let (honest, other) = (i64::from(value(300)), i64::from(value(301)));
    for (argument, remainder) in [(300, 0), (301, 0), (301, -1)] {
        for moves_counts in [false, true] {
            let result = forger.forge_outputs(vec![other, honest], |traces| {
                let forged = [argument, remainder, other].map(Val::from_i64);
                traces[activations].values[lane * 3..][..3].copy_from_slice(&forged);
                if moves_counts {
                    let counts = &mut traces[functions].values;
                    counts[row(300)] -= Val::ONE;
                    counts[row(301)] += Val::ONE;
                }
            });
            assert_eq!(result, Err(VerifyError::Invalid), "{argument} {remainder} {moves_counts}");
        }
    }
    assert_eq!(forger.forge_outputs(vec![honest; 2], |_| ()), Ok(()));
}

/// A comparison with a constant, as in a tree, is a difference that saturates to one bit. Another
/// condition is rejected, whichever step is false: the quotient, the remainder or the saturation.
fn false_branch_of_a_choice_is_rejected<S: Scheme>() {
    let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4] };
    let compare = Layer {
        inputs: vec![0],
        // Whether the first input is at most 100, and whether the second one is above 100.
        operation: Operation::Convolution {
            window,
            groups: 2,
            weights: vec![-1, 1],
            bias: vec![101, -100],
        },
        rescale: Some(Rescale { shift: 0, clamp: Clamp::Unsigned(1) }),
        scale: 0,
    };
    let network = small(2, vec![compare]);
    for (inputs, conditions) in
        [([100, 100], [1, 0]), ([101, 101], [0, 1]), ([0, 255], [1, 1]), ([255, 0], [0, 0])]
    {
        assert_eq!(testing::outputs(&network, &inputs), conditions, "{inputs:?}");
    }
    let mut forger = Forger::<S>::new(&network);
    forger.change_inputs(&[150, 50]);
    assert_eq!(forger.statement.outputs, [0, 0]);
    let ProofSystem { plan, .. } = &forger.prover.system;
    let (activations, functions) =
        (forger.table(TableKind::Activations), forger.table(TableKind::Functions));
    let fixed = plan.tables[activations].fixed.as_deref().unwrap();
    for (output, honest, outputs) in [(0, -49, vec![1, 0]), (1, -50, vec![0, 1])] {
        let lane =
            plan.activations.iter().position(|&activation| activation == (0, output)).unwrap();
        let row = |argument| {
            plan.functions
                .row(fixed.values[lane * ACTIVATION_FIXED + 3].as_canonical_u32(), argument)
                .unwrap()
        };
        for forged in [[honest, 0, 1], [1, 0, 1], [1, honest - 1, 1], [honest, 1, 1]] {
            for moves_counts in [false, true] {
                let result = forger.forge_outputs(outputs.clone(), |traces| {
                    traces[activations].values[lane * 3..][..3]
                        .copy_from_slice(&forged.map(Val::from_i64));
                    if moves_counts {
                        let counts = &mut traces[functions].values;
                        counts[row(honest)] -= Val::ONE;
                        counts[row(forged[0])] += Val::ONE;
                    }
                });
                assert_eq!(result, Err(VerifyError::Invalid), "{output} {forged:?} {moves_counts}");
            }
        }
    }
    assert_eq!(forger.forge_outputs(vec![0, 0], |_| ()), Ok(()));
}
