//! Benchmark of continuous batching against sequential generation: `cargo bench -p taonet-lm`.
//! Prints tokens per second and their ratio, and fails if the tokens differ or the ratio is below
//! the goal.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use taonet_lm::{Engine, EngineEvent, EngineSettings, LanguageModel, Sampling};

const STREAMS: usize = 16;
const TOKENS: usize = 64;
/// Required ratio of the tokens per second of concurrent streams to those of one after the other.
const MIN_SPEEDUP: f64 = 2.5;

fn sampling(number: usize) -> Sampling {
    Sampling { seed: number as u64, top_k: 5, max_tokens: TOKENS, ..Sampling::default() }
}

fn prompt(model: &LanguageModel, number: usize) -> Vec<u32> {
    model.completion_prompt(&format!("Tell me about number {number}.")).unwrap_or_default()
}

fn generate_alone(model: &LanguageModel, number: usize) -> Vec<u32> {
    model
        .generate(prompt(model, number), sampling(number))
        .filter_map(|step| step.ok().map(|step| step.token))
        .collect()
}

fn generate_batched(model: &Arc<LanguageModel>) -> Option<Vec<Vec<u32>>> {
    let engine = Engine::start(Arc::clone(model), EngineSettings::default()).ok()?;
    let answers: Vec<_> = (0..STREAMS)
        .map(|number| engine.submit(prompt(model, number), sampling(number)).ok())
        .collect::<Option<_>>()?;
    // One client per answer: an answer without a reader would pause.
    let clients: Vec<_> = answers
        .into_iter()
        .map(|mut events| {
            std::thread::spawn(move || {
                let mut tokens = Vec::new();
                while let Some(EngineEvent::Step(step)) = events.blocking_recv() {
                    tokens.push(step.token);
                }
                tokens
            })
        })
        .collect();
    clients.into_iter().map(|client| client.join().ok()).collect()
}

#[expect(clippy::print_stdout, reason = "the benchmark prints its results")]
fn main() -> ExitCode {
    let mut has_missed = false;
    for (name, model) in [
        ("demonstration, 4 layers of 96", LanguageModel::random("small", 4, 1)),
        ("8 layers of 576", LanguageModel::random_sized("medium", 8, 576, 1)),
    ] {
        let Ok(model) = model.map(Arc::new) else { return ExitCode::FAILURE };
        let start = Instant::now();
        let each: Vec<_> = (0..STREAMS).map(|number| generate_alone(&model, number)).collect();
        let one_by_one = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let batched = generate_batched(&model);
        let batched_time = start.elapsed().as_secs_f64();
        if batched.as_ref() != Some(&each) {
            println!("{name}: the tokens differ");
            return ExitCode::FAILURE;
        }
        let tokens = each.iter().map(Vec::len).sum::<usize>() as f64;
        println!(
            "{name}: {:.0} tokens/s one by one, {:.0} tokens/s in {STREAMS} streams, ratio {:.2}",
            tokens / one_by_one,
            tokens / batched_time,
            one_by_one / batched_time,
        );
        if one_by_one / batched_time < MIN_SPEEDUP {
            println!("{name}: missed the ratio of {MIN_SPEEDUP}");
            has_missed = true;
        }
    }
    if has_missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
