//! False steps. From a false step on, the witness of a cheat is that of another circuit, with other
//! tables, weights or moves: every later value, sum and count agrees with it.

use p3_field::Field as _;
use taonet_proof_core::circuit::{Linear, Product, Stage};

use super::*;

/// An activation whose value is not that of its sum, or of its argument in a table.
#[derive(Debug)]
struct FalseActivation {
    lane: usize,
    /// Quotient and remainder of the true sum, or the argument and 0.
    quotient: i64,
    remainder: i64,
    divisor: i64,
    /// Quotient and remainder of the other circuit, which are in the counts of its trace.
    counted: [i64; 2],
    /// A quotient or argument whose value it is, if there is one.
    other: Option<i64>,
}

/// False steps of a witness.
#[derive(Debug, Default)]
struct FalseSteps {
    activations: Vec<FalseActivation>,
    /// Addresses of false sums, and their values there.
    sums: Vec<(u32, Val)>,
}

/// Method by which a cheat hides false steps.
#[derive(Clone, Copy, Debug)]
enum StepForgery {
    /// Not at all: sums are right, and no entry has the value for the quotient or argument.
    FalseValue,
    /// The entry is right, and its quotient or argument is not that of the sum or cell.
    OtherArgument,
    /// The entry is right, and the difference of the quotients or arguments is in the remainder,
    /// which must be below the divisor.
    Remainder,
    /// The activation is that of a false sum, which the table of products has as well.
    FalseSum,
}

/// Forgeries, each with whether the counts of lookups are moved to the entries that it looks up.
const STEP_FORGERIES: [(StepForgery, bool); 7] = [
    (StepForgery::FalseValue, false),
    (StepForgery::FalseValue, true),
    (StepForgery::OtherArgument, false),
    (StepForgery::OtherArgument, true),
    (StepForgery::Remainder, false),
    (StepForgery::Remainder, true),
    (StepForgery::FalseSum, false),
];

/// Returns the forgeries that are tried: all of them, or of hidden proofs every third one unless
/// `TAONET_TEST_ALL` is set. The constraints are the same.
fn step_forgeries<S: Scheme>() -> impl Iterator<Item = (StepForgery, bool)> {
    let step = if is_hiding::<S>() && !is_exhaustive() { 3 } else { 1 };
    STEP_FORGERIES.into_iter().step_by(step)
}

/// Checks that the outputs of a network with other tables, weights or moves are rejected with every
/// forgery of its false steps.
pub(super) fn check_false_steps<S: Scheme>(
    network: &Network,
    inputs: &[i64],
    other: &Network,
    expected: &[i64],
) {
    let mut forger = Forger::<S>::new(network);
    forger.change_inputs(inputs);
    assert_eq!(
        forger.forge_outputs(forger.statement.outputs.clone(), |_| ()),
        Ok(()),
        "an unchanged trace is proven"
    );
    let circuit = other.lower().unwrap();
    let execution = circuit.execute(inputs).unwrap();
    let outputs = forger.execute_other(&circuit, &execution);
    assert_eq!(outputs, expected);
    assert_ne!(outputs, forger.statement.outputs);
    let steps = forger.false_steps(&circuit, &execution);
    assert!(!steps.activations.is_empty() || !steps.sums.is_empty());
    for (step_forgery, moves_counts) in step_forgeries::<S>() {
        let result = forger.forge_steps(&outputs, &steps, step_forgery, moves_counts);
        assert_eq!(result, Err(VerifyError::Invalid), "{steps:?} {step_forgery:?} {moves_counts}");
    }
}

impl<S: Scheme> Forger<S> {
    /// Executes another circuit, which differs from the prover's in tables, weights or moves, in
    /// place of the honest trace. Returns its outputs.
    pub(super) fn execute_other(&mut self, circuit: &Circuit, execution: &Execution) -> Vec<i64> {
        self.traces = trace::fill_traces(&self.prover.system.plan, circuit, execution).unwrap();
        execution.outputs(circuit)
    }

    /// Returns the steps of another circuit's execution that are false for the prover's circuit.
    fn false_steps(&self, other: &Circuit, execution: &Execution) -> FalseSteps {
        let StarkProver { system: ProofSystem { plan, .. }, circuit, .. } = &self.prover;
        let fixed = plan.fixed_columns(|kind| *kind == TableKind::Activations).unwrap();
        let mut steps = FalseSteps::default();
        for (lane, &(stage, output)) in plan.activations.iter().enumerate() {
            let [honest, cheat] =
                [&**circuit, other].map(|circuit| &circuit.stages[stage as usize]);
            let output = output as usize;
            let value = execution.cells[cheat.first as usize + output];
            let [quotient, remainder, divisor] =
                split(honest, sum_of(honest, output, &execution.cells));
            if value_of(honest, quotient) == Some(value) {
                continue;
            }
            let [counted_quotient, counted_remainder, _] =
                split(cheat, sum_of(cheat, output, &execution.cells));
            let &[sum, added, ..] = &fixed.values[lane * ACTIVATION_FIXED..] else {
                panic!("the columns of an activation")
            };
            if matches!(honest.kind, StageKind::Linear(_)) {
                let stored = Val::from_i64(counted_quotient * divisor + counted_remainder) - added;
                steps.sums.push((sum.as_canonical_u32(), stored));
            }
            let counted = [counted_quotient, counted_remainder];
            let other = argument_of(honest, value);
            let activation = FalseActivation { lane, quotient, remainder, divisor, counted, other };
            steps.activations.push(activation);
        }
        // Sums without an activation.
        for (index, stage) in circuit.stages.iter().enumerate() {
            let is_sum = matches!(stage.kind, StageKind::Linear(Linear { rescale: None, .. }));
            let outputs = 0..if is_sum { stage.count } else { 0 };
            for output in outputs {
                let cell = stage.first as usize + output;
                let value = execution.cells[cell];
                let has_lane = plan.activations.contains(&(index as u32, output as u32));
                if !has_lane && sum_of(stage, output, &execution.cells) != value {
                    let location = plan.locations[cell];
                    steps.sums.push((location.address, Val::from_i64(value - location.bias)));
                }
            }
        }
        steps
    }

