use proptest::prelude::*;

use super::*;

const BURN: Option<Uid> = Some(Uid(248));

fn scores(scores: &[(u16, f64)]) -> Vec<(Uid, f64)> {
    scores.iter().map(|(uid, score)| (Uid(*uid), *score)).collect()
}

fn assert_weights(actual: &Weights, expected: &[(u16, f64)], case: &str) {
    assert_eq!(
        actual.uids,
        expected.iter().map(|(uid, _)| Uid(*uid)).collect::<Vec<_>>(),
        "{case}"
    );
    for (actual, (uid, expected)) in actual.weights.iter().zip(expected) {
        assert!(
            (actual - expected).abs() < 1e-12,
            "{case}: uid {uid} has {actual} instead of {expected}"
        );
    }
}

/// Columns: main · arena winner · arena share · burn uid · weights in the order of first assignment
#[test]
fn weights_are_shared_between_main_arena_and_burn() {
    for (main, winner, percent, burn, expected) in [
        (&[(10, 3.0), (2, 1.0)][..], None, 0.0, BURN, &[(10, 0.75), (2, 0.25)][..]),
        (
            &[(1, 0.9), (3, 0.2), (4, 0.5)],
            Some(2),
            90.0,
            BURN,
            &[(1, 0.05625), (3, 0.0125), (4, 0.03125), (2, 0.9)],
        ),
        (
            &[(1, 0.9), (3, 0.2), (4, 0.5)],
            Some(2),
            40.0,
            BURN,
            &[(1, 0.3375), (3, 0.075), (4, 0.1875), (2, 0.4)],
        ),
        (
            &[(1, 0.9), (3, 0.2), (4, 0.5)],
            Some(1),
            80.0,
            BURN,
            &[(1, 0.9125), (3, 0.025), (4, 0.0625)],
        ),
        (&[(1, 0.9), (3, 0.1)], None, 90.0, BURN, &[(1, 0.09), (3, 0.01), (248, 0.9)]),
        (&[], Some(5), 90.0, BURN, &[(248, 0.1), (5, 0.9)]),
        (&[], None, 0.0, BURN, &[(248, 1.0)]),
        (&[], None, 90.0, BURN, &[(248, 1.0)]),
        (&[], None, 100.0, BURN, &[(248, 1.0)]),
        (&[(7, 1.0), (9, 3.0)], Some(42), 100.0, BURN, &[(42, 1.0)]),
        (&[(1, 1.0)], None, 90.0, None, &[(1, 1.0)]),
        // Additional cases: scores that are 0, negative or NaN are ignored; equal scores share; no
        // scores give no weights.
        (&[(1, 0.7), (2, 0.7)], None, 0.0, BURN, &[(1, 0.5), (2, 0.5)]),
        (
            &[(1, 0.0), (2, -1.0), (3, f64::NAN), (4, f64::INFINITY), (5, 0.2)],
            None,
            0.0,
            BURN,
            &[(5, 1.0)],
        ),
        (&[(1, f64::MAX), (2, f64::MAX)], None, 0.0, BURN, &[(1, 0.5), (2, 0.5)]),
        (&[(1, 0.0)], None, 0.0, None, &[]),
        // For a uid listed twice, the first score counts.
        (&[(1, 0.6), (2, 0.2), (1, 0.9)], None, 0.0, BURN, &[(1, 0.75), (2, 0.25)]),
        (&[(1, 0.0), (2, 0.2), (1, 0.9)], None, 0.0, BURN, &[(2, 1.0)]),
        (&[], Some(5), 90.0, None, &[(5, 1.0)]),
    ] {
        let arena = scores(&winner.map(|uid| (uid, 0.5)).into_iter().collect::<Vec<_>>());
        for rules in [Rules::Reference, Rules::Strict] {
            let share = ArenaShare::from_percent(percent);
            let actual = compute_weights(&scores(main), &arena, share, burn, rules);
            assert_weights(
                &actual,
                expected,
                &format!("{main:?}, winner {winner:?}, {percent} %, {rules}"),
            );
        }
    }
}

