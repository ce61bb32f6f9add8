//! Random networks without tables: their witnesses satisfy the constraints.

use proptest::prelude::*;

use super::*;
use crate::testing::random_network;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every execution satisfies the constraints, and no other first output does.
    #[test]
    fn witnesses_of_random_networks_satisfy_the_constraints(seed: u64, layers in 1..=6_usize) {
        let circuit = random_network(seed, layers, false).lower().unwrap();
        let layout = Layout::of(&circuit, MAX_PUBLIC_VALUES);
        let cs = circuit::constrain(&circuit, &layout).unwrap();
        let Range { low, high } = circuit.input_range;
        let ends = [low, high].map(|value| vec![value; circuit.inputs]);
        for inputs in ends.into_iter().chain([testing::inputs(&circuit, seed)]) {
            let execution = circuit.execute(&inputs).unwrap();
            let mut assignment =
                circuit::assign(&circuit, &layout, &Digest::of(b"x"), &inputs, &execution);
            prop_assert_eq!(assignment.len(), cs.variables);
            prop_assert_eq!(cs.violated_constraint(&assignment), None);
            // After the constant 1 and the binding.
            assignment[2] += Fr::from(1);
            prop_assert!(cs.violated_constraint(&assignment).is_some());
        }
    }
}
