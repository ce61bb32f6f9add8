//! Sessions of arena rounds, and sessions whose steps begin and end at blocks.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const TWO_UTTERANCES: &str = r#"{"dialogues": [{"utterances": ["In my practice, I often admit that I am wrong.", "More."]}]}"#;

/// Columns: whether the session continues without an active miner · outcome · tokens · words in the
/// miner's log
#[tokio::test]
async fn arena_session_without_active_miner_continues_with_empty_predictions() {
    for (continues_without_miners, outcome, tokens, words) in [
        (false, TextOutcome::EndedEarly, 7, vec![7]),
        (true, TextOutcome::Finished, 14, vec![10, 1]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let miner = scripted(|request| match request.step {
            0 => Ok("In my practice".into()),
            _ => Err(CallError::InvalidPayloadType),
        });
        let runner = TextRunner {
            challenge_type: ChallengeType::Arena,
            options: PlayOptions { continues_without_miners, ..PlayOptions::default() },
            ..runner(&directory).await
        };
        let mut events = 0;
        let report = runner
            .run_once(&engine(TWO_UTTERANCES).await, &miners(&[&miner]), |_| events += 1)
            .await
            .unwrap();
        assert_eq!((report.outcome, events, report.miners[0].errors), (outcome, tokens, 5));
        assert_eq!(miner.requests.lock().unwrap().len(), 6, "an inactive miner is not called");
        let logs = names(&runner.paths.logs);
        assert!(logs[0].contains("_type_arena_miner_1_"), "{logs:?}");
        let log = std::fs::read_to_string(runner.paths.logs.join(&logs[0])).unwrap();
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let truths = lines.iter().filter_map(|line| line["ground_truth"].as_str());
        assert_eq!(truths.map(|truth| truth.split(' ').count()).collect::<Vec<_>>(), words);
        let predictions: Vec<_> =
            lines.iter().filter_map(|line| line["prediction"].as_str()).collect();
        let (first, empty) = predictions.split_first().unwrap();
        assert_eq!(*first, "In my practice");
        assert!(empty.iter().all(|prediction| prediction.is_empty()), "{predictions:?}");
        assert!(report.miners[0].score.is_some());
    }
}

/// A chain that advances by one block at each read.
fn advancing_steps(blocks: u32, height: &Arc<AtomicU32>) -> BlockSteps {
    let height = Arc::clone(height);
    BlockSteps {
        chain: "test".to_owned(),
        blocks: NonZeroU32::new(blocks).unwrap(),
        height: Arc::new(move || {
            std::future::ready(Ok(height.fetch_add(1, Ordering::SeqCst))).boxed()
        }),
        sleeper: Arc::new(|_| Box::pin(std::future::ready(()))),
    }
}

#[tokio::test]
async fn words_are_revealed_at_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let height = Arc::new(AtomicU32::new(101));
    let (read, heights) = (Arc::clone(&height), Arc::new(Mutex::new(Vec::new())));
    let recorded = Arc::clone(&heights);
    let echo = scripted(move |request| {
        // The newest block is the one before the next read.
        recorded.lock().unwrap().push(read.load(Ordering::SeqCst) - 1);
        Ok(request.prefix.clone())
    });
    let runner =
        TextRunner { steps: Some(advancing_steps(5, &height)), ..runner(&directory).await };
    let report = runner.run_once(&engine(TEXT).await, &miners(&[&echo]), |_| ()).await.unwrap();
    assert_eq!((report.outcome, report.miners[0].errors), (TextOutcome::Finished, 0));
    assert_eq!(*heights.lock().unwrap(), [105, 110, 115, 120, 125, 130]);
    assert_eq!(height.load(Ordering::SeqCst), 136, "the last step ends at a block too");
}

/// A miner that never responds.
struct UnresponsiveMiner;

impl TextConnection for UnresponsiveMiner {
    fn predict<'a>(
        &'a self,
        _: &'a PredictedUtterance,
        _: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        std::future::pending().boxed()
    }
}

#[tokio::test]
async fn late_prediction_is_cancelled_and_counts_as_error() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let mut miners = miners(&[&echo, &echo]);
    miners[1].connection = Arc::new(UnresponsiveMiner);
    let steps = advancing_steps(1, &Arc::new(AtomicU32::new(1)));
    let runner = TextRunner { steps: Some(steps), ..runner(&directory).await };
    let report = runner.run_once(&engine(TEXT).await, &miners, |_| ()).await.unwrap();
    let errors: Vec<_> = report.miners.iter().map(|miner| miner.errors).collect();
    assert_eq!((report.outcome, errors), (TextOutcome::Finished, vec![0, 5]));
    assert!(report.miners[0].score.is_some() && report.miners[1].score.is_none());
}
