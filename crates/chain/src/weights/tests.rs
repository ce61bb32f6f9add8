use proptest::prelude::*;
use taonet_primitives::BlockNumber;

use super::*;
use crate::Schedule;

fn rules(neurons: u16, min: u16, max: u16) -> WeightRules {
    WeightRules {
        neurons,
        min_allowed_weights: min,
        max_weights_limit: max,
        version_key: 0,
        rate_limit_blocks: 100,
        commit_reveal: None,
        mechanisms: 1,
        schedule: Schedule {
            tempo: 10,
            last_epoch: BlockNumber::new(0),
            pending_epoch: None,
            epoch_index: 0,
        },
    }
}

fn row(weights: &[(u16, f64)]) -> Vec<(Uid, f64)> {
    weights.iter().map(|(uid, weight)| (Uid(*uid), *weight)).collect()
}

#[test]
fn quantised_maximum_is_65535() {
    let quantised = |weights: &[(u16, f64)]| quantise(&row(weights)).unwrap();
    assert_eq!(quantised(&[(3, 0.5), (1, 1.0), (2, 0.0)]), [(Uid(3), 32768), (Uid(1), 65535)]);
    assert_eq!(quantised(&[(0, 1e-300), (1, 5e-301)]), [(Uid(0), 65535), (Uid(1), 32768)]);
    assert_eq!(
        quantised(&[(0, 1.0), (1, 0.5 / 65535.0)]),
        [(Uid(0), 65535)],
        "halves are rounded to even"
    );
    assert_eq!(quantised(&[(0, 0.0)]), []);
    assert_eq!(quantised(&[]), []);
}

#[test]
fn invalid_weights_are_rejected() {
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(quantise(&row(&[(0, weight)])), Err(WeightError::Invalid { .. })));
    }
    assert_eq!(quantise(&row(&[(7, 1.0), (7, 2.0)])), Err(WeightError::Duplicate(Uid(7))));
    let result = within_limits(&row(&[(4, 1.0)]), &rules(4, 1, u16::MAX));
    assert_eq!(result, Err(WeightError::NoSuchNeuron { uid: Uid(4), neurons: 4 }));
}

#[test]
fn weights_respect_minimum_count_and_maximum_weight() {
    let limited_shares =
        |weights: &[(u16, f64)], rules: &WeightRules| within_limits(&row(weights), rules).unwrap();
    // With enough neurons and no limit, scores become shares.
    assert_eq!(
        limited_shares(&[(0, 3.0), (2, 1.0)], &rules(4, 1, u16::MAX)),
        row(&[(0, 0.75), (2, 0.25)])
    );
    // Without scores, or with fewer neurons than the minimum, all weights are equal.
    for rules in [rules(4, 1, u16::MAX), rules(4, 8, u16::MAX)] {
        assert_eq!(
            limited_shares(&[(0, 0.0)], &rules),
            row(&[(0, 0.25), (1, 0.25), (2, 0.25), (3, 0.25)])
        );
    }
    // With too few scores, the other neurons get a trace.
    let shares = limited_shares(&[(1, 1.0)], &rules(3, 2, u16::MAX));
    let sum = 1.0 + 3.0 * FILLER_WEIGHT;
    let expected = [FILLER_WEIGHT / sum, (1.0 + FILLER_WEIGHT) / sum, FILLER_WEIGHT / sum];
    assert!(
        shares.iter().zip(expected).all(|((_, share), expected)| (share - expected).abs() < 1e-12),
        "{shares:?}"
    );
    // A share above the limit is reduced to it.
    let capped = limited_shares(&[(0, 8.0), (1, 1.0), (2, 1.0)], &rules(3, 1, 32768));
    assert!(
        (capped[0].1 - 0.5).abs() < 1e-4 && (capped[1].1 - capped[2].1).abs() < 1e-9,
        "{capped:?}"
    );
    // With a limit below an equal share, all weights are equal.
    assert_eq!(limited_shares(&[(0, 8.0), (1, 1.0)], &rules(3, 1, 10)), row(&[(0, 0.5), (1, 0.5)]));
}

#[test]
fn refusal_names_the_broken_rule() {
    let rules = rules(4, 3, 32768);
    let refused = |row: &[(u16, u16)]| {
        let row: WeightRow = row.iter().map(|(uid, weight)| (Uid(*uid), *weight)).collect();
        refusal(&row, Uid(9), &rules)
    };
    assert_eq!(refused(&[(9, 65535)]), None, "a weight for its own uid only");
    assert_eq!(refused(&[(1, 1), (2, 2)]), Some(RowError::TooFew { actual: 2, minimum: 3 }));
    assert_eq!(
        refused(&[(0, 65535), (1, 30000), (2, 30000)]),
        Some(RowError::TooLarge { uid: Uid(0) })
    );
    assert_eq!(refused(&[(0, 60000), (1, 30000), (2, 30000)]), None);
}

proptest! {
    #[test]
    fn quantised_rows_keep_order_and_proportion(weights in proptest::collection::vec(0.0..1e9_f64, 0..64)) {
        let weights: Vec<(Uid, f64)> = (0..).map(Uid).zip(weights).collect();
        let row = quantise(&weights).unwrap();
        let largest = weights.iter().map(|(_, weight)| *weight).fold(0.0, f64::max);
        prop_assert!(row.iter().all(|(_, weight)| *weight > 0));
        prop_assert!(row.windows(2).all(|pair| pair[0].0 < pair[1].0));
        prop_assert!(largest == 0.0 || row.iter().any(|(_, weight)| *weight == u16::MAX));
        for (uid, parts) in row {
            let exact = weights[usize::from(uid.0)].1 / largest * 65535.0;
            prop_assert!((f64::from(parts) - exact).abs() <= 0.5 + 1e-6);
        }
    }

    #[test]
    fn shares_sum_to_one_and_none_is_above_the_limit(
        scores in proptest::collection::vec(0.0..100.0_f64, 1..64),
        min in 0_u16..64,
        max in 1_u16..,
    ) {
        let neurons = scores.len() as u16;
        let scores: Vec<(Uid, f64)> = (0..).map(Uid).zip(scores).collect();
        let shares = within_limits(&scores, &rules(neurons, min, max)).unwrap();
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        let limit = (f64::from(max) / 65535.0).max(1.0 / shares.len() as f64);
        prop_assert!(shares.iter().all(|(_, share)| *share <= limit + 1e-4), "{shares:?} {limit}");
    }
}
