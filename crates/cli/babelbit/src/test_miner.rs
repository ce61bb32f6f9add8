//! The `bb test-miner` command.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use taonet_babelbit_audit::conformance::{
    ChallengePlayer, Event, PlayedChallenge, RuleOutcome, RulesReport, Target, TestError, Timings,
    check, check_text, speech, tone,
};
use taonet_babelbit_challenges::{Challenge, Challenges};
use taonet_babelbit_config::Config;
use taonet_babelbit_core::scoring::describe_failed_gates;
use taonet_babelbit_core::text_api::PREDICT_PATH;
use taonet_babelbit_runner::{RunPaths, RunnerSettings, UtteranceReport};
use taonet_babelbit_scorer::{BatchScorer, ScorerSettings, TranscriptCache};
use taonet_cli_base::chain::SigningHotkeyArgs;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure, QuotingError};
use taonet_cli_base::keys::temporary_key;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{Cell, Rows, decimals, key_values, status_cell, table};
use taonet_cli_base::tables::{CHALLENGES, RULES, TIMINGS};
use taonet_cli_models::engines;
use taonet_primitives::{Hotkey, counted};
use taonet_speech::Espeak;
use taonet_speech::models::describe_recognizer;
use taonet_whisper::SpeechTask;

use crate::challenge;
use crate::contest::Contest;
use crate::leaderboard::format_latency;
use crate::miner_url::parse_miner_url;
use crate::reply_error::readable_error;
use crate::settings;

/// Test a miner the way a validator calls it: rules, timing, score. Plays one utterance and checks
/// every response, sends requests that must be refused, then plays the shipped English challenges
/// and scores them. The exit code is 1 when the miner breaks a rule; a low score breaks no rule.
/// Requests are signed with a temporary key, with a wallet's hotkey, or with a development key.
#[derive(Debug, Args)]
pub struct TestMinerArgs {
    /// Address of the miner: http://HOST:PORT, or HOST:PORT
    url: String,
    /// Hotkey of the miner; requests are signed for this receiver
    #[arg(long, value_name = "HOTKEY")]
    miner_hotkey: Hotkey,
    /// Contest of the miner: speech, or text, which tests the rules only and needs no models
    #[arg(long, value_name = "CONTEST", default_value = "speech", hide_possible_values = true)]
    contest: Contest,
    /// Play only this challenge: 1 to 8 (English), de-1, es-1, fr-1 (German, Spanish, French), or a
    /// challenge file; can be repeated
    #[arg(long, value_name = "NAME|FILE")]
    challenge: Vec<PathBuf>,
    /// Check the rules only, with a tone instead of speech; needs neither synthesiser nor models
    #[arg(long, conflicts_with = "challenge")]
    rules_only: bool,
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    key: SigningHotkeyArgs,
}

/// Results of the scored challenges.
struct ContestResults {
    recognizer: String,
    embedder: String,
    played: Vec<PlayedChallenge>,
    timings: Timings,
}

pub(crate) fn run(args: &TestMinerArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let address = parse_miner_url("", &args.url)?;
    let is_text = args.contest == Contest::Text;
    if is_text && !args.challenge.is_empty() {
        let message = "--challenge plays challenges of the speech contest\nhint: play a text challenge with `bb engine` \
                       and `bb runner --contest text --once`";
        return Err(ClassifiedError::usage(message));
    }
    let target = Target {
        address,
        predict_path: if is_text {
            PREDICT_PATH.to_owned()
        } else {
            config.predict_endpoint.clone()
        },
        hotkey: args.miner_hotkey,
        validator: args.key.unlock_selected()?.map_or_else(temporary_key, Ok)?,
    };
    let mut observe = observer(context);
    let (rules, contest) = if is_text {
        let rules = context.block_on(async {
            check_text(&target, &config.play, &mut observe).await.map_err(test_error)
        })?;
        (rules, None)
    } else if args.rules_only {
        let rules = context.block_on(async {
            check(&target, &tone()?, &config.play, &mut observe).await.map_err(test_error)
        })?;
        (rules, None)
    } else {
        test_speech(args, &target, config, context)?
    };
    if context.json {
        context.print_json(&document(&target, &rules, contest.as_ref(), is_text))?;
    } else {
        context.print(&format_report(&rules, contest.as_ref()))?;
    }
    check_results(&rules, contest.as_ref())
}

