use p3_field::PrimeField32 as _;
use p3_matrix::dense::RowMajorMatrix;
use rand::Rng as _;
use taonet_primitives::Hotkey;
use taonet_proof_core::circuit::{Execution, StageKind};
use taonet_proof_core::network::{FORMAT, Input, Layer, Network, Operation};
use taonet_proof_core::{Clamp, Range, Rescale, Shape, Window};
use taonet_testing::is_exhaustive;

use super::air::{ACTIVATION_FIXED, POSITIVE_FUNCTION, TableKind, Tile, ZERO_FUNCTION};
use super::config::{NEWEST_FORMAT, TILES};
use super::plan::{KeyFormat, Method};
use super::projection::Powers;
use super::run::ProofRun;
use super::*;
use crate::testing::{self, LayerKind, TestSetup, check_binding, check_flips};

/// Defines tests of functions that forge proofs with either scheme.
macro_rules! test_with_both_schemes {
    ($($name:ident),+ $(,)?) => {
        mod plain {
            $(
                #[test]
                fn $name() {
                    super::$name::<crate::stark::config::Plain>();
                }
            )+
        }

        mod hiding {
            $(
                #[test]
                fn $name() {
                    super::$name::<crate::stark::config::Hiding>();
                }
            )+
        }
    };
}

mod bounded;
mod choices;
mod composed;
mod constraints;
mod elements;
mod forgeries;
mod formats;
mod graphs;
mod hidden;
mod inputs;
mod nodes;
mod polynomials;
mod random;
mod steps;

#[test]
fn proofs_verify_for_their_statement_only() {
    check_binding(&TestSetup::new(&Stark, &testing::network(1)));
}

#[test]
fn convolutions_over_padding_only_are_proven() {
    check_binding(&TestSetup::new(&Stark, &testing::wide_padding()));
}

/// The circuit and its columns have one limit. Here each fits on its own: 10×10 maxima at 93×93
/// positions take 16 MB in the circuit and 67 MB in the columns, and each pool of 1×1 takes 2 MB in
/// the circuit.
#[test]
fn circuit_and_columns_share_one_memory_limit() {
    let pool = |tensor: u32, side: usize| Layer {
        inputs: vec![tensor],
        operation: Operation::MaxPool {
            window: Window { kernel: [side; 2], stride: [1; 2], padding: [0; 4] },
        },
        rescale: None,
        scale: 0,
    };
    let network = |pools: u32| {
        let input = Input {
            shape: Shape::new(1, 102, 102).unwrap(),
            range: Range { low: 0, high: 1 },
            scale: 0,
        };
        let layers = std::iter::once(pool(0, 10)).chain((1..=pools).map(|tensor| pool(tensor, 1)));
        Network { format: FORMAT, input, layers: layers.collect() }
    };
    Stark.estimate(&network(2).lower().unwrap()).unwrap();
    Stark.estimate(&testing::large_image().lower().unwrap()).unwrap();
    let circuit = network(30).lower().unwrap();
    let limit = circuit.memory.limit();
    assert!(circuit.memory.used() < limit / 4 * 3);
    let Err(BackendError::Memory(error)) = Stark.estimate(&circuit) else {
        panic!("expected a memory error")
    };
    assert_eq!(error.limit, limit);
    assert!(
        error.needed > limit && error.to_string().contains(&format!("the limit of {limit} bytes")),
        "{error}"
    );
    let key = Stark.setup(&testing::network(1).lower().unwrap()).unwrap().verification;
    assert!(matches!(Stark.check_key(&circuit, &key), Err(BackendError::Memory(_))));
}

#[test]
fn flipped_bit_is_rejected() {
    check_flips(&Stark, &TestSetup::new(&Stark, &testing::network(1)));
}

#[test]
fn extremes_of_every_rescale_are_proven() {
    for network in testing::rescaled_layers().into_iter().step_by(5) {
        let test_setup = TestSetup::new(&Stark, &network);
        for inputs in testing::extremes(&test_setup.circuit).into_iter().step_by(3) {
            let (statement, proof) = test_setup.prove(&inputs);
            assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()));
        }
    }
}

