//! Models with element-wise functions, moves and products: compiled, compared with onnxruntime, and
//! proven.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test helper panics as a test does"
)]

mod blocks;
mod file;
mod further;
mod proven;
mod remaining;
mod sliced;

use std::path::Path;
use std::time::Duration;

use crate::onnxruntime::{OnnxRun, python, run_onnx};
use blocks::{choices, extrema, positions, tokens, transformer};
use file::{Attribute, Graph};
use further::{angles, computed_indices, products, windows};
use taonet_primitives::Hotkey;
use taonet_proof_backends::external::External;
use taonet_proof_backends::{Capabilities, Statement};
use taonet_proof_circuits::{
    Backends, Bundle, CircuitDirectory, CircuitError, CompileOptions, Compiled, compile,
};
use taonet_proof_core::circuit::Circuit;
use taonet_proof_core::network::{Network, Operation};
use taonet_proof_core::quantise::{QuantiseOptions, Sample, quantise};
use taonet_proof_core::{Binding, Digest, Range};
use taonet_proof_onnx as onnx;
use taonet_testing::is_exhaustive;

/// A model and the dimensions of its input.
struct TestModel {
    name: String,
    file: Vec<u8>,
    elements: usize,
    range: Range,
}

impl TestModel {
    fn new(name: &str, dims: &[i64], graph: &Graph) -> Self {
        let elements = dims.iter().product::<i64>() as usize;
        Self {
            name: name.to_owned(),
            file: graph.file(dims),
            elements,
            range: Range { low: -100, high: 100 },
        }
    }

    /// Creates a model whose input has integers from 0 on.
    fn with_tokens(name: &str, dims: &[i64], graph: &Graph, high: i64) -> Self {
        Self {
            file: graph.file_of_integers(dims),
            range: Range { low: 0, high },
            ..Self::new(name, dims, graph)
        }
    }

    fn sample(&self) -> Sample {
        let Range { low, high } = self.range;
        let row = |seed: usize| {
            let number = move |index: usize| {
                low + (seed * 71 + index * 37).cast_signed() as i64 % (high - low + 1)
            };
            (0..self.elements).map(number).collect()
        };
        Sample { inputs: (0..8).map(row).collect(), ..Sample::default() }
    }

    /// Returns the circuit, and the value of a unit of its outputs. Without keys, which take most of
    /// the time of a compilation.
    fn circuit(&self) -> (Circuit, f64) {
        let float = onnx::read(&self.file).unwrap();
        let options = QuantiseOptions { input_range: self.range, ..QuantiseOptions::default() };
        let (calibration, _) = self.sample().split();
        let network = quantise(&float, &options, &calibration)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        (network.lower().unwrap(), f64::from(-network.output_scale()).exp2())
    }

    fn options(&self, backend: &str, backends: Backends) -> CompileOptions {
        let quantise = QuantiseOptions { input_range: self.range, ..QuantiseOptions::default() };
        let (name, backend, contributor) =
            (self.name.clone(), backend.to_owned(), "anonymous".to_owned());
        CompileOptions { name, backend, backends, quantise, max_error: None, contributor }
    }

    fn compile(&self, backend: &str, backends: Backends) -> Result<Compiled, CircuitError> {
        compile(&self.file, &self.sample(), &self.options(backend, backends))
    }
}

fn test_weights(count: usize, scale: f32) -> Vec<f32> {
    (0..count).map(|index| ((index * 7 % 13) as f32 - 6.0) * scale).collect()
}

/// Two dense layers with a function between them. Inputs of -100 to 100 are scaled to -3.125 to
/// 3.125.
fn with_function(operator: &str, attributes: &[(&str, Attribute)], suffix: &str) -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[], &[1.0 / 32.0])
        .floats("low", &[], &[-0.5])
        .floats("high", &[], &[2.0])
        .floats("slope", &[1], &[0.25])
        .floats("v", &[6, 5], &test_weights(30, 0.125))
        .floats("w", &[5, 4], &test_weights(20, 0.125))
        .node("Mul", "x unit", "s")
        .node("MatMul", "s v", "h")
        .node_with(operator, &format!("h{suffix}"), "a", attributes)
        .node("MatMul", "a w", "y");
    TestModel::new(operator, &[1, 6], &graph)
}

