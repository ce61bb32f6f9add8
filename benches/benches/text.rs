//! Scoring of the text contest: utterances per second on one core without sentence vectors, and the
//! time for a challenge of 256 miners × 10 dialogues with vectors, whose predictions differ until
//! the last word is revealed.
//!
//! Fails if either misses its goal: `cargo bench -p taonet-benches --bench text`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use anyhow::ensure;
use serde_json::json;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::text::{
    Event, MAX_ABSENT_STEPS, VectorOptions, score_dialogue, utterances,
};
use taonet_babelbit_text_runner::score_logs;
use taonet_benches::{peak_memory, rate};
use taonet_speech::MiniLm;
use taonet_speech::models::{ALL_MINILM_L6_V2, ModelStore};

const MINERS: usize = 256;
const DIALOGUES: usize = 10;
const UTTERANCES: usize = 5;
const WORDS: usize = 8;
/// The required rate on one core without vectors, in utterances per second.
const MIN_UTTERANCES_PER_SECOND: f64 = 20_000.0;
/// The maximum time for the challenge on two cores with vectors, in seconds.
const LIMIT: f64 = 60.0;

/// A common word.
fn word(number: usize) -> &'static str {
    const WORDS: [&str; 32] = [
        "the", "ferry", "leaves", "at", "noon", "and", "we", "would", "like", "two", "more",
        "tickets", "please", "is", "this", "seat", "free", "you", "can", "pay", "by", "card",
        "where", "are", "my", "keys", "on", "table", "it", "was", "nice", "today",
    ];
    WORDS.get(number % WORDS.len()).copied().unwrap_or_default()
}

fn true_words(dialogue: usize, utterance: usize) -> Vec<&'static str> {
    (0..WORDS).map(|index| word(dialogue * 7 + utterance * 5 + index * (utterance + 1))).collect()
}

/// A miner's log of a dialogue: each prediction has the revealed words, then words of the miner's
/// own.
fn log(miner: usize, dialogue: usize) -> Vec<Event> {
    let event = |kind: &str, utterance: usize| Event {
        event: Some(kind.to_owned()),
        utterance_index: i64::try_from(utterance).ok(),
        step: None,
        prediction: None,
        ground_truth: None,
        challenge_type: None,
    };
    let mut events = Vec::new();
    for utterance in 0..UTTERANCES {
        let truth = true_words(dialogue, utterance);
        for step in 0..WORDS {
            let revealed = truth.iter().take(step + 1).copied();
            let placeholder = (step + 1..WORDS)
                .map(|index| word(if index % 2 == 0 { miner / 32 } else { miner } + index));
            let prediction = Some(revealed.chain(placeholder).collect::<Vec<_>>().join(" "));
            events.push(Event {
                step: Some(json!(step)),
                prediction,
                ..event("predicted", utterance)
            });
        }
        events.push(Event {
            ground_truth: Some(truth.join(" ")),
            ..event("utterance_complete", utterance)
        });
    }
    events
}

fn main() -> anyhow::Result<()> {
    let events = log(1, 1);
    let dialogues = rate(|| {
        let mut absent_steps = MAX_ABSENT_STEPS;
        utterances(&events, &mut absent_steps)
            .map(|utterances| score_dialogue(utterances, None, 1.0, Rules::Reference))
    });
    let utterances_per_second = dialogues * UTTERANCES as f64;
    println!(
        "without vectors: {utterances_per_second:.0} utterances a second on one core, {:.1} x the \
         floor of {MIN_UTTERANCES_PER_SECOND}",
        utterances_per_second / MIN_UTTERANCES_PER_SECOND
    );

    let store = ModelStore::new(std::env::var_os("BB_MODELS_DIR").map(Into::into));
    let embedder = MiniLm::load(&store.locate(&ALL_MINILM_L6_V2)?)?;
    let start = Instant::now();
    for dialogue in 0..DIALOGUES {
        let logs: Vec<_> = (0..MINERS).map(|miner| log(miner, dialogue)).collect();
        black_box(score_logs(
            "dialogue",
            &logs,
            &embedder,
            VectorOptions::default(),
            Rules::Reference,
        )?);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "with vectors: {MINERS} miners × {DIALOGUES} dialogues of {UTTERANCES} utterances with {WORDS} words: \
         {seconds:.1} s (at most {LIMIT} s), peak memory {} MB",
        peak_memory().unwrap_or_default()
    );
    ensure!(
        utterances_per_second >= MIN_UTTERANCES_PER_SECOND,
        "without vectors: {utterances_per_second:.0} utterances a second, fewer than {MIN_UTTERANCES_PER_SECOND}"
    );
    ensure!(seconds <= LIMIT, "with vectors: {seconds:.1} s, more than {LIMIT} s");
    Ok(())
}