/// Range of 16-bit inputs. With a factor of 32 000, sums come within 2 % of half the field; with 33
/// 000, they exceed it.
const WIDE: Range = Range { low: -(1 << 15), high: (1 << 15) - 1 };

/// Sums of every kind of layer are proven at both ends of their interval, close to where they would
/// wrap around.
#[test]
fn extremes_of_every_layer_are_proven() {
    let clamps = [None, Some(Clamp::Unsigned(8)), Some(Clamp::Signed(8))];
    for (index, kind) in LayerKind::ALL.into_iter().enumerate() {
        // A ReLU is an unsigned clamp; the other layers use each clamp in turn.
        let clamp = if kind == LayerKind::Relu { clamps[1] } else { clamps[index % 3] };
        let rescale = clamp.map(|clamp| Rescale { shift: 15, clamp });
        let test_setup = TestSetup::new(&Stark, &kind.network(WIDE, 32_000, rescale));
        let magnitude = test_setup.circuit.magnitude();
        let is_near_limit = magnitude > plan::MAX_MAGNITUDE / 100 * 98;
        assert!(
            magnitude < plan::MAX_MAGNITUDE && (is_near_limit || kind == LayerKind::MaxPool),
            "{kind:?}: {magnitude}"
        );
        for inputs in testing::extreme_sum_inputs(&test_setup.circuit) {
            let (statement, proof) = test_setup.prove(&inputs);
            assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "{kind:?}");
        }
    }
}

/// Circuits with a sum or difference that could wrap around are rejected, regardless of the kind of
/// the layer.
#[test]
fn circuits_beyond_the_field_are_rejected() {
    for kind in LayerKind::ALL {
        // A maximum uses the difference of two inputs, so this range is wide enough for the
        // difference to wrap around.
        let range = if kind == LayerKind::MaxPool {
            Range { low: -(1 << 29), high: 1 << 29 }
        } else {
            WIDE
        };
        for clamp in [None, Some(Clamp::Unsigned(8)), Some(Clamp::Signed(8))] {
            let rescale = clamp.map(|clamp| Rescale { shift: 15, clamp });
            let circuit = kind.network(range, 33_000, rescale).lower().unwrap();
            assert!(circuit.magnitude() >= plan::MAX_MAGNITUDE, "{kind:?}");
            let result = Stark.estimate(&circuit);
            assert!(matches!(result, Err(BackendError::Magnitude { .. })), "{kind:?}: {result:?}");
            assert!(Stark.setup(&circuit).is_err(), "{kind:?}");
        }
    }
}

/// Sums whose magnitude, with the addend for rounding, is within one divisor of the limit have only
/// one quotient and remainder; larger sums are rejected.
#[test]
fn rescales_at_the_limit_have_one_quotient_and_remainder() {
    let rescale = Rescale { shift: 16, clamp: Clamp::Signed(8) };
    let network = |maximum: i64| {
        let range = Range { low: -maximum, high: maximum };
        testing::one_layer(Some(rescale), vec![32_511], vec![0], range)
    };
    let test_setup = TestSetup::new(&Stark, &network((1 << 15) - 1));
    assert!(test_setup.circuit.magnitude() + (1 << rescale.shift) > plan::MAX_MAGNITUDE);
    for inputs in testing::extreme_sum_inputs(&test_setup.circuit) {
        let (statement, proof) = test_setup.prove(&inputs);
        assert_eq!(test_setup.verifier.verify(&statement, &proof), Ok(()), "{inputs:?}");
    }
    let error = Stark.setup(&network(1 << 15).lower().unwrap()).err();
    assert!(matches!(error, Some(BackendError::Magnitude { .. })), "{error:?}");
}

/// An honest execution, whose trace can be changed before it is proven.
struct Forger<S: Scheme> {
    prover: StarkProver<S>,
    key: Vec<u8>,
    execution: Execution,
    traces: Traces,
    statement: Statement,
}

