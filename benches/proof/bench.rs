//! Cost of proofs: setup, proving, verification, size and memory, for the shipped models and for a
//! residual network of ten million multiply-adds with random weights.
//!
//! Usage: cargo bench -p taonet-proof-lm --bench proof -- [--json] [CASE...]
//!
//! A case is NETWORK/BACKEND, such as digits-lenet/stark. Each case runs in a separate process, so
//! that its peak memory can be measured. The backend `external` calls
//! subnets/proof/backends/examples/rerun.py; the memory figure is that of the calling process,
//! without the program. The backends `stark-hide` and `stark-hide-inputs` are `stark` with keys of
//! `tao proof compile --hide` and `--hide-inputs`. The circuit of facts-lm, a language model, has 64
//! tokens; "answer" is the time of choosing the tokens of an answer, which are the inputs of the
//! proof. Products of two matrices are measured if their cases are named: 64x48x32/stark is that of
//! 64×48 and 48×32 inputs, and 64x48x32-weights/stark has the second matrix in the key.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_primitives::Hotkey;
use taonet_proof_backends::external::External;
use taonet_proof_backends::{Backend, Capabilities, Statement};
use taonet_proof_circuits::{Backends, CircuitDirectory, CompileOptions, ShippedModel};
use taonet_proof_core::metadata::NETWORK;
use taonet_proof_core::network::{FORMAT, Input, Layer, Matrices, Network, Operation};
use taonet_proof_core::quantise::{QuantiseOptions, quantise};
use taonet_proof_core::{Binding, Clamp, Digest, Range, Rescale, Shape, Window};
use taonet_proof_lm::{FACTS_LM_TEXTS, LmOptions, TextBundle, compile};
use taonet_proof_onnx as onnx;

const CASES: [&str; 14] = [
    "diabetes-regression/groth16",
    "diabetes-regression/stark",
    "diabetes-regression/external",
    "digits-mlp/groth16",
    "digits-mlp/stark",
    "digits-mlp/stark-hide",
    "digits-mlp/stark-hide-inputs",
    "digits-mlp/external",
    "digits-lenet/groth16",
    "digits-lenet/stark",
    "digits-lenet/stark-hide",
    "digits-lenet/stark-hide-inputs",
    "residual/stark",
    "facts-lm/stark",
];
/// The prompt of the language model.
const PROMPT: &str = "The capital of Texas is";
/// Timeout of a step of the external program.
const TIMEOUT: Duration = Duration::from_mins(5);
/// Time budget for the repetitions of a step.
const BUDGET: Duration = Duration::from_secs(3);

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (flags, cases): (Vec<String>, Vec<String>) =
        arguments.into_iter().partition(|argument| argument.starts_with("--"));
    if flags.iter().any(|flag| flag == "--one") {
        println!("{}", measure(&cases[0]));
        return;
    }
    let cases = if cases.is_empty() { CASES.map(str::to_owned).to_vec() } else { cases };
    for case in cases {
        let output =
            Command::new(std::env::current_exe().unwrap()).args(["--one", &case]).output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        if flags.iter().any(|flag| flag == "--json") {
            print!("{line}");
            continue;
        }
        let value: Value = serde_json::from_str(&line).unwrap();
        let number = |key: &str| value[key].as_f64().unwrap();
        println!(
            "{case:<30} {:>9} multiply-adds {:>8} constraints  setup {:>7.2} s  load {:>5.2} s  prove {:>8.1} ms  \
             processor {:>8.1} ms  of which witness {:>4.1} %  verify {:>6.2} ms  together {:>6.0}/s  proof {:>7} bytes  key {:>8} bytes  {:>5.0} MB",
            number("multiply_adds"),
            number("constraints"),
            number("setup"),
            number("load"),
            number("prove") * 1e3,
            number("prove_processor") * 1e3,
            number("witness") / number("prove") * 100.0,
            number("verify") * 1e3,
            number("together"),
            number("proof_bytes"),
            number("verification_key_bytes"),
            number("megabytes"),
        );
        if let Some(answer) = value["answer"].as_f64() {
            println!("{case:<30} answer {answer:.2} s");
        }
    }
}

/// A network with inputs of a proof.
struct Task {
    network: Network,
    inputs: Vec<i64>,
    /// Time of choosing the tokens of a language model's answer, in seconds.
    answer: Option<f64>,
}

fn task(name: &str) -> Task {
    if name == "facts-lm" {
        return facts_lm();
    }
    let (network, inputs) = network(name);
    Task { network, inputs, answer: None }
}

