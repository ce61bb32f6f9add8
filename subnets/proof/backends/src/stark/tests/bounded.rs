//! False proofs of circuits with keys of format 8: quotients beyond the entries of a clamp, entries
//! that several divisors share, tables that add a bias, and dense layers as products of
//! polynomials.

use p3_field::Field as _;
use proptest::prelude::*;
use taonet_proof_core::network::Matrices;

use super::super::air::{EXTENSION_DEGREE, KERNEL_WIDTH};
use super::super::config::BOUNDED;
use super::super::projection::COEFFICIENTS_PER_ROW;
use super::constraints::find_violation;
use super::forgeries::use_other_kernel;
use super::random::{attempts, inputs_of};
use super::*;
use crate::testing::{matrices, moved, random_network, small, table};

/// Sizes of a product of two numbers.
const SINGLE_PRODUCT: Matrices = Matrices { count: 1, rows: 1, inner: 1, columns: 1 };
/// Inputs of the dense layer.
const DENSE_INPUTS: [i64; 6] = [3, 1, 4, 1, 5, 9];
/// Number of outputs of the dense layer: a kernel has two rows.
const DENSE_OUTPUTS: usize = 40;

const fn method(side: usize) -> Method {
    Method { tile: Tile { inputs: side, outputs: side }, format: KeyFormat::Bounded }
}

const fn rescale(shift: u8, clamp: Clamp) -> Rescale {
    Rescale { shift, clamp }
}

fn sum(input: u32, factor: i32, rescale: Rescale) -> Layer {
    let operation = Operation::Sum { factors: vec![factor] };
    Layer { inputs: vec![input], operation, rescale: Some(rescale), scale: 0 }
}

/// Creates the product of two numbers in -255..=255, rescaled to -16..=15.
fn clamped_product(shift: u8) -> Network {
    let mut network = matrices(SINGLE_PRODUCT, Some(rescale(shift, Clamp::Signed(4))));
    network.input.range = Range { low: -255, high: 255 };
    network
}

/// Creates a dense layer, in which 1 is added to the weight with this index.
fn dense(changed_weight: Option<usize>) -> Network {
    let mut generator = testing::generator(4);
    let count = DENSE_INPUTS.len() * DENSE_OUTPUTS;
    let mut weights: Vec<i32> = (0..count).map(|_| generator.random_range(1..=9)).collect();
    if let Some(index) = changed_weight {
        weights[index] += 1;
    }
    let bias = (0..).take(DENSE_OUTPUTS).collect();
    let operation = Operation::Dense { weights, bias };
    let layer = Layer { inputs: vec![0], operation, rescale: None, scale: 0 };
    small(DENSE_INPUTS.len(), vec![layer])
}

/// Returns the number of the function of an activation's quotient, or of its remainder.
fn function(plan: &Plan, lane: usize, is_remainder: bool) -> u32 {
    let fixed = plan.fixed_columns(|kind| *kind == TableKind::Activations).unwrap();
    let column = if is_remainder { 4 } else { 3 };
    fixed.values[lane * ACTIVATION_FIXED + column].as_canonical_u32()
}

/// Returns the integer of the least magnitude that a field element represents.
fn to_signed(value: Val) -> i64 {
    let (value, order) = (i64::from(value.as_canonical_u32()), i64::from(Val::ORDER_U32));
    if value > order / 2 { value - order } else { value }
}

impl Forger<Plain> {
    /// Proves a network with a key of format 8 and tiles with sides of this length.
    fn with_bounded_format(network: &Network, side: usize, inputs: &[i64]) -> Self {
        let circuit = Arc::new(network.lower().unwrap());
        let plan = Plan::with_method(&circuit, method(side)).unwrap();
        assert_eq!(plan.method, method(side));
        Self::with_inputs(network, circuit, plan, inputs)
    }

