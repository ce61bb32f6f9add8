use super::*;

const BURN: Option<Uid> = Some(Uid(248));

/// Maps `hk0..hk99` to the uids 0 to 99; the burn uid is registered, too.
fn uid_of(hotkey: &str) -> Option<Uid> {
    hotkey.strip_prefix("hk")?.parse().ok().filter(|uid| *uid < 100 || *uid == 248).map(Uid)
}

fn uids(scores: &[(u16, f64)]) -> Vec<(Uid, f64)> {
    scores.iter().map(|(uid, score)| (Uid(*uid), *score)).collect()
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the signature of the argument of `PreviousWeights::new`"
)]
fn hotkey_of(uid: Uid) -> Option<String> {
    Some(format!("hk{uid}"))
}

fn policy() -> WeightPolicy {
    WeightPolicy { burn_uid: BURN, max_skipped_epochs: 12 }
}

fn all_weight_to(uid: u16) -> Weights {
    Weights { uids: vec![Uid(uid)], weights: vec![1.0] }
}

/// Columns: block · tempo · last epoch · due epoch
#[test]
fn epoch_is_due_from_its_first_to_its_last_block() {
    for (block, tempo, last, is_due) in [
        (99, 100, Some(0), None),
        (100, 100, Some(0), Some(1)),
        // The reference checks only multiples of the tempo, and misses the epoch if it polls at
        // another block.
        (137, 100, Some(0), Some(1)),
        (199, 100, Some(0), Some(1)),
        (199, 100, Some(1), None),
        // After several missed epochs there is one submission.
        (1_234, 100, Some(3), Some(12)),
        // First start.
        (5, 100, None, Some(0)),
        // A node that lags slightly is on the same chain; one that is far behind is on a restarted
        // chain.
        (299, 100, Some(3), None),
        (199, 100, Some(3), Some(1)),
        (7, 0, Some(6), Some(7)),
    ] {
        assert_eq!(
            due_epoch(BlockNumber::new(block), tempo, last),
            is_due,
            "block {block}, tempo {tempo}, last {last:?}"
        );
    }
}

#[test]
fn previous_weights_are_set_in_every_epoch_without_scores() {
    let (policy, mut state) = (policy(), PolicyState::default());
    let weights = Weights { uids: vec![Uid(1), Uid(248)], weights: vec![0.1, 0.9] };
    let decision = policy.decide(&mut state, Some("c"), Some(weights.clone()), uid_of);
    assert_eq!(decision, Decision::Scored(weights.clone()));
    state.previous = Some(PreviousWeights::new(&weights, hotkey_of, BlockNumber::new(5)));
    for epoch in 1..30 {
        assert_eq!(
            policy.decide(&mut state, Some("c"), None, uid_of),
            Decision::Previous(weights.clone())
        );
        assert_eq!(state.epochs_without_scores, epoch);
    }
}

#[test]
fn fallback_without_previous_weights_is_used_after_the_limit() {
    let policy = WeightPolicy { burn_uid: Some(Uid(999)), max_skipped_epochs: 3 };
    let mut state = PolicyState::default();
    assert_eq!(policy.decide(&mut state, Some("c"), None, uid_of), Decision::Wait);
    // An unknown round is not a change of round.
    assert_eq!(policy.decide(&mut state, None, None, uid_of), Decision::Wait);
    let fallback = Decision::Fallback(all_weight_to(999));
    assert_eq!(policy.decide(&mut state, Some("c"), None, uid_of), fallback);
    assert_eq!(policy.decide(&mut state, Some("c"), None, uid_of), fallback);
    // A new round resets the count.
    assert_eq!(policy.decide(&mut state, Some("d"), None, uid_of), Decision::Wait);
    assert_eq!(state.epochs_without_scores, 1);
    // Scores reset the count too, even scores of 0.
    assert!(matches!(
        policy.decide(&mut state, Some("d"), Some(all_weight_to(248)), uid_of),
        Decision::Scored(_)
    ));
    assert_eq!(state.epochs_without_scores, 0);
}

#[test]
fn policy_state_of_older_versions_is_read() {
    for text in ["{}", r#"{"previous":{"uids":[1],"weights":[1.0]}}"#] {
        assert_eq!(
            serde_json::from_str::<PolicyState>(text).unwrap(),
            PolicyState::default(),
            "{text}"
        );
    }
}

