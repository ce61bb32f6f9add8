//! `bb align`: word timings of a challenge's reference texts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use taonet_babelbit_challenges::Challenge;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{error_text, file_error_document};
use taonet_cli_models::voice::{Speech, VoiceName, WORDS_PER_MINUTE};
use taonet_cli_models::{engines, settings};
use taonet_primitives::{Word, bytes_without_bom, counted};
use taonet_service::{Access, atomic_write};
use taonet_speech::{CtcRecognizer, resample_for_recognition};
use taonet_whisper::{Model, language_code};

use crate::challenge;

/// Synthesise each reference text and write its word timings into the file
#[derive(Debug, Args)]
pub struct AlignArgs {
    /// Challenge files; subnets/babelbit/challenges/README.md describes the format
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Voice of the reference speech: of espeak-ng, or piper:FILE.onnx|MODEL (neural)
    #[arg(long, default_value = "en-gb")]
    voice: VoiceName,
    /// Speaking rate, in words per minute: 80 to 450
    #[arg(long, default_value_t = 138, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u16).range(WORDS_PER_MINUTE))]
    words_per_minute: u16,
}

/// Aligns each file. With a single file, its error is the error of the command.
pub(crate) fn run(args: &AlignArgs, context: &Context) -> anyhow::Result<()> {
    let models_dir = settings::load_only(&["BB_MODELS_DIR"])?.models_dir;
    let speech = args.voice.load_speech(args.words_per_minute, models_dir.clone())?;
    let aligner = if args.voice.is_neural() {
        Aligner::Whisper(engines::demo_weights(models_dir, Some(", to time the words"), context)?)
    } else {
        Aligner::Embedded(Box::new(CtcRecognizer::embedded()?))
    };
    let (mut documents, mut failures) = (Vec::new(), 0);
    for file in &args.files {
        let name = file.display().to_string();
        match align(file, &speech, &aligner) {
            Ok(words) => {
                context.print_notice(&format!("{name}: {} aligned", counted(words, "word")));
                documents.push(json!({ "file": name, "words": words }));
            }
            Err(error) if args.files.len() == 1 => return Err(error),
            Err(error) => {
                failures += 1;
                if context.json {
                    documents.push(file_error_document(file, &error));
                } else {
                    context.print_notice(&error_text(&error));
                }
            }
        }
    }
    if context.json {
        context.print_json(&documents)?;
    }
    if failures > 0 {
        bail!("{failures} of {} could not be aligned", counted(args.files.len(), "file"));
    }
    Ok(())
}

/// A recogniser that aligns a known text with its speech.
enum Aligner {
    /// The test double that is built into the program. It understands espeak-ng only: in the speech
    /// of a neural voice, it would find plausible but wrong times, without an error.
    Embedded(Box<CtcRecognizer>),
    Whisper(Arc<Model>),
}

impl Aligner {
    fn time_words(
        &self,
        samples: &[f32],
        language: &str,
        words: &[&str],
    ) -> anyhow::Result<Vec<Word>> {
        Ok(match self {
            Self::Embedded(recognizer) => recognizer.time_words(samples, words)?,
            Self::Whisper(model) => model.time_words(samples, language, words)?,
        })
    }
}

/// Writes the word timings of the references into a challenge file, and returns the number of
/// words.
fn align(file: &Path, speech: &Speech, aligner: &Aligner) -> anyhow::Result<usize> {
    let challenge = challenge::load(file)?;
    let result = time_reference_words(&challenge, speech, aligner)
        .and_then(|references| write_word_timings(file, &references));
    result.with_context(|| format!("cannot align {}", file.display()))
}

/// Synthesises the reference of each utterance, and returns its word timings.
fn time_reference_words(
    challenge: &Challenge,
    speech: &Speech,
    aligner: &Aligner,
) -> anyhow::Result<Vec<Vec<Word>>> {
    let language = challenge.target_language.as_str();
    let language = language_code(language).unwrap_or(language);
    let mut references = Vec::with_capacity(challenge.utterances.len());
    for (index, utterance) in challenge.utterances.iter().enumerate() {
        let text = &utterance.target.text;
        let samples = resample_for_recognition(&speech.synthesizer.speak(text, &speech.voice)?);
        let words = aligner
            .time_words(&samples, language, &text.split_whitespace().collect::<Vec<_>>())
            .with_context(|| format!("utterances[{index}].target.text"))?;
        references.push(words);
    }
    Ok(references)
}

/// Replaces the words of each reference in a challenge file, keeps everything else, and returns the
/// number of words.
fn write_word_timings(file: &Path, references: &[Vec<Word>]) -> anyhow::Result<usize> {
    let mut document: Value = serde_json::from_slice(bytes_without_bom(&std::fs::read(file)?))?;
    let utterances = document.get_mut("utterances").and_then(Value::as_array_mut);
    for (utterance, words) in utterances.into_iter().flatten().zip(references) {
        if let Some(target) = utterance.get_mut("target").and_then(Value::as_object_mut) {
            target.insert("words".to_owned(), json!(words));
        }
    }
    let text = serde_json::to_string_pretty(&document)?;
    atomic_write(file, format!("{text}\n").as_bytes(), Access::Everyone)?;
    Ok(references.iter().map(Vec::len).sum())
}