    /// Proves outputs with another quotient, remainder and value of an activation. If `counted` is
    /// given, the counts of the lookups are moved to the entries that the functions of that
    /// activation have for the quotient and the remainder, if they have any.
    fn forge_lane(
        &self,
        outputs: &[i64],
        lane: usize,
        forged: [Val; 3],
        counted_lane: Option<usize>,
    ) -> Result<(), VerifyError> {
        let plan = &self.prover.system.plan;
        let (activations, functions) =
            (self.table(TableKind::Activations), self.table(TableKind::Functions));
        let row = |lane: usize, is_remainder: bool, argument: Val| {
            plan.functions.row(function(plan, lane, is_remainder), to_signed(argument))
        };
        self.forge_outputs(outputs.to_vec(), |traces| {
            let columns = &mut traces[activations].values[lane * 3..][..3];
            let [quotient, remainder] = [columns[0], columns[1]];
            columns.copy_from_slice(&forged);
            let Some(counted_lane) = counted_lane else { return };
            let counts = &mut traces[functions].values;
            for (is_remainder, honest, forged) in
                [(false, quotient, forged[0]), (true, remainder, forged[1])]
            {
                counts[row(lane, is_remainder, honest).unwrap()] -= Val::ONE;
                if let Some(row) = row(counted_lane, is_remainder, forged) {
                    counts[row] += Val::ONE;
                }
            }
        })
    }
}

/// Both ends of the interval, with the halves and the remainders next to them, are proven. The
/// quotients beyond them have no trace.
#[test]
fn ends_of_a_bounded_interval_are_proven() {
    let mut forger = Forger::with_bounded_format(&clamped_product(2), 8, &[3, 5]);
    let verifier = Stark.verifier(&forger.key).unwrap();
    let activations = forger.table(TableKind::Activations);
    for (inputs, quotient, output) in [
        ([22, 23], 127, 15),
        ([4, 127], 127, 15),
        ([5, 101], 126, 15),
        ([-7, 73], -128, -16),
        ([-16, 32], -128, -16),
        ([-19, 27], -128, -16),
        ([2, 1], 1, 1),
        ([-2, 1], 0, 0),
        ([-3, 1], -1, -1),
    ] {
        forger.change_inputs(&inputs);
        let looked_up = forger.traces.tables[activations].values[0];
        assert_eq!(to_signed(looked_up), quotient, "{inputs:?}");
        assert_eq!(forger.statement.outputs, [output], "{inputs:?}");
        assert_eq!(forger.forge(|_| ()), Ok(()), "{inputs:?}");
        let execution = forger.prover.circuit.execute(&inputs).unwrap();
        verifier.check_execution(&forger.prover.circuit, &execution).unwrap();
    }
    let StarkProver { system: ProofSystem { plan, .. }, circuit, .. } = &forger.prover;
    for (inputs, beyond) in [([15, 34], 128), ([-5, 103], -129)] {
        let execution = circuit.execute(&inputs).unwrap();
        let error = trace::fill_traces(plan, circuit, &execution).map(|_| ()).unwrap_err();
        // The verifier finds the value without the prover's tables.
        let verifier_error = verifier.check_execution(circuit, &execution).unwrap_err();
        for error in [error, verifier_error] {
            assert!(
                matches!(error, BackendError::Unprovable { value, .. } if value == beyond),
                "{error}"
            );
        }
    }
}

/// A proof with a key of format 8 is one of its statement only: each field is changed alone, and a
/// thousand bits of the proof are flipped.
#[test]
fn proofs_of_format_8_verify_for_their_statement_only() {
    // No product of the inputs has a quotient beyond the bound.
    for network in [clamped_product(9), dense(None)] {
        let circuit = Arc::new(network.lower().unwrap());
        let keys = create_keys(&circuit, Plan::with_method(&circuit, method(1)).unwrap()).unwrap();
        assert_eq!(u32::from(keys.verification[0]), BOUNDED.format);
        let binding = Binding {
            nonce: Digest::of(b"request"),
            miner: Hotkey::from_bytes([7; 32]),
            circuit: network.digest().unwrap(),
            verification_key: Digest::of(&keys.verification),
        };
        let prover = Stark.prover(Arc::clone(&circuit), &keys).unwrap();
        let verifier = Stark.verifier(&keys.verification).unwrap();
        let test_setup = TestSetup { circuit, keys, prover, verifier, binding };
        check_binding(&test_setup);
        check_flips(&Stark, &test_setup);
    }
}

