//! The `tao speech` commands.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::matrix;
use taonet_cli_base::tables::similarities;
use taonet_primitives::{SampleRate, Transcript, counted};
use taonet_service::{Access, atomic_write};
use taonet_speech::{
    Pcm, Recognizer, SampleFormat, Wav, WavError, WavHeader, check_recording, resample_endpoints,
    resample_for_recognition,
};
use taonet_whisper::SpeechTask;

use crate::engines;
use crate::settings;
use crate::voice::VoiceName;

/// The commands of `tao speech`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Transcribe or translate WAV files, on all cores; results are in the order of the files
    Transcribe(Transcribe),
    /// Embed sentences and print the cosine similarity of each pair
    Embed {
        /// Sentences to embed
        #[arg(required = true)]
        texts: Vec<String>,
        /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
        #[arg(long, value_name = "DIR")]
        models: Option<PathBuf>,
    },
    /// Synthesise a text and write it to a WAV file
    Synthesize {
        /// Text to speak
        text: String,
        /// Output WAV file, with 16-bit samples
        output: PathBuf,
        /// Voice: of espeak-ng, or piper:FILE.onnx|MODEL (neural)
        #[arg(long, default_value = "en-gb")]
        voice: VoiceName,
        /// Speaking rate, in words per minute: 80 to 450
        #[arg(long, default_value_t = 150)]
        words_per_minute: u16,
        /// Output sample rate, in Hz [default: that of the voice]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1_000..=768_000))]
        rate: Option<u32>,
    },
    /// Resample a WAV file
    Resample {
        /// Input WAV file
        input: PathBuf,
        /// Output WAV file, with 16-bit samples
        output: PathBuf,
        /// Output sample rate, in Hz
        #[arg(long, default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(1_000..=768_000))]
        rate: u32,
        /// Resample for recognisers: mono, 16 kHz
        #[arg(long, conflicts_with = "rate")]
        for_recognition: bool,
    },
}

/// Arguments of `tao speech transcribe`
#[derive(Debug, Args)]
pub struct Transcribe {
    /// WAV files to transcribe
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Text to print: the words in the language spoken, or their English translation
    #[arg(long, value_enum, default_value_t = Task::Transcribe)]
    task: Task,
    /// Language of the recordings, such as "fr" [default: detected in each]
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// Model name, or a model directory [env: BB_AUDIO_SCORING_STT_MODEL] [default: tiny-ctc, a
    /// test double]
    #[arg(long, value_name = "MODEL")]
    stt_model: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Task {
    Transcribe,
    Translate,
}

impl From<Task> for SpeechTask {
    fn from(task: Task) -> Self {
        match task {
            Task::Transcribe => Self::Transcribe,
            Task::Translate => Self::Translate,
        }
    }
}

/// Runs a command of `tao speech`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Transcribe(args) => transcribe(args, context),
        Command::Embed { texts, models } => embed(texts, models.clone(), context),
        Command::Synthesize { text, output, voice, words_per_minute, rate } => {
            synthesize(text, output, voice, *words_per_minute, *rate, context)
        }
        Command::Resample { input, output, rate, for_recognition } => {
            resample(input, output, *rate, *for_recognition, context)
        }
    }
}

fn transcribe(args: &Transcribe, context: &Context) -> anyhow::Result<()> {
    let mut config = settings::load_only(&["BB_AUDIO_SCORING_STT_MODEL", "BB_MODELS_DIR"])?;
    config.recognizer = args.stt_model.clone().or(config.recognizer);
    let recognizer =
        engines::transcribing_recognizer(&config, args.language.as_deref(), args.task.into())?;
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = recognizer.concurrency().unwrap_or(cores);
    let mut documents = Vec::new();
    map_in_order(
        &args.files,
        threads,
        |file| transcribe_file(file, &*recognizer),
        |file, transcript| {
            if context.json {
                documents.push(json!({
                    "file": file,
                    "text": transcript.text,
                    "words": transcript.words,
                    "detected_language": transcript.detected_language,
                }));
                return Ok(());
            }
            context.print(&format!("{}: {}", file.display(), transcript.text))
        },
    )?;
    if context.json { context.print_json(&documents) } else { Ok(()) }
}

