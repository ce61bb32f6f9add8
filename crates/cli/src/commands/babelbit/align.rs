//! `bb align`: word timings of a challenge's reference texts.

use std::path::{Path, PathBuf};
use taonet_primitives::{bytes_without_bom, counted};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use taonet_speech::{CtcRecognizer, resample_for_recognition};

use crate::context::Context;
use crate::settings;
use crate::voice::{Speech, VoiceName};

/// Synthesise each reference text and write its word timings into the file
#[derive(Debug, Args)]
pub(crate) struct AlignArgs {
    /// Challenge files; subnets/babelbit/challenges/README.md describes the format
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Voice of the reference speech: of espeak-ng, or piper:FILE.onnx|MODEL (neural)
    #[arg(long, default_value = "en-gb")]
    voice: VoiceName,
    /// Speaking rate, in words per minute
    #[arg(long, default_value_t = 138)]
    words_per_minute: u16,
}

pub(crate) fn run(args: &AlignArgs, context: &Context) -> anyhow::Result<()> {
    let models = settings::load_only(&["BB_MODELS_DIR"])?.models_dir;
    let speech = args.voice.load(args.words_per_minute, models)?;
    let recognizer = CtcRecognizer::embedded()?;
    for file in &args.files {
        let words = align(file, &speech, &recognizer).with_context(|| file.display().to_string())?;
        context.say(&format!("{}: {} aligned", file.display(), counted(words, "word")));
    }
    Ok(())
}

fn align(file: &Path, speech: &Speech, recognizer: &CtcRecognizer) -> anyhow::Result<usize> {
    let mut challenge: Value = serde_json::from_slice(bytes_without_bom(&std::fs::read(file)?))?;
    let Some(utterances) = challenge.get_mut("utterances").and_then(Value::as_array_mut) else {
        bail!("`utterances` is not an array");
    };
    let mut count = 0;
    for (index, utterance) in utterances.iter_mut().enumerate() {
        let Some(target) = utterance.get_mut("target").and_then(Value::as_object_mut) else {
            bail!("utterances[{index}].target is not an object");
        };
        let Some(text) = target.get("text").and_then(Value::as_str) else {
            bail!("utterances[{index}].target.text is not a string");
        };
        let samples = resample_for_recognition(&speech.synthesizer.speak(text, &speech.voice)?);
        let words = recognizer.time_words(&samples, &text.split_whitespace().collect::<Vec<_>>())?;
        count += words.len();
        target.insert("words".to_owned(), json!(words));
    }
    let text = serde_json::to_string_pretty(&challenge)?;
    taonet_service::atomic_write(file, format!("{text}\n").as_bytes(), taonet_service::Access::Everyone)?;
    Ok(count)
}
