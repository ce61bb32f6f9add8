//! `bb score` and `bb score-batch`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::scoring::{ScoreResult, SpeechRate};
use taonet_babelbit_scorer::{
    BatchScorer, Outcome, PairInput, ScorerSettings, TranscriptCache, score_batch_document,
    score_pair,
};
use taonet_cli_base::context::Context;
use taonet_cli_base::input;
use taonet_cli_base::table::{decimals, key_values};
use taonet_cli_models::engines;
use taonet_speech::{Recognition, RecognizeError, Recognizer};

use crate::settings;

/// Score one reply
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// WAV file of the source speech
    #[arg(long, value_name = "WAV")]
    source: PathBuf,
    /// WAV file of the miner's reply
    #[arg(long, value_name = "WAV")]
    predicted: PathBuf,
    /// Reference document with one utterance
    #[arg(long, value_name = "JSON")]
    reference: PathBuf,
    /// Arrival times of the reply: {"arrivals": [[frame, bytes], …], "eos_frame",
    /// "first_output_frame", "frame_rate_hz"} [default: the reply is timed from the start of the
    /// source]
    #[arg(long, value_name = "JSON")]
    arrivals: Option<PathBuf>,
    /// Transcript of the reply: {"text", "words": [{"word", "start", "end"}], "detected_language"}
    /// [default: from the recogniser]
    #[arg(long, value_name = "JSON")]
    transcript: Option<PathBuf>,
    #[command(flatten)]
    scoring: ScoringArgs,
}

/// Score several miners' replies to one utterance
#[derive(Debug, Args)]
pub struct BatchArgs {
    /// JSON file with a batch document, or an array of batch documents; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    scoring: ScoringArgs,
}

#[derive(Debug, Args)]
struct ScoringArgs {
    /// Scoring rules: reference or strict [env: BB_RULES] [default: reference]
    #[arg(long)]
    rules: Option<Rules>,
    /// Also transcribe replies that score 0 regardless of their transcript
    #[arg(long)]
    no_gates: bool,
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// Placeholder recogniser for batches that contain all transcripts.
pub(crate) struct NoRecognizer;

impl Recognizer for NoRecognizer {
    fn name(&self) -> &'static str {
        "none"
    }

    fn fingerprint(&self) -> &'static str {
        "none"
    }

    fn recognize(&self, _: &[f32]) -> Result<Recognition, RecognizeError> {
        Err(RecognizeError::Engine("the batch should contain all transcripts".into()))
    }
}

impl ScoringArgs {
    fn scorer(&self, needs_recognizer: bool, context: &Context) -> anyhow::Result<BatchScorer> {
        let mut config = settings::load()?;
        if let Some(rules) = self.rules {
            config.scoring.rules = rules;
        }
        config.models_dir = self.models.clone().or(config.models_dir);
        let recognizer: Arc<dyn Recognizer> = if needs_recognizer {
            engines::offline_scoring_recognizer(&config)?
        } else {
            Arc::new(NoRecognizer)
        };
        let embedder = engines::embedder(&config.embedder, config.models_dir.clone(), context)?;
        let cache =
            TranscriptCache::in_memory(&*recognizer, NonZeroUsize::MIN.saturating_add(4_095));
        let settings = ScorerSettings { gates: !self.no_gates, ..ScorerSettings::default() };
        Ok(BatchScorer::new(recognizer, embedder, cache, config.scoring, settings)?)
    }
}

pub(crate) fn run(args: &ScoreArgs, context: &Context) -> anyhow::Result<()> {
    let input = PairInput {
        source: args.source.clone(),
        predicted: args.predicted.clone(),
        reference: read_document(&args.reference)?,
        arrivals: args.arrivals.as_deref().map(read_document).transpose()?,
        transcript: args.transcript.as_deref().map(read_document).transpose()?,
    };
    let scorer = args.scoring.scorer(input.transcript.is_none(), context)?;
    let result = log_warnings(score_pair(input, &scorer)?);
    if context.json { context.print_json(&result) } else { context.print(&format_result(&result)) }
}

pub(crate) fn run_batch(args: &BatchArgs, context: &Context) -> anyhow::Result<()> {
    let document = read_document(&args.file)?;
    let scorer = args.scoring.scorer(needs_recognizer(&document), context)?;
    let base = args.file.parent().unwrap_or(Path::new("."));
    let scored = score_batch_document(document, base, &scorer)
        .with_context(|| args.file.display().to_string())?;
    context.print_json(&log_warnings(scored))
}

/// Returns whether a prediction has a recording but no transcript.
fn needs_recognizer(document: &Value) -> bool {
    match document {
        Value::Array(documents) => documents.iter().any(needs_recognizer),
        document => {
            document.get("predictions").and_then(Value::as_array).is_some_and(|predictions| {
                predictions.iter().any(|prediction| {
                    is_given(prediction, "wav") && !is_given(prediction, "transcript")
                })
            })
        }
    }
}

fn is_given(prediction: &Value, field: &str) -> bool {
    prediction.get(field).is_some_and(|value| !value.is_null())
}

/// Reads a JSON file of at most 64 MiB; `-` is standard input.
pub(crate) fn read_document(path: &Path) -> anyhow::Result<Value> {
    let text = input::read_text(path)?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// Logs the warnings of an outcome, such as unused input, and returns its value.
pub(crate) fn log_warnings<T>(outcome: Outcome<T>) -> T {
    for warning in &outcome.warnings {
        tracing::warn!("{warning}");
    }
    outcome.value
}

fn format_result(result: &ScoreResult) -> String {
    let mut rows = key_values();
    let gates: Vec<String> = result.failed_gates().iter().map(ToString::to_string).collect();
    let ratio = match &result.speech_rate {
        SpeechRate::Measured { ratio, .. } => *ratio,
        SpeechRate::Unknown { .. } => None,
    };
    rows.add_row(["score", &decimals(Some(result.score), 6)]);
    rows.add_row(["failed gates", &gates.join(", ")]);
    rows.add_row(["accuracy", &decimals(result.accuracy, 6)]);
    rows.add_row(["rate ratio", &decimals(ratio, 3)]);
    rows.add_row([
        "reply ends at",
        &format!("{} s", decimals(Some(result.effective_completion_sec), 2)),
    ]);
    rows.add_row([
        "source duration",
        &format!("{} s", decimals(Some(result.source_duration_sec), 2)),
    ]);
    rows.add_row(["transcript", result.stt_text.as_deref().unwrap_or("–")]);
    rows.add_row(["expected", &result.gt_text]);
    if let Some(error) = &result.score_error {
        rows.add_row(["error", error]);
    }
    rows.to_string()
}
