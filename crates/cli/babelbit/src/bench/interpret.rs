//! The `bb bench interpret` command.

mod items;
mod local_miner;
mod report;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use taonet_babelbit_audit::conformance::{ChallengePlayer, Target};
use taonet_babelbit_config::Config;
use taonet_babelbit_runner::{RunPaths, RunnerSettings};
use taonet_babelbit_scorer::{BatchScorer, ScorerSettings, TranscriptCache};
use taonet_cli_base::context::Context;
use taonet_cli_base::keys::temporary_key;
use taonet_cli_base::printable::printable;
use taonet_cli_models::engines;
use taonet_primitives::Hotkey;
use taonet_service::Shutdown;
use taonet_speech::{Espeak, Synthesizer};
use taonet_wallet::Keypair;
use taonet_whisper::{SpeechTask, language_code};

use crate::miner_url::parse_miner_url;
use crate::settings;
use items::{Item, Recordings, UNDETERMINED, repeat};
use local_miner::LocalMiner;
use report::{ItemFigures, MeasuredMiner, Report};

/// Error of a measurement that SIGINT or SIGTERM ended.
const INTERRUPTED: &str = "the measurement was interrupted";
/// Maximum number of speakers: each has a recording in memory.
const MAX_SPEAKERS: usize = 256;

/// Measure the interpretation of a miner: quality, latency, speed, memory
#[derive(Debug, Args)]
pub struct InterpretArgs {
    /// Challenge to interpret: 1 to 8 (English), de-1, es-1, fr-1 (German, Spanish, French), or a
    /// challenge file; or a directory of recordings NAME.wav, each with its reference NAME.txt and,
    /// if known, its words NAME.src.txt
    #[arg(value_name = "NAME|FILE|DIR")]
    recordings: PathBuf,
    /// Address of a running miner, whose processor time and memory are not measured:
    /// http://HOST:PORT, or HOST:PORT [default: a miner that this command starts]
    #[arg(long, value_name = "URL", requires = "miner_hotkey", conflicts_with = "miner_options")]
    miner: Option<String>,
    /// Hotkey of the running miner; requests are signed for this receiver, with a temporary key
    #[arg(long, value_name = "HOTKEY", requires = "miner")]
    miner_hotkey: Option<Hotkey>,
    /// Language of a directory's recordings, which the miner is told, such as fr [default: und
    /// (undetermined)]
    #[arg(long, value_name = "CODE", value_parser = parse_language_tag)]
    language: Option<String>,
    /// Number of recordings to play at the same time, each by a speaker of its own; fewer recordings
    /// are repeated. `bb miner` has at most 16 sessions with a validator
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_speaker_count)]
    speakers: NonZeroUsize,
    /// Recogniser of the replies, and of a miner that this command starts: a model name, or a model
    /// directory [env: BB_AUDIO_SCORING_STT_MODEL] [default: tiny-ctc, a test double; of a miner with
    /// --stt whisper or --task translate, faster-whisper-small]
    #[arg(long, value_name = "MODEL")]
    stt_model: Option<String>,
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Options of the miner that this command starts, those of `bb miner`
    #[arg(last = true, value_name = "MINER_OPTION")]
    miner_options: Vec<String>,
}

/// Parses a number of speakers.
fn parse_speaker_count(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse().ok().filter(|count: &NonZeroUsize| count.get() <= MAX_SPEAKERS);
    count.ok_or_else(|| format!("expected 1 to {MAX_SPEAKERS}"))
}

/// Parses the tag of a language, such as `fr` or `fr-CA`, with the language in lower case: one that
/// Whisper understands, or `und`.
fn parse_language_tag(text: &str) -> Result<String, &'static str> {
    let code = language_code(text)
        .or_else(|| text.eq_ignore_ascii_case(UNDETERMINED).then_some(UNDETERMINED))
        .ok_or("expected the code of a language that Whisper understands, such as fr, or und")?;
    let subtags = text.get(code.len()..).unwrap_or_default();
    let is_subtag = |subtag: &str| {
        (2..=8).contains(&subtag.len()) && subtag.chars().all(|c| c.is_ascii_alphanumeric())
    };
    if !subtags.split('-').skip(1).all(is_subtag) {
        return Err("expected 2 to 8 letters or digits after each hyphen, as in fr-CA");
    }
    Ok(format!("{code}{subtags}"))
}

/// Engines and keys of a measurement.
struct Bench {
    config: Config,
    /// Key that signs the requests.
    validator: Keypair,
    synthesizer: Arc<dyn Synthesizer>,
    scorer: Arc<BatchScorer>,
    /// Name and fingerprint of the recogniser.
    recognizer: [String; 2],
    /// Name of the sentence embedder.
    embedder: String,
}