/// A sum whose quotient has no entry has no proof, neither of its own output nor of another one:
/// with none of the remainders, with the quotient that follows from it in the field, nor with an
/// entry and a remainder beyond the divisor.
#[test]
fn quotient_without_an_entry_is_rejected() {
    let mut forger = Forger::with_bounded_format(&clamped_product(2), 8, &[3, 5]);
    // 516 is 129 times 4. With a divisor of 8, it has a quotient and a remainder with entries.
    let (inputs, other) = ([12, 43], clamped_product(3).lower().unwrap());
    let execution = other.execute(&inputs).unwrap();
    assert_eq!(forger.execute_other(&other, &execution), [15]);
    forger.statement.inputs = inputs.to_vec();
    let sum_plus_half = Val::from_u32(516 + 2);
    let inverse = Val::from_u32(4).inverse();
    let exact_solutions = (0..4)
        .map(Val::from_u32)
        .map(|remainder| [(sum_plus_half - remainder) * inverse, remainder]);
    let extreme_quotients = [[127, 10], [-128, 1030], [127, 2], [-128, 2], [0, 518]];
    let extreme_quotients = extreme_quotients.map(|pair| pair.map(Val::from_i64));
    for [quotient, remainder] in exact_solutions.chain(extreme_quotients) {
        for value in [15, -16] {
            for counted_lane in [None, Some(0)] {
                let forged = [quotient, remainder, Val::from_i64(value)];
                assert_eq!(
                    forger.forge_lane(&[value], 0, forged, counted_lane),
                    Err(VerifyError::Invalid),
                    "{forged:?} {counted_lane:?}"
                );
            }
        }
    }
}

/// Clamps with the same bits share entries. An activation cannot use those of another clamp, nor a
/// quotient or a remainder of another divisor.
#[test]
fn entry_of_another_clamp_or_divisor_is_rejected() {
    let mut network = matrices(SINGLE_PRODUCT, None);
    network.layers.extend([
        sum(3, 1, rescale(2, Clamp::Signed(4))),
        sum(3, 1, rescale(5, Clamp::Signed(4))),
        sum(3, 1, rescale(5, Clamp::Signed(6))),
        sum(3, -1, rescale(5, Clamp::Signed(4))),
        sum(3, -1, rescale(5, Clamp::Unsigned(4))),
        moved(&[4, 5, 6, 7, 8], &[0, 1, 2, 3, 4], 0),
    ]);
    let mut forger = Forger::with_bounded_format(&network, 8, &[20, 25]);
    let plan = &forger.prover.system.plan;
    // The lanes are in the order of the outputs.
    assert_eq!(plan.activations, [(3, 0), (4, 0), (5, 0), (6, 0), (7, 0)]);
    let clamps = [0, 1, 2, 3, 4].map(|lane| function(plan, lane, false));
    assert!(clamps[0] == clamps[1] && clamps[1] == clamps[3], "{clamps:?}");
    assert!(clamps[2] != clamps[4] && ![clamps[2], clamps[4]].contains(&clamps[0]), "{clamps:?}");
    let remainders = [0, 1].map(|lane| function(plan, lane, true));
    assert_ne!(remainders[0], remainders[1]);
    let cases = [
        (
            [20, 25],
            [15, 15, 16, -16, 0],
            vec![
                // The entries of clamps with other bits, and with or without a sign.
                (1, 2, [16, 4, 16]),
                (2, 1, [16, 4, 15]),
                (3, 4, [-16, 28, 0]),
                (4, 3, [-16, 28, -16]),
                // The quotient of another divisor, with its remainder and with what is missing.
                (2, 0, [125, 2, 63]),
                (2, 0, [125, -3484, 63]),
            ],
        ),
        (
            [5, 10],
            [13, 2, 2, -2, 0],
            vec![
                // The equation holds, and the remainder is below the other divisor.
                (0, 1, [6, 28, 6]),
                (1, 0, [13, 0, 13]),
                (1, 0, [13, -350, 13]),
            ],
        ),
    ];
    for (inputs, honest, forgeries) in cases {
        forger.change_inputs(&inputs);
        assert_eq!(forger.statement.outputs, honest);
        assert_eq!(forger.forge(|_| ()), Ok(()), "an unchanged trace is proven");
        for (lane, other, forged) in forgeries {
            let mut outputs = honest;
            outputs[lane] = forged[2];
            assert_ne!(outputs, honest);
            for counted_lane in [None, Some(lane), Some(other)] {
                assert_eq!(
                    forger.forge_lane(&outputs, lane, forged.map(Val::from_i64), counted_lane),
                    Err(VerifyError::Invalid),
                    "{lane} {forged:?} {counted_lane:?}"
                );
            }
        }
    }
}