fn transcribe_file(file: &Path, recognizer: &dyn Recognizer) -> anyhow::Result<Transcript> {
    let pcm = read_wav(file, |header| Ok(check_recording(header)?))?.pcm;
    let recognition = recognizer.recognize(&resample_for_recognition(&pcm));
    Ok(recognition.with_context(|| format!("cannot transcribe {}", file.display()))?.transcript)
}

/// Processes items concurrently, on at most this many threads, and passes the results to `consume`
/// in the order of the items, each as soon as it and those before it are ready. Stops at the first
/// error in this order.
fn map_in_order<I: Sync, T: Send>(
    items: &[I],
    threads: NonZeroUsize,
    process: impl Fn(&I) -> anyhow::Result<T> + Sync,
    mut consume: impl FnMut(&I, T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, results) = sync_channel(0);
        for _ in 0..threads.get().min(items.len()) {
            let (sender, next, process) = (sender.clone(), &next, &process);
            scope.spawn(move || {
                while let Some((index, item)) = take_next(items, next) {
                    // Nobody receives results after an error.
                    if sender.send((index, process(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut waiting = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let result = loop {
                if let Some(result) = waiting.remove(&index) {
                    break result;
                }
                // A thread that panics leaves its result out.
                let (ready, result) = results.recv().context("a thread has panicked")?;
                waiting.insert(ready, result);
            };
            consume(item, result?)?;
        }
        Ok(())
    })
}

/// Takes the next item that no thread has taken yet, with its index.
fn take_next<'a, I>(items: &'a [I], next: &AtomicUsize) -> Option<(usize, &'a I)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    items.get(index).map(|item| (index, item))
}

fn embed(texts: &[String], models: Option<PathBuf>, context: &Context) -> anyhow::Result<()> {
    let config = settings::load_only(&["BB_AUDIO_SCORING_EMBEDDER", "BB_MODELS_DIR"])?;
    let embedder = engines::embedder(&config.embedder, models.or(config.models_dir), context)?;
    let vectors = embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
    if context.json {
        let documents: Vec<Value> = texts
            .iter()
            .zip(&vectors)
            .map(|(text, vector)| {
                let cosines: Vec<f32> =
                    vectors.iter().map(|other| vector.dot(other).clamp(-1.0, 1.0)).collect();
                json!({ "text": text, "embedding": &*vector.0, "cosines": cosines })
            })
            .collect();
        return context.print_json(&documents);
    }
    let mut rows = matrix(similarities(texts.len()));
    for (index, (text, vector)) in texts.iter().zip(&vectors).enumerate() {
        let cosines =
            vectors.iter().map(|other| format!("{:.3}", vector.dot(other).clamp(-1.0, 1.0)));
        rows.add_row(std::iter::once(format!("{} {text}", index + 1)).chain(cosines));
    }
    context.print(&rows.to_string())
}

fn synthesize(
    text: &str,
    output: &Path,
    voice: &VoiceName,
    words_per_minute: u16,
    rate: Option<u32>,
    context: &Context,
) -> anyhow::Result<()> {
    if !text.chars().any(char::is_alphanumeric) {
        return Err(ClassifiedError::usage(
            "the text has neither letters nor digits\nhint: pass a text that can be spoken",
        ));
    }
    let models = settings::load_only(&["BB_MODELS_DIR"])?.models_dir;
    let speech = voice.load_speech(words_per_minute, models)?;
    let pcm = speech.synthesizer.speak(text, &speech.voice)?;
    let rate = rate.map(SampleRate::new).transpose().context("--rate")?.unwrap_or(pcm.rate);
    write_wav(output, &resample_endpoints(&pcm, rate), context)
}

fn resample(
    input: &Path,
    output: &Path,
    rate: u32,
    for_recognition: bool,
    context: &Context,
) -> anyhow::Result<()> {
    let rate = if for_recognition {
        SampleRate::HZ_16K
    } else {
        SampleRate::new(rate).context("--rate")?
    };
    let wav = read_wav(input, |header| check_result(header, rate))?;
    let pcm = if for_recognition {
        Pcm::mono(resample_for_recognition(&wav.pcm), rate)
    } else {
        resample_endpoints(&wav.pcm, rate)
    };
    write_wav(output, &pcm, context)
}

/// Writes samples to a WAV file, and prints a summary.
fn write_wav(output: &Path, pcm: &Pcm, context: &Context) -> anyhow::Result<()> {
    let bytes = Wav::encode(pcm, SampleFormat::S16)?;
    atomic_write(output, &bytes, Access::Everyone)?;
    let summary = json!({ "file": output, "sample_rate_hz": pcm.rate, "channels": pcm.channels, "frames": pcm.frames() });
    if context.json {
        return context.print_json(&summary);
    }
    context.print(&format!(
        "{}: {} at {}",
        output.display(),
        counted(pcm.frames(), "frame"),
        pcm.rate
    ))
}

/// Rejects an output of more than 1 GiB of samples.
fn check_result(header: &WavHeader, rate: SampleRate) -> anyhow::Result<()> {
    const MAX_SAMPLES: f64 = (1_u32 << 28) as f64;
    let samples = header.duration().get() * f64::from(rate.hz()) * f64::from(header.channels);
    if samples > MAX_SAMPLES {
        bail!(
            "the output would have {samples:.0} samples at {rate}, more than {MAX_SAMPLES}\n\
             hint: choose a lower rate or a shorter recording"
        );
    }
    Ok(())
}

/// Reads a WAV file whose header passes `check`.
fn read_wav(
    file: &Path,
    check: impl FnOnce(&WavHeader) -> anyhow::Result<()>,
) -> anyhow::Result<Wav> {
    const MAX_BYTES: u64 = 1 << 30;
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.with_context(|| format!("cannot read {}", file.display()))?;
    if bytes.len() as u64 > MAX_BYTES {
        bail!("{} is larger than 1 GiB", file.display());
    }
    check(&WavHeader::read(&bytes).map_err(|error| recording_error(file, error))?)
        .with_context(|| format!("cannot use {}", file.display()))?;
    Wav::decode(&bytes).map_err(|error| recording_error(file, error))
}

fn recording_error(file: &Path, error: WavError) -> anyhow::Error {
    // Other errors are about WAV files.
    let hint = match error {
        WavError::Tag { .. } => "\nhint: convert the recording to a WAV file of 16-bit PCM",
        _ => "",
    };
    let message = format!("{} is not a supported WAV file{hint}", file.display());
    anyhow::Error::new(error).context(message)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    const THREE: NonZeroUsize = NonZeroUsize::new(3).unwrap();

    #[test]
    fn concurrent_results_keep_their_order() {
        // The first item finishes only after the two others have started.
        let barrier = Barrier::new(3);
        let mut consumed = Vec::new();
        let process = |item: &u32| {
            barrier.wait();
            Ok(item * 10)
        };
        map_in_order(&[1, 2, 3, 4, 5, 6], THREE, process, |item, result| {
            consumed.push((*item, result));
            Ok(())
        })
        .unwrap();
        assert_eq!(consumed, [(1, 10), (2, 20), (3, 30), (4, 40), (5, 50), (6, 60)]);
    }

    #[test]
    fn first_error_in_order_ends_the_work() {
        let mut consumed = Vec::new();
        let process = |item: &usize| if *item >= 2 { bail!("item {item}") } else { Ok(*item) };
        let items: Vec<usize> = (0..1_000).collect();
        let consume = |_: &usize, result| {
            consumed.push(result);
            Ok(())
        };
        let error = map_in_order(&items, THREE, process, consume).unwrap_err();
        assert_eq!((error.to_string(), consumed), ("item 2".to_owned(), vec![0, 1]));
    }

    #[test]
    fn empty_input_gives_no_results() {
        map_in_order(&[], THREE, |_: &u32| Ok(()), |_, ()| panic!("a result")).unwrap();
    }
}
