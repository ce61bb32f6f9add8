//! Tests with the recorded inputs and outputs of single functions.

use serde_json::Value;
use taonet_consensus::vector::{
    is_max_limited, is_topk, max_upscale_to_u16, max_upscale_weights, normalize,
};
use taonet_consensus::{Dense, I32F32, Matrix, Median, Sparse, Vote, exp, sigmoid};

use crate::{read, sequence};

/// The tolerance of approximate values: the 10⁻⁴ stated with the vectors, plus fixed-point
/// rounding.
const TOLERANCE: f64 = 1e-4 + 1e-8;
/// The tolerance of values recorded with ten digits.
const TEN_DIGITS: f64 = 1e-9;

fn cases(function: &str, count: usize) -> Vec<Value> {
    let functions: Value = read("functions.json");
    let cases = sequence(&functions["functions"][function]["cases"]).to_vec();
    assert_eq!(cases.len(), count);
    cases
}

/// Parses a number to the nearest fixed-point number, ties to even; "max" and "min" are the ends of
/// the range.
fn fixed(value: &Value) -> I32F32 {
    match value.as_str() {
        Some("max") => I32F32::MAX,
        Some("min") => I32F32::MIN,
        _ => nearest(value.as_f64().unwrap()),
    }
}

fn nearest(number: f64) -> I32F32 {
    I32F32::from_bits((number * 2_f64.powi(32)).round_ties_even() as i64)
}

fn numbers(value: &Value) -> Vec<I32F32> {
    sequence(value).iter().map(fixed).collect()
}

fn weights(value: &Value) -> Vec<u16> {
    sequence(value).iter().map(|weight| weight.as_u64().unwrap() as u16).collect()
}

/// Builds a matrix from rows in which null is an absent entry.
fn matrix<M: Matrix>(rows: &Value) -> M {
    let columns = sequence(rows).first().map_or(0, |row| sequence(row).len());
    let rows = sequence(rows).iter().map(|row| {
        let entries = sequence(row).iter().enumerate().filter(|(_, entry)| !entry.is_null());
        entries.map(|(column, entry)| (column as u16, fixed(entry)))
    });
    M::from_rows(columns, rows)
}

/// Compares a matrix with expected rows, in which null is an entry that must be absent.
fn assert_matrix(actual: &impl Matrix, expected: &Value) {
    for (row, expected) in sequence(expected).iter().enumerate() {
        let actual: Vec<_> = actual.row(row).collect();
        let expected = sequence(expected).iter().enumerate().filter(|(_, entry)| !entry.is_null());
        let expected: Vec<_> =
            expected.map(|(column, entry)| (column as u16, fixed(entry))).collect();
        assert_eq!(actual.len(), expected.len());
        for (&(column, actual), (at, expected)) in actual.iter().zip(expected) {
            assert_eq!(column, at);
            assert!(
                (actual - expected).to_f64().abs() <= TOLERANCE,
                "{actual:?} is not {expected:?}"
            );
        }
    }
}

#[test]
fn vec_max_upscale_to_u16_matches_reference() {
    for case in cases("vec_max_upscale_to_u16", 17) {
        assert_eq!(max_upscale_to_u16(&numbers(&case["in"])), weights(&case["out"]), "{case}");
    }
}

#[test]
fn vec_u16_max_upscale_to_u16_matches_reference() {
    for case in cases("vec_u16_max_upscale_to_u16", 10) {
        assert_eq!(max_upscale_weights(&weights(&case["in"])), weights(&case["out"]), "{case}");
    }
}

#[test]
fn check_vec_max_limited_matches_reference() {
    for case in cases("check_vec_max_limited", 11) {
        let limit = case["limit"].as_u64().unwrap() as u16;
        assert_eq!(is_max_limited(&weights(&case["vec"]), limit), case["ok"], "{case}");
    }
}

#[test]
fn is_topk_matches_reference() {
    for case in cases("is_topk", 9) {
        let k = case["k"].as_u64().unwrap() as usize;
        assert_eq!(Value::from(is_topk(&numbers(&case["in"]), k)), case["out"], "{case}");
    }
}

