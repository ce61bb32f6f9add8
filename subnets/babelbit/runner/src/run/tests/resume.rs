use super::*;

fn three_utterances() -> PrefetchedChallenge {
    challenge(&["0.2", "0.6", "0.7"])
}

/// Reads all files below a directory; normalises names and contents for comparison between runs.
fn files(directory: &Path) -> std::collections::BTreeMap<String, String> {
    let mut actual = std::collections::BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
                continue;
            }
            let name = entry.path().strip_prefix(directory).unwrap().to_string_lossy().into_owned();
            if name.starts_with("state/") {
                continue;
            }
            let bytes = std::fs::read(entry.path()).unwrap();
            let text = String::from_utf8_lossy(&bytes).replace(&*directory.to_string_lossy(), "");
            let without_time = |text: &str| -> String {
                let lines = text.lines().filter(|line| !line.contains("\"processed_at\""));
                let lines: Vec<_> = lines
                    .map(|line| line.rsplit_once("_20").map_or(line, |(start, _)| start))
                    .collect();
                lines.join("\n")
            };
            actual.insert(without_time(&name), without_time(&text));
        }
    }
    actual
}

/// Plays the three utterances until an event for which `stop` holds, then drops the run.
async fn play_until(
    directory: &Path,
    miners: &[Miner],
    stop: impl FnMut(&RunEvent) -> bool + Send + 'static,
) {
    let (sender, mut stop_events) = tokio::sync::mpsc::unbounded_channel();
    let stop = Mutex::new(stop);
    let observer = move |event: RunEvent| {
        if (stop.lock().unwrap())(&event) {
            let _ = sender.send(());
        }
    };
    let runner = runner(directory).await;
    tokio::select! {
        biased;
        _ = stop_events.recv() => {}
        _ = runner.play(three_utterances(), miners, Arc::new(observer)) => {}
    }
}

#[tokio::test]
async fn run_interrupted_at_any_event_resumes_without_loss_or_repetition() {
    let complete = tempfile::tempdir().unwrap();
    let miners = || [miner(1, &parrot()), miner(2, &parrot())];
    let events = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&events);
    let observer = move |_| *counter.lock().unwrap() += 1;
    runner(complete.path())
        .await
        .play(three_utterances(), &miners(), Arc::new(observer))
        .await
        .unwrap();
    let expected = files(complete.path());
    let events = *events.lock().unwrap();
    // Events of a run: the start, six replies, three batches, and the files of two miners.
    assert_eq!(events, 12);

    for interrupted_at in 1..=events {
        let directory = tempfile::tempdir().unwrap();
        let scripts = [parrot(), parrot()];
        let miners = [miner(1, &scripts[0]), miner(2, &scripts[1])];
        let mut count = 0;
        let stop = move |_: &RunEvent| {
            count += 1;
            count == interrupted_at
        };
        play_until(directory.path(), &miners, stop).await;
        let count_before = scripts.iter().map(|script| script.init_count()).sum::<usize>();
        let second = runner(directory.path()).await;
        let report = second.play(three_utterances(), &miners, Arc::new(())).await.unwrap();
        assert_eq!(report.miners.len(), 2, "cut at {interrupted_at}");
        assert!(
            report
                .miners
                .iter()
                .all(|miner| (miner.score - 0.5).abs() < 1e-12 && miner.utterances.len() == 3)
        );
        // The next run repeats at most the utterance in flight of each miner.
        let repeated_count = scripts.iter().map(|script| script.init_count()).sum::<usize>() - 6;
        assert!(
            count_before == 0 || repeated_count <= 2,
            "cut at {interrupted_at}: {repeated_count} utterances were played again"
        );
        assert_eq!(files(directory.path()), expected, "cut at {interrupted_at}");
    }
}

#[tokio::test]
async fn completed_run_is_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let script = parrot();
    let runner = runner(directory.path()).await;
    runner.play(three_utterances(), &[miner(1, &script)], Arc::new(())).await.unwrap();
    let old_files = files(directory.path());
    let report = runner.play(three_utterances(), &[miner(1, &script)], Arc::new(())).await.unwrap();
    assert_eq!((report.outcome, report.miners.len()), (RunOutcome::AlreadyDone, 1));
    assert!((report.miners[0].score - 0.5).abs() < 1e-12);
    assert_eq!(script.init_count(), 3);
    assert_eq!(files(directory.path()), old_files);

    // A miner that joins later is played alone; the other miners' files do not interfere.
    let late_miner = parrot();
    let report = runner
        .play(three_utterances(), &[miner(1, &script), miner(2, &late_miner)], Arc::new(()))
        .await
        .unwrap();
    assert_eq!((report.outcome, report.miners.len()), (RunOutcome::Finished, 2));
    assert_eq!((script.init_count(), late_miner.init_count()), (3, 3));
}

