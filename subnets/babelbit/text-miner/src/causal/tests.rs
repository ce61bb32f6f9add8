use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use taonet_lm::LoadOptions;

use super::*;
use crate::ngram::Trainer;

fn vectors(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/lm").join(name)
}

/// Returns a GPT-2 model with random weights.
pub(super) fn tiny_model() -> CausalModel {
    CausalModel::open(&vectors("gpt2"), LoadOptions::default()).unwrap()
}

/// Limits with a deadline that no prediction reaches, even on a busy machine.
fn long_deadline() -> Limits {
    Limits { deadline: Duration::from_mins(5), ..Limits::default() }
}

fn start(limits: Limits, fallback: bool) -> Causal {
    start_with(limits, CompletionOptions::default(), fallback)
}

fn start_with(limits: Limits, options: CompletionOptions, fallback: bool) -> Causal {
    let mut trainer = Trainer::new(3).unwrap();
    trainer.add("How are you doing today my friend").unwrap();
    let ngram = fallback.then(|| Arc::new(trainer.finish(|_| ()).unwrap()));
    Causal::start("tiny", tiny_model(), limits, options, ngram).unwrap()
}

#[tokio::test]
async fn predictions_do_not_depend_on_earlier_requests() {
    let texts = [
        "How are",
        "The ferry",
        "How are you",
        "The ferry leaves",
        "How",
        "",
        "The ferry leaves at",
        "How are you",
    ];
    let model = start(long_deadline(), false);
    for text in texts {
        let expected = start(long_deadline(), false).predict(text, "Hello. EOF Hi.").await;
        assert!(expected.starts_with(text), "{expected}");
        assert_eq!(model.predict(text, "Hello. EOF Hi.").await, expected, "{text:?}");
    }
}

/// Qwen has no token that begins a text.
#[tokio::test]
async fn empty_prompt_without_bos_token_is_completed() {
    let model = CausalModel::open(&vectors("qwen2"), LoadOptions::default()).unwrap();
    assert_eq!(model.vocabulary().bos_token(), None);
    let model =
        Causal::start("tiny", model, long_deadline(), CompletionOptions::default(), None).unwrap();
    let (_, outcome) = model.complete(String::new()).await;
    assert_eq!(outcome, Outcome::Complete);
}

#[tokio::test]
async fn concurrent_predictions_equal_sequential_ones() {
    let model = Arc::new(start(Limits { sessions: 2, ..long_deadline() }, false));
    let tasks: Vec<_> = (0..24)
        .map(|number| {
            let model = Arc::clone(&model);
            tokio::spawn(async move { model.predict(&format!("It is {}", number % 3), "").await })
        })
        .collect();
    for (number, task) in tasks.into_iter().enumerate() {
        let expected =
            start(long_deadline(), false).predict(&format!("It is {}", number % 3), "").await;
        assert_eq!(task.await.unwrap(), expected, "{number}");
    }
}

#[tokio::test]
async fn number_of_added_tokens_is_limited() {
    let full_prediction = start(long_deadline(), false).predict("How are", "").await;
    let mut last = "How are".len();
    for tokens in [1, 4, 64] {
        let options = CompletionOptions {
            max_tokens: NonZeroU32::new(tokens).unwrap(),
            ..CompletionOptions::default()
        };
        let predicted = start_with(long_deadline(), options, false).predict("How are", "").await;
        assert!(
            predicted.len() >= last && full_prediction.starts_with(&predicted),
            "{tokens}: {predicted:?}, {full_prediction:?}"
        );
        assert_eq!(
            predicted == full_prediction,
            tokens == 64,
            "{tokens}: {predicted:?}, {full_prediction:?}"
        );
        last = predicted.len();
    }
}

#[tokio::test]
async fn late_prediction_uses_the_fallback() {
    let limits = Limits { deadline: Duration::ZERO, ..Limits::default() };
    assert_eq!(
        start(limits, true).predict("How are", "").await,
        "How are you doing today my friend"
    );
    assert_eq!(start(limits, false).predict("How are", "").await, "");
}

#[tokio::test]
async fn panicked_model_is_reported_as_not_loaded() {
    let mut trainer = Trainer::new(3).unwrap();
    trainer.add("How are you").unwrap();
    let fallback = Some(Arc::new(trainer.finish(|_| ()).unwrap()));
    let limits = long_deadline();
    let model = Causal::spawn(
        "m".to_owned(),
        limits.deadline,
        CompletionOptions::default(),
        fallback,
        |mut inbox| {
            let _job = inbox.blocking_recv();
            panic!("expected by the test");
        },
    );
    let model = model.unwrap();
    assert!(model.is_loaded());
    // The thread panics during the first prediction; the second finds its queue closed.
    for _ in 0..2 {
        assert_eq!(model.complete("How are".to_owned()).await.1, Outcome::Stopped);
        assert_eq!(model.predict("How are", "").await, "How are you");
    }
    assert!(!model.is_loaded());
}

#[tokio::test]
async fn full_queue_is_reported_as_overload() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let model = Causal::spawn(
        "m".to_owned(),
        long_deadline().deadline,
        CompletionOptions::default(),
        None,
        move |inbox| {
            let _ = wait.recv();
            drop(inbox);
        },
    );
    let model = Arc::new(model.unwrap());
    let tasks: Vec<_> = (0..QUEUE_CAPACITY)
        .map(|_| {
            let model = Arc::clone(&model);
            tokio::spawn(async move { model.complete("How".to_owned()).await.1 })
        })
        .collect();
    while model.jobs.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(model.complete("How".to_owned()).await.1, Outcome::Overloaded);
    assert!(model.is_loaded());
    release.send(()).unwrap();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Outcome::Stopped);
    }
}

#[tokio::test]
async fn long_texts_and_any_characters_are_completed() {
    let model = start(long_deadline(), false);
    for text in ["word ".repeat(20_000), "\u{fffd}\0\u{e9}\u{2603}".repeat(300), "\n\n".to_owned()]
    {
        let predicted = model.predict(&text, &format!("{text} EOF {text}")).await;
        assert!(predicted.starts_with(&text), "{predicted:.80}");
    }
}

#[test]
fn long_prompt_is_truncated_at_its_start_in_blocks() {
    let tokens: Vec<u32> = (0..10_000).collect();
    // Room for 960 of 1 024 tokens, in pieces of 240.
    for (length, first, count) in [
        (0, None, 0),
        (960, Some(0), 960),
        (961, Some(240), 721),
        (1_200, Some(240), 960),
        (9_999, Some(9_120), 879),
    ] {
        let truncated = fit_to_context(&tokens[..length], 1_024, 64);
        assert_eq!((truncated.first().copied(), truncated.len()), (first, count), "{length}");
    }
    // Contexts smaller than an answer.
    assert_eq!(fit_to_context(&tokens, 10, 64).len(), 4);
    assert_eq!(fit_to_context(&tokens[..1], 1, 64).len(), 1);
}
