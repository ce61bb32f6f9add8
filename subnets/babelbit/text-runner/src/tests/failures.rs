//! Miners and dialogues that cannot be recorded or scored.

use taonet_babelbit_core::submission_api::ResultFile;

use super::*;

#[tokio::test]
async fn unwritable_files_of_a_miner_do_not_affect_others() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let (engine, runner, miners) =
        (engine(TEXT).await, runner(&directory).await, miners(&[&echo, &echo]));
    let hotkey = miners[0].key.hotkey;
    let blocked_file = format!("dialogue_run_text-1_type_main_miner_1__hk_{hotkey}__dlg_b.jsonl");
    std::fs::create_dir_all(runner.paths.logs.join(blocked_file)).unwrap();
    let report = runner.run_once(&engine, &miners, |_| ()).await.unwrap();
    let [broken, complete] = &report.miners[..] else { panic!("{report:?}") };
    assert_eq!((broken.score, broken.dialogue_scores.len()), (Some(broken.dialogue_scores[0]), 1));
    assert_ne!(broken.score, complete.score);
    let error = broken.unwritten.as_ref().unwrap();
    assert!(error.contains("os error"), "the operating system's error is passed on: {error}");
    assert_eq!(
        (complete.score.is_some(), complete.dialogue_scores.len(), &complete.unwritten),
        (true, 2, &None)
    );
    let means = report.files.iter().filter(|file| file.file == ResultFile::ChallengeScore);
    assert_eq!(means.map(|file| file.miner).collect::<Vec<_>>(), [miners[0].key, miners[1].key]);
}

/// An embedder that fails for texts with one of these words.
struct FailingEmbedder(&'static [&'static str]);

impl SentenceEmbedder for FailingEmbedder {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn fingerprint(&self) -> &'static str {
        "failing"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let is_failing = |text: &&str| text.split(' ').any(|word| self.0.contains(&word));
        if texts.iter().any(is_failing) {
            return Err(EmbedError::Tokenizer("expected by the test".to_owned()));
        }
        WordVectors.embed(texts)
    }
}

#[tokio::test]
async fn unscorable_dialogue_is_skipped_and_others_are_averaged() {
    let directory = tempfile::tempdir().unwrap();
    // Predicts the rest of one utterance of each dialogue.
    let oracle = scripted(|request| {
        let complete =
            if request.prefix == "one" { "one two three" } else { request.prefix.as_str() };
        Ok(complete.to_owned())
    });
    let (engine, miners) = (engine(TEXT).await, miners(&[&oracle]));
    let all_fail = TextRunner {
        embedder: Arc::new(FailingEmbedder(&["one", "five"])),
        ..runner(&directory).await
    };
    let error = all_fail.run_once(&engine, &miners, |_| ()).await.unwrap_err();
    assert!(matches!(error, TextRunError::Score(_)), "{error}");
    assert!(names(&all_fail.paths.scores).is_empty());

    let one_fails = TextRunner { embedder: Arc::new(FailingEmbedder(&["five"])), ..all_fail };
    let report = one_fails.run_once(&engine, &miners, |_| ()).await.unwrap();
    assert_eq!((report.outcome, report.dialogues), (TextOutcome::Finished, 2));
    let unscored: Vec<_> =
        report.unscored.iter().map(|dialogue| dialogue.dialogue_uid.as_str()).collect();
    assert_eq!(unscored, ["b"]);
    assert_eq!(
        (report.miners[0].score, &report.miners[0].dialogue_scores),
        (Some(1.0), &vec![1.0])
    );
    assert_eq!((names(&one_fails.paths.logs).len(), names(&one_fails.paths.scores).len()), (2, 2));
    let second_report = one_fails.run_once(&engine, &miners, |_| ()).await.unwrap();
    assert_eq!(second_report.outcome, TextOutcome::AlreadyDone);
}
