//! Speed of the published neural voice on one core, as a multiple of real time. The exit code is 1
//! below the goal.
//!
//! `RTEN_NUM_THREADS=1 taskset -c 0 cargo bench -p taonet-benches --bench voice`, after
//! `scripts/models en_US-joe-medium`. Each figure is the best of several runs, from text to
//! samples.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use taonet_speech::models::{ModelSpec, ModelStore};
use taonet_speech::{Synthesizer as _, Voice};
use taonet_voice::PiperVoice;

const NAME: &str = "en_US-joe-medium";
/// Minimum speed, in seconds of speech per second.
const MIN_SPEED: f64 = 8.0;
const ROUNDS: usize = 5;

/// A short sentence, two longer ones, and one that is spoken in several phrases.
const TEXTS: [&str; 3] = [
    "Good morning.",
    "Well, thank you; that is very generous: we want to come! Do you agree?",
    "I have been in the same office for seven years now, and I really like my colleagues, but the work is boring, so I \
     want to leave my old job and come to work for your company, which is closer to my home and my family.",
];

fn main() -> Result<ExitCode> {
    ensure!(
        std::env::var("RTEN_NUM_THREADS").is_ok_and(|threads| threads == "1"),
        "the goal is for one core\nhint: set RTEN_NUM_THREADS=1"
    );
    let store = ModelStore::new(std::env::var_os("BB_MODELS_DIR").map(PathBuf::from));
    let directory = store.verify(ModelSpec::find(NAME)?)?;
    let started = Instant::now();
    let voice = PiperVoice::open(&directory.join(format!("{NAME}.onnx")))?;
    println!("loaded in {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let mut slowest = f64::INFINITY;
    for text in TEXTS {
        let (elapsed, seconds) = min_duration(&voice, text)?;
        let speed = seconds / elapsed;
        println!("{seconds:4.1} s of speech in {:5.0} ms: {speed:4.1} x real time", elapsed * 1e3);
        slowest = slowest.min(speed);
    }
    if slowest >= MIN_SPEED {
        return Ok(ExitCode::SUCCESS);
    }
    println!("missed: {slowest:.1} of {MIN_SPEED} x real time");
    Ok(ExitCode::FAILURE)
}

/// Returns the shortest time of several runs, and the duration of the speech, both in seconds.
fn min_duration(voice: &PiperVoice, text: &str) -> Result<(f64, f64)> {
    let settings = Voice { name: NAME.to_owned(), words_per_minute: 150, pitch: 50 };
    let (mut shortest, mut seconds) = (f64::INFINITY, 0.0);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let speech = voice.speak(text, &settings)?;
        shortest = shortest.min(started.elapsed().as_secs_f64());
        seconds = speech.duration().get();
    }
    Ok((shortest, seconds))
}
