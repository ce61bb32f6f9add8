//! The models that reward completions.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use taonet_cli_base::context::Context;
use taonet_cli_models::chat_model;
use taonet_cli_models::engines;
use taonet_cli_models::settings;
use taonet_lm::LanguageModel;
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
        let embedder: Arc<dyn SentenceEmbedder> = match self.embedder {
            EmbedderArg::Minilm => {
                let models = settings::load_only(&["BB_MODELS_DIR"])?.models_dir;
                engines::embedder(ALL_MINILM_L6_V2.name, models, context)?
            }
            EmbedderArg::Words => Arc::new(HashedWords),
        };
        Ok(Judge::new(embedder, self.language_model()?))
    }

    /// Loads the language model, if one is selected.
    pub(crate) fn language_model(&self) -> anyhow::Result<Option<Arc<LanguageModel>>> {
        let load =
            |source: &PathBuf| chat_model::load(&chat_model::name_of(source), source).map(Arc::new);
        self.judge_model.as_ref().map(load).transpose()
    }

    /// Whether a language model is selected.
    pub(crate) const fn has_language_model(&self) -> bool {
        self.judge_model.is_some()
    }
}