/// Checks that the miner broke no rule and did not end, and that a reply to each challenge was
/// complete and could be scored.
///
/// # Errors
/// The first failed check, in this order.
fn check_results(rules: &RulesReport, contest: Option<&ContestResults>) -> anyhow::Result<()> {
    if let Some(interruption) = &rules.interruption {
        let summary = "the miner ended or restarted during the test, or closed the connection";
        let hint = Some("read the miner's log");
        return Err(QuotingError::error(None, summary, interruption, hint));
    }
    let failed: Vec<_> = rules.failed().map(|rule| rule.rule.name()).collect();
    anyhow::ensure!(
        failed.is_empty(),
        "the miner breaks {}: {}",
        counted(failed.len(), "rule"),
        failed.join(", ")
    );
    contest.map_or(Ok(()), ContestResults::check)
}

/// Classifies why a miner cannot be tested.
fn test_error(error: TestError) -> anyhow::Error {
    match error {
        TestError::Unreachable { .. } => {
            ClassifiedError::error(Failure::Network, error.to_string())
        }
        other => other.into(),
    }
}

/// Returns an observer that prints intermediate results as notices.
fn observer(context: &Context) -> impl FnMut(Event<'_>) + Send {
    move |event: Event<'_>| context.print_notice(&format_event(event))
}

/// Formats an intermediate result.
fn format_event(event: Event<'_>) -> String {
    match event {
        Event::RuleChecked(report) => match report.outcome {
            RuleOutcome::Passed => format!("pass {}", report.rule.name()),
            RuleOutcome::Failed => {
                format!("FAIL {}: {}", report.rule.name(), printable(&report.observation))
            }
            RuleOutcome::NotTested => format!("not tested {}", report.rule.name()),
        },
        Event::Progress(text) => format!("{text} …"),
        _ => String::new(),
    }
}

/// Checks the rules with speech, then plays and scores the challenges, unless the miner ended.
fn test_speech(
    args: &TestMinerArgs,
    target: &Target,
    mut config: Config,
    context: &Context,
) -> anyhow::Result<(RulesReport, Option<ContestResults>)> {
    config.models_dir = args.models.clone().or(config.models_dir);
    let challenges = challenges(&args.challenge)?;
    let first = challenges.first().cloned().context("no challenge is selected")?;
    let synthesizer = Arc::new(Espeak::find()?);
    let recognizer = engines::transcribing_recognizer(&config, None, SpeechTask::Transcribe)?;
    let embedder = engines::embedder(&config.embedder, config.models_dir.clone(), context)?;
    let engine_names = (recognizer.name().to_owned(), embedder.name().to_owned());
    let cache = TranscriptCache::in_memory(&*recognizer, TranscriptCache::DEFAULT_CAPACITY);
    let language = config.scoring.target_language.clone();
    let scorer = Arc::new(BatchScorer::new(
        recognizer,
        embedder,
        cache,
        config.scoring,
        ScorerSettings::default(),
    )?);
    let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
    let run = RunnerSettings {
        play: config.play.clone(),
        rules: config.rules,
        ..RunnerSettings::new(RunPaths::in_directory(directory.path()))
    };
    context.block_on(async {
        let source = speech(first, Arc::clone(&synthesizer) as _).await?;
        context.print_notice("checking the rules");
        let rules = check(target, &source, &config.play, &mut observer(context))
            .await
            .map_err(test_error)?;
        if rules.interruption.is_some() {
            return Ok((rules, None));
        }
        context.print_notice(&format!("playing {}", counted(challenges.len(), "challenge")));
        let player = ChallengePlayer {
            target,
            synthesizer,
            scorer,
            settings: run,
            target_language: &language,
            speakers: NonZeroUsize::MIN,
        };
        let observe = |played: &PlayedChallenge| {
            context.print_notice(&format!(
                "{}: {}",
                printable(&played.title),
                decimals(Some(played.miner.score), 3)
            ));
        };
        let contest_run = player.play_challenges(challenges, observe, std::future::pending());
        let (played, timings) = contest_run.await?;
        let (recognizer, embedder) = engine_names;
        Ok((rules, Some(ContestResults { recognizer, embedder, played, timings })))
    })
}

