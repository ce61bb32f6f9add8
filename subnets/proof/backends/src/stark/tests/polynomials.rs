//! Products of polynomials. The networks here are small, so tiles of 1×1 make the polynomials
//! cheaper.

use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::network::Matrices;

use super::super::air::POLYNOMIAL_FIXED;
use super::super::config::POLYNOMIALS;
use super::super::projection::COEFFICIENTS_PER_ROW;
use super::*;
use crate::{Capabilities, Estimate};

const METHOD: Method =
    Method { tile: Tile { inputs: 1, outputs: 1 }, format: KeyFormat::Polynomials };

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
        create_keys(circuit, Plan::with_method(circuit, METHOD)?)
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

pub(super) fn forger<S: Scheme>(network: &Network) -> Forger<S> {
    let circuit = Arc::new(network.lower().unwrap());
    let hiding = Method { format: KeyFormat::Hiding { has_polynomials: true }, ..METHOD };
    let method = if is_hiding::<S>() { hiding } else { METHOD };
    let plan = Plan::with_method(&circuit, method).unwrap();
    assert!(plan.method.format.has_polynomials());
    Forger::with_plan(network, circuit, plan)
}

/// Creates a network of one convolution, whose sums are the outputs.
fn convolution(
    channels: [usize; 2],
    groups: usize,
    sides: [usize; 2],
    window: Window,
    seed: u64,
) -> Option<Network> {
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
pub(super) fn small() -> Network {
    let window = Window { kernel: [3; 2], stride: [1; 2], padding: [1; 4] };
    convolution([2, 2], 1, [4, 5], window, 3).unwrap()
}

#[test]
fn proofs_with_polynomials_verify_for_their_statement_only() {
    let network = testing::network(1);
    let test_setup = TestSetup::new(&Polynomials, &network);
    assert_eq!(u32::from(test_setup.keys.verification[0]), POLYNOMIALS.format);
    Stark.check_key(&test_setup.circuit, &test_setup.keys.verification).unwrap();
    check_binding(&test_setup);
    check_binding(&TestSetup::new(&Polynomials, &testing::wide_padding()));
}

#[test]
fn flipped_bit_of_proof_with_polynomials_is_rejected() {
    check_flips(&Polynomials, &TestSetup::new(&Polynomials, &testing::network(1)));
}

#[test]
fn extremes_of_every_layer_are_proven_with_polynomials() {
    for (kind, clamp) in
        LayerKind::ALL.into_iter().zip([Some(Clamp::Unsigned(8)), None].into_iter().cycle())
    {
        let clamp = if kind == LayerKind::Relu { Some(Clamp::Unsigned(8)) } else { clamp };
        let test_setup = TestSetup::new(
            &Polynomials,
            &kind.network(WIDE, 32_000, clamp.map(|clamp| Rescale { shift: 15, clamp })),
        );
        for inputs in testing::extreme_sum_inputs(&test_setup.circuit) {
            let (statement, proof) = test_setup.prove(&inputs);
            assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "{kind:?}");
        }
    }
}

/// Returns random convolutions of all shapes: strides, asymmetric padding, padding beyond the
/// kernel, groups.
fn convolutions(seed: u64) -> impl Iterator<Item = Network> {
    let mut generator = testing::generator(seed);
    (0..).filter_map(move |seed| {
        let mut draw = |range: std::ops::RangeInclusive<usize>| generator.random_range(range);
        let groups = draw(1..=3);
        let channels = [
            groups * draw(1..=3),
            groups * if seed % 5 == 0 { draw(33..=40) } else { draw(1..=3) },
        ];
        let window = Window {
            kernel: [draw(1..=4), draw(1..=4)],
            stride: [draw(1..=3), draw(1..=3)],
            padding: [draw(0..=3), draw(0..=3), draw(0..=5), draw(0..=5)],
        };
        convolution(channels, groups, [draw(1..=7), draw(1..=7)], window, seed)
    })
}