/// The engine fails after a part of the challenge, so that some or all references are missing at
/// first.
#[tokio::test]
async fn late_references_are_used_for_scoring() {
    for fetched in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let mut part = three_utterances();
        part.utterances.truncate(2);
        part.error = Some("gone".into());
        let entries =
            part.reference.as_mut().unwrap().document["utterances"].as_array_mut().unwrap();
        entries.truncate(fetched);
        if fetched == 0 {
            part.reference = None;
        }
        let script = parrot();
        let runner = runner(directory.path()).await;
        let report = runner.play(part, &[miner(1, &script)], Arc::new(())).await.unwrap();
        let scores = |report: &RunReport| {
            report.miners[0].utterances.iter().map(|utterance| utterance.score).collect::<Vec<_>>()
        };
        assert_eq!(
            (report.outcome, scores(&report)),
            (RunOutcome::Partial, vec![[0.0, 0.2][fetched], 0.0])
        );
        let report =
            runner.play(three_utterances(), &[miner(1, &script)], Arc::new(())).await.unwrap();
        assert_eq!((report.outcome, scores(&report)), (RunOutcome::Finished, vec![0.2, 0.6, 0.7]));
        // The late reference did not cause a replay.
        assert_eq!(script.init_count(), 3);
        assert_eq!(score_files(directory.path(), 1).1["challenge_mean_U"], json!(0.5));
    }
}

/// A scorer that divides each score by the number of replies.
struct CandidateCountScorer;

impl ReplyScorer for CandidateCountScorer {
    fn prepare(&self, _: &Candidate) {}

    fn score(
        &self,
        reference: Result<&core::Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        let mut results = TextScorer.score(reference, candidates);
        for result in &mut results {
            result.score /= candidates.len() as f64;
        }
        results
    }
}

#[tokio::test]
async fn late_miner_is_scored_with_already_scored_ones() {
    let directory = tempfile::tempdir().unwrap();
    let runner = Runner::open(settings(directory.path()), "en", Arc::new(CandidateCountScorer))
        .await
        .unwrap();
    let play = async |miners: &[Miner]| {
        let report = runner.play(challenge(&["0.6"]), miners, Arc::new(())).await.unwrap();
        report.miners.iter().map(|miner| miner.score).collect::<Vec<_>>()
    };
    let (first, second, third) = (miner(5, &parrot()), miner(2, &parrot()), miner(7, &parrot()));
    assert_eq!(play(std::slice::from_ref(&first)).await, [0.6]);
    assert_eq!(play(&[first, second]).await, [0.3, 0.6]);
    // Scored replies of absent miners count as duplicates too, unless their audio is missing.
    std::fs::remove_file(miner_directory(directory.path(), 5).join("predicted/utt_0000.wav"))
        .unwrap();
    assert_eq!(play(&[third]).await, [0.3, 0.6, 0.3]);
}

#[tokio::test]
async fn score_files_of_other_programs_count_as_played() {
    let directory = tempfile::tempdir().unwrap();
    let scores = directory.path().join("scores");
    std::fs::create_dir_all(&scores).unwrap();
    let other =
        json!({"challenge_uid": "challenge-1", "miner_uid": 1, "miner_hotkey": key(1).hotkey});
    std::fs::write(scores.join("challenge_score_challenge-1_other.json"), other.to_string())
        .unwrap();
    let (first, second) = (parrot(), parrot());
    let miners = [miner(1, &first), miner(2, &second)];
    let report = runner(directory.path())
        .await
        .play(three_utterances(), &miners, Arc::new(()))
        .await
        .unwrap();
    assert_eq!((first.init_count(), second.init_count()), (0, 3));
    assert_eq!(report.scored_elsewhere, [Uid(1)]);
    assert_eq!(report.miners.len(), 1);
}

#[tokio::test]
async fn damaged_reply_is_played_again() {
    let directory = tempfile::tempdir().unwrap();
    let script = parrot();
    let silent_miner =
        Arc::new(ScriptedMiner::new(|_, _| Step::sound(0, false).delayed_by(Duration::MAX)));
    let miners = [miner(1, &script), miner(2, &silent_miner)];
    play_until(directory.path(), &miners, |event| {
        matches!(event, RunEvent::Played { utterance_index: 2, .. })
    })
    .await;
    let reply = miner_directory(directory.path(), 1).join("predicted/utt_0001.wav");
    std::fs::write(&reply, "torn").unwrap();
    let second = runner(directory.path()).await;
    second
        .play(three_utterances(), &[miner(1, &script), miner(2, &parrot())], Arc::new(()))
        .await
        .unwrap();
    assert_eq!(script.init_count(), 4);
    assert_ne!(std::fs::read(&reply).unwrap(), b"torn");
}