/// Loads the challenges with these names or paths; the shipped English ones if there are none.
fn challenges(paths: &[PathBuf]) -> anyhow::Result<Vec<Challenge>> {
    if paths.is_empty() {
        return Ok(Challenges::english()?);
    }
    let label = |path: &Path| format!("--challenge {}", path.display());
    paths.iter().map(|path| challenge::find(&label(path), path)).collect()
}

/// Returns the report as JSON.
fn document(
    target: &Target,
    rules: &RulesReport,
    contest: Option<&ContestResults>,
    is_text: bool,
) -> Value {
    let passed = check_results(rules, contest).is_ok();
    let contest = contest.map(|contest| {
        json!({
            "recognizer": contest.recognizer,
            "embedder": contest.embedder,
            "score": contest.score(),
            "challenges": contest.played,
            "timings": contest.timings,
        })
    });
    json!({
        "schema": "taonet.test-miner/1",
        "url": target.address.url().as_str(),
        "miner_hotkey": target.hotkey,
        "signed_by": target.validator.hotkey(),
        "contest_type": if is_text { "text" } else { "speech" },
        "passed": passed,
        "rules": rules.rules,
        "interruption": rules.interruption,
        "timings": rules.timings,
        "contest": contest,
    })
}

/// Formats the report as text.
fn format_report(rules: &RulesReport, contest: Option<&ContestResults>) -> String {
    let mut rows = table(&RULES);
    for rule in &rules.rules {
        let (outcome, is_good) = match rule.outcome {
            RuleOutcome::Passed => ("pass", true),
            RuleOutcome::Failed => ("FAIL", false),
            RuleOutcome::NotTested => ("not tested", false),
        };
        rows.add_row([
            rule.rule.name().into(),
            status_cell(outcome.to_owned(), is_good),
            Cell::from(rule.observation.as_str()),
        ]);
    }
    let mut text = format!("{rows}\n");
    for rule in rules.failed() {
        let mut parts = key_values();
        parts.add_row(["expected", rule.expected]);
        parts.add_row(["seen", &printable(&rule.observation)]);
        parts.add_row(["fix", &printable(rule.hint.as_deref().unwrap_or_default())]);
        let _ = write!(text, "\n{}\n{parts}\n", rule.rule.name());
    }
    let timings = contest.map_or(&rules.timings, |contest| &contest.timings);
    let _ = write!(text, "\n{}\n", timing_table(timings));
    if let Some(contest) = contest {
        let _ = write!(text, "\n{}", contest_table(contest));
    }
    text.trim_end().to_owned()
}

/// Formats response times by kind of request.
pub(crate) fn timing_table(Timings(timings): &Timings) -> Rows {
    let mut rows = table(&TIMINGS);
    for timing in timings {
        rows.add_row([
            timing.phase.name().into(),
            timing.answers.to_string().into(),
            milliseconds(timing.median_sec).into(),
            milliseconds(timing.p95_sec).into(),
            milliseconds(timing.max_sec).into(),
            decimals(Some(timing.deadline_sec * 1000.0), 0).into(),
            status_cell(timing.late.to_string(), timing.late == 0),
        ]);
    }
    rows
}

fn milliseconds(seconds: f64) -> String {
    decimals(Some(seconds * 1000.0), 1)
}

fn contest_table(contest: &ContestResults) -> String {
    let mut rows = table(&CHALLENGES);
    for played in &contest.played {
        let miner = &played.miner;
        rows.add_row([
            played.title.clone(),
            decimals(Some(miner.score), 3),
            decimals(miner.accuracy, 2),
            decimals(miner.rate_ratio, 2),
            format_latency(miner.overshoot_sec),
            describe_failed_gates(&miner.failed_gates, miner.utterances.len()),
        ]);
    }
    let errors: BTreeSet<_> = contest
        .played
        .iter()
        .flat_map(|played| &played.miner.utterances)
        .filter_map(|utterance| utterance.error.as_deref())
        .map(readable_error)
        .collect();
    let score = decimals(contest.score(), 3);
    let mut text = format!(
        "{rows}\nscore {score} without competitors, transcribed with {} and compared with {}",
        describe_recognizer(&contest.recognizer),
        contest.embedder
    );
    for error in errors {
        let _ = write!(text, "\nerror: {}", printable(&error));
    }
    text
}

