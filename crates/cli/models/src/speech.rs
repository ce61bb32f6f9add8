//! The `tao speech` commands.

mod transcribe;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::matrix;
use taonet_cli_base::tables::similarities;
use taonet_primitives::{SampleRate, counted};
use taonet_service::{Access, atomic_write};
use taonet_speech::{
    Pcm, SampleFormat, Wav, WavError, WavHeader, resample_endpoints, resample_for_recognition,
};

use crate::engines;
use crate::settings;
use crate::voice::{VoiceName, WORDS_PER_MINUTE};

pub use self::transcribe::TranscribeArgs;

/// The commands of `tao speech`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Transcribe or translate WAV files, on all cores; results are in the order of the files
    Transcribe(TranscribeArgs),
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
        #[arg(allow_hyphen_values = true)]
        text: String,
        /// Output WAV file, with 16-bit samples
        output: PathBuf,
        /// Voice: of espeak-ng, or piper:FILE.onnx|MODEL (neural)
        #[arg(long, default_value = "en-gb")]
        voice: VoiceName,
        /// Speaking rate, in words per minute: 80 to 450
        #[arg(long, default_value_t = 150, allow_negative_numbers = true)]
        #[arg(value_parser = clap::value_parser!(u16).range(WORDS_PER_MINUTE))]
        words_per_minute: u16,
        /// Output sample rate, in Hz [default: that of the voice]
        #[arg(long, allow_negative_numbers = true)]
        #[arg(value_parser = clap::value_parser!(u32).range(1_000..=768_000))]
        rate: Option<u32>,
    },
    /// Resample a WAV file
    Resample {
        /// Input WAV file
        input: PathBuf,
        /// Output WAV file, with 16-bit samples
        output: PathBuf,
        /// Output sample rate, in Hz
        #[arg(long, default_value_t = 24_000, allow_negative_numbers = true)]
        #[arg(value_parser = clap::value_parser!(u32).range(1_000..=768_000))]
        rate: u32,
        /// Resample for recognisers: mono, 16 kHz
        #[arg(long, conflicts_with = "rate")]
        for_recognition: bool,
    },
}