#[tokio::test]
async fn two_runners_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let _first = runner(directory.path()).await;
    let second = Runner::open(settings(directory.path()), "en", Arc::new(TextScorer)).await;
    assert!(second.is_err_and(|error| error.to_string().starts_with("another runner is using ")));
}

/// Columns: whether the other miner's files are already written · whether the leaving miner has
/// played all utterances
#[tokio::test]
async fn miner_removed_from_the_list_keeps_its_scores() {
    for (other_is_done, complete) in [(false, true), (false, false), (true, true), (true, false)] {
        let case = format!("other is done: {other_is_done}, complete: {complete}");
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let other = parrot();
        if other_is_done {
            runner(directory)
                .await
                .play(three_utterances(), &[miner(2, &other)], Arc::new(()))
                .await
                .unwrap();
        }
        // Blocks after its last utterance, so that the interruption is always at the same point.
        let rows: usize = if complete { 3 } else { 1 };
        let leaving_miner = ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos))
            .with_init(move |request, _| {
                Ok(if request.utterance_id == format!("challenge-1:{rows}") {
                    Duration::MAX
                } else {
                    Duration::ZERO
                })
            });
        let silent_miner =
            Arc::new(ScriptedMiner::new(|_, _| Step::sound(0, false).delayed_by(Duration::MAX)));
        let last = rows as u32 - 1;
        let stop = move |event: &RunEvent| matches!(event, RunEvent::Played { miner: Uid(1), utterance_index, .. } if *utterance_index == last);
        play_until(
            directory,
            &[
                miner(1, &Arc::new(leaving_miner)),
                miner(2, if other_is_done { &other } else { &silent_miner }),
            ],
            stop,
        )
        .await;
        assert_eq!(names(&miner_directory(directory, 1)), ["predicted"], "{case}");

        let report = runner(directory)
            .await
            .play(three_utterances(), &[miner(2, &other)], Arc::new(()))
            .await
            .unwrap();
        let scores: Vec<_> = report.miners.iter().map(|miner| miner.score).collect();
        assert!((scores[0] - if complete { 0.5 } else { 0.2 }).abs() < 1e-12, "{case}: {scores:?}");
        let log = read(&miner_directory(directory, 1).join("run.json"));
        assert_eq!(log["utterances"].as_array().unwrap().len(), rows, "{case}");
        assert_eq!(log["completed"], json!(complete), "{case}");
        assert_eq!(score_files(directory, 1).1["completed"], json!(complete), "{case}");
        let status = read(&directory.join("challenge_status/challenge-1__main.json"));
        assert_eq!(status["miner_count"], json!(2), "{case}");

        // A returning miner plays its missing utterances.
        let returning_miner = parrot();
        let runner = runner(directory).await;
        let report = runner
            .play(three_utterances(), &[miner(1, &returning_miner), miner(2, &other)], Arc::new(()))
            .await
            .unwrap();
        assert_eq!(returning_miner.init_count(), 3 - rows, "{case}");
        assert!((report.miners[0].score - 0.5).abs() < 1e-12, "{case}");
        assert_eq!(score_files(directory, 1).1["completed"], json!(true), "{case}");
    }
}

/// The count of consecutive failures continues after an interruption.
#[tokio::test]
async fn failures_in_a_row_count_across_runs() {
    let directory = tempfile::tempdir().unwrap();
    let run = |stop: bool| {
        let settings = RunnerSettings {
            play: PlaySettings { drop_after_failures: 2, ..PlaySettings::default() },
            ..settings(directory.path())
        };
        async move {
            let (sender, mut failed) = tokio::sync::mpsc::unbounded_channel();
            let observer = move |event: RunEvent| {
                if matches!(event, RunEvent::Failed { .. }) {
                    let _ = sender.send(());
                }
            };
            // Blocks after its first failure, where the test interrupts the run.
            let failing = ScriptedMiner::silent().with_init(move |request, _| {
                let is_first = request.utterance_id.ends_with(":0");
                if stop && !is_first {
                    Ok(Duration::MAX)
                } else {
                    Err(CallError::Refused("no".into()))
                }
            });
            let failing = Arc::new(failing);
            let runner = Runner::open(settings, "en", Arc::new(TextScorer)).await.unwrap();
            let miners = [miner(1, &failing)];
            if stop {
                tokio::select! {
                    biased;
                    _ = failed.recv() => {}
                    _ = runner.play(three_utterances(), &miners, Arc::new(observer)) => {}
                }
                return (0, 0);
            }
            let report =
                runner.play(three_utterances(), &miners, Arc::new(observer)).await.unwrap();
            (report.miners[0].utterances.len(), failing.init_count())
        }
    };
    run(true).await;
    assert_eq!(run(false).await, (2, 1));
    assert_eq!(run(false).await, (2, 0));
}
