//! The `tao prompting validator` command.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use taonet_chain::Chain;
use taonet_cli_base::context::Context;
use taonet_cli_base::daemon::{serve_metrics, state_directory};
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::preflight;
use taonet_doctor::{DiskNeeds, WriteDirectory};
use taonet_kit::{AddressPolicy, Challenge, Validator, ValidatorSettings, describe_metrics};
use taonet_prompting_core::GateSettings;
use taonet_prompting_neurons::{
    ChallengeSettings, Dataset, NextTokenChallenge, PromptingChallenge, RemoteError, RemoteFile,
    query_limits,
};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;

use super::NeuronArgs;
use super::judge::JudgeArgs;

/// Run a validator: ask questions, reward completions, set weights
#[derive(Debug, Args)]
pub struct ValidatorArgs {
    /// Questions: a .jsonl, .parquet, .txt or .md file, a directory of such files, the URL of a
    /// file, such as at an IPFS gateway, or hub:OWNER/NAME/FILE of the Hugging Face hub
    #[arg(long, value_name = "PATH|URL")]
    questions: String,
    /// SHA-256 of the file at the URL in --questions [default: that of the CID in the URL]
    #[arg(long, value_name = "HEX", value_parser = parse_sha256)]
    questions_sha256: Option<[u8; 32]>,
    /// What miners are asked for, and how they are rewarded
    #[arg(long, value_enum, default_value = "rewards")]
    scoring: Scoring,
    #[command(flatten)]
    judge: JudgeArgs,
    /// System message of a step that asks for an answer [default: "You are a helpful assistant.
    /// Answer the question truthfully, in one to three sentences."]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    base_prompt: Option<String>,
    /// System message of a step that asks for a question about a passage [default: "Ask one
    /// relevant and insightful question about the text of the user. Write only the question."]
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    question_prompt: Option<String>,
    /// Ask this many miners, which the gate chooses for each question [default: all miners]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    topk: Option<u16>,
    /// With --topk, also ask this many other miners, chosen at random, so that the gate gets to
    /// know them
    #[arg(long, value_name = "N", requires = "topk", default_value = "4",
        value_parser = clap::value_parser!(u16).range(..=4096))]
    random: u16,
    /// With --topk, step size of the gate's gradient descent
    #[arg(long, value_name = "NUMBER", requires = "topk", value_parser = parse_learning_rate,
        default_value_t = GateSettings::default().learning_rate)]
    learning_rate: f64,
    /// With --topk, share of the gate's last change that is added to the next one
    #[arg(long, value_name = "NUMBER", requires = "topk", value_parser = parse_momentum,
        default_value_t = GateSettings::default().momentum)]
    momentum: f64,
    /// Seconds between the starts of two steps
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=3000))]
    interval: u32,
    /// Timeout of a request in seconds
    #[arg(long, value_name = "SECONDS", default_value = "12", value_parser = clap::value_parser!(u32).range(1..=600))]
    timeout: u32,
    /// State directory [default: one per subnet and hotkey in the user's state directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Also call miners at private addresses, for development networks
    #[arg(long)]
    allow_private: bool,
    #[command(flatten)]
    neuron: NeuronArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scoring {
    /// Completions, rewarded by relevance, length, diversity and, with --judge-model, likelihood
    Rewards,
    /// Predictions of the next tokens of --judge-model, rewarded by their Shapley values
    Shapley,
}

impl ValidatorArgs {
    /// Refuses options that contradict `--scoring shapley`.
    fn check_options(&self) -> anyhow::Result<()> {
        let message = match self.scoring {
            Scoring::Shapley if !self.judge.has_language_model() => {
                "--scoring shapley requires a model whose tokens the miners predict\nhint: set --judge-model"
            }
            Scoring::Shapley if self.topk.is_some() => {
                "--topk is for completions: the gate chooses no miners for --scoring shapley\nhint: omit --topk"
            }
            Scoring::Shapley if self.base_prompt.is_some() || self.question_prompt.is_some() => {
                "--base-prompt and --question-prompt are for completions: --scoring shapley asks for next tokens\nhint: \
                 omit them"
            }
            Scoring::Shapley if self.judge.has_weights() => {
                "--reward-weights is for completions: --scoring shapley has no parts of rewards\nhint: omit it"
            }
            Scoring::Rewards | Scoring::Shapley => return Ok(()),
        };
        Err(ClassifiedError::usage(message))
    }

    fn settings(&self) -> ValidatorSettings {
        ValidatorSettings {
            query: query_limits(self.request_timeout()),
            interval: Duration::from_secs(self.interval.into()),
            addresses: AddressPolicy {
                allow_private: self.allow_private,
                ..AddressPolicy::default()
            },
            ..ValidatorSettings::new(self.neuron.netuid)
        }
    }