fn facts_lm() -> Task {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/facts-lm");
    let options = CompileOptions {
        name: "facts-lm".to_owned(),
        backend: "stark".to_owned(),
        backends: Backends::default(),
        quantise: QuantiseOptions::default(),
        max_error: None,
        contributor: "anonymous".to_owned(),
    };
    let lm = LmOptions { tokens: 64, sample: Some(FACTS_LM_TEXTS) };
    let compiled = compile(&model, &options, lm).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let directory = CircuitDirectory::create(&folder.path().join("circuit"), &compiled).unwrap();
    let (answer, inputs) = seconds(|| TextBundle::inputs(&directory, PROMPT).unwrap());
    let network = Network::from_bytes(&compiled.files[NETWORK]).unwrap();
    Task { network, inputs, answer: Some(answer) }
}

fn network(name: &str) -> (Network, Vec<i64>) {
    if name == "residual" {
        let inputs = (0..3072).map(|index| index * 7919 % 256).collect();
        return (residual(), inputs);
    }
    if let Some(product) = product(name) {
        return product;
    }
    let model = ShippedModel::ALL.into_iter().find(|model| model.name() == name).unwrap();
    let (calibration, test) = model.sample().unwrap().split();
    let float = onnx::read(model.onnx()).unwrap();
    (quantise(&float, &model.quantise_options(), &calibration).unwrap(), test.inputs[0].clone())
}

fn backends() -> Backends {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backends/examples/rerun.py");
    let program = program.canonicalize().unwrap();
    Backends::with_external(External::new(&program, TIMEOUT, Capabilities::UNKNOWN).unwrap())
}

/// Returns the backend of a case.
fn backend(name: &str) -> Box<dyn Backend> {
    let backend = match name {
        "stark-hide" => backends().with_hidden_values().get("stark"),
        "stark-hide-inputs" => backends().with_hidden_inputs().get("stark"),
        name => backends().get(name),
    };
    backend.unwrap()
}

/// Returns the shortest duration of a run within the budget, in seconds.
fn seconds<T>(mut step: impl FnMut() -> T) -> (f64, T) {
    let started = Instant::now();
    let mut best = f64::INFINITY;
    loop {
        let start = Instant::now();
        let result = step();
        best = best.min(start.elapsed().as_secs_f64());
        if started.elapsed() > BUDGET {
            return (best, result);
        }
    }
}

fn measure(case: &str) -> Value {
    let (name, backend_name) = case.split_once('/').unwrap();
    let Task { network, inputs, answer } = task(name);
    let circuit = Arc::new(network.lower().unwrap());
    let backend = backend(backend_name);
    let start = Instant::now();
    let keys = backend.setup(&circuit).unwrap();
    let setup = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let prover = backend.prover(Arc::clone(&circuit), &keys).unwrap();
    let load = start.elapsed().as_secs_f64();
    let binding = Binding {
        nonce: Digest::of(b"bench"),
        miner: Hotkey::from_bytes([1; 32]),
        circuit: network.digest().unwrap(),
        verification_key: Digest::of(&keys.verification),
    };
    let (witness, _) = seconds(|| prover.witness(&inputs, &binding).unwrap());
    let (mut processor, mut before) = (f64::INFINITY, processor_seconds());
    let (prove, proven) = seconds(|| {
        let proven = prover.prove(&inputs, &binding).unwrap();
        let now = processor_seconds();
        processor = processor.min(now - before);
        before = now;
        proven
    });
    let verifier = backend.verifier(&keys.verification).unwrap();
    let public = if backend.capabilities().hides_inputs { Vec::new() } else { inputs };
    let statement = Statement { binding, inputs: public, outputs: proven.outputs };
    let (verify, ()) = seconds(|| verifier.verify(&statement, &proven.proof).unwrap());
    let many = vec![(statement, proven.proof.clone()); 64];
    let (batch, ()) = seconds(|| assert!(verifier.verify_all(&many).iter().all(Result::is_ok)));
    json!({
        "case": case,
        "multiply_adds": circuit.multiply_adds(),
        "constraints": backend.estimate(&circuit).unwrap().constraints,
        "setup": setup,
        "load": load,
        "witness": witness,
        "prove": prove,
        "prove_processor": processor,
        "verify": verify,
        "together": many.len() as f64 / batch,
        "proof_bytes": proven.proof.len(),
        "verification_key_bytes": keys.verification.len(),
        "proving_key_bytes": keys.proving.len(),
        "megabytes": peak_memory(),
        "answer": answer,
    })
}

/// Returns the processor time of all threads so far, in seconds; 0 if the system does not report
/// it. It hardly depends on other programs on the machine.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields after the program's name, which can contain spaces: the state is the first one.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // In hundredths of a second: user time, then system time.
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Returns the peak memory of the process in MB; 0 if the system does not report it.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1000.0
}

