//! `bb align`: word timings of a challenge's reference texts.

use std::path::{Path, PathBuf};
use taonet_primitives::{bytes_without_bom, counted};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{Classified, Failure};
use taonet_cli_models::voice::VoiceName;
use taonet_speech::{CtcRecognizer, Espeak, Synthesizer, Voice, resample_for_recognition};

/// Synthesise each reference text and write its word timings into the file
#[derive(Debug, Args)]
pub struct AlignArgs {
    /// Challenge files; subnets/babelbit/challenges/README.md describes the format
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// espeak-ng voice of the reference speech
    #[arg(long, default_value = "en-gb")]
    voice: VoiceName,
    /// Speaking rate, in words per minute
    #[arg(long, default_value_t = 138)]
    words_per_minute: u16,
}

pub(crate) fn run(args: &AlignArgs, context: &Context) -> anyhow::Result<()> {
    // The embedded recogniser would find plausible but wrong times in the speech of a neural voice,
    // without an error.
    let VoiceName::Espeak(name) = &args.voice else {
        return Err(Classified::error(
            Failure::Usage,
            "the recogniser that times the words understands only espeak-ng\nhint: use a voice of espeak-ng, such as \
             --voice en-gb",
        ));
    };
    let synthesizer = Espeak::find()?;
    let recognizer = CtcRecognizer::embedded()?;
    let voice = Voice { name: name.clone(), words_per_minute: args.words_per_minute, pitch: 50 };
    for file in &args.files {
        let words = align(file, &synthesizer, &recognizer, &voice)
            .with_context(|| file.display().to_string())?;
        context.say(&format!("{}: {} aligned", file.display(), counted(words, "word")));
    }
    Ok(())
}

fn align(
    file: &Path,
    synthesizer: &Espeak,
    recognizer: &CtcRecognizer,
    voice: &Voice,
) -> anyhow::Result<usize> {
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
        let speech = resample_for_recognition(&synthesizer.speak(text, voice)?);
        let words = recognizer.time_words(&speech, &text.split_whitespace().collect::<Vec<_>>())?;
        count += words.len();
        target.insert("words".to_owned(), json!(words));
    }
    let text = serde_json::to_string_pretty(&challenge)?;
    taonet_service::atomic_write(
        file,
        format!("{text}\n").as_bytes(),
        taonet_service::Access::Everyone,
    )?;
    Ok(count)
}
