//! `tao models …`.

use std::path::PathBuf;
use taonet_primitives::counted;

use clap::{Args, Subcommand};
use serde_json::json;
use taonet_speech::models::{ModelSpec, ModelState, ModelStatus, ModelStore};

use crate::context::Context;
use crate::table::table;
use crate::tables::MODELS;
use crate::{engines, settings};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the known models and their state
    List(Place),
    /// Download a model from the hub; interrupted downloads resume
    Pull {
        /// Name of the model, such as all-MiniLM-L6-v2
        #[arg(default_value = "all-MiniLM-L6-v2")]
        model: String,
        #[command(flatten)]
        place: Place,
    },
    /// Verify the SHA-256 of every model file; exit code 1 for a mismatch
    Verify(Place),
}

/// Model directory
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Model directory [env: BB_MODELS_DIR]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

impl Place {
    fn store(&self) -> anyhow::Result<ModelStore> {
        Ok(ModelStore::new(self.models.clone().or(settings::load()?.models_dir)))
    }
}

pub(crate) fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::List(place) => show(&place.store()?.list(), context),
        Command::Verify(place) => {
            let models = place.store()?.list();
            show(&models, context)?;
            let bad = models.iter().filter(|model| matches!(model.state, ModelState::Missing | ModelState::Corrupt(_)));
            match bad.count() {
                0 => Ok(()),
                count => anyhow::bail!("missing or damaged: {count} of {}", counted(models.len(), "model")),
            }
        }
        Command::Pull { model, place } => {
            let store = place.store()?;
            let spec = ModelSpec::find(model)?;
            let dir = context.block_on(engines::pull(&store, spec, context))?;
            if context.json {
                return context.print_json(&json!({ "model": spec.name, "path": dir }));
            }
            context.print(&format!("{} is in {}", spec.name, dir.display()))
        }
    }
}

fn show(models: &[ModelStatus], context: &Context) -> anyhow::Result<()> {
    let described = models.iter().map(|model| {
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
        let models: Vec<_> = described
            .map(|(spec, state, detail)| {
                json!({ "model": spec.name, "purpose": spec.purpose, "bytes": spec.bytes(), "state": state, "detail": detail })
            })
            .collect();
        return context.print_json(&json!({ "models": models }));
    }
    let mut rows = table(&MODELS);
    for (spec, state, detail) in described {
        rows.add_row([spec.name, spec.purpose, &format!("{:.1} MB", spec.bytes() as f64 / 1e6), state, &detail]);
    }
    context.print(&rows.to_string())
}