/// The coefficients at the addresses of the outputs are the executor's sums, for convolutions of
/// every shape.
#[test]
fn coefficients_equal_the_sums_of_the_executor() {
    let mut tried = 0;
    for network in convolutions(1).take(400) {
        let circuit = network.lower().unwrap();
        let plan = Plan::with_method(&circuit, METHOD).unwrap();
        if !plan.method.format.has_polynomials() {
            continue;
        }
        let execution = circuit.execute(&testing::inputs(&circuit, 2)).unwrap();
        let [coefficients] =
            &trace::fill_traces(&plan, &circuit, &execution).unwrap().coefficients[..]
        else {
            panic!("one table")
        };
        let fixed = plan.fixed_columns(|kind| *kind == TableKind::Polynomials).unwrap();
        let mut output_count = 0;
        for (row, values) in fixed
            .values
            .chunks(POLYNOMIAL_FIXED)
            .zip(coefficients.values.chunks(COEFFICIENTS_PER_ROW))
        {
            for (column, &value) in values.iter().enumerate() {
                let (address, count) = (row[column], row[COEFFICIENTS_PER_ROW + column]);
                let location =
                    |location: &plan::CellLocation| Val::from_u32(location.address) == address;
                if count == -Val::ONE && address != Val::ZERO {
                    let cell = plan.locations.iter().position(location).unwrap();
                    let expected = execution.cells[cell] - plan.locations[cell].bias;
                    assert_eq!(value, Val::from_i64(expected), "{:?}", network.layers[0].operation);
                    output_count += 1;
                }
            }
        }
        assert_eq!(output_count, circuit.outputs.len());
        tried += 1;
    }
    assert!(tried > 250, "{tried}");
}

#[test]
fn convolutions_of_every_shape_are_proven() {
    for network in convolutions(2).take(12) {
        let test_setup = TestSetup::new(&Polynomials, &network);
        let (statement, proof) = test_setup.prove(&testing::inputs(&test_setup.circuit, 1));
        assert_eq!(
            test_setup.verifier.verify(&statement, &proof),
            Ok(()),
            "{:?}",
            network.layers[0].operation
        );
    }
}

/// Creates a convolution with random weights and one bias for all outputs.
fn convolution_of(tensor: u32, channels: [usize; 2], window: Window, bias: i64) -> Layer {
    let mut generator = testing::generator(9);
    let count = channels[0] * channels[1] * window.kernel[0] * window.kernel[1];
    let weights = (0..count).map(|_| generator.random_range(-9..=9)).collect();
    let operation =
        Operation::Convolution { window, groups: 1, weights, bias: vec![bias; channels[1]] };
    Layer { inputs: vec![tensor], operation, rescale: None, scale: 0 }
}

/// Networks whose convolution does not cover the last row and column of its input. No other stage
/// reads them: a constant and sums with a bias, which have no address without it.
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
    let window = |kernel: usize, stride: usize| Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [0; 4],
    };
    let networks = [
        (
            8,
            vec![
                Layer { inputs: vec![0], operation: padding, rescale: None, scale: 0 },
                convolution_of(1, [8, 16], window(2, 2), 1),
            ],
        ),
        (
            4,
            vec![
                convolution_of(0, [4, 4], window(1, 1), 5),
                convolution_of(1, [4, 8], window(3, 2), 1),
            ],
        ),
    ];
    for (channels, layers) in networks {
        let shape = Shape::new(channels, 32, 32).unwrap();
        let input = Input { shape, range: Range { low: 0, high: 255 }, scale: 0 };
        let test_setup = TestSetup::new(&Stark, &Network { format: FORMAT, input, layers });
        assert_eq!(u32::from(test_setup.keys.verification[0]), POLYNOMIALS.format);
        let (statement, proof) = test_setup.prove(&testing::inputs(&test_setup.circuit, 1));
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
        let mut other = statement;
        other.outputs[100] += 1;
        assert!(test_setup.verifier.verify(&other, &proof).is_err());
    }
}

