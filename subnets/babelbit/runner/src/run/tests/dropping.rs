//! Miners that are dropped after too many consecutive failures.

use super::*;

/// Plays a challenge of eight utterances to a miner that fails those in `fails`, and to one without
/// failures; returns the report of the failing miner.
async fn drop_after_two_failures(
    directory: &Path,
    fails: &'static [u32],
    rules: Rules,
) -> MinerReport {
    let unreliable = ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos)).with_init(
        move |request, _| {
            let index: u32 = request.utterance_id.rsplit(':').next().unwrap().parse().unwrap();
            if fails.contains(&index) {
                Err(CallError::Refused("moody".into()))
            } else {
                Ok(Duration::ZERO)
            }
        },
    );
    let settings = RunnerSettings {
        challenge_type: ChallengeType::Arena,
        play: PlaySettings { drop_after_failures: 2, ..PlaySettings::default() },
        rules,
        ..settings(directory)
    };
    let runner = Runner::open(settings, "en", Arc::new(TextScorer)).await.unwrap();
    let miners = [miner(1, &Arc::new(unreliable)), miner(2, &parrot())];
    let report = runner.play(challenge(&["0.8"; 8]), &miners, Arc::new(())).await.unwrap();
    assert_eq!(report.outcome, RunOutcome::Finished);
    assert_eq!(
        report.miners[1].utterances.len(),
        8,
        "all utterances of the other miner are scored"
    );
    assert!((report.miners[1].score - 0.8).abs() < 1e-12);
    let status = read(&directory.join("challenge_status/challenge-1__arena.json"));
    assert_eq!(
        (&status["miner_count"], &status["metadata"]["route_source"]),
        (&json!(2), &json!("list_arena_miners"))
    );
    // The miner is finished: the next run does not contact it.
    let again = runner.play(challenge(&["0.8"; 8]), &miners, Arc::new(())).await.unwrap();
    assert_eq!(again.outcome, RunOutcome::AlreadyDone);
    report.miners.into_iter().next().unwrap()
}

/// Columns: failed utterances · recorded entries · mean over the entries · mean over all utterances
#[tokio::test]
async fn arena_miner_is_dropped_after_two_failures_in_a_row() {
    for (fails, entries, reference, strict) in [
        (&[1, 3, 5, 7][..], 8, 0.4, 0.4),
        (&[0, 1], 2, 0.0, 0.0),
        (&[0, 2, 3, 4, 5], 4, 0.2, 0.1),
        (&[3, 4, 6], 5, 0.48, 0.3),
        (&[6, 7], 8, 0.6, 0.6),
    ] {
        for (rules, score) in [(Rules::Reference, reference), (Rules::Strict, strict)] {
            let directory = tempfile::tempdir().unwrap();
            let report = drop_after_two_failures(directory.path(), fails, rules).await;
            assert_eq!(report.utterances.len(), entries, "{fails:?}");
            assert!((report.score - score).abs() < 1e-12, "{fails:?} {rules:?}: {}", report.score);
            assert!(!report.completed);
        }
    }
}

#[tokio::test]
async fn unplayable_utterance_drops_no_miner() {
    let directory = tempfile::tempdir().unwrap();
    let mut challenge = challenge(&["0.5"; 4]);
    for utterance in &mut challenge.utterances[..3] {
        utterance.channels = 2;
    }
    let play = PlaySettings { drop_after_failures: 2, ..PlaySettings::default() };
    let runner = Runner::open(
        RunnerSettings { play, ..settings(directory.path()) },
        "en",
        Arc::new(TextScorer),
    )
    .await
    .unwrap();
    let report = runner.play(challenge, &[miner(1, &parrot())], Arc::new(())).await.unwrap();
    assert_eq!(report.miners[0].utterances.len(), 4);
    assert!(report.miners[0].score > 0.0);
}