/// Runs a command of `tao speech`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Transcribe(args) => transcribe::run(args, context),
        Command::Embed { texts, models } => embed(texts, models.clone(), context),
        Command::Synthesize { text, output, voice, words_per_minute, rate } => {
            synthesize(text, output, voice, *words_per_minute, *rate, context)
        }
        Command::Resample { input, output, rate, for_recognition } => {
            resample(input, output, *rate, *for_recognition, context)
        }
    }
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
    let wav = read_wav(input, context, |header| check_output_size(header, rate))?;
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
    let summary = json!({
        "file": output.display().to_string(),
        "sample_rate_hz": pcm.rate,
        "channels": pcm.channels,
        "frames": pcm.frames(),
    });
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
fn check_output_size(header: &WavHeader, rate: SampleRate) -> anyhow::Result<()> {
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

/// Reads a WAV file whose header passes `check`, and warns if it is truncated.
fn read_wav(
    file: &Path,
    context: &Context,
    check: impl FnOnce(&WavHeader) -> anyhow::Result<()>,
) -> anyhow::Result<Wav> {
    let result = File::open(file).and_then(|source| Ok((source.metadata()?.len(), source)));
    let (length, source) = result.with_context(|| format!("cannot read {}", file.display()))?;
    let bytes = read_recording(file, length, source)?;
    let header = WavHeader::read(&bytes).map_err(|error| recording_error(file, error))?;
    check(&header).with_context(|| format!("cannot use {}", file.display()))?;
    let wav = Wav::decode_finite(&bytes).map_err(|error| recording_error(file, error))?;
    if let Some(truncation) = truncation(&file.display().to_string(), header.missing_bytes) {
        context.print_notice(&format!("warning: {}", printable(&truncation)));
    }
    Ok(wav)
}

/// Returns the warning that a recording is truncated; `None` if it lacks no bytes of audio.
pub fn truncation(recording: &str, missing_bytes: usize) -> Option<String> {
    let missing = counted(missing_bytes, "byte");
    (missing_bytes > 0).then(|| format!("{recording} is truncated: it lacks {missing} of audio"))
}

/// Reads a recording: only its first bytes, unless they are those of a WAV file. `length` is the
/// size of the file, which is 0 for devices and pipes.
fn read_recording(file: &Path, length: u64, mut source: impl Read) -> anyhow::Result<Vec<u8>> {
    /// RIFF id, RIFF length and WAVE id.
    const TAG_BYTES: u64 = 12;
    const MAX_BYTES: u64 = 1 << 30;
    let cannot_read = || format!("cannot read {}", file.display());
    let mut bytes = Vec::new();
    source.by_ref().take(TAG_BYTES).read_to_end(&mut bytes).with_context(cannot_read)?;
    if let Err(error @ WavError::Tag { .. }) = WavHeader::read(&bytes) {
        return Err(recording_error(file, error));
    }
    if length <= MAX_BYTES {
        source.take(MAX_BYTES).read_to_end(&mut bytes).with_context(cannot_read)?;
    }
    if length.max(bytes.len() as u64) > MAX_BYTES {
        bail!("{} is larger than 1 GiB", file.display());
    }
    Ok(bytes)
}

fn recording_error(file: &Path, error: WavError) -> anyhow::Error {
    // Other errors have their own hint, or are about what software rarely writes.
    let hint = match error {
        WavError::Tag { .. } => "\nhint: convert the recording to a WAV file of 16-bit PCM",
        WavError::Truncated { .. } => "\nhint: the file is incomplete: record or export it again",
        _ => "",
    };
    let message = format!("{} is not a supported WAV file{hint}", file.display());
    anyhow::Error::new(error).context(message)
}

#[cfg(test)]
mod tests {
    use std::io;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
        #[arg(short, long, global = true)]
        verbose: bool,
    }

    #[test]
    fn spoken_text_may_begin_with_a_hyphen() {
        for arguments in [
            &["-5 degrees", "x.wav", "--voice", "en-us"][..],
            &["--voice", "en-us", "-5 degrees", "x.wav"],
            &["-v", "-5 degrees", "--voice", "en-us", "x.wav"],
            &["--voice", "en-us", "--", "-5 degrees", "x.wav"],
        ] {
            let line = Line::try_parse_from([&["speech", "synthesize"], arguments].concat());
            let Line { command, verbose } = line.unwrap();
            let Command::Synthesize { text, output, voice, .. } = command else {
                panic!("{command:?}")
            };
            assert_eq!((text.as_str(), output.as_path()), ("-5 degrees", Path::new("x.wav")));
            assert_eq!(voice, VoiceName::Espeak("en-us".to_owned()), "{arguments:?}");
            assert_eq!(verbose, arguments.contains(&"-v"), "{arguments:?}");
        }
        for arguments in [&["text", "x.wav", "--voise", "en-us"][..], &["text", "-5"]] {
            let line = Line::try_parse_from([&["speech", "synthesize"], arguments].concat());
            assert!(line.is_err(), "{arguments:?}: {line:?}");
        }
    }

    /// A source that must not be read.
    struct Unreadable;

    impl Read for Unreadable {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("read beyond the header")
        }
    }

    #[test]
    fn recording_is_not_read_beyond_an_invalid_header() {
        let source = io::repeat(0).take(16).chain(Unreadable);
        let error = read_recording(Path::new("zeros"), 0, source).unwrap_err();
        assert_eq!(error.to_string().lines().next(), Some("zeros is not a supported WAV file"));
        assert!(error.root_cause().to_string().starts_with("RIFF id is "), "{error:#}");
    }

    #[test]
    fn recording_above_the_size_limit_is_not_read() {
        let source = io::Cursor::new(b"RIFF\0\0\0\0WAVE").chain(Unreadable);
        let error = read_recording(Path::new("huge.wav"), (1 << 30) + 1, source).unwrap_err();
        assert_eq!(error.to_string(), "huge.wav is larger than 1 GiB");
    }
}
