//! Property tests that hold for every epoch.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use taonet_consensus::classic::{ClassicEpoch, Curve};
use taonet_consensus::{Case, EpochInput, InputError, Row, run, run_dense};
use taonet_primitives::Uid;

fn share() -> impl Strategy<Value = u16> {
    prop_oneof![Just(0), Just(1), Just(u16::MAX), any::<u16>()]
}

fn block() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..20, 0_u64..20, Just(u64::MAX), any::<u64>()]
}

/// Returns a strategy for rows with entries for some neurons, and occasionally for a uid outside
/// the subnet.
fn rows(n: u16) -> impl Strategy<Value = Vec<Row>> {
    let uids = (0..n.saturating_add(2)).collect::<Vec<u16>>();
    let maximum = uids.len();
    let row = (subsequence(uids, 0..=maximum), vec(share(), maximum))
        .prop_map(|(uids, values)| uids.into_iter().map(Uid).zip(values).collect::<Row>());
    vec(row, usize::from(n))
}

/// Returns a strategy for any epoch that passes [`EpochInput::check`], with arbitrary numbers.
fn any_epoch() -> impl Strategy<Value = EpochInput> {
    (0_u16..9).prop_flat_map(|n| {
        let count = usize::from(n);
        let stake = prop_oneof![0_u64..4, Just(u64::MAX), any::<u64>()];
        let owner_uid = (0..=n).prop_map(move |uid| (uid < n).then_some(Uid(uid)));
        (
            (block(), block(), block(), block(), block()),
            (
                any::<u64>(),
                vec(stake, count),
                prop_oneof![Just(0), any::<u64>()],
                owner_uid,
                0_u16..10,
            ),
            (vec(any::<bool>(), count), vec(block(), count), vec(block(), count)),
            (prop::option::of(vec(prop::option::of(block()), count)), rows(n), rows(n)),
            (
                share(),
                share(),
                prop_oneof![0_u64..=1_000_000, any::<u64>()],
                any::<bool>(),
                any::<bool>(),
            ),
            (share(), share(), any::<i16>(), prop::option::of(vec(share(), count))),
        )
            .prop_map(move |(blocks, stakes, neurons, matrices, parameters, liquid)| {
                EpochInput {
                    n,
                    block: blocks.0,
                    tempo: blocks.1,
                    activity_cutoff: blocks.2,
                    last_mechanism_step: blocks.3 % 20,
                    emission: stakes.0,
                    stake: stakes.1,
                    stake_threshold: stakes.2,
                    owner_uid: stakes.3,
                    max_validators: stakes.4,
                    validator_permit: neurons.0,
                    last_update: neurons.1,
                    block_at_registration: neurons.2,
                    commit_blocks: matrices.0,
                    weights: matrices.1,
                    bonds: matrices.2,
                    kappa: parameters.0,
                    bonds_penalty: parameters.1,
                    bonds_moving_average: parameters.2,
                    yuma3: parameters.3,
                    liquid_alpha: parameters.4,
                    alpha_low: liquid.0,
                    alpha_high: liquid.1,
                    alpha_sigmoid_steepness: liquid.2,
                    liquid_alpha_consensus: liquid.3,
                }
            })
    })
}

/// Returns a strategy for epochs in which most steps take effect: all neurons have a permit, are
/// active and were registered long ago.
fn active_epoch() -> impl Strategy<Value = EpochInput> {
    any_epoch().prop_map(|mut input| {
        input.block = 100;
        input.tempo = 10;
        input.activity_cutoff = 1000;
        input.last_mechanism_step = 0;
        input.stake_threshold = 0;
        input.commit_blocks = None;
        input.validator_permit.fill(true);
        input.last_update.fill(95);
        input.block_at_registration.fill(1);
        input.bonds_moving_average %= 1_000_001;
        input
    })
}