    fn challenge_settings(&self) -> ChallengeSettings {
        let defaults = ChallengeSettings::default();
        ChallengeSettings {
            base_prompt: self.base_prompt.clone().unwrap_or(defaults.base_prompt),
            question_prompt: self.question_prompt.clone().unwrap_or(defaults.question_prompt),
            best: self.topk.map(usize::from),
            random: usize::from(self.random),
            deadline: self.request_timeout(),
            gate: GateSettings { learning_rate: self.learning_rate, momentum: self.momentum },
            temperature: defaults.temperature,
        }
    }

    /// Opens the questions. Those at a URL are downloaded to the state directory first.
    fn open_dataset(&self, directory: &Path, context: &Context) -> anyhow::Result<Dataset> {
        if !self.questions.contains("://") && !self.questions.starts_with("hub:") {
            if self.questions_sha256.is_some() {
                let message = "--questions-sha256 is for a URL in --questions\nhint: omit it for a file or directory";
                return Err(ClassifiedError::usage(message));
            }
            return Ok(Dataset::open(Path::new(&self.questions))?);
        }
        let file =
            RemoteFile::new(&self.questions, self.questions_sha256).map_err(
                |error| match error {
                    RemoteError::Unverified(url) => {
                        let message = format!(
                            "the content of {url} cannot be verified\nhint: set --questions-sha256"
                        );
                        ClassifiedError::usage(message)
                    }
                    other => other.into(),
                },
            )?;
        tracing::info!(url = file.redacted_url(), "reading questions");
        let path =
            context.block_on(async { Ok(file.fetch(&directory.join("questions")).await?) })?;
        Ok(Dataset::open(&path)?)
    }

    fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.timeout.into())
    }
}

pub(crate) fn run(args: &ValidatorArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.neuron.key.load(Some(&args.neuron.network))?;
    args.check_options()?;
    let hotkey = keypair.hotkey();
    let directory = args.state.clone();
    let directory = directory.unwrap_or_else(|| {
        state_directory("prompting").join(format!("{}-{hotkey}", args.neuron.netuid))
    });
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    let dataset = args.open_dataset(&directory, context)?;
    // Miners must not know which questions come next.
    let seed = rand::random();
    match args.scoring {
        Scoring::Rewards => {
            let judge = args.judge.open(context)?;
            let challenge = PromptingChallenge::open(
                &directory,
                judge,
                dataset,
                seed,
                args.challenge_settings(),
            )?;
            validate(args, challenge, keypair, &directory, context)
        }
        Scoring::Shapley => {
            let model = args.judge.language_model()?.context("--judge-model is required")?;
            let challenge = NextTokenChallenge::new(&directory, model, dataset, seed)?;
            validate(args, challenge, keypair, &directory, context)
        }
    }
}

/// Parses a learning rate.
fn parse_learning_rate(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or("expected a number above 0")
}

/// Parses a momentum.
fn parse_momentum(text: &str) -> Result<f64, &'static str> {
    let momentum = text.parse().ok().filter(|momentum: &f64| (0.0..1.0).contains(momentum));
    momentum.ok_or("expected a number from 0 to below 1")
}

/// Parses a SHA-256.
fn parse_sha256(text: &str) -> Result<[u8; 32], &'static str> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).map_err(|_| "expected 64 hex digits")?;
    Ok(hash)
}

/// Runs the validator until a signal.
fn validate<C: Challenge>(
    args: &ValidatorArgs,
    challenge: C,
    keypair: Keypair,
    directory: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    let hotkey = keypair.hotkey();
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let readiness =
            serve_metrics("prompting validator", args.neuron.metrics, &shutdown).await?;
        describe_metrics();
        preflight::spawn_disk_check(
            vec![WriteDirectory::new("state", directory, DiskNeeds::STATE)],
            &shutdown,
        );
        let chain: Arc<dyn Chain> = Arc::new(args.neuron.key.connect(&args.neuron.network).await?);
        preflight::spawn_clock_check(Arc::clone(&chain), &shutdown);
        let validator =
            Validator::open(challenge, keypair, chain, directory, args.settings(), &shutdown)
                .await?;
        context.print_notice(&format!("hotkey {hotkey}"));
        validator.with_readiness(readiness).run(&shutdown).await;
        shutdown.finished().await.context("the service did not stop in time")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_shows_the_default_prompts() {
        let command = ValidatorArgs::augment_args(clap::Command::new("validator"));
        let ChallengeSettings { base_prompt, question_prompt, .. } = ChallengeSettings::default();
        for (option, prompt) in [("base_prompt", base_prompt), ("question_prompt", question_prompt)]
        {
            let argument =
                command.get_arguments().find(|argument| argument.get_id() == option).unwrap();
            let help = argument.get_help().unwrap().to_string();
            assert!(help.ends_with(&format!("[default: \"{prompt}\"]")), "{help}");
        }
    }
}
