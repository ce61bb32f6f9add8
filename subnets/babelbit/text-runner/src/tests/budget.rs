//! The maximum size of a miner's predictions in a session.

use super::*;

#[tokio::test]
async fn long_predictions_exceed_only_the_budget_of_their_miner() {
    const MIB: usize = 1 << 20;
    let file = tempfile::NamedTempFile::new().unwrap();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(Mutex::new(file.reopen().unwrap()))
        .finish();
    let _guard = tracing::subscriber::set_default(log);
    let text = r#"{"dialogues": [{"utterances": ["a b c d e f", "g h i j k l m n"]}]}"#;
    let oversized = scripted(|_| Ok("x".repeat(MIB)));
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let (engine, miners) = (engine(text).await, miners(&[&oversized, &echo]));
    engine.authenticate_with_retry().await.unwrap();
    let first = engine.start_text(ChallengeKind::Main).await.unwrap();
    let played = crate::play::play(&engine, first, &miners, &PlayOptions::default(), None, |_| ())
        .await
        .unwrap();
    let sizes = |miner: usize| {
        let utterances = played.dialogues[0].utterances.iter();
        utterances
            .flat_map(|utterance| utterance.predictions[miner].iter().map(String::len))
            .collect::<Vec<_>>()
    };
    assert_eq!(MAX_SESSION_BYTES, 8 * MIB);
    assert_eq!(sizes(0), [[MIB; 8].as_slice(), &[0; 5]].concat());
    assert_eq!(sizes(1), [1, 3, 5, 7, 9, 11, 1, 3, 5, 7, 9, 11, 13, 15]);
    // Five errors in a row deactivate the miner before the last word.
    assert_eq!((played.errors, oversized.requests.lock().unwrap().len()), (vec![5, 0], 13));
    // One warning names the miner.
    let log = std::fs::read_to_string(file.path()).unwrap();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("too long in total")).collect();
    assert_eq!(warnings.len(), 1, "{log}");
    let expected = format!(
        "a miner's predictions are too long in total, and count as empty for the rest of the session uid=1 hotkey={} \
         limit=8388608",
        miners[0].key.hotkey
    );
    assert!(warnings[0].ends_with(&expected), "{log}");
}