/// Squeeze and excitation on an image whose channels come last, as TensorFlow exports it: moves,
/// functions, products.
fn attention() -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[1, 2, 1, 1], &[1.0 / 32.0, 1.0 / 64.0])
        .floats("mean", &[2, 1, 1], &[0.5, -0.25])
        .floats("k", &[3, 2, 3, 3], &test_weights(54, 0.0625))
        .floats("v", &[3, 2], &test_weights(6, 0.25))
        .floats("w", &[2, 3], &test_weights(6, 0.25))
        .floats("d", &[72, 4], &test_weights(288, 1.0 / 64.0))
        .floats("zero", &[], &[0.0])
        .integers("pads", &[8], &[0, 0, 1, 1, 0, 0, 1, 1])
        .integers("plane", &[2], &[2, 3])
        .integers("back", &[4], &[1, 3, 1, 1])
        .integers("flat", &[2], &[1, -1])
        .integers("first", &[2], &[0, 0])
        .integers("last", &[2], &[i64::MAX, -1])
        .integers("order", &[3], &[2, 0, 1])
        .node_with("Transpose", "x", "image", &[("perm", Attribute::Ints(&[0, 3, 1, 2]))])
        .node("Mul", "image unit", "scaled")
        .node("Sub", "scaled mean", "normal")
        .node("Pad", "normal pads zero", "padded")
        .node("Conv", "padded k", "c")
        .node("Sigmoid", "c", "gate")
        .node("Mul", "c gate", "swish")
        .node("GlobalAveragePool", "swish", "pool")
        .node("Flatten", "pool", "row")
        .node("MatMul", "row v", "down")
        .node("Relu", "down", "positive")
        .node("MatMul", "positive w", "up")
        .node_with("HardSigmoid", "up", "weights", &[("alpha", Attribute::Float(0.5))])
        .node("Reshape", "weights back", "channels")
        .node("Mul", "swish channels", "excited")
        .node("Slice", "excited first last plane", "cut")
        .node_with("Gather", "excited order", "turned", &[("axis", Attribute::Int(1))])
        .node("Slice", "turned first last plane", "other")
        .node("Sub", "cut other", "difference")
        .node_with("Concat", "cut difference", "joined", &[("axis", Attribute::Int(-1))])
        .node("Reshape", "joined flat", "vector")
        .node("MatMul", "vector d", "z")
        .node("Tanh", "z", "y");
    TestModel::new("attention", &[1, 4, 4, 2], &graph)
}

/// Queries, keys and values of two heads for three positions: the scores are squashed, in place of
/// a softmax.
fn heads() -> TestModel {
    let graph = Graph::default()
        .floats("unit", &[], &[1.0 / 32.0])
        .floats("q", &[4, 4], &test_weights(16, 0.125))
        .floats("k", &[4, 4], &test_weights(16, 0.25))
        .floats("v", &[4, 4], &test_weights(16, 0.125))
        .node("Mul", "x unit", "s")
        .node("MatMul", "s q", "queries")
        .node("MatMul", "s k", "keys")
        .node("MatMul", "s v", "values")
        .node_with("Transpose", "keys", "turned", &[("perm", Attribute::Ints(&[0, 1, 3, 2]))])
        .node("MatMul", "queries turned", "scores")
        .node("Sigmoid", "scores", "table")
        .node("MatMul", "table values", "y");
    TestModel::new("heads", &[1, 2, 3, 4], &graph)
}

/// A transposed convolution with zeros between the elements, whose first row and column are
/// removed.
fn transposed() -> TestModel {
    let attributes =
        [("strides", Attribute::Ints(&[2, 1])), ("pads", Attribute::Ints(&[1, 1, 0, 0]))];
    let graph = Graph::default().floats("w", &[2, 1, 3, 2], &test_weights(12, 0.25)).node_with(
        "ConvTranspose",
        "x w",
        "y",
        &attributes,
    );
    TestModel::new("transposed", &[1, 2, 2, 2], &graph)
}

fn functions() -> Vec<TestModel> {
    let plain = [
        "Abs",
        "Asinh",
        "Atan",
        "Celu",
        "Cos",
        "Cosh",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Mish",
        "Neg",
        "Relu",
        "Selu",
        "Sigmoid",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Tanh",
    ];
    let mut models: Vec<TestModel> =
        plain.iter().map(|operator| with_function(operator, &[], "")).collect();
    models.push(with_function("Gelu", &[("approximate", Attribute::String("tanh"))], ""));
    models.push(with_function("Elu", &[("alpha", Attribute::Float(0.5))], ""));
    models.push(with_function("Clip", &[], " low high"));
    models.push(with_function("PRelu", &[], " slope"));
    models.push(with_function(
        "Shrink",
        &[("lambd", Attribute::Float(0.5)), ("bias", Attribute::Float(0.5))],
        "",
    ));
    models
}