/// Returns whether proofs with a scheme hide the value columns.
fn is_hiding<S: Scheme>() -> bool {
    let config: Config<S> = TILES.config().unwrap();
    config.is_zk() == 1
}

/// Returns the layout of a new key with the scheme.
fn plan_of<S: Scheme>(circuit: &Circuit) -> Plan {
    let plan = if is_hiding::<S>() { Plan::hiding(circuit) } else { Plan::new(circuit) };
    plan.unwrap()
}

impl<S: Scheme> StarkProver<S> {
    /// Starts a proof with new random numbers.
    fn start(&self) -> ProofRun<'_, S> {
        self.start_proof(&Seed::random().unwrap()).unwrap()
    }
}

impl<S: Scheme> Forger<S> {
    fn new(network: &Network) -> Self {
        let circuit = Arc::new(network.lower().unwrap());
        let plan = plan_of::<S>(&circuit);
        Self::with_plan(network, circuit, plan)
    }

    fn with_plan(network: &Network, circuit: Arc<Circuit>, plan: Plan) -> Self {
        let inputs = testing::inputs(&circuit, 1);
        Self::with_inputs(network, circuit, plan, &inputs)
    }

    fn with_inputs(network: &Network, circuit: Arc<Circuit>, plan: Plan, inputs: &[i64]) -> Self {
        assert_eq!(plan.method.format.hides_values(), is_hiding::<S>());
        let system = ProofSystem::<S>::new(plan).unwrap();
        let key = system.key(&circuit).unwrap();
        let binding = Binding {
            nonce: Digest::of(b"n"),
            miner: Hotkey::from_bytes([1; 32]),
            circuit: network.digest().unwrap(),
            verification_key: Digest::of(&key),
        };
        let execution = circuit.execute(inputs).unwrap();
        let traces = trace::fill_traces(&system.plan, &circuit, &execution).unwrap();
        let inputs = system.plan.method.format.public_inputs(inputs).to_vec();
        let statement = Statement { binding, inputs, outputs: execution.outputs(&circuit) };
        let prover = StarkProver { circuit, system, key_digest: Digest::of(&key) };
        Self { prover, key, execution, traces, statement }
    }

    fn table(&self, kind: TableKind) -> usize {
        self.prover.system.plan.tables.iter().position(|table| table.kind == kind).unwrap()
    }

    /// Executes the circuit with other inputs.
    fn change_inputs(&mut self, inputs: &[i64]) {
        let StarkProver { system: ProofSystem { plan, .. }, circuit, .. } = &self.prover;
        self.execution = circuit.execute(inputs).unwrap();
        self.traces = trace::fill_traces(plan, circuit, &self.execution).unwrap();
        self.statement.inputs = plan.method.format.public_inputs(inputs).to_vec();
        self.statement.outputs = self.execution.outputs(circuit);
    }

    /// Proves the honest outputs with a changed trace, and verifies that proof. The library's
    /// prover, built without debug assertions, proves any trace: a proof exists, and only the
    /// verifier can reject it.
    fn forge(&self, change: impl FnOnce(&mut [RowMajorMatrix<Val>])) -> Result<(), VerifyError> {
        self.forge_outputs(self.statement.outputs.clone(), change)
    }

    /// Proves other outputs, which the public column of the changed trace has, too, and verifies
    /// that proof.
    fn forge_outputs(
        &self,
        outputs: Vec<i64>,
        change: impl FnOnce(&mut [RowMajorMatrix<Val>]),
    ) -> Result<(), VerifyError> {
        let mut traces = self.traces.clone();
        let Statement { binding, inputs, .. } = &self.statement;
        let public = &mut traces.tables[self.table(TableKind::Public)].values;
        *public = trace::public_column(inputs, &outputs, public.len());
        change(&mut traces.tables);
        let proof =
            self.prover.start().prove_traces(&traces, inputs, &outputs, &binding.digest(inputs));
        let statement = Statement { outputs, ..self.statement.clone() };
        Stark.verifier(&self.key).unwrap().verify(&statement, &proof.unwrap())
    }
}

