//! A language model that a command runs itself, on the CPU.

use std::path::{Path, PathBuf};

use taonet_cli_base::exit::ClassifiedError;
use taonet_lm::{Bits, LanguageModel};
use taonet_speech::models::{ModelError, ModelSpec, ModelStore, SMOLLM2_135M_INSTRUCT};

use crate::engines;
use crate::settings;

/// The model that demonstrations serve if it is installed.
pub const CHAT_MODEL: &ModelSpec = &SMOLLM2_135M_INSTRUCT;

/// Loads a model: a directory, a GGUF file, or an installed model by its name in `tao models list`.
/// `name` is its name in requests.
pub fn load(name: &str, source: &Path) -> anyhow::Result<LanguageModel> {
    Ok(LanguageModel::open(name, &resolve_source(source)?)?)
}

/// Loads a model as [`load`] does, and rounds its weights to this width.
pub fn load_rounded(name: &str, source: &Path, bits: Bits) -> anyhow::Result<LanguageModel> {
    Ok(LanguageModel::open_rounded(name, &resolve_source(source)?, bits)?)
}

/// Returns the name of a model, without its directory and the suffix of its file.
pub fn model_name(source: &Path) -> String {
    let name = source.file_name().unwrap_or(source.as_os_str()).to_string_lossy();
    name.strip_suffix(".gguf").unwrap_or(&name).to_owned()
}

/// Returns the name of [`CHAT_MODEL`] for [`load`] if it is installed.
pub fn installed_chat_model() -> anyhow::Result<Option<PathBuf>> {
    match store()?.locate(CHAT_MODEL) {
        Ok(_) => Ok(Some(CHAT_MODEL.name.into())),
        Err(ModelError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns the path of a model. A path that exists precedes an installed model of the same name.
fn resolve_source(source: &Path) -> anyhow::Result<PathBuf> {
    // A path of several components is never a name.
    if source.exists() || source.components().count() != 1 {
        return Ok(source.to_owned());
    }
    engines::language_model_file(source, &store()?).unwrap_or_else(|| {
        let name = source.display();
        let message = format!(
            "there is no file, directory or model {name}\nhint: see the names in `tao models list`"
        );
        Err(ClassifiedError::usage(message))
    })
}

/// Returns the directories with models.
pub fn store() -> anyhow::Result<ModelStore> {
    Ok(ModelStore::new(settings::load_only(&["BB_MODELS_DIR"])?.models_dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_model_is_that_of_its_directory_or_file() {
        for (source, name) in [
            ("SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct"),
            ("/models/Llama-3.2-1B-Instruct/", "Llama-3.2-1B-Instruct"),
            ("models/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1"),
            ("..", ".."),
        ] {
            assert_eq!(model_name(Path::new(source)), name);
        }
    }

    #[test]
    fn installed_model_of_other_kind_is_refused() {
        let error = resolve_source(Path::new("all-MiniLM-L6-v2")).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "all-MiniLM-L6-v2 is no language model\nhint: use SmolLM2-135M-Instruct"
            ),
            "{error}"
        );
        let error = resolve_source(Path::new("nosuch")).unwrap_err().to_string();
        assert!(
            error.starts_with("there is no file, directory or model nosuch\nhint: "),
            "{error}"
        );
        let unknown = Path::new("no/such/model");
        assert_eq!(resolve_source(unknown).unwrap(), unknown);
    }
}
