//! Products of polynomials. The networks here are small, so tiles of 1×1 make the polynomials cheaper.

use p3_field::{BasedVectorSpace as _, Field};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::network::Matrices;

use super::super::air::{EXTENSION, KERNEL_WIDTH, POLYNOMIAL_FIXED, POLYNOMIAL_WIDTH};
use super::super::config::Challenge;
use super::super::projection::COEFFICIENTS;
use super::*;
use crate::{Capabilities, Estimate};

const METHOD: Method = Method { tile: Tile { inputs: 1, outputs: 1 }, polynomials: true };

/// The backend with products of polynomials for every convolution and sum.
struct Polynomials;

impl Backend for Polynomials {
    fn id(&self) -> &'static str {
        Stark.id()
    }

    fn capabilities(&self) -> Capabilities {
        Stark.capabilities()
    }

    fn estimate(&self, circuit: &Circuit) -> Result<Estimate, BackendError> {
        Stark.estimate(circuit)
    }

    fn setup(&self, circuit: &Circuit) -> Result<Keys, BackendError> {
        keys_of(circuit, &Plan::with_method(circuit, METHOD)?)
    }

    fn check_key(&self, circuit: &Circuit, verification_key: &[u8]) -> Result<(), BackendError> {
        Stark.check_key(circuit, verification_key)
    }

    fn prover(&self, circuit: Arc<Circuit>, keys: &Keys) -> Result<Box<dyn Prover>, BackendError> {
        Stark.prover(circuit, keys)
    }

    fn verifier(&self, verification_key: &[u8]) -> Result<Box<dyn Verifier>, BackendError> {
        Stark.verifier(verification_key)
    }
}

fn forger(network: &Network) -> Forger {
    let circuit = Arc::new(network.lower().unwrap());
    let plan = Plan::with_method(&circuit, METHOD).unwrap();
    assert!(plan.method.polynomials);
    Forger::with_plan(network, circuit, plan)
}

/// Creates a network of one convolution, whose sums are the outputs.
fn convolution(channels: [usize; 2], groups: usize, sides: [usize; 2], window: Window, seed: u64) -> Option<Network> {
    let mut generator = testing::generator(seed);
    let count = channels[0] / groups * channels[1] * window.kernel[0] * window.kernel[1];
    let shape = Shape::new(channels[0], sides[0], sides[1]).unwrap();
    window.output(&shape).ok()?;
    let operation = Operation::Convolution {
        window,
        groups,
        weights: (0..count).map(|_| generator.random_range(-9..=9)).collect(),
        bias: (-1..).take(channels[1]).collect(),
    };
    let layer = Layer { inputs: vec![0], operation, rescale: None, scale: 0 };
    let input = Input { shape, range: Range { low: -8, high: 255 }, scale: 0 };
    Some(Network { format: FORMAT, input, layers: vec![layer] })
}

/// A small convolution with two channels of outputs.
fn small() -> Network {
    let window = Window { kernel: [3; 2], stride: [1; 2], padding: [1; 4] };
    convolution([2, 2], 1, [4, 5], window, 3).unwrap()
}

#[test]
fn proofs_with_polynomials_verify_for_their_statement_only() {
    let network = testing::network(1);
    let bench = Bench::new(&Polynomials, &network);
    assert_eq!(u32::from(bench.keys.verification[0]), NEWEST);
    Stark.check_key(&bench.circuit, &bench.keys.verification).unwrap();
    check_binding(&bench);
    check_binding(&Bench::new(&Polynomials, &testing::wide_padding()));
}

#[test]
fn no_flipped_bit_is_accepted_with_polynomials() {
    check_flips(&Polynomials, &Bench::new(&Polynomials, &testing::network(1)), 1200);
}