#[test]
fn weighted_median_matches_reference() {
    for case in cases("weighted_median", 12) {
        let mut stake = numbers(&case["stake"]);
        if case["normalise_stake"] == true {
            stake = normalize(&stake);
        }
        let votes =
            stake.iter().zip(numbers(&case["score"])).map(|(&stake, score)| Vote { score, stake });
        let total = stake.iter().sum();
        let minority = I32F32::ONE - fixed(&case["majority"]);
        let actual = Median::default().find(votes, minority, I32F32::ZERO, total);
        assert_eq!(actual, fixed(&case["out"]), "{case}");
    }
}

#[test]
fn weighted_median_col_matches_reference() {
    for case in cases("weighted_median_col", 5) {
        let stake = normalize(&numbers(&case["stake"]));
        let minority = stake.iter().sum::<I32F32>() - fixed(&case["majority"]);
        let expected = numbers(&case["out"]);
        assert_eq!(
            matrix::<Sparse>(&case["rows"]).weighted_medians(&stake, minority),
            expected,
            "{case}"
        );
        assert_eq!(
            matrix::<Dense>(&case["rows"]).weighted_medians(&stake, minority),
            expected,
            "{case}"
        );
    }
}

#[test]
fn sigmoid_safe_matches_reference() {
    for case in cases("sigmoid_safe", 2) {
        let (rho, kappa) = (fixed(&case["rho"]), fixed(&case["kappa"]));
        let bits = sequence(&case["oracle_bits"]);
        for ((x, approximate), bits) in
            sequence(&case["x"]).iter().zip(sequence(&case["out"])).zip(bits)
        {
            let x = match x.as_f64() {
                Some(number) if case["x_is_f32"] == true => nearest(f64::from(number as f32)),
                _ => fixed(x),
            };
            let actual = sigmoid(x, rho, kappa);
            assert_eq!(actual.to_bits(), bits.as_i64().unwrap(), "{x:?}");
            assert!((actual.to_f64() - approximate.as_f64().unwrap()).abs() <= TEN_DIGITS, "{x:?}");
        }
    }
}

#[test]
fn exp_safe_matches_reference() {
    for case in cases("exp_safe", 18) {
        let x = I32F32::from_bits(case["x_bits"].as_i64().unwrap());
        assert_eq!(exp(x).to_bits(), case["out_bits"].as_i64().unwrap(), "{case}");
    }
}

/// Computes the moving average of a case, whose α is one number for all entries, or one per entry.
fn average<M: Matrix>(case: &Value) -> M {
    let alpha = |row: usize, column: usize| match case["alpha"].as_array() {
        Some(rows) => fixed(&rows[row][column]),
        None => fixed(&case["alpha"]),
    };
    matrix::<M>(&case["new"])
        .average_by(&matrix(&case["old"]), |row, column, _, _| alpha(row, column))
}

#[test]
fn mat_ema_alpha_matches_reference() {
    for case in cases("mat_ema_alpha", 5) {
        assert_matrix(&average::<Dense>(&case), &case["out"]);
    }
}

#[test]
fn mat_ema_alpha_sparse_matches_reference() {
    for case in cases("mat_ema_alpha_sparse", 4) {
        assert_matrix(&average::<Sparse>(&case), &case["out"]);
    }
}

#[test]
fn interpolate_matches_reference() {
    for case in cases("interpolate", 4) {
        let row = |key: &str| Value::from(vec![case[key].clone()]);
        let ratio = fixed(&case["ratio"]);
        let out = row("out");
        assert_matrix(&matrix::<Dense>(&row("a")).interpolate(&matrix(&row("b")), ratio), &out);
        assert_matrix(&matrix::<Sparse>(&row("a")).interpolate(&matrix(&row("b")), ratio), &out);
    }
}

#[test]
fn fixed_to_u16_proportion_matches_reference() {
    for case in cases("fixed_to_u16_proportion", 5) {
        assert_eq!(
            u64::from(fixed(&case["x"]).to_proportion()),
            case["out"].as_u64().unwrap(),
            "{case}"
        );
    }
}
