use serde_json::json;

use super::*;

/// Maps `hk0..hk99` to the uids 0 to 99.
fn uid_of(hotkey: &str) -> Option<Uid> {
    hotkey.strip_prefix("hk")?.parse().ok().filter(|uid| *uid < 100).map(Uid)
}

fn uids(scores: &[(u16, f64)]) -> Vec<(Uid, f64)> {
    scores.iter().map(|(uid, score)| (Uid(*uid), *score)).collect()
}

fn only_main(scores: &[(u16, f64)]) -> ContestScores {
    ContestScores { main: uids(scores), arena: Vec::new() }
}

/// Columns: requested contest · row · main score · arena score
#[test]
fn score_rows_of_all_formats_are_parsed() {
    for (contest, row, main, arena) in [
        (
            Contest::Main,
            json!({ "miner_hotkey": "hk7", "challenge_mean_score": 0.5 }),
            Some(0.5),
            None,
        ),
        (
            Contest::Arena,
            json!({ "miner_hotkey": "hk7", "challenge_mean_score": 0.5 }),
            None,
            Some(0.5),
        ),
        (Contest::Main, json!({ "hotkey": "hk7", "score": 1 }), Some(1.0), None),
        (
            Contest::Main,
            json!({ "hotkey": "hk7", "challenge_mean_score": null, "score": 0.25 }),
            Some(0.25),
            None,
        ),
        (
            Contest::Main,
            json!({ "hotkey": "hk7", "score": 0.5, "challenge_type": "arena" }),
            None,
            Some(0.5),
        ),
        (
            Contest::Main,
            json!({ "hotkey": "hk7", "score": 0.5, "challenge_round": "round2" }),
            None,
            Some(0.5),
        ),
        (
            Contest::Arena,
            json!({ "hotkey": "hk7", "score": 0.5, "mode": "round1" }),
            Some(0.5),
            None,
        ),
        (
            Contest::Arena,
            json!({ "hotkey": "hk7", "score": 0.5, "challenge_type": "qualifying" }),
            None,
            Some(0.5),
        ),
        (
            Contest::Main,
            json!({ "hotkey": "hk7", "score": 0.5, "challenge_type": "solo" }),
            Some(0.5),
            None,
        ),
        (
            Contest::Main,
            json!({ "hotkey": "hk7", "main_score": 0.1, "arena_score": 0.2, "score": 9 }),
            Some(0.1),
            Some(0.2),
        ),
        (
            Contest::Main,
            json!({ "hotkey": "hk7", "arena_score": 0.2, "score": 9 }),
            None,
            Some(0.2),
        ),
        // A score of 0 counts.
        (Contest::Main, json!({ "hotkey": "hk7", "score": 0 }), Some(0.0), None),
        (Contest::Main, json!({ "hotkey": "hk7", "score": "0.5" }), None, None),
        (Contest::Main, json!({ "hotkey": "hk7", "score": true }), None, None),
        (Contest::Main, json!({ "hotkey": "hk7" }), None, None),
        (Contest::Main, json!({ "hotkey": "hk100", "score": 0.5 }), None, None),
        (Contest::Main, json!({ "hotkey": 7, "score": 0.5 }), None, None),
        (Contest::Main, json!({ "miner_uid": 7, "score": 0.5 }), None, None),
        (Contest::Main, json!(["hk7", 0.5]), None, None),
        (Contest::Main, json!(null), None, None),
    ] {
        let mut scores = ContestScores::default();
        scores.add(std::slice::from_ref(&row), contest, uid_of);
        let scores_of =
            |score: Option<f64>| score.map(|score| (Uid(7), score)).into_iter().collect::<Vec<_>>();
        assert_eq!(
            scores,
            ContestScores { main: scores_of(main), arena: scores_of(arena) },
            "{row}"
        );
    }
}

#[test]
fn first_row_of_a_hotkey_is_used() {
    let mut scores = ContestScores::default();
    let row = |hotkey: &str, score: f64| json!({ "hotkey": hotkey, "score": score });
    // A row without a numeric score does not count as the first.
    let first = [
        json!({ "hotkey": "hk1", "score": "high" }),
        row("hk1", 0.2),
        row("hk1", 0.9),
        row("hk2", 0.0),
    ];
    scores.add(&first, Contest::Main, uid_of);
    scores.add(&[row("hk1", 0.7), row("hk3", 0.7)], Contest::Main, uid_of);
    scores.add(&[row("hk1", 0.4)], Contest::Arena, uid_of);
    assert_eq!(scores.main, uids(&[(1, 0.2), (2, 0.0), (3, 0.7)]));
    assert_eq!(scores.arena, uids(&[(1, 0.4)]));
    assert_eq!(scores.winner(Rules::Reference), Some(Uid(3)));
    let combined = scores.combined(ArenaShare::from_percent(50.0));
    assert_eq!(combined, uids(&[(1, 0.2 * 0.5 + 0.4 * 0.5), (2, 0.0), (3, 0.35)]));
}

/// Columns: main scores · arena scores · winner
#[test]
fn main_winner_precedes_arena_winner() {
    for (main, arena, winner) in [
        (&[(1, 0.5), (2, 0.5)][..], &[(3, 0.9)][..], Some(1)),
        (&[(1, 0.0)], &[(3, 0.9)], Some(3)),
        (&[], &[], None),
    ] {
        let scores = ContestScores { main: uids(main), arena: uids(arena) };
        assert_eq!(scores.winner(Rules::Reference), winner.map(Uid), "{main:?} {arena:?}");
    }
}

#[test]
fn miners_share_all_weight_without_a_burn_uid() {
    let weights = |scores: &[(u16, f64)]| {
        only_main(scores).weights(ArenaShare::default(), None, Rules::Reference)
    };
    assert_eq!(weights(&[]), None);
    assert_eq!(weights(&[(1, 0.0)]), Some(Weights::default()));
    assert_eq!(weights(&[(1, 0.3)]), Some(Weights { uids: vec![Uid(1)], weights: vec![1.0] }));
    let full_arena_share = ArenaShare::from_percent(100.0);
    assert_eq!(
        only_main(&[(1, 0.3)]).weights(full_arena_share, None, Rules::Reference),
        Some(Weights::default())
    );
}

#[test]
fn arena_without_share_gets_no_weight() {
    let scores = ContestScores { main: Vec::new(), arena: uids(&[(5, 0.9)]) };
    let weights = scores.weights(ArenaShare::NONE, Some(Uid(248)), Rules::Reference);
    assert_eq!(weights, Some(Weights { uids: vec![Uid(248)], weights: vec![1.0] }));
}
