//! Speed of a language model that reads a prompt and generates tokens: `decode MODEL [BITS]`.
//!
//! MODEL is a directory or a GGUF file, BITS 8 or 4. Prints one JSON document: tokens per second,
//! seconds for the next word with a kept cache, the logits after the prompt, and the generated
//! tokens. benches/lm/compare runs it beside torch.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use taonet_lm::{Bits, CausalModel, KvCache, LoadOptions};

/// Number of tokens of the prompt and of the answer.
const PROMPT_TOKENS: u32 = 128;
const ANSWER_TOKENS: usize = 64;
/// Number of answers; the median counts.
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo test` and `cargo bench` pass options of the test harness.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let Some(path) = arguments.next() else { return Ok(()) };
    let bits = match arguments.next().as_deref() {
        Some("8") => Some(Bits::Eight),
        Some("4") => Some(Bits::Four),
        _ => None,
    };
    let start = Instant::now();
    let model =
        CausalModel::open(Path::new(&path), LoadOptions { bits, ..LoadOptions::default() })?;
    let load = start.elapsed();
    let prompt: Vec<u32> = (0..PROMPT_TOKENS).map(|number| number * 7 % 300 + 1).collect();
    let (mut prompt_seconds, mut rates, mut next_word_seconds) =
        (Vec::new(), Vec::new(), Vec::new());
    let (mut logits, mut greedy) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut cache = KvCache::default();
        let start = Instant::now();
        logits = model.next(&prompt, &mut cache)?;
        prompt_seconds.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let mut next = logits.clone();
        greedy.clear();
        for _ in 0..ANSWER_TOKENS {
            let token = argmax(&next);
            greedy.push(token);
            next = model.next(&[token], &mut cache)?;
        }
        rates.push(ANSWER_TOKENS as f64 / start.elapsed().as_secs_f64());
        // The next word has two tokens, and replaces what was generated.
        cache.truncate(prompt.len());
        let start = Instant::now();
        model.next(&[5, 6], &mut cache)?;
        next_word_seconds.push(start.elapsed().as_secs_f64());
    }
    let document = json!({
        "load_seconds": load.as_secs_f64(),
        "prompt_tokens_per_second": f64::from(PROMPT_TOKENS) / median(&mut prompt_seconds),
        "tokens_per_second": median(&mut rates),
        "next_word_seconds": median(&mut next_word_seconds),
        "logits": logits,
        "greedy": greedy,
    });
    writeln!(std::io::stdout(), "{document}")?;
    Ok(())
}

fn argmax(logits: &[f32]) -> u32 {
    (0..).zip(logits).max_by(|one, other| one.1.total_cmp(other.1)).map_or(0, |(token, _)| token)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