/// onnxruntime computes the same integers from the exported network. From the model's own file it
/// computes values within 1.5 % for one function, and 3 % for the attention block with its dozen
/// roundings to 8 bits, for the rows of the calibration; others may saturate.
#[test]
fn outputs_match_onnxruntime() {
    let Some(python) = python() else { return };
    let functions = functions().into_iter().map(|model| (model, 0.015));
    let blocks = [
        (attention(), 0.03),
        (heads(), 0.03),
        (extrema(), 0.03),
        (positions(), 0.001),
        (tokens(), 0.03),
        (choices(), 0.03),
        (transformer(), 0.03),
        (angles(), 0.03),
        (computed_indices(), 0.03),
        (products(), 0.03),
        (windows(), 0.03),
    ];
    let models: Vec<(TestModel, f64)> = functions.chain(blocks).collect();
    let circuits: Vec<(Circuit, f64)> = models.iter().map(|(model, _)| model.circuit()).collect();
    let runs: Vec<OnnxRun> = models
        .iter()
        .zip(&circuits)
        .flat_map(|((model, _), (circuit, _))| {
            let (calibration, _) = model.sample().split();
            [(onnx::export(circuit), model.sample().inputs), (model.file.clone(), calibration)]
        })
        .collect();
    let onnx_outputs = run_onnx(&python, &runs);
    let runs_and_outputs = runs.chunks(2).zip(onnx_outputs.chunks(2));
    for (((model, bound), (circuit, unit)), (runs, onnx_outputs)) in
        models.iter().zip(&circuits).zip(runs_and_outputs)
    {
        let ([(_, inputs), (_, calibration)], [exported, expected]) = (runs, onnx_outputs) else {
            panic!("two files of each model")
        };
        let execute = |row: &Vec<i64>| circuit.execute(row).unwrap().outputs(circuit);
        let integer_outputs: Vec<Vec<f64>> = inputs
            .iter()
            .map(|row| execute(row).iter().map(|&value| value as f64).collect())
            .collect();
        assert_eq!(*exported, integer_outputs, "{}", model.name);
        let expected = expected.concat();
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        for (integer, float) in calibration.iter().flat_map(execute).zip(expected) {
            let error = (integer as f64 * unit - float).abs();
            assert!(error < bound * largest, "{}: {float} differs by {error}", model.name);
        }
    }
}

/// Proves a model for an input of its sample and for both ends, and checks that no other output is
/// accepted.
fn check_proofs(model: &TestModel, backend: &str) -> Vec<Bundle> {
    let Range { low, high } = model.range;
    let extreme_inputs = [vec![low; model.elements], vec![high; model.elements]];
    check_proofs_of(model, backend, &[&model.sample().inputs[..1], &extreme_inputs].concat())
}

/// Proves a model for inputs, and checks that no other input or output is accepted. Each output is
/// changed with one of the inputs, and with all of them under `TAONET_TEST_ALL`.
fn check_proofs_of(model: &TestModel, backend: &str, inputs: &[Vec<i64>]) -> Vec<Bundle> {
    let compiled = model
        .compile(backend, Backends::default())
        .unwrap_or_else(|error| panic!("{}: {error}", model.name));
    let folder = tempfile::tempdir().unwrap();
    let directory = CircuitDirectory::create(&folder.path().join("circuit"), &compiled).unwrap();
    let binding = Binding {
        nonce: Digest::of(b"a request"),
        miner: Hotkey::from_bytes([5; 32]),
        circuit: directory.id(),
        verification_key: Digest::of(&directory.keys().unwrap().verification),
    };
    // Loaded once for all inputs, since that computes the key again.
    let prover = directory.prover().unwrap();
    let count = inputs.len();
    let prove = |(number, inputs): (usize, &Vec<i64>)| {
        let proven = prover.prove(inputs, &binding).unwrap();
        let statement =
            Statement { binding: binding.clone(), inputs: inputs.clone(), outputs: proven.outputs };
        let bundle = Bundle::new(&directory, &statement, &proven.proof).unwrap();
        bundle.verify().unwrap();
        let step = if is_exhaustive() { 1 } else { count };
        for output in (number % step..bundle.outputs.len()).step_by(step) {
            let mut changed = bundle.clone();
            changed.outputs[output] += 1;
            assert!(changed.verify().is_err(), "{}, output {output}", model.name);
        }
        let mut changed = bundle.clone();
        changed.inputs[0] =
            if inputs[0] == model.range.low { inputs[0] + 1 } else { inputs[0] - 1 };
        assert!(changed.verify().is_err(), "{}, another input", model.name);
        bundle
    };
    inputs.iter().enumerate().map(prove).collect()
}

