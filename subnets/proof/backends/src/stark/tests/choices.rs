//! False proofs of choices: TopK, and products of conditions.

use super::steps::check_false_steps;
use super::*;
use crate::testing::{moved, product, small, table};

<<<<<<< HEAD
pub(super) fn dense(input: u32, weights: &[i32], rows: usize) -> Layer {
=======
test_with_both_schemes!(
    another_largest_element_is_rejected,
    branch_of_another_condition_is_rejected,
    another_product_with_a_condition_is_rejected,
);

/// A lookup whose value is not that of its argument.
#[derive(Debug)]
struct FalseLookup {
    lane: usize,
    argument: i64,
    /// An argument whose value it is.
    other: i64,
}

/// How a cheat hides a false lookup.
#[derive(Clone, Copy, Debug)]
enum Disguise {
    /// Not at all: the argument is right, and no entry has this value for it.
    FalseValue,
    /// The entry is right, and its argument is not the cell's value.
    OtherArgument,
    /// The entry is right, and the difference of the arguments is in the remainder, which must be 0.
    Remainder,
}

impl<S: Scheme> Forger<S> {
    /// Executes another circuit, which differs from the prover's in operations and tables, in place
    /// of the honest trace. Returns its outputs.
    fn execute_other(&mut self, circuit: &Circuit, execution: &Execution) -> Vec<i64> {
        self.traces = trace::fill(&self.prover.system.plan, circuit, execution).unwrap();
        execution.outputs(circuit)
    }

    /// Returns the lookups of another circuit whose values are false for the prover's.
    fn false_lookups(&self, circuit: &Circuit, execution: &Execution) -> Vec<FalseLookup> {
        let StarkProver { system: System { plan, .. }, circuit: honest, .. } = &self.prover;
        let lookup = |(lane, &(stage, output)): (usize, &(u32, u32))| {
            let stages = [&**honest, circuit].map(|circuit| &circuit.stages[stage as usize].kind);
            let [StageKind::Table(honest), StageKind::Table(other)] = stages else { return None };
            let argument = execution.cells[other.cells[output as usize] as usize];
            let value = other.value(argument);
            let Range { low, high } = honest.arguments;
            let same = (low..=high).find(|&same| honest.value(same) == value).unwrap();
            (honest.value(argument) != value).then_some(FalseLookup { lane, argument, other: same })
        };
        plan.activations.iter().enumerate().filter_map(lookup).collect()
    }

    /// Proves outputs by the current trace, whose false lookups are disguised.
    fn forge_lookups(
        &self,
        outputs: &[i64],
        lookups: &[FalseLookup],
        disguise: Disguise,
        moves_counts: bool,
    ) -> Result<(), VerifyError> {
        let plan = &self.prover.system.plan;
        let (activations, functions) = (self.table(Kind::Activations), self.table(Kind::Functions));
        let fixed = plan.tables[activations].fixed.as_deref().unwrap();
        self.forge_outputs(outputs.to_vec(), |traces| {
            for &FalseLookup { lane, argument, other } in lookups {
                let (quotient, remainder) = match disguise {
                    Disguise::FalseValue => (argument, 0),
                    Disguise::OtherArgument => (other, 0),
                    Disguise::Remainder => (other, argument - other),
                };
                traces[activations].values[lane * 3] = Val::from_i64(quotient);
                traces[activations].values[lane * 3 + 1] = Val::from_i64(remainder);
                if moves_counts {
                    let function = fixed.values[lane * ACTIVATION_FIXED + 3].as_canonical_u32();
                    let row = |argument| plan.functions.row(function, argument).unwrap();
                    let counts = &mut traces[functions].values;
                    counts[row(argument)] -= Val::ONE;
                    counts[row(other)] += Val::ONE;
                    if remainder != 0 {
                        counts[plan.functions.row(ZERO, 0).unwrap()] -= Val::ONE;
                    }
                }
            }
        })
    }
}

/// Checks that the outputs of a network with other tables are rejected, however the false lookups
/// are disguised.
fn check_false_tables<S: Scheme>(
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
    let lookups = forger.false_lookups(&circuit, &execution);
    assert!(!lookups.is_empty());
    for disguise in [Disguise::FalseValue, Disguise::OtherArgument, Disguise::Remainder] {
        for moves_counts in [false, true] {
            let verified = forger.forge_lookups(&outputs, &lookups, disguise, moves_counts);
            assert_eq!(
                verified,
                Err(VerifyError::Invalid),
                "{lookups:?} {disguise:?} {moves_counts}"
            );
        }
    }
}

fn dense(input: u32, weights: &[i32], rows: usize) -> Layer {
>>>>>>> h-hide
    let operation = Operation::Dense { weights: weights.to_vec(), bias: vec![0; rows] };
    Layer { inputs: vec![input], operation, rescale: None, scale: 0 }
}

pub(super) fn sum(inputs: &[u32], factors: &[i32]) -> Layer {
    let operation = Operation::Sum { factors: factors.to_vec() };
    Layer { inputs: inputs.to_vec(), operation, rescale: None, scale: 0 }
}

/// Creates a table of a condition.
pub(super) fn condition(input: u32, arguments: Range, holds: fn(i64) -> bool) -> Layer {
    table(
        input,
        arguments.low,
        (arguments.low..=arguments.high).map(|argument| i32::from(holds(argument))),
    )
}

/// Creates a network like those of TopK, of three elements: outputs the largest one and its
/// position. The conditions say of a difference whether the second element of a pair comes after
/// the first one or before it, and of a rank whether its element is chosen.
fn largest(after: fn(i64) -> bool, before: fn(i64) -> bool, chosen: fn(i64) -> bool) -> Network {
    let differences = Range { low: -255, high: 255 };
    let layers = vec![
        // All pairs, and which of both elements comes first.
        moved(&[0], &[0, 0, 1], 0),
        moved(&[0], &[1, 2, 2], 0),
        sum(&[1, 2], &[1, -1]),
        condition(3, differences, after),
        condition(3, differences, before),
        // Rank of each element: the number of elements before it.
        moved(&[4, 5], &[3, 4, 0, 5, 1, 2], 0),
        dense(6, &[1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1], 3),
        condition(7, Range { low: 0, high: 2 }, chosen),
        product(8, 0, None),
        dense(9, &[1; 3], 1),
        dense(8, &[0, 1, 2], 1),
        moved(&[10, 11], &[0, 1], 0),
    ];
    small(3, layers)
}

/// The cheat compares falsely, chooses another rank, or adds up equal elements.
fn another_largest_element_is_rejected<S: Scheme>() {
    let honest =
        largest(|difference| difference >= 0, |difference| difference < 0, |rank| rank == 0);
    let circuit = honest.lower().unwrap();
    for (inputs, outputs) in
        [([50, 200, 100], [200, 1]), ([200, 200, 100], [200, 0]), ([1, 2, 3], [3, 2])]
    {
        assert_eq!(circuit.execute(&inputs).unwrap().outputs(&circuit), outputs, "{inputs:?}");
    }
    let reversed =
        largest(|difference| difference < 0, |difference| difference >= 0, |rank| rank == 0);
    let second =
        largest(|difference| difference >= 0, |difference| difference < 0, |rank| rank == 1);
    let all_equal =
        largest(|difference| difference > 0, |difference| difference < 0, |rank| rank == 0);
<<<<<<< HEAD
    check_false_steps(&honest, &[50, 200, 100], &reversed, &[50, 0]);
    check_false_steps(&honest, &[50, 200, 100], &second, &[100, 2]);
    check_false_steps(&honest, &[200, 200, 100], &all_equal, &[400, 1]);
=======
    check_false_tables::<S>(&honest, &[50, 200, 100], &reversed, &[50, 0]);
    check_false_tables::<S>(&honest, &[50, 200, 100], &second, &[100, 2]);
    check_false_tables::<S>(&honest, &[200, 200, 100], &all_equal, &[400, 1]);
>>>>>>> h-hide
}

/// Creates a network like that of Where: if the first input is above 100, its output is the second
/// one, else the third one. The products with the condition and its opposite are the given layers.
fn choice(above: fn(i64) -> bool, below: fn(i64) -> bool, products: [Layer; 2]) -> Network {
    let inputs = Range { low: 0, high: 255 };
    let mut layers: Vec<Layer> = (0..3).map(|index| moved(&[0], &[index], 0)).collect();
    layers.extend([condition(1, inputs, above), condition(1, inputs, below)]);
    layers.extend(products);
    layers.push(sum(&[6, 7], &[1, 1]));
    small(3, layers)
}

fn gates() -> [Layer; 2] {
    [product(4, 2, None), product(5, 3, None)]
}

fn branch_of_another_condition_is_rejected<S: Scheme>() {
    let honest = choice(|input| input > 100, |input| input <= 100, gates());
    let opposite = choice(|input| input <= 100, |input| input > 100, gates());
    let both = choice(|_| true, |_| true, gates());
    let neither = choice(|_| false, |_| false, gates());
<<<<<<< HEAD
    check_false_steps(&honest, &[200, 50, 70], &opposite, &[70]);
    check_false_steps(&honest, &[200, 50, 70], &both, &[120]);
    check_false_steps(&honest, &[100, 50, 70], &opposite, &[50]);
    check_false_steps(&honest, &[100, 50, 70], &neither, &[0]);
=======
    check_false_tables::<S>(&honest, &[200, 50, 70], &opposite, &[70]);
    check_false_tables::<S>(&honest, &[200, 50, 70], &both, &[120]);
    check_false_tables::<S>(&honest, &[100, 50, 70], &opposite, &[50]);
    check_false_tables::<S>(&honest, &[100, 50, 70], &neither, &[0]);
>>>>>>> h-hide
}

/// Both conditions are right, but the product with the true one is 0, and that with the false one
/// is its branch.
fn another_product_with_a_condition_is_rejected<S: Scheme>() {
    let mut forger = Forger::<S>::new(&choice(|input| input > 100, |input| input <= 100, gates()));
    forger.change_inputs(&[200, 50, 70]);
    assert_eq!(forger.statement.outputs, [50]);
    assert_eq!(forger.forge_outputs(vec![50], |_| ()), Ok(()), "an unchanged trace is proven");
    let other = choice(
        |input| input > 100,
        |input| input <= 100,
        [sum(&[2, 2], &[1, -1]), sum(&[3], &[1])],
    );
    let circuit = other.lower().unwrap();
    let execution = circuit.execute(&[200, 50, 70]).unwrap();
    let outputs = forger.execute_other(&circuit, &execution);
    assert_eq!(outputs, [70]);
    let products = forger.table(Kind::Multiplications);
    for rows in [
        // The products of the factors, which are not what the sum reads.
        [[1, 50, 50], [0, 70, 0]],
        // What the sum reads, which are not the products.
        [[1, 50, 0], [0, 70, 70]],
        // The products of other conditions, and of another branch.
        [[0, 50, 0], [1, 70, 70]],
        [[1, 0, 0], [1, 70, 70]],
    ] {
        let values: Vec<Val> =
            rows.as_flattened().iter().map(|&value| Val::from_i64(value)).collect();
        let verified = forger.forge_outputs(outputs.clone(), |traces| {
            traces[products].values[..6].copy_from_slice(&values);
        });
        assert_eq!(verified, Err(VerifyError::Invalid), "{rows:?}");
    }
}
