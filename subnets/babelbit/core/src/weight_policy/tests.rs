use serde_json::json;

use super::*;

const BURN: Option<Uid> = Some(Uid(248));

/// `hk7` is in slot 7, up to 99.
fn uid_of(hotkey: &str) -> Option<Uid> {
    hotkey.strip_prefix("hk")?.parse().ok().filter(|uid| *uid < 100).map(Uid)
}

fn uids(scores: &[(u16, f64)]) -> Vec<(Uid, f64)> {
    scores.iter().map(|(uid, score)| (Uid(*uid), *score)).collect()
}

fn policy() -> WeightPolicy {
    WeightPolicy { arena_share: ArenaShare::default(), burn_uid: BURN, max_skipped_epochs: 12, rules: Rules::Reference }
}

fn only_main(scores: &[(u16, f64)]) -> ContestScores {
    ContestScores { main: uids(scores), arena: Vec::new() }
}

/// block · tempo · last epoch · the epoch that is due
#[test]
fn an_epoch_is_due_from_its_first_block_to_its_last() {
    for (block, tempo, last, due) in [
        (99, 100, Some(0), None),
        (100, 100, Some(0), Some(1)),
        // The reference looks at multiples only, and misses the epoch when it looks away.
        (137, 100, Some(0), Some(1)),
        (199, 100, Some(0), Some(1)),
        (199, 100, Some(1), None),
        // Several epochs were missed: there is one submission.
        (1_234, 100, Some(3), Some(12)),
        // The first start.
        (5, 100, None, Some(0)),
        // A node that lags behind is not another chain; one that is far behind is.
        (299, 100, Some(3), None),
        (199, 100, Some(3), Some(1)),
        (7, 0, Some(6), Some(7)),
    ] {
        assert_eq!(due_epoch(BlockNumber::new(block), tempo, last), due, "block {block}, tempo {tempo}, last {last:?}");
    }
}

/// contest asked for · row · what counts for the main contest · for the arena
#[test]
fn rows_have_many_shapes() {
    for (contest, row, main, arena) in [
        (Contest::Main, json!({ "miner_hotkey": "hk7", "challenge_mean_score": 0.5 }), Some(0.5), None),
        (Contest::Arena, json!({ "miner_hotkey": "hk7", "challenge_mean_score": 0.5 }), None, Some(0.5)),
        (Contest::Main, json!({ "hotkey": "hk7", "score": 1 }), Some(1.0), None),
        (Contest::Main, json!({ "hotkey": "hk7", "challenge_mean_score": null, "score": 0.25 }), Some(0.25), None),
        (Contest::Main, json!({ "hotkey": "hk7", "score": 0.5, "challenge_type": "arena" }), None, Some(0.5)),
        (Contest::Main, json!({ "hotkey": "hk7", "score": 0.5, "challenge_round": "round2" }), None, Some(0.5)),
        (Contest::Arena, json!({ "hotkey": "hk7", "score": 0.5, "mode": "round1" }), Some(0.5), None),
        (Contest::Arena, json!({ "hotkey": "hk7", "score": 0.5, "challenge_type": "qualifying" }), None, Some(0.5)),
        (Contest::Main, json!({ "hotkey": "hk7", "score": 0.5, "challenge_type": "solo" }), Some(0.5), None),
        (
            Contest::Main,
            json!({ "hotkey": "hk7", "main_score": 0.1, "arena_score": 0.2, "score": 9 }),
            Some(0.1),
            Some(0.2),
        ),
        (Contest::Main, json!({ "hotkey": "hk7", "arena_score": 0.2, "score": 9 }), None, Some(0.2)),
        // A score of 0 is a score.
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
        let of = |score: Option<f64>| score.map(|score| (Uid(7), score)).into_iter().collect::<Vec<_>>();
        assert_eq!(scores, ContestScores { main: of(main), arena: of(arena) }, "{row}");
    }
}