#[test]
fn extremes_of_every_layer_are_proven_with_polynomials() {
    for (kind, clamp) in LayerKind::ALL.into_iter().zip([Some(Clamp::Unsigned(8)), None].into_iter().cycle()) {
        let clamp = if kind == LayerKind::Relu { Some(Clamp::Unsigned(8)) } else { clamp };
        let bench =
            Bench::new(&Polynomials, &kind.network(WIDE, 32_000, clamp.map(|clamp| Rescale { shift: 15, clamp })));
        for inputs in testing::outermost(&bench.circuit) {
            let (statement, proof) = bench.prove(&inputs);
            assert_eq!(bench.verifier.verify(&statement, &proof), Ok(()), "{kind:?}");
        }
    }
}

/// Returns random convolutions of all shapes: strides, asymmetric padding, padding beyond the kernel, groups.
fn convolutions(seed: u64) -> impl Iterator<Item = Network> {
    let mut generator = testing::generator(seed);
    (0..).filter_map(move |seed| {
        let mut draw = |range: std::ops::RangeInclusive<usize>| generator.random_range(range);
        let groups = draw(1..=3);
        let channels = [groups * draw(1..=3), groups * if seed % 5 == 0 { draw(33..=40) } else { draw(1..=3) }];
        let window = Window {
            kernel: [draw(1..=4), draw(1..=4)],
            stride: [draw(1..=3), draw(1..=3)],
            padding: [draw(0..=3), draw(0..=3), draw(0..=5), draw(0..=5)],
        };
        convolution(channels, groups, [draw(1..=7), draw(1..=7)], window, seed)
    })
}

/// The coefficients at the addresses of the outputs are the executor's sums, for convolutions of every shape.
#[test]
fn coefficients_are_the_sums_of_the_executor() {
    let mut tried = 0;
    for network in convolutions(1).take(400) {
        let circuit = network.lower().unwrap();
        let plan = Plan::with_method(&circuit, METHOD).unwrap();
        if !plan.method.polynomials {
            continue;
        }
        let execution = circuit.execute(&testing::inputs(&circuit, 2)).unwrap();
        let [coefficients] = &trace::fill(&plan, &circuit, &execution).unwrap().coefficients[..] else {
            panic!("one table")
        };
        let fixed = plan.fixed(|kind| *kind == Kind::Polynomials).unwrap();
        let mut found = 0;
        for (row, values) in fixed.values.chunks(POLYNOMIAL_FIXED).zip(coefficients.values.chunks(COEFFICIENTS)) {
            for (column, &value) in values.iter().enumerate() {
                let (address, count) = (row[column], row[COEFFICIENTS + column]);
                let place = |place: &plan::Place| Val::from_u32(place.address) == address;
                if count == -Val::ONE && address != Val::ZERO {
                    let cell = plan.places.iter().position(place).unwrap();
                    let expected = execution.cells[cell] - plan.places[cell].bias;
                    assert_eq!(value, Val::from_i64(expected), "{:?}", network.layers[0].operation);
                    found += 1;
                }
            }
        }
        assert_eq!(found, circuit.outputs.len());
        tried += 1;
    }
    assert!(tried > 250, "{tried}");
}

#[test]
fn convolutions_of_every_shape_are_proven() {
    for network in convolutions(2).take(12) {
        let bench = Bench::new(&Polynomials, &network);
        let (statement, proof) = bench.prove(&testing::inputs(&bench.circuit, 1));
        assert_eq!(bench.verifier.verify(&statement, &proof), Ok(()), "{:?}", network.layers[0].operation);
    }
}

/// Creates a convolution with random weights and one bias for all outputs.
fn convolution_of(tensor: u32, channels: [usize; 2], window: Window, bias: i64) -> Layer {
    let mut generator = testing::generator(9);
    let count = channels[0] * channels[1] * window.kernel[0] * window.kernel[1];
    let weights = (0..count).map(|_| generator.random_range(-9..=9)).collect();
    let operation = Operation::Convolution { window, groups: 1, weights, bias: vec![bias; channels[1]] };
    Layer { inputs: vec![tensor], operation, rescale: None, scale: 0 }
}

