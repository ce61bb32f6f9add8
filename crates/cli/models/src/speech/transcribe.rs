//! `tao speech transcribe`: the transcripts of recordings, or their English translations.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{error_text, file_error_document};
use taonet_primitives::{Transcript, counted};
use taonet_speech::{Recognizer, check_recording, resample_for_recognition};
use taonet_whisper::SpeechTask;

use super::read_wav;
use crate::engines;
use crate::language::SpokenLanguage;
use crate::settings;

/// Arguments of `tao speech transcribe`
#[derive(Debug, Args)]
pub struct TranscribeArgs {
    /// WAV files to transcribe
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Text to print: the words in the language spoken, or their English translation
    #[arg(long, value_enum, default_value_t = Task::Transcribe)]
    task: Task,
    /// Language of the recordings: a code such as fr, or auto (detected in each) [default: auto]
    #[arg(long, value_name = "CODE")]
    language: Option<SpokenLanguage>,
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

/// Runs `tao speech transcribe`.
pub(super) fn run(args: &TranscribeArgs, context: &Context) -> anyhow::Result<()> {
    let mut config = settings::load_only(&["BB_AUDIO_SCORING_STT_MODEL", "BB_MODELS_DIR"])?;
    config.recognizer = args.stt_model.clone().or(config.recognizer);
    let language = args.language.and_then(SpokenLanguage::code);
    let recognizer = engines::transcribing_recognizer(&config, language, args.task.into())?;
    transcribe_files(&args.files, &*recognizer, context)
}

/// Prints the transcript of each file, or why it has none. With a single file, its error is the
/// error of the command.
fn transcribe_files(
    files: &[PathBuf],
    recognizer: &dyn Recognizer,
    context: &Context,
) -> anyhow::Result<()> {
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = recognizer.concurrency().unwrap_or(cores);
    let (mut documents, mut failures) = (Vec::new(), 0);
    map_in_order(
        files,
        threads,
        |file| transcribe_file(file, recognizer, context),
        |file, result| {
            failures += usize::from(result.is_err());
            match result {
                Err(error) if files.len() == 1 => return Err(error),
                result if context.json => documents.push(document(file, result)),
                Ok(transcript) => {
                    context.print(&format!("{}: {}", file.display(), transcript.text))?;
                }
                Err(error) => context.print_notice(&error_text(&error)),
            }
            Ok(())
        },
    )?;
    if context.json {
        context.print_json(&documents)?;
    }
    if failures > 0 {
        bail!("{failures} of {} could not be transcribed", counted(files.len(), "file"));
    }
    Ok(())
}

/// Returns the JSON entry of a file: its transcript or its error.
fn document(file: &Path, result: anyhow::Result<Transcript>) -> Value {
    match result {
        Ok(transcript) => json!({
            "file": file.display().to_string(),
            "text": transcript.text,
            "words": transcript.words,
            "detected_language": transcript.detected_language,
        }),
        Err(error) => file_error_document(file, &error),
    }
}

fn transcribe_file(
    file: &Path,
    recognizer: &dyn Recognizer,
    context: &Context,
) -> anyhow::Result<Transcript> {
    let pcm = read_wav(file, context, |header| Ok(check_recording(header)?))?.pcm;
    let recognition = recognizer.recognize(&resample_for_recognition(&pcm));
    Ok(recognition.with_context(|| format!("cannot transcribe {}", file.display()))?.transcript)
}

/// Processes items concurrently, on at most this many threads, and passes the results to `consume`
/// in the order of the items, each as soon as it and those before it are ready. Stops at the first
/// error of `consume`.
fn map_in_order<I: Sync, T: Send>(
    items: &[I],
    threads: NonZeroUsize,
    process: impl Fn(&I) -> T + Sync,
    mut consume: impl FnMut(&I, T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, results) = sync_channel(0);
        for _ in 0..threads.get().min(items.len()) {
            let (sender, next, process) = (sender.clone(), &next, &process);
            scope.spawn(move || {
                while let Some((index, item)) = take_next(items, next) {
                    // Nobody receives results after an error of `consume`.
                    if sender.send((index, process(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut pending_results = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let result = loop {
                if let Some(result) = pending_results.remove(&index) {
                    break result;
                }
                // A panicked thread sends no result, which closes the channel.
                let (result_index, result) = results.recv().context("a thread has panicked")?;
                pending_results.insert(result_index, result);
            };
            consume(item, result)?;
        }
        Ok(())
    })
}

/// Takes the next item that no thread has taken yet, with its index.
fn take_next<'a, I>(items: &'a [I], next: &AtomicUsize) -> Option<(usize, &'a I)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    items.get(index).map(|item| (index, item))
}

#[cfg(test)]
mod tests;