/// A table adds the bias of the sum that it reads. The value for the sum with another bias, or
/// without one, is rejected.
#[test]
fn table_entry_of_another_bias_is_rejected() {
    let mut network = matrices(SINGLE_PRODUCT, Some(rescale(2, Clamp::Signed(4))));
    let operation = Operation::Dense { weights: vec![1; 2], bias: vec![-7, -9] };
    network.layers.extend([
        Layer { inputs: vec![3], operation, rescale: None, scale: 0 },
        table(4, -9, (-9..=8).map(|argument| 100 - 5 * argument)),
    ]);
    let mut forger = Forger::with_bounded_format(&network, 8, &[5, 10]);
    // The sums with a bias have no activation of their own.
    assert_eq!(forger.prover.system.plan.activations, [(2, 0), (4, 0), (4, 1)]);
    // The smallest argument, the largest one, and those that are replaced: 6 and 4.
    for (inputs, outputs) in [([0, 0], [135, 145]), ([20, 25], [60, 70]), ([5, 10], [70, 80])] {
        forger.change_inputs(&inputs);
        assert_eq!(forger.statement.outputs, outputs);
        assert_eq!(forger.forge(|_| ()), Ok(()), "{inputs:?}");
    }
    for (output, forged) in [
        // The right argument, and the value of another one.
        (0, [6, 0, 80]),
        // The other bias, and the difference in the remainder, which must be 0.
        (0, [4, 0, 80]),
        (0, [4, 2, 80]),
        (1, [6, 0, 70]),
        (1, [6, -2, 70]),
        // No bias: an argument without an entry.
        (0, [13, 0, 35]),
        (0, [13, -7, 35]),
    ] {
        let mut outputs = forger.statement.outputs.clone();
        outputs[output] = forged[2];
        for counted_lane in [None, Some(output + 1)] {
            assert_eq!(
                forger.forge_lane(&outputs, output + 1, forged.map(Val::from_i64), counted_lane),
                Err(VerifyError::Invalid),
                "{output} {forged:?} {counted_lane:?}"
            );
        }
    }
}

