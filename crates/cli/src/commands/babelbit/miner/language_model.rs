//! The language model of `bb miner --contest text`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_config::Config;
use taonet_babelbit_text_miner::causal::{Causal, Limits};
use taonet_babelbit_text_miner::ngram::NgramModel;
use taonet_lm::{Bits, CausalModel, Compute, LoadOptions};

use crate::exit::{Classified, Failure};

/// Language model of a text miner
#[derive(Debug, Args)]
#[command(next_help_heading = "Language model options")]
pub(super) struct LanguageModelArgs {
    /// Language model of a text miner: a directory or GGUF file of GPT-2 or Llama [default: MINER_MODEL_ID]
    #[arg(long, value_name = "PATH", conflicts_with = "backend_url")]
    lm: Option<PathBuf>,
    /// Maximum number of utterances with a key-value cache
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lm_sessions: u32,
    /// Maximum memory of the key-value caches, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    lm_memory: u32,
}

impl LanguageModelArgs {
    /// Checks that a speech miner has no language model of a text miner.
    pub(super) fn check_speech(&self) -> anyhow::Result<()> {
        if self.lm.is_some() {
            return Err(Classified::error(Failure::Usage, "--lm is for text miners\nhint: add --contest text"));
        }
        Ok(())
    }

    /// Loads the model, if there is one, and starts its thread.
    pub(super) fn load(
        &self,
        config: &Config,
        deadline: Duration,
        ngram: Option<Arc<NgramModel>>,
    ) -> anyhow::Result<Option<Causal>> {
        let settings = &config.language_model;
        let Some(path) = self.lm.as_ref().or(settings.path.as_ref()) else { return Ok(None) };
        let bits = match (settings.in_8_bits, settings.in_4_bits) {
            (false, false) => None,
            (true, false) => Some(Bits::Eight),
            (false, true) => Some(Bits::Four),
            (true, true) => {
                let message = "MINER_LOAD_IN_8BIT and MINER_LOAD_IN_4BIT exclude each other\nhint: unset one of them";
                return Err(Classified::error(Failure::Usage, message));
            }
        };
        let device = settings.device.as_deref().map_or(Ok(Compute::Cpu), str::parse);
        let device = device.map_err(|expected| anyhow::anyhow!("MINER_DEVICE: expected {expected}"))?;
        if !path.exists() {
            anyhow::bail!(
                "{} does not exist\nhint: --lm and MINER_MODEL_ID name a directory or a GGUF file; `hf download gpt2 \
                 --local-dir gpt2` gets one from the hub",
                path.display()
            );
        }
        let began = Instant::now();
        let model = CausalModel::open(path, LoadOptions { device, bits }).context("cannot load the language model")?;
        tracing::info!(
            path = %path.display(),
            architecture = model.architecture(),
            context = model.context(),
            device = %device,
            seconds = began.elapsed().as_secs_f64(),
            "language model loaded"
        );
        let limits = Limits {
            sessions: usize::try_from(self.lm_sessions)?,
            cache_bytes: usize::try_from(self.lm_memory)?.saturating_mul(1 << 20),
            deadline,
        };
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(Some(Causal::start(name, model, limits, ngram)?))
    }
}
