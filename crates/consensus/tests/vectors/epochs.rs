//! Tests with recorded epochs: those of the chain's own tests, and the outputs of a bit-exact
//! oracle.

use std::collections::BTreeMap;

use serde_json::Value;
use taonet_consensus::{Case, EpochInput, EpochOutput, run, run_dense};
use taonet_primitives::Uid;

use crate::{read, sequence};

/// The absolute tolerance of approximate values: the 10⁻³ stated with the vectors, plus rounding.
const TOLERANCE: f64 = 1.1e-3;

#[derive(serde::Deserialize)]
struct Cases {
    cases: Vec<RecordedCase>,
}

#[derive(serde::Deserialize)]
struct RecordedCase {
    id: String,
    input: EpochInput,
    expected: BTreeMap<String, Value>,
}

#[derive(serde::Deserialize)]
struct FixedVectors {
    cases: BTreeMap<String, EpochOutput>,
    graph_512: Vec<GraphEpoch>,
}

#[derive(serde::Deserialize)]
struct GraphEpoch {
    layout: String,
    self_weights: bool,
    epoch: usize,
    validator: Neuron,
    server: Neuron,
    bond: Option<u16>,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct Neuron {
    stake_weight: u16,
    new_validator_permit: bool,
    consensus: u16,
    validator_trust: u16,
    incentive: u16,
    dividends: u16,
    server_emission: u64,
    validator_emission: u64,
    emission: u64,
}

impl Neuron {
    fn of(output: &EpochOutput, uid: usize) -> Self {
        Self {
            stake_weight: output.stake_weight[uid],
            new_validator_permit: output.new_validator_permit[uid],
            consensus: output.consensus[uid],
            validator_trust: output.validator_trust[uid],
            incentive: output.incentive[uid],
            dividends: output.dividends[uid],
            server_emission: output.server_emission[uid],
            validator_emission: output.validator_emission[uid],
            emission: output.emission[uid],
        }
    }
}

#[test]
fn every_recorded_epoch_equals_the_oracle() {
    let cases: Cases = read("cases.json");
    let fixed: FixedVectors = read("fixed.json");
    assert_eq!((cases.cases.len(), fixed.cases.len()), (112, 112));
    for case in &cases.cases {
        assert_eq!(run(&case.input).unwrap(), fixed.cases[&case.id], "{}", case.id);
    }
}

#[test]
fn every_random_epoch_equals_the_oracle() {
    #[derive(serde::Deserialize)]
    struct RandomVectors {
        cases: Vec<ExpectedCase>,
    }
    #[derive(serde::Deserialize)]
    struct ExpectedCase {
        id: String,
        input: EpochInput,
        fixed: EpochOutput,
    }
    let random: RandomVectors = read("random.json");
    assert_eq!(random.cases.len(), 200);
    for case in &random.cases {
        assert_eq!(run(&case.input).unwrap(), case.fixed, "{}", case.id);
    }
}

#[test]
fn every_recorded_expectation_holds_for_sparse_and_dense_epochs() {
    let cases: Cases = read("cases.json");
    let mut expectation_count = 0;
    for case in &cases.cases {
        for output in [run(&case.input).unwrap(), run_dense(&case.input).unwrap()] {
            let fields = serde_json::to_value(&output).unwrap();
            for (key, expected) in &case.expected {
                assert_expected(&fields, key, expected, &format!("{} {key}", case.id));
                expectation_count += 1;
            }
        }
    }
    assert_eq!(expectation_count, 2 * 170);
}

fn assert_expected(fields: &Value, key: &str, expected: &Value, context: &str) {
    let assert_close = |actual: &Value, expected: &Value| {
        let (actual, expected) =
            (actual.as_f64().unwrap() / f64::from(u16::MAX), expected.as_f64().unwrap());
        assert!(
            (actual - expected).abs() <= TOLERANCE,
            "{context}: {actual} is not about {expected}"
        );
    };
    match (key, expected) {
        ("bonds_at" | "bonds_approx", _) => {
            for entry in sequence(expected) {
                let [row, column, bond] = sequence(entry) else {
                    panic!("{context}: not [row, column, bond]")
                };
                let actual = bond_at(fields, row.as_u64().unwrap(), column.as_u64().unwrap());
                if key == "bonds_at" {
                    assert_eq!(&actual, bond, "{context}");
                } else {
                    assert_close(&actual, bond);
                }
            }
        }
        (_, Value::Object(by_uid)) => {
            for (uid, value) in by_uid {
                assert_eq!(
                    &fields[key][uid.parse::<usize>().unwrap()],
                    value,
                    "{context}, uid {uid}"
                );
            }
        }
        _ => match key.strip_suffix("_approx") {
            Some(key) => {
                let pairs = sequence(&fields[key]).iter().zip(sequence(expected));
                pairs.for_each(|(actual, expected)| assert_close(actual, expected));
            }
            None => assert_eq!(&fields[key], expected, "{context}"),
        },
    }
}

fn bond_at(fields: &Value, row: u64, column: u64) -> Value {
    let row = sequence(&fields["bonds"][usize::try_from(row).unwrap()]);
    row.iter().find(|entry| entry[0] == column).map_or(Value::from(0), |entry| entry[1].clone())
}

#[test]
fn network_of_512_neurons_equals_oracle_and_reference() {
    let graph_rule: Value = read("graph_512.json");
    let fixed: FixedVectors = read("fixed.json");
    assert_eq!(fixed.graph_512.len(), 2 * 2 * 4);
    let expected = &graph_rule["expected"];
    let mut state = None;
    for step in &fixed.graph_512 {
        let validators: Vec<usize> =
            if step.layout == "contiguous" { (0..64).collect() } else { (448..512).collect() };
        let servers: Vec<u16> =
            (0..512).filter(|uid| !validators.contains(&usize::from(*uid))).collect();
        let mut input = if step.epoch == 0 {
            graph_512(&graph_rule, &validators)
        } else {
            state.take().unwrap()
        };
        if step.epoch == 1 {
            for &uid in &validators {
                input.weights[uid] = servers.iter().map(|&to| (Uid(to), 127)).collect();
            }
            if step.self_weights {
                for &uid in &servers {
                    input.weights[usize::from(uid)] = vec![(Uid(uid), u16::MAX)];
                }
            }
        }
        let output = run(&input).unwrap();
        for uid in 0..512 {
            let is_validator = validators.contains(&uid);
            assert_eq!(
                &Neuron::of(&output, uid),
                if is_validator { &step.validator } else { &step.server },
                "{uid}"
            );
            let bonds: Vec<(Uid, u16)> = match step.bond {
                Some(bond) if is_validator => servers.iter().map(|&to| (Uid(to), bond)).collect(),
                _ => Vec::new(),
            };
            assert_eq!(output.bonds[uid], bonds);
        }
        if step.epoch > 0 {
            assert_eq!(step.validator.dividends, expected["validator"]["dividends"]);
            assert_eq!(step.validator.emission, expected["validator"]["emission"]);
            assert_eq!(
                step.bond.map(Value::from).as_ref(),
                Some(&expected["validator"]["bond_to_each_server"])
            );
            assert_eq!(step.server.consensus, expected["server"]["consensus"]);
            assert_eq!(step.server.incentive, expected["server"]["incentive"]);
            assert_eq!(step.server.emission, expected["server"]["emission"]);
        }
        input.carry_over(&output);
        state = Some(input);
    }
}

fn graph_512(graph_rule: &Value, validators: &[usize]) -> EpochInput {
    let number = |key: &str| graph_rule[key].as_u64().unwrap();
    let n = number("n");
    let per_neuron =
        |value_of: &dyn Fn(usize) -> u64| (0..n as usize).map(value_of).collect::<Vec<u64>>();
    let stake = |uid: usize| {
        number(if validators.contains(&uid) { "stake_per_validator" } else { "stake_per_server" })
    };
    EpochInput {
        n: n as u16,
        block: 1,
        tempo: number("tempo"),
        activity_cutoff: 10 * number("tempo"),
        last_mechanism_step: 0,
        emission: number("emission"),
        stake: per_neuron(&stake),
        stake_threshold: 0,
        owner_uid: None,
        max_validators: number("max_validators") as u16,
        validator_permit: vec![false; n as usize],
        last_update: per_neuron(&|_| 1),
        block_at_registration: per_neuron(&|_| 0),
        commit_blocks: None,
        weights: vec![Vec::new(); n as usize],
        bonds: vec![Vec::new(); n as usize],
        kappa: number("kappa") as u16,
        bonds_penalty: number("bonds_penalty") as u16,
        bonds_moving_average: number("bonds_moving_average"),
        yuma3: graph_rule["yuma3"].as_bool().unwrap(),
        liquid_alpha: false,
        alpha_low: 45_875,
        alpha_high: 58_982,
        alpha_sigmoid_steepness: 1000,
        liquid_alpha_consensus: None,
    }
}

#[test]
fn recorded_case_documents_are_parsed() {
    let cases: Value = read("cases.json");
    for case in sequence(&cases["cases"]) {
        let parsed_case = Case::from_json(case.to_string().as_bytes()).unwrap();
        assert_eq!(parsed_case.id, case["id"]);
        assert_eq!(serde_json::to_value(&parsed_case.input).unwrap(), case["input"]);
    }
}
