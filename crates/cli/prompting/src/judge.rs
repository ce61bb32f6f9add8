//! The models that reward completions.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_models::chat_model;
use taonet_cli_models::engines;
use taonet_cli_models::settings;
use taonet_lm::LanguageModel;
use taonet_prompting_core::BlendWeights;
use taonet_prompting_neurons::{HashedWords, Judge};
use taonet_speech::SentenceEmbedder;
use taonet_speech::models::ALL_MINILM_L6_V2;

/// Arguments that select the models for rewards
#[derive(Debug, Args)]
pub(crate) struct JudgeArgs {
    /// How texts are compared
    #[arg(long, value_enum, default_value = "minilm")]
    embedder: EmbedderArg,
    /// Also reward how likely a completion is under this Llama model, on the CPU: a directory, a
    /// GGUF file, or a name in `tao models list`
    #[arg(long, value_name = "MODEL")]
    judge_model: Option<PathBuf>,
    /// Weights of the parts that are averaged: relevance, length, diversity and, with
    /// --judge-model, likelihood [default: relevance=4,length=2,diversity=1,likelihood=3]
    #[arg(long, value_name = "PART=WEIGHT", value_delimiter = ',', value_parser = parse_weight)]
    reward_weights: Vec<(RewardComponent, f64)>,
}

/// A part of the reward that is averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RewardComponent {
    Relevance,
    Length,
    Diversity,
    Likelihood,
}

/// Parses a part of the reward with its weight.
fn parse_weight(text: &str) -> Result<(RewardComponent, f64), String> {
    let (name, weight) = text.split_once('=').ok_or("expected PART=WEIGHT, such as relevance=4")?;
    let part = RewardComponent::from_str(name, false).map_err(|_| {
        format!("unknown part `{name}`: expected relevance, length, diversity or likelihood")
    })?;
    let weight = weight.parse::<f64>().ok().filter(|weight| weight.is_finite() && *weight >= 0.0);
    Ok((part, weight.ok_or_else(|| format!("the weight of {name} is not a number of at least 0"))?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EmbedderArg {
    /// By meaning, with all-MiniLM-L6-v2, which is downloaded if missing
    Minilm,
    /// By common words, without a model
    Words,
}

impl JudgeArgs {
    /// Loads the models.
    pub(crate) fn open(&self, context: &Context) -> anyhow::Result<Judge> {
        // Before a model is loaded.
        let weights = self.weights()?;
        let embedder: Arc<dyn SentenceEmbedder> = match self.embedder {
            EmbedderArg::Minilm => {
                let models = settings::load_only(&["BB_MODELS_DIR"])?.models_dir;
                engines::embedder(ALL_MINILM_L6_V2.name, models, context)?
            }
            EmbedderArg::Words => Arc::new(HashedWords),
        };
        Ok(Judge::new(embedder, self.language_model()?).with_weights(weights))
    }

    /// Returns the weights of the reward models.
    fn weights(&self) -> anyhow::Result<BlendWeights> {
        let mut weights = BlendWeights::default();
        for (part, weight) in &self.reward_weights {
            match part {
                RewardComponent::Relevance => weights.relevance = *weight,
                RewardComponent::Length => weights.length = *weight,
                RewardComponent::Diversity => weights.diversity = *weight,
                RewardComponent::Likelihood => weights.likelihood = *weight,
            }
        }
        let has_likelihood =
            self.reward_weights.iter().any(|(part, _)| *part == RewardComponent::Likelihood);
        let BlendWeights { relevance, length, diversity, likelihood } = weights;
        let sum = relevance
            + length
            + diversity
            + if self.has_language_model() { likelihood } else { 0.0 };
        let message = if has_likelihood && !self.has_language_model() {
            "--reward-weights likelihood requires a language model\nhint: set --judge-model"
        } else if sum <= 0.0 {
            "with --reward-weights, every reward would be 0\nhint: give a part a weight above 0"
        } else {
            return Ok(weights);
        };
        Err(ClassifiedError::usage(message))
    }

    /// Whether weights of the reward models are given.
    pub(crate) const fn has_weights(&self) -> bool {
        !self.reward_weights.is_empty()
    }

    /// Loads the language model, if one is selected.
    pub(crate) fn language_model(&self) -> anyhow::Result<Option<Arc<LanguageModel>>> {
        let load = |source: &PathBuf| {
            chat_model::load(&chat_model::model_name(source), source).map(Arc::new)
        };
        self.judge_model.as_ref().map(load).transpose()
    }

    /// Whether a language model is selected.
    pub(crate) const fn has_language_model(&self) -> bool {
        self.judge_model.is_some()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        judge: JudgeArgs,
    }

    fn weights(options: &[&str]) -> anyhow::Result<[f64; 4]> {
        let line = Line::try_parse_from([&["tao"][..], options].concat())?;
        let BlendWeights { relevance, length, diversity, likelihood } = line.judge.weights()?;
        Ok([relevance, length, diversity, likelihood])
    }

    /// Columns: options · weights, or what the error says
    #[test]
    fn configured_weights_replace_the_defaults() {
        let model = ["--judge-model", "m.gguf"];
        for (options, expected) in [
            (vec![], Ok([4.0, 2.0, 1.0, 3.0])),
            (vec!["--reward-weights", "length=0.5"], Ok([4.0, 0.5, 1.0, 3.0])),
            (
                [&model[..], &["--reward-weights", "relevance=1,likelihood=7"]].concat(),
                Ok([1.0, 2.0, 1.0, 7.0]),
            ),
            (vec!["--reward-weights", "likelihood=7"], Err("requires a language model")),
            (
                vec!["--reward-weights", "relevance=0,length=0,diversity=0"],
                Err("every reward would be 0"),
            ),
            (vec!["--reward-weights", "relevance"], Err("expected PART=WEIGHT")),
            (vec!["--reward-weights", "speed=1"], Err("unknown part `speed`")),
            (vec!["--reward-weights", "length=-1"], Err("not a number of at least 0")),
            (vec!["--reward-weights", "length=NaN"], Err("not a number of at least 0")),
        ] {
            match (weights(&options), expected) {
                (Ok(actual), Ok(expected)) => {
                    let is_close = actual
                        .iter()
                        .zip(expected)
                        .all(|(one, other)| (one - other).abs() < f64::EPSILON);
                    assert!(is_close, "{options:?}: {actual:?}");
                }
                (Err(error), Err(text)) => {
                    assert!(error.to_string().contains(text), "{options:?}: {error}");
                }
                (actual, _) => panic!("{options:?}: {actual:?}, expected {expected:?}"),
            }
        }
    }
}
