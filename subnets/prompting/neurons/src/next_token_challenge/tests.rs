use std::time::Duration;

use taonet_kit::ReplyError;
use taonet_primitives::{Hotkey, Uid};
use taonet_prompting_core::compute_weights;
use tempfile::TempDir;

use super::*;

fn model() -> Arc<LanguageModel> {
    Arc::new(LanguageModel::random("m", 1, 1).unwrap())
}

/// Returns a dataset of passages, each with other words.
fn dataset(passages: usize) -> Dataset {
    let files = tempfile::tempdir().unwrap();
    let passage = |number: usize| format!("{number:02} is a number of two digits, and ").repeat(4);
    let text = (0..passages).map(passage).collect::<Vec<_>>().join("\n\n");
    std::fs::write(files.path().join("passages.txt"), text).unwrap();
    Dataset::open(files.path()).unwrap()
}

fn open(directory: &TempDir) -> NextTokenChallenge {
    NextTokenChallenge::new(directory.path(), model(), dataset(20), 7).unwrap()
}

fn reply(
    uid: u16,
    predictions: Option<Vec<Vec<(String, f64)>>>,
    request: &NextTokens,
) -> Reply<NextTokens> {
    let status = || ReplyError::Status {
        status: http::StatusCode::NOT_IMPLEMENTED,
        message: "no model".to_owned(),
    };
    let response = predictions
        .map(|predictions| NextTokens { predictions, ..request.clone() })
        .ok_or_else(status);
    let hotkey = Hotkey::from_bytes([uid as u8 + 1; 32]);
    Reply { uid: Uid(uid), hotkey, response, elapsed: Duration::from_millis(100) }
}

/// Returns predictions that give the true tokens this probability.
fn predictions(truths: &[String], probability: impl Fn(usize) -> f64) -> Vec<Vec<(String, f64)>> {
    let prediction = |(index, truth): (usize, &String)| {
        vec![(truth.clone(), probability(index)), ("\u{0}".to_owned(), 0.01)]
    };
    truths.iter().enumerate().map(prediction).collect()
}

#[tokio::test]
async fn each_miner_is_rewarded_by_its_contribution() {
    let directory = tempfile::tempdir().unwrap();
    let challenge = open(&directory);
    let request = challenge.request(&[]).await.unwrap();
    let truths = challenge.lock_state().truths.clone();
    assert_eq!((request.texts.len(), truths.len()), (TEXTS_PER_STEP, TEXTS_PER_STEP));
    let everything = vec![
        truths
            .iter()
            .map(|truth| (truth.clone(), 1.0))
            .chain([("x".to_owned(), 1.0)])
            .collect();
        TEXTS_PER_STEP
    ];
    let replies = [
        reply(0, Some(predictions(&truths, |_| 0.9)), &request),
        reply(
            1,
            Some(predictions(&truths, |index| if index % 2 == 0 { 0.5 } else { 0.01 })),
            &request,
        ),
        reply(
            2,
            Some(predictions(&truths, |index| if index % 2 == 0 { 0.5 } else { 0.01 })),
            &request,
        ),
        reply(3, Some(Vec::new()), &request),
        reply(4, None, &request),
        // Claims every token.
        reply(5, Some(everything), &request),
    ];
    let shares = challenge.rewards(&request, &replies).await.unwrap();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
    assert!(shares[0] > shares[1] && shares[1] > 0.0, "{shares:?}");
    assert!((shares[1] - shares[2]).abs() < 1e-9, "copies earn the same: {shares:?}");
    assert!(shares[3..5].iter().all(|share| share.abs() < f64::MIN_POSITIVE), "{shares:?}");
    assert!(shares[5] < shares[0], "{shares:?}");

    // The record is enough to compute the shares again.
    let records = EventLog::in_directory(directory.path()).read().unwrap();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    let total_probability = |answer: &AnswerRecord| {
        (1..=TEXTS_PER_STEP).map(|position| answer.parts[&format!("p{position}")]).collect()
    };
    let answered = || record.answers.iter().filter(|answer| answer.error.is_none());
    let probabilities: Vec<Vec<f64>> = answered().map(total_probability).collect();
    let recomputed =
        contributions(&NextTokenLosses::new(&probabilities, TEXTS_PER_STEP), record.seed.unwrap());
    for (answer, contribution) in answered().zip(&recomputed) {
        assert!((answer.share - contribution.share).abs() < 1e-9, "{answer:?} {contribution:?}");
        assert!(
            (answer.parts["shapley"] - contribution.shapley).abs() < 1e-9,
            "{answer:?} {contribution:?}"
        );
    }
    let weights = compute_weights(&[record.event()], 0.1);
    assert!(
        weights.of(Uid(0)) > weights.of(Uid(1)) && weights.of(Uid(4)).abs() < f64::MIN_POSITIVE,
        "{weights:?}"
    );
}

#[tokio::test]
async fn step_without_predictions_has_no_rewards() {
    let directory = tempfile::tempdir().unwrap();
    let challenge = open(&directory);
    let request = challenge.request(&[]).await.unwrap();
    assert!(challenge.rewards(&request, &[]).await.unwrap().is_empty());
    let replies = [reply(0, None, &request), reply(1, Some(Vec::new()), &request)];
    let shares = challenge.rewards(&request, &replies).await.unwrap();
    assert!(
        shares.len() == 2 && shares.iter().all(|share| share.abs() < f64::MIN_POSITIVE),
        "{shares:?}"
    );
}

#[tokio::test]
async fn seed_determines_texts_and_no_text_reveals_another_token() {
    let directory = tempfile::tempdir().unwrap();
    let (challenge, again) = (open(&directory), open(&directory));
    for _ in 0..20 {
        let request = challenge.request(&[]).await.unwrap();
        assert_eq!(request, again.request(&[]).await.unwrap());
        let truths = challenge.lock_state().truths.clone();
        for (index, (text, truth)) in request.texts.iter().zip(&truths).enumerate() {
            let mut others = request.texts.iter().enumerate().filter(|(other, _)| *other != index);
            assert!(
                !others.any(|(_, other)| other.starts_with(&format!("{text}{truth}"))),
                "{text}: {truth}"
            );
        }
    }
}

#[test]
fn too_short_texts_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let open = |text: &str| {
        std::fs::write(files.path().join("a.jsonl"), format!("{{\"text\": \"{text}\"}}")).unwrap();
        NextTokenChallenge::new(directory.path(), model(), Dataset::open(files.path()).unwrap(), 7)
    };
    assert!(matches!(open("a b"), Err(NextTokenError::TooShort)));
    assert!(open(&"a ".repeat(20)).is_ok());
}

#[test]
fn prefix_and_next_token_start_the_text() {
    let (model, mut draws, text) = (model(), Draws::new(1), "The ferry leaves at half past seven.");
    for _ in 0..50 {
        let TextPrefix { text: before, truth } =
            draw_prefix(&model, text, &mut draws).unwrap().unwrap();
        assert!(text.starts_with(&format!("{before}{truth}")), "{before}: {truth}");
        assert!(
            model.vocabulary().encode(&before).unwrap().len() >= MIN_CONTEXT_TOKENS,
            "{before}"
        );
    }
}