/// Networks whose convolution does not cover the last row and column of its input. No other stage reads them: a constant
/// and sums with a bias, which have no address without it.
#[test]
fn convolutions_of_a_part_of_their_input_are_proven() {
    let padded = |row: u32, column: u32, channel: u32| {
        if row < 32 && column < 32 { (channel * 32 + row) * 32 + column } else { 8 * 32 * 32 }
    };
    let indices = (0..8).flat_map(|channel| {
        (0..33).flat_map(move |row| (0..33).map(move |column| padded(row, column, channel)))
    });
    let shape = Shape::new(8, 33, 33).unwrap();
    let padding = Operation::Move { shape, indices: indices.collect(), constant: 256 };
    let window = |kernel: usize, stride: usize| Window { kernel: [kernel; 2], stride: [stride; 2], padding: [0; 4] };
    let networks = [
        (
            8,
            vec![
                Layer { inputs: vec![0], operation: padding, rescale: None, scale: 0 },
                convolution_of(1, [8, 16], window(2, 2), 1),
            ],
        ),
        (4, vec![convolution_of(0, [4, 4], window(1, 1), 5), convolution_of(1, [4, 8], window(3, 2), 1)]),
    ];
    for (channels, layers) in networks {
        let shape = Shape::new(channels, 32, 32).unwrap();
        let input = Input { shape, range: Range { low: 0, high: 255 }, scale: 0 };
        let bench = Bench::new(&Stark, &Network { format: FORMAT, input, layers });
        assert_eq!(u32::from(bench.keys.verification[0]), NEWEST);
        let (statement, proof) = bench.prove(&testing::inputs(&bench.circuit, 1));
        assert_eq!(bench.verifier.verify(&statement, &proof), Ok(()));
        let mut other = statement;
        other.outputs[100] += 1;
        assert!(bench.verifier.verify(&other, &proof).is_err());
    }
}

/// The layout takes time in proportion to the kernel, with a stride as long as the kernel, too.
#[test]
fn kernel_of_a_million_taps_is_laid_out() {
    let window = Window { kernel: [1 << 20, 1], stride: [1 << 20, 1], padding: [0; 4] };
    let operation = Operation::Convolution { window, groups: 1, weights: vec![0; 1 << 20], bias: vec![0] };
    let layer = Layer { inputs: vec![0], operation, rescale: None, scale: 0 };
    let shape = Shape::new(1, 1 << 20, 1).unwrap();
    let input = Input { shape, range: Range { low: 0, high: 1 }, scale: 0 };
    let circuit = Network { format: FORMAT, input, layers: vec![layer] }.lower().unwrap();
    assert!(Stark.estimate(&circuit).unwrap().constraints > 1 << 20);
}

impl Forger {
    /// Proves outputs with changed coefficients, and values at the challenges that are changed or for other challenges.
    fn forge_staged(
        &self,
        outputs: &[i64],
        change: impl FnOnce(&mut [RowMajorMatrix<Val>]),
        challenges: Option<[Challenge; 2]>,
        late: impl FnOnce(&mut [RowMajorMatrix<Val>]),
    ) -> Result<(), VerifyError> {
        let Statement { binding, inputs, .. } = &self.statement;
        let plan = &self.prover.system.plan;
        let mut traces = self.traces.clone();
        let public = &mut traces.tables[self.table(Kind::Public)].values;
        *public = trace::public_column(inputs, outputs, public.len());
        let tables = with_public(&plan.tables, public);
        let publics = public_values(&tables, &binding.digest(inputs), outputs);
        change(&mut traces.coefficients);
        let (root, mut stage) = self.prover.second_stage(tables, &traces, &publics).unwrap();
        let table = self.table(Kind::Polynomials);
        if let Some(challenges) = challenges {
            let powers = Arc::new(Powers::new(challenges, &plan.polynomials.gaps));
            let values = trace::evaluate(&plan.polynomials, &plan.tables[table..], &traces.coefficients, &powers);
            for ((trace, values), table) in stage.traces[table..].iter_mut().zip(values).zip(&mut stage.tables[table..])
            {
                *trace = values;
                table.powers = Some(Arc::clone(&powers));
            }
        }
        late(&mut stage.traces[table..]);
        let proof = self.prover.prove_tables(&stage.config, &stage.tables, &stage.traces, &publics).unwrap();
        let proof = postcard::to_allocvec(&StagedProof { coefficients: root, proof }).unwrap();
        let statement = Statement { outputs: outputs.to_vec(), ..self.statement.clone() };
        Stark.verifier(&self.key).unwrap().verify(&statement, &proof)
    }