#[test]
fn the_first_row_of_a_hotkey_wins() {
    let mut scores = ContestScores::default();
    let row = |hotkey: &str, score: f64| json!({ "hotkey": hotkey, "score": score });
    // One without a number is not the first.
    let first = [json!({ "hotkey": "hk1", "score": "high" }), row("hk1", 0.2), row("hk1", 0.9), row("hk2", 0.0)];
    scores.add(&first, Contest::Main, uid_of);
    scores.add(&[row("hk1", 0.7), row("hk3", 0.7)], Contest::Main, uid_of);
    scores.add(&[row("hk1", 0.4)], Contest::Arena, uid_of);
    assert_eq!(scores.main, uids(&[(1, 0.2), (2, 0.0), (3, 0.7)]));
    assert_eq!(scores.arena, uids(&[(1, 0.4)]));
    assert_eq!(scores.winner(Rules::Reference), Some(Uid(3)));
    let combined = scores.combined(ArenaShare::from_percent(50.0));
    assert_eq!(combined, uids(&[(1, 0.2 * 0.5 + 0.4 * 0.5), (2, 0.0), (3, 0.35)]));
}

/// main scores · arena scores · winner
#[test]
fn the_main_winner_comes_before_the_arenas() {
    for (main, arena, winner) in
        [(&[(1, 0.5), (2, 0.5)][..], &[(3, 0.9)][..], Some(1)), (&[(1, 0.0)], &[(3, 0.9)], Some(3)), (&[], &[], None)]
    {
        let scores = ContestScores { main: uids(main), arena: uids(arena) };
        assert_eq!(scores.winner(Rules::Reference), winner.map(Uid), "{main:?} {arena:?}");
    }
}

#[test]
fn without_scores_the_previous_weights_are_set_for_ever() {
    let (policy, mut state) = (policy(), PolicyState::default());
    let Decision::Scored(weights) = policy.decide(&mut state, Some("c"), &only_main(&[(1, 0.5)])) else { panic!() };
    assert_eq!(weights.of(Uid(1)), 1.0 - 0.9);
    state.previous = Some(weights.clone());
    for epoch in 1..30 {
        assert_eq!(
            policy.decide(&mut state, Some("c"), &ContestScores::default()),
            Decision::Previous(weights.clone())
        );
        assert_eq!(state.epochs_without_scores, epoch);
    }
}

#[test]
fn without_previous_weights_the_fallback_comes_after_the_limit() {
    let policy = WeightPolicy { burn_uid: Some(Uid(999)), max_skipped_epochs: 3, ..policy() };
    let mut state = PolicyState::default();
    let none = ContestScores::default();
    assert_eq!(policy.decide(&mut state, Some("c"), &none), Decision::Wait);
    // That the challenge is not known for once is no other challenge.
    assert_eq!(policy.decide(&mut state, None, &none), Decision::Wait);
    let fallback = Decision::Fallback(Weights { uids: vec![Uid(999)], weights: vec![1.0] });
    assert_eq!(policy.decide(&mut state, Some("c"), &none), fallback);
    assert_eq!(policy.decide(&mut state, Some("c"), &none), fallback);
    // Another challenge begins the count anew.
    assert_eq!(policy.decide(&mut state, Some("d"), &none), Decision::Wait);
    assert_eq!(state.epochs_without_scores, 1);
    // As do scores, even of 0.
    assert!(matches!(policy.decide(&mut state, Some("d"), &only_main(&[(1, 0.0)])), Decision::Scored(_)));
    assert_eq!(state.epochs_without_scores, 0);
}

#[test]
fn where_the_burn_uid_is_not_on_the_subnet_nothing_goes_to_it() {
    let policy = WeightPolicy { burn_uid: None, max_skipped_epochs: 1, ..policy() };
    let mut state = PolicyState::default();
    assert_eq!(policy.decide(&mut state, Some("c"), &ContestScores::default()), Decision::Wait);
    assert_eq!(policy.decide(&mut state, Some("c"), &only_main(&[(1, 0.0)])), Decision::Wait);
    let scored = Decision::Scored(Weights { uids: vec![Uid(1)], weights: vec![1.0] });
    assert_eq!(policy.decide(&mut state, Some("c"), &only_main(&[(1, 0.3)])), scored);
}

#[test]
fn the_arena_counts_only_where_it_has_a_share() {
    let policy = WeightPolicy { arena_share: ArenaShare::NONE, ..policy() };
    let scores = ContestScores { main: Vec::new(), arena: uids(&[(5, 0.9)]) };
    let decision = policy.decide(&mut PolicyState::default(), Some("c"), &scores);
    assert_eq!(decision, Decision::Scored(Weights { uids: vec![Uid(248)], weights: vec![1.0] }));
}

#[test]
fn the_state_of_older_versions_is_read() {
    assert_eq!(serde_json::from_str::<PolicyState>("{}").unwrap(), PolicyState::default());
}
