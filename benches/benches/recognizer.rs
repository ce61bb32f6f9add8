//! Load time and speed of the embedded recogniser:
//! `taskset -c 0 cargo bench -p taonet-benches --bench recognizer`.
//!
//! Each figure is the best of nine runs over the recordings in `vectors/speech`. Without `taskset`,
//! a recognition may use more than one core.
#![allow(clippy::print_stdout, reason = "the figures are the output")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use taonet_speech::{CtcRecognizer, Recognizer, Wav, resample_for_recognition};

const ROUNDS: usize = 9;

fn main() -> Result<()> {
    let (load, recognizer) = min_duration(|| Ok(CtcRecognizer::embedded()?))?;
    println!("load                    {:8.1} ms (less than 100 ms)", millis(load));

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/speech");
    let mut recordings = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wav") {
            let wav =
                Wav::decode(&std::fs::read(&path)?).with_context(|| path.display().to_string())?;
            recordings.push(resample_for_recognition(&wav.pcm));
        }
    }
    let samples: usize = recordings.iter().map(Vec::len).sum();
    let seconds = samples as f64 / 16_000.0;
    let (time, ()) = min_duration(|| {
        recordings.iter().try_for_each(|samples| Ok(recognizer.recognize(samples).map(drop)?))
    })?;
    println!(
        "{:2} utterances, {seconds:5.1} s {:8.1} ms, {:.0} times real time (at least 100)",
        recordings.len(),
        millis(time),
        seconds / time.as_secs_f64()
    );

    let first = recordings.first().context("no recordings")?;
    for seconds in [1, 2, 3] {
        let part = first.get(..seconds * 16_000).context("the recording is too short")?;
        let (time, _) = min_duration(|| Ok(recognizer.recognize(part)?))?;
        println!("{seconds} s of it              {:8.1} ms", millis(time));
    }
    let long: Vec<f32> = recordings.concat().into_iter().cycle().take(600 * 16_000).collect();
    let (time, _) = min_duration(|| Ok(recognizer.recognize(&long)?))?;
    println!(
        "10 minutes at once      {:8.1} ms, {:.0} times real time",
        millis(time),
        600.0 / time.as_secs_f64()
    );
    Ok(())
}

/// Returns the shortest duration of several runs, and the last result.
fn min_duration<T>(mut work: impl FnMut() -> Result<T>) -> Result<(Duration, T)> {
    let mut time_run = || {
        let started = Instant::now();
        work().map(|result| (started.elapsed(), result))
    };
    let mut shortest = time_run()?;
    for _ in 1..ROUNDS {
        let (time, result) = time_run()?;
        shortest = (shortest.0.min(time), result);
    }
    Ok(shortest)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
