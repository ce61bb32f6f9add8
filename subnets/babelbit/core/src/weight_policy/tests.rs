use serde_json::json;

use super::*;

const BURN: Option<Uid> = Some(Uid(248));

/// `hk7` is in slot 7, up to 99; and there is the burn uid.
fn uid_of(hotkey: &str) -> Option<Uid> {
    hotkey.strip_prefix("hk")?.parse().ok().filter(|uid| *uid < 100 || *uid == 248).map(Uid)
}

fn uids(scores: &[(u16, f64)]) -> Vec<(Uid, f64)> {
    scores.iter().map(|(uid, score)| (Uid(*uid), *score)).collect()
}

fn hotkeys() -> Vec<String> {
    (0..300).map(|uid| format!("hk{uid}")).collect()
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
    let Decision::Scored(weights) = policy.decide(&mut state, Some("c"), &only_main(&[(1, 0.5)]), uid_of) else {
        panic!()
    };
    assert_eq!(weights.of(Uid(1)), 1.0 - 0.9);
    state.previous = Some(Previous::new(&weights, &hotkeys(), BlockNumber::new(5)));
    for epoch in 1..30 {
        assert_eq!(
            policy.decide(&mut state, Some("c"), &ContestScores::default(), uid_of),
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
    assert_eq!(policy.decide(&mut state, Some("c"), &none, uid_of), Decision::Wait);
    // That the challenge is not known for once is no other challenge.
    assert_eq!(policy.decide(&mut state, None, &none, uid_of), Decision::Wait);
    let fallback = Decision::Fallback(Weights { uids: vec![Uid(999)], weights: vec![1.0] });
    assert_eq!(policy.decide(&mut state, Some("c"), &none, uid_of), fallback);
    assert_eq!(policy.decide(&mut state, Some("c"), &none, uid_of), fallback);
    // Another challenge begins the count anew.
    assert_eq!(policy.decide(&mut state, Some("d"), &none, uid_of), Decision::Wait);
    assert_eq!(state.epochs_without_scores, 1);
    // As do scores, even of 0.
    assert!(matches!(policy.decide(&mut state, Some("d"), &only_main(&[(1, 0.0)]), uid_of), Decision::Scored(_)));
    assert_eq!(state.epochs_without_scores, 0);
}

#[test]
fn where_the_burn_uid_is_not_on_the_subnet_nothing_goes_to_it() {
    let policy = WeightPolicy { burn_uid: None, max_skipped_epochs: 1, ..policy() };
    let mut state = PolicyState::default();
    assert_eq!(policy.decide(&mut state, Some("c"), &ContestScores::default(), uid_of), Decision::Wait);
    assert_eq!(policy.decide(&mut state, Some("c"), &only_main(&[(1, 0.0)]), uid_of), Decision::Unearned);
    let scored = Decision::Scored(Weights { uids: vec![Uid(1)], weights: vec![1.0] });
    assert_eq!(policy.decide(&mut state, Some("c"), &only_main(&[(1, 0.3)]), uid_of), scored);
    let all_to_the_arena = WeightPolicy { arena_share: ArenaShare::from_percent(100.0), ..policy };
    assert_eq!(all_to_the_arena.decide(&mut state, Some("c"), &only_main(&[(1, 0.3)]), uid_of), Decision::Unearned);
}

#[test]
fn the_arena_counts_only_where_it_has_a_share() {
    let policy = WeightPolicy { arena_share: ArenaShare::NONE, ..policy() };
    let scores = ContestScores { main: Vec::new(), arena: uids(&[(5, 0.9)]) };
    let decision = policy.decide(&mut PolicyState::default(), Some("c"), &scores, uid_of);
    assert_eq!(decision, Decision::Scored(Weights { uids: vec![Uid(248)], weights: vec![1.0] }));
}

#[test]
fn the_state_of_older_versions_is_read() {
    for text in ["{}", r#"{"previous":{"uids":[1],"weights":[1.0]}}"#] {
        assert_eq!(serde_json::from_str::<PolicyState>(text).unwrap(), PolicyState::default(), "{text}");
    }
}

/// who is where now · burn uid · the weights that are set again, of 0.3 for hk1, 0.1 for hk2 and 0.6 for hk3
#[test]
fn weights_that_are_set_again_follow_their_hotkeys() {
    let set = Weights { uids: vec![Uid(1), Uid(2), Uid(3)], weights: vec![0.3, 0.1, 0.6] };
    let previous = Previous::new(&set, &hotkeys(), BlockNumber::new(5));
    for (now, burn_uid, expected) in [
        (&["hk0", "hk1", "hk2", "hk3"][..], BURN, Some(&[(1, 0.3), (2, 0.1), (3, 0.6)][..])),
        (&["hk3", "hk2", "hk1"], BURN, Some(&[(2, 0.3), (1, 0.1), (0, 0.6)])),
        // The slot of the greatest weight is somebody else's.
        (&["hk0", "hk1", "hk2", "new"], BURN, Some(&[(1, 0.3), (2, 0.1), (248, 0.6)])),
        (&["hk0", "hk1", "hk2", "new"], None, Some(&[(1, 0.75), (2, 0.25)])),
        (&["hk0", "new", "new", "new"], BURN, None),
    ] {
        let uid_of = |hotkey: &str| (0..).zip(now).find(|(_, other)| **other == hotkey).map(|(uid, _)| Uid(uid));
        let policy = WeightPolicy { burn_uid, ..policy() };
        let mut state = PolicyState { previous: Some(previous.clone()), ..PolicyState::default() };
        let found = match policy.decide(&mut state, Some("c"), &ContestScores::default(), uid_of) {
            Decision::Previous(weights) => Some(weights),
            Decision::Wait => None,
            other => panic!("{other:?}"),
        };
        let found = found.map(|weights| weights.uids.into_iter().zip(weights.weights).collect::<Vec<_>>());
        let near = |found: &[(Uid, f64)]| {
            let expected = uids(expected.unwrap_or_default());
            found.len() == expected.len()
                && found.iter().zip(&expected).all(|(one, two)| one.0 == two.0 && (one.1 - two.1).abs() < 1e-9)
        };
        assert_eq!(found.is_some(), expected.is_some(), "{now:?}");
        assert!(near(&found.clone().unwrap_or_default()), "{now:?} {burn_uid:?}: {found:?}");
    }
}

/// block · what is left of weights whose scores were fetched at block 10000
#[test]
fn weights_of_long_ago_are_forgotten() {
    for (block, is_kept) in [(10_000, true), (11_200, true), (11_201, false), (60_000, false), (7, false)] {
        let set = Weights { uids: vec![Uid(1)], weights: vec![1.0] };
        let previous = Some(Previous::new(&set, &hotkeys(), BlockNumber::new(10_000)));
        let mut state = PolicyState { challenge_uid: Some("c".into()), epochs_without_scores: 3, previous };
        state.forget_old(BlockNumber::new(block), 1_200);
        let counted = if is_kept { 3 } else { 0 };
        assert_eq!((state.previous.is_some(), state.epochs_without_scores), (is_kept, counted), "{block}");
    }
}

/// block · tempo · blocks
#[test]
fn an_epochs_last_block_is_counted() {
    for (block, tempo, blocks) in [(700, 100, 100), (701, 100, 99), (799, 100, 1), (7, 0, 1)] {
        assert_eq!(blocks_left(BlockNumber::new(block), tempo), blocks, "{block} {tempo}");
    }
}