/// The layout takes time in proportion to the kernel, with a stride as long as the kernel, too.
#[test]
fn kernel_of_a_million_taps_is_laid_out() {
    let window = Window { kernel: [1 << 20, 1], stride: [1 << 20, 1], padding: [0; 4] };
    let operation =
        Operation::Convolution { window, groups: 1, weights: vec![0; 1 << 20], bias: vec![0] };
    let layer = Layer { inputs: vec![0], operation, rescale: None, scale: 0 };
    let shape = Shape::new(1, 1 << 20, 1).unwrap();
    let input = Input { shape, range: Range { low: 0, high: 1 }, scale: 0 };
    let circuit = Network { format: FORMAT, input, layers: vec![layer] }.lower().unwrap();
    assert!(Stark.estimate(&circuit).unwrap().constraints > 1 << 20);
}

/// Products of matrices of every shape are proven for their outputs only.
#[test]
fn products_of_matrices_are_proven() {
    let shapes = [(1, 1, 1, 1), (2, 3, 4, 5), (1, 17, 3, 18), (3, 2, 40, 1), (1, 1, 2, 33)];
    for (index, (count, rows, inner, columns)) in shapes.into_iter().enumerate() {
        let rescale = (index % 2 == 1).then_some(Rescale { shift: 6, clamp: Clamp::Signed(8) });
        let sizes = Matrices { count, rows, inner, columns };
        let test_setup = TestSetup::new(&Stark, &testing::matrices(sizes, rescale));
        let (statement, proof) = test_setup.prove(&testing::inputs(&test_setup.circuit, 1));
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "{sizes:?}");
        let (a, b) = statement.inputs.split_at(count * rows * inner);
        for (output, &value) in statement.outputs.iter().enumerate() {
            let (row, column) = (output / columns, output % columns);
            let terms = (0..inner).map(|step| {
                a[row * inner + step] * b[(row / rows * inner + step) * columns + column]
            });
            let sum: i64 = terms.sum();
            assert_eq!(value, rescale.map_or(sum, |rescale| rescale.apply(sum)), "{sizes:?}");
            let mut other = statement.clone();
            other.outputs[output] += 1;
            assert!(test_setup.verifier.verify(&other, &proof).is_err(), "{sizes:?}");
        }
    }
}

#[test]
fn product_of_matrices_is_bound_to_its_statement() {
    let sizes = Matrices { count: 2, rows: 3, inner: 4, columns: 5 };
    let test_setup = TestSetup::new(
        &Stark,
        &testing::matrices(sizes, Some(Rescale { shift: 6, clamp: Clamp::Signed(8) })),
    );
    check_binding(&test_setup);
    check_flips(&Stark, &test_setup);
}

/// Sums of products of computed matrices at both ends, within 2 % of half the field; larger ones
/// are refused.
#[test]
fn extremes_of_products_of_matrices_are_proven() {
    let sizes = Matrices { count: 1, rows: 2, inner: 4, columns: 2 };
    let mut network = testing::matrices(sizes, None);
    network.input.range = Range { low: -16_250, high: 16_250 };
    let test_setup = TestSetup::new(&Stark, &network);
    assert!(test_setup.circuit.magnitude() > plan::MAX_MAGNITUDE / 100 * 98);
    for (a, b) in [(16_250, 16_250), (-16_250, 16_250), (16_250, -16_250), (0, 16_250)] {
        let (statement, proof) = test_setup.prove(&[[a; 8], [b; 8]].concat());
        assert_eq!(statement.outputs, [4 * a * b; 4]);
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
    }
    network.input.range = Range { low: -16_400, high: 16_400 };
    let error = Stark.setup(&network.lower().unwrap()).err();
    assert!(matches!(error, Some(BackendError::Magnitude { .. })), "{error:?}");
}