    /// Returns the place of an output among the coefficients.
    fn coefficient(&self, output: usize) -> usize {
        let plan = &self.prover.system.plan;
        let cell = self.prover.circuit.outputs[output];
        let address = Val::from_u32(plan.places[cell as usize].address);
        let fixed = plan.fixed(|kind| *kind == Kind::Polynomials).unwrap();
        let rows = fixed.values.chunks(POLYNOMIAL_FIXED).enumerate();
        let mut places = rows.filter_map(|(row, fixed)| {
            let column = fixed[..COEFFICIENTS].iter().position(|column| *column == address)?;
            Some(row * COEFFICIENTS + column)
        });
        places.next().unwrap()
    }

    /// Returns the value of a column in the extension field, and its columns.
    fn value(trace: &mut [Val]) -> (Challenge, &mut [Val]) {
        let columns = &mut trace[..EXTENSION];
        (Challenge::from_basis_coefficients_fn(|index| columns[index]), columns)
    }
}

/// Coefficients of inputs, outputs, and of neither, and the values at the challenges: a change of any column is
/// rejected, although the values follow from the changed coefficients.
#[test]
fn every_changed_column_of_polynomials_is_refused() {
    let forger = forger(&testing::network(5));
    let honest = forger.statement.outputs.clone();
    assert_eq!(forger.forge_staged(&honest, |_| (), None, |_| ()), Ok(()), "an unchanged trace is proven");
    let last = forger.prover.system.plan.polynomials.products.last().unwrap().inputs.last().unwrap();
    let end = last.row + last.length.div_ceil(COEFFICIENTS) - 1;
    let mut generator = testing::generator(6);
    for column in 0..COEFFICIENTS {
        for row in [0, generator.random_range(0..=end)] {
            let change = |coefficients: &mut [RowMajorMatrix<Val>]| {
                coefficients[0].values[row * COEFFICIENTS + column] += Val::ONE;
            };
            let verified = forger.forge_staged(&honest, change, None, |_| ());
            assert_eq!(verified, Err(VerifyError::Invalid), "row {row}, column {column}");
        }
    }
    for (table, width) in [POLYNOMIAL_WIDTH, KERNEL_WIDTH].into_iter().enumerate() {
        for column in 0..width {
            // Factors are free where no polynomial of an input ends.
            let row = if table == 0 { end } else { generator.random_range(0..4) };
            let change = |traces: &mut [RowMajorMatrix<Val>]| traces[table].values[row * width + column] += Val::ONE;
            let verified = forger.forge_staged(&honest, |_| (), None, change);
            assert_eq!(verified, Err(VerifyError::Invalid), "table {table}, row {row}, column {column}");
        }
    }
}

/// Products of matrices of every shape are proven for their outputs only.
#[test]
fn products_of_matrices_are_proven() {
    let shapes = [(1, 1, 1, 1), (2, 3, 4, 5), (1, 17, 3, 18), (3, 2, 40, 1), (1, 1, 2, 33)];
    for (index, (count, rows, inner, columns)) in shapes.into_iter().enumerate() {
        let rescale = (index % 2 == 1).then_some(Rescale { shift: 6, clamp: Clamp::Signed(8) });
        let sizes = Matrices { count, rows, inner, columns };
        let bench = Bench::new(&Stark, &testing::matrices(sizes, rescale));
        let (statement, proof) = bench.prove(&testing::inputs(&bench.circuit, 1));
        assert_eq!(bench.verifier.verify(&statement, &proof), Ok(()), "{sizes:?}");
        let (a, b) = statement.inputs.split_at(count * rows * inner);
        for (output, &value) in statement.outputs.iter().enumerate() {
            let (row, column) = (output / columns, output % columns);
            let terms =
                (0..inner).map(|step| a[row * inner + step] * b[(row / rows * inner + step) * columns + column]);
            let sum: i64 = terms.sum();
            assert_eq!(value, rescale.map_or(sum, |rescale| rescale.apply(sum)), "{sizes:?}");
            let mut other = statement.clone();
            other.outputs[output] += 1;
            assert!(bench.verifier.verify(&other, &proof).is_err(), "{sizes:?}");
        }
    }
}