/// Columns: arena scores · percent · burn uid · weights of miners 1 and 3 under reference rules ·
/// under strict rules
#[test]
fn full_arena_share_without_winner_depends_on_rules() {
    let shared_weights: &[(u16, f64)] = &[(1, 0.75), (3, 0.25)];
    for (arena, percent, burn, by_reference, by_strict) in [
        (&[][..], 100.0, None, &[][..], shared_weights),
        (&[], 120.0, None, &[], shared_weights),
        (&[(5, f64::NAN)], 100.0, None, &[], shared_weights),
        (&[(5, 0.5)], 100.0, None, &[(5, 1.0)], &[(5, 1.0)]),
        (&[], 100.0, BURN, &[(248, 1.0)], &[(248, 1.0)]),
        (&[], 99.0, None, shared_weights, shared_weights),
    ] {
        for (rules, expected) in [(Rules::Reference, by_reference), (Rules::Strict, by_strict)] {
            let (main, share) = (scores(&[(1, 0.6), (3, 0.2)]), ArenaShare::from_percent(percent));
            let actual = compute_weights(&main, &scores(arena), share, burn, rules);
            assert_weights(
                &actual,
                expected,
                &format!("{arena:?}, {percent} %, {burn:?}, {rules}"),
            );
        }
    }
}

#[test]
fn arena_share_is_exact() {
    let (a, b, c) = (0.9, 0.2, 0.7);
    let share = ArenaShare::from_percent(30.0);
    let actual = compute_weights(
        &scores(&[(1, a), (2, b), (3, c)]),
        &scores(&[(4, 0.5)]),
        share,
        BURN,
        Rules::Reference,
    );
    let (main, sum) = (1.0 - share.get(), a + b + c);
    let expected = [main * a / sum, main * b / sum, main * c / sum, share.get()];
    assert_eq!(
        actual.weights.iter().copied().map(f64::to_bits).collect::<Vec<_>>(),
        expected.map(f64::to_bits)
    );
}

/// Columns: arena scores · winner under reference rules · under strict rules
#[test]
fn arena_winner_has_the_highest_score() {
    for (arena, by_reference, by_strict) in [
        (&[(7, 0.5), (3, 0.9)][..], Some(3), Some(3)),
        (&[(7, 0.5), (3, 0.5)], Some(7), Some(3)),
        (&[(7, 0.0), (3, 0.0)], Some(7), None),
        (&[(7, -1.0)], Some(7), None),
        (&[(7, f64::NAN), (3, 0.1)], Some(3), Some(3)),
        (&[], None, None),
    ] {
        assert_eq!(
            arena_winner(&scores(arena), Rules::Reference),
            by_reference.map(Uid),
            "{arena:?}"
        );
        assert_eq!(arena_winner(&scores(arena), Rules::Strict), by_strict.map(Uid), "{arena:?}");
    }
}

/// Columns: setting · share
#[test]
fn arena_share_is_parsed() {
    for (text, share) in [
        (None, 0.9),
        (Some(""), 0.9),
        (Some("  "), 0.9),
        (Some("ninety"), 0.9),
        (Some("nan"), 0.9),
        (Some("0"), 0.0),
        (Some(" 40 "), 0.4),
        (Some("12.5"), 0.125),
        (Some("-5"), 0.0),
        (Some("250"), 1.0),
    ] {
        assert_eq!(ArenaShare::from_setting(text).get(), share, "{text:?}");
    }
}

proptest! {
    #[test]
    fn weights_sum_to_one_or_are_empty(
        main in prop::collection::vec((any::<u16>(), any::<f64>()), 0..8),
        arena in prop::collection::vec((any::<u16>(), any::<f64>()), 0..4),
        percent in -10.0_f64..110.0,
        burn in any::<Option<u16>>(),
        strict: bool,
    ) {
        let rules = if strict { Rules::Strict } else { Rules::Reference };
        let share = ArenaShare::from_percent(percent);
        let actual = compute_weights(&scores(&main), &scores(&arena), share, burn.map(Uid), rules);
        let sum: f64 = actual.weights.iter().sum();
        prop_assert!(actual.weights.is_empty() || (sum - 1.0).abs() < 1e-9, "{}", sum);
        prop_assert!(actual.weights.iter().all(|weight| *weight >= 0.0));
        prop_assert!(burn.is_none() || !actual.uids.is_empty());
    }
}