/// The quotients of a clamp, with their remainders, are distinct field elements. A sum whose
/// quotient has no entry equals none of them. The cases are sums of both signs, close to half of
/// the field, and shifts on both sides of the largest divisor that shares its entries.
#[test]
fn sum_without_table_entry_equals_no_other_entry() {
    let order = i64::from(Val::ORDER_U32);
    for (bits, shift) in [(4, 0), (4, 4), (4, 18), (8, 0), (8, 18), (8, 19), (12, 14), (12, 15)] {
        let mut network = matrices(SINGLE_PRODUCT, None);
        let clamp = Clamp::Signed(bits);
        network.layers.extend([
            sum(3, 16_000, rescale(0, clamp)),
            sum(3, 16_000, rescale(shift, clamp)),
            sum(3, -16_000, rescale(shift, clamp)),
        ]);
        let circuit = network.lower().unwrap();
        assert!(circuit.magnitude() > plan::MAX_MAGNITUDE / 100 * 97);
        let plan = Plan::with_method(&circuit, method(8)).unwrap();
        assert_eq!(plan.activations, [(3, 0), (4, 0), (5, 0)]);
        let bound = 8_i64 << bits;
        for (lane, stage) in circuit.stages.iter().skip(3).enumerate() {
            let StageKind::Linear(linear) = &stage.kind else { panic!("a sum") };
            let rescale = linear.rescale.unwrap();
            let has_entry = |quotient: &i64| {
                plan.functions.row(function(&plan, lane, false), *quotient).is_some()
            };
            let quotients: Vec<i64> = (-bound - 1..=bound).filter(has_entry).collect();
            let (low, end) = (quotients[0], quotients[quotients.len() - 1] + 1);
            assert!(low >= -bound && end <= bound, "{bits} {shift}: {low} {end}");
            assert_eq!(i64::try_from(quotients.len()).unwrap(), end - low);
            let (first, last) = (low << rescale.shift, (end << rescale.shift) - 1);
            assert!(last - first < order, "{bits} {shift}: {first} {last}");
            // The sums that are equal to these modulo the field.
            assert!(linear.sums.high + rescale.half() < first + order, "{bits} {shift}");
            assert!(linear.sums.low + rescale.half() > last - order, "{bits} {shift}");
        }
    }
}

/// False outputs of a dense layer, with everything else consistent: memory, public values, and the
/// polynomial's value at the challenges. Only the balance shows them, whichever kernel the prover
/// uses or reports.
#[test]
fn false_output_of_a_dense_layer_as_polynomials_is_rejected() {
    let forger = Forger::with_bounded_format(&dense(None), 1, &DENSE_INPUTS);
    let [product] = &forger.prover.system.plan.polynomials.products[..] else {
        panic!("one product")
    };
    assert_eq!([product.outputs.len(), product.inputs.len()], [DENSE_OUTPUTS, DENSE_INPUTS.len()]);
    let honest = forger.statement.outputs.clone();
    assert_eq!(forger.forge_staged(&honest, |_| (), None, |_| ()), Ok(()));
    let changed = |changes: &[(usize, i64)]| {
        let mut outputs = honest.clone();
        for &(output, change) in changes {
            outputs[output] += change;
        }
        outputs
    };
    let other_weight = testing::outputs(&dense(Some(33 * DENSE_INPUTS.len() + 2)), &DENSE_INPUTS);
    assert_eq!(other_weight, changed(&[(33, DENSE_INPUTS[2])]));
    let end = product.inputs.last().unwrap().row + 1;
    for outputs in [
        other_weight,
        changed(&[(0, 1)]),
        changed(&[(31, 1)]),
        changed(&[(32, -1)]),
        changed(&[(39, 1)]),
        changed(&[(5, 1), (6, -1)]),
    ] {
        let forge_coefficients = |coefficients: &mut [RowMajorMatrix<Val>]| {
            for (output, (forged, honest)) in outputs.iter().zip(&honest).enumerate() {
                coefficients[0].values[forger.coefficient(output)] +=
                    Val::from_i64(forged - honest);
            }
        };
        let results = [
            forger.forge_staged(&outputs, |_| (), None, |_| ()),
            forger.forge_staged(&outputs, forge_coefficients, None, |_| ()),
        ];
        assert_eq!(results, [Err(VerifyError::Invalid), Err(VerifyError::Invalid)], "{outputs:?}");
        for report in [None, Some((1, KERNEL_WIDTH, EXTENSION_DEGREE))] {
            let other = |traces: &mut [RowMajorMatrix<Val>]| use_other_kernel(traces, end, report);
            assert_eq!(
                forger.forge_staged(&outputs, forge_coefficients, None, other),
                Err(VerifyError::Invalid),
                "{outputs:?} {report:?}"
            );
        }
    }
}