impl ContestResults {
    /// Returns the mean score over the challenges.
    fn score(&self) -> Option<f64> {
        let sum: f64 = self.played.iter().map(|played| played.miner.score).sum();
        (!self.played.is_empty()).then(|| sum / self.played.len() as f64)
    }

    /// Checks that each challenge has a complete reply, and one that could be scored.
    ///
    /// # Errors
    /// If not, with the titles of the challenges.
    fn check(&self) -> anyhow::Result<()> {
        let incomplete = self.titles_without(|reply| reply.wall_after_source_sec.is_some());
        anyhow::ensure!(
            incomplete.is_empty(),
            "the miner completed no reply of {}: {}",
            counted(incomplete.len(), "challenge"),
            printable(&incomplete.join(", "))
        );
        let unscored = self.titles_without(|reply| reply.error.is_none());
        anyhow::ensure!(
            unscored.is_empty(),
            "no reply of {} could be scored: {}\nhint: the report has the errors",
            counted(unscored.len(), "challenge"),
            printable(&unscored.join(", "))
        );
        Ok(())
    }

    /// Returns the titles of the challenges of which no reply meets a condition.
    fn titles_without(&self, condition: impl Fn(&UtteranceReport) -> bool) -> Vec<&str> {
        let has_none = |played: &&PlayedChallenge| !played.miner.utterances.iter().any(&condition);
        self.played.iter().filter(has_none).map(|played| played.title.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use taonet_babelbit_core::scoring::Gate;
    use taonet_babelbit_runner::MinerReport;
    use taonet_primitives::Uid;

    use super::*;

    /// Creates the results of a challenge with one reply.
    fn results(is_complete: bool, error: Option<&str>) -> ContestResults {
        let reply = UtteranceReport {
            index: 0,
            score: 0.0,
            accuracy: None,
            rate_ratio: None,
            overshoot_sec: None,
            effective_completion_sec: None,
            wall_after_source_sec: is_complete.then_some(0.1),
            wall_total_sec: 1.0,
            failed_gates: vec![Gate::PredictionError],
            reference: "Hello.".to_owned(),
            transcript: None,
            error: error.map(str::to_owned),
        };
        let miner = MinerReport {
            uid: Uid(0),
            hotkey: Hotkey::from_bytes([0; 32]),
            name: None,
            score: 0.0,
            accuracy: None,
            rate_ratio: None,
            overshoot_sec: None,
            effective_completion_sec: None,
            wall_after_source_sec: None,
            wall_total_sec: None,
            failed_gates: BTreeMap::new(),
            metrics: None,
            completed: is_complete,
            utterances: vec![reply],
        };
        let played = PlayedChallenge {
            challenge_uid: "ferry".to_owned(),
            title: "The ferry".to_owned(),
            miner,
        };
        ContestResults {
            recognizer: "tiny-ctc".to_owned(),
            embedder: "embedder".to_owned(),
            played: vec![played],
            timings: Timings::default(),
        }
    }

    #[test]
    fn complete_replies_without_audio_are_not_incomplete() {
        for (is_complete, error, expected) in [
            (true, None, None),
            (
                true,
                Some("ValueError:WAV payload had no frames"),
                Some("no reply of 1 challenge could be scored: The ferry\nhint: "),
            ),
            (
                false,
                Some("timeout after 3.0s"),
                Some("the miner completed no reply of 1 challenge: The ferry"),
            ),
        ] {
            let result = results(is_complete, error).check().map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(result, Ok(())),
                Some(start) => {
                    assert!(result.clone().unwrap_err().starts_with(start), "{result:?}");
                }
            }
        }
    }
}