#[test]
fn product_of_matrices_is_bound_to_its_statement() {
    let sizes = Matrices { count: 2, rows: 3, inner: 4, columns: 5 };
    let bench = Bench::new(&Stark, &testing::matrices(sizes, Some(Rescale { shift: 6, clamp: Clamp::Signed(8) })));
    check_binding(&bench);
    check_flips(&Stark, &bench, 400);
}

/// Sums of products of computed matrices at both ends, within 2 % of half the field; larger ones are refused.
#[test]
fn extremes_of_products_of_matrices_are_proven() {
    let sizes = Matrices { count: 1, rows: 2, inner: 4, columns: 2 };
    let mut network = testing::matrices(sizes, None);
    network.input.range = Range { low: -16_250, high: 16_250 };
    let bench = Bench::new(&Stark, &network);
    assert!(bench.circuit.magnitude() > plan::MAX_MAGNITUDE / 100 * 98);
    for (a, b) in [(16_250, 16_250), (-16_250, 16_250), (16_250, -16_250), (0, 16_250)] {
        let (statement, proof) = bench.prove(&[[a; 8], [b; 8]].concat());
        assert_eq!(statement.outputs, [4 * a * b; 4]);
        assert_eq!(bench.verifier.verify(&statement, &proof), Ok(()));
    }
    network.input.range = Range { low: -16_400, high: 16_400 };
    let refused = Stark.setup(&network.lower().unwrap()).err();
    assert!(matches!(refused, Some(BackendError::Magnitude { .. })), "{refused:?}");
}

/// A false product of matrices: with an honest balance, with another second matrix, and with another value of it.
#[test]
fn wrong_products_of_matrices_are_refused() {
    let sizes = Matrices { count: 1, rows: 3, inner: 2, columns: 4 };
    let network = testing::matrices(sizes, None);
    let circuit = Arc::new(network.lower().unwrap());
    let forger = Forger::with_plan(&network, Arc::clone(&circuit), Plan::new(&circuit).unwrap());
    let honest = forger.statement.outputs.clone();
    assert_eq!(forger.forge_staged(&honest, |_| (), None, |_| ()), Ok(()), "an unchanged trace is proven");
    let place = forger.coefficient(5);
    let mut outputs = honest.clone();
    outputs[5] += 1;
    let wrong = |coefficients: &mut [RowMajorMatrix<Val>]| coefficients[0].values[place] += Val::ONE;
    assert_eq!(forger.forge_staged(&outputs, wrong, None, |_| ()), Err(VerifyError::Invalid));
    // Weights of both kernels, the padding before them, and rows without a kernel.
    for (index, expected) in [(15, false), (12, false), (0, false), (31, false), (16 * 9, true)] {
        let change = |coefficients: &mut [RowMajorMatrix<Val>]| coefficients[1].values[index] += Val::ONE;
        let verified = forger.forge_staged(&honest, change, None, |_| ());
        assert_eq!(verified.is_ok(), expected, "weight {index}: {verified:?}");
    }
    for row in 0..3 {
        for column in 0..EXTENSION {
            let change = |traces: &mut [RowMajorMatrix<Val>]| traces[2].values[row * EXTENSION + column] += Val::ONE;
            assert_eq!(forger.forge_staged(&honest, |_| (), None, change), Err(VerifyError::Invalid));
        }
    }
}