/// Columns: current hotkeys · burn uid · resubmitted weights of 0.3 for hk1, 0.1 for hk2 and 0.6
/// for hk3
#[test]
fn resubmitted_weights_follow_hotkeys() {
    let set = Weights { uids: vec![Uid(1), Uid(2), Uid(3)], weights: vec![0.3, 0.1, 0.6] };
    let previous = PreviousWeights::new(&set, hotkey_of, BlockNumber::new(5));
    for (now, burn_uid, expected) in [
        (&["hk0", "hk1", "hk2", "hk3"][..], BURN, Some(&[(1, 0.3), (2, 0.1), (3, 0.6)][..])),
        (&["hk3", "hk2", "hk1"], BURN, Some(&[(2, 0.3), (1, 0.1), (0, 0.6)])),
        // The uid with the largest weight has changed owner.
        (&["hk0", "hk1", "hk2", "new"], BURN, Some(&[(1, 0.3), (2, 0.1), (248, 0.6)])),
        (&["hk0", "hk1", "hk2", "new"], None, Some(&[(1, 0.75), (2, 0.25)])),
        (&["hk0", "new", "new", "new"], BURN, None),
    ] {
        let uid_of = |hotkey: &str| {
            (0..).zip(now).find(|(_, other)| **other == hotkey).map(|(uid, _)| Uid(uid))
        };
        let policy = WeightPolicy { burn_uid, ..policy() };
        let mut state = PolicyState { previous: Some(previous.clone()), ..PolicyState::default() };
        let actual = match policy.decide(&mut state, Some("c"), None, uid_of) {
            Decision::Previous(weights) => Some(weights),
            Decision::Wait => None,
            other => panic!("{other:?}"),
        };
        let actual =
            actual.map(|weights| weights.uids.into_iter().zip(weights.weights).collect::<Vec<_>>());
        let is_close = |actual: &[(Uid, f64)]| {
            let expected = uids(expected.unwrap_or_default());
            actual.len() == expected.len()
                && actual
                    .iter()
                    .zip(&expected)
                    .all(|(one, two)| one.0 == two.0 && (one.1 - two.1).abs() < 1e-9)
        };
        assert_eq!(actual.is_some(), expected.is_some(), "{now:?}");
        assert!(is_close(&actual.clone().unwrap_or_default()), "{now:?} {burn_uid:?}: {actual:?}");
    }
}

/// Columns: block · whether previous weights of scores from block 10000 are kept
#[test]
fn stale_previous_weights_are_dropped() {
    for (block, is_kept) in
        [(10_000, true), (11_200, true), (11_201, false), (60_000, false), (7, false)]
    {
        let set = Weights { uids: vec![Uid(1)], weights: vec![1.0] };
        let previous = Some(PreviousWeights::new(&set, hotkey_of, BlockNumber::new(10_000)));
        let mut state = PolicyState { round: Some("c".into()), epochs_without_scores: 3, previous };
        state.drop_stale(BlockNumber::new(block), 1_200);
        let counted = if is_kept { 3 } else { 0 };
        assert_eq!(
            (state.previous.is_some(), state.epochs_without_scores),
            (is_kept, counted),
            "{block}"
        );
    }
}

/// Columns: block · tempo · blocks left
#[test]
fn remaining_blocks_of_an_epoch_include_its_last() {
    for (block, tempo, blocks) in [(700, 100, 100), (701, 100, 99), (799, 100, 1), (7, 0, 1)] {
        assert_eq!(blocks_left(BlockNumber::new(block), tempo), blocks, "{block} {tempo}");
    }
}

#[test]
fn empty_weights_of_a_challenge_are_unearned() {
    let mut state = PolicyState { epochs_without_scores: 5, ..PolicyState::default() };
    assert_eq!(
        policy().decide(&mut state, Some("c"), Some(Weights::default()), uid_of),
        Decision::Unearned
    );
    assert_eq!(state.epochs_without_scores, 0);
}

#[test]
fn missing_burn_uid_disables_fallback() {
    let policy = WeightPolicy { burn_uid: None, max_skipped_epochs: 1 };
    assert_eq!(policy.decide(&mut PolicyState::default(), Some("c"), None, uid_of), Decision::Wait);
}