/// The first and the last of 40 elements are equal, and the last one is larger by a unit of the
/// integer network, as by rounding. Its position differs by 39 from the file's, which is tolerated
/// because both elements can be equal. That of a much larger element is not. The last positions
/// have the least weight, and so the smallest tolerance.
#[test]
fn position_of_an_equal_element_is_tolerated() {
    let mut weights = [-1.0; 80];
    for index in [0, 39, 40, 79] {
        weights[index] = 1.0;
    }
    let graph = Graph::default()
        .floats("w", &[2, 40], &weights)
        .node("MatMul", "x w", "h")
        .node_with(
            "ArgMax",
            "h",
            "index",
            &[("axis", Attribute::Int(-1)), ("keepdims", Attribute::Int(0))],
        )
        .node_with("Cast", "index", "y", &[("to", Attribute::Int(1))]);
    let test = TestModel::new("equal elements", &[1, 2], &graph);
    let options = QuantiseOptions { input_range: test.range, ..QuantiseOptions::default() };
    let model = onnx::Model::decode(&test.file).unwrap();
    let float = model.network().unwrap();
    // The other row is larger, so that nothing saturates.
    let row = vec![50, 31];
    let network = quantise(&float, &options, &[vec![100, 100], row.clone()]).unwrap();
    let with_raised_bias = |column: usize, units: i64| {
        let mut network = network.clone();
        let layer = &mut network.layers[0];
        let unit = 1_i64 << layer.rescale.map_or(0, |rescale| rescale.shift);
        let Operation::Dense { bias, .. } = &mut layer.operation else { panic!("a dense layer") };
        bias[column] += units * unit;
        network
    };
    let position = |network: &Network| {
        let circuit = network.lower().unwrap();
        let output = circuit.execute(&row).unwrap().outputs(&circuit)[0];
        (output as f64 * f64::from(-network.output_scale()).exp2()).round() as i64
    };
    let compare = |network: &Network| {
        onnx::compare(&model, &float, network, &options, std::slice::from_ref(&row))
    };
    let raised_by_unit = with_raised_bias(39, 1);
    assert_eq!((position(&network), position(&raised_by_unit)), (0, 39));
    assert_eq!((compare(&network), compare(&raised_by_unit)), (Ok(()), Ok(())));
    // The first element after the two inputs.
    let largest = network.lower().unwrap().execute(&row).unwrap().cells[2];
    let raised_to_largest = with_raised_bias(38, 2 * largest + largest / 4);
    assert_eq!(position(&raised_to_largest), 38);
    let result = compare(&raised_to_largest);
    assert!(
        matches!(result, Err(onnx::CompareError::Difference { representation: "integer", .. })),
        "{result:?}"
    );
}

#[test]
fn model_with_functions_moves_and_products_is_proven() {
    for model in [attention(), heads()] {
        for bundle in check_proofs(&model, "stark") {
            assert!(
                bundle.proof.len() < 900_000,
                "{}: {} hexadecimal digits",
                model.name,
                bundle.proof.len()
            );
        }
    }
    let other = with_function("Sigmoid", &[], "")
        .compile("groth16", Backends::default())
        .unwrap_err()
        .to_string();
    assert!(other.contains("groth16 does not support element-wise functions"), "{other}");
    assert!(other.contains("hint: compile the model with --backend stark"), "{other}");
}

/// The example of an external program runs the exported network, in which products and lookups are
/// operators.
#[test]
fn external_program_proves_functions_moves_and_products() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../backends/examples/rerun.py")
        .canonicalize()
        .unwrap();
    let program = External::new(&program, Duration::from_mins(2), Capabilities::UNKNOWN).unwrap();
    let backends = Backends::with_external(program);
    for model in [attention(), heads()] {
        let compiled = model.compile("external", backends.clone()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let directory = CircuitDirectory::create(&folder.path().join("circuit"), &compiled)
            .unwrap()
            .with_backends(&backends);
        let (nonce, miner) = (Digest::of(b"a request"), Hotkey::from_bytes([5; 32]));
        let bundle = Bundle::prove(&directory, &model.sample().inputs[1], nonce, miner).unwrap();
        bundle.verify_with(&backends).unwrap();
        let mut changed = bundle.clone();
        changed.outputs[0] += 1;
        assert!(changed.verify_with(&backends).is_err(), "{}", model.name);
    }
}
