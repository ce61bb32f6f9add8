use proptest::prelude::*;

use super::*;
use crate::rounding::{round4, round6};

/// Creates vectors with the cosine `cosine` between each pair.
fn vectors(count: usize, cosine: f64) -> Vec<Vec<f32>> {
    let (common_component, own_component) = (cosine.sqrt(), (1.0 - cosine).sqrt());
    (0..count)
        .map(|i| {
            let mut vector = vec![0.0; count + 1];
            vector[0] = common_component as f32;
            vector[i + 1] = own_component as f32;
            vector
        })
        .collect()
}

fn score_duplication(raw: &[f64], cosine: f64, options: &ScoreOptions) -> Vec<Duplication> {
    let vectors = vectors(raw.len(), cosine);
    duplication(
        &raw.iter().copied().zip(vectors.iter().map(Vec::as_slice)).collect::<Vec<_>>(),
        options,
    )
}

fn assert_near(actual: impl Iterator<Item = f32>, expected: &[f64], case: &str) {
    let actual: Vec<_> = actual.map(|value| round6(f64::from(value))).collect();
    assert_eq!(actual.len(), expected.len(), "{case}");
    for (actual, expected) in actual.iter().zip(expected) {
        assert!((actual - expected).abs() < 1.5e-6, "{case}: {actual} instead of {expected}");
    }
}

/// Columns: raw scores · cosine of each pair · final scores · pressures
#[test]
fn final_scores_fall_with_duplicate_pressure() {
    for (raw, cosine, finals, pressures) in [
        (&[1.0, 1.0][..], 1.0, &[0.707_107, 0.707_107][..], &[2.0, 2.0][..]),
        (&[1.0; 10], 1.0, &[0.316_228; 10], &[10.0; 10]),
        (&[1.0, 0.1], 1.0, &[1.0, 0.070_711], &[1.0, 2.0]),
        (&[0.95, 0.90, 0.5], 1.0, &[0.95, 0.644_503, 0.296_174], &[1.0, 1.95, 2.85]),
        (&[0.666, 0.656], 1.0, &[0.577_930, 0.508_237], &[1.328, 1.666]),
        (&[0.9, 0.8], 0.94, &[0.9, 0.664_364], &[1.0, 1.45]),
        (&[0.9, 0.89], 0.94, &[0.813_988, 0.739_105], &[1.2225, 1.45]),
        (&[0.9, 0.7], 0.0, &[0.9, 0.7], &[1.0, 1.0]),
        (&[0.8], 1.0, &[0.8], &[1.0]),
        (&[], 1.0, &[], &[]),
        (&[f64::NAN, 1.0], 1.0, &[0.0, 1.0], &[2.0, 1.0]),
        (&[f64::INFINITY, -3.0, 0.5], 1.0, &[0.0, 0.0, 0.5], &[1.5, 1.5, 1.0]),
    ] {
        let rows = score_duplication(raw, cosine, &ScoreOptions::default());
        let case = format!("{raw:?} at {cosine}");
        assert_near(rows.iter().map(|row| row.final_score), finals, &case);
        for (row, pressure) in rows.iter().zip(pressures) {
            assert!(
                (round4(f64::from(row.duplicate_pressure)) - pressure).abs() < 2e-4,
                "{case}: {row:?}"
            );
        }
    }
}

/// Columns: epsilon · raw scores · pressures
#[test]
fn only_replies_that_are_not_worse_add_pressure_without_epsilon() {
    let options = ScoreOptions { duplication_score_epsilon: 0.0, ..ScoreOptions::default() };
    for (raw, pressures) in [([0.9, 0.899], [1.0, 1.9]), ([0.5, 0.5], [1.5, 1.5])] {
        let rows = score_duplication(&raw, 1.0, &options);
        assert_near(rows.iter().map(|row| row.duplicate_pressure), &pressures, "epsilon 0");
    }
}

#[test]
fn replies_below_the_minimum_score_add_no_pressure() {
    let options =
        ScoreOptions { duplication_min_score_for_pressure: 0.6, ..ScoreOptions::default() };
    let rows = score_duplication(&[0.5, 0.5, 0.7], 1.0, &options);
    assert_near(rows.iter().map(|row| row.duplicate_pressure), &[1.7, 1.7, 1.0], "minimum 0.6");
}

#[test]
fn similarity_to_the_nearest_reply_is_reported() {
    let rows = score_duplication(&[0.9, 0.0, 0.2], 0.5, &ScoreOptions::default());
    assert_near(rows.iter().map(|row| row.max_peer_similarity), &[0.5; 3], "cosine 0.5");
}

#[test]
fn malformed_vectors_match_no_other_reply() {
    let good = [0.6_f32, 0.8];
    for invalid in [&[][..], &[0.0, 0.0], &[1.0], &[f32::NAN, f32::INFINITY], &[f32::MAX, f32::MAX]]
    {
        let rows = duplication(&[(1.0, &good), (1.0, invalid)], &ScoreOptions::default());
        assert_eq!(rows[0].final_score, 1.0, "{invalid:?}");
    }
    assert_eq!(
        duplication(&[(1.0, &[]), (1.0, &[])], &ScoreOptions::default())[1].final_score,
        1.0
    );
}

#[test]
fn cosine_ignores_vector_length() {
    let rows = duplication(&[(1.0, &[3.0, 4.0]), (1.0, &[0.6, 0.8])], &ScoreOptions::default());
    assert_near(rows.iter().map(|row| row.final_score), &[0.707_107; 2], "scaled");
}

proptest! {
    /// The blocked kernel matches the naive sum for any number and length of vectors.
    #[test]
    fn cosine_equals_the_plain_sum(
        (count, length) in (0_usize..20, 0_usize..40),
        seed in prop::collection::vec(-1.0_f32..1.0, 800),
    ) {
        let vectors: Vec<_> = (0..count).map(|i| &seed[i * length..][..length]).collect();
        let similarities = Similarities::of(&vectors);
        let dot_product = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
        };
        for i in 0..count {
            for j in 0..count {
                let norms = (dot_product(vectors[i], vectors[i])
                    * dot_product(vectors[j], vectors[j]))
                .sqrt();
                let expected = if i == j || norms == 0.0 {
                    0.0
                } else {
                    dot_product(vectors[i], vectors[j]) / norms
                };
                prop_assert!((f64::from(similarities.row(i)[j]) - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn duplication_never_raises_a_score(raw in prop::collection::vec(any::<f64>(), 0..8), cosine in 0.0_f64..=1.0) {
        for row in score_duplication(&raw, cosine, &ScoreOptions::default()) {
            prop_assert!(row.final_score <= row.raw_score && row.final_score >= 0.0);
            prop_assert!(row.duplicate_pressure >= 1.0);
        }
    }
}