    /// Proves outputs by the current trace, whose false steps the forgery hides.
    fn forge_steps(
        &self,
        outputs: &[i64],
        steps: &FalseSteps,
        step_forgery: StepForgery,
        moves_counts: bool,
    ) -> Result<(), VerifyError> {
        let plan = &self.prover.system.plan;
        let (activations, functions) =
            (self.table(TableKind::Activations), self.table(TableKind::Functions));
        let fixed = plan.tables[activations].fixed.as_deref().unwrap();
        self.forge_outputs(outputs.to_vec(), |traces| {
            if matches!(step_forgery, StepForgery::FalseSum) {
                for &(address, stored) in &steps.sums {
                    let (table, column) = self.position_of_sum(address);
                    traces[table].values[column] = stored;
                }
                return;
            }
            for activation in &steps.activations {
                let &FalseActivation { lane, quotient, remainder, divisor, counted, other } =
                    activation;
                let other = other.unwrap_or(quotient);
                let [new_quotient, new_remainder] = match step_forgery {
                    StepForgery::Remainder => [other, remainder + (quotient - other) * divisor],
                    StepForgery::OtherArgument => [other, remainder],
                    StepForgery::FalseValue | StepForgery::FalseSum => [quotient, remainder],
                };
                let columns = &mut traces[activations].values[lane * 3..];
                columns[0] = Val::from_i64(new_quotient);
                columns[1] = Val::from_i64(new_remainder);
                if moves_counts {
                    let lane_values = &fixed.values[lane * ACTIVATION_FIXED..];
                    let counts = &mut traces[functions].values;
                    let looked_up = [(3, counted[0], other), (4, counted[1], new_remainder)];
                    for (column, before, after) in looked_up {
                        let function = lane_values[column].as_canonical_u32();
                        counts[plan.functions.row(function, before).unwrap()] -= Val::ONE;
                        if let Some(row) = plan.functions.row(function, after) {
                            counts[row] += Val::ONE;
                        }
                    }
                }
            }
        })
    }

    /// Returns the index of the table of products, and the position in its values of the sum at an
    /// address.
    fn position_of_sum(&self, address: u32) -> (usize, usize) {
        let plan = &self.prover.system.plan;
        let tables = plan.tables.iter().enumerate();
        let mut products = tables.filter_map(|(index, table)| match table.kind {
            TableKind::Products(tile) => Some((index, tile, table.fixed.as_deref()?)),
            _ => None,
        });
        let (index, tile, fixed) = products.next().unwrap();
        let location = fixed.values.chunks(fixed.width).enumerate().find_map(|(row, columns)| {
            // After addresses and weights: the address of the first sum, the number of reads of
            // each sum, which is 0 before the last row of a sum.
            let (first, reads) = columns[tile.inputs * (1 + tile.outputs)..].split_first()?;
            let output = address.checked_sub(first.as_canonical_u32())? as usize;
            let reads = reads[..tile.outputs].get(output)?;
            let column = row * tile.width() + tile.inputs + tile.outputs + output;
            (!reads.is_zero()).then_some(column)
        });
        (index, location.unwrap())
    }
}

/// Returns the sum of an output of a stage before it is rescaled, or the argument in a table.
fn sum_of(stage: &Stage, output: usize, cells: &[i64]) -> i64 {
    let product = |[a, b]: [u32; 2]| cells[a as usize] * cells[b as usize];
    match &stage.kind {
        StageKind::Linear(linear) => {
            let terms = linear.jobs.iter().flat_map(|job| {
                let row = job.outputs.iter().position(|&other| other as usize == output);
                let weights = row.map(|row| linear.kernels[job.kernel].row(row));
                let taps = weights.map(|weights| {
                    job.taps.iter().map(move |tap| {
                        i64::from(weights[tap.slot as usize]) * cells[tap.cell as usize]
                    })
                });
                taps.into_iter().flatten()
            });
            linear.bias[output] + terms.sum::<i64>()
        }
        StageKind::Table(table) => cells[table.cells[output] as usize],
        StageKind::Product(Product { pairs, .. }) => product(pairs[output]),
        StageKind::MatrixProduct(matrices) => matrices.pairs(output).map(product).sum(),
        StageKind::Max(_) => panic!("a maximum has no sum"),
    }
}

/// Returns quotient, remainder and divisor of a sum.
fn split(stage: &Stage, sum: i64) -> [i64; 3] {
    stage.kind.rescale().map_or([sum, 0, 1], |rescale| {
        let (quotient, remainder) = rescale.split(sum);
        [quotient, remainder, 1 << rescale.shift]
    })
}

/// Returns the value of a quotient, or of an argument in a table.
fn value_of(stage: &Stage, quotient: i64) -> Option<i64> {
    match &stage.kind {
        StageKind::Table(table) => table.value(quotient),
        _ => Some(stage.kind.rescale().map_or(quotient, |rescale| rescale.clamp.apply(quotient))),
    }
}

/// Returns a quotient, or an argument in a table, that has this value.
fn argument_of(stage: &Stage, value: i64) -> Option<i64> {
    match &stage.kind {
        StageKind::Table(table) => {
            let Range { low, high } = table.arguments;
            (low..=high).find(|&argument| table.value(argument) == Some(value))
        }
        _ => Some(value),
    }
}