/// Builds a residual network: three stages of 3×3 convolutions with skip connections on a 3×32×32
/// image, then global average pooling and ten classes.
fn residual() -> Network {
    let mut builder = Builder { layers: Vec::new(), state: 59 };
    let stem = builder.convolution(0, [3, 16], 3, 1, true);
    let inner = builder.convolution(stem, [16, 16], 3, 1, true);
    let outer = builder.convolution(inner, [16, 16], 3, 1, false);
    let first = builder.add(stem, outer);
    let inner = builder.convolution(first, [16, 32], 3, 2, true);
    let outer = builder.convolution(inner, [32, 32], 3, 1, false);
    let shortcut = builder.convolution(first, [16, 32], 1, 2, false);
    let second = builder.add(shortcut, outer);
    let outer = builder.convolution(second, [32, 64], 3, 2, false);
    let shortcut = builder.convolution(second, [32, 64], 1, 2, false);
    let third = builder.add(shortcut, outer);
    let window = Window { kernel: [8; 2], stride: [1; 2], padding: [0; 4] };
    let mean =
        Operation::Convolution { window, groups: 64, weights: vec![1; 64 * 64], bias: vec![0; 64] };
    let mean = builder.push(&[third], mean, Some(Rescale { shift: 6, clamp: Clamp::Unsigned(8) }));
    let weights = builder.weights(640);
    builder.push(&[mean], Operation::Dense { weights, bias: vec![0; 10] }, None);
    let shape = Shape::new(3, 32, 32).unwrap();
    Network {
        format: FORMAT,
        input: Input { shape, range: Range { low: 0, high: 255 }, scale: 0 },
        layers: builder.layers,
    }
}

/// Builds a product of matrices of these sizes. The outputs are its sums.
fn product(name: &str) -> Option<(Network, Vec<i64>)> {
    let sizes = name.strip_suffix("-weights");
    let has_weights = sizes.is_some();
    let sizes = sizes.unwrap_or(name).split('x').map(|size| size.parse().ok());
    let [rows, inner, columns] = sizes.collect::<Option<Vec<usize>>>()?[..] else { return None };
    let mut builder = Builder { layers: Vec::new(), state: 61 };
    let shape = if has_weights {
        let window = Window { kernel: [1; 2], stride: [1; 2], padding: [0; 4] };
        let (weights, bias) = (builder.weights(inner * columns), vec![0; columns]);
        builder.push(&[0], Operation::Convolution { window, groups: 1, weights, bias }, None);
        Shape::new(inner, 1, rows).unwrap()
    } else {
        let matrices = [(0, rows, inner), (rows * inner, inner, columns)];
        let matrices = matrices.map(|(start, height, width)| {
            let shape = Shape::new(1, height, width).unwrap();
            let indices = (start as u32..).take(shape.elements()).collect();
            builder.push(&[0], Operation::Move { shape, indices, constant: 0 }, None)
        });
        let sizes = Matrices { count: 1, rows, inner, columns };
        builder.push(&matrices, Operation::MatrixProduct(sizes), None);
        Shape::new(1, rows + columns, inner).unwrap()
    };
    let inputs = (0..).map(|index: i64| index * 7919 % 127 - 63).take(shape.elements()).collect();
    let input = Input { shape, range: Range { low: -63, high: 63 }, scale: 0 };
    Some((Network { format: FORMAT, input, layers: builder.layers }, inputs))
}

struct Builder {
    layers: Vec<Layer>,
    state: u64,
}

impl Builder {
    /// Pseudo-random weights of -63..=63.
    fn weights(&mut self, count: usize) -> Vec<i32> {
        let next = |_| {
            self.state = self
                .state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.state >> 33) as i32 % 127 - 63
        };
        (0..count).map(next).collect()
    }

    fn push(&mut self, inputs: &[u32], operation: Operation, rescale: Option<Rescale>) -> u32 {
        self.layers.push(Layer { inputs: inputs.to_vec(), operation, rescale, scale: 0 });
        self.layers.len() as u32
    }

    fn convolution(
        &mut self,
        input: u32,
        [from, to]: [usize; 2],
        kernel: usize,
        stride: usize,
        relu: bool,
    ) -> u32 {
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [kernel / 2; 4] };
        let weights = self.weights(from * to * kernel * kernel);
        let clamp = if relu { Clamp::Unsigned(8) } else { Clamp::Signed(8) };
        let operation = Operation::Convolution { window, groups: 1, weights, bias: vec![0; to] };
        self.push(&[input], operation, Some(Rescale { shift: 9, clamp }))
    }

    fn add(&mut self, a: u32, b: u32) -> u32 {
        let rescale = Rescale { shift: 1, clamp: Clamp::Unsigned(8) };
        self.push(&[a, b], Operation::Sum { factors: vec![1, 1] }, Some(rescale))
    }
}