/// A dense layer's polynomials have one coefficient in a row. The others, of outputs and of inputs,
/// cannot have values.
#[test]
fn nonzero_unused_coefficient_of_a_dense_layer_is_rejected() {
    let forger = Forger::with_bounded_format(&dense(None), 1, &DENSE_INPUTS);
    let [product] = &forger.prover.system.plan.polynomials.products[..] else {
        panic!("one product")
    };
    let honest = forger.statement.outputs.clone();
    let rows = [product.outputs[0], product.outputs[39], product.inputs[0].row];
    for position in
        rows.iter().flat_map(|row| [0, 7, 14].map(|column| row * COEFFICIENTS_PER_ROW + column))
    {
        let change = |coefficients: &mut [RowMajorMatrix<Val>]| {
            coefficients[0].values[position] += Val::ONE;
        };
        assert_eq!(
            forger.forge_staged(&honest, change, None, |_| ()),
            Err(VerifyError::Invalid),
            "{position}"
        );
    }
}

#[test]
fn weights_of_a_dense_layer_as_polynomials_are_part_of_the_key() {
    let forgers = [None, Some(33 * DENSE_INPUTS.len() + 2)]
        .map(|changed| Forger::with_bounded_format(&dense(changed), 1, &DENSE_INPUTS));
    for (index, forger) in forgers.iter().enumerate() {
        for (other, Forger { key, .. }) in forgers.iter().enumerate() {
            let result = Stark.check_key(&forger.prover.circuit, key);
            assert_eq!(result.is_ok(), index == other, "{result:?}");
        }
    }
}

/// Without products of polynomials, a key has format 3, whose clamps are not bounded.
#[test]
fn key_of_format_3_with_bounded_clamps_is_rejected() {
    let network = small(1, vec![sum(0, 1, rescale(0, Clamp::Signed(2)))]);
    let circuit = network.lower().unwrap();
    let plan = Plan::with_method(&circuit, method(8)).unwrap();
    assert_eq!(plan.method, Method { format: KeyFormat::Tiles, ..method(8) });
    let key = create_keys(&circuit, plan).unwrap().verification;
    assert_eq!(u32::from(key[0]), TILES.format);
    assert!(Stark.check_key(&circuit, &key).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(attempts(100) as u32))]

    /// Every execution whose quotients have entries satisfies the constraints. A change of any
    /// value breaks one of them.
    #[test]
    fn traces_of_bounded_random_networks_satisfy_the_constraints(
        seed: u64,
        layers in 1_usize..=8,
        changed: prop::sample::Index,
    ) {
        let circuit = random_network(seed, layers, true).lower().unwrap();
        let plan = Plan::with_method(&circuit, method(1)).unwrap();
        for inputs in inputs_of(&circuit, seed) {
            let execution = circuit.execute(&inputs).unwrap();
            let outputs = execution.outputs(&circuit);
            let traces = trace::fill_traces(&plan, &circuit, &execution);
            // The clamps are bounded also in a plan without products of polynomials.
            let result = check_quotients(method(1).format, &circuit, &execution);
            if let Err(BackendError::Unprovable { value, .. }) = traces {
                prop_assert!(result.is_err(), "{value} has no entry");
                continue;
            }
            prop_assert!(result.is_ok(), "{result:?}");
            let mut traces = traces.unwrap();
            prop_assert_eq!(find_violation(&plan, &traces, &inputs, &outputs), None);
            let count: usize = traces.tables.iter().map(|table| table.values.len()).sum();
            let mut values = traces.tables.iter_mut().flat_map(|table| &mut table.values);
            *values.nth(changed.index(count)).unwrap() += Val::ONE;
            prop_assert_ne!(find_violation(&plan, &traces, &inputs, &outputs), None);
        }
    }
}