pub(crate) fn run(args: &InterpretArgs, context: &Context) -> anyhow::Result<()> {
    let mut config = settings::load()?;
    config.recognizer = args.stt_model.clone().or(config.recognizer);
    config.models_dir = args.models.clone().or(config.models_dir);
    let (language, target) = (args.language.as_deref(), &config.scoring.target_language);
    let recordings = Recordings::find(&args.recordings, language, target, config.play.max_source)?;
    let bench = Bench::load(config, context)?;
    let (report, is_interrupted) = context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let report = bench.measure(args, recordings, context, &shutdown).await?;
        Ok((report, shutdown.is_requested()))
    })?;
    if context.json {
        context.print_json(&report.document())?;
    } else if report.has_replies() {
        context.print(&report.format_report())?;
    }
    ensure!(!is_interrupted, INTERRUPTED);
    report.check()
}

/// Runs a preparation, unless a shutdown is requested before its end.
///
/// # Errors
/// That of the preparation, or that the measurement was interrupted.
async fn unless_interrupted<T>(
    shutdown: &Shutdown,
    preparation: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        result = preparation => result,
        () = shutdown.requested() => bail!(INTERRUPTED),
    }
}

impl Bench {
    /// Loads the engines that score the replies.
    fn load(config: Config, context: &Context) -> anyhow::Result<Self> {
        let synthesizer = Arc::new(Espeak::find()?);
        let recognizer = engines::transcribing_recognizer(&config, None, SpeechTask::Transcribe)?;
        let embedder = engines::embedder(&config.embedder, config.models_dir.clone(), context)?;
        let names = [recognizer.name().to_owned(), recognizer.fingerprint().to_owned()];
        let embedder_name = embedder.name().to_owned();
        let cache = TranscriptCache::in_memory(&*recognizer, TranscriptCache::DEFAULT_CAPACITY);
        // Replies that score 0 are transcribed, too: the metrics use their texts.
        let settings = ScorerSettings { gates: false, ..ScorerSettings::default() };
        let scorer =
            BatchScorer::new(recognizer, embedder, cache, config.scoring.clone(), settings)?;
        Ok(Self {
            config,
            validator: temporary_key()?,
            synthesizer,
            scorer: Arc::new(scorer),
            recognizer: names,
            embedder: embedder_name,
        })
    }

