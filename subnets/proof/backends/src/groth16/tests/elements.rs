//! Tables, moves and products.

use super::*;
use crate::testing::{elements, matrices, moved, product, small, table};
use taonet_proof_core::network::Matrices;

#[test]
fn moves_and_products_are_proven_for_their_statement_only() {
    check_binding(&TestSetup::new(&Groth16, &elements(1, false)));
}

#[test]
fn flipped_bit_of_moves_and_products_is_rejected() {
    check_flips(&Groth16, &TestSetup::new(&Groth16, &elements(1, false)));
}

#[test]
fn lookup_tables_are_rejected_with_a_hint() {
    let circuit = small(2, vec![moved(&[0], &[1, 0], 0), table(1, 0, 0..256)]).lower().unwrap();
    let expected = "groth16 does not support element-wise functions other than Relu, such as Sigmoid (layer 1); hint: \
                    compile the model with --backend stark";
    assert_eq!(Groth16.setup(&circuit).unwrap_err().to_string(), expected);
    assert_eq!(Groth16.estimate(&circuit).unwrap_err().to_string(), expected);
}

/// Products satisfy the constraints at both ends, and no other value does.
#[test]
fn false_product_breaks_a_constraint() {
    for rescale in [None, Some(Rescale { shift: 4, clamp: Clamp::Signed(6) })] {
        let mut network = small(2, vec![moved(&[0], &[1, 0], 0), product(0, 1, rescale)]);
        network.input.range = Range { low: -255, high: 255 };
        let circuit = network.lower().unwrap();
        let layout = Layout::of(&circuit, MAX_PUBLIC_VALUES);
        let cs = circuit::constrain(&circuit, &layout).unwrap();
        for inputs in [[255, 255], [-255, 255], [3, -7], [0, 0]] {
            let execution = circuit.execute(&inputs).unwrap();
            let assignment =
                circuit::assign(&circuit, &layout, &Digest::of(b"x"), &inputs, &execution);
            assert_eq!(assignment.len(), cs.variables);
            assert_eq!(cs.violated_constraint(&assignment), None, "{inputs:?}");
            // The first witness is the square of the binding, the second one the first product.
            for change in [1, -1, 16, 1 << 20] {
                let mut changed = assignment.clone();
                changed[cs.instance_variables + 1] += Fr::from(change);
                assert!(cs.violated_constraint(&changed).is_some(), "{inputs:?}, {change}");
            }
        }
    }
}

#[test]
fn products_of_matrices_are_proven_for_their_statement_only() {
    let sizes = Matrices { count: 2, rows: 2, inner: 3, columns: 2 };
    for rescale in [None, Some(Rescale { shift: 6, clamp: Clamp::Signed(8) })] {
        check_binding(&TestSetup::new(&Groth16, &matrices(sizes, rescale)));
    }
}

/// The constraints of a thousand million products are rejected by their number, before the terms of
/// each are counted.
#[test]
fn large_product_of_matrices_is_rejected_by_its_size() {
    let sizes = Matrices { count: 1, rows: 1000, inner: 1000, columns: 1000 };
    let product = Layer {
        inputs: vec![1, 1],
        operation: Operation::MatrixProduct(sizes),
        rescale: None,
        scale: 0,
    };
    let circuit = small(1, vec![moved(&[0], &vec![0; 1_000_000], 0), product]).lower().unwrap();
    let Err(BackendError::Memory(error)) = Groth16.estimate(&circuit) else {
        panic!("expected a memory error")
    };
    // A million sums are activations, too. Terms would take 80 bytes each.
    assert!(error.needed - circuit.memory.used() < (1_000_000_000 + 1_000_001) * 4096, "{error}");
}

/// A move can name one output many times, each time with all of its terms.
#[test]
fn terms_of_repeated_outputs_have_a_memory_limit() {
    let sum = Layer {
        inputs: vec![0],
        operation: Operation::Dense { weights: vec![1; 1000], bias: vec![0] },
        rescale: None,
        scale: 0,
    };
    let estimate = |repetitions| {
        let circuit =
            small(1000, vec![sum.clone(), moved(&[1], &vec![0; repetitions], 0)]).lower().unwrap();
        Groth16.estimate(&circuit)
    };
    assert!(estimate(2).is_ok());
    let result = estimate(2500);
    assert!(matches!(result, Err(BackendError::Memory(_))), "{result:?}");
}
