//! The maximum size of a miner's predictions in a session.

use super::*;

#[tokio::test]
async fn a_miner_with_long_predictions_exceeds_its_budget_and_not_that_of_others() {
    const MIB: usize = 1 << 20;
    let text = r#"{"dialogues": [{"utterances": ["a b c d e f", "g h i j k l m n"]}]}"#;
    let flood = scripted(|_| Ok("x".repeat(MIB)));
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let (engine, miners) = (engine(text).await, miners(&[&flood, &echo]));
    engine.authenticate_with_retry().await.unwrap();
    let first = engine.start_text(ChallengeKind::Main).await.unwrap();
    let played = crate::play::play(&engine, first, &miners, &PlayOptions::default(), None, |_| ()).await.unwrap();
    let sizes = |miner: usize| {
        let utterances = played.dialogues[0].utterances.iter();
        utterances.flat_map(|utterance| utterance.predictions[miner].iter().map(String::len)).collect::<Vec<_>>()
    };
    assert_eq!(MAX_SESSION_BYTES, 8 * MIB);
    assert_eq!(sizes(0), [[MIB; 8].as_slice(), &[0; 6]].concat());
    assert_eq!(sizes(1), [1, 3, 5, 7, 9, 11, 1, 3, 5, 7, 9, 11, 13, 15]);
    // Five errors in a row deactivate the miner before the last word.
    assert_eq!((played.errors, flood.asked.lock().unwrap().len()), (vec![5, 0], 13));
}