    /// Plays the recordings to the miner that the arguments select. If a shutdown is requested, the
    /// report has only the recordings that were played and scored before.
    async fn measure(
        self,
        args: &InterpretArgs,
        recordings: Recordings,
        context: &Context,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Report> {
        let items = recordings.items(Arc::clone(&self.synthesizer));
        let items = unless_interrupted(shutdown, items).await?;
        for truncation in items.iter().filter_map(Item::truncation) {
            context.print_notice(&format!("warning: {}", printable(&truncation)));
        }
        let items = repeat(items, args.speakers.get());
        if let (Some(url), Some(hotkey)) = (&args.miner, args.miner_hotkey) {
            let miner = MeasuredMiner {
                url: url.clone(),
                hotkey,
                options: None,
                cpu_sec: None,
                max_rss_mb: None,
            };
            return Box::pin(self.play(miner, items, args, context, shutdown)).await;
        }
        context.print_notice("starting a miner");
        let validator = self.validator.hotkey();
        let local = LocalMiner::start(&args.miner_options, &self.config, validator);
        let mut local = unless_interrupted(shutdown, local).await?;
        let miner = MeasuredMiner {
            url: local.url.clone(),
            hotkey: local.hotkey,
            options: Some(args.miner_options.clone()),
            cpu_sec: None,
            max_rss_mb: None,
        };
        let processor_seconds_before = local.processor_seconds();
        let mut report = Box::pin(self.play(miner, items, args, context, shutdown)).await?;
        // Ctrl-C ends the miner, too.
        if !shutdown.is_requested() {
            local.check_running().await?;
        }
        report.miner.cpu_sec = local
            .processor_seconds()
            .zip(processor_seconds_before)
            .map(|(after, before)| after - before);
        report.miner.max_rss_mb = local.peak_memory();
        Ok(report)
    }

    /// Plays the recordings: as many at a time as there are speakers, and the next ones when the
    /// replies to these are scored.
    async fn play(
        self,
        miner: MeasuredMiner,
        items: Vec<Item>,
        args: &InterpretArgs,
        context: &Context,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Report> {
        let Self { config, validator, synthesizer, scorer, recognizer, embedder } = self;
        let address = parse_miner_url("--miner: ", &miner.url)?;
        let predict_path = config.predict_endpoint.clone();
        let target = Target { address, predict_path, hotkey: miner.hotkey, validator };
        let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
        let run = RunnerSettings {
            play: config.play.clone(),
            rules: config.rules,
            ..RunnerSettings::new(RunPaths::in_directory(directory.path()))
        };
        let challenges = items.iter().map(|item| item.challenge.clone()).collect();
        let bar = progress(items.len(), context)?;
        let language = config.scoring.target_language.as_str();
        let player = ChallengePlayer {
            target: &target,
            synthesizer,
            scorer,
            settings: run,
            target_language: language,
            speakers: args.speakers,
        };
        let result = player.play_challenges(challenges, |_| bar.inc(1), shutdown.requested()).await;
        bar.finish_and_clear();
        let (played, timings) = result?;
        Ok(Report {
            recordings: args.recordings.display().to_string(),
            speakers: args.speakers,
            recognizer,
            embedder,
            miner,
            items: items.into_iter().map(|item| ItemFigures::of(item, &played)).collect(),
            timings,
        })
    }
}

/// Creates a progress bar, which is hidden if standard error is not a terminal.
fn progress(recordings: usize, context: &Context) -> anyhow::Result<ProgressBar> {
    if context.json {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{pos}/{len} recordings [{wide_bar}] {elapsed}")?;
    Ok(ProgressBar::new(recordings as u64).with_style(style))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: InterpretArgs,
    }

    const HOTKEY: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

    #[test]
    fn number_of_speakers_is_limited() {
        for (text, is_valid) in [("1", true), ("256", true), ("0", false), ("257", false)] {
            assert_eq!(parse_speaker_count(text).is_ok(), is_valid, "{text}");
        }
    }

    #[test]
    fn arguments_after_double_dash_are_miner_options() {
        let line = Line::try_parse_from(["bb", "fr-1", "--", "--task", "translate"]).unwrap();
        assert_eq!(
            (line.args.miner, line.args.miner_options.join(" ")),
            (None, "--task translate".to_owned())
        );
        Line::try_parse_from(["bb", "fr-1", "--miner", "127.0.0.1:1", "--miner-hotkey", HOTKEY])
            .unwrap();
        for (options, expected) in [
            (&["--miner", "127.0.0.1:1"][..], "--miner-hotkey <HOTKEY>"),
            (&["--miner-hotkey", HOTKEY], "--miner <URL>"),
            (
                &["--miner", "127.0.0.1:1", "--miner-hotkey", HOTKEY, "--", "--task", "translate"],
                "cannot be used with",
            ),
            (&["--task", "translate"], "unexpected argument '--task'"),
            (&["--speakers", "0"], "expected 1 to 256"),
            (&["--speakers", "257"], "expected 1 to 256"),
        ] {
            let error =
                Line::try_parse_from([&["bb", "fr-1"], options].concat()).unwrap_err().to_string();
            assert!(error.contains(expected), "{options:?}: {error}");
        }
    }

    /// Other systems refuse such names.
    #[cfg(target_os = "linux")]
    #[test]
    fn directory_name_may_have_any_bytes() {
        use std::ffi::{OsStr, OsString};
        use std::os::unix::ffi::OsStrExt as _;
        use std::time::Duration;

        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join(OsStr::from_bytes(b"caf\xe9"));
        std::fs::create_dir(&directory).unwrap();
        let line = [OsString::from("bb"), directory.clone().into_os_string()];
        let recordings = Line::try_parse_from(line).unwrap().args.recordings;
        let result = Recordings::find(&recordings, None, "en", Duration::from_mins(10));
        let error = result.err().unwrap().to_string();
        let expected = format!("{} contains no WAV file", directory.display());
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn language_tag_ignores_case() {
        for (text, tag) in
            [("fr", "fr"), ("FR", "fr"), ("FR-CA", "fr-CA"), ("yue", "yue"), ("Und", "und")]
        {
            assert_eq!(parse_language_tag(text), Ok(tag.to_owned()));
        }
    }

    #[test]
    fn unknown_or_malformed_language_tag_is_rejected() {
        for text in ["", "F", "french", "fr_CA", "xx", "xx-FR"] {
            assert_eq!(
                parse_language_tag(text),
                Err("expected the code of a language that Whisper understands, such as fr, or und"),
                "{text}"
            );
        }
        for text in ["fr-", "fr-C", "fr-CA-"] {
            assert_eq!(
                parse_language_tag(text),
                Err("expected 2 to 8 letters or digits after each hyphen, as in fr-CA"),
                "{text}"
            );
        }
    }
}
