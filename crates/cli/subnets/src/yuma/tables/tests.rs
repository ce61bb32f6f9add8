use taonet_consensus::Case;
use taonet_consensus::classic::Curve;

use super::*;

/// Creates two validators with stake 1 : 2. Only the smaller one weights server 3, which therefore
/// has no majority.
fn two_validators() -> EpochInput {
    let document = br#"{"input": {
        "n": 4, "block": 2, "tempo": 360, "activity_cutoff": 5000, "emission": 1000,
        "stake": [100, 200, 0, 0], "stake_threshold": 0, "max_validators": 2,
        "validator_permit": [true, true, false, false], "last_update": [2, 2, 0, 0],
        "block_at_registration": [0, 0, 0, 0],
        "weights": [[[2, 1], [3, 1]], [[2, 1]], [], []], "bonds": [[], [], [], []],
        "kappa": 32767, "bonds_penalty": 65535, "bonds_moving_average": 900000, "yuma3": true,
        "liquid_alpha": false, "alpha_low": 45875, "alpha_high": 58982, "alpha_sigmoid_steepness": 1000}}"#;
    Case::from_json(document).unwrap().input
}

/// Returns the cells of the line that starts with `label` in the table under `title`.
fn line<'a>(text: &'a str, title: &str, label: &str) -> Vec<&'a str> {
    let table = text.split_once(title).unwrap().1.split_once("\n\n").unwrap().0;
    let line =
        table.lines().skip(3).find(|line| line.split_whitespace().next() == Some(label)).unwrap();
    line.split_whitespace().collect()
}

#[test]
fn every_step_is_explained() {
    let input = two_validators();
    let text = format_steps(&input, &Epoch::compute(&input).unwrap());
    assert_eq!(
        line(&text, "1. Stake", "1"),
        ["1", "200", "0.666667", "yes", "yes", "yes", "0.666667"]
    );
    assert_eq!(line(&text, "2. Active weights", "0"), ["0", "0.500000", "0.500000"]);
    assert_eq!(line(&text, "3. Consensus", "2"), ["2", "1.000000"]);
    assert_eq!(line(&text, "4. Clipped weights", "0"), ["0", "0.500000"]);
    assert_eq!(line(&text, "5. Validator trust", "0"), ["0", "0.500000"]);
    assert_eq!(line(&text, "6. Rank", "2"), ["2", "0.833333", "1.000000"]);
    assert!(text.contains("7. Old bonds, active entries\nnone\n"));
    assert_eq!(line(&text, "9. New bonds", "0"), ["0", "0.050000"]);
    assert_eq!(line(&text, "10. Dividends", "0"), ["0", "0.200000"]);
}

#[test]
fn result_table_has_a_row_per_neuron() {
    let text = format_result(&Epoch::compute(&two_validators()).unwrap().into_output());
    assert_eq!(
        line(&text, "Result", "2"),
        "2 0 yes no 65535 0 65535 0 500 0 500".split(' ').collect::<Vec<_>>()
    );
}

#[test]
fn classic_epoch_table_shows_its_quantities() {
    let text = format_classic(&ClassicEpoch::of(&two_validators(), Curve::default()).unwrap());
    let line = line(&text, "Classic epoch", "3");
    assert_eq!(line[1..5], ["0.000000", "0.166667", "0.333333", "0.158869"]);
}