fn sum(numbers: &[u64]) -> u128 {
    numbers.iter().copied().map(u128::from).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_epochs_never_fail(input in any_epoch()) {
        prop_assert!(run(&input).is_ok());
        prop_assert!(run_dense(&input).is_ok());
        prop_assert!(ClassicEpoch::of(&input, Curve::default()).is_ok());
    }

    #[test]
    fn outputs_do_not_exceed_the_emission(input in prop_oneof![any_epoch(), active_epoch()]) {
        let output = run(&input).unwrap();
        let emission = u128::from(input.emission);
        prop_assert!(sum(&output.emission) <= emission);
        prop_assert!(sum(&output.server_emission) + sum(&output.validator_emission) <= emission);
    }

    #[test]
    fn sparse_and_dense_epochs_agree(input in prop_oneof![any_epoch(), active_epoch()]) {
        let input = EpochInput {
            liquid_alpha: false,
            bonds_moving_average: input.bonds_moving_average % 1_000_001,
            ..input
        };
        prop_assert_eq!(run(&input).unwrap(), run_dense(&input).unwrap());
    }

    #[test]
    fn sparse_and_dense_epochs_agree_under_liquid_alpha_without_old_bonds(mut input in active_epoch()) {
        input.liquid_alpha = true;
        input.bonds.fill(Row::new());
        prop_assert_eq!(run(&input).unwrap(), run_dense(&input).unwrap());
    }

    #[test]
    fn only_permitted_validators_have_bonds(input in any_epoch()) {
        let output = run(&input).unwrap();
        for (row, &permit) in output.bonds.iter().zip(&output.new_validator_permit) {
            prop_assert!(permit || row.is_empty());
            prop_assert!(row.iter().all(|&(uid, _)| uid.0 < input.n));
        }
    }

    #[test]
    fn epoch_is_independent_of_order_within_rows(mut input in active_epoch()) {
        let output = run(&input).unwrap();
        input.weights.iter_mut().chain(&mut input.bonds).for_each(|row| row.reverse());
        let mut reversed = run(&input).unwrap();
        // With liquid alpha, the bonds keep the order of the weights.
        reversed.bonds.iter_mut().for_each(|row| row.sort_unstable());
        prop_assert_eq!(output, reversed);
    }

    #[test]
    fn output_of_an_epoch_is_valid_input_of_the_next(mut input in active_epoch()) {
        for _ in 0..4 {
            let output = run(&input).unwrap();
            input.carry_over(&output);
            prop_assert!(input.check().is_ok());
        }
    }

    #[test]
    fn classic_emission_sums_to_one_or_zero(input in active_epoch(), rho in 0.0..40.0, kappa in 0.0..1.0) {
        prop_assume!(input.bonds_moving_average < 1_000_000);
        let epoch = ClassicEpoch::of(&input, Curve { rho, kappa }).unwrap();
        let total: f64 = epoch.emission.iter().sum();
        prop_assert!(total.abs() < 1e-9 || (total - 1.0).abs() < 1e-9, "{total}");
    }

    #[test]
    fn case_document_round_trips(input in any_epoch()) {
        let case = Case { id: "any".to_owned(), input };
        let document = serde_json::to_vec(&case).unwrap();
        prop_assert_eq!(Case::from_json(&document).unwrap(), case);
    }

    #[test]
    fn damaged_documents_are_errors_or_valid_cases(input in active_epoch(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut document = serde_json::to_vec(&Case { id: String::new(), input }).unwrap();
        let at = at.index(document.len());
        document[at] = byte;
        if let Ok(case) = Case::from_json(&document) {
            prop_assert!(run(&case.input).is_ok());
        }
        document.truncate(at);
        prop_assert!(Case::from_json(&document).is_err());
    }

    #[test]
    fn input_list_of_wrong_length_is_reported(
        mut input in active_epoch(),
        field in select(vec!["stake", "validator_permit", "last_update", "block_at_registration", "weights", "bonds"]),
    ) {
        match field {
            "stake" => input.stake.push(1),
            "validator_permit" => input.validator_permit.push(true),
            "last_update" => input.last_update.push(1),
            "block_at_registration" => input.block_at_registration.push(1),
            "weights" => input.weights.push(Row::new()),
            _ => input.bonds.push(Row::new()),
        }
        let error = run(&input).unwrap_err();
        prop_assert!(matches!(error, InputError::Length { field: named, .. } if named == field), "{error}");
    }
}