/// A false output with everything else consistent: memory, public values, and the polynomial's value at the challenges.
/// Only the balance shows it, and the prover may choose its columns.
#[test]
fn wrong_products_are_refused() {
    let forger = forger(&small());
    let place = forger.coefficient(7);
    let mut outputs = forger.statement.outputs.clone();
    outputs[7] += 1;
    let wrong = |coefficients: &mut [RowMajorMatrix<Val>]| coefficients[0].values[place] += Val::ONE;
    assert_eq!(forger.forge_staged(&outputs, wrong, None, |_| ()), Err(VerifyError::Invalid), "an honest balance");
    // The balance is zero at the end of the product, without having become it.
    let end = forger.prover.system.plan.polynomials.products[0].inputs.last().unwrap().row
        + forger.prover.system.plan.polynomials.products[0].inputs[0].length.div_ceil(COEFFICIENTS);
    let reset = |traces: &mut [RowMajorMatrix<Val>]| {
        for row in traces[0].values.chunks_mut(POLYNOMIAL_WIDTH).skip(end) {
            row[2 * EXTENSION..].fill(Val::ZERO);
        }
    };
    assert_eq!(forger.forge_staged(&outputs, wrong, None, reset), Err(VerifyError::Invalid), "a reset balance");
    // The balance becomes zero with another value of the last kernel, which the kernels table reports or does not.
    for reported in [false, true] {
        let other_kernel = |traces: &mut [RowMajorMatrix<Val>]| {
            let [polynomials, kernels] = traces else { panic!("two tables") };
            let (missing, _) = Forger::value(&mut polynomials.values[end * POLYNOMIAL_WIDTH + 2 * EXTENSION..]);
            let last = &mut polynomials.values[(end - 1) * POLYNOMIAL_WIDTH..][..POLYNOMIAL_WIDTH];
            let (balance, _) = Forger::value(&mut last[2 * EXTENSION..]);
            let (factor, columns) = Forger::value(&mut last[EXTENSION..]);
            let after = (balance - missing) * factor.inverse();
            let other = balance * after.inverse();
            columns.copy_from_slice(other.as_basis_coefficients_slice());
            for row in polynomials.values.chunks_mut(POLYNOMIAL_WIDTH).skip(end) {
                row[2 * EXTENSION..].fill(Val::ZERO);
            }
            let report = kernels.values.chunks_mut(KERNEL_WIDTH).find_map(|row| {
                let (value, columns) = Forger::value(&mut row[EXTENSION..]);
                (value == factor).then_some(columns)
            });
            if reported {
                report.unwrap().copy_from_slice(other.as_basis_coefficients_slice());
            }
        };
        assert_eq!(forger.forge_staged(&outputs, wrong, None, other_kernel), Err(VerifyError::Invalid), "{reported}");
    }
}

/// False outputs whose polynomial equals the true one at a point that the prover chose: the verifier evaluates it at
/// another point, which depends on the outputs.
#[test]
fn products_at_other_challenges_are_refused() {
    let forger = forger(&small());
    let (first, second) = (forger.coefficient(6), forger.coefficient(7));
    // Neighbours in a row: the second has the lower power.
    assert_eq!(second, first + 1);
    let chosen = [Challenge::from_u32(5), Challenge::from_u32(11)];
    let mut outputs = forger.statement.outputs.clone();
    outputs[6] += 1;
    outputs[7] -= 5;
    let wrong = |coefficients: &mut [RowMajorMatrix<Val>]| {
        coefficients[0].values[first] += Val::ONE;
        coefficients[0].values[second] -= Val::from_u32(5);
    };
    // At the chosen point, the balance is zero: every constraint holds.
    let balanced = |traces: &mut [RowMajorMatrix<Val>]| {
        let ends = traces[0].values.chunks(POLYNOMIAL_WIDTH).last().unwrap();
        assert!(ends[2 * EXTENSION..].iter().all(Field::is_zero));
    };
    assert_eq!(forger.forge_staged(&outputs, wrong, Some(chosen), balanced), Err(VerifyError::Invalid));
    assert_eq!(forger.forge_staged(&outputs, wrong, None, |_| ()), Err(VerifyError::Invalid));
}