/// Values, sums, quotients, remainders, activations, maxima, counts: a change to any column yields
/// a proof that the verifier rejects.
fn every_changed_column_is_rejected<S: Scheme>() {
    check_columns(&Forger::<S>::new(&testing::network(5)));
}

/// Returns the columns of a table that are changed: all of them, or of hidden proofs the first one
/// and every fifth one after it unless `TAONET_TEST_ALL` is set. These proofs take several times as
/// long as others, and the constraints are the same.
fn changed_columns<S: Scheme>(width: usize) -> impl Iterator<Item = usize> {
    let step = if is_hiding::<S>() && !is_exhaustive() { 5 } else { 1 };
    (0..width).step_by(step)
}

/// Returns the rows in which the value of a column is changed: the first one and a random one, or
/// one of them in turn unless `TAONET_TEST_ALL` is set, since every change takes a proof.
fn changed_rows(column: usize, random: usize) -> impl Iterator<Item = usize> {
    let is_tested = move |(index, _): &(usize, usize)| is_exhaustive() || *index == column % 2;
    [0, random].into_iter().enumerate().filter(is_tested).map(|(_, row)| row)
}

fn check_columns<S: Scheme>(forger: &Forger<S>) {
    assert_eq!(forger.forge(|_| ()), Ok(()), "an unchanged trace is proven");
    let mut generator = testing::generator(6);
    // The columns of tables that depend on the challenges are missing here.
    let tables =
        forger.traces.tables.iter().enumerate().filter(|(_, trace)| !trace.values.is_empty());
    for (table, trace) in tables {
        let rows = trace.values.len() / trace.width;
        for column in changed_columns::<S>(trace.width) {
            for row in changed_rows(table + column, generator.random_range(0..rows)) {
                let change = |traces: &mut [RowMajorMatrix<Val>]| {
                    traces[table].values[row * trace.width + column] += Val::ONE;
                };
                let kind = forger.prover.system.plan.tables[table].kind;
                assert_eq!(
                    forger.forge(change),
                    Err(VerifyError::Invalid),
                    "{kind:?}, row {row}, column {column}"
                );
            }
        }
    }
}

/// A division with a remainder beyond the divisor is rejected even if everything else agrees: sum,
/// activation, and the counts of all lookups. The sums are negative, so that the activation of both
/// quotients is 0.
fn remainders_out_of_range_are_rejected<S: Scheme>() {
    check_remainders(&Forger::<S>::new(&testing::network(5)));
}

test_with_both_schemes!(every_changed_column_is_rejected, remainders_out_of_range_are_rejected);

fn check_remainders<S: Scheme>(forger: &Forger<S>) {
    let StarkProver { system: ProofSystem { plan, .. }, circuit, .. } = &forger.prover;
    let (activations, functions) =
        (forger.table(TableKind::Activations), forger.table(TableKind::Functions));
    let fixed = plan.tables[activations].fixed.as_deref().unwrap();
    let mut forged = 0;
    for (lane, &(stage, output)) in plan.activations.iter().enumerate() {
        let StageKind::Linear(linear) = &circuit.stages[stage as usize].kind else { continue };
        let Some(rescale) = linear.rescale.filter(|rescale| rescale.shift > 0) else { continue };
        let (quotient, remainder) =
            rescale.split(forger.execution.sums[stage as usize][output as usize]);
        let columns = &fixed.values[lane * ACTIVATION_FIXED..][..ACTIVATION_FIXED];
        let [quotient_table, remainder_table] =
            [3, 4].map(|column| columns[column].as_canonical_u32());
        let (honest_row, other_row) = (
            plan.functions.row(quotient_table, quotient),
            plan.functions.row(quotient_table, quotient - 1),
        );
        let (Some(honest_row), Some(other_row)) = (honest_row, other_row) else { continue };
        if rescale.clamp.apply(quotient) != rescale.clamp.apply(quotient - 1) {
            continue;
        }
        let remainder_row = plan.functions.row(remainder_table, remainder).unwrap();
        let result = forger.forge(|traces| {
            traces[activations].values[lane * 3] -= Val::ONE;
            traces[activations].values[lane * 3 + 1] += Val::from_i64(1 << rescale.shift);
            let counts = &mut traces[functions].values;
            counts[honest_row] -= Val::ONE;
            counts[other_row] += Val::ONE;
            counts[remainder_row] -= Val::ONE;
        });
        assert_eq!(result, Err(VerifyError::Invalid), "lane {lane}");
        forged += 1;
        if forged == 10 {
            return;
        }
    }
    panic!("{forged} lanes with a saturated quotient");
}

