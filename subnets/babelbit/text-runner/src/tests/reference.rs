//! The reference's runner, whose loop this module repeats, plays our engine.

use taonet_babelbit_core::engine_api::TextToken;
use taonet_babelbit_core::text::Event;

use super::*;
use crate::play::play;
use crate::score::events;

/// A step of the reference's runner.
struct Step {
    prediction: String,
    is_done: bool,
    ground_truth: String,
}

/// Plays a session as the reference's runner does: an utterance is complete at `EOF`, and `EOF EOF`
/// completes nothing. Returns the steps of each dialogue.
async fn reference_steps(engine: &EngineClient, miner: &ScriptedMiner) -> Vec<(String, Vec<Step>)> {
    let mut token = engine.start_text(ChallengeKind::Main).await.unwrap();
    let session = token.session_id.clone().unwrap();
    let mut dialogues: Vec<(String, Vec<Step>)> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    while !token.done {
        let uid = token.dialogue_uid.clone().unwrap();
        if dialogues.iter().all(|(known, _)| *known != uid) {
            dialogues.push((uid.clone(), Vec::new()));
        }
        let (_, steps) = dialogues.iter_mut().find(|(known, _)| *known == uid).unwrap();
        match token.text().unwrap() {
            TextToken::EOF => {
                if let Some(last) = steps.last_mut().filter(|_| !words.is_empty()) {
                    (last.is_done, last.ground_truth) = (true, words.join(" "));
                }
                words.clear();
            }
            TextToken::EOF_EOF => {}
            word => {
                words.push(word.to_owned());
                let request = PredictedUtterance {
                    index: session.clone(),
                    step: words.len() as u32 - 1,
                    prefix: words.join(" "),
                    context: String::new(),
                    done: false,
                    prediction: String::new(),
                    ground_truth: None,
                    evaluation: None,
                };
                let prediction =
                    miner.predict(&request, Duration::from_secs(10)).await.unwrap_or_default();
                steps.push(Step { prediction, is_done: false, ground_truth: String::new() });
            }
        }
        token = engine.next_text(ChallengeKind::Main, &session).await.unwrap();
    }
    dialogues
}

/// Groups the steps of a dialogue by utterance and writes its log, as the reference's runner does.
fn reference_log(steps: Vec<Step>) -> Vec<Event> {
    let mut groups = vec![Vec::new()];
    for step in steps {
        let is_done = step.is_done;
        groups.last_mut().unwrap().push(step);
        if is_done {
            groups.push(Vec::new());
        }
    }
    let mut lines = Vec::new();
    for (index, group) in groups.into_iter().enumerate() {
        let Some(truth) =
            group.last().map(|step| step.ground_truth.clone()).filter(|text| !text.is_empty())
        else {
            continue;
        };
        for (step, taken) in group.into_iter().enumerate() {
            lines.push(json!({"event": "predicted", "utterance_index": index, "step": step,
                "prediction": taken.prediction}));
        }
        lines.push(
            json!({"event": "utterance_complete", "utterance_index": index, "ground_truth": truth}),
        );
    }
    serde_json::from_value(json!(lines)).unwrap()
}

#[tokio::test]
async fn logs_and_scores_match_the_reference_runner() {
    let text = r#"{"challenge_uid": "text-1", "dialogues": [
        {"dialogue_uid": "a", "utterances": ["one two three", "", "four five", "six"]},
        {"dialogue_uid": "b", "utterances": ["five six", "two one", ""]},
        {"dialogue_uid": "c", "utterances": ["three"]}]}"#;
    let miner = scripted(|request| match request.prefix.as_str() {
        "one" => Ok("one two three EOF".to_owned()),
        "five six" => Err(CallError::InvalidPayloadType),
        prefix => Ok(prefix.to_owned()),
    });
    let engine = engine(text).await;
    engine.authenticate_with_retry().await.unwrap();
    let reference_dialogues = reference_steps(&engine, &miner).await;
    let first = engine.start_text(ChallengeKind::Main).await.unwrap();
    let played = play(&engine, first, &miners(&[&miner]), &PlayOptions::default(), None, |_| ())
        .await
        .unwrap();
    assert_eq!(reference_dialogues.len(), played.dialogues.len());
    for ((uid, steps), ours) in reference_dialogues.into_iter().zip(&played.dialogues) {
        assert_eq!(uid, ours.uid);
        let logs = [reference_log(steps), events(ours, 0, Rules::Reference)];
        assert_eq!(logs[0], logs[1], "{uid}");
        let complete = logs[0].iter().filter(|event| event.ground_truth.is_some()).count();
        assert_eq!(complete, ours.utterances.len(), "{uid}");
        let scored =
            score_logs(&uid, &logs, &WordVectors, VectorOptions::default(), Rules::Reference)
                .unwrap();
        assert_eq!(scored[0], scored[1], "{uid}");
    }
}

/// The reference's engine counts the words of an utterance from 1, and the end of an empty one from 0.
#[tokio::test]
async fn challenge_of_the_reference_engine_is_played() {
    let token = |text: &str, utterance: u32, index: u32| {
        json!({"session_id": "s", "token": text, "word": text, "done": false, "challenge_uid": "text-1",
            "dialogue_index": 0, "dialogue_uid": "a", "utterance_index": utterance, "token_index": index})
    };
    let tokens = [
        token("one", 1, 1),
        token("two", 1, 2),
        token("EOF", 1, 2),
        token("three", 2, 1),
        token("EOF", 2, 1),
        token("EOF EOF", 3, 0),
    ];
    let server = engine_of(&token("EOF", 0, 0), &tokens).await;
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let report = runner(&directory)
        .await
        .run_once(&client(&server.uri()), &miners(&[&echo]), |_| ())
        .await
        .unwrap();
    assert_eq!((report.outcome, report.utterances), (TextOutcome::Finished, 2));
    let requests = echo.requests.lock().unwrap();
    let prefixes: Vec<_> = requests.iter().map(|request| request.prefix.as_str()).collect();
    assert_eq!(prefixes, ["one", "one two", "three"]);
}