#[test]
fn keys_are_derived_from_the_network() {
    let circuit = Arc::new(testing::network(1).lower().unwrap());
    let keys = Stark.setup(&circuit).unwrap();
    assert_eq!(Stark.setup(&circuit).unwrap().verification, keys.verification);
    assert!(keys.verification.len() < 200);
    let other = Stark.setup(&testing::network(2).lower().unwrap()).unwrap();
    assert_ne!(other.verification, keys.verification);
    assert!(Stark.prover(circuit, &other).is_err());
}

/// Keys whose tile another version chose remain usable.
#[test]
fn tile_is_read_from_the_key() {
    let network = testing::network(1);
    let circuit = Arc::new(network.lower().unwrap());
    let current = Plan::new(&circuit).unwrap().method.tile;
    for tile in [Tile { inputs: 4, outputs: 2 }, Tile { inputs: 16, outputs: 16 }] {
        assert_ne!(tile, current);
        let method = Method { tile, format: KeyFormat::Tiles };
        let keys = create_keys(&circuit, Plan::with_method(&circuit, method).unwrap()).unwrap();
        let binding = Binding {
            nonce: Digest::of(b"n"),
            miner: Hotkey::from_bytes([1; 32]),
            circuit: network.digest().unwrap(),
            verification_key: Digest::of(&keys.verification),
        };
        let inputs = testing::inputs(&circuit, 1);
        let ProofWithOutputs { proof, outputs } =
            Stark.prover(Arc::clone(&circuit), &keys).unwrap().prove(&inputs, &binding).unwrap();
        let statement = Statement { binding, inputs, outputs };
        assert_eq!(Stark.verifier(&keys.verification).unwrap().verify(&statement, &proof), Ok(()));
    }
}

/// The error for a key of another version says what to do.
#[test]
fn unknown_format_has_a_hint() {
    let test_setup = TestSetup::new(&Stark, &testing::network(1));
    // The format is the first byte of the key.
    assert_eq!(u32::from(test_setup.keys.verification[0]), TILES.format);
    for format in [0, TILES.format - 1, NEWEST_FORMAT + 1] {
        let mut key = test_setup.keys.verification.clone();
        key[0] = format as u8;
        let expected = BackendError::Format { format, newest: NEWEST_FORMAT }.to_string();
        assert!(expected.contains("compile the model again"), "{expected}");
        assert_eq!(Stark.verifier(&key).err().unwrap().to_string(), expected);
        let keys = Keys { proving: Vec::new(), verification: key };
        assert_eq!(
            Stark.prover(Arc::clone(&test_setup.circuit), &keys).err().unwrap().to_string(),
            expected
        );
    }
    let other_keys = Keys {
        proving: Vec::new(),
        verification: Stark.setup(&testing::network(2).lower().unwrap()).unwrap().verification,
    };
    let error =
        Stark.prover(Arc::clone(&test_setup.circuit), &other_keys).err().unwrap().to_string();
    assert!(error.contains("compile the model again"), "{error}");
}

#[test]
fn proofs_are_short() {
    let test_setup = TestSetup::new(&Stark, &testing::network(1));
    let (_, proof) = test_setup.prove(&testing::inputs(&test_setup.circuit, 1));
    assert!(proof.len() < 400_000, "{} bytes", proof.len());
}
